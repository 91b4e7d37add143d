//! The cheapest set against exhaustive search: every set of machines of a small catalogue, every way to share the pods
//! out, with arithmetic of its own.

use std::collections::BTreeSet;

use headroom_core::{
    Now, Str,
    memory::MIB,
    testing::{pod, term},
};
use headroom_engine::Input;
use proptest::prelude::*;

use crate::{
    Catalogue, Cluster, Offer, Price, Scheduler,
    catalogue::Arch,
    cluster::HOSTNAME,
    fleet::Load,
    search::{Answer, Question, cheapest},
};

/// CPU in thousandths, memory in MiB, whether it refuses its like.
type AnyPod = (i64, i64, bool);
/// Cores, MiB, dollars.
type AnyMachine = (i64, i64, i64);

const MAX_NODES: usize = 3;

fn pods() -> impl Strategy<Value = Vec<AnyPod>> {
    let one = (1_i64..10, 1_i64..14, proptest::bool::weighted(0.2));
    proptest::collection::vec(one.prop_map(|(cpu, memory, apart)| (cpu * 100, memory * 64, apart)), 1..7)
}

fn machines() -> impl Strategy<Value = Vec<AnyMachine>> {
    let one = (1_i64..4, 2_i64..10, 1_i64..13).prop_map(|(cpu, memory, price)| (cpu, memory * 256, price));
    proptest::collection::vec(one, 1..4)
}

fn cluster(pods: &[AnyPod]) -> Cluster {
    let inputs = pods.iter().enumerate().map(|(i, (cpu, memory, apart))| {
        let (cpu, memory) = (format!("{cpu}m"), format!("{memory}Mi"));
        // Request and limit of memory are the same: what the pod will take is what it says.
        let p = pod(&format!("p{i}")).requests(&cpu, &memory).limits("", &memory);
        let p = if *apart { p.label("apart", "yes").anti_affine(term("apart=yes", HOSTNAME)) } else { p };
        Input::PodApplied(p.arc())
    });
    Cluster::new(inputs.collect::<Vec<_>>(), &Scheduler::standard(), Now::at_secs(1_800_000_000))
}

fn catalogue(machines: &[AnyMachine]) -> Catalogue {
    let offer = |(i, (cpu, mib, price)): (usize, &AnyMachine)| Offer {
        name: format!("m{i}").into(),
        milli_cpu: cpu * 1000,
        memory: mib * MIB,
        pods: 110,
        price: Price(price * 100),
        swap: true,
        arch: Arch::default(),
    };
    let mut offers: Vec<Offer> = machines.iter().enumerate().map(offer).collect();
    offers.sort_by_key(|offer| offer.price);
    Catalogue {
        name: "any".into(),
        provider: String::new(),
        date: "2026-11-29".into(),
        source: String::new(),
        currency: "$".into(),
        note: String::new(),
        offers,
    }
}

fn answer(pods: &[AnyPod], machines: &[AnyMachine], swap: i64, survive: bool) -> Option<Answer> {
    let (cluster, catalogue, scheduler) = (cluster(pods), catalogue(machines), Scheduler::standard());
    let load = Load::new(&cluster, &scheduler, []).unwrap();
    let question = Question {
        catalogue: &catalogue,
        swap: Some(swap),
        max_nodes: MAX_NODES,
        survive,
        keep: BTreeSet::<Str>::new(),
        separate: None,
    };
    // Machines that are too small for the system itself are no answer either.
    cheapest(&load, &question).ok()
}

/// RAM that a machine has for pods, MiB times 100: less the ladder (255 MiB below 1 GiB, else a quarter) and the floor
/// (8 %, at least the eviction threshold of 100 MiB and 32).
fn room(mib: i64) -> i64 {
    let system = if mib < 1024 { 25_500 } else { mib * 25 };
    mib * 100 - system - (mib * 8).max(13_200)
}

/// Whether the pods from `next` on find a place, whatever it takes.
fn shares(pods: &[AnyPod], next: usize, machines: &[AnyMachine], used: &mut Vec<AnyPod>) -> bool {
    let Some((cpu, memory, apart)) = pods.get(next) else { return true };
    for (at, (cores, mib, _)) in machines.iter().enumerate() {
        let before = used[at];
        let after = (before.0 + cpu, before.1 + memory, before.2 || *apart);
        if after.0 <= cores * 1000 && after.1 * 100 <= room(*mib) && !(before.2 && *apart) {
            used[at] = after;
            if shares(pods, next + 1, machines, used) {
                return true;
            }
            used[at] = before;
        }
    }
    false
}

/// Every set of up to so many machines.
fn sets(machines: &[AnyMachine], from: usize, chosen: &mut Vec<AnyMachine>, visit: &mut dyn FnMut(&[AnyMachine])) {
    visit(chosen);
    if chosen.len() < MAX_NODES {
        for (at, machine) in machines.iter().enumerate().skip(from) {
            chosen.push(*machine);
            sets(machines, at, chosen, visit);
            chosen.pop();
        }
    }
}

fn exhaustive(pods: &[AnyPod], machines: &[AnyMachine]) -> Option<i64> {
    let mut best: Option<i64> = None;
    sets(machines, 0, &mut Vec::new(), &mut |set| {
        let price: i64 = set.iter().map(|machine| machine.2 * 100).sum();
        let worse = best.is_some_and(|best| best <= price);
        if !worse && shares(pods, 0, set, &mut vec![(0, 0, false); set.len()]) {
            best = Some(price);
        }
    });
    best
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn the_cheapest_set_is_that_of_exhaustive_search(pods in pods(), machines in machines()) {
        let found = answer(&pods, &machines, 0, false).filter(|answer| answer.placed.is_some());
        let price = found.as_ref().map(|answer| answer.price.0);
        prop_assert_eq!(price, exhaustive(&pods, &machines));
        // Nothing here depends on the order of the pods: the answer is known to be the best.
        if let Some(answer) = found {
            prop_assert_eq!(answer.lower_bound, answer.price);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn swap_makes_nothing_dearer_and_survival_nothing_cheaper(pods in pods(), machines in machines()) {
        let price = |swap: i64, survive: bool| {
            let found = answer(&pods, &machines, swap, survive).filter(|answer| answer.placed.is_some());
            if let Some(found) = &found {
                assert!(found.lower_bound <= found.price);
            }
            found.map_or(i64::MAX, |found| found.price.0)
        };
        prop_assert!(price(1024 * MIB, false) <= price(0, false));
        prop_assert!(price(0, true) >= price(0, false));
    }
}

#[test]
fn nothing_to_place_needs_no_machine() {
    let found = answer(&[], &[(1, 1024, 5)], 0, false).unwrap();
    assert_eq!((found.price, found.machines.len(), found.placed.is_some()), (Price(0), 0, true));
}
