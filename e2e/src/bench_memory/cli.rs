//! The command line.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};

use super::{MemoryBenchError, Plan, report};
use crate::bench::BenchError;
use crate::command::{exit_code, results_directory};

/// Where the results go, seen from the top of the checkout.
const OUTPUT: &str = "docs/benchmarks";

/// Exit status when ours did not keep what it promises.
const BROKEN: u8 = 2;

/// Measures what becomes of small nodes whose memory is short, with headroom-scheduler and with kube-scheduler.
///
/// Each side has a control plane of its own with the same simulated nodes, memory curves and arrivals. The table goes to
/// standard output; memory.json, memory.md and thrash.svg to docs/benchmarks.
#[derive(Debug, Parser)]
#[command(name = "bench-memory", after_help = EXAMPLES)]
pub struct Arguments {
    /// Only one of the scenarios; writes nothing without --output
    #[arg(long, value_enum)]
    only: Option<Scenario>,
    /// How long the thrash scenario is watched, seconds
    #[arg(long, default_value_t = 240, value_parser = clap::value_parser!(u64).range(10..=3600))]
    seconds: u64,
    /// Runs of everything, both sides in each; medians are reported
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    repeat: u32,
    /// Directory for memory.json, memory.md and thrash.svg
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Write no files
    #[arg(long, conflicts_with = "output")]
    no_write: bool,
}

/// A scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Scenario {
    /// 11 pods at once on three nodes.
    Herd,
    /// Waves of a crawler.
    Thrash,
}

const EXAMPLES: &str = "Examples:
  bench-memory                              the whole measurement, about five minutes
  bench-memory --repeat 5                   medians of five runs, about 25 minutes
  bench-memory --only herd                  the herd alone, half a minute
  bench-memory --only thrash --seconds 120  the first two minutes of the thrash scenario

Exit status: 0 when Headroom kept what it promises, 2 when not, 1 when a run failed.";

impl Arguments {
    fn plan(&self) -> Plan {
        let runs = |scenario| self.only.is_none_or(|only| only == scenario);
        let mut flags = Vec::new();
        if let Some(only) = self.only.and_then(|only| only.to_possible_value()) {
            flags.push(format!("--only {}", only.get_name()));
        }
        if self.seconds != 240 {
            flags.push(format!("--seconds {}", self.seconds));
        }
        if self.repeat != 1 {
            flags.push(format!("--repeat {}", self.repeat));
        }
        let command = match flags.join(" ").as_str() {
            "" => "make bench-memory".to_owned(),
            flags => format!("make bench-memory BENCH_MEMORY_FLAGS=\"{flags}\""),
        };
        Plan {
            herd: runs(Scenario::Herd),
            thrash: runs(Scenario::Thrash).then(|| Duration::from_secs(self.seconds)),
            repeat: self.repeat,
            command,
        }
    }

    /// Where to write, if anywhere.
    fn output(&self) -> Result<Option<PathBuf>, BenchError> {
        let for_the_record = !self.no_write && self.only.is_none();
        results_directory(self.output.as_ref(), OUTPUT, for_the_record)
            .map_err(|parent| BenchError::NoOutput { parent })
    }
}

/// Runs the command line; Ctrl-C ends everything in order.
pub async fn main(arguments: Arguments) -> ExitCode {
    exit_code("bench-memory", BROKEN, execute(&arguments)).await
}

/// Whether ours kept what it promises.
async fn execute(arguments: &Arguments) -> Result<bool, MemoryBenchError> {
    // Told before minutes are spent.
    let output = arguments.output()?;
    let report = super::run(&arguments.plan()).await?;
    let _ = write!(std::io::stdout(), "{}", report::table(&report));
    if let Some(dir) = output {
        report::write(&report, &dir)?;
        super::progress(&format!("the results are in {}", dir.display()));
    }
    Ok(report.broken_promises().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn one_scenario_alone_writes_nothing() {
        let all = Arguments::try_parse_from(["bench-memory"]).unwrap().plan();
        assert_eq!(
            (all.herd, all.thrash, all.command.as_str()),
            (true, Some(Duration::from_secs(240)), "make bench-memory")
        );
        let herd = Arguments::try_parse_from(["bench-memory", "--only", "herd"]).unwrap();
        assert!(herd.plan().herd && herd.plan().thrash.is_none() && herd.output().unwrap().is_none());
        assert!(herd.plan().command.contains("--only herd"));
        assert!(Arguments::try_parse_from(["bench-memory", "--seconds", "1"]).is_err());
    }

    #[test]
    fn repetitions_are_counted_and_stand_in_the_command() {
        let plan = |line: &str| Arguments::try_parse_from(line.split(' ')).unwrap().plan();
        assert_eq!(plan("bench-memory").repeat, 1);
        let several = plan("bench-memory --only thrash --seconds 60 --repeat 3");
        assert_eq!(several.repeat, 3);
        let flags = "--only thrash --seconds 60 --repeat 3";
        assert_eq!(several.command, format!("make bench-memory BENCH_MEMORY_FLAGS=\"{flags}\""));
        for wrong in ["0", "101", "many"] {
            assert!(Arguments::try_parse_from(["bench-memory", "--repeat", wrong]).is_err(), "{wrong}");
        }
    }
}
