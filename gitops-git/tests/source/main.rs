//! `GitSource` against real repositories, over every transport.
#![expect(clippy::unwrap_used, reason = "a panic in a test names its line")]

mod access;
mod cache;
mod filter;
mod hostile;
mod http;
mod local;
mod ssh;
mod tags;
#[cfg(all(feature = "openpgp", feature = "ssh-signatures"))]
mod trust;
#[cfg(feature = "webhook")]
mod webhook;

use gitops_core::{RelPath, Snapshot, Source, SourceError, SourceErrorKind};
use gitops_git::{GitError, GitSource};

pub(crate) fn path(text: &str) -> RelPath {
    text.parse().unwrap()
}

/// The cause of an error, which every error of a `GitSource` has.
pub(crate) fn cause(error: &SourceError) -> &GitError {
    std::error::Error::source(error)
        .and_then(|cause| cause.downcast_ref())
        .unwrap_or_else(|| panic!("{error} has no GitError as its cause"))
}

/// Resolves and fetches.
pub(crate) async fn files(source: &GitSource) -> Result<Snapshot, SourceError> {
    let revision = source.resolve().await?;
    source.fetch(&revision).await
}

/// The error of a source that must fail, checked for what holds of all of them.
pub(crate) async fn refusal(source: &GitSource) -> SourceError {
    let error = match files(source).await {
        Ok(_) => panic!("{} can be read", source.describe()),
        Err(error) => error,
    };
    check_words(&error);
    error
}

pub(crate) fn check_words(error: &SourceError) {
    let mut all = format!("{error}\n{error:?}");
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        all.push_str(&format!("\n{cause}\n{cause:?}"));
        next = cause.source();
    }
    assert!(!all.contains("hunter2"), "a secret is shown: {all}");
    assert!(!error.to_string().contains('\n'), "not one line: {error}");
    assert!(!error.to_string().contains("://ann"), "{error}");
}

pub(crate) fn assert_kind(error: &SourceError, kind: SourceErrorKind, words: &[&str]) {
    assert_eq!(error.kind(), kind, "{error}");
    let text = error.to_string();
    for word in words {
        assert!(text.contains(word), "{text:?} does not say {word:?}");
    }
}
