//! Git as a [`Source`].

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use gitops_core::{
    PathError, RelPath, Revision, Snapshot, SnapshotError, SnapshotLimits, Source, SourceError,
};
use gix::ObjectId;

use crate::cache::Cache;
use crate::commit::{self, Commit};
use crate::credentials::Credentials;
use crate::error::GitError;
use crate::local::LocalRepository;
use crate::operation::{Operation, Timeouts};
use crate::reference::{Reference, whole_id};
use crate::remote::{Remote, Tip, TransferLimits};
use crate::remote_url::{Place, RemoteUrl};
use crate::ssh::{SshCommand, SshPlace};
use crate::tree::{GitTree, Keeper};
use crate::trigger::{Schedule, Trigger};

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
    inner: Arc<Inner>,
}

struct Inner {
    url: RemoteUrl,
    reference: Reference,
    path: RelPath,
    secrets: Vec<String>,
    timeouts: Timeouts,
    transfer: TransferLimits,
    snapshot: SnapshotLimits,
    backend: Backend,
    schedule: Schedule,
    /// What was resolved last.
    last: Mutex<Option<(Tip, Revision)>>,
}

enum Backend {
    Remote { remote: Remote, cache: Cache },
    Local(PathBuf),
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
        let revision = self.open(tip.commit, name, operation)?.commit.revision;
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
            Backend::Remote { remote, .. } => match (&self.reference, self.reference.full_name()) {
                (_, Some(name)) => {
                    remote.tip(&name, &self.reference.to_string(), operation, self.transfer)
                }
                (Reference::Commit(id), None) => Ok(Tip {
                    commit: self.id(id)?,
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
        id: ObjectId,
        reference: Option<&str>,
        operation: &Operation,
    ) -> Result<Opened, GitError> {
        let keeper: Arc<dyn Keeper> = match &self.backend {
            Backend::Remote { remote, cache } => {
                cache.ensure(id, remote, operation, self.transfer)?
            }
            Backend::Local(path) => {
                let objects = LocalRepository::open(path, &operation.remote())?
                    .objects(self.transfer.object_bytes)?;
                if objects.objects().hash() != id.kind()
                    || matches!(
                        objects.objects().kind(&id),
                        Err(crate::objects::ObjectError::Missing)
                    )
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

    fn snapshot(&self, id: &str, operation: &Operation) -> Result<Snapshot, SourceError> {
        let commit_id = self.id(id)?;
        let opened = self.open(commit_id, None, operation)?;
        let tree = GitTree::new(opened.keeper, operation.remote(), opened.commit.tree);
        let whole = Snapshot::new(Arc::new(tree), self.snapshot);
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

/// Settings of a [`GitSource`]; see [`GitSource::builder`].
#[must_use = "a source is made by `build`"]
#[derive(Debug, Clone)]
pub struct GitSourceBuilder {
    /// Kept as text until `build`; may hold a password, so it does not print.
    url: gitops_core::Redacted<String>,
    reference: Reference,
    path: Result<RelPath, PathError>,
    credentials: Option<Credentials>,
    clear_text_credentials: bool,
    cache_dir: Option<PathBuf>,
    cache_bytes: u64,
    interval: Duration,
    jitter: f64,
    seed: Option<u64>,
    timeouts: Timeouts,
    transfer: TransferLimits,
    snapshot: SnapshotLimits,
    ssh: SshCommand,
}

impl GitSourceBuilder {
    fn new(url: String) -> Self {
        Self {
            url: url.into(),
            reference: Reference::Head,
            path: Ok(RelPath::root()),
            credentials: None,
            clear_text_credentials: false,
            cache_dir: None,
            cache_bytes: 4 << 30,
            interval: Duration::from_secs(60),
            jitter: 0.1,
            seed: None,
            timeouts: Timeouts {
                connect: Duration::from_secs(20),
                stall: Duration::from_secs(30),
                whole: Duration::from_secs(300),
            },
            transfer: TransferLimits {
                refs_bytes: 16 << 20,
                pack_bytes: 1 << 30,
                object_bytes: 128 << 20,
            },
            snapshot: SnapshotLimits::default(),
            ssh: SshCommand::default(),
        }
    }

    /// Follows a branch, without `refs/heads/`.
    pub fn branch(self, name: impl Into<String>) -> Self {
        self.follow(Reference::Branch(name.into()))
    }

    /// Follows a tag, without `refs/tags/`.
    pub fn tag(self, name: impl Into<String>) -> Self {
        self.follow(Reference::Tag(name.into()))
    }

    /// Stays at one commit, given by its whole id.
    pub fn commit(self, id: impl Into<String>) -> Self {
        self.follow(Reference::Commit(id.into()))
    }

    /// Follows any ref, in full: `refs/pull/7/head`.
    pub fn reference(self, name: impl Into<String>) -> Self {
        self.follow(Reference::Full(name.into()))
    }

    /// Follows the default branch. This is the default.
    pub fn head(self) -> Self {
        self.follow(Reference::Head)
    }

    /// Follows this. Of several calls the last one counts.
    pub fn follow(mut self, reference: Reference) -> Self {
        self.reference = reference;
        self
    }

    /// Takes this directory as the root of every snapshot. Default: the repository's root.
    pub fn path(mut self, directory: &str) -> Self {
        self.path = RelPath::new(directory);
        self
    }

    /// Sends these credentials. They take the place of any in the URL.
    pub fn credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = Some(credentials);
        self
    }

    /// Sends credentials over plain `http` too, to hosts other than this one. Whoever
    /// listens on the way can read them. Default: refused when building.
    pub fn allow_clear_text_credentials(mut self, allow: bool) -> Self {
        self.clear_text_credentials = allow;
        self
    }

    /// Keeps fetched objects below this folder, which many sources and processes may share;
    /// each repository has a folder of its own in it. Default: a temporary folder, removed
    /// with the source.
    ///
    /// Whoever builds a source on this folder can read any commit in it by its id, without
    /// the server being asked. Give each tenant a folder of its own.
    pub fn cache_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.cache_dir = Some(folder.into());
        self
    }

    /// Begins the cache of the repository anew when it has grown above this many bytes.
    /// Default: 4 GiB.
    pub fn cache_bytes(mut self, bytes: u64) -> Self {
        self.cache_bytes = bytes;
        self
    }

    /// How long [`changed`](Source::changed) waits without a trigger. Default: one minute.
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// Spreads the waits evenly between `1 - jitter` and `1 + jitter` intervals, so that a
    /// fleet does not ask in step. From 0 to less than 1. Default: 0.1.
    pub fn jitter(mut self, jitter: f64) -> Self {
        self.jitter = jitter;
        self
    }

    /// Makes the jitter repeatable. Default: different in every source.
    pub fn jitter_seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// How long a connection may take to stand. Default: 20 seconds.
    pub fn connect_timeout(mut self, limit: Duration) -> Self {
        self.timeouts.connect = limit;
        self
    }

    /// How long the server may send nothing. Default: 30 seconds.
    pub fn stall_timeout(mut self, limit: Duration) -> Self {
        self.timeouts.stall = limit;
        self
    }

    /// How long one `resolve` or one `fetch` may take as a whole. Default: 5 minutes.
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeouts.whole = limit;
        self
    }

    /// How many bytes one fetch may receive. Default: 1 GiB.
    pub fn max_pack_bytes(mut self, bytes: u64) -> Self {
        self.transfer.pack_bytes = bytes;
        self
    }

    /// How large one object may be, unpacked, anywhere in the commit. Default: 128 MiB;
    /// GitHub takes files of up to 100 MiB.
    pub fn max_object_bytes(mut self, bytes: u64) -> Self {
        self.transfer.object_bytes = bytes;
        self
    }

    /// How many bytes of refs a server may list. Default: 16 MiB.
    pub fn max_ref_bytes(mut self, bytes: u64) -> Self {
        self.transfer.refs_bytes = bytes;
        self
    }

    /// How much of a snapshot may be read.
    pub fn snapshot_limits(mut self, limits: SnapshotLimits) -> Self {
        self.snapshot = limits;
        self
    }

    /// The program to connect with, for `ssh` URLs. It is called as OpenSSH's `ssh` is, and
    /// not by a shell. Default: `ssh`, found on the `PATH`.
    ///
    /// Keys and known hosts are its own affair, by its configuration or by
    /// [`ssh_argument`](Self::ssh_argument). It is told not to ask questions
    /// (`BatchMode=yes`), so a host whose key it does not know is refused.
    pub fn ssh_program(mut self, program: impl Into<OsString>) -> Self {
        self.ssh.program = program.into();
        self
    }

    /// Adds an argument for the `ssh` program, before the host: `-i`, then a key file.
    pub fn ssh_argument(mut self, argument: impl Into<OsString>) -> Self {
        self.ssh.arguments.push(argument.into());
        self
    }

    /// Makes the source. Nothing is connected to yet.
    ///
    /// # Errors
    ///
    /// When the URL, the name, the path or another setting can't be used, or the cache
    /// folder can't be made.
    pub fn build(self) -> Result<GitSource, GitError> {
        let refuse = |setting, reason: &str| GitError::Setting {
            setting,
            reason: reason.to_owned(),
        };
        let url: RemoteUrl = self.url.expose().parse()?;
        let reference = self.reference.checked()?;
        let path = self
            .path
            .map_err(|error| refuse("path", &error.to_string()))?;
        if self.interval.is_zero() {
            return Err(refuse("interval", "must be more than nothing"));
        }
        if !(0.0..1.0).contains(&self.jitter) {
            return Err(refuse("jitter", "must be from 0 to less than 1"));
        }
        let Timeouts {
            connect,
            stall,
            whole,
        } = self.timeouts;
        if [connect, stall, whole].iter().any(Duration::is_zero) {
            return Err(refuse("timeout", "must be more than nothing"));
        }
        let credentials = self.credentials.or_else(|| {
            let (user, password) = url.user_info.clone()?;
            Some(Credentials::Basic { user, password })
        });
        let is_http = matches!(url.place, Place::Http(_));
        if credentials.is_some() && !is_http {
            return Err(refuse(
                "credentials",
                "are for http and https; ssh has its keys, and a local path needs none",
            ));
        }
        let secrets = credentials
            .iter()
            .flat_map(Credentials::secrets)
            .map(str::to_owned)
            .collect();
        let remote = match &url.place {
            Place::Http(http) => {
                if credentials.is_some()
                    && http.scheme() == "http"
                    && !self.clear_text_credentials
                    && !is_loopback(http)
                {
                    return Err(refuse(
                        "credentials",
                        "would be sent in clear text over http; use https",
                    ));
                }
                Some(Remote::http(
                    http.clone(),
                    credentials.as_ref(),
                    self.timeouts,
                )?)
            }
            Place::Ssh {
                user,
                host,
                port,
                path,
            } => Some(Remote::Ssh {
                command: self.ssh,
                place: SshPlace {
                    user: user.clone(),
                    host: host.clone(),
                    port: *port,
                    path: path.clone(),
                },
            }),
            Place::Local(_) => None,
        };
        let backend = match (remote, &url.place) {
            (None, Place::Local(path)) => Backend::Local(path.clone()),
            (None, _) => return Err(refuse("url", "leads nowhere")),
            (Some(remote), _) => Backend::Remote {
                remote,
                cache: Cache::new(
                    self.cache_dir.as_deref(),
                    &url.cache_key(),
                    self.cache_bytes,
                )?,
            },
        };
        Ok(GitSource {
            inner: Arc::new(Inner {
                url,
                reference,
                path,
                secrets,
                timeouts: self.timeouts,
                transfer: self.transfer,
                snapshot: self.snapshot,
                backend,
                schedule: Schedule::new(self.interval, self.jitter, self.seed),
                last: Mutex::default(),
            }),
        })
    }
}

fn is_loopback(url: &url::Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}
