//! What a server is asked: its refs, and a commit with its files.

use std::io::BufRead;
use std::sync::Arc;

use gix::ObjectId;
use gix::bstr::{BString, ByteSlice as _};
use gix::protocol::fetch::negotiate;
use gix::protocol::fetch::{Arguments, Negotiate, Response, Shallow, Tags};
use gix::protocol::handshake::Ref;
use gix::protocol::transport::client::blocking_io::Transport;
use gix::protocol::transport::client::blocking_io::http::Transport as HttpTransport;
use gix::protocol::transport::client::git::ConnectMode;
use gix::protocol::transport::client::git::blocking_io::Connection;
use gix::protocol::transport::{Protocol, Service};

use crate::error::GitError;
use crate::http::{Budget, HttpRemote, HttpSession, LastExchange};
use crate::operation::Operation;
use crate::ssh::{self, SshCommand, SshPlace};

/// How much a server may send.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TransferLimits {
    pub(crate) refs_bytes: u64,
    pub(crate) pack_bytes: u64,
    pub(crate) object_bytes: u64,
}

/// A server that is asked over the network.
#[derive(Debug)]
pub(crate) enum Remote {
    Http(Arc<HttpRemote>),
    Ssh {
        command: SshCommand,
        place: SshPlace,
    },
}

/// What a ref is at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tip {
    /// The commit: an annotated tag is followed.
    pub(crate) commit: ObjectId,
    /// The annotated tag that the ref is at.
    pub(crate) tag: Option<ObjectId>,
    /// The ref it was found at, which for `HEAD` is the branch.
    pub(crate) name: String,
}

/// What is fetched of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    /// Its files, without its history.
    Files,
    /// Its history, without files. A server that can't leave them out sends them too.
    History {
        /// With the directories of each commit.
        trees: bool,
    },
}

/// What a fetch is to bring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) commit: ObjectId,
    /// The annotated tag of the commit, to be fetched with it.
    pub(crate) tag: Option<ObjectId>,
}

/// A place to put a pack, and what is there already.
pub(crate) trait PackSink {
    /// Commits whose files are all there.
    fn haves(&self) -> &[ObjectId];
    /// What of the commit is to come.
    fn content(&self) -> Content;
    /// The file that lists the commits without parents here.
    fn shallow_file(&self) -> std::path::PathBuf;
    /// Takes the pack.
    fn write(
        &self,
        pack: &mut dyn BufRead,
        hash: gix::hash::Kind,
        operation: &Operation,
    ) -> gix::error::Result<()>;
}

impl Remote {
    /// The commit a ref is at, asking for that ref alone.
    pub(crate) fn tip(
        &self,
        name: &str,
        described: &str,
        operation: &Operation,
        limits: TransferLimits,
    ) -> Result<Tip, GitError> {
        let budget = Budget::new(limits.refs_bytes, "bytes of refs");
        let (refs, hash) = self.with_transport(operation, budget, |transport| {
            list_refs(transport, name, operation)
        })?;
        tips(&refs, hash)
            .find_map(|(listed, tip)| (listed == name).then_some(tip))
            .ok_or_else(|| GitError::ReferenceNotFound {
                remote: operation.remote(),
                reference: described.to_owned(),
            })
    }

    /// All refs whose names begin with this.
    pub(crate) fn tips(
        &self,
        prefix: &str,
        operation: &Operation,
        limits: TransferLimits,
    ) -> Result<Vec<Tip>, GitError> {
        let budget = Budget::new(limits.refs_bytes, "bytes of refs");
        let (refs, hash) = self.with_transport(operation, budget, |transport| {
            list_refs(transport, prefix, operation)
        })?;
        Ok(tips(&refs, hash)
            .map(|(_, tip)| tip)
            .filter(|tip| tip.name.starts_with(prefix))
            .collect())
    }

    /// Fetches one commit, with its files or with its history, as `sink` has it.
    pub(crate) fn fetch(
        &self,
        want: Wanted,
        sink: &dyn PackSink,
        operation: &Operation,
        limits: TransferLimits,
    ) -> Result<(), GitError> {
        let budget = Budget::new(limits.pack_bytes, "bytes of pack");
        self.with_transport(operation, budget, |transport| {
            fetch_commit(transport, want, sink, operation)
        })
    }

