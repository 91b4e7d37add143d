//! `bench`: our scheduler beside the stock scheduler and a bare loop of binding POSTs, on the same machine and the
//! same kind of API server, one after the other. Every run has a control plane of its own, so nothing carries over.
//!
//! What is measured and how is told on the page that it writes (`docs/benchmarks/README.md`).

mod churn;
mod cli;
mod contestant;
mod drain;
mod error;
pub(crate) mod machine;
pub(crate) mod measure;
mod observe;
mod perf;
mod report;
pub(crate) mod requests;
mod scenario;
pub(crate) mod setup;
mod verify;
pub(crate) mod workload;

use std::io::Write;
use std::path::Path;

pub(crate) use headroom_bare::wire;

pub use cli::{Arguments, main};
pub use contestant::{Bare, Contestant};
pub use error::BenchError;
pub use machine::provenance;
pub use measure::{Burst, Idle};
pub use perf::Case;
pub use report::Report;
pub(crate) use report::median;
pub use requests::{Attempts, sum as metric_sum};
pub use workload::Workload;

use crate::control_plane::Release;
use contestant::Program;
use measure::IdleTimes;
use scenario::Scenario;

/// Idle processes differ little from run to run; more rounds than this do not measure them again.
const IDLE_ROUNDS: u32 = 3;

/// What is to be measured.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Whose stock, API server and etcd.
    pub kubernetes: Release,
    /// Who takes part, in the order of the first round.
    pub contestants: Vec<Contestant>,
    /// The bursts.
    pub workloads: Vec<Workload>,
    /// Workloads of scheduler_perf; the bare loop has no part in them.
    pub cases: Vec<Case>,
    /// Rounds: how often everything is repeated; medians are reported.
    pub repeat: u32,
    /// Whether idle processes are measured too.
    pub idle: bool,
    /// Short waits: the figures for idle processes mean little then.
    pub quick: bool,
    /// How the bare loop binds.
    pub bare: Bare,
    /// The command line, for the page.
    pub command: String,
}

/// Measures everything in the plan. Results of scheduler_perf's workloads are written to `output` one by one: an hour's work
/// is not lost when a later one fails.
///
/// # Errors
/// [`BenchError`]: a binary is missing (told before anything starts), a run failed or stalled, a file cannot be written.
pub async fn run(plan: &Plan, output: Option<&Path>) -> Result<Report, BenchError> {
    let mut programs = Vec::new();
    for &contestant in &plan.contestants {
        programs.push(Program::find(contestant, plan.kubernetes, plan.bare)?);
    }
    let mut report = Report::new(plan, &programs);
    let times = if plan.quick { IdleTimes::QUICK } else { IdleTimes::FULL };
    // Round by round, and in another order in each, so that a drift of the machine falls on all contestants alike.
    for round in 1..=plan.repeat {
        for &workload in &plan.workloads {
            for program in in_turn(&programs, round) {
                let label = format!("{workload} {} {round}/{}", program.contestant, plan.repeat);
                let burst = measure::burst(&label, program, &Scenario::burst(workload)).await?;
                report.add_burst(workload, program.contestant, burst);
            }
        }
        for case in &plan.cases {
            let schedulers = programs.iter().filter(|program| program.contestant != Contestant::Bare);
            for program in in_turn(schedulers, round) {
                let label = format!("{case} {} {round}/{}", program.contestant, plan.repeat);
                let burst = measure::burst(&label, program, &case.scenario()).await?;
                report.add_case(*case, program.contestant, burst);
            }
            if let Some(dir) = output {
                report::write_cases(&report, dir)?;
            }
        }
        if plan.idle && round <= IDLE_ROUNDS {
            for program in in_turn(programs.iter().filter(|program| program.contestant.idles()), round) {
                let label = format!("idle {} {round}/{}", program.contestant, plan.repeat);
                let idle = measure::idle(&label, program, times).await?;
                report.add_idle(program.contestant, idle);
            }
        }
    }
    Ok(report)
}

/// The order of a round, counted from 1: who was first in the one before is last.
fn in_turn<T>(all: impl IntoIterator<Item = T>, round: u32) -> Vec<T> {
    let mut all: Vec<T> = all.into_iter().collect();
    let begun = (round.saturating_sub(1) as usize).checked_rem(all.len()).unwrap_or(0);
    all.rotate_left(begun);
    all
}

/// A line for whoever waits, on standard error.
fn progress(line: &str) {
    let _ = writeln!(std::io::stderr(), "bench: {line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_contestant_begins_a_round_in_its_turn() {
        let of = |round| in_turn(Contestant::ALL, round);
        assert_eq!(of(1), Contestant::ALL);
        assert_eq!(of(2), [Contestant::Stock, Contestant::Headroom, Contestant::Bare]);
        assert_eq!(of(3), [Contestant::Headroom, Contestant::Bare, Contestant::Stock]);
        assert_eq!(of(4), of(1));
        assert!(in_turn(Vec::<Contestant>::new(), 2).is_empty());
    }
}
