//! What makes an object of a built-in kind invalid.

mod config;
mod cron;
mod network;
mod pod;
mod service;
mod workload;

use serde_json::Value;

use super::{
    FieldError, Kind, Path, Target,
    error::quote,
    meta::{self, NameRule},
    rules,
    types::{Struct, Ty, TypeRef, Types},
    value::{self, items, text, unset},
};

type Errors = Vec<FieldError>;

const IMMUTABLE: &str = "field is immutable";

/// A number that may not be negative.
fn non_negative(object: &Value, key: &str, path: &Path, errors: &mut Errors) {
    if object[key].as_i64().is_some_and(|n| n < 0) {
        errors.push(FieldError::invalid(
            &path.child(key),
            &object[key],
            value::NOT_NEGATIVE,
        ));
    }
}

/// A string that must be one of `known`, if it is there.
fn one_of(object: &Value, key: &str, known: &[&str], path: &Path, errors: &mut Errors) {
    let value = text(object, key);
    if !value.is_empty() && !known.contains(&value) {
        errors.push(FieldError::not_supported(
            &path.child(key),
            &object[key],
            known,
        ));
    }
}

/// Whether objects of the kind live in a namespace.
pub(crate) fn namespaced(kind: Kind) -> bool {
    match (kind.group(), kind.name()) {
        ("", name) => !matches!(
            name,
            "Namespace" | "Node" | "PersistentVolume" | "ComponentStatus"
        ),
        ("storage.k8s.io", name) => name == "CSIStorageCapacity",
        ("rbac.authorization.k8s.io", name) => matches!(name, "Role" | "RoleBinding"),
        ("networking.k8s.io", name) => matches!(name, "Ingress" | "NetworkPolicy"),
        ("resource.k8s.io", name) => matches!(name, "ResourceClaim" | "ResourceClaimTemplate"),
        ("authorization.k8s.io", name) => name == "LocalSubjectAccessReview",
        ("authentication.k8s.io", name) => name == "TokenRequest",
        (group, _) => matches!(
            group,
            "apps"
                | "batch"
                | "autoscaling"
                | "policy"
                | "coordination.k8s.io"
                | "discovery.k8s.io"
                | "events.k8s.io"
        ),
    }
}

/// What may be the name of an object of the kind.
fn name_rule(kind: Kind) -> NameRule {
    match (kind.group(), kind.name()) {
        ("", "Namespace" | "Service") => NameRule::Label,
        ("rbac.authorization.k8s.io", _)
        | ("policy", _)
        | ("flowcontrol.apiserver.k8s.io", _)
        | ("events.k8s.io", _) => NameRule::PathSegment,
        ("", "Event") => NameRule::PathSegment,
        ("apiextensions.k8s.io", _) => NameRule::Any,
        _ => NameRule::Subdomain,
    }
}

/// The common rules for metadata, which come first for most kinds.
fn metadata(kind: Kind, obj: &Value, errors: &mut Errors) {
    let kube = !matches!(
        (kind.group(), kind.name()),
        ("policy", _) | ("", "Event") | ("events.k8s.io", _)
    ) && !kind.group().starts_with("apiextensions");
    errors.extend(meta::validate_metadata(
        obj,
        namespaced(kind),
        name_rule(kind),
        kube,
    ));
    if kind.name() == "CustomResourceDefinition" {
        errors.extend(crate::crd::validate_name(obj));
    }
    if kind.name() == "CronJob" {
        let name = text(&obj["metadata"], "name");
        if name.len() > 52 {
            errors.push(FieldError::invalid_str(
                &Path::new("metadata.name"),
                name,
                rules::max_len(52),
            ));
        }
    }
}

