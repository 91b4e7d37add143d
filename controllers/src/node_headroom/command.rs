//! What the controller asks of the process, and what comes back: reading a kubelet is the one thing that is neither a
//! row nor an intent, and it stays outside the pure part.

use headroom_core::{Now, Str, Timestamp};
use thiserror::Error;

use super::{
    configz::KubeletConfig,
    metrics_api::Metrics,
    summary::{Summary, SummaryError},
};

/// What is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Path {
    /// The stats summary (`nodes/stats`).
    Summary,
    /// The full summary, for kubelets that leave swap out of the short one.
    FullSummary,
    /// The configuration (`nodes/configz`, optional).
    Configz,
}

impl Path {
    /// Path and query.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Summary => "/stats/summary?only_cpu_and_memory=true",
            Self::FullSummary => "/stats/summary",
            Self::Configz => "/configz",
        }
    }

    /// The resource that the kubelet authorises it by.
    #[must_use]
    pub const fn resource(self) -> &'static str {
        match self {
            Self::Summary | Self::FullSummary => "nodes/stats",
            Self::Configz => "nodes/configz",
        }
    }
}

/// Something for the executor to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CollectorCommand {
    /// Read a kubelet; exactly one [`ScrapeResult`] comes back.
    Scrape {
        /// Comes back in the result.
        id: u64,
        /// The node's name: what the certificate has to be for.
        node: Str,
        /// Its internal address.
        address: Str,
        /// The kubelet's port.
        port: u16,
        /// What to read.
        path: Path,
        /// Whether the connection is kept for the next time.
        keep: bool,
    },
    /// Read `metrics.k8s.io` of all nodes; exactly one [`MetricsResult`] comes back.
    ReadMetrics,
}

/// The end of a [`CollectorCommand::ReadMetrics`].
#[derive(Debug, Clone)]
pub struct MetricsResult {
    /// What came, or why not, for people.
    pub result: Result<Metrics, String>,
    /// When the answer was there.
    pub received_at: Now,
}

/// What comes back from the executor.
#[derive(Debug, Clone)]
pub enum Answer {
    /// Of a kubelet.
    Kubelet(ScrapeResult),
    /// Of `metrics.k8s.io`.
    Metrics(MetricsResult),
}

/// What was read.
#[derive(Debug, Clone, PartialEq)]
pub enum Scraped {
    /// A sample.
    Summary(Box<Summary>),
    /// The configuration.
    Configz(KubeletConfig),
}

/// The end of a [`CollectorCommand::Scrape`].
#[derive(Debug, Clone)]
pub struct ScrapeResult {
    /// The command's.
    pub id: u64,
    /// Which node.
    pub node: Str,
    /// What was asked for.
    pub path: Path,
    /// What came.
    pub result: Result<Scraped, ScrapeError>,
    /// The kubelet's `Date`, to the second.
    pub kubelet_time: Option<Timestamp>,
    /// When the answer was there.
    pub received_at: Now,
}

impl ScrapeResult {
    /// Whether the kubelet has answered, whatever it said: an error of HTTP's is an answer, a connection that nobody
    /// takes is none.
    #[must_use]
    pub const fn heard(&self) -> bool {
        match &self.result {
            Ok(_) => true,
            Err(error) => matches!(
                error,
                ScrapeError::Unauthorized { .. }
                    | ScrapeError::Forbidden { .. }
                    | ScrapeError::Status { .. }
                    | ScrapeError::TooLarge { .. }
                    | ScrapeError::Malformed(_)
            ),
        }
    }
}

/// Why a kubelet could not be read. The text says what to do about it; [`ScrapeError::reason`] is the condition's.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ScrapeError {
    /// The Node has no `InternalIP`.
    #[error("the Node has no InternalIP address: without one its kubelet cannot be read")]
    NoAddress,
    /// No connection, or it broke.
    #[error(
        "the kubelet at {address} cannot be reached: {message}; check that this pod may connect to the node on that port"
    )]
    Unreachable {
        /// Address and port.
        address: String,
        /// Why.
        message: String,
    },
    /// No answer in time.
    #[error("the kubelet at {address} did not answer within {seconds} s")]
    Timeout {
        /// Address and port.
        address: String,
        /// How long was waited.
        seconds: u64,
    },
    /// TLS failed because of the certificate.
    #[error(
        "the kubelet's certificate is not trusted for the name {node}: {message}; let it get one from the cluster \
         (serverTLSBootstrap), name its CA with --kubelet-certificate-authority, or go without with --kubelet-insecure-tls"
    )]
    CertificateUntrusted {
        /// Name of the node.
        node: String,
        /// Why.
        message: String,
    },
    /// No token to show to kubelets.
    #[error("no token for reading kubelets: {0}")]
    NoToken(TokenError),
    /// 401.
    #[error(
        "the kubelet does not accept the token of {account}: it needs webhook authentication (authentication.webhook.enabled)"
    )]
    Unauthorized {
        /// Whose token.
        account: String,
    },
    /// 403.
    #[error("{account} may not read the kubelet: grant it \"get\" on {resource}")]
    Forbidden {
        /// Whose token.
        account: String,
        /// What is missing.
        resource: &'static str,
    },
    /// Any other status, a redirect included: none is followed, or a node could send the token elsewhere.
    #[error("the kubelet answered HTTP {code}")]
    Status {
        /// Status code.
        code: u16,
        /// `Retry-After` in seconds, if it said.
        retry_after_seconds: Option<u64>,
    },
    /// More than is read.
    #[error("the kubelet's answer is larger than {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// Not what a kubelet answers.
    #[error(transparent)]
    Malformed(#[from] SummaryError),
}

/// Why there is no token.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TokenError {
    /// 403.
    #[error("grant this controller \"create\" on serviceaccounts/token for {account}")]
    Forbidden {
        /// `namespace/name`.
        account: String,
    },
    /// 404.
    #[error("ServiceAccount {account} does not exist; create it or name another with --kubelet-token-service-account")]
    NoAccount {
        /// `namespace/name`.
        account: String,
    },
    /// Anything else.
    #[error("TokenRequest for {account} failed: {message}")]
    Failed {
        /// `namespace/name`.
        account: String,
        /// Why.
        message: String,
    },
}

impl ScrapeError {
    /// The reason of the condition `Fresh`.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::NoAddress | Self::Unreachable { .. } | Self::Timeout { .. } => "Unreachable",
            // Too busy to answer is as good as gone, for this poll.
            Self::Status { code, .. } if *code == 429 || *code >= 500 => "Unreachable",
            Self::CertificateUntrusted { .. } => "CertificateUntrusted",
            Self::NoToken(TokenError::Failed { .. }) => "TokenUnavailable",
            Self::NoToken(_) | Self::Unauthorized { .. } | Self::Forbidden { .. } => "Forbidden",
            Self::Status { .. } | Self::TooLarge { .. } | Self::Malformed(_) => "Malformed",
        }
    }

    /// How long the kubelet asked to be left alone, in seconds.
    #[must_use]
    pub const fn retry_after_seconds(&self) -> Option<u64> {
        match self {
            Self::Status { retry_after_seconds, .. } => *retry_after_seconds,
            _ => None,
        }
    }
}
