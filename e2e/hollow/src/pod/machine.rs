//! A pod's life on its node as a pure state machine: `step(now)` says what to do, `next_due` when to come back.

use super::digest::{Digest, Kind, RestartPolicy};
use crate::time::Millis;

/// First and longest wait before a container that ended is started again (the very first restart is immediate).
const BACKOFF_FIRST: Millis = 10_000;
const BACKOFF_MAX: Millis = 300_000;
/// A container that ran this long starts over with its back-off.
const BACKOFF_RESET: Millis = 600_000;

/// How long things take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timing {
    pub(crate) start: Millis,
    pub(crate) init: Millis,
    pub(crate) ready: Millis,
    pub(crate) stop: Millis,
    pub(crate) run: Option<Millis>,
    pub(crate) exit_code: i32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Pending,
    Running,
    Succeeded,
    Failed,
}

impl Phase {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Running => "Running",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) reason: &'static str,
    pub(crate) since: Millis,
    pub(crate) at: Millis,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Waiting(&'static str),
    Running(Millis),
    Terminated(Ended),
}

#[derive(Debug, Clone)]
pub(crate) struct Container {
    pub(crate) kind: Kind,
    pub(crate) state: State,
    pub(crate) last: Option<Ended>,
    pub(crate) restarts: i32,
    pub(crate) ready: bool,
    ready_at: Option<Millis>,
    end_at: Option<Millis>,
    restart_at: Option<Millis>,
    backoff: Millis,
}

impl Container {
    fn due(&self) -> Option<Millis> {
        [self.ready_at, self.end_at, self.restart_at].into_iter().flatten().min()
    }

    /// Ended for good.
    fn over(&self) -> bool {
        matches!(self.state, State::Terminated(_)) && self.restart_at.is_none()
    }
}

/// What the node has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Report the status.
    Status,
    /// The container's processes start or end (for the memory model).
    Start(u16),
    Stop(u16),
    /// Give back what admission reserved.
    Release,
    /// Delete the object with grace period 0, after the status was written.
    Delete,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The sandbox is being made.
    Sandbox(Millis),
    /// This init container runs.
    Init(usize),
    Running,
    /// Containers were told to stop and will have by then; killed if they took too long.
    Stopping(Millis, bool),
    /// Nothing runs any more.
    Over,
}

/// A condition's status and when it last changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Condition {
    pub(crate) status: bool,
    pub(crate) since: Millis,
}

/// Order of [`Machine::conditions`].
pub(crate) const CONDITIONS: [&str; 4] = ["PodReadyToStartContainers", "Initialized", "ContainersReady", "Ready"];

#[derive(Debug, Clone)]
pub(crate) struct Machine {
    restart: RestartPolicy,
    timing: Timing,
    stage: Stage,
    pub(crate) phase: Phase,
    pub(crate) start_time: Millis,
    /// Why the kubelet itself ended the pod: reason and message.
    pub(crate) failure: Option<(String, String)>,
    pub(crate) evicted: bool,
    pub(crate) containers: Vec<Container>,
    pub(crate) conditions: [Condition; 4],
    deleting: bool,
}

impl Machine {
    /// A pod that was just admitted.
    pub(crate) fn new(digest: &Digest, timing: Timing, now: Millis) -> Self {
        let container = |kind| Container {
            kind,
            state: State::Waiting(if kind == Kind::App { "ContainerCreating" } else { "PodInitializing" }),
            last: None,
            restarts: 0,
            ready: false,
            ready_at: None,
            end_at: None,
            restart_at: None,
            backoff: 0,
        };
        Self {
            restart: digest.restart,
            timing,
            stage: Stage::Sandbox(now.saturating_add(timing.start)),
            phase: Phase::Pending,
            start_time: now,
            failure: None,
            evicted: false,
            containers: digest.containers.iter().map(|c| container(c.kind)).collect(),
            conditions: [Condition { status: false, since: now }; 4],
            deleting: false,
        }
    }

    /// A pod that is not admitted: it has failed before anything ran.
    pub(crate) fn rejected(digest: &Digest, timing: Timing, reason: String, message: String, now: Millis) -> Self {
        let mut machine = Self::new(digest, timing, now);
        machine.stage = Stage::Over;
        machine.phase = Phase::Failed;
        machine.failure = Some((reason, message));
        machine.containers.clear();
        machine
    }

