//! The fourth seam: what runs, and how it is changed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::BoxStream;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    BoxError, Digest, FieldConflict, FieldManager, GroupVersionKind, InventoryStore, Manifest,
    ObjectId, Owner,
};

/// What is known of a kind.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct KindInfo {
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
    /// The `CustomResourceDefinition` of a custom kind as the target has it now: what a
    /// differ needs to know the fields of its objects. None for a kind that is built in,
    /// and where it may not be read.
    pub definition: Option<Manifest>,
}

impl KindInfo {
    /// A kind whose objects live in namespaces, or don't.
    #[must_use]
    pub fn new(namespaced: bool) -> Self {
        Self {
            namespaced,
            definition: None,
        }
    }

    /// Adds the definition of a custom kind.
    #[must_use]
    pub fn defined_by(mut self, definition: Manifest) -> Self {
        self.definition = Some(definition);
        self
    }
}

/// How much of an object is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// `apiVersion`, `kind` and `metadata`.
    Metadata,
    /// All of it.
    Whole,
}

/// An object that somebody wants to see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Which object.
    pub id: ObjectId,
    /// In which version.
    pub version: String,
    /// How much of it. More may be answered than was asked for.
    pub depth: Depth,
}

/// An object as it runs.
#[derive(Clone)]
#[non_exhaustive]
pub struct LiveObject {
    /// Which object.
    pub id: ObjectId,
    /// What tells this object from a later one of the same name.
    pub uid: String,
    /// The server's version of the object, for preconditions.
    pub resource_version: String,
    /// Whether it is being deleted and waits for its finalizers.
    pub terminating: bool,
    /// The fingerprint of what we own of it: equal to the one that
    /// [`Applied`] had for as long as nobody touched a field of ours. None if we own nothing.
    pub baseline: Option<Digest>,
    /// To whom it belongs.
    pub owner: Owner,
    /// The mark that keeps it when it is withdrawn, if it carries one.
    pub keep: Option<String>,
    /// How much of it is in `object`.
    pub depth: Depth,
    /// The object, whole or only its `metadata`.
    pub object: Arc<Value>,
}

impl LiveObject {
    /// An object, by its identity and its content, of which the rest is not known yet.
    #[must_use]
    pub fn new(
        id: ObjectId,
        uid: impl Into<String>,
        resource_version: impl Into<String>,
        depth: Depth,
        object: Arc<Value>,
    ) -> Self {
        Self {
            id,
            uid: uid.into(),
            resource_version: resource_version.into(),
            terminating: false,
            baseline: None,
            owner: Owner::Nobody,
            keep: None,
            depth,
            object,
        }
    }
}

impl fmt::Debug for LiveObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveObject")
            .field("id", &format_args!("{}", self.id))
            .field("uid", &self.uid)
            .field("resource_version", &self.resource_version)
            .field("baseline", &self.baseline)
            .field("owner", &self.owner)
            .field("depth", &self.depth)
            .finish_non_exhaustive()
    }
}

/// What was found of the objects that were wanted. An object that was wanted and is
/// not in here was not looked at, which is not the same as `Ok(None)`: it is not there.
pub type Observation = BTreeMap<ObjectId, Result<Option<LiveObject>, ApplyError>>;

/// What must be true for a write to happen. A server that can check it does so at the
/// moment of the write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum Precondition {
    /// There is no such object.
    Absent,
    /// It is this object, whatever was written to it since.
    #[serde(rename_all = "camelCase")]
    Uid {
        /// The object's uid.
        uid: String,
    },
    /// It is this object in exactly this version.
    #[serde(rename_all = "camelCase")]
    Version {
        /// The object's uid.
        uid: String,
        /// Its resourceVersion.
        resource_version: String,
    },
}

/// An object to be written.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ApplyRequest {
    /// What it should be, with the owner's marks on it.
    pub manifest: Manifest,
    /// When it may be written.
    pub precondition: Precondition,
    /// Whether fields that another manager owns are taken from it. Always together with
    /// [`Precondition::Version`], so that only what was seen is overruled.
    pub force: bool,
}

