//! Mutations of a corpus, always the same ones: what a test can do in seconds. libFuzzer does it better, for long.

use std::hash::{DefaultHasher, Hash, Hasher};

/// Inputs do not grow beyond this.
const LONGEST: usize = 4096;

/// Pieces that parsers trip over.
const PIECES: [&[u8]; 20] = [
    b"null",
    b"{}",
    b"[]",
    b"\"\"",
    b"-1",
    b"9223372036854775807",
    b"1e999",
    b"-9223372036854775808",
    b"0.5",
    b"true",
    b"\xff",
    b"\0",
    b"\\u0000",
    b"\xc3\xa9",
    b"{\"a\":",
    b"[[[[[[[[",
    b"9223372036854775807Ei",
    b"1n",
    b": ",
    b"\n",
];

/// Random numbers that are the same everywhere (SplitMix64).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// From a text.
    #[must_use]
    pub fn new(seed: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        seed.hash(&mut hasher);
        Self(hasher.finish())
    }

    fn number(&mut self) -> u64 {
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
}

/// A changed input: bytes flipped, removed, doubled, taken from another input or from a list of pieces.
#[must_use]
pub fn mutate(random: &mut Random, all: &[Vec<u8>]) -> Vec<u8> {
    let mut data = all.get(random.below(all.len())).cloned().unwrap_or_default();
    for _ in 0..=random.below(6) {
        let at = random.below(data.len() + 1);
        let end = (at + 1 + random.below(16)).min(data.len());
        match random.below(6) {
            0 if at < data.len() => data[at] ^= 1 << random.below(8),
            1 if at < data.len() => data[at] = random.below(256) as u8,
            2 if at < end => drop(data.drain(at..end)),
            3 if at < end => {
                let again = data[at..end].to_vec();
                data.splice(at..at, again);
            }
            4 => {
                let other = &all[random.below(all.len())];
                let from = random.below(other.len() + 1);
                let to = (from + random.below(64)).min(other.len());
                data.splice(at..at, other[from..to].iter().copied());
            }
            _ => drop(data.splice(at..at, PIECES[random.below(PIECES.len())].iter().copied())),
        }
    }
    data.truncate(LONGEST);
    data
}
