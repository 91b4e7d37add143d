//! A real control plane for a test, the demo or a bench: etcd and kube-apiserver with a PKI of their own, on a port
//! of their own, in a directory of their own; ready about three seconds after the start, gone at the end.

pub mod assets;
pub mod audit;
pub mod build;
mod builder;
mod client;
mod directory;
mod identity;
mod manifests;
mod nodes;
mod ours;
mod pki;
mod power;
mod rbac;
mod report;
mod servers;
mod stock;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Api;
use kube::api::PostParams;

use crate::error::{HarnessError, Result};
use crate::process::guardian::Guardian;
use crate::process::{Process, Signal};
use crate::reserve::{LoopbackNet, Port, Slots};
use crate::wait::eventually;

use assets::{Assets, Component};
use builder::Options;
use directory::Directory;

pub use build::Release;
pub use builder::ControlPlaneBuilder;
pub use identity::{Identity, SYSTEM_NAMESPACE};
pub use ours::LOOPS;
pub use pki::{CertPair, Pki};
pub use rbac::RbacSet;
pub use stock::SchedulerOptions;

/// Who may read the metrics of our processes, and nothing else.
const METRICS_READER: &str = "apiVersion: v1
kind: ServiceAccount
metadata: {name: metrics-reader, namespace: kube-system}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: metrics-reader}
rules:
- {nonResourceURLs: [/metrics], verbs: [get]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: metrics-reader}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: metrics-reader}
subjects:
- {kind: ServiceAccount, name: metrics-reader, namespace: kube-system}
";

/// How long the API server may take to stop by itself before it is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// A running control plane. Dropping it ends every process and removes its directory; when the thread panics, the
/// directory is kept and its path printed. A test should therefore fail by panicking (`unwrap`, `assert!`), or call
/// [`keep_directory`](Self::keep_directory) before it returns an error.
pub struct ControlPlane {
    // Fields are dropped in this order: processes first, the directory last.
    server: Mutex<Option<Process>>,
    spare_port: Mutex<Option<Port>>,
    etcd: Process,
    later_etcd: Mutex<Option<Process>>,
    guardian: Arc<Guardian>,
    port: u16,
    client: kube::Client,
    pki: Pki,
    loopback: LoopbackNet,
    assets: Assets,
    server_program: PathBuf,
    options: Options,
    logs: Mutex<BTreeMap<String, usize>>,
    ready_after: Duration,
    directory: Directory,
    _slots: Slots,
}

impl std::fmt::Debug for ControlPlane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ControlPlane").field("url", &self.url()).field("dir", &self.dir()).finish_non_exhaustive()
    }
}

impl ControlPlane {
    /// Options, then `.start()`.
    #[must_use]
    pub fn builder() -> ControlPlaneBuilder {
        ControlPlaneBuilder::default()
    }

    /// The API server's URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// How long the start took, from the first process to readiness.
    #[must_use]
    pub fn ready_after(&self) -> Duration {
        self.ready_after
    }

