//! The command line.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use super::{Plan, Report, measure, page};
use crate::bench::BenchError;
use crate::bench_memory::MemoryBenchError;
use crate::command::{exit_code, results_directory, write_results};

/// Where the results go, seen from the top of the checkout.
const OUTPUT: &str = "docs/benchmarks";
/// Exit status when a node was not measured.
const UNMEASURED: u8 = 2;

/// Measures what it costs to read every kubelet of a large cluster and to publish the result.
///
/// The table goes to standard output; collector.json and collector.md to docs/benchmarks.
#[derive(Debug, Parser)]
#[command(name = "bench-collector", after_help = EXAMPLES)]
pub struct Arguments {
    /// Simulated nodes
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1000))]
    nodes: u32,
    /// Pods on each node
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(0..=100))]
    pods_per_node: u32,
    /// Length of the window, seconds
    #[arg(long, default_value_t = 180, value_parser = clap::value_parser!(u64).range(5..=3600))]
    seconds: u64,
    /// Directory for collector.json and collector.md
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Write no files
    #[arg(long, conflicts_with = "output")]
    no_write: bool,
}

const EXAMPLES: &str = "Examples:
  bench-collector                                       1,000 nodes, about ten minutes
  bench-collector --nodes 20 --seconds 30 --no-write    see that it works

Exit status: 0, 2 when a node was not measured in the window, 1 when the run failed.";

impl Arguments {
    fn plan(&self) -> Plan {
        let mut flags = String::new();
        for (flag, value, usual) in [
            ("nodes", u64::from(self.nodes), 1000),
            ("pods-per-node", u64::from(self.pods_per_node), 10),
            ("seconds", self.seconds, 180),
        ] {
            if value != usual {
                flags = format!("{flags} --{flag} {value}");
            }
        }
        let command = match flags.trim() {
            "" => "make bench-collector".to_owned(),
            flags => format!("make bench-collector BENCH_COLLECTOR_FLAGS=\"{flags}\""),
        };
        Plan { nodes: self.nodes, pods_per_node: self.pods_per_node, seconds: self.seconds, command }
    }
}

/// Runs the command line; Ctrl-C ends everything in order.
pub async fn main(arguments: Arguments) -> ExitCode {
    exit_code("bench-collector", UNMEASURED, execute(&arguments)).await
}

async fn execute(arguments: &Arguments) -> Result<bool, MemoryBenchError> {
    // Told before minutes are spent.
    let output = results_directory(arguments.output.as_ref(), OUTPUT, !arguments.no_write)
        .map_err(|parent| BenchError::NoOutput { parent })?;
    let plan = arguments.plan();
    let figures = measure::run(&plan).await?;
    let report = Report::new(plan, figures);
    let _ = write!(std::io::stdout(), "{}", page::table(&report));
    if let Some(dir) = output {
        write_results(&dir, "collector", &report, &page::page(&report))?;
        super::progress(&format!("the results are in {}", dir.display()));
    }
    Ok(report.figures.failed_reads == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        Arguments::command().debug_assert();
        let plan = Arguments::try_parse_from(["bench-collector"]).unwrap().plan();
        assert_eq!((plan.nodes, plan.command.as_str()), (1000, "make bench-collector"));
        let plan = Arguments::try_parse_from(["bench-collector", "--nodes", "5"]).unwrap().plan();
        assert_eq!(plan.command, "make bench-collector BENCH_COLLECTOR_FLAGS=\"--nodes 5\"");
    }
}
