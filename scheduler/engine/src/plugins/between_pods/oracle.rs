//! What the plugins must say, worked out the plain way: every pod of every node, maps by label and value.

use std::collections::{BTreeMap, BTreeSet};

use headroom_core::{
    object::{NodeInclusion, PodAffinityTerm, TopologySpreadConstraint},
    selector::{LabelSelector, Labels},
    taint::{Effect, first_untolerated},
};

use crate::{
    cache::NodeInfo,
    framework::{PodInfo, View},
};

type Pair = (String, String);

fn value(node: &NodeInfo, key: &str) -> Option<String> {
    node.node.meta.labels.get(key).map(ToString::to_string)
}

/// Whether a term of `owner` means `pod`, one of which is the pending pod, `asked`.
fn term_means(term: &PodAffinityTerm, owner: &PodInfo, pod: &PodInfo, asked: &PodInfo, view: &View<'_>) -> bool {
    let namespace = &pod.pod.meta.key.namespace;
    let listed = if term.namespaces.is_empty() && term.namespace_selector.is_none() {
        owner.pod.meta.key.namespace == *namespace
    } else {
        let labels = view.cache.namespace(namespace).map(|n| n.meta.labels.clone());
        let selected = |s: &LabelSelector| match &labels {
            Some(labels) => s.matches(labels),
            // The pending pod's own selectors choose among the namespaces that there are; a namespace that is not
            // known has no labels otherwise.
            None => s.is_empty() || (owner.uid() != asked.uid() && s.matches(&Labels::default())),
        };
        term.namespaces.contains(namespace) || term.namespace_selector.as_ref().is_some_and(selected)
    };
    listed && term.selector.as_ref().is_some_and(|s| s.matches(&pod.pod.meta.labels))
}

fn anti_terms(p: &PodInfo) -> Vec<PodAffinityTerm> {
    p.pod.spec.affinity.as_ref().map(|a| a.pod_anti_required.to_vec()).unwrap_or_default()
}

/// Inter-pod affinity on every node: `None` is a skip, else 0 to 3 for fine, affinity, anti-affinity, existing pods.
/// `nodes` are the nodes with the pods as they are supposed to be.
pub(super) fn affinity(pod: &PodInfo, nodes: &[NodeInfo], view: &View<'_>) -> Option<Vec<u8>> {
    let own = pod.pod.spec.affinity.as_ref();
    let wanted = own.map(|a| a.pod_required.to_vec()).unwrap_or_default();
    let hated = anti_terms(pod);
    let (mut near, mut far, mut theirs) = (BTreeSet::<Pair>::new(), BTreeSet::<Pair>::new(), BTreeSet::<Pair>::new());
    let all = |p: &PodInfo| !wanted.is_empty() && wanted.iter().all(|t| term_means(t, pod, p, pod, view));
    for n in nodes {
        for p in &n.pods {
            for t in anti_terms(p).iter().filter(|t| term_means(t, p, pod, pod, view)) {
                theirs.extend(value(n, &t.topology_key).map(|v| (t.topology_key.to_string(), v)));
            }
            if all(p) {
                near.extend(
                    wanted.iter().filter_map(|t| Some((t.topology_key.to_string(), value(n, &t.topology_key)?))),
                );
            }
            for t in hated.iter().filter(|t| term_means(t, pod, p, pod, view)) {
                far.extend(value(n, &t.topology_key).map(|v| (t.topology_key.to_string(), v)));
            }
        }
    }
    if theirs.is_empty() && wanted.is_empty() && hated.is_empty() {
        return None;
    }
    let on =
        |n: &NodeInfo, set: &BTreeSet<Pair>, key: &str| value(n, key).is_some_and(|v| set.contains(&(key.into(), v)));
    let verdict = |n: &NodeInfo| {
        let labelled = wanted.iter().all(|t| value(n, &t.topology_key).is_some());
        let met = wanted.iter().all(|t| on(n, &near, &t.topology_key));
        if !(labelled && (met || near.is_empty() && all(pod))) {
            1
        } else if hated.iter().any(|t| on(n, &far, &t.topology_key)) {
            2
        } else {
            3 * u8::from(theirs.iter().any(|(key, v)| value(n, key).as_deref() == Some(v)))
        }
    };
    Some(nodes.iter().map(verdict).collect())
}

/// Its raw scores; `None` is a skip.
pub(super) fn affinity_scores(pod: &PodInfo, nodes: &[NodeInfo], hard: i64, view: &View<'_>) -> Option<Vec<i64>> {
    let mut sums: BTreeMap<Pair, i64> = BTreeMap::new();
    let mut add = |n: &NodeInfo, t: &PodAffinityTerm, weight: i64| {
        if let Some(v) = value(n, &t.topology_key) {
            *sums.entry((t.topology_key.to_string(), v)).or_default() += weight;
        }
    };
    for n in nodes {
        for p in &n.pods {
            if let Some(own) = &pod.pod.spec.affinity {
                for (list, sign) in [(&own.pod_preferred, 1), (&own.pod_anti_preferred, -1)] {
                    for t in list.iter().filter(|t| term_means(&t.term, pod, p, pod, view)) {
                        add(n, &t.term, sign * i64::from(t.weight));
                    }
                }
            }
            if let Some(theirs) = &p.pod.spec.affinity {
                for t in theirs.pod_required.iter().filter(|t| hard > 0 && term_means(t, p, pod, pod, view)) {
                    add(n, t, hard);
                }
                for (list, sign) in [(&theirs.pod_preferred, 1), (&theirs.pod_anti_preferred, -1)] {
                    for t in list.iter().filter(|t| term_means(&t.term, p, pod, pod, view)) {
                        add(n, &t.term, sign * i64::from(t.weight));
                    }
                }
            }
        }
    }
    let score = |n: &NodeInfo| {
        let mine = sums.iter().filter(|((key, v), _)| value(n, key).as_deref() == Some(v));
        mine.map(|(_, sum)| *sum).sum()
    };
    (!sums.is_empty()).then(|| nodes.iter().map(score).collect())
}

