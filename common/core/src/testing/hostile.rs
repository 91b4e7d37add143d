//! Pods as large as an API server may let them be (about 1.5 MB), or stranger: a user can write them, so nobody may be
//! stopped by them.

use super::{PodBuilder, container, pod, spread, term};
use crate::{
    object::{
        Affinity, ContainerPort, InTreePlugin, NodeAffinity, NodeInclusion, TopologySpreadConstraint, Volume,
        VolumeKind,
    },
    selector::{LabelSelector, Labels, NodeSelector, NodeSelectorTerm, Operator, PreferredSchedulingTerm, Requirement},
    str::Str,
    taint::{Toleration, TolerationOperator},
};

/// A hostile pod.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    /// What it has too many of.
    pub name: &'static str,
    /// Whether nodes of [`super::node`] can take it, unlabelled and otherwise empty.
    pub fits: bool,
    /// The pod, of this name.
    pub build: fn(&str) -> PodBuilder,
}

const fn fits(name: &'static str, build: fn(&str) -> PodBuilder) -> Shape {
    Shape { name, fits: true, build }
}

const fn not(name: &'static str, build: fn(&str) -> PodBuilder) -> Shape {
    Shape { name, fits: false, build }
}

/// All of them, an ordinary one first.
pub const SHAPES: &[Shape] = &[
    fits("ordinary", |name| pod(name).requests("1m", "1Mi")),
    fits("labels 10000", |name| pod(name).with(|p| p.meta.labels = many_labels(10_000))),
    fits("annotations 1MiB", |name| {
        let text = "9".repeat(1 << 20);
        pod(name).annotation("headroom.dev/memory-hint", &text).annotation("headroom.dev/swap", &text)
    }),
    not("node selector 5000", |name| pod(name).spec(|s| s.node_selector = many_labels(5000))),
    not("node affinity terms 5000", |name| {
        node_affinity(name, (0..5000).map(|i| labelled(req(&format!("k{i}"), Operator::In, &["x"]))).collect(), vec![])
    }),
    fits("node affinity values 20000", |name| {
        let values: Vec<String> = (0..20_000).map(|i| format!("v{i}")).collect();
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        node_affinity(name, vec![labelled(req("kubernetes.io/hostname", Operator::NotIn, &values))], vec![])
    }),
    not("node affinity names 20000", |name| {
        node_affinity(name, vec![fields(vec![named(20_000)]), fields(vec![named(20_000)])], vec![])
    }),
    not("node affinity names twice", |name| {
        node_affinity(name, vec![fields(vec![named(20_000), named(20_000)])], vec![])
    }),
    fits("preferred nodes 5000", |name| {
        let term = |i| labelled(req("kubernetes.io/hostname", Operator::In, &[&format!("node-{i}")]));
        node_affinity(name, vec![], (0..5000).map(term).collect())
    }),
    fits("tolerations 5000", |name| pod(name).spec(|s| s.tolerations = (0..5000).map(toleration).collect())),
    not("pod affinity 500", |name| (0..500).fold(pod(name), |p, i| p.affine(term(&format!("k{i}=x"), HOST)))),
    fits("pod anti-affinity 500", |name| {
        (0..500).fold(pod(name), |p, i| p.anti_affine(term(&format!("k{i}=x"), HOST)))
    }),
    fits("preferred pods 500", |name| (0..500).fold(pod(name), |p, i| p.prefers(1, term(&format!("k{i}=x"), HOST)))),
    fits("spread hard 200", |name| {
        (0..200).fold(pod(name), |p, i| p.spread(spread(1, HOST, true, &format!("k{i}=x"))))
    }),
    fits("spread soft 200", |name| {
        (0..200).fold(pod(name), |p, i| p.spread(spread(1, HOST, false, &format!("k{i}=x"))))
    }),
    fits("containers 3000", |name| {
        pod(name).spec(|s| {
            s.containers = (0..3000).map(|i| container(&format!("c{i}")).requests("1n", "1").build()).collect();
        })
    }),
    fits("init containers 3000", |name| {
        let one = |i| container(&format!("i{i}")).requests("1n", "1");
        let one = |i| if i % 2 == 0 { one(i).restartable() } else { one(i) };
        pod(name).spec(|s| s.init_containers = (0..3000).map(|i| one(i).build()).collect())
    }),
    fits("host ports 10000", |name| {
        let port = |i| ContainerPort { host_port: 10_000 + i, container_port: i, ..ContainerPort::default() };
        pod(name).container(container("c")).spec(|s| s.containers[0].ports = (0..10_000).map(port).collect())
    }),
    not("resources 5000", |name| {
        let scalars: Vec<(Str, i64)> = (0..5000).map(|i| (format!("example.com/r{i:04}").into(), 1)).collect();
        pod(name).requests("1m", "1Mi").spec(|s| s.containers[0].requests.scalars = scalars.into())
    }),
    not("resources of containers 2000", |name| {
        let one = |i: usize| {
            let mut c = container(&format!("c{i}")).build();
            c.requests.scalars = Box::new([(format!("example.com/r{:04}", (i * 7919) % 2000).into(), 1)]);
            c
        };
        pod(name).spec(|s| s.containers = (0..2000).map(one).collect())
    }),
    fits("disks 3000", |name| {
        let disk = |i| VolumeKind::InTree { plugin: InTreePlugin::GcePd, id: format!("{i}").into(), read_only: true };
        volumes(name, (0..3000).map(disk))
    }),
    not("claims 3000", |name| {
        volumes(name, (0..3000).map(|i| VolumeKind::PersistentVolumeClaim(format!("claim-{i}").into())))
    }),
    not("ephemeral volumes 3000", |name| volumes(name, (0..3000).map(|_| VolumeKind::Ephemeral))),
    fits("images 3000", |name| {
        let image = |i| container(&format!("c{i}")).image(&format!("registry.example/image{i}")).build();
        pod(name).spec(|s| s.containers = (0..3000).map(image).collect())
    }),
    not("gates 5000", |name| {
        pod(name).spec(|s| s.scheduling_gates = (0..5000).map(|i| format!("g{i}").into()).collect())
    }),
    not("greatest amounts", |name| {
        let most = "9223372036854775807Ei";
        pod(name)
            .container(container("a").requests(most, most))
            .container(container("b").requests(most, most))
            .overhead(most, most)
    }),
    fits("negative amounts", |name| {
        let least = "-9223372036854775807Ei";
        pod(name)
            .container(container("a").requests(least, least))
            .container(container("b").requests(least, least))
            .overhead(least, least)
    }),
    not("selectors that are not valid", |name| {
        let strange = [Operator::Unknown, Operator::Gt, Operator::Lt, Operator::In].map(|o| req("", o, &["", "x"]));
        let selector = LabelSelector { requirements: strange.clone().into() };
        let constraint = TopologySpreadConstraint {
            max_skew: i32::MIN,
            topology_key: "".into(),
            hard: true,
            selector: Some(selector.clone()),
            min_domains: i32::MIN,
            node_affinity: NodeInclusion::Honor,
            node_taints: NodeInclusion::Honor,
            match_label_keys: Box::new(["".into(), "app".into()]),
        };
        let mut odd = term("", "");
        (odd.selector, odd.namespace_selector) = (Some(selector.clone()), Some(selector));
        node_affinity(name, strange.map(labelled).to_vec(), vec![NodeSelectorTerm::default()])
            .spread(constraint)
            .affine(odd.clone())
            .anti_affine(odd.clone())
            .prefers(i32::MAX, odd.clone())
            .avoids(i32::MIN, odd)
    }),
];

