//! How a [`RepoServer`](super::RepoServer) misbehaves.

use std::time::Duration;

/// What a client asks of a Git server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RequestKind {
    /// The first request of every exchange: capabilities, and in protocol version 1
    /// all refs.
    Advertisement,
    /// The refs, in protocol version 2.
    LsRefs,
    /// Negotiation and pack.
    Fetch,
}

/// A way in which a server fails, stalls or lies.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RepoFault {
    /// Answers with this HTTP status and nothing of Git.
    Status(u16),
    /// Waits before it answers.
    Slow(Duration),
    /// Sends the headers of an answer and then nothing, for ever.
    Stall,
    /// Breaks the connection off after this many bytes of the body.
    Truncate {
        /// Bytes of the body that still arrive.
        after: usize,
    },
    /// Ends the answer properly, but after this many bytes.
    EndEarly {
        /// Bytes of the body that are sent.
        after: usize,
    },
    /// Flips the bits of one byte of the answer.
    Corrupt {
        /// Which one, counting from zero.
        at: usize,
    },
    /// Resets the connection instead of answering.
    Reset,
    /// Answers 200 with a web page, as captive portals and login walls do.
    Page(String),
    /// Answers 302 and sends the client to the same path below another base URL.
    Redirect(String),
    /// Never ends: refs without number to an `ls-refs`, progress messages to a fetch.
    Endless,
    /// Claims that a ref is at a commit, whether that commit exists or not.
    ClaimRef {
        /// The ref, in full.
        name: String,
        /// The commit.
        id: String,
    },
}

/// A fault, and when it strikes.
#[derive(Debug)]
pub(crate) struct Injected {
    pub(crate) on: Option<RequestKind>,
    /// How often still; `None` is always.
    pub(crate) times: Option<u32>,
    pub(crate) fault: RepoFault,
}

/// Takes the first fault that strikes a request of this kind.
pub(crate) fn strike(faults: &mut Vec<Injected>, kind: RequestKind) -> Option<RepoFault> {
    let at = faults
        .iter()
        .position(|injected| injected.on.is_none_or(|on| on == kind))?;
    let injected = faults.get_mut(at)?;
    let fault = injected.fault.clone();
    if let Some(times) = &mut injected.times {
        *times = times.saturating_sub(1);
        if *times == 0 {
            faults.remove(at);
        }
    }
    Some(fault)
}
