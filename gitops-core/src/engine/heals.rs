//! How often what was healed, and when it may be healed again.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::ObjectId;

/// So many heals in a row are taken for accidents.
const FREE: u32 = 5;
/// An object that was left alone for so long is forgiven.
const QUIET: SignedDuration = SignedDuration::from_mins(10);
/// The longest wait between two heals of one object.
const LONGEST: Duration = Duration::from_secs(300);

/// Counts heals per object, so that two writers who fight don't fight at full speed.
#[derive(Debug, Default)]
pub(super) struct Heals {
    counts: BTreeMap<ObjectId, Count>,
}

#[derive(Debug)]
struct Count {
    heals: u32,
    last: Timestamp,
    due: Option<Timestamp>,
}

impl Heals {
    /// When the object may be healed again; at once if there is nothing to wait for.
    pub(super) fn due(&self, object: &ObjectId) -> Option<Timestamp> {
        self.counts.get(object).and_then(|count| count.due)
    }

    /// How often it was healed in a row.
    pub(super) fn times(&self, object: &ObjectId) -> u32 {
        self.counts.get(object).map_or(0, |count| count.heals)
    }

    /// Counts a heal that is about to happen. Returns how long the next one has to wait, once
    /// there were so many that somebody must be fighting us.
    pub(super) fn count(&mut self, object: &ObjectId, now: Timestamp) -> Option<Duration> {
        // Whoever was quiet for long is forgiven, and forgotten: the map doesn't grow for ever.
        self.counts
            .retain(|_, count| now.duration_since(count.last) < QUIET);
        let count = self.counts.entry(object.clone()).or_insert(Count {
            heals: 0,
            last: now,
            due: None,
        });
        count.heals = count.heals.saturating_add(1);
        count.last = now;
        if count.heals <= FREE {
            return None;
        }
        let doubled =
            Duration::from_secs(1).saturating_mul(2_u32.saturating_pow(count.heals - FREE - 1));
        let wait = doubled.min(LONGEST);
        let later = SignedDuration::try_from(wait).unwrap_or(SignedDuration::ZERO);
        count.due = now.saturating_add(later).ok();
        Some(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::GroupKind;

    #[test]
    fn a_fight_slows_down_and_peace_is_remembered() {
        let object = ObjectId::namespaced(GroupKind::new("apps", "Deployment"), "shop", "web");
        let mut heals = Heals::default();
        let mut now = Timestamp::UNIX_EPOCH;
        for _ in 0..FREE {
            assert_eq!(heals.count(&object, now), None);
            assert_eq!(heals.due(&object), None);
        }
        let mut waits = Vec::new();
        for _ in 0..12 {
            let wait = heals.count(&object, now).unwrap();
            waits.push(wait.as_secs());
            now = now
                .saturating_add(SignedDuration::try_from(wait).unwrap())
                .unwrap();
            assert_eq!(heals.due(&object), Some(now));
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]);
        now = now.saturating_add(QUIET).unwrap();
        assert_eq!(heals.count(&object, now), None);
    }
}
