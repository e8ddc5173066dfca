//! In which fields do two values differ?

use super::list::Index;
use super::validate::scalar_problem;
use super::{As, TypeError, TypeErrors, error, handling, prefix, shapes, undeclared};
use crate::fieldset::{FieldSet, Step};
use crate::schema::{ListType, TypeRef};
use crate::value::{ListView, MapView, Tree};

/// How one value differs from another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Comparison<'a> {
    /// Fields that only the new value has.
    pub added: FieldSet<'a>,
    /// Fields that both have, with another value.
    pub modified: FieldSet<'a>,
    /// Fields that only the old value has.
    pub removed: FieldSet<'a>,
}

impl Comparison<'_> {
    /// Whether both values are the same, but for the order of list elements that are
    /// told apart by key or value.
    #[must_use]
    pub fn is_same(&self) -> bool {
        self.added.is_empty() && self.modified.is_empty() && self.removed.is_empty()
    }

    /// The same without the fields of `reset` and all that lies within them.
    #[must_use]
    pub fn without(&self, reset: &FieldSet<'_>) -> Self {
        Self {
            added: self.added.recursive_difference(reset),
            modified: self.modified.recursive_difference(reset),
            removed: self.removed.recursive_difference(reset),
        }
    }
}

#[derive(Default)]
struct Place<'a> {
    member: bool,
    children: FieldSet<'a>,
}

/// What differs at one place and within it.
#[derive(Default)]
struct Delta<'a> {
    added: Place<'a>,
    modified: Place<'a>,
    removed: Place<'a>,
}

impl<'a> Delta<'a> {
    /// Takes in what differs one step further down.
    fn take(&mut self, step: &Step<'a>, below: Delta<'a>) {
        for (mine, theirs) in [
            (&mut self.added, below.added),
            (&mut self.modified, below.modified),
            (&mut self.removed, below.removed),
        ] {
            if theirs.member || !theirs.children.is_empty() {
                mine.children
                    .put(step.clone(), theirs.member, theirs.children);
            }
        }
    }

    fn settle(&mut self) {
        self.added.children.settle();
        self.modified.children.settle();
        self.removed.children.settle();
    }
}

/// Compares two values that fit the type.
pub(crate) fn compare_trees<'a>(
    old: &Tree<'a>,
    new: &Tree<'a>,
    ty: TypeRef<'a>,
) -> Result<Comparison<'a>, TypeErrors> {
    let mut delta = Delta::default();
    let mut errors = Vec::new();
    visit(Some(old), Some(new), Some(ty), &mut delta, &mut errors);
    TypeErrors::check(errors)?;
    Ok(Comparison {
        added: delta.added.children,
        modified: delta.modified.children,
        removed: delta.removed.children,
    })
}

fn visit<'a>(
    old: Option<&Tree<'a>>,
    new: Option<&Tree<'a>>,
    ty: Option<TypeRef<'a>>,
    out: &mut Delta<'a>,
    errors: &mut Vec<TypeError>,
) {
    if let (Some(old), Some(new)) = (old, new)
        && old.is_same(new)
    {
        return;
    }
    let Some((ty, node)) = ty.and_then(|ty| Some((ty, ty.node()?))) else {
        errors.push(undeclared());
        return;
    };
    let (old_shapes, new_shapes) = (shapes(node, old), shapes(node, new));
    let leaf = if new.is_none() {
        handle(old_shapes, old, new, ty, out, errors)
    } else if old.is_none() || old_shapes == new_shapes {
        handle(new_shapes, old, new, ty, out, errors)
    } else {
        handle(old_shapes, old, new, ty, out, errors);
        handle(new_shapes, old, new, ty, out, errors)
    };
    if !leaf {
        out.added.member |= old.is_none();
        out.removed.member |= new.is_none();
    }
}

