//! A cluster in memory around an [`Engine`]: an API server that binds, a watch, a clock. For tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test tool")]

pub mod acts;
mod storage;
mod templates;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use headroom_core::{
    Mono, Now, Str, Timestamp,
    intent::{EventRecord, Found, Intent, Op, Outcome, PodStatusPatch, WriteError, Written},
    object::{Node, NodeHeadroom, ObjectKey, Pod, PodCondition, Status},
};
use serde_json::json;

use crate::{
    Configuration, Decision, DecisionResult, Engine, Input, Mode, NoProbe, Registry, Report, cache::StorageObject,
};

/// What happens to a bind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The answer is lost; it was done.
    LostAfter,
    /// The answer is lost; it was not done.
    LostBefore,
    /// The server refuses for this reason, and does nothing.
    Refused(WriteError),
}

/// How a pod that was assumed comes to be seen as bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confirmed {
    /// As it was assumed.
    AsAssumed,
    /// With other labels, or being deleted.
    OtherMeta,
    /// With another spec.
    OtherSpec,
    /// On another node.
    Elsewhere,
}

/// The cluster.
#[derive(Debug)]
pub struct Simulator {
    /// The engine.
    pub engine: Engine,
    /// The time.
    pub now: Now,
    /// Pods in the API server, by UID.
    pub pods: BTreeMap<Str, Arc<Pod>>,
    /// Nodes in the API server, by name.
    pub nodes: BTreeMap<Str, Arc<Node>>,
    /// Volumes, claims and classes in the API server, by kind and key.
    pub stored: BTreeMap<(u8, ObjectKey), StorageObject>,
    /// Intents that were not executed yet.
    pub pending: VecDeque<Intent>,
    /// Events that were recorded.
    pub events: Vec<EventRecord>,
    /// Status patches that were executed, with the pod's name.
    pub patches: Vec<(Str, PodStatusPatch)>,
    /// Bindings that were done: pod, node.
    pub binds: Vec<(Str, Str)>,
    /// How assumed pods were seen as bound.
    pub confirmed: Vec<Confirmed>,
    /// Decisions that were made.
    pub decisions: Vec<Decision>,
    /// What the engine reported.
    pub reports: Vec<Report>,
    /// Pods whose deletion was asked for, by UID.
    pub deletions: Vec<Str>,
    /// Errors with which the next deletions are answered, in order.
    pub deletion_faults: VecDeque<Option<WriteError>>,
    /// Pods whose deletion is answered, and of which the watch says nothing before [`Simulator::let_watch_go_on`]; absent
    /// when the watch is as fast as the answers.
    pub unseen: Option<Vec<Pod>>,
    /// Faults of the next binds, in order.
    pub faults: VecDeque<Option<Fault>>,
    /// Whether the watch shows what was written.
    pub watching: bool,
    version: u64,
}

impl Simulator {
    /// A cluster without nodes, at second 1,800,000,000, with the default configuration.
    #[must_use]
    pub fn new(mode: Mode) -> Self {
        Self::with(Configuration::default(), Registry::in_tree(), mode)
    }

    /// The same with a configuration and plugins.
    #[must_use]
    pub fn with(config: Configuration, registry: Registry, mode: Mode) -> Self {
        let start = 1_800_000_000_u64;
        let now = Now { wall: Timestamp::from_secs(start as i64), mono: Mono(start * 1_000_000) };
        let mut this = Self {
            engine: Engine::new(config, registry, 42, mode).unwrap(),
            now,
            pods: BTreeMap::new(),
            nodes: BTreeMap::new(),
            stored: BTreeMap::new(),
            pending: VecDeque::new(),
            events: Vec::new(),
            patches: Vec::new(),
            binds: Vec::new(),
            confirmed: Vec::new(),
            decisions: Vec::new(),
            reports: Vec::new(),
            deletions: Vec::new(),
            deletion_faults: VecDeque::new(),
            unseen: None,
            faults: VecDeque::new(),
            watching: true,
            version: 1,
        };
        this.input(Input::Tick);
        this
    }

    /// Feeds the engine.
    pub fn input(&mut self, input: Input) {
        let mut out = Vec::new();
        self.engine.handle(input, self.now, &mut out);
        self.pending.extend(out);
        self.reports.extend(self.engine.take_reports());
    }

    /// A node comes or changes.
    pub fn node(&mut self, node: Node) {
        let node = Arc::new(node);
        self.nodes.insert(node.name().clone(), node.clone());
        self.input(Input::NodeApplied(node));
    }

