//! The hot loops. Each prepares as much as twice its turns need, whatever is asked for, so that the set-up of a run does
//! not hang on how many turns follow.

use std::hint::black_box;
use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::time::Duration;

use headroom_core::{
    Now,
    memory::{PodUsage, Sample},
    object::{Meta, NodeHeadroom, ObjectKey, Pod},
    testing::{PodBuilder, pod, spread, term},
};
use headroom_engine::{Engine, Input};
use headroom_runtime::protobuf::read_as_json;
use headroom_runtime::wire::{Interners, NodeHeadroomWire, PodWire, RawObject, WireObject};

use crate::shapes;
use crate::world::{TEMPLATES, engine, full, now, place, place_while, pods, renamed, sample};

/// Nodes, where a loop does not say another number.
const NODES: usize = 1000;

/// A hot loop.
#[derive(Debug)]
pub struct Loop {
    /// Its name.
    pub name: &'static str,
    /// What happens in one turn.
    pub turn: &'static str,
    /// Turns of the shorter run.
    pub turns: usize,
    run: fn(turns: usize, most: usize),
}

impl Loop {
    /// Runs it. More than twice [`Loop::turns`] are cut off there.
    pub fn run(&self, turns: usize) {
        let most = self.turns.saturating_mul(2);
        (self.run)(turns.min(most), most);
    }
}

const fn the(name: &'static str, turns: usize, run: fn(usize, usize), turn: &'static str) -> Loop {
    Loop { name, turn, turns, run }
}

/// All of them.
pub static LOOPS: [Loop; 14] = [
    the("decide", 400, decide, "a pod of ten templates, 1,000 nodes with samples"),
    the("decide_while_samples_arrive", 400, while_samples_arrive, "the same; every tenth time a sample comes first"),
    the("decide_all_different", 40, all_different, "a pod that shares nothing with others"),
    the("decide_spread", 200, |n, m| shared(n, m, |p, own| p.spread(spread(1, "zone", true, own))), "zones, hard"),
    the("decide_affinity", 200, |n, m| shared(n, m, |p, own| p.affine(term(own, "zone"))), "one zone per template"),
    the("decide_anti_affinity", 200, |n, m| shared(n, m, |p, own| p.anti_affine(term(own, HOST))), "not on one node"),
    the("decide_unschedulable", 200, unschedulable, "a pod that no node can take"),
    the("preempt", 20, preempt, "a pod that takes the place of three others, 300 nodes"),
    the("pod_changed", 1000, pod_changed, "a new status of one of 2,000 bound pods"),
    the("pod_replaced", 500, pod_replaced, "a bound pod goes, and another one comes"),
    the("parse_pod", 300, parse_pod, "a bound pod, from JSON as API servers send it to a row"),
    the("parse_pod_protobuf", 300, parse_pod_protobuf, "the same in protobuf, as watches get it"),
    the("parse_sample", 300, parse_sample, "a NodeHeadroom with 20 pods, from JSON to a row"),
    the("ingest_sample", 400, ingest_sample, "a sample of one of 200 nodes with 20 pods each"),
];

const HOST: &str = "kubernetes.io/hostname";

/// What is not freed costs nothing at the end.
fn keep<T>(value: T) {
    std::mem::forget(black_box(value));
}

fn placed(mut engine: Engine, all: &[Arc<Pod>], turns: usize) {
    let bound = place(&mut engine, &all[..turns]);
    assert_eq!(bound, turns, "every pod finds its node");
    keep(engine);
}

fn decide(turns: usize, most: usize) {
    let all = ManuallyDrop::new(pods(most, |p, _| p));
    placed(engine(NODES, true, true), &all, turns);
}

fn shared(turns: usize, most: usize, change: fn(PodBuilder, &str) -> PodBuilder) {
    let all = ManuallyDrop::new(pods(most, change));
    placed(engine(NODES, false, true), &all, turns);
}

