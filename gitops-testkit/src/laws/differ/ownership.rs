//! Laws of ownership: what field owners know and a plain comparison can't.

use gitops_core::{DiffRequest, Differ, FieldChange, FieldPath, FieldValue, Manifest, PathElement};
use gitops_diff::fieldset::FieldSet;
use gitops_diff::schema::{Schemas, TypeRef};
use gitops_diff::typed;
use serde_json::{Value, json};

use super::subject::Case;
use super::{Law, Subject, manager, meet, rival, shown, tampered};
use crate::arb::edit::type_of;
use crate::arb::live::as_served;
use crate::arb::object::manifest_from;
use crate::arb::place::{Role, places};
use crate::arb::{self, Edit, EditKind, RIVAL};
use crate::laws::LawBroken;
use crate::laws::says::{changed, contradiction, find};

/// The changes are those that a server-side apply with force makes: applied to live they
/// give the object that the apply gives.
///
/// What live was before: `before`, applied by us, after `edits`. Where the server
/// sets a default the changes need not take away what it would set again.
///
/// # Errors
///
/// If a field differs afterwards.
pub fn predicted<'d, D: Differ + ?Sized + 'd>(
    differ: impl Into<Subject<'d, D>>,
    before: &Manifest,
    edits: &[Edit],
    next: &Edit,
) -> Law {
    const LAW: &str = "predicted";
    let subject = &differ.into();
    let schemas = subject.schemas();
    let mut live = subject.created(LAW, before)?;
    for edit in edits {
        live = edit.apply_in(&live, schemas).object;
    }
    let desired = edited(LAW, before, next, schemas)?;
    let case = Case::new(LAW, subject, &desired, &live);
    if desired.is_sensitive() {
        return Ok(());
    }
    let expected = subject.applied(LAW, &desired, &live, &manager())?;
    let answer = case.diff()?;
    let ty = case.ty();
    let after = changed(&live, &answer.changes, &desired.value(), ty)
        .map_err(|why| case.broken(format!("a change can't be made: {why}")))?;
    let without = |object: &Value| {
        let mut object = object.clone();
        if let Some(metadata) = object["metadata"].as_object_mut() {
            metadata.remove("managedFields");
        }
        object
    };
    let (after, expected) = (without(&after), without(&expected));
    let differs = contradiction(&expected, &after, ty)
        .map(|field| format!("an apply gives {field}, and the changes don't"))
        .or_else(|| {
            contradiction(&after, &expected, ty)
                .map(|field| format!("the changes leave {field}, and an apply doesn't"))
        });
    match differs {
        None => Ok(()),
        Some(why) => Err(case
            .broken(why)
            .with_text("answer", shown(&answer))
            .with("stated before", &before.value())
            .with("live after the changes", &after)
            .with("live after an apply", &expected)),
    }
}

/// The manifest after an edit in Git, where nobody writes a status.
fn edited(
    law: &'static str,
    before: &Manifest,
    edit: &Edit,
    schemas: &Schemas,
) -> Result<Manifest, LawBroken> {
    let mut edited = edit.apply_in(&before.value(), schemas).object;
    if let Some(members) = edited.as_object_mut() {
        members.remove("status");
    }
    manifest_from(edited).map_err(|error| LawBroken::new(law, error.to_string()))
}

/// After an apply with force there is nothing left to do, whatever was there before.
///
/// # Errors
///
/// If there is.
pub fn reapplied<'d, D: Differ + ?Sized + 'd>(
    differ: impl Into<Subject<'d, D>>,
    before: &Manifest,
    edits: &[Edit],
    next: &Edit,
) -> Law {
    const LAW: &str = "reapplied";
    let subject = &differ.into();
    let schemas = subject.schemas();
    let mut live = subject.created(LAW, before)?;
    for edit in edits {
        live = edit.apply_in(&live, schemas).object;
    }
    let desired = edited(LAW, before, next, schemas)?;
    let live = subject.applied(LAW, &desired, &live, &manager())?;
    let served = as_served(&live, schemas);
    Case::new(LAW, subject, &desired, &live).nothing("we have just applied it")?;
    Case::new(LAW, subject, &desired, &served).nothing("we have just applied it")
}

