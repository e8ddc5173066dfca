//! What does it cost to look at everything, and at nothing?
//!
//! `cargo bench -p gitops-benches --bench plan`: rendering and planning for 100 to 10,000 objects at
//! rest, with no cluster. Watched objects cost nothing to look at; unwatched ones are compared
//! by their metadata.
#![expect(
    clippy::unwrap_used,
    reason = "a bench that can't be set up should stop"
)]

use std::collections::BTreeMap;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use gitops_benches::workload;
use gitops_core::planner::{Desired, PlanInput, plan, wanted};
use gitops_core::{
    Depth, Digest, FieldManager, Inventory, InventoryEntry, KindInfo, LiveObject, Observation,
    Owner, Policy, ReconcilerName, Renderer, Revision, Snapshot,
};
use gitops_diff::SchemaDiffer;
use gitops_render::PlainYaml;
use serde_json::json;

struct World {
    desired: Desired,
    inventory: Inventory,
    observation: Observation,
}

fn world(count: usize) -> World {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let snapshot = Snapshot::from_files(workload(count)).unwrap();
    let rendered = runtime
        .block_on(PlainYaml::new().render(&snapshot))
        .unwrap();
    let kinds = Desired::kinds_needed(&rendered)
        .into_iter()
        .map(|kind| {
            let namespaced = kind.kind != "Namespace";
            (kind, KindInfo::new(namespaced))
        })
        .collect::<BTreeMap<_, _>>();
    let name = ReconcilerName::new("bench").unwrap();
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
    World {
        desired,
        inventory,
        observation,
    }
}

fn at_rest(criterion: &mut Criterion) {
    let name = ReconcilerName::new("bench").unwrap();
    let manager = FieldManager::from(name.clone());
    let policy = Policy::default();
    let differ = SchemaDiffer::default();
    let mut group = criterion.benchmark_group("plan");
    for count in [100, 1_000, 10_000] {
        let world = world(count);
        let nothing = Observation::new();
        group.throughput(Throughput::Elements(count as u64));
        for (case, observation, watched) in [
            ("metadata", &world.observation, false),
            ("watched", &nothing, true),
        ] {
            let mut input = PlanInput::new(
                &name,
                &manager,
                &world.desired,
                &world.inventory,
                observation,
                &policy,
                &differ,
            );
            input.watched = watched;
            group.bench_with_input(
                BenchmarkId::new(format!("at-rest/{case}"), count),
                &input,
                |bencher, input| {
                    bencher.iter(|| {
                        assert!(wanted(input).is_empty());
                        let plan = plan(input);
                        assert_eq!(plan.unchanged, count);
                        plan
                    });
                },
            );
        }
    }
    group.finish();
}

fn render(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let mut group = criterion.benchmark_group("render");
    for count in [100, 1_000, 10_000] {
        let snapshot = Snapshot::from_files(workload(count)).unwrap();
        let renderer = PlainYaml::new();
        group.throughput(Throughput::Elements(count as u64));
        group.bench_with_input(
            BenchmarkId::new("plain/cold", count),
            &snapshot,
            |bencher, snapshot| {
                bencher.iter(|| runtime.block_on(PlainYaml::new().render(snapshot)).unwrap());
            },
        );
        group.bench_with_input(
            BenchmarkId::new("plain/warm", count),
            &snapshot,
            |bencher, snapshot| {
                bencher.iter(|| runtime.block_on(renderer.render(snapshot)).unwrap());
            },
        );
    }
    group.finish();
}

criterion_group!(benches, at_rest, render);
criterion_main!(benches);
