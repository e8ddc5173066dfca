//! What fields of one object have to do with each other: a selector matches the labels of
//! its template, a limit isn't below its request.
//!
//! It is done to every value after it was made and after every step of shrinking, so it is
//! a function of the value alone.

use gitops_diff::schema::TypeRef;
use serde_json::{Map, Value, json};

use super::rules::short_name;

/// Makes the value hold what its types alone don't say, innermost first.
pub(crate) fn settle(value: &mut Value, ty: TypeRef<'_>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members.iter_mut() {
                if let Some(ty) = ty.member(name) {
                    settle(member, ty);
                }
            }
            if let Some(name) = short_name(ty) {
                object(name, members);
            }
        }
        Value::Array(items) => {
            if let Some(ty) = ty.items() {
                items.iter_mut().for_each(|item| settle(item, ty));
            }
        }
        _ => {}
    }
}

type Members = Map<String, Value>;

fn object(name: &str, members: &mut Members) {
    match name {
        "apps.v1.DeploymentSpec" => {
            selector_of_template(members);
            let ready = number(members, "minReadySeconds").unwrap_or(0);
            if number(members, "progressDeadlineSeconds").is_some_and(|after| after <= ready) {
                members.insert("progressDeadlineSeconds".into(), json!(ready + 1));
            }
        }
        "apps.v1.StatefulSetSpec" => {
            selector_of_template(members);
            for (at, claim) in items(members, "volumeClaimTemplates").enumerate() {
                if let Some(claim) = claim.as_object_mut() {
                    claim.remove("status");
                    set(claim, &["metadata"], "name", json!(format!("data-{at}")));
                }
            }
        }
        "apps.v1.DaemonSetSpec" | "apps.v1.ReplicaSetSpec" => selector_of_template(members),
        "apps.v1.DeploymentStrategy"
        | "apps.v1.StatefulSetUpdateStrategy"
        | "apps.v1.DaemonSetUpdateStrategy"
            if members.get("type").is_some_and(|ty| ty != "RollingUpdate") =>
        {
            members.remove("rollingUpdate");
        }
        "core.v1.PodSpec" => pod(members),
        "core.v1.Container" => container(members),
        "core.v1.ResourceRequirements" => {
            // A request isn't above its limit.
            if let (Some(Value::Object(limits)), Some(Value::Object(mut requests))) = (
                members.get("limits").cloned(),
                members.get("requests").cloned(),
            ) {
                for (name, value) in &mut requests {
                    if let Some(limit) = limits.get(name) {
                        *value = limit.clone();
                    }
                }
                members.insert("requests".into(), Value::Object(requests));
            }
        }
        "core.v1.SeccompProfile" if members.get("type").is_some_and(|ty| ty == "Localhost") => {
            members.insert("localhostProfile".into(), json!("profiles/app.json"));
        }
        "core.v1.Toleration" => {
            if !members.get("operator").is_some_and(|op| op == "Equal") {
                members.insert("operator".into(), json!("Exists"));
                members.remove("value");
            }
            if !members
                .get("effect")
                .is_some_and(|effect| effect == "NoExecute")
            {
                members.remove("tolerationSeconds");
            }
        }
        "core.v1.NodeSelectorRequirement" => match members.get("operator") {
            Some(op) if op == "Gt" || op == "Lt" => {
                members.insert("values".into(), json!(["4"]));
            }
            Some(op) if op == "Exists" || op == "DoesNotExist" => {
                members.remove("values");
            }
            _ => {}
        },
        "core.v1.ServiceSpec" => service(members),
        "core.v1.ConfigMap" => {
            // No key is in both.
            if let Some(Value::Object(data)) = members.get("data").cloned()
                && let Some(Value::Object(binary)) = members.get_mut("binaryData")
            {
                binary.retain(|key, _| !data.contains_key(key));
            }
        }
        "core.v1.PersistentVolumeClaimSpec" => {
            let size = storage(members);
            members.insert("resources".into(), json!({"requests": {"storage": size}}));
            dedup(members, "accessModes");
        }
        "batch.v1.JobSpec" => {
            set(
                members,
                &["template", "spec"],
                "restartPolicy",
                json!("Never"),
            );
            if members
                .get("completionMode")
                .is_some_and(|mode| mode == "Indexed")
                && number(members, "completions").is_none()
            {
                members.insert("completions".into(), json!(1));
            }
        }
        "networking.v1.NetworkPolicySpec" => dedup(members, "policyTypes"),
        "autoscaling.v2.HorizontalPodAutoscalerSpec" => {
            // One metric for each resource.
            retain_new(members, "metrics", |metric| {
                metric["resource"]["name"].clone()
            });
        }
        "autoscaling.v2.HPAScalingRules" => {
            retain_new(members, "policies", |policy| policy["type"].clone());
        }
        "rbac.v1.ClusterRoleBinding" => {
            set(members, &["roleRef"], "kind", json!("ClusterRole"));
        }
        "rbac.v1.PolicyRule" => {
            for list in ["verbs", "apiGroups", "resources"] {
                dedup(members, list);
            }
        }
        _ => {}
    }
}

