//! Input that is made from bytes.

use gitops_diff::schema::{ListType, Scalar, TypeRef};
use serde_json::{Map, Value, json};

/// A text that is put where secrets are: an error that shows it shows a value.
pub const MARKER: &str = "hunter2";

/// Deep enough for every shape; the limits of depth have tests of their own.
const DEPTH: usize = 12;

/// Bytes, read as choices. After the last one every choice is the first.
#[derive(Debug, Clone)]
pub struct Bytes<'a> {
    left: &'a [u8],
}

impl<'a> Bytes<'a> {
    /// Choices from these bytes.
    #[must_use]
    pub fn new(left: &'a [u8]) -> Self {
        Self { left }
    }

    /// The next byte, zero after the last one.
    pub fn byte(&mut self) -> u8 {
        match self.left.split_first() {
            Some((first, left)) => {
                self.left = left;
                *first
            }
            None => 0,
        }
    }

    /// A number below `end`, which is at most 256.
    pub fn below(&mut self, end: usize) -> usize {
        usize::from(self.byte()) % end.max(1)
    }

    /// Whether there are bytes left.
    #[must_use]
    pub fn more(&self) -> bool {
        !self.left.is_empty()
    }

    /// Yes or no; no after the last byte.
    pub fn yes(&mut self) -> bool {
        self.byte() % 2 == 1
    }

    /// One of the items.
    pub fn pick<T: Copy>(&mut self, items: &[T]) -> Option<T> {
        items.get(self.below(items.len())).copied()
    }

    /// A short name, of which two are often the same.
    pub fn name(&mut self) -> String {
        const NAMES: [&str; 12] = [
            "a", "b", "c", "name", "x/y", "~", "é", "", "0", ".", "f:a", "\"q\\",
        ];
        self.pick(&NAMES).unwrap_or_default().to_owned()
    }

    /// A text, now and then the [`MARKER`].
    pub fn text(&mut self) -> String {
        const TEXTS: [&str; 14] = [
            "a",
            "b",
            "",
            "1",
            "null",
            "true",
            "100m",
            "0.1",
            "2Gi",
            "1h0m0s",
            "YQ==",
            "2026-01-02T03:04:05Z",
            "<&>\u{2028}\u{1}",
            "é🚀",
        ];
        match self.below(16) {
            at @ 0..14 => TEXTS.get(at).copied().unwrap_or_default().to_owned(),
            14 => MARKER.to_owned(),
            _ => format!("t{}", self.byte()),
        }
    }

    /// A number of any form.
    pub fn number(&mut self) -> Value {
        match self.below(8) {
            0 => json!(0),
            1 => json!(1),
            2 => json!(i64::from(self.byte()) - 128),
            3 => json!(f64::from(self.byte()) / 8.0),
            4 => json!(u64::MAX - u64::from(self.byte())),
            5 => json!(i64::MIN + i64::from(self.byte())),
            6 => json!(f64::from(self.byte()) * 1e300),
            _ => json!((1_u64 << 53) + u64::from(self.byte() % 4)),
        }
    }

    /// Any JSON value.
    pub fn value(&mut self, depth: usize) -> Value {
        match self.below(if depth >= DEPTH { 6 } else { 10 }) {
            0 => Value::Null,
            1 => json!(self.yes()),
            2 => self.number(),
            3..6 => json!(self.text()),
            6 => Value::Array((0..self.below(4)).map(|_| self.value(depth + 1)).collect()),
            _ => Value::Object(self.members(|bytes| bytes.value(depth + 1))),
        }
    }

    fn members(&mut self, mut value: impl FnMut(&mut Self) -> Value) -> Map<String, Value> {
        (0..self.below(4))
            .map(|_| (self.name(), value(self)))
            .collect()
    }

    /// A value of a type, and in one of 32 places something else.
    pub fn value_of(&mut self, ty: TypeRef<'_>, depth: usize) -> Value {
        if depth >= DEPTH || self.below(32) == 31 {
            return self.value(DEPTH - 2);
        }
        if let Some(values) = ty.enum_values().filter(|values| !values.is_empty()) {
            return values[self.below(values.len())].clone();
        }
        if ty.fields().len() > 0 {
            let fields: Vec<_> = ty.fields().collect();
            let mut object = Map::new();
            for _ in 0..1 + self.below(6) {
                let Some(field) = self.pick(&fields) else {
                    break;
                };
                object.insert(
                    field.name().to_owned(),
                    self.value_of(field.ty(), depth + 1),
                );
                if !self.more() {
                    break;
                }
            }
            return Value::Object(object);
        }
        if let (Some(list), Some(items)) = (ty.list_type(), ty.items())
            && ty.scalar().is_none()
        {
            let mut made = Vec::new();
            for _ in 0..self.below(4) {
                let mut item = self.value_of(items, depth + 1);
                if let (ListType::Map, Value::Object(members)) = (list, &mut item) {
                    for key in ty.list_keys() {
                        if let Some(field) = items.field(key)
                            && self.below(16) != 15
                        {
                            members.insert(key.to_owned(), self.key(field.ty()));
                        }
                    }
                }
                made.push(item);
            }
            return Value::Array(made);
        }
        match (ty.scalar(), ty.values()) {
            (Some(Scalar::Boolean), _) => json!(self.yes()),
            (Some(Scalar::Numeric), _) => self.number(),
            (Some(Scalar::String), _) => json!(self.text()),
            (None, Some(values)) => {
                Value::Object(self.members(|bytes| bytes.value_of(values, depth + 1)))
            }
            _ => self.value(depth),
        }
    }

    /// A value by which an element of a list is known: one of few, so that they meet.
    fn key(&mut self, ty: TypeRef<'_>) -> Value {
        match ty.scalar() {
            Some(Scalar::Boolean) => json!(self.yes()),
            Some(Scalar::Numeric) => json!(80 + self.below(3)),
            _ => json!(self.pick(&["a", "b", "c", "TCP"])),
        }
    }
}

/// The JSON texts that `data` begins with, at most `count`; `None` if it isn't text.
#[must_use]
pub fn texts(data: &[u8], count: usize) -> Option<Vec<Value>> {
    if !matches!(data.first(), Some(b'{' | b'[')) {
        return None;
    }
    let values = serde_json::Deserializer::from_slice(data).into_iter::<Value>();
    Some(values.map_while(Result::ok).take(count).collect())
}

/// Whether a text that is a value, not the name of a member, holds the [`MARKER`]. A value
/// may then not be seen in an error, if no name holds it as well.
#[must_use]
pub fn is_marked(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains(MARKER),
        Value::Array(items) => items.iter().any(is_marked),
        Value::Object(members) => members.values().any(is_marked),
        _ => false,
    }
}

/// Whether the name of a member holds the [`MARKER`].
#[must_use]
pub fn names_marked(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().any(names_marked),
        Value::Object(members) => members
            .iter()
            .any(|(name, member)| name.contains(MARKER) || names_marked(member)),
        _ => false,
    }
}