    /// A pod that was running before this process started: its containers went on.
    pub(crate) fn adopt_running(
        digest: &Digest,
        timing: Timing,
        started: Millis,
        restarts: &dyn Fn(&str) -> i32,
    ) -> Self {
        let mut machine = Self::new(digest, timing, started);
        machine.stage = Stage::Running;
        machine.phase = Phase::Running;
        for (container, spec) in machine.containers.iter_mut().zip(&digest.containers) {
            container.restarts = restarts(&spec.name);
            container.ready = true;
            if container.kind == Kind::Init {
                container.state =
                    State::Terminated(Ended { code: 0, reason: "Completed", since: started, at: started });
            } else {
                container.state = State::Running(started);
                container.end_at =
                    timing.run.filter(|_| container.kind == Kind::App).map(|r| started.saturating_add(r));
            }
        }
        machine.conditions = [Condition { status: true, since: started }; 4];
        machine
    }

    /// A pod that had already ended before this process started.
    pub(crate) fn adopt_ended(digest: &Digest, timing: Timing, phase: Phase, now: Millis) -> Self {
        let mut machine = Self::new(digest, timing, now);
        machine.stage = Stage::Over;
        machine.phase = phase;
        machine
    }

    /// Whether nothing runs any more.
    pub(crate) fn over(&self) -> bool {
        self.stage == Stage::Over
    }

    /// Whether the sandbox exists, and with it the pod's address.
    pub(crate) fn has_sandbox(&self) -> bool {
        !matches!(self.stage, Stage::Sandbox(_)) && self.failure.as_ref().is_none_or(|_| self.evicted)
    }

    pub(crate) fn is_running(&self, index: u16) -> bool {
        self.containers.get(usize::from(index)).is_some_and(|c| matches!(c.state, State::Running(_)))
    }

    /// When [`Machine::step`] has something to do next.
    pub(crate) fn next_due(&self) -> Option<Millis> {
        match self.stage {
            Stage::Sandbox(due) | Stage::Stopping(due, _) => Some(due),
            Stage::Init(_) | Stage::Running => self.containers.iter().filter_map(Container::due).min(),
            Stage::Over => None,
        }
    }

    /// Does everything that is due, in the order of the due times.
    pub(crate) fn step(&mut self, now: Millis, actions: &mut Vec<Action>) {
        while let Some(at) = self.next_due().filter(|&due| due <= now) {
            match self.stage {
                Stage::Sandbox(_) => {
                    self.stage = Stage::Init(0);
                    self.advance_init(0, at, actions);
                    if self.stage != Stage::Running {
                        actions.push(Action::Status);
                    }
                }
                Stage::Stopping(_, killed) => self.stopped(killed, at, actions),
                _ => {
                    let due = self.containers.iter().position(|c| c.due() == Some(at));
                    if let Some(index) = due {
                        self.container_due(index, at, actions);
                    }
                }
            }
            self.sync_conditions(at);
        }
    }

    /// The object is being deleted with this grace period.
    pub(crate) fn delete(&mut self, grace_seconds: i64, now: Millis, actions: &mut Vec<Action>) {
        self.deleting = true;
        let grace = u64::try_from(grace_seconds).unwrap_or(0).saturating_mul(1000);
        let (wait, killed) = if self.timing.stop > grace { (grace, true) } else { (self.timing.stop, false) };
        let until = now.saturating_add(wait);
        match self.stage {
            Stage::Over => actions.push(Action::Delete),
            Stage::Stopping(before, _) if before <= until => {}
            Stage::Sandbox(_) => self.stopped(false, now, actions),
            _ => self.stage = Stage::Stopping(until, killed),
        }
        self.step(now, actions);
    }

    /// The kernel killed a container for memory.
    pub(crate) fn oom_killed(&mut self, index: u16, now: Millis, actions: &mut Vec<Action>) {
        let index = usize::from(index);
        if self.containers.get(index).is_some_and(|c| matches!(c.state, State::Running(_))) {
            if matches!(self.stage, Stage::Stopping(..)) {
                self.end(index, 137, "OOMKilled", now, actions);
            } else {
                self.exit(index, 137, "OOMKilled", now, actions);
            }
            self.sync_conditions(now);
        }
    }

