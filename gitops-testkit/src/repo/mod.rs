//! Real Git repositories for tests, and a smart HTTP server for them.
//!
//! [`FakeRepo`] is a bare repository in a temporary folder, made by the `git` on
//! the machine: what a test reads from it is what any Git client would read. Only
//! its surroundings are fake: author, time and configuration are fixed, so the same
//! calls give the same commit ids on every machine.
//!
//! [`FakeRepo::serve`] puts it behind HTTP on loopback. [`RepoServer`] counts what
//! is asked of it and can misbehave as real servers do: see [`RepoFault`].
//!
//! ```
//! use gitops_testkit::repo::FakeRepo;
//!
//! let repo = FakeRepo::new()?;
//! let first = repo.commit("add the shop").file("shop/web.yaml", "kind: Deployment\n").save()?;
//! let second = repo.commit("scale").file("shop/web.yaml", "kind: StatefulSet\n").save()?;
//! assert_eq!(repo.tip("main")?, second);
//!
//! let undone = repo.revert("main", &second)?;
//! assert_eq!(repo.read(&undone, "shop/web.yaml")?, b"kind: Deployment\n");
//! # let _ = first;
//! # Ok::<_, gitops_testkit::repo::FakeRepoError>(())
//! ```
//!
//! Needs `git` 2.40 or newer on the `PATH`.

mod command;
mod commit;
#[cfg(feature = "serve")]
mod fault;
#[cfg(feature = "serve")]
mod pktline;
#[cfg(feature = "serve")]
mod server;
#[cfg(feature = "sign")]
mod sign;
#[cfg(feature = "serve")]
mod traffic;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

pub use commit::CommitBuilder;
#[cfg(feature = "serve")]
pub use fault::{RepoFault, RequestKind};
#[cfg(feature = "serve")]
pub use server::RepoServer;
#[cfg(feature = "sign")]
#[cfg_attr(docsrs, doc(cfg(feature = "sign")))]
pub use sign::SigningKey;
#[cfg(feature = "serve")]
pub use traffic::{RecordedRequest, Traffic};

use command::Git;

/// The time of the first commit: 2026-01-01T00:00:00Z. Each later one is a minute on.
const FIRST_COMMIT: i64 = 1_767_225_600;

/// Why a [`FakeRepo`] could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FakeRepoError {
    /// The temporary folder or the `git` program could not be used.
    #[error("could not {action}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// `git` refused.
    #[error("git {command} failed: {message}")]
    Git {
        /// The subcommand.
        command: String,
        /// What it wrote to stderr.
        message: String,
    },
    /// A revert or a merge that needs a person.
    #[error("{what} conflicts: {message}")]
    Conflict {
        /// Which revert or merge.
        what: String,
        /// The paths, as `git merge-tree` lists them.
        message: String,
    },
    /// A key that could not do what it was asked.
    #[error("could not {what}: {message}")]
    Key {
        /// What was tried.
        what: &'static str,
        /// What the library said.
        message: String,
    },
    /// Text that can't be written into a commit.
    #[error("{what} may not hold {character:?}")]
    Unwritable {
        /// Which text.
        what: &'static str,
        /// The character in the way.
        character: char,
    },
}

/// A bare Git repository in a temporary folder.
///
/// Clones of the value are the same repository; the folder goes when the last one
/// (and the last [`RepoServer`]) is dropped. A *revision* argument is anything
/// `git rev-parse` reads: a commit id, a branch, `main~2`.
#[derive(Debug, Clone)]
pub struct FakeRepo {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    folder: tempfile::TempDir,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    default_branch: String,
    next_commit: i64,
    /// Whose the commits are that name nobody: name and address.
    author: (String, String),
}

/// Who a commit is by, and when it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Signature {
    pub(crate) name: String,
    pub(crate) email: String,
    /// Seconds since 1970.
    pub(crate) seconds: i64,
}

impl Signature {
    fn new((name, email): (String, String), seconds: i64) -> Self {
        Self {
            name,
            email,
            seconds,
        }
    }
}

impl FakeRepo {
    /// An empty repository with SHA-1 ids whose default branch is `main`.
    ///
    /// # Errors
    ///
    /// When there is no temporary folder or no `git`.
    pub fn new() -> Result<Self, FakeRepoError> {
        Self::with_object_format("sha1")
    }

    /// As [`new`](Self::new), with SHA-256 ids.
    ///
    /// # Errors
    ///
    /// When there is no temporary folder or no `git`.
    pub fn sha256() -> Result<Self, FakeRepoError> {
        Self::with_object_format("sha256")
    }

