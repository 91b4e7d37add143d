//! How long a decision takes: all default plugins, every node considered, pods of ten templates in turn.
//!
//! `cargo bench -p headroom-engine --bench decide`. Each sample decides, binds and confirms pods; the counter is pods per
//! second. `plain` does without classes of pods. The shapes with 5,000 nodes and 10,000 pods are those of the speed goals
//! and of scheduler_perf's workloads.

use std::sync::Arc;

use divan::{Bencher, counter::ItemsCount};
use headroom_core::{
    Mono, Now, Timestamp,
    intent::{Intent, Op, Outcome, Written},
    memory::Sample,
    object::{Meta, NodeHeadroom, ObjectKey, Pod, WorkloadKind},
    testing::{PodBuilder, node, pod, spread, term, workload},
};
use headroom_engine::{Configuration, Engine, Input, Mode, NoProbe, Registry};

/// Pods per sample on up to 1,000 nodes, and where nothing is shared between pods.
const BATCH: usize = 500;
/// Pods per sample on 5,000 nodes.
const MANY: usize = 10_000;
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
            engine.handle(sample(i, (i as i64 % 32) << 30), now(), &mut out);
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
    renamed(count, &templates)
}

/// Pods of templates in turn, with names and UIDs of their own.
fn renamed(count: usize, templates: &[Arc<Pod>]) -> Vec<Arc<Pod>> {
    (0..count)
        .map(|i| {
            let mut p = (*templates[i % templates.len()]).clone();
            p.meta.key.name = format!("pod-{i}").into();
            p.meta.uid = format!("uid-{i}").into();
            Arc::new(p)
        })
        .collect()
}

/// A sample of a node.
fn sample(i: usize, working_set: i64) -> Input {
    let row = NodeHeadroom {
        meta: Meta { key: ObjectKey::new("", format!("node-{i}")), ..Meta::default() },
        sample: Some(Sample { at: now().wall, working_set: Some(working_set), ..Sample::default() }),
        ..NodeHeadroom::default()
    };
    Input::SampleApplied(Arc::new(row))
}

/// Does what was asked for, as the API server and its watch would. Answers how many pods were bound.
fn answer(engine: &mut Engine, pods: &[Arc<Pod>], mut intents: Vec<Intent>) -> usize {
    let mut placed = 0;
    while let Some(intent) = intents.pop() {
        let mut out = Vec::new();
        let shown = match intent.op {
            Op::Bind { uid, node, .. } => {
                placed += 1;
                let index: usize = uid.trim_start_matches("uid-").parse().unwrap_or_default();
                let bound = Pod { node_name: Some(node), ..(*pods[index]).clone() };
                Some(Input::PodApplied(Arc::new(bound)))
            }
            Op::Delete { key, uid: Some(uid), .. } => Some(Input::PodDeleted { key, uid }),
            Op::PodStatus { .. } => None,
            _ => continue,
        };
        let outcome = Outcome { id: intent.id, result: Ok(Written::default()) };
        engine.handle(Input::Outcome(outcome), now(), &mut out);
        if let Some(shown) = shown {
            engine.handle(shown, now(), &mut out);
        }
        intents.extend(out);
    }
    placed
}

/// Decides all pods, answers every write and shows every pod as bound.
fn place(engine: &mut Engine, pods: &[Arc<Pod>]) -> usize {
    place_while(engine, pods, |_, _| {})
}

/// The same; something else happens before each decision.
fn place_while(engine: &mut Engine, pods: &[Arc<Pod>], meanwhile: impl Fn(&mut Engine, usize)) -> usize {
    let mut out = Vec::new();
    for p in pods {
        engine.handle(Input::PodApplied(p.clone()), now(), &mut out);
    }
    let (mut placed, mut decided) = (0, 0);
    while engine.schedule_one(now(), &mut out, &mut NoProbe).is_some() {
        placed += answer(engine, pods, std::mem::take(&mut out));
        decided += 1;
        meanwhile(engine, decided);
    }
    placed
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

/// No two pods are of one class.
#[divan::bench(args = [1000, 5000], sample_count = 3, sample_size = 1)]
fn all_different(bencher: Bencher<'_, '_>, nodes: usize) {
    let pods: Vec<Arc<Pod>> = (0..BATCH)
        .map(|i| pod(&format!("pod-{i}")).uid(&format!("uid-{i}")).requests(&format!("{}m", 10 + i), "64Mi").arc())
        .collect();
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
    let full = || {
        let mut engine = Engine::new(Configuration::default(), Registry::in_tree(), 7, Mode::Primary)
            .unwrap_or_else(|e| unreachable!("the default configuration is valid: {e}"));
        for i in 0..nodes {
            let name = format!("node-{i}");
            engine.handle(Input::NodeApplied(node(&name).capacity("4", "32Gi", 110).arc()), now(), &mut Vec::new());
            for j in 0..4 {
                let low = pod(&format!("low-{i}-{j}")).uid(&format!("low-{i}-{j}")).requests("900m", "500Mi").on(&name);
                engine.handle(Input::PodApplied(low.arc()), now(), &mut Vec::new());
            }
        }
        engine
    };
    bencher.counter(ItemsCount::new(pods.len())).with_inputs(full).bench_values(|mut e| {
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
