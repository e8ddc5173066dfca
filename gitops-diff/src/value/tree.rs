//! A value that shares what it didn't change.

use std::cmp::Ordering;

use serde_json::{Map, Value};

use super::{compare_numbers, go};

pub(crate) static NULL: Value = Value::Null;

/// A JSON value that is put together from parts of others, without copying them.
///
/// Two trees that refer to the same value are equal without looking inside, which is
/// what makes comparing an object with its slightly changed successor cheap.
#[derive(Debug, Clone)]
pub(crate) enum Tree<'a> {
    Ref(&'a Value),
    /// Sorted by name.
    Map(Vec<(&'a str, Tree<'a>)>),
    List(Vec<Tree<'a>>),
}

/// What a tree is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Null,
    Scalar,
    List,
    Map,
}

impl<'a> Tree<'a> {
    pub(crate) const fn null() -> Self {
        Self::Ref(&NULL)
    }

    pub(crate) fn shape(&self) -> Shape {
        match self {
            Self::Map(_) | Self::Ref(Value::Object(_)) => Shape::Map,
            Self::List(_) | Self::Ref(Value::Array(_)) => Shape::List,
            Self::Ref(Value::Null) => Shape::Null,
            Self::Ref(_) => Shape::Scalar,
        }
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self, Self::Ref(Value::Null))
    }

    /// Whether both are the very same value.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        matches!((self, other), (Self::Ref(a), Self::Ref(b)) if std::ptr::eq(*a, *b))
    }

    pub(crate) fn as_map(&self) -> Option<MapView<'_, 'a>> {
        match self {
            Self::Map(members) => Some(MapView::Own(members)),
            Self::Ref(Value::Object(members)) => Some(MapView::Ref(members)),
            _ => None,
        }
    }

    pub(crate) fn as_list(&self) -> Option<ListView<'_, 'a>> {
        match self {
            Self::List(items) => Some(ListView::Own(items)),
            Self::Ref(Value::Array(items)) => Some(ListView::Ref(items)),
            _ => None,
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<Tree<'a>> {
        self.as_map()?.get(name)
    }

    /// The value on its own.
    pub(crate) fn to_value(&self) -> Value {
        match self {
            Self::Ref(value) => (*value).clone(),
            Self::Map(members) => Value::Object(
                members
                    .iter()
                    .map(|(name, member)| ((*name).to_owned(), member.to_value()))
                    .collect::<Map<_, _>>(),
            ),
            Self::List(items) => Value::Array(items.iter().map(Tree::to_value).collect()),
        }
    }

    /// Equality as the API server has it: numbers by value, whether whole or not.
    pub(crate) fn equals(&self, other: &Self) -> bool {
        if self.is_same(other) {
            return true;
        }
        match (self.shape(), other.shape()) {
            (Shape::Null, Shape::Null) => true,
            (Shape::Scalar, Shape::Scalar) => match (self, other) {
                (Self::Ref(Value::Number(a)), Self::Ref(Value::Number(b))) => {
                    compare_numbers(a, b) == Ordering::Equal
                }
                (Self::Ref(a), Self::Ref(b)) => a == b,
                _ => false,
            },
            (Shape::List, Shape::List) => match (self.as_list(), other.as_list()) {
                (Some(a), Some(b)) => {
                    a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| a.equals(&b))
                }
                _ => false,
            },
            (Shape::Map, Shape::Map) => match (self.as_map(), other.as_map()) {
                (Some(a), Some(b)) => {
                    a.len() == b.len()
                        && a.iter()
                            .all(|(name, a)| b.get(name).is_some_and(|b| a.equals(&b)))
                }
                _ => false,
            },
            _ => false,
        }
    }

    /// `%v`, `%#v` and `%T` of the value, for messages.
    pub(crate) fn go_value(&self) -> String {
        go::GoValue(&self.to_value()).to_string()
    }

    pub(crate) fn go_syntax(&self) -> String {
        go::GoSyntax(&self.to_value()).to_string()
    }

    pub(crate) fn go_type(&self) -> &'static str {
        match self {
            Self::Ref(value) => go::go_type(value),
            Self::Map(_) => "map[string]interface {}",
            Self::List(_) => "[]interface {}",
        }
    }
}

/// The members of a map.
#[derive(Clone, Copy)]
pub(crate) enum MapView<'t, 'a> {
    Own(&'t [(&'a str, Tree<'a>)]),
    Ref(&'a Map<String, Value>),
}

impl<'t, 'a> MapView<'t, 'a> {
    pub(crate) fn len(self) -> usize {
        match self {
            Self::Own(members) => members.len(),
            Self::Ref(members) => members.len(),
        }
    }

    pub(crate) fn get(self, name: &str) -> Option<Tree<'a>> {
        match self {
            Self::Own(members) => {
                let at = members
                    .binary_search_by(|(other, _)| (*other).cmp(name))
                    .ok()?;
                members.get(at).map(|(_, member)| member.clone())
            }
            Self::Ref(members) => members.get(name).map(Tree::Ref),
        }
    }

    pub(crate) fn contains(self, name: &str) -> bool {
        match self {
            Self::Own(members) => members
                .binary_search_by(|(other, _)| (*other).cmp(name))
                .is_ok(),
            Self::Ref(members) => members.contains_key(name),
        }
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = (&'a str, Tree<'a>)> + use<'t, 'a> {
        let (own, reference) = match self {
            Self::Own(members) => (Some(members), None),
            Self::Ref(members) => (None, Some(members)),
        };
        let own = own
            .into_iter()
            .flatten()
            .map(|(name, member)| (*name, member.clone()));
        let reference = reference
            .into_iter()
            .flatten()
            .map(|(name, member)| (name.as_str(), Tree::Ref(member)));
        own.chain(reference)
    }
}

/// The elements of a list.
#[derive(Clone, Copy)]
pub(crate) enum ListView<'t, 'a> {
    Own(&'t [Tree<'a>]),
    Ref(&'a [Value]),
}

impl<'t, 'a> ListView<'t, 'a> {
    pub(crate) fn len(self) -> usize {
        match self {
            Self::Own(items) => items.len(),
            Self::Ref(items) => items.len(),
        }
    }

    pub(crate) fn get(self, at: usize) -> Option<Tree<'a>> {
        match self {
            Self::Own(items) => items.get(at).cloned(),
            Self::Ref(items) => items.get(at).map(Tree::Ref),
        }
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = Tree<'a>> + use<'t, 'a> {
        (0..self.len()).filter_map(move |at| self.get(at))
    }
}
