//! A proxy between one process and the API server, where everything goes wrong that an API server and a network are
//! allowed to do: watches lag, each resource on its own, are cut in the middle of a line and answered with 410; requests
//! are refused with 409, 429, 500 and 503, not answered in time or not at all; what was written is stored and its answer
//! lost. All of that in the encoding that the process asks for, or in JSON. It can also stop the world after the n-th write
//! of a namespace, so that the process can be killed there.
//!
//! What happens is drawn from a seed; how the requests of a process interleave is not. Informers' lists that may be old
//! (`resourceVersion=0`) are: the process goes back in time. Answers to consistent reads never are: an API server does not
//! do that, and nobody could live with it. Only the beginnings of watches may be, where [`Faults::inconsistent`] says so.

mod crash;
mod faults;
mod forward;
mod old;
mod protobuf;
mod target;
mod told;
mod watch;

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use tokio::net::TcpListener;
use tokio::task::AbortHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::control_plane::{ControlPlane, Identity};
use crate::error::{HarnessError, Result};
use crate::reserve::Port;

use crash::Crash;
use faults::Dice;
pub use faults::Faults;
use old::History;
use told::Told;

/// What all connections of a proxy share.
#[derive(Debug)]
struct Shared {
    kubeconfig: PathBuf,
    faults: tokio::sync::watch::Sender<Faults>,
    held: tokio::sync::watch::Sender<BTreeSet<String>>,
    dice: Dice,
    told: Told,
    history: History,
    crash: Crash,
    rewound: AtomicU64,
    encoded: AtomicU64,
    spoiled: AtomicU64,
    ignored: AtomicU32,
}

/// A running proxy; it ends when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    kubeconfig: PathBuf,
    shared: Arc<Shared>,
    accepting: AbortHandle,
    _port: Port,
}

impl Proxy {
    /// Starts a proxy that passes everything on with the rights of an identity, and spoils nothing yet.
    ///
    /// # Errors
    /// [`HarnessError`]: no port, or files that cannot be written or read.
    pub async fn start(cluster: &ControlPlane, identity: &Identity) -> Result<Self> {
        let port = Port::reserve()?;
        let at = (Ipv4Addr::LOCALHOST, port.number());
        let listener = TcpListener::bind(at).await.map_err(HarnessError::io("listen for", cluster.dir()))?;
        let kubeconfig = cluster.kubeconfig_at(identity, port.number())?;
        let acceptor =
            TlsAcceptor::from(Arc::new(serving(&cluster.pki().serving().cert, &cluster.pki().serving().key)?));
        let shared = Arc::new(Shared {
            kubeconfig: cluster.kubeconfig(identity)?,
            faults: tokio::sync::watch::Sender::new(Faults::default()),
            held: tokio::sync::watch::Sender::default(),
            dice: Dice::default(),
            told: Told::default(),
            history: History::default(),
            crash: Crash::default(),
            rewound: AtomicU64::new(0),
            encoded: AtomicU64::new(0),
            spoiled: AtomicU64::new(0),
            ignored: AtomicU32::new(0),
        });
        let accepting = tokio::spawn(forward::accept(listener, acceptor, Arc::clone(&shared))).abort_handle();
        Ok(Self { kubeconfig, shared, accepting, _port: port })
    }

    /// The kubeconfig that leads through the proxy.
    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// From now on this goes wrong; [`Faults::default`] is nothing.
    pub fn set(&self, faults: Faults) {
        self.shared.dice.seed(faults.seed);
        self.shared.ignored.store(0, Ordering::Relaxed);
        self.shared.faults.send_replace(faults);
    }

    /// Watches of a resource (its plural) tell nothing more, until [`release`](Self::release): they lag by as long as that.
    pub fn hold(&self, resource: &str) {
        self.shared.held.send_modify(|held| {
            held.insert(resource.to_owned());
        });
    }

    /// Watches of a resource go on.
    pub fn release(&self, resource: &str) {
        self.shared.held.send_modify(|held| {
            held.remove(resource);
        });
    }

    /// Whether the process was sent everything of a resource up to this version; true of what it does not watch.
    #[must_use]
    pub fn has_told(&self, resource: &str, version: u64) -> bool {
        self.shared.told.has(resource, version)
    }

    /// Stops the world after the n-th write (from 1) in a namespace: it is carried out, its answer is held back, and nothing
    /// else passes before [`resume`](Self::resume). Events and leases do not count; nodes do whose name ends with a dot and
    /// the namespace.
    pub fn stop_after(&self, namespace: &str, writes: u64) {
        self.shared.crash.arm(namespace, writes);
    }

    /// How many writes a namespace has seen.
    #[must_use]
    pub fn writes(&self, namespace: &str) -> u64 {
        self.shared.crash.writes(namespace)
    }

    /// Waits until the world is stopped, what the API server was already carrying out included.
    pub async fn stopped(&self) {
        self.shared.crash.stopped().await;
    }

    /// Lets requests pass again, except those of the connections from before: their process is dead.
    pub fn resume(&self) {
        self.shared.told.forget();
        self.shared.crash.resume();
    }

    /// Watches that were begun with what stood there some time ago.
    #[must_use]
    pub fn rewound(&self) -> u64 {
        self.shared.rewound.load(Ordering::Relaxed)
    }

    /// Watches that came in protobuf.
    #[must_use]
    pub fn encoded(&self) -> u64 {
        self.shared.encoded.load(Ordering::Relaxed)
    }

    /// Requests and watches that were spoiled so far.
    #[must_use]
    pub fn spoiled(&self) -> u64 {
        self.shared.spoiled.load(Ordering::Relaxed)
    }

    /// Requests that were left without an answer since [`set`](Self::set).
    #[must_use]
    pub fn ignored(&self) -> u32 {
        self.shared.ignored.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

fn serving(cert: &Path, key: &Path) -> Result<ServerConfig> {
    let read = |path: &Path, error: &dyn std::fmt::Display| HarnessError::Io {
        action: "read",
        path: path.to_path_buf(),
        source: std::io::Error::other(error.to_string()),
    };
    let chain = CertificateDer::pem_file_iter(cert)
        .and_then(Iterator::collect::<std::result::Result<Vec<_>, _>>)
        .map_err(|error| read(cert, &error))?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| read(key, &error))?;
    let _ = tokio_rustls::rustls::crypto::ring::default_provider().install_default();
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .map_err(|error| read(cert, &error))?;
    // All who come here speak HTTP/2: ours, and Go's clients.
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}
