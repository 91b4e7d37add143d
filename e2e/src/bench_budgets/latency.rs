//! How long a pod waits under a steady load, by the API server's own clock (its audit log), and how much of that is spent
//! in our own scheduler, by its own metric.

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use k8s_openapi::jiff::Timestamp;
use tokio::task::JoinSet;

use super::cluster::{Cluster, PATIENCE, pending, pods};
use super::figure::{Figure, MS, percentile};
use super::histogram::Histogram;
use super::progress;
use crate::bench::setup::may_bind;
use crate::bench::{BenchError, Contestant};
use crate::bench_memory::MemoryBenchError;
use crate::control_plane::{ControlPlane, SchedulerOptions};
use crate::process::Process;
use crate::wait::eventually;

/// Pods per second.
pub(super) const RATE: u32 = 100;
/// For so long.
pub(super) const SECONDS: u32 = 30;
/// Nodes.
pub(super) const NODES: u32 = 1000;
/// From a pod's watch event, parsed, until its binding request is handed to the HTTP client.
const SEEN_TO_SENT: &str = "headroom_scheduler_pod_seen_to_binding_sent_seconds";
/// That in milliseconds.
const SENT_LIMIT: f64 = 2.0;

/// Seconds since the epoch, by pod.
#[derive(Debug, Default)]
pub(super) struct Times {
    /// When the creation was answered.
    pub(super) created: HashMap<String, f64>,
    /// When the binding arrived.
    pub(super) sent: HashMap<String, f64>,
    /// When the binding was answered.
    pub(super) bound: HashMap<String, f64>,
}

impl Times {
    /// Reads the audit log.
    pub(super) fn read(plane: &ControlPlane) -> Result<Self, MemoryBenchError> {
        let mut times = Self::default();
        let seconds = |text: &str| text.parse::<Timestamp>().map_or(f64::NAN, |at| at.as_microsecond() as f64 / 1e6);
        for event in plane.audit_events()? {
            let (verb, code) = (event.verb.as_str(), event.code());
            let Some(object) = event.object_ref.filter(|object| object.resource == "pods" && verb == "create") else {
                continue;
            };
            if code != 201 || object.name.is_empty() {
                continue;
            }
            let answered = seconds(&event.stage_timestamp);
            if object.subresource == "binding" {
                times.sent.insert(object.name.clone(), seconds(&event.request_received_timestamp));
                times.bound.insert(object.name, answered);
            } else if object.subresource.is_empty() {
                times.created.insert(object.name, answered);
            }
        }
        Ok(times)
    }
}

/// What one contestant needed, milliseconds.
struct Waits {
    bound: Vec<f64>,
    sent: Vec<f64>,
    /// By the process's own metric; empty for stock, which has none of the kind.
    seen_to_sent: Histogram,
}

/// Measures both, one after the other.
pub(super) async fn run() -> Result<Vec<Figure>, MemoryBenchError> {
    let mut stock = one(Contestant::Stock).await?;
    let mut ours = one(Contestant::Headroom).await?;
    let mut figures = Vec::new();
    for (name, part) in [("p50", 0.5), ("p99", 0.99)] {
        let (theirs, own) = (percentile(&mut stock.bound, part), percentile(&mut ours.bound, part));
        figures.push(Figure::told(format!("stock: created to bound, {name}"), theirs, MS));
        figures.push(Figure::told(format!("headroom: created to bound, {name}"), own, MS));
        figures.push(Figure::at_most(format!("headroom/stock, {name}"), own / theirs, 1.0, (2, "x")));
    }
    figures.push(Figure::told("stock: created to binding sent, p99", percentile(&mut stock.sent, 0.99), MS));
    figures.push(Figure::told("headroom: created to binding sent, p99", percentile(&mut ours.sent, 0.99), MS));
    let inside = ours.seen_to_sent.quantile(0.99) * 1000.0;
    figures.push(Figure::at_most("headroom: pod seen to binding sent, p99", inside, SENT_LIMIT, MS));
    Ok(figures)
}

async fn one(contestant: Contestant) -> Result<Waits, MemoryBenchError> {
    let cluster = Cluster::start("budget-latency", true).await?;
    cluster.nodes(NODES).await?;
    may_bind(&cluster.plane, contestant).await?;
    let process = match contestant {
        Contestant::Stock => cluster.plane.start_stock_scheduler(&SchedulerOptions::unlimited())?,
        _ => cluster.plane.start_headroom_scheduler(&["--mode=primary", "--leader-elect=false"])?,
    };
    // A first pod, so that both have started wholly.
    cluster.pending_pod("first").await?;
    cluster.all_bound().await?;
    progress(&format!("latency of {contestant}: {RATE} pods/s for {SECONDS} s"));
    let before = seen_to_sent(&cluster, contestant, &process).await?;
    let asked = steady(&cluster).await?;
    cluster.all_bound().await?;
    let seen_to_sent = seen_to_sent(&cluster, contestant, &process).await?.since(&before);
    process.expect_running("being measured")?;
    process.kill9();
    let times = Times::read(&cluster.plane)?;
    let since = |ends: &HashMap<String, f64>| -> Vec<f64> {
        // Where the audit log has no name for a creation, it counts from the request.
        let begin = |pod: &String| times.created.get(pod).or_else(|| asked.get(pod)).copied();
        let wait = |pod: &String| ends.get(pod).zip(begin(pod)).map_or(f64::INFINITY, |(end, begin)| end - begin);
        asked.keys().map(|pod| wait(pod) * 1000.0).collect()
    };
    Ok(Waits { bound: since(&times.bound), sent: since(&times.sent), seen_to_sent })
}

/// The metric as it stands.
async fn seen_to_sent(
    cluster: &Cluster,
    contestant: Contestant,
    process: &Process,
) -> Result<Histogram, MemoryBenchError> {
    if matches!(contestant, Contestant::Stock) {
        return Ok(Histogram::default());
    }
    // The right to read it has just been granted, and the API server takes a moment to know.
    let text = eventually(PATIENCE, "metrics of the scheduler", || async {
        cluster.plane.metrics_by_token(process).await.map_err(|error| error.to_string())
    })
    .await?;
    Ok(Histogram::parse(&text, SEEN_TO_SENT))
}

/// Creates pods at the rate; when each was asked for, in seconds since the epoch.
async fn steady(cluster: &Cluster) -> Result<HashMap<String, f64>, MemoryBenchError> {
    let mut ticker = tokio::time::interval(Duration::from_secs(1) / RATE);
    ticker.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
    let mut all = JoinSet::new();
    for index in 0..RATE * SECONDS {
        ticker.tick().await;
        let (wire, name) = (cluster.wire.clone(), format!("steady-{index:05}"));
        all.spawn(async move {
            let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
            wire.post(&pods(), pending(&name).to_string()).await?;
            Ok::<_, BenchError>((name, at))
        });
    }
    all.join_all().await.into_iter().map(|made| made.map_err(MemoryBenchError::from)).collect()
}
