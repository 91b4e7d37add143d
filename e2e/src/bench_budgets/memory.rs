//! Resident memory of both processes, idle, by size of the cluster.

use std::time::Duration;

use super::cluster::{Cluster, PATIENCE};
use super::figure::{Figure, MIB};
use super::progress;
use crate::bench::Workload;
use crate::bench::measure::mebibytes;
use crate::bench_memory::MemoryBenchError;

/// From the moment that both know everything to the measurement.
const REST: Duration = Duration::from_secs(30);

/// All loops that may run beside nodes without kubelets: node-lifecycle would declare these dead.
const CONTROLLERS: &str = "--controllers=node-headroom-controller,memory-profile-controller,\
    replicationcontroller-controller,endpoints-controller,endpointslice-controller,endpointslice-mirroring-controller";

/// Limits for scheduler and controllers, MiB.
fn limits(size: Workload) -> (f64, f64) {
    match size.pods {
        0..=100 => (10.0, 12.0),
        101..=10_000 => (25.0, 35.0),
        _ => (80.0, 110.0),
    }
}

/// Measures it.
pub(super) async fn run(size: Workload) -> Result<Vec<Figure>, MemoryBenchError> {
    let cluster = Cluster::start("budget-memory", false).await?;
    progress(&format!("{} nodes, {} pods", size.nodes, size.pods));
    cluster.nodes(size.nodes).await?;
    cluster.running_pods(size).await?;
    let plane = &cluster.plane;
    let scheduler = plane.start_headroom_scheduler(&["--mode=primary", "--leader-elect=false"])?;
    let controllers = plane.start_headroom_controllers(&[CONTROLLERS, "--leader-elect=false"])?;
    plane.wait_healthy(&scheduler, "/readyz", PATIENCE).await?;
    plane.wait_healthy(&controllers, "/readyz", PATIENCE).await?;
    tokio::time::sleep(REST).await;
    scheduler.expect_running("being idle")?;
    controllers.expect_running("being idle")?;
    let (ours, theirs) = (scheduler.memory()?, controllers.memory()?);
    let (scheduler_limit, controllers_limit) = limits(size);
    Ok(vec![
        Figure::at_most("scheduler: RSS", mebibytes(ours.rss), scheduler_limit, MIB),
        Figure::told("scheduler: highest RSS", mebibytes(ours.peak_rss), MIB),
        Figure::at_most("controllers: RSS", mebibytes(theirs.rss), controllers_limit, MIB),
        Figure::told("controllers: highest RSS", mebibytes(theirs.peak_rss), MIB),
    ])
}
