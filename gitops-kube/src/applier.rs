//! The applier itself: how it is made, and its two writes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hasher as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;
use gitops_core::{
    Applied, Applier, ApplyError, ApplyRequest, DeleteRequest, Deleted, FieldManager, GroupKind,
    GroupVersionKind, InvalidName, InventoryStore, KindInfo, LiveEvent, LiveObject, ObjectId,
    Observation, Precondition, ReconcilerName, Wanted, WriteOutcome,
};
use gitops_diff::managed::baseline;
use http::Method;
use kube::Client;
use serde_json::{Map, Value, json};
use tokio::sync::Notify;

use crate::discovery::{Discovery, Lookup, Resource};
use crate::failure::{About, unavailable};
use crate::inventory::KubeInventory;
use crate::live::{OnlyMetadata, Viewer, no_object, text};
use crate::transport::{ACCEPT_METADATA, ACCEPT_WHOLE, Call, Failure, Transport, encoded};
use crate::{observe, settle, watch};

/// How long an answer may take if nothing else was said.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// No live object ever has this version: the API server counts up from 1 and would take
/// ages to get there. An apply that names it fails on every object that exists, and
/// creates one that doesn't: that is how [`Precondition::Absent`] is told to the server.
const NO_VERSION: &str = "9223372036854775807";

/// More deletions than these are not remembered.
const MAX_DELETIONS: usize = 1 << 16;

/// Kubernetes as an [`Applier`].
///
/// Writes are server-side apply under one field manager, and deletes that name uid and
/// resourceVersion. Clones share everything.
///
/// ```no_run
/// use gitops_kube::{KubeApplier, connect};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let applier = KubeApplier::builder(connect().await?)
///     .reconciler("payments-prod")
///     .build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct KubeApplier {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) transport: Transport,
    pub(crate) discovery: Discovery,
    pub(crate) viewer: Viewer,
    pub(crate) namespaces: BTreeSet<String>,
    default_namespace: String,
    inventory: Arc<KubeInventory>,
    memory: Mutex<Memory>,
    /// Told whenever something is applied in a namespace where its kind was not before.
    pub(crate) moved_in: Notify,
}

/// What was seen of the objects, in sixteen bytes each.
#[derive(Default)]
struct Memory {
    /// By a hash of the object's name, a hash of its uid and version.
    versions: HashMap<u64, u64>,
    /// Hashes of the uids that the server told us it deleted.
    deleted: BTreeSet<u64>,
    /// The namespaces in which objects of a kind were applied.
    namespaces: BTreeMap<GroupKind, BTreeSet<String>>,
    /// Whether the log has it that definitions may not be read.
    told_unread: bool,
}

impl std::fmt::Debug for KubeApplier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KubeApplier")
            .field("reconciler", &self.inner.viewer.reconciler)
            .field("field_manager", &self.inner.viewer.manager)
            .field("namespaces", &self.inner.namespaces)
            .finish_non_exhaustive()
    }
}

impl KubeApplier {
    /// Begins to build an applier that talks through `client`.
    ///
    /// The client should not retry by itself, as kube's own does unless
    /// `Config::default_retry` is off: the reconciler does, knows when not to, and can be
    /// interrupted. [`connect`](crate::connect()) and
    /// [`client_from`](crate::client_from) give such a client.
    pub fn builder(client: Client) -> KubeApplierBuilder {
        KubeApplierBuilder {
            client,
            reconciler: None,
            field_manager: None,
            default_namespace: None,
            inventory_namespace: None,
            namespaces: BTreeSet::new(),
            request_timeout: REQUEST_TIMEOUT,
        }
    }
}

/// Builds a [`KubeApplier`].
#[must_use = "call build()"]
pub struct KubeApplierBuilder {
    client: Client,
    reconciler: Option<String>,
    field_manager: Option<String>,
    default_namespace: Option<String>,
    inventory_namespace: Option<String>,
    namespaces: BTreeSet<String>,
    request_timeout: Duration,
}

