//! PreScore and Score: weights per topology domain (`scoring.go`).

use std::sync::Arc;

use headroom_core::object::{Affinity, WeightedPodAffinityTerm};

use super::{
    args::Args,
    terms::{Counter, Weights, affinity, means, meant, namespace_labels},
};
use crate::{
    cache::Domains,
    framework::{PodInfo, PreScore, View},
    plugins::rows,
};

/// Sums of weights by topology key and domain.
#[derive(Debug, Clone, Default)]
pub struct ScoreState(Vec<(Arc<Domains>, Vec<i64>)>);

fn has_preferences(a: Option<&Affinity>) -> bool {
    a.is_some_and(|a| !a.pod_preferred.is_empty() || !a.pod_anti_preferred.is_empty())
}

/// Whether anything can score.
pub(super) fn may_score(args: Args, pod: &PodInfo, view: &View<'_>) -> bool {
    let own = has_preferences(affinity(pod));
    own || (!args.ignore_preferred_of_existing && !view.cache.affinity_groups().is_empty())
}

pub(super) fn pre_score(args: Args, pod: &PodInfo, view: &View<'_>) -> PreScore<ScoreState> {
    if !may_score(args, pod, view) {
        return PreScore::Skip;
    }
    let namespace = &pod.pod.meta.key.namespace;
    let mut tally = Weights::default();
    let mut any = false;
    if let Some(a) = affinity(pod) {
        let counter = Counter::new(a.pod_preferred.len() + a.pod_anti_preferred.len(), view);
        for (terms, sign) in [(&a.pod_preferred, 1), (&a.pod_anti_preferred, -1)] {
            for WeightedPodAffinityTerm { weight, term } in terms {
                let weight = sign * i64::from(*weight);
                let of = meant(term, namespace, view);
                any |= tally.add(&term.topology_key, weight, view, |domains| counter.sums(&of, domains));
            }
        }
    }
    let labels = namespace_labels(pod, view);
    for group in view.cache.affinity_groups() {
        let Some(a) = group.affinity() else { continue };
        let required = a.pod_required.iter().filter(|_| args.hard_weight > 0).map(|t| (t, args.hard_weight));
        let preferred = a.pod_preferred.iter().map(|t| (&t.term, i64::from(t.weight)));
        let avoided = a.pod_anti_preferred.iter().map(|t| (&t.term, -i64::from(t.weight)));
        for (term, weight) in required.chain(preferred).chain(avoided) {
            if means(term, group.namespace(), pod, labels) {
                any |= tally.add(&term.topology_key, weight, view, |domains| group.sums(domains, view.overlay));
            }
        }
    }
    if any { PreScore::Continue(ScoreState(tally.into_sums())) } else { PreScore::Skip }
}

pub(super) fn score(state: &ScoreState, slot: u32) -> i64 {
    let of = |(domains, sums): &(Arc<Domains>, Vec<i64>)| sums.get(domains.of(slot) as usize).copied().unwrap_or(0);
    state.0.iter().fold(0_i64, |sum, table| sum.saturating_add(of(table)))
}

/// The scores of all rows.
pub(super) fn score_rows(state: &ScoreState, raw: &mut [i64]) {
    raw.fill(0);
    for (domains, sums) in &state.0 {
        for (raw, domain) in raw.iter_mut().zip(domains.all()) {
            *raw = raw.saturating_add(sums.get(*domain as usize).copied().unwrap_or(0));
        }
    }
}

/// See [`normalize`].
pub(super) fn normalize_rows(raw: &[i64], bounds: (i64, i64), open: &[bool], normalized: &mut [u8]) -> bool {
    rows::normalize(raw, Some, bounds, open, normalized, |raw| normalize(raw, bounds))
}

/// 0 for the smallest of all scores, 100 for the largest.
pub(super) fn normalize(raw: i64, (min, max): (i64, i64)) -> i64 {
    let diff = max.saturating_sub(min);
    if diff <= 0 {
        return 0;
    }
    // As upstream, in floating point and cut off.
    (100.0 * (raw.saturating_sub(min) as f64 / diff as f64)) as i64
}
