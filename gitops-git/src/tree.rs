//! The files of a commit, read from the object database.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use gitops_core::{BoxError, Digest, EntryKind, RelPath, Tree, TreeContent, TreeEntry};
use gix::ObjectId;
use gix::bstr::{BStr, ByteSlice as _};
use gix::objs::{Kind, TreeRefIter};

use crate::error::{GitError, one_line};
use crate::objects::{ObjectError, Objects};

/// Larger directories are refused; this is about a million entries.
pub(crate) const MAX_TREE: u64 = 64 << 20;
/// Directory entries kept in parsed form. More, and the cache begins anew.
const MAX_CACHED_ENTRIES: usize = 200_000;

/// Something to tell when an object turns out to be missing or damaged.
pub(crate) trait Keeper: Send + Sync {
    fn objects(&self) -> &Objects;
    fn damaged(&self);
}

/// The tree of one commit.
pub(crate) struct GitTree {
    keeper: Arc<dyn Keeper>,
    remote: String,
    root: ObjectId,
    lfs_pointers: bool,
    parsed: Mutex<Parsed>,
}

#[derive(Default)]
struct Parsed {
    directories: BTreeMap<ObjectId, Arc<Vec<Entry>>>,
    entries: usize,
}

#[derive(Debug, Clone)]
struct Entry {
    entry: TreeEntry,
    id: ObjectId,
}

impl GitTree {
    pub(crate) fn new(
        keeper: Arc<dyn Keeper>,
        remote: String,
        root: ObjectId,
        lfs_pointers: bool,
    ) -> Self {
        Self {
            keeper,
            remote,
            root,
            lfs_pointers,
            parsed: Mutex::default(),
        }
    }

    fn refuse(&self, id: &ObjectId, reason: String) -> GitError {
        GitError::Object {
            remote: self.remote.clone(),
            object: id.to_string(),
            reason,
        }
    }

    fn object(&self, id: &ObjectId, kind: Kind, limit: u64) -> Result<Vec<u8>, ObjectError> {
        let read = self.keeper.objects().read(id, kind, limit);
        if let Err(ObjectError::Missing | ObjectError::Damaged(_)) = &read {
            self.keeper.damaged();
        }
        read
    }

    fn directory(&self, id: &ObjectId) -> Result<Arc<Vec<Entry>>, GitError> {
        let parsed = || self.parsed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = parsed().directories.get(id) {
            return Ok(Arc::clone(known));
        }
        let data = self
            .object(id, Kind::Tree, MAX_TREE)
            .map_err(|error| self.refuse(id, error.to_string()))?;
        let entries =
            parse(&data, self.keeper.objects().hash()).map_err(|reason| self.refuse(id, reason))?;
        let entries = Arc::new(entries);
        let mut parsed = parsed();
        if parsed.entries + entries.len() > MAX_CACHED_ENTRIES {
            *parsed = Parsed::default();
        }
        parsed.entries += entries.len();
        parsed.directories.insert(*id, Arc::clone(&entries));
        Ok(entries)
    }

    /// The entries of a directory, by path.
    fn find_directory(&self, path: &RelPath) -> Result<Option<Arc<Vec<Entry>>>, GitError> {
        let mut entries = self.directory(&self.root)?;
        for part in path.parts() {
            match find(&entries, part) {
                Some(found) if found.entry.kind == EntryKind::Directory => {
                    entries = self.directory(&found.id)?;
                }
                _ => return Ok(None),
            }
        }
        Ok(Some(entries))
    }

    fn find_entry(&self, path: &RelPath) -> Result<Option<Entry>, GitError> {
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Ok(None);
        };
        Ok(self
            .find_directory(&parent)?
            .and_then(|entries| find(&entries, name).cloned()))
    }
}

impl Tree for GitTree {
    fn digest(&self) -> Digest {
        digest(&self.root)
    }

