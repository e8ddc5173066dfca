//! Small helpers to look into JSON and to set what isn't there.

use serde_json::{Map, Value};

/// The rule that most counts share.
pub(crate) const NOT_NEGATIVE: &str = "must be greater than or equal to 0";

/// The string member `key`; empty if it isn't there.
pub(crate) fn text<'a>(object: &'a Value, key: &str) -> &'a str {
    object.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// The elements of a list; none if it isn't one.
pub(crate) fn items(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The elements of the list `key`, to change.
pub(crate) fn items_mut<'a>(object: &'a mut Value, key: &str) -> &'a mut [Value] {
    object
        .get_mut(key)
        .and_then(Value::as_array_mut)
        .map(Vec::as_mut_slice)
        .unwrap_or_default()
}

/// The members of an object by key.
pub(crate) fn sorted(value: &Value) -> Vec<(&str, &Value)> {
    let mut members: Vec<_> = value
        .as_object()
        .into_iter()
        .flatten()
        .map(|(k, v)| (k.as_str(), v))
        .collect();
    members.sort_by(|a, b| a.0.cmp(b.0));
    members
}

/// Whether the member is absent or null.
pub(crate) fn unset(object: &Value, key: &str) -> bool {
    object.get(key).is_none_or(Value::is_null)
}

/// Sets `key` if it is absent, null or an empty string.
pub(crate) fn set_default(object: &mut Value, key: &str, value: impl Into<Value>) {
    if let Value::Object(map) = object {
        let missing = match map.get(key) {
            None | Some(Value::Null) => true,
            Some(Value::String(text)) => text.is_empty(),
            Some(_) => false,
        };
        if missing {
            map.insert(key.to_owned(), value.into());
        }
    }
}

/// The same for a number that counts as unset when it is zero.
pub(crate) fn set_nonzero(object: &mut Value, key: &str, value: i64) {
    if object.get(key).and_then(Value::as_i64).unwrap_or(0) == 0 {
        set(object, key, value);
    }
}

/// Sets `key`; does nothing if `object` is no object.
pub(crate) fn set(object: &mut Value, key: &str, value: impl Into<Value>) {
    if let Value::Object(map) = object {
        map.insert(key.to_owned(), value.into());
    }
}

/// Removes `key` and gives what was there.
pub(crate) fn remove(object: &mut Value, key: &str) -> Option<Value> {
    object.as_object_mut()?.remove(key)
}

/// The member `key` as an object, made if it is absent or null.
pub(crate) fn object<'a>(parent: &'a mut Value, key: &str) -> Option<&'a mut Value> {
    let map = parent.as_object_mut()?;
    let entry = map.entry(key.to_owned()).or_insert(Value::Null);
    if entry.is_null() {
        *entry = Value::Object(Map::new());
    }
    entry.is_object().then_some(entry)
}

/// The member `key` if it is an object.
pub(crate) fn member<'a>(parent: &'a mut Value, key: &str) -> Option<&'a mut Value> {
    parent.get_mut(key).filter(|v| v.is_object())
}
