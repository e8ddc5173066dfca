//! JSON values as the API server sees them: their order, their equality, and how Go
//! writes them in a message.

mod go;
mod tree;

use std::cmp::Ordering;

use serde_json::{Number, Value};

pub(crate) use go::{key_text, quoted};
pub(crate) use tree::{ListView, MapView, Shape, Tree};

/// How deep an object may be nested: what `serde_json` itself reads, so that an object
/// that came as text is never refused here. Every walk in this crate is recursive and
/// relies on it.
pub(crate) const MAX_DEPTH: usize = 128;

/// Whether a value is nested no deeper than [`MAX_DEPTH`]; stops where it passes that.
pub(crate) fn is_shallow(value: &Value) -> bool {
    fn within(value: &Value, left: usize) -> bool {
        match value {
            Value::Array(items) => left > 0 && items.iter().all(|item| within(item, left - 1)),
            Value::Object(members) => {
                left > 0 && members.values().all(|member| within(member, left - 1))
            }
            _ => true,
        }
    }
    within(value, MAX_DEPTH)
}

pub(crate) fn compare_numbers(a: &Number, b: &Number) -> Ordering {
    let whole = |n: &Number| {
        n.as_i64()
            .map(i128::from)
            .or_else(|| n.as_u64().map(i128::from))
    };
    match (whole(a), whole(b)) {
        (Some(a), Some(b)) => a.cmp(&b),
        _ => {
            let (a, b) = (a.as_f64().unwrap_or(0.0), b.as_f64().unwrap_or(0.0));
            a.partial_cmp(&b).unwrap_or(Ordering::Equal)
        }
    }
}

fn rank(value: &Value) -> u8 {
    match value {
        Value::Number(_) => 0,
        Value::String(_) => 1,
        Value::Bool(_) => 2,
        Value::Array(_) => 3,
        Value::Object(_) => 4,
        Value::Null => 5,
    }
}

/// A total order of values: numbers, then texts, booleans, lists, maps, null.
pub(crate) fn compare(a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => compare_numbers(a, b),
        (Value::String(a), Value::String(b)) => a.cmp(b),
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Array(a), Value::Array(b)) => {
            for (a, b) in a.iter().zip(b) {
                let order = compare(a, b);
                if order.is_ne() {
                    return order;
                }
            }
            a.len().cmp(&b.len())
        }
        (Value::Object(a), Value::Object(b)) => {
            let sorted = |members: &serde_json::Map<String, Value>| {
                let mut keys: Vec<String> = members.keys().cloned().collect();
                keys.sort();
                keys
            };
            let (a_keys, b_keys) = (sorted(a), sorted(b));
            for (a_key, b_key) in a_keys.iter().zip(&b_keys) {
                let order = a_key
                    .cmp(b_key)
                    .then_with(|| match (a.get(a_key), b.get(b_key)) {
                        (Some(a), Some(b)) => compare(a, b),
                        _ => Ordering::Equal,
                    });
                if order.is_ne() {
                    return order;
                }
            }
            a_keys.len().cmp(&b_keys.len())
        }
        _ => rank(a).cmp(&rank(b)),
    }
}
