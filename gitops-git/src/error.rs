//! What can go wrong between us and a repository.

use std::path::PathBuf;
use std::time::Duration;

use gitops_core::{RelPath, SourceError, SourceErrorKind};

/// Why a repository could not be read.
///
/// Every message is one line and names the remote by host and path, never with its
/// credentials. [`GitSource`](crate::GitSource) hands it out as a [`SourceError`] with the
/// same message; the cause of that one is the `GitError`, to be matched on after a downcast.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GitError {
    /// The URL can't be used.
    #[error("repository URL {url:?} {reason}")]
    Url {
        /// The URL without its credentials.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A setting of the builder can't be used.
    #[error("{setting}: {reason}")]
    Setting {
        /// Which one.
        setting: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// No connection, or one that broke.
    #[error("{remote}: could not be reached: {reason}")]
    Unreachable {
        /// Host and path.
        remote: String,
        /// What the network said.
        reason: String,
    },
    /// Nothing came for too long, or all of it took too long.
    #[error("{remote}: {what} for more than {} s", limit.as_secs_f32())]
    Timeout {
        /// Host and path.
        remote: String,
        /// What took so long.
        what: &'static str,
        /// The limit that was reached.
        limit: Duration,
    },
    /// The server is not who it should be: its certificate or host key is not trusted.
    #[error("{remote}: not trusted: {reason}")]
    Untrusted {
        /// Host and path.
        remote: String,
        /// What is wrong with the certificate or the key.
        reason: String,
    },
    /// The server wants credentials, or refused ours (HTTP 401, an SSH key not accepted).
    #[error("{remote}: authentication failed: {reason}")]
    Unauthorized {
        /// Host and path.
        remote: String,
        /// What was sent and what the server said.
        reason: String,
    },
    /// The server knows us and refuses (HTTP 403).
    #[error(
        "{remote}: access denied (HTTP 403): the credentials are not allowed to read this repository"
    )]
    Forbidden {
        /// Host and path.
        remote: String,
    },
    /// There is no repository at this place, or none that these credentials may see.
    #[error("{remote}: no repository there: {reason}")]
    RepositoryNotFound {
        /// Host and path.
        remote: String,
        /// How we know.
        reason: String,
    },
    /// The server sent us elsewhere. Only the same scheme, host and port are followed.
    #[error(
        "{remote}: redirects to {to}, which is not followed; if that is right, put it in the URL"
    )]
    Redirected {
        /// Host and path.
        remote: String,
        /// Scheme and host.
        to: String,
    },
    /// The server failed (HTTP 5xx, 429) or answered with a status that makes no sense here.
    #[error("{remote}: the server answered HTTP {status}")]
    Status {
        /// Host and path.
        remote: String,
        /// The status.
        status: u16,
    },
    /// There is no such branch or tag.
    #[error("{remote}: no {reference}")]
    ReferenceNotFound {
        /// Host and path.
        remote: String,
        /// What was looked for.
        reference: String,
    },
    /// Two tags are the same version and lead to different commits.
    #[error("{remote}: the tags {one} and {other} are one version at two commits; remove one")]
    AmbiguousTags {
        /// Host and path.
        remote: String,
        /// A tag.
        one: String,
        /// Another.
        other: String,
    },
    /// The name leads to something that has no files.
    #[error("{remote}: {reference} is a {kind}, not a commit")]
    NotACommit {
        /// Host and path.
        remote: String,
        /// The name or id.
        reference: String,
        /// What it is.
        kind: String,
    },
    /// The server does not have this commit, or does not give it out by its id.
    #[error("{remote}: commit {revision} can't be had: {reason}")]
    RevisionNotFound {
        /// Host and path.
        remote: String,
        /// The commit.
        revision: String,
        /// What the server said.
        reason: String,
    },
    /// The directory that was asked for is not in the revision.
    #[error("{remote}: no directory {path} in commit {revision}")]
    PathNotFound {
        /// Host and path.
        remote: String,
        /// The directory.
        path: RelPath,
        /// The commit.
        revision: String,
    },
    /// The directory that was asked for is something else.
    #[error("{remote}: {path} is not a directory in commit {revision}")]
    NotADirectory {
        /// Host and path.
        remote: String,
        /// The path.
        path: RelPath,
        /// The commit.
        revision: String,
    },
    /// The patterns leave nothing of the revision; that is never an empty snapshot.
    #[error("{remote}: include, exclude and .sourceignore leave no file of commit {revision}")]
    NothingLeft {
        /// Host and path.
        remote: String,
        /// The commit.
        revision: String,
    },
    /// A `.sourceignore` file that can't be read, or more files than may be looked through.
    #[error("{remote}: {reason}")]
    Filter {
        /// Host and path.
        remote: String,
        /// Which file, and why.
        reason: String,
    },
    /// A file whose content is somewhere else.
    #[error(
        "{remote}: {path} is a Git LFS pointer, and what it points at is not in the repository; \
         LFS is not fetched here: keep the file in Git, or leave it out with exclude"
    )]
    LfsPointer {
        /// Host and path.
        remote: String,
        /// The file.
        path: RelPath,
    },
    /// The server broke the protocol, or sent what contradicts itself.
    #[error("{remote}: broken answer: {reason}")]
    Protocol {
        /// Host and path.
        remote: String,
        /// What is wrong.
        reason: String,
    },
    /// The answer ended before it was complete.
    #[error("{remote}: the answer broke off: {reason}")]
    BrokenOff {
        /// Host and path.
        remote: String,
        /// What the network said.
        reason: String,
    },
    /// More than a limit allows.
    #[error("{remote}: more than {limit} {what}; raise the limit if this is meant")]
    Limit {
        /// Host and path.
        remote: String,
        /// What is counted.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// An object is missing, damaged or malformed.
    #[error("{remote}: object {object}: {reason}")]
    Object {
        /// Host and path.
        remote: String,
        /// The id of the object.
        object: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The cache folder can't be used.
    #[error("cache {}: could not {action}", path.display())]
    Cache {
        /// The file or folder.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// A commit or a tag is not signed as [`Trust`](crate::Trust) asks for.
    #[error("{remote}: {object} can't be trusted: {reason}")]
    Unverified {
        /// Host and path.
        remote: String,
        /// The id of the commit or the tag.
        object: String,
        /// What is wrong with its signature.
        reason: crate::SignatureError,
    },
    /// The signatures are good, and [`Trust`](crate::Trust) asks for something else as well.
    #[error("{remote}: commit {revision} is not allowed: {reason}")]
    Disallowed {
        /// Host and path.
        remote: String,
        /// The commit.
        revision: String,
        /// What is asked for.
        reason: String,
    },
    /// What is followed moved to a commit that does not come from the one accepted last.
    #[error(
        "{remote}: {reference} was rewritten: {to} does not come from {from}, which was accepted \
         last; if that is meant, allow it with GitSource::allow_rewrite"
    )]
    Rewritten {
        /// Host and path.
        remote: String,
        /// The ref.
        reference: String,
        /// The commit accepted last.
        from: String,
        /// The commit that is there now.
        to: String,
    },
    /// What was accepted last can't be read or kept.
    #[error("{remote}: what was accepted last could not be {action}")]
    Accepted {
        /// Host and path.
        remote: String,
        /// What was tried.
        action: &'static str,
        /// What the store said.
        source: std::io::Error,
    },
    /// The caller went away.
    #[error("{remote}: cancelled")]
    Cancelled {
        /// Host and path.
        remote: String,
    },
    /// A fault of ours, or of a library: it is contained, and reported as a broken answer.
    #[error("{remote}: reading it failed in an unforeseen way: {reason}")]
    Internal {
        /// Host and path.
        remote: String,
        /// What is known of it.
        reason: String,
    },
}

