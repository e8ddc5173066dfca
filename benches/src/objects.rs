//! Objects as a cluster has them, for the benches of the field engine.
//!
//! The four of [`ssa`] are as large as those on which structured-merge-diff measures itself
//! (`merge.BenchmarkOperations`), and are shaped as they are; the content is ours.

use anyhow::{Context as _, Result, bail};
use gitops_core::GroupVersionKind;
use gitops_diff::managed::{Apply, Target, Track, apply, track};
use gitops_diff::schema::Schema;
use gitops_testkit::arb;
use gitops_testkit::kinds::{self, decode_value};
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;
use serde_json::{Map, Value, json};

/// The manager under which the benches apply.
pub const MANAGER: &str = "payments-prod";

/// What Git says, and what the cluster has after it was applied.
pub struct Stored {
    /// The manifest.
    pub desired: Value,
    /// The object with defaults, owners, and status if the kind has one.
    pub live: Value,
}

/// The object that a server has after `desired` was applied and a controller wrote `status`.
///
/// # Errors
///
/// If it isn't a valid object of a built-in kind.
pub fn stored(desired: Value, status: Option<Value>) -> Result<Stored> {
    let text = |name: &str| {
        let text = desired[name].as_str();
        text.map(str::to_owned)
            .with_context(|| format!("no {name}"))
    };
    let (api_version, kind) = (text("apiVersion")?, text("kind")?);
    let gvk = GroupVersionKind::from_api_version(&api_version, &kind);
    let versions = Schema::builtin().kind(&gvk.group, &gvk.kind);
    let target = Target::new(&versions, &*api_version, &*kind);
    let now = "2026-01-02T03:04:05Z".parse()?;
    let applied = apply(&target, &Apply::new(&desired, MANAGER, now))?.object;

    let known = kinds::Kind::lookup(&gvk.group, &gvk.version, &kind).context("an unknown kind")?;
    let owners = applied["metadata"]["managedFields"].clone();
    let mut live = decode_value(known, &applied)?.object;
    kinds::default(known, &mut live, None);
    let metadata = live["metadata"].as_object_mut().context("no metadata")?;
    metadata.insert("managedFields".into(), owners);
    metadata.insert("uid".into(), json!("8d7a3e52-0f3c-4b1e-9c56-1f0e2a7b4c11"));
    metadata.insert("resourceVersion".into(), json!("48151623"));
    metadata.insert("generation".into(), json!(1));
    metadata.insert("creationTimestamp".into(), json!("2026-01-02T03:04:05Z"));
    if let Some(status) = status {
        let mut object = live.clone();
        object["status"] = status;
        let target = target.subresource("status");
        let write = Track::new(object, "kube-controller-manager", now).live(&live);
        live = track(&target, write)?;
    }
    Ok(Stored { desired, live })
}

/// A Deployment of some 0.9 KB, stored as some 4 KB.
///
/// # Errors
///
/// Never, unless the crates under test are broken.
pub fn deployment() -> Result<Stored> {
    let labels = json!({"app.kubernetes.io/name": "web", "app.kubernetes.io/part-of": "shop"});
    let desired = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "shop", "labels": labels},
        "spec": {
            "replicas": 3,
            "revisionHistoryLimit": 3,
            "selector": {"matchLabels": {"app.kubernetes.io/name": "web"}},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "serviceAccountName": "web",
                    "containers": [{
                        "name": "app",
                        "image": "registry.example.com/shop/web:1.14.2",
                        "ports": [{"name": "http", "containerPort": 8080}],
                        "env": [
                            {"name": "LOG_LEVEL", "value": "info"},
                            {"name": "DATABASE", "valueFrom":
                                {"secretKeyRef": {"name": "web", "key": "database"}}},
                        ],
                        "resources": {
                            "requests": {"cpu": "100m", "memory": "64Mi"},
                            "limits": {"memory": "128Mi"},
                        },
                        "readinessProbe": {"httpGet": {"path": "/ready", "port": "http"}},
                    }],
                },
            },
        },
    });
    let condition = |kind: &str, reason: &str, message: &str| {
        json!({
            "type": kind, "status": "True", "reason": reason, "message": message,
            "lastTransitionTime": "2026-01-02T03:04:09Z",
            "lastUpdateTime": "2026-01-02T03:04:09Z",
        })
    };
    let status = json!({
        "observedGeneration": 1, "replicas": 3, "updatedReplicas": 3, "readyReplicas": 3,
        "availableReplicas": 3,
        "conditions": [
            condition("Available", "MinimumReplicasAvailable",
                "Deployment has minimum availability."),
            condition("Progressing", "NewReplicaSetAvailable",
                "ReplicaSet \"web-5d59d67564\" has successfully progressed."),
        ],
    });
    stored(desired, Some(status))
}