    /// A node goes.
    pub fn delete_node(&mut self, name: &str) {
        if let Some(node) = self.nodes.remove(name) {
            self.input(Input::NodeDeleted { name: node.name().clone() });
        }
    }

    /// A NodeHeadroom comes or changes.
    pub fn sample(&mut self, headroom: NodeHeadroom) {
        self.input(Input::SampleApplied(Arc::new(headroom)));
    }

    /// A pod comes or changes.
    pub fn pod(&mut self, mut pod: Pod) {
        self.version += 1;
        pod.meta.resource_version = self.version;
        let pod = Arc::new(pod);
        self.pods.insert(pod.meta.uid.clone(), pod.clone());
        if self.watching {
            self.confirmed.extend(self.confirmation(&pod));
            self.input(Input::PodApplied(pod));
        }
    }

    fn confirmation(&self, pod: &Pod) -> Option<Confirmed> {
        let node = pod.node_name.as_ref()?;
        let cache = self.engine.cache();
        let assumed = cache.pod(&pod.meta.uid).filter(|known| known.assumed)?;
        let (was, is) = (&assumed.info.pod.meta, &pod.meta);
        Some(if cache.any_row(assumed.slot).is_none_or(|row| row.name != *node) {
            Confirmed::Elsewhere
        } else if assumed.info.pod.spec != pod.spec {
            Confirmed::OtherSpec
        } else if was.labels != is.labels || was.is_terminating() != is.is_terminating() {
            Confirmed::OtherMeta
        } else {
            Confirmed::AsAssumed
        })
    }

    /// A pod goes.
    pub fn delete_pod(&mut self, uid: &str) {
        if let Some(pod) = self.pods.remove(uid) {
            self.input(Input::PodDeleted { key: pod.meta.key.clone(), uid: pod.meta.uid.clone() });
        }
    }

    /// Shows the watch everything that it missed.
    pub fn resync(&mut self) {
        self.watching = true;
        for object in self.stored.values().cloned().collect::<Vec<_>>() {
            self.input(Input::StorageApplied(object));
        }
        for pod in self.pods.values().cloned().collect::<Vec<_>>() {
            self.input(Input::PodApplied(pod));
        }
    }

    /// Time passes, second by second.
    pub fn advance(&mut self, seconds: u32) {
        for _ in 0..seconds {
            self.now.wall = self.now.wall + Duration::from_secs(1);
            self.now.mono = self.now.mono + Duration::from_secs(1);
            self.input(Input::Tick);
        }
    }

    /// Decides one pod. False when none waits.
    pub fn step(&mut self) -> bool {
        let mut out = Vec::new();
        let decision = self.engine.schedule_one(self.now, &mut out, &mut NoProbe);
        assert!(out.len() <= Engine::MAX_INTENTS_PER_DECISION, "{out:?}");
        self.pending.extend(out);
        self.reports.extend(self.engine.take_reports());
        let any = decision.is_some();
        self.decisions.extend(decision);
        any
    }

    /// Executes what was asked for, until nothing is left.
    pub fn deliver(&mut self) {
        while let Some(intent) = self.pending.pop_front() {
            self.execute(intent);
        }
    }

    /// Decides and executes until nothing happens any more at this time.
    pub fn run(&mut self) {
        for _ in 0..100_000 {
            let stepped = self.step();
            let busy = !self.pending.is_empty();
            self.deliver();
            if !stepped && !busy {
                return;
            }
        }
        panic!("the engine does not come to rest");
    }

    fn execute(&mut self, intent: Intent) {
        let result = match intent.op {
            Op::Event(event) => {
                self.events.push(event);
                return;
            }
            Op::Bind { pod: _, uid, node } => self.bind(&uid, &node),
            Op::Delete { key: _, uid: Some(uid), .. } => self.graceful_deletion(&uid),
            Op::PodStatus { pod, uid, patch } => self.patch(&pod.name, &uid, patch),
            Op::Get { kind: _, key } => {
                let found = self.pods.values().find(|p| p.meta.key == key);
                match found {
                    None => Err(WriteError::NotFound(key.to_string())),
                    Some(p) => Ok(Written {
                        found: vec![Found {
                            key,
                            uid: p.meta.uid.clone(),
                            resource_version: p.meta.resource_version,
                            body: Arc::new(json!({"spec": {"nodeName": p.node_name}})),
                        }],
                        ..Written::default()
                    }),
                }
            }
            Op::Patch { kind, key, body, .. } => self.patch_storage(kind, &key, &body),
            other => panic!("the simulator does not know {other:?}"),
        };
        self.input(Input::Outcome(Outcome { id: intent.id, result }));
    }

