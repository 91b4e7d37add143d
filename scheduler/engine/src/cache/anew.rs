//! The cache made from scratch, and whether it holds what incremental updating came to: for tests, fuzzing, and after a
//! panic.

use std::sync::Arc;

use super::{Cache, changes::Changes};

impl Cache {
    /// A cache made from scratch with the same nodes and pods: what incremental updating must come to.
    #[must_use]
    pub fn recomputed(&self) -> Self {
        let mut fresh = Self {
            namespaces: self.namespaces.clone(),
            budgets: self.budgets.clone(),
            storage: self.storage.clone(),
            now: self.now,
            // So that nobody takes a new generation for an old one.
            last_generation: self.last_generation,
            changes: Changes::after(self.changes.count() + 1),
            node_epoch: self.node_epoch,
            ..Self::default()
        };
        for one in self.workloads.all() {
            fresh.workloads.set(one.clone());
        }
        if let Some(index) = &self.memory {
            fresh.enable_memory(index.params().clone());
            if let Some(memory) = &mut fresh.memory {
                memory.profiles = index.profiles.without_profiles();
            }
            for profile in index.profiles.iter() {
                fresh.set_profile(profile.clone());
            }
        }
        for headroom in self.headrooms() {
            fresh.set_headroom(headroom);
        }
        for row in self.rows.iter().filter(|r| r.exists) {
            fresh.set_node(row.node.clone());
        }
        for pod in self.pods.values() {
            let slot = fresh.slot_for(&self.rows[pod.slot as usize].name);
            let info = fresh.info(pod.info.pod.clone(), None);
            fresh.put(info, slot, pod.assumed);
        }
        fresh
    }

    /// The first pod of a row that is not the one that is known on its node, in words.
    fn wrong_row(&self) -> Option<String> {
        self.rows.iter().enumerate().find_map(|(slot, row)| {
            let wrong = row.pods.iter().find(|pod| {
                let known = self.pods.get(pod.uid());
                known.is_none_or(|k| k.slot as usize != slot || !Arc::ptr_eq(&k.info.pod, &pod.pod))
            })?;
            Some(format!("{}: {} is not as it is known", row.name, wrong.uid()))
        })
    }

    /// The first difference from another cache, in words; absent when they hold the same.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Option<String> {
        if (self.nodes, self.pods.len(), self.assumed) != (other.nodes, other.pods.len(), other.assumed) {
            return Some(format!(
                "{} nodes, {} pods, {} assumed here; {} nodes, {} pods, {} assumed there",
                self.nodes,
                self.pods.len(),
                self.assumed,
                other.nodes,
                other.pods.len(),
                other.assumed
            ));
        }
        let index = self
            .wrong_row()
            .or_else(|| self.affinity.difference(&self.rows))
            .or_else(|| self.images.difference(&self.rows))
            .or_else(|| self.lazy.difference(self));
        if index.is_some() {
            return index;
        }
        if self.claim_users != other.claim_users {
            return Some(format!("claims: {:?} here, {:?} there", self.claim_users, other.claim_users));
        }
        for (name, slot) in &self.by_name {
            let mine = &self.rows[*slot as usize];
            match other.by_name.get(name).map(|s| &other.rows[*s as usize]) {
                Some(theirs) if mine.same_as(theirs) => {}
                Some(theirs) => return Some(format!("{name}: {mine:?} here, {theirs:?} there")),
                None => return Some(format!("{name} is here only")),
            }
        }
        (self.by_name.len() != other.by_name.len()).then(|| "there are more nodes there".to_owned())
    }
}
