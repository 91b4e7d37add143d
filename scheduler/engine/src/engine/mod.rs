//! The engine: fed with changes, outcomes and the time, it answers with intents (DESIGN.md parts 4, 5, 13).
//!
//! It is pure and synchronous. The shell calls [`Engine::handle`] for everything that happens, and
//! [`Engine::schedule_one`] while it has credits for intents; it drains [`Engine::take_reports`] for metrics and calls
//! `handle(Input::Tick)` when [`Engine::next_deadline`] has come.

mod activate;
mod binding;
mod explain;
mod extend;
mod failure;
mod inputs;
mod permit;
mod preempt;
mod recover;
mod report;
mod schedule;
mod shadow;
mod stats;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use hashbrown::{HashMap, HashSet};
use headroom_core::{
    Mono, Now, Str,
    intent::{Intent, IntentId, Op, Outcome},
    object::{
        Kind, MemoryProfile, Namespace, Node, NodeHeadroom, ObjectKey, Pod, PodDisruptionBudget, WorkloadKind,
        WorkloadSelector,
    },
};

use self::{binding::Binding, shadow::Shadow};
pub use self::{
    explain::{
        DemandExplanation, MemoryExplanation, NodeExplanation, PodExplanation, PodReference, RejectionExplanation,
        ResultExplanation, ScoreExplanation, VictimReference,
    },
    report::{Decision, DecisionResult, Report, ShadowDecision, ShadowOutcome},
    stats::{EngineStats, MAX_REPORTS},
};
use crate::{
    cache::{Cache, StorageObject},
    config::{ConfigError, Configuration, Extender},
    cycle::{Classes, Nominated, TieBreaker},
    extender::{ExtenderAnswer, ExtenderCall},
    framework::{ClusterEvent, HintProbe, Probe, Profiles, Registry},
    queue::Queue,
};

/// What the engine may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Serves the default scheduler's pods.
    Primary,
    /// Serves pods of its own scheduler name.
    Secondary,
    /// Decides, writes nothing, and compares with who binds.
    Shadow,
}

/// Something that happened.
#[derive(Debug, Clone)]
pub enum Input {
    /// A pod came or changed.
    PodApplied(Arc<Pod>),
    /// A pod went.
    PodDeleted {
        /// Its name.
        key: ObjectKey,
        /// Its UID.
        uid: Str,
    },
    /// A node came or changed.
    NodeApplied(Arc<Node>),
    /// A node went.
    NodeDeleted {
        /// Its name.
        name: Str,
    },
    /// A namespace came or changed.
    NamespaceApplied(Arc<Namespace>),
    /// A namespace went.
    NamespaceDeleted {
        /// Its name.
        name: Str,
    },
    /// A Service, ReplicationController, ReplicaSet or StatefulSet came or changed.
    SelectorApplied(Arc<WorkloadSelector>),
    /// One went.
    SelectorDeleted {
        /// Its kind.
        kind: WorkloadKind,
        /// Its name.
        key: ObjectKey,
    },
    /// A NodeHeadroom came or changed.
    SampleApplied(Arc<NodeHeadroom>),
    /// A NodeHeadroom went.
    SampleDeleted {
        /// Its name: the node's.
        name: Str,
    },
    /// A MemoryProfile came or changed.
    ProfileApplied(Arc<MemoryProfile>),
    /// A MemoryProfile went.
    ProfileDeleted {
        /// Its name.
        key: ObjectKey,
    },
    /// A pod disruption budget came or changed.
    BudgetApplied(Arc<PodDisruptionBudget>),
    /// A pod disruption budget went.
    BudgetDeleted {
        /// Its name.
        key: ObjectKey,
    },
    /// A volume, a claim or what belongs to them came or changed.
    StorageApplied(StorageObject),
    /// Such an object went.
    StorageDeleted {
        /// Its kind.
        kind: Kind,
        /// Its namespace and name.
        key: ObjectKey,
    },
    /// An extender answered, or failed to.
    Extended {
        /// The call's.
        id: IntentId,
        /// The answer, or what went wrong.
        answer: Result<ExtenderAnswer, String>,
    },
    /// What became of an intent.
    Outcome(Outcome),
    /// Time passed.
    Tick,
}

/// What an outcome is for.
#[derive(Debug, Clone)]
enum Owner {
    /// A binding in progress, by UID of the pod.
    Binding(Str),
    /// A status patch, by UID of the pod.
    Status(Str),
    /// A write of this preemption.
    Preemption(u64, preempt::Step),
}

