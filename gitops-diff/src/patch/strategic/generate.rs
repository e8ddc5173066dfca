//! The strategic merge patch between two objects, and the one of client-side apply.

use std::collections::{BTreeSet, HashMap, HashSet};

use serde_json::{Map, Value, json};

use super::super::merge::without_nulls;
use super::merge::Merge;
use super::{
    DELETE_FROM, DIRECTIVE, ELEMENT_ORDER, Kind, PatchAction, PatchError, PatchField, PatchSchema,
    Place, RETAIN_KEYS, check_depth, conflict, element_kind, lookup_key,
};

/// Gives the strategic merge patch that leads from `before` to `after`, `{}` if they are
/// equal.
///
/// Members that are `null` count as absent, as everywhere on the API server. Elements of
/// merged lists are named by their key, their order is stated where it matters
/// (`$setElementOrder`), and unions name what they keep (`$retainKeys`): the patch is the
/// one that `kubectl edit` sends, less what is equal. A list in which a key occurs twice is
/// replaced whole; where others stand between the two, so is the object around it, for the
/// API server brings them together.
///
/// # Errors
///
/// [`PatchError::Unmergeable`] for a merged list with an element that has no key, or whose
/// elements are of several types, and for a member that objects of this type don't have;
/// [`PatchError::Inexpressible`] if one of the two isn't an object;
/// [`PatchError::TooDeep`].
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
    let patch = Difference::WHOLE.objects(&before, &after, schema, false, &Place::ROOT)?;
    Ok(Value::Object(patch.unwrap_or_else(|| replaced(&after))))
}

/// The patch that puts another object in the place of the one that is there.
fn replaced(object: &Map<String, Value>) -> Map<String, Value> {
    let mut patch = object.clone();
    patch.insert(DIRECTIVE.to_owned(), json!("replace"));
    patch
}

/// Gives the strategic merge patch that client-side apply sends for a built-in kind.
///
/// `last_applied` is what the same client applied before (from the annotation
/// `kubectl.kubernetes.io/last-applied-configuration`; `None` if there is none). The patch
/// sets what `desired` says and `live` doesn't, removes what `last_applied` had and
/// `desired` has no more, and leaves the rest of `live` alone, in lists with keys too. A
/// member that is `null` in `desired` is removed from `live`, whoever set it.
///
/// [`patch::client_side`](crate::patch::client_side) puts it together with the annotation.
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
    let Three {
        last,
        desired,
        live,
    } = Three::read(last_applied, desired, live)?;
    let changes = Difference {
        deletions: false,
        changes: true,
    };
    let deletions = Difference {
        deletions: true,
        changes: false,
    };
    let changes = changes.objects(&live, &desired, schema, false, &Place::ROOT)?;
    let deletions = deletions.objects(&last, &desired, schema, false, &Place::ROOT)?;
    Merge::of_patches()
        .objects(
            deletions.unwrap_or_default(),
            changes.unwrap_or_default(),
            schema,
        )
        .map(Value::Object)
}

/// As [`three_way`], but refuses to change what somebody else changed: what
/// `kubectl apply --overwrite=false` does.
///
/// There is a conflict where the patch and the way from `last_applied` to `live` give the
/// same field different values. Elements of sets never conflict.
///
/// # Errors
///
/// [`PatchError::Conflict`] with the first such field; else as for [`three_way`].
///
/// ```
/// use gitops_diff::patch::strategic::{self, Schemaless};
/// use serde_json::json;
///
/// let refused = strategic::three_way_without_overwrite(
///     Some(&json!({"spec": {"replicas": 1}})),
///     &json!({"spec": {"replicas": 2}}),
///     &json!({"spec": {"replicas": 3}}),
///     &Schemaless,
/// );
/// assert_eq!(
///     refused.unwrap_err().to_string(),
///     "spec.replicas: changed by somebody else since it was last applied"
/// );
/// ```
pub fn three_way_without_overwrite<S: PatchSchema>(
    last_applied: Option<&Value>,
    desired: &Value,
    live: &Value,
    schema: &S,
) -> Result<Value, PatchError> {
    let patch = three_way(last_applied, desired, live, schema)?;
    let Three { last, live, .. } = Three::read(last_applied, desired, live)?;
    let theirs = Difference::WHOLE.objects(&last, &live, schema, false, &Place::ROOT)?;
    let theirs = theirs.unwrap_or_else(|| replaced(&live));
    if let Value::Object(ours) = &patch {
        conflict::objects(ours, &theirs, schema, &Place::ROOT)?;
    }
    Ok(patch)
}

