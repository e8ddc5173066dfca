//! The rules for `metadata`, which every kind shares.

use serde_json::{Value, json};

use super::{
    error::{FieldError, Path},
    rules,
    value::{self, text},
};

/// What may be the name of an object of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameRule {
    /// An RFC 1123 subdomain: most kinds, and custom resources.
    Subdomain,
    /// An RFC 1123 label: namespaces, services.
    Label,
    /// A DNS-1035 label.
    Label1035,
    /// Anything that can be a segment of a URL path: RBAC.
    PathSegment,
    /// Anything; the kind has a rule of its own, or none.
    Any,
}

impl NameRule {
    fn check(self, name: &str, prefix: bool) -> Vec<String> {
        // A generateName may end in a dash: more characters follow.
        let masked = match name.strip_suffix('-') {
            Some(rest) if prefix && !rest.is_empty() && self != Self::PathSegment => {
                let mut masked: String = rest.to_owned();
                masked.pop();
                masked.push('a');
                masked
            }
            _ => name.to_owned(),
        };
        match self {
            Self::Subdomain => rules::dns_subdomain(&masked),
            Self::Label => rules::dns_label(&masked),
            Self::Label1035 => rules::dns1035_label(&masked),
            Self::PathSegment => rules::path_segment(name, prefix),
            Self::Any => Vec::new(),
        }
    }
}

const IMMUTABLE: &str = "field is immutable";
/// All keys and values of the annotations together, in bytes.
const ANNOTATIONS_SIZE: usize = 256 * 1024;

/// Checks the `metadata` of a new object, or of one after an update.
///
/// `kube_finalizers`: finalizers without a domain must be one of the server's own, which
/// holds for built-in kinds but not for custom resources.
#[must_use]
pub fn validate_metadata(
    object: &Value,
    namespaced: bool,
    rule: NameRule,
    kube_finalizers: bool,
) -> Vec<FieldError> {
    validate_metadata_at(
        &object["metadata"],
        namespaced,
        rule,
        kube_finalizers,
        &Path::new("metadata"),
    )
}

pub(crate) fn validate_metadata_at(
    meta: &Value,
    namespaced: bool,
    rule: NameRule,
    kube_finalizers: bool,
    path: &Path,
) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let generate = text(meta, "generateName");
    if !generate.is_empty() {
        let at = path.child("generateName");
        errors.extend(
            rule.check(generate, true)
                .into_iter()
                .map(|m| FieldError::invalid_str(&at, generate, m)),
        );
    }
    let name = text(meta, "name");
    let at = path.child("name");
    if name.is_empty() {
        errors.push(FieldError::required(
            &at,
            "name or generateName is required",
        ));
    } else {
        errors.extend(
            rule.check(name, false)
                .into_iter()
                .map(|m| FieldError::invalid_str(&at, name, m)),
        );
    }
    let namespace = text(meta, "namespace");
    let at = path.child("namespace");
    if namespaced {
        if namespace.is_empty() {
            errors.push(FieldError::required(&at, ""));
        } else {
            errors.extend(
                rules::dns_label(namespace)
                    .into_iter()
                    .map(|m| FieldError::invalid_str(&at, namespace, m)),
            );
        }
    } else if !namespace.is_empty() {
        errors.push(FieldError::forbidden(&at, "not allowed on this type"));
    }
    if meta["generation"].as_i64().is_some_and(|g| g < 0) {
        errors.push(FieldError::invalid(
            &path.child("generation"),
            &meta["generation"],
            value::NOT_NEGATIVE,
        ));
    }
    labels(&meta["labels"], &path.child("labels"), &mut errors);
    annotations(
        &meta["annotations"],
        &path.child("annotations"),
        &mut errors,
    );
    owner_references(
        &meta["ownerReferences"],
        &path.child("ownerReferences"),
        &mut errors,
    );
    finalizers(&meta["finalizers"], &path.child("finalizers"), &mut errors);
    managed_fields(
        &meta["managedFields"],
        &path.child("managedFields"),
        &mut errors,
    );
    if kube_finalizers {
        self::kube_finalizers(&meta["finalizers"], &mut errors);
    }
    errors
}

