//! The engine: decisions as a pure step function.
//!
//! [`Engine::step`] takes an [`Input`] and gives [`Effect`]s; see there. The
//! [`Reconciler`](crate::Reconciler) is the async shell around it.

mod drift;
mod effect;
mod execution;
mod heals;
mod machine;

pub use effect::{Effect, EffectId, Goal, Input, Outcome, Request, Response};
pub use machine::{Engine, EngineConfig};

use crate::{ApplyError, Digest, Plan, RenderError, SourceError, StoreError};

/// What the source was asked when it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceStage {
    /// Which revision is newest.
    Resolve,
    /// The files of a revision.
    Fetch,
}

/// Why a pass could not be made.
///
/// One object's trouble is no such error: it is in the [`Report`](crate::Report). After any of
/// these nothing was pruned.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReconcileError {
    /// The source could not be read.
    #[error("{}", match stage {
        SourceStage::Resolve => "the source could not be resolved",
        SourceStage::Fetch => "the revision could not be fetched",
    })]
    Source {
        /// What it was asked.
        stage: SourceStage,
        /// What it said.
        source: SourceError,
    },
    /// Nothing could be rendered.
    #[error("the revision could not be rendered")]
    Render(#[source] RenderError),
    /// The inventory could not be loaded.
    #[error("the inventory could not be loaded")]
    Store(#[source] StoreError),
    /// The target could not be asked what it knows.
    #[error("the target could not be reached")]
    Applier(#[source] ApplyError),
    /// The world is not what it was when the plan was made. Nothing was written.
    #[error(
        "the plan {} is not what there is to do any more; make a new one and look at it",
        asked.short()
    )]
    Moved {
        /// The digest of the plan that was to be executed.
        asked: Digest,
        /// What there is to do now.
        now: Box<Plan>,
    },
    /// It was stopped before it could finish.
    #[error("stopped before it was finished")]
    Stopped,
    /// Another call on this reconciler is under way.
    #[error("another call on this reconciler is under way")]
    Busy,
    /// A mistake of ours.
    #[error("internal: {0}; please report this")]
    Internal(&'static str),
}

impl ReconcileError {
    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Source { source, .. } => source.is_retryable(),
            Self::Render(error) => error.is_retryable(),
            Self::Store(error) => error.is_retryable(),
            Self::Applier(error) => error.is_retryable(),
            Self::Stopped | Self::Busy => true,
            Self::Moved { .. } | Self::Internal(_) => false,
        }
    }

    /// The error and its causes in one line.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            let next = error.to_string();
            // Some errors repeat their cause in their own text.
            if !text.ends_with(&next) {
                text.push_str(": ");
                text.push_str(&next);
            }
            cause = error.source();
        }
        text
    }
}
