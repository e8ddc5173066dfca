//! A kind in all its versions, and several schemas as one.

use std::sync::Arc;

use super::{Schema, TypeRef};
use crate::managed::Versions;

/// A kind in all the versions that a schema knows.
///
/// As [`Versions`] it takes it that the versions have the same shape, so that only
/// `apiVersion` changes from one to the other. That is true for custom resources with
/// conversion strategy `None`, and for kinds with one version.
#[derive(Debug, Clone, Copy)]
pub struct Kind<'a> {
    schema: &'a Schema,
    group: &'a str,
    kind: &'a str,
}

impl<'a> Kind<'a> {
    pub(super) fn new(schema: &'a Schema, group: &'a str, kind: &'a str) -> Self {
        Self {
            schema,
            group,
            kind,
        }
    }
}

/// The group of an `apiVersion`: empty for `v1`.
pub(crate) fn group_of(api_version: &str) -> &str {
    api_version.split_once('/').map_or("", |(group, _)| group)
}

/// Group and version of an `apiVersion`; the group is empty for `v1`.
pub(crate) fn api_version_parts(api_version: &str) -> (&str, &str) {
    api_version.split_once('/').unwrap_or(("", api_version))
}

impl Versions for Kind<'_> {
    fn type_at(&self, api_version: &str) -> Option<TypeRef<'_>> {
        if group_of(api_version) != self.group {
            return None;
        }
        self.schema.type_of(api_version, self.kind)
    }

    fn refusal(&self, api_version: &str) -> Option<String> {
        let mut versions = self
            .schema
            .kinds()
            .filter(|(version, kind, _)| *kind == self.kind && group_of(version) == self.group);
        let custom = versions.any(|(_, _, ty)| !ty.name().is_some_and(is_native));
        custom.then(|| unknown_version(api_version))
    }
}

/// What the API server says of a version that a custom resource definition doesn't have.
fn unknown_version(api_version: &str) -> String {
    format!("request to convert CR to an invalid group/version: {api_version}")
}

/// Whether the type is a Go struct of the API server, and not a custom resource.
pub(crate) fn is_native(name: &str) -> bool {
    [
        "io.k8s.api.",
        "io.k8s.apimachinery.",
        "io.k8s.apiextensions-apiserver.",
        "io.k8s.kube-aggregator.",
    ]
    .iter()
    .any(|prefix| name.starts_with(prefix))
}

/// Several schemas, asked one after the other: say, the definitions in a commit, then
/// what the cluster says, then the built-in kinds.
///
/// ```
/// use gitops_diff::schema::Schemas;
///
/// let schemas = Schemas::builtin();
/// assert!(schemas.type_of("v1", "Pod").is_some());
/// assert!(schemas.type_of("example.com/v1", "Widget").is_none());
/// ```
#[derive(Debug, Clone, Default)]
pub struct Schemas {
    own: Vec<Arc<Schema>>,
    builtin: bool,
}

impl Schemas {
    /// Only what is [added](Self::with).
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// The built-in kinds, and what is [added](Self::with).
    #[must_use]
    pub fn builtin() -> Self {
        Self {
            own: Vec::new(),
            builtin: true,
        }
    }

    /// Adds a schema. It is asked before all that were added earlier.
    #[must_use]
    pub fn with(mut self, schema: impl Into<Arc<Schema>>) -> Self {
        self.own.push(schema.into());
        self
    }

    fn all(&self) -> impl Iterator<Item = &Schema> {
        self.own
            .iter()
            .rev()
            .map(AsRef::as_ref)
            .chain(self.builtin.then(Schema::builtin))
    }

    /// The type of a kind at an `apiVersion`.
    #[must_use]
    pub fn type_of(&self, api_version: &str, kind: &str) -> Option<TypeRef<'_>> {
        self.all()
            .find_map(|schema| schema.type_of(api_version, kind))
    }

    /// The type of a kind, or the [deduced type](Schema::deduced) if no schema has it.
    #[must_use]
    pub fn type_or_deduced(&self, api_version: &str, kind: &str) -> TypeRef<'_> {
        match self.type_of(api_version, kind) {
            Some(ty) => ty,
            None => Schema::deduced(),
        }
    }

    /// The schema that has this kind in some version.
    #[must_use]
    pub fn kind<'a>(&'a self, group: &'a str, kind: &'a str) -> Option<Kind<'a>> {
        self.all()
            .find(|schema| {
                schema
                    .kinds()
                    .any(|(version, name, _)| name == kind && group_of(version) == group)
            })
            .map(|schema| schema.kind(group, kind))
    }
}
