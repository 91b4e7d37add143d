//! The two measurements: a burst of pending pods, and an idle process.

use std::collections::HashMap;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::control_plane::ControlPlane;
use crate::process::Process;

use super::churn::Churning;
use super::contestant::Program;
use super::drain::{drained, settled};
use super::observe::{Observer, Seen};
use super::requests::{Attempts, Requests};
use super::scenario::{Scenario, Watched};
use super::setup::{Prepared, prepare};
use super::verify::{Verified, verify};
use super::workload::Workload;
use super::{BenchError, progress};

/// No binding for so long ends a run with an error.
const STALL: Duration = Duration::from_secs(60);
/// The same where pods are preempted: stock makes room for all of 5,000 pods before it binds the first.
const STALL_OF_PREEMPTION: Duration = Duration::from_secs(600);

/// Longest run that is counted by seconds.
const MAX_SECONDS: usize = 100_000;

/// What a burst showed.
#[derive(Debug, Clone, Serialize)]
pub struct Burst {
    /// Pods divided by the time from the first to the last binding that was watched.
    pub pods_per_second: f64,
    /// Pods divided by the time from the first binding until the last event was written; where none came after the last
    /// binding, the same as without.
    pub pods_per_second_with_events: f64,
    /// Bindings in each second of the API server's clock, from the pods' condition `PodScheduled`.
    pub per_second: Vec<u32>,
    /// From the start of the process to the first binding, seconds.
    pub first_bind_seconds: f64,
    /// From the start of the process to the last binding, seconds.
    pub last_bind_seconds: f64,
    /// User and system time of the contestant per pod, microseconds: start, events and all.
    pub cpu_micros_per_pod: f64,
    /// The same of API server and etcd together.
    pub server_cpu_micros_per_pod: f64,
    /// Resident memory after the events were written, bytes.
    pub rss_bytes: u64,
    /// Highest resident memory, bytes.
    pub peak_rss_bytes: u64,
    /// From the last binding until the events were written and nothing more was done, seconds.
    pub drained_after_seconds: f64,
    /// From the start of the process until its last event was written, seconds.
    pub last_event_seconds: f64,
    /// Events that were created.
    pub events: u64,
    /// Attempts to schedule a pod, as the scheduler counts them; the bare loop counts none.
    pub attempts: Option<Attempts>,
    /// Bindings that the API server refused.
    pub bindings_refused: u64,
    /// How often the API server closed the bench's own watch, which then began again: it does so when a watcher's
    /// buffer overflows, as on a busy machine. A high number makes the times of bindings coarse.
    pub watch_restarts: u32,
    /// How late the watch showed a binding at most, seconds (fractions within the second of the binding not counted):
    /// a saturated API server sends events late. The times of bindings are corrected by it.
    pub watch_lag_seconds: f64,
    /// Size of a pod, bytes of JSON.
    pub pod_bytes: usize,
    /// Whether every pod was bound by exactly one POST and no node holds more than it can.
    pub bound_exactly_once: bool,
    /// What is wrong, in words.
    pub problems: Vec<String>,
}

/// What an idle process showed.
#[derive(Debug, Clone, Serialize)]
pub struct Idle {
    /// Resident memory, bytes.
    pub rss_bytes: u64,
    /// Highest resident memory since the start, bytes.
    pub peak_rss_bytes: u64,
    /// CPU time per minute, milliseconds.
    pub cpu_millis_per_minute: f64,
    /// Requests to the API server per minute, watches not counted.
    pub requests_per_minute: f64,
}

