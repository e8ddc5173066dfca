//! Reading a request body as a Go program reads it into its types: what is
//! unknown is dropped (and named), what is of the wrong type is an error in Go's
//! words, what is zero is left out, quantities and times are rewritten.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value};

use super::{
    Kind,
    json::{self, Node},
    quantity::{self, Quantity},
    time,
    types::{Field, Struct, Ty, TypeRef, Types},
};

/// Most unknown and duplicate fields that are named, as in `sigs.k8s.io/json`.
const MAX_STRICT: usize = 100;

/// A decoded body.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    /// The object in the form in which the server writes it.
    pub object: Value,
    /// `unknown field "…"` and `duplicate field "…"`, in the order of the document: the
    /// warnings of `fieldValidation=Warn`, the errors of `Strict`.
    pub strict: Vec<String>,
}

/// Why a body could not be decoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The body is not JSON. The text is that of Go's decoder.
    #[error("{0}")]
    Syntax(String),
    /// A value is of the wrong type or form. The text is what follows
    /// `Deployment in version "v1" cannot be handled as a Deployment: `.
    #[error("{0}")]
    Type(String),
}

/// Reads a JSON body as an object of `kind`.
///
/// ```
/// use gitops_testkit::kinds::{Kind, decode};
/// let kind = Kind::lookup("", "v1", "ConfigMap").unwrap();
/// let read = decode(kind, br#"{"metadata": {"name": "a", "colour": "x"}, "data": {}}"#).unwrap();
/// assert_eq!(read.strict, [r#"unknown field "metadata.colour""#]);
/// assert_eq!(read.object["metadata"], serde_json::json!({"name": "a"}));
/// assert!(read.object.get("data").is_none());
/// ```
///
/// # Errors
///
/// [`DecodeError::Syntax`] or [`DecodeError::Type`].
pub fn decode(kind: Kind, body: &[u8]) -> Result<Decoded, DecodeError> {
    decode_node(kind, &json::parse(body).map_err(DecodeError::Syntax)?)
}

/// Reads a JSON value as an object of `kind`; members are looked at in sorted order.
///
/// # Errors
///
/// [`DecodeError::Type`].
pub fn decode_value(kind: Kind, value: &Value) -> Result<Decoded, DecodeError> {
    decode_node(kind, &Node::from_value(value))
}

fn decode_node(kind: Kind, node: &Node) -> Result<Decoded, DecodeError> {
    let mut decoder = Decoder::new(true);
    let ty = TypeRef::to_struct(kind.type_index());
    let mut object = decoder
        .value(node, &ty)
        .and_then(|v| decoder.finish(v))
        .map_err(DecodeError::Type)?;
    if let Value::Object(map) = &mut object {
        kind.mark(map);
    }
    Ok(Decoded {
        object,
        strict: decoder.strict,
    })
}

/// Reads a body of a custom resource: any object, with the fields that occur twice.
///
/// # Errors
///
/// [`DecodeError::Syntax`].
pub fn decode_untyped(body: &[u8]) -> Result<Decoded, DecodeError> {
    let node = json::parse(body).map_err(DecodeError::Syntax)?;
    let mut decoder = Decoder::new(true);
    decoder.duplicates(&node);
    Ok(Decoded {
        object: node.to_value(),
        strict: decoder.strict,
    })
}

/// Reads the `metadata` of a custom resource (or of an embedded one) as an `ObjectMeta`.
///
/// # Errors
///
/// [`DecodeError::Type`] if a member is of the wrong type.
pub fn decode_metadata(metadata: &Value) -> Result<Decoded, DecodeError> {
    let index = Types::get().named("meta.v1.ObjectMeta").unwrap_or_default();
    let mut decoder = Decoder::new(true);
    let read = decoder
        .value(&Node::from_value(metadata), &TypeRef::to_struct(index))
        .and_then(|v| decoder.finish(v))
        .map_err(DecodeError::Type)?;
    Ok(Decoded {
        object: read,
        strict: decoder.strict,
    })
}

/// Brings an object of `kind` into the form in which the server writes it: members that
/// must be there are added (`status: {}`), empty ones that are left out are removed.
///
/// Values of a wrong type, which [`decode`] would refuse, are left as they are.
pub fn normalize(kind: Kind, object: &mut Value) {
    let ty = TypeRef::to_struct(kind.type_index());
    let mut decoder = Decoder::new(false);
    if let Ok(mut value) = decoder.value(&Node::from_value(object), &ty)
        && decoder.saved.is_none()
    {
        if let Value::Object(map) = &mut value {
            kind.mark(map);
        }
        *object = value;
    }
}

