//! One value laid over another.

use super::list::Index;
use super::validate::scalar_problem;
use super::{As, TypeError, TypeErrors, error, handling, prefix, shapes, undeclared};
use crate::schema::{ListType, Scalar, TypeRef};
use crate::value::{ListView, MapView, Tree};

/// Lays `applied` over `base`. Both fit the type. What isn't changed is shared with
/// `base`, so that comparing with it is cheap.
pub(crate) fn merge_trees<'a>(
    base: &Tree<'a>,
    applied: &Tree<'a>,
    ty: TypeRef<'a>,
) -> Result<Tree<'a>, TypeErrors> {
    let mut errors = Vec::new();
    let merged = visit(Some(base), Some(applied), Some(ty), &mut errors);
    TypeErrors::check(errors)?;
    Ok(merged.unwrap_or(Tree::null()))
}

fn visit<'a>(
    base: Option<&Tree<'a>>,
    applied: Option<&Tree<'a>>,
    ty: Option<TypeRef<'a>>,
    errors: &mut Vec<TypeError>,
) -> Option<Tree<'a>> {
    // What only one side has stays as it is: nothing in it can be merged.
    let (Some(one), Some(other)) = (base, applied) else {
        return base.or(applied).cloned();
    };
    let Some((ty, node)) = ty.and_then(|ty| Some((ty, ty.node()?))) else {
        errors.push(undeclared());
        return None;
    };
    let (base_shapes, shapes) = (shapes(node, base), shapes(node, applied));
    if base_shapes != shapes {
        // The reference walks both ways here, but keeps only what the second one found.
        let handling = handling(shapes, ty);
        return handle(handling, one, other, ty, errors);
    }
    handle(handling(shapes, ty), one, other, ty, errors)
}

fn leaf<'a>(base: &Tree<'a>, applied: &Tree<'a>) -> Tree<'a> {
    if base.equals(applied) { base } else { applied }.clone()
}

fn handle<'a>(
    handling: Result<As, TypeError>,
    base: &Tree<'a>,
    applied: &Tree<'a>,
    ty: TypeRef<'a>,
    errors: &mut Vec<TypeError>,
) -> Option<Tree<'a>> {
    match handling {
        Ok(As::Scalar) => {
            let scalar = ty.scalar().unwrap_or(Scalar::Untyped);
            if let (Some(old), Some(new)) = (
                scalar_problem(scalar, Some(base)),
                scalar_problem(scalar, Some(applied)),
            ) {
                errors.push(error(format!("lhs: {old}")));
                errors.push(error(format!("rhs: {new}")));
                return None;
            }
            Some(leaf(base, applied))
        }
        Ok(As::Map) => {
            let (a, b) = (base.as_map(), applied.as_map());
            let empty = |map: Option<MapView<'_, '_>>| map.is_none_or(|map| map.len() == 0);
            if ty.node().is_some_and(|node| node.map_atomic) || empty(a) && empty(b) {
                return Some(leaf(base, applied));
            }
            Some(map(base, a, b, ty, errors))
        }
        Ok(As::List) => {
            let (a, b) = (base.as_list(), applied.as_list());
            let empty = |list: Option<ListView<'_, '_>>| list.is_none_or(|list| list.len() == 0);
            if ty.list_type() == Some(ListType::Atomic) || empty(a) && empty(b) {
                return Some(leaf(base, applied));
            }
            list(base, a, b, ty, errors)
        }
        Err(problem) => {
            errors.push(problem);
            None
        }
    }
}

fn map<'a>(
    base: &Tree<'a>,
    a: Option<MapView<'_, 'a>>,
    b: Option<MapView<'_, 'a>>,
    ty: TypeRef<'a>,
    errors: &mut Vec<TypeError>,
) -> Tree<'a> {
    let Some(b) = b else {
        return base.clone();
    };
    // First only what the applied map changes; a copy of the whole is made if that is
    // anything.
    let mut changed: Vec<(&'a str, Tree<'a>)> = Vec::new();
    for (name, new) in b.iter() {
        let old = a.and_then(|a| a.get(name));
        let from = errors.len();
        let merged = visit(old.as_ref(), Some(&new), ty.member(name), errors);
        if errors.len() > from {
            prefix(errors, from, &format_args!(".{name}"));
        }
        if let Some(merged) = merged
            && old.is_none_or(|old| !old.is_same(&merged))
        {
            changed.push((name, merged));
        }
    }
    if changed.is_empty() && a.is_some() {
        return base.clone();
    }
    if !changed.is_sorted_by(|a, b| a.0 < b.0) {
        changed.sort_by_key(|(name, _)| *name);
    }
    let mut out: Vec<(&'a str, Tree<'a>)> =
        Vec::with_capacity(a.map_or(0, MapView::len) + changed.len());
    for (name, old) in a.into_iter().flat_map(MapView::iter) {
        if changed
            .binary_search_by_key(&name, |(name, _)| name)
            .is_err()
        {
            out.push((name, old));
        }
    }
    out.extend(changed);
    out.sort_by_key(|(name, _)| *name);
    Tree::Map(out)
}

