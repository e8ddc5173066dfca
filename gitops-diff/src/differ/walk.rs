//! The comparison itself: desired and live, along the schema and the owners.

use std::borrow::Cow;
use std::collections::HashSet;

use gitops_core::{Difference, FieldChange, FieldPath};
use serde_json::{Map, Value};

use super::defaults::{is_default, is_left_to_the_server, is_refilled};
use super::list::{Lookup, SMALL, has_keys, keys_of};
use super::mask::Mask;
use super::owners::Owners;
use super::place::{Place, Reach};
use super::redact::ObjectSecrets;
use super::zeros::is_left_out;
use crate::equality::{decode, scalars_equal, values_equal};
use crate::fieldset::Step;
use crate::schema::{ListType, MapType, TypeRef};

/// Why two objects can't be compared: where, and what is wrong.
pub(super) struct Mismatch {
    pub(super) path: FieldPath,
    pub(super) problem: &'static str,
}

type Outcome = Result<(), Mismatch>;

pub(super) struct Walk<'w> {
    /// Whether the type is one of Go, whose empty members aren't written.
    pub(super) go: bool,
    pub(super) secrets: ObjectSecrets<'w>,
    pub(super) mask: &'w Mask<'w>,
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
            if self.ignores(here) {
                continue;
            }
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
        if self.ignores(here) {
            return Ok(());
        }
        let Some(live) = live else {
            let plain = is_default(around.ty, name, desired)
                && (is_zero(desired) || matches!(desired, Value::Object(_)));
            let left_out = self.go && is_left_out(around.ty, name, desired);
            if left_out && (here.owners.is_ours() || here.owners.rival().is_none()) {
                self.as_desired(here);
                return Ok(());
            }
            return self.missing(desired, plain, here);
        };
        if self.go
            && is_left_out(around.ty, name, desired)
            && is_left_to_the_server(around.ty, name, live)
        {
            self.as_desired(here);
            return Ok(());
        }
        if desired.is_null() {
            // To apply null is to ask for the field to go. If the field is ours, we have
            // asked already, and the server filled it in again.
            if !is_left_to_the_server(around.ty, name, live) && !here.owners.is_ours() {
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
                if self.holds_ignored(here) && !members.is_empty()
                    || self.secrets.reach(here.place) == Reach::Holds
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
                if atomic {
                    self.whole(desired, live, here);
                    return Ok(());
                }
                if wanted.is_empty() {
                    self.as_desired(here);
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
                        self.whole(desired, live, here);
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

    /// A list or map that the server takes as one value.
    fn whole(&mut self, desired: &Value, live: &Value, here: Around<'_>) {
        let laid = self
            .holds_ignored(here)
            .then(|| self.mask.overlay(here.place, desired, live));
        let desired = laid.as_ref().unwrap_or(desired);
        if self.same(desired, live, here.ty) {
            self.as_desired(here);
        } else {
            self.change(here, Some(live), Some(desired));
        }
    }

    /// Whether a field is ignored.
    fn ignores(&self, here: Around<'_>) -> bool {
        !self.mask.is_empty() && self.mask.reach(here.place, here.owners) == Reach::Within
    }

    /// Whether something in a field may be ignored.
    fn holds_ignored(&self, here: Around<'_>) -> bool {
        !self.mask.is_empty() && self.mask.reach(here.place, here.owners) == Reach::Holds
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
            if self.ignores(element) {
                continue;
            }
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
            if self.ignores(element_here) {
                continue;
            }
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
                                || (self.go && is_left_out(ty, name, value))
                                || value
                                    .as_array()
                                    .is_some_and(|items| self.go && items.is_empty())
                                || is_default(ty, name, value)
                        }
                        (Value::Null, Some(live)) => is_default(ty, name, live),
                        (value, Some(live)) => {
                            self.same(value, live, member(name))
                                || (self.go
                                    && is_left_out(ty, name, value)
                                    && is_left_to_the_server(ty, name, live))
                        }
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
        if !self.mask.is_empty() && self.mask.reach(&place, &owners) == Reach::Within {
            return;
        }
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
        // What is ignored in it stays, and so it does itself.
        let stays = matches!(step, Step::Field(_))
            && self.holds_ignored(here)
            && self.mask.keeps(live, here.ty, here.place, here.owners);
        if wanted.is_none() && owners.is_ours() && !owners.shared() && !stays {
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
