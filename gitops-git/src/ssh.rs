//! Git over an external `ssh` program.

use std::io::{self, Read, Write};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, ChildStdin, ChildStdout};

use crate::error::GitError;
use crate::http::Budget;
use crate::operation::Operation;

/// How `ssh` is called.
#[derive(Debug, Clone)]
pub(crate) struct SshCommand {
    pub(crate) program: std::ffi::OsString,
    pub(crate) arguments: Vec<std::ffi::OsString>,
}

impl Default for SshCommand {
    fn default() -> Self {
        Self {
            program: "ssh".into(),
            arguments: Vec::new(),
        }
    }
}

/// Where to, checked when the URL was read: nothing in it begins with `-`.
#[derive(Debug, Clone)]
pub(crate) struct SshPlace {
    pub(crate) user: Option<String>,
    pub(crate) host: String,
    pub(crate) port: Option<u16>,
    pub(crate) path: String,
}

/// As much of what ssh says on stderr is kept.
const MAX_STDERR: usize = 4096;

/// A running `ssh` with `git-upload-pack` at its other end.
pub(crate) struct SshSession {
    child: Child,
    stderr: Arc<Mutex<Vec<u8>>>,
    operation: Operation,
}

/// What the other end writes.
pub(crate) struct FromRemote {
    stdout: ChildStdout,
    operation: Operation,
    budget: Budget,
    /// ssh connects and asks for keys before the first byte.
    started: bool,
}

/// What the other end reads.
pub(crate) struct ToRemote {
    stdin: ChildStdin,
    operation: Operation,
}

