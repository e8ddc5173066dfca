//! Picking one tag out of many.

use std::cmp::Ordering;
use std::fmt;

use semver::Version;

use crate::error::{GitError, one_line};
use crate::pattern::matches_pattern;

/// Longer ranges are not written by people.
const MAX_RANGE: usize = 512;

/// A range of semantic versions, to pick the highest tag in it.
///
/// It is written as Flux, Argo CD and Helm have it:
///
/// * `>=1.2.0`, `>`, `<`, `<=`, `=`, `!=`; several with spaces or commas between them must all
///   hold, and `||` stands between alternatives;
/// * `1.2.3` is that version; `1.2`, `1.2.x` and `1.2.*` any patch of it; `*` is any;
/// * `~1.2.3` is at least that and below 1.3.0, `~1` below 2.0.0;
/// * `^1.2.3` is at least that and below 2.0.0, `^0.2.3` below 0.3.0, `^0.0.3` below 0.0.4;
/// * `1.2 - 1.4.5` is both ends and all between.
///
/// A tag is a version when it is one in full, with or without a `v` before it; others are
/// passed over. Pre-releases count only where the range itself names one: `>=1.0.0-0` is any
/// from 1.0.0 on, pre-releases included. What stands after a `+` decides between versions
/// that are otherwise the same.
///
/// ```
/// use gitops_git::SemverRange;
///
/// let range: SemverRange = ">=1.2.0 <2.0.0".parse()?;
/// assert!(range.matches("v1.10.0"));
/// assert!(!range.matches("v1.10.0-rc.1") && !range.matches("2.0.0"));
///
/// let one_of_many = range.with_prefix("shop/");
/// assert!(one_of_many.matches("shop/v1.3.0") && !one_of_many.matches("v1.3.0"));
/// # Ok::<_, gitops_git::GitError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SemverRange {
    text: String,
    prefix: String,
    pre_releases: bool,
    /// One of these, each of which is all of those.
    alternatives: Vec<Vec<Comparator>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Comparator {
    low: Bound,
    high: Bound,
    /// Everything but what is between the bounds.
    not: bool,
    names_pre_release: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Bound {
    None,
    Including(Version),
    Excluding(Version),
}

impl SemverRange {
    /// Looks only at tags that begin with this, and reads what follows as the version:
    /// `shop/` in a repository of many.
    #[must_use]
    pub fn with_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Counts pre-releases even where the range names none.
    #[must_use]
    pub fn with_pre_releases(mut self) -> Self {
        self.pre_releases = true;
        self
    }

    /// Whether a tag, without `refs/tags/`, is a version in the range.
    #[must_use]
    pub fn matches(&self, tag: &str) -> bool {
        self.version(tag).is_some()
    }

    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    fn version(&self, tag: &str) -> Option<Version> {
        let text = tag.strip_prefix(&self.prefix)?;
        let version = Version::parse(text.strip_prefix('v').unwrap_or(text)).ok()?;
        let inside = self.alternatives.iter().any(|all| {
            let pre_release_allowed = version.pre.is_empty()
                || self.pre_releases
                || all.iter().any(|one| one.names_pre_release);
            pre_release_allowed && all.iter().all(|one| one.matches(&version))
        });
        inside.then_some(version)
    }
}

impl fmt::Display for SemverRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        if !self.prefix.is_empty() {
            write!(f, " after {}", self.prefix)?;
        }
        Ok(())
    }
}

impl std::str::FromStr for SemverRange {
    type Err = GitError;

    fn from_str(text: &str) -> Result<Self, GitError> {
        let refuse = |reason: String| GitError::Setting {
            setting: "semver",
            reason,
        };
        if text.len() > MAX_RANGE {
            return Err(refuse(format!("is longer than {MAX_RANGE} characters")));
        }
        let alternatives = text
            .split("||")
            .map(|alternative| {
                comparators(alternative)
                    .map_err(|part| refuse(format!("{:?} is no range", one_line(part.trim()))))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            text: one_line(text),
            prefix: String::new(),
            pre_releases: false,
            alternatives,
        })
    }
}

/// Numbers that are given, of three; the rest may be anything.
struct Partial {
    parts: Vec<u64>,
    version: Version,
}

