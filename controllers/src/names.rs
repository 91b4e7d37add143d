//! Names that are chosen here instead of by the API server.
//!
//! Objects made from a `generateName` get a name before they are sent, so that a request whose answer was lost can be
//! repeated without making a second object (DESIGN.md 13). Alphabet and lengths are upstream's
//! (`apiserver/pkg/storage/names`, `apimachinery/pkg/util/rand`), so the objects look the same.

/// Upstream's alphabet: no vowels and nothing that is mistaken for something else.
const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// Random characters at the end of a name.
const SUFFIX: usize = 5;

/// Longest base; what is longer is cut (63 characters less the suffix).
const LONGEST_BASE: usize = 58;

/// Longest name the API takes (a DNS subdomain).
const LONGEST_NAME: usize = 253;

/// A repeatable source of names.
#[derive(Debug, Clone)]
pub struct Names(u64);

impl Names {
    /// Equal seeds give equal names. A process seeds it from the system's randomness, a test with a constant.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A name under this prefix (as returned by [`generate_name`]).
    pub fn next(&mut self, prefix: &str) -> String {
        let end = prefix.char_indices().nth(LONGEST_BASE).map_or(prefix.len(), |(at, _)| at);
        let mut name = prefix[..end].to_owned();
        let mut bits = self.advance();
        for _ in 0..SUFFIX {
            name.push(char::from(ALPHABET[(bits % 27) as usize]));
            bits /= 27;
        }
        name
    }

    /// `SplitMix64`.
    const fn advance(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// The `generateName` that goes with an owner's name: `<owner>-`, or the name alone where the dash makes it too long.
#[must_use]
pub fn generate_name(owner: &str) -> String {
    if owner.len() < LONGEST_NAME { format!("{owner}-") } else { owner.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upstream_alphabet_and_length() {
        let mut names = Names::new(1);
        for owner in ["web", &"x".repeat(57), &"x".repeat(58), &"y".repeat(253)] {
            let name = names.next(&generate_name(owner));
            assert_eq!(name.len(), (owner.len() + 1).min(58) + 5);
            assert!(name.bytes().rev().take(5).all(|b| ALPHABET.contains(&b)), "{name}");
        }
        assert!(names.next("web-").starts_with("web-"));
        let hostile = names.next(&"é".repeat(100));
        assert_eq!(hostile.chars().count(), 63, "cut between characters");
    }

    #[test]
    fn repeatable_and_spread() {
        let (mut a, mut b) = (Names::new(7), Names::new(7));
        let first: Vec<_> = (0..1000).map(|_| a.next("p-")).collect();
        assert!(first.iter().all(|n| *n == b.next("p-")));
        let distinct: std::collections::HashSet<_> = first.iter().collect();
        assert!(distinct.len() > 995, "{}", distinct.len());
    }
}
