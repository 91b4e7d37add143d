//! Pods by key, namespace, node and owner: one index for all loops.

use std::{collections::BTreeMap, sync::Arc};

use hashbrown::{HashMap, HashSet};
use headroom_core::{
    Str,
    object::{ObjectKey, Pod},
};

/// All pods, and where to find them.
#[derive(Debug, Default)]
pub struct PodIndex {
    pods: HashMap<ObjectKey, Arc<Pod>>,
    /// By name within a namespace, so that what is made from it comes in a stable order.
    by_namespace: HashMap<Str, BTreeMap<Str, Arc<Pod>>>,
    by_node: HashMap<Str, HashSet<ObjectKey>>,
    by_owner: HashMap<Str, HashSet<ObjectKey>>,
    /// The highest resource version seen in any pod, deleted ones included where their last state was seen.
    newest: u64,
}

impl PodIndex {
    /// Puts a pod in, and returns the one it replaces.
    pub fn apply(&mut self, pod: Arc<Pod>) -> Option<Arc<Pod>> {
        self.newest = self.newest.max(pod.meta.resource_version);
        let key = pod.meta.key.clone();
        let old = self.pods.insert(key.clone(), pod.clone());
        if let Some(old) = &old {
            self.unlink(old);
        }
        self.by_namespace.entry(key.namespace.clone()).or_default().insert(key.name.clone(), pod.clone());
        if let Some(node) = &pod.node_name {
            self.by_node.entry(node.clone()).or_default().insert(key.clone());
        }
        if let Some(owner) = pod.meta.controller() {
            self.by_owner.entry(owner.uid.clone()).or_default().insert(key);
        }
        old
    }

    /// Takes a pod out, and returns it.
    pub fn remove(&mut self, key: &ObjectKey) -> Option<Arc<Pod>> {
        let old = self.pods.remove(key)?;
        self.unlink(&old);
        if let Some(names) = self.by_namespace.get_mut(&key.namespace) {
            names.remove(&key.name);
            if names.is_empty() {
                self.by_namespace.remove(&key.namespace);
            }
        }
        Some(old)
    }

    fn unlink(&mut self, old: &Pod) {
        let key = &old.meta.key;
        if let Some(node) = &old.node_name {
            drop_from(&mut self.by_node, node, key);
        }
        if let Some(owner) = old.meta.controller() {
            drop_from(&mut self.by_owner, &owner.uid, key);
        }
    }

    /// The pod with this key.
    #[must_use]
    pub fn get(&self, key: &ObjectKey) -> Option<&Arc<Pod>> {
        self.pods.get(key)
    }

    /// All pods of a namespace, by name.
    pub fn in_namespace<'a>(&'a self, namespace: &str) -> impl Iterator<Item = &'a Arc<Pod>> {
        self.by_namespace.get(namespace).into_iter().flat_map(BTreeMap::values)
    }

    /// All pods bound to a node, in no particular order.
    pub fn on_node<'a>(&'a self, node: &str) -> impl Iterator<Item = &'a Arc<Pod>> {
        self.by_node.get(node).into_iter().flatten().filter_map(|key| self.pods.get(key))
    }

    /// All pods managed by the object with this UID, in no particular order.
    pub fn owned_by<'a>(&'a self, uid: &str) -> impl Iterator<Item = &'a Arc<Pod>> {
        self.by_owner.get(uid).into_iter().flatten().filter_map(|key| self.pods.get(key))
    }

    /// All pods, in no particular order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Arc<Pod>> {
        self.pods.values()
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pods.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pods.is_empty()
    }

    /// The highest resource version seen in any pod.
    #[must_use]
    pub const fn newest(&self) -> u64 {
        self.newest
    }
}

fn drop_from(index: &mut HashMap<Str, HashSet<ObjectKey>>, under: &Str, key: &ObjectKey) {
    if let Some(keys) = index.get_mut(under) {
        keys.remove(key);
        if keys.is_empty() {
            index.remove(under);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use headroom_core::testing::pod;

    #[test]
    fn follows_moves_and_deletions() {
        let mut index = PodIndex::default();
        index.apply(pod("a").owner("ReplicationController", "rc", "u1").rv(5).arc());
        index.apply(pod("a").owner("ReplicationController", "rc", "u1").on("n1").rv(6).arc());
        index.apply(pod("b").on("n1").rv(4).arc());
        assert_eq!((index.on_node("n1").count(), index.owned_by("u1").count(), index.newest()), (2, 1, 6));
        assert_eq!(index.in_namespace("default").map(|p| p.meta.key.name.to_string()).collect::<Vec<_>>(), ["a", "b"]);
        let gone = index.remove(&ObjectKey::new("default", "a"));
        assert!(gone.is_some());
        assert_eq!((index.on_node("n1").count(), index.owned_by("u1").count(), index.len()), (1, 0, 1));
        index.remove(&ObjectKey::new("default", "b"));
        assert!(
            index.is_empty() && index.by_namespace.is_empty() && index.by_node.is_empty() && index.by_owner.is_empty()
        );
    }
}
