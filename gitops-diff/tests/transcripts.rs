//! Do we answer as a real kube-apiserver 1.36 did?
//!
//! `tests/data` holds requests and answers that were recorded from one (the areas
//! `server-side-apply` and `random-ssa` of the conformance suite). Each step is judged on
//! its own, from the state that the real server was in: what is compared is what a merge
//! alone decides, which is the merged object, its `managedFields`, conflicts and type
//! errors. Steps that need another part of the server are counted and named.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use gitops_diff::managed::{self, Apply, ManagedError, Target, Track, Versions};
use gitops_diff::schema::{Schema, TypeRef, builtin_resources};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// Kinds of which the versions differ in shape: their conversion is the server's.
const CONVERTED: [&str; 1] = ["HorizontalPodAutoscaler"];

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    /// The whole answer.
    Exact,
    /// The whole answer but for fields to which the server gave a value.
    Defaulted,
    /// Not decided by the merge.
    Needs(&'static str),
    Wrong(String),
}

#[derive(Clone)]
struct Resource {
    group: String,
    kind: String,
    has_status: bool,
    custom: Option<usize>,
}

#[derive(Default)]
struct World {
    crds: Vec<Schema>,
    custom: BTreeMap<(String, String), Resource>,
    /// What the server has, as far as its answers told.
    objects: BTreeMap<String, Value>,
    /// What we say the `managedFields` are, to be confirmed by the next read.
    expected: BTreeMap<String, Value>,
    variables: BTreeMap<String, Value>,
}

fn now() -> Timestamp {
    "2026-06-01T00:00:00Z".parse().unwrap()
}

/// Puts values in the place of tokens and variables.
fn fill(value: &Value, variables: &BTreeMap<String, Value>) -> Value {
    fn text(text: &str, variables: &BTreeMap<String, Value>) -> Value {
        if let Some(name) = text
            .strip_prefix("{{")
            .and_then(|text| text.strip_suffix("}}"))
            && let Some(value) = variables.get(name)
        {
            return value.clone();
        }
        let mut out = text.to_owned();
        for (name, value) in variables {
            if let Some(value) = value.as_str() {
                out = out.replace(&format!("{{{{{name}}}}}"), value);
            }
        }
        while let Some(at) = out.find("<<") {
            let Some(len) = out[at..].find(">>") else {
                break;
            };
            let token = &out[at + 2..at + len];
            let (class, number) = token.split_once(':').unwrap_or((token, "1"));
            let number: u64 = number.parse().unwrap_or(1);
            let new = match class {
                "time" | "ctime" => "2026-01-01T00:00:00Z".to_owned(),
                "mtime" => "2026-01-01T00:00:00.000000Z".to_owned(),
                "uid" => format!("00000000-0000-4000-8000-{number:012x}"),
                "rv" | "lrv" => (1000 + number).to_string(),
                "ip" => format!("10.0.0.{number}"),
                "nodeport" => return Value::from(30000 + number),
                "gen" => format!("gen{number:02}"),
                other => other.to_owned(),
            };
            out.replace_range(at..at + len + 2, &new);
        }
        Value::from(out)
    }
    match value {
        Value::String(string) => text(string, variables),
        Value::Array(items) => items.iter().map(|item| fill(item, variables)).collect(),
        Value::Object(members) => members
            .iter()
            .map(|(name, member)| {
                let name = match text(name, variables) {
                    Value::String(name) => name,
                    _ => name.clone(),
                };
                (name, fill(member, variables))
            })
            .collect::<Map<_, _>>()
            .into(),
        other => other.clone(),
    }
}

/// The operations of `bodyFrom`.
fn patched(object: &Value, operations: &Value) -> Value {
    let mut object = object.clone();
    for operation in operations.as_array().into_iter().flatten() {
        let path = operation["path"].as_str().unwrap();
        let (parent, last) = path.rsplit_once('/').unwrap();
        let last = last.replace("~1", "/").replace("~0", "~");
        let place = object.pointer_mut(parent).unwrap();
        let value = operation["value"].clone();
        match (place, operation["op"].as_str().unwrap()) {
            (Value::Object(members), "remove") => {
                members.remove(&last);
            }
            (Value::Object(members), _) => {
                members.insert(last, value);
            }
            (Value::Array(items), "remove") => {
                items.remove(last.parse::<usize>().unwrap());
            }
            (Value::Array(items), "add") if last == "-" => items.push(value),
            (Value::Array(items), "add") => items.insert(last.parse().unwrap(), value),
            (Value::Array(items), _) => items[last.parse::<usize>().unwrap()] = value,
            _ => panic!("can't patch {path}"),
        }
    }
    object
}

