//! Objects as rows of a table, for `kubectl get`: the columns of each kind and their cells.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    Kind,
    quantity::Quantity,
    value::{items, sorted, text, unset},
};

/// One column.
struct Column {
    name: &'static str,
    kind: &'static str,
    priority: u8,
    about: About,
}

/// Where a column's description is from.
#[derive(Clone, Copy)]
enum About {
    /// The API's documentation of a field.
    Field(&'static str, &'static str),
    Text(&'static str),
}

use About::{Field, Text};

const fn col(name: &'static str, kind: &'static str, about: About) -> Column {
    Column {
        name,
        kind,
        priority: 0,
        about,
    }
}

const fn wide(name: &'static str, kind: &'static str, about: About) -> Column {
    Column {
        name,
        kind,
        priority: 1,
        about,
    }
}

const NAME: Column = col("Name", "string", Field("meta.v1.ObjectMeta", "name"));
const AGE: Column = col(
    "Age",
    "string",
    Field("meta.v1.ObjectMeta", "creationTimestamp"),
);
const CONTAINERS: Column = wide(
    "Containers",
    "string",
    Text("Names of each container in the template."),
);
const IMAGES: Column = wide(
    "Images",
    "string",
    Text("Images referenced by each container in the template."),
);

/// The `columnDefinitions` of a Table of `kind`, or of any kind without columns of its own.
///
/// Descriptions of API fields are there with the feature `client`, which has the API's documentation.
#[must_use]
pub fn table_columns(kind: Option<Kind>) -> Value {
    columns(kind)
        .iter()
        .map(|c| {
            json!({"name": c.name, "type": c.kind, "format": if c.name == "Name" && c.priority == 0 { "name" } else { "" },
                "description": describe(c.about), "priority": c.priority})
        })
        .collect()
}

/// The two columns of a custom resource without `additionalPrinterColumns`; `Age` is a date.
pub(crate) fn custom_columns() -> (Value, Value) {
    let make = |c: &Column, kind: &str, format: &str| json!({"name": c.name, "type": kind, "format": format, "description": describe(c.about), "priority": 0});
    (make(&NAME, "string", "name"), make(&AGE, "date", ""))
}

fn describe(about: About) -> String {
    match about {
        Text(text) => text.to_owned(),
        Field(name, field) => super::docs::field(name, field),
    }
}

#[expect(
    clippy::too_many_lines,
    reason = "a table of facts, one kind after another"
)]
fn columns(kind: Option<Kind>) -> Vec<Column> {
    let name = kind.map_or(("", ""), |k| (k.group(), k.name()));
    match name {
        ("", "Pod") => vec![
            NAME,
            col(
                "Ready",
                "string",
                Text("The aggregate readiness state of this pod for accepting traffic."),
            ),
            col(
                "Status",
                "string",
                Text("The aggregate status of the containers in this pod."),
            ),
            col(
                "Restarts",
                "string",
                Text(
                    "The number of times the containers in this pod have been restarted and when the last container in this pod has restarted.",
                ),
            ),
            AGE,
            wide("IP", "string", Field("core.v1.PodStatus", "podIP")),
            wide("Node", "string", Field("core.v1.PodSpec", "nodeName")),
            wide(
                "Nominated Node",
                "string",
                Field("core.v1.PodStatus", "nominatedNodeName"),
            ),
            wide(
                "Readiness Gates",
                "string",
                Field("core.v1.PodSpec", "readinessGates"),
            ),
        ],
        ("", "PodTemplate") => vec![
            NAME,
            Column {
                priority: 0,
                ..CONTAINERS
            },
            Column {
                priority: 0,
                ..IMAGES
            },
            col(
                "Pod Labels",
                "string",
                Text("The labels for the pod template."),
            ),
        ],
        ("", "ReplicationController") => vec![
            NAME,
            col(
                "Desired",
                "integer",
                Field("core.v1.ReplicationControllerSpec", "replicas"),
            ),
            col(
                "Current",
                "integer",
                Field("core.v1.ReplicationControllerStatus", "replicas"),
            ),
            col(
                "Ready",
                "integer",
                Field("core.v1.ReplicationControllerStatus", "readyReplicas"),
            ),
            AGE,
            CONTAINERS,
            IMAGES,
            wide(
                "Selector",
                "string",
                Field("core.v1.ReplicationControllerSpec", "selector"),
            ),
        ],
        ("apps", "ReplicaSet") => vec![
            NAME,
            col(
                "Desired",
                "integer",
                Field("apps.v1.ReplicaSetSpec", "replicas"),
            ),
            col(
                "Current",
                "integer",
                Field("apps.v1.ReplicaSetStatus", "replicas"),
            ),
            col(
                "Ready",
                "integer",
                Field("apps.v1.ReplicaSetStatus", "readyReplicas"),
            ),
            AGE,
            CONTAINERS,
            IMAGES,
            wide(
                "Selector",
                "string",
                Field("apps.v1.ReplicaSetSpec", "selector"),
            ),
        ],
        ("apps", "Deployment") => vec![
            NAME,
            col(
                "Ready",
                "string",
                Text("Number of the pod with ready state"),
            ),
            col(
                "Up-to-date",
                "string",
                Field("apps.v1.DeploymentStatus", "updatedReplicas"),
            ),
            col(
                "Available",
                "string",
                Field("apps.v1.DeploymentStatus", "availableReplicas"),
            ),
            AGE,
            CONTAINERS,
            IMAGES,
            wide(
                "Selector",
                "string",
                Field("apps.v1.DeploymentSpec", "selector"),
            ),
        ],
        ("apps", "StatefulSet") => {
            vec![
                NAME,
                col(
                    "Ready",
                    "string",
                    Text("Number of the pod with ready state"),
                ),
                AGE,
                CONTAINERS,
                IMAGES,
            ]
        }
        ("apps", "DaemonSet") => vec![
            NAME,
            col(
                "Desired",
                "integer",
                Field("apps.v1.DaemonSetStatus", "desiredNumberScheduled"),
            ),
            col(
                "Current",
                "integer",
                Field("apps.v1.DaemonSetStatus", "currentNumberScheduled"),
            ),
            col(
                "Ready",
                "integer",
                Field("apps.v1.DaemonSetStatus", "numberReady"),
            ),
            col(
                "Up-to-date",
                "integer",
                Field("apps.v1.DaemonSetStatus", "updatedNumberScheduled"),
            ),
            col(
                "Available",
                "integer",
                Field("apps.v1.DaemonSetStatus", "numberAvailable"),
            ),
            col(
                "Node Selector",
                "string",
                Field("core.v1.PodSpec", "nodeSelector"),
            ),
            AGE,
            CONTAINERS,
            IMAGES,
            wide(
                "Selector",
                "string",
                Field("apps.v1.DaemonSetSpec", "selector"),
            ),
        ],
        ("apps", "ControllerRevision") => vec![
            NAME,
            col("Controller", "string", Text("Controller of the object")),
            col(
                "Revision",
                "string",
                Field("apps.v1.ControllerRevision", "revision"),
            ),
            AGE,
        ],
        ("batch", "Job") => vec![
            NAME,
            col("Status", "string", Text("Status of the job.")),
            col(
                "Completions",
                "string",
                Field("batch.v1.JobStatus", "succeeded"),
            ),
            col(
                "Duration",
                "string",
                Text("Time required to complete the job."),
            ),
            AGE,
            CONTAINERS,
            IMAGES,
            wide("Selector", "string", Field("batch.v1.JobSpec", "selector")),
        ],
        ("batch", "CronJob") => vec![
            NAME,
            col(
                "Schedule",
                "string",
                Field("batch.v1.CronJobSpec", "schedule"),
            ),
            col(
                "Timezone",
                "string",
                Field("batch.v1.CronJobSpec", "timeZone"),
            ),
            col(
                "Suspend",
                "boolean",
                Field("batch.v1.CronJobSpec", "suspend"),
            ),
            col(
                "Active",
                "integer",
                Field("batch.v1.CronJobStatus", "active"),
            ),
            col(
                "Last Schedule",
                "string",
                Field("batch.v1.CronJobStatus", "lastScheduleTime"),
            ),
            AGE,
            CONTAINERS,
            IMAGES,
            wide("Selector", "string", Field("batch.v1.JobSpec", "selector")),
        ],
        ("", "Service") => vec![
            NAME,
            col("Type", "string", Field("core.v1.ServiceSpec", "type")),
            col(
                "Cluster-IP",
                "string",
                Field("core.v1.ServiceSpec", "clusterIP"),
            ),
            col(
                "External-IP",
                "string",
                Field("core.v1.ServiceSpec", "externalIPs"),
            ),
            col("Port(s)", "string", Field("core.v1.ServiceSpec", "ports")),
            AGE,
            wide(
                "Selector",
                "string",
                Field("core.v1.ServiceSpec", "selector"),
            ),
        ],
        ("networking.k8s.io", "Ingress") => vec![
            NAME,
            col(
                "Class",
                "string",
                Text(
                    "The name of the IngressClass resource that should be used for additional configuration",
                ),
            ),
            col(
                "Hosts",
                "string",
                Text("Hosts that incoming requests are matched against before the ingress rule"),
            ),
            col(
                "Address",
                "string",
                Text("Address is a list containing ingress points for the load-balancer"),
            ),
            col(
                "Ports",
                "string",
                Text("Ports of TLS configurations that open"),
            ),
            AGE,
        ],
        ("networking.k8s.io", "IngressClass") => vec![
            NAME,
            col(
                "Controller",
                "string",
                Text("Controller that is responsible for handling corresponding resources"),
            ),
            col(
                "Parameters",
                "string",
                Text("A reference to a resource with additional parameters"),
            ),
            AGE,
        ],
        ("networking.k8s.io", "NetworkPolicy") => {
            vec![
                NAME,
                col(
                    "Pod-Selector",
                    "string",
                    Field("networking.v1.NetworkPolicySpec", "podSelector"),
                ),
                AGE,
            ]
        }
        ("", "Endpoints") => vec![
            NAME,
            col("Endpoints", "string", Field("core.v1.Endpoints", "subsets")),
            AGE,
        ],
        ("discovery.k8s.io", "EndpointSlice") => vec![
            NAME,
            col(
                "AddressType",
                "string",
                Field("discovery.v1.EndpointSlice", "addressType"),
            ),
            col(
                "Ports",
                "string",
                Field("discovery.v1.EndpointSlice", "ports"),
            ),
            col(
                "Endpoints",
                "string",
                Field("discovery.v1.EndpointSlice", "endpoints"),
            ),
            AGE,
        ],
        ("", "Node") => vec![
            NAME,
            col("Status", "string", Text("The status of the node")),
            col("Roles", "string", Text("The roles of the node")),
            AGE,
            col(
                "Version",
                "string",
                Field("core.v1.NodeSystemInfo", "kubeletVersion"),
            ),
            wide(
                "Internal-IP",
                "string",
                Field("core.v1.NodeStatus", "addresses"),
            ),
            wide(
                "External-IP",
                "string",
                Field("core.v1.NodeStatus", "addresses"),
            ),
            wide(
                "OS-Image",
                "string",
                Field("core.v1.NodeSystemInfo", "osImage"),
            ),
            wide(
                "Kernel-Version",
                "string",
                Field("core.v1.NodeSystemInfo", "kernelVersion"),
            ),
            wide(
                "Container-Runtime",
                "string",
                Field("core.v1.NodeSystemInfo", "containerRuntimeVersion"),
            ),
        ],
        ("" | "events.k8s.io", "Event") => vec![
            col(
                "Last Seen",
                "string",
                Field("core.v1.Event", "lastTimestamp"),
            ),
            col("Type", "string", Field("core.v1.Event", "type")),
            col("Reason", "string", Field("core.v1.Event", "reason")),
            col("Object", "string", Field("core.v1.Event", "involvedObject")),
            wide(
                "Subobject",
                "string",
                Field("core.v1.ObjectReference", "fieldPath"),
            ),
            wide("Source", "string", Field("core.v1.Event", "source")),
            col("Message", "string", Field("core.v1.Event", "message")),
            wide(
                "First Seen",
                "string",
                Field("core.v1.Event", "firstTimestamp"),
            ),
            wide("Count", "string", Field("core.v1.Event", "count")),
            wide("Name", "string", Field("meta.v1.ObjectMeta", "name")),
        ],
        ("", "Namespace") => vec![
            NAME,
            col("Status", "string", Text("The status of the namespace")),
            AGE,
        ],
        ("", "Secret") => vec![
            NAME,
            col("Type", "string", Field("core.v1.Secret", "type")),
            col("Data", "string", Field("core.v1.Secret", "data")),
            AGE,
        ],
        ("", "ConfigMap") => vec![
            NAME,
            col("Data", "string", Field("core.v1.ConfigMap", "data")),
            AGE,
        ],
        ("", "ServiceAccount") => vec![NAME, AGE],
        ("", "PersistentVolume") => vec![
            NAME,
            col(
                "Capacity",
                "string",
                Field("core.v1.PersistentVolumeSpec", "capacity"),
            ),
            col(
                "Access Modes",
                "string",
                Field("core.v1.PersistentVolumeSpec", "accessModes"),
            ),
            col(
                "Reclaim Policy",
                "string",
                Field(
                    "core.v1.PersistentVolumeSpec",
                    "persistentVolumeReclaimPolicy",
                ),
            ),
            col(
                "Status",
                "string",
                Field("core.v1.PersistentVolumeStatus", "phase"),
            ),
            col(
                "Claim",
                "string",
                Field("core.v1.PersistentVolumeSpec", "claimRef"),
            ),
            col("StorageClass", "string", Text("StorageClass of the pv")),
            col(
                "VolumeAttributesClass",
                "string",
                Text("VolumeAttributesClass of the pv"),
            ),
            col(
                "Reason",
                "string",
                Field("core.v1.PersistentVolumeStatus", "reason"),
            ),
            AGE,
            wide(
                "VolumeMode",
                "string",
                Field("core.v1.PersistentVolumeSpec", "volumeMode"),
            ),
        ],
        ("", "PersistentVolumeClaim") => vec![
            NAME,
            col(
                "Status",
                "string",
                Field("core.v1.PersistentVolumeClaimStatus", "phase"),
            ),
            col(
                "Volume",
                "string",
                Field("core.v1.PersistentVolumeClaimSpec", "volumeName"),
            ),
            col(
                "Capacity",
                "string",
                Field("core.v1.PersistentVolumeClaimStatus", "capacity"),
            ),
            col(
                "Access Modes",
                "string",
                Field("core.v1.PersistentVolumeClaimStatus", "accessModes"),
            ),
            col("StorageClass", "string", Text("StorageClass of the pvc")),
            col(
                "VolumeAttributesClass",
                "string",
                Text("VolumeAttributesClass of the pvc"),
            ),
            AGE,
            wide(
                "VolumeMode",
                "string",
                Field("core.v1.PersistentVolumeClaimSpec", "volumeMode"),
            ),
        ],
        ("", "ResourceQuota") => vec![
            NAME,
            col(
                "Request",
                "string",
                Text(
                    "Request represents a minimum amount of cpu/memory that a container may consume.",
                ),
            ),
            col(
                "Limit",
                "string",
                Text(
                    "Limits control the maximum amount of cpu/memory that a container may use independent of contention on the node.",
                ),
            ),
            AGE,
        ],
        ("autoscaling", "HorizontalPodAutoscaler") => vec![
            NAME,
            col(
                "Reference",
                "string",
                Field(
                    "autoscaling.v2.HorizontalPodAutoscalerSpec",
                    "scaleTargetRef",
                ),
            ),
            col(
                "Targets",
                "string",
                Field("autoscaling.v2.HorizontalPodAutoscalerSpec", "metrics"),
            ),
            col(
                "MinPods",
                "string",
                Field("autoscaling.v2.HorizontalPodAutoscalerSpec", "minReplicas"),
            ),
            col(
                "MaxPods",
                "string",
                Field("autoscaling.v2.HorizontalPodAutoscalerSpec", "maxReplicas"),
            ),
            col(
                "Replicas",
                "string",
                Field(
                    "autoscaling.v2.HorizontalPodAutoscalerStatus",
                    "currentReplicas",
                ),
            ),
            AGE,
        ],
        ("policy", "PodDisruptionBudget") => vec![
            NAME,
            col(
                "Min Available",
                "string",
                Text("The minimum number of pods that must be available."),
            ),
            col(
                "Max Unavailable",
                "string",
                Text("The maximum number of pods that may be unavailable."),
            ),
            col(
                "Allowed Disruptions",
                "integer",
                Text("Calculated number of pods that may be disrupted at this time."),
            ),
            AGE,
        ],
        ("coordination.k8s.io", "Lease") => {
            vec![
                NAME,
                col(
                    "Holder",
                    "string",
                    Field("coordination.v1.LeaseSpec", "holderIdentity"),
                ),
                AGE,
            ]
        }
        ("rbac.authorization.k8s.io", "RoleBinding") => vec![
            NAME,
            col("Role", "string", Field("rbac.v1.RoleBinding", "roleRef")),
            AGE,
            wide("Users", "string", Text("Users in the roleBinding")),
            wide("Groups", "string", Text("Groups in the roleBinding")),
            wide(
                "ServiceAccounts",
                "string",
                Text("ServiceAccounts in the roleBinding"),
            ),
        ],
        ("rbac.authorization.k8s.io", "ClusterRoleBinding") => vec![
            NAME,
            col(
                "Role",
                "string",
                Field("rbac.v1.ClusterRoleBinding", "roleRef"),
            ),
            AGE,
            wide("Users", "string", Text("Users in the clusterRoleBinding")),
            wide("Groups", "string", Text("Groups in the clusterRoleBinding")),
            wide(
                "ServiceAccounts",
                "string",
                Text("ServiceAccounts in the clusterRoleBinding"),
            ),
        ],
        ("scheduling.k8s.io", "PriorityClass") => vec![
            NAME,
            col(
                "Value",
                "integer",
                Field("scheduling.v1.PriorityClass", "value"),
            ),
            col(
                "Global-Default",
                "boolean",
                Field("scheduling.v1.PriorityClass", "globalDefault"),
            ),
            AGE,
            col(
                "PreemptionPolicy",
                "string",
                Field("scheduling.v1.PriorityClass", "preemptionPolicy"),
            ),
        ],
        ("storage.k8s.io", "StorageClass") => vec![
            NAME,
            col(
                "Provisioner",
                "string",
                Field("storage.v1.StorageClass", "provisioner"),
            ),
            col(
                "ReclaimPolicy",
                "string",
                Field("storage.v1.StorageClass", "reclaimPolicy"),
            ),
            col(
                "VolumeBindingMode",
                "string",
                Field("storage.v1.StorageClass", "volumeBindingMode"),
            ),
            col(
                "AllowVolumeExpansion",
                "string",
                Field("storage.v1.StorageClass", "allowVolumeExpansion"),
            ),
            AGE,
        ],
        ("node.k8s.io", "RuntimeClass") => {
            vec![
                NAME,
                col(
                    "Handler",
                    "string",
                    Field("node.v1.RuntimeClass", "handler"),
                ),
                AGE,
            ]
        }
        (
            "admissionregistration.k8s.io",
            "ValidatingWebhookConfiguration" | "MutatingWebhookConfiguration",
        ) => vec![
            NAME,
            col(
                "Webhooks",
                "integer",
                Text("Webhooks indicates the number of webhooks registered in this configuration"),
            ),
            AGE,
        ],
        _ => vec![
            NAME,
            col(
                "Created At",
                "date",
                Field("meta.v1.ObjectMeta", "creationTimestamp"),
            ),
        ],
    }
}

