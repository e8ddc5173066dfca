//! Values as the server prints its internal types: every field, by Go name.
//!
//! Some messages show a whole struct of an internal type, which has no JSON names:
//! `{"Type":"Sideways","RollingUpdate":null}`.

use serde_json::Value;

use super::{
    error::{go_json, json_string},
    types::{Field, Struct, Ty, TypeRef, Types},
};

/// The value of type `name` (of the table) as the internal type prints it.
pub(crate) fn internal(name: &str, value: &Value) -> String {
    let types = Types::get();
    match types.named(name).and_then(|i| types.at(i)) {
        Some(def) => strukt(types, def, value),
        None => go_json(value),
    }
}

fn strukt(types: &Types, def: &Struct, value: &Value) -> String {
    if def.name.starts_with("meta.v1.") {
        return external(types, def, value);
    }
    let mut parts = Vec::new();
    for field in in_order(def) {
        if moved(&def.name, &field.name) {
            continue;
        }
        let member = value.get(&field.name).unwrap_or(&Value::Null);
        if field.go_name.is_empty() {
            // An embedded ObjectMeta has JSON names, and lies in the same object.
            if let Ty::Struct(index) = field.ty.ty {
                let inner = types
                    .at(index)
                    .map(|d| members(types, d, member))
                    .unwrap_or_default();
                if !inner.is_empty() {
                    parts.push(inner);
                }
            }
            continue;
        }
        if def.name == "core.v1.PodSpec" && field.name == "securityContext" {
            parts.push(format!(
                "\"SecurityContext\":{}",
                pod_security(types, value)
            ));
            continue;
        }
        parts.push(format!(
            "\"{}\":{}",
            field.go_name,
            typed(types, &field.ty, member)
        ));
    }
    format!("{{{}}}", parts.join(","))
}

/// Fields of the versioned type that the internal one doesn't have in this place.
fn moved(def: &str, field: &str) -> bool {
    match def {
        "core.v1.PodSpec" => matches!(
            field,
            "serviceAccount"
                | "hostNetwork"
                | "hostPID"
                | "hostIPC"
                | "shareProcessNamespace"
                | "hostUsers"
                | "workloadRef"
        ),
        _ => false,
    }
}

/// The fields in the order of the internal type, which for a pod's spec is another.
fn in_order(def: &Struct) -> Vec<&Field> {
    let mut fields: Vec<&Field> = def.fields.iter().collect();
    if def.name == "core.v1.PodSpec" {
        for (field, after) in [
            ("setHostnameAsFQDN", "subdomain"),
            ("preemptionPolicy", "priority"),
            ("overhead", "runtimeClassName"),
        ] {
            let from = fields.iter().position(|f| f.name == field);
            if let Some(moved) = from.map(|i| fields.remove(i)) {
                let to = fields
                    .iter()
                    .position(|f| f.name == after)
                    .map_or(fields.len(), |i| i + 1);
                fields.insert(to, moved);
            }
        }
    }
    fields
}

/// The pod's security context, which internally also holds the host namespaces.
fn pod_security(types: &Types, spec: &Value) -> String {
    let context = spec.get("securityContext").unwrap_or(&Value::Null);
    if context.is_null() {
        return "null".to_owned();
    }
    let mut parts = Vec::new();
    for (name, field) in [
        ("HostNetwork", "hostNetwork"),
        ("HostPID", "hostPID"),
        ("HostIPC", "hostIPC"),
    ] {
        parts.push(format!(
            "\"{name}\":{}",
            spec[field].as_bool().unwrap_or(false)
        ));
    }
    for (name, field) in [
        ("ShareProcessNamespace", "shareProcessNamespace"),
        ("HostUsers", "hostUsers"),
    ] {
        parts.push(format!(
            "\"{name}\":{}",
            go_json(spec.get(field).unwrap_or(&Value::Null))
        ));
    }
    // The rest in the order of the internal type.
    const ORDER: [&str; 13] = [
        "seLinuxOptions",
        "windowsOptions",
        "runAsUser",
        "runAsGroup",
        "runAsNonRoot",
        "supplementalGroups",
        "supplementalGroupsPolicy",
        "fsGroup",
        "fsGroupChangePolicy",
        "sysctls",
        "seccompProfile",
        "appArmorProfile",
        "seLinuxChangePolicy",
    ];
    let def = types
        .named("core.v1.PodSecurityContext")
        .and_then(|i| types.at(i));
    for name in ORDER {
        if let Some(field) = def.and_then(|d| d.field(name)) {
            let member = context.get(name).unwrap_or(&Value::Null);
            parts.push(format!(
                "\"{}\":{}",
                field.go_name,
                typed(types, &field.ty, member)
            ));
        }
    }
    format!("{{{}}}", parts.join(","))
}

