//! What a reconciler may do without asking.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{GroupKind, RevisionId};

/// How many objects one pass may prune.
///
/// Counted over the objects of the inventory that are not in Git any more. If there
/// are more than allowed, none is pruned: whoever deleted a folder by mistake wants all of it
/// back. At least one is always allowed by a percentage, so that a small set can shrink;
/// but taking away the *last* object always needs [consent](Policy::consent) or
/// [`PruneLimit::unlimited`].
///
/// ```
/// use gitops_core::PruneLimit;
///
/// let limit: PruneLimit = "20%".parse()?;
/// assert!(limit.allows(2, 10));
/// assert!(!limit.allows(3, 10));
/// assert!(limit.allows(1, 2), "one of a few is allowed");
/// assert!(!limit.allows(1, 1), "the last one is not");
/// assert!("7".parse::<PruneLimit>()?.allows(7, 1000));
/// # Ok::<_, gitops_core::ParsePruneLimitError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct PruneLimit {
    /// At most so many objects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    count: Option<u32>,
    /// At most so many of a hundred.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    percent: Option<u8>,
}

impl PruneLimit {
    /// At most `count` objects in one pass.
    #[must_use]
    pub fn count(count: u32) -> Self {
        Self {
            count: Some(count),
            percent: None,
        }
    }

    /// At most `percent` of a hundred objects of the inventory in one pass; more than 100
    /// is 100.
    #[must_use]
    pub fn percent(percent: u8) -> Self {
        Self {
            count: None,
            percent: Some(percent.min(100)),
        }
    }

    /// As many as there are, all of them included.
    #[must_use]
    pub fn unlimited() -> Self {
        Self {
            count: None,
            percent: None,
        }
    }

    /// Both limits: the smaller one counts.
    #[must_use]
    pub fn and_count(mut self, count: u32) -> Self {
        self.count = Some(count);
        self
    }

    /// Whether `pruned` of `held` objects may go in one pass.
    #[must_use]
    pub fn allows(&self, pruned: usize, held: usize) -> bool {
        if pruned == 0 || *self == Self::unlimited() {
            return true;
        }
        if pruned >= held {
            return false;
        }
        let by_count = self.count.is_none_or(|count| pruned <= count as usize);
        let by_percent = self.percent.is_none_or(|percent| {
            pruned <= (held.saturating_mul(usize::from(percent)) / 100).max(1)
        });
        by_count && by_percent
    }
}

impl Default for PruneLimit {
    /// Half of the objects: far above what people withdraw on purpose, far below a
    /// folder that was lost.
    fn default() -> Self {
        Self::percent(50)
    }
}

impl fmt::Display for PruneLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.count, self.percent) {
            (None, None) => f.write_str("unlimited"),
            (Some(count), None) => count.fmt(f),
            (None, Some(percent)) => write!(f, "{percent}%"),
            (Some(count), Some(percent)) => write!(f, "{count} and {percent}%"),
        }
    }
}

/// A text that is not a [`PruneLimit`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a prune limit: give a number, a percentage such as 20%, or `unlimited`")]
pub struct ParsePruneLimitError;

impl FromStr for PruneLimit {
    type Err = ParsePruneLimitError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "unlimited" {
            return Ok(Self::unlimited());
        }
        match text.strip_suffix('%') {
            Some(percent) => match percent.parse() {
                Ok(percent) if percent <= 100 => Ok(Self::percent(percent)),
                _ => Err(ParsePruneLimitError),
            },
            None => text
                .parse()
                .map(Self::count)
                .map_err(|_| ParsePruneLimitError),
        }
    }
}

/// What happens to objects that were withdrawn from Git.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum Prune {
    /// They stay, and stay in the inventory.
    Off,
    /// They are deleted, if there are no more of them than this.
    Limited(PruneLimit),
}

impl From<PruneLimit> for Prune {
    fn from(limit: PruneLimit) -> Self {
        Self::Limited(limit)
    }
}

