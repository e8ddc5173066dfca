//! The values that the API server sets where a client set none.
//!
//! They are those of `zz_generated.defaults.go` and of the conversions between API
//! versions and internal types, [which the API reference documents field by
//! field](https://kubernetes.io/docs/reference/kubernetes-api/).

mod pod;

pub(super) use pod::{qos_class, tolerates};

use serde_json::{Value, json};

use super::{
    Kind, normalize,
    value::{
        items, items_mut, member, object, remove, set, set_default, set_nonzero, sorted, text,
        unset,
    },
};

/// Sets what a client left out, as the server does while it decodes a request.
///
/// `object` comes from [`decode`](super::decode) and stays in the server's form.
/// `old` is the stored object of an update: values that the server chose once and a client
/// may leave out (a Service's cluster IP) are not its business here, so most kinds ignore it.
///
/// ```
/// use gitops_testkit::kinds::{Kind, decode, default};
/// let kind = Kind::lookup("apps", "v1", "Deployment").unwrap();
/// let mut object = decode(kind, b"{}").unwrap().object;
/// default(kind, &mut object, None);
/// assert_eq!(object["spec"]["replicas"], 1);
/// assert_eq!(object["spec"]["strategy"]["rollingUpdate"]["maxSurge"], "25%");
/// ```
pub fn default(kind: Kind, obj: &mut Value, old: Option<&Value>) {
    let _ = old;
    match (kind.group(), kind.name()) {
        ("", "Pod") => {
            if let Some(spec) = member(obj, "spec") {
                pod::spec(spec);
                pod::pod(spec);
            }
        }
        ("", "PodTemplate") => pod::template(obj, "template"),
        ("", "ReplicationController") => replication_controller(obj),
        ("apps", name) => workload(name, obj),
        ("batch", "Job") => job(obj),
        ("batch", "CronJob") => cron_job(obj),
        ("", "Service") => service(obj),
        ("", "Secret") => secret(obj),
        ("", "Namespace") => namespace(obj),
        ("", "Endpoints") => {
            for subset in items_mut(obj, "subsets") {
                protocols(subset, "ports");
            }
        }
        ("discovery.k8s.io", "EndpointSlice") => {
            for port in items_mut(obj, "ports") {
                set_missing(port, "name", "");
                set_missing(port, "protocol", "TCP");
            }
        }
        ("networking.k8s.io", "NetworkPolicy") => network_policy(obj),
        ("networking.k8s.io", "IngressClass") => {
            if let Some(parameters) = member(obj, "spec").and_then(|s| member(s, "parameters")) {
                set_missing(parameters, "scope", "Cluster");
            }
        }
        ("", "PersistentVolumeClaim") => claim(obj),
        ("", "PersistentVolume") => volume(obj),
        ("", "LimitRange") => limit_range(obj),
        ("autoscaling", "HorizontalPodAutoscaler") => autoscaler(kind, obj),
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => binding(obj),
        ("scheduling.k8s.io", "PriorityClass") => {
            set_missing(obj, "preemptionPolicy", "PreemptLowerPriority")
        }
        ("storage.k8s.io", "StorageClass") => {
            set_missing(obj, "reclaimPolicy", "Delete");
            set_missing(obj, "volumeBindingMode", "Immediate");
        }
        ("storage.k8s.io", "CSIDriver") => csi_driver(obj),
        ("admissionregistration.k8s.io", _) => admission(obj),
        ("apiregistration.k8s.io", "APIService") => {
            if let Some(service) = member(obj, "spec").and_then(|s| member(s, "service")) {
                set_missing(service, "port", 443);
            }
        }
        ("flowcontrol.apiserver.k8s.io", "FlowSchema") => {
            if let Some(spec) = member(obj, "spec") {
                set_nonzero(spec, "matchingPrecedence", 1000);
            }
        }
        ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration") => priority_level(obj),
        ("certificates.k8s.io", "CertificateSigningRequest") => {}
        ("apiextensions.k8s.io", "CustomResourceDefinition") => crate::crd::default_definition(obj),
        _ => {}
    }
    normalize(kind, obj);
}

