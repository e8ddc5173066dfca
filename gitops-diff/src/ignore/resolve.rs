//! The fields that the rules name in one object.

use std::borrow::Cow;

use serde_json::Value;

use super::selector::Matcher;
use super::{IgnoreRules, PatternStep, Subject};
use crate::differ::step_to;
use crate::fieldset::Step;
use crate::schema::TypeRef;

/// What is ignored of one object.
#[derive(Default)]
pub(crate) struct Ignored<'r> {
    patterns: Vec<Cow<'r, [PatternStep]>>,
    managers: Vec<&'r Matcher>,
}

impl<'r> Ignored<'r> {
    pub(crate) fn is_empty(&self) -> bool {
        self.patterns.is_empty() && self.managers.is_empty()
    }

    pub(crate) fn patterns(&self) -> impl Iterator<Item = &[PatternStep]> {
        self.patterns.iter().map(AsRef::as_ref)
    }

    /// Whether what this manager owns is ignored.
    pub(crate) fn is_manager(&self, name: &str) -> bool {
        self.managers.iter().any(|manager| manager.matches(name))
    }

    /// Lets what begins with the member `from` be meant by `to`, too.
    pub(crate) fn alias(&mut self, from: &str, to: &str) {
        let aliased: Vec<Vec<PatternStep>> = self
            .patterns
            .iter()
            .filter_map(|pattern| {
                let (first, rest) = pattern.split_first()?;
                let meant = matches!(first, PatternStep::Field(name) if name == from);
                let first = PatternStep::Field(to.to_owned());
                meant.then(|| std::iter::once(first).chain(rest.iter().cloned()).collect())
            })
            .collect();
        for pattern in aliased {
            self.add(Cow::Owned(pattern));
        }
    }

    fn add(&mut self, pattern: Cow<'r, [PatternStep]>) {
        if !self.patterns.contains(&pattern) {
            self.patterns.push(pattern);
        }
    }
}

/// A part of a path in one object: a member by name or an element by its place.
enum Part<'p> {
    /// In a list, a number is a place.
    Pointer(&'p str),
    #[cfg(feature = "jq")]
    Name(&'p str),
    #[cfg(feature = "jq")]
    Place(usize),
}

/// The steps of a path in `object`: an element of a list with keys by its keys, one of a set by
/// its value.
fn steps<'p>(
    parts: impl IntoIterator<Item = Part<'p>>,
    object: &Value,
    ty: Option<TypeRef<'_>>,
) -> Vec<PatternStep> {
    let mut value = Some(object);
    let mut ty = ty;
    let mut out = Vec::new();
    for part in parts {
        let place = match (&part, value) {
            (Part::Pointer(name), Some(Value::Array(_))) => name.parse().ok(),
            #[cfg(feature = "jq")]
            (Part::Place(at), _) => Some(*at),
            _ => None,
        };
        match (place, &part) {
            (Some(at), _) => {
                let item = value.and_then(|list| list.get(at));
                let step = item.map_or(Step::Index(at), |item| step_to(item, at, ty));
                out.push(PatternStep::from_step(&step));
                value = item;
                ty = ty.and_then(TypeRef::items);
            }
            #[cfg(feature = "jq")]
            (None, Part::Name(name)) => {
                out.push(PatternStep::Field((*name).to_owned()));
                value = value.and_then(|value| value.get(name));
                ty = ty.and_then(|ty| ty.member(name));
            }
            (None, Part::Pointer(name)) => {
                out.push(PatternStep::Field((*name).to_owned()));
                value = value.and_then(|value| value.get(name));
                ty = ty.and_then(|ty| ty.member(name));
            }
            #[cfg(feature = "jq")]
            (None, Part::Place(_)) => {}
        }
    }
    out
}

impl IgnoreRules {
    /// What is ignored of one object, whose desired and live state this is.
    ///
    /// # Errors
    ///
    /// If a jq expression goes beyond its bounds, or gives something else than paths.
    pub(crate) fn resolve<'r>(
        &'r self,
        desired: &Value,
        live: &Value,
        ty: Option<TypeRef<'_>>,
    ) -> Result<Ignored<'r>, String> {
        let mut ignored = Ignored::default();
        if self.rules.is_empty() {
            return Ok(ignored);
        }
        let subject = Subject::of_object(desired);
        for rule in &self.rules {
            if !rule.selector.matches(&subject) {
                continue;
            }
            for path in &rule.paths {
                ignored.add(Cow::Borrowed(path.steps()));
            }
            for pointer in &rule.pointers {
                for object in [desired, live] {
                    let parts = pointer.parts.iter().map(|part| Part::Pointer(part));
                    ignored.add(Cow::Owned(steps(parts, object, ty)));
                }
            }
            #[cfg(feature = "jq")]
            for expression in &rule.jq {
                for (object, what) in [(desired, "desired"), (live, "live")] {
                    let paths = expression
                        .program
                        .paths(object)
                        .map_err(|error| format!("jq {:?} on {what}: {error}", expression.text))?;
                    for path in &paths {
                        let parts = path.iter().map(|step| match step {
                            super::jq::Step::Name(name) => Part::Name(name),
                            super::jq::Step::Place(at) => Part::Place(*at),
                        });
                        ignored.add(Cow::Owned(steps(parts, object, ty)));
                    }
                }
            }
            ignored.managers.extend(&rule.managers);
        }
        Ok(ignored)
    }
}