/// Two managers who state different fields of an object never conflict: each finds, after
/// the other applied, that nothing is left to do. `split` says which field is whose: one
/// bit each, in path order.
///
/// # Errors
///
/// If one of them finds something.
pub fn disjoint<'d, D: Differ + ?Sized + 'd>(
    differ: impl Into<Subject<'d, D>>,
    whole: &Manifest,
    split: u64,
) -> Law {
    const LAW: &str = "disjoint";
    let subject = &differ.into();
    let stated = whole.value();
    let Some(ty) = type_of(&stated, subject.schemas()) else {
        return Ok(());
    };
    let fits = |error: typed::TypeErrors| LawBroken::new(LAW, error.to_string());
    let fields = typed::field_set(&stated, ty).map_err(fits)?.leaves();
    let part = |ours: bool| -> Result<Manifest, LawBroken> {
        let picked: FieldSet<'_> = fields
            .paths()
            .enumerate()
            .filter(|(at, path)| is_name(path) || ((split >> (at % 64)) & 1 == 1) == ours)
            .map(|(_, path)| path)
            .collect();
        let part = typed::extract(&stated, &picked, ty).map_err(fits)?;
        manifest_from(part).map_err(|error| LawBroken::new(LAW, error.to_string()))
    };
    let (ours, theirs) = (part(true)?, part(false)?);
    let live = subject.created(LAW, &ours)?;
    let live = subject.applied(LAW, &theirs, &live, &rival())?;
    Case::new(LAW, subject, &ours, &live).nothing("somebody else applied other fields")?;
    Case::new(LAW, subject, &theirs, &live)
        .by_rival()
        .nothing("we applied other fields than the rival")
}

/// What every manager states of an object.
fn is_name(path: &FieldPath) -> bool {
    let names: Vec<&str> = path
        .elements()
        .iter()
        .filter_map(|element| match element {
            PathElement::Field(name) => Some(name.as_str()),
            _ => None,
        })
        .collect();
    matches!(
        names.as_slice(),
        ["apiVersion" | "kind"] | ["metadata", "name" | "namespace"]
    )
}

/// A field that desired no longer states, and that [`RIVAL`] owns as well as we, stays.
///
/// # Errors
///
/// If there is a change, or a conflict.
pub fn shared<'d, D: Differ + ?Sized + 'd>(
    differ: impl Into<Subject<'d, D>>,
    before: &Manifest,
    edit: &Edit,
) -> Law {
    const LAW: &str = "shared";
    let subject = &differ.into();
    let stated = before.value();
    let removed = edit.apply_in(&stated, subject.schemas());
    // A part of a value that is owned as a whole isn't removed, the value is another.
    let part = removed.field.as_ref().is_some_and(|_| {
        type_of(&stated, subject.schemas()).is_some_and(|ty| {
            typed::compare(&stated, &removed.object, ty)
                .is_ok_and(|compared| compared.modified.is_empty())
        })
    });
    if edit.kind() != EditKind::Remove || !part {
        return Ok(());
    }
    let desired =
        manifest_from(removed.object).map_err(|error| LawBroken::new(LAW, error.to_string()))?;
    let live = subject.created(LAW, before)?;
    let live = subject.applied(LAW, before, &live, &rival())?;
    let case = Case::new(LAW, subject, &desired, &live);
    let answer = case.diff()?;
    if answer.changes.is_empty() && answer.conflicts.is_empty() {
        return Ok(());
    }
    Err(case
        .broken("all that desired no longer states belongs to somebody else too, and would go")
        .with("stated before", &stated)
        .with_text("answer", shown(&answer)))
}

/// An apply with force moves a field to whoever applied: we find nothing left to do, and
/// the one who had it finds a conflict that names us.
///
/// # Errors
///
/// If we find something, or they don't.
pub fn forced<'d, D: Differ + ?Sized + 'd>(
    differ: impl Into<Subject<'d, D>>,
    desired: &Manifest,
    edit: &Edit,
) -> Law {
    const LAW: &str = "forced";
    let subject = &differ.into();
    let schemas = subject.schemas();
    let Some((_, field)) = taken(LAW, subject, desired, edit)? else {
        return Ok(());
    };
    let theirs = edited(LAW, desired, edit, schemas)?;
    let live = subject.created(LAW, desired)?;
    let live = subject.applied(LAW, &theirs, &live, &rival())?;
    let live = subject.applied(LAW, desired, &live, &manager())?;
    Case::new(LAW, subject, desired, &live).nothing("we took the field with force")?;
    let case = Case::new(LAW, subject, &theirs, &live).by_rival();
    let answer = case.diff()?;
    let ours = answer.conflicts.iter().any(|conflict| {
        let owner = conflict.owner.as_ref();
        meet(&conflict.path, &field)
            && owner.is_some_and(|owner| owner.manager == manager().as_str())
    });
    if ours {
        return Ok(());
    }
    Err(case
        .broken(format!(
            "we took {field} with force, and whoever had it isn't told so"
        ))
        .with_text("answer", shown(&answer)))
}

