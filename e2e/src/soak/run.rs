//! The run: a cluster of simulated nodes, both processes, the churn, and looks at intervals.

use std::time::{Duration, Instant};

use headroom_hollow::Hollow;
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use super::churn::{Churn, LIFE};
use super::{Look, Plan, Report, SCHEMA, Series, fit, progress, stop};
use crate::bench::machine::{Machine, commit};
use crate::bench::measure::mebibytes;
use crate::bench::wire::Wire;
use crate::bench_budgets::cluster::{Cluster, PATIENCE, pods};
use crate::bench_memory::MemoryBenchError;
use crate::budget::Budget;
use crate::control_plane::Identity;
use crate::error::HarnessError;
use crate::process::Process;

/// Between two looks.
const PACE: Duration = Duration::from_secs(10);
/// Looks between two lines for whoever waits.
const TOLD_EVERY: usize = 30;
/// Open files that may be more at the end than after the warm-up: connections come and go.
const MORE_FILES: f64 = 8.0;
/// Pods that may be without a node in the end, in seconds of the churn.
const WAITING_SECONDS: u32 = 2;

/// A process that is looked at.
struct Watched {
    process: Process,
    series: Series,
}

impl Watched {
    fn new(name: &'static str, process: Process) -> Self {
        Self { process, series: Series { process: name, looks: Vec::new() } }
    }

    fn look(&mut self, minutes: f64) -> Result<(), MemoryBenchError> {
        self.process.expect_running("being soaked")?;
        let dir = format!("/proc/{}/fd", self.process.pid());
        let files = std::fs::read_dir(&dir).map_err(HarnessError::io("read", dir))?.count() as u64;
        self.series.looks.push(Look { minutes, rss_bytes: self.process.rss()?, files });
        Ok(())
    }

    fn rss(&self) -> f64 {
        self.series.looks.last().map_or(0.0, |look| mebibytes(look.rss_bytes))
    }
}

/// Runs it.
pub(super) async fn run(plan: &Plan) -> Result<Report, MemoryBenchError> {
    let cluster = Cluster::start("soak", false).await?;
    let outcome = soak(plan, &cluster).await;
    if outcome.is_err() {
        cluster.plane.keep_directory();
    }
    outcome
}

async fn soak(plan: &Plan, cluster: &Cluster) -> Result<Report, MemoryBenchError> {
    let plane = &cluster.plane;
    plane.create_namespace("kube-node-lease").await?;
    let hollow = nodes(plan, cluster).await?;
    let trust = plane.trust_kubelets(&hollow)?;
    let mut scheduler = Watched::new("scheduler", plane.start_headroom_scheduler(&["--mode=primary"])?);
    let mut controllers = Watched::new("controllers", plane.start_headroom_controllers(&[&trust])?);
    for process in [&scheduler.process, &controllers.process] {
        plane.wait_healthy(process, "/readyz", PATIENCE).await?;
    }
    let mut churn = Churn::start(&cluster.wire, plan.rate);
    progress(&format!("{} pods come and go per second for {} minutes", plan.rate, plan.minutes));
    let (began, length) = (Instant::now(), Duration::from_secs(60 * u64::from(plan.minutes)));
    for count in 1_usize.. {
        tokio::time::sleep(PACE).await;
        churn.expect_running().await?;
        let minutes = began.elapsed().as_secs_f64() / 60.0;
        scheduler.look(minutes)?;
        controllers.look(minutes)?;
        if count.is_multiple_of(TOLD_EVERY) {
            let (ours, theirs) = (scheduler.rss(), controllers.rss());
            progress(&format!("{minutes:.0} min: scheduler {ours:.1} MiB, controllers {theirs:.1} MiB"));
        }
        if began.elapsed() >= length {
            break;
        }
    }

    let mut budgets = Vec::new();
    let mut notes = Vec::new();
    for series in [&scheduler.series, &controllers.series] {
        judge(series, plan, &mut budgets);
    }
    // A connection of its own: the other one is busy.
    let wire = Wire::connect(&plane.kubeconfig(&Identity::Admin)?).await?;
    let most = f64::from(plan.rate.saturating_mul(WAITING_SECONDS));
    budgets.push(Budget::at_most("pods without a node at the end", waiting(&wire).await? as f64, most, (0, "")));
    // The churn goes on: there is something in flight when they are told to stop.
    budgets.extend(stop::in_order(&wire, &scheduler.process, &controllers.process).await?);
    if plan.leaks {
        match stop::Leaks::find() {
            Ok(leaks) => budgets.extend(leaks.look(plane, &trust).await?),
            Err(note) => notes.push(note),
        }
    }
    churn.expect_running().await?;
    let pods = churn.made();
    drop(churn);
    hollow.stop().await;
    Ok(Report {
        schema: SCHEMA,
        date: Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        machine: Machine::read(),
        headroom_commit: commit(),
        plan: plan.clone(),
        pods,
        series: vec![scheduler.series, controllers.series],
        budgets,
        notes,
    })
}

async fn nodes(plan: &Plan, cluster: &Cluster) -> Result<Hollow, MemoryBenchError> {
    let mut config = cluster.plane.hollow_config(&format!("node={}:8Gi:cpu=8:swap=2Gi", plan.nodes))?;
    config.remove_not_ready_taint = true;
    progress(&format!("{} simulated nodes for {} pods at a time", plan.nodes, plan.rate.saturating_mul(LIFE)));
    Ok(cluster.plane.start_hollow(config).await?)
}

/// Memory and open files of a process.
fn judge(series: &Series, plan: &Plan, budgets: &mut Vec<Budget>) {
    let (name, settled) = (series.process, fit::settled(&series.looks));
    let growth = fit::growth(&series.looks);
    budgets.push(Budget::at_most(format!("{name}: RSS grows per minute"), growth, plan.bound_kib, (1, "KiB")));
    let (Some(first), Some(last)) = (settled.first(), settled.last()) else { return };
    budgets.push(Budget::told(format!("{name}: RSS after the warm-up"), mebibytes(first.rss_bytes), (1, "MiB")));
    budgets.push(Budget::told(format!("{name}: RSS at the end"), mebibytes(last.rss_bytes), (1, "MiB")));
    let more = last.files as f64 - first.files as f64;
    budgets.push(Budget::at_most(format!("{name}: more open files at the end"), more, MORE_FILES, (0, "")));
}

/// Pods without a node, as far as a page shows them.
async fn waiting(wire: &Wire) -> Result<usize, MemoryBenchError> {
    let list: Value = wire.get(&format!("{}?fieldSelector=spec.nodeName%3D&limit=500", pods())).await?;
    Ok(list["items"].as_array().map_or(0, Vec::len))
}
