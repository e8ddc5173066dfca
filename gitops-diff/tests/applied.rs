//! What a real API server stored of what it was sent is no difference.
//!
//! Every recorded create, replacement and apply is a pair: the object as a manifest says it,
//! and the object as the server answered it, with defaults, allocations and rewritten values.
//! For each the differ has to find nothing. What it does find stands in [`KNOWN`], with the
//! reason. Kinds and fields that no recording has come from the testkit's strategies, and
//! go through what the fake cluster does before it stores an object.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests: a panic names its line"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use gitops_core::yaml::{ReadLimits, read_documents};
use gitops_core::{FieldManager, GroupVersionKind};
use gitops_diff::SchemaDiffer;
use gitops_testkit::arb;
use gitops_testkit::kinds::{self, Kind};
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;
use serde_json::Value;

/// The transcripts are those that the fake cluster is held to.
const TRANSCRIPTS: &str = "../gitops-testkit/tests/conformance/api";

const UNDECLARED: &str = "no schema has the field: the server drops it and warns, or refuses \
                          the object";

const TWICE: &str = "a create takes an element twice, an apply refuses it: so it is an error";

/// Scenario, how many differences, and why they are differences.
const KNOWN: &[(&str, usize, &str)] = &[
    ("crd/create-and-establish-1", 1, UNDECLARED),
    ("crd/create-and-establish-2", 1, UNDECLARED),
    ("crd/pruning-1", 10, UNDECLARED),
    ("crd/update-crd-1", 1, UNDECLARED),
    ("crd/versions-1", 1, UNDECLARED),
    ("field-validation/create-update-configmaps", 6, UNDECLARED),
    ("field-validation/create-update-deployments", 11, UNDECLARED),
    ("field-validation/create-update-jobs", 9, UNDECLARED),
    ("field-validation/custom-resource-2", 9, UNDECLARED),
    ("server-side-apply/duplicate-keys-deployments", 1, TWICE),
    ("server-side-apply/duplicate-keys-statefulsets", 1, TWICE),
];

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "json") {
            found.push(path);
        }
    }
}

