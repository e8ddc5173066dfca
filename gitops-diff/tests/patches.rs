//! Patches against answers of a real API server. The laws of generated patches are in
//! `laws/patches.rs`.
//!
//! `data/patches` are transcripts of kube-apiserver 1.36. What an answer to a patch holds
//! depends on more than the patch: the server defaults, validates, bumps versions and
//! keeps managed fields. So each patch is applied here to the object as the server
//! last answered it, and the result is compared with the next answer but for what
//! the server itself writes. Steps that need more of the server are counted and named.
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests: a panic names its line"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use gitops_diff::patch;
use gitops_diff::schema::Schema;
use serde_json::{Map, Value, json};

fn read(path: impl AsRef<Path>) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// What the server says of a patch that doesn't apply.
const UNPROCESSABLE: &str = "the server rejected our request due to an error in our request";

/// Members that the server's defaulting adds beside what a patch says.
const DEFAULTED: &[&str] = &[
    "defaultMode",
    "defaulted",
    "imagePullPolicy",
    "protocol",
    "replicas",
    "resources",
    "targetPort",
    "terminationMessagePath",
    "terminationMessagePolicy",
];

/// An object but for what only the server writes, and for empty lists and objects, which
/// its Go types don't keep.
fn comparable(mut object: Value) -> Value {
    if let Some(metadata) = object["metadata"].as_object_mut() {
        for name in ["managedFields", "resourceVersion", "generation"] {
            metadata.remove(name);
        }
    }
    prune_empty(&mut object);
    object
}

fn prune_empty(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for member in members.values_mut() {
                prune_empty(member);
            }
            members.retain(|_, member| {
                !member.as_object().is_some_and(Map::is_empty)
                    && !member.as_array().is_some_and(Vec::is_empty)
                    && !member.is_null()
            });
        }
        Value::Array(items) => items.iter_mut().for_each(prune_empty),
        _ => {}
    }
}

/// Where `ours` isn't what the server answered, defaulted members apart.
fn departures(ours: &Value, server: &Value, path: &str, found: &mut Vec<String>) {
    match (ours, server) {
        (Value::Object(ours), Value::Object(server)) => {
            for (name, value) in ours {
                let path = format!("{path}/{name}");
                match server.get(name) {
                    Some(answer) => departures(value, answer, &path, found),
                    None => found.push(format!("{path}: only ours")),
                }
            }
            for name in server.keys() {
                if !ours.contains_key(name) && !DEFAULTED.contains(&name.as_str()) {
                    found.push(format!("{path}/{name}: only the server's"));
                }
            }
        }
        (Value::Array(ours), Value::Array(server)) if ours.len() == server.len() => {
            for (at, (ours, server)) in ours.iter().zip(server).enumerate() {
                departures(ours, server, &format!("{path}/{at}"), found);
            }
        }
        (ours, server) if ours == server => {}
        (ours, server) => found.push(format!("{path}: {ours} instead of {server}")),
    }
}

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

#[derive(Debug, Default)]
struct Tally {
    objects: usize,
    errors: usize,
    needs_server: BTreeMap<&'static str, usize>,
    wrong: Vec<String>,
}

impl Tally {
    fn needs(&mut self, what: &'static str) -> Option<Value> {
        *self.needs_server.entry(what).or_default() += 1;
        None
    }

    fn replay(&mut self, file: &Path) {
        let scenario = read(file);
        let mut captured = BTreeMap::new();
        let mut live: BTreeMap<String, Value> = BTreeMap::new();
        for (at, step) in scenario["steps"].as_array().unwrap().iter().enumerate() {
            let request = &step["request"];
            let response = &step["response"];
            let label = format!("{} step {at}", file.file_name().unwrap().display());
            let path = request["path"].as_str().unwrap();
            let whole = path.trim_end_matches("/status").to_owned();
            if request["method"] == "PATCH" {
                let guessed = self.patch(&label, request, response, live.get(&whole), &captured);
                if let Some(guessed) = guessed {
                    live.insert(whole.clone(), guessed);
                }
            }
            let body = &response["body"];
            if let Some(captures) = step["capture"].as_object() {
                for (name, pointer) in captures {
                    let value = body.pointer(pointer.as_str().unwrap()).unwrap();
                    captured.insert(name.clone(), value.clone());
                }
            }
            let stored = response["status"].as_u64().unwrap() < 300;
            if stored && body["metadata"]["name"].is_string() {
                let name = body["metadata"]["name"].as_str().unwrap();
                let key = match request["method"].as_str() {
                    Some("POST") => format!("{path}/{name}"),
                    _ => whole,
                };
                // A dry run stores nothing, and a partial answer tells too little.
                if request["query"]["dryRun"].is_null() && body["kind"] != "Table" {
                    live.insert(key, body.clone());
                }
            }
        }
    }

