//! Objects of custom resources, and the definitions' own life.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::call::{meta_text, metadata_mut};
use super::clock::seconds;
use super::convert;
use super::custom::{CustomVersion, check_names};
use super::delete;
use super::kinds_of::copy_member;
use super::objects::{Read, cannot_be_handled};
use super::options::DeleteOptions;
use super::registry::{Builtins, Resource};
use super::state::{State, condition, definitions};
use super::status::{ApiError, ApiResult, Cause};
use super::write::Target;
use crate::kinds::{self, FieldError};

/// The finalizer under which a definition waits for its objects to go.
pub(crate) const CLEANUP_FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";

/// Reads a body as an object of a custom resource.
pub(crate) fn read_body(
    resource: &Resource,
    body: &[u8],
    api_version: &str,
    kind: &str,
    _value: &Value,
) -> ApiResult<Read> {
    let text = String::from_utf8_lossy(body);
    if kind.is_empty() || api_version.is_empty() {
        let missing = if kind.is_empty() {
            "Kind"
        } else {
            "apiVersion"
        };
        return Err(ApiError::bad_request(format!(
            "the object provided is unrecognized (must be of type {}): Object '{missing}' is missing in '{text}'",
            resource.kind
        )));
    }
    let read =
        kinds::decode_untyped(body).map_err(|error| ApiError::bad_request(error.to_string()))?;
    let mut object = read.object;
    let mut strict = read.strict;
    let expected = resource.api_version();
    if api_version != expected {
        // Of another version of the group nothing is known but the metadata.
        if api_version.split('/').next() == expected.split('/').next()
            && !is_served(resource, api_version)
        {
            let unknown = object.as_object().into_iter().flatten().map(|(key, _)| key);
            strict.extend(
                unknown
                    .filter(|key| !matches!(key.as_str(), "apiVersion" | "kind" | "metadata"))
                    .map(|key| format!("unknown field {key:?}")),
            );
        }
        return Ok(Read { object, strict });
    }
    coerce(resource, &mut object, &mut strict, kind)?;
    Ok(Read { object, strict })
}

fn is_served(resource: &Resource, api_version: &str) -> bool {
    resource
        .custom
        .as_ref()
        .is_some_and(|custom| custom.is_served(api_version))
}

/// Reads the result of a patch as an object of a custom resource.
pub(crate) fn read_patched(resource: &Resource, value: Value) -> ApiResult<Read> {
    let mut object = value;
    let mut strict = Vec::new();
    coerce(resource, &mut object, &mut strict, &resource.kind)?;
    Ok(Read { object, strict })
}

/// Brings metadata into its form and drops what the schema doesn't know.
fn coerce(
    resource: &Resource,
    object: &mut Value,
    strict: &mut Vec<String>,
    kind: &str,
) -> ApiResult<()> {
    if let Some(meta) = object.get("metadata") {
        let read = kinds::decode_metadata(meta).map_err(|error| {
            cannot_be_handled(kind, &resource.version, &resource.kind, &error.to_string())
        })?;
        strict.extend(
            read.strict
                .iter()
                .map(|note| note.replacen("field \"", "field \"metadata.", 1)),
        );
        object["metadata"] = read.object;
    }
    if let Some(custom) = &resource.custom {
        strict.extend(custom.structural().prune(object));
    }
    Ok(())
}

/// The answer to an object of another version or kind than the path's.
pub(crate) fn wrong_version(resource: &Resource, object: &Value) -> Option<ApiError> {
    if !resource.is_custom() {
        return None;
    }
    let text = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default();
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    let expected = resource.api_version();
    if api_version != expected {
        return Some(ApiError::bad_request(format!(
            "the API version in the data ({api_version}) does not match the expected API version ({expected})"
        )));
    }
    if kind != resource.kind {
        let cause = Cause::invalid("kind", &json!(kind), &format!("must be {}", resource.kind));
        return Some(ApiError::invalid(
            &resource.group,
            kind,
            meta_text(object, "name"),
            &[cause],
        ));
    }
    None
}

/// What a read does to a stored object: the schema may have changed since it was written.
pub(crate) fn on_read(custom: &CustomVersion, object: &mut Value) {
    custom.structural().prune(object);
    custom.structural().default(object);
}

/// Sets the defaults of the schema.
pub(crate) fn default(custom: &CustomVersion, object: &mut Value) {
    custom.structural().default(object);
}

pub(crate) fn prepare_create(custom: &CustomVersion, object: &mut Value) {
    if let Some(map) = object.as_object_mut()
        && custom.has_status
    {
        map.remove("status");
    }
    metadata_mut(object).insert("generation".to_owned(), json!(1));
}

/// Takes what `target` may not touch from the live object, and counts the generation.
pub(crate) fn prepare_update(
    custom: &CustomVersion,
    object: &mut Value,
    live: &Value,
    target: kinds::Target,
) {
    if target == kinds::Target::Status {
        let mut next = live.clone();
        copy_member(&mut next, object, "status");
        let given = object["metadata"].clone();
        for key in ["managedFields", "resourceVersion"] {
            copy_member(&mut next["metadata"], &given, key);
        }
        *object = next;
        return;
    }
    if custom.has_status {
        copy_member(object, live, "status");
    }
    let members = object.as_object().into_iter().chain(live.as_object());
    let changed = members.flat_map(|map| map.keys()).any(|key| {
        key != "metadata"
            && !(key == "status" && custom.has_status)
            && object.get(key) != live.get(key)
    });
    let generation = live
        .pointer("/metadata/generation")
        .and_then(Value::as_i64)
        .unwrap_or(0);
    metadata_mut(object).insert(
        "generation".to_owned(),
        json!(generation + i64::from(changed)),
    );
}

