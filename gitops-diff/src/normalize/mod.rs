//! Normalisers: for what the server or a controller rewrites and no schema says.
//!
//! Most of what other tools normalise needs no rule here, for the comparison knows the
//! schema: defaults, quantities, base64, lists with keys. What is left is a rule for a
//! kind, and a [`Normalizer`] is one such rule. [`builtin`] gives those of the built-in
//! kinds; users add theirs to the [`SchemaDiffer`](crate::differ::SchemaDiffer).

use gitops_core::GroupKind;
use serde_json::{Map, Value, json};

/// Brings an object into the form in which it is compared.
///
/// # Contract
///
/// * Pure and idempotent: normalising twice is normalising once.
/// * Desired and live are normalised alike, each on its own.
/// * It doesn't touch `metadata.managedFields`, `apiVersion`, `kind` or the name.
///
/// ```
/// use gitops_core::GroupKind;
/// use gitops_diff::normalize::Normalizer;
/// use serde_json::{Value, json};
///
/// /// An injector fills this in; it is nobody's desire.
/// struct InjectedCaBundle;
///
/// impl Normalizer for InjectedCaBundle {
///     fn applies_to(&self, kind: &GroupKind) -> bool {
///         kind.kind == "APIService"
///     }
///     fn normalize(&self, object: &mut Value) {
///         if let Some(spec) = object["spec"].as_object_mut() {
///             spec.remove("caBundle");
///         }
///     }
/// }
///
/// let mut service = json!({"spec": {"caBundle": "AAAA"}});
/// InjectedCaBundle.normalize(&mut service);
/// assert_eq!(service, json!({"spec": {}}));
/// ```
pub trait Normalizer: Send + Sync {
    /// Whether objects of this kind need it. Objects of others aren't copied for it.
    fn applies_to(&self, kind: &GroupKind) -> bool;

    /// Rewrites the object.
    fn normalize(&self, object: &mut Value);
}

const _: Option<&dyn Normalizer> = None;

/// The normalisers of the built-in kinds.
#[must_use]
pub fn builtin() -> &'static [&'static dyn Normalizer] {
    &[
        &AggregatedRules,
        &AllocatedPorts,
        &ClaimTemplates,
        &EndpointOrder,
        &SubjectGroups,
    ]
}

fn is(kind: &GroupKind, group: &str, name: &str) -> bool {
    kind.group == group && kind.kind == name
}

/// Rules of a cluster role that are gathered from others belong to the controller that
/// gathers them ([aggregated cluster roles]).
///
/// [aggregated cluster roles]: https://kubernetes.io/docs/reference/access-authn-authz/rbac/#aggregated-clusterroles
#[derive(Debug, Clone, Copy, Default)]
pub struct AggregatedRules;

impl Normalizer for AggregatedRules {
    fn applies_to(&self, kind: &GroupKind) -> bool {
        is(kind, "rbac.authorization.k8s.io", "ClusterRole")
    }

    fn normalize(&self, object: &mut Value) {
        if object.get("aggregationRule").is_some_and(Value::is_object)
            && let Some(members) = object.as_object_mut()
        {
            members.remove("rules");
        }
    }
}

/// What a service leaves to the server: `clusterIP: ""` and `nodePort: 0` ask for
/// nothing, and the server keeps what it allocated.
#[derive(Debug, Clone, Copy, Default)]
pub struct AllocatedPorts;

impl Normalizer for AllocatedPorts {
    fn applies_to(&self, kind: &GroupKind) -> bool {
        is(kind, "", "Service")
    }

    fn normalize(&self, object: &mut Value) {
        let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) else {
            return;
        };
        remove_if(spec, "clusterIP", &json!(""));
        remove_if(spec, "healthCheckNodePort", &json!(0));
        for port in elements(spec.get_mut("ports")) {
            remove_if(port, "nodePort", &json!(0));
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

    fn normalize(&self, object: &mut Value) {
        let templates = object
            .get_mut("spec")
            .and_then(|spec| spec.get_mut("volumeClaimTemplates"));
        for template in elements(templates) {
            for name in ["apiVersion", "kind", "status"] {
                template.remove(name);
            }
        }
    }
}

/// Endpoints are sorted by the server.
#[derive(Debug, Clone, Copy, Default)]
pub struct EndpointOrder;

impl Normalizer for EndpointOrder {
    fn applies_to(&self, kind: &GroupKind) -> bool {
        is(kind, "", "Endpoints")
    }

