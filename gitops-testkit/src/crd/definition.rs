//! What the server sets and demands in a CustomResourceDefinition.

use serde_json::{Value, json};

use crate::kinds::{
    FieldError, Path, dns_1035, internal_dump, is_subdomain,
    value::{items, items_mut, member, object, remove, set, set_default, text, unset},
};

use super::structural;

const IMMUTABLE: &str = "field is immutable";

/// Sets what a client left out of a definition: list kind, singular, conversion.
pub(crate) fn default_definition(obj: &mut Value) {
    let Some(spec) = object(obj, "spec") else {
        return;
    };
    if let Some(names) = object(spec, "names") {
        let kind = text(names, "kind").to_owned();
        if !kind.is_empty() {
            set_default(names, "singular", kind.to_lowercase());
            set_default(names, "listKind", format!("{kind}List"));
        }
    }
    if let Some(conversion) = object(spec, "conversion") {
        set_default(conversion, "strategy", "None");
        let service = member(conversion, "webhook")
            .and_then(|w| member(w, "clientConfig"))
            .and_then(|c| member(c, "service"));
        if let Some(service) = service
            && unset(service, "port")
        {
            set(service, "port", 443);
        }
    }
    for version in items_mut(spec, "versions") {
        if items(&version["additionalPrinterColumns"]).is_empty() {
            remove(version, "additionalPrinterColumns");
        }
    }
}

fn storage_version(obj: &Value) -> Option<&str> {
    items(&obj["spec"]["versions"])
        .iter()
        .find(|v| v["storage"] == true)
        .map(|v| text(v, "name"))
}

/// A new definition starts without conditions, with its storage version as the stored one.
pub(crate) fn prepare_create(obj: &mut Value) {
    match storage_version(obj).map(str::to_owned) {
        Some(stored) => set(obj, "status", json!({"storedVersions": [stored]})),
        None => {
            remove(obj, "status");
        }
    }
}

/// An update keeps the status; a new storage version joins the stored ones.
pub(crate) fn prepare_update(obj: &mut Value, _old: &Value) {
    let Some(storage) = storage_version(obj).map(str::to_owned) else {
        return;
    };
    let known = items(&obj["status"]["storedVersions"])
        .iter()
        .any(|v| *v == *storage);
    if known {
        return;
    }
    if let Some(status) = object(obj, "status") {
        let mut versions = items(&status["storedVersions"]).to_vec();
        versions.push(json!(storage));
        set(status, "storedVersions", Value::Array(versions));
    }
}

/// What all versions share, which the server keeps and names at the top of `spec`.
struct Shared<'a> {
    schema: Option<&'a Value>,
    subresources: Option<&'a Value>,
    columns: Option<&'a Value>,
    selectable: Option<&'a Value>,
}

impl<'a> Shared<'a> {
    fn of(spec: &'a Value) -> Self {
        let versions = items(&spec["versions"]);
        let same = |key: &str| -> Option<&'a Value> {
            let first = versions.first()?.get(key)?;
            versions
                .iter()
                .all(|v| v.get(key) == Some(first))
                .then_some(first)
        };
        Self {
            schema: same("schema"),
            subresources: same("subresources"),
            columns: same("additionalPrinterColumns"),
            selectable: same("selectableFields"),
        }
    }
}

/// Checks a new definition, metadata left out except for the name.
pub(crate) fn validate_definition(obj: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    validate(obj, &mut errors);
    errors
}

/// The rule for the name of a definition, which comes with the metadata.
pub(crate) fn validate_name(obj: &Value) -> Option<FieldError> {
    let (name, spec) = (text(&obj["metadata"], "name"), &obj["spec"]);
    let wanted = format!("{}.{}", text(&spec["names"], "plural"), text(spec, "group"));
    (!name.is_empty() && name != wanted).then(|| {
        FieldError::invalid_str(
            &Path::new("metadata.name"),
            name,
            "must be spec.names.plural+\".\"+spec.group",
        )
    })
}

