//! The task that keeps the lease.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use headroom_core::{Mono, Timestamp};
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::MicroTime,
    jiff,
};
use kube::{Api, Client, api::PostParams};
use tokio::{
    sync::{Notify, watch},
    time::{sleep, timeout},
};

use super::{
    LeaderConfig,
    election::{Durations, Election, JITTER, Record, Step},
};
use crate::{client::Fence, clock, metrics::LeaderMetrics, serving::Check};

/// How long after the lease ran out the process counts as stuck (upstream's watchdog: 20 s).
const WATCHDOG: Duration = Duration::from_secs(20);
/// How long a renewal that is under way is waited for before the lease is released: whichever of the two came second would
/// be refused, since the version that it was made from is gone.
const LAST_ATTEMPT: Duration = Duration::from_secs(1);

/// Where this process stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// Somebody else leads, or nobody.
    Waiting,
    /// We lead.
    Leading,
    /// We led, and do not any more.
    Lost,
    /// We led, and gave it back.
    Released,
}

/// The running election. Dropping it stops renewing, without releasing.
#[derive(Debug)]
pub struct Leadership {
    standing: watch::Receiver<Standing>,
    seen: Arc<AtomicBool>,
    stop: Arc<Notify>,
    fence: Fence,
    task: Option<tokio::task::JoinHandle<()>>,
    durations: Durations,
}

impl Drop for Leadership {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

/// Starts to stand for election; without election the fence is opened for good.
#[must_use]
pub fn start(config: &LeaderConfig, client: Client, fence: &Fence, metrics: LeaderMetrics) -> Leadership {
    let (tell, standing) = watch::channel(Standing::Waiting);
    let stop = Arc::new(Notify::new());
    let seen = Arc::new(AtomicBool::new(!config.enabled));
    metrics.set(&config.name, !config.enabled);
    let task = if config.enabled {
        let run = Run {
            api: Api::namespaced(client, &config.namespace),
            election: Election::new(config.identity.clone(), config.durations),
            last: None,
            config: config.clone(),
            fence: fence.clone(),
            tell,
            seen: seen.clone(),
            metrics,
        };
        Some(tokio::spawn(run.run(stop.clone())))
    } else {
        fence.open_forever();
        tell.send_replace(Standing::Leading);
        None
    };
    Leadership { standing, seen, stop, fence: fence.clone(), task, durations: config.durations }
}

impl Leadership {
    /// Returns when this process leads.
    pub async fn acquired(&self) {
        self.reached(|s| *s != Standing::Waiting).await;
    }

    /// Returns when the lease is lost: the process must end at once, with exit status 1.
    pub async fn lost(&self) {
        self.reached(|s| *s == Standing::Lost).await;
    }

