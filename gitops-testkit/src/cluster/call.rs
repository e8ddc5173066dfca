//! One request, taken apart.

use std::sync::Arc;

use http::HeaderMap;
use jiff::Timestamp;
use serde_json::Value;

use super::negotiate::Accepted;
use super::rbac::User;
use super::registry::Resource;
use super::request::{Query, ResourcePath};
use super::status::{ApiError, ApiResult};

/// A request for a resource, on its way through the server.
pub(crate) struct Call<'a> {
    pub(crate) resource: Arc<Resource>,
    pub(crate) path: &'a ResourcePath,
    pub(crate) query: &'a Query,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a [u8],
    pub(crate) user: &'a User,
    pub(crate) accepted: Accepted,
    pub(crate) now: Timestamp,
    pub(crate) warnings: Vec<String>,
}

/// What a request is answered with.
#[derive(Debug, PartialEq)]
pub(crate) enum Answer {
    /// An object (or a `Status`).
    Object { code: u16, object: Value },
    /// A list, its items already in the form they are sent in.
    Json { code: u16, body: String },
    /// Plain text.
    Text { code: u16, body: String },
}

impl Answer {
    pub(crate) fn ok(object: Value) -> Self {
        Self::Object { code: 200, object }
    }
}

impl Call<'_> {
    pub(crate) fn namespace(&self) -> Option<&str> {
        self.path.namespace.as_deref()
    }

    /// The name in the path.
    pub(crate) fn name(&self) -> &str {
        self.path.name.as_deref().unwrap_or_default()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub(crate) fn user_agent(&self) -> &str {
        self.header("user-agent").unwrap_or_default()
    }

    /// The media type of the body, without parameters; `None` without a header.
    pub(crate) fn content_type(&self) -> Option<String> {
        self.header("content-type")
            .map(|text| {
                text.split(';')
                    .next()
                    .unwrap_or_default()
                    .trim()
                    .to_ascii_lowercase()
            })
            .filter(|text| !text.is_empty())
    }

    pub(crate) fn not_found(&self) -> ApiError {
        ApiError::not_found(&self.resource.group, &self.resource.plural, self.name())
    }

    pub(crate) fn stale(&self) -> ApiError {
        ApiError::stale(&self.resource.group, &self.resource.plural, self.name())
    }

    /// Compares the namespace of a body with the path's; an empty one is filled in.
    pub(crate) fn settle_namespace(&self, object: &mut Value) -> ApiResult<()> {
        let wanted = self.namespace().unwrap_or_default();
        let given = object
            .pointer("/metadata/namespace")
            .and_then(Value::as_str)
            .unwrap_or_default();
        // A cluster-wide object's namespace is dropped.
        if !given.is_empty() && !wanted.is_empty() && given != wanted {
            return Err(ApiError::bad_request(
                "the namespace of the provided object does not match the namespace sent on the request",
            ));
        }
        let meta = metadata_mut(object);
        if wanted.is_empty() {
            meta.remove("namespace");
        } else {
            meta.insert("namespace".to_owned(), wanted.into());
        }
        Ok(())
    }

    /// Compares the name of a body with the path's.
    pub(crate) fn check_name(&self, object: &Value) -> ApiResult<()> {
        let given = object
            .pointer("/metadata/name")
            .and_then(Value::as_str)
            .unwrap_or_default();
        if given.is_empty() {
            return Err(ApiError::bad_request(format!(
                "the name of the object ({} based on URL) was undeterminable: name must be provided",
                self.name()
            )));
        }
        if given != self.name() {
            return Err(ApiError::bad_request(format!(
                "the name of the object ({given}) does not match the name on the URL ({})",
                self.name()
            )));
        }
        Ok(())
    }
}

/// `metadata` of an object, made if it isn't there.
pub(crate) fn metadata_mut(object: &mut Value) -> &mut serde_json::Map<String, Value> {
    if !object.is_object() {
        *object = Value::Object(serde_json::Map::new());
    }
    let meta = &mut object["metadata"];
    if !meta.is_object() {
        *meta = Value::Object(serde_json::Map::new());
    }
    match meta {
        Value::Object(map) => map,
        _ => unreachable!("it was made an object just now"),
    }
}

/// A text member of `metadata`.
pub(crate) fn meta_text<'a>(object: &'a Value, key: &str) -> &'a str {
    object
        .get("metadata")
        .and_then(|meta| meta.get(key))
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// The finalizers of an object.
pub(crate) fn finalizers(object: &Value) -> Vec<String> {
    object
        .pointer("/metadata/finalizers")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}
