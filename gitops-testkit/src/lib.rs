//! Fake clusters, fake Git repositories and contracts for testing GitOps reconcilers
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod arb;
pub mod cluster;
pub mod conformance;
pub mod crd;
pub mod kinds;
pub mod laws;
mod memory;
pub mod repo;

pub use memory::MemorySource;
pub use repo::FakeRepo;
