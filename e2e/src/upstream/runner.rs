//! Runs `e2e.test` against a cluster: once to list the specs, then once per spec, so that each has a time limit of its
//! own and nothing that one of them breaks in the test program reaches the next.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::control_plane::Identity;
use crate::control_plane::assets::Component;
use crate::error::HarnessError;

use super::ginkgo::{self, Outcome, Spec};
use super::side::Cluster;
use super::{UpstreamError, select};

/// How long listing may take.
const LIST_TIMEOUT: Duration = Duration::from_secs(120);

/// How long Ginkgo may take to end a spec that took too long, and then to write its report.
const GRACE: Duration = Duration::from_secs(30);
const REPORT: Duration = Duration::from_secs(60);

/// A spec's outcome and how long it took, start of the test program included.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Run {
    /// How it ended.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// How long it took.
    pub seconds: f64,
}

/// The specs that the focus selects.
pub(crate) async fn list(cluster: &Cluster) -> Result<Vec<Spec>, UpstreamError> {
    let report = cluster.plane.dir().join("list.json");
    let mut command = e2e_test(cluster, &report)?;
    command.arg("--ginkgo.dry-run");
    command.arg(format!("--ginkgo.focus={}", select::focus()));
    command.arg(format!("--ginkgo.label-filter={}", select::LABELS));
    let process = cluster.plane.start_process("e2e-list", command)?;
    let status = process.wait_exit(LIST_TIMEOUT).await?;
    if !status.success() {
        cluster.plane.keep_directory();
        return Err(UpstreamError::NoList { log: process.log_path().to_path_buf(), tail: process.log_tail() });
    }
    let json = std::fs::read(&report).map_err(UpstreamError::file("read", &report))?;
    ginkgo::selected(&json).map_err(|source| UpstreamError::Report { path: report, source })
}

/// Runs one spec.
pub(crate) async fn run(
    cluster: &Cluster,
    number: usize,
    spec: &Spec,
    timeout: Duration,
) -> Result<Run, UpstreamError> {
    let name = format!("spec-{number:02}");
    let report = cluster.plane.dir().join(format!("{name}.json"));
    let mut command = e2e_test(cluster, &report)?;
    command.arg(format!("--ginkgo.focus={}", spec.focus()));
    command.arg(format!("--ginkgo.timeout={}s", timeout.as_secs()));
    command.arg(format!("--ginkgo.grace-period={}s", GRACE.as_secs()));
    let start = Instant::now();
    let process = cluster.plane.start_process(&name, command)?;
    let outcome = match process.wait_exit(timeout + GRACE + REPORT).await {
        Ok(_) => outcome(&report, spec, &process.log_tail())?,
        Err(HarnessError::StillRunning { .. }) => {
            process.kill9();
            Outcome::Fail(format!("e2e.test did not end within {} s", (timeout + GRACE + REPORT).as_secs()))
        }
        Err(error) => return Err(error.into()),
    };
    // The report holds all specs of the suite; the log stays, for whoever looks for a reason.
    let _ = std::fs::remove_file(&report);
    Ok(Run { outcome, seconds: start.elapsed().as_secs_f64() })
}

fn outcome(report: &Path, spec: &Spec, tail: &str) -> Result<Outcome, UpstreamError> {
    match std::fs::read(report) {
        Ok(json) => {
            let failed = |source| UpstreamError::Report { path: PathBuf::from(report), source };
            ginkgo::outcome(&json, spec).map_err(failed)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Ok(Outcome::Fail(ginkgo::one_line(&format!("e2e.test wrote no report: {tail}"))))
        }
        Err(error) => Err(UpstreamError::file("read", report)(error)),
    }
}

/// `e2e.test` with what every call needs.
fn e2e_test(cluster: &Cluster, report: &Path) -> Result<Command, UpstreamError> {
    let plane = &cluster.plane;
    let mut command = Command::new(plane.assets().require(Component::E2eTest)?);
    command.current_dir(plane.dir());
    command.arg(format!("--kubeconfig={}", plane.kubeconfig(&Identity::Admin)?.display()));
    command.arg(format!("--kubectl-path={}", plane.assets().require(Component::Kubectl)?.display()));
    command.arg(format!("--e2e-output-dir={}", plane.dir().display()));
    command.arg(format!("--ginkgo.json-report={}", report.display()));
    command.args([
        "--provider=skeleton",
        // There are no hosts to fetch logs from.
        "--dump-logs-on-failure=false",
        "--disable-log-dump",
        "--ginkgo.v",
        "--ginkgo.no-color",
        "--ginkgo.silence-skips",
    ]);
    Ok(command)
}
