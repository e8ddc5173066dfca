//! Field ownership: server-side apply, and what is booked after every other write. The
//! rules are those of `gitops_diff::managed`; here they meet the cluster's resources.

use gitops_core::{FieldPath, PathElement};
use gitops_diff::managed::{
    self, Apply, ManagedError, ReplicasPaths, Target, Track, Versions, from_scale, reset_fields,
    to_scale,
};
use gitops_diff::patch::strategic::{self, PatchField, PatchSchema, PatchStrategy};
use gitops_diff::schema::{Schema, TypeRef};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::call::Call;
use super::convert;
use super::custom::ScalePaths;
use super::options::WriteOptions;
use super::registry::{Builtins, Resource};
use super::status::{ApiError, ApiResult};

/// A resource in all the versions in which it is served.
struct Served<'a>(&'a Resource);

impl Served<'_> {
    fn other(&self, api_version: &str) -> Option<&'static Resource> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let found = Builtins::get().find(group, version, &self.0.plural)?;
        (found.storage == self.0.storage).then_some(found.as_ref())
    }
}

impl Versions for Served<'_> {
    fn type_at(&self, api_version: &str) -> Option<TypeRef<'_>> {
        if let Some(custom) = &self.0.custom {
            let (group, _) = api_version.split_once('/')?;
            if group != self.0.group || !custom.has(api_version) {
                return None;
            }
            return match custom.types() {
                Some(schema) => schema.type_of(api_version, &self.0.kind),
                None => Some(Schema::deduced()),
            };
        }
        if self.0.storage.resource.is_empty() {
            return Schema::builtin().type_of(api_version, &self.0.kind);
        }
        self.other(api_version)
            .and_then(|other| Schema::builtin().type_of(api_version, &other.kind))
    }

    fn refusal(&self, api_version: &str) -> Option<String> {
        self.0
            .is_custom()
            .then(|| format!("request to convert CR to an invalid group/version: {api_version}"))
    }

    fn convert(&self, object: &Value, api_version: &str) -> Result<Value, String> {
        let mut object = object.clone();
        if self.0.is_custom() {
            object["apiVersion"] = json!(api_version);
            return Ok(object);
        }
        let from = object
            .get("apiVersion")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let from = self
            .other(from)
            .ok_or("the object's version is not served")?;
        let to = self.other(api_version).ok_or("the version is not served")?;
        Ok(convert::from_storage(to, convert::to_storage(from, object)))
    }
}

fn failed(error: &ManagedError) -> ApiError {
    match error {
        ManagedError::Conflicts(conflicts) => {
            let causes: Vec<Value> = conflicts
                .iter()
                .map(|conflict| {
                    json!({
                        "reason": "FieldManagerConflict",
                        "message": conflict.message(),
                        "field": conflict.field(),
                    })
                })
                .collect();
            let mut error = ApiError::new(409, "Conflict", error.to_string());
            error.details = Some(json!({"causes": causes}));
            error
        }
        ManagedError::BadRequest(message) => ApiError::bad_request(message.clone()),
        other => ApiError::bare_internal(other.to_string()),
    }
}

fn target<'a>(resource: &Resource, served: &'a Served<'a>, subresource: &str) -> Target<'a> {
    Target::new(served, resource.api_version(), resource.kind.clone())
        .subresource(subresource.to_owned())
}

fn has_status(resource: &Resource) -> bool {
    match &resource.custom {
        Some(custom) => custom.has_status,
        None => resource.subresource("status").is_some(),
    }
}

fn resets(resource: &Resource, subresource: &str) -> gitops_diff::fieldset::FieldSet<'static> {
    if subresource == "finalize" {
        return [FieldPath::root().field("status")].into_iter().collect();
    }
    if resource.is_custom() && subresource == "status" {
        return [
            FieldPath::root().field("spec"),
            FieldPath::root().field("metadata"),
        ]
        .into_iter()
        .collect();
    }
    reset_fields(
        &resource.group,
        &resource.kind,
        subresource,
        has_status(resource),
    )
}

/// Books what a create, an update or a patch changed.
pub(crate) fn track(
    call: &Call<'_>,
    subresource: &str,
    live: Option<&Value>,
    object: Value,
    manager: &str,
) -> ApiResult<Value> {
    let resource = call.resource.clone();
    let served = Served(&resource);
    let reset = resets(&resource, subresource);
    let target = target(&resource, &served, subresource).reset(&reset);
    book(&target, live, object, manager, call.now)
}

