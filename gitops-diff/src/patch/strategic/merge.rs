//! Merging a strategic merge patch into an object, or one patch into another.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use super::super::merge::without_nulls;
use super::{
    DELETE_FROM, DIRECTIVE, ELEMENT_ORDER, Kind, PatchError, PatchSchema, Place, RETAIN_KEYS,
    directive_target, element_kind, lookup_key, outline,
};

const BAD_ORDER: &str = "invalid patch format of setElementOrder list";
const BAD_PRIMITIVES: &str = "invalid patch format of primitive list";
const BAD_RETAIN: &str = "invalid patch format of retainKeys";

/// Which of the two merges this is.
pub(super) struct Merge {
    /// Whether directives are carried out. They are when a patch meets an object, and
    /// kept when two patches become one.
    carry_out: bool,
}

impl Merge {
    /// A patch meets an object, as on the server.
    pub(super) fn server_side() -> Self {
        Self { carry_out: true }
    }

    /// One patch is added to another, as in a client's three-way merge.
    pub(super) fn of_patches() -> Self {
        Self { carry_out: false }
    }

    pub(super) fn objects<S: PatchSchema>(
        &self,
        original: Map<String, Value>,
        patch: Map<String, Value>,
        schema: &S,
    ) -> Result<Map<String, Value>, PatchError> {
        self.object(original, patch, schema, &Place::ROOT)
    }

    fn object<S: PatchSchema>(
        &self,
        mut original: Map<String, Value>,
        mut patch: Map<String, Value>,
        schema: &S,
        at: &Place<'_>,
    ) -> Result<Map<String, Value>, PatchError> {
        match patch.get(DIRECTIVE) {
            None => {}
            Some(Value::String(directive)) if directive == "replace" => {
                patch.remove(DIRECTIVE);
                return Ok(patch);
            }
            Some(Value::String(directive)) if directive == "delete" => return Ok(Map::new()),
            Some(other) => return Err(unknown_directive(other, &patch, at)),
        }
        self.retain_keys(&mut original, &mut patch, at)?;
        self.element_orders(&mut original, &mut patch, schema, at)?;

        for (key, wanted) in patch {
            if key.starts_with(DELETE_FROM) {
                self.delete_from(&mut original, key, wanted, schema, at)?;
                continue;
            }
            if wanted.is_null() {
                original.remove(&key);
                if !self.carry_out {
                    original.insert(key, Value::Null);
                }
                continue;
            }
            let old = match original.remove(&key) {
                Some(old) if Kind::of(&old) == Kind::of(&wanted) => old,
                _ => {
                    let wanted = match self.carry_out {
                        true => without_directives(without_nulls(&wanted)),
                        false => Some(wanted),
                    };
                    if let Some(wanted) = wanted {
                        original.insert(key, wanted);
                    }
                    continue;
                }
            };
            let here = at.member(&key);
            let merged = match (old, wanted) {
                (Value::Object(old), Value::Object(wanted)) => {
                    let field = known_field(schema, &key, at)?;
                    match field.strategy.action {
                        super::PatchAction::Replace => Value::Object(wanted),
                        _ => Value::Object(self.object(old, wanted, &field.schema, &here)?),
                    }
                }
                (Value::Array(old), Value::Array(wanted)) => {
                    let field = known_field(schema, &key, at)?;
                    if field.merges_lists() {
                        let key = field.merge_key.as_deref();
                        Value::Array(self.list(old, wanted, &field.schema, key, &here)?)
                    } else {
                        Value::Array(wanted)
                    }
                }
                (_, wanted) => wanted,
            };
            original.insert(key, merged);
        }
        Ok(original)
    }

    /// `$retainKeys`: members that it doesn't name go.
    fn retain_keys(
        &self,
        original: &mut Map<String, Value>,
        patch: &mut Map<String, Value>,
        at: &Place<'_>,
    ) -> Result<(), PatchError> {
        let Some(directive) = patch.remove(RETAIN_KEYS) else {
            return Ok(());
        };
        if !self.carry_out {
            original.insert(RETAIN_KEYS.to_owned(), directive);
            return Ok(());
        }
        let Value::Array(names) = &directive else {
            return Err(at.bad_directive(BAD_RETAIN));
        };
        let retained: HashSet<_> = names.iter().filter_map(Value::as_str).collect();
        for (key, value) in patch.iter() {
            let directive = key.starts_with(DELETE_FROM) || key.starts_with(ELEMENT_ORDER);
            if !value.is_null() && !directive && !retained.contains(key.as_str()) {
                return Err(at.bad_directive(BAD_RETAIN));
            }
        }
        original.retain(|key, _| retained.contains(key.as_str()));
        Ok(())
    }

