//! The comparison itself: desired and live, along the schema and the owners.

use std::borrow::Cow;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use gitops_core::{Difference, FieldChange, FieldPath, PathElement};
use serde_json::{Map, Value};

use super::defaults::{is_default, is_refilled};
use super::owners::Owners;
use super::redact::{KindSecrets, Reach};
use crate::equality::{decode, scalars_equal, values_equal};
use crate::fieldset::Step;
use crate::schema::{ListType, MapType, TypeRef};

/// Where we are: a chain of steps, joined to a path when one is needed.
pub(super) struct Place<'p> {
    parent: Option<&'p Place<'p>>,
    step: Option<&'p Step<'p>>,
}

impl<'p> Place<'p> {
    pub(super) const ROOT: Place<'static> = Place {
        parent: None,
        step: None,
    };

    /// How many steps it is from the root.
    pub(super) fn depth(&self) -> usize {
        self.parent.map_or(0, |parent| parent.depth() + 1)
    }

    pub(super) fn then(&'p self, step: &'p Step<'p>) -> Place<'p> {
        Place {
            parent: Some(self),
            step: Some(step),
        }
    }

    pub(super) fn path(&self) -> FieldPath {
        fn collect(place: &Place<'_>, out: &mut Vec<PathElement>) {
            if let Some(parent) = place.parent {
                collect(parent, out);
            }
            out.extend(place.step.map(Step::to_element));
        }
        let mut elements = Vec::new();
        collect(self, &mut elements);
        elements.into_iter().collect()
    }

    /// The member names on the way; `None` for list elements.
    pub(super) fn names(&self, out: &mut Vec<Option<&'p str>>) {
        if let Some(parent) = self.parent {
            parent.names(out);
        }
        match self.step {
            Some(Step::Field(name)) => out.push(Some(name.as_ref())),
            Some(_) => out.push(None),
            None => {}
        }
    }
}

/// Why two objects can't be compared: where, and what is wrong.
pub(super) struct Mismatch {
    pub(super) path: FieldPath,
    pub(super) problem: &'static str,
}

type Outcome = Result<(), Mismatch>;

pub(super) struct Walk<'w> {
    /// Whether the type is one of Go, whose empty members aren't written.
    pub(super) go: bool,
    pub(super) secrets: KindSecrets<'w>,
    pub(super) found: Difference,
}

/// Fields of the object's root and metadata that nobody applies.
const ROOT_UNOWNED: &[&str] = &["apiVersion", "kind", "metadata"];
const METADATA_UNOWNED: &[&str] = &[
    "clusterName",
    "creationTimestamp",
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "generation",
    "managedFields",
    "name",
    "namespace",
    "resourceVersion",
    "selfLink",
    "uid",
];

/// A value and what surrounds it.
#[derive(Clone, Copy)]
struct Around<'a> {
    live: Option<&'a Value>,
    ty: Option<TypeRef<'a>>,
    place: &'a Place<'a>,
    owners: &'a Owners<'a>,
}

