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
//! | [`predicted`] | the changes are those that a server-side apply would make |
//! | [`reapplied`] | after an apply there is nothing left to do, whatever was there before |
//! | [`disjoint`] | two managers of different fields never conflict |
//! | [`withdrawn`] | a field that desired no longer states, and only we own, goes |
//! | [`shared`] | one that somebody else owns as well stays |
//! | [`forced`] | an apply with force moves a field to whoever applied |
//! | [`conflict`] | a field that somebody else took is a conflict that names them |
//! | [`unowned`] | a field that somebody else took, and that agrees, is said to be theirs |
//! | [`lost`] | what `lost` answers is true, and read from the metadata alone |

use std::fmt::Write as _;

use gitops_core::{Differ, Difference, FieldManager, FieldPath, Manifest};
use serde_json::Value;

use super::LawBroken;
use super::check::Check;
use super::says::{changed, contradiction, find};
use crate::arb::edit::type_of;
use crate::arb::live::as_served;
use crate::arb::place::reversed;
use crate::arb::{Edit, EditKind, RIVAL};

mod definitions;
mod ownership;
mod secret;
mod subject;

pub use definitions::definitions;
pub use ownership::{
    conflict, disjoint, forced, lost, predicted, reapplied, shared, unowned, withdrawn,
};
pub use secret::secret;
pub use subject::Subject;

use subject::Case;

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

/// Under which name desired is applied: `laws`.
#[must_use]
pub fn manager() -> FieldManager {
    // It is a valid name; should that ever change, every law says so.
    #[expect(clippy::expect_used, reason = "a constant")]
    FieldManager::new("laws").expect("a valid name")
}

/// [`RIVAL`] as a manager.
fn rival() -> FieldManager {
    #[expect(clippy::expect_used, reason = "a constant")]
    FieldManager::new(RIVAL).expect("a valid name")
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

/// Whether one of two paths leads to the other.
fn meet(a: &FieldPath, b: &FieldPath) -> bool {
    a.starts_with(b) || b.starts_with(a)
}

/// The same question has the same answer.
///
/// # Errors
///
/// If it hasn't.
pub fn pure<'d, D: Differ + ?Sized + 'd>(
    differ: impl Into<Subject<'d, D>>,
    desired: &Manifest,
    edit: &Edit,
) -> Law {
    let subject = &differ.into();
    let live = edit
        .apply_in(&subject.created("pure", desired)?, subject.schemas())
        .object;
    let case = Case::new("pure", subject, desired, &live);
    let first = case.diff()?;
    for _ in 0..3 {
        let again = case.diff()?;
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
pub fn reflexive<'d, D: Differ + ?Sized + 'd>(
    differ: impl Into<Subject<'d, D>>,
    desired: &Manifest,
) -> Law {
    let subject = &differ.into();
    let live = subject.created("reflexive", desired)?;
    Case::new("reflexive", subject, desired, &live).nothing("live is what was applied")
}

/// In which order the members of live come makes no difference.
///
/// Without the feature `preserve_order` of `serde_json` a [`Value`] has no order that
/// could be seen, and the law holds.
///
/// # Errors
///
/// If it does.
pub fn key_order<'d, D: Differ + ?Sized + 'd>(
    differ: impl Into<Subject<'d, D>>,
    desired: &Manifest,
    edit: &Edit,
) -> Law {
    let subject = &differ.into();
    let live = edit
        .apply_in(&subject.created("key_order", desired)?, subject.schemas())
        .object;
    let turned = reversed(&live);
    let (case, other) = (
        Case::new("key_order", subject, desired, &live),
        Case::new("key_order", subject, desired, &turned),
    );
    let (answer, again) = (case.diff()?, other.diff()?);
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
pub fn served<'d, D: Differ + ?Sized + 'd>(
    differ: impl Into<Subject<'d, D>>,
    desired: &Manifest,
) -> Law {
    let subject = &differ.into();
    let live = as_served(&subject.created("served", desired)?, subject.schemas());
    Case::new("served", subject, desired, &live).nothing("live is what the server makes of desired")
}

/// A status, and fields that desired doesn't mention, make no difference, whoever wrote
/// them.
///
/// # Errors
///
/// If they do.
pub fn foreign<'d, D: Differ + ?Sized + 'd>(
    differ: impl Into<Subject<'d, D>>,
    desired: &Manifest,
    edits: &[Edit],
) -> Law {
    let subject = &differ.into();
    let schemas = subject.schemas();
    let mut live = subject.created("foreign", desired)?;
    let stated = desired.value();
    let mentioned = |path: &FieldPath| find(&stated, path, type_of(&stated, schemas)).is_some();
    for edit in edits {
        if matches!(edit.kind(), EditKind::Add | EditKind::Status) {
            live = edit
                .apply_to(&live, schemas, &|path| !mentioned(path))
                .object;
        }
    }
    Case::new("foreign", subject, desired, &live)
        .nothing("live has more than desired, and all that desired says")
}

/// Live with a stated field changed or removed by somebody else.
fn tampered<D: Differ + ?Sized>(
    law: &'static str,
    subject: &Subject<'_, D>,
    desired: &Manifest,
    edit: &Edit,
) -> Result<Option<(Value, FieldPath)>, LawBroken> {
    let schemas = subject.schemas();
    let live = subject.created(law, desired)?;
    if !matches!(edit.kind(), EditKind::Change | EditKind::Remove) {
        return Ok(None);
    }
    let stated = desired.value();
    let ty = type_of(&stated, schemas);
    let may = |path: &FieldPath| {
        find(&stated, path, ty).is_some() && *path != FieldPath::root().field("metadata")
    };
    let edited = edit.apply_to(&live, schemas, &may);
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
pub fn found<'d, D: Differ + ?Sized + 'd>(
    differ: impl Into<Subject<'d, D>>,
    desired: &Manifest,
    edit: &Edit,
) -> Law {
    let subject = &differ.into();
    let Some((live, field)) = tampered("found", subject, desired, edit)? else {
        return Ok(());
    };
    let case = Case::new("found", subject, desired, &live);
    let answer = case.diff()?;
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
pub fn honest<'d, D: Differ + ?Sized + 'd>(
    differ: impl Into<Subject<'d, D>>,
    desired: &Manifest,
    edits: &[Edit],
) -> Law {
    let subject = &differ.into();
    let mut live = subject.created("honest", desired)?;
    for edit in edits {
        live = edit.apply_in(&live, subject.schemas()).object;
    }
    honest_on(subject.clone(), desired, &live)
}

/// As [`honest`], on a live object of yours.
///
/// # Errors
///
/// As there.
pub fn honest_on<'d, D: Differ + ?Sized + 'd>(
    differ: impl Into<Subject<'d, D>>,
    desired: &Manifest,
    live: &Value,
) -> Law {
    let subject = &differ.into();
    let case = Case::new("honest", subject, desired, live);
    let answer = case.diff()?;
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
    let again = Case::new("honest", subject, desired, &after).diff()?;
    if again.changes.is_empty() {
        return Ok(());
    }
    Err(case
        .broken("the changes were made, and there are changes again")
        .with_text("answer", shown(&answer))
        .with("live after the changes", &after)
        .with_text("second answer", shown(&again)))
}
