//! OpenAPI v3: the index, and a document per group version.

use serde_json::{Map, Value, json};

use super::discovery::groups;
use super::registry::{Builtins, Resource};
use super::server::{Reply, json_reply};
use super::state::State;
use super::status::{ApiError, ApiResult};

const DEFINITIONS: &str = include_str!("data/definitions.json");

/// Whether a path is one of OpenAPI v3.
pub(crate) fn handles(path: &str) -> bool {
    path == "/openapi/v3" || path.starts_with("/openapi/v3/")
}

/// The index or a document.
pub(crate) fn answer(state: &State, path: &str) -> ApiResult<Reply> {
    let rest = path
        .trim_start_matches("/openapi/v3")
        .trim_start_matches('/');
    if rest.is_empty() {
        let mut paths = Map::new();
        for (group, versions) in groups(state) {
            for version in versions {
                let path = if group.is_empty() {
                    format!("api/{version}")
                } else {
                    format!("apis/{group}/{version}")
                };
                let hash = hash(state, &group, &version);
                paths.insert(
                    path.clone(),
                    json!({"serverRelativeURL": format!("/openapi/v3/{path}?hash={hash}")}),
                );
            }
        }
        return Ok(json_reply(
            "text/plain; charset=utf-8",
            &json!({"paths": paths}),
        ));
    }
    let parts: Vec<&str> = rest.split('/').collect();
    let (group, version) = match parts.as_slice() {
        ["api", version] => ("", *version),
        ["apis", group, version] => (*group, *version),
        _ => return Err(ApiError::page_not_found()),
    };
    let resources = resources(state, group, version);
    if resources.is_empty() {
        return Err(ApiError::page_not_found());
    }
    Ok(json_reply(
        "application/json",
        &document(group, version, &resources),
    ))
}

fn resources(state: &State, group: &str, version: &str) -> Vec<Resource> {
    let mut found: Vec<Resource> = Builtins::get()
        .of_version(group, version)
        .map(|r| r.as_ref().clone())
        .collect();
    if let Some(customs) = state.customs().get(group) {
        found.extend(
            customs
                .iter()
                .filter(|r| r.version == version)
                .map(|r| r.as_ref().clone()),
        );
    }
    found
}

fn hash(state: &State, group: &str, version: &str) -> String {
    let mut text = format!("{group}/{version}");
    if let Some(customs) = state.customs().get(group) {
        for resource in customs.iter().filter(|r| r.version == version) {
            if let Some(custom) = &resource.custom {
                text.push_str(&custom.version.to_string());
            }
        }
    }
    let digest = gitops_core::Digest::of(text.as_bytes()).to_string();
    digest.trim_start_matches("sha256:").to_uppercase()
}

fn definitions() -> &'static Value {
    static PARSED: std::sync::LazyLock<Value> =
        std::sync::LazyLock::new(|| serde_json::from_str(DEFINITIONS).unwrap_or_default());
    &PARSED
}

/// The name of a kind's definition.
fn definition_name(resource_group: &str, version: &str, kind: &str) -> Option<&'static str> {
    definitions()
        .as_object()?
        .iter()
        .find_map(|(name, schema)| {
            let fits = schema
                .get("x-kubernetes-group-version-kind")?
                .as_array()?
                .iter()
                .any(|gvk| {
                    gvk["group"] == resource_group
                        && gvk["version"] == version
                        && gvk["kind"] == kind
                });
            fits.then_some(name.as_str())
        })
}

const REF: &str = "#/components/schemas/";

/// Adds a definition and all that it refers to.
fn add(schemas: &mut Map<String, Value>, name: &str) {
    if schemas.contains_key(name) {
        return;
    }
    let Some(schema) = definitions().get(name) else {
        return;
    };
    schemas.insert(name.to_owned(), schema.clone());
    add_references(schemas, schema);
}

fn add_references(schemas: &mut Map<String, Value>, value: &Value) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                match value {
                    Value::String(target) if key == "$ref" => {
                        add(schemas, target.trim_start_matches(REF))
                    }
                    other => add_references(schemas, other),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| add_references(schemas, item)),
        _ => {}
    }
}