/// One object each of forty built-in kinds, made by the testkit, always the same ones.
///
/// # Errors
///
/// If the testkit can't make one of them.
pub fn forty_kinds() -> Result<Vec<Stored>> {
    const KINDS: [(&str, &str); 40] = [
        (
            "admissionregistration.k8s.io/v1",
            "ValidatingAdmissionPolicy",
        ),
        (
            "admissionregistration.k8s.io/v1",
            "ValidatingWebhookConfiguration",
        ),
        (
            "admissionregistration.k8s.io/v1",
            "MutatingWebhookConfiguration",
        ),
        ("apiregistration.k8s.io/v1", "APIService"),
        ("apps/v1", "DaemonSet"),
        ("apps/v1", "Deployment"),
        ("apps/v1", "ReplicaSet"),
        ("apps/v1", "StatefulSet"),
        ("autoscaling/v2", "HorizontalPodAutoscaler"),
        ("batch/v1", "CronJob"),
        ("batch/v1", "Job"),
        ("coordination.k8s.io/v1", "Lease"),
        ("v1", "Secret"),
        ("events.k8s.io/v1", "Event"),
        ("flowcontrol.apiserver.k8s.io/v1", "FlowSchema"),
        (
            "flowcontrol.apiserver.k8s.io/v1",
            "PriorityLevelConfiguration",
        ),
        ("networking.k8s.io/v1", "Ingress"),
        ("networking.k8s.io/v1", "IngressClass"),
        ("networking.k8s.io/v1", "NetworkPolicy"),
        ("node.k8s.io/v1", "RuntimeClass"),
        ("policy/v1", "PodDisruptionBudget"),
        ("rbac.authorization.k8s.io/v1", "ClusterRole"),
        ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"),
        ("rbac.authorization.k8s.io/v1", "Role"),
        ("rbac.authorization.k8s.io/v1", "RoleBinding"),
        ("scheduling.k8s.io/v1", "PriorityClass"),
        ("storage.k8s.io/v1", "CSIDriver"),
        ("storage.k8s.io/v1", "StorageClass"),
        ("v1", "ConfigMap"),
        ("v1", "Endpoints"),
        ("v1", "LimitRange"),
        ("v1", "Namespace"),
        ("v1", "PersistentVolume"),
        ("v1", "PersistentVolumeClaim"),
        ("v1", "Pod"),
        ("v1", "PodTemplate"),
        ("v1", "ReplicationController"),
        ("v1", "ResourceQuota"),
        ("v1", "Service"),
        ("v1", "ServiceAccount"),
    ];
    let mut runner = TestRunner::deterministic();
    let kinds = KINDS.map(|(api_version, kind)| {
        let gvk = GroupVersionKind::from_api_version(api_version, kind);
        let objects = arb::object_of(&gvk).with_context(|| format!("no {kind} can be made"))?;
        let made = objects
            .new_tree(&mut runner)
            .map_err(|reason| anyhow::anyhow!("{kind}: {reason}"))?;
        stored(made.current(), None).with_context(|| kind.to_owned())
    });
    kinds.into_iter().collect()
}

/// `pod`, `node`, `endpoints` or `crd`: 2.8, 10.8, 176 and 123 KB of JSON.
///
/// # Errors
///
/// If it is another word.
pub fn ssa(name: &str) -> Result<Value> {
    match name {
        "pod" => Ok(pod()),
        "node" => Ok(node()),
        "endpoints" => Ok(endpoints(1000)),
        "crd" => Ok(definition(500)),
        other => bail!("there is no object {other}"),
    }
}

