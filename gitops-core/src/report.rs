//! What a reconciler did.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    Digest, FieldConflict, ObjectId, Origin, Problem, PruneHold, ReconcilerName, Revision,
};

/// How one object fared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[serde(
    tag = "outcome",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
#[non_exhaustive]
pub enum ObjectOutcome {
    /// It was made.
    Created,
    /// It was changed.
    Updated,
    /// It was taken over.
    Adopted,
    /// It was already as desired when it was written, or needed only to be recorded.
    Unchanged,
    /// It was deleted and is gone.
    Pruned,
    /// It is deleted and waits for its finalizers. It stays in the inventory.
    Terminating,
    /// It was withdrawn and left where it is, and is not ours any more.
    Released {
        /// The mark that keeps it.
        reason: String,
    },
    /// It was left as it is, as policy says, and stays in the inventory.
    Kept {
        /// What policy says.
        reason: String,
    },
    /// It was withdrawn and had gone already.
    Forgotten,
    /// Nothing was done for it.
    Skipped {
        /// Why.
        reason: String,
    },
    /// It was tried and failed.
    Failed {
        /// What went wrong.
        error: String,
        /// Whether trying again may help.
        retryable: bool,
    },
}

impl ObjectOutcome {
    /// Whether the object is as it should be.
    #[must_use]
    pub fn is_success(&self) -> bool {
        !matches!(self, Self::Skipped { .. } | Self::Failed { .. })
    }

    /// Whether the target was changed.
    #[must_use]
    pub fn wrote(&self) -> bool {
        matches!(
            self,
            Self::Created | Self::Updated | Self::Adopted | Self::Pruned | Self::Terminating
        )
    }

    /// The outcome in one lower-case word.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Adopted => "adopted",
            Self::Unchanged => "unchanged",
            Self::Pruned => "pruned",
            Self::Terminating => "terminating",
            Self::Released { .. } => "released",
            Self::Kept { .. } => "kept",
            Self::Forgotten => "forgotten",
            Self::Skipped { .. } => "skipped",
            Self::Failed { .. } => "failed",
        }
    }
}

/// What was done to one object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ObjectReport {
    /// Which object.
    pub object: ObjectId,
    /// The file that asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// How it fared.
    #[serde(flatten)]
    pub outcome: ObjectOutcome,
    /// The fields that were changed, as paths.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<String>,
    /// The fields that were taken from other managers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forced: Vec<FieldConflict>,
    /// What the server warned of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

impl fmt::Display for ObjectReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<12}{}", self.outcome.name(), self.object)?;
        match &self.outcome {
            // Errors name the object themselves.
            ObjectOutcome::Failed { error, .. } => {
                let name = format!("{}: ", self.object);
                write!(f, ": {}", error.strip_prefix(&name).unwrap_or(error))?;
            }
            ObjectOutcome::Skipped { reason }
            | ObjectOutcome::Released { reason }
            | ObjectOutcome::Kept { reason } => {
                write!(f, ": {reason}")?;
            }
            _ if !self.fields.is_empty() => {
                let shown: Vec<_> = self.fields.iter().take(4).map(String::as_str).collect();
                write!(f, "  {}", shown.join(" "))?;
                let more = self.fields.len() - shown.len();
                if more > 0 {
                    write!(f, " and {more} more")?;
                }
            }
            _ => {}
        }
        if !self.outcome.is_success()
            && let Some(origin) = &self.origin
        {
            write!(f, "  ({origin})")?;
        }
        Ok(())
    }
}

/// What one pass did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Report {
    /// Whose pass it was.
    pub reconciler: ReconcilerName,
    /// The revision that was applied.
    pub revision: Revision,
    /// The digest of the plan that was executed.
    pub plan: Digest,
    /// The objects that something was done for, or ought to have been.
    pub objects: Vec<ObjectReport>,
    /// How many objects were already as desired and were not touched.
    pub unchanged: usize,
    /// What is wrong with what is desired.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
    /// Why nothing was pruned, if something ought to have been.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<PruneHold>,
    /// What went wrong beside the objects: the inventory could not be saved.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<String>,
    /// Whether the pass was cut short by a shutdown or a newer revision.
    #[serde(default)]
    pub interrupted: bool,
    /// How long it took, in milliseconds in JSON.
    #[serde(with = "milliseconds")]
    #[cfg_attr(feature = "schemars", schemars(with = "f64"))]
    pub took: Duration,
}

mod milliseconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_f64(value.as_secs_f64() * 1000.0)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        let milliseconds = f64::deserialize(from)?;
        Duration::try_from_secs_f64(milliseconds / 1000.0).map_err(serde::de::Error::custom)
    }
}

impl Report {
    /// Whether all that is desired is applied, and all that was withdrawn is on its way out.
    #[must_use]
    pub fn is_success(&self) -> bool {
        !self.interrupted
            && self.problems.is_empty()
            && self.errors.is_empty()
            && self.hold.is_none()
            && self
                .objects
                .iter()
                .all(|object| object.outcome.is_success())
    }

    /// How many objects were written.
    #[must_use]
    pub fn written(&self) -> usize {
        self.objects
            .iter()
            .filter(|object| object.outcome.wrote())
            .count()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for object in &self.objects {
            writeln!(f, "{object}")?;
        }
        for problem in &self.problems {
            writeln!(f, "problem     {problem}")?;
        }
        for error in &self.errors {
            writeln!(f, "error       {error}")?;
        }
        if let Some(hold) = &self.hold {
            writeln!(f, "held        {hold}")?;
        }
        if self.interrupted {
            writeln!(f, "interrupted; the rest follows in the next pass")?;
        }
        write!(
            f,
            "{} at {}: {} written, {} unchanged, in {:.1?}",
            self.reconciler,
            self.revision,
            self.written(),
            self.unchanged,
            self.took
        )
    }
}