/// Puts captured values in the place of `{{name}}`.
fn fill(value: &mut Value, captured: &BTreeMap<String, Value>) {
    match value {
        Value::String(text) => {
            for (name, found) in captured {
                let token = format!("{{{{{name}}}}}");
                if *text == token {
                    *value = found.clone();
                    return;
                }
                if let (true, Some(found)) = (text.contains(&token), found.as_str()) {
                    *text = text.replace(&token, found);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| fill(item, captured)),
        Value::Object(members) => members.values_mut().for_each(|item| fill(item, captured)),
        _ => {}
    }
}

/// What is found in one scenario, and how many pairs there are of each kind.
fn replay(file: &Path, pairs: &mut BTreeMap<String, usize>) -> Vec<String> {
    let mut scenario: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    let mut differ = SchemaDiffer::builtin();
    // Names of namespaces are tokens in the answers.
    let mut captured: BTreeMap<_, _> = [("ns", "ns1-{{id}}"), ("ns2", "ns2-{{id}}")]
        .map(|(name, value)| (name.to_owned(), Value::from(value)))
        .into();
    let steps: Vec<Value> = ["setup", "steps"]
        .iter()
        .flat_map(|part| scenario[part].as_array_mut().map(std::mem::take))
        .flatten()
        .collect();
    let mut found = Vec::new();
    for (at, step) in steps.iter().enumerate() {
        let mut request = step["request"].clone();
        fill(&mut request, &captured);
        let mut live = step["response"]["body"].clone();
        for (name, pointer) in step["capture"].as_object().into_iter().flatten() {
            if let Some(value) = live.pointer(pointer.as_str().unwrap()) {
                captured.insert(name.clone(), value.clone());
            }
        }
        let desired = match request["rawBody"].as_str() {
            None => request["body"].clone(),
            Some(text) => serde_json::from_str(text).unwrap_or_default(),
        };
        if desired["kind"] == "CustomResourceDefinition"
            && let Ok(known) = SchemaDiffer::builtin().with_crd(&desired)
        {
            differ = known;
        }
        let apply = request["headers"]["Content-Type"] == "application/apply-patch+yaml";
        let whole = apply || request["method"] == "POST" || request["method"] == "PUT";
        // To write a subresource is to write nothing else.
        let part = request["path"]
            .as_str()
            .unwrap_or_default()
            .ends_with("/status");
        let done = step["response"]["status"]
            .as_u64()
            .is_some_and(|status| status < 300);
        let stored = desired["kind"] == live["kind"] && live["metadata"]["uid"].is_string();
        let manager = request["query"]["fieldManager"]
            .as_str()
            .unwrap_or("nobody");
        let Ok(manager) = FieldManager::new(manager) else {
            continue;
        };
        if part || !whole || !done || !stored {
            continue;
        }
        if !apply {
            live["metadata"]
                .as_object_mut()
                .unwrap()
                .remove("managedFields");
        }
        *pairs
            .entry(desired["kind"].as_str().unwrap().to_owned())
            .or_default() += 1;
        match differ.compare(&desired, &live, &manager) {
            Ok(difference) => found.extend(
                difference
                    .changes
                    .iter()
                    .map(|change| format!("step {at}: {change}")),
            ),
            Err(error) => found.push(format!("step {at}: {error}")),
        }
    }
    found
}

#[test]
fn what_the_server_made_of_a_manifest_is_no_difference() {
    let mut all = Vec::new();
    files(Path::new(TRANSCRIPTS), &mut all);
    all.sort();
    let mut pairs = BTreeMap::new();
    let mut wrong = Vec::new();
    for file in &all {
        let name = file.strip_prefix(TRANSCRIPTS).unwrap().with_extension("");
        let name = name.display().to_string();
        let found = replay(file, &mut pairs);
        let known = KNOWN.iter().find(|(known, _, _)| *known == name);
        if found.len() != known.map_or(0, |(_, count, _)| *count) {
            wrong.push(format!("{name}: {} {found:#?}", found.len()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let total: usize = pairs.values().sum();
    assert_eq!((total, pairs.len()), (1034, 56), "{pairs:#?}");
}

/// What a server makes of a manifest before it stores it, as the fake cluster does it.
fn stored(manifest: &Value) -> Option<Value> {
    let gvk = GroupVersionKind::from_api_version(
        manifest["apiVersion"].as_str()?,
        manifest["kind"].as_str()?,
    );
    let kind = Kind::lookup(&gvk.group, &gvk.version, &gvk.kind)?;
    let mut object = kinds::decode_value(kind, manifest).ok()?.object;
    kinds::default(kind, &mut object, None);
    kinds::admit(kind, &mut object, None);
    kinds::prepare_create(kind, &mut object);
    Some(object)
}

#[test]
fn what_the_server_makes_of_any_kind_is_no_difference() {
    let manager = FieldManager::new("nobody").unwrap();
    let differ = SchemaDiffer::builtin();
    let mut runner = TestRunner::deterministic();
    let (mut compared, mut wrong) = (0, BTreeSet::new());
    for kind in Kind::all() {
        // Of a definition the strategies make schemas that are none.
        if kind.name() == "CustomResourceDefinition" {
            continue;
        }
        let gvk = GroupVersionKind::from_api_version(&kind.api_version(), kind.name());
        let Some(objects) = arb::object_of(&gvk) else {
            // A subresource.
            continue;
        };
        for _ in 0..64 {
            let desired = objects.new_tree(&mut runner).unwrap().current();
            let live = stored(&desired).unwrap();
            let difference = differ.compare(&desired, &live, &manager).unwrap();
            compared += 1;
            wrong.extend(
                difference
                    .changes
                    .iter()
                    .map(|change| format!("{kind}: {change}")),
            );
        }
    }
    let wrong: Vec<_> = wrong.into_iter().collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(compared > 4000, "{compared}");
}

#[test]
fn what_the_server_makes_of_what_people_write_is_no_difference() {
    let manager = FieldManager::new("nobody").unwrap();
    let differ = SchemaDiffer::builtin();
    let (mut compared, mut wrong) = (0, Vec::new());
    let mut all: Vec<_> = fs::read_dir("tests/data/manifests")
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    all.sort();
    for file in all {
        let text = fs::read(&file).unwrap();
        let read = read_documents(&file.to_string_lossy(), &text, &ReadLimits::default());
        assert!(read.errors.is_empty(), "{:?}", read.errors);
        for document in read.documents {
            let desired = document.value;
            let name = format!("{} {}", desired["kind"], desired["metadata"]["name"]);
            let live = stored(&desired).unwrap_or_else(|| panic!("{name} can't be stored"));
            let difference = differ.compare(&desired, &live, &manager).unwrap();
            compared += 1;
            wrong.extend(
                difference
                    .changes
                    .iter()
                    .map(|change| format!("{name}: {change}")),
            );
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(compared, 53);
}
