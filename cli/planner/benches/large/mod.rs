//! A large cluster, for the bench and for the test that counts.

use std::{collections::BTreeSet, sync::Arc};

use headroom_core::{
    Now, Str,
    memory::{MIB, Sample},
    object::{Meta, NodeHeadroom, ObjectKey},
    testing::{node, pod, term},
};
use headroom_engine::Input;
use headroom_planner::{Catalogue, Offer, Price, catalogue::Arch, cluster::HOSTNAME, search::Question};

pub(crate) const NODES: usize = 200;
pub(crate) const PODS: usize = 2000;
pub(crate) const WORKLOADS: usize = 40;

pub(crate) fn now() -> Now {
    Now::at_secs(1_800_000_000)
}

/// 2,000 pods of 40 workloads on 200 nodes of 2 CPUs and 4 GiB, each with a sample. The pods of every fourth workload
/// refuse each other's node, as replicas that must not be lost together do.
pub(crate) fn rows() -> Vec<Input> {
    let mut rows = Vec::new();
    for i in 0..NODES {
        let name = format!("n{i}");
        rows.push(Input::NodeApplied(node(&name).capacity("2", "4Gi", 110).arc()));
        let sample = Sample { at: now().wall, working_set: Some(1600 * MIB), swap_used: Some(0), ..Sample::default() };
        rows.push(Input::SampleApplied(Arc::new(NodeHeadroom {
            meta: Meta { key: ObjectKey::new("", name), ..Meta::default() },
            sample: Some(sample),
            system_overhead: Some(300 * MIB),
            ..NodeHeadroom::default()
        })));
    }
    for i in 0..PODS {
        let number = i % WORKLOADS;
        let workload = format!("w{number}");
        let p = pod(&format!("p{i}")).requests("100m", "128Mi").limits("", "256Mi").label("app", &workload);
        let p = if number.is_multiple_of(4) { p.anti_affine(term(&format!("app={workload}"), HOSTNAME)) } else { p };
        // Each node has ten pods of as many workloads.
        let on = format!("n{}", (i / WORKLOADS + number * (PODS / WORKLOADS)) % NODES);
        rows.push(Input::PodApplied(p.owner("ReplicaSet", &workload, &workload).on(&on).arc()));
    }
    rows
}

pub(crate) fn catalogue() -> Catalogue {
    let offer = |name: &str, cpu: i64, mib: i64, price: i64| Offer {
        name: Str::from(name),
        milli_cpu: cpu * 1000,
        memory: mib * MIB,
        pods: 110,
        price: Price(price * 100),
        swap: false,
        arch: Arch::default(),
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

/// The cheapest machines. There may be as many as without `--max-nodes`: what there is today.
pub(crate) fn question(catalogue: &Catalogue, survive: bool) -> Question<'_> {
    Question { catalogue, swap: None, max_nodes: NODES, survive, keep: BTreeSet::new(), separate: None }
}
