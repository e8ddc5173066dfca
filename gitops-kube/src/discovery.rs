//! Which kinds the server has, under which path, and whether they live in namespaces.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::StreamExt as _;
use gitops_core::GroupVersionKind;
use serde::Deserialize;
use tokio::sync::{Mutex, Notify};
use tokio::time::Instant;

use crate::failure::in_one_line;
use crate::transport::{Call, Failure, Transport, encoded};

/// Both formats of the aggregated discovery, and the plain one for servers older than 1.26.
const ACCEPT_AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,\
     application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";

/// The discovery is not asked more often than this for kinds that it didn't have.
const PAUSE: Duration = Duration::from_secs(1);

/// So many documents are read at once where the discovery isn't aggregated.
const CONCURRENT: usize = 16;

/// Where the objects of a kind are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Resource {
    /// The version, which may be another one than that asked for.
    pub(crate) version: String,
    /// The name in paths, such as `deployments`.
    pub(crate) plural: String,
    /// Whether they live in namespaces.
    pub(crate) namespaced: bool,
    /// The group; empty for the core group.
    pub(crate) group: String,
}

impl Resource {
    /// The path of all objects, or of those in one namespace.
    pub(crate) fn collection(&self, namespace: Option<&str>) -> String {
        let mut path = group_version_path(&self.group, &self.version);
        if let Some(namespace) = namespace.filter(|_| self.namespaced) {
            path.push_str("/namespaces/");
            path.push_str(&encoded(namespace));
        }
        path.push('/');
        path.push_str(&encoded(&self.plural));
        path
    }

    /// The path of one object.
    pub(crate) fn object(&self, namespace: Option<&str>, name: &str) -> String {
        format!("{}/{}", self.collection(namespace), encoded(name))
    }
}

fn group_version_path(group: &str, version: &str) -> String {
    if group.is_empty() {
        format!("/api/{}", encoded(version))
    } else {
        format!("/apis/{}/{}", encoded(group), encoded(version))
    }
}

/// What is known of a kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Lookup {
    /// The server has it.
    Found(Resource),
    /// The server doesn't have it, and said so within the last second.
    Unknown,
    /// Nobody knows: the discovery failed, or that of the kind's group did.
    Unavailable(String),
}

/// One version of a group.
#[derive(Debug, Default, Clone)]
struct Version {
    /// By kind.
    resources: BTreeMap<String, Resource>,
    /// Why the list of its kinds may be wrong or empty, if it may.
    stale: Option<String>,
}

/// The versions of each group, the preferred one first.
type Groups = BTreeMap<String, Vec<(String, Version)>>;

#[derive(Default)]
struct State {
    groups: Option<Groups>,
    asked: Option<Instant>,
    /// Something happened that makes it likely that there are new kinds.
    outdated: bool,
    /// Why the last refresh failed, if it did.
    failure: Option<String>,
}

/// The server's kinds, asked for when needed and kept.
#[derive(Default)]
pub(crate) struct Discovery {
    state: Mutex<State>,
    changed: Notify,
}

/// Picks the resource of a kind out of the versions of its group.
type Find = for<'a> fn(&'a [(String, Version)], &GroupVersionKind) -> Option<&'a Resource>;

impl Discovery {
    /// Looks a kind up in exactly this version.
    pub(crate) async fn lookup(&self, transport: &Transport, kind: &GroupVersionKind) -> Lookup {
        self.look(transport, kind, |versions, kind| {
            versions
                .iter()
                .filter(|(version, _)| *version == kind.version)
                .find_map(|(_, version)| version.resources.get(&kind.kind))
        })
        .await
    }

    /// Looks a kind up in this version, or in another one if this isn't served any more: an
    /// object that was applied as `v1beta1` is still the same object in `v1`.
    pub(crate) async fn lookup_any(
        &self,
        transport: &Transport,
        kind: &GroupVersionKind,
    ) -> Lookup {
        self.look(transport, kind, |versions, kind| {
            let exact = versions.iter().filter(|(name, _)| *name == kind.version);
            exact
                .chain(versions)
                .find_map(|(_, version)| version.resources.get(&kind.kind))
        })
        .await
    }

