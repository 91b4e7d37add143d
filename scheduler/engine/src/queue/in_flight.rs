//! Events that came while a pod was between Pop and Done (reference 2.4): they are replayed when it comes back.

use std::collections::VecDeque;

use hashbrown::HashMap;
use headroom_core::Str;

use crate::framework::{Change, ClusterEvent};

/// Most events kept. A pod that lost some of its own is treated as if one of them had been for it.
pub const MAX_IN_FLIGHT_EVENTS: usize = 4096;

#[derive(Debug, Default)]
pub(super) struct InFlight {
    /// By UID, the number of the first event after it was popped.
    pods: HashMap<Str, u64>,
    events: VecDeque<(ClusterEvent, Change)>,
    /// Number of the first event kept.
    first: u64,
    /// How many of each kind are kept; kinds stay, as upstream's gauge does.
    counts: HashMap<ClusterEvent, usize>,
}

/// The events of a pod.
pub(super) enum Missed {
    /// All of them.
    All(Vec<(ClusterEvent, Change)>),
    /// Some were dropped.
    Lost,
}

impl InFlight {
    pub(super) fn events(&self) -> usize {
        self.events.len()
    }

    /// Whether events are kept for this pod.
    pub(super) fn has(&self, uid: &str) -> bool {
        self.pods.contains_key(uid)
    }

    /// How many pods are in flight.
    pub(super) fn pods(&self) -> usize {
        self.pods.len()
    }

    /// How many events of each kind are kept.
    pub(super) fn counts(&self) -> impl Iterator<Item = (ClusterEvent, usize)> {
        self.counts.iter().map(|(event, count)| (*event, *count))
    }

    fn drop_first(&mut self) -> bool {
        let Some((event, _)) = self.events.pop_front() else { return false };
        self.first += 1;
        if let Some(count) = self.counts.get_mut(&event) {
            *count = count.saturating_sub(1);
        }
        true
    }

    pub(super) fn popped(&mut self, uid: &Str) {
        self.pods.insert(uid.clone(), self.first + self.events.len() as u64);
    }

    /// Records an event if anybody is in flight.
    pub(super) fn record(&mut self, event: ClusterEvent, change: &Change) {
        if self.pods.is_empty() {
            return;
        }
        if self.events.len() >= MAX_IN_FLIGHT_EVENTS {
            self.drop_first();
        }
        *self.counts.entry(event).or_default() += 1;
        self.events.push_back((event, change.clone()));
    }

    pub(super) fn missed(&self, uid: &str) -> Missed {
        let Some(start) = self.pods.get(uid) else { return Missed::All(Vec::new()) };
        match start.checked_sub(self.first) {
            Some(skip) => Missed::All(self.events.iter().skip(skip as usize).cloned().collect()),
            None => Missed::Lost,
        }
    }

    /// The pod is no longer in flight: events that only it needed are dropped.
    pub(super) fn done(&mut self, uid: &str) {
        if self.pods.remove(uid).is_none() || self.events.is_empty() {
            return;
        }
        let needed = self.pods.values().copied().min().unwrap_or(u64::MAX);
        while self.first < needed && self.drop_first() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(f: &InFlight, uid: &str) -> Option<usize> {
        match f.missed(uid) {
            Missed::All(events) => Some(events.len()),
            Missed::Lost => None,
        }
    }

    #[test]
    fn each_pod_sees_what_came_after_it() {
        let mut f = InFlight::default();
        f.record(ClusterEvent::WILDCARD, &Change::None);
        assert_eq!(f.events(), 0, "nobody is in flight");
        f.popped(&"a".into());
        f.record(ClusterEvent::WILDCARD, &Change::None);
        f.popped(&"b".into());
        f.record(ClusterEvent::WILDCARD, &Change::None);
        assert_eq!((count(&f, "a"), count(&f, "b")), (Some(2), Some(1)));
        assert!(f.has("a") && !f.has("c"));
        f.done("a");
        assert_eq!((f.events(), count(&f, "b")), (1, Some(1)));
        assert_eq!((f.pods(), f.counts().collect::<Vec<_>>()), (1, vec![(ClusterEvent::WILDCARD, 1)]));
        f.done("b");
        assert_eq!(f.counts().collect::<Vec<_>>(), [(ClusterEvent::WILDCARD, 0)]);
        assert_eq!((f.events(), f.pods.len()), (0, 0));
    }

    #[test]
    fn bounded() {
        let mut f = InFlight::default();
        f.popped(&"a".into());
        for _ in 0..=MAX_IN_FLIGHT_EVENTS {
            f.record(ClusterEvent::WILDCARD, &Change::None);
        }
        assert_eq!((f.events(), count(&f, "a")), (MAX_IN_FLIGHT_EVENTS, None));
    }
}
