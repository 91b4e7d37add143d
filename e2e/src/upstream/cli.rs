//! The command line.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use super::{Plan, Report, Side, UpstreamError, report};
use crate::command::{exit_code, results_directory};

/// Where the results go, seen from the top of the checkout.
const OUTPUT: &str = "docs/conformance";

/// Exit status when a spec passes with the stock components and not with ours.
const DIFFERENT: u8 = 2;

/// Runs Kubernetes' own end-to-end specs for scheduling, ReplicationControllers, Endpoints, EndpointSlices, NoExecute
/// taints and garbage collection with the stock components and with ours.
///
/// The specs come from e2e.test, which `control-plane build-e2e-test` builds. The table goes to standard output,
/// latest.json and README.md to docs/conformance.
#[derive(Debug, Parser)]
#[command(name = "e2e-upstream", after_help = EXAMPLES)]
pub struct Arguments {
    /// Whose processes, comma-separated
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Side::ALL)]
    only: Vec<Side>,
    /// Only specs whose text contains this; may be repeated
    #[arg(long, value_name = "TEXT")]
    spec: Vec<String>,
    /// Also run specs that cannot pass on simulated nodes
    #[arg(long)]
    all: bool,
    /// Limit for each spec, seconds
    #[arg(long, default_value_t = 600, value_parser = clap::value_parser!(u32).range(10..=7200))]
    spec_timeout: u32,
    /// Limit for all specs of a side, minutes
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=600))]
    timeout: u32,
    /// Keep the clusters' directories, with all logs
    #[arg(long)]
    keep: bool,
    /// Directory for latest.json and README.md
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Write no files
    #[arg(long, conflicts_with = "output")]
    no_write: bool,
}

const EXAMPLES: &str = "Examples:
  e2e-upstream                                        the whole comparison
  e2e-upstream --spec SchedulerPreemption --no-write  some of it
  e2e-upstream --only headroom --spec taint --keep    one side, logs are kept

Exit status: 0 when everything that passes with the stock components passes with
ours, 2 when not, 1 when the run failed. Part of the specs or one side alone is
written to files only where --output says.";

impl Arguments {
    fn plan(&self, command: String) -> Plan {
        let mut sides = self.only.clone();
        sides.sort_unstable();
        sides.dedup();
        Plan {
            sides,
            filter: self.spec.clone(),
            all: self.all,
            spec_timeout: Duration::from_secs(self.spec_timeout.into()),
            timeout: Duration::from_secs(u64::from(self.timeout) * 60),
            keep: self.keep,
            command,
        }
    }

    /// Where to write, if anywhere.
    fn output(&self, plan: &Plan) -> Result<Option<PathBuf>, UpstreamError> {
        let whole = plan.sides == Side::ALL && plan.filter.is_empty();
        results_directory(self.output.as_ref(), OUTPUT, !self.no_write && whole)
            .map_err(|parent| UpstreamError::NoOutput { parent })
    }
}

/// Runs the command line; Ctrl-C ends everything in order.
pub async fn main(arguments: Arguments) -> ExitCode {
    exit_code("upstream", DIFFERENT, execute(&arguments)).await
}

/// Whether ours passes what stock passes.
async fn execute(arguments: &Arguments) -> Result<bool, UpstreamError> {
    let plan = arguments.plan(command_line(std::env::args().skip(1)));
    // Told before minutes are spent.
    let output = arguments.output(&plan)?;
    let report: Report = super::run(&plan).await?;
    let _ = write!(std::io::stdout(), "{}", report::table(&report));
    if let Some(dir) = output {
        report::write(&report, &dir)?;
        super::progress(&format!("latest.json and README.md are in {}", dir.display()));
    }
    Ok(report.differences().next().is_none())
}

/// The command as others would type it.
fn command_line(arguments: impl Iterator<Item = String>) -> String {
    let flags: Vec<String> = arguments.collect();
    if flags.is_empty() {
        "make e2e-upstream".to_owned()
    } else {
        format!("make e2e-upstream E2E_UPSTREAM_FLAGS=\"{}\"", flags.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parse(line: &str) -> Arguments {
        Arguments::try_parse_from(line.split(' ')).unwrap()
    }

    #[test]
    fn the_definition_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_part_is_written_only_where_it_is_told_to() {
        let output = |line: &str| {
            let arguments = parse(line);
            arguments.output(&arguments.plan(String::new())).unwrap()
        };
        assert_eq!(output("e2e-upstream --only stock"), None);
        assert_eq!(output("e2e-upstream --spec LimitRange"), None);
        assert_eq!(output("e2e-upstream --no-write"), None);
        assert_eq!(output("e2e-upstream --spec LimitRange --output /x"), Some(PathBuf::from("/x")));
    }

    #[test]
    fn both_sides_run_by_default_each_once() {
        assert_eq!(parse("e2e-upstream").plan(String::new()).sides, Side::ALL);
        assert_eq!(parse("e2e-upstream --only headroom,stock,stock").plan(String::new()).sides, Side::ALL);
    }
}
