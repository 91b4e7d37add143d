//! Cold start: from the start of the process, with the lease free, to the first binding.

use std::time::{SystemTime, UNIX_EPOCH};

use super::cluster::Cluster;
use super::figure::{Figure, MS};
use super::latency::Times;
use super::progress;
use crate::bench::setup::may_bind;
use crate::bench::{Contestant, Workload};
use crate::bench_memory::MemoryBenchError;
use crate::control_plane::SchedulerOptions;

/// The cluster that it has to learn first.
pub(super) const SIZE: Workload = Workload::BIG;
/// How long it may take, milliseconds.
const LIMIT: f64 = 1000.0;
/// The pod that waits.
const POD: &str = "waiting";

/// Measures both.
pub(super) async fn run() -> Result<Vec<Figure>, MemoryBenchError> {
    let ours = one(Contestant::Headroom).await?;
    let stock = one(Contestant::Stock).await?;
    Ok(vec![
        Figure::at_most("headroom: first binding after", ours, LIMIT, (0, MS.1)),
        Figure::told("stock: first binding after", stock, (0, MS.1)),
    ])
}

async fn one(contestant: Contestant) -> Result<f64, MemoryBenchError> {
    let cluster = Cluster::start("budget-cold", true).await?;
    progress(&format!("cold start of {contestant}: {} nodes, {} pods", SIZE.nodes, SIZE.pods));
    cluster.nodes(SIZE.nodes).await?;
    cluster.running_pods(SIZE).await?;
    cluster.pending_pod(POD).await?;
    may_bind(&cluster.plane, contestant).await?;
    let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let process = match contestant {
        Contestant::Stock => {
            let options = SchedulerOptions { leader_elect: true, ..SchedulerOptions::unlimited() };
            cluster.plane.start_stock_scheduler(&options)?
        }
        _ => cluster.plane.start_headroom_scheduler(&["--mode=primary"])?,
    };
    cluster.all_bound().await?;
    process.kill9();
    let times = Times::read(&cluster.plane)?;
    let bound = times.bound.get(POD).copied().unwrap_or(f64::NAN);
    Ok((bound - started.as_secs_f64()) * 1000.0)
}
