//! The stock scheduler and the stock controller manager beside us: as baseline, and for the loops that we do not have.

use std::process::Command;

use crate::error::{HarnessError, Result};
use crate::process::Process;

use super::assets::Component;
use super::{ControlPlane, Identity};

/// How the stock scheduler runs.
#[derive(Debug, Clone)]
pub struct SchedulerOptions {
    /// A complete KubeSchedulerConfiguration; `{kubeconfig}` in it is replaced by the path. When given, `qps`,
    /// `burst` and `leader_elect` have to stand in it.
    pub config: Option<String>,
    /// Requests per second to the API server (upstream's default: 50).
    pub qps: u32,
    /// Requests at once (upstream's default: 100).
    pub burst: u32,
    /// Whether it takes the lease `kube-system/kube-scheduler` first (off: it starts at once).
    pub leader_elect: bool,
    /// Further flags.
    pub args: Vec<String>,
}

impl Default for SchedulerOptions {
    fn default() -> Self {
        Self { config: None, qps: 50, burst: 100, leader_elect: false, args: Vec::new() }
    }
}

impl SchedulerOptions {
    /// The client's limits lifted, as benches need it.
    #[must_use]
    pub fn unlimited() -> Self {
        Self { qps: 10_000, burst: 10_000, ..Self::default() }
    }

    fn configuration(&self, kubeconfig: &str) -> String {
        if let Some(config) = &self.config {
            return config.replace("{kubeconfig}", kubeconfig);
        }
        format!(
            "apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
clientConnection:
  kubeconfig: {}
  qps: {}
  burst: {}
leaderElection:
  leaderElect: {}
",
            serde_json::Value::from(kubeconfig),
            self.qps,
            self.burst,
            self.leader_elect
        )
    }
}

impl ControlPlane {
    /// Starts the stock kube-scheduler as `system:kube-scheduler`. It is healthy when `/healthz` on its port
    /// ([`Process::port`]) answers: [`wait_healthy`](Self::wait_healthy).
    ///
    /// # Errors
    /// [`HarnessError`]: not built, or not started.
    pub fn start_stock_scheduler(&self, options: &SchedulerOptions) -> Result<Process> {
        let name = "kube-scheduler";
        let identity = Identity::Scheduler;
        let kubeconfig = self.kubeconfig(&identity)?;
        let file = tempfile::Builder::new()
            .prefix("kube-scheduler-")
            .suffix(".yaml")
            .tempfile_in(self.dir())
            .and_then(|file| file.keep().map_err(|error| error.error))
            .map_err(HarnessError::io("create a file in", self.dir()))?;
        std::fs::write(&file.1, options.configuration(&kubeconfig.to_string_lossy()))
            .map_err(HarnessError::io("write", &file.1))?;
        let mut command = Command::new(self.assets.require(Component::Scheduler)?);
        let port = self.serving_flags(&mut command, &identity)?;
        command.arg(format!("--config={}", file.1.display())).args(&options.args);
        self.start_with_port(name, command, port)
    }

    /// Starts the stock kube-controller-manager with a `--controllers` list, for example
    /// `*,-replicationcontroller-controller`, and further flags. Each controller has its own service account, as in
    /// clusters made by kubeadm; there is no leader election unless a flag says so.
    ///
    /// # Errors
    /// [`HarnessError`]: not built, or not started.
    pub fn start_stock_kcm(&self, controllers: &str, args: &[&str]) -> Result<Process> {
        let identity = Identity::KubeControllerManager;
        let mut command = Command::new(self.assets.require(Component::ControllerManager)?);
        let port = self.serving_flags(&mut command, &identity)?;
        let ca = self.pki.ca_pair();
        command
            .arg(format!("--kubeconfig={}", self.kubeconfig(&identity)?.display()))
            .arg(format!("--controllers={controllers}"))
            .arg("--leader-elect=false")
            .arg("--use-service-account-credentials=true")
            .arg(format!("--service-account-private-key-file={}", self.pki.file("sa.key").display()))
            .arg(format!("--root-ca-file={}", self.pki.ca_cert().display()))
            .arg(format!("--cluster-signing-cert-file={}", ca.cert.display()))
            .arg(format!("--cluster-signing-key-file={}", ca.key.display()))
            .args(args);
        self.start_with_port("kube-controller-manager", command, port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_holds_the_limits_or_is_the_given_one() {
        let text = SchedulerOptions::unlimited().configuration("/k \"x\".yaml");
        assert!(
            text.contains("qps: 10000") && text.contains("leaderElect: false") && text.contains(r#""/k \"x\".yaml""#)
        );
        let given = SchedulerOptions { config: Some("a: {kubeconfig}".to_owned()), ..SchedulerOptions::default() };
        assert_eq!(given.configuration("/k"), "a: /k");
    }
}
