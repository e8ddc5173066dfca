//! Local files as a snapshot.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use gitops_core::{Snapshot, SnapshotLimits};

/// Reads a file, or all manifests of a folder. Symbolic links are passed over.
pub(crate) fn read(path: &Path) -> Result<Snapshot> {
    let limits = SnapshotLimits::default();
    let mut files = Vec::new();
    let mut total = 0;
    let mut open = vec![path.to_owned()];
    while let Some(next) = open.pop() {
        let kind = fs::symlink_metadata(&next)
            .with_context(|| format!("{} can't be read", next.display()))?;
        if kind.is_dir() {
            let entries =
                fs::read_dir(&next).with_context(|| format!("{} can't be read", next.display()))?;
            for entry in entries {
                let entry = entry.with_context(|| format!("{} can't be read", next.display()))?;
                // A repository's own store is no place for manifests.
                if entry.file_name() != ".git" {
                    open.push(entry.path());
                }
            }
        } else if kind.is_file() {
            total += kind.len();
            if kind.len() > limits.file_bytes || total > limits.total_bytes {
                bail!(
                    "{}: larger than {} bytes",
                    next.display(),
                    limits.file_bytes
                );
            }
            if files.len() >= limits.entries {
                bail!("{}: more than {} files", path.display(), limits.entries);
            }
            let name = match next.strip_prefix(path) {
                Ok(below) if !below.as_os_str().is_empty() => below,
                _ => Path::new(next.file_name().unwrap_or(next.as_os_str())),
            };
            let name = name
                .to_str()
                .with_context(|| format!("{}: the name is not UTF-8", next.display()))?;
            let content =
                fs::read(&next).with_context(|| format!("{} can't be read", next.display()))?;
            files.push((name.to_owned(), content));
        }
    }
    Snapshot::from_files(files).with_context(|| format!("{} can't be read", path.display()))
}