/// Measures one contestant on one workload.
pub(crate) async fn burst(label: &str, program: &Program, scenario: &Scenario) -> Result<Burst, BenchError> {
    let workload = scenario.size;
    progress(&format!("{label}: starting a control plane with {} nodes and {} pods", workload.nodes, workload.pods));
    let Prepared { cluster, wire, since, pod_bytes } = prepare(program, scenario, false).await?;
    settled(|| server_cpu(&cluster)).await;
    let before = Requests::read(&wire).await?;
    let server_before = server_cpu(&cluster);
    let mut observer = Observer::start(&wire, &since, scenario.watched).await?;

    let start = SystemTime::now();
    let process = program.start(&cluster, workload)?;
    let churn = scenario.churn.map(|churn| Churning::start(&wire, churn));
    let watched = scenario.watched.count(workload.pods);
    let stall = if scenario.preempts { STALL_OF_PREEMPTION } else { STALL };
    all_bound(label, &cluster, &process, &mut observer, watched, stall).await?;
    let churned = churn.is_none_or(|churn| churn.is_running());
    let looked_from = SystemTime::now();
    let drain = drained(&process, &wire).await?;
    let cpu = process.cpu()?;
    let memory = process.memory()?;
    let attempts = attempts(program, &cluster, &process).await?;
    let server = server_cpu(&cluster).saturating_sub(server_before);
    // The contestant is ended before the API server is asked for big answers.
    process.kill9();
    let after = Requests::read(&wire).await?;
    let seen = observer.seen();
    drop(observer);

    let pods = f64::from(workload.pods);
    let Verified { mut problems, scheduled, others_bound } = verify(&wire, scenario, &seen).await?;
    let bindings = after.bindings.saturating_sub(before.bindings).saturating_sub(others_bound);
    if !churned {
        problems.push("the churn ended before the last pod was bound".to_owned());
    }
    if bindings != u64::from(workload.pods) {
        problems.push(format!("{bindings} bindings were made for {} pods", workload.pods));
    }
    if !drain.quiet {
        problems.push("it never got quiet: its CPU time is too high".to_owned());
    }
    let times = Times::of(&seen, &scheduled);
    let after_start = |time: Option<SystemTime>| {
        time.and_then(|time| time.duration_since(start).ok()).unwrap_or_default().as_secs_f64()
    };
    let (first, last) = (after_start(times.first), after_start(times.last));
    let last_event = last_event_of(last, after_start(Some(looked_from)), drain.last_event);
    // Who makes room for everybody before it binds anybody would look fast otherwise.
    let begin = if scenario.preempts { 0.0 } else { first };
    let rate = |end: f64| pods / (end - begin).max(f64::EPSILON);
    let burst = Burst {
        pods_per_second: rate(last),
        pods_per_second_with_events: rate(last_event),
        per_second: per_second(scheduled.values().copied()),
        first_bind_seconds: first,
        last_bind_seconds: last,
        cpu_micros_per_pod: micros(cpu) / pods,
        server_cpu_micros_per_pod: micros(server) / pods,
        rss_bytes: memory.rss,
        peak_rss_bytes: memory.peak_rss,
        drained_after_seconds: drain.active.as_secs_f64(),
        last_event_seconds: last_event,
        events: after.events.saturating_sub(before.events),
        attempts,
        bindings_refused: after.bindings_refused.saturating_sub(before.bindings_refused),
        watch_restarts: seen.restarts,
        watch_lag_seconds: times.lag.as_secs_f64(),
        pod_bytes,
        bound_exactly_once: problems.is_empty(),
        problems,
    };
    progress(&format!(
        "{label}: {:.0} pods/s, {:.0} with events, {:.0} µs CPU per pod, {:.1} MiB at most",
        burst.pods_per_second,
        burst.pods_per_second_with_events,
        burst.cpu_micros_per_pod,
        mebibytes(burst.peak_rss_bytes)
    ));
    for problem in &burst.problems {
        progress(&format!("{label}: {problem}"));
    }
    Ok(burst)
}

/// How long is waited around an idle measurement.
#[derive(Debug, Clone, Copy)]
pub(crate) struct IdleTimes {
    /// From the last activity to the measurement.
    rest: Duration,
    /// For how long CPU time and requests are counted.
    window: Duration,
}

