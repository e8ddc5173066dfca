//! Whether the schema of a definition is a structural one.
//!
//! The rules are those of [structural schemas](https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema).

use serde_json::{Value, json};

use crate::kinds::{
    FieldError, Path,
    value::{items, sorted, text, unset},
};

use super::schema::{Schema, compile};

const TYPES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];
const REASONS: [&str; 4] = [
    "FieldValueDuplicate",
    "FieldValueForbidden",
    "FieldValueInvalid",
    "FieldValueRequired",
];

/// Checks the `openAPIV3Schema` at `path`.
pub(super) fn validate(schema: &Value, path: &Path) -> Vec<FieldError> {
    let mut errors = Vec::new();
    general(schema, path, &mut errors);
    if errors.is_empty() {
        structure(schema, Place::Root, path, &mut errors);
    }
    if errors.is_empty() {
        defaults(schema, path, &mut errors);
    }
    errors
}

/// The schemas within a schema, with their paths.
fn children<'a>(schema: &'a Value, path: &Path) -> Vec<(&'a Value, Path)> {
    let mut out = Vec::new();
    for (key, property) in sorted(&schema["properties"]) {
        out.push((property, path.child("properties").key(key)));
    }
    for key in ["items", "additionalProperties", "not"] {
        if schema[key].is_object() {
            out.push((&schema[key], path.child(key)));
        }
    }
    for key in ["allOf", "anyOf", "oneOf"] {
        for (i, part) in items(&schema[key]).iter().enumerate() {
            out.push((part, path.child(key).index(i)));
        }
    }
    out
}

fn general(schema: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    if schema["uniqueItems"] == true {
        errors.push(FieldError::forbidden(
            &path.child("uniqueItems"),
            "uniqueItems cannot be set to true since the runtime complexity becomes quadratic",
        ));
    }
    let additional = &schema["additionalProperties"];
    if !additional.is_null() {
        let at = path.child("additionalProperties");
        if *additional == false {
            errors.push(FieldError::forbidden(
                &at,
                "additionalProperties cannot be set to false",
            ));
        } else if !sorted(&schema["properties"]).is_empty() {
            errors.push(FieldError::forbidden(
                &at,
                "additionalProperties and properties are mutual exclusive",
            ));
        }
    }
    for (child, at) in children(schema, path) {
        general(child, &at, errors);
    }
    let kind = text(schema, "type");
    if !kind.is_empty() && !TYPES.contains(&kind) {
        errors.push(FieldError::not_supported(
            &path.child("type"),
            &json!(kind),
            &TYPES,
        ));
    }
    if !unset(schema, "$ref") {
        errors.push(FieldError::forbidden(
            &path.child("$ref"),
            "$ref is not supported",
        ));
    }
    for key in ["definitions", "dependencies", "patternProperties"] {
        if !sorted(&schema[key]).is_empty() {
            errors.push(FieldError::forbidden(
                &path.child(key),
                format!("{key} is not supported"),
            ));
        }
    }
    for key in ["id", "additionalItems"] {
        if !unset(schema, key) {
            errors.push(FieldError::forbidden(
                &path.child(key),
                format!("{key} is not supported"),
            ));
        }
    }
    if schema["items"].is_array() {
        errors.push(FieldError::forbidden(
            &path.child("items"),
            "items must be a schema object and not an array",
        ));
    }
    if schema["x-kubernetes-preserve-unknown-fields"] == false {
        errors.push(FieldError::invalid(
            &path.child("x-kubernetes-preserve-unknown-fields"),
            &json!(false),
            "must be true or undefined",
        ));
    }
    if let Some(pattern) = schema["pattern"].as_str()
        && let Err(error) = compile(pattern)
    {
        let reason = error.to_string();
        let reason = reason
            .lines()
            .last()
            .unwrap_or_default()
            .trim_start_matches("error: ")
            .to_owned();
        errors.push(FieldError::invalid_str(
            &path.child("pattern"),
            pattern,
            format!("must be a valid regular expression, but isn't: {reason}"),
        ));
    }
    list_and_map(schema, path, errors);
    rules(schema, path, errors);
}

