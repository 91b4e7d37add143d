//! Pods that are nominated to a node but not bound (`backend/queue/nominator.go`; reference 1.4).

use std::collections::VecDeque;

use hashbrown::HashMap;
use headroom_core::Str;

use crate::framework::PodInfo;

/// Changes that are remembered.
const REMEMBERED: usize = 1024;

/// Nominated pods by node.
#[derive(Debug, Default)]
pub struct Nominated {
    by_node: HashMap<Str, Vec<PodInfo>>,
    nodes: HashMap<Str, Str>,
    /// The nodes whose nominated pods changed last, some of them repeatedly.
    changes: VecDeque<Str>,
    /// How many changes there were ever.
    count: u64,
}

impl Nominated {
    /// The pod is nominated to this node, or to none any more.
    pub fn set(&mut self, pod: &PodInfo, node: Option<&Str>) {
        self.remove(pod.uid());
        if let Some(node) = node.filter(|n| !n.is_empty()) {
            self.nodes.insert(pod.uid().clone(), node.clone());
            self.by_node.entry(node.clone()).or_default().push(pod.clone());
            self.changed(node.clone());
        }
    }

    fn changed(&mut self, node: Str) {
        if self.changes.len() == REMEMBERED {
            self.changes.pop_front();
        }
        self.changes.push_back(node);
        self.count += 1;
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
        self.changed(node.clone());
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

    /// The node to which this pod is nominated.
    pub(crate) fn node_of(&self, uid: &str) -> Option<&Str> {
        self.nodes.get(uid)
    }

    /// How many changes there were ever.
    pub(crate) const fn change_count(&self) -> u64 {
        self.count
    }

    /// The nodes whose nominated pods changed since there were `count` changes, some of them repeatedly; absent when that
    /// is not known any more.
    pub(crate) fn changed_since(&self, count: u64) -> Option<impl Iterator<Item = &Str>> {
        let missed = usize::try_from(self.count.checked_sub(count)?).ok()?;
        let known = self.changes.len().checked_sub(missed)?;
        Some(self.changes.range(known..))
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

#[cfg(test)]
mod tests {
    use headroom_core::testing::pod;

    use super::*;

    fn info(name: &str) -> PodInfo {
        PodInfo::new(pod(name).arc())
    }

    fn since(nominated: &Nominated, count: u64) -> Option<Vec<&str>> {
        Some(nominated.changed_since(count)?.map(Str::as_str).collect())
    }

    #[test]
    fn changes_are_remembered_for_a_while() {
        let mut nominated = Nominated::default();
        assert_eq!(since(&nominated, 0), Some(vec![]));
        assert_eq!(since(&nominated, u64::MAX), None, "more than there were");
        nominated.set(&info("a"), Some(&"one".into()));
        nominated.set(&info("a"), Some(&"two".into()));
        assert_eq!(since(&nominated, 0), Some(vec!["one", "one", "two"]));
        let seen = nominated.change_count();
        nominated.set(&info("b"), None);
        assert_eq!(since(&nominated, seen), Some(vec![]), "it was nominated nowhere before");
        nominated.remove(info("a").uid());
        assert_eq!(since(&nominated, seen), Some(vec!["two"]));
        for _ in 0..REMEMBERED {
            nominated.set(&info("a"), Some(&"one".into()));
        }
        assert_eq!(since(&nominated, seen), None, "forgotten");
    }
}
