//! ConfigMap, Secret, RBAC, budgets, autoscalers, leases, events and other small kinds.

use serde_json::{Value, json};

use crate::kinds::{
    Kind, dump,
    error::{FieldError, Path},
    json as text_json, meta, rules,
    value::{items, sorted, text, unset},
};

use super::{Errors, IMMUTABLE, one_of, workload};

const MAX_DATA: usize = 1024 * 1024;
const SEALED: &str = "field is immutable when `immutable` is set";

fn decoded_len(base64: &str) -> usize {
    base64.trim_end_matches('=').len() * 3 / 4
}

fn too_long_at_root(errors: &mut Errors) {
    let mut error = FieldError::too_long(&Path::root(), MAX_DATA);
    error.field = String::new();
    errors.push(error);
}

pub(super) fn config_map(obj: &Value, errors: &mut Errors) {
    let mut size = 0;
    for (key, value) in sorted(&obj["data"]) {
        let at = Path::new("data").key(key);
        errors.extend(
            rules::config_key(key)
                .into_iter()
                .map(|m| FieldError::invalid_str(&at, key, m)),
        );
        if !unset(&obj["binaryData"], key) {
            errors.push(FieldError::invalid_str(
                &at,
                key,
                "duplicate of key present in binaryData",
            ));
        }
        size += value.as_str().map_or(0, str::len);
    }
    for (key, value) in sorted(&obj["binaryData"]) {
        let at = Path::new("binaryData").key(key);
        errors.extend(
            rules::config_key(key)
                .into_iter()
                .map(|m| FieldError::invalid_str(&at, key, m)),
        );
        size += value.as_str().map_or(0, decoded_len);
    }
    if size > MAX_DATA {
        too_long_at_root(errors);
    }
}

pub(super) fn sealed(obj: &Value, old: &Value, fields: &[&str], errors: &mut Errors) {
    if old["immutable"] != true {
        return;
    }
    if obj["immutable"] != true {
        errors.push(FieldError::forbidden(&Path::new("immutable"), SEALED));
    }
    for field in fields {
        if obj[*field] != old[*field] {
            errors.push(FieldError::forbidden(&Path::new(field), SEALED));
        }
    }
}

pub(super) fn secret(obj: &Value, errors: &mut Errors) {
    let data = &obj["data"];
    let path = Path::new("data");
    let mut size = 0;
    for (key, value) in sorted(data) {
        errors.extend(
            rules::config_key(key)
                .into_iter()
                .map(|m| FieldError::invalid_str(&path.key(key), key, m)),
        );
        size += value.as_str().map_or(0, decoded_len);
    }
    if size > MAX_DATA {
        too_long_at_root(errors);
    }
    let missing = |key: &str| unset(data, key);
    match text(obj, "type") {
        "kubernetes.io/service-account-token" => {
            const NAME: &str = "kubernetes.io/service-account.name";
            if text(&obj["metadata"]["annotations"], NAME).is_empty() {
                errors.push(FieldError::required(
                    &Path::new("metadata.annotations").key(NAME),
                    "",
                ));
            }
        }
        kind @ ("kubernetes.io/dockercfg" | "kubernetes.io/dockerconfigjson") => {
            let key = if kind.ends_with("cfg") {
                ".dockercfg"
            } else {
                ".dockerconfigjson"
            };
            if missing(key) {
                errors.push(FieldError::required(&path.key(key), ""));
            } else if let Some(error) = not_an_object(text(data, key)) {
                errors.push(FieldError::invalid_str(
                    &path.key(key),
                    "<secret contents redacted>",
                    error,
                ));
            }
        }
        "kubernetes.io/basic-auth" if missing("username") && missing("password") => {
            errors.push(FieldError::required(&path.key("username"), ""));
            errors.push(FieldError::required(&path.key("password"), ""));
        }
        "kubernetes.io/ssh-auth" if text(data, "ssh-privatekey").is_empty() => {
            errors.push(FieldError::required(&path.key("ssh-privatekey"), ""));
        }
        "kubernetes.io/tls" => {
            for key in ["tls.crt", "tls.key"] {
                if missing(key) {
                    errors.push(FieldError::required(&path.key(key), ""));
                }
            }
        }
        _ => {}
    }
}

