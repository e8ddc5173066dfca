//! Ownership of `replicas` between an object and its scale subresource.

use std::borrow::Cow;

use gitops_core::FieldPath;
use serde_json::Value;

use super::entries::{Entry, ManagedFields};
use super::error::ManagedError;
use crate::fieldset::FieldSet;

const SCALE: &str = "autoscaling/v1";

/// Where an object has its replicas, by `apiVersion`: `.spec.replicas` for the built-in
/// workloads. `None` for a version without a scale subresource.
pub type ReplicasPaths<'a> = [(&'a str, Option<FieldPath>)];

fn replicas_in_scale() -> FieldPath {
    FieldPath::root().field("spec").field("replicas")
}

fn path_of<'p>(paths: &'p ReplicasPaths<'_>, version: &str) -> Option<&'p Option<FieldPath>> {
    paths
        .iter()
        .find(|(other, _)| *other == version)
        .map(|(_, path)| path)
}

fn only(path: &FieldPath) -> FieldSet<'static> {
    [path.clone()].into_iter().collect()
}

fn read(entries: &Value) -> Result<ManagedFields<'_>, ManagedError> {
    ManagedFields::read(entries).map_err(ManagedError::Internal)
}

/// The `managedFields` that the Scale of an object has: who owns the object's replicas.
///
/// `parent` is the object's `metadata.managedFields` (null if it has none).
///
/// # Errors
///
/// [`ManagedError::Internal`] if the entries can't be read.
pub fn to_scale(parent: &Value, paths: &ReplicasPaths<'_>) -> Result<Value, ManagedError> {
    let mut out = ManagedFields::default();
    for entry in read(parent)?.iter() {
        let Some(Some(path)) = path_of(paths, &entry.api_version) else {
            continue;
        };
        if entry.fields.contains(path) {
            out.entries.push(Entry::new(
                entry.manager.clone(),
                Cow::Borrowed(SCALE),
                entry.time,
                only(&replicas_in_scale()),
            ));
        }
    }
    Ok(out.to_value())
}

/// The `managedFields` of an object after its Scale was written at `api_version` (that of
/// the object): `parent` are the entries that it has, `scale` those of the written Scale.
///
/// # Errors
///
/// [`ManagedError::Internal`] if entries can't be read.
pub fn from_scale(
    parent: &Value,
    scale: &Value,
    api_version: &str,
    paths: &ReplicasPaths<'_>,
) -> Result<Value, ManagedError> {
    let parent = read(parent)?;
    let mut scale = read(scale)?;
    let mut out = ManagedFields::default();
    let times: Vec<_> = parent
        .iter()
        .map(|entry| (entry.manager.clone(), entry.time))
        .collect();
    for mut entry in parent.entries {
        let Some(path) = path_of(paths, &entry.api_version) else {
            continue;
        };
        let Some(path) = path.as_ref().filter(|path| entry.fields.contains(path)) else {
            out.entries.push(entry);
            continue;
        };
        if scale.take(&entry.manager).is_none() {
            // The scale's writer took it.
            let left = entry.fields.difference(&only(path));
            if left.is_empty() {
                continue;
            }
            entry.set_fields(left);
        }
        out.entries.push(entry);
    }
    let replicas = replicas_in_scale();
    let path = path_of(paths, api_version).and_then(Option::as_ref);
    for entry in scale.entries {
        let Some(path) = path.filter(|_| entry.fields.contains(&replicas)) else {
            continue;
        };
        // As the reference does it: the time is the one of the object's own entry, so
        // that a new entry has none.
        let time = times
            .iter()
            .find(|(manager, _)| *manager == entry.manager)
            .and_then(|(_, time)| *time);
        out.entries.push(Entry::new(
            entry.manager,
            Cow::Owned(api_version.to_owned()),
            time,
            only(path),
        ));
    }
    Ok(out.to_value())
}