    async fn reached(&self, what: impl FnMut(&Standing) -> bool) {
        // Without election the sender is gone and the standing final: then this waits for ever.
        if self.standing.clone().wait_for(what).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Gives the lease back: the last step of an orderly end, after the writes in flight are done. Nothing is written any
    /// more from the call on, and the task has ended when it returns: after half of the renew deadline at most.
    pub async fn release(mut self) {
        self.fence.close_writes();
        let Some(mut task) = self.task.take() else { return };
        self.stop.notify_one();
        // Releasing is a courtesy: a server that does not answer must not hold up the end.
        if timeout(self.durations.renew_deadline / 2, &mut task).await.is_err() {
            self.fence.close();
            task.abort();
            let _ = task.await;
        }
    }

    /// The check `lease`: passes once the lease was seen, whoever holds it. Who cannot see it could not take over.
    #[must_use]
    pub fn seen(&self) -> Check {
        let seen = self.seen.clone();
        Arc::new(move || match seen.load(Ordering::Relaxed) {
            true => Ok(()),
            false => Err("the lease was not seen yet".to_owned()),
        })
    }

    /// The check `leaderElection`: fails when we think that we lead but the lease ran out long ago.
    #[must_use]
    pub fn watchdog(&self) -> Check {
        let (standing, fence) = (self.standing.clone(), self.fence.clone());
        let expired: std::sync::Mutex<Option<Mono>> = std::sync::Mutex::new(None);
        Arc::new(move || {
            let mut since = expired.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if *standing.borrow() != Standing::Leading || fence.may_write() {
                *since = None;
                return Ok(());
            }
            let now = clock::mono();
            let expired_for = now.since(*since.get_or_insert(now));
            if expired_for > WATCHDOG { Err("the lease has expired and was not given up".to_owned()) } else { Ok(()) }
        })
    }
}

struct Run {
    api: Api<Lease>,
    election: Election,
    /// The Lease as last read or written.
    last: Option<Lease>,
    config: LeaderConfig,
    fence: Fence,
    tell: watch::Sender<Standing>,
    seen: Arc<AtomicBool>,
    metrics: LeaderMetrics,
}

impl Run {
    async fn run(mut self, stop: Arc<Notify>) {
        let retry = self.config.durations.retry_period;
        let mut last_holder = String::new();
        let mut last_error = String::new();
        loop {
            let now = clock::now();
            if self.election.is_lost(now.mono) {
                return self.lose();
            }
            let leading = self.election.is_leading(now.mono);
            let outcome = {
                let mut attempt = pin!(self.attempt_in_time());
                tokio::select! {
                    outcome = attempt.as_mut() => Some(outcome),
                    () = stop.notified() => {
                        let _ = timeout(LAST_ATTEMPT, attempt.as_mut()).await;
                        None
                    }
                }
            };
            let Some(outcome) = outcome else { return self.give_back().await };
            if outcome.is_ok() {
                self.seen.store(true, Ordering::Relaxed);
            }
            match outcome {
                Ok(Some(until)) => {
                    last_error.clear();
                    self.fence.open_until(until);
                    if !leading {
                        tracing::info!(lease = %self.config.name, identity = %self.config.identity, "became leader");
                        self.metrics.set(&self.config.name, true);
                        self.tell.send_replace(Standing::Leading);
                    }
                }
                Ok(None) => {
                    last_error.clear();
                    if self.election.holder() != last_holder {
                        self.election.holder().clone_into(&mut last_holder);
                        tracing::info!(lease = %self.config.name, holder = %last_holder, "another process leads; waiting");
                    }
                }
                Err(error) if error != last_error => {
                    tracing::warn!(lease = %self.config.name, %error, "cannot get or renew the lease; trying again");
                    last_error = error;
                }
                Err(_) => {}
            }
            let wait = if self.election.is_leading(clock::mono()) { retry } else { jittered(retry) };
            tokio::select! {
                () = sleep(wait) => {}
                () = stop.notified() => return self.give_back().await,
            }
        }
    }

    fn lose(&self) {
        self.fence.close();
        self.metrics.set(&self.config.name, false);
        tracing::error!(lease = %self.config.name, "Leaderelection lost");
        self.tell.send_replace(Standing::Lost);
    }

    async fn give_back(mut self) {
        // A renewal that was answered when the stop was asked for has opened them once more.
        self.fence.close_writes();
        if let Some(step) = self.election.release(clock::now()) {
            match timeout(self.config.durations.renew_deadline / 2, self.write(step)).await {
                Ok(Ok(_)) => tracing::info!(lease = %self.config.name, "released the lease"),
                Ok(Err(error)) => tracing::warn!(lease = %self.config.name, %error, "could not release the lease"),
                Err(_) => tracing::warn!(lease = %self.config.name, "could not release the lease in time"),
            }
        }
        self.fence.close();
        self.metrics.set(&self.config.name, false);
        self.tell.send_replace(Standing::Released);
    }

