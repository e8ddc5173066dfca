//! Reading what runs.
//!
//! A few objects of a kind are read one by one. Of many, those that carry our mark are
//! listed first: after the first pass that is all of them, whatever else the cluster holds.
//! What is not among them is looked for in its namespace, by a list again if it is many and
//! the list is short, and one by one otherwise.

use std::collections::{BTreeMap, BTreeSet};

use futures::{FutureExt as _, StreamExt as _};
use gitops_core::{
    ApplyError, Depth, GroupKind, GroupVersionKind, LiveObject, Manifest, ObjectId, Observation,
    Origin, RECONCILER_LABEL, RelPath, Wanted,
};
use gitops_diff::schema::Schemas;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::applier::{Inner, kind_of};
use crate::discovery::{Lookup, Resource};
use crate::failure::About;
use crate::live::{OnlyMetadata, no_object};
use crate::transport::{
    ACCEPT_METADATA, ACCEPT_METADATA_LIST, ACCEPT_WHOLE, Answer, Call, Failure, encoded,
};

/// So many objects of a kind are read one by one rather than listed.
const FEW: usize = 4;

/// So many requests are under way at once.
pub(crate) const CONCURRENT: usize = 16;

/// The page size of client-go's pager and of kubectl.
pub(crate) const PAGE: usize = 500;

/// A page of a list that may hold anybody's objects costs the server about as much as so
/// many single reads (a guess: 500 objects are read, converted and sent).
const READS_PER_PAGE: usize = 20;

/// A list that expires while it is read is begun again so often.
const RESTARTS: usize = 3;

/// One page of a list.
#[derive(Deserialize)]
struct Page<'a> {
    #[serde(default)]
    metadata: PageMetadata,
    #[serde(borrow, default)]
    items: Option<Vec<&'a RawValue>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PageMetadata {
    resource_version: String,
    #[serde(rename = "continue")]
    next: String,
    remaining_item_count: Option<usize>,
}

/// One page, with only the metadata of the objects.
pub(crate) struct Listed {
    pub(crate) items: Vec<Value>,
    pub(crate) resource_version: String,
    /// Where the next page begins; empty on the last one.
    pub(crate) next: String,
    remaining: Option<usize>,
}

/// Lists the metadata of one page of objects: all of them, or those with our mark.
pub(crate) async fn page(
    inner: &Inner,
    resource: &Resource,
    namespace: Option<&str>,
    ours: bool,
    next: &str,
) -> Result<Listed, Failure> {
    let mut uri = format!("{}?limit={PAGE}", resource.collection(namespace));
    if ours {
        uri.push_str(&selector(inner));
    }
    if !next.is_empty() {
        uri.push_str("&continue=");
        uri.push_str(&encoded(next));
    }
    let answer = inner
        .transport
        .send(Call::get(uri, ACCEPT_METADATA_LIST))
        .await?;
    listed(&answer)
}

/// The query that selects the objects with our mark.
pub(crate) fn selector(inner: &Inner) -> String {
    format!(
        "&labelSelector={}",
        encoded(&format!("{RECONCILER_LABEL}={}", inner.viewer.reconciler))
    )
}

fn listed(answer: &Answer) -> Result<Listed, Failure> {
    let page: Page<'_> = answer.json()?;
    let unreadable = || Failure::Unreachable {
        reason: "an item of the list can't be read".into(),
        source: None,
    };
    // One item after the other, so that no tree of the whole page is ever there.
    let items = page
        .items
        .unwrap_or_default()
        .into_iter()
        .map(|item| {
            let item: OnlyMetadata = serde_json::from_str(item.get()).map_err(|_| unreadable())?;
            Ok(item.metadata)
        })
        .collect::<Result<_, Failure>>()?;
    Ok(Listed {
        items,
        resource_version: page.metadata.resource_version,
        next: page.metadata.next,
        remaining: page.metadata.remaining_item_count,
    })
}

