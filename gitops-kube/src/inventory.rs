//! The inventory, kept in ConfigMaps.
//!
//! # Layout
//!
//! `gitops-inventory-<reconciler>-<n>`, with the label `gitops-sdk.dev/inventory=<reconciler>`,
//! each hold one *shard*: the entries whose hash says so, as JSON under the key
//! `inventory.json`. Shard 0 is always there. It says how many shards there are and which
//! revision was applied last. The number of shards is a power of two and only grows: when
//! one gets too large, each is split in two.
//!
//! # What a crash can do
//!
//! Each shard is one object, and the server writes an object whole or not at all. A save
//! writes shards one after the other, from the last to the first:
//!
//! * An entry that stays where it is, is in its shard before and after.
//! * An entry that moves to another shard is written there before it is taken away here. As
//!   shards only split, it always moves to a shard with a higher number; where a person moved
//!   it elsewhere, what would be taken away too early is left for a second round.
//! * The revision and the number of shards come last of all.
//!
//! So whatever prefix of the writes is done, an entry that is in the old and in the new
//! inventory is in at least one shard, and `load` joins all of them. Of an entry that is in two,
//! the one that is where it belongs counts.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use gitops_core::{
    Digest, FieldManager, Inventory, InventoryEntry, InventoryStore, ObjectId, ReconcilerName,
    RevisionId, StoreError,
};
use http::Method;
use kube::Client;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::Mutex;

use crate::failure::store_error;
use crate::transport::{ACCEPT_WHOLE, Call, Failure, Transport, encoded};

/// The label by which the shards of an inventory are found. Its value is the reconciler's
/// name.
pub const INVENTORY_LABEL: &str = "gitops-sdk.dev/inventory";

/// The key within a ConfigMap.
const KEY: &str = "inventory.json";

/// The version of the layout that is written.
const VERSION: u32 = 1;

/// A shard that would be larger is split. A ConfigMap takes 1 MiB, and a second round of a
/// save may need up to twice the size for a moment.
const SHARD_SIZE: usize = 512 << 10;

/// More shards are not made: these hold half a GiB.
const MAX_SHARDS: usize = 1024;

/// So many shards are read with one request.
const PAGE: usize = 16;

/// An [`InventoryStore`] in ConfigMaps.
///
/// Objects are spread over as many ConfigMaps as keep each below 512 KiB, so there is no
/// number of objects at which it breaks: an entry takes some 350 bytes, which makes
/// 1,500 objects per ConfigMap. A save writes only the ConfigMaps whose content changed, and
/// sends nothing if none did.
///
/// Every write carries the resourceVersion that was read, so a second writer is noticed
/// ([`StoreError::Conflict`]) as soon as both write the same ConfigMap, and loses nothing of
/// the other's before that.
///
/// It needs the right to list, create and update ConfigMaps in its namespace, which
/// must exist.
///
/// ```no_run
/// use gitops_core::{InventoryStore, ReconcilerName};
/// use gitops_kube::{KubeInventory, connect};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let name = ReconcilerName::new("payments-prod")?;
/// let store = KubeInventory::new(connect().await?, name, "gitops");
/// let inventory = store.load().await?.unwrap_or_default();
/// println!("{} objects", inventory.entries.len());
/// # Ok(())
/// # }
/// ```
pub struct KubeInventory {
    transport: Transport,
    reconciler: ReconcilerName,
    manager: FieldManager,
    namespace: String,
    shard_size: usize,
    state: Mutex<State>,
}

impl std::fmt::Debug for KubeInventory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KubeInventory")
            .field("namespace", &self.namespace)
            .field("reconciler", &self.reconciler)
            .finish_non_exhaustive()
    }
}

/// What the server has, as far as we know.
#[derive(Default)]
struct State {
    shards: BTreeMap<usize, Held>,
    /// How many there are, by shard 0.
    count: usize,
}

/// A shard as the server has it.
#[derive(Clone)]
struct Held {
    resource_version: String,
    /// The digest of its text.
    text: Digest,
    /// Hashes of the objects in it.
    objects: BTreeSet<u64>,
    /// The digest of a text that we sent without hearing whether it was taken.
    unsure: Option<(Digest, BTreeSet<u64>)>,
}

