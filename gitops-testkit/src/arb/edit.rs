//! What happens to objects.

use std::borrow::Cow;

use gitops_core::{FieldPath, GroupVersionKind};
use gitops_diff::managed::{Target, Track, track};
use gitops_diff::schema::{ListType, MapType, Schemas, TypeRef};
use jiff::Timestamp;
use proptest::arbitrary::any;
use proptest::sample::{Index, select};
use proptest::strategy::Strategy;
use serde_json::{Value, json};

use super::dice::Dice;
use super::generate::Generator;
use super::place::{At, Place, Role, at_mut, other_value, places, remove, reversed};
use super::rules::{removable, short_name};
use super::scalar;
use crate::kinds;

/// Under which name the edits of somebody else are made.
pub const RIVAL: &str = "rival";

/// Under which name statuses are written.
pub const CONTROLLER: &str = "controller";

/// What an [`Edit`] does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum EditKind {
    /// A field gets another value that its type allows.
    Change,
    /// A field that may be absent, or a list element, goes.
    Remove,
    /// A field that isn't there comes.
    Add,
    /// The elements of a list come in another order.
    ReorderList,
    /// The members of every object come in the opposite order. Nothing that means anything
    /// changes; without `serde_json/preserve_order` nothing changes at all.
    ReorderKeys,
    /// A member of a map, or an element of a list map, gets another key.
    RenameKey,
    /// The server brings the object into its form: defaults are set, quantities
    /// rewritten.
    Default,
    /// A status is written by [`CONTROLLER`].
    Status,
}

impl EditKind {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::ReorderKeys,
        Self::Status,
        Self::Default,
        Self::Add,
        Self::Change,
        Self::Remove,
        Self::ReorderList,
        Self::RenameKey,
    ];
}

/// Something that happens to an object, of which it isn't said to which one: it finds its
/// place in the object that it is [applied](Self::apply) to.
///
/// To a manifest it is an edit in Git. To an object with `metadata.managedFields` it is a
/// write by [`RIVAL`] ([`EditKind::Status`]: by [`CONTROLLER`]), who owns afterwards what
/// was written, as the API server would have it; [`EditKind::Default`] makes nobody an
/// owner.
///
/// ```
/// use gitops_testkit::arb::{self, EditKind};
/// use proptest::prelude::*;
///
/// proptest!(|(object in arb::object(), edit in arb::edit_of(&[EditKind::Change]))| {
///     // Every common object has something that can be changed, but for a bare one.
///     if object["spec"].is_object() {
///         prop_assert_ne!(edit.apply(&object), object);
///     }
/// });
/// ```
#[derive(Debug, Clone)]
pub struct Edit {
    kind: EditKind,
    place: Index,
    seed: u64,
}

/// An edit of any kind.
pub fn edit() -> impl Strategy<Value = Edit> + Clone {
    edit_of(&EditKind::ALL)
}

/// An edit of one of these kinds. An empty list is all of them.
pub fn edit_of(kinds: &[EditKind]) -> impl Strategy<Value = Edit> + Clone + use<> {
    let kinds = if kinds.is_empty() {
        EditKind::ALL.to_vec()
    } else {
        kinds.to_vec()
    };
    (select(kinds), any::<Index>(), any::<u64>()).prop_map(|(kind, place, seed)| Edit {
        kind,
        place,
        seed,
    })
}

/// What an edit did.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Edited {
    /// The object afterwards.
    pub object: Value,
    /// The field that was touched; the object itself if there were many, `None` if
    /// there was nothing to do.
    pub field: Option<FieldPath>,
}

impl Edit {
    /// What it does.
    #[must_use]
    pub fn kind(&self) -> EditKind {
        self.kind
    }

    /// The object after the edit. An object that has no place for it stays as it is.
    #[must_use]
    pub fn apply(&self, object: &Value) -> Value {
        self.apply_in(object, &Schemas::builtin()).object
    }