/// Reads one object.
pub(crate) async fn get(
    inner: &Inner,
    id: &ObjectId,
    version: &str,
    depth: Depth,
) -> Result<Option<LiveObject>, ApplyError> {
    let kind = kind_of(id, version);
    let about = About::new(id, &kind);
    let resource = inner.anywhere(about).await?;
    let accept = match depth {
        Depth::Metadata => ACCEPT_METADATA,
        Depth::Whole => ACCEPT_WHOLE,
    };
    let told = GroupVersionKind {
        version: resource.version.clone(),
        ..kind.clone()
    };
    let call = Call::get(inner.path(&resource, id), accept);
    match inner.transport.send(call).await {
        Ok(answer) => {
            let live = match depth {
                Depth::Metadata => {
                    let metadata = answer.json().and_then(OnlyMetadata::of_object);
                    let metadata = metadata.map_err(|failure| about.error(failure))?;
                    inner.viewer.seen(id, &told, metadata)
                }
                Depth::Whole => {
                    let object: Value = answer.json().map_err(|failure| about.error(failure))?;
                    let live = inner.viewer.live(id, &told, Depth::Whole, object);
                    if live.uid.is_empty() || live.resource_version.is_empty() {
                        return Err(about.error(no_object()));
                    }
                    live
                }
            };
            inner.remember_live(&live);
            Ok(Some(live))
        }
        Err(failure)
            if failure
                .refusal()
                .is_some_and(|refusal| refusal.is_missing_object()) =>
        {
            inner.forget(id);
            Ok(None)
        }
        Err(failure) => Err(inner.failed(about, &resource, failure).await),
    }
}

/// Drops the part of the metadata that was only needed for the fingerprint. It is most of
/// it, and thousands of objects are in memory here at once.
fn without_managed_fields(mut metadata: Value) -> Value {
    if let Value::Object(members) = &mut metadata {
        members.remove("managedFields");
    }
    metadata
}

/// The objects of one kind that are still looked for.
struct Search<'a> {
    inner: &'a Inner,
    kind: GroupVersionKind,
    resource: Resource,
    /// By namespace (none for a kind without) and name.
    missing: BTreeMap<(Option<&'a str>, &'a str), &'a Wanted>,
    found: Observation,
    /// Those that are there and wanted whole.
    whole: Vec<&'a Wanted>,
}

pub(crate) async fn observe(inner: &Inner, wanted: &[Wanted]) -> Observation {
    let mut kinds: BTreeMap<GroupKind, Vec<&Wanted>> = BTreeMap::new();
    for want in wanted {
        kinds.entry(want.id.group_kind()).or_default().push(want);
    }
    // The discovery is asked once and not by sixteen at a time.
    let mut few = Vec::new();
    let mut many = Vec::new();
    for (_, wants) in kinds {
        match wants.as_slice() {
            [first, ..] if wants.len() > FEW => {
                let kind = kind_of(&first.id, &first.version);
                if let Lookup::Found(resource) =
                    inner.discovery.lookup_any(&inner.transport, &kind).await
                {
                    many.push(Search::new(inner, kind, resource, &wants));
                } else {
                    few.extend(wants);
                }
            }
            _ => few.extend(wants),
        }
    }
    let mut searches = Vec::new();
    for search in many {
        searches.push(search.run().boxed());
    }
    let searched = futures::stream::iter(searches)
        .buffer_unordered(CONCURRENT / 4)
        .collect::<Vec<_>>()
        .await;
    let mut observation = Observation::new();
    for (found, rest) in searched {
        observation.extend(found);
        few.extend(rest);
    }
    observation.extend(get_all(inner, few).await);
    observation
}

async fn get_all(inner: &Inner, wanted: Vec<&Wanted>) -> Observation {
    let mut reads = Vec::new();
    for want in wanted {
        reads.push(async move {
            let live = get(inner, &want.id, &want.version, want.depth).await;
            (want.id.clone(), live)
        });
    }
    futures::stream::iter(reads)
        .buffer_unordered(CONCURRENT)
        .collect()
        .await
}

