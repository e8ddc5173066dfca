//! Who owns which field: server-side apply and the bookkeeping of
//! `metadata.managedFields`, as pure functions.
//!
//! [`apply`] is what the API server does with a server-side apply, [`track`] what it
//! does after a create, an update or a patch. Neither needs a cluster. Both take the
//! object as JSON, the [type](crate::schema) of the object, and the time as an
//! argument, and answer with the object that the server would go on with: merged,
//! with its `managedFields`, but not yet defaulted, admitted or validated.
//!
//! The rules are those of Kubernetes 1.36 (`k8s.io/apimachinery/pkg/util/managedfields`
//! on `sigs.k8s.io/structured-merge-diff/v6`), down to the text of conflicts and errors.
//!
//! ```
//! use gitops_diff::managed::{apply, Apply, Target};
//! use gitops_diff::schema::Schema;
//! use serde_json::json;
//!
//! let kind = Schema::builtin().kind("", "ConfigMap");
//! let target = Target::new(&kind, "v1", "ConfigMap");
//! let now = "2026-01-02T03:04:05Z".parse()?;
//!
//! let desired = json!({
//!     "apiVersion": "v1", "kind": "ConfigMap",
//!     "metadata": {"name": "settings"}, "data": {"mode": "fast"},
//! });
//! let created = apply(&target, &Apply::new(&desired, "ours", now))?;
//! let live = created.object;
//!
//! // Somebody else wants another value: a conflict that names the field and its owner.
//! let other = json!({
//!     "apiVersion": "v1", "kind": "ConfigMap",
//!     "metadata": {"name": "settings"}, "data": {"mode": "slow"},
//! });
//! let refused = apply(&target, &Apply::new(&other, "theirs", now).live(&live)).unwrap_err();
//! assert_eq!(
//!     refused.to_string(),
//!     r#"Apply failed with 1 conflict: conflict with "ours": .data.mode"#
//! );
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```

mod apply;
mod entries;
mod error;
mod own;
mod reset;
mod scale;
mod track;
mod update;

pub use apply::{Applied, Apply, apply};
pub use entries::{Entry, ManagedFields, Manager, Operation, keep_times};
pub use error::{Conflict, Conflicts, ManagedError};
pub use own::{OwnEntry, baseline, lost, own_entry};
pub use reset::reset_fields;
pub use scale::{ReplicasPaths, from_scale, to_scale};
pub use track::{Track, track};

use std::borrow::Cow;

use serde_json::Value;

use crate::fieldset::FieldSet;
use crate::schema::TypeRef;

/// The versions in which a kind is served: what is needed to compare fields that were
/// recorded at another `apiVersion` than the one written.
///
/// [`schema::Kind`](crate::schema::Kind) implements it for kinds whose versions have
/// the same shape (every custom resource with conversion strategy `None`).
pub trait Versions {
    /// The type of the kind at `api_version` (such as `apps/v1`), or `None` if there is
    /// no such version. Entries at such a version are dropped, as the API server drops
    /// those of built-in kinds, unless [`refusal`](Self::refusal) says otherwise.
    ///
    /// A version that a definition has, but isn't served, has a type.
    fn type_at(&self, api_version: &str) -> Option<TypeRef<'_>>;

    /// Why an object can't be converted to `api_version`, for which there is no type. With
    /// a message, an entry at that version makes a write fail: an apply is refused
    /// ([`ManagedError::Internal`]), and any other write loses all `managedFields`. That
    /// is what the API server does where a custom resource definition has lost a version.
    fn refusal(&self, api_version: &str) -> Option<String> {
        let _ = api_version;
        None
    }

    /// `object`, which is at one served version, at another one.
    ///
    /// # Errors
    ///
    /// A message, which becomes [`ManagedError::Internal`].
    fn convert(&self, object: &Value, api_version: &str) -> Result<Value, String> {
        let mut object = object.clone();
        if let Some(members) = object.as_object_mut() {
            members.insert("apiVersion".to_owned(), Value::from(api_version));
        }
        Ok(object)
    }
}

/// What a request is sent to: a kind, at a version, or a subresource of it.
#[derive(Clone)]
#[non_exhaustive]
pub struct Target<'a> {
    /// The kind in all its versions.
    pub versions: &'a dyn Versions,
    /// The `apiVersion` of the request, such as `apps/v1`.
    pub api_version: Cow<'a, str>,
    /// The kind of the request, such as `Deployment`.
    pub kind: Cow<'a, str>,
    /// The subresource, such as `status`; empty for the object itself.
    pub subresource: Cow<'a, str>,
    /// Fields that this endpoint resets, and nobody can own through it, each with all
    /// that lies under it: `.status` for an object whose status is a subresource.
    pub reset: Option<&'a FieldSet<'a>>,
}

impl<'a> Target<'a> {
    /// The object itself, with no reset fields.
    #[must_use]
    pub fn new(
        versions: &'a dyn Versions,
        api_version: impl Into<Cow<'a, str>>,
        kind: impl Into<Cow<'a, str>>,
    ) -> Self {
        Self {
            versions,
            api_version: api_version.into(),
            kind: kind.into(),
            subresource: Cow::Borrowed(""),
            reset: None,
        }
    }

    pub(crate) fn ty(&self) -> Result<TypeRef<'a>, ManagedError> {
        self.versions.type_at(&self.api_version).ok_or_else(|| {
            let (group, version) = crate::schema::api_version_parts(&self.api_version);
            ManagedError::Internal(format!(
                "no corresponding type for {group}/{version}, Kind={}",
                self.kind
            ))
        })
    }

    /// The same for a subresource.
    #[must_use]
    pub fn subresource(mut self, name: impl Into<Cow<'a, str>>) -> Self {
        self.subresource = name.into();
        self
    }

    /// The same with fields that this endpoint resets.
    #[must_use]
    pub fn reset(mut self, fields: &'a FieldSet<'a>) -> Self {
        self.reset = Some(fields);
        self
    }
}
