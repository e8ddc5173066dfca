//! What the suite of a source is run on.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use gitops_core::{BoxError, Revision, Source, SourceErrorKind};

use crate::{FakeRepo, MemorySource};

/// Files by their path.
pub type Files = BTreeMap<String, Bytes>;

/// How the suite makes a source, and what is in it.
///
/// Each rule gets a fixture of its own, which is dropped when the rule is done.
#[async_trait]
pub trait SourceFixture: Send {
    /// A source that follows what is [committed](Self::commit). A second call is asked
    /// for a source of its own, which shares nothing with the first but the place.
    async fn source(&mut self) -> Result<Arc<dyn Source>, BoxError>;

    /// Makes these files the whole content of the place, as a new revision, which sources
    /// [resolve](Source::resolve) to from now on.
    ///
    /// Names have letters, digits, `.`, `-`, `_` and spaces, and may be up to five
    /// directories deep; contents are any bytes. Never empty.
    async fn commit(&mut self, files: &Files) -> Result<(), BoxError>;

    /// A revision that looks like one of this source and that there isn't.
    fn unknown(&self) -> Revision;

    /// Makes the place unreadable: takes the server down, removes the folder. `false` if
    /// that can't be done; the rules that need it are left out.
    async fn take_away(&mut self) -> Result<bool, BoxError> {
        Ok(false)
    }

    /// The credentials that the source was given, none of which may be seen: the user's
    /// password, not the whole URL.
    fn secrets(&self) -> Vec<String> {
        Vec::new()
    }

    /// What work that was stopped half-way left behind: lock files, temporary folders,
    /// each named. Asked after all is done, and again for some seconds if there is any.
    fn leftovers(&mut self) -> Result<Vec<String>, BoxError> {
        Ok(Vec::new())
    }

    /// Whether [`changed`](Source::changed) completes soon after a commit, with nobody
    /// telling the source. `false` for one that polls with a long interval.
    fn tells(&self) -> bool {
        false
    }
}

/// The suite on a [`MemorySource`].
#[derive(Debug, Default)]
pub struct MemoryFixture {
    repository: MemorySource,
}

#[async_trait]
impl SourceFixture for MemoryFixture {
    async fn source(&mut self) -> Result<Arc<dyn Source>, BoxError> {
        Ok(Arc::new(self.repository.clone()))
    }

    async fn commit(&mut self, files: &Files) -> Result<(), BoxError> {
        self.repository.commit("a commit", files.clone())?;
        Ok(())
    }

    fn unknown(&self) -> Revision {
        Revision::new("0123456789abcdef".repeat(4))
    }

    async fn take_away(&mut self) -> Result<bool, BoxError> {
        self.repository
            .fail(SourceErrorKind::Unreachable, "the memory is gone");
        Ok(true)
    }

    fn tells(&self) -> bool {
        true
    }
}

type MakeSource = Box<dyn FnMut(&FakeRepo) -> Result<Arc<dyn Source>, BoxError> + Send>;

/// The suite on a source that reads a [`FakeRepo`].
///
/// ```no_run
/// use std::sync::Arc;
/// use gitops_testkit::conformance::{self, RepoFixture};
/// # use gitops_testkit::{FakeRepo, MemorySource};
/// # struct GitSource;
/// # impl GitSource {
/// #     fn open(_: String) -> Result<MemorySource, std::io::Error> { Ok(MemorySource::new()) }
/// # }
///
/// # async fn test() {
/// conformance::source(|| {
///     RepoFixture::new(|repo| Ok(Arc::new(GitSource::open(repo.url())?))).unwrap()
/// })
/// .await
/// .unwrap();
/// # }
/// ```
pub struct RepoFixture {
    repo: FakeRepo,
    make: MakeSource,
    secrets: Vec<String>,
    watched: Vec<PathBuf>,
}

impl RepoFixture {
    /// On a new repository with SHA-1 ids. `make` is called for each source: it may serve
    /// the repository and keep the server.
    ///
    /// # Errors
    ///
    /// When there is no temporary folder or no `git`.
    pub fn new<M>(make: M) -> Result<Self, BoxError>
    where
        M: FnMut(&FakeRepo) -> Result<Arc<dyn Source>, BoxError> + Send + 'static,
    {
        Ok(Self::on(FakeRepo::new()?, make))
    }

    /// On this repository.
    pub fn on<M>(repo: FakeRepo, make: M) -> Self
    where
        M: FnMut(&FakeRepo) -> Result<Arc<dyn Source>, BoxError> + Send + 'static,
    {
        let watched = vec![repo.path()];
        Self {
            repo,
            make: Box::new(make),
            secrets: Vec::new(),
            watched,
        }
    }

    /// With a credential that `make` gives to the source.
    #[must_use]
    pub fn secret(mut self, secret: impl Into<String>) -> Self {
        self.secrets.push(secret.into());
        self
    }

    /// With a folder in which nothing may be left behind, such as the source's cache. The
    /// repository's own is looked at anyway.
    #[must_use]
    pub fn watch(mut self, folder: impl Into<PathBuf>) -> Self {
        self.watched.push(folder.into());
        self
    }
}

#[async_trait]
impl SourceFixture for RepoFixture {
    async fn source(&mut self) -> Result<Arc<dyn Source>, BoxError> {
        (self.make)(&self.repo)
    }

    async fn commit(&mut self, files: &Files) -> Result<(), BoxError> {
        let files = files
            .iter()
            .map(|(path, content)| (path.clone(), content.to_vec()));
        let commit = self.repo.commit("a commit of the suite").remove_all();
        commit.files(files).save()?;
        Ok(())
    }

    fn unknown(&self) -> Revision {
        let digits = self.repo.head().map_or(40, |id| id.len());
        Revision::new(
            "1234567890"
                .chars()
                .cycle()
                .take(digits)
                .collect::<String>(),
        )
    }

    async fn take_away(&mut self) -> Result<bool, BoxError> {
        std::fs::remove_dir_all(self.repo.path())?;
        Ok(true)
    }

    fn secrets(&self) -> Vec<String> {
        self.secrets.clone()
    }

    fn leftovers(&mut self) -> Result<Vec<String>, BoxError> {
        let mut found = Vec::new();
        for folder in &self.watched {
            collect_leftovers(folder, &mut found)?;
        }
        Ok(found)
    }
}

/// Lock files and temporary files as Git names them.
fn collect_leftovers(folder: &Path, found: &mut Vec<String>) -> std::io::Result<()> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.ends_with(".lock") || name.starts_with("tmp_") || name.starts_with(".tmp") {
            found.push(entry.path().display().to_string());
        } else if entry.file_type()?.is_dir() {
            collect_leftovers(&entry.path(), found)?;
        }
    }
    Ok(())
}
