//! What a run consists of, as data: nodes, what stands on them at the start, the pods that are measured, what else
//! happens meanwhile, and what must hold in the end.

use serde_json::Value;

use super::workload::{NAMESPACE, WATCHED_EVERY, Workload};

/// Bursts of so many pods are watched in part: enough are left for the times to be right.
const SAMPLE_FROM: u32 = 500;

/// The namespace of pods that stand on nodes at the start.
pub(crate) const PLACED: &str = "bench-placed";

/// The namespace of pods that come and go while others are measured.
pub(crate) const CHURN: &str = "bench-churn";

/// A run.
#[derive(Debug, Clone)]
pub(crate) struct Scenario {
    /// Nodes, and pods that are measured.
    pub(crate) size: Workload,
    /// Value of the zone label of the nodes, in turn.
    pub(crate) zones: &'static [&'static str],
    /// What is created first: path and object.
    pub(crate) objects: Vec<(String, Value)>,
    /// Pods that stand on the nodes at the start, all of the first group first; round robin over the nodes.
    pub(crate) placed: Vec<Placed>,
    /// A measured pod; its name and namespace are set afterwards.
    pub(crate) pod: fn(u32) -> Value,
    /// What happens meanwhile.
    pub(crate) churn: Option<Churn>,
    /// What must hold in the end, besides that the nodes hold no more than they can.
    pub(crate) rule: Rule,
    /// Pods that stood on nodes may be gone in the end: they were preempted.
    pub(crate) preempts: bool,
    /// Which of the measured pods the bench watches while they are bound.
    pub(crate) watched: Watched,
}

/// Which measured pods are watched. A watch of all of them takes part of the machine from everybody: a bare loop that
/// one more watch of JSON looks at is 8 % slower.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Watched {
    /// All.
    All,
    /// One in [`WATCHED_EVERY`], those that have a label for it.
    Some,
}

impl Watched {
    /// Whether this pod is watched.
    pub(crate) const fn includes(self, index: u32) -> bool {
        matches!(self, Self::All) || Workload::is_watched(index)
    }

    /// How many of so many pods are watched.
    pub(crate) const fn count(self, pods: u32) -> u32 {
        match self {
            Self::All => pods,
            Self::Some => pods.div_ceil(WATCHED_EVERY),
        }
    }

    /// The label selector that finds them, for a query.
    pub(crate) const fn selector(self) -> &'static str {
        match self {
            Self::All => "",
            Self::Some => "&labelSelector=watched",
        }
    }
}

/// Pods on nodes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Placed {
    /// How many.
    pub(crate) count: u32,
    /// One of them.
    pub(crate) pod: fn() -> Value,
}

/// What happens meanwhile (scheduler_perf's operation `churn`).
#[derive(Debug, Clone, Copy)]
pub(crate) enum Churn {
    /// Another one of these pods each time.
    Create {
        /// Between two of them, milliseconds.
        every_millis: u64,
        /// The pod.
        pod: fn() -> Value,
    },
    /// A node without room, a pod that fits nowhere and a Service: created and deleted in turn.
    Recreate {
        /// Between a creation and a deletion, milliseconds.
        every_millis: u64,
        /// The pod.
        pod: fn() -> Value,
    },
}

/// What must hold in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    /// Nothing in particular.
    Fits,
    /// No two pods with this label `color` on a node.
    Apart(&'static str),
    /// Measured pods per zone differ by so much at most.
    Skew(u64),
}

impl Scenario {
    /// The plain one: nothing but nodes and pods of ten templates.
    pub(crate) fn burst(size: Workload) -> Self {
        Self {
            size,
            zones: &["zone-0", "zone-1", "zone-2"],
            objects: Vec::new(),
            placed: Vec::new(),
            pod: Workload::pod,
            churn: None,
            rule: Rule::Fits,
            preempts: false,
            watched: if size.pods >= SAMPLE_FROM { Watched::Some } else { Watched::All },
        }
    }

    /// A node.
    pub(crate) fn node(&self, index: u32) -> Value {
        let zone = self.zones.get(index as usize % self.zones.len().max(1)).copied().unwrap_or("zone-0");
        Workload::node(index, zone)
    }

    /// The zone of a node, by its name.
    pub(crate) fn zone(&self, node: &str) -> Option<&'static str> {
        let index: usize = node.strip_prefix("node-")?.parse().ok()?;
        self.zones.get(index % self.zones.len().max(1)).copied()
    }

    /// A measured pod.
    pub(crate) fn measured(&self, index: u32) -> Value {
        named((self.pod)(index), NAMESPACE, Workload::pod_name(index))
    }

    /// How many pods stand on nodes at the start.
    pub(crate) fn placed_count(&self) -> u32 {
        self.placed.iter().map(|group| group.count).sum()
    }

    /// One of them.
    pub(crate) fn placed_pod(&self, index: u32) -> Option<Value> {
        let mut rest = index;
        for group in &self.placed {
            if rest < group.count {
                let mut pod = named((group.pod)(), PLACED, format!("placed-{index:06}"));
                pod["spec"]["nodeName"] = Workload::node_name(index % self.size.nodes.max(1)).into();
                return Some(pod);
            }
            rest -= group.count;
        }
        None
    }
}

/// The pod under this name.
pub(crate) fn named(mut pod: Value, namespace: &str, name: String) -> Value {
    pod["metadata"]["namespace"] = namespace.into();
    pod["metadata"]["name"] = name.into();
    pod
}
