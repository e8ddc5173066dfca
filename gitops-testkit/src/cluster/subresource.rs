//! Subresources: status, scale, finalize, binding, eviction, tokens, logs.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::call::{Answer, Call, meta_text, metadata_mut};
use super::clock::seconds;
use super::delete;
use super::objects;
use super::options::{DeleteOptions, OptionsKind, WriteOptions};
use super::ownership;
use super::read;
use super::registry::{Builtins, Resource, StorageKey};
use super::request::ResourcePath;
use super::selectors::LabelSelector;
use super::state::State;
use super::status::{ApiError, ApiResult, Cause};
use super::token;
use super::write::{self, APPLY_PATCH, JSON_PATCH, MERGE_PATCH, Target, stated_version};

/// Whether a subresource takes more path behind it.
pub(crate) fn takes_path(path: &ResourcePath) -> bool {
    path.subresource.as_deref() == Some("proxy")
}

/// The answer to a request for a subresource.
pub(crate) fn answer(
    state: &mut State,
    call: &mut Call<'_>,
    sub: &str,
    verb: &str,
) -> ApiResult<Answer> {
    let resource = call.resource.clone();
    let Some(known) = resource.subresource(sub) else {
        // A custom resource answers as if the object were missing.
        return Err(if resource.is_custom() {
            call.not_found()
        } else {
            ApiError::no_such_path()
        });
    };
    if !known.verbs.iter().any(|v| v == verb) {
        if !resource.is_custom() {
            return Err(ApiError::method_not_allowed());
        }
        let name = super::status::qualified(&resource.group, &resource.plural);
        let mut error = ApiError::new(
            405,
            "MethodNotAllowed",
            format!("{verb} is not supported on resources of kind {name:?}"),
        );
        error.details = Some(json!({"group": resource.group, "kind": resource.plural}));
        return Err(error);
    }
    match (sub, verb) {
        ("status" | "resize" | "ephemeralcontainers" | "approval", "get") => read::get(state, call),
        ("status", "update") => write::update(state, call, Target::Status),
        ("status", "patch") => write::patch(state, call, Target::Status),
        ("finalize", _) => write::update(state, call, Target::Other("finalize")),
        ("resize", "update") => write::update(state, call, Target::Other("resize")),
        ("resize", _) => write::patch(state, call, Target::Other("resize")),
        ("ephemeralcontainers", "update") => {
            write::update(state, call, Target::Other("ephemeralcontainers"))
        }
        ("ephemeralcontainers", _) => {
            write::patch(state, call, Target::Other("ephemeralcontainers"))
        }
        ("approval", "update") => write::update(state, call, Target::Other("approval")),
        ("approval", _) => write::patch(state, call, Target::Other("approval")),
        ("scale", "get") => {
            let (_, live) = existing(state, call)?;
            Ok(Answer::ok(scale_of(&resource, &live, true)?))
        }
        ("scale", _) => write_scale(state, call, verb),
        ("binding", _) => bind(state, call),
        ("eviction", _) => evict(state, call),
        ("token", _) => token_request(state, call),
        ("log", _) => {
            existing(state, call)?;
            Ok(Answer::Text {
                code: 200,
                body: String::new(),
            })
        }
        _ => {
            existing(state, call)?;
            Err(ApiError::bad_request(format!(
                "{sub} needs a node, and a fake cluster has none"
            )))
        }
    }
}

fn existing(
    state: &State,
    call: &Call<'_>,
) -> ApiResult<(std::sync::Arc<super::store::Stored>, Value)> {
    let stored = state
        .find(&call.resource, call.namespace(), call.name())
        .ok_or_else(|| call.not_found())?;
    let live = state.load(&call.resource, &stored);
    Ok((stored, live))
}

fn at<'a>(object: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(object, |value, part| value.get(part))
}

fn set_at(object: &mut Value, path: &[String], value: Value) {
    let mut slot = object;
    for part in path {
        if !slot.is_object() {
            *slot = json!({});
        }
        slot = &mut slot[part.as_str()];
    }
    *slot = value;
}

fn words(path: &[&str]) -> Vec<String> {
    path.iter().map(|part| (*part).to_owned()).collect()
}

