//! Hearing of what happens to our objects.
//!
//! One watch per kind, of metadata only, of the objects that carry our mark; one per
//! namespace where the whole cluster is not ours to watch. Of each object only its name and
//! uid are kept.
//!
//! What ends a watch, and what follows:
//!
//! | what | what follows |
//! |---|---|
//! | its time is up, or the connection is closed | it is resumed where it ended; nobody is told |
//! | the connection breaks | the same, at once; if that fails, `Interrupted`, and again and again, with longer and longer pauses |
//! | the server has forgotten the version (410) | the objects are listed again, and those that vanished are looked up |
//! | the kind is not known any more | its objects are gone; it is watched again once it is back |
//!
//! After an `Interrupted`, `Ready` comes when the server has said that nothing is left to be
//! told: with a list, a bookmark, or the end of a watch whose time was up.
//!
//! An object whose label was taken away leaves the selection, and the server tells that just
//! as it tells a deletion. So each deletion that we did not make ourselves is checked by
//! reading the object: it is told as seen if it still exists. From then on, until it has
//! its label back, nothing more is heard of it; as the label is a field of ours, losing it is
//! drift, and healing that brings it back.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hasher as _};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::{BoxFuture, join_all};
use futures::stream::{BoxStream, FuturesUnordered};
use futures::{FutureExt as _, Stream, StreamExt as _};
use gitops_core::{
    Depth, GroupKind, GroupVersionKind, LiveEvent, LiveObject, ObjectId, Wanted, retry_delay,
};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::applier::Inner;
use crate::discovery::{Discovery, Lookup, Resource};
use crate::failure::{in_one_line, told};
use crate::live::{OnlyMetadata, text};
use crate::observe::{CONCURRENT, get, page, selector};
use crate::transport::{ACCEPT_METADATA, Call, Failure, Refusal, Status, encoded};

/// The server ends a watch after this time, plus up to a fifth that differs from watch to
/// watch. client-go asks for five to ten minutes.
const WATCH_FOR: Duration = Duration::from_secs(300);

/// A connection on which nothing came for so long is given up: the server sends a bookmark
/// about every minute.
const SILENCE: Duration = Duration::from_secs(150);

/// A watch that held so long was a working one.
const HEALTHY: Duration = Duration::from_secs(1);

/// No pause is longer, whatever the server asks for.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// So many events wait at most for whoever listens; then the server has to.
const AHEAD: usize = 64;

/// Tells what happens to the objects. The work is done by whoever polls the stream.
pub(crate) fn watch(inner: Arc<Inner>, expected: Vec<Wanted>) -> BoxStream<'static, LiveEvent> {
    let (tell, told) = mpsc::channel(AHEAD);
    let pulse = Arc::new(Pulse {
        behind: AtomicUsize::new(0),
        tell,
    });
    let mut kinds: BTreeMap<GroupKind, (String, BTreeSet<ObjectId>)> = BTreeMap::new();
    for want in expected {
        let (_, ids) = kinds
            .entry(want.id.group_kind())
            .or_insert_with(|| (want.version, BTreeSet::new()));
        ids.insert(want.id);
    }
    let watches: Vec<_> = kinds
        .into_iter()
        .map(|(GroupKind { group, kind }, (version, expected))| Watched {
            // Counted before the first of them begins.
            health: Health::new(
                pulse.clone(),
                (inner.viewer.reconciler.as_str(), &group, &kind),
            ),
            inner: inner.clone(),
            kind: GroupVersionKind {
                group,
                version,
                kind,
            },
            expected,
        })
        .collect();
    let driver = async move {
        if watches.is_empty() {
            pulse.tell(LiveEvent::Ready).await;
        }
        join_all(watches.into_iter().map(|watched| watched.run().boxed())).await;
        // With nothing to watch, nothing happens.
        std::future::pending::<()>().await;
    };
    Driven {
        driver: driver.boxed(),
        told,
    }
    .boxed()
}

/// A stream whose events come from a future that is polled along with it.
struct Driven {
    driver: BoxFuture<'static, ()>,
    told: mpsc::Receiver<LiveEvent>,
}