struct Endpoint {
    resource: Resource,
    version: String,
    key: String,
    subresource: String,
}

impl World {
    fn endpoint(&self, path: &str) -> Option<Endpoint> {
        let mut parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let group = if parts.remove(0) == "api" {
            ""
        } else {
            parts.remove(0)
        };
        let version = parts.remove(0);
        let mut namespace = "";
        if parts.len() > 2 && parts[0] == "namespaces" && parts[2] != "status" {
            namespace = parts[1];
            parts.drain(..2);
        }
        let plural = *parts.first()?;
        let resource = match self.custom.get(&(group.to_owned(), plural.to_owned())) {
            Some(resource) => resource.clone(),
            None => {
                let found = builtin_resources()
                    .iter()
                    .find(|other| other.group == group && other.plural == plural)?;
                Resource {
                    group: group.to_owned(),
                    kind: found.kind.clone().into_owned(),
                    has_status: found.subresource("status").is_some(),
                    custom: None,
                }
            }
        };
        let name = parts.get(1).copied().unwrap_or("");
        Some(Endpoint {
            key: format!("{group}/{plural}/{namespace}/{name}"),
            resource,
            version: if group.is_empty() {
                version.to_owned()
            } else {
                format!("{group}/{version}")
            },
            subresource: parts.get(2).copied().unwrap_or("").to_owned(),
        })
    }

    fn learn_crd(&mut self, crd: &Value) {
        let Ok(schema) = Schema::from_crd(crd) else {
            return;
        };
        self.crds.push(schema);
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let spec = &crd["spec"];
        let resource = Resource {
            group: text(&spec["group"]),
            kind: text(&spec["names"]["kind"]),
            has_status: spec["versions"][0]["subresources"].get("status").is_some(),
            custom: Some(self.crds.len() - 1),
        };
        self.custom.insert(
            (text(&spec["group"]), text(&spec["names"]["plural"])),
            resource,
        );
    }
}

/// The Scale of an object.
struct Scale;

impl Versions for Scale {
    fn type_at(&self, api_version: &str) -> Option<TypeRef<'_>> {
        Schema::builtin().type_of(api_version, "Scale")
    }
}

fn without(object: &Value, names: &[&str]) -> Value {
    let mut object = object.clone();
    for name in names {
        let (parent, last) = name.rsplit_once('.').unwrap_or(("", name));
        let pointer: String = parent
            .split('.')
            .filter(|part| !part.is_empty())
            .fold(String::new(), |pointer, part| pointer + "/" + part);
        if let Some(Value::Object(members)) = object.pointer_mut(&pointer) {
            members.remove(last);
        }
    }
    object
}

/// `managedFields` in an order that doesn't depend on times, of which only is kept that
/// there is one.
fn entries(object: &Value) -> Vec<Value> {
    let list = object["metadata"]["managedFields"].as_array();
    let mut list: Vec<Value> = list.into_iter().flatten().cloned().collect();
    for entry in &mut list {
        if let Some(time) = entry.get_mut("time") {
            *time = json!("set");
        }
    }
    list.sort_by_key(|entry| {
        let part = |name: &str| entry[name].as_str().unwrap_or("").to_owned();
        (
            part("operation"),
            part("manager"),
            part("apiVersion"),
            part("subresource"),
        )
    });
    list
}

/// What the server itself writes into an object.
const SERVER_OWNED: [&str; 8] = [
    "metadata.managedFields",
    "metadata.uid",
    "metadata.resourceVersion",
    "metadata.generation",
    "metadata.creationTimestamp",
    "metadata.namespace",
    "metadata.selfLink",
    "stringData",
];

fn prune_empty(value: &Value) -> Option<Value> {
    match value {
        Value::Null => None,
        Value::Object(members) => {
            let members: Map<String, Value> = members
                .iter()
                .filter_map(|(name, member)| Some((name.clone(), prune_empty(member)?)))
                .collect();
            (!members.is_empty()).then(|| members.into())
        }
        Value::Array(items) => {
            let items: Vec<Value> = items
                .iter()
                .map(|item| prune_empty(item).unwrap_or(Value::Null))
                .collect();
            (!items.is_empty()).then(|| items.into())
        }
        other => Some(other.clone()),
    }
}

