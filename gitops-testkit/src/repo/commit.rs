//! Making commits.

use super::{FakeRepo, FakeRepoError};

/// A commit in the making. Nothing happens before [`save`](Self::save).
///
/// Paths are relative to the root, separated by `/`. The changes happen in the order
/// of the calls, on top of the branch's newest commit.
#[must_use = "a commit is made by `save`"]
#[derive(Debug)]
pub struct CommitBuilder<'r> {
    repo: &'r FakeRepo,
    message: String,
    branch: Option<String>,
    author: Option<(String, String)>,
    seconds: Option<i64>,
    #[cfg(feature = "sign")]
    key: Option<super::SigningKey>,
    changes: Vec<Change>,
}

#[derive(Debug)]
enum Change {
    Set {
        path: String,
        mode: &'static str,
        content: Vec<u8>,
    },
    Submodule {
        path: String,
        commit: String,
    },
    Remove {
        path: String,
    },
    RemoveAll,
}

impl<'r> CommitBuilder<'r> {
    pub(super) fn new(repo: &'r FakeRepo, message: String) -> Self {
        Self {
            repo,
            message,
            branch: None,
            author: None,
            seconds: None,
            #[cfg(feature = "sign")]
            key: None,
            changes: Vec::new(),
        }
    }

    /// Commits to this branch rather than to the default one. A branch that does not
    /// exist begins with this commit, which then has no parent.
    pub fn on(mut self, branch: impl Into<String>) -> Self {
        self.branch = Some(branch.into());
        self
    }

    /// Sets author and committer.
    pub fn author(mut self, name: impl Into<String>, email: impl Into<String>) -> Self {
        self.author = Some((name.into(), email.into()));
        self
    }

    /// Sets the time of this commit, in seconds since 1970.
    pub fn at(mut self, seconds: i64) -> Self {
        self.seconds = Some(seconds);
        self
    }

    /// Signs the commit.
    #[cfg(feature = "sign")]
    #[cfg_attr(docsrs, doc(cfg(feature = "sign")))]
    pub fn sign(mut self, key: &super::SigningKey) -> Self {
        self.key = Some(key.clone());
        self
    }

    /// Writes a file.
    pub fn file(self, path: impl Into<String>, content: impl Into<Vec<u8>>) -> Self {
        self.set(path, "100644", content)
    }

    /// Writes several files.
    pub fn files<P: Into<String>, C: Into<Vec<u8>>>(
        self,
        files: impl IntoIterator<Item = (P, C)>,
    ) -> Self {
        files
            .into_iter()
            .fold(self, |commit, (path, content)| commit.file(path, content))
    }

    /// Writes a file with the executable bit.
    pub fn executable(self, path: impl Into<String>, content: impl Into<Vec<u8>>) -> Self {
        self.set(path, "100755", content)
    }

    /// Writes a symbolic link.
    pub fn symlink(self, path: impl Into<String>, target: impl Into<Vec<u8>>) -> Self {
        self.set(path, "120000", target)
    }

    /// Writes a submodule: a link to a commit of another repository.
    pub fn submodule(mut self, path: impl Into<String>, commit: impl Into<String>) -> Self {
        self.changes.push(Change::Submodule {
            path: path.into(),
            commit: commit.into(),
        });
        self
    }

    /// Removes a file or a whole directory. What is not there is no error.
    pub fn remove(mut self, path: impl Into<String>) -> Self {
        self.changes.push(Change::Remove { path: path.into() });
        self
    }

    /// Removes everything.
    pub fn remove_all(mut self) -> Self {
        self.changes.push(Change::RemoveAll);
        self
    }

    fn set(
        mut self,
        path: impl Into<String>,
        mode: &'static str,
        content: impl Into<Vec<u8>>,
    ) -> Self {
        self.changes.push(Change::Set {
            path: path.into(),
            mode,
            content: content.into(),
        });
        self
    }

    /// Makes the commit, moves the branch to it, and returns its id. A commit that
    /// changes nothing is made too.
    ///
    /// # Errors
    ///
    /// When `git` refuses a path or the branch name, or a name or address holds what a
    /// commit can't.
    pub fn save(self) -> Result<String, FakeRepoError> {
        let repo = self.repo;
        let branch = self.branch.unwrap_or_else(|| repo.default_branch());
        let mut by = repo.next_signature(self.seconds);
        if let Some((name, email)) = self.author {
            (by.name, by.email) = (name, email);
        }
        for (what, text) in [("an author", &by.name), ("an address", &by.email)] {
            refuse(what, text, &['<', '>', '\n', '\0'])?;
        }
        refuse("a branch name", &branch, &['\n', '\0'])?;

        let mut script = Vec::new();
        let mut line = |text: &str| {
            script.extend_from_slice(text.as_bytes());
            script.push(b'\n');
        };
        line(&format!("commit refs/heads/{branch}"));
        line("mark :1");
        for role in ["author", "committer"] {
            line(&format!(
                "{role} {} <{}> {} +0000",
                by.name, by.email, by.seconds
            ));
        }
        data(&mut script, self.message.as_bytes());
        if let Ok(tip) = repo.tip(&branch) {
            script.extend_from_slice(format!("from {tip}\n").as_bytes());
        }
        for change in &self.changes {
            match change {
                Change::Set {
                    path,
                    mode,
                    content,
                } => {
                    script
                        .extend_from_slice(format!("M {mode} inline {}\n", quote(path)).as_bytes());
                    data(&mut script, content);
                }
                Change::Submodule { path, commit } => {
                    refuse("a commit id", commit, &['\n', ' '])?;
                    script.extend_from_slice(
                        format!("M 160000 {commit} {}\n", quote(path)).as_bytes(),
                    );
                }
                Change::Remove { path } => {
                    script.extend_from_slice(format!("D {}\n", quote(path)).as_bytes());
                }
                Change::RemoveAll => script.extend_from_slice(b"deleteall\n"),
            }
        }
        script.extend_from_slice(b"\nget-mark :1\n");
        let commit = repo
            .git("fast-import")
            .args(["--quiet", "--date-format=raw"])
            .stdin(&script)
            .text()?;
        #[cfg(feature = "sign")]
        if let Some(key) = self.key {
            let plain = repo.read_object("commit", &commit)?;
            let signature = key.sign(&plain, by.seconds)?;
            let signed = super::sign::into_commit(&plain, &signature, commit.len() == 64);
            let signed = repo.write_object("commit", &signed)?;
            repo.set_ref(&format!("refs/heads/{branch}"), &signed)?;
            return Ok(signed);
        }
        Ok(commit)
    }
}

fn refuse(what: &'static str, text: &str, bad: &[char]) -> Result<(), FakeRepoError> {
    match text.chars().find(|c| bad.contains(c)) {
        Some(character) => Err(FakeRepoError::Unwritable { what, character }),
        None => Ok(()),
    }
}

fn data(script: &mut Vec<u8>, content: &[u8]) {
    script.extend_from_slice(format!("data {}\n", content.len()).as_bytes());
    script.extend_from_slice(content);
    script.push(b'\n');
}

fn quote(path: &str) -> String {
    let mut quoted = String::with_capacity(path.len() + 2);
    quoted.push('"');
    for c in path.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}
