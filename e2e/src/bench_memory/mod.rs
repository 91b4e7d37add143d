//! `bench-memory`: what becomes of small nodes whose memory is short, with our scheduler and with the stock one, each on
//! a control plane of its own with the same simulated nodes, the same memory curves and the same arrivals.
//!
//! Two scenarios: [the herd](herd) and [the thrash scenario](thrash). The simulated nodes follow a memory model and the
//! wall clock, so that both sides run at the same time: whatever else the machine does, it does to both.
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
use std::time::Duration;

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
    if plan.herd {
        let one = |side| herd::run(side, &slots);
        let (stock, headroom) = tokio::try_join!(one(Side::Stock), one(Side::Headroom))?;
        report.herd = vec![stock, headroom];
    }
    if let Some(time) = plan.thrash {
        let one = |side| thrash::run(side, time, &slots);
        let (stock, headroom) = tokio::try_join!(one(Side::Stock), one(Side::Headroom))?;
        report.thrash = vec![stock, headroom];
    }
    Ok(report)
}

/// A line for whoever waits, on standard error.
fn progress(line: &str) {
    let _ = writeln!(std::io::stderr(), "bench-memory: {line}");
}
