//! Whether two patches give one field different values.

use std::collections::{BTreeSet, HashMap};

use serde_json::{Map, Value};

use super::{
    DELETE_FROM, DIRECTIVE, ELEMENT_ORDER, Kind, PatchAction, PatchError, PatchField, PatchSchema,
    Place, RETAIN_KEYS, element_kind, lookup_key,
};

/// Refuses two patches of which both change a field, and not in the same way.
pub(super) fn objects<S: PatchSchema>(
    ours: &Map<String, Value>,
    theirs: &Map<String, Value>,
    schema: &S,
    at: &Place<'_>,
) -> Result<(), PatchError> {
    if ours.get(DIRECTIVE) != theirs.get(DIRECTIVE) {
        return Err(at.conflict());
    }
    for (name, ours) in ours {
        let directive = name == DIRECTIVE
            || name == RETAIN_KEYS
            || name.starts_with(ELEMENT_ORDER)
            || name.starts_with(DELETE_FROM);
        let Some(theirs) = theirs.get(name).filter(|_| !directive) else {
            continue;
        };
        let here = at.member(name);
        let field = schema.patch_field(name);
        match (ours, theirs, field) {
            (Value::Object(_), Value::Object(_), Some(field))
                if field.strategy.action == PatchAction::Replace => {}
            (Value::Object(ours), Value::Object(theirs), Some(field)) => {
                objects(ours, theirs, &field.schema, &here)?;
            }
            (Value::Array(ours), Value::Array(theirs), Some(field)) => {
                lists(ours, theirs, &field, &here)?;
            }
            _ if ours == theirs => {}
            _ => return Err(here.conflict()),
        }
    }
    Ok(())
}

fn lists<S: PatchSchema>(
    ours: &[Value],
    theirs: &[Value],
    field: &PatchField<S>,
    at: &Place<'_>,
) -> Result<(), PatchError> {
    if !field.merges_lists() {
        return replaced_lists(ours, theirs, field, at);
    }
    // Elements of a set are added or removed, whatever others do.
    let Some(key) = field.merge_key.as_deref() else {
        return Ok(());
    };
    let mut by_key = HashMap::new();
    for element in theirs {
        let Some(value) = element.get(key) else {
            // A list that is replaced.
            return if ours == theirs {
                Ok(())
            } else {
                Err(at.conflict())
            };
        };
        by_key.insert(lookup_key(value), element);
    }
    for element in ours {
        let Some(value) = element.get(key) else {
            return Err(at.conflict());
        };
        if let (Value::Object(ours), Some(Value::Object(theirs))) =
            (element, by_key.get(&lookup_key(value)))
        {
            objects(ours, theirs, &field.schema, at)?;
        }
    }
    Ok(())
}

/// Lists that are replaced as a whole. As in kubectl, the order of scalars doesn't count,
/// and objects in one place conflict where they say different things of one member.
fn replaced_lists<S: PatchSchema>(
    ours: &[Value],
    theirs: &[Value],
    field: &PatchField<S>,
    at: &Place<'_>,
) -> Result<(), PatchError> {
    if ours.len() != theirs.len() {
        return Err(at.conflict());
    }
    if element_kind(ours, theirs, at)? != Some(Kind::Object) {
        let set = |list: &[Value]| list.iter().map(lookup_key).collect::<BTreeSet<_>>();
        return if set(ours) == set(theirs) {
            Ok(())
        } else {
            Err(at.conflict())
        };
    }
    for (ours, theirs) in ours.iter().zip(theirs) {
        if let (Value::Object(ours), Value::Object(theirs)) = (ours, theirs) {
            objects(ours, theirs, &field.schema, at)?;
        }
    }
    Ok(())
}
