//! The time of a cluster.

use gitops_core::Clock;
use jiff::{SignedDuration, Timestamp};

/// A clock that starts at a chosen moment and goes on with tokio's clock, so that a
/// paused runtime pauses it, and advancing the one advances the other.
#[derive(Debug, Clone)]
pub struct ClusterClock {
    start: Timestamp,
    since: tokio::time::Instant,
}

impl ClusterClock {
    /// A clock that shows `start` now.
    #[must_use]
    pub fn starting_at(start: Timestamp) -> Self {
        Self {
            start,
            since: tokio::time::Instant::now(),
        }
    }
}

impl Clock for ClusterClock {
    fn now(&self) -> Timestamp {
        let passed = SignedDuration::try_from(self.since.elapsed()).unwrap_or(SignedDuration::ZERO);
        self.start.checked_add(passed).unwrap_or(self.start)
    }
}

/// A time as `metav1.Time` writes it: whole seconds.
pub(crate) fn seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn virtual_time_moves_the_cluster() {
        let clock = ClusterClock::starting_at("2026-01-01T00:00:00Z".parse().unwrap());
        tokio::time::advance(Duration::from_secs(61)).await;
        assert_eq!(seconds(clock.now()), "2026-01-01T00:01:01Z");
    }
}