#[derive(Default)]
struct More {
    /// The kind is a Go struct, which leaves out what is empty.
    typed: bool,
    /// The server's answer says more: defaults.
    theirs: bool,
    /// Ours has zeros that the server's leaves out.
    zeros: bool,
}

/// Where `have` says something that `want` doesn't; and whether `want` says more.
fn difference(have: &Value, want: &Value, path: &str, more: &mut More) -> Option<String> {
    match (have, want) {
        (Value::Object(a), Value::Object(b)) => {
            more.theirs |= b.keys().any(|name| !a.contains_key(name));
            a.iter().find_map(|(name, a)| match b.get(name) {
                Some(b) => difference(a, b, &format!("{path}.{name}"), more),
                None if more.typed && (*a == 0 || *a == false || *a == "") => {
                    more.zeros = true;
                    None
                }
                None => Some(format!("{path}.{name}: ours only: {a}")),
            })
        }
        (Value::Array(a), Value::Array(b)) => {
            if a.len() != b.len() {
                return Some(format!("{path}: {have} != {want}"));
            }
            a.iter()
                .zip(b)
                .enumerate()
                .find_map(|(at, (a, b))| difference(a, b, &format!("{path}[{at}]"), more))
        }
        _ if have == want => None,
        // A quantity has more than one way to be written.
        (Value::String(_) | Value::Number(_), Value::String(_))
            if path.contains("limits")
                || path.contains("requests")
                || path.contains("sizeLimit") =>
        {
            None
        }
        _ => Some(format!("{path}: {have} != {want}")),
    }
}

fn judge_apply(
    result: Result<managed::Applied, ManagedError>,
    endpoint: &Endpoint,
    live: Option<&Value>,
    response: &Value,
) -> Outcome {
    let status = response["status"].as_u64().unwrap();
    let body = &response["body"];
    let message = body["message"].as_str().unwrap_or("");
    match result {
        Ok(_) if status >= 400 => needs(status, message),
        Ok(applied) => {
            if entries(&applied.object) != entries(body) {
                return Outcome::Wrong(format!(
                    "managedFields\n  ours   {}\n  theirs {}",
                    Value::from(entries(&applied.object)),
                    Value::from(entries(body))
                ));
            }
            let mut object = applied.object;
            // Which part an endpoint writes is the server's.
            if endpoint.resource.has_status
                && let Some(members) = object.as_object_mut()
            {
                if endpoint.subresource == "status" {
                    let status = members.remove("status");
                    *members = live.and_then(Value::as_object).cloned().unwrap_or_default();
                    members.extend(status.map(|status| ("status".to_owned(), status)));
                } else {
                    members.remove("status");
                    let status = live.and_then(|live| live.get("status")).cloned();
                    members.extend(status.map(|status| ("status".to_owned(), status)));
                }
            }
            let strings = !object["stringData"].is_null();
            let typed = endpoint.resource.custom.is_none();
            let plain = |object: &Value| {
                let object = without(object, &SERVER_OWNED);
                match typed {
                    true => prune_empty(&object).unwrap_or_default(),
                    false => object,
                }
            };
            let (ours, theirs) = (plain(&object), plain(body));
            let mut more = More {
                typed,
                ..More::default()
            };
            if strings {
                return Outcome::Needs("stringData becomes data");
            }
            if let Some(difference) = difference(&ours, &theirs, "", &mut more) {
                return match after_the_merge(&difference) {
                    Some(part) => Outcome::Needs(part),
                    None => Outcome::Wrong(difference),
                };
            }
            if more.zeros {
                return Outcome::Needs("decoding into Go types (zeros are left out)");
            }
            if more.theirs {
                return Outcome::Defaulted;
            }
            if let Some(live) = live {
                let moved =
                    live["metadata"]["resourceVersion"] != body["metadata"]["resourceVersion"];
                let mut kept = without(body, &[]);
                let same = managed::keep_times(live, &mut kept);
                if moved && (!applied.changed || same) {
                    return Outcome::Wrong(
                        "the server stored a change, and we saw none".to_owned(),
                    );
                }
            }
            Outcome::Exact
        }
        Err(error) => {
            let causes = |body: &Value| -> Vec<String> {
                let list = body["details"]["causes"].as_array();
                let mut list: Vec<String> =
                    list.into_iter().flatten().map(Value::to_string).collect();
                list.sort();
                list
            };
            if error.to_string() != message || u64::from(error.status()) != status {
                return match status {
                    0..400 => Outcome::Wrong(format!("we refuse: {error}")),
                    _ if message.starts_with("Apply failed") => {
                        Outcome::Wrong(format!("\n  ours   {error}\n  theirs {message}"))
                    }
                    _ => match needs(status, message) {
                        Outcome::Needs(part) => Outcome::Needs(part),
                        _ => Outcome::Wrong(format!("\n  ours   {error}\n  theirs {message}")),
                    },
                };
            }
            if let ManagedError::Conflicts(conflicts) = &error {
                let ours: Value = conflicts
                    .iter()
                    .map(|conflict| {
                        json!({"reason": "FieldManagerConflict", "message": conflict.message(),
                            "field": conflict.path.to_string()})
                    })
                    .collect();
                if causes(&json!({"details": {"causes": ours}})) != causes(body) {
                    return Outcome::Wrong("causes differ".to_owned());
                }
            }
            Outcome::Exact
        }
    }
}