/// Why a base64 value is not a JSON object, without a word of its content beyond a character.
fn not_an_object(base64: &str) -> Option<String> {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let bytes = STANDARD.decode(base64).unwrap_or_default();
    match text_json::parse(&bytes) {
        Err(error) => Some(error),
        Ok(text_json::Node::Object(_) | text_json::Node::Null) => None,
        Ok(other) => Some(format!(
            "json: cannot unmarshal {} into Go value of type map[string]interface {{}}",
            other.type_name()
        )),
    }
}

/// What is odd about the certificate of a TLS secret.
pub(super) fn tls_warning(obj: &Value) -> Option<String> {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    if text(obj, "type") != "kubernetes.io/tls" {
        return None;
    }
    let has_pem = |key: &str, ends: &str| {
        let bytes = STANDARD.decode(text(&obj["data"], key)).unwrap_or_default();
        let content = String::from_utf8_lossy(&bytes).into_owned();
        content
            .lines()
            .any(|l| l.starts_with("-----BEGIN ") && l.trim_end().ends_with(ends))
    };
    if !has_pem("tls.crt", "-----") {
        return Some("tls: failed to find any PEM data in certificate input".to_owned());
    }
    if !has_pem("tls.crt", "CERTIFICATE-----") {
        return Some(
            "tls: failed to find certificate PEM data in certificate input, but did find a private key; PEM inputs may have been switched"
                .to_owned(),
        );
    }
    (!has_pem("tls.key", "-----"))
        .then(|| "tls: failed to find any PEM data in key input".to_owned())
}

pub(super) fn role(obj: &Value, namespaced: bool, errors: &mut Errors) {
    for (i, rule) in items(&obj["rules"]).iter().enumerate() {
        let path = Path::new("rules").index(i);
        if items(&rule["verbs"]).is_empty() {
            errors.push(FieldError::required(
                &path.child("verbs"),
                "verbs must contain at least one value",
            ));
        }
        let urls = &rule["nonResourceURLs"];
        if !items(urls).is_empty() {
            if namespaced {
                errors.push(FieldError::invalid(
                    &path.child("nonResourceURLs"),
                    urls,
                    "namespaced rules cannot apply to non-resource URLs",
                ));
            }
            if ["apiGroups", "resources", "resourceNames"]
                .iter()
                .any(|k| !items(&rule[*k]).is_empty())
            {
                errors.push(FieldError::invalid(
                    &path.child("nonResourceURLs"),
                    urls,
                    "rules cannot apply to both regular resources and non-resource URLs",
                ));
            }
            continue;
        }
        if items(&rule["apiGroups"]).is_empty() {
            errors.push(FieldError::required(
                &path.child("apiGroups"),
                "resource rules must supply at least one api group",
            ));
        }
        if items(&rule["resources"]).is_empty() {
            errors.push(FieldError::required(
                &path.child("resources"),
                "resource rules must supply at least one resource",
            ));
        }
    }
    if !unset(obj, "aggregationRule") {
        let selectors = &obj["aggregationRule"]["clusterRoleSelectors"];
        let path = Path::new("aggregationRule.clusterRoleSelectors");
        if items(selectors).is_empty() {
            errors.push(FieldError::required(
                &path,
                "at least one clusterRoleSelector required if aggregationRule is non-nil",
            ));
        }
        for (i, selector) in items(selectors).iter().enumerate() {
            meta::label_selector(selector, &path.index(i), errors);
        }
    }
}

const RBAC: &str = "rbac.authorization.k8s.io";