/// Comparators that must all hold; or the part that is none.
fn comparators(text: &str) -> Result<Vec<Comparator>, String> {
    let bad = || text.to_owned();
    // A hyphen between spaces is a range, one without is a pre-release.
    if let Some((low, high)) = text.split_once(" - ") {
        let (low, high) = (
            partial(low.trim()).ok_or_else(bad)?,
            partial(high.trim()).ok_or_else(bad)?,
        );
        let names_pre_release = !(low.version.pre.is_empty() && high.version.pre.is_empty());
        let high = match high.parts.len() {
            3 => Bound::Including(high.version),
            _ => high.next(),
        };
        return Ok(vec![Comparator {
            low: Bound::Including(low.version),
            high,
            not: false,
            names_pre_release,
        }]);
    }
    let mut found = Vec::new();
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(bad());
    }
    while !rest.is_empty() {
        let operator_end = rest
            .find(|c: char| !"<>=!~^ ".contains(c))
            .unwrap_or(rest.len());
        let (operator, after) = rest.split_at(operator_end);
        let end = after
            .find(|c: char| c == ',' || c.is_whitespace() || "<>=!~^".contains(c))
            .unwrap_or(after.len());
        let (version, after) = after.split_at(end);
        let operator: String = operator.split_whitespace().collect();
        found.push(comparator(&operator, version).ok_or_else(|| format!("{operator}{version}"))?);
        rest = after.trim_start();
        if let Some(after) = rest.strip_prefix(',') {
            rest = after.trim_start();
            if rest.is_empty() {
                return Err(bad());
            }
        }
    }
    Ok(found)
}

fn comparator(operator: &str, version: &str) -> Option<Comparator> {
    let partial = partial(version)?;
    let names_pre_release = !partial.version.pre.is_empty();
    let lowest = || Bound::Including(partial.version.clone());
    let any_of_it = || (lowest(), partial.next());
    let (low, high, not) = match operator {
        "" | "=" => {
            let (low, high) = any_of_it();
            (low, high, false)
        }
        "!=" => {
            let (low, high) = any_of_it();
            (low, high, true)
        }
        ">=" | "=>" => (lowest(), Bound::None, false),
        // Above all that is meant: `>1.2` begins with 1.3.0.
        ">" => match partial.parts.len() {
            3 => (
                Bound::Excluding(partial.version.clone()),
                Bound::None,
                false,
            ),
            0 => return None,
            _ => match partial.next() {
                Bound::Excluding(next) => (Bound::Including(next), Bound::None, false),
                _ => return None,
            },
        },
        "<" => (
            Bound::None,
            Bound::Excluding(partial.version.clone()),
            false,
        ),
        "<=" | "=<" => (
            Bound::None,
            match partial.parts.len() {
                3 => Bound::Including(partial.version.clone()),
                _ => partial.next(),
            },
            false,
        ),
        "~" | "~>" => (
            lowest(),
            match partial.parts.as_slice() {
                [] => Bound::None,
                [major] => below(major.checked_add(1)?, 0, 0),
                [major, minor, ..] => below(*major, minor.checked_add(1)?, 0),
            },
            false,
        ),
        "^" => (
            lowest(),
            match partial.parts.as_slice() {
                [] => Bound::None,
                [0, 0, patch] => below(0, 0, patch.checked_add(1)?),
                [0, minor, ..] => below(0, minor.checked_add(1)?, 0),
                [major, ..] => below(major.checked_add(1)?, 0, 0),
            },
            false,
        ),
        _ => return None,
    };
    Some(Comparator {
        low,
        high,
        not,
        names_pre_release,
    })
}

fn below(major: u64, minor: u64, patch: u64) -> Bound {
    let mut version = Version::new(major, minor, patch);
    // Its own pre-releases are not below it in any sense that people have.
    version.pre = lowest_pre_release();
    Bound::Excluding(version)
}

fn lowest_pre_release() -> semver::Prerelease {
    semver::Prerelease::new("0").unwrap_or(semver::Prerelease::EMPTY)
}