fn list_and_map(schema: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let kind = text(schema, "type");
    let list = text(schema, "x-kubernetes-list-type");
    let at = path.child("x-kubernetes-list-type");
    if !list.is_empty() {
        if kind != "array" {
            if kind.is_empty() {
                errors.push(FieldError::required(
                    &path.child("type"),
                    "must be array if x-kubernetes-list-type is specified",
                ));
            } else {
                errors.push(FieldError::invalid_str(
                    &path.child("type"),
                    kind,
                    "must be array if x-kubernetes-list-type is specified",
                ));
            }
        }
        if !matches!(list, "atomic" | "set" | "map") {
            errors.push(FieldError::not_supported(
                &at,
                &json!(list),
                &["atomic", "set", "map"],
            ));
        }
    }
    let keys = &schema["x-kubernetes-list-map-keys"];
    let keys_at = path.child("x-kubernetes-list-map-keys");
    let element = &schema["items"];
    let items_at = path.child("items");
    if !items(keys).is_empty() && list != "map" {
        if list.is_empty() {
            errors.push(FieldError::required(
                &at,
                "must be map if x-kubernetes-list-map-keys is non-empty",
            ));
        } else {
            errors.push(FieldError::invalid_str(
                &at,
                list,
                "must be map if x-kubernetes-list-map-keys is non-empty",
            ));
        }
    }
    if list == "map" {
        if items(keys).is_empty() {
            errors.push(FieldError::required(
                &keys_at,
                "must not be empty if x-kubernetes-list-type is map",
            ));
        }
        if element.is_null() {
            errors.push(FieldError::required(
                &items_at,
                "must have a schema if x-kubernetes-list-type is map",
            ));
        } else if text(element, "type") != "object" {
            errors.push(FieldError::invalid_str(
                &items_at.child("type"),
                text(element, "type"),
                "must be object if parent array's x-kubernetes-list-type is map",
            ));
        }
        let names: Vec<&str> = items(keys).iter().filter_map(Value::as_str).collect();
        if !element.is_null() && names.iter().any(|n| unset(&element["properties"], n)) {
            errors.push(FieldError::invalid(
                &keys_at,
                keys,
                "entries must all be names of item properties",
            ));
        }
        for (i, name) in names.iter().enumerate() {
            if names.iter().take(i).any(|n| n == name) {
                errors.push(FieldError::duplicate(&keys_at.index(i), &json!(name)));
            }
            let property = &element["properties"][*name];
            if property.is_null() {
                continue;
            }
            let required = items(&element["required"]).iter().any(|r| r == name);
            if !required && unset(property, "default") {
                errors.push(FieldError::required(
                    &items_at.child("properties").key(name).child("default"),
                    "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property",
                ));
            }
            if matches!(text(property, "type"), "array" | "object") {
                errors.push(FieldError::invalid_str(
                    &items_at.child("properties").key(name).child("type"),
                    text(property, "type"),
                    "must be a scalar type if parent array's x-kubernetes-list-type is map",
                ));
            }
        }
    }
    if list == "set" && !element.is_null() {
        if element["nullable"] == true {
            errors.push(FieldError::forbidden(
                &items_at.child("nullable"),
                "cannot be nullable when x-kubernetes-list-type is set",
            ));
        }
        match text(element, "type") {
            "array" if text(element, "x-kubernetes-list-type") != "atomic" => {
                let value = element
                    .get("x-kubernetes-list-type")
                    .cloned()
                    .unwrap_or_default();
                errors.push(FieldError::invalid(
                    &items_at.child("x-kubernetes-list-type"),
                    &value,
                    "must be atomic as item of a list with x-kubernetes-list-type=set",
                ));
            }
            "object" if text(element, "x-kubernetes-map-type") != "atomic" => {
                let value = element
                    .get("x-kubernetes-map-type")
                    .cloned()
                    .unwrap_or_default();
                errors.push(FieldError::invalid(
                    &items_at.child("x-kubernetes-map-type"),
                    &value,
                    "must be atomic as item of a list with x-kubernetes-list-type=set",
                ));
            }
            _ => {}
        }
    }
    let map = text(schema, "x-kubernetes-map-type");
    if !map.is_empty() {
        if kind != "object" {
            let at = path.child("type");
            if kind.is_empty() {
                errors.push(FieldError::required(
                    &at,
                    "must be object if x-kubernetes-map-type is specified",
                ));
            } else {
                errors.push(FieldError::invalid_str(
                    &at,
                    kind,
                    "must be object if x-kubernetes-map-type is specified",
                ));
            }
        }
        if !matches!(map, "atomic" | "granular") {
            errors.push(FieldError::not_supported(
                &path.child("x-kubernetes-map-type"),
                &json!(map),
                &["atomic", "granular"],
            ));
        }
    }
}

