//! PreScore, Score and NormalizeScore (`scoring.go`).

use std::sync::Arc;

use super::constraints::{Constraint, HOSTNAME, inclusion};
use crate::{
    cache::{DomainSums, Domains, PodCounts},
    framework::{MAX_NODE_SCORE, PodInfo, View},
    plugins::rows,
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
    /// Those of the domain; absent: none.
    Domain(Option<Arc<DomainSums>>),
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

/// `open` says by slot which nodes are feasible.
pub(super) fn count(
    all: &[Constraint],
    require_all: bool,
    pod: &PodInfo,
    open: &[bool],
    view: &View<'_>,
) -> ScoreState {
    let domains: Vec<Arc<Domains>> = all.iter().map(|c| view.domains(&c.key)).collect();
    let picky = require_all && !domains.iter().all(|d| d.is_complete());
    // Without any node that has all keys there is nothing to count.
    let nowhere = picky && domains.iter().any(|d| d.is_empty());
    let slots = if picky { view.cache.slots() as u32 } else { 0 };
    let ignored: Vec<bool> = (0..slots).map(|slot| nowhere || domains.iter().any(|d| d.of(slot) == 0)).collect();
    let ignored = |slot: u32| ignored.get(slot as usize).copied().unwrap_or(false);
    let scored = || open.iter().enumerate().filter(|(slot, open)| **open && !ignored(*slot as u32));
    let inclusion = inclusion(all, pod, view);
    let namespace = &pod.pod.meta.key.namespace;
    let parts = all.iter().zip(&domains).map(|(c, d)| {
        let query = c.query(namespace).filter(|_| !nowhere);
        let (pods, size) = if c.key == HOSTNAME {
            (Pods::Node(query.map(|query| view.counts(&query))), scored().count())
        } else {
            let sums = query.map(|query| {
                if inclusion.is_none() && !picky {
                    return everywhere(view.sums(&query, d), d);
                }
                let counts = view.counts(&query);
                let counted = counts.all().iter().enumerate().map(|(slot, count)| (slot as u32, i64::from(*count)));
                let counted =
                    counted.filter(|(slot, n)| *n != 0 && !ignored(*slot) && c.includes(inclusion.as_deref(), *slot));
                let mut sums = vec![0; d.len()];
                for (slot, count) in counted {
                    sums[place(d, slot)] += count;
                }
                Arc::new(DomainSums::new(sums))
            });
            (Pods::Domain(sums), places(d, scored().map(|(slot, _)| slot as u32)))
        };
        Part { domains: d.clone(), tolerated: (c.max_skew - 1) as f64, weight: libm::log((size + 2) as f64), pods }
    });
    ScoreState { parts: parts.collect(), require_all }
}

/// Sums over all nodes; those without the label count to those whose label is empty.
fn everywhere(mut sums: Arc<DomainSums>, domains: &Domains) -> Arc<DomainSums> {
    let (empty, missing) = (domains.empty_value(), sums.of(0));
    if empty != 0 && missing != 0 {
        Arc::make_mut(&mut sums).add(empty, missing);
    }
    sums
}

/// In how many places these nodes are.
fn places(domains: &Domains, slots: impl Iterator<Item = u32>) -> usize {
    let most = domains.sizes().iter().filter(|size| **size > 0).count();
    let mut seen = vec![false; domains.len()];
    let mut count = 0;
    for slot in slots {
        count += usize::from(!std::mem::replace(&mut seen[place(domains, slot)], true));
        if count == most {
            break;
        }
    }
    count
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
            Pods::Domain(sums) => sums.as_ref().map_or(0, |sums| sums.of(domain)),
        };
        sum += part.value(pods);
    }
    Some(round(sum))
}

impl Part {
    fn value(&self, pods: i64) -> f64 {
        pods as f64 * self.weight + self.tolerated
    }

    /// Adds what the constraint says of each node to its sum.
    fn add_to(&self, sums: &mut [f64]) {
        let domains = self.domains.all();
        match &self.pods {
            Pods::Node(Some(counts)) if self.domains.is_complete() => {
                for (sum, count) in sums.iter_mut().zip(counts.all()) {
                    *sum += self.value(i64::from(*count));
                }
            }
            Pods::Node(counts) => {
                for (slot, (sum, domain)) in sums.iter_mut().zip(domains).enumerate() {
                    if *domain != 0 {
                        *sum += self.value(counts.as_ref().map_or(0, |c| i64::from(c.of(slot as u32))));
                    }
                }
            }
            Pods::Domain(pods) => {
                let of = |domain: usize| match domain {
                    0 => 0.0,
                    _ => self.value(pods.as_ref().map_or(0, |pods| pods.of(domain as u32))),
                };
                let values: Vec<f64> = (0..self.domains.len()).map(of).collect();
                for (sum, domain) in sums.iter_mut().zip(domains) {
                    *sum += values.get(*domain as usize).copied().unwrap_or(0.0);
                }
            }
        }
    }
}

/// To the nearest whole number, halves up. The sums are not negative.
fn round(sum: f64) -> i64 {
    let whole = sum as i64;
    whole.saturating_add(i64::from(sum - whole as f64 >= 0.5))
}

/// The scores of all open rows.
pub(super) fn score_rows(state: &ScoreState, open: &[bool], raw: &mut [Option<i64>]) {
    let mut sums = vec![0.0; raw.len()];
    for part in &state.parts {
        part.add_to(&mut sums);
    }
    let picky = state.require_all && !state.parts.iter().all(|p| p.domains.is_complete());
    for (slot, (raw, (sum, open))) in raw.iter_mut().zip(sums.iter().zip(open)).enumerate() {
        if *open {
            let ignored = picky && state.parts.iter().any(|p| p.domains.of(slot as u32) == 0);
            *raw = (!ignored).then(|| round(*sum));
        }
    }
}

/// See [`normalize`].
pub(super) fn normalize_rows(raw: &[Option<i64>], bounds: (i64, i64), open: &[bool], normalized: &mut [u8]) -> bool {
    rows::normalize(raw, |raw| raw, bounds, open, normalized, |raw| normalize(raw, bounds))
}

/// The fewer the better: 100 for the smallest score, and the smallest's share of the largest for that one.
pub(super) fn normalize(raw: i64, (min, max): (i64, i64)) -> i64 {
    if max == 0 {
        return MAX_NODE_SCORE;
    }
    let scaled = i128::from(MAX_NODE_SCORE) * (i128::from(max) + i128::from(min) - i128::from(raw)) / i128::from(max);
    i64::try_from(scaled).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod upstream;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_is_that_of_the_library() {
        let mut sum = 0.0;
        for step in 0..200_000 {
            assert_eq!(round(sum), libm::round(sum) as i64, "{sum}");
            sum += if step % 3 == 0 { 0.5 } else { 0.123_456_789 * f64::from(step) };
        }
        for sum in [0.499_999_999_999_999_94, 0.5, 1.5, 2.5, 4_503_599_627_370_495.5, 9e18, 1e300] {
            assert_eq!(round(sum), libm::round(sum) as i64, "{sum}");
        }
    }
}
