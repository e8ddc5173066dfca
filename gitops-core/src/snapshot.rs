//! The files of one revision.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use crate::{BoxError, Digest, PathError, RelPath};

/// What a [`TreeEntry`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum EntryKind {
    /// A file.
    File {
        /// Whether it may be executed.
        executable: bool,
    },
    /// A directory.
    Directory,
    /// A symbolic link; its content is the target.
    Symlink,
    /// Another repository (a Git submodule), of which only the commit is known.
    Repository,
}

/// One name in a directory of a [`Snapshot`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeEntry {
    /// The name, without its directory.
    pub name: String,
    /// What it is.
    pub kind: EntryKind,
    /// The digest of its content; for a directory, of all that is below it.
    pub digest: Digest,
}

/// Where a [`Snapshot`] gets its content: the part a [`Source`](crate::Source) writes.
///
/// # Contract
///
/// * Immutable: the same path gives the same answer for as long as the value lives.
/// * `digest` of two trees is equal only if all below them is equal.
/// * `list` is sorted by name and has no name twice.
/// * Reads no more than it is asked for: `list` of one directory, `read` of one file.
/// * Never follows a symbolic link; [`Snapshot`] does, and stays inside.
pub trait Tree: Send + Sync {
    /// The digest of the whole tree.
    fn digest(&self) -> Digest;

    /// The entries of one directory, or `None` if there is no such directory.
    ///
    /// # Errors
    ///
    /// If the store behind the tree can't be read or is damaged.
    fn list(&self, directory: &RelPath) -> Result<Option<Vec<TreeEntry>>, BoxError>;

    /// One entry, or `None` if there is nothing at this path; the root is no entry.
    ///
    /// Every read of a file asks for the entries on its way. The default looks through
    /// [`list`](Self::list) of the directory, which makes reading a large directory
    /// quadratic: a tree that can look up a name should.
    ///
    /// # Errors
    ///
    /// If the store behind the tree can't be read or is damaged.
    fn entry(&self, path: &RelPath) -> Result<Option<TreeEntry>, BoxError> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Ok(None);
        };
        let entries = self.list(&parent)?.unwrap_or_default();
        Ok(entries.into_iter().find(|entry| entry.name == name))
    }

    /// The content of one file, or of a symbolic link its target, or `None` if there
    /// is no such file. `limit` is the number of bytes above which the caller will
    /// refuse it: a tree that knows the size may return the size as an error early.
    ///
    /// # Errors
    ///
    /// If the store behind the tree can't be read or is damaged.
    fn read(&self, file: &RelPath, limit: u64) -> Result<Option<TreeContent>, BoxError>;
}

/// What [`Tree::read`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TreeContent {
    /// The bytes of the file.
    Bytes(Bytes),
    /// The file is larger than the limit: its size in bytes.
    TooLarge(u64),
}

/// How much of a snapshot may be read. What is above is refused with an error that
/// names the limit and the place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SnapshotLimits {
    /// Files and directories in one walk. Default: 100,000.
    pub entries: usize,
    /// Bytes of one file. Default: 16 MiB, about eight times the largest bundle of
    /// CRDs known to us (Argo CD's `install.yaml`, 1.9 MB).
    pub file_bytes: u64,
    /// Bytes read from one snapshot in all. Default: 1 GiB.
    pub total_bytes: u64,
    /// Directories within directories. Default: 64.
    pub depth: usize,
}

impl Default for SnapshotLimits {
    fn default() -> Self {
        Self {
            entries: 100_000,
            file_bytes: 16 << 20,
            total_bytes: 1 << 30,
            depth: 64,
        }
    }
}

