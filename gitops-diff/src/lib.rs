#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod differ;
pub mod equality;
pub mod fieldset;
pub mod ignore;
pub mod managed;
pub mod normalize;
pub mod patch;
pub mod quantity;
pub mod schema;
pub mod text;
pub mod typed;
mod value;

pub use differ::SchemaDiffer;

// What appears in the signatures of this crate, so that it is enough to depend on it alone.
#[doc(no_inline)]
pub use gitops_core::{
    self, DiffError, DiffRequest, Differ, Difference, FieldChange, FieldConflict, FieldManager,
    FieldOwner, FieldPath, FieldValue, GroupKind, GroupVersionKind, Manifest, ObjectId, Origin,
    PathElement,
};
#[doc(no_inline)]
pub use jiff::Timestamp;
#[doc(no_inline)]
pub use serde_json;