impl IdleTimes {
    /// What the figures mean.
    pub(crate) const FULL: Self = Self { rest: Duration::from_secs(10), window: Duration::from_secs(60) };
    /// For a smoke test.
    pub(crate) const QUICK: Self = Self { rest: Duration::from_millis(500), window: Duration::from_secs(1) };
}

/// Measures one contestant on a small cluster where nothing happens.
pub(crate) async fn idle(label: &str, program: &Program, times: IdleTimes) -> Result<Idle, BenchError> {
    let workload = Workload::IDLE;
    progress(&format!("{label}: starting a control plane with {} nodes and {} pods", workload.nodes, workload.pods));
    let Prepared { cluster, wire, since, .. } = prepare(program, &Scenario::burst(workload), true).await?;
    let mut observer = Observer::start(&wire, &since, Watched::All).await?;
    let process = program.start(&cluster, workload)?;
    all_bound(label, &cluster, &process, &mut observer, workload.pods, STALL).await?;
    drained(&process, &wire).await?;
    tokio::time::sleep(times.rest).await;

    let memory = process.memory()?;
    let user = program.contestant.identity().user();
    let requests = || -> Result<usize, BenchError> {
        let events = cluster.audit_events()?;
        Ok(events.iter().filter(|event| event.user.username == user && event.verb != "watch").count())
    };
    let (cpu_before, requests_before, begin) = (process.cpu()?, requests()?, Instant::now());
    tokio::time::sleep(times.window).await;
    let minutes = begin.elapsed().as_secs_f64() / 60.0;
    process.expect_running("being idle")?;
    let cpu = process.cpu()?.saturating_sub(cpu_before);
    let made = u32::try_from(requests()?.saturating_sub(requests_before)).unwrap_or(u32::MAX);
    let idle = Idle {
        rss_bytes: memory.rss,
        peak_rss_bytes: memory.peak_rss,
        cpu_millis_per_minute: micros(cpu) / 1000.0 / minutes,
        requests_per_minute: f64::from(made) / minutes,
    };
    progress(&format!("{label}: {:.1} MiB, {:.0} requests/min", mebibytes(idle.rss_bytes), idle.requests_per_minute));
    Ok(idle)
}

/// Waits until every watched pod is bound. A run that stalls keeps its logs.
async fn all_bound(
    label: &str,
    cluster: &ControlPlane,
    process: &Process,
    observer: &mut Observer,
    watched: u32,
    stall: Duration,
) -> Result<(), BenchError> {
    let pods = usize::try_from(watched).unwrap_or(usize::MAX);
    let mut last_change = Instant::now();
    let mut told = Instant::now();
    while observer.count() < pods {
        // The process may also die without a binding ever coming.
        match tokio::time::timeout(Duration::from_millis(500), observer.changed()).await {
            Ok(changed) => {
                changed?;
                last_change = Instant::now();
            }
            Err(_) => {
                if let Err(error) = process.expect_running("binding pods") {
                    cluster.keep_directory();
                    return Err(error.into());
                }
            }
        }
        if told.elapsed() >= Duration::from_secs(5) {
            told = Instant::now();
            progress(&format!("{label}: {} of {pods} watched pods bound", observer.count()));
        }
        if last_change.elapsed() >= stall {
            cluster.keep_directory();
            return Err(BenchError::Stalled {
                contestant: label.to_owned(),
                bound: observer.count(),
                pods,
                seconds: stall.as_secs(),
                log: process.log_path().to_path_buf(),
                tail: process.log_tail(),
            });
        }
    }
    Ok(())
}

/// What the scheduler says of its attempts.
async fn attempts(
    program: &Program,
    cluster: &ControlPlane,
    process: &Process,
) -> Result<Option<Attempts>, BenchError> {
    if !program.contestant.idles() {
        return Ok(None);
    }
    let text = match program.contestant {
        super::Contestant::Headroom => cluster.metrics_by_token(process).await?,
        _ => cluster.get_from(process, "/metrics").await?,
    };
    Ok(Some(Attempts::parse(&text)))
}

