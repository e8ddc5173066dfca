//! The rules of a kind, built-in or custom, behind one door.

use serde_json::Value;

use super::custom_objects;
use super::registry::Resource;
use super::state::State;
use super::status::ApiResult;
use super::write::Target;
use crate::kinds::{self, FieldError};

/// Sets what nobody set.
pub(crate) fn default(resource: &Resource, object: &mut Value, live: Option<&Value>) {
    match (&resource.custom, resource.builtin) {
        (Some(custom), _) => custom_objects::default(custom, object),
        (None, Some(kind)) => kinds::default(kind, object, live),
        _ => {}
    }
}

/// What the built-in admission plugins set.
pub(crate) fn admit(resource: &Resource, object: &mut Value, live: Option<&Value>) {
    if let Some(kind) = resource.builtin {
        kinds::admit(kind, object, live);
    }
}

pub(crate) fn prepare_create(resource: &Resource, object: &mut Value) {
    match (&resource.custom, resource.builtin) {
        (Some(custom), _) => custom_objects::prepare_create(custom, object),
        (None, Some(kind)) => kinds::prepare_create(kind, object),
        _ => {}
    }
}

/// Takes what `target` may not touch from the live object, and counts the generation.
pub(crate) fn prepare_update(
    resource: &Resource,
    object: &mut Value,
    live: &Value,
    target: Target,
) {
    let target = kinds_target(target);
    match (&resource.custom, resource.builtin) {
        (Some(custom), _) => custom_objects::prepare_update(custom, object, live, target),
        (None, Some(kind)) => kinds::prepare_update(kind, object, live, target),
        _ => {}
    }
}

/// Sets a member to what it is in `from`.
pub(crate) fn copy_member(object: &mut Value, from: &Value, member: &str) {
    if let Some(map) = object.as_object_mut() {
        match from.get(member) {
            Some(value) => map.insert(member.to_owned(), value.clone()),
            None => map.remove(member),
        };
    }
}

pub(crate) fn validate_create(resource: &Resource, object: &Value) -> Vec<FieldError> {
    match &resource.custom {
        Some(custom) => custom_objects::validate_create(resource, custom, object),
        None => resource
            .builtin
            .map_or_else(Vec::new, |kind| kinds::validate_create(kind, object)),
    }
}

pub(crate) fn validate_update(
    resource: &Resource,
    object: &Value,
    live: &Value,
    target: Target,
) -> Vec<FieldError> {
    match &resource.custom {
        Some(custom) => custom_objects::validate_update(resource, custom, object, live, target),
        None => resource.builtin.map_or_else(Vec::new, |kind| {
            kinds::validate_update(kind, object, live, kinds_target(target))
        }),
    }
}

/// What a kind warns of.
pub(crate) fn warnings(resource: &Resource, object: &Value, live: Option<&Value>) -> Vec<String> {
    resource
        .builtin
        .map_or_else(Vec::new, |kind| kinds::warnings(kind, object, live))
}

fn kinds_target(target: Target) -> kinds::Target {
    match target {
        Target::Main | Target::Other(_) if target != Target::Other("finalize") => {
            kinds::Target::Object
        }
        Target::Status => kinds::Target::Status,
        _ => kinds::Target::Finalize,
    }
}

/// Gives out what there is only one of: cluster IPs and node ports.
pub(crate) fn allocate(
    state: &mut State,
    resource: &Resource,
    object: &mut Value,
    live: Option<&Value>,
    dry_run: bool,
) -> ApiResult<()> {
    if !resource.is("", "services") {
        return Ok(());
    }
    let result = if dry_run {
        kinds::allocate(object, live, None)
    } else {
        kinds::allocate(object, live, Some(&mut state.allocator))
    };
    let name = object["metadata"]["name"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    result.or_else(|errors| super::objects::check(resource, &name, &errors))
}
