//! A [`Difference`](gitops_core::Difference) for people and for programs: aligned text, two
//! columns, Markdown, JSON.
//!
//! For one object there is a function for each form; a [`Report`] writes several.
//!
//! A difference holds no secret, so none of these can show one. Names and values come
//! from repositories and clusters, though: characters that a terminal obeys, that turn the
//! direction of text or that can't be seen are written as escapes, Markdown is fenced so
//! that nothing in a value gets out of the fence, and what stands between tags is escaped.

mod clean;
mod json;
mod markdown;
mod report;
mod rows;
mod side_by_side;
mod unified;

pub use json::json;
pub use markdown::markdown;
pub use report::{Fate, GITHUB_COMMENT, Report};
pub use side_by_side::side_by_side;
pub use unified::unified;

/// Whether text is coloured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Colour {
    /// Plain text.
    #[default]
    Plain,
    /// With the escapes that terminals know.
    Ansi,
}

struct Paint(Colour);

impl Paint {
    fn with(&self, code: &str, text: &str) -> String {
        match self.0 {
            Colour::Ansi if !text.is_empty() => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
            _ => text.to_owned(),
        }
    }

    fn bold(&self, text: &str) -> String {
        self.with("1", text)
    }

    fn dim(&self, text: &str) -> String {
        self.with("2", text)
    }

    fn sign(&self, sign: char, text: &str) -> String {
        match sign {
            '+' => self.with("32", text),
            '-' => self.with("31", text),
            '~' => self.with("33", text),
            '!' => self.with("35", text),
            _ => text.to_owned(),
        }
    }
}
