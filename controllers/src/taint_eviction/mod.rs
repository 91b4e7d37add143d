//! `taint-eviction-controller`: deletes pods from nodes whose `NoExecute` taints they do not tolerate, or no longer.
//!
//! Follows `pkg/controller/tainteviction` of 1.36 (reference 4.8): a countdown of the least `tolerationSeconds` starts
//! when the taint is seen and is kept when a later look would give another finite one; it is cancelled, with an event,
//! when the taints go or become tolerated for ever; then `DisruptionTarget` is set and the pod is deleted with its own
//! grace period. Not subject to disruption budgets. Countdowns live in this process only: `timeAdded` is not consulted,
//! so a new leader starts them anew. Differences, all on purpose, under every [`Policy`] (why:
//! `docs/decisions/0014-what-stays-different-under-stock.md`; users read of them in `docs/parity.md`):
//!
//! - The deletion carries the pod's UID: a pod made anew under the same name is not deleted for its predecessor.
//! - The decision is made once more, from the rows, right before each write: a retry may be minutes later.
//! - Failures are retried with backoff for as long as the reason stands (upstream: five attempts within 50 ms, then
//!   never again until the node's taints change).
//! - Pods that are already being deleted are left alone when their time comes: upstream announces, marks and deletes them
//!   once more.
//! - When another manager marks pods as this loop does, it yields for good and says so once ([`Rival`]).
//!
//! With a policy other than the default: tolerations that admission has added count 60 s, pods that have ended stay, and
//! pods of dead nodes leave only as fast as the rest of the cluster can take them ([`brake`]).

mod brake;
mod decide;
mod marks;
pub(crate) mod measure;
mod room;
mod tally;

#[cfg(test)]
mod brake_tests;
#[cfg(test)]
mod tests;

use hashbrown::{HashMap, HashSet};
use headroom_core::{
    Mono, Now, Str,
    intent::{EventRecord, EventType, IntentId, Op, Outcome, PodStatusPatch, WriteError},
    memory::Params,
    object::{Kind, ObjectKey, ObjectReference, Pod, PodCondition, Status},
    queue::{QueueFigures, WorkQueue},
};

pub use self::decide::{Stay, stay};
use self::{
    brake::Brake,
    marks::{MARK, is_marked},
};
use crate::{
    answers::is_gone,
    framework::{Controller, Histogram, Measurements, Outbox, World, WorldEvent},
    rival::{Authorship, Rival},
    selection,
};

/// Component of the events, as upstream's.
const COMPONENT: &str = "taint-eviction-controller";
const REASON: &str = "DeletionByTaintManager";
const MESSAGE: &str = "Taint manager: deleting due to NoExecute taint";

/// Where it differs from upstream; the default does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Policy {
    /// Tolerations of exactly the admission default's shape are capped at 60 s.
    pub cap_default_tolerations: bool,
    /// Pods that have ended are left alone.
    pub spare_ended: bool,
    /// Pods of dead nodes leave only as fast as the rest can take them.
    pub brake: bool,
}

/// A pod whose time is running, or has run out.
#[derive(Debug)]
struct Eviction {
    uid: Str,
    /// When it goes.
    at: Mono,
    step: Step,
    /// Who marks it.
    mark: Authorship,
}

impl Eviction {
    fn new(pod: &Pod, at: Mono) -> Self {
        Self { uid: pod.meta.uid.clone(), at, step: Step::Waiting, mark: Authorship::default() }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// The countdown runs.
    Waiting,
    /// The countdown has run out; the brake holds the pod.
    Held,
    /// Announced; the condition is to be written, or is on its way.
    Marking(Option<IntentId>),
    /// The condition stands; the deletion is to be sent, or is on its way.
    Deleting(Option<IntentId>),
    /// Deleted: what is left to do is the kubelet's.
    Deleted,
}

/// The controller.
#[derive(Debug)]
pub struct TaintEvictionController {
    /// Nodes whose taints have changed; they go before pods, as upstream.
    nodes: WorkQueue<Str>,
    pods: WorkQueue<ObjectKey>,
    evictions: HashMap<ObjectKey, Eviction>,
    in_flight: HashMap<IntentId, ObjectKey>,
    cap_default_tolerations: bool,
    spare_ended: bool,
    brake: Option<Brake>,
    rival: Rival,
    deletions: u64,
    /// From when a pod was to go to its deletion, seconds.
    durations: Histogram,
    leading: bool,
}

impl TaintEvictionController {
    /// A controller that knows nothing yet; `params` are those of the memory model.
    #[must_use]
    pub fn new(policy: Policy, params: Params) -> Self {
        Self {
            cap_default_tolerations: policy.cap_default_tolerations,
            spare_ended: policy.spare_ended,
            brake: policy.brake.then(|| Brake::new(params)),
            rival: Rival::new(selection::TAINT_EVICTION, COMPONENT, Kind::POD).by_field(MARK),
            nodes: WorkQueue::default(),
            pods: WorkQueue::default(),
            evictions: HashMap::new(),
            in_flight: HashMap::new(),
            deletions: 0,
            durations: measure::durations(),
            leading: false,
        }
    }

