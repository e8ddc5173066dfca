//! How results are written.

use anyhow::Result;
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
            Self::Json => anstream::println!("{}", serde_json::to_string_pretty(value)?),
        }
        Ok(())
    }
}
