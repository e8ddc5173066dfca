//! What the tests share.

use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::BoxStream;
use gitops_core::{
    Applied, Applier as _, ApplyError, ApplyRequest, Depth, GroupKind, LiveEvent, LiveObject,
    Manifest, ObjectId, Origin, Precondition, ReconcilerName, Wanted, mark_owned,
};
use gitops_kube::KubeApplier;
use gitops_testkit::cluster::FakeCluster;
use http::{Method, Request, Response};
use http_body_util::BodyExt as _;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

pub(crate) const US: &str = "payments";

pub(crate) fn us() -> ReconcilerName {
    ReconcilerName::new(US).unwrap()
}

pub(crate) fn applier(cluster: &FakeCluster) -> KubeApplier {
    over(cluster.client())
}

pub(crate) fn over(client: Client) -> KubeApplier {
    KubeApplier::builder(client).reconciler(US).build().unwrap()
}

/// A manifest without our marks.
pub(crate) fn plain(value: Value) -> Manifest {
    Manifest::new(value, Origin::new("app.yaml".parse().unwrap(), 1, 1)).unwrap()
}

/// A manifest with our marks.
pub(crate) fn ours(value: Value) -> Manifest {
    mark_owned(&plain(value), &us())
}

pub(crate) fn config_map(name: &str, value: &str) -> Manifest {
    ours(
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"},
        "data": {"key": value}}),
    )
}

pub(crate) fn deployment(name: &str, replicas: u32) -> Manifest {
    ours(
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": "default"},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": {
            "metadata": {"labels": {"app": name}},
            "spec": {"containers": [{"name": "app", "image": "example.com/app:1"}]}}}}),
    )
}

pub(crate) fn definition(plural: &str, kind: &str) -> Manifest {
    ours(
        json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.example.com")},
        "spec": {"group": "example.com", "scope": "Namespaced", "names": {"plural": plural, "singular": kind.to_lowercase(), "kind": kind, "listKind": format!("{kind}List")},
            "versions": [
                {"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer"}}}}}}},
                {"name": "v1beta1", "served": false, "storage": false, "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}},
            ]}}),
    )
}

pub(crate) fn widget(name: &str) -> Manifest {
    ours(
        json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": name, "namespace": "default"}, "spec": {"size": 1}}),
    )
}

pub(crate) async fn apply(
    applier: &KubeApplier,
    manifest: &Manifest,
    precondition: Precondition,
) -> Result<Applied, ApplyError> {
    applier
        .apply(&ApplyRequest::new(manifest.clone(), precondition))
        .await
}

/// Creates an object that isn't there.
pub(crate) async fn create(applier: &KubeApplier, manifest: &Manifest) -> Applied {
    apply(applier, manifest, Precondition::Absent)
        .await
        .unwrap()
}

pub(crate) fn wanted(manifest: &Manifest, depth: Depth) -> Wanted {
    Wanted {
        id: manifest.id().clone(),
        version: manifest.gvk().version,
        depth,
    }
}

/// The object as it is, which must be there.
pub(crate) async fn live(applier: &KubeApplier, manifest: &Manifest) -> LiveObject {
    found(applier, manifest).await.unwrap()
}

/// The object as it is, if it is there.
pub(crate) async fn found(applier: &KubeApplier, manifest: &Manifest) -> Option<LiveObject> {
    let wanted = wanted(manifest, Depth::Whole);
    let mut observation = applier.observe(std::slice::from_ref(&wanted)).await;
    observation.remove(&wanted.id).unwrap().unwrap()
}

pub(crate) fn exactly(live: &LiveObject) -> Precondition {
    Precondition::Version {
        uid: live.uid.clone(),
        resource_version: live.resource_version.clone(),
    }
}

pub(crate) fn id_of(kind: &str, name: &str) -> ObjectId {
    ObjectId::namespaced(GroupKind::new("", kind), "default", name)
}

/// Somebody else's request, by a client of their own.
pub(crate) async fn raw(cluster: &FakeCluster, method: Method, path: &str, body: Value) -> Value {
    let content_type = match method {
        Method::PATCH => "application/merge-patch+json",
        _ => "application/json",
    };
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", content_type)
        .header("user-agent", "kubectl-edit/1")
        .body(if body.is_null() {
            Vec::new()
        } else {
            body.to_string().into_bytes()
        })
        .unwrap();
    cluster.client().request(request).await.unwrap()
}

/// The next event of a watch, which must come without waiting for anything but the answer.
pub(crate) async fn next(events: &mut BoxStream<'static, LiveEvent>) -> LiveEvent {
    tokio::time::timeout(Duration::from_secs(600), events.next())
        .await
        .expect("no event")
        .expect("the stream never ends")
}

/// Events as short texts.
pub(crate) fn short(event: &LiveEvent) -> String {
    match event {
        LiveEvent::Seen(live) => format!("seen {}", live.id.name),
        LiveEvent::Gone { id, .. } => format!("gone {}", id.name),
        LiveEvent::Ready => "ready".into(),
        LiveEvent::Interrupted { reason } => format!("interrupted: {reason}"),
        other => format!("{other:?}"),
    }
}

/// All events up to and with the next `Ready`, sorted but for `Ready`.
pub(crate) async fn until_ready(events: &mut BoxStream<'static, LiveEvent>) -> Vec<String> {
    let mut told = Vec::new();
    loop {
        match next(events).await {
            LiveEvent::Ready => {
                told.sort();
                return told;
            }
            event => told.push(short(&event)),
        }
    }
}

/// That nothing is told within ten seconds.
pub(crate) async fn quiet(events: &mut BoxStream<'static, LiveEvent>) {
    let event = tokio::time::timeout(Duration::from_secs(10), events.next()).await;
    if let Ok(event) = event {
        panic!("unexpected {event:?}");
    }
}

/// A client of which each request may be answered by `instead`, and goes to the cluster
/// where it isn't.
pub(crate) fn between(
    cluster: &FakeCluster,
    instead: impl Fn(&mut Request<Body>) -> Option<Response<String>> + Send + Sync + 'static,
) -> Client {
    let inner = cluster.service();
    let instead = std::sync::Arc::new(instead);
    let service = tower::service_fn(move |mut request: Request<Body>| {
        let (mut inner, instead) = (inner.clone(), instead.clone());
        async move {
            let answer: Response<Body> = match instead(&mut request) {
                Some(answer) => answer.map(|text| Body::from(text.into_bytes())),
                None => {
                    let answer = tower::Service::call(&mut inner, request).await?;
                    let (parts, body) = answer.into_parts();
                    let body = body.collect().await?.to_bytes();
                    Response::from_parts(parts, Body::from(body))
                }
            };
            Ok::<_, gitops_core::BoxError>(answer)
        }
    });
    Client::new(service, "default")
}
