//! Which endpoint is hinted to which zone when the annotation asks for it (reference 3.9, `TopologyCache.AddHints`).

use std::sync::Arc;

use headroom_core::{
    Str,
    object::{Endpoint, EndpointSlice},
};

use super::shares::{Allocations, Counts, Refusal, Shares, allocations, moves};
use crate::endpoint_common::slices::{Draft, Plan};

/// Gives every ready endpoint of what is written one zone: its own, or that of a zone that has too few. Slices that nothing
/// else is to be written to keep the hints that they have, as long as all zones can have their minimum beside them; the
/// others are added to the plan, unless they come out as they are. Returns how many endpoints each zone has then. On a
/// refusal nothing has changed.
pub(super) fn assign(
    shares: Option<&Shares>,
    unchanged: &[Arc<EndpointSlice>],
    plan: &mut Plan,
) -> Result<Counts, Refusal> {
    let written = || plan.create.iter().chain(&plan.update).flat_map(|draft| &draft.endpoints);
    let all = written().chain(unchanged.iter().flat_map(|slice| &slice.endpoints));
    let allocations = allocations(shares, all.filter(|e| is_ready(e)).count())?;
    let (mut counts, mut invalid) = (Counts::new(), Vec::new());
    for slice in unchanged {
        match valid_hints(&slice.endpoints, &allocations, &counts) {
            Some(hints) => hints.into_iter().for_each(|(zone, count)| *counts.entry(zone).or_default() += count),
            None => invalid.push(slice),
        }
    }
    let mut all = written().chain(invalid.iter().flat_map(|slice| &slice.endpoints));
    if all.any(|e| is_ready(e) && e.zone.is_empty()) {
        return Err(Refusal::NoZone);
    }
    let others = plan.update.len();
    plan.update.extend(invalid.into_iter().map(Draft::of));
    for endpoint in writable(plan) {
        let zone = endpoint.zone.clone();
        *counts.entry(zone.clone()).or_default() += 1;
        hint(endpoint, zone);
    }
    let (mut giving, mut receiving) = moves(&allocations, &counts);
    for endpoint in writable(plan) {
        let Some(receiver) = receiving.keys().next().cloned() else { break };
        if take(&mut giving, &endpoint.zone) {
            take(&mut receiving, &receiver);
            take_one(&mut counts, &endpoint.zone);
            *counts.entry(receiver.clone()).or_default() += 1;
            hint(endpoint, receiver);
        }
    }
    let hinted = plan.update.split_off(others);
    let differs = |draft: &Draft| draft.existing.as_ref().is_none_or(|slice| slice.endpoints != draft.endpoints);
    plan.update.extend(hinted.into_iter().filter(differs));
    Ok(counts)
}

fn is_ready(endpoint: &Endpoint) -> bool {
    endpoint.ready == Some(true)
}

/// The ready endpoints of what is written.
fn writable(plan: &mut Plan) -> impl Iterator<Item = &mut Endpoint> {
    plan.create.iter_mut().chain(&mut plan.update).flat_map(|draft| &mut draft.endpoints).filter(|e| is_ready(e))
}

fn hint(endpoint: &mut Endpoint, zone: Str) {
    endpoint.hint_zones = Box::new([zone]);
    endpoint.hint_nodes = Box::default();
}

/// How many endpoints of a slice are hinted to each zone (`getHintsByZone`). None when one has no hint, or one to a zone
/// without nodes, or when a zone has more than it may have, beside those that are hinted already.
fn valid_hints(endpoints: &[Endpoint], allocations: &Allocations, already: &Counts) -> Option<Counts> {
    let mut counts = Counts::new();
    for endpoint in endpoints.iter().filter(|e| is_ready(e)) {
        if endpoint.hint_zones.is_empty() {
            return None;
        }
        for zone in &endpoint.hint_zones {
            *counts.entry(zone.clone()).or_default() += 1;
        }
    }
    let fits = |(zone, count): (&Str, &usize)| {
        let before = already.get(zone).copied().unwrap_or_default();
        allocations.get(zone).is_some_and(|a| count + before <= a.maximum)
    };
    counts.iter().all(fits).then_some(counts)
}

