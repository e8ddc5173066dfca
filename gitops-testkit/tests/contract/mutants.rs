//! Sources that are wrong, each in one way, and the rule that says so.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use futures::FutureExt as _;
use gitops_core::{
    BoxError, Digest, RelPath, Revision, Snapshot, SnapshotLimits, Source, SourceError,
    SourceErrorKind, Tree, TreeContent, TreeEntry,
};
use gitops_testkit::MemorySource;
use gitops_testkit::conformance::{self, Files, SourceFixture};

/// What a wrong source does otherwise than the right one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wrong {
    /// Nothing: the harness itself is right.
    Nothing,
    OneFileMoreEachTime,
    ResolvesToAnotherIdEachTime,
    FetchesTheNewest,
    NeverLooksAgain,
    EndsLinesInItsOwnWay,
    LeavesEmptyFilesOut,
    ListsBackwards,
    DigestsTheIdOfTheRevision,
    DigestsOnlyNames,
    DigestsWithTheOldName,
    EmptyIfUnknown,
    TrimsIds,
    EmptyIfNothing,
    EmptyIfGone,
    KeepsItsLock,
    LeavesAFile,
    SpinsOnAnError,
    SaysItsPassword,
    SaysItsPasswordInAnError,
    ChangesAllTheTime,
    ForgetsWhatNobodyWaitedFor,
    ForgetsWithADroppedWait,
}

const PASSWORD: &str = "hunter2";

struct WrongSource {
    wrong: Wrong,
    right: MemorySource,
    calls: AtomicUsize,
    first: Mutex<Option<Revision>>,
    /// Held while it fetches.
    locked: Arc<AtomicUsize>,
    left: Arc<Mutex<Vec<String>>>,
}

/// A tree whose answers are changed.
struct OddTree {
    right: Snapshot,
    files: Files,
    wrong: Wrong,
    revision: String,
}

impl OddTree {
    fn digest_at(&self, path: &RelPath, right: Digest) -> Digest {
        match self.wrong {
            Wrong::DigestsTheIdOfTheRevision => {
                Digest::of_parts([self.revision.as_bytes(), right.as_bytes().as_slice()])
            }
            Wrong::DigestsOnlyNames => {
                // Of a directory: what it is made of, and not what is in that.
                let below = self.files.iter().filter_map(|(file, content)| {
                    let rest = RelPath::new(file).ok()?.strip_prefix(path)?;
                    if rest.is_root() {
                        return Some(format!("{content:?}"));
                    }
                    Some(rest.as_str().to_owned())
                });
                Digest::of(below.collect::<Vec<_>>().join("\n").as_bytes())
            }
            Wrong::DigestsWithTheOldName => {
                // Only contents, so that a file under another name is the same.
                let below = self.files.iter().filter_map(|(file, content)| {
                    let below = RelPath::new(file).ok()?.strip_prefix(path)?;
                    Some(format!("{} {content:?}", below.parts().count()))
                });
                Digest::of(below.collect::<Vec<_>>().join("\n").as_bytes())
            }
            _ => right,
        }
    }
}

impl Tree for OddTree {
    fn digest(&self) -> Digest {
        self.digest_at(&RelPath::root(), self.right.digest())
    }

    fn list(&self, directory: &RelPath) -> Result<Option<Vec<TreeEntry>>, BoxError> {
        let Ok(mut entries) = self.right.list(directory) else {
            return Ok(None);
        };
        if self.wrong == Wrong::ListsBackwards {
            entries.reverse();
        }
        for entry in &mut entries {
            entry.digest = self.digest_at(&directory.child(&entry.name)?, entry.digest);
        }
        Ok(Some(entries))
    }

    fn read(&self, file: &RelPath, _: u64) -> Result<Option<TreeContent>, BoxError> {
        Ok(self.right.read(file).ok().map(TreeContent::Bytes))
    }
}

struct Fixture {
    wrong: Wrong,
    right: MemorySource,
    locked: Arc<AtomicUsize>,
    left: Arc<Mutex<Vec<String>>>,
}

impl Fixture {
    fn new(wrong: Wrong) -> Self {
        Self {
            wrong,
            right: MemorySource::new(),
            locked: Arc::default(),
            left: Arc::default(),
        }
    }
}

