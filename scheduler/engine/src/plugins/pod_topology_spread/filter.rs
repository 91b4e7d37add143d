//! PreFilter and Filter: pods per domain, and the smallest number of all (`filtering.go`).

use std::sync::Arc;

use super::constraints::{Constraint, inclusion};
use crate::{
    cache::{DomainSums, Domains, Inclusion, NodeInfo, PodCounts},
    framework::{PodInfo, Status, View},
    plugins::domain_counts::{DomainCounts, close},
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
    /// 1 when the pod itself is one of those that count.
    itself: i64,
    /// Whether a domain has a node that counts, by domain.
    present: Arc<[bool]>,
    /// How many have.
    size: i64,
    /// The smallest count of these as PreFilter found it, how many domains have it, and the next larger count.
    min: i64,
    at_min: usize,
    second: i64,
}

impl Table {
    fn new(domains: Arc<Domains>, itself: bool, counts: Arc<DomainSums>, present: Arc<[bool]>) -> Self {
        let (mut min, mut at_min, mut second) = (NO_MINIMUM, 0, NO_MINIMUM);
        let mut size = 0;
        for (count, _) in counts.all().iter().zip(&*present).filter(|(_, present)| **present) {
            size += 1;
            if *count < min {
                (second, min, at_min) = (min, *count, 1);
            } else if *count == min {
                at_min += 1;
            } else if *count < second {
                second = *count;
            }
        }
        let counts = DomainCounts::new(counts);
        Self { domains, counts, itself: i64::from(itself), present, size, min, at_min, second }
    }

    /// The largest number of pods in a domain to which one more may come; the pod itself counted out.
    fn room(&self, c: &Constraint) -> i64 {
        c.max_skew + self.global_minimum(c.min_domains) - self.itself
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
fn counted(all: &[Constraint], pod: &PodInfo, view: &View<'_>) -> Vec<Option<Arc<PodCounts>>> {
    let namespace = &pod.pod.meta.key.namespace;
    all.iter().map(|c| c.query(namespace).map(|query| view.counts(&query))).collect()
}

pub(super) fn count(all: Vec<Constraint>, pod: &PodInfo, view: &View<'_>) -> FilterState {
    let inclusion = inclusion(&all, pod, view);
    let domains: Vec<Arc<Domains>> = all.iter().map(|c| view.domains(&c.key)).collect();
    let sums = if inclusion.is_none() && domains.iter().all(|d| d.is_complete()) {
        every_node(&all, &domains, pod, view)
    } else {
        nodes_that_count(&all, &domains, inclusion.as_deref(), pod, view)
    };
    let labels = &pod.pod.meta.labels;
    let tables = domains.into_iter().zip(sums).zip(&all);
    let tables = tables.map(|((d, (sums, present)), c)| Table::new(d, c.matches(labels), sums, present)).collect();
    FilterState { constraints: all.into(), tables, inclusion }
}

/// Sums by domain, and whether a domain has a node that counts.
type Summed = (Arc<DomainSums>, Arc<[bool]>);

/// Every node counts and has all labels: the sums are at hand.
fn every_node(all: &[Constraint], domains: &[Arc<Domains>], pod: &PodInfo, view: &View<'_>) -> Vec<Summed> {
    let namespace = &pod.pod.meta.key.namespace;
    let summed = all.iter().zip(domains).map(|(c, d)| {
        let sums = c.query(namespace).map(|query| view.sums(&query, d));
        let present = d.sizes().iter().enumerate().map(|(domain, size)| domain != 0 && *size > 0).collect();
        (sums.unwrap_or_else(|| Arc::new(DomainSums::new(vec![0; d.len()]))), present)
    });
    summed.collect()
}

fn nodes_that_count(
    all: &[Constraint],
    domains: &[Arc<Domains>],
    inclusion: Option<&Inclusion>,
    pod: &PodInfo,
    view: &View<'_>,
) -> Vec<Summed> {
    // Only nodes with all keys count: thousands of keys that no node has are no work.
    let nowhere = domains.iter().any(|d| d.is_empty());
    let counts = if nowhere { vec![None; all.len()] } else { counted(all, pod, view) };
    let slots = if nowhere { 0 } else { view.cache.slots() as u32 };
    let mut sums: Vec<(Vec<i64>, Vec<bool>)> =
        domains.iter().map(|d| (vec![0; d.len()], vec![false; d.len()])).collect();
    for slot in 0..slots {
        if domains.iter().any(|d| d.of(slot) == 0) {
            continue;
        }
        for (i, c) in all.iter().enumerate() {
            if !c.includes(inclusion, slot) {
                continue;
            }
            let domain = domains[i].of(slot) as usize;
            let (sums, present) = &mut sums[i];
            present[domain] = true;
            sums[domain] += counts[i].as_ref().map_or(0, |counts| i64::from(counts.of(slot)));
        }
    }
    sums.into_iter().map(|(sums, present)| (Arc::new(DomainSums::new(sums)), present.into())).collect()
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
        if table.counts.get(domain) > table.room(c) {
            return Status::unschedulable(REASON);
        }
    }
    Status::SUCCESS
}

/// The same for all nodes: closes the slots of those that are rejected.
pub(super) fn filter_rows(state: &FilterState, open: &mut [bool]) {
    for (c, table) in state.constraints.iter().zip(&state.tables) {
        let room = table.room(c);
        let good: Vec<bool> =
            (0..table.domains.len() as u32).map(|domain| domain != 0 && table.counts.get(domain) <= room).collect();
        close(open, &table.domains, &good);
    }
}

#[cfg(test)]
mod upstream;