    fn with_transport<T>(
        &self,
        operation: &Operation,
        budget: Budget,
        mut ask: impl FnMut(&mut dyn Transport) -> Result<T, GitError>,
    ) -> Result<T, GitError> {
        match self {
            Self::Http(remote) => loop {
                let from_memory = remote.remembers();
                let url =
                    gix::url::parse(remote.url().as_str()).map_err(|_| GitError::Internal {
                        remote: operation.remote(),
                        reason: "the URL is read in two ways".to_owned(),
                    })?;
                let last = LastExchange::default();
                let session = HttpSession::new(
                    Arc::clone(remote),
                    operation.clone(),
                    budget.clone(),
                    last.clone(),
                );
                let mut transport = HttpTransport::new_http(session, url, Protocol::V2, false);
                match ask(&mut transport) {
                    Ok(answer) => {
                        last.finish();
                        return Ok(answer);
                    }
                    Err(error) => {
                        // The server may have changed since it said what it can do.
                        remote.forget();
                        let final_word = operation.check().is_err()
                            || matches!(
                                error,
                                GitError::Limit { .. }
                                    | GitError::Timeout { .. }
                                    | GitError::ReferenceNotFound { .. }
                                    | GitError::Object { .. }
                            );
                        if !from_memory || final_word {
                            return Err(error);
                        }
                        operation.forget_failure();
                    }
                }
            },
            Self::Ssh { command, place } => {
                let (session, reader, writer) =
                    ssh::connect(command, place, operation, budget.clone())?;
                let mut transport = Connection::new(
                    reader,
                    writer,
                    Protocol::V2,
                    BString::from(place.path.as_str()),
                    None::<(String, Option<u16>)>,
                    ConnectMode::Process,
                    false,
                );
                let answer = ask(&mut transport);
                match answer {
                    Ok(answer) => {
                        // Or the other end logs that we hung up.
                        let _ = gix::protocol::indicate_end_of_interaction(&mut transport, false);
                        Ok(answer)
                    }
                    Err(error) => {
                        drop(transport);
                        Err(session.diagnose(error))
                    }
                }
            }
        }
    }
}

fn agent() -> gix::protocol::command::Feature {
    (
        "agent",
        Some(concat!("git/gitops-git-", env!("CARGO_PKG_VERSION")).into()),
    )
}

fn broken(operation: &Operation) -> impl FnOnce(gix::error::Error) -> GitError + '_ {
    move |error| {
        operation.explain(&error, |reason| GitError::Protocol {
            remote: operation.remote(),
            reason,
        })
    }
}

fn handshake(
    transport: &mut dyn Transport,
    operation: &Operation,
) -> Result<gix::protocol::Handshake, GitError> {
    gix::protocol::handshake(
        &mut *transport,
        Service::UploadPack,
        // Credentials are sent by the HTTP layer below, or not at all.
        |_| Ok(None),
        Vec::new(),
        &mut gix::progress::Discard,
    )
    .map_err(broken(operation))
}

/// The hash that the server's ids are made with.
fn object_hash(
    handshake: &gix::protocol::Handshake,
    operation: &Operation,
) -> Result<gix::hash::Kind, GitError> {
    let format = handshake
        .capabilities
        .capability("object-format")
        .and_then(|capability| capability.value().map(ToString::to_string));
    match format.as_deref() {
        None | Some("sha1") => Ok(gix::hash::Kind::Sha1),
        Some("sha256") => Ok(gix::hash::Kind::Sha256),
        Some(other) => Err(GitError::Protocol {
            remote: operation.remote(),
            reason: operation.clean(&format!("unknown object format {other}")),
        }),
    }
}

fn list_refs(
    transport: &mut dyn Transport,
    name: &str,
    operation: &Operation,
) -> Result<(Vec<Ref>, gix::hash::Kind), GitError> {
    let mut handshake = handshake(transport, operation)?;
    let hash = object_hash(&handshake, operation)?;
    if let Some(refs) = handshake.refs.take() {
        return Ok((refs, hash));
    }
    let mut prefixes = gix::protocol::ls_refs::RefPrefixes::new();
    prefixes.extend([BString::from(name)]);
    let refs = gix::protocol::LsRefsCommand::new(Some(prefixes), &handshake.capabilities, agent())
        .invoke_blocking(&mut *transport, &mut gix::progress::Discard, false)
        .map_err(broken(operation))?;
    Ok((refs, hash))
}