pub(super) fn binding(obj: &Value, namespaced: bool, errors: &mut Errors) {
    let role = &obj["roleRef"];
    let path = Path::new("roleRef");
    if text(role, "apiGroup") != RBAC {
        errors.push(FieldError::not_supported(
            &path.child("apiGroup"),
            &json!(text(role, "apiGroup")),
            &[RBAC],
        ));
    }
    let kinds: &[&str] = if namespaced {
        &["Role", "ClusterRole"]
    } else {
        &["ClusterRole"]
    };
    if !kinds.contains(&text(role, "kind")) {
        errors.push(FieldError::not_supported(
            &path.child("kind"),
            &json!(text(role, "kind")),
            kinds,
        ));
    }
    let name = text(role, "name");
    if name.is_empty() {
        errors.push(FieldError::required(&path.child("name"), ""));
    } else {
        errors.extend(
            rules::path_segment(name, false)
                .into_iter()
                .map(|m| FieldError::invalid_str(&path.child("name"), name, m)),
        );
    }
    for (i, subject) in items(&obj["subjects"]).iter().enumerate() {
        let path = Path::new("subjects").index(i);
        let (name, group) = (text(subject, "name"), text(subject, "apiGroup"));
        if name.is_empty() {
            errors.push(FieldError::required(&path.child("name"), ""));
        }
        match text(subject, "kind") {
            "ServiceAccount" => {
                if !name.is_empty() {
                    errors.extend(
                        rules::dns_subdomain(name)
                            .into_iter()
                            .map(|m| FieldError::invalid_str(&path.child("name"), name, m)),
                    );
                }
                if !group.is_empty() {
                    errors.push(FieldError::not_supported(
                        &path.child("apiGroup"),
                        &json!(group),
                        &[""],
                    ));
                }
                if !namespaced && text(subject, "namespace").is_empty() {
                    errors.push(FieldError::required(&path.child("namespace"), ""));
                }
            }
            "User" | "Group" => {
                if group != RBAC {
                    errors.push(FieldError::not_supported(
                        &path.child("apiGroup"),
                        &json!(group),
                        &[RBAC],
                    ));
                }
            }
            other => errors.push(FieldError::not_supported(
                &path.child("kind"),
                &json!(other),
                &["ServiceAccount", "User", "Group"],
            )),
        }
    }
}

pub(super) fn binding_update(obj: &Value, old: &Value, errors: &mut Errors) {
    if obj["roleRef"] != old["roleRef"] {
        errors.push(FieldError::invalid_raw(
            &Path::new("roleRef"),
            dump::internal("rbac.v1.RoleRef", &obj["roleRef"]),
            "cannot change roleRef",
        ));
    }
}

pub(super) fn disruption_budget(spec: &Value, path: &Path, errors: &mut Errors) {
    if !unset(spec, "minAvailable") && !unset(spec, "maxUnavailable") {
        errors.push(FieldError::invalid_raw(
            path,
            dump::internal("policy.v1.PodDisruptionBudgetSpec", spec),
            "minAvailable and maxUnavailable cannot be both set",
        ));
    }
    for key in ["minAvailable", "maxUnavailable"] {
        workload::budget(&spec[key], &path.child(key), errors);
    }
    meta::label_selector(&spec["selector"], &path.child("selector"), errors);
    one_of(
        spec,
        "unhealthyPodEvictionPolicy",
        &["AlwaysAllow", "IfHealthyBudget"],
        path,
        errors,
    );
}

