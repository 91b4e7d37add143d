//! What a plan costs, counted and not timed: how often the engine is asked to place a pod, on 200 nodes with 2,000 pods.
//! How long that takes says `make bench-plan`.
#![allow(clippy::unwrap_used, reason = "test code")]

#[path = "../benches/large/mod.rs"]
mod large;

use headroom_planner::{
    Cluster, Scheduler,
    fleet::Load,
    search::{MAX_DECISIONS, cheapest},
    today::{self, MAX_MORE},
};

use self::large::{NODES, PODS, WORKLOADS, catalogue, now, question, rows};

/// One more pod of each workload until none fits or ten do, and each pod once, when its node is lost.
#[test]
fn a_plan_asks_for_each_pod_once() {
    let scheduler = Scheduler::standard();
    let cluster = Cluster::new(rows(), &scheduler, now());
    let mut world = cluster.world(&scheduler).unwrap();
    let workloads = today::workloads(&cluster, &mut world);
    let more: usize = workloads.iter().map(|room| room.more + usize::from(room.reason.is_some())).sum();
    assert!(workloads.len() == WORKLOADS && more <= WORKLOADS * MAX_MORE, "{more}");
    assert_eq!(world.decisions(), more);
    let losses = today::losses(&cluster, &mut world);
    assert!(losses.len() == NODES && today::waiting(&cluster, &mut world).is_empty());
    assert_eq!(world.decisions(), more + PODS);
}

/// The search has a budget, and so has the one that follows where it ends early. Before each set of machines is tried there
/// must be something left; with a set pods are placed twice, those that can stay first and then all of them, and once more
/// for the loss of each machine.
#[test]
fn the_cheapest_machines_are_looked_for_within_a_budget() {
    let (catalogue, scheduler) = (catalogue(), Scheduler::standard());
    let cluster = Cluster::new(rows(), &scheduler, now());
    let load = Load::new(&cluster, &scheduler, []).unwrap();
    for (survive, of_a_set) in [(false, 2 * PODS), (true, 4 * PODS)] {
        let answer = cheapest(&load, &question(&catalogue, survive)).unwrap();
        let placed = answer.placed.unwrap();
        assert_eq!(placed.nodes.len(), PODS);
        let most = (2 * (MAX_DECISIONS + of_a_set)).min(answer.sets_tried * of_a_set);
        assert!(0 < answer.decisions && answer.decisions <= most, "{}, {} sets", answer.decisions, answer.sets_tried);
    }
}