/// Which part of the server refuses a request that the merge takes.
fn needs(status: u64, message: &str) -> Outcome {
    Outcome::Needs(match status {
        404 => "lookup of namespaces and objects",
        422 if message.starts_with("PatchOptions") => "options of the request",
        422 => "validation of the object",
        409 if message.starts_with("Operation cannot") => "preconditions (resourceVersion, uid)",
        400 if message.contains("YAML") => "decoding of YAML",
        400 if message.contains("does not match") => "name and namespace of the URL",
        500 if message.contains("strconv") => "decoding of the object",
        _ => return Outcome::Wrong(format!("only the server refuses: {status} {message}")),
    })
}

/// What the server does to a field between the merge and its answer, where our object
/// says more than the answer.
fn after_the_merge(difference: &str) -> Option<&'static str> {
    let (path, _) = difference.split_once(": ours only: ")?;
    ["sessionAffinityConfig", "externalTrafficPolicy"]
        .iter()
        .any(|name| path.ends_with(name))
        .then_some("the strategy of Service")
}

fn step(world: &mut World, step: &Value) -> Outcome {
    let step_filled = fill(step, &world.variables);
    let (request, response) = (&step_filled["request"], &step_filled["response"]);
    let method = request["method"].as_str().unwrap();
    let path = request["path"].as_str().unwrap();
    let status = response["status"].as_u64().unwrap();
    let body = &response["body"];
    for (name, pointer) in step["capture"].as_object().into_iter().flatten() {
        let value = body.pointer(pointer.as_str().unwrap()).cloned().unwrap();
        world.variables.insert(name.clone(), value);
    }
    let Some(mut endpoint) = world.endpoint(path) else {
        return Outcome::Needs("other resources");
    };
    let content = request["headers"]["Content-Type"]
        .as_str()
        .unwrap_or("application/json");
    let query = |name: &str| request["query"][name].as_str().unwrap_or("").to_owned();
    let sent = match &request["bodyFrom"] {
        Value::Null => request["body"].clone(),
        from => {
            let variable = from["var"].as_str().unwrap();
            patched(&world.variables[variable], &from["patch"])
        }
    };
    if endpoint.key.ends_with('/') && method == "POST" {
        let name = sent["metadata"]["name"].as_str().unwrap_or("");
        endpoint.key.push_str(name);
    }
    let key = endpoint.key.clone();
    let live = world.objects.get(&key).cloned();
    let builtin = Schema::builtin();
    let schema = endpoint
        .resource
        .custom
        .map_or(builtin, |at| &world.crds[at]);
    let kind = schema.kind(&endpoint.resource.group, &endpoint.resource.kind);
    let resource = &endpoint.resource;
    let reset = managed::reset_fields(
        &resource.group,
        &resource.kind,
        &endpoint.subresource,
        resource.has_status,
    );
    let target = Target::new(
        &kind,
        endpoint.version.clone(),
        endpoint.resource.kind.clone(),
    )
    .subresource(endpoint.subresource.clone())
    .reset(&reset);
    let at_version = |object: Value| {
        let mut object = object;
        object["apiVersion"] = Value::from(endpoint.version.clone());
        object
    };
    let converted = CONVERTED.contains(&endpoint.resource.kind.as_str())
        && live
            .as_ref()
            .is_some_and(|live| live["apiVersion"] != endpoint.version.as_str());
    let live = live.map(at_version);
    let manager = match query("fieldManager") {
        name if name.is_empty() => {
            let agent = request["headers"]["User-Agent"]
                .as_str()
                .unwrap_or("conformance");
            agent.split('/').next().unwrap_or("").to_owned()
        }
        name => name,
    };
    let store = status < 300 && query("dryRun").is_empty();

    if method == "GET" || method == "DELETE" {
        let confirmed = match world.expected.remove(&key) {
            Some(expected) if endpoint.subresource.is_empty() && status == 200 => {
                let ours = json!({"metadata": {"managedFields": expected}});
                if entries(&ours) != entries(body) {
                    return Outcome::Wrong(format!(
                        "managedFields\n  ours   {}\n  theirs {}",
                        Value::from(entries(&ours)),
                        Value::from(entries(body))
                    ));
                }
                true
            }
            _ => false,
        };
        if status == 404 {
            world.objects.remove(&key);
        }
        let known = world.objects.get(&key).is_some_and(|known| known == body);
        if endpoint.subresource.is_empty() && status == 200 {
            world.objects.insert(key, body.clone());
        }
        return match status {
            200 if method == "DELETE" => Outcome::Needs("deletion"),
            200 if confirmed || known => Outcome::Exact,
            200 => Outcome::Needs("reading what another request left"),
            _ => needs(status, body["message"].as_str().unwrap_or("")),
        };
    }

    if endpoint.subresource == "scale" {
        return scale(world, &endpoint, request, response, &sent, &manager);
    }

    if content.starts_with("application/apply-patch") {
        if request.get("rawBody").is_some() {
            if store {
                world.objects.insert(key, body.clone());
            }
            return Outcome::Needs("decoding of YAML");
        }
        if query("fieldManager").is_empty() || !query("fieldValidation").is_empty() && status == 422
        {
            return Outcome::Needs("options of the request");
        }
        let mut apply = Apply::new(&sent, &manager, now());
        apply.live = live.as_ref();
        apply.force = query("force") == "true";
        let applied = managed::apply(&target, &apply);
        if response.get("body").is_none() {
            // The answer wasn't recorded: the next step starts from ours.
            let Ok(applied) = applied else {
                return Outcome::Wrong("we refuse".to_owned());
            };
            let mut object = applied.object;
            for name in ["uid", "resourceVersion", "creationTimestamp", "namespace"] {
                if let Some(live) = &live {
                    object["metadata"][name] = live["metadata"][name].clone();
                }
            }
            world.objects.insert(key, object);
            return if status < 300 {
                Outcome::Exact
            } else {
                Outcome::Wrong("we don't refuse".to_owned())
            };
        }
        let outcome = judge_apply(applied, &endpoint, live.as_ref(), response);
        if store {
            world.objects.insert(key, body.clone());
        }
        return match outcome {
            Outcome::Wrong(_) if converted => Outcome::Needs("conversion between versions"),
            outcome => outcome,
        };
    }

    // Create, update or patch: the bookkeeping, given what the server stored.
    if status >= 300 {
        return match needs(status, body["message"].as_str().unwrap_or("")) {
            Outcome::Wrong(text) => Outcome::Wrong(text),
            part => part,
        };
    }
    let mut object = without(body, &["metadata.managedFields"]);
    let sent_entries = match (method, content) {
        (_, "application/json-patch+json") => {
            let target = sent.as_array().into_iter().flatten();
            target
                .filter(|operation| operation["path"] == "/metadata/managedFields")
                .map(|operation| operation["value"].clone())
                .next_back()
        }
        _ => sent["metadata"].get("managedFields").cloned(),
    };
    let sent_entries = match (sent_entries, method) {
        (None, "PATCH") => live
            .as_ref()
            .map(|live| live["metadata"]["managedFields"].clone()),
        (sent, _) => sent,
    };
    if let Some(sent) = sent_entries {
        object["metadata"]["managedFields"] = sent;
    }
    // What is allocated is allocated after the bookkeeping.
    if live.is_none() && endpoint.resource.kind == "Service" {
        object = without(&object, &["spec.clusterIP", "spec.clusterIPs"]);
    }
    let mut track = Track::new(object, &manager, now());
    track.live = live.as_ref();
    let tracked = managed::track(&target, track).unwrap();
    if store {
        world.objects.insert(key, body.clone());
    }
    if entries(&tracked) == entries(body) {
        return Outcome::Exact;
    }
    if converted {
        return Outcome::Needs("conversion between versions");
    }
    Outcome::Wrong(format!(
        "managedFields\n  ours   {}\n  theirs {}",
        Value::from(entries(&tracked)),
        Value::from(entries(body))
    ))
}

