//! Vocabulary, seams, plan, policy and engine of the GitOps SDK.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod digest;
mod field;
mod id;
pub mod yaml;

pub use digest::{Digest, ParseDigestError};
pub use field::{FieldChange, FieldConflict, FieldOwner, FieldPath, FieldValue, PathElement};
pub use id::{FieldManager, GroupKind, GroupVersionKind, InvalidName, ObjectId, ReconcilerName};
