//! Why nothing could be compared, in one line each.

use std::path::PathBuf;

use headroom_hollow::HollowError;

use crate::error::HarnessError;

/// The run failed, or its result could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UpstreamError {
    /// The control plane or a process on it.
    #[error(transparent)]
    Harness(#[from] HarnessError),
    /// The simulated nodes.
    #[error(transparent)]
    Hollow(#[from] HollowError),
    /// A kubeconfig of ours is refused.
    #[error("cannot use the kubeconfig: {source}")]
    Kubeconfig {
        /// The cause.
        #[from]
        source: kube::config::KubeconfigError,
    },
    /// A report of Ginkgo's that is not one.
    #[error("cannot read {path} as a report of Ginkgo's: {source}")]
    Report {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: serde_json::Error,
    },
    /// `e2e.test` did not list its specs.
    #[error("e2e.test did not list its specs; its log {log} ends with:\n{tail}")]
    NoList {
        /// Its log, which is kept.
        log: PathBuf,
        /// The end of the log.
        tail: String,
    },
    /// No spec is selected.
    #[error("no spec is selected: none of them contains {filter:?}")]
    NothingSelected {
        /// What was asked for.
        filter: Vec<String>,
    },
    /// A file could not be read or written.
    #[error("cannot {action} {path}: {source}")]
    File {
        /// The verb.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// It does not run in the checkout.
    #[error(
        "no directory {parent} for the results: run it from the top of the checkout, or give --output DIR or --no-write"
    )]
    NoOutput {
        /// The directory that should be there.
        parent: PathBuf,
    },
    /// The report cannot be written as JSON.
    #[error("cannot write the report as JSON: {source}")]
    Encode {
        /// The cause.
        #[source]
        source: serde_json::Error,
    },
}

impl UpstreamError {
    /// For `map_err`: a file operation failed.
    pub(crate) fn file(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { action, path, source }
    }
}
