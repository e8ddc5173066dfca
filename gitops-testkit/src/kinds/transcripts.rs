//! Replays the recorded requests that create or change objects of built-in kinds through this
//! module alone, and compares with the recorded answers.
//!
//! Each step starts from the recorded state, so one wrong answer is reported once. Server-chosen
//! values (uid, addresses) are taken from the recorded answer. Steps that need more than this
//! module (server-side apply, strategic merge, missing namespaces) are left out; the numbers
//! are printed.

use std::{collections::BTreeMap, fs, path::PathBuf};

use serde_json::{Value, json};

use super::*;

/// The transcripts: the project's copy, or the folder that `CONFORMANCE_API` names.
fn folder() -> PathBuf {
    let named = std::env::var_os("CONFORMANCE_API").map(PathBuf::from);
    named.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/api"))
}

/// Hands out the values that the recorded answer has.
struct Recorded<'a>(&'a Value);

impl ServiceAllocator for Recorded<'_> {
    fn take_ip(&mut self, wanted: Option<&str>) -> Result<String, String> {
        match wanted {
            Some(ip) if !ip.starts_with("10.0.0.") => {
                Err("the provided network does not match the current range".into())
            }
            Some(ip) => Ok(ip.to_owned()),
            None => Ok(self.0["spec"]["clusterIP"]
                .as_str()
                .unwrap_or("none recorded")
                .to_owned()),
        }
    }
    fn release_ip(&mut self, _: &str) {}
    fn take_port(&mut self, wanted: Option<i64>) -> Result<i64, String> {
        Ok(wanted.unwrap_or(31000))
    }
    fn release_port(&mut self, _: i64) {}
}

fn merge(target: &mut Value, patch: &Value) {
    match patch {
        Value::Object(members) => {
            if !target.is_object() {
                *target = json!({});
            }
            for (key, value) in members {
                if value.is_null() {
                    value::remove(target, key);
                } else {
                    merge(
                        target
                            .as_object_mut()
                            .unwrap()
                            .entry(key.clone())
                            .or_insert(Value::Null),
                        value,
                    );
                }
            }
        }
        other => *target = other.clone(),
    }
}

fn json_patch(target: &mut Value, operations: &Value) -> Option<()> {
    for operation in operations.as_array()? {
        let path = operation["path"].as_str()?;
        let (parent, key) = path.rsplit_once('/')?;
        let key = key.replace("~1", "/").replace("~0", "~");
        let parent = target.pointer_mut(parent)?;
        match (operation["op"].as_str()?, parent) {
            ("add" | "replace", Value::Object(map)) => {
                map.insert(key, operation["value"].clone());
            }
            ("remove", Value::Object(map)) => {
                map.remove(&key)?;
            }
            ("add", Value::Array(list)) => {
                let at = if key == "-" {
                    list.len()
                } else {
                    key.parse().ok()?
                };
                list.insert(at, operation["value"].clone());
            }
            ("replace", Value::Array(list)) => {
                *list.get_mut(key.parse::<usize>().ok()?)? = operation["value"].clone()
            }
            _ => return None,
        }
    }
    Some(())
}

/// Variables and times with a value; every run of the server would have others.
fn resolved(text: String) -> String {
    let mut text = text
        .replace("{{ns}}", "ns1-{{id}}")
        .replace("{{ns2}}", "ns2-{{id}}")
        .replace("{{id}}", "xbcdfghj")
        .replace("<<time>>", "2024-01-01T00:00:00Z")
        .replace("<<mtime>>", "2024-01-01T00:00:00.000000Z");
    for n in 1..100 {
        for (token, value) in [
            (format!("<<ctime:{n}>>"), "2024-01-01T00:00:00Z".to_owned()),
            (
                format!("<<uid:{n}>>"),
                format!("00000000-0000-4000-8000-0000000000{n:02}"),
            ),
            (format!("<<rv:{n}>>"), n.to_string()),
            (format!("<<gen:{n}>>"), format!("bcd{n:02}")),
            (format!("<<ip:{n}>>"), format!("10.0.0.{n}")),
            (format!("\"<<nodeport:{n}>>\""), "31000".to_owned()),
        ] {
            text = text.replace(&token, &value);
        }
    }
    text
}

