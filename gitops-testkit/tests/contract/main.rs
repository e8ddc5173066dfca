//! The contract suite of a source passes those that keep the contract, and catches each
//! that breaks a rule.
#![expect(clippy::unwrap_used, reason = "a panic in a test names its line")]

mod mutants;

use gitops_testkit::conformance::{self, MemoryFixture};

#[tokio::test(start_paused = true)]
async fn the_source_in_memory_keeps_the_contract() {
    conformance::source(MemoryFixture::default).await.unwrap();
}