/// The scheduling engine.
#[derive(Debug)]
pub struct Engine {
    mode: Mode,
    seed: u64,
    profiles: Profiles,
    cache: Cache,
    queue: Queue,
    nominated: Nominated,
    classes: Classes,
    bindings: HashMap<Str, Binding>,
    /// When bindings need attention by themselves.
    deadlines: BTreeSet<(Mono, Str)>,
    owners: HashMap<IntentId, Owner>,
    /// The configuration's.
    extenders: Vec<Extender>,
    /// The pod whose cycle waits for an extender.
    extending: Option<extend::Extending>,
    /// Calls that nobody has taken yet.
    calls: Vec<ExtenderCall>,
    /// Preemptions that are being carried out.
    preemptions: BTreeMap<u64, preempt::Running>,
    last_preemption: u64,
    /// Pods whose PreBind waits for a claim, by the claim's UID.
    claim_waits: HashMap<Str, BTreeSet<Str>>,
    last_intent: u64,
    shadow: Shadow,
    /// Pods that made the engine panic, by UID.
    quarantined: HashSet<Str>,
    /// The pod that is being decided.
    current: Option<Str>,
    reports: Vec<Report>,
    /// What the last input meant to the queue.
    happened: Vec<ClusterEvent>,
    counters: stats::Counters,
    /// Whether pods form classes. Off in tests that want the plain path.
    classes_enabled: bool,
    leading: bool,
    /// The time of the last input.
    now: Now,
}

impl Engine {
    /// An engine for this configuration. `seed` breaks ties: the same seed, inputs and times give the same decisions.
    ///
    /// # Errors
    /// [`ConfigError`] when the profiles cannot be made with the plugins of `registry`.
    pub fn new(config: Configuration, registry: Registry, seed: u64, mode: Mode) -> Result<Self, ConfigError> {
        let profiles = config.build(&registry)?;
        let queue = Queue::new(&profiles, config.pod_initial_backoff, config.pod_max_backoff);
        let mut cache = Cache::default();
        if let Some(params) = config.memory_params(&profiles)? {
            cache.enable_memory(params);
        }
        Ok(Self {
            mode,
            seed,
            cache,
            queue,
            nominated: Nominated::default(),
            classes: Classes::default(),
            bindings: HashMap::new(),
            deadlines: BTreeSet::new(),
            owners: HashMap::new(),
            extenders: config.extenders,
            extending: None,
            calls: Vec::new(),
            preemptions: BTreeMap::new(),
            last_preemption: 0,
            claim_waits: HashMap::new(),
            last_intent: 0,
            shadow: Shadow::default(),
            quarantined: HashSet::new(),
            current: None,
            reports: Vec::new(),
            happened: Vec::new(),
            counters: stats::Counters::default(),
            classes_enabled: true,
            leading: true,
            now: Now::default(),
            profiles,
        })
    }

    /// The profiles.
    #[must_use]
    pub const fn profiles(&self) -> &Profiles {
        &self.profiles
    }

    /// The cluster as the engine sees it.
    #[must_use]
    pub const fn cache(&self) -> &Cache {
        &self.cache
    }

    /// The queue.
    #[must_use]
    pub const fn queue(&self) -> &Queue {
        &self.queue
    }

    /// Whether this process leads. A standby is fed like a leader and sees another one bind the pods of its queue: those
    /// are no foreign bindings. True at first.
    pub const fn set_leading(&mut self, leading: bool) {
        self.leading = leading;
    }

    /// Sets how long a pod may stay unschedulable without any event (`--pod-max-in-unschedulable-pods-duration`).
    pub const fn set_max_unschedulable(&mut self, duration: std::time::Duration) {
        self.queue.set_max_unschedulable(duration);
    }

    /// Turns the sharing of work between pods of one class off or on: the decisions are the same.
    pub const fn set_classes_enabled(&mut self, enabled: bool) {
        self.classes_enabled = enabled;
    }

    /// Something happened. Intents that follow are added to `out`.
    pub fn handle(&mut self, input: Input, now: Now, out: &mut Vec<Intent>) {
        self.set_time(now);
        self.happened.clear();
        match input {
            Input::PodApplied(pod) => self.pod_applied(pod, now, out),
            Input::PodDeleted { key: _, uid } => self.pod_gone(&uid, now, out),
            Input::NodeApplied(node) => self.node_applied(node, now),
            Input::NodeDeleted { name } => self.node_deleted(&name, now),
            Input::NamespaceApplied(namespace) => self.namespace_applied(namespace, now),
            Input::NamespaceDeleted { name } => self.namespace_deleted(&name, now),
            // Nobody waits for these (upstream registers no such event).
            Input::SelectorApplied(one) => {
                if one.kind == WorkloadKind::ReplicaSet {
                    self.cache.set_replica_set(&one.key, one.owner.as_ref());
                }
                self.cache.workloads_mut().set(one);
            }
            Input::SelectorDeleted { kind, key } => {
                if kind == WorkloadKind::ReplicaSet {
                    self.cache.remove_replica_set(&key);
                }
                self.cache.workloads_mut().remove(kind, &key);
            }
            Input::ProfileApplied(profile) => self.profile_applied(profile, now),
            Input::ProfileDeleted { key } => self.profile_deleted(&key, now),
            Input::SampleApplied(headroom) => self.cache.set_headroom(headroom),
            Input::SampleDeleted { name } => self.cache.remove_headroom(&name),
            Input::BudgetApplied(budget) => self.cache.set_budget(budget),
            Input::BudgetDeleted { key } => self.cache.remove_budget(&key),
            Input::StorageApplied(object) => self.storage_applied(object, now, out),
            Input::StorageDeleted { kind, key } => self.storage_deleted(kind, &key, now, out),
            Input::Extended { id, answer } => self.extended(id, answer, now, out),
            Input::Outcome(outcome) => self.outcome(&outcome, now, out),
            Input::Tick => self.tick(now, out),
        }
        self.memory_news(now);
    }

