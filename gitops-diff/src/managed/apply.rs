//! Server-side apply.

use std::borrow::Cow;
use std::sync::LazyLock;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Target;
use super::entries::{Entry, ManagedFields, Manager, Operation, put};
use super::error::{Conflicts, ManagedError};
use super::track::{empty_object, record, without_managed};
use super::update::{At, Pruned, internal, prune, reconcile_all, unowned, update};
use crate::fieldset::FieldSet;
use crate::patch::client_side::{self, LAST_APPLIED};
use crate::schema::{TypeRef, api_version_parts};
use crate::typed::{self, Duplicates, compare_trees, field_set_of, merge_trees, validate_tree};
use crate::value::Tree;

/// The most that all annotations of an object may hold, in bytes.
const MAX_ANNOTATIONS: usize = 256 * 1024;

/// A server-side apply.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Apply<'a> {
    /// The object as it is stored, with its `managedFields`; `None` if there is none.
    pub live: Option<&'a Value>,
    /// The configuration that is applied.
    pub applied: &'a Value,
    /// The field manager.
    pub manager: &'a str,
    /// Whether to take over fields of other managers.
    pub force: bool,
    /// The time of the request.
    pub time: Timestamp,
}

impl<'a> Apply<'a> {
    /// An apply of an object that isn't there yet.
    #[must_use]
    pub fn new(applied: &'a Value, manager: &'a str, time: Timestamp) -> Self {
        Self {
            live: None,
            applied,
            manager,
            force: false,
            time,
        }
    }

    /// The same to an object that is there.
    #[must_use]
    pub fn live(mut self, live: &'a Value) -> Self {
        self.live = Some(live);
        self
    }

    /// The same, taking over fields of other managers.
    #[must_use]
    pub fn force(mut self) -> Self {
        self.force = true;
        self
    }
}

/// What a server-side apply leads to.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Applied {
    /// The object, merged, with its `managedFields`: what the server goes on with to
    /// set defaults, to admit and to store it.
    pub object: Value,
    /// Whether it differs from `live` in anything but times.
    pub changed: bool,
}