/// The cells of one object, as many as there are [`table_columns`].
#[must_use]
pub fn table_cells(kind: Option<Kind>, obj: &Value, now: Timestamp) -> Vec<Value> {
    let name = obj["metadata"]["name"].clone();
    let age = json!(age(&obj["metadata"]["creationTimestamp"], now));
    let (spec, status) = (&obj["spec"], &obj["status"]);
    let count = |v: &Value, key: &str| json!(v[key].as_i64().unwrap_or(0));
    let text_cell = |v: &Value, key: &str| json!(text(v, key));
    let pods = |template: &Value| -> [Value; 2] {
        let all = items(&template["spec"]["containers"]);
        let join = |key: &str| {
            json!(
                all.iter()
                    .map(|c| text(c, key))
                    .collect::<Vec<_>>()
                    .join(",")
            )
        };
        [join("name"), join("image")]
    };
    let key = kind.map_or(("", ""), |k| (k.group(), k.name()));
    match key {
        ("", "Pod") => pod_cells(obj, age, now),
        ("", "PodTemplate") => {
            let [containers, images] = pods(&obj["template"]);
            vec![
                name,
                containers,
                images,
                json!(labels(&obj["template"]["metadata"]["labels"])),
            ]
        }
        ("", "ReplicationController") | ("apps", "ReplicaSet") => {
            let [containers, images] = pods(&spec["template"]);
            let selector = if key.1 == "ReplicaSet" {
                selector(&spec["selector"])
            } else {
                labels(&spec["selector"])
            };
            vec![
                name,
                count(spec, "replicas"),
                count(status, "replicas"),
                count(status, "readyReplicas"),
                age,
                containers,
                images,
                json!(selector),
            ]
        }
        ("apps", "Deployment") => {
            let [containers, images] = pods(&spec["template"]);
            vec![
                name,
                json!(format!(
                    "{}/{}",
                    count(status, "readyReplicas"),
                    count(spec, "replicas")
                )),
                count(status, "updatedReplicas"),
                count(status, "availableReplicas"),
                age,
                containers,
                images,
                json!(selector(&spec["selector"])),
            ]
        }
        ("apps", "StatefulSet") => {
            let [containers, images] = pods(&spec["template"]);
            let ready = format!(
                "{}/{}",
                count(status, "readyReplicas"),
                count(spec, "replicas")
            );
            vec![name, json!(ready), age, containers, images]
        }
        ("apps", "DaemonSet") => {
            let [containers, images] = pods(&spec["template"]);
            vec![
                name,
                count(status, "desiredNumberScheduled"),
                count(status, "currentNumberScheduled"),
                count(status, "numberReady"),
                count(status, "updatedNumberScheduled"),
                count(status, "numberAvailable"),
                json!(labels(&spec["template"]["spec"]["nodeSelector"])),
                age,
                containers,
                images,
                json!(selector(&spec["selector"])),
            ]
        }
        ("apps", "ControllerRevision") => {
            let controller = items(&obj["metadata"]["ownerReferences"])
                .iter()
                .find(|o| o["controller"] == true);
            let shown = controller.map_or("<none>".to_owned(), |o| {
                let group = text(o, "apiVersion").split_once('/').map_or("", |(g, _)| g);
                let kind = text(o, "kind").to_lowercase();
                let kind = if group.is_empty() {
                    kind
                } else {
                    format!("{kind}.{group}")
                };
                format!("{kind}/{}", text(o, "name"))
            });
            vec![name, json!(shown), count(obj, "revision"), age]
        }
        ("batch", "Job") => job_cells(obj, age, now, pods(&spec["template"])),
        ("batch", "CronJob") => {
            let template = &spec["jobTemplate"]["spec"];
            let [containers, images] = pods(&template["template"]);
            let last = &status["lastScheduleTime"];
            vec![
                name,
                text_cell(spec, "schedule"),
                json!(spec["timeZone"].as_str().unwrap_or("<none>")),
                json!(printed_bool(&spec["suspend"])),
                json!(items(&status["active"]).len()),
                if last.is_null() {
                    json!("<none>")
                } else {
                    json!(self::age(last, now))
                },
                age,
                containers,
                images,
                json!(selector(&template["selector"])),
            ]
        }
        ("", "Service") => vec![
            name,
            text_cell(spec, "type"),
            json!(match text(spec, "clusterIP") {
                "" => "<none>",
                ip => ip,
            }),
            json!(external_ip(obj)),
            json!(service_ports(&spec["ports"])),
            age,
            json!(labels(&spec["selector"])),
        ],
        ("networking.k8s.io", "Ingress") => {
            let hosts: Vec<&str> = items(&spec["rules"])
                .iter()
                .map(|r| text(r, "host"))
                .filter(|h| !h.is_empty())
                .collect();
            let shown = match hosts.len() {
                0 => "*".to_owned(),
                1..=3 => hosts.join(","),
                more => format!(
                    "{} + {} more...",
                    hosts.iter().take(3).copied().collect::<Vec<_>>().join(","),
                    more - 3
                ),
            };
            let class = spec["ingressClassName"]
                .as_str()
                .or(obj["metadata"]["annotations"]["kubernetes.io/ingress.class"].as_str())
                .unwrap_or("<none>");
            let ports = if items(&spec["tls"]).is_empty() {
                "80"
            } else {
                "80, 443"
            };
            vec![
                name,
                json!(class),
                json!(shown),
                json!(balancer(status)),
                json!(ports),
                age,
            ]
        }
        ("networking.k8s.io", "IngressClass") => {
            let parameters = &spec["parameters"];
            let shown = if parameters.is_null() {
                "<none>".to_owned()
            } else {
                let kind = text(parameters, "kind");
                let kind = match text(parameters, "apiGroup") {
                    "" => kind.to_owned(),
                    group => format!("{kind}.{group}"),
                };
                format!("{kind}/{}", text(parameters, "name"))
            };
            vec![name, text_cell(spec, "controller"), json!(shown), age]
        }
        ("networking.k8s.io", "NetworkPolicy") => {
            vec![name, json!(selector(&spec["podSelector"])), age]
        }
        ("", "Endpoints") => vec![name, json!(endpoints(obj)), age],
        ("discovery.k8s.io", "EndpointSlice") => {
            let ports: Vec<String> = items(&obj["ports"])
                .iter()
                .map(|p| {
                    p["port"]
                        .as_i64()
                        .map_or_else(|| "*".to_owned(), |n| n.to_string())
                })
                .collect();
            let addresses: Vec<String> = items(&obj["endpoints"])
                .iter()
                .flat_map(|e| items(&e["addresses"]))
                .filter_map(Value::as_str)
                .map(str::to_owned)
                .collect();
            let unset_ports = if unset(obj, "ports") { "<unset>" } else { "" };
            let ports = if ports.is_empty() {
                unset_ports.to_owned()
            } else {
                some_of(&ports)
            };
            let addresses = if addresses.is_empty() {
                "<unset>".to_owned()
            } else {
                some_of(&addresses)
            };
            vec![
                name,
                text_cell(obj, "addressType"),
                json!(ports),
                json!(addresses),
                age,
            ]
        }
        ("", "Node") => node_cells(obj, age),
        ("" | "events.k8s.io", "Event") => event_cells(obj, key.0 == "events.k8s.io", now),
        ("", "Namespace") => vec![name, text_cell(status, "phase"), age],
        ("", "Secret") => vec![
            name,
            text_cell(obj, "type"),
            json!(sorted(&obj["data"]).len()),
            age,
        ],
        ("", "ConfigMap") => {
            vec![
                name,
                json!(sorted(&obj["data"]).len() + sorted(&obj["binaryData"]).len()),
                age,
            ]
        }
        ("", "ServiceAccount") => vec![name, age],
        ("", "PersistentVolume") => {
            let claim = &spec["claimRef"];
            let claim = if claim.is_null() {
                String::new()
            } else {
                format!("{}/{}", text(claim, "namespace"), text(claim, "name"))
            };
            let phase = if unset(&obj["metadata"], "deletionTimestamp") {
                text(status, "phase")
            } else {
                "Terminating"
            };
            vec![
                name,
                text_cell(&spec["capacity"], "storage"),
                json!(access_modes(&spec["accessModes"])),
                text_cell(spec, "persistentVolumeReclaimPolicy"),
                json!(phase),
                json!(claim),
                text_cell(spec, "storageClassName"),
                json!(
                    spec["volumeAttributesClassName"]
                        .as_str()
                        .unwrap_or("<unset>")
                ),
                text_cell(status, "reason"),
                age,
                json!(spec["volumeMode"].as_str().unwrap_or("<unset>")),
            ]
        }
        ("", "PersistentVolumeClaim") => {
            let phase = if unset(&obj["metadata"], "deletionTimestamp") {
                text(status, "phase")
            } else {
                "Terminating"
            };
            let bound = !text(spec, "volumeName").is_empty();
            vec![
                name,
                json!(phase),
                text_cell(spec, "volumeName"),
                json!(if bound {
                    text(&status["capacity"], "storage")
                } else {
                    ""
                }),
                json!(if bound {
                    access_modes(&status["accessModes"])
                } else {
                    String::new()
                }),
                text_cell(spec, "storageClassName"),
                json!(
                    spec["volumeAttributesClassName"]
                        .as_str()
                        .unwrap_or("<unset>")
                ),
                age,
                json!(spec["volumeMode"].as_str().unwrap_or("<unset>")),
            ]
        }
        ("", "ResourceQuota") => {
            let [mut request, mut limit] = [Vec::new(), Vec::new()];
            for (resource, hard) in sorted(&status["hard"]) {
                let used = &status["used"][resource];
                let shown = format!(
                    "{resource}: {}/{}",
                    used.as_str().unwrap_or("0"),
                    hard.as_str().unwrap_or_default()
                );
                if resource.contains("limits") {
                    limit.push(shown)
                } else {
                    request.push(shown)
                }
            }
            vec![
                name,
                json!(request.join(", ")),
                json!(limit.join(", ")),
                age,
            ]
        }
        ("autoscaling", "HorizontalPodAutoscaler") => {
            let target = &spec["scaleTargetRef"];
            vec![
                name,
                json!(format!("{}/{}", text(target, "kind"), text(target, "name"))),
                json!(hpa_targets(kind, spec, status)),
                json!(
                    spec["minReplicas"]
                        .as_i64()
                        .map_or("<unset>".to_owned(), |n| n.to_string())
                ),
                count(spec, "maxReplicas"),
                count(status, "currentReplicas"),
                age,
            ]
        }
        ("policy", "PodDisruptionBudget") => {
            let shown = |key: &str| match &spec[key] {
                Value::Null => json!("N/A"),
                Value::String(text) => json!(text),
                other => json!(other.to_string()),
            };
            vec![
                name,
                shown("minAvailable"),
                shown("maxUnavailable"),
                count(status, "disruptionsAllowed"),
                age,
            ]
        }
        ("coordination.k8s.io", "Lease") => vec![name, text_cell(spec, "holderIdentity"), age],
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => {
            let role = &obj["roleRef"];
            let of = |kind: &str| {
                let names: Vec<String> = items(&obj["subjects"])
                    .iter()
                    .filter(|s| text(s, "kind") == kind)
                    .map(|s| match (kind, text(s, "namespace")) {
                        ("ServiceAccount", namespace) => format!("{namespace}/{}", text(s, "name")),
                        _ => text(s, "name").to_owned(),
                    })
                    .collect();
                json!(names.join(", "))
            };
            let role = format!("{}/{}", text(role, "kind"), text(role, "name"));
            vec![
                name,
                json!(role),
                age,
                of("User"),
                of("Group"),
                of("ServiceAccount"),
            ]
        }
        ("scheduling.k8s.io", "PriorityClass") => vec![
            name,
            count(obj, "value"),
            json!(obj["globalDefault"] == true),
            age,
            text_cell(obj, "preemptionPolicy"),
        ],
        ("storage.k8s.io", "StorageClass") => {
            let class =
                &obj["metadata"]["annotations"]["storageclass.kubernetes.io/is-default-class"];
            let name = if class == "true" {
                json!(format!("{} (default)", text(&obj["metadata"], "name")))
            } else {
                name
            };
            vec![
                name,
                text_cell(obj, "provisioner"),
                json!(obj["reclaimPolicy"].as_str().unwrap_or("Delete")),
                json!(obj["volumeBindingMode"].as_str().unwrap_or("Immediate")),
                json!(obj["allowVolumeExpansion"] == true),
                age,
            ]
        }
        ("node.k8s.io", "RuntimeClass") => vec![name, text_cell(obj, "handler"), age],
        (
            "admissionregistration.k8s.io",
            "ValidatingWebhookConfiguration" | "MutatingWebhookConfiguration",
        ) => {
            vec![name, json!(items(&obj["webhooks"]).len()), age]
        }
        _ => vec![name, obj["metadata"]["creationTimestamp"].clone()],
    }
}

