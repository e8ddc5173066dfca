//! Strategies for [proptest]: manifests that an API server takes, what happens to them,
//! and secrets that must not be seen again.
//!
//! | strategy | value |
//! |---|---|
//! | [`manifest`] | a manifest of a built-in kind, the common kinds often |
//! | [`object`] | the same as JSON |
//! | [`any_object`] | an object of any built-in kind, the common ones mostly |
//! | [`objects_in`] | an object of any kind of a schema of yours |
//! | [`object_of`], [`objects_of`], [`manifest_of`] | of one kind, or of some |
//! | [`custom_resource`] | an instance of a `CustomResourceDefinition` |
//! | [`edit`], [`edit_of`] | something that happens to an object: see [`Edit`] |
//! | [`secret_manifest`] | a manifest and the secrets planted in it: see [`Planted`] |
//!
//! Everything is made from the schema of the kind (types, enums, formats, the keys of
//! list maps) and, for the common kinds, from what the API server's validation asks for
//! beyond it: a selector matches its template, a limit is no less than its request, a
//! volume has one source. Values are bounded in size, and shrink to a small object of the
//! same kind that is still valid.
//!
//! # Example: a property of your own
//!
//! ```
//! use gitops_testkit::arb;
//! use proptest::prelude::*;
//!
//! /// The code under test.
//! fn strip_status(object: &serde_json::Value) -> serde_json::Value {
//!     let mut object = object.clone();
//!     object.as_object_mut().unwrap().remove("status");
//!     object
//! }
//!
//! proptest!(|(object in arb::object(), edit in arb::edit_of(&[arb::EditKind::Status]))| {
//!     let live = edit.apply(&object);
//!     prop_assert_eq!(strip_status(&live), object);
//! });
//! ```

pub(crate) mod dice;
pub(crate) mod edit;
mod generate;
pub(crate) mod live;
pub(crate) mod object;
pub(crate) mod place;
mod rules;
mod scalar;
mod secret;
mod settle;

use gitops_core::{GroupVersionKind, Manifest};
use gitops_diff::schema::{Schema, SchemaError, builtin_resources};
use proptest::strategy::Strategy;
use serde_json::Value;

pub use edit::{CONTROLLER, Edit, EditKind, Edited, RIVAL, edit, edit_of};
pub use live::{applied, created};
pub use object::{ObjectTree, Objects};

pub use secret::{Canary, Planted, secret_manifest};

use object::{Recipe, SchemaOf};
use std::sync::Arc;

/// The common kinds, and how often each comes.
const COMMON: &[(u32, &str, &str)] = &[
    (12, "apps/v1", "Deployment"),
    (5, "apps/v1", "StatefulSet"),
    (4, "apps/v1", "DaemonSet"),
    (10, "v1", "Service"),
    (10, "v1", "ConfigMap"),
    (5, "v1", "Secret"),
    (6, "networking.k8s.io/v1", "Ingress"),
    (3, "batch/v1", "Job"),
    (4, "batch/v1", "CronJob"),
    (4, "v1", "ServiceAccount"),
    (3, "rbac.authorization.k8s.io/v1", "Role"),
    (3, "rbac.authorization.k8s.io/v1", "RoleBinding"),
    (2, "rbac.authorization.k8s.io/v1", "ClusterRole"),
    (2, "rbac.authorization.k8s.io/v1", "ClusterRoleBinding"),
    (3, "v1", "Namespace"),
    (4, "autoscaling/v2", "HorizontalPodAutoscaler"),
    (3, "policy/v1", "PodDisruptionBudget"),
    (3, "v1", "PersistentVolumeClaim"),
    (4, "networking.k8s.io/v1", "NetworkPolicy"),
];

/// Manifests of the common built-in kinds, about as often as they are met: Deployment,
/// StatefulSet, DaemonSet, Service, ConfigMap, Secret, Ingress, Job, CronJob,
/// ServiceAccount, roles and their bindings, Namespace, HorizontalPodAutoscaler,
/// PodDisruptionBudget, PersistentVolumeClaim, NetworkPolicy.
///
/// A [`Manifest`]'s `Debug` shows no content, so that a failure names the object but not
/// what is in it: take [`object`] where you want proptest to print it. The
/// [laws](crate::laws) print their input themselves.
///
/// ```
/// use gitops_testkit::arb;
/// use proptest::prelude::*;
///
/// proptest!(|(manifest in arb::manifest())| {
///     prop_assert!(!manifest.id().name.is_empty());
/// });
/// ```
pub fn manifest() -> impl Strategy<Value = Manifest> + Clone {
    object().manifests()
}

/// As [`manifest`], as JSON.
#[must_use]
pub fn object() -> Objects {
    Objects::of(
        COMMON
            .iter()
            .filter_map(|(weight, api_version, kind)| builtin(api_version, kind, *weight))
            .collect(),
    )
}

/// Objects of all built-in kinds that can be stored: the common ones as [`object`] makes
/// them, and in one of six some other kind.
///
/// ```
/// use gitops_testkit::arb;
/// use proptest::prelude::*;
///
/// proptest!(|(object in arb::any_object())| {
///     prop_assert!(object["metadata"]["name"].is_string());
/// });
/// ```
#[must_use]
pub fn any_object() -> Objects {
    // So many of the weights of `COMMON` together.
    const SCALE: u32 = 5;
    let common = COMMON
        .iter()
        .filter_map(|(weight, api_version, kind)| builtin(api_version, kind, weight * 10));
    let total: u32 = COMMON.iter().map(|(weight, ..)| weight * 10).sum();
    let others: Vec<_> = builtin_resources()
        .iter()
        .filter(|resource| {
            !COMMON.iter().any(|(_, api_version, kind)| {
                *kind == resource.kind && *api_version == resource.api_version()
            })
        })
        .filter_map(|resource| builtin(&resource.api_version(), &resource.kind, 1))
        .collect();
    let each = total / SCALE / u32::try_from(others.len().max(1)).unwrap_or(1);
    let others = others.into_iter().map(|recipe| Recipe {
        weight: each.max(1),
        ..recipe
    });
    Objects::of(common.chain(others).collect())
}