    /// Pods deleted so far (metric `taint_eviction_controller_pod_deletions_total`).
    #[must_use]
    pub const fn deletions(&self) -> u64 {
        self.deletions
    }

    /// Works on one pod: starts, cancels or carries out its eviction.
    fn sync_pod(&mut self, key: &ObjectKey, world: &World, now: Now, out: &mut Outbox<'_>) {
        let pod = world.pods.get(key);
        let same = pod.is_some_and(|pod| self.evictions.get(key).is_some_and(|e| e.uid == pod.meta.uid));
        if !same {
            // Gone, or another pod under the same name.
            self.cancel(key, now, out);
        }
        let Some(pod) = pod else { return };
        let node = pod.node_name.as_ref().and_then(|name| world.nodes.get(name));
        if node.is_none() && pod.node_name.is_some() {
            // As stock: a countdown goes on when the node is deleted, and none begins. What is held waits for its turn.
            if self.evictions.get(key).is_some_and(|eviction| eviction.step != Step::Held) {
                self.carry_out(key, pod, world, now, out);
            }
            return;
        }
        let taints = node.map_or(&[][..], |n| &n.taints);
        let stay = stay(taints, &pod.spec.tolerations, self.cap_default_tolerations);
        let Some(eviction) = self.evictions.get(key) else {
            let wait = match stay {
                Stay::Forever => return,
                Stay::Not => std::time::Duration::ZERO,
                Stay::For(wait) => wait,
            };
            self.evictions.insert(key.clone(), Eviction::new(pod, now.mono + wait));
            return self.carry_out(key, pod, world, now, out);
        };
        if matches!(eviction.step, Step::Marking(Some(_)) | Step::Deleting(Some(_)) | Step::Deleted) {
            return;
        }
        match stay {
            Stay::Forever => self.cancel(key, now, out),
            _ if eviction.step != Step::Waiting => self.carry_out(key, pod, world, now, out),
            // A countdown that runs is kept, whether another would be shorter or longer (trap 11: as stock).
            Stay::For(_) => self.carry_out(key, pod, world, now, out),
            Stay::Not => {
                // As stock: the plan is called off, and the pod goes at once.
                if eviction.at > now.mono {
                    self.cancel(key, now, out);
                    self.evictions.insert(key.clone(), Eviction::new(pod, now.mono));
                }
                self.carry_out(key, pod, world, now, out);
            }
        }
    }

    /// The next step of an eviction that is due.
    fn carry_out(&mut self, key: &ObjectKey, pod: &Pod, world: &World, now: Now, out: &mut Outbox<'_>) {
        let Some(eviction) = self.evictions.get_mut(key) else { return };
        match &eviction.step {
            Step::Waiting if eviction.at > now.mono => {
                let at = eviction.at;
                self.pods.add_at(key.clone(), at);
            }
            Step::Waiting | Step::Held => {
                let node = pod.node_name.as_ref().and_then(|name| world.nodes.get(name));
                if pod.meta.is_terminating() || (self.spare_ended && pod.is_terminal()) {
                    eviction.step = Step::Deleted;
                } else if let Some((brake, node)) = self.brake.as_mut().zip(node)
                    && brake::concerns(pod, node)
                {
                    brake.hold(pod, node, eviction.at, now.mono);
                    eviction.step = Step::Held;
                    return;
                } else {
                    eviction.step = Step::Marking(None);
                    out.event(event(key, format!("Marking for deletion Pod {key}"), now));
                }
                self.let_go_of(key);
                self.carry_out(key, pod, world, now, out);
            }
            Step::Marking(None) if is_marked(pod) => {
                eviction.step = Step::Deleting(None);
                self.carry_out(key, pod, world, now, out);
            }
            Step::Marking(None) => {
                let condition = PodCondition {
                    kind: "DisruptionTarget".into(),
                    status: Status::True,
                    reason: REASON.into(),
                    message: MESSAGE.into(),
                    last_transition: Some(now.wall.truncated()),
                    observed_generation: pod.meta.generation,
                };
                let patch = PodStatusPatch { conditions: vec![condition], nominated_node_name: None };
                let id = out.push(Op::PodStatus { pod: key.clone(), uid: eviction.uid.clone(), patch });
                eviction.step = Step::Marking(Some(id));
                self.in_flight.insert(id, key.clone());
            }
            Step::Deleting(None) => {
                let id = out.push(Op::Delete {
                    kind: Kind::POD,
                    key: key.clone(),
                    uid: Some(eviction.uid.clone()),
                    resource_version: None,
                    grace_seconds: None,
                });
                eviction.step = Step::Deleting(Some(id));
                self.in_flight.insert(id, key.clone());
            }
            Step::Marking(Some(_)) | Step::Deleting(Some(_)) | Step::Deleted => {}
        }
    }