/// Answers whether the place is a leaf.
fn handle<'a>(
    shapes: u8,
    old: Option<&Tree<'a>>,
    new: Option<&Tree<'a>>,
    ty: TypeRef<'a>,
    out: &mut Delta<'a>,
    errors: &mut Vec<TypeError>,
) -> bool {
    match handling(shapes, ty) {
        Ok(As::Scalar) => {
            let scalar = ty.scalar().unwrap_or(crate::schema::Scalar::Untyped);
            if let (Some(old), Some(new)) =
                (scalar_problem(scalar, old), scalar_problem(scalar, new))
            {
                errors.push(error(format!("lhs: {old}")));
                errors.push(error(format!("rhs: {new}")));
                return false;
            }
            leaf(old, new, out);
            true
        }
        Ok(As::Map) => {
            let (a, b) = (old.and_then(Tree::as_map), new.and_then(Tree::as_map));
            let empty = |map: Option<MapView<'_, '_>>| map.is_none_or(|map| map.len() == 0);
            if ty.node().is_some_and(|node| node.map_atomic) || empty(a) && empty(b) {
                leaf(old, new, out);
                return true;
            }
            let only_new = b
                .into_iter()
                .flat_map(MapView::iter)
                .filter(|(name, _)| a.is_none_or(|a| !a.contains(name)))
                .map(|(name, new)| (name, None, Some(new)));
            let both = a
                .into_iter()
                .flat_map(MapView::iter)
                .map(|(name, old)| (name, Some(old), b.and_then(|b| b.get(name))));
            for (name, old, new) in both.chain(only_new) {
                let from = errors.len();
                let mut below = Delta::default();
                visit(
                    old.as_ref(),
                    new.as_ref(),
                    ty.member(name),
                    &mut below,
                    errors,
                );
                if errors.len() > from {
                    prefix(errors, from, &format_args!(".{name}"));
                }
                out.take(&Step::field(name), below);
            }
            out.settle();
            false
        }
        Ok(As::List) => {
            let (a, b) = (old.and_then(Tree::as_list), new.and_then(Tree::as_list));
            let empty = |list: Option<ListView<'_, '_>>| list.is_none_or(|list| list.len() == 0);
            if ty.list_type() == Some(ListType::Atomic) || empty(a) && empty(b) {
                leaf(old, new, out);
                return true;
            }
            match (Index::new(ty, a), Index::new(ty, b)) {
                (Ok(a_index), Ok(b_index)) => {
                    elements(a, a_index, b, b_index, ty, out, errors);
                }
                (a, b) => {
                    let problems = a.err().into_iter().chain(b.err()).flatten();
                    errors.extend(problems.map(error));
                }
            }
            false
        }
        Err(problem) => {
            errors.push(problem);
            false
        }
    }
}

fn leaf<'a>(old: Option<&Tree<'a>>, new: Option<&Tree<'a>>, out: &mut Delta<'a>) {
    match (old, new) {
        (None, _) => out.added.member = true,
        (_, None) => out.removed.member = true,
        (Some(old), Some(new)) => out.modified.member |= !old.equals(new),
    }
}

fn elements<'a>(
    old: Option<ListView<'_, 'a>>,
    old_index: Index<'a>,
    new: Option<ListView<'_, 'a>>,
    new_index: Index<'a>,
    ty: TypeRef<'a>,
    out: &mut Delta<'a>,
    errors: &mut Vec<TypeError>,
) {
    // Each element once: those of the old list, then those only in the new one.
    let steps = old_index
        .steps
        .iter()
        .enumerate()
        .filter(|(at, step)| old_index.find(step) == Some(*at))
        .map(|(_, step)| step)
        .chain(
            new_index
                .steps
                .iter()
                .enumerate()
                .filter(|(at, step)| {
                    new_index.find(step) == Some(*at) && old_index.find(step).is_none()
                })
                .map(|(_, step)| step),
        );
    for step in steps {
        let first = |index: &Index<'a>, list: Option<ListView<'_, 'a>>| {
            let at = index.find(step)?;
            Some((list?.get(at)?, index.is_repeated(at)))
        };
        let mut below = Delta::default();
        let from = errors.len();
        match (first(&old_index, old), first(&new_index, new)) {
            (Some((_, true)), Some((_, true))) => {
                let all = |index: &Index<'a>, list: Option<ListView<'_, 'a>>| {
                    let places = index.steps.iter().enumerate();
                    places
                        .filter(|(_, other)| *other == step)
                        .filter_map(|(at, _)| list?.get(at))
                        .collect::<Vec<_>>()
                };
                let (old, new) = (all(&old_index, old), all(&new_index, new));
                let same = old.len() == new.len()
                    && old.iter().zip(&new).all(|(old, new)| old.equals(new));
                below.modified.member = !same;
            }
            (Some((_, true)), new) => {
                // One of several is left: it counts as new, the mark of several goes.
                if let Some((new, _)) = new {
                    visit(None, Some(&new), ty.items(), &mut below, errors);
                }
                below.removed.member = true;
            }
            (old, Some((_, true))) => {
                if let Some((old, _)) = old {
                    visit(Some(&old), None, ty.items(), &mut below, errors);
                }
                below.added.member = true;
            }
            (old, new) => {
                let (old, new) = (old.map(|(old, _)| old), new.map(|(new, _)| new));
                visit(old.as_ref(), new.as_ref(), ty.items(), &mut below, errors);
            }
        }
        if errors.len() > from {
            prefix(errors, from, step);
        }
        out.take(step, below);
    }
    out.settle();
}
