//! Errors as the API server answers them: `Status` objects.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

/// One field that is wrong, as it stands in `details.causes`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cause {
    /// `FieldValueInvalid`, `FieldValueRequired` and so on.
    pub(crate) reason: &'static str,
    /// The path of the field, such as `spec.ports[0].port`.
    pub(crate) field: String,
    /// What is wrong, without the path.
    pub(crate) message: String,
}

impl Cause {
    /// A value that breaks a rule. `value` is printed as Go prints it in JSON.
    pub(crate) fn invalid(field: impl Into<String>, value: &Value, detail: &str) -> Self {
        Self {
            reason: "FieldValueInvalid",
            field: field.into(),
            message: format!("Invalid value: {value}: {detail}"),
        }
    }

    /// A field that must be there.
    pub(crate) fn required(field: impl Into<String>, detail: &str) -> Self {
        let message = if detail.is_empty() {
            "Required value".to_owned()
        } else {
            format!("Required value: {detail}")
        };
        Self {
            reason: "FieldValueRequired",
            field: field.into(),
            message,
        }
    }

    /// A field that may not be set or changed here.
    pub(crate) fn forbidden(field: impl Into<String>, detail: &str) -> Self {
        Self {
            reason: "FieldValueForbidden",
            field: field.into(),
            message: format!("Forbidden: {detail}"),
        }
    }

    /// A value that is not one of a fixed set.
    pub(crate) fn not_supported(
        field: impl Into<String>,
        value: &Value,
        supported: &[&str],
    ) -> Self {
        let list: Vec<String> = supported.iter().map(|v| format!("{v:?}")).collect();
        Self {
            reason: "FieldValueNotSupported",
            field: field.into(),
            message: format!(
                "Unsupported value: {value}: supported values: {}",
                list.join(", ")
            ),
        }
    }

    /// A text that has too many bytes.
    pub(crate) fn too_long(field: impl Into<String>, limit: usize) -> Self {
        Self {
            reason: "FieldValueTooLong",
            field: field.into(),
            message: format!("Too long: may not be more than {limit} bytes"),
        }
    }
}

/// An answer that is an error: a `Status` with its HTTP code. Boxed, so that results
/// stay small.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ApiError(Box<Failure>);

impl std::ops::Deref for ApiError {
    type Target = Failure;

    fn deref(&self) -> &Failure {
        &self.0
    }
}

impl std::ops::DerefMut for ApiError {
    fn deref_mut(&mut self) -> &mut Failure {
        &mut self.0
    }
}

/// What an [`ApiError`] holds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Failure {
    pub(crate) code: u16,
    pub(crate) reason: &'static str,
    pub(crate) message: String,
    /// `details`; `None` leaves the member out.
    pub(crate) details: Option<Value>,
    /// The `Retry-After` header, in seconds.
    pub(crate) retry_after: Option<u32>,
    /// Warnings gathered before the error.
    pub(crate) warnings: Vec<String>,
    /// Answered as plain text rather than as a `Status`.
    pub(crate) plain_text: bool,
    /// The whole `Status`, if it was made elsewhere.
    pub(crate) status: Option<Value>,
}

pub(crate) type ApiResult<T> = Result<T, ApiError>;

fn details(name: &str, group: &str, kind: &str) -> Map<String, Value> {
    let mut map = Map::new();
    for (key, text) in [("name", name), ("group", group), ("kind", kind)] {
        if !text.is_empty() {
            map.insert(key.to_owned(), json!(text));
        }
    }
    map
}

/// `plural.group`, or `plural` in the core group.
pub(crate) fn qualified(group: &str, resource: &str) -> String {
    if group.is_empty() {
        resource.to_owned()
    } else {
        format!("{resource}.{group}")
    }
}