    /// The brake has nothing to do with this pod any more.
    fn let_go_of(&mut self, key: &ObjectKey) {
        if let Some(brake) = &mut self.brake {
            brake.forget(key);
        }
    }

    /// Lets those of the held pods go that the rest of the cluster can take, and those that have waited long enough.
    fn brake_round(&mut self, world: &World, now: Now, out: &mut Outbox<'_>) {
        let Some(brake) = &mut self.brake else { return };
        for key in brake.round(world, now) {
            if let Some(eviction) = self.evictions.get_mut(&key).filter(|e| e.step == Step::Held) {
                eviction.step = Step::Marking(None);
                out.event(event(&key, format!("Marking for deletion Pod {key}"), now));
                self.pods.add(key);
            }
        }
        brake.tell(now, out);
    }

    /// Calls off an eviction, and says so unless the pod is deleted or about to be.
    fn cancel(&mut self, key: &ObjectKey, now: Now, out: &mut Outbox<'_>) {
        if let Some(eviction) = self.evictions.remove(key)
            && matches!(eviction.step, Step::Waiting | Step::Held | Step::Marking(None) | Step::Deleting(None))
        {
            out.event(event(key, format!("Cancelling deletion of Pod {key}"), now));
        }
        self.let_go_of(key);
        self.pods.forget(key);
    }

    /// An operation did not succeed; `true` when there is nothing more to be done for this pod.
    fn refused(&mut self, key: &ObjectKey, error: &WriteError, now: Mono) -> bool {
        match error {
            WriteError::NotLeader => true,
            error if is_gone(error) => true,
            error => {
                if self.pods.failures(key) == 0 {
                    tracing::warn!(pod = %key, "cannot be evicted: {error}");
                }
                self.pods.add_rate_limited(key.clone(), now);
                false
            }
        }
    }
}

/// An event on a pod; without UID, as upstream.
fn event(key: &ObjectKey, note: String, now: Now) -> EventRecord {
    EventRecord {
        regarding_api_version: "v1",
        regarding: ObjectReference {
            kind: "Pod".into(),
            namespace: key.namespace.clone(),
            name: key.name.clone(),
            uid: Str::default(),
        },
        related: None,
        kind: EventType::Normal,
        reason: "TaintManagerEviction",
        action: "",
        note,
        reporter: Some(COMPONENT.into()),
        at: now.wall,
    }
}

impl Controller for TaintEvictionController {
    fn name(&self) -> &'static str {
        "taint-eviction-controller"
    }

