//! Normalisers: for what the server or a controller rewrites and no schema says.
//!
//! Most of what other tools normalise needs no rule here, for the comparison knows the
//! schema: defaults, zeros, quantities, base64, lists with keys. What is left is a rule for
//! a kind, and a [`Normalizer`] is one such rule. [`builtin`] gives those of the built-in
//! kinds:
//!
//! | rule | of | what it does |
//! |---|---|---|
//! | [`AccountAlias`] | all that makes pods | `serviceAccount` is the old name of `serviceAccountName` |
//! | [`AddedTolerations`] | `Pod` | tolerations that the server adds |
//! | [`AggregatedRules`] | `ClusterRole` | rules that are gathered from other roles |
//! | [`AutoscalerAnnotations`] | `HorizontalPodAutoscaler` in `v1` | JSON in annotations, which the server writes anew |
//! | [`ClaimTemplates`] | `StatefulSet` | kind and status of claims |
//! | [`EndpointOrder`] | `Endpoints` | the server sorts them |
//! | [`LimitDefaults`] | `LimitRange` | limits that follow from other limits |
//! | [`PlaceholderBundles`] | webhooks, `CustomResourceDefinition`, `APIService` | an empty `caBundle` that something else fills in |
//! | [`SubjectGroups`] | role bindings | the group of a subject |
//!
//! Users add theirs to the [`SchemaDiffer`](crate::differ::SchemaDiffer):
//!
//! ```
//! use gitops_diff::{FieldManager, GroupKind};
//! use gitops_diff::SchemaDiffer;
//! use gitops_diff::normalize::Normalizer;
//! use gitops_diff::serde_json::{Value, json};
//!
//! /// Our mesh rewrites the number of proxies to what it thinks best.
//! struct ProxyCount;
//!
//! impl Normalizer for ProxyCount {
//!     fn applies_to(&self, kind: &GroupKind) -> bool {
//!         kind.group == "mesh.example.com" && kind.kind == "Gateway"
//!     }
//!     fn normalize(&self, object: &mut Value) {
//!         if let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) {
//!             spec.remove("proxies");
//!         }
//!     }
//! }
//!
//! let gateway = |proxies: u32, port: u32| {
//!     json!({"apiVersion": "mesh.example.com/v1", "kind": "Gateway", "metadata": {"name": "a"},
//!            "spec": {"proxies": proxies, "port": port}})
//! };
//! let differ = SchemaDiffer::builtin().with_normalizer(ProxyCount);
//! let ours = FieldManager::new("ours")?;
//! assert!(differ.compare(&gateway(1, 80), &gateway(7, 80), &ours)?.is_empty());
//! assert!(!differ.compare(&gateway(1, 80), &gateway(7, 81), &ours)?.is_empty());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A rule that a field is not to be compared is better said as an ignore rule, if all that it
//! needs is the path. The testkit's `laws::check_normalizer` tries a rule on objects of
//! every kind that it applies to.

use gitops_core::GroupKind;
use serde_json::{Map, Value};

mod access;
mod autoscaler;
mod bundle;
mod endpoints;
mod limits;
mod pods;

pub use access::{AggregatedRules, SubjectGroups};
pub use autoscaler::AutoscalerAnnotations;
pub use bundle::PlaceholderBundles;
pub use endpoints::EndpointOrder;
pub use limits::LimitDefaults;
pub use pods::{AccountAlias, AddedTolerations, ClaimTemplates};

/// Brings an object into the form in which it is compared.
///
/// # Contract
///
/// * Pure and idempotent: normalising twice is normalising once.
/// * Desired and live are normalised alike, each on its own.
/// * It doesn't touch `metadata.managedFields`, `apiVersion`, `kind` or the name.
/// * Objects of any shape are fine: what isn't as expected is left alone.
///
/// ```
/// use gitops_diff::GroupKind;
/// use gitops_diff::normalize::Normalizer;
/// use gitops_diff::serde_json::{Value, json};
///
/// /// An injector fills this in; it is nobody's desire.
/// struct InjectedCaBundle;
///
/// impl Normalizer for InjectedCaBundle {
///     fn applies_to(&self, kind: &GroupKind) -> bool {
///         kind.kind == "APIService"
///     }
///     fn normalize(&self, object: &mut Value) {
///         if let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) {
///             spec.remove("caBundle");
///         }
///     }
/// }
///
/// let mut service = json!({"spec": {"caBundle": "AAAA"}});
/// InjectedCaBundle.normalize(&mut service);
/// assert_eq!(service, json!({"spec": {}}));
/// ```
pub trait Normalizer: Send + Sync {
    /// Whether objects of this kind need it. Objects of others aren't copied for it.
    fn applies_to(&self, kind: &GroupKind) -> bool;

    /// Whether [`normalize`](Self::normalize) would change this object. An object that
    /// nothing changes isn't copied, so a rule that seldom has work to do is worth
    /// saying so; the default is that it has.
    fn touches(&self, object: &Value) -> bool {
        let _ = object;
        true
    }

    /// Rewrites the object.
    fn normalize(&self, object: &mut Value);
}

const _: Option<&dyn Normalizer> = None;

/// The normalisers of the built-in kinds.
///
/// ```
/// use gitops_diff::GroupKind;
/// use gitops_diff::normalize;
/// use gitops_diff::serde_json::json;
///
/// let kind = GroupKind::new("rbac.authorization.k8s.io", "RoleBinding");
/// let mut binding = json!({"subjects": [{"kind": "Group", "name": "devs"}]});
/// for rule in normalize::builtin() {
///     if rule.applies_to(&kind) {
///         rule.normalize(&mut binding);
///     }
/// }
/// assert_eq!(binding["subjects"][0]["apiGroup"], "rbac.authorization.k8s.io");
/// ```
#[must_use]
pub fn builtin() -> &'static [&'static dyn Normalizer] {
    &[
        &AccountAlias,
        &AddedTolerations,
        &AggregatedRules,
        &AutoscalerAnnotations,
        &ClaimTemplates,
        &EndpointOrder,
        &LimitDefaults,
        &PlaceholderBundles,
        &SubjectGroups,
    ]
}

fn is(kind: &GroupKind, group: &str, name: &str) -> bool {
    kind.group == group && kind.kind == name
}

/// The value at the end of a way of members.
fn at<'v>(object: &'v Value, path: &[&str]) -> Option<&'v Value> {
    path.iter().try_fold(object, |value, name| value.get(name))
}

fn at_mut<'v>(object: &'v mut Value, path: &[&str]) -> Option<&'v mut Value> {
    path.iter()
        .try_fold(object, |value, name| value.get_mut(name))
}

/// The objects of a list; none if it isn't one.
fn elements(list: Option<&Value>) -> impl Iterator<Item = &Map<String, Value>> {
    list.and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_object)
}

fn elements_mut(list: Option<&mut Value>) -> impl Iterator<Item = &mut Map<String, Value>> {
    list.and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
        .filter_map(Value::as_object_mut)
}

fn text_of<'v>(members: &'v Map<String, Value>, name: &str) -> &'v str {
    members
        .get(name)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests;
