//! What a plan costs: `cargo bench -p headroom-planner`.
#![allow(clippy::unwrap_used, reason = "a bench")]

use std::sync::Arc;

use divan::Bencher;
use headroom_core::{
    Now, Str,
    memory::{MIB, Sample},
    object::{Meta, NodeHeadroom, ObjectKey},
    testing::{node, pod},
};
use headroom_engine::Input;
use headroom_planner::{
    Catalogue, Cluster, Offer, Price, Scheduler,
    fleet::Load,
    search::{Question, cheapest},
    today,
};

fn main() {
    divan::main();
}

/// 2,000 pods of 40 workloads on 200 nodes of 2 CPUs and 4 GiB, each with a sample.
fn cluster() -> Cluster {
    let now = Now::at_secs(1_800_000_000);
    let mut inputs = Vec::new();
    for i in 0..200 {
        let name = format!("n{i}");
        inputs.push(Input::NodeApplied(node(&name).capacity("2", "4Gi", 110).arc()));
        let sample = Sample { at: now.wall, working_set: Some(1600 * MIB), swap_used: Some(0), ..Sample::default() };
        inputs.push(Input::SampleApplied(Arc::new(NodeHeadroom {
            meta: Meta { key: ObjectKey::new("", name), ..Meta::default() },
            sample: Some(sample),
            system_overhead: Some(300 * MIB),
            ..NodeHeadroom::default()
        })));
    }
    for i in 0..2000 {
        let workload = format!("w{}", i % 40);
        let p = pod(&format!("p{i}")).requests("100m", "128Mi").limits("", "256Mi").label("app", &workload);
        inputs.push(Input::PodApplied(p.owner("ReplicaSet", &workload, &workload).on(&format!("n{}", i % 200)).arc()));
    }
    Cluster::new(inputs, &Scheduler::standard(), now)
}

fn catalogue() -> Catalogue {
    let offer = |name: &str, cpu: i64, mib: i64, price: i64| Offer {
        name: Str::from(name),
        milli_cpu: cpu * 1000,
        memory: mib * MIB,
        pods: 110,
        price: Price(price * 100),
        swap: false,
    };
    Catalogue {
        name: "bench".into(),
        provider: String::new(),
        date: "2026-11-29".into(),
        source: String::new(),
        currency: "$".into(),
        note: String::new(),
        offers: vec![offer("small", 1, 2048, 12), offer("medium", 2, 4096, 24), offer("large", 4, 8192, 48)],
    }
}

/// `plan`: headroom, the next pod of each workload, the loss of each node.
#[divan::bench(sample_count = 3, sample_size = 1)]
fn now(bencher: Bencher<'_, '_>) {
    let cluster = cluster();
    bencher.bench_local(|| {
        let mut world = cluster.world(&Scheduler::standard()).unwrap();
        let nodes = today::nodes(&cluster, &world, &[]);
        (nodes, today::workloads(&cluster, &mut world), today::losses(&cluster, &mut world))
    });
}

/// `plan --cheapest`.
#[divan::bench(sample_count = 3, sample_size = 1)]
fn cheapest_set(bencher: Bencher<'_, '_>) {
    let (cluster, catalogue, scheduler) = (cluster(), catalogue(), Scheduler::standard());
    bencher.bench_local(|| {
        let load = Load::new(&cluster, &scheduler, []).unwrap();
        let question = Question {
            catalogue: &catalogue,
            swap: None,
            max_nodes: 250,
            survive: false,
            keep: std::collections::BTreeSet::new(),
            separate: None,
        };
        let answer = cheapest(&load, &question).unwrap();
        assert!(answer.placed.is_some());
        (answer.price, answer.lower_bound)
    });
}