impl Walk<'_> {
    /// Compares whole objects. `status` is compared only if `with_status`; `secret` says
    /// that it is a core `Secret`, whose `stringData` is written to `data`.
    pub(super) fn object(
        &mut self,
        desired: &Value,
        live: &Value,
        ty: Option<TypeRef<'_>>,
        owners: &Owners<'_>,
        with_status: bool,
        secret: bool,
    ) -> Outcome {
        let root = Around {
            live: Some(live),
            ty,
            place: &Place::ROOT,
            owners,
        };
        let empty = Map::new();
        let members = desired.as_object().unwrap_or(&empty);
        let compared = |name: &str| {
            !ROOT_UNOWNED.contains(&name)
                && (name != "status" || with_status)
                && !(secret && (name == "data" || name == "stringData"))
        };
        let metadata_step = Step::field("metadata");
        let metadata_owners = owners.field("metadata");
        let metadata = Around {
            live: live.get("metadata"),
            ty: ty.and_then(|ty| ty.member("metadata")),
            place: &Place::ROOT.then(&metadata_step),
            owners: &metadata_owners,
        };
        if let Some(Value::Object(wanted)) = members.get("metadata") {
            for (name, value) in wanted {
                if !METADATA_UNOWNED.contains(&name.as_str()) {
                    self.member(name, value, metadata)?;
                }
            }
        }
        for key in metadata_owners.ours_within() {
            if !METADATA_UNOWNED.contains(&key.trim_start_matches("f:")) {
                self.given_up(key, members.get("metadata"), metadata);
            }
        }
        if secret {
            self.secret(members, root)?;
        }
        for (name, value) in members {
            if compared(name) {
                self.member(name, value, root)?;
            }
        }
        for key in owners.ours_within() {
            if compared(key.trim_start_matches("f:")) {
                self.given_up(key, Some(desired), root);
            }
        }
        Ok(())
    }

    /// `data` and `stringData` of a secret. What is stated in both counts in `stringData`.
    fn secret(&mut self, members: &Map<String, Value>, root: Around<'_>) -> Outcome {
        let live_data = root.live.and_then(|live| live.get("data"));
        let texts = members.get("stringData").and_then(Value::as_object);
        let step = Step::field("stringData");
        let place = root.place.then(&step);
        let owners = root.owners.field("stringData");
        for (name, wanted) in texts.into_iter().flatten() {
            let Some(text) = wanted.as_str() else {
                if wanted.is_null() {
                    continue;
                }
                return Err(Mismatch {
                    path: place.path().field(name),
                    problem: "stringData holds texts only",
                });
            };
            let step = Step::field(name);
            let here = Around {
                live: live_data.and_then(|data| data.get(name)),
                ty: None,
                place: &place.then(&step),
                owners: &owners.field(name),
            };
            let bytes = here.live.and_then(Value::as_str).and_then(decode);
            if bytes.as_deref() == Some(text.as_bytes()) {
                self.as_desired(here);
            } else {
                self.change(here, here.live, Some(wanted));
            }
        }
        let stated = |name: &str| {
            texts
                .and_then(|texts| texts.get(name))
                .is_some_and(|text| !text.is_null())
        };
        let step = Step::field("data");
        let data_owners = root.owners.field("data");
        let data = Around {
            live: live_data,
            ty: root.ty.and_then(|ty| ty.member("data")),
            place: &root.place.then(&step),
            owners: &data_owners,
        };
        let wanted = members.get("data");
        match wanted {
            Some(Value::Object(wanted)) => {
                for (name, value) in wanted {
                    if !stated(name) {
                        self.member(name, value, data)?;
                    }
                }
            }
            None | Some(Value::Null) => {}
            Some(_) => {
                return Err(Mismatch {
                    path: data.place.path(),
                    problem: "data of a secret is a map",
                });
            }
        }
        for key in data_owners.ours_within() {
            if !stated(key.trim_start_matches("f:")) {
                self.given_up(key, wanted, data);
            }
        }
        Ok(())
    }

    /// A member of an object or map.
    fn member(&mut self, name: &str, desired: &Value, around: Around<'_>) -> Outcome {
        let step = Step::field(name);
        let live = around
            .live
            .and_then(|live| live.get(name))
            .filter(|live| !live.is_null());
        let here = Around {
            live,
            ty: around.ty.and_then(|ty| ty.member(name)),
            place: &around.place.then(&step),
            owners: &around.owners.field(name),
        };
        let Some(live) = live else {
            let plain = is_default(around.ty, name, desired)
                && (is_zero(desired) || matches!(desired, Value::Object(_)));
            return self.missing(desired, plain, here);
        };
        if desired.is_null() {
            // To apply null is to ask for the field to go. If the field is ours, we have
            // asked already, and the server filled it in again.
            if !is_default(around.ty, name, live) && !here.owners.is_ours() {
                self.change(here, Some(live), None);
            }
            return Ok(());
        }
        self.value(desired, live, here)
    }

    /// Live doesn't have what desired states. `plain` says that the value is one that the
    /// type has anyway.
    fn missing(&mut self, desired: &Value, plain: bool, here: Around<'_>) -> Outcome {
        if plain || !self.speaks(desired, here.ty) {
            // An empty list or map isn't kept, but it is owned: if it is another's, the
            // server takes ours for an addition and refuses it.
            let empty = !desired.is_null() && is_zero(desired);
            if empty && !here.owners.is_ours() && here.owners.rival().is_some() {
                self.change(here, None, Some(desired));
            }
            return Ok(());
        }
        // The server knows that we stated it and doesn't keep it: Go leaves a zero out.
        if self.go && is_zero(desired) && here.owners.is_ours() {
            return Ok(());
        }
        match desired {
            Value::Object(members)
                if self.secrets.reach(here.place) == Reach::Holds
                    && here.owners.rival().is_none() =>
            {
                for (name, value) in members {
                    self.member(name, value, here)?;
                }
            }
            _ => self.change(here, None, Some(desired)),
        }
        Ok(())
    }

    /// Whether a value says anything where live has none.
    fn speaks(&self, desired: &Value, ty: Option<TypeRef<'_>>) -> bool {
        match desired {
            Value::Null => false,
            // To merge no elements into no list makes no list, even in a custom resource.
            Value::Array(items) => {
                let atomic = !matches!(
                    ty.and_then(TypeRef::list_type),
                    Some(ListType::Map | ListType::Set)
                );
                !items.is_empty() || (atomic && !self.go)
            }
            Value::Object(members) if self.go && is_map(ty) => members
                .values()
                .any(|member| self.speaks(member, ty.and_then(TypeRef::values))),
            _ => true,
        }
    }

    fn value(&mut self, desired: &Value, live: &Value, here: Around<'_>) -> Outcome {
        match (desired, live) {
            (Value::Object(wanted), Value::Object(_)) => {
                let atomic = here.ty.and_then(TypeRef::map_type) == Some(MapType::Atomic);
                if atomic || wanted.is_empty() {
                    if atomic && !self.same(desired, live, here.ty) {
                        self.change(here, Some(live), Some(desired));
                    } else {
                        self.as_desired(here);
                    }
                    return Ok(());
                }
                for (name, value) in wanted {
                    self.member(name, value, here)?;
                }
                Ok(())
            }
            (Value::Array(wanted), Value::Array(has)) => {
                match here.ty.and_then(TypeRef::list_type) {
                    Some(ListType::Map) => self.keyed_list(wanted, has, here),
                    Some(ListType::Set) => {
                        self.set(wanted, has, here);
                        Ok(())
                    }
                    _ => {
                        if self.same(desired, live, here.ty) {
                            self.as_desired(here);
                        } else {
                            self.change(here, Some(live), Some(desired));
                        }
                        Ok(())
                    }
                }
            }
            _ => {
                if scalars_equal(desired, live, here.ty.and_then(TypeRef::format)) {
                    self.as_desired(here);
                } else {
                    self.change(here, Some(live), Some(desired));
                }
                Ok(())
            }
        }
    }

    fn set(&mut self, wanted: &[Value], has: &[Value], here: Around<'_>) {
        let format = here.ty.and_then(TypeRef::items).and_then(TypeRef::format);
        let listed: Option<HashSet<String>> =
            (wanted.len() > SMALL).then(|| has.iter().map(Value::to_string).collect());
        for value in wanted {
            let step = Step::Value(Cow::Borrowed(value));
            let element = Around {
                live: None,
                ty: None,
                place: &here.place.then(&step),
                owners: &here.owners.element(&step),
            };
            let there = match &listed {
                Some(listed) => listed.contains(&value.to_string()),
                None => has.iter().any(|item| scalars_equal(value, item, format)),
            };
            if there {
                self.as_desired(element);
            } else {
                self.change(element, None, Some(value));
            }
        }
    }

    fn keyed_list(&mut self, wanted: &[Value], has: &[Value], here: Around<'_>) -> Outcome {
        let Some(ty) = here.ty else { return Ok(()) };
        let items = ty.items();
        let lookup = Lookup::new(has, ty);
        let mut seen = Lookup::empty(wanted.len());
        for (at, element) in wanted.iter().enumerate() {
            let Some(keys) = keys_of(element, ty) else {
                return Err(Mismatch {
                    path: here.place.path().index(at),
                    problem: "the element lacks a key by which the list is merged",
                });
            };
            let step = Step::Key(keys);
            let Step::Key(keys) = &step else { continue };
            let place = here.place.then(&step);
            if seen.has_before(wanted, at, keys, ty) {
                return Err(Mismatch {
                    path: place.path(),
                    problem: "another element of the list has the same keys",
                });
            }
            let element_here = Around {
                live: lookup.find(has, at, keys, ty),
                ty: items,
                place: &place,
                owners: &here.owners.element(&step),
            };
            match element_here.live {
                Some(_) if lookup.is_double(has, keys, ty) => {
                    // A plain update may leave an element twice; an apply makes it one.
                    let all: Vec<_> = has
                        .iter()
                        .filter(|item| has_keys(item, keys, ty))
                        .cloned()
                        .collect();
                    self.change(element_here, Some(&Value::Array(all)), Some(element));
                }
                Some(live) => self.value(element, live, element_here)?,
                None => self.change(element_here, None, Some(element)),
            }
        }
        Ok(())
    }

    /// Whether live is what the server makes of desired, where a value is owned as a
    /// whole: defaults may have come in, and what Go leaves out may be gone.
    fn same(&self, desired: &Value, live: &Value, ty: Option<TypeRef<'_>>) -> bool {
        match (desired, live) {
            (Value::Object(wanted), Value::Object(has)) => {
                let member = |name: &str| ty.and_then(|ty| ty.member(name));
                wanted.iter().all(|(name, value)| {
                    match (value, has.get(name).filter(|live| !live.is_null())) {
                        (value, None) => {
                            value.is_null()
                                || !self.speaks(value, member(name))
                                || (self.go && is_zero(value) && !value.is_object())
                                || is_default(ty, name, value)
                        }
                        (Value::Null, Some(live)) => is_default(ty, name, live),
                        (value, Some(live)) => self.same(value, live, member(name)),
                    }
                }) && has.iter().all(|(name, live)| {
                    live.is_null() || wanted.contains_key(name) || is_default(ty, name, live)
                })
            }
            (Value::Array(wanted), Value::Array(has)) => {
                let items = ty.and_then(TypeRef::items);
                wanted.len() == has.len()
                    && wanted
                        .iter()
                        .zip(has)
                        .all(|(wanted, has)| self.same(wanted, has, items))
            }
            _ => scalars_equal(desired, live, ty.and_then(TypeRef::format)),
        }
    }

    /// Something that we own: does desired still state it?
    fn given_up(&mut self, key: &str, desired: Option<&Value>, around: Around<'_>) {
        let Ok(Some(step)) = Step::from_key(key) else {
            return;
        };
        let owners = around.owners.at(key);
        let place = around.place.then(&step);
        let (wanted, live, ty) = match &step {
            Step::Field(name) => (
                desired.and_then(|desired| desired.get(name.as_ref())),
                around.live.and_then(|live| live.get(name.as_ref())),
                around.ty.and_then(|ty| ty.member(name)),
            ),
            Step::Key(keys) => {
                let Some(list) = around.ty else { return };
                let among = |list_value: &'_ Value| -> Option<usize> {
                    let items = list_value.as_array()?;
                    items.iter().position(|item| has_keys(item, keys, list))
                };
                let wanted = desired.and_then(|list| list.get(among(list)?));
                let live = around.live.and_then(|list| list.get(among(list)?));
                (wanted, live, list.items())
            }
            Step::Value(value) => {
                let holds = |list: Option<&Value>| {
                    list.and_then(Value::as_array)
                        .is_some_and(|items| items.iter().any(|item| values_equal(item, value)))
                };
                if !holds(desired) && holds(around.live) && !owners.shared() {
                    let here = Around {
                        live: None,
                        ty: None,
                        place: &place,
                        owners: &owners,
                    };
                    self.change(here, Some(value), None);
                }
                return;
            }
            Step::Index(_) => return,
        };
        let Some(live) = live.filter(|live| !live.is_null()) else {
            return;
        };
        let here = Around {
            live: Some(live),
            ty,
            place: &place,
            owners: &owners,
        };
        if wanted.is_none() && owners.is_ours() && !owners.shared() {
            let refilled = matches!(&step, Step::Field(name)
                if is_refilled(around.ty, around.live, name, around.place.depth()));
            if !refilled {
                self.change(here, Some(live), None);
            }
            return;
        }
        // Null asks for the field to go, and was dealt with.
        if wanted.is_some_and(Value::is_null) {
            return;
        }
        for key in owners.ours_within() {
            self.given_up(key, wanted, here);
        }
    }

    /// The field is as desired: do we own that?
    fn as_desired(&mut self, here: Around<'_>) {
        if here.owners.known && !here.owners.is_ours() {
            self.found
                .unowned
                .push(here.owners.conflict(here.place.path()));
        }
    }

    fn change(&mut self, here: Around<'_>, before: Option<&Value>, after: Option<&Value>) {
        let path = here.place.path();
        let owner = here.owners.rival();
        if owner.is_some() && after.is_some() {
            self.found
                .conflicts
                .push(here.owners.conflict(path.clone()));
        }
        self.found.changes.push(FieldChange {
            path,
            before: self.secrets.show(here.place, before),
            after: self.secrets.show(here.place, after),
            owner,
        });
    }
}

