use std::time::Duration;

use gitops_core::{
    Applier as _, ApplyError, ApplyRequest, DeleteRequest, Depth, Manifest, Precondition,
};
use gitops_kube::KubeApplier;
use gitops_testkit::cluster::{FakeCluster, Fault};
use http::{Method, Response};
use serde_json::{Value, json};

use crate::support::*;

/// What a server may quote, and nobody may see.
const CANARY: &str = "hunter2-canary";

/// A server that answers every apply and delete with this.
fn answering(status: u16, headers: &'static [(&str, &str)], body: &Value) -> KubeApplier {
    let cluster = FakeCluster::new();
    let body = match body {
        Value::String(text) => text.clone(),
        body => body.to_string(),
    };
    let client = between(&cluster, move |request| {
        (request.method() == Method::PATCH || request.method() == Method::DELETE).then(|| {
            let mut answer = Response::builder().status(status);
            for (name, value) in headers {
                answer = answer.header(*name, *value);
            }
            answer.body(body.clone()).unwrap()
        })
    });
    over(client)
}

fn status(code: u16, reason: &str, message: &str, details: Value) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "details": details, "code": code})
}

async fn refusal(applier: &KubeApplier, manifest: &Manifest) -> ApplyError {
    let precondition = Precondition::Uid { uid: "u".into() };
    apply(applier, manifest, precondition).await.unwrap_err()
}

fn secret() -> Manifest {
    ours(
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "default"}, "stringData": {"password": CANARY}}),
    )
}

fn variant(error: &ApplyError) -> &'static str {
    match error {
        ApplyError::Conflict { .. } => "conflict",
        ApplyError::Stale { .. } => "stale",
        ApplyError::Forbidden { .. } => "forbidden",
        ApplyError::Rejected { .. } => "rejected",
        ApplyError::Namespace { .. } => "namespace",
        ApplyError::UnknownKind { .. } => "unknown kind",
        ApplyError::Unavailable { .. } => "unavailable",
        _ => "other",
    }
}

#[tokio::test]
async fn each_answer_has_its_meaning() {
    let none = Value::Null;
    let causes = |reason: &str, field: &str| json!({"name": "a", "kind": "configmaps", "causes": [{"reason": reason, "message": "conflict with \"x\" using v1", "field": field}]});
    for (code, body, meaning, says) in [
        (
            409,
            status(
                409,
                "Conflict",
                "Operation cannot be fulfilled: the object has been modified",
                none.clone(),
            ),
            "stale",
            "has been modified",
        ),
        (
            409,
            status(
                409,
                "Conflict",
                "Apply failed",
                causes("FieldManagerConflict", ".data.key"),
            ),
            "conflict",
            ".data.key owned by x (Update)",
        ),
        (
            422,
            status(
                422,
                "Invalid",
                "metadata.uid: field is immutable",
                causes("FieldValueInvalid", "metadata.uid"),
            ),
            "stale",
            "another object",
        ),
        (
            422,
            status(
                422,
                "Invalid",
                "data: bad",
                causes("FieldValueInvalid", "data"),
            ),
            "rejected",
            "data: bad",
        ),
        (
            403,
            status(403, "Forbidden", "User \"x\" cannot patch", none.clone()),
            "forbidden",
            "cannot patch",
        ),
        (
            403,
            status(
                403,
                "Forbidden",
                "unable to create new content",
                causes("NamespaceTerminating", "metadata.namespace"),
            ),
            "namespace",
            "is being deleted",
        ),
        (
            403,
            status(
                403,
                "Forbidden",
                "admission webhook \"w\" denied the request: no",
                none.clone(),
            ),
            "rejected",
            "denied the request",
        ),
        (
            404,
            status(
                404,
                "NotFound",
                "namespaces \"default\" not found",
                json!({"name": "default", "kind": "namespaces"}),
            ),
            "namespace",
            "does not exist",
        ),
        (
            404,
            Value::from("404 page not found\n"),
            "unknown kind",
            "does not know kind v1 ConfigMap",
        ),
        (
            404,
            status(
                404,
                "NotFound",
                "the server could not find the requested resource",
                json!({}),
            ),
            "unknown kind",
            "does not know",
        ),
        (
            400,
            status(400, "BadRequest", "strict decoding error", none.clone()),
            "rejected",
            "strict decoding error",
        ),
        (
            405,
            status(405, "MethodNotAllowed", "not allowed", none.clone()),
            "rejected",
            "HTTP 405",
        ),
        (
            413,
            status(413, "RequestEntityTooLarge", "too large", none.clone()),
            "rejected",
            "too large",
        ),
        (
            415,
            status(415, "UnsupportedMediaType", "no apply", none.clone()),
            "rejected",
            "no apply",
        ),
        (
            500,
            json!({"kind": "Status", "message": "failed to create typed patch object (default/a; /v1, Kind=ConfigMap): .x: field not declared in schema", "code": 500}),
            "rejected",
            "field not declared",
        ),
        (
            500,
            status(500, "InternalError", "failed calling webhook", none.clone()),
            "unavailable",
            "HTTP 500",
        ),
        (
            401,
            status(401, "Unauthorized", "Unauthorized", none.clone()),
            "unavailable",
            "credentials",
        ),
        (
            429,
            status(429, "TooManyRequests", "slow down", none.clone()),
            "unavailable",
            "slow down",
        ),
        (
            503,
            Value::from("<html>bad gateway"),
            "unavailable",
            "bad gateway",
        ),
        (
            504,
            status(504, "Timeout", "etcd", none.clone()),
            "unavailable",
            "etcd",
        ),
        (502, Value::from(""), "unavailable", "HTTP 502"),
    ] {
        let applier = answering(code, &[], &body);
        let error = refusal(&applier, &config_map("a", "1")).await;
        assert_eq!(variant(&error), meaning, "{code} {body}: {error}");
        assert!(error.to_string().contains(says), "{error}");
        assert!(
            error.to_string().starts_with("ConfigMap default/a: "),
            "{error}"
        );
        assert_eq!(error.is_retryable(), meaning == "unavailable");
    }
}

