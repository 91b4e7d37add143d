//! `bench-memory`: what becomes of small nodes whose memory is short, with our scheduler and with the stock one, each on
//! a control plane of its own with the same simulated nodes, the same memory curves and the same arrivals.
//!
//! Two scenarios: [the herd](herd) and [the thrash scenario](thrash). The simulated nodes follow a memory model and the
//! wall clock, so that both sides run at the same time: whatever else the machine does, it does to both. Rounds follow one
//! another, so that a slow drift of the machine falls on both sides alike; medians are reported.
//! What is measured and how is told on the page that it writes (`docs/benchmarks/memory.md`).

mod cli;
mod cluster;
mod error;
pub(crate) mod herd;
mod objects;
mod observe;
mod report;
pub(crate) mod thrash;

use std::io::Write;
use std::time::{Duration, Instant};

pub use cli::{Arguments, main};
pub use error::MemoryBenchError;
pub use herd::Herd;
pub use observe::Series;
pub use report::Report;
pub use thrash::{Thrash, Totals};

use crate::reserve::slots;
use crate::upstream::Side;

/// What is to be measured.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Whether the herd runs.
    pub herd: bool,
    /// How long the thrash scenario runs; `None` leaves it out.
    pub thrash: Option<Duration>,
    /// How often everything is repeated; medians are reported.
    pub repeat: u32,
    /// The command line, for the page.
    pub command: String,
}

/// Measures everything in the plan.
///
/// # Errors
/// [`MemoryBenchError`]: a binary is missing, or a control plane, a process or a simulated node failed.
pub async fn run(plan: &Plan) -> Result<Report, MemoryBenchError> {
    let mut report = Report::new(plan);
    let slots = slots(Side::ALL.len()).await;
    let begun = Instant::now();
    for round in 1..=plan.repeat {
        if plan.repeat > 1 {
            let left = left(begun.elapsed(), round.saturating_sub(1), plan.repeat);
            let left = left.map(|left| format!(", about {} min left", left.as_secs().div_ceil(60)));
            progress(&format!("round {round} of {}{}", plan.repeat, left.unwrap_or_default()));
        }
        if plan.herd {
            let one = |side| herd::run(side, plan.label("herd", side, round), &slots);
            let (stock, headroom) = tokio::try_join!(one(Side::Stock), one(Side::Headroom))?;
            report.add_herd(stock);
            report.add_herd(headroom);
        }
        if let Some(time) = plan.thrash {
            let one = |side| thrash::run(side, plan.label("thrash", side, round), time, &slots);
            let (stock, headroom) = tokio::try_join!(one(Side::Stock), one(Side::Headroom))?;
            report.add_thrash(stock);
            report.add_thrash(headroom);
        }
    }
    Ok(report)
}

impl Plan {
    /// What a run is called in lines of progress.
    fn label(&self, scenario: &str, side: Side, round: u32) -> String {
        match self.repeat {
            0 | 1 => format!("{scenario} {side}"),
            all => format!("{scenario} {side} {round}/{all}"),
        }
    }
}

/// How long the other rounds will take when they are like those that are done.
fn left(elapsed: Duration, done: u32, all: u32) -> Option<Duration> {
    elapsed.checked_div(done)?.checked_mul(all.saturating_sub(done))
}

/// A line for whoever waits, on standard error.
fn progress(line: &str) {
    let _ = writeln!(std::io::stderr(), "bench-memory: {line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_told_from_the_second_round_on() {
        assert_eq!(left(Duration::from_secs(1), 0, 4), None);
        assert_eq!(left(Duration::from_secs(60), 1, 4), Some(Duration::from_secs(180)));
        let plan = |repeat| Plan { herd: true, thrash: None, repeat, command: String::new() };
        assert_eq!(plan(1).label("herd", Side::Stock, 1), "herd stock");
        assert_eq!(plan(3).label("thrash", Side::Headroom, 2), "thrash headroom 2/3");
    }
}
