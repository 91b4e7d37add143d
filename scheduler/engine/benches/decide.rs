//! How long a decision takes: all default plugins, every node considered, pods of ten templates in turn.
//!
//! `cargo bench -p headroom-engine --bench decide`. Each sample decides, binds and confirms one pod; the counter is
//! pods per second. `plain` does without classes of pods.

use std::sync::Arc;

use divan::{Bencher, counter::ItemsCount};
use headroom_core::{
    Mono, Now, Timestamp,
    intent::{Op, Outcome, Written},
    memory::Sample,
    object::{Meta, NodeHeadroom, ObjectKey, Pod, WorkloadKind},
    testing::{PodBuilder, node, pod, spread, term, workload},
};
use headroom_engine::{Configuration, Engine, Input, Mode, NoProbe, Registry};

/// Pods per sample.
const BATCH: usize = 500;
const TEMPLATES: usize = 10;

fn main() {
    divan::main();
}

fn now() -> Now {
    Now { wall: Timestamp::from_secs(1_800_000_000), mono: Mono(1_800_000_000_000_000) }
}

fn engine(nodes: usize, samples: bool, classes: bool) -> Engine {
    let mut engine = Engine::new(Configuration::default(), Registry::in_tree(), 7, Mode::Primary)
        .unwrap_or_else(|e| unreachable!("the default configuration is valid: {e}"));
    engine.set_classes_enabled(classes);
    let mut out = Vec::new();
    for i in 0..nodes {
        let n = node(&format!("node-{i}")).capacity("64", "256Gi", 500).label("zone", ["a", "b", "c"][i % 3]).arc();
        engine.handle(Input::NodeApplied(n), now(), &mut out);
        if samples {
            let row = NodeHeadroom {
                meta: Meta { key: ObjectKey::new("", format!("node-{i}")), ..Meta::default() },
                sample: Some(Sample { at: now().wall, working_set: Some((i as i64 % 32) << 30), ..Sample::default() }),
                ..NodeHeadroom::default()
            };
            engine.handle(Input::SampleApplied(Arc::new(row)), now(), &mut out);
        }
    }
    engine
}

fn pods(count: usize, change: fn(PodBuilder, &str) -> PodBuilder) -> Vec<Arc<Pod>> {
    let templates: Vec<_> = (0..TEMPLATES)
        .map(|t| {
            let p = pod("t").requests(&format!("{}m", 50 + 10 * t), &format!("{}Mi", 64 + 16 * t));
            change(p.label("app", &t.to_string()), &format!("app={t}")).arc()
        })
        .collect();
    (0..count)
        .map(|i| {
            let mut p = (*templates[i % TEMPLATES]).clone();
            p.meta.key.name = format!("pod-{i}").into();
            p.meta.uid = format!("uid-{i}").into();
            Arc::new(p)
        })
        .collect()
}

/// Decides all pods, answers every bind and shows every pod as bound.
fn place(engine: &mut Engine, pods: &[Arc<Pod>]) -> usize {
    let mut out = Vec::new();
    for p in pods {
        engine.handle(Input::PodApplied(p.clone()), now(), &mut out);
    }
    let mut placed = 0;
    while engine.schedule_one(now(), &mut out, &mut NoProbe).is_some() {
        for intent in std::mem::take(&mut out) {
            let Op::Bind { uid, node, .. } = intent.op else { continue };
            placed += 1;
            let outcome = Outcome { id: intent.id, result: Ok(Written::default()) };
            engine.handle(Input::Outcome(outcome), now(), &mut Vec::new());
            let index: usize = uid.trim_start_matches("uid-").parse().unwrap_or_default();
            let bound = Pod { node_name: Some(node), ..(*pods[index]).clone() };
            engine.handle(Input::PodApplied(Arc::new(bound)), now(), &mut Vec::new());
        }
    }
    placed
}

fn run(bencher: Bencher<'_, '_>, nodes: usize, samples: bool, classes: bool) {
    run_with(bencher, || engine(nodes, samples, classes), |p, _| p);
}

fn run_with(bencher: Bencher<'_, '_>, engine: impl Fn() -> Engine + Sync, change: fn(PodBuilder, &str) -> PodBuilder) {
    let pods = pods(BATCH, change);
    bencher.counter(ItemsCount::new(BATCH)).with_inputs(engine).bench_values(|mut e| {
        assert_eq!(place(&mut e, &pods), BATCH);
        e
    });
}

#[divan::bench(args = [100, 1000, 5000], sample_count = 10, sample_size = 1)]
fn classes(bencher: Bencher<'_, '_>, nodes: usize) {
    run(bencher, nodes, false, true);
}

#[divan::bench(args = [100, 1000, 5000], sample_count = 10, sample_size = 1)]
fn classes_with_samples(bencher: Bencher<'_, '_>, nodes: usize) {
    run(bencher, nodes, true, true);
}

#[divan::bench(args = [100, 1000], sample_count = 3, sample_size = 1)]
fn plain(bencher: Bencher<'_, '_>, nodes: usize) {
    run(bencher, nodes, true, false);
}

/// Every template keeps away from itself, node by node.
#[divan::bench(args = [1000, 5000], sample_count = 5, sample_size = 1)]
fn anti_affinity(bencher: Bencher<'_, '_>, nodes: usize) {
    run_with(bencher, || engine(nodes, false, true), |p, own| p.anti_affine(term(own, "kubernetes.io/hostname")));
}

/// Every template wants to be where it is already.
#[divan::bench(args = [5000], sample_count = 5, sample_size = 1)]
fn preferred_affinity(bencher: Bencher<'_, '_>, nodes: usize) {
    run_with(bencher, || engine(nodes, false, true), |p, own| p.prefers(10, term(own, "zone")));
}

/// Every template spreads over zones and must do so.
#[divan::bench(args = [1000, 5000], sample_count = 5, sample_size = 1)]
fn spread_hard(bencher: Bencher<'_, '_>, nodes: usize) {
    run_with(bencher, || engine(nodes, false, true), |p, own| p.spread(spread(1, "zone", true, own)));
}

/// Every template has a Service: the built-in constraints on host names and zones.
#[divan::bench(args = [1000, 5000], sample_count = 5, sample_size = 1)]
fn spread_by_default(bencher: Bencher<'_, '_>, nodes: usize) {
    let with_services = || {
        let mut engine = engine(nodes, false, true);
        for t in 0..TEMPLATES {
            let service = workload(WorkloadKind::Service, &format!("s{t}"), &format!("app={t}"));
            engine.handle(Input::SelectorApplied(Arc::new(service)), now(), &mut Vec::new());
        }
        engine
    };
    run_with(bencher, with_services, |p, _| p);
}
