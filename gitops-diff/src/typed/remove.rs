//! A value without some fields, or with nothing else.

use super::list::element_step;
use super::{As, handling, shapes};
use crate::fieldset::{FieldSet, Step};
use crate::schema::{ListType, TypeRef};
use crate::value::{Shape, Tree};

/// The value without the members and elements that are in `fields`.
pub(crate) fn remove_from<'a>(
    value: &Tree<'a>,
    fields: &FieldSet<'_>,
    ty: TypeRef<'a>,
) -> Tree<'a> {
    if fields.is_empty() {
        return value.clone();
    }
    remove(value, fields, Some(ty)).unwrap_or(Tree::null())
}

/// What is left of a member of which something inside was removed: a container stays,
/// even if nothing is left in it.
///
/// That is how structured-merge-diff v6.3.2 has it, which Kubernetes 1.36.0 uses; other
/// versions leave null here.
fn rest<'a>(value: &Tree<'a>, fields: &FieldSet<'_>, ty: Option<TypeRef<'a>>) -> Tree<'a> {
    remove(value, fields, ty).unwrap_or_else(|| match value.shape() {
        Shape::Map => Tree::Map(Vec::new()),
        Shape::List => Tree::List(Vec::new()),
        _ => Tree::null(),
    })
}

/// `None` if nothing is left.
fn remove<'a>(
    value: &Tree<'a>,
    fields: &FieldSet<'_>,
    ty: Option<TypeRef<'a>>,
) -> Option<Tree<'a>> {
    let (ty, node) = ty.and_then(|ty| Some((ty, ty.node()?)))?;
    match handling(shapes(node, Some(value)), ty) {
        Ok(As::Scalar) => Some(value.clone()),
        Ok(As::Map) if !node.map_atomic => {
            let members = value.as_map()?;
            let mut out: Vec<(&'a str, Tree<'a>)> = Vec::with_capacity(members.len());
            for (name, member) in members.iter() {
                match fields.node(&Step::field(name)) {
                    None => out.push((name, member)),
                    Some(found) if found.member => {}
                    Some(found) => {
                        out.push((name, rest(&member, &found.children, ty.member(name))))
                    }
                }
            }
            out.sort_by_key(|(name, _)| *name);
            (!out.is_empty()).then_some(Tree::Map(out))
        }
        Ok(As::List) if node.list != ListType::Atomic => {
            let elements = value.as_list()?;
            let mut out = Vec::with_capacity(elements.len());
            for element in elements.iter() {
                let step = element_step(ty, &element).ok();
                match step.and_then(|step| fields.node(&step)) {
                    None => out.push(element),
                    Some(found) if found.member => {}
                    Some(found) => {
                        let below = ty.items();
                        out.push(rest(&element, &found.children, below));
                    }
                }
            }
            (!out.is_empty()).then_some(Tree::List(out))
        }
        // Within what is one value there is nothing to remove: `fields` speaks of
        // something that can't be there.
        Ok(As::Map | As::List) | Err(_) => None,
    }
}

/// Only what is in `fields`, and the keys of the list elements on the way.
pub(crate) fn extract_from<'a>(
    value: &Tree<'a>,
    fields: &FieldSet<'_>,
    ty: TypeRef<'a>,
) -> Tree<'a> {
    extract(value, fields, Some(ty)).unwrap_or(Tree::null())
}

fn extract<'a>(
    value: &Tree<'a>,
    fields: &FieldSet<'_>,
    ty: Option<TypeRef<'a>>,
) -> Option<Tree<'a>> {
    let (ty, node) = ty.and_then(|ty| Some((ty, ty.node()?)))?;
    match handling(shapes(node, Some(value)), ty).ok()? {
        As::Map if !node.map_atomic => {
            let members = value.as_map()?;
            let mut out: Vec<(&'a str, Tree<'a>)> = Vec::new();
            for (name, member) in members.iter() {
                let Some(found) = fields.node(&Step::field(name)) else {
                    continue;
                };
                match extract(&member, &found.children, ty.member(name)) {
                    Some(part) => out.push((name, part)),
                    None if found.member => out.push((name, emptied(&member))),
                    None => {}
                }
            }
            out.sort_by_key(|(name, _)| *name);
            (!out.is_empty()).then_some(Tree::Map(out))
        }
        As::List if node.list != ListType::Atomic => {
            let elements = value.as_list()?;
            let mut out = Vec::new();
            for element in elements.iter() {
                let Some(step) = element_step(ty, &element).ok() else {
                    continue;
                };
                let Some(found) = fields.node(&step) else {
                    continue;
                };
                if !matches!(step, Step::Key(_)) {
                    out.push(element);
                    continue;
                }
                let part = extract(&element, &found.children, ty.items());
                let mut members = match part {
                    Some(Tree::Map(members)) => members,
                    _ => Vec::new(),
                };
                for key in ty.list_keys() {
                    if let Some(value) = element.get(key)
                        && let Err(at) = members.binary_search_by_key(&key, |(name, _)| name)
                    {
                        members.insert(at, (key, value));
                    }
                }
                out.push(Tree::Map(members));
            }
            (!out.is_empty()).then_some(Tree::List(out))
        }
        _ => Some(value.clone()),
    }
}

/// A container of which nothing is owned but that it is there.
fn emptied<'a>(value: &Tree<'a>) -> Tree<'a> {
    match value {
        _ if value.as_map().is_some() => Tree::Map(Vec::new()),
        _ if value.as_list().is_some() => Tree::List(Vec::new()),
        other => other.clone(),
    }
}