/// Where a scale reads and writes replicas.
fn replicas_path(resource: &Resource) -> Vec<String> {
    match resource.custom.as_ref().and_then(|c| c.scale.as_ref()) {
        Some(scale) => scale.spec_replicas.clone(),
        None => words(&["spec", "replicas"]),
    }
}

/// The scale of an object.
fn scale_of(resource: &Resource, object: &Value, strict: bool) -> ApiResult<Value> {
    let mut meta = Map::new();
    for key in [
        "name",
        "namespace",
        "uid",
        "resourceVersion",
        "creationTimestamp",
    ] {
        if let Some(value) = object["metadata"].get(key) {
            meta.insert(key.to_owned(), value.clone());
        }
    }
    let path = replicas_path(resource);
    let replicas = at(object, &path).and_then(Value::as_i64);
    let (status_path, selector) = match resource.custom.as_ref().and_then(|c| c.scale.as_ref()) {
        Some(scale) => {
            let selector = scale
                .selector
                .as_ref()
                .and_then(|path| at(object, path))
                .and_then(Value::as_str)
                .map(str::to_owned);
            (scale.status_replicas.clone(), selector)
        }
        None => {
            let selector = &object["spec"]["selector"];
            let text = if resource.is("", "replicationcontrollers") {
                LabelSelector::from_object(&json!({"matchLabels": selector})).to_string()
            } else {
                LabelSelector::from_object(selector).to_string()
            };
            (words(&["status", "replicas"]), Some(text))
        }
    };
    if resource.is_custom() && replicas.is_none() && strict {
        let why = format!(
            "the spec replicas field \".{}\" does not exist",
            path.join(".")
        );
        let mut error = ApiError::internal(format!("Internal error occurred: {why}"));
        error.details = Some(json!({"causes": [{"message": why}]}));
        return Err(error);
    }
    let mut scale = json!({
        "kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": meta,
        "spec": {},
        "status": {"replicas": at(object, &status_path).and_then(Value::as_i64).unwrap_or(0)},
    });
    if let Some(replicas) = replicas.filter(|r| *r != 0) {
        scale["spec"]["replicas"] = json!(replicas);
    }
    if let Some(selector) = selector.filter(|s| !s.is_empty()) {
        scale["status"]["selector"] = json!(selector);
    }
    Ok(scale)
}

/// `Scale`, as a resource of its own.
pub(crate) fn scale_resource() -> Resource {
    let mut found = Builtins::get()
        .find("apps", "v1", "deployments")
        .map(|resource| resource.as_ref().clone())
        .unwrap_or_else(bare_resource);
    "autoscaling".clone_into(&mut found.group);
    "Scale".clone_into(&mut found.kind);
    found.storage = StorageKey::new("", "");
    found.builtin = crate::kinds::Kind::lookup("autoscaling", "v1", "Scale");
    found
}

/// A resource of nothing, for kinds that are only sent.
fn bare_resource() -> Resource {
    Resource {
        group: String::new(),
        version: "v1".to_owned(),
        plural: String::new(),
        singular: String::new(),
        kind: String::new(),
        list_kind: String::new(),
        namespaced: true,
        verbs: Vec::new(),
        short_names: Vec::new(),
        categories: Vec::new(),
        subresources: Vec::new(),
        storage: StorageKey::new("", ""),
        builtin: None,
        custom: None,
    }
}

