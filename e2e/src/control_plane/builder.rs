//! Options of a control plane, and its start.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::error::{HarnessError, Result};
use crate::process::Process;
use crate::process::guardian::Guardian;
use crate::reserve::{LoopbackNet, Port, Slots, slots};
use crate::wait::eventually;

use super::assets::{Assets, Component};
use super::directory::Directory;
use super::identity::Identity;
use super::pki::Pki;
use super::{ControlPlane, Release, client, report, servers};

/// How long a start may take unless `KUBEBUILDER_CONTROLPLANE_START_TIMEOUT` says otherwise. It takes 3 s on an idle
/// machine; the rest is for machines that compile at the same time.
const START_TIMEOUT: Duration = Duration::from_secs(180);

/// How often the API server is started with another port when somebody took the reserved one.
const PORT_ATTEMPTS: usize = 5;

/// Longest path of a Unix socket on Linux, bytes, with the terminating zero.
const SOCKET_PATH_LIMIT: usize = 108;

/// How a control plane is set up.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) audit: bool,
    pub(crate) service_account_admission: bool,
    pub(crate) no_request_limits: bool,
    pub(crate) api_server_args: Vec<String>,
    pub(crate) etcd_args: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            audit: false,
            service_account_admission: true,
            no_request_limits: false,
            api_server_args: Vec::new(),
            etcd_args: Vec::new(),
        }
    }
}

/// Sets up and starts a [`ControlPlane`].
#[derive(Debug, Default)]
pub struct ControlPlaneBuilder {
    release: Release,
    options: Options,
    slots: Option<Slots>,
    parent: Option<PathBuf>,
    name: Option<String>,
}

impl ControlPlaneBuilder {
    /// Which Kubernetes it is, stock scheduler and controller manager included: the usual one by default.
    #[must_use]
    pub fn kubernetes(mut self, release: Release) -> Self {
        self.release = release;
        self
    }

    /// Writes an audit log at level Metadata (every request with user, verb, object and status), which
    /// [`ControlPlane::audit_events`] reads. Off by default: it costs time.
    #[must_use]
    pub fn audit(mut self, on: bool) -> Self {
        self.options.audit = on;
        self
    }

    /// Whether the ServiceAccount admission plugin is on, as in any cluster (the default). It refuses pods in
    /// namespaces without a `default` service account: use [`ControlPlane::create_namespace`], or run a controller
    /// manager with `serviceaccount-controller`.
    #[must_use]
    pub fn service_account_admission(mut self, on: bool) -> Self {
        self.options.service_account_admission = on;
        self
    }

    /// Lifts the API server's own limits (priority and fairness, requests in flight), for benches.
    #[must_use]
    pub fn no_request_limits(mut self) -> Self {
        self.options.no_request_limits = true;
        self
    }

    /// Adds a flag of kube-apiserver; it comes last and so wins.
    #[must_use]
    pub fn api_server_arg(mut self, flag: impl Into<String>) -> Self {
        self.options.api_server_args.push(flag.into());
        self
    }

    /// Adds a flag of etcd; it comes last and so wins.
    #[must_use]
    pub fn etcd_arg(mut self, flag: impl Into<String>) -> Self {
        self.options.etcd_args.push(flag.into());
        self
    }

    /// Starts on slots that were taken before (see [`slots`]), which a test needs that runs several at once.
    #[must_use]
    pub fn within(mut self, slots: &Slots) -> Self {
        self.slots = Some(slots.clone());
        self
    }

    /// Makes the directory inside `parent` instead of the system's directory for temporary files.
    #[must_use]
    pub fn directory_in(mut self, parent: impl Into<PathBuf>) -> Self {
        self.parent = Some(parent.into());
        self
    }

