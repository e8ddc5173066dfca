//! Laws of a [`Differ`].
//!
//! Each law is a function of the differ and of generated input; [`check_differ`] runs
//! them all. The laws of the first table are what the trait promises. Those of the second
//! are about ownership: what field owners know and a plain comparison can't.
//!
//! | law | says |
//! |---|---|
//! | [`pure`] | the same question has the same answer |
//! | [`reflexive`] | what was just applied differs in nothing |
//! | [`key_order`] | in which order an object's members come makes no difference |
//! | [`served`] | neither do defaults, and what the server writes in another way |
//! | [`foreign`] | nor a status, nor a field that desired doesn't mention |
//! | [`found`] | a stated field that was changed or removed is found, and no other |
//! | [`honest`] | after the changes live says what desired says, and nothing is left to do |
//! | [`definitions`] | a custom kind is compared by the definition in the same revision |
//! | [`secret`] | no answer and no error shows a secret |
//!
//! | law of ownership | says |
//! |---|---|
//! | [`withdrawn`] | a field that desired no longer states, and only we own, goes |
//! | [`conflict`] | a field that somebody else took is a conflict that names them |
//! | [`unowned`] | a field that somebody else took, and that agrees, is said to be theirs |
//! | [`lost`] | what `lost` answers is true, and read from the metadata alone |

use std::collections::BTreeMap;
use std::fmt::Write as _;

use gitops_core::{
    DiffError, DiffRequest, Differ, Difference, FieldChange, FieldManager, FieldPath, FieldValue,
    Manifest,
};
use gitops_diff::schema::{Schemas, TypeRef};
use serde_json::{Value, json};

use super::LawBroken;
use super::check::Check;
use super::says::{changed, contradiction, find};
use crate::arb::edit::type_of;
use crate::arb::live::as_served;
use crate::arb::object::manifest_from;
use crate::arb::place::{Role, places, reversed};
use crate::arb::{self, Edit, EditKind, Planted, RIVAL};

type Law = Result<(), LawBroken>;

/// Runs all laws, those of ownership too, on as many cases each as proptest is told to
/// (`PROPTEST_CASES`, 256 if unset), with a fresh seed.
///
/// [`Check`] has the settings: which laws, how many cases, which seed.
///
/// ```
/// use gitops_core::{DiffError, DiffRequest, Differ, Difference};
/// use gitops_testkit::laws::{self, Check};
///
/// /// Finds everything alike.
/// struct Blind;
///
/// impl Differ for Blind {
///     fn diff(&self, _: &DiffRequest<'_>) -> Result<Difference, DiffError> {
///         Ok(Difference::default())
///     }
/// }
///
/// let broken = laws::check_differ(&Blind).unwrap_err();
/// assert_eq!(broken.law(), "found");
/// // The message holds the smallest input, and how to see it again.
/// assert!(broken.to_string().contains("Check::new().seed("));
/// ```
///
/// # Errors
///
/// The first law that is broken, with the smallest input that shows it.
pub fn check_differ<D: Differ + ?Sized>(differ: &D) -> Law {
    Check::new().differ(differ)
}

struct Case<'a> {
    law: &'static str,
    desired: &'a Manifest,
    live: &'a Value,
    schemas: Schemas,
}

impl<'a> Case<'a> {
    fn new(law: &'static str, desired: &'a Manifest, live: &'a Value) -> Self {
        Self {
            law,
            desired,
            live,
            schemas: Schemas::builtin(),
        }
    }

    fn broken(&self, why: impl Into<String>) -> LawBroken {
        LawBroken::new(self.law, why)
            .with("desired", &self.desired.value())
            .with("live", self.live)
    }

    fn diff<D: Differ + ?Sized>(&self, differ: &D) -> Result<Difference, LawBroken> {
        let manager = manager();
        differ
            .diff(&DiffRequest::new(self.desired, self.live, &manager))
            .map_err(|error| {
                self.broken(format!("two objects that fit can't be compared: {error}"))
            })
    }

    fn ty(&self) -> Option<TypeRef<'_>> {
        type_of(self.live, &self.schemas)
    }

    fn nothing<D: Differ + ?Sized>(&self, differ: &D, what: &str) -> Law {
        let answer = self.diff(differ)?;
        if answer.is_empty() {
            return Ok(());
        }
        Err(self
            .broken(format!("{what}, and yet there is a difference"))
            .with_text("answer", shown(&answer)))
    }
}