/// What the API server makes of a server-side apply.
///
/// What the manager applied before, doesn't apply now, and nobody else owns, goes. An
/// object without `managedFields` is taken to have been written by `before-first-apply`.
/// The manager `kubectl` takes over without a conflict what its client-side apply
/// recorded in the annotation `kubectl.kubernetes.io/last-applied-configuration`.
///
/// # Errors
///
/// [`ManagedError::Conflicts`] without [`force`](Apply::force), if another manager owns
/// a field that would change; [`ManagedError::BadRequest`] if the configuration is of
/// another kind or has `managedFields`; [`ManagedError::Internal`] if it doesn't fit the
/// type.
pub fn apply(target: &Target<'_>, request: &Apply<'_>) -> Result<Applied, ManagedError> {
    let Apply {
        live,
        applied,
        manager,
        force,
        time,
    } = *request;
    check_kind(target, applied)?;
    for value in live.into_iter().chain([applied]) {
        typed::deep_enough(value).map_err(|error| ManagedError::Internal(error.to_string()))?;
    }
    let ty = target.ty()?;
    let live = match live {
        Some(live) => live,
        None => nothing(),
    };
    let managed = ManagedFields::of(live)
        .map_err(|error| internal("failed to decode managed fields", error))?;
    let old = At {
        tree: without_managed(live),
        ty,
    };

    let mut managed = managed;
    let before;
    if managed.is_empty() && live.as_object().is_some_and(|members| !members.is_empty()) {
        validate_tree(&old.tree, ty, Duplicates::Allowed).map_err(|error| {
            let what = format!(
                "failed to create manager for existing fields: failed to convert new object ({}) to smd typed",
                object_name(live)
            );
            internal(&what, error)
        })?;
        before = empty_object(target, ty);
        let none = At {
            tree: Tree::Ref(&before),
            ty,
        };
        record(
            target,
            &none,
            &old,
            &mut managed,
            "before-first-apply",
            time,
        )
        .map_err(|error| internal("failed to create manager for existing fields", error))?;
    }

    if applied["metadata"]
        .get("managedFields")
        .is_some_and(Value::is_array)
    {
        return Err(ManagedError::BadRequest(
            "metadata.managedFields must be nil".to_owned(),
        ));
    }
    let applied_tree = Tree::Ref(applied);
    validate_tree(&applied_tree, ty, Duplicates::Refused).map_err(|error| {
        let what = format!(
            "failed to create typed patch object ({})",
            object_name(applied)
        );
        internal(&what, error)
    })?;
    validate_tree(&old.tree, ty, Duplicates::Allowed).map_err(|error| {
        let what = format!("failed to create typed live object ({})", object_name(live));
        internal(&what, error)
    })?;

    let config = At {
        tree: applied_tree,
        ty,
    };
    let manager_name = if manager.is_empty() {
        "unknown"
    } else {
        manager
    };
    let writer = Manager {
        name: Cow::Borrowed(manager_name),
        operation: Operation::Apply,
        api_version: Cow::Borrowed(""),
        subresource: target.subresource.clone(),
    };
    let kubectl = manager == "kubectl";
    let backup = kubectl.then(|| managed.clone());
    let merged = match merged(target, &old, &config, managed, &writer, force) {
        Err(ManagedError::Conflicts(conflicts)) if kubectl => {
            let allowed = last_applied_text(live)
                .and_then(|text| serde_json::from_str::<Value>(text).ok())
                .and_then(|last| allowed_by_last_applied(target, &last, &old, ty));
            let left = match &allowed {
                Some(allowed) => conflicts
                    .0
                    .into_iter()
                    .filter(|conflict| !allowed.contains(&conflict.path))
                    .collect(),
                None => conflicts.0,
            };
            if !left.is_empty() {
                return Err(ManagedError::Conflicts(Conflicts(left)));
            }
            merged(
                target,
                &old,
                &config,
                backup.unwrap_or_default(),
                &writer,
                true,
            )?
        }
        other => other?,
    };

    let (tree, mut managed) = (merged.object, merged.managed);
    let tree = match &tree {
        Pruned::Shared(tree) => tree.clone(),
        Pruned::Converted(object) => Tree::Ref(object),
    };
    let object_changed = !old.tree.equals(&tree);
    if object_changed && let Some(entry) = managed.get_mut(&writer) {
        entry.set_time(Some(time));
    }
    let entries = managed.to_value();
    let mut object = tree.to_value();
    put(&mut object, entries);
    if kubectl && last_applied_text(&object).is_some_and(|text| !text.is_empty()) {
        update_last_applied(&mut object, applied);
    }
    let changed = object_changed
        || live["metadata"].get("managedFields") != object["metadata"].get("managedFields")
        || kubectl && *live != object;
    Ok(Applied { object, changed })
}

struct Merged<'a> {
    object: Pruned<'a>,
    managed: ManagedFields<'a>,
}

fn merged<'a>(
    target: &Target<'a>,
    old: &At<'a>,
    config: &At<'a>,
    mut managed: ManagedFields<'a>,
    writer: &Manager<'a>,
    force: bool,
) -> Result<Merged<'a>, ManagedError> {
    reconcile_all(target, old, &mut managed)?;
    let tree = merge_trees(&old.tree, &config.tree, old.ty)
        .map_err(|error| internal("failed to merge config", error))?;
    let mut set = field_set_of(&config.tree, config.ty);
    if let Some(reset) = target.reset {
        set = set.recursive_difference(reset);
    }
    let last = managed.take(writer);
    let mut entry = match &last {
        Some(last) => last.clone(),
        None => Entry::new(
            writer.clone(),
            target.api_version.clone(),
            None,
            FieldSet::new(),
        ),
    };
    entry.set_version(target.api_version.clone());
    entry.set_fields(set);
    managed.entries.push(entry);
    let new = At { tree, ty: old.ty };
    let object = prune(target, new, &managed, writer, last.as_ref())
        .map_err(|error| internal("failed to prune fields", error))?;
    let new = At {
        tree: match &object {
            Pruned::Shared(tree) => tree.clone(),
            Pruned::Converted(value) => Tree::Ref(value),
        },
        ty: old.ty,
    };
    update(target, old, &new, &mut managed, Some(writer), force)?;
    if let Some(entry) = managed.get_mut(writer) {
        let left = entry.fields.difference(&unowned());
        entry.set_fields(left);
    }
    managed.entries.retain(|entry| !entry.fields.is_empty());
    Ok(Merged { object, managed })
}