fn validate(obj: &Value, errors: &mut Vec<FieldError>) {
    let path = Path::new("spec");
    let spec = &obj["spec"];
    let group = text(spec, "group");
    if group.is_empty() {
        errors.push(FieldError::required(&path.child("group"), ""));
    } else if !is_subdomain(group) {
        errors.push(FieldError::invalid_str(
            &path.child("group"),
            group,
            crate::kinds::dns_subdomain(group).join(","),
        ));
    } else if !group.contains('.') {
        errors.push(FieldError::invalid_str(
            &path.child("group"),
            group,
            "should be a domain with at least one dot",
        ));
    }
    match text(spec, "scope") {
        "" => errors.push(FieldError::required(&path.child("scope"), "")),
        "Cluster" | "Namespaced" => {}
        other => errors.push(FieldError::not_supported(
            &path.child("scope"),
            &json!(other),
            &["Cluster", "Namespaced"],
        )),
    }
    let shared = Shared::of(spec);
    versions(spec, &shared, &path, errors);
    names(&spec["names"], &path.child("names"), true, errors);
    if let Some(schema) = shared
        .schema
        .map(|s| &s["openAPIV3Schema"])
        .filter(|s| !s.is_null())
    {
        errors.extend(structural::validate(
            schema,
            &path.child("validation").child("openAPIV3Schema"),
        ));
    }
    if let Some(subresources) = shared.subresources {
        scale(
            &subresources["scale"],
            &path.child("subresources").child("scale"),
            errors,
        );
    }
    if let Some(all) = shared.columns {
        columns(all, &path.child("additionalPrinterColumns"), errors);
    }
    if let Some(all) = shared.selectable {
        let schema = items(&spec["versions"])
            .first()
            .map_or(&Value::Null, |v| &v["schema"]["openAPIV3Schema"]);
        selectable(all, schema, &path.child("selectableFields"), errors);
    }
    conversion(&spec["conversion"], &path.child("conversion"), errors);
    if !items(&obj["status"]["conditions"]).is_empty()
        || !text(&obj["status"]["acceptedNames"], "plural").is_empty()
    {
        names(
            &obj["status"]["acceptedNames"],
            &Path::new("status.acceptedNames"),
            false,
            errors,
        );
    }
    stored_versions(obj, errors);
    approval(obj, group, errors);
    if spec["preserveUnknownFields"] == true {
        errors.push(FieldError::invalid(
            &path.child("preserveUnknownFields"),
            &json!(true),
            "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead",
        ));
    }
}

/// Versions as the server prints them: what they share is printed elsewhere.
fn printed_versions(spec: &Value, shared: &Shared<'_>) -> String {
    let parts: Vec<String> = items(&spec["versions"])
        .iter()
        .map(|version| {
            let mut version = version.clone();
            for (key, hoisted) in [
                ("schema", shared.schema.is_some()),
                ("subresources", shared.subresources.is_some()),
                ("additionalPrinterColumns", shared.columns.is_some()),
                ("selectableFields", shared.selectable.is_some()),
            ] {
                if hoisted {
                    remove(&mut version, key);
                }
            }
            internal_dump("apiextensions.v1.CustomResourceDefinitionVersion", &version)
        })
        .collect();
    format!("[{}]", parts.join(","))
}

fn versions(spec: &Value, shared: &Shared<'_>, path: &Path, errors: &mut Vec<FieldError>) {
    let all = items(&spec["versions"]);
    let at = path.child("versions");
    let bad_name = |name: &str| dns_1035(name).join(",");
    for (i, version) in all.iter().enumerate() {
        let at = at.index(i);
        let name = text(version, "name");
        let wrong = bad_name(name);
        if !wrong.is_empty() {
            errors.push(FieldError::invalid_str(&at.child("name"), name, wrong));
        }
        if !unset(version, "deprecationWarning") && version["deprecated"] != true {
            errors.push(FieldError::invalid(
                &at.child("deprecationWarning"),
                &version["deprecationWarning"],
                "can only be set for deprecated versions",
            ));
        }
        let schema = &version["schema"]["openAPIV3Schema"];
        if schema.is_null() {
            errors.push(FieldError::required(
                &at.child("schema").child("openAPIV3Schema"),
                "",
            ));
        } else if shared.schema.is_none() {
            errors.extend(structural::validate(
                schema,
                &at.child("schema").child("openAPIV3Schema"),
            ));
        }
        if shared.subresources.is_none() {
            scale(
                &version["subresources"]["scale"],
                &at.child("subresources").child("scale"),
                errors,
            );
        }
        if shared.columns.is_none() {
            columns(
                &version["additionalPrinterColumns"],
                &at.child("additionalPrinterColumns"),
                errors,
            );
        }
        if shared.selectable.is_none() {
            selectable(
                &version["selectableFields"],
                schema,
                &at.child("selectableFields"),
                errors,
            );
        }
    }
    let storage = all.iter().filter(|v| v["storage"] == true).count();
    if storage != 1 {
        errors.push(FieldError::invalid_raw(
            &at,
            printed_versions(spec, shared),
            "must have exactly one version marked as storage version",
        ));
    }
    let twice = all
        .iter()
        .enumerate()
        .any(|(i, v)| all.iter().take(i).any(|o| o["name"] == v["name"]));
    if twice {
        errors.push(FieldError::invalid_raw(
            &at,
            printed_versions(spec, shared),
            "must contain unique version names",
        ));
    }
    if let Some(first) = all.first().map(|v| text(v, "name")) {
        let wrong = bad_name(first);
        if !first.is_empty() && !wrong.is_empty() {
            errors.push(FieldError::invalid_str(
                &path.child("version"),
                first,
                wrong,
            ));
        }
    }
}