    /// A pod of [`Input::PodApplied`] came out of its informer at `at`: for the shell, which measures from there and is told
    /// by [`Engine::take_seen`]. Nothing is decided by it.
    pub fn set_seen(&mut self, uid: &str, at: Mono) {
        self.queue.set_seen(uid, at);
    }

    /// When the pod first came out of its informer, if it waits here and this was not asked yet.
    pub fn take_seen(&mut self, uid: &str) -> Option<Mono> {
        self.queue.take_seen(uid)
    }

    /// The kinds of events that the last [`Engine::handle`] meant to the queue, a few at most.
    #[must_use]
    pub fn happened(&self) -> &[ClusterEvent] {
        &self.happened
    }

    /// Has the queueing hints measured.
    pub fn set_hint_probe(&mut self, probe: Box<dyn HintProbe>) {
        self.queue.set_hint_probe(probe);
    }

    /// When [`Input::Tick`] is wanted next; absent when nothing happens by itself.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Mono> {
        let binding = self.deadlines.first().map(|(at, _)| *at);
        // Ages of samples are on the wall clock; both run alike until the next input.
        let memory = self.cache.memory_deadline().map(|until| {
            let wait = until.since(self.now.wall) + std::time::Duration::from_micros(1);
            self.now.mono + wait
        });
        [self.queue.next_deadline(), binding, memory, self.extender_deadline()].into_iter().flatten().min()
    }

    /// Whether a pod waits to be tried.
    #[must_use]
    pub fn has_work(&self) -> bool {
        // While an extender is being asked nothing else is decided, as in upstream's loop.
        !self.is_held() && (self.queue.has_next() || self.resumed().is_some())
    }

    /// Pops at most one pod and decides it. `None` when none waits.
    ///
    /// At most a handful of intents are added to `out` per call: [`Engine::MAX_INTENTS_PER_DECISION`].
    pub fn schedule_one(&mut self, now: Now, out: &mut Vec<Intent>, probe: &mut dyn Probe) -> Option<Decision> {
        self.set_time(now);
        let decision = self.pop_and_decide(now, out, probe);
        self.current = None;
        decision
    }

    /// Credits that [`Engine::schedule_one`] needs with the in-tree plugins: an event, a status patch and a binding, or
    /// the first writes of a preemption. Turning victims back in memory can ask for more, which then wait in the shell.
    pub const MAX_INTENTS_PER_DECISION: usize = 4 + preempt::PARALLEL;

    /// What happened since the last call: for metrics and logs.
    pub fn take_reports(&mut self) -> Vec<Report> {
        std::mem::take(&mut self.reports)
    }

    fn set_time(&mut self, now: Now) {
        self.now = now;
        self.cache.set_time(now.wall);
    }

    fn report(&mut self, report: Report) {
        if self.reports.len() >= MAX_REPORTS {
            self.counters.reports_dropped += 1;
        } else {
            self.reports.push(report);
        }
    }

    fn tie_breaker(&self, uid: &str) -> TieBreaker {
        TieBreaker::new(self.seed, uid)
    }

    fn emit(&mut self, op: Op, owner: Option<Owner>, out: &mut Vec<Intent>) -> IntentId {
        self.last_intent += 1;
        let id = IntentId(self.last_intent);
        if let Some(owner) = owner {
            self.owners.insert(id, owner);
        }
        out.push(Intent { id, op });
        id
    }
}

/// The queue together with what it needs of the engine: borrows different fields.
macro_rules! queue_and_cx {
    ($engine:expr, $now:expr) => {
        (
            &mut $engine.queue,
            $crate::queue::QueueCx {
                profiles: &$engine.profiles,
                cache: &$engine.cache,
                nominated: &$engine.nominated,
                now: $now,
            },
        )
    };
}
use queue_and_cx;
