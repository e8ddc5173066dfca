//! The SDK's own normalisers keep the laws, and each law catches one that doesn't.

use std::sync::atomic::{AtomicUsize, Ordering};

use gitops_core::GroupKind;
use gitops_diff::normalize::{self, Normalizer};
use gitops_testkit::laws::{self, Check};
use serde_json::{Value, json};

use crate::every_shape;

#[test]
fn the_builtin_normalisers_keep_every_law() {
    assert!(!normalize::builtin().is_empty());
    for normalizer in normalize::builtin() {
        laws::check_normalizer(*normalizer).unwrap();
    }
}

/// A normaliser of services.
struct Mutant<F>(F);

impl<F: Fn(&mut Value) + Send + Sync> Normalizer for Mutant<F> {
    fn applies_to(&self, kind: &GroupKind) -> bool {
        kind.kind == "Service"
    }

    fn normalize(&self, object: &mut Value) {
        (self.0)(object);
    }
}

fn broken_by(mutate: impl Fn(&mut Value) + Send + Sync) -> String {
    let broken = laws::check_normalizer(&Mutant(mutate)).unwrap_err();
    broken.law().to_owned()
}

#[test]
fn wrong_ones_break_the_law_they_should() {
    let renames = |object: &mut Value| object["metadata"]["name"] = json!("other");
    assert_eq!(broken_by(renames), "identity");

    let disowns = |object: &mut Value| {
        if let Some(metadata) = object["metadata"].as_object_mut() {
            metadata.remove("managedFields");
        }
    };
    assert_eq!(broken_by(disowns), "identity");

    let calls = AtomicUsize::new(0);
    let counts = move |object: &mut Value| {
        object["spec"]["count"] = json!(calls.fetch_add(1, Ordering::Relaxed));
    };
    assert_eq!(broken_by(counts), "pure");

    let drops_one_port = |object: &mut Value| {
        if let Some(ports) = object["spec"]["ports"].as_array_mut() {
            ports.pop();
        }
    };
    assert_eq!(broken_by(drops_one_port), "idempotent");
}

#[test]
fn one_that_applies_to_nothing_we_know_is_not_said_to_be_right() {
    struct Custom;
    impl Normalizer for Custom {
        fn applies_to(&self, kind: &GroupKind) -> bool {
            kind.group == "example.com"
        }
        fn normalize(&self, _: &mut Value) {}
    }
    let broken = laws::check_normalizer(&Custom).unwrap_err();
    assert_eq!(broken.law(), "applies");
    // Unless the kind is named.
    let check = Check::new().custom_resource(&every_shape()).unwrap();
    check.normalizer(&Custom).unwrap();

    struct Counter;
    impl Normalizer for Counter {
        fn applies_to(&self, kind: &GroupKind) -> bool {
            kind.group == "example.com"
        }
        fn normalize(&self, object: &mut Value) {
            if let Some(count) = object["spec"]["count"].as_i64() {
                object["spec"]["count"] = json!(count + 1);
            }
        }
    }
    assert_eq!(check.normalizer(&Counter).unwrap_err().law(), "idempotent");
}
