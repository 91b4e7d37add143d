//! The command line.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

use clap::Parser;

use super::{Bare, BenchError, Case, Contestant, Plan, Report, Workload, report};
use crate::command::{exit_code, results_directory};
use crate::control_plane::Release;

/// Where the results go, seen from the top of the checkout.
const OUTPUT: &str = "docs/benchmarks";

/// Exit status when a run was wrong: a pod was not bound, or twice, or a node holds too much.
const WRONG: u8 = 2;

/// Measures headroom-scheduler beside kube-scheduler and a bare loop of binding POSTs.
///
/// Every run has a fresh etcd and kube-apiserver with the nodes and all pods created before the contestant starts. The
/// table goes to standard output, latest.json and README.md to docs/benchmarks; the workloads of scheduler_perf have
/// scheduler-perf.json and scheduler-perf.md there, in which what is not measured anew stays. With another version of
/// Kubernetes than the usual one the files have its number: latest-1.37.json, 1.37.md, scheduler-perf-1.37.md.
#[derive(Debug, Parser)]
#[command(name = "bench", after_help = EXAMPLES)]
pub struct Arguments {
    /// Who takes part, comma-separated
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Contestant::ALL)]
    only: Vec<Contestant>,
    /// NODESxPODS, or workloads of scheduler_perf: NAME, NAME/SIZE or SIZE; comma-separated [default: 100x5000,1000x10000,5000x10000]
    #[arg(long, value_delimiter = ',', value_name = "WORKLOAD")]
    workload: Vec<Selected>,
    /// Version of stock, API server and etcd
    #[arg(long, value_enum, value_name = "VERSION", default_value_t)]
    kubernetes: Release,
    /// Show the workloads of scheduler_perf, and measure nothing
    #[arg(long)]
    list: bool,
    /// Rounds of everything, each in another order; medians are reported, and those of the ratios within rounds
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    repeat: u32,
    /// Connections of the bare loop, in turn: an API server takes 100 requests of one at once
    #[arg(long, default_value_t = Bare::AS_OURS.connections, value_parser = clap::value_parser!(u16).range(1..=100))]
    bare_connections: u16,
    /// Binding POSTs in flight of the bare loop, over all of its connections
    #[arg(long, default_value_t = Bare::AS_OURS.in_flight, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    in_flight: u16,
    /// Leave out the idle measurement
    #[arg(long)]
    no_idle: bool,
    /// Smoke test: 20 nodes, 500 pods, short waits; writes nothing without --output
    #[arg(long, conflicts_with = "workload")]
    quick: bool,
    /// Directory for latest.json and README.md
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Write no files
    #[arg(long, conflicts_with = "output")]
    no_write: bool,
}

const EXAMPLES: &str = "Examples:
  bench                                        the whole measurement
  bench --only stock,bare --workload 100x5000  two contestants, one workload
  bench --repeat 3                             medians of three rounds: each contestant begins one
  bench --list                                 the workloads of scheduler_perf
  bench --workload 500Nodes                    all of them in this size
  bench --kubernetes 1.37.2                    beside another version of Kubernetes
  bench --quick                                see that it works

Exit status: 0 when every pod was bound exactly once, 2 when not, 1 when a run failed.";

/// What one word of `--workload` means.
#[derive(Debug, Clone)]
enum Selected {
    Burst(Workload),
    Cases(Vec<Case>),
}

impl FromStr for Selected {
    type Err = BenchError;

    fn from_str(text: &str) -> Result<Self, BenchError> {
        if text.starts_with(|c: char| c.is_ascii_digit()) && text.contains('x') {
            return text.parse().map(Self::Burst);
        }
        Case::find(text).map(Self::Cases)
    }
}

impl Arguments {
    /// Bursts by size, and workloads of scheduler_perf, each once.
    fn selected(&self) -> (Vec<Workload>, Vec<Case>) {
        if self.quick {
            return (vec![Workload::QUICK], Vec::new());
        }
        if self.workload.is_empty() {
            return (vec![Workload::SMALL, Workload::BIG, Workload::HUGE], Vec::new());
        }
        let (mut workloads, mut cases) = (Vec::new(), Vec::new());
        for selected in &self.workload {
            match selected {
                Selected::Burst(workload) => workloads.push(*workload),
                Selected::Cases(some) => cases.extend(some.iter().copied()),
            }
        }
        workloads.sort_unstable();
        workloads.dedup();
        let cases = Case::all().filter(|case| cases.contains(case)).collect();
        (workloads, cases)
    }

    fn plan(&self, command: String) -> Plan {
        let mut contestants = self.only.clone();
        contestants.sort_unstable();
        contestants.dedup();
        let (workloads, cases) = self.selected();
        Plan {
            kubernetes: self.kubernetes,
            contestants,
            repeat: self.repeat,
            // Idle processes belong to the page of the bursts.
            idle: !self.no_idle && !workloads.is_empty(),
            workloads,
            cases,
            quick: self.quick,
            bare: Bare { connections: self.bare_connections, in_flight: self.in_flight },
            command,
        }
    }

    /// Where to write, if anywhere.
    fn output(&self) -> Result<Option<PathBuf>, BenchError> {
        let for_the_record = !self.no_write && !self.quick;
        results_directory(self.output.as_ref(), OUTPUT, for_the_record)
            .map_err(|parent| BenchError::NoOutput { parent })
    }
}