/// The rules of the kind, metadata left out.
fn body(kind: Kind, obj: &Value, create: bool, errors: &mut Errors) {
    let path = Path::new("spec");
    let spec = &obj["spec"];
    match (kind.group(), kind.name()) {
        ("", "Pod") => pod::spec(spec, &path, errors),
        ("", "PodTemplate") => pod::template(&obj["template"], &Path::new("template"), errors),
        ("", "ReplicationController") => workload::replication_controller(spec, &path, errors),
        ("apps", "Deployment") => workload::deployment(spec, &path, errors),
        ("apps", "ReplicaSet") => workload::replica_set(spec, &path, errors),
        ("apps", "StatefulSet") => workload::stateful_set(spec, &path, errors),
        ("apps", "DaemonSet") => workload::daemon_set(spec, &path, errors),
        ("batch", "Job") => {
            workload::generated_selector(obj, errors);
            workload::job(spec, &path, errors);
        }
        ("batch", "CronJob") => workload::cron_job(spec, &path, errors),
        ("", "Service") => service::service(obj, errors),
        ("", "ConfigMap") => config::config_map(obj, errors),
        ("", "Secret") => config::secret(obj, errors),
        ("networking.k8s.io", "Ingress") => network::ingress(obj, create, errors),
        ("networking.k8s.io", "NetworkPolicy") => network::policy(spec, &path, errors),
        ("rbac.authorization.k8s.io", "Role" | "ClusterRole") => {
            config::role(obj, namespaced(kind), errors)
        }
        ("rbac.authorization.k8s.io", _) => config::binding(obj, namespaced(kind), errors),
        ("policy", "PodDisruptionBudget") => config::disruption_budget(spec, &path, errors),
        ("autoscaling", "HorizontalPodAutoscaler") => config::autoscaler(spec, &path, errors),
        ("coordination.k8s.io", "Lease") => config::lease(spec, &path, errors),
        ("scheduling.k8s.io", "PriorityClass") => config::priority_class(obj, errors),
        ("", "PersistentVolumeClaim") => config::claim(spec, &path, errors),
        ("", "PersistentVolume") => config::volume(spec, &path, errors),
        ("storage.k8s.io", "StorageClass") => config::storage_class(obj, errors),
        ("discovery.k8s.io", "EndpointSlice") => config::endpoint_slice(obj, errors),
        ("", "Endpoints") => config::endpoints(obj, errors),
        ("", "Event") | ("events.k8s.io", "Event") => config::event(kind, obj, create, errors),
        ("apiextensions.k8s.io", _) => errors.extend(crate::crd::validate_definition(obj)),
        ("", "Namespace" | "ServiceAccount" | "Node") => {}
        _ => {
            if let Some(def) = Types::get().at(kind.type_index()) {
                structure(def, obj, &Path::root(), errors);
            }
        }
    }
}

/// Kinds without rules of their own: values are among the known ones, what is required is there.
fn structure(def: &Struct, obj: &Value, path: &Path, errors: &mut Errors) {
    for field in &def.fields {
        if matches!(
            field.name.as_str(),
            "metadata" | "status" | "kind" | "apiVersion"
        ) && path.as_str().is_empty()
        {
            continue;
        }
        let (at, value) = (path.child(&field.name), &obj[&field.name]);
        let empty = match value {
            Value::Null => true,
            Value::String(text) => text.is_empty(),
            Value::Array(list) => list.is_empty(),
            _ => false,
        };
        let needed = matches!(field.ty.ty, Ty::Str | Ty::List(_)) && field.required;
        if empty {
            if needed && !field.values.iter().any(String::is_empty) {
                errors.push(FieldError::required(&at, ""));
            }
            continue;
        }
        if let (false, Some(text)) = (field.values.is_empty(), value.as_str())
            && !field.values.iter().any(|v| v == text)
        {
            errors.push(FieldError::not_supported(&at, value, &field.values));
        }
        nested(&field.ty, value, &at, errors);
    }
}

fn nested(t: &TypeRef, value: &Value, path: &Path, errors: &mut Errors) {
    match (&t.ty, value) {
        (Ty::Struct(index), Value::Object(_)) => {
            if let Some(def) = Types::get().at(*index) {
                structure(def, value, path, errors);
            }
        }
        (Ty::List(item), Value::Array(list)) => {
            for (i, value) in list.iter().enumerate() {
                nested(item, value, &path.index(i), errors);
            }
        }
        (Ty::Map(item), Value::Object(_)) => {
            for (key, value) in value::sorted(value) {
                nested(item, value, &path.key(key), errors);
            }
        }
        _ => {}
    }
}

/// Checks a new object after [`prepare_create`](super::prepare_create).
///
/// ```
/// use gitops_testkit::kinds::{Kind, decode, default, validate_create};
/// let kind = Kind::lookup("apps", "v1", "Deployment").unwrap();
/// let body = br#"{"metadata": {"name": "web", "namespace": "a"}, "spec": {"replicas": -1}}"#;
/// let mut object = decode(kind, body).unwrap().object;
/// default(kind, &mut object, None);
/// let errors = validate_create(kind, &object);
/// assert_eq!(errors[0].to_string(), "spec.replicas: Invalid value: -1: must be greater than or equal to 0");
/// ```
#[must_use]
pub fn validate_create(kind: Kind, obj: &Value) -> Vec<FieldError> {
    let mut errors = Errors::new();
    let late_meta = matches!(
        (kind.group(), kind.name()),
        ("policy", _) | ("", "Event") | ("events.k8s.io", _)
    );
    if !late_meta {
        metadata(kind, obj, &mut errors);
    }
    body(kind, obj, true, &mut errors);
    if kind.name() == "Pod" {
        pod::pod_only(&obj["spec"], &Path::new("spec"), &mut errors);
    }
    if late_meta && errors.is_empty() {
        metadata(kind, obj, &mut errors);
    }
    errors
}

