//! PreFilter and Filter: pods per domain, and the smallest number of all (`filtering.go`).

use std::sync::Arc;

use super::constraints::{Constraint, inclusion};
use crate::{
    cache::{Domains, Inclusion, NodeInfo, PodCounts},
    framework::{PodInfo, Status, View},
    plugins::domain_counts::DomainCounts,
};

/// The reason when the skew would be too large.
pub const REASON: &str = "node(s) didn't match pod topology spread constraints";
/// The reason when a topology label is missing.
pub const REASON_MISSING_LABEL: &str = "node(s) didn't match pod topology spread constraints (missing required label)";

/// Larger than any number of pods: the minimum over no domains.
const NO_MINIMUM: i64 = i32::MAX as i64;

/// Pods of one constraint.
#[derive(Debug, Clone)]
struct Table {
    domains: Arc<Domains>,
    counts: DomainCounts,
    /// Whether a domain has a node that counts, by domain.
    present: Arc<[bool]>,
    /// How many have.
    size: i64,
    /// 1 when the pod counts for its own constraint.
    itself: i64,
    /// The smallest count of these as PreFilter found it, how many domains have it, and the next larger count.
    min: i64,
    at_min: usize,
    second: i64,
}

impl Table {
    fn new(domains: Arc<Domains>, counts: Vec<i64>, present: Vec<bool>, itself: bool) -> Self {
        let (mut min, mut at_min, mut second) = (NO_MINIMUM, 0, NO_MINIMUM);
        let mut size = 0;
        for (count, _) in counts.iter().zip(&present).filter(|(_, present)| **present) {
            size += 1;
            if *count < min {
                (second, min, at_min) = (min, *count, 1);
            } else if *count == min {
                at_min += 1;
            } else if *count < second {
                second = *count;
            }
        }
        let (counts, present) = (DomainCounts::new(counts), present.into());
        Self { domains, counts, present, size, itself: i64::from(itself), min, at_min, second }
    }

    /// The smallest count of all domains.
    fn minimum(&self) -> i64 {
        let mut changed = self.counts.changed();
        match (changed.next(), changed.len()) {
            (None, _) => self.min,
            // Pods come to and go from one node at a time (upstream's critical paths rest on it as well).
            (Some((_, before, now)), 0) => {
                let others = if before == self.min && self.at_min == 1 { self.second } else { self.min };
                others.min(now)
            }
            _ => {
                let present = self.present.iter().enumerate().filter(|(_, present)| **present);
                present.map(|(domain, _)| self.counts.get(domain as u32)).min().unwrap_or(NO_MINIMUM)
            }
        }
    }

    /// The same as the API defines it: 0 when there are too few domains.
    fn global_minimum(&self, min_domains: i64) -> i64 {
        if self.size < min_domains { 0 } else { self.minimum() }
    }
}

/// What PreFilter counts.
#[derive(Debug, Clone, Default)]
pub struct FilterState {
    constraints: Arc<[Constraint]>,
    tables: Vec<Table>,
    inclusion: Option<Arc<Inclusion>>,
}

/// Pods of each constraint by slot; absent where none counts.
pub(super) fn counted(all: &[Constraint], pod: &PodInfo, view: &View<'_>) -> Vec<Option<Arc<PodCounts>>> {
    let namespace = &pod.pod.meta.key.namespace;
    all.iter().map(|c| c.query(namespace).map(|query| view.counts(&query))).collect()
}

pub(super) fn count(all: Vec<Constraint>, pod: &PodInfo, view: &View<'_>) -> FilterState {
    let inclusion = inclusion(&all, pod, view);
    let domains: Vec<Arc<Domains>> = all.iter().map(|c| view.domains(&c.key)).collect();
    // Only nodes with all keys count: thousands of keys that no node has are no work.
    let nowhere = domains.iter().any(|d| d.is_empty());
    let counts = if nowhere { vec![None; all.len()] } else { counted(&all, pod, view) };
    let slots = if nowhere { 0 } else { view.cache.slots() as u32 };
    let mut sums: Vec<(Vec<i64>, Vec<bool>)> =
        domains.iter().map(|d| (vec![0; d.len()], vec![false; d.len()])).collect();
    for slot in 0..slots {
        if domains.iter().any(|d| d.of(slot) == 0) {
            continue;
        }
        for (i, c) in all.iter().enumerate() {
            if !c.includes(inclusion.as_deref(), slot) {
                continue;
            }
            let domain = domains[i].of(slot) as usize;
            let (sums, present) = &mut sums[i];
            present[domain] = true;
            sums[domain] += counts[i].as_ref().map_or(0, |counts| i64::from(counts.of(slot)));
        }
    }
    let labels = &pod.pod.meta.labels;
    let tables = all.iter().zip(domains).zip(sums);
    let tables = tables.map(|((c, d), (sums, present))| Table::new(d, sums, present, c.matches(labels))).collect();
    FilterState { constraints: all.into(), tables, inclusion }
}

/// A pod comes to a node (`by` is 1) or goes (-1).
pub(super) fn update(state: &mut FilterState, pod: &PodInfo, other: &PodInfo, node: &NodeInfo, by: i64) {
    let (own, theirs) = (&pod.pod.meta, &other.pod.meta);
    let slot = node.slot;
    if own.key.namespace != theirs.key.namespace || state.tables.iter().any(|t| t.domains.of(slot) == 0) {
        return;
    }
    for (c, table) in state.constraints.iter().zip(&mut state.tables) {
        if c.matches(&theirs.labels) && c.includes(state.inclusion.as_deref(), slot) {
            table.counts.add(table.domains.of(slot), by);
        }
    }
}

pub(super) fn filter(state: &FilterState, node: &NodeInfo) -> Status {
    for (c, table) in state.constraints.iter().zip(&state.tables) {
        let domain = table.domains.of(node.slot);
        if domain == 0 {
            return Status::unresolvable(REASON_MISSING_LABEL);
        }
        if table.counts.get(domain) + table.itself - table.global_minimum(c.min_domains) > c.max_skew {
            return Status::unschedulable(REASON);
        }
    }
    Status::SUCCESS
}
