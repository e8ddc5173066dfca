//! How results are written.

use anyhow::Result;
use gitops_diff::text::{Colour, GITHUB_COMMENT, Report};
use serde::Serialize;

/// The form of what is written to standard output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Output {
    /// For people
    Text,
    /// For programs
    Json,
}

impl Output {
    /// Writes a value in this form.
    pub(crate) fn write(self, value: &(impl Serialize + std::fmt::Display)) -> Result<()> {
        match self {
            Self::Text => anstream::println!("{value}"),
            Self::Json => write_json(value)?,
        }
        Ok(())
    }
}

pub(crate) fn write_json(value: &impl Serialize) -> Result<()> {
    anstream::println!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}

/// The form of differences, and how wide it may be.
#[derive(clap::Args)]
pub(crate) struct DiffOutput {
    /// The form of the differences
    #[arg(long = "output", value_enum, default_value = "text")]
    pub(crate) form: Form,
    /// How many columns --output side-by-side may have
    #[arg(long, value_name = "COLUMNS", default_value_t = 120)]
    width: usize,
}

/// The forms of differences.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Form {
    /// For people, one line below the other
    Text,
    /// For people, in two columns: what runs, and what is desired
    SideBySide,
    /// For programs
    Json,
    /// For a comment on a pull request, no longer than GitHub takes
    Markdown,
}

impl DiffOutput {
    /// Writes a report in the forms that are for people. Escapes for colours are taken out
    /// where nobody would see them.
    pub(crate) fn write(&self, title: &str, report: &Report) {
        let text = match self.form {
            Form::SideBySide => report.side_by_side(self.width, Colour::Ansi),
            Form::Markdown => report.markdown(title, GITHUB_COMMENT),
            Form::Text | Form::Json => report.unified(Colour::Ansi),
        };
        anstream::print!("{text}");
    }
}