    /// An app container has done its work and exits.
    pub(crate) fn finished(&mut self, index: u16, now: Millis, actions: &mut Vec<Action>) {
        let index = usize::from(index);
        let runs = self.containers.get(index).is_some_and(|c| matches!(c.state, State::Running(_)));
        if runs && !matches!(self.stage, Stage::Stopping(..)) {
            let code = self.timing.exit_code;
            self.exit(index, code, if code == 0 { "Completed" } else { "Error" }, now, actions);
            self.sync_conditions(now);
        }
    }

    /// The kubelet evicts the pod: everything is killed at once and the pod has failed.
    pub(crate) fn evict(&mut self, reason: &str, message: String, now: Millis, actions: &mut Vec<Action>) {
        if self.stage == Stage::Over {
            return;
        }
        self.failure = Some((reason.to_owned(), message));
        self.evicted = true;
        self.end_all(137, "Error", now, actions);
        self.finish(Phase::Failed, actions);
        self.sync_conditions(now);
    }

    fn container_due(&mut self, index: usize, at: Millis, actions: &mut Vec<Action>) {
        let exit_code = self.timing.exit_code;
        let Some(container) = self.containers.get_mut(index) else { return };
        if container.restart_at == Some(at) {
            container.restarts = container.restarts.saturating_add(1);
            self.start(index, at, actions);
            actions.push(Action::Status);
        } else if container.ready_at == Some(at) {
            container.ready_at = None;
            container.ready = true;
            actions.push(Action::Status);
        } else if container.kind == Kind::App {
            let reason = if exit_code == 0 { "Completed" } else { "Error" };
            self.exit(index, exit_code, reason, at, actions);
        } else {
            self.exit(index, 0, "Completed", at, actions);
        }
    }

    fn start(&mut self, index: usize, at: Millis, actions: &mut Vec<Action>) {
        let timing = self.timing;
        let Some(container) = self.containers.get_mut(index) else { return };
        if let State::Terminated(ended) = container.state {
            container.last = Some(ended);
        }
        container.state = State::Running(at);
        container.restart_at = None;
        let after = |wait: Millis| Some(at.saturating_add(wait));
        (container.ready_at, container.end_at) = match container.kind {
            Kind::Init => (None, after(timing.init)),
            Kind::Sidecar => (None, None),
            Kind::App if timing.ready > 0 => (after(timing.ready), timing.run.and_then(after)),
            Kind::App => (None, timing.run.and_then(after)),
        };
        container.ready = container.kind != Kind::Init && container.ready_at.is_none();
        if let Ok(index) = u16::try_from(index) {
            actions.push(Action::Start(index));
        }
    }

    /// Starts init containers from `from` on up to the first that has to end before the next, then the apps.
    fn advance_init(&mut self, from: usize, at: Millis, actions: &mut Vec<Action>) {
        let mut index = from;
        loop {
            match self.containers.get(index).map(|c| c.kind) {
                Some(Kind::Init) => {
                    self.stage = Stage::Init(index);
                    return self.start(index, at, actions);
                }
                Some(Kind::Sidecar) => self.start(index, at, actions),
                Some(Kind::App) | None => break,
            }
            index += 1;
        }
        for app in index..self.containers.len() {
            self.start(app, at, actions);
        }
        self.stage = Stage::Running;
        self.phase = Phase::Running;
        actions.push(Action::Status);
    }

    fn end(&mut self, index: usize, code: i32, reason: &'static str, at: Millis, actions: &mut Vec<Action>) {
        let Some(container) = self.containers.get_mut(index) else { return };
        if let State::Running(since) = container.state {
            container.state = State::Terminated(Ended { code, reason, since, at });
            if let Ok(index) = u16::try_from(index) {
                actions.push(Action::Stop(index));
            }
        }
        container.ready = container.kind == Kind::Init && code == 0;
        (container.ready_at, container.end_at, container.restart_at) = (None, None, None);
    }

