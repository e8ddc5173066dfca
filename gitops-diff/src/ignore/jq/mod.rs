//! jq expressions as rules: the paths that an expression gives.
//!
//! The language is jq's, read by `jaq-core`. The evaluation is our own, since a rule may come
//! from anywhere and has to be bounded: `jaq`'s evaluator has no limit on steps or memory, and
//! its lazy iterators make the depth of the stack, and of what has to be dropped, a matter of
//! the expression. Here every step, every byte that is made and every level is counted, so that
//! the same expression on the same object always has the same answer, or the same error.
//!
//! What only makes sense in a program is refused when the rule is read: assignment, and the
//! filters that look at the outside (`env`, `input`, `now`) or end it (`halt`).

mod eval;
mod expr;
mod natives;

use std::collections::HashMap;
use std::fmt;
use std::sync::LazyLock;

use serde_json::Value;

use expr::{Def, Expr};

/// How many steps an expression may take on one object: an evaluated term, a value of a list
/// or object, or eight bytes of text are one each. A rule takes some hundreds.
pub(super) const MAX_STEPS: u64 = 1_000_000;
/// How many bytes of values an expression may make in all.
pub(super) const MAX_BYTES: u64 = 4 << 20;
/// How deep calls may be nested.
pub(super) const MAX_DEPTH: u32 = 256;
/// How long an expression may be, in bytes.
const MAX_LENGTH: usize = 4096;
/// How many paths an expression may give.
const MAX_PATHS: usize = 10_000;

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Name(String),
    Place(usize),
}

/// Why an expression gave no paths.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum JqError {
    /// It took too much of something.
    Limit(&'static str),
    /// It gave a value that stands nowhere in the object.
    NoPath,
    /// It named the object itself.
    Whole,
}

impl fmt::Display for JqError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Limit(what) => write!(f, "takes too much: {what}"),
            Self::NoPath => f.write_str("gives a value that is no field of the object"),
            Self::Whole => f.write_str("gives the object itself; name a field of it"),
        }
    }
}

/// An expression that was read.
#[derive(Debug)]
pub(super) struct Program {
    main: Expr,
}

/// Definitions by name and number of parameters.
type Defs = HashMap<(String, usize), Def>;

/// What is defined in jq itself.
const PRELUDE: &str = include_str!("prelude.jq");

static DEFS: LazyLock<Defs> = LazyLock::new(|| {
    // A test reads it, so there is no error to tell.
    expr::read_definitions(PRELUDE).unwrap_or_default()
});

impl Program {
    /// Reads an expression.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX_LENGTH {
            return Err(format!(
                "a jq expression is at most {MAX_LENGTH} bytes long"
            ));
        }
        let main = expr::read(text, &DEFS)?;
        Ok(Self { main })
    }

    /// The paths in `object` that the expression gives, as `del(..)` would take them.
    ///
    /// What can't be looked into, such as a list that isn't there, gives none.
    pub(super) fn paths(&self, object: &Value) -> Result<Vec<Vec<Step>>, JqError> {
        eval::paths(&self.main, &DEFS, object, MAX_PATHS)
    }
}

#[cfg(test)]
mod tests;