/// What a three-way merge is made of.
struct Three {
    last: Map<String, Value>,
    /// With members that are null.
    desired: Map<String, Value>,
    live: Map<String, Value>,
}

impl Three {
    fn read(
        last_applied: Option<&Value>,
        desired: &Value,
        live: &Value,
    ) -> Result<Self, PatchError> {
        Ok(Self {
            last: match last_applied {
                Some(last) => members(last, "the last applied object")?.clone(),
                None => Map::new(),
            },
            desired: members(desired, "the desired object")?.clone(),
            live: object(live, "the live object")?,
        })
    }
}

/// The members of an object, less those that are null.
fn object(value: &Value, what: &'static str) -> Result<Map<String, Value>, PatchError> {
    members(value, what)?;
    match without_nulls(value) {
        Value::Object(members) => Ok(members),
        _ => Ok(Map::new()),
    }
}

fn members<'v>(value: &'v Value, what: &'static str) -> Result<&'v Map<String, Value>, PatchError> {
    check_depth(value, what)?;
    value.as_object().ok_or_else(|| PatchError::Inexpressible {
        path: String::new(),
        reason: "a strategic merge patch leads from an object to an object",
    })
}

/// Which differences are wanted.
struct Difference {
    /// What the second object doesn't have.
    deletions: bool,
    /// What it has anew, or otherwise.
    changes: bool,
}

impl Difference {
    const WHOLE: Self = Self {
        deletions: true,
        changes: true,
    };

    /// Whether the patch must lead to exactly the wanted object, and may replace objects
    /// to that end.
    fn is_whole(&self) -> bool {
        self.deletions && self.changes
    }

    /// The patch from one object to the other; `None` if it can only be replaced.
    fn objects<S: PatchSchema>(
        &self,
        before: &Map<String, Value>,
        after: &Map<String, Value>,
        schema: &S,
        retain_keys: bool,
        at: &Place<'_>,
    ) -> Result<Option<Map<String, Value>>, PatchError> {
        let mut patch = Map::new();
        for (name, new) in after {
            let old = before.get(name).filter(|old| !old.is_null());
            if new.is_null() {
                if self.changes && old.is_some() {
                    patch.insert(name.clone(), Value::Null);
                }
                continue;
            }
            let Some(old) = old else {
                if self.changes {
                    patch.insert(name.clone(), without_nulls(new));
                }
                continue;
            };
            if old == new {
                continue;
            }
            let here = at.member(name);
            match (old, new) {
                (Value::Object(old), Value::Object(new)) => {
                    let field = known(schema, name, at)?;
                    if field.strategy.action == PatchAction::Replace {
                        let new = new_members(new);
                        if self.changes && *old != new {
                            patch.insert(name.clone(), Value::Object(new));
                        }
                        continue;
                    }
                    let keep = field.strategy.retain_keys;
                    let part = self.objects(old, new, &field.schema, keep, &here)?;
                    let part = part.unwrap_or_else(|| replaced(new));
                    if !part.is_empty() {
                        patch.insert(name.clone(), Value::Object(part));
                    }
                }
                (Value::Array(old), Value::Array(new)) => {
                    let field = known(schema, name, at)?;
                    if field.merges_lists() {
                        let expressed = self.lists(old, new, &field, name, &mut patch, &here)?;
                        if !expressed && self.is_whole() {
                            return Ok(None);
                        }
                    } else if self.changes {
                        let new: Vec<_> = new.iter().map(without_nulls).collect();
                        if *old != new {
                            patch.insert(name.clone(), Value::Array(new));
                        }
                    }
                }
                (_, new) if self.changes => {
                    patch.insert(name.clone(), without_nulls(new));
                }
                _ => {}
            }
        }
        let gone = || before.keys().filter(|name| !after.contains_key(*name));
        if self.deletions {
            patch.extend(gone().map(|name| (name.clone(), Value::Null)));
        }
        if retain_keys && !after.is_empty() && (!patch.is_empty() || gone().next().is_some()) {
            let names: BTreeSet<_> = after.keys().collect();
            patch.insert(RETAIN_KEYS.to_owned(), json!(names));
        }
        Ok(Some(patch))
    }

