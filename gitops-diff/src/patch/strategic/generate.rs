//! The strategic merge patch between two objects, and the one of client-side apply.

use std::collections::{BTreeSet, HashMap, HashSet};

use serde_json::{Map, Value, json};

use super::super::merge::without_nulls;
use super::merge::Merge;
use super::{
    DELETE_FROM, DIRECTIVE, ELEMENT_ORDER, Kind, PatchAction, PatchError, PatchField, PatchSchema,
    Place, RETAIN_KEYS, check_depth, element_kind, is_directive, lookup_key,
};

/// Gives the strategic merge patch that leads from `before` to `after`, `{}` if they are
/// equal.
///
/// Members that are `null` count as absent, as everywhere on the API server. Elements of
/// merged lists are named by their key, their order is stated where it matters
/// (`$setElementOrder`), and unions name what they keep (`$retainKeys`): the patch is the
/// one that `kubectl edit` sends.
///
/// Two lists come out a little different, since no patch can say more: one in which a key
/// occurs twice is replaced whole, and the server puts elements with the same key side by
/// side; a merged list of scalars that has one twice gets it once.
///
/// # Errors
///
/// [`PatchError::Unmergeable`] for a merged list with an element that has no key, or whose
/// elements are of several types, and for a member that objects of this type don't have;
/// [`PatchError::Inexpressible`] if one of the two isn't an object, or has a member such as
/// `$patch` where they differ; [`PatchError::TooDeep`].
///
/// ```
/// use gitops_diff::patch::strategic::{self, Schemaless};
/// use serde_json::json;
///
/// let patch = strategic::generate(
///     &json!({"spec": {"replicas": 1, "paused": true}}),
///     &json!({"spec": {"replicas": 2}}),
///     &Schemaless,
/// )?;
/// assert_eq!(patch, json!({"spec": {"paused": null, "replicas": 2}}));
/// # Ok::<(), gitops_diff::patch::PatchError>(())
/// ```
pub fn generate<S: PatchSchema>(
    before: &Value,
    after: &Value,
    schema: &S,
) -> Result<Value, PatchError> {
    let before = object(before, "the document")?;
    let after = object(after, "the wanted document")?;
    let whole = Difference {
        deletions: true,
        changes: true,
    };
    whole
        .objects(&before, &after, schema, false, &Place::ROOT)
        .map(Value::Object)
}

/// Gives the strategic merge patch that client-side apply sends for a built-in kind.
///
/// `last_applied` is what the same client applied before (from the annotation
/// `kubectl.kubernetes.io/last-applied-configuration`; `None` if there is none). The patch
/// sets what `desired` says and `live` doesn't, removes what `last_applied` had and
/// `desired` has no more, and leaves the rest of `live` alone, in lists with keys too.
///
/// # Errors
///
/// As for [`generate`].
///
/// ```
/// use gitops_diff::patch::strategic::{self, Schemaless};
/// use serde_json::json;
///
/// let patch = strategic::three_way(
///     Some(&json!({"data": {"a": "1", "b": "1"}})),
///     &json!({"data": {"a": "2"}}),
///     &json!({"data": {"a": "1", "b": "1", "theirs": "1"}}),
///     &Schemaless,
/// )?;
/// assert_eq!(patch, json!({"data": {"a": "2", "b": null}}));
/// # Ok::<(), gitops_diff::patch::PatchError>(())
/// ```
pub fn three_way<S: PatchSchema>(
    last_applied: Option<&Value>,
    desired: &Value,
    live: &Value,
    schema: &S,
) -> Result<Value, PatchError> {
    let last = match last_applied {
        Some(last) => object(last, "the last applied object")?,
        None => Map::new(),
    };
    let desired = object(desired, "the desired object")?;
    let live = object(live, "the live object")?;
    let changes = Difference {
        deletions: false,
        changes: true,
    }
    .objects(&live, &desired, schema, false, &Place::ROOT)?;
    let deletions = Difference {
        deletions: true,
        changes: false,
    }
    .objects(&last, &desired, schema, false, &Place::ROOT)?;
    Merge::of_patches()
        .objects(deletions, changes, schema)
        .map(Value::Object)
}

fn object(value: &Value, what: &'static str) -> Result<Map<String, Value>, PatchError> {
    check_depth(value, what)?;
    match without_nulls(value) {
        Value::Object(members) => Ok(members),
        _ => Err(PatchError::Inexpressible {
            path: String::new(),
            reason: "a strategic merge patch leads from an object to an object",
        }),
    }
}

