//! How long does the field engine take?
//!
//! `cargo bench -p gitops-benches --bench diff`: the time of each case of
//! `gitops_benches::cases`. What doesn't depend on the machine is in `counts`.
#![expect(
    clippy::unwrap_used,
    reason = "a bench that can't be set up should stop"
)]

use criterion::{Criterion, criterion_group, criterion_main};
use gitops_benches::cases::cases;

fn field_engine(criterion: &mut Criterion) {
    for case in cases() {
        criterion.bench_function(&case.name, |bencher| {
            let run = case.prepare().unwrap();
            bencher.iter(run);
        });
    }
}

criterion_group!(benches, field_engine);
criterion_main!(benches);
