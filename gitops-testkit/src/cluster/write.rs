//! Create, update and patch.

use std::sync::Arc;

use gitops_diff::patch;
use serde_json::{Value, json};

use super::call::{Answer, Call, meta_text, metadata_mut};
use super::clock::seconds;
use super::convert;
use super::custom_objects;
use super::delete;
use super::kinds_of as kinds;
use super::objects::{self, Origin, Read};
use super::options::{FieldValidation, OptionsKind, WriteOptions};
use super::ownership;
use super::rbac::Attributes;
use super::registry::Resource;
use super::review;
use super::state::State;
use super::status::{ApiError, ApiResult, Cause};
use super::store::{Stored, object_key};
use super::strategy;

pub(crate) const JSON_PATCH: &str = "application/json-patch+json";
pub(crate) const MERGE_PATCH: &str = "application/merge-patch+json";
pub(crate) const STRATEGIC_PATCH: &str = "application/strategic-merge-patch+json";
pub(crate) const APPLY_PATCH: &str = "application/apply-patch+yaml";

const BODY_TYPES: &str = "application/json, application/yaml, application/vnd.kubernetes.protobuf";

/// The body of a request as JSON, whatever it was sent in.
pub(crate) fn json_body(call: &Call<'_>) -> ApiResult<JsonBody> {
    match call.content_type().as_deref() {
        None | Some("application/json") => Ok(JsonBody {
            bytes: call.body.to_vec(),
            duplicates: Vec::new(),
        }),
        Some("application/yaml") => super::yaml::to_json(call.body),
        Some("application/vnd.kubernetes.protobuf") => super::protobuf::to_json(call.body),
        Some(_) => Err(ApiError::unsupported_body(if call.resource.is_custom() {
            "application/json, application/yaml"
        } else {
            BODY_TYPES
        })),
    }
}

/// A body as JSON.
pub(crate) struct JsonBody {
    pub(crate) bytes: Vec<u8>,
    /// What strict decoding of YAML says about keys that occur twice.
    pub(crate) duplicates: Vec<String>,
}

/// Reads the body of a create or update, and does with unknown fields as asked.
fn read_object(call: &mut Call<'_>, options: &WriteOptions) -> ApiResult<Value> {
    let resource = call.resource.clone();
    read_object_of(call, &resource, options)
}

pub(crate) fn read_object_of(
    call: &mut Call<'_>,
    resource: &Resource,
    options: &WriteOptions,
) -> ApiResult<Value> {
    let body = json_body(call)?;
    let mut read = objects::read_body(resource, &body.bytes)?;
    read.strict.splice(0..0, body.duplicates);
    objects::strict(
        resource,
        &read,
        options.validation,
        &mut call.warnings,
        Origin::Body,
    )?;
    if let Some(error) = custom_objects::wrong_version(resource, &read.object) {
        return Err(error);
    }
    Ok(read.object)
}

/// `POST` of a collection.
pub(crate) fn create(state: &mut State, call: &mut Call<'_>) -> ApiResult<Answer> {
    let options = WriteOptions::read(call.query, OptionsKind::Create, call.user_agent())?;
    let mut object = read_object(call, &options)?;
    call.settle_namespace(&mut object)?;
    wipe_system_fields(&mut object);
    let created = create_object(state, call, &options, object, Ownership::Track)?;
    Ok(Answer::Object {
        code: 201,
        object: created,
    })
}

/// Takes away what only the server sets in a new object.
fn wipe_system_fields(object: &mut Value) {
    let meta = metadata_mut(object);
    for key in [
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "uid",
        "selfLink",
    ] {
        meta.remove(key);
    }
}

/// Whether the manager of a new object is still to be booked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ownership {
    Track,
    Done,
}

