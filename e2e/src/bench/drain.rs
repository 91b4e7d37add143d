//! When a contestant has finished: its last event is written and its CPU time no longer grows.

use std::time::{Duration, Instant};

use crate::process::Process;

use super::BenchError;
use super::setup::ListMeta;
use super::wire::Wire;
use super::workload::NAMESPACE;

/// How often is looked.
const PACE: Duration = Duration::from_millis(500);

/// A process that uses no more CPU time than this between two looks is quiet; the clock's resolution is 10 ms, and an
/// idle stock scheduler uses about 2 ms.
const QUIET_CPU: Duration = Duration::from_millis(10);

/// So many quiet looks in a row, without a new event, count as finished.
const QUIET_LOOKS: u32 = 6;

/// A contestant that never gets quiet is measured nevertheless after so long.
const LIMIT: Duration = Duration::from_secs(120);

/// Waits until the contestant has finished; returns how long that took, without the quiet time itself, and whether it
/// got quiet at all.
pub(crate) async fn drained(process: &Process, wire: &Wire) -> Result<(Duration, bool), BenchError> {
    let start = Instant::now();
    let mut last = (process.cpu()?, events(wire).await?);
    let mut active = Duration::ZERO;
    let mut quiet = 0;
    while start.elapsed() < LIMIT {
        tokio::time::sleep(PACE).await;
        process.expect_running("writing its events")?;
        let now = (process.cpu()?, events(wire).await?);
        if now.0.saturating_sub(last.0) <= QUIET_CPU && now.1 == last.1 {
            quiet += 1;
            if quiet >= QUIET_LOOKS {
                return Ok((active, true));
            }
        } else {
            quiet = 0;
            active = start.elapsed();
        }
        last = now;
    }
    Ok((start.elapsed(), false))
}

/// Events in the pods' namespace; the API server counts them without sending them.
async fn events(wire: &Wire) -> Result<u64, BenchError> {
    let list: ListMeta = wire.get(&format!("/api/v1/namespaces/{NAMESPACE}/events?limit=1")).await?;
    Ok(list.metadata.remaining_item_count)
}

/// How long the control plane may take to settle after the workload was created.
const SETTLE: Duration = Duration::from_secs(15);

/// CPU time of a settled API server between two looks: an idle one uses about 2 % of a core.
const SETTLED_CPU: Duration = Duration::from_millis(30);

/// Waits until the API server rests, so that no contestant pays for the creation of the pods.
pub(crate) async fn settled(cpu: impl Fn() -> Duration) {
    let start = Instant::now();
    let mut last = cpu();
    let mut quiet = 0;
    while quiet < 2 && start.elapsed() < SETTLE {
        tokio::time::sleep(PACE).await;
        let now = cpu();
        quiet = if now.saturating_sub(last) <= SETTLED_CPU { quiet + 1 } else { 0 };
        last = now;
    }
}
