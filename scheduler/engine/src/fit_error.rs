//! The message of an unschedulable pod (`framework.FitError`; reference 1.10).

use std::fmt;

use hashbrown::HashMap;

use crate::framework::{Code, PluginSet, Reason, Rejection, Status};

/// Message when the cluster has no nodes (upstream's `ErrNoNodesAvailable`).
pub const NO_NODES: &str = "no nodes available to schedule pods";

/// Why no node is feasible.
///
/// Without a PostFilter plugin the message ends after the list, as stock's does when DefaultPreemption is disabled.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FitError {
    /// How many nodes there are.
    pub nodes: usize,
    /// What PreFilter said, when it rejected the pod on all nodes.
    pub pre_filter_message: String,
    /// Reasons, and on how many nodes each stands.
    reasons: HashMap<Reason, usize>,
    /// What PostFilter said.
    pub post_filter_message: String,
    /// Who rejected.
    pub rejectors: PluginSet,
    /// Who rejected with `Pending`.
    pub pending: PluginSet,
}

impl FitError {
    /// No reasons yet.
    #[must_use]
    pub fn new(nodes: usize) -> Self {
        Self { nodes, ..Self::default() }
    }

    /// PreFilter rejected the pod on all nodes.
    #[must_use]
    pub fn pre_filter(nodes: usize, status: &Status, plugins: PluginSet) -> Self {
        let mut this = Self { nodes, pre_filter_message: status.message(), ..Self::default() };
        if status.code() == Code::Pending {
            this.pending = plugins;
        } else {
            this.rejectors = plugins;
        }
        this
    }

    /// A reason stands on this many more nodes.
    pub(crate) fn count(&mut self, reason: Reason, nodes: usize) {
        if nodes > 0 {
            *self.reasons.entry(reason).or_default() += nodes;
        }
    }

    /// A node was rejected.
    pub fn add(&mut self, rejection: &Rejection) {
        let set = if rejection.status.code() == Code::Pending { &mut self.pending } else { &mut self.rejectors };
        set.insert(rejection.plugin);
        for reason in rejection.status.reasons() {
            match self.reasons.get_mut(reason) {
                Some(count) => *count += 1,
                None => {
                    self.reasons.insert(reason.clone(), 1);
                }
            }
        }
    }
}

/// A [`FitError`] in the making. Neighbouring nodes mostly say the same, which is only counted.
#[derive(Debug)]
pub(crate) struct FitErrors {
    error: FitError,
    last: Option<Rejection>,
    nodes: usize,
}

impl FitErrors {
    pub(crate) fn new(nodes: usize) -> Self {
        Self { error: FitError::new(nodes), last: None, nodes: 0 }
    }

    /// A node was rejected.
    pub(crate) fn add(&mut self, rejection: &Rejection) {
        if self.last.as_ref() != Some(rejection) {
            self.flush();
            self.last = Some(rejection.clone());
        }
        self.nodes += 1;
    }

    fn flush(&mut self) {
        let (Some(last), more) = (self.last.take(), std::mem::take(&mut self.nodes).saturating_sub(1)) else { return };
        self.error.add(&last);
        for reason in last.status.reasons() {
            self.error.count(reason.clone(), more);
        }
    }

    pub(crate) fn finish(mut self) -> FitError {
        self.flush();
        self.error
    }
}

impl fmt::Display for FitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0/{} nodes are available:", self.nodes)?;
        if self.pre_filter_message.is_empty() {
            // Sorted as texts, counts included: "10 x" comes before "2 y", as upstream.
            let mut all: Vec<String> = self.reasons.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
            all.sort_unstable();
            if !all.is_empty() {
                write!(f, " {}.", all.join(", "))?;
            }
        } else {
            write!(f, " {}.", self.pre_filter_message)?;
        }
        if !self.post_filter_message.is_empty() {
            write!(f, " {}", self.post_filter_message)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::framework::PluginNames;

    #[test]
    fn golden() {
        let mut names = PluginNames::default();
        let plugin = names.id("Some").unwrap();
        let mut e = FitError::new(12);
        for _ in 0..10 {
            let status = Status::unschedulable("Insufficient memory").and("Insufficient cpu");
            e.add(&Rejection { plugin, status });
        }
        for _ in 0..2 {
            e.add(&Rejection { plugin, status: Status::unresolvable("node(s) were unschedulable") });
        }
        assert_eq!(
            e.to_string(),
            "0/12 nodes are available: 10 Insufficient cpu, 10 Insufficient memory, 2 node(s) were unschedulable."
        );
        e.post_filter_message = "preemption: no candidate node for preemption".into();
        assert!(e.to_string().ends_with("unschedulable. preemption: no candidate node for preemption"));
        assert!(e.rejectors.has(plugin));
    }

    #[test]
    fn counting_runs_comes_to_the_same() {
        let mut names = PluginNames::default();
        let (a, b) = (names.id("A").unwrap(), names.id("B").unwrap());
        let cpu = Rejection { plugin: a, status: Status::unschedulable("Insufficient cpu") };
        let both = Rejection { plugin: a, status: cpu.status.clone().and("Insufficient memory") };
        let taint = Rejection { plugin: b, status: Status::new(Code::Pending, "node(s) had taints") };
        let (mut one, mut runs) = (FitError::new(6), FitErrors::new(6));
        for rejection in [&cpu, &cpu, &both, &both, &taint, &cpu] {
            one.add(rejection);
            runs.add(rejection);
        }
        assert_eq!(runs.finish(), one);
        assert_eq!(FitErrors::new(6).finish(), FitError::new(6));
    }

    #[test]
    fn pre_filter_replaces_the_list() {
        let e = FitError::pre_filter(4, &Status::unresolvable("pod affinity terms conflict"), PluginSet::default());
        assert_eq!(e.to_string(), "0/4 nodes are available: pod affinity terms conflict.");
        assert_eq!(FitError::new(3).to_string(), "0/3 nodes are available:");
    }
}
