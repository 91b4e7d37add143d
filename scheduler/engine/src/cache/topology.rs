//! Which topology domain every node is in, per topology key, and which nodes a pod's own rules leave in.
//!
//! Worked out when first asked for and brought up to date from the versions of the nodes: a decision costs nothing as
//! long as no labels or taints change.

use std::sync::Arc;

use hashbrown::HashMap;
use headroom_core::{
    Str,
    taint::{Effect, first_untolerated},
};

use super::{Cache, Slot};
use crate::framework::SpecInfo;

/// Below this many domains none is worth forgetting.
const SMALLEST_SWEEP: usize = 64;

/// Domains of one topology key. They have numbers from 1; 0 stands for nodes without the label.
#[derive(Debug, Clone, Default)]
pub struct Domains {
    key: Str,
    of: Vec<u32>,
    /// How many nodes are in each domain; those without the label are at 0.
    sizes: Vec<u32>,
    ids: HashMap<Str, u32>,
    seen: Vec<u64>,
    epoch: u64,
}

impl Domains {
    pub(super) fn new(key: Str) -> Self {
        Self { key, ..Self::default() }
    }

    /// The topology key.
    #[must_use]
    pub const fn key(&self) -> &Str {
        &self.key
    }

    /// The domain of the node in a slot; 0 when it has no such label.
    #[must_use]
    pub fn of(&self, slot: Slot) -> u32 {
        self.of.get(slot as usize).copied().unwrap_or(0)
    }

    /// By slot.
    #[must_use]
    pub fn all(&self) -> &[u32] {
        &self.of
    }

    /// How many nodes are in each domain, by number; at 0 those without the label.
    #[must_use]
    pub fn sizes(&self) -> &[u32] {
        &self.sizes
    }

    /// Whether no node lacks the label; false as well for keys that were not looked at, since no node has them.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.sizes.first().is_some_and(|missing| *missing == 0)
    }

    /// One more than the largest number of a domain: the length of a table by domain.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ids.len() + 1
    }

    /// Whether no node has the label.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// The domain of nodes whose label is there and empty; 0 when there are none.
    #[must_use]
    pub fn empty_value(&self) -> u32 {
        self.ids.get("").copied().unwrap_or(0)
    }

    pub(super) const fn is_current(&self, cache: &Cache) -> bool {
        self.epoch == cache.node_epoch
    }

    pub(super) fn refresh(&mut self, cache: &Cache) {
        if self.is_current(cache) {
            return;
        }
        if self.ids.len() > SMALLEST_SWEEP + 2 * cache.rows.len() {
            // Values that no node has any more are forgotten with the rest.
            *self = Self::new(self.key.clone());
        }
        self.of.resize(cache.rows.len(), 0);
        self.seen.resize(cache.rows.len(), 0);
        for (slot, row) in cache.rows.iter().enumerate() {
            if self.seen[slot] == cache.node_versions[slot] {
                continue;
            }
            self.seen[slot] = cache.node_versions[slot];
            let value = row.node.meta.labels.get(&self.key).filter(|_| row.exists);
            self.of[slot] = match value {
                None => 0,
                Some(value) => match self.ids.get(value) {
                    Some(id) => *id,
                    None => {
                        let id = self.ids.len() as u32 + 1;
                        self.ids.insert(value.clone(), id);
                        id
                    }
                },
            };
        }
        self.sizes.clear();
        self.sizes.resize(self.len(), 0);
        for (domain, row) in self.of.iter().zip(&cache.rows) {
            self.sizes[*domain as usize] += u32::from(row.exists);
        }
        self.epoch = cache.node_epoch;
    }
}

/// Which nodes a pod's node selector and node affinity match, and whose taints it tolerates (`NodeInclusionPolicy`).
#[derive(Debug, Clone)]
pub struct Inclusion {
    spec: Arc<SpecInfo>,
    of: Vec<(bool, bool)>,
    seen: Vec<u64>,
    epoch: u64,
}

impl Inclusion {
    pub(super) const fn new(spec: Arc<SpecInfo>) -> Self {
        Self { spec, of: Vec::new(), seen: Vec::new(), epoch: 0 }
    }

    /// Whether selector and affinity match the node in a slot.
    #[must_use]
    pub fn affinity(&self, slot: Slot) -> bool {
        self.of.get(slot as usize).is_some_and(|(affinity, _)| *affinity)
    }

    /// Whether its `NoSchedule` and `NoExecute` taints are tolerated.
    #[must_use]
    pub fn taints(&self, slot: Slot) -> bool {
        self.of.get(slot as usize).is_some_and(|(_, taints)| *taints)
    }

    pub(super) fn is_of(&self, spec: &Arc<SpecInfo>) -> bool {
        Arc::ptr_eq(&self.spec, spec)
    }

    pub(super) const fn is_current(&self, cache: &Cache) -> bool {
        self.epoch == cache.node_epoch
    }

    pub(super) fn refresh(&mut self, cache: &Cache) {
        if self.is_current(cache) {
            return;
        }
        self.of.resize(cache.rows.len(), (false, false));
        self.seen.resize(cache.rows.len(), 0);
        let spec = &self.spec.spec;
        let required = spec.affinity.as_deref().and_then(|a| a.node.as_ref()).and_then(|n| n.required.as_ref());
        for (slot, row) in cache.rows.iter().enumerate() {
            if self.seen[slot] == cache.node_versions[slot] {
                continue;
            }
            self.seen[slot] = cache.node_versions[slot];
            let labels = &row.node.meta.labels;
            let affinity = spec.node_selector.selects(labels) && required.is_none_or(|r| r.matches(&row.name, labels));
            let hard = [Effect::NoSchedule, Effect::NoExecute];
            let taints = first_untolerated(&row.node.taints, &spec.tolerations, &hard).is_none();
            self.of[slot] = (affinity, taints);
        }
        self.epoch = cache.node_epoch;
    }
}