fn printed_bool(value: &Value) -> &'static str {
    match value.as_bool() {
        Some(true) => "True",
        Some(false) => "False",
        None => "<unset>",
    }
}

/// Seconds from a time to `now`; `None` if there is no time.
fn seconds_since(time: &Value, now: Timestamp) -> Option<i64> {
    let time: Timestamp = time.as_str()?.parse().ok()?;
    Some(now.as_second() - time.as_second())
}

/// How long ago, as `kubectl` shows it.
pub(crate) fn age(time: &Value, now: Timestamp) -> String {
    seconds_since(time, now).map_or_else(|| "<unknown>".to_owned(), duration)
}

/// A duration in two units at most: `90s`, `3m20s`, `5h`, `2d3h`, `1y20d`.
fn duration(seconds: i64) -> String {
    if seconds < -1 {
        return "<invalid>".to_owned();
    }
    let seconds = seconds.max(0);
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    let two = |whole: i64, unit: &str, rest: i64, small: &str| {
        if rest == 0 {
            format!("{whole}{unit}")
        } else {
            format!("{whole}{unit}{rest}{small}")
        }
    };
    if seconds < 120 {
        format!("{seconds}s")
    } else if minutes < 10 {
        two(minutes, "m", seconds % 60, "s")
    } else if minutes < 180 {
        format!("{minutes}m")
    } else if hours < 8 {
        two(hours, "h", minutes % 60, "m")
    } else if hours < 48 {
        format!("{hours}h")
    } else if hours < 24 * 8 {
        two(hours / 24, "d", hours % 24, "h")
    } else if hours < 24 * 365 * 2 {
        format!("{}d", hours / 24)
    } else if hours < 24 * 365 * 8 {
        two(hours / 24 / 365, "y", hours / 24 % 365, "d")
    } else {
        format!("{}y", hours / 24 / 365)
    }
}

