//! Ownership after a create, an update or a patch.

use std::borrow::Cow;
use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::Target;
use super::entries::{Entry, ManagedFields, Manager, Operation, put};
use super::error::ManagedError;
use super::update::{At, internal, reconcile_all, unowned, update};
use crate::schema::{TypeRef, is_native};
use crate::typed::{self, Duplicates};
use crate::value::Tree;

/// How many entries of updates an object keeps; older ones are put together.
const MAX_UPDATE_MANAGERS: usize = 10;

/// A write other than server-side apply.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Track<'a> {
    /// The object as it is stored; `None` for a create.
    pub live: Option<&'a Value>,
    /// The object as it is going to be stored, with the `managedFields` that the client
    /// sent.
    pub object: Value,
    /// The field manager: what the request names, or else the first part of its user
    /// agent. `unknown` if empty.
    pub manager: &'a str,
    /// The time of the write.
    pub time: Timestamp,
}

impl<'a> Track<'a> {
    /// A create.
    #[must_use]
    pub fn new(object: Value, manager: &'a str, time: Timestamp) -> Self {
        Self {
            live: None,
            object,
            manager,
            time,
        }
    }

    /// The same as a change of `live`.
    #[must_use]
    pub fn live(mut self, live: &'a Value) -> Self {
        self.live = Some(live);
        self
    }
}

/// The object with its `managedFields` after the write.
///
/// The writer's entry gets the fields that it added or changed, others lose them. What
/// the client sent as `managedFields` counts, if it can be read and is not empty: that
/// is how entries are edited by hand. A list that is empty, or holds one empty entry,
/// takes all entries away. Through a subresource nothing can be sent.
///
/// An object without any entry is not tracked again before it is applied.
///
/// An object that does not fit its type loses all entries: the API server doesn't refuse
/// it for that.
///
/// # Errors
///
/// [`ManagedError::Internal`] if the object is nested deeper than this crate reads.
pub fn track(target: &Target<'_>, request: Track<'_>) -> Result<Value, ManagedError> {
    let Track {
        live,
        mut object,
        manager,
        time,
    } = request;
    for value in live.into_iter().chain([&object]) {
        typed::deep_enough(value).map_err(|error| ManagedError::Internal(error.to_string()))?;
    }
    let sent = object
        .get_mut("metadata")
        .and_then(Value::as_object_mut)
        .and_then(|metadata| metadata.remove("managedFields"))
        .unwrap_or(Value::Null);
    let stored = live.map_or(&Value::Null, |live| &live["metadata"]["managedFields"]);
    let stored = || ManagedFields::read(stored).unwrap_or_default();
    let managed = if !target.subresource.is_empty() {
        stored()
    } else if is_reset(&sent) {
        ManagedFields::default()
    } else {
        match ManagedFields::read(&sent) {
            Ok(managed) if !managed.is_empty() => managed,
            _ => stored(),
        }
    };
    let exists = live.is_some_and(|live| {
        live["metadata"]["uid"]
            .as_str()
            .is_some_and(|uid| !uid.is_empty())
    });
    if managed.is_empty() && exists {
        return Ok(object);
    }
    let entries = match changed(target, live, &object, managed, manager, time) {
        Ok(entries) => entries,
        Err(_) => Value::Null,
    };
    put(&mut object, entries);
    Ok(object)
}

fn is_reset(managed: &Value) -> bool {
    match managed.as_array().map(Vec::as_slice) {
        Some([]) => true,
        Some([only]) => only.as_object().is_some_and(Map::is_empty),
        _ => false,
    }
}

fn changed(
    target: &Target<'_>,
    live: Option<&Value>,
    object: &Value,
    managed: ManagedFields<'_>,
    manager: &str,
    time: Timestamp,
) -> Result<Value, ManagedError> {
    let ty = target.ty()?;
    let empty;
    let live = match live {
        Some(live) => live,
        None => {
            empty = empty_object(target, ty);
            &empty
        }
    };
    for object in [live, object] {
        typed::validate_tree(&Tree::Ref(object), ty, Duplicates::Allowed)
            .map_err(|error| internal("failed to convert object to smd typed", error))?;
    }
    let old = At {
        tree: without_managed(live),
        ty,
    };
    let new = At {
        tree: Tree::Ref(object),
        ty,
    };
    let mut managed = managed;
    record(target, &old, &new, &mut managed, manager, time)?;
    cap(&mut managed);
    Ok(managed.to_value())
}

