//! Running `git` apart from the user's configuration.

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use super::FakeRepoError;

/// One call of `git`.
pub(crate) struct Git {
    name: String,
    command: Command,
    stdin: Vec<u8>,
}

/// What every `git` here sees instead of the caller's environment: `PATH`, and
/// nothing that could change an id or ask a question.
pub(crate) fn environment() -> Vec<(&'static str, std::ffi::OsString)> {
    let mut vars: Vec<(&'static str, std::ffi::OsString)> = [
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_CONFIG_SYSTEM", "/dev/null"),
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_TERMINAL_PROMPT", "0"),
        ("LC_ALL", "C"),
        ("TZ", "UTC"),
    ]
    .map(|(name, value)| (name, value.into()))
    .into();
    for name in ["PATH", "SYSTEMROOT", "TMPDIR", "TEMP"] {
        if let Some(value) = std::env::var_os(name) {
            vars.push((name, value));
        }
    }
    vars
}

impl Git {
    pub(crate) fn new(subcommand: &str, git_dir: Option<&Path>) -> Self {
        let mut command = Command::new("git");
        command.env_clear().envs(environment());
        if let Some(git_dir) = git_dir {
            let mut option = std::ffi::OsString::from("--git-dir=");
            option.push(git_dir);
            command.arg(option);
        }
        command
            .arg(subcommand)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Self {
            name: subcommand.to_owned(),
            command,
            stdin: Vec::new(),
        }
    }

    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    pub(crate) fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.command.args(args);
        self
    }

    pub(crate) fn stdin(mut self, content: &[u8]) -> Self {
        self.stdin = content.to_vec();
        self
    }

    /// Runs it and returns what it wrote to stdout.
    pub(crate) fn run(mut self) -> Result<Vec<u8>, FakeRepoError> {
        let failed = |source| FakeRepoError::Io {
            action: "run git",
            source,
        };
        let mut child = self.command.stdin(Stdio::piped()).spawn().map_err(failed)?;
        // From a thread of its own, or both sides could wait for the other to read.
        let input = child.stdin.take();
        let content = std::mem::take(&mut self.stdin);
        let writer = std::thread::spawn(move || {
            if let Some(mut input) = input {
                // A child that stops reading says why by its exit status.
                let _ = input.write_all(&content);
            }
        });
        let output = child.wait_with_output().map_err(failed)?;
        let _ = writer.join();
        if output.status.success() {
            return Ok(output.stdout);
        }
        let mut message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        if message.is_empty() {
            message = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        }
        Err(FakeRepoError::Git {
            command: self.name,
            message,
        })
    }

    /// Runs it and returns stdout as text, without the last line break.
    pub(crate) fn text(self) -> Result<String, FakeRepoError> {
        let output = self.run()?;
        Ok(String::from_utf8_lossy(&output).trim_end().to_owned())
    }
}
