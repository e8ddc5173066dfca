//! What is sent to change an object, where some of it is ignored.

use serde_json::{Map, Value};

use super::list::step_to;
use super::mask::Mask;
use super::owners::Owners;
use super::place::{Place, Reach};
use crate::fieldset::Step;
use crate::schema::{ListType, MapType, TypeRef};

/// What is sent of one object: desired, but in the ignored places what is ours of live.
pub(super) struct Payload<'p> {
    pub(super) mask: &'p Mask<'p>,
}

/// The three sides of one place.
#[derive(Clone, Copy)]
pub(super) struct Sides<'a> {
    pub(super) desired: Option<&'a Value>,
    pub(super) live: Option<&'a Value>,
    /// The part of live that is ours.
    pub(super) ours: Option<&'a Value>,
    pub(super) ty: Option<TypeRef<'a>>,
}

impl Payload<'_> {
    /// What is sent at one place.
    pub(super) fn at(
        &self,
        sides: Sides<'_>,
        place: &Place<'_>,
        owners: &Owners<'_>,
    ) -> Option<Value> {
        let Sides {
            desired,
            live,
            ours,
            ..
        } = sides;
        match self.mask.reach(place, owners) {
            Reach::Within => return ours.cloned(),
            Reach::Open => return desired.cloned(),
            Reach::Holds => {}
        }
        let atomic = match desired.or(ours) {
            Some(Value::Object(_)) => sides.ty.and_then(TypeRef::map_type) == Some(MapType::Atomic),
            Some(Value::Array(_)) => !matches!(
                sides.ty.and_then(TypeRef::list_type),
                Some(ListType::Map | ListType::Set)
            ),
            _ => true,
        };
        match (desired, live) {
            (Some(desired), Some(live)) if atomic => Some(self.mask.overlay(place, desired, live)),
            (desired, _) if atomic => desired.cloned(),
            (Some(Value::Array(items)), _) => {
                Some(Value::Array(self.elements(items, sides, place, owners)))
            }
            (Some(Value::Object(members)), _) => {
                let made = self.members(Some(members), sides, place, owners);
                // To send an empty one where live has none would make it.
                let emptied = made.is_empty() && !members.is_empty() && live.is_none();
                (!emptied).then_some(Value::Object(made))
            }
            (None, _) if matches!(ours, Some(Value::Object(_))) => {
                let made = self.members(None, sides, place, owners);
                let stays = live.is_some_and(|live| self.mask.keeps(live, sides.ty, place, owners));
                (stays || !made.is_empty()).then_some(Value::Object(made))
            }
            // A list that Git has no more goes.
            (None, _) => None,
            (Some(other), _) => Some(other.clone()),
        }
    }

    /// Members that Git states, and those of ours that are ignored.
    fn members(
        &self,
        desired: Option<&Map<String, Value>>,
        sides: Sides<'_>,
        place: &Place<'_>,
        owners: &Owners<'_>,
    ) -> Map<String, Value> {
        let ours = sides.ours.and_then(Value::as_object);
        let stated = desired.into_iter().flat_map(Map::keys);
        let kept = ours.into_iter().flat_map(Map::keys);
        let kept = kept.filter(|name| desired.is_none_or(|it| !it.contains_key(*name)));
        let mut made = Map::new();
        for name in stated.chain(kept) {
            let step = Step::field(name);
            let inner = Sides {
                desired: desired.and_then(|it| it.get(name)),
                live: sides.live.and_then(|it| it.get(name)),
                ours: ours.and_then(|it| it.get(name)),
                ty: sides.ty.and_then(|ty| ty.member(name)),
            };
            let below = owners.field(name);
            if let Some(value) = self.at(inner, &place.then(&step), &below) {
                made.insert(name.clone(), value);
            }
        }
        made
    }

    /// Elements that Git states, and those of a set that are ours and ignored.
    fn elements(
        &self,
        desired: &[Value],
        sides: Sides<'_>,
        place: &Place<'_>,
        owners: &Owners<'_>,
    ) -> Vec<Value> {
        let find = |list: Option<&'_ Value>, step: &Step<'_>| -> Option<usize> {
            let items = list?.as_array()?;
            let mut steps = items.iter().enumerate();
            steps.find_map(|(at, item)| (step_to(item, at, sides.ty) == *step).then_some(at))
        };
        let mut made = Vec::with_capacity(desired.len());
        for (at, element) in desired.iter().enumerate() {
            let step = step_to(element, at, sides.ty);
            let inner_place = place.then(&step);
            let below = owners.element(&step);
            let live = find(sides.live, &step).and_then(|at| sides.live?.get(at));
            let ours = find(sides.ours, &step).and_then(|at| sides.ours?.get(at));
            match (self.mask.reach(&inner_place, &below), live, &step) {
                (Reach::Open, ..) => made.push(element.clone()),
                (Reach::Within, ..) => made.extend(ours.cloned()),
                // It isn't there yet: it is made as Git has it.
                (Reach::Holds, None, _) => made.push(element.clone()),
                (Reach::Holds, ..) => {
                    let inner = Sides {
                        desired: Some(element),
                        live,
                        ours,
                        ty: sides.ty.and_then(TypeRef::items),
                    };
                    let mut part = self.at(inner, &inner_place, &below);
                    if let (Step::Key(keys), Some(Value::Object(members))) = (&step, &mut part) {
                        for (name, _) in keys {
                            if let Some(key) = element.get(name.as_ref()) {
                                members.insert(name.to_string(), key.clone());
                            }
                        }
                    }
                    made.extend(part);
                }
            }
        }
        // What is ours and ignored stays, though Git has it no more.
        let ours = sides.ours.and_then(Value::as_array);
        for (at, item) in ours.into_iter().flatten().enumerate() {
            let step = step_to(item, at, sides.ty);
            let ignored = self.mask.reach(&place.then(&step), &owners.element(&step));
            let stated = desired
                .iter()
                .enumerate()
                .any(|(at, element)| step_to(element, at, sides.ty) == step);
            if ignored == Reach::Within && !stated {
                made.push(item.clone());
            }
        }
        made
    }
}
