//! `gitopsctl` as a process.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Nothing here takes as long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The command in the folder `home`, with nothing in its environment that a developer's machine
/// may have set.
pub(crate) fn gitopsctl(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gitopsctl"));
    command
        .current_dir(home)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", home)
        // An error is one line even for somebody who has this set.
        .env("RUST_BACKTRACE", "1")
        .stdin(Stdio::null());
    command
}

/// What a command that has ended left behind.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs the command to its end. Whatever it does, it does not panic and writes no escape codes.
#[track_caller]
pub(crate) fn finish(command: &mut Command) -> Finished {
    let output = command.output().unwrap();
    let finished = Finished {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    };
    let text = format!("{}{}", finished.stdout, finished.stderr);
    assert!(!text.contains('\u{1b}'), "escape codes: {text:?}");
    assert!(!text.contains("panicked"), "{text}");
    assert!(!text.to_lowercase().contains("backtrace"), "{text}");
    finished
}

impl Finished {
    /// Asserts on the exit status.
    #[track_caller]
    pub(crate) fn code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{self:#?}");
        self
    }

    /// Standard output as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }

    /// Asserts that standard output has a line that holds all of these.
    #[track_caller]
    pub(crate) fn says(&self, words: &[&str]) -> &Self {
        assert!(holds(&self.stdout, words), "no {words:?} in {self:#?}");
        self
    }

    /// Asserts that it could not be done, and that the reason is one line that holds all of
    /// these.
    #[track_caller]
    pub(crate) fn refuses(self, words: &[&str]) -> Self {
        let this = self.code(2);
        assert_eq!(this.stdout, "", "{this:#?}");
        assert_eq!(this.stderr.lines().count(), 1, "{this:#?}");
        assert!(this.stderr.starts_with("gitopsctl: "), "{this:#?}");
        assert!(holds(&this.stderr, words), "no {words:?} in {this:#?}");
        this
    }

    /// How often each verb was sent to the fake cluster, as `apply` sums it up.
    #[track_caller]
    pub(crate) fn requests(&self, verb: &str) -> usize {
        let summary = self
            .stderr
            .lines()
            .find_map(|line| line.strip_prefix("requests: "))
            .unwrap_or_else(|| panic!("no summary in {self:#?}"));
        summary
            .split(", ")
            .find_map(|part| part.strip_suffix(verb)?.strip_suffix(' '))
            .map_or(0, |count| count.parse().unwrap())
    }

    /// Asserts that nothing was written to the fake cluster.
    #[track_caller]
    pub(crate) fn wrote_nothing(&self) {
        for verb in ["create", "update", "patch", "delete", "deletecollection"] {
            assert_eq!(self.requests(verb), 0, "{self:#?}");
        }
    }
}

fn holds(text: &str, words: &[&str]) -> bool {
    text.lines()
        .any(|line| words.iter().all(|word| line.contains(word)))
}

/// A command that goes on until it is stopped. It is killed when dropped.
pub(crate) struct Started {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Started {
    pub(crate) fn new(command: &mut Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (send, lines) = channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        Self {
            child,
            lines,
            seen: Vec::new(),
        }
    }

    /// Waits for a line of standard output that holds all of these.
    #[track_caller]
    pub(crate) fn line(&mut self, words: &[&str]) -> String {
        let until = Instant::now() + PATIENCE;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                let _ = self.child.kill();
                let mut stderr = String::new();
                let _ = self
                    .child
                    .stderr
                    .take()
                    .unwrap()
                    .read_to_string(&mut stderr);
                panic!(
                    "no line with {words:?}; there was {:#?}\n{stderr}",
                    self.seen
                );
            };
            self.seen.push(line.clone());
            if words.iter().all(|word| line.contains(word)) {
                return line;
            }
        }
    }

    /// Sends a signal, such as `INT`, and waits for the end.
    #[track_caller]
    pub(crate) fn stop(mut self, signal: &str) -> Finished {
        self.signal(signal);
        self.end()
    }

    pub(crate) fn signal(&self, signal: &str) {
        let kill = format!("kill -{signal} {}", self.child.id());
        let killed = Command::new("sh").args(["-c", &kill]).status().unwrap();
        assert!(killed.success(), "{kill}");
    }

    /// Waits for the end.
    #[track_caller]
    pub(crate) fn end(&mut self) -> Finished {
        let mut stderr = String::new();
        self.child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut stderr)
            .unwrap();
        let code = self.child.wait().unwrap().code();
        self.seen.extend(self.lines.iter());
        let finished = Finished {
            code,
            stdout: self.seen.join("\n"),
            stderr,
        };
        let text = format!("{}{}", finished.stdout, finished.stderr);
        assert!(!text.contains('\u{1b}'), "escape codes: {text:?}");
        assert!(!text.contains("panicked"), "{text}");
        finished
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
