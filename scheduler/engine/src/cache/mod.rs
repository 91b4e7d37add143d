//! The cluster as the scheduler sees it: nodes, their pods, assumed ones included (`pkg/scheduler/backend/cache`;
//! reference 1.11).
//!
//! Deciding happens on the same thread as updating, so there is no snapshot: plugins borrow the rows. Every row has a
//! generation that changes with whatever could change a verdict on it; that is what lets classes of pods keep columns.

mod affinity;
mod anew;
mod assume;
mod budgets;
mod changes;
mod images;
mod label_groups;
mod lazy;
mod memory;
mod node_info;
mod pod_counts;
mod pods;
mod ports;
mod profiles;
mod read;
mod storage;
mod topology;
mod workloads;

use std::sync::Arc;

use hashbrown::HashMap;
use headroom_core::{
    Str, Timestamp,
    object::{Namespace, Node, ObjectKey, Pod, VolumeKind},
};

pub use self::{
    affinity::AffinityGroup,
    assume::{Assumable, AssumeCache},
    images::ImageIndex,
    label_groups::LabelGroups,
    memory::{MemoryIndex, NodeMemoryInfo},
    node_info::NodeInfo,
    pod_counts::{DomainSums, NamespaceSet, PodCounts, PodMatch, PodQuery},
    ports::UsedPorts,
    storage::{Storage, StorageObject},
    topology::{Domains, Inclusion},
    workloads::Workloads,
};
use self::{affinity::AffinityIndex, changes::Changes, lazy::Lazy};
use crate::framework::{PodInfo, SpecCache};

/// Place of a node in the cache. Stays the same as long as the node exists or pods name it; is then used again.
pub type Slot = u32;

/// A pod on a node.
#[derive(Debug, Clone)]
pub struct CachedPod {
    /// The pod.
    pub info: PodInfo,
    /// Where.
    pub slot: Slot,
    /// Whether it is only assumed: decided, not yet seen as bound.
    pub assumed: bool,
}

/// What [`Cache::set_pod`] found.
#[derive(Debug, Clone)]
pub struct PodChange {
    /// The pod as it was known on a node, if it was.
    pub old: Option<PodInfo>,
    /// It was assumed on this node: now it is confirmed. Or on another one.
    pub was_assumed: bool,
    /// The node on which it was before, when that is another one.
    pub moved_from: Option<Str>,
}

/// The claims that a pod names, once per volume. Those of ephemeral volumes are the pod's own: nobody shares them.
fn claims_of(info: &PodInfo) -> impl Iterator<Item = ObjectKey> + use<'_> {
    info.pod.spec.volumes.iter().filter_map(|v| match &v.kind {
        VolumeKind::PersistentVolumeClaim(name) => {
            Some(ObjectKey { namespace: info.pod.meta.key.namespace.clone(), name: name.clone() })
        }
        _ => None,
    })
}

/// Nodes, pods on nodes, namespaces, storage.
#[derive(Debug, Default)]
pub struct Cache {
    rows: Vec<NodeInfo>,
    /// By slot; 0 where no node exists.
    generations: Vec<u64>,
    /// By slot: hashes of the names, for breaking ties.
    hashes: Vec<u64>,
    last_generation: u64,
    changes: Changes,
    free: Vec<Slot>,
    by_name: HashMap<Str, Slot>,
    nodes: usize,
    pods: pods::Pods,
    assumed: usize,
    namespaces: HashMap<Str, Arc<Namespace>>,
    budgets: budgets::Budgets,
    /// Shared with the states of a cycle; nobody else holds it when it changes.
    storage: Arc<Storage>,
    /// How many volumes of pods on nodes use a claim.
    claim_users: HashMap<ObjectKey, u32>,
    specs: SpecCache,
    /// Counts every time a slot came to stand for another node.
    slot_epoch: u64,
    /// By slot: changes with labels, taints and existence of the node.
    node_versions: Vec<u64>,
    /// The largest of these.
    node_epoch: u64,
    affinity: AffinityIndex,
    images: ImageIndex,
    workloads: Workloads,
    lazy: Lazy,
    memory: Option<MemoryIndex>,
    /// The wall clock, as of the last input.
    now: Timestamp,
}