/// Runs the command line; Ctrl-C ends everything in order.
pub async fn main(arguments: Arguments) -> ExitCode {
    exit_code("bench", WRONG, execute(&arguments)).await
}

/// Whether everything was bound exactly once.
async fn execute(arguments: &Arguments) -> Result<bool, BenchError> {
    if arguments.list {
        let mut out = std::io::stdout();
        for case in Case::all() {
            let (nodes, placed, pods) = case.counts();
            let _ = writeln!(out, "{case}  {nodes} nodes, {placed} pods on them, {pods} pods measured");
        }
        return Ok(true);
    }
    // Told before minutes are spent.
    let output = arguments.output()?;
    let plan = arguments.plan(command_line(arguments.kubernetes, std::env::args().skip(1)));
    let report: Report = super::run(&plan, output.as_deref()).await?;
    let _ = write!(std::io::stdout(), "{}", report::table(&report));
    if let Some(dir) = output {
        report::write(&report, &dir)?;
        super::progress(&format!("the results are in {}", dir.display()));
    }
    Ok(report.is_right())
}

/// Flags that the command of others does not have: a path of this machine, and what make says in its own way.
const LEFT_OUT: [&str; 2] = ["--output", "--kubernetes"];

/// The command as others would type it.
fn command_line(release: Release, arguments: impl Iterator<Item = String>) -> String {
    let mut flags = Vec::new();
    let mut skip = false;
    for argument in arguments {
        let (flag, has_value) = argument.split_once('=').map_or((argument.as_str(), false), |(flag, _)| (flag, true));
        let value = std::mem::take(&mut skip);
        if !value && LEFT_OUT.contains(&flag) {
            skip = !has_value;
        } else if !value {
            flags.push(argument);
        }
    }
    let make = release.make("bench");
    if flags.is_empty() { make } else { format!("{make} BENCH_FLAGS=\"{}\"", flags.join(" ")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parse(line: &str) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from(line.split(' '))
    }

    #[test]
    fn the_definition_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_plan_holds_each_contestant_and_workload_once_in_order() {
        let plan = parse("bench --only headroom,bare,bare --workload 1000x10000,100x5000").unwrap().plan(String::new());
        assert_eq!(plan.contestants, [Contestant::Bare, Contestant::Headroom]);
        assert_eq!(plan.workloads, [Workload::SMALL, Workload::BIG]);
        let plan = parse("bench").unwrap().plan(String::new());
        assert_eq!((plan.contestants.len(), plan.workloads.len()), (Contestant::ALL.len(), 3));
        assert!(plan.idle && plan.repeat == 1 && plan.bare == Bare { connections: 3, in_flight: 300 });
        let plan = parse("bench --bare-connections 1 --in-flight 100").unwrap().plan(String::new());
        assert_eq!(plan.bare, Bare { connections: 1, in_flight: 100 });
    }

    #[test]
    fn workloads_of_scheduler_perf_go_by_name() {
        let plan = |line: &str| parse(line).unwrap().plan(String::new());
        let both = plan("bench --workload SchedulingBasic/500Nodes,100x5000,SchedulingBasic/500Nodes");
        assert_eq!((both.workloads.len(), both.cases.len(), both.idle), (1, 1, true));
        let named = plan("bench --workload 500Nodes");
        assert!(named.cases.len() > 10 && named.workloads.is_empty() && !named.idle);
    }

    #[test]
    fn the_usual_kubernetes_is_taken_unless_another_is_named() {
        let plan = |line: &str| parse(line).unwrap().plan(String::new());
        assert!(plan("bench").kubernetes.is_usual());
        assert_eq!(plan("bench --kubernetes 1.37.2").kubernetes, Release::V1_37);
    }

    #[test]
    fn wrong_flags_are_refused() {
        for line in [
            "bench --only k3s",
            "bench --workload 10x9999",
            "bench --workload Nothing",
            "bench --repeat 0",
            "bench --bare-connections 0",
            "bench --quick --workload 1x2",
            "bench --kubernetes 1.36",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn quick_writes_only_where_it_is_told_to() {
        assert!(parse("bench --quick").unwrap().output().unwrap().is_none());
        assert!(parse("bench --no-write").unwrap().output().unwrap().is_none());
        let dir = parse("bench --quick --output /x").unwrap().output().unwrap();
        assert_eq!(dir.as_deref(), Some(std::path::Path::new("/x")));
    }

    #[test]
    fn the_command_is_told_without_paths() {
        let of = |release, text: &str| command_line(release, text.split_whitespace().map(str::to_owned));
        let line = |text: &str| of(Release::default(), text);
        assert_eq!(line(""), "make bench");
        assert_eq!(line("--output=/home/x"), "make bench");
        for text in ["--kubernetes 1.37.2 --repeat 3", "--repeat 3 --kubernetes=1.37.2"] {
            assert_eq!(of(Release::V1_37, text), "make bench KUBERNETES=1.37.2 BENCH_FLAGS=\"--repeat 3\"");
        }
        assert_eq!(line("--repeat 3 --output /home/x --no-idle"), "make bench BENCH_FLAGS=\"--repeat 3 --no-idle\"");
    }
}