    /// As [`apply`](Self::apply), with the types of custom kinds, and saying what was
    /// touched.
    #[must_use]
    pub fn apply_in(&self, object: &Value, schemas: &Schemas) -> Edited {
        self.apply_to(object, schemas, &|_| true)
    }

    /// As [`apply_in`](Self::apply_in), at a place that `may` be touched.
    pub(crate) fn apply_to(
        &self,
        object: &Value,
        schemas: &Schemas,
        may: &dyn Fn(&FieldPath) -> bool,
    ) -> Edited {
        let ty = type_of(object, schemas);
        let mut dice = Dice::new(self.seed);
        let bare = without_managed(object);
        let touched = match self.kind {
            EditKind::Change => self.change(&bare, ty, &mut dice, may),
            EditKind::Remove => self.remove(&bare, ty, may),
            EditKind::Add => self.add(&bare, ty, &mut dice, may),
            EditKind::ReorderList => self.reorder(&bare, ty, &mut dice, may),
            EditKind::ReorderKeys => Some((reversed(&bare), FieldPath::root())),
            EditKind::RenameKey => self.rename(&bare, ty, may),
            EditKind::Default => Some((served(&bare, ty), FieldPath::root())),
            EditKind::Status => status(&bare, ty, &mut dice),
        };
        let Some((edited, field)) = touched else {
            return Edited {
                object: object.clone(),
                field: None,
            };
        };
        Edited {
            field: (edited != bare).then_some(field),
            object: self.owned(object, edited, schemas),
        }
    }

    /// The object with the owners that it has after the write.
    fn owned(&self, before: &Value, mut after: Value, schemas: &Schemas) -> Value {
        let managed = &before["metadata"]["managedFields"];
        if managed.is_null() {
            return after;
        }
        if let Some(metadata) = after["metadata"].as_object_mut() {
            metadata.insert("managedFields".into(), managed.clone());
        }
        let subresource = match self.kind {
            EditKind::Default | EditKind::ReorderKeys => return after,
            EditKind::Status => "status",
            _ => "",
        };
        let manager = if subresource.is_empty() {
            RIVAL
        } else {
            CONTROLLER
        };
        written(before, after, manager, subresource, schemas)
    }