pub(crate) fn validate_create(
    resource: &Resource,
    custom: &CustomVersion,
    object: &Value,
) -> Vec<FieldError> {
    let mut errors = kinds::validate_metadata(
        object,
        resource.namespaced,
        kinds::NameRule::Subdomain,
        false,
    );
    errors.extend(custom.structural().validate(object));
    errors
}

pub(crate) fn validate_update(
    resource: &Resource,
    custom: &CustomVersion,
    object: &Value,
    live: &Value,
    target: Target,
) -> Vec<FieldError> {
    let mut errors = kinds::validate_metadata(
        object,
        resource.namespaced,
        kinds::NameRule::PathSegment,
        false,
    );
    // The generic part of an update and the kind's own both check what may change.
    errors.extend(kinds::validate_metadata_update(object, live));
    errors.extend(kinds::validate_metadata_update(object, live));
    if target == Target::Status {
        errors.extend(custom.structural().validate_status(object));
    } else {
        errors.extend(custom.structural().validate_update(object, live));
    }
    errors
}

/// The answer to a create while the definition is being deleted.
pub(crate) fn terminating(_resource: &Resource) -> ApiError {
    ApiError::new(
        405,
        "MethodNotAllowed",
        "create not allowed while custom resource definition is terminating",
    )
}

/// Sets a condition of `object`, and its time if the status changes.
pub(crate) fn set_condition(
    object: &mut Value,
    kind: &str,
    status: &str,
    reason: &str,
    message: &str,
    now: Timestamp,
) {
    let conditions = &mut object["status"]["conditions"];
    if !conditions.is_array() {
        *conditions = json!([]);
    }
    let Some(list) = conditions.as_array_mut() else {
        return;
    };
    let wanted = json!({
        "type": kind, "status": status, "reason": reason, "message": message,
        "lastTransitionTime": seconds(now),
    });
    match list.iter_mut().find(|c| c["type"] == kind) {
        Some(have) => {
            let time = have["lastTransitionTime"].clone();
            let same = have["status"] == status;
            *have = wanted;
            if same {
                have["lastTransitionTime"] = time;
            }
        }
        None => list.push(wanted),
    }
}

/// The server's work on definitions: accepts names, establishes, and lets go of those
/// that are being deleted and have no objects any more.
pub(crate) fn settle_definitions(state: &mut State) {
    let now = state.now();
    let Some(resource) = Builtins::get()
        .find("apiextensions.k8s.io", "v1", "customresourcedefinitions")
        .cloned()
    else {
        return;
    };
    let all: Vec<(String, Value)> = state
        .store
        .list(&definitions(), None)
        .into_iter()
        .map(|(key, stored)| (key.to_string(), stored.value()))
        .collect();
    for (key, crd) in &all {
        if !meta_text(crd, "deletionTimestamp").is_empty() {
            finish_deletion(state, &resource, key, crd);
            continue;
        }
        let others: Vec<&Value> = all
            .iter()
            .filter(|(other, value)| other != key && value["spec"]["group"] == crd["spec"]["group"])
            .map(|(_, value)| value)
            .collect();
        let check = check_names(crd, &others);
        let mut next = crd.clone();
        next["status"]["acceptedNames"] = check.accepted;
        let (status, reason, message) = check.condition;
        set_condition(&mut next, "NamesAccepted", status, reason, &message, now);
        if status == "True" {
            if !condition(crd, "Established") {
                set_condition(
                    &mut next,
                    "Established",
                    "True",
                    "InitialNamesAccepted",
                    "the initial names have been accepted",
                    now,
                );
            }
        } else if !condition(crd, "Established") {
            set_condition(
                &mut next,
                "Established",
                "False",
                "NotAccepted",
                "not all names are accepted",
                now,
            );
        }
        if next != *crd {
            let mut stored = convert::to_storage(&resource, next);
            state.store.put(&definitions(), key, &mut stored);
        }
    }
    state.refresh_customs();
}

fn finish_deletion(state: &mut State, resource: &Resource, key: &str, crd: &Value) {
    let group = crd["spec"]["group"].as_str().unwrap_or_default();
    let plural = crd["spec"]["names"]["plural"].as_str().unwrap_or_default();
    let storage = super::registry::StorageKey::new(group, plural);
    let mut finalizers = super::call::finalizers(crd);
    if !state.store.list(&storage, None).is_empty() {
        return;
    }
    let before = finalizers.len();
    finalizers.retain(|f| f != CLEANUP_FINALIZER);
    if finalizers.is_empty() {
        state.store.delete(&definitions(), key);
    } else if finalizers.len() != before {
        let mut next = crd.clone();
        metadata_mut(&mut next).insert("finalizers".to_owned(), json!(finalizers));
        let mut stored = convert::to_storage(resource, next);
        state.store.put(&definitions(), key, &mut stored);
    }
}

/// Deletes all objects of a definition.
pub(crate) fn delete_instances(state: &mut State, definition: &str, now: Timestamp) {
    let Some(resource) = state
        .customs()
        .values()
        .flatten()
        .find(|r| {
            r.custom
                .as_ref()
                .is_some_and(|c| c.definition == definition)
        })
        .cloned()
    else {
        return;
    };
    let keys: Vec<(String, String)> = state
        .store
        .list(&resource.storage, None)
        .into_iter()
        .map(|(_, stored)| {
            let object = stored.value();
            (
                meta_text(&object, "namespace").to_owned(),
                meta_text(&object, "name").to_owned(),
            )
        })
        .collect();
    for (namespace, name) in keys {
        let namespace = (!namespace.is_empty()).then_some(namespace.as_str());
        delete::delete_quietly(
            state,
            &resource,
            namespace,
            &name,
            &DeleteOptions::default(),
            now,
        );
    }
}
