//! Scalars: what a type's format, and the name of its field, let a value be.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gitops_diff::schema::{Scalar, TypeRef};
use serde_json::{Value, json};

use super::dice::Dice;

const WORDS: &[&str] = &[
    "web", "api", "cache", "db", "queue", "shop", "cart", "mail", "auth", "edge",
];
const TIERS: &[&str] = &["front", "back", "blue", "green", "v2", "canary"];

/// Texts that readers of YAML and JSON have taken for something else, or lost.
const TRAPS: &[&str] = &[
    "",
    "yes",
    "null",
    "~",
    "0123",
    "1e3",
    "0x1F",
    "12:30:45",
    "a: b",
    "- a",
    "# no comment",
    " lead and trail ",
    "tab\there",
    "two\nlines\n",
    "no end of line\nhere",
    "quote \" and \\ backslash",
    "<b>&amp;</b>",
    "naïve ☕ 🚀",
    "{\"json\": [1, 2]}",
    "$(NAME) ${NAME}",
];

/// A DNS label.
pub(crate) fn label(dice: &mut Dice) -> String {
    match dice.below(4) {
        0 => dice.word(WORDS).to_owned(),
        1 => format!("{}-{}", dice.word(WORDS), dice.below(10)),
        _ => format!("{}-{}", dice.word(WORDS), dice.word(TIERS)),
    }
}

/// What a label key may be.
pub(crate) fn label_key(dice: &mut Dice) -> String {
    let name = dice.word(&["app", "tier", "track", "team", "release"]);
    match dice.below(4) {
        0 => format!("app.kubernetes.io/{name}"),
        1 => format!("example.com/{name}"),
        _ => name.to_owned(),
    }
}

fn label_value(dice: &mut Dice) -> String {
    match dice.below(8) {
        0 => String::new(),
        1 => "v1.2_rc-3".into(),
        2 => "true".into(),
        _ => label(dice),
    }
}

/// Any text.
pub(crate) fn text(dice: &mut Dice) -> String {
    match dice.below(3) {
        0 => dice.word(TRAPS).to_owned(),
        _ => format!("{} {}", dice.word(WORDS), dice.word(TIERS)),
    }
}

fn quantity(dice: &mut Dice, name: &str) -> Value {
    let size = name.contains("memory") || name.contains("torage") || name.contains("size");
    if size {
        return json!(dice.word(&[
            "64Mi",
            "128Mi",
            "1Gi",
            "1024Mi",
            "1.5Gi",
            "1G",
            "500M",
            "1e9",
            "10Gi",
            "134217728",
        ]));
    }
    if dice.chance(20) {
        return json!(dice.between(1, 4));
    }
    json!(dice.word(&["100m", "250m", "1", "1000m", "0.5", "1.5", "2000m", "2"]))
}

/// The key of a member of a map.
pub(crate) fn map_key(dice: &mut Dice, field: &str, values: TypeRef<'_>) -> String {
    match field {
        "labels" | "matchLabels" | "selector" | "nodeSelector" => label_key(dice),
        "annotations" => format!(
            "example.com/{}",
            dice.word(&["note", "owner", "link", "json", "build"])
        ),
        "limits" | "requests" | "overhead" | "capacity" | "hard"
            if values.format() == Some("quantity") =>
        {
            dice.word(&["cpu", "memory", "ephemeral-storage"])
                .to_owned()
        }
        "data" | "binaryData" | "stringData" => match dice.below(3) {
            0 => format!("{}.yaml", dice.word(WORDS)),
            1 => format!("{}_{}", dice.word(WORDS), dice.word(TIERS)),
            _ => dice.word(WORDS).to_owned(),
        },
        _ => label(dice),
    }
}

/// A scalar for the field `field` of the type `owner`.
pub(crate) fn scalar(dice: &mut Dice, ty: TypeRef<'_>, owner: &str, field: &str) -> Value {
    if let Some(values) = ty.enum_values().filter(|values| !values.is_empty()) {
        return values
            .get(dice.below(values.len()))
            .cloned()
            .unwrap_or(Value::Null);
    }
    match ty.format() {
        Some("quantity") => return quantity(dice, field),
        Some("byte") => return json!(STANDARD.encode(text(dice))),
        Some("date-time") => {
            let micro = ty.name().is_some_and(|name| name.ends_with("MicroTime"));
            return json!(format!(
                "2026-0{}-1{}T0{}:00:00{}Z",
                dice.between(1, 9),
                dice.below(10),
                dice.below(10),
                if micro { ".000000" } else { "" }
            ));
        }
        _ => {}
    }
    if ty.int_or_string() || ty.format() == Some("int-or-string") {
        return int_or_string(dice, field);
    }
    match ty.scalar() {
        Some(Scalar::Boolean) => json!(dice.chance(50)),
        Some(Scalar::Numeric) => number(dice, ty, field),
        Some(Scalar::String) => json!(string(dice, owner, field)),
        Some(_) => match dice.below(3) {
            0 => json!(dice.chance(50)),
            1 => json!(dice.between(-5, 50)),
            _ => json!(text(dice)),
        },
        None => Value::Null,
    }
}