/// Creates `object`, which is at the version of the call's resource.
pub(crate) fn create_object(
    state: &mut State,
    call: &mut Call<'_>,
    options: &WriteOptions,
    mut object: Value,
    ownership: Ownership,
) -> ApiResult<Value> {
    let resource = call.resource.clone();
    if resource.custom.as_ref().is_some_and(|c| c.terminating) {
        return Err(custom_objects::terminating(&resource));
    }
    kinds::default(&resource, &mut object, None);
    if ownership == Ownership::Track {
        object = ownership::track(call, "", None, object, &options.manager)?;
    }
    admit_namespace(state, call, &object)?;
    kinds::admit(&resource, &mut object, None);
    review::check_escalation(state, call, &object)?;

    let version = meta_text(&object, "resourceVersion").to_owned();
    let meta = metadata_mut(&mut object);
    for gone in [
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "selfLink",
        "resourceVersion",
    ] {
        meta.remove(gone);
    }
    meta.insert("uid".to_owned(), json!(state.random.uid()));
    meta.insert("creationTimestamp".to_owned(), json!(seconds(call.now)));
    let generate = meta
        .get("generateName")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    let generated = !generate.is_empty()
        && meta
            .get("name")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .is_empty();
    if generated {
        meta.insert(
            "name".to_owned(),
            json!(generated_name(
                state,
                &resource,
                call.namespace(),
                &generate
            )),
        );
    }
    kinds::prepare_create(&resource, &mut object);
    let name = meta_text(&object, "name").to_owned();
    let errors = kinds::validate_create(&resource, &object);
    objects::check(&resource, &name, &errors)?;
    if !version.is_empty() {
        return Err(ApiError::bare_internal(
            "resourceVersion should not be set on objects to be created",
        ));
    }
    call.warnings
        .extend(kinds::warnings(&resource, &object, None));

    let key = object_key(call.namespace(), &name);
    if let Some(existing) = state.store.get(&resource.storage, &key) {
        let deleting = existing
            .value()
            .pointer("/metadata/deletionTimestamp")
            .is_some();
        return Err(ApiError::already_exists(
            &resource.group,
            &resource.plural,
            &name,
            deleting,
        ));
    }
    kinds::allocate(state, &resource, &mut object, None, options.dry_run)?;
    if options.dry_run {
        return Ok(object);
    }
    let mut stored = convert::to_storage(&resource, object);
    state.store.put(&resource.storage, &key, &mut stored);
    after_write(state, &resource);
    Ok(convert::from_storage(&resource, stored))
}

fn generated_name(
    state: &mut State,
    resource: &Resource,
    namespace: Option<&str>,
    prefix: &str,
) -> String {
    // The server cuts the prefix so that the name has at most 63 characters.
    let mut end = prefix.len().min(58);
    while !prefix.is_char_boundary(end) {
        end -= 1;
    }
    let prefix = prefix.get(..end).unwrap_or_default();
    let mut name = String::new();
    // As often as the server tries.
    for _ in 0..8 {
        name = format!("{prefix}{}", state.random.suffix());
        if state
            .store
            .get(&resource.storage, &object_key(namespace, &name))
            .is_none()
        {
            break;
        }
    }
    name
}

/// What the NamespaceLifecycle plugin says about a new object.
pub(crate) fn admit_namespace(state: &State, call: &Call<'_>, object: &Value) -> ApiResult<()> {
    let Some(name) = call.namespace() else {
        return Ok(());
    };
    let Some(namespace) = state.namespace(name) else {
        return Err(ApiError::not_found("", "namespaces", name));
    };
    if namespace.pointer("/metadata/deletionTimestamp").is_none() {
        return Ok(());
    }
    let object_name = match (meta_text(object, "name"), meta_text(object, "generateName")) {
        ("", "") => "Unknown",
        ("", generate) => generate,
        (name, _) => name,
    };
    let mut error = ApiError::forbidden(
        &call.resource.group,
        &call.resource.plural,
        object_name,
        &format!("unable to create new content in namespace {name} because it is being terminated"),
    );
    if let Some(details) = &mut error.details {
        details["causes"] = json!([{
            "reason": "NamespaceTerminating",
            "message": format!("namespace {name} is being terminated"),
            "field": "metadata.namespace",
        }]);
    }
    Err(error)
}

/// The version that a body states; none and zero are the same.
pub(crate) fn stated_version(object: &Value) -> ApiResult<u64> {
    match meta_text(object, "resourceVersion") {
        "" => Ok(0),
        text => text.parse().map_err(|_| {
            ApiError::bare_internal(format!(
                "strconv.ParseUint: parsing {text:?}: invalid syntax"
            ))
        }),
    }
}

/// What a write goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Target {
    Main,
    Status,
    /// Another subresource that writes the whole object.
    Other(&'static str),
}

impl Target {
    pub(crate) fn subresource(self) -> &'static str {
        match self {
            Self::Main => "",
            Self::Status => "status",
            Self::Other(name) => name,
        }
    }
}

