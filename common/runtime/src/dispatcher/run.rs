//! The task: what is started when, and what becomes of answers.

use std::{collections::VecDeque, future::Future, pin::Pin, sync::Arc, time::Duration};

use futures::{FutureExt, StreamExt, stream::FuturesUnordered};
use headroom_core::{
    Mono,
    intent::{EventRecord, Intent, IntentId, Op, Outcome, WriteError, Written},
};
use prometheus::IntGauge;
use tokio::sync::mpsc;

use super::{
    DispatcherConfig,
    execute::{Sent, execute},
    handle::{Shared, Submitted},
    limit::{EventLoad, Limiter},
    request::{self, Prepared},
    status::{StatusJob, StatusLane},
};
use crate::{
    clock,
    events::{Correlator, EventWrite},
    lease::LeaderGate,
    metrics::DispatcherMetrics,
};

/// Status patches that are in flight even while writes wait: conditions must not starve behind a long burst.
const STATUS_SHARE: usize = 4;
/// An event that waited for so long goes out even while writes wait, one at a time.
const EVENT_PATIENCE: Duration = Duration::from_secs(30);
/// How often series of events are looked after.
const EVENT_TICK: Duration = Duration::from_secs(60);
/// Attempts of an event in all.
const EVENT_ATTEMPTS: u32 = 3;
/// Delay between attempts of an event.
const EVENT_RETRY: Duration = Duration::from_secs(5);
/// Events that wait for another attempt at most.
const MOST_EVENT_RETRIES: usize = 256;

/// A request in flight.
type Flight = Pin<Box<dyn Future<Output = Landed> + Send>>;

struct Landed {
    job: Job,
    result: Result<Written, WriteError>,
}

enum Job {
    /// `since` is absent for lists, which take as long as they have pages.
    Write {
        id: IntentId,
        label: &'static str,
        since: Option<Mono>,
    },
    Status(StatusJob),
    Event(EventJob),
}

struct EventJob {
    write: EventWrite,
    /// To create the event anew when it is gone.
    record: Option<EventRecord>,
    attempts: u32,
}

/// Per lane: writes, statuses, events.
const LANES: [&str; 3] = ["write", "status", "event"];
const WRITE: usize = 0;
const STATUS: usize = 1;
const EVENT: usize = 2;

pub(super) struct Run<M> {
    shared: Arc<Shared>,
    client: kube::Client,
    gate: LeaderGate,
    config: DispatcherConfig,
    metrics: DispatcherMetrics,
    queued: [IntGauge; 3],
    in_flight_gauges: [IntGauge; 3],
    correlator: Correlator,
    tx: mpsc::Sender<M>,
    wrap: fn(Outcome) -> M,

    inbox: VecDeque<Submitted>,
    writes: VecDeque<Submitted>,
    statuses: StatusLane,
    events: VecDeque<(EventRecord, Mono)>,
    event_retries: VecDeque<(Mono, EventJob)>,
    next_tick: Mono,
    limiter: Limiter,
    flights: FuturesUnordered<Flight>,
    in_flight: [usize; 3],
    outcomes: VecDeque<Outcome>,
    closing: bool,
}

