//! Which resources the API server has: what discovery answers, as a table.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::LazyLock;

use serde_json::Value;

use super::{SchemaError, openapi::invalid};

const BUILTIN: &str = include_str!("kubernetes-1.36.resources");

/// One resource of the API, such as `deployments` in `apps/v1`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Resource {
    /// The group; empty for the core group.
    pub group: Cow<'static, str>,
    /// The version, such as `v1`.
    pub version: Cow<'static, str>,
    /// The kind, such as `Deployment`.
    pub kind: Cow<'static, str>,
    /// The name in the URL, such as `deployments`.
    pub plural: Cow<'static, str>,
    /// The singular name, such as `deployment`.
    pub singular: Cow<'static, str>,
    /// Whether objects live in a namespace.
    pub namespaced: bool,
    /// Short names, such as `deploy`.
    pub short_names: Vec<Cow<'static, str>>,
    /// Categories, such as `all`.
    pub categories: Vec<Cow<'static, str>>,
    /// Verbs, such as `get` and `deletecollection`.
    pub verbs: Vec<Cow<'static, str>>,
    /// Subresources, such as `status`.
    pub subresources: Vec<Subresource>,
}

/// A subresource, such as `deployments/scale`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Subresource {
    /// The name, such as `scale`.
    pub name: Cow<'static, str>,
    /// The group of what it answers; empty for the core group.
    pub group: Cow<'static, str>,
    /// The version of what it answers, where discovery states it.
    pub version: Cow<'static, str>,
    /// The kind of what it answers, such as `Scale`.
    pub kind: Cow<'static, str>,
    /// Verbs.
    pub verbs: Vec<Cow<'static, str>>,
}

impl Resource {
    /// The `apiVersion` of the objects: `v1`, `apps/v1`.
    #[must_use]
    pub fn api_version(&self) -> Cow<'_, str> {
        if self.group.is_empty() {
            Cow::Borrowed(&self.version)
        } else {
            Cow::Owned(format!("{}/{}", self.group, self.version))
        }
    }

    /// The subresource `name`.
    #[must_use]
    pub fn subresource(&self, name: &str) -> Option<&Subresource> {
        self.subresources.iter().find(|other| other.name == name)
    }
}

/// The resources of Kubernetes 1.36, in the order of its discovery: groups by priority,
/// in each group the preferred version first.
///
/// ```
/// use gitops_diff::schema::builtin_resources;
///
/// let deployments = builtin_resources()
///     .iter()
///     .find(|resource| resource.plural == "deployments")
///     .unwrap();
/// assert_eq!(deployments.api_version(), "apps/v1");
/// assert!(deployments.namespaced && deployments.subresource("scale").is_some());
/// ```
#[must_use]
pub fn builtin_resources() -> &'static [Resource] {
    static RESOURCES: LazyLock<Vec<Resource>> = LazyLock::new(|| read(BUILTIN));
    &RESOURCES
}

/// Reads an `APIGroupDiscoveryList` (`apidiscovery.k8s.io/v2`), as `/api` and `/apis`
/// answer it.
///
/// # Errors
///
/// With the path, if it isn't one.
pub fn resources_from_discovery(list: &Value) -> Result<Vec<Resource>, SchemaError> {
    let groups = list["items"]
        .as_array()
        .ok_or_else(|| invalid("items", "expected a list of groups"))?;
    let mut resources = Vec::new();
    for group in groups {
        let name = group["metadata"]["name"].as_str().unwrap_or("");
        for version in group["versions"].as_array().into_iter().flatten() {
            let version_name = version["version"]
                .as_str()
                .ok_or_else(|| invalid(&format!("items[{name:?}].versions"), "no version"))?;
            for resource in version["resources"].as_array().into_iter().flatten() {
                resources.push(Resource {
                    group: owned(name),
                    version: owned(version_name),
                    kind: text(&resource["responseKind"]["kind"]),
                    plural: text(&resource["resource"]),
                    singular: text(&resource["singularResource"]),
                    namespaced: resource["scope"] == "Namespaced",
                    short_names: texts(&resource["shortNames"]),
                    categories: texts(&resource["categories"]),
                    verbs: texts(&resource["verbs"]),
                    subresources: resource["subresources"]
                        .as_array()
                        .into_iter()
                        .flatten()
                        .map(|sub| Subresource {
                            name: text(&sub["subresource"]),
                            group: text(&sub["responseKind"]["group"]),
                            version: text(&sub["responseKind"]["version"]),
                            kind: text(&sub["responseKind"]["kind"]),
                            verbs: texts(&sub["verbs"]),
                        })
                        .collect(),
                });
            }
        }
    }
    Ok(resources)
}

fn owned(text: &str) -> Cow<'static, str> {
    Cow::Owned(text.to_owned())
}

fn text(value: &Value) -> Cow<'static, str> {
    owned(value.as_str().unwrap_or(""))
}

fn texts(value: &Value) -> Vec<Cow<'static, str>> {
    value.as_array().into_iter().flatten().map(text).collect()
}

/// The text form of the table, which [`builtin_resources`] is read from: one line per
/// resource, and under it, behind a tab, one per subresource; parts that are empty are `-`.
#[must_use]
pub fn resources_to_table(resources: &[Resource]) -> String {
    let part = |text: &str| {
        if text.is_empty() {
            "-".to_owned()
        } else {
            text.to_owned()
        }
    };
    let list = |texts: &[Cow<'static, str>]| part(&texts.join(","));
    let mut out = String::new();
    for resource in resources {
        let _ = writeln!(
            out,
            "{} {} {} {} {} {} {} {} {}",
            part(&resource.group),
            resource.version,
            resource.kind,
            resource.plural,
            part(&resource.singular),
            if resource.namespaced {
                "Namespaced"
            } else {
                "Cluster"
            },
            list(&resource.short_names),
            list(&resource.categories),
            list(&resource.verbs),
        );
        for sub in &resource.subresources {
            let _ = writeln!(
                out,
                "\t{} {} {} {} {}",
                sub.name,
                part(&sub.group),
                part(&sub.version),
                sub.kind,
                list(&sub.verbs),
            );
        }
    }
    out
}

fn read(table: &'static str) -> Vec<Resource> {
    let part = |text: &'static str| Cow::Borrowed(if text == "-" { "" } else { text });
    let list = |text: &'static str| -> Vec<Cow<'static, str>> {
        text.split(',')
            .filter(|text| *text != "-")
            .map(Cow::Borrowed)
            .collect()
    };
    let mut resources: Vec<Resource> = Vec::new();
    for line in table.lines() {
        let (sub, line) = match line.strip_prefix('\t') {
            Some(line) => (true, line),
            None => (false, line),
        };
        let mut words = line.split(' ');
        let mut next = || words.next().unwrap_or("-");
        if sub {
            if let Some(resource) = resources.last_mut() {
                resource.subresources.push(Subresource {
                    name: part(next()),
                    group: part(next()),
                    version: part(next()),
                    kind: part(next()),
                    verbs: list(next()),
                });
            }
        } else {
            resources.push(Resource {
                group: part(next()),
                version: part(next()),
                kind: part(next()),
                plural: part(next()),
                singular: part(next()),
                namespaced: next() == "Namespaced",
                short_names: list(next()),
                categories: list(next()),
                verbs: list(next()),
                subresources: Vec::new(),
            });
        }
    }
    resources
}
