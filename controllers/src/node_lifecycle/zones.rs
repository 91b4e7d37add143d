//! Zones: their state, and the rate at which their nodes get `NoExecute` taints (`ComputeZoneState`, `handleDisruption`,
//! `rate_limited_queue.go`; reference 4.6).

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use headroom_core::{Mono, Str, object::Node};

use super::options::NodeLifecycleOptions;

/// Region and zone labels, the older names first as upstream has it.
const REGION: [&str; 2] = ["failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region"];
const ZONE: [&str; 2] = ["failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"];

/// The zone of a node: region and zone, empty when it has neither (`topology.GetZoneKey`).
pub(super) fn zone_key(node: &Node) -> String {
    let label = |keys: [&str; 2]| keys.iter().find_map(|key| node.meta.labels.get(key)).map_or("", |v| v);
    let (region, zone) = (label(REGION), label(ZONE));
    if region.is_empty() && zone.is_empty() { String::new() } else { format!("{region}:\0:{zone}") }
}

/// How a zone is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ZoneState {
    /// Not looked at yet.
    #[default]
    Initial,
    /// Most nodes are ready.
    Normal,
    /// At least three and 55 % are not.
    PartialDisruption,
    /// None is.
    FullDisruption,
}

impl ZoneState {
    /// From counts of ready and not ready nodes.
    #[must_use]
    pub fn of(ready: usize, not_ready: usize, unhealthy_threshold: f32) -> Self {
        if ready == 0 && not_ready > 0 {
            Self::FullDisruption
        } else if not_ready > 2 && not_ready as f32 / (not_ready + ready) as f32 >= unhealthy_threshold {
            Self::PartialDisruption
        } else {
            Self::Normal
        }
    }
}

/// A token bucket of one token.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    rate: f32,
    /// When the token is there; `None` = never (rate 0).
    ready_at: Option<Mono>,
}

impl Bucket {
    /// Full.
    fn new(rate: f32, now: Mono) -> Self {
        Self { rate, ready_at: (rate > 0.0).then_some(now) }
    }

    fn try_take(&mut self, now: Mono) -> bool {
        if self.ready_at.is_none_or(|at| at > now) {
            return false;
        }
        // To the millisecond: a tenth has no exact binary form.
        self.ready_at = Some(now + Duration::from_millis((1000.0 / f64::from(self.rate)).round() as u64));
        true
    }

    /// Another rate; nothing is gained by the change: an empty bucket stays empty.
    fn swap(&mut self, rate: f32, now: Mono) {
        if self.rate == rate {
            return;
        }
        let empty = self.ready_at.is_none_or(|at| at > now);
        *self = Self::new(rate, now);
        if empty {
            self.try_take(now);
        }
    }
}

/// One zone.
#[derive(Debug)]
pub(super) struct Zone {
    pub(super) state: ZoneState,
    bucket: Bucket,
    /// Nodes that wait for their taint, in order.
    queue: VecDeque<Str>,
    /// Figures of the last pass.
    pub(super) size: usize,
    pub(super) unhealthy: usize,
    /// Nodes tainted so far (metric `evictions_total`).
    pub(super) evictions: u64,
}

/// Figures of a zone, for metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneFigures {
    /// `<region>:\0:<zone>`, empty for nodes without these labels.
    pub zone: String,
    /// Nodes (`zone_size`).
    pub size: usize,
    /// Of these, not ready (`unhealthy_nodes_in_zone`; `zone_health` is the rest in percent).
    pub unhealthy: usize,
    /// Nodes tainted `NoExecute` so far (`evictions_total`).
    pub evictions: u64,
}

/// All zones.
#[derive(Debug, Default)]
pub(super) struct Zones {
    zones: BTreeMap<String, Zone>,
    /// No counted node of any zone was ready at the last pass.
    all_disrupted: bool,
}

/// What a pass over the zones found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing that concerns all nodes.
    None,
    /// No node of any zone is ready any more: it is more likely us, so nobody is evicted.
    AllDisrupted,
    /// Some are again: every node gets a new chance.
    Recovered,
}

