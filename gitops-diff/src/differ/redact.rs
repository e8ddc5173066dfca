//! Which fields are secret.

use std::sync::LazyLock;

use gitops_core::{FieldPath, FieldValue, GroupKind};
use serde_json::Value;

use super::place::{Place, Reach};
use crate::equality::values_equal;
use crate::ignore::{FieldPattern, IgnoreRules, Ignored, PatternStep};

/// The annotation in which client-side apply keeps a copy of the whole object.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// What is secret of every object, and then of core secrets.
static COPIES: LazyLock<[FieldPattern; 1]> = LazyLock::new(|| {
    [FieldPattern::of_names([
        "metadata",
        "annotations",
        LAST_APPLIED,
    ])]
});
static CONTENT: LazyLock<[FieldPattern; 2]> =
    LazyLock::new(|| [["data"], ["stringData"]].map(FieldPattern::of_names));

/// Fields that are never shown.
#[derive(Debug, Clone, Default)]
pub(super) struct Secrets {
    of_kinds: Vec<(GroupKind, FieldPattern)>,
    pub(super) rules: IgnoreRules,
}

impl Secrets {
    pub(super) fn add(&mut self, kind: GroupKind, path: FieldPattern) {
        self.of_kinds.push((kind, path));
    }

    /// The secret fields of one object; `ruled` are those that the rules name.
    pub(super) fn of<'s>(&'s self, kind: GroupKind, ruled: Ignored<'s>) -> ObjectSecrets<'s> {
        ObjectSecrets {
            kind,
            of_kinds: &self.of_kinds,
            ruled,
        }
    }
}

pub(super) struct ObjectSecrets<'s> {
    kind: GroupKind,
    of_kinds: &'s [(GroupKind, FieldPattern)],
    ruled: Ignored<'s>,
}

impl ObjectSecrets<'_> {
    fn patterns(&self) -> impl Iterator<Item = &[PatternStep]> {
        let is_secret = self.kind.group.is_empty() && self.kind.kind == "Secret";
        let content: &[FieldPattern] = if is_secret { &*CONTENT } else { &[] };
        let of_kind = self
            .of_kinds
            .iter()
            .filter(|(kind, _)| *kind == self.kind)
            .map(|(_, path)| path);
        COPIES
            .iter()
            .chain(content)
            .chain(of_kind)
            .map(FieldPattern::steps)
            .chain(self.ruled.patterns())
    }

    pub(super) fn reach(&self, place: &Place<'_>) -> Reach {
        self.patterns()
            .map(|pattern| place.reach(pattern))
            .max()
            .unwrap_or(Reach::Open)
    }

    /// A value as it may be shown at `place`.
    pub(super) fn show(&self, place: &Place<'_>, value: Option<&Value>) -> FieldValue {
        self.shown(place.depth(), value, |pattern| place.reach(pattern))
    }

    /// The same at a path.
    pub(super) fn show_at(&self, path: &FieldPath, value: Option<&Value>) -> FieldValue {
        self.shown(path.elements().len(), value, |pattern| {
            Reach::of_path(path, pattern)
        })
    }

    fn shown(
        &self,
        depth: usize,
        value: Option<&Value>,
        reach: impl Fn(&[PatternStep]) -> Reach,
    ) -> FieldValue {
        let Some(value) = value else {
            return FieldValue::Absent;
        };
        // A whole that holds a secret isn't shown either: better too little.
        let open = self.patterns().all(|pattern| match reach(pattern) {
            Reach::Open => true,
            Reach::Holds => pattern
                .get(depth..)
                .is_some_and(|rest| !may_hold(value, rest)),
            Reach::Within => false,
        });
        if open {
            FieldValue::Value(value.clone())
        } else {
            FieldValue::Redacted
        }
    }
}

/// Whether `value` may have something at the end of this way. An element that leaves a key out
/// may have the default that is asked for.
fn may_hold(value: &Value, way: &[PatternStep]) -> bool {
    let Some((step, rest)) = way.split_first() else {
        return true;
    };
    match (value, step) {
        (Value::Object(members), PatternStep::Any) => {
            members.values().any(|value| may_hold(value, rest))
        }
        (Value::Object(members), PatternStep::Field(name)) => {
            members.get(name).is_some_and(|value| may_hold(value, rest))
        }
        (Value::Array(items), PatternStep::Key(keys)) => items.iter().any(|item| {
            let meant = keys.iter().all(|(name, key)| {
                item.get(name)
                    .is_none_or(|member| values_equal(member, key))
            });
            meant && may_hold(item, rest)
        }),
        // Elements that have the same keys are shown together, as one.
        (Value::Array(items), PatternStep::Field(_)) => {
            items.iter().any(|item| may_hold(item, way))
        }
        (Value::Array(items), _) => items
            .iter()
            .enumerate()
            .any(|(at, item)| step.matches_item(at, item) && may_hold(item, rest)),
        _ => false,
    }
}
