use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::BoxStream;
use gitops_core::{
    Applier as _, DeleteRequest, Depth, LiveEvent, Manifest, OWNER_ANNOTATION, Owner, Precondition,
    RECONCILER_LABEL, WriteOutcome,
};
use gitops_kube::KubeApplier;
use gitops_testkit::cluster::{FakeCluster, Fault};
use http::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::*;

/// A cluster with these config maps, and a watch of them.
async fn watched(names: &[&str]) -> (FakeCluster, KubeApplier, BoxStream<'static, LiveEvent>) {
    let cluster = FakeCluster::new();
    let applier = applier(&cluster);
    let manifests: Vec<_> = names.iter().map(|name| config_map(name, "1")).collect();
    for manifest in &manifests {
        create(&applier, manifest).await;
    }
    let events = watch(&applier, &manifests);
    (cluster, applier, events)
}

fn watch(applier: &KubeApplier, manifests: &[Manifest]) -> BoxStream<'static, LiveEvent> {
    let expected = manifests
        .iter()
        .map(|manifest| wanted(manifest, Depth::Metadata));
    applier.watch(expected.collect())
}

fn path(name: &str) -> String {
    format!("/api/v1/namespaces/default/configmaps/{name}")
}

async fn edit(cluster: &FakeCluster, name: &str, patch: Value) {
    raw(cluster, Method::PATCH, &path(name), patch).await;
}

#[tokio::test(start_paused = true)]
async fn the_state_as_it_is_comes_first_and_then_what_changes() {
    let (cluster, applier, mut events) = watched(&["a", "b"]).await;
    assert_eq!(until_ready(&mut events).await, ["seen a", "seen b"]);
    edit(&cluster, "a", json!({"data": {"key": "2"}})).await;
    let before = live(&applier, &config_map("b", "1")).await;
    let LiveEvent::Seen(seen) = next(&mut events).await else {
        panic!("no change was seen");
    };
    assert_eq!(seen.id.name, "a");
    assert_eq!(seen.depth, Depth::Metadata);
    assert_eq!(seen.owner, Owner::Us);
    assert_eq!(seen.object["kind"], "ConfigMap");
    assert!(seen.object.get("data").is_none());
    // Our only field is somebody else's now.
    assert_ne!(seen.baseline, before.baseline);
    quiet(&mut events).await;
}

#[tokio::test(start_paused = true)]
async fn an_event_of_no_field_of_ours_has_our_baseline() {
    let (cluster, applier, mut events) = watched(&["a"]).await;
    until_ready(&mut events).await;
    let before = live(&applier, &config_map("a", "1")).await;
    edit(&cluster, "a", json!({"data": {"theirs": "x"}})).await;
    let LiveEvent::Seen(seen) = next(&mut events).await else {
        panic!("no change was seen");
    };
    assert_ne!(seen.resource_version, before.resource_version);
    assert_eq!(seen.baseline, before.baseline);
}

#[tokio::test(start_paused = true)]
async fn what_is_expected_and_not_there_is_gone() {
    let cluster = FakeCluster::new();
    let applier = applier(&cluster);
    create(&applier, &config_map("a", "1")).await;
    let mut events = watch(&applier, &[config_map("a", "1"), config_map("b", "1")]);
    assert_eq!(until_ready(&mut events).await, ["gone b", "seen a"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_expected_and_carries_no_mark_is_seen() {
    let cluster = FakeCluster::new();
    let applier = applier(&cluster);
    let theirs = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}});
    raw(
        &cluster,
        Method::POST,
        "/api/v1/namespaces/default/configmaps",
        theirs,
    )
    .await;
    let mut events = watch(&applier, &[config_map("a", "1")]);
    assert_eq!(until_ready(&mut events).await, ["seen a"]);
}

#[tokio::test(start_paused = true)]
async fn nothing_to_watch_is_ready_at_once_and_never_ends() {
    let cluster = FakeCluster::new();
    let mut events = applier(&cluster).watch(Vec::new());
    assert!(until_ready(&mut events).await.is_empty());
    quiet(&mut events).await;
}