#[tokio::test]
async fn what_a_server_quotes_of_a_secret_is_not_passed_on() {
    let quoting = |code: u16| {
        status(
            code,
            "Invalid",
            &format!("data: Invalid value: \"{CANARY}\""),
            json!({"name": "s", "kind": "secrets", "causes": [{"reason": "FieldValueInvalid", "message": CANARY, "field": format!("data[{CANARY}]")}]}),
        )
    };
    for code in [400, 401, 403, 404, 409, 413, 422, 429, 500, 503] {
        let applier = answering(code, &[], &quoting(code));
        let error = refusal(&applier, &secret()).await;
        assert!(!format!("{error} {error:?}").contains(CANARY), "{error:?}");
        let seen = json!({"metadata": {"name": "s"}});
        let live = gitops_core::LiveObject::new(
            secret().id().clone(),
            "u",
            "1",
            Depth::Whole,
            std::sync::Arc::new(seen),
        );
        let deleting = applier.delete(&DeleteRequest::new(&live, "v1")).await;
        if let Err(error) = deleting {
            assert!(!format!("{error} {error:?}").contains(CANARY), "{error:?}");
        }
    }
    // Of anything else it is told, and what is known of the field is told of a secret too.
    let told = refusal(&answering(422, &[], &quoting(422)), &config_map("a", "1")).await;
    assert!(told.to_string().contains(CANARY));
    let kept = refusal(&answering(422, &[], &quoting(422)), &secret()).await;
    assert_eq!(
        kept.to_string(),
        "Secret default/s: refused: HTTP 422 Invalid about data; the server's message is not shown, as it may quote the secret"
    );
    let odd = status(422, CANARY, CANARY, Value::Null);
    let error = refusal(&answering(422, &[], &odd), &secret()).await;
    assert!(!error.to_string().contains(CANARY), "{error}");
    let text = Value::from(format!("proxy says {CANARY}"));
    let error = refusal(&answering(502, &[], &text), &secret()).await;
    assert!(!error.to_string().contains(CANARY), "{error}");
}

#[tokio::test]
async fn messages_are_one_line_and_not_endless() {
    let long = format!("one\ntwo\u{1b}[31m{}", "x".repeat(100_000));
    let applier = answering(422, &[], &status(422, "Invalid", &long, Value::Null));
    let error = refusal(&applier, &config_map("a", "1")).await.to_string();
    assert!(error.len() < 1200, "{}", error.len());
    assert!(error.contains("one two [31mxxx"));
    assert!(!error.chars().any(char::is_control));
}