fn names(names: &Value, path: &Path, required: bool, errors: &mut Vec<FieldError>) {
    if required {
        for key in ["plural", "singular", "kind", "listKind"] {
            // The server derives what depends on the kind; without a kind only that is missing.
            let derived = matches!(key, "singular" | "listKind") && text(names, "kind").is_empty();
            if text(names, key).is_empty() && !derived {
                errors.push(FieldError::required(&path.child(key), ""));
            }
        }
    }
    for key in ["plural", "singular", "kind", "listKind"] {
        let name = text(names, key);
        if name.is_empty() {
            continue;
        }
        let mixed = matches!(key, "kind" | "listKind");
        let wrong = if mixed {
            dns_1035(&name.to_lowercase())
        } else {
            dns_1035(name)
        };
        if !wrong.is_empty() {
            let prefix = if mixed {
                "may have mixed case, but should otherwise match: "
            } else {
                ""
            };
            errors.push(FieldError::invalid_str(
                &path.child(key),
                name,
                format!("{prefix}{}", wrong.join(",")),
            ));
        }
    }
    let list = |key: &str, errors: &mut Vec<FieldError>| {
        for (i, name) in items(&names[key])
            .iter()
            .filter_map(Value::as_str)
            .enumerate()
        {
            let wrong = dns_1035(name);
            if !wrong.is_empty() {
                errors.push(FieldError::invalid_str(
                    &path.child(key).index(i),
                    name,
                    wrong.join(","),
                ));
            }
        }
    };
    list("shortNames", errors);
    if !text(names, "kind").is_empty() && text(names, "kind") == text(names, "listKind") {
        errors.push(FieldError::invalid_str(
            &path.child("listKind"),
            text(names, "listKind"),
            "kind and listKind may not be the same",
        ));
    }
    list("categories", errors);
}

/// A path such as `.spec.replicas`: names and indexes, no filters.
fn simple_path(path: &str, at: &Path, errors: &mut Vec<FieldError>) -> bool {
    let balanced = path.matches('[').count() == path.matches(']').count();
    let fine = path.starts_with('.')
        && balanced
        && !path.contains(['{', '}', '*', '?', '$', ' '])
        && !path.contains("..");
    if !fine {
        errors.push(FieldError::invalid_str(
            at,
            path,
            "must be a simple json path starting with .",
        ));
    }
    fine
}

fn scale(scale: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    if scale.is_null() {
        return;
    }
    for (key, roots) in [
        ("specReplicasPath", &[".spec"][..]),
        ("statusReplicasPath", &[".status"]),
        ("labelSelectorPath", &[".spec", ".status"]),
    ] {
        let value = text(scale, key);
        let at = path.child(key);
        if value.is_empty() {
            if key != "labelSelectorPath" {
                errors.push(FieldError::required(&at, ""));
            }
            continue;
        }
        if simple_path(value, &at, errors)
            && !roots.iter().any(|r| value.starts_with(&format!("{r}.")))
        {
            errors.push(FieldError::invalid_str(
                &at,
                value,
                format!("should be a json path under {}", roots.join(" or ")),
            ));
        }
    }
}