#[tokio::test(start_paused = true)]
async fn one_ready_for_all_kinds() {
    let cluster = FakeCluster::new();
    let applier = applier(&cluster);
    let manifests = [config_map("a", "1"), deployment("web", 1)];
    for manifest in &manifests {
        create(&applier, manifest).await;
    }
    let mut events = watch(&applier, &manifests);
    assert_eq!(until_ready(&mut events).await, ["seen a", "seen web"]);
    quiet(&mut events).await;
    let watches = cluster
        .requests()
        .into_iter()
        .filter(|request| request.verb == "watch");
    assert_eq!(watches.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_deletion_is_told_with_the_uid() {
    let (cluster, applier, mut events) = watched(&["a", "b"]).await;
    until_ready(&mut events).await;
    let uid = live(&applier, &config_map("a", "1")).await.uid;
    raw(&cluster, Method::DELETE, &path("a"), Value::Null).await;
    let LiveEvent::Gone { id, uid: gone } = next(&mut events).await else {
        panic!("it is not gone");
    };
    assert_eq!((id.name.as_str(), gone), ("a", Some(uid)));
    quiet(&mut events).await;
}

#[tokio::test(start_paused = true)]
async fn our_own_deletion_is_told_without_a_look() {
    let (cluster, applier, mut events) = watched(&["a"]).await;
    until_ready(&mut events).await;
    let seen = live(&applier, &config_map("a", "1")).await;
    applier
        .delete(&DeleteRequest::new(&seen, "v1"))
        .await
        .unwrap();
    let mark = cluster.mark();
    assert_eq!(short(&next(&mut events).await), "gone a");
    let looks = cluster.requests_since(mark);
    assert!(
        looks.iter().all(|request| request.verb == "watch"),
        "{looks:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_lost_label_is_no_deletion() {
    let (cluster, _, mut events) = watched(&["a"]).await;
    until_ready(&mut events).await;
    edit(
        &cluster,
        "a",
        json!({"metadata": {"labels": {RECONCILER_LABEL: null}}}),
    )
    .await;
    let LiveEvent::Seen(seen) = next(&mut events).await else {
        panic!("it is still there");
    };
    assert!(
        seen.object["metadata"]["labels"]
            .get(RECONCILER_LABEL)
            .is_none()
    );
    // The annotation still says whose it is.
    assert_eq!(seen.owner, Owner::Us);
    quiet(&mut events).await;
    // What brings the label back brings it back into sight.
    edit(
        &cluster,
        "a",
        json!({"metadata": {"labels": {RECONCILER_LABEL: US}, "annotations": {OWNER_ANNOTATION: null}}}),
    )
    .await;
    let LiveEvent::Seen(seen) = next(&mut events).await else {
        panic!("it is back");
    };
    assert_eq!(seen.owner, Owner::Nobody);
    raw(&cluster, Method::DELETE, &path("a"), Value::Null).await;
    assert_eq!(short(&next(&mut events).await), "gone a");
}

#[tokio::test(start_paused = true)]
async fn a_terminating_object_is_seen_before_it_is_gone() {
    let cluster = FakeCluster::new();
    let applier = applier(&cluster);
    let manifest = ours(
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "default", "finalizers": ["example.com/wait"]}}),
    );
    create(&applier, &manifest).await;
    let mut events = watch(&applier, std::slice::from_ref(&manifest));
    until_ready(&mut events).await;
    raw(&cluster, Method::DELETE, &path("a"), Value::Null).await;
    let LiveEvent::Seen(seen) = next(&mut events).await else {
        panic!("it waits for its finalizer");
    };
    assert!(seen.terminating);
    edit(&cluster, "a", json!({"metadata": {"finalizers": null}})).await;
    // The server tells the removal of the finalizer and the deletion as one or as two.
    loop {
        match next(&mut events).await {
            LiveEvent::Seen(seen) => assert!(seen.terminating),
            LiveEvent::Gone { .. } => break,
            other => panic!("unexpected {other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_broken_connection_is_resumed_and_nothing_is_lost() {
    let (cluster, applier, mut events) = watched(&["a", "b", "c"]).await;
    until_ready(&mut events).await;
    quiet(&mut events).await;
    cluster.break_watches();
    raw(&cluster, Method::DELETE, &path("a"), Value::Null).await;
    edit(&cluster, "b", json!({"data": {"key": "2"}})).await;
    create(&applier, &config_map("d", "1")).await;
    for told in ["gone a", "seen b", "seen d"] {
        assert_eq!(short(&next(&mut events).await), told);
    }
    quiet(&mut events).await;
    let lists = cluster
        .requests()
        .into_iter()
        .filter(|request| request.verb == "list");
    assert_eq!(lists.count(), 1, "it is resumed, not begun anew");
}

#[tokio::test(start_paused = true)]
async fn a_forgotten_version_is_listed_again_and_no_deletion_is_lost() {
    let (cluster, applier, mut events) = watched(&["a", "b"]).await;
    until_ready(&mut events).await;
    quiet(&mut events).await;
    // Nobody can watch for a while, and the server forgets what happened meanwhile.
    cluster.inject(Fault::status(503).verb("watch").times(3));
    cluster.break_watches();
    let begun = Instant::now();
    let interrupted = short(&next(&mut events).await);
    assert!(
        interrupted.starts_with("interrupted: v1 ConfigMap: "),
        "{interrupted}"
    );
    raw(&cluster, Method::DELETE, &path("a"), Value::Null).await;
    raw(&cluster, Method::DELETE, &path("b"), Value::Null).await;
    create(&applier, &config_map("b", "1")).await;
    cluster.compact();
    let mut told = until_ready(&mut events).await;
    told.retain(|event| !event.starts_with("interrupted"));
    assert_eq!(told, ["gone a", "gone b", "seen b"]);
    assert!(begun.elapsed() < Duration::from_secs(30));
    edit(&cluster, "b", json!({"data": {"key": "2"}})).await;
    assert_eq!(short(&next(&mut events).await), "seen b");
}

#[tokio::test(start_paused = true)]
async fn a_410_as_http_status_is_listed_again_too() {
    let (cluster, _, mut events) = watched(&["a"]).await;
    until_ready(&mut events).await;
    quiet(&mut events).await;
    cluster.inject(Fault::status(410).verb("watch"));
    cluster.break_watches();
    raw(&cluster, Method::DELETE, &path("a"), Value::Null).await;
    assert_eq!(short(&next(&mut events).await), "gone a");
}

#[tokio::test(start_paused = true)]
async fn what_is_deleted_between_list_and_watch_is_gone() {
    let (cluster, _, mut events) = watched(&["a"]).await;
    cluster.inject(Fault::delay(Duration::from_secs(5)).verb("watch"));
    assert_eq!(short(&next(&mut events).await), "seen a");
    raw(&cluster, Method::DELETE, &path("a"), Value::Null).await;
    let told = [next(&mut events).await, next(&mut events).await];
    assert_eq!(told.map(|event| short(&event)), ["ready", "gone a"]);
}

#[tokio::test(start_paused = true)]
async fn an_outage_from_the_start_is_told_once_and_healed() {
    let cluster = FakeCluster::new();
    let applier = applier(&cluster);
    create(&applier, &config_map("a", "1")).await;
    cluster.inject(Fault::refuse_connection().verb("list").times(4));
    let mut events = watch(&applier, &[config_map("a", "1")]);
    let first = short(&next(&mut events).await);
    assert!(first.starts_with("interrupted: "), "{first}");
    assert_eq!(until_ready(&mut events).await, ["seen a"]);
}

#[tokio::test(start_paused = true)]
async fn a_look_that_fails_is_not_taken_for_a_deletion() {
    let (cluster, _, mut events) = watched(&["a"]).await;
    until_ready(&mut events).await;
    quiet(&mut events).await;
    cluster.inject(Fault::status(500).verb("get").name("a").times(3));
    edit(
        &cluster,
        "a",
        json!({"metadata": {"labels": {RECONCILER_LABEL: null}}}),
    )
    .await;
    loop {
        match next(&mut events).await {
            LiveEvent::Seen(live) => {
                assert_eq!(live.id.name, "a");
                break;
            }
            LiveEvent::Gone { .. } => panic!("it is still there"),
            _ => {}
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_pauses_between_attempts_grow() {
    let (cluster, _, mut events) = watched(&["a"]).await;
    until_ready(&mut events).await;
    quiet(&mut events).await;
    let mark = cluster.mark();
    cluster.inject(Fault::refuse_connection().verb("watch").always());
    cluster.break_watches();
    let _ = tokio::time::timeout(Duration::from_secs(600), async {
        while events.next().await.is_some() {}
    })
    .await;
    let attempts = cluster.requests_since(mark).len();
    assert!(
        (10..=25).contains(&attempts),
        "{attempts} attempts in ten minutes"
    );
}

#[tokio::test(start_paused = true)]
async fn a_server_that_asks_to_wait_is_left_alone() {
    let (cluster, _, mut events) = watched(&["a"]).await;
    until_ready(&mut events).await;
    quiet(&mut events).await;
    cluster.inject(Fault::status(429).verb("watch"));
    cluster.break_watches();
    let begun = Instant::now();
    assert!(short(&next(&mut events).await).starts_with("interrupted"));
    let mark = cluster.mark();
    tokio::time::sleep(Duration::from_millis(900)).await;
    let _ = tokio::time::timeout(Duration::ZERO, events.next()).await;
    assert!(cluster.requests_since(mark).is_empty());
    assert!(begun.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_quiet_day_is_quiet() {
    let (cluster, _, mut events) = watched(&["a"]).await;
    until_ready(&mut events).await;
    let mark = cluster.mark();
    let quiet = tokio::time::timeout(Duration::from_secs(3600), events.next()).await;
    assert!(quiet.is_err(), "{quiet:?}");
    let requests = cluster.requests_since(mark);
    assert!(requests.iter().all(|request| request.verb == "watch"));
    assert!((8..=30).contains(&requests.len()), "{}", requests.len());
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_vanishes_takes_its_objects_along_and_comes_back() {
    let cluster = FakeCluster::new();
    let applier = applier(&cluster);
    let definition = definition("widgets", "Widget");
    create(&applier, &definition).await;
    let settled = [wanted(&definition, Depth::Metadata)];
    applier
        .settle(&settled, Duration::from_secs(10))
        .await
        .unwrap();
    create(&applier, &widget("w")).await;
    let mut events = watch(&applier, &[widget("w")]);
    assert_eq!(until_ready(&mut events).await, ["seen w"]);
    raw(
        &cluster,
        Method::DELETE,
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.example.com",
        Value::Null,
    )
    .await;
    loop {
        match next(&mut events).await {
            LiveEvent::Gone { id, .. } => {
                assert_eq!(id.name, "w");
                break;
            }
            LiveEvent::Seen(_) | LiveEvent::Interrupted { .. } | LiveEvent::Ready => {}
            other => panic!("unexpected {other:?}"),
        }
    }
    let _ = tokio::time::timeout(Duration::from_secs(60), events.next()).await;
    create(&applier, &definition).await;
    let settling = applier.settle(&settled, Duration::from_secs(10));
    settling.await.unwrap();
    create(&applier, &widget("w")).await;
    loop {
        if let LiveEvent::Seen(live) = next(&mut events).await {
            assert_eq!(live.id.name, "w");
            break;
        }
    }
}

/// A client that may see and change config maps in one namespace, and nothing else.
async fn limited(cluster: &FakeCluster, namespace: &str) -> kube::Client {
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "limited"},
        "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["*"]}]});
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "limited"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "limited"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "robot"}]});
    let rbac = format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}");
    raw(cluster, Method::POST, &format!("{rbac}/roles"), role).await;
    raw(
        cluster,
        Method::POST,
        &format!("{rbac}/rolebindings"),
        binding,
    )
    .await;
    cluster.client_as("robot", &["system:authenticated"])
}

async fn in_namespace(cluster: &FakeCluster, namespace: &str) -> Manifest {
    let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
    raw(cluster, Method::POST, "/api/v1/namespaces", body).await;
    ours(
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "namespace": namespace}}),
    )
}

