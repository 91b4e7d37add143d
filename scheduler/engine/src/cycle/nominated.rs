//! Pods that are nominated to a node but not bound (`backend/queue/nominator.go`; reference 1.4).

use hashbrown::HashMap;
use headroom_core::Str;

use crate::framework::PodInfo;

/// Nominated pods by node.
#[derive(Debug, Default)]
pub struct Nominated {
    by_node: HashMap<Str, Vec<PodInfo>>,
    nodes: HashMap<Str, Str>,
}

impl Nominated {
    /// The pod is nominated to this node, or to none any more.
    pub fn set(&mut self, pod: &PodInfo, node: Option<&Str>) {
        self.remove(pod.uid());
        if let Some(node) = node.filter(|n| !n.is_empty()) {
            self.nodes.insert(pod.uid().clone(), node.clone());
            self.by_node.entry(node.clone()).or_default().push(pod.clone());
        }
    }

    /// The pod is nominated to no node. Answers the one to which it was.
    pub fn remove(&mut self, uid: &str) -> Option<Str> {
        let node = self.nodes.remove(uid)?;
        if let Some(pods) = self.by_node.get_mut(&node) {
            pods.retain(|p| p.uid() != uid);
            if pods.is_empty() {
                self.by_node.remove(&node);
            }
        }
        Some(node)
    }

    /// The pod changed from `old` to `new` (`UpdateNominatedPod`). When neither says anything of a nomination, the one that
    /// was decided here stays: it may be on its way to the API server.
    pub fn update(&mut self, old: Option<&PodInfo>, new: &PodInfo) {
        let says = |p: &PodInfo| p.pod.status.nominated_node_name.clone().filter(|n| !n.is_empty());
        let node = match (old.and_then(says), says(new)) {
            (None, None) => self.nodes.get(new.uid()).cloned(),
            (_, now) => now,
        };
        self.set(new, node.as_ref());
    }

    /// Whether no pod is nominated anywhere.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// How many pods are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// The pods nominated to `node` that come before `pod`: other ones of at least its priority.
    pub(crate) fn before<'a>(&'a self, pod: &'a PodInfo, node: &str) -> impl Iterator<Item = &'a PodInfo> {
        self.by_node
            .get(node)
            .into_iter()
            .flatten()
            .filter(move |other| other.priority() >= pod.priority() && other.uid() != pod.uid())
    }

    /// The nodes to which a pod is nominated that comes before `pod`.
    pub(crate) fn nodes_before<'a>(&'a self, pod: &'a PodInfo) -> impl Iterator<Item = &'a Str> {
        self.by_node.keys().filter(|node| self.before(pod, node).next().is_some())
    }

    /// The pods nominated to `node` with less than this priority, by UID.
    pub(crate) fn lower(&self, priority: i32, node: &str) -> Vec<PodInfo> {
        let mut all: Vec<PodInfo> =
            self.by_node.get(node).into_iter().flatten().filter(|p| p.priority() < priority).cloned().collect();
        all.sort_by(|a, b| a.uid().cmp(b.uid()));
        all
    }
}
