//! What laws ask, and of whom.

use gitops_core::{DiffRequest, Differ, Difference, FieldManager, Manifest};
use gitops_diff::schema::{Schema, SchemaError, Schemas, TypeRef};
use serde_json::Value;

use super::{Law, manager, rival, shown};
use crate::arb;
use crate::arb::edit::type_of;
use crate::arb::object::manifest_from;
use crate::laws::LawBroken;

/// A differ, and the custom kinds that it is asked about besides the built-in ones.
///
/// Laws take either: a reference to a differ, where nothing but built-in kinds is asked about,
/// or a subject, which is cheap to clone.
///
/// ```
/// use gitops_diff::SchemaDiffer;
/// use gitops_testkit::{arb, laws};
/// use proptest::prelude::*;
/// use serde_json::json;
///
/// let definition = json!({
///     "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
///     "metadata": {"name": "widgets.example.com"},
///     "spec": {
///         "group": "example.com", "scope": "Namespaced",
///         "names": {"kind": "Widget", "plural": "widgets"},
///         "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {
///             "type": "object", "properties": {"spec": {"type": "object", "properties": {
///                 "sizes": {"type": "array", "items": {"type": "integer"}, "x-kubernetes-list-type": "set"},
///             }}},
///         }}}],
///     },
/// });
/// let differ = SchemaDiffer::builtin();
/// let subject = laws::Subject::new(&differ).with_definition(&definition)?;
/// proptest!(|(widget in arb::custom_resource(&definition)?.manifests(), edit in arb::edit())| {
///     laws::differ::honest(subject.clone(), &widget, &[edit])?;
/// });
/// # Ok::<_, gitops_diff::schema::SchemaError>(())
/// ```
pub struct Subject<'d, D: ?Sized> {
    pub(super) differ: &'d D,
    schemas: Schemas,
    pub(super) definitions: Vec<Manifest>,
}

impl<'d, D: ?Sized> Subject<'d, D> {
    /// A differ that is asked about built-in kinds.
    #[must_use]
    pub fn new(differ: &'d D) -> Self {
        Self {
            differ,
            schemas: Schemas::builtin(),
            definitions: Vec::new(),
        }
    }

    /// The same, asked about the kind of a `CustomResourceDefinition` too. The definition
    /// comes with every request, as one of the same revision does.
    ///
    /// # Errors
    ///
    /// If it isn't a definition, or has no name.
    pub fn with_definition(mut self, definition: &Value) -> Result<Self, SchemaError> {
        self.schemas = self.schemas.with(Schema::from_crd(definition)?);
        let manifest = manifest_from(definition.clone()).map_err(|error| SchemaError::Invalid {
            path: "metadata".to_owned(),
            problem: error.to_string(),
        })?;
        self.definitions.push(manifest);
        Ok(self)
    }

    pub(super) fn schemas(&self) -> &Schemas {
        &self.schemas
    }

    /// Live after `manifest` was applied to nothing.
    pub(super) fn created(
        &self,
        law: &'static str,
        manifest: &Manifest,
    ) -> Result<Value, LawBroken> {
        arb::created(manifest, &manager(), &self.schemas).map_err(|error| {
            LawBroken::new(law, format!("the manifest can't be applied: {error}"))
                .with("desired", &manifest.value())
        })
    }

    /// Live after `manager` applied `manifest`, with force.
    pub(super) fn applied(
        &self,
        law: &'static str,
        manifest: &Manifest,
        live: &Value,
        manager: &FieldManager,
    ) -> Result<Value, LawBroken> {
        arb::applied(manifest, live, manager, &self.schemas).map_err(|error| {
            LawBroken::new(law, format!("{manager} can't apply: {error}"))
                .with("desired", &manifest.value())
                .with("live", live)
        })
    }
}

impl<D: ?Sized> Clone for Subject<'_, D> {
    fn clone(&self) -> Self {
        Self {
            differ: self.differ,
            schemas: self.schemas.clone(),
            definitions: self.definitions.clone(),
        }
    }
}

impl<D: ?Sized> std::fmt::Debug for Subject<'_, D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subject")
            .field("definitions", &self.definitions)
            .finish_non_exhaustive()
    }
}

impl<'d, D: ?Sized> From<&'d D> for Subject<'d, D> {
    fn from(differ: &'d D) -> Self {
        Self::new(differ)
    }
}

/// One question to a differ, and who asks.
pub(super) struct Case<'a, 'd, D: ?Sized> {
    law: &'static str,
    subject: &'a Subject<'d, D>,
    desired: &'a Manifest,
    live: &'a Value,
    manager: FieldManager,
}

impl<'a, 'd, D: Differ + ?Sized> Case<'a, 'd, D> {
    pub(super) fn new(
        law: &'static str,
        subject: &'a Subject<'d, D>,
        desired: &'a Manifest,
        live: &'a Value,
    ) -> Self {
        Self {
            law,
            subject,
            desired,
            live,
            manager: manager(),
        }
    }

    /// The same, asked by [`RIVAL`].
    pub(super) fn by_rival(mut self) -> Self {
        self.manager = rival();
        self
    }

    pub(super) fn broken(&self, why: impl Into<String>) -> LawBroken {
        let broken = LawBroken::new(self.law, why)
            .with("desired", &self.desired.value())
            .with("live", self.live);
        let definitions = self.subject.definitions.iter();
        definitions.fold(broken, |broken, definition| {
            broken.with("definition", &definition.value())
        })
    }

    pub(super) fn diff(&self) -> Result<Difference, LawBroken> {
        let request = DiffRequest::new(self.desired, self.live, &self.manager)
            .with_definitions(&self.subject.definitions);
        self.subject.differ.diff(&request).map_err(|error| {
            self.broken(format!("two objects that fit can't be compared: {error}"))
        })
    }

    pub(super) fn ty(&self) -> Option<TypeRef<'_>> {
        type_of(self.live, self.subject.schemas())
    }

    pub(super) fn nothing(&self, what: &str) -> Law {
        let answer = self.diff()?;
        if answer.is_empty() {
            return Ok(());
        }
        Err(self
            .broken(format!("{what}, and yet there is a difference"))
            .with_text("answer", shown(&answer)))
    }
}