/// A field that desired no longer states, and nobody but us owns, goes, and so does all
/// that we stated in it; but for what the server would set again if it were gone alone.
///
/// # Errors
///
/// If it is still there after the changes, or something goes that is stated.
pub fn withdrawn<'d, D: Differ + ?Sized + 'd>(
    differ: impl Into<Subject<'d, D>>,
    before: &Manifest,
    edit: &Edit,
) -> Law {
    const LAW: &str = "withdrawn";
    let subject = &differ.into();
    if edit.kind() != EditKind::Remove {
        return Ok(());
    }
    let schemas = subject.schemas();
    // With its defaults, as every live object has them.
    let live = as_served(&subject.created(LAW, before)?, schemas);
    let stated = before.value();
    let edited = edit.apply_in(&stated, schemas);
    let Some(field) = edited.field else {
        return Ok(());
    };
    let desired = manifest_from(edited.object.clone())
        .map_err(|error| LawBroken::new(LAW, error.to_string()))?;
    let ty = type_of(&live, schemas);
    let case = Case::new(LAW, subject, &desired, &live);
    let expected = arb::applied(&desired, &live, &manager(), schemas)
        .map_err(|error| case.broken(format!("desired can't be applied: {error}")))?;
    let answer = case.diff()?;
    let after = changed(&live, &answer.changes, &edited.object, ty)
        .map_err(|why| case.broken(format!("a change can't be made: {why}")))?;
    let stays = places(&stated, ty).into_iter().find(|place| {
        // What is empty can't be seen to go, and who an element is goes with the element.
        place.role == Role::Leaf
            && place.path.starts_with(&field)
            && !is_hollow(place.value)
            && find(&after, &place.path, ty).is_some()
            && find(&expected, &place.path, ty).is_none()
            && !set_again(&live, &place.path, ty, schemas)
    });
    let why = match (stays, contradiction(&edited.object, &after, ty)) {
        (Some(stays), _) => format!("{} was ours, isn't stated any more, and stays", stays.path),
        (_, Some(lost)) => format!("{lost} is stated, and goes with {field}"),
        _ => return Ok(()),
    };
    Err(case
        .broken(why)
        .with("stated before", &stated)
        .with_text("answer", shown(&answer)))
}

/// Whether the server sets the field if it alone is taken away.
fn set_again(live: &Value, field: &FieldPath, ty: Option<TypeRef<'_>>, schemas: &Schemas) -> bool {
    let gone = FieldChange {
        path: field.clone(),
        before: FieldValue::Unread,
        after: FieldValue::Absent,
        owner: None,
    };
    let without = changed(live, &[gone], &Value::Null, ty);
    without.is_ok_and(|without| find(&as_served(&without, schemas), field, ty).is_some())
}

