//! What was accepted last, which outlives the process.

use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// The commit that a source accepted last, and the name that led to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// The ref: `refs/heads/main`.
    pub reference: String,
    /// The whole id of the commit.
    pub commit: String,
}

/// Where a source keeps what it [accepted](Accepted) last.
///
/// It is what [`fast_forward_only`](crate::Trust::fast_forward_only) and
/// [`TrustMode::EveryCommit`](crate::TrustMode::EveryCommit) compare with, so whoever can
/// write it can have a rewritten branch accepted. Calls block, on a thread that may. An error
/// of either is an error of the source: without an answer nothing is accepted.
///
/// One store belongs to one source.
pub trait AcceptedStore: Send + Sync {
    /// What was saved last.
    ///
    /// # Errors
    ///
    /// When it can't be read, or is not what was saved. Nothing saved yet is no error.
    fn load(&self) -> io::Result<Option<Accepted>>;

    /// Keeps this instead.
    ///
    /// # Errors
    ///
    /// When it can't be kept.
    fn save(&self, accepted: &Accepted) -> io::Result<()>;
}

const _: Option<&dyn AcceptedStore> = None;

/// Keeps it as long as the process lives: what a source does until it is told otherwise.
#[derive(Debug, Default)]
pub struct MemoryAccepted(Mutex<Option<Accepted>>);

impl AcceptedStore for MemoryAccepted {
    fn load(&self) -> io::Result<Option<Accepted>> {
        Ok(self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone())
    }

    fn save(&self, accepted: &Accepted) -> io::Result<()> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(accepted.clone());
        Ok(())
    }
}

/// Keeps it in a file: one line, the ref and the commit.
#[derive(Debug, Clone)]
pub struct FileAccepted {
    path: PathBuf,
}

impl FileAccepted {
    /// In this file, which need not exist yet; its folder has to.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }
}

impl AcceptedStore for FileAccepted {
    fn load(&self) -> io::Result<Option<Accepted>> {
        let text = match std::fs::read_to_string(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let broken = || io::Error::new(io::ErrorKind::InvalidData, "not a ref and a commit id");
        let (reference, commit) = text.trim_end().split_once(' ').ok_or_else(broken)?;
        crate::reference::whole_id(commit).ok_or_else(broken)?;
        Ok(Some(Accepted {
            reference: reference.to_owned(),
            commit: commit.to_owned(),
        }))
    }

    fn save(&self, accepted: &Accepted) -> io::Result<()> {
        let line = format!("{} {}\n", accepted.reference, accepted.commit);
        crate::cache::replace(&self.path, line.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_keeps_what_was_accepted_and_a_broken_one_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let store = FileAccepted::new(folder.path().join("accepted"));
        assert_eq!(store.load().unwrap(), None);
        let accepted = Accepted {
            reference: "refs/heads/main".to_owned(),
            commit: "ab".repeat(20),
        };
        store.save(&accepted).unwrap();
        assert_eq!(store.load().unwrap(), Some(accepted));
        for broken in ["", "refs/heads/main", "refs/heads/main abc\n"] {
            std::fs::write(folder.path().join("accepted"), broken).unwrap();
            assert!(store.load().is_err(), "{broken:?}");
        }
    }
}
