//! YAML as `kubectl` reads it: tables, limits, laws, and `kubectl` itself where it is there.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a panic in a test is a failure that names its line, and a skipped test says so"
)]

#[path = "yaml/corpus.rs"]
mod corpus;
#[path = "yaml/kubectl.rs"]
mod kubectl;
#[path = "yaml/laws.rs"]
mod laws;
#[path = "yaml/limits.rs"]
mod limits;
#[path = "yaml/manifests.rs"]
mod manifests;
#[path = "yaml/scalars.rs"]
mod scalars;
#[path = "yaml/speed.rs"]
mod speed;
#[path = "yaml/structure.rs"]
mod structure;

use gitops_core::yaml::{Documents, ReadErrorKind, ReadLimits, read_documents};
use serde_json::Value;

fn read(yaml: &str) -> Documents {
    read_documents("a.yaml", yaml.as_bytes(), &ReadLimits::default())
}

/// The one document of the text.
#[track_caller]
fn one(yaml: &str) -> Value {
    let mut read = read(yaml);
    assert_eq!(read.errors, [], "{yaml:?}");
    assert_eq!(read.documents.len(), 1, "{yaml:?}");
    read.documents.remove(0).value
}

/// The one error of the text.
#[track_caller]
fn refusal(yaml: &str) -> ReadErrorKind {
    let mut read = read(yaml);
    assert_eq!(read.errors.len(), 1, "{yaml:?}: {read:?}");
    read.errors.remove(0).kind
}