fn pod() -> Value {
    let condition = |kind: &str| {
        json!({"type": kind, "status": "True", "lastProbeTime": null,
            "lastTransitionTime": "2026-01-02T03:04:05Z"})
    };
    let secret_env = |name: &str| {
        json!({"name": name, "valueFrom":
            {"secretKeyRef": {"name": "checkout-credentials", "key": name}}})
    };
    let toleration = |key: &str| {
        json!({"key": key, "operator": "Exists", "effect": "NoExecute",
            "tolerationSeconds": 300})
    };
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": "checkout-6b7f8d9c5-x2x7k", "namespace": "shop",
            "labels": {"app": "checkout", "pod-template-hash": "6b7f8d9c5", "team": "payments",
                "tier": "backend", "track": "stable"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet",
                "name": "checkout-6b7f8d9c5", "uid": "3e0c1d8e-5a43-4f57-a1a3-0c9a4e6f1b2d",
                "controller": true, "blockOwnerDeletion": true}],
        },
        "spec": {
            "containers": [{
                "name": "checkout",
                "image": "registry.example.com/shop/checkout:2.7.1",
                "imagePullPolicy": "IfNotPresent",
                "args": ["--listen", ":8080", "--metrics", ":9090", "--log", "json", "--level",
                    "info", "--tls"],
                "env": [secret_env("DATABASE"), secret_env("BROKER"), secret_env("SIGNING")],
                "resources": {"requests": {"cpu": "250m"}},
                "terminationMessagePath": "/dev/termination-log",
                "terminationMessagePolicy": "File",
                "volumeMounts": [{"name": "token",
                    "mountPath": "/var/run/secrets/tokens/checkout", "readOnly": true}],
            }],
            "dnsPolicy": "ClusterFirst", "nodeName": "worker-17", "priority": 0,
            "restartPolicy": "Always", "schedulerName": "default-scheduler",
            "securityContext": {}, "serviceAccount": "checkout",
            "serviceAccountName": "checkout", "terminationGracePeriodSeconds": 30,
            "tolerations": [toleration("node.kubernetes.io/not-ready"),
                toleration("node.kubernetes.io/unreachable")],
            "volumes": [{"name": "token",
                "secret": {"secretName": "checkout-token", "defaultMode": 420}}],
        },
        "status": {
            "conditions": [condition("Initialized"), condition("Ready"),
                condition("ContainersReady"), condition("PodScheduled")],
            "containerStatuses": [{
                "name": "checkout", "ready": true, "restartCount": 2,
                "image": "registry.example.com/shop/checkout:2.7.1",
                "imageID": "registry.example.com/shop/checkout@sha256:9f86d081884c7d65",
                "containerID": "containerd://60303ae22b998861bce3b28f33eec1be758a213c86c93c076db",
                "lastState": {"terminated": {
                    "containerID": "containerd://fd61a03af4f77d870fc21e05e7e80678095c92d808cfb",
                    "exitCode": 137, "reason": "OOMKilled",
                    "startedAt": "2026-01-02T01:00:00Z",
                    "finishedAt": "2026-01-02T03:00:00Z"}},
                "state": {"running": {"startedAt": "2026-01-02T03:04:00Z"}},
            }],
            "hostIP": "10.20.0.17", "podIP": "10.44.3.9", "phase": "Running",
            "qosClass": "Burstable", "startTime": "2026-01-02T00:59:58Z",
        },
    })
}

