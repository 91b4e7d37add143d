//! Why there is no client, in one line each.

use std::path::PathBuf;

use thiserror::Error;

/// No client could be built.
#[derive(Debug, Error)]
pub enum ClientError {
    /// Neither flag nor environment says where the API server is, and this is not a pod.
    #[error(
        "no kubeconfig: give --kubeconfig FILE or set KUBECONFIG, or run in a pod with a service account ({source})"
    )]
    NoConfig {
        /// Why the in-cluster configuration does not do.
        #[source]
        source: Box<kube::config::InClusterError>,
    },
    /// The file cannot be read or understood, or what it refers to.
    #[error("kubeconfig {}: {source}", path.display())]
    Kubeconfig {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<kube::config::KubeconfigError>,
    },
    /// `--master` is not a URL.
    #[error("--master {url:?} is not a URL: expected https://HOST:PORT")]
    Master {
        /// What was given.
        url: String,
    },
    /// A certificate, a key or a token is not usable.
    #[error("credentials of {server}: {source}")]
    Credentials {
        /// Which API server.
        server: String,
        /// Why.
        #[source]
        source: Box<kube::Error>,
    },
    /// `tls-server-name` of the kubeconfig is neither a host name nor an address.
    #[error("tls-server-name {name:?} of the kubeconfig is not a valid name")]
    ServerName {
        /// What was given.
        name: String,
    },
    /// The user agent holds bytes that a header cannot.
    #[error("user agent {agent:?} is not a valid header value")]
    UserAgent {
        /// What was given.
        agent: String,
    },
}