/// `PUT` and `PATCH` of a scale.
fn write_scale(state: &mut State, call: &mut Call<'_>, verb: &str) -> ApiResult<Answer> {
    let resource = call.resource.clone();
    let scale_type = scale_resource();
    let content_type = call.content_type().unwrap_or_default();
    let kind = match (verb, content_type.as_str()) {
        ("update", _) => OptionsKind::Update,
        (_, APPLY_PATCH) => OptionsKind::Apply,
        _ => OptionsKind::Patch,
    };
    let options = WriteOptions::read(call.query, kind, call.user_agent())?;
    let wanted = match kind {
        OptionsKind::Update => {
            let mut wanted = write::read_object_of(call, &scale_type, &options)?;
            call.settle_namespace(&mut wanted)?;
            call.check_name(&wanted)?;
            wanted
        }
        OptionsKind::Apply => {
            let (_, live) = existing(state, call)?;
            let shown = scale_of(&resource, &live, false)?;
            return apply_scale(state, call, &options, &scale_type, shown);
        }
        _ => {
            if resource.is_custom() && !matches!(content_type.as_str(), JSON_PATCH | MERGE_PATCH) {
                write::check_patch_type(&resource, &content_type)?;
            }
            let (_, live) = existing(state, call)?;
            let shown = scale_of(&resource, &live, false)?;
            let (patched, notes) =
                write::apply_patch(&scale_type, &content_type, call.body, &shown)?;
            let mut read = objects::read_patched(&scale_type, patched)?;
            read.strict.splice(0..0, notes);
            objects::strict(
                &scale_type,
                &read,
                options.validation,
                &mut call.warnings,
                objects::Origin::Patch,
            )?;
            read.object
        }
    };
    store_scale(state, call, &options, &wanted)
}

fn apply_scale(
    state: &mut State,
    call: &mut Call<'_>,
    options: &WriteOptions,
    scale_type: &Resource,
    shown: Value,
) -> ApiResult<Answer> {
    let shared = std::sync::Arc::new(scale_type.clone());
    let real = std::mem::replace(&mut call.resource, shared);
    let applied = write::read_applied(call, options);
    call.resource = real;
    let applied = applied?;
    let (stored, live) = existing(state, call)?;
    let merged = ownership::apply_scale(call, &live, &shown, &applied, options)?;
    let mut object = live.clone();
    let path = replicas_path(&call.resource);
    if let Some(replicas) = merged.replicas {
        set_at(&mut object, &path, json!(replicas));
    }
    set_entries(&mut object, merged.entries);
    let updated = write::store_update(state, call, options, Target::Main, &stored, live, object)?;
    Ok(Answer::ok(scale_of(
        &call.resource.clone(),
        &updated,
        false,
    )?))
}

fn set_entries(object: &mut Value, entries: Option<Value>) {
    match entries {
        Some(entries) => metadata_mut(object).insert("managedFields".to_owned(), entries),
        None => metadata_mut(object).remove("managedFields"),
    };
}

/// Writes the replicas of a scale into its object.
fn store_scale(
    state: &mut State,
    call: &mut Call<'_>,
    options: &WriteOptions,
    wanted: &Value,
) -> ApiResult<Answer> {
    let resource = call.resource.clone();
    let (stored, live) = existing(state, call)?;
    let replicas = wanted
        .pointer("/spec/replicas")
        .and_then(Value::as_i64)
        .unwrap_or(0);
    if replicas < 0 && resource.is_custom() {
        let path = format!(".{}", replicas_path(&resource).join("."));
        let cause = Cause::invalid(path, &json!(replicas), "should be a non-negative integer");
        return Err(ApiError::invalid(
            &resource.group,
            &resource.kind,
            call.name(),
            &[cause],
        ));
    }
    if replicas < 0 {
        let cause = Cause::invalid(
            "spec.replicas",
            &json!(replicas),
            "must be greater than or equal to 0",
        );
        return Err(ApiError::invalid(
            "autoscaling",
            "Scale",
            call.name(),
            &[cause],
        ));
    }
    let stated = stated_version(wanted)?;
    if stated != 0 && stated != stored.resource_version {
        return Err(call.stale());
    }
    let uid = meta_text(wanted, "uid");
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
    let shown = scale_of(&resource, &live, false)?;
    let booked = ownership::track_scale(call, &live, &shown, wanted.clone(), &options.manager)?;
    let mut object = live.clone();
    set_at(&mut object, &replicas_path(&resource), json!(replicas));
    set_entries(&mut object, booked.entries);
    let updated = write::store_update(state, call, options, Target::Main, &stored, live, object)?;
    Ok(Answer::ok(scale_of(&resource, &updated, false)?))
}