impl ApplyRequest {
    /// Writes the manifest if the precondition holds, and takes no field from anybody.
    #[must_use]
    pub fn new(manifest: Manifest, precondition: Precondition) -> Self {
        Self {
            manifest,
            precondition,
            force: false,
        }
    }

    /// Takes the fields that others own.
    #[must_use]
    pub fn forced(mut self, force: bool) -> Self {
        self.force = force;
        self
    }
}

/// What a write did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum WriteOutcome {
    /// The object is new.
    Created,
    /// It was changed.
    Updated,
    /// It was already so.
    Unchanged,
}

/// The answer to an [`ApplyRequest`].
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Applied {
    /// What the write did.
    pub outcome: WriteOutcome,
    /// The object's uid.
    pub uid: String,
    /// Its version after the write.
    pub resource_version: String,
    /// The fingerprint of what we own of it now.
    pub baseline: Option<Digest>,
    /// What the server warned of.
    pub warnings: Vec<String>,
}

impl Applied {
    /// An acknowledged write.
    #[must_use]
    pub fn new(
        outcome: WriteOutcome,
        uid: impl Into<String>,
        resource_version: impl Into<String>,
        baseline: Option<Digest>,
    ) -> Self {
        Self {
            outcome,
            uid: uid.into(),
            resource_version: resource_version.into(),
            baseline,
            warnings: Vec::new(),
        }
    }
}

/// An object to be deleted. There is no way to delete one that was not looked at: both
/// preconditions are always sent.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeleteRequest {
    /// Which object.
    pub id: ObjectId,
    /// In which version to speak of it.
    pub version: String,
    /// Its uid.
    pub uid: String,
    /// Its resourceVersion.
    pub resource_version: String,
}

impl DeleteRequest {
    /// Deletes the object as it was seen.
    #[must_use]
    pub fn new(live: &LiveObject, version: impl Into<String>) -> Self {
        Self {
            id: live.id.clone(),
            version: version.into(),
            uid: live.uid.clone(),
            resource_version: live.resource_version.clone(),
        }
    }
}

/// The answer to a [`DeleteRequest`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deleted {
    /// It is gone.
    Gone,
    /// It is marked as deleted and waits for its finalizers.
    Terminating,
}

/// Something that happened to an object of ours.
#[derive(Debug)]
#[non_exhaustive]
pub enum LiveEvent {
    /// It is there, in this state; perhaps it was changed, perhaps only seen.
    Seen(LiveObject),
    /// It is not there any more.
    Gone {
        /// Which object.
        id: ObjectId,
        /// Its uid, if that is known.
        uid: Option<String>,
    },
    /// The watch of these objects is up to date: what was missed until now has been told.
    Ready,
    /// The watch broke and is set up again by the applier; what is missed meanwhile is
    /// told when it is.
    Interrupted {
        /// Why, in one line.
        reason: String,
    },
}

/// Where manifests are made real: a Kubernetes cluster, a directory, any API.
///
/// # Contract
///
/// * Idempotent: the same [`ApplyRequest`] twice leaves what one leaves.
/// * Every write carries its precondition, and a precondition that doesn't hold is
///   [`ApplyError::Stale`], not a write.
/// * Nothing is touched that was not named in a request.
/// * All errors come back; one object's trouble is no other object's.
/// * Dropping a future may leave its write done or not done, never half done.
/// * No error shows a secret.
#[async_trait]
pub trait Applier: Send + Sync {
    /// What is known of these kinds. A kind that is not in the answer doesn't exist.
    async fn kinds(
        &self,
        wanted: &BTreeSet<GroupVersionKind>,
    ) -> Result<BTreeMap<GroupVersionKind, KindInfo>, ApplyError>;

    /// The namespace of a namespaced object whose manifest names none.
    fn default_namespace(&self) -> &str;

    /// The name under which this applier writes.
    fn field_manager(&self) -> &FieldManager;

