//! The herd: a Deployment of 11 pods that declare nothing, created within one poll period on three 1 GiB nodes
//! (reference memory-and-swap.md 5.11). Who looks at samples only sees the same free memory 11 times.

use std::collections::BTreeMap;
use std::time::Duration;

use headroom_core::memory::{MIB, Params, headroom::floor};
use k8s_openapi::api::apps::v1::Deployment;
use serde::Serialize;

use crate::reserve::Slots;
use crate::upstream::Side;
use crate::wait::eventually;

use super::cluster::{Cluster, node_of, waits_because};
use super::objects::Template;
use super::{MemoryBenchError, progress};

/// The nodes: 500 MiB of each is in use outside pods.
const NODES: &str = "worker=3:1Gi:cpu=2:system=500Mi:version=v1.36.4+k3s1";
/// The pods: they settle at 40 MiB, which nobody can know when they are created.
const TEMPLATE: Template = Template { name: "herd", declared: None, memory: "40Mi", hot: "0.5", work_seconds: None };
/// How many.
pub(super) const PODS: usize = 11;
/// How long it may take until each pod has a node or waits.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where the herd went. Sizes are MiB.
#[derive(Debug, Clone, Serialize)]
pub struct Herd {
    /// Who scheduled.
    pub side: Side,
    /// What a pod that declares nothing and was never seen is taken to need (`D`).
    pub demand_mib: i64,
    /// The nodes, in order.
    pub nodes: Vec<HerdNode>,
    /// Pods without a node.
    pub waiting: usize,
    /// Why one of them waits, in the scheduler's words.
    pub message: Option<String>,
}

/// A node of the herd.
#[derive(Debug, Clone, Serialize)]
pub struct HerdNode {
    /// Node name.
    pub name: String,
    /// `H` before the first pod: capacity, less what is in use, less the floor.
    pub headroom_before_mib: i64,
    /// Pods of the herd on it.
    pub pods: usize,
    /// The same less what the pods are taken to need.
    pub headroom_after_mib: i64,
}

/// Runs it; `label` stands in lines of progress.
pub(super) async fn run(side: Side, label: String, slots: &Slots) -> Result<Herd, MemoryBenchError> {
    let cluster = Cluster::start(side, "herd", NODES, slots).await?;
    let outcome = measure(side, &label, &cluster).await;
    if outcome.is_err() {
        cluster.keep();
    }
    cluster.end().await;
    outcome
}

async fn measure(side: Side, label: &str, cluster: &Cluster) -> Result<Herd, MemoryBenchError> {
    let params = Params::default();
    let bytes = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    let before = cluster.hollow.nodes();
    cluster.create::<Deployment>(TEMPLATE.deployment(PODS)).await?;
    // Both sides are asked the same: each pod has a node, or was told that it has to wait.
    let pods = eventually(PATIENCE, "a decision about every pod", || async {
        let pods = cluster.pods().await.map_err(|error| error.to_string())?;
        let decided = pods.iter().filter(|pod| node_of(pod).is_some() || waits_because(pod).is_some()).count();
        if pods.len() == PODS && decided == PODS { Ok(pods) } else { Err(format!("{decided} of {PODS}")) }
    })
    .await?;
    cluster.check("the herd")?;
    let mut on: BTreeMap<&str, usize> = BTreeMap::new();
    for node in pods.iter().filter_map(node_of) {
        *on.entry(node).or_default() += 1;
    }
    let demand = params.default_demand_bytes;
    let nodes = before
        .iter()
        .map(|node| {
            let capacity = bytes(node.memory_bytes);
            let headroom = capacity - bytes(node.resident_bytes) - floor(capacity, 0, &params);
            let pods = on.get(node.name.as_str()).copied().unwrap_or(0);
            let taken = demand.saturating_mul(i64::try_from(pods).unwrap_or(i64::MAX));
            HerdNode {
                name: node.name.clone(),
                headroom_before_mib: headroom / MIB,
                pods,
                headroom_after_mib: (headroom - taken).div_euclid(MIB),
            }
        })
        .collect();
    let waiting = pods.iter().filter(|pod| node_of(pod).is_none()).count();
    let message = pods.iter().filter(|pod| node_of(pod).is_none()).find_map(waits_because).map(str::to_owned);
    progress(&format!("{label}: {} pods placed, {waiting} wait", PODS - waiting));
    Ok(Herd { side, demand_mib: demand / MIB, nodes, waiting, message })
}
