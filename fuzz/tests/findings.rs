//! Replays what the fuzzer found, with no fuzzer: the inputs in `findings/<target>/`, which
//! are committed, and those in `artifacts/<target>/`, where cargo-fuzz leaves new ones.
//!
//! A finding that was understood has a test in its crate too, which says what went wrong;
//! here the very bytes are tried again.

use std::fs;
use std::path::{Path, PathBuf};

use gitops_fuzz::{crd, fields_v1, patches, yaml};

/// The files in a folder; none if there is no such folder.
fn files(folder: &str, target: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(folder)
        .join(target);
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut files: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    files
}

/// Runs a target on all that was found; says how many findings are committed.
fn replay(target: &str, check: fn(&[u8])) -> usize {
    let committed = files("findings", target);
    for file in committed.iter().chain(&files("artifacts", target)) {
        // Printed if the test fails: the last one is the one.
        println!("{}", file.display());
        check(&fs::read(file).expect("a file that can be read"));
    }
    committed.len()
}

#[test]
fn fields_v1() {
    replay("fields_v1", fields_v1::check);
}

#[test]
fn crd() {
    assert!(replay("crd", crd::check) > 0);
}

#[test]
fn patches() {
    assert!(replay("patches", patches::check) > 0);
}

#[test]
fn yaml() {
    assert!(replay("yaml", yaml::check) > 0);
}