/// Sets `key` if it is absent or null; an empty string stays.
fn set_missing(object: &mut Value, key: &str, value: impl Into<Value>) {
    if unset(object, key) {
        set(object, key, value);
    }
}

fn protocols(parent: &mut Value, key: &str) {
    for port in items_mut(parent, key) {
        set_default(port, "protocol", "TCP");
    }
}

fn replication_controller(obj: &mut Value) {
    let labels = obj["spec"]["template"]["metadata"]["labels"].clone();
    if let Some(spec) = member(obj, "spec") {
        pod::template(spec, "template");
        set_missing(spec, "replicas", 1);
        if !labels.is_null() && items_empty(&spec["selector"]) {
            set(spec, "selector", labels.clone());
        }
    }
    if !labels.is_null()
        && let Some(meta) = object(obj, "metadata")
        && items_empty(&meta["labels"])
    {
        set(meta, "labels", labels);
    }
}

fn items_empty(value: &Value) -> bool {
    value.as_object().is_none_or(serde_json::Map::is_empty)
}

fn workload(name: &str, obj: &mut Value) {
    if name == "DaemonSet" {
        daemon_annotation(obj);
    }
    let Some(spec) = object(obj, "spec") else {
        return;
    };
    match name {
        "Deployment" => {
            pod::template(spec, "template");
            set_missing(spec, "replicas", 1);
            if let Some(strategy) = object(spec, "strategy") {
                set_default(strategy, "type", "RollingUpdate");
                if text(strategy, "type") == "RollingUpdate"
                    && let Some(rolling) = object(strategy, "rollingUpdate")
                {
                    set_missing(rolling, "maxUnavailable", "25%");
                    set_missing(rolling, "maxSurge", "25%");
                }
            }
            set_missing(spec, "revisionHistoryLimit", 10);
            set_missing(spec, "progressDeadlineSeconds", 600);
        }
        "ReplicaSet" => {
            pod::template(spec, "template");
            set_missing(spec, "replicas", 1);
        }
        "StatefulSet" => {
            pod::template(spec, "template");
            set_default(spec, "podManagementPolicy", "OrderedReady");
            if let Some(strategy) = object(spec, "updateStrategy") {
                set_default(strategy, "type", "RollingUpdate");
                if text(strategy, "type") == "RollingUpdate"
                    && let Some(rolling) = object(strategy, "rollingUpdate")
                {
                    set_missing(rolling, "partition", 0);
                }
            }
            if let Some(retention) = object(spec, "persistentVolumeClaimRetentionPolicy") {
                set_default(retention, "whenDeleted", "Retain");
                set_default(retention, "whenScaled", "Retain");
            }
            set_missing(spec, "replicas", 1);
            set_missing(spec, "revisionHistoryLimit", 10);
            for template in items_mut(spec, "volumeClaimTemplates") {
                set(template, "apiVersion", "v1");
                set(template, "kind", "PersistentVolumeClaim");
                claim(template);
            }
        }
        "DaemonSet" => {
            pod::template(spec, "template");
            if let Some(strategy) = object(spec, "updateStrategy") {
                set_default(strategy, "type", "RollingUpdate");
                if text(strategy, "type") == "RollingUpdate"
                    && let Some(rolling) = object(strategy, "rollingUpdate")
                {
                    set_missing(rolling, "maxUnavailable", 1);
                    set_missing(rolling, "maxSurge", 0);
                }
            }
            set_missing(spec, "revisionHistoryLimit", 10);
        }
        _ => {}
    }
}

/// The annotation that carries `templateGeneration`, a field that apps/v1 doesn't have.
pub(super) const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";

fn daemon_annotation(obj: &mut Value) {
    let current = obj["metadata"]["annotations"][TEMPLATE_GENERATION]
        .as_str()
        .unwrap_or_default();
    let generation = current.parse::<i64>().unwrap_or(0);
    if let Some(annotations) = object(obj, "metadata").and_then(|m| object(m, "annotations")) {
        set(annotations, TEMPLATE_GENERATION, generation.to_string());
    }
}

