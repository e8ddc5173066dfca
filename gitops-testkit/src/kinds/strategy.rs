//! What the server does with an object before it validates and stores it: which parts a
//! request may touch, what is reset, and when `metadata.generation` moves.

use serde_json::{Map, Value, json};

use super::{
    Kind, default, defaults, normalize, service,
    value::{items, object, remove, set, set_default, text, unset},
};

/// What a request writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Target {
    /// The object itself.
    Object,
    /// Its `/status`.
    Status,
    /// A namespace's `/finalize`.
    Finalize,
}

/// Does what the admission plugins that are on by default do to a new or changed object:
/// a Pod's tolerations and priority, the finalizers that protect volumes and claims.
///
/// Plugins that look at other objects (LimitRanger, default classes, the ServiceAccount
/// plugin) are the caller's business.
pub fn admit(kind: Kind, obj: &mut Value, old: Option<&Value>) {
    match (kind.group(), kind.name()) {
        ("", "Pod") => {
            let Some(spec) = object(obj, "spec") else {
                return;
            };
            for key in [
                "node.kubernetes.io/not-ready",
                "node.kubernetes.io/unreachable",
            ] {
                if defaults::tolerates(spec, key) {
                    continue;
                }
                let toleration = json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300});
                push(spec, "tolerations", toleration);
            }
            if old.is_none() {
                let known = match text(spec, "priorityClassName") {
                    "" => Some(0_i64),
                    "system-cluster-critical" => Some(2_000_000_000),
                    "system-node-critical" => Some(2_000_001_000),
                    _ => None,
                };
                if let Some(priority) = known {
                    set_missing_number(spec, "priority", priority);
                    set_default(spec, "preemptionPolicy", "PreemptLowerPriority");
                }
            }
        }
        ("", "PersistentVolumeClaim") if old.is_none() => {
            protect(obj, "kubernetes.io/pvc-protection")
        }
        ("", "PersistentVolume") if old.is_none() => protect(obj, "kubernetes.io/pv-protection"),
        ("storage.k8s.io", "VolumeAttributesClass") if old.is_none() => {
            protect(obj, "kubernetes.io/vac-protection")
        }
        _ => {}
    }
}

fn set_missing_number(obj: &mut Value, key: &str, value: i64) {
    if unset(obj, key) {
        set(obj, key, value);
    }
}

fn push(parent: &mut Value, key: &str, item: Value) {
    if let Value::Object(map) = parent {
        match map.get_mut(key) {
            Some(Value::Array(list)) => list.push(item),
            _ => {
                map.insert(key.to_owned(), Value::Array(vec![item]));
            }
        }
    }
}

fn protect(obj: &mut Value, finalizer: &str) {
    if let Some(meta) = object(obj, "metadata")
        && !items(&meta["finalizers"]).iter().any(|f| f == finalizer)
    {
        push(meta, "finalizers", json!(finalizer));
    }
}

/// How a kind treats `metadata.generation`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Generation {
    /// The server leaves it alone.
    None,
    /// 1 on create, and never more.
    Fixed,
    /// 1 on create, one more when `spec` changes.
    Spec,
    /// The same, or when the annotations change.
    SpecOrAnnotations,
    /// One more when anything but the metadata (labels count) or the status changes.
    Body,
}

fn generation(kind: Kind) -> Generation {
    match (kind.group(), kind.name()) {
        ("apps", "Deployment") => Generation::SpecOrAnnotations,
        ("apps", "ReplicaSet" | "StatefulSet" | "DaemonSet")
        | ("batch", _)
        | ("", "Pod" | "ReplicationController")
        | ("networking.k8s.io", "Ingress" | "NetworkPolicy" | "IngressClass")
        | ("policy", "PodDisruptionBudget")
        | ("flowcontrol.apiserver.k8s.io", _)
        | ("apiextensions.k8s.io", _)
        | ("resource.k8s.io", "DeviceClass" | "ResourceSlice")
        | (
            "admissionregistration.k8s.io",
            "ValidatingAdmissionPolicy"
            | "ValidatingAdmissionPolicyBinding"
            | "MutatingAdmissionPolicy"
            | "MutatingAdmissionPolicyBinding",
        ) => Generation::Spec,
        ("", "PodTemplate")
        | ("discovery.k8s.io", "EndpointSlice")
        | (
            "admissionregistration.k8s.io",
            "ValidatingWebhookConfiguration" | "MutatingWebhookConfiguration",
        ) => Generation::Body,
        ("scheduling.k8s.io", "PriorityClass") => Generation::Fixed,
        _ => Generation::None,
    }
}

