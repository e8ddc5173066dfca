//! The places in an object, with their types and their names in `fieldsV1`.

use gitops_core::{FieldPath, PathElement};
use gitops_diff::schema::{ListType, MapType, TypeRef};
use serde_json::{Map, Value};

use super::dice::Dice;
use super::rules::{is_metadata_name, short_name};
use super::scalar;

/// One step into a JSON value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum At {
    Member(String),
    Item(usize),
}

/// A value in an object.
#[derive(Debug, Clone)]
pub(crate) struct Place<'a> {
    pub(crate) way: Vec<At>,
    pub(crate) path: FieldPath,
    pub(crate) value: &'a Value,
    /// `None` where the schema knows nothing.
    pub(crate) ty: Option<TypeRef<'a>>,
    /// The type of the object it is in.
    pub(crate) parent: Option<TypeRef<'a>>,
    /// The name of the nearest member.
    pub(crate) field: &'a str,
    pub(crate) role: Role,
}

/// What a value is to its object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// A value that has one owner: a scalar, an atomic list or map.
    Leaf,
    /// An object or list whose parts have owners of their own.
    Container,
    /// Part of what the object or list element is called: it isn't changed, it makes
    /// another one.
    Identity,
    /// An element of a set.
    SetItem,
}

/// Every place of `object`, parents before their parts.
pub(crate) fn places<'a>(object: &'a Value, ty: Option<TypeRef<'a>>) -> Vec<Place<'a>> {
    let mut found = Vec::new();
    let root = Place {
        way: Vec::new(),
        path: FieldPath::root(),
        value: object,
        ty,
        parent: None,
        field: "",
        role: Role::Container,
    };
    collect(root, &mut found);
    found
}

/// Whether the parts of `value` have owners of their own.
fn has_parts(value: &Value, ty: Option<TypeRef<'_>>) -> bool {
    match value {
        Value::Object(members) => {
            !members.is_empty() && ty.is_none_or(|ty| ty.map_type() != Some(MapType::Atomic))
        }
        Value::Array(items) => {
            !items.is_empty()
                && ty
                    .is_some_and(|ty| matches!(ty.list_type(), Some(ListType::Map | ListType::Set)))
        }
        _ => false,
    }
}

fn collect<'a>(mut place: Place<'a>, found: &mut Vec<Place<'a>>) {
    if place.role != Role::SetItem && place.role != Role::Identity {
        place.role = if has_parts(place.value, place.ty) {
            Role::Container
        } else {
            Role::Leaf
        };
    }
    let here = place.clone();
    let opaque = place.role != Role::Container;
    found.push(place);
    if opaque {
        return;
    }
    match here.value {
        Value::Object(members) => {
            for (name, value) in members {
                let mut way = here.way.clone();
                way.push(At::Member(name.clone()));
                let identity = here.way.is_empty() && matches!(&**name, "apiVersion" | "kind")
                    || here.ty.is_some_and(|ty| is_metadata_name(ty, name));
                collect(
                    Place {
                        way,
                        path: here.path.clone().field(name.clone()),
                        value,
                        ty: here.ty.and_then(|ty| ty.member(name)),
                        parent: here.ty,
                        field: name,
                        role: if identity { Role::Identity } else { Role::Leaf },
                    },
                    found,
                );
            }
        }
        Value::Array(items) => {
            let Some(list) = here.ty else { return };
            for (at, value) in items.iter().enumerate() {
                let mut way = here.way.clone();
                way.push(At::Item(at));
                let map = list.list_type() == Some(ListType::Map);
                let element = if map {
                    key_of(value, list)
                } else {
                    PathElement::Value(value.clone())
                };
                let from = found.len();
                collect(
                    Place {
                        way,
                        path: here.path.clone().join(element),
                        value,
                        ty: list.items(),
                        parent: here.ty,
                        field: here.field,
                        role: match map {
                            false => Role::SetItem,
                            true if has_parts(value, list.items()) => Role::Container,
                            // An atomic element with its keys in it.
                            true => Role::Identity,
                        },
                    },
                    found,
                );
                // The keys of the element say which one it is.
                let depth = here.way.len() + 2;
                for place in found.iter_mut().skip(from) {
                    if map
                        && place.way.len() == depth
                        && list.list_keys().any(|key| key == place.field)
                    {
                        place.role = Role::Identity;
                    }
                }
            }
        }
        _ => {}
    }
}

