//! The three patch formats of the Kubernetes API: how a server applies each, and the
//! smallest one that leads from one object to another.
//!
//! | format | module | media type |
//! |---|---|---|
//! | JSON patch ([RFC 6902]) | [`json`] | `application/json-patch+json` |
//! | JSON merge patch ([RFC 7386]) | [`merge`] | `application/merge-patch+json` |
//! | strategic merge patch | [`strategic`] | `application/strategic-merge-patch+json` |
//!
//! `apply` is what the API server does, leniencies included: where it departs from the
//! RFC, so does this module, and the function's documentation says so. `generate` gives
//! a patch that `apply` accepts and that leads to the wanted object. `three_way` is what
//! client-side apply does with the `last-applied-configuration` annotation: add and
//! change what is desired, take away what was applied before and is desired no more, and
//! leave everything else alone. [`client_side`] puts it together: it reads the annotation,
//! chooses the format, and gives what `kubectl apply` sends.
//!
//! All of them are pure. Input is bounded: see [`MAX_DEPTH`], [`MAX_OPERATIONS`] and
//! [`MAX_COPIED_BYTES`].
//!
//! [RFC 6902]: https://www.rfc-editor.org/rfc/rfc6902
//! [RFC 7386]: https://www.rfc-editor.org/rfc/rfc7386

use serde_json::Value;

pub mod client_side;
pub mod json;
pub mod merge;
pub mod strategic;

/// How many levels of objects and lists a document or a patch may have.
///
/// No built-in kind comes near it (a `CustomResourceDefinition` in the wild has some 60
/// levels), and functions here and in `serde_json` that recurse stay well within the
/// smallest usual thread stack.
pub const MAX_DEPTH: usize = 256;

/// How many operations one JSON patch may have: the API server's own limit
/// ([`maxJSONPatchOperations`](https://github.com/kubernetes/kubernetes/blob/v1.36.0/staging/src/k8s.io/apiserver/pkg/endpoints/handlers/patch.go)).
pub const MAX_OPERATIONS: usize = 10_000;

/// How many bytes of JSON the `copy` operations of one JSON patch may add together:
/// the API server's own limit, 3 MiB
/// ([`JSONPatchMaxCopyBytes`](https://github.com/kubernetes/kubernetes/blob/v1.36.0/staging/src/k8s.io/apiserver/pkg/server/config.go)).
pub const MAX_COPIED_BYTES: usize = 3 * 1024 * 1024;

/// Why a patch could not be applied or made.
///
/// The text names operations, paths and members, never a value of the document: a value
/// may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PatchError {
    /// The patch isn't of the form that its format asks for.
    #[error("{message}")]
    Malformed {
        /// What is wrong with it, in the API server's words.
        message: String,
    },
    /// The JSON patch has too many operations.
    #[error("the JSON patch has {found} operations; at most {MAX_OPERATIONS} are allowed")]
    TooManyOperations {
        /// How many it has.
        found: usize,
    },
    /// The document, the patch, or the result has too many levels.
    #[error("{what} is nested more than {MAX_DEPTH} levels deep")]
    TooDeep {
        /// Which of them.
        what: &'static str,
    },
    /// The `copy` operations of a JSON patch would make the document too large.
    #[error("operation {operation}: copies would add more than {MAX_COPIED_BYTES} bytes")]
    CopyTooLarge {
        /// The operation that passed the limit, counted from zero.
        operation: usize,
    },
    /// A `test` of a JSON patch found something else.
    #[error("operation {operation}: test failed at {path:?}")]
    TestFailed {
        /// The operation, counted from zero.
        operation: usize,
        /// The JSON pointer that was tested.
        path: String,
    },
    /// An operation of a JSON patch doesn't fit the document.
    #[error("operation {operation}: {reason}: {path:?}")]
    DoesNotApply {
        /// The operation, counted from zero.
        operation: usize,
        /// The JSON pointer that it names.
        path: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// A directive of a strategic merge patch has the wrong form.
    #[error("{path}: {message}")]
    BadDirective {
        /// The object in the patch that holds the directive, such as `spec.strategy`.
        path: String,
        /// What is wrong, in the API server's words.
        message: &'static str,
    },
    /// A list of lists, or lists whose elements are of different types, can't be merged.
    #[error("{path}: {message}")]
    Unmergeable {
        /// The list in the patch.
        path: String,
        /// What is wrong, in the API server's words as far as it has any.
        message: String,
    },
    /// A three-way merge would change what somebody else changed.
    #[error("{path}: changed by somebody else since it was last applied")]
    Conflict {
        /// The field, as a dotted path.
        path: String,
    },
    /// The wanted object can't be reached with this format.
    ///
    /// A merge patch can't set a member to `null`, because `null` means "remove" there;
    /// nor can it replace the whole document by something else than an object.
    #[error("{path:?}: {reason}")]
    Inexpressible {
        /// Where, as a JSON pointer.
        path: String,
        /// Why not.
        reason: &'static str,
    },
}

