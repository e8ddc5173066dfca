//! What holds for every object. `PROPTEST_CASES` and `PROPTEST_RNG_SEED` say how many cases
//! each law is tried on, and which; CONTRIBUTING.md has the command.
#![recursion_limit = "256"]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a panic in a test names its line"
)]

mod builtin;
mod patches;
mod types;
