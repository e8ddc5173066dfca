//! What differs from kind to kind when objects are written: generation, status,
//! conditional updates, deletion. From the `strategy.go` of each registry.

use serde_json::Value;

use super::registry::Resource;

/// Whether a kind may be created by an update.
pub(crate) fn create_on_update(resource: &Resource) -> bool {
    matches!(
        (resource.group.as_str(), resource.plural.as_str()),
        ("", "services" | "endpoints" | "events" | "limitranges")
            | ("events.k8s.io", "events")
            | ("coordination.k8s.io", "leases")
            | ("rbac.authorization.k8s.io", _)
            | ("node.k8s.io", "runtimeclasses")
    ) && !resource.is_custom()
}

/// Whether an update needs no resourceVersion.
pub(crate) fn unconditional_update(resource: &Resource) -> bool {
    !resource.is_custom()
        && !matches!(
            (resource.group.as_str(), resource.plural.as_str()),
            ("policy", "poddisruptionbudgets")
                | ("coordination.k8s.io", "leases")
                | ("apiregistration.k8s.io" | "apiextensions.k8s.io", _)
                | ("admissionregistration.k8s.io" | "node.k8s.io", _)
                | ("flowcontrol.apiserver.k8s.io", _)
                | (
                    "storage.k8s.io",
                    "csidrivers" | "csinodes" | "volumeattachments" | "csistoragecapacities"
                )
        )
}

/// Whether a delete answers with the object rather than with a `Status`.
pub(crate) fn returns_deleted(resource: &Resource) -> bool {
    resource.group.is_empty()
        && matches!(
            resource.plural.as_str(),
            "pods"
                | "persistentvolumes"
                | "persistentvolumeclaims"
                | "podtemplates"
                | "resourcequotas"
                | "services"
                | "serviceaccounts"
        )
}

/// Whether dependents are orphaned when a delete says nothing.
pub(crate) fn orphans_by_default(resource: &Resource) -> bool {
    resource.is("batch", "jobs") || resource.is("", "replicationcontrollers")
}

fn generation(object: &Value) -> i64 {
    object
        .pointer("/metadata/generation")
        .and_then(Value::as_i64)
        .unwrap_or(0)
}

fn set_generation(object: &mut Value, generation: i64) {
    if let Some(meta) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        if generation == 0 {
            meta.remove("generation");
        } else {
            meta.insert("generation".to_owned(), generation.into());
        }
    }
}

/// Counts the generation up because the object begins to be deleted.
pub(crate) fn deletion_generation(object: &mut Value) {
    let now = generation(object);
    if now > 0 {
        set_generation(object, now + 1);
    }
}

/// Counts the generation up if the spec differs from the live one.
pub(crate) fn next_generation(object: &mut Value, live: &Value) {
    let changed = object.get("spec") != live.get("spec");
    set_generation(object, generation(live) + i64::from(changed));
}
