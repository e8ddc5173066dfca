//! Why a server-side apply was refused.

use std::fmt;

use gitops_core::{FieldConflict, FieldOwner, FieldPath};

use super::entries::Manager;
use crate::fieldset::Step;

/// Why an apply or an update could not be done.
///
/// Each prints as the message of the API server's answer. A message may quote a value
/// that is wrong: for a Secret it must not be shown without care.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ManagedError {
    /// Other managers own fields that the configuration would change (409, `Conflict`).
    #[error(transparent)]
    Conflicts(#[from] Conflicts),
    /// The request can't be meant (400, `BadRequest`).
    #[error("{0}")]
    BadRequest(String),
    /// The object doesn't fit its type, or a version could not be converted. The API
    /// server answers such a thing with status 500, although it is the request that is
    /// wrong.
    #[error("{0}")]
    Internal(String),
}

impl ManagedError {
    /// The HTTP status of the API server's answer.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::Conflicts(_) => 409,
            Self::BadRequest(_) => 400,
            Self::Internal(_) => 500,
        }
    }
}

/// A field that another manager owns.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Conflict {
    /// The field.
    pub path: FieldPath,
    /// Its owner.
    pub manager: Manager<'static>,
}

impl Conflict {
    /// The message of the cause in the API server's answer: `conflict with "alpha"`.
    #[must_use]
    pub fn message(&self) -> String {
        format!("conflict with {}", self.manager)
    }

    /// The field of the cause in the API server's answer: the [path](Self::path), with
    /// texts and numbers of keys as Go prints them.
    #[must_use]
    pub fn field(&self) -> String {
        let elements = self.path.elements();
        elements
            .iter()
            .map(|element| Step::from_element(element).to_string())
            .collect()
    }

    /// As the rest of the SDK has it. The time isn't known here.
    #[must_use]
    pub fn to_field_conflict(&self) -> FieldConflict {
        FieldConflict {
            path: self.path.clone(),
            owner: Some(FieldOwner {
                manager: self.manager.name.clone().into_owned(),
                operation: self.manager.operation.as_str().to_owned(),
                subresource: match self.manager.subresource.as_ref() {
                    "" => None,
                    name => Some(name.to_owned()),
                },
                time: None,
            }),
        }
    }
}

/// The conflicts of one apply, by manager; never empty.
///
/// ```text
/// Apply failed with 3 conflicts: conflicts with "delta" using v1:
/// - .binaryData.bin2
/// conflicts with "gamma":
/// - .data.arrow
/// - .data.bramble
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflicts(pub(crate) Vec<Conflict>);

impl Conflicts {
    /// The conflicts, in the order of the message.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Conflict> {
        self.0.iter()
    }
}

impl fmt::Display for Conflicts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [only] = self.0.as_slice() {
            return write!(
                f,
                "Apply failed with 1 conflict: {}: {}",
                only.message(),
                only.field()
            );
        }
        write!(f, "Apply failed with {} conflicts:", self.0.len())?;
        let mut last: Option<&Manager<'_>> = None;
        for conflict in &self.0 {
            if last != Some(&conflict.manager) {
                let separator = if last.is_none() { ' ' } else { '\n' };
                write!(f, "{separator}conflicts with {}:", conflict.manager)?;
                last = Some(&conflict.manager);
            }
            write!(f, "\n- {}", conflict.field())?;
        }
        Ok(())
    }
}

impl std::error::Error for Conflicts {}