pub(super) fn autoscaler(spec: &Value, path: &Path, errors: &mut Errors) {
    let min = spec["minReplicas"].as_i64();
    let max = spec["maxReplicas"].as_i64().unwrap_or(0);
    if let Some(min) = min.filter(|m| *m < 1) {
        errors.push(FieldError::invalid(
            &path.child("minReplicas"),
            &json!(min),
            "must be greater than or equal to 1",
        ));
    }
    if max < 1 {
        errors.push(FieldError::required(
            &path.child("maxReplicas"),
            "must be set and greater than 0",
        ));
    }
    if min.is_some_and(|min| max < min) {
        errors.push(FieldError::invalid(
            &path.child("maxReplicas"),
            &json!(max),
            "must be greater than or equal to `minReplicas`",
        ));
    }
    scale_target(
        &spec["scaleTargetRef"],
        &path.child("scaleTargetRef"),
        errors,
    );
    const TYPES: [&str; 5] = [
        "ContainerResource",
        "External",
        "Object",
        "Pods",
        "Resource",
    ];
    for (i, metric) in items(&spec["metrics"]).iter().enumerate() {
        let at = path.child("metrics").index(i);
        let kind = text(metric, "type");
        if kind.is_empty() {
            errors.push(FieldError::required(
                &at.child("type"),
                "must specify a metric source type",
            ));
        }
        let source = match kind {
            "ContainerResource" => "containerResource",
            "External" => "external",
            "Object" => "object",
            "Pods" => "pods",
            "Resource" => "resource",
            other => {
                for _ in 0..2 {
                    errors.push(FieldError::not_supported(
                        &at.child("type"),
                        &json!(other),
                        &TYPES,
                    ));
                }
                ""
            }
        };
        if !source.is_empty() && unset(metric, source) {
            errors.push(FieldError::required(
                &at.child(source),
                "must populate information for the given metric source",
            ));
        }
        for (present, _) in sorted(metric)
            .into_iter()
            .filter(|(k, _)| *k != "type" && *k != source)
        {
            errors.push(FieldError::forbidden(
                &at.child(present),
                "must populate the given metric source only",
            ));
        }
        if matches!(source, "resource" | "containerResource") && !unset(metric, source) {
            let (metric, at) = (&metric[source], at.child(source));
            if text(metric, "name").is_empty() {
                errors.push(FieldError::required(
                    &at.child("name"),
                    "must specify a resource name",
                ));
            }
            let target = &metric["target"];
            if text(target, "type").is_empty() {
                errors.push(FieldError::required(
                    &at.child("target").child("type"),
                    "must specify a metric target type",
                ));
            }
            if unset(target, "averageUtilization") && unset(target, "averageValue") {
                errors.push(FieldError::required(
                    &at.child("target").child("averageUtilization"),
                    "must set either a target raw value or a target utilization",
                ));
            }
            if target["averageUtilization"].as_i64().is_some_and(|u| u < 1) {
                errors.push(FieldError::invalid(
                    &at.child("target").child("averageUtilization"),
                    &target["averageUtilization"],
                    "must be greater than 0",
                ));
            }
        }
    }
    for direction in ["scaleUp", "scaleDown"] {
        let rules = &spec["behavior"][direction];
        if rules.is_null() {
            continue;
        }
        let at = path.child("behavior").child(direction);
        if let Some(window) = rules["stabilizationWindowSeconds"].as_i64() {
            let at = at.child("stabilizationWindowSeconds");
            if window < 0 {
                errors.push(FieldError::invalid(
                    &at,
                    &json!(window),
                    "must be greater than or equal to zero",
                ));
            }
            if window > 3600 {
                errors.push(FieldError::invalid(
                    &at,
                    &json!(window),
                    "must be less than or equal to 3600",
                ));
            }
        }
        one_of(
            rules,
            "selectPolicy",
            &["Disabled", "Max", "Min"],
            &at,
            errors,
        );
        if items(&rules["policies"]).is_empty() {
            errors.push(FieldError::required(
                &at.child("policies"),
                "must specify at least one Policy",
            ));
        }
        for (i, policy) in items(&rules["policies"]).iter().enumerate() {
            let at = at.child("policies").index(i);
            one_of(policy, "type", &["Percent", "Pods"], &at, errors);
            for key in ["value", "periodSeconds"] {
                let number = policy[key].as_i64().unwrap_or(0);
                if number <= 0 {
                    errors.push(FieldError::invalid(
                        &at.child(key),
                        &json!(number),
                        "must be greater than zero",
                    ));
                }
            }
            if policy["periodSeconds"].as_i64().unwrap_or(0) > 1800 {
                errors.push(FieldError::invalid(
                    &at.child("periodSeconds"),
                    &policy["periodSeconds"],
                    "must be less than or equal to 1800",
                ));
            }
        }
    }
}

