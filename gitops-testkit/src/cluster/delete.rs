//! Deletion: preconditions, finalizers, grace periods, collections, namespaces.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::call::{Answer, Call, finalizers, meta_text, metadata_mut};
use super::clock::seconds;
use super::convert;
use super::custom_objects;
use super::options::DeleteOptions;
use super::read;
use super::registry::Resource;
use super::state::State;
use super::status::{ApiError, ApiResult, qualified};
use super::store::object_key;
use super::strategy;

/// What became of an object.
enum Outcome {
    /// It is gone; this was its last state.
    Gone(Value),
    /// It is still there, in this state.
    Kept(Value),
}

/// `DELETE` of an object.
pub(crate) fn delete(state: &mut State, call: &mut Call<'_>) -> ApiResult<Answer> {
    let options = read_options(call)?;
    let resource = call.resource.clone();
    let outcome = delete_one(
        state,
        &resource,
        call.namespace(),
        call.name(),
        &options,
        call.now,
    )?;
    let code = match &outcome {
        Outcome::Kept(_) if options.orphan_dependents == Some(false) => 202,
        _ => 200,
    };
    let object = match outcome {
        Outcome::Kept(object) => object,
        Outcome::Gone(object) if strategy::returns_deleted(&resource) => object,
        Outcome::Gone(object) => success(&resource, call.name(), meta_text(&object, "uid")),
    };
    Ok(Answer::Object { code, object })
}

fn success(resource: &Resource, name: &str, uid: &str) -> Value {
    let mut details = json!({"name": name, "kind": resource.plural, "uid": uid});
    if !resource.group.is_empty() {
        details["group"] = json!(resource.group);
    }
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details,
    })
}

/// Reads the options from the body or the query.
fn read_options(call: &Call<'_>) -> ApiResult<DeleteOptions> {
    if call.body.is_empty() {
        return DeleteOptions::read(call.query, None);
    }
    let body = super::write::json_body(call)?;
    let read = crate::kinds::decode_untyped(&body.bytes).map_err(|error| {
        ApiError::bad_request(format!(
            "couldn't get version/kind; json parse error: {error}"
        ))
    })?;
    let kind = read
        .object
        .get("kind")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if !kind.is_empty() && kind != "DeleteOptions" {
        let version = read
            .object
            .get("apiVersion")
            .and_then(Value::as_str)
            .unwrap_or_default();
        return Err(ApiError::bad_request(format!(
            "no kind {kind:?} is registered for version {version:?} in scheme \"k8s.io/apimachinery/pkg/apis/meta/internalversion/scheme/register.go:27\""
        )));
    }
    DeleteOptions::read(call.query, Some(&read.object))
}

fn check_preconditions(
    resource: &Resource,
    name: &str,
    object: &Value,
    options: &DeleteOptions,
) -> ApiResult<()> {
    let conflict = |why: String| {
        Err(ApiError::conflict(
            &resource.group,
            &resource.kind,
            name,
            &why,
        ))
    };
    let uid = meta_text(object, "uid");
    if let Some(wanted) = options.uid.as_deref().filter(|wanted| *wanted != uid) {
        return conflict(format!(
            "the UID in the precondition ({wanted}) does not match the UID in record ({uid}). The object might have been deleted and then recreated"
        ));
    }
    let version = meta_text(object, "resourceVersion");
    if let Some(wanted) = options
        .resource_version
        .as_deref()
        .filter(|wanted| *wanted != version)
    {
        return conflict(format!(
            "the ResourceVersion in the precondition ({wanted}) does not match the ResourceVersion in record ({version}). The object might have been modified"
        ));
    }
    Ok(())
}

fn set_finalizers(object: &mut Value, finalizers: &[String]) {
    let meta = metadata_mut(object);
    if finalizers.is_empty() {
        meta.remove("finalizers");
    } else {
        meta.insert("finalizers".to_owned(), json!(finalizers));
    }
}

/// Marks `object` as terminating, if it isn't yet.
fn mark(object: &mut Value, now: Timestamp) {
    if meta_text(object, "deletionTimestamp").is_empty() {
        strategy::deletion_generation(object);
        metadata_mut(object).insert("deletionTimestamp".to_owned(), json!(seconds(now)));
    }
    metadata_mut(object).insert("deletionGracePeriodSeconds".to_owned(), json!(0));
}

/// How long a pod may take to end, as the request and the pod say.
fn pod_grace(pod: &Value, options: &DeleteOptions) -> i64 {
    let mut period = options
        .grace_period
        .or_else(|| {
            pod.pointer("/spec/terminationGracePeriodSeconds")
                .and_then(Value::as_i64)
        })
        .unwrap_or(0);
    // A pod that no node runs, or that has ended, goes at once.
    let assigned = !pod
        .pointer("/spec/nodeName")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .is_empty();
    let phase = pod
        .pointer("/status/phase")
        .and_then(Value::as_str)
        .unwrap_or_default();
    if !assigned || matches!(phase, "Failed" | "Succeeded") {
        period = 0;
    }
    period.max(0)
}