fn has_status(kind: Kind) -> bool {
    super::types::Types::get()
        .at(kind.type_index())
        .is_some_and(|t| t.field("status").is_some())
        && !matches!(kind.name(), "ComponentStatus")
}

/// Makes a new object ready to be validated and stored: no status, first generation, and
/// what the kind's strategy adds.
///
/// The caller has set `metadata.uid`, `creationTimestamp`, `namespace` and the generated name.
pub fn prepare_create(kind: Kind, obj: &mut Value) {
    let created = obj["metadata"]["creationTimestamp"].clone();
    if let Some(meta) = object(obj, "metadata") {
        for key in [
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "selfLink",
        ] {
            remove(meta, key);
        }
        if generation(kind) != Generation::None {
            set(meta, "generation", 1);
        }
    }
    if has_status(kind) && !is_review(kind) {
        remove(obj, "status");
    }
    match (kind.group(), kind.name()) {
        ("", "Pod") => {
            let class = defaults::qos_class(&obj["spec"]);
            set(
                obj,
                "status",
                json!({"phase": "Pending", "qosClass": class}),
            );
        }
        ("apps", "DaemonSet") => template_generation(obj, 1),
        ("batch", "Job") => generate_selector(obj),
        ("", "Service") => service::normalize_ips(obj, None),
        ("", "Namespace") => {
            if let Some(spec) = object(obj, "spec")
                && !items(&spec["finalizers"]).iter().any(|f| f == "kubernetes")
            {
                push(spec, "finalizers", json!("kubernetes"));
            }
        }
        ("", "PersistentVolume") => {
            set(
                obj,
                "status",
                json!({"phase": "Pending", "lastPhaseTransitionTime": created}),
            );
        }
        ("apiextensions.k8s.io", "CustomResourceDefinition") => crate::crd::prepare_create(obj),
        _ => {}
    }
    // What is stored is read back with defaults.
    default(kind, obj, None);
}

/// Reviews are answered, not stored: their status is the answer.
fn is_review(kind: Kind) -> bool {
    matches!(
        kind.group(),
        "authentication.k8s.io" | "authorization.k8s.io"
    )
}

fn template_generation(obj: &mut Value, generation: i64) {
    if let Some(annotations) = object(obj, "metadata").and_then(|m| object(m, "annotations")) {
        set(
            annotations,
            defaults::TEMPLATE_GENERATION,
            generation.to_string(),
        );
    }
}

/// The labels and the selector that tie pods to their Job.
fn generate_selector(obj: &mut Value) {
    if obj["spec"]["manualSelector"] == true {
        return;
    }
    let uid = text(&obj["metadata"], "uid").to_owned();
    let name = text(&obj["metadata"], "name").to_owned();
    // Labels that came from the template by default are the same map in the server.
    let shared = !unset(&obj["metadata"], "labels")
        && obj["metadata"]["labels"] == obj["spec"]["template"]["metadata"]["labels"];
    let Some(spec) = object(obj, "spec") else {
        return;
    };
    let labels = object(spec, "template")
        .and_then(|t| object(t, "metadata"))
        .and_then(|m| object(m, "labels"));
    let mut copied = Value::Null;
    if let Some(labels) = labels {
        for prefix in ["", "batch.kubernetes.io/"] {
            let (job, controller) = (
                format!("{prefix}job-name"),
                format!("{prefix}controller-uid"),
            );
            for (key, value) in [(job, &name), (controller, &uid)] {
                if unset(labels, &key) {
                    set(labels, &key, value.clone());
                }
            }
        }
        copied = labels.clone();
    }
    if let Some(matching) = object(spec, "selector").and_then(|s| object(s, "matchLabels"))
        && unset(matching, "batch.kubernetes.io/controller-uid")
    {
        set(matching, "batch.kubernetes.io/controller-uid", uid);
    }
    if shared && let Some(meta) = object(obj, "metadata") {
        set(meta, "labels", copied);
    }
}

/// Makes an update ready to be validated: what `target` may not touch is taken from `old`,
/// and the generation moves if it must.
pub fn prepare_update(kind: Kind, obj: &mut Value, old: &Value, target: Target) {
    keep_system_metadata(obj, old);
    match target {
        Target::Object => prepare_object_update(kind, obj, old),
        Target::Status => prepare_status_update(kind, obj, old),
        Target::Finalize => {
            set(obj, "status", old["status"].clone());
        }
    }
    normalize(kind, obj);
}

fn keep_system_metadata(obj: &mut Value, old: &Value) {
    let Some(meta) = object(obj, "metadata") else {
        return;
    };
    let old = &old["metadata"];
    copy(meta, old, "generation");
    copy(meta, old, "creationTimestamp");
    remove(meta, "selfLink");
    for key in [
        "uid",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "namespace",
    ] {
        if unset(meta, key) {
            copy(meta, old, key);
        }
    }
}

