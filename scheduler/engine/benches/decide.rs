//! How long a decision takes: all default plugins, every node considered, pods of ten templates in turn.
//!
//! `cargo bench -p headroom-engine --bench decide`. Each sample decides, binds and confirms pods; the counter is pods per
//! second. `plain` does without classes of pods. The shapes with 5,000 nodes and 10,000 pods are those of the speed goals
//! and of scheduler_perf's workloads.

#[path = "../counts/src/world.rs"]
mod world;

use std::sync::Arc;

use divan::{Bencher, counter::ItemsCount};
use headroom_core::{
    object::{Pod, WorkloadKind},
    testing::{PodBuilder, pod, spread, term, workload},
};
use headroom_engine::{Engine, Input};

use world::{TEMPLATES, engine, full, now, place, place_while, pods, pods_of, renamed, sample};

/// Pods per sample on up to 1,000 nodes, and where a decision takes milliseconds.
const BATCH: usize = 500;
/// Pods per sample on 5,000 nodes.
const MANY: usize = 10_000;

fn main() {
    divan::main();
}

fn run(bencher: Bencher<'_, '_>, nodes: usize, samples: bool, classes: bool) {
    run_with(bencher, nodes, || engine(nodes, samples, classes), |p, _| p);
}

fn count(nodes: usize) -> usize {
    if nodes < 5000 { BATCH } else { MANY }
}

fn run_with(
    bencher: Bencher<'_, '_>,
    nodes: usize,
    engine: impl Fn() -> Engine + Sync,
    change: fn(PodBuilder, &str) -> PodBuilder,
) {
    let pods = pods(count(nodes), change);
    bencher.counter(ItemsCount::new(pods.len())).with_inputs(engine).bench_values(|mut e| {
        assert_eq!(place(&mut e, &pods), pods.len());
        e
    });
}

#[divan::bench(args = [100, 1000, 5000], sample_count = 3, sample_size = 1)]
fn classes(bencher: Bencher<'_, '_>, nodes: usize) {
    run(bencher, nodes, false, true);
}

#[divan::bench(args = [100, 1000, 5000], sample_count = 3, sample_size = 1)]
fn classes_with_samples(bencher: Bencher<'_, '_>, nodes: usize) {
    run(bencher, nodes, true, true);
}

#[divan::bench(args = [100, 1000], sample_count = 3, sample_size = 1)]
fn plain(bencher: Bencher<'_, '_>, nodes: usize) {
    run(bencher, nodes, true, false);
}

/// Samples arrive all the time: one for every ten decisions, and each changes a node.
#[divan::bench(args = [5000], sample_count = 3, sample_size = 1)]
fn classes_while_samples_arrive(bencher: Bencher<'_, '_>, nodes: usize) {
    let pods = pods(MANY, |p, _| p);
    bencher.counter(ItemsCount::new(pods.len())).with_inputs(|| engine(nodes, true, true)).bench_values(|mut e| {
        let arrive = |engine: &mut Engine, decided: usize| {
            if decided.is_multiple_of(10) {
                let at = decided / 10 * 7 % nodes;
                engine.handle(sample(at, (decided as i64 % 29) << 30), now(), &mut Vec::new());
            }
        };
        assert_eq!(place_while(&mut e, &pods, arrive), pods.len());
        e
    });
}

/// So many templates in turn on 5,000 nodes: there is room for the classes of 30, and for those of 60 there is none
/// (`MAX_CLASS_BYTES` in `cycle::class`).
#[divan::bench(args = [30, 60], sample_count = 3, sample_size = 1)]
fn many_templates(bencher: Bencher<'_, '_>, templates: usize) {
    let pods = pods_of(templates, MANY, |p, _| p);
    bencher.counter(ItemsCount::new(pods.len())).with_inputs(|| engine(5000, true, true)).bench_values(|mut e| {
        assert_eq!(place(&mut e, &pods), pods.len());
        e
    });
}