/// The refs that are at something, by the names they are listed under.
fn tips(refs: &[Ref], hash: gix::hash::Kind) -> impl Iterator<Item = (&gix::bstr::BStr, Tip)> {
    refs.iter().filter_map(move |found| {
        let (name, commit, tag, target) = match found {
            Ref::Direct {
                full_ref_name,
                object,
            } => (full_ref_name, object, None, None),
            Ref::Peeled {
                full_ref_name,
                tag,
                object,
            } => (full_ref_name, object, Some(*tag), None),
            Ref::Symbolic {
                full_ref_name,
                object,
                tag,
                target,
            } => (full_ref_name, object, *tag, Some(target)),
            // A branch without commits is no branch yet.
            Ref::Unborn { .. } => return None,
        };
        (commit.kind() == hash && !commit.is_null()).then(|| {
            let tip = Tip {
                commit: *commit,
                tag,
                name: target.unwrap_or(name).to_string(),
            };
            (name.as_bstr(), tip)
        })
    })
}

/// Asks for one commit in one round: what we have is known beforehand, so there is nothing
/// to negotiate.
struct OneCommit<'a> {
    want: Wanted,
    content: Content,
    haves: &'a [ObjectId],
}

impl Negotiate for OneCommit<'_> {
    fn mark_complete_and_common_ref(&mut self) -> gix::error::Result<negotiate::Action> {
        Ok(negotiate::Action::MustNegotiate {
            remote_ref_target_known: Vec::new(),
        })
    }

    fn add_wants(&mut self, arguments: &mut Arguments, _known: &[bool]) -> bool {
        // A tag brings its commit along.
        arguments.want(self.want.tag.unwrap_or(self.want.commit));
        if let Content::History { trees } = self.content
            && arguments.can_use_filter()
        {
            arguments.filter(if trees { "blob:none" } else { "tree:0" });
        }
        true
    }

    fn one_round(
        &mut self,
        _state: &mut negotiate::one_round::State,
        arguments: &mut Arguments,
        _previous: Option<&Response>,
    ) -> gix::error::Result<(negotiate::Round, bool)> {
        for have in self.haves {
            arguments.have(have);
        }
        let round = negotiate::Round {
            haves_sent: self.haves.len(),
            in_vain: 0,
            haves_to_send: self.haves.len(),
            previous_response_had_at_least_one_in_common: false,
        };
        Ok((round, true))
    }
}

fn fetch_commit(
    transport: &mut dyn Transport,
    want: Wanted,
    sink: &dyn PackSink,
    operation: &Operation,
) -> Result<(), GitError> {
    let Wanted { commit, .. } = want;
    let content = sink.content();
    let mut handshake = handshake(transport, operation)?;
    let hash = object_hash(&handshake, operation)?;
    if hash != commit.kind() {
        return Err(GitError::RevisionNotFound {
            remote: operation.remote(),
            revision: commit.to_string(),
            reason: format!("the repository's ids are {hash}"),
        });
    }
    let mut transport = transport;
    gix::protocol::fetch(
        &mut OneCommit {
            want,
            content,
            haves: sink.haves(),
        },
        |pack, _progress, _interrupt| sink.write(pack, hash, operation).map(|()| true),
        gix::progress::Discard,
        operation.interrupt(),
        gix::protocol::fetch::Context {
            handshake: &mut handshake,
            transport: &mut transport,
            user_agent: agent(),
            trace_packetlines: false,
        },
        gix::protocol::fetch::Options {
            shallow_file: sink.shallow_file(),
            shallow: &match content {
                Content::Files => Shallow::DepthAtRemote(std::num::NonZeroU32::MIN),
                Content::History { .. } => Shallow::NoChange,
            },
            tags: Tags::None,
            // Half a history would be taken for the whole.
            reject_shallow_remote: content != Content::Files,
        },
    )
    .map(drop)
    .map_err(|error| {
        operation.explain(&error, |reason| {
            // The words of git's upload-pack, and of others that say the same.
            if reason.contains("not our ref") || reason.contains("unadvertised object") {
                GitError::RevisionNotFound {
                    remote: operation.remote(),
                    revision: commit.to_string(),
                    reason: "the server says it has no such commit, or may not give it out"
                        .to_owned(),
                }
            } else {
                GitError::Protocol {
                    remote: operation.remote(),
                    reason,
                }
            }
        })
    })
}