/// `PUT` of an object or its status.
pub(crate) fn update(state: &mut State, call: &mut Call<'_>, target: Target) -> ApiResult<Answer> {
    let options = WriteOptions::read(call.query, OptionsKind::Update, call.user_agent())?;
    let mut object = read_object(call, &options)?;
    call.settle_namespace(&mut object)?;
    call.check_name(&object)?;
    let resource = call.resource.clone();
    let Some(existing) = state.find(&resource, call.namespace(), call.name()) else {
        if target == Target::Main && strategy::create_on_update(&resource) {
            authorize_create(state, call)?;
            let created = create_object(state, call, &options, object, Ownership::Track)?;
            return Ok(Answer::Object {
                code: 201,
                object: created,
            });
        }
        return Err(call.not_found());
    };
    let live = state.load(&resource, &existing);
    let uid = meta_text(&object, "uid");
    if !uid.is_empty() && uid != meta_text(&live, "uid") {
        return Err(ApiError::conflict(
            &resource.group,
            &resource.plural,
            call.name(),
            &format!(
                "Precondition failed: UID in precondition: {uid}, UID in object meta: {}",
                meta_text(&live, "uid")
            ),
        ));
    }
    kinds::default(&resource, &mut object, Some(&live));
    object = ownership::track(
        call,
        target.subresource(),
        Some(&live),
        object,
        &options.manager,
    )?;
    let updated = store_update(state, call, &options, target, &existing, live, object)?;
    Ok(Answer::ok(updated))
}

fn authorize_create(state: &mut State, call: &Call<'_>) -> ApiResult<()> {
    let ask = Attributes {
        verb: "create".to_owned(),
        group: call.resource.group.clone(),
        resource: call.resource.plural.clone(),
        name: call.name().to_owned(),
        namespace: call
            .path
            .authorization_namespace()
            .unwrap_or_default()
            .to_owned(),
        ..Attributes::default()
    };
    super::server::authorize(state, call.user, &ask)
}

/// Writes `object` over the existing one: the part of an update that comes after the
/// new object is known and its fields are booked.
pub(crate) fn store_update(
    state: &mut State,
    call: &mut Call<'_>,
    options: &WriteOptions,
    target: Target,
    existing: &Arc<Stored>,
    live: Value,
    mut object: Value,
) -> ApiResult<Value> {
    let resource = call.resource.clone();
    let stated = stated_version(&object)?;
    if stated == 0 {
        if !strategy::unconditional_update(&resource) {
            let cause = Cause::invalid(
                "metadata.resourceVersion",
                &json!(0),
                "must be specified for an update",
            );
            return Err(ApiError::invalid(
                &resource.group,
                &resource.plural,
                call.name(),
                &[cause],
            ));
        }
        metadata_mut(&mut object).insert(
            "resourceVersion".to_owned(),
            json!(existing.resource_version.to_string()),
        );
    } else if stated != existing.resource_version {
        return Err(call.stale());
    }
    if target == Target::Main {
        kinds::admit(&resource, &mut object, Some(&live));
        review::check_escalation(state, call, &object)?;
    }
    keep_system_fields(&mut object, &live);
    let name = call.name().to_owned();
    if let Target::Other(sub @ ("ephemeralcontainers" | "resize")) = target {
        object = super::subresource::pod_part(sub, object, &live);
        strategy::next_generation(&mut object, &live);
    } else {
        kinds::prepare_update(&resource, &mut object, &live, target);
        let errors = kinds::validate_update(&resource, &object, &live, target);
        objects::check(&resource, &name, &errors)?;
    }
    if target == Target::Main {
        call.warnings
            .extend(kinds::warnings(&resource, &object, Some(&live)));
    }
    let key = object_key(call.namespace(), &name);

    if delete::emptied(&resource, &object, &live) {
        if !options.dry_run {
            delete::remove(state, &resource, call.namespace(), &key);
        }
        return Ok(object);
    }
    kinds::allocate(state, &resource, &mut object, Some(&live), options.dry_run)?;
    if ownership::unchanged(&live, &mut object) || options.dry_run {
        return Ok(object);
    }
    let mut stored = convert::to_storage(&resource, object);
    state.store.put(&resource.storage, &key, &mut stored);
    after_write(state, &resource);
    Ok(convert::from_storage(&resource, stored))
}

