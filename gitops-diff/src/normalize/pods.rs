//! Rules of pods and of what makes them.

use gitops_core::GroupKind;
use serde_json::{Map, Value};

use super::{Normalizer, at, at_mut, elements_mut, is, text_of};

/// The way to the spec of a pod in objects of this kind; empty if they have none.
fn pod_spec(group: &str, kind: &str) -> &'static [&'static str] {
    match (group, kind) {
        ("", "Pod") => &["spec"],
        ("", "PodTemplate") => &["template", "spec"],
        ("", "ReplicationController")
        | ("apps", "DaemonSet" | "Deployment" | "ReplicaSet" | "StatefulSet")
        | ("batch", "Job") => &["spec", "template", "spec"],
        ("batch", "CronJob") => &["spec", "jobTemplate", "spec", "template", "spec"],
        _ => &[],
    }
}

/// As [`pod_spec`], of an object.
fn pod_spec_of(object: &Value) -> &'static [&'static str] {
    let text = |name: &str| object.get(name).and_then(Value::as_str).unwrap_or_default();
    let group = text("apiVersion")
        .split_once('/')
        .map_or("", |(group, _)| group);
    pod_spec(group, text("kind"))
}

/// `serviceAccount` in the spec of a pod is the old name of `serviceAccountName`. The
/// server keeps both alike, and where they disagree the new name counts.
#[derive(Debug, Clone, Copy, Default)]
pub struct AccountAlias;

fn account(spec: &Map<String, Value>) -> Option<&str> {
    let name = text_of(spec, "serviceAccountName");
    let old = text_of(spec, "serviceAccount");
    (!name.is_empty() && !old.is_empty() && name != old).then_some(name)
}

impl Normalizer for AccountAlias {
    fn applies_to(&self, kind: &GroupKind) -> bool {
        !pod_spec(&kind.group, &kind.kind).is_empty()
    }

    fn touches(&self, object: &Value) -> bool {
        at(object, pod_spec_of(object))
            .and_then(Value::as_object)
            .and_then(account)
            .is_some()
    }

    fn normalize(&self, object: &mut Value) {
        let path = pod_spec_of(object);
        let Some(Value::Object(spec)) = at_mut(object, path) else {
            return;
        };
        if let Some(name) = account(spec).map(str::to_owned) {
            spec.insert("serviceAccount".to_owned(), name.into());
        }
    }
}

/// The server lets each pod stay for 300 seconds on a node that is not ready or can't be
/// reached, unless the pod says for itself how long ([taint-based evictions]). It says so
/// in the pod's tolerations, which are compared as a whole.
///
/// [taint-based evictions]: https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/#taint-based-evictions
#[derive(Debug, Clone, Copy, Default)]
pub struct AddedTolerations;

fn is_added(toleration: &Value) -> bool {
    let Some(members) = toleration.as_object() else {
        return false;
    };
    let text = |name| text_of(members, name);
    members.len() == 4
        && matches!(
            text("key"),
            "node.kubernetes.io/not-ready" | "node.kubernetes.io/unreachable"
        )
        && text("operator") == "Exists"
        && text("effect") == "NoExecute"
        && members
            .get("tolerationSeconds")
            .is_some_and(|seconds| seconds == 300)
}

impl Normalizer for AddedTolerations {
    fn applies_to(&self, kind: &GroupKind) -> bool {
        is(kind, "", "Pod")
    }

    fn touches(&self, object: &Value) -> bool {
        at(object, &["spec", "tolerations"])
            .and_then(Value::as_array)
            .is_some_and(|tolerations| tolerations.iter().any(is_added))
    }

    fn normalize(&self, object: &mut Value) {
        if let Some(Value::Array(tolerations)) = at_mut(object, &["spec", "tolerations"]) {
            tolerations.retain(|toleration| !is_added(toleration));
        }
    }
}

/// The claims that a stateful set makes: their `kind`, `apiVersion` and `status` are
/// filled in by the server and mean nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct ClaimTemplates;

impl Normalizer for ClaimTemplates {
    fn applies_to(&self, kind: &GroupKind) -> bool {
        is(kind, "apps", "StatefulSet")
    }

    fn touches(&self, object: &Value) -> bool {
        at(object, &["spec", "volumeClaimTemplates"])
            .and_then(Value::as_array)
            .is_some_and(|templates| !templates.is_empty())
    }

    fn normalize(&self, object: &mut Value) {
        for template in elements_mut(at_mut(object, &["spec", "volumeClaimTemplates"])) {
            for name in ["apiVersion", "kind", "status"] {
                template.remove(name);
            }
        }
    }
}
