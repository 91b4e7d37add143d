//! What can go wrong when hollow nodes are started or steered.

use std::path::PathBuf;

/// An error of [`crate::Hollow`], its configuration or its servers. Each message says what, where and what to do; the cause is
/// its `source`.
#[derive(Debug, thiserror::Error)]
pub enum HollowError {
    /// A value of the configuration is wrong.
    #[error("{field}: {problem}")]
    Config {
        /// The flag or field.
        field: String,
        /// What is wrong with it, and what would be right.
        problem: String,
    },
    /// The configuration file could not be read.
    #[error("cannot read {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The API client could not be built from the kubeconfig.
    #[error("cannot use the kubeconfig: {0}")]
    Kubeconfig(String),
    /// A node could not be registered.
    #[error("cannot register node {node}; is the API server up, and may this identity create nodes?")]
    Register {
        /// The node's name.
        node: String,
        /// The API server's answer.
        #[source]
        source: Box<kube::Error>,
    },
    /// A certificate could not be made.
    #[error("cannot make a serving certificate: {0}")]
    Certificate(String),
    /// A listener could not be opened.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// There is no such node.
    #[error("no hollow node is named {0:?}")]
    NoSuchNode(String),
    /// There is no such pod on a hollow node.
    #[error("no pod {0:?} runs on a hollow node (give NAMESPACE/NAME)")]
    NoSuchPod(String),
    /// A memory curve could not be read.
    #[error("memory curve {text:?}: {problem}")]
    Curve {
        /// The text.
        text: String,
        /// What is wrong with it.
        problem: String,
    },
}

impl HollowError {
    pub(crate) fn config(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Config { field: field.into(), problem: problem.into() }
    }
}
