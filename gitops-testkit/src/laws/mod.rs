//! Laws that differs and normalisers obey, to be run on your own.
//!
//! [`check_differ`] runs all laws of a [`Differ`](gitops_core::Differ) on generated
//! manifests and edits, [`check_normalizer`] those of a
//! [`Normalizer`](gitops_diff::normalize::Normalizer). A broken law comes back as a
//! [`LawBroken`] with the smallest input that shows it. Each law is a function of its own, too: within a property, `?` makes a
//! failed case of it.
//!
//! # Example
//!
//! ```
//! use gitops_core::{DiffError, DiffRequest, Differ, Difference};
//! use gitops_testkit::{arb, laws};
//! use proptest::prelude::*;
//!
//! # struct MyDiffer;
//! # impl Differ for MyDiffer {
//! #     fn diff(&self, _: &DiffRequest<'_>) -> Result<Difference, DiffError> { Ok(Difference::default()) }
//! # }
//! // One law, as a property of your own:
//! proptest!(|(manifest in arb::manifest())| {
//!     laws::differ::reflexive(&MyDiffer, &manifest)?;
//! });
//! ```
//!
//! [`Check`] sets the seed and the number of cases. `PROPTEST_CASES=100000 cargo test`
//! runs that many of each law.

mod broken;
mod check;
pub mod differ;
pub mod normalizer;
mod says;

pub use broken::LawBroken;
pub use check::Check;
pub use differ::{Subject, check_differ};
pub use normalizer::check_normalizer;
