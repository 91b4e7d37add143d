//! Command lines and configuration files of etcd and the API server.

use std::path::Path;
use std::process::Command;

use crate::error::{HarnessError, Result};

use super::builder::Options;
use super::pki::Pki;

/// Service addresses; `kubernetes.default` gets the first one (it stands in the serving certificate).
const SERVICE_RANGE: &str = "10.96.0.0/16";

/// The address that the API server announces for itself in the `kubernetes` Endpoints, where loopback addresses are
/// not valid. Nothing dials it; it is from the range for documentation.
const ADVERTISED: &str = "192.0.2.1";

/// Anonymous requests reach the health endpoints only, as hardened clusters have it.
const AUTHENTICATION: &str = "apiVersion: apiserver.config.k8s.io/v1
kind: AuthenticationConfiguration
anonymous:
  enabled: true
  conditions:
  - path: /livez
  - path: /readyz
  - path: /healthz
";

/// Every request, once, when it has been answered; bodies are left out.
const AUDIT_POLICY: &str = "apiVersion: audit.k8s.io/v1
kind: Policy
omitStages:
- RequestReceived
rules:
- level: Metadata
";

/// The name of the audit log inside the control plane's directory.
pub(crate) const AUDIT_LOG: &str = "audit.log";

/// The socket of etcd: no port, so nothing to collide.
pub(crate) const ETCD_SOCKET: &str = "etcd.sock";

/// etcd with its data in `<dir>/etcd`.
///
/// It listens on Unix sockets. The announced addresses have to look like addresses but are never dialled: there is
/// one member. `--unsafe-no-fsync`: what a power failure would lose is thrown away anyway.
pub(crate) fn etcd(program: &Path, dir: &Path, options: &Options) -> Command {
    let peer = "http://localhost:2380";
    let mut command = Command::new(program);
    command.current_dir(dir).args([
        "--name=headroom-e2e",
        "--unsafe-no-fsync",
        "--log-level=warn",
        "--enable-grpc-gateway=false",
        "--quota-backend-bytes=8589934592",
        "--max-request-bytes=10485760",
        "--advertise-client-urls=http://localhost:2379",
    ]);
    command.arg(format!("--data-dir={}", dir.join("etcd").display()));
    command.arg(format!("--listen-client-urls=unix://{}", dir.join(ETCD_SOCKET).display()));
    command.arg(format!("--listen-peer-urls=unix://{}", dir.join("peer.sock").display()));
    command.arg(format!("--initial-advertise-peer-urls={peer}"));
    command.arg(format!("--initial-cluster=headroom-e2e={peer}"));
    command.args(&options.etcd_args);
    command
}

/// Writes the files that the API server reads.
pub(crate) fn write_files(dir: &Path) -> Result<()> {
    for (name, text) in [("authentication.yaml", AUTHENTICATION), ("audit-policy.yaml", AUDIT_POLICY)] {
        let path = dir.join(name);
        std::fs::write(&path, text).map_err(HarnessError::io("write", path))?;
    }
    Ok(())
}

/// The API server on 127.0.0.1.
pub(crate) fn api_server(program: &Path, dir: &Path, pki: &Pki, port: u16, options: &Options) -> Command {
    let mut command = Command::new(program);
    command.current_dir(dir);
    let mut arg = |flag: &str, value: &str| {
        command.arg(format!("--{flag}={value}"));
    };
    let file = |name: &str| pki.file(name).display().to_string();
    let local = |name: &str| dir.join(name).display().to_string();

    arg("etcd-servers", &format!("unix://{}", local(ETCD_SOCKET)));
    arg("bind-address", "127.0.0.1");
    arg("secure-port", &port.to_string());
    arg("advertise-address", ADVERTISED);
    arg("service-cluster-ip-range", SERVICE_RANGE);
    arg("allow-privileged", "true");
    arg("authorization-mode", "Node,RBAC");
    arg("authentication-config", &local("authentication.yaml"));
    arg("client-ca-file", &file("ca.crt"));
    arg("tls-cert-file", &file("apiserver.crt"));
    arg("tls-private-key-file", &file("apiserver.key"));
    // Aggregation and delegated authentication: our processes authenticate scrapers through the API server.
    arg("requestheader-client-ca-file", &file("front-proxy-ca.crt"));
    arg("requestheader-allowed-names", "front-proxy-client");
    arg("requestheader-username-headers", "X-Remote-User");
    arg("requestheader-group-headers", "X-Remote-Group");
    arg("requestheader-extra-headers-prefix", "X-Remote-Extra-");
    arg("proxy-client-cert-file", &file("front-proxy-client.crt"));
    arg("proxy-client-key-file", &file("front-proxy-client.key"));
    arg("kubelet-client-certificate", &file("apiserver-kubelet-client.crt"));
    arg("kubelet-client-key", &file("apiserver-kubelet-client.key"));
    arg("kubelet-preferred-address-types", "InternalIP,Hostname");
    arg("service-account-issuer", "https://kubernetes.default.svc");
    arg("service-account-key-file", &file("sa.pub"));
    arg("service-account-signing-key-file", &file("sa.key"));
    // What is stopped here is stopped for a test, not for its clients' sake.
    arg("shutdown-delay-duration", "0s");
    arg("shutdown-send-retry-after", "false");
    arg("profiling", "false");
    if options.audit {
        arg("audit-policy-file", &local("audit-policy.yaml"));
        arg("audit-log-path", &local(AUDIT_LOG));
        // Written before the answer is sent: what a test has seen answered stands in the log.
        arg("audit-log-mode", "blocking-strict");
        // One file, whatever its size: no rotation in the middle of a test.
        arg("audit-log-maxsize", "4096");
    }
    if !options.service_account_admission {
        arg("disable-admission-plugins", "ServiceAccount");
    }
    if options.no_request_limits {
        arg("max-requests-inflight", "0");
        arg("max-mutating-requests-inflight", "0");
        arg("enable-priority-and-fairness", "false");
    }
    command.args(&options.api_server_args);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(options: &Options) -> String {
        let dir = tempfile::tempdir().unwrap();
        let pki = Pki::create(dir.path()).unwrap();
        let command = api_server(Path::new("kube-apiserver"), dir.path(), &pki, 20_001, options);
        command.get_args().map(|argument| argument.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn admission_and_authorization_are_as_in_a_cluster_unless_told_otherwise() {
        let standard = line(&Options::default());
        assert!(standard.contains("--authorization-mode=Node,RBAC"));
        assert!(
            !standard.contains("admission-plugins") && !standard.contains("audit") && !standard.contains("inflight")
        );
    }

    #[test]
    fn options_add_their_flags() {
        let options = Options {
            audit: true,
            service_account_admission: false,
            no_request_limits: true,
            api_server_args: vec!["--v=4".to_owned()],
            ..Options::default()
        };
        let got = line(&options);
        for flag in
            ["--audit-log-path=", "--disable-admission-plugins=ServiceAccount", "--max-requests-inflight=0", "--v=4"]
        {
            assert!(got.contains(flag), "{flag} in {got}");
        }
    }
}