    /// The directory with keys, kubeconfigs, logs and data.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.directory.path()
    }

    /// Keeps the directory at the end, as after a panic.
    pub fn keep_directory(&self) {
        self.directory.keep();
    }

    /// Certificates, and the authority to make more.
    #[must_use]
    pub fn pki(&self) -> &Pki {
        &self.pki
    }

    /// The binaries.
    #[must_use]
    pub fn assets(&self) -> &Assets {
        &self.assets
    }

    /// The second octet of a network `127.<octet>.0.0/16` that no other control plane on this machine uses: for the
    /// addresses of simulated nodes.
    #[must_use]
    pub fn loopback_octet(&self) -> u8 {
        self.loopback.octet()
    }

    /// A client that may do everything. All clones share connections.
    #[must_use]
    pub fn admin_client(&self) -> kube::Client {
        self.client.clone()
    }

    /// A new client with the rights of an identity.
    ///
    /// # Errors
    /// [`HarnessError`] when the kubeconfig cannot be written or read.
    pub async fn client(&self, identity: &Identity) -> Result<kube::Client> {
        client::from_kubeconfig(&self.kubeconfig(identity)?).await
    }

    /// A new client without credentials: it sees the health endpoints and nothing else.
    ///
    /// # Errors
    /// [`HarnessError`] when the client cannot be made.
    pub async fn anonymous_client(&self) -> Result<kube::Client> {
        client::anonymous(&self.kubeconfig(&Identity::Admin)?).await
    }

    /// The path of an identity's kubeconfig file.
    ///
    /// # Errors
    /// [`HarnessError`] when certificate or file cannot be written.
    pub fn kubeconfig(&self, identity: &Identity) -> Result<PathBuf> {
        client::write_kubeconfig(self.dir(), &self.pki, identity, self.port, "")
    }

    /// The same for another port of 127.0.0.1, behind which something stands that has [`Pki::serving`].
    pub(crate) fn kubeconfig_at(&self, identity: &Identity, port: u16) -> Result<PathBuf> {
        client::write_kubeconfig(self.dir(), &self.pki, identity, port, &format!("-{port}"))
    }

    /// The text that the API server answers on a path, asked as admin.
    ///
    /// # Errors
    /// [`HarnessError::Api`].
    pub async fn get(&self, path: &str) -> Result<String> {
        client::get(&self.client, path).await
    }

    /// `kubectl` with the admin's kubeconfig.
    ///
    /// # Errors
    /// [`HarnessError`] when there is no kubectl.
    pub fn kubectl(&self) -> Result<Command> {
        let mut command = Command::new(self.assets.require(Component::Kubectl)?);
        command.env("KUBECONFIG", self.kubeconfig(&Identity::Admin)?);
        Ok(command)
    }

    /// The process of etcd.
    #[must_use]
    pub fn etcd(&self) -> &Process {
        &self.etcd
    }

    /// Runs `look` with the API server's process, or returns `None` while it is stopped.
    pub fn with_api_server<T>(&self, look: impl FnOnce(&Process) -> T) -> Option<T> {
        lock(&self.server).as_ref().map(look)
    }

    /// Kills the API server: connections break at once, as in a crash. Its port stays reserved.
    pub fn kill_api_server(&self) {
        if let Some(mut server) = lock(&self.server).take() {
            server.kill9();
            *lock(&self.spare_port) = server.take_port();
        }
    }

    /// Stops the API server in order (SIGTERM); killed when it takes longer than ten seconds.
    pub async fn stop_api_server(&self) {
        let server = lock(&self.server).take();
        if let Some(mut server) = server {
            let _ = server.terminate(STOP_TIMEOUT).await;
            server.kill9();
            *lock(&self.spare_port) = server.take_port();
        }
    }

    /// Freezes the API server (SIGSTOP): connections stay open and nothing is answered.
    ///
    /// # Errors
    /// [`HarnessError::Gone`] when it is not running.
    pub fn freeze_api_server(&self) -> Result<()> {
        self.signal_api_server(Signal::STOP)
    }

    /// Continues a frozen API server.
    ///
    /// # Errors
    /// [`HarnessError::Gone`] when it is not running.
    pub fn thaw_api_server(&self) -> Result<()> {
        self.signal_api_server(Signal::CONT)
    }

    fn signal_api_server(&self, signal: Signal) -> Result<()> {
        self.with_api_server(|server| server.signal(signal))
            .unwrap_or_else(|| Err(HarnessError::Gone { name: "kube-apiserver".to_owned(), pid: 0 }))
    }

    /// Starts the API server again, at the same port and with the same data. Nothing happens while it runs.
    ///
    /// # Errors
    /// [`HarnessError`] as at the first start.
    pub async fn start_api_server(&self) -> Result<()> {
        if self.with_api_server(Process::is_running) == Some(true) {
            return Ok(());
        }
        // Also after a crash of its own.
        self.kill_api_server();
        let timeout = builder::start_timeout()?;
        let start = Instant::now();
        loop {
            let command = servers::api_server(&self.server_program, self.dir(), &self.pki, self.port, &self.options);
            let port = lock(&self.spare_port).take();
            let mut server =
                Process::spawn(&self.guardian, "kube-apiserver", command, self.new_log("kube-apiserver"), port)?;
            match builder::wait_ready(&server, &self.client, timeout.saturating_sub(start.elapsed())).await {
                Ok(()) => {
                    *lock(&self.server) = Some(server);
                    return Ok(());
                }
                Err(error) => {
                    let busy = server.log().contains("address already in use");
                    server.kill9();
                    *lock(&self.spare_port) = server.take_port();
                    if !busy || start.elapsed() >= timeout {
                        return Err(error);
                    }
                }
            }
        }
    }

    /// Stops the API server in order and starts it again.
    ///
    /// # Errors
    /// [`HarnessError`] as at the first start.
    pub async fn restart_api_server(&self) -> Result<()> {
        self.stop_api_server().await;
        self.start_api_server().await
    }

    /// Starts any process beside the control plane, with a log file, guarded like the others.
    ///
    /// # Errors
    /// [`HarnessError::Spawn`] or [`HarnessError::Io`].
    pub fn start_process(&self, name: &str, command: Command) -> Result<Process> {
        Process::spawn(&self.guardian, name, command, self.new_log(name), None)
    }

    /// Like [`start_process`](Self::start_process), for a process that was given a reserved port.
    pub(crate) fn start_with_port(&self, name: &str, command: Command, port: Port) -> Result<Process> {
        Process::spawn(&self.guardian, name, command, self.new_log(name), Some(port))
    }

    /// A client (with the admin's certificate) for a process that serves HTTPS on `port` of 127.0.0.1 with
    /// [`Pki::serving`], for its health, metrics and configuration.
    ///
    /// # Errors
    /// [`HarnessError`] when the client cannot be made.
    pub async fn component_client(&self, port: u16) -> Result<kube::Client> {
        client::for_port(&self.kubeconfig(&Identity::Admin)?, port).await
    }

    /// A client for a process that serves HTTPS on `port` of 127.0.0.1 with a certificate that it made itself, with a bearer
    /// token or with nothing.
    ///
    /// # Errors
    /// [`HarnessError`] when the client cannot be made.
    pub async fn unchecked_client_with(&self, port: u16, token: Option<String>) -> Result<kube::Client> {
        let kubeconfig = self.kubeconfig(&Identity::Admin)?;
        match token {
            Some(token) => client::unchecked_with_token(&kubeconfig, port, token).await,
            None => client::unchecked(&kubeconfig, port).await,
        }
    }

    /// Waits until a process answers with success on `path` (`/healthz`, `/readyz`) of its port.
    ///
    /// # Errors
    /// [`HarnessError::Exited`] with the end of its log, or a timeout.
    pub async fn wait_healthy(&self, process: &Process, path: &str, timeout: Duration) -> Result<()> {
        let client = self.component_client(process.port().unwrap_or_default()).await?;
        let what = format!("{} to answer on {path}", process.name());
        let answer = eventually(timeout, &what, || async {
            if !process.is_running() {
                return Ok(());
            }
            client::get(&client, path).await.map(|_| ())
        })
        .await;
        process.expect_running(&what)?;
        Ok(answer?)
    }

    /// The text that a process answers on a path of its port, asked as admin. A process that has just started may
    /// not know the cluster's CA yet and then takes the admin for anonymous: repeat with [`eventually`].
    ///
    /// # Errors
    /// [`HarnessError::Api`].
    pub async fn get_from(&self, process: &Process, path: &str) -> Result<String> {
        client::get(&self.component_client(process.port().unwrap_or_default()).await?, path).await
    }

    /// The text that one of our processes answers on `/metrics`: they know bearer tokens only, no client certificates, so
    /// that a service account is made that may read them.
    ///
    /// # Errors
    /// [`HarnessError::Api`].
    pub async fn metrics_by_token(&self, process: &Process) -> Result<String> {
        self.apply_yaml("metrics reader", METRICS_READER).await?;
        self.may_read(SYSTEM_NAMESPACE, "metrics-reader", "/metrics").await?;
        let accounts: Api<ServiceAccount> = Api::namespaced(self.admin_client(), SYSTEM_NAMESPACE);
        let request = TokenRequest {
            spec: Some(TokenRequestSpec { expiration_seconds: Some(3600), ..TokenRequestSpec::default() }),
            ..TokenRequest::default()
        };
        let answer = accounts
            .create_token_request("metrics-reader", &PostParams::default(), &request)
            .await
            .map_err(HarnessError::api("cannot get a token to read metrics with"))?;
        let token = answer.status.and_then(|status| status.token).unwrap_or_default();
        let kubeconfig = self.kubeconfig(&Identity::Admin)?;
        let client = client::with_token(&kubeconfig, process.port().unwrap_or_default(), token).await?;
        client::get(&client, "/metrics").await
    }

    /// Creates a namespace and its `default` service account, without which no pod is admitted; what exists is left.
    ///
    /// # Errors
    /// [`HarnessError::Api`].
    pub async fn create_namespace(&self, name: &str) -> Result<()> {
        let namespace = Namespace {
            metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
            ..Namespace::default()
        };
        let api: Api<Namespace> = Api::all(self.admin_client());
        existing_is_fine(api.create(&PostParams::default(), &namespace).await)
            .map_err(HarnessError::api(format!("cannot create namespace {name}")))?;
        self.create_default_service_account(name).await
    }

    async fn create_default_service_account(&self, namespace: &str) -> Result<()> {
        let api: Api<ServiceAccount> = Api::namespaced(self.admin_client(), namespace);
        let account = ServiceAccount {
            metadata: ObjectMeta { name: Some("default".to_owned()), ..ObjectMeta::default() },
            ..ServiceAccount::default()
        };
        existing_is_fine(api.create(&PostParams::default(), &account).await)
            .map_err(HarnessError::api(format!("cannot create the default service account of {namespace}")))
    }

    /// A log file of its own for every start under a name.
    fn new_log(&self, name: &str) -> PathBuf {
        let mut logs = lock(&self.logs);
        let count = logs.entry(name.to_owned()).or_insert(usize::from(name == "kube-apiserver"));
        *count = count.saturating_add(1);
        let safe: String = name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '-' }).collect();
        // A port conflict at the first start may have made further logs of the API server.
        loop {
            let path = self.dir().join(format!("log/{safe}{}.log", builder::suffix(*count)));
            if !path.exists() {
                return path;
            }
            *count = count.saturating_add(1);
        }
    }
}

fn existing_is_fine<T>(result: Result<T, kube::Error>) -> Result<(), kube::Error> {
    match result {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
        Err(error) => Err(error),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
