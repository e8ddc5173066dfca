//! What happens to an object on its way into the store, built-in or custom alike:
//! decoding, defaulting, preparing, validating.

use serde_json::Value;

use super::custom_objects;
use super::registry::Resource;
use super::status::{ApiError, ApiResult};
use crate::kinds::{self, DecodeError, FieldError};

/// An object out of a body, and what strict decoding says about it.
pub(crate) struct Read {
    pub(crate) object: Value,
    pub(crate) strict: Vec<String>,
}

/// How an error of decoding is answered.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The body of a create or update.
    Body,
    /// The result of a patch.
    Patch,
}

/// The first bytes of a body, as messages quote them.
fn excerpt(body: &[u8]) -> String {
    if body.is_empty() {
        return "<empty>".to_owned();
    }
    let text = String::from_utf8_lossy(body);
    match text.char_indices().nth(22) {
        Some((at, _)) if text.len() > 30 => format!("{} ...", &text[..at]),
        _ => text.into_owned(),
    }
}

/// `X in version "v1" cannot be handled as a Y: ...`
pub(crate) fn cannot_be_handled(kind: &str, version: &str, wanted: &str, why: &str) -> ApiError {
    ApiError::bad_request(format!(
        "{kind} in version {version:?} cannot be handled as a {wanted}: {why}"
    ))
}

/// Reads `apiVersion` and `kind` of a body, as far as they are there.
fn type_meta(body: &[u8], wanted: &str) -> ApiResult<(String, String, Value)> {
    let unrecognized = |why: String| {
        ApiError::bad_request(format!(
            "the object provided is unrecognized (must be of type {wanted}): {why} ({})",
            excerpt(body)
        ))
    };
    let read = kinds::decode_untyped(body).map_err(|error| {
        unrecognized(format!(
            "couldn't get version/kind; json parse error: {error}"
        ))
    })?;
    let Some(map) = read.object.as_object() else {
        return Err(unrecognized(
            "couldn't get version/kind; json parse error: json: cannot unmarshal value into Go value of type struct".to_owned(),
        ));
    };
    let mut found = [String::new(), String::new()];
    for (slot, key) in found.iter_mut().zip(["apiVersion", "kind"]) {
        match map.get(key) {
            None | Some(Value::Null) => {}
            Some(Value::String(text)) => slot.clone_from(text),
            Some(_) => {
                return Err(unrecognized(format!(
                    "couldn't get version/kind; json parse error: json: cannot unmarshal value into Go struct field .{key} of type string"
                )));
            }
        }
    }
    let [api_version, kind] = found;
    Ok((api_version, kind, read.object))
}

/// Reads the body of a create or update as an object of `resource`.
pub(crate) fn read_body(resource: &Resource, body: &[u8]) -> ApiResult<Read> {
    let wanted = resource.kind.as_str();
    let (api_version, kind, value) = type_meta(body, wanted)?;
    if resource.is_custom() {
        return custom_objects::read_body(resource, body, &api_version, &kind, &value);
    }
    let expected = resource.api_version();
    let version = api_version.rsplit('/').next().unwrap_or_default();
    if !kind.is_empty() && kind != wanted || !api_version.is_empty() && api_version != expected {
        let shown = if kind.is_empty() { wanted } else { &kind };
        let known = kinds::Kind::all().any(|k| k.name() == shown && k.api_version() == api_version);
        if known && kind == wanted {
            return Err(ApiError::bad_request(format!(
                "the API version in the data ({api_version}) does not match the expected API version ({expected})"
            )));
        }
        let why = if known {
            format!("converting ({version}.{shown}) to ({wanted}): unknown conversion")
        } else {
            format!(
                "no kind {shown:?} is registered for version {api_version:?} in scheme \"k8s.io/kubernetes/pkg/api/legacyscheme/scheme.go:30\""
            )
        };
        return Err(cannot_be_handled(shown, version, wanted, &why));
    }
    let Some(builtin) = resource.builtin else {
        return Err(ApiError::internal(format!("no type for {wanted}")));
    };
    match kinds::decode(builtin, body) {
        Ok(read) => Ok(Read {
            object: read.object,
            strict: read.strict,
        }),
        Err(DecodeError::Syntax(why)) => Err(ApiError::bad_request(why)),
        Err(error) => Err(cannot_be_handled(
            wanted,
            &resource.version,
            wanted,
            &error.to_string(),
        )),
    }
}

/// Reads the result of a patch as an object of `resource`.
pub(crate) fn read_patched(resource: &Resource, value: Value) -> ApiResult<Read> {
    if value["kind"] != resource.kind.as_str()
        || value["apiVersion"] != resource.api_version().as_str()
    {
        return Err(unprocessable());
    }
    if resource.is_custom() {
        return custom_objects::read_patched(resource, value);
    }
    let Some(builtin) = resource.builtin else {
        return Err(ApiError::internal(format!("no type for {}", resource.kind)));
    };
    match kinds::decode_value(builtin, &value) {
        Ok(read) => Ok(Read {
            object: read.object,
            strict: read.strict,
        }),
        Err(_) => Err(unprocessable()),
    }
}

/// What a patch that leads nowhere is answered with.
pub(crate) fn unprocessable() -> ApiError {
    ApiError::new(
        422,
        "Invalid",
        "the server rejected our request due to an error in our request",
    )
}

/// Turns strict decoding into warnings or an error, as the request wants it.
pub(crate) fn strict(
    resource: &Resource,
    read: &Read,
    validation: super::options::FieldValidation,
    warnings: &mut Vec<String>,
    origin: Origin,
) -> ApiResult<()> {
    use super::options::FieldValidation::{Ignore, Strict, Warn};
    if read.strict.is_empty() {
        return Ok(());
    }
    match validation {
        Ignore => Ok(()),
        Warn => {
            warnings.extend(read.strict.iter().cloned());
            Ok(())
        }
        Strict if origin == Origin::Body => {
            let why = format!("strict decoding error: {}", read.strict.join(", "));
            Err(cannot_be_handled(
                &resource.kind,
                &resource.version,
                &resource.kind,
                &why,
            ))
        }
        Strict => {
            let name = read
                .object
                .pointer("/metadata/name")
                .and_then(Value::as_str)
                .unwrap_or_default();
            Err(strict_patch_error(resource, name, &read.strict))
        }
    }
}

fn strict_patch_error(resource: &Resource, name: &str, strict: &[String]) -> ApiError {
    let cause = super::status::Cause {
        reason: "FieldValueInvalid",
        field: "patch".to_owned(),
        message: format!(
            "Invalid value: strict decoding error: {}",
            strict.join(", ")
        ),
    };
    ApiError::invalid(&resource.group, &resource.kind, name, &[cause])
}

/// The answer to an object that breaks rules; `None` if there are no errors.
pub(crate) fn check(resource: &Resource, name: &str, errors: &[FieldError]) -> ApiResult<()> {
    if errors.is_empty() {
        return Ok(());
    }
    // Both views of an Event are one kind to the server.
    let group = if resource.is_custom() {
        &resource.group
    } else {
        resource.storage.group.as_ref()
    };
    Err(ApiError::from_status(kinds::invalid_status(
        &resource.kind,
        group,
        name,
        errors,
    )))
}
