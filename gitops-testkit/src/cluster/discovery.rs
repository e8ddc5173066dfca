//! What is served: versions, groups, resources, health, and OpenAPI.

use http::Method;
use serde_json::{Value, json};

use super::custom::compare_versions;
use super::negotiate;
use super::openapi;
use super::registry::{Builtins, Resource, discovery_document};
use super::request::Query;
use super::server::{Reply, Request, json_reply, text_reply};
use super::state::State;
use super::status::{ApiError, ApiResult};

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
const AGGREGATED_BETA: &str =
    "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList";

/// The answer to a path that is no resource.
pub(crate) fn answer(state: &State, request: &Request<'_>, _query: &Query) -> ApiResult<Reply> {
    let path = request.path;
    let trimmed = path.trim_end_matches('/');
    let known_health = ["/healthz", "/livez", "/readyz"].into_iter().any(|check| {
        trimmed == check
            || trimmed
                .strip_prefix(check)
                .is_some_and(|rest| matches!(rest, "/ping" | "/log" | "/etcd"))
    });
    if request.method != Method::GET && request.method != Method::HEAD {
        return if trimmed.starts_with("/api") {
            Err(ApiError::method_not_allowed())
        } else {
            Err(ApiError::page_not_found())
        };
    }
    if known_health {
        return Ok(text_reply("ok"));
    }
    if openapi::handles(trimmed) {
        return openapi::answer(state, trimmed);
    }
    let parts: Vec<&str> = trimmed.trim_start_matches('/').split('/').collect();
    match parts.as_slice() {
        [""] => Ok(json_reply("application/json", &root_paths(state))),
        ["version"] => Ok(json_reply("application/json", &version())),
        ["api"] => Ok(discovery_root(state, request, "api")),
        ["apis"] => Ok(discovery_root(state, request, "apis")),
        ["api", version] => resource_list(state, "", version),
        ["apis", group] => {
            let group = group_object(state, group).ok_or_else(ApiError::page_not_found)?;
            let mut group = group;
            group["kind"] = json!("APIGroup");
            group["apiVersion"] = json!("v1");
            Ok(json_reply("application/json", &group))
        }
        ["apis", group, version] => resource_list(state, group, version),
        _ => Err(ApiError::page_not_found()),
    }
}

fn version() -> Value {
    json!({
        "major": "1", "minor": "36", "emulationMajor": "1", "emulationMinor": "36",
        "minCompatibilityMajor": "1", "minCompatibilityMinor": "35",
        "gitVersion": "v1.36.0", "gitCommit": "", "gitTreeState": "clean",
        "buildDate": "2026-01-01T00:00:00Z", "goVersion": "none", "compiler": "rustc", "platform": "fake/any",
    })
}

fn root_paths(state: &State) -> Value {
    let mut paths = vec![
        "/api".to_owned(),
        "/api/v1".to_owned(),
        "/apis".to_owned(),
        "/apis/".to_owned(),
    ];
    for (group, versions) in groups(state) {
        if !group.is_empty() {
            paths.push(format!("/apis/{group}"));
            paths.extend(
                versions
                    .iter()
                    .map(|version| format!("/apis/{group}/{version}")),
            );
        }
    }
    paths.extend(
        [
            "/healthz",
            "/livez",
            "/livez/ping",
            "/openapi/v3",
            "/openapi/v3/",
            "/readyz",
            "/version",
        ]
        .map(str::to_owned),
    );
    json!({"paths": paths})
}

/// Every group with its versions, the core group first.
pub(crate) fn groups(state: &State) -> Vec<(String, Vec<String>)> {
    let mut found: Vec<(String, Vec<String>)> = Builtins::get()
        .groups()
        .iter()
        .map(|group| (group.name.clone(), group.versions.clone()))
        .collect();
    for (group, resources) in state.customs() {
        let mut versions: Vec<String> = resources.iter().map(|r| r.version.clone()).collect();
        versions.sort_by(|a, b| compare_versions(a, b));
        versions.dedup();
        found.push((group.clone(), versions));
    }
    found
}

fn group_object(state: &State, name: &str) -> Option<Value> {
    let (_, versions) = groups(state)
        .into_iter()
        .find(|(group, _)| group == name && !group.is_empty())?;
    let version =
        |version: &str| json!({"groupVersion": format!("{name}/{version}"), "version": version});
    let all: Vec<Value> = versions.iter().map(|v| version(v)).collect();
    Some(json!({"name": name, "preferredVersion": all.first(), "versions": all}))
}