/// Reads the body of a request to a subresource of another kind.
fn other_body(call: &Call<'_>, kind: &str) -> ApiResult<Value> {
    let body = write::json_body(call)?;
    let read = crate::kinds::decode_untyped(&body.bytes).map_err(|error| {
        ApiError::bad_request(format!(
            "the object provided is unrecognized (must be of type {kind}): {error}"
        ))
    })?;
    let given = read
        .object
        .get("kind")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if !given.is_empty() && given != kind {
        let version = read
            .object
            .get("apiVersion")
            .and_then(Value::as_str)
            .unwrap_or_default();
        return Err(objects::cannot_be_handled(
            given,
            version,
            kind,
            "unknown conversion",
        ));
    }
    Ok(read.object)
}

fn created() -> Answer {
    Answer::Object {
        code: 201,
        object: json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}),
    }
}

/// `POST` of a pod's binding: the scheduler's verdict.
fn bind(state: &mut State, call: &mut Call<'_>) -> ApiResult<Answer> {
    let options = WriteOptions::read(call.query, OptionsKind::Create, call.user_agent())?;
    let binding = other_body(call, "Binding")?;
    let name = meta_text(&binding, "name");
    if !name.is_empty() && name != call.name() {
        return Err(ApiError::bad_request(
            "name in URL does not match name in Binding object",
        ));
    }
    let node = binding
        .pointer("/target/name")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if node.is_empty() {
        let cause = Cause::required("target.name", "");
        return Err(ApiError::invalid("", "Binding", call.name(), &[cause]));
    }
    let (_, mut pod) = existing(state, call)?;
    let conflict = |why: String| Err(ApiError::conflict("", "pods/binding", call.name(), &why));
    if !meta_text(&pod, "deletionTimestamp").is_empty() {
        return conflict(format!(
            "pod {} is being deleted, cannot be assigned to a host",
            call.name()
        ));
    }
    let current = pod
        .pointer("/spec/nodeName")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if !current.is_empty() {
        return conflict(format!(
            "pod {} is already assigned to node {current:?}",
            call.name()
        ));
    }
    pod["spec"]["nodeName"] = json!(node);
    if let Some(annotations) = binding
        .pointer("/metadata/annotations")
        .and_then(Value::as_object)
    {
        let meta = metadata_mut(&mut pod);
        let slot = meta.entry("annotations").or_insert_with(|| json!({}));
        if let Some(map) = slot.as_object_mut() {
            map.extend(annotations.clone());
        }
    }
    custom_condition(&mut pod, "PodScheduled", "True", call.now);
    if !options.dry_run {
        put(state, call, pod);
    }
    Ok(created())
}

fn custom_condition(pod: &mut Value, kind: &str, status: &str, now: Timestamp) {
    let conditions = &mut pod["status"]["conditions"];
    if !conditions.is_array() {
        *conditions = json!([]);
    }
    if let Some(list) = conditions.as_array_mut() {
        list.retain(|c| c["type"] != kind);
        list.push(json!({"type": kind, "status": status, "lastProbeTime": null, "lastTransitionTime": seconds(now)}));
    }
}

fn put(state: &mut State, call: &Call<'_>, object: Value) {
    let mut stored = super::convert::to_storage(&call.resource, object);
    let key = super::store::object_key(call.namespace(), call.name());
    state.store.put(&call.resource.storage, &key, &mut stored);
}

/// `POST` of a pod's eviction: a delete that budgets may refuse.
fn evict(state: &mut State, call: &mut Call<'_>) -> ApiResult<Answer> {
    let eviction = other_body(call, "Eviction")?;
    let name = meta_text(&eviction, "name");
    if !name.is_empty() && name != call.name() {
        return Err(ApiError::bad_request(
            "name in URL does not match name in Eviction object",
        ));
    }
    let query_dry_run =
        WriteOptions::read(call.query, OptionsKind::Create, call.user_agent())?.dry_run;
    let mut options = DeleteOptions::read(
        call.query,
        Some(eviction.get("deleteOptions").unwrap_or(&Value::Null)),
    )?;
    options.dry_run |= query_dry_run;
    let (_, pod) = existing(state, call)?;
    let phase = pod
        .pointer("/status/phase")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let exempt = matches!(phase, "Succeeded" | "Failed" | "Pending")
        || !meta_text(&pod, "deletionTimestamp").is_empty();
    if !exempt {
        check_budget(state, call, &pod, options.dry_run)?;
    }
    let resource = call.resource.clone();
    if !exempt && !options.dry_run {
        // Why the pod goes is said before it does.
        let mut told = pod.clone();
        custom_condition(&mut told, "DisruptionTarget", "True", call.now);
        if let Some(condition) = told["status"]["conditions"]
            .as_array_mut()
            .and_then(|list| list.last_mut())
        {
            condition["reason"] = json!("EvictionByEvictionAPI");
            condition["message"] = json!("Eviction API: evicting");
        }
        put(state, call, told);
    }
    delete::delete_with(
        state,
        &resource,
        call.namespace(),
        call.name(),
        &options,
        call.now,
    )?;
    Ok(created())
}

