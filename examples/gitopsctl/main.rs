//! What does the SDK look like composed into a command?
//!
//! `gitopsctl render`, `diff`, `plan`, `apply`, `run` and `fake`. Each subcommand is a file in
//! this folder; the part that puts a reconciler together is `target.rs`.

mod apply;
mod diff;
mod fake;
mod files;
mod ignore;
mod output;
mod plan;
mod progress;
mod render;
mod run;
mod target;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use output::Output;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// Everything is as it was asked for.
const SUCCESS: u8 = 0;
/// It was done, and not all of it is well: objects differ, failed or were held back.
const UNWELL: u8 = 1;
/// It could not be done.
const ERROR: u8 = 2;

/// Deploys what a Git repository says, and shows what it would do.
#[derive(Parser)]
#[command(name = "gitopsctl", version, about, after_help = EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Whether text is coloured; auto is where somebody sees it and $NO_COLOR isn't set
    #[arg(
        long,
        value_enum,
        global = true,
        value_name = "WHEN",
        default_value = "auto"
    )]
    color: Color,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Color {
    Auto,
    Always,
    Never,
}

impl From<Color> for anstream::ColorChoice {
    fn from(color: Color) -> Self {
        match color {
            Color::Auto => Self::Auto,
            Color::Always => Self::Always,
            Color::Never => Self::Never,
        }
    }
}

const EXIT_CODES: &str = "Exit status: 0 all is as asked; 1 something differs, failed or was held \
                          back; 2 it could not be done.";

#[derive(Subcommand)]
enum Command {
    /// Prints the manifests that a file or folder means
    Render(render::Args),
    /// Compares desired with live, field by field
    Diff(diff::Args),
    /// Shows what apply would do
    Plan(plan::Args),
    /// Makes what the repository says real, once
    Apply(apply::Args),
    /// Keeps it real until it is stopped
    Run(run::Args),
    /// Serves the fake cluster of --fake, for kubectl
    Fake(fake::Args),
}

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(logs())
        .init();
    let cli = Cli::parse();
    anstream::ColorChoice::from(cli.color).write_global();
    let result = match cli.command {
        Command::Render(args) => render::run(&args).await,
        Command::Diff(args) => diff::run(&args).await,
        Command::Plan(args) => plan::run(args).await,
        Command::Apply(args) => apply::run(args).await,
        Command::Run(args) => run::run(args).await,
        Command::Fake(args) => fake::run(args).await,
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            anstream::eprintln!("gitopsctl: {}", in_one_line(&error));
            ExitCode::from(ERROR)
        }
    }
}

/// What is logged: nothing unless `$RUST_LOG` asks for it, as every error is told anyway.
fn logs() -> EnvFilter {
    EnvFilter::builder()
        .with_default_directive(LevelFilter::OFF.into())
        .from_env_lossy()
}

/// The error and its causes. Some errors tell their cause themselves; it isn't told twice.
fn in_one_line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if line.is_empty() {
            line = cause;
        } else if !line.ends_with(&cause) {
            line = format!("{line}: {cause}");
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_arguments_of_all_subcommands_fit_together() {
        super::Cli::command().debug_assert();
    }
}
