//! Types from an OpenAPI v3 document, by the rules of the API server
//! (`k8s.io/kube-openapi/pkg/schemaconv`).

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::build::Builder;
use super::{
    DEDUCED, Field, ListType, NONE, Node, Scalar, Schema, SchemaError, UNTYPED_ATOMIC, flag, shape,
};

/// Deeper than any schema that is meant, and still safe on the smallest stack: the
/// deepest of the built-in kinds, with all references followed, is at about 40.
const MAX_DEPTH: usize = 128;

const QUANTITY: &str = "io.k8s.apimachinery.pkg.api.resource.Quantity";
/// How controller-gen writes a quantity into a definition: an integer or string with this
/// pattern.
const QUANTITY_PATTERN: &str = r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|";
const RAW_EXTENSION: &str = "io.k8s.apimachinery.pkg.runtime.RawExtension";
const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

impl Schema {
    /// Reads an OpenAPI v3 document, as `/openapi/v3/apis/apps/v1` answers it.
    ///
    /// The definitions are looked for under `components.schemas`, or under
    /// `definitions`. Kinds are those with `x-kubernetes-group-version-kind`.
    ///
    /// # Errors
    ///
    /// With the path, if a definition isn't one that the API server would take for
    /// merging, refers to one that isn't there, or if the document is too large.
    pub fn from_openapi(document: &Value) -> Result<Self, SchemaError> {
        let (at, definitions) = match document.pointer("/components/schemas") {
            Some(definitions) => ("components.schemas", definitions),
            None => ("definitions", &document["definitions"]),
        };
        let definitions = definitions
            .as_object()
            .ok_or_else(|| invalid(at, "expected an object with the definitions"))?;
        let mut reader = Reader::new(Some(definitions));
        let mut names: Vec<&String> = definitions.keys().collect();
        names.sort();
        for name in names {
            let path = format!("{at}.{name}");
            let definition = &definitions[name];
            let id = reader.definition(name, &path, 0)?;
            let kinds = definition["x-kubernetes-group-version-kind"].as_array();
            for kind in kinds.into_iter().flatten() {
                let part = |name: &str| kind[name].as_str().unwrap_or("");
                if !part("kind").is_empty() {
                    let version = api_version(part("group"), part("version"));
                    reader.builder.kind(&version, part("kind"), id);
                }
            }
        }
        Ok(reader.builder.finish())
    }
}

pub(super) fn api_version(group: &str, version: &str) -> String {
    if group.is_empty() {
        version.to_owned()
    } else {
        format!("{group}/{version}")
    }
}

pub(super) fn invalid(path: &str, problem: impl Into<String>) -> SchemaError {
    SchemaError::Invalid {
        path: path.to_owned(),
        problem: problem.into(),
    }
}

pub(super) struct Reader<'d> {
    pub(super) builder: Builder,
    definitions: Option<&'d Map<String, Value>>,
    ids: HashMap<&'d str, u32>,
    imported: HashMap<u32, u32>,
}

impl<'d> Reader<'d> {
    pub(super) fn new(definitions: Option<&'d Map<String, Value>>) -> Self {
        Self {
            builder: Builder::new(),
            definitions,
            ids: HashMap::new(),
            imported: HashMap::new(),
        }
    }

    fn definition(&mut self, name: &'d str, path: &str, depth: usize) -> Result<u32, SchemaError> {
        if depth > MAX_DEPTH {
            return Err(SchemaError::TooLarge {
                path: path.to_owned(),
                limit: MAX_DEPTH,
                what: "levels, references followed",
            });
        }
        if let Some(id) = self.ids.get(name) {
            return Ok(*id);
        }
        let Some(definition) = self.definitions.and_then(|all| all.get(name)) else {
            return Err(invalid(
                path,
                format!("refers to {name:?}, which isn't there"),
            ));
        };
        // A definition that is only a name for another one.
        if let Some(target) = reference(definition) {
            let id = self.definition(target, path, depth + 1)?;
            self.ids.insert(name, id);
            return Ok(id);
        }
        let id = self.builder.reserve(path)?;
        self.ids.insert(name, id);
        let mut node = if name == QUANTITY {
            let mut node = Node::scalar(Scalar::Untyped);
            node.format = self.builder.text("quantity");
            node
        } else if name == RAW_EXTENSION {
            // Anything at all, as one value.
            let mut node = Node::scalar(Scalar::Untyped);
            node.shapes |= shape::LIST | shape::MAP;
            node.map_atomic = true;
            (node.items, node.values) = (UNTYPED_ATOMIC, UNTYPED_ATOMIC);
            node
        } else {
            self.node(definition, false, path, depth + 1)?
        };
        node.name = self.builder.text(name);
        node.flags |= flag::NAMED;
        self.builder.set(id, node);
        Ok(id)
    }

