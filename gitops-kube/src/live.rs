//! Live objects, as the server tells them.

use gitops_core::{
    Depth, FieldManager, GroupVersionKind, LiveObject, ObjectId, ReconcilerName, keep_mark,
    owner_of,
};
use gitops_diff::managed::baseline;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::sync::Arc;

use crate::transport::Failure;

/// Whose view of an object it is.
#[derive(Debug, Clone)]
pub(crate) struct Viewer {
    pub(crate) reconciler: ReconcilerName,
    pub(crate) manager: FieldManager,
}

/// An answer of which only the metadata counts.
#[derive(Deserialize)]
pub(crate) struct OnlyMetadata {
    #[serde(default)]
    pub(crate) metadata: Value,
}

impl OnlyMetadata {
    /// The metadata of one object, which names the object's uid and version.
    pub(crate) fn of_object(self) -> Result<Value, Failure> {
        if text(&self.metadata, "uid").is_empty()
            || text(&self.metadata, "resourceVersion").is_empty()
        {
            return Err(no_object());
        }
        Ok(self.metadata)
    }
}

/// What was answered is not what was asked for.
pub(crate) fn no_object() -> Failure {
    Failure::Unreachable {
        reason: "the answer is no object".into(),
        source: None,
    }
}

pub(crate) fn text<'v>(metadata: &'v Value, member: &str) -> &'v str {
    metadata
        .get(member)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

impl Viewer {
    /// The object as it runs.
    ///
    /// `id` is the name it was asked for by, `kind` the kind and version it is told in.
    pub(crate) fn live(
        &self,
        id: &ObjectId,
        kind: &GroupVersionKind,
        depth: Depth,
        mut object: Value,
    ) -> LiveObject {
        if depth == Depth::Metadata
            && let Value::Object(members) = &mut object
        {
            // It came as a PartialObjectMetadata.
            members.insert("apiVersion".into(), kind.api_version().into());
            members.insert("kind".into(), kind.kind.clone().into());
        }
        let none = Value::Null;
        let metadata = object.get("metadata").unwrap_or(&none);
        let uid = text(metadata, "uid").to_owned();
        let version = text(metadata, "resourceVersion").to_owned();
        let terminating = metadata.get("deletionTimestamp").is_some();
        let baseline = baseline(metadata, self.manager.as_str());
        let owner = owner_of(metadata, id, &self.reconciler);
        let keep = keep_mark(metadata);
        let mut live = LiveObject::new(id.clone(), uid, version, depth, Arc::new(object));
        live.terminating = terminating;
        live.baseline = baseline;
        live.owner = owner;
        live.keep = keep;
        live
    }

    /// The object as it runs, of which only the metadata was sent.
    pub(crate) fn seen(
        &self,
        id: &ObjectId,
        kind: &GroupVersionKind,
        metadata: Value,
    ) -> LiveObject {
        let object = Value::Object(Map::from_iter([("metadata".to_owned(), metadata)]));
        self.live(id, kind, Depth::Metadata, object)
    }
}
