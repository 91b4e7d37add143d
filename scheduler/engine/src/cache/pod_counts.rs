//! How many pods of every node a query selects: kept per query and counted again only on nodes that changed.

use std::sync::Arc;

use headroom_core::{
    Str,
    selector::{LabelSelector, Labels},
};

use super::{Cache, Domains, NodeInfo, Slot};
use crate::framework::PodInfo;

/// A set of namespaces.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum NamespaceSet {
    /// All of them.
    All,
    /// These, sorted.
    Names(Arc<[Str]>),
}

impl NamespaceSet {
    /// One namespace.
    #[must_use]
    pub fn one(name: &Str) -> Self {
        Self::Names(Arc::new([name.clone()]))
    }

    /// These namespaces, in any order.
    #[must_use]
    pub fn of(mut names: Vec<Str>) -> Self {
        names.sort_unstable();
        names.dedup();
        Self::Names(names.into())
    }

    /// Whether it is in.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Names(names) => names.binary_search_by(|n| n.as_str().cmp(name)).is_ok(),
        }
    }
}

/// Pods in some namespaces with some labels.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PodMatch {
    /// Where.
    pub namespaces: NamespaceSet,
    /// Which; absent selects none.
    pub selector: Option<LabelSelector>,
}

impl PodMatch {
    /// Whether a pod is meant.
    #[must_use]
    pub fn matches(&self, namespace: &str, labels: &Labels) -> bool {
        self.namespaces.has(namespace) && self.selector.as_ref().is_some_and(|s| s.matches(labels))
    }
}

/// Pods that match all of these. Without any, none does.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PodQuery {
    /// All must match.
    pub all: Box<[PodMatch]>,
    /// Leaves out pods that are being deleted.
    pub live_only: bool,
}

impl PodQuery {
    /// Whether the pod is meant.
    #[must_use]
    pub fn matches(&self, pod: &PodInfo) -> bool {
        let meta = &pod.pod.meta;
        !(self.all.is_empty() || self.live_only && meta.is_terminating())
            && self.all.iter().all(|m| m.matches(&meta.key.namespace, &meta.labels))
    }

    /// How many pods of a node are.
    #[must_use]
    pub fn count(&self, node: &NodeInfo) -> u32 {
        node.pods.iter().filter(|p| self.matches(p)).count() as u32
    }
}

/// Sums by number of a domain ([`Domains`]); nodes without the label are at 0.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DomainSums {
    of: Vec<i64>,
    /// How many sums of domains are not 0; that at 0 does not count.
    nonzero: usize,
}

impl DomainSums {
    /// Of these sums.
    #[must_use]
    pub fn new(of: Vec<i64>) -> Self {
        let nonzero = of.iter().skip(1).filter(|n| **n != 0).count();
        Self { of, nonzero }
    }

    /// Adds up amounts by slot.
    #[must_use]
    pub fn adding(domains: &Domains, amounts: impl Iterator<Item = (Slot, i64)>) -> Self {
        let mut of = vec![0; domains.len()];
        for (slot, amount) in amounts {
            of[domains.of(slot) as usize] += amount;
        }
        Self::new(of)
    }

    /// The sum of a domain.
    #[must_use]
    pub fn of(&self, domain: u32) -> i64 {
        self.of.get(domain as usize).copied().unwrap_or(0)
    }

    /// By number of the domain.
    #[must_use]
    pub fn all(&self) -> &[i64] {
        &self.of
    }

    /// How many domains have a sum that is not 0.
    #[must_use]
    pub const fn nonzero(&self) -> usize {
        self.nonzero
    }

    /// Adds the sums of all domains.
    pub fn merge(&mut self, others: &Self) {
        for (sum, other) in self.of.iter_mut().zip(&others.of).skip(1) {
            let before = std::mem::replace(sum, sum.saturating_add(*other));
            self.nonzero = self.nonzero + usize::from(*sum != 0) - usize::from(before != 0);
        }
    }

    /// Adds to a domain.
    pub fn add(&mut self, domain: u32, by: i64) {
        let Some(sum) = self.of.get_mut(domain as usize) else { return };
        let before = std::mem::replace(sum, sum.saturating_add(by));
        if domain != 0 {
            self.nonzero = self.nonzero + usize::from(*sum != 0) - usize::from(before != 0);
        }
    }
}

/// Most topology keys by which one query is summed up.
const MAX_SUMS: usize = 4;