    /// The type of a field, an element or a value: a reference, or written in place.
    pub(super) fn ty(
        &mut self,
        schema: &'d Value,
        preserve: bool,
        path: &str,
        depth: usize,
    ) -> Result<u32, SchemaError> {
        let Some(name) = reference(schema) else {
            let node = self.node(schema, preserve, path, depth)?;
            return self.builder.node(node, path);
        };
        let id = self.definition(name, path, depth + 1)?;
        let Some(map_type) = schema.get("x-kubernetes-map-type") else {
            return Ok(id);
        };
        let atomic = map_atomic(Some(map_type), path)?;
        let Some(node) = self.builder.get(id) else {
            return Ok(id);
        };
        if node.shapes == 0 || node.shapes & (shape::MAP | shape::LIST) == 0 {
            // Either a scalar, which has no elements whose relation could be set, or
            // a definition that is being read right now and refers to itself.
            return Err(invalid(
                path,
                "x-kubernetes-map-type beside a reference to this type",
            ));
        }
        let mut node = node.clone();
        node.map_atomic = atomic;
        self.builder.node(node, path)
    }

    /// A type that is written in place.
    pub(super) fn node(
        &mut self,
        schema: &'d Value,
        preserve: bool,
        path: &str,
        depth: usize,
    ) -> Result<Node, SchemaError> {
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
        let own_preserve = schema["x-kubernetes-preserve-unknown-fields"] == true;
        let preserve = preserve || own_preserve;
        let kind = match &schema["type"] {
            Value::Null => "",
            Value::String(kind) => kind.as_str(),
            _ => return Err(invalid(path, "type: expected one string")),
        };
        let format = schema["format"].as_str().unwrap_or("");
        let mut node = match kind {
            "" => {
                let mut node = Node::scalar(Scalar::Untyped);
                self.list(&mut node, schema, preserve, path, depth)?;
                self.object(&mut node, schema, preserve, path, depth)?;
                node
            }
            "object" => {
                let mut node = Node::new();
                self.object(&mut node, schema, preserve, path, depth)?;
                node
            }
            "array" => {
                if schema.get("items").is_none() {
                    return Err(invalid(path, "items must be given for an array"));
                }
                let mut node = Node::new();
                self.list(&mut node, schema, preserve, path, depth)?;
                node
            }
            "integer" | "number" => Node::scalar(Scalar::Numeric),
            "boolean" => Node::scalar(Scalar::Boolean),
            "string" => Node::scalar(match format {
                "" | "byte" => Scalar::String,
                _ => Scalar::Untyped,
            }),
            other => return Err(invalid(path, format!("unrecognized type {other:?}"))),
        };
        let int_or_string =
            schema["x-kubernetes-int-or-string"] == true || format == "int-or-string";
        let quantity = int_or_string
            && schema["pattern"]
                .as_str()
                .is_some_and(|pattern| pattern.starts_with(QUANTITY_PATTERN));
        node.format = self
            .builder
            .text(if quantity { "quantity" } else { format });
        let enumeration = &schema["enum"];
        if enumeration.is_array() {
            let text = enumeration.to_string();
            node.enumeration = self.builder.text(&text);
        }
        for (there, flag) in [
            (schema["nullable"] == true, flag::NULLABLE),
            (own_preserve, flag::PRESERVE_UNKNOWN),
            (int_or_string, flag::INT_OR_STRING),
            (
                schema["x-kubernetes-embedded-resource"] == true,
                flag::EMBEDDED,
            ),
        ] {
            if there {
                node.flags |= flag;
            }
        }
        Ok(node)
    }

    fn list(
        &mut self,
        node: &mut Node,
        schema: &'d Value,
        preserve: bool,
        path: &str,
        depth: usize,
    ) -> Result<(), SchemaError> {
        node.shapes |= shape::LIST;
        node.items = match schema.get("items") {
            Some(items) => self.ty(items, preserve, &format!("{path}.items"), depth + 1)?,
            None => UNTYPED_ATOMIC,
        };
        let mut keys: Vec<&str> = Vec::new();
        let merge_key = schema["x-kubernetes-patch-merge-key"].as_str();
        node.list = match (
            schema.get("x-kubernetes-list-type"),
            schema["x-kubernetes-patch-strategy"].as_str(),
        ) {
            (Some(list_type), _) => match list_type.as_str() {
                Some("atomic") => ListType::Atomic,
                Some("set") => ListType::Set,
                Some("map") => {
                    let names = schema["x-kubernetes-list-map-keys"].as_array();
                    keys.extend(names.into_iter().flatten().filter_map(Value::as_str));
                    if keys.is_empty() {
                        return Err(invalid(
                            path,
                            "x-kubernetes-list-map-keys must be given where x-kubernetes-list-type is map",
                        ));
                    }
                    if let Some((at, key)) = keys
                        .iter()
                        .enumerate()
                        .find(|(at, key)| keys.iter().take(*at).any(|before| before == *key))
                    {
                        return Err(invalid(
                            &format!("{path}.x-kubernetes-list-map-keys[{at}]"),
                            format!("{key:?} is there already"),
                        ));
                    }
                    ListType::Map
                }
                _ => {
                    return Err(invalid(
                        path,
                        format!(
                            "x-kubernetes-list-type: expected atomic, set or map, not {list_type}"
                        ),
                    ));
                }
            },
            (None, Some("merge" | "merge,retainKeys")) => match merge_key {
                Some(key) => {
                    keys.push(key);
                    ListType::Map
                }
                None => ListType::Set,
            },
            (None, None | Some("retainKeys")) => ListType::Atomic,
            (None, Some(other)) => {
                return Err(invalid(
                    path,
                    format!(
                        "x-kubernetes-patch-strategy: expected merge or retainKeys for a list, not {other:?}"
                    ),
                ));
            }
        };
        node.keys = self.builder.keys(keys);
        Ok(())
    }