fn scale_target(target: &Value, path: &Path, errors: &mut Errors) {
    for key in ["kind", "name"] {
        let value = text(target, key);
        if value.is_empty() {
            errors.push(FieldError::required(&path.child(key), ""));
        } else {
            errors.extend(
                rules::path_segment(value, false)
                    .into_iter()
                    .map(|m| FieldError::invalid_str(&path.child(key), value, m)),
            );
        }
    }
    let version = text(target, "apiVersion");
    if !version.contains('/') && text(target, "kind") != "ReplicationController" {
        errors.push(FieldError::invalid_str(
            &path.child("apiVersion"),
            version,
            "apiVersion must specify API group",
        ));
    }
}

pub(super) fn lease(spec: &Value, path: &Path, errors: &mut Errors) {
    if let Some(seconds) = spec["leaseDurationSeconds"].as_i64().filter(|s| *s <= 0) {
        errors.push(FieldError::invalid(
            &path.child("leaseDurationSeconds"),
            &json!(seconds),
            "must be greater than 0",
        ));
    }
    if let Some(count) = spec["leaseTransitions"].as_i64().filter(|c| *c < 0) {
        errors.push(FieldError::invalid(
            &path.child("leaseTransitions"),
            &json!(count),
            "must be greater than or equal to 0",
        ));
    }
    if !unset(spec, "preferredHolder") && text(spec, "strategy").is_empty() {
        errors.push(FieldError::forbidden(
            &path.child("preferredHolder"),
            "may only be specified if `strategy` is defined",
        ));
    }
}

/// An event in the names of the core group, whichever group it came by.
struct Event<'a> {
    obj: &'a Value,
    new: bool,
}

impl<'a> Event<'a> {
    fn member(&self, core: &str) -> &'a Value {
        let name = match (self.new, core) {
            (true, "involvedObject") => "regarding",
            (true, "message") => "note",
            (true, "firstTimestamp") => "deprecatedFirstTimestamp",
            (true, "lastTimestamp") => "deprecatedLastTimestamp",
            (true, "count") => "deprecatedCount",
            (true, "source") => "deprecatedSource",
            (false, "reportingController") => "reportingComponent",
            (_, name) => name,
        };
        &self.obj[name]
    }

    fn text(&self, core: &str) -> &'a str {
        self.member(core).as_str().unwrap_or_default()
    }
}