/// CPU time of API server and etcd so far.
fn server_cpu(cluster: &ControlPlane) -> Duration {
    let server = cluster.with_api_server(|server| server.cpu().unwrap_or_default()).unwrap_or_default();
    server.saturating_add(cluster.etcd().cpu().unwrap_or_default())
}

/// When the first and the last pod were bound.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Times {
    first: Option<SystemTime>,
    last: Option<SystemTime>,
    lag: Duration,
}

impl Times {
    /// The watch tells fractions of a second but may be late; the API server's timestamp is right but tells whole
    /// seconds. A binding that the watch showed after its second counts at the end of that second.
    fn of(seen: &Seen, scheduled: &HashMap<String, u64>) -> Self {
        let mut times = Self::default();
        for (pod, (_, shown)) in &seen.bound {
            let end = scheduled
                .get(pod)
                .and_then(|second| UNIX_EPOCH.checked_add(Duration::from_secs(second.saturating_add(1))));
            let bound = end.map_or(*shown, |end| end.min(*shown));
            times.lag = times.lag.max(shown.duration_since(bound).unwrap_or_default());
            times.first = Some(times.first.map_or(bound, |first| first.min(bound)));
            times.last = Some(times.last.map_or(bound, |last| last.max(bound)));
        }
        times
    }
}

/// When the last event was written, seconds after the start: `last_event` after the looks began, but not before the last
/// binding, and with it where no event came afterwards.
fn last_event_of(last_binding: f64, looked_from: f64, last_event: Duration) -> f64 {
    if last_event.is_zero() { last_binding } else { last_binding.max(looked_from + last_event.as_secs_f64()) }
}

/// How many of the times (Unix seconds) lie in each second from the first to the last.
fn per_second(times: impl Iterator<Item = u64> + Clone) -> Vec<u32> {
    let Some(first) = times.clone().min() else { return Vec::new() };
    let mut counts: Vec<u32> = Vec::new();
    for time in times {
        // One clock made them all within one run, so the span is short.
        let second = usize::try_from(time.saturating_sub(first)).unwrap_or(0).min(MAX_SECONDS);
        if counts.len() <= second {
            counts.resize(second + 1, 0);
        }
        counts[second] += 1;
    }
    counts
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

/// Bytes as MiB, for people.
pub(crate) fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / (1024.0 * 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_event_is_not_before_the_last_binding() {
        let of = |last_event| last_event_of(5.0, 5.25, last_event);
        assert_eq!(of(Duration::ZERO), 5.0);
        assert_eq!(of(Duration::from_millis(1500)), 6.75);
        assert_eq!(last_event_of(9.0, 5.25, Duration::from_millis(1500)), 9.0);
    }

    #[test]
    fn bindings_are_counted_by_second() {
        assert_eq!(per_second([101, 100, 103, 100].into_iter()), [2, 1, 0, 1]);
        assert!(per_second(std::iter::empty()).is_empty());
    }

    #[test]
    fn a_late_watch_is_corrected_by_the_api_servers_clock() {
        let at = |millis| UNIX_EPOCH + Duration::from_millis(millis);
        let pod = |name: &str, millis| (name.to_owned(), ("n".to_owned(), at(millis)));
        let bound = HashMap::from([pod("a", 100_200), pod("b", 109_500), pod("c", 103_900)]);
        let seen = Seen { bound, ..Seen::default() };
        let scheduled = [("a", 100), ("b", 104), ("c", 103)].map(|(name, second)| (name.to_owned(), second)).into();
        let want = Times { first: Some(at(100_200)), last: Some(at(105_000)), lag: Duration::from_millis(4500) };
        assert_eq!(Times::of(&seen, &scheduled), want);
        assert_eq!(Times::of(&Seen::default(), &scheduled), Times::default());
    }
}
