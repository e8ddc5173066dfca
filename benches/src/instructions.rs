//! How many instructions something takes: the same on every machine of one kind.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};

/// How many instructions this program executes with `arguments`, counted by
/// `valgrind --tool=callgrind`. `None` if there is no valgrind.
///
/// # Errors
///
/// If the program fails, or valgrind doesn't say a number.
pub fn of_run(arguments: &[&str]) -> Result<Option<u64>> {
    let program = std::env::current_exe().context("where this program is")?;
    let run = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args(arguments)
        .output();
    let output = match run {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        run => run.context("valgrind can't be started")?,
    };
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{arguments:?} failed under valgrind:\n{said}"
    );
    let collected = said
        .lines()
        .find_map(|line| line.split_once("Collected : "))
        .with_context(|| format!("valgrind counted nothing:\n{said}"))?;
    Ok(Some(
        collected.1.trim().parse().context("valgrind's count")?,
    ))
}