/// Checks what an update makes of `metadata`: nothing that identifies an object may change.
///
/// The caller has already filled in what a client may leave out (uid, creation time,
/// resourceVersion), as a server does before it validates.
#[must_use]
pub fn validate_metadata_update(object: &Value, old: &Value) -> Vec<FieldError> {
    let (meta, old) = (&object["metadata"], &old["metadata"]);
    let path = Path::new("metadata");
    let mut errors = Vec::new();
    if !old["deletionTimestamp"].is_null() {
        let known = value::items(&old["finalizers"]);
        let mut added: Vec<&str> = value::items(&meta["finalizers"])
            .iter()
            .filter(|f| !known.contains(f))
            .filter_map(Value::as_str)
            .collect();
        added.sort_unstable();
        added.dedup();
        if !added.is_empty() {
            let shown: Vec<String> = added.iter().map(|f| super::error::quote(f)).collect();
            errors.push(FieldError::forbidden(
                &path.child("finalizers"),
                format!(
                    "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
                    shown.join(", ")
                ),
            ));
        }
    }
    if text(meta, "resourceVersion").is_empty() {
        errors.push(FieldError::invalid_str(
            &path.child("resourceVersion"),
            "",
            "must be specified for an update",
        ));
    }
    if meta["generation"].as_i64().unwrap_or(0) < old["generation"].as_i64().unwrap_or(0) {
        errors.push(FieldError::invalid(
            &path.child("generation"),
            &json!(meta["generation"].as_i64().unwrap_or(0)),
            "must not be decremented",
        ));
    }
    for field in [
        "name",
        "namespace",
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
    ] {
        if meta[field] != old[field] {
            errors.push(FieldError::invalid(
                &path.child(field),
                &meta[field],
                IMMUTABLE,
            ));
        }
    }
    labels(&meta["labels"], &path.child("labels"), &mut errors);
    annotations(
        &meta["annotations"],
        &path.child("annotations"),
        &mut errors,
    );
    owner_references(
        &meta["ownerReferences"],
        &path.child("ownerReferences"),
        &mut errors,
    );
    managed_fields(
        &meta["managedFields"],
        &path.child("managedFields"),
        &mut errors,
    );
    errors
}

/// Labels, in sorted order (the server's order is that of a Go map: any).
pub(crate) fn labels(labels: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    for (key, value) in value::sorted(labels) {
        errors.extend(
            rules::qualified_name(key)
                .into_iter()
                .map(|m| FieldError::invalid_str(path, key, m)),
        );
        let value = value.as_str().unwrap_or_default();
        errors.extend(
            rules::label_value(value)
                .into_iter()
                .map(|m| FieldError::invalid_str(path, value, m)),
        );
    }
}

pub(crate) fn annotations(annotations: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let mut size = 0;
    for (key, value) in value::sorted(annotations) {
        size += key.len() + value.as_str().map_or(0, str::len);
        let lower = key.to_lowercase();
        errors.extend(
            rules::qualified_name(&lower)
                .into_iter()
                .map(|m| FieldError::invalid_str(path, key, m)),
        );
    }
    if size > ANNOTATIONS_SIZE {
        errors.push(FieldError::too_long(path, ANNOTATIONS_SIZE));
    }
}

