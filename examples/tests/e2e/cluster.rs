//! Looking at a fake cluster, and changing it behind a reconciler's back.

use std::collections::BTreeMap;
use std::path::Path;

use gitops_testkit::cluster::{FakeCluster, SavedCluster};
use kube::Client;
use kube::api::{
    Api, ApiResource, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams,
};
use kube::discovery::{self, Discovery, Scope};
use serde_json::Value;

/// The cluster that `--fake` keeps in this file.
pub(crate) fn open(state: &Path) -> FakeCluster {
    let saved: SavedCluster = serde_json::from_slice(&std::fs::read(state).unwrap()).unwrap();
    FakeCluster::builder()
        .controllers(true)
        .restore(&saved)
        .build()
}

/// Puts the cluster into the file.
pub(crate) fn save(cluster: &FakeCluster, state: &Path) {
    std::fs::write(state, serde_json::to_vec(&cluster.save()).unwrap()).unwrap();
}

/// Everything that is in the cluster, by `Kind.group namespace/name`.
pub(crate) async fn everything(client: &Client) -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    let known = Discovery::new(client.clone()).run().await.unwrap();
    for (resource, capabilities) in known.groups().flat_map(|g| g.resources_by_stability()) {
        // Component statuses and the like can be listed, and are no objects.
        if !capabilities.supports_operation(discovery::verbs::WATCH) {
            continue;
        }
        let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
        for object in api.list(&ListParams::default()).await.unwrap() {
            let id = name_of(
                &resource.group,
                &resource.kind,
                object.metadata.namespace.as_deref(),
                object.metadata.name.as_deref().unwrap(),
            );
            all.insert(id, serde_json::to_value(&object).unwrap());
        }
    }
    all
}

/// How objects are named here, as in the SDK: `Deployment.apps shop/web`.
pub(crate) fn name_of(group: &str, kind: &str, namespace: Option<&str>, name: &str) -> String {
    let dot = if group.is_empty() { "" } else { "." };
    let namespace = namespace.map(|n| format!("{n}/")).unwrap_or_default();
    format!("{kind}{dot}{group} {namespace}{name}")
}

/// The API of an object of the namespace `default`, or of one without a namespace.
pub(crate) async fn api(client: &Client, api_version: &str, kind: &str) -> Api<DynamicObject> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let gvk = GroupVersionKind::gvk(group, version, kind);
    let (resource, capabilities): (ApiResource, _) =
        discovery::pinned_kind(client, &gvk).await.unwrap();
    match capabilities.scope {
        Scope::Namespaced => Api::namespaced_with(client.clone(), "default", &resource),
        Scope::Cluster => Api::all_with(client.clone(), &resource),
    }
}

/// Changes an object as somebody else does, such as `kubectl edit`.
pub(crate) async fn edit(
    client: &Client,
    api_version: &str,
    kind: &str,
    name: &str,
    patch: &Value,
) {
    let params = PatchParams {
        field_manager: Some("kubectl-edit".into()),
        ..PatchParams::default()
    };
    api(client, api_version, kind)
        .await
        .patch(name, &params, &Patch::Merge(patch))
        .await
        .unwrap();
}