/// Why there is no applier.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// Nobody said whose objects they are.
    #[error("no reconciler was named: call reconciler(..) with the name of the reconciler")]
    NoReconciler,
    /// A name breaks its rule.
    #[error(transparent)]
    InvalidName(#[from] InvalidName),
}

impl KubeApplierBuilder {
    /// Names the reconciler: its mark is what tells its objects from another's. It must be
    /// the name that the `Reconciler` itself has.
    pub fn reconciler(mut self, name: impl AsRef<str>) -> Self {
        self.reconciler = Some(name.as_ref().to_owned());
        self
    }

    /// Names the field manager. The default is the reconciler's name, which is what tells
    /// one reconciler's fields from another's; two that share a manager can't be told apart.
    pub fn field_manager(mut self, name: impl AsRef<str>) -> Self {
        self.field_manager = Some(name.as_ref().to_owned());
        self
    }

    /// The namespace of objects whose manifest names none. The default is the client's.
    pub fn default_namespace(mut self, name: impl Into<String>) -> Self {
        self.default_namespace = Some(name.into());
        self
    }

    /// The namespace of the inventory. The default is the client's default namespace. It
    /// must exist: it is not created.
    pub fn inventory_namespace(mut self, name: impl Into<String>) -> Self {
        self.inventory_namespace = Some(name.into());
        self
    }

    /// Limits lists and watches to these namespaces, where the default is to list and watch
    /// the whole cluster. It is meant for a reconciler whose role is bound in namespaces;
    /// one that isn't allowed to watch the whole cluster finds that out by itself, too.
    pub fn namespaces<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        self.namespaces = names.into_iter().map(Into::into).collect();
        self
    }

    /// How long an answer may take, 30 seconds by default. Watches don't count.
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// The applier. No request is sent.
    ///
    /// # Errors
    ///
    /// [`BuildError`], if the reconciler wasn't named or a name breaks its rule.
    pub fn build(self) -> Result<KubeApplier, BuildError> {
        let reconciler = ReconcilerName::new(self.reconciler.ok_or(BuildError::NoReconciler)?)?;
        let manager = match self.field_manager {
            Some(name) => FieldManager::new(name)?,
            None => reconciler.clone().into(),
        };
        let transport = Transport::new(self.client, self.request_timeout);
        let default_namespace = self
            .default_namespace
            .unwrap_or_else(|| transport.default_namespace().to_owned());
        let inventory_namespace = self
            .inventory_namespace
            .unwrap_or_else(|| transport.default_namespace().to_owned());
        let inventory = KubeInventory::over(
            transport.clone(),
            reconciler.clone(),
            manager.clone(),
            inventory_namespace,
        );
        Ok(KubeApplier {
            inner: Arc::new(Inner {
                transport,
                discovery: Discovery::default(),
                viewer: Viewer {
                    reconciler,
                    manager,
                },
                namespaces: self.namespaces,
                default_namespace,
                inventory: Arc::new(inventory),
                memory: Mutex::default(),
                moved_in: Notify::new(),
            }),
        })
    }
}

/// Kubernetes' rule for what can stand in a path, so that no name leads anywhere else:
/// <https://github.com/kubernetes/apimachinery/blob/v0.36.0/pkg/api/validation/path/name.go>.
fn is_path_segment(name: &str) -> bool {
    !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '%'])
}

