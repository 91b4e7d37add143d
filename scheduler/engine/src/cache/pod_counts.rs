//! How many pods of every node a query selects: kept per query and counted again only on nodes that changed.

use std::sync::Arc;

use headroom_core::{
    Str,
    selector::{LabelSelector, Labels},
};

use super::{Cache, NodeInfo, Slot};
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

/// Counts by slot.
#[derive(Debug, Clone, Default)]
pub struct PodCounts {
    of: Vec<u32>,
    seen: Vec<u64>,
    /// The state of the cache that they are of.
    at: (u64, u64),
}

/// Rows whose generations are compared at once.
const STRETCH: usize = 64;

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
        self.of.len() * (size_of::<u32>() + size_of::<u64>())
    }

    pub(super) fn set(&mut self, slot: Slot, count: u32) {
        if let Some(cell) = self.of.get_mut(slot as usize) {
            *cell = count;
        }
    }

    /// Whether nothing has changed since they were counted.
    pub(super) fn is_current(&self, cache: &Cache) -> bool {
        self.at == cache.state()
    }

    pub(super) fn refresh(&mut self, query: &PodQuery, cache: &Cache) {
        self.at = cache.state();
        let generations = cache.generations();
        self.of.resize(generations.len(), 0);
        self.seen.resize(generations.len(), 0);
        for (stretch, theirs) in generations.chunks(STRETCH).enumerate() {
            let start = stretch * STRETCH;
            if self.seen[start..start + theirs.len()] == *theirs {
                continue;
            }
            for (offset, generation) in theirs.iter().enumerate() {
                let slot = start + offset;
                if self.seen[slot] != *generation {
                    self.seen[slot] = *generation;
                    self.of[slot] = cache.row(slot as Slot).map_or(0, |row| query.count(row));
                }
            }
        }
    }
}
