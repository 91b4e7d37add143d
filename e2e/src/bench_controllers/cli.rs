//! The command line.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use k8s_openapi::jiff::Timestamp;

use super::{Contestant, Plan, Report, SCHEMA, deaths, measure, page};
use crate::bench::BenchError;
use crate::bench::machine::{Machine, commit, first_line};
use crate::bench_memory::MemoryBenchError;
use crate::binaries::our_binary;
use crate::command::{exit_code, results_directory, write_results};
use crate::control_plane::Release;
use crate::control_plane::assets::{Assets, Component};

/// Where the results go, seen from the top of the checkout.
const OUTPUT: &str = "docs/benchmarks";
/// Exit status when ours was slower or needed more than it may.
const BEHIND: u8 = 2;

/// Measures our controllers beside the stock kube-controller-manager with the same loops.
///
/// The table goes to standard output; controllers.json and controllers.md to docs/benchmarks, controllers-1.37.json and
/// controllers-1.37.md when that is the version of Kubernetes.
#[derive(Debug, Parser)]
#[command(name = "bench-controllers", after_help = EXAMPLES)]
pub struct Arguments {
    /// Sizes of ReplicationControllers
    #[arg(long, value_delimiter = ',', default_value = "1000,5000",
          value_parser = clap::value_parser!(u32).range(1..=20_000))]
    replicas: Vec<u32>,
    /// Endpoints of the Service
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=5000))]
    endpoints: u32,
    /// Rounds; each contestant in each of them
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=20))]
    repeat: u32,
    /// Version of stock, API server and etcd
    #[arg(long, value_enum, value_name = "VERSION", default_value_t)]
    kubernetes: Release,
    /// Also let a node die under each profile (a quarter of an hour); without it the page keeps what an earlier run measured
    #[arg(long)]
    deaths: bool,
    /// Directory for controllers.json and controllers.md
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Write no files
    #[arg(long, conflicts_with = "output")]
    no_write: bool,
}

const EXAMPLES: &str = "Examples:
  bench-controllers                                        three rounds, about six minutes
  bench-controllers --kubernetes 1.37.2                    beside another version
  bench-controllers --replicas 50 --endpoints 20 --repeat 1 --no-write
                                                           see that it works

Exit status: 0, 2 when ours was slower than stock, with a dead node's pods as well, or
needed more than a quarter of its memory, 1 when the run failed.";

impl Arguments {
    fn plan(&self) -> Plan {
        let replicas = self.replicas.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        let mut flags = String::new();
        for (flag, value, usual) in [
            ("replicas", replicas, "1000,5000"),
            ("endpoints", self.endpoints.to_string(), "1000"),
            ("repeat", self.repeat.to_string(), "3"),
        ] {
            if value != usual {
                flags = format!("{flags} --{flag} {value}");
            }
        }
        if self.deaths {
            flags.push_str(" --deaths");
        }
        let make = self.kubernetes.make("bench-controllers");
        let command = match flags.trim() {
            "" => make,
            flags => format!("{make} BENCH_CONTROLLERS_FLAGS=\"{flags}\""),
        };
        Plan {
            kubernetes: self.kubernetes,
            replicas: self.replicas.clone(),
            endpoints: self.endpoints,
            repeat: self.repeat,
            deaths: self.deaths,
            command,
        }
    }
}

/// Runs the command line; Ctrl-C ends everything in order.
pub async fn main(arguments: Arguments) -> ExitCode {
    exit_code("bench-controllers", BEHIND, execute(&arguments)).await
}

async fn execute(arguments: &Arguments) -> Result<bool, MemoryBenchError> {
    // Told before minutes are spent.
    let output = results_directory(arguments.output.as_ref(), OUTPUT, !arguments.no_write)
        .map_err(|parent| BenchError::NoOutput { parent })?;
    let plan = arguments.plan();
    let mut rounds = Vec::new();
    for round in 0..plan.repeat {
        for contestant in [Contestant::Stock, Contestant::Headroom] {
            super::progress(&format!("round {} of {}: {contestant:?}", round.saturating_add(1), plan.repeat));
            rounds.push(measure::run(contestant, &plan).await?);
        }
    }
    let (deaths, deaths_measured_at) = if plan.deaths {
        (deaths::run(plan.kubernetes).await?, None)
    } else {
        let file = output.as_ref().map(|dir| dir.join(format!("{}.json", plan.kubernetes.stem(page::STEM))));
        let earlier = file.and_then(|path| deaths::earlier(&std::fs::read_to_string(path).ok()?));
        earlier.map_or_else(Default::default, |(deaths, measured)| (deaths, Some(measured)))
    };
    let assets = Assets::of(plan.kubernetes).ok();
    let stock = assets.and_then(|assets| assets.require(Component::ControllerManager).ok());
    let report = Report {
        schema: SCHEMA,
        date: Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        machine: Machine::read(),
        headroom_commit: commit(),
        headroom_controllers: our_binary("headroom-controllers").ok().and_then(|path| first_line(&path, "--version")),
        kube_controller_manager: stock.and_then(|path| first_line(&path, "--version")),
        plan,
        rounds,
        deaths,
        deaths_measured_at,
    };
    let _ = write!(std::io::stdout(), "{}", page::table(&report));
    if let Some(dir) = output {
        write_results(&dir, &report.plan.kubernetes.stem(page::STEM), &report, &page::page(&report))?;
        super::progress(&format!("the results are in {}", dir.display()));
    }
    Ok(page::keeps_up(&report))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        Arguments::command().debug_assert();
        let plan = Arguments::try_parse_from(["bench-controllers"]).unwrap().plan();
        assert_eq!((plan.replicas, plan.command.as_str()), (vec![1000, 5000], "make bench-controllers"));
        let plan = Arguments::try_parse_from(["bench-controllers", "--replicas", "5,7"]).unwrap().plan();
        assert_eq!(plan.command, "make bench-controllers BENCH_CONTROLLERS_FLAGS=\"--replicas 5,7\"");
        let plan = Arguments::try_parse_from(["bench-controllers", "--kubernetes", "1.37.2"]).unwrap().plan();
        assert_eq!(
            (plan.kubernetes, plan.command.as_str()),
            (Release::V1_37, "make bench-controllers KUBERNETES=1.37.2")
        );
    }
}
