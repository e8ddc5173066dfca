//! Webhooks of every sender, real and made up.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use gitops_core::{Clock as _, ManualClock, Source};
use gitops_git::{GitSource, Hook, WebhookReceiver};
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full, StreamBody};
use proptest::prelude::*;
use ring::hmac;
use tower::ServiceExt as _;

const SECRET: &str = "hunter2-hunter2-hunter2";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn signature(body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    format!("sha256={}", hex(hmac::sign(&key, body.as_bytes()).as_ref()))
}

fn source() -> GitSource {
    GitSource::builder("/srv/x")
        .interval(Duration::from_secs(3600))
        .build()
        .unwrap()
}

fn receiver(hook: Hook, clock: &ManualClock) -> WebhookReceiver {
    WebhookReceiver::builder()
        .hook("/hook", hook)
        .clock(clock.clone())
        .build()
        .unwrap()
}

async fn post(receiver: &WebhookReceiver, headers: &[(&str, &str)], body: &str) -> StatusCode {
    let mut request = Request::post("/hook");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request
        .body(Full::new(Bytes::from(body.to_owned())))
        .unwrap();
    let answer = receiver.clone().oneshot(request).await.unwrap();
    let status = answer.status();
    let words = answer.into_body().collect().await.unwrap().to_bytes();
    let words = String::from_utf8(words.to_vec()).unwrap();
    assert!(
        !words.contains("hunter2") && words.lines().count() == 1,
        "{words}"
    );
    status
}

/// Whether the source was woken since the last look.
async fn woken(source: &GitSource) -> bool {
    tokio::time::timeout(Duration::from_millis(1), source.changed())
        .await
        .is_ok()
}

const BASIC: &str = "Basic aG9vazpodW50ZXIyLWh1bnRlcjItaHVudGVyMg==";

/// Its name, its hook, the header with its proof, its event, and a body.
type Case = (
    &'static str,
    Hook,
    &'static str,
    (&'static str, &'static str),
    &'static str,
);

/// A sender, how it shows that it is who it is, its event, and a push to `main`.
fn senders() -> Vec<Case> {
    let hub = "x-hub-signature-256";
    vec![
        (
            "github",
            Hook::github(SECRET),
            hub,
            ("x-github-event", "push"),
            r#"{"ref":"refs/heads/main","after":"1","repository":{"full_name":"a/b"}}"#,
        ),
        (
            "gitlab",
            Hook::gitlab(SECRET),
            "x-gitlab-token",
            ("x-gitlab-event", "Push Hook"),
            r#"{"object_kind":"push","ref":"refs/heads/main"}"#,
        ),
        (
            "gitea",
            Hook::gitea(SECRET),
            hub,
            ("x-gitea-event", "push"),
            r#"{"ref":"refs/heads/main"}"#,
        ),
        (
            "forgejo",
            Hook::gitea(SECRET),
            hub,
            ("x-forgejo-event", "push"),
            r#"{"ref":"refs/heads/main"}"#,
        ),
        (
            "bitbucket cloud",
            Hook::bitbucket_cloud(SECRET),
            "x-hub-signature",
            ("x-event-key", "repo:push"),
            r#"{"push":{"changes":[{"old":null,"new":{"type":"branch","name":"main"}}]}}"#,
        ),
        (
            "bitbucket server",
            Hook::bitbucket_server(SECRET),
            "x-hub-signature",
            ("x-event-key", "repo:refs_changed"),
            r#"{"changes":[{"ref":{"id":"refs/heads/main","type":"BRANCH"},"type":"UPDATE"}]}"#,
        ),
        (
            "azure devops",
            Hook::azure_devops("hook", SECRET),
            "authorization",
            ("x-none", ""),
            r#"{"eventType":"git.push","resource":{"refUpdates":[{"name":"refs/heads/main"}]}}"#,
        ),
        (
            "generic",
            Hook::generic(SECRET),
            "x-signature",
            ("x-none", ""),
            "anything",
        ),
    ]
}

