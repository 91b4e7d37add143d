//! Who decides: it owns the engine, takes messages in and hands intents out. Nothing in a round waits for I/O; on which
//! thread rounds take place follows from how much there is to do ([`turns`]).

mod turns;

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use headroom_core::{
    Mono,
    intent::{Intent, Op},
    object::Kind,
};
use headroom_engine::engine::{Decision, DecisionResult, Engine, EngineStats, Input, Mode, Report};
use headroom_runtime::{clock, dispatcher::DispatchHandle, informer::Change, process::panic_text};
use tokio::sync::mpsc;
use tracing::{debug, error, info, warn};

use self::turns::{Load, SLOW};
use crate::{
    alarms::{Memory, Vitals},
    extenders::Calls,
    inputs::Message,
    metrics::{CycleProbe, SchedulerMetrics},
    shadow::{ShadowBook, Summary, Totals},
    spans::EventTimes,
};

/// Messages taken in at once.
const BATCH: usize = 1024;
/// Pods decided before new messages are looked at: what arrived meanwhile may change the next decision.
const DECISIONS: usize = 16;
/// The longest sleep.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// Clusters up to this size get the reason of each placement in the debug log.
const EXPLAINED_NODES: usize = 50;
/// Shadow mode: how often the totals are logged, when they have changed.
const TOTALS: Duration = Duration::from_secs(5 * 60);
/// How often the gauges are refreshed.
const GAUGES: Duration = Duration::from_secs(1);

/// What the decider tells about itself, and whether it is to end.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    stats: Mutex<EngineStats>,
    vitals: Mutex<Vitals>,
    stopping: AtomicBool,
}

