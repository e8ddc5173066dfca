//! The schema differ against answers of a real API server, and its laws.
//!
//! The transcripts tell what a server-side apply did to an object: nothing (the
//! resourceVersion stays), something, or a conflict with the fields named. The differ has
//! to say the same beforehand, with no server.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use gitops_core::{Difference, FieldManager};
use gitops_diff::differ::SchemaDiffer;
use serde_json::Value;

/// Puts captured values in the place of `{{name}}`.
fn fill(value: &mut Value, captured: &BTreeMap<String, Value>) {
    match value {
        Value::String(text) => {
            let name = text.strip_prefix("{{").and_then(|t| t.strip_suffix("}}"));
            if let Some(found) = name.and_then(|name| captured.get(name)) {
                *value = found.clone();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| fill(item, captured)),
        Value::Object(members) => members.values_mut().for_each(|item| fill(item, captured)),
        _ => {}
    }
}

/// Tokens in the place of numbers and times become numbers and times.
fn plain(value: &mut Value) {
    match value {
        Value::String(text) if text.starts_with("(nodeport:") => *value = Value::from(30_001),
        Value::String(text) if text == "(time)" || text.starts_with("(ctime:") => {
            *text = "2026-01-01T00:00:00Z".to_owned();
        }
        Value::Array(items) => items.iter_mut().for_each(plain),
        Value::Object(members) => members.values_mut().for_each(plain),
        _ => {}
    }
}

#[derive(Debug, Default)]
struct Tally {
    same: usize,
    converged: usize,
    changed: usize,
    /// Applies that moved the resourceVersion without anything that a differ would show.
    only_bookkeeping: Vec<String>,
    conflicts: usize,
    wrong: Vec<String>,
}

impl Tally {
    fn replay(&mut self, file: &Path) {
        // Tokens without characters that fieldsV1 escapes.
        let text = fs::read_to_string(file).unwrap();
        let text = text.replace("<<", "(").replace(">>", ")");
        let mut scenario: Value = serde_json::from_str(&text).unwrap();
        let mut differ = SchemaDiffer::builtin();
        let mut captured = BTreeMap::new();
        let mut live: BTreeMap<String, Value> = BTreeMap::new();
        let steps: Vec<Value> = ["setup", "steps"]
            .iter()
            .flat_map(|part| scenario[part].as_array_mut().map(std::mem::take))
            .flatten()
            .collect();
        for (at, step) in steps.into_iter().enumerate() {
            let (mut request, mut response) = (step["request"].clone(), step["response"].clone());
            fill(&mut request, &captured);
            plain(&mut response);
            let label = format!("{} step {at}", file.file_stem().unwrap().display());
            let path = request["path"].as_str().unwrap().to_owned();
            let body = &response["body"];
            if request["body"]["kind"] == "CustomResourceDefinition" && request["method"] == "POST"
            {
                differ = differ.with_crd(&request["body"]).unwrap();
            }
            let apply = request["headers"]["Content-Type"] == "application/apply-patch+yaml";
            let desired = match request.get("rawBody").and_then(Value::as_str) {
                None => Some(request["body"].clone()),
                Some(text) => serde_json::from_str(text).ok(),
            };
            // A dry run leaves the resourceVersion as it is.
            let apply = apply && request["query"]["dryRun"].is_null();
            if let (true, Some(before), Some(desired)) = (apply, live.get(&path), &desired) {
                self.compare(&label, &differ, &request, desired, before, &response);
            }
            if let Some(captures) = step["capture"].as_object() {
                for (name, pointer) in captures {
                    if let Some(value) = body.pointer(pointer.as_str().unwrap()) {
                        captured.insert(name.clone(), value.clone());
                    }
                }
            }
            let stored =
                response["status"].as_u64().unwrap() < 300 && request["query"]["dryRun"].is_null();
            if !stored || request["method"] == "GET" {
                continue;
            }
            // A scale isn't the object, and at another version it looks otherwise.
            let whole = path.trim_end_matches("/status").trim_end_matches("/scale");
            let tail = |path: &str| {
                path.split_once("/namespaces/")
                    .map(|(_, tail)| tail.to_owned())
            };
            live.retain(|other, _| tail(other) != tail(whole) || other == whole);
            let key = match (
                request["method"].as_str(),
                body["metadata"]["name"].as_str(),
            ) {
                (Some("POST"), Some(name)) => format!("{path}/{name}"),
                _ => whole.to_owned(),
            };
            if body["metadata"]["uid"].is_string() && body["kind"] != "Scale" {
                live.insert(key, body.clone());
            } else {
                live.remove(&key);
            }
        }
    }

    fn compare(
        &mut self,
        label: &str,
        differ: &SchemaDiffer,
        request: &Value,
        desired: &Value,
        before: &Value,
        response: &Value,
    ) {
        let manager = request["query"]["fieldManager"]
            .as_str()
            .unwrap_or_default();
        let Ok(manager) = FieldManager::new(manager) else {
            return;
        };
        let body = &response["body"];
        if body["metadata"]["uid"].is_string() {
            let after = differ.compare(desired, body, &manager).unwrap();
            if after.is_empty() {
                self.converged += 1;
            } else {
                self.wrong
                    .push(format!("{label}: applied, but {}", lines(&after)));
            }
        }
        match response["status"].as_u64().unwrap() {
            // What goes with its last finalizer is answered as it was.
            200 if before["metadata"]["deletionTimestamp"].is_string() => {}
            200 if body["metadata"]["uid"].is_string() => {
                let found = match differ.compare(desired, before, &manager) {
                    Ok(found) => found,
                    Err(error) => return self.wrong.push(format!("{label}: {error}")),
                };
                let version = |object: &Value| object["metadata"]["resourceVersion"].clone();
                if version(body) == version(before) {
                    self.same += 1;
                    if !found.is_empty() {
                        self.wrong
                            .push(format!("{label}: no-op, but {}", lines(&found)));
                    }
                } else if found.is_empty() {
                    self.only_bookkeeping.push(label.to_owned());
                } else {
                    self.changed += 1;
                }
            }
            409 if body["details"]["causes"][0]["reason"] == "FieldManagerConflict" => {
                let expected: BTreeSet<_> = body["details"]["causes"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|cause| cause["field"].as_str().unwrap().to_owned())
                    .collect();
                let found = differ.compare(desired, before, &manager).unwrap();
                let named: BTreeSet<_> = found
                    .conflicts
                    .iter()
                    .map(|conflict| conflict.path.to_string())
                    .collect();
                if named == expected {
                    self.conflicts += 1;
                } else {
                    self.wrong
                        .push(format!("{label}: conflicts {expected:?}, found {named:?}"));
                }
            }
            _ => {}
        }
    }
}

/// A difference on few lines, for a message.
fn lines(found: &Difference) -> String {
    let changes = found.changes.iter().map(ToString::to_string);
    let unowned = found.unowned.iter().map(|field| format!("= {field}"));
    let conflicts = found.conflicts.iter().map(|field| format!("! {field}"));
    changes
        .chain(unowned)
        .chain(conflicts)
        .collect::<Vec<_>>()
        .join("\n  ")
}

fn replay(folder: &str) -> Tally {
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let mut tally = Tally::default();
    for file in &files {
        tally.replay(file);
    }
    tally
}

#[test]
fn what_an_apply_does_is_foreseen() {
    let tally = replay("tests/data/server-side-apply");
    // An object without managedFields: the server takes it that somebody owns all of it,
    // the differ that nothing is known of owners.
    assert_eq!(
        tally.wrong,
        ["empty-managed-fields-secrets step 5: conflicts {\".data.a\"}, found {}"],
        "{tally:#?}"
    );
    panic!("{tally:#?}");
}

#[test]
fn what_random_applies_do_is_foreseen() {
    let tally = replay("tests/data/random-ssa");
    assert!(tally.wrong.is_empty(), "{}", tally.wrong.join("\n"));
    panic!("{tally:#?}");
}
