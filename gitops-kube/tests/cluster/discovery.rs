use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use gitops_core::{Applier as _, ApplyError, Depth, GroupVersionKind, Precondition};
use gitops_testkit::cluster::{FakeCluster, Fault};
use http::{HeaderValue, Request, Response};
use kube::client::Body;
use serde_json::json;

use crate::support::*;

fn kind(api_version: &str, kind: &str) -> GroupVersionKind {
    GroupVersionKind::from_api_version(api_version, kind)
}

fn common() -> BTreeSet<GroupVersionKind> {
    [
        kind("v1", "ConfigMap"),
        kind("v1", "Namespace"),
        kind("apps/v1", "Deployment"),
        kind("rbac.authorization.k8s.io/v1", "ClusterRole"),
    ]
    .into()
}

#[tokio::test]
async fn kinds_take_two_requests_once() {
    let cluster = FakeCluster::new();
    let applier = applier(&cluster);
    let known = applier.kinds(&common()).await.unwrap();
    assert!(known[&kind("v1", "ConfigMap")].namespaced);
    assert!(known[&kind("apps/v1", "Deployment")].namespaced);
    assert!(!known[&kind("v1", "Namespace")].namespaced);
    assert_eq!(known.len(), 4);
    applier.kinds(&common()).await.unwrap();
    assert_eq!(cluster.requests().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn unknown_kinds_are_asked_for_once_a_second_at_most() {
    let cluster = FakeCluster::new();
    let applier = applier(&cluster);
    let wanted = [
        kind("example.com/v1", "Widget"),
        kind("apps/v9", "Deployment"),
    ]
    .into();
    for _ in 0..5 {
        assert!(applier.kinds(&wanted).await.unwrap().is_empty());
    }
    assert_eq!(cluster.requests().len(), 2);
    tokio::time::sleep(Duration::from_secs(1)).await;
    applier.kinds(&wanted).await.unwrap();
    assert_eq!(cluster.requests().len(), 4);
}

#[tokio::test]
async fn a_new_definition_is_noticed_without_delay() {
    let cluster = FakeCluster::new();
    let applier = applier(&cluster);
    let wanted = [kind("example.com/v1", "Widget")].into();
    assert!(applier.kinds(&wanted).await.unwrap().is_empty());
    create(&applier, &definition("widgets", "Widget")).await;
    assert_eq!(applier.kinds(&wanted).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_kind_that_vanished_is_forgotten() {
    let cluster = FakeCluster::new();
    let applier = applier(&cluster);
    let definition = definition("widgets", "Widget");
    create(&applier, &definition).await;
    let settled = [crate::support::wanted(&definition, Depth::Metadata)];
    let limit = Duration::from_secs(10);
    applier.settle(&settled, limit).await.unwrap();
    raw(
        &cluster,
        http::Method::DELETE,
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.example.com",
        serde_json::Value::Null,
    )
    .await;
    let error = apply(&applier, &widget("w"), Precondition::Absent)
        .await
        .unwrap_err();
    assert!(matches!(error, ApplyError::UnknownKind { .. }), "{error}");
    let wanted = [kind("example.com/v1", "Widget")].into();
    assert!(applier.kinds(&wanted).await.unwrap().is_empty());
}

/// Makes the discovery plain, as that of servers before 1.26 is.
fn plain_discovery(request: &mut Request<Body>) {
    if matches!(request.uri().path(), "/api" | "/apis") {
        let plain = HeaderValue::from_static("application/json");
        request.headers_mut().insert("accept", plain);
    }
}

#[tokio::test]
async fn servers_without_aggregated_discovery_do() {
    let cluster = FakeCluster::new();
    let client = between(&cluster, |request| {
        plain_discovery(request);
        None
    });
    let known = over(client).kinds(&common()).await.unwrap();
    assert_eq!(known.len(), 4);
    assert!(!known[&kind("v1", "Namespace")].namespaced);
    assert!(cluster.requests().len() > 4);
}

#[tokio::test]
async fn a_broken_group_hides_no_other_and_is_not_unknown() {
    for aggregated in [false, true] {
        let cluster = FakeCluster::new();
        let client = between(&cluster, move |request| {
            let path = request.uri().path().to_owned();
            if aggregated {
                let group = |name: &str, freshness: &str, resources: serde_json::Value| json!({"metadata": {"name": name}, "versions": [{"version": "v1", "freshness": freshness, "resources": resources}]});
                let deployments = json!([{"resource": "deployments", "responseKind": {"group": "", "version": "", "kind": "Deployment"}, "scope": "Namespaced"}]);
                return (path == "/apis").then(|| {
                    let groups = json!({"kind": "APIGroupDiscoveryList", "items": [
                        group("apps", "Current", deployments), group("batch", "Stale", json!([])),
                    ]});
                    Response::new(groups.to_string())
                });
            }
            plain_discovery(request);
            (path == "/apis/batch/v1").then(|| {
                Response::builder()
                    .status(503)
                    .body("upstream is gone".to_owned())
                    .unwrap()
            })
        });
        let applier = over(client);
        let healthy = [kind("apps/v1", "Deployment"), kind("v1", "ConfigMap")].into();
        assert_eq!(applier.kinds(&healthy).await.unwrap().len(), 2);
        let error = applier
            .kinds(&[kind("batch/v1", "Job")].into())
            .await
            .unwrap_err();
        assert!(error.is_retryable(), "{error}");
        assert!(
            error.to_string().starts_with("discovery of batch/v1 Job: "),
            "{error}"
        );
        let job = ours(
            json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j", "namespace": "default"}}),
        );
        let error = apply(&applier, &job, Precondition::Absent)
            .await
            .unwrap_err();
        assert!(matches!(error, ApplyError::Unavailable { .. }), "{error}");
        let nothing = applier
            .kinds(&[kind("example.com/v1", "Nothing")].into())
            .await;
        assert!(nothing.unwrap().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_known_of_a_group_is_known_while_it_is_broken() {
    let cluster = FakeCluster::new();
    let rounds = Arc::new(AtomicUsize::new(0));
    let client = between(&cluster, move |request| {
        plain_discovery(request);
        let broken =
            request.uri().path() == "/apis/batch/v1" && rounds.fetch_add(1, Ordering::Relaxed) > 0;
        broken.then(|| Response::builder().status(503).body(String::new()).unwrap())
    });
    let applier = over(client);
    let jobs = [kind("batch/v1", "Job")].into();
    assert_eq!(applier.kinds(&jobs).await.unwrap().len(), 1);
    tokio::time::sleep(Duration::from_secs(2)).await;
    // Asks for all groups again.
    applier
        .kinds(&[kind("example.com/v1", "Nothing")].into())
        .await
        .unwrap();
    assert_eq!(applier.kinds(&jobs).await.unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_failed_discovery_is_an_error_and_not_repeated_at_once() {
    let cluster = FakeCluster::new();
    cluster.inject(Fault::refuse_connection().always());
    let applier = applier(&cluster);
    for _ in 0..3 {
        let error = applier.kinds(&common()).await.unwrap_err();
        assert!(error.is_retryable(), "{error}");
    }
    let asked = cluster.requests().len();
    assert!(asked <= 2, "{asked}");
    cluster.clear_faults();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(applier.kinds(&common()).await.unwrap().len(), 4);
}