    /// `$setElementOrder/x`, together with the list `x` itself where both are there.
    fn element_orders<S: PatchSchema>(
        &self,
        original: &mut Map<String, Value>,
        patch: &mut Map<String, Value>,
        schema: &S,
        at: &Place<'_>,
    ) -> Result<(), PatchError> {
        let directives: Vec<_> = patch
            .keys()
            .filter(|key| key.starts_with(ELEMENT_ORDER))
            .cloned()
            .collect();
        for directive in directives {
            let Some(order) = patch.remove(&directive) else {
                continue;
            };
            if !self.carry_out {
                original.insert(directive.clone(), order.clone());
            }
            let order = match order {
                Value::Array(order) => order,
                other => return Err(at.bad_type(Kind::List, &other)),
            };
            let target = directive_target(&directive, ELEMENT_ORDER, BAD_ORDER, at)?;
            let here = at.member(target);
            let old = taken_list(original, target, &here)?;
            let new = taken_list(patch, target, &here)?;
            let field = known_field(schema, target, at)?;
            let merge_key = field.merge_key.as_deref();
            check_order(new.as_deref().unwrap_or_default(), &order, merge_key, &here)?;

            let old_order = old.clone().unwrap_or_default();
            let kind = element_kind(&old_order, new.as_deref().unwrap_or_default(), &here)?;
            let (merged, seen_order) = match (old, new) {
                (None, None) => continue,
                (Some(old), None) => (old, old_order),
                (None, Some(new)) if self.carry_out => (
                    new.into_iter().filter_map(without_directives).collect(),
                    old_order,
                ),
                (None, Some(new)) => (new, old_order),
                (Some(old), Some(new)) if !field.merges_lists() => {
                    let _ = old;
                    (new, old_order)
                }
                (Some(old), Some(new)) => {
                    let seen = order_seen_by_server(&old_order, &new, merge_key);
                    let merged = self.list(old, new, &field.schema, merge_key, &here)?;
                    (merged, seen)
                }
            };
            let by = match kind {
                Some(Kind::Object) => merge_key,
                _ => None,
            };
            let ordered = in_order(merged, &order, &seen_order, by, &here)?;
            original.insert(target.to_owned(), Value::Array(ordered));
        }
        Ok(())
    }

    /// `$deleteFromPrimitiveList/x`.
    fn delete_from<S: PatchSchema>(
        &self,
        original: &mut Map<String, Value>,
        directive: String,
        wanted: Value,
        schema: &S,
        at: &Place<'_>,
    ) -> Result<(), PatchError> {
        if !self.carry_out {
            original.insert(directive, wanted);
            return Ok(());
        }
        let target = directive_target(&directive, DELETE_FROM, BAD_PRIMITIVES, at)?;
        let here = at.member(target);
        match (original.get_mut(target), wanted) {
            (Some(_), Value::Null) => {
                original.remove(target);
            }
            (Some(Value::Array(old)), Value::Array(wanted)) => {
                let field = known_field(schema, target, at)?;
                let kind = element_kind(old, &wanted, &here)?;
                if kind == Some(Kind::Object) {
                    let old = std::mem::take(old);
                    let key = field.merge_key.as_deref();
                    let merged = self.list(old, wanted, &field.schema, key, &here)?;
                    original.insert(target.to_owned(), Value::Array(merged));
                } else {
                    let gone: HashSet<_> = wanted.iter().map(lookup_key).collect();
                    old.retain(|value| !gone.contains(&lookup_key(value)));
                }
            }
            // Nothing to delete from.
            _ => {}
        }
        Ok(())
    }

    /// Merges a list whose strategy is `merge`.
    fn list<S: PatchSchema>(
        &self,
        original: Vec<Value>,
        patch: Vec<Value>,
        schema: &S,
        merge_key: Option<&str>,
        at: &Place<'_>,
    ) -> Result<Vec<Value>, PatchError> {
        match element_kind(&original, &patch, at)? {
            None => Ok(original),
            Some(Kind::Object) => {
                let Some(key) = merge_key else {
                    return Err(
                        at.unmergeable("cannot merge lists without merge key for slice".to_owned())
                    );
                };
                // It leaves nothing of what another patch says about elements.
                if !self.carry_out && patch.iter().any(replaces) {
                    return Ok(patch);
                }
                let (original, patch) = list_directives(original, patch, key, at)?;
                let order = original.clone();
                let merged = self.elements(original, &patch, schema, key, at)?;
                in_order(merged, &patch, &order, Some(key), at)
            }
            Some(_) => {
                let mut seen = HashSet::new();
                let merged: Vec<_> = original
                    .iter()
                    .chain(&patch)
                    .filter(|value| seen.insert(lookup_key(value)))
                    .cloned()
                    .collect();
                in_order(merged, &patch, &original, None, at)
            }
        }
    }