fn int_or_string(dice: &mut Dice, field: &str) -> Value {
    match field {
        "port" | "targetPort" => {
            if dice.chance(30) {
                json!(port_name(dice))
            } else {
                json!(port(dice))
            }
        }
        _ if dice.chance(40) => json!(dice.word(&["10%", "25%", "50%", "100%"])),
        _ => json!(dice.between(1, 5)),
    }
}

fn port(dice: &mut Dice) -> i64 {
    const COMMON: [i64; 6] = [80, 443, 8080, 9090, 5432, 53];
    COMMON
        .get(dice.below(COMMON.len() * 2))
        .copied()
        .unwrap_or_else(|| dice.between(1024, 65535))
}

fn port_name(dice: &mut Dice) -> &'static str {
    dice.word(&["http", "https", "metrics", "grpc", "dns-tcp", "admin"])
}

fn number(dice: &mut Dice, ty: TypeRef<'_>, field: &str) -> Value {
    let (from, to) = match field {
        "port" | "containerPort" | "number" => return json!(port(dice)),
        "nodePort" => (30000, 32767),
        "mode" | "defaultMode" => {
            const MODES: [i64; 5] = [0o400, 0o444, 0o600, 0o644, 0o755];
            return json!(MODES.get(dice.below(MODES.len())));
        }
        "runAsUser" | "runAsGroup" | "fsGroup" | "supplementalGroups" => (0, 65534),
        "replicas" | "minReplicas" | "completions" | "parallelism" | "backoffLimit" => (1, 10),
        "maxReplicas" => (10, 50),
        "averageUtilization" => (1, 100),
        "weight" => (1, 100),
        "partition" | "start" => (0, 5),
        "progressDeadlineSeconds" => (301, 900),
        "expirationSeconds" => (600, 7200),
        _ if field.ends_with("Seconds") => (1, 300),
        _ => (1, 20),
    };
    if ty.format() == Some("double") && dice.chance(50) {
        return json!(0.5 + dice.between(from, to) as f64);
    }
    json!(dice.between(from, to))
}