fn owner_references(references: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let mut controller: Option<String> = None;
    for reference in value::items(references) {
        let (api_version, kind, name) = (
            text(reference, "apiVersion"),
            text(reference, "kind"),
            text(reference, "name"),
        );
        if api_version
            .rsplit('/')
            .next()
            .unwrap_or_default()
            .is_empty()
        {
            errors.push(FieldError::invalid_str(
                &path.child("apiVersion"),
                api_version,
                "version must not be empty",
            ));
        }
        for (field, value) in [
            ("kind", kind),
            ("name", name),
            ("uid", text(reference, "uid")),
        ] {
            if value.is_empty() {
                errors.push(FieldError::invalid_str(
                    &path.child(field),
                    "",
                    "must not be empty",
                ));
            }
        }
        if api_version == "v1" && kind == "Event" {
            let shown = owner_reference_json(reference);
            errors.push(FieldError::invalid_raw(
                path,
                shown,
                "/v1, Kind=Event is disallowed from being an owner",
            ));
        }
        if reference["controller"] == true {
            let current = format!("{kind}/{name}");
            match &controller {
                None => controller = Some(current),
                Some(first) => {
                    let all: Vec<String> = value::items(references)
                        .iter()
                        .map(owner_reference_json)
                        .collect();
                    errors.push(FieldError::invalid_raw(
                        path,
                        format!("[{}]", all.join(",")),
                        format!(
                            "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {current}"
                        ),
                    ));
                }
            }
        }
    }
}

/// An owner reference as Go marshals it: members in the order of the struct.
fn owner_reference_json(reference: &Value) -> String {
    let mut parts = Vec::new();
    for field in ["apiVersion", "kind", "name", "uid"] {
        parts.push(format!(
            "\"{field}\":{}",
            super::error::json_string(text(reference, field))
        ));
    }
    for field in ["controller", "blockOwnerDeletion"] {
        if let Some(set) = reference[field].as_bool() {
            parts.push(format!("\"{field}\":{set}"));
        }
    }
    format!("{{{}}}", parts.join(","))
}

fn finalizers(finalizers: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let all: Vec<&str> = value::items(finalizers)
        .iter()
        .filter_map(Value::as_str)
        .collect();
    for finalizer in &all {
        errors.extend(
            rules::qualified_name(finalizer)
                .into_iter()
                .map(|m| FieldError::invalid_str(path, finalizer, m)),
        );
    }
    if all.contains(&"orphan") && all.contains(&"foregroundDeletion") {
        errors.push(FieldError::invalid(
            path,
            finalizers,
            "finalizer orphan and foregroundDeletion cannot be both set",
        ));
    }
}

/// Finalizers without a domain must be one of the server's own.
pub(super) fn kube_finalizers(finalizers: &Value, errors: &mut Vec<FieldError>) {
    let path = Path::new("metadata.finalizers");
    for (i, finalizer) in value::items(finalizers)
        .iter()
        .filter_map(Value::as_str)
        .enumerate()
    {
        if !finalizer.contains('/')
            && !matches!(finalizer, "kubernetes" | "orphan" | "foregroundDeletion")
        {
            errors.push(FieldError::invalid_str(
                &path.index(i),
                finalizer,
                "name is neither a standard finalizer name nor is it fully qualified",
            ));
        }
    }
}

fn managed_fields(entries: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    for (i, entry) in value::items(entries).iter().enumerate() {
        let at = path.index(i);
        let operation = text(entry, "operation");
        if !matches!(operation, "Apply" | "Update") {
            errors.push(FieldError::invalid_str(
                &at.child("operation"),
                operation,
                "must be `Apply` or `Update`",
            ));
        }
        let fields_type = text(entry, "fieldsType");
        if !matches!(fields_type, "" | "FieldsV1") {
            errors.push(FieldError::invalid_str(
                &at.child("fieldsType"),
                fields_type,
                "must be `FieldsV1`",
            ));
        }
        if text(entry, "manager").len() > 128 {
            errors.push(FieldError::too_long(&at.child("manager"), 128));
        }
        if text(entry, "subresource").len() > 256 {
            errors.push(FieldError::too_long(&at.child("subresource"), 256));
        }
    }
}

