//! Why nothing could be measured, in one line each.

use std::path::PathBuf;

use headroom_bare::WireError;

use crate::error::HarnessError;
use crate::wait::Timeout;

/// A run failed, or its result could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BenchError {
    /// The control plane or a process on it.
    #[error(transparent)]
    Harness(#[from] HarnessError),
    /// Something did not happen in time.
    #[error(transparent)]
    Timeout(#[from] Timeout),
    /// A workload that no scheduler could place.
    #[error("workload {text:?}: {reason}")]
    Workload {
        /// What was given.
        text: String,
        /// What is wrong, and what is right.
        reason: String,
    },
    /// The bench's own connection to the API server.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// An answer that is not what it should be.
    #[error("{what}: cannot read the answer: {source}")]
    Answer {
        /// What was read.
        what: String,
        /// The cause.
        #[source]
        source: serde_json::Error,
    },
    /// Nothing was bound for a long time.
    #[error(
        "{contestant} bound {bound} of {pods} pods and then none for {seconds} s; its log {log} ends with:\n{tail}"
    )]
    Stalled {
        /// Who.
        contestant: String,
        /// Pods that were bound.
        bound: usize,
        /// Pods that there are.
        pods: usize,
        /// For how long nothing happened.
        seconds: u64,
        /// Its log, which is kept.
        log: PathBuf,
        /// The end of the log.
        tail: String,
    },
    /// The watch that times the bindings broke.
    #[error("the bench's own watch on pods ended: {reason}")]
    Watch {
        /// The cause.
        reason: String,
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
    /// The bench does not run in the checkout.
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

impl BenchError {
    /// For `map_err`: a file operation failed.
    pub(crate) fn file(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { action, path, source }
    }
}