    fn patch(
        &mut self,
        label: &str,
        request: &Value,
        response: &Value,
        live: Option<&Value>,
        captured: &BTreeMap<String, Value>,
    ) -> Option<Value> {
        let status = response["status"].as_u64().unwrap();
        let Some(live) = live else {
            return self.needs("an object to patch");
        };
        let status_only = request["path"].as_str().unwrap().ends_with("/status");
        let mut patch = match request.get("rawBody").and_then(Value::as_str) {
            None => request["body"].clone(),
            Some(text) => match serde_json::from_str(text) {
                Ok(patch) => patch,
                Err(_) => return self.needs("reading JSON"),
            },
        };
        fill(&mut patch, captured);
        let custom = live["apiVersion"].as_str().unwrap().contains("{{id}}");
        let result = match request["headers"]["Content-Type"].as_str().unwrap() {
            "application/json-patch+json" => patch::json::apply(live, &patch),
            "application/merge-patch+json" => patch::merge::apply(live, &patch),
            "application/strategic-merge-patch+json" if custom => {
                return self.needs("that custom resources have no strategic merge");
            }
            "application/strategic-merge-patch+json" => {
                let ty = Schema::builtin().type_of_object(live).unwrap();
                patch::strategic::apply(live, &patch, &ty)
            }
            other => panic!("{label}: {other}"),
        };
        match (result, status) {
            (Ok(ours), 200) if response["body"]["metadata"]["name"].is_null() => {
                self.needs("an answer that isn't recorded whole");
                return Some(ours);
            }
            (Ok(ours), 200) => {
                let mut found = Vec::new();
                let server = comparable(response["body"].clone());
                // Each endpoint writes one part; the other stays.
                let mut ours = ours;
                let kept = if status_only { "spec" } else { "status" };
                ours[kept] = live[kept].clone();
                departures(&comparable(ours), &server, "", &mut found);
                if found.is_empty() {
                    self.objects += 1;
                } else {
                    self.wrong.push(format!("{label}: {found:#?}"));
                }
            }
            (Ok(_), 409) => return self.needs("the resourceVersion"),
            (Ok(_), 422) if response["body"]["message"] != UNPROCESSABLE => {
                return self.needs("validation");
            }
            (Err(error), _) if u64::from(error.status().code) == status => {
                let expected = response["body"]["reason"].as_str().unwrap_or_default();
                assert_eq!(error.status().reason, expected, "{label}");
                self.errors += 1;
            }
            (Ok(_), _) => self.wrong.push(format!("{label}: {status} expected")),
            (Err(error), _) => self.wrong.push(format!("{label}: {error}")),
        }
        None
    }
}

#[test]
fn patches_give_what_the_api_server_answered() {
    let mut files: Vec<_> = fs::read_dir("tests/data/patches")
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let mut tally = Tally::default();
    for file in &files {
        tally.replay(file);
    }
    assert!(tally.wrong.is_empty(), "{}", tally.wrong.join("\n"));
    // Every patch of the transcripts is one of these.
    assert_eq!((tally.objects, tally.errors), (114, 22), "{tally:?}");
    assert_eq!(tally.needs_server.values().sum::<usize>(), 45, "{tally:?}");
}

/// Found by fuzzing: elements with the same key became one in a list that was empty.
#[test]
fn a_key_that_occurs_twice_comes_into_an_empty_list_twice() {
    let ty = Schema::builtin().type_of("v1", "Service").unwrap();
    let before = json!({"status": {"conditions": []}});
    let after = json!({"status": {"conditions": [{"type": "a"}, {"type": "a"}]}});
    let made = patch::strategic::generate(&before, &after, &ty).unwrap();
    assert_eq!(
        patch::strategic::apply(&before, &made, &ty).unwrap(),
        after,
        "{made}"
    );
}

/// Found by fuzzing: that the list is replaced was lost when what goes was added.
#[test]
fn a_list_that_has_a_key_twice_is_replaced_by_client_side_apply_too() {
    let ty = Schema::builtin().type_of("v1", "Pod").unwrap();
    let pod = |ports: Value| json!({"spec": {"containers": [{"name": "a", "ports": ports}]}});
    let dns = |protocol| json!({"containerPort": 53, "protocol": protocol});
    let last = pod(json!([dns("TCP"), {"containerPort": 80}]));
    let live = pod(json!([dns("TCP"), dns("UDP"), {"containerPort": 80}]));
    let desired = pod(json!([dns("TCP"), {"containerPort": 443}]));
    let made = patch::strategic::three_way(Some(&last), &desired, &live, &ty).unwrap();
    let patched = patch::strategic::apply(&live, &made, &ty).unwrap();
    assert_eq!(patched, desired, "{made}");
}

/// Found by fuzzing: a patch was made that no server takes.
#[test]
fn elements_of_several_types_are_refused_in_an_empty_list_too() {
    let ty = Schema::builtin().type_of("v1", "Service").unwrap();
    let before = json!({"status": {"conditions": []}});
    let after = json!({"status": {"conditions": ["b", {"type": "a"}]}});
    let error = patch::strategic::generate(&before, &after, &ty).unwrap_err();
    assert_eq!(
        error.to_string(),
        "status.conditions: list element types are not identical"
    );
}
