//! What comes before what.

use crate::GroupKind;

/// Kinds in the order in which they are made; they are taken away in reverse.
///
/// First what others can't exist without (namespaces, definitions), then what pods refer to
/// (classes, accounts, roles, configuration, volumes), then services and workloads, then
/// everything else, custom resources among them, and last what watches or changes the
/// writes of others: webhooks and aggregated APIs. The order agrees with those of
/// [cli-utils](https://github.com/kubernetes-sigs/cli-utils/blob/master/pkg/ordering/sort.go),
/// [Flux](https://github.com/fluxcd/pkg/blob/main/ssa/sort.go) and
/// [Helm](https://github.com/helm/helm/blob/main/pkg/release/v1/util/kind_sorter.go) where those
/// agree with each other. The group counts: a custom kind named `Service` is no service.
const FIRST: [(&str, &str); 37] = [
    ("apiextensions.k8s.io", "CustomResourceDefinition"),
    ("", "Namespace"),
    ("", "ResourceQuota"),
    ("", "LimitRange"),
    ("scheduling.k8s.io", "PriorityClass"),
    ("node.k8s.io", "RuntimeClass"),
    ("storage.k8s.io", "StorageClass"),
    ("networking.k8s.io", "IngressClass"),
    ("networking.k8s.io", "NetworkPolicy"),
    ("", "ServiceAccount"),
    ("rbac.authorization.k8s.io", "ClusterRole"),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"),
    ("rbac.authorization.k8s.io", "Role"),
    ("rbac.authorization.k8s.io", "RoleBinding"),
    ("", "ConfigMap"),
    ("", "Secret"),
    ("", "PersistentVolume"),
    ("", "PersistentVolumeClaim"),
    ("", "Service"),
    ("discovery.k8s.io", "EndpointSlice"),
    ("", "Endpoints"),
    ("policy", "PodDisruptionBudget"),
    ("apps", "DaemonSet"),
    ("", "Pod"),
    ("", "ReplicationController"),
    ("apps", "ReplicaSet"),
    ("apps", "Deployment"),
    ("apps", "StatefulSet"),
    ("autoscaling", "HorizontalPodAutoscaler"),
    ("batch", "Job"),
    ("batch", "CronJob"),
    ("networking.k8s.io", "Ingress"),
    ("", "Event"),
    ("events.k8s.io", "Event"),
    ("coordination.k8s.io", "Lease"),
    ("gateway.networking.k8s.io", "GatewayClass"),
    ("gateway.networking.k8s.io", "Gateway"),
];

/// Kinds that come after all others.
const LAST: [(&str, &str); 7] = [
    ("apiregistration.k8s.io", "APIService"),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"),
    (
        "admissionregistration.k8s.io",
        "ValidatingAdmissionPolicyBinding",
    ),
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicy"),
    (
        "admissionregistration.k8s.io",
        "MutatingAdmissionPolicyBinding",
    ),
    (
        "admissionregistration.k8s.io",
        "MutatingWebhookConfiguration",
    ),
    (
        "admissionregistration.k8s.io",
        "ValidatingWebhookConfiguration",
    ),
];

/// The wave of a kind: lower waves are made first and taken away last.
///
/// ```
/// use gitops_core::{GroupKind, wave_of};
///
/// let namespace = wave_of(&GroupKind::new("", "Namespace"));
/// let deployment = wave_of(&GroupKind::new("apps", "Deployment"));
/// let custom = wave_of(&GroupKind::new("example.com", "Widget"));
/// assert!(namespace < deployment && deployment < custom);
/// ```
#[must_use]
pub fn wave_of(kind: &GroupKind) -> u16 {
    let place = |table: &[(&str, &str)]| {
        table
            .iter()
            .position(|(group, name)| kind.group == *group && kind.kind == *name)
    };
    let wave = match (place(&FIRST), place(&LAST)) {
        (Some(at), _) => at,
        (None, Some(at)) => FIRST.len() + 1 + at,
        (None, None) => FIRST.len(),
    };
    u16::try_from(wave).unwrap_or(u16::MAX)
}

/// Whether objects of other kinds can't exist before such an object is ready.
#[must_use]
pub(crate) fn carries_others(kind: &GroupKind) -> bool {
    wave_of(kind) <= 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_custom_kind_does_not_take_a_core_kinds_place() {
        let knative = GroupKind::new("serving.knative.dev", "Service");
        assert!(wave_of(&GroupKind::new("", "Service")) < wave_of(&knative));
        assert_eq!(
            wave_of(&knative),
            wave_of(&GroupKind::new("example.com", "Widget"))
        );
    }

    #[test]
    fn webhooks_come_last_and_definitions_first() {
        let webhook = wave_of(&GroupKind::new(
            "admissionregistration.k8s.io",
            "MutatingWebhookConfiguration",
        ));
        assert!(wave_of(&GroupKind::new("example.com", "Widget")) < webhook);
        assert_eq!(
            wave_of(&GroupKind::new(
                "apiextensions.k8s.io",
                "CustomResourceDefinition"
            )),
            0
        );
    }
}
