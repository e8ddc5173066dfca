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
