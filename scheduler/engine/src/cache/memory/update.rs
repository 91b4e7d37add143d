//! Keeping it up to date: pods and samples that come and go, and time.

use std::sync::Arc;

use headroom_core::{Str, Timestamp, memory::Params, object::NodeHeadroom};

use super::{MAX_IMPROVED, MemoryIndex, protects, sample_uid};
use crate::{
    cache::{Cache, Slot},
    framework::PodInfo,
};

impl Cache {
    /// Keeps what `MemoryHeadroom` needs from now on.
    pub(crate) fn enable_memory(&mut self, params: Params) {
        self.memory = Some(MemoryIndex::new(params));
    }

    /// Memory of all nodes; absent when the plugin is not configured.
    #[must_use]
    pub const fn memory(&self) -> Option<&MemoryIndex> {
        self.memory.as_ref()
    }

    /// The wall clock, for the age of samples. States that have ended are worked out anew.
    pub(crate) fn set_time(&mut self, now: Timestamp) {
        self.now = now;
        while let Some(index) = &mut self.memory {
            match index.expiry.first().copied() {
                Some((until, slot)) if until < now => {
                    index.expiry.pop_first();
                    self.age_memory(slot);
                    self.settle_memory(slot);
                }
                _ => return,
            }
        }
    }

    /// When a state ends by itself, on the wall clock.
    pub(crate) fn memory_deadline(&self) -> Option<Timestamp> {
        self.memory.as_ref().and_then(|index| index.expiry.first()).map(|(until, _)| *until)
    }

    fn settle_memory(&mut self, slot: Slot) {
        let (Some(index), Some(row)) = (&mut self.memory, self.rows.get_mut(slot as usize)) else { return };
        let Some(mut info) = row.memory.take() else { return };
        let changed = index.settle(&mut info, (&row.name, &row.node, slot), self.now);
        row.memory = Some(info);
        if changed {
            self.touch(slot);
        }
    }

    /// Counts all pods of a node anew: it is new, or it, its sample or what unknown containers take has changed.
    pub(in crate::cache) fn rebuild_memory(&mut self, slot: Slot) {
        let (Some(index), Some(row)) = (&mut self.memory, self.rows.get_mut(slot as usize)) else { return };
        let before = row.memory.take();
        let (cluster, told) = (index.cluster(), index.cluster_changed);
        if let Some(before) = &before {
            index.retire(before, slot);
        }
        if !row.exists || index.headrooms.is_empty() {
            self.touch(slot);
            return;
        }
        let mut info = index.fresh(row, self.now);
        if let Some(mut before) = before {
            // A sample that has not changed still holds what left since it was taken.
            if before.sampled_at() == info.sampled_at() {
                info.carry(std::mem::take(&mut before.credited));
            }
            // So that `settle` sees whether the node got better.
            info.state = before.state;
        }
        for pod in &row.pods {
            let counted = index.count(&info, pod, self.now);
            index.learn(&info, &counted, true);
            info.keep(pod, counted);
        }
        index.settle(&mut info, (&row.name, &row.node, slot), self.now);
        // The cluster without this node was only a step on the way.
        index.cluster_changed = told || cluster != index.cluster();
        row.memory = Some(Box::new(info));
        self.touch(slot);
    }

    /// A pod came to the node. If it was there before and the sample has it, its use is not free any more.
    pub(in crate::cache) fn memory_pod_added(&mut self, slot: Slot, pod: &PodInfo) {
        let (Some(index), Some(row)) = (&mut self.memory, self.rows.get_mut(slot as usize)) else { return };
        let Some(mut info) = row.memory.take() else { return };
        let counted = index.count(&info, pod, self.now);
        index.learn(&info, &counted, true);
        info.keep(pod, counted);
        let rebuild = protects(&pod.pod) && !info.node.protected;
        index.settle(&mut info, (&row.name, &row.node, slot), self.now);
        row.memory = Some(info);
        if rebuild {
            self.rebuild_memory(slot);
        }
    }