fn string(dice: &mut Dice, owner: &str, field: &str) -> String {
    let word = match (owner, field) {
        ("core.v1.Toleration", "value") | ("core.v1.NodeSelectorRequirement", "values") => {
            return label(dice);
        }
        ("core.v1.Toleration" | "core.v1.NodeSelectorRequirement", "key") => {
            return label_key(dice);
        }
        ("meta.v1.LabelSelectorRequirement", "key") => return label_key(dice),
        ("meta.v1.LabelSelectorRequirement", "values") => return label_value(dice),
        ("meta.v1.LabelSelectorRequirement", "operator") => dice.word(&["In", "NotIn"]),
        ("core.v1.NodeSelectorRequirement", "operator") => dice.word(&["In", "NotIn"]),
        ("core.v1.ContainerPort" | "core.v1.ServicePort", "name") => port_name(dice),
        ("core.v1.ServicePort", "appProtocol") => {
            dice.word(&["http", "https", "kubernetes.io/h2c"])
        }
        ("networking.v1.ServiceBackendPort", "name") => port_name(dice),
        ("core.v1.EnvVar", "name") => {
            dice.word(&["LOG_LEVEL", "PORT", "DB_URL", "FEATURE_X", "TZ", "MODE"])
        }
        ("core.v1.EnvFromSource", "prefix") => dice.word(&["APP_", "X_"]),
        ("core.v1.ObjectFieldSelector", "fieldPath") => {
            dice.word(&["metadata.name", "metadata.namespace", "status.podIP"])
        }
        ("core.v1.HTTPHeader", "name") => dice.word(&["X-Probe", "Host", "Accept"]),
        ("core.v1.EmptyDirVolumeSource", "medium") => dice.word(&["", "Memory"]),
        ("core.v1.Capabilities", _) => dice.word(&["ALL", "NET_BIND_SERVICE", "SYS_TIME"]),
        ("core.v1.PodSpec", "schedulerName") => dice.word(&["default-scheduler", "batch"]),
        ("core.v1.PodSpec", "priorityClassName") => dice.word(&["high", "low"]),
        ("core.v1.KeyToPath", "path") => dice.word(&["a.conf", "conf.d/b.conf", "c"]),
        (
            "core.v1.KeyToPath" | "core.v1.ConfigMapKeySelector" | "core.v1.SecretKeySelector",
            "key",
        ) => dice.word(&["config.yaml", "password", "ca.crt", "mode"]),
        ("core.v1.VolumeMount", "subPath") => dice.word(&["conf", "a/b"]),
        ("batch.v1.CronJobSpec", "timeZone") => dice.word(&["Etc/UTC", "Europe/Berlin"]),
        ("autoscaling.v2.CrossVersionObjectReference", "apiVersion") => "apps/v1",
        ("autoscaling.v2.CrossVersionObjectReference", "kind") => {
            dice.word(&["Deployment", "StatefulSet"])
        }
        ("autoscaling.v2.MetricSpec", "type") => "Resource",
        ("autoscaling.v2.MetricTarget", "type") => "Utilization",
        ("autoscaling.v2.ResourceMetricSource", "name") => dice.word(&["cpu", "memory"]),
        ("autoscaling.v2.HPAScalingRules", "selectPolicy") => {
            dice.word(&["Max", "Min", "Disabled"])
        }
        ("autoscaling.v2.HPAScalingPolicy", "type") => dice.word(&["Pods", "Percent"]),
        ("apps.v1.StatefulSetPersistentVolumeClaimRetentionPolicy", _) => {
            dice.word(&["Retain", "Delete"])
        }
        ("rbac.v1.RoleRef", "apiGroup") => "rbac.authorization.k8s.io",
        ("rbac.v1.RoleRef", "kind") => dice.word(&["ClusterRole", "Role"]),
        ("rbac.v1.Subject", "kind") => "ServiceAccount",
        ("rbac.v1.PolicyRule", "apiGroups") => dice.word(&["", "apps", "batch", "*"]),
        ("rbac.v1.PolicyRule", "resources") => {
            dice.word(&["pods", "pods/log", "deployments", "configmaps", "*"])
        }
        ("rbac.v1.PolicyRule", "verbs") => {
            dice.word(&["get", "list", "watch", "create", "patch", "*"])
        }
        ("networking.v1.HTTPIngressPath", "path") => dice.word(&["/", "/api", "/static/img"]),
        _ => match field {
            "image" => {
                return format!(
                    "{}{}:{}.{}",
                    dice.word(&["", "ghcr.io/example/", "registry.local:5000/"]),
                    dice.word(WORDS),
                    dice.between(1, 3),
                    dice.below(20)
                );
            }
            "path" | "mountPath" | "workingDir" | "devicePath" => {
                return format!(
                    "/{}/{}",
                    dice.word(&["etc", "var", "srv"]),
                    dice.word(WORDS)
                );
            }
            "topologyKey" => dice.word(&["kubernetes.io/hostname", "topology.kubernetes.io/zone"]),
            "host" | "hosts" | "hostnames" => {
                dice.word(&["shop.example.com", "api.example.com", "example.org"])
            }
            "cidr" => dice.word(&["10.0.0.0/8", "192.168.0.0/16", "2001:db8::/32"]),
            "ip" => dice.word(&["10.1.2.3", "10.1.2.4", "127.0.0.1"]),
            "schedule" => dice.word(&["*/5 * * * *", "0 3 * * 1-5", "@daily"]),
            "finalizers" => dice.word(&["example.com/guard", "example.com/drain"]),
            "accessModes" => dice.word(&["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany"]),
            "command" | "args" => dice.word(&["sh", "-c", "--verbose", "--port=8080", "echo hi\n"]),
            "value" | "data" | "annotations" => return text(dice),
            "labels" | "matchLabels" | "selector" | "nodeSelector" => return label_value(dice),
            "policyTypes" => dice.word(&["Ingress", "Egress"]),
            "namespace" => dice.word(&["default", "shop", "infra"]),
            _ => return label(dice),
        },
    };
    word.to_owned()
}