/// What an API server answers when a patch fails: the parts of its `Status`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PatchStatus {
    /// The HTTP status, which is also `code`.
    pub code: u16,
    /// The `reason`, empty if the server gives none.
    pub reason: &'static str,
    /// The `message`.
    pub message: String,
}

impl PatchError {
    /// The answer of an API server to a patch that fails so.
    ///
    /// ```
    /// use gitops_diff::patch;
    /// use serde_json::json;
    ///
    /// let patch = json!([{"op": "test", "path": "/a", "value": 2}]);
    /// let error = patch::json::apply(&json!({"a": 1}), &patch).unwrap_err();
    /// assert_eq!(error.to_string(), r#"operation 0: test failed at "/a""#);
    /// assert_eq!(error.status().code, 422);
    /// assert_eq!(error.status().reason, "Invalid");
    /// ```
    #[must_use]
    pub fn status(&self) -> PatchStatus {
        let (code, reason, message) = match self {
            Self::Malformed { message } => (400, "BadRequest", message.clone()),
            Self::TooDeep { .. } => (400, "BadRequest", self.to_string()),
            Self::BadDirective { message, .. } => (400, "BadRequest", (*message).to_owned()),
            Self::Conflict { .. } => (409, "Conflict", self.to_string()),
            Self::TooManyOperations { found } => (
                413,
                "RequestEntityTooLarge",
                format!(
                    "Request entity is too large: The allowed maximum operations in a JSON patch \
                     is {MAX_OPERATIONS}, got {found}"
                ),
            ),
            // The server drops its reason here: the message is the one that its client
            // library has for a bare 422.
            Self::CopyTooLarge { .. }
            | Self::TestFailed { .. }
            | Self::DoesNotApply { .. }
            | Self::Inexpressible { .. } => (422, "Invalid", UNPROCESSABLE.to_owned()),
            Self::Unmergeable { message, .. } if message == NO_LIST_OF_LISTS => {
                (422, "Invalid", UNPROCESSABLE.to_owned())
            }
            // Errors that the server's handler doesn't know are internal ones to it.
            Self::Unmergeable { message, .. } => (500, "", message.clone()),
        };
        PatchStatus {
            code,
            reason,
            message,
        }
    }
}

const UNPROCESSABLE: &str = "the server rejected our request due to an error in our request";
const NO_LIST_OF_LISTS: &str = "lists of lists are not supported";

/// The type of `value` as Go's JSON library names it in an error.
fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Whether `value` has more than `limit` levels. Never recurses deeper than `limit`.
fn deeper_than(value: &Value, limit: usize) -> bool {
    match value {
        Value::Array(items) => limit == 0 || items.iter().any(|item| deeper_than(item, limit - 1)),
        Value::Object(members) => {
            limit == 0
                || members
                    .values()
                    .any(|member| deeper_than(member, limit - 1))
        }
        _ => false,
    }
}

/// How many levels `value` has, at most `MAX_DEPTH + 1`.
fn depth(value: &Value) -> usize {
    fn measure(value: &Value, left: usize) -> usize {
        if left == 0 {
            return 0;
        }
        match value {
            Value::Array(items) => {
                1 + items
                    .iter()
                    .map(|item| measure(item, left - 1))
                    .max()
                    .unwrap_or(0)
            }
            Value::Object(members) => {
                1 + members
                    .values()
                    .map(|member| measure(member, left - 1))
                    .max()
                    .unwrap_or(0)
            }
            _ => 0,
        }
    }
    measure(value, MAX_DEPTH + 1)
}

/// Refuses `value` if it has too many levels.
pub(crate) fn check_depth(value: &Value, what: &'static str) -> Result<(), PatchError> {
    if deeper_than(value, MAX_DEPTH) {
        return Err(PatchError::TooDeep { what });
    }
    Ok(())
}

/// How many bytes `value` has as compact JSON, nearly: escapes count as one byte.
fn json_size(value: &Value) -> usize {
    match value {
        Value::Null => 4,
        Value::Bool(flag) => 5 - usize::from(*flag),
        Value::Number(number) => number.to_string().len(),
        Value::String(text) => text.len() + 2,
        Value::Array(items) => 2 + items.iter().map(|item| json_size(item) + 1).sum::<usize>(),
        Value::Object(members) => {
            2 + members
                .iter()
                .map(|(name, member)| name.len() + 4 + json_size(member))
                .sum::<usize>()
        }
    }
}