#[tokio::test(start_paused = true)]
async fn who_may_not_watch_the_cluster_watches_the_namespaces() {
    let cluster = FakeCluster::new();
    let there = in_namespace(&cluster, "there").await;
    let applier = over(limited(&cluster, "default").await);
    limited(&cluster, "there").await;
    create(&applier, &config_map("a", "1")).await;
    let mut events = watch(&applier, &[config_map("a", "1")]);
    assert_eq!(until_ready(&mut events).await, ["seen a"]);
    edit(&cluster, "a", json!({"data": {"key": "2"}})).await;
    assert_eq!(short(&next(&mut events).await), "seen a");
    // A namespace that is used for the first time is watched from then on.
    create(&applier, &there).await;
    loop {
        if short(&next(&mut events).await) == "seen x" {
            break;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn namespaces_that_were_named_are_the_only_ones_watched() {
    let cluster = FakeCluster::new();
    let there = in_namespace(&cluster, "there").await;
    let applier = KubeApplier::builder(cluster.client())
        .reconciler(US)
        .namespaces(["default"])
        .build()
        .unwrap();
    create(&applier, &config_map("a", "1")).await;
    create(&applier, &there).await;
    let mut events = watch(&applier, &[config_map("a", "1"), there.clone()]);
    // What is expected elsewhere is looked at, once.
    assert_eq!(until_ready(&mut events).await, ["seen a", "seen x"]);
    for request in cluster.requests() {
        if matches!(request.verb.as_str(), "list" | "watch") {
            assert_eq!(request.namespace.as_deref(), Some("default"), "{request}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn our_own_event_before_the_answer_is_no_sign_that_nothing_was_written() {
    let cluster = FakeCluster::new();
    let inner = cluster.service();
    // The answer to a write takes a second longer than the event.
    let slow = tower::service_fn(move |request: http::Request<kube::client::Body>| {
        let mut inner = inner.clone();
        async move {
            let write = request.method() == Method::PATCH;
            let answer = tower::Service::call(&mut inner, request).await;
            if write {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            answer
        }
    });
    let applier = over(kube::Client::new(slow, "default"));
    let created = create(&applier, &config_map("a", "1")).await;
    let mut events = watch(&applier, &[config_map("a", "1")]);
    until_ready(&mut events).await;
    let (changed, uid) = (config_map("a", "2"), Precondition::Uid { uid: created.uid });
    let (applied, seen) = futures::join!(apply(&applier, &changed, uid), next(&mut events));
    assert_eq!(short(&seen), "seen a");
    assert_eq!(applied.unwrap().outcome, WriteOutcome::Updated);
}

#[tokio::test]
async fn an_event_takes_no_longer_than_the_server_does() {
    let (_, applier, mut events) = watched(&["a"]).await;
    until_ready(&mut events).await;
    let uid = live(&applier, &config_map("a", "1")).await.uid;
    let mut slowest = Duration::ZERO;
    for round in 0..50 {
        let manifest = config_map("a", &round.to_string());
        let uid = Precondition::Uid { uid: uid.clone() };
        apply(&applier, &manifest, uid).await.unwrap();
        let begun = Instant::now();
        assert_eq!(short(&next(&mut events).await), "seen a");
        slowest = slowest.max(begun.elapsed());
    }
    // Far more than it takes, far less than any timer that could be in the way.
    assert!(slowest < Duration::from_millis(200), "{slowest:?}");
}
