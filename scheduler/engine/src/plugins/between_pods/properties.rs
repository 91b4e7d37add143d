//! Random clusters that change step by step: the plugins with their kept counts against the oracle.

use std::sync::Arc;

use headroom_core::{
    object::{Pod, PodAffinityTerm, TopologySpreadConstraint},
    taint::Effect,
    testing::{pod, selector, spread, term},
};
use proptest::prelude::*;

use super::{labelled, labels, namespace, oracle, scored, statuses, tagged, view};
use crate::{
    cache::{Cache, NodeInfo},
    framework::{Code, Plugin, PodInfo, PreFilter, Status},
    plugins::{
        inter_pod_affinity::{self, InterPodAffinity},
        pod_topology_spread::{self, PodTopologySpread},
    },
};

const KEYS: [&str; 4] = ["zone", "kubernetes.io/hostname", "rack", "nowhere"];
const SELECTORS: [&str; 7] = ["app=a", "app in (a|b)", "app!=a", "tier", "!tier", "", "app=a,tier"];
const LABELS: [&str; 5] = ["app=a", "app=b", "app=a,tier=x", "tier=y", ""];
const NAMESPACES: [&str; 3] = ["default", "red", "blue"];

#[derive(Debug, Clone)]
enum Step {
    Node(u8, u8),
    NoNode(u8),
    Pod(u8, u8, u64),
    NoPod(u8),
    Relabel(u8, u8),
    Terminate(u8),
    Namespace(u8, bool),
    Ask(u64, u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0_u8..6, any::<u8>()).prop_map(|(i, v)| Step::Node(i, v)),
        1 => (0_u8..6).prop_map(Step::NoNode),
        6 => (0_u8..24, 0_u8..7, any::<u64>()).prop_map(|(i, n, v)| Step::Pod(i, n, v)),
        1 => (0_u8..24).prop_map(Step::NoPod),
        1 => (0_u8..24, any::<u8>()).prop_map(|(i, v)| Step::Relabel(i, v)),
        1 => (0_u8..24).prop_map(Step::Terminate),
        1 => (0_u8..3, any::<bool>()).prop_map(|(i, v)| Step::Namespace(i, v)),
        5 => (any::<u64>(), any::<u8>()).prop_map(|(v, t)| Step::Ask(v, t)),
    ];
    proptest::collection::vec(step, 1..60)
}

/// Takes small numbers out of a large one.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        let face = self.0 % sides as u64;
        self.0 = (self.0 / sides as u64) ^ self.0.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(17);
        face as usize
    }

    fn term(&mut self) -> PodAffinityTerm {
        let mut t = term(SELECTORS[self.roll(7)], KEYS[self.roll(4)]);
        match self.roll(6) {
            0 => t.namespaces = Box::new(["red".into(), "unknown".into()]),
            1 => t.namespace_selector = Some(selector("")),
            2 => t.namespace_selector = Some(selector("team=x")),
            3 => (t.namespaces, t.namespace_selector) = (Box::new(["blue".into()]), Some(selector("team!=x"))),
            _ => {}
        }
        if self.roll(12) == 0 {
            t.selector = None;
        }
        t
    }

    fn constraint(&mut self) -> TopologySpreadConstraint {
        let hard = self.roll(2) == 0;
        let mut c = spread(self.roll(3) as i32 + 1, KEYS[self.roll(4)], hard, SELECTORS[self.roll(7)]);
        c.min_domains = self.roll(4) as i32;
        if self.roll(3) == 0 {
            c.node_affinity = headroom_core::object::NodeInclusion::Ignore;
        }
        if self.roll(3) == 0 {
            c.node_taints = headroom_core::object::NodeInclusion::Honor;
        }
        if self.roll(3) == 0 {
            c.match_label_keys = Box::new(["tier".into(), "absent".into()]);
        }
        if self.roll(12) == 0 {
            c.selector = None;
        }
        c
    }

    fn pod(&mut self, name: &str) -> Arc<Pod> {
        let mut p = tagged(pod(name), LABELS[self.roll(5)]).namespace(NAMESPACES[self.roll(3)]);
        for _ in 0..self.roll(3) {
            p = match self.roll(6) {
                0 | 1 => p.affine(self.term()),
                2 | 3 => p.anti_affine(self.term()),
                4 => p.prefers(self.roll(100) as i32 + 1, self.term()),
                _ => p.avoids(self.roll(100) as i32 + 1, self.term()),
            };
        }
        for _ in 0..self.roll(3) {
            p = p.spread(self.constraint());
        }
        if self.roll(4) == 0 {
            p = p.node_selector("zone", "a");
        }
        if self.roll(4) == 0 {
            p = p.tolerates("dedicated", None, None);
        }
        p.arc()
    }
}

