//! The store: objects, one resourceVersion for all of them, and a bounded log of events
//! per resource, tombstones included.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::registry::StorageKey;

/// An object at rest: compact JSON, parsed when looked at.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    json: Box<str>,
    pub(crate) resource_version: u64,
}

impl Stored {
    /// The object as a tree.
    pub(crate) fn value(&self) -> Value {
        serde_json::from_str(&self.json).unwrap_or_default()
    }

    /// The object as JSON.
    pub(crate) fn json(&self) -> &str {
        &self.json
    }
}

/// What happened to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Added,
    Modified,
    Deleted,
}

/// One entry of the log.
#[derive(Debug, Clone)]
pub(crate) struct LogEntry {
    pub(crate) resource_version: u64,
    pub(crate) change: Change,
    pub(crate) key: Arc<str>,
    /// The object afterwards; for a deletion its last state at the deletion's version.
    pub(crate) object: Arc<Stored>,
    /// The object before.
    pub(crate) previous: Option<Arc<Stored>>,
}

#[derive(Debug, Default)]
struct Table {
    objects: BTreeMap<Arc<str>, Arc<Stored>>,
    log: VecDeque<LogEntry>,
    /// Events up to this version are gone from the log.
    compacted: u64,
}

/// All objects of a cluster.
#[derive(Debug)]
pub(crate) struct Store {
    resource_version: u64,
    tables: BTreeMap<StorageKey, Table>,
    log_size: usize,
    /// What a table that has no events yet is compacted to.
    floor: u64,
    /// The resources written since somebody last asked.
    touched: BTreeSet<StorageKey>,
}

/// The key of an object within its resource; sorts as etcd's keys do.
pub(crate) fn object_key(namespace: Option<&str>, name: &str) -> String {
    match namespace {
        Some(namespace) => format!("{namespace}/{name}"),
        None => name.to_owned(),
    }
}

/// A store as text: what is needed to go on from it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SavedStore {
    resource_version: u64,
    objects: BTreeMap<String, BTreeMap<String, Value>>,
}

impl Store {
    pub(crate) fn new(log_size: usize) -> Self {
        Self {
            resource_version: 1,
            tables: BTreeMap::new(),
            log_size,
            floor: 0,
            touched: BTreeSet::new(),
        }
    }

    /// The version of the last write.
    pub(crate) fn resource_version(&self) -> u64 {
        self.resource_version
    }

    /// Takes the next version without a write.
    pub(crate) fn skip_versions(&mut self, count: u64) {
        self.resource_version += count;
    }

    /// Forgets all events so far: a watch from before now is too old.
    pub(crate) fn compact(&mut self) {
        self.floor = self.resource_version;
        for table in self.tables.values_mut() {
            table.log.clear();
            table.compacted = self.resource_version;
        }
    }

    pub(crate) fn get(&self, resource: &StorageKey, key: &str) -> Option<&Arc<Stored>> {
        self.tables.get(resource)?.objects.get(key)
    }

