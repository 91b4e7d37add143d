//! Executes the cores' intents (DESIGN.md 4.2 and 13).
//!
//! Three lanes: writes, then patches of pods' status, then events. The leader gate is asked right before each request,
//! a request never outlives the lease, and answers of 429, or late ones, make the dispatcher ask for less at once;
//! everything else is the core's to decide: apart from status patches and events there are no retries here. Each intent
//! but events comes back as exactly one outcome, and holds a credit until that outcome was taken in, so that nobody ever
//! waits for room while somebody else waits for him.

mod answer;
mod execute;
mod handle;
mod limit;
mod request;
mod run;
mod status;

use std::{sync::Arc, time::Duration};

use headroom_core::intent::Outcome;
use prometheus::Histogram;
use tokio::{sync::mpsc, task::JoinHandle, time::timeout};

pub use self::handle::{Credit, DispatchHandle};
use self::{handle::Shared, run::Run};
use crate::{
    events::{Correlator, Flavour, Reporter},
    lease::{LeaderGate, hostname},
    metrics::DispatcherMetrics,
    moderation::Moderator,
};

/// Writes in flight at most: the streams of three connections. The more are under way, the more of them etcd commits
/// together: with 300 instead of 100 it needs two thirds of the CPU for each (decision 0015). With its default limits an API
/// server works on some 100 of one caller and lets 300 more wait (API priority and fairness, level `workload-high`) before
/// it refuses any.
pub const MAX_WRITES: usize = 300;
/// Status patches in flight at most; fewer while fewer writes may be.
pub const MAX_STATUSES: usize = 20;
/// Event requests in flight at most; fewer while fewer writes may be.
pub const MAX_EVENTS: usize = 10;
/// The same while many wait, as after a burst, and no write is under way: with few in flight this process wakes for each
/// answer or two, and needs as much time to tell of a burst as it needed for the burst.
pub const MAX_EVENTS_ALONE: usize = 64;
/// Intents accepted at most whose outcome has not been taken in yet.
pub const CREDITS: usize = 2048;
/// Events that wait at most; more are dropped and counted.
pub const EVENT_QUEUE: usize = 16_384;
/// How long a request may take.
pub const REQUEST_DEADLINE: Duration = Duration::from_secs(8);
/// How long after the last deadline in flight its outcome is still waited for at the end.
const DRAIN_SLACK: Duration = Duration::from_secs(1);

/// Limits, and how events are written.
#[derive(Debug, Clone)]
pub struct DispatcherConfig {
    /// See [`MAX_WRITES`].
    pub writes: usize,
    /// See [`MAX_STATUSES`].
    pub statuses: usize,
    /// See [`MAX_EVENTS`].
    pub events: usize,
    /// See [`MAX_EVENTS_ALONE`].
    pub events_alone: usize,
    /// See [`CREDITS`].
    pub credits: usize,
    /// See [`EVENT_QUEUE`].
    pub event_queue: usize,
    /// See [`REQUEST_DEADLINE`].
    pub deadline: Duration,
    /// Told how many requests are in flight.
    pub moderator: Moderator,
    /// Told, in seconds, how long what was submitted with [`DispatchHandle::submit_since`] took until its request was handed
    /// to the HTTP client: in which it may still wait for a stream of its own when the connections are full.
    pub since_seen: Option<Histogram>,
    /// Which API events go to.
    pub flavour: Flavour,
    /// Who reports them, unless a record says otherwise.
    pub reporter: Reporter,
}

impl DispatcherConfig {
    /// The default limits; events come from `component` on this host.
    #[must_use]
    pub fn new(flavour: Flavour, component: &str) -> Self {
        Self {
            writes: MAX_WRITES,
            statuses: MAX_STATUSES,
            events: MAX_EVENTS,
            events_alone: MAX_EVENTS_ALONE,
            credits: CREDITS,
            event_queue: EVENT_QUEUE,
            deadline: REQUEST_DEADLINE,
            moderator: Moderator::default(),
            since_seen: None,
            flavour,
            reporter: Reporter { component: component.into(), host: hostname().into() },
        }
    }
}

/// The running dispatcher. Dropping it ends it at once; [`Dispatcher::drain`] ends it in an orderly way.
#[derive(Debug)]
pub struct Dispatcher {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
    deadline: Duration,
}

impl Drop for Dispatcher {
    fn drop(&mut self) {
        self.shared.close();
        self.task.abort();
    }
}

impl Dispatcher {
    /// Starts to execute intents with `client`, which should be the fenced one. Outcomes are sent as `wrap(outcome)`.
    #[must_use]
    pub fn start<M: Send + 'static>(
        client: kube::Client,
        gate: LeaderGate,
        config: DispatcherConfig,
        metrics: DispatcherMetrics,
        tx: mpsc::Sender<M>,
        wrap: fn(Outcome) -> M,
    ) -> Self {
        let shared = Arc::new(Shared::new(&config, &metrics));
        let correlator = Correlator::new(config.flavour, config.reporter.clone());
        let deadline = config.deadline;
        let run = Run::new(shared.clone(), client, gate, config, metrics, correlator, tx, wrap);
        Self { shared, task: tokio::spawn(run.run()), deadline }
    }

    /// A handle to submit intents with, from any thread.
    #[must_use]
    pub fn handle(&self) -> DispatchHandle {
        DispatchHandle(self.shared.clone())
    }

    /// Accepts nothing more, gives up what was not sent yet, and returns when what was sent is answered (or its deadline
    /// has passed). Outcomes for which the receiver has no room are dropped by then. The task has ended afterwards.
    pub async fn drain(mut self) {
        self.shared.close();
        // Every request in flight has a deadline of its own, so this is only a safety net.
        if timeout(self.deadline + DRAIN_SLACK, &mut self.task).await.is_err() {
            self.task.abort();
            let _ = (&mut self.task).await;
        }
    }
}

#[cfg(test)]
mod tests;