impl Cache {
    /// The pod with what follows from its spec, shared with all pods of an equal one.
    pub fn info(&mut self, pod: Arc<Pod>, before: Option<&PodInfo>) -> PodInfo {
        self.specs.info(pod, before)
    }

    fn touch(&mut self, slot: Slot) {
        let at = slot as usize;
        if self.rows.get(at).is_some_and(|row| row.exists) {
            self.last_generation += 1;
            self.generations[at] = self.last_generation;
            self.changes.push(slot);
        }
    }

    /// Changes whenever a generation does.
    const fn state(&self) -> (u64, u64) {
        (self.last_generation, self.node_epoch)
    }

    fn slot_for(&mut self, name: &Str) -> Slot {
        if let Some(slot) = self.by_name.get(name) {
            return *slot;
        }
        self.slot_epoch += 1;
        let mut fresh = NodeInfo::unknown(name.clone());
        let hash = fresh.name_hash;
        let slot = match self.free.pop() {
            Some(slot) => {
                fresh.slot = slot;
                self.rows[slot as usize] = fresh;
                self.hashes[slot as usize] = hash;
                slot
            }
            None => {
                fresh.slot = self.rows.len() as Slot;
                self.rows.push(fresh);
                self.generations.push(0);
                self.node_versions.push(0);
                self.hashes.push(hash);
                (self.rows.len() - 1) as Slot
            }
        };
        self.by_name.insert(name.clone(), slot);
        slot
    }

    fn release_if_unused(&mut self, slot: Slot) {
        let row = &self.rows[slot as usize];
        if !row.exists && row.pods.is_empty() && self.by_name.remove(&row.name).is_some() {
            self.free.push(slot);
        }
    }

    /// A node came or changed. Answers what was known of it before.
    pub fn set_node(&mut self, node: Arc<Node>) -> Option<Arc<Node>> {
        let slot = self.slot_for(node.name());
        let row = &mut self.rows[slot as usize];
        let existed = std::mem::replace(&mut row.exists, true);
        let old = std::mem::replace(&mut row.node, node);
        self.images.set(slot, &old.images, &row.node.images);
        if !existed || old.meta.labels != row.node.meta.labels || old.taints != row.node.taints {
            self.node_epoch += 1;
            self.node_versions[slot as usize] = self.node_epoch;
        }
        self.nodes += usize::from(!existed);
        self.rebuild_memory(slot);
        self.touch(slot);
        existed.then_some(old)
    }

    /// A node went. Its pods stay known until they are gone themselves.
    pub fn remove_node(&mut self, name: &str) -> Option<Arc<Node>> {
        let slot = *self.by_name.get(name)?;
        let row = &mut self.rows[slot as usize];
        if !std::mem::replace(&mut row.exists, false) {
            return None;
        }
        let old = std::mem::replace(&mut row.node, Arc::new(Node::default()));
        self.images.set(slot, &old.images, &[]);
        self.node_epoch += 1;
        self.node_versions[slot as usize] = self.node_epoch;
        self.rebuild_memory(slot);
        self.generations[slot as usize] = 0;
        self.changes.push(slot);
        self.nodes -= 1;
        self.release_if_unused(slot);
        Some(old)
    }

    fn put(&mut self, info: PodInfo, slot: Slot, assumed: bool) {
        self.rows[slot as usize].add(info.clone());
        self.affinity.add(slot, &info);
        for key in claims_of(&info) {
            *self.claim_users.entry(key).or_default() += 1;
        }
        self.memory_pod_added(slot, &info);
        self.assumed += usize::from(assumed);
        self.pods.insert(CachedPod { info, slot, assumed });
        self.touch(slot);
    }