pub(super) fn event(kind: Kind, obj: &Value, create: bool, errors: &mut Errors) {
    let event = Event {
        obj,
        new: kind.group() == "events.k8s.io",
    };
    let controller = Path::new(if event.new {
        "reportingController"
    } else {
        "reportingComponent"
    });
    let namespace = text(&obj["metadata"], "namespace");
    let involved = text(event.member("involvedObject"), "namespace");
    let at = Path::new("involvedObject.namespace");
    let agree = |allowed: &[&str]| {
        if involved.is_empty() {
            allowed.contains(&namespace)
        } else {
            involved == namespace
        }
    };
    if event.member("eventTime").is_null() {
        if !agree(&["", "default"]) {
            errors.push(FieldError::invalid_str(
                &at,
                involved,
                "does not match event.namespace",
            ));
        }
    } else {
        if involved.is_empty() && !matches!(namespace, "default" | "kube-system") {
            errors.push(FieldError::invalid_str(
                &at,
                involved,
                "does not match event.namespace",
            ));
        }
        let name = event.text("reportingController");
        if name.is_empty() {
            errors.push(FieldError::required(&controller, ""));
        }
        errors.extend(
            rules::qualified_name(name)
                .into_iter()
                .map(|m| FieldError::invalid_str(&controller, name, m)),
        );
        for key in ["reportingInstance", "action", "reason"] {
            let value = event.text(key);
            if value.is_empty() {
                errors.push(FieldError::required(&Path::new(key), ""));
            }
            if value.len() > 128 {
                errors.push(FieldError::invalid_str(
                    &Path::new(key),
                    "",
                    "can have at most 128 characters",
                ));
            }
        }
        if event.text("message").len() > 1024 {
            errors.push(FieldError::invalid_str(
                &Path::new("message"),
                "",
                "can have at most 1024 characters",
            ));
        }
    }
    if !event.new {
        return;
    }
    if create && event.member("eventTime").is_null() {
        errors.push(FieldError::required(&Path::new("eventTime"), ""));
    }
    let level = event.text("type");
    if !matches!(level, "Normal" | "Warning") {
        errors.push(FieldError::invalid_str(
            &Path::new("type"),
            "",
            format!("has invalid value: {level}"),
        ));
    }
    if create {
        for key in ["firstTimestamp", "lastTimestamp"] {
            if !event.member(key).is_null() {
                errors.push(FieldError::invalid_str(
                    &Path::new(key),
                    "",
                    "needs to be unset",
                ));
            }
        }
        if event.member("count").as_i64().unwrap_or(0) != 0 {
            errors.push(FieldError::invalid_str(
                &Path::new("count"),
                "",
                "needs to be unset",
            ));
        }
    }
}

pub(super) fn event_update(kind: Kind, obj: &Value, old: &Value, errors: &mut Errors) {
    let new = kind.group() == "events.k8s.io";
    if !new {
        return;
    }
    let (now, old) = (Event { obj, new }, Event { obj: old, new });
    // The server compares the reason twice, which shows in the causes.
    for key in [
        "involvedObject",
        "reason",
        "reason",
        "message",
        "source",
        "firstTimestamp",
        "lastTimestamp",
        "count",
        "type",
        "eventTime",
        "action",
        "related",
        "reportingController",
        "reportingInstance",
    ] {
        if now.member(key) != old.member(key) {
            errors.push(FieldError::invalid(
                &Path::new(key),
                now.member(key),
                IMMUTABLE,
            ));
        }
    }
}

pub(super) fn priority_class(obj: &Value, errors: &mut Errors) {
    let name = text(&obj["metadata"], "name");
    let system = matches!(name, "system-cluster-critical" | "system-node-critical");
    if name.starts_with("system-") && !system {
        errors.push(FieldError::forbidden(
            &Path::new("metadata.name"),
            "priority class names with 'system-' prefix are reserved for system use only",
        ));
    }
    if !system && obj["value"].as_i64().unwrap_or(0) > 1_000_000_000 {
        errors.push(FieldError::forbidden(
            &Path::new("value"),
            "maximum allowed value of a user defined priority is 1000000000",
        ));
    }
    one_of(
        obj,
        "preemptionPolicy",
        &["Never", "PreemptLowerPriority"],
        &Path::root(),
        errors,
    );
}