fn check_budget(state: &mut State, call: &Call<'_>, pod: &Value, dry_run: bool) -> ApiResult<()> {
    let key = StorageKey::new("policy", "poddisruptionbudgets");
    let budgets: Vec<(String, Value)> = state
        .store
        .list(&key, call.namespace())
        .into_iter()
        .map(|(key, stored)| (key.to_string(), stored.value()))
        .filter(|(_, budget)| {
            let selector = &budget["spec"]["selector"];
            !selector.is_null()
                && LabelSelector::from_object(selector).matches(pod.pointer("/metadata/labels"))
        })
        .collect();
    if budgets.len() > 1 {
        return Err(ApiError::internal(
            "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
        ));
    }
    let Some((budget_key, mut budget)) = budgets.into_iter().next() else {
        return Ok(());
    };
    let name = meta_text(&budget, "name").to_owned();
    let number = |path: &str| budget.pointer(path).and_then(Value::as_i64).unwrap_or(0);
    let too_many = |message: &str, cause: Value, retry: Option<u32>| {
        let mut error = ApiError::new(429, "TooManyRequests", message);
        let mut details = json!({"causes": [cause]});
        if let Some(retry) = retry {
            details["retryAfterSeconds"] = json!(retry);
        }
        error.details = Some(details);
        error.retry_after = retry;
        error
    };
    if number("/status/observedGeneration") < number("/metadata/generation") {
        return Err(too_many(
            "Cannot evict pod as it would violate the pod's disruption budget.",
            json!({"reason": "DisruptionBudget", "message": format!("The disruption budget {name} is still being processed by the server.")}),
            Some(10),
        ));
    }
    let allowed = number("/status/disruptionsAllowed");
    if allowed <= 0 {
        let message = format!(
            "The disruption budget {name} needs {} healthy pods and has {} currently",
            number("/status/desiredHealthy"),
            number("/status/currentHealthy")
        );
        return Err(too_many(
            "Cannot evict pod as it would violate the pod's disruption budget.",
            json!({"reason": "DisruptionBudget", "message": message}),
            None,
        ));
    }
    if !dry_run {
        let before = with_type(&budget);
        budget["status"]["disruptionsAllowed"] = json!(allowed - 1);
        budget["status"]["disruptedPods"][call.name()] = json!(seconds(call.now));
        if allowed == 1 {
            let observed = budget["metadata"]["generation"].clone();
            super::custom_objects::set_condition(
                &mut budget,
                "DisruptionAllowed",
                "False",
                "InsufficientPods",
                "",
                call.now,
            );
            for condition in budget["status"]["conditions"]
                .as_array_mut()
                .into_iter()
                .flatten()
            {
                if condition["type"] == "DisruptionAllowed" {
                    condition["observedGeneration"] = observed.clone();
                }
            }
        }
        let resource = Builtins::get()
            .find("policy", "v1", "poddisruptionbudgets")
            .cloned();
        if let Some(resource) = resource {
            let booked = ownership::track_own(
                &resource,
                "status",
                &before,
                with_type(&budget),
                ownership::OWN_MANAGER,
                call.now,
            )?;
            let mut stored = super::convert::to_storage(&resource, booked);
            state.store.put(&key, &budget_key, &mut stored);
        }
    }
    Ok(())
}

fn with_type(budget: &Value) -> Value {
    let mut budget = budget.clone();
    budget["apiVersion"] = json!("policy/v1");
    budget["kind"] = json!("PodDisruptionBudget");
    budget
}

