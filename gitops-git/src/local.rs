//! A repository on this machine, read in place.

use std::path::Path;
use std::sync::Arc;

use crate::error::{GitError, one_line};
use crate::objects::Objects;
use crate::reference::Reference;
use crate::remote::Tip;
use crate::tree::Keeper;

/// An open local repository. Nothing is copied and no process is started.
pub(crate) struct LocalRepository {
    repository: gix::Repository,
    remote: String,
}

/// The objects of a local repository. There is nothing to start over from when one is
/// damaged: the repository is the user's.
pub(crate) struct LocalObjects(Objects);

impl Keeper for LocalObjects {
    fn objects(&self) -> &Objects {
        &self.0
    }

    fn damaged(&self) {}
}

impl LocalRepository {
    /// A bare repository, or the one that belongs to a working tree.
    pub(crate) fn open(path: &Path, remote: &str) -> Result<Self, GitError> {
        // Isolated: no configuration of the user or the machine, and no environment.
        let repository = gix::open_opts(path, gix::open::Options::isolated()).map_err(|error| {
            GitError::RepositoryNotFound {
                remote: remote.to_owned(),
                reason: if path.exists() {
                    format!("not a Git repository: {}", one_line(&error.to_string()))
                } else {
                    "no such file or directory".to_owned()
                },
            }
        })?;
        Ok(Self {
            repository,
            remote: remote.to_owned(),
        })
    }

    pub(crate) fn objects(&self, object_bytes: u64) -> Result<Arc<LocalObjects>, GitError> {
        let folder = self.repository.objects.store_ref().path().to_owned();
        Objects::open(&folder, self.repository.object_hash(), object_bytes)
            .map(|objects| Arc::new(LocalObjects(objects)))
            .map_err(|source| GitError::Cache {
                path: folder,
                action: "open the objects",
                source,
            })
    }

    /// The commit a name leads to.
    pub(crate) fn tip(&self, reference: &Reference) -> Result<Tip, GitError> {
        let missing = || GitError::ReferenceNotFound {
            remote: self.remote.clone(),
            reference: reference.to_string(),
        };
        let broken = |error: gix::error::Error| GitError::Protocol {
            remote: self.remote.clone(),
            reason: one_line(&error.to_string()),
        };
        if let Some(prefix) = reference.tag_prefix() {
            return self.pick(reference, &prefix);
        }
        let name = match reference {
            Reference::Commit(id) => {
                let commit = crate::reference::whole_id(id).ok_or_else(missing)?;
                return Ok(Tip {
                    commit,
                    tag: None,
                    name: id.clone(),
                });
            }
            Reference::Head => match self.repository.head_name().map_err(broken)? {
                Some(branch) => branch.as_bstr().to_string(),
                None => {
                    let id = self.repository.head_id().map_err(|_| missing())?;
                    return Ok(Tip {
                        commit: id.detach(),
                        tag: None,
                        name: "HEAD".to_owned(),
                    });
                }
            },
            _ => reference.full_name().ok_or_else(missing)?,
        };
        let mut found = self
            .repository
            .try_find_reference(name.as_str())
            .map_err(broken)?
            // gix also looks in other places for a name it does not find.
            .filter(|found| found.name().as_bstr() == name.as_str())
            .ok_or_else(missing)?;
        self.peel(&mut found, reference)
    }

    /// The tag that a reference picks.
    fn pick(&self, reference: &Reference, prefix: &str) -> Result<Tip, GitError> {
        let broken = |error: String| GitError::Protocol {
            remote: self.remote.clone(),
            reason: one_line(&error),
        };
        let references = self
            .repository
            .references()
            .map_err(|error| broken(error.to_string()))?;
        let mut tips = Vec::new();
        for found in references
            .prefixed("refs/tags/")
            .map_err(|error| broken(error.to_string()))?
        {
            let mut found = found.map_err(|error| broken(error.to_string()))?;
            if found.name().as_bstr().starts_with(prefix.as_bytes()) {
                tips.push(self.peel(&mut found, reference)?);
            }
        }
        reference.pick(tips, &self.remote)
    }

    /// The commit behind a ref, and the annotated tag on the way to it.
    fn peel(&self, found: &mut gix::Reference<'_>, reference: &Reference) -> Result<Tip, GitError> {
        let name = found.name().as_bstr().to_string();
        let broken = |error: String| GitError::Protocol {
            remote: self.remote.clone(),
            reason: format!("{reference}: {}", one_line(&error)),
        };
        let first = found
            .follow_to_object()
            .map_err(|error| broken(error.to_string()))?
            .detach();
        let commit = found
            .peel_to_id()
            .map_err(|error| broken(error.to_string()))?
            .detach();
        Ok(Tip {
            commit,
            tag: (first != commit).then_some(first),
            name,
        })
    }
}
