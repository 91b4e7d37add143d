//! Clients of the API server.
//!
//! kube's default stack is HTTP/1.1 without `TCP_NODELAY`, keepalives or pings and retries behind the caller's back for
//! minutes (reference `rust-and-kube.md` A5). Ours is built from the same configuration and authentication parts, over
//! one HTTP/2 connection per purpose, so that a flood of watch events never delays a write or a renewal of the lease; of
//! writes there may be so many that they need more.

mod config;
mod error;
mod fence;
mod fresh;
mod gather;
mod io;
mod negotiate;
mod spread;
mod stack;
mod steady;

use std::path::PathBuf;

pub(crate) use self::stack::install_crypto;
#[cfg(test)]
pub(crate) use self::steady::Steady;
pub(crate) use self::steady::Stopped;
pub use self::{
    config::load_config,
    error::ClientError,
    fence::{Fence, FenceClosed},
    stack::{Purpose, build},
};
use crate::metrics::ClientMetrics;

/// Where the API server is and who we are.
#[derive(Debug, Clone, Default)]
pub struct ClientOptions {
    /// Path of a kubeconfig. Without it (and without `master`) `$KUBECONFIG` counts, then the in-cluster configuration.
    pub kubeconfig: Option<PathBuf>,
    /// Context in the kubeconfig, when not its current one.
    pub context: Option<String>,
    /// URL of the API server; overrides the kubeconfig's.
    pub master: Option<String>,
    /// `User-Agent`.
    pub user_agent: String,
}

/// One client per purpose. All are cheap to clone.
#[derive(Clone)]
pub struct Clients {
    /// For watches, lists and everything that is not a write of ours: never fenced.
    pub watch: kube::Client,
    /// For writes: refuses when the [`Fence`] is closed.
    pub write: kube::Client,
    /// For the lease: refuses once the lease is lost.
    pub lease: kube::Client,
    /// The fence of `write` and `lease`.
    pub fence: Fence,
}

impl std::fmt::Debug for Clients {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Clients").field("fence", &self.fence).finish_non_exhaustive()
    }
}

impl Clients {
    /// Reads the configuration and builds the clients. No connection is made yet.
    ///
    /// # Errors
    /// [`ClientError`] when there is no usable configuration.
    pub async fn new(options: &ClientOptions, metrics: &ClientMetrics) -> Result<Self, ClientError> {
        let config = load_config(options).await?;
        Self::from_config(&config, metrics)
    }

    /// The same from a configuration that is already there.
    ///
    /// # Errors
    /// [`ClientError`] when the TLS or authentication part is not usable.
    pub fn from_config(config: &kube::Config, metrics: &ClientMetrics) -> Result<Self, ClientError> {
        let fence = Fence::closed();
        Ok(Self {
            watch: build(config, Purpose::Watch, &fence, metrics)?,
            write: build(config, Purpose::Write, &fence, metrics)?,
            lease: build(config, Purpose::Lease, &fence, metrics)?,
            fence,
        })
    }
}

#[cfg(test)]
mod tests;
