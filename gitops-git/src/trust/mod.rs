//! Whom to believe.

mod accepted;
mod check;
#[cfg(feature = "openpgp")]
mod openpgp;
mod signed;
#[cfg(feature = "ssh-signatures")]
mod sshsig;

use gitops_core::RelPath;
use gix::ObjectId;
use jiff::Timestamp;

use crate::error::GitError;
use signed::{Format, Signed};

pub use accepted::{Accepted, AcceptedStore, FileAccepted, MemoryAccepted};
pub(crate) use check::{Candidate, Graph, Guard};

/// So far may the clock of whoever signs be ahead of ours.
#[cfg(feature = "openpgp")]
pub(crate) const CLOCK_SKEW: std::time::Duration = std::time::Duration::from_secs(300);

/// Why a signature does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// There is none.
    #[error("it is not signed")]
    Missing,
    /// The object or its signature can't be read, or reads in more than one way.
    #[error("{0}")]
    Malformed(String),
    /// A format that is not checked here, or whose feature is not compiled in.
    #[error("{0}")]
    Unsupported(&'static str),
    /// Made with a key that is not among the trusted ones.
    #[error("signed with the key {0}, which is not trusted")]
    UnknownKey(String),
    /// Not of these bytes: changed after it was signed, or taken from elsewhere.
    #[error("its signature by the key {0} is not of this content")]
    Bad(String),
    /// The key, or the signature, was no longer valid.
    #[error("signed with the key {0}, which has expired")]
    Expired(String),
    /// The key was not valid yet.
    #[error("signed with the key {0} before that was valid")]
    NotYetValid(String),
    /// The key was revoked.
    #[error("signed with the key {0}, which is revoked")]
    Revoked(String),
    /// A hash or a key that is not safe any more.
    #[error("its signature is too weak: {0}")]
    Weak(String),
    /// Made for, or allowed for, something else than Git.
    #[error("its signature is for {0:?}, not for \"git\"")]
    Namespace(String),
    /// Made at a time that is still to come.
    #[error("its signature is from the future; check the clock")]
    FromTheFuture,
}

/// What has to be signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TrustMode {
    /// The commit that is deployed. Whoever signs it vouches for all that is in it.
    Head,
    /// The annotated tag that names the commit.
    Tag,
    /// Both.
    TagAndHead,
    /// The commit, and every commit that came in since the last one that was accepted,
    /// merged branches included. Without an accepted one, or
    /// [`starting_from`](Trust::starting_from), that is the whole history.
    EveryCommit,
}

impl TrustMode {
    pub(crate) fn wants_tag(self) -> bool {
        matches!(self, Self::Tag | Self::TagAndHead)
    }
}

/// At which moments a key has to be valid.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyValidity {
    /// When it signed and when it is looked at. What a key of the past may have signed
    /// yesterday, with a date of last year, does not count. What was accepted before the key
    /// expired stays accepted.
    #[default]
    Now,
    /// When it signed, as far as what is signed tells. This is how `git verify-commit` sees
    /// SSH keys: whoever holds an expired key can date back.
    WhenSigned,
}

/// Which commits and tags to believe; see [`GitSourceBuilder::trust`].
///
/// [`GitSourceBuilder::trust`]: crate::GitSourceBuilder::trust
///
/// A revision that is not vouched for as asked is an error of
/// [`resolve`](gitops_core::Source::resolve), and of [`fetch`](gitops_core::Source::fetch)
/// when it was never resolved; the signers of one that is are in
/// [`Revision::signers`](gitops_core::Revision::signers). Signatures are checked in this
/// process, over the bytes as they are stored. No other program is run.
///
/// Git's signatures do not say of which repository they are. To bind them to yours, name a
/// commit that only it has: [`starting_from`](Self::starting_from).
///
#[cfg_attr(feature = "ssh-signatures", doc = "```")]
#[cfg_attr(not(feature = "ssh-signatures"), doc = "```ignore")]
/// use gitops_core::Source;
/// use gitops_git::{GitSource, Trust, TrustMode};
/// use gitops_testkit::FakeRepo;
/// use gitops_testkit::repo::SigningKey;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let ann = SigningKey::ssh("ann@example.com")?;
/// let repo = FakeRepo::new()?;
/// repo.commit("add the shop").file("web.yaml", "kind: Service\n").sign(&ann).save()?;
///
/// let trust = Trust::new(TrustMode::Head).allowed_signers(&ann.public_key())?;
/// let source = GitSource::builder(repo.url()).trust(trust).build()?;
/// let revision = source.resolve().await?;
/// assert_eq!(revision.signers[0].name, "ann@example.com");
///
/// repo.commit("who is this?").file("web.yaml", "kind: Pod\n").save()?;
/// let error = source.resolve().await.unwrap_err();
/// assert!(error.to_string().contains("not signed"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "trust is given to a source"]
pub struct Trust {
    mode: TrustMode,
    validity: KeyValidity,
    keys: Keys,
    rules: Vec<PathRule>,
    authors: Vec<String>,
    committers: Vec<String>,
    signer_is_committer: bool,
    fast_forward_only: bool,
    starting_from: Option<String>,
}