fn proof(header: &str, body: &str) -> String {
    match header {
        "x-gitlab-token" => SECRET.to_owned(),
        "authorization" => BASIC.to_owned(),
        _ => signature(body),
    }
}

#[tokio::test]
async fn a_signed_push_wakes_the_source_once() {
    for (name, hook, header, event, body) in senders() {
        let source = source();
        let clock = ManualClock::default();
        let receiver = receiver(hook.wakes(source.trigger()), &clock);
        let headers = [(header, proof(header, body))];
        let headers = [(headers[0].0, headers[0].1.as_str()), event];
        assert!(!woken(&source).await);
        assert_eq!(post(&receiver, &headers, body).await, 202, "{name}");
        assert!(woken(&source).await, "{name}");
        // Sent again: answered, and nobody is woken within the window.
        assert_eq!(post(&receiver, &headers, body).await, 202, "{name}");
        assert!(!woken(&source).await, "{name}");
        clock.advance(Duration::from_secs(600));
        post(&receiver, &headers, body).await;
        assert!(woken(&source).await, "{name}");
    }
}

#[tokio::test]
async fn without_the_secret_nobody_is_woken() {
    for (name, hook, header, event, body) in senders() {
        let source = source();
        let receiver = receiver(hook.wakes(source.trigger()), &ManualClock::default());
        let good = proof(header, body);
        let other = match header {
            "x-gitlab-token" | "authorization" => good.clone() + "x",
            _ => signature("another body"),
        };
        for wrong in [
            "",
            "sha256=",
            "sha256=zz",
            "sha1=356a192b7913b04c54574d18c28d46e6395428ab",
            "md5=00",
            &other,
            good.get(..good.len() - 1).unwrap(),
            &good.to_uppercase().replace("SHA256", "sha256x"),
        ] {
            let status = post(&receiver, &[(header, wrong), event], body).await;
            assert_eq!(status, 401, "{name} {wrong:?}");
        }
        assert_eq!(post(&receiver, &[event], body).await, 401, "{name}");
        // Of two headers a proxy may have looked at the other one.
        let twice = [(header, good.as_str()), (header, "x"), event];
        assert_eq!(post(&receiver, &twice, body).await, 401, "{name}");
        assert!(!woken(&source).await, "{name}");
    }
}

/// S31: payloads that crashed our peers, and anything else.
#[tokio::test]
async fn malformed_payloads_are_answered_and_panic_nowhere() {
    let mut bodies: Vec<String> = [
        "",
        "null",
        "[]",
        "{}",
        "1",
        "\"x\"",
        "{",
        "[[[[[",
        "{\"ref\":null}",
        "{\"ref\":1}",
        "{\"ref\":{}}",
        "{\"push\":null}",
        "{\"push\":{}}",
        "{\"push\":{\"changes\":null}}",
        "{\"push\":{\"changes\":[]}}",
        "{\"push\":{\"changes\":[{}]}}",
        "{\"push\":{\"changes\":[{\"new\":null,\"old\":null}]}}",
        "{\"push\":{\"changes\":[{\"new\":{}}]}}",
        "{\"changes\":[null]}",
        "{\"changes\":[]}",
        "{\"changes\":[{\"ref\":null}]}",
        "{\"eventType\":\"git.push\"}",
        "{\"eventType\":\"git.push\",\"resource\":null}",
        "{\"eventType\":\"git.push\",\"resource\":{\"refUpdates\":[]}}",
        "{\"eventType\":\"git.push\",\"resource\":{\"refUpdates\":[{}]}}",
        "{\"repository\":{\"links\":[]},\"ref\":\"refs/heads/main\"}",
        "\u{feff}{}",
    ]
    .map(str::to_owned)
    .into();
    bodies.push("[".repeat(100_000));
    bodies.push("{\"ref\":".repeat(10_000));
    for (name, hook, header, event, _) in senders() {
        let receiver = receiver(hook, &ManualClock::default());
        for body in &bodies {
            let proof = proof(header, body);
            let status = post(&receiver, &[(header, &proof), event], body).await;
            assert!(
                matches!(status.as_u16(), 202 | 400),
                "{name} {status} {body:.80}"
            );
        }
        // An event nobody knows, and none.
        let body = "{}";
        let proof = proof(header, body);
        for other in [(event.0, "\u{7f}"), (event.0, "what?"), ("x-none", "")] {
            let mut request = Request::post("/hook").header(header, &proof);
            if let Ok(value) = http::HeaderValue::from_str(other.1) {
                request = request.header(other.0, value);
            }
            let request = request.body(Full::new(Bytes::from(body))).unwrap();
            let status = receiver.clone().oneshot(request).await.unwrap().status();
            assert!(matches!(status.as_u16(), 202 | 400), "{name} {status}");
        }
    }
}