/// Why something could not be read from a [`Snapshot`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// There is nothing at this path.
    #[error("{path}: no such file or directory in this revision")]
    NotFound {
        /// The path.
        path: RelPath,
    },
    /// A directory was asked for and a file is there, or the other way round.
    #[error("{path}: not a {expected}")]
    WrongKind {
        /// The path.
        path: RelPath,
        /// `file` or `directory`.
        expected: &'static str,
    },
    /// A symbolic link points out of the snapshot, to another link too often, or to nothing.
    #[error("{path}: symbolic link {reason}")]
    Symlink {
        /// The link.
        path: RelPath,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A limit was reached.
    #[error("{path}: more than {limit} {what}; raise SnapshotLimits if this is meant")]
    Limit {
        /// Where it was reached.
        path: RelPath,
        /// What is counted.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// The name of an entry can't be a path.
    #[error("{directory}: {source}")]
    Name {
        /// The directory that holds the entry.
        directory: RelPath,
        /// What is wrong with the name.
        source: PathError,
    },
    /// The store behind the snapshot failed.
    #[error("{path}: could not be read")]
    Store {
        /// What was read.
        path: RelPath,
        /// Why it failed.
        source: BoxError,
    },
}

impl SnapshotError {
    /// Whether the same read may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Store { .. })
    }
}

/// The files of exactly one revision: immutable, read lazily, bounded.
///
/// A snapshot is a Merkle tree: each directory and each file has a [`Digest`], and two
/// directories with equal digests are equal all the way down. Cloning is cheap.
///
/// ```
/// use gitops_core::{RelPath, Snapshot};
///
/// let snapshot = Snapshot::from_files([("app/web.yaml", "kind: Service"), ("README.md", "hi")])?;
/// let app = snapshot.subdirectory(&"app".parse()?)?;
/// assert_eq!(app.read(&"web.yaml".parse()?)?, "kind: Service");
/// assert_eq!(app.files()?.len(), 1);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Snapshot {
    tree: Arc<dyn Tree>,
    root: RelPath,
    digest: Digest,
    limits: SnapshotLimits,
    read: Arc<AtomicU64>,
}

/// As many links are followed in a row; Linux allows 40, a repository needs few.
const MAX_LINKS: usize = 8;

impl Snapshot {
    /// A snapshot of this tree.
    #[must_use]
    pub fn new(tree: Arc<dyn Tree>, limits: SnapshotLimits) -> Self {
        let digest = tree.digest();
        Self {
            tree,
            root: RelPath::root(),
            digest,
            limits,
            read: Arc::default(),
        }
    }

    /// A snapshot of files that are in memory.
    ///
    /// # Errors
    ///
    /// If a path is not valid, or is a file and a directory at once.
    pub fn from_files<P, C>(files: impl IntoIterator<Item = (P, C)>) -> Result<Self, PathError>
    where
        P: AsRef<str>,
        C: Into<Bytes>,
    {
        let mut tree = MemoryTree::default();
        for (path, content) in files {
            tree.insert(RelPath::new(path.as_ref())?, content.into())?;
        }
        tree.seal();
        Ok(Self::new(Arc::new(tree), SnapshotLimits::default()))
    }

    /// The same files with other limits.
    #[must_use]
    pub fn with_limits(mut self, limits: SnapshotLimits) -> Self {
        self.limits = limits;
        self
    }

    /// The digest of all the files.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The path of this snapshot's root below the root of the revision; the root
    /// itself unless this is a [`subdirectory`](Self::subdirectory).
    #[must_use]
    pub fn root(&self) -> &RelPath {
        &self.root
    }

    /// The path, seen from the root of the revision, of a path of this snapshot. It is
    /// what people find the file by.
    #[must_use]
    pub fn full_path(&self, path: &RelPath) -> RelPath {
        self.root.join(path)
    }

