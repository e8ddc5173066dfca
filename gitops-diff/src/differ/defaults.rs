//! What the API server fills in, where the published schema doesn't say so.

use serde_json::Value;

use crate::equality::values_equal;
use crate::schema::{FieldType, TypeRef};

/// A value that a table can hold.
enum Default {
    Text(&'static str),
    Number(i64),
    /// An object without members.
    Empty,
    /// Any value: the server computes it from other fields.
    Any,
}

use Default::{Any, Empty, Number, Text};

/// Type, field and default, from `pkg/apis/*/*/defaults.go` of Kubernetes 1.36. Sorted.
///
/// Fields that only the server fills in matter in two places: within lists that are
/// compared as a whole, and where we give a field up that then gets its default.
const TABLE: &[(&str, &str, Default)] = &[
    ("ConfigMapVolumeSource", "defaultMode", Number(420)),
    ("Container", "imagePullPolicy", Any),
    (
        "Container",
        "terminationMessagePath",
        Text("/dev/termination-log"),
    ),
    ("Container", "terminationMessagePolicy", Text("File")),
    ("ContainerPort", "protocol", Text("TCP")),
    ("CronJobSpec", "concurrencyPolicy", Text("Allow")),
    ("CronJobSpec", "failedJobsHistoryLimit", Number(1)),
    ("CronJobSpec", "successfulJobsHistoryLimit", Number(3)),
    ("DaemonSetSpec", "revisionHistoryLimit", Number(10)),
    ("DaemonSetUpdateStrategy", "type", Text("RollingUpdate")),
    ("DeploymentSpec", "progressDeadlineSeconds", Number(600)),
    ("DeploymentSpec", "replicas", Number(1)),
    ("DeploymentSpec", "revisionHistoryLimit", Number(10)),
    ("DeploymentStrategy", "type", Text("RollingUpdate")),
    ("DeviceSubRequest", "allocationMode", Text("ExactCount")),
    ("DeviceSubRequest", "count", Number(1)),
    ("DownwardAPIVolumeSource", "defaultMode", Number(420)),
    ("EndpointPort", "name", Text("")),
    ("EndpointPort", "protocol", Text("TCP")),
    ("ExactDeviceRequest", "allocationMode", Text("ExactCount")),
    ("ExactDeviceRequest", "count", Number(1)),
    ("HTTPGetAction", "path", Text("/")),
    ("HTTPGetAction", "scheme", Text("HTTP")),
    ("JobSpec", "backoffLimit", Number(6)),
    ("JobSpec", "completionMode", Text("NonIndexed")),
    ("LimitRangeItem", "default", Any),
    ("LimitRangeItem", "defaultRequest", Any),
    ("MatchResources", "matchPolicy", Text("Equivalent")),
    ("MatchResources", "namespaceSelector", Empty),
    ("MatchResources", "objectSelector", Empty),
    ("NamedRuleWithOperations", "scope", Text("*")),
    ("NetworkPolicyPort", "protocol", Text("TCP")),
    ("ObjectFieldSelector", "apiVersion", Text("v1")),
    (
        "PersistentVolumeClaimSpec",
        "volumeMode",
        Text("Filesystem"),
    ),
    (
        "PersistentVolumeSpec",
        "persistentVolumeReclaimPolicy",
        Text("Retain"),
    ),
    ("PersistentVolumeSpec", "volumeMode", Text("Filesystem")),
    (
        "PodFailurePolicyOnPodConditionsPattern",
        "status",
        Text("True"),
    ),
    ("PodSpec", "dnsPolicy", Text("ClusterFirst")),
    ("PodSpec", "restartPolicy", Text("Always")),
    ("PodSpec", "schedulerName", Text("default-scheduler")),
    ("PodSpec", "terminationGracePeriodSeconds", Number(30)),
    ("Probe", "failureThreshold", Number(3)),
    ("Probe", "periodSeconds", Number(10)),
    ("Probe", "successThreshold", Number(1)),
    ("Probe", "timeoutSeconds", Number(1)),
    ("ProjectedVolumeSource", "defaultMode", Number(420)),
    ("ReplicaSetSpec", "replicas", Number(1)),
    ("ReplicationControllerSpec", "replicas", Number(1)),
    ("ResourceFieldSelector", "divisor", Text("0")),
    ("RoleRef", "apiGroup", Text("rbac.authorization.k8s.io")),
    ("RollingUpdateDaemonSet", "maxSurge", Number(0)),
    ("RollingUpdateDaemonSet", "maxUnavailable", Number(1)),
    ("RollingUpdateDeployment", "maxSurge", Text("25%")),
    ("RollingUpdateDeployment", "maxUnavailable", Text("25%")),
    ("RollingUpdateStatefulSetStrategy", "partition", Number(0)),
    ("RuleWithOperations", "scope", Text("*")),
    ("Secret", "type", Text("Opaque")),
    ("SecretVolumeSource", "defaultMode", Number(420)),
    (
        "ServiceAccountTokenProjection",
        "expirationSeconds",
        Number(3600),
    ),
    ("ServicePort", "protocol", Text("TCP")),
    ("ServiceReference", "port", Number(443)),
    ("ServiceSpec", "internalTrafficPolicy", Text("Cluster")),
    ("ServiceSpec", "sessionAffinity", Text("None")),
    ("ServiceSpec", "type", Text("ClusterIP")),
    (
        "StatefulSetPersistentVolumeClaimRetentionPolicy",
        "whenDeleted",
        Text("Retain"),
    ),
    (
        "StatefulSetPersistentVolumeClaimRetentionPolicy",
        "whenScaled",
        Text("Retain"),
    ),
    (
        "StatefulSetSpec",
        "podManagementPolicy",
        Text("OrderedReady"),
    ),
    ("StatefulSetSpec", "replicas", Number(1)),
    ("StatefulSetSpec", "revisionHistoryLimit", Number(10)),
    ("StatefulSetUpdateStrategy", "type", Text("RollingUpdate")),
];

/// Fields that the server computes from others or allocates: to state null or
/// a zero there is to leave it to the server. Sorted.
const COMPUTED: &[(&str, &str)] = &[
    ("JobSpec", "selector"),
    ("NetworkPolicySpec", "policyTypes"),
    ("PersistentVolumeClaimSpec", "storageClassName"),
    ("PersistentVolumeClaimSpec", "volumeName"),
    ("PodSpec", "nodeName"),
    ("PodSpec", "priority"),
    ("PodSpec", "serviceAccountName"),
    ("ServicePort", "nodePort"),
    ("ServicePort", "targetPort"),
    ("ServiceSpec", "clusterIP"),
    ("ServiceSpec", "clusterIPs"),
    ("ServiceSpec", "healthCheckNodePort"),
    ("ServiceSpec", "ipFamilies"),
    ("ServiceSpec", "ipFamilyPolicy"),
];

/// Whether `value` is what the server fills in for the member `name` of an object of type
/// `ty` that doesn't state it.
pub(super) fn is_default(ty: Option<TypeRef<'_>>, name: &str, value: &Value) -> bool {
    let Some(ty) = ty else { return false };
    let stated = ty.field(name).and_then(FieldType::default);
    if stated.is_some_and(|default| is_completed(default, value, ty.member(name))) {
        return true;
    }
    let Some(short) = ty.name().and_then(|name| name.rsplit('.').next()) else {
        return false;
    };
    let found = TABLE.binary_search_by(|(ty, field, _)| (*ty, *field).cmp(&(short, name)));
    match found.ok().and_then(|at| TABLE.get(at)) {
        Some((_, _, Text(text))) => value == text,
        Some((_, _, Number(number))) => value == number,
        Some((_, _, Empty)) => value.as_object().is_some_and(|members| members.is_empty()),
        Some((_, _, Any)) => true,
        None => false,
    }
}

/// Whether `value` is what the server puts where the member `name` of an object of type
/// `ty` is stated as null, or as a zero that it doesn't keep.
pub(super) fn is_left_to_the_server(ty: Option<TypeRef<'_>>, name: &str, value: &Value) -> bool {
    if is_default(ty, name, value) {
        return true;
    }
    let computed = ty
        .and_then(TypeRef::name)
        .and_then(|ty| ty.rsplit('.').next())
        .is_some_and(|short| COMPUTED.binary_search(&(short, name)).is_ok());
    // Of a struct all members have their defaults.
    let member = ty.and_then(|ty| ty.member(name));
    let defaults = member.is_some_and(|ty| ty.fields().len() > 0)
        && value.as_object().is_some_and(|members| {
            members
                .iter()
                .all(|(name, value)| is_left_to_the_server(member, name, value))
        });
    computed || defaults
}

/// Whether `value` is `default` with the defaults of its members filled in.
fn is_completed(default: &Value, value: &Value, ty: Option<TypeRef<'_>>) -> bool {
    let (Value::Object(stated), Value::Object(members)) = (default, value) else {
        return values_equal(default, value);
    };
    let member = |name: &str| ty.and_then(|ty| ty.member(name));
    stated.keys().all(|name| members.contains_key(name))
        && members.iter().all(|(name, value)| match stated.get(name) {
            Some(default) => is_completed(default, value, member(name)),
            None => is_default(ty, name, value),
        })
}

/// Whether the server fills the member `name` in again, with the value that `object` has
/// there, if it is taken away. `depth` is how many steps `object` is from the root.
pub(super) fn is_refilled(
    ty: Option<TypeRef<'_>>,
    object: Option<&Value>,
    name: &str,
    depth: usize,
) -> bool {
    let Some(object) = object else { return false };
    // `SetDefaults_Job` is for jobs, not for the template that a cron job makes them of.
    let job = ty.and_then(TypeRef::name) == Some("io.k8s.api.batch.v1.JobSpec");
    if job && depth > 1 {
        return false;
    }
    // `SetDefaults_Service` leaves it alone where there is no traffic of the cluster's.
    let external = name == "internalTrafficPolicy" && object["type"] == "ExternalName";
    object
        .get(name)
        .is_some_and(|value| !external && is_default(ty, name, value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::differ::fields_of_all_kinds;
    use crate::schema::Schema;
    use serde_json::json;

    #[test]
    fn a_default_that_depends_on_another_field_is_filled_in_only_where_it_applies() {
        let ty = Schema::builtin()
            .type_of("v1", "Service")
            .and_then(|ty| ty.at(["spec"]));
        for (kind, refilled) in [("ClusterIP", true), ("ExternalName", false)] {
            let spec = json!({"type": kind, "internalTrafficPolicy": "Cluster"});
            assert_eq!(
                is_refilled(ty, Some(&spec), "internalTrafficPolicy", 1),
                refilled
            );
        }
        let ty = Schema::builtin()
            .type_of("batch/v1", "Job")
            .and_then(|ty| ty.at(["spec"]));
        for (depth, refilled) in [(1, true), (3, false)] {
            let spec = json!({"backoffLimit": 6});
            assert_eq!(
                is_refilled(ty, Some(&spec), "backoffLimit", depth),
                refilled
            );
        }
    }

    #[test]
    fn the_table_is_sorted_and_every_field_in_it_is_there() {
        assert!(TABLE.is_sorted_by_key(|(ty, field, _)| (*ty, *field)));
        let known = fields_of_all_kinds();
        for (ty, field, _) in TABLE {
            assert!(known.contains(&(*ty, *field)), "{ty}.{field}");
        }
        assert!(COMPUTED.is_sorted());
        for field in COMPUTED {
            assert!(known.contains(field), "{field:?}");
        }
    }
}
