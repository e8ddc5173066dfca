//! Whether the schema of a `CustomResourceDefinition` is structural, by the rules of the
//! API server (`k8s.io/apiextensions-apiserver/pkg/apiserver/schema`), as far as they speak
//! of the shape of objects. Patterns, defaults and rules in CEL are not looked at.

use serde_json::{Map, Value};

use super::SchemaError;
use super::openapi::invalid;

/// `Reader::node` has the same limit; this check runs first and mustn't go deeper.
const MAX_DEPTH: usize = 128;

/// What the API server doesn't take anywhere in a schema.
const UNSUPPORTED: &[&str] = &[
    "id",
    "$schema",
    "$ref",
    "patternProperties",
    "dependencies",
    "additionalItems",
    "definitions",
];

/// What only the structure may say, and no part of a value validation.
const STRUCTURE_ONLY: &[&str] = &[
    "type",
    "additionalProperties",
    "default",
    "title",
    "description",
    "nullable",
    "x-kubernetes-preserve-unknown-fields",
    "x-kubernetes-embedded-resource",
    "x-kubernetes-int-or-string",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-list-type",
    "x-kubernetes-map-type",
    "x-kubernetes-validations",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Level {
    Root,
    Item,
    Field,
}

/// Refuses what isn't structural.
///
/// # Errors
///
/// The first thing that isn't, with its path.
pub(super) fn check(schema: &Value, path: &str) -> Result<(), SchemaError> {
    structure(schema, Level::Root, path, 0)?;
    if let Some(metadata) = schema["properties"].get("metadata") {
        root_metadata(metadata, &format!("{path}.properties[metadata]"))?;
    }
    for (part, at) in parts(schema, path) {
        complete(part, Some(schema), path, &at)?;
    }
    Ok(())
}

/// Whether a member says anything: what is empty is taken for absent.
fn is_set(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(_) | Value::Bool(true) | Value::Number(_) => true,
    }
}

fn members<'s>(schema: &'s Value, name: &str) -> impl Iterator<Item = (&'s String, &'s Value)> {
    schema[name].as_object().into_iter().flatten()
}

/// The value validations in a schema, with their paths.
fn parts<'s>(schema: &'s Value, path: &str) -> Vec<(&'s Value, String)> {
    let mut out = Vec::new();
    for name in ["anyOf", "allOf", "oneOf"] {
        for (at, part) in schema[name].as_array().into_iter().flatten().enumerate() {
            out.push((part, format!("{path}.{name}[{at}]")));
        }
    }
    if let Some(not) = schema.get("not").filter(|not| !not.is_null()) {
        out.push((not, format!("{path}.not")));
    }
    out
}

fn supported(schema: &Value, path: &str, depth: usize) -> Result<(), SchemaError> {
    if depth > MAX_DEPTH {
        return Err(SchemaError::TooLarge {
            path: path.to_owned(),
            limit: MAX_DEPTH,
            what: "levels",
        });
    }
    if !schema.is_object() {
        return Err(invalid(path, "expected a schema, which is an object"));
    }
    for name in UNSUPPORTED {
        let empty = schema[*name].as_object().is_some_and(Map::is_empty);
        if is_set(&schema[*name]) && !empty {
            let problem = "is forbidden in a structural schema";
            return Err(invalid(&format!("{path}.{name}"), problem));
        }
    }
    if schema["x-kubernetes-preserve-unknown-fields"] == false {
        return Err(invalid(
            &format!("{path}.x-kubernetes-preserve-unknown-fields"),
            "must be true or undefined",
        ));
    }
    Ok(())
}

fn structure(schema: &Value, level: Level, path: &str, depth: usize) -> Result<(), SchemaError> {
    supported(schema, path, depth)?;
    let bad = |name: &str, problem: &str| Err(invalid(&format!("{path}.{name}"), problem));
    let yes = |name: &str| schema[name] == true;
    let kind = schema["type"].as_str().unwrap_or_default();
    let embedded = yes("x-kubernetes-embedded-resource");
    let int_or_string = yes("x-kubernetes-int-or-string");
    let preserve = yes("x-kubernetes-preserve-unknown-fields");

    if embedded && kind != "object" {
        return bad(
            "type",
            "must be object if x-kubernetes-embedded-resource is true",
        );
    }
    if kind.is_empty() && !int_or_string && !preserve {
        return bad("type", "must be given in a structural schema");
    }
    if level == Level::Root && !kind.is_empty() && kind != "object" {
        return bad("type", "must be object at the root");
    }
    if int_or_string && (preserve || embedded) {
        let other = if preserve {
            "x-kubernetes-preserve-unknown-fields"
        } else {
            "x-kubernetes-embedded-resource"
        };
        return bad(other, "must be false if x-kubernetes-int-or-string is true");
    }
    let declared = schema["properties"]
        .as_object()
        .is_some_and(|properties| !properties.is_empty());
    let additional = &schema["additionalProperties"];
    match additional {
        Value::Null => {}
        _ if level == Level::Root => {
            return bad("additionalProperties", "must not be used at the root");
        }
        _ if embedded => {
            return bad(
                "additionalProperties",
                "must not be used if x-kubernetes-embedded-resource is set",
            );
        }
        Value::Bool(false) => {
            return bad(
                "additionalProperties",
                "false is forbidden in a structural schema",
            );
        }
        _ if declared => {
            return Err(invalid(
                path,
                "additionalProperties and properties exclude each other",
            ));
        }
        _ => {}
    }
    if embedded && !preserve && !declared {
        return bad(
            "properties",
            "must not be empty if x-kubernetes-embedded-resource is true without \
             x-kubernetes-preserve-unknown-fields",
        );
    }
    if kind == "array" && !schema["items"].is_object() {
        return bad("items", "must be one schema for an array");
    }
    list_keys(schema, path)?;
    if level == Level::Root || embedded {
        for (name, wanted) in [
            ("kind", "string"),
            ("apiVersion", "string"),
            ("metadata", "object"),
        ] {
            let member = schema["properties"].get(name);
            if member.is_some_and(|member| member["type"] != wanted) {
                return bad(
                    &format!("properties[{name}].type"),
                    &format!("must be {wanted}"),
                );
            }
        }
    }
    for (part, at) in parts(schema, path) {
        let exempt = int_or_string_pattern(schema, &at, path);
        validation(part, exempt, &at, depth + 1)?;
    }
    for (name, member) in members(schema, "properties") {
        let at = format!("{path}.properties[{name}]");
        structure(member, Level::Field, &at, depth + 1)?;
    }
    if additional.is_object() {
        let at = format!("{path}.additionalProperties");
        structure(additional, Level::Field, &at, depth + 1)?;
    }
    match schema.get("items") {
        None | Some(Value::Null) => Ok(()),
        Some(items) => structure(items, Level::Item, &format!("{path}.items"), depth + 1),
    }
}

