//! Which fields a value holds.

use super::list::Index;
use super::{As, handling, shapes};
use crate::fieldset::{FieldSet, Step};
use crate::schema::{ListType, TypeRef};
use crate::value::{Shape, Tree};

/// The fields of a value that fits its type.
pub(crate) fn field_set_of<'a>(value: &Tree<'a>, ty: TypeRef<'a>) -> FieldSet<'a> {
    visit(value, Some(ty)).1
}

/// Whether the place itself is a field, and the fields within it.
fn visit<'a>(value: &Tree<'a>, ty: Option<TypeRef<'a>>) -> (bool, FieldSet<'a>) {
    let none = (false, FieldSet::new());
    let Some((ty, node)) = ty.and_then(|ty| Some((ty, ty.node()?))) else {
        return none;
    };
    match handling(shapes(node, Some(value)), ty) {
        Ok(As::Scalar) => (true, FieldSet::new()),
        Ok(As::Map) if node.map_atomic => (true, FieldSet::new()),
        Ok(As::List) if node.list == ListType::Atomic => (true, FieldSet::new()),
        Ok(As::Map) => {
            let Some(members) = value.as_map() else {
                return none;
            };
            let mut set = FieldSet::new();
            set.nodes.reserve_exact(members.len());
            for (name, member) in members.iter() {
                let field = ty.field(name);
                let below = field.map_or_else(|| ty.values(), |field| Some(field.ty()));
                let (leaf, children) = visit(&member, below);
                let empty = match member.shape() {
                    Shape::Null => true,
                    Shape::Map => member.as_map().is_some_and(|map| map.len() == 0),
                    _ => false,
                };
                set.put(
                    Step::field(name),
                    leaf || empty || field.is_none(),
                    children,
                );
            }
            set.settle();
            (false, set)
        }
        Ok(As::List) => {
            let Some(elements) = value.as_list() else {
                return none;
            };
            let Ok(index) = Index::new(ty, Some(elements)) else {
                return none;
            };
            let repeats: Vec<bool> = index
                .steps
                .iter()
                .enumerate()
                .map(|(at, step)| {
                    index
                        .find(step)
                        .is_some_and(|first| first != at || index.is_repeated(first))
                })
                .collect();
            let mut set = FieldSet::new();
            set.nodes.reserve_exact(elements.len());
            let steps = index.steps.into_iter().zip(repeats);
            for (element, (step, repeated)) in elements.iter().zip(steps) {
                let children = if repeated {
                    FieldSet::new()
                } else {
                    visit(&element, ty.items()).1
                };
                set.put(step, true, children);
            }
            set.settle();
            (false, set)
        }
        Err(_) => none,
    }
}
