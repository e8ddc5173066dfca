//! What a reconciler is about to do, as a value.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::manifest::canonical_json;
use crate::{
    Digest, FieldChange, FieldConflict, ObjectId, Origin, Owner, PruneLimit, ReconcilerName,
    Revision, RevisionId,
};

/// Something that is wrong with what is desired, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// Where, if it is in a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// Which object, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<ObjectId>,
    /// What is wrong, in one line that names the place and says what to do.
    pub message: String,
}

impl Problem {
    /// A problem of which only the message is known.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            origin: None,
            object: None,
            message: message.into(),
        }
    }

    /// Adds where it is.
    #[must_use]
    pub fn at(mut self, origin: Origin) -> Self {
        self.origin = Some(origin);
        self
    }

    /// Adds which object it is about.
    #[must_use]
    pub fn about(mut self, object: ObjectId) -> Self {
        self.object = Some(object);
        self
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// What is done to one object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[serde(
    tag = "verb",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
#[non_exhaustive]
pub enum Verb {
    /// It isn't there: make it.
    Create,
    /// It differs: change it.
    Update {
        /// The uid that it must still have.
        uid: String,
        /// The fields that change.
        changes: Vec<FieldChange>,
        /// The fields that are taken from other managers.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        forced: Vec<FieldConflict>,
    },
    /// It is there and not in the inventory: take it over.
    Adopt {
        /// The uid that it must still have.
        uid: String,
        /// To whom it belongs now.
        from: Owner,
        /// The fields that change.
        changes: Vec<FieldChange>,
        /// The fields that are taken from other managers.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        forced: Vec<FieldConflict>,
    },
    /// It is already as desired: only the inventory has to learn of it.
    Record {
        /// Its uid.
        uid: String,
        /// The fingerprint of what we own of it.
        baseline: Option<Digest>,
    },
    /// It was withdrawn: delete it.
    Prune {
        /// The uid that it must still have.
        uid: String,
    },
    /// It was withdrawn and may not be deleted: forget it and leave it where it is.
    Release {
        /// The mark that keeps it, or whose it is now.
        reason: String,
    },
    /// It is left as it is, as policy says, and stays in the inventory.
    Keep {
        /// What policy says.
        reason: String,
    },
    /// It was withdrawn and is gone already: forget it.
    Forget,
    /// Nothing can be done for it.
    Skip {
        /// Why, and what to do.
        reason: String,
    },
}

impl Verb {
    /// The verb in one lower-case word.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update { .. } => "update",
            Self::Adopt { .. } => "adopt",
            Self::Record { .. } => "record",
            Self::Prune { .. } => "prune",
            Self::Release { .. } => "release",
            Self::Keep { .. } => "keep",
            Self::Forget => "forget",
            Self::Skip { .. } => "skip",
        }
    }

    /// Whether it changes the target.
    #[must_use]
    pub fn writes(&self) -> bool {
        matches!(
            self,
            Self::Create | Self::Update { .. } | Self::Adopt { .. } | Self::Prune { .. }
        )
    }
}

/// One step of a [`Plan`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Action {
    /// Which object.
    pub object: ObjectId,
    /// In which version it is spoken of.
    pub version: String,
    /// When it is its turn: actions of a lower wave come first, those of one wave may
    /// go side by side.
    pub wave: u16,
    /// The file that asks for it. None for what was withdrawn.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// The digest of the manifest that is applied. None for a prune, and none for an object
    /// whose content is secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub desired: Option<Digest>,
    /// What is done.
    #[serde(flatten)]
    pub verb: Verb,
}

/// Why withdrawn objects are kept although policy prunes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum PruneHold {
    /// Something could not be rendered, observed or planned, so it isn't known what is
    /// withdrawn.
    Incomplete,
    /// There are more than policy allows.
    #[serde(rename_all = "camelCase")]
    Limit {
        /// How many would have gone.
        withdrawn: usize,
        /// Of how many.
        held: usize,
        /// What is allowed.
        limit: PruneLimit,
    },
    /// Other objects failed while the plan was executed. They may have been meant to take the
    /// place of what was withdrawn. Never in a plan, only in a [`Report`](crate::Report).
    #[serde(rename_all = "camelCase")]
    Failed {
        /// How many would have gone.
        withdrawn: usize,
    },
}