struct Decoder {
    types: &'static Types,
    strict_on: bool,
    strict: Vec<String>,
    /// The first error that does not stop decoding.
    saved: Option<String>,
    /// Where we are, as strict errors print it.
    path: String,
    /// Where we are, as type errors print it: the struct, and field names from the root.
    strukt: String,
    fields: Vec<String>,
}

impl Decoder {
    fn new(strict_on: bool) -> Self {
        Self {
            types: Types::get(),
            strict_on,
            strict: Vec::new(),
            saved: None,
            path: String::new(),
            strukt: String::new(),
            fields: Vec::new(),
        }
    }

    fn finish(&mut self, value: Value) -> Result<Value, String> {
        self.saved.take().map_or(Ok(value), Err)
    }

    fn save(&mut self, error: String) {
        self.saved.get_or_insert(error);
    }

    fn report(&mut self, what: &str, name: &str) {
        if !self.strict_on || self.strict.len() >= MAX_STRICT {
            return;
        }
        let path = if self.path.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.path)
        };
        let text = format!("{what} field {}", super::error::quote(&path));
        if !self.strict.contains(&text) {
            self.strict.push(text);
        }
    }

    fn type_error(&self, what: &str, go_type: &str) -> String {
        if self.fields.is_empty() {
            format!("json: cannot unmarshal {what} into Go value of type {go_type}")
        } else {
            format!(
                "json: cannot unmarshal {what} into Go struct field {}.{} of type {go_type}",
                self.strukt,
                self.fields.join(".")
            )
        }
    }

    fn mismatch(&mut self, node: &Node, t: &TypeRef) -> Value {
        let error = self.type_error(node.type_name(), &self.types.go_type(t));
        self.save(error);
        Value::Null
    }

    /// Records duplicates anywhere in an untyped value.
    fn duplicates(&mut self, node: &Node) {
        match node {
            Node::Array(items) => {
                for (i, item) in items.iter().enumerate() {
                    self.within_index(i, |d| d.duplicates(item));
                }
            }
            Node::Object(members) => {
                let mut seen = std::collections::BTreeSet::new();
                for (key, value) in members {
                    if !seen.insert(key.as_str()) {
                        self.report("duplicate", key);
                    }
                    self.within(key, |d| d.duplicates(value));
                }
            }
            _ => {}
        }
    }

    fn within<T>(&mut self, key: &str, inner: impl FnOnce(&mut Self) -> T) -> T {
        let len = self.path.len();
        if len > 0 {
            self.path.push('.');
        }
        self.path.push_str(key);
        let out = inner(self);
        self.path.truncate(len);
        out
    }

    fn within_index<T>(&mut self, index: usize, inner: impl FnOnce(&mut Self) -> T) -> T {
        let len = self.path.len();
        self.path.push_str(&format!("[{index}]"));
        let out = inner(self);
        self.path.truncate(len);
        out
    }

    /// The value in normal form; `Null` stands for the zero value.
    ///
    /// An `Err` is an error that stops decoding at once: one from a type that reads itself.
    fn value(&mut self, node: &Node, t: &TypeRef) -> Result<Value, String> {
        if matches!(node, Node::Null) {
            return Ok(Value::Null);
        }
        Ok(match &t.ty {
            Ty::Str => match node {
                Node::String(text) => Value::String(text.clone()),
                other => self.mismatch(other, t),
            },
            Ty::Bool => match node {
                Node::Bool(b) => Value::Bool(*b),
                other => self.mismatch(other, t),
            },
            Ty::Int32 => self.integer(node, t, i64::from(i32::MIN), i64::from(i32::MAX)),
            Ty::Int64 => self.integer(node, t, i64::MIN, i64::MAX),
            Ty::Double => match node {
                Node::Number(text) => json::number(text),
                other => self.mismatch(other, t),
            },
            Ty::Bytes => match node {
                Node::String(text) => match STANDARD.decode(text.replace(['\r', '\n'], "")) {
                    Ok(bytes) => Value::String(STANDARD.encode(bytes)),
                    Err(_) => {
                        self.save(format!(
                            "illegal base64 data at input byte {}",
                            bad_base64(text)
                        ));
                        Value::Null
                    }
                },
                other => self.mismatch(other, t),
            },
            Ty::Quantity => {
                let text = match node {
                    Node::String(text) | Node::Number(text) => text.trim(),
                    _ => return Err(quantity::FORMAT.to_owned()),
                };
                Value::String(Quantity::parse(text).map_err(str::to_owned)?.canonical())
            }
            Ty::IntOrString => match node {
                Node::String(text) => Value::String(text.clone()),
                Node::Number(text) => match text.parse::<i32>() {
                    Ok(n) => Value::from(n),
                    Err(_) => return Err(self.type_error(&format!("number {text}"), "int32")),
                },
                other => return Err(self.type_error(other.type_name(), "int32")),
            },
            Ty::Time | Ty::MicroTime | Ty::Duration => match node {
                Node::String(text) => Value::String(match t.ty {
                    Ty::Time => time::seconds(text)?,
                    Ty::MicroTime => time::micros(text)?,
                    _ => text.clone(),
                }),
                other => return Err(self.type_error(other.type_name(), "string")),
            },
            Ty::Raw | Ty::FieldSet | Ty::Json => node.to_value(),
            Ty::SchemaOrArray => match node {
                Node::Array(items) => {
                    let read: Result<Vec<_>, _> =
                        items.iter().map(|item| self.schema(item)).collect();
                    Value::Array(read?)
                }
                Node::Object(_) => self.schema(node)?,
                _ => Value::Null,
            },
            Ty::SchemaOrBool => match node {
                Node::Object(_) => self.schema(node)?,
                Node::Bool(b) => Value::Bool(*b),
                _ => return Err("boolean or JSON schema expected".to_owned()),
            },
            Ty::SchemaOrStrings => match node {
                Node::Object(_) => self.schema(node)?,
                other => other.to_value(),
            },
            Ty::Struct(index) => match (node, self.types.at(*index)) {
                (Node::Object(members), Some(def)) => self.strukt(members, def)?,
                (other, _) => self.mismatch(other, t),
            },
            Ty::List(item) => match node {
                Node::Array(nodes) => {
                    let mut items = Vec::with_capacity(nodes.len());
                    for (i, node) in nodes.iter().enumerate() {
                        let read = self.within_index(i, |d| d.value(node, item))?;
                        items.push(if read.is_null() {
                            self.zero(item)
                        } else {
                            read
                        });
                    }
                    Value::Array(items)
                }
                other => self.mismatch(other, t),
            },
            Ty::Map(item) => match node {
                Node::Object(members) => {
                    let mut map = Map::new();
                    for (key, node) in members {
                        if map.contains_key(key) {
                            self.report("duplicate", key);
                        }
                        let read = self.within(key, |d| d.value(node, item))?;
                        map.insert(
                            key.clone(),
                            if read.is_null() {
                                self.zero(item)
                            } else {
                                read
                            },
                        );
                    }
                    Value::Object(map)
                }
                other => self.mismatch(other, t),
            },
        })
    }

    /// A schema within one of the "or" types, which read themselves: not strictly.
    fn schema(&mut self, node: &Node) -> Result<Value, String> {
        let index = self
            .types
            .named("apiextensions.v1.JSONSchemaProps")
            .unwrap_or_default();
        let mut inner = Decoder::new(false);
        let value = inner.value(node, &TypeRef::to_struct(index))?;
        inner.finish(value)
    }

    fn integer(&mut self, node: &Node, t: &TypeRef, min: i64, max: i64) -> Value {
        match node {
            Node::Number(text) => match text.parse::<i64>() {
                Ok(n) if (min..=max).contains(&n) => Value::from(n),
                _ => {
                    let error = self.type_error(&format!("number {text}"), &self.types.go_type(t));
                    self.save(error);
                    Value::Null
                }
            },
            other => self.mismatch(other, t),
        }
    }

    fn strukt(
        &mut self,
        members: &[(String, Node)],
        def: &'static Struct,
    ) -> Result<Value, String> {
        let mut read: Map<String, Value> = Map::new();
        let mut seen: Vec<&str> = Vec::new();
        let outer = std::mem::replace(&mut self.strukt, def.short().to_owned());
        for (key, node) in members {
            let Some(field) = def.field(key) else {
                self.report("unknown", key);
                continue;
            };
            if seen.contains(&key.as_str()) {
                self.report("duplicate", key);
            } else {
                seen.push(key);
            }
            self.fields.push(key.clone());
            let value = self.within(key, |d| d.value(node, &field.ty))?;
            self.fields.pop();
            self.strukt.clear();
            self.strukt.push_str(def.short());
            if !value.is_null() {
                match read.get_mut(key) {
                    Some(earlier) => overlay(earlier, value),
                    None => {
                        read.insert(key.clone(), value);
                    }
                }
            } else if !matches!(node, Node::Null) || is_nilable(&field.ty) {
                read.remove(key);
            }
        }
        self.strukt = outer;
        let mut out = Map::new();
        for field in &def.fields {
            if let Some(value) = self.written(field, read.remove(&field.name)) {
                out.insert(field.name.clone(), value);
            }
        }
        Ok(Value::Object(out))
    }

    /// What is written for a field: `None` if it is left out.
    fn written(&self, field: &Field, value: Option<Value>) -> Option<Value> {
        let t = &field.ty;
        if t.pointer {
            return value.or(field.always.then_some(Value::Null));
        }
        match &t.ty {
            // A struct is always written, whatever `omitempty` says.
            Ty::Struct(_)
            | Ty::Time
            | Ty::MicroTime
            | Ty::Quantity
            | Ty::IntOrString
            | Ty::Raw
            | Ty::Duration => {
                let value = value.unwrap_or_else(|| self.zero(t));
                (!field.omit_zero || value != self.zero(t)).then_some(value)
            }
            _ => match value.filter(|v| !is_empty(v)) {
                Some(value) => Some(value),
                None => field.always.then(|| self.zero(t)),
            },
        }
    }

    /// The zero value as it is written.
    fn zero(&self, t: &TypeRef) -> Value {
        if t.pointer {
            return Value::Null;
        }
        match &t.ty {
            Ty::Str => Value::String(String::new()),
            Ty::Int32 | Ty::Int64 | Ty::IntOrString => Value::from(0),
            Ty::Double => Value::from(0),
            Ty::Bool => Value::Bool(false),
            Ty::Quantity => Value::String("0".into()),
            Ty::Duration => Value::String("0s".into()),
            Ty::Struct(index) => {
                let mut out = Map::new();
                for field in self
                    .types
                    .at(*index)
                    .map(|s| s.fields.as_slice())
                    .unwrap_or_default()
                {
                    if let Some(value) = self.written(field, None) {
                        out.insert(field.name.clone(), value);
                    }
                }
                Value::Object(out)
            }
            _ => Value::Null,
        }
    }
}

