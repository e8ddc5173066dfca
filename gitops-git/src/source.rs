//! Git as a [`Source`].

use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use async_trait::async_trait;
use gitops_core::{
    BoxError, RelPath, Revision, Snapshot, SnapshotError, SnapshotLimits, Source, SourceError, Tree,
};
use gix::ObjectId;
use gix::objs::Kind;

use crate::builder::GitSourceBuilder;
use crate::cache::{Cache, CachePlace};
use crate::commit::{self, Commit, MAX_COMMIT};
use crate::error::GitError;
use crate::filter::{Filter, FilteredTree, Known};
use crate::local::LocalRepository;
use crate::objects::ObjectError;
use crate::operation::{Operation, Timeouts};
use crate::reference::{Reference, whole_id};
use crate::remote::{Remote, Tip, TransferLimits, Wanted};
use crate::remote_url::RemoteUrl;
use crate::tree::{GitTree, Keeper, MAX_TREE};
use crate::trigger::{Schedule, Trigger};
use crate::trust::{Candidate, Graph, Guard};

/// A Git repository as a source of desired state.
///
/// Looking at an unchanged branch costs one small request, whatever the size of the
/// repository. A new commit is fetched with its files and without its history, as a
/// difference from what is there; the files are read from the object database when somebody
/// looks at them, and never written out. A repository on this machine is read in place.
///
/// ```
/// use gitops_core::Source;
/// use gitops_git::GitSource;
/// use gitops_testkit::FakeRepo;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let repo = FakeRepo::new()?;
/// repo.commit("add the shop").file("clusters/prod/web.yaml", "kind: Service\n").save()?;
/// let server = repo.serve()?;
///
/// let source = GitSource::builder(server.url())
///     .branch("main")
///     .path("clusters/prod")
///     .build()?;
/// let revision = source.resolve().await?;
/// assert_eq!(revision.subject(), "add the shop");
///
/// let files = source.fetch(&revision).await?;
/// assert_eq!(files.read(&"web.yaml".parse()?)?, "kind: Service\n");
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// Every error of [`resolve`](Source::resolve) and [`fetch`](Source::fetch) is caused by a
/// [`GitError`], which can be had by a downcast of the cause.
#[derive(Clone)]
pub struct GitSource {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) url: RemoteUrl,
    pub(crate) reference: Reference,
    pub(crate) path: RelPath,
    pub(crate) secrets: Vec<String>,
    pub(crate) timeouts: Timeouts,
    pub(crate) transfer: TransferLimits,
    pub(crate) snapshot: SnapshotLimits,
    pub(crate) backend: Backend,
    pub(crate) schedule: Schedule,
    pub(crate) filter: Filter,
    pub(crate) filtered: Arc<Known>,
    pub(crate) lfs_pointers: bool,
    pub(crate) guard: Option<Guard>,
    /// What was resolved last.
    pub(crate) last: Mutex<Option<(Tip, Revision)>>,
}

pub(crate) enum Backend {
    Remote(Box<RemoteBackend>),
    Local(PathBuf),
}

pub(crate) struct RemoteBackend {
    pub(crate) remote: Remote,
    pub(crate) cache: Cache,
    /// How to make the cache of the past; there is none before somebody looks at it.
    pub(crate) history_at: CachePlace,
    pub(crate) history: OnceLock<Cache>,
}

impl RemoteBackend {
    fn history(&self) -> Result<&Cache, GitError> {
        if let Some(known) = self.history.get() {
            return Ok(known);
        }
        let new = Cache::new(&self.history_at)?;
        Ok(self.history.get_or_init(|| new))
    }
}

/// Where to read a commit from.
struct Opened {
    keeper: Arc<dyn Keeper>,
    commit: Commit,
}

impl GitSource {
    /// Starts with a URL, or the path of a repository on this machine; see
    /// [`RemoteUrl`] for the forms.
    pub fn builder(url: impl Into<String>) -> GitSourceBuilder {
        GitSourceBuilder::new(url.into())
    }

