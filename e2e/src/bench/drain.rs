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

/// When a contestant had finished, counted from when it was first looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Drained {
    /// Its last event was written; zero when none came after the first look.
    pub(crate) last_event: Duration,
    /// It did nothing more: without the quiet time itself.
    pub(crate) active: Duration,
    /// Whether it got quiet at all.
    pub(crate) quiet: bool,
}

/// What the looks have shown.
#[derive(Debug)]
struct Looks {
    cpu: Duration,
    events: u64,
    last_event: Duration,
    active: Duration,
    quiet: u32,
}

impl Looks {
    /// The first one: CPU time and events so far.
    fn first(cpu: Duration, events: u64) -> Self {
        Self { cpu, events, last_event: Duration::ZERO, active: Duration::ZERO, quiet: 0 }
    }

    /// Another one, so long after the first.
    fn take(&mut self, after: Duration, cpu: Duration, events: u64) {
        if events != self.events {
            self.last_event = after;
        }
        if events == self.events && cpu.saturating_sub(self.cpu) <= QUIET_CPU {
            self.quiet += 1;
        } else {
            self.quiet = 0;
            self.active = after;
        }
        (self.cpu, self.events) = (cpu, events);
    }

    fn is_quiet(&self) -> bool {
        self.quiet >= QUIET_LOOKS
    }
}

/// Waits until the contestant has finished.
pub(crate) async fn drained(process: &Process, wire: &Wire) -> Result<Drained, BenchError> {
    let start = Instant::now();
    let mut looks = Looks::first(process.cpu()?, events(wire).await?);
    while start.elapsed() < LIMIT {
        tokio::time::sleep(PACE).await;
        process.expect_running("writing its events")?;
        let (cpu, events) = (process.cpu()?, events(wire).await?);
        looks.take(start.elapsed(), cpu, events);
        if looks.is_quiet() {
            return Ok(Drained { last_event: looks.last_event, active: looks.active, quiet: true });
        }
    }
    Ok(Drained { last_event: looks.last_event, active: start.elapsed(), quiet: false })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_event_is_told_apart_from_the_last_work() {
        let ms = Duration::from_millis;
        let mut looks = Looks::first(ms(100), 10);
        looks.take(ms(500), ms(150), 12);
        looks.take(ms(1000), ms(300), 12);
        for look in 0..u64::from(QUIET_LOOKS) {
            assert!(!looks.is_quiet(), "{look}");
            looks.take(ms(1500 + 500 * look), ms(310), 12);
        }
        assert!(looks.is_quiet());
        assert_eq!((looks.last_event, looks.active), (ms(500), ms(1000)));

        looks.take(ms(9000), ms(310), 13);
        assert_eq!((looks.last_event, looks.active, looks.is_quiet()), (ms(9000), ms(9000), false));
    }
}
