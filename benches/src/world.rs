//! A reconciler's world at rest, as the planner sees it.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Result;
use gitops_core::planner::Desired;
use gitops_core::{
    Depth, Digest, Inventory, InventoryEntry, KindInfo, LiveObject, Observation, Owner,
    ReconcilerName, Renderer as _, Revision, Snapshot, SnapshotLimits,
};
use gitops_render::PlainYaml;
use serde_json::json;

use crate::workload;

/// What the planner looks at.
pub struct World {
    /// The manifests.
    pub desired: Desired,
    /// What was made.
    pub inventory: Inventory,
    /// What the cluster has: metadata only.
    pub observation: Observation,
}

impl World {
    /// `count` objects of [`workload`], all as they were applied.
    ///
    /// # Errors
    ///
    /// If they can't be rendered.
    pub fn at_rest(count: usize) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        let mut limits = SnapshotLimits::default();
        limits.entries = limits.entries.max(2 * count);
        limits.total_bytes = limits.total_bytes.max(2048 * count as u64);
        let snapshot = Snapshot::from_files(workload(count))?.with_limits(limits);
        let rendered = runtime.block_on(PlainYaml::new().render(&snapshot))?;
        let kinds = Desired::kinds_needed(&rendered)
            .into_iter()
            .map(|kind| {
                let namespaced = kind.kind != "Namespace";
                (kind, KindInfo::new(namespaced))
            })
            .collect::<BTreeMap<_, _>>();
        let name = ReconcilerName::new("bench")?;
        let desired = Desired::resolve(Revision::new("1"), rendered, &kinds, "default", &name);
        let baseline = Some(Digest::of(b"ours"));
        let mut inventory = Inventory::default();
        let mut observation = Observation::new();
        for (id, manifest) in &desired.manifests {
            let entry = InventoryEntry {
                version: manifest.gvk().version,
                uid: Some("uid".into()),
                applied: Some(manifest.digest()),
                baseline,
                ..InventoryEntry::default()
            };
            inventory.entries.insert(id.clone(), entry);
            let object = Arc::new(json!({"metadata": {}}));
            let mut live = LiveObject::new(id.clone(), "uid", "1", Depth::Metadata, object);
            live.baseline = baseline;
            live.owner = Owner::Us;
            observation.insert(id.clone(), Ok(Some(live)));
        }
        Ok(Self {
            desired,
            inventory,
            observation,
        })
    }
}
