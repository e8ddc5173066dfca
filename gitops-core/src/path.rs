//! Paths within a snapshot.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A path below the root of a [`Snapshot`](crate::Snapshot), with `/` between its parts.
///
/// A value of this type can't leave the snapshot: it has no `..`, no leading `/`, no
/// backslash, no empty part and no control character, whatever it was made from. The
/// empty path is the root itself.
///
/// ```
/// use gitops_core::RelPath;
///
/// let path: RelPath = "clusters/./prod/".parse()?;
/// assert_eq!(path.as_str(), "clusters/prod");
/// assert!("../../etc/passwd".parse::<RelPath>().is_err());
/// # Ok::<_, gitops_core::PathError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct RelPath(String);

/// Why a text is not a [`RelPath`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("path {path:?} {reason}")]
pub struct PathError {
    path: String,
    reason: &'static str,
}

impl PathError {
    pub(crate) fn new(path: &str, reason: &'static str) -> Self {
        let path = path.chars().take(200).collect();
        Self { path, reason }
    }
}

/// Longer paths are refused; Linux takes as much.
const MAX_LENGTH: usize = 4096;

impl RelPath {
    /// The root.
    #[must_use]
    pub fn root() -> Self {
        Self::default()
    }

    /// Reads a path. `.` parts and a trailing `/` are dropped.
    ///
    /// # Errors
    ///
    /// If the path is absolute, holds `..`, a backslash, an empty part or a control
    /// character, or is longer than 4096 bytes.
    pub fn new(text: &str) -> Result<Self, PathError> {
        if text.len() > MAX_LENGTH {
            return Err(PathError::new(text, "is longer than 4096 bytes"));
        }
        if text.starts_with('/') {
            return Err(PathError::new(
                text,
                "is absolute; give it relative to the root",
            ));
        }
        if text.contains('\\') {
            return Err(PathError::new(
                text,
                "holds a backslash; use '/' between parts",
            ));
        }
        if text.chars().any(char::is_control) {
            return Err(PathError::new(text, "holds a control character"));
        }
        let mut parts = Vec::new();
        for part in text.strip_suffix('/').unwrap_or(text).split('/') {
            match part {
                "." => {}
                ".." => {
                    return Err(PathError::new(
                        text,
                        "holds '..', which could leave the root",
                    ));
                }
                "" if text.is_empty() => {}
                "" => return Err(PathError::new(text, "holds an empty part")),
                part => parts.push(part),
            }
        }
        Ok(Self(parts.join("/")))
    }

    /// The path as text, without a leading or trailing `/`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is the root.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The parts, outermost first; none for the root.
    pub fn parts(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/').filter(|part| !part.is_empty())
    }

    /// This path and then `below`.
    #[must_use]
    pub fn join(&self, below: &Self) -> Self {
        match (self.is_root(), below.is_root()) {
            (true, _) => below.clone(),
            (_, true) => self.clone(),
            _ => Self(format!("{}/{}", self.0, below.0)),
        }
    }

    /// This path and then one name.
    ///
    /// # Errors
    ///
    /// If the name is more than one part, or `..`.
    pub fn child(&self, name: &str) -> Result<Self, PathError> {
        let child = Self::new(name)?;
        if child.parts().count() == 1 {
            Ok(self.join(&child))
        } else {
            Err(PathError::new(name, "is not the name of one file"))
        }
    }

    /// The directory that holds this path; none for the root.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        if self.is_root() {
            return None;
        }
        Some(Self(
            self.0
                .rsplit_once('/')
                .map_or("", |(parent, _)| parent)
                .into(),
        ))
    }

    /// The last part; none for the root.
    #[must_use]
    pub fn file_name(&self) -> Option<&str> {
        self.parts().last()
    }

    /// The path of `self` seen from `ancestor`; none if it doesn't lie within it.
    #[must_use]
    pub fn strip_prefix(&self, ancestor: &Self) -> Option<Self> {
        if ancestor.is_root() {
            return Some(self.clone());
        }
        let rest = self.0.strip_prefix(&ancestor.0)?;
        match rest.strip_prefix('/') {
            Some(rest) => Some(Self(rest.into())),
            None => rest.is_empty().then(Self::root),
        }
    }
}

impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_root() { "." } else { &self.0 })
    }
}

impl FromStr for RelPath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        Self::new(text)
    }
}

impl TryFrom<&str> for RelPath {
    type Error = PathError;

    fn try_from(text: &str) -> Result<Self, PathError> {
        Self::new(text)
    }
}

impl<'de> Deserialize<'de> for RelPath {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::new(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_path_leaves_the_root() {
        for bad in [
            "..", "a/..", "a/../b", "/a", "a//b", "a\\b", "a\0b", "a\nb", "//", "/",
        ] {
            assert!(RelPath::new(bad).is_err(), "{bad:?}");
        }
        assert!(RelPath::new(&"x".repeat(5000)).is_err());
        assert!(RelPath::root().child("a/b").is_err());
        assert!(RelPath::root().child("..").is_err());
        assert!(RelPath::root().child(".").is_err());
    }

    #[test]
    fn parts_join_and_come_apart() {
        let path = RelPath::new("a/b/c.yaml").unwrap();
        assert_eq!(path.file_name(), Some("c.yaml"));
        assert_eq!(path.parent().unwrap().as_str(), "a/b");
        let below = path.strip_prefix(&RelPath::new("a").unwrap()).unwrap();
        assert_eq!(below.as_str(), "b/c.yaml");
        assert_eq!(path.strip_prefix(&RelPath::new("a/b/c").unwrap()), None);
        assert_eq!(RelPath::new("a").unwrap().join(&below), path);
        assert_eq!(RelPath::root().parent(), None);
    }
}