pub(super) fn claim(spec: &Value, path: &Path, errors: &mut Errors) {
    let modes = items(&spec["accessModes"]);
    if modes.is_empty() {
        errors.push(FieldError::required(
            &path.child("accessModes"),
            "at least 1 access mode is required",
        ));
    }
    meta::label_selector(&spec["selector"], &path.child("selector"), errors);
    access_modes(spec, path, errors);
    if unset(&spec["resources"]["requests"], "storage") {
        errors.push(FieldError::required(
            &path.child("resources").key("storage"),
            "",
        ));
    } else if text(&spec["resources"]["requests"], "storage").starts_with(['-', '0']) {
        let storage = &spec["resources"]["requests"]["storage"];
        errors.push(FieldError::invalid(
            &path.child("resources").key("storage"),
            storage,
            "must be greater than zero",
        ));
    }
    let class = text(spec, "storageClassName");
    if !class.is_empty() {
        let at = path.child("storageClassName");
        errors.extend(
            rules::dns_subdomain(class)
                .into_iter()
                .map(|m| FieldError::invalid_str(&at, class, m)),
        );
    }
    one_of(spec, "volumeMode", &["Block", "Filesystem"], path, errors);
}

fn access_modes(spec: &Value, path: &Path, errors: &mut Errors) {
    const MODES: [&str; 4] = [
        "ReadOnlyMany",
        "ReadWriteMany",
        "ReadWriteOnce",
        "ReadWriteOncePod",
    ];
    for mode in items(&spec["accessModes"]) {
        if !mode.as_str().is_some_and(|m| MODES.contains(&m)) {
            errors.push(FieldError::not_supported(
                &path.child("accessModes"),
                mode,
                &MODES,
            ));
        }
    }
}

pub(super) fn claim_update(obj: &Value, old: &Value, errors: &mut Errors) {
    let strip = |spec: &Value| {
        let mut spec = spec.clone();
        if let Some(resources) = crate::kinds::value::member(&mut spec, "resources") {
            crate::kinds::value::remove(resources, "requests");
        }
        for key in ["volumeAttributesClassName", "volumeName"] {
            crate::kinds::value::remove(&mut spec, key);
        }
        spec
    };
    let bound_name = !unset(&old["spec"], "volumeName")
        && obj["spec"]["volumeName"] != old["spec"]["volumeName"];
    if strip(&obj["spec"]) != strip(&old["spec"]) || bound_name {
        errors.push(FieldError::forbidden(
            &Path::new("spec"),
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims",
        ));
    }
}

pub(super) fn volume(spec: &Value, path: &Path, errors: &mut Errors) {
    if items(&spec["accessModes"]).is_empty() {
        errors.push(FieldError::required(&path.child("accessModes"), ""));
    }
    access_modes(spec, path, errors);
    if spec["capacity"]
        .as_object()
        .is_none_or(serde_json::Map::is_empty)
    {
        errors.push(FieldError::required(&path.child("capacity"), ""));
    } else if unset(&spec["capacity"], "storage") || sorted(&spec["capacity"]).len() > 1 {
        errors.push(FieldError::not_supported(
            &path.child("capacity"),
            &spec["capacity"],
            &["storage"],
        ));
    }
    one_of(
        spec,
        "persistentVolumeReclaimPolicy",
        &["Delete", "Recycle", "Retain"],
        path,
        errors,
    );
    const OTHER: [&str; 9] = [
        "accessModes",
        "capacity",
        "claimRef",
        "persistentVolumeReclaimPolicy",
        "storageClassName",
        "mountOptions",
        "volumeMode",
        "nodeAffinity",
        "volumeAttributesClassName",
    ];
    if sorted(spec).iter().all(|(k, _)| OTHER.contains(k)) {
        errors.push(FieldError::required(path, "must specify a volume type"));
    }
}

pub(super) fn storage_class(obj: &Value, errors: &mut Errors) {
    let provisioner = text(obj, "provisioner");
    if provisioner.is_empty() {
        errors.push(FieldError::required(&Path::new("provisioner"), ""));
    } else {
        errors.extend(
            rules::qualified_name(&provisioner.to_lowercase())
                .into_iter()
                .map(|m| FieldError::invalid_str(&Path::new("provisioner"), provisioner, m)),
        );
    }
    one_of(
        obj,
        "reclaimPolicy",
        &["Delete", "Retain"],
        &Path::root(),
        errors,
    );
    one_of(
        obj,
        "volumeBindingMode",
        &["Immediate", "WaitForFirstConsumer"],
        &Path::root(),
        errors,
    );
}

