//! The rules of `metadata`: names, labels, annotations, owners, finalizers.
//!
//! From `k8s.io/apimachinery/pkg/api/validation` and `pkg/util/validation`.

use serde_json::{Map, Value, json};

use super::status::{Cause, quoted};

const QUALIFIED_NAME: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";

/// Annotations may hold this many bytes, keys and values together.
const ANNOTATIONS_LIMIT: usize = 256 * 1024;

fn alphanumeric(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
}

fn is_qualified(name: &str) -> bool {
    let bytes = name.as_bytes();
    bytes.first().copied().is_some_and(alphanumeric)
        && bytes.last().copied().is_some_and(alphanumeric)
        && bytes
            .iter()
            .all(|&b| alphanumeric(b) || matches!(b, b'-' | b'_' | b'.'))
}

fn is_label(name: &str) -> bool {
    let lower = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = name.as_bytes();
    bytes.first().copied().is_some_and(lower)
        && bytes.last().copied().is_some_and(lower)
        && bytes.iter().all(|&b| lower(b) || b == b'-')
}

/// What is wrong with a DNS-1123 subdomain.
pub(crate) fn subdomain_errors(name: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if name.len() > 253 {
        errors.push("must be no more than 253 characters".to_owned());
    }
    if !name.split('.').all(is_label) {
        errors.push(SUBDOMAIN.to_owned());
    }
    errors
}

/// What is wrong with a DNS-1123 label.
pub(crate) fn label_errors(name: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if name.len() > 63 {
        errors.push("must be no more than 63 characters".to_owned());
    }
    if !is_label(name) {
        if name.split('.').all(is_label) {
            errors.push("must not contain dots".to_owned());
        } else {
            errors.push(LABEL.to_owned());
        }
    }
    errors
}

