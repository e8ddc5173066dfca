//! The laws hold for the SDK's own differ, and each of them catches a differ that breaks it.
#![expect(clippy::unwrap_used, reason = "a panic in a test names its line")]

mod mutants;
mod normalizers;

use gitops_diff::differ::SchemaDiffer;
use gitops_testkit::laws::{self, Check};

#[test]
fn the_schema_differ_keeps_every_law() {
    laws::check_differ(&SchemaDiffer::builtin()).unwrap();
}

#[test]
fn a_seed_shows_the_same_again() {
    let run = || {
        Check::new()
            .seed(11)
            .cases(64)
            .differ(&mutants::blind())
            .unwrap_err()
            .to_string()
    };
    assert_eq!(run(), run());
    assert!(run().contains("Check::new().seed(11).cases(64)"));
}
