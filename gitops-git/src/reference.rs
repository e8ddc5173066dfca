//! What a source follows.

use std::fmt;

use gix::ObjectId;

use crate::error::GitError;

/// The name a source follows, or the commit it stays at.
///
/// The kinds are never confused: a branch is looked for below `refs/heads/` only, a tag below
/// `refs/tags/` only, and a name that looks like a commit id is still a name.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reference {
    /// What the server's `HEAD` points at: its default branch.
    Head,
    /// A branch, without `refs/heads/`.
    Branch(String),
    /// A tag, without `refs/tags/`. An annotated tag is followed to its commit.
    Tag(String),
    /// Any ref, in full: `refs/pull/7/head`.
    Full(String),
    /// One commit, by its whole id: 40 hexadecimal digits, or 64 of SHA-256.
    Commit(String),
}

impl Reference {
    /// The name in full; none for a commit.
    pub(crate) fn full_name(&self) -> Option<String> {
        match self {
            Self::Head => Some("HEAD".to_owned()),
            Self::Branch(name) => Some(format!("refs/heads/{name}")),
            Self::Tag(name) => Some(format!("refs/tags/{name}")),
            Self::Full(name) => Some(name.clone()),
            Self::Commit(_) => None,
        }
    }

    /// Refuses what Git would refuse, before it gets near a server or a file.
    pub(crate) fn checked(self) -> Result<Self, GitError> {
        let refuse = |setting, reason: &str| GitError::Setting {
            setting,
            reason: reason.to_owned(),
        };
        let setting = match &self {
            Self::Head => return Ok(self),
            Self::Branch(_) => "branch",
            Self::Tag(_) => "tag",
            Self::Full(name) => {
                if !name.starts_with("refs/") {
                    return Err(refuse("reference", "a full name begins with refs/"));
                }
                "reference"
            }
            Self::Commit(id) => {
                let Some(id) = whole_id(id) else {
                    return Err(refuse(
                        "commit",
                        "give the whole id: 40 hexadecimal digits, or 64 of SHA-256",
                    ));
                };
                return Ok(Self::Commit(id.to_string()));
            }
        };
        let name = self.full_name().unwrap_or_default();
        gix::validate::reference::name(name.as_str().into()).map_err(|_| GitError::Setting {
            setting,
            reason: format!(
                "{:?} is not a name Git allows",
                crate::error::one_line(&name)
            ),
        })?;
        Ok(self)
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Head => f.write_str("HEAD"),
            Self::Branch(name) => write!(f, "branch {name}"),
            Self::Tag(name) => write!(f, "tag {name}"),
            Self::Full(name) => write!(f, "reference {name}"),
            Self::Commit(id) => write!(f, "commit {id}"),
        }
    }
}

/// A commit id in full, in either hash.
pub(crate) fn whole_id(text: &str) -> Option<ObjectId> {
    matches!(text.len(), 40 | 64)
        .then(|| ObjectId::from_hex(text.as_bytes()).ok())
        .flatten()
        .filter(|id| !id.is_null())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_git_refuses_are_refused() {
        for bad in [
            "", "a..b", "a b", "a\nb", "/a", "a.lock", "a~1", "-a\0", "a:b", "@{1}",
        ] {
            assert!(Reference::Branch(bad.into()).checked().is_err(), "{bad:?}");
            assert!(Reference::Tag(bad.into()).checked().is_err(), "{bad:?}");
        }
        assert!(Reference::Full("heads/main".into()).checked().is_err());
        assert!(Reference::Full("refs/pull/7/head".into()).checked().is_ok());
        let hash_like = "1234567890123456789012345678901234567890";
        assert!(Reference::Branch(hash_like.into()).checked().is_ok());
    }

    #[test]
    fn a_commit_is_given_whole() {
        for bad in [
            "",
            "123456",
            "g234567890123456789012345678901234567890",
            &"0".repeat(40),
        ] {
            assert!(Reference::Commit(bad.into()).checked().is_err(), "{bad:?}");
        }
        let upper = "ABCDEF7890123456789012345678901234567890";
        let checked = Reference::Commit(upper.into()).checked().unwrap();
        assert_eq!(checked, Reference::Commit(upper.to_lowercase()));
    }
}