fn spread_selector(c: &TopologySpreadConstraint, pod: &PodInfo) -> Option<LabelSelector> {
    let merged: Vec<(_, _)> =
        c.match_label_keys.iter().filter_map(|k| Some((k.clone(), pod.pod.meta.labels.get(k)?.clone()))).collect();
    let keys = LabelSelector::of_labels(&Labels::new(merged));
    let s = c.selector.as_ref()?;
    Some(LabelSelector { requirements: keys.requirements.iter().chain(&s.requirements).cloned().collect() })
}

fn included(c: &TopologySpreadConstraint, pod: &PodInfo, n: &NodeInfo) -> bool {
    let spec = &pod.pod.spec;
    let required = spec.affinity.as_ref().and_then(|a| a.node.as_ref()).and_then(|a| a.required.as_ref());
    let labels = &n.node.meta.labels;
    let affine = spec.node_selector.selects(labels) && required.is_none_or(|r| r.matches(&n.name, labels));
    let hard = [Effect::NoSchedule, Effect::NoExecute];
    let tolerated = first_untolerated(&n.node.taints, &spec.tolerations, &hard).is_none();
    (c.node_affinity == NodeInclusion::Ignore || affine) && (c.node_taints == NodeInclusion::Ignore || tolerated)
}

fn count(n: &NodeInfo, pod: &PodInfo, selector: Option<&LabelSelector>) -> i64 {
    let Some(selector) = selector.filter(|s| !s.is_empty()) else { return 0 };
    let meant = n.pods.iter().map(|p| &p.pod.meta).filter(|m| {
        !m.is_terminating() && m.key.namespace == pod.pod.meta.key.namespace && selector.matches(&m.labels)
    });
    meant.count() as i64
}

fn kind(pod: &PodInfo, hard: bool) -> Vec<(TopologySpreadConstraint, Option<LabelSelector>)> {
    let all = pod.pod.spec.topology_spread.iter().filter(|c| c.hard == hard);
    all.map(|c| (c.clone(), spread_selector(c, pod))).collect()
}

/// Topology spread on every node: `None` is a skip, else 0 to 2 for fine, label missing, skew.
pub(super) fn spread(pod: &PodInfo, nodes: &[NodeInfo]) -> Option<Vec<u8>> {
    let all = kind(pod, true);
    if all.is_empty() {
        return None;
    }
    let counted: Vec<&NodeInfo> =
        nodes.iter().filter(|n| all.iter().all(|(c, _)| value(n, &c.topology_key).is_some())).collect();
    let tables: Vec<BTreeMap<String, i64>> = all
        .iter()
        .map(|(c, selector)| {
            let mut table = BTreeMap::new();
            for n in counted.iter().filter(|n| included(c, pod, n)) {
                *table.entry(value(n, &c.topology_key).unwrap()).or_default() += count(n, pod, selector.as_ref());
            }
            table
        })
        .collect();
    let verdict = |n: &NodeInfo| {
        for ((c, selector), table) in all.iter().zip(&tables) {
            let Some(v) = value(n, &c.topology_key) else { return 1 };
            let min = table.values().copied().min().unwrap_or(i64::from(i32::MAX));
            let min = if (table.len() as i64) < i64::from(c.min_domains) { 0 } else { min };
            let itself = i64::from(selector.as_ref().is_some_and(|s| s.matches(&pod.pod.meta.labels)));
            if table.get(&v).copied().unwrap_or(0) + itself - min > i64::from(c.max_skew) {
                return 2;
            }
        }
        0
    };
    Some(nodes.iter().map(verdict).collect())
}

/// Normalised scores of the feasible nodes; `None` is a skip.
pub(super) fn spread_scores(pod: &PodInfo, nodes: &[NodeInfo], feasible: &[&NodeInfo]) -> Option<Vec<i64>> {
    let all = kind(pod, false);
    if all.is_empty() {
        return None;
    }
    let has_all = |n: &NodeInfo| all.iter().all(|(c, _)| value(n, &c.topology_key).is_some());
    let scored: Vec<&NodeInfo> = feasible.iter().copied().filter(|n| has_all(n)).collect();
    let raw = |n: &NodeInfo| -> i64 {
        let mut sum = 0.0;
        for (c, selector) in &all {
            let v = value(n, &c.topology_key).unwrap();
            let (pods, size) = if c.topology_key == "kubernetes.io/hostname" {
                (count(n, pod, selector.as_ref()), scored.len())
            } else {
                let same = |n: &&NodeInfo| has_all(n) && included(c, pod, n) && value(n, &c.topology_key).unwrap() == v;
                let domains: BTreeSet<_> = scored.iter().map(|n| value(n, &c.topology_key)).collect();
                (nodes.iter().filter(same).map(|n| count(n, pod, selector.as_ref())).sum(), domains.len())
            };
            sum += pods as f64 * libm::log((size + 2) as f64) + f64::from(c.max_skew - 1);
        }
        sum.round() as i64
    };
    let raws: Vec<i64> = scored.iter().map(|n| raw(n)).collect();
    let (min, max) = (raws.iter().copied().min().unwrap_or(0), raws.iter().copied().max().unwrap_or(0).max(0));
    let score = |n: &&NodeInfo| match (has_all(n), max) {
        (false, _) => 0,
        (true, 0) => 100,
        (true, _) => 100 * (max + min - raw(n)) / max,
    };
    Some(feasible.iter().map(score).collect())
}