    fn take(&mut self, uid: &str) -> Option<CachedPod> {
        let known = self.pods.remove(uid)?;
        self.rows[known.slot as usize].remove(uid);
        self.affinity.remove(known.slot, &known.info);
        for key in claims_of(&known.info) {
            if let Some(users) = self.claim_users.get_mut(&key) {
                *users -= 1;
                if *users == 0 {
                    self.claim_users.remove(&key);
                }
            }
        }
        self.memory_pod_removed(known.slot, &known.info);
        self.assumed -= usize::from(known.assumed);
        self.touch(known.slot);
        self.release_if_unused(known.slot);
        Some(known)
    }

    /// A pod is bound to the node of this name: new, changed, or now confirmed.
    pub fn set_pod(&mut self, info: PodInfo, node: &Str) -> PodChange {
        if let Some(known) = self.pods.get_mut(info.uid()) {
            let (at, slot) = (known.slot, known.slot as usize);
            // The common cases: the pod is seen as bound where it was assumed, and the kubelet reported something that no sum
            // depends on. (An API server never gives a UID to a pod of another name; sums go by namespace, so should one do
            // it, the pod is taken for another.)
            let same_pod = known.info.pod.meta.key == info.pod.meta.key;
            if self.rows[slot].name == *node && same_pod && Arc::ptr_eq(&known.info.spec, &info.spec) {
                let old = std::mem::replace(&mut known.info, info.clone());
                let was_assumed = std::mem::take(&mut known.assumed);
                self.assumed -= usize::from(was_assumed);
                let row = &mut self.rows[slot];
                if let Some(p) = row.pods.iter_mut().find(|p| p.uid() == info.uid()) {
                    *p = info.clone();
                }
                self.memory_pod_changed(at, &old, &info);
                // Selectors look at labels, and spreading leaves out what is being deleted.
                let (was, is) = (&old.pod.meta, &info.pod.meta);
                if was.labels != is.labels || was.is_terminating() != is.is_terminating() {
                    self.touch(at);
                }
                return PodChange { old: Some(old), was_assumed, moved_from: None };
            }
        }
        let known = self.take(info.uid());
        let moved_from =
            known.as_ref().map(|k| self.rows[k.slot as usize].name.clone()).filter(|before| before != node);
        let slot = self.slot_for(node);
        self.put(info, slot, false);
        PodChange { was_assumed: known.as_ref().is_some_and(|k| k.assumed), old: known.map(|k| k.info), moved_from }
    }

    /// A pod is gone or has ended. Answers it, and the name of its node, when it was on one.
    pub fn remove_pod(&mut self, uid: &str) -> Option<(CachedPod, Str)> {
        let name = self.rows[self.pods.get(uid)?.slot as usize].name.clone();
        self.take(uid).map(|known| (known, name))
    }

    /// A decision was made: the pod counts on the node from now on. False when it is on a node already.
    pub fn assume(&mut self, info: PodInfo, slot: Slot) -> bool {
        if self.pods.contains(info.uid()) || self.rows.get(slot as usize).is_none() {
            return false;
        }
        self.put(info, slot, true);
        true
    }

    /// It came to nothing. Only assumed pods are forgotten.
    pub fn forget(&mut self, uid: &str) -> Option<CachedPod> {
        if !self.pods.get(uid)?.assumed {
            return None;
        }
        self.take(uid)
    }

    /// A namespace came or changed. Answers what was known of it before.
    pub fn set_namespace(&mut self, namespace: Arc<Namespace>) -> Option<Arc<Namespace>> {
        self.namespaces.insert(namespace.meta.key.name.clone(), namespace)
    }

    /// A namespace went.
    pub fn remove_namespace(&mut self, name: &str) -> Option<Arc<Namespace>> {
        self.namespaces.remove(name)
    }
}

#[cfg(test)]
mod tests;
