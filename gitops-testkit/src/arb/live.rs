//! Objects as they are in a cluster.

use gitops_core::{FieldManager, Manifest};
use gitops_diff::managed::{Apply, ManagedError, Target, apply};
use gitops_diff::schema::Schemas;
use serde_json::{Value, json};

use super::edit::{now, served, type_of};

/// The object that a server has after `manager` applied `manifest` to nothing: with its
/// uid, its resourceVersion and its owners, and otherwise word for word what was applied.
///
/// With [`EditKind::Default`](super::EditKind::Default) it gets the server's form.
///
/// ```
/// use gitops_core::{FieldManager, Manifest, Origin};
/// use gitops_diff::schema::Schemas;
/// use gitops_testkit::arb;
/// use serde_json::json;
///
/// let manifest = Manifest::new(
///     json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "v"}}),
///     Origin::new("a.yaml".parse()?, 1, 1),
/// )?;
/// let live = arb::created(&manifest, &FieldManager::new("ours")?, &Schemas::builtin())?;
/// assert_eq!(live["metadata"]["managedFields"][0]["manager"], "ours");
/// assert_eq!(live["data"], json!({"k": "v"}));
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// If the manifest doesn't fit its type, or no schema has its kind.
pub fn created(
    manifest: &Manifest,
    manager: &FieldManager,
    schemas: &Schemas,
) -> Result<Value, ManagedError> {
    let mut live = applied(manifest, &json!({}), manager, schemas)?;
    if let Some(metadata) = live["metadata"].as_object_mut() {
        metadata.insert("uid".into(), json!("8d7a3e52-0f3c-4b1e-9c56-1f0e2a7b4c11"));
        metadata.insert("resourceVersion".into(), json!("41"));
        metadata.insert("generation".into(), json!(1));
        metadata.insert("creationTimestamp".into(), json!("2026-01-02T03:04:05Z"));
    }
    Ok(live)
}

/// `live` after `manager` applied `manifest` with force. An empty object is no object.
///
/// # Errors
///
/// As for [`created`].
pub fn applied(
    manifest: &Manifest,
    live: &Value,
    manager: &FieldManager,
    schemas: &Schemas,
) -> Result<Value, ManagedError> {
    let gvk = manifest.gvk();
    let versions = schemas
        .kind(&gvk.group, &gvk.kind)
        .ok_or_else(|| ManagedError::Internal(format!("no schema has {}", manifest.id())))?;
    let target = Target::new(&versions, gvk.api_version(), gvk.kind.clone());
    let desired = manifest.value();
    let mut request = Apply::new(&desired, manager.as_str(), now()).force();
    if live.as_object().is_some_and(|members| !members.is_empty()) {
        request = request.live(live);
    }
    Ok(apply(&target, &request)?.object)
}

/// The object in the server's form, its owners as they are.
pub(crate) fn as_served(object: &Value, schemas: &Schemas) -> Value {
    let managed = object["metadata"].get("managedFields").cloned();
    let mut served = served(object, type_of(object, schemas));
    if let (Some(managed), Some(metadata)) = (managed, served["metadata"].as_object_mut()) {
        metadata.insert("managedFields".into(), managed);
    }
    served
}
