//! Objects on disk: fetched once, shared by processes, thrown away when damaged.
//!
//! ```text
//! CACHE/NAME-DIGEST/        one repository
//!   lock                    held while something is fetched
//!   current                 the name of the generation in use
//!   g1/                     a bare repository, which git can read too
//!     in-use                held, shared, by whoever reads from it
//!     damaged               there once an object was found missing or broken
//! ```
//!
//! A generation only grows. When it is damaged, or has grown too much, the next fetch makes
//! a new one, and the old one goes when its last reader does. Each commit is fetched without
//! its history, so starting over costs one shallow clone.

use std::fs::{self, File, TryLockError};
use std::io::{self, BufRead};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use gix::ObjectId;
use gix::objs::Kind;

use crate::commit;
use crate::error::GitError;
use crate::objects::Objects;
use crate::operation::Operation;
use crate::remote::{Content, PackSink, Remote, TransferLimits, Wanted};
use crate::tree::Keeper;

/// A generation with more packs begins anew: every pack makes every look-up longer.
const MAX_PACKS: usize = 100;
/// As many of the newest commits are named to the server as what we have.
const MAX_HAVES: usize = 16;

/// Where a cache is, and what is in it.
#[derive(Debug, Clone)]
pub(crate) struct CachePlace {
    /// None for a temporary folder of its own.
    pub(crate) parent: Option<PathBuf>,
    /// What tells the repository from others.
    pub(crate) key: String,
    pub(crate) content: Content,
    pub(crate) max_bytes: u64,
}

/// The cache of one repository.
///
/// Histories have caches of their own, so that a commit that is there is there with all that
/// belongs to it.
pub(crate) struct Cache {
    folder: PathBuf,
    content: Content,
    max_bytes: u64,
    open: Mutex<Option<Arc<Generation>>>,
    /// A folder of our own, removed with us.
    _temporary: Option<tempfile::TempDir>,
}

impl Cache {
    pub(crate) fn new(place: &CachePlace) -> Result<Self, GitError> {
        let CachePlace {
            parent,
            key,
            content,
            max_bytes,
        } = place;
        let (parent, temporary) = match parent {
            Some(parent) => (parent.to_owned(), None),
            None => {
                let temporary = tempfile::Builder::new()
                    .prefix("gitops-git-")
                    .tempdir()
                    .map_err(failed(&std::env::temp_dir(), "make a temporary folder"))?;
                (temporary.path().to_owned(), Some(temporary))
            }
        };
        let kind = match content {
            Content::Files => "",
            Content::History { trees: false } => "-history",
            Content::History { trees: true } => "-trees",
        };
        let folder = parent.join(folder_name(key) + kind);
        make_private(&folder).map_err(failed(&folder, "make the folder"))?;
        Ok(Self {
            folder,
            content: *content,
            max_bytes: *max_bytes,
            open: Mutex::default(),
            _temporary: temporary,
        })
    }

    /// A generation that holds this, fetched if need be.
    pub(crate) fn ensure(
        &self,
        want: Wanted,
        remote: &Remote,
        operation: &Operation,
        limits: TransferLimits,
    ) -> Result<Arc<Generation>, GitError> {
        if let Some(generation) = self.current(want.commit.kind(), limits)
            && generation.holds(want, operation)
        {
            return Ok(generation);
        }
        let _lock = self.lock(operation)?;
        // Somebody else may have fetched it while we waited.
        let current = self.current(want.commit.kind(), limits);
        if let Some(generation) = &current
            && generation.holds(want, operation)
        {
            return Ok(Arc::clone(generation));
        }
        if let Some(generation) = current
            && !generation.is_damaged()
            && !generation.is_full(self.max_bytes)
        {
            match generation.fetch(want, remote, operation, limits) {
                Ok(()) => return Ok(generation),
                Err(error) if error.blames_cache() && operation.check().is_ok() => {
                    tracing::warn!(
                        remote = operation.remote(),
                        %error,
                        "the cache may be damaged; starting over"
                    );
                    operation.forget_failure();
                }
                Err(error) => return Err(error),
            }
        }
        self.start_over(want, remote, operation, limits)
    }