impl<M: Send + 'static> Run<M> {
    #[expect(clippy::too_many_arguments, reason = "the parts of Dispatcher::start, handed on once")]
    pub(super) fn new(
        shared: Arc<Shared>,
        client: kube::Client,
        gate: LeaderGate,
        config: DispatcherConfig,
        metrics: DispatcherMetrics,
        correlator: Correlator,
        tx: mpsc::Sender<M>,
        wrap: fn(Outcome) -> M,
    ) -> Self {
        Self {
            queued: LANES.map(|lane| metrics.queued.with_label_values(&[lane])),
            in_flight_gauges: LANES.map(|lane| metrics.in_flight.with_label_values(&[lane])),
            limiter: Limiter::new(config.writes),
            next_tick: clock::mono() + EVENT_TICK,
            shared,
            client,
            gate,
            config,
            metrics,
            correlator,
            tx,
            wrap,
            inbox: VecDeque::new(),
            writes: VecDeque::new(),
            statuses: StatusLane::default(),
            events: VecDeque::new(),
            event_retries: VecDeque::new(),
            flights: FuturesUnordered::new(),
            in_flight: [0; 3],
            outcomes: VecDeque::new(),
            closing: false,
        }
    }

    pub(super) async fn run(mut self) {
        let tx = self.tx.clone();
        loop {
            self.take_inbox();
            let now = clock::mono();
            if !self.closing {
                self.start(now);
            }
            self.deliver();
            self.show();
            if self.closing && self.in_flight[WRITE] + self.in_flight[STATUS] == 0 {
                return;
            }
            let wake_at = self.next_timer(now);
            tokio::select! {
                biased;
                Some(landed) = self.flights.next(), if !self.flights.is_empty() => {
                    self.land(landed);
                    // What else has landed meanwhile goes through in one round.
                    while let Some(Some(landed)) = self.flights.next().now_or_never() {
                        self.land(landed);
                    }
                }
                permit = tx.reserve(), if !self.outcomes.is_empty() => {
                    let Ok(permit) = permit else {
                        // The core is gone: what it has asked for and was sent is finished all the same.
                        self.shared.close();
                        continue;
                    };
                    if let Some(outcome) = self.outcomes.pop_front() {
                        permit.send((self.wrap)(outcome));
                        self.shared.give_back();
                    }
                }
                () = self.shared.wake.notified() => {}
                () = tokio::time::sleep(clock::until(wake_at)) => {}
            }
        }
    }

    fn take_inbox(&mut self) {
        self.closing |= self.shared.take(&mut self.inbox, &mut self.events);
        while let Some((intent, seen)) = self.inbox.pop_front() {
            match intent.op {
                Op::PodStatus { pod, uid, patch } => {
                    if self.statuses.push(intent.id, pod, uid, patch) {
                        self.metrics.coalesced.inc();
                    }
                }
                op => self.writes.push_back((Intent { id: intent.id, op }, seen)),
            }
        }
        if self.closing {
            // Nothing of this was sent, and nobody is going to send it.
            for (intent, _) in std::mem::take(&mut self.writes) {
                self.answer(intent.id, request::label(&intent.op), Err(WriteError::NotLeader));
            }
            for job in self.statuses.clear() {
                self.answer_status(&job, &Err(WriteError::NotLeader));
            }
            self.events.clear();
            self.event_retries.clear();
        }
    }

    /// Starts what may be started, in the order of the lanes.
    fn start(&mut self, now: Mono) {
        if self.limiter.paused_until(now).is_some() {
            return;
        }
        while self.in_flight[WRITE] < self.limiter.limit() {
            let Some((intent, seen)) = self.writes.pop_front() else { break };
            let label = request::label(&intent.op);
            let prepared = request::prepare(&intent.op);
            let since = (!matches!(intent.op, Op::List { .. })).then_some(now);
            self.launch(WRITE, Job::Write { id: intent.id, label, since }, prepared, seen);
        }
        // What goes behind the writes is not to take the place that they have given up for the server's sake.
        let statuses = self.config.statuses.min(self.limiter.limit());
        let most = if self.writes.is_empty() { statuses } else { STATUS_SHARE.min(statuses) };
        while self.in_flight[STATUS] < most {
            let Some(job) = self.statuses.next(now) else { break };
            let prepared = request::pod_status(&job.pod, &job.uid, &job.patch);
            self.launch(STATUS, Job::Status(job), prepared, None);
        }
        self.start_events(now);
    }

    /// Events wait until writes and statuses have drained, but not for ever.
    fn start_events(&mut self, now: Mono) {
        if now >= self.next_tick {
            self.next_tick = now + EVENT_TICK;
            let room = self.config.event_queue.saturating_sub(self.event_retries.len());
            for write in self.correlator.tick(clock::now()).into_iter().take(room) {
                self.event_retries.push_back((now, EventJob { write, record: None, attempts: 0 }));
            }
        }
        let load = EventLoad {
            ahead: self.writes.len() + self.statuses.len(),
            writes: self.in_flight[WRITE],
            waiting: self.events.len(),
            overdue: self.events.front().is_some_and(|(_, since)| now.since(*since) >= EVENT_PATIENCE),
        };
        let most = self.limiter.events(self.config.events, self.config.events_alone, load);
        while self.in_flight[EVENT] < most {
            let job = match self.event_retries.front() {
                Some((due, _)) if *due <= now => self.event_retries.pop_front().map(|(_, job)| job),
                _ => None,
            };
            let job = match job {
                Some(job) => job,
                None => {
                    let Some((record, _)) = self.events.pop_front() else { break };
                    let Some(write) = self.correlator.next(&record, clock::now()) else {
                        self.metrics.events.with_label_values(&["counted"]).inc();
                        continue;
                    };
                    let record = (!write.create).then_some(record);
                    EventJob { write, record, attempts: 0 }
                }
            };
            let prepared = request::event(&job.write, self.correlator.flavour());
            self.launch(EVENT, Job::Event(job), prepared, None);
        }
    }

    fn launch(&mut self, lane: usize, job: Job, prepared: Result<Prepared, WriteError>, seen: Option<Mono>) {
        self.in_flight[lane] += 1;
        let prepared = match prepared {
            Ok(prepared) => prepared,
            Err(error) => return self.land(Landed { job, result: Err(error) }),
        };
        let (client, gate, deadline) = (self.client.clone(), self.gate.clone(), self.config.deadline);
        let sent = self.config.since_seen.as_ref().zip(seen).map(|(times, since)| Sent { times: times.clone(), since });
        self.flights.push(Box::pin(async move {
            let result = execute(&client, &gate, deadline, prepared, sent).await;
            Landed { job, result }
        }));
    }

    fn land(&mut self, Landed { job, result }: Landed) {
        let now = clock::mono();
        match (&result, &job) {
            (Ok(_), Job::Write { since: Some(since), .. }) => self.limiter.took(now.since(*since), now),
            (Ok(_), _) => self.limiter.succeeded(),
            (Err(WriteError::Throttled { retry_after_seconds, .. }), _) => {
                self.limiter.throttled(*retry_after_seconds, now);
            }
            // No answer in time, or 500 and 504 late, say the same as a late one; a connection that broke says nothing.
            (Err(WriteError::Unknown(_) | WriteError::Other { .. }), Job::Write { since: Some(since), .. }) => {
                self.limiter.missed(now.since(*since), now);
            }
            (Err(_), _) => {}
        }
        match job {
            Job::Write { id, label, .. } => {
                self.in_flight[WRITE] -= 1;
                self.answer(id, label, result);
            }
            Job::Status(job) => {
                self.in_flight[STATUS] -= 1;
                let retry = result.as_ref().is_err_and(WriteError::is_retryable) && !self.closing;
                if !retry {
                    self.statuses.done(&job.uid);
                    self.answer_status(&job, &result);
                } else if let Some(job) = self.statuses.failed(job, now) {
                    self.answer_status(&job, &result);
                }
            }
            Job::Event(job) => {
                self.in_flight[EVENT] -= 1;
                self.land_event(job, &result, now);
            }
        }
    }

    fn land_event(&mut self, mut job: EventJob, result: &Result<Written, WriteError>, now: Mono) {
        let label = match result {
            Ok(_) if job.write.create => "created",
            Ok(_) => "patched",
            Err(WriteError::NotFound(_)) if !job.write.create => {
                self.correlator.gone(&job.write);
                // The event expired: what it said is said anew.
                if let Some(record) = job.record.take() {
                    self.events.push_front((record, now));
                }
                return;
            }
            // An answer got lost, the event is there.
            Err(WriteError::AlreadyExists(_)) => "created",
            Err(error) if error.is_retryable() => {
                job.attempts += 1;
                if job.attempts < EVENT_ATTEMPTS && self.event_retries.len() < MOST_EVENT_RETRIES && !self.closing {
                    self.event_retries.push_back((now + EVENT_RETRY, job));
                    return;
                }
                "failed"
            }
            Err(error) => {
                tracing::debug!(%error, "an event was refused");
                "failed"
            }
        };
        self.metrics.events.with_label_values(&[label]).inc();
    }

    fn answer(&mut self, id: IntentId, label: &str, result: Result<Written, WriteError>) {
        let word = result.as_ref().map_or_else(WriteError::metric_label, |_| "ok");
        self.metrics.outcomes.with_label_values(&[label, word]).inc();
        self.outcomes.push_back(Outcome { id, result });
    }

    fn answer_status(&mut self, job: &StatusJob, result: &Result<Written, WriteError>) {
        for id in &job.ids {
            self.answer(*id, "pod_status", result.clone());
        }
    }

    /// Hands outcomes over as far as there is room; each gives its credit back.
    fn deliver(&mut self) {
        while !self.outcomes.is_empty() {
            let permit = match self.tx.try_reserve() {
                Ok(permit) => permit,
                Err(mpsc::error::TrySendError::Full(())) if !self.closing => return,
                // Nobody waits for them any more.
                Err(_) => {
                    for _ in self.outcomes.drain(..) {
                        self.shared.give_back();
                    }
                    return;
                }
            };
            if let Some(outcome) = self.outcomes.pop_front() {
                permit.send((self.wrap)(outcome));
                self.shared.give_back();
            }
        }
    }

    /// When something has to be done although nothing comes in.
    fn next_timer(&self, now: Mono) -> Mono {
        if let Some(end) = self.limiter.paused_until(now) {
            return end;
        }
        let mut next = self.next_tick;
        for due in [
            self.statuses.next_due(),
            self.event_retries.front().map(|(due, _)| *due),
            self.events.front().map(|(_, since)| *since + EVENT_PATIENCE),
        ]
        .into_iter()
        .flatten()
        {
            // What is due already waits for a landing, not for the clock.
            if due > now {
                next = next.min(due);
            }
        }
        next
    }

    fn show(&self) {
        let queued = [self.writes.len(), self.statuses.len(), self.events.len() + self.event_retries.len()];
        for lane in [WRITE, STATUS, EVENT] {
            self.queued[lane].set(i64::try_from(queued[lane]).unwrap_or(i64::MAX));
            self.in_flight_gauges[lane].set(i64::try_from(self.in_flight[lane]).unwrap_or(i64::MAX));
        }
        self.config.moderator.set(self.in_flight.iter().sum());
        self.metrics.limit.set(i64::try_from(self.limiter.limit()).unwrap_or(i64::MAX));
    }
}
