//! What a reconciler made, and must one day take away.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{BoxError, Digest, ObjectId, RelPath, RevisionId};

/// What is remembered of one object.
///
/// About a hundred bytes: an object at rest is a fingerprint, not a tree.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct InventoryEntry {
    /// The version in which it was last applied.
    pub version: String,
    /// Its uid, once a write was acknowledged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// The digest of the manifest that was last applied. Never there for an object whose
    /// content is secret: a short secret can be guessed from its digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied: Option<Digest>,
    /// The fingerprint of what we own of it, as of our last acknowledged write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<Digest>,
    /// The mark that keeps it when it is withdrawn, as of the last applied manifest, so
    /// that a co-writer can't strip it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep: Option<String>,
    /// The file it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<RelPath>,
    /// Members that a newer version of this library wrote. They are kept.
    #[serde(flatten)]
    pub other: BTreeMap<String, Value>,
}

/// Every object that a reconciler made or may have made.
///
/// It is written before the first write of an object that is not in it, and shrinks only
/// after an object was seen to be gone. So a crash between any two calls orphans nothing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Inventory {
    /// The last revision that was applied without an error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<RevisionId>,
    /// The objects.
    #[serde(with = "entries", default)]
    #[cfg_attr(feature = "schemars", schemars(with = "Vec<entries::Listed>"))]
    pub entries: BTreeMap<ObjectId, InventoryEntry>,
}

/// JSON has no keys but texts: the entries are written as a list.
mod entries {
    use super::{BTreeMap, Deserialize, InventoryEntry, ObjectId, Serialize};

    #[derive(Serialize, Deserialize)]
    #[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
    pub(super) struct Listed {
        object: ObjectId,
        #[serde(flatten)]
        entry: InventoryEntry,
    }

    pub(super) fn serialize<S: serde::Serializer>(
        entries: &BTreeMap<ObjectId, InventoryEntry>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(entries.iter().map(|(object, entry)| Listed {
            object: object.clone(),
            entry: entry.clone(),
        }))
    }

    pub(super) fn deserialize<'de, D: serde::Deserializer<'de>>(
        deserializer: D,
    ) -> Result<BTreeMap<ObjectId, InventoryEntry>, D::Error> {
        let listed = Vec::<Listed>::deserialize(deserializer)?;
        Ok(listed
            .into_iter()
            .map(|Listed { object, entry }| (object, entry))
            .collect())
    }
}

/// Where an [`Inventory`] is kept.
///
/// # Contract
///
/// * [`load`](Self::load) after an acknowledged [`save`](Self::save) gives what was saved.
/// * After a `save` that failed or was cut off, `load` gives every entry that was in the old
///   *and* in the new inventory, and may give those that were in one of them: never less.
/// * A `save` over what another process saved since our `load` is
///   [`StoreError::Conflict`], not a write.
/// * What can't be understood is [`StoreError::Corrupt`], never an empty inventory.
#[async_trait]
pub trait InventoryStore: Send + Sync {
    /// The inventory as it was last saved, or `None` if there never was one.
    async fn load(&self) -> Result<Option<Inventory>, StoreError>;

    /// Writes the inventory.
    async fn save(&self, inventory: &Inventory) -> Result<(), StoreError>;
}

const _: Option<&dyn InventoryStore> = None;

#[async_trait]
impl<S: InventoryStore + ?Sized> InventoryStore for std::sync::Arc<S> {
    async fn load(&self) -> Result<Option<Inventory>, StoreError> {
        (**self).load().await
    }

    async fn save(&self, inventory: &Inventory) -> Result<(), StoreError> {
        (**self).save(inventory).await
    }
}

/// Why an inventory could not be loaded or saved.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Somebody else saved it since we loaded it: is another replica running?
    #[error(
        "inventory {name}: changed by somebody else since it was read; is another replica running?"
    )]
    Conflict {
        /// The inventory.
        name: String,
    },
    /// It can't be understood. Nothing is written until a person has looked at it.
    #[error("inventory {name}: {reason}")]
    Corrupt {
        /// The inventory.
        name: String,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// We are not allowed to read or write it.
    #[error("inventory {name}: forbidden: {reason}")]
    Forbidden {
        /// The inventory.
        name: String,
        /// What the server said.
        reason: String,
    },
    /// The store was busy or out of reach, or refused the write.
    #[error("inventory {name}: {reason}")]
    Unavailable {
        /// The inventory.
        name: String,
        /// What came of it.
        reason: String,
        /// The cause.
        source: Option<BoxError>,
    },
}

impl StoreError {
    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        !matches!(self, Self::Corrupt { .. })
    }
}

/// An inventory in memory, for tests and for targets that keep no state. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct MemoryInventory {
    saved: std::sync::Arc<std::sync::Mutex<Option<Inventory>>>,
}

impl MemoryInventory {
    /// What was last saved.
    #[must_use]
    pub fn saved(&self) -> Option<Inventory> {
        self.saved
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone()
    }
}

#[async_trait]
impl InventoryStore for MemoryInventory {
    async fn load(&self) -> Result<Option<Inventory>, StoreError> {
        Ok(self.saved())
    }

    async fn save(&self, inventory: &Inventory) -> Result<(), StoreError> {
        let mut saved = self
            .saved
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        *saved = Some(inventory.clone());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::GroupKind;

    #[test]
    fn what_a_newer_version_wrote_is_kept() {
        let text = r#"{"revision":"abc","entries":[{"object":{"kind":"Namespace","name":"a"},"version":"v1","novel":{"x":1}}]}"#;
        let inventory: Inventory = serde_json::from_str(text).unwrap();
        let id = ObjectId::cluster(GroupKind::new("", "Namespace"), "a");
        assert_eq!(inventory.entries[&id].other["novel"]["x"], 1);
        assert_eq!(serde_json::to_string(&inventory).unwrap(), text);
    }
}
