//! What a change of the object does to the owners: the core of apply and track.

use std::borrow::Cow;
use std::sync::LazyLock;

use gitops_core::FieldPath;
use serde_json::Value;

use super::entries::{Entry, ManagedFields, Manager};
use super::error::{Conflict, Conflicts, ManagedError};
use super::{Target, Versions};
use crate::fieldset::FieldSet;
use crate::schema::TypeRef;
use crate::typed::{
    self, Comparison, Duplicates, compare_trees, field_set_of, reconcile, remove_from,
};
use crate::value::Tree;

/// An object at one version.
#[derive(Clone)]
pub(super) struct At<'a> {
    pub(super) tree: Tree<'a>,
    pub(super) ty: TypeRef<'a>,
}

pub(super) fn internal(what: &str, error: impl std::fmt::Display) -> ManagedError {
    ManagedError::Internal(format!("{what}: {error}"))
}

/// The object at another version, in which it must be valid; `None` if there is no such
/// version.
pub(super) fn convert<'v>(
    versions: &'v dyn Versions,
    tree: &Tree<'_>,
    api_version: &str,
) -> Result<Option<(Value, TypeRef<'v>)>, ManagedError> {
    let Some(ty) = type_at(versions, api_version)? else {
        return Ok(None);
    };
    let object = versions
        .convert(&tree.to_value(), api_version)
        .map_err(ManagedError::Internal)?;
    // The API server refuses duplicates here even where it takes them otherwise.
    typed::validate(&object, ty, Duplicates::Refused)
        .map_err(|error| ManagedError::Internal(error.to_string()))?;
    Ok(Some((object, ty)))
}

fn type_at<'v>(
    versions: &'v dyn Versions,
    api_version: &str,
) -> Result<Option<TypeRef<'v>>, ManagedError> {
    match versions.type_at(api_version) {
        Some(ty) => Ok(Some(ty)),
        None => match versions.refusal(api_version) {
            Some(message) => Err(ManagedError::Internal(message)),
            None => Ok(None),
        },
    }
}

/// Brings entries in line with types that have become atomic, and drops those of
/// versions that there aren't. `live` must be valid at the versions of all entries.
pub(super) fn reconcile_all(
    target: &Target<'_>,
    live: &At<'_>,
    managed: &mut ManagedFields<'_>,
) -> Result<(), ManagedError> {
    let mut gone = Vec::new();
    let mut seen: Vec<String> = Vec::new();
    for entry in &mut managed.entries {
        let version = entry.api_version.as_ref();
        if version != target.api_version && !seen.iter().any(|other| other == version) {
            let converted = convert(target.versions, &live.tree, version)?;
            if converted.is_none() {
                gone.push(version.to_owned());
            }
            seen.push(version.to_owned());
        }
        if let Some(ty) = type_at(target.versions, version)?
            && let Some(fields) = reconcile(&entry.fields, ty)
        {
            entry.set_fields(fields);
        }
    }
    managed
        .entries
        .retain(|entry| !gone.iter().any(|version| *version == entry.api_version));
    Ok(())
}

