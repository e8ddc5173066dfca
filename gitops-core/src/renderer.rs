//! The second seam: what the files mean.

use async_trait::async_trait;

use crate::{BoxError, Digest, Manifest, Problem, Snapshot, SnapshotError};

/// Turns the files of a revision into manifests.
///
/// # Contract
///
/// * Pure in the snapshot and the renderer's own parameters: the same two give the same
///   manifests, byte for byte and in the same order. No network, no clock, no process
///   unless the type's name says so.
/// * Every manifest knows the file and document it comes from.
/// * A file that can't be read is a [`Problem`] beside the manifests of the others, never
///   silence. While there are problems the engine prunes nothing.
/// * [`digest`](Self::digest) covers every parameter that changes the result. The engine
///   doesn't render again if it and the snapshot's digest are as before.
#[async_trait]
pub trait Renderer: Send + Sync {
    /// The manifests that these files mean.
    async fn render(&self, snapshot: &Snapshot) -> Result<Rendered, RenderError>;

    /// A digest of the renderer's kind, version and parameters.
    fn digest(&self) -> Digest;
}

const _: Option<&dyn Renderer> = None;

#[async_trait]
impl<R: Renderer + ?Sized> Renderer for std::sync::Arc<R> {
    async fn render(&self, snapshot: &Snapshot) -> Result<Rendered, RenderError> {
        (**self).render(snapshot).await
    }

    fn digest(&self) -> Digest {
        (**self).digest()
    }
}

/// What a [`Renderer`] made of a snapshot.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rendered {
    /// The manifests, in an order that depends on the input alone.
    pub manifests: Vec<Manifest>,
    /// What could not be rendered. The rest goes on; nothing is pruned.
    pub problems: Vec<Problem>,
    /// What a person may want to know, such as files that were passed over.
    pub warnings: Vec<String>,
}

/// Why nothing could be rendered at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RenderError {
    /// The snapshot could not be read.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The renderer's own trouble. The message names the file.
    #[error("{message}")]
    Failed {
        /// One line that says what and where.
        message: String,
        /// The cause.
        source: Option<BoxError>,
    },
}

impl RenderError {
    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Snapshot(error) if error.is_retryable())
    }
}
