//! Our own processes beside the control plane, each with its own identity.

use std::process::Command;

use crate::binaries::our_binary;
use crate::error::Result;
use crate::process::Process;
use crate::reserve::Port;

use super::{ControlPlane, Identity};

/// The loops of kube-controller-manager that headroom-controllers has: what is subtracted there when it runs here.
pub const LOOPS: [&str; 7] = [
    "replicationcontroller-controller",
    "endpoints-controller",
    "endpointslice-controller",
    "endpointslice-mirroring-controller",
    "node-lifecycle-controller",
    "taint-eviction-controller",
    "pod-garbage-collector-controller",
];

impl ControlPlane {
    /// Starts `headroom-scheduler` as its service account; apply the RBAC manifests first
    /// ([`apply_rbac`](Self::apply_rbac)). `arguments` come last and so win; the serving port is
    /// [`Process::port`].
    ///
    /// # Errors
    /// [`crate::HarnessError`]: not built, or not started.
    pub fn start_headroom_scheduler(&self, arguments: &[&str]) -> Result<Process> {
        self.start_ours("headroom-scheduler", &Identity::HeadroomScheduler, arguments)
    }

    /// Starts `headroom-controllers` as its service account.
    ///
    /// # Errors
    /// [`crate::HarnessError`]: not built, or not started.
    pub fn start_headroom_controllers(&self, arguments: &[&str]) -> Result<Process> {
        self.start_ours("headroom-controllers", &Identity::HeadroomControllers, arguments)
    }

    /// Starts one of our binaries with the flags that all of them share: kubeconfigs, serving address and certificate.
    ///
    /// # Errors
    /// [`crate::HarnessError`]: not built, or not started.
    pub fn start_ours(&self, name: &str, identity: &Identity, arguments: &[&str]) -> Result<Process> {
        let mut command = Command::new(our_binary(name)?);
        let port = self.serving_flags(&mut command, identity)?;
        command.arg(format!("--kubeconfig={}", self.kubeconfig(identity)?.display()));
        command.args(arguments);
        self.start_with_port(name, command, port)
    }

    /// Adds what every serving component takes: address, port, certificate, and whom to ask about callers.
    pub(crate) fn serving_flags(&self, command: &mut Command, identity: &Identity) -> Result<Port> {
        let port = Port::reserve()?;
        let kubeconfig = self.kubeconfig(identity)?;
        let serving = self.pki.serving();
        command
            .current_dir(self.dir())
            .arg("--bind-address=127.0.0.1")
            .arg(format!("--secure-port={}", port.number()))
            .arg(format!("--tls-cert-file={}", serving.cert.display()))
            .arg(format!("--tls-private-key-file={}", serving.key.display()))
            .arg(format!("--authentication-kubeconfig={}", kubeconfig.display()))
            .arg(format!("--authorization-kubeconfig={}", kubeconfig.display()));
        Ok(port)
    }
}