fn delete_one(
    state: &mut State,
    resource: &Resource,
    namespace: Option<&str>,
    name: &str,
    options: &DeleteOptions,
    now: Timestamp,
) -> ApiResult<Outcome> {
    let Some(stored) = state.find(resource, namespace, name) else {
        return Err(ApiError::not_found(&resource.group, &resource.plural, name));
    };
    let live = state.load(resource, &stored);
    if resource.is("", "namespaces") {
        return delete_namespace(state, resource, name, live, options, now);
    }
    if resource.is("apiextensions.k8s.io", "customresourcedefinitions") {
        check_preconditions(resource, name, &live, options)?;
        return Ok(delete_definition(state, resource, name, live, options, now));
    }
    check_preconditions(resource, name, &live, options)?;
    let key = object_key(namespace, name);
    let mut object = live.clone();

    let mut graceful = false;
    let mut last_grace = 0;
    if resource.is("", "pods") {
        let pending = live
            .pointer("/metadata/deletionGracePeriodSeconds")
            .and_then(Value::as_i64);
        if meta_text(&live, "deletionTimestamp").is_empty() {
            graceful = true;
            last_grace = pod_grace(&live, options);
            strategy::deletion_generation(&mut object);
            let ends = now
                .checked_add(SignedDuration::from_secs(last_grace))
                .unwrap_or(now);
            let meta = metadata_mut(&mut object);
            meta.insert("deletionTimestamp".to_owned(), json!(seconds(ends)));
            meta.insert("deletionGracePeriodSeconds".to_owned(), json!(last_grace));
        } else if let Some(pending) = pending {
            // Only a shorter period counts.
            match options.grace_period {
                Some(period) if period < pending => {
                    graceful = true;
                    last_grace = period;
                    let meta = metadata_mut(&mut object);
                    if let Some(ends) = meta
                        .get("deletionTimestamp")
                        .and_then(Value::as_str)
                        .and_then(|t| t.parse::<Timestamp>().ok())
                    {
                        let ends = ends
                            .checked_sub(SignedDuration::from_secs(pending - period))
                            .unwrap_or(ends);
                        meta.insert("deletionTimestamp".to_owned(), json!(seconds(ends)));
                    }
                    meta.insert("deletionGracePeriodSeconds".to_owned(), json!(period));
                }
                _ => return Ok(Outcome::Kept(live)),
            }
        }
    }

    let had = finalizers(&live);
    let wanted = options.finalizers(&had, strategy::orphans_by_default(resource));
    let regroup = {
        let (mut a, mut b) = (had.clone(), wanted.clone());
        a.sort();
        b.sort();
        a != b
    };
    if graceful || !had.is_empty() || regroup {
        if regroup {
            set_finalizers(&mut object, &wanted);
        }
        let pending = !finalizers(&object).is_empty();
        if !graceful && pending {
            mark(&mut object, now);
        }
        object = if object == live || options.dry_run {
            object
        } else {
            let mut stored = convert::to_storage(resource, object);
            state.store.put(&resource.storage, &key, &mut stored);
            convert::from_storage(resource, stored)
        };
        if pending || last_grace > 0 {
            return Ok(Outcome::Kept(object));
        }
        if options.dry_run {
            return Ok(Outcome::Gone(object));
        }
    } else if options.dry_run {
        return Ok(Outcome::Gone(object));
    }
    let last = remove(state, resource, namespace, &key).unwrap_or(object);
    Ok(Outcome::Gone(last))
}

/// Takes an object out of the store.
pub(crate) fn remove(
    state: &mut State,
    resource: &Resource,
    _namespace: Option<&str>,
    key: &str,
) -> Option<Value> {
    let last = state.store.delete(&resource.storage, key)?;
    if resource.is("", "services") {
        crate::kinds::release(&last, &mut state.allocator);
    }
    if resource.is_custom() || resource.is("apiextensions.k8s.io", "customresourcedefinitions") {
        custom_objects::settle_definitions(state);
    }
    Some(convert::from_storage(resource, last))
}

/// Whether an update took the last finalizer off an object that is being deleted.
pub(crate) fn emptied(resource: &Resource, new: &Value, old: &Value) -> bool {
    if !finalizers(new).is_empty() || meta_text(old, "deletionTimestamp").is_empty() {
        return false;
    }
    if resource.is("", "namespaces") {
        return spec_finalizers(new).is_empty();
    }
    old.pointer("/metadata/deletionGracePeriodSeconds")
        .and_then(Value::as_i64)
        == Some(0)
}

fn spec_finalizers(namespace: &Value) -> Vec<Value> {
    namespace
        .pointer("/spec/finalizers")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default()
}