fn list_keys(schema: &Value, path: &str) -> Result<(), SchemaError> {
    if schema["x-kubernetes-list-type"] != "map" {
        return Ok(());
    }
    let declared = &schema["items"]["properties"];
    let keys = schema["x-kubernetes-list-map-keys"].as_array();
    for key in keys.into_iter().flatten() {
        if key.as_str().is_none_or(|key| declared.get(key).is_none()) {
            return Err(invalid(
                &format!("{path}.x-kubernetes-list-map-keys"),
                format!("{key} isn't a property of the items"),
            ));
        }
    }
    Ok(())
}

/// How much of a value validation may state types, to say "an integer or a string".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exempt {
    No,
    /// This part itself: `{type: integer}` or `{type: string}`.
    Itself,
    /// The `anyOf` within it.
    AnyOf,
}

/// `anyOf: [{type: integer}, {type: string}]`, alone or first in `allOf`.
fn int_or_string_pattern(schema: &Value, at: &str, path: &str) -> Exempt {
    let pattern = serde_json::json!([{"type": "integer"}, {"type": "string"}]);
    if at.starts_with(&format!("{path}.anyOf[")) && schema["anyOf"] == pattern {
        Exempt::Itself
    } else if at == format!("{path}.allOf[0]") && schema["allOf"][0]["anyOf"] == pattern {
        Exempt::AnyOf
    } else {
        Exempt::No
    }
}

/// A value validation restricts what the structure has, and declares nothing.
fn validation(schema: &Value, exempt: Exempt, path: &str, depth: usize) -> Result<(), SchemaError> {
    supported(schema, path, depth)?;
    if exempt == Exempt::Itself {
        return Ok(());
    }
    for name in STRUCTURE_ONLY {
        if is_set(&schema[*name]) {
            return Err(invalid(
                &format!("{path}.{name}"),
                "must not be given in a value validation",
            ));
        }
    }
    for (part, at) in parts(schema, path) {
        let exempt = match exempt {
            Exempt::AnyOf if at.starts_with(&format!("{path}.anyOf[")) => Exempt::Itself,
            _ => Exempt::No,
        };
        validation(part, exempt, &at, depth + 1)?;
    }
    for (name, member) in members(schema, "properties") {
        let at = format!("{path}.properties[{name}]");
        if name == "metadata" {
            return Err(invalid(&at, "must not be given in a value validation"));
        }
        validation(member, Exempt::No, &at, depth + 1)?;
    }
    match schema.get("items") {
        None | Some(Value::Null) => Ok(()),
        Some(items) => validation(items, Exempt::No, &format!("{path}.items"), depth + 1),
    }
}

/// At the root a definition may restrict the name, and nothing else of the metadata.
fn root_metadata(metadata: &Value, path: &str) -> Result<(), SchemaError> {
    let only = |name: &String| name == "type" || name == "properties" || name == "default";
    let named = |name: &String| name == "name" || name == "generateName";
    let set = metadata.as_object().into_iter().flatten();
    if set
        .filter(|(_, value)| is_set(value))
        .all(|(name, _)| only(name))
        && members(metadata, "properties").all(|(name, _)| named(name))
    {
        return Ok(());
    }
    Err(invalid(
        path,
        "must not specify anything other than name and generateName",
    ))
}

/// Whatever is validated must be declared. Only the value validations at the root are
/// looked at so, as by the API server. `structure` is what they speak of, at `there`.
fn complete(
    part: &Value,
    structure: Option<&Value>,
    there: &str,
    path: &str,
) -> Result<(), SchemaError> {
    let Some(structure) = structure else {
        return Err(invalid(there, format!("must be given, for {path} has it")));
    };
    for (nested, at) in parts(part, path) {
        complete(nested, Some(structure), there, &at)?;
    }
    for (name, member) in members(part, "properties") {
        let step = format!("properties[{name}]");
        let declared = structure["properties"].get(name);
        complete(
            member,
            declared,
            &format!("{there}.{step}"),
            &format!("{path}.{step}"),
        )?;
    }
    match part.get("items") {
        None | Some(Value::Null) => Ok(()),
        Some(items) => complete(
            items,
            structure.get("items"),
            &format!("{there}.items"),
            &format!("{path}.items"),
        ),
    }
}