/// Checks an update after [`prepare_update`](super::prepare_update).
#[must_use]
pub fn validate_update(kind: Kind, obj: &Value, old: &Value, target: Target) -> Vec<FieldError> {
    // The generic part of an update; kinds repeat it, which shows in the causes.
    let mut errors = meta::validate_metadata(obj, namespaced(kind), NameRule::PathSegment, false);
    errors.extend(meta::validate_metadata_update(obj, old));
    let again = |errors: &mut Errors| {
        errors.extend(meta::validate_metadata_update(obj, old));
        meta::kube_finalizers(&obj["metadata"]["finalizers"], errors);
    };
    if target != Target::Object {
        if !matches!(kind.group(), "policy") {
            again(&mut errors);
        }
        match (kind.group(), kind.name()) {
            ("", "Service") => service::status(obj, &mut errors),
            ("", "Pod") => {
                let class = &obj["status"]["qosClass"];
                if *class != old["status"]["qosClass"] {
                    errors.push(FieldError::invalid(
                        &Path::new("status.qosClass"),
                        class,
                        IMMUTABLE,
                    ));
                }
            }
            (_, name) => workload::status(name, &obj["status"], &mut errors),
        }
        return errors;
    }
    match (kind.group(), kind.name()) {
        ("apps", "Deployment") => {
            again(&mut errors);
            body(kind, obj, false, &mut errors);
            selector_fixed(obj, old, &mut errors);
        }
        ("apps", "ReplicaSet") => {
            again(&mut errors);
            body(kind, obj, false, &mut errors);
            selector_fixed(obj, old, &mut errors);
        }
        ("apps", "DaemonSet" | "StatefulSet") | ("", "ReplicationController") => {
            metadata(kind, obj, &mut errors);
            body(kind, obj, false, &mut errors);
            again(&mut errors);
            match kind.name() {
                "StatefulSet" => {
                    workload::stateful_set_update(obj, old, &mut errors);
                    non_negative(&obj["spec"], "replicas", &Path::new("spec"), &mut errors);
                }
                "ReplicationController" => body(kind, obj, false, &mut errors),
                _ => {
                    body(kind, obj, false, &mut errors);
                    selector_fixed(obj, old, &mut errors);
                }
            }
        }
        ("batch", "Job") => {
            metadata(kind, obj, &mut errors);
            body(kind, obj, false, &mut errors);
            again(&mut errors);
            workload::job(&obj["spec"], &Path::new("spec"), &mut errors);
            workload::job_update(obj, old, &mut errors);
        }
        ("", "ConfigMap") => {
            again(&mut errors);
            config::sealed(obj, old, &["data", "binaryData"], &mut errors);
            metadata(kind, obj, &mut errors);
            body(kind, obj, false, &mut errors);
        }
        ("", "Secret") => {
            again(&mut errors);
            if obj["type"] != old["type"] {
                errors.push(FieldError::invalid(
                    &Path::new("type"),
                    &obj["type"],
                    IMMUTABLE,
                ));
            }
            config::sealed(obj, old, &["data"], &mut errors);
            metadata(kind, obj, &mut errors);
            body(kind, obj, false, &mut errors);
        }
        ("", "Service") => {
            again(&mut errors);
            service::update(obj, old, &mut errors);
            body(kind, obj, false, &mut errors);
        }
        ("", "Pod") => {
            again(&mut errors);
            pod::update(obj, old, &mut errors);
        }
        ("rbac.authorization.k8s.io", name) => {
            metadata(kind, obj, &mut errors);
            body(kind, obj, false, &mut errors);
            again(&mut errors);
            if name.ends_with("Binding") {
                config::binding_update(obj, old, &mut errors);
            }
        }
        ("policy", _) => body(kind, obj, false, &mut errors),
        ("", "Namespace") => {
            metadata(kind, obj, &mut errors);
            again(&mut errors);
        }
        ("networking.k8s.io", "Ingress") | ("", "ServiceAccount") => {
            again(&mut errors);
            metadata(kind, obj, &mut errors);
            body(kind, obj, false, &mut errors);
        }
        ("discovery.k8s.io", "EndpointSlice") => {
            metadata(kind, obj, &mut errors);
            body(kind, obj, false, &mut errors);
            if obj["addressType"] != old["addressType"] {
                errors.push(FieldError::invalid(
                    &Path::new("addressType"),
                    &obj["addressType"],
                    IMMUTABLE,
                ));
            }
        }
        ("scheduling.k8s.io", "PriorityClass") => {
            again(&mut errors);
            if obj["value"] != old["value"] {
                errors.push(FieldError::forbidden(
                    &Path::new("value"),
                    "may not be changed in an update.",
                ));
            }
            if obj["preemptionPolicy"] != old["preemptionPolicy"] {
                errors.push(FieldError::invalid(
                    &Path::new("preemptionPolicy"),
                    &obj["preemptionPolicy"],
                    IMMUTABLE,
                ));
            }
        }
        ("storage.k8s.io", "StorageClass") => {
            again(&mut errors);
            config::storage_class_update(obj, old, &mut errors);
        }
        ("", "PersistentVolumeClaim") => {
            metadata(kind, obj, &mut errors);
            body(kind, obj, false, &mut errors);
            again(&mut errors);
            config::claim_update(obj, old, &mut errors);
        }
        ("", "Event") | ("events.k8s.io", "Event") => {
            body(kind, obj, false, &mut errors);
            config::event_update(kind, obj, old, &mut errors);
        }
        ("apiextensions.k8s.io", _) => {
            again(&mut errors);
            errors.extend(crate::crd::validate_definition_update(obj, old));
        }
        _ => {
            again(&mut errors);
            body(kind, obj, false, &mut errors);
        }
    }
    errors
}