impl Shared {
    /// The engine's figures, at most a second old.
    #[must_use]
    pub(crate) fn stats(&self) -> EngineStats {
        self.stats.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The figures of which the cluster's owner is told, at most a second old.
    #[must_use]
    pub(crate) fn vitals(&self) -> Vitals {
        *self.vitals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing more is to be decided, however many messages wait before the one that wakes the decider up.
    pub(crate) fn stop(&self, wake: &mpsc::Sender<Message>) {
        self.stopping.store(true, Ordering::Release);
        // Without room there are messages, and it does not sleep.
        let _ = wake.try_send(Message::Stop);
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }
}

/// Everything that it owns.
#[derive(Debug)]
pub(crate) struct Decider {
    /// The engine.
    pub(crate) engine: Engine,
    /// Its mode.
    pub(crate) mode: Mode,
    /// Where messages come from.
    pub(crate) messages: mpsc::Receiver<Message>,
    /// Where intents go.
    pub(crate) dispatch: DispatchHandle,
    /// Where calls of extenders go.
    pub(crate) extenders: Calls,
    /// Metrics.
    pub(crate) metrics: SchedulerMetrics,
    /// For the other threads.
    pub(crate) shared: Arc<Shared>,
    /// Shadow mode: the comparisons.
    pub(crate) shadow: Arc<ShadowBook>,
    /// Kinds whose first list has to be complete before anything is decided.
    pub(crate) awaited: Vec<Kind>,
}

struct State {
    decider: Decider,
    /// Messages that were received and not taken in yet.
    batch: Vec<Message>,
    load: Load,
    /// Nobody sends any more.
    closed: bool,
    leading: bool,
    probe: CycleProbe,
    events: EventTimes,
    /// Intents that found no room yet, bindings with the time when their pod was seen; while there are any, nothing is
    /// decided.
    outgoing: VecDeque<(Intent, Option<Mono>)>,
    scratch: Vec<Intent>,
    /// When the gauges were last refreshed; they are there from the start, as upstream's.
    refreshed: Option<Mono>,
    totals: Summary,
}

impl State {
    fn new(decider: Decider) -> Self {
        let mut state = Self {
            probe: CycleProbe::new(decider.metrics.clone()),
            events: decider.metrics.event_times(),
            decider,
            batch: Vec::new(),
            load: Load::default(),
            closed: false,
            leading: false,
            outgoing: VecDeque::new(),
            scratch: Vec::new(),
            refreshed: None,
            totals: Summary::new(TOTALS, clock::mono()),
        };
        let hints = Box::new(state.decider.metrics.hint_times());
        state.decider.engine.set_hint_probe(hints);
        let points = Box::new(state.decider.metrics.point_times());
        state.decider.engine.set_point_probe(points);
        // A standby sees the leader's bindings: they are not foreign.
        state.decider.engine.set_leading(false);
        state
    }

    /// How long messages may be waited for: not at all while a pod could be decided, else until the engine's next
    /// deadline.
    fn wait(&self) -> Duration {
        if self.may_decide() && self.decider.engine.has_work() {
            return Duration::ZERO;
        }
        self.decider.engine.next_deadline().map_or(HEARTBEAT, clock::until).clamp(Duration::from_millis(1), HEARTBEAT)
    }

    fn may_decide(&self) -> bool {
        self.leading
            && !self.decider.shared.is_stopping()
            && self.decider.awaited.is_empty()
            && self.outgoing.is_empty()
            && self.decider.dispatch.credits() >= Engine::MAX_INTENTS_PER_DECISION
    }

    fn take(&mut self, message: Message) {
        let mut seen = None;
        let input = match message {
            Message::Pod(Change::Applied(pod), at) => {
                if pod.node_name.is_none() {
                    seen = Some((pod.clone(), at));
                }
                Input::PodApplied(pod)
            }
            Message::Pod(Change::Deleted { key, uid }, _) => Input::PodDeleted { key, uid },
            Message::Node(Change::Applied(node)) => Input::NodeApplied(node),
            Message::Node(Change::Deleted { key, .. }) => Input::NodeDeleted { name: key.name },
            Message::Namespace(Change::Applied(namespace)) => Input::NamespaceApplied(namespace),
            Message::Namespace(Change::Deleted { key, .. }) => Input::NamespaceDeleted { name: key.name },
            Message::Budget(Change::Applied(budget)) => Input::BudgetApplied(budget),
            Message::Budget(Change::Deleted { key, .. }) => Input::BudgetDeleted { key },
            Message::Selector(_, Change::Applied(one)) => Input::SelectorApplied(one),
            Message::Selector(kind, Change::Deleted { key, .. }) => Input::SelectorDeleted { kind, key },
            Message::Headroom(Change::Applied(row)) => Input::SampleApplied(row),
            Message::Headroom(Change::Deleted { key, .. }) => Input::SampleDeleted { name: key.name },
            Message::Profile(Change::Applied(row)) => Input::ProfileApplied(row),
            Message::Profile(Change::Deleted { key, .. }) => Input::ProfileDeleted { key },
            Message::Storage(input) => input,
            Message::StorageSynced(kind) => return self.synced(kind),
            Message::Outcome(outcome) => Input::Outcome(outcome),
            Message::Extended { id, answer } => Input::Extended { id, answer },
            Message::Pod(Change::Synced, _) => return self.synced(Kind::POD),
            Message::Node(Change::Synced) => return self.synced(Kind::NODE),
            Message::Namespace(Change::Synced) => return self.synced(Kind::NAMESPACE),
            Message::Budget(Change::Synced) => return self.synced(Kind::POD_DISRUPTION_BUDGET),
            Message::Selector(kind, Change::Synced) => return self.synced(kind.kind()),
            Message::Headroom(Change::Synced) => return self.synced(Kind::NODE_HEADROOM),
            Message::Profile(Change::Synced) => return self.synced(Kind::MEMORY_PROFILE),
            Message::Lead => {
                self.leading = true;
                self.decider.engine.set_leading(true);
                return;
            }
            Message::Pods(answer) => {
                // Who asked may have gone.
                let _ = answer.send(self.decider.engine.known_pods());
                return;
            }
            Message::Dump => {
                info!("cache and queue:\n{}", self.decider.engine.dump());
                return;
            }
            Message::Stop => return,
        };
        // What is no change of an object is not handled as an event upstream.
        let is_change = !matches!(input, Input::Outcome(_) | Input::Extended { .. });
        let began = Instant::now();
        self.decider.engine.handle(input, clock::now(), &mut self.scratch);
        if let Some((pod, at)) = seen {
            self.decider.engine.set_seen(&pod.meta.uid, at);
        }
        if is_change {
            self.events.observe(self.decider.engine.happened(), began.elapsed().as_secs_f64());
        }
        self.flush();
    }

    fn synced(&mut self, kind: Kind) {
        self.decider.awaited.retain(|k| *k != kind);
        if self.decider.awaited.is_empty() {
            let stats = self.decider.engine.stats();
            info!(nodes = stats.nodes, pods = stats.pods, "the cluster is known");
        }
    }

    fn tick(&mut self) {
        let now = clock::now();
        if self.decider.engine.next_deadline().is_some_and(|at| at <= now.mono) {
            self.decider.engine.handle(Input::Tick, now, &mut self.scratch);
        }
        self.flush();
    }

    fn decide(&mut self, began: Mono) {
        for _ in 0..DECISIONS {
            if !self.may_decide() {
                return;
            }
            self.probe.begin();
            let now = clock::now();
            let (engine, scratch, probe) = (&mut self.decider.engine, &mut self.scratch, &mut self.probe);
            match catch_unwind(AssertUnwindSafe(|| engine.schedule_one(now, scratch, probe))) {
                Ok(Some(decision)) => {
                    self.probe.decided(&decision);
                    self.log(&decision);
                }
                Ok(None) => return,
                Err(panic) => {
                    self.scratch.clear();
                    let pod = self.decider.engine.rebuild_after_panic(clock::now(), &mut self.scratch);
                    error!(
                        pod = pod.map(|p| p.to_string()),
                        panic = panic_text(&*panic),
                        "deciding this pod failed badly: it is set aside, the others go on; please report this"
                    );
                }
            }
            self.flush();
            // The next ones are not to keep waiting whatever else this thread does.
            if clock::mono().since(began) >= SLOW {
                return;
            }
        }
    }

    fn log(&self, decision: &Decision) {
        match &decision.result {
            DecisionResult::Assumed { node, total, feasible, ties, .. } => {
                if tracing::enabled!(tracing::Level::DEBUG) {
                    let why = self.why(decision, node);
                    debug!(pod = %decision.pod, %node, total, feasible, ties, attempts = decision.attempts, why, "placed");
                }
            }
            DecisionResult::Unschedulable { message, .. } => {
                debug!(pod = %decision.pod, attempts = decision.attempts, reason = %message, "no place");
            }
            DecisionResult::Error { message } => {
                warn!(pod = %decision.pod, attempts = decision.attempts, reason = %message, "failed");
            }
            DecisionResult::Shadow { node, total, message } => {
                debug!(pod = %decision.pod, node = node.as_deref(), total, reason = %message, "would place");
            }
            DecisionResult::Skipped => {}
        }
    }

    /// The reason in one line. An explanation looks at every node again, so only small clusters get it.
    fn why(&self, decision: &Decision, node: &str) -> Option<String> {
        let engine = &self.decider.engine;
        if engine.cache().nodes().count() > EXPLAINED_NODES {
            return None;
        }
        let pod = &engine.cache().pod(&decision.uid)?.info.pod;
        crate::why::one_line(&engine.explain(pod, clock::now()), node)
    }

    /// Hands intents over, in order; what finds no room waits.
    fn flush(&mut self) {
        for call in self.decider.engine.take_calls() {
            if let Err(id) = self.decider.extenders.submit(call) {
                let answer = Err("too many calls of extenders are under way".to_owned());
                self.decider.engine.handle(Input::Extended { id, answer }, clock::now(), &mut self.scratch);
            }
        }
        let engine = &mut self.decider.engine;
        self.outgoing.extend(self.scratch.drain(..).map(|intent| {
            let seen = if let Op::Bind { uid, .. } = &intent.op { engine.take_seen(uid) } else { None };
            (intent, seen)
        }));
        while let Some((intent, seen)) = self.outgoing.pop_front() {
            if let Err(intent) = self.decider.dispatch.submit_since(intent, seen) {
                self.outgoing.push_front((intent, seen));
                return;
            }
        }
    }

    fn report(&mut self) {
        for report in self.decider.engine.take_reports() {
            match &report {
                Report::Bound { pod, node, attempts, .. } => debug!(%pod, %node, attempts, "bound"),
                Report::BindingFailed { pod, node, message, rejected: true, .. } => {
                    debug!(%pod, %node, reason = %message, "rejected while it was held");
                }
                Report::BindingFailed { pod, node, message, .. } => {
                    warn!(%pod, %node, reason = %message, "binding failed; the pod is tried again");
                }
                Report::ForeignBinding { pod, node, .. } if self.decider.mode != Mode::Shadow => {
                    warn!(%pod, %node, "somebody else bound a pod of this scheduler's queue: does another scheduler serve the same name?");
                }
                Report::ForeignBinding { .. } => {}
                Report::PermitWaited { .. } => {}
                Report::Preempting { victims } => debug!(victims, "making room"),
                Report::Preempted { took, failed } => debug!(?took, failed, "victims are told"),
                Report::Shadow(decision) => self.decider.shadow.add(decision),
            }
            self.decider.metrics.report(&report);
        }
        self.log_totals(false);
        let now = clock::mono();
        if self.refreshed.is_none_or(|at| now.since(at) >= GAUGES) {
            self.refreshed = Some(now);
            let engine = &self.decider.engine;
            let stats = engine.stats();
            let memory = engine.cache().memory().map_or(Memory::NotConsidered, |index| index.cluster().into());
            let vitals = Vitals { memory, foreign_bindings: stats.foreign_bindings };
            self.decider.metrics.refresh(&stats);
            *self.decider.shared.vitals.lock().unwrap_or_else(PoisonError::into_inner) = vitals;
            *self.decider.shared.stats.lock().unwrap_or_else(PoisonError::into_inner) = stats;
        }
    }
}

impl State {
    /// Shadow mode: what the comparisons came to so far, now and then, and at the end.
    fn log_totals(&mut self, last: bool) {
        if self.decider.mode != Mode::Shadow {
            return;
        }
        let due = self.totals.due(clock::mono(), last, || self.decider.shadow.totals());
        if let Some(Totals { agrees, differs, would_wait, not_compared }) = due {
            info!(agrees, differs, would_wait, not_compared, "compared with whoever binds");
        }
    }
}
