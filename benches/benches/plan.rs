//! What does it cost to look at everything, and at nothing?
//!
//! `cargo bench -p gitops-benches --bench plan`: rendering and planning for 100 to 10,000 objects at
//! rest, with no cluster. Watched objects cost nothing to look at; unwatched ones are compared
//! by their metadata.
#![expect(
    clippy::unwrap_used,
    reason = "a bench that can't be set up should stop"
)]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use gitops_benches::workload;
use gitops_benches::world::World;
use gitops_core::planner::{PlanInput, plan, wanted};
use gitops_core::{FieldManager, Observation, Policy, ReconcilerName, Renderer, Snapshot};
use gitops_diff::SchemaDiffer;
use gitops_render::PlainYaml;

fn at_rest(criterion: &mut Criterion) {
    let name = ReconcilerName::new("bench").unwrap();
    let manager = FieldManager::from(name.clone());
    let policy = Policy::default();
    let differ = SchemaDiffer::default();
    let mut group = criterion.benchmark_group("plan");
    for count in [100, 1_000, 10_000] {
        let world = World::at_rest(count).unwrap();
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