    /// The part of the snapshot below `directory`, as a snapshot.
    ///
    /// # Errors
    ///
    /// If there is no such directory.
    pub fn subdirectory(&self, directory: &RelPath) -> Result<Self, SnapshotError> {
        if directory.is_root() {
            return Ok(self.clone());
        }
        let (real, entry) = self.resolve(directory)?;
        if entry.is_some_and(|entry| entry.kind != EntryKind::Directory) {
            return Err(SnapshotError::WrongKind {
                path: directory.clone(),
                expected: "directory",
            });
        }
        let digest = match self.entry(&real)? {
            Some(entry) => entry.digest,
            None => self.tree.digest(),
        };
        Ok(Self {
            root: real,
            digest,
            ..self.clone()
        })
    }

    /// The entries of a directory, sorted by name. Symbolic links are not followed here.
    ///
    /// # Errors
    ///
    /// If there is no such directory, or it can't be read.
    pub fn list(&self, directory: &RelPath) -> Result<Vec<TreeEntry>, SnapshotError> {
        let (real, _) = self.resolve(directory)?;
        self.list_real(&real)?
            .ok_or_else(|| SnapshotError::WrongKind {
                path: directory.clone(),
                expected: "directory",
            })
    }

    /// The digest of a file or directory.
    ///
    /// # Errors
    ///
    /// If there is nothing at this path.
    pub fn digest_of(&self, path: &RelPath) -> Result<Digest, SnapshotError> {
        if path.is_root() {
            return Ok(self.digest);
        }
        match self.resolve(path)? {
            (_, Some(entry)) => Ok(entry.digest),
            (_, None) => Ok(self.tree.digest()),
        }
    }

    /// The content of a file. Symbolic links are followed as long as they stay inside.
    ///
    /// # Errors
    ///
    /// If there is no such file, it is too large, or it can't be read.
    pub fn read(&self, file: &RelPath) -> Result<Bytes, SnapshotError> {
        let (real, entry) = self.resolve(file)?;
        let wrong = || SnapshotError::WrongKind {
            path: file.clone(),
            expected: "file",
        };
        if !entry.is_some_and(|entry| matches!(entry.kind, EntryKind::File { .. })) {
            return Err(wrong());
        }
        self.read_real(&real)?.ok_or_else(wrong)
    }

    /// Every file below the root in path order, with its entry; directories are walked
    /// into, symbolic links and submodules are listed as they are.
    ///
    /// # Errors
    ///
    /// If a directory can't be read or there are too many entries.
    pub fn files(&self) -> Result<Vec<(RelPath, TreeEntry)>, SnapshotError> {
        let mut files = Vec::new();
        let mut seen = 0_usize;
        let mut open = vec![RelPath::root()];
        while let Some(directory) = open.pop() {
            if directory.parts().count() > self.limits.depth {
                return Err(self.limit(
                    &directory,
                    "directories within directories",
                    self.limits.depth as u64,
                ));
            }
            for entry in self
                .list_real(&self.root.join(&directory))?
                .unwrap_or_default()
            {
                seen += 1;
                if seen > self.limits.entries {
                    return Err(self.limit(
                        &directory,
                        "files and directories",
                        self.limits.entries as u64,
                    ));
                }
                let path = directory
                    .child(&entry.name)
                    .map_err(|source| SnapshotError::Name {
                        directory: self.full_path(&directory),
                        source,
                    })?;
                if entry.kind == EntryKind::Directory {
                    open.push(path);
                } else {
                    files.push((path, entry));
                }
            }
        }
        files.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(files)
    }

    fn limit(&self, path: &RelPath, what: &'static str, limit: u64) -> SnapshotError {
        SnapshotError::Limit {
            path: self.full_path(path),
            what,
            limit,
        }
    }

