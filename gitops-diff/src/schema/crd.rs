//! Types from a `CustomResourceDefinition`.

use serde_json::Value;

use super::openapi::{Reader, api_version, invalid};
use super::{DEDUCED, Field, Node, Scalar, Schema, SchemaError, Span};

impl Schema {
    /// Reads a `CustomResourceDefinition` (`apiextensions.k8s.io/v1`): one kind, in all
    /// the versions that the definition has.
    ///
    /// A version without a schema, or one that preserves unknown fields and declares
    /// none, gets the [deduced type](Schema::deduced).
    ///
    /// # Errors
    ///
    /// With the path, if the object isn't a definition or if a schema isn't
    /// [structural](https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema).
    pub fn from_crd(crd: &Value) -> Result<Self, SchemaError> {
        if crd["kind"] != "CustomResourceDefinition" {
            return Err(invalid("kind", "expected CustomResourceDefinition"));
        }
        let spec = &crd["spec"];
        let text = |value: &Value, path: &str| match value.as_str() {
            Some(text) if !text.is_empty() => Ok(text.to_owned()),
            _ => Err(invalid(path, "expected a text that isn't empty")),
        };
        let group = text(&spec["group"], "spec.group")?;
        let kind = text(&spec["names"]["kind"], "spec.names.kind")?;
        let versions = spec["versions"]
            .as_array()
            .ok_or_else(|| invalid("spec.versions", "expected a list"))?;
        let preserve = spec["preserveUnknownFields"] == true;
        let mut reader = Reader::new(None);
        for (at, version) in versions.iter().enumerate() {
            let path = format!("spec.versions[{at}]");
            let name = text(&version["name"], &format!("{path}.name"))?;
            let schema = &version["schema"]["openAPIV3Schema"];
            let path = format!("{path}.schema.openAPIV3Schema");
            let id = if schema.is_null() {
                DEDUCED
            } else {
                if schema["type"] != "object" {
                    return Err(invalid(
                        &format!("{path}.type"),
                        "must be object at the root",
                    ));
                }
                structural(schema, &path, 0)?;
                let node = reader.node(schema, preserve, &path, 0)?;
                root(&mut reader, node, &path)?
            };
            reader.builder.kind(&api_version(&group, &name), &kind, id);
        }
        Ok(reader.builder.finish())
    }
}

/// Every object has `apiVersion`, `kind` and `metadata`, whatever the definition says.
fn root(reader: &mut Reader<'_>, mut node: Node, path: &str) -> Result<u32, SchemaError> {
    let meta = reader.object_meta(0)?;
    let string = reader.builder.node(Node::scalar(Scalar::String), path)?;
    let mut fields = reader.builder.field_slice(node.fields).to_vec();
    for (name, ty) in [("apiVersion", string), ("kind", string), ("metadata", meta)] {
        let name = reader.builder.text(name);
        fields.retain(|field| field.name != name);
        fields.push(Field {
            name,
            ty,
            default: 0,
            required: false,
            strategy: Span::default(),
            merge_key: Span::default(),
        });
    }
    node.fields = reader.builder.fields(fields);
    reader.builder.node(node, path)
}

/// Refuses what the API server would refuse as not structural, as far as it matters for
/// merging.
fn structural(schema: &Value, path: &str, depth: usize) -> Result<(), SchemaError> {
    // `Reader::node` has the same limit; this check runs first and mustn't go deeper.
    const MAX_DEPTH: usize = 128;
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
    if schema.get("$ref").is_some() {
        return Err(invalid(
            &format!("{path}.$ref"),
            "is forbidden in a structural schema",
        ));
    }
    let yes = |key: &str| schema[key] == true;
    let any_type = yes("x-kubernetes-int-or-string") || yes("x-kubernetes-preserve-unknown-fields");
    if schema["type"].as_str().is_none_or(str::is_empty) && !any_type {
        return Err(invalid(
            &format!("{path}.type"),
            "must be given in a structural schema",
        ));
    }
    let declared = schema["properties"]
        .as_object()
        .filter(|all| !all.is_empty());
    let additional = schema.get("additionalProperties");
    match additional {
        Some(Value::Bool(false)) => {
            return Err(invalid(
                &format!("{path}.additionalProperties"),
                "false is forbidden in a structural schema",
            ));
        }
        Some(Value::Object(_)) if declared.is_some() => {
            return Err(invalid(
                path,
                "additionalProperties and properties exclude each other",
            ));
        }
        _ => {}
    }
    if schema["type"] == "array" && !schema["items"].is_object() {
        return Err(invalid(
            &format!("{path}.items"),
            "must be one schema for an array",
        ));
    }
    if schema["x-kubernetes-list-type"] == "map" {
        let items = &schema["items"];
        let keys = schema["x-kubernetes-list-map-keys"].as_array();
        for key in keys.into_iter().flatten() {
            let declared = key
                .as_str()
                .is_some_and(|key| items["properties"].get(key).is_some());
            if !declared {
                return Err(invalid(
                    &format!("{path}.x-kubernetes-list-map-keys"),
                    format!("{key} isn't a property of the items"),
                ));
            }
        }
    }
    for (name, member) in declared.into_iter().flatten() {
        structural(member, &format!("{path}.properties[{name}]"), depth + 1)?;
    }
    if let Some(values @ Value::Object(_)) = additional {
        structural(values, &format!("{path}.additionalProperties"), depth + 1)?;
    }
    if let Some(items) = schema.get("items") {
        structural(items, &format!("{path}.items"), depth + 1)?;
    }
    Ok(())
}