/// The key of an element of a list map, defaults included.
pub(crate) fn key_of(item: &Value, list: TypeRef<'_>) -> PathElement {
    let keys = list.list_keys().filter_map(|key| {
        let value = item
            .get(key)
            .cloned()
            .or_else(|| list.items()?.field(key)?.default().cloned())?;
        Some((key.to_owned(), value))
    });
    PathElement::Key(keys.collect())
}

/// The value at the end of a way.
pub(crate) fn at_mut<'v>(root: &'v mut Value, way: &[At]) -> Option<&'v mut Value> {
    way.iter().try_fold(root, |value, at| match at {
        At::Member(name) => value.get_mut(name),
        At::Item(at) => value.get_mut(*at),
    })
}

/// Takes the value at the end of a way out.
pub(crate) fn remove(root: &mut Value, way: &[At]) {
    let Some((last, way)) = way.split_last() else {
        return;
    };
    match (at_mut(root, way), last) {
        (Some(Value::Object(members)), At::Member(name)) => {
            members.remove(name);
        }
        (Some(Value::Array(items)), At::Item(at)) if *at < items.len() => {
            items.remove(*at);
        }
        _ => {}
    }
}

/// Another value than `place` has that its type allows; `None` if there is none.
pub(crate) fn other_value(place: &Place<'_>, dice: &mut Dice) -> Option<Value> {
    if place.value.is_array() || place.value.is_object() {
        return other_container(place, dice);
    }
    if let Some(values) = place.ty.and_then(TypeRef::enum_values) {
        let others: Vec<&Value> = values
            .iter()
            .filter(|value| *value != place.value)
            .collect();
        return others.get(dice.below(others.len())).copied().cloned();
    }
    let format = place.ty.and_then(TypeRef::format);
    Some(match (format, place.value) {
        (Some("quantity"), _) => {
            let owner = place.parent.and_then(short_name).unwrap_or("");
            let ty = place.ty?;
            (0..20)
                .map(|_| scalar::scalar(dice, ty, owner, place.field))
                .find(|other| !gitops_diff::equality::scalars_equal(other, place.value, format))?
        }
        (Some("date-time"), _) => "2031-02-03T04:05:06Z".into(),
        (Some("byte"), Value::String(text)) if text == "Y2hhbmdlZA==" => "YWdhaW4=".into(),
        (Some("byte"), _) => "Y2hhbmdlZA==".into(),
        (_, Value::Bool(value)) => Value::Bool(!value),
        (_, Value::Number(number)) => match number.as_i64() {
            Some(number) if number < 60_000 => (number + 1).into(),
            Some(number) => (number - 1).into(),
            None => 1.5.into(),
        },
        (_, Value::String(text)) => match text.strip_suffix('%') {
            Some(percent) => format!("{percent}0%").into(),
            None => format!("{text}x").into(),
        },
        _ => return None,
    })
}

fn other_container(place: &Place<'_>, dice: &mut Dice) -> Option<Value> {
    match place.value {
        Value::Array(items) => {
            let mut items = items.clone();
            if items.len() > 1 {
                items.remove(dice.below(items.len()));
            } else {
                items.push(items.first()?.clone());
            }
            Some(Value::Array(items))
        }
        Value::Object(members) => {
            let mut members = members.clone();
            match members.values_mut().find(|value| value.is_string()) {
                Some(value) => *value = format!("{}x", value.as_str()?).into(),
                None => {
                    members
                        .keys()
                        .next()
                        .cloned()
                        .map(|name| members.remove(&name))?;
                }
            }
            Some(Value::Object(members))
        }
        _ => None,
    }
}

/// An object with the members of `members` in the opposite order, all the way down.
pub(crate) fn reversed(value: &Value) -> Value {
    match value {
        Value::Object(members) => Value::Object(
            members
                .iter()
                .rev()
                .map(|(name, value)| (name.clone(), reversed(value)))
                .collect::<Map<_, _>>(),
        ),
        Value::Array(items) => Value::Array(items.iter().map(reversed).collect()),
        scalar => scalar.clone(),
    }
}