/// A shard as it is written.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shard {
    version: u32,
    shard: usize,
    /// Only in shard 0: how many there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shards: Option<usize>,
    inventory: Inventory,
}

/// What can be read of a shard of any version.
#[derive(Deserialize)]
struct Format {
    version: u32,
}

#[derive(Deserialize)]
struct ConfigMaps {
    #[serde(default)]
    metadata: ListMetadata,
    #[serde(default)]
    items: Option<Vec<ConfigMap>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ListMetadata {
    #[serde(rename = "continue")]
    next: String,
}

#[derive(Deserialize)]
struct ConfigMap {
    metadata: Metadata,
    #[serde(default)]
    data: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: String,
    resource_version: String,
}

/// A shard that is to be written.
struct Desired {
    text: String,
    objects: BTreeSet<u64>,
}

impl KubeInventory {
    /// The inventory of a reconciler, in this namespace. No request is sent.
    #[must_use]
    pub fn new(client: Client, reconciler: ReconcilerName, namespace: impl Into<String>) -> Self {
        let manager = reconciler.clone().into();
        let transport = Transport::new(client, crate::applier::REQUEST_TIMEOUT);
        Self::over(transport, reconciler, manager, namespace.into())
    }

    pub(crate) fn over(
        transport: Transport,
        reconciler: ReconcilerName,
        manager: FieldManager,
        namespace: String,
    ) -> Self {
        Self {
            transport,
            reconciler,
            manager,
            namespace,
            shard_size: SHARD_SIZE,
            state: Mutex::default(),
        }
    }

    /// Splits shards that would be larger than this many bytes, where the default is 512 KiB.
    /// A ConfigMap takes 1 MiB.
    #[must_use]
    pub fn shard_size(mut self, bytes: usize) -> Self {
        self.shard_size = bytes;
        self
    }

    fn name(&self) -> String {
        format!("{}/gitops-inventory-{}", self.namespace, self.reconciler)
    }

    fn shard_name(&self, shard: usize) -> String {
        format!("gitops-inventory-{}-{shard}", self.reconciler)
    }

    fn collection(&self) -> String {
        format!("/api/v1/namespaces/{}/configmaps", encoded(&self.namespace))
    }

    fn error(&self, failure: Failure) -> StoreError {
        store_error(&self.name(), failure)
    }

    fn corrupt(&self, reason: impl std::fmt::Display) -> StoreError {
        StoreError::Corrupt {
            name: self.name(),
            reason: format!(
                "{reason}; nothing is written until that is put right: restore the ConfigMap, or \
                 delete all that carry the label {INVENTORY_LABEL}={} to begin anew, which \
                 leaves objects that were withdrawn meanwhile where they are",
                self.reconciler
            ),
        }
    }

    async fn config_maps(&self) -> Result<Vec<ConfigMap>, StoreError> {
        let selector = encoded(&format!("{INVENTORY_LABEL}={}", self.reconciler));
        let mut all = Vec::new();
        let mut next = String::new();
        loop {
            let mut uri = format!(
                "{}?limit={PAGE}&labelSelector={selector}",
                self.collection()
            );
            if !next.is_empty() {
                uri.push_str("&continue=");
                uri.push_str(&encoded(&next));
            }
            let answer = self.transport.send(Call::get(uri, ACCEPT_WHOLE)).await;
            let page: ConfigMaps = answer
                .and_then(|answer| answer.json())
                .map_err(|failure| self.error(failure))?;
            all.extend(page.items.unwrap_or_default());
            if page.metadata.next.is_empty() {
                return Ok(all);
            }
            next = page.metadata.next;
        }
    }

    fn read(&self, map: &ConfigMap) -> Result<(Shard, Held), StoreError> {
        let name = &map.metadata.name;
        let text = map
            .data
            .as_ref()
            .and_then(|data| data.get(KEY))
            .ok_or_else(|| self.corrupt(format!("ConfigMap {name} has no key {KEY}")))?;
        let unreadable = |error: serde_json::Error| {
            self.corrupt(format!("ConfigMap {name}, key {KEY}: {error}"))
        };
        let Format { version } = serde_json::from_str(text).map_err(unreadable)?;
        if version != VERSION {
            return Err(self.corrupt(format!(
                "ConfigMap {name} has version {version} of the format and this program knows \
                 version {VERSION}: run one that is as new as that which wrote it"
            )));
        }
        let shard: Shard = serde_json::from_str(text).map_err(unreadable)?;
        if *name != self.shard_name(shard.shard) {
            return Err(self.corrupt(format!(
                "ConfigMap {name} holds what belongs to {}",
                self.shard_name(shard.shard)
            )));
        }
        let held = Held {
            resource_version: map.metadata.resource_version.clone(),
            text: Digest::of(text.as_bytes()),
            objects: shard.inventory.entries.keys().map(place).collect(),
            unsure: None,
        };
        Ok((shard, held))
    }