/// Under which name desired is applied: `laws`.
#[must_use]
pub fn manager() -> FieldManager {
    // It is a valid name; should that ever change, every law says so.
    #[expect(clippy::expect_used, reason = "a constant")]
    FieldManager::new("laws").expect("a valid name")
}

fn shown(answer: &Difference) -> String {
    let mut text = String::new();
    for change in &answer.changes {
        let _ = writeln!(text, "{change}");
    }
    for unowned in &answer.unowned {
        let _ = writeln!(text, "unowned: {unowned}");
    }
    for conflict in &answer.conflicts {
        let _ = writeln!(text, "conflict: {conflict}");
    }
    if text.is_empty() {
        text.push_str("(no difference)");
    }
    text
}

/// Live after `manifest` was applied to nothing.
fn created(law: &'static str, manifest: &Manifest) -> Result<Value, LawBroken> {
    arb::created(manifest, &manager(), &Schemas::builtin()).map_err(|error| {
        LawBroken::new(law, format!("the manifest can't be applied: {error}"))
            .with("desired", &manifest.value())
    })
}

/// Whether one of two paths leads to the other.
fn meet(a: &FieldPath, b: &FieldPath) -> bool {
    a.starts_with(b) || b.starts_with(a)
}

/// The same question has the same answer.
///
/// # Errors
///
/// If it hasn't.
pub fn pure<D: Differ + ?Sized>(differ: &D, desired: &Manifest, edit: &Edit) -> Law {
    let live = edit.apply(&created("pure", desired)?);
    let case = Case::new("pure", desired, &live);
    let first = case.diff(differ)?;
    for _ in 0..3 {
        let again = case.diff(differ)?;
        if again != first {
            return Err(case
                .broken("the same question has two answers")
                .with_text("first answer", shown(&first))
                .with_text("later answer", shown(&again)));
        }
    }
    Ok(())
}

/// What was just applied, by us and to nothing, differs in nothing.
///
/// # Errors
///
/// If it does.
pub fn reflexive<D: Differ + ?Sized>(differ: &D, desired: &Manifest) -> Law {
    let live = created("reflexive", desired)?;
    Case::new("reflexive", desired, &live).nothing(differ, "live is what was applied")
}

/// In which order the members of live come makes no difference.
///
/// Without the feature `preserve_order` of `serde_json` a [`Value`] has no order that
/// could be seen, and the law holds.
///
/// # Errors
///
/// If it does.
pub fn key_order<D: Differ + ?Sized>(differ: &D, desired: &Manifest, edit: &Edit) -> Law {
    let live = edit.apply(&created("key_order", desired)?);
    let turned = reversed(&live);
    let (case, other) = (
        Case::new("key_order", desired, &live),
        Case::new("key_order", desired, &turned),
    );
    let (answer, again) = (case.diff(differ)?, other.diff(differ)?);
    if answer == again {
        return Ok(());
    }
    Err(case
        .broken("members in the opposite order give another answer")
        .with_text("answer", shown(&answer))
        .with_text("answer in the opposite order", shown(&again)))
}

/// What the server sets when nobody did, and writes in another way, makes no difference:
/// defaults, `1000m` as `1`.
///
/// # Errors
///
/// If it does.
pub fn served<D: Differ + ?Sized>(differ: &D, desired: &Manifest) -> Law {
    let live = as_served(&created("served", desired)?, &Schemas::builtin());
    Case::new("served", desired, &live).nothing(differ, "live is what the server makes of desired")
}

/// A status, and fields that desired doesn't mention, make no difference, whoever wrote
/// them.
///
/// # Errors
///
/// If they do.
pub fn foreign<D: Differ + ?Sized>(differ: &D, desired: &Manifest, edits: &[Edit]) -> Law {
    let schemas = Schemas::builtin();
    let mut live = created("foreign", desired)?;
    let stated = desired.value();
    let mentioned = |path: &FieldPath| find(&stated, path, type_of(&stated, &schemas)).is_some();
    for edit in edits {
        if matches!(edit.kind(), EditKind::Add | EditKind::Status) {
            live = edit
                .apply_to(&live, &schemas, &|path| !mentioned(path))
                .object;
        }
    }
    Case::new("foreign", desired, &live).nothing(
        differ,
        "live has more than desired, and all that desired says",
    )
}

