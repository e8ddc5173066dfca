//! Renderers that turn the files of a revision into manifests.
//!
//! Each implements [`Renderer`](gitops_core::Renderer). [`PlainYaml`] takes manifests as
//! they stand in the files.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod pattern;
mod plain;

pub use pattern::{PathPattern, PatternError};
pub use plain::PlainYaml;