fn selector_fixed(obj: &Value, old: &Value, errors: &mut Errors) {
    if obj["spec"]["selector"] != old["spec"]["selector"] {
        errors.push(FieldError::invalid(
            &Path::new("spec.selector"),
            &obj["spec"]["selector"],
            IMMUTABLE,
        ));
    }
}

/// What the server warns of, in `Warning` headers, once an object has passed validation.
#[must_use]
pub fn warnings(kind: Kind, obj: &Value, old: Option<&Value>) -> Vec<String> {
    let mut out = Vec::new();
    let spec = &obj["spec"];
    match (kind.group(), kind.name()) {
        ("", "Pod") => pod_warnings(spec, "spec", &mut out),
        ("apps", "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet")
        | ("", "ReplicationController") => {
            if old.is_none() && kind.name() != "DaemonSet" {
                let name = text(&obj["metadata"], "name");
                let found = rules::dns_label(name);
                if !found.is_empty() {
                    out.push(format!(
                        "metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is recommended: [{}]",
                        found.join(" ")
                    ));
                }
            }
            if old.is_none_or(|old| old["spec"]["template"] != spec["template"]) {
                pod_warnings(&spec["template"]["spec"], "spec.template.spec", &mut out);
            }
        }
        ("batch", "Job") if old.is_none() => {
            pod_warnings(&spec["template"]["spec"], "spec.template.spec", &mut out);
        }
        ("batch", "CronJob")
            if old.is_none_or(|old| old["spec"]["jobTemplate"] != spec["jobTemplate"]) =>
        {
            pod_warnings(
                &spec["jobTemplate"]["spec"]["template"]["spec"],
                "spec.jobTemplate.spec.template.spec",
                &mut out,
            );
        }
        ("", "Service") if !items(&spec["externalIPs"]).is_empty() => {
            out.push(
                "spec.externalIPs is deprecated and may no longer be implemented in some clusters"
                    .to_owned(),
            );
        }
        ("networking.k8s.io", "Ingress")
            if old.is_none()
                && !unset(
                    &obj["metadata"]["annotations"],
                    "kubernetes.io/ingress.class",
                ) =>
        {
            out.push(
                    "annotation \"kubernetes.io/ingress.class\" is deprecated, please use 'spec.ingressClassName' instead"
                        .to_owned(),
                );
        }
        ("", "Secret") => out.extend(config::tls_warning(obj)),
        _ => {}
    }
    out
}

/// Lists of a pod that have entries twice.
fn pod_warnings(spec: &Value, path: &str, out: &mut Vec<String>) {
    for list in ["initContainers", "containers"] {
        for (i, container) in items(&spec[list]).iter().enumerate() {
            let env = items(&container["env"]);
            for (j, variable) in env.iter().enumerate() {
                let name = text(variable, "name");
                if env.iter().take(j).any(|v| text(v, "name") == name) {
                    out.push(format!(
                        "{path}.{list}[{i}].env[{j}]: hides previous definition of {}, which may be dropped when using apply",
                        quote(name)
                    ));
                }
            }
            let ports = items(&container["ports"]);
            for (j, port) in ports.iter().enumerate() {
                let key = |p: &Value| {
                    (
                        p["containerPort"].clone(),
                        p["protocol"].clone(),
                        p["hostPort"].clone(),
                        p["hostIP"].clone(),
                    )
                };
                if let Some(first) = ports.iter().take(j).position(|p| key(p) == key(port)) {
                    out.push(format!(
                        "{path}.{list}[{i}].ports[{j}]: duplicate port definition with {path}.{list}[{i}].ports[{first}]"
                    ));
                }
            }
        }
    }
}