#[derive(Debug, Clone, Default)]
struct Keys {
    #[cfg(feature = "openpgp")]
    openpgp: Vec<openpgp::Certificate>,
    #[cfg(feature = "ssh-signatures")]
    ssh: Vec<sshsig::AllowedSigner>,
}

/// Whose signatures are asked for below a directory.
///
/// The content of the directory has to be signed, as it is: by the signature of the deployed
/// commit or its tag, or by that of an earlier commit after which the directory did not
/// change. A commit on top by somebody else, elsewhere in the repository, takes nothing
/// away. A directory that is removed is a change like any other.
#[derive(Debug, Clone)]
pub struct PathRule {
    path: String,
    signers: Vec<String>,
    at_least: usize,
}

impl PathRule {
    /// Below this directory, relative to the repository's root. One signature of anybody
    /// trusted is asked for until the other methods say more.
    pub fn below(directory: impl Into<String>) -> Self {
        Self {
            path: directory.into(),
            signers: Vec::new(),
            at_least: 1,
        }
    }

    /// In the whole repository.
    pub fn everywhere() -> Self {
        Self::below("")
    }

    /// Only these count: addresses, SSH principals, OpenPGP user ids or fingerprints, as
    /// the trusted keys have them.
    #[must_use]
    pub fn signers<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.signers.extend(names.into_iter().map(Into::into));
        self
    }

    /// So many different people have to have signed the same content. Two keys that share a
    /// name or an address are one person. Ways for a second one to sign: a signed tag, a
    /// signed commit on top that changes nothing (`git commit --allow-empty -S`), a merge
    /// that adds nothing.
    #[must_use]
    pub fn at_least(mut self, people: usize) -> Self {
        self.at_least = people;
        self
    }
}

/// A person who signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    /// For people.
    pub(crate) shown: String,
    /// All that names this person.
    pub(crate) names: Vec<String>,
    pub(crate) key: String,
}

impl Identity {
    fn is_named(&self, name: &str) -> bool {
        self.key.eq_ignore_ascii_case(name)
            || self.names.iter().any(|own| own.eq_ignore_ascii_case(name))
    }

    fn is_same_person(&self, other: &Self) -> bool {
        self.key == other.key || self.names.iter().any(|name| other.is_named(name))
    }
}

/// The moments at which a key is looked at.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(
    not(any(feature = "openpgp", feature = "ssh-signatures")),
    expect(dead_code, reason = "read by the formats")
)]
pub(crate) struct Times {
    pub(crate) now: Timestamp,
    /// When it was signed, as what is signed says. An OpenPGP signature says it itself.
    #[cfg(feature = "ssh-signatures")]
    pub(crate) claimed: Timestamp,
    pub(crate) validity: KeyValidity,
}

#[cfg(all(test, feature = "ssh-signatures"))]
impl Times {
    pub(crate) fn at(now: Timestamp) -> Self {
        Self {
            now,
            #[cfg(feature = "ssh-signatures")]
            claimed: now,
            validity: KeyValidity::Now,
        }
    }
}

impl Trust {
    /// Asks for signatures on this. Keys are still to be given.
    pub fn new(mode: TrustMode) -> Self {
        Self {
            mode,
            validity: KeyValidity::default(),
            keys: Keys::default(),
            rules: Vec::new(),
            authors: Vec::new(),
            committers: Vec::new(),
            signer_is_committer: false,
            fast_forward_only: false,
            starting_from: None,
        }
    }