    fn store(path: &RelPath) -> impl FnOnce(BoxError) -> SnapshotError + '_ {
        |source| SnapshotError::Store {
            path: path.clone(),
            source,
        }
    }

    fn list_real(&self, real: &RelPath) -> Result<Option<Vec<TreeEntry>>, SnapshotError> {
        self.tree.list(real).map_err(Self::store(real))
    }

    fn entry(&self, real: &RelPath) -> Result<Option<TreeEntry>, SnapshotError> {
        self.tree.entry(real).map_err(Self::store(real))
    }

    fn read_real(&self, real: &RelPath) -> Result<Option<Bytes>, SnapshotError> {
        let limit = |what, limit| SnapshotError::Limit {
            path: real.clone(),
            what,
            limit,
        };
        let over = || limit("bytes in one file", self.limits.file_bytes);
        let content = self
            .tree
            .read(real, self.limits.file_bytes)
            .map_err(Self::store(real))?;
        let bytes = match content {
            None => return Ok(None),
            Some(TreeContent::TooLarge(_)) => return Err(over()),
            Some(TreeContent::Bytes(bytes)) => bytes,
        };
        let size = bytes.len() as u64;
        if size > self.limits.file_bytes {
            return Err(over());
        }
        if self
            .read
            .fetch_add(size, Ordering::Relaxed)
            .saturating_add(size)
            > self.limits.total_bytes
        {
            return Err(limit(
                "bytes read from one snapshot",
                self.limits.total_bytes,
            ));
        }
        Ok(Some(bytes))
    }

    /// Follows symbolic links. Returns the path from the tree's root and its entry (none
    /// for the tree's root).
    fn resolve(&self, path: &RelPath) -> Result<(RelPath, Option<TreeEntry>), SnapshotError> {
        let symlink = |reason| SnapshotError::Symlink {
            path: self.full_path(path),
            reason,
        };
        let mut real = self.root.clone();
        let mut entry = self.entry(&real)?;
        let mut todo: Vec<String> = path.parts().rev().map(str::to_owned).collect();
        let mut links = 0;
        while let Some(part) = todo.pop() {
            if part == ".." {
                // Only from a link. The snapshot's own root is the border, not the tree's.
                if real == self.root {
                    return Err(symlink("leaves the snapshot"));
                }
                real = real
                    .parent()
                    .ok_or_else(|| symlink("leaves the snapshot"))?;
                entry = self.entry(&real)?;
                continue;
            }
            let not_found = || SnapshotError::NotFound {
                path: self.full_path(path),
            };
            let next = real.child(&part).map_err(|_| not_found())?;
            let found = self.entry(&next)?.ok_or_else(|| {
                if links == 0 {
                    not_found()
                } else {
                    symlink("points to nothing")
                }
            })?;
            if found.kind != EntryKind::Symlink {
                real = next;
                entry = Some(found);
                continue;
            }
            links += 1;
            if links > MAX_LINKS {
                return Err(symlink("leads to another link too often"));
            }
            let target = self.read_real(&next)?.ok_or_else(not_found)?;
            let target = std::str::from_utf8(&target).map_err(|_| symlink("is not UTF-8"))?;
            if target.starts_with('/') || target.contains(['\\', '\0']) || target.is_empty() {
                return Err(symlink("leaves the snapshot"));
            }
            let parts = target.split('/').filter(|part| !matches!(*part, "" | "."));
            let at = todo.len();
            todo.extend(parts.map(str::to_owned));
            todo[at..].reverse();
        }
        Ok((real, entry))
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("root", &self.root)
            .field("digest", &self.digest)
            .finish()
    }
}

/// A tree in memory.
#[derive(Default)]
struct MemoryTree {
    files: BTreeMap<RelPath, Bytes>,
    directories: BTreeMap<RelPath, Vec<TreeEntry>>,
    digest: Option<Digest>,
}

impl MemoryTree {
    fn insert(&mut self, path: RelPath, content: Bytes) -> Result<(), PathError> {
        let mut parent = path.parent();
        if parent.is_none() {
            return Err(PathError::new("", "is the root, not a file"));
        }
        while let Some(directory) = parent {
            if self.files.contains_key(&directory) {
                return Err(PathError::new(
                    directory.as_str(),
                    "is a file and a directory",
                ));
            }
            parent = directory.parent();
            self.directories.entry(directory).or_default();
        }
        if self.directories.contains_key(&path) {
            return Err(PathError::new(path.as_str(), "is a file and a directory"));
        }
        self.files.insert(path, content);
        Ok(())
    }

