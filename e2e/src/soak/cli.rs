//! The command line.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use super::{Plan, page, run};
use crate::bench::BenchError;
use crate::bench_memory::MemoryBenchError;
use crate::command::{exit_code, results_directory, write_results};

/// Where the results go, seen from the top of the checkout.
const OUTPUT: &str = "docs/benchmarks";
/// Exit status when memory grew, or a process did not stop in order.
const MISSED: u8 = 2;
/// Length of a run for the record, minutes.
const USUAL_MINUTES: u32 = 30;

/// Lets pods come and go, and fails when a process grows or does not stop in order.
///
/// The table goes to standard output. Runs of at least 30 minutes write soak.json and soak.md to docs/benchmarks.
#[derive(Debug, Parser)]
#[command(name = "soak", after_help = EXAMPLES)]
pub struct Arguments {
    /// Length
    #[arg(long, default_value_t = USUAL_MINUTES, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    minutes: u32,
    /// Pods that come, and pods that go, per second
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=500))]
    rate: u32,
    /// Simulated nodes
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    nodes: u32,
    /// Most KiB per minute by which a process may grow
    #[arg(long, default_value_t = 32.0)]
    bound: f64,
    /// Do not look for leaks with valgrind
    #[arg(long)]
    no_leaks: bool,
    /// Directory for soak.json and soak.md
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Write no files
    #[arg(long, conflicts_with = "output")]
    no_write: bool,
}

const EXAMPLES: &str = "Examples:
  soak                          half an hour
  soak --minutes 5 --bound 256  see that it works

Exit status: 0, 2 when a process grew or did not stop in order, 1 when the run
failed.";

impl Arguments {
    fn plan(&self) -> Plan {
        let mut flags = String::new();
        for (flag, value, usual) in
            [("minutes", self.minutes, USUAL_MINUTES), ("rate", self.rate, 50), ("nodes", self.nodes, 20)]
        {
            if value != usual {
                flags = format!("{flags} --{flag} {value}");
            }
        }
        if (self.bound - 32.0).abs() > f64::EPSILON {
            flags = format!("{flags} --bound {}", self.bound);
        }
        let command = match flags.trim() {
            "" => "make soak".to_owned(),
            flags => format!("make soak SOAK_FLAGS=\"{flags}\""),
        };
        Plan {
            minutes: self.minutes,
            rate: self.rate,
            nodes: self.nodes,
            bound_kib: self.bound,
            leaks: !self.no_leaks,
            command,
        }
    }
}

/// Runs the command line; Ctrl-C ends everything in order.
pub async fn main(arguments: Arguments) -> ExitCode {
    exit_code("soak", MISSED, execute(&arguments)).await
}

async fn execute(arguments: &Arguments) -> Result<bool, MemoryBenchError> {
    // Told before minutes are spent.
    let for_the_record = !arguments.no_write && arguments.minutes >= USUAL_MINUTES;
    let output = results_directory(arguments.output.as_ref(), OUTPUT, for_the_record)
        .map_err(|parent| BenchError::NoOutput { parent })?;
    let report = run::run(&arguments.plan()).await?;
    let _ = write!(std::io::stdout(), "{}", page::table(&report));
    if let Some(dir) = output {
        write_results(&dir, "soak", &report, &page::page(&report))?;
        super::progress(&format!("the results are in {}", dir.display()));
    }
    Ok(report.budgets.iter().all(|budget| budget.met != Some(false)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        Arguments::command().debug_assert();
        let plan = Arguments::try_parse_from(["soak"]).unwrap().plan();
        assert_eq!((plan.minutes, plan.rate, plan.command.as_str()), (30, 50, "make soak"));
        let plan = Arguments::try_parse_from(["soak", "--minutes", "5"]).unwrap().plan();
        assert_eq!(plan.command, "make soak SOAK_FLAGS=\"--minutes 5\"");
    }
}