/// Labels as `k=v,k=v`.
fn labels(labels: &Value) -> String {
    let all: Vec<String> = sorted(labels)
        .into_iter()
        .map(|(k, v)| format!("{k}={}", v.as_str().unwrap_or_default()))
        .collect();
    if all.is_empty() {
        "<none>".to_owned()
    } else {
        all.join(",")
    }
}

/// A label selector as text.
fn selector(selector: &Value) -> String {
    if selector.is_null() {
        return "<none>".to_owned();
    }
    let mut parts: Vec<(String, String)> = sorted(&selector["matchLabels"])
        .into_iter()
        .map(|(k, v)| {
            (
                k.to_owned(),
                format!("{k}={}", v.as_str().unwrap_or_default()),
            )
        })
        .collect();
    for requirement in items(&selector["matchExpressions"]) {
        let key = text(requirement, "key");
        let mut values: Vec<&str> = items(&requirement["values"])
            .iter()
            .filter_map(Value::as_str)
            .collect();
        values.sort_unstable();
        let shown = match text(requirement, "operator") {
            "In" => format!("{key} in ({})", values.join(",")),
            "NotIn" => format!("{key} notin ({})", values.join(",")),
            "Exists" => key.to_owned(),
            _ => format!("!{key}"),
        };
        parts.push((key.to_owned(), shown));
    }
    parts.sort();
    if parts.is_empty() {
        return "<none>".to_owned();
    }
    parts
        .into_iter()
        .map(|(_, shown)| shown)
        .collect::<Vec<_>>()
        .join(",")
}