    /// Trusts OpenPGP keys: armored blocks, as `gpg --armor --export` prints them. Of a key's
    /// subkeys those count that may sign. Refused as too weak: DSA, RSA below 2048 bits,
    /// SHA-1 and MD5, also in a key's own signature.
    ///
    /// # Errors
    ///
    /// When a block can't be read, is a private key, or has no key that may sign.
    #[cfg(feature = "openpgp")]
    #[cfg_attr(docsrs, doc(cfg(feature = "openpgp")))]
    pub fn openpgp_keys(mut self, armored: &str) -> Result<Self, GitError> {
        self.keys.openpgp.extend(openpgp::certificates(armored)?);
        Ok(self)
    }

    /// Trusts SSH keys, in the format of `ssh-keygen`'s allowed-signers file: principals,
    /// options, key. Of the options `namespaces`, `valid-after` and `valid-before` are
    /// understood, their times always in UTC. `cert-authority` is refused, and so is any
    /// other. Refused as too weak: DSA, RSA below 2048 bits, RSA with SHA-1.
    ///
    /// # Errors
    ///
    /// When a line is not understood; it is named by its number.
    #[cfg(feature = "ssh-signatures")]
    #[cfg_attr(docsrs, doc(cfg(feature = "ssh-signatures")))]
    pub fn allowed_signers(mut self, file: &str) -> Result<Self, GitError> {
        self.keys.ssh.extend(sshsig::allowed_signers(file)?);
        Ok(self)
    }

    /// At which moments a key has to be valid. Default: [`KeyValidity::Now`].
    pub fn key_validity(mut self, validity: KeyValidity) -> Self {
        self.validity = validity;
        self
    }

    /// Asks for more below a directory, or everywhere.
    pub fn rule(mut self, rule: PathRule) -> Self {
        self.rules.push(rule);
        self
    }

    /// Authors of the commits that are looked at have to have an address like one of these;
    /// `*` stands for anything: `*@example.com`. An author is what a commit claims; the
    /// signature makes it the signer's claim.
    pub fn authors<S: Into<String>>(mut self, addresses: impl IntoIterator<Item = S>) -> Self {
        self.authors.extend(addresses.into_iter().map(Into::into));
        self
    }

    /// As [`authors`](Self::authors), of committers.
    pub fn committers<S: Into<String>>(mut self, addresses: impl IntoIterator<Item = S>) -> Self {
        self.committers
            .extend(addresses.into_iter().map(Into::into));
        self
    }

    /// A signed commit has to be signed by its committer: an address of the signer is the
    /// committer's. Default: not asked for. A forge that merges signs as itself.
    pub fn signed_by_committer(mut self, demand: bool) -> Self {
        self.signer_is_committer = demand;
        self
    }

    /// What is followed may only move forward: to a descendant of the commit that was
    /// accepted last. For tags: a tag may not move to another commit. A rewritten branch is
    /// refused, and reported with both ids, until
    /// [`GitSource::allow_rewrite`](crate::GitSource::allow_rewrite) is called. Default:
    /// not asked for.
    pub fn fast_forward_only(mut self, demand: bool) -> Self {
        self.fast_forward_only = demand;
        self
    }

    /// Believes this commit, given by its whole id, and what came before it. What is deployed
    /// has to be a descendant of it, or the commit itself, in every mode: a signed tag or
    /// branch of another repository is not.
    pub fn starting_from(mut self, commit: impl Into<String>) -> Self {
        self.starting_from = Some(commit.into());
        self
    }

    pub(crate) fn mode(&self) -> TrustMode {
        self.mode
    }

    /// Whether history is looked at below the directory of some rule.
    pub(crate) fn wants_trees(&self) -> bool {
        self.rules.iter().any(|rule| !rule.path.is_empty())
    }

