//! Laws of server-side apply on valid objects of built-in kinds, as the testkit makes them.

use gitops_core::{FieldPath, PathElement};
use gitops_diff::managed::{Applied, Apply, ManagedError, ManagedFields, Target, apply};
use gitops_diff::schema::{Kind, Schema, Schemas};
use gitops_diff::typed;
use gitops_testkit::arb::{self, EditKind};
use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::Value;

fn now() -> Timestamp {
    "2026-01-02T03:04:05Z".parse().unwrap()
}

fn kind_of(object: &Value) -> Kind<'_> {
    let api_version = object["apiVersion"].as_str().unwrap();
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    Schema::builtin().kind(group, object["kind"].as_str().unwrap())
}

fn applied(
    live: Option<&Value>,
    object: &Value,
    manager: &str,
    force: bool,
) -> Result<Applied, ManagedError> {
    let kind = kind_of(object);
    let target = Target::new(
        &kind,
        object["apiVersion"].as_str().unwrap(),
        object["kind"].as_str().unwrap(),
    );
    let mut request = Apply::new(object, manager, now());
    if let Some(live) = live {
        request = request.live(live);
    }
    if force {
        request = request.force();
    }
    apply(&target, &request)
}

fn bare(object: &Value) -> Value {
    let mut object = object.clone();
    object["metadata"]
        .as_object_mut()
        .unwrap()
        .remove("managedFields");
    object
}

fn owners(object: &Value, path: &FieldPath) -> Vec<String> {
    ManagedFields::of(object)
        .unwrap()
        .iter()
        .filter(|entry| entry.fields.contains(path))
        .map(|entry| entry.owner().manager)
        .collect()
}

fn has(object: &Value, path: &FieldPath) -> bool {
    let ty = Schema::builtin().type_of_object(object).unwrap();
    typed::field_set(object, ty).unwrap().reaches(path)
}

/// Whether the path is a member, not an element of a list.
fn is_member(path: &FieldPath) -> bool {
    matches!(path.elements().last(), Some(PathElement::Field(_)))
}

fn removal() -> impl Strategy<Value = arb::Edit> {
    arb::edit_of(&[EditKind::Remove])
}

proptest! {
    #[test]
    fn applying_again_changes_nothing(object in arb::object()) {
        let first = applied(None, &object, "a", false).unwrap();
        let again = applied(Some(&first.object), &object, "a", false).unwrap();
        prop_assert!(!again.changed);
        prop_assert_eq!(again.object, first.object);
    }

    #[test]
    fn what_was_applied_is_what_is_there(object in arb::object()) {
        let first = applied(None, &object, "a", false).unwrap();
        prop_assert_eq!(bare(&first.object), object);
    }

    /// One states all, one states what is left without a field: they agree.
    #[test]
    fn managers_that_agree_never_conflict(object in arb::object(), edit in removal()) {
        let less = edit.apply(&object);
        let first = applied(None, &object, "a", false).unwrap();
        let ty = Schema::builtin().type_of_object(&object).unwrap();
        // A part of an atomic value is another value.
        prop_assume!(typed::compare(&object, &less, ty).unwrap().modified.is_empty());
        let second = applied(Some(&first.object), &less, "b", false);
        prop_assert!(second.is_ok(), "{}", second.unwrap_err());
        prop_assert_eq!(bare(&second.unwrap().object), object);
    }

    #[test]
    fn a_field_that_is_given_up_goes_if_and_only_if_nobody_else_owns_it(
        object in arb::object(), edit in removal(), shared in any::<bool>(),
    ) {
        let edited = edit.apply_in(&object, &Schemas::builtin());
        let Some(field) = edited.field.filter(is_member) else { return Ok(()) };
        let mut live = applied(None, &object, "a", false).unwrap().object;
        if shared {
            live = applied(Some(&live), &object, "b", false).unwrap().object;
        }
        prop_assert!(has(&live, &field));
        let after = applied(Some(&live), &edited.object, "a", false).unwrap().object;
        prop_assert_eq!(has(&after, &field), shared, "{}\n{:#}", field, object);
        let expected: &[&str] = if shared { &["b"] } else { &[] };
        if !owners(&live, &field).is_empty() {
            prop_assert_eq!(owners(&after, &field), expected);
        }
    }

    #[test]
    fn force_moves_ownership_and_nothing_else_does(
        object in arb::object(), edit in arb::edit_of(&[EditKind::Change]),
    ) {
        let edited = edit.apply_in(&object, &Schemas::builtin());
        let Some(field) = edited.field else { return Ok(()) };
        let live = applied(None, &object, "a", false).unwrap().object;
        let refused = applied(Some(&live), &edited.object, "b", false);
        let Err(ManagedError::Conflicts(conflicts)) = refused else {
            panic!("no conflict at {field}: {refused:?}");
        };
        let named: Vec<_> = conflicts.iter().map(|c| c.path.clone()).collect();
        prop_assert_eq!(&named, std::slice::from_ref(&field));
        let forced = applied(Some(&live), &edited.object, "b", true).unwrap().object;
        prop_assert_eq!(bare(&forced), edited.object);
        prop_assert_eq!(owners(&forced, &field), ["b"]);
        // Giving it up again is no way to get the old value back.
        let back = applied(Some(&forced), &object, "a", false);
        prop_assert!(matches!(back, Err(ManagedError::Conflicts(_))));
    }
}