/// Sets a member of the object at the end of a way of member names, which is made where
/// it isn't.
fn set(members: &mut Members, way: &[&str], name: &str, value: Value) {
    let Some((first, rest)) = way.split_first() else {
        members.insert(name.to_owned(), value);
        return;
    };
    let member = members.entry(*first).or_insert(Value::Null);
    if !member.is_object() {
        *member = json!({});
    }
    if let Value::Object(members) = member {
        set(members, rest, name, value);
    }
}

fn number(members: &Members, name: &str) -> Option<i64> {
    members.get(name)?.as_i64()
}

/// The items of a list; none if there is no such list.
fn items<'m>(members: &'m mut Members, name: &str) -> impl Iterator<Item = &'m mut Value> {
    members
        .get_mut(name)
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
}

/// Keeps the items whose `key` no item before has.
fn retain_new(members: &mut Members, name: &str, key: impl Fn(&Value) -> Value) {
    let Some(Value::Array(items)) = members.get_mut(name) else {
        return;
    };
    let mut seen = Vec::new();
    items.retain(|item| {
        let key = key(item);
        let new = !seen.contains(&key);
        seen.push(key);
        new
    });
}

fn dedup(members: &mut Members, name: &str) {
    retain_new(members, name, Value::clone);
}

fn storage(members: &Members) -> Value {
    match members.get("resources").map(|r| &r["requests"]["storage"]) {
        Some(Value::String(size)) => json!(size),
        _ => json!("1Gi"),
    }
}

fn selector_of_template(members: &mut Members) {
    let labels = |members: &Members| -> Option<(String, Value)> {
        let labels = members.get("template")?.pointer("/metadata/labels")?;
        // The first label is enough to select by.
        let (key, value) = labels.as_object()?.iter().min_by_key(|(key, _)| *key)?;
        Some((key.clone(), value.clone()))
    };
    let (key, value) = labels(members).unwrap_or_else(|| {
        let way = ["template", "metadata", "labels"];
        set(members, &way, "app", json!("web"));
        ("app".to_owned(), json!("web"))
    });
    let first = json!({key: value});
    members.insert("selector".into(), json!({"matchLabels": first}));
}

/// Texts that can't be names twice get a number.
fn distinct<'v>(names: impl Iterator<Item = &'v mut Value>) {
    let mut seen: Vec<String> = Vec::new();
    for (at, name) in names.enumerate() {
        let Some(text) = name.as_str().map(str::to_owned) else {
            continue;
        };
        let new = if seen.contains(&text) {
            format!("{text}-{at}")
        } else {
            text
        };
        *name = json!(new.clone());
        seen.push(new);
    }
}

fn pod(members: &mut Members) {
    for (at, container) in items(members, "initContainers").enumerate() {
        if let Some(container) = container.as_object_mut() {
            container.insert("name".into(), json!(format!("init-{at}")));
            for name in [
                "livenessProbe",
                "readinessProbe",
                "startupProbe",
                "lifecycle",
            ] {
                container.remove(name);
            }
        }
    }
    let volumes: Vec<Value> = items(members, "volumes")
        .map(|volume| volume["name"].clone())
        .collect();
    for list in ["containers", "initContainers"] {
        for container in items(members, list) {
            let Some(container) = container.as_object_mut() else {
                continue;
            };
            if volumes.is_empty() {
                container.remove("volumeMounts");
            }
            for (at, mount) in items(container, "volumeMounts").enumerate() {
                if let (Some(name), Some(mount)) = (
                    volumes.get(at % volumes.len().max(1)),
                    mount.as_object_mut(),
                ) {
                    mount.insert("name".into(), name.clone());
                }
            }
        }
    }
}

fn container(members: &mut Members) {
    // A port's name and number are there once, also under two protocols.
    retain_new(members, "ports", |port| port["containerPort"].clone());
    let mut names = Vec::new();
    for port in items(members, "ports") {
        let Some(port) = port.as_object_mut() else {
            continue;
        };
        if let Some(name) = port.get("name").cloned() {
            if names.contains(&name) {
                port.remove("name");
            }
            names.push(name);
        }
    }
}

fn service(members: &mut Members) {
    distinct(items(members, "ports").filter_map(|port| port.get_mut("name")));
    let kind = members.get("type").and_then(Value::as_str).unwrap_or("");
    if kind == "ExternalName" {
        members.insert("externalName".into(), json!("db.example.com"));
    } else {
        members.remove("externalName");
    }
}