    fn start_over(
        &self,
        want: Wanted,
        remote: &Remote,
        operation: &Operation,
        limits: TransferLimits,
    ) -> Result<Arc<Generation>, GitError> {
        let name = self.next_name()?;
        let folder = self.folder.join(&name);
        let hash = want.commit.kind();
        let fetched = Generation::create(&folder, hash)
            .and_then(|()| Generation::open(&folder, hash, self.content, limits))
            .map_err(failed(&folder, "make a repository"))
            .and_then(|generation| {
                generation.fetch(want, remote, operation, limits)?;
                self.publish(&name)?;
                Ok(Arc::new(generation))
            });
        match fetched {
            Ok(generation) => {
                *self.opened() = Some(Arc::clone(&generation));
                self.collect(&name);
                Ok(generation)
            }
            Err(error) => {
                // Left behind, it would only wait for the next collection.
                let _ = fs::remove_dir_all(&folder);
                Err(error)
            }
        }
    }

    /// The generation in use, if there is one that can be opened.
    fn current(&self, hash: gix::hash::Kind, limits: TransferLimits) -> Option<Arc<Generation>> {
        let name = fs::read_to_string(self.folder.join("current")).ok()?;
        let name = name.trim();
        // A scribbled file must not lead us elsewhere.
        if !is_generation(name) {
            return None;
        }
        let folder = self.folder.join(name);
        let mut opened = self.opened();
        if let Some(generation) = &*opened
            && generation.folder == folder
            && generation.objects.hash() == hash
            && folder.is_dir()
        {
            return Some(Arc::clone(generation));
        }
        let generation = Arc::new(Generation::open(&folder, hash, self.content, limits).ok()?);
        *opened = Some(Arc::clone(&generation));
        Some(generation)
    }

