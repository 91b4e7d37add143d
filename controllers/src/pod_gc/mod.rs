//! `pod-garbage-collector-controller`: deletes pods that nobody else ever will (reference 4.9).
//!
//! Follows `pkg/controller/podgc` of 1.36. A pass every 20 s looks for pods that have ended and are too many, pods that
//! are being deleted on nodes out of service, pods on nodes that do not exist (after 40 s, and only when the API server
//! itself says so), and pods that are being deleted without ever having been bound. Each is marked `Failed` unless it has
//! ended, then deleted without grace. No events. What fails is tried again by a later pass. Differences, all on purpose:
//!
//! - The deletion carries the pod's UID: a pod made anew under the same name is not deleted for its predecessor.
//! - The reason is checked once more, from the rows, right before a pod is touched, and each pod is touched once in a
//!   pass. At most [`AT_ONCE`] requests are in flight, so that a herd does not hold up the writes of other loops.
//! - Pods whose deletion the view has not shown yet are not counted among those that have ended.
//! - A pod that only its finalizers hold is not deleted again at every pass.
//! - A node that comes back and goes again is waited for another 40 s in full.

mod decide;
pub(crate) mod measure;
mod options;

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use hashbrown::{HashMap, HashSet};
use headroom_core::{
    Mono, Now, Str,
    expectations::{Expectations, Sight, What},
    intent::{IntentId, Op, Outcome, PatchKind, WriteError},
    object::{Kind, ObjectKey, Pod},
    queue::QueueFigures,
};

pub use self::{decide::Reason, options::PodGcOptions};
use crate::framework::{Controller, Measurements, Outbox, World, WorldEvent};

/// From the end of a pass to the next (`gcCheckPeriod`).
const PERIOD: Duration = Duration::from_secs(20);
/// How long a node must be missing before the API server is asked about it (`quarantineTime`).
const QUARANTINE: Duration = Duration::from_secs(40);
/// Requests in flight at most.
const AT_ONCE: usize = 20;
/// After this a deletion that the view has not shown is not waited for any more: another one changes nothing.
const PATIENCE: Duration = Duration::from_secs(300);

/// Counters for metrics (`pod_gc_collector_*`, reference 5.3), by namespace and reason.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counters {
    /// `force_delete_pods_total`: tried, as upstream counts.
    pub deletions: BTreeMap<(Str, Reason), u64>,
    /// `force_delete_pod_errors_total`.
    pub errors: BTreeMap<(Str, Reason), u64>,
}

/// Something to be done in this pass.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Task {
    /// Ask the API server whether the node exists.
    Ask(Str),
    /// Mark and delete a pod.
    Delete { pod: ObjectKey, uid: Str, reason: Reason },
}

#[derive(Debug)]
enum Pending {
    Asked(Str),
    Marked { pod: ObjectKey, uid: Str, reason: Reason },
    Deleted { pod: ObjectKey, uid: Str, reason: Reason },
}

impl Pending {
    const fn pod(&self) -> Option<&ObjectKey> {
        match self {
            Self::Asked(_) => None,
            Self::Marked { pod, .. } | Self::Deleted { pod, .. } => Some(pod),
        }
    }
}

/// The tasks of a pass, for metrics: they are all there from its begin on, so that nothing is to be told of waits.
struct Tasks {
    left: usize,
    adds: u64,
}

impl QueueFigures for Tasks {
    fn totals(&self) -> (usize, u64, u64) {
        (self.left, self.adds, 0)
    }

    fn clock(&mut self, _: Mono) {}

    fn take_waited(&mut self) -> Option<Duration> {
        None
    }
}

/// The loop.
#[derive(Debug, Default)]
pub struct PodGcController {
    threshold: i32,
    next_pass: Mono,
    /// What is left of the present pass.
    tasks: VecDeque<Task>,
    in_flight: HashMap<IntentId, Pending>,
    /// Whether a pass is under way.
    passing: bool,
    /// Nodes of pods that do not exist as far as the view goes, and when they are asked for.
    quarantine: BTreeMap<Str, Mono>,
    /// Deletions that the view has not shown.
    expected: Expectations,
    counters: Counters,
    adds: u64,
    /// Of the present pass: one line is enough for a herd.
    failures: u64,
    /// Missing rights are said once: they concern every pod.
    forbidden_said: bool,
    leading: bool,
}

impl PodGcController {
    /// A controller that knows nothing yet.
    #[must_use]
    pub fn new(options: &PodGcOptions) -> Self {
        Self { threshold: options.terminated_pod_gc_threshold, ..Self::default() }
    }