/// The kind that a path's plural names, from the stored objects or the body.
fn kind_of(path: &str, body: &Value) -> Option<Kind> {
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let (group, version, rest) = match parts.as_slice() {
        ["api", version, rest @ ..] => ("", *version, rest),
        ["apis", group, version, rest @ ..] => (*group, *version, rest),
        _ => return None,
    };
    let plural = match rest {
        ["namespaces", _, "status" | "finalize"] | ["namespaces", _] | ["namespaces"] => {
            "namespaces"
        }
        ["namespaces", _, plural, ..] => plural,
        [plural, ..] => plural,
        [] => return None,
    };
    let _ = body;
    Kind::all().find(|k| {
        k.group() == group && k.version() == version && {
            let lower = k.name().to_lowercase();
            let made = if lower.ends_with('s') && lower != "endpoints" {
                format!("{lower}es")
            } else if lower.ends_with('y') {
                format!("{}ies", lower.trim_end_matches('y'))
            } else if lower == "endpoints" {
                lower
            } else {
                format!("{lower}s")
            };
            made == plural
        }
    })
}

struct Outcome {
    status: i64,
    body: Value,
    warnings: Vec<String>,
}

fn strict_mode(query: &Value) -> &str {
    query["fieldValidation"].as_str().unwrap_or("Warn")
}