    fn opened(&self) -> std::sync::MutexGuard<'_, Option<Arc<Generation>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until nobody else fetches. The lock goes with the process that holds it.
    fn lock(&self, operation: &Operation) -> Result<File, GitError> {
        let path = self.folder.join("lock");
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(failed(&path, "open the lock"))?;
        let mut pause = Duration::from_millis(1);
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) => {
                    operation.check()?;
                    std::thread::sleep(pause);
                    pause = (pause * 2).min(Duration::from_millis(50));
                }
                Err(TryLockError::Error(error)) => {
                    return Err(failed(&path, "take the lock")(error));
                }
            }
        }
    }

    fn next_name(&self) -> Result<String, GitError> {
        let newest = self
            .generations()
            .map_err(failed(&self.folder, "list the folder"))?
            .into_iter()
            .filter_map(|name| name.strip_prefix('g')?.parse::<u64>().ok())
            .max()
            .unwrap_or(0);
        Ok(format!("g{}", newest.saturating_add(1)))
    }

    fn generations(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            if let Ok(name) = entry?.file_name().into_string()
                && is_generation(&name)
            {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn publish(&self, name: &str) -> Result<(), GitError> {
        let path = self.folder.join("current");
        replace(&path, name.as_bytes()).map_err(failed(&path, "write"))
    }

    /// Removes the generations nobody reads any more.
    fn collect(&self, current: &str) {
        let Ok(names) = self.generations() else {
            return;
        };
        for name in names.iter().filter(|name| *name != current) {
            let folder = self.folder.join(name);
            let unused = match File::open(folder.join("in-use")) {
                Ok(file) => file.try_lock().map(|()| Some(file)).is_ok(),
                // Half made or half removed, by somebody who is gone: we hold the lock.
                Err(_) => true,
            };
            if unused && let Err(error) = fs::remove_dir_all(&folder) {
                tracing::debug!(folder = %folder.display(), %error, "could not remove an old cache");
            }
        }
    }
}

/// One bare repository that only grows.
pub(crate) struct Generation {
    folder: PathBuf,
    content: Content,
    objects: Objects,
    damaged: AtomicBool,
    object_bytes: u64,
    /// Says to other processes that it is read; shared.
    _in_use: File,
}

impl Generation {
    fn create(folder: &Path, hash: gix::hash::Kind) -> io::Result<()> {
        make_private(&folder.join("objects/pack"))?;
        make_private(&folder.join("refs"))?;
        fs::write(folder.join("HEAD"), "ref: refs/heads/none\n")?;
        let config = match hash {
            gix::hash::Kind::Sha256 => {
                "[core]\n\trepositoryformatversion = 1\n\tbare = true\n\
                 [extensions]\n\tobjectformat = sha256\n"
            }
            _ => "[core]\n\trepositoryformatversion = 0\n\tbare = true\n",
        };
        fs::write(folder.join("config"), config)?;
        fs::write(folder.join("in-use"), "")
    }

    fn open(
        folder: &Path,
        hash: gix::hash::Kind,
        content: Content,
        limits: TransferLimits,
    ) -> io::Result<Self> {
        let in_use = File::open(folder.join("in-use"))?;
        match in_use.try_lock_shared() {
            Ok(()) => {}
            // It is being removed.
            Err(TryLockError::WouldBlock) => return Err(io::ErrorKind::NotFound.into()),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        Ok(Self {
            objects: Objects::open(&folder.join("objects"), hash, limits.object_bytes)?,
            damaged: AtomicBool::new(folder.join("damaged").exists()),
            folder: folder.to_owned(),
            content,
            object_bytes: limits.object_bytes,
            _in_use: in_use,
        })
    }

    fn holds(&self, want: Wanted, operation: &Operation) -> bool {
        !self.is_damaged() && self.has(want, operation).is_ok()
    }

    fn has(&self, want: Wanted, operation: &Operation) -> Result<(), GitError> {
        let commit = commit::read(&self.objects, want.commit, None, &operation.remote())?;
        if let Some(tag) = want.tag {
            self.has_object(tag, Kind::Tag, operation)?;
        }
        match self.content {
            Content::History { trees: false } => Ok(()),
            _ => self.has_object(commit.tree, Kind::Tree, operation),
        }
    }

    fn has_object(
        &self,
        id: ObjectId,
        wanted: Kind,
        operation: &Operation,
    ) -> Result<(), GitError> {
        match self.objects.kind(&id) {
            Ok(kind) if kind == wanted => Ok(()),
            Ok(kind) => Err(self.bad_object(id, format!("is a {kind}, not a {wanted}"), operation)),
            Err(error) => Err(self.bad_object(id, error.to_string(), operation)),
        }
    }

    fn bad_object(&self, id: ObjectId, reason: String, operation: &Operation) -> GitError {
        GitError::Object {
            remote: operation.remote(),
            object: id.to_string(),
            reason,
        }
    }

    fn is_damaged(&self) -> bool {
        self.damaged.load(Ordering::Relaxed) || self.folder.join("damaged").exists()
    }

    fn is_full(&self, max_bytes: u64) -> bool {
        let Ok(files) = fs::read_dir(self.pack_folder()) else {
            return true;
        };
        let (mut packs, mut bytes) = (0, 0_u64);
        for file in files.flatten() {
            packs += usize::from(file.path().extension().is_some_and(|e| e == "pack"));
            bytes = bytes.saturating_add(file.metadata().map_or(0, |meta| meta.len()));
        }
        packs >= MAX_PACKS || bytes > max_bytes
    }

    fn pack_folder(&self) -> PathBuf {
        self.folder.join("objects/pack")
    }

    /// Fetches a commit. The caller holds the lock.
    fn fetch(
        &self,
        want: Wanted,
        remote: &Remote,
        operation: &Operation,
        limits: TransferLimits,
    ) -> Result<(), GitError> {
        self.tidy();
        let haves = self.fetched();
        tracing::debug!(
            remote = operation.remote(),
            commit = %want.commit,
            content = ?self.content,
            have = haves.len(),
            "fetching"
        );
        let into = Fetching {
            generation: self,
            haves,
        };
        remote.fetch(want, &into, operation, limits)?;
        self.has(want, operation)?;
        self.remember(want.commit, into.haves)
    }

    /// Removes what a fetch that was killed left behind. The caller holds the lock.
    fn tidy(&self) {
        let _ = fs::remove_file(self.folder.join("shallow.lock"));
        let Ok(files) = fs::read_dir(self.pack_folder()) else {
            return;
        };
        for file in files.flatten() {
            let name = file.file_name();
            let name = name.to_string_lossy();
            let whole =
                name.starts_with("pack-") && (name.ends_with(".pack") || name.ends_with(".idx"));
            if !whole {
                let _ = fs::remove_file(file.path());
            }
        }
    }

    /// The commits fetched so far, newest last.
    fn fetched(&self) -> Vec<ObjectId> {
        let text = fs::read_to_string(self.folder.join("fetched")).unwrap_or_default();
        let ids: Vec<_> = text
            .lines()
            .filter_map(crate::reference::whole_id)
            .filter(|id| id.kind() == self.objects.hash())
            .collect();
        let from = ids.len().saturating_sub(MAX_HAVES);
        ids.get(from..).unwrap_or_default().to_vec()
    }

    fn remember(&self, id: ObjectId, mut fetched: Vec<ObjectId>) -> Result<(), GitError> {
        fetched.retain(|known| *known != id);
        fetched.push(id);
        let text: String = fetched.iter().map(|id| format!("{id}\n")).collect();
        let path = self.folder.join("fetched");
        replace(&path, text.as_bytes()).map_err(failed(&path, "write"))
    }
}

impl Keeper for Generation {
    fn objects(&self) -> &Objects {
        &self.objects
    }

    fn damaged(&self) {
        if !self.damaged.swap(true, Ordering::Relaxed) {
            tracing::warn!(cache = %self.folder.display(), "damaged; the next fetch starts over");
            // So that other processes know as well.
            let _ = fs::write(self.folder.join("damaged"), "");
        }
    }
}

struct Fetching<'a> {
    generation: &'a Generation,
    haves: Vec<ObjectId>,
}

impl PackSink for Fetching<'_> {
    fn haves(&self) -> &[ObjectId] {
        &self.haves
    }

    fn content(&self) -> Content {
        self.generation.content
    }

    fn shallow_file(&self) -> PathBuf {
        self.generation.folder.join("shallow")
    }

    fn write(
        &self,
        pack: &mut dyn BufRead,
        hash: gix::hash::Kind,
        operation: &Operation,
    ) -> gix::error::Result<()> {
        let written = gix::odb::pack::Bundle::write_to_directory(
            pack,
            Some(&self.generation.pack_folder()),
            &mut gix::progress::Discard,
            operation.interrupt(),
            Some(self.generation.objects.handle()),
            hash,
            gix::odb::pack::bundle::write::Options {
                alloc_limit_bytes: usize::try_from(self.generation.object_bytes).ok(),
                ..Default::default()
            },
        );
        match written {
            Ok(outcome) => {
                if let Some(keep) = outcome.keep_path {
                    // It guards against a collection by git, which nobody runs here.
                    let _ = fs::remove_file(keep);
                }
                Ok(())
            }
            Err(error) => {
                if error.is_resource_exhausted() {
                    operation.fail(GitError::Limit {
                        remote: operation.remote(),
                        what: "bytes in one object",
                        limit: self.generation.object_bytes,
                    });
                }
                Err(error)
            }
        }
    }
}

fn failed(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> GitError {
    let path = path.to_owned();
    move |source| GitError::Cache {
        path,
        action,
        source,
    }
}

/// What people recognise, and what tells it from all others.
fn folder_name(key: &str) -> String {
    let name: String = key
        .trim_end_matches('/')
        .rsplit('/')
        .next()
        .unwrap_or_default()
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
        .take(40)
        .collect();
    let digest = gitops_core::Digest::of(key.as_bytes());
    format!("{name}-{}", digest.short())
}

fn is_generation(name: &str) -> bool {
    name.strip_prefix('g').is_some_and(|number| {
        !number.is_empty() && number.len() < 20 && number.bytes().all(|b| b.is_ascii_digit())
    })
}

/// Writes a file so that readers see the old content or the new.
pub(crate) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    fs::write(&new, content)?;
    fs::rename(&new, path)
}

fn make_private(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}