    fn one<'p, 'a>(&self, places: &'p [Place<'a>]) -> Option<&'p Place<'a>> {
        (!places.is_empty()).then(|| places.get(self.place.index(places.len())))?
    }

    fn change(
        &self,
        object: &Value,
        ty: Option<TypeRef<'_>>,
        dice: &mut Dice,
        may: &dyn Fn(&FieldPath) -> bool,
    ) -> Option<(Value, FieldPath)> {
        let leaves: Vec<_> = places(object, ty)
            .into_iter()
            .filter(|place| place.role == Role::Leaf && !is_status(&place.way) && may(&place.path))
            .filter(|place| other_value(place, &mut dice.clone()).is_some())
            .collect();
        let place = self.one(&leaves)?;
        let value = other_value(place, dice)?;
        let mut edited = object.clone();
        *at_mut(&mut edited, &place.way)? = value;
        Some((edited, place.path.clone()))
    }

    fn remove(
        &self,
        object: &Value,
        ty: Option<TypeRef<'_>>,
        may: &dyn Fn(&FieldPath) -> bool,
    ) -> Option<(Value, FieldPath)> {
        let all = places(object, ty);
        let optional: Vec<_> = all
            .into_iter()
            .filter(|place| match place.way.last() {
                Some(At::Member(name)) => {
                    place.role != Role::Identity
                        && !matches!(&**name, "managedFields" | "status")
                        && place.parent.is_none_or(|ty| removable(ty, name))
                }
                // The last element of a list may be needed.
                Some(At::Item(at)) => *at > 0,
                None => false,
            })
            .filter(|place| !is_status(&place.way) && may(&place.path))
            .collect();
        let place = self.one(&optional)?;
        let mut edited = object.clone();
        remove(&mut edited, &place.way);
        Some((edited, place.path.clone()))
    }

    fn add(
        &self,
        object: &Value,
        ty: Option<TypeRef<'_>>,
        dice: &mut Dice,
        may: &dyn Fn(&FieldPath) -> bool,
    ) -> Option<(Value, FieldPath)> {
        let all = places(object, ty);
        let mut room: Vec<(&Place<'_>, String, Option<TypeRef<'_>>)> = Vec::new();
        for place in &all {
            let Some(ty) = place.ty.filter(|_| !is_status(&place.way)) else {
                continue;
            };
            let Some(members) = place.value.as_object() else {
                continue;
            };
            // An atomic map is one value: adding to it changes it.
            if place.role != Role::Container {
                continue;
            }
            for choice in super::rules::choices(ty) {
                let [field] = choice.fields.as_slice() else {
                    continue;
                };
                let name = field.name();
                let server = place.way.is_empty() && matches!(name, "status" | "metadata")
                    || ty
                        .name()
                        .is_some_and(|ty| ty.ends_with("meta.v1.ObjectMeta"))
                        && !matches!(name, "labels" | "annotations");
                // With another key it would be another element.
                let key = place
                    .parent
                    .is_some_and(|list| list.list_keys().any(|key| key == name));
                if !server && !key && !members.contains_key(name) {
                    room.push((place, name.to_owned(), Some(field.ty())));
                }
            }
            if let Some(values) = ty.values().filter(|_| ty.fields().len() == 0) {
                let key = scalar::map_key(&mut dice.clone(), place.field, values);
                room.push((place, format!("{key}-new"), Some(values)));
            }
        }
        room.retain(|(place, name, _)| may(&place.path.clone().field(name.clone())));
        if room.is_empty() {
            return None;
        }
        let (place, name, ty) = room.get(self.place.index(room.len()))?;
        let mut generator = Generator { dice, budget: 10 };
        let owner = place.ty.and_then(short_name).unwrap_or("");
        let value = generator.value((*ty)?, owner, name, 12);
        let mut edited = object.clone();
        at_mut(&mut edited, &place.way)?
            .as_object_mut()?
            .insert(name.clone(), value);
        Some((edited, place.path.clone().field(name.clone())))
    }

    fn reorder(
        &self,
        object: &Value,
        ty: Option<TypeRef<'_>>,
        dice: &mut Dice,
        may: &dyn Fn(&FieldPath) -> bool,
    ) -> Option<(Value, FieldPath)> {
        let lists: Vec<_> = places(object, ty)
            .into_iter()
            .filter(|place| !is_status(&place.way) && may(&place.path))
            .filter(|place| place.value.as_array().is_some_and(|items| items.len() > 1))
            .collect();
        let place = self.one(&lists)?;
        let mut edited = object.clone();
        let items = at_mut(&mut edited, &place.way)?.as_array_mut()?;
        let by = 1 + dice.below(items.len() - 1);
        items.rotate_left(by);
        Some((edited, place.path.clone()))
    }

    fn rename(
        &self,
        object: &Value,
        ty: Option<TypeRef<'_>>,
        may: &dyn Fn(&FieldPath) -> bool,
    ) -> Option<(Value, FieldPath)> {
        let named: Vec<_> = places(object, ty)
            .into_iter()
            .filter(|place| !is_status(&place.way) && may(&place.path))
            .filter(|place| match place.way.last() {
                // A member of a map, whose keys are free.
                Some(At::Member(_)) => {
                    place.role != Role::Identity
                        && place.parent.is_some_and(|ty| {
                            ty.map_type() == Some(MapType::Granular) && ty.fields().len() == 0
                        })
                }
                Some(At::Item(_)) => place
                    .parent
                    .is_some_and(|list| list.list_type() == Some(ListType::Map)),
                None => false,
            })
            .collect();
        let place = self.one(&named)?;
        let mut edited = object.clone();
        match place.way.last()? {
            At::Member(name) => {
                let (_, way) = place.way.split_last()?;
                let members = at_mut(&mut edited, way)?.as_object_mut()?;
                let value = members.remove(name)?;
                members.insert(format!("{name}x"), value);
            }
            At::Item(_) => {
                let key = place.parent?.list_keys().next()?;
                let key = at_mut(&mut edited, &place.way)?.get_mut(key)?;
                *key = match &*key {
                    Value::String(text) => format!("{text}x").into(),
                    Value::Number(number) => (number.as_i64()? % 60_000 + 1).into(),
                    _ => return None,
                };
            }
        }
        Some((edited, place.path.clone()))
    }
}

