//! Bodies in protobuf, which newer versions of `kubectl` send for a few kinds.

use super::status::{ApiError, ApiResult};
use super::write::JsonBody;

/// Turns a protobuf body into JSON.
pub(crate) fn to_json(body: &[u8]) -> ApiResult<JsonBody> {
    let _ = body;
    Err(ApiError::unsupported_body(
        "application/json, application/yaml",
    ))
}