/// Makes member `key` what it is in `from`: absent if it isn't there.
fn copy(to: &mut Value, from: &Value, key: &str) {
    match from.get(key) {
        Some(value) => set(to, key, value.clone()),
        None => {
            remove(to, key);
        }
    }
}

fn prepare_object_update(kind: Kind, obj: &mut Value, old: &Value) {
    if has_status(kind) && !is_review(kind) {
        copy(obj, old, "status");
    }
    match (kind.group(), kind.name()) {
        ("", "Service") => service::prepare_update(obj, old),
        ("", "Namespace") => {
            let finalizers = old["spec"].get("finalizers").cloned();
            if let Some(spec) = object(obj, "spec") {
                match finalizers {
                    Some(finalizers) => set(spec, "finalizers", finalizers),
                    None => {
                        remove(spec, "finalizers");
                    }
                }
            }
        }
        ("", "Secret") => {
            let kind = text(old, "type").to_owned();
            set_default(obj, "type", kind);
        }
        ("apps", "DaemonSet") => {
            let current = old["metadata"]["annotations"][defaults::TEMPLATE_GENERATION]
                .as_str()
                .and_then(|t| t.parse::<i64>().ok())
                .unwrap_or(0);
            let changed = obj["spec"]["template"] != old["spec"]["template"];
            template_generation(obj, current + i64::from(changed));
        }
        ("apiextensions.k8s.io", "CustomResourceDefinition") => {
            crate::crd::prepare_update(obj, old)
        }
        _ => {}
    }
    let mut now = obj.clone();
    normalize(kind, &mut now);
    let changed = match generation(kind) {
        Generation::None | Generation::Fixed => false,
        Generation::Spec => now["spec"] != old["spec"],
        Generation::SpecOrAnnotations => {
            now["spec"] != old["spec"]
                || now["metadata"]["annotations"] != old["metadata"]["annotations"]
        }
        Generation::Body => {
            body(&now) != body(old)
                || now["metadata"]["labels"] != old["metadata"]["labels"]
                    && kind.name() == "EndpointSlice"
        }
    };
    if changed {
        let next = old["metadata"]["generation"]
            .as_i64()
            .unwrap_or(0)
            .saturating_add(1);
        if let Some(meta) = object(obj, "metadata") {
            set(meta, "generation", next);
        }
    }
}

fn body(obj: &Value) -> Map<String, Value> {
    let mut body = obj.as_object().cloned().unwrap_or_default();
    body.remove("metadata");
    body.remove("status");
    body
}

/// Only the status is written. Which metadata a client may change along with it differs by kind.
fn prepare_status_update(kind: Kind, obj: &mut Value, old: &Value) {
    let keys: Vec<String> = obj
        .as_object()
        .into_iter()
        .chain(old.as_object())
        .flat_map(Map::keys)
        .filter(|k| !matches!(k.as_str(), "metadata" | "status" | "kind" | "apiVersion"))
        .cloned()
        .collect();
    for key in keys {
        copy(obj, old, &key);
    }
    let kept: &[&str] = match (kind.group(), kind.name()) {
        ("apps", "Deployment") => &["labels"],
        ("", "Pod") => &["ownerReferences"],
        ("apiextensions.k8s.io" | "flowcontrol.apiserver.k8s.io" | "storage.k8s.io", _)
        | ("certificates.k8s.io" | "apiregistration.k8s.io" | "resource.k8s.io", _)
        | ("admissionregistration.k8s.io", _)
        | ("networking.k8s.io", "ServiceCIDR") => {
            &["labels", "annotations", "finalizers", "ownerReferences"]
        }
        _ => &[],
    };
    if let Some(meta) = object(obj, "metadata") {
        for key in kept {
            copy(meta, &old["metadata"], key);
        }
        if kind.name() == "Pod" {
            copy(meta, &old["metadata"], "deletionTimestamp");
        }
    }
    if (kind.group(), kind.name()) == ("apps", "DaemonSet") {
        // It is a field of the spec in truth, and only shown as an annotation.
        let current = old["metadata"]["annotations"][defaults::TEMPLATE_GENERATION]
            .as_str()
            .and_then(|t| t.parse::<i64>().ok());
        if let Some(current) = current {
            template_generation(obj, current);
        }
    }
    if kind.name() == "Pod"
        && let Some(status) = object(obj, "status")
        && text(status, "qosClass").is_empty()
    {
        copy(status, &old["status"], "qosClass");
    }
}