fn delete_namespace(
    state: &mut State,
    resource: &Resource,
    name: &str,
    live: Value,
    options: &DeleteOptions,
    now: Timestamp,
) -> ApiResult<Outcome> {
    if matches!(name, "default" | "kube-system" | "kube-public") {
        return Err(ApiError::forbidden(
            "",
            "namespaces",
            name,
            "this namespace may not be deleted",
        ));
    }
    for (what, key, wanted) in [
        ("UID", "uid", &options.uid),
        (
            "ResourceVersion",
            "resourceVersion",
            &options.resource_version,
        ),
    ] {
        let found = meta_text(&live, key);
        if let Some(wanted) = wanted.as_deref().filter(|wanted| *wanted != found) {
            return Err(ApiError::conflict(
                "",
                "namespaces",
                name,
                &format!(
                    "Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {found}"
                ),
            ));
        }
    }
    if !meta_text(&live, "deletionTimestamp").is_empty()
        && spec_finalizers(&live).is_empty()
        && finalizers(&live).is_empty()
    {
        if options.dry_run {
            return Ok(Outcome::Gone(live));
        }
        let last = remove(state, resource, None, name).unwrap_or(live);
        return Ok(Outcome::Gone(last));
    }
    if !meta_text(&live, "deletionTimestamp").is_empty() {
        return Ok(Outcome::Kept(live));
    }
    let mut object = live.clone();
    metadata_mut(&mut object).insert("deletionTimestamp".to_owned(), json!(seconds(now)));
    object["status"]["phase"] = json!("Terminating");
    let wanted = options.finalizers(&finalizers(&live), false);
    set_finalizers(&mut object, &wanted);
    if options.dry_run {
        return Ok(Outcome::Kept(object));
    }
    let mut stored = convert::to_storage(resource, object);
    state.store.put(&resource.storage, name, &mut stored);
    Ok(Outcome::Kept(convert::from_storage(resource, stored)))
}

/// A definition goes when its objects are gone: the server deletes them.
fn delete_definition(
    state: &mut State,
    resource: &Resource,
    name: &str,
    live: Value,
    options: &DeleteOptions,
    now: Timestamp,
) -> Outcome {
    let mut object = live;
    let mut wanted = options.finalizers(&finalizers(&object), false);
    let cleanup = custom_objects::CLEANUP_FINALIZER;
    if meta_text(&object, "deletionTimestamp").is_empty() {
        if !wanted.iter().any(|f| f == cleanup) {
            wanted.push(cleanup.to_owned());
        }
        mark(&mut object, now);
        custom_objects::set_condition(
            &mut object,
            "Terminating",
            "True",
            "InstanceDeletionPending",
            "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon",
            now,
        );
    }
    set_finalizers(&mut object, &wanted);
    if options.dry_run {
        return Outcome::Kept(object);
    }
    let mut stored = convert::to_storage(resource, object);
    state.store.put(&resource.storage, name, &mut stored);
    let shown = convert::from_storage(resource, stored);
    state.refresh_customs();
    custom_objects::delete_instances(state, name, now);
    custom_objects::settle_definitions(state);
    Outcome::Kept(shown)
}

/// `DELETE` of a collection.
pub(crate) fn delete_collection(state: &mut State, call: &mut Call<'_>) -> ApiResult<Answer> {
    let options = read_options(call)?;
    let resource = call.resource.clone();
    let selection = read::Selection::read(call)?;
    let items: Vec<Value> = state
        .store
        .list(&resource.storage, call.namespace())
        .into_iter()
        .map(|(_, stored)| state.load(&resource, stored))
        .filter(|object| selection.matches(object))
        .collect();
    for item in &items {
        let namespace = match meta_text(item, "namespace") {
            "" => None,
            namespace => Some(namespace),
        };
        let _ = delete_one(
            state,
            &resource,
            namespace,
            meta_text(item, "name"),
            &options,
            call.now,
        )?;
    }
    read::list_answer(state, call, items, &read::Page::default())
}

/// Deletes an object for another handler.
pub(crate) fn delete_with(
    state: &mut State,
    resource: &Resource,
    namespace: Option<&str>,
    name: &str,
    options: &DeleteOptions,
    now: Timestamp,
) -> ApiResult<()> {
    delete_one(state, resource, namespace, name, options, now).map(|_| ())
}

/// Deletes an object as the server itself does, without options.
pub(crate) fn delete_quietly(
    state: &mut State,
    resource: &Resource,
    namespace: Option<&str>,
    name: &str,
    options: &DeleteOptions,
    now: Timestamp,
) -> bool {
    match delete_one(state, resource, namespace, name, options, now) {
        Ok(_) => true,
        Err(error) => {
            tracing::debug!(
                resource = qualified(&resource.group, &resource.plural),
                name,
                error = error.message,
                "not deleted"
            );
            false
        }
    }
}
