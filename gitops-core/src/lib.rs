//! Vocabulary, seams, plan, policy and engine of the GitOps SDK.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod applier;
mod clock;
mod differ;
mod digest;
pub mod engine;
mod event;
mod field;
mod id;
mod inventory;
mod manifest;
mod order;
mod owner;
mod path;
mod plan;
pub mod planner;
mod policy;
#[cfg(feature = "engine")]
mod reconciler;
mod redact;
mod renderer;
mod report;
mod revision;
mod snapshot;
mod source;
pub mod yaml;

pub use applier::{
    Applied, Applier, ApplyError, ApplyRequest, DeleteRequest, Deleted, Depth, KindInfo, LiveEvent,
    LiveObject, Observation, Precondition, Wanted, WriteOutcome,
};
pub use clock::{Clock, ManualClock, SystemClock};
pub use differ::{DiffError, DiffRequest, Differ, Difference};
pub use digest::{Digest, ParseDigestError};
pub use engine::{ReconcileError, SourceStage};
pub use event::{AuditRecord, Event, EventKind, EventSink, MemoryAudit};
pub use field::{FieldChange, FieldConflict, FieldOwner, FieldPath, FieldValue, PathElement};
pub use id::{FieldManager, GroupKind, GroupVersionKind, InvalidName, ObjectId, ReconcilerName};
pub use inventory::{Inventory, InventoryEntry, InventoryStore, MemoryInventory, StoreError};
pub use manifest::{Manifest, ManifestError, Origin};
pub use order::wave_of;
pub use owner::{
    OWNER_ANNOTATION, Owner, RECONCILER_LABEL, keep_mark, mark_owned, owner_mark, owner_of,
};
pub use path::{PathError, RelPath};
pub use plan::{Action, Plan, Problem, PruneHold, Verb};
pub use policy::{
    Adoption, Conflicts, FailureDomain, Heal, ParsePruneLimitError, Policy, Prune, PruneLimit,
    retry_delay,
};
#[cfg(feature = "engine")]
#[cfg_attr(docsrs, doc(cfg(feature = "engine")))]
pub use reconciler::{BuildError, EventStream, Reconciler, ReconcilerBuilder};
pub use redact::Redacted;
pub use renderer::{RenderError, Rendered, Renderer};
pub use report::{ObjectOutcome, ObjectReport, Report};
pub use revision::{Person, Revision, RevisionId};
pub use snapshot::{
    EntryKind, Snapshot, SnapshotError, SnapshotLimits, Tree, TreeContent, TreeEntry,
};
pub use source::{Source, SourceError, SourceErrorKind};

/// Any error, as a cause.
pub type BoxError = Box<dyn std::error::Error + Send + Sync + 'static>;