/// `POST` of a service account's token.
fn token_request(state: &mut State, call: &mut Call<'_>) -> ApiResult<Answer> {
    let options = WriteOptions::read(call.query, OptionsKind::Create, call.user_agent())?;
    let mut resource = bare_resource();
    "authentication.k8s.io".clone_into(&mut resource.group);
    "TokenRequest".clone_into(&mut resource.kind);
    resource.builtin = crate::kinds::Kind::lookup("authentication.k8s.io", "v1", "TokenRequest");
    let mut request = write::read_object_of(call, &resource, &options)?;
    let (_, account) = existing(state, call)?;
    let expiration = request
        .pointer("/spec/expirationSeconds")
        .and_then(Value::as_i64)
        .unwrap_or(3600);
    let invalid = |why: &str| {
        let cause = Cause::invalid("spec.expirationSeconds", &json!(expiration), why);
        Err(ApiError::invalid(
            "authentication.k8s.io",
            "TokenRequest",
            "",
            &[cause],
        ))
    };
    if expiration < 600 {
        return invalid("may not specify a duration less than 10 minutes");
    }
    if expiration > 1 << 32 {
        return invalid("may not specify a duration larger than 2^32 seconds");
    }
    let given = request
        .pointer("/spec/audiences")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    let mut audiences: Vec<String> = given
        .iter()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect();
    if audiences.is_empty() {
        audiences.push("https://kubernetes.default.svc".to_owned());
    }
    let expires = call
        .now
        .checked_add(SignedDuration::from_secs(expiration))
        .unwrap_or(call.now);
    let issued = token::issue(
        state,
        &token::Claims {
            namespace: call.namespace().unwrap_or_default(),
            name: call.name(),
            uid: meta_text(&account, "uid"),
            audiences: &audiences,
            issued: call.now,
            expires,
        },
    );
    call.settle_namespace(&mut request)?;
    let mut request = ownership::track_as(call, &resource, "token", request, &options.manager)?;
    let meta = metadata_mut(&mut request);
    for key in ["name", "namespace", "uid", "creationTimestamp"] {
        if let Some(value) = account["metadata"].get(key) {
            meta.insert(key.to_owned(), value.clone());
        }
    }
    meta.insert("creationTimestamp".to_owned(), json!(seconds(call.now)));
    meta.insert("uid".to_owned(), account["metadata"]["uid"].clone());
    request["spec"]["audiences"] = json!(audiences);
    request["spec"]["expirationSeconds"] = json!(expiration);
    if request["spec"].get("boundObjectRef").is_none() {
        request["spec"]["boundObjectRef"] = Value::Null;
    }
    request["status"] = json!({"token": issued, "expirationTimestamp": seconds(expires)});
    Ok(Answer::Object {
        code: 201,
        object: request,
    })
}

/// The live pod with the part of `wanted` that a subresource may change.
pub(crate) fn pod_part(sub: &str, wanted: Value, live: &Value) -> Value {
    let mut pod = live.clone();
    for key in ["managedFields", "resourceVersion"] {
        super::kinds_of::copy_member(&mut pod["metadata"], &wanted["metadata"], key);
    }
    if sub == "ephemeralcontainers" {
        super::kinds_of::copy_member(&mut pod["spec"], &wanted["spec"], "ephemeralContainers");
        for container in pod["spec"]["ephemeralContainers"]
            .as_array_mut()
            .into_iter()
            .flatten()
        {
            if let Some(map) = container.as_object_mut() {
                map.entry("resources").or_insert_with(|| json!({}));
                map.entry("terminationMessagePath")
                    .or_insert_with(|| json!("/dev/termination-log"));
                map.entry("terminationMessagePolicy")
                    .or_insert_with(|| json!("File"));
                map.entry("imagePullPolicy")
                    .or_insert_with(|| json!("IfNotPresent"));
            }
        }
        return pod;
    }
    for list in ["containers", "initContainers"] {
        for container in pod["spec"][list].as_array_mut().into_iter().flatten() {
            let same = wanted["spec"][list]
                .as_array()
                .into_iter()
                .flatten()
                .find(|c| c["name"] == container["name"]);
            if let Some(same) = same {
                for key in ["resources", "resizePolicy"] {
                    super::kinds_of::copy_member(container, same, key);
                }
            }
        }
    }
    pod
}