/// What is wrong with the key of a label or annotation.
pub(crate) fn qualified_name_errors(key: &str) -> Vec<String> {
    let mut errors = Vec::new();
    let parts: Vec<&str> = key.split('/').collect();
    let name = match parts.as_slice() {
        [name] => *name,
        [prefix, name] => {
            if prefix.is_empty() {
                errors.push("prefix part must be non-empty".to_owned());
            } else {
                errors.extend(
                    subdomain_errors(prefix)
                        .into_iter()
                        .map(|e| format!("prefix part {e}")),
                );
            }
            *name
        }
        _ => {
            return vec![format!(
                "a qualified name {QUALIFIED_NAME} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            )];
        }
    };
    if name.is_empty() {
        errors.push("name part must be non-empty".to_owned());
    } else if name.len() > 63 {
        errors.push("name part must be no more than 63 bytes".to_owned());
    }
    if !is_qualified(name) {
        errors.push(format!("name part {QUALIFIED_NAME}"));
    }
    errors
}

/// What is wrong with the value of a label.
pub(crate) fn label_value_errors(value: &str) -> Vec<String> {
    let mut errors = Vec::new();
    if value.len() > 63 {
        errors.push("must be no more than 63 bytes".to_owned());
    }
    if !value.is_empty() && !is_qualified(value) {
        errors.push(LABEL_VALUE.to_owned());
    }
    errors
}

/// How a kind's names are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NameRule {
    /// A DNS-1123 subdomain.
    Subdomain,
    /// A DNS-1123 label.
    Label,
    /// Anything that can stand in a path: RBAC, and events.
    PathSegment,
}

impl NameRule {
    pub(crate) fn of(group: &str, resource: &str) -> Self {
        match (group, resource) {
            ("", "services" | "namespaces") => Self::Label,
            ("rbac.authorization.k8s.io", _) => Self::PathSegment,
            _ => Self::Subdomain,
        }
    }

    pub(crate) fn errors(self, name: &str) -> Vec<String> {
        match self {
            Self::Subdomain => subdomain_errors(name),
            Self::Label => label_errors(name),
            Self::PathSegment => path_segment_errors(name),
        }
    }
}

fn path_segment_errors(name: &str) -> Vec<String> {
    match name {
        "." => return vec!["may not be '.'".to_owned()],
        ".." => return vec!["may not be '..'".to_owned()],
        _ => {}
    }
    ["/", "%"]
        .into_iter()
        .filter(|bad| name.contains(bad))
        .map(|bad| format!("may not contain '{bad}'"))
        .collect()
}

fn text<'a>(meta: &'a Map<String, Value>, key: &str) -> &'a str {
    meta.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn names(meta: &Map<String, Value>, key: &str) -> Vec<String> {
    meta.get(key)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

fn label_causes(meta: &Map<String, Value>, causes: &mut Vec<Cause>) {
    if let Some(labels) = meta.get("labels").and_then(Value::as_object) {
        for (key, value) in labels {
            for error in qualified_name_errors(key) {
                causes.push(Cause::invalid("metadata.labels", &json!(key), &error));
            }
            let value = value.as_str().unwrap_or_default();
            for error in label_value_errors(value) {
                causes.push(Cause::invalid("metadata.labels", &json!(value), &error));
            }
        }
    }
}

fn annotation_causes(meta: &Map<String, Value>, causes: &mut Vec<Cause>) {
    let Some(annotations) = meta.get("annotations").and_then(Value::as_object) else {
        return;
    };
    let mut size = 0;
    for (key, value) in annotations {
        for error in qualified_name_errors(&key.to_lowercase()) {
            causes.push(Cause::invalid("metadata.annotations", &json!(key), &error));
        }
        size += key.len() + value.as_str().map_or(0, str::len);
    }
    if size > ANNOTATIONS_LIMIT {
        causes.push(Cause::too_long("metadata.annotations", ANNOTATIONS_LIMIT));
    }
}

fn owner_causes(meta: &Map<String, Value>, causes: &mut Vec<Cause>) {
    let Some(owners) = meta.get("ownerReferences").and_then(Value::as_array) else {
        return;
    };
    let mut controller: Option<String> = None;
    for owner in owners {
        let get = |key: &str| owner.get(key).and_then(Value::as_str).unwrap_or_default();
        let at = |field: &str| format!("metadata.ownerReferences.{field}");
        if get("apiVersion").rsplit('/').next().unwrap_or_default().is_empty() {
            causes.push(Cause::invalid(at("apiVersion"), &json!(get("apiVersion")), "version must not be empty"));
        }
        for field in ["kind", "name", "uid"] {
            if get(field).is_empty() {
                causes.push(Cause::invalid(at(field), &json!(""), "must not be empty"));
            }
        }
        if get("apiVersion") == "v1" && get("kind") == "Event" {
            causes.push(Cause::invalid(
                "metadata.ownerReferences",
                &json!("/v1, Kind=Event"),
                "/v1, Kind=Event is disallowed from being an owner",
            ));
        }
        if owner.get("controller") == Some(&Value::Bool(true)) {
            let name = format!("{}/{}", get("kind"), get("name"));
            match &controller {
                None => controller = Some(name),
                Some(first) => causes.push(Cause {
                    reason: "FieldValueInvalid",
                    field: "metadata.ownerReferences".to_owned(),
                    message: format!(
                        "Invalid value: {}: Only one reference can have Controller set to true. Found \"true\" in references for {first} and {name}",
                        owners_as_go_prints_them(owners)
                    ),
                }),
            }
        }
    }
}

fn owners_as_go_prints_them(owners: &[Value]) -> String {
    let shown: Vec<String> = owners
        .iter()
        .map(|owner| {
            let fields: Vec<String> = ["apiVersion", "kind", "name", "uid", "controller", "blockOwnerDeletion"]
                .into_iter()
                .filter_map(|key| owner.get(key).map(|value| format!("{key:?}:{value}")))
                .collect();
            format!("{{{}}}", fields.join(","))
        })
        .collect();
    format!("[{}]", shown.join(","))
}

fn finalizer_causes(meta: &Map<String, Value>, causes: &mut Vec<Cause>) {
    let finalizers = names(meta, "finalizers");
    for (at, finalizer) in finalizers.iter().enumerate() {
        let errors = qualified_name_errors(finalizer);
        for error in &errors {
            causes.push(Cause::invalid("metadata.finalizers", &json!(finalizer), error));
        }
        let standard = ["kubernetes", "orphan", "foregroundDeletion"];
        if errors.is_empty() && !finalizer.contains('/') && !standard.contains(&finalizer.as_str()) {
            causes.push(Cause::invalid(
                format!("metadata.finalizers[{at}]"),
                &json!(finalizer),
                "name is neither a standard finalizer name nor is it fully qualified",
            ));
        }
    }
    let both = ["orphan", "foregroundDeletion"];
    if both.iter().all(|f| finalizers.iter().any(|g| g == f)) {
        causes.push(Cause::invalid(
            "metadata.finalizers",
            &json!(finalizers),
            "finalizer orphan and foregroundDeletion cannot be both set",
        ));
    }
}

/// Checks the metadata of an object (`ValidateObjectMeta`).
pub(crate) fn validate(meta: &Map<String, Value>, rule: NameRule) -> Vec<Cause> {
    let mut causes = Vec::new();
    let name = text(meta, "name");
    let generate = text(meta, "generateName");
    if !generate.is_empty() {
        // The rules look at the prefix as if something valid followed.
        let stem = match generate.strip_suffix('-') {
            Some(stem) => format!("{stem}a"),
            None => generate.to_owned(),
        };
        for error in rule.errors(&stem) {
            causes.push(Cause::invalid("metadata.generateName", &json!(generate), &error));
        }
    }
    if name.is_empty() {
        causes.push(Cause::required("metadata.name", "name or generateName is required"));
    } else {
        for error in rule.errors(name) {
            causes.push(Cause::invalid("metadata.name", &json!(name), &error));
        }
    }
    label_causes(meta, &mut causes);
    annotation_causes(meta, &mut causes);
    owner_causes(meta, &mut causes);
    finalizer_causes(meta, &mut causes);
    causes
}

/// Checks what an update may change (`ValidateObjectMetaUpdate`).
pub(crate) fn validate_update(new: &Map<String, Value>, old: &Map<String, Value>) -> Vec<Cause> {
    let mut causes = Vec::new();
    if old.contains_key("deletionTimestamp") {
        let had = names(old, "finalizers");
        let added: Vec<String> = names(new, "finalizers")
            .into_iter()
            .filter(|f| !had.contains(f))
            .collect();
        if !added.is_empty() {
            let mut list: Vec<String> = added.iter().map(|f| quoted(f)).collect();
            list.sort();
            causes.push(Cause::forbidden(
                "metadata.finalizers",
                &format!(
                    "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                    list.join(", ")
                ),
            ));
        }
    }
    for field in ["name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"] {
        let (new_value, old_value) = (new.get(field), old.get(field));
        if new_value != old_value {
            causes.push(Cause::invalid(
                format!("metadata.{field}"),
                new_value.unwrap_or(&Value::Null),
                "field is immutable",
            ));
        }
    }
    label_causes(new, &mut causes);
    annotation_causes(new, &mut causes);
    owner_causes(new, &mut causes);
    causes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(meta: Value, rule: NameRule) -> Vec<String> {
        validate(meta.as_object().unwrap(), rule)
            .into_iter()
            .map(|c| format!("{}: {}", c.field, c.message))
            .collect()
    }

    #[test]
    fn good_metadata_has_no_causes() {
        let meta = json!({"name": "a.b-c", "labels": {"x.io/a": "B_c"}, "annotations": {"UPPER": "any thing"},
            "finalizers": ["kubernetes", "example.com/f"],
            "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u"}]});
        assert_eq!(messages(meta, NameRule::Subdomain), Vec::<String>::new());
    }

    #[test]
    fn bad_names_by_rule() {
        assert_eq!(
            messages(json!({"name": "a.b"}), NameRule::Label),
            ["metadata.name: Invalid value: \"a.b\": must not contain dots"]
        );
        assert!(messages(json!({"name": "A"}), NameRule::PathSegment).is_empty());
        assert_eq!(messages(json!({}), NameRule::Subdomain).len(), 1);
    }

    #[test]
    fn a_terminating_object_takes_no_new_finalizers() {
        let old = json!({"name": "x", "deletionTimestamp": "t", "finalizers": ["a/b"]});
        let new = json!({"name": "x", "deletionTimestamp": "t", "finalizers": ["a/b", "c/d"]});
        let causes = validate_update(new.as_object().unwrap(), old.as_object().unwrap());
        assert_eq!(causes.len(), 1);
        assert!(causes[0].message.contains("[]string{\"c/d\"}"));
    }
}
