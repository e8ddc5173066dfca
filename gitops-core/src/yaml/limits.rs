//! How much a file may hold.

/// How much one file may hold before it is refused.
///
/// The defaults are this crate's own choice. They let every bundle through that was met
/// in the field (Argo CD's `install.yaml` has 1.9 MB) and keep a hostile file
/// from taking more than some hundred megabytes of memory.
///
/// ```
/// use gitops_core::yaml::{ReadLimits, read_documents};
///
/// let limits = ReadLimits::default().nodes(3);
/// let read = read_documents("a.yaml", b"[1, 2, 3]", &limits);
/// assert!(read.errors[0].is_limit());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReadLimits {
    /// Bytes of the file. 32 MiB by default.
    pub bytes: usize,
    /// Documents in the file, empty ones included. 100 000 by default.
    pub documents: usize,
    /// Mappings and lists within each other. 100 by default; more than 127 counts as 127,
    /// because `serde_json`, and so every client that is built on it, reads no more back.
    pub depth: usize,
    /// Keys, values, lists and mappings in the file, counted after aliases and merge
    /// keys are expanded. 2 000 000 by default.
    pub nodes: usize,
    /// Bytes that the anchors and aliases of one document may add, counting
    /// 64 for each node and the length of its text. 16 MiB by default.
    pub alias_bytes: usize,
    /// Bytes of one scalar. 4 MiB by default: more than the 3 MiB that an API server takes
    /// in one request.
    pub scalar_bytes: usize,
}

impl Default for ReadLimits {
    fn default() -> Self {
        Self {
            bytes: 32 << 20,
            documents: 100_000,
            depth: 100,
            nodes: 2_000_000,
            alias_bytes: 16 << 20,
            scalar_bytes: 4 << 20,
        }
    }
}

impl ReadLimits {
    /// The depth that is kept.
    pub(super) fn effective_depth(&self) -> usize {
        self.depth.min(127)
    }
}

macro_rules! setters {
    ($($field:ident),*) => {
        impl ReadLimits {
            $(
                #[doc = concat!("Sets [`", stringify!($field), "`](Self#structfield.", stringify!($field), ").")]
                #[must_use]
                pub fn $field(mut self, $field: usize) -> Self {
                    self.$field = $field;
                    self
                }
            )*
        }
    };
}

setters!(bytes, documents, depth, nodes, alias_bytes, scalar_bytes);
