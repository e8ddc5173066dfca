//! Who owns the field that is looked at: `managedFields`, walked along with the object.

use gitops_core::{FieldConflict, FieldOwner, FieldPath};
use serde_json::Value;

use super::place::Reach;
use crate::fieldset::Step;

/// The entries of `managedFields` at one place of the object. The raw `fieldsV1` are
/// walked; nothing is built for objects in which nothing differs.
#[derive(Clone, Default)]
pub(super) struct Owners<'a> {
    /// Whether the object says anything about owners.
    pub(super) known: bool,
    ours: Option<&'a Value>,
    /// The entry and the place in its `fieldsV1`.
    others: Vec<(&'a Value, &'a Value)>,
}

impl<'a> Owners<'a> {
    /// The entries of a live object, for somebody who applies as `manager`.
    pub(super) fn of(live: &'a Value, manager: &str) -> Self {
        let Some(entries) = live
            .get("metadata")
            .and_then(|metadata| metadata.get("managedFields"))
            .and_then(Value::as_array)
        else {
            return Self::default();
        };
        let mut owners = Self {
            known: !entries.is_empty(),
            ..Self::default()
        };
        for entry in entries {
            let Some(fields) = entry.get("fieldsV1") else {
                continue;
            };
            let text = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default();
            let is_ours = text("manager") == manager
                && text("operation") == "Apply"
                && text("subresource").is_empty();
            if is_ours {
                owners.ours = Some(fields);
            } else {
                owners.others.push((entry, fields));
            }
        }
        // The one that is named first: who applies before who updates, later before earlier.
        owners.others.sort_by(|(a, _), (b, _)| {
            let rank = |entry: &'a Value| {
                let text = |name: &str| entry.get(name).and_then(Value::as_str);
                (
                    text("operation") == Some("Apply"),
                    text("time").unwrap_or_default(),
                )
            };
            rank(b).cmp(&rank(a))
        });
        owners
    }

    /// The entries at a member.
    pub(super) fn field(&self, name: &str) -> Self {
        if self.is_empty() {
            return self.nobody();
        }
        let mut key = String::with_capacity(name.len() + 2);
        key.push_str("f:");
        key.push_str(name);
        self.at(&key)
    }

    /// The entries at a list element.
    pub(super) fn element(&self, step: &Step<'_>) -> Self {
        if self.is_empty() {
            return self.nobody();
        }
        let mut key = String::new();
        step.write_key(&mut key);
        self.at(&key)
    }

    fn is_empty(&self) -> bool {
        self.ours.is_none() && self.others.is_empty()
    }

    fn nobody(&self) -> Self {
        Self {
            known: self.known,
            ..Self::default()
        }
    }

    pub(super) fn at(&self, key: &str) -> Self {
        Self {
            known: self.known,
            ours: self.ours.and_then(|fields| fields.get(key)),
            others: self
                .others
                .iter()
                .filter_map(|(entry, fields)| Some((*entry, fields.get(key)?)))
                .collect(),
        }
    }

    /// How this place stands to the fields of others whose name is `wanted`.
    pub(super) fn reach_of(&self, wanted: impl Fn(&str) -> bool) -> Reach {
        let mut reach = Reach::Open;
        for (entry, fields) in &self.others {
            let manager = entry.get("manager").and_then(Value::as_str);
            if !manager.is_some_and(&wanted) {
                continue;
            }
            // One that owns an element of a list needn't own all that is in it.
            let leaf = fields.as_object().is_some_and(serde_json::Map::is_empty);
            reach = reach.max(if leaf { Reach::Within } else { Reach::Holds });
        }
        reach
    }

    /// Whether we own this very field.
    pub(super) fn is_ours(&self) -> bool {
        self.ours.is_some_and(owns)
    }

    /// What we own within this field.
    pub(super) fn ours_within(&self) -> impl Iterator<Item = &'a String> + use<'a> {
        self.ours
            .and_then(Value::as_object)
            .into_iter()
            .flat_map(|fields| fields.keys())
            .filter(|key| *key != ".")
    }

    /// Whether somebody else owns this field or something in it.
    pub(super) fn shared(&self) -> bool {
        !self.others.is_empty()
    }

    /// Somebody else who owns this very field.
    pub(super) fn rival(&self) -> Option<FieldOwner> {
        let (entry, _) = self.others.iter().find(|(_, fields)| owns(fields))?;
        let text = |name: &str| entry.get(name).and_then(Value::as_str);
        Some(FieldOwner {
            manager: text("manager").unwrap_or_default().to_owned(),
            operation: text("operation").unwrap_or_default().to_owned(),
            subresource: text("subresource")
                .filter(|name| !name.is_empty())
                .map(str::to_owned),
            time: text("time").and_then(|time| time.parse().ok()),
        })
    }

    pub(super) fn conflict(&self, path: FieldPath) -> FieldConflict {
        FieldConflict {
            path,
            owner: self.rival(),
        }
    }
}

/// Whether a place in `fieldsV1` is a field of its own, or only on the way to others.
fn owns(fields: &Value) -> bool {
    fields
        .as_object()
        .is_some_and(|fields| fields.is_empty() || fields.contains_key("."))
}