    /// Allows what is followed to move, once, to a commit that does not come from the one
    /// accepted last. Give the whole id that the refusal named, after a person looked at it.
    /// It has to be signed as any other.
    ///
    /// # Errors
    ///
    /// When it is not a whole commit id, or the source has no
    /// [`Trust`](crate::Trust::fast_forward_only), and so refuses no move.
    pub fn allow_rewrite(&self, commit: &str) -> Result<(), GitError> {
        let commit = self.inner.id(commit)?;
        let Some(guard) = &self.inner.guard else {
            return Err(GitError::Setting {
                setting: "rewrite",
                reason: "this source trusts whoever can push, and refuses no rewrite".to_owned(),
            });
        };
        guard.allow_rewrite(commit);
        Ok(())
    }

    /// A handle that makes [`changed`](Source::changed) complete at once: what a webhook
    /// calls.
    #[must_use]
    pub fn trigger(&self) -> Trigger {
        self.inner.schedule.trigger()
    }

    /// The repository, without credentials.
    #[must_use]
    pub fn url(&self) -> &RemoteUrl {
        &self.inner.url
    }

    /// What is followed.
    #[must_use]
    pub fn reference(&self) -> &Reference {
        &self.inner.reference
    }

    /// Runs blocking work. Dropping the returned future stops the work.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner, &Operation) -> Result<T, SourceError> + Send + 'static,
    ) -> Result<T, SourceError> {
        let inner = Arc::clone(&self.inner);
        let operation =
            Operation::start(inner.url.to_string(), inner.secrets.clone(), inner.timeouts);
        let _cancel = operation.cancel_on_drop();
        let working = operation.clone();
        let result = tokio::task::spawn_blocking(move || work(&inner, &working)).await;
        match result {
            Ok(result) => result,
            // A panic in a parser of hostile input ends here.
            Err(error) => Err(GitError::Internal {
                remote: operation.remote(),
                reason: if error.is_panic() {
                    "a panic; please report it".to_owned()
                } else {
                    "the runtime is shutting down".to_owned()
                },
            }
            .into()),
        }
    }
}

impl std::fmt::Debug for GitSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("GitSource").field(&self.describe()).finish()
    }
}

#[async_trait]
impl Source for GitSource {
    async fn resolve(&self) -> Result<Revision, SourceError> {
        self.run(|inner, operation| inner.resolve(operation).map_err(Into::into))
            .await
    }

    async fn fetch(&self, revision: &Revision) -> Result<Snapshot, SourceError> {
        let id = revision.id.as_str().to_owned();
        self.run(move |inner, operation| inner.snapshot(&id, operation))
            .await
    }

    /// Completes when a poll is due, counted from the call, or when the
    /// [`Trigger`] fires.
    async fn changed(&self) {
        self.inner.schedule.changed().await;
    }

    fn describe(&self) -> String {
        let Inner {
            url,
            reference,
            path,
            ..
        } = &*self.inner;
        if path.is_root() {
            format!("{url} ({reference})")
        } else {
            format!("{url} ({reference}, directory {path})")
        }
    }
}

impl Inner {
    fn resolve(&self, operation: &Operation) -> Result<Revision, GitError> {
        let _turn = self.guard.as_ref().map(Guard::turn);
        operation.check()?;
        let tip = self.tip(operation)?;
        let known = self
            .last()
            .as_ref()
            .filter(|(last, _)| *last == tip)
            .map(|(_, revision)| revision.clone());
        if let Some(revision) = known {
            return Ok(revision);
        }
        let name = match self.reference {
            Reference::Commit(_) => None,
            _ => Some(tip.name.as_str()),
        };
        let opened = self.open(
            Wanted {
                commit: tip.commit,
                tag: tip.tag.filter(|_| self.guard.is_some()),
            },
            name,
            operation,
        )?;
        let mut revision = opened.commit.revision.clone();
        if let Some(guard) = &self.guard {
            let candidate = Candidate {
                commit: tip.commit,
                name: &tip.name,
                tag: tip.tag,
            };
            let past = self.past(&opened, tip.commit, operation);
            revision = revision.with_signers(guard.accept(candidate, &past)?);
        }
        *self.last() = Some((tip, revision.clone()));
        Ok(revision)
    }