    /// The shards as they should be: as few as keep each small enough, and not fewer than
    /// there are.
    fn desired(
        &self,
        inventory: &Inventory,
        count: usize,
    ) -> Result<BTreeMap<usize, Desired>, StoreError> {
        let mut count = count.max(1);
        loop {
            let mut parts: Vec<BTreeMap<&ObjectId, &InventoryEntry>> = vec![BTreeMap::new(); count];
            for (id, entry) in &inventory.entries {
                if let Some(part) = parts.get_mut(home(place(id), count)) {
                    part.insert(id, entry);
                }
            }
            let shards: BTreeMap<_, _> = parts
                .into_iter()
                .enumerate()
                .map(|(shard, part)| (shard, self.text(shard, count, inventory, part)))
                .collect();
            let fits = |shard: &Desired| shard.text.len() <= self.shard_size;
            if shards.values().all(fits) {
                return Ok(shards);
            }
            if count >= MAX_SHARDS {
                return Err(StoreError::Unavailable {
                    name: self.name(),
                    reason: format!(
                        "more than {MAX_SHARDS} ConfigMaps of {} bytes would be needed; give \
                         some of the objects to another reconciler",
                        self.shard_size
                    ),
                    source: None,
                });
            }
            count *= 2;
        }
    }

    fn text(
        &self,
        shard: usize,
        count: usize,
        inventory: &Inventory,
        entries: BTreeMap<&ObjectId, &InventoryEntry>,
    ) -> Desired {
        let objects = entries.keys().map(|id| place(id)).collect();
        let part = Part {
            version: VERSION,
            shard,
            shards: (shard == 0).then_some(count),
            inventory: PartInventory {
                revision: inventory.revision.as_ref().filter(|_| shard == 0),
                entries: entries
                    .into_iter()
                    .map(|(object, entry)| PartEntry { object, entry })
                    .collect(),
            },
        };
        Desired {
            // Maps with text keys and values that came from JSON can be written as JSON.
            text: serde_json::to_string(&part).unwrap_or_default(),
            objects,
        }
    }

