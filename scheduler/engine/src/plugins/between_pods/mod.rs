//! Tests of the plugins that look at other pods: a small cluster in a cache, and a plain recomputation as the oracle.

mod oracle;
mod properties;

use headroom_core::{
    Now,
    object::{Affinity, Meta, Namespace, NodeAffinity, ObjectKey},
    selector::{Labels, NodeSelector, NodeSelectorTerm},
    taint::Effect,
    testing::{NodeBuilder, PodBuilder, node, pod, selector},
};

use crate::{
    cache::{Cache, NodeInfo},
    framework::{Code, Plugin, PodInfo, PreFilter, PreScore, Status, View},
};

/// Labels from `"a=b,c"`; a key alone has the empty value.
pub(super) fn labels(text: &str) -> Labels {
    text.split(',').filter(|p| !p.is_empty()).map(|p| p.split_once('=').unwrap_or((p, ""))).collect()
}

/// A node with exactly these labels.
pub(super) fn labelled(name: &str, text: &str) -> NodeBuilder {
    node(name).with(|n| n.meta.labels = labels(text))
}

/// A pod with these labels.
pub(super) fn tagged(p: PodBuilder, text: &str) -> PodBuilder {
    p.with(|p| p.meta.labels = labels(text))
}

/// Nodes from `"a:zone=1,node=a b!:zone=1"`: their names and labels; those with a mark are cordoned, by taint.
pub(super) fn nodes_of(text: &str) -> Vec<NodeBuilder> {
    let parts = text.split_whitespace().map(|part| {
        let (name, rest) = part.split_once(':').unwrap();
        match name.strip_suffix('!') {
            Some(name) => labelled(name, rest).taint("node.kubernetes.io/unschedulable", "", Effect::NoSchedule),
            None => labelled(name, rest),
        }
    });
    parts.collect()
}

/// Pods from `"a:foo,bar b:other/foo b:-foo"`: the node, the namespace unless it is `default`, and the labels of each;
/// a minus says that it is being deleted.
pub(super) fn pods_of(text: &str) -> Vec<(&str, PodBuilder)> {
    let parts = text.split_whitespace().map(|part| {
        let (node, rest) = part.split_once(':').unwrap();
        let (namespace, rest) = rest.split_once('/').unwrap_or(("default", rest));
        let p = tagged(pod("there").namespace(namespace), rest.trim_start_matches('-'));
        (node, if rest.starts_with('-') { p.deleted(1) } else { p })
    });
    parts.collect()
}

/// Requires nodes with these labels, written as a selector is.
pub(super) fn requiring(p: PodBuilder, text: &str) -> PodBuilder {
    let term = NodeSelectorTerm { match_expressions: selector(text).requirements, match_fields: Box::new([]) };
    let node = NodeAffinity { required: Some(NodeSelector { terms: Box::new([term]) }), preferred: Box::new([]) };
    p.spec(|s| s.affinity = Some(Box::new(Affinity { node: Some(node), ..Affinity::default() })))
}

/// A namespace.
pub(super) fn namespace(name: &str, text: &str) -> Namespace {
    Namespace {
        meta: Meta { key: ObjectKey::new("", name), labels: labels(text), ..Meta::default() },
        terminating: false,
    }
}

/// A cache with these nodes and pods; pods get UIDs of their own.
pub(super) fn cluster(nodes: &[NodeBuilder], pods: &[(&str, PodBuilder)]) -> Cache {
    let mut cache = Cache::default();
    for n in nodes {
        cache.set_node(n.clone().arc());
    }
    for (i, (node, p)) in pods.iter().enumerate() {
        let pod = p.clone().uid(&format!("placed-{i}")).on(node).arc();
        let info = cache.info(pod, None);
        cache.set_pod(info, &(*node).into());
    }
    cache
}

/// What PreFilter and Filter say of every node, by slot; absent when PreFilter skips.
pub(super) fn filtered<P: Plugin>(plugin: &P, pod: &PodInfo, view: &View<'_>) -> Option<Vec<Status>> {
    match plugin.pre_filter(pod, view) {
        PreFilter::Skip => None,
        PreFilter::Continue(state) => Some(statuses(plugin, &state, pod, view)),
        PreFilter::Reject(status) => Some(view.nodes().map(|_| status.clone()).collect()),
        PreFilter::Narrow(..) => panic!("it never narrows"),
    }
}

pub(super) fn statuses<P: Plugin>(plugin: &P, state: &P::Filter, pod: &PodInfo, view: &View<'_>) -> Vec<Status> {
    let all: Vec<Status> = view.nodes().map(|(_, n)| plugin.filter(state, pod, n)).collect();
    let mut open = vec![true; view.cache.slots()];
    assert!(plugin.filter_rows(state, pod, &mut open), "both can");
    for ((slot, node), status) in view.nodes().zip(&all) {
        assert_eq!(open[slot as usize], status.is_success(), "all at once, {}: {status}", node.name);
    }
    all
}

/// Reasons in short: `ok` or the text.
pub(super) fn reasons(all: &[Status]) -> Vec<String> {
    all.iter().map(|s| if s.code() == Code::Success { "ok".to_owned() } else { s.message() }).collect()
}

/// Normalised scores of the nodes of these names; absent when PreScore skips.
pub(super) fn scored<P: Plugin>(
    plugin: &P,
    pod: &PodInfo,
    feasible: &[&NodeInfo],
    view: &View<'_>,
) -> Option<Vec<i64>> {
    let state = match plugin.pre_score(pod, feasible, view) {
        PreScore::Skip => return None,
        PreScore::Continue(state) => state,
        PreScore::Fail(status) => panic!("{status}"),
    };
    assert!(plugin.may_score(pod, view), "what scores says so");
    let raw: Vec<P::Raw> = feasible.iter().map(|n| plugin.score(&state, pod, n).unwrap()).collect();
    let mut bounds = P::Bounds::default();
    for r in &raw {
        plugin.bound(&mut bounds, r);
    }
    let all: Vec<i64> = raw.iter().map(|r| plugin.normalize(r, &bounds)).collect();
    assert_eq!(scored_at_once(plugin, pod, feasible, view, &bounds), Some(all.clone()), "all at once");
    Some(all)
}

/// The same by way of rows.
fn scored_at_once<P: Plugin>(
    plugin: &P,
    pod: &PodInfo,
    feasible: &[&NodeInfo],
    view: &View<'_>,
    bounds: &P::Bounds,
) -> Option<Vec<i64>> {
    let mut open = vec![false; view.cache.slots()];
    for node in feasible {
        open[node.slot as usize] = true;
    }
    let Some(PreScore::Continue(state)) = plugin.pre_score_rows(pod, &open, view) else { return None };
    let (mut raw, mut normalized) = (vec![P::Raw::default(); open.len()], vec![0; open.len()]);
    assert!(plugin.score_rows(&state, pod, &open, &mut raw), "both can");
    if !plugin.normalize_rows(&raw, bounds, &open, &mut normalized) {
        return Some(feasible.iter().map(|n| plugin.normalize(&raw[n.slot as usize], bounds)).collect());
    }
    Some(feasible.iter().map(|n| i64::from(normalized[n.slot as usize])).collect())
}

/// The view of a cache at no time in particular.
pub(super) fn view(cache: &Cache) -> View<'_> {
    View::new(cache, Now::default())
}