impl Stream for Driven {
    type Item = LiveEvent;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<LiveEvent>> {
        if let Poll::Ready(event) = self.told.poll_recv(context) {
            return Poll::Ready(event);
        }
        // The driver never completes; it only fills the channel.
        let _ = self.driver.poll_unpin(context);
        self.told.poll_recv(context)
    }
}

/// What all watches of one stream share.
struct Pulse {
    /// How many watches have not told everything yet.
    behind: AtomicUsize,
    tell: mpsc::Sender<LiveEvent>,
}

impl Pulse {
    async fn tell(&self, event: LiveEvent) {
        // It fails if nobody listens; then the stream was dropped, and this future with it.
        let _ = self.tell.send(event).await;
    }
}

/// Whether one watch is up to date, and how often it failed in a row.
struct Health {
    pulse: Arc<Pulse>,
    up_to_date: bool,
    interrupted: bool,
    failures: u32,
    seed: u64,
}

impl Health {
    fn new(pulse: Arc<Pulse>, seed: impl std::hash::Hash) -> Self {
        pulse.behind.fetch_add(1, Ordering::Relaxed);
        Self {
            pulse,
            up_to_date: false,
            interrupted: false,
            failures: 0,
            seed: hash(seed),
        }
    }

    async fn tell(&self, event: LiveEvent) {
        self.pulse.tell(event).await;
    }

    /// Everything until now has been told.
    async fn caught_up(&mut self) {
        self.interrupted = false;
        if !self.up_to_date {
            self.up_to_date = true;
            if self.pulse.behind.fetch_sub(1, Ordering::Relaxed) == 1 {
                self.tell(LiveEvent::Ready).await;
            }
        }
    }

    /// Something failed: waits until it is time to try again. The first failure of a watch
    /// that worked is neither told nor waited for.
    async fn failed(&mut self, reason: String, retry_after: Option<Duration>) {
        self.failures = self.failures.saturating_add(1);
        if self.up_to_date && self.failures == 1 && retry_after.is_none() {
            tracing::debug!(reason, "a watch is resumed");
            return;
        }
        if self.up_to_date {
            self.up_to_date = false;
            self.pulse.behind.fetch_add(1, Ordering::Relaxed);
        }
        if !self.interrupted {
            self.interrupted = true;
            self.tell(LiveEvent::Interrupted { reason }).await;
        }
        self.pause(retry_after).await;
    }

    /// Waits, longer with each failure.
    async fn pause(&self, at_least: Option<Duration>) {
        tokio::time::sleep(self.next_pause(at_least)).await;
    }

    /// Waits until there may be new kinds, or for longer each time.
    async fn pause_for_kind(&mut self, discovery: &Discovery) {
        self.failures = self.failures.saturating_add(1);
        // Both ends of the wait are reasons to look again.
        let _ = tokio::time::timeout(self.next_pause(None), discovery.changed()).await;
    }

    fn next_pause(&self, at_least: Option<Duration>) -> Duration {
        let pause = retry_delay(self.failures.saturating_sub(2))
            .max(at_least.unwrap_or_default())
            .min(LONGEST_PAUSE);
        // Up to a quarter more, other for each watch and each time but the same in each run:
        // so that after an outage not all come back at once.
        let share = u32::try_from(hash((self.seed, self.failures)) % 1000).unwrap_or_default();
        pause + pause / 4 * share / 1000
    }
}

