//! Types from a `CustomResourceDefinition`.

use serde_json::Value;

use super::openapi::{Reader, api_version, invalid};
use super::structural;
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
                structural::check(schema, &path)?;
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