    /// What can't be right whatever is followed.
    pub(crate) fn checked(self) -> Result<(Self, Option<ObjectId>), GitError> {
        let refuse = |reason: String| GitError::Setting {
            setting: "trust",
            reason,
        };
        let known = self.key_names();
        if known.is_empty() {
            return Err(refuse(
                "no key is trusted, so nothing could be believed; give keys by openpgp_keys or \
                 allowed_signers (features openpgp and ssh-signatures)"
                    .to_owned(),
            ));
        }
        for rule in &self.rules {
            RelPath::new(&rule.path).map_err(|error| refuse(error.to_string()))?;
            if rule.at_least == 0 {
                return Err(refuse(format!(
                    "the rule for {:?} asks for nobody",
                    rule.path
                )));
            }
            for name in &rule.signers {
                let is_known = known.iter().any(|own| own.eq_ignore_ascii_case(name));
                if !is_known {
                    return Err(refuse(format!(
                        "the rule for {:?} names {:?}, which no trusted key has",
                        rule.path,
                        crate::error::one_line(name)
                    )));
                }
            }
        }
        let starting_from = match &self.starting_from {
            Some(id) => Some(crate::reference::whole_id(id).ok_or_else(|| {
                refuse("the commit to start from has to be given by its whole id".to_owned())
            })?),
            None => None,
        };
        Ok((self, starting_from))
    }

    #[cfg_attr(
        not(any(feature = "openpgp", feature = "ssh-signatures")),
        expect(unused_mut, reason = "filled by the formats")
    )]
    fn key_names(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        #[cfg(feature = "openpgp")]
        names.extend(self.keys.openpgp.iter().flat_map(|key| key.names()));
        #[cfg(feature = "ssh-signatures")]
        names.extend(self.keys.ssh.iter().flat_map(|key| key.names()));
        names
    }

    /// Who made this signature. At least one person, each with a good signature.
    fn verify(
        &self,
        signed: Option<&Signed>,
        claimed: i64,
        now: Timestamp,
    ) -> Result<Vec<Identity>, SignatureError> {
        let signed = signed.ok_or(SignatureError::Missing)?;
        let claimed = Timestamp::from_second(claimed)
            .map_err(|_| SignatureError::Malformed("its time can't be read".to_owned()))?;
        #[cfg(not(feature = "ssh-signatures"))]
        let _ = claimed;
        let times = Times {
            now,
            #[cfg(feature = "ssh-signatures")]
            claimed,
            validity: self.validity,
        };
        let identities = self.verify_format(signed, &times)?;
        match identities.is_empty() {
            true => Err(SignatureError::Missing),
            false => Ok(identities),
        }
    }

    fn verify_format(
        &self,
        signed: &Signed,
        times: &Times,
    ) -> Result<Vec<Identity>, SignatureError> {
        #[cfg(not(any(feature = "openpgp", feature = "ssh-signatures")))]
        let _ = (times, &self.keys);
        match signed.format {
            #[cfg(feature = "openpgp")]
            Format::OpenPgp => openpgp::verify(
                &self.keys.openpgp,
                &signed.payload,
                &signed.signature,
                times,
            ),
            #[cfg(not(feature = "openpgp"))]
            Format::OpenPgp => Err(SignatureError::Unsupported(
                "signed with OpenPGP, which is not compiled in (feature openpgp)",
            )),
            #[cfg(feature = "ssh-signatures")]
            Format::Ssh => {
                sshsig::verify(&self.keys.ssh, &signed.payload, &signed.signature, times)
                    .map(|identity| vec![identity])
            }
            #[cfg(not(feature = "ssh-signatures"))]
            Format::Ssh => Err(SignatureError::Unsupported(
                "signed with SSH, which is not compiled in (feature ssh-signatures)",
            )),
            Format::X509 => Err(SignatureError::Unsupported(
                "signed with X.509 (gpgsm, gitsign), which is not supported",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trust_without_a_key_is_none() {
        let error = Trust::new(TrustMode::Head).checked().unwrap_err();
        assert!(error.to_string().contains("no key is trusted"), "{error}");
    }

    #[test]
    fn people_are_told_apart_by_all_their_names() {
        let person = |key: &str, names: &[&str]| Identity {
            shown: String::new(),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            key: key.to_owned(),
        };
        let ann = person("1", &["Ann <ann@h>", "ann@h"]);
        assert!(ann.is_same_person(&person("2", &["ANN@h"])));
        assert!(ann.is_same_person(&person("1", &[])));
        assert!(!ann.is_same_person(&person("2", &["bob@h"])));
    }
}
