//! Random numbers that are the same everywhere and for ever: SplitMix64 (Steele, Lea, Flood 2014).

/// The generator.
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// From a seed; seeds next to each other give unrelated sequences.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let mut this = Self(seed ^ 0x6A09_E667_F3BC_C908);
        this.number();
        this
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// From 0 to `limit` - 1; 0 when there is nothing to choose from.
    pub fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.number() % (limit.max(1) as u64)).unwrap_or(0)
    }

    /// From `low` to `high`.
    pub fn between(&mut self, low: usize, high: usize) -> usize {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// True in so many of a hundred cases.
    pub fn percent(&mut self, chance: usize) -> bool {
        self.below(100) < chance
    }

    /// One of these.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    /// Some of these, in order, each with this chance in a hundred.
    pub fn some<'a, T>(&mut self, choices: &'a [T], chance: usize) -> Vec<&'a T> {
        choices.iter().filter(|_| self.percent(chance)).collect()
    }
}
