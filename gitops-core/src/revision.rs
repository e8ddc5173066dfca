//! Revisions: what a source says is newest.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The id of a revision: a commit id, a digest; what never moves.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct RevisionId(String);

impl RevisionId {
    /// Takes an id as the source spells it.
    #[must_use]
    pub fn new(id: impl Into<String>) -> Self {
        Self(id.into())
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first characters, for people: eight of a commit id.
    #[must_use]
    pub fn short(&self) -> &str {
        self.0.get(..8).unwrap_or(&self.0)
    }
}

impl fmt::Display for RevisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Somebody who made a revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Person {
    /// The name.
    pub name: String,
    /// The mail address; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub email: String,
}

impl fmt::Display for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if !self.email.is_empty() {
            write!(f, " <{}>", self.email)?;
        }
        Ok(())
    }
}

/// Somebody whose signature under a revision a source checked and found to be good.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Signer {
    /// Who, as the trusted keys name them: an OpenPGP user id, an SSH principal. Not what
    /// the revision says of itself.
    pub name: String,
    /// The fingerprint of the key.
    pub key: String,
    /// What was signed: for Git, the id of a commit or of a tag.
    pub object: String,
}

impl Signer {
    /// A signer whose signature was checked: name, fingerprint of the key, and what was
    /// signed.
    #[must_use]
    pub fn new(name: impl Into<String>, key: impl Into<String>, object: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            key: key.into(),
            object: object.into(),
        }
    }
}

impl fmt::Display for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.key)
    }
}

/// One state of a source, which never changes: for Git, a commit.
///
/// Who made it, when and why travels with it into the plan, the events and the audit
/// record. Two revisions are the same if their ids are.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Revision {
    /// What it is.
    pub id: RevisionId,
    /// The name that led to it, such as `refs/heads/main`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Who wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<Person>,
    /// Who put it where it is, if that is somebody else: for Git, the committer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub committer: Option<Person>,
    /// Whose signatures under it were checked and are good, in the order of their names.
    /// None when nobody asked for signatures, or the source knows none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signers: Vec<Signer>,
    /// When it was committed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schemars", schemars(with = "Option<String>"))]
    pub time: Option<Timestamp>,
    /// The whole message.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
}

impl Revision {
    /// A revision of which only the id is known.
    #[must_use]
    pub fn new(id: impl Into<String>) -> Self {
        Self {
            id: RevisionId::new(id),
            reference: None,
            author: None,
            committer: None,
            signers: Vec::new(),
            time: None,
            message: String::new(),
        }
    }

    /// Adds the name that led to it.
    #[must_use]
    pub fn with_reference(mut self, reference: impl Into<String>) -> Self {
        self.reference = Some(reference.into());
        self
    }

    /// Adds who wrote it.
    #[must_use]
    pub fn with_author(mut self, name: impl Into<String>, email: impl Into<String>) -> Self {
        self.author = Some(Person {
            name: name.into(),
            email: email.into(),
        });
        self
    }

    /// Adds who put it where it is.
    #[must_use]
    pub fn with_committer(mut self, name: impl Into<String>, email: impl Into<String>) -> Self {
        self.committer = Some(Person {
            name: name.into(),
            email: email.into(),
        });
        self
    }

    /// Adds whose signatures were checked and are good. Only a source that did check them
    /// may say so.
    #[must_use]
    pub fn with_signers(mut self, signers: impl IntoIterator<Item = Signer>) -> Self {
        self.signers.extend(signers);
        self.signers.sort();
        self.signers.dedup();
        self
    }

    /// Adds when it was committed.
    #[must_use]
    pub fn with_time(mut self, time: Timestamp) -> Self {
        self.time = Some(time);
        self
    }

    /// Adds the message.
    #[must_use]
    pub fn with_message(mut self, message: impl Into<String>) -> Self {
        self.message = message.into();
        self
    }

    /// The first line of the message.
    #[must_use]
    pub fn subject(&self) -> &str {
        self.message.lines().next().unwrap_or("").trim()
    }
}

impl PartialEq for Revision {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Revision {}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id.short())?;
        if !self.subject().is_empty() {
            write!(f, " \"{}\"", self.subject())?;
        }
        if let Some(author) = &self.author {
            write!(f, " by {}", author.name)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signers_travel_and_a_revision_without_them_reads_as_before() {
        let ann = Signer::new("ann@example.com", "SHA256:abc", "1234");
        let revision = Revision::new("1234")
            .with_committer("Forge", "forge@example.com")
            .with_signers([ann.clone(), ann.clone()]);
        let text = serde_json::to_string(&revision).unwrap();
        let back: Revision = serde_json::from_str(&text).unwrap();
        assert_eq!(back.signers, [ann]);
        assert_eq!(back.committer, revision.committer);
        let old: Revision = serde_json::from_str(r#"{"id":"1234"}"#).unwrap();
        assert!(old.signers.is_empty() && old.committer.is_none());
        assert_eq!(serde_json::to_string(&old).unwrap(), r#"{"id":"1234"}"#);
    }
}