fn node() -> Value {
    const CONDITIONS: [&str; 13] = [
        "MemoryPressure",
        "DiskPressure",
        "PIDPressure",
        "Ready",
        "NetworkUnavailable",
        "KernelDeadlock",
        "ReadonlyFilesystem",
        "CorruptOverlay",
        "FrequentKubeletRestart",
        "FrequentRuntimeRestart",
        "FrequentUnregister",
        "ClockSkew",
        "TemperatureHigh",
    ];
    let amounts = |cpu: &str, memory: &str| {
        json!({"cpu": cpu, "memory": memory, "ephemeral-storage": "202086868Ki",
            "hugepages-2Mi": "0", "pods": "110"})
    };
    let image = |at: usize| {
        let digest = format!("{:064x}", (at as u128 + 1) * 0x9E37_79B9_7F4A_7C15_F39C);
        json!({"sizeBytes": 21_000_000 + at * 7919, "names": [
            format!("registry.example.com/mirror/library/component-{at:02}@sha256:{digest}"),
            format!("registry.example.com/mirror/library/component-{at:02}:v1.{at}.0")]})
    };
    let volume = |at: usize| format!("kubernetes.io/csi/disk.example.com^vol-{at:017x}");
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {
            "name": "worker-17.zone-b.example.com",
            "annotations": {"csi.volume.kubernetes.io/nodeid": "{\"disk.example.com\":\"i-17\"}",
                "node.alpha.kubernetes.io/ttl": "0",
                "volumes.kubernetes.io/controller-managed-attach-detach": "true"},
            "labels": {"kubernetes.io/arch": "amd64", "kubernetes.io/os": "linux",
                "kubernetes.io/hostname": "worker-17", "example.com/pool": "default",
                "example.com/disk": "nvme", "example.com/owner": "platform",
                "node.kubernetes.io/instance-type": "m6.2xlarge",
                "topology.kubernetes.io/region": "eu-north",
                "topology.kubernetes.io/zone": "eu-north-b"},
        },
        "spec": {"podCIDR": "10.44.3.0/24", "providerID": "example:///eu-north-b/i-0017"},
        "status": {
            "addresses": [{"type": "InternalIP", "address": "10.20.0.17"},
                {"type": "ExternalIP", "address": "192.0.2.17"},
                {"type": "Hostname", "address": "worker-17.zone-b.example.com"}],
            "allocatable": amounts("7910m", "31207412Ki"),
            "capacity": amounts("8", "32880628Ki"),
            "conditions": CONDITIONS.map(|kind| json!({
                "type": kind, "status": "False", "reason": format!("No{kind}"),
                "message": format!("the node does not have the condition {kind}"),
                "lastHeartbeatTime": "2026-01-02T03:04:05Z",
                "lastTransitionTime": "2025-12-24T18:00:00Z"})),
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
            "images": (0..25).map(image).collect::<Vec<_>>(),
            "nodeInfo": {"architecture": "amd64", "operatingSystem": "linux",
                "bootID": "1c0b7a4e-93a5-4d7e-8a57-5d1d3d1f6a11",
                "machineID": "4d1f6a110c0b7a4e93a54d7e8a575d1d",
                "systemUUID": "ec2b7a4e-93a5-4d7e-8a57-5d1d3d1f6a11",
                "containerRuntimeVersion": "containerd://2.1.4", "kernelVersion": "6.12.9",
                "kubeProxyVersion": "v1.36.0", "kubeletVersion": "v1.36.0",
                "osImage": "Bottlerocket OS 1.42.0"},
            "volumesAttached": (0..6).map(|at| json!({"name": volume(at), "devicePath":
                format!("/dev/nvme{at}n1")})).collect::<Vec<_>>(),
            "volumesInUse": (0..6).map(volume).collect::<Vec<_>>(),
        },
    })
}