fn relabelled(cache: &Cache, i: u8, change: impl FnOnce(&mut Pod)) -> Option<(PodInfo, headroom_core::Str)> {
    let known = cache.pod(&format!("uid-{i}"))?;
    let mut p = (*known.info.pod).clone();
    change(&mut p);
    let node = cache.any_row(known.slot)?.name.clone();
    Some((PodInfo { pod: Arc::new(p), spec: known.info.spec.clone() }, node))
}

fn change(cache: &mut Cache, step: &Step) {
    match *step {
        Step::Node(i, v) => {
            let mut dice = Dice(u64::from(v));
            let mut text = format!("kubernetes.io/hostname=n{i}");
            for (key, values) in [("zone", ["a", "b", ""]), ("rack", ["r", "s", "t"])] {
                if dice.roll(4) > 0 {
                    text.push_str(&format!(",{key}={}", values[dice.roll(3)]));
                }
            }
            let n = labelled(&format!("n{i}"), &text);
            cache.set_node(if dice.roll(3) == 0 { n.taint("dedicated", "", Effect::NoSchedule) } else { n }.arc());
        }
        Step::NoNode(i) => {
            cache.remove_node(&format!("n{i}"));
        }
        Step::Pod(i, n, v) => {
            // Few templates, so that pods share them.
            let p = Dice(v % 40).pod("p");
            let mut p = (*p).clone();
            p.meta.uid = format!("uid-{i}").into();
            p.node_name = Some(format!("n{n}").into());
            let info = cache.info(Arc::new(p), None);
            cache.set_pod(info, &format!("n{n}").into());
        }
        Step::NoPod(i) => {
            cache.remove_pod(&format!("uid-{i}"));
        }
        Step::Relabel(i, v) => {
            if let Some((info, node)) = relabelled(cache, i, |p| p.meta.labels = labels(LABELS[usize::from(v) % 5])) {
                cache.set_pod(info, &node);
            }
        }
        Step::Terminate(i) => {
            if let Some((info, node)) = relabelled(cache, i, |p| p.meta.set_deleted(Default::default())) {
                cache.set_pod(info, &node);
            }
        }
        Step::Namespace(i, team) => {
            let text = if team { "team=x" } else { "" };
            cache.set_namespace(Arc::new(namespace(NAMESPACES[usize::from(i)], text)));
        }
        Step::Ask(..) => {}
    }
}

fn affinity_codes(all: &[Status]) -> Vec<u8> {
    use inter_pod_affinity::{REASON_AFFINITY, REASON_ANTI_AFFINITY, REASON_EXISTING};
    let code = |s: &Status| match (s.code(), s.message().as_str()) {
        (Code::Success, _) => 0,
        (Code::UnschedulableAndUnresolvable, REASON_AFFINITY) => 1,
        (Code::Unschedulable, REASON_ANTI_AFFINITY) => 2,
        (Code::Unschedulable, REASON_EXISTING) => 3,
        _ => panic!("{s}"),
    };
    all.iter().map(code).collect()
}

fn spread_codes(all: &[Status]) -> Vec<u8> {
    use pod_topology_spread::{REASON, REASON_MISSING_LABEL};
    let code = |s: &Status| match (s.code(), s.message().as_str()) {
        (Code::Success, _) => 0,
        (Code::UnschedulableAndUnresolvable, REASON_MISSING_LABEL) => 1,
        (Code::Unschedulable, REASON) => 2,
        _ => panic!("{s}"),
    };
    all.iter().map(code).collect()
}