fn document(group: &str, version: &str, resources: &[Resource]) -> Value {
    let mut schemas = Map::new();
    let mut paths = Map::new();
    for resource in resources {
        let name = match &resource.custom {
            Some(custom) => {
                let mut reversed: Vec<&str> = group.split('.').collect();
                reversed.reverse();
                let name = format!("{}.{version}.{}", reversed.join("."), resource.kind);
                let mut schema = custom.schema().clone();
                if !schema.is_object() {
                    schema = json!({"type": "object"});
                }
                let meta = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
                add(&mut schemas, meta);
                schema["properties"]["apiVersion"] = json!({"type": "string"});
                schema["properties"]["kind"] = json!({"type": "string"});
                schema["properties"]["metadata"] =
                    json!({"allOf": [{"$ref": format!("{REF}{meta}")}]});
                schema["x-kubernetes-group-version-kind"] =
                    json!([{"group": group, "version": version, "kind": resource.kind}]);
                schemas.insert(name.clone(), schema);
                name
            }
            None => match definition_name(group, version, &resource.kind) {
                Some(name) => {
                    add(&mut schemas, name);
                    add(&mut schemas, &format!("{name}List"));
                    name.to_owned()
                }
                None => continue,
            },
        };
        add_paths(&mut paths, group, version, resource, &name);
    }
    json!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "v1.36.0"},
        "paths": paths,
        "components": {"schemas": schemas},
    })
}

fn parameter(name: &str, kind: &str) -> Value {
    json!({"name": name, "in": "query", "schema": {"type": kind, "uniqueItems": true}})
}

fn add_paths(
    paths: &mut Map<String, Value>,
    group: &str,
    version: &str,
    resource: &Resource,
    definition: &str,
) {
    let base = if group.is_empty() {
        format!("/api/{version}")
    } else {
        format!("/apis/{group}/{version}")
    };
    let collection = if resource.namespaced {
        format!("{base}/namespaces/{{namespace}}/{}", resource.plural)
    } else {
        format!("{base}/{}", resource.plural)
    };
    let reference = json!({"$ref": format!("{REF}{definition}")});
    let content = json!({"application/json": {"schema": reference}});
    let operation = |action: &str, parameters: Value, body: bool| {
        let mut operation = json!({
            "operationId": format!("{action}{}", resource.kind),
            "parameters": parameters,
            "responses": {"200": {"description": "OK", "content": content}},
            "x-kubernetes-action": action,
            "x-kubernetes-group-version-kind": {"group": group, "version": version, "kind": resource.kind},
        });
        if body {
            operation["requestBody"] = json!({"content": {"*/*": {"schema": reference}}});
        }
        operation
    };
    let write = json!([
        parameter("dryRun", "string"),
        parameter("fieldManager", "string"),
        parameter("fieldValidation", "string"),
    ]);
    let mut item = Map::new();
    let mut list = Map::new();
    for (verb, method, action, on_item) in [
        ("get", "get", "get", true),
        ("update", "put", "put", true),
        ("delete", "delete", "delete", true),
        ("list", "get", "list", false),
        ("create", "post", "post", false),
        ("deletecollection", "delete", "deletecollection", false),
    ] {
        if resource.has_verb(verb) {
            let writes = matches!(verb, "update" | "create");
            let parameters = if writes { write.clone() } else { json!([]) };
            let slot = if on_item { &mut item } else { &mut list };
            slot.insert(method.to_owned(), operation(action, parameters, writes));
        }
    }
    if resource.has_verb("patch") {
        let mut patch = operation(
            "patch",
            json!([
                parameter("dryRun", "string"),
                parameter("fieldManager", "string"),
                parameter("fieldValidation", "string"),
                parameter("force", "boolean"),
            ]),
            false,
        );
        let types = [
            "application/apply-patch+yaml",
            "application/json-patch+json",
            "application/merge-patch+json",
            "application/strategic-merge-patch+json",
        ];
        let schema =
            json!({"schema": {"$ref": format!("{REF}io.k8s.apimachinery.pkg.apis.meta.v1.Patch")}});
        let bodies: Map<String, Value> = types
            .into_iter()
            .filter(|kind| !resource.is_custom() || !kind.contains("strategic"))
            .map(|kind| (kind.to_owned(), schema.clone()))
            .collect();
        patch["requestBody"] = json!({"content": bodies});
        item.insert("patch".to_owned(), patch);
    }
    if !list.is_empty() {
        paths.insert(collection.clone(), Value::Object(list));
    }
    if !item.is_empty() {
        paths.insert(format!("{collection}/{{name}}"), Value::Object(item));
    }
}