#[tokio::test]
async fn a_server_that_asks_to_wait_is_quoted() {
    let busy = status(429, "TooManyRequests", "slow down", Value::Null);
    let applier = answering(429, &[("retry-after", "7")], &busy);
    let error = refusal(&applier, &config_map("a", "1")).await;
    assert_eq!(error.retry_after(), Some(Duration::from_secs(7)));
    let by_details = status(504, "Timeout", "later", json!({"retryAfterSeconds": 3}));
    let error = refusal(&answering(504, &[], &by_details), &config_map("a", "1")).await;
    assert_eq!(error.retry_after(), Some(Duration::from_secs(3)));
    for bad in ["soon", "-1", "", "99999999999999999999999"] {
        let headers: &'static [(&str, &str)] = Box::leak(Box::new([("retry-after", bad)]));
        let error = refusal(
            &answering(503, headers, &Value::Null),
            &config_map("a", "1"),
        )
        .await;
        assert_eq!(error.retry_after(), None);
    }
}

#[tokio::test]
async fn warnings_of_the_server_are_passed_on() {
    let answer = json!({"kind": "PartialObjectMetadata", "metadata": {"name": "a", "uid": "u", "resourceVersion": "5"}});
    let headers = &[("warning", "299 - \"v1 Endpoints is deprecated\"")];
    let applier = answering(200, headers, &answer);
    let request = |manifest| ApplyRequest::new(manifest, Precondition::Uid { uid: "u".into() });
    let applied = applier.apply(&request(config_map("a", "1"))).await.unwrap();
    assert_eq!(applied.warnings, ["v1 Endpoints is deprecated"]);
    let applied = applier.apply(&request(secret())).await.unwrap();
    assert_eq!(applied.warnings.len(), 1);
    assert!(!applied.warnings[0].contains("Endpoints"));
}

#[tokio::test]
async fn an_answer_that_is_none_is_no_success() {
    for body in ["", "[]", "{", "{}", "null", "<html>", "{\"metadata\":{}}"] {
        let applier = answering(200, &[], &Value::from(body));
        let error = refusal(&applier, &config_map("a", "1")).await;
        assert_eq!(variant(&error), "unavailable", "{body:?}: {error}");
        let live = gitops_core::LiveObject::new(
            config_map("a", "1").id().clone(),
            "u",
            "1",
            Depth::Whole,
            std::sync::Arc::default(),
        );
        let error = applier.delete(&DeleteRequest::new(&live, "v1")).await;
        let error = error.unwrap_err();
        assert_eq!(variant(&error), "unavailable", "{body:?}: {error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_nothing_is_given_up() {
    let cluster = FakeCluster::new();
    let applier = KubeApplier::builder(cluster.client())
        .reconciler(US)
        .request_timeout(Duration::from_secs(3))
        .build()
        .unwrap();
    cluster.inject(Fault::delay(Duration::from_secs(3600)).verb("patch"));
    let error = refusal(&applier, &config_map("a", "1")).await;
    assert_eq!(
        error.to_string(),
        "ConfigMap default/a: no answer within 3 s"
    );
    assert!(error.is_retryable());
}

#[tokio::test]
async fn why_the_server_could_not_be_reached_is_told_once() {
    // A port that is bound and not listened on refuses connections.
    let bound = tokio::net::TcpSocket::new_v4().unwrap();
    bound.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let url = format!("http://{}", bound.local_addr().unwrap());
    let config = kube::Config::new(url.parse().unwrap());
    let applier = over(gitops_kube::client_from(config).unwrap());
    let error = refusal(&applier, &config_map("a", "1")).await.to_string();
    assert!(
        error.starts_with("ConfigMap default/a: the API server could not be reached: "),
        "{error}"
    );
    assert!(error.contains("refused"), "{error}");
    assert_eq!(error.matches("client error").count(), 1, "{error}");
    assert!(!error.contains("ServiceError"), "{error}");
}

#[tokio::test]
async fn a_lost_answer_is_an_error_and_the_write_is_found() {
    let cluster = FakeCluster::new();
    let applier = applier(&cluster);
    cluster.inject(Fault::lose_answer().verb("patch"));
    let error = apply(&applier, &config_map("a", "1"), Precondition::Absent)
        .await
        .unwrap_err();
    assert!(error.is_retryable(), "{error}");
    // The same request again tells that it is there, and not that it was created.
    let error = apply(&applier, &config_map("a", "1"), Precondition::Absent)
        .await
        .unwrap_err();
    assert_eq!(variant(&error), "stale", "{error}");
    assert!(found(&applier, &config_map("a", "1")).await.is_some());
}