fn scale(
    world: &mut World,
    endpoint: &Endpoint,
    request: &Value,
    response: &Value,
    sent: &Value,
    manager: &str,
) -> Outcome {
    let status = response["status"].as_u64().unwrap();
    let body = &response["body"];
    let Some(parent) = world.objects.get(&endpoint.key) else {
        return needs(status, body["message"].as_str().unwrap_or(""));
    };
    let version = endpoint.version.clone();
    let replicas = gitops_core::FieldPath::root()
        .field("spec")
        .field("replicas");
    let paths = [(version.as_str(), Some(replicas))];
    let parent_entries = parent["metadata"]["managedFields"].clone();
    let entries = managed::to_scale(&parent_entries, &paths).unwrap();
    let live = json!({
        "apiVersion": "autoscaling/v1", "kind": "Scale",
        "metadata": {"name": parent["metadata"]["name"], "uid": parent["metadata"]["uid"],
            "managedFields": entries},
        "spec": {"replicas": parent["spec"]["replicas"]},
    });
    let target = Target::new(&Scale, "autoscaling/v1", "Scale").subresource("scale");
    let apply = request["headers"]["Content-Type"] == "application/apply-patch+yaml";
    let written = if apply {
        let mut apply = Apply::new(sent, manager, now()).live(&live);
        apply.force = request["query"]["force"] == "true";
        match managed::apply(&target, &apply) {
            Ok(applied) => applied.object,
            Err(error) if error.to_string() == body["message"].as_str().unwrap_or("") => {
                return Outcome::Exact;
            }
            Err(error) => return Outcome::Wrong(error.to_string()),
        }
    } else {
        let mut object = live.clone();
        object["spec"]["replicas"] = body["spec"]["replicas"].clone();
        let mut track = Track::new(object, manager, now());
        track.live = Some(&live);
        managed::track(&target, track).unwrap()
    };
    if status >= 300 {
        return needs(status, body["message"].as_str().unwrap_or(""));
    }
    if written["spec"]["replicas"] != body["spec"]["replicas"] {
        return Outcome::Wrong("replicas".to_owned());
    }
    let written = &written["metadata"]["managedFields"];
    let after = managed::from_scale(&parent_entries, written, &version, &paths).unwrap();
    world.expected.insert(endpoint.key.clone(), after);
    Outcome::Exact
}