/// Which differences are wanted.
struct Difference {
    /// What the second object doesn't have.
    deletions: bool,
    /// What it has anew, or otherwise.
    changes: bool,
}

impl Difference {
    fn objects<S: PatchSchema>(
        &self,
        before: &Map<String, Value>,
        after: &Map<String, Value>,
        schema: &S,
        retain_keys: bool,
        at: &Place<'_>,
    ) -> Result<Map<String, Value>, PatchError> {
        let mut patch = Map::new();
        for (name, new) in after {
            let here = at.member(name);
            let Some(old) = before.get(name) else {
                if self.changes {
                    sayable(name, new, &here)?;
                    patch.insert(name.clone(), new.clone());
                }
                continue;
            };
            if old == new {
                continue;
            }
            sayable(name, new, &here)?;
            match (old, new) {
                (Value::Object(old), Value::Object(new)) => {
                    let field = known(schema, name, at)?;
                    if field.strategy.action == PatchAction::Replace {
                        if self.changes {
                            patch.insert(name.clone(), Value::Object(new.clone()));
                        }
                        continue;
                    }
                    let keep = field.strategy.retain_keys;
                    let part = self.objects(old, new, &field.schema, keep, &here)?;
                    if !part.is_empty() {
                        patch.insert(name.clone(), Value::Object(part));
                    }
                }
                (Value::Array(old), Value::Array(new)) => {
                    let field = known(schema, name, at)?;
                    if field.merges_lists() {
                        self.lists(old, new, &field, name, &mut patch, &here)?;
                    } else if self.changes {
                        patch.insert(name.clone(), Value::Array(new.clone()));
                    }
                }
                (_, new) if self.changes => {
                    patch.insert(name.clone(), new.clone());
                }
                _ => {}
            }
        }
        let gone = || before.keys().filter(|name| !after.contains_key(*name));
        if self.deletions {
            for name in gone() {
                sayable(name, &Value::Null, &at.member(name))?;
                patch.insert(name.clone(), Value::Null);
            }
        }
        if retain_keys && !after.is_empty() && (!patch.is_empty() || gone().next().is_some()) {
            let names: BTreeSet<_> = after.keys().collect();
            patch.insert(RETAIN_KEYS.to_owned(), json!(names));
        }
        Ok(patch)
    }

    fn lists<S: PatchSchema>(
        &self,
        before: &[Value],
        after: &[Value],
        field: &PatchField<S>,
        name: &str,
        patch: &mut Map<String, Value>,
        at: &Place<'_>,
    ) -> Result<(), PatchError> {
        // What applying the patch would refuse is refused here, in the same words.
        let key = match (element_kind(before, after, at)?, field.merge_key.as_deref()) {
            (Some(Kind::Object), Some(key)) => Some(key),
            (Some(Kind::Object), None) => {
                return Err(
                    at.unmergeable("cannot merge lists without merge key for slice".to_owned())
                );
            }
            (Some(_), Some(_)) => {
                let scalar = before.iter().chain(after).next();
                return Err(at.bad_type(Kind::Object, scalar.unwrap_or(&Value::Null)));
            }
            _ => None,
        };
        if before.is_empty() {
            if self.changes && !after.is_empty() {
                let elements = match key {
                    Some(key) if keyed(after, key, at)?.is_none() => replacing(after),
                    _ => after.to_vec(),
                };
                patch.insert(name.to_owned(), Value::Array(elements));
            }
            return Ok(());
        }
        let elements = match key {
            Some(key) => self.keyed_lists(before, after, key, field, at)?,
            None => self.sets(before, after, name, patch),
        };
        if let Some(ListPatch { elements, order }) = elements {
            if !elements.is_empty() {
                patch.insert(name.to_owned(), Value::Array(elements));
            }
            if let Some(order) = order {
                patch.insert(format!("{ELEMENT_ORDER}/{name}"), Value::Array(order));
            }
        }
        Ok(())
    }