    /// Writes one shard.
    async fn write(
        &self,
        state: &mut State,
        shard: usize,
        desired: &Desired,
    ) -> Result<(), StoreError> {
        let text = Digest::of(desired.text.as_bytes());
        if let Some(held) = state.shards.get(&shard) {
            if held.unsure.is_some() {
                self.make_sure(state, shard).await?;
            }
            if state
                .shards
                .get(&shard)
                .is_some_and(|held| held.text == text)
            {
                return Ok(());
            }
        }
        let held = state.shards.get(&shard);
        let name = self.shard_name(shard);
        let mut metadata = json!({
            "name": name,
            "namespace": self.namespace,
            "labels": {INVENTORY_LABEL: self.reconciler.as_str()},
        });
        let (method, path) = match held.map(|held| held.resource_version.as_str()) {
            Some(version) if !version.is_empty() => {
                if let Some(metadata) = metadata.as_object_mut() {
                    metadata.insert("resourceVersion".into(), version.into());
                }
                (Method::PUT, format!("{}/{name}", self.collection()))
            }
            _ => (Method::POST, self.collection()),
        };
        let body = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": metadata,
            "data": {KEY: desired.text},
        });
        let uri = format!("{path}?fieldManager={}", encoded(self.manager.as_str()));
        // From here on, until there is an answer, nobody knows which of the two is there; nor
        // if this future is dropped.
        let entry = state.shards.entry(shard).or_insert_with(|| Held {
            resource_version: String::new(),
            text: Digest::of(b""),
            objects: BTreeSet::new(),
            unsure: None,
        });
        entry.unsure = Some((text, desired.objects.clone()));
        let call = Call::with_json(method, uri, body.to_string().into_bytes());
        let answer = match self.transport.send(call).await {
            Ok(answer) => answer,
            Err(failure) => {
                // A refusal below 500 is an answer: nothing was written.
                if failure.code().is_some_and(|code| code < 500)
                    && let Some(held) = state.shards.get_mut(&shard)
                {
                    held.unsure = None;
                    if held.resource_version.is_empty() {
                        state.shards.remove(&shard);
                    }
                }
                return Err(self.error(failure));
            }
        };
        let map: ConfigMap = answer.json().map_err(|failure| self.error(failure))?;
        state.shards.insert(
            shard,
            Held {
                resource_version: map.metadata.resource_version,
                text,
                objects: desired.objects.clone(),
                unsure: None,
            },
        );
        Ok(())
    }

    /// Reads a shard of which nobody knows whether our last write was taken.
    async fn make_sure(&self, state: &mut State, shard: usize) -> Result<(), StoreError> {
        let conflict = || StoreError::Conflict { name: self.name() };
        let Some(held) = state.shards.get_mut(&shard) else {
            return Ok(());
        };
        let Some((sent, objects)) = held.unsure.clone() else {
            return Ok(());
        };
        let uri = format!("{}/{}", self.collection(), self.shard_name(shard));
        let answer = match self.transport.send(Call::get(uri, ACCEPT_WHOLE)).await {
            Ok(answer) => answer,
            Err(failure) if failure.code() == Some(404) && held.resource_version.is_empty() => {
                state.shards.remove(&shard);
                return Ok(());
            }
            Err(failure) => return Err(self.error(failure)),
        };
        let map: ConfigMap = answer.json().map_err(|failure| self.error(failure))?;
        let data = map.data.unwrap_or_default();
        let text = Digest::of(data.get(KEY).map_or("", String::as_str).as_bytes());
        if text == sent {
            held.text = sent;
            held.objects = objects;
        } else if map.metadata.resource_version != held.resource_version {
            return Err(conflict());
        }
        held.resource_version = map.metadata.resource_version;
        held.unsure = None;
        Ok(())
    }
}

/// [`Shard`], of parts that are not cloned.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Part<'a> {
    version: u32,
    shard: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    shards: Option<usize>,
    inventory: PartInventory<'a>,
}

#[derive(Serialize)]
struct PartInventory<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<&'a RevisionId>,
    entries: Vec<PartEntry<'a>>,
}

#[derive(Serialize)]
struct PartEntry<'a> {
    object: &'a ObjectId,
    #[serde(flatten)]
    entry: &'a InventoryEntry,
}

/// Where an object belongs, whatever the number of shards. It must never change: it is
/// part of the format.
fn place(id: &ObjectId) -> u64 {
    let ObjectId {
        group,
        kind,
        namespace,
        name,
    } = id;
    let namespace = namespace.as_deref().unwrap_or_default();
    let digest = Digest::of_parts([group, kind, namespace, name].map(str::as_bytes));
    let mut first = [0; 8];
    for (to, from) in first.iter_mut().zip(digest.as_bytes()) {
        *to = *from;
    }
    u64::from_be_bytes(first)
}

/// The shard of an object among so many, a power of two: with twice as many it is the same
/// or that with `count` added.
fn home(place: u64, count: usize) -> usize {
    usize::try_from(place % count as u64).unwrap_or_default()
}

