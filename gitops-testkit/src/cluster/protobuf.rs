//! Bodies in protobuf, which `kubectl` from 1.32 on sends where it makes an object itself
//! (`create namespace`, `create configmap`, `auth can-i` and so on).
//!
//! The table (`protobuf.txt`) holds the numbers of fields, as they stand in the API's
//! `generated.proto` files: of the kinds that `kubectl` makes, and of their fields that
//! it sets. A field that isn't in the table is an error that names it, not dropped.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::clock::seconds;
use super::status::{ApiError, ApiResult};
use super::write::JsonBody;

/// How deep messages may lie in each other.
const MAX_DEPTH: usize = 32;

/// What a body in the envelope of the API begins with.
const MAGIC: &[u8] = b"k8s\0";

type Message = BTreeMap<u64, (&'static str, &'static str)>;

static TABLE: LazyLock<BTreeMap<&'static str, Message>> = LazyLock::new(|| {
    let mut table: BTreeMap<&'static str, Message> = BTreeMap::new();
    let mut current = "";
    for line in include_str!("protobuf.txt").lines() {
        if let Some(field) = line.strip_prefix(' ') {
            let mut words = field.split(' ');
            if let (Some(number), Some(name), Some(kind)) =
                (words.next(), words.next(), words.next())
                && let (Ok(number), Some(message)) = (number.parse(), table.get_mut(current))
            {
                message.insert(number, (name, kind));
            }
        } else {
            current = line;
            table.entry(current).or_default();
        }
    }
    table
});

fn bad(why: impl std::fmt::Display) -> ApiError {
    ApiError::bad_request(format!("the protobuf body can't be read: {why}"))
}

/// A field as it lies on the wire.
enum Wire<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl<'a> Wire<'a> {
    fn bytes(self) -> ApiResult<&'a [u8]> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::Number(_) => Err(bad("a number where bytes are expected")),
        }
    }

    fn text(self) -> ApiResult<String> {
        String::from_utf8(self.bytes()?.to_vec()).map_err(|_| bad("a text is not UTF-8"))
    }

    fn number(self) -> ApiResult<i64> {
        match self {
            // Negative numbers are sent as their two's complement.
            Self::Number(number) => Ok(i64::from_ne_bytes(number.to_ne_bytes())),
            Self::Bytes(_) => Err(bad("bytes where a number is expected")),
        }
    }
}

fn varint(bytes: &mut &[u8]) -> ApiResult<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes
            .split_first()
            .ok_or_else(|| bad("it ends within a number"))?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(bad("a number is too long"))
}

/// The fields of a message, in order.
fn fields(mut bytes: &[u8]) -> ApiResult<Vec<(u64, Wire<'_>)>> {
    let mut out = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes)?;
        let wire = match key & 7 {
            0 => Wire::Number(varint(&mut bytes)?),
            2 => {
                let length = usize::try_from(varint(&mut bytes)?)
                    .map_err(|_| bad("a length is too large"))?;
                let (part, rest) = bytes
                    .split_at_checked(length)
                    .ok_or_else(|| bad("it ends within a field"))?;
                bytes = rest;
                Wire::Bytes(part)
            }
            other => return Err(bad(format!("wire type {other}"))),
        };
        out.push((key >> 3, wire));
    }
    Ok(out)
}

/// Turns a protobuf body into JSON.
pub(crate) fn to_json(body: &[u8]) -> ApiResult<JsonBody> {
    let body = body
        .strip_prefix(MAGIC)
        .ok_or_else(|| bad("it does not begin with `k8s\\0`"))?;
    let (mut api_version, mut kind, mut raw) = (String::new(), String::new(), &b""[..]);
    for (number, wire) in fields(body)? {
        match number {
            1 => {
                for (number, wire) in fields(wire.bytes()?)? {
                    match number {
                        1 => api_version = wire.text()?,
                        2 => kind = wire.text()?,
                        _ => {}
                    }
                }
            }
            2 => raw = wire.bytes()?,
            _ => {}
        }
    }
    if kind == "DeleteOptions" {
        return Err(bad("DeleteOptions are read as JSON only"));
    }
    let mut object = message(&kind, raw, 0)?;
    object.insert("apiVersion".to_owned(), json!(api_version));
    object.insert("kind".to_owned(), json!(kind));
    Ok(JsonBody {
        bytes: Value::Object(object).to_string().into_bytes(),
        duplicates: Vec::new(),
    })
}

