//! What the objects of random clusters look like: pods of every kind that plugins tell apart, machines, samples, volumes.

use std::sync::Arc;

use headroom_core::{
    Str,
    memory::{PodUsage, PressureState, Psi, Sample, SwapBehavior},
    object::{
        AccessModes, Affinity, InTreePlugin, Meta, NO_PROVISIONER, Namespace, NodeAffinity, NodeHeadroom,
        NodeInclusion, ObjectKey, PodAffinityTerm, TopologySpreadConstraint,
    },
    selector::{NodeSelector, NodeSelectorTerm, Operator, PreferredSchedulingTerm, Requirement},
    taint::Effect,
    testing::{
        NodeBuilder, PodBuilder, allowed_in, claim, container, csi_node, immediate_class, node, pod, selector, spread,
        term, volume, waiting_class,
    },
};

use super::Simulator;
use crate::cache::StorageObject;

/// How many pods there may be.
pub(super) const PODS: u8 = 48;
const HOST: &str = "kubernetes.io/hostname";
const CSI: &str = "csi.example.com";

fn req(key: &str, operator: Operator, values: &[&str]) -> Requirement {
    Requirement { key: key.into(), operator, values: values.iter().map(|v| Str::from(*v)).collect() }
}

fn labelled(r: Requirement) -> NodeSelectorTerm {
    NodeSelectorTerm { match_expressions: Box::new([r]), match_fields: Box::new([]) }
}

fn affinity(p: PodBuilder, required: Vec<NodeSelectorTerm>, preferred: Vec<NodeSelectorTerm>) -> PodBuilder {
    p.spec(|s| {
        s.affinity = Some(Box::new(Affinity {
            node: Some(NodeAffinity {
                required: (!required.is_empty()).then(|| NodeSelector { terms: required.into() }),
                preferred: preferred
                    .into_iter()
                    .map(|preference| PreferredSchedulingTerm { weight: 7, preference })
                    .collect(),
            }),
            ..Affinity::default()
        }));
    })
}

/// Pods of every kind that plugins tell apart, hostile ones included.
pub(crate) fn template(i: u8, t: u8) -> PodBuilder {
    let p = pod(&format!("p{}", i % PODS)).label("set", ["x", "y", "z"][usize::from(i) % 3]);
    let p = if i % 5 == 4 { p.namespace("other") } else { p };
    let p = if i % 6 == 5 { p.priority(100) } else { p };
    match t % 40 {
        32.. => with_volumes(p, i, t % 40 - 32),
        20.. => between_pods(p.label("app", ["a", "b"][usize::from(i) % 2]), t % 40 - 20),
        0 => p,
        1 => p.requests("500m", "256Mi"),
        2 => p.requests("100m", "64Mi").limits("", "256Mi"),
        3 => p.requests("2", "2Gi").priority(5),
        4 => p.requests("250m", "128Mi").limits("250m", "128Mi"),
        5 => p.node_selector("zone", "a").requests("100m", "64Mi"),
        6 => p.tolerates("dedicated", None, None).requests("1", "32Mi"),
        7 => p.container(container("c").port("", 80, 8080)),
        8 => affinity(p, vec![labelled(req("zone", Operator::In, &["a", "b"]))], vec![]),
        9 => affinity(
            p,
            vec![],
            vec![labelled(req("zone", Operator::In, &["b"])), labelled(req("disk", Operator::Exists, &[]))],
        )
        .requests("100m", "100Mi"),
        10 => {
            let fields = Box::new([req("metadata.name", Operator::In, &["n1", "n3", "nowhere"])]);
            let named = NodeSelectorTerm { match_fields: fields, ..NodeSelectorTerm::default() };
            affinity(p, vec![named], vec![])
        }
        11 => p.gate("wait"),
        12 => p.annotation("headroom.dev/memory-hint", "300Mi").requests("1m", "1Mi"),
        13 => p.annotation("headroom.dev/swap", "never").requests("100m", "64Mi").limits("", "512Mi"),
        14 => p.owner("DaemonSet", "ds", "ds").requests("10m", "16Mi"),
        15 => p.requests("9223372036854775807", "9223372036854775807"),
        16 => p.requests("0", "0").overhead("8E", "8E"),
        17 => p.container(container("c")).spec(|s| {
            s.containers[0].requests.scalars = Box::new([("example.com/gpu".into(), 1), ("zero".into(), 0)]);
        }),
        18 => p.priority(2_000_000_000).requests("100m", "64Mi"),
        _ => p.with(|x| x.status.nominated_node_name = Some("n2".into())).requests("1", "512Mi").priority(1),
    }
}