    fn bind(&mut self, uid: &Str, node: &Str) -> Result<Written, WriteError> {
        let fault = self.faults.pop_front().flatten();
        match &fault {
            Some(Fault::LostBefore) => return Err(WriteError::Unknown("connection reset".into())),
            Some(Fault::Refused(error)) => return Err(error.clone()),
            _ => {}
        }
        let Some(pod) = self.pods.get(uid) else { return Err(WriteError::NotFound(format!("pod {uid}"))) };
        if let Some(node) = &pod.node_name {
            return Err(WriteError::Conflict(format!("pod {} is already assigned to node {node:?}", pod.meta.key)));
        }
        let mut bound = (**pod).clone();
        bound.node_name = Some(node.clone());
        bound.status.conditions = Box::new([PodCondition {
            kind: "PodScheduled".into(),
            status: Status::True,
            reason: Str::default(),
            message: Str::default(),
            last_transition: Some(self.now.wall),
            observed_generation: 0,
        }]);
        self.binds.push((uid.clone(), node.clone()));
        self.pod(bound);
        if fault.is_some() { Err(WriteError::Unknown("timeout".into())) } else { Ok(Written::default()) }
    }

    fn patch(&mut self, name: &Str, uid: &Str, patch: PodStatusPatch) -> Result<Written, WriteError> {
        let Some(pod) = self.pods.get(uid) else { return Err(WriteError::NotFound(format!("pod {uid}"))) };
        let mut patched = (**pod).clone();
        let mut conditions = patched.status.conditions.to_vec();
        for condition in &patch.conditions {
            conditions.retain(|c| c.kind != condition.kind);
            conditions.push(condition.clone());
        }
        patched.status.conditions = conditions.into();
        if let Some(nominated) = &patch.nominated_node_name {
            patched.status.nominated_node_name = nominated.clone();
        }
        self.patches.push((name.clone(), patch));
        self.pod(patched);
        Ok(Written::default())
    }

    /// A pod that is on a node stays, terminating, until [`Simulator::finish_deletions`].
    fn graceful_deletion(&mut self, uid: &Str) -> Result<Written, WriteError> {
        if let Some(error) = self.deletion_faults.pop_front().flatten() {
            return Err(error);
        }
        let Some(pod) = self.pods.get(uid) else { return Err(WriteError::NotFound(format!("pod {uid}"))) };
        self.deletions.push(uid.clone());
        if pod.node_name.is_none() {
            self.delete_pod(uid);
        } else if !pod.meta.is_terminating() {
            let mut leaving = (**pod).clone();
            let grace = Duration::from_secs(leaving.spec.termination_grace_seconds.unsigned_abs());
            leaving.meta.set_deleted(self.now.wall + grace);
            match &mut self.unseen {
                Some(unseen) => unseen.push(leaving),
                None => self.pod(leaving),
            }
        }
        Ok(Written::default())
    }

    /// The watch says what it has not said yet.
    pub fn let_watch_go_on(&mut self) {
        self.unseen.take().into_iter().flatten().for_each(|pod| self.pod(pod));
    }

    /// The kubelets end what is terminating.
    pub fn finish_deletions(&mut self) {
        let leaving: Vec<Str> =
            self.pods.values().filter(|p| p.meta.is_terminating()).map(|p| p.meta.uid.clone()).collect();
        for uid in leaving {
            self.delete_pod(&uid);
        }
    }

    /// A budget comes or changes.
    pub fn budget(&mut self, budget: headroom_core::object::PodDisruptionBudget) {
        self.input(Input::BudgetApplied(Arc::new(budget)));
    }

    /// Where a pod is.
    #[must_use]
    pub fn node_of(&self, uid: &str) -> Option<&str> {
        self.pods.get(uid).and_then(|p| p.node_name.as_deref())
    }

    /// The message of the last decision on a pod.
    #[must_use]
    pub fn message(&self, uid: &str) -> &str {
        let last = self.decisions.iter().rev().find(|d| d.uid == *uid);
        match last.map(|d| &d.result) {
            Some(
                DecisionResult::Unschedulable { message, .. }
                | DecisionResult::Error { message }
                | DecisionResult::Shadow { message, .. },
            ) => message,
            _ => "",
        }
    }

    /// What is wrong with the engine's books, in words.
    #[must_use]
    pub fn inconsistency(&self) -> Option<String> {
        let cache = self.engine.cache();
        cache
            .difference(&cache.recomputed())
            .or_else(|| cache.memory_difference())
            .or_else(|| self.engine.queue().inconsistency())
    }
}
