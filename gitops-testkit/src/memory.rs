//! A source in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use gitops_core::{
    Digest, PathError, Revision, RevisionId, Snapshot, Source, SourceError, SourceErrorKind,
};
use jiff::Timestamp;
use tokio::sync::watch;

/// The time of the first commit: 2026-01-01T00:00:00Z. Each later one is a minute on.
const FIRST_COMMIT: i64 = 1_767_225_600;

/// A [`Source`] whose commits are in memory: for tests of what is built on a source.
///
/// Clones are sources of their own on one history: a commit through any of them wakes
/// all, each keeps in mind which commits it has told of. So one clone goes into the
/// reconciler, and the test commits through another one. The same commits have the same
/// ids in every run.
///
/// ```
/// use gitops_core::Source;
/// use gitops_testkit::MemorySource;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let repository = MemorySource::new();
/// let source = repository.clone();
/// repository.commit("add the shop", [("shop/web.yaml", "kind: Service\n")])?;
/// source.changed().await;
///
/// let revision = source.resolve().await?;
/// assert_eq!(revision.subject(), "add the shop");
/// let files = source.fetch(&revision).await?;
/// assert_eq!(files.read(&"shop/web.yaml".parse()?)?, "kind: Service\n");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct MemorySource {
    history: Arc<History>,
    /// Up to which event this clone has told of changes.
    told: Mutex<u64>,
}