    fn seal(&mut self) {
        for (path, content) in &self.files {
            let kind = EntryKind::File { executable: false };
            Self::add(&mut self.directories, path, kind, Digest::of(content));
        }
        // Deepest first, so that a directory's own entries are complete.
        let mut paths: Vec<RelPath> = self.directories.keys().cloned().collect();
        paths.sort_by_key(|path| std::cmp::Reverse(path.parts().count()));
        for path in paths {
            let entries = self.directories.entry(path.clone()).or_default();
            entries.sort_by(|a, b| a.name.cmp(&b.name));
            let parts: Vec<Vec<u8>> = entries
                .iter()
                .map(|entry| [entry.name.as_bytes(), b"\0", entry.digest.as_bytes()].concat())
                .collect();
            let digest = Digest::of_parts(parts.iter().map(Vec::as_slice));
            if path.is_root() {
                self.digest = Some(digest);
            } else {
                Self::add(&mut self.directories, &path, EntryKind::Directory, digest);
            }
        }
    }

    fn add(
        directories: &mut BTreeMap<RelPath, Vec<TreeEntry>>,
        path: &RelPath,
        kind: EntryKind,
        digest: Digest,
    ) {
        if let (Some(parent), Some(name)) = (path.parent(), path.file_name()) {
            let entry = TreeEntry {
                name: name.to_owned(),
                kind,
                digest,
            };
            directories.entry(parent).or_default().push(entry);
        }
    }
}

impl Tree for MemoryTree {
    fn digest(&self) -> Digest {
        self.digest.unwrap_or_else(|| Digest::of(b""))
    }

    fn list(&self, directory: &RelPath) -> Result<Option<Vec<TreeEntry>>, BoxError> {
        if directory.is_root() {
            return Ok(Some(
                self.directories.get(directory).cloned().unwrap_or_default(),
            ));
        }
        Ok(self.directories.get(directory).cloned())
    }