    /// A name that stands in the directory's name and in messages; the test's name by default.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Starts etcd and the API server and waits until they are ready: health, RBAC bootstrap, system namespaces and
    /// the `default` service account.
    ///
    /// # Errors
    /// [`HarnessError`]: binaries missing, a process that ended (with the end of its log), or a timeout.
    pub async fn start(self) -> Result<ControlPlane> {
        let assets = Assets::of(self.release)?;
        let (etcd_program, server_program) = (assets.require(Component::Etcd)?, assets.require(Component::ApiServer)?);
        let timeout = start_timeout()?;
        let slots = match self.slots {
            Some(slots) => slots,
            None => slots(1).await,
        };

        let start = Instant::now();
        let name = self.name.unwrap_or_else(test_name);
        let directory = Directory::create(self.parent.as_deref(), &name, SOCKET_PATH_LIMIT - "/peer.sock".len() - 1)?;
        let dir = directory.path().to_path_buf();
        let guardian = Arc::new(Guardian::start(Some(&dir.join("etcd")))?);
        let pki_dir = dir.join("pki");
        for sub in [&pki_dir, &dir.join("log"), &dir.join("kubeconfig")] {
            std::fs::create_dir(sub).map_err(HarnessError::io("create", sub))?;
        }
        servers::write_files(&dir)?;
        let loopback = LoopbackNet::reserve()?;

        let etcd_command = servers::etcd(&etcd_program, &dir, &self.options);
        let etcd = Process::spawn(&guardian, "etcd", etcd_command, dir.join("log/etcd.log"), None)?;
        // Keys are made while etcd starts.
        let pki = Pki::create(&pki_dir)?;
        wait_etcd(&etcd, &dir.join(servers::ETCD_SOCKET), timeout).await?;

        let mut attempt = 0;
        let (server, client) = loop {
            attempt += 1;
            let port = Port::reserve()?;
            let command = servers::api_server(&server_program, &dir, &pki, port.number(), &self.options);
            let kubeconfig = client::write_kubeconfig(&dir, &pki, &Identity::Admin, port.number(), "")?;
            let client = client::from_kubeconfig(&kubeconfig).await?;
            let log = dir.join(format!("log/kube-apiserver{}.log", suffix(attempt)));
            let server = Process::spawn(&guardian, "kube-apiserver", command, log, Some(port))?;
            match wait_ready(&server, &client, timeout.saturating_sub(start.elapsed())).await {
                Ok(()) => break (server, client),
                Err(_) if attempt < PORT_ATTEMPTS && server.log().contains("address already in use") => {}
                Err(error) => return Err(error),
            }
        };

        let port = server.port().unwrap_or_default();
        let control_plane = ControlPlane {
            server: Mutex::new(Some(server)),
            spare_port: Mutex::new(None),
            port,
            etcd,
            later_etcd: Mutex::new(None),
            client,
            pki,
            loopback,
            assets,
            server_program,
            options: self.options,
            logs: Mutex::new(std::collections::BTreeMap::new()),
            ready_after: start.elapsed(),
            _slots: slots,
            guardian,
            directory,
        };
        control_plane.create_default_service_account("default").await?;
        control_plane.directory.release();
        report::started(&control_plane, &name);
        Ok(control_plane)
    }
}

/// `""` for the first, `.2` for the second.
pub(crate) fn suffix(count: usize) -> String {
    if count < 2 { String::new() } else { format!(".{count}") }
}

/// The name of the test: cargo gives every test's thread its name.
fn test_name() -> String {
    std::thread::current().name().filter(|name| *name != "main").unwrap_or("control-plane").to_owned()
}

/// Waits until etcd answers on its socket.
pub(crate) async fn wait_etcd(etcd: &Process, socket: &Path, timeout: Duration) -> Result<()> {
    let answer = eventually(timeout, "etcd to be ready", || async {
        // An exit is final, so it ends the wait with `Ok` and is told below.
        if !etcd.is_running() {
            return Ok(());
        }
        let body = async {
            let mut stream = UnixStream::connect(socket).await?;
            stream.write_all(b"GET /readyz HTTP/1.0\r\nHost: etcd\r\n\r\n").await?;
            let mut text = String::new();
            stream.take(4096).read_to_string(&mut text).await?;
            std::io::Result::Ok(text)
        };
        match body.await {
            Ok(text) if text.starts_with("HTTP/1.0 200") || text.starts_with("HTTP/1.1 200") => Ok(()),
            Ok(text) => Err(text),
            Err(error) => Err(error.to_string()),
        }
    })
    .await;
    etcd.expect_running("starting")?;
    Ok(answer?)
}

/// Waits until the API server answers `ok` on `/readyz` and the system namespaces exist.
pub(crate) async fn wait_ready(server: &Process, client: &kube::Client, timeout: Duration) -> Result<()> {
    let answer = eventually(timeout, "kube-apiserver to be ready", || async {
        if !server.is_running() {
            return Ok(());
        }
        for path in ["/readyz", "/api/v1/namespaces/default", "/api/v1/namespaces/kube-system"] {
            client::get(client, path).await.map_err(|error| format!("{path}: {error}"))?;
        }
        Ok::<(), String>(())
    })
    .await;
    server.expect_running("starting")?;
    Ok(answer?)
}

/// The time limit of a start: a number with `s` or `m`, as the Go libraries write it.
pub(crate) fn start_timeout() -> Result<Duration> {
    const NAME: &str = "KUBEBUILDER_CONTROLPLANE_START_TIMEOUT";
    let Some(value) = std::env::var(NAME).ok().filter(|value| !value.is_empty()) else {
        return Ok(START_TIMEOUT);
    };
    parse_duration(&value).ok_or(HarnessError::Environment {
        name: NAME,
        value,
        reason: "not a duration: write whole seconds or minutes, for example 60s or 2m",
    })
}

fn parse_duration(text: &str) -> Option<Duration> {
    let (number, factor) = match (text.strip_suffix('s'), text.strip_suffix('m')) {
        (Some(number), _) => (number, 1),
        (_, Some(number)) => (number, 60),
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor).map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read() {
        assert_eq!(parse_duration("60s"), Some(Duration::from_mins(1)));
        assert_eq!(parse_duration("2m"), Some(Duration::from_mins(2)));
        for wrong in ["", "5", "-1s", "1h", "99999999999999999999s", "9999999999999999999m"] {
            assert_eq!(parse_duration(wrong), None, "{wrong}");
        }
    }
}