    /// The commit that the reference is at. For a branch or a tag this is the one request
    /// of an unchanged poll.
    fn tip(&self, operation: &Operation) -> Result<Tip, GitError> {
        match &self.backend {
            Backend::Local(path) => {
                LocalRepository::open(path, &operation.remote())?.tip(&self.reference)
            }
            Backend::Remote(backend) => match (&self.reference, self.reference.full_name()) {
                (Reference::Semver(_) | Reference::NewestTag(_), _) => {
                    let prefix = self.reference.tag_prefix().unwrap_or_default();
                    let tips = backend.remote.tips(&prefix, operation, self.transfer)?;
                    self.reference.pick(tips, &operation.remote())
                }
                (_, Some(name)) => {
                    let described = self.reference.to_string();
                    backend
                        .remote
                        .tip(&name, &described, operation, self.transfer)
                }
                (Reference::Commit(id), None) => Ok(Tip {
                    commit: self.id(id)?,
                    tag: None,
                    name: id.clone(),
                }),
                (other, None) => Err(GitError::ReferenceNotFound {
                    remote: operation.remote(),
                    reference: other.to_string(),
                }),
            },
        }
    }

    /// Reads a commit, after fetching it if need be.
    fn open(
        &self,
        want: Wanted,
        reference: Option<&str>,
        operation: &Operation,
    ) -> Result<Opened, GitError> {
        let id = want.commit;
        let keeper: Arc<dyn Keeper> = match &self.backend {
            Backend::Remote(backend) => {
                let RemoteBackend { remote, cache, .. } = &**backend;
                cache.ensure(want, remote, operation, self.transfer)?
            }
            Backend::Local(path) => {
                let objects = LocalRepository::open(path, &operation.remote())?
                    .objects(self.transfer.object_bytes)?;
                if objects.objects().hash() != id.kind()
                    || matches!(objects.objects().kind(&id), Err(ObjectError::Missing))
                {
                    return Err(GitError::RevisionNotFound {
                        remote: operation.remote(),
                        revision: id.to_string(),
                        reason: "the repository has no such commit".to_owned(),
                    });
                }
                objects
            }
        };
        let commit = commit::read(keeper.objects(), id, reference, &operation.remote())?;
        Ok(Opened { keeper, commit })
    }

    /// The history behind a commit, of which nothing is fetched before it is looked at.
    fn past<'a>(&'a self, opened: &Opened, commit: ObjectId, operation: &'a Operation) -> Past<'a> {
        Past {
            inner: self,
            tip: commit,
            files: Arc::clone(&opened.keeper),
            history: OnceLock::new(),
            operation,
        }
    }

    fn snapshot(&self, id: &str, operation: &Operation) -> Result<Snapshot, SourceError> {
        let commit_id = self.id(id)?;
        let want = Wanted {
            commit: commit_id,
            tag: None,
        };
        let opened = self.open(want, None, operation)?;
        if let Some(guard) = &self.guard {
            guard.vouch(commit_id, &self.past(&opened, commit_id, operation))?;
        }
        let mut tree: Arc<dyn Tree> = Arc::new(GitTree::new(
            opened.keeper,
            operation.remote(),
            opened.commit.tree,
            self.lfs_pointers,
        ));
        let filters = self
            .filter
            .concerns(&*tree, &self.path)
            .map_err(|error| self.filter_failed(error, operation))?;
        if filters {
            let filtered = FilteredTree::new(
                tree,
                self.filter.clone(),
                Arc::clone(&self.filtered),
                self.snapshot,
                self.path.is_root(),
            );
            tree = match filtered {
                Ok(Some(filtered)) => Arc::new(filtered),
                Ok(None) => {
                    return Err(GitError::NothingLeft {
                        remote: operation.remote(),
                        revision: id.to_owned(),
                    }
                    .into());
                }
                Err(error) => return Err(self.filter_failed(error, operation).into()),
            };
        }
        let whole = Snapshot::new(tree, self.snapshot);
        let snapshot = whole.subdirectory(&self.path);
        // Reading it once now makes a missing tree an error of the fetch.
        let listed = snapshot.and_then(|snapshot| {
            snapshot.list(&RelPath::root())?;
            Ok(snapshot)
        });
        listed.map_err(|error| match error {
            SnapshotError::NotFound { .. } => GitError::PathNotFound {
                remote: operation.remote(),
                path: self.path.clone(),
                revision: id.to_owned(),
            }
            .into(),
            SnapshotError::WrongKind { .. } => GitError::NotADirectory {
                remote: operation.remote(),
                path: self.path.clone(),
                revision: id.to_owned(),
            }
            .into(),
            other => other.into(),
        })
    }