    /// What runs of these objects. Each of them is in the answer.
    ///
    /// [`ApplyError::UnknownKind`] says that the target has no such kind in any version, and so
    /// no such object. A kind that can't be asked for at the moment is
    /// [`ApplyError::Unavailable`].
    async fn observe(&self, wanted: &[Wanted]) -> Observation;

    /// Makes one object what its manifest says.
    async fn apply(&self, request: &ApplyRequest) -> Result<Applied, ApplyError>;

    /// Takes one object away.
    async fn delete(&self, request: &DeleteRequest) -> Result<Deleted, ApplyError>;

    /// Completes when these objects, just applied, can carry what needs them: a definition
    /// is established, a namespace takes objects. Gives up with
    /// [`ApplyError::Unavailable`] after `timeout`.
    async fn settle(&self, objects: &[Wanted], timeout: Duration) -> Result<(), ApplyError>;

    /// Tells what happens to objects of these kinds that carry our mark, for as long as the
    /// stream is polled; it never ends. It begins with the state as it is: each
    /// object of `expected` is `Seen` or `Gone`, then comes `Ready`.
    fn watch(&self, expected: Vec<Wanted>) -> BoxStream<'static, LiveEvent>;

    /// The inventory that goes with this applier, if it has one of its own.
    fn inventory(&self) -> Option<Arc<dyn InventoryStore>> {
        None
    }
}

const _: Option<&dyn Applier> = None;

/// Why something could not be observed, written or deleted.
///
/// The reasons come from the server and are shown to people; an applier leaves them out for
/// an object whose content is secret, as a server may quote what it refuses.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApplyError {
    /// Another manager owns `fields`. Sending the same request again can't help; a person
    /// or a policy has to decide.
    #[error("{object}: conflict: {}", list(fields))]
    Conflict {
        /// Which object.
        object: ObjectId,
        /// The fields, with their owners.
        fields: Vec<FieldConflict>,
    },
    /// The object is not what the precondition says: it was changed, deleted or made anew.
    /// Look again and decide again.
    #[error("{object}: moved since it was read: {reason}")]
    Stale {
        /// Which object.
        object: ObjectId,
        /// What the server said.
        reason: String,
    },
    /// We are not allowed to.
    #[error("{object}: forbidden: {reason}")]
    Forbidden {
        /// Which object.
        object: ObjectId,
        /// What the server said.
        reason: String,
    },
    /// The server, its validation or an admission webhook refused the content.
    #[error("{object}: refused: {reason}")]
    Rejected {
        /// Which object.
        object: ObjectId,
        /// What the server said.
        reason: String,
    },
    /// The object's namespace doesn't exist, or is being deleted.
    #[error(
        "{object}: namespace {:?} {reason}",
        object.namespace.as_deref().unwrap_or_default()
    )]
    Namespace {
        /// Which object; it names the namespace.
        object: ObjectId,
        /// `does not exist` or `is being deleted`.
        reason: &'static str,
    },
    /// The server doesn't know the kind.
    #[error(
        "{object}: the cluster does not know kind {kind}; is its CustomResourceDefinition \
         missing or the version not served?"
    )]
    UnknownKind {
        /// Which object.
        object: ObjectId,
        /// The kind.
        kind: Box<GroupVersionKind>,
    },
    /// The server was busy or out of reach. The same request may succeed later.
    #[error("{what}: {reason}")]
    Unavailable {
        /// What was tried: an object, or the discovery.
        what: String,
        /// What came of it.
        reason: String,
        /// How long the server asks us to wait.
        retry_after: Option<Duration>,
        /// The cause.
        source: Option<BoxError>,
    },
}

fn list(fields: &[FieldConflict]) -> String {
    let shown: Vec<_> = fields.iter().take(5).map(ToString::to_string).collect();
    let rest = fields.len().saturating_sub(shown.len());
    let more = if rest > 0 {
        format!(" and {rest} more")
    } else {
        String::new()
    };
    format!("{}{more}", shown.join(", "))
}

impl ApplyError {
    /// Whether the same request may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }

    /// How long the server asks us to wait, if it does.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unavailable { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}
