//! What is kept of each pod that counts on a node. There is one for every pod of the cluster, so it has only what the
//! rest is worked out from: node and sample are those of the [`NodeMemoryInfo`](super::NodeMemoryInfo), which is made
//! anew when they change.

use headroom_core::{
    Str, Timestamp,
    memory::{PodUsage, TrackedPod, node::Phase},
    object::NodeHeadroom,
};

/// Room that is made at once when a node has none left: most take few pods between two samples.
const FEW: usize = 4;

/// A pod in its node's sums.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Counted {
    pub(super) uid: Str,
    /// As in [`TrackedPod`].
    pub(super) reserved: i64,
    /// As in [`TrackedPod`].
    pub(super) demand: i64,
    /// As in [`TrackedPod`].
    pub(super) swap_limit: i64,
    /// When the learned peak in its demand ages by its next step; [`Counted::NEVER`] when it has none.
    pub(super) until: Timestamp,
    /// Where its use is in the sample; [`Counted::UNSAMPLED`] when it is not.
    pub(super) sampled: u32,
    /// Its containers, when they teach what an unknown one takes.
    pub(super) teaches: u16,
    /// As in [`TrackedPod`].
    pub(super) phase: Phase,
    /// As in [`TrackedPod`].
    pub(super) terminating: bool,
}

impl Counted {
    /// Later than any time.
    pub(super) const NEVER: Timestamp = Timestamp(i64::MAX);
    /// Beyond every sample.
    pub(super) const UNSAMPLED: u32 = u32::MAX;

    /// When its demand changes by itself.
    pub(super) fn ages(&self) -> Option<Timestamp> {
        (self.until != Self::NEVER).then_some(self.until)
    }

    fn usage(&self, headroom: Option<&NodeHeadroom>) -> Option<PodUsage> {
        headroom?.pods.get(self.sampled as usize).map(|(_, usage)| *usage)
    }

    /// All of it, as the rules have it. `headroom` is the one with which it was counted.
    pub(super) fn tracked(&self, headroom: Option<&NodeHeadroom>) -> TrackedPod {
        TrackedPod {
            reserved: self.reserved,
            demand: self.demand,
            swap_limit: self.swap_limit,
            usage: self.usage(headroom),
            phase: self.phase,
            terminating: self.terminating,
        }
    }

    /// Footprint and number of containers, when it teaches what an unknown container takes.
    pub(super) fn footprint(&self, headroom: Option<&NodeHeadroom>) -> Option<(i64, u32)> {
        let usage = self.usage(headroom).filter(|_| self.teaches > 0)?;
        let bytes = usage.working_set.max(0).saturating_add(usage.swap.unwrap_or(0).max(0));
        Some((bytes, self.teaches.into()))
    }
}

/// The pods of a node, sorted by UID.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct CountedPods(Vec<Counted>);

impl CountedPods {
    /// None, with room for so many.
    pub(super) fn with_room(pods: usize) -> Self {
        Self(Vec::with_capacity(pods))
    }

    fn find(&self, uid: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|counted| counted.uid.as_str().cmp(uid))
    }

    pub(super) fn get(&self, uid: &str) -> Option<&Counted> {
        self.0.get(self.find(uid).ok()?)
    }

    /// Puts it in, in place of what was known of the pod.
    pub(super) fn put(&mut self, counted: Counted) {
        match self.find(&counted.uid) {
            Ok(at) => {
                if let Some(known) = self.0.get_mut(at) {
                    *known = counted;
                }
            }
            Err(at) => {
                if self.0.len() == self.0.capacity() {
                    self.0.reserve_exact(FEW);
                }
                self.0.insert(at, counted);
            }
        }
    }

    pub(super) fn take(&mut self, uid: &str) -> Option<Counted> {
        let at = self.find(uid).ok()?;
        Some(self.0.remove(at))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Counted> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(uid: &str, demand: i64) -> Counted {
        Counted {
            uid: uid.into(),
            reserved: 0,
            demand,
            swap_limit: 0,
            until: Counted::NEVER,
            sampled: Counted::UNSAMPLED,
            teaches: 0,
            phase: Phase::default(),
            terminating: false,
        }
    }

    #[test]
    fn it_is_small() {
        assert!(size_of::<Counted>() <= 56, "{} bytes for every pod", size_of::<Counted>());
    }

    #[test]
    fn pods_are_found_by_uid() {
        let mut pods = CountedPods::with_room(1);
        for uid in ["m", "a", "z", "k"] {
            pods.put(counted(uid, 1));
        }
        pods.put(counted("k", 2));
        assert_eq!(pods.iter().map(|c| c.uid.as_str()).collect::<Vec<_>>(), ["a", "k", "m", "z"]);
        assert_eq!(pods.get("k").map(|c| c.demand), Some(2));
        assert!(pods.take("m").is_some() && pods.take("m").is_none() && pods.get("m").is_none());
    }

    #[test]
    fn the_use_is_that_of_the_sample() {
        let usage = |mib: i64| PodUsage { working_set: mib << 20, swap: Some(1 << 20), swap_available: None };
        let headroom = NodeHeadroom {
            pods: [("a", 1), ("b", 2)].map(|(uid, mib)| (uid.into(), usage(mib))).into(),
            ..NodeHeadroom::default()
        };
        let of = |sampled, teaches| Counted { sampled, teaches, ..counted("b", 0) };
        let place = headroom.place("b").unwrap() as u32;
        assert_eq!(of(place, 0).tracked(Some(&headroom)).usage, Some(usage(2)));
        assert_eq!(of(place, 0).footprint(Some(&headroom)), None);
        assert_eq!(of(place, 3).footprint(Some(&headroom)), Some((3 << 20, 3)));
        assert_eq!(of(Counted::UNSAMPLED, 3).footprint(Some(&headroom)), None);
        assert_eq!(of(place, 3).tracked(None).usage, None);
    }
}
