//! Where we are in an object.

use gitops_core::{FieldPath, PathElement};

use crate::fieldset::Step;
use crate::ignore::PatternStep;

/// Where we are: a chain of steps, joined to a path when one is needed.
pub(super) struct Place<'p> {
    parent: Option<&'p Place<'p>>,
    step: Option<&'p Step<'p>>,
}

impl<'p> Place<'p> {
    pub(super) const ROOT: Place<'static> = Place {
        parent: None,
        step: None,
    };

    /// How many steps it is from the root.
    pub(super) fn depth(&self) -> usize {
        self.parent.map_or(0, |parent| parent.depth() + 1)
    }

    pub(super) fn then(&'p self, step: &'p Step<'p>) -> Place<'p> {
        Place {
            parent: Some(self),
            step: Some(step),
        }
    }

    pub(super) fn path(&self) -> FieldPath {
        fn collect(place: &Place<'_>, out: &mut Vec<PathElement>) {
            if let Some(parent) = place.parent {
                collect(parent, out);
            }
            out.extend(place.step.map(Step::to_element));
        }
        let mut elements = Vec::new();
        collect(self, &mut elements);
        elements.into_iter().collect()
    }

    /// How this place stands to a pattern.
    pub(super) fn reach(&self, pattern: &[PatternStep]) -> Reach {
        let mut depth = self.depth();
        let reach = Reach::of_depth(depth, pattern);
        let mut place = self;
        while let (Some(parent), Some(step)) = (place.parent, place.step) {
            depth -= 1;
            if pattern
                .get(depth)
                .is_some_and(|wanted| !wanted.matches(step))
            {
                return Reach::Open;
            }
            place = parent;
        }
        reach
    }

    /// The member name that is the step to the ancestor with this depth, counted from one.
    pub(super) fn name_at(&self, depth: usize) -> Option<&str> {
        let mut place = self;
        for _ in 0..self.depth().checked_sub(depth)? {
            place = place.parent?;
        }
        match place.step? {
            Step::Field(name) => Some(name),
            _ => None,
        }
    }
}

/// How a place stands to the fields that some patterns name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reach {
    /// Nothing here is one of them.
    Open,
    /// Something within it may be.
    Holds,
    /// It is one itself, or lies within one.
    Within,
}

impl Reach {
    fn of_depth(depth: usize, pattern: &[PatternStep]) -> Self {
        if depth >= pattern.len() {
            Self::Within
        } else {
            Self::Holds
        }
    }

    /// How the place at the end of `path` stands to a pattern.
    pub(super) fn of_path(path: &FieldPath, pattern: &[PatternStep]) -> Self {
        let elements = path.elements();
        let meets = pattern
            .iter()
            .zip(elements)
            .all(|(step, element)| step.matches(&Step::from_element(element)));
        if meets {
            Self::of_depth(elements.len(), pattern)
        } else {
            Self::Open
        }
    }
}
