//! MemoryProfiles in the cache: what was learned changes the demand of pods that wait and of pods on nodes.

use std::sync::Arc;

use headroom_core::object::{MemoryProfile, ObjectKey, OwnerRef};

use super::{Cache, MemoryIndex, Slot};
use crate::framework::PodInfo;

impl Cache {
    /// A MemoryProfile came or changed. Answers whether that says anything new.
    pub fn set_profile(&mut self, profile: Arc<MemoryProfile>) -> bool {
        let Some(index) = &mut self.memory else { return false };
        let changed = index.profiles.set(profile.clone());
        if changed {
            self.profile_changed(&profile);
        }
        changed
    }

    /// A MemoryProfile went. Answers with it.
    pub fn remove_profile(&mut self, key: &ObjectKey) -> Option<Arc<MemoryProfile>> {
        let gone = self.memory.as_mut()?.profiles.remove(key)?;
        self.profile_changed(&gone);
        Some(gone)
    }

    /// Who manages a ReplicaSet.
    pub(crate) fn set_replica_set(&mut self, key: &ObjectKey, owner: Option<&OwnerRef>) {
        if self.memory.as_mut().is_some_and(|index| index.profiles.set_replica_set(key, owner)) {
            self.replica_set_changed(key);
        }
    }

    /// A ReplicaSet went.
    pub(crate) fn remove_replica_set(&mut self, key: &ObjectKey) {
        if self.memory.as_mut().is_some_and(|index| index.profiles.remove_replica_set(key)) {
            self.replica_set_changed(key);
        }
    }

    fn replica_set_changed(&mut self, key: &ObjectKey) {
        self.count_anew(|_, pod| {
            let meta = &pod.pod.meta;
            meta.key.namespace == key.namespace
                && meta.controller().is_some_and(|o| o.kind == "ReplicaSet" && o.name == key.name)
        });
    }

    fn profile_changed(&mut self, profile: &MemoryProfile) {
        self.count_anew(|index, pod| index.profiles.concerns(profile, &pod.pod));
    }

    /// Counts these pods anew.
    fn count_anew(&mut self, concerned: impl Fn(&MemoryIndex, &PodInfo) -> bool) {
        let Some(index) = self.memory.as_ref().filter(|index| !index.is_inert()) else { return };
        let pods = self.pods.values().filter(|pod| concerned(index, &pod.info));
        let pods: Vec<(Slot, PodInfo)> = pods.map(|pod| (pod.slot, pod.info.clone())).collect();
        for (slot, pod) in pods {
            self.memory_pod_changed(slot, &pod, &pod);
        }
    }

    /// Counts the pods of a node anew whose learned peak has aged by a step.
    pub(super) fn age_memory(&mut self, slot: Slot) {
        let now = self.now;
        let Some(row) = self.rows.get_mut(slot as usize) else { return };
        let Some(info) = row.memory.as_deref_mut() else { return };
        if info.aging.is_none_or(|at| at >= now) {
            return;
        }
        let aged: Vec<PodInfo> = row.pods.iter().filter(|pod| info.ages_before(pod.uid(), now)).cloned().collect();
        info.aging = info.next_aging(now);
        for pod in aged {
            self.memory_pod_changed(slot, &pod, &pod);
        }
    }
}