impl fmt::Display for PruneHold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Incomplete => f.write_str(
                "nothing is pruned, since not everything could be read; mend the problems first",
            ),
            Self::Failed { withdrawn: 1 } => {
                f.write_str("1 withdrawn object is not pruned, as others failed in this pass")
            }
            Self::Failed { withdrawn } => write!(
                f,
                "{withdrawn} withdrawn objects are not pruned, as others failed in this pass"
            ),
            Self::Limit {
                withdrawn,
                held,
                limit,
            } => write!(
                f,
                "nothing is pruned: {withdrawn} of {held} objects were withdrawn, the limit is \
                 {limit}; if this is meant, consent to the revision or raise the limit"
            ),
        }
    }
}

/// What a reconciler is about to do: a value to print, store, review and test.
///
/// A plan is a function of the revision, what runs, the inventory and the policy. It holds
/// no manifest, only digests, and no secret, so it may be shown to anybody who may see the
/// objects' names. To execute it the revision is rendered again, which always gives the
/// same, and the world is looked at again: if that doesn't lead to the same plan, it moved
/// and the plan is refused. Versions of objects are not part of it, as a status that a
/// controller writes is no reason to refuse; they are part of every write.
///
/// `Display` prints it for people, serde as JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Plan {
    /// Whose plan it is.
    pub reconciler: ReconcilerName,
    /// The revision that was applied last, if one was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<RevisionId>,
    /// The revision that is applied.
    pub target: Revision,
    /// The steps, in the order of their waves.
    pub actions: Vec<Action>,
    /// What is wrong with what is desired.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
    /// Why nothing is pruned, if something ought to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<PruneHold>,
    /// How many objects are already as desired and need nothing.
    pub unchanged: usize,
}

impl Plan {
    /// The digest of all of it. Two plans with one digest do the same.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let value = serde_json::to_value(self).unwrap_or_default();
        Digest::of(canonical_json(&value).as_bytes())
    }

    /// Whether there is nothing to do, nothing to say and nothing to complain of.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.actions.is_empty() && self.problems.is_empty() && self.hold.is_none()
    }

    /// Whether executing it would write to the target.
    #[must_use]
    pub fn writes(&self) -> bool {
        self.actions.iter().any(|action| action.verb.writes())
    }

    /// How many actions there are of each verb.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<&'static str, usize> {
        let mut counts = BTreeMap::new();
        for action in &self.actions {
            *counts.entry(action.verb.name()).or_default() += 1;
        }
        counts
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "plan for {} at {}", self.reconciler, self.target)?;
        for action in &self.actions {
            write!(f, "  {:<8}{}", action.verb.name(), action.object)?;
            match &action.origin {
                Some(origin) => writeln!(f, "  ({origin})")?,
                None => writeln!(f)?,
            }
            match &action.verb {
                Verb::Update {
                    changes, forced, ..
                }
                | Verb::Adopt {
                    changes, forced, ..
                } => {
                    if let Verb::Adopt { from, .. } = &action.verb {
                        writeln!(f, "            from {from}")?;
                    }
                    for change in changes {
                        writeln!(f, "            {change}")?;
                    }
                    for conflict in forced {
                        writeln!(f, "            ! takes {conflict}")?;
                    }
                }
                Verb::Skip { reason } | Verb::Release { reason } | Verb::Keep { reason } => {
                    writeln!(f, "            {reason}")?;
                }
                _ => {}
            }
        }
        for problem in &self.problems {
            writeln!(f, "  problem {problem}")?;
        }
        if let Some(hold) = &self.hold {
            writeln!(f, "  held    {hold}")?;
        }
        let counts: Vec<_> = self
            .counts()
            .into_iter()
            .map(|(verb, count)| format!("{count} to {verb}"))
            .collect();
        if counts.is_empty() {
            write!(f, "nothing to do, {} unchanged", self.unchanged)
        } else {
            write!(f, "{}, {} unchanged", counts.join(", "), self.unchanged)
        }
    }
}
