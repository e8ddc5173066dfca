//! Rules of RBAC.

use gitops_core::GroupKind;
use serde_json::{Map, Value};

use super::{Normalizer, elements, elements_mut, is, text_of};

const RBAC: &str = "rbac.authorization.k8s.io";

/// Rules of a cluster role that are gathered from others belong to the controller that
/// gathers them ([aggregated cluster roles]).
///
/// [aggregated cluster roles]: https://kubernetes.io/docs/reference/access-authn-authz/rbac/#aggregated-clusterroles
#[derive(Debug, Clone, Copy, Default)]
pub struct AggregatedRules;

impl Normalizer for AggregatedRules {
    fn applies_to(&self, kind: &GroupKind) -> bool {
        is(kind, RBAC, "ClusterRole")
    }

    fn touches(&self, object: &Value) -> bool {
        object.get("aggregationRule").is_some_and(Value::is_object) && object.get("rules").is_some()
    }

    fn normalize(&self, object: &mut Value) {
        if self.touches(object)
            && let Some(members) = object.as_object_mut()
        {
            members.remove("rules");
        }
    }
}

/// The API group of a role binding's subject is filled in by the server: none for a
/// service account, the one of RBAC for users and groups.
#[derive(Debug, Clone, Copy, Default)]
pub struct SubjectGroups;

fn lacks_group(subject: &Map<String, Value>) -> bool {
    matches!(text_of(subject, "kind"), "User" | "Group")
        && subject
            .get("apiGroup")
            .is_none_or(|group| group.is_null() || group == "")
}

impl Normalizer for SubjectGroups {
    fn applies_to(&self, kind: &GroupKind) -> bool {
        is(kind, RBAC, "RoleBinding") || is(kind, RBAC, "ClusterRoleBinding")
    }

    fn touches(&self, object: &Value) -> bool {
        elements(object.get("subjects")).any(lacks_group)
    }

    fn normalize(&self, object: &mut Value) {
        for subject in elements_mut(object.get_mut("subjects")) {
            if lacks_group(subject) {
                subject.insert("apiGroup".to_owned(), RBAC.into());
            }
        }
    }
}
