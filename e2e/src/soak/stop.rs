//! How the processes stop: in order under load, and without anything left that nobody can free.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::progress;
use crate::bench::wire::Wire;
use crate::bench_memory::MemoryBenchError;
use crate::budget::Budget;
use crate::control_plane::{ControlPlane, Identity};
use crate::error::HarnessError;
use crate::process::Process;

/// How long a stop may take, seconds: a request in flight has a deadline of its own.
const STOP_SECONDS: f64 = 10.0;
/// How long a process under valgrind runs before it is told to stop: it is some thirty times slower.
const UNDER_VALGRIND: Duration = Duration::from_secs(90);
/// How long its stop may take.
const SLOW_STOP: Duration = Duration::from_secs(180);
/// valgrind's exit status when it found a leak.
const LEAKED: i32 = 99;

/// The leases that are released.
const LEASES: [(&str, &str); 2] = [("scheduler", "kube-scheduler"), ("controllers", "headroom-controllers")];

/// Tells both to stop, and looks whether they do so in order.
pub(super) async fn in_order(
    wire: &Wire,
    scheduler: &Process,
    controllers: &Process,
) -> Result<Vec<Budget>, MemoryBenchError> {
    progress("stopping both in the middle of it");
    let mut budgets = Vec::new();
    for ((name, lease), process) in LEASES.into_iter().zip([scheduler, controllers]) {
        let began = Instant::now();
        let status = process.terminate(Duration::from_secs(60)).await?;
        let took = began.elapsed().as_secs_f64();
        budgets.push(Budget::at_most(format!("{name}: stops after"), took, STOP_SECONDS, (2, "s")));
        let code = f64::from(status.code().unwrap_or(-1)).abs();
        budgets.push(Budget::at_most(format!("{name}: exit status"), code, 0.0, (0, "")));
        let path = format!("/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/{lease}");
        let held: Value = wire.get(&path).await?;
        let holder = held["spec"]["holderIdentity"].as_str().unwrap_or_default();
        let kept = if holder.is_empty() { 0.0 } else { 1.0 };
        budgets.push(Budget::at_most(format!("{name}: leases kept"), kept, 0.0, (0, "")));
    }
    Ok(budgets)
}

/// valgrind, and the binaries that it can look into: those that are shipped bring an allocator of their own.
#[derive(Debug)]
pub(super) struct Leaks {
    valgrind: PathBuf,
    binaries: PathBuf,
}

impl Leaks {
    /// Looks for both; what is missing is said.
    pub(super) fn find() -> Result<Self, String> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let valgrind = std::env::split_paths(&path).map(|dir| dir.join("valgrind")).find(|file| file.is_file());
        let valgrind = valgrind.ok_or("valgrind is not installed: nobody looked for leaks")?;
        let executable = std::env::current_exe().map_err(|error| error.to_string())?;
        let binaries = executable.parent().unwrap_or(Path::new(".")).to_path_buf();
        for name in ["headroom-scheduler", "headroom-controllers"] {
            if !binaries.join(name).is_file() {
                return Err(format!("no {name} in {}: nobody looked for leaks", binaries.display()));
            }
        }
        Ok(Self { valgrind, binaries })
    }

    /// Runs both under valgrind for a while, and stops them.
    pub(super) async fn look(&self, plane: &ControlPlane, trust: &str) -> Result<Vec<Budget>, MemoryBenchError> {
        progress("looking for leaks with valgrind");
        let scheduler = ["--mode=primary", "--leader-elect=false", "--secure-port=0"];
        let controllers = ["--leader-elect=false", "--secure-port=0", trust];
        let running = [
            ("scheduler", self.start(plane, "headroom-scheduler", &Identity::HeadroomScheduler, &scheduler)?),
            ("controllers", self.start(plane, "headroom-controllers", &Identity::HeadroomControllers, &controllers)?),
        ];
        tokio::time::sleep(UNDER_VALGRIND).await;
        let mut budgets = Vec::new();
        for (name, process) in &running {
            process.expect_running("being looked at by valgrind")?;
            let status = process.terminate(SLOW_STOP).await?;
            let log = process.log();
            let lost = definitely_lost(&log);
            if !matches!(status.code(), Some(0 | LEAKED)) || lost.is_none() {
                return Err(HarnessError::Exited {
                    name: (*name).to_owned(),
                    status,
                    during: "being looked at by valgrind".to_owned(),
                    log: process.log_path().to_path_buf(),
                    tail: process.log_tail(),
                }
                .into());
            }
            let lost = lost.unwrap_or_default() as f64;
            budgets.push(Budget::at_most(format!("{name}: lost after the stop"), lost, 0.0, (0, "bytes")));
        }
        Ok(budgets)
    }

    fn start(
        &self,
        plane: &ControlPlane,
        name: &str,
        identity: &Identity,
        flags: &[&str],
    ) -> Result<Process, HarnessError> {
        let mut command = Command::new(&self.valgrind);
        command
            .args(["--tool=memcheck", "--leak-check=full", "--show-leak-kinds=definite"])
            .args(["--errors-for-leak-kinds=definite", "--undef-value-errors=no"])
            .arg(format!("--error-exitcode={LEAKED}"))
            .arg(self.binaries.join(name))
            .arg(format!("--kubeconfig={}", plane.kubeconfig(identity)?.display()))
            .args(flags)
            .current_dir(plane.dir());
        plane.start_process(&format!("valgrind-{name}"), command)
    }
}

/// The number in memcheck's line `definitely lost: 1,024 bytes in 2 blocks`; 0 when all was freed.
fn definitely_lost(log: &str) -> Option<u64> {
    if log.contains("All heap blocks were freed") {
        return Some(0);
    }
    log.lines().find_map(|line| {
        let (_, rest) = line.split_once("definitely lost:")?;
        rest.split_whitespace().next()?.replace(',', "").parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_memcheck_says_is_understood() {
        let text =
            "==1== LEAK SUMMARY:\n==1==    definitely lost: 1,024 bytes in 2 blocks\n==1==    indirectly lost: 7 bytes";
        assert_eq!(definitely_lost(text), Some(1024));
        assert_eq!(definitely_lost("==1== All heap blocks were freed -- no leaks are possible"), Some(0));
        assert_eq!(definitely_lost("valgrind: cannot start"), None);
    }
}
