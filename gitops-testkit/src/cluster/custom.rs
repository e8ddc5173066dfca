//! Custom resources: what a CustomResourceDefinition adds to the API.

use std::sync::Arc;

use gitops_diff::schema::Schema;
use serde_json::{Map, Value, json};

use super::registry::{Resource, StorageKey, Subresource};

/// One version of a custom resource.
#[derive(Debug)]
pub(crate) struct CustomVersion {
    /// The definition's name.
    pub(crate) definition: String,
    /// The definition itself.
    pub(crate) crd: Arc<Value>,
    /// The entry of `spec.versions`.
    pub(crate) version: Value,
    /// The version in which objects are stored.
    pub(crate) storage_version: String,
    pub(crate) has_status: bool,
    /// `specReplicasPath`, `statusReplicasPath`, `labelSelectorPath`.
    pub(crate) scale: Option<ScalePaths>,
    /// The warning of a deprecated version.
    pub(crate) deprecation: Option<String>,
    /// The definition is being deleted: nothing new can be created.
    pub(crate) terminating: bool,
    /// The types of all versions, made at first use.
    types: std::sync::OnceLock<Option<Arc<Schema>>>,
    /// The structural schema, made at first use.
    structural: std::sync::OnceLock<crate::crd::Schema>,
}

/// Where the scale subresource finds its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ScalePaths {
    pub(crate) spec_replicas: Vec<String>,
    pub(crate) status_replicas: Vec<String>,
    pub(crate) selector: Option<Vec<String>>,
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn texts(value: &Value, key: &str) -> Vec<String> {
    value
        .get(key)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

fn path(text: &str) -> Vec<String> {
    text.trim_start_matches('.')
        .split('.')
        .map(str::to_owned)
        .collect()
}

impl CustomVersion {
    /// The types of the definition's versions; `None` if they can't be read.
    pub(crate) fn types(&self) -> Option<&Schema> {
        self.types
            .get_or_init(|| {
                let mut crd = self.crd.as_ref().clone();
                crd["kind"] = json!("CustomResourceDefinition");
                Schema::from_crd(&crd).ok().map(Arc::new)
            })
            .as_deref()
    }

    fn versions(&self) -> impl Iterator<Item = &Value> {
        self.crd
            .pointer("/spec/versions")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
    }

    fn group(&self) -> &str {
        text(&self.crd["spec"], "group")
    }

    /// Whether the definition has `api_version`, served or not.
    pub(crate) fn has(&self, api_version: &str) -> bool {
        self.versions()
            .any(|version| api_version == format!("{}/{}", self.group(), text(version, "name")))
    }

    /// Whether the definition serves `api_version`.
    pub(crate) fn is_served(&self, api_version: &str) -> bool {
        self.versions().any(|version| {
            version.get("served") == Some(&Value::Bool(true))
                && api_version == format!("{}/{}", self.group(), text(version, "name"))
        })
    }

    /// The scale subresource of every version.
    pub(crate) fn scales(&self) -> Vec<(String, Option<ScalePaths>)> {
        self.versions()
            .map(|version| {
                let name = format!("{}/{}", self.group(), text(version, "name"));
                (
                    name,
                    version.pointer("/subresources/scale").map(scale_paths),
                )
            })
            .collect()
    }

    /// The names of the fields that may be selected by, as `spec.x`.
    pub(crate) fn selectable_fields(&self) -> Vec<&str> {
        self.version
            .get("selectableFields")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(|field| field.get("jsonPath"))
            .filter_map(Value::as_str)
            .map(|path| path.trim_start_matches('.'))
            .collect()
    }

    /// The schema as the definition states it.
    pub(crate) fn schema(&self) -> &Value {
        self.version
            .pointer("/schema/openAPIV3Schema")
            .unwrap_or(&Value::Null)
    }

    /// The schema as rules for objects.
    pub(crate) fn structural(&self) -> &crate::crd::Schema {
        self.structural
            .get_or_init(|| crate::crd::Schema::new(self.schema()))
    }
}

fn scale_paths(scale: &Value) -> ScalePaths {
    ScalePaths {
        spec_replicas: path(text(scale, "specReplicasPath")),
        status_replicas: path(text(scale, "statusReplicasPath")),
        selector: scale
            .get("labelSelectorPath")
            .and_then(Value::as_str)
            .map(path),
    }
}

/// The resources that an established definition serves, best version first.
pub(crate) fn resources(crd: &Value) -> Vec<Resource> {
    let spec = &crd["spec"];
    let names = &crd["status"]["acceptedNames"];
    let group = text(spec, "group");
    let plural = text(names, "plural");
    let terminating = crd.pointer("/metadata/deletionTimestamp").is_some();
    let shared = Arc::new(crd.clone());
    let versions = spec
        .get("versions")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    let storage_version = versions
        .iter()
        .find(|v| v.get("storage") == Some(&Value::Bool(true)))
        .map(|v| text(v, "name").to_owned())
        .unwrap_or_default();
    let mut found: Vec<Resource> = versions
        .into_iter()
        .filter(|v| v.get("served") == Some(&Value::Bool(true)))
        .map(|version| {
            let name = text(&version, "name").to_owned();
            let sub = version.get("subresources").cloned().unwrap_or_default();
            let kind = text(names, "kind").to_owned();
            let scale = sub.get("scale").map(scale_paths);
            let has_status = sub.get("status").is_some();
            let deprecation = (version.get("deprecated") == Some(&Value::Bool(true)))
                .then(|| deprecation_warning(group, &kind, &version, spec));
            let mut subresources = Vec::new();
            let verbs = || ["get", "patch", "update"].map(str::to_owned).to_vec();
            if has_status {
                subresources.push(Subresource {
                    name: "status".to_owned(),
                    group: group.to_owned(),
                    version: name.clone(),
                    kind: kind.clone(),
                    verbs: verbs(),
                });
            }
            if scale.is_some() {
                subresources.push(Subresource {
                    name: "scale".to_owned(),
                    group: "autoscaling".to_owned(),
                    version: "v1".to_owned(),
                    kind: "Scale".to_owned(),
                    verbs: verbs(),
                });
            }
            Resource {
                group: group.to_owned(),
                version: name,
                plural: plural.to_owned(),
                singular: text(names, "singular").to_owned(),
                list_kind: text(names, "listKind").to_owned(),
                namespaced: text(spec, "scope") == "Namespaced",
                verbs: [
                    "delete",
                    "deletecollection",
                    "get",
                    "list",
                    "patch",
                    "create",
                    "update",
                    "watch",
                ]
                .map(str::to_owned)
                .to_vec(),
                short_names: texts(names, "shortNames"),
                categories: texts(names, "categories"),
                subresources,
                storage: StorageKey::new(group, plural),
                builtin: None,
                custom: Some(Arc::new(CustomVersion {
                    definition: text(&crd["metadata"], "name").to_owned(),
                    crd: shared.clone(),
                    storage_version: storage_version.clone(),
                    has_status,
                    scale,
                    deprecation,
                    terminating,
                    version,
                    types: std::sync::OnceLock::new(),
                    structural: std::sync::OnceLock::new(),
                })),
                kind,
            }
        })
        .collect();
    found.sort_by(|a, b| compare_versions(&a.version, &b.version));
    found
}

fn deprecation_warning(group: &str, kind: &str, version: &Value, spec: &Value) -> String {
    if let Some(own) = version.get("deprecationWarning").and_then(Value::as_str) {
        return own.to_owned();
    }
    let name = text(version, "name");
    let newer = spec
        .get("versions")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter(|v| {
            v.get("served") == Some(&Value::Bool(true))
                && v.get("deprecated") != Some(&Value::Bool(true))
        })
        .map(|v| text(v, "name"))
        .filter(|other| compare_versions(other, name).is_lt())
        .min_by(|a, b| compare_versions(a, b));
    match newer {
        Some(newer) => format!("{group}/{name} {kind} is deprecated; use {group}/{newer} {kind}"),
        None => format!("{group}/{name} {kind} is deprecated"),
    }
}

/// Orders versions as Kubernetes prefers them: `v2`, `v1`, `v1beta1`, `v1alpha1`, others.
pub(crate) fn compare_versions(a: &str, b: &str) -> std::cmp::Ordering {
    fn rank(version: &str) -> Option<(u8, u64, u64)> {
        let rest = version.strip_prefix('v')?;
        let end = rest
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(rest.len());
        let major = rest.get(..end)?.parse().ok()?;
        let tail = rest.get(end..)?;
        if tail.is_empty() {
            return Some((3, major, 0));
        }
        for (name, stage) in [("beta", 2), ("alpha", 1)] {
            if let Some(minor) = tail.strip_prefix(name) {
                return Some((stage, major, minor.parse().ok()?));
            }
        }
        None
    }
    match (rank(a), rank(b)) {
        (Some(a), Some(b)) => b.cmp(&a),
        (Some(_), None) => std::cmp::Ordering::Less,
        (None, Some(_)) => std::cmp::Ordering::Greater,
        (None, None) => a.cmp(b),
    }
}

/// The names a definition asks for, and whether they are free.
pub(crate) struct NameCheck {
    /// The names it gets.
    pub(crate) accepted: Value,
    /// `NamesAccepted`: status, reason, message.
    pub(crate) condition: (&'static str, &'static str, String),
}

/// Compares the names of `crd` with those that `others` of the same group hold.
pub(crate) fn check_names(crd: &Value, others: &[&Value]) -> NameCheck {
    let wanted = &crd["spec"]["names"];
    let held: Vec<&Value> = others
        .iter()
        .map(|o| &o["status"]["acceptedNames"])
        .collect();
    let mut resource_names: Vec<String> = Vec::new();
    let mut kinds: Vec<String> = Vec::new();
    for names in &held {
        for key in ["plural", "singular"] {
            resource_names.push(text(names, key).to_owned());
        }
        resource_names.extend(texts(names, "shortNames"));
        for key in ["kind", "listKind"] {
            kinds.push(text(names, key).to_owned());
        }
    }
    let previous = crd
        .pointer("/status/acceptedNames")
        .cloned()
        .unwrap_or_else(|| json!({}));
    let mut accepted = previous.as_object().cloned().unwrap_or_default();
    let mut problem: Option<(&'static str, String)> = None;
    let taken = |list: &[String], name: &str| list.iter().any(|n| n == name);
    // The last conflict is the one that is told.
    let settle = |key: &'static str,
                  reason: &'static str,
                  list: &[String],
                  accepted: &mut Map<String, Value>,
                  problem: &mut Option<(&'static str, String)>| {
        let name = text(wanted, key);
        if taken(list, name) {
            *problem = Some((reason, format!("{name:?} is already in use")));
        } else {
            accepted.insert(key.to_owned(), json!(name));
        }
    };
    settle(
        "plural",
        "PluralConflict",
        &resource_names,
        &mut accepted,
        &mut problem,
    );
    settle(
        "singular",
        "SingularConflict",
        &resource_names,
        &mut accepted,
        &mut problem,
    );
    let short = texts(wanted, "shortNames");
    match short.iter().find(|name| taken(&resource_names, name)) {
        Some(name) => {
            problem = Some(("ShortNamesConflict", format!("{name:?} is already in use")));
        }
        None if !short.is_empty() => {
            accepted.insert("shortNames".to_owned(), json!(short));
        }
        None => {
            accepted.remove("shortNames");
        }
    }
    settle("kind", "KindConflict", &kinds, &mut accepted, &mut problem);
    settle(
        "listKind",
        "ListKindConflict",
        &kinds,
        &mut accepted,
        &mut problem,
    );
    match texts(wanted, "categories") {
        categories if categories.is_empty() => accepted.remove("categories"),
        categories => accepted.insert("categories".to_owned(), json!(categories)),
    };
    for key in ["plural", "kind"] {
        accepted.entry(key.to_owned()).or_insert_with(|| json!(""));
    }
    NameCheck {
        accepted: Value::Object(accepted),
        condition: match problem {
            Some((reason, message)) => ("False", reason, message),
            None => ("True", "NoConflicts", "no conflicts found".to_owned()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_sort_as_kubernetes_prefers_them() {
        let mut versions = ["foo1", "v1alpha1", "v10", "v2beta1", "v2", "v1beta2", "v1"];
        versions.sort_by(|a, b| compare_versions(a, b));
        assert_eq!(
            versions,
            ["v10", "v2", "v1", "v2beta1", "v1beta2", "v1alpha1", "foo1"]
        );
    }

    #[test]
    fn a_taken_name_is_a_conflict() {
        let one = json!({"spec": {"names": {"plural": "ferns", "singular": "fern", "kind": "Fern", "listKind": "FernList"}}});
        let free = check_names(&one, &[]);
        assert_eq!(free.condition.0, "True");
        let holder = json!({"status": {"acceptedNames": free.accepted}});
        let two = json!({"spec": {"names": {"plural": "others", "singular": "other", "kind": "Fern", "listKind": "OtherList"}}});
        let taken = check_names(&two, &[&holder]);
        assert_eq!(
            (taken.condition.0, taken.condition.1),
            ("False", "KindConflict")
        );
    }
}