/// The type of an object, if one of the schemas has it.
pub(crate) fn type_of<'s>(object: &Value, schemas: &'s Schemas) -> Option<TypeRef<'s>> {
    schemas.type_of(object["apiVersion"].as_str()?, object["kind"].as_str()?)
}

fn is_status(way: &[At]) -> bool {
    way.first() == Some(&At::Member("status".into()))
}

fn without_managed(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    object
}

/// A time at which everything here happens.
pub(crate) fn now() -> Timestamp {
    Timestamp::UNIX_EPOCH + jiff::Span::new().hours(500_000)
}

/// `after`, written by `manager` over `before`, with the owners that it then has.
pub(crate) fn written(
    before: &Value,
    after: Value,
    manager: &str,
    subresource: &str,
    schemas: &Schemas,
) -> Value {
    let (Some(api_version), Some(kind)) = (after["apiVersion"].as_str(), after["kind"].as_str())
    else {
        return after;
    };
    let (api_version, kind) = (api_version.to_owned(), kind.to_owned());
    let group = GroupVersionKind::from_api_version(&api_version, &kind).group;
    let Some(versions) = schemas.kind(&group, &kind) else {
        return after;
    };
    let target = Target::new(&versions, &*api_version, &*kind)
        .subresource(Cow::Owned(subresource.to_owned()));
    let request = Track::new(after.clone(), manager, now()).live(before);
    track(&target, request).unwrap_or(after)
}

/// The object as a server keeps it: in its form, with its defaults.
pub(crate) fn served(object: &Value, ty: Option<TypeRef<'_>>) -> Value {
    let gvk = GroupVersionKind::from_api_version(
        object["apiVersion"].as_str().unwrap_or(""),
        object["kind"].as_str().unwrap_or(""),
    );
    match kinds::Kind::lookup(&gvk.group, &gvk.version, &gvk.kind) {
        Some(kind) => match kinds::decode_value(kind, object) {
            Ok(decoded) => {
                let mut object = decoded.object;
                kinds::default(kind, &mut object, None);
                object
            }
            Err(_) => object.clone(),
        },
        None => {
            let mut object = object.clone();
            if let Some(ty) = ty {
                schema_defaults(&mut object, ty);
            }
            object
        }
    }
}

/// Sets what the schema of a custom kind gives a default.
fn schema_defaults(value: &mut Value, ty: TypeRef<'_>) {
    match value {
        Value::Object(members) => {
            for field in ty.fields() {
                if let (false, Some(default)) =
                    (members.contains_key(field.name()), field.default())
                {
                    members.insert(field.name().to_owned(), default.clone());
                }
            }
            for (name, member) in members.iter_mut() {
                if let Some(ty) = ty.member(name) {
                    schema_defaults(member, ty);
                }
            }
        }
        Value::Array(items) => {
            if let Some(ty) = ty.items() {
                items.iter_mut().for_each(|item| schema_defaults(item, ty));
            }
        }
        _ => {}
    }
}

fn status(object: &Value, ty: Option<TypeRef<'_>>, dice: &mut Dice) -> Option<(Value, FieldPath)> {
    let field = ty?.field("status")?;
    let mut generator = Generator { dice, budget: 20 };
    let mut status = generator.value(field.ty(), "", "status", 4);
    if let Some(members) = status.as_object_mut()
        && field.ty().field("observedGeneration").is_some()
    {
        members.insert("observedGeneration".into(), json!(1));
    }
    let mut edited = object.clone();
    edited.as_object_mut()?.insert("status".to_owned(), status);
    Some((edited, FieldPath::root().field("status")))
}