/// Counts by slot.
#[derive(Debug, Clone, Default)]
pub struct PodCounts {
    of: Vec<u32>,
    seen: Vec<u64>,
    /// The state of the cache that they are of.
    at: (u64, u64),
    changes: u64,
    /// Sums by domain, brought up to date with the counts as long as the domains stay the same.
    sums: Vec<(Arc<Domains>, Arc<DomainSums>)>,
}

impl PodCounts {
    /// How many in this slot.
    #[must_use]
    pub fn of(&self, slot: Slot) -> u32 {
        self.of.get(slot as usize).copied().unwrap_or(0)
    }

    /// By slot.
    #[must_use]
    pub fn all(&self) -> &[u32] {
        &self.of
    }

    pub(super) fn bytes(&self) -> usize {
        let sums: usize = self.sums.iter().map(|(_, sums)| size_of_val(sums.all())).sum();
        self.of.len() * (size_of::<u32>() + size_of::<u64>()) + sums
    }

    pub(super) fn set(&mut self, slot: Slot, count: u32) {
        let Some(cell) = self.of.get_mut(slot as usize) else { return };
        let before = std::mem::replace(cell, count);
        for (domains, sums) in &mut self.sums {
            if before != count {
                Arc::make_mut(sums).add(domains.of(slot), i64::from(count) - i64::from(before));
            }
        }
    }

    /// Whether nothing has changed since they were counted.
    pub(super) fn is_current(&self, cache: &Cache) -> bool {
        self.at == cache.state()
    }

    /// Sums by domain; absent when they have to be made.
    pub(super) fn sums(&self, domains: &Arc<Domains>) -> Option<&Arc<DomainSums>> {
        self.sums.iter().find(|(d, _)| Arc::ptr_eq(d, domains)).map(|(_, sums)| sums)
    }

    /// Makes sums by domain.
    pub(super) fn sum_up(&mut self, domains: &Arc<Domains>) -> Arc<DomainSums> {
        self.sums.retain(|(d, _)| d.key() != domains.key());
        if self.sums.len() >= MAX_SUMS {
            self.sums.remove(0);
        }
        let placed = self.of.iter().enumerate().filter(|(_, count)| **count != 0);
        let sums = DomainSums::adding(domains, placed.map(|(slot, count)| (slot as Slot, i64::from(*count))));
        let sums = Arc::new(sums);
        self.sums.push((domains.clone(), sums.clone()));
        sums
    }

    pub(super) fn refresh(&mut self, query: &PodQuery, cache: &Cache) {
        self.at = cache.state();
        // Nodes may be in other domains now.
        self.sums.retain(|(domains, _)| domains.is_current(cache));
        let generations = cache.generations();
        self.of.resize(generations.len(), 0);
        self.seen.resize(generations.len(), 0);
        let since = std::mem::replace(&mut self.changes, cache.change_count());
        match cache.changed_since(since) {
            Some(slots) => slots.for_each(|slot| self.recount(slot as usize, query, cache)),
            None => (0..generations.len()).for_each(|slot| self.recount(slot, query, cache)),
        }
    }

    /// What is not as counting anew comes to, in words.
    pub(super) fn wrong(&self, query: &PodQuery, cache: &Cache) -> Option<String> {
        let mut fresh = Self::default();
        fresh.refresh(query, cache);
        if fresh.of != self.of {
            return Some(format!("{query:?} counts {:?}, not {:?}", self.of, fresh.of));
        }
        self.sums.iter().find_map(|(domains, sums)| {
            let right = fresh.sum_up(domains);
            (right != *sums).then(|| format!("{query:?} sums up to {sums:?}, not {right:?}"))
        })
    }

    fn recount(&mut self, slot: usize, query: &PodQuery, cache: &Cache) {
        let generation = cache.generations()[slot];
        if std::mem::replace(&mut self.seen[slot], generation) != generation {
            self.set(slot as Slot, cache.row(slot as Slot).map_or(0, |row| query.count(row)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_follow_what_is_added() {
        let mut sums = DomainSums::new(vec![5, 0, 2]);
        assert_eq!((sums.nonzero(), sums.of(0), sums.of(9)), (1, 5, 0));
        for (domain, by) in [(1, 3), (2, -2), (0, 1), (9, 1)] {
            sums.add(domain, by);
        }
        assert_eq!(sums, DomainSums::new(vec![6, 3, 0]));
    }
}