fn hash(value: impl std::hash::Hash) -> u64 {
    // Without a random key: the same in each run.
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

impl Inner {
    /// Where the object is, for a request in exactly this version.
    async fn exactly(&self, about: About<'_>) -> Result<Resource, ApplyError> {
        located(about, self.discovery.lookup(&self.transport, about.kind)).await
    }

    /// Where the object is, in this version or another.
    pub(crate) async fn anywhere(&self, about: About<'_>) -> Result<Resource, ApplyError> {
        located(
            about,
            self.discovery.lookup_any(&self.transport, about.kind),
        )
        .await
    }

    /// The path of the object.
    pub(crate) fn path(&self, resource: &Resource, object: &ObjectId) -> String {
        resource.object(Some(self.namespace_of(object)), &object.name)
    }

    /// The namespace of an object of a kind that has namespaces.
    pub(crate) fn namespace_of<'a>(&'a self, object: &'a ObjectId) -> &'a str {
        object
            .namespace
            .as_deref()
            .unwrap_or(&self.default_namespace)
    }

    /// What the failure of a request means, and what it says of the kinds that are known.
    pub(crate) async fn failed(
        &self,
        about: About<'_>,
        resource: &Resource,
        failure: Failure,
    ) -> ApplyError {
        let error = about.error(failure);
        if matches!(error, ApplyError::UnknownKind { .. }) {
            self.discovery.forget(about.kind, &resource.version).await;
        }
        error
    }

    fn memory(&self) -> std::sync::MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers in which version an object was seen. Returns whether it was seen in the
    /// same one the last time.
    pub(crate) fn remember(&self, id: &ObjectId, uid: &str, resource_version: &str) -> bool {
        let seen = hash((uid, resource_version));
        self.memory().versions.insert(hash(id), seen) == Some(seen)
    }

    /// In which version the object was seen last, as [`remember`](Self::remember) has it.
    fn recall(&self, id: &ObjectId) -> Option<u64> {
        self.memory().versions.get(&hash(id)).copied()
    }

    pub(crate) fn remember_live(&self, live: &LiveObject) {
        self.remember(&live.id, &live.uid, &live.resource_version);
    }

    /// Says once that the fields of custom kinds stay unknown.
    fn tell_unread(&self, reason: &str) {
        if !std::mem::replace(&mut self.memory().told_unread, true) {
            tracing::warn!(
                reason,
                "may not read customresourcedefinitions: the lists of custom objects are \
                 compared as a whole, and their defaults count as changes"
            );
        }
    }

    /// The namespaces in which objects of this kind were applied.
    pub(crate) fn namespaces_with(&self, kind: &GroupKind) -> BTreeSet<String> {
        let memory = self.memory();
        memory.namespaces.get(kind).cloned().unwrap_or_default()
    }

    /// Drops what was remembered of an object that is gone.
    pub(crate) fn forget(&self, id: &ObjectId) {
        self.memory().versions.remove(&hash(id));
    }

    /// Whether the server told us that it deleted the object with this uid. Asked once.
    pub(crate) fn was_deleted_by_us(&self, uid: &str) -> bool {
        self.memory().deleted.remove(&hash(uid))
    }

    async fn apply(&self, request: &ApplyRequest) -> Result<Applied, ApplyError> {
        let manifest = &request.manifest;
        let (id, kind) = (manifest.id(), manifest.gvk());
        let mut about = About::new(id, &kind);
        let resource = self.exactly(about).await?;
        let mut body = manifest.value();
        set_precondition(&mut body, &request.precondition);
        let mut uri = format!(
            "{}?fieldManager={}&fieldValidation=Strict",
            self.path(&resource, id),
            encoded(self.viewer.manager.as_str())
        );
        if request.force {
            uri.push_str("&force=true");
        }
        let call = Call {
            method: Method::PATCH,
            uri,
            accept: ACCEPT_METADATA,
            content_type: "application/apply-patch+yaml",
            body: body.to_string().into_bytes(),
        };
        about.absent = request.precondition == Precondition::Absent;
        about.applied = Some(&body);
        // The watch may tell of our own write before the answer to it is here.
        let before = self.recall(id);
        let answer = match self.transport.send(call).await {
            Ok(answer) => answer,
            Err(failure) => return Err(self.failed(about, &resource, failure).await),
        };
        let metadata = answer
            .json()
            .and_then(OnlyMetadata::of_object)
            .map_err(|failure| about.error(failure))?;
        let uid = text(&metadata, "uid");
        let version = text(&metadata, "resourceVersion");
        self.remember(id, uid, version);
        let known = before == Some(hash((uid, version)));
        let as_asked = matches!(&request.precondition,
            Precondition::Version { uid: is, resource_version }
            if is == uid && resource_version == version);
        let outcome = if answer.created {
            WriteOutcome::Created
        } else if known || as_asked {
            // It had this version before, so nothing was written.
            WriteOutcome::Unchanged
        } else {
            WriteOutcome::Updated
        };
        if is_definition(id) {
            self.discovery.outdated().await;
        }
        if resource.namespaced {
            let namespace = self.namespace_of(id).to_owned();
            let kind = kind.group_kind();
            let new = self
                .memory()
                .namespaces
                .entry(kind)
                .or_default()
                .insert(namespace);
            if new {
                self.moved_in.notify_waiters();
            }
        }
        let mut applied = Applied::new(
            outcome,
            uid,
            version,
            baseline(&metadata, self.viewer.manager.as_str()),
        );
        applied.warnings = about.warnings(answer.warnings);
        Ok(applied)
    }

    async fn delete(&self, request: &DeleteRequest) -> Result<Deleted, ApplyError> {
        let kind = kind_of(&request.id, &request.version);
        let about = About::new(&request.id, &kind);
        let resource = self.anywhere(about).await?;
        let options = json!({
            "kind": "DeleteOptions",
            "apiVersion": "v1",
            "preconditions": {"uid": request.uid, "resourceVersion": request.resource_version},
            "propagationPolicy": "Background",
        });
        let call = Call {
            method: Method::DELETE,
            uri: self.path(&resource, &request.id),
            accept: ACCEPT_WHOLE,
            content_type: "application/json",
            body: options.to_string().into_bytes(),
        };
        let deleted = match self.transport.send(call).await {
            Ok(answer) => {
                let left = answer.json().and_then(LeftOver::outcome);
                left.map_err(|failure| about.error(failure))?
            }
            Err(failure)
                if failure
                    .refusal()
                    .is_some_and(|refusal| refusal.is_missing_object()) =>
            {
                Deleted::Gone
            }
            Err(failure) => return Err(self.failed(about, &resource, failure).await),
        };
        if is_definition(&request.id) {
            self.discovery.outdated().await;
        }
        if deleted == Deleted::Gone {
            self.forget(&request.id);
            let mut memory = self.memory();
            if memory.deleted.len() >= MAX_DELETIONS {
                memory.deleted.clear();
            }
            memory.deleted.insert(hash(&request.uid));
        }
        Ok(deleted)
    }
}

async fn located(
    about: About<'_>,
    lookup: impl Future<Output = Lookup>,
) -> Result<Resource, ApplyError> {
    let ObjectId {
        namespace, name, ..
    } = about.object;
    if !is_path_segment(name) || !namespace.as_deref().is_none_or(is_path_segment) {
        return Err(ApplyError::Rejected {
            object: about.object.clone(),
            reason: "a name or namespace may not be empty, \".\" or \"..\", nor hold '/' or '%'"
                .into(),
        });
    }
    match lookup.await {
        Lookup::Found(resource) => Ok(resource),
        Lookup::Unknown => Err(about.unknown_kind()),
        Lookup::Unavailable(reason) => Err(about.unavailable(reason)),
    }
}

/// Whether applying or deleting the object changes which kinds there are.
pub(crate) fn is_definition(id: &ObjectId) -> bool {
    id.is("apiextensions.k8s.io", "CustomResourceDefinition")
        || id.is("apiregistration.k8s.io", "APIService")
}

pub(crate) fn kind_of(id: &ObjectId, version: &str) -> GroupVersionKind {
    GroupVersionKind {
        group: id.group.clone(),
        version: version.to_owned(),
        kind: id.kind.clone(),
    }
}

/// Puts the precondition where the server looks for it, and takes away what a manifest that
/// was exported from a cluster holds there.
fn set_precondition(body: &mut Value, precondition: &Precondition) {
    let Some(members) = body.as_object_mut() else {
        return;
    };
    let metadata = members
        .entry("metadata")
        .or_insert_with(|| Value::Object(Map::new()));
    let Some(metadata) = metadata.as_object_mut() else {
        return;
    };
    for member in ["uid", "resourceVersion", "managedFields"] {
        metadata.remove(member);
    }
    let (uid, version) = match precondition {
        Precondition::Absent => (None, Some(NO_VERSION)),
        Precondition::Uid { uid } => (Some(uid.as_str()), None),
        Precondition::Version {
            uid,
            resource_version,
        } => (Some(uid.as_str()), Some(resource_version.as_str())),
    };
    for (member, value) in [("uid", uid), ("resourceVersion", version)] {
        if let Some(value) = value {
            metadata.insert(member.into(), value.into());
        }
    }
}

/// The answer to a delete: a Status, or what is left of the object.
#[derive(serde::Deserialize)]
struct LeftOver {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    metadata: LeftMetadata,
}

#[derive(Default, serde::Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct LeftMetadata {
    deletion_timestamp: Option<String>,
    deletion_grace_period_seconds: Option<i64>,
    finalizers: Vec<String>,
}