impl Partial {
    /// The end of what is given, in which a part that is not given may be anything.
    fn next(&self) -> Bound {
        match self.parts.as_slice() {
            [] => Bound::None,
            [major] => below(major.saturating_add(1), 0, 0),
            [major, minor] => below(*major, minor.saturating_add(1), 0),
            _ => Bound::Including(self.version.clone()),
        }
    }
}

/// `1`, `1.2`, `1.2.x`, `1.2.3-rc.1`, `v1`, `*`.
fn partial(text: &str) -> Option<Partial> {
    let text = text.strip_prefix('v').unwrap_or(text);
    if let Ok(version) = Version::parse(text) {
        return Some(Partial {
            parts: vec![version.major, version.minor, version.patch],
            version,
        });
    }
    let mut parts = Vec::new();
    let mut open = false;
    for part in text.split('.') {
        match part {
            "*" | "x" | "X" => open = true,
            _ if open => return None,
            _ => parts.push(number(part)?),
        }
    }
    if parts.len() > 2 || text.split('.').count() > 3 {
        return None;
    }
    let version = Version::new(
        parts.first().copied().unwrap_or(0),
        parts.get(1).copied().unwrap_or(0),
        0,
    );
    Some(Partial { parts, version })
}

fn number(text: &str) -> Option<u64> {
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

impl Comparator {
    fn matches(&self, version: &Version) -> bool {
        let above = match &self.low {
            Bound::None => true,
            Bound::Including(low) => version.cmp_precedence(low).is_ge(),
            Bound::Excluding(low) => version.cmp_precedence(low).is_gt(),
        };
        let below = match &self.high {
            Bound::None => true,
            Bound::Including(high) => version.cmp_precedence(high).is_le(),
            Bound::Excluding(high) => version.cmp_precedence(high).is_lt(),
        };
        (above && below) != self.not
    }
}

/// A pattern of tag names, to pick the newest tag that is like it.
///
/// `*` stands for any text and `?` for any character, in the whole name. The newest is the
/// last one when names are sorted as people count: `release-10` after `release-9`,
/// `2026-11-02` after `2026-2-10`. When a tag was made does not count: to know that would take
/// one object of each.
///
/// ```
/// use gitops_git::TagPattern;
///
/// let nightly = TagPattern::new("nightly-*");
/// assert!(nightly.matches("nightly-20261125") && !nightly.matches("v1.0.0"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TagPattern(String);

impl TagPattern {
    /// Takes a pattern.
    pub fn new(pattern: impl Into<String>) -> Self {
        Self(pattern.into())
    }

    /// Whether a tag, without `refs/tags/`, is like the pattern.
    #[must_use]
    pub fn matches(&self, tag: &str) -> bool {
        matches_pattern(&self.0, tag)
    }

    /// What every name that is like it begins with.
    pub(crate) fn prefix(&self) -> &str {
        let end = self.0.find(['*', '?']).unwrap_or(self.0.len());
        self.0.get(..end).unwrap_or_default()
    }
}

impl fmt::Display for TagPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&one_line(&self.0))
    }
}

/// Two tags of which neither is newer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ambiguous(pub(crate) String, pub(crate) String);

/// The tag with the highest version in a range. `same` says whether two lead to the same
/// place, so that it does not matter which one is taken.
pub(crate) fn highest<T>(
    range: &SemverRange,
    tags: impl IntoIterator<Item = (String, T)>,
    same: impl Fn(&T, &T) -> bool,
) -> Result<Option<(String, T)>, Ambiguous> {
    let mut best: Option<(Version, String, T)> = None;
    let mut rival: Option<String> = None;
    for (name, place) in tags {
        let Some(version) = range.version(&name) else {
            continue;
        };
        let order = match &best {
            None => Ordering::Greater,
            Some((known, ..)) => version.cmp(known),
        };
        match (order, &best) {
            (Ordering::Greater, _) => {
                best = Some((version, name, place));
                rival = None;
            }
            // `v1.0.0` and `1.0.0` are one version. Whoever can push a tag could put the one
            // in the place of the other.
            (Ordering::Equal, Some((_, _, at))) if !same(at, &place) => {
                rival = Some(name);
            }
            _ => {}
        }
    }
    match (best, rival) {
        (Some((_, name, _)), Some(rival)) => Err(Ambiguous(name, rival)),
        (best, _) => Ok(best.map(|(_, name, place)| (name, place))),
    }
}

