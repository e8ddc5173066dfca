//! Whether an object says what another one says, and what it is after some changes.

use gitops_core::{FieldChange, FieldPath, FieldValue, PathElement};
use gitops_diff::equality::{scalars_equal, values_equal};
use gitops_diff::schema::{ListType, MapType, TypeRef};
use serde_json::{Map, Value};

use crate::arb::edit::served;
use crate::arb::place::{Role, key_of, places};

/// The first field that `desired` states and `actual` has otherwise or not at all.
///
/// Both are looked at as the server would keep them: what it leaves out (`tty: false`)
/// and what it sets within a value that is owned as a whole are no contradiction. A list
/// map's elements are told apart by their keys, an atomic list or map is equal or not, a
/// set's elements are there or not. Scalars are equal as their format has it.
pub(crate) fn contradiction(
    desired: &Value,
    actual: &Value,
    ty: Option<TypeRef<'_>>,
) -> Option<FieldPath> {
    let wanted = served(desired, ty);
    let actual = served(actual, ty);
    places(desired, ty).into_iter().find_map(|place| {
        if place.role == Role::Container || says_nothing(place.value, place.ty) {
            return None;
        }
        let there = find(&actual, &place.path, ty).filter(|there| !is_empty(there));
        let wanted = find(&wanted, &place.path, ty).filter(|wanted| !is_empty(wanted));
        let holds = match (wanted, there) {
            (None, there) => there.is_none(),
            (Some(_), None) => false,
            (Some(wanted), Some(there)) => equal(wanted, there, place.ty),
        };
        (!holds).then_some(place.path)
    })
}

/// An empty object or list whose parts have owners of their own. An empty value that is
/// owned as a whole, such as a selector of everything, says that it is empty.
fn says_nothing(value: &Value, ty: Option<TypeRef<'_>>) -> bool {
    match value {
        Value::Null => true,
        Value::Object(members) => {
            members.is_empty() && ty.is_none_or(|ty| ty.map_type() != Some(MapType::Atomic))
        }
        Value::Array(items) => {
            let own = ty.and_then(TypeRef::list_type);
            items.is_empty() && matches!(own, Some(ListType::Map | ListType::Set))
        }
        _ => false,
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(members) => members.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

/// Equal in meaning, all the way down.
pub(crate) fn equal(a: &Value, b: &Value, ty: Option<TypeRef<'_>>) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            let member = |members: &Map<String, Value>, name: &str| {
                members.get(name).filter(|value| !is_empty(value)).cloned()
            };
            a.keys()
                .chain(b.keys())
                .all(|name| match (member(a, name), member(b, name)) {
                    (None, None) => true,
                    (Some(a), Some(b)) => equal(&a, &b, ty.and_then(|ty| ty.member(name))),
                    _ => false,
                })
        }
        (Value::Array(a), Value::Array(b)) => {
            let items = ty.and_then(TypeRef::items);
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b, items))
        }
        _ => match ty.and_then(TypeRef::format) {
            Some(format) => scalars_equal(a, b, Some(format)),
            None => values_equal(a, b),
        },
    }
}

/// The value at a path.
pub(crate) fn find<'v>(
    object: &'v Value,
    path: &FieldPath,
    ty: Option<TypeRef<'_>>,
) -> Option<&'v Value> {
    let mut value = object;
    let mut ty = ty;
    for element in path.elements() {
        match element {
            PathElement::Field(name) => {
                value = value.get(name)?;
                ty = ty.and_then(|ty| ty.member(name));
            }
            element => {
                let at = position(value.as_array()?, element, ty)?;
                value = value.get(at)?;
                ty = ty.and_then(TypeRef::items);
            }
        }
    }
    Some(value)
}

fn position(items: &[Value], element: &PathElement, list: Option<TypeRef<'_>>) -> Option<usize> {
    match element {
        PathElement::Field(_) => None,
        PathElement::Index(at) => (*at < items.len()).then_some(*at),
        PathElement::Value(value) => items.iter().position(|item| values_equal(item, value)),
        PathElement::Key(keys) => items.iter().position(|item| match list {
            Some(list) if list.list_type() == Some(ListType::Map) => key_of(item, list) == *element,
            _ => keys
                .iter()
                .all(|(name, value)| item.get(name) == Some(value)),
        }),
    }
}

/// `live` after the changes. What is redacted is taken from `desired`, which is where it
/// would come from.
///
/// # Errors
///
/// What is wrong with the changes: a path that leads nowhere, a redacted value that
/// desired doesn't have.
pub(crate) fn changed(
    live: &Value,
    changes: &[FieldChange],
    desired: &Value,
    ty: Option<TypeRef<'_>>,
) -> Result<Value, String> {
    let mut object = live.clone();
    for change in changes {
        let value = match &change.after {
            FieldValue::Absent => None,
            FieldValue::Value(value) => Some(value.clone()),
            FieldValue::Redacted => Some(
                find(desired, &change.path, ty)
                    .cloned()
                    .or_else(|| secret(desired, &change.path))
                    .ok_or_else(|| {
                        format!("{} is redacted and desired doesn't state it", change.path)
                    })?,
            ),
            other => return Err(format!("{} would become {other}", change.path)),
        };
        put(&mut object, change.path.elements(), value, ty)
            .ok_or_else(|| format!("{change}: live has no such place"))?;
    }
    Ok(object)
}

/// `stringData` is how `data` can be written in a Secret.
fn secret(desired: &Value, path: &FieldPath) -> Option<Value> {
    use base64::Engine as _;
    match path.elements() {
        [PathElement::Field(data), PathElement::Field(key)] if data == "data" => {
            let text = desired["stringData"].get(key)?.as_str()?;
            Some(Value::String(
                base64::engine::general_purpose::STANDARD.encode(text),
            ))
        }
        _ => None,
    }
}

fn put(
    parent: &mut Value,
    way: &[PathElement],
    value: Option<Value>,
    ty: Option<TypeRef<'_>>,
) -> Option<()> {
    let Some((first, rest)) = way.split_first() else {
        *parent = value.unwrap_or(Value::Null);
        return Some(());
    };
    if let PathElement::Field(name) = first {
        if parent.is_null() {
            *parent = Value::Object(Map::new());
        }
        let members = parent.as_object_mut()?;
        if rest.is_empty() {
            match value {
                Some(value) => members.insert(name.clone(), value),
                None => members.remove(name),
            };
            return Some(());
        }
        // Taking from what isn't there is done already.
        if value.is_none() && !members.contains_key(name) {
            return Some(());
        }
        let member = members.entry(name.clone()).or_insert(Value::Null);
        return put(member, rest, value, ty.and_then(|ty| ty.member(name)));
    }
    if parent.is_null() {
        *parent = Value::Array(Vec::new());
    }
    let items = parent.as_array_mut()?;
    let at = match position(items, first, ty) {
        Some(at) => at,
        None if value.is_none() => return Some(()),
        None => {
            items.push(match first {
                PathElement::Key(keys) => Value::Object(keys.clone().into_iter().collect()),
                PathElement::Value(value) => value.clone(),
                _ => Value::Null,
            });
            items.len() - 1
        }
    };
    if rest.is_empty() && value.is_none() {
        items.remove(at);
        return Some(());
    }
    put(items.get_mut(at)?, rest, value, ty.and_then(TypeRef::items))
}