    async fn look(&self, transport: &Transport, kind: &GroupVersionKind, find: Find) -> Lookup {
        let mut state = self.state.lock().await;
        let found = |state: &State| {
            let versions = state.groups.as_ref()?.get(&kind.group)?;
            find(versions, kind).cloned()
        };
        if let Some(resource) = found(&state) {
            return Lookup::Found(resource);
        }
        let recent = state.asked.is_some_and(|asked| asked.elapsed() < PAUSE);
        if !recent || (state.outdated && state.failure.is_none()) {
            state.refresh(transport).await;
            if let Some(resource) = found(&state) {
                return Lookup::Found(resource);
            }
        }
        if let Some(failure) = &state.failure {
            return Lookup::Unavailable(failure.clone());
        }
        let versions = state.groups.as_ref().and_then(|all| all.get(&kind.group));
        let stale = versions
            .into_iter()
            .flatten()
            .find_map(|(_, version)| version.stale.clone());
        match stale {
            Some(reason) => Lookup::Unavailable(reason),
            None => Lookup::Unknown,
        }
    }

    /// The next kind that isn't known is asked for, however recent the last answer is.
    pub(crate) async fn outdated(&self) {
        self.state.lock().await.outdated = true;
        self.changed.notify_waiters();
    }

    /// Completes when there may be new kinds.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// The server has just said that it doesn't have this kind in this version.
    pub(crate) async fn forget(&self, kind: &GroupVersionKind, version: &str) {
        let mut state = self.state.lock().await;
        state.outdated = true;
        let versions = state
            .groups
            .as_mut()
            .and_then(|all| all.get_mut(&kind.group));
        for (name, known) in versions.into_iter().flatten() {
            if name == version {
                known.resources.remove(&kind.kind);
            }
        }
    }

    /// Asks for one version of one group, and tells whether it has the kind by now.
    pub(crate) async fn is_served(
        &self,
        transport: &Transport,
        kind: &GroupVersionKind,
    ) -> Result<bool, Failure> {
        let document = match document(transport, &kind.group, &kind.version).await {
            Ok(Some(document)) => document,
            Ok(None) => return Ok(false),
            Err(failure) => return Err(failure),
        };
        let served = document.resources.contains_key(&kind.kind);
        let mut state = self.state.lock().await;
        if let Some(groups) = &mut state.groups {
            let versions = groups.entry(kind.group.clone()).or_default();
            match versions.iter_mut().find(|(name, _)| *name == kind.version) {
                Some((_, known)) => *known = document,
                None => versions.push((kind.version.clone(), document)),
            }
        }
        self.changed.notify_waiters();
        Ok(served)
    }
}

impl State {
    async fn refresh(&mut self, transport: &Transport) {
        let answer = groups(transport).await;
        self.asked = Some(Instant::now());
        match answer {
            Ok(mut groups) => {
                if let Some(before) = self.groups.take() {
                    keep_stale(&mut groups, before);
                }
                self.groups = Some(groups);
                self.outdated = false;
                self.failure = None;
            }
            Err(failure) => self.failure = Some(in_one_line(&failure)),
        }
    }
}

/// Where the server can't tell the kinds of a version now, what it told before is kept.
fn keep_stale(groups: &mut Groups, before: Groups) {
    for (group, versions) in before {
        for (name, known) in versions {
            let now = groups
                .get_mut(&group)
                .and_then(|versions| versions.iter_mut().find(|(version, _)| *version == name));
            if let Some((_, version)) = now
                && version.stale.is_some()
            {
                for (kind, resource) in known.resources {
                    version.resources.entry(kind).or_insert(resource);
                }
            }
        }
    }
}

