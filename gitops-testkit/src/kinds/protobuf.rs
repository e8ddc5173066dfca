//! Bodies in protobuf (`application/vnd.kubernetes.protobuf`), which `kubectl` 1.32 and newer
//! sends for what it makes itself: `create namespace`, `create role`, `auth can-i`.
//!
//! The envelope is that of [`runtime.Unknown`](https://pkg.go.dev/k8s.io/apimachinery/pkg/runtime#Unknown)
//! behind the four bytes `k8s\0`; what is in it is read by the field numbers of the type table.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

use super::{
    Kind,
    types::{Struct, Ty, TypeRef, Types},
};

const MAGIC: &[u8] = b"k8s\0";
/// How deep messages may be nested; objects of the API stay far below.
const MAX_DEPTH: usize = 64;
/// Most elements in one body, all lists and maps together.
const MAX_ITEMS: usize = 200_000;

/// Why a protobuf body could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProtobufError {
    /// The body doesn't begin with `k8s\0`.
    #[error(
        "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]"
    )]
    NotProtobuf,
    /// A message ends too early, is nested too deeply or holds too much.
    #[error("malformed protobuf message: {0}")]
    Malformed(&'static str),
    /// The kind is none of the built-in ones.
    #[error("no kind \"{kind}\" is registered for version \"{api_version}\"")]
    UnknownKind {
        /// The `apiVersion` of the envelope.
        api_version: String,
        /// The kind of the envelope.
        kind: String,
    },
}

type Result<T> = std::result::Result<T, ProtobufError>;

/// Reads a protobuf body into the JSON that a client would have sent instead.
///
/// # Errors
///
/// [`ProtobufError`].
pub fn decode_protobuf(body: &[u8]) -> Result<Value> {
    let mut budget = MAX_ITEMS;
    let rest = body.strip_prefix(MAGIC).ok_or(ProtobufError::NotProtobuf)?;
    let (mut api_version, mut kind, mut raw) = (String::new(), String::new(), &[][..]);
    for field in fields(rest)? {
        match (field.number, field.data) {
            (1, Data::Bytes(meta)) => {
                for field in fields(meta)? {
                    match (field.number, field.data) {
                        (1, Data::Bytes(text)) => api_version = utf8(text),
                        (2, Data::Bytes(text)) => kind = utf8(text),
                        _ => {}
                    }
                }
            }
            (2, Data::Bytes(bytes)) => raw = bytes,
            _ => {}
        }
    }
    let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
    let types = Types::get();
    let def = match Kind::lookup(group, version, &kind) {
        Some(found) => types.at(found.type_index()),
        // Options are no kind of the API, but come the same way.
        None if kind == "DeleteOptions" => types
            .named("meta.v1.DeleteOptions")
            .and_then(|i| types.at(i)),
        None => None,
    };
    let Some(def) = def else {
        return Err(ProtobufError::UnknownKind { api_version, kind });
    };
    let mut object = message(types, def, raw, 0, &mut budget)?;
    object.insert("apiVersion".to_owned(), Value::String(api_version));
    object.insert("kind".to_owned(), Value::String(kind));
    Ok(Value::Object(object))
}

enum Data<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

struct Wire<'a> {
    number: u64,
    data: Data<'a>,
}

/// The fields of a message in order.
fn fields(mut bytes: &[u8]) -> Result<Vec<Wire<'_>>> {
    const SHORT: ProtobufError = ProtobufError::Malformed("unexpected end");
    let mut out = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes)?;
        let take = |bytes: &mut &[u8], len: usize| -> Result<u64> {
            let (head, rest) = bytes.split_at_checked(len).ok_or(SHORT)?;
            *bytes = rest;
            Ok(head.iter().rev().fold(0, |n, b| (n << 8) | u64::from(*b)))
        };
        let data = match tag & 7 {
            0 => Data::Number(varint(&mut bytes)?),
            1 => Data::Number(take(&mut bytes, 8)?),
            2 => {
                let len = usize::try_from(varint(&mut bytes)?).map_err(|_| SHORT)?;
                let (head, rest) = bytes.split_at_checked(len).ok_or(SHORT)?;
                bytes = rest;
                Data::Bytes(head)
            }
            5 => Data::Number(take(&mut bytes, 4)?),
            _ => return Err(ProtobufError::Malformed("unknown wire type")),
        };
        if out.len() >= MAX_ITEMS {
            return Err(ProtobufError::Malformed("too many elements"));
        }
        out.push(Wire {
            number: tag >> 3,
            data,
        });
    }
    Ok(out)
}