fn typed(types: &Types, t: &TypeRef, value: &Value) -> String {
    if value.is_null() {
        if t.pointer {
            return "null".to_owned();
        }
        return match &t.ty {
            Ty::Str => "\"\"".to_owned(),
            Ty::Int32 | Ty::Int64 | Ty::Double | Ty::IntOrString => "0".to_owned(),
            Ty::Bool => "false".to_owned(),
            Ty::Quantity => "\"0\"".to_owned(),
            Ty::Struct(i) => types
                .at(*i)
                .map(|d| strukt(types, d, value))
                .unwrap_or_default(),
            _ => "null".to_owned(),
        };
    }
    match (&t.ty, value) {
        (Ty::Struct(i), _) => types
            .at(*i)
            .map(|d| strukt(types, d, value))
            .unwrap_or_default(),
        (Ty::List(item), Value::Array(items)) => {
            let parts: Vec<String> = items.iter().map(|v| typed(types, item, v)).collect();
            format!("[{}]", parts.join(","))
        }
        (Ty::Map(item), Value::Object(_)) => {
            let parts: Vec<String> = super::value::sorted(value)
                .into_iter()
                .map(|(k, v)| format!("{}:{}", json_string(k), typed(types, item, v)))
                .collect();
            format!("{{{}}}", parts.join(","))
        }
        _ => go_json(value),
    }
}

/// A type with JSON names: members in the order of the struct, empty ones left out.
fn external(types: &Types, def: &Struct, value: &Value) -> String {
    format!("{{{}}}", members(types, def, value))
}

fn members(types: &Types, def: &Struct, value: &Value) -> String {
    let mut parts = Vec::new();
    for field in &def.fields {
        if let Some(member) = value.get(&field.name) {
            parts.push(format!(
                "\"{}\":{}",
                field.name,
                ordered(types, &field.ty, member)
            ));
        }
    }
    parts.join(",")
}

fn ordered(types: &Types, t: &TypeRef, value: &Value) -> String {
    match (&t.ty, value) {
        (Ty::Struct(i), Value::Object(_)) => types
            .at(*i)
            .map(|d| external(types, d, value))
            .unwrap_or_default(),
        (Ty::List(item), Value::Array(items)) => {
            let parts: Vec<String> = items.iter().map(|v| ordered(types, item, v)).collect();
            format!("[{}]", parts.join(","))
        }
        _ => go_json(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn structs_are_printed_with_every_field() {
        assert_eq!(
            internal(
                "core.v1.ServicePort",
                &json!({"protocol": "TCP", "port": 80})
            ),
            r#"{"Name":"","Protocol":"TCP","AppProtocol":null,"Port":80,"TargetPort":0,"NodePort":0}"#
        );
        assert_eq!(
            internal(
                "policy.v1.PodDisruptionBudgetSpec",
                &json!({"minAvailable": 1, "selector": {"matchLabels": {"a": "b"}}})
            ),
            r#"{"MinAvailable":1,"Selector":{"matchLabels":{"a":"b"}},"MaxUnavailable":null,"UnhealthyPodEvictionPolicy":null}"#
        );
    }
}