/// A label selector.
pub(crate) fn label_selector(selector: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    if selector.is_null() {
        return;
    }
    labels(&selector["matchLabels"], &path.child("matchLabels"), errors);
    for (i, requirement) in value::items(&selector["matchExpressions"])
        .iter()
        .enumerate()
    {
        let at = path.child("matchExpressions").index(i);
        let values = value::items(&requirement["values"]);
        match text(requirement, "operator") {
            "In" | "NotIn" => {
                if values.is_empty() {
                    errors.push(FieldError::required(
                        &at.child("values"),
                        "must be specified when `operator` is 'In' or 'NotIn'",
                    ));
                }
            }
            "Exists" | "DoesNotExist" => {
                if !values.is_empty() {
                    errors.push(FieldError::forbidden(
                        &at.child("values"),
                        "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
                    ));
                }
            }
            other => {
                errors.push(FieldError::invalid_str(
                    &at.child("operator"),
                    other,
                    "not a valid selector operator",
                ));
            }
        }
        let key = text(requirement, "key");
        errors.extend(
            rules::qualified_name(key)
                .into_iter()
                .map(|m| FieldError::invalid_str(&at.child("key"), key, m)),
        );
        for (j, value) in values.iter().filter_map(Value::as_str).enumerate() {
            errors.extend(
                rules::label_value(value)
                    .into_iter()
                    .map(|m| FieldError::invalid_str(&at.child("values").index(j), value, m)),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(meta: Value, namespaced: bool) -> Vec<String> {
        validate_metadata(
            &json!({"metadata": meta}),
            namespaced,
            NameRule::Subdomain,
            true,
        )
        .iter()
        .map(ToString::to_string)
        .collect()
    }

    #[test]
    fn a_plain_object_passes() {
        assert!(
            messages(
                json!({"name": "a.b", "namespace": "n", "generateName": "a-"}),
                true
            )
            .is_empty()
        );
        assert!(
            messages(
                json!({"name": "a", "finalizers": ["example.com/x", "orphan"]}),
                false
            )
            .is_empty()
        );
    }

    #[test]
    fn each_rule_is_reported_where_it_is_broken() {
        for (meta, start) in [
            (
                json!({}),
                "metadata.name: Required value: name or generateName is required",
            ),
            (
                json!({"name": "A"}),
                "metadata.name: Invalid value: \"A\": a lowercase RFC 1123 subdomain",
            ),
            (
                json!({"name": "a", "namespace": "n"}),
                "metadata.namespace: Forbidden: not allowed on this type",
            ),
            (
                json!({"name": "a", "generation": -1}),
                "metadata.generation: Invalid value: -1: must be greater than",
            ),
            (
                json!({"name": "a", "labels": {"a b": "c"}}),
                "metadata.labels: Invalid value: \"a b\": name part must",
            ),
            (
                json!({"name": "a", "finalizers": ["x"]}),
                "metadata.finalizers[0]: Invalid value: \"x\": name is neither",
            ),
            (
                json!({"name": "a", "annotations": {"a": "x".repeat(300_000)}}),
                "metadata.annotations: Too long: may not be more than 262144 bytes",
            ),
        ] {
            let found = messages(meta.clone(), false);
            assert!(
                found.len() == 1 && found[0].starts_with(start),
                "{meta}: {found:?}"
            );
        }
    }

    #[test]
    fn what_identifies_an_object_is_immutable() {
        let old =
            json!({"metadata": {"name": "a", "uid": "1", "resourceVersion": "1", "generation": 2}});
        let mut new = old.clone();
        assert!(validate_metadata_update(&new, &old).is_empty());
        new["metadata"]["uid"] = json!("2");
        new["metadata"]["generation"] = json!(1);
        let found: Vec<_> = validate_metadata_update(&new, &old)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            found,
            [
                "metadata.generation: Invalid value: 1: must not be decremented",
                "metadata.uid: Invalid value: \"2\": field is immutable"
            ]
        );
    }
}
