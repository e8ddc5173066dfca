//! CustomResourceDefinitions: what the server makes of them, and of their instances.

mod columns;
mod definition;
mod format;
mod rule;
mod schema;
mod structural;

pub use columns::{cells, columns};
pub use schema::Schema;

pub(crate) use definition::{
    default_definition, prepare_create, prepare_update, validate_definition,
    validate_definition_update, validate_name,
};
