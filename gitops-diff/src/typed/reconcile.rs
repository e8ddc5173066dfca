//! A field set that was recorded when the type was another one.

use super::{As, handling};
use crate::fieldset::{FieldSet, Node, Step};
use crate::schema::{ListType, Scalar, TypeRef};

/// Brings a set in line with a type that has become atomic since: who owned something
/// within the list or map now owns the whole. `None` if there is nothing to change.
pub(crate) fn reconcile<'a>(set: &FieldSet<'a>, ty: TypeRef<'_>) -> Option<FieldSet<'a>> {
    let node = ty.node()?;
    let below = |step: &Step<'_>| -> Option<TypeRef<'_>> {
        match handling(node.shapes, ty).ok()? {
            As::Map if is_free(ty) => None,
            As::Map => match step {
                Step::Field(name) => ty.member(name),
                _ => ty.values(),
            },
            As::List => ty.items(),
            As::Scalar => None,
        }
    };
    let mut out: Option<FieldSet<'a>> = None;
    for (at, node) in set.nodes.iter().enumerate() {
        if node.children.is_empty() {
            continue;
        }
        let Some(ty) = below(&node.step) else {
            continue;
        };
        let (member, children) = if is_atomic(ty) {
            (true, FieldSet::new())
        } else {
            match reconcile(&node.children, ty) {
                Some(children) => (node.member, children),
                None => continue,
            }
        };
        let changed = out.get_or_insert_with(|| set.clone());
        if let Some(place) = changed.nodes.get_mut(at) {
            *place = Node {
                step: node.step.clone(),
                member,
                children,
            };
        }
    }
    out
}

fn is_atomic(ty: TypeRef<'_>) -> bool {
    let Some(node) = ty.node() else {
        return false;
    };
    match handling(node.shapes, ty) {
        Ok(As::Map) => node.map_atomic && !is_free(ty),
        Ok(As::List) => node.list == ListType::Atomic,
        _ => false,
    }
}

/// A map of which the schema says nothing.
fn is_free(ty: TypeRef<'_>) -> bool {
    let free = ty.values().is_some_and(|values| {
        values.is_deduced() || !values.named() && values.scalar() == Some(Scalar::Untyped)
    });
    free && ty.fields().len() == 0
}