    fn entry(&self, path: &RelPath) -> Result<Option<TreeEntry>, BoxError> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Ok(None);
        };
        let entries = self.directories.get(&parent);
        Ok(entries.and_then(|entries| {
            // Sorted when the tree was sealed.
            let at = entries.binary_search_by(|entry| entry.name.as_str().cmp(name));
            at.ok().and_then(|at| entries.get(at)).cloned()
        }))
    }

    fn read(&self, file: &RelPath, _limit: u64) -> Result<Option<TreeContent>, BoxError> {
        Ok(self.files.get(file).cloned().map(TreeContent::Bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> RelPath {
        text.parse().unwrap()
    }

    /// A tree whose files named `*.link` are symbolic links.
    struct Linked(MemoryTree);

    impl Tree for Linked {
        fn digest(&self) -> Digest {
            self.0.digest()
        }

        fn list(&self, directory: &RelPath) -> Result<Option<Vec<TreeEntry>>, BoxError> {
            let mut entries = self.0.list(directory)?;
            for entry in entries.iter_mut().flatten() {
                if entry.name.ends_with(".link") {
                    entry.kind = EntryKind::Symlink;
                }
            }
            Ok(entries)
        }

        fn read(&self, file: &RelPath, limit: u64) -> Result<Option<TreeContent>, BoxError> {
            self.0.read(file, limit)
        }
    }

    fn linked(files: &[(&str, &'static str)]) -> Snapshot {
        let mut tree = MemoryTree::default();
        for (name, content) in files {
            tree.insert(path(name), Bytes::from_static(content.as_bytes()))
                .unwrap();
        }
        tree.seal();
        Snapshot::new(Arc::new(Linked(tree)), SnapshotLimits::default())
    }

    #[test]
    fn equal_directories_have_equal_digests_wherever_they_are() {
        let snapshot =
            Snapshot::from_files([("a/x/f", "1"), ("b/x/f", "1"), ("c/x/f", "2")]).unwrap();
        let digest = |name: &str| snapshot.digest_of(&path(name)).unwrap();
        assert_eq!(digest("a"), digest("b"));
        assert_ne!(digest("a"), digest("c"));
        let a = snapshot.subdirectory(&path("a")).unwrap();
        assert_eq!(a.digest(), digest("a"));
        assert_eq!(a.full_path(&path("x/f")).as_str(), "a/x/f");
    }

    #[test]
    fn links_are_followed_inside_and_refused_outside() {
        let snapshot = linked(&[
            ("app/real.yaml", "x"),
            ("app/ok.link", "./real.yaml"),
            ("app/dir/up.link", "../real.yaml"),
            ("app/out.link", "../secret"),
            ("app/way-out.link", "../../../etc/passwd"),
            ("app/absolute.link", "/etc/passwd"),
            ("app/loop.link", "loop.link"),
            ("app/nothing.link", "gone"),
            ("app/folder.link", "dir"),
            ("secret", "s"),
        ]);
        let read = |at: &Snapshot, name: &str| at.read(&path(name)).map_err(|e| e.to_string());
        assert_eq!(read(&snapshot, "app/ok.link").unwrap(), "x");
        assert_eq!(read(&snapshot, "app/dir/up.link").unwrap(), "x");
        assert_eq!(read(&snapshot, "app/folder.link/up.link").unwrap(), "x");
        assert_eq!(read(&snapshot, "app/out.link").unwrap(), "s");
        for bad in ["way-out", "absolute", "loop", "nothing"] {
            let error = read(&snapshot, &format!("app/{bad}.link")).unwrap_err();
            assert!(error.contains("symbolic link"), "{error}");
        }
        // A subdirectory is a border of its own.
        let app = snapshot.subdirectory(&path("app")).unwrap();
        assert!(
            read(&app, "out.link")
                .unwrap_err()
                .contains("leaves the snapshot")
        );
        assert_eq!(read(&app, "ok.link").unwrap(), "x");
    }

    #[test]
    fn limits_name_the_limit_and_the_place() {
        let snapshot = Snapshot::from_files([("a/b/c/f", "12345"), ("g", "")]).unwrap();
        let limited = |change: fn(&mut SnapshotLimits)| {
            let mut limits = SnapshotLimits::default();
            change(&mut limits);
            snapshot.clone().with_limits(limits)
        };
        let error = limited(|l| l.file_bytes = 4)
            .read(&path("a/b/c/f"))
            .unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("a/b/c/f: more than 4 bytes in one file"),
            "{error}"
        );
        assert!(
            limited(|l| l.depth = 2)
                .files()
                .unwrap_err()
                .to_string()
                .contains("within")
        );
        assert!(
            limited(|l| l.entries = 3)
                .files()
                .unwrap_err()
                .to_string()
                .contains("more than 3")
        );
        let twice = limited(|l| l.total_bytes = 9);
        twice.read(&path("a/b/c/f")).unwrap();
        assert!(twice.read(&path("a/b/c/f")).is_err());
    }

    #[test]
    fn what_is_not_there_is_an_error_not_an_empty_snapshot() {
        let snapshot = Snapshot::from_files([("a/f", "1")]).unwrap();
        assert!(matches!(
            snapshot.subdirectory(&path("b")).unwrap_err(),
            SnapshotError::NotFound { .. }
        ));
        assert!(matches!(
            snapshot.subdirectory(&path("a/f")).unwrap_err(),
            SnapshotError::WrongKind { .. }
        ));
        assert!(snapshot.read(&path("a")).is_err());
        assert!(Snapshot::from_files([("a", "1"), ("a/b", "2")]).is_err());
        assert!(Snapshot::from_files([("a/b", "2"), ("a", "1")]).is_err());
    }
}