impl Zones {
    /// Makes the zone of a node if it is new.
    pub(super) fn ensure(&mut self, key: &str, options: &NodeLifecycleOptions, now: Mono) {
        if !self.zones.contains_key(key) {
            let bucket = Bucket::new(options.eviction_rate, now);
            let zone =
                Zone { state: ZoneState::Initial, bucket, queue: VecDeque::new(), size: 0, unhealthy: 0, evictions: 0 };
            self.zones.insert(key.to_owned(), zone);
        }
    }

    /// Puts a node in the queue of its zone, and out of any other's.
    pub(super) fn enqueue(&mut self, key: &str, node: &Str) {
        for (name, zone) in &mut self.zones {
            if name == key {
                if !zone.queue.contains(node) {
                    zone.queue.push_back(node.clone());
                }
            } else {
                zone.queue.retain(|n| n != node);
            }
        }
    }

    /// Takes a node out of every queue.
    pub(super) fn dequeue(&mut self, node: &str) {
        for zone in self.zones.values_mut() {
            zone.queue.retain(|n| **n != *node);
        }
    }

    /// The next node whose zone has a token for it.
    pub(super) fn grant(&mut self, now: Mono) -> Option<(String, Str)> {
        self.zones.iter_mut().find_map(|(key, zone)| {
            if zone.queue.is_empty() || !zone.bucket.try_take(now) {
                return None;
            }
            zone.queue.pop_front().map(|node| (key.clone(), node))
        })
    }

    /// When [`Self::grant`] will next have something.
    pub(super) fn next_grant(&self) -> Option<Mono> {
        self.zones.values().filter(|z| !z.queue.is_empty()).filter_map(|z| z.bucket.ready_at).min()
    }

    /// A node got its taint.
    pub(super) fn count(&mut self, key: &str) {
        if let Some(zone) = self.zones.get_mut(key) {
            zone.evictions += 1;
        }
    }

    /// Takes in a pass: ready and not ready nodes per zone, excluded ones left out (`handleDisruption`).
    pub(super) fn pass(
        &mut self,
        counts: &BTreeMap<String, (usize, usize)>,
        options: &NodeLifecycleOptions,
        now: Mono,
    ) -> Change {
        let mut states = BTreeMap::new();
        for (key, (ready, not_ready)) in counts {
            self.ensure(key, options, now);
            states.insert(key, ZoneState::of(*ready, *not_ready, options.unhealthy_zone_threshold));
        }
        self.zones.retain(|key, zone| counts.contains_key(key) || !zone.queue.is_empty());
        let full = |state: ZoneState| state == ZoneState::FullDisruption;
        let all_are = states.values().all(|s| full(*s));
        let all_were = self.zones.iter().filter(|(k, _)| counts.contains_key(*k)).all(|(_, z)| full(z.state));
        for (key, zone) in &mut self.zones {
            let (ready, not_ready) = counts.get(key).copied().unwrap_or_default();
            (zone.size, zone.unhealthy) = (ready + not_ready, not_ready);
        }
        self.all_disrupted = all_are && !counts.is_empty();
        let mut change = Change::None;
        if all_are && all_were {
            return change;
        }
        if all_are {
            change = Change::AllDisrupted;
        } else if all_were {
            change = Change::Recovered;
        }
        for (key, zone) in &mut self.zones {
            let Some(state) = states.get(key).copied() else { continue };
            if zone.state != state || change != Change::None {
                let rate = match state {
                    _ if all_are => 0.0,
                    ZoneState::PartialDisruption if zone.size <= options.large_cluster_size_threshold as usize => 0.0,
                    ZoneState::PartialDisruption => options.secondary_eviction_rate,
                    _ => options.eviction_rate,
                };
                zone.bucket.swap(rate, now);
            }
            zone.state = state;
        }
        change
    }

    /// Whether no node anywhere is ready.
    pub(super) const fn all_disrupted(&self) -> bool {
        self.all_disrupted
    }

