//! Helm against a control plane, with nothing of the caller's: its own kubeconfig, caches and plugins.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use crate::control_plane::assets::Assets;
use crate::control_plane::build::{BuildError, build_helm};
use crate::control_plane::{ControlPlane, Identity};
use crate::error::{HarnessError, Result};

/// Longest run. Helm's own deadline is five minutes for each step that it waits for.
const LONGEST: Duration = Duration::from_mins(15);

/// Variables that let the caller's settings in.
const SCRUBBED: [&str; 10] = [
    "HELM_NAMESPACE",
    "HELM_KUBECONTEXT",
    "HELM_KUBEAPISERVER",
    "HELM_KUBETOKEN",
    "HELM_DRIVER",
    "HELM_DEBUG",
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
];

/// What a command has done.
#[derive(Debug, Clone)]
pub struct Ran {
    /// Whether its exit status was 0.
    pub success: bool,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Ran {
    /// Both outputs, for messages.
    #[must_use]
    pub fn said(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }
}

/// Helm as admin of a control plane.
#[derive(Debug, Clone)]
pub struct Helm {
    program: PathBuf,
    kubeconfig: PathBuf,
    home: PathBuf,
}

/// Builds Helm if it is not there: call it before anything else runs on this thread, it may take minutes.
///
/// # Errors
/// [`BuildError`]: one line for the user.
pub fn helm_binary() -> Result<PathBuf, BuildError> {
    build_helm(&Assets::from_env()?)
}

impl Helm {
    /// `program` (see [`helm_binary`]) against a control plane.
    ///
    /// # Errors
    /// [`HarnessError`] when the kubeconfig cannot be written.
    pub fn new(program: &Path, cluster: &ControlPlane) -> Result<Self> {
        Ok(Self {
            program: program.to_path_buf(),
            kubeconfig: cluster.kubeconfig(&Identity::Admin)?,
            home: cluster.dir().join("helm"),
        })
    }

    /// `program` without any cluster, for what it does by itself; its files go into `home`.
    #[must_use]
    pub fn offline(program: &Path, home: &Path) -> Self {
        Self { program: program.to_path_buf(), kubeconfig: home.join("none"), home: home.to_path_buf() }
    }

    /// Runs it to its end.
    ///
    /// # Errors
    /// [`HarnessError::Spawn`], or [`HarnessError::Timeout`] when it does not end.
    pub async fn run(&self, arguments: &[&str]) -> Result<Ran> {
        let mut command = tokio::process::Command::new(&self.program);
        command
            .args(arguments)
            .env("KUBECONFIG", &self.kubeconfig)
            .env("HELM_CACHE_HOME", self.home.join("cache"))
            .env("HELM_CONFIG_HOME", self.home.join("config"))
            .env("HELM_DATA_HOME", self.home.join("data"))
            .stdin(Stdio::null())
            .kill_on_drop(true);
        for variable in SCRUBBED {
            command.env_remove(variable);
        }
        finish(&format!("helm {}", arguments.first().unwrap_or(&"")), &self.program, command).await
    }
}

/// Runs a command to its end, and reads what it says.
///
/// # Errors
/// [`HarnessError::Spawn`], or [`HarnessError::Timeout`] when it does not end.
pub async fn finish(name: &str, program: &Path, mut command: tokio::process::Command) -> Result<Ran> {
    let failed = |source| HarnessError::Spawn { name: name.to_owned(), program: program.to_path_buf(), source };
    let output = tokio::time::timeout(LONGEST, command.output()).await.map_err(|_| crate::wait::Timeout {
        what: format!("{name} to end"),
        last: "it runs".to_owned(),
        waited: LONGEST,
        looks: 1,
    })?;
    let output = output.map_err(failed)?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(Ran { success: output.status.success(), stdout: text(&output.stdout), stderr: text(&output.stderr) })
}
