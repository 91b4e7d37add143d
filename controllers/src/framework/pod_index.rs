//! Pods by key, namespace, node and owner: one index for all loops.

use std::{borrow::Borrow, cmp::Ordering, collections::BTreeSet, hash::BuildHasher, sync::Arc};

use hashbrown::{DefaultHashBuilder, HashMap, HashTable};
use headroom_core::{
    Str,
    object::{ObjectKey, Pod},
};

/// A pod under its own namespace and name, of which no copy is kept.
#[derive(Debug)]
struct ByKey(Arc<Pod>);

impl Borrow<ObjectKey> for ByKey {
    fn borrow(&self) -> &ObjectKey {
        &self.0.meta.key
    }
}

impl PartialEq for ByKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.meta.key == other.0.meta.key
    }
}

impl Eq for ByKey {}

impl PartialOrd for ByKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ByKey {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.meta.key.cmp(&other.0.meta.key)
    }
}

type Index = HashMap<Str, BTreeSet<ByKey>>;

/// All pods, and where to find them.
#[derive(Debug, Default)]
pub struct PodIndex {
    pods: HashTable<Arc<Pod>>,
    hasher: DefaultHashBuilder,
    /// By name within a namespace, so that what is made from it comes in a stable order.
    by_namespace: Index,
    by_node: Index,
    by_owner: Index,
    /// The highest resource version seen in any pod, deleted ones included where their last state was seen.
    newest: u64,
}

impl PodIndex {
    /// Puts a pod in, and returns the one it replaces.
    pub fn apply(&mut self, pod: Arc<Pod>) -> Option<Arc<Pod>> {
        self.newest = self.newest.max(pod.meta.resource_version);
        let old = self.insert(pod.clone());
        if let Some(old) = &old {
            if old.node_name != pod.node_name {
                self.unlink_node(old);
            }
            if owner(old) != owner(&pod) {
                self.unlink_owner(old);
            }
        }
        put(&mut self.by_namespace, &pod.meta.key.namespace, &pod);
        if let Some(node) = &pod.node_name {
            put(&mut self.by_node, node, &pod);
        }
        if let Some(owner) = owner(&pod) {
            put(&mut self.by_owner, owner, &pod);
        }
        old
    }

    fn insert(&mut self, pod: Arc<Pod>) -> Option<Arc<Pod>> {
        let hasher = &self.hasher;
        let hash = |pod: &Arc<Pod>| hasher.hash_one(&pod.meta.key);
        match self.pods.find_mut(hash(&pod), |known| known.meta.key == pod.meta.key) {
            Some(known) => Some(std::mem::replace(known, pod)),
            None => {
                self.pods.insert_unique(hash(&pod), pod, hash);
                None
            }
        }
    }

    /// Takes a pod out, and returns it.
    pub fn remove(&mut self, key: &ObjectKey) -> Option<Arc<Pod>> {
        let found = self.pods.find_entry(self.hasher.hash_one(key), |known| known.meta.key == *key);
        let old = found.ok()?.remove().0;
        self.unlink_node(&old);
        self.unlink_owner(&old);
        drop_from(&mut self.by_namespace, &key.namespace, key);
        Some(old)
    }

    fn unlink_node(&mut self, old: &Pod) {
        if let Some(node) = &old.node_name {
            drop_from(&mut self.by_node, node, &old.meta.key);
        }
    }

    fn unlink_owner(&mut self, old: &Pod) {
        if let Some(owner) = owner(old) {
            drop_from(&mut self.by_owner, owner, &old.meta.key);
        }
    }

    /// The pod with this key.
    #[must_use]
    pub fn get(&self, key: &ObjectKey) -> Option<&Arc<Pod>> {
        self.pods.find(self.hasher.hash_one(key), |known| known.meta.key == *key)
    }

    /// All pods of a namespace, by name.
    pub fn in_namespace<'a>(&'a self, namespace: &str) -> impl Iterator<Item = &'a Arc<Pod>> {
        under(&self.by_namespace, namespace)
    }

    /// All pods bound to a node, in no particular order.
    pub fn on_node<'a>(&'a self, node: &str) -> impl Iterator<Item = &'a Arc<Pod>> {
        under(&self.by_node, node)
    }

    /// All pods managed by the object with this UID, in no particular order.
    pub fn owned_by<'a>(&'a self, uid: &str) -> impl Iterator<Item = &'a Arc<Pod>> {
        under(&self.by_owner, uid)
    }

    /// All pods, in no particular order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Arc<Pod>> {
        self.pods.iter()
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

/// UID of the object that manages the pod.
fn owner(pod: &Pod) -> Option<&Str> {
    pod.meta.controller().map(|owner| &owner.uid)
}

fn under<'a>(index: &'a Index, name: &str) -> impl Iterator<Item = &'a Arc<Pod>> + use<'a> {
    index.get(name).into_iter().flatten().map(|pod| &pod.0)
}

/// Also in place of an older state of the pod.
fn put(index: &mut Index, under: &Str, pod: &Arc<Pod>) {
    let pod = ByKey(pod.clone());
    match index.get_mut(under) {
        Some(pods) => {
            pods.replace(pod);
        }
        None => {
            index.insert(under.clone(), BTreeSet::from([pod]));
        }
    }
}

fn drop_from(index: &mut Index, under: &Str, key: &ObjectKey) {
    if let Some(pods) = index.get_mut(under) {
        pods.remove(key);
        if pods.is_empty() {
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
        // Every way leads to the newest state.
        index.apply(pod("a").owner("ReplicationController", "rc", "u1").on("n1").rv(7).arc());
        let a = |pods: Vec<&Arc<Pod>>| pods.iter().find(|p| p.meta.key.name == "a").map(|p| p.meta.resource_version);
        for pods in [
            index.on_node("n1").collect::<Vec<_>>(),
            index.owned_by("u1").collect(),
            index.in_namespace("default").collect(),
            index.iter().collect(),
            index.get(&ObjectKey::new("default", "a")).into_iter().collect(),
        ] {
            assert_eq!(a(pods), Some(7));
        }
        // Adopted by another one, and somewhere else.
        index.apply(pod("a").owner("ReplicationController", "rc", "u2").on("n2").rv(8).arc());
        assert_eq!((index.on_node("n1").count(), index.owned_by("u1").count(), index.len()), (1, 0, 2));
        index.apply(pod("a").owner("ReplicationController", "rc", "u1").on("n1").rv(9).arc());
        assert_eq!((index.on_node("n2").count(), index.owned_by("u2").count(), index.len()), (0, 0, 2));
        let gone = index.remove(&ObjectKey::new("default", "a"));
        assert!(gone.is_some());
        assert_eq!((index.on_node("n1").count(), index.owned_by("u1").count(), index.len()), (1, 0, 1));
        index.remove(&ObjectKey::new("default", "b"));
        assert!(
            index.is_empty() && index.by_namespace.is_empty() && index.by_node.is_empty() && index.by_owner.is_empty()
        );
    }
}