    /// One attempt may take half of the renew deadline, as client-go's HTTP client does, and never longer than what is
    /// left of it.
    async fn attempt_in_time(&mut self) -> Result<Option<Mono>, String> {
        let half = self.config.durations.renew_deadline / 2;
        let limit = self.fence.remaining().map_or(half, |left| half.min(left));
        match timeout(limit, self.attempt()).await {
            Ok(Ok(until)) => Ok(until),
            Ok(Err(kube::Error::Api(status))) if status.code == 403 => Err(format!(
                "{} (the role needs get, create and update on leases.coordination.k8s.io {:?} in {})",
                status.message, self.config.name, self.config.namespace
            )),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("no answer from the API server".to_owned()),
        }
    }

    /// Returns until when we lead, or nothing when somebody else does.
    async fn attempt(&mut self) -> Result<Option<Mono>, kube::Error> {
        if let Some(step) = self.election.renew(clock::now()) {
            match self.write(step).await {
                Ok(until) => return Ok(Some(until)),
                // Somebody touched it: read before the next write.
                Err(kube::Error::Api(status)) if status.code == 409 || status.code == 404 => {}
                Err(error) => return Err(error),
            }
        }
        let found = self.api.get_opt(&self.config.name).await?.map(|lease| {
            let version = lease.metadata.resource_version.clone().unwrap_or_default();
            let record = record_of(&lease);
            self.last = Some(lease);
            (record, version)
        });
        let step = self.election.look(found, clock::now());
        if step == Step::Wait {
            return Ok(None);
        }
        match self.write(step).await {
            Ok(until) => Ok(Some(until)),
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn write(&mut self, step: Step) -> Result<Mono, kube::Error> {
        let sent = clock::mono();
        let params = PostParams::default();
        let (record, written) = match step {
            Step::Create(record) => {
                let lease = self.lease(&record, None);
                (record, self.api.create(&params, &lease).await?)
            }
            Step::Replace(record, version) => {
                let lease = self.lease(&record, Some(version));
                (record, self.api.replace(&self.config.name, &params, &lease).await?)
            }
            Step::Wait => return Ok(sent),
        };
        let version = written.metadata.resource_version.clone().unwrap_or_default();
        self.last = Some(written);
        Ok(self.election.written(record, version, sent))
    }

    /// The Lease to write: what was read, labels and fields of others included, with the record put in.
    fn lease(&self, record: &Record, version: Option<String>) -> Lease {
        let mut lease = match &self.last {
            Some(last) if version.is_some() => last.clone(),
            _ => Lease::default(),
        };
        lease.metadata.name = Some(self.config.name.clone());
        lease.metadata.namespace = Some(self.config.namespace.clone());
        lease.metadata.resource_version = version;
        lease.metadata.managed_fields = None;
        let spec = lease.spec.get_or_insert_with(LeaseSpec::default);
        spec.holder_identity = Some(record.holder.clone());
        spec.lease_duration_seconds = Some(record.duration_seconds);
        spec.acquire_time = record.acquired.and_then(micro_time);
        spec.renew_time = record.renewed.and_then(micro_time);
        spec.lease_transitions = Some(record.transitions);
        lease
    }
}

/// Between one and 2.2 retry periods, so that candidates do not move in step.
fn jittered(period: Duration) -> Duration {
    let share = (super::random() >> 11) as f64 / (1u64 << 53) as f64;
    period.mul_f64(JITTER.mul_add(share, 1.0))
}

fn micro_time(t: Timestamp) -> Option<MicroTime> {
    jiff::Timestamp::from_microsecond(t.0).ok().map(MicroTime)
}

fn record_of(lease: &Lease) -> Record {
    let Some(spec) = &lease.spec else { return Record::default() };
    let time = |t: &MicroTime| Timestamp(t.0.as_microsecond());
    Record {
        holder: spec.holder_identity.clone().unwrap_or_default(),
        duration_seconds: spec.lease_duration_seconds.unwrap_or_default(),
        acquired: spec.acquire_time.as_ref().map(time),
        renewed: spec.renew_time.as_ref().map(time),
        transitions: spec.lease_transitions.unwrap_or_default(),
    }
}