    /// A pod left the node: what the sample says of it is free until the next sample.
    pub(in crate::cache) fn memory_pod_removed(&mut self, slot: Slot, pod: &PodInfo) {
        let (Some(index), Some(row)) = (&mut self.memory, self.rows.get_mut(slot as usize)) else { return };
        let Some(mut info) = row.memory.take() else { return };
        let mut rebuild = false;
        if let Some(counted) = info.pods.take(pod.uid()) {
            let part = info.part(&counted);
            info.sums.remove(&part);
            info.free(&pod.pod, &row.pods);
            index.learn(&info, &counted, false);
            rebuild = protects(&pod.pod);
            index.settle(&mut info, (&row.name, &row.node, slot), self.now);
        }
        row.memory = Some(info);
        if rebuild {
            self.rebuild_memory(slot);
        }
    }

    /// A pod of the node changed its status, or what is said of it.
    pub(in crate::cache) fn memory_pod_changed(&mut self, slot: Slot, old: &PodInfo, pod: &PodInfo) {
        let (Some(index), Some(row)) = (&mut self.memory, self.rows.get_mut(slot as usize)) else { return };
        let Some(mut info) = row.memory.take() else { return };
        let counted = index.count(&info, pod, self.now);
        let mut changed = false;
        let same = info.pods.get(pod.uid()).is_some_and(|before| *before == counted);
        if !same || info.credited.contains(sample_uid(&pod.pod)) {
            if let Some(before) = info.pods.take(pod.uid()) {
                let part = info.part(&before);
                info.sums.remove(&part);
                index.learn(&info, &before, false);
            }
            index.learn(&info, &counted, true);
            info.keep(pod, counted);
            changed = index.settle(&mut info, (&row.name, &row.node, slot), self.now);
        }
        row.memory = Some(info);
        if protects(&old.pod) != protects(&pod.pod) {
            self.rebuild_memory(slot);
        } else if changed {
            self.touch(slot);
        }
    }

    /// A NodeHeadroom came or changed.
    pub fn set_headroom(&mut self, headroom: Arc<NodeHeadroom>) {
        let name = headroom.meta.key.name.clone();
        let Some(index) = &mut self.memory else { return };
        let first = index.headrooms.is_empty();
        index.headrooms.insert(name.clone(), headroom);
        self.headrooms_changed(first, &name);
    }

    /// A NodeHeadroom went.
    pub fn remove_headroom(&mut self, name: &str) {
        let Some(index) = &mut self.memory else { return };
        if index.headrooms.remove(name).is_some() {
            let last = index.headrooms.is_empty();
            self.headrooms_changed(last, name);
        }
    }

    fn headrooms_changed(&mut self, all: bool, name: &str) {
        if all {
            if let Some(index) = &mut self.memory {
                index.cluster_changed = true;
            }
            self.rebuild_all_memory();
        } else if let Some(slot) = self.by_name.get(name) {
            self.rebuild_memory(*slot);
        }
        let Some(index) = &mut self.memory else { return };
        let demand = index.footprints.default_demand(Some(index.default_demand));
        if demand != index.default_demand {
            index.default_demand = demand;
            self.rebuild_all_memory();
        }
    }

    fn rebuild_all_memory(&mut self) {
        for slot in 0..self.rows.len() as Slot {
            self.rebuild_memory(slot);
        }
    }

    /// Nodes whose memory got better for pods since the last call; and whether something changed for all of them.
    pub(crate) fn take_memory_news(&mut self) -> (Vec<Str>, bool) {
        match &mut self.memory {
            Some(index) => {
                let all = std::mem::take(&mut index.cluster_changed) || index.improved.len() >= MAX_IMPROVED;
                (std::mem::take(&mut index.improved), all)
            }
            None => (Vec::new(), false),
        }
    }

    /// All NodeHeadrooms, for making the cache anew.
    pub(in crate::cache) fn headrooms(&self) -> Vec<Arc<NodeHeadroom>> {
        self.memory.iter().flat_map(|index| index.headrooms.values().cloned()).collect()
    }
}