/// Objects of all kinds of a schema, such as one that was read from an OpenAPI document. What
/// its types say is kept. A schema doesn't say which kinds are namespaced; these have a
/// namespace. `None` if it has no kind.
///
/// ```
/// use gitops_diff::schema::Schema;
/// use gitops_testkit::arb;
/// use proptest::prelude::*;
/// use serde_json::json;
///
/// let schema = Schema::from_openapi(&json!({"components": {"schemas": {"Cat": {
///     "type": "object",
///     "properties": {"lives": {"type": "integer"}},
///     "x-kubernetes-group-version-kind": [{"group": "pets", "version": "v1", "kind": "Cat"}],
/// }}}}))?;
/// proptest!(|(cat in arb::objects_in(schema).unwrap())| {
///     prop_assert_eq!(&cat["kind"], "Cat");
/// });
/// # Ok::<_, gitops_diff::schema::SchemaError>(())
/// ```
#[must_use]
pub fn objects_in(schema: impl Into<Arc<Schema>>) -> Option<Objects> {
    let recipes = recipes_of(&schema.into(), true);
    (!recipes.is_empty()).then(|| Objects::of(recipes))
}

fn recipes_of(schema: &Arc<Schema>, namespaced: bool) -> Vec<Recipe> {
    schema
        .kinds()
        .map(|(api_version, kind, _)| Recipe {
            schema: SchemaOf::Own(Arc::clone(schema)),
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            namespaced,
            weight: 1,
        })
        .collect()
}

/// The kind in the built-in schema, if objects of it can be made.
fn builtin(api_version: &str, kind: &str, weight: u32) -> Option<Recipe> {
    Schema::builtin().type_of(api_version, kind)?;
    let resource = builtin_resources()
        .iter()
        .find(|resource| resource.kind == kind && resource.api_version() == api_version)?;
    Some(Recipe {
        schema: SchemaOf::Builtin,
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
        namespaced: resource.namespaced,
        weight,
    })
}

/// Objects of one built-in kind; `None` if there is no such kind.
///
/// Any kind that can be stored works. Those that [`manifest`] makes are valid in all; of
/// the others what the schema says is, and what only the server's code checks need not be.
///
/// ```
/// use gitops_core::GroupVersionKind;
/// use gitops_testkit::arb;
/// use proptest::prelude::*;
///
/// let deployment = GroupVersionKind::from_api_version("apps/v1", "Deployment");
/// proptest!(|(object in arb::object_of(&deployment).unwrap())| {
///     let labels = &object["spec"]["selector"]["matchLabels"];
///     for (key, value) in labels.as_object().unwrap() {
///         prop_assert_eq!(&object["spec"]["template"]["metadata"]["labels"][key], value);
///     }
/// });
/// assert!(arb::object_of(&GroupVersionKind::from_api_version("v1", "Nothing")).is_none());
/// ```
#[must_use]
pub fn object_of(kind: &GroupVersionKind) -> Option<Objects> {
    builtin(&kind.api_version(), &kind.kind, 1).map(|recipe| Objects::of(vec![recipe]))
}

/// Objects of these built-in kinds, each as often; those that there aren't are left out.
/// `None` if none is left.
#[must_use]
pub fn objects_of(kinds: &[GroupVersionKind]) -> Option<Objects> {
    let recipes: Vec<Recipe> = kinds
        .iter()
        .filter_map(|kind| builtin(&kind.api_version(), &kind.kind, 1))
        .collect();
    (!recipes.is_empty()).then(|| Objects::of(recipes))
}

/// Manifests of one built-in kind: [`object_of`] as manifests.
pub fn manifest_of(kind: &GroupVersionKind) -> Option<impl Strategy<Value = Manifest> + Clone> {
    object_of(kind).map(Objects::manifests)
}

/// Instances of a `CustomResourceDefinition`, in every version that it serves. The status
/// is left out.
///
/// What the definition's types, enums, formats and list keys say is kept; patterns,
/// bounds and CEL rules are not.
///
/// ```
/// use gitops_testkit::arb;
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
///             "type": "object",
///             "properties": {"spec": {
///                 "type": "object",
///                 "required": ["color"],
///                 "properties": {"color": {"type": "string", "enum": ["red", "blue"]}},
///             }},
///             "required": ["spec"],
///         }}}],
///     },
/// });
/// proptest!(|(widget in arb::custom_resource(&definition)?)| {
///     prop_assert!(widget["spec"]["color"] == "red" || widget["spec"]["color"] == "blue");
/// });
/// # Ok::<_, gitops_diff::schema::SchemaError>(())
/// ```
///
/// # Errors
///
/// If it isn't a definition with a schema.
pub fn custom_resource(definition: &Value) -> Result<Objects, SchemaError> {
    let schema = Arc::new(Schema::from_crd(definition)?);
    let namespaced = definition["spec"]["scope"] != "Cluster";
    let recipes = recipes_of(&schema, namespaced);
    Ok(Objects::of(recipes))
}