fn is_nilable(t: &TypeRef) -> bool {
    t.pointer || matches!(t.ty, Ty::List(_) | Ty::Map(_) | Ty::Bytes | Ty::Json)
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(b) => !b,
        Value::Number(n) => n.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
    }
}

/// A member that occurs twice is read into the same place: objects merge, the rest is replaced.
fn overlay(earlier: &mut Value, later: Value) {
    match (earlier, later) {
        (Value::Object(earlier), Value::Object(later)) => {
            for (key, value) in later {
                match earlier.get_mut(&key) {
                    Some(old) => overlay(old, value),
                    None => {
                        earlier.insert(key, value);
                    }
                }
            }
        }
        (earlier, later) => *earlier = later,
    }
}

/// The offset that Go's decoder reports for malformed base64.
fn bad_base64(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut in_quantum = 0;
    let mut at = 0;
    while let Some(&c) = bytes.get(at) {
        at += 1;
        match c {
            b'\r' | b'\n' => {}
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/' => {
                in_quantum = (in_quantum + 1) % 4
            }
            b'=' if in_quantum >= 2 => {
                // Padding: one more is due after two characters; then the end.
                let mut due = 3 - in_quantum;
                while let Some(&c) = bytes.get(at) {
                    match c {
                        b'\r' | b'\n' => at += 1,
                        b'=' if due > 0 => {
                            due -= 1;
                            at += 1;
                        }
                        _ => break,
                    }
                }
                return if due > 0 { bytes.len() } else { at };
            }
            _ => return at - 1,
        }
    }
    // Input that ends within four characters is reported where the four begin.
    bytes.len() - in_quantum
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn kind(group: &str, version: &str, name: &str) -> Kind {
        Kind::lookup(group, version, name).expect(name)
    }

    fn fails(kind: Kind, body: Value) -> String {
        match decode(kind, body.to_string().as_bytes()) {
            Err(DecodeError::Type(text)) => text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn wrong_types_are_refused_in_gos_words() {
        let deployment = kind("apps", "v1", "Deployment");
        for (body, error) in [
            (
                json!({"metadata": "x"}),
                "json: cannot unmarshal string into Go struct field Deployment.metadata of type v1.ObjectMeta",
            ),
            (
                json!({"metadata": {"labels": {"a": 1}}}),
                "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type string",
            ),
            (
                json!({"spec": {"replicas": "2"}}),
                "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32",
            ),
            (
                json!({"spec": {"replicas": 1.5}}),
                "json: cannot unmarshal number 1.5 into Go struct field DeploymentSpec.spec.replicas of type int32",
            ),
            (
                json!({"spec": {"template": {"spec": {"containers": {}}}}}),
                "json: cannot unmarshal object into Go struct field PodSpec.spec.template.spec.containers of type []v1.Container",
            ),
            (
                json!({"spec": {"template": {"spec": {"containers": [{"ports": [{"protocol": 1}]}]}}}}),
                "json: cannot unmarshal number into Go struct field ContainerPort.spec.template.spec.containers.ports.protocol of type v1.Protocol",
            ),
            (
                json!({"spec": {"strategy": {"rollingUpdate": {"maxSurge": true}}}}),
                "json: cannot unmarshal bool into Go struct field RollingUpdateDeployment.spec.strategy.rollingUpdate.maxSurge of type int32",
            ),
            (
                json!({"spec": {"template": {"spec": {"containers": [{"resources": {"limits": {"cpu": "lots"}}}]}}}}),
                quantity::FORMAT,
            ),
            (
                json!([]),
                "json: cannot unmarshal array into Go value of type v1.Deployment",
            ),
        ] {
            assert_eq!(fails(deployment, body.clone()), error, "{body}");
        }
    }

    #[test]
    fn bad_base64_names_the_offset_go_names() {
        let secret = kind("", "v1", "Secret");
        for (data, at) in [
            ("%%%", 0),
            ("abc", 0),
            ("YWJj%", 4),
            ("YWJjZA", 4),
            ("YQ=", 3),
            ("YQ==YQ==", 4),
            ("not!", 3),
        ] {
            assert_eq!(
                fails(secret, json!({"data": {"a": data}})),
                format!("illegal base64 data at input byte {at}"),
                "{data}"
            );
        }
    }

    #[test]
    fn unknown_and_duplicate_fields_are_named_in_document_order() {
        let body = br#"{"spec":{"deep":1,"template":{"spec":{"containers":[{"name":"a"},{"b":1,"name":"c"}]}}},
            "x":{"y":1},"metadata":{"labels":{"a":"1","a":"2"}},"metadata":{"name":"n"},"Kind":"Deployment"}"#;
        let read = decode(kind("apps", "v1", "Deployment"), body).unwrap();
        assert_eq!(
            read.strict,
            [
                r#"unknown field "spec.deep""#,
                r#"unknown field "spec.template.spec.containers[1].b""#,
                r#"unknown field "x""#,
                r#"duplicate field "metadata.labels.a""#,
                r#"duplicate field "metadata""#,
                r#"unknown field "Kind""#,
            ]
        );
        assert_eq!(
            read.object["metadata"],
            json!({"name": "n", "labels": {"a": "2"}})
        );
    }

    #[test]
    fn zero_values_are_written_where_go_writes_them() {
        let read = decode_value(
            kind("apps", "v1", "Deployment"),
            &json!({"spec": {"minReadySeconds": 0, "replicas": 0, "paused": false,
                "template": {"spec": {"volumes": [], "containers": [{"image": "", "tty": null,
                "env": [{"valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}}]}]}}}}),
        )
        .unwrap();
        assert_eq!(
            read.object,
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {}, "spec": {"replicas": 0, "selector": null,
                "strategy": {}, "template": {"metadata": {}, "spec": {"containers": [{"name": "", "resources": {},
                "env": [{"name": "", "valueFrom": {"resourceFieldRef": {"divisor": "0", "resource": "limits.cpu"}}}]}]}}},
                "status": {}})
        );
        let role = decode_value(
            kind("rbac.authorization.k8s.io", "v1", "Role"),
            &json!({"rules": []}),
        )
        .unwrap();
        assert_eq!(role.object["rules"], Value::Null);
    }

    #[test]
    fn quantities_and_times_are_rewritten() {
        let read = decode_value(
            kind("", "v1", "Pod"),
            &json!({"metadata": {"deletionTimestamp": "2024-01-01T01:00:00+01:00"},
                "spec": {"containers": [{"resources": {"limits": {"cpu": 1, "memory": "1024Mi"}}}]}}),
        )
        .unwrap();
        assert_eq!(
            read.object["metadata"]["deletionTimestamp"],
            "2024-01-01T00:00:00Z"
        );
        assert_eq!(
            read.object["spec"]["containers"][0]["resources"]["limits"],
            json!({"cpu": "1", "memory": "1Gi"})
        );
    }

    #[test]
    fn the_metadata_of_a_custom_resource_is_an_object_meta() {
        let error = decode_metadata(&json!({"labels": {"a": 1}})).unwrap_err();
        assert_eq!(
            error.to_string(),
            "json: cannot unmarshal number into Go struct field ObjectMeta.labels of type string"
        );
    }
}
