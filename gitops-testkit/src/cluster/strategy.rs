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

/// Whether status labels are taken back to what they were by a write of `/status`.
pub(crate) fn status_keeps_labels(resource: &Resource) -> bool {
    resource.group == "apps" && resource.plural == "deployments"
}

/// Whether a member of `metadata` can be changed through `/status`.
pub(crate) fn status_keeps_metadata(resource: &Resource) -> bool {
    resource.is_custom() || resource.is("apiextensions.k8s.io", "customresourcedefinitions")
}

/// The members of an object whose change counts up its generation.
fn generation_members(resource: &Resource) -> Option<&'static [&'static str]> {
    Some(match (resource.group.as_str(), resource.plural.as_str()) {
        ("", "pods" | "replicationcontrollers") => &["spec"],
        ("apps", "daemonsets") => &["spec"],
        ("apps", "deployments") => &["spec", "metadata.annotations"],
        ("apps", "replicasets" | "statefulsets") => &["spec"],
        ("batch", _) => &["spec"],
        ("networking.k8s.io", "ingresses") => &["spec", "metadata.annotations"],
        ("networking.k8s.io", "networkpolicies" | "ingressclasses") => &["spec"],
        ("policy", "poddisruptionbudgets") => &["spec"],
        ("apiextensions.k8s.io", "customresourcedefinitions") => &["spec"],
        ("admissionregistration.k8s.io", "validatingwebhookconfigurations" | "mutatingwebhookconfigurations") => {
            &["webhooks"]
        }
        ("admissionregistration.k8s.io", _) => &["spec"],
        ("flowcontrol.apiserver.k8s.io", _) => &["spec"],
        ("discovery.k8s.io", "endpointslices") => &["endpoints", "ports", "addressType"],
        ("", "podtemplates") => &["template"],
        ("scheduling.k8s.io", "priorityclasses") => &["value"],
        ("resource.k8s.io", "resourceslices" | "deviceclasses") => &["spec"],
        _ => return None,
    })
}

fn generation(object: &Value) -> i64 {
    object.pointer("/metadata/generation").and_then(Value::as_i64).unwrap_or(0)
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

/// The generation of a new object: one for kinds that count, else what the client says.
pub(crate) fn first_generation(resource: &Resource, object: &mut Value) {
    if resource.is_custom() || generation_members(resource).is_some() {
        set_generation(object, 1);
    }
}

/// Counts the generation up if the update changes what it counts.
pub(crate) fn next_generation(resource: &Resource, new: &mut Value, old: &Value) {
    let changed = if let Some(custom) = &resource.custom {
        let differs = |key: &str| new.get(key) != old.get(key);
        let members = || {
            let names = new.as_object().into_iter().chain(old.as_object());
            names.flat_map(|map| map.keys())
        };
        members().any(|key| {
            key != "metadata" && !(key == "status" && custom.has_status) && differs(key)
        })
    } else {
        let at = |object: &Value, path: &str| object.pointer(&format!("/{}", path.replace('.', "/"))).cloned();
        generation_members(resource)
            .into_iter()
            .flatten()
            .any(|path| at(new, path) != at(old, path))
    };
    set_generation(new, generation(old) + i64::from(changed));
}

/// Counts the generation up because the object begins to be deleted.
pub(crate) fn deletion_generation(object: &mut Value) {
    let now = generation(object);
    if now > 0 {
        set_generation(object, now + 1);
    }
}
