//! The mark by which a reconciler knows its objects, and the marks of others.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Manifest, ObjectId, ReconcilerName};

/// The label that selects the objects of one reconciler. Its value is the reconciler's
/// name.
///
/// It only narrows watches and lists. It never proves ownership: operators copy labels to
/// the objects they make. [`OWNER_ANNOTATION`] does.
pub const RECONCILER_LABEL: &str = "gitops-sdk.dev/reconciler";

/// The annotation that says which reconciler owns the object, and which object it was
/// written for: `<reconciler>:<group>/<kind>:<namespace>/<name>`.
///
/// As it names the object itself, a copy on another object proves nothing. The idea is
/// Argo CD's [tracking id](https://argo-cd.readthedocs.io/en/stable/user-guide/resource_tracking/).
pub const OWNER_ANNOTATION: &str = "gitops-sdk.dev/owner";

/// To whom an object belongs, by the marks on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Owner {
    /// It carries no mark that we know.
    Nobody,
    /// It carries the mark of this reconciler.
    Us,
    /// It carries somebody else's mark.
    Other {
        /// The program, such as `Argo CD`.
        tool: String,
        /// The unit within the program, such as the application's name.
        name: String,
    },
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nobody => f.write_str("nobody"),
            Self::Us => f.write_str("this reconciler"),
            Self::Other { tool, name } => write!(f, "{tool} ({name})"),
        }
    }
}

/// The value of [`OWNER_ANNOTATION`] on `object`.
#[must_use]
pub fn owner_mark(reconciler: &ReconcilerName, object: &ObjectId) -> String {
    let ObjectId {
        group,
        kind,
        namespace,
        name,
    } = object;
    format!(
        "{reconciler}:{group}/{kind}:{}/{name}",
        namespace.as_deref().unwrap_or("")
    )
}

/// The manifest as it is applied: with the label and the annotation that say whose it is.
#[must_use]
pub fn mark_owned(manifest: &Manifest, reconciler: &ReconcilerName) -> Manifest {
    let mark = owner_mark(reconciler, manifest.id());
    manifest.marked(
        (RECONCILER_LABEL, reconciler.as_str()),
        (OWNER_ANNOTATION, &mark),
    )
}

/// Reads to whom the object belongs from its metadata: its `labels` and `annotations`.
///
/// Besides our own mark it knows Argo CD's tracking id, Flux's Kustomization and
/// HelmRelease labels, Helm's release annotations, kapp's app label, the inventory
/// annotation of cli-utils (kpt, Config Sync) and ApplySet's `part-of`, as
/// their sources state them. A self-referencing mark (ours, Argo CD's) that names another
/// object is a copy and counts for nothing.
///
/// ```
/// use gitops_core::{GroupKind, ObjectId, Owner, ReconcilerName, owner_of};
/// use serde_json::json;
///
/// let us = ReconcilerName::new("payments")?;
/// let web = ObjectId::namespaced(GroupKind::new("apps", "Deployment"), "shop", "web");
/// let metadata = json!({"labels": {"kustomize.toolkit.fluxcd.io/name": "apps"}});
/// assert_eq!(owner_of(&metadata, &web, &us).to_string(), "Flux (Kustomization apps)");
/// # Ok::<_, gitops_core::InvalidName>(())
/// ```
#[must_use]
pub fn owner_of(metadata: &Value, object: &ObjectId, us: &ReconcilerName) -> Owner {
    let text = |member: &str, key: &str| metadata.get(member)?.get(key)?.as_str();
    let label = |key: &str| text("labels", key).filter(|value| !value.is_empty());
    let annotation = |key: &str| text("annotations", key).filter(|value| !value.is_empty());
    let other = |tool: &str, name: String| Owner::Other {
        tool: tool.into(),
        name,
    };

    if let Some(mark) = annotation(OWNER_ANNOTATION) {
        if mark == owner_mark(us, object) {
            return Owner::Us;
        }
        if let Some((name, _)) = mark.split_once(':')
            && ReconcilerName::new(name).is_ok_and(|name| mark == owner_mark(&name, object))
        {
            return other("GitOps SDK", name.into());
        }
    }
    if let Some(id) = annotation("argocd.argoproj.io/tracking-id")
        && let Some((app, rest)) = id.split_once(':')
    {
        let ObjectId {
            group,
            kind,
            namespace,
            name,
        } = object;
        // Argo CD writes the namespace it applies to, also for cluster-scoped objects.
        let ours = match namespace {
            Some(namespace) => rest == format!("{group}/{kind}:{namespace}/{name}"),
            None => {
                rest.starts_with(&format!("{group}/{kind}:")) && rest.ends_with(&format!("/{name}"))
            }
        };
        if ours {
            return other("Argo CD", app.into());
        }
    }
    for (prefix, kind) in [
        ("kustomize.toolkit.fluxcd.io", "Kustomization"),
        ("helm.toolkit.fluxcd.io", "HelmRelease"),
    ] {
        if let Some(name) = label(&format!("{prefix}/name")) {
            return other("Flux", format!("{kind} {name}"));
        }
    }
    if let Some(release) = annotation("meta.helm.sh/release-name") {
        return other("Helm", release.into());
    }
    if let Some(app) = label("kapp.k14s.io/app") {
        return other("kapp", app.into());
    }
    if let Some(inventory) = annotation("config.k8s.io/owning-inventory") {
        return other("cli-utils", inventory.into());
    }
    for prefix in ["applyset.kubernetes.io", "applyset.k8s.io"] {
        if let Some(set) = label(&format!("{prefix}/part-of")) {
            return other("ApplySet", set.into());
        }
    }
    Owner::Nobody
}