impl GitError {
    /// Whether the same call may succeed later without a change of our settings.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.kind() != SourceErrorKind::Invalid
    }

    pub(crate) fn kind(&self) -> SourceErrorKind {
        use SourceErrorKind as K;
        match self {
            Self::Url { .. } | Self::Setting { .. } => K::Invalid,
            Self::Unreachable { .. }
            | Self::Timeout { .. }
            | Self::Untrusted { .. }
            | Self::Redirected { .. }
            | Self::Status { .. }
            | Self::BrokenOff { .. }
            | Self::Cache { .. }
            | Self::Accepted { .. }
            | Self::Cancelled { .. } => K::Unreachable,
            Self::Unauthorized { .. } | Self::Forbidden { .. } => K::Unauthorized,
            Self::RepositoryNotFound { .. }
            | Self::ReferenceNotFound { .. }
            | Self::RevisionNotFound { .. }
            | Self::PathNotFound { .. }
            | Self::NothingLeft { .. }
            | Self::NotADirectory { .. } => K::NotFound,
            Self::AmbiguousTags { .. }
            | Self::Filter { .. }
            | Self::LfsPointer { .. }
            | Self::NotACommit { .. }
            | Self::Protocol { .. }
            | Self::Object { .. }
            | Self::Internal { .. } => K::Corrupt,
            Self::Unverified { .. } | Self::Disallowed { .. } | Self::Rewritten { .. } => {
                K::Untrusted
            }
            Self::Limit { .. } => K::Limit,
        }
    }

    /// Whether throwing the cache away and reading anew may help.
    pub(crate) fn blames_cache(&self) -> bool {
        matches!(self, Self::Object { .. } | Self::Protocol { .. })
    }
}

impl From<GitError> for SourceError {
    fn from(error: GitError) -> Self {
        let message = match &error {
            // The system's words belong into the line people see.
            GitError::Cache { source, .. } | GitError::Accepted { source, .. } => {
                format!("{error}: {source}")
            }
            _ => error.to_string(),
        };
        Self::new(error.kind(), message).because(error)
    }
}

/// Text from outside as part of one line: no control characters, not too long.
pub(crate) fn one_line(text: &str) -> String {
    const LONGEST: usize = 300;
    let mut line = String::new();
    let mut gap = false;
    for c in text.trim().chars() {
        // Bidirectional overrides reorder what a terminal shows.
        let unsafe_mark = matches!(c, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if c.is_control() || c.is_whitespace() || unsafe_mark {
            gap = true;
            continue;
        }
        if gap && !line.is_empty() {
            line.push(' ');
        }
        gap = false;
        if line.len() + c.len_utf8() > LONGEST {
            line.push('…');
            break;
        }
        line.push(c);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_outside_is_one_short_line() {
        assert_eq!(
            one_line("fatal: no\r\nremote:\u{1b}[31m red"),
            "fatal: no remote: [31m red"
        );
        assert_eq!(one_line("a\u{202e}b"), "a b");
        assert!(one_line(&"é".repeat(1000)).len() < 310);
    }
}