fn message(name: &str, bytes: &[u8], depth: usize) -> ApiResult<Map<String, Value>> {
    if depth > MAX_DEPTH {
        return Err(bad("it is nested too deep"));
    }
    let known = TABLE
        .get(name)
        .ok_or_else(|| bad(format!("{name} is not read from protobuf; send JSON")))?;
    let mut out = Map::new();
    for (number, wire) in fields(bytes)? {
        let Some((field, kind)) = known.get(&number) else {
            return Err(bad(format!(
                "field {number} of {name} is not known; send JSON"
            )));
        };
        if let Some(item) = kind.strip_prefix('[') {
            let item = value(item, wire, depth)?;
            match out.entry(*field).or_insert_with(|| json!([])) {
                Value::Array(list) => list.push(item),
                other => *other = json!([item]),
            }
        } else if let Some(item) = kind.strip_prefix('{') {
            let (key, item) = entry(item, wire.bytes()?, depth)?;
            match out.entry(*field).or_insert_with(|| json!({})) {
                Value::Object(map) => {
                    map.insert(key, item);
                }
                other => *other = json!({key: item}),
            }
        } else {
            let value = value(kind, wire, depth)?;
            match (*field, value) {
                // An embedded message: its members are the outer one's.
                ("=", Value::Object(members)) => out.extend(members),
                ("-", _) | (_, Value::Null) => {}
                (field, value) => {
                    out.insert(field.to_owned(), value);
                }
            }
        }
    }
    Ok(out)
}

fn entry(kind: &str, bytes: &[u8], depth: usize) -> ApiResult<(String, Value)> {
    let (mut key, mut item) = (String::new(), None);
    for (number, wire) in fields(bytes)? {
        match number {
            1 => key = wire.text()?,
            2 => item = Some(value(kind, wire, depth)?),
            _ => return Err(bad("a map's entry has a strange field")),
        }
    }
    let item = match item {
        Some(item) => item,
        None => value(kind, Wire::Bytes(b""), depth)?,
    };
    Ok((key, item))
}

fn value(kind: &str, wire: Wire<'_>, depth: usize) -> ApiResult<Value> {
    Ok(match kind {
        "s" => Value::String(wire.text()?),
        "i" => json!(wire.number()?),
        "b" => json!(wire.number()? != 0),
        "y" => json!(STANDARD.encode(wire.bytes()?)),
        "q" => {
            let mut text = String::new();
            for (_, wire) in fields(wire.bytes()?)? {
                text = wire.text()?;
            }
            json!(text)
        }
        "t" => {
            let mut second = 0;
            for (number, wire) in fields(wire.bytes()?)? {
                if number == 1 {
                    second = wire.number()?;
                }
            }
            match Timestamp::from_second(second) {
                Ok(time) if second != 0 => json!(seconds(time)),
                _ => Value::Null,
            }
        }
        "o" => {
            let (mut is_text, mut number_value, mut text) = (false, 0, String::new());
            for (number, wire) in fields(wire.bytes()?)? {
                match number {
                    1 => is_text = wire.number()? == 1,
                    2 => number_value = wire.number()?,
                    _ => text = wire.text()?,
                }
            }
            if is_text {
                json!(text)
            } else {
                json!(number_value)
            }
        }
        other => match other.strip_prefix('@') {
            Some(name) => Value::Object(message(name, wire.bytes()?, depth + 1)?),
            None => return Err(ApiError::internal(format!("protobuf type {other}"))),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        let mut out = vec![number << 3 | 2, u8::try_from(bytes.len()).unwrap()];
        out.extend_from_slice(bytes);
        out
    }

    fn envelope(kind: &str, raw: &[u8]) -> Vec<u8> {
        let types = [field(1, b"v1"), field(2, kind.as_bytes())].concat();
        [MAGIC.to_vec(), field(1, &types), field(2, raw)].concat()
    }

    #[test]
    fn a_config_map_is_read() {
        let meta = field(1, b"settings");
        let data = [field(1, b"mode"), field(2, b"fast")].concat();
        let raw = [field(1, &meta), field(2, &data), vec![4 << 3, 1]].concat();
        let read = to_json(&envelope("ConfigMap", &raw)).unwrap();
        assert_eq!(
            serde_json::from_slice::<Value>(&read.bytes).unwrap(),
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"},
                "data": {"mode": "fast"}, "immutable": true})
        );
    }

    #[test]
    fn what_is_not_known_is_named() {
        let error = to_json(&envelope("ConfigMap", &field(15, b"x")))
            .err()
            .unwrap();
        assert!(
            error.message.contains("field 15 of ConfigMap"),
            "{}",
            error.message
        );
        assert!(to_json(b"k8s\0\xff").is_err());
        assert!(to_json(b"{}").is_err());
        assert!(to_json(&envelope("Elephant", b"")).is_err());
    }

    #[test]
    fn every_message_in_the_table_is_there() {
        for (name, fields) in TABLE.iter() {
            for (_, kind) in fields.values() {
                if let Some(other) = kind.trim_start_matches(['[', '{']).strip_prefix('@') {
                    assert!(TABLE.contains_key(other), "{name} refers to {other}");
                }
            }
        }
    }
}
