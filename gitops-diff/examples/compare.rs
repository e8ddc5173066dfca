//! How do I compare a manifest with what runs? With this crate alone, and no cluster:
//!
//! ```sh
//! kubectl get deployment web -o yaml > live.yaml
//! cargo run -p gitops-diff --example compare -- desired.yaml live.yaml
//! cargo run -p gitops-diff --example compare -- desired.yaml live.yaml --markdown
//! ```
//!
//! Exits with 0 if nothing differs, 1 if something does, 2 if it can't be told.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command prints its answer"
)]

use std::error::Error;
use std::fs;
use std::process::ExitCode;

use gitops_diff::gitops_core::yaml::{ReadLimits, read_documents};
use gitops_diff::serde_json::Value;
use gitops_diff::text::{Colour, markdown, unified};
use gitops_diff::{FieldManager, SchemaDiffer};

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<bool, Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [desired, live, rest @ ..] = args.as_slice() else {
        return Err("usage: compare DESIRED LIVE [--markdown]".into());
    };
    let (desired, live) = (read(desired)?, read(live)?);

    let differ = SchemaDiffer::builtin();
    let difference = differ.compare(&desired, &live, &FieldManager::new("compare")?)?;

    let name = format!(
        "{} {}",
        text(&desired, "/kind"),
        text(&desired, "/metadata/name")
    );
    if rest.iter().any(|arg| arg == "--markdown") {
        print!("{}", markdown(&name, &difference));
    } else {
        print!("{}", unified(&name, &difference, Colour::Plain));
    }
    Ok(difference.is_empty())
}

/// The first object of a file of YAML or JSON.
fn read(file: &str) -> Result<Value, Box<dyn Error>> {
    let bytes = fs::read(file).map_err(|error| format!("{file}: {error}"))?;
    let mut read = read_documents(file, &bytes, &ReadLimits::default());
    if let Some(error) = read.errors.pop() {
        return Err(error.into());
    }
    match read.documents.into_iter().next() {
        Some(document) => Ok(document.value),
        None => Err(format!("{file}: there is no object in it").into()),
    }
}

fn text<'v>(object: &'v Value, pointer: &str) -> &'v str {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}