    /// A container ended by itself or was killed; it is restarted, or its end counts.
    fn exit(&mut self, index: usize, code: i32, reason: &'static str, at: Millis, actions: &mut Vec<Action>) {
        self.end(index, code, reason, at, actions);
        let policy = self.restart;
        let Some(container) = self.containers.get_mut(index) else { return };
        let again = match (container.kind, policy) {
            (Kind::Sidecar, _) | (Kind::App, RestartPolicy::Always) => true,
            (Kind::Init, RestartPolicy::Never) | (Kind::App, RestartPolicy::Never) => false,
            (Kind::Init, _) | (Kind::App, RestartPolicy::OnFailure) => code != 0,
        };
        if again {
            if let State::Terminated(ended) = container.state {
                if ended.at.saturating_sub(ended.since) >= BACKOFF_RESET {
                    container.backoff = 0;
                }
                if container.backoff > 0 {
                    container.last = Some(ended);
                    container.state = State::Waiting("CrashLoopBackOff");
                }
            }
            container.restart_at = Some(at.saturating_add(container.backoff.max(self.timing.start)));
            container.backoff = container.backoff.saturating_mul(2).clamp(BACKOFF_FIRST, BACKOFF_MAX);
            actions.push(Action::Status);
            return;
        }
        let kind = container.kind;
        match kind {
            Kind::Init if code == 0 => {
                self.advance_init(index + 1, at, actions);
                if self.stage != Stage::Running {
                    actions.push(Action::Status);
                }
            }
            Kind::Init => {
                self.end_all(0, "Completed", at, actions);
                self.finish(Phase::Failed, actions);
            }
            _ if self.containers.iter().filter(|c| c.kind == Kind::App).all(Container::over) => {
                self.end_all(0, "Completed", at, actions);
                let phase = self.final_phase();
                self.finish(phase, actions);
            }
            _ => actions.push(Action::Status),
        }
    }

    fn end_all(&mut self, code: i32, reason: &'static str, at: Millis, actions: &mut Vec<Action>) {
        for index in 0..self.containers.len() {
            if self.containers.get(index).is_some_and(|c| matches!(c.state, State::Running(_))) {
                self.end(index, code, reason, at, actions);
            }
        }
    }

    /// Everything was asked to stop and has stopped.
    fn stopped(&mut self, killed: bool, at: Millis, actions: &mut Vec<Action>) {
        let (code, reason) = if killed { (137, "Error") } else { (0, "Completed") };
        self.end_all(code, reason, at, actions);
        let phase = self.final_phase();
        self.finish(phase, actions);
        self.sync_conditions(at);
    }

    /// Succeeded when every app container ended with 0; one that never ran counts as failed, as upstream does.
    fn final_phase(&self) -> Phase {
        let good = |c: &Container| matches!(c.state, State::Terminated(ended) if ended.code == 0);
        let apps = self.containers.iter().filter(|c| c.kind == Kind::App);
        if apps.clone().all(good) { Phase::Succeeded } else { Phase::Failed }
    }

    fn finish(&mut self, phase: Phase, actions: &mut Vec<Action>) {
        self.stage = Stage::Over;
        self.phase = phase;
        for container in &mut self.containers {
            (container.ready_at, container.end_at, container.restart_at) = (None, None, None);
        }
        actions.extend([Action::Status, Action::Release]);
        if self.deleting {
            actions.push(Action::Delete);
        }
    }

    fn sync_conditions(&mut self, at: Millis) {
        let over = self.stage == Stage::Over;
        let sandbox = !over && !matches!(self.stage, Stage::Sandbox(_));
        let initialized = self.containers.iter().all(|c| match c.kind {
            Kind::Init => matches!(c.state, State::Terminated(ended) if ended.code == 0),
            Kind::Sidecar => !matches!(c.state, State::Waiting("PodInitializing")),
            Kind::App => true,
        }) && !matches!(self.stage, Stage::Sandbox(_));
        let ready = !over
            && matches!(self.stage, Stage::Running | Stage::Stopping(..))
            && self.containers.iter().all(|c| c.kind == Kind::Init || c.ready);
        for (condition, status) in self.conditions.iter_mut().zip([sandbox, initialized, ready, ready]) {
            if condition.status != status {
                *condition = Condition { status, since: at };
            }
        }
    }
}
