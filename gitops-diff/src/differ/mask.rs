//! What is ignored of one object, as a walk through it asks.

use gitops_core::{FieldPath, OWNER_ANNOTATION, RECONCILER_LABEL};
use serde_json::{Map, Value};

use super::list::step_to;
use super::owners::Owners;
use super::place::{Place, Reach};
use crate::fieldset::Step;
use crate::ignore::{Ignored, PatternStep};
use crate::schema::{MapType, TypeRef};

/// What is ignored of one object.
pub(super) struct Mask<'r> {
    ignored: Ignored<'r>,
}

/// Our own marks on an object: no rule speaks of them, and nothing that holds them is ignored
/// as a whole.
const MARKS: [[&str; 3]; 2] = [
    ["metadata", "labels", RECONCILER_LABEL],
    ["metadata", "annotations", OWNER_ANNOTATION],
];

/// What tells an object from others.
const IDENTITY: &[&[&str]] = &[
    &["apiVersion"],
    &["kind"],
    &["metadata", "name"],
    &["metadata", "namespace"],
];

impl<'r> Mask<'r> {
    /// `is_secret` says that it is a core `Secret`, where what is written to `stringData` is
    /// found in `data`: who ignores one ignores the other.
    pub(super) fn new(mut ignored: Ignored<'r>, is_secret: bool) -> Self {
        if is_secret {
            ignored.alias("data", "stringData");
            ignored.alias("stringData", "data");
        }
        Self { ignored }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ignored.is_empty()
    }

    /// How a place stands to what is ignored.
    pub(super) fn reach(&self, place: &Place<'_>, owners: &Owners<'_>) -> Reach {
        if self.is_empty() {
            return Reach::Open;
        }
        let by_pattern = self
            .ignored
            .patterns()
            .map(|pattern| place.reach(pattern))
            .max()
            .unwrap_or(Reach::Open);
        let reach = by_pattern.max(owners.reach_of(|manager| self.ignored.is_manager(manager)));
        if reach < Reach::Within {
            return reach;
        }
        // Where we are, seen from what can't be ignored.
        let depth = place.depth();
        let leads_to = |names: &[&str]| {
            let meets = (1..=depth)
                .zip(names)
                .all(|(at, name)| place.name_at(at) == Some(*name));
            meets.then_some(depth >= names.len())
        };
        let kept = MARKS.iter().map(|names| leads_to(names));
        let kept = kept.chain(IDENTITY.iter().map(|names| leads_to(names)));
        match kept.flatten().max() {
            Some(true) => Reach::Open,
            Some(false) => Reach::Holds,
            None => reach,
        }
    }

    /// Whether a whole path is ignored, where only the metadata of live is known.
    pub(super) fn covers(&self, path: &FieldPath, owners: &Owners<'_>) -> bool {
        fn walk(
            mask: &Mask<'_>,
            steps: &[Step<'_>],
            place: &Place<'_>,
            owners: &Owners<'_>,
        ) -> bool {
            match steps.split_first() {
                None => mask.reach(place, owners) == Reach::Within,
                Some((step, rest)) => walk(mask, rest, &place.then(step), &owners.element(step)),
            }
        }
        let steps: Vec<_> = path.elements().iter().map(Step::from_element).collect();
        walk(self, &steps, &Place::ROOT, owners)
    }

    /// Whether something that is ignored is in `value`.
    pub(super) fn is_in(
        &self,
        value: &Value,
        ty: Option<TypeRef<'_>>,
        place: &Place<'_>,
        owners: &Owners<'_>,
    ) -> bool {
        match self.reach(place, owners) {
            Reach::Open => return false,
            Reach::Within => return true,
            Reach::Holds => {}
        }
        match value {
            Value::Object(members) => members.iter().any(|(name, member)| {
                let step = Step::field(name);
                let ty = ty.and_then(|ty| ty.member(name));
                self.is_in(member, ty, &place.then(&step), &owners.field(name))
            }),
            Value::Array(items) => items.iter().enumerate().any(|(at, item)| {
                let step = step_to(item, at, ty);
                let below = ty.and_then(TypeRef::items);
                self.is_in(item, below, &place.then(&step), &owners.element(&step))
            }),
            _ => false,
        }
    }

    /// Whether what Git doesn't state any more stays in `live` all the same, since something in
    /// it is ignored. Lists, and what the server takes as one value, go as a whole.
    pub(super) fn keeps(
        &self,
        live: &Value,
        ty: Option<TypeRef<'_>>,
        place: &Place<'_>,
        owners: &Owners<'_>,
    ) -> bool {
        live.is_object()
            && ty.and_then(TypeRef::map_type) != Some(MapType::Atomic)
            && self.is_in(live, ty, place, owners)
    }

    /// `desired` with live's values in the ignored places, for a list or map that the server
    /// takes as one value.
    pub(super) fn overlay(&self, place: &Place<'_>, desired: &Value, live: &Value) -> Value {
        let mut laid = desired.clone();
        for pattern in self.ignored.patterns() {
            if place.reach(pattern) == Reach::Holds
                && let Some(way) = pattern.get(place.depth()..)
            {
                lay(&mut laid, live, way);
            }
        }
        laid
    }
}

/// Puts what live has at the end of `way` in the place of what is there.
fn lay(desired: &mut Value, live: &Value, way: &[PatternStep]) {
    let Some((step, rest)) = way.split_first() else {
        return;
    };
    match (desired, live) {
        (Value::Object(members), Value::Object(has)) => {
            let names: Vec<String> = match step {
                PatternStep::Field(name) => vec![name.clone()],
                PatternStep::Any => members.keys().chain(has.keys()).cloned().collect(),
                _ => return,
            };
            for name in names {
                lay_member(members, has, &name, rest);
            }
        }
        (Value::Array(items), Value::Array(has)) => {
            for (at, item) in items.iter_mut().enumerate() {
                if !step.matches_item(at, item) {
                    continue;
                }
                let same = match step {
                    PatternStep::Key(_) | PatternStep::Value(_) => {
                        has.iter().find(|other| step.matches_item(0, other))
                    }
                    _ => has.get(at),
                };
                match same {
                    Some(same) if rest.is_empty() => *item = same.clone(),
                    Some(same) => lay(item, same, rest),
                    None => {}
                }
            }
        }
        _ => {}
    }
}

fn lay_member(
    members: &mut Map<String, Value>,
    has: &Map<String, Value>,
    name: &str,
    rest: &[PatternStep],
) {
    match (members.get_mut(name), has.get(name)) {
        (Some(member), Some(other)) if !rest.is_empty() => lay(member, other, rest),
        (_, Some(other)) if rest.is_empty() => {
            members.insert(name.to_owned(), other.clone());
        }
        (_, None) if rest.is_empty() => {
            members.remove(name);
        }
        _ => {}
    }
}