impl<'a> Search<'a> {
    fn new(
        inner: &'a Inner,
        kind: GroupVersionKind,
        resource: Resource,
        wanted: &[&'a Wanted],
    ) -> Self {
        let missing = wanted
            .iter()
            .map(|want| {
                let namespace = resource.namespaced.then(|| inner.namespace_of(&want.id));
                ((namespace, want.id.name.as_str()), *want)
            })
            .collect();
        Self {
            inner,
            kind: GroupVersionKind {
                version: resource.version.clone(),
                ..kind
            },
            resource,
            missing,
            found: Observation::new(),
            whole: Vec::new(),
        }
    }

    /// What was found, and what is left to be read one by one.
    async fn run(mut self) -> (Observation, Vec<&'a Wanted>) {
        let namespaces: BTreeSet<_> = self.missing.keys().map(|(space, _)| *space).collect();
        let limited = self.resource.namespaced && !self.inner.namespaces.is_empty();
        if namespaces.len() == 1 || limited {
            for namespace in &namespaces {
                self.list(*namespace, true).await;
            }
        } else {
            self.list(None, true).await;
        }
        for namespace in namespaces {
            let left = self.missing.keys().filter(|(space, _)| *space == namespace);
            if left.count() > FEW {
                self.list(namespace, false).await;
            }
        }
        let mut rest: Vec<_> = self.missing.into_values().collect();
        rest.append(&mut self.whole);
        (self.found, rest)
    }

    /// Takes from `missing` what a list has. A list that fails leaves the rest to be read one
    /// by one, each with an error of its own if it comes to that.
    async fn list(&mut self, namespace: Option<&'a str>, ours: bool) {
        let mut next = String::new();
        let mut restarts = 0;
        loop {
            let page = page(self.inner, &self.resource, namespace, ours, &next).await;
            let page = match page {
                Ok(page) => page,
                Err(failure) if failure.code() == Some(410) && restarts < RESTARTS => {
                    next.clear();
                    restarts += 1;
                    continue;
                }
                Err(failure) => {
                    tracing::debug!(
                        kind = %self.kind,
                        reason = crate::failure::in_one_line(&failure),
                        "could not list"
                    );
                    return;
                }
            };
            for metadata in page.items {
                self.take(metadata);
            }
            let left: Vec<_> = self
                .missing
                .keys()
                .filter(|(space, _)| namespace.is_none() || *space == namespace)
                .copied()
                .collect();
            if left.is_empty() {
                return;
            }
            if page.next.is_empty() {
                if !ours {
                    // It was all there is.
                    for key in left {
                        if let Some(want) = self.missing.remove(&key) {
                            self.inner.forget(&want.id);
                            self.found.insert(want.id.clone(), Ok(None));
                        }
                    }
                }
                return;
            }
            if !ours {
                let pages = page.remaining.unwrap_or_default().div_ceil(PAGE);
                if pages * READS_PER_PAGE > left.len() {
                    return;
                }
            }
            next = page.next;
        }
    }

    fn take(&mut self, metadata: Value) {
        let namespace = metadata
            .get("namespace")
            .and_then(Value::as_str)
            .filter(|_| self.resource.namespaced);
        let name = crate::live::text(&metadata, "name");
        let Some(want) = self.missing.get(&(namespace, name)).copied() else {
            return;
        };
        let inner = self.inner;
        let namespace = self
            .resource
            .namespaced
            .then(|| inner.namespace_of(&want.id));
        self.missing.remove(&(namespace, want.id.name.as_str()));
        if want.depth == Depth::Whole {
            self.whole.push(want);
            return;
        }
        let mut live = self.inner.viewer.seen(&want.id, &self.kind, metadata);
        if let Some(object) = std::sync::Arc::get_mut(&mut live.object)
            && let Some(metadata) = object.get_mut("metadata")
        {
            *metadata = without_managed_fields(metadata.take());
        }
        self.inner.remember_live(&live);
        self.found.insert(want.id.clone(), Ok(Some(live)));
    }
}

/// The definitions of those of the kinds that are custom, as they run in the cluster.
///
/// Kinds that are built in, unknown or served by an aggregated API have none.
pub(crate) async fn definitions(
    inner: &Inner,
    kinds: &BTreeSet<GroupVersionKind>,
) -> BTreeMap<GroupVersionKind, Result<Option<Manifest>, ApplyError>> {
    let builtin = Schemas::builtin();
    let mut kinds_of: BTreeMap<ObjectId, Vec<&GroupVersionKind>> = BTreeMap::new();
    for kind in kinds {
        // The API server takes no definition of a group without a dot.
        if !kind.group.contains('.') || builtin.kind(&kind.group, &kind.kind).is_some() {
            continue;
        }
        if let Lookup::Found(resource) = inner.discovery.lookup_any(&inner.transport, kind).await {
            let definition = GroupKind::new("apiextensions.k8s.io", "CustomResourceDefinition");
            let name = format!("{}.{}", resource.plural, resource.group);
            let id = ObjectId::cluster(definition, name);
            kinds_of.entry(id).or_default().push(kind);
        }
    }
    let wanted: Vec<_> = kinds_of
        .keys()
        .map(|id| Wanted {
            id: id.clone(),
            version: "v1".into(),
            depth: Depth::Whole,
        })
        .collect();
    let mut all = BTreeMap::new();
    for (id, live) in get_all(inner, wanted.iter().collect()).await {
        let mut answer = live.map(|live| definition(&live?.object));
        for kind in kinds_of.remove(&id).unwrap_or_default() {
            let next = match &answer {
                Ok(found) => Ok(found.clone()),
                Err(_) => Ok(None),
            };
            all.insert(kind.clone(), std::mem::replace(&mut answer, next));
        }
    }
    all
}

/// What a definition says of its kind, without what changes while it says the same.
fn definition(live: &Value) -> Option<Manifest> {
    let name = live["metadata"]["name"].as_str()?;
    let stated = json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": { "name": name },
        "spec": live["spec"],
    });
    let file = RelPath::new(&format!("customresourcedefinitions/{name}")).ok()?;
    Manifest::new(stated, Origin::new(file, 1, 1)).ok()
}
