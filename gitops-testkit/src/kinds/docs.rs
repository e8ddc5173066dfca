//! The API's documentation of fields, which tables show as descriptions of columns.

/// What the API documents of `field` of the type `name`; empty if it isn't known here.
#[cfg(not(feature = "client"))]
pub(super) fn field(_name: &str, _field: &str) -> String {
    String::new()
}

/// What the API documents of `field` of the type `name`; empty if it isn't known here.
#[cfg(feature = "client")]
pub(super) fn field(name: &str, field: &str) -> String {
    use std::{collections::BTreeMap, sync::Mutex};

    use serde_json::Value;

    static KNOWN: Mutex<BTreeMap<String, Value>> = Mutex::new(BTreeMap::new());
    let mut known = match KNOWN.lock() {
        Ok(known) => known,
        Err(poisoned) => poisoned.into_inner(),
    };
    let schema = known.entry(name.to_owned()).or_insert_with(|| schema(name));
    schema["properties"][field]["description"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

#[cfg(feature = "client")]
fn schema(name: &str) -> serde_json::Value {
    use k8s_openapi::{
        api::{
            apps::v1 as apps, autoscaling::v2 as autoscaling, batch::v1 as batch,
            coordination::v1 as coordination, core::v1 as core, discovery::v1 as discovery,
            networking::v1 as networking, node::v1 as node, rbac::v1 as rbac,
            scheduling::v1 as scheduling, storage::v1 as storage,
        },
        apimachinery::pkg::apis::meta::v1 as meta,
        schemars::{JsonSchema, SchemaGenerator},
    };

    fn of<T: JsonSchema>() -> serde_json::Value {
        T::json_schema(&mut SchemaGenerator::default()).to_value()
    }

    match name {
        "meta.v1.ObjectMeta" => of::<meta::ObjectMeta>(),
        "apps.v1.ControllerRevision" => of::<apps::ControllerRevision>(),
        "apps.v1.DaemonSetSpec" => of::<apps::DaemonSetSpec>(),
        "apps.v1.DaemonSetStatus" => of::<apps::DaemonSetStatus>(),
        "apps.v1.DeploymentSpec" => of::<apps::DeploymentSpec>(),
        "apps.v1.DeploymentStatus" => of::<apps::DeploymentStatus>(),
        "apps.v1.ReplicaSetSpec" => of::<apps::ReplicaSetSpec>(),
        "apps.v1.ReplicaSetStatus" => of::<apps::ReplicaSetStatus>(),
        "autoscaling.v2.HorizontalPodAutoscalerSpec" => {
            of::<autoscaling::HorizontalPodAutoscalerSpec>()
        }
        "autoscaling.v2.HorizontalPodAutoscalerStatus" => {
            of::<autoscaling::HorizontalPodAutoscalerStatus>()
        }
        "batch.v1.CronJobSpec" => of::<batch::CronJobSpec>(),
        "batch.v1.CronJobStatus" => of::<batch::CronJobStatus>(),
        "batch.v1.JobSpec" => of::<batch::JobSpec>(),
        "batch.v1.JobStatus" => of::<batch::JobStatus>(),
        "coordination.v1.LeaseSpec" => of::<coordination::LeaseSpec>(),
        "core.v1.ConfigMap" => of::<core::ConfigMap>(),
        "core.v1.Endpoints" => of::<core::Endpoints>(),
        "core.v1.Event" => of::<core::Event>(),
        "core.v1.NodeStatus" => of::<core::NodeStatus>(),
        "core.v1.NodeSystemInfo" => of::<core::NodeSystemInfo>(),
        "core.v1.ObjectReference" => of::<core::ObjectReference>(),
        "core.v1.PersistentVolumeClaimSpec" => of::<core::PersistentVolumeClaimSpec>(),
        "core.v1.PersistentVolumeClaimStatus" => of::<core::PersistentVolumeClaimStatus>(),
        "core.v1.PersistentVolumeSpec" => of::<core::PersistentVolumeSpec>(),
        "core.v1.PersistentVolumeStatus" => of::<core::PersistentVolumeStatus>(),
        "core.v1.PodSpec" => of::<core::PodSpec>(),
        "core.v1.PodStatus" => of::<core::PodStatus>(),
        "core.v1.ReplicationControllerSpec" => of::<core::ReplicationControllerSpec>(),
        "core.v1.ReplicationControllerStatus" => of::<core::ReplicationControllerStatus>(),
        "core.v1.Secret" => of::<core::Secret>(),
        "core.v1.ServiceSpec" => of::<core::ServiceSpec>(),
        "discovery.v1.EndpointSlice" => of::<discovery::EndpointSlice>(),
        "networking.v1.NetworkPolicySpec" => of::<networking::NetworkPolicySpec>(),
        "node.v1.RuntimeClass" => of::<node::RuntimeClass>(),
        "rbac.v1.ClusterRoleBinding" => of::<rbac::ClusterRoleBinding>(),
        "rbac.v1.RoleBinding" => of::<rbac::RoleBinding>(),
        "scheduling.v1.PriorityClass" => of::<scheduling::PriorityClass>(),
        "storage.v1.StorageClass" => of::<storage::StorageClass>(),
        _ => serde_json::Value::Null,
    }
}
