//! What a server's refusal means for us.

use gitops_core::{ApplyError, GroupVersionKind, ObjectId, StoreError};
use serde_json::Value;

use crate::conflict;
use crate::transport::{Failure, Refusal, one_line};

/// What a request was about.
#[derive(Clone, Copy)]
pub(crate) struct About<'a> {
    /// Which object.
    pub(crate) object: &'a ObjectId,
    /// The kind in the version that was asked for.
    pub(crate) kind: &'a GroupVersionKind,
    /// What was sent, if the request was an apply. It tells how to read field paths.
    pub(crate) applied: Option<&'a Value>,
    /// Whether the request said that there must be no such object.
    pub(crate) absent: bool,
}

impl<'a> About<'a> {
    pub(crate) fn new(object: &'a ObjectId, kind: &'a GroupVersionKind) -> Self {
        Self {
            object,
            kind,
            applied: None,
            absent: false,
        }
    }

    /// A server may quote what it refuses, so what it says of a Secret is not passed on.
    fn is_sensitive(self) -> bool {
        self.object.is("", "Secret")
    }

    pub(crate) fn unavailable(self, reason: impl Into<String>) -> ApplyError {
        ApplyError::Unavailable {
            what: self.object.to_string(),
            reason: reason.into(),
            retry_after: None,
            source: None,
        }
    }

    pub(crate) fn unknown_kind(self) -> ApplyError {
        ApplyError::UnknownKind {
            object: self.object.clone(),
            kind: Box::new(self.kind.clone()),
        }
    }

    /// What the failure of a request about this object means.
    pub(crate) fn error(self, failure: Failure) -> ApplyError {
        match failure {
            Failure::Refused(refusal) => self.refused(&refusal),
            Failure::Unreachable { reason, source } => ApplyError::Unavailable {
                what: self.object.to_string(),
                reason,
                retry_after: None,
                source,
            },
        }
    }

    fn refused(self, refusal: &Refusal) -> ApplyError {
        let object = self.object.clone();
        let stale = |reason| ApplyError::Stale {
            object: self.object.clone(),
            reason,
        };
        let reason = self.reason(refusal);
        match refusal.code {
            409 => {
                let fields = conflict::fields(&refusal.details.causes, self.applied);
                if self.absent {
                    stale("there is such an object by now".into())
                } else if fields.is_empty() {
                    stale(reason)
                } else {
                    ApplyError::Conflict { object, fields }
                }
            }
            // An apply that names another uid than the object's.
            422 if refusal
                .details
                .causes
                .iter()
                .any(|cause| cause.field == "metadata.uid") =>
            {
                stale("it is another object of the same name by now".into())
            }
            403 if refusal
                .details
                .causes
                .iter()
                .any(|cause| cause.reason == "NamespaceTerminating") =>
            {
                self.namespace("is being deleted")
            }
            // A webhook may answer with any status; what it refuses is the content.
            403 if refusal.message.starts_with("admission webhook") => {
                ApplyError::Rejected { object, reason }
            }
            403 => ApplyError::Forbidden { object, reason },
            404 if refusal.details.kind == "namespaces"
                && self.object.namespace.as_deref() == Some(refusal.details.name.as_str()) =>
            {
                self.namespace("does not exist")
            }
            404 if refusal.is_unknown_path() => self.unknown_kind(),
            404 => stale(reason),
            // The server's structured merge refuses content it has no schema for with a bare
            // 500 (seen on 1.36). The same request can't succeed.
            500 if refusal
                .message
                .starts_with("failed to create typed patch object") =>
            {
                ApplyError::Rejected { object, reason }
            }
            400 | 405 | 406 | 413 | 414 | 415 | 422 => ApplyError::Rejected { object, reason },
            _ => ApplyError::Unavailable {
                what: object.to_string(),
                reason,
                retry_after: refusal.retry_after,
                source: None,
            },
        }
    }

    fn namespace(self, reason: &'static str) -> ApplyError {
        ApplyError::Namespace {
            object: self.object.clone(),
            reason,
        }
    }

    fn reason(self, refusal: &Refusal) -> String {
        if self.is_sensitive() {
            concealed(refusal)
        } else {
            told(refusal)
        }
    }