/// Pods that look at other pods.
fn between_pods(p: PodBuilder, t: u8) -> PodBuilder {
    let (zone, host) = ("zone", HOST);
    match t {
        0 => p.spread(spread(1, zone, true, "app=a")),
        1 => p.spread(spread(1, host, true, "app in (a|b)")).requests("100m", "64Mi"),
        2 => p.spread(spread(1, zone, false, "app=a")).spread(spread(2, host, false, "app")),
        3 => p.spread(TopologySpreadConstraint {
            min_domains: 3,
            node_taints: NodeInclusion::Honor,
            match_label_keys: Box::new(["app".into()]),
            ..spread(1, zone, true, "")
        }),
        4 => p.affine(term("app=a", zone)),
        5 => p.anti_affine(term("app=a", host)),
        6 => p.anti_affine(term("app", zone)).priority(3),
        7 => p.prefers(50, term("app=b", zone)).requests("250m", "64Mi"),
        8 => p.avoids(10, term("app=a", host)).avoids(20, term("app=b", "disk")),
        9 => p.affine(term("app=a", zone)).anti_affine(term("app=a", host)),
        10 => p.anti_affine(PodAffinityTerm { namespace_selector: Some(selector("team!=x")), ..term("app=b", zone) }),
        _ => p.container(container("c").image("web:1")).owner("ReplicaSet", "rs", "rs"),
    }
}

pub(crate) fn machine(i: u8, v: u8) -> NodeBuilder {
    let n = node(&format!("n{i}")).label("zone", ["a", "b", "c"][usize::from(v) % 3]);
    let n = match v % 5 {
        0 => n.capacity("2", "1Gi", 6),
        1 => n.capacity("4", "4Gi", 10).swap("2Gi"),
        2 => n.capacity("1", "512Mi", 4).swap("1Gi"),
        3 => n.capacity("8", "8Gi", 20).extended("example.com/gpu", 2),
        _ => n.capacity("0", "0", 0),
    };
    match v / 5 % 9 {
        0 => n.unschedulable(),
        1 => n.taint("dedicated", "x", Effect::NoSchedule),
        2 => n.taint("soft", "x", Effect::PreferNoSchedule).label("disk", "ssd"),
        3 => n.label("node-role.kubernetes.io/control-plane", ""),
        4 => n.annotation("headroom.dev/swap-media", "hdd"),
        5 => n.image(&["web:1"], 700 << 20),
        6 => n
            .image(&["web:1", "web@sha256:0"], 300 << 20)
            .with(|n| n.meta.labels = [("disk", "hdd")].into_iter().collect()),
        _ => n,
    }
}

pub(super) fn sample(s: &Simulator, i: u8, v: u8, w: u16) -> NodeHeadroom {
    let name = format!("n{i}");
    let capacity = s.nodes.get(name.as_str()).map_or(1 << 30, |n| n.capacity.memory);
    let state =
        [PressureState::Calm, PressureState::Elevated, PressureState::Hot, PressureState::Thrash][usize::from(v) % 4];
    let mut pods: Vec<_> = s
        .pods
        .values()
        .filter(|p| p.node_name.as_deref() == Some(&name) && !w.is_multiple_of(3))
        .map(|p| {
            let usage = PodUsage {
                working_set: i64::from(w) << 12,
                swap: (!v.is_multiple_of(3)).then_some(i64::from(w) << 8),
                swap_available: (!v.is_multiple_of(5)).then_some(1 << 20),
            };
            (p.meta.uid.clone(), usage)
        })
        .collect();
    pods.sort_by(|a, b| a.0.cmp(&b.0));
    NodeHeadroom {
        meta: Meta { key: ObjectKey::new("", name), ..Meta::default() },
        sample: (v != 7).then(|| Sample {
            at: s.now.wall,
            working_set: Some(capacity / 65_536 * i64::from(w)),
            swap_used: (v % 3 != 1).then_some(i64::from(w) << 10),
            psi: v.is_multiple_of(2).then(|| Psi {
                some10: 1.0,
                some60: f64::from(v) / 16.0,
                full10: 0.0,
                full60: 0.0,
            }),
            state: if v < 128 { PressureState::Calm } else { state },
            state_since: Some(s.now.wall),
            ..Sample::default()
        }),
        eviction_hard: Some(0),
        swap_behavior: [Some(SwapBehavior::LimitedSwap), Some(SwapBehavior::NoSwap), None][usize::from(v) % 3],
        swap_capacity: Some(1 << 30),
        ..NodeHeadroom { pods: pods.into(), ..NodeHeadroom::default() }
    }
}