#[async_trait]
impl SourceFixture for Fixture {
    async fn source(&mut self) -> Result<Arc<dyn Source>, BoxError> {
        Ok(Arc::new(WrongSource {
            wrong: self.wrong,
            right: self.right.clone(),
            calls: AtomicUsize::new(0),
            first: Mutex::new(None),
            locked: self.locked.clone(),
            left: self.left.clone(),
        }))
    }

    async fn commit(&mut self, files: &Files) -> Result<(), BoxError> {
        self.right.commit("", files.clone())?;
        Ok(())
    }

    fn unknown(&self) -> Revision {
        Revision::new("a".repeat(64))
    }

    async fn take_away(&mut self) -> Result<bool, BoxError> {
        self.right.fail(SourceErrorKind::Unreachable, "gone");
        Ok(true)
    }

    fn secrets(&self) -> Vec<String> {
        vec![PASSWORD.to_owned()]
    }

    fn leftovers(&mut self) -> Result<Vec<String>, BoxError> {
        Ok(self.left.lock().unwrap().clone())
    }

    fn tells(&self) -> bool {
        true
    }
}

impl WrongSource {
    async fn files(&self, revision: &Revision) -> Result<Files, SourceError> {
        let snapshot = self.right.fetch(revision).await?;
        let mut files = Files::new();
        for (path, _) in snapshot.files()? {
            files.insert(path.as_str().to_owned(), snapshot.read(&path)?);
        }
        Ok(files)
    }
}

fn empty() -> Snapshot {
    Snapshot::from_files::<&str, &str>([]).unwrap()
}

#[async_trait]
impl Source for WrongSource {
    async fn resolve(&self) -> Result<Revision, SourceError> {
        let found = self.right.resolve().await;
        match (self.wrong, found) {
            (Wrong::ResolvesToAnotherIdEachTime, Ok(found)) => {
                let call = self.calls.fetch_add(1, Ordering::Relaxed);
                Ok(Revision::new(format!("{call}:{}", found.id)))
            }
            (Wrong::NeverLooksAgain, found) => {
                let mut first = self.first.lock().unwrap();
                if first.is_none() {
                    *first = Some(found?);
                }
                Ok(first.clone().unwrap())
            }
            (Wrong::EmptyIfNothing, Err(_)) => Ok(Revision::new("none")),
            (Wrong::SaysItsPasswordInAnError, Err(error)) => {
                let cause = format!("https://ann:{PASSWORD}@example.com: no answer");
                Err(SourceError::new(error.kind(), "no answer").because(cause))
            }
            (_, found) => found,
        }
    }

    async fn fetch(&self, revision: &Revision) -> Result<Snapshot, SourceError> {
        let id = revision.id.as_str();
        let mut asked = revision.clone();
        match self.wrong {
            Wrong::ResolvesToAnotherIdEachTime => {
                if let Some((_, id)) = id.split_once(':') {
                    asked = Revision::new(id);
                }
            }
            Wrong::FetchesTheNewest => {
                // It does look whether there is such a revision.
                self.right.fetch(revision).await?;
                asked = self.right.resolve().await?;
            }
            Wrong::TrimsIds => asked = Revision::new(id.trim()),
            Wrong::EmptyIfNothing if id == "none" => return Ok(empty()),
            Wrong::KeepsItsLock | Wrong::LeavesAFile | Wrong::SpinsOnAnError => {
                if self.wrong == Wrong::KeepsItsLock && self.locked.load(Ordering::SeqCst) > 0 {
                    return Err(SourceError::invalid("another process fetches"));
                }
                self.locked.fetch_add(1, Ordering::SeqCst);
                let name = format!("tmp_{}", self.calls.fetch_add(1, Ordering::Relaxed));
                if self.wrong == Wrong::LeavesAFile {
                    self.left.lock().unwrap().push(name.clone());
                }
                tokio::task::yield_now().await;
                self.left.lock().unwrap().retain(|left| *left != name);
                self.locked.fetch_sub(1, Ordering::SeqCst);
            }
            _ => {}
        }
        let found = self.files(&asked).await;
        let mut files = match (self.wrong, found) {
            (Wrong::EmptyIfUnknown, Err(error)) if error.kind() == SourceErrorKind::NotFound => {
                return Ok(empty());
            }
            (Wrong::EmptyIfGone, Err(error)) if error.kind() == SourceErrorKind::Unreachable => {
                return Ok(empty());
            }
            (Wrong::SpinsOnAnError, Err(_)) => {
                tokio::time::sleep(std::time::Duration::from_secs(100_000)).await;
                return Ok(empty());
            }
            (_, found) => found?,
        };
        match self.wrong {
            Wrong::OneFileMoreEachTime => {
                let call = self.calls.fetch_add(1, Ordering::Relaxed);
                files.insert(format!("call-{call}"), Bytes::new());
            }
            Wrong::EndsLinesInItsOwnWay => {
                for content in files.values_mut() {
                    if let Ok(text) = std::str::from_utf8(content) {
                        *content = text.replace("\r\n", "\n").into();
                    }
                }
            }
            Wrong::LeavesEmptyFilesOut => files.retain(|_, content| !content.is_empty()),
            _ => {}
        }
        let tree = OddTree {
            right: Snapshot::from_files(files.clone()).unwrap(),
            files,
            wrong: self.wrong,
            revision: id.to_owned(),
        };
        Ok(Snapshot::new(Arc::new(tree), SnapshotLimits::default()))
    }