fn columns(columns: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    for (i, column) in items(columns).iter().enumerate() {
        let at = path.index(i);
        if text(column, "name").is_empty() {
            errors.push(FieldError::required(&at.child("name"), ""));
        }
        let kind = text(column, "type");
        if kind.is_empty() {
            errors.push(FieldError::required(
                &at.child("type"),
                "must be one of boolean,date,integer,number,string",
            ));
        } else if !matches!(kind, "boolean" | "date" | "integer" | "number" | "string") {
            errors.push(FieldError::invalid_str(
                &at.child("type"),
                kind,
                "must be one of boolean,date,integer,number,string",
            ));
        }
        const FORMATS: [&str; 11] = [
            "binary",
            "byte",
            "date",
            "date-time",
            "double",
            "float",
            "int32",
            "int64",
            "password",
            "uuid",
            "",
        ];
        let format = text(column, "format");
        if !FORMATS.contains(&format) {
            errors.push(FieldError::invalid_str(
                &at.child("format"),
                format,
                "must be one of binary,byte,date,date-time,double,float,int32,int64,password",
            ));
        }
        let json_path = text(column, "jsonPath");
        if json_path.is_empty() {
            errors.push(FieldError::required(&at.child("JSONPath"), ""));
        } else if !json_path.starts_with('.')
            || json_path.matches('[').count() != json_path.matches(']').count()
        {
            errors.push(FieldError::invalid_str(
                &at.child("JSONPath"),
                json_path,
                "must be a simple json path starting with .",
            ));
        }
    }
}

fn selectable(fields: &Value, schema: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let all = items(fields);
    if all.len() > 8 {
        errors.push(FieldError::too_many(path, all.len(), 8));
    }
    for (i, field) in all.iter().enumerate() {
        let at = path.index(i).child("jsonPath");
        let json_path = text(field, "jsonPath");
        if json_path.is_empty() {
            errors.push(FieldError::required(&at, ""));
            continue;
        }
        let first = json_path
            .trim_start_matches('.')
            .split('.')
            .next()
            .unwrap_or_default();
        let mut target = schema;
        for name in json_path.trim_start_matches('.').split('.') {
            target = &target["properties"][name];
        }
        let known = json_path.starts_with('.') && first != "metadata" && !target.is_null();
        if !known {
            errors.push(FieldError::invalid_str(
                &at,
                json_path,
                "is an invalid path: does not refer to a valid field",
            ));
        } else if !matches!(text(target, "type"), "string" | "boolean" | "integer") {
            errors.push(FieldError::invalid_str(
                &at,
                json_path,
                "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.",
            ));
        } else if all
            .iter()
            .take(i)
            .any(|f| f["jsonPath"] == field["jsonPath"])
        {
            errors.push(FieldError::duplicate(&at, &json!(json_path)));
        }
    }
}

fn conversion(conversion: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    match text(conversion, "strategy") {
        "" => errors.push(FieldError::required(&path.child("strategy"), "")),
        "None" => {
            if !unset(conversion, "webhook") {
                errors.push(FieldError::forbidden(
                    &path.child("webhookClientConfig"),
                    "should not be set when strategy is not set to Webhook",
                ));
            }
        }
        "Webhook" => {
            let webhook = &conversion["webhook"];
            if unset(webhook, "clientConfig") {
                errors.push(FieldError::required(
                    &path.child("webhookClientConfig"),
                    "required when strategy is set to Webhook",
                ));
            }
            let versions = items(&webhook["conversionReviewVersions"]);
            let at = path.child("conversionReviewVersions");
            if versions.is_empty() {
                errors.push(FieldError::required(&at, ""));
            } else if !versions.iter().any(|v| v == "v1" || v == "v1beta1") {
                errors.push(FieldError::invalid(
                    &at,
                    &webhook["conversionReviewVersions"],
                    "must include at least one of v1, v1beta1",
                ));
            }
        }
        other => errors.push(FieldError::not_supported(
            &path.child("strategy"),
            &json!(other),
            &["None", "Webhook"],
        )),
    }
}

fn stored_versions(obj: &Value, errors: &mut Vec<FieldError>) {
    let at = Path::new("status.storedVersions");
    let value = &obj["status"]["storedVersions"];
    let stored = items(value);
    if stored.is_empty() {
        errors.push(FieldError::invalid(
            &at,
            &Value::Null,
            "must have at least one stored version",
        ));
        return;
    }
    let versions = items(&obj["spec"]["versions"]);
    for (i, name) in stored.iter().filter_map(Value::as_str).enumerate() {
        if !versions.iter().any(|v| text(v, "name") == name) {
            errors.push(FieldError::invalid_str(
                &at.index(i),
                name,
                format!(
                    "missing from spec.versions; {name} was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in {name} and removes {name} from status.storedVersions"
                ),
            ));
        }
    }
    if let Some(storage) = versions.iter().rev().find(|v| v["storage"] == true)
        && !stored.contains(&storage["name"])
    {
        errors.push(FieldError::invalid(
            &at,
            value,
            format!("must have the storage version {}", text(storage, "name")),
        ));
    }
}

