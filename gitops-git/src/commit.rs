//! What a commit says about itself.

use gitops_core::Revision;
use gix::ObjectId;
use gix::bstr::{BStr, ByteSlice as _};
use gix::objs::{CommitRef, Kind};

use crate::error::{GitError, one_line};
use crate::objects::{ObjectError, Objects};

/// Larger commits are refused: the largest known, with hundreds of parents and signatures,
/// have tens of kilobytes.
pub(crate) const MAX_COMMIT: u64 = 1 << 20;
/// The rest of a longer message is cut off: it goes into plans, events and audit records.
const MAX_MESSAGE: usize = 16 << 10;

/// A commit as it is needed here.
pub(crate) struct Commit {
    pub(crate) tree: ObjectId,
    pub(crate) revision: Revision,
}

/// Reads a commit; an annotated tag is not followed.
pub(crate) fn read(
    objects: &Objects,
    id: ObjectId,
    reference: Option<&str>,
    remote: &str,
) -> Result<Commit, GitError> {
    let refuse = |reason: String| GitError::Object {
        remote: remote.to_owned(),
        object: id.to_string(),
        reason,
    };
    let data = match objects.read(&id, Kind::Commit, MAX_COMMIT) {
        Ok(data) => data,
        Err(ObjectError::Missing) => return Err(refuse(ObjectError::Missing.to_string())),
        Err(error) => {
            return Err(match objects.kind(&id) {
                Ok(kind) if kind != Kind::Commit => GitError::NotACommit {
                    remote: remote.to_owned(),
                    reference: reference.map_or_else(|| id.to_string(), str::to_owned),
                    kind: kind.to_string(),
                },
                _ => refuse(error.to_string()),
            });
        }
    };
    let commit = CommitRef::from_bytes(&data, objects.hash())
        .map_err(|error| refuse(format!("is no commit: {}", one_line(&error.to_string()))))?;
    Ok(Commit {
        tree: commit.tree(),
        revision: describe(id, reference, &commit),
    })
}

fn describe(id: ObjectId, reference: Option<&str>, commit: &CommitRef<'_>) -> Revision {
    let mut revision =
        Revision::new(id.to_string()).with_message(message(commit.message.as_bstr()));
    if let Some(reference) = reference {
        revision = revision.with_reference(reference);
    }
    if let Ok(author) = commit.author() {
        revision = revision.with_author(
            one_line(&author.name.to_str_lossy()),
            one_line(&author.email.to_str_lossy()),
        );
    }
    if let Ok(committer) = commit.committer()
        && !commit
            .author()
            .is_ok_and(|author| (author.name, author.email) == (committer.name, committer.email))
    {
        revision = revision.with_committer(
            one_line(&committer.name.to_str_lossy()),
            one_line(&committer.email.to_str_lossy()),
        );
    }
    let time = commit
        .committer()
        .ok()
        .and_then(|committer| committer.time().ok())
        .and_then(|time| jiff::Timestamp::from_second(time.seconds).ok());
    if let Some(time) = time {
        revision = revision.with_time(time);
    }
    revision
}

/// The message as text that is safe to print: control characters other than line breaks and
/// tabs could move a terminal's cursor.
fn message(raw: &BStr) -> String {
    let text: String = raw
        .to_str_lossy()
        .chars()
        .filter(|c| !c.is_control() || matches!(c, '\n' | '\t'))
        .collect();
    let text = text.trim_end();
    let end = text
        .char_indices()
        .map(|(at, c)| at + c.len_utf8())
        .take_while(|end| *end <= MAX_MESSAGE)
        .last()
        .unwrap_or(0);
    text.get(..end).unwrap_or_default().to_owned()
}
