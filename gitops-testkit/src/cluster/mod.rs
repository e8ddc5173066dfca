//! A Kubernetes API server within the process.
//!
//! [`FakeCluster`] stores, validates, defaults, merges, watches and pages like
//! kube-apiserver 1.36, verb by verb and message by message. It is no recorder of
//! expectations: a controller under test finds what it wrote, is told of conflicts, and
//! sees its watches end. Its judge is a suite of requests and answers recorded from a real
//! server (`tests/conformance` of this crate).
//!
//! It starts in well under a millisecond, needs no socket and no files, takes its time
//! from tokio's clock (so that a paused runtime pauses it), and gives the same ids for the
//! same seed. [`inject`](FakeCluster::inject) makes it misbehave,
//! [`requests`](FakeCluster::requests) says what was asked of it.
//!
//! ```
//! # #[cfg(feature = "client")] {
//! use gitops_testkit::cluster::FakeCluster;
//! use k8s_openapi::api::core::v1::ConfigMap;
//! use kube::api::{Api, PostParams};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let cluster = FakeCluster::new();
//! let maps: Api<ConfigMap> = Api::namespaced(cluster.client(), "default");
//! let map: ConfigMap = serde_json::from_value(serde_json::json!({
//!     "metadata": {"name": "settings"}, "data": {"mode": "fast"},
//! })).unwrap();
//! maps.create(&PostParams::default(), &map).await.unwrap();
//!
//! let found = maps.get("settings").await.unwrap();
//! assert_eq!(found.data.unwrap()["mode"], "fast");
//!
//! let log = cluster.requests();
//! assert_eq!(log.iter().map(|r| r.verb.as_str()).collect::<Vec<_>>(), ["create", "get"]);
//! assert_eq!((log[0].resource.as_str(), log[0].status), ("configmaps", 201));
//! # });
//! # }
//! ```
//!
//! Over HTTP, so that `kubectl` works against it: `FakeCluster::serve`, or the binary
//! `fake-cluster`.

mod allocator;
mod autoscaling;
mod call;
mod clock;
mod controllers;
mod convert;
mod custom;
mod custom_objects;
mod delete;
mod discovery;
mod fault;
mod kinds_of;
mod log;
mod negotiate;
mod objects;
mod openapi;
mod options;
mod ownership;
mod protobuf;
mod random;
mod rbac;
mod read;
mod registry;
mod request;
mod review;
mod selectors;
#[cfg(feature = "serve")]
mod serve;
mod server;
mod service;
mod state;
mod status;
mod store;
mod strategy;
mod subresource;
mod table;
mod token;
mod watch;
mod write;
mod yaml;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gitops_core::Clock;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use clock::ClusterClock;
pub use fault::{Fault, RequestInfo};
pub use log::{Mark, RecordedRequest};
#[cfg(feature = "serve")]
#[cfg_attr(docsrs, doc(cfg(feature = "serve")))]
pub use serve::ServerHandle;
pub use service::{ClusterBody, ClusterService, ConnectionLost};

use fault::Faults;
use log::RequestLog;
use rbac::User;
use server::{Tokens, administrator};
use state::State;
use store::{SavedStore, Store};

/// The token of the administrator unless the builder says otherwise.
const DEFAULT_TOKEN: &str = "fake-cluster-admin";

/// How many events of each resource are kept unless the builder says otherwise. The real
/// server keeps them for five minutes.
const DEFAULT_LOG_SIZE: usize = 10_000;

/// How many requests are remembered.
const REQUEST_LIMIT: usize = 100_000;

/// A Kubernetes API server within the process; see the [module](self).
///
/// Clones are the same cluster. When the last one is gone, so is the cluster.
#[derive(Clone)]
pub struct FakeCluster {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    locked: Mutex<Locked>,
    /// Tells watches that something was written.
    changed: tokio::sync::watch::Sender<u64>,
    tokens: Tokens,
    clock: Arc<dyn Clock>,
    seed: u64,
    controllers: bool,
}

pub(crate) struct Locked {
    pub(crate) state: State,
    log: RequestLog,
    faults: Faults,
    /// Counts up when all watches are broken.
    pub(crate) watch_epoch: u64,
}

impl Inner {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Locked> {
        self.locked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the watches.
    fn announce(&self, version: u64) {
        self.changed.send_replace(version);
    }
}

impl Default for FakeCluster {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for FakeCluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let locked = self.inner.lock();
        f.debug_struct("FakeCluster")
            .field("objects", &locked.state.store.len())
            .field("resource_version", &locked.state.store.resource_version())
            .finish_non_exhaustive()
    }
}

impl FakeCluster {
    /// An empty cluster: the namespaces, the service and the roles that every cluster
    /// has, and nothing else.
    ///
    /// Its time begins at 2026-01-01T00:00:00Z and goes on with tokio's clock.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// A cluster with other settings.
    pub fn builder() -> FakeClusterBuilder {
        FakeClusterBuilder::default()
    }

    /// The cluster as a tower service for clients within the process. Requests without a
    /// token come from an administrator.
    #[must_use]
    pub fn service(&self) -> ClusterService {
        ClusterService::in_process(self.inner.clone())
    }