    /// Puts what leads from one list to the other into the patch; false if that doesn't
    /// lead there.
    fn lists<S: PatchSchema>(
        &self,
        before: &[Value],
        after: &[Value],
        field: &PatchField<S>,
        name: &str,
        patch: &mut Map<String, Value>,
        at: &Place<'_>,
    ) -> Result<bool, PatchError> {
        // What applying the patch would refuse is refused here, in the same words.
        let kind = element_kind(before, after, at)?;
        match (kind, &field.merge_key) {
            (Some(Kind::Object), None) => {
                return Err(
                    at.unmergeable("cannot merge lists without merge key for slice".to_owned())
                );
            }
            (Some(other), Some(_)) if other != Kind::Object => {
                let scalar = before.iter().chain(after).next();
                return Err(at.bad_type(Kind::Object, scalar.unwrap_or(&Value::Null)));
            }
            _ => {}
        }
        if before.is_empty() {
            if !self.changes || after.is_empty() {
                return Ok(true);
            }
            let after: Vec<_> = after.iter().map(without_nulls).collect();
            let list = match (kind, field.merge_key.as_deref()) {
                // A key twice: the server would make one element of the two.
                (Some(Kind::Object), Some(key)) if keyed(&after, key, at)?.is_none() => {
                    ListPatch::replaced(&after, key)
                }
                _ => ListPatch {
                    elements: after,
                    order: None,
                    expressed: true,
                },
            };
            patch.insert(name.to_owned(), Value::Array(list.elements));
            return Ok(list.expressed);
        }
        let elements = match (kind, field.merge_key.as_deref()) {
            (Some(Kind::Object), Some(key)) => self.keyed_lists(before, after, key, field, at)?,
            _ => self.sets(before, after, name, patch),
        };
        let Some(ListPatch {
            elements,
            order,
            expressed,
        }) = elements
        else {
            return Ok(true);
        };
        if !elements.is_empty() {
            patch.insert(name.to_owned(), Value::Array(elements));
        }
        if let Some(order) = order {
            patch.insert(format!("{ELEMENT_ORDER}/{name}"), Value::Array(order));
        }
        Ok(expressed)
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
            let after: Vec<_> = after.iter().map(without_nulls).collect();
            if !self.changes || before == after {
                return Ok(None);
            }
            return Ok(Some(ListPatch::replaced(&after, key)));
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
                    let part = self.objects(before, element, &field.schema, keep, at)?;
                    // In an element, `$patch: replace` speaks of the list.
                    let Some(mut part) = part else {
                        return Ok(Some(ListPatch::replaced(after, key)));
                    };
                    if !part.is_empty() {
                        if let Some(value) = element.get(key) {
                            part.insert(key.to_owned(), value.clone());
                        }
                        elements.push(Value::Object(part));
                    }
                }
                None if self.changes => elements.push(Value::Object(new_members(element))),
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
        Ok(Some(ListPatch {
            elements,
            order,
            expressed: true,
        }))
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
        Some(ListPatch {
            elements,
            order,
            expressed: true,
        })
    }
}

/// What goes into a patch for one merged list.
struct ListPatch {
    elements: Vec<Value>,
    /// The order, if it has to be stated.
    order: Option<Vec<Value>>,
    /// Whether that leads to the wanted list.
    expressed: bool,
}

impl ListPatch {
    /// The whole list. The API server brings elements with one key together.
    fn replaced(list: &[Value], key: &str) -> Self {
        let key_of = |element: &Value| element.get(key).map(lookup_key);
        let mut seen = HashSet::new();
        let mut last = None;
        let together = list.iter().map(key_of).all(|key| {
            let same = last.as_ref() == Some(&key);
            last = Some(key.clone());
            same || seen.insert(key)
        });
        let mut elements = vec![json!({DIRECTIVE: "replace"})];
        elements.extend(list.iter().cloned());
        Self {
            elements,
            order: None,
            expressed: together,
        }
    }
}

fn new_members(object: &Map<String, Value>) -> Map<String, Value> {
    object
        .iter()
        .filter(|(_, member)| !member.is_null())
        .map(|(name, member)| (name.clone(), without_nulls(member)))
        .collect()
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