/// No two pods are of one class, and no plugin that reads requests can answer for one as for another. They are more than
/// there may be classes, so that each decision makes a class and drops one.
#[divan::bench(args = [1000, 5000], sample_count = 3, sample_size = 1)]
fn all_different(bencher: Bencher<'_, '_>, nodes: usize) {
    let different = |i: usize| {
        let (cpu, memory) = (format!("{}m", 10 + i), format!("{}Ki", (64 << 10) + 64 * i));
        pod(&format!("pod-{i}")).uid(&format!("uid-{i}")).requests(&cpu, &memory).arc()
    };
    let pods: Vec<Arc<Pod>> = (0..count(nodes)).map(different).collect();
    bencher.counter(ItemsCount::new(pods.len())).with_inputs(|| engine(nodes, true, true)).bench_values(|mut e| {
        assert_eq!(place(&mut e, &pods), pods.len());
        e
    });
}

/// Every pod takes the place of three others: four fill a node.
#[divan::bench(args = [500, 1000, 5000], sample_count = 3, sample_size = 1)]
fn preemption(bencher: Bencher<'_, '_>, nodes: usize) {
    let high = pod("t").requests("3", "500Mi").spec(|s| s.priority = 10).arc();
    let pods = renamed(BATCH.min(nodes), &[high]);
    bencher.counter(ItemsCount::new(pods.len())).with_inputs(|| full(nodes)).bench_values(|mut e| {
        assert_eq!(place(&mut e, &pods), pods.len());
        e
    });
}

/// Every pod asks for more than any node has.
#[divan::bench(args = [500, 1000, 5000], sample_count = 3, sample_size = 1)]
fn unschedulable(bencher: Bencher<'_, '_>, nodes: usize) {
    let pods = renamed(BATCH, &[pod("t").requests("65", "500Mi").spec(|s| s.priority = 10).arc()]);
    bencher.counter(ItemsCount::new(pods.len())).with_inputs(|| engine(nodes, true, true)).bench_values(|mut e| {
        assert_eq!(place(&mut e, &pods), 0);
        e
    });
}

/// Every template must be in one zone with itself.
#[divan::bench(args = [5000], sample_count = 3, sample_size = 1)]
fn affinity(bencher: Bencher<'_, '_>, nodes: usize) {
    run_with(bencher, nodes, || engine(nodes, false, true), |p, own| p.affine(term(own, "zone")));
}

/// Every template had rather be where it is not, node by node.
#[divan::bench(args = [5000], sample_count = 3, sample_size = 1)]
fn preferred_anti_affinity(bencher: Bencher<'_, '_>, nodes: usize) {
    run_with(bencher, nodes, || engine(nodes, false, true), |p, own| p.avoids(10, term(own, "kubernetes.io/hostname")));
}

/// Every template keeps away from itself, node by node.
#[divan::bench(args = [1000, 5000], sample_count = 3, sample_size = 1)]
fn anti_affinity(bencher: Bencher<'_, '_>, nodes: usize) {
    run_with(
        bencher,
        nodes,
        || engine(nodes, false, true),
        |p, own| p.anti_affine(term(own, "kubernetes.io/hostname")),
    );
}

/// Every template wants to be where it is already.
#[divan::bench(args = [5000], sample_count = 3, sample_size = 1)]
fn preferred_affinity(bencher: Bencher<'_, '_>, nodes: usize) {
    run_with(bencher, nodes, || engine(nodes, false, true), |p, own| p.prefers(10, term(own, "zone")));
}

/// Every template spreads over zones and must do so.
#[divan::bench(args = [1000, 5000], sample_count = 3, sample_size = 1)]
fn spread_hard(bencher: Bencher<'_, '_>, nodes: usize) {
    run_with(bencher, nodes, || engine(nodes, false, true), |p, own| p.spread(spread(1, "zone", true, own)));
}

/// Every template has a Service: the built-in constraints on host names and zones.
#[divan::bench(args = [1000, 5000], sample_count = 3, sample_size = 1)]
fn spread_by_default(bencher: Bencher<'_, '_>, nodes: usize) {
    let with_services = || {
        let mut engine = engine(nodes, false, true);
        for t in 0..TEMPLATES {
            let service = workload(WorkloadKind::Service, &format!("s{t}"), &format!("app={t}"));
            engine.handle(Input::SelectorApplied(Arc::new(service)), now(), &mut Vec::new());
        }
        engine
    };
    run_with(bencher, nodes, with_services, |p, _| p);
}