fn nothing() -> &'static Value {
    static NOTHING: LazyLock<Value> = LazyLock::new(|| json!({}));
    &NOTHING
}

fn text<'v>(object: &'v Value, name: &str) -> &'v str {
    object[name].as_str().unwrap_or("")
}

/// `group/version, Kind=Kind`, as Go prints it; the group may be empty.
fn kind_name(object: &Value) -> String {
    let (group, version) = api_version_parts(text(object, "apiVersion"));
    format!("{group}/{version}, Kind={}", text(object, "kind"))
}

/// `namespace/name; group/version, Kind=Kind`.
fn object_name(object: &Value) -> String {
    let metadata = &object["metadata"];
    format!(
        "{}/{}; {}",
        text(metadata, "namespace"),
        text(metadata, "name"),
        kind_name(object)
    )
}

fn check_kind(target: &Target<'_>, applied: &Value) -> Result<(), ManagedError> {
    if text(applied, "apiVersion") == target.api_version && text(applied, "kind") == target.kind {
        return Ok(());
    }
    Err(ManagedError::BadRequest(format!(
        "invalid object type: {}",
        kind_name(applied)
    )))
}

fn last_applied_text(object: &Value) -> Option<&str> {
    object["metadata"]["annotations"]
        .get(LAST_APPLIED)?
        .as_str()
}

/// What client-side apply has applied and nobody has changed since.
fn allowed_by_last_applied(
    target: &Target<'_>,
    last: &Value,
    live: &At<'_>,
    ty: TypeRef<'_>,
) -> Option<FieldSet<'static>> {
    if text(last, "apiVersion") != target.api_version {
        return None;
    }
    typed::validate(last, ty, Duplicates::Refused).ok()?;
    validate_tree(&live.tree, ty, Duplicates::Refused).ok()?;
    let tree = Tree::Ref(last);
    let fields = field_set_of(&tree, ty);
    let comparison = compare_trees(&tree, &live.tree, ty).ok()?;
    Some(
        fields
            .difference(&comparison.modified)
            .difference(&comparison.added)
            .difference(&comparison.removed)
            .into_owned(),
    )
}

/// Keeps the annotation of client-side apply up to date, so that going back to it works.
fn update_last_applied(object: &mut Value, applied: &Value) {
    let mut recorded = applied.clone();
    if let Some(metadata) = recorded.get_mut("metadata").and_then(Value::as_object_mut) {
        match metadata.get_mut("annotations") {
            Some(Value::Object(annotations)) => {
                annotations.remove(LAST_APPLIED);
            }
            // The API server records none at all where they are null.
            Some(Value::Null) => {
                metadata.remove("annotations");
            }
            _ => {}
        }
    }
    let text = client_side::recorded(&recorded);
    let Some(annotations) = object
        .get_mut("metadata")
        .and_then(|metadata| metadata.get_mut("annotations"))
        .and_then(Value::as_object_mut)
    else {
        return;
    };
    let others: usize = annotations
        .iter()
        .filter(|(name, _)| *name != LAST_APPLIED)
        .map(|(name, value)| name.len() + value.as_str().map_or(0, str::len))
        .sum();
    if others + LAST_APPLIED.len() + text.len() > MAX_ANNOTATIONS {
        annotations.remove(LAST_APPLIED);
    } else {
        annotations.insert(LAST_APPLIED.to_owned(), Value::from(text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotations_that_are_null_are_not_recorded() {
        let mut object = json!({"metadata": {"annotations": {LAST_APPLIED: "old"}}});
        update_last_applied(
            &mut object,
            &json!({"metadata": {"annotations": null, "name": "a"}}),
        );
        assert_eq!(
            object["metadata"]["annotations"][LAST_APPLIED],
            "{\"metadata\":{\"name\":\"a\"}}\n"
        );
    }
}