pub(super) fn storage_class_update(obj: &Value, old: &Value, errors: &mut Errors) {
    for (key, sentence) in [
        ("parameters", "updates to parameters are forbidden."),
        ("provisioner", "updates to provisioner are forbidden."),
        ("reclaimPolicy", "updates to reclaimPolicy are forbidden."),
    ] {
        if obj[key] != old[key] {
            errors.push(FieldError::forbidden(&Path::new(key), sentence));
        }
    }
    if obj["volumeBindingMode"] != old["volumeBindingMode"] {
        errors.push(FieldError::invalid(
            &Path::new("volumeBindingMode"),
            &obj["volumeBindingMode"],
            IMMUTABLE,
        ));
    }
}

pub(super) fn endpoint_slice(obj: &Value, errors: &mut Errors) {
    let kind = text(obj, "addressType");
    match kind {
        "" => errors.push(FieldError::required(&Path::new("addressType"), "")),
        _ => one_of(
            obj,
            "addressType",
            &["FQDN", "IPv4", "IPv6"],
            &Path::root(),
            errors,
        ),
    }
    for (i, endpoint) in items(&obj["endpoints"]).iter().enumerate() {
        let at = Path::new("endpoints").index(i).child("addresses");
        if items(&endpoint["addresses"]).is_empty() {
            errors.push(FieldError::required(&at, "must contain at least 1 address"));
        }
        for (j, address) in items(&endpoint["addresses"])
            .iter()
            .filter_map(Value::as_str)
            .enumerate()
        {
            let found = match kind {
                "IPv4" if address.parse::<std::net::Ipv4Addr>().is_err() => {
                    vec!["must be an IPv4 address".to_owned()]
                }
                "IPv6" if address.parse::<std::net::Ipv6Addr>().is_err() => {
                    vec!["must be an IPv6 address".to_owned()]
                }
                "FQDN" => rules::dns_subdomain(address),
                _ => Vec::new(),
            };
            errors.extend(
                found
                    .into_iter()
                    .map(|m| FieldError::invalid_str(&at.index(j), address, m)),
            );
        }
    }
}

pub(super) fn endpoints(obj: &Value, errors: &mut Errors) {
    for (i, subset) in items(&obj["subsets"]).iter().enumerate() {
        let path = Path::new("subsets").index(i);
        if items(&subset["addresses"]).is_empty() && items(&subset["notReadyAddresses"]).is_empty()
        {
            errors.push(FieldError::required(
                &path,
                "must specify `addresses` or `notReadyAddresses`",
            ));
        }
        for list in ["addresses", "notReadyAddresses"] {
            for (j, address) in items(&subset[list]).iter().enumerate() {
                let ip = text(address, "ip");
                let at = path.child(list).index(j).child("ip");
                errors.extend(
                    rules::ip(ip)
                        .into_iter()
                        .map(|m| FieldError::invalid_str(&at, ip, m)),
                );
            }
        }
        let named = items(&subset["ports"]).len() > 1;
        for (j, port) in items(&subset["ports"]).iter().enumerate() {
            let at = path.child("ports").index(j);
            let name = text(port, "name");
            if named && name.is_empty() {
                errors.push(FieldError::required(&at.child("name"), ""));
            } else if !name.is_empty() {
                errors.extend(
                    rules::dns_label(name)
                        .into_iter()
                        .map(|m| FieldError::invalid_str(&at.child("name"), name, m)),
                );
            }
            let number = port["port"].as_i64().unwrap_or(0);
            errors.extend(
                rules::port(number)
                    .into_iter()
                    .map(|m| FieldError::invalid(&at.child("port"), &json!(number), m)),
            );
            one_of(port, "protocol", &["SCTP", "TCP", "UDP"], &at, errors);
        }
    }
}