    fn filter_failed(&self, error: BoxError, operation: &Operation) -> GitError {
        match error.downcast::<GitError>() {
            Ok(error) => *error,
            Err(error) => GitError::Filter {
                remote: operation.remote(),
                reason: crate::error::one_line(&error.to_string()),
            },
        }
    }

    fn id(&self, id: &str) -> Result<ObjectId, GitError> {
        whole_id(id).ok_or_else(|| GitError::RevisionNotFound {
            remote: self.url.to_string(),
            revision: crate::error::one_line(id),
            reason: "it is not a whole commit id".to_owned(),
        })
    }

    fn last(&self) -> std::sync::MutexGuard<'_, Option<(Tip, Revision)>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A commit, and its history as soon as something of it is asked for.
struct Past<'a> {
    inner: &'a Inner,
    tip: ObjectId,
    files: Arc<dyn Keeper>,
    history: OnceLock<Arc<dyn Keeper>>,
    operation: &'a Operation,
}

impl Past<'_> {
    fn read(&self, keeper: &dyn Keeper, id: &ObjectId, kind: Kind) -> Result<Vec<u8>, ObjectError> {
        let limit = match kind {
            Kind::Tree => MAX_TREE,
            _ => MAX_COMMIT,
        };
        keeper.objects().read(id, kind, limit)
    }

    fn history(&self) -> Result<Option<&dyn Keeper>, GitError> {
        let Backend::Remote(backend) = &self.inner.backend else {
            return Ok(None);
        };
        if let Some(known) = self.history.get() {
            return Ok(Some(&**known));
        }
        let want = Wanted {
            commit: self.tip,
            tag: None,
        };
        let fetched = backend.history()?.ensure(
            want,
            &backend.remote,
            self.operation,
            self.inner.transfer,
        )?;
        Ok(Some(&**self.history.get_or_init(|| fetched)))
    }
}

impl Graph for Past<'_> {
    fn object(&self, id: &ObjectId, kind: Kind) -> Result<Vec<u8>, GitError> {
        let refuse = |error: &ObjectError| GitError::Object {
            remote: self.operation.remote(),
            object: id.to_string(),
            reason: error.to_string(),
        };
        match self.read(&*self.files, id, kind) {
            Ok(data) => return Ok(data),
            Err(ObjectError::Missing) => {}
            Err(error) => {
                self.files.damaged();
                return Err(refuse(&error));
            }
        }
        let Some(history) = self.history()? else {
            return Err(refuse(&ObjectError::Missing));
        };
        self.read(history, id, kind).map_err(|error| {
            history.damaged();
            refuse(&error)
        })
    }

    fn has(&self, commit: &ObjectId) -> Result<bool, GitError> {
        let holds = |keeper: &dyn Keeper| matches!(keeper.objects().kind(commit), Ok(Kind::Commit));
        Ok(match self.history()? {
            // A commit among the files may be there without its parents.
            Some(history) => holds(history),
            None => holds(&*self.files),
        })
    }

    fn hash(&self) -> gix::hash::Kind {
        self.files.objects().hash()
    }

    fn remote(&self) -> String {
        self.operation.remote()
    }

    fn check(&self) -> Result<(), GitError> {
        self.operation.check()
    }
}
