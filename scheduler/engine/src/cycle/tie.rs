//! Breaking ties: the same seed, pod and node always give the same choice, in `explain` too (DESIGN.md 13).

/// A bijection on 64 bits that changes about half of them with any change of its input (the finaliser of SplitMix64).
#[must_use]
pub(crate) const fn mix(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Hash of a text, the same on every machine and in every version (FNV-1a, mixed).
#[must_use]
pub(crate) fn hash_text(text: &str) -> u64 {
    let fnv = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    mix(fnv)
}

/// Breaks ties for one pod.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TieBreaker(u64);

impl TieBreaker {
    pub(crate) fn new(seed: u64, uid: &str) -> Self {
        Self(mix(seed ^ hash_text(uid)))
    }

    /// The larger rank wins. One multiplication: both sides are mixed already, and thousands of nodes may tie.
    pub(crate) const fn rank(self, name_hash: u64) -> u64 {
        (self.0 ^ name_hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spreads_and_repeats() {
        let nodes: Vec<u64> = (0..10).map(|i| hash_text(&format!("node-{i}"))).collect();
        let mut wins = [0_u32; 10];
        for i in 0..10_000 {
            let t = TieBreaker::new(7, &format!("uid-{i}"));
            let best = (0..10).max_by_key(|n| t.rank(nodes[*n])).unwrap();
            wins[best] += 1;
        }
        assert!(wins.iter().all(|w| (850..1150).contains(w)), "{wins:?}");
        assert_eq!(TieBreaker::new(7, "a").rank(1), TieBreaker::new(7, "a").rank(1));
        assert_ne!(TieBreaker::new(7, "a").rank(1), TieBreaker::new(8, "a").rank(1));
    }
}