impl LeftOver {
    /// Some kinds (services, service accounts) answer with the object although it is gone.
    /// It is still there if it was marked and waits for its finalizers, or for its grace
    /// period, or, as a namespace does, for neither.
    fn outcome(self) -> Result<Deleted, Failure> {
        let LeftMetadata {
            deletion_timestamp,
            deletion_grace_period_seconds,
            finalizers,
        } = &self.metadata;
        if self.kind.is_empty() {
            return Err(no_object());
        }
        let gone = self.kind == "Status"
            || deletion_timestamp.is_none()
            || (finalizers.is_empty() && *deletion_grace_period_seconds == Some(0));
        Ok(if gone {
            Deleted::Gone
        } else {
            Deleted::Terminating
        })
    }
}

#[async_trait]
impl Applier for KubeApplier {
    /// Kinds of a group whose API is not available are an error only if they are wanted and
    /// were never seen before.
    ///
    /// A custom kind comes with its definition, which is one request; who may not read
    /// definitions goes without, and the log says so once.
    async fn kinds(
        &self,
        wanted: &BTreeSet<GroupVersionKind>,
    ) -> Result<BTreeMap<GroupVersionKind, KindInfo>, ApplyError> {
        let mut known = BTreeMap::new();
        for kind in wanted {
            match self
                .inner
                .discovery
                .lookup(&self.inner.transport, kind)
                .await
            {
                Lookup::Found(resource) => {
                    known.insert(kind.clone(), KindInfo::new(resource.namespaced));
                }
                Lookup::Unknown => {}
                Lookup::Unavailable(reason) => {
                    return Err(unavailable(
                        format!("discovery of {kind}"),
                        Failure::Unreachable {
                            reason,
                            source: None,
                        },
                    ));
                }
            }
        }
        let custom = known.keys().cloned().collect();
        for (kind, definition) in observe::definitions(&self.inner, &custom).await {
            match definition {
                Ok(Some(definition)) => {
                    if let Some(info) = known.remove(&kind) {
                        known.insert(kind, info.defined_by(definition));
                    }
                }
                Ok(None) => {}
                Err(ApplyError::Forbidden { reason, .. }) => self.inner.tell_unread(&reason),
                Err(error) => return Err(error),
            }
        }
        Ok(known)
    }

    fn default_namespace(&self) -> &str {
        &self.inner.default_namespace
    }

    fn field_manager(&self) -> &FieldManager {
        &self.inner.viewer.manager
    }

    async fn observe(&self, wanted: &[Wanted]) -> Observation {
        observe::observe(&self.inner, wanted).await
    }

    async fn apply(&self, request: &ApplyRequest) -> Result<Applied, ApplyError> {
        self.inner.apply(request).await
    }

    async fn delete(&self, request: &DeleteRequest) -> Result<Deleted, ApplyError> {
        self.inner.delete(request).await
    }

    async fn settle(&self, objects: &[Wanted], timeout: Duration) -> Result<(), ApplyError> {
        settle::settle(&self.inner, objects, timeout).await
    }

    fn watch(&self, expected: Vec<Wanted>) -> BoxStream<'static, LiveEvent> {
        watch::watch(self.inner.clone(), expected)
    }

    fn inventory(&self) -> Option<Arc<dyn InventoryStore>> {
        Some(self.inner.inventory.clone())
    }
}
