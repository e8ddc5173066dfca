//! What a source follows.

use std::fmt;

use gix::ObjectId;

use crate::error::GitError;
use crate::remote::Tip;
use crate::tags::{SemverRange, TagPattern};

const TAGS: &str = "refs/tags/";

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
    /// The tag with the highest version in a range.
    Semver(SemverRange),
    /// The newest tag whose name is like a pattern.
    NewestTag(TagPattern),
    /// One commit, by its whole id: 40 hexadecimal digits, or 64 of SHA-256.
    Commit(String),
}

impl Reference {
    /// Of several ways to say what to follow the one that counts, in the order that Flux has
    /// for a `GitRepository`: a commit before a full name, that before a range of versions,
    /// that before a tag, and that before a branch. With none of them, `HEAD`.
    ///
    /// Flux follows `master` when nothing is said; this follows the default branch.
    ///
    /// ```
    /// use gitops_git::Reference;
    ///
    /// let range = ">=1.0.0".parse()?;
    /// let both = Reference::by_precedence(Some("main"), None, Some(range), None, None);
    /// assert_eq!(both.to_string(), "the highest tag in >=1.0.0");
    /// # Ok::<_, gitops_git::GitError>(())
    /// ```
    #[must_use]
    pub fn by_precedence(
        branch: Option<&str>,
        tag: Option<&str>,
        semver: Option<SemverRange>,
        name: Option<&str>,
        commit: Option<&str>,
    ) -> Self {
        let owned = str::to_owned;
        None.or_else(|| commit.map(owned).map(Self::Commit))
            .or_else(|| name.map(owned).map(Self::Full))
            .or_else(|| semver.map(Self::Semver))
            .or_else(|| tag.map(owned).map(Self::Tag))
            .or_else(|| branch.map(owned).map(Self::Branch))
            .unwrap_or(Self::Head)
    }

    /// What the names begin with that have to be looked at to pick a tag.
    pub(crate) fn tag_prefix(&self) -> Option<String> {
        match self {
            Self::Semver(range) => Some(format!("{TAGS}{}", range.prefix())),
            Self::NewestTag(pattern) => Some(format!("{TAGS}{}", pattern.prefix())),
            _ => None,
        }
    }

    /// Picks among tags, each by its full name.
    pub(crate) fn pick(&self, tips: Vec<Tip>, remote: &str) -> Result<Tip, GitError> {
        let named = tips.into_iter().filter_map(|tip| {
            let name = tip.name.strip_prefix(TAGS)?.to_owned();
            Some((name, tip))
        });
        let picked = match self {
            Self::Semver(range) => {
                crate::tags::highest(range, named, |a: &Tip, b: &Tip| a.commit == b.commit)
                    .map_err(|ambiguous| GitError::AmbiguousTags {
                        remote: remote.to_owned(),
                        one: crate::error::one_line(&ambiguous.0),
                        other: crate::error::one_line(&ambiguous.1),
                    })?
            }
            Self::NewestTag(pattern) => crate::tags::newest(pattern, named),
            _ => None,
        };
        picked
            .map(|(_, tip)| tip)
            .ok_or_else(|| GitError::ReferenceNotFound {
                remote: remote.to_owned(),
                reference: self.to_string(),
            })
    }

    /// The name in full; none for a commit, or where a tag has to be picked.
    pub(crate) fn full_name(&self) -> Option<String> {
        match self {
            Self::Head => Some("HEAD".to_owned()),
            Self::Branch(name) => Some(format!("refs/heads/{name}")),
            Self::Tag(name) => Some(format!("refs/tags/{name}")),
            Self::Full(name) => Some(name.clone()),
            Self::Semver(_) | Self::NewestTag(_) | Self::Commit(_) => None,
        }
    }

    /// Whether it can lead to an annotated tag.
    pub(crate) fn may_be_tag(&self) -> bool {
        match self {
            Self::Tag(_) | Self::Semver(_) | Self::NewestTag(_) => true,
            Self::Full(name) => name.starts_with("refs/tags/"),
            Self::Head | Self::Branch(_) | Self::Commit(_) => false,
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
            Self::Semver(_) | Self::NewestTag(_) => {
                let prefix = self.tag_prefix().unwrap_or_default();
                // As a part of a name it is one, with something after it.
                gix::validate::reference::name(format!("{prefix}x").as_str().into()).map_err(
                    |_| {
                        refuse(
                            "tag",
                            "the tags begin with something that no name begins with",
                        )
                    },
                )?;
                return Ok(self);
            }
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
            Self::Semver(range) => write!(f, "the highest tag in {range}"),
            Self::NewestTag(pattern) => write!(f, "the newest tag like {pattern}"),
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