/// Gives the fields that were added or changed to the writer.
pub(super) fn record<'a>(
    target: &Target<'a>,
    old: &At<'a>,
    new: &At<'a>,
    managed: &mut ManagedFields<'a>,
    manager: &'a str,
    time: Timestamp,
) -> Result<(), ManagedError> {
    reconcile_all(target, old, managed)?;
    let comparison = update(target, old, new, managed, None, true)?;
    let set = comparison
        .modified
        .union(&comparison.added)
        .difference(unowned());
    if set.is_empty() {
        return Ok(());
    }
    let manager = Manager {
        name: Cow::Borrowed(if manager.is_empty() {
            "unknown"
        } else {
            manager
        }),
        operation: Operation::Update,
        api_version: target.api_version.clone(),
        subresource: target.subresource.clone(),
    };
    match managed.get_mut(&manager) {
        Some(entry) => {
            let all = set.union(&entry.fields);
            entry.set_fields(all);
            entry.set_time(Some(time));
        }
        None => managed.entries.push(Entry::new(
            manager,
            target.api_version.clone(),
            Some(time),
            set,
        )),
    }
    Ok(())
}

/// Puts the oldest entries of updates together until there are few enough.
fn cap(managed: &mut ManagedFields<'_>) {
    let mut updaters: Vec<(i64, String, Manager<'static>)> = managed
        .entries
        .iter()
        .filter(|entry| entry.manager.operation == Operation::Update)
        .map(|entry| {
            (
                entry.time.map_or(0, Timestamp::as_second),
                entry.manager.identifier(),
                entry.manager.clone().into_owned(),
            )
        })
        .collect();
    let mut count = updaters.len();
    if count <= MAX_UPDATE_MANAGERS {
        return;
    }
    updaters.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
    // The first entry seen of each version becomes the bucket for those that follow.
    let mut first_of: BTreeMap<String, Manager<'static>> = BTreeMap::new();
    for (_, _, manager) in updaters {
        if count <= MAX_UPDATE_MANAGERS {
            break;
        }
        let version = manager.api_version.clone().into_owned();
        let Some(first) = first_of.get(&version) else {
            first_of.insert(version, manager);
            continue;
        };
        let bucket = Manager {
            name: Cow::Borrowed("ancient-changes"),
            operation: Operation::Update,
            api_version: Cow::Owned(version.clone()),
            subresource: Cow::Borrowed(""),
        };
        if managed.get(&bucket).is_none()
            && let Some(entry) = managed.take(first)
        {
            managed.entries.push(Entry::new(
                bucket.clone(),
                entry.api_version,
                entry.time,
                entry.fields,
            ));
        }
        if let Some(entry) = managed.take(&manager)
            && let Some(place) = managed.get_mut(&bucket)
        {
            let all = entry.fields.union(&place.fields);
            place.set_fields(all);
            // The later of both times, since the oldest are taken first.
            place.set_time(entry.time);
            count -= 1;
        }
    }
}

/// The object without `metadata.managedFields`, sharing the rest.
pub(super) fn without_managed(object: &Value) -> Tree<'_> {
    let has = object["metadata"].get("managedFields").is_some();
    let (Some(members), true) = (object.as_object(), has) else {
        return Tree::Ref(object);
    };
    let mut out: Vec<(&str, Tree<'_>)> = members
        .iter()
        .map(|(name, member)| {
            let member = match member.as_object().filter(|_| name == "metadata") {
                Some(metadata) => {
                    let mut metadata: Vec<(&str, Tree<'_>)> = metadata
                        .iter()
                        .filter(|(name, _)| *name != "managedFields")
                        .map(|(name, member)| (name.as_str(), Tree::Ref(member)))
                        .collect();
                    metadata.sort_by_key(|(name, _)| *name);
                    Tree::Map(metadata)
                }
                None => Tree::Ref(member),
            };
            (name.as_str(), member)
        })
        .collect();
    out.sort_by_key(|(name, _)| *name);
    Tree::Map(out)
}

/// What the API server compares a new object with: an object of the kind with nothing
/// set. For a built-in kind that is the zero value of a Go struct, which has members:
/// they are not new when the object has them.
pub(super) fn empty_object(target: &Target<'_>, ty: TypeRef<'_>) -> Value {
    let mut object = match ty.name() {
        Some(name) if is_native(name) => zero(ty, 0),
        _ => Value::Object(Map::new()),
    };
    if let Some(members) = object.as_object_mut() {
        members.insert("apiVersion".to_owned(), Value::from(&*target.api_version));
        members.insert("kind".to_owned(), Value::from(&*target.kind));
    }
    object
}

/// Fields of which the schema doesn't say that Go writes their zero value as null: they
/// are lists without `omitempty`, or structs that write themselves. Of Kubernetes 1.36.
const NULL: &[(&str, &[&str])] = &[
    (
        "io.k8s.api.core.v1.Event",
        &["eventTime", "firstTimestamp", "lastTimestamp"],
    ),
    (
        "io.k8s.api.events.v1.Event",
        &["deprecatedFirstTimestamp", "deprecatedLastTimestamp"],
    ),
    ("io.k8s.api.apps.v1.ControllerRevision", &["data"]),
    (
        "io.k8s.api.autoscaling.v2.HorizontalPodAutoscalerStatus",
        &["currentMetrics"],
    ),
    ("io.k8s.api.rbac.v1.ClusterRole", &["rules"]),
    ("io.k8s.api.rbac.v1.Role", &["rules"]),
    (
        "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinitionStatus",
        &["conditions", "storedVersions"],
    ),
    (
        "io.k8s.api.discovery.v1.EndpointSlice",
        &["endpoints", "ports"],
    ),
    ("io.k8s.api.resource.v1.DeviceClaim", &["requests"]),
];

/// Fields that Go leaves out when they are empty, although the schema says that they are
/// required or have a default. Of Kubernetes 1.36.
const OMITTED: &[(&str, &[&str])] = &[
    (
        "io.k8s.api.core.v1.ReplicationControllerSpec",
        &["minReadySeconds"],
    ),
    ("io.k8s.api.authentication.v1.TokenReviewSpec", &["token"]),
    ("io.k8s.api.networking.v1.IPAddressSpec", &["parentRef"]),
    (
        "io.k8s.api.admissionregistration.v1.ValidatingAdmissionPolicyBindingSpec",
        &["policyName", "validationActions"],
    ),
];

fn exceptions(
    table: &[(&str, &'static [&'static str])],
    ty: TypeRef<'_>,
) -> &'static [&'static str] {
    let name = ty.name().unwrap_or_default();
    let found = table.iter().find(|(other, _)| *other == name);
    found.map_or(&[], |(_, fields)| fields)
}

/// The zero value of a struct, as JSON has it: a field that is left out when empty
/// states no default; one that isn't states its zero value, or must be given.
fn zero(ty: TypeRef<'_>, depth: usize) -> Value {
    let mut out = Map::new();
    let (null, omitted) = (exceptions(NULL, ty), exceptions(OMITTED, ty));
    for field in ty.fields() {
        if omitted.contains(&field.name()) {
            continue;
        }
        let value = match field.default() {
            Some(Value::Object(members)) if members.is_empty() && depth < 16 => {
                zero(field.ty(), depth + 1)
            }
            Some(Value::String(text)) if text.is_empty() => Value::from(""),
            Some(Value::Number(number)) if number.as_f64() == Some(0.0) => Value::from(0),
            Some(Value::Bool(false)) => Value::from(false),
            None if field.required() || null.contains(&field.name()) => Value::Null,
            _ => continue,
        };
        out.insert(field.name().to_owned(), value);
    }
    Value::Object(out)
}
