//! Our own entry: the baseline of drift detection, and what was taken from us.

use gitops_core::{Digest, FieldConflict};
use jiff::Timestamp;
use serde_json::Value;

use super::Versions;
use super::entries::{ManagedFields, Operation};
use super::error::ManagedError;
use super::update::unowned;
use crate::fieldset::FieldSet;
use crate::typed::{self, Duplicates, field_set_of, validate_tree};
use crate::value::Tree;

/// What a manager owns by server-side apply.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct OwnEntry<'a> {
    /// The fields.
    pub fields: FieldSet<'a>,
    /// The `apiVersion` at which they were applied.
    pub api_version: &'a str,
    /// When the manager last changed something. It moves without us only if somebody
    /// applies under the same name.
    pub time: Option<Timestamp>,
}

fn own_value<'a>(metadata: &'a Value, manager: &str) -> Option<&'a Value> {
    let entries = metadata["managedFields"].as_array()?;
    entries.iter().rev().find(|entry| {
        entry["manager"] == manager
            && entry["operation"] == "Apply"
            && entry["subresource"].as_str().is_none_or(str::is_empty)
    })
}

/// The entry of `manager`'s applies to the object itself, in the `metadata` of a live
/// object. `None` if there is none, or none that can be read.
#[must_use]
pub fn own_entry<'a>(metadata: &'a Value, manager: &str) -> Option<OwnEntry<'a>> {
    let entry = own_value(metadata, manager)?;
    Some(OwnEntry {
        fields: FieldSet::from_fields_v1(&entry["fieldsV1"]).ok()?,
        api_version: entry["apiVersion"].as_str()?,
        time: entry["time"].as_str().and_then(|time| time.parse().ok()),
    })
}

/// The digest by which drift is seen: of the object's `uid` and of `manager`'s own entry
/// (its fields and their `apiVersion`, not its time).
///
/// Whoever changes or removes a field of ours takes it out of our entry, and it stays
/// out even if the old value is put back. Writers of other fields, defaults, quantities
/// that the server rewrites and status updates leave the entry as it is. So a `metadata`
/// with the digest that our last apply answered with is an object without drift.
///
/// `None` if the manager has no entry: everything was taken from it, or it never applied.
#[must_use]
pub fn baseline(metadata: &Value, manager: &str) -> Option<Digest> {
    let entry = own_value(metadata, manager)?;
    let fields = FieldSet::from_fields_v1(&entry["fieldsV1"]).ok()?;
    let uid = metadata["uid"].as_str().unwrap_or("");
    let version = entry["apiVersion"].as_str().unwrap_or("");
    Some(Digest::of_parts([
        b"baseline/1".as_slice(),
        uid.as_bytes(),
        version.as_bytes(),
        fields.to_fields_v1_text().as_bytes(),
    ]))
}

/// The fields that `desired` states and `manager` doesn't own (any more), each with the
/// manager that owns it now, if one does. Of a field that is gone with all that was in
/// it, only the innermost ones are named.
///
/// `metadata` is that of the live object. Where several managers own the field, an
/// applying one is named rather than an updating one, and the latest of those.
///
/// # Errors
///
/// [`ManagedError::Internal`] if `desired` doesn't fit its type, or if the live
/// `managedFields` can't be read.
pub fn lost(
    versions: &dyn Versions,
    desired: &Value,
    metadata: &Value,
    manager: &str,
) -> Result<Vec<FieldConflict>, ManagedError> {
    let internal = |error: &dyn std::fmt::Display| ManagedError::Internal(error.to_string());
    typed::deep_enough(desired).map_err(|error| internal(&error))?;
    let api_version = desired["apiVersion"].as_str().unwrap_or("");
    let ty = versions
        .type_at(api_version)
        .ok_or_else(|| internal(&format_args!("{api_version:?} isn't served")))?;
    let tree = Tree::Ref(desired);
    validate_tree(&tree, ty, Duplicates::Refused).map_err(|error| internal(&error))?;
    let fields = field_set_of(&tree, ty).difference(unowned());
    let own = own_entry(metadata, manager);
    let missing = match &own {
        Some(own) => fields.difference(&own.fields),
        None => fields,
    };
    if missing.is_empty() {
        return Ok(Vec::new());
    }
    let managed =
        ManagedFields::read(&metadata["managedFields"]).map_err(|error| internal(&error))?;
    let rival = |path: &gitops_core::FieldPath| {
        managed
            .iter()
            .filter(|entry| {
                let own = entry.manager.name == manager
                    && entry.manager.operation == Operation::Apply
                    && entry.manager.subresource.is_empty();
                !own && entry.fields.contains(path)
            })
            .max_by_key(|entry| (entry.manager.operation == Operation::Apply, entry.time))
            .map(super::Entry::owner)
    };
    Ok(missing
        .leaves()
        .paths()
        .map(|path| FieldConflict {
            owner: rival(&path),
            path,
        })
        .collect())
}