impl ApiError {
    pub(crate) fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self(Box::new(Failure {
            code,
            reason,
            message: message.into(),
            details: None,
            retry_after: None,
            warnings: Vec::new(),
            plain_text: false,
            status: None,
        }))
    }

    fn with_details(mut self, details: Map<String, Value>) -> Self {
        self.details = Some(Value::Object(details));
        self
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new(500, "InternalError", message)
    }

    /// A 500 without a reason, which is what an error of a plain Go type becomes.
    pub(crate) fn bare_internal(message: impl Into<String>) -> Self {
        Self::new(500, "", message)
    }

    pub(crate) fn not_found(group: &str, resource: &str, name: &str) -> Self {
        Self::new(
            404,
            "NotFound",
            format!("{} {name:?} not found", qualified(group, resource)),
        )
        .with_details(details(name, group, resource))
    }

    pub(crate) fn already_exists(group: &str, resource: &str, name: &str, deleting: bool) -> Self {
        let prefix = if deleting {
            "object is being deleted: "
        } else {
            ""
        };
        Self::new(
            409,
            "AlreadyExists",
            format!(
                "{prefix}{} {name:?} already exists",
                qualified(group, resource)
            ),
        )
        .with_details(details(name, group, resource))
    }

    pub(crate) fn conflict(group: &str, resource: &str, name: &str, why: &str) -> Self {
        Self::new(
            409,
            "Conflict",
            format!(
                "Operation cannot be fulfilled on {} {name:?}: {why}",
                qualified(group, resource)
            ),
        )
        .with_details(details(name, group, resource))
    }

    /// The write was based on an older version of the object.
    pub(crate) fn stale(group: &str, resource: &str, name: &str) -> Self {
        Self::conflict(
            group,
            resource,
            name,
            "the object has been modified; please apply your changes to the latest version and try again",
        )
    }

    pub(crate) fn forbidden(group: &str, resource: &str, name: &str, why: &str) -> Self {
        let object = qualified(group, resource);
        let message = if name.is_empty() {
            format!("{object} is forbidden: {why}")
        } else {
            format!("{object} {name:?} is forbidden: {why}")
        };
        Self::new(403, "Forbidden", message).with_details(details(name, group, resource))
    }

    pub(crate) fn invalid(group: &str, kind: &str, name: &str, causes: &[Cause]) -> Self {
        let mut texts: Vec<String> = Vec::new();
        for cause in causes {
            let text = format!("{}: {}", cause.field, cause.message);
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
        let all = match texts.as_slice() {
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let mut map = details(name, group, kind);
        if !causes.is_empty() {
            map.insert(
                "causes".to_owned(),
                causes
                    .iter()
                    .map(|c| json!({"reason": c.reason, "message": c.message, "field": c.field}))
                    .collect(),
            );
        }
        Self::new(
            422,
            "Invalid",
            format!("{} {name:?} is invalid: {all}", qualified(group, kind)),
        )
        .with_details(map)
    }

    /// Options in the query (or in the body of a delete) that are not valid.
    pub(crate) fn invalid_options(kind: &str, causes: &[Cause]) -> Self {
        Self::invalid("meta.k8s.io", kind, "", causes)
    }

    /// The answer of the path router for a path that is not served.
    pub(crate) fn no_such_path() -> Self {
        Self::new(
            404,
            "NotFound",
            "the server could not find the requested resource",
        )
        .with_details(Map::new())
    }

    /// The answer outside of the API groups that are built in.
    pub(crate) fn page_not_found() -> Self {
        let mut error = Self::new(404, "", "404 page not found\n");
        error.plain_text = true;
        error
    }

    pub(crate) fn method_not_allowed() -> Self {
        Self::new(
            405,
            "MethodNotAllowed",
            "the server does not allow this method on the requested resource",
        )
        .with_details(Map::new())
    }

    pub(crate) fn unauthorized() -> Self {
        Self::new(401, "Unauthorized", "Unauthorized")
    }

    pub(crate) fn too_large_resource_version(asked: u64, current: u64) -> Self {
        let mut map = Map::new();
        map.insert(
            "causes".to_owned(),
            json!([{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]),
        );
        map.insert("retryAfterSeconds".to_owned(), json!(1));
        let mut error = Self::new(
            504,
            "Timeout",
            format!("Timeout: Too large resource version: {asked}, current: {current}"),
        )
        .with_details(map);
        error.retry_after = Some(1);
        error
    }

    pub(crate) fn not_acceptable_representation() -> Self {
        Self::new(
            406,
            "NotAcceptable",
            "only the following media types are accepted: application/json, application/yaml, application/vnd.kubernetes.protobuf",
        )
    }

    pub(crate) fn unsupported_body(accepted: &str) -> Self {
        Self::new(
            415,
            "UnsupportedMediaType",
            format!(
                "the body of the request was in an unknown format - accepted media types include: {accepted}"
            ),
        )
    }

    pub(crate) fn with_warnings(mut self, warnings: &[String]) -> Self {
        self.warnings.splice(0..0, warnings.iter().cloned());
        self
    }

    /// An error around a `Status` with code 422.
    pub(crate) fn from_status(status: Value) -> Self {
        let message = status
            .get("message")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let mut error = Self::new(422, "Invalid", message);
        error.status = Some(status);
        error
    }

    /// The `Status` object.
    pub(crate) fn to_status(&self) -> Value {
        if let Some(status) = &self.status {
            return status.clone();
        }
        let mut status = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "code": self.code,
        });
        if let Some(map) = status.as_object_mut() {
            if !self.reason.is_empty() {
                map.insert("reason".to_owned(), json!(self.reason));
            }
            if let Some(details) = &self.details {
                map.insert("details".to_owned(), details.clone());
            }
        }
        status
    }
}

/// Quotes a text as Go's `%q` does, for messages.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if (c as u32) < 0x20 || c as u32 == 0x7f => {
                let _ = write!(out, "\\x{:02x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_messages_are_said_once_but_counted() {
        let cause = Cause::invalid("metadata.labels", &json!("a b"), "bad");
        let error = ApiError::invalid("", "ConfigMap", "x", &[cause.clone(), cause]);
        assert_eq!(
            error.message,
            r#"ConfigMap "x" is invalid: metadata.labels: Invalid value: "a b": bad"#
        );
        assert_eq!(
            error.to_status()["details"]["causes"]
                .as_array()
                .map(Vec::len),
            Some(2)
        );
    }

    #[test]
    fn the_core_group_is_not_named() {
        assert_eq!(
            ApiError::not_found("", "pods", "x").message,
            r#"pods "x" not found"#
        );
        assert_eq!(
            ApiError::not_found("apps", "deployments", "x").message,
            r#"deployments.apps "x" not found"#
        );
    }
}