/// Whether values of this type are maps rather than objects with fields.
fn is_map(ty: Option<TypeRef<'_>>) -> bool {
    ty.is_some_and(|ty| ty.values().is_some() && ty.fields().len() == 0)
}

/// The values that Go leaves out of JSON.
fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
    }
}

type Keys<'k> = Vec<(Cow<'k, str>, Cow<'k, Value>)>;

/// The value of a key of a list element: what it states, or the key's default.
fn key_value<'k>(element: &'k Value, key: &str, list: TypeRef<'k>) -> Option<&'k Value> {
    match element.get(key) {
        Some(value) if !value.is_null() => Some(value),
        _ => list.items()?.field(key)?.default(),
    }
}

/// The keys of a list element, sorted by name. `None` if one is missing that has no
/// default, or if it isn't an object.
fn keys_of<'k>(element: &'k Value, list: TypeRef<'k>) -> Option<Keys<'k>> {
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

fn has_keys(element: &Value, keys: &Keys<'_>, list: TypeRef<'_>) -> bool {
    keys.iter().all(|(name, wanted)| {
        key_value(element, name, list).is_some_and(|value| values_equal(value, wanted))
    })
}

/// Lists up to this length are searched, longer ones get an index.
const SMALL: usize = 16;

/// Finds elements of a list by their keys.
struct Lookup {
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
    fn empty(length: usize) -> Self {
        Self {
            index: (length > SMALL).then(HashMap::new),
            doubles: HashSet::new(),
        }
    }

    fn new(list: &[Value], ty: TypeRef<'_>) -> Self {
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
    fn find<'l>(
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
    fn is_double(&self, list: &[Value], keys: &Keys<'_>, ty: TypeRef<'_>) -> bool {
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
    fn has_before(&mut self, list: &[Value], at: usize, keys: &Keys<'_>, ty: TypeRef<'_>) -> bool {
        match &mut self.index {
            Some(index) => index.insert(text_of(keys), at).is_some(),
            None => list
                .iter()
                .take(at)
                .any(|earlier| has_keys(earlier, keys, ty)),
        }
    }
}