    /// The warnings that may be passed on.
    pub(crate) fn warnings(self, warnings: Vec<String>) -> Vec<String> {
        if self.is_sensitive() && !warnings.is_empty() {
            vec![format!(
                "{} warning(s) of the server are not shown, as they may quote the secret",
                warnings.len()
            )]
        } else {
            warnings
        }
    }
}

/// What the server said, in one line.
pub(crate) fn told(refusal: &Refusal) -> String {
    let code = match refusal.code {
        401 => "401, the credentials were refused".to_owned(),
        code => code.to_string(),
    };
    if refusal.message.is_empty() {
        format!("HTTP {code}")
    } else if matches!(refusal.code, 400 | 403 | 404 | 409 | 422) {
        refusal.message.clone()
    } else {
        format!("{} (HTTP {code})", refusal.message)
    }
}

/// What can be said of a refusal whose text may quote a secret: its status, and which of
/// the fields that every Secret has it is about.
fn concealed(refusal: &Refusal) -> String {
    let fields: std::collections::BTreeSet<&str> = refusal
        .details
        .causes
        .iter()
        .filter_map(|cause| {
            ["metadata", "data", "stringData", "type", "immutable"]
                .into_iter()
                .find(|field| {
                    cause
                        .field
                        .trim_start_matches('.')
                        .strip_prefix(field)
                        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
                })
        })
        .collect();
    let mut text = format!("HTTP {}", refusal.code);
    // A reason is one word of the API's own; what is longer is not a reason.
    if !refusal.reason.is_empty()
        && refusal.reason.len() <= 40
        && refusal.reason.chars().all(|c| c.is_ascii_alphabetic())
    {
        text = format!("{text} {}", refusal.reason);
    }
    if !fields.is_empty() {
        let fields: Vec<_> = fields.into_iter().collect();
        text = format!("{text} about {}", fields.join(", "));
    }
    format!("{text}; the server's message is not shown, as it may quote the secret")
}

/// What the failure of a request that is about no object means.
pub(crate) fn unavailable(what: impl Into<String>, failure: Failure) -> ApplyError {
    let what = what.into();
    match failure {
        Failure::Refused(refusal) => ApplyError::Unavailable {
            what,
            reason: told(&refusal),
            retry_after: refusal.retry_after,
            source: None,
        },
        Failure::Unreachable { reason, source } => ApplyError::Unavailable {
            what,
            reason,
            retry_after: None,
            source,
        },
    }
}

/// What the failure of a request about an inventory means.
pub(crate) fn store_error(name: &str, failure: Failure) -> StoreError {
    let name = name.to_owned();
    match failure {
        Failure::Refused(refusal) => {
            let terminating = refusal
                .details
                .causes
                .iter()
                .any(|cause| cause.reason == "NamespaceTerminating");
            let no_namespace = refusal.code == 404 && refusal.details.kind == "namespaces";
            match refusal.code {
                // A shard that we knew and that is gone was deleted by somebody.
                404 if !no_namespace => StoreError::Conflict { name },
                409 => StoreError::Conflict { name },
                403 if !terminating => StoreError::Forbidden {
                    name,
                    reason: told(&refusal),
                },
                _ => StoreError::Unavailable {
                    reason: if no_namespace {
                        format!(
                            "namespace {:?} does not exist; create it, or keep the inventory in \
                             another one (inventory_namespace)",
                            one_line(&refusal.details.name, 63)
                        )
                    } else {
                        told(&refusal)
                    },
                    name,
                    source: None,
                },
            }
        }
        Failure::Unreachable { reason, source } => StoreError::Unavailable {
            name,
            reason,
            source,
        },
    }
}

/// One line that says what came of a request, for a watch.
pub(crate) fn in_one_line(failure: &Failure) -> String {
    match failure {
        Failure::Refused(refusal) => told(refusal),
        Failure::Unreachable { reason, source } => {
            let mut text = reason.clone();
            let mut cause: Option<&(dyn std::error::Error + 'static)> =
                source.as_deref().map(|source| source as _);
            // A chain of a few; one that never ends is cut.
            for _ in 0..6 {
                let Some(error) = cause else { break };
                let line = one_line(&error.to_string(), 200);
                if !text.contains(&line) {
                    text = format!("{text}: {line}");
                }
                cause = error.source();
            }
            text
        }
    }
}