#[async_trait]
impl InventoryStore for KubeInventory {
    async fn load(&self) -> Result<Option<Inventory>, StoreError> {
        let mut state = self.state.lock().await;
        let maps = self.config_maps().await?;
        let mut shards = BTreeMap::new();
        for map in &maps {
            let (shard, held) = self.read(map)?;
            shards.insert(shard.shard, (shard, held));
        }
        if shards.is_empty() {
            *state = State::default();
            return Ok(None);
        }
        let Some((first, _)) = shards.get(&0) else {
            return Err(self.corrupt(format!("ConfigMap {} is missing", self.shard_name(0))));
        };
        let count = first.shards.unwrap_or_default();
        if !count.is_power_of_two() || count > MAX_SHARDS {
            return Err(self.corrupt(format!(
                "ConfigMap {} says that there are {count} shards",
                self.shard_name(0)
            )));
        }
        if let Some(missing) = (0..count).find(|shard| !shards.contains_key(shard)) {
            return Err(self.corrupt(format!("ConfigMap {} is missing", self.shard_name(missing))));
        }
        let revision = first.inventory.revision.clone();
        // While the number grows, there are more shards than shard 0 says.
        let next = shards
            .keys()
            .last()
            .map_or(count, |last| (last + 1).next_power_of_two().max(count));
        let mut held = BTreeMap::new();
        let mut entries = BTreeMap::new();
        for (number, (shard, state)) in shards {
            for (id, entry) in shard.inventory.entries {
                if home(place(&id), next) == number {
                    entries.insert(id, entry);
                } else {
                    entries.entry(id).or_insert(entry);
                }
            }
            held.insert(number, state);
        }
        *state = State {
            shards: held,
            count: next,
        };
        Ok(Some(Inventory { revision, entries }))
    }

    async fn save(&self, inventory: &Inventory) -> Result<(), StoreError> {
        let mut state = self.state.lock().await;
        let state = &mut *state;
        let mut desired = self.desired(inventory, state.count)?;
        let count = desired.len();
        if state.shards.is_empty() && count > 1 {
            // Shard 0 is always there: an empty one is the first of all.
            let none = Inventory::default();
            let empty = self.text(0, 1, &none, BTreeMap::new());
            self.write(state, 0, &empty).await?;
        }
        let mut again = Vec::new();
        let mut written = BTreeSet::new();
        let numbers: Vec<_> = desired.keys().rev().copied().collect();
        for number in numbers {
            let staying = self.leaving_too_early(state, inventory, number, count, &written);
            if staying.is_empty() {
                if let Some(desired) = desired.get(&number) {
                    self.write(state, number, desired).await?;
                }
            } else {
                let mut entries = staying;
                for (id, entry) in &inventory.entries {
                    if home(place(id), count) == number {
                        entries.insert(id, entry);
                    }
                }
                let more = self.text(number, count, inventory, entries);
                self.write(state, number, &more).await?;
                again.push(number);
            }
            written.insert(number);
        }
        for number in again {
            if let Some(desired) = desired.remove(&number) {
                self.write(state, number, &desired).await?;
            }
        }
        // Shards beyond the count are what a split left that nobody needed; they are emptied
        // when they are needed, and hold nothing that isn't elsewhere.
        state.count = count;
        Ok(())
    }
}

impl KubeInventory {
    /// The entries that this shard holds, that belong elsewhere, and are not there yet.
    fn leaving_too_early<'a>(
        &self,
        state: &State,
        inventory: &'a Inventory,
        number: usize,
        count: usize,
        written: &BTreeSet<usize>,
    ) -> BTreeMap<&'a ObjectId, &'a InventoryEntry> {
        let Some(held) = state.shards.get(&number) else {
            return BTreeMap::new();
        };
        if held
            .objects
            .iter()
            .all(|place| home(*place, count) == number)
        {
            return BTreeMap::new();
        }
        inventory
            .entries
            .iter()
            .filter(|(id, _)| {
                let place = place(id);
                let home = home(place, count);
                let arrived = written.contains(&home)
                    || state
                        .shards
                        .get(&home)
                        .is_some_and(|held| held.objects.contains(&place));
                held.objects.contains(&place) && home != number && !arrived
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gitops_core::GroupKind;

    #[test]
    fn the_place_of_an_object_is_part_of_the_format() {
        let id = ObjectId::namespaced(GroupKind::new("apps", "Deployment"), "shop", "web");
        assert_eq!(place(&id), PLACE_OF_WEB);
        let other = ObjectId::cluster(GroupKind::new("", "Namespace"), "shop");
        assert_ne!(place(&id), place(&other));
    }

    const PLACE_OF_WEB: u64 = 10_917_154_240_675_574_727;

    #[test]
    fn shards_split_in_two() {
        for place in [0, 1, 7, 12345, u64::MAX] {
            for count in [1, 2, 4, 256] {
                let before = home(place, count);
                let after = home(place, count * 2);
                assert!(after == before || after == before + count);
            }
        }
    }
}
