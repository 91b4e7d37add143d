//! What is read of the cache.

use std::sync::Arc;

use headroom_core::object::{Namespace, ObjectKey};

use super::{AffinityGroup, Cache, CachedPod, NodeInfo, Slot, Storage, Workloads};

impl Cache {
    /// A namespace.
    #[must_use]
    pub fn namespace(&self, name: &str) -> Option<&Arc<Namespace>> {
        self.namespaces.get(name)
    }

    /// All namespaces, in no particular order.
    pub fn namespaces(&self) -> impl Iterator<Item = &Arc<Namespace>> {
        self.namespaces.values()
    }

    /// Selectors of Services and of what owns pods.
    #[must_use]
    pub const fn workloads(&self) -> &Workloads {
        &self.workloads
    }

    /// The same, to be changed.
    pub const fn workloads_mut(&mut self) -> &mut Workloads {
        &mut self.workloads
    }

    /// Pods on nodes that have terms of inter-pod affinity.
    #[must_use]
    pub fn affinity_groups(&self) -> &[AffinityGroup] {
        self.affinity.groups()
    }

    /// Whether any node has an image of this name.
    #[must_use]
    pub fn has_image(&self, name: &str) -> bool {
        self.images.has(name)
    }

    /// The nodes that have an image of this name, with its size there in bytes.
    #[must_use]
    pub fn nodes_with_image(&self, name: &str) -> Vec<(Slot, i64)> {
        self.images.nodes(name, &self.rows)
    }

    /// Volumes, claims and what belongs to them.
    #[must_use]
    pub const fn storage(&self) -> &Arc<Storage> {
        &self.storage
    }

    /// The same, to be changed.
    pub fn storage_mut(&mut self) -> &mut Storage {
        Arc::make_mut(&mut self.storage)
    }

    /// How many volumes of pods on nodes, assumed ones included, use a claim (`IsPVCUsedByPods`).
    #[must_use]
    pub fn claim_users(&self, claim: &ObjectKey) -> u32 {
        self.claim_users.get(claim).copied().unwrap_or(0)
    }

    /// The pod on a node with this UID.
    #[must_use]
    pub fn pod(&self, uid: &str) -> Option<&CachedPod> {
        self.pods.get(uid)
    }

    /// All pods on nodes, in no particular order.
    pub fn pods(&self) -> impl ExactSizeIterator<Item = &CachedPod> {
        self.pods.values()
    }

    /// How many pods are only assumed.
    #[must_use]
    pub const fn assumed_count(&self) -> usize {
        self.assumed
    }

    /// How many nodes exist.
    #[must_use]
    pub const fn node_count(&self) -> usize {
        self.nodes
    }

    /// How many slots there are, used or not: the length of columns.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.rows.len()
    }

    /// Generations by slot; 0 where no node exists.
    #[must_use]
    pub fn generations(&self) -> &[u64] {
        &self.generations
    }

    /// How many changes of generations there were.
    pub(crate) const fn change_count(&self) -> u64 {
        self.changes.count()
    }

    /// The slots whose generation changed since there were so many changes, some of them repeatedly; absent when that is
    /// not known any more. New slots are not among them before their node exists.
    pub(crate) fn changed_since(&self, count: u64) -> Option<impl Iterator<Item = Slot> + use<'_>> {
        self.changes.since(count)
    }

    /// Hashes of the nodes' names, by slot.
    pub(crate) fn name_hashes(&self) -> &[u64] {
        &self.hashes
    }

    /// Changes when a slot comes to stand for another node.
    #[must_use]
    pub const fn slot_epoch(&self) -> u64 {
        self.slot_epoch
    }

    /// The node in a slot.
    #[must_use]
    pub fn row(&self, slot: Slot) -> Option<&NodeInfo> {
        self.rows.get(slot as usize).filter(|row| row.exists)
    }

    /// The row in a slot, whether or not its node exists.
    #[must_use]
    pub fn any_row(&self, slot: Slot) -> Option<&NodeInfo> {
        self.rows.get(slot as usize)
    }

    /// The node of this name.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<&NodeInfo> {
        self.by_name.get(name).and_then(|slot| self.row(*slot))
    }

    /// The slot of the node of this name.
    #[must_use]
    pub fn slot(&self, name: &str) -> Option<Slot> {
        self.by_name.get(name).copied().filter(|slot| self.rows[*slot as usize].exists)
    }

    /// All nodes with their slots, by slot.
    pub fn nodes(&self) -> impl Iterator<Item = (Slot, &NodeInfo)> {
        self.rows.iter().enumerate().filter(|(_, row)| row.exists).map(|(at, row)| (at as Slot, row))
    }
}