fn while_samples_arrive(turns: usize, most: usize) {
    let all = ManuallyDrop::new(pods(most, |p, _| p));
    let mut engine = engine(NODES, true, true);
    let bound = place_while(&mut engine, &all[..turns], |engine, decided| {
        if decided.is_multiple_of(TEMPLATES) {
            let next = sample(decided / TEMPLATES * 7 % NODES, (decided as i64 % 29) << 30);
            engine.handle(next, now(), &mut Vec::new());
        }
    });
    assert_eq!(bound, turns, "every pod finds its node");
    keep(engine);
}

fn all_different(turns: usize, most: usize) {
    let different =
        |i: usize| pod(&format!("pod-{i}")).uid(&format!("uid-{i}")).requests(&format!("{}m", 10 + i), "64Mi");
    let all: Vec<Arc<Pod>> = (0..most).map(|i| different(i).arc()).collect();
    placed(engine(NODES, true, true), &ManuallyDrop::new(all), turns);
}

fn unschedulable(turns: usize, most: usize) {
    let large = pod("t").requests("65", "500Mi").spec(|s| s.priority = 10).arc();
    let all = ManuallyDrop::new(renamed(most, &[large]));
    let mut engine = engine(NODES, true, true);
    assert_eq!(place(&mut engine, &all[..turns]), 0, "no node is that large");
    keep(engine);
}

fn preempt(turns: usize, most: usize) {
    let high = pod("t").requests("3", "500Mi").spec(|s| s.priority = 10).arc();
    let all = ManuallyDrop::new(renamed(most, &[high]));
    placed(full(300), &all, turns);
}

/// Two bound pods on each node.
fn with_bound_pods(most: usize) -> (Engine, Vec<Arc<Pod>>) {
    let mut engine = engine(NODES, true, true);
    let on = |(i, p): (usize, Arc<Pod>)| {
        let mut p = (*p).clone();
        p.node_name = Some(format!("node-{}", i % NODES).into());
        Arc::new(p)
    };
    let all: Vec<_> = pods(most, |p, _| p).into_iter().enumerate().map(on).collect();
    for p in &all {
        engine.handle(Input::PodApplied(p.clone()), now(), &mut Vec::new());
    }
    (engine, all)
}

fn pod_changed(turns: usize, most: usize) {
    let (mut engine, all) = with_bound_pods(most);
    let ready = |p: &Arc<Pod>| {
        let mut next = (**p).clone();
        next.meta.resource_version += 1;
        next.status = pod("ready").ready(1_800_000_000, "192.0.2.7").build().status;
        Arc::new(next)
    };
    let changed: Vec<_> = all.iter().map(ready).collect();
    let mut out = Vec::new();
    for p in &changed[..turns] {
        engine.handle(Input::PodApplied(p.clone()), now(), &mut out);
    }
    keep((engine, all, changed, out));
}

fn pod_replaced(turns: usize, most: usize) {
    let (mut engine, all) = with_bound_pods(most);
    let successor = |p: &Arc<Pod>| {
        let mut next = (**p).clone();
        next.meta.key.name = format!("{}-again", p.meta.key.name).into();
        next.meta.uid = format!("{}-again", p.meta.uid).into();
        Arc::new(next)
    };
    let next: Vec<_> = all.iter().map(successor).collect();
    let mut out = Vec::new();
    for (before, after) in all.iter().zip(&next).take(turns) {
        let gone = Input::PodDeleted { key: before.meta.key.clone(), uid: before.meta.uid.clone() };
        engine.handle(gone, now(), &mut out);
        engine.handle(Input::PodApplied(after.clone()), now(), &mut out);
    }
    keep((engine, all, next, out));
}

/// A text as a row, the way that watches take: first as an object of any kind, then as what it is.
fn row<W: WireObject>(text: &str, interners: &mut Interners) -> W::Row {
    let raw: Result<RawObject, _> = serde_json::from_str(text);
    let row = serde_json::from_str::<W>(text).map(|wire| wire.convert(interners));
    let (Ok(raw), Ok(Ok(row))) = (raw, row) else { unreachable!("the text is well-formed: {text}") };
    drop(black_box(raw));
    row
}