/// Pods with volumes.
fn with_volumes(p: PodBuilder, i: u8, t: u8) -> PodBuilder {
    let own = format!("c{}", i % 4);
    match t {
        0 => p.claim(&own),
        1 => p.claim("c0").claim("c1").requests("100m", "64Mi"),
        2 => p.ephemeral("v"),
        3 => p.inline(InTreePlugin::GcePd, "disk", false),
        4 => p.inline(InTreePlugin::GcePd, "disk", true).requests("500m", "64Mi"),
        5 => p.inline(InTreePlugin::AwsEbs, "vol-1", false),
        6 => p.claim(&own).requests("1", "256Mi").priority(6),
        _ => p.claim(&own).label("app", "a").spread(spread(1, "zone", true, "app=a")),
    }
}

const CLASSES: [&str; 4] = ["local", "made", "now", "csi"];

/// A claim of one of a few names; some belong to the ephemeral volume of a pod.
pub(super) fn a_claim(i: u8, v: u8) -> StorageObject {
    let owner = format!("p{}", i % PODS);
    let c =
        if i.is_multiple_of(3) { claim(&format!("{owner}-v")).of_pod(&owner) } else { claim(&format!("c{}", i % 4)) };
    let c = c.class(CLASSES[usize::from(v) % 4]).request(["1Gi", "2Gi", "500Mi"][usize::from(v) / 4 % 3]);
    let c = match v / 12 % 5 {
        0 => c.modes(AccessModes::READ_WRITE_ONCE_POD),
        1 => c.modes(AccessModes::READ_WRITE_MANY),
        _ => c,
    };
    StorageObject::Claim(if v / 60 == 1 { c.bound(&format!("v{}", i % 6)).arc() } else { c.arc() })
}

/// A volume of one of a few names.
pub(super) fn a_volume(i: u8, v: u8) -> StorageObject {
    let name = format!("v{}", i % 6);
    let b = volume(&name).class(CLASSES[usize::from(v) % 4]).capacity(["1Gi", "9Gi"][usize::from(v) / 4 % 2]);
    let b = match v / 8 % 5 {
        0 => b.affinity("zone", &["a"]),
        1 => b.affinity("zone", &["b", "c"]).affinity("disk", &["ssd"]),
        2 => b.affinity(HOST, &[&format!("n{}", i % 8)]),
        3 => b.label("topology.kubernetes.io/zone", "a"),
        _ => b,
    };
    let b = if v % 4 == 3 { b.csi(CSI, &name) } else { b };
    let b = match v / 40 % 6 {
        0 => b.for_claim(&format!("c{}", i % 4), &format!("uid-c{}", i % 4)),
        1 => b.for_claim(&format!("c{}", i % 4), ""),
        2 => b.in_tree(InTreePlugin::GcePd, &name),
        _ => b,
    };
    StorageObject::Volume(b.arc())
}

/// A class of one of a few names, or the CSI drivers of a node.
pub(super) fn a_class(i: u8, v: u8) -> StorageObject {
    let class = match i % 6 {
        0 => waiting_class("local", NO_PROVISIONER),
        1 => waiting_class("made", "example.com/p"),
        2 => immediate_class("now", "example.com/p"),
        3 => waiting_class("csi", CSI),
        _ => {
            let migrated = if v.is_multiple_of(3) { "kubernetes.io/gce-pd" } else { "" };
            let limits = [(CSI, Some(i32::from(v % 3))), ("pd.csi.storage.gke.io", Some(1))];
            return StorageObject::CsiNode(Arc::new(csi_node(&format!("n{}", v % 8), &limits, migrated)));
        }
    };
    let class = if v.is_multiple_of(4) { allowed_in(class, "zone", &["a", "b"]) } else { class };
    StorageObject::Class(Arc::new(class))
}

/// One of two namespaces, with one of a few labels.
pub(super) fn a_namespace(i: u8, v: u8) -> Namespace {
    let name = ["default", "other"][usize::from(i) % 2];
    let labels = [("team", ["x", "y"][usize::from(v) % 2]), ("headroom.dev/enforcement", "Score")];
    let meta = Meta {
        key: ObjectKey::new("", name),
        labels: labels.into_iter().take(usize::from(v) / 2 % 3).collect(),
        ..Meta::default()
    };
    Namespace { meta, terminating: v > 250 }
}
