//! Randomness that a value can be made from again.

/// Steele, Lea and Flood's generator (SplitMix64): small, fast, and the same everywhere.
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// At least 0, below `end`; 0 if there is nothing below it.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        if end == 0 {
            return 0;
        }
        // The slight bias of a remainder doesn't matter for choices this small.
        (self.next() % end as u64) as usize
    }

    /// From `from` to `to`, both included.
    pub(crate) fn between(&mut self, from: i64, to: i64) -> i64 {
        let span = to.abs_diff(from).saturating_add(1);
        from.saturating_add((self.next() % span) as i64)
    }

    /// True in `percent` of 100.
    pub(crate) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// One of the items; they must not be empty.
    pub(crate) fn pick<'i, T: ?Sized>(&mut self, items: &[&'i T]) -> Option<&'i T> {
        items.get(self.below(items.len())).copied()
    }

    pub(crate) fn word<'i>(&mut self, words: &[&'i str]) -> &'i str {
        self.pick(words).unwrap_or("")
    }
}
