//! What happens, told as it happens.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use crate::{
    Digest, FieldChange, FieldConflict, ObjectId, ObjectReport, Plan, ReconcilerName, Report,
    Revision, RevisionId, Signer,
};

/// One thing that happened in a reconciler.
///
/// Events are the only way out: logs, metrics, Kubernetes Events, the audit record are all
/// made of them by an [`EventSink`]. They hold no secret.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Event {
    /// When.
    pub time: Timestamp,
    /// In which reconciler.
    pub reconciler: ReconcilerName,
    /// What.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// What an [`Event`] tells of.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(
    tag = "event",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
#[non_exhaustive]
pub enum EventKind {
    /// The source names another revision than before.
    RevisionFound {
        /// The revision.
        revision: Arc<Revision>,
        /// The one before.
        previous: Option<RevisionId>,
    },
    /// There is a plan, and it is about to be executed.
    Planned {
        /// The plan.
        plan: Arc<Plan>,
        /// Its digest.
        digest: Digest,
    },
    /// Something was done to an object, or failed.
    Object {
        /// The revision that asked for it.
        revision: Arc<Revision>,
        /// The digest of the plan it was part of.
        plan: Digest,
        /// What was done.
        report: Box<ObjectReport>,
    },
    /// Somebody changed what Git speaks of.
    Drift {
        /// The object.
        object: ObjectId,
        /// Whether it is gone altogether.
        deleted: bool,
        /// The fields, each with who changed it.
        changes: Vec<FieldChange>,
    },
    /// What had drifted is as Git says again.
    Healed {
        /// The object.
        object: ObjectId,
        /// The fields that were set back, as paths.
        fields: Vec<String>,
        /// Those among them that another manager had taken, with who it was.
        rivals: Vec<FieldConflict>,
        /// From the moment we learnt of the drift until the write was acknowledged, in
        /// seconds in JSON.
        #[serde(serialize_with = "seconds")]
        took: Duration,
    },
    /// Somebody changes what we set back again and again.
    Contested {
        /// The object.
        object: ObjectId,
        /// How often in a row it was healed.
        heals: u32,
        /// How long we wait now, in seconds in JSON.
        #[serde(serialize_with = "seconds")]
        wait: Duration,
        /// Who, as far as the server books it.
        rivals: Vec<String>,
    },
    /// A pass is over.
    Finished {
        /// What it did.
        report: Arc<Report>,
    },
    /// A pass could not even begin, or was given up.
    Failed {
        /// Why.
        error: String,
        /// When the next try is due, in seconds in JSON.
        #[serde(serialize_with = "seconds")]
        retry_in: Duration,
    },
    /// The watch of the target is up to date: from now on drift is seen when it happens.
    Watching,
    /// The watch of the target broke and is set up again.
    WatchInterrupted {
        /// Why.
        reason: String,
    },
}

fn seconds<S: serde::Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_f64(value.as_secs_f64())
}

/// Where events go.
///
/// Called by the reconciler as things happen, so it must neither block nor panic: put the
/// event into a queue and do the slow part elsewhere.
pub trait EventSink: Send + Sync {
    /// Takes one event.
    fn emit(&self, event: &Event);
}

const _: Option<&dyn EventSink> = None;

impl<F: Fn(&Event) + Send + Sync> EventSink for F {
    fn emit(&self, event: &Event) {
        self(event);
    }
}

/// One line of the audit record: who deployed what, when and why, and what came of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct AuditRecord {
    /// When it was done.
    pub time: Timestamp,
    /// By which reconciler.
    pub reconciler: ReconcilerName,
    /// At which revision.
    pub revision: RevisionId,
    /// Who wrote the revision.
    pub author: Option<String>,
    /// Whose signatures under the revision were checked and are good.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub signers: Vec<Signer>,
    /// The first line of the revision's message.
    pub subject: String,
    /// As part of which plan.
    pub plan: Digest,
    /// What was done, and to what.
    #[serde(flatten)]
    pub report: ObjectReport,
}

impl AuditRecord {
    /// The record of an event, if the event is one that is put on record: anything that was
    /// done to an object or failed.
    #[must_use]
    pub fn of(event: &Event) -> Option<Self> {
        let EventKind::Object {
            revision,
            plan,
            report,
        } = &event.kind
        else {
            return None;
        };
        Some(Self {
            time: event.time,
            reconciler: event.reconciler.clone(),
            revision: revision.id.clone(),
            author: revision.author.as_ref().map(|author| author.name.clone()),
            signers: revision.signers.clone(),
            subject: revision.subject().to_owned(),
            plan: *plan,
            report: (**report).clone(),
        })
    }
}

impl fmt::Display for AuditRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {} {} {:<12} {}",
            self.time.strftime("%Y-%m-%dT%H:%M:%SZ"),
            self.revision.short(),
            self.author.as_deref().unwrap_or("-"),
            self.report.outcome.name(),
            self.report.object,
        )?;
        if !self.report.fields.is_empty() {
            write!(f, " {}", self.report.fields.join(" "))?;
        }
        write!(f, "  \"{}\"", self.subject)
    }
}

/// Keeps the audit records of a reconciler in memory. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct MemoryAudit {
    records: Arc<Mutex<Vec<AuditRecord>>>,
}

impl MemoryAudit {
    /// All records, oldest first.
    #[must_use]
    pub fn records(&self) -> Vec<AuditRecord> {
        self.records
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl EventSink for MemoryAudit {
    fn emit(&self, event: &Event) {
        if let Some(record) = AuditRecord::of(event) {
            self.records
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(record);
        }
    }
}