    /// Counters for metrics.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Plans a pass (`gc`).
    fn pass(&mut self, world: &World, now: Now) {
        self.passing = true;
        self.failures = 0;
        self.expected.settle(|pod| sight(world.pods.get(pod)));
        let overdue = self.expected.iter().filter(|(_, e)| e.since + PATIENCE <= now.mono);
        for key in overdue.map(|(key, _)| key.clone()).collect::<Vec<_>>() {
            self.expected.forget(&key);
        }
        let expected = &self.expected;
        let gone = |pod: &Pod| expected.get(&pod.meta.key).is_some_and(|e| e.uid == pod.meta.uid);
        let mut planned = HashSet::new();
        let mut plan = |pods: &mut dyn Iterator<Item = &Arc<Pod>>, reason: Reason| -> Vec<Task> {
            let of = |p: &Arc<Pod>| Task::Delete { pod: p.meta.key.clone(), uid: p.meta.uid.clone(), reason };
            pods.filter(|p| !gone(p) && planned.insert(p.meta.key.clone())).map(of).collect()
        };
        let terminated = plan(&mut decide::terminated(world, self.threshold, gone), Reason::Terminated);
        let out_of_service =
            plan(&mut decide::terminating(world, Reason::OutOfService).into_iter(), Reason::OutOfService);
        let unscheduled = plan(&mut decide::terminating(world, Reason::Unscheduled).into_iter(), Reason::Unscheduled);
        let missing = self.missing_nodes(world, now).into_iter().map(Task::Ask);
        // Upstream's order.
        let tasks: VecDeque<_> =
            terminated.into_iter().chain(out_of_service).chain(missing).chain(unscheduled).collect();
        self.adds += tasks.len() as u64;
        self.tasks = tasks;
    }

    /// Puts nodes that are missing into quarantine, and returns those whose time there has passed. Their next time
    /// begins at once, for the answer may not come.
    fn missing_nodes(&mut self, world: &World, now: Now) -> Vec<Str> {
        let nodes = world.pods.iter().filter_map(|p| p.node_name.as_ref());
        let missing: HashSet<&Str> = nodes.filter(|n| !n.is_empty() && !world.nodes.contains_key(*n)).collect();
        self.quarantine.retain(|node, _| missing.contains(node));
        let mut due = Vec::new();
        for node in missing {
            let until = self.quarantine.entry(node.clone()).or_insert(now.mono + QUARANTINE);
            if *until <= now.mono {
                *until = now.mono + QUARANTINE;
                due.push(node.clone());
            }
        }
        due.sort();
        due
    }

    /// One step of the pass.
    fn step(&mut self, task: Task, world: &World, now: Now, out: &mut Outbox<'_>) {
        match task {
            Task::Ask(node) => {
                let key = ObjectKey { namespace: Str::default(), name: node.clone() };
                self.in_flight.insert(out.push(Op::Get { kind: Kind::NODE, key }), Pending::Asked(node));
            }
            Task::Delete { pod: key, uid, reason } => {
                let Some(pod) = world.pods.get(&key).filter(|p| p.meta.uid == uid && reason.stands(p, world)) else {
                    return;
                };
                // Terminated and orphaned, for example: once is enough.
                if self.expected.get(&key).is_some_and(|e| e.uid == uid)
                    || self.in_flight.values().any(|p| p.pod() == Some(&key))
                {
                    return;
                }
                if let Some(body) = decide::mark_failed(pod, reason, now) {
                    let op = Op::Patch {
                        kind: Kind::POD,
                        key: key.clone(),
                        subresource: "status",
                        patch: PatchKind::Strategic,
                        body: Arc::new(body),
                    };
                    self.in_flight.insert(out.push(op), Pending::Marked { pod: key, uid, reason });
                } else if !decide::is_only_held(pod) {
                    self.delete(key, uid, reason, out);
                }
            }
        }
    }

    fn delete(&mut self, key: ObjectKey, uid: Str, reason: Reason, out: &mut Outbox<'_>) {
        let op = Op::Delete {
            kind: Kind::POD,
            key: key.clone(),
            uid: Some(uid.clone()),
            resource_version: None,
            grace_seconds: Some(0),
        };
        tracing::info!(pod = %key, reason = reason.as_str(), "force deleting");
        self.in_flight.insert(out.push(op), Pending::Deleted { pod: key, uid, reason });
    }

    /// The API server has said whether a node exists (`discoverDeletedNodes`).
    fn asked(&mut self, node: &Str, outcome: &Outcome, world: &World) {
        match &outcome.result {
            // The view lags, or the node has come back: it is asked for again after another quarantine.
            Ok(_) => {}
            Err(WriteError::NotFound(_)) => {
                let mut pods: Vec<_> = world.pods.on_node(node).collect();
                pods.sort_by(|a, b| a.meta.key.cmp(&b.meta.key));
                // Before what was planned after the question.
                for pod in pods.into_iter().rev() {
                    let (key, uid) = (pod.meta.key.clone(), pod.meta.uid.clone());
                    self.tasks.push_front(Task::Delete { pod: key, uid, reason: Reason::Orphaned });
                    self.adds += 1;
                }
            }
            Err(error) => self.failed(&format!("node {node} cannot be looked up"), error),
        }
    }

