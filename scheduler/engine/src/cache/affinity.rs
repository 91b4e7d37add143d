//! Which pods on nodes have terms of inter-pod affinity (upstream's `PodsWithAffinity` and
//! `PodsWithRequiredAntiAffinity`): one group per template and namespace, so that a term is matched once and not once
//! per pod.

use std::sync::Arc;

use hashbrown::HashMap;
use headroom_core::{Str, object::Affinity};

use super::{NodeInfo, Slot};
use crate::framework::{PodInfo, SpecInfo};

/// Pods of one template in one namespace, by slot.
#[derive(Debug)]
pub struct AffinityGroup {
    namespace: Str,
    spec: Arc<SpecInfo>,
    slots: HashMap<Slot, u32>,
}

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

    /// How many are in which slot, in no particular order. `overlay` takes the place of the node in its slot.
    pub(crate) fn counts<'a>(
        &'a self,
        overlay: Option<(Slot, &'a NodeInfo)>,
    ) -> impl Iterator<Item = (Slot, u32)> + use<'a> {
        let placed = self.slots.iter().map(|(slot, count)| (*slot, *count));
        let theirs = overlay.map(|(slot, row)| {
            (slot, row.pods.iter().filter(|p| self.has(&p.pod.meta.key.namespace, &p.spec)).count() as u32)
        });
        let covered = overlay.map(|(slot, _)| slot);
        placed.filter(move |(slot, _)| Some(*slot) != covered).chain(theirs).filter(|(_, count)| *count > 0)
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
            });
            groups.len() - 1
        });
        *self.groups[at].slots.entry(slot).or_default() += 1;
    }

    pub(super) fn remove(&mut self, slot: Slot, pod: &PodInfo) {
        if terms(&pod.spec).is_none() {
            return;
        }
        let key = key(pod);
        let Some(at) = self.places.get(&key).copied() else { return };
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
        fresh.places.iter().find_map(|(key, at)| {
            let mine = self.places.get(key).map(|at| &self.groups[*at].slots);
            let theirs = &fresh.groups[*at].slots;
            (mine != Some(theirs)).then(|| format!("a group of {} is at {mine:?}, not at {theirs:?}", key.0))
        })
    }
}
