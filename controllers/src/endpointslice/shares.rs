//! How many endpoints each zone should be hinted to, by its share of the nodes' CPU (reference 3.9,
//! `endpointslice/topologycache`).

use std::{collections::BTreeMap, fmt};

use headroom_core::{
    Str,
    object::{Node, Status},
};

use super::desired::ZONE;

/// How much more than its part of the traffic an endpoint may get.
const OVERLOAD: f64 = 0.2;
/// Nodes with one of these labels do not count, whatever its value.
const EXCLUDED: [&str; 2] = ["node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master"];

/// Each zone's share of the nodes' CPU.
pub(super) type Shares = BTreeMap<Str, f64>;
/// Endpoints by zone.
pub(super) type Counts = BTreeMap<Str, usize>;
/// What each zone should get.
pub(super) type Allocations = BTreeMap<Str, Allocation>;

/// How many endpoints a zone should get.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Allocation {
    /// With fewer its endpoints are overloaded.
    pub(super) minimum: usize,
    /// With more there are too few for the others.
    pub(super) maximum: usize,
    /// What is aimed at.
    pub(super) desired: f64,
}

/// Why there are no hints. Upstream has one more reason, that none were allocated, which cannot be: endpoints are counted
/// first, and with none of them there are too few.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// A node does not say its zone or its CPU; or all of them are in one zone, of which upstream says the same.
    NodesUnknown,
    /// No node was ever seen.
    OneZone,
    /// Fewer endpoints than zones.
    FewEndpoints { endpoints: usize, zones: usize },
    /// The endpoints do not suffice for the minimum of every zone.
    Overload { endpoints: usize, zones: usize },
    /// A ready endpoint is in no zone.
    NoZone,
}

impl fmt::Display for Refusal {
    /// Upstream's texts.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NodesUnknown => {
                f.write_str("Insufficient Node information: allocatable CPU or zone not specified on one or more nodes")
            }
            Self::OneZone => f.write_str("Nodes only ready in one zone"),
            Self::FewEndpoints { endpoints, zones } => {
                write!(f, "Insufficient number of endpoints ({endpoints} endpoints, {zones} zones)")
            }
            Self::Overload { endpoints, zones } => write!(
                f,
                "Unable to allocate minimum required endpoints to each zone without exceeding overload threshold \
                 ({endpoints} endpoints, {zones} zones)"
            ),
            Self::NoZone => f.write_str("One or more endpoints do not have a zone specified"),
        }
    }
}

/// The zone that the node says it is in.
pub(super) fn zone_of(node: &Node) -> Option<&Str> {
    node.meta.labels.get(ZONE).filter(|zone| !zone.is_empty())
}

/// Whether the node is ready.
pub(super) fn is_ready(node: &Node) -> bool {
    node.condition("Ready").is_some_and(|c| c.status == Status::True)
}

/// The shares of the zones in which nodes are ready (`SetNodes`). None when there are fewer than two such zones, or a node
/// that counts lacks its zone or its CPU.
pub(super) fn shares<'a>(nodes: impl Iterator<Item = &'a Node>) -> Option<Shares> {
    let (mut by_zone, mut total) = (BTreeMap::<Str, i64>::new(), 0_i64);
    for node in nodes.filter(|node| is_ready(node) && !EXCLUDED.iter().any(|label| node.meta.labels.has(label))) {
        let zone = zone_of(node)?;
        let cpu = node.allocatable.milli_cpu;
        if cpu == 0 {
            return None;
        }
        let sum = by_zone.entry(zone.clone()).or_insert(0);
        *sum = sum.saturating_add(cpu);
        total = total.saturating_add(cpu);
    }
    if by_zone.len() < 2 {
        return None;
    }
    Some(by_zone.into_iter().map(|(zone, cpu)| (zone, cpu as f64 / total as f64)).collect())
}