/// Takes from everybody but `writer` what the change took from them. Without `force`,
/// fields that were changed or added are conflicts.
pub(super) fn update<'a>(
    target: &Target<'_>,
    old: &At<'a>,
    new: &At<'a>,
    managed: &mut ManagedFields<'_>,
    writer: Option<&Manager<'_>>,
    force: bool,
) -> Result<Comparison<'a>, ManagedError> {
    let reset = target.reset;
    let own = compare_trees(&old.tree, &new.tree, old.ty)
        .map_err(|error| internal("failed to compare objects", error))?;
    let own = match reset {
        Some(reset) => own.without(reset),
        None => own,
    };

    // The same comparison at the other versions, as field sets with names of their own.
    let mut others: Vec<(String, Option<Comparison<'static>>)> = Vec::new();
    for entry in &managed.entries {
        let version = entry.api_version.as_ref();
        let known = version == target.api_version
            || Some(&entry.manager) == writer
            || others.iter().any(|(other, _)| other == version);
        if !known {
            others.push((version.to_owned(), compare_at(target, old, new, version)?));
        }
    }

    let mut conflicts: Vec<(Manager<'static>, FieldSet<'static>)> = Vec::new();
    let mut keep = Vec::with_capacity(managed.entries.len());
    for entry in &mut managed.entries {
        if Some(&entry.manager) == writer {
            keep.push(true);
            continue;
        }
        let comparison = if entry.api_version == target.api_version {
            Some(&own)
        } else {
            let version = entry.api_version.as_ref();
            others
                .iter()
                .find(|(other, _)| other == version)
                .and_then(|(_, comparison)| comparison.as_ref())
        };
        let Some(comparison) = comparison else {
            keep.push(false);
            continue;
        };
        if comparison.is_same() {
            keep.push(true);
            continue;
        }
        let changed = entry
            .fields
            .intersection(&comparison.modified)
            .union(&entry.fields.intersection(&comparison.added));
        if !force && !changed.is_empty() {
            conflicts.push((
                entry.manager.clone().into_owned(),
                changed.clone().into_owned(),
            ));
        }
        let left = entry
            .fields
            .difference(&changed)
            .difference(&comparison.removed);
        keep.push(!left.is_empty());
        entry.set_fields(left);
    }
    if !conflicts.is_empty() {
        return Err(ManagedError::Conflicts(named(conflicts)));
    }
    let mut keep = keep.into_iter();
    managed
        .entries
        .retain(|entry| keep.next().unwrap_or(true) && !entry.fields.is_empty());
    Ok(own)
}

/// The conflicts in the order of the API server's message.
fn named(mut conflicts: Vec<(Manager<'static>, FieldSet<'static>)>) -> Conflicts {
    conflicts.sort_by_cached_key(|(manager, _)| manager.identifier());
    let mut out = Vec::new();
    for (manager, fields) in conflicts {
        fields.visit(&mut FieldPath::root(), &mut |path| {
            out.push(Conflict {
                path: path.clone(),
                manager: manager.clone(),
            });
        });
    }
    Conflicts(out)
}

fn compare_at(
    target: &Target<'_>,
    old: &At<'_>,
    new: &At<'_>,
    version: &str,
) -> Result<Option<Comparison<'static>>, ManagedError> {
    let old = convert(target.versions, &old.tree, version)
        .map_err(|error| internal("failed to convert old object", error))?;
    let new = convert(target.versions, &new.tree, version)
        .map_err(|error| internal("failed to convert new object", error))?;
    let (Some((old, ty)), Some((new, _))) = (old, new) else {
        return Ok(None);
    };
    let comparison = compare_trees(&Tree::Ref(&old), &Tree::Ref(&new), ty)
        .map_err(|error| internal("failed to compare objects", error))?;
    let comparison = match target.reset {
        Some(reset) => comparison.without(reset),
        None => comparison,
    };
    Ok(Some(Comparison {
        added: comparison.added.into_owned(),
        modified: comparison.modified.into_owned(),
        removed: comparison.removed.into_owned(),
    }))
}

/// An object that is either put together from parts, or came back from a conversion.
pub(super) enum Pruned<'a> {
    Shared(Tree<'a>),
    Converted(Value),
}