/// What happens when somebody changes a field that Git speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum Heal {
    /// It is set back at once; ever more slowly if it is changed again and again.
    #[default]
    Automatic,
    /// It is told of, and left as it is.
    Report,
}

/// Which existing objects that are not in the inventory may be taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum Adoption {
    /// None but our own, whose inventory was lost.
    Never,
    /// Those that carry nobody's mark.
    #[default]
    Unowned,
    /// Also those that carry somebody else's mark. The other side doesn't learn of it.
    Always,
}

/// What happens when a field that Git speaks of belongs to another manager who disagrees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum Conflicts {
    /// The object is left alone and the owner is named.
    #[default]
    Refuse,
    /// The field is taken over; the plan and the audit say from whom.
    Force,
}

/// How far one object's trouble reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum FailureDomain {
    /// The others go on, except those that can't exist without it. Nothing is pruned.
    #[default]
    Object,
    /// If anything can't be rendered or planned, nothing at all is written.
    Set,
}

/// What a reconciler may do without asking.
///
/// ```
/// use gitops_core::{Heal, Policy, PruneLimit};
///
/// let policy = Policy::default().prune(PruneLimit::percent(20)).heal(Heal::Report);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schemars", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
#[non_exhaustive]
pub struct Policy {
    /// What happens to withdrawn objects. Default: pruned, at most half of them at once.
    pub prune: Prune,
    /// Kinds that are pruned although their loss takes other things along. Without it a
    /// `Namespace`, `CustomResourceDefinition`, `PersistentVolume` or
    /// `PersistentVolumeClaim` that is withdrawn is kept, and the plan says so.
    pub prune_protected: BTreeSet<GroupKind>,
    /// What happens on drift. Default: it is healed.
    pub heal: Heal,
    /// Which existing objects are taken over. Default: those without a mark.
    pub adoption: Adoption,
    /// What happens on a field conflict. Default: it is refused.
    pub conflicts: Conflicts,
    /// How far one object's trouble reaches. Default: to itself.
    pub failure_domain: FailureDomain,
    /// The revision whose prunes were looked at by a person: for it the prune limit
    /// doesn't count.
    pub consent: Option<RevisionId>,
    /// How many writes may be under way at once. Default: 8.
    pub concurrency: u16,
    /// How long to wait for definitions to be established. Default: 30 seconds.
    #[serde(with = "seconds")]
    #[cfg_attr(feature = "schemars", schemars(with = "u64"))]
    pub settle_timeout: Duration,
    /// How often a write that failed for a passing reason is tried again within a pass.
    /// Default: 4 times, over about seven seconds.
    pub retries: u32,
}

mod seconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(value.as_secs())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_secs)
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            prune: Prune::Limited(PruneLimit::default()),
            prune_protected: BTreeSet::new(),
            heal: Heal::default(),
            adoption: Adoption::default(),
            conflicts: Conflicts::default(),
            failure_domain: FailureDomain::default(),
            consent: None,
            concurrency: 8,
            settle_timeout: Duration::from_secs(30),
            retries: 4,
        }
    }
}

/// Kinds whose deletion takes other things along: namespaces their content, definitions
/// their objects, volumes their data.
const PROTECTED: [(&str, &str); 4] = [
    ("", "Namespace"),
    ("apiextensions.k8s.io", "CustomResourceDefinition"),
    ("", "PersistentVolume"),
    ("", "PersistentVolumeClaim"),
];

impl Policy {
    /// Sets what happens to withdrawn objects: a [`PruneLimit`], or [`Prune::Off`].
    #[must_use]
    pub fn prune(mut self, prune: impl Into<Prune>) -> Self {
        self.prune = prune.into();
        self
    }

    /// Allows a protected kind to be pruned.
    #[must_use]
    pub fn prune_kind(mut self, kind: GroupKind) -> Self {
        self.prune_protected.insert(kind);
        self
    }

