//! Which fields are secret.

use gitops_core::{FieldPath, FieldValue, GroupKind, PathElement};
use serde_json::Value;

use super::walk::Place;

/// The annotation in which client-side apply keeps a copy of the whole object.
pub(super) use crate::patch::client_side::LAST_APPLIED;

/// Fields that are never shown.
#[derive(Debug, Clone, Default)]
pub(super) struct Secrets {
    /// For a kind: the way to a field; `*` is any member or element.
    paths: Vec<(GroupKind, Vec<String>)>,
}

/// How a place stands to the secret fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// Nothing here is secret.
    Open,
    /// Something within it is.
    Holds,
    /// It is secret itself, or lies within something that is.
    Secret,
}

impl Secrets {
    pub(super) fn add(&mut self, kind: GroupKind, path: Vec<String>) {
        self.paths.push((kind, path));
    }

    /// The secret fields of one kind.
    pub(super) fn of_kind(&self, kind: &GroupKind) -> KindSecrets<'_> {
        let mut paths: Vec<Vec<&str>> = vec![vec!["metadata", "annotations", LAST_APPLIED]];
        if kind.group.is_empty() && kind.kind == "Secret" {
            paths.extend([vec!["data"], vec!["stringData"]]);
        }
        paths.extend(
            self.paths
                .iter()
                .filter(|(of, _)| of == kind)
                .map(|(_, path)| path.iter().map(String::as_str).collect()),
        );
        KindSecrets { paths }
    }
}

pub(super) struct KindSecrets<'s> {
    paths: Vec<Vec<&'s str>>,
}

impl KindSecrets<'_> {
    pub(super) fn reach(&self, place: &Place<'_>) -> Reach {
        let mut names = Vec::new();
        place.names(&mut names);
        self.reach_of(&names)
    }

    /// The same for the member names on a way, `None` for list elements.
    pub(super) fn reach_of(&self, names: &[Option<&str>]) -> Reach {
        let mut reach = Reach::Open;
        for path in &self.paths {
            let meets = names
                .iter()
                .zip(path)
                .all(|(name, wanted)| *wanted == "*" || *name == Some(*wanted));
            if meets && names.len() >= path.len() {
                return Reach::Secret;
            }
            if meets {
                reach = Reach::Holds;
            }
        }
        reach
    }

    /// A value as it may be shown at `place`.
    pub(super) fn show(&self, place: &Place<'_>, value: Option<&Value>) -> FieldValue {
        let mut names = Vec::new();
        place.names(&mut names);
        self.shown(&names, value)
    }

    /// The same at a path.
    pub(super) fn show_at(&self, path: &FieldPath, value: Option<&Value>) -> FieldValue {
        let names: Vec<_> = path
            .elements()
            .iter()
            .map(|element| match element {
                PathElement::Field(name) => Some(name.as_str()),
                _ => None,
            })
            .collect();
        self.shown(&names, value)
    }

    fn shown(&self, names: &[Option<&str>], value: Option<&Value>) -> FieldValue {
        let Some(value) = value else {
            return FieldValue::Absent;
        };
        let open = self.paths.iter().all(|path| {
            let meets = names
                .iter()
                .zip(path)
                .all(|(name, wanted)| *wanted == "*" || *name == Some(*wanted));
            !meets
                || path
                    .get(names.len()..)
                    .is_some_and(|rest| !holds(value, rest))
        });
        // A whole that holds a secret isn't shown either: better too little.
        if open {
            FieldValue::Value(value.clone())
        } else {
            FieldValue::Redacted
        }
    }
}

/// Whether `value` has something at the end of this way.
fn holds(value: &Value, path: &[&str]) -> bool {
    let Some((name, rest)) = path.split_first() else {
        return true;
    };
    match value {
        Value::Object(members) if *name == "*" => members.values().any(|value| holds(value, rest)),
        Value::Object(members) => members.get(*name).is_some_and(|value| holds(value, rest)),
        Value::Array(items) if *name == "*" => items.iter().any(|item| holds(item, rest)),
        _ => false,
    }
}