#[derive(Debug)]
struct History {
    state: Mutex<State>,
    /// Counts what happened.
    events: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct State {
    commits: BTreeMap<RevisionId, Commit>,
    made: i64,
    head: Option<RevisionId>,
    failure: Option<(SourceErrorKind, String)>,
}

#[derive(Debug, Clone)]
struct Commit {
    revision: Revision,
    files: Vec<(String, Bytes)>,
}

impl Default for MemorySource {
    fn default() -> Self {
        Self::new()
    }
}

impl Clone for MemorySource {
    fn clone(&self) -> Self {
        Self {
            history: Arc::clone(&self.history),
            told: Mutex::new(*lock(&self.told)),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl MemorySource {
    /// A source without a commit: it can't be resolved before the first one.
    #[must_use]
    pub fn new() -> Self {
        Self {
            history: Arc::new(History {
                state: Mutex::default(),
                events: watch::Sender::new(0),
            }),
            told: Mutex::new(0),
        }
    }

    /// Makes these files the whole content of a new commit, which is the newest one from
    /// now on.
    ///
    /// # Errors
    ///
    /// If a path is not valid, or is a file and a directory at once.
    pub fn commit<P, C>(
        &self,
        message: impl Into<String>,
        files: impl IntoIterator<Item = (P, C)>,
    ) -> Result<Revision, PathError>
    where
        P: AsRef<str>,
        C: Into<Bytes>,
    {
        let files: Vec<(String, Bytes)> = files
            .into_iter()
            .map(|(path, content)| (path.as_ref().to_owned(), content.into()))
            .collect();
        let digest = Snapshot::from_files(files.iter().cloned())?.digest();
        let message = message.into();
        let mut state = lock(&self.history.state);
        let number = state.made;
        state.made += 1;
        let parent = state.head.as_ref().map_or("", RevisionId::as_str);
        let id = Digest::of_parts([
            parent.as_bytes(),
            message.as_bytes(),
            &number.to_be_bytes(),
            digest.as_bytes(),
        ]);
        let id: String = id.as_bytes().iter().map(|b| format!("{b:02x}")).collect();
        let mut revision = Revision::new(id)
            .with_reference("refs/heads/main")
            .with_author("Fake Author", "author@example.com")
            .with_message(message);
        if let Ok(time) = Timestamp::from_second(FIRST_COMMIT + 60 * number) {
            revision = revision.with_time(time);
        }
        let commit = Commit {
            revision: revision.clone(),
            files,
        };
        state.head = Some(revision.id.clone());
        state.commits.insert(revision.id.clone(), commit);
        drop(state);
        self.wake();
        Ok(revision)
    }

    /// Makes an earlier commit the newest one again: a force-push, or a roll-back.
    ///
    /// # Errors
    ///
    /// If there is no such commit.
    pub fn reset(&self, id: &RevisionId) -> Result<(), SourceError> {
        let mut state = lock(&self.history.state);
        if !state.commits.contains_key(id) {
            return Err(unknown(id));
        }
        state.head = Some(id.clone());
        drop(state);
        self.wake();
        Ok(())
    }

    /// Loses a commit, as a server does that has collected its garbage. A source can't be
    /// resolved to what it has lost.
    pub fn forget(&self, id: &RevisionId) {
        let mut state = lock(&self.history.state);
        state.commits.remove(id);
        if state.head.as_ref() == Some(id) {
            state.head = None;
        }
    }

    /// From now on nothing can be read, with this error.
    pub fn fail(&self, kind: SourceErrorKind, message: impl Into<String>) {
        lock(&self.history.state).failure = Some((kind, message.into()));
        self.wake();
    }

    /// All is well again after [`fail`](Self::fail).
    pub fn recover(&self) {
        lock(&self.history.state).failure = None;
        self.wake();
    }

    /// Wakes whoever waits for a change, although there is none: what a webhook that was
    /// sent twice does.
    pub fn wake(&self) {
        self.history
            .events
            .send_modify(|events| *events = events.wrapping_add(1));
    }

    fn read<T>(
        &self,
        read: impl FnOnce(&State) -> Result<T, SourceError>,
    ) -> Result<T, SourceError> {
        let state = lock(&self.history.state);
        match &state.failure {
            Some((kind, message)) => Err(SourceError::new(*kind, message.clone())),
            None => read(&state),
        }
    }
}

fn unknown(id: &RevisionId) -> SourceError {
    SourceError::not_found(format!("revision {:?}", id.as_str()))
}

#[async_trait]
impl Source for MemorySource {
    async fn resolve(&self) -> Result<Revision, SourceError> {
        self.read(|state| {
            let head = state
                .head
                .as_ref()
                .ok_or_else(|| SourceError::not_found("any commit"))?;
            let commit = state.commits.get(head).ok_or_else(|| unknown(head))?;
            Ok(commit.revision.clone())
        })
    }

    async fn fetch(&self, revision: &Revision) -> Result<Snapshot, SourceError> {
        let files = self.read(|state| {
            let commit = state.commits.get(&revision.id);
            let commit = commit.ok_or_else(|| unknown(&revision.id))?;
            Ok(commit.files.clone())
        })?;
        // A new one each time: clones of a snapshot share the count of what was read.
        Snapshot::from_files(files).map_err(SourceError::invalid)
    }

    /// Completes after each commit, once, however many there were since the call before.
    async fn changed(&self) {
        let mut events = self.history.events.subscribe();
        let told = *lock(&self.told);
        // The sender lives as long as `self`, so this is never an error.
        let _ = events.wait_for(|events| *events != told).await;
        *lock(&self.told) = *events.borrow();
    }

    fn describe(&self) -> String {
        "commits in memory".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::FutureExt as _;

    #[tokio::test]
    async fn every_clone_is_told_of_every_commit() {
        let repository = MemorySource::new();
        let (a, b) = (repository.clone(), repository.clone());
        assert!(a.changed().now_or_never().is_none());
        repository.commit("one", [("a", "1")]).unwrap();
        repository.commit("two", [("a", "2")]).unwrap();
        for source in [&a, &b] {
            source.changed().await;
            assert!(source.changed().now_or_never().is_none(), "told twice");
        }
    }

    #[tokio::test]
    async fn a_dropped_wait_loses_nothing() {
        let source = MemorySource::new();
        assert!(source.changed().now_or_never().is_none());
        source.commit("one", [("a", "1")]).unwrap();
        source.changed().await;
    }

    #[tokio::test]
    async fn what_is_lost_or_fails_is_an_error() {
        let source = MemorySource::new();
        assert!(source.resolve().await.is_err());
        let first = source.commit("one", [("a", "1")]).unwrap();
        let second = source.commit("two", [("a", "2")]).unwrap();
        source.reset(&first.id).unwrap();
        assert_eq!(source.resolve().await.unwrap(), first);
        source.forget(&first.id);
        assert!(source.resolve().await.is_err());
        assert!(source.fetch(&first).await.is_err());
        source.fail(SourceErrorKind::Unreachable, "the network is down");
        let error = source.fetch(&second).await.err().unwrap();
        assert_eq!(error.kind(), SourceErrorKind::Unreachable);
        source.recover();
        assert!(source.fetch(&second).await.is_ok());
    }
}