/// Nothing but empty containers.
fn is_hollow(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(members) => members.values().all(is_hollow),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

/// A stated field that [`RIVAL`] gave another value is a conflict that names the field
/// and its owner, and is among the changes.
///
/// # Errors
///
/// If it isn't, or somebody else is named.
pub fn conflict<'d, D: Differ + ?Sized + 'd>(
    differ: impl Into<Subject<'d, D>>,
    desired: &Manifest,
    edit: &Edit,
) -> Law {
    let subject = &differ.into();
    let Some((live, field)) = taken("conflict", subject, desired, edit)? else {
        return Ok(());
    };
    let case = Case::new("conflict", subject, desired, &live);
    let answer = case.diff()?;
    let report = |why: String| Err(case.broken(why).with_text("answer", shown(&answer)));
    let Some(conflict) = answer.conflicts.iter().find(|c| meet(&c.path, &field)) else {
        return report(format!("{RIVAL} owns {field}, and there is no conflict"));
    };
    if conflict
        .owner
        .as_ref()
        .is_none_or(|owner| owner.manager != RIVAL)
    {
        return report(format!("{RIVAL} owns {field}, and isn't named"));
    }
    match answer.conflicts.iter().find(|conflict| {
        !answer
            .changes
            .iter()
            .any(|change| meet(&change.path, &conflict.path))
    }) {
        Some(conflict) => report(format!(
            "{} is a conflict and isn't among the changes",
            conflict.path
        )),
        None => Ok(()),
    }
}

/// Live with a stated field changed by [`RIVAL`], who then owns it.
fn taken<D: Differ + ?Sized>(
    law: &'static str,
    subject: &Subject<'_, D>,
    desired: &Manifest,
    edit: &Edit,
) -> Result<Option<(Value, FieldPath)>, LawBroken> {
    if edit.kind() != EditKind::Change {
        return Ok(None);
    }
    Ok(tampered(law, subject, desired, edit)?.filter(|(live, _)| {
        let entries = live["metadata"]["managedFields"].as_array();
        entries.is_some_and(|entries| entries.iter().any(|entry| entry["manager"] == RIVAL))
    }))
}

/// A stated field that [`RIVAL`] took and then gave our value is no change and no
/// conflict, and is said to be theirs.
///
/// # Errors
///
/// If it is a change, or isn't said, or somebody else is named.
pub fn unowned<'d, D: Differ + ?Sized + 'd>(
    differ: impl Into<Subject<'d, D>>,
    desired: &Manifest,
    edit: &Edit,
) -> Law {
    const LAW: &str = "unowned";
    let subject = &differ.into();
    let Some((taken, field)) = taken(LAW, subject, desired, edit)? else {
        return Ok(());
    };
    // The rival puts our value back: the field stays theirs.
    let created = subject.created(LAW, desired)?;
    let mut back = created.clone();
    if let Some(metadata) = back["metadata"].as_object_mut() {
        metadata.insert(
            "managedFields".into(),
            taken["metadata"]["managedFields"].clone(),
        );
    }
    let live = arb::edit::written(&taken, back, RIVAL, "", subject.schemas());
    let case = Case::new(LAW, subject, desired, &live);
    let answer = case.diff()?;
    let report = |why: String| Err(case.broken(why).with_text("answer", shown(&answer)));
    if let Some(change) = answer.changes.first() {
        return report(format!("{} is as desired, and is a change", change.path));
    }
    if let Some(conflict) = answer.conflicts.first() {
        return report(format!(
            "{} is as desired, and is a conflict",
            conflict.path
        ));
    }
    let Some(theirs) = answer.unowned.iter().find(|c| meet(&c.path, &field)) else {
        return report(format!("{RIVAL} owns {field}, we don't, and it isn't said"));
    };
    if theirs
        .owner
        .as_ref()
        .is_none_or(|owner| owner.manager != RIVAL)
    {
        return report(format!("{RIVAL} owns {field}, and isn't named"));
    }
    Ok(())
}

/// What [`Differ::lost`] answers is true: nothing right after an apply, only fields that
/// desired states and [`RIVAL`] took, and the same from the metadata alone. An empty
/// answer is always allowed.
///
/// # Errors
///
/// If it isn't.
pub fn lost<'d, D: Differ + ?Sized + 'd>(
    differ: impl Into<Subject<'d, D>>,
    desired: &Manifest,
    edit: &Edit,
) -> Law {
    const LAW: &str = "lost";
    let subject = &differ.into();
    let manager = manager();
    let ask = |live: &Value| {
        let request = DiffRequest::new(desired, live, &manager);
        subject
            .differ
            .lost(&request.with_definitions(&subject.definitions))
    };
    let list = |lost: &[FieldChange]| -> String {
        lost.iter().map(|change| format!("{change}\n")).collect()
    };
    let live = subject.created(LAW, desired)?;
    let first = ask(&live);
    if !first.is_empty() {
        return Err(Case::new(LAW, subject, desired, &live)
            .broken("we own all that desired states, and something is lost")
            .with_text("lost", list(&first)));
    }
    let Some((live, field)) = tampered(LAW, subject, desired, edit)? else {
        return Ok(());
    };
    let case = Case::new(LAW, subject, desired, &live);
    let lost = ask(&live);
    let report = |why: String| Err(case.broken(why).with_text("lost", list(&lost)));
    if let Some(change) = lost.iter().find(|change| !meet(&change.path, &field)) {
        return report(format!("{} is ours, and is said to be lost", change.path));
    }
    let metadata = json!({
        "apiVersion": live["apiVersion"], "kind": live["kind"], "metadata": live["metadata"],
    });
    // Which fields, and whose they are: values can't be read from there.
    let owners = |lost: &[FieldChange]| -> Vec<String> {
        lost.iter()
            .map(|change| format!("{} {:?}", change.path, change.owner))
            .collect()
    };
    if owners(&ask(&metadata)) != owners(&lost) {
        return report("with the metadata alone the answer is another one".to_owned());
    }
    Ok(())
}
