//! Watches: streams of events out of the log.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use serde_json::{Value, json};

use super::Inner;
use super::call::Call;
use super::convert;
use super::negotiate::{Accepted, Form};
use super::options::WatchOptions;
use super::read::{Selection, check_version, partial};
use super::registry::Resource;
use super::state::State;
use super::status::{ApiError, ApiResult};
use super::store::{Change, LogEntry, Stored};
use super::table;

/// How many events are taken from the log at a time: what bounds the memory of a watch
/// whose reader is slow. The rest waits in the log.
const BATCH: usize = 64;

/// How often a watch that wants bookmarks gets one.
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);

/// A watch that has been accepted.
pub(crate) struct Watch {
    resource: Arc<Resource>,
    namespace: Option<String>,
    name: Option<String>,
    selection: Selection,
    accepted: Accepted,
    options: WatchOptions,
    /// Events up to here have been seen.
    version: u64,
    /// Lines that are ready to be sent.
    ready: VecDeque<Bytes>,
    /// After these lines the stream ends.
    ending: bool,
    columns_sent: bool,
    table_query: super::request::Query,
    headers: http::HeaderMap,
    user: super::rbac::User,
}

impl Watch {
    /// Checks the request and gathers the first events.
    pub(crate) fn start(state: &mut State, call: &Call<'_>) -> ApiResult<Self> {
        let options = WatchOptions::read(call.query)?;
        let selection = Selection::read(call)?;
        let current = state.store.resource_version();
        let asked = WatchOptions::not_older_than(call.query)?;
        let mut watch = Self {
            resource: call.resource.clone(),
            namespace: call.path.namespace.clone(),
            name: call.path.name.clone(),
            selection,
            accepted: call.accepted,
            version: options.from.unwrap_or(current),
            options,
            ready: VecDeque::new(),
            ending: false,
            columns_sent: false,
            table_query: call.query.clone(),
            headers: call.headers.clone(),
            user: call.user.clone(),
        };
        if watch.options.initial {
            check_version(state, asked)?;
            watch.initial_events(state)?;
        }
        Ok(watch)
    }

    /// How long the stream lives.
    pub(crate) fn timeout(&self) -> Option<Duration> {
        self.options.timeout_seconds.map(Duration::from_secs)
    }

    pub(crate) fn wants_bookmarks(&self) -> bool {
        self.options.bookmarks
    }

    fn initial_events(&mut self, state: &State) -> ApiResult<()> {
        let objects: Vec<Arc<Stored>> = state
            .store
            .list(&self.resource.storage, self.namespace.as_deref())
            .into_iter()
            .map(|(_, stored)| stored.clone())
            .collect();
        for stored in objects {
            let object = state.load(&self.resource, &stored);
            if self.wants(&object) {
                self.push(state, "ADDED", object)?;
            }
        }
        if self.options.initial_end {
            self.bookmark(true);
        }
        Ok(())
    }

    fn wants(&self, object: &Value) -> bool {
        self.name
            .as_ref()
            .is_none_or(|name| object["metadata"]["name"] == name.as_str())
            && self.selection.matches(object)
    }

    fn push(&mut self, state: &State, kind: &str, object: Value) -> ApiResult<()> {
        let object = match self.accepted.form {
            Form::Object => object,
            Form::Partial | Form::PartialList => partial(&object, self.accepted.meta_version()),
            Form::Table => {
                let meta = json!({"resourceVersion": object["metadata"]["resourceVersion"]});
                let columns = !std::mem::replace(&mut self.columns_sent, true);
                self.table(state, object, meta, columns)?
            }
        };
        self.line(kind, &object);
        Ok(())
    }

    fn table(&self, state: &State, object: Value, meta: Value, columns: bool) -> ApiResult<Value> {
        let path = super::request::ResourcePath::default();
        let call = Call {
            resource: self.resource.clone(),
            path: &path,
            query: &self.table_query,
            headers: &self.headers,
            body: &[],
            user: &self.user,
            accepted: self.accepted,
            now: state.now(),
            warnings: Vec::new(),
        };
        table::table(&call, &[object], meta, columns)
    }

    fn line(&mut self, kind: &str, object: &Value) {
        let mut line = format!("{{\"type\":\"{kind}\",\"object\":{object}}}").into_bytes();
        line.push(b'\n');
        self.ready.push_back(line.into());
    }