/// Puts back what a client can't change.
fn keep_system_fields(object: &mut Value, live: &Value) {
    let old = live
        .get("metadata")
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    let meta = metadata_mut(object);
    meta.remove("selfLink");
    for (key, always) in [
        ("generation", true),
        ("creationTimestamp", true),
        ("uid", false),
        ("deletionTimestamp", false),
        ("deletionGracePeriodSeconds", false),
    ] {
        match old.get(key) {
            Some(value) if always || key.starts_with("deletion") || !meta.contains_key(key) => {
                meta.insert(key.to_owned(), value.clone());
            }
            None if always => {
                meta.remove(key);
            }
            _ => {}
        }
    }
}

/// The server's own work after a write.
fn after_write(state: &mut State, resource: &Resource) {
    if resource.is("apiextensions.k8s.io", "customresourcedefinitions") {
        custom_objects::settle_definitions(state);
    }
}

/// `PATCH` of an object or its status.
pub(crate) fn patch(state: &mut State, call: &mut Call<'_>, target: Target) -> ApiResult<Answer> {
    let resource = call.resource.clone();
    let content_type = call.content_type().unwrap_or_default();
    if content_type == APPLY_PATCH {
        return apply(state, call, target);
    }
    check_patch_type(&resource, &content_type)?;
    let options = WriteOptions::read(call.query, OptionsKind::Patch, call.user_agent())?;
    let Some(existing) = state.find(&resource, call.namespace(), call.name()) else {
        return Err(call.not_found());
    };
    let live = state.load(&resource, &existing);
    let (patched, notes) = apply_patch(&resource, &content_type, call.body, &live)?;
    let mut read = objects::read_patched(&resource, patched)?;
    read.strict.splice(0..0, notes);
    let mut object = settle_patched(call, &options, read)?;
    kinds::default(&resource, &mut object, Some(&live));
    object = ownership::track(
        call,
        target.subresource(),
        Some(&live),
        object,
        &options.manager,
    )?;
    let updated = store_update(state, call, &options, target, &existing, live, object)?;
    Ok(Answer::ok(updated))
}

fn settle_patched(call: &mut Call<'_>, options: &WriteOptions, read: Read) -> ApiResult<Value> {
    let resource = call.resource.clone();
    objects::strict(
        &resource,
        &read,
        options.validation,
        &mut call.warnings,
        Origin::Patch,
    )?;
    let mut object = read.object;
    call.check_name(&object)?;
    call.settle_namespace(&mut object)?;
    Ok(object)
}

/// Refuses a patch of a type that the resource doesn't take.
pub(crate) fn check_patch_type(resource: &Resource, content_type: &str) -> ApiResult<()> {
    if resource.is_custom() {
        return match content_type {
            JSON_PATCH | MERGE_PATCH => Ok(()),
            _ => Err(ApiError::unsupported_body(
                "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml",
            )),
        };
    }
    match content_type {
        JSON_PATCH | MERGE_PATCH | STRATEGIC_PATCH => Ok(()),
        _ => {
            let mut error =
                ApiError::new(415, "UnsupportedMediaType", "415: Unsupported Media Type");
            error.details = Some(json!({}));
            Err(error)
        }
    }
}

/// Applies the patch in `body` to `live`, and says what is odd about it.
pub(crate) fn apply_patch(
    resource: &Resource,
    content_type: &str,
    body: &[u8],
    live: &Value,
) -> ApiResult<(Value, Vec<String>)> {
    let read = crate::kinds::decode_untyped(body)
        .map_err(|error| ApiError::bad_request(format!("error decoding patch: {error}")))?;
    let failed = |error: patch::PatchError| {
        let status = error.status();
        ApiError::new(status.code, status.reason, status.message)
    };
    let mut notes = read.strict;
    let patched = match content_type {
        JSON_PATCH => {
            notes = patch::json::unknown_fields(&read.object)
                .into_iter()
                .map(|name| {
                    if name.starts_with("unknown field") {
                        name
                    } else {
                        format!("json patch unknown field {name:?}")
                    }
                })
                .collect();
            patch::json::apply(live, &read.object).map_err(failed)?
        }
        MERGE_PATCH => patch::merge::apply(live, &read.object).map_err(failed)?,
        _ => ownership::strategic(resource, live, &read.object)?,
    };
    Ok((patched, notes))
}

