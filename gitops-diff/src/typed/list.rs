//! Which element of a list is which.

use std::borrow::Cow;

use crate::fieldset::Step;
use crate::schema::{ListType, TypeRef};
use crate::value::{ListView, Shape, Tree};

/// The step to an element of a list that isn't atomic.
pub(super) fn element_step<'a>(ty: TypeRef<'a>, element: &Tree<'a>) -> Result<Step<'a>, String> {
    match ty.list_type() {
        Some(ListType::Map) => keyed_step(ty, element),
        Some(ListType::Set) => match (element.shape(), element) {
            (Shape::Scalar, Tree::Ref(value)) => Ok(Step::Value(Cow::Borrowed(value))),
            (Shape::Map, _) => {
                Err("associative list without keys has an element that's a map type".to_owned())
            }
            (Shape::List, _) => {
                Err("not supported: associative list with lists as elements".to_owned())
            }
            _ => Err(
                "associative list without keys has an element that's an explicit null".to_owned(),
            ),
        },
        _ => Err("invalid indexing of non-associative list".to_owned()),
    }
}

/// Whether an element has a step; nothing is built for the answer where it does.
pub(super) fn has_step(ty: TypeRef<'_>, element: &Tree<'_>) -> bool {
    match ty.list_type() {
        Some(ListType::Map) => {
            let Some(members) = element.as_map() else {
                return false;
            };
            let mut some = false;
            for key in ty.list_keys() {
                if members.contains(key) {
                    some = true;
                    continue;
                }
                let Some(items) = ty.items().filter(|items| items.map_type().is_some()) else {
                    return false;
                };
                let default = items.field(key).and_then(|field| field.default());
                some |= default.is_some_and(|value| !value.is_null());
            }
            some
        }
        Some(ListType::Set) => element.shape() == Shape::Scalar,
        _ => false,
    }
}

fn keyed_step<'a>(ty: TypeRef<'a>, element: &Tree<'a>) -> Result<Step<'a>, String> {
    if element.is_null() {
        return Err("associative list with keys may not have a null element".to_owned());
    }
    let Some(members) = element.as_map() else {
        return Err("associative list with keys may not have non-map elements".to_owned());
    };
    let mut keys = Vec::with_capacity(ty.list_keys().len());
    for key in ty.list_keys() {
        let value = match members.get(key) {
            Some(Tree::Ref(value)) => Cow::Borrowed(value),
            Some(other) => Cow::Owned(other.to_value()),
            None => {
                let Some(items) = ty.items().filter(|items| items.map_type().is_some()) else {
                    return Err(format!(
                        "couldn't find default value for {key}: associative list may not have non-map types"
                    ));
                };
                match items.field(key).and_then(|field| field.default()) {
                    Some(value) if !value.is_null() => Cow::Borrowed(value),
                    // An element that lacks a key is another one than any that has it.
                    _ => continue,
                }
            }
        };
        keys.push((Cow::Borrowed(key), value));
    }
    if keys.is_empty() {
        let names: Vec<String> = ty.list_keys().map(|key| format!("{key:?}")).collect();
        return Err(format!(
            "associative list with keys has an element that omits all key fields [{}] (and doesn't have default values for any key fields)",
            names.join(" ")
        ));
    }
    keys.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(Step::Key(keys))
}

/// The elements of a list by step.
pub(super) struct Index<'a> {
    pub(super) steps: Vec<Step<'a>>,
    /// Places in `steps`, sorted by step; only for lists so long that looking at each
    /// element would be slow.
    order: Vec<usize>,
}

const SHORT: usize = 12;

impl<'a> Index<'a> {
    /// The problems are `element 3: …`.
    pub(super) fn new(
        ty: TypeRef<'a>,
        list: Option<ListView<'_, 'a>>,
    ) -> Result<Self, Vec<String>> {
        let mut steps = Vec::with_capacity(list.map_or(0, ListView::len));
        let mut problems = Vec::new();
        for (at, element) in list.into_iter().flat_map(ListView::iter).enumerate() {
            match element_step(ty, &element) {
                Ok(step) => steps.push(step),
                Err(problem) => problems.push(format!("element {at}: {problem}")),
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let mut order = Vec::new();
        if steps.len() > SHORT {
            order.extend(0..steps.len());
            order.sort_by(|a, b| steps.get(*a).cmp(&steps.get(*b)).then(a.cmp(b)));
        }
        Ok(Self { steps, order })
    }

    /// The first place that has this step.
    pub(super) fn find(&self, step: &Step<'_>) -> Option<usize> {
        if self.order.is_empty() {
            return self.steps.iter().position(|other| other == step);
        }
        let at = self
            .order
            .partition_point(|place| self.steps.get(*place).is_some_and(|other| other < step));
        let place = *self.order.get(at)?;
        (self.steps.get(place)? == step).then_some(place)
    }

    /// Whether more than one element has this step, of which `first` is the first.
    pub(super) fn is_repeated(&self, first: usize) -> bool {
        let Some(step) = self.steps.get(first) else {
            return false;
        };
        if self.order.is_empty() {
            return self.steps.iter().skip(first + 1).any(|other| other == step);
        }
        let at = self
            .order
            .partition_point(|place| self.steps.get(*place).is_some_and(|other| other <= step));
        // The last of those with this step.
        at.checked_sub(1)
            .and_then(|at| self.order.get(at))
            .is_some_and(|last| *last != first)
    }
}