/// The first three of a list, and how many more there are.
fn some_of(all: &[String]) -> String {
    match all.len() {
        0..=3 => all.join(","),
        more => format!(
            "{} + {} more...",
            all.iter().take(3).cloned().collect::<Vec<_>>().join(","),
            more - 3
        ),
    }
}

fn balancer(status: &Value) -> String {
    items(&status["loadBalancer"]["ingress"])
        .iter()
        .map(|i| {
            if text(i, "ip").is_empty() {
                text(i, "hostname")
            } else {
                text(i, "ip")
            }
        })
        .filter(|t| !t.is_empty())
        .collect::<Vec<_>>()
        .join(",")
}

fn external_ip(obj: &Value) -> String {
    let spec = &obj["spec"];
    let own: Vec<&str> = items(&spec["externalIPs"])
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let or_none = |text: String| {
        if text.is_empty() {
            "<none>".to_owned()
        } else {
            text
        }
    };
    match text(spec, "type") {
        "LoadBalancer" => {
            let mut all = balancer(&obj["status"]);
            for ip in own {
                if !all.is_empty() {
                    all.push(',');
                }
                all.push_str(ip);
            }
            if all.is_empty() {
                "<pending>".to_owned()
            } else {
                all
            }
        }
        "ExternalName" => text(spec, "externalName").to_owned(),
        _ => or_none(own.join(",")),
    }
}