    /// For metrics.
    pub(super) fn figures(&self) -> Vec<ZoneFigures> {
        let of = |(key, z): (&String, &Zone)| ZoneFigures {
            zone: key.clone(),
            size: z.size,
            unhealthy: z.unhealthy,
            evictions: z.evictions,
        };
        self.zones.iter().map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use headroom_core::testing::node;

    const fn at(s: u64) -> Mono {
        Mono(s * 1_000_000)
    }

    #[test]
    fn states_by_count() {
        use ZoneState::{FullDisruption as Full, Normal, PartialDisruption as Partial};
        for (ready, not_ready, expected) in [
            (0, 0, Normal),
            (1, 0, Normal),
            (0, 1, Full),
            (1, 1, Normal),
            (1, 2, Normal),
            (1, 3, Partial),
            (2, 3, Partial),
            (3, 3, Normal),
            (9, 11, Partial),
            (10, 11, Normal),
            (45, 55, Partial),
            (0, 60, Full),
        ] {
            assert_eq!(ZoneState::of(ready, not_ready, 0.55), expected, "{ready}/{not_ready}");
        }
    }

    #[test]
    fn zone_keys() {
        assert_eq!(zone_key(&node("n").build()), "");
        let n = node("n").label("topology.kubernetes.io/zone", "z").label("topology.kubernetes.io/region", "r");
        assert_eq!(zone_key(&n.clone().build()), "r:\0:z");
        let old = n.label("failure-domain.beta.kubernetes.io/zone", "old");
        assert_eq!(zone_key(&old.build()), "r:\0:old");
    }

    fn pass(zones: &mut Zones, counts: &[(&str, usize, usize)], now: Mono) -> Change {
        let counts = counts.iter().map(|(k, r, n)| ((*k).to_owned(), (*r, *n))).collect();
        zones.pass(&counts, &NodeLifecycleOptions::default(), now)
    }

    #[test]
    fn one_node_in_ten_seconds() {
        let mut zones = Zones::default();
        pass(&mut zones, &[("a", 10, 2)], at(0));
        for n in ["x", "y", "x"] {
            zones.enqueue("a", &n.into());
        }
        assert_eq!(zones.grant(at(0)).unwrap().1, "x");
        assert_eq!(zones.grant(at(9)), None);
        assert_eq!(zones.next_grant(), Some(at(10)));
        assert_eq!(zones.grant(at(10)).unwrap().1, "y");
        assert_eq!((zones.grant(at(100)), zones.next_grant()), (None, None));
    }

    #[test]
    fn small_unhealthy_zones_stop_large_ones_slow_down() {
        for (ready, not_ready, wait) in [(2, 3, None), (20, 31, Some(100)), (45, 55, Some(100)), (9, 2, Some(0))] {
            let mut zones = Zones::default();
            pass(&mut zones, &[("a", ready + not_ready, 0)], at(0));
            zones.enqueue("a", &"x".into());
            zones.enqueue("a", &"y".into());
            pass(&mut zones, &[("a", ready, not_ready)], at(5));
            if wait == Some(100) {
                assert!(zones.grant(at(5)).is_some(), "the bucket was full");
                assert_eq!(zones.next_grant(), Some(at(105)));
            } else {
                assert_eq!(zones.grant(at(1000)).is_some(), wait.is_some(), "{ready}/{not_ready}");
            }
        }
    }

    #[test]
    fn all_zones_down_stops_everything_and_recovery_starts_with_an_empty_bucket() {
        let mut zones = Zones::default();
        assert_eq!(pass(&mut zones, &[("a", 1, 0), ("b", 1, 0)], at(0)), Change::None);
        assert_eq!(pass(&mut zones, &[("a", 0, 1), ("b", 1, 0)], at(5)), Change::None);
        zones.enqueue("a", &"x".into());
        assert_eq!(pass(&mut zones, &[("a", 0, 1), ("b", 0, 1)], at(6)), Change::AllDisrupted);
        assert!(zones.all_disrupted());
        assert_eq!(pass(&mut zones, &[("a", 0, 1), ("b", 0, 1)], at(9)), Change::None);
        assert_eq!((zones.grant(at(9)), zones.next_grant()), (None, None));
        assert_eq!(pass(&mut zones, &[("a", 0, 1), ("b", 1, 0)], at(20)), Change::Recovered);
        assert_eq!(zones.next_grant(), Some(at(30)));
        // A single node that is down is the whole cluster.
        let mut one = Zones::default();
        assert_eq!(pass(&mut one, &[("", 0, 1)], at(0)), Change::AllDisrupted);
    }
}