fn discovery_root(state: &State, request: &Request<'_>, root: &str) -> Reply {
    let header = request
        .headers
        .get("accept")
        .and_then(|v| v.to_str().ok())
        .unwrap_or_default();
    for clause in negotiate::clauses(header) {
        let is = |key: &str, value: &str| clause.parameter(key) == Some(value);
        if is("g", "apidiscovery.k8s.io") && is("as", "APIGroupDiscoveryList") {
            if is("v", "v2") {
                return json_reply(AGGREGATED, &aggregated(state, root, "v2"));
            }
            if is("v", "v2beta1") {
                return json_reply(AGGREGATED_BETA, &aggregated(state, root, "v2beta1"));
            }
        } else if clause.parameter("as").is_none() {
            break;
        }
    }
    let value = if root == "api" {
        json!({
            "kind": "APIVersions", "versions": ["v1"],
            "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": "127.0.0.1:6443"}],
        })
    } else {
        let all: Vec<Value> = groups(state)
            .iter()
            .filter_map(|(group, _)| group_object(state, group))
            .collect();
        json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": all})
    };
    json_reply("application/json", &value)
}

fn aggregated(state: &State, root: &str, version: &str) -> Value {
    let mut items = discovery_document()[root]["items"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    if root == "apis" {
        for (group, resources) in state.customs() {
            let (_, versions) = match groups(state).into_iter().find(|(g, _)| g == group) {
                Some(found) => found,
                None => continue,
            };
            let versions: Vec<Value> = versions
                .iter()
                .map(|version| {
                    let list: Vec<Value> = resources
                        .iter()
                        .filter(|r| r.version == *version)
                        .map(|r| aggregated_resource(r))
                        .collect();
                    json!({"version": version, "freshness": "Current", "resources": list})
                })
                .collect();
            items.push(json!({"metadata": {"name": group, "creationTimestamp": null}, "versions": versions}));
        }
    }
    json!({
        "kind": "APIGroupDiscoveryList", "apiVersion": format!("apidiscovery.k8s.io/{version}"),
        "metadata": {}, "items": items,
    })
}

fn aggregated_resource(resource: &Resource) -> Value {
    let mut value = json!({
        "resource": resource.plural,
        "responseKind": {"group": resource.group, "version": resource.version, "kind": resource.kind},
        "scope": if resource.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": resource.singular,
        "verbs": resource.verbs,
    });
    for (key, list) in [
        ("shortNames", &resource.short_names),
        ("categories", &resource.categories),
    ] {
        if !list.is_empty() {
            value[key] = json!(list);
        }
    }
    if !resource.subresources.is_empty() {
        let subs: Vec<Value> = resource
            .subresources
            .iter()
            .map(|sub| {
                json!({
                    "subresource": sub.name,
                    "responseKind": {"group": sub.group, "version": sub.version, "kind": sub.kind},
                    "verbs": sub.verbs,
                })
            })
            .collect();
        value["subresources"] = json!(subs);
    }
    value
}

fn resource_list(state: &State, group: &str, version: &str) -> ApiResult<Reply> {
    let builtins = Builtins::get();
    let mut entries = Vec::new();
    let mut resources: Vec<&Resource> = builtins
        .of_version(group, version)
        .map(AsRef::as_ref)
        .collect();
    if resources.is_empty() && builtins.has_group(group) {
        return Err(ApiError::no_such_path());
    }
    if let Some(customs) = state.customs().get(group) {
        resources.extend(
            customs
                .iter()
                .map(AsRef::as_ref)
                .filter(|r| r.version == version),
        );
    }
    if resources.is_empty() {
        return Err(ApiError::page_not_found());
    }
    resources.sort_by(|a, b| a.plural.cmp(&b.plural));
    for resource in resources {
        entries.push(resource_entry(resource));
        for sub in &resource.subresources {
            let mut entry = json!({
                "name": format!("{}/{}", resource.plural, sub.name),
                "singularName": "",
                "namespaced": resource.namespaced,
                "kind": sub.kind,
                "verbs": sub.verbs,
            });
            if sub.group != resource.group || sub.version != resource.version {
                entry["group"] = json!(sub.group);
                entry["version"] = json!(sub.version);
            }
            entries.push(entry);
        }
    }
    let group_version = if group.is_empty() {
        version.to_owned()
    } else {
        format!("{group}/{version}")
    };
    Ok(json_reply(
        "application/json",
        &json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": entries}),
    ))
}

fn resource_entry(resource: &Resource) -> Value {
    let mut entry = json!({
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": resource.verbs,
    });
    for (key, list) in [
        ("shortNames", &resource.short_names),
        ("categories", &resource.categories),
    ] {
        if !list.is_empty() {
            entry[key] = json!(list);
        }
    }
    if resource.has_verb("list") {
        let name = super::status::qualified(&resource.group, &resource.plural);
        entry["storageVersionHash"] = json!(storage_hash(&format!("{name}/{}", resource.kind)));
    }
    entry
}

fn storage_hash(name: &str) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let digest = gitops_core::Digest::of(name.as_bytes());
    STANDARD.encode(digest.as_bytes().get(..8).unwrap_or_default())
}