fn approval(obj: &Value, group: &str, errors: &mut Vec<FieldError>) {
    const KEY: &str = "api-approved.kubernetes.io";
    let protected = ["k8s.io", "kubernetes.io"]
        .iter()
        .any(|g| group == *g || group.ends_with(&format!(".{g}")));
    if !protected {
        return;
    }
    let at = Path::new("metadata.annotations").key(KEY);
    let value = text(&obj["metadata"]["annotations"], KEY);
    if value.is_empty() {
        errors.push(FieldError::required(
            &at,
            "protected groups must have approval annotation \"api-approved.kubernetes.io\", see https://github.com/kubernetes/enhancements/pull/1111",
        ));
    } else if !value.starts_with("unapproved") && !value.contains("://") {
        errors.push(FieldError::invalid_str(
            &at,
            value,
            "protected groups must have approval annotation \"api-approved.kubernetes.io\" with either a URL or a reason starting with \"unapproved\", see https://github.com/kubernetes/enhancements/pull/1111",
        ));
    }
}

/// Checks a changed definition: what names its objects may not change once they were served.
pub(crate) fn validate_definition_update(obj: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    validate(obj, &mut errors);
    let established = items(&old["status"]["conditions"])
        .iter()
        .any(|c| c["type"] == "Established" && c["status"] == "True");
    let path = Path::new("spec");
    if established {
        let (new_spec, old_spec) = (&obj["spec"], &old["spec"]);
        for (at, new, old) in [
            (path.child("scope"), &new_spec["scope"], &old_spec["scope"]),
            (
                path.child("names").child("kind"),
                &new_spec["names"]["kind"],
                &old_spec["names"]["kind"],
            ),
        ] {
            if new != old {
                errors.push(FieldError::invalid(&at, new, IMMUTABLE));
            }
        }
    }
    for (at, new, old) in [
        (
            path.child("group"),
            &obj["spec"]["group"],
            &old["spec"]["group"],
        ),
        (
            path.child("names").child("plural"),
            &obj["spec"]["names"]["plural"],
            &old["spec"]["names"]["plural"],
        ),
    ] {
        if new != old {
            errors.push(FieldError::invalid(&at, new, IMMUTABLE));
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition() -> Value {
        json!({"metadata": {"name": "as.example.com"}, "spec": {"group": "example.com", "scope": "Namespaced",
            "names": {"plural": "as", "kind": "A"}, "versions": [{"name": "v1", "served": true, "storage": true,
            "schema": {"openAPIV3Schema": {"type": "object"}}}]}})
    }

    fn messages(change: impl FnOnce(&mut Value)) -> Vec<String> {
        let mut obj = definition();
        default_definition(&mut obj);
        change(&mut obj);
        prepare_create(&mut obj);
        validate_name(&obj)
            .into_iter()
            .chain(validate_definition(&obj))
            .map(|e| e.to_string())
            .collect()
    }

    #[test]
    fn a_plain_definition_is_valid_and_completed() {
        assert_eq!(messages(|_| {}), Vec::<String>::new());
        let mut obj = definition();
        default_definition(&mut obj);
        assert_eq!(
            obj["spec"]["names"],
            json!({"plural": "as", "kind": "A", "singular": "a", "listKind": "AList"})
        );
        assert_eq!(obj["spec"]["conversion"]["strategy"], "None");
    }

    #[test]
    fn each_broken_rule_is_reported() {
        assert_eq!(
            messages(|o| o["spec"]["scope"] = json!("Galactic")).len(),
            1
        );
        assert_eq!(
            messages(|o| o["spec"]["versions"][0]["storage"] = json!(false)),
            [
                "spec.versions: Invalid value: [{\"Name\":\"v1\",\"Served\":true,\"Storage\":false,\"Deprecated\":false,\"DeprecationWarning\":null,\"Schema\":null,\"Subresources\":null,\"AdditionalPrinterColumns\":null,\"SelectableFields\":null}]: must have exactly one version marked as storage version",
                "status.storedVersions: Invalid value: null: must have at least one stored version",
            ]
        );
        assert_eq!(
            messages(|o| o["spec"]["versions"][0]["schema"]["openAPIV3Schema"] =
                json!({"properties": {"a": {}}})),
            [
                "spec.validation.openAPIV3Schema.properties[a].type: Required value: must not be empty for specified object fields",
                "spec.validation.openAPIV3Schema.type: Required value: must not be empty at the root"
            ]
        );
    }
}