/// An Endpoints object with `count` addresses: one list that is owned as a whole.
#[must_use]
pub fn endpoints(count: usize) -> Value {
    let address = |at: usize| {
        json!({"ip": format!("10.{}.{}.{}", at >> 16, at >> 8 & 255, at & 255),
            "targetRef": {"kind": "Pod", "namespace": "shop",
                "name": format!("checkout-6b7f8d9c5-{at:05}"),
                "resourceVersion": format!("{:010}", 48_151_623 + at),
                "uid": format!("3e0c1d8e-5a43-4f57-a1a3-{at:012x}")}})
    };
    json!({
        "apiVersion": "v1", "kind": "Endpoints",
        "metadata": {"name": "checkout", "namespace": "shop", "labels": {"app": "checkout"}},
        "subsets": [{"addresses": (0..count).map(address).collect::<Vec<_>>(),
            "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}]}],
    })
}

/// A definition of which the schema has about `properties` properties, nested as deep as
/// those of real operators.
#[must_use]
pub fn definition(properties: usize) -> Value {
    const WORDS: [&str; 8] = [
        "storage",
        "retention",
        "affinity",
        "scrape",
        "alerting",
        "remote",
        "query",
        "volume",
    ];
    // What it is for, at the length that controller-gen puts into schemas.
    let description = |at: usize| {
        let word = WORDS[at % WORDS.len()];
        format!(
            "Setting {at} of {word}: how the operator configures {word} of the instances that it \
             manages, and what is used where it is not stated. See the documentation of {word}."
        )
    };
    fn schema(at: &mut usize, depth: usize, left: usize, text: &dyn Fn(usize) -> String) -> Value {
        *at += 1;
        let number = *at;
        let mut out = Map::new();
        if number.is_multiple_of(13) || left == 0 {
            out.insert("description".into(), text(number).into());
            let (kind, format) =
                [("string", ""), ("integer", "int32"), ("boolean", "")][number % 3];
            out.insert("type".into(), kind.into());
            if !format.is_empty() {
                out.insert("format".into(), format.into());
            }
            return Value::Object(out);
        }
        out.insert("description".into(), text(number).into());
        if depth > 0 && number.is_multiple_of(5) {
            out.insert("type".into(), "array".into());
            out.insert("items".into(), schema(at, depth + 1, left - 1, text));
            return Value::Object(out);
        }
        let width = if left > 4 { 4 } else { 5 };
        let members: Map<String, Value> = (0..width)
            .map(|member| {
                let name = format!("{}{member}", WORDS[(number + member) % WORDS.len()]);
                (name, schema(at, depth + 1, left.min(6) - 1, text))
            })
            .collect();
        out.insert("type".into(), "object".into());
        let required: Vec<_> = members.keys().take(1).cloned().collect();
        out.insert("required".into(), required.into());
        out.insert("properties".into(), Value::Object(members));
        Value::Object(out)
    }
    let mut at = 0;
    let mut spec = Map::new();
    while at < properties {
        let group = schema(&mut at, 1, 3, &description);
        spec.insert(format!("group{:03}", spec.len()), group);
    }
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "monitors.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {"kind": "Monitor", "plural": "monitors", "listKind": "MonitorList",
                "singular": "monitor"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema":
                {"openAPIV3Schema": {"type": "object", "properties":
                    {"spec": {"type": "object", "properties": spec}}}}}],
        },
    })
}

/// An OpenAPI v3 document of `kinds` kinds, each of 24 fields and two types of its own.
#[must_use]
pub fn openapi(kinds: usize) -> Value {
    let scalar = |at: usize| {
        let kind = ["string", "integer", "boolean"][at % 3];
        json!({"type": kind, "description": format!("Field {at} of the kind.")})
    };
    let mut schemas = Map::new();
    for at in 0..kinds {
        let name = format!("com.example.shop.v1.Kind{at}");
        let mut fields: Map<String, Value> = (0..20)
            .map(|field| (format!("field{field}"), scalar(at + field)))
            .collect();
        let port =
            json!({"allOf": [{"$ref": format!("#/components/schemas/{name}Port")}], "default": {}});
        fields.insert(
            "ports".into(),
            json!({
                "type": "array", "items": port,
                "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["number"],
            }),
        );
        fields.insert(
            "labels".into(),
            json!({
                "type": "object", "additionalProperties": {"type": "string"},
            }),
        );
        fields.insert(
            "parent".into(),
            json!({"$ref": format!("#/components/schemas/{name}Parent")}),
        );
        fields.insert(
            "hosts".into(),
            json!({
                "type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set",
            }),
        );
        schemas.insert(
            name.clone(),
            json!({
                "type": "object", "properties": fields,
                "x-kubernetes-group-version-kind":
                    [{"group": "shop.example.com", "version": "v1", "kind": format!("Kind{at}")}],
            }),
        );
        schemas.insert(
            format!("{name}Port"),
            json!({
                "type": "object", "required": ["number"],
                "properties": {"number": {"type": "integer", "default": 0}, "name": scalar(at)},
            }),
        );
        schemas.insert(
            format!("{name}Parent"),
            json!({
                "type": "object", "properties": {"name": scalar(0), "uid": scalar(3)},
            }),
        );
    }
    json!({"openapi": "3.0.0", "components": {"schemas": schemas}})
}
