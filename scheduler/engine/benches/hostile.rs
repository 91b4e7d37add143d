//! How long a pod takes that somebody made as large as the API server lets it be, beside an ordinary one.
//!
//! `cargo bench -p headroom-engine --bench hostile`. Each sample shows one pod to the engine, decides it and, when it
//! fits, binds and confirms it, among 1,000 nodes; nothing is kept from an equal pod. In `among_its_like` every tenth node
//! has a pod of the same shape.

use divan::Bencher;
use headroom_core::{
    Mono, Now, Timestamp,
    taint::Effect,
    testing::{
        hostile::{SHAPES, Shape},
        node,
    },
};
use headroom_engine::{Configuration, Engine, Input, Mode, NoProbe, Registry};

const NODES: usize = 1000;

fn main() {
    divan::main();
}

fn now() -> Now {
    Now { wall: Timestamp::from_secs(1_800_000_000), mono: Mono(1_800_000_000_000_000) }
}

fn engine(shape: &Shape, every: usize) -> Engine {
    let mut engine = Engine::new(Configuration::default(), Registry::in_tree(), 7, Mode::Primary)
        .unwrap_or_else(|e| unreachable!("the default configuration is valid: {e}"));
    let mut out = Vec::new();
    for i in 0..NODES {
        let name = format!("node-{i}");
        let n = node(&name).label("zone", ["a", "b", "c"][i % 3]).taint("k1", "0", Effect::PreferNoSchedule).arc();
        engine.handle(Input::NodeApplied(n), now(), &mut out);
        if every > 0 && i % every == 0 {
            let on = (shape.build)(&format!("on-{i}")).on(&name).arc();
            engine.handle(Input::PodApplied(on), now(), &mut out);
        }
    }
    engine
}

fn decide(bencher: Bencher<'_, '_>, shape: &Shape, every: usize) {
    let pod = (shape.build)("p").arc();
    bencher.with_inputs(|| engine(shape, every)).bench_values(|mut engine| {
        let mut out = Vec::new();
        engine.handle(Input::PodApplied(pod.clone()), now(), &mut out);
        let decision = engine.schedule_one(now(), &mut out, &mut NoProbe);
        (engine, decision)
    });
}

fn shapes() -> impl Iterator<Item = &'static str> {
    SHAPES.iter().map(|s| s.name)
}

fn shape(name: &str) -> &'static Shape {
    SHAPES.iter().find(|s| s.name == name).unwrap_or(&SHAPES[0])
}

#[divan::bench(args = shapes(), sample_count = 5, sample_size = 1)]
fn alone(bencher: Bencher<'_, '_>, name: &str) {
    decide(bencher, shape(name), 0);
}

#[divan::bench(args = shapes(), sample_count = 3, sample_size = 1)]
fn among_its_like(bencher: Bencher<'_, '_>, name: &str) {
    decide(bencher, shape(name), 10);
}