/// The opt-outs that keep an object when it is withdrawn: annotation or label, and the
/// values that mean "keep".
///
/// Argo CD's are lists of options and are read apart.
const KEEP: [(&str, &[&str]); 6] = [
    ("gitops-sdk.dev/prune", &["disabled"]),
    ("kustomize.toolkit.fluxcd.io/prune", &["disabled"]),
    ("kustomize.toolkit.fluxcd.io/reconcile", &["disabled"]),
    ("cli-utils.sigs.k8s.io/on-remove", &["keep"]),
    ("client.lifecycle.config.k8s.io/deletion", &["detach"]),
    ("helm.sh/resource-policy", &["keep"]),
];

/// The mark that keeps an object when it is withdrawn from Git, if it carries one.
///
/// Reads ours (`gitops-sdk.dev/prune: disabled`), Flux's `prune` and `reconcile`, Argo CD's
/// `Prune=false` and `Delete=false`, those of cli-utils, Helm's `resource-policy` and kapp's
/// `delete-strategy: orphan`. Kapp aside they count as annotations and as labels,
/// whatever their case, as Flux reads its own.
#[must_use]
pub fn keep_mark(metadata: &Value) -> Option<String> {
    let texts: BTreeMap<&str, &str> = ["labels", "annotations"]
        .iter()
        .filter_map(|member| metadata.get(member)?.as_object())
        .flatten()
        .filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
        .collect();
    for (key, values) in KEEP
        .iter()
        .chain([&("kapp.k14s.io/delete-strategy", &["orphan"][..])])
    {
        if let Some(value) = texts.get(key)
            && values
                .iter()
                .any(|keep| value.trim().eq_ignore_ascii_case(keep))
        {
            return Some(format!("{key}: {}", value.trim()));
        }
    }
    let options = texts.get("argocd.argoproj.io/sync-options")?;
    options
        .split(',')
        .map(str::trim)
        .find(|option| matches!(*option, "Prune=false" | "Delete=false"))
        .map(|option| format!("argocd.argoproj.io/sync-options: {option}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{GroupKind, Origin};
    use serde_json::json;

    fn us() -> ReconcilerName {
        ReconcilerName::new("payments").unwrap()
    }

    fn web() -> ObjectId {
        ObjectId::namespaced(GroupKind::new("apps", "Deployment"), "shop", "web")
    }

    #[test]
    fn our_own_mark_comes_back_as_ours() {
        let value = json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "web", "namespace": "shop", "labels": null}});
        let manifest = Manifest::new(value, Origin::new("a.yaml".parse().unwrap(), 1, 1)).unwrap();
        let marked = mark_owned(&manifest, &us()).value();
        assert_eq!(owner_of(&marked["metadata"], &web(), &us()), Owner::Us);
        assert_eq!(marked["metadata"]["labels"][RECONCILER_LABEL], "payments");
        let stranger = ReconcilerName::new("other").unwrap();
        assert_eq!(
            owner_of(&marked["metadata"], &web(), &stranger),
            Owner::Other {
                tool: "GitOps SDK".into(),
                name: "payments".into()
            }
        );
    }

    #[test]
    fn a_copied_mark_proves_nothing() {
        let child = ObjectId::namespaced(GroupKind::new("", "Pod"), "shop", "web-1");
        for (key, value) in [
            (OWNER_ANNOTATION, owner_mark(&us(), &web())),
            (
                "argocd.argoproj.io/tracking-id",
                "app:apps/Deployment:shop/web".into(),
            ),
        ] {
            let metadata =
                json!({"annotations": {key: value}, "labels": {RECONCILER_LABEL: "payments"}});
            assert_eq!(owner_of(&metadata, &child, &us()), Owner::Nobody, "{key}");
        }
    }

    #[test]
    fn the_marks_of_others_name_them() {
        for (metadata, who) in [
            (
                json!({"annotations": {"argocd.argoproj.io/tracking-id": "app:apps/Deployment:shop/web"}}),
                "Argo CD (app)",
            ),
            (
                json!({"labels": {"helm.toolkit.fluxcd.io/name": "r"}}),
                "Flux (HelmRelease r)",
            ),
            (
                json!({"annotations": {"meta.helm.sh/release-name": "r"}}),
                "Helm (r)",
            ),
            (json!({"labels": {"kapp.k14s.io/app": "1"}}), "kapp (1)"),
            (
                json!({"annotations": {"config.k8s.io/owning-inventory": "i"}}),
                "cli-utils (i)",
            ),
            (
                json!({"labels": {"applyset.kubernetes.io/part-of": "s"}}),
                "ApplySet (s)",
            ),
            (json!({}), "nobody"),
            (json!(null), "nobody"),
        ] {
            assert_eq!(owner_of(&metadata, &web(), &us()).to_string(), who);
        }
    }

    #[test]
    fn opt_outs_are_read_in_every_dialect() {
        for (metadata, keeps) in [
            (
                json!({"annotations": {"kustomize.toolkit.fluxcd.io/prune": "Disabled"}}),
                true,
            ),
            (
                json!({"labels": {"kustomize.toolkit.fluxcd.io/prune": "disabled"}}),
                true,
            ),
            (
                json!({"annotations": {"argocd.argoproj.io/sync-options": "Replace=true, Prune=false"}}),
                true,
            ),
            (
                json!({"annotations": {"argocd.argoproj.io/sync-options": "Prune=true"}}),
                false,
            ),
            (
                json!({"annotations": {"client.lifecycle.config.k8s.io/deletion": "detach"}}),
                true,
            ),
            (
                json!({"annotations": {"cli-utils.sigs.k8s.io/on-remove": "keep"}}),
                true,
            ),
            (
                json!({"annotations": {"helm.sh/resource-policy": "keep"}}),
                true,
            ),
            (
                json!({"annotations": {"kapp.k14s.io/delete-strategy": "orphan"}}),
                true,
            ),
            (
                json!({"annotations": {"gitops-sdk.dev/prune": "disabled"}}),
                true,
            ),
            (
                json!({"annotations": {"gitops-sdk.dev/prune": "enabled"}}),
                false,
            ),
            (json!({}), false),
        ] {
            assert_eq!(keep_mark(&metadata).is_some(), keeps, "{metadata}");
        }
    }
}