async fn groups(transport: &Transport) -> Result<Groups, Failure> {
    let (core, named) = futures::join!(root(transport, "/api"), root(transport, "/apis"));
    let mut groups = Groups::new();
    let mut plain = Vec::new();
    // A server with no core group at all says 404 to `/api`.
    let core = match core {
        Err(failure) if failure.code() == Some(404) => Root::default(),
        core => core?,
    };
    for root in [core, named?] {
        for item in root.items {
            let group = item.metadata.name;
            let versions = item.versions.into_iter().map(|version| {
                let name = version.version.clone();
                (name, aggregated(&group, version))
            });
            groups
                .entry(group.clone())
                .or_default()
                .extend(versions.collect::<Vec<_>>());
        }
        for version in root.versions {
            plain.push((String::new(), version));
        }
        for group in root.groups {
            for version in group.versions {
                plain.push((group.name.clone(), version.version));
            }
        }
    }
    let documents = futures::stream::iter(plain)
        .map(|(group, name)| async move {
            let version = match document(transport, &group, &name).await {
                Ok(Some(version)) => version,
                Ok(None) => Version::default(),
                // One broken group hides no other.
                Err(failure) => Version {
                    resources: BTreeMap::new(),
                    stale: Some(in_one_line(&failure)),
                },
            };
            (group, name, version)
        })
        .buffered(CONCURRENT)
        .collect::<Vec<_>>()
        .await;
    for (group, name, version) in documents {
        groups.entry(group).or_default().push((name, version));
    }
    Ok(groups)
}

async fn root(transport: &Transport, path: &str) -> Result<Root, Failure> {
    transport
        .send(Call::get(path.into(), ACCEPT_AGGREGATED))
        .await?
        .json()
}

fn aggregated(group: &str, version: AggregatedVersion) -> Version {
    let mut resources = BTreeMap::new();
    for resource in version.resources {
        // The first resource of a kind is its own; others of the kind are views of it.
        resources
            .entry(resource.response_kind.unwrap_or_default().kind)
            .or_insert(Resource {
                version: version.version.clone(),
                plural: resource.resource,
                namespaced: resource.scope == "Namespaced",
                group: group.to_owned(),
            });
    }
    let stale = (version.freshness == "Stale").then(|| {
        let version = if group.is_empty() {
            version.version.clone()
        } else {
            format!("{group}/{}", version.version)
        };
        format!("the API {version} is not available")
    });
    Version { resources, stale }
}

/// One version of one group, or `None` if the server doesn't have it.
async fn document(
    transport: &Transport,
    group: &str,
    version: &str,
) -> Result<Option<Version>, Failure> {
    let call = Call::get(group_version_path(group, version), "application/json");
    let answer = match transport.send(call).await {
        Ok(answer) => answer,
        Err(failure) if failure.code() == Some(404) => return Ok(None),
        Err(failure) => return Err(failure),
    };
    let list: ResourceList = answer.json()?;
    let mut resources = BTreeMap::new();
    for resource in list.resources {
        // Those with a slash are subresources.
        if !resource.name.contains('/') {
            resources.entry(resource.kind).or_insert(Resource {
                version: version.to_owned(),
                plural: resource.name,
                namespaced: resource.namespaced,
                group: group.to_owned(),
            });
        }
    }
    Ok(Some(Version {
        resources,
        stale: None,
    }))
}

/// `/api` or `/apis`, aggregated (`items`) or plain (`versions` or `groups`).
#[derive(Default, Deserialize)]
#[serde(default)]
struct Root {
    items: Vec<AggregatedGroup>,
    versions: Vec<String>,
    groups: Vec<PlainGroup>,
}

#[derive(Deserialize)]
struct AggregatedGroup {
    #[serde(default)]
    metadata: Name,
    #[serde(default)]
    versions: Vec<AggregatedVersion>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Name {
    name: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct AggregatedVersion {
    version: String,
    freshness: String,
    resources: Vec<AggregatedResource>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct AggregatedResource {
    resource: String,
    response_kind: Option<Kind>,
    scope: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Kind {
    kind: String,
}

#[derive(Deserialize)]
struct PlainGroup {
    name: String,
    #[serde(default)]
    versions: Vec<PlainVersion>,
}

#[derive(Deserialize)]
struct PlainVersion {
    version: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ResourceList {
    resources: Vec<PlainResource>,
}

#[derive(Deserialize)]
struct PlainResource {
    name: String,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    namespaced: bool,
}