    fn elements<S: PatchSchema>(
        &self,
        mut original: Vec<Value>,
        patch: &[Value],
        schema: &S,
        key: &str,
        at: &Place<'_>,
    ) -> Result<Vec<Value>, PatchError> {
        // Where the first element with each key stands.
        let mut places = HashMap::new();
        for (place, element) in original.iter().enumerate() {
            if let Some(value) = element.get(key) {
                places.entry(lookup_key(value)).or_insert(place);
            }
        }
        for element in patch {
            let Value::Object(members) = element else {
                return Err(at.bad_type(Kind::Object, element));
            };
            let Some(value) = members.get(key) else {
                return Err(at.no_merge_key(members, key));
            };
            let value = lookup_key(value);
            let place = places.get(&value).copied();
            match place.and_then(|place| original.get_mut(place)) {
                Some(slot) => {
                    if let Value::Object(old) = slot.take() {
                        *slot = Value::Object(self.object(old, members.clone(), schema, at)?);
                    }
                }
                None => {
                    places.insert(value, original.len());
                    original.push(element.clone());
                }
            }
        }
        Ok(original)
    }
}

fn unknown_directive(found: &Value, patch: &Map<String, Value>, at: &Place<'_>) -> PatchError {
    let directive = found.as_str().unwrap_or("(not a string)");
    at.unmergeable(format!(
        "unknown patch type: {directive} in map: {}",
        outline(patch)
    ))
}

fn known_field<S: PatchSchema>(
    schema: &S,
    name: &str,
    at: &Place<'_>,
) -> Result<super::PatchField<S>, PatchError> {
    schema
        .patch_field(name)
        .ok_or_else(|| at.unmergeable(format!("unable to find api field {name:?}")))
}

fn taken_list(
    from: &mut Map<String, Value>,
    name: &str,
    at: &Place<'_>,
) -> Result<Option<Vec<Value>>, PatchError> {
    match from.remove(name) {
        None => Ok(None),
        Some(Value::Array(list)) => Ok(Some(list)),
        Some(other) => Err(at.bad_type(Kind::List, &other)),
    }
}

/// Whether the element says that the others are the whole list.
fn replaces(element: &Value) -> bool {
    element.get(DIRECTIVE).and_then(Value::as_str) == Some("replace")
}

/// `$patch` in elements of a list: gives the list without what the patch deletes, and the
/// patch without such elements.
fn list_directives(
    original: Vec<Value>,
    patch: Vec<Value>,
    key: &str,
    at: &Place<'_>,
) -> Result<(Vec<Value>, Vec<Value>), PatchError> {
    let mut gone = HashSet::new();
    let mut replace = false;
    let mut rest = Vec::with_capacity(patch.len());
    for element in patch {
        let Value::Object(members) = &element else {
            return Err(at.bad_type(Kind::Object, &element));
        };
        match members.get(DIRECTIVE) {
            None => rest.push(element),
            Some(Value::String(directive)) if directive == "delete" => {
                let Some(value) = members.get(key) else {
                    return Err(at.no_merge_key(members, key));
                };
                gone.insert(lookup_key(value));
            }
            Some(Value::String(directive)) if directive == "replace" => replace = true,
            Some(Value::String(directive)) if directive == "merge" => {
                return Err(
                    at.unmergeable("merging lists cannot yet be specified in the patch".to_owned())
                );
            }
            Some(other) => return Err(unknown_directive(other, members, at)),
        }
    }
    if replace {
        return Ok((rest, Vec::new()));
    }
    let mut original = original;
    if !gone.is_empty() {
        original.retain(|element| {
            element
                .get(key)
                .is_none_or(|value| !gone.contains(&lookup_key(value)))
        });
    }
    Ok((original, rest))
}