fn scenario(file: &Path) -> Vec<Outcome> {
    let scenario: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let mut world = World::default();
    for (name, value) in [
        ("id", "xbcdfghj"),
        ("ns", "ns1-xbcdfghj"),
        ("ns2", "ns2-xbcdfghj"),
    ] {
        world.variables.insert(name.to_owned(), Value::from(value));
    }
    for step in scenario["setup"].as_array().into_iter().flatten() {
        let request = fill(&step["request"], &world.variables);
        if request["body"]["kind"] == "CustomResourceDefinition" {
            world.learn_crd(&request["body"]);
        }
    }
    let steps = scenario["steps"].as_array().unwrap();
    steps.iter().map(|one| step(&mut world, one)).collect()
}

fn replay(area: &str) -> (usize, BTreeMap<&'static str, usize>) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(area);
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let only = std::env::var("ONLY").unwrap_or_default();
    let mut total = 0;
    let mut wrong = 0;
    let mut counts: BTreeMap<&'static str, usize> = BTreeMap::new();
    for file in files {
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        if !name.contains(&only) {
            continue;
        }
        for (at, outcome) in scenario(&file).into_iter().enumerate() {
            total += 1;
            let what = match outcome {
                Outcome::Exact => "exact",
                Outcome::Defaulted => "exact but for defaults",
                Outcome::Needs(part) => {
                    println!("{area}/{name} step {at}: needs {part}");
                    part
                }
                Outcome::Wrong(difference) => {
                    wrong += 1;
                    println!("{area}/{name} step {at}: WRONG: {difference}");
                    "wrong"
                }
            };
            *counts.entry(what).or_default() += 1;
        }
    }
    println!("{area}: {total} steps: {counts:#?}");
    (wrong, counts)
}

#[test]
fn server_side_apply_is_what_the_server_does() {
    let (wrong, _) = replay("server-side-apply");
    assert_eq!(wrong, 0);
}

#[test]
fn random_sequences_are_what_the_server_does() {
    let (wrong, _) = replay("random-ssa");
    assert_eq!(wrong, 0);
}
