//! Laws that were broken.

use std::fmt;

use serde_json::Value;

/// A law that doesn't hold, with what shows it.
///
/// Prints as a report: the law, why, and what went in. `?` makes a
/// failed proptest case of it, as of every error; `Debug` prints the same, so that `unwrap` can be read.
#[derive(Clone)]
pub struct LawBroken {
    law: &'static str,
    why: String,
    /// What came out, then what went in.
    answers: Vec<(&'static str, String)>,
    inputs: Vec<(&'static str, String)>,
    run: Option<(u64, u32)>,
}

impl LawBroken {
    pub(crate) fn new(law: &'static str, why: impl Into<String>) -> Self {
        Self {
            law,
            why: why.into(),
            answers: Vec::new(),
            inputs: Vec::new(),
            run: None,
        }
    }

    /// Adds an object.
    pub(crate) fn with(mut self, name: &'static str, value: &Value) -> Self {
        self.inputs.push((name, format!("{value:#}")));
        self
    }

    /// Adds something else, to be read before the objects.
    pub(crate) fn with_text(mut self, name: &'static str, text: impl Into<String>) -> Self {
        self.answers.push((name, text.into()));
        self
    }

    pub(crate) fn in_run(mut self, seed: u64, cases: u32) -> Self {
        self.run = Some((seed, cases));
        self
    }

    /// The name of the law, such as `reflexive`.
    #[must_use]
    pub fn law(&self) -> &'static str {
        self.law
    }

    /// What is wrong.
    #[must_use]
    pub fn why(&self) -> &str {
        &self.why
    }
}

impl fmt::Display for LawBroken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the law `{}` is broken: {}", self.law, self.why)?;
        for (name, text) in self.answers.iter().chain(&self.inputs) {
            write!(f, "\n{name}:")?;
            for line in text.lines() {
                write!(f, "\n    {line}")?;
            }
        }
        if let Some((seed, cases)) = self.run {
            write!(
                f,
                "\nto see it again: Check::new().seed({seed}).cases({cases})"
            )?;
        }
        Ok(())
    }
}

impl fmt::Debug for LawBroken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for LawBroken {}
