//! Reading objects, each checked against its id.

use std::sync::{Arc, Mutex, PoisonError};

use gix::ObjectId;
use gix::objs::{Find as _, FindHeader as _, Kind};

/// Memory for the bases of deltas, per reading thread. A directory of manifests compresses
/// into chains over the same few bases; this holds them.
const DELTA_CACHE: usize = 8 << 20;

type Handle = gix::odb::Handle;

/// An object database for many threads.
pub(crate) struct Objects {
    store: Arc<gix::odb::Store>,
    hash: gix::hash::Kind,
    /// Handles not in use; each keeps caches worth keeping.
    idle: Mutex<Vec<Handle>>,
}

/// Why an object can't be read.
#[derive(Debug)]
pub(crate) enum ObjectError {
    Missing,
    TooLarge(u64),
    Damaged(String),
}

impl std::fmt::Display for ObjectError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing => f.write_str("is missing"),
            Self::TooLarge(size) => write!(f, "is too large: {size} bytes"),
            Self::Damaged(how) => write!(f, "is damaged: {how}"),
        }
    }
}

impl Objects {
    pub(crate) fn open(
        folder: &std::path::Path,
        hash: gix::hash::Kind,
        object_bytes: u64,
    ) -> std::io::Result<Self> {
        let handle = gix::odb::at_opts(
            folder,
            hash,
            None,
            gix::odb::store::init::Options {
                alloc_limit_bytes: usize::try_from(object_bytes).ok(),
                ..Default::default()
            },
        )?;
        Ok(Self {
            store: handle.store(),
            hash,
            idle: Mutex::default(),
        })
    }

    pub(crate) fn hash(&self) -> gix::hash::Kind {
        self.hash
    }

    /// Reads an object of this kind and of at most `limit` bytes.
    pub(crate) fn read(
        &self,
        id: &ObjectId,
        kind: Kind,
        limit: u64,
    ) -> Result<Vec<u8>, ObjectError> {
        self.with_handle(|handle| {
            let damaged = |error: gix::error::Error| {
                ObjectError::Damaged(crate::error::one_line(&error.to_string()))
            };
            let header = handle
                .try_header(id)
                .map_err(damaged)?
                .ok_or(ObjectError::Missing)?;
            if header.kind != kind {
                return Err(ObjectError::Damaged(format!(
                    "it should be a {kind} and is a {}",
                    header.kind
                )));
            }
            if header.size > limit {
                return Err(ObjectError::TooLarge(header.size));
            }
            let mut buffer = Vec::new();
            let data = handle
                .try_find(id, &mut buffer)
                .map_err(damaged)?
                .ok_or(ObjectError::Missing)?;
            // Nothing below does: a pack is trusted once it is written.
            data.verify_checksum(id)
                .map_err(|_| ObjectError::Damaged("its content has another id".to_owned()))?;
            buffer.truncate(usize::try_from(header.size).unwrap_or(usize::MAX));
            Ok(buffer)
        })
    }

    /// What kind of object an id names.
    pub(crate) fn kind(&self, id: &ObjectId) -> Result<Kind, ObjectError> {
        self.with_handle(|handle| match handle.try_header(id) {
            Ok(Some(header)) => Ok(header.kind),
            Ok(None) => Err(ObjectError::Missing),
            Err(error) => Err(ObjectError::Damaged(crate::error::one_line(
                &error.to_string(),
            ))),
        })
    }

    /// A handle to look up what a pack builds on.
    pub(crate) fn handle(&self) -> Handle {
        let mut handle = Handle::from(self.store.to_handle());
        handle.set_pack_cache(|| {
            Box::new(gix::odb::pack::cache::lru::MemoryCappedHashmap::new(
                DELTA_CACHE,
            ))
        });
        handle
    }

    fn with_handle<T>(&self, read: impl FnOnce(&Handle) -> T) -> T {
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let handle = idle().pop().unwrap_or_else(|| self.handle());
        let result = read(&handle);
        idle().push(handle);
        result
    }
}
