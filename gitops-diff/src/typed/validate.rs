//! Does a value fit its type?

use super::list::{Index, element_step, has_step};
use super::{As, Duplicates, TypeError, TypeErrors, error, handling, prefix, shapes, undeclared};
use crate::fieldset::Step;
use crate::schema::{ListType, Scalar, TypeRef};
use crate::value::{ListView, MapView, Shape, Tree};
use serde_json::Value;

pub(crate) fn validate_tree(
    value: &Tree<'_>,
    ty: TypeRef<'_>,
    duplicates: Duplicates,
) -> Result<(), TypeErrors> {
    let mut errors = Vec::new();
    visit(value, Some(ty), duplicates, &mut errors);
    TypeErrors::check(errors)
}

/// What is wrong with a scalar; nothing is wrong with null or with nothing.
pub(super) fn scalar_problem(scalar: Scalar, value: Option<&Tree<'_>>) -> Option<String> {
    let value = value?;
    if value.is_null() {
        return None;
    }
    match (scalar, value) {
        (Scalar::Numeric, Tree::Ref(Value::Number(_)))
        | (Scalar::String, Tree::Ref(Value::String(_)))
        | (Scalar::Boolean, Tree::Ref(Value::Bool(_))) => None,
        (Scalar::Untyped, value) if value.shape() == Shape::Scalar => None,
        (Scalar::Numeric, value) => Some(format!(
            "expected numeric (int or float), got {}",
            value.go_type()
        )),
        (Scalar::String, value) => Some(format!(
            "expected string, got &value.valueUnstructured{{Value:{}}}",
            value.go_syntax()
        )),
        (Scalar::Boolean, value) => {
            Some(format!("expected boolean, got &{{{}}}", value.go_value()))
        }
        (Scalar::Untyped, value) => Some(format!(
            "expected any scalar, got &{{{}}}",
            value.go_value()
        )),
    }
}

fn visit(
    value: &Tree<'_>,
    ty: Option<TypeRef<'_>>,
    duplicates: Duplicates,
    errors: &mut Vec<TypeError>,
) {
    let Some((ty, node)) = ty.and_then(|ty| Some((ty, ty.node()?))) else {
        errors.push(undeclared());
        return;
    };
    match handling(shapes(node, Some(value)), ty) {
        Ok(As::Map) => match value.as_map() {
            Some(members) => map(members, ty, duplicates, errors),
            None if value.is_null() => {}
            None => errors.push(error(format!(
                "expected map, got &{{{}}}",
                value.go_value()
            ))),
        },
        Ok(As::Scalar) => {
            errors.extend(scalar_problem(node.scalar, Some(value)).map(error));
        }
        Ok(As::List) => match value.as_list() {
            Some(elements) => list(elements, ty, duplicates, errors),
            None if value.is_null() => {}
            None => errors.push(error(format!(
                "expected list, got &{{{}}}",
                value.go_value()
            ))),
        },
        Err(problem) => errors.push(problem),
    }
}

fn map<'a>(
    members: MapView<'_, 'a>,
    ty: TypeRef<'_>,
    duplicates: Duplicates,
    errors: &mut Vec<TypeError>,
) {
    // Nothing can be wrong with a map of the deduced type, however deep it is.
    if ty.is_deduced() {
        return;
    }
    for (name, member) in members.iter() {
        let from = errors.len();
        let known = ty.member(name);
        if known.is_none() {
            errors.push(error("field not declared in schema"));
        } else {
            visit(&member, known, duplicates, errors);
        }
        if errors.len() > from {
            prefix(errors, from, &format_args!(".{name}"));
        }
        if known.is_none() {
            return;
        }
    }
}

fn list<'a>(
    elements: ListView<'_, 'a>,
    ty: TypeRef<'_>,
    duplicates: Duplicates,
    errors: &mut Vec<TypeError>,
) {
    let atomic = ty.list_type() == Some(ListType::Atomic);
    let check = !atomic && duplicates == Duplicates::Refused && elements.len() > 1;
    let index = if check {
        Index::new(ty, Some(elements)).ok()
    } else {
        None
    };
    for (at, element) in elements.iter().enumerate() {
        if !atomic && !has_step(ty, &element) {
            let problem = element_step(ty, &element).err().unwrap_or_default();
            errors.push(error(format!("element {at}: {problem}")));
            return;
        }
        if check && let Ok(step) = element_step(ty, &element) {
            let first = match &index {
                Some(index) => index.find(&step),
                // An element further on is wrong; what comes before it is still compared.
                None => elements
                    .iter()
                    .take(at)
                    .position(|other| element_step(ty, &other).is_ok_and(|other| other == step)),
            };
            if first.is_some_and(|first| first < at) {
                errors.push(error(format!("duplicate entries for key {step}")));
            }
        }
        let from = errors.len();
        visit(&element, ty.items(), duplicates, errors);
        if errors.len() > from {
            let step = if atomic {
                Ok(Step::Index(at))
            } else {
                element_step(ty, &element)
            };
            if let Ok(step) = step {
                prefix(errors, from, &step);
            }
        }
    }
}
