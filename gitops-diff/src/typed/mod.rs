//! Objects and their types together: validate, list the fields, compare, merge, remove
//! and extract, as `sigs.k8s.io/structured-merge-diff` v6 defines it.
//!
//! ```
//! use gitops_diff::schema::Schema;
//! use gitops_diff::typed;
//! use serde_json::json;
//!
//! let ty = Schema::builtin().type_of("v1", "Service").unwrap();
//! let live = json!({"spec": {"type": "ClusterIP", "ports": [{"port": 80}, {"port": 443}]}});
//! let desired = json!({"spec": {"ports": [{"port": 443, "name": "https"}]}});
//!
//! // Ports are told apart by number and protocol, and the protocol has a default.
//! let merged = typed::merge(&live, &desired, ty)?;
//! assert_eq!(
//!     merged,
//!     json!({"spec": {"type": "ClusterIP", "ports": [{"port": 80}, {"port": 443, "name": "https"}]}})
//! );
//! let changes = typed::compare(&live, &merged, ty)?;
//! let added: Vec<String> = changes.added.paths().map(|path| path.to_string()).collect();
//! assert_eq!(added, [r#".spec.ports[port=443,protocol="TCP"].name"#]);
//! # Ok::<_, typed::TypeErrors>(())
//! ```

mod compare;
mod fields;
mod list;
mod merge;
mod reconcile;
mod remove;
mod validate;

use std::fmt;

use serde_json::Value;

use crate::fieldset::FieldSet;
use crate::schema::{Node, TypeRef, shape};
use crate::value::{Shape, Tree, is_shallow};

pub use compare::Comparison;
pub(crate) use compare::compare_trees;
pub(crate) use fields::field_set_of;
pub(crate) use merge::merge_trees;
pub(crate) use reconcile::reconcile;
pub(crate) use remove::{extract_from, remove_from};
pub(crate) use validate::validate_tree;

/// One place where a value doesn't fit its type.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TypeError {
    /// The field, as the API server writes it: `.spec.containers[name="app"].image`.
    pub path: String,
    /// What is wrong, in the API server's words.
    pub message: String,
}

impl fmt::Display for TypeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.path, self.message)
        }
    }
}

/// The places where a value doesn't fit its type; never empty.
///
/// Prints as the API server's message does. A message may hold the value that is wrong:
/// for a Secret it must not be shown without care.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeErrors(Vec<TypeError>);

impl TypeErrors {
    /// The errors.
    pub fn iter(&self) -> impl Iterator<Item = &TypeError> {
        self.0.iter()
    }

    pub(crate) fn check(errors: Vec<TypeError>) -> Result<(), Self> {
        if errors.is_empty() {
            Ok(())
        } else {
            Err(Self(errors))
        }
    }
}

impl fmt::Display for TypeErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [only] = self.0.as_slice() {
            return only.fmt(f);
        }
        f.write_str("errors:")?;
        self.0.iter().try_for_each(|error| write!(f, "\n  {error}"))
    }
}

impl std::error::Error for TypeErrors {}

fn error(message: impl Into<String>) -> TypeError {
    TypeError {
        path: String::new(),
        message: message.into(),
    }
}

/// Puts a step before the path of the errors from `from` on.
fn prefix(errors: &mut [TypeError], from: usize, step: &dyn fmt::Display) {
    for error in errors.iter_mut().skip(from) {
        error.path.insert_str(0, &step.to_string());
    }
}

pub(crate) fn deep_enough(value: &Value) -> Result<(), TypeErrors> {
    if is_shallow(value) {
        return Ok(());
    }
    Err(TypeErrors(vec![error(format!(
        "nested more than {} levels deep",
        crate::value::MAX_DEPTH
    ))]))
}

/// Whether lists may name one element twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duplicates {
    /// As in an object that is stored: the API server can't undo what is there.
    Allowed,
    /// As in an applied configuration.
    Refused,
}

/// Checks that a value fits its type.
///
/// # Errors
///
/// Every place where it doesn't.
pub fn validate(value: &Value, ty: TypeRef<'_>, duplicates: Duplicates) -> Result<(), TypeErrors> {
    deep_enough(value)?;
    validate_tree(&Tree::Ref(value), ty, duplicates)
}

/// The fields that a value holds: what its writer owns.
///
/// # Errors
///
/// If the value doesn't fit its type.
pub fn field_set<'a>(value: &'a Value, ty: TypeRef<'a>) -> Result<FieldSet<'a>, TypeErrors> {
    validate(value, ty, Duplicates::Allowed)?;
    Ok(field_set_of(&Tree::Ref(value), ty))
}

