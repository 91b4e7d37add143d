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

    /// Whether some pod comes before `pod` on any node.
    pub(crate) fn any_before(&self, pod: &PodInfo) -> bool {
        self.by_node.keys().any(|node| self.before(pod, node).next().is_some())
    }
}
