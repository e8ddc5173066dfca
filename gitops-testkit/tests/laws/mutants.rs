//! Differs that are wrong, each in one way, and the law that says so.

use std::sync::atomic::{AtomicUsize, Ordering};

use gitops_core::{
    DiffError, DiffRequest, Differ, Difference, FieldChange, FieldConflict, FieldPath, FieldValue,
    PathElement,
};
use gitops_diff::differ::SchemaDiffer;
use gitops_diff::managed::ManagedFields;
use gitops_diff::schema::Schema;
use gitops_diff::typed;
use gitops_testkit::laws::Check;
use serde_json::Value;

type Change = dyn Fn(&DiffRequest<'_>, Difference) -> Difference + Send + Sync;
type Lost = dyn Fn(&DiffRequest<'_>, Vec<FieldChange>) -> Vec<FieldChange> + Send + Sync;

/// The right differ with something changed in its answers.
pub(crate) struct Mutant {
    right: SchemaDiffer,
    diff: Box<Change>,
    lost: Box<Lost>,
}

impl Mutant {
    fn new(
        diff: impl Fn(&DiffRequest<'_>, Difference) -> Difference + Send + Sync + 'static,
    ) -> Self {
        Self {
            right: SchemaDiffer::builtin(),
            diff: Box::new(diff),
            lost: Box::new(|_, lost| lost),
        }
    }

    fn losing(
        lost: impl Fn(&DiffRequest<'_>, Vec<FieldChange>) -> Vec<FieldChange> + Send + Sync + 'static,
    ) -> Self {
        Self {
            lost: Box::new(lost),
            ..Self::new(|_, answer| answer)
        }
    }
}

impl Differ for Mutant {
    fn diff(&self, request: &DiffRequest<'_>) -> Result<Difference, DiffError> {
        Ok((self.diff)(request, self.right.diff(request)?))
    }

    fn lost(&self, request: &DiffRequest<'_>) -> Vec<FieldChange> {
        (self.lost)(request, self.right.lost(request))
    }
}

fn change(path: FieldPath, before: FieldValue, after: FieldValue) -> FieldChange {
    FieldChange {
        path,
        before,
        after,
        owner: None,
    }
}

fn note(name: &str) -> FieldChange {
    change(
        FieldPath::root().field(name),
        FieldValue::Absent,
        FieldValue::Absent,
    )
}

pub(crate) fn blind() -> Mutant {
    Mutant::new(|_, _| Difference::default())
}

/// Runs all laws; says which one is broken.
fn broken_by(mutant: &Mutant) -> String {
    match Check::new().seed(5).cases(64).differ(mutant) {
        Err(broken) => broken.law().to_owned(),
        Ok(()) => panic!("no law is broken"),
    }
}

fn is(path: &FieldPath, names: &[&str]) -> bool {
    let mut elements = path.elements().iter();
    names
        .iter()
        .all(|name| matches!(elements.next(), Some(PathElement::Field(field)) if field == name))
}

#[test]
fn one_that_finds_nothing() {
    assert_eq!(broken_by(&blind()), "found");
}

#[test]
fn one_that_shows_what_the_server_adds() {
    let mutant = Mutant::new(|request, mut answer| {
        if !request.live["metadata"]["uid"].is_null() {
            answer.changes.push(note("metadata"));
        }
        answer
    });
    assert_eq!(broken_by(&mutant), "reflexive");
}

#[test]
fn one_that_forgets_with_time() {
    let calls = AtomicUsize::new(0);
    let mutant = Mutant::new(move |_, mut answer| {
        if calls.fetch_add(1, Ordering::Relaxed) % 3 == 2 {
            answer.changes.pop();
            answer.unowned.pop();
        }
        answer
    });
    assert_eq!(broken_by(&mutant), "pure");
}

#[test]
fn one_that_looks_at_the_order_of_members() {
    let ordered = serde_json::json!({"b": 1, "a": 2})
        .to_string()
        .starts_with("{\"b\"");
    let mutant = Mutant::new(|request, mut answer| {
        let mut names = request.live.as_object().unwrap().keys();
        // As they are made and as a map sorts them, the first is less than the last.
        if names.next() > names.next_back() {
            answer.changes.push(note("metadata"));
        }
        answer
    });
    if ordered {
        assert_eq!(broken_by(&mutant), "key_order");
    } else {
        // Then there is no order that a differ could look at.
        Check::new().cases(64).differ(&mutant).unwrap();
    }
}

#[test]
fn one_that_compares_quantities_as_texts() {
    fn walk(desired: &Value, live: &Value, path: FieldPath, found: &mut Vec<FieldChange>) {
        match (desired, live) {
            (Value::Object(desired), Value::Object(live)) => {
                for (name, value) in desired {
                    if let Some(live) = live.get(name) {
                        walk(value, live, path.clone().field(name.clone()), found);
                    }
                }
            }
            (Value::Array(desired), Value::Array(live)) if desired.len() == live.len() => {
                for (at, (desired, live)) in desired.iter().zip(live).enumerate() {
                    walk(desired, live, path.clone().index(at), found);
                }
            }
            (desired, live) if desired != live => found.push(change(
                path,
                FieldValue::Value(live.clone()),
                FieldValue::Value(desired.clone()),
            )),
            _ => {}
        }
    }
    let mutant = Mutant::new(|request, mut answer| {
        if answer.changes.is_empty() && !request.desired.is_sensitive() {
            let desired = request.desired.value();
            walk(
                &desired,
                request.live,
                FieldPath::root(),
                &mut answer.changes,
            );
        }
        answer
    });
    // Where nothing changed, only the server's way of writing can be other.
    assert_eq!(broken_by(&mutant), "served");
}

#[test]
fn one_that_looks_at_the_status() {
    let mutant = Mutant::new(|request, mut answer| {
        if !request.live["status"]["observedGeneration"].is_null() {
            answer.changes.push(note("status"));
        }
        answer
    });
    assert_eq!(broken_by(&mutant), "foreign");
}

#[test]
fn one_that_overlooks_labels() {
    let mutant = Mutant::new(|_, mut answer| {
        answer
            .changes
            .retain(|change| !is(&change.path, &["metadata", "labels"]));
        answer
    });
    assert_eq!(broken_by(&mutant), "found");
}

#[test]
fn one_that_shows_more_than_what_changed() {
    let mutant = Mutant::new(|_, mut answer| {
        if answer.changes.len() == 1 {
            answer.changes.push(change(
                FieldPath::root().field("metadata").field("name"),
                FieldValue::Value("a".into()),
                FieldValue::Value("a".into()),
            ));
        }
        answer
    });
    assert_eq!(broken_by(&mutant), "found");
}

#[test]
fn one_that_mixes_up_before_and_after() {
    let mutant = Mutant::new(|_, mut answer| {
        for change in &mut answer.changes {
            std::mem::swap(&mut change.before, &mut change.after);
        }
        answer
    });
    assert_eq!(broken_by(&mutant), "honest");
}

#[test]
fn one_that_ignores_definitions() {
    struct Deaf(SchemaDiffer);
    impl Differ for Deaf {
        fn diff(&self, request: &DiffRequest<'_>) -> Result<Difference, DiffError> {
            self.0.diff(&DiffRequest::new(
                request.desired,
                request.live,
                request.manager,
            ))
        }
    }
    let broken = Check::new()
        .seed(5)
        .cases(64)
        .differ(&Deaf(SchemaDiffer::builtin()))
        .unwrap_err();
    assert_eq!(broken.law(), "definitions");
}

#[test]
fn one_that_shows_a_secret() {
    let raw = Mutant::new(|request, mut answer| {
        if request.desired.is_sensitive() {
            for change in &mut answer.changes {
                if let [PathElement::Field(data), PathElement::Field(key)] = change.path.elements()
                {
                    change.before = FieldValue::Value(request.live[data][key].clone());
                }
            }
        }
        answer
    });
    assert_eq!(broken_by(&raw), "secret");

    /// Quotes what it can't read.
    struct Quoting(SchemaDiffer);
    impl Differ for Quoting {
        fn diff(&self, request: &DiffRequest<'_>) -> Result<Difference, DiffError> {
            if !request.live["metadata"].is_object() {
                let message = format!("no live object for {}", request.desired.json());
                return Err(DiffError::new(request.desired.id().clone(), message));
            }
            self.0.diff(request)
        }
    }
    let in_error = Check::new()
        .seed(5)
        .cases(64)
        .differ(&Quoting(SchemaDiffer::builtin()))
        .unwrap_err();
    assert_eq!(in_error.law(), "secret");

    let annotation = Mutant::new(|request, mut answer| {
        let annotations = &request.live["metadata"]["annotations"];
        let last = &annotations["kubectl.kubernetes.io/last-applied-configuration"];
        if request.desired.is_sensitive() && last.is_string() {
            answer.changes.push(change(
                FieldPath::root().field("metadata").field("annotations"),
                FieldValue::Value(annotations.clone()),
                FieldValue::Absent,
            ));
        }
        answer
    });
    assert_eq!(broken_by(&annotation), "secret");
}

#[test]
fn one_that_takes_nothing_away() {
    let mutant = Mutant::new(|_, mut answer| {
        answer
            .changes
            .retain(|change| change.after != FieldValue::Absent);
        answer
    });
    assert_eq!(broken_by(&mutant), "withdrawn");
}

#[test]
fn one_that_sees_no_conflict() {
    let mutant = Mutant::new(|_, mut answer| {
        answer.conflicts.clear();
        answer
    });
    assert_eq!(broken_by(&mutant), "conflict");
}

#[test]
fn one_that_names_nobody() {
    let mutant = Mutant::new(|_, mut answer| {
        for conflict in &mut answer.conflicts {
            conflict.owner = None;
        }
        answer
    });
    assert_eq!(broken_by(&mutant), "conflict");
}

#[test]
fn one_that_believes_every_field_is_ours() {
    let mutant = Mutant::new(|_, mut answer| {
        answer.unowned.clear();
        answer
    });
    assert_eq!(broken_by(&mutant), "unowned");
}

#[test]
fn one_that_takes_agreement_for_a_conflict() {
    let mutant = Mutant::new(|_, mut answer| {
        let theirs = answer.unowned.iter().filter(|field| field.owner.is_some());
        answer.conflicts.extend(theirs.cloned());
        answer
    });
    assert_eq!(broken_by(&mutant), "unowned");
}

#[test]
fn one_that_has_lost_what_it_has() {
    let mutant = Mutant::losing(|request, mut lost| {
        if request.desired.value()["spec"].is_object() {
            lost.push(note("spec"));
        }
        lost
    });
    assert_eq!(broken_by(&mutant), "lost");
}

#[test]
fn one_that_needs_the_whole_object_to_know_what_is_lost() {
    let mutant = Mutant::losing(|request, lost| {
        if request.live["spec"].is_null() && request.desired.value()["spec"].is_object() {
            Vec::new()
        } else {
            lost
        }
    });
    assert_eq!(broken_by(&mutant), "lost");
}

/// A label that live has, desired doesn't state, and whose name ends with `end`.
fn odd_label<'l>(request: &'l DiffRequest<'_>, end: &str) -> Option<&'l String> {
    let desired = request.desired.value();
    let labels = request.live["metadata"]["labels"].as_object()?;
    labels
        .keys()
        .find(|name| name.ends_with(end) && desired["metadata"]["labels"].get(name).is_none())
}

fn without_label(request: &DiffRequest<'_>, name: &str) -> FieldChange {
    let labels = FieldPath::root().field("metadata").field("labels");
    let before = request.live["metadata"]["labels"][name].clone();
    change(
        labels.field(name),
        FieldValue::Value(before),
        FieldValue::Absent,
    )
}

#[test]
fn one_that_takes_what_others_have_along() {
    let mutant = Mutant::new(|request, mut answer| {
        // Only where there is something else to do.
        if let (Some(name), false) = (odd_label(request, "-new"), answer.changes.is_empty()) {
            answer.changes.push(without_label(request, name));
        }
        answer
    });
    assert_eq!(broken_by(&mutant), "predicted");
}

#[test]
fn one_that_is_never_done() {
    let mutant = Mutant::new(|request, mut answer| {
        // `RenameKey` gives a label such a name.
        if let (Some(name), true) = (odd_label(request, "x"), answer.is_empty()) {
            answer.changes.push(without_label(request, name));
        }
        answer
    });
    assert_eq!(broken_by(&mutant), "reapplied");
}

#[test]
fn one_that_wants_all_that_is_applied() {
    let mutant = Mutant::new(|request, mut answer| {
        let stated = request.desired.value();
        let Some(ty) = Schema::builtin().type_of_object(&stated) else {
            return answer;
        };
        let (Ok(stated), Ok(entries)) = (
            typed::field_set(&stated, ty),
            ManagedFields::of(request.live),
        ) else {
            return answer;
        };
        let theirs = entries
            .iter()
            .filter(|entry| entry.owner().operation == "Apply")
            .flat_map(|entry| entry.fields.leaves().paths().collect::<Vec<_>>());
        answer
            .unowned
            .extend(theirs.filter(|path| !stated.contains(path)).map(|path| {
                let owner = None;
                FieldConflict { path, owner }
            }));
        answer
    });
    assert_eq!(broken_by(&mutant), "disjoint");
}

#[test]
fn one_that_does_not_see_others() {
    struct Alone(SchemaDiffer);
    impl Differ for Alone {
        fn diff(&self, request: &DiffRequest<'_>) -> Result<Difference, DiffError> {
            let mut live = request.live.clone();
            if let Some(entries) = live["metadata"]["managedFields"].as_array_mut() {
                entries.retain(|entry| entry["manager"] == request.manager.as_str());
            }
            self.0.diff(
                &DiffRequest::new(request.desired, &live, request.manager)
                    .with_definitions(request.definitions),
            )
        }
    }
    let alone = Alone(SchemaDiffer::builtin());
    let broken = Check::new().seed(5).cases(64).differ(&alone).unwrap_err();
    assert_eq!(broken.law(), "shared", "{broken}");
}

#[test]
fn one_that_does_not_see_that_we_took_a_field() {
    let mutant = Mutant::new(|_, mut answer| {
        answer.conflicts.retain(|conflict| {
            let owner = conflict.owner.as_ref();
            owner.is_none_or(|owner| owner.manager != "laws")
        });
        answer
    });
    assert_eq!(broken_by(&mutant), "forced");
}

#[test]
fn one_that_tells_how_long_a_secret_is() {
    let mutant = Mutant::new(|request, mut answer| {
        for change in &mut answer.changes {
            if let [PathElement::Field(data), PathElement::Field(key)] = change.path.elements()
                && let Some(text) = request.live[data][key].as_str()
                && request.desired.is_sensitive()
            {
                change.before = FieldValue::Value(format!("{} bytes", text.len()).into());
            }
        }
        answer
    });
    let broken = Check::new().seed(5).cases(64).differ(&mutant).unwrap_err();
    assert_eq!(broken.law(), "secret");
    assert!(broken.why().contains("length"), "{}", broken.why());
}
