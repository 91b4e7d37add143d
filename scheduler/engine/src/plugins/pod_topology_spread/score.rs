//! PreScore, Score and NormalizeScore (`scoring.go`).

use std::sync::Arc;

use super::{
    constraints::{Constraint, HOSTNAME, inclusion},
    filter::counted,
};
use crate::{
    cache::{Domains, NodeInfo, PodCounts},
    framework::{MAX_NODE_SCORE, PodInfo, View},
};

/// One constraint.
#[derive(Debug, Clone)]
struct Part {
    domains: Arc<Domains>,
    /// `maxSkew - 1`: keeps small differences from mattering.
    tolerated: f64,
    /// Logarithm of the number of domains, so that keys with few of them count as much.
    weight: f64,
    pods: Pods,
}

#[derive(Debug, Clone)]
enum Pods {
    /// Hostnames: those of the node.
    Node(Option<Arc<PodCounts>>),
    /// Those of the domain.
    Domain(Vec<i64>),
}

/// What PreScore counts.
#[derive(Debug, Clone, Default)]
pub struct ScoreState {
    parts: Vec<Part>,
    /// Nodes that lack a topology label get no score.
    require_all: bool,
}

/// The domain of a node; nodes without the label are one more, together with those whose label is empty.
fn place(domains: &Domains, slot: u32) -> usize {
    match domains.of(slot) {
        0 => domains.empty_value() as usize,
        domain => domain as usize,
    }
}

pub(super) fn count(
    all: &[Constraint],
    require_all: bool,
    pod: &PodInfo,
    feasible: &[&NodeInfo],
    view: &View<'_>,
) -> ScoreState {
    let domains: Vec<Arc<Domains>> = all.iter().map(|c| view.domains(&c.key)).collect();
    // By slot, whether the node lacks a key; without any that has all of them there is nothing to count.
    let nowhere = require_all && domains.iter().any(|d| d.is_empty());
    let lacks = |slot: u32| nowhere || domains.iter().any(|d| d.of(slot) == 0);
    let slots = if require_all { view.cache.slots() as u32 } else { 0 };
    let ignored: Vec<bool> = (0..slots).map(lacks).collect();
    let ignored = |slot: u32| ignored.get(slot as usize).copied().unwrap_or(false);
    let scored: Vec<u32> = feasible.iter().map(|n| n.slot).filter(|slot| !ignored(*slot)).collect();
    let inclusion = inclusion(all, pod, view);
    let counts = if nowhere { vec![None; all.len()] } else { counted(all, pod, view) };
    let parts = all.iter().zip(domains.iter().zip(counts)).map(|(c, (d, counts))| {
        let (pods, size) = if c.key == HOSTNAME {
            (Pods::Node(counts), scored.len())
        } else {
            let mut wanted = vec![false; d.len()];
            let mut size = 0;
            for slot in &scored {
                size += usize::from(!std::mem::replace(&mut wanted[place(d, *slot)], true));
            }
            let mut sums = vec![0_i64; d.len()];
            for (slot, count) in counts.iter().flat_map(|c| c.all().iter().enumerate()) {
                let slot = slot as u32;
                if *count == 0 || ignored(slot) || !c.includes(inclusion.as_deref(), slot) {
                    continue;
                }
                let at = place(d, slot);
                if wanted[at] {
                    sums[at] += i64::from(*count);
                }
            }
            (Pods::Domain(sums), size)
        };
        Part { domains: d.clone(), tolerated: (c.max_skew - 1) as f64, weight: libm::log((size + 2) as f64), pods }
    });
    ScoreState { parts: parts.collect(), require_all }
}

/// The score of a node; absent when it lacks a topology label.
pub(super) fn score(state: &ScoreState, slot: u32) -> Option<i64> {
    if state.require_all && state.parts.iter().any(|p| p.domains.of(slot) == 0) {
        return None;
    }
    let mut sum = 0.0;
    for part in &state.parts {
        let domain = part.domains.of(slot);
        if domain == 0 {
            continue;
        }
        let pods = match &part.pods {
            Pods::Node(counts) => counts.as_ref().map_or(0, |c| i64::from(c.of(slot))),
            Pods::Domain(sums) => sums.get(domain as usize).copied().unwrap_or(0),
        };
        sum += pods as f64 * part.weight + part.tolerated;
    }
    Some(libm::round(sum) as i64)
}

/// The fewer the better: 100 for the smallest score, and the smallest's share of the largest for that one.
pub(super) fn normalize(raw: i64, (min, max): (i64, i64)) -> i64 {
    if max == 0 {
        return MAX_NODE_SCORE;
    }
    let scaled = i128::from(MAX_NODE_SCORE) * (i128::from(max) + i128::from(min) - i128::from(raw)) / i128::from(max);
    i64::try_from(scaled).unwrap_or(i64::MAX)
}
