//! `D`: what a container of which nothing is known is taken to need, the median of what such containers use
//! (memory-and-swap.md 5.2, 5.12 (8)).

use super::{MIB, params::Params};

/// `D` moves in steps of this size.
const STEP: i64 = 8 * MIB;
/// While fewer containers were seen, `defaultDemandBytes` counts.
const ENOUGH: u64 = 10;
/// Most buckets kept, whatever the parameters say.
const MOST_BUCKETS: i64 = 65_536;

/// How much memory the containers of BestEffort pods use, counted in whole MiB between the ends that `D` can have.
///
/// Adding and removing are exact inverses, so keeping it up to date gives what counting anew would give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Footprints {
    buckets: Vec<u64>,
    lowest: i64,
    seen: u64,
    default: i64,
    min: i64,
    max: i64,
}

impl Footprints {
    /// None seen.
    #[must_use]
    pub fn new(params: &Params) -> Self {
        let lowest = params.default_demand_min_bytes.max(0) / MIB;
        // Half a step beyond the upper end, so that rounding down from it is still seen.
        let highest = (params.default_demand_max_bytes.max(0) / MIB).saturating_add(1);
        let count = (highest.saturating_sub(lowest)).clamp(0, MOST_BUCKETS - 1) + 1;
        Self {
            buckets: vec![0; count as usize],
            lowest,
            seen: 0,
            default: params.default_demand_bytes,
            min: params.default_demand_min_bytes,
            max: params.default_demand_max_bytes,
        }
    }

    /// The bucket of a pod's containers, which are taken to be of equal size.
    fn bucket(&mut self, footprint: i64, containers: u32) -> Option<&mut u64> {
        let each = footprint.max(0) / i64::from(containers.max(1));
        let mib = each / MIB + i64::from(each % MIB >= MIB / 2);
        let last = self.buckets.len().saturating_sub(1);
        let index = usize::try_from(mib.saturating_sub(self.lowest).max(0)).unwrap_or(last).min(last);
        self.buckets.get_mut(index)
    }

    /// Counts a BestEffort pod of a sample: working set and swap together, in bytes, and its number of containers.
    pub fn add(&mut self, footprint: i64, containers: u32) {
        if let Some(count) = self.bucket(footprint, containers) {
            *count = count.saturating_add(u64::from(containers));
            self.seen = self.seen.saturating_add(u64::from(containers));
        }
    }

    /// Takes back an [`Self::add`] with the same arguments.
    pub fn remove(&mut self, footprint: i64, containers: u32) {
        if let Some(count) = self.bucket(footprint, containers) {
            *count = count.saturating_sub(u64::from(containers));
            self.seen = self.seen.saturating_sub(u64::from(containers));
        }
    }

    /// The container at this place in ascending order, in bytes.
    fn ranked(&self, rank: u64) -> i64 {
        let mut below = 0_u64;
        for (index, count) in self.buckets.iter().enumerate() {
            below = below.saturating_add(*count);
            if below > rank {
                return self.lowest.saturating_add(index as i64).saturating_mul(MIB);
            }
        }
        0
    }

    /// `D` in bytes. `before` is the value in force, if any: it stays until the median is a whole step away from it
    /// (half a step of rounding and half a step of hysteresis), so that `D` does not flicker.
    #[must_use]
    pub fn default_demand(&self, before: Option<i64>) -> i64 {
        if self.seen < ENOUGH {
            return self.default;
        }
        let (low, high) = (self.ranked((self.seen - 1) / 2), self.ranked(self.seen / 2));
        let median = low.saturating_add(high.saturating_sub(low) / 2);
        let bounded = |bytes: i64| bytes.max(self.min).min(self.max);
        match before {
            Some(before)
                if bounded(median).saturating_sub(before).saturating_abs() < STEP && bounded(before) == before =>
            {
                before
            }
            _ => bounded(median.saturating_add(STEP / 2) / STEP * STEP),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(mib: &[i64]) -> Footprints {
        let mut footprints = Footprints::new(&Params::default());
        for &each in mib {
            footprints.add(each * MIB, 1);
        }
        footprints
    }

    #[test]
    fn the_default_until_ten_were_seen() {
        assert_eq!(with(&[200; 9]).default_demand(None), 128 * MIB);
        assert_eq!(with(&[200; 10]).default_demand(None), 200 * MIB);
        let mut shared = with(&[]);
        shared.add(1000 * MIB, 5);
        shared.add(1000 * MIB, 5);
        assert_eq!(shared.default_demand(None), 200 * MIB);
    }

    #[test]
    fn bounded_and_rounded() {
        assert_eq!(with(&[5; 20]).default_demand(None), 64 * MIB);
        assert_eq!(with(&[900; 20]).default_demand(None), 256 * MIB);
        assert_eq!(with(&[99; 20]).default_demand(None), 96 * MIB);
        assert_eq!(with(&[100; 20]).default_demand(None), 104 * MIB);
        assert_eq!(with(&[70, 70, 70, 70, 70, 90, 90, 90, 90, 90]).default_demand(None), 80 * MIB);
    }

    #[test]
    fn hysteresis() {
        assert_eq!(with(&[103; 20]).default_demand(Some(96 * MIB)), 96 * MIB);
        assert_eq!(with(&[104; 20]).default_demand(Some(96 * MIB)), 104 * MIB);
        assert_eq!(with(&[89; 20]).default_demand(Some(96 * MIB)), 96 * MIB);
        // A value that the bounds no longer allow does not stay.
        assert_eq!(with(&[250; 20]).default_demand(Some(257 * MIB)), 248 * MIB);
    }

    #[test]
    fn removing_undoes_adding() {
        let mut kept = with(&[70, 80, 90]);
        kept.add(i64::MAX, 3);
        kept.add(-1, 2);
        kept.add(0, 0);
        kept.remove(0, 0);
        kept.remove(-1, 2);
        kept.remove(i64::MAX, 3);
        assert_eq!(kept, with(&[70, 80, 90]));
    }
}