    fn list(&self, directory: &RelPath) -> Result<Option<Vec<TreeEntry>>, BoxError> {
        let entries = self.find_directory(directory)?;
        Ok(entries.map(|entries| entries.iter().map(|found| found.entry.clone()).collect()))
    }

    fn entry(&self, path: &RelPath) -> Result<Option<TreeEntry>, BoxError> {
        Ok(self.find_entry(path)?.map(|found| found.entry))
    }

    fn read(&self, file: &RelPath, limit: u64) -> Result<Option<TreeContent>, BoxError> {
        let Some(Entry { entry, id }) = self.find_entry(file)? else {
            return Ok(None);
        };
        if !matches!(entry.kind, EntryKind::File { .. } | EntryKind::Symlink) {
            return Ok(None);
        }
        match self.object(&id, Kind::Blob, limit) {
            Ok(content) if is_lfs_pointer(&content) && !self.lfs_pointers => {
                Err(Box::new(GitError::LfsPointer {
                    remote: self.remote.clone(),
                    path: file.clone(),
                }))
            }
            Ok(content) => Ok(Some(TreeContent::Bytes(Bytes::from(content)))),
            Err(ObjectError::TooLarge(size)) => Ok(Some(TreeContent::TooLarge(size))),
            Err(error) => Err(self.refuse(&id, error.to_string()).into()),
        }
    }
}

/// The digest of what an id names. Git's ids are of content, a tree's of all below it, so
/// nothing has to be read for it.
fn digest(id: &ObjectId) -> Digest {
    let hash = id.kind().to_string();
    Digest::of_parts([b"git", hash.as_bytes(), id.as_bytes()])
}

/// A pointer has a few lines, the first of which is always this one; see the specification
/// of Git LFS.
fn is_lfs_pointer(content: &[u8]) -> bool {
    content.len() < 1024
        && content.starts_with(b"version https://git-lfs.github.com/spec/v1\n")
        && content.find(b"\noid sha256:").is_some()
}

fn find<'a>(entries: &'a [Entry], name: &str) -> Option<&'a Entry> {
    let at = entries
        .binary_search_by(|entry| entry.entry.name.as_str().cmp(name))
        .ok()?;
    entries.get(at)
}

/// Reads a tree object. What `git fsck` calls an error is one here: such a tree means
/// different things to different readers.
fn parse(data: &[u8], hash: gix::hash::Kind) -> Result<Vec<Entry>, String> {
    let mut entries = Vec::new();
    let mut last: Option<Vec<u8>> = None;
    for entry in TreeRefIter::from_bytes(data, hash) {
        let entry =
            entry.map_err(|error| format!("is no tree: {}", one_line(&error.to_string())))?;
        let shown = || one_line(&entry.filename.to_str_lossy());
        let kind = match entry.mode.value() {
            // Git itself wrote 100664 long ago, and reads it still.
            0o100_644 | 0o100_664 => EntryKind::File { executable: false },
            0o100_755 => EntryKind::File { executable: true },
            0o120_000 => EntryKind::Symlink,
            0o160_000 => EntryKind::Repository,
            0o040_000 => EntryKind::Directory,
            mode => return Err(format!("entry {:?} has the mode {mode:o}", shown())),
        };
        check_name(entry.filename).map_err(|reason| format!("entry {:?} {reason}", shown()))?;
        let name = entry
            .filename
            .to_str()
            .map_err(|_| format!("entry {:?} has a name that is not UTF-8", shown()))?;
        // Git sorts a directory as if its name ended with a slash.
        let mut key = name.as_bytes().to_vec();
        if kind == EntryKind::Directory {
            key.push(b'/');
        }
        if last.as_ref().is_some_and(|last| *last >= key) {
            return Err(format!("entry {name:?} is twice there or not in order"));
        }
        last = Some(key);
        let id = entry.oid.to_owned();
        entries.push(Entry {
            entry: TreeEntry {
                name: name.to_owned(),
                kind,
                digest: digest(&id),
            },
            id,
        });
    }
    entries.sort_by(|a, b| a.entry.name.cmp(&b.entry.name));
    // A file and a directory of one name need not be neighbours in Git's order.
    if let Some(pair) = entries.windows(2).find(|pair| match pair {
        [a, b] => a.entry.name == b.entry.name,
        _ => false,
    }) {
        return Err(format!(
            "entry {:?} is there as a file and as a directory",
            pair.first().map_or("", |found| found.entry.name.as_str())
        ));
    }
    Ok(entries)
}