    /// A bookmark at the version that the watch has reached.
    fn bookmark(&mut self, initial_end: bool) {
        let mut meta = json!({"resourceVersion": self.version.to_string()});
        if initial_end {
            meta["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        let object = match self.accepted.form {
            Form::Partial | Form::PartialList => json!({
                "kind": "PartialObjectMetadata", "apiVersion": self.accepted.meta_version(), "metadata": meta,
            }),
            _ => {
                let mut object = json!({
                    "kind": self.resource.kind, "apiVersion": self.resource.api_version(), "metadata": meta,
                });
                if let Some(kind) = self.resource.builtin {
                    crate::kinds::normalize(kind, &mut object);
                }
                object
            }
        };
        self.line("BOOKMARK", &object);
    }

    /// Ends the stream with an error event.
    fn fail(&mut self, error: &ApiError) {
        self.line("ERROR", &error.to_status());
        self.ending = true;
    }

    /// Takes the next events from the log.
    fn advance(&mut self, state: &State) {
        let storage = &self.resource.storage;
        let compacted = state.store.compacted(storage);
        if self.version < compacted {
            let error = ApiError::new(
                410,
                "Expired",
                format!("too old resource version: {} ({compacted})", self.version),
            );
            self.fail(&error);
            return;
        }
        let entries = state.store.events_after(storage, self.version, BATCH);
        let full = entries.len() == BATCH;
        for entry in entries {
            self.version = entry.resource_version;
            if let Err(error) = self.event(state, &entry) {
                self.fail(&error);
                return;
            }
        }
        if !full {
            self.version = self.version.max(state.store.resource_version());
        }
        if self.resource.is_custom()
            && state
                .resource(
                    &self.resource.group,
                    &self.resource.version,
                    &self.resource.plural,
                )
                .is_none()
        {
            self.ending = true;
        }
    }

    /// One entry of the log, as this watch sees it: an object that comes to be selected
    /// is added, one that no longer is selected is deleted.
    fn event(&mut self, state: &State, entry: &LogEntry) -> ApiResult<()> {
        if let Some(namespace) = &self.namespace {
            let inside = entry
                .key
                .strip_prefix(namespace.as_str())
                .is_some_and(|rest| rest.starts_with('/'));
            if !inside {
                return Ok(());
            }
        }
        let load = |stored: &Arc<Stored>| convert::from_storage(&self.resource, stored.value());
        let object = load(&entry.object);
        let previous = entry.previous.as_ref().map(load);
        let was = previous.as_ref().is_some_and(|p| self.wants(p));
        let is = entry.change != Change::Deleted && self.wants(&object);
        match (was, is) {
            (false, true) => self.push(state, "ADDED", object),
            (true, true) => self.push(state, "MODIFIED", object),
            (true, false) => {
                // The last state that was selected, at the version of the change.
                let mut last = previous.unwrap_or(object);
                last["metadata"]["resourceVersion"] = json!(entry.resource_version.to_string());
                self.push(state, "DELETED", last)
            }
            (false, false) => Ok(()),
        }
    }
}

/// The lines of a watch, as they come.
pub(crate) struct WatchStream {
    watch: Watch,
    inner: Arc<Inner>,
    changed: Pin<Box<dyn Stream<Item = u64> + Send>>,
    deadline: Option<Pin<Box<tokio::time::Sleep>>>,
    bookmark: Option<Pin<Box<tokio::time::Sleep>>>,
    done: bool,
    epoch: u64,
}

impl WatchStream {
    pub(crate) fn new(watch: Watch, inner: Arc<Inner>) -> Self {
        let epoch = inner.lock().watch_epoch;
        let receiver = inner.changed.subscribe();
        let changed = futures::stream::unfold(receiver, |mut receiver| async move {
            receiver.changed().await.ok()?;
            let version = *receiver.borrow_and_update();
            Some((version, receiver))
        });
        let sleep = |after: Duration| Box::pin(tokio::time::sleep(after));
        Self {
            deadline: watch.timeout().map(sleep),
            bookmark: watch.wants_bookmarks().then(|| sleep(BOOKMARK_EVERY)),
            watch,
            inner,
            changed: Box::pin(changed),
            done: false,
            epoch,
        }
    }
}

impl Stream for WatchStream {
    type Item = Bytes;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let this = &mut *self;
        loop {
            if let Some(line) = this.watch.ready.pop_front() {
                return Poll::Ready(Some(line));
            }
            if this.done || this.watch.ending {
                return Poll::Ready(None);
            }
            let epoch = {
                let locked = this.inner.lock();
                this.watch.advance(&locked.state);
                locked.watch_epoch
            };
            if epoch != this.epoch {
                this.done = true;
            }
            if !this.watch.ready.is_empty() || this.watch.ending {
                continue;
            }
            if let Some(deadline) = &mut this.deadline
                && Future::poll(deadline.as_mut(), context).is_ready()
            {
                if this.watch.wants_bookmarks() {
                    this.watch.bookmark(false);
                }
                this.done = true;
                continue;
            }
            if let Some(bookmark) = &mut this.bookmark
                && Future::poll(bookmark.as_mut(), context).is_ready()
            {
                bookmark.set(tokio::time::sleep(BOOKMARK_EVERY));
                this.watch.bookmark(false);
                continue;
            }
            match this.changed.as_mut().poll_next(context) {
                Poll::Ready(Some(_)) => {}
                Poll::Ready(None) => this.done = true,
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}