    fn with_object_format(format: &str) -> Result<Self, FakeRepoError> {
        let folder = tempfile::Builder::new()
            .prefix("gitops-fake-repo-")
            .tempdir()
            .map_err(|source| FakeRepoError::Io {
                action: "make a temporary folder",
                source,
            })?;
        let repo = Self {
            inner: Arc::new(Inner {
                folder,
                state: Mutex::new(State {
                    default_branch: "main".to_owned(),
                    next_commit: FIRST_COMMIT,
                    author: ("Fake Author".to_owned(), "author@example.com".to_owned()),
                }),
            }),
        };
        Git::new("init", None)
            .args(["--quiet", "--bare", "--initial-branch=main"])
            .arg(format!("--object-format={format}"))
            .arg(repo.path())
            .run()?;
        // As hosting services have it: any commit may be asked for by id.
        for (key, value) in [
            ("uploadpack.allowAnySHA1InWant", "true"),
            ("uploadpack.allowFilter", "true"),
            ("gc.auto", "0"),
        ] {
            repo.git("config").args([key, value]).run()?;
        }
        Ok(repo)
    }

    /// The folder of the bare repository.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.inner.folder.path().join("repo.git")
    }

    /// The repository as a `file://` URL.
    #[must_use]
    pub fn url(&self) -> String {
        let path = self.path();
        format!("file://{}", path.display())
    }

    /// Starts a commit on the default branch; see [`CommitBuilder`].
    pub fn commit(&self, message: impl Into<String>) -> CommitBuilder<'_> {
        CommitBuilder::new(self, message.into())
    }

    /// The name of the branch that `HEAD` points at, without `refs/heads/`.
    #[must_use]
    pub fn default_branch(&self) -> String {
        self.state().default_branch.clone()
    }

    /// Renames the default branch, as hosting services offer it: commits, `HEAD` and all.
    ///
    /// # Errors
    ///
    /// When `git` refuses the name.
    pub fn rename_default_branch(&self, name: &str) -> Result<(), FakeRepoError> {
        let old = self.default_branch();
        self.git("branch")
            .args(["-m", "--end-of-options", &old, name])
            .run()?;
        self.state().default_branch = name.to_owned();
        Ok(())
    }

    /// Points `HEAD` at another branch, which need not exist yet.
    ///
    /// # Errors
    ///
    /// When `git` refuses the name.
    pub fn set_default_branch(&self, name: &str) -> Result<(), FakeRepoError> {
        self.git("symbolic-ref")
            .args(["HEAD", &format!("refs/heads/{name}")])
            .run()?;
        self.state().default_branch = name.to_owned();
        Ok(())
    }

    /// Makes a branch at `revision`.
    ///
    /// # Errors
    ///
    /// When it exists already, or the revision does not.
    pub fn branch(&self, name: &str, revision: &str) -> Result<(), FakeRepoError> {
        let at = self.resolve(revision)?;
        self.git("update-ref")
            .args([&format!("refs/heads/{name}"), &at, &"0".repeat(at.len())])
            .run()
            .map(drop)
    }

    /// Moves a branch to `revision`, forward or not: a force-push. Makes it if need be.
    ///
    /// # Errors
    ///
    /// When the revision does not exist.
    pub fn force_push(&self, branch: &str, revision: &str) -> Result<(), FakeRepoError> {
        let to = self.resolve(revision)?;
        self.set_ref(&format!("refs/heads/{branch}"), &to)
    }

    /// Removes a branch. Its commits stay in the object database.
    ///
    /// # Errors
    ///
    /// When there is no such branch.
    pub fn delete_branch(&self, name: &str) -> Result<(), FakeRepoError> {
        self.delete_ref(&format!("refs/heads/{name}"))
    }

    /// Makes or moves a lightweight tag.
    ///
    /// # Errors
    ///
    /// When the revision does not exist.
    pub fn tag(&self, name: &str, revision: &str) -> Result<(), FakeRepoError> {
        let at = self.resolve(revision)?;
        self.set_ref(&format!("refs/tags/{name}"), &at)
    }

    /// Makes or moves an annotated tag, and returns the id of the tag object.
    ///
    /// # Errors
    ///
    /// When the revision does not exist.
    pub fn annotated_tag(
        &self,
        name: &str,
        revision: &str,
        message: &str,
    ) -> Result<String, FakeRepoError> {
        let (object, _) = self.tag_object(name, revision, message)?;
        self.put_tag(name, &object)
    }

    /// Makes or moves a signed tag, and returns the id of the tag object.
    ///
    /// # Errors
    ///
    /// When the revision does not exist, or the key can't sign.
    #[cfg(feature = "sign")]
    #[cfg_attr(docsrs, doc(cfg(feature = "sign")))]
    pub fn signed_tag(
        &self,
        name: &str,
        revision: &str,
        message: &str,
        key: &SigningKey,
    ) -> Result<String, FakeRepoError> {
        let (mut object, seconds) = self.tag_object(name, revision, message)?;
        object.push_str(&key.sign(object.as_bytes(), seconds)?);
        self.put_tag(name, &object)
    }

    /// An annotated tag in the making, and its time.
    fn tag_object(
        &self,
        name: &str,
        revision: &str,
        message: &str,
    ) -> Result<(String, i64), FakeRepoError> {
        let at = self.resolve(revision)?;
        let tagger = self.next_signature(None);
        let object = format!(
            "object {at}\ntype commit\ntag {name}\ntagger {} <{}> {} +0000\n\n{message}\n",
            tagger.name, tagger.email, tagger.seconds
        );
        Ok((object, tagger.seconds))
    }

    fn put_tag(&self, name: &str, object: &str) -> Result<String, FakeRepoError> {
        let tag = self.write_object("tag", object.as_bytes())?;
        self.set_ref(&format!("refs/tags/{name}"), &tag)?;
        Ok(tag)
    }

    /// The bytes of any object, as they are stored.
    ///
    /// # Errors
    ///
    /// When there is none of this kind.
    pub fn read_object(&self, kind: &str, id: &str) -> Result<Vec<u8>, FakeRepoError> {
        self.git("cat-file").args([kind, id]).run()
    }

    /// Removes a tag.
    ///
    /// # Errors
    ///
    /// When there is no such tag.
    pub fn delete_tag(&self, name: &str) -> Result<(), FakeRepoError> {
        self.delete_ref(&format!("refs/tags/{name}"))
    }

    /// Points any ref, named in full, at any object, by id.
    ///
    /// # Errors
    ///
    /// When there is no such object, or `git` refuses the name.
    pub fn set_ref(&self, name: &str, id: &str) -> Result<(), FakeRepoError> {
        self.git("update-ref")
            .args(["--end-of-options", name, id])
            .run()
            .map(drop)
    }

    /// Removes any ref, named in full.
    ///
    /// # Errors
    ///
    /// When there is no such ref.
    pub fn delete_ref(&self, name: &str) -> Result<(), FakeRepoError> {
        let at = self
            .git("rev-parse")
            .args(["--verify", "--end-of-options", name])
            .text()?;
        self.git("update-ref")
            .args(["-d", "--end-of-options", name, &at])
            .run()
            .map(drop)
    }

    /// Sets whose the commits are from now on that name nobody else: reverts and merges, and
    /// commits without [`author`](CommitBuilder::author).
    pub fn set_author(&self, name: impl Into<String>, email: impl Into<String>) {
        self.state().author = (name.into(), email.into());
    }

    /// Undoes one commit on a branch with a new commit, as `git revert` does.
    ///
    /// # Errors
    ///
    /// [`FakeRepoError::Conflict`] when later commits touched the same lines; `git`'s
    /// own error for a commit without a parent.
    pub fn revert(&self, branch: &str, revision: &str) -> Result<String, FakeRepoError> {
        let undone = self.resolve(revision)?;
        let before = self.resolve(&format!("{undone}^"))?;
        let tip = self.tip(branch)?;
        let tree = self.merge_trees(&format!("revert of {undone}"), &undone, &tip, &before)?;
        let subject = self
            .git("show")
            .args(["--no-patch", "--format=%s", &undone])
            .text()?;
        let message = format!("Revert \"{subject}\"\n\nThis reverts commit {undone}.\n");
        let commit = self.commit_tree(&tree, &[&tip], &message)?;
        self.set_ref(&format!("refs/heads/{branch}"), &commit)?;
        Ok(commit)
    }

    /// Merges `revision` into a branch with a merge commit, even where a
    /// fast-forward would do.
    ///
    /// # Errors
    ///
    /// [`FakeRepoError::Conflict`] when both sides changed the same lines.
    pub fn merge(&self, branch: &str, revision: &str) -> Result<String, FakeRepoError> {
        let theirs = self.resolve(revision)?;
        let tip = self.tip(branch)?;
        let base = self.git("merge-base").args([&tip, &theirs]).text()?;
        let tree = self.merge_trees(&format!("merge of {revision}"), &base, &tip, &theirs)?;
        let message = format!("Merge {revision} into {branch}\n");
        let commit = self.commit_tree(&tree, &[&tip, &theirs], &message)?;
        self.set_ref(&format!("refs/heads/{branch}"), &commit)?;
        Ok(commit)
    }

    /// The commit at the end of a branch.
    ///
    /// # Errors
    ///
    /// When there is no such branch.
    pub fn tip(&self, branch: &str) -> Result<String, FakeRepoError> {
        self.resolve(&format!("refs/heads/{branch}"))
    }

    /// The commit that `HEAD` points at.
    ///
    /// # Errors
    ///
    /// When nothing has been committed yet.
    pub fn head(&self) -> Result<String, FakeRepoError> {
        self.resolve("HEAD")
    }

    /// The commit a revision names; an annotated tag is followed.
    ///
    /// # Errors
    ///
    /// When it names none.
    pub fn resolve(&self, revision: &str) -> Result<String, FakeRepoError> {
        self.git("rev-parse")
            .args([
                "--verify",
                "--quiet",
                "--end-of-options",
                &format!("{revision}^{{commit}}"),
            ])
            .text()
            .map_err(|error| match error {
                FakeRepoError::Git { command, message } if message.is_empty() => {
                    FakeRepoError::Git {
                        command,
                        message: format!("{revision} is not a commit"),
                    }
                }
                other => other,
            })
    }

    /// The content of a file at a revision.
    ///
    /// # Errors
    ///
    /// When there is no such file.
    pub fn read(&self, revision: &str, path: &str) -> Result<Vec<u8>, FakeRepoError> {
        self.git("cat-file")
            .args(["blob", &format!("{revision}:{path}")])
            .run()
    }

    /// The ids of the commits reachable from `revision`, newest first.
    ///
    /// # Errors
    ///
    /// When the revision does not exist.
    pub fn history(&self, revision: &str) -> Result<Vec<String>, FakeRepoError> {
        let at = self.resolve(revision)?;
        let list = self.git("rev-list").arg(at).text()?;
        Ok(list.lines().map(str::to_owned).collect())
    }

    /// Writes any object as it stands, malformed ones too, and returns its id. This
    /// is how a hostile repository is made: a tree with `..` in it, an unsorted one.
    ///
    /// # Errors
    ///
    /// When `kind` is not `blob`, `tree`, `commit` or `tag`.
    pub fn write_object(&self, kind: &str, content: &[u8]) -> Result<String, FakeRepoError> {
        self.git("hash-object")
            .args(["-w", "--stdin", "--literally", "-t", kind])
            .stdin(content)
            .text()
    }

    /// Makes a commit of a tree that exists already, on no branch, and returns its id.
    ///
    /// # Errors
    ///
    /// When the tree or a parent does not exist.
    pub fn commit_tree(
        &self,
        tree: &str,
        parents: &[&str],
        message: &str,
    ) -> Result<String, FakeRepoError> {
        use std::fmt::Write as _;
        let by = self.next_signature(None);
        let mut object = format!("tree {tree}\n");
        for parent in parents {
            // Writing to a String can't fail.
            let _ = writeln!(object, "parent {parent}");
        }
        for role in ["author", "committer"] {
            let _ = writeln!(
                object,
                "{role} {} <{}> {} +0000",
                by.name, by.email, by.seconds
            );
        }
        let _ = write!(object, "\n{message}");
        self.write_object("commit", object.as_bytes())
    }

    /// Puts everything into one pack, as servers keep it.
    ///
    /// # Errors
    ///
    /// When `git` fails.
    pub fn repack(&self) -> Result<(), FakeRepoError> {
        self.git("repack").args(["-adq"]).run()?;
        self.git("pack-refs").arg("--all").run().map(drop)
    }

    /// Sets the time of the next commit, in seconds since 1970; later ones go on from it,
    /// a minute apart.
    pub fn set_next_commit_time(&self, seconds: i64) {
        self.state().next_commit = seconds;
    }

    /// Serves the repository over smart HTTP on loopback; see [`RepoServer`].
    ///
    /// # Errors
    ///
    /// When no port can be had.
    #[cfg(feature = "serve")]
    pub fn serve(&self) -> Result<RepoServer, FakeRepoError> {
        RepoServer::start(self.clone())
    }

    fn merge_trees(
        &self,
        what: &str,
        base: &str,
        ours: &str,
        theirs: &str,
    ) -> Result<String, FakeRepoError> {
        let base = format!("--merge-base={base}");
        self.git("merge-tree")
            .args(["--write-tree", "--name-only", "--no-messages"])
            .args([&base, ours, theirs])
            .text()
            .map_err(|error| match error {
                FakeRepoError::Git { message, .. } => FakeRepoError::Conflict {
                    what: what.to_owned(),
                    message,
                },
                other => other,
            })
    }

    pub(crate) fn git(&self, command: &str) -> Git {
        Git::new(command, Some(&self.path()))
    }

    /// Whose the next commit is, and when; a time that is given doesn't move the clock on.
    pub(crate) fn next_signature(&self, seconds: Option<i64>) -> Signature {
        let mut state = self.state();
        let author = state.author.clone();
        let seconds = seconds.unwrap_or_else(|| {
            let now = state.next_commit;
            state.next_commit = now.saturating_add(60);
            now
        });
        Signature::new(author, seconds)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.inner
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsRef<Path> for FakeRepo {
    /// The temporary folder that holds the repository.
    fn as_ref(&self) -> &Path {
        self.inner.folder.path()
    }
}