    fn object(
        &mut self,
        node: &mut Node,
        schema: &'d Value,
        preserve: bool,
        path: &str,
        depth: usize,
    ) -> Result<(), SchemaError> {
        node.shapes |= shape::MAP;
        node.map_atomic = map_atomic(schema.get("x-kubernetes-map-type"), path)?;
        if schema["x-kubernetes-map-type"] == "granular" {
            node.flags |= flag::GRANULAR;
        }
        let mut fields = Vec::new();
        let required = schema["required"].as_array();
        let is_required =
            |name: &str| required.is_some_and(|names| names.iter().any(|other| other == name));
        let properties = schema["properties"].as_object();
        for (name, member) in properties.into_iter().flatten() {
            let ty = self.ty(member, preserve, &format!("{path}.{name}"), depth + 1)?;
            let text = |key: &str| member[key].as_str().unwrap_or("");
            let field = Field {
                name: self.builder.text(name),
                ty,
                default: match member.get("default") {
                    Some(value) => self.builder.default(value),
                    None => 0,
                },
                required: is_required(name),
                strategy: self.builder.text(text("x-kubernetes-patch-strategy")),
                merge_key: self.builder.text(text("x-kubernetes-patch-merge-key")),
            };
            fields.push(field);
        }
        if schema["x-kubernetes-embedded-resource"] == true {
            self.embed(&mut fields, path, depth)?;
        }
        let declares = !fields.is_empty();
        node.fields = self.builder.fields(fields);
        node.values = match schema.get("additionalProperties") {
            None if preserve || !declares => DEDUCED,
            None | Some(Value::Bool(false)) => NONE,
            Some(Value::Bool(true)) => DEDUCED,
            Some(values) => self.ty(
                values,
                preserve,
                &format!("{path}.additionalProperties"),
                depth + 1,
            )?,
        };
        Ok(())
    }

    /// An embedded resource has the members that every object has.
    fn embed(
        &mut self,
        fields: &mut Vec<Field>,
        path: &str,
        depth: usize,
    ) -> Result<(), SchemaError> {
        let string = self.builder.node(Node::scalar(Scalar::String), path)?;
        let meta = self.object_meta(depth)?;
        for (name, ty) in [("apiVersion", string), ("kind", string), ("metadata", meta)] {
            let name = self.builder.text(name);
            let field = Field {
                name,
                ty,
                default: 0,
                required: true,
                strategy: super::Span::default(),
                merge_key: super::Span::default(),
            };
            fields.retain(|other| other.name != name);
            fields.push(field);
        }
        Ok(())
    }

    /// The type of `metadata`: the document's, or else the built-in one.
    pub(super) fn object_meta(&mut self, depth: usize) -> Result<u32, SchemaError> {
        if self
            .definitions
            .is_some_and(|all| all.contains_key(OBJECT_META))
        {
            return self.definition(OBJECT_META, OBJECT_META, depth + 1);
        }
        let builtin = Schema::builtin();
        let Some(meta) = builtin
            .type_of("v1", "ConfigMap")
            .and_then(|object| object.field("metadata"))
        else {
            return Ok(DEDUCED);
        };
        self.builder
            .import(builtin, meta.ty().id, &mut self.imported)
    }
}

fn reference(schema: &Value) -> Option<&str> {
    let text = schema["$ref"].as_str().or_else(|| {
        let all = schema["allOf"].as_array()?;
        (all.len() == 1).then(|| all.first()?["$ref"].as_str())?
    })?;
    Some(text.rsplit('/').next().unwrap_or(text))
}

fn map_atomic(map_type: Option<&Value>, path: &str) -> Result<bool, SchemaError> {
    match map_type.map(Value::as_str) {
        None | Some(Some("granular")) => Ok(false),
        Some(Some("atomic")) => Ok(true),
        Some(_) => Err(invalid(
            path,
            "x-kubernetes-map-type: expected atomic or granular",
        )),
    }
}