/// The fewest endpoints that carry this part without being overloaded.
fn fewest(part: f64) -> usize {
    (part * (1.0 / (1.0 + OVERLOAD))).ceil() as usize
}

/// What each zone should get of so many endpoints (`getAllocations`).
pub(super) fn allocations(shares: Option<&Shares>, endpoints: usize) -> Result<Allocations, Refusal> {
    let shares = shares.ok_or(Refusal::NodesUnknown)?;
    let zones = shares.len();
    if zones < 2 {
        return Err(Refusal::OneZone);
    }
    if zones > endpoints {
        return Err(Refusal::FewEndpoints { endpoints, zones });
    }
    let allocation = |share: f64| {
        let part = share * endpoints as f64;
        let minimum = fewest(part);
        Allocation { minimum, maximum: minimum, desired: part.max(minimum as f64) }
    };
    let mut allocations: Allocations = shares.iter().map(|(zone, share)| (zone.clone(), allocation(*share))).collect();
    let together: usize = allocations.values().map(|a| a.minimum).sum();
    let spare = endpoints.checked_sub(together).ok_or(Refusal::Overload { endpoints, zones })?;
    for allocation in allocations.values_mut() {
        allocation.maximum += spare;
    }
    Ok(allocations)
}

/// Whether a service whose endpoints are hinted like this has to be looked at, with these shares (`serviceOverloaded`).
pub(super) fn is_overloaded(counts: &Counts, shares: Option<&Shares>) -> bool {
    if counts.is_empty() {
        return false;
    }
    let Some(shares) = shares.filter(|shares| !shares.is_empty()) else { return true };
    let total: usize = counts.values().sum();
    let needs = |share: f64| fewest(total as f64 * share);
    shares.iter().any(|(zone, share)| counts.get(zone).is_none_or(|count| *count < needs(*share)))
}

/// How many endpoints each zone gives away, and how many each receives (`getGivingAndReceivingZones`): from the zone that has
/// most too many to the one that lacks most. An endpoint stays where it is unless moving it gains more than it costs. Of
/// zones that are equal the first by name comes first; upstream draws lots.
pub(super) fn moves(allocations: &Allocations, counts: &Counts) -> (Counts, Counts) {
    let (mut over, mut under) = (BTreeMap::new(), BTreeMap::new());
    for (zone, allocation) in allocations {
        let count = counts.get(zone).copied().unwrap_or_default() as f64;
        if count > allocation.desired {
            over.insert(zone, count - allocation.desired);
        } else if count < allocation.desired {
            under.insert(zone, allocation.desired - count);
        }
    }
    let (mut giving, mut receiving) = (Counts::new(), Counts::new());
    while let (Some((giver, give)), Some((receiver, receive))) = (most(&mut over), most(&mut under)) {
        if (*give < 1.0 && *receive < 1.0) || *give < 0.5 || *receive < 0.5 {
            break;
        }
        *give -= 1.0;
        *receive -= 1.0;
        *giving.entry(giver.clone()).or_default() += 1;
        *receiving.entry(receiver.clone()).or_default() += 1;
    }
    (giving, receiving)
}