fn job(obj: &mut Value) {
    let labels = obj["spec"]["template"]["metadata"]["labels"].clone();
    if !items_empty(&labels)
        && let Some(meta) = object(obj, "metadata")
        && items_empty(&meta["labels"])
    {
        set(meta, "labels", labels);
    }
    let Some(spec) = object(obj, "spec") else {
        return;
    };
    pod::template(spec, "template");
    if unset(spec, "completions") && unset(spec, "parallelism") {
        set(spec, "completions", 1);
    }
    set_missing(spec, "parallelism", 1);
    let backoff = if unset(spec, "backoffLimitPerIndex") {
        6
    } else {
        i32::MAX
    };
    set_missing(spec, "backoffLimit", backoff);
    set_missing(spec, "completionMode", "NonIndexed");
    set_missing(spec, "suspend", false);
    set_missing(spec, "manualSelector", false);
    let replacement = if unset(spec, "podFailurePolicy") {
        "TerminatingOrFailed"
    } else {
        "Failed"
    };
    set_missing(spec, "podReplacementPolicy", replacement);
    if let Some(policy) = member(spec, "podFailurePolicy") {
        for rule in items_mut(policy, "rules") {
            for pattern in items_mut(rule, "onPodConditions") {
                set_default(pattern, "status", "True");
            }
        }
    }
}

fn cron_job(obj: &mut Value) {
    let Some(spec) = object(obj, "spec") else {
        return;
    };
    if let Some(job) = object(spec, "jobTemplate").and_then(|t| object(t, "spec")) {
        pod::template(job, "template");
        if let Some(policy) = member(job, "podFailurePolicy") {
            for rule in items_mut(policy, "rules") {
                for pattern in items_mut(rule, "onPodConditions") {
                    set_default(pattern, "status", "True");
                }
            }
        }
    }
    set_default(spec, "concurrencyPolicy", "Allow");
    set_missing(spec, "suspend", false);
    set_missing(spec, "successfulJobsHistoryLimit", 3);
    set_missing(spec, "failedJobsHistoryLimit", 1);
}

fn service(obj: &mut Value) {
    let Some(spec) = object(obj, "spec") else {
        return;
    };
    set_default(spec, "sessionAffinity", "None");
    match text(spec, "sessionAffinity") {
        "None" => {
            remove(spec, "sessionAffinityConfig");
        }
        "ClientIP" => {
            if let Some(client) =
                object(spec, "sessionAffinityConfig").and_then(|c| object(c, "clientIP"))
            {
                set_missing(client, "timeoutSeconds", 10800);
            }
        }
        _ => {}
    }
    set_default(spec, "type", "ClusterIP");
    for port in items_mut(spec, "ports") {
        set_default(port, "protocol", "TCP");
        if matches!(&port["targetPort"], Value::Null)
            || port["targetPort"] == 0
            || port["targetPort"] == ""
        {
            let number = port["port"].clone();
            set(port, "targetPort", number);
        }
    }
    let kind = text(spec, "type").to_owned();
    let outside = matches!(kind.as_str(), "NodePort" | "LoadBalancer");
    if outside || (kind == "ClusterIP" && !items(&spec["externalIPs"]).is_empty()) {
        set_default(spec, "externalTrafficPolicy", "Cluster");
    }
    if outside || kind == "ClusterIP" {
        set_missing(spec, "internalTrafficPolicy", "Cluster");
    }
    if kind == "LoadBalancer" {
        set_missing(spec, "allocateLoadBalancerNodePorts", true);
        if let Some(balancer) = member(obj, "status").and_then(|s| member(s, "loadBalancer")) {
            for ingress in items_mut(balancer, "ingress") {
                if !text(ingress, "ip").is_empty() {
                    set_missing(ingress, "ipMode", "VIP");
                }
            }
        }
    }
}