fn service_ports(ports: &Value) -> String {
    let all: Vec<String> = items(ports)
        .iter()
        .map(|p| {
            let (port, protocol) = (p["port"].as_i64().unwrap_or(0), text(p, "protocol"));
            match p["nodePort"].as_i64().filter(|n| *n > 0) {
                Some(node) => format!("{port}:{node}/{protocol}"),
                None => format!("{port}/{protocol}"),
            }
        })
        .collect();
    if all.is_empty() {
        "<none>".to_owned()
    } else {
        all.join(",")
    }
}

fn endpoints(obj: &Value) -> String {
    let mut all = Vec::new();
    for subset in items(&obj["subsets"]) {
        let ports = items(&subset["ports"]);
        for address in items(&subset["addresses"]) {
            let ip = text(address, "ip");
            if ports.is_empty() {
                all.push(ip.to_owned());
            }
            for port in ports {
                let number = port["port"].as_i64().unwrap_or(0);
                all.push(if ip.contains(':') {
                    format!("[{ip}]:{number}")
                } else {
                    format!("{ip}:{number}")
                });
            }
        }
    }
    if all.is_empty() {
        "<none>".to_owned()
    } else {
        some_of(&all)
    }
}

fn access_modes(modes: &Value) -> String {
    const SHORT: [(&str, &str); 4] = [
        ("ReadWriteOnce", "RWO"),
        ("ReadOnlyMany", "ROX"),
        ("ReadWriteMany", "RWX"),
        ("ReadWriteOncePod", "RWOP"),
    ];
    let all: Vec<&str> = SHORT
        .iter()
        .filter(|(long, _)| items(modes).iter().any(|m| m == long))
        .map(|(_, short)| *short)
        .collect();
    all.join(",")
}