/// Live with a stated field changed or removed by somebody else.
fn tampered(
    law: &'static str,
    desired: &Manifest,
    edit: &Edit,
) -> Result<Option<(Value, FieldPath)>, LawBroken> {
    let schemas = Schemas::builtin();
    let live = created(law, desired)?;
    if !matches!(edit.kind(), EditKind::Change | EditKind::Remove) {
        return Ok(None);
    }
    let stated = desired.value();
    let ty = type_of(&stated, &schemas);
    let may = |path: &FieldPath| {
        find(&stated, path, ty).is_some() && *path != FieldPath::root().field("metadata")
    };
    let edited = edit.apply_to(&live, &schemas, &may);
    // What an edit touches may still say the same: an empty map that is gone.
    let differs = contradiction(&stated, &edited.object, ty).is_some();
    Ok(edited
        .field
        .filter(|_| differs)
        .map(|field| (edited.object, field)))
}

/// A stated field that was changed, or removed, is found, and no other field is.
///
/// # Errors
///
/// If no change is at the field, or one is elsewhere.
pub fn found<D: Differ + ?Sized>(differ: &D, desired: &Manifest, edit: &Edit) -> Law {
    let Some((live, field)) = tampered("found", desired, edit)? else {
        return Ok(());
    };
    let case = Case::new("found", desired, &live);
    let answer = case.diff(differ)?;
    let report = |why: String| Err(case.broken(why).with_text("answer", shown(&answer)));
    if !answer
        .changes
        .iter()
        .any(|change| meet(&change.path, &field))
    {
        return report(format!("{field} isn't as desired, and no change says so"));
    }
    match answer
        .changes
        .iter()
        .find(|change| !meet(&change.path, &field))
    {
        Some(change) => report(format!(
            "{field} isn't as desired, but {} is, and is among the changes",
            change.path
        )),
        None => Ok(()),
    }
}

/// After the changes live says what desired says, and another diff finds nothing to
/// change.
///
/// # Errors
///
/// If a stated field is still otherwise, a change can't be made, or there is a change
/// left.
pub fn honest<D: Differ + ?Sized>(differ: &D, desired: &Manifest, edits: &[Edit]) -> Law {
    let mut live = created("honest", desired)?;
    for edit in edits {
        live = edit.apply(&live);
    }
    honest_on(differ, desired, &live)
}

/// As [`honest`], on a live object of yours.
///
/// # Errors
///
/// As there.
pub fn honest_on<D: Differ + ?Sized>(differ: &D, desired: &Manifest, live: &Value) -> Law {
    let case = Case::new("honest", desired, live);
    let answer = case.diff(differ)?;
    let stated = desired.value();
    let ty = case.ty();
    let after = match changed(live, &answer.changes, &stated, ty) {
        Ok(after) => after,
        Err(why) => {
            return Err(case
                .broken(format!("a change can't be made: {why}"))
                .with_text("answer", shown(&answer)));
        }
    };
    if !desired.is_sensitive()
        && let Some(field) = contradiction(&stated, &after, ty)
    {
        return Err(case
            .broken(format!("after the changes {field} still isn't as desired"))
            .with_text("answer", shown(&answer))
            .with("live after the changes", &after));
    }
    let again = Case::new("honest", desired, &after).diff(differ)?;
    if again.changes.is_empty() {
        return Ok(());
    }
    Err(case
        .broken("the changes were made, and there are changes again")
        .with_text("answer", shown(&answer))
        .with("live after the changes", &after)
        .with_text("second answer", shown(&again)))
}