    /// The cluster as a tower service for clients from outside: a request without a token
    /// comes from nobody (`system:anonymous`).
    #[must_use]
    pub fn outside_service(&self) -> ClusterService {
        ClusterService::outside(self.inner.clone())
    }

    /// A client, within the process, as administrator. Its namespace is `default`.
    ///
    /// It needs a tokio runtime around it, as every `kube::Client` does.
    #[cfg(feature = "client")]
    #[cfg_attr(docsrs, doc(cfg(feature = "client")))]
    #[must_use]
    pub fn client(&self) -> kube::Client {
        kube::Client::new(self.service(), "default")
    }

    /// A client as somebody else, to see what roles allow.
    #[cfg(feature = "client")]
    #[cfg_attr(docsrs, doc(cfg(feature = "client")))]
    #[must_use]
    pub fn client_as(&self, user: &str, groups: &[&str]) -> kube::Client {
        kube::Client::new(self.service().acting_as(User::new(user, groups)), "default")
    }

    /// The administrator's bearer token.
    #[must_use]
    pub fn token(&self) -> &str {
        self.inner
            .tokens
            .0
            .first()
            .map(|(token, _)| token.as_str())
            .unwrap_or_default()
    }

    /// A kubeconfig for the administrator of the cluster served at `server`, such as
    /// `http://127.0.0.1:6443`.
    #[must_use]
    pub fn kubeconfig(&self, server: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Config\nclusters:\n- name: fake\n  cluster:\n    server: {server}\nusers:\n- name: admin\n  user:\n    token: {}\ncontexts:\n- name: fake\n  context:\n    cluster: fake\n    user: admin\n    namespace: default\ncurrent-context: fake\n",
            self.token()
        )
    }

    /// The time, by the cluster's clock.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }

    /// The version of the last write.
    #[must_use]
    pub fn resource_version(&self) -> u64 {
        self.inner.lock().state.store.resource_version()
    }

    /// How many objects there are, bootstrap roles aside until they are first looked at.
    #[must_use]
    pub fn object_count(&self) -> usize {
        self.inner.lock().state.store.len()
    }

    /// The requests so far, in the order in which they arrived; the last 100,000.
    #[must_use]
    pub fn requests(&self) -> Vec<RecordedRequest> {
        self.requests_since(Mark(0))
    }

    /// The place in the request log after the last request.
    #[must_use]
    pub fn mark(&self) -> Mark {
        self.inner.lock().log.mark()
    }

    /// The requests after `mark`.
    #[must_use]
    pub fn requests_since(&self, mark: Mark) -> Vec<RecordedRequest> {
        self.inner.lock().log.since(mark)
    }

    /// The writes after `mark`, dry runs left out.
    #[must_use]
    pub fn writes_since(&self, mark: Mark) -> Vec<RecordedRequest> {
        let mut requests = self.requests_since(mark);
        requests.retain(RecordedRequest::is_write);
        requests
    }

    /// Asserts that nobody asked for a change after `mark`: the mark of a reconciler that
    /// has come to rest.
    ///
    /// # Panics
    ///
    /// If somebody did; the message lists the writes.
    #[track_caller]
    pub fn assert_no_writes_since(&self, mark: Mark) {
        let writes = self.writes_since(mark);
        assert!(
            writes.is_empty(),
            "expected no writes, found {}:{}",
            writes.len(),
            log::listed(&writes)
        );
    }

    /// Asserts that the writes after `mark` are these, in this order, each as `verb
    /// resource/name`, such as `patch deployments/web`.
    ///
    /// # Panics
    ///
    /// If they are others.
    #[track_caller]
    pub fn assert_writes_since(&self, mark: Mark, expected: &[&str]) {
        let writes = self.writes_since(mark);
        let found: Vec<String> = writes
            .iter()
            .map(|r| {
                format!(
                    "{} {}/{}",
                    r.verb,
                    r.resource,
                    r.name.as_deref().unwrap_or("*")
                )
            })
            .collect();
        assert_eq!(
            found,
            expected,
            "other writes than expected:{}",
            log::listed(&writes)
        );
    }

    /// Asserts that nobody read Secrets after `mark`.
    ///
    /// # Panics
    ///
    /// If somebody did.
    #[track_caller]
    pub fn assert_no_secret_reads_since(&self, mark: Mark) {
        let mut reads = self.requests_since(mark);
        reads.retain(|r| r.reads("", "secrets"));
        assert!(
            reads.is_empty(),
            "expected no reads of Secrets, found {}:{}",
            reads.len(),
            log::listed(&reads)
        );
    }

    /// Asserts that at most `limit` requests came after `mark`.
    ///
    /// # Panics
    ///
    /// If there were more.
    #[track_caller]
    pub fn assert_at_most_since(&self, mark: Mark, limit: usize) {
        let requests = self.requests_since(mark);
        assert!(
            requests.len() <= limit,
            "expected at most {limit} requests, found {}:{}",
            requests.len(),
            log::listed(&requests)
        );
    }

    /// Adds a fault.
    pub fn inject(&self, fault: Fault) {
        self.inner.lock().faults.add(fault);
    }

    /// Takes back all faults that have not struck yet.
    pub fn clear_faults(&self) {
        self.inner.lock().faults.clear();
    }

    /// Ends all watches, as a server does that goes away.
    pub fn break_watches(&self) {
        let version = {
            let mut locked = self.inner.lock();
            locked.watch_epoch += 1;
            locked.state.store.resource_version()
        };
        self.inner.announce(version);
    }

    /// Forgets the history of events: who watches from an older version is told 410.
    pub fn compact(&self) {
        let version = {
            let mut locked = self.inner.lock();
            locked.state.store.compact();
            locked.state.store.resource_version()
        };
        self.inner.announce(version);
    }

    /// The whole cluster as a value that serialises; [`restore`](Self::restore) brings it
    /// back with the same versions and ids. The history of events is left out, so that
    /// watches have to begin anew.
    #[must_use]
    pub fn save(&self) -> SavedCluster {
        let mut locked = self.inner.lock();
        locked.state.ensure_roles();
        SavedCluster {
            format: 1,
            seed: self.inner.seed,
            random: locked.state.random.state(),
            time: self.inner.clock.now(),
            store: locked.state.store.save(),
        }
    }

    /// A cluster as it was saved.
    #[must_use]
    pub fn restore(saved: &SavedCluster) -> Self {
        Self::builder().restore(saved).build()
    }
}