fn job_cells(
    obj: &Value,
    age: Value,
    now: Timestamp,
    [containers, images]: [Value; 2],
) -> Vec<Value> {
    let (spec, status) = (&obj["spec"], &obj["status"]);
    let succeeded = status["succeeded"].as_i64().unwrap_or(0);
    let completions = match (spec["completions"].as_i64(), spec["parallelism"].as_i64()) {
        (Some(wanted), _) => format!("{succeeded}/{wanted}"),
        (None, Some(parallel)) if parallel > 1 => format!("{succeeded}/1 of {parallel}"),
        _ => format!("{succeeded}/1"),
    };
    let has = |kind: &str| {
        items(&status["conditions"])
            .iter()
            .any(|c| c["type"] == kind && c["status"] == "True")
    };
    let state = if has("Complete") {
        "Complete"
    } else if has("Failed") {
        "Failed"
    } else if !unset(&obj["metadata"], "deletionTimestamp") {
        "Terminating"
    } else if has("Suspended") {
        "Suspended"
    } else if has("FailureTarget") {
        "FailureTarget"
    } else if has("SuccessCriteriaMet") {
        "SuccessCriteriaMet"
    } else {
        "Running"
    };
    let took = seconds_since(&status["startTime"], now).map(|since| {
        let rest = seconds_since(&status["completionTime"], now).unwrap_or(0);
        duration(since - rest)
    });
    vec![
        obj["metadata"]["name"].clone(),
        json!(state),
        json!(completions),
        json!(took.unwrap_or_default()),
        age,
        containers,
        images,
        json!(selector(&spec["selector"])),
    ]
}

fn pod_cells(obj: &Value, age: Value, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&obj["spec"], &obj["status"]);
    let total = items(&spec["containers"]).len();
    let mut reason = match text(status, "reason") {
        "" => text(status, "phase").to_owned(),
        reason => reason.to_owned(),
    };
    if items(&status["conditions"])
        .iter()
        .any(|c| c["type"] == "PodScheduled" && c["reason"] == "SchedulingGated")
    {
        reason = "SchedulingGated".to_owned();
    }
    let (mut ready, mut restarts, mut last): (usize, i64, Option<i64>) = (0, 0, None);
    let mut initializing = false;
    let inits = items(&status["initContainerStatuses"]);
    for (i, container) in inits.iter().enumerate() {
        restarts += container["restartCount"].as_i64().unwrap_or(0);
        let (ended, waiting) = (
            &container["state"]["terminated"],
            &container["state"]["waiting"],
        );
        if ended["exitCode"] == 0 && !ended.is_null() {
            continue;
        }
        let why = text(waiting, "reason");
        reason = if !ended.is_null() {
            match text(ended, "reason") {
                "" => format!("Init:ExitCode:{}", ended["exitCode"].as_i64().unwrap_or(0)),
                reason => format!("Init:{reason}"),
            }
        } else if !why.is_empty() && why != "PodInitializing" {
            format!("Init:{why}")
        } else {
            format!("Init:{i}/{}", items(&spec["initContainers"]).len())
        };
        initializing = true;
        break;
    }
    if !initializing {
        restarts = 0;
        let mut running = false;
        for container in items(&status["containerStatuses"]).iter().rev() {
            restarts += container["restartCount"].as_i64().unwrap_or(0);
            let finished = seconds_since(&container["lastState"]["terminated"]["finishedAt"], now);
            last = match (last, finished) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
            let (ended, waiting) = (
                &container["state"]["terminated"],
                &container["state"]["waiting"],
            );
            if !text(waiting, "reason").is_empty() {
                text(waiting, "reason").clone_into(&mut reason);
            } else if !text(ended, "reason").is_empty() {
                text(ended, "reason").clone_into(&mut reason);
            } else if !ended.is_null() {
                reason = match ended["signal"].as_i64().filter(|s| *s != 0) {
                    Some(signal) => format!("Signal:{signal}"),
                    None => format!("ExitCode:{}", ended["exitCode"].as_i64().unwrap_or(0)),
                };
            } else if container["ready"] == true && !container["state"]["running"].is_null() {
                running = true;
                ready += 1;
            }
        }
        if reason == "Completed" && running {
            let is_ready = items(&status["conditions"])
                .iter()
                .any(|c| c["type"] == "Ready" && c["status"] == "True");
            reason = if is_ready { "Running" } else { "NotReady" }.to_owned();
        }
    }
    if !unset(&obj["metadata"], "deletionTimestamp") {
        reason = if text(status, "reason") == "NodeLost" {
            "Unknown"
        } else {
            "Terminating"
        }
        .to_owned();
    }
    let restarts = match last.filter(|_| restarts > 0) {
        Some(ago) => format!("{restarts} ({} ago)", duration(ago)),
        None => restarts.to_string(),
    };
    let or_none = |text: &str| json!(if text.is_empty() { "<none>" } else { text });
    let gates = items(&spec["readinessGates"]);
    let passed = gates
        .iter()
        .filter(|g| {
            items(&status["conditions"])
                .iter()
                .any(|c| c["type"] == g["conditionType"] && c["status"] == "True")
        })
        .count();
    let ip = items(&status["podIPs"])
        .first()
        .map_or(text(status, "podIP"), |ip| text(ip, "ip"));
    vec![
        obj["metadata"]["name"].clone(),
        json!(format!("{ready}/{total}")),
        json!(reason),
        json!(restarts),
        age,
        or_none(ip),
        or_none(text(spec, "nodeName")),
        or_none(text(status, "nominatedNodeName")),
        if gates.is_empty() {
            json!("<none>")
        } else {
            json!(format!("{passed}/{}", gates.len()))
        },
    ]
}

fn node_cells(obj: &Value, age: Value) -> Vec<Value> {
    let (spec, status) = (&obj["spec"], &obj["status"]);
    let mut states: Vec<&str> = items(&status["conditions"])
        .iter()
        .filter(|c| c["type"] == "Ready")
        .map(|c| {
            if c["status"] == "True" {
                "Ready"
            } else {
                "NotReady"
            }
        })
        .collect();
    if states.is_empty() {
        states.push("Unknown");
    }
    if spec["unschedulable"] == true {
        states.push("SchedulingDisabled");
    }
    let mut roles: Vec<&str> = sorted(&obj["metadata"]["labels"])
        .into_iter()
        .filter_map(|(k, v)| {
            k.strip_prefix("node-role.kubernetes.io/")
                .or_else(|| (k == "kubernetes.io/role").then(|| v.as_str().unwrap_or_default()))
        })
        .filter(|r| !r.is_empty())
        .collect();
    roles.sort_unstable();
    roles.dedup();
    let address = |kind: &str| {
        let found = items(&status["addresses"])
            .iter()
            .find(|a| a["type"] == kind);
        json!(found.map_or("<none>", |a| text(a, "address")))
    };
    let info = |key: &str| {
        json!(match text(&status["nodeInfo"], key) {
            "" => "<unknown>",
            text => text,
        })
    };
    vec![
        obj["metadata"]["name"].clone(),
        json!(states.join(",")),
        json!(if roles.is_empty() {
            "<none>".to_owned()
        } else {
            roles.join(",")
        }),
        age,
        json!(text(&status["nodeInfo"], "kubeletVersion")),
        address("InternalIP"),
        address("ExternalIP"),
        info("osImage"),
        info("kernelVersion"),
        info("containerRuntimeVersion"),
    ]
}