fn secret(obj: &mut Value) {
    set_default(obj, "type", "Opaque");
    if let Some(Value::Object(plain)) = remove(obj, "stringData") {
        use base64::{Engine as _, engine::general_purpose::STANDARD};
        if let Some(data) = object(obj, "data") {
            for (key, value) in plain {
                set(
                    data,
                    &key,
                    STANDARD.encode(value.as_str().unwrap_or_default()),
                );
            }
        }
    }
}

fn namespace(obj: &mut Value) {
    let name = text(&obj["metadata"], "name").to_owned();
    if !name.is_empty()
        && let Some(labels) = object(obj, "metadata").and_then(|m| object(m, "labels"))
    {
        set(labels, "kubernetes.io/metadata.name", name);
    }
    if let Some(status) = object(obj, "status") {
        set_default(status, "phase", "Active");
    }
}

fn network_policy(obj: &mut Value) {
    let Some(spec) = object(obj, "spec") else {
        return;
    };
    if items(&spec["policyTypes"]).is_empty() {
        let both = !items(&spec["egress"]).is_empty();
        set(
            spec,
            "policyTypes",
            if both {
                json!(["Ingress", "Egress"])
            } else {
                json!(["Ingress"])
            },
        );
    }
    for direction in ["ingress", "egress"] {
        for rule in items_mut(spec, direction) {
            for port in items_mut(rule, "ports") {
                set_missing(port, "protocol", "TCP");
            }
        }
    }
}

pub(super) fn claim(obj: &mut Value) {
    if let Some(status) = object(obj, "status") {
        set_default(status, "phase", "Pending");
    }
    if let Some(spec) = object(obj, "spec") {
        claim_spec(spec);
    }
}

/// The part of a claim that templates share: no status.
pub(super) fn claim_spec(spec: &mut Value) {
    set_missing(spec, "volumeMode", "Filesystem");
    // `dataSource` and `dataSourceRef` mirror each other if only one is set.
    if unset(spec, "dataSourceRef") && !unset(spec, "dataSource") {
        let source = spec["dataSource"].clone();
        set(spec, "dataSourceRef", source);
    } else if unset(spec, "dataSource")
        && !unset(spec, "dataSourceRef")
        && unset(&spec["dataSourceRef"], "namespace")
    {
        let reference = &spec["dataSourceRef"];
        let group = text(reference, "apiGroup");
        if group.is_empty() || group == "snapshot.storage.k8s.io" {
            let source = reference.clone();
            set(spec, "dataSource", source);
        }
    }
}

fn volume(obj: &mut Value) {
    if let Some(status) = object(obj, "status") {
        set_default(status, "phase", "Pending");
    }
    if let Some(spec) = object(obj, "spec") {
        set_default(spec, "persistentVolumeReclaimPolicy", "Retain");
        set_missing(spec, "volumeMode", "Filesystem");
        pod::volume_source(spec);
    }
}

fn limit_range(obj: &mut Value) {
    let Some(spec) = object(obj, "spec") else {
        return;
    };
    for limit in items_mut(spec, "limits") {
        if text(limit, "type") != "Container" {
            continue;
        }
        // default <- max; defaultRequest <- default, then min.
        for (target, source) in [
            ("default", "max"),
            ("defaultRequest", "default"),
            ("defaultRequest", "min"),
        ] {
            let given = limit[source].clone();
            for (name, quantity) in sorted(&given) {
                if let Some(values) = object(limit, target) {
                    set_missing(values, name, quantity.clone());
                }
            }
        }
    }
}

