//! What a plan costs: `make bench-plan`. 200 nodes with 2,000 pods are to be planned within 2 s on one
//! core: each bench is one whole question, from the rows that an API server or a snapshot gives to the answer before it
//! is printed. Nothing here runs on more than one thread. How often the engine is asked for it is counted in tests/work.rs.
#![allow(clippy::unwrap_used, reason = "a bench")]

mod large;

use divan::Bencher;
use headroom_planner::{Cluster, Price, Scheduler, fleet::Load, moves, search::cheapest, today};

use self::large::{NODES, PODS, WORKLOADS, catalogue, now, question, rows};

fn main() {
    divan::main();
}

/// `plan`: headroom and overhead of each node, the next pods of each workload, the loss of each node, who waits.
#[divan::bench(sample_count = 3, sample_size = 1)]
fn plan(bencher: Bencher<'_, '_>) {
    let (rows, catalogue, scheduler) = (rows(), catalogue(), Scheduler::standard());
    bencher.with_inputs(|| rows.clone()).bench_local_values(|rows| {
        let cluster = Cluster::new(rows, &scheduler, now());
        let mut world = cluster.world(&scheduler).unwrap();
        let nodes = today::nodes(&cluster, &world, &catalogue.offers);
        let workloads = today::workloads(&cluster, &mut world);
        let losses = today::losses(&cluster, &mut world);
        let waiting = today::waiting(&cluster, &mut world);
        // Were a part of it left out, or nothing placed, the figure would mean nothing.
        assert_eq!((nodes.len(), workloads.len(), losses.len()), (NODES, WORKLOADS, NODES));
        assert!(waiting.is_empty() && losses.iter().all(|loss| loss.pods == PODS / NODES));
        (nodes, workloads, losses)
    });
}

/// `plan --cheapest`, with the way there.
fn cheapest_with(bencher: Bencher<'_, '_>, survive: bool) {
    let (rows, catalogue, scheduler) = (rows(), catalogue(), Scheduler::standard());
    bencher.with_inputs(|| rows.clone()).bench_local_values(|rows| {
        let cluster = Cluster::new(rows, &scheduler, now());
        let world = cluster.world(&scheduler).unwrap();
        let (bill, _) = today::bill(&today::nodes(&cluster, &world, &catalogue.offers));
        let load = Load::new(&cluster, &scheduler, []).unwrap();
        let answer = cheapest(&load, &question(&catalogue, survive)).unwrap();
        let placed = answer.placed.unwrap();
        let money = |price: Price| catalogue.money(price);
        let steps = moves::moves(&load, &answer.machines, &placed.nodes, &catalogue.offers, bill, &money);
        assert!(placed.nodes.len() == PODS && !steps.is_empty());
        (answer.price, answer.lower_bound, steps)
    });
}

/// `plan --cheapest`.
#[divan::bench(sample_count = 3, sample_size = 1)]
fn plan_cheapest(bencher: Bencher<'_, '_>) {
    cheapest_with(bencher, false);
}

/// `plan --cheapest --survive 1`: every loss of a worker is tried as well.
#[divan::bench(sample_count = 3, sample_size = 1)]
fn plan_cheapest_survive(bencher: Bencher<'_, '_>) {
    cheapest_with(bencher, true);
}