fn event_cells(obj: &Value, new: bool, now: Timestamp) -> Vec<Value> {
    let (object, message, first, last, count, source, component) = if new {
        (
            "regarding",
            "note",
            "deprecatedFirstTimestamp",
            "deprecatedLastTimestamp",
            "deprecatedCount",
            "deprecatedSource",
            "reportingController",
        )
    } else {
        (
            "involvedObject",
            "message",
            "firstTimestamp",
            "lastTimestamp",
            "count",
            "source",
            "reportingComponent",
        )
    };
    let since = |key: &str| {
        let time = if obj[key].is_null() {
            &obj["eventTime"]
        } else {
            &obj[key]
        };
        age(time, now)
    };
    let series = &obj["series"];
    let seen = if series.is_null() {
        since(last)
    } else {
        age(&series["lastObservedTime"], now)
    };
    let times = match series["count"].as_i64().or(obj[count].as_i64()) {
        Some(0) | None => 1,
        Some(n) => n,
    };
    let target = &obj[object];
    let mut from: Vec<&str> = vec![match text(&obj[source], "component") {
        "" => text(obj, component),
        component => component,
    }];
    let host = text(&obj[source], "host");
    if !host.is_empty() {
        from.push(host);
    }
    let kind = text(target, "kind").to_lowercase();
    let shown = if text(target, "name").is_empty() {
        kind
    } else {
        format!("{kind}/{}", text(target, "name"))
    };
    vec![
        json!(seen),
        obj["type"].as_str().unwrap_or_default().into(),
        obj["reason"].as_str().unwrap_or_default().into(),
        json!(shown),
        json!(text(target, "fieldPath")),
        json!(from.join(", ")),
        json!(text(obj, message).trim()),
        json!(since(first)),
        json!(times),
        obj["metadata"]["name"].clone(),
    ]
}

fn hpa_targets(kind: Option<Kind>, spec: &Value, status: &Value) -> String {
    if kind.is_some_and(|k| k.version() == "v1") {
        return match spec["targetCPUUtilizationPercentage"].as_i64() {
            None => "<none>".to_owned(),
            Some(target) => {
                let current = status["currentCPUUtilizationPercentage"].as_i64();
                format!(
                    "cpu: {}/{target}%",
                    current.map_or("<unknown>".to_owned(), |c| format!("{c}%"))
                )
            }
        };
    }
    let current = items(&status["currentMetrics"]);
    let mut shown = Vec::new();
    let metrics = items(&spec["metrics"]);
    for (i, metric) in metrics.iter().enumerate() {
        let source = match text(metric, "type") {
            "External" => "external",
            "Pods" => "pods",
            "Object" => "object",
            "Resource" => "resource",
            "ContainerResource" => "containerResource",
            _ => {
                shown.push("<unknown type>".to_owned());
                continue;
            }
        };
        let (target, now) = (
            &metric[source]["target"],
            &current.get(i).unwrap_or(&Value::Null)[source]["current"],
        );
        let name = text(&metric[source], "name");
        let cell = if matches!(source, "resource" | "containerResource") {
            match (
                target["averageValue"].as_str(),
                target["averageUtilization"].as_i64(),
            ) {
                (Some(wanted), _) => {
                    format!(
                        "{name}: {}/{wanted}",
                        quantity_or_unknown(&now["averageValue"])
                    )
                }
                (None, wanted) => {
                    let wanted = wanted.map_or("<auto>".to_owned(), |w| format!("{w}%"));
                    let now = now["averageUtilization"]
                        .as_i64()
                        .map_or("<unknown>".to_owned(), |n| format!("{n}%"));
                    format!("{name}: {now}/{wanted}")
                }
            }
        } else if let Some(wanted) = target["averageValue"].as_str() {
            let average = if source == "pods" { "" } else { " (avg)" };
            format!(
                "{}/{wanted}{average}",
                quantity_or_unknown(&now["averageValue"])
            )
        } else {
            format!(
                "{}/{}",
                quantity_or_unknown(&now["value"]),
                target["value"].as_str().unwrap_or("0")
            )
        };
        shown.push(cell);
    }
    match shown.len() {
        0 => "<none>".to_owned(),
        1 | 2 => shown.join(", "),
        more => format!(
            "{} + {} more...",
            shown.iter().take(2).cloned().collect::<Vec<_>>().join(", "),
            more - 2
        ),
    }
}

fn quantity_or_unknown(value: &Value) -> String {
    value
        .as_str()
        .and_then(|q| Quantity::parse(q).ok())
        .map_or_else(|| "<unknown>".to_owned(), Quantity::canonical)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_as_many_cells_as_columns() {
        let now = Timestamp::UNIX_EPOCH;
        for kind in Kind::all() {
            let columns = columns(Some(kind)).len();
            assert_eq!(
                table_cells(Some(kind), &json!({"metadata": {"name": "a"}}), now).len(),
                columns,
                "{kind}"
            );
        }
    }

    #[test]
    fn durations_are_short() {
        for (seconds, shown) in [
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (200, "3m20s"),
            (660, "11m"),
            (3 * 3600, "3h"),
            (3 * 3600 + 60, "3h1m"),
            (47 * 3600, "47h"),
            (49 * 3600, "2d1h"),
            (10 * 86400, "10d"),
            (731 * 86400, "2y1d"),
            (-5, "<invalid>"),
        ] {
            assert_eq!(duration(seconds), shown);
        }
    }

    #[test]
    fn a_pod_shows_what_its_containers_do() {
        let pod = |status: Value| {
            let kind = Kind::lookup("", "v1", "Pod");
            let obj =
                json!({"metadata": {"name": "a"}, "spec": {"containers": [{}]}, "status": status});
            let cells = table_cells(kind, &obj, Timestamp::UNIX_EPOCH);
            (cells[1].clone(), cells[2].clone())
        };
        assert_eq!(
            pod(json!({"phase": "Pending"})),
            (json!("0/1"), json!("Pending"))
        );
        assert_eq!(
            pod(
                json!({"phase": "Running", "containerStatuses": [{"ready": true, "state": {"running": {}}}]})
            ),
            (json!("1/1"), json!("Running"))
        );
        assert_eq!(
            pod(
                json!({"phase": "Running", "containerStatuses": [{"state": {"waiting": {"reason": "CrashLoopBackOff"}}}]})
            ),
            (json!("0/1"), json!("CrashLoopBackOff"))
        );
    }
}
