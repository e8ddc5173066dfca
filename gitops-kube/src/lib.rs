//! Kubernetes as an applier: server-side apply, inventory, drift and prune
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
