//! Contracts of the seams, as suites to be run on your own implementations.
//!
//! | suite | of | what you write |
//! |---|---|---|
//! | [`source`](fn@source) | [`Source`](gitops_core::Source) | a [`SourceFixture`]: make a source, commit files |
//!
//! A suite checks what the seam's documentation promises, rule by rule, each on a fixture
//! of its own, and reports every rule that is broken.
//!
//! # Example: a source of your own
//!
//! ```
//! use std::sync::Arc;
//!
//! use async_trait::async_trait;
//! use gitops_core::{BoxError, Revision, Source};
//! use gitops_testkit::conformance::{self, Files, SourceFixture};
//! # use gitops_testkit::MemorySource as MySource;
//!
//! /// How the suite makes your source and what is in it.
//! struct Fixture(MySource);
//!
//! #[async_trait]
//! impl SourceFixture for Fixture {
//!     async fn source(&mut self) -> Result<Arc<dyn Source>, BoxError> {
//!         Ok(Arc::new(self.0.clone()))
//!     }
//!     async fn commit(&mut self, files: &Files) -> Result<(), BoxError> {
//!         self.0.commit("a commit of the suite", files.clone())?;
//!         Ok(())
//!     }
//!     fn unknown(&self) -> Revision {
//!         Revision::new("0".repeat(64))
//!     }
//!     fn tells(&self) -> bool {
//!         true
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! conformance::source(|| Fixture(MySource::new())).await.unwrap();
//! # }
//! ```

mod fixture;
mod source;

use std::fmt;

pub use fixture::{Files, MemoryFixture, RepoFixture, SourceFixture};
pub use source::source;

/// Rules that an implementation breaks.
///
/// `Debug` prints as `Display` does, so that `unwrap` can be read.
#[derive(Clone)]
pub struct ContractBroken {
    what: String,
    rules: Vec<(&'static str, String)>,
}

impl ContractBroken {
    /// The names of the broken rules.
    pub fn rules(&self) -> impl Iterator<Item = &'static str> {
        self.rules.iter().map(|(rule, _)| *rule)
    }
}

impl fmt::Display for ContractBroken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.rules.len();
        write!(f, "{} breaks {count} rule(s) of its contract:", self.what)?;
        self.rules
            .iter()
            .try_for_each(|(rule, why)| write!(f, "\n  {rule}: {why}"))
    }
}

impl fmt::Debug for ContractBroken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for ContractBroken {}