    /// The objects of a resource in order of their keys, those of one namespace or all.
    pub(crate) fn list<'a>(
        &'a self,
        resource: &StorageKey,
        namespace: Option<&str>,
    ) -> Vec<(&'a Arc<str>, &'a Arc<Stored>)> {
        let Some(table) = self.tables.get(resource) else {
            return Vec::new();
        };
        match namespace {
            None => table.objects.iter().collect(),
            Some(namespace) => {
                let prefix = format!("{namespace}/");
                table
                    .objects
                    .range::<str, _>((Bound::Included(prefix.as_str()), Bound::Unbounded))
                    .take_while(|(key, _)| key.starts_with(&prefix))
                    .collect()
            }
        }
    }

    /// The objects of a resource as they were at `version`; `None` if the log no longer
    /// reaches back so far.
    pub(crate) fn list_at(
        &self,
        resource: &StorageKey,
        namespace: Option<&str>,
        version: u64,
    ) -> Option<Vec<(Arc<str>, Arc<Stored>)>> {
        let mut objects: BTreeMap<Arc<str>, Arc<Stored>> = self
            .list(resource, namespace)
            .into_iter()
            .map(|(key, stored)| (key.clone(), stored.clone()))
            .collect();
        if version < self.compacted(resource) {
            return None;
        }
        let prefix = namespace.map(|namespace| format!("{namespace}/"));
        if let Some(table) = self.tables.get(resource) {
            for entry in table.log.iter().rev() {
                if entry.resource_version <= version {
                    break;
                }
                if prefix
                    .as_ref()
                    .is_some_and(|p| !entry.key.starts_with(p.as_str()))
                {
                    continue;
                }
                match &entry.previous {
                    Some(previous) => objects.insert(entry.key.clone(), previous.clone()),
                    None => objects.remove(&entry.key),
                };
            }
        }
        Some(objects.into_iter().collect())
    }

    /// The version up to which events of `resource` are forgotten.
    pub(crate) fn compacted(&self, resource: &StorageKey) -> u64 {
        self.tables
            .get(resource)
            .map_or(self.floor, |table| table.compacted.max(self.floor))
    }

    /// The events of `resource` after `version`, at most `limit`.
    pub(crate) fn events_after(
        &self,
        resource: &StorageKey,
        version: u64,
        limit: usize,
    ) -> Vec<LogEntry> {
        let Some(table) = self.tables.get(resource) else {
            return Vec::new();
        };
        let start = table
            .log
            .partition_point(|entry| entry.resource_version <= version);
        table.log.iter().skip(start).take(limit).cloned().collect()
    }

    fn table(&mut self, resource: &StorageKey) -> &mut Table {
        let floor = self.floor;
        self.tables
            .entry(resource.clone())
            .or_insert_with(|| Table {
                compacted: floor,
                ..Table::default()
            })
    }

    /// Writes `object` under the next version, which is put into its metadata, and
    /// returns the version.
    pub(crate) fn put(&mut self, resource: &StorageKey, key: &str, object: &mut Value) -> u64 {
        self.resource_version += 1;
        let version = self.resource_version;
        set_version(object, version);
        let stored = Arc::new(Stored {
            json: object.to_string().into_boxed_str(),
            resource_version: version,
        });
        let key: Arc<str> = key.into();
        let limit = self.log_size;
        self.touched.insert(resource.clone());
        let table = self.table(resource);
        let previous = table.objects.insert(key.clone(), stored.clone());
        table.push(
            limit,
            LogEntry {
                resource_version: version,
                change: if previous.is_some() {
                    Change::Modified
                } else {
                    Change::Added
                },
                key,
                object: stored,
                previous,
            },
        );
        version
    }

    /// Removes an object and returns its last state at the version of the deletion.
    pub(crate) fn delete(&mut self, resource: &StorageKey, key: &str) -> Option<Value> {
        let limit = self.log_size;
        let next = self.resource_version + 1;
        self.touched.insert(resource.clone());
        let table = self.table(resource);
        let (key, previous) = table.objects.remove_entry(key)?;
        let mut last = previous.value();
        set_version(&mut last, next);
        table.push(
            limit,
            LogEntry {
                resource_version: next,
                change: Change::Deleted,
                key,
                object: Arc::new(Stored {
                    json: last.to_string().into_boxed_str(),
                    resource_version: next,
                }),
                previous: Some(previous),
            },
        );
        self.resource_version = next;
        Some(last)
    }

    /// How many objects there are.
    pub(crate) fn len(&self) -> usize {
        self.tables.values().map(|table| table.objects.len()).sum()
    }

    /// Puts an object in place at the version that it states, without an event.
    pub(crate) fn place(&mut self, resource: &StorageKey, key: &str, object: &Value, version: u64) {
        let stored = Arc::new(Stored {
            json: object.to_string().into_boxed_str(),
            resource_version: version,
        });
        self.table(resource).objects.insert(key.into(), stored);
    }

    /// The resources written since the last call.
    pub(crate) fn take_touched(&mut self) -> BTreeSet<StorageKey> {
        std::mem::take(&mut self.touched)
    }

    /// Everything, to be saved.
    pub(crate) fn save(&self) -> SavedStore {
        let objects = self
            .tables
            .iter()
            .map(|(resource, table)| {
                let name = super::status::qualified(&resource.group, &resource.resource);
                let objects = table
                    .objects
                    .iter()
                    .map(|(key, stored)| (key.to_string(), stored.value()))
                    .collect();
                (name, objects)
            })
            .collect();
        SavedStore {
            resource_version: self.resource_version,
            objects,
        }
    }

    /// A store as it was saved. Its log is empty, so that watches from before now are
    /// told that they are too old.
    pub(crate) fn restore(saved: &SavedStore, log_size: usize) -> Self {
        let mut store = Self::new(log_size);
        store.resource_version = saved.resource_version.max(1);
        store.floor = store.resource_version;
        for (name, objects) in &saved.objects {
            let (resource, group) = name.split_once('.').unwrap_or((name, ""));
            let resource = StorageKey::new(group, resource);
            store.table(&resource);
            for (key, object) in objects {
                let version = object
                    .pointer("/metadata/resourceVersion")
                    .and_then(Value::as_str)
                    .and_then(|text| text.parse().ok())
                    .unwrap_or(saved.resource_version);
                store.place(&resource, key, object, version);
            }
        }
        store
    }
}

