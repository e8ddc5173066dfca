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
