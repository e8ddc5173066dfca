//! When to look again.

use std::hash::{BuildHasher as _, Hasher as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

/// Tells a source to look now rather than at its next poll; what a webhook calls.
///
/// Cloning is cheap. A trigger is only a hint: it carries no content, and what is new is
/// asked of the repository. One that comes while nobody waits is kept; several are one.
///
/// A trigger belongs to one source and wakes one reconciler. Two reconcilers on one
/// repository have a source each; they share the download through the cache.
#[derive(Debug, Clone)]
pub struct Trigger {
    count: Arc<watch::Sender<u64>>,
}

impl Trigger {
    /// Wakes the source.
    pub fn fire(&self) {
        self.count
            .send_modify(|count| *count = count.wrapping_add(1));
    }
}

/// Polling with jitter, cut short by a [`Trigger`].
#[derive(Debug)]
pub(crate) struct Schedule {
    trigger: Trigger,
    seen: Mutex<u64>,
    interval: Duration,
    jitter: f64,
    random: Mutex<SplitMix>,
}

impl Schedule {
    pub(crate) fn new(interval: Duration, jitter: f64, seed: Option<u64>) -> Self {
        let seed = seed.unwrap_or_else(|| {
            // Keyed from the system's randomness, once per process and value.
            std::hash::RandomState::new().build_hasher().finish()
        });
        Self {
            trigger: Trigger {
                count: Arc::new(watch::Sender::new(0)),
            },
            seen: Mutex::new(0),
            interval,
            jitter,
            random: Mutex::new(SplitMix(seed)),
        }
    }

    pub(crate) fn trigger(&self) -> Trigger {
        self.trigger.clone()
    }

    pub(crate) async fn changed(&self) {
        let mut triggered = self.trigger.count.subscribe();
        let seen = *self.seen();
        let wait = self.next_wait();
        tokio::select! {
            // The sender lives as long as `self`, so this is never an error.
            _ = triggered.wait_for(|count| *count != seen) => {}
            () = tokio::time::sleep(wait) => {}
        }
        *self.seen() = *self.trigger.count.borrow();
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, u64> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next_wait(&self) -> Duration {
        let random = self
            .random
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .next_fraction();
        // Between 1 - jitter and 1 + jitter; both are checked when the source is built.
        self.interval
            .mul_f64(1.0 + self.jitter * (2.0 * random - 1.0))
    }
}

/// Steele, Lea and Flood's generator: one addition and a mix, good enough to spread polls.
#[derive(Debug)]
struct SplitMix(u64);

impl SplitMix {
    /// At least 0, below 1.
    fn next_fraction(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        // 53 bits are what the fraction of an f64 holds exactly.
        (mixed >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

    #[tokio::test(start_paused = true)]
    async fn polls_come_within_the_jitter_and_not_in_step() {
        let schedule = Schedule::new(Duration::from_secs(100), 0.2, Some(7));
        let mut waits = Vec::new();
        for _ in 0..200 {
            let start = Instant::now();
            schedule.changed().await;
            waits.push(start.elapsed().as_millis());
        }
        // Tokio's timer counts in milliseconds and rounds up.
        assert!(waits.iter().all(|w| (80_000..=120_001).contains(w)));
        assert!(waits.iter().any(|w| *w < 90_000) && waits.iter().any(|w| *w > 110_000));
    }

    #[tokio::test(start_paused = true)]
    async fn a_trigger_wakes_at_once_and_is_kept_but_not_repeated() {
        let schedule = Schedule::new(Duration::from_secs(100), 0.0, None);
        let start = Instant::now();
        let trigger = schedule.trigger();
        trigger.fire();
        trigger.clone().fire();
        schedule.changed().await;
        assert_eq!(start.elapsed(), Duration::ZERO);
        // Both were one; the next wait is a poll.
        schedule.changed().await;
        assert!(start.elapsed() >= Duration::from_secs(100));

        let waiting = schedule.changed();
        tokio::pin!(waiting);
        assert!(futures_pending(&mut waiting).await);
        trigger.fire();
        let woken = Instant::now();
        waiting.await;
        assert_eq!(woken.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_trigger_survives_a_wait_that_was_dropped() {
        let schedule = Schedule::new(Duration::from_secs(100), 0.0, None);
        {
            let waiting = schedule.changed();
            tokio::pin!(waiting);
            assert!(futures_pending(&mut waiting).await);
            schedule.trigger().fire();
        }
        let start = Instant::now();
        schedule.changed().await;
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    async fn futures_pending(future: &mut (impl Future<Output = ()> + Unpin)) -> bool {
        tokio::time::timeout(Duration::ZERO, future).await.is_err()
    }
}
