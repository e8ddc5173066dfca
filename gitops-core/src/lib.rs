//! Vocabulary, seams, plan, policy and engine of the GitOps SDK.
//!
//! A reconciler pulls a revision from a [`Source`], renders it with a [`Renderer`], compares it with
//! what runs by a [`Differ`], and makes it real with an [`Applier`]. This crate has those four
//! seams, the values that go between them, and the engine that drives them. It knows no
//! network, no Kubernetes client and no Git: those are the other crates of the workspace, or
//! yours.
//!
//! # Three ways to use it
//!
//! ## Embed a reconciler in your operator
//!
//! Put the parts together, and ask for a [`Plan`], execute it, or [run](Reconciler::run) for ever.
//! Here the repository and the cluster are those of the testkit; a real URL and a
//! `kube::Client` of yours go in the same places.
//!
//! ```
//! # #[cfg(feature = "engine")]
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use gitops_core::{Policy, PruneLimit, Reconciler};
//! use gitops_diff::SchemaDiffer;
//! use gitops_git::GitSource;
//! use gitops_kube::KubeApplier;
//! use gitops_render::PlainYaml;
//! use gitops_testkit::{FakeRepo, cluster::FakeCluster};
//!
//! let repo = FakeRepo::new()?;
//! let config = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {mode: fast}\n";
//! repo.commit("Be fast").file("clusters/prod/settings.yaml", config).save()?;
//! let cluster = FakeCluster::new();
//!
//! let reconciler = Reconciler::builder("payments-prod")
//!     .source(GitSource::builder(repo.url()).branch("main").path("clusters/prod").build()?)
//!     .renderer(PlainYaml::new())
//!     .differ(SchemaDiffer::default())
//!     .applier(KubeApplier::builder(cluster.client()).reconciler("payments-prod").build()?)
//!     .policy(Policy::default().prune(PruneLimit::percent(20)))
//!     .build()?;
//!
//! let plan = reconciler.plan().await?; // a value: print it, store it, review it
//! assert_eq!(plan.actions[0].object.to_string(), "ConfigMap default/settings");
//! assert_eq!(plan.counts()["create"], 1);
//!
//! let report = reconciler.execute(plan).await?; // exactly that, or nothing
//! assert!(report.is_success(), "{report}");
//!
//! let mark = cluster.mark();
//! assert!(reconciler.plan().await?.is_empty(), "and then there is nothing to do");
//! cluster.assert_no_writes_since(mark);
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "engine"))]
//! # fn main() {}
//! ```
//!
//! ## Write a source of your own
//!
//! Implement [`Source`], and run the testkit's contract suite on it: it checks that a revision never
//! moves, that an error is never an empty snapshot, that digests agree with content.
//!
//! ```
//! use std::sync::Arc;
//!
//! use async_trait::async_trait;
//! use gitops_core::{BoxError, Revision, Snapshot, Source, SourceError};
//! use gitops_testkit::conformance::{self, Files, SourceFixture};
//! use tokio::sync::watch;
//!
//! /// Releases that somebody uploads; the newest one counts.
//! struct Releases {
//!     uploaded: watch::Receiver<Vec<Files>>,
//!     seen: tokio::sync::Mutex<watch::Receiver<Vec<Files>>>,
//! }
//!
//! #[async_trait]
//! impl Source for Releases {
//!     async fn resolve(&self) -> Result<Revision, SourceError> {
//!         match self.uploaded.borrow().len() {
//!             0 => Err(SourceError::not_found("a release")),
//!             newest => Ok(Revision::new(format!("release-{newest}"))),
//!         }
//!     }
//!
//!     async fn fetch(&self, revision: &Revision) -> Result<Snapshot, SourceError> {
//!         let number = revision.id.as_str().strip_prefix("release-");
//!         let at = number.and_then(|number| number.parse::<usize>().ok()?.checked_sub(1));
//!         let releases = self.uploaded.borrow();
//!         let files = at.and_then(|at| releases.get(at));
//!         let files = files.ok_or_else(|| SourceError::not_found(&revision.id))?;
//!         Snapshot::from_files(files.clone()).map_err(SourceError::invalid)
//!     }
//!
//!     async fn changed(&self) {
//!         // It fails when nobody can upload any more; then nothing changes.
//!         if self.seen.lock().await.changed().await.is_err() {
//!             std::future::pending().await
//!         }
//!     }
//!
//!     fn describe(&self) -> String {
//!         "the releases".into()
//!     }
//! }
//!
//! /// How the contract suite makes one, and puts something into it.
//! struct Fixture(watch::Sender<Vec<Files>>);
//!
//! #[async_trait]
//! impl SourceFixture for Fixture {
//!     async fn source(&mut self) -> Result<Arc<dyn Source>, BoxError> {
//!         let (uploaded, seen) = (self.0.subscribe(), self.0.subscribe().into());
//!         Ok(Arc::new(Releases { uploaded, seen }))
//!     }
//!
//!     async fn commit(&mut self, files: &Files) -> Result<(), BoxError> {
//!         self.0.send_modify(|releases| releases.push(files.clone()));
//!         Ok(())
//!     }
//!
//!     fn unknown(&self) -> Revision {
//!         Revision::new("release-99")
//!     }
//!
//!     fn tells(&self) -> bool {
//!         true
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! conformance::source(|| Fixture(watch::Sender::new(Vec::new()))).await.unwrap();
//! # }
//! ```
//!
//! ## Property-test diff logic
//!
//! Take manifests and edits from the testkit's strategies, and hand your [`Differ`] to its laws. What
//! breaks is shrunk to a small manifest and a short list of edits.
//!
//! ```
//! use gitops_core::{DiffError, DiffRequest, Differ, Difference, FieldChange};
//! use gitops_diff::SchemaDiffer;
//! use gitops_testkit::{arb, laws};
//! use proptest::prelude::*;
//!
//! /// A differ of your own: as the schema says, but nobody here cares about labels.
//! struct NoLabels(SchemaDiffer);
//!
//! impl Differ for NoLabels {
//!     fn diff(&self, request: &DiffRequest<'_>) -> Result<Difference, DiffError> {
//!         let mut difference = self.0.diff(request)?;
//!         let label = |change: &FieldChange| change.path.to_string().starts_with(".metadata.labels");
//!         difference.changes.retain(|change| !label(change));
//!         Ok(difference)
//!     }
//! }
//!
//! let differ = NoLabels(SchemaDiffer::default());
//! proptest!(ProptestConfig::with_cases(32), |(manifest in arb::manifest(), edit in arb::edit())| {
//!     laws::differ::reflexive(&differ, &manifest)?;
//!     laws::differ::key_order(&differ, &manifest, &edit)?;
//! });
//! // All laws at once find out what it hides.
//! let broken = laws::Check::new().seed(7).differ(&differ).unwrap_err();
//! assert_eq!(broken.law(), "found", "{broken}");
//! ```
//!
//! # How it is made
//!
//! Decisions are pure. [`planner`] turns desired state, an observation and an inventory into a
//! [`Plan`]; [`engine::Engine`] is a step machine without clock or network around it; and
//! [`Reconciler`] is the async shell that carries out what it asks for. What must always hold is in the
//! contracts of the seams and in the docs of [`InventoryStore`], [`Policy`] and [`Plan`].
//!
//! # Features
//!
//! | feature | default | what it brings | what it costs |
//! |---|---|---|---|
//! | `engine` | yes | [`Reconciler`] | tokio's runtime, timers and channels |
//! | `schemars` | yes | JSON Schema of [`Policy`], [`Plan`], [`Inventory`], [`Report`], to embed them in a CRD | schemars |
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
pub use revision::{Person, Revision, RevisionId, Signer};
pub use snapshot::{
    EntryKind, Snapshot, SnapshotError, SnapshotLimits, Tree, TreeContent, TreeEntry,
};
pub use source::{Source, SourceError, SourceErrorKind};

/// Any error, as a cause.
pub type BoxError = Box<dyn std::error::Error + Send + Sync + 'static>;