fn rules(schema: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    for (i, rule) in items(&schema["x-kubernetes-validations"])
        .iter()
        .enumerate()
    {
        let at = path.child("x-kubernetes-validations").index(i);
        if text(rule, "rule").trim().is_empty() {
            errors.push(FieldError::required(
                &at.child("rule"),
                "rule is not specified",
            ));
        } else if let Err(error) = super::rule::check(text(rule, "rule"), schema) {
            errors.push(FieldError::invalid_str(
                &at.child("rule"),
                text(rule, "rule"),
                error,
            ));
        }
        let message = text(rule, "message");
        if !message.is_empty() && message.trim().is_empty() {
            errors.push(FieldError::invalid_str(
                &at.child("message"),
                message,
                "message must be non-empty if specified",
            ));
        } else if message.contains('\n') {
            errors.push(FieldError::invalid_str(
                &at.child("message"),
                message,
                "message must not contain line breaks",
            ));
        } else if text(rule, "rule").contains('\n') && message.is_empty() {
            errors.push(FieldError::required(
                &at.child("message"),
                "message must be specified if rule contains line breaks",
            ));
        }
        let reason = text(rule, "reason");
        if !reason.is_empty() && !REASONS.contains(&reason) {
            errors.push(FieldError::not_supported(
                &at.child("reason"),
                &json!(reason),
                &REASONS,
            ));
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Place {
    Root,
    Field,
    Item,
    /// Within `anyOf`, `oneOf`, `allOf`, `not`.
    Logic,
}

fn structure(schema: &Value, place: Place, path: &Path, errors: &mut Vec<FieldError>) {
    let kind = text(schema, "type");
    if place == Place::Logic {
        for key in [
            "type",
            "description",
            "title",
            "default",
            "additionalProperties",
            "nullable",
        ] {
            if !unset(schema, key) && schema[key] != false && schema[key] != "" {
                let allowed = key == "type" && schema["x-kubernetes-int-or-string"] == true;
                if !allowed {
                    errors.push(FieldError::forbidden(
                        &path.child(key),
                        "must be empty to be structural",
                    ));
                }
            }
        }
        for (child, at) in children(schema, path) {
            structure(child, Place::Logic, &at, errors);
        }
        return;
    }
    for (key, property) in sorted(&schema["properties"]) {
        structure(
            property,
            Place::Field,
            &path.child("properties").key(key),
            errors,
        );
    }
    if schema["items"].is_object() {
        structure(&schema["items"], Place::Item, &path.child("items"), errors);
    }
    if schema["additionalProperties"].is_object() {
        structure(
            &schema["additionalProperties"],
            Place::Field,
            &path.child("additionalProperties"),
            errors,
        );
    }
    let either = schema["x-kubernetes-int-or-string"] == true;
    for (child, at) in children(schema, path) {
        let logical = ["anyOf[", "oneOf[", "allOf[", "not"].iter().any(|p| {
            at.as_str()
                .strip_prefix(path.as_str())
                .is_some_and(|rest| rest.trim_start_matches('.').starts_with(p))
        });
        // An int-or-string may spell its two types out.
        if logical && !(either && sorted(child).iter().all(|(k, _)| *k == "type")) {
            structure(child, Place::Logic, &at, errors);
        }
    }
    let preserve = schema["x-kubernetes-preserve-unknown-fields"] == true;
    if kind.is_empty() && !(place != Place::Root && (either || preserve)) {
        let why = match place {
            Place::Root => "must not be empty at the root",
            Place::Item => "must not be empty for specified array items",
            _ => "must not be empty for specified object fields",
        };
        errors.push(FieldError::required(&path.child("type"), why));
    }
    if place == Place::Root && !kind.is_empty() && kind != "object" {
        errors.push(FieldError::invalid_str(
            &path.child("type"),
            kind,
            "must be object at the root",
        ));
    }
    if kind == "array" && unset(schema, "items") {
        errors.push(FieldError::required(
            &path.child("items"),
            "must be specified",
        ));
    }
    let embedded = schema["x-kubernetes-embedded-resource"] == true;
    if embedded {
        if !kind.is_empty() && kind != "object" {
            errors.push(FieldError::invalid_str(
                &path.child("type"),
                kind,
                "must be object if x-kubernetes-embedded-resource is true",
            ));
        }
        if sorted(&schema["properties"]).is_empty() && !preserve {
            errors.push(FieldError::required(
                &path.child("properties"),
                "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields",
            ));
        }
    }
    if place == Place::Root || embedded {
        object_members(schema, path, errors);
    }
}

/// `metadata`, `apiVersion` and `kind` are the server's; a schema may only narrow the name.
fn object_members(schema: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    let properties = &schema["properties"];
    if let Some(metadata) = properties.get("metadata") {
        let at = path.child("properties").key("metadata");
        let own = sorted(metadata)
            .iter()
            .all(|(k, v)| matches!(*k, "type" | "description" | "properties") || v.is_null());
        let names = sorted(&metadata["properties"])
            .iter()
            .all(|(k, _)| matches!(*k, "name" | "generateName"));
        if !matches!(text(metadata, "type"), "" | "object") {
            errors.push(FieldError::invalid_str(
                &at.child("type"),
                text(metadata, "type"),
                "must be object",
            ));
        }
        if !own || !names {
            errors.push(FieldError::forbidden(
                &at,
                "must not specify anything other than name and generateName, but metadata is implicitly specified",
            ));
        }
    }
    for key in ["apiVersion", "kind"] {
        if let Some(property) = properties.get(key) {
            let kind = text(property, "type");
            if kind != "string" {
                errors.push(FieldError::invalid_str(
                    &path.child("properties").key(key).child("type"),
                    kind,
                    "must be string",
                ));
            }
        }
    }
}

/// Defaults must be valid themselves.
fn defaults(schema: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    for (child, at) in children(schema, path) {
        defaults(child, &at, errors);
    }
    let Some(preset) = schema.get("default") else {
        return;
    };
    if preset.is_null() && schema["nullable"] == true {
        return;
    }
    let at = path.child("default");
    let own = Schema::new(schema);
    let mut pruned = json!({"default": preset});
    let wrapper = json!({"type": "object", "properties": {"default": schema}});
    let unknown = Schema::new(&wrapper).prune(&mut pruned);
    if !unknown.is_empty() {
        errors.push(FieldError::invalid(
            &at,
            preset,
            "must not have unknown fields",
        ));
        return;
    }
    for mut error in own.validate(preset) {
        error.field = if error.field == "<nil>" || error.field.is_empty() {
            at.as_str().to_owned()
        } else {
            format!("{at}.{}", error.field)
        };
        errors.push(error);
    }
}