/// One less for the zone; without it when none are left. Returns whether there was one.
fn take(from: &mut Counts, zone: &Str) -> bool {
    let found = take_one(from, zone);
    from.retain(|_, count| *count > 0);
    found
}

/// One less for the zone. Returns whether there was one.
fn take_one(from: &mut Counts, zone: &Str) -> bool {
    match from.get_mut(zone) {
        Some(count) if *count > 0 => {
            *count -= 1;
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use headroom_core::object::AddressType;
    use proptest::{prelude::*, test_runner::RngSeed};

    use super::*;
    use crate::endpointslice::shares::Allocation;

    fn endpoint(zone: &str, ready: Option<bool>, hints: &[&str]) -> Endpoint {
        let hint_zones = hints.iter().map(|zone| (*zone).into()).collect();
        Endpoint { zone: zone.into(), ready, hint_zones, ..Endpoint::default() }
    }

    /// A new slice with ready endpoints in these zones.
    fn draft(zones: &[&str]) -> Draft {
        let endpoints = zones.iter().map(|zone| endpoint(zone, Some(true), &[])).collect();
        Draft { existing: None, address_type: AddressType::IPv4, ports: Vec::new(), endpoints }
    }

    /// A slice that is there, with ready endpoints in these zones, each with its hint.
    fn slice(endpoints: &[(&str, &str)]) -> Arc<EndpointSlice> {
        let endpoints = endpoints.iter().map(|(zone, hint)| endpoint(zone, Some(true), &[*hint])).collect();
        Arc::new(EndpointSlice { endpoints, ..EndpointSlice::default() })
    }

    fn plan(create: Vec<Draft>, update: Vec<Draft>) -> Plan {
        Plan { create, update, ..Plan::default() }
    }

    fn shares(all: &[(&str, f64)]) -> Shares {
        all.iter().map(|(zone, share)| ((*zone).into(), *share)).collect()
    }

    fn counts(all: &[(&str, usize)]) -> Counts {
        all.iter().map(|(zone, count)| ((*zone).into(), *count)).collect()
    }

    /// The hints of each slice that is written, new ones first.
    fn hints(plan: &Plan) -> Vec<String> {
        let of = |e: &Endpoint| e.hint_zones.iter().map(ToString::to_string).collect::<Vec<_>>().join("+");
        let line = |draft: &Draft| draft.endpoints.iter().map(of).collect::<Vec<_>>().join(" ");
        plan.create.iter().chain(&plan.update).map(line).collect()
    }

    /// Translated from `TestAddHints`.
    #[test]
    fn endpoints_stay_in_their_zone_as_far_as_the_others_allow() {
        let uneven = shares(&[("a", 0.45), ("b", 0.55)]);
        let three = shares(&[("a", 0.35), ("b", 0.35), ("c", 0.3)]);
        let mut nothing = plan(vec![draft(&["a"])], vec![]);
        assert_eq!(assign(None, &[], &mut nothing), Err(Refusal::NodesUnknown));
        let mut few = plan(vec![draft(&["a", "b"])], vec![]);
        assert_eq!(assign(Some(&three), &[], &mut few), Err(Refusal::FewEndpoints { endpoints: 2, zones: 3 }));
        let mut two = plan(vec![draft(&["a", "b"])], vec![]);
        two.create[0].endpoints.extend([endpoint("b", Some(false), &[]), endpoint("b", None, &[])]);
        assert_eq!(assign(Some(&uneven), &[], &mut two), Ok(counts(&[("a", 1), ("b", 1)])));
        assert_eq!(hints(&two), ["a b  "]);
        let mut many =
            plan(vec![draft(&["a", "b"]), draft(&["c", "c", "a"])], vec![draft(&["a", "a"]), draft(&["b", "c", "a"])]);
        assert_eq!(assign(Some(&three), &[], &mut many), Ok(counts(&[("a", 4), ("b", 3), ("c", 3)])));
        assert_eq!(hints(&many), ["b b", "c c a", "a a", "b c a"]);
        // `Test_redistributeHints`.
        let mut spread = plan(vec![draft(&["a", "a", "a"])], vec![]);
        let third = shares(&[("a", 0.34), ("b", 0.33), ("c", 0.33)]);
        assert_eq!(assign(Some(&third), &[], &mut spread), Ok(counts(&[("a", 1), ("b", 1), ("c", 1)])));
        assert_eq!(hints(&spread), ["b c a"]);
    }

    #[test]
    fn a_ready_endpoint_without_a_zone_is_refused_and_nothing_changes() {
        let half = shares(&[("a", 0.5), ("b", 0.5)]);
        let mut written = plan(vec![draft(&["a", "b", "b", ""])], vec![]);
        assert_eq!(assign(Some(&half), &[], &mut written), Err(Refusal::NoZone));
        assert_eq!(hints(&written), ["   "]);
        written.create[0].endpoints[3].ready = Some(false);
        written.create[0].endpoints.push(endpoint("a", Some(true), &[]));
        assert!(assign(Some(&half), &[], &mut written).is_ok());
    }

    #[test]
    fn slices_keep_hints_that_leave_room_for_all() {
        let half = shares(&[("a", 0.5), ("b", 0.5)]);
        // Whoever chose the endpoints that lead to another zone: it is no matter.
        let kept = slice(&[("a", "a"), ("a", "b"), ("a", "a"), ("a", "b")]);
        let mut none = Plan::default();
        assert_eq!(assign(Some(&half), std::slice::from_ref(&kept), &mut none), Ok(counts(&[("a", 2), ("b", 2)])));
        assert!(none.update.is_empty());
        // What is written makes up for what is kept.
        let full = slice(&[("b", "b"), ("b", "b"), ("b", "b")]);
        let mut more = plan(vec![draft(&["b", "a", "b"])], vec![]);
        assert_eq!(assign(Some(&half), std::slice::from_ref(&full), &mut more), Ok(counts(&[("a", 3), ("b", 3)])));
        assert_eq!((hints(&more), more.update.len()), (vec!["a a a".to_owned()], 0));
        // The second of two with too many for one zone is written; so is one with a hint to a zone without nodes.
        let (first, second) = (slice(&[("a", "a"), ("a", "a")]), slice(&[("a", "a"), ("b", "b")]));
        let mut both = Plan::default();
        assert_eq!(assign(Some(&half), &[first.clone(), second], &mut both), Ok(counts(&[("a", 2), ("b", 2)])));
        assert_eq!(hints(&both), ["b b"]);
        let gone = slice(&[("b", "z"), ("b", "b")]);
        let mut back = Plan::default();
        assert_eq!(assign(Some(&half), &[first, gone], &mut back), Ok(counts(&[("a", 2), ("b", 2)])));
        assert_eq!(hints(&back), ["b b"]);
        // An endpoint in a zone without nodes leads there, and is not written again and again.
        let astray = slice(&[("z", "z"), ("a", "a"), ("a", "a"), ("b", "b"), ("b", "b"), ("b", "b")]);
        let mut same = Plan::default();
        assert!(assign(Some(&half), &[astray], &mut same).is_ok());
        assert!(same.update.is_empty());
    }

    /// Translated from `Test_getHintsByZone`.
    #[test]
    fn hints_are_valid_or_not() {
        let maximum = |all: &[(&str, usize)]| -> Allocations {
            let of = |maximum: usize| Allocation { minimum: 0, maximum, desired: 0.0 };
            all.iter().map(|(zone, most)| ((*zone).into(), of(*most))).collect()
        };
        let (a, abc) = (maximum(&[("a", 3)]), maximum(&[("a", 3), ("b", 3), ("c", 3)]));
        let (one, each) = (counts(&[("a", 1)]), counts(&[("a", 1), ("b", 1), ("c", 1)]));
        let ready = |hints: &[&str]| endpoint("a", Some(true), hints);
        let others = [endpoint("a", Some(false), &["a"]), endpoint("a", None, &["a"])];
        let with_others: Vec<Endpoint> = [ready(&["a"])].into_iter().chain(others).collect();
        let mixed = vec![ready(&["a"]), ready(&["b"]), ready(&["b"])];
        for (endpoints, allocations, already, expected) in [
            (vec![], &Allocations::new(), &Counts::new(), Some(Counts::new())),
            (vec![ready(&["a"])], &a, &one, Some(counts(&[("a", 1)]))),
            (with_others, &a, &one, Some(counts(&[("a", 1)]))),
            (mixed, &abc, &each, Some(counts(&[("a", 1), ("b", 2)]))),
            (vec![ready(&["z"])], &a, &each, None),
            (vec![ready(&[])], &a, &Counts::new(), None),
            (vec![ready(&["a"]), ready(&["a"])], &maximum(&[("a", 2)]), &one, None),
        ] {
            assert_eq!(valid_hints(&endpoints, allocations, already), expected, "{endpoints:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { rng_seed: RngSeed::Fixed(22), failure_persistence: None, ..ProptestConfig::default() })]

        /// Wherever endpoints are and whatever CPU the zones have: hints are refused only for a reason, or every ready
        /// endpoint has exactly one; no zone is overloaded while another has an endpoint to spare; the same again gives the
        /// same; and a second look writes nothing.
        #[test]
        fn every_ready_endpoint_has_one_zone(
            cpus in proptest::collection::vec(1u32..64, 2..5),
            // The last zone has no nodes. One endpoint in ten is not ready.
            places in proptest::collection::vec(proptest::collection::vec((0usize..5, 0u8..10), 0..12), 1..4),
        ) {
            let total: u32 = cpus.iter().sum();
            let shares: Shares =
                cpus.iter().enumerate().map(|(i, cpu)| (format!("z{i}").into(), f64::from(*cpu) / f64::from(total))).collect();
            let fresh = || {
                let place = |(zone, dice): &(usize, u8)| endpoint(&format!("z{zone}"), Some(*dice > 0), &[]);
                let one = |places: &Vec<(usize, u8)>| Draft { endpoints: places.iter().map(place).collect(), ..draft(&[]) };
                plan(places.iter().map(one).collect(), vec![])
            };
            let ready = places.iter().flatten().filter(|(_, dice)| *dice > 0).count();
            let wanted = allocations(Some(&shares), ready);
            let mut first = fresh();
            let assigned = assign(Some(&shares), &[], &mut first);
            let Ok(hinted) = assigned.clone() else {
                prop_assert_eq!(assigned.err(), wanted.err());
                prop_assert_eq!(hints(&first), hints(&fresh()));
                return Ok(());
            };
            let wanted = wanted.unwrap();
            let mut seen = Counts::new();
            for e in first.create.iter().flat_map(|draft| &draft.endpoints) {
                prop_assert_eq!(e.hint_zones.len(), usize::from(is_ready(e)));
                for zone in &e.hint_zones {
                    *seen.entry(zone.clone()).or_default() += 1;
                }
            }
            let count = |zone: &Str| seen.get(zone).copied().unwrap_or_default();
            prop_assert!(hinted.iter().all(|(zone, hints)| count(zone) == *hints));
            prop_assert_eq!(seen.values().sum::<usize>(), ready);
            let spare = wanted.iter().any(|(zone, a)| count(zone) as f64 - a.desired >= 0.5 + 1e-9);
            for (zone, a) in &wanted {
                let part = shares[zone] * ready as f64;
                prop_assert!(count(zone) >= a.minimum || !spare, "{zone} has {} of {a:?}: {seen:?}", count(zone));
                prop_assert!(count(zone) < a.minimum || part <= 1.2 * count(zone) as f64 + 1e-9, "{zone} is overloaded");
            }
            let mut again = fresh();
            prop_assert_eq!(assign(Some(&shares), &[], &mut again), Ok(hinted.clone()));
            prop_assert_eq!(hints(&first), hints(&again));

            let as_written = |draft: Draft| Arc::new(EndpointSlice { endpoints: draft.endpoints, ..EndpointSlice::default() });
            let written: Vec<_> = first.create.into_iter().map(as_written).collect();
            let complete = wanted.iter().all(|(zone, a)| count(zone) >= a.minimum);
            if written.len() == 1 || (complete && seen.keys().all(|zone| wanted.contains_key(zone))) {
                let mut second = Plan::default();
                let hinted_again = assign(Some(&shares), &written, &mut second);
                prop_assert!(hinted_again.is_ok_and(|again| again.iter().all(|(zone, hints)| count(zone) == *hints)));
                prop_assert!(second.create.is_empty() && second.update.is_empty());
            }
        }
    }
}
