//! The time of a cluster.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// A clock that starts at a chosen moment and goes on with tokio's clock, so that a
/// paused runtime pauses it, and advancing the one advances the other.
#[derive(Debug, Clone)]
pub(crate) struct ClusterClock {
    start: Timestamp,
    since: tokio::time::Instant,
}

impl ClusterClock {
    pub(crate) fn starting_at(start: Timestamp) -> Self {
        Self {
            start,
            since: tokio::time::Instant::now(),
        }
    }

    /// The time now.
    pub(crate) fn now(&self) -> Timestamp {
        let passed = SignedDuration::try_from(self.since.elapsed()).unwrap_or(SignedDuration::ZERO);
        self.start.checked_add(passed).unwrap_or(self.start)
    }

    /// How long ago `earlier` was.
    pub(crate) fn elapsed(&self, earlier: Timestamp) -> Duration {
        Duration::try_from(self.now().duration_since(earlier)).unwrap_or(Duration::ZERO)
    }
}

/// A time as `metav1.Time` writes it: whole seconds.
pub(crate) fn seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn virtual_time_moves_the_cluster() {
        let clock = ClusterClock::starting_at("2026-01-01T00:00:00Z".parse().unwrap());
        tokio::time::advance(Duration::from_secs(61)).await;
        assert_eq!(seconds(clock.now()), "2026-01-01T00:01:01Z");
    }
}