impl Table {
    fn push(&mut self, limit: usize, entry: LogEntry) {
        self.log.push_back(entry);
        while self.log.len() > limit {
            if let Some(gone) = self.log.pop_front() {
                self.compacted = gone.resource_version;
            }
        }
    }
}

fn set_version(object: &mut Value, version: u64) {
    if let Some(meta) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        meta.insert(
            "resourceVersion".to_owned(),
            Value::from(version.to_string()),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn maps() -> StorageKey {
        StorageKey::new("", "configmaps")
    }

    #[test]
    fn every_write_takes_the_next_version_and_leaves_an_event() {
        let mut store = Store::new(10);
        let first = store.put(&maps(), "a/x", &mut json!({"metadata": {}}));
        let second = store.put(&maps(), "a/x", &mut json!({"metadata": {}, "data": {}}));
        let last = store.delete(&maps(), "a/x").unwrap();
        assert_eq!(second, first + 1);
        assert_eq!(
            last["metadata"]["resourceVersion"],
            (second + 1).to_string()
        );
        let changes: Vec<_> = store
            .events_after(&maps(), first, 10)
            .into_iter()
            .map(|e| (e.change, e.resource_version))
            .collect();
        assert_eq!(
            changes,
            [(Change::Modified, second), (Change::Deleted, second + 1)]
        );
    }

    #[test]
    fn the_past_can_be_listed_as_far_as_the_log_reaches() {
        let mut store = Store::new(2);
        let first = store.put(&maps(), "a/x", &mut json!({"metadata": {}}));
        store.put(&maps(), "a/y", &mut json!({"metadata": {}}));
        store.delete(&maps(), "a/x");
        let names = |version| {
            store.list_at(&maps(), Some("a"), version).map(|list| {
                list.into_iter()
                    .map(|(k, _)| k.to_string())
                    .collect::<Vec<_>>()
            })
        };
        assert_eq!(names(first + 2), Some(vec!["a/y".to_owned()]));
        assert_eq!(
            names(first + 1),
            Some(vec!["a/x".to_owned(), "a/y".to_owned()])
        );
        assert_eq!(names(first), Some(vec!["a/x".to_owned()]));
        assert_eq!(names(first - 1), None);
    }

    #[test]
    fn keys_sort_as_in_etcd() {
        let mut store = Store::new(10);
        for key in ["a/z", "a-b/a", "b/a"] {
            store.put(&maps(), key, &mut json!({"metadata": {}}));
        }
        let keys: Vec<_> = store
            .list(&maps(), None)
            .into_iter()
            .map(|(k, _)| k.to_string())
            .collect();
        assert_eq!(keys, ["a-b/a", "a/z", "b/a"]);
    }

    #[test]
    fn a_saved_store_comes_back() {
        let mut store = Store::new(10);
        store.put(&maps(), "a/x", &mut json!({"metadata": {"name": "x"}}));
        let text = serde_json::to_string(&store.save()).unwrap();
        let back = Store::restore(&serde_json::from_str(&text).unwrap(), 10);
        assert_eq!(back.resource_version(), store.resource_version());
        assert_eq!(back.get(&maps(), "a/x"), store.get(&maps(), "a/x"));
        assert_eq!(back.compacted(&maps()), store.resource_version());
    }
}