/// A custom kind is compared by the definition that comes in the same revision: an
/// element that somebody else has in a list is a difference if the definition says that
/// the list is one value, and none if it says that elements have keys.
///
/// # Errors
///
/// If the definition changes nothing, or the wrong thing.
pub fn definitions<D: Differ + ?Sized>(differ: &D, count: u8) -> Law {
    const LAW: &str = "definitions";
    let count = usize::from(count % 5) + 1;
    let elements = |from: usize, to: usize| -> Vec<Value> {
        (from..to)
            .map(|at| json!({"id": format!("e{at}"), "size": at}))
            .collect()
    };
    let widget = |elements: Vec<Value>| {
        json!({
            "apiVersion": "laws.example.com/v1", "kind": "Widget",
            "metadata": {"name": "w", "namespace": "default"},
            "spec": {"elements": elements},
        })
    };
    let manifest =
        |value: Value| manifest_from(value).map_err(|error| LawBroken::new(LAW, error.to_string()));
    let desired = manifest(widget(elements(0, count)))?;
    for (list, expected) in [
        (
            json!({"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["id"]}),
            false,
        ),
        (json!({"x-kubernetes-list-type": "atomic"}), true),
    ] {
        let definition = widget_definition(list);
        let schema = gitops_diff::schema::Schema::from_crd(&definition)
            .map_err(|error| LawBroken::new(LAW, error.to_string()))?;
        let schemas = Schemas::builtin().with(schema);
        let live = arb::created(&desired, &manager(), &schemas)
            .map_err(|error| LawBroken::new(LAW, error.to_string()))?;
        let mut more = live.clone();
        more["spec"]["elements"] = json!(elements(0, count + 1));
        let live = arb::edit::written(&live, more, RIVAL, "", &schemas);
        let definitions = [manifest(definition.clone())?];
        let manager = manager();
        let request = DiffRequest::new(&desired, &live, &manager).with_definitions(&definitions);
        let report = |why: String| {
            LawBroken::new(LAW, why)
                .with("desired", &desired.value())
                .with("live", &live)
                .with("definition", &definition)
        };
        let answer = differ
            .diff(&request)
            .map_err(|error| report(format!("two objects that fit can't be compared: {error}")))?;
        if answer.changes.is_empty() == expected {
            let why = if expected {
                "the definition says that the list is one value, and an element more is no change"
            } else {
                "the definition says that elements have keys, and one of somebody else is a change"
            };
            return Err(report(why.to_owned()).with_text("answer", shown(&answer)));
        }
    }
    Ok(())
}

fn widget_definition(list: Value) -> Value {
    let mut elements = json!({
        "type": "array",
        "items": {
            "type": "object",
            "required": ["id"],
            "properties": {"id": {"type": "string"}, "size": {"type": "integer"}},
        },
    });
    if let (Some(elements), Value::Object(list)) = (elements.as_object_mut(), list) {
        elements.extend(list);
    }
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.laws.example.com"},
        "spec": {
            "group": "laws.example.com", "scope": "Namespaced",
            "names": {"kind": "Widget", "plural": "widgets"},
            "versions": [{"name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                    "spec": {"type": "object", "properties": {"elements": elements}},
                }}},
            }],
        },
    })
}

/// No answer and no error shows a secret: not as it is, not in base64, not in JSON, not a
/// part of it; printed, as `Debug` or as JSON.
///
/// # Errors
///
/// If one does. The message names the output, and shows the canary: it is no secret.
pub fn secret<D: Differ + ?Sized>(differ: &D, planted: &Planted) -> Law {
    let manager = manager();
    // The value in a shape that no schema allows: an error may quote what is wrong.
    let mut odd = planted.manifest.value();
    let text = planted
        .canaries()
        .first()
        .map_or("", |canary| canary.text());
    odd["data"] = json!({"list": [text], "text": text, "map": {text: text}});
    let mut odd_live = planted.live.clone();
    odd_live["data"] = json!([text, {"x": text}]);
    odd_live["metadata"]["managedFields"] = json!([{"manager": "x", "fieldsV1": text}]);
    let odd = manifest_from(odd).ok();
    let odd = odd.as_ref().unwrap_or(&planted.manifest);
    for (desired, live) in [
        (&planted.manifest, &planted.live),
        (odd, &planted.live),
        (&planted.manifest, &odd_live),
        (&planted.manifest, &json!({})),
    ] {
        let request = DiffRequest::new(desired, live, &manager);
        let mut outputs = BTreeMap::new();
        match differ.diff(&request) {
            Ok(answer) => {
                outputs.insert("Debug of the answer", format!("{answer:?}"));
                outputs.insert("the answer, printed", shown(&answer));
                let json = serde_json::to_string(&answer).unwrap_or_default();
                outputs.insert("the answer as JSON", json);
            }
            Err(error) => {
                outputs.insert("the error", chain(&error));
            }
        }
        let lost = differ.lost(&request);
        outputs.insert("Debug of what is lost", format!("{lost:?}"));
        for (name, output) in outputs {
            if let Some(canary) = planted.leak(&output) {
                return Err(LawBroken::new(
                    "secret",
                    format!("{name} shows {:?} or a part of it", canary.text()),
                )
                .with_text("output", output)
                .with("desired", &desired.value())
                .with("live", live));
            }
        }
    }
    Ok(())
}