/// A cluster that was saved.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SavedCluster {
    format: u32,
    seed: u64,
    random: u64,
    time: Timestamp,
    store: SavedStore,
}

/// Settings of a [`FakeCluster`].
#[derive(Default)]
#[must_use]
pub struct FakeClusterBuilder {
    seed: u64,
    start: Option<Timestamp>,
    clock: Option<Arc<dyn Clock>>,
    log_size: Option<usize>,
    token: Option<String>,
    users: Vec<(String, User)>,
    restored: Option<(u64, u64, Store)>,
    controllers: bool,
}

impl std::fmt::Debug for FakeClusterBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FakeClusterBuilder")
            .field("seed", &self.seed)
            .field("start", &self.start)
            .field("log_size", &self.log_size)
            .field("users", &self.users.len())
            .finish_non_exhaustive()
    }
}

impl FakeClusterBuilder {
    /// What ids and generated names come from; zero unless it is set.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// When the cluster's time begins. From then on it goes with tokio's clock.
    pub fn start_time(mut self, start: Timestamp) -> Self {
        self.start = Some(start);
        self
    }

    /// Another clock altogether. Time-outs and delays still go by tokio's.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// How many events of each resource are kept for watches and for lists at an older
    /// version; 10,000 unless it is set.
    pub fn log_size(mut self, events: usize) -> Self {
        self.log_size = Some(events);
        self
    }

    /// The administrator's bearer token.
    pub fn token(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self
    }

    /// Another user with a token; `system:authenticated` is one of its groups by itself.
    pub fn user(mut self, token: &str, name: &str, groups: &[&str]) -> Self {
        self.users.push((token.to_owned(), User::new(name, groups)));
        self
    }

    /// Whether the cluster's own controllers run: namespaces finish deleting, dependents
    /// of what is gone are collected, and Deployments roll out.
    pub fn controllers(mut self, on: bool) -> Self {
        self.controllers = on;
        self
    }

    /// Begins with a cluster that was saved, seed included. Its time goes on from when it was
    /// saved unless [`start_time`](Self::start_time) says otherwise.
    pub fn restore(mut self, saved: &SavedCluster) -> Self {
        self.start.get_or_insert(saved.time);
        let store = Store::restore(&saved.store, self.log_size.unwrap_or(DEFAULT_LOG_SIZE));
        self.restored = Some((saved.seed, saved.random, store));
        self
    }

    /// The cluster.
    #[must_use]
    pub fn build(self) -> FakeCluster {
        let clock = self.clock.unwrap_or_else(|| {
            // 2026-01-01T00:00:00Z
            let start = self.start.unwrap_or(Timestamp::constant(1_767_225_600, 0));
            Arc::new(ClusterClock::starting_at(start))
        });
        let log_size = self.log_size.unwrap_or(DEFAULT_LOG_SIZE);
        let (seed, state) = match self.restored {
            Some((seed, random, store)) => {
                (seed, State::restored(seed, random, clock.clone(), store))
            }
            None => (self.seed, State::new(self.seed, clock.clone(), log_size)),
        };
        let token = self.token.unwrap_or_else(|| DEFAULT_TOKEN.to_owned());
        let mut state = state;
        if self.controllers {
            controllers::run(&mut state);
        }
        let mut tokens = vec![(token, administrator())];
        tokens.extend(self.users);
        let version = state.store.resource_version();
        FakeCluster {
            inner: Arc::new(Inner {
                locked: Mutex::new(Locked {
                    state,
                    log: RequestLog::new(REQUEST_LIMIT),
                    faults: Faults::default(),
                    watch_epoch: 0,
                }),
                changed: tokio::sync::watch::Sender::new(version),
                tokens: Tokens(tokens),
                clock,
                seed,
                controllers: self.controllers,
            }),
        }
    }
}