fn list<'a>(
    base: &Tree<'a>,
    a: Option<ListView<'_, 'a>>,
    b: Option<ListView<'_, 'a>>,
    ty: TypeRef<'a>,
    errors: &mut Vec<TypeError>,
) -> Option<Tree<'a>> {
    let (a_index, b_index) = match (Index::new(ty, a), Index::new(ty, b)) {
        (Ok(a), Ok(b)) => (a, b),
        (a, b) => {
            let problems = b.err().into_iter().chain(a.err()).flatten();
            errors.extend(problems.map(error));
            return None;
        }
    };
    for (at, step) in b_index.steps.iter().enumerate() {
        if b_index.find(step) != Some(at) {
            errors.push(error(format!("duplicate entries for key {step}")));
            return None;
        }
    }
    let (l, r) = (&a_index.steps, &b_index.steps);
    // Where each element of one list is in the other.
    let in_r: Vec<Option<usize>> = l.iter().map(|step| b_index.find(step)).collect();
    let in_l: Vec<Option<usize>> = r.iter().map(|step| a_index.find(step)).collect();
    let place_in_r = |at: usize| in_r.get(at).copied().flatten();
    let place_in_l = |at: usize| in_l.get(at).copied().flatten();
    let old_at = |at: usize| a.and_then(|a| a.get(at));

    let mut merge = |at: usize| -> Option<Tree<'a>> {
        let new = b.and_then(|b| b.get(at));
        let old = place_in_l(at).and_then(|place| {
            // Several elements of the same key are not merged with the new one.
            if a_index.is_repeated(place) {
                Some(Tree::null())
            } else {
                old_at(place)
            }
        });
        let from = errors.len();
        let merged = visit(old.as_ref(), new.as_ref(), ty.items(), errors);
        if errors.len() > from
            && let Some(step) = r.get(at)
        {
            prefix(errors, from, step);
        }
        merged
    };

    // The elements that both have, in the order of the applied list.
    let mut shared = (0..r.len()).filter(|at| place_in_l(*at).is_some());
    let mut next_shared = shared.next();
    let mut merged = vec![false; r.len()];
    let mut out: Vec<Tree<'a>> = Vec::with_capacity(l.len().max(r.len()));
    let (mut li, mut ri) = (0, 0);
    while li < l.len() || ri < r.len() {
        if li < l.len() && ri < r.len() {
            let place = place_in_r(li);
            if place == Some(ri) {
                if let Some(done) = merged.get_mut(ri) {
                    *done = true;
                }
                out.extend(merge(ri));
                li += 1;
                ri += 1;
                next_shared = shared.next();
                continue;
            }
            if place.is_some() && next_shared.is_some() && next_shared != place {
                // Both have it, but it isn't its turn.
                li += 1;
                continue;
            }
        }
        if li < l.len() {
            match place_in_r(li) {
                None => {
                    out.extend(old_at(li));
                    li += 1;
                    continue;
                }
                Some(place) if merged.get(place).copied().unwrap_or(true) => li += 1,
                Some(_) => {}
            }
        }
        if ri < r.len() {
            if let Some(done) = merged.get_mut(ri) {
                *done = true;
            }
            out.extend(merge(ri));
            if next_shared == Some(ri) {
                next_shared = shared.next();
            }
            ri += 1;
        }
    }
    let unchanged = a.is_some_and(|a| {
        a.len() == out.len() && a.iter().zip(&out).all(|(old, new)| old.is_same(new))
    });
    Some(if unchanged {
        base.clone()
    } else {
        Tree::List(out)
    })
}