/// A server-side apply.
fn apply(state: &mut State, call: &mut Call<'_>, target: Target) -> ApiResult<Answer> {
    let resource = call.resource.clone();
    let options = WriteOptions::read(call.query, OptionsKind::Apply, call.user_agent())?;
    let existing = state.find(&resource, call.namespace(), call.name());
    if existing.is_none() {
        if target != Target::Main {
            return Err(call.not_found());
        }
        authorize_create(state, call)?;
    }
    let applied = read_applied(call, &options)?;
    let live = existing
        .as_ref()
        .map(|stored| state.load(&resource, stored));
    let merged = ownership::apply(
        call,
        target.subresource(),
        live.as_ref(),
        &applied,
        &options,
    )?;
    match (existing, live) {
        (Some(existing), Some(live)) => {
            let mut object = merged;
            if stated_version(&applied)? == 0 {
                metadata_mut(&mut object).insert(
                    "resourceVersion".to_owned(),
                    json!(existing.resource_version.to_string()),
                );
            }
            let read = decode_merged(&resource, object)?;
            let mut object = read;
            kinds::default(&resource, &mut object, Some(&live));
            let updated = store_update(state, call, &options, target, &existing, live, object)?;
            Ok(Answer::ok(updated))
        }
        _ => {
            let mut object = decode_merged(&resource, merged)?;
            call.settle_namespace(&mut object)?;
            let meta = metadata_mut(&mut object);
            meta.insert("name".to_owned(), json!(call.path.name));
            meta.remove("resourceVersion");
            if !meta_text(&object, "uid").is_empty() {
                return Err(ApiError::conflict(
                    &resource.group,
                    &resource.plural,
                    call.name(),
                    &format!(
                        "uid mismatch: the provided object specified uid {}, and no existing object was found",
                        meta_text(&object, "uid")
                    ),
                ));
            }
            let created = create_object(state, call, &options, object, Ownership::Done)?;
            Ok(Answer::Object {
                code: 201,
                object: created,
            })
        }
    }
}

fn decode_merged(resource: &Resource, object: Value) -> ApiResult<Value> {
    Ok(objects::read_patched(resource, object)?.object)
}

/// Reads the body of an apply, and checks it as far as it can be without a live object.
pub(crate) fn read_applied(call: &mut Call<'_>, options: &WriteOptions) -> ApiResult<Value> {
    let body = super::yaml::to_json(call.body).map_err(|error| {
        ApiError::bad_request(format!("error decoding YAML: {}", error.message))
    })?;
    let read = crate::kinds::decode_untyped(&body.bytes)
        .map_err(|error| ApiError::bad_request(format!("error decoding YAML: {error}")))?;
    let mut applied = match read.object {
        Value::Null => json!({}),
        other @ Value::Object(_) => other,
        _ => {
            return Err(ApiError::bad_request(
                "error decoding YAML: error unmarshaling JSON: while decoding JSON: json: cannot unmarshal array into Go value of type map[string]interface {}",
            ));
        }
    };
    match options.validation {
        FieldValidation::Strict if !body.duplicates.is_empty() => {
            return Err(ApiError::bad_request(format!(
                "error strict decoding YAML: error converting YAML to JSON: {}",
                body.duplicates.join(", ")
            )));
        }
        FieldValidation::Warn => call.warnings.extend(body.duplicates),
        _ => {}
    }
    let text = |key: &str| {
        applied
            .get(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    if api_version != call.resource.api_version() || kind != call.resource.kind {
        let shown = if api_version.contains('/') || api_version.is_empty() && !kind.is_empty() {
            if api_version.is_empty() {
                "/".to_owned()
            } else {
                api_version
            }
        } else {
            format!("/{api_version}")
        };
        return Err(ApiError::bad_request(format!(
            "invalid object type: {shown}, Kind={kind}"
        )));
    }
    if applied
        .pointer("/metadata/managedFields")
        .is_some_and(|m| !m.is_null())
    {
        return Err(ApiError::bad_request("metadata.managedFields must be nil"));
    }
    if !meta_text(&applied, "name").is_empty() {
        call.check_name(&applied)?;
    }
    // Checked, but not filled in: what is applied stays as the client sent it.
    call.settle_namespace(&mut applied.clone())?;
    metadata_mut(&mut applied);
    Ok(applied)
}
