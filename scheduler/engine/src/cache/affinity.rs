//! Which pods on nodes have terms of inter-pod affinity (upstream's `PodsWithAffinity` and
//! `PodsWithRequiredAntiAffinity`): one group per template and namespace, so that a term is matched once and not once
//! per pod.

use std::{cell::RefCell, sync::Arc};

use hashbrown::HashMap;
use headroom_core::{Str, object::Affinity};

use super::{DomainSums, Domains, NodeInfo, Slot};
use crate::framework::{PodInfo, SpecInfo};

/// Pods of one template in one namespace, by slot.
#[derive(Debug)]
pub struct AffinityGroup {
    namespace: Str,
    spec: Arc<SpecInfo>,
    slots: HashMap<Slot, u32>,
    /// Sums by domain that were asked for, brought up to date with the slots.
    sums: RefCell<Vec<(Arc<Domains>, Arc<DomainSums>)>>,
}

/// Most topology keys by which one group is summed up.
const MAX_SUMS: usize = 4;

fn terms(spec: &SpecInfo) -> Option<&Affinity> {
    spec.spec.affinity.as_deref().filter(|a| {
        !(a.pod_required.is_empty()
            && a.pod_preferred.is_empty()
            && a.pod_anti_required.is_empty()
            && a.pod_anti_preferred.is_empty())
    })
}

impl AffinityGroup {
    /// Their namespace.
    #[must_use]
    pub const fn namespace(&self) -> &Str {
        &self.namespace
    }

    /// Their terms.
    #[must_use]
    pub fn affinity(&self) -> Option<&Affinity> {
        terms(&self.spec)
    }

    /// How many are in which domain. `overlay` takes the place of the node in its slot.
    pub(crate) fn sums(&self, domains: &Arc<Domains>, overlay: Option<(Slot, &NodeInfo)>) -> Arc<DomainSums> {
        let mut all = self.sums.borrow_mut();
        let mut sums = match all.iter().find(|(d, _)| Arc::ptr_eq(d, domains)) {
            Some((_, sums)) => sums.clone(),
            None => {
                all.retain(|(d, _)| d.key() != domains.key());
                if all.len() >= MAX_SUMS {
                    all.remove(0);
                }
                let placed = self.slots.iter().map(|(slot, count)| (*slot, i64::from(*count)));
                let sums = Arc::new(DomainSums::adding(domains, placed));
                all.push((domains.clone(), sums.clone()));
                sums
            }
        };
        if let Some((slot, row)) = overlay {
            let known = self.slots.get(&slot).copied().unwrap_or(0);
            Arc::make_mut(&mut sums).add(domains.of(slot), i64::from(self.count(row)) - i64::from(known));
        }
        sums
    }

    /// Sums that are not those of the slots, in words.
    fn wrong_sums(&self) -> Option<String> {
        self.sums.borrow().iter().find_map(|(domains, sums)| {
            let placed = self.slots.iter().map(|(slot, count)| (*slot, i64::from(*count)));
            let fresh = DomainSums::adding(domains, placed);
            (fresh != **sums).then(|| format!("a group of {} sums up to {sums:?}, not {fresh:?}", self.namespace))
        })
    }

    fn count(&self, row: &NodeInfo) -> u32 {
        row.pods.iter().filter(|p| self.has(&p.pod.meta.key.namespace, &p.spec)).count() as u32
    }

    fn add_to_sums(&mut self, slot: Slot, by: i64) {
        for (domains, sums) in self.sums.get_mut() {
            Arc::make_mut(sums).add(domains.of(slot), by);
        }
    }

    fn has(&self, namespace: &Str, spec: &Arc<SpecInfo>) -> bool {
        Arc::ptr_eq(&self.spec, spec) && self.namespace == *namespace
    }
}

/// All groups.
#[derive(Debug, Default)]
pub(super) struct AffinityIndex {
    places: HashMap<(Str, usize), usize>,
    groups: Vec<AffinityGroup>,
}

fn key(pod: &PodInfo) -> (Str, usize) {
    // A group holds its spec, so that the address stays its own.
    (pod.pod.meta.key.namespace.clone(), Arc::as_ptr(&pod.spec) as usize)
}

impl AffinityIndex {
    pub(super) fn add(&mut self, slot: Slot, pod: &PodInfo) {
        if terms(&pod.spec).is_none() {
            return;
        }
        let groups = &mut self.groups;
        let at = *self.places.entry(key(pod)).or_insert_with(|| {
            groups.push(AffinityGroup {
                namespace: pod.pod.meta.key.namespace.clone(),
                spec: pod.spec.clone(),
                slots: HashMap::new(),
                sums: RefCell::default(),
            });
            groups.len() - 1
        });
        *self.groups[at].slots.entry(slot).or_default() += 1;
        self.groups[at].add_to_sums(slot, 1);
    }

    pub(super) fn remove(&mut self, slot: Slot, pod: &PodInfo) {
        if terms(&pod.spec).is_none() {
            return;
        }
        let key = key(pod);
        let Some(at) = self.places.get(&key).copied() else { return };
        if self.groups[at].slots.contains_key(&slot) {
            self.groups[at].add_to_sums(slot, -1);
        }
        let slots = &mut self.groups[at].slots;
        if let Some(count) = slots.get_mut(&slot) {
            *count -= 1;
            if *count == 0 {
                slots.remove(&slot);
            }
        }
        if slots.is_empty() {
            self.places.remove(&key);
            self.groups.swap_remove(at);
            if let Some(moved) = self.groups.get(at) {
                self.places.insert((moved.namespace.clone(), Arc::as_ptr(&moved.spec) as usize), at);
            }
        }
    }

    pub(super) fn groups(&self) -> &[AffinityGroup] {
        &self.groups
    }

    /// The first difference from what the pods of the nodes say.
    pub(super) fn difference(&self, rows: &[NodeInfo]) -> Option<String> {
        let mut fresh = Self::default();
        for (slot, row) in rows.iter().enumerate() {
            for pod in &row.pods {
                fresh.add(slot as Slot, pod);
            }
        }
        if fresh.groups.len() != self.groups.len() {
            return Some(format!("{} groups with affinity, {} expected", self.groups.len(), fresh.groups.len()));
        }
        fresh
            .places
            .iter()
            .find_map(|(key, at)| {
                let mine = self.places.get(key).map(|at| &self.groups[*at].slots);
                let theirs = &fresh.groups[*at].slots;
                (mine != Some(theirs)).then(|| format!("a group of {} is at {mine:?}, not at {theirs:?}", key.0))
            })
            .or_else(|| self.groups.iter().find_map(AffinityGroup::wrong_sums))
    }
}