fn parse<W: WireObject>(turns: usize, texts: &[String]) {
    let mut interners = Interners::default();
    let mut rows = Vec::with_capacity(texts.len());
    for text in &texts[..turns] {
        rows.push(row::<W>(text, &mut interners));
    }
    keep((rows, interners));
}

fn parse_pod(turns: usize, most: usize) {
    let texts: Vec<_> = (0..most).map(|i| shapes::pod(i, most.div_ceil(10), NODES)).collect();
    parse::<PodWire>(turns, &ManuallyDrop::new(texts));
}

/// What is handed on in place of protobuf is text, and goes the way of text.
fn parse_pod_protobuf(turns: usize, most: usize) {
    let all: Vec<_> = (0..most).map(|i| shapes::protobuf::pod(i, most.div_ceil(10), NODES)).collect();
    let all = ManuallyDrop::new(all);
    let mut interners = Interners::default();
    let mut rows = Vec::with_capacity(most);
    for encoded in &all[..turns] {
        let json = read_as_json(encoded).and_then(|json| String::from_utf8(json).ok());
        let Some(text) = json else { unreachable!("the object is well-formed: {}", encoded.escape_ascii()) };
        rows.push(row::<PodWire>(&text, &mut interners));
    }
    keep((rows, interners));
}

fn parse_sample(turns: usize, most: usize) {
    let texts: Vec<_> = (0..most).map(|i| shapes::node_headroom(i, 20)).collect();
    parse::<NodeHeadroomWire>(turns, &ManuallyDrop::new(texts));
}

fn ingest_sample(turns: usize, most: usize) {
    const SAMPLED: usize = 200;
    const PODS: usize = 20;
    let mut engine = engine(SAMPLED, true, true);
    let mut all = pods(SAMPLED * PODS, |p, _| p);
    for (i, p) in all.iter_mut().enumerate() {
        Arc::make_mut(p).node_name = Some(format!("node-{}", i % SAMPLED).into());
        engine.handle(Input::PodApplied(p.clone()), now(), &mut Vec::new());
    }
    let samples: Vec<_> = (0..most).map(|i| full_sample(&all, i, SAMPLED)).collect();
    let mut out = Vec::new();
    for (at, row) in &samples[..turns] {
        engine.handle(Input::SampleApplied(row.clone()), *at, &mut out);
    }
    keep((engine, all, samples, out));
}

/// The `i`th sample, of nodes in turn, which has the use of each of the node's pods; and when it comes.
fn full_sample(all: &[Arc<Pod>], i: usize, nodes: usize) -> (Now, Arc<NodeHeadroom>) {
    let (node, round) = (i % nodes, i / nodes);
    let later = Duration::from_secs(15 * (round as u64 + 1));
    let at = Now { wall: now().wall + later, mono: now().mono + later };
    let usage = |p: &Arc<Pod>| {
        let working_set = (48 + (i as i64 * 7) % 64) << 20;
        let used = PodUsage { working_set, swap: Some(8 << 20), swap_available: Some(64 << 20) };
        (p.meta.uid.clone(), used)
    };
    let mut pods: Vec<_> = all.iter().skip(node).step_by(nodes).map(usage).collect();
    pods.sort_by(|a, b| a.0.cmp(&b.0));
    let row = NodeHeadroom {
        meta: Meta { key: ObjectKey::new("", format!("node-{node}")), ..Meta::default() },
        sample: Some(Sample { at: at.wall, working_set: Some((2 + round as i64) << 30), ..Sample::default() }),
        capacity: Some(256 << 30),
        pods: pods.into(),
        ..NodeHeadroom::default()
    };
    (at, Arc::new(row))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_loop_runs() {
        for one in &LOOPS {
            one.run(one.turns.min(20));
        }
    }

    #[test]
    fn names_are_told_apart() {
        let mut names: Vec<_> = LOOPS.iter().map(|one| one.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), LOOPS.len());
    }
}
