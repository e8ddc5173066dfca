//! Schema-aware differences, structured merge and field ownership for Kubernetes objects
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod equality;
pub mod fieldset;
pub mod managed;
pub mod patch;
pub mod quantity;
pub mod schema;
pub mod typed;
mod value;
