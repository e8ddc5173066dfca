//! Kubernetes as the target of a GitOps reconciler.
//!
//! [`KubeApplier`] is the [`Applier`](gitops_core::Applier): it says what runs, makes it what
//! Git says, takes away what was withdrawn, and tells when something moved.
//! [`KubeInventory`] remembers in ConfigMaps what a reconciler made; an applier brings one
//! along. [`connect()`] makes a client that suits them.
//!
//! ```
//! use futures::StreamExt as _;
//! use gitops_core::{
//!     Applier, ApplyRequest, Depth, LiveEvent, Manifest, Origin, Owner, Precondition, Wanted,
//!     WriteOutcome, mark_owned,
//! };
//! use gitops_kube::KubeApplier;
//! use gitops_testkit::cluster::FakeCluster;
//! use serde_json::json;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! // With a real cluster: `gitops_kube::connect().await?`.
//! let client = FakeCluster::new().client();
//! let applier = KubeApplier::builder(client).reconciler("payments").build()?;
//!
//! let settings = Manifest::new(
//!     json!({
//!         "apiVersion": "v1", "kind": "ConfigMap",
//!         "metadata": {"name": "settings", "namespace": "default"},
//!         "data": {"mode": "fast"},
//!     }),
//!     Origin::new("settings.yaml".parse()?, 1, 1),
//! )?;
//! let settings = mark_owned(&settings, &"payments".try_into()?);
//! let create = ApplyRequest::new(settings.clone(), Precondition::Absent);
//! let applied = applier.apply(&create).await?;
//! assert_eq!(applied.outcome, WriteOutcome::Created);
//!
//! // Now it is there, and says whose it is; nobody touched a field of ours.
//! let wanted = Wanted {
//!     id: settings.id().clone(),
//!     version: "v1".into(),
//!     depth: Depth::Metadata,
//! };
//! let mut events = applier.watch(vec![wanted]);
//! let Some(LiveEvent::Seen(live)) = events.next().await else {
//!     panic!("it was just made");
//! };
//! assert_eq!(live.owner, Owner::Us);
//! assert_eq!(live.baseline, applied.baseline);
//!
//! // What must not be there is not overwritten.
//! let error = applier.apply(&create).await.unwrap_err();
//! assert_eq!(
//!     error.to_string(),
//!     "ConfigMap default/settings: moved since it was read: there is such an object by now"
//! );
//! # Ok(())
//! # })
//! # }
//! ```
//!
//! # What is sent
//!
//! | for | request |
//! |---|---|
//! | kinds | the aggregated discovery, two requests; again only for kinds that are not known, at most once a second, or after a definition was applied. One request per group on servers without it |
//! | up to four objects of a kind | one `GET` each, of the metadata only where no more is wanted |
//! | more | lists of metadata, page by page: first of what carries our mark, then of what is left |
//! | an apply | one `PATCH` with `fieldValidation=Strict`, as `kubectl apply` does: what the server has no field for is refused rather than dropped |
//! | a delete | one `DELETE` with uid and resourceVersion |
//! | drift | one watch of metadata per kind; no body, no dry run |
//! | the inventory | one write per ConfigMap whose content changed |
//!
//! How a precondition is told to the server: [`Precondition::Uid`](gitops_core::Precondition) and
//! `Version` stand in the applied object's metadata. For `Absent` it holds a
//! resourceVersion that no object has, so that an object that exists is a conflict; an apply
//! that creates is not held up by it.
//!
//! # What is not passed on
//!
//! A server may quote what it refuses, and so may a webhook. Of a Secret, its messages and
//! warnings are left out of errors; the status and the field stay. All other messages are
//! put on one line and cut at 1,024 characters.
//!
//! # Rights
//!
//! `get`, `list`, `watch`, `create`, `patch` and `delete` of what is applied; `get`, `list`,
//! `create` and `update` of ConfigMaps where the inventory is. Where the whole cluster may not
//! be listed or watched, namespaces are: those that
//! [`namespaces`](KubeApplierBuilder::namespaces) names, or those that something is in.
//!
//! # Features
//!
//! * `k8s-latest` (default): chooses the newest Kubernetes version that `k8s-openapi` knows,
//!   as one has to be chosen. No type of it shows here; turn it off where your own
//!   dependencies choose another.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod applier;
mod conflict;
mod connect;
mod discovery;
mod failure;
mod inventory;
mod live;
mod observe;
mod settle;
mod transport;
mod watch;

pub use applier::{BuildError, KubeApplier, KubeApplierBuilder};
pub use connect::{ConnectError, client_from, connect, connect_with, install_crypto_provider};
pub use inventory::{INVENTORY_LABEL, KubeInventory};
