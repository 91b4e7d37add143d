//! What can go wrong while a control plane is started, used or stopped.

use std::path::PathBuf;
use std::time::Duration;

/// The result of the harness' operations.
pub type Result<T, E = HarnessError> = std::result::Result<T, E>;

/// An error of the harness: one line that says what, where and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HarnessError {
    /// The binaries of the control plane are not there.
    #[error("{missing} not found in {dir}: {remedy}")]
    AssetsMissing {
        /// Names of the binaries, comma-separated.
        missing: String,
        /// Where they were looked for.
        dir: PathBuf,
        /// What to do.
        remedy: String,
    },
    /// There is no directory for the cache.
    #[error("no cache directory: set HEADROOM_CACHE (XDG_CACHE_HOME and HOME are not set to absolute paths)")]
    NoCacheDir,
    /// One of our own binaries was not built.
    #[error("{name} not found at {path}: run `cargo build --release -p {package}`, or set {variable}")]
    BinaryMissing {
        /// Name of the binary.
        name: String,
        /// Where it was looked for.
        path: PathBuf,
        /// The cargo package that builds it.
        package: String,
        /// The environment variable that names it.
        variable: String,
    },
    /// A file operation failed.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// The verb.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// A process could not be started.
    #[error("cannot start {name} ({program}): {source}")]
    Spawn {
        /// The harness' name of the process.
        name: String,
        /// The program's path.
        program: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// A process ended although it should run.
    #[error("{name} ended with {status} while {during}; its log {log} ends with:\n{tail}")]
    Exited {
        /// The harness' name of the process.
        name: String,
        /// The exit status.
        status: std::process::ExitStatus,
        /// What the harness was waiting for.
        during: String,
        /// The log file.
        log: PathBuf,
        /// The last lines of the log.
        tail: String,
    },
    /// A process should have ended but runs.
    #[error("{name} (pid {pid}) still runs after {seconds:.1} s; its log is {log}")]
    StillRunning {
        /// The harness' name of the process.
        name: String,
        /// Its pid.
        pid: u32,
        /// How long was waited.
        seconds: f64,
        /// The log file.
        log: PathBuf,
    },
    /// A process was to be signalled or measured but has ended.
    #[error("{name} (pid {pid}) has ended already")]
    Gone {
        /// The harness' name of the process.
        name: String,
        /// Its former pid.
        pid: u32,
    },
    /// Every candidate is taken.
    #[error("no free {what}: all {tried} candidates are taken (locks in {dir})")]
    Exhausted {
        /// What was wanted.
        what: &'static str,
        /// How many candidates there are.
        tried: usize,
        /// Where the locks are.
        dir: PathBuf,
    },
    /// A certificate or key could not be made.
    #[error("cannot make the certificate of {subject}: {source}")]
    Certificate {
        /// Whose certificate.
        subject: String,
        /// The cause.
        #[source]
        source: rcgen::Error,
    },
    /// A request to the API server failed.
    #[error("{what}: {source}")]
    Api {
        /// What was attempted.
        what: String,
        /// The cause.
        #[source]
        source: Box<kube::Error>,
    },
    /// A kubeconfig could not be used.
    #[error("cannot use {path}: {source}")]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: Box<kube::config::KubeconfigError>,
    },
    /// A manifest is not what it should be.
    #[error("manifest {name}, document {index}: {reason}")]
    Manifest {
        /// File or label of the manifest.
        name: String,
        /// Position of the document, from 1; 0 when the file as a whole is meant.
        index: usize,
        /// What is wrong.
        reason: String,
    },
    /// A line of the audit log is not an audit event.
    #[error("audit log {path}, line {line}: {source}")]
    Audit {
        /// The log.
        path: PathBuf,
        /// Line number, from 1.
        line: usize,
        /// The cause.
        #[source]
        source: serde_json::Error,
    },
    /// The audit log was asked for but is not written.
    #[error("no audit log: start the control plane with `.audit(true)`")]
    NoAudit,
    /// The simulated nodes.
    #[error(transparent)]
    Hollow(#[from] headroom_hollow::HollowError),
    /// Something did not happen in time.
    #[error(transparent)]
    Timeout(#[from] crate::wait::Timeout),
    /// An environment variable has a value that cannot be used.
    #[error("{name}={value:?}: {reason}")]
    Environment {
        /// The variable.
        name: &'static str,
        /// Its value.
        value: String,
        /// What is wrong and what is right.
        reason: &'static str,
    },
}

impl HarnessError {
    /// For `map_err`: an I/O error with its verb and path.
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }

    /// For `map_err`: an error of the API with what was attempted.
    pub(crate) fn api(what: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let what = what.into();
        move |source| Self::Api { what, source: Box::new(source) }
    }
}

/// Seconds of a duration, for messages.
pub(crate) fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}