/// Runs the bookkeeping. A new object is compared with an empty one of its kind: what
/// the server writes for that (`eventTime: null`) nobody owns.
fn book(
    target: &Target<'_>,
    live: Option<&Value>,
    mut object: Value,
    manager: &str,
    now: Timestamp,
) -> ApiResult<Value> {
    let request = match live {
        Some(live) => Track::new(object.clone(), manager, now).live(live),
        None => {
            let mut bare = object.clone();
            let text = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default();
            let (group, version) = text("apiVersion")
                .split_once('/')
                .unwrap_or(("", text("apiVersion")));
            let empty = crate::kinds::Kind::lookup(group, version, text("kind"))
                .and_then(|kind| crate::kinds::decode(kind, b"{}").ok());
            if let Some(mut empty) = empty {
                for key in ["apiVersion", "kind"] {
                    if let Some(map) = empty.object.as_object_mut() {
                        map.remove(key);
                    }
                }
                take_away(&mut bare, &empty.object);
            }
            Track::new(bare, manager, now)
        }
    };
    let booked = managed::track(target, request).map_err(|error| failed(&error))?;
    let meta = super::call::metadata_mut(&mut object);
    match booked.pointer("/metadata/managedFields") {
        Some(entries) => meta.insert("managedFields".to_owned(), entries.clone()),
        None => meta.remove("managedFields"),
    };
    Ok(object)
}

/// Removes from `object` what is the same in `empty`.
fn take_away(object: &mut Value, empty: &Value) {
    let (Some(object), Some(empty)) = (object.as_object_mut(), empty.as_object()) else {
        return;
    };
    for (key, value) in empty {
        match object.get_mut(key) {
            Some(same) if same == value && !value.is_object() => {
                object.remove(key);
            }
            Some(inner) => take_away(inner, value),
            None => {}
        }
    }
}

/// Books the fields of a request that is answered but not stored.
pub(crate) fn track_as(
    call: &Call<'_>,
    resource: &Resource,
    subresource: &str,
    object: Value,
    manager: &str,
) -> ApiResult<Value> {
    let served = Served(resource);
    let target = target(resource, &served, subresource);
    book(&target, None, object, manager, call.now)
}

/// Merges an applied object into the live one.
pub(crate) fn apply(
    call: &Call<'_>,
    subresource: &str,
    live: Option<&Value>,
    applied: &Value,
    options: &WriteOptions,
) -> ApiResult<Value> {
    let resource = call.resource.clone();
    let served = Served(&resource);
    let reset = resets(&resource, subresource);
    let target = target(&resource, &served, subresource).reset(&reset);
    let mut request = Apply::new(applied, &options.manager, call.now);
    if let Some(live) = live {
        request = request.live(live);
    }
    if options.force {
        request = request.force();
    }
    managed::apply(&target, &request)
        .map(|applied| applied.object)
        .map_err(|error| failed(&error))
}

/// Whether a write changes nothing; times of ownership alone are no change, and put back.
pub(crate) fn unchanged(live: &Value, object: &mut Value) -> bool {
    managed::keep_times(live, object)
}

/// A type as strategic merge patches look at it.
#[derive(Clone)]
enum Typed<'a> {
    Known(TypeRef<'a>),
    /// A member that the type doesn't have; decoding drops it later.
    Unknown,
}

impl<'a> Typed<'a> {
    fn of(ty: TypeRef<'a>) -> Self {
        Self::Known(ty.items().unwrap_or(ty))
    }
}

impl PatchSchema for Typed<'_> {
    fn patch_field(&self, name: &str) -> Option<PatchField<Self>> {
        let plain = |schema| PatchField {
            strategy: PatchStrategy::default(),
            merge_key: None,
            schema,
        };
        let Self::Known(ty) = self else {
            return Some(plain(Self::Unknown));
        };
        if let Some(field) = ty.field(name) {
            return Some(PatchField {
                strategy: field
                    .patch_strategy()
                    .and_then(PatchStrategy::parse)
                    .unwrap_or_default(),
                merge_key: field.patch_merge_key().map(str::to_owned),
                schema: Self::of(field.ty()),
            });
        }
        Some(plain(ty.values().map_or(Self::Unknown, Self::of)))
    }
}

/// Applies a strategic merge patch with the type of the resource.
pub(crate) fn strategic(resource: &Resource, live: &Value, patch: &Value) -> ApiResult<Value> {
    let schema = match Schema::builtin().type_of(&resource.api_version(), &resource.kind) {
        Some(ty) => Typed::Known(ty),
        None => Typed::Unknown,
    };
    strategic::apply(live, patch, &schema).map_err(|error| {
        let status = error.status();
        ApiError::new(status.code, status.reason, status.message)
    })
}