/// The old order of a list as the server still sees it after it merged a patch into it.
///
/// Its merge works in the memory of the old list: an element that the patch adds lands
/// where one that it deletes stood, and counts as an old one from then on. Which order
/// the list gets depends on it when others' elements stand between.
fn order_seen_by_server(old: &[Value], patch: &[Value], key: Option<&str>) -> Vec<Value> {
    let Some(key) = key else {
        return old.to_vec();
    };
    let of = |element: &Value| element.get(key).map(lookup_key);
    let directive =
        |element: &Value, name: &str| element.get(DIRECTIVE).and_then(Value::as_str) == Some(name);
    if patch.iter().any(replaces) {
        return old.to_vec();
    }
    let gone: HashSet<_> = patch
        .iter()
        .filter(|element| directive(element, "delete"))
        .filter_map(of)
        .collect();
    let mut seen: Vec<_> = old
        .iter()
        .filter(|element| of(element).is_none_or(|key| !gone.contains(&key)))
        .cloned()
        .collect();
    let freed = old.len() - seen.len();
    if freed > 0 {
        let known: HashSet<_> = seen.iter().filter_map(of).collect();
        let added = patch
            .iter()
            .filter(|element| element.get(DIRECTIVE).is_none())
            .filter(|element| of(element).is_some_and(|key| !known.contains(&key)))
            .take(freed);
        seen.extend(added.cloned());
    }
    seen
}

/// Checks that the elements of the patch stand in the order that it asks for.
fn check_order(
    patch: &[Value],
    order: &[Value],
    key: Option<&str>,
    at: &Place<'_>,
) -> Result<(), PatchError> {
    if patch.is_empty() || order.is_empty() {
        return Ok(());
    }
    let mut wanted = order.iter();
    for element in patch {
        if element.get(DIRECTIVE).is_some() {
            continue;
        }
        let found = match key {
            None => wanted.any(|candidate| candidate == element),
            Some(key) => {
                let value = key_of(element, key, at)?;
                let mut found = false;
                for candidate in wanted.by_ref() {
                    if key_of(candidate, key, at)? == value {
                        found = true;
                        break;
                    }
                }
                found
            }
        };
        if !found {
            return Err(at.unmergeable(format!(
                "The order in patch list doesn't match {ELEMENT_ORDER} list"
            )));
        }
    }
    Ok(())
}

/// The value of the merge key of `element`.
fn key_of<'e>(element: &'e Value, key: &str, at: &Place<'_>) -> Result<&'e Value, PatchError> {
    let Value::Object(members) = element else {
        return Err(at.bad_type(Kind::Object, element));
    };
    members
        .get(key)
        .ok_or_else(|| at.no_merge_key(members, key))
}

/// Puts a merged list in order: elements that `order` names in its order, the others in
/// that of `old`, and each of the others before the first named one that it stood before.
fn in_order(
    merged: Vec<Value>,
    order: &[Value],
    old: &[Value],
    key: Option<&str>,
    at: &Place<'_>,
) -> Result<Vec<Value>, PatchError> {
    let id = |element: &Value| match key {
        None => Ok(lookup_key(element)),
        Some(key) => key_of(element, key, at).map(lookup_key),
    };
    let places = |list: &[Value]| {
        let mut places = HashMap::new();
        for (place, element) in list.iter().enumerate() {
            places.entry(id(element)?).or_insert(place);
        }
        Ok::<_, PatchError>(places)
    };
    let (order, old) = (places(order)?, places(old)?);

    let (mut named, mut others) = (Vec::new(), Vec::new());
    for element in merged {
        let id = id(&element)?;
        let old = old.get(&id).copied();
        match order.get(&id) {
            Some(place) => named.push((*place, old, element)),
            None => others.push((old.unwrap_or(usize::MAX), old, element)),
        }
    }
    named.sort_by_key(|(place, _, _)| *place);
    others.sort_by_key(|(place, _, _)| *place);

    let mut out = Vec::with_capacity(named.len() + others.len());
    let mut others = others.into_iter().peekable();
    for (_, named_old, element) in named {
        while let Some((_, _, other)) = others.next_if(|(_, other_old, _)| {
            matches!((other_old, named_old), (Some(other), Some(named)) if *other < named)
        }) {
            out.push(other);
        }
        out.push(element);
    }
    out.extend(others.map(|(_, _, element)| element));
    Ok(out)
}

/// A value that is new in the object: objects with `$patch` in them are left out.
fn without_directives(value: Value) -> Option<Value> {
    match value {
        Value::Object(members) => {
            if members.contains_key(DIRECTIVE) {
                return None;
            }
            Some(
                members
                    .into_iter()
                    .filter_map(|(name, member)| Some((name, without_directives(member)?)))
                    .collect(),
            )
        }
        Value::Array(items) => Some(items.into_iter().filter_map(without_directives).collect()),
        other => Some(other),
    }
}