fn varint(bytes: &mut &[u8]) -> Result<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes
            .split_first()
            .ok_or(ProtobufError::Malformed("unexpected end"))?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(ProtobufError::Malformed("number too long"))
}

fn utf8(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn message(
    types: &Types,
    def: &Struct,
    bytes: &[u8],
    depth: usize,
    budget: &mut usize,
) -> Result<Map<String, Value>> {
    if depth > MAX_DEPTH {
        return Err(ProtobufError::Malformed("nested too deeply"));
    }
    let mut out: Map<String, Value> = Map::new();
    for wire in fields(bytes)? {
        *budget = budget
            .checked_sub(1)
            .ok_or(ProtobufError::Malformed("too many elements"))?;
        let nested = def
            .nested
            .iter()
            .find(|(n, _)| u64::from(*n) == wire.number);
        if let (Some((_, index)), Data::Bytes(inner)) = (nested, &wire.data) {
            if let Some(def) = types.at(*index) {
                out.extend(message(types, def, inner, depth + 1, budget)?);
            }
            continue;
        }
        let Some(field) = def
            .fields
            .iter()
            .find(|f| f.number != 0 && u64::from(f.number) == wire.number)
        else {
            continue;
        };
        match &field.ty.ty {
            Ty::List(item) => {
                let value = value(types, item, &wire.data, depth, budget)?;
                if let Value::Array(list) =
                    out.entry(field.name.clone()).or_insert_with(|| json!([]))
                {
                    list.push(value);
                }
            }
            Ty::Map(item) => {
                let Data::Bytes(entry) = wire.data else {
                    continue;
                };
                let (key, value) = map_entry(types, item, entry, depth, budget)?;
                if let Value::Object(map) =
                    out.entry(field.name.clone()).or_insert_with(|| json!({}))
                {
                    map.insert(key, value);
                }
            }
            _ => {
                let value = value(types, &field.ty, &wire.data, depth, budget)?;
                out.insert(field.name.clone(), value);
            }
        }
    }
    Ok(out)
}

fn map_entry(
    types: &Types,
    item: &TypeRef,
    entry: &[u8],
    depth: usize,
    budget: &mut usize,
) -> Result<(String, Value)> {
    let (mut key, mut value) = (String::new(), Value::Null);
    for wire in fields(entry)? {
        match (wire.number, &wire.data) {
            (1, Data::Bytes(text)) => key = utf8(text),
            (2, data) => {
                value = match (&item.ty, data) {
                    // A list as the value of a map is a message with one repeated field.
                    (Ty::List(inner), Data::Bytes(bytes)) => {
                        let all: Result<Vec<_>> = fields(bytes)?
                            .iter()
                            .map(|w| self::value(types, inner, &w.data, depth + 1, budget))
                            .collect();
                        Value::Array(all?)
                    }
                    _ => self::value(types, item, data, depth, budget)?,
                };
            }
            _ => {}
        }
    }
    if value.is_null() && matches!(item.ty, Ty::Str | Ty::Bytes) {
        value = json!("");
    }
    Ok((key, value))
}

fn value(
    types: &Types,
    t: &TypeRef,
    data: &Data<'_>,
    depth: usize,
    budget: &mut usize,
) -> Result<Value> {
    Ok(match (&t.ty, data) {
        (Ty::Str, Data::Bytes(text)) => Value::String(utf8(text)),
        (Ty::Bytes, Data::Bytes(bytes)) => Value::String(STANDARD.encode(bytes)),
        (Ty::Bool, Data::Number(n)) => Value::Bool(*n != 0),
        // Negative numbers are sign-extended to 64 bits.
        (Ty::Int32 | Ty::Int64, Data::Number(n)) => json!(n.cast_signed()),
        (Ty::Double, Data::Number(n)) => json!(f64::from_bits(*n)),
        (Ty::Struct(index), Data::Bytes(bytes)) => match types.at(*index) {
            Some(def) => Value::Object(message(types, def, bytes, depth + 1, budget)?),
            None => Value::Null,
        },
        (Ty::Quantity, Data::Bytes(bytes)) => {
            first_text(bytes, 1)?.map_or(json!("0"), Value::String)
        }
        (Ty::Raw | Ty::FieldSet | Ty::Json, Data::Bytes(bytes)) => {
            let text = first_text(bytes, 1)?.unwrap_or_default();
            super::json::parse(text.as_bytes()).map_or(Value::Null, |node| node.to_value())
        }
        (Ty::IntOrString, Data::Bytes(bytes)) => {
            let (mut kind, mut number, mut text) = (0, 0, String::new());
            for wire in fields(bytes)? {
                match (wire.number, wire.data) {
                    (1, Data::Number(n)) => kind = n,
                    (2, Data::Number(n)) => number = n.cast_signed(),
                    (3, Data::Bytes(bytes)) => text = utf8(bytes),
                    _ => {}
                }
            }
            if kind == 0 {
                json!(number)
            } else {
                json!(text)
            }
        }
        (Ty::Time | Ty::MicroTime, Data::Bytes(bytes)) => {
            let (mut seconds, mut nanos) = (0, 0);
            for wire in fields(bytes)? {
                match (wire.number, wire.data) {
                    (1, Data::Number(n)) => seconds = n.cast_signed(),
                    (2, Data::Number(n)) => nanos = i32::try_from(n.cast_signed()).unwrap_or(0),
                    _ => {}
                }
            }
            if bytes.is_empty() {
                return Ok(Value::Null);
            }
            let layout = if matches!(t.ty, Ty::Time) {
                "%Y-%m-%dT%H:%M:%SZ"
            } else {
                "%Y-%m-%dT%H:%M:%S.%6fZ"
            };
            jiff::Timestamp::new(seconds, nanos)
                .map_or(Value::Null, |time| json!(time.strftime(layout).to_string()))
        }
        _ => Value::Null,
    })
}

fn first_text(bytes: &[u8], number: u64) -> Result<Option<String>> {
    Ok(fields(bytes)?.into_iter().find_map(|wire| match wire.data {
        Data::Bytes(text) if wire.number == number => Some(utf8(text)),
        _ => None,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(number: u8, data: &[u8]) -> Vec<u8> {
        let mut out = vec![number << 3 | 2, u8::try_from(data.len()).unwrap()];
        out.extend_from_slice(data);
        out
    }

    fn envelope(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
        let meta = [bytes(1, api_version.as_bytes()), bytes(2, kind.as_bytes())].concat();
        [
            MAGIC.to_vec(),
            bytes(1, &meta),
            bytes(2, raw),
            bytes(3, b""),
            bytes(4, b""),
        ]
        .concat()
    }

    #[test]
    fn a_secret_is_read() {
        let metadata = bytes(1, &[bytes(1, b"a"), bytes(8, b"")].concat());
        let data = bytes(2, &[bytes(1, b"k"), bytes(2, b"value")].concat());
        let body = envelope(
            "v1",
            "Secret",
            &[metadata, data, bytes(3, b"Opaque")].concat(),
        );
        assert_eq!(
            decode_protobuf(&body),
            Ok(
                json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a", "creationTimestamp": null},
                "data": {"k": "dmFsdWU="}, "type": "Opaque"})
            )
        );
    }

    #[test]
    fn a_role_and_a_review_are_read() {
        let rule = bytes(
            2,
            &[
                bytes(1, b"get"),
                bytes(1, b"list"),
                bytes(2, b""),
                bytes(3, b"pods"),
            ]
            .concat(),
        );
        let role =
            decode_protobuf(&envelope("rbac.authorization.k8s.io/v1", "Role", &rule)).unwrap();
        assert_eq!(
            role["rules"],
            json!([{"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"]}])
        );
        let spec = bytes(
            2,
            &bytes(1, &[bytes(2, b"get"), bytes(5, b"pods")].concat()),
        );
        let review = decode_protobuf(&envelope(
            "authorization.k8s.io/v1",
            "SelfSubjectAccessReview",
            &spec,
        ))
        .unwrap();
        assert_eq!(
            review["spec"],
            json!({"resourceAttributes": {"verb": "get", "resource": "pods"}})
        );
    }

    #[test]
    fn fields_that_json_flattens_are_found() {
        let volume = [bytes(1, b"v"), bytes(2, &bytes(2, b""))].concat();
        let pod = decode_protobuf(&envelope("v1", "Pod", &bytes(2, &bytes(1, &volume)))).unwrap();
        assert_eq!(
            pod["spec"]["volumes"],
            json!([{"name": "v", "emptyDir": {}}])
        );
    }

    #[test]
    fn hostile_bodies_are_refused() {
        assert_eq!(decode_protobuf(b"{}"), Err(ProtobufError::NotProtobuf));
        assert!(decode_protobuf(b"k8s\0\x0a\xff").is_err());
        assert!(decode_protobuf(b"k8s\0\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff").is_err());
        assert!(matches!(
            decode_protobuf(&envelope("v1", "Nothing", b"")),
            Err(ProtobufError::UnknownKind { .. })
        ));
        for end in 0..40 {
            let body = envelope("v1", "ConfigMap", &bytes(1, &bytes(1, b"name")));
            let _ = decode_protobuf(body.get(..end).unwrap_or(&body));
        }
    }
}
