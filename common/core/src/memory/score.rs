//! 0 to 100 for a node that passed (memory-and-swap.md 5.6; 5.12 (19), (20), (22)).

use std::cmp::Ordering;

use super::{
    MIB,
    filter::{Candidate, Fits, NodeVerdict},
    headroom::{NodeState, Staleness},
    params::Params,
    within,
};

/// How the base of a score is made.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Base {
    /// The pod fits in RAM: 20 and 40 times `X/C`; 40 times `X/Xmax` is added at the end.
    Ram(f64),
    /// It leans on swap: 0 to 20.
    Swap(f64),
    /// It does not fit (an exempt pod, or advice only).
    None,
}

/// A node's score before the feasible nodes are compared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RawScore {
    /// `X`, in bytes.
    pub x: f64,
    base: Base,
    multiplier: f64,
    penalty: f64,
}

/// The raw score of a node that the pod may go to. Constant time; allocates nothing.
#[must_use]
#[inline]
pub fn raw(pod: &Candidate, node: &NodeState, verdict: &NodeVerdict, params: &Params) -> RawScore {
    let (headroom, accessible) = (verdict.headroom as f64, verdict.accessible_swap as f64);
    let demand = pod.demand.total as f64;
    let x = headroom - demand + params.delta_s * accessible.min(demand);
    let base = match verdict.fits {
        Some(Fits::Ram) => Base::Ram(20.0 + 40.0 * share(x, node.capacity as f64)),
        Some(Fits::Swap) => {
            let lean = node.lean_fraction * accessible;
            Base::Swap(if lean > 0.0 { 20.0 * within(1.0 - (demand - headroom) / lean, 0.0, 1.0) } else { 0.0 })
        }
        None => Base::None,
    };
    let multiplier = match node.sample {
        Staleness::Fresh => 1.0,
        Staleness::Aging => 0.8,
        Staleness::Stale | Staleness::None => 0.5,
    };
    let penalty = node.some60.map_or(0.0, |some60| {
        let active = within(params.pressure_penalty_slope * (some60 - 1.0), 0.0, params.pressure_penalty_cap);
        let debt = params.swap_debt_penalty * node.swap_fraction().unwrap_or(0.0) * within(some60 / 5.0, 0.0, 1.0);
        active + debt
    });
    RawScore { x, base, multiplier, penalty }
}

#[inline]
fn share(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { within(part / whole, 0.0, 1.0) } else { 0.0 }
}

/// `Xmax`: the largest `X` over the nodes that passed every filter, in bytes; at least 1 MiB.
pub fn x_max(feasible: impl IntoIterator<Item = f64>) -> f64 {
    feasible.into_iter().fold(MIB as f64, f64::max)
}

impl RawScore {
    /// The score among nodes with this [`x_max`]. Never higher where `x_max` is larger: rounding keeps the order of values.
    #[must_use]
    #[inline]
    pub fn finish(&self, x_max: f64) -> i64 {
        let base = match self.base {
            Base::Ram(own) => own + 40.0 * share(self.x, x_max),
            Base::Swap(own) => own,
            Base::None => return 0,
        };
        // Half up, not half to even: `floor(x + 0.5)`. What is not negative is rounded down by cutting off.
        within(self.multiplier * base - self.penalty + 0.5, 0.0, 100.0) as i64
    }
}

/// Between equal totals the greater key wins: fewer pods in flight, then more headroom in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct TieKey {
    /// Pods in flight on the node.
    pub in_flight: i64,
    /// `H`.
    pub headroom: i64,
}

impl TieKey {
    /// Of a node and the verdict on it.
    #[must_use]
    pub const fn new(node: &NodeState, verdict: &NodeVerdict) -> Self {
        Self { in_flight: node.in_flight, headroom: verdict.headroom }
    }
}

impl Ord for TieKey {
    fn cmp(&self, other: &Self) -> Ordering {
        other.in_flight.cmp(&self.in_flight).then(self.headroom.cmp(&other.headroom))
    }
}

impl PartialOrd for TieKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties() {
        let key = |in_flight, headroom| TieKey { in_flight, headroom };
        assert!(key(0, 5) > key(1, 500));
        assert!(key(1, 6) > key(1, 5));
    }

    #[test]
    fn x_max_is_at_least_a_mebibyte() {
        assert_eq!(x_max([]), 1_048_576.0);
        assert_eq!(x_max([-5.0, f64::NAN, 3e6]), 3e6);
    }

    #[test]
    fn half_rounds_up() {
        let at = |own| RawScore { x: 0.0, base: Base::Swap(own), multiplier: 1.0, penalty: 0.0 }.finish(1.0);
        assert_eq!((at(0.5), at(1.5), at(2.49)), (1, 2, 2));
        for step in -300..11_000 {
            let own = f64::from(step) / 100.0;
            assert_eq!(at(own), (own + 0.5).floor().clamp(0.0, 100.0) as i64, "{own}");
        }
        assert_eq!((at(f64::NAN), at(-0.0), at(1e300), at(-1e300)), (0, 0, 100, 0));
    }

    #[test]
    fn more_on_the_best_node_never_raises_a_score() {
        let mut seed = 1_u64;
        let mut random = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 11) as f64 / (1_u64 << 53) as f64
        };
        for _ in 0..20_000 {
            let raw = RawScore {
                x: (random() - 0.1) * 4e9,
                base: Base::Ram(20.0 + 40.0 * random()),
                multiplier: [1.0, 0.8, 0.5][(random() * 3.0) as usize],
                penalty: 70.0 * random() * random(),
            };
            let (one, two) = (1e6 + 4e9 * random(), 1e6 + 4e9 * random());
            assert!(raw.finish(one.min(two)) >= raw.finish(one.max(two)), "{raw:?} {one} {two}");
        }
    }
}