/// Refuses names that lead elsewhere, and `.git` however a file system may spell it. Nothing
/// here is ever written to a file system; what reads the snapshot may do so.
fn check_name(name: &BStr) -> Result<(), String> {
    if name.contains(&0) {
        return Err("holds a NUL".to_owned());
    }
    let options = gix::validate::path::component::Options {
        // Device names such as `aux.yaml` and `a:b` are fine where this runs.
        protect_windows: false,
        protect_hfs: true,
        protect_ntfs: true,
    };
    gix::validate::path::component(name, None, options)
        .map(drop)
        .map_err(|error| format!("is not allowed: {}", one_line(&error.to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(entries: &[(&str, &[u8])]) -> Result<Vec<Entry>, String> {
        let mut data = Vec::new();
        for (mode, name) in entries {
            data.extend_from_slice(mode.as_bytes());
            data.push(b' ');
            data.extend_from_slice(name);
            data.push(0);
            data.extend_from_slice(&[7; 20]);
        }
        parse(&data, gix::hash::Kind::Sha1)
    }

    #[test]
    fn entries_of_every_kind_are_read_and_sorted_by_name() {
        let entries = tree(&[
            ("100644", b"a.b"),
            ("40000", b"a"),
            ("100755", b"run"),
            ("120000", b"way"),
            ("160000", b"x"),
        ])
        .unwrap();
        let seen: Vec<_> = entries
            .iter()
            .map(|e| (e.entry.name.as_str(), e.entry.kind))
            .collect();
        assert_eq!(
            seen,
            [
                ("a", EntryKind::Directory),
                ("a.b", EntryKind::File { executable: false }),
                ("run", EntryKind::File { executable: true }),
                ("way", EntryKind::Symlink),
                ("x", EntryKind::Repository),
            ]
        );
    }

    #[test]
    fn hostile_names_are_refused() {
        let names: &[&[u8]] = &[
            b"..",
            b".",
            b"",
            b"a/b",
            b"../../etc/passwd",
            b".git",
            b".GIT",
            b".Git ",
            b"git~1",
            b".git.",
            ".g\u{200c}it".as_bytes(),
            b".git::$INDEX_ALLOCATION",
            b"\xff\xfe",
        ];
        for name in names {
            assert!(tree(&[("100644", name)]).is_err(), "{name:?}");
            assert!(tree(&[("40000", name)]).is_err(), "{name:?}");
        }
        for name in ["aux.yaml", ".gitignore", "a:b", ".github", "git~2"] {
            assert!(tree(&[("100644", name.as_bytes())]).is_ok(), "{name}");
        }
    }

    #[test]
    fn a_tree_that_reads_in_two_ways_is_refused() {
        let twice = tree(&[("100644", b"a"), ("100644", b"a")]);
        assert!(twice.unwrap_err().contains("twice"));
        let unsorted = tree(&[("100644", b"b"), ("100644", b"a")]);
        assert!(unsorted.unwrap_err().contains("order"));
        let clash = tree(&[("100644", b"a"), ("100644", b"a-b"), ("40000", b"a")]);
        assert!(clash.unwrap_err().contains("as a file and as a directory"));
        assert!(tree(&[("100600", b"a")]).unwrap_err().contains("mode"));
        assert!(parse(b"100644 a\0short", gix::hash::Kind::Sha1).is_err());
    }
}
