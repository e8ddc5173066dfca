//! The first seam: where desired state comes from.

use async_trait::async_trait;

use crate::{BoxError, Revision, Snapshot};

/// A place desired state is read from: a Git repository, a directory, a registry.
///
/// # Contract
///
/// * A [`Revision`] never moves: two calls to [`fetch`](Self::fetch) with the same revision
///   give the same tree, or an error, and never another tree.
/// * An error is never an empty snapshot. A source that can't be read says so; the
///   engine prunes nothing on an error.
/// * What `fetch` returns is what `resolve` named: nothing is looked up a second time.
/// * Dropping a returned future stops the work and leaves no lock file behind.
/// * No error, and no `describe`, shows a credential.
///
/// # Writing one
///
/// Implement `resolve` and `fetch`; build the [`Snapshot`] from a
/// [`Tree`](crate::Tree) of yours, or with [`Snapshot::from_files`].
///
/// ```
/// use async_trait::async_trait;
/// use gitops_core::{Revision, Snapshot, Source, SourceError};
///
/// /// One file that never changes.
/// struct Fixed;
///
/// #[async_trait]
/// impl Source for Fixed {
///     async fn resolve(&self) -> Result<Revision, SourceError> {
///         Ok(Revision::new("v1"))
///     }
///
///     async fn fetch(&self, revision: &Revision) -> Result<Snapshot, SourceError> {
///         if revision.id.as_str() != "v1" {
///             return Err(SourceError::not_found(format!("revision {}", revision.id)));
///         }
///         Snapshot::from_files([("web.yaml", "apiVersion: v1")]).map_err(SourceError::invalid)
///     }
///
///     fn describe(&self) -> String {
///         "a fixed file".into()
///     }
/// }
/// ```
#[async_trait]
pub trait Source: Send + Sync {
    /// Turns the name that moves, such as a branch, into a revision that does not.
    async fn resolve(&self) -> Result<Revision, SourceError>;

    /// The files at exactly `revision`. They may be read lazily.
    async fn fetch(&self, revision: &Revision) -> Result<Snapshot, SourceError>;

    /// Completes when it is worth to [`resolve`](Self::resolve) again: a poll is due, a
    /// webhook came in, a file changed. It is a hint, never content.
    ///
    /// A call counts from when it is made; what happened since the call before must not be
    /// lost. Completing at once, always, makes a busy loop. The default never completes.
    async fn changed(&self) {
        std::future::pending().await
    }

    /// What the source is, for people: a URL without its credentials.
    fn describe(&self) -> String;
}

// Fails to compile on the day `Source` stops working behind `dyn`.
const _: Option<&dyn Source> = None;

#[async_trait]
impl<S: Source + ?Sized> Source for std::sync::Arc<S> {
    async fn resolve(&self) -> Result<Revision, SourceError> {
        (**self).resolve().await
    }

    async fn fetch(&self, revision: &Revision) -> Result<Snapshot, SourceError> {
        (**self).fetch(revision).await
    }

    async fn changed(&self) {
        (**self).changed().await;
    }

    fn describe(&self) -> String {
        (**self).describe()
    }
}

/// What kind of trouble a source has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SourceErrorKind {
    /// The server can't be reached or didn't answer in time.
    Unreachable,
    /// The server didn't take our credentials, or wants some.
    Unauthorized,
    /// There is no such repository, reference, revision or directory.
    NotFound,
    /// What the server or the store answered is broken or contradicts itself.
    Corrupt,
    /// It is there and can be read, and is not signed, or did not move, as it has to.
    Untrusted,
    /// There is more than a limit allows.
    Limit,
    /// What we were told to read can't be right: a URL, a path.
    Invalid,
}

/// Why a source could not be read.
///
/// The message is one line that says what was tried, where, and what came of it, without any
/// credential. The cause is in [`source`](std::error::Error::source).
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct SourceError {
    kind: SourceErrorKind,
    message: String,
    source: Option<BoxError>,
}

impl SourceError {
    /// An error of this kind.
    #[must_use]
    pub fn new(kind: SourceErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            source: None,
        }
    }

    /// [`NotFound`](SourceErrorKind::NotFound): `what` says what there isn't.
    #[must_use]
    pub fn not_found(what: impl std::fmt::Display) -> Self {
        Self::new(SourceErrorKind::NotFound, format!("not found: {what}"))
    }

    /// [`Invalid`](SourceErrorKind::Invalid).
    #[must_use]
    pub fn invalid(why: impl std::fmt::Display) -> Self {
        Self::new(SourceErrorKind::Invalid, why.to_string())
    }

    /// Adds the cause.
    #[must_use]
    pub fn because(mut self, cause: impl Into<BoxError>) -> Self {
        self.source = Some(cause.into());
        self
    }

    /// What kind of trouble it is.
    #[must_use]
    pub fn kind(&self) -> SourceErrorKind {
        self.kind
    }

    /// Whether the same call may succeed later without anybody changing our settings.
    ///
    /// Only [`Invalid`](SourceErrorKind::Invalid) can't: a reference may be pushed, a token
    /// allowed, a repository repaired.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.kind != SourceErrorKind::Invalid
    }
}

impl From<crate::SnapshotError> for SourceError {
    fn from(error: crate::SnapshotError) -> Self {
        use crate::SnapshotError as E;
        let kind = match &error {
            E::NotFound { .. } | E::WrongKind { .. } => SourceErrorKind::NotFound,
            E::Limit { .. } => SourceErrorKind::Limit,
            _ => SourceErrorKind::Corrupt,
        };
        Self::new(kind, error.to_string()).because(error)
    }
}