    fn observe(&mut self, event: &WorldEvent<'_>, world: &World, now: Now) {
        if self.yielded().is_some() {
            return;
        }
        match event {
            WorldEvent::Node(change) => {
                let taints = |node: Option<&std::sync::Arc<headroom_core::object::Node>>| {
                    let all = node.map_or(&[][..], |n| &n.taints);
                    let of = all.iter().filter(|t| t.effect == headroom_core::taint::Effect::NoExecute);
                    of.map(|t| (t.key.clone(), t.value.clone())).collect::<HashSet<_>>()
                };
                // One that is there again without its taints calls off what went on without it.
                let returns = change.old.is_none() && !self.evictions.is_empty();
                if (returns || taints(change.old) != taints(change.new))
                    && let Some(node) = change.latest()
                {
                    self.nodes.add(node.name().clone());
                }
            }
            WorldEvent::Pod(change) => {
                let Some(pod) = change.latest() else { return };
                self.note_mark(change, now);
                if let Some(brake) = self.brake.as_mut().filter(|_| change.old.is_none()) {
                    brake.arrived(pod);
                }
                let key = &pod.meta.key;
                let known = self.evictions.contains_key(key);
                let relevant = match (change.old, change.new) {
                    (Some(old), Some(new)) => {
                        old.node_name != new.node_name
                            || old.meta.uid != new.meta.uid
                            || (!std::sync::Arc::ptr_eq(&old.spec, &new.spec)
                                && old.spec.tolerations != new.spec.tolerations)
                    }
                    _ => true,
                };
                // Pods of untainted nodes are the rule: nothing is queued for them.
                let tainted = pod
                    .node_name
                    .as_ref()
                    .and_then(|name| world.nodes.get(name))
                    .is_some_and(|node| decide::evicts(&node.taints));
                if relevant && (known || tainted) {
                    self.pods.add(key.clone());
                }
            }
            _ => {}
        }
    }

    fn started(&mut self, world: &World, now: Now, _: &mut Outbox<'_>) {
        self.leading = true;
        self.rival.started(now);
        for (name, node) in &world.nodes {
            if decide::evicts(&node.taints) {
                self.nodes.add(name.clone());
            }
        }
    }

    fn poll(&mut self, world: &World, now: Now, out: &mut Outbox<'_>) -> bool {
        if !self.leading || self.yielded().is_some() || !world.is_synced(Kind::NODE) || !world.is_synced(Kind::POD) {
            return false;
        }
        self.rival.ask(out);
        if self.brake.as_ref().is_some_and(|brake| brake.due(now.mono)) {
            self.brake_round(world, now, out);
        } else if let Some(name) = self.nodes.pop(now.mono) {
            let mut keys: Vec<ObjectKey> = world.pods.on_node(&name).map(|pod| pod.meta.key.clone()).collect();
            keys.sort();
            for key in keys {
                self.pods.add(key);
            }
            self.nodes.done(&name);
        } else if let Some(key) = self.pods.pop(now.mono) {
            self.sync_pod(&key, world, now, out);
            self.pods.done(&key);
        } else {
            return false;
        }
        !self.nodes.is_empty() || !self.pods.is_empty()
    }

    fn outcome(&mut self, outcome: &Outcome, _: &World, now: Now, out: &mut Outbox<'_>) {
        if self.rival.outcome(outcome, now, out) || self.yielded().is_some() {
            return;
        }
        let Some(key) = self.in_flight.remove(&outcome.id) else { return };
        let Some(eviction) = self.evictions.get_mut(&key) else { return };
        let marking = eviction.step == Step::Marking(Some(outcome.id));
        if !marking && eviction.step != Step::Deleting(Some(outcome.id)) {
            return;
        }
        if marking && eviction.mark.answered(&outcome.result) {
            self.rival.suspect(&key, now);
        }
        match &outcome.result {
            Ok(_) if marking => {
                eviction.step = Step::Deleting(None);
                self.pods.add(key);
            }
            Ok(_) => {
                eviction.step = Step::Deleted;
                self.deletions += 1;
                self.durations.observe(now.mono.since(eviction.at).as_secs_f64());
                self.pods.forget(&key);
            }
            Err(error) => {
                eviction.step = if marking { Step::Marking(None) } else { Step::Deleting(None) };
                if self.refused(&key, error, now.mono) {
                    self.evictions.remove(&key);
                    self.pods.forget(&key);
                }
            }
        }
    }

    fn next_deadline(&self) -> Option<Mono> {
        let round = self.brake.as_ref().and_then(Brake::next_round);
        let due = [self.nodes.next_deadline(), self.pods.next_deadline(), round];
        due.into_iter().flatten().min().filter(|_| self.leading && self.yielded().is_none())
    }

    fn queues(&mut self, each: &mut dyn FnMut(&'static str, &mut dyn QueueFigures)) {
        each("noexec_taint_node", &mut self.nodes);
        each("noexec_taint_pod", &mut self.pods);
    }

    fn measure(&self, _: &World, into: &mut Measurements) {
        self.measure_evictions(into);
    }
}
