//! The third seam: whether what runs is what is desired.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::Value;

use crate::{BoxError, Digest, FieldChange, FieldConflict, FieldManager, Manifest, ObjectId};

/// What a [`Differ`] compares.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct DiffRequest<'a> {
    /// What the object should be.
    pub desired: &'a Manifest,
    /// What runs: the whole object, or for [`Differ::lost`] at least its `metadata`.
    pub live: &'a Value,
    /// The name under which we write.
    pub manager: &'a FieldManager,
    /// Definitions of custom kinds that come with the same revision: manifests of kind
    /// `CustomResourceDefinition`. They may be newer than what the cluster knows.
    pub definitions: &'a [Manifest],
}

impl<'a> DiffRequest<'a> {
    /// Compares `desired` with `live` for somebody who writes as `manager`.
    #[must_use]
    pub fn new(desired: &'a Manifest, live: &'a Value, manager: &'a FieldManager) -> Self {
        Self {
            desired,
            live,
            manager,
            definitions: &[],
        }
    }

    /// Adds the definitions that come with the same revision.
    #[must_use]
    pub fn with_definitions(mut self, definitions: &'a [Manifest]) -> Self {
        self.definitions = definitions;
        self
    }
}

/// What a [`Differ`] found.
///
/// It holds no secret: a value that may be one is
/// [`Redacted`](crate::FieldValue::Redacted) from the beginning.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Difference {
    /// The fields that would change if desired were applied, in path order.
    pub changes: Vec<FieldChange>,
    /// The fields that desired states, that are as desired, and that we don't own: somebody
    /// took them over and happens to agree. Applying makes us an owner again.
    pub unowned: Vec<FieldConflict>,
    /// The fields that would be refused unless forced, since another manager owns them and
    /// disagrees. Each of them is among `changes` as well.
    pub conflicts: Vec<FieldConflict>,
}

impl Difference {
    /// Whether live already says what desired says, and we own that it does.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.unowned.is_empty() && self.conflicts.is_empty()
    }
}

/// Compares desired with live.
///
/// # Contract
///
/// * Pure: the same request gives the same answer, with no request to anybody.
/// * Reflexive: an object that says what desired says differs in nothing, whatever defaults,
///   status or fields of others it has besides.
/// * Honest: applying `changes` to live gives desired, as far as desired speaks. What the
///   differ ignores, desired doesn't speak of: it is in no answer, and
///   [`payload`](Self::payload) leaves it as it is.
/// * Holds no secret, but for the payload.
pub trait Differ: Send + Sync {
    /// In which fields live differs from desired, and who owns them.
    ///
    /// # Errors
    ///
    /// If one of the two doesn't fit its schema so far that they can't be compared.
    fn diff(&self, request: &DiffRequest<'_>) -> Result<Difference, DiffError>;

    /// The fields of desired that we should own and no longer do, with who took them, read
    /// from live's `metadata` alone. This is how drift is attributed without reading
    /// the object.
    ///
    /// An empty answer means that nothing can be said from the metadata; read the object.
    /// That is also the default.
    fn lost(&self, request: &DiffRequest<'_>) -> Vec<FieldChange> {
        let _ = request;
        Vec::new()
    }

    /// What is to be sent to an object that is there, so that it becomes as desired and keeps
    /// what is ignored. An object that isn't there is made of desired itself.
    ///
    /// `request` has the whole of live. The answer is `desired` itself, borrowed, where live has
    /// no say in it; that is the default. It may hold secrets of live.
    ///
    /// # Errors
    ///
    /// As for [`diff`](Self::diff).
    fn payload<'a>(&self, request: &DiffRequest<'a>) -> Result<Cow<'a, Manifest>, DiffError> {
        Ok(Cow::Borrowed(request.desired))
    }

    /// A digest of what decides, besides the manifest, what is [sent](Self::payload) and what
    /// counts as a difference: the rules by which fields of this object are ignored. `None`, the
    /// default, if there are none.
    ///
    /// An object with such rules is read whole before it is written, and looked at once when the
    /// digest changes.
    fn shaping(&self, desired: &Manifest) -> Option<Digest> {
        let _ = desired;
        None
    }

    /// Whether something was lost of what we own, and all of it is ignored: then there is nothing
    /// to heal. It is read from live's `metadata` alone, and false, the default, where that
    /// doesn't say enough.
    fn is_settled(&self, request: &DiffRequest<'_>) -> bool {
        let _ = request;
        false
    }
}

const _: Option<&dyn Differ> = None;

impl<D: Differ + ?Sized> Differ for std::sync::Arc<D> {
    fn diff(&self, request: &DiffRequest<'_>) -> Result<Difference, DiffError> {
        (**self).diff(request)
    }

    fn lost(&self, request: &DiffRequest<'_>) -> Vec<FieldChange> {
        (**self).lost(request)
    }

    fn payload<'a>(&self, request: &DiffRequest<'a>) -> Result<Cow<'a, Manifest>, DiffError> {
        (**self).payload(request)
    }

    fn shaping(&self, desired: &Manifest) -> Option<Digest> {
        (**self).shaping(desired)
    }

    fn is_settled(&self, request: &DiffRequest<'_>) -> bool {
        (**self).is_settled(request)
    }
}

/// Why two objects could not be compared.
#[derive(Debug, thiserror::Error)]
#[error("{object}: {message}")]
pub struct DiffError {
    object: Box<ObjectId>,
    message: String,
    source: Option<BoxError>,
}

impl DiffError {
    /// An error about this object. The message names the field and shows no value.
    #[must_use]
    pub fn new(object: ObjectId, message: impl Into<String>) -> Self {
        Self {
            object: Box::new(object),
            message: message.into(),
            source: None,
        }
    }

    /// Adds the cause.
    #[must_use]
    pub fn because(mut self, cause: impl Into<BoxError>) -> Self {
        self.source = Some(cause.into());
        self
    }

    /// The object.
    #[must_use]
    pub fn object(&self) -> &ObjectId {
        &self.object
    }
}