    fn normalize(&self, object: &mut Value) {
        for subset in elements(object.get_mut("subsets")) {
            for port in elements(subset.get_mut("ports")) {
                port.entry("protocol").or_insert_with(|| json!("TCP"));
            }
            for name in ["addresses", "notReadyAddresses", "ports"] {
                if let Some(Value::Array(items)) = subset.get_mut(name) {
                    items.sort_by_cached_key(sort_text);
                }
            }
        }
        if let Some(Value::Array(subsets)) = object.get_mut("subsets") {
            subsets.sort_by_cached_key(sort_text);
        }
    }
}

/// The API group of a role binding's subject is filled in by the server: none for a
/// service account, the one of RBAC for users and groups.
#[derive(Debug, Clone, Copy, Default)]
pub struct SubjectGroups;

impl Normalizer for SubjectGroups {
    fn applies_to(&self, kind: &GroupKind) -> bool {
        kind.group == "rbac.authorization.k8s.io"
            && matches!(kind.kind.as_str(), "RoleBinding" | "ClusterRoleBinding")
    }

    fn normalize(&self, object: &mut Value) {
        for subject in elements(object.get_mut("subjects")) {
            let group = match subject.get("kind").and_then(Value::as_str) {
                Some("User" | "Group") => "rbac.authorization.k8s.io",
                _ => continue,
            };
            let member = subject.entry("apiGroup").or_insert(Value::Null);
            if member.is_null() || member == "" {
                *member = group.into();
            }
        }
    }
}

fn remove_if(members: &mut Map<String, Value>, name: &str, value: &Value) {
    if members.get(name) == Some(value) {
        members.remove(name);
    }
}

/// The objects of a list; none if it isn't one.
fn elements(list: Option<&mut Value>) -> impl Iterator<Item = &mut Map<String, Value>> {
    list.and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
        .filter_map(Value::as_object_mut)
}

/// Text by which elements are sorted, whatever the order of their members.
fn sort_text(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|(name, _)| *name);
            members
                .into_iter()
                .map(|(name, member)| format!("{name}\u{0}{}\u{0}", sort_text(member)))
                .collect()
        }
        Value::Array(items) => items.iter().map(|item| sort_text(item) + "\u{1}").collect(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn builtin_normalisers_do_what_they_say_and_are_idempotent() {
        for (group, kind, object, expected) in [
            (
                "rbac.authorization.k8s.io",
                "ClusterRole",
                json!({"aggregationRule": {}, "rules": [{"verbs": ["get"]}]}),
                json!({"aggregationRule": {}}),
            ),
            (
                "rbac.authorization.k8s.io",
                "ClusterRole",
                json!({"rules": []}),
                json!({"rules": []}),
            ),
            (
                "",
                "Service",
                json!({"spec": {"clusterIP": "", "ports": [{"port": 80, "nodePort": 0}]}}),
                json!({"spec": {"ports": [{"port": 80}]}}),
            ),
            (
                "apps",
                "StatefulSet",
                json!({"spec": {"volumeClaimTemplates": [{"kind": "PersistentVolumeClaim", "status": {"phase": "Pending"}, "spec": {}}]}}),
                json!({"spec": {"volumeClaimTemplates": [{"spec": {}}]}}),
            ),
            (
                "",
                "Endpoints",
                json!({"subsets": [{"addresses": [{"ip": "10.0.0.2"}, {"ip": "10.0.0.1"}], "ports": [{"port": 80}]}]}),
                json!({"subsets": [{"addresses": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.2"}], "ports": [{"port": 80, "protocol": "TCP"}]}]}),
            ),
            (
                "rbac.authorization.k8s.io",
                "RoleBinding",
                json!({"subjects": [{"kind": "User", "name": "u"}, {"kind": "ServiceAccount", "name": "s"}]}),
                json!({"subjects": [{"kind": "User", "name": "u", "apiGroup": "rbac.authorization.k8s.io"}, {"kind": "ServiceAccount", "name": "s"}]}),
            ),
        ] {
            let kind = GroupKind::new(group, kind);
            let mut object = object;
            for _ in 0..2 {
                for normalizer in builtin() {
                    if normalizer.applies_to(&kind) {
                        normalizer.normalize(&mut object);
                    }
                }
                assert_eq!(object, expected, "{kind:?}");
            }
        }
    }

    #[test]
    fn objects_of_another_shape_are_left_alone() {
        for object in [
            json!(null),
            json!([]),
            json!({"spec": []}),
            json!({"spec": {"ports": [1]}, "subsets": {}, "subjects": [1]}),
        ] {
            for normalizer in builtin() {
                let mut copy = object.clone();
                normalizer.normalize(&mut copy);
                assert_eq!(copy, object);
            }
        }
    }
}