    async fn changed(&self) {
        match self.wrong {
            Wrong::ChangesAllTheTime => {}
            Wrong::ForgetsWhatNobodyWaitedFor => {
                while self.right.changed().now_or_never().is_some() {}
                self.right.changed().await;
            }
            Wrong::ForgetsWithADroppedWait => {
                // It has been told, and then there is something else to do.
                self.right.changed().await;
                tokio::task::yield_now().await;
            }
            _ => self.right.changed().await,
        }
    }

    fn describe(&self) -> String {
        match self.wrong {
            Wrong::SaysItsPassword => format!("https://ann:{PASSWORD}@example.com/repo"),
            _ => "a wrong source".to_owned(),
        }
    }
}

async fn broken_by(wrong: Wrong) -> Vec<&'static str> {
    match conformance::source(|| Fixture::new(wrong)).await {
        Ok(()) => Vec::new(),
        Err(broken) => broken.rules().collect(),
    }
}

#[tokio::test(start_paused = true)]
async fn each_wrong_source_breaks_the_rule_it_should() {
    for (wrong, rule) in [
        (Wrong::OneFileMoreEachTime, "repeatable"),
        (Wrong::ResolvesToAnotherIdEachTime, "repeatable"),
        (Wrong::FetchesTheNewest, "immovable"),
        (Wrong::NeverLooksAgain, "follows"),
        (Wrong::EndsLinesInItsOwnWay, "faithful"),
        (Wrong::LeavesEmptyFilesOut, "faithful"),
        (Wrong::ListsBackwards, "sorted"),
        (Wrong::DigestsTheIdOfTheRevision, "digests"),
        (Wrong::DigestsOnlyNames, "digests"),
        (Wrong::DigestsWithTheOldName, "digests"),
        (Wrong::EmptyIfUnknown, "unknown"),
        (Wrong::TrimsIds, "unknown"),
        (Wrong::SpinsOnAnError, "unknown"),
        (Wrong::EmptyIfNothing, "unreadable"),
        (Wrong::EmptyIfGone, "unreadable"),
        (Wrong::KeepsItsLock, "cancelled"),
        (Wrong::LeavesAFile, "cancelled"),
        (Wrong::SaysItsPassword, "credentials"),
        (Wrong::SaysItsPasswordInAnError, "credentials"),
        (Wrong::ChangesAllTheTime, "changed"),
        (Wrong::ForgetsWhatNobodyWaitedFor, "changed"),
        (Wrong::ForgetsWithADroppedWait, "changed"),
    ] {
        let broken = broken_by(wrong).await;
        assert!(broken.contains(&rule), "{wrong:?} breaks {broken:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_same_source_with_nothing_wrong_breaks_none() {
    assert!(broken_by(Wrong::Nothing).await.is_empty());
}