const HOST: &str = "kubernetes.io/hostname";

fn many_labels(count: usize) -> Labels {
    Labels::new((0..count).map(|i| (format!("example.com/key-{i}").into(), "value".into())).collect())
}

fn req(key: &str, operator: Operator, values: &[&str]) -> Requirement {
    Requirement { key: key.into(), operator, values: values.iter().map(|v| Str::from(*v)).collect() }
}

fn labelled(requirement: Requirement) -> NodeSelectorTerm {
    NodeSelectorTerm { match_expressions: Box::new([requirement]), ..NodeSelectorTerm::default() }
}

/// Nodes by name, none of which there is.
fn named(count: usize) -> Requirement {
    let values = (0..count).map(|i| format!("no-such-node-{i}").into()).collect();
    Requirement { key: "metadata.name".into(), operator: Operator::In, values }
}

fn fields(all: Vec<Requirement>) -> NodeSelectorTerm {
    NodeSelectorTerm { match_fields: all.into(), ..NodeSelectorTerm::default() }
}

fn node_affinity(name: &str, required: Vec<NodeSelectorTerm>, preferred: Vec<NodeSelectorTerm>) -> PodBuilder {
    let weighted = |preference| PreferredSchedulingTerm { weight: 1, preference };
    let node = NodeAffinity {
        required: (!required.is_empty()).then(|| NodeSelector { terms: required.into() }),
        preferred: preferred.into_iter().map(weighted).collect(),
    };
    pod(name).spec(|s| s.affinity = Some(Box::new(Affinity { node: Some(node), ..Affinity::default() })))
}

fn toleration(i: usize) -> Toleration {
    let operator = if i.is_multiple_of(2) { TolerationOperator::Equal } else { TolerationOperator::Lt };
    Toleration { key: format!("k{i}").into(), operator, value: "1".into(), effect: None, seconds: None }
}

fn volumes(name: &str, kinds: impl Iterator<Item = VolumeKind>) -> PodBuilder {
    let named = kinds.enumerate().map(|(i, kind)| Volume { name: format!("v{i}").into(), kind });
    pod(name).spec(|s| s.volumes = named.collect())
}
