//! CustomResourceDefinitions: their defaults, their rules, and what they make of their instances.

mod definition;

pub(crate) use definition::{
    default_definition, prepare_create, prepare_update, validate_definition,
    validate_definition_update,
};