    /// Sets what happens on drift.
    #[must_use]
    pub fn heal(mut self, heal: Heal) -> Self {
        self.heal = heal;
        self
    }

    /// Sets which existing objects are taken over.
    #[must_use]
    pub fn adoption(mut self, adoption: Adoption) -> Self {
        self.adoption = adoption;
        self
    }

    /// Sets what happens on a field conflict.
    #[must_use]
    pub fn conflicts(mut self, conflicts: Conflicts) -> Self {
        self.conflicts = conflicts;
        self
    }

    /// Sets how far one object's trouble reaches.
    #[must_use]
    pub fn failure_domain(mut self, domain: FailureDomain) -> Self {
        self.failure_domain = domain;
        self
    }

    /// Lifts the prune limit for one revision, and only for it.
    #[must_use]
    pub fn consent(mut self, revision: RevisionId) -> Self {
        self.consent = Some(revision);
        self
    }

    /// Sets how many writes may be under way at once; at least one.
    #[must_use]
    pub fn concurrency(mut self, writes: u16) -> Self {
        self.concurrency = writes.max(1);
        self
    }

    /// Sets how often a write is tried again within a pass.
    #[must_use]
    pub fn retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// Sets how long to wait for definitions to be established.
    #[must_use]
    pub fn settle_timeout(mut self, timeout: Duration) -> Self {
        self.settle_timeout = timeout;
        self
    }

    /// Whether objects of this kind are kept although they were withdrawn.
    #[must_use]
    pub fn protects(&self, kind: &GroupKind) -> bool {
        PROTECTED
            .iter()
            .any(|(group, name)| kind.group == *group && kind.kind == *name)
            && !self.prune_protected.contains(kind)
    }
}

/// Returns how long to wait before retry number `attempt`, counting from zero.
///
/// The wait doubles from 500 milliseconds and stops growing at 5 minutes. Both are this
/// crate's own choice: short enough that a restarted API server is noticed quickly, long
/// enough that a broken manifest costs little. No jitter is added; the caller owns the
/// randomness, so that tests stay exact.
///
/// ```
/// # use {gitops_core::retry_delay, std::time::Duration};
/// assert_eq!(retry_delay(3), Duration::from_secs(4));
/// assert_eq!(retry_delay(u32::MAX), Duration::from_secs(300));
/// ```
#[must_use]
pub fn retry_delay(attempt: u32) -> Duration {
    let doubled = Duration::from_millis(500).saturating_mul(2_u32.saturating_pow(attempt));
    doubled.min(Duration::from_secs(300))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_object_needs_consent() {
        for limit in [PruneLimit::percent(100), PruneLimit::count(10)] {
            assert!(!limit.allows(1, 1), "{limit}");
            assert!(!limit.allows(3, 3), "{limit}");
            assert!(limit.allows(2, 3), "{limit}");
        }
        assert!(PruneLimit::unlimited().allows(3, 3));
    }

    #[test]
    fn the_smaller_of_two_limits_counts() {
        let limit = PruneLimit::percent(50).and_count(3);
        assert!(limit.allows(3, 100));
        assert!(!limit.allows(4, 100));
        assert!(!limit.allows(3, 4));
        assert!(!PruneLimit::count(0).allows(1, 100));
    }

    #[test]
    fn limits_survive_text() {
        for text in ["20%", "7", "unlimited", "0%"] {
            assert_eq!(text.parse::<PruneLimit>().unwrap().to_string(), text);
        }
        for bad in ["", "101%", "-1", "x", "%", "1.5%"] {
            assert!(bad.parse::<PruneLimit>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_policy_of_nothing_is_the_default() {
        assert_eq!(
            serde_json::from_str::<Policy>("{}").unwrap(),
            Policy::default()
        );
        let text = serde_json::to_string(&Policy::default().prune(Prune::Off)).unwrap();
        assert_eq!(
            serde_json::from_str::<Policy>(&text).unwrap().prune,
            Prune::Off
        );
    }
}