fn chain(error: &DiffError) -> String {
    let mut text = format!("{error}\n{error:?}");
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let _ = write!(text, "\n{error}\n{error:?}");
        cause = error.source();
    }
    text
}

/// A field that desired no longer states, and nobody but us owns, goes, and so does all
/// that we stated in it; but for what the server would set again if it were gone alone.
///
/// # Errors
///
/// If it is still there after the changes, or something goes that is stated.
pub fn withdrawn<D: Differ + ?Sized>(differ: &D, before: &Manifest, edit: &Edit) -> Law {
    const LAW: &str = "withdrawn";
    if edit.kind() != EditKind::Remove {
        return Ok(());
    }
    let schemas = Schemas::builtin();
    // With its defaults, as every live object has them.
    let live = as_served(&created(LAW, before)?, &schemas);
    let stated = before.value();
    let edited = edit.apply_in(&stated, &schemas);
    let Some(field) = edited.field else {
        return Ok(());
    };
    let desired = manifest_from(edited.object.clone())
        .map_err(|error| LawBroken::new(LAW, error.to_string()))?;
    let ty = type_of(&live, &schemas);
    let case = Case::new(LAW, &desired, &live);
    let expected = arb::applied(&desired, &live, &manager(), &schemas)
        .map_err(|error| case.broken(format!("desired can't be applied: {error}")))?;
    let answer = case.diff(differ)?;
    let after = changed(&live, &answer.changes, &edited.object, ty)
        .map_err(|why| case.broken(format!("a change can't be made: {why}")))?;
    let stays = places(&stated, ty).into_iter().find(|place| {
        // What is empty can't be seen to go, and who an element is goes with the element.
        place.role == Role::Leaf
            && place.path.starts_with(&field)
            && !is_hollow(place.value)
            && find(&after, &place.path, ty).is_some()
            && find(&expected, &place.path, ty).is_none()
            && !set_again(&live, &place.path, ty, &schemas)
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
pub fn conflict<D: Differ + ?Sized>(differ: &D, desired: &Manifest, edit: &Edit) -> Law {
    let Some((live, field)) = taken("conflict", desired, edit)? else {
        return Ok(());
    };
    let case = Case::new("conflict", desired, &live);
    let answer = case.diff(differ)?;
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
fn taken(
    law: &'static str,
    desired: &Manifest,
    edit: &Edit,
) -> Result<Option<(Value, FieldPath)>, LawBroken> {
    if edit.kind() != EditKind::Change {
        return Ok(None);
    }
    Ok(tampered(law, desired, edit)?.filter(|(live, _)| {
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
pub fn unowned<D: Differ + ?Sized>(differ: &D, desired: &Manifest, edit: &Edit) -> Law {
    const LAW: &str = "unowned";
    let Some((taken, field)) = taken(LAW, desired, edit)? else {
        return Ok(());
    };
    // The rival puts our value back: the field stays theirs.
    let created = created(LAW, desired)?;
    let mut back = created.clone();
    if let Some(metadata) = back["metadata"].as_object_mut() {
        metadata.insert(
            "managedFields".into(),
            taken["metadata"]["managedFields"].clone(),
        );
    }
    let live = arb::edit::written(&taken, back, RIVAL, "", &Schemas::builtin());
    let case = Case::new(LAW, desired, &live);
    let answer = case.diff(differ)?;
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
pub fn lost<D: Differ + ?Sized>(differ: &D, desired: &Manifest, edit: &Edit) -> Law {
    const LAW: &str = "lost";
    let manager = manager();
    let ask = |live: &Value| differ.lost(&DiffRequest::new(desired, live, &manager));
    let list = |lost: &[FieldChange]| -> String {
        lost.iter().map(|change| format!("{change}\n")).collect()
    };
    let live = created(LAW, desired)?;
    let first = ask(&live);
    if !first.is_empty() {
        return Err(Case::new(LAW, desired, &live)
            .broken("we own all that desired states, and something is lost")
            .with_text("lost", list(&first)));
    }
    let Some((live, field)) = tampered(LAW, desired, edit)? else {
        return Ok(());
    };
    let case = Case::new(LAW, desired, &live);
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
