//! Why nothing could be measured, in one line each.

use headroom_bare::WireError;
use headroom_hollow::HollowError;

use crate::bench::BenchError;
use crate::error::HarnessError;
use crate::wait::Timeout;

/// A run failed, or its result could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MemoryBenchError {
    /// The control plane or a process on it.
    #[error(transparent)]
    Harness(#[from] HarnessError),
    /// Something did not happen in time.
    #[error(transparent)]
    Timeout(#[from] Timeout),
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
    /// The API server refused a request.
    #[error("cannot {action}: {source}")]
    Api {
        /// What was attempted.
        action: String,
        /// The cause.
        #[source]
        source: Box<kube::Error>,
    },
    /// The bench's own connection to the API server.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// An object of the scenario that is none.
    #[error("an object of the scenario cannot be read: {source}")]
    Object {
        /// The cause.
        #[from]
        source: serde_json::Error,
    },
    /// The result could not be written.
    #[error(transparent)]
    Write(#[from] BenchError),
}

impl MemoryBenchError {
    /// For `map_err`: a request failed.
    pub(crate) fn api(action: impl Into<String>) -> impl FnOnce(kube::Error) -> Self {
        let action = action.into();
        move |source| Self::Api { action, source: Box::new(source) }
    }
}
