//! Field ownership: server-side apply and what is booked after every other write.

use gitops_diff::patch::strategic::{self, Schemaless};
use serde_json::Value;

use super::call::Call;
use super::options::WriteOptions;
use super::registry::Resource;
use super::status::{ApiError, ApiResult};

/// Books what a create, an update or a patch changed.
pub(crate) fn track(
    _call: &Call<'_>,
    _subresource: &str,
    _live: Option<&Value>,
    object: Value,
    _manager: &str,
) -> ApiResult<Value> {
    Ok(object)
}

/// Merges an applied object into the live one.
pub(crate) fn apply(
    _call: &Call<'_>,
    _subresource: &str,
    live: Option<&Value>,
    applied: &Value,
    _options: &WriteOptions,
) -> ApiResult<Value> {
    match live {
        None => Ok(applied.clone()),
        Some(live) => gitops_diff::patch::merge::apply(live, applied).map_err(|e| ApiError::internal(e.to_string())),
    }
}

/// Whether a write changes nothing; times of ownership alone are no change, and put back.
pub(crate) fn unchanged(live: &Value, object: &mut Value) -> bool {
    live == object
}

/// Applies a strategic merge patch with the type of the resource.
pub(crate) fn strategic(_resource: &Resource, live: &Value, patch: &Value) -> ApiResult<Value> {
    strategic::apply(live, patch, &Schemaless).map_err(|error| {
        let status = error.status();
        ApiError::new(status.code, status.reason, status.message)
    })
}

/// Books the fields of a request that is answered but not stored.
pub(crate) fn track_as(
    _call: &Call<'_>,
    _resource: &Resource,
    _subresource: &str,
    object: Value,
    _manager: &str,
) -> ApiResult<Value> {
    Ok(object)
}

/// A scale after a server-side apply.
pub(crate) struct AppliedScale {
    pub(crate) replicas: Option<i64>,
    /// `managedFields` of the object that is scaled.
    pub(crate) entries: Option<Value>,
}

/// Applies to a scale.
pub(crate) fn apply_scale(
    _call: &Call<'_>,
    live: &Value,
    _shown: &Value,
    applied: &Value,
    _options: &WriteOptions,
) -> ApiResult<AppliedScale> {
    Ok(AppliedScale {
        replicas: applied.pointer("/spec/replicas").and_then(Value::as_i64),
        entries: live.pointer("/metadata/managedFields").cloned(),
    })
}
