//! Elements of lists, by their keys.

use std::borrow::Cow;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use serde_json::Value;

use crate::equality::values_equal;
use crate::fieldset::Step;
use crate::schema::{ListType, TypeRef};

pub(super) type Keys<'k> = Vec<(Cow<'k, str>, Cow<'k, Value>)>;

/// The value of a key of a list element: what it states, or the key's default.
fn key_value<'k>(element: &'k Value, key: &str, list: TypeRef<'k>) -> Option<&'k Value> {
    match element.get(key) {
        Some(value) if !value.is_null() => Some(value),
        _ => list.items()?.field(key)?.default(),
    }
}

/// The keys of a list element, sorted by name. `None` if one is missing that has no
/// default, or if it isn't an object.
pub(super) fn keys_of<'k>(element: &'k Value, list: TypeRef<'k>) -> Option<Keys<'k>> {
    if !element.is_object() {
        return None;
    }
    let mut keys = list
        .list_keys()
        .map(|key| {
            Some((
                Cow::Borrowed(key),
                Cow::Borrowed(key_value(element, key, list)?),
            ))
        })
        .collect::<Option<Keys<'k>>>()?;
    keys.sort_by(|(a, _), (b, _)| a.cmp(b));
    Some(keys)
}

pub(super) fn has_keys(element: &Value, keys: &Keys<'_>, list: TypeRef<'_>) -> bool {
    keys.iter().all(|(name, wanted)| {
        key_value(element, name, list).is_some_and(|value| values_equal(value, wanted))
    })
}

/// The step to the element `item`, which is the one at the place `at` of a list of type `list`.
pub(crate) fn step_to<'k>(item: &'k Value, at: usize, list: Option<TypeRef<'k>>) -> Step<'k> {
    match list.and_then(TypeRef::list_type) {
        Some(ListType::Map) => list
            .and_then(|list| keys_of(item, list))
            .map_or(Step::Index(at), Step::Key),
        Some(ListType::Set) => Step::Value(Cow::Borrowed(item)),
        _ => Step::Index(at),
    }
}

/// Lists up to this length are searched, longer ones get an index.
pub(super) const SMALL: usize = 16;

/// Finds elements of a list by their keys.
pub(super) struct Lookup {
    index: Option<HashMap<String, usize>>,
    /// Keys that occur more than once, where there is an index.
    doubles: HashSet<String>,
}

fn text_of(keys: &Keys<'_>) -> String {
    let mut text = String::new();
    for (name, value) in keys {
        text.push_str(name);
        text.push('=');
        text.push_str(&value.to_string());
        text.push(',');
    }
    text
}

impl Lookup {
    pub(super) fn empty(length: usize) -> Self {
        Self {
            index: (length > SMALL).then(HashMap::new),
            doubles: HashSet::new(),
        }
    }

    pub(super) fn new(list: &[Value], ty: TypeRef<'_>) -> Self {
        let mut lookup = Self::empty(list.len());
        if let Some(index) = &mut lookup.index {
            for (at, element) in list.iter().enumerate() {
                let Some(keys) = keys_of(element, ty) else {
                    continue;
                };
                let text = text_of(&keys);
                match index.entry(text) {
                    Entry::Vacant(entry) => {
                        entry.insert(at);
                    }
                    Entry::Occupied(entry) => {
                        lookup.doubles.insert(entry.key().clone());
                    }
                }
            }
        }
        lookup
    }

    /// The element with these keys; `hint` is where it probably is.
    pub(super) fn find<'l>(
        &self,
        list: &'l [Value],
        hint: usize,
        keys: &Keys<'_>,
        ty: TypeRef<'_>,
    ) -> Option<&'l Value> {
        let hinted = list.get(hint).filter(|item| has_keys(item, keys, ty));
        if hinted.is_some() && self.index.is_none() {
            return hinted;
        }
        match &self.index {
            Some(index) => list.get(*index.get(&text_of(keys))?),
            None => list.iter().find(|item| has_keys(item, keys, ty)),
        }
    }

    /// Whether the list has several elements with these keys.
    pub(super) fn is_double(&self, list: &[Value], keys: &Keys<'_>, ty: TypeRef<'_>) -> bool {
        match &self.index {
            Some(_) => self.doubles.contains(&text_of(keys)),
            None => list
                .iter()
                .filter(|item| has_keys(item, keys, ty))
                .nth(1)
                .is_some(),
        }
    }

    /// Whether an element before `at` has the same keys.
    pub(super) fn has_before(
        &mut self,
        list: &[Value],
        at: usize,
        keys: &Keys<'_>,
        ty: TypeRef<'_>,
    ) -> bool {
        match &mut self.index {
            Some(index) => index.insert(text_of(keys), at).is_some(),
            None => list
                .iter()
                .take(at)
                .any(|earlier| has_keys(earlier, keys, ty)),
        }
    }
}
