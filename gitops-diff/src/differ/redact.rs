//! Which fields are secret.

use std::sync::LazyLock;

use gitops_core::{Difference, FieldChange, FieldPath, FieldValue, GroupKind, PathElement};
use serde_json::Value;

use super::place::{Place, Reach};
use crate::equality::values_equal;
use crate::ignore::{FieldPattern, IgnoreRules, Ignored, PatternStep};

/// Annotations in which tools keep a copy of the whole object. Whatever is secret in the
/// object is in its copy.
static COPIES: LazyLock<[FieldPattern; 4]> = LazyLock::new(|| {
    [
        "kubectl.kubernetes.io/last-applied-configuration",
        "banzaicloud.com/last-applied",
        "kapp.k14s.io/original",
        "objectset.rio.cattle.io/applied",
    ]
    .map(|name| FieldPattern::of_names(["metadata", "annotations", name]))
});

/// What may be shown of a core `Secret`. All else is secret, also a field that is misspelt.
const SHOWN_OF_SECRET: &[&str] = &["apiVersion", "kind", "metadata", "type", "immutable"];

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
        let of_kind = self
            .of_kinds
            .iter()
            .filter(|(kind, _)| *kind == self.kind)
            .map(|(_, path)| path);
        COPIES
            .iter()
            .chain(of_kind)
            .map(FieldPattern::steps)
            .chain(self.ruled.patterns())
    }

    /// Whether what begins with this member is content of a core `Secret`.
    fn is_content(&self, first: Option<&str>) -> bool {
        self.kind.group.is_empty()
            && self.kind.kind == "Secret"
            && first.is_some_and(|name| !SHOWN_OF_SECRET.contains(&name))
    }

    pub(super) fn reach(&self, place: &Place<'_>) -> Reach {
        if self.is_content(place.name_at(1)) {
            return Reach::Within;
        }
        self.patterns()
            .map(|pattern| place.reach(pattern))
            .max()
            .unwrap_or(Reach::Open)
    }

    fn reach_at(&self, path: &FieldPath) -> Reach {
        if self.is_content(first_name(path)) {
            return Reach::Within;
        }
        self.patterns()
            .map(|pattern| Reach::of_path(path, pattern))
            .max()
            .unwrap_or(Reach::Open)
    }

    /// A value as it may be shown at `place`.
    pub(super) fn show(&self, place: &Place<'_>, value: Option<&Value>) -> FieldValue {
        if self.is_content(place.name_at(1)) {
            return redacted(value);
        }
        self.shown(place.depth(), value, |pattern| place.reach(pattern))
    }

    /// The same at a path.
    pub(super) fn show_at(&self, path: &FieldPath, value: Option<&Value>) -> FieldValue {
        if self.is_content(first_name(path)) {
            return redacted(value);
        }
        self.shown(path.elements().len(), value, |pattern| {
            Reach::of_path(path, pattern)
        })
    }

    /// Cuts the paths of a difference where a step would tell a secret: a list element is
    /// named by its keys or its value.
    pub(super) fn cut_paths(&self, found: &mut Difference) {
        for change in &mut found.changes {
            self.cut_change(change);
        }
        found.changes.dedup_by(|a, b| a.path == b.path);
        for fields in [&mut found.unowned, &mut found.conflicts] {
            for field in fields.iter_mut() {
                self.cut(&mut field.path);
            }
            fields.dedup_by(|a, b| a.path == b.path);
        }
    }

    /// The same for one change.
    pub(super) fn cut_change(&self, change: &mut FieldChange) {
        if self.cut(&mut change.path) {
            change.before = FieldValue::Redacted;
            change.after = FieldValue::Redacted;
        }
    }

    /// The same for one path. Whether something was cut.
    pub(super) fn cut(&self, path: &mut FieldPath) -> bool {
        let marked = self.patterns().nth(COPIES.len()).is_some();
        if !marked && !self.is_content(first_name(path)) {
            return false;
        }
        let mut walked = FieldPath::root();
        for element in path.elements() {
            let is_secret = |path: FieldPath| self.reach_at(&path) == Reach::Within;
            let here = || walked.clone().join(element.clone());
            let tells = match element {
                PathElement::Field(_) | PathElement::Index(_) => false,
                PathElement::Value(_) => is_secret(here()),
                PathElement::Key(keys) => keys.keys().any(|key| is_secret(here().field(key))),
            };
            if tells {
                *path = walked;
                return true;
            }
            walked.push(element.clone());
        }
        false
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

fn redacted(value: Option<&Value>) -> FieldValue {
    match value {
        Some(_) => FieldValue::Redacted,
        None => FieldValue::Absent,
    }
}

fn first_name(path: &FieldPath) -> Option<&str> {
    match path.elements().first()? {
        PathElement::Field(name) => Some(name),
        _ => None,
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
