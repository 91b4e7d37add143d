//! A cluster in memory, and what answers the engine's writes as the API server and its watch would. The benches of the
//! engine use it as well (`scheduler/engine/benches/decide.rs`).

use std::sync::Arc;

use headroom_core::{
    Mono, Now, Timestamp,
    intent::{Intent, Op, Outcome, Written},
    memory::Sample,
    object::{Meta, NodeHeadroom, ObjectKey, Pod},
    testing::{PodBuilder, node, pod},
};
use headroom_engine::{Configuration, Engine, Input, Mode, NoProbe, Registry};

/// Templates that pods have in turn.
pub(crate) const TEMPLATES: usize = 10;

pub(crate) fn now() -> Now {
    Now { wall: Timestamp::from_secs(1_800_000_000), mono: Mono(1_800_000_000_000_000) }
}

fn empty() -> Engine {
    Engine::new(Configuration::default(), Registry::in_tree(), 7, Mode::Primary)
        .unwrap_or_else(|e| unreachable!("the default configuration is valid: {e}"))
}

/// Large nodes in three zones, without pods.
pub(crate) fn engine(nodes: usize, samples: bool, classes: bool) -> Engine {
    let mut engine = empty();
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

/// Nodes that four pods of low priority fill.
pub(crate) fn full(nodes: usize) -> Engine {
    let mut engine = empty();
    for i in 0..nodes {
        let name = format!("node-{i}");
        engine.handle(Input::NodeApplied(node(&name).capacity("4", "32Gi", 110).arc()), now(), &mut Vec::new());
        for j in 0..4 {
            let low = pod(&format!("low-{i}-{j}")).uid(&format!("low-{i}-{j}")).requests("900m", "500Mi").on(&name);
            engine.handle(Input::PodApplied(low.arc()), now(), &mut Vec::new());
        }
    }
    engine
}

/// Pods of ten templates in turn; `change` is given each template and a selector of its pods.
pub(crate) fn pods(count: usize, change: fn(PodBuilder, &str) -> PodBuilder) -> Vec<Arc<Pod>> {
    pods_of(TEMPLATES, count, change)
}

/// The same of so many templates.
pub(crate) fn pods_of(templates: usize, count: usize, change: fn(PodBuilder, &str) -> PodBuilder) -> Vec<Arc<Pod>> {
    let templates: Vec<_> = (0..templates)
        .map(|t| {
            let p = pod("t").requests(&format!("{}m", 50 + 10 * t), &format!("{}Mi", 64 + 16 * t));
            change(p.label("app", &t.to_string()), &format!("app={t}")).arc()
        })
        .collect();
    renamed(count, &templates)
}

/// Pods of templates in turn, with names and UIDs of their own.
pub(crate) fn renamed(count: usize, templates: &[Arc<Pod>]) -> Vec<Arc<Pod>> {
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
pub(crate) fn sample(i: usize, working_set: i64) -> Input {
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
pub(crate) fn place(engine: &mut Engine, pods: &[Arc<Pod>]) -> usize {
    place_while(engine, pods, |_, _| {})
}

/// The same; something else happens before each decision.
pub(crate) fn place_while(engine: &mut Engine, pods: &[Arc<Pod>], meanwhile: impl Fn(&mut Engine, usize)) -> usize {
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
