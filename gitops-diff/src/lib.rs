//! Schema-aware differences, structured merge and field ownership for Kubernetes objects
#![cfg_attr(docsrs, feature(doc_cfg))]
pub mod equality;
pub mod patch;
pub mod quantity;
