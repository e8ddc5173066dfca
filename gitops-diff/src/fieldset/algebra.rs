//! Union, difference and the like.

use std::cmp::Ordering;

use super::{FieldSet, Node, Step};
use crate::schema::TypeRef;

/// Both sets side by side, in order.
enum Side<'s, 'a, 'b> {
    Left(&'s Node<'a>),
    Right(&'s Node<'b>),
    Both(&'s Node<'a>, &'s Node<'b>),
}

fn zip<'s, 'a, 'b>(
    left: &'s FieldSet<'a>,
    right: &'s FieldSet<'b>,
) -> impl Iterator<Item = Side<'s, 'a, 'b>> {
    let mut left = left.nodes.iter().peekable();
    let mut right = right.nodes.iter().peekable();
    std::iter::from_fn(move || {
        let order = match (left.peek(), right.peek()) {
            (Some(a), Some(b)) => a.step.cmp(&b.step),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return None,
        };
        match order {
            Ordering::Less => left.next().map(Side::Left),
            Ordering::Greater => right.next().map(Side::Right),
            Ordering::Equal => Some(Side::Both(left.next()?, right.next()?)),
        }
    })
}

impl<'a> FieldSet<'a> {
    fn keep(&mut self, step: &Step<'a>, member: bool, children: FieldSet<'a>) {
        if member || !children.is_empty() {
            self.nodes.push(Node {
                step: step.clone(),
                member,
                children,
            });
        }
    }

    /// The fields that are in one of both.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        if other.is_empty() {
            return self.clone();
        }
        let mut out = Self::new();
        out.nodes.reserve(self.nodes.len().max(other.nodes.len()));
        for side in zip(self, other) {
            match side {
                Side::Left(node) | Side::Right(node) => out.nodes.push(node.clone()),
                Side::Both(a, b) => out.nodes.push(Node {
                    step: a.step.clone(),
                    member: a.member || b.member,
                    children: if b.children.is_empty() {
                        a.children.clone()
                    } else {
                        a.children.union(&b.children)
                    },
                }),
            }
        }
        out
    }

    /// The fields that are in both.
    #[must_use]
    pub fn intersection(&self, other: &FieldSet<'_>) -> Self {
        let mut out = Self::new();
        if self.is_empty() || other.is_empty() {
            return out;
        }
        for side in zip(self, other) {
            if let Side::Both(a, b) = side {
                let children = a.children.intersection(&b.children);
                out.keep(&a.step, a.member && b.member, children);
            }
        }
        out
    }

    /// The fields of this set that aren't in `other`. Fields within a member of
    /// `other` stay.
    #[must_use]
    pub fn difference(&self, other: &FieldSet<'_>) -> Self {
        if other.is_empty() {
            return self.clone();
        }
        let mut out = Self::new();
        for side in zip(self, other) {
            match side {
                Side::Left(node) => out.nodes.push(node.clone()),
                Side::Right(_) => {}
                Side::Both(a, b) => {
                    let children = a.children.difference(&b.children);
                    out.keep(&a.step, a.member && !b.member, children);
                }
            }
        }
        out
    }

    /// The fields of this set that neither are in `other` nor lie within one that is.
    #[must_use]
    pub fn recursive_difference(&self, other: &FieldSet<'_>) -> Self {
        if other.is_empty() {
            return self.clone();
        }
        let mut out = Self::new();
        for side in zip(self, other) {
            match side {
                Side::Left(node) => out.nodes.push(node.clone()),
                Side::Right(_) => {}
                Side::Both(_, b) if b.member => {}
                Side::Both(a, b) => {
                    let children = a.children.recursive_difference(&b.children);
                    out.keep(&a.step, a.member, children);
                }
            }
        }
        out
    }

    /// The fields that have no other field of the set within them.
    #[must_use]
    pub fn leaves(&self) -> Self {
        Self {
            nodes: self
                .nodes
                .iter()
                .map(|node| Node {
                    step: node.step.clone(),
                    member: node.member && node.children.is_empty(),
                    children: node.children.leaves(),
                })
                .collect(),
        }
    }

    /// Whether every field of this set is in `other` too.
    #[must_use]
    pub fn is_subset(&self, other: &FieldSet<'_>) -> bool {
        self.nodes.iter().all(|node| {
            other.node(&node.step).is_some_and(|other| {
                (!node.member || other.member) && node.children.is_subset(&other.children)
            })
        })
    }

    /// With every declared field that a member lies within as a member too: from
    /// `.spec.replicas` also `.spec`, but from `.labels.app` not `.labels.app`'s map key.
    pub(crate) fn with_named_fields(&self, ty: Option<TypeRef<'_>>) -> Self {
        Self {
            nodes: self
                .nodes
                .iter()
                .map(|node| {
                    let (named, below) = match (&node.step, ty) {
                        (Step::Field(name), Some(ty)) if ty.map_type().is_some() => {
                            match ty.field(name) {
                                Some(field) => (true, Some(field.ty())),
                                None => (false, ty.values()),
                            }
                        }
                        (Step::Key(_), Some(ty)) if ty.list_type().is_some() => (false, ty.items()),
                        _ => (false, None),
                    };
                    let named = named && !node.children.is_empty();
                    Node {
                        step: node.step.clone(),
                        member: node.member || named,
                        children: node.children.with_named_fields(below),
                    }
                })
                .collect(),
        }
    }
}