/// The last tag that is like a pattern, as people count.
pub(crate) fn newest<T>(
    pattern: &TagPattern,
    tags: impl IntoIterator<Item = (String, T)>,
) -> Option<(String, T)> {
    tags.into_iter()
        .filter(|(name, _)| pattern.matches(name))
        .max_by(|(a, _), (b, _)| natural(a, b))
}

/// Compares names with their numbers as numbers.
fn natural(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a.as_bytes(), b.as_bytes());
    loop {
        let order = match (left, right) {
            ([], []) => return a.cmp(b),
            ([], _) => return Ordering::Less,
            (_, []) => return Ordering::Greater,
            ([l, ..], [r, ..]) if l.is_ascii_digit() && r.is_ascii_digit() => {
                let (number, rest) = digits(left);
                let (other, rest_of_other) = digits(right);
                (left, right) = (rest, rest_of_other);
                number.len().cmp(&other.len()).then(number.cmp(other))
            }
            ([l, rest @ ..], [r, rest_of_other @ ..]) => {
                (left, right) = (rest, rest_of_other);
                l.cmp(r)
            }
        };
        if order.is_ne() {
            return order;
        }
    }
}

/// The number at the start, without leading zeros, and what follows it.
fn digits(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text
        .iter()
        .position(|byte| !byte.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    let zeros = number.iter().take_while(|byte| **byte == b'0').count();
    (number.get(zeros..).unwrap_or_default(), rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> SemverRange {
        text.parse().unwrap()
    }

    #[test]
    fn ranges_mean_what_they_mean_to_flux() {
        for (text, inside, outside) in [
            (
                "*",
                "0.0.1 v9.9.9",
                "1.0.0-rc.1 x 1 1.2 v1.2 vv1.0.0 01.0.0",
            ),
            ("1.2.3", "1.2.3 v1.2.3 1.2.3+b", "1.2.4 1.2.3-a"),
            ("=1.2", "1.2.0 1.2.9", "1.3.0 1.1.9"),
            ("1.2.x", "1.2.0 1.2.9", "1.3.0"),
            ("1", "1.0.0 1.99.0", "2.0.0 0.9.0"),
            ("!=1.2.3", "1.2.4 0.1.0", "1.2.3"),
            ("!=1.2", "1.3.0", "1.2.3"),
            (">1.2.3", "1.2.4 2.0.0", "1.2.3"),
            (">1.2", "1.3.0", "1.2.9"),
            (">= 1.2", "1.2.0 9.0.0", "1.1.9"),
            ("<1.2", "1.1.9", "1.2.0"),
            ("<=1.2", "1.2.9 1.0.0", "1.3.0"),
            ("<=1.2.3", "1.2.3", "1.2.4"),
            (">=1.2.0 <2.0.0", "1.2.0 1.99.9", "2.0.0 1.1.0"),
            (">=1.2.0, <2.0.0, !=1.5.0", "1.4.0 1.6.0", "1.5.0 2.0.0"),
            (">=1.2.0<1.3.0", "1.2.5", "1.3.0"),
            ("~1.2.3", "1.2.3 1.2.9", "1.3.0 1.2.2"),
            ("~1", "1.9.9", "2.0.0"),
            ("~>1.2", "1.2.9", "1.3.0"),
            ("^1.2.3", "1.2.3 1.9.0", "2.0.0 1.2.2"),
            ("^0.2.3", "0.2.3 0.2.9", "0.3.0 1.0.0"),
            ("^0.0.3", "0.0.3", "0.0.4"),
            ("^0.0", "0.0.9", "0.1.0"),
            ("^0", "0.9.9", "1.0.0"),
            ("1.2 - 1.4.5", "1.2.0 1.4.5", "1.4.6 1.1.9"),
            ("1.2.3 - 1.4", "1.4.9", "1.5.0"),
            ("<1.0.0 || >=2.1.0", "0.9.0 2.1.0", "1.0.0 2.0.9"),
            // Pre-releases only where one is named, and then all of them in the range.
            (">=1.0.0-0", "1.0.0-rc.1 1.0.0 2.0.0-a", "0.9.0"),
            (">=1.0.0-rc.2", "1.0.0-rc.10 1.1.0-alpha", "1.0.0-rc.1"),
            (
                "~1.2.3-beta",
                "1.2.3-beta 1.2.3 1.2.4-x",
                "1.3.0-0 1.2.3-alpha",
            ),
            (">=1.0.0", "1.0.0", "1.0.0-rc.1 2.0.0-rc.1"),
        ] {
            let range = range(text);
            for tag in inside.split(' ') {
                assert!(range.matches(tag), "{tag} is in {text}");
            }
            for tag in outside.split(' ') {
                assert!(!range.matches(tag), "{tag} is not in {text}");
            }
        }
        assert!(range(">=1.0.0").with_pre_releases().matches("2.0.0-rc.1"));
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for bad in [
            "",
            " ",
            "||",
            "1.0.0 ||",
            "a",
            ">",
            ">=",
            "1.2.3.4",
            "1.x.3",
            "-1",
            ">=1.0.0,",
            "=>=1",
            "1.0.0 - ",
            "~~1",
            "1..2",
            "1.2.3-",
            "99999999999999999999",
            "^18446744073709551615",
            ">*",
        ] {
            assert!(bad.parse::<SemverRange>().is_err(), "{bad:?}");
        }
        assert!("1 ".repeat(300).parse::<SemverRange>().is_err());
    }

    fn pick(text: &str, tags: &[(&str, u8)]) -> Result<Option<(String, u8)>, Ambiguous> {
        let tags = tags
            .iter()
            .map(|(name, place)| ((*name).to_owned(), *place));
        highest(&range(text), tags, |a, b| a == b)
    }

    #[test]
    fn the_highest_version_is_taken_whatever_the_order() {
        let tags = [
            ("v1.9.0", 1),
            ("v1.10.0", 2),
            ("v2.0.0-rc.1", 3),
            ("latest", 4),
            ("1.2.0", 5),
        ];
        assert_eq!(pick(">=1", &tags).unwrap(), Some(("v1.10.0".to_owned(), 2)));
        assert_eq!(
            pick(">=1.0.0-0", &tags).unwrap(),
            Some(("v2.0.0-rc.1".to_owned(), 3))
        );
        assert_eq!(pick(">=3", &tags).unwrap(), None);
        let built = [("1.0.0+10", 1), ("1.0.0+9", 2)];
        assert_eq!(pick("*", &built).unwrap(), Some(("1.0.0+10".to_owned(), 1)));
    }

    #[test]
    fn two_names_of_one_version_at_two_places_are_ambiguous() {
        let two = [("v1.0.0", 1), ("1.0.0", 2)];
        assert_eq!(
            pick("*", &two).unwrap_err(),
            Ambiguous("v1.0.0".to_owned(), "1.0.0".to_owned())
        );
        assert!(pick("*", &[("v1.0.0", 1), ("1.0.0", 1)]).is_ok());
        // Not where a higher one settles it.
        let higher = [("v1.0.0", 1), ("1.0.0", 2), ("1.0.1", 3)];
        assert_eq!(pick("*", &higher).unwrap(), Some(("1.0.1".to_owned(), 3)));
    }

    #[test]
    fn names_are_sorted_as_people_count() {
        let sorted = [
            "",
            "2026-2-10",
            "2026-11-02",
            "release-09",
            "release-9",
            "release-10",
            "release-10a",
            "v2",
        ];
        for (at, a) in sorted.iter().enumerate() {
            for (other, b) in sorted.iter().enumerate() {
                assert_eq!(natural(a, b), at.cmp(&other), "{a} {b}");
            }
        }
        let pattern = TagPattern::new("release-*");
        let tags =
            ["release-9", "release-10", "Release-11", "v12"].map(|name| (name.to_owned(), ()));
        assert_eq!(newest(&pattern, tags).unwrap().0, "release-10");
        assert_eq!(TagPattern::new("a/b*c?").prefix(), "a/b");
    }
}