/// The fields in which two values of one type differ.
///
/// # Errors
///
/// If a value doesn't fit the type.
pub fn compare<'a>(
    old: &'a Value,
    new: &'a Value,
    ty: TypeRef<'a>,
) -> Result<Comparison<'a>, TypeErrors> {
    validate(old, ty, Duplicates::Allowed)?;
    validate(new, ty, Duplicates::Allowed)?;
    let (old, new) = (Tree::Ref(old), Tree::Ref(new));
    // By far the most frequent answer, and it costs no allocation.
    if old.equals(&new) {
        return Ok(Comparison::default());
    }
    compare_trees(&old, &new, ty)
}

/// `base` with all that `applied` says. Nothing is taken away. Elements that both lists
/// have come in the order of `applied`; those of `base` alone keep their place.
///
/// # Errors
///
/// If a value doesn't fit the type.
pub fn merge(base: &Value, applied: &Value, ty: TypeRef<'_>) -> Result<Value, TypeErrors> {
    validate(base, ty, Duplicates::Allowed)?;
    validate(applied, ty, Duplicates::Refused)?;
    Ok(merge_trees(&Tree::Ref(base), &Tree::Ref(applied), ty)?.to_value())
}

/// The value without the members and list elements that are in `fields`.
///
/// A container that loses all it has stays, empty.
///
/// # Errors
///
/// If the value doesn't fit the type.
pub fn remove(value: &Value, fields: &FieldSet<'_>, ty: TypeRef<'_>) -> Result<Value, TypeErrors> {
    validate(value, ty, Duplicates::Allowed)?;
    Ok(remove_from(&Tree::Ref(value), fields, ty).to_value())
}

/// The part of the value that `fields` names, with the keys of the list elements on the
/// way: what a manager owns, as a configuration that it could apply.
///
/// ```
/// use gitops_diff::fieldset::FieldSet;
/// use gitops_diff::{schema::Schema, typed};
/// use serde_json::json;
///
/// let ty = Schema::builtin().type_of("v1", "Pod").unwrap();
/// let pod = json!({"spec": {"nodeName": "n1", "containers": [
///     {"name": "app", "image": "app:1", "tty": true}, {"name": "side", "image": "side:1"}]}});
/// let own = json!({"f:spec": {"f:containers": {"k:{\"name\":\"app\"}": {"f:image": {}}}}});
/// assert_eq!(
///     typed::extract(&pod, &FieldSet::from_fields_v1(&own).unwrap(), ty)?,
///     json!({"spec": {"containers": [{"name": "app", "image": "app:1"}]}})
/// );
/// # Ok::<_, typed::TypeErrors>(())
/// ```
///
/// # Errors
///
/// If the value doesn't fit the type.
pub fn extract(value: &Value, fields: &FieldSet<'_>, ty: TypeRef<'_>) -> Result<Value, TypeErrors> {
    validate(value, ty, Duplicates::Allowed)?;
    Ok(extract_from(&Tree::Ref(value), fields, ty).to_value())
}

/// How a value is to be handled, of the ways that its type allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum As {
    Map,
    Scalar,
    List,
}

/// Which shapes of the type the value can have: one, if the type allows what the value
/// is, or else all that the type has.
fn shapes(node: &Node, value: Option<&Tree<'_>>) -> u8 {
    let bit = match value.map(Tree::shape) {
        None | Some(Shape::Null) => 0,
        Some(Shape::Scalar) => shape::SCALAR,
        Some(Shape::List) => shape::LIST,
        Some(Shape::Map) => shape::MAP,
    };
    match node.shapes & bit {
        0 => node.shapes,
        bit => bit,
    }
}

fn handling(shapes: u8, ty: TypeRef<'_>) -> Result<As, TypeError> {
    if shapes & shape::MAP != 0 {
        Ok(As::Map)
    } else if shapes & shape::SCALAR != 0 {
        Ok(As::Scalar)
    } else if shapes & shape::LIST != 0 {
        Ok(As::List)
    } else {
        Err(error(match ty.name() {
            Some(name) => format!("schema error: invalid atom: named type: {name}"),
            None => "schema error: invalid atom: inlined".to_owned(),
        }))
    }
}

fn undeclared() -> TypeError {
    error("schema error: invalid atom: inlined")
}
