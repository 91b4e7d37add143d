//! The thrash scenario, after the founding story: waves of a crawler on 1 GiB workers with swap, with parsers behind it
//! that declare nothing, beside a small web shop; the datastore is on the k3s server, a 2 GiB node without swap and
//! without taints.
//!
//! There is more to do than fits at once. Who places by requests puts it all on the nodes; they swap what is needed all
//! the time, and everything takes longer while the next wave comes.

use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::{CronJob, Job};
use serde::Serialize;

use crate::reserve::Slots;
use crate::upstream::Side;

use super::cluster::Cluster;
use super::objects::Template;
use super::observe::{Observer, Series};
use super::{MemoryBenchError, progress};

/// Workers as k3s has them: no eviction by memory, LimitedSwap, 280 MiB for agent and system. The server has the
/// kubelet's usual eviction threshold, and what a k3s server with its datastore was measured to take.
pub(super) const NODES: &str = "worker=3:1Gi:swap=2Gi:cpu=2:system=280Mi:version=v1.36.4+k3s1,\
     server=1:2Gi:swap=none:cpu=2:system=1450Mi:evict=100Mi:version=v1.36.4+k3s1:\
     label=node-role.kubernetes.io/control-plane=true";
/// The node of the datastore.
pub(super) const DATASTORE: &str = "server-1";

/// Declares its needs and keeps to them.
const SHOP: Template =
    Template { name: "shop", declared: Some(("128Mi", "256Mi")), memory: "150Mi", hot: "0.5", work_seconds: None };
/// Declares nothing.
const HELPER: Template = Template { name: "helper", declared: None, memory: "80Mi", hot: "0.5", work_seconds: None };
/// Declares its needs and keeps to them: the request that the recipe gives to whoever has none, and a limit. Most of its
/// memory is touched all the time.
const CRAWLER: Template = Template {
    name: "crawl",
    declared: Some(("32Mi", "192Mi")),
    memory: "30Mi@0s,160Mi@20s",
    hot: "0.8",
    work_seconds: Some(40),
};
/// Declares nothing, as much of what people run.
const PARSER: Template =
    Template { name: "parse", declared: None, memory: "30Mi@0s,120Mi@20s", hot: "0.8", work_seconds: Some(40) };
/// The Jobs of a wave, each with its pods.
const WAVE: [(Template, usize); 2] = [(CRAWLER, 8), (PARSER, 4)];
/// Replicas of shop and helper.
const REPLICAS: usize = 3;
/// When the waves come, seconds from the start.
pub(super) const WAVES: [u64; 4] = [10, 40, 70, 100];
/// Pods of all waves.
pub(super) const JOB_PODS: usize = WAVES.len() * (WAVE[0].1 + WAVE[1].1);
/// How often is looked.
const PACE: Duration = Duration::from_secs(1);
/// How often whoever waits is told how it goes.
const TELL: Duration = Duration::from_secs(30);

/// What a side came to. Sizes are bytes.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Totals {
    /// Containers that the kernel killed for memory.
    pub oom_kills: usize,
    /// Those of pods with a memory request; none of them ever uses more than its limit.
    pub oom_kills_of_declared: usize,
    /// Pods that a kubelet evicted for memory.
    pub evicted: usize,
    /// Seconds, summed up over the nodes, in which a node thrashed.
    pub thrashing_node_seconds: f64,
    /// Pods that got a node which thrashed a second before.
    pub placed_on_thrashing: usize,
    /// Seconds in which the datastore (and all else outside pods on its node) waited for memory.
    pub datastore_waited_seconds: f64,
    /// Most memory in use on its node.
    pub datastore_memory_bytes: u64,
    /// Most swap in use on its node.
    pub datastore_swap_bytes: u64,
    /// Pods evicted or killed on its node.
    pub datastore_losses: usize,
    /// Work, in seconds of a pod that never waits for memory.
    pub work_seconds: f64,
    /// Seconds, summed up over the pods, without stall: what PSI alone would call work.
    pub unstalled_seconds: f64,
    /// Pods of the waves that have done their work.
    pub finished: usize,
    /// When the last of all of them had, seconds from the start.
    pub finished_at: Option<f64>,
    /// Major faults on all nodes.
    pub major_faults: u64,
    /// Pods without a node at the end.
    pub waiting: usize,
}

/// One side's run.
#[derive(Debug, Clone, Serialize)]
pub struct Thrash {
    /// Who scheduled.
    pub side: Side,
    /// How long it was watched.
    pub seconds: f64,
    /// What it came to.
    pub totals: Totals,
    /// How it came to it.
    pub series: Series,
}

/// Runs it for `time`; `label` stands in lines of progress.
pub(super) async fn run(side: Side, label: String, time: Duration, slots: &Slots) -> Result<Thrash, MemoryBenchError> {
    let cluster = Cluster::start(side, "thrash", NODES, slots).await?;
    let outcome = measure(side, &label, time, &cluster).await;
    if outcome.is_err() {
        cluster.keep();
    }
    cluster.end().await;
    outcome
}

async fn measure(side: Side, label: &str, time: Duration, cluster: &Cluster) -> Result<Thrash, MemoryBenchError> {
    progress(&format!("{label}: {} nodes are ready; {} s from now on", cluster.hollow.nodes().len(), time.as_secs()));
    let start = Instant::now();
    cluster.create::<Deployment>(SHOP.deployment(REPLICAS)).await?;
    cluster.create::<Deployment>(HELPER.deployment(REPLICAS)).await?;
    let mut owners = Vec::new();
    for (template, pods) in WAVE {
        let owner = cluster.create::<CronJob>(template.cron_job()).await?;
        owners.push((template, pods, owner.metadata.uid.unwrap_or_default()));
    }
    let mut waves = WAVES.iter().enumerate().peekable();
    let mut observer = Observer::default();
    // The simulated memory moves once a second.
    let mut ticks = tokio::time::interval(PACE);
    let mut told = Duration::ZERO;
    while start.elapsed() < time {
        ticks.tick().await;
        while let Some((wave, _)) = waves.next_if(|(_, at)| start.elapsed().as_secs() >= **at) {
            for (template, pods, uid) in &owners {
                cluster.create::<Job>(template.job(uid, wave + 1, *pods)).await?;
            }
        }
        let since = start.elapsed();
        observer.look(cluster, since).await?;
        cluster.check("the thrash scenario")?;
        if since.saturating_sub(told) >= TELL {
            told = since;
            progress(&format!("{label}: {} of {} s, {}", since.as_secs(), time.as_secs(), observer.so_far()));
        }
    }
    let (totals, series) = observer.finish();
    progress(&format!("{label}: {} of {JOB_PODS} done, {} OOM kills", totals.finished, totals.oom_kills));
    Ok(Thrash { side, seconds: start.elapsed().as_secs_f64(), totals, series })
}
