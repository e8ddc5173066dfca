//! Settings of a source.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use gitops_core::{Clock, PathError, Redacted, RelPath, SnapshotLimits, SystemClock};

use crate::cache::{Cache, CachePlace};
use crate::credentials::{CredentialProvider, Credentials};
use crate::error::GitError;
use crate::filter::Filter;
use crate::http::{HttpOptions, HttpRemote};
use crate::operation::Timeouts;
use crate::reference::Reference;
use crate::remote::{Content, Remote, TransferLimits};
use crate::remote_url::{Place, RemoteUrl};
use crate::source::{Backend, GitSource, Inner, RemoteBackend};
use crate::ssh::{SshCommand, SshPlace};
use crate::tags::{SemverRange, TagPattern};
use crate::trigger::Schedule;
use crate::trust::{AcceptedStore, Guard, MemoryAccepted, Trust};

/// Settings of a [`GitSource`]; see [`GitSource::builder`].
#[must_use = "a source is made by `build`"]
#[derive(Clone)]
pub struct GitSourceBuilder {
    /// Kept as text until `build`; may hold a password, so it does not print.
    url: gitops_core::Redacted<String>,
    reference: Reference,
    path: Result<RelPath, PathError>,
    credentials: Option<Credentials>,
    provider: Option<Arc<dyn CredentialProvider>>,
    http: HttpOptions,
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
    include: Vec<String>,
    exclude: Vec<String>,
    source_ignore: bool,
    lfs_pointers: bool,
    trust: Option<Trust>,
    accepted: Arc<dyn AcceptedStore>,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for GitSourceBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GitSourceBuilder")
            .field("url", &self.url)
            .field("reference", &self.reference)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl GitSourceBuilder {
    pub(crate) fn new(url: String) -> Self {
        Self {
            url: url.into(),
            reference: Reference::Head,
            path: Ok(RelPath::root()),
            credentials: None,
            provider: None,
            http: HttpOptions::default(),
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
            include: Vec::new(),
            exclude: Vec::new(),
            source_ignore: true,
            lfs_pointers: false,
            trust: None,
            accepted: Arc::new(MemoryAccepted::default()),
            clock: Arc::new(SystemClock),
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

    /// Follows the tag with the highest version in a range. To be read as text, a range is
    /// parsed: `">=1.2.0 <2.0.0".parse()?`.
    pub fn semver(self, range: SemverRange) -> Self {
        self.follow(Reference::Semver(range))
    }

    /// Follows the newest tag whose name is like a pattern.
    pub fn newest_tag(self, pattern: TagPattern) -> Self {
        self.follow(Reference::NewestTag(pattern))
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

    /// Shows only files that are like one of these patterns, or lie below a directory that is.
    /// They are written as lines of a `.gitignore`, seen from the repository's root:
    /// `/clusters/prod/`, `*.yaml`. So several directories become one snapshot. Default: all.
    pub fn include<S: Into<String>>(mut self, patterns: impl IntoIterator<Item = S>) -> Self {
        self.include.extend(patterns.into_iter().map(Into::into));
        self
    }

    /// Leaves out what is like one of these patterns, as lines of a `.gitignore`, seen from the
    /// repository's root; the last one that fits decides, and `!` before it keeps. They go
    /// before what `.sourceignore` files say. A pattern has at most 512 bytes and 8 stars.
    pub fn exclude<S: Into<String>>(mut self, patterns: impl IntoIterator<Item = S>) -> Self {
        self.exclude.extend(patterns.into_iter().map(Into::into));
        self
    }

    /// Leaves out what the repository lists in `.sourceignore` files, each for its directory
    /// and below, as Flux does. Default: they are honoured.
    ///
    /// One at the repository's root, or in the directory of [`path`](Self::path) or above it, is
    /// what they are found by; where there is none, none is looked for further down, since that
    /// would take a look into every directory of every revision.
    ///
    /// Whoever can change such a file can have files left out, and so pruned.
    pub fn honour_source_ignore(mut self, honour: bool) -> Self {
        self.source_ignore = honour;
        self
    }

    /// Gives Git LFS pointers out as they are. Default: to read one is an error, since a
    /// renderer would take three lines about a file for the file.
    pub fn allow_lfs_pointers(mut self, allow: bool) -> Self {
        self.lfs_pointers = allow;
        self
    }

    /// Sends these credentials. They take the place of any in the URL.
    pub fn credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = Some(credentials);
        self
    }

    /// Asks for credentials as they are needed; see [`CredentialProvider`]. They go before those
    /// in the URL and those of [`credentials`](Self::credentials).
    pub fn credential_provider(mut self, provider: impl CredentialProvider + 'static) -> Self {
        self.provider = Some(Arc::new(provider));
        self
    }

    /// Believes servers that one of these authorities vouches for, and no others: PEM, one
    /// certificate or more. Default: the authorities of the machine.
    pub fn certificate_authorities(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.http.authorities = Some(pem.into());
        self
    }

    /// Shows the server this certificate: PEM, the certificate, those of its issuers if need be,
    /// and its private key.
    pub fn client_certificate(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.http.identity = Some(Redacted::new(pem.into()));
        self
    }

    /// Connects through this HTTP proxy, for `http` and `https`; user and password may be in its
    /// URL. Default: none, whatever the environment says.
    pub fn proxy(mut self, url: impl Into<String>) -> Self {
        self.http.proxy = Some(Redacted::new(url.into()));
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

    /// How long [`changed`](gitops_core::Source::changed) waits without a trigger. Default: one minute.
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

    /// Believes only what is signed as this says. Default: whoever can push is believed.
    pub fn trust(mut self, trust: Trust) -> Self {
        self.trust = Some(trust);
        self
    }

    /// Keeps what was accepted last here, for [`Trust`] that compares with it. Default: in
    /// memory, so that a restarted process has nothing to compare with.
    pub fn accepted_store(mut self, store: impl AcceptedStore + 'static) -> Self {
        self.accepted = Arc::new(store);
        self
    }

    /// What tells the time to [`Trust`]. Default: the clock of the machine.
    pub fn clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Arc::new(clock);
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
        let filter = Filter::new(&self.include, &self.exclude, self.source_ignore)?;
        let guard = match self.trust {
            Some(trust) => {
                if trust.mode().wants_tag() && !reference.may_be_tag() {
                    return Err(GitError::Setting {
                        setting: "trust",
                        reason: format!(
                            "asks for a signed tag, and what is followed is {reference}"
                        ),
                    });
                }
                Some(Guard::new(trust, self.accepted, self.clock)?)
            }
            None => None,
        };
        let credentials = self.credentials.or_else(|| {
            let (user, password) = url.user_info.clone()?;
            Some(Credentials::Basic { user, password })
        });
        let HttpOptions {
            authorities,
            identity,
            proxy,
        } = &self.http;
        let of_http = authorities.is_some() || identity.is_some() || proxy.is_some();
        if of_http && !url.is_http() {
            return Err(refuse(
                "proxy or certificate",
                "are for http and https; ssh has its own configuration",
            ));
        }
        let has_credentials = credentials.is_some() || self.provider.is_some();
        if has_credentials && !url.is_http() {
            return Err(refuse(
                "credentials",
                "are for http and https; ssh has its keys, and a local path needs none",
            ));
        }
        let secrets = credentials
            .iter()
            .flat_map(Credentials::secrets)
            .map(str::to_owned)
            .chain(proxy.iter().filter_map(|proxy| {
                let url: url::Url = proxy.expose().parse().ok()?;
                url.password().map(str::to_owned)
            }))
            .collect();
        let remote = match &url.place {
            Place::Http(http) => {
                if has_credentials
                    && http.scheme() == "http"
                    && !self.clear_text_credentials
                    && !is_loopback(http)
                {
                    return Err(refuse(
                        "credentials",
                        "would be sent in clear text over http; use https",
                    ));
                }
                // One that can't be sent is refused now rather than at the first request.
                if let Some(credentials) = &credentials {
                    crate::http::authorization(credentials)?;
                }
                let renews = self.provider.is_some();
                let provider = self.provider.or_else(|| {
                    credentials.map(|found| Arc::new(found) as Arc<dyn CredentialProvider>)
                });
                Some(Remote::Http(Arc::new(HttpRemote::new(
                    url.clone(),
                    http.clone(),
                    provider,
                    renews,
                    &self.http,
                    self.timeouts,
                )?)))
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
            (Some(remote), _) => {
                let place = |content| CachePlace {
                    parent: self.cache_dir.clone(),
                    key: url.cache_key(),
                    content,
                    max_bytes: self.cache_bytes,
                };
                let trees = guard
                    .as_ref()
                    .is_some_and(|guard| guard.trust().wants_trees());
                Backend::Remote(Box::new(RemoteBackend {
                    remote,
                    cache: Cache::new(&place(Content::Files))?,
                    history_at: place(Content::History { trees }),
                    history: OnceLock::new(),
                }))
            }
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
                filter,
                filtered: Arc::default(),
                lfs_pointers: self.lfs_pointers,
                guard,
                schedule: Schedule::new(self.interval, self.jitter, self.seed),
                last: Mutex::default(),
            }),
        })
    }
}

pub(crate) fn is_loopback(url: &url::Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}
