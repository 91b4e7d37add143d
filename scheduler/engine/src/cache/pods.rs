//! Pods on nodes by UID. A pod knows its own, so that no copy of it is kept as a key.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::CachedPod;

/// Pods by UID.
#[derive(Debug, Default)]
pub(super) struct Pods {
    table: HashTable<CachedPod>,
    hasher: DefaultHashBuilder,
}

impl Pods {
    pub(super) fn get(&self, uid: &str) -> Option<&CachedPod> {
        self.table.find(self.hasher.hash_one(uid), |known| *known.info.uid() == *uid)
    }

    /// The pod, to be changed; its UID stays.
    pub(super) fn get_mut(&mut self, uid: &str) -> Option<&mut CachedPod> {
        self.table.find_mut(self.hasher.hash_one(uid), |known| *known.info.uid() == *uid)
    }

    pub(super) fn contains(&self, uid: &str) -> bool {
        self.get(uid).is_some()
    }

    /// Puts a pod in, in place of one with the same UID.
    pub(super) fn insert(&mut self, pod: CachedPod) {
        if let Some(known) = self.get_mut(pod.info.uid()) {
            *known = pod;
            return;
        }
        let hasher = &self.hasher;
        let hash = |pod: &CachedPod| hasher.hash_one(pod.info.uid().as_str());
        self.table.insert_unique(hash(&pod), pod, hash);
    }

    pub(super) fn remove(&mut self, uid: &str) -> Option<CachedPod> {
        let entry = self.table.find_entry(self.hasher.hash_one(uid), |known| *known.info.uid() == *uid).ok()?;
        Some(entry.remove().0)
    }

    /// All of them, in no particular order.
    pub(super) fn values(&self) -> impl ExactSizeIterator<Item = &CachedPod> {
        self.table.iter()
    }

    pub(super) fn len(&self) -> usize {
        self.table.len()
    }
}

#[cfg(test)]
mod tests {
    use headroom_core::testing::pod;

    use super::*;
    use crate::framework::PodInfo;

    #[test]
    fn pods_are_found_by_their_own_uid() {
        let mut pods = Pods::default();
        let on = |name: &str, slot| CachedPod { info: PodInfo::new(pod(name).arc()), slot, assumed: false };
        for i in 0..100 {
            pods.insert(on(&format!("p{i}"), i));
        }
        pods.insert(on("p7", 1000));
        assert_eq!((pods.len(), pods.values().count()), (100, 100));
        assert_eq!(pods.get("uid-p7").map(|p| p.slot), Some(1000));
        if let Some(p) = pods.get_mut("uid-p8") {
            p.assumed = true;
        }
        assert!(pods.remove("uid-p8").is_some_and(|p| p.assumed));
        assert!(!pods.contains("uid-p8") && pods.remove("uid-p8").is_none() && pods.get("p7").is_none());
    }
}