/// Takes away what the writer applied last time, doesn't apply now, and nobody else owns.
///
/// `managed` holds the writer's new entry; `last` is the old one.
pub(super) fn prune<'a>(
    target: &Target<'_>,
    merged: At<'a>,
    managed: &ManagedFields<'a>,
    writer: &Manager<'_>,
    last: Option<&Entry<'a>>,
) -> Result<Pruned<'a>, ManagedError> {
    let Some(last) = last.filter(|last| !last.fields.is_empty()) else {
        return Ok(Pruned::Shared(merged.tree));
    };
    let same_version = last.api_version == target.api_version;
    if same_version
        && managed
            .get(writer)
            .is_some_and(|now| last.fields.is_subset(&now.fields))
    {
        // All that was applied is applied again, so there is nothing to take away. (What
        // is applied always holds the list elements and map members around a field.)
        return Ok(Pruned::Shared(merged.tree));
    }
    if same_version
        && managed
            .entries
            .iter()
            .all(|entry| entry.api_version == last.api_version)
    {
        let pruned = remove_from(
            &merged.tree,
            &last.fields.with_named_fields(Some(merged.ty)),
            merged.ty,
        );
        let owned = everything(managed, &last.api_version);
        let pruned = add_back(&merged, &pruned, &owned);
        return Ok(Pruned::Shared(dangling(&merged, &pruned, &last.fields)));
    }

    // Versions differ: the same by way of conversions.
    let converted = convert(target.versions, &merged.tree, &last.api_version).map_err(|error| {
        internal(
            "failed to convert merged object to last applied version",
            error,
        )
    })?;
    let Some((object, ty)) = converted else {
        return Ok(Pruned::Shared(merged.tree));
    };
    let merged_last = At {
        tree: Tree::Ref(&object),
        ty,
    };
    let removed = remove_from(
        &merged_last.tree,
        &last.fields.with_named_fields(Some(ty)),
        ty,
    );
    let mut pruned = removed.to_value();
    let mut versions: Vec<Cow<'_, str>> = vec![last.api_version.clone()];
    for entry in &managed.entries {
        if !versions.contains(&entry.api_version) {
            versions.push(entry.api_version.clone());
        }
    }
    for version in &versions {
        let owned = everything(managed, version);
        let whole = convert(target.versions, &merged.tree, version).map_err(|error| {
            let what = format!("failed to convert merged object at version {version}");
            internal("failed add back owned items", internal(&what, error))
        })?;
        let Some((whole, ty)) = whole else {
            continue;
        };
        let Some((part, _)) = convert(target.versions, &Tree::Ref(&pruned), version)? else {
            continue;
        };
        if owned.is_empty() && *version == last.api_version {
            continue;
        }
        let whole = At {
            tree: Tree::Ref(&whole),
            ty,
        };
        pruned = add_back(&whole, &Tree::Ref(&part), &owned).to_value();
    }
    let Some((part, _)) = convert(target.versions, &Tree::Ref(&pruned), &last.api_version)? else {
        return Ok(Pruned::Shared(merged.tree));
    };
    let pruned = dangling(&merged_last, &Tree::Ref(&part), &last.fields);
    match convert(target.versions, &pruned, &target.api_version)? {
        Some((object, _)) => Ok(Pruned::Converted(object)),
        None => Ok(Pruned::Shared(merged.tree)),
    }
}

/// All that anybody owns at a version.
fn everything<'a>(managed: &ManagedFields<'a>, version: &str) -> FieldSet<'a> {
    managed
        .entries
        .iter()
        .filter(|entry| entry.api_version == version)
        .fold(FieldSet::new(), |all, entry| all.union(&entry.fields))
}

/// Puts back what was taken away although somebody owns it.
fn add_back<'a>(merged: &At<'a>, pruned: &Tree<'a>, owned: &FieldSet<'_>) -> Tree<'a> {
    let ty = Some(merged.ty);
    let whole = field_set_of(&merged.tree, merged.ty).with_named_fields(ty);
    let part = field_set_of(pruned, merged.ty).with_named_fields(ty);
    let gone = whole
        .difference(&part)
        .difference(&owned.with_named_fields(ty));
    remove_from(&merged.tree, &gone, merged.ty)
}

/// Puts back what was taken away although the writer never owned it.
fn dangling<'a>(merged: &At<'a>, pruned: &Tree<'a>, last: &FieldSet<'_>) -> Tree<'a> {
    let ty = Some(merged.ty);
    let whole = field_set_of(&merged.tree, merged.ty).with_named_fields(ty);
    let part = field_set_of(pruned, merged.ty).with_named_fields(ty);
    let gone = whole
        .difference(&part)
        .intersection(&last.with_named_fields(ty));
    remove_from(&merged.tree, &gone, merged.ty)
}

/// Fields that nobody owns: those by which an object is known, and those that the
/// server sets.
pub(super) fn unowned() -> &'static FieldSet<'static> {
    static UNOWNED: LazyLock<FieldSet<'static>> = LazyLock::new(|| {
        FieldSet::of_names([
            ["apiVersion"].as_slice(),
            &["kind"],
            &["metadata"],
            &["metadata", "name"],
            &["metadata", "namespace"],
            &["metadata", "creationTimestamp"],
            &["metadata", "selfLink"],
            &["metadata", "uid"],
            &["metadata", "clusterName"],
            &["metadata", "generation"],
            &["metadata", "managedFields"],
            &["metadata", "resourceVersion"],
        ])
    });
    &UNOWNED
}