    /// What goes into the patch, `None` for nothing.
    fn keyed_lists<S: PatchSchema>(
        &self,
        before: &[Value],
        after: &[Value],
        key: &str,
        field: &PatchField<S>,
        at: &Place<'_>,
    ) -> Result<Option<ListPatch>, PatchError> {
        let old = keyed(before, key, at)?;
        let new = keyed(after, key, at)?;
        let (Some(old), Some(new)) = (old, new) else {
            // A key twice: no element can be told by it.
            if !self.changes {
                return Ok(None);
            }
            return Ok(Some(ListPatch {
                elements: replacing(after),
                order: None,
            }));
        };
        let mut elements = Vec::new();
        for (id, element) in &new.elements {
            match old
                .places
                .get(id)
                .and_then(|place| old.elements.get(*place))
            {
                Some((_, before)) => {
                    let keep = field.strategy.retain_keys;
                    let mut part = self.objects(before, element, &field.schema, keep, at)?;
                    if !part.is_empty() {
                        if let Some(value) = element.get(key) {
                            part.insert(key.to_owned(), value.clone());
                        }
                        elements.push(Value::Object(part));
                    }
                }
                None if self.changes => elements.push(Value::Object((*element).clone())),
                None => {}
            }
        }
        if self.deletions {
            for (id, element) in &old.elements {
                if !new.places.contains_key(id) {
                    let value = element.get(key).cloned().unwrap_or_default();
                    elements.push(json!({key: value, DIRECTIVE: "delete"}));
                }
            }
        }
        let ids = |list: &Keyed<'_>| -> Vec<String> {
            list.elements.iter().map(|(id, _)| id.clone()).collect()
        };
        let order = (!elements.is_empty() || (self.changes && ids(&old) != ids(&new))).then(|| {
            after
                .iter()
                .map(|element| json!({key: element.get(key)}))
                .collect()
        });
        Ok(Some(ListPatch { elements, order }))
    }

    fn sets(
        &self,
        before: &[Value],
        after: &[Value],
        name: &str,
        patch: &mut Map<String, Value>,
    ) -> Option<ListPatch> {
        let old: HashSet<_> = before.iter().map(lookup_key).collect();
        let new: HashSet<_> = after.iter().map(lookup_key).collect();
        let mut seen = HashSet::new();
        let gone: Vec<_> = before
            .iter()
            .filter(|value| !new.contains(&lookup_key(value)) && seen.insert(lookup_key(value)))
            .cloned()
            .collect();
        let added: Vec<_> = after
            .iter()
            .filter(|value| !old.contains(&lookup_key(value)))
            .cloned()
            .collect();
        let deletes = self.deletions && !gone.is_empty();
        if deletes {
            patch.insert(format!("{DELETE_FROM}/{name}"), Value::Array(gone));
        }
        let order = (deletes || (self.changes && before != after)).then(|| after.to_vec());
        let elements = if self.changes { added } else { Vec::new() };
        Some(ListPatch { elements, order })
    }
}

/// Refuses a value with a member that the patch would have as a directive.
fn sayable(name: &str, value: &Value, at: &Place<'_>) -> Result<(), PatchError> {
    if is_directive(name) {
        return Err(at.inexpressible("a strategic merge patch has directives of this name"));
    }
    match value {
        Value::Object(members) => members
            .iter()
            .try_for_each(|(name, member)| sayable(name, member, &at.member(name))),
        Value::Array(items) => items.iter().try_for_each(|item| sayable("", item, at)),
        _ => Ok(()),
    }
}

/// The elements that take the place of all that are there.
fn replacing(list: &[Value]) -> Vec<Value> {
    let mut elements = vec![json!({DIRECTIVE: "replace"})];
    elements.extend(list.iter().cloned());
    elements
}

/// What goes into a patch for one merged list.
struct ListPatch {
    elements: Vec<Value>,
    /// The order, if it has to be stated.
    order: Option<Vec<Value>>,
}

/// A list whose elements are told apart by a key.
struct Keyed<'l> {
    elements: Vec<(String, &'l Map<String, Value>)>,
    places: HashMap<String, usize>,
}

/// `None` if a key occurs twice.
fn keyed<'l>(
    list: &'l [Value],
    key: &str,
    at: &Place<'_>,
) -> Result<Option<Keyed<'l>>, PatchError> {
    let mut keyed = Keyed {
        elements: Vec::with_capacity(list.len()),
        places: HashMap::new(),
    };
    let mut twice = false;
    for (place, element) in list.iter().enumerate() {
        let Value::Object(members) = element else {
            return Err(at.bad_type(Kind::Object, element));
        };
        let Some(value) = members.get(key) else {
            return Err(at.no_merge_key(members, key));
        };
        let id = lookup_key(value);
        twice |= keyed.places.insert(id.clone(), place).is_some();
        keyed.elements.push((id, members));
    }
    Ok((!twice).then_some(keyed))
}

fn known<S: PatchSchema>(
    schema: &S,
    name: &str,
    at: &Place<'_>,
) -> Result<PatchField<S>, PatchError> {
    schema
        .patch_field(name)
        .ok_or_else(|| at.unmergeable(format!("unable to find api field {name:?}")))
}
