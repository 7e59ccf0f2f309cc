//! Randomness from the caller's seed.

/// Numbers that spread timers, so that a thousand PEPs do not send in step. From the same seed come the same numbers, which
/// is what a simulation wants; they keep no secret.
///
/// This is SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number from `low` to `high`, both included, each about as likely.
    pub(super) fn between(&mut self, low: u64, high: u64) -> u64 {
        let span = u128::from(high.saturating_sub(low)) + 1;
        let scaled = (u128::from(self.next()) * span) >> u64::BITS;
        // Below `span`, which is at most 2^64.
        low.saturating_add(u64::try_from(scaled).unwrap_or(u64::MAX))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::Random;

    #[test]
    fn stays_between_and_reaches_both_ends() {
        let mut random = Random::new(7);
        let drawn: Vec<u64> = (0..1_000).map(|_| random.between(10, 13)).collect();
        for value in 10..=13 {
            assert!(drawn.contains(&value), "{value} never drawn");
        }
        assert!(drawn.iter().all(|value| (10..=13).contains(value)));
        assert_eq!(random.between(5, 5), 5);
        assert_ne!(random.between(0, u64::MAX), random.between(0, u64::MAX));
    }
}