fn autoscaler(kind: Kind, obj: &mut Value) {
    let Some(spec) = object(obj, "spec") else {
        return;
    };
    set_missing(spec, "minReplicas", 1);
    if kind.version() != "v2" {
        return;
    }
    if items(&spec["metrics"]).is_empty() {
        set(
            spec,
            "metrics",
            json!([{"type": "Resource", "resource": {"name": "cpu",
                "target": {"type": "Utilization", "averageUtilization": 80}}}]),
        );
    }
    if let Some(behavior) = member(spec, "behavior") {
        if let Some(up) = object(behavior, "scaleUp") {
            set_missing(up, "selectPolicy", "Max");
            set_missing(up, "stabilizationWindowSeconds", 0);
            if unset(up, "policies") {
                set(
                    up,
                    "policies",
                    json!([{"type": "Pods", "value": 4, "periodSeconds": 15},
                        {"type": "Percent", "value": 100, "periodSeconds": 15}]),
                );
            }
        }
        if let Some(down) = object(behavior, "scaleDown") {
            set_missing(down, "selectPolicy", "Max");
            if unset(down, "policies") {
                set(
                    down,
                    "policies",
                    json!([{"type": "Percent", "value": 100, "periodSeconds": 15}]),
                );
            }
        }
    }
}

fn binding(obj: &mut Value) {
    const RBAC: &str = "rbac.authorization.k8s.io";
    if let Some(role) = object(obj, "roleRef") {
        set_default(role, "apiGroup", RBAC);
    }
    for subject in items_mut(obj, "subjects") {
        if matches!(text(subject, "kind"), "User" | "Group") {
            set_default(subject, "apiGroup", RBAC);
        }
    }
}

fn csi_driver(obj: &mut Value) {
    let Some(spec) = object(obj, "spec") else {
        return;
    };
    set_missing(spec, "attachRequired", true);
    for off in [
        "podInfoOnMount",
        "storageCapacity",
        "requiresRepublish",
        "seLinuxMount",
    ] {
        set_missing(spec, off, false);
    }
    set_missing(spec, "fsGroupPolicy", "ReadWriteOnceWithFSType");
    if items(&spec["volumeLifecycleModes"]).is_empty() {
        set(spec, "volumeLifecycleModes", json!(["Persistent"]));
    }
}

fn admission(obj: &mut Value) {
    let mutating = text(obj, "kind").starts_with("Mutating");
    for hook in items_mut(obj, "webhooks") {
        set_missing(hook, "failurePolicy", "Fail");
        set_missing(hook, "matchPolicy", "Equivalent");
        set_missing(hook, "namespaceSelector", json!({}));
        set_missing(hook, "objectSelector", json!({}));
        set_missing(hook, "timeoutSeconds", 10);
        if mutating {
            set_missing(hook, "reinvocationPolicy", "Never");
        }
        for rule in items_mut(hook, "rules") {
            set_missing(rule, "scope", "*");
        }
        if let Some(service) = member(hook, "clientConfig").and_then(|c| member(c, "service")) {
            set_missing(service, "port", 443);
        }
    }
    let policy = text(obj, "kind").ends_with("Policy");
    let Some(spec) = member(obj, "spec") else {
        return;
    };
    if policy {
        set_missing(spec, "failurePolicy", "Fail");
    }
    for key in ["matchConstraints", "matchResources"] {
        if let Some(matching) = member(spec, key) {
            set_missing(matching, "matchPolicy", "Equivalent");
            set_missing(matching, "namespaceSelector", json!({}));
            set_missing(matching, "objectSelector", json!({}));
            for rules in ["resourceRules", "excludeResourceRules"] {
                for rule in items_mut(matching, rules) {
                    set_missing(rule, "scope", "*");
                }
            }
        }
    }
}

fn priority_level(obj: &mut Value) {
    let Some(spec) = object(obj, "spec") else {
        return;
    };
    if let Some(limited) = member(spec, "limited") {
        set_missing(limited, "nominalConcurrencyShares", 30);
        set_missing(limited, "lendablePercent", 0);
        if let Some(queuing) = member(limited, "limitResponse").and_then(|r| member(r, "queuing")) {
            set_nonzero(queuing, "handSize", 8);
            set_nonzero(queuing, "queues", 64);
            set_nonzero(queuing, "queueLengthLimit", 50);
        }
    }
    if let Some(exempt) = member(spec, "exempt") {
        set_missing(exempt, "nominalConcurrencyShares", 0);
        set_missing(exempt, "lendablePercent", 0);
    }
}
