//! JSON documents: read by `serde_json`, within the same limits as YAML.

use std::fmt;

use serde::de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::map::Entry;
use serde_json::{Map, Value};

use super::build::{too_deep, too_long, too_many_nodes};
use super::error::ReadErrorKind;
use super::limits::ReadLimits;
use super::read::{Failure, failure, line_ends};
use super::scalar::float_to_json;

/// Reads all JSON values of the text, with the lines on which they begin.
pub(super) fn read(
    text: &str,
    limits: &ReadLimits,
    nodes: &mut usize,
) -> Result<Vec<(Value, usize)>, Failure> {
    let mut context = Context {
        limits,
        nodes,
        refused: None,
    };
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let mut values = Vec::new();
    // What `end` complains about is the next value.
    while let Err(next) = deserializer.end() {
        let seed = Seed {
            context: &mut context,
            depth: 0,
        };
        match seed.deserialize(&mut deserializer) {
            Ok(value) => {
                let before = text.get(..offset(text, &next)).unwrap_or(text);
                values.push((value, line_ends(before.as_bytes()) + 1));
            }
            Err(error) => {
                let kind = context.refused.take().unwrap_or_else(|| json_error(&error));
                return Err(failure(text, offset(text, &error), kind));
            }
        }
    }
    Ok(values)
}

/// The byte of the text at which the error is. `serde_json` knows no line that ends with
/// `\r` alone, and counts columns in bytes.
fn offset(text: &str, error: &serde_json::Error) -> usize {
    let start = match error.line().checked_sub(2) {
        Some(before) => text.match_indices('\n').nth(before),
        None => None,
    };
    let mut at = start.map_or(0, |(at, _)| at + 1) + error.column().saturating_sub(1);
    while at < text.len() && !text.is_char_boundary(at) {
        at -= 1;
    }
    at.min(text.len())
}

fn json_error(error: &serde_json::Error) -> ReadErrorKind {
    // The position stands in the failure already.
    let message = error.to_string();
    let message = match message.rfind(" at line ") {
        Some(at) => message.get(..at).unwrap_or(&message).to_owned(),
        None => message,
    };
    ReadErrorKind::Json { message }
}

struct Context<'a> {
    limits: &'a ReadLimits,
    nodes: &'a mut usize,
    /// Why the reader stopped, if it was not for the syntax.
    refused: Option<ReadErrorKind>,
}

impl Context<'_> {
    fn refuse<E: de::Error>(&mut self, kind: ReadErrorKind) -> E {
        self.refused = Some(kind);
        E::custom("refused")
    }

    fn count<E: de::Error>(&mut self) -> Result<(), E> {
        if *self.nodes >= self.limits.nodes {
            return Err(self.refuse(too_many_nodes(self.limits.nodes)));
        }
        *self.nodes += 1;
        Ok(())
    }

    fn text<E: de::Error>(&mut self, text: &str) -> Result<(), E> {
        if text.len() > self.limits.scalar_bytes {
            return Err(self.refuse(too_long(self.limits.scalar_bytes)));
        }
        Ok(())
    }
}

struct Seed<'a, 'c> {
    context: &'a mut Context<'c>,
    depth: usize,
}

impl Seed<'_, '_> {
    fn enter<E: de::Error>(&mut self) -> Result<(), E> {
        let allowed = self.context.limits.effective_depth();
        if self.depth >= allowed {
            return Err(self.context.refuse(too_deep(allowed)));
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_, '_> {
    type Value = Value;

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.context.count()?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_, '_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, bool: bool) -> Result<Value, E> {
        Ok(Value::Bool(bool))
    }

    fn visit_i64<E>(self, integer: i64) -> Result<Value, E> {
        Ok(Value::from(integer))
    }

    fn visit_u64<E>(self, integer: u64) -> Result<Value, E> {
        Ok(Value::from(integer))
    }

    fn visit_f64<E: de::Error>(self, float: f64) -> Result<Value, E> {
        float_to_json(float).ok_or_else(|| self.context.refuse(ReadErrorKind::NotFinite))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Value, E> {
        self.context.text(text)?;
        Ok(Value::String(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<Value, A::Error> {
        self.enter()?;
        let mut items = Vec::new();
        while let Some(item) = list.next_element_seed(Seed {
            context: self.context,
            depth: self.depth + 1,
        })? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut mapping: A) -> Result<Value, A::Error> {
        self.enter()?;
        let mut map = Map::new();
        while let Some(key) = mapping.next_key::<String>()? {
            self.context.count()?;
            self.context.text(&key)?;
            match map.entry(key) {
                Entry::Vacant(entry) => {
                    entry.insert(mapping.next_value_seed(Seed {
                        context: self.context,
                        depth: self.depth + 1,
                    })?);
                }
                Entry::Occupied(entry) => {
                    let key = entry.key().clone();
                    return Err(self.context.refuse(ReadErrorKind::DuplicateKey { key }));
                }
            }
        }
        Ok(Value::Object(map))
    }
}