proptest! {
    #[test]
    fn no_payload_panics(body in any::<Vec<u8>>(), text in "[{}\\[\\]\":,a-z0-9]{0,60}") {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            for (_, hook, header, event, _) in senders() {
                let receiver = receiver(hook, &ManualClock::default());
                for body in [body.as_slice(), text.as_bytes()] {
                    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
                    let proof = match header {
                        "x-gitlab-token" | "authorization" => proof(header, ""),
                        _ => format!("sha256={}", hex(hmac::sign(&key, body).as_ref())),
                    };
                    let request = Request::post("/hook")
                        .header(header, proof)
                        .header(event.0, event.1)
                        .body(Full::new(Bytes::copy_from_slice(body)))
                        .unwrap();
                    let status = receiver.oneshot_status(request).await;
                    assert!(matches!(status, 202 | 400), "{status}");
                }
            }
        });
    }
}

trait OneshotStatus {
    async fn oneshot_status(&self, request: Request<Full<Bytes>>) -> u16;
}

impl OneshotStatus for WebhookReceiver {
    async fn oneshot_status(&self, request: Request<Full<Bytes>>) -> u16 {
        self.clone()
            .oneshot(request)
            .await
            .unwrap()
            .status()
            .as_u16()
    }
}

#[tokio::test]
async fn only_what_moves_a_ref_that_is_followed_wakes() {
    let github = |event: &'static str, body: &'static str| (event, body);
    for ((event, body), wakes) in [
        (github("ping", r#"{"zen":"x"}"#), false),
        (github("issues", r#"{"action":"opened"}"#), false),
        (github("push", r#"{"ref":"refs/heads/feature"}"#), false),
        (github("push", r#"{"ref":"refs/tags/main"}"#), false),
        (github("push", r#"{"ref":"refs/heads/main"}"#), true),
        (github("push", "{}"), true),
        (
            github("create", r#"{"ref":"main","ref_type":"branch"}"#),
            true,
        ),
        (
            github("create", r#"{"ref":"main","ref_type":"tag"}"#),
            false,
        ),
        (
            github("delete", r#"{"ref":"main","ref_type":"branch"}"#),
            true,
        ),
    ] {
        let source = source();
        let hook = Hook::github(SECRET)
            .wakes(source.trigger())
            .only(["refs/heads/main"]);
        let receiver = receiver(hook, &ManualClock::default());
        let headers = [
            ("x-hub-signature-256", &*signature(body)),
            ("x-github-event", event),
        ];
        assert_eq!(post(&receiver, &headers, body).await, 202, "{event}");
        assert_eq!(woken(&source).await, wakes, "{event} {body}");
    }
}

#[tokio::test]
async fn a_signed_time_outside_the_window_is_refused() {
    use base64::Engine as _;
    let clock = ManualClock::default();
    let source = source();
    let receiver = receiver(Hook::standard(SECRET).wakes(source.trigger()), &clock);
    let made = clock.now().as_second();
    let sign = |time: i64, body: &str| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
        let tag = hmac::sign(&key, format!("id-1.{time}.{body}").as_bytes());
        format!(
            "v1,{}",
            base64::engine::general_purpose::STANDARD.encode(tag)
        )
    };
    let send = |time: i64, signed: i64| {
        let (receiver, time, signature) = (&receiver, time.to_string(), sign(signed, "{}"));
        async move {
            let headers = [
                ("webhook-id", "id-1"),
                ("webhook-timestamp", &*time),
                ("webhook-signature", &*format!("v1,xx v2,yy {signature}")),
            ];
            post(receiver, &headers, "{}").await
        }
    };
    assert_eq!(send(made - 601, made - 601).await, 401);
    assert_eq!(send(made + 601, made + 601).await, 401);
    // A newer time on an old signature.
    assert_eq!(send(made, made - 601).await, 401);
    assert_eq!(send(made - 599, made - 599).await, 202);
    assert!(woken(&source).await);
}

/// S30: what is not signed costs neither memory nor time.
#[tokio::test(start_paused = true)]
async fn bodies_are_bounded_in_size_and_time() {
    let receiver = WebhookReceiver::builder()
        .hook("/hook", Hook::generic(SECRET))
        .max_body_bytes(1000)
        .build()
        .unwrap();
    assert_eq!(post(&receiver, &[], &"x".repeat(1001)).await, 413);
    let body = "x".repeat(1000);
    let good = [("x-signature", &*signature(&body))];
    assert_eq!(post(&receiver, &good, &body).await, 202);
    // Announced only, and without an end.
    let announced = Request::post("/hook")
        .header("content-length", "1000000000")
        .body(Full::new(Bytes::new()))
        .unwrap();
    assert_eq!(receiver.oneshot_status(announced).await, 413);
    let endless = futures::stream::repeat_with(|| {
        Ok::<_, Infallible>(http_body::Frame::data(Bytes::from_static(&[0; 100])))
    });
    let endless = Request::post("/hook")
        .body(StreamBody::new(endless))
        .unwrap();
    assert_eq!(
        receiver.clone().oneshot(endless).await.unwrap().status(),
        413
    );
    let silent = futures::stream::pending::<Result<http_body::Frame<Bytes>, Infallible>>();
    let silent = Request::post("/hook")
        .body(StreamBody::new(silent))
        .unwrap();
    let start = tokio::time::Instant::now();
    assert_eq!(
        receiver.clone().oneshot(silent).await.unwrap().status(),
        408
    );
    assert!(start.elapsed() < Duration::from_secs(11));
}

#[tokio::test]
async fn other_paths_and_methods_are_refused_and_so_are_short_secrets() {
    let receiver = receiver(Hook::generic(SECRET), &ManualClock::default());
    for (request, status) in [
        (Request::post("/other"), 404),
        (Request::post("/hook/"), 404),
        (Request::post("/hook%2f"), 404),
        (Request::get("/hook"), 405),
        (Request::put("/hook?x=y"), 405),
    ] {
        let request = request.body(Full::new(Bytes::new())).unwrap();
        assert_eq!(receiver.oneshot_status(request).await, status);
    }
    assert!(!format!("{receiver:?} {:?}", Hook::gitlab(SECRET)).contains("hunter2"));
    for (path, hook, why) in [
        ("/x", Hook::github("short"), "shorter than 16"),
        ("/x", Hook::azure_devops("u", "short"), "shorter than 16"),
        ("/x", Hook::azure_devops("a:b", SECRET), "colon"),
        ("x", Hook::github(SECRET), "begin with /"),
    ] {
        let error = WebhookReceiver::builder()
            .hook(path, hook)
            .build()
            .unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
    }
    let twice = WebhookReceiver::builder()
        .hook("/x", Hook::github(SECRET))
        .hook("/x", Hook::gitlab(SECRET));
    assert!(twice.build().is_err());
}