pub(crate) fn connect(
    command: &SshCommand,
    place: &SshPlace,
    operation: &Operation,
    budget: Budget,
) -> Result<(SshSession, FromRemote, ToRemote), GitError> {
    let timeouts = operation.timeouts();
    let mut ssh = tokio::process::Command::new(&command.program);
    // No question may wait for an answer: an unknown host key is refused, a password not
    // asked for. Git asks for protocol version 2 by this variable, which sshd must let in.
    ssh.args(["-o", "BatchMode=yes", "-o", "SendEnv=GIT_PROTOCOL", "-o"])
        .arg(format!(
            "ConnectTimeout={}",
            timeouts.connect.as_secs().max(1)
        ))
        .env("GIT_PROTOCOL", "version=2")
        .args(&command.arguments);
    if let Some(port) = place.port {
        ssh.args(["-p", &port.to_string()]);
    }
    match &place.user {
        Some(user) => ssh.arg(format!("{user}@{}", place.host)),
        None => ssh.arg(&place.host),
    };
    ssh.arg(format!("git-upload-pack {}", quote(&place.path)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let stderr = Arc::new(Mutex::new(Vec::new()));
    let collected = Arc::clone(&stderr);
    let (child, stdin, stdout) = operation.wait("ssh did not start", timeouts.connect, async {
        let failed = |reason: String| GitError::Unreachable {
            remote: operation.remote(),
            reason: format!(
                "could not run {}: {reason}",
                command.program.to_string_lossy()
            ),
        };
        let mut child = ssh.spawn().map_err(|error| failed(error.to_string()))?;
        let (Some(stdin), Some(stdout), Some(mut said)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(failed("no pipes".to_owned()));
        };
        tokio::spawn(async move {
            let mut buffer = [0; 1024];
            while let Ok(read @ 1..) = said.read(&mut buffer).await {
                let mut kept = collected.lock().unwrap_or_else(PoisonError::into_inner);
                let room = MAX_STDERR.saturating_sub(kept.len()).min(read);
                kept.extend_from_slice(buffer.get(..room).unwrap_or_default());
            }
        });
        Ok((child, stdin, stdout))
    })?;
    Ok((
        SshSession {
            child,
            stderr,
            operation: operation.clone(),
        },
        FromRemote {
            stdout,
            operation: operation.clone(),
            budget,
            started: false,
        },
        ToRemote {
            stdin,
            operation: operation.clone(),
        },
    ))
}

impl SshSession {
    /// Why the conversation broke off, as far as ssh or the other end said.
    pub(crate) fn diagnose(mut self, error: GitError) -> GitError {
        if matches!(
            error,
            GitError::Timeout { .. } | GitError::Cancelled { .. } | GitError::Limit { .. }
        ) {
            return error;
        }
        let grace = Duration::from_secs(1);
        let child = &mut self.child;
        let status = self.operation.wait("ssh did not end", grace, async {
            let status = child.wait().await.ok();
            // What it said last is on its way through the other task.
            tokio::time::sleep(Duration::from_millis(20)).await;
            Ok(status)
        });
        let Ok(Some(status)) = status else {
            return error;
        };
        if status.success() {
            return error;
        }
        let said = self.stderr.lock().unwrap_or_else(PoisonError::into_inner);
        let said = String::from_utf8_lossy(&said).into_owned();
        sort(&self.operation, status.code(), &said)
    }
}

/// What ssh's words mean. There is no other way to know: its exit status is 255 for all
/// failures of its own.
fn sort(operation: &Operation, status: Option<i32>, said: &str) -> GitError {
    let remote = operation.remote();
    let lower = said.to_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    let mut reason = operation.clean(said);
    if reason.is_empty() {
        reason = match status {
            Some(status) => format!("ssh ended with status {status}"),
            None => "ssh was killed".to_owned(),
        };
    }
    if has(&[
        "host key verification failed",
        "remote host identification has changed",
    ]) {
        GitError::Untrusted { remote, reason }
    } else if has(&["permission denied", "too many authentication failures"]) {
        GitError::Unauthorized { remote, reason }
    } else if has(&[
        "does not appear to be a git repository",
        "repository not found",
        "no such file or directory",
        "could not be found",
    ]) {
        GitError::RepositoryNotFound { remote, reason }
    } else {
        GitError::Unreachable { remote, reason }
    }
}

/// One word for the shell at the other end. `~ann/shop` is quoted too: it is upload-pack
/// itself that finds Ann's home.
fn quote(path: &str) -> String {
    // A csh would expand `!` even within quotes.
    let quoted = path.replace('\'', r"'\''").replace('!', r"'\!'");
    format!("'{quoted}'")
}

impl Read for FromRemote {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let timeouts = self.operation.timeouts();
        let limit = if self.started {
            timeouts.stall
        } else {
            timeouts.connect + timeouts.stall
        };
        let Self {
            stdout, operation, ..
        } = self;
        let read = operation.wait("nothing came", limit, async {
            stdout
                .read(into)
                .await
                .map_err(|error| GitError::BrokenOff {
                    remote: operation.remote(),
                    reason: operation.clean(&error.to_string()),
                })
        });
        self.started = true;
        read.and_then(|read| self.budget.take(read, &self.operation).map(|()| read))
            .map_err(|error| self.operation.fail(error))
    }
}

impl Write for ToRemote {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Self { stdin, operation } = self;
        // A broken pipe is left to gix: the reading side knows more of why.
        let limit = operation.timeouts().stall;
        let written = operation.wait("nothing was taken", limit, async {
            Ok(stdin.write(bytes).await)
        });
        written.map_err(|error| self.operation.fail(error))?
    }

    fn flush(&mut self) -> io::Result<()> {
        let Self { stdin, operation } = self;
        let limit = operation.timeouts().stall;
        let flushed = operation.wait("nothing was taken", limit, async {
            Ok(stdin.flush().await)
        });
        flushed.map_err(|error| self.operation.fail(error))?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_word_to_the_shell() {
        assert_eq!(quote("/srv/a b.git"), "'/srv/a b.git'");
        assert_eq!(quote("a'; rm -rf ~; '"), r"'a'\''; rm -rf ~; '\'''");
        assert_eq!(quote("a!b"), r"'a'\!'b'");
        assert_eq!(quote("~$(x)/shop"), "'~$(x)/shop'");
    }
}