/// A scale after a write.
pub(crate) struct WrittenScale {
    pub(crate) replicas: Option<i64>,
    /// `managedFields` of the object that is scaled.
    pub(crate) entries: Option<Value>,
}

fn scale_target<'a>(served: &'a Served<'a>) -> Target<'a> {
    Target::new(served, "autoscaling/v1", "Scale").subresource("scale")
}

/// Where each version of the resource has its replicas.
fn replicas_paths(resource: &Resource) -> Vec<(String, Option<FieldPath>)> {
    let path = |parts: &[String]| -> FieldPath {
        parts
            .iter()
            .map(|part| PathElement::Field(part.clone()))
            .collect()
    };
    match &resource.custom {
        Some(custom) => custom
            .scales()
            .into_iter()
            .map(|(version, scale): (String, Option<ScalePaths>)| {
                (version, scale.map(|s| path(&s.spec_replicas)))
            })
            .collect(),
        None => vec![(
            resource.api_version(),
            Some(FieldPath::root().field("spec").field("replicas")),
        )],
    }
}

fn with_entries(mut scale: Value, entries: Value) -> Value {
    if entries.as_array().is_some_and(|list| !list.is_empty()) {
        scale["metadata"]["managedFields"] = entries;
    }
    scale
}

/// Books a write of a scale, applied or not, into the object that is scaled.
fn written(
    call: &Call<'_>,
    live: &Value,
    shown: &Value,
    write: impl FnOnce(&Target<'_>, Value) -> Result<Value, ManagedError>,
) -> ApiResult<WrittenScale> {
    let resource = &call.resource;
    let owned = replicas_paths(resource);
    let paths: Vec<(&str, Option<FieldPath>)> =
        owned.iter().map(|(v, p)| (v.as_str(), p.clone())).collect();
    let paths: &ReplicasPaths<'_> = &paths;
    let parent = live
        .pointer("/metadata/managedFields")
        .cloned()
        .unwrap_or(Value::Null);
    let scale_type = super::subresource::scale_resource();
    let served = Served(&scale_type);
    let run = || -> Result<(Value, Value), ManagedError> {
        let before = with_entries(shown.clone(), to_scale(&parent, paths)?);
        let after = write(&scale_target(&served), before)?;
        let entries = after
            .pointer("/metadata/managedFields")
            .cloned()
            .unwrap_or(Value::Null);
        let entries = from_scale(&parent, &entries, &resource.api_version(), paths)?;
        Ok((after, entries))
    };
    let (after, entries) = run().map_err(|error| failed(&error))?;
    Ok(WrittenScale {
        replicas: after.pointer("/spec/replicas").and_then(Value::as_i64),
        entries: entries
            .as_array()
            .is_some_and(|list| !list.is_empty())
            .then_some(entries),
    })
}

/// Books an update or a patch of a scale.
pub(crate) fn track_scale(
    call: &Call<'_>,
    live: &Value,
    shown: &Value,
    wanted: Value,
    manager: &str,
) -> ApiResult<WrittenScale> {
    written(call, live, shown, |target, before| {
        let mut wanted = wanted;
        wanted["metadata"]["managedFields"] = before["metadata"]["managedFields"].clone();
        if wanted["metadata"]["managedFields"].is_null()
            && let Some(meta) = wanted["metadata"].as_object_mut()
        {
            meta.remove("managedFields");
        }
        managed::track(target, Track::new(wanted, manager, call.now).live(&before))
    })
}

/// Applies to a scale.
pub(crate) fn apply_scale(
    call: &Call<'_>,
    live: &Value,
    shown: &Value,
    applied: &Value,
    options: &WriteOptions,
) -> ApiResult<WrittenScale> {
    written(call, live, shown, |target, before| {
        let mut request = Apply::new(applied, &options.manager, call.now).live(&before);
        if options.force {
            request = request.force();
        }
        managed::apply(target, &request).map(|applied| applied.object)
    })
}

/// The manager of the server's own writes: the name of the recorded server's program,
/// which is what the API server takes for its own name.
pub(crate) const OWN_MANAGER: &str = "kas";

/// Books a write that the server itself makes.
pub(crate) fn track_own(
    resource: &Resource,
    subresource: &str,
    live: &Value,
    object: Value,
    manager: &str,
    now: Timestamp,
) -> ApiResult<Value> {
    let served = Served(resource);
    let reset = resets(resource, subresource);
    let target = target(resource, &served, subresource).reset(&reset);
    book(&target, Some(live), object, manager, now)
}