impl Drop for Health {
    fn drop(&mut self) {
        // Whoever takes over counts by itself.
        if !self.up_to_date {
            self.pulse.behind.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

fn hash(value: impl std::hash::Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// The objects of one kind, before it is known where they can be watched.
struct Watched {
    inner: Arc<Inner>,
    kind: GroupVersionKind,
    expected: BTreeSet<ObjectId>,
    health: Health,
}

impl Watched {
    async fn run(mut self) {
        let namespaced = self.is_namespaced().await;
        if namespaced && !self.inner.namespaces.is_empty() {
            let namespaces: Vec<_> = self.inner.namespaces.iter().cloned().collect();
            let watches = self.in_namespaces(namespaces);
            let watches = watches
                .into_iter()
                .map(|watch| watch.run_for_ever().boxed());
            futures::join!(self.look_outside(), join_all(watches));
            return;
        }
        let mut watch = self.watch(None, namespaced);
        // The new watch counts by now.
        self.health.caught_up().await;
        let NotAllowed(reason) = watch.run().await;
        tracing::info!(
            reason,
            "the cluster can't be watched, but its namespaces may be"
        );
        self.where_expected(watch).await;
    }

    /// Watches in the namespaces in which something is expected, and from then on in those
    /// in which something is applied.
    async fn where_expected(&self, instead_of: Watch) {
        let kind = self.kind.group_kind();
        let mut watched = BTreeSet::new();
        let mut watches = FuturesUnordered::new();
        let mut namespaces: BTreeSet<_> = self
            .expected
            .iter()
            .map(|id| self.inner.namespace_of(id).to_owned())
            .collect();
        let mut instead_of = Some(instead_of);
        loop {
            // Before it is asked for, so that none is missed.
            let mut moved_in = pin!(self.inner.moved_in.notified());
            moved_in.as_mut().enable();
            namespaces.extend(self.inner.namespaces_with(&kind));
            for namespace in std::mem::take(&mut namespaces) {
                if watched.insert(namespace.clone()) {
                    watches.push(self.watch(Some(namespace), true).run_for_ever().boxed());
                }
            }
            // The others count by now.
            drop(instead_of.take());
            futures::future::select(moved_in, watches.next()).await;
        }
    }

    /// Whether the kind's objects live in namespaces, as soon as that is known.
    async fn is_namespaced(&mut self) -> bool {
        let mut untold = self.expected.clone();
        loop {
            let lookup = self
                .inner
                .discovery
                .lookup_any(&self.inner.transport, &self.kind);
            match lookup.await {
                Lookup::Found(resource) => return resource.namespaced,
                Lookup::Unknown => {
                    // No kind, no objects.
                    for id in std::mem::take(&mut untold) {
                        self.health.tell(LiveEvent::Gone { id, uid: None }).await;
                    }
                    self.health.caught_up().await;
                    self.health.pause_for_kind(&self.inner.discovery).await;
                }
                Lookup::Unavailable(reason) => {
                    let reason = format!("discovery of {}: {reason}", self.kind);
                    self.health.failed(reason, None).await;
                }
            }
        }
    }

    fn in_namespaces(&self, namespaces: impl IntoIterator<Item = String>) -> Vec<Watch> {
        namespaces
            .into_iter()
            .map(|namespace| self.watch(Some(namespace), true))
            .collect()
    }

    fn watch(&self, scope: Option<String>, namespaced: bool) -> Watch {
        let expected = self
            .expected
            .iter()
            .map(|id| {
                let namespace = namespaced.then(|| self.inner.namespace_of(id).into());
                (namespace, id.name.as_str().into())
            })
            .filter(|(namespace, _): &Name| {
                scope.is_none() || namespace.as_deref() == scope.as_deref()
            })
            .collect();
        Watch {
            health: Health::new(self.health.pulse.clone(), (self.health.seed, &scope)),
            inner: self.inner.clone(),
            kind: self.kind.clone(),
            namespaced,
            scope,
            expected,
            known: BTreeMap::new(),
            position: None,
            listed: false,
        }
    }

    /// What is expected in namespaces that are not watched is looked at once.
    async fn look_outside(&mut self) {
        let inner = self.inner.clone();
        let outside: Vec<_> = self
            .expected
            .iter()
            .filter(|id| !inner.namespaces.contains(inner.namespace_of(id)))
            .cloned()
            .collect();
        for id in outside {
            let event = loop {
                match get(&inner, &id, &self.kind.version, Depth::Metadata).await {
                    Ok(Some(live)) => break LiveEvent::Seen(live),
                    Ok(None) => break LiveEvent::Gone { id, uid: None },
                    Err(error) => {
                        let wait = error.retry_after();
                        self.health.failed(error.to_string(), wait).await;
                    }
                }
            };
            self.health.tell(event).await;
        }
        self.health.caught_up().await;
    }
}

/// The namespace, for a kind that has them, and the name.
type Name = (Option<Box<str>>, Box<str>);

/// The watch of one kind, in the whole cluster or in one namespace.
struct Watch {
    inner: Arc<Inner>,
    kind: GroupVersionKind,
    namespaced: bool,
    /// The namespace; none for the whole cluster.
    scope: Option<String>,
    health: Health,
    /// Objects of which nothing was told yet.
    expected: BTreeSet<Name>,
    /// The objects that are there, with their uids.
    known: BTreeMap<Name, Box<str>>,
    /// The version from which to go on; none if there has to be a list first.
    position: Option<String>,
    /// Everything was listed, and nobody has been told yet that all is told.
    listed: bool,
}

/// The server doesn't let us see these objects.
struct NotAllowed(String);

/// Why a list or a watch came to its end.
enum Stop {
    /// Its time was up: there was nothing more to tell.
    TimeIsUp,
    /// Something else. With `relist` it can't go on where it was.
    Broken {
        reason: String,
        retry_after: Option<Duration>,
        relist: bool,
    },
    /// It is forbidden.
    NotAllowed(String),
}

impl Stop {
    fn relist(reason: impl Into<String>) -> Self {
        Self::Broken {
            reason: reason.into(),
            retry_after: None,
            relist: true,
        }
    }
}

/// One line of a watch.
#[derive(Deserialize)]
struct Line<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(borrow)]
    object: &'a RawValue,
}

impl Watch {
    /// Lists and watches. Where that isn't allowed, it may be one day.
    async fn run_for_ever(mut self) {
        loop {
            let NotAllowed(reason) = self.run().await;
            self.health.failed(reason, None).await;
        }
    }

    /// Lists and watches until the server says that this is not allowed.
    async fn run(&mut self) -> NotAllowed {
        loop {
            let stop = match self.position.clone() {
                None => self.list().await,
                Some(position) => self.follow(&position).await,
            };
            match stop {
                Ok(()) => {}
                Err(Stop::TimeIsUp) => self.health.caught_up().await,
                Err(Stop::Broken {
                    reason,
                    retry_after,
                    relist,
                }) => {
                    if relist {
                        self.position = None;
                    }
                    let reason = format!("{}: {reason}", self.kind);
                    self.health.failed(reason, retry_after).await;
                }
                Err(Stop::NotAllowed(reason)) => {
                    self.position = None;
                    let reason = format!("{}: {reason}", self.kind);
                    // Nothing was ever seen here, so there may be a narrower place to look.
                    if self.known.is_empty() {
                        return NotAllowed(reason);
                    }
                    self.health.failed(reason, None).await;
                }
            }
        }
    }

    async fn stop(&self, resource: &Resource, failure: Failure) -> Stop {
        let reason = in_one_line(&failure);
        let Some(refusal) = failure.refusal() else {
            return Stop::Broken {
                reason,
                retry_after: None,
                relist: false,
            };
        };
        if refusal.is_unknown_path() {
            self.inner
                .discovery
                .forget(&self.kind, &resource.version)
                .await;
        }
        match refusal.code {
            403 if self.scope.is_none() && self.namespaced => Stop::NotAllowed(reason),
            code => Stop::Broken {
                reason,
                retry_after: refusal.retry_after,
                relist: (400..500).contains(&code) && !matches!(code, 401 | 429),
            },
        }
    }

    /// Where the objects are. Without a kind there are none.
    async fn resource(&mut self) -> Result<Resource, Stop> {
        let lookup = self
            .inner
            .discovery
            .lookup_any(&self.inner.transport, &self.kind);
        match lookup.await {
            Lookup::Found(resource) => Ok(resource),
            Lookup::Unavailable(reason) => Err(Stop::relist(format!("discovery: {reason}"))),
            Lookup::Unknown => {
                let mut gone: BTreeMap<Name, Option<Box<str>>> = std::mem::take(&mut self.expected)
                    .into_iter()
                    .map(|name| (name, None))
                    .collect();
                let known = std::mem::take(&mut self.known);
                gone.extend(known.into_iter().map(|(name, uid)| (name, Some(uid))));
                for (name, uid) in gone {
                    self.gone(name, uid).await;
                }
                self.health.caught_up().await;
                self.health.pause_for_kind(&self.inner.discovery).await;
                Err(Stop::TimeIsUp)
            }
        }
    }

    async fn list(&mut self) -> Result<(), Stop> {
        let resource = self.resource().await?;
        let mut listed = BTreeSet::new();
        let mut next = String::new();
        let version = loop {
            let page = page(&self.inner, &resource, self.scope.as_deref(), true, &next).await;
            let page = match page {
                Ok(page) => page,
                Err(failure) => {
                    let stop = self.stop(&resource, failure).await;
                    return Err(match stop {
                        // Half a list is no position to go on from.
                        Stop::Broken {
                            reason,
                            retry_after,
                            ..
                        } => Stop::Broken {
                            reason,
                            retry_after,
                            relist: true,
                        },
                        stop => stop,
                    });
                }
            };
            for metadata in page.items {
                listed.insert(self.seen(&resource, metadata).await);
            }
            if page.next.is_empty() {
                break page.resource_version;
            }
            next = page.next;
        };
        let vanished: BTreeSet<Name> = self
            .known
            .keys()
            .chain(&self.expected)
            .filter(|name| !listed.contains(*name))
            .cloned()
            .collect();
        self.look_up(vanished).await?;
        self.position = Some(version);
        self.listed = true;
        Ok(())
    }

    /// Reads objects that are not in the selection (any more), to tell those that are gone
    /// from those that lost their label.
    async fn look_up(&mut self, names: BTreeSet<Name>) -> Result<(), Stop> {
        let inner = self.inner.clone();
        let reads = names.into_iter().map(|name| {
            let (inner, id) = (inner.clone(), self.id(&name));
            let version = self.kind.version.clone();
            async move { (name, get(&inner, &id, &version, Depth::Metadata).await) }
        });
        let reads: Vec<_> = reads.collect();
        let mut reads = futures::stream::iter(reads).buffer_unordered(CONCURRENT);
        let mut stop = Ok(());
        while let Some((name, live)) = reads.next().await {
            match live {
                Ok(Some(live)) => self.known_by_read(name, live).await,
                Ok(None) => {
                    let uid = self.known.remove(&name);
                    self.gone(name, uid).await;
                }
                Err(error) => {
                    stop = Err(Stop::Broken {
                        reason: error.to_string(),
                        retry_after: error.retry_after(),
                        relist: true,
                    });
                }
            }
        }
        stop
    }

    async fn known_by_read(&mut self, name: Name, live: LiveObject) {
        self.expected.remove(&name);
        let before = self.known.insert(name.clone(), live.uid.as_str().into());
        if let Some(before) = before
            && *before != *live.uid
        {
            self.gone(name, Some(before)).await;
        }
        self.health.tell(LiveEvent::Seen(live)).await;
    }

    async fn follow(&mut self, position: &str) -> Result<(), Stop> {
        let resource = self.resource().await?;
        let seconds = WATCH_FOR.as_secs();
        let call = Call::get(
            format!(
                "{}?watch=true&allowWatchBookmarks=true&resourceVersion={}&timeoutSeconds={}{}",
                resource.collection(self.scope.as_deref()),
                encoded(position),
                seconds + self.health.seed % (seconds / 5),
                selector(&self.inner)
            ),
            ACCEPT_METADATA,
        );
        let mut lines = match self.inner.transport.lines(call).await {
            Ok(lines) => lines,
            Err(failure) => return Err(self.stop(&resource, failure).await),
        };
        // Only now that the watch stands does nothing happen without its telling.
        if std::mem::take(&mut self.listed) {
            self.health.caught_up().await;
        }
        let begun = Instant::now();
        let stop = loop {
            match tokio::time::timeout(SILENCE, lines.next()).await {
                Ok(Ok(Some(line))) => match self.event(&resource, &line).await {
                    Ok(()) => self.health.failures = 0,
                    Err(stop) => break stop,
                },
                Ok(Ok(None)) if begun.elapsed() < HEALTHY => {
                    break Stop::Broken {
                        reason: "the watch was closed as soon as it was opened".into(),
                        retry_after: None,
                        relist: false,
                    };
                }
                Ok(Ok(None)) => break Stop::TimeIsUp,
                Ok(Err(failure)) => break self.stop(&resource, failure).await,
                Err(_) => {
                    break Stop::Broken {
                        reason: format!("the server was silent for {} s", SILENCE.as_secs()),
                        retry_after: None,
                        relist: false,
                    };
                }
            }
        };
        if begun.elapsed() >= HEALTHY {
            self.health.failures = 0;
        }
        Err(stop)
    }

    async fn event(&mut self, resource: &Resource, line: &[u8]) -> Result<(), Stop> {
        let unreadable = |_| Stop::relist("a watch event can't be read");
        let line: Line<'_> = serde_json::from_slice(line).map_err(unreadable)?;
        if line.kind == "ERROR" {
            let status: Status = serde_json::from_str(line.object.get()).map_err(unreadable)?;
            let refusal = Refusal::from_status(status, 0, None);
            return Err(Stop::Broken {
                reason: told(&refusal),
                retry_after: refusal.retry_after,
                relist: true,
            });
        }
        let OnlyMetadata { metadata } =
            serde_json::from_str(line.object.get()).map_err(unreadable)?;
        let position = text(&metadata, "resourceVersion").to_owned();
        match line.kind {
            "ADDED" | "MODIFIED" => {
                self.seen(resource, metadata).await;
            }
            "DELETED" => self.left(&metadata).await?,
            "BOOKMARK" => {}
            // What a newer server may tell besides is not about objects.
            _ => return Ok(()),
        }
        if !position.is_empty() {
            self.position = Some(position);
        }
        if line.kind == "BOOKMARK" {
            // Bookmarks come when there is nothing else to be sent.
            self.health.caught_up().await;
        }
        Ok(())
    }

    /// An object is there.
    async fn seen(&mut self, resource: &Resource, metadata: Value) -> Name {
        let name = self.name(&metadata);
        let kind = GroupVersionKind {
            version: resource.version.clone(),
            ..self.kind.clone()
        };
        let live = self.inner.viewer.seen(&self.id(&name), &kind, metadata);
        self.inner.remember_live(&live);
        self.known_by_read(name.clone(), live).await;
        name
    }

    /// An object left the selection.
    async fn left(&mut self, metadata: &Value) -> Result<(), Stop> {
        let name = self.name(metadata);
        let uid = text(metadata, "uid");
        if self.known.get(&name).is_some_and(|known| **known != *uid) {
            // It is about an older object of the same name, whose end was told.
            return Ok(());
        }
        if self.inner.was_deleted_by_us(uid) {
            self.known.remove(&name);
            self.gone(name, Some(uid.into())).await;
            return Ok(());
        }
        self.known.entry(name.clone()).or_insert_with(|| uid.into());
        self.look_up(BTreeSet::from([name])).await
    }

    async fn gone(&mut self, name: Name, uid: Option<Box<str>>) {
        self.expected.remove(&name);
        let id = self.id(&name);
        if !self.known.contains_key(&name) {
            self.inner.forget(&id);
        }
        let uid = uid.map(String::from);
        self.health.tell(LiveEvent::Gone { id, uid }).await;
    }

    fn name(&self, metadata: &Value) -> Name {
        let namespace = self.namespaced.then(|| text(metadata, "namespace").into());
        (namespace, text(metadata, "name").into())
    }

    fn id(&self, (namespace, name): &Name) -> ObjectId {
        ObjectId {
            group: self.kind.group.clone(),
            kind: self.kind.kind.clone(),
            namespace: namespace.as_deref().map(str::to_owned),
            name: String::from(&**name),
        }
    }
}