    fn failed(&mut self, what: &str, error: &WriteError) {
        let said = match error {
            WriteError::Forbidden(_) => std::mem::replace(&mut self.forbidden_said, true),
            WriteError::NotLeader => true,
            _ => self.failures > 0,
        };
        self.failures += 1;
        if matches!(error, WriteError::Unreachable(_) | WriteError::Throttled { .. } | WriteError::NotLeader) {
            // The rest would fare no better.
            self.tasks.clear();
        }
        if said {
            tracing::debug!("{what}: {error}");
        } else {
            tracing::warn!("{what}, to be tried again: {error}");
        }
    }

    /// The end of the work on one pod.
    fn ended(&mut self, pod: &ObjectKey, reason: Reason, error: Option<&WriteError>) {
        measure::count(&mut self.counters.deletions, &pod.namespace, reason);
        match error {
            // Gone, or made anew under the same name.
            None | Some(WriteError::NotFound(_) | WriteError::Conflict(_)) => {}
            Some(error) => {
                measure::count(&mut self.counters.errors, &pod.namespace, reason);
                self.failed(&format!("pod {pod} ({}) cannot be deleted", reason.as_str()), error);
            }
        }
    }

    /// When nothing of a pass is left, the next one is due a period from now.
    fn end_pass(&mut self, now: Now) {
        if self.passing && self.tasks.is_empty() && self.in_flight.is_empty() {
            self.passing = false;
            self.next_pass = now.mono + PERIOD;
        }
    }
}

fn sight(pod: Option<&Arc<Pod>>) -> Sight<'_> {
    pod.map_or(Sight::Absent, |p| Sight::Present {
        uid: &p.meta.uid,
        resource_version: p.meta.resource_version,
        terminating: p.meta.is_terminating() && p.meta.deletion_grace_seconds() == Some(0),
    })
}

impl Controller for PodGcController {
    fn name(&self) -> &'static str {
        "pod-garbage-collector-controller"
    }

    fn observe(&mut self, event: &WorldEvent<'_>, _: &World, _: Now) {
        // Everything else waits for the next pass, as upstream.
        if let WorldEvent::Pod(change) = event
            && let Some(pod) = change.latest()
        {
            let seen = match change.new {
                Some(new) => sight(Some(new)),
                None => Sight::Removed { uid: &pod.meta.uid },
            };
            self.expected.sight(&pod.meta.key, seen);
        }
    }

    fn started(&mut self, _: &World, now: Now, _: &mut Outbox<'_>) {
        self.leading = true;
        self.next_pass = now.mono;
    }

    fn poll(&mut self, world: &World, now: Now, out: &mut Outbox<'_>) -> bool {
        if !self.leading || !world.is_synced(Kind::NODE) || !world.is_synced(Kind::POD) {
            return false;
        }
        if !self.passing && now.mono >= self.next_pass {
            self.pass(world, now);
        }
        if self.in_flight.len() < AT_ONCE
            && let Some(task) = self.tasks.pop_front()
        {
            self.step(task, world, now, out);
        }
        self.end_pass(now);
        !self.tasks.is_empty() && self.in_flight.len() < AT_ONCE
    }

    fn outcome(&mut self, outcome: &Outcome, world: &World, now: Now, out: &mut Outbox<'_>) {
        match self.in_flight.remove(&outcome.id) {
            None => return,
            Some(Pending::Asked(node)) => self.asked(&node, outcome, world),
            Some(Pending::Marked { pod, uid, reason }) => match &outcome.result {
                Ok(_) => self.delete(pod, uid, reason, out),
                Err(error) => self.ended(&pod, reason, Some(error)),
            },
            Some(Pending::Deleted { pod, uid, reason }) => {
                let current = world.pods.get(&pod);
                if outcome.result.is_ok() && current.is_some_and(|p| p.meta.uid == uid) {
                    self.expected.expect(pod.clone(), uid, What::Gone, true, now.mono);
                    self.expected.sight(&pod, sight(current));
                }
                self.ended(&pod, reason, outcome.result.as_ref().err());
            }
        }
        self.end_pass(now);
    }

    fn next_deadline(&self) -> Option<Mono> {
        // While a pass is under way, outcomes drive it.
        (self.leading && !self.passing).then_some(self.next_pass)
    }

    fn queues(&mut self, each: &mut dyn FnMut(&'static str, &mut dyn QueueFigures)) {
        each("orphaned_pods_nodes", &mut Tasks { left: self.tasks.len(), adds: self.adds });
    }

    fn measure(&self, _: &World, into: &mut Measurements) {
        self.counters.measure(into);
    }
}
