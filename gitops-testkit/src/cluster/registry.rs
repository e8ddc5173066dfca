//! The resources that are served: the built-in ones, and those that custom resource
//! definitions add.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use serde_json::Value;

use super::custom::CustomVersion;
use crate::kinds::Kind;

/// What the store files an object under: a resource whatever its version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct StorageKey {
    pub(crate) group: Arc<str>,
    pub(crate) resource: Arc<str>,
}

impl StorageKey {
    pub(crate) fn new(group: &str, resource: &str) -> Self {
        // Two views of one store.
        let group = if (group, resource) == ("events.k8s.io", "events") {
            ""
        } else {
            group
        };
        Self {
            group: group.into(),
            resource: resource.into(),
        }
    }
}

/// A subresource of a resource.
#[derive(Debug, Clone)]
pub(crate) struct Subresource {
    pub(crate) name: String,
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) kind: String,
    pub(crate) verbs: Vec<String>,
}

/// One resource in one version.
#[derive(Debug, Clone)]
pub(crate) struct Resource {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) plural: String,
    pub(crate) singular: String,
    pub(crate) kind: String,
    pub(crate) list_kind: String,
    pub(crate) namespaced: bool,
    pub(crate) verbs: Vec<String>,
    pub(crate) short_names: Vec<String>,
    pub(crate) categories: Vec<String>,
    pub(crate) subresources: Vec<Subresource>,
    pub(crate) storage: StorageKey,
    /// Set for a built-in resource whose kind is known.
    pub(crate) builtin: Option<Kind>,
    /// Set for a custom resource.
    pub(crate) custom: Option<Arc<CustomVersion>>,
}

impl Resource {
    /// `apiVersion` of its objects.
    pub(crate) fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.clone()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    pub(crate) fn has_verb(&self, verb: &str) -> bool {
        self.verbs.iter().any(|v| v == verb)
    }

    pub(crate) fn subresource(&self, name: &str) -> Option<&Subresource> {
        self.subresources.iter().find(|s| s.name == name)
    }

    pub(crate) fn is_custom(&self) -> bool {
        self.custom.is_some()
    }

    pub(crate) fn is(&self, group: &str, plural: &str) -> bool {
        self.group == group && self.plural == plural
    }
}

/// A group with its versions, preferred first.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) versions: Vec<String>,
}

/// The built-in resources.
#[derive(Debug)]
pub(crate) struct Builtins {
    resources: BTreeMap<(String, String, String), Arc<Resource>>,
    groups: Vec<Group>,
}

const DISCOVERY: &str = include_str!("data/discovery.json");

static BUILTINS: LazyLock<Builtins> = LazyLock::new(|| {
    let discovery: Value = serde_json::from_str(DISCOVERY).unwrap_or_default();
    let mut builtins = Builtins {
        resources: BTreeMap::new(),
        groups: Vec::new(),
    };
    for root in ["api", "apis"] {
        for item in list(&discovery[root], "items") {
            builtins.add_group(item);
        }
    }
    builtins
});

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value
        .get(key)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

fn string(value: &Value, key: &str) -> String {
    value
        .get(key)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

fn strings(value: &Value, key: &str) -> Vec<String> {
    list(value, key)
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

impl Builtins {
    /// The table, built at first use.
    pub(crate) fn get() -> &'static Self {
        &BUILTINS
    }

    fn add_group(&mut self, item: &Value) {
        let group = string(&item["metadata"], "name");
        let mut versions = Vec::new();
        for version in list(item, "versions") {
            let name = string(version, "version");
            for resource in list(version, "resources") {
                let resource = Self::read_resource(&group, &name, resource);
                self.resources.insert(
                    (group.clone(), name.clone(), resource.plural.clone()),
                    Arc::new(resource),
                );
            }
            versions.push(name);
        }
        self.groups.push(Group {
            name: group,
            versions,
        });
    }

    fn read_resource(group: &str, version: &str, value: &Value) -> Resource {
        let plural = string(value, "resource");
        let own = |given: String, default: &str| {
            if given.is_empty() {
                default.to_owned()
            } else {
                given
            }
        };
        let kind = string(&value["responseKind"], "kind");
        let subresources = list(value, "subresources")
            .map(|sub| {
                let kind = &sub["responseKind"];
                Subresource {
                    name: string(sub, "subresource"),
                    group: own(
                        string(kind, "group"),
                        if string(kind, "version").is_empty() {
                            group
                        } else {
                            ""
                        },
                    ),
                    version: own(string(kind, "version"), version),
                    kind: string(kind, "kind"),
                    verbs: strings(sub, "verbs"),
                }
            })
            .collect();
        Resource {
            group: group.to_owned(),
            version: version.to_owned(),
            storage: StorageKey::new(group, &plural),
            singular: string(value, "singularResource"),
            list_kind: format!("{kind}List"),
            kind,
            namespaced: string(value, "scope") == "Namespaced",
            verbs: strings(value, "verbs"),
            short_names: strings(value, "shortNames"),
            categories: strings(value, "categories"),
            subresources,
            builtin: Kind::lookup(group, version, &string(&value["responseKind"], "kind")),
            plural,
            custom: None,
        }
    }

    pub(crate) fn find(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<Resource>> {
        self.resources
            .get(&(group.to_owned(), version.to_owned(), plural.to_owned()))
    }

    pub(crate) fn groups(&self) -> &[Group] {
        &self.groups
    }

    pub(crate) fn has_group(&self, group: &str) -> bool {
        self.groups.iter().any(|g| g.name == group)
    }

    /// The resources of a group version.
    pub(crate) fn of_version<'a>(
        &'a self,
        group: &'a str,
        version: &'a str,
    ) -> impl Iterator<Item = &'a Arc<Resource>> {
        self.resources
            .values()
            .filter(move |r| r.group == group && r.version == version)
    }
}

/// The raw discovery document, for the aggregated form.
pub(crate) fn discovery_document() -> &'static Value {
    static DOCUMENT: LazyLock<Value> =
        LazyLock::new(|| serde_json::from_str(DISCOVERY).unwrap_or_default());
    &DOCUMENT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_knows_the_common_resources() {
        let builtins = Builtins::get();
        let deployments = builtins.find("apps", "v1", "deployments").unwrap();
        assert_eq!(deployments.kind, "Deployment");
        assert!(deployments.namespaced && deployments.has_verb("patch"));
        assert_eq!(
            deployments.subresource("scale").unwrap().group,
            "autoscaling"
        );
        let pods = builtins.find("", "v1", "pods").unwrap();
        assert_eq!(pods.subresource("eviction").unwrap().group, "policy");
        assert_eq!(pods.subresource("status").unwrap().group, "");
        assert!(builtins.find("", "v1", "salmons").is_none());
        assert_eq!(
            builtins
                .find("events.k8s.io", "v1", "events")
                .unwrap()
                .storage,
            builtins.find("", "v1", "events").unwrap().storage
        );
    }
}