fn run(
    kind: Kind,
    step: &Value,
    ordered: &str,
    path: &str,
    stored: Option<&Value>,
    answer: &Value,
) -> Option<Outcome> {
    let request = &step["request"];
    let target = match path.rsplit('/').next() {
        Some("status") => Target::Status,
        Some("finalize") => Target::Finalize,
        _ => Target::Object,
    };
    let dry = request["query"]["dryRun"].is_string();
    let strict;
    let bad = |message: String| {
        Some(Outcome {
            status: 400,
            body: json!({"message": message}),
            warnings: Vec::new(),
        })
    };
    let method = request["method"].as_str()?;
    let mut object = match method {
        "POST" | "PUT" => {
            let body = match (&request["body"], &request["rawBody"]) {
                (Value::Null, Value::String(raw)) => raw.clone(),
                (Value::Null, _) => return None,
                _ => ordered.to_owned(),
            };
            let given: Value = serde_json::from_str(&body).ok()?;
            if given["kind"] != kind.name() || given["apiVersion"] != kind.api_version() {
                return None;
            }
            match decode(kind, body.as_bytes()) {
                Ok(read) => {
                    strict = read.strict;
                    read.object
                }
                Err(error) => {
                    return bad(format!(
                        "{} in version \"{}\" cannot be handled as a {}: {error}",
                        kind.name(),
                        kind.version(),
                        kind.name()
                    ));
                }
            }
        }
        "PATCH" => {
            let kind_of_patch = request["headers"]["Content-Type"].as_str()?;
            let mut patched = stored?.clone();
            match kind_of_patch {
                "application/merge-patch+json" => merge(&mut patched, &request["body"]),
                "application/json-patch+json" => json_patch(&mut patched, &request["body"])?,
                _ => return None,
            }
            let read = decode_value(kind, &patched).ok()?;
            strict = read.strict;
            read.object
        }
        _ => return None,
    };
    if strict_mode(&request["query"]) == "Strict" && !strict.is_empty() {
        return bad(format!(
            "{} in version \"{}\" cannot be handled as a {}: strict decoding error: {}",
            kind.name(),
            kind.version(),
            kind.name(),
            strict.join(", ")
        ));
    }
    let mut warnings: Vec<String> = kind
        .deprecation()
        .into_iter()
        .map(|w| format!("299 - {}", error::quote(w)))
        .collect();
    if strict_mode(&request["query"]) != "Ignore" {
        warnings.extend(strict.iter().map(|s| format!("299 - {}", error::quote(s))));
    }
    let namespace = path
        .split("/namespaces/")
        .nth(1)
        .and_then(|r| r.split_once('/'))
        .map(|(ns, _)| ns.to_owned());
    let meta = object.get_mut("metadata")?;
    if let Some(namespace) = namespace.filter(|_| kind.name() != "Namespace") {
        value::set(meta, "namespace", namespace);
    }
    default(kind, &mut object, stored);
    admit(kind, &mut object, stored);
    let errors;
    if let Some(old) = stored {
        for key in ["creationTimestamp", "resourceVersion", "managedFields"] {
            let kept = old["metadata"].get(key).cloned();
            value::set(&mut object["metadata"], key, kept.unwrap_or(json!("1")));
        }
        prepare_update(kind, &mut object, old, target);
        errors = validate_update(kind, &object, old, target);
    } else {
        if method != "POST" {
            return None;
        }
        let meta = &mut object["metadata"];
        let named = answer["metadata"]["name"]
            .as_str()
            .or(answer["details"]["name"].as_str());
        if value::text(meta, "name").is_empty() && !value::text(meta, "generateName").is_empty() {
            value::set(meta, "name", named?);
        }
        let uid = answer["metadata"]["uid"]
            .as_str()
            .unwrap_or("00000000-0000-4000-8000-000000000001");
        let uid = if answer["kind"] == "Status" {
            let text = answer.to_string();
            text.find("00000000-0000-4000")
                .map_or(uid.to_owned(), |i| text[i..].chars().take(36).collect())
        } else {
            uid.to_owned()
        };
        value::set(meta, "uid", uid);
        let created = answer["metadata"]["creationTimestamp"].clone();
        prepare_create(kind, &mut object);
        value::set(&mut object["metadata"], "creationTimestamp", created);
        errors = validate_create(kind, &object);
    }
    warnings.extend(
        super::warnings(kind, &object, stored)
            .iter()
            .map(|w| format!("299 - {}", error::quote(w))),
    );
    let name = object["metadata"]["name"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    if !errors.is_empty() {
        warnings.truncate(strict.len() + usize::from(kind.deprecation().is_some()));
        return Some(Outcome {
            status: 422,
            body: invalid(kind, &name, &errors),
            warnings,
        });
    }
    if kind.name() == "Service"
        && let Err(errors) = allocate(&mut object, stored, (!dry).then_some(&mut Recorded(answer)))
    {
        return Some(Outcome {
            status: 422,
            body: invalid(kind, &name, &errors),
            warnings,
        });
    }
    Some(Outcome {
        status: 200,
        body: object,
        warnings,
    })
}

/// The body of a step as text, members in the order of the file.
fn body_in_order(scenario: &super::json::Node, step: usize) -> String {
    let Some(super::json::Node::Array(steps)) = scenario.get("steps") else {
        return String::new();
    };
    let body = steps
        .get(step)
        .and_then(|s| s.get("request"))
        .and_then(|r| r.get("body"));
    body.map(print_node).unwrap_or_default()
}

fn print_node(node: &super::json::Node) -> String {
    use super::json::Node;
    match node {
        Node::Array(items) => format!(
            "[{}]",
            items.iter().map(print_node).collect::<Vec<_>>().join(",")
        ),
        Node::Object(members) => {
            let parts: Vec<String> = members
                .iter()
                .map(|(k, v)| format!("{}:{}", error::json_string(k), print_node(v)))
                .collect();
            format!("{{{}}}", parts.join(","))
        }
        other => other.to_value().to_string(),
    }
}

/// Removes what only a whole server sets.
fn stripped(mut body: Value) -> Value {
    if let Some(meta) = body.get_mut("metadata").and_then(Value::as_object_mut) {
        for key in [
            "managedFields",
            "resourceVersion",
            "creationTimestamp",
            "uid",
        ] {
            meta.remove(key);
        }
    }
    body
}

fn differences(expected: &Value, actual: &Value, path: &str, out: &mut Vec<String>) {
    match (expected, actual) {
        (Value::Object(a), Value::Object(b)) => {
            for key in a.keys().chain(b.keys().filter(|k| !a.contains_key(*k))) {
                let at = format!("{path}.{key}");
                match (a.get(key), b.get(key)) {
                    (Some(x), Some(y)) => differences(x, y, &at, out),
                    (Some(x), None) => out.push(format!("{at}: missing {x}")),
                    (None, Some(y)) => out.push(format!("{at}: unexpected {y}")),
                    (None, None) => {}
                }
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (i, (x, y)) in a.iter().zip(b).enumerate() {
                differences(x, y, &format!("{path}[{i}]"), out);
            }
        }
        (a, b) if a == b => {}
        (a, b) => out.push(format!("{path}: expected {a}, got {b}")),
    }
}

/// Compares the recorded tables with the columns and cells of this module.
#[test]
#[cfg(feature = "client")]
fn tables_are_as_recorded() {
    let folder = folder();
    let now: jiff::Timestamp = "2024-01-01T00:00:00Z".parse().unwrap();
    let (mut total, mut failures) = (0, Vec::new());
    for file in fs::read_dir(folder.join("list")).unwrap() {
        let file = file.unwrap().path();
        let source = resolved(fs::read_to_string(&file).unwrap()).replace("<<age>>", "0s");
        let scenario: Value = serde_json::from_str(&source).unwrap();
        let mut store: BTreeMap<String, Value> = BTreeMap::new();
        for (i, step) in scenario["steps"].as_array().unwrap().iter().enumerate() {
            let path = step["request"]["path"].as_str().unwrap();
            let body = &step["response"]["body"];
            let given = &step["request"]["body"];
            if let (Some(kind), true) = (kind_of(path, body), step["request"]["method"] == "POST") {
                let Ok(read) = decode_value(kind, given) else {
                    continue;
                };
                let mut object = read.object;
                default(kind, &mut object, None);
                admit(kind, &mut object, None);
                value::set(
                    &mut object["metadata"],
                    "creationTimestamp",
                    "2024-01-01T00:00:00Z",
                );
                prepare_create(kind, &mut object);
                store.insert(
                    given["metadata"]["name"]
                        .as_str()
                        .unwrap_or_default()
                        .to_owned(),
                    object,
                );
            }
            let Some(kind) = kind_of(path, body).filter(|_| body["kind"] == "Table") else {
                continue;
            };
            let label = format!("{}#{i}", file.file_stem().unwrap().display());
            let mut found = Vec::new();
            differences(
                &body["columnDefinitions"],
                &table_columns(Some(kind)),
                "columns",
                &mut found,
            );
            for row in body["rows"].as_array().unwrap() {
                if let Some(object) = row["cells"][0].as_str().and_then(|n| store.get(n)) {
                    total += 1;
                    let cells: Value = table_cells(Some(kind), object, now).into();
                    differences(&row["cells"], &cells, "cells", &mut found);
                }
            }
            if !found.is_empty() {
                failures.push(format!("{label}\n    {}", found.join("\n    ")));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert!(total > 10, "only {total} rows were compared");
}

/// Replays what is sent to custom resources of the `crd` scenarios.
#[test]
fn custom_resources_answer_as_recorded() {
    use crate::crd::Schema;
    let folder = folder();
    let (mut same, mut total, mut failures) = (0, 0, Vec::new());
    for area in ["crd", "field-validation", "dry-run", "patches"] {
        for file in fs::read_dir(folder.join(area)).unwrap() {
            let file = file.unwrap().path();
            let label = format!("{area}/{}", file.file_stem().unwrap().display());
            if ["cel", "versions", "names-conflict", "update-crd", "scale"]
                .iter()
                .any(|s| label.contains(s))
            {
                continue;
            }
            let source = resolved(fs::read_to_string(&file).unwrap());
            let scenario: Value = serde_json::from_str(&source).unwrap();
            let all = scenario["setup"]
                .as_array()
                .into_iter()
                .chain(scenario["steps"].as_array())
                .flatten();
            let Some(definition) = all
                .map(|s| &s["request"]["body"])
                .find(|b| b["kind"] == "CustomResourceDefinition")
            else {
                continue;
            };
            let version = &definition["spec"]["versions"][0];
            let schema = Schema::new(&version["schema"]["openAPIV3Schema"]);
            let has_status = !version["subresources"]["status"].is_null();
            let group = definition["spec"]["group"].as_str().unwrap();
            let kind = definition["spec"]["names"]["kind"].as_str().unwrap();
            let namespaced = definition["spec"]["scope"] == "Namespaced";
            let mut store: BTreeMap<String, Value> = BTreeMap::new();
            for (i, step) in scenario["steps"].as_array().unwrap().iter().enumerate() {
                let request = &step["request"];
                let path = request["path"].as_str().unwrap();
                let method = request["method"].as_str().unwrap();
                let (expected, status) = (
                    &step["response"]["body"],
                    step["response"]["status"].as_i64().unwrap(),
                );
                if !path.starts_with(&format!("/apis/{group}/")) {
                    continue;
                }
                let own = path.trim_end_matches("/status");
                let to_status = own != path;
                let merge_patch =
                    request["headers"]["Content-Type"] == "application/merge-patch+json";
                let exact = step["match"].is_null() || step["match"] == "exact";
                let stored = store.get(own).cloned();
                let made = match method {
                    "POST" if request["body"].is_object() => Some(request["body"].clone()),
                    "PATCH" if merge_patch => stored.clone().map(|mut s| {
                        merge(&mut s, &request["body"]);
                        s
                    }),
                    _ => None,
                };
                let dry = request["query"]["dryRun"].is_string();
                let strict = request["query"]["fieldValidation"] == "Strict" && method == "PATCH";
                let other = made
                    .as_ref()
                    .is_some_and(|m| m["kind"] != kind || m["apiVersion"] != format!("{group}/v1"));
                if let (Some(mut object), true) = (
                    made,
                    exact && !other && !strict && matches!(status, 200 | 201 | 422),
                ) {
                    total += 1;
                    let mut unknown = Vec::new();
                    let meta = decode_metadata(&object["metadata"]).unwrap();
                    unknown.extend(
                        meta.strict
                            .iter()
                            .map(|s| s.replacen("field \"", "field \"metadata.", 1)),
                    );
                    object["metadata"] = meta.object;
                    unknown.extend(schema.prune(&mut object));
                    let meta = &mut object["metadata"];
                    if namespaced {
                        value::set(meta, "namespace", path.split('/').nth(5).unwrap());
                    } else {
                        value::remove(meta, "namespace");
                    }
                    if !value::text(meta, "generateName").is_empty()
                        && value::text(meta, "name").is_empty()
                    {
                        value::set(meta, "name", expected["metadata"]["name"].clone());
                    }
                    if let (true, Some(stored)) = (to_status, &stored) {
                        let status = object.get("status").cloned();
                        object = stored.clone();
                        value::remove(&mut object, "status");
                        if let Some(status) = status {
                            value::set(&mut object, "status", status);
                        }
                    } else if has_status {
                        value::remove(&mut object, "status");
                        if let Some(status) = stored.as_ref().and_then(|s| s.get("status")) {
                            value::set(&mut object, "status", status.clone());
                        }
                    }
                    schema.default(&mut object);
                    let mut errors = Vec::new();
                    if let Some(stored) = &stored {
                        value::set(&mut object["metadata"], "resourceVersion", "1");
                        errors.extend(validate_metadata(
                            &object,
                            namespaced,
                            NameRule::PathSegment,
                            false,
                        ));
                        errors.extend(validate_metadata_update(&object, stored));
                        errors.extend(validate_metadata_update(&object, stored));
                        errors.extend(if to_status {
                            schema.validate_status(&object)
                        } else {
                            schema.validate_update(&object, stored)
                        });
                    } else {
                        errors.extend(validate_metadata(
                            &object,
                            namespaced,
                            NameRule::Subdomain,
                            false,
                        ));
                        errors.extend(schema.validate(&object));
                    }
                    let mut found = Vec::new();
                    if status == 422 || !errors.is_empty() {
                        let name = object["metadata"]["name"].as_str().unwrap_or_default();
                        let answer = invalid_status(kind, group, name, &errors);
                        differences(
                            &expected["message"],
                            &answer["message"],
                            "message",
                            &mut found,
                        );
                        differences(
                            &expected["details"]["causes"],
                            &answer["details"]["causes"],
                            "causes",
                            &mut found,
                        );
                    } else {
                        let bare = |v: &Value| {
                            let mut v = stripped(v.clone());
                            value::remove(&mut v["metadata"], "generation");
                            v
                        };
                        differences(&bare(expected), &bare(&object), "", &mut found);
                    }
                    let warned: Vec<String> = unknown
                        .iter()
                        .map(|u| format!("299 - {}", error::quote(u)))
                        .collect();
                    let expected_warnings = step["response"]["warnings"]
                        .as_array()
                        .cloned()
                        .unwrap_or_default();
                    let ignored = request["query"]["fieldValidation"] == "Ignore";
                    if !ignored
                        && expected_warnings != warned.iter().map(|w| json!(w)).collect::<Vec<_>>()
                        && status != 422
                    {
                        found.push(format!(
                            "warnings: expected {expected_warnings:?}, got {warned:?}"
                        ));
                    }
                    if found.is_empty() {
                        same += 1;
                    } else {
                        failures.push(format!(
                            "{label}#{i} {method} {path}\n    {}",
                            found.join("\n    ")
                        ));
                    }
                }
                if status < 300
                    && !dry
                    && expected["metadata"]["uid"].is_string()
                    && expected["kind"] == kind
                {
                    let name = expected["metadata"]["name"].as_str().unwrap();
                    let key = if method == "POST" {
                        format!("{path}/{name}")
                    } else {
                        own.to_owned()
                    };
                    store.insert(key, expected.clone());
                }
            }
        }
    }
    failures.sort();
    assert!(
        failures.is_empty(),
        "{same} of {total} as recorded\n{}",
        failures.join("\n")
    );
    eprintln!("{same} of {total} as recorded");
    assert!(total > 60, "only {total} steps were compared");
}

#[test]
fn built_in_kinds_answer_as_recorded() {
    let folder = folder();
    let only = std::env::var("ONLY").unwrap_or_default();
    let (mut same, mut total, mut failures) = (0, 0, Vec::new());
    for area in fs::read_dir(folder).unwrap() {
        let area = area.unwrap().path();
        for file in fs::read_dir(&area).into_iter().flatten() {
            let file = file.unwrap().path();
            let label = format!(
                "{}/{}",
                area.file_name().unwrap().display(),
                file.file_stem().unwrap().display()
            );
            if !label.contains(&only) || label.contains("namespace-lifecycle") {
                continue;
            }
            let source = resolved(fs::read_to_string(&file).unwrap());
            let scenario: Value = serde_json::from_str(&source).unwrap();
            let in_order = super::json::parse(source.as_bytes()).unwrap();
            let mut store: BTreeMap<String, Value> = BTreeMap::new();
            for (i, step) in scenario["steps"].as_array().unwrap().iter().enumerate() {
                let path = step["request"]["path"].as_str().unwrap();
                let method = step["request"]["method"].as_str().unwrap();
                let expected = &step["response"];
                let body = &expected["body"];
                let status = expected["status"].as_i64().unwrap();
                let exact = step["match"].is_null() || step["match"] == "exact";
                let kind = kind_of(path, body);
                let own = path
                    .trim_end_matches("/status")
                    .trim_end_matches("/finalize");
                let sub = path[own.len()..].trim_start_matches('/');
                let scale = path.ends_with("/scale")
                    || path.ends_with("/eviction")
                    || path.ends_with("/token");
                let dry = step["request"]["query"]["dryRun"].is_string();
                let review = matches!(
                    kind.map(Kind::group),
                    Some("authorization.k8s.io" | "authentication.k8s.io")
                );
                let resolved = !step["request"].to_string().contains("{{");
                if let Some(kind) = kind.filter(|_| {
                    exact
                        && resolved
                        && !review
                        && !scale
                        && matches!(status, 200 | 201 | 400 | 422)
                }) {
                    let stored = if method == "POST" {
                        None
                    } else {
                        store.get(own)
                    };
                    let skip =
                        (sub == "status" && step["request"]["method"] == "PUT" && stored.is_none())
                            || (dry && status >= 400 && kind.group() != "apiextensions.k8s.io")
                            || body["message"].as_str().is_some_and(|m| {
                                m.contains("Options.meta.k8s.io")
                                    || m.contains("on the URL")
                                    || m.contains("namespace of the provided")
                                    || m.contains(
                                        "resourceVersion: Invalid value: 0: must be specified",
                                    )
                            });
                    let outcome = if skip {
                        None
                    } else {
                        {
                            let ordered = body_in_order(&in_order, i);
                            run(kind, step, &ordered, path, stored, body)
                        }
                    };
                    if let Some(outcome) = outcome {
                        total += 1;
                        let mut found = Vec::new();
                        if status / 100 != outcome.status / 100
                            || (status > 299 && status != outcome.status)
                        {
                            found.push(format!(
                                "status: expected {status} {}, got {} {}",
                                body["message"], outcome.status, outcome.body["message"]
                            ));
                        } else if status == 400 {
                            differences(
                                &body["message"],
                                &outcome.body["message"],
                                "message",
                                &mut found,
                            );
                        } else if status == 422 {
                            differences(
                                &body["message"],
                                &outcome.body["message"],
                                "message",
                                &mut found,
                            );
                            differences(
                                &body["details"],
                                &outcome.body["details"],
                                "details",
                                &mut found,
                            );
                        } else {
                            differences(
                                &stripped(body.clone()),
                                &stripped(outcome.body),
                                "",
                                &mut found,
                            );
                        }
                        let warned: Vec<String> = expected["warnings"]
                            .as_array()
                            .map(|w| {
                                w.iter()
                                    .filter_map(Value::as_str)
                                    .map(str::to_owned)
                                    .collect()
                            })
                            .unwrap_or_default();
                        if warned != outcome.warnings && status != 400 {
                            found.push(format!(
                                "warnings: expected {warned:?}, got {:?}",
                                outcome.warnings
                            ));
                        }
                        if found.is_empty() {
                            same += 1;
                        } else {
                            failures.push(format!(
                                "{label}#{i} {method} {path}\n    {}",
                                found.join("\n    ")
                            ));
                        }
                    }
                }
                if status < 300 && !dry && method != "GET" && !body["metadata"]["uid"].is_string() {
                    // Changed, and the answer does not say how.
                    store.remove(own);
                }
                if status < 300
                    && !dry
                    && body["metadata"]["uid"].is_string()
                    && body["kind"] != "Scale"
                {
                    let name = body["metadata"]["name"].as_str().unwrap();
                    let key = if method == "POST" {
                        format!("{path}/{name}")
                    } else {
                        own.to_owned()
                    };
                    if method == "DELETE" && body["metadata"]["deletionTimestamp"].is_null() {
                        store.remove(&key);
                    } else if kind.is_some_and(|k| body["kind"] == k.name()) {
                        store.insert(key, body.clone());
                    }
                }
            }
        }
    }
    failures.sort();
    if !failures.is_empty() {
        panic!("{same} of {total} as recorded\n{}", failures.join("\n"));
    }
    eprintln!("{same} of {total} as recorded");
    assert!(total > 300, "only {total} steps were compared");
}