/// The zone with the largest number, the first of equals.
fn most<'m, 'z>(zones: &'m mut BTreeMap<&'z Str, f64>) -> Option<(&'z Str, &'m mut f64)> {
    let largest = zones.iter_mut().reduce(|best, next| if *next.1 > *best.1 { next } else { best });
    largest.map(|(zone, number)| (*zone, number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use headroom_core::testing::{NodeBuilder, node};

    fn zones(all: &[(&str, f64)]) -> Shares {
        all.iter().map(|(zone, share)| ((*zone).into(), *share)).collect()
    }

    fn counts(all: &[(&str, usize)]) -> Counts {
        all.iter().map(|(zone, count)| ((*zone).into(), *count)).collect()
    }

    fn desired(all: &[(&str, f64)]) -> Allocations {
        let allocation = |desired: f64| Allocation { minimum: 0, maximum: 0, desired };
        all.iter().map(|(zone, number)| ((*zone).into(), allocation(*number))).collect()
    }

    /// Translated from `TestSetNodes`.
    #[test]
    fn shares_follow_the_cpu_of_ready_workers() {
        let machine = |zone: &str, cpu: &str| node("n").capacity(cpu, "1Gi", 110).label(ZONE, zone);
        let down = |n: NodeBuilder| n.condition("Ready", Status::False, 0);
        let label = |n: NodeBuilder, label: &str| n.label(label, "");
        let (a, b) = (|| machine("a", "1"), || machine("b", "1"));
        let half = Some(zones(&[("a", 0.5), ("b", 0.5)]));
        let cases: [(&str, Vec<NodeBuilder>, Option<Shares>); 13] = [
            ("none", vec![], None),
            ("one node", vec![a()], None),
            ("one zone", vec![a(), a()], None),
            ("two zones", vec![a(), b()], half.clone()),
            ("the other zone is not ready", vec![a(), down(b())], None),
            ("the other zone is a control plane", vec![a(), label(b(), EXCLUDED[0])], None),
            ("the other zone is a master", vec![a(), label(b(), EXCLUDED[1])], None),
            ("one of a zone is not ready", vec![a(), b(), down(b())], half.clone()),
            ("one of a zone is a control plane", vec![a(), b(), label(b(), EXCLUDED[0])], half.clone()),
            ("no zone", vec![a(), b(), node("n")], None),
            ("no CPU", vec![a(), b(), machine("b", "0")], None),
            ("no zone, but not ready", vec![a(), b(), down(node("n"))], half.clone()),
            (
                "three zones",
                [("a", "1"), ("a", "1"), ("a", "1"), ("a", "2"), ("b", "3"), ("b", "1500m"), ("c", "500m")]
                    .map(|(zone, cpu)| machine(zone, cpu))
                    .to_vec(),
                Some(zones(&[("a", 0.5), ("b", 0.45), ("c", 0.05)])),
            ),
        ];
        for (what, nodes, expected) in cases {
            let nodes: Vec<Node> = nodes.into_iter().map(NodeBuilder::build).collect();
            assert_eq!(shares(nodes.iter()), expected, "{what}");
        }
        let silent = node("n").with(|n| n.conditions = Box::default()).build();
        assert!(!is_ready(&silent));
    }

    #[test]
    fn each_zone_gets_its_minimum_or_nobody_gets_any() {
        let of = |shares: &[(&str, f64)], endpoints: usize| -> Result<Vec<(usize, usize, f64)>, Refusal> {
            let allocations = allocations(Some(&zones(shares)), endpoints)?;
            Ok(allocations.values().map(|a| (a.minimum, a.maximum, a.desired)).collect())
        };
        let half = [("a", 0.5), ("b", 0.5)];
        let third = [("a", 0.3), ("b", 0.4), ("c", 0.3)];
        assert_eq!(of(&half, 2), Ok(vec![(1, 1, 1.0), (1, 1, 1.0)]));
        assert_eq!(of(&half, 3), Err(Refusal::Overload { endpoints: 3, zones: 2 }));
        assert_eq!(of(&half, 4), Ok(vec![(2, 2, 2.0), (2, 2, 2.0)]));
        assert_eq!(of(&half, 12), Ok(vec![(5, 7, 6.0), (5, 7, 6.0)]));
        assert_eq!(of(&third, 2), Err(Refusal::FewEndpoints { endpoints: 2, zones: 3 }));
        assert_eq!(of(&[("a", 0.75), ("b", 0.25)], 5), Err(Refusal::Overload { endpoints: 5, zones: 2 }));
        // The smaller zone is given more than its part.
        assert_eq!(of(&[("a", 0.75), ("b", 0.25)], 6), Ok(vec![(4, 4, 4.5), (2, 2, 2.0)]));
        assert_eq!(of(&[("a", 1.0)], 9), Err(Refusal::OneZone));
        assert_eq!(allocations(Some(&Shares::new()), 9), Err(Refusal::OneZone));
        assert_eq!(allocations(None, 9), Err(Refusal::NodesUnknown));
    }

    #[test]
    fn refusals_are_told_as_upstream_tells_them() {
        let few = Refusal::FewEndpoints { endpoints: 1, zones: 2 };
        assert_eq!(few.to_string(), "Insufficient number of endpoints (1 endpoints, 2 zones)");
        let overload = Refusal::Overload { endpoints: 3, zones: 2 };
        assert_eq!(
            overload.to_string(),
            "Unable to allocate minimum required endpoints to each zone without exceeding overload threshold (3 endpoints, 2 zones)"
        );
    }

    #[test]
    fn an_overloaded_zone_calls_for_a_look() {
        let even = zones(&[("a", 0.5), ("b", 0.5)]);
        for (hinted, shares, expected) in [
            (counts(&[]), None, false),
            (counts(&[("a", 1)]), None, true),
            (counts(&[("a", 1)]), Some(&Shares::new()), true),
            (counts(&[("a", 6), ("b", 6)]), Some(&even), false),
            (counts(&[("a", 7), ("b", 5)]), Some(&even), false),
            (counts(&[("a", 8), ("b", 4)]), Some(&even), true),
            (counts(&[("a", 12)]), Some(&even), true),
            // Hints to a zone that is gone are not counted for the others.
            (counts(&[("a", 5), ("b", 5), ("c", 2)]), Some(&even), false),
            (counts(&[("a", 4), ("b", 4), ("c", 4)]), Some(&even), true),
        ] {
            assert_eq!(is_overloaded(&hinted, shares), expected, "{hinted:?} {shares:?}");
        }
    }

    /// Translated from `Test_getGivingAndReceivingZones`.
    #[test]
    fn the_fullest_zone_gives_to_the_emptiest() {
        type Case<'a> = (&'a [(&'a str, f64)], &'a [(&'a str, usize)], &'a [(&'a str, usize)], &'a [(&'a str, usize)]);
        let cases: [Case<'_>; 8] = [
            (&[], &[], &[], &[]),
            (&[("a", 1.2), ("b", 1.1), ("c", 1.0)], &[("a", 1), ("b", 1), ("c", 1)], &[], &[]),
            // Half an endpoint is no reason to leave one's zone.
            (&[("a", 5.1), ("b", 5.1), ("c", 5.8)], &[("a", 16)], &[("a", 10)], &[("b", 5), ("c", 5)]),
            (&[("a", 5.0), ("b", 5.6), ("c", 5.4)], &[("a", 16)], &[("a", 11)], &[("b", 6), ("c", 5)]),
            (&[("a", 5.0), ("b", 5.6), ("c", 5.4)], &[("b", 8), ("c", 8)], &[("b", 2), ("c", 3)], &[("a", 5)]),
            (&[("a", 5.0), ("b", 5.0), ("c", 5.0)], &[("a", 6), ("b", 6), ("c", 6)], &[], &[]),
            // A zone without nodes does not give.
            (&[("a", 5.0), ("b", 5.0)], &[("b", 3), ("z", 7)], &[], &[]),
            // Equal ones by name.
            (&[("a", 2.0), ("b", 2.0), ("c", 2.0)], &[("c", 3), ("b", 2)], &[("c", 1)], &[("a", 1)]),
        ];
        for (aim, hinted, giving, receiving) in cases {
            let found = moves(&desired(aim), &counts(hinted));
            assert_eq!(found, (counts(giving), counts(receiving)), "{aim:?} {hinted:?}");
        }
        let tie = moves(&desired(&[("a", 1.0), ("b", 1.0), ("c", 3.0)]), &counts(&[("c", 4)]));
        assert_eq!(tie, (counts(&[("c", 1)]), counts(&[("a", 1)])));
    }
}