/// A state after one pod of `plan` came to `nodes[at]` and those it had went one by one, with the nodes as they are then.
fn tried<P: Plugin>(
    plugin: &P,
    cache: &Cache,
    state: &P::Filter,
    p: &PodInfo,
    dice: &mut Dice,
) -> (P::Filter, Vec<NodeInfo>) {
    let view = view(cache);
    let mut state = state.clone();
    let mut nodes: Vec<NodeInfo> = view.nodes().map(|(_, n)| n.clone()).collect();
    let at = dice.roll(nodes.len());
    let mut placed = nodes[at].pods.clone();
    placed.truncate(dice.roll(3));
    for gone in placed {
        nodes[at].remove(gone.uid());
        plugin.remove_pod(&mut state, p, &gone, &nodes[at], &view);
    }
    // What is being deleted is counted by AddPod and not by PreFilter, as upstream; so add what is not.
    let added = PodInfo::new(dice.pod("added"));
    nodes[at].add(added.clone());
    plugin.add_pod(&mut state, p, &added, &nodes[at], &view);
    (state, nodes)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, ..ProptestConfig::default() })]

    #[test]
    fn counts_kept_equal_counting_anew(all in steps()) {
        let affinity = InterPodAffinity::from_args(None).unwrap();
        let spreading = PodTopologySpread::from_args(None).unwrap();
        let mut cache = Cache::default();
        for step in &all {
            change(&mut cache, step);
            let Step::Ask(v, t) = step else { continue };
            if cache.node_count() == 0 {
                continue;
            }
            let mut dice = Dice(*v);
            let p = PodInfo::new(dice.pod("asked"));
            let view = view(&cache);
            let nodes: Vec<NodeInfo> = view.nodes().map(|(_, n)| n.clone()).collect();
            // Filter, and Filter on a copy after pods went and one came.
            let state = match affinity.pre_filter(&p, &view) {
                PreFilter::Continue(state) => Some(state),
                _ => None,
            };
            let got = state.as_ref().map(|s| affinity_codes(&statuses(&affinity, s, &p, &view)));
            prop_assert_eq!(&got, &oracle::affinity(&p, &nodes, &view), "affinity of {:?}", p.pod);
            if let Some(state) = &state {
                let (state, then) = tried(&affinity, &cache, state, &p, &mut Dice(u64::from(*t)));
                let got: Vec<Status> = then.iter().map(|n| affinity.filter(&state, &p, n)).collect();
                let expected = oracle::affinity(&p, &then, &view).unwrap_or_else(|| vec![0; then.len()]);
                prop_assert_eq!(affinity_codes(&got), expected, "after the change, affinity of {:?}", p.pod);
            }
            let state = match spreading.pre_filter(&p, &view) {
                PreFilter::Continue(state) => Some(state),
                _ => None,
            };
            let got = state.as_ref().map(|s| spread_codes(&statuses(&spreading, s, &p, &view)));
            prop_assert_eq!(&got, &oracle::spread(&p, &nodes), "spreading of {:?}", p.pod);
            let simple = p.pod.spec.topology_spread.iter().all(|c| c.selector.as_ref().is_none_or(|s| !s.is_empty()))
                && nodes.iter().all(|n| n.pods.iter().all(|p| !p.pod.meta.is_terminating()));
            if let Some(state) = state.as_ref().filter(|_| simple) {
                let (state, then) = tried(&spreading, &cache, state, &p, &mut Dice(u64::from(*t)));
                let got: Vec<Status> = then.iter().map(|n| spreading.filter(&state, &p, n)).collect();
                let expected = oracle::spread(&p, &then).unwrap();
                prop_assert_eq!(spread_codes(&got), expected, "after the change, spreading of {:?}", p.pod);
            }
            // Score of some nodes.
            let feasible: Vec<&NodeInfo> =
                view.nodes().filter(|(slot, _)| t >> (slot % 8) & 1 == 1).map(|(_, n)| n).collect();
            let got = scored(&spreading, &p, &feasible, &view);
            prop_assert_eq!(got, oracle::spread_scores(&p, &nodes, &feasible), "spreading of {:?}", p.pod);
            let expected = oracle::affinity_scores(&p, &nodes, 1, &view);
            let got = match affinity.pre_score(&p, &feasible, &view) {
                crate::framework::PreScore::Continue(state) => {
                    Some(nodes.iter().map(|n| affinity.score(&state, &p, n).unwrap()).collect::<Vec<_>>())
                }
                _ => None,
            };
            prop_assert_eq!(got, expected, "affinity of {:?}", p.pod);
            // Normalised row by row and all at once.
            let _ = scored(&affinity, &p, &feasible, &view);
        }
        prop_assert_eq!(cache.difference(&cache.recomputed()), None);
    }
}
