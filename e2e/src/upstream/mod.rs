//! `e2e-upstream`: Kubernetes' own end-to-end specs for what we replace, with the stock components and with ours, on two
//! clusters of simulated nodes at the same time.
//!
//! How it is done is told on the page that it writes (`docs/conformance/README.md`).

mod cli;
mod error;
mod ginkgo;
mod report;
mod runner;
mod select;
mod side;

use std::io::Write;
use std::time::{Duration, Instant};

pub use cli::{Arguments, main};
pub use error::UpstreamError;
pub use ginkgo::{Outcome, Spec};
pub use report::Report;
pub use runner::Run;
pub use side::Side;

use crate::reserve::{Slots, slots};
use side::Cluster;

/// What is to be run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Whose processes.
    pub sides: Vec<Side>,
    /// Only specs whose text contains one of these; all when empty.
    pub filter: Vec<String>,
    /// Also specs that cannot pass on simulated nodes.
    pub all: bool,
    /// Limit for each spec.
    pub spec_timeout: Duration,
    /// Limit for each side; what has not begun by then is not run.
    pub timeout: Duration,
    /// Keep the clusters' directories, with all logs.
    pub keep: bool,
    /// The command line, for the page.
    pub command: String,
}

/// What a side did, in the specs' order.
type Results = Vec<(Spec, Run)>;

/// Runs everything in the plan.
///
/// # Errors
/// [`UpstreamError`]: a binary is missing, or a process of the clusters ended.
pub async fn run(plan: &Plan) -> Result<Report, UpstreamError> {
    let slots = slots(plan.sides.len()).await;
    let runs = plan.sides.iter().map(|&side| one_side(plan, side, &slots));
    let results = futures::future::try_join_all(runs).await?;
    let mut report = Report::new(plan);
    for (&side, results) in plan.sides.iter().zip(results) {
        report.add(side, results);
    }
    Ok(report)
}

async fn one_side(plan: &Plan, side: Side, slots: &Slots) -> Result<Results, UpstreamError> {
    let cluster = Cluster::start(side, slots).await?;
    let result = all_specs(plan, side, &cluster).await;
    let wrong = |results: &Results| results.iter().any(|(_, run)| matches!(run.outcome, Outcome::Fail(_)));
    if plan.keep || result.as_ref().map_or(true, wrong) {
        cluster.plane.keep_directory();
    }
    cluster.end().await;
    result
}

async fn all_specs(plan: &Plan, side: Side, cluster: &Cluster) -> Result<Results, UpstreamError> {
    let start = Instant::now();
    let specs = runner::list(cluster).await?;
    let wanted = |spec: &Spec| plan.filter.is_empty() || plan.filter.iter().any(|part| spec.text.contains(part));
    let specs: Vec<Spec> = specs.into_iter().filter(wanted).collect();
    if specs.is_empty() {
        return Err(UpstreamError::NothingSelected { filter: plan.filter.clone() });
    }
    let total = specs.len();
    let mut results = Vec::new();
    for (index, spec) in specs.into_iter().enumerate() {
        let run = match select::limit(&spec.text).filter(|_| !plan.all) {
            Some(reason) => Run { outcome: Outcome::NotRun(reason.to_owned()), seconds: 0.0 },
            None if start.elapsed() >= plan.timeout => {
                Run { outcome: Outcome::NotRun("the time for all specs was over".to_owned()), seconds: 0.0 }
            }
            None => runner::run(cluster, index.saturating_add(1), &spec, plan.spec_timeout).await?,
        };
        cluster.check(&format!("running {:?}", spec.text))?;
        let Spec { group, title, .. } = &spec;
        let number = index.saturating_add(1);
        progress(&format!("{side} [{number}/{total}] {} {:.0} s: {group} {title}", run.outcome.word(), run.seconds));
        if let Outcome::Fail(reason) = &run.outcome {
            progress(&format!("{side} [{number}/{total}] {reason}"));
        }
        results.push((spec, run));
    }
    Ok(results)
}

/// A line for whoever waits, on standard error.
fn progress(line: &str) {
    let _ = writeln!(std::io::stderr(), "upstream: {line}");
}
