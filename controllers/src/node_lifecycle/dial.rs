//! Dials kubelets: the I/O part of profile `fast`.
//!
//! A TCP connection alone proves little (the kernel accepts it for a process that hangs), so a dial is a whole TLS
//! handshake. Whose certificate it is does not matter: nothing is sent, no token either, and the answer is used only to
//! wait a little longer. It needs no permission and not the collector, so that it works without node-headroom-controller.

use std::{
    future::poll_fn,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use tokio::sync::{Semaphore, mpsc};
use tower::Service;

use super::kubelet::{DialCommand, DialResult};
use crate::node_headroom::scrape::{KubeletTrust, TlsError};

/// From the first packet to the end of the handshake.
pub const TIMEOUT: Duration = Duration::from_secs(3);
/// Kubelets that are dialled at the same time.
const MAX_DIALS: usize = 32;

/// Executes [`DialCommand`]s and sends `wrap(result)` for each.
#[derive(Debug)]
pub struct Dialer<M> {
    connector: HttpsConnector<HttpConnector>,
    permits: Arc<Semaphore>,
    tx: mpsc::Sender<M>,
    wrap: fn(DialResult) -> M,
}

impl<M: Send + 'static> Dialer<M> {
    /// Ready to dial.
    ///
    /// # Errors
    /// [`TlsError`] when TLS cannot be set up.
    pub fn new(tx: mpsc::Sender<M>, wrap: fn(DialResult) -> M) -> Result<Self, TlsError> {
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(KubeletTrust::Anybody.client_config()?)
            .https_only()
            .enable_http1()
            .wrap_connector(http);
        Ok(Self { connector, permits: Arc::new(Semaphore::new(MAX_DIALS)), tx, wrap })
    }

    /// Starts a dial. Its result comes over the channel, also when it fails.
    pub fn execute(&self, command: DialCommand) {
        let (connector, permits) = (self.connector.clone(), self.permits.clone());
        let (tx, wrap) = (self.tx.clone(), self.wrap);
        tokio::spawn(async move {
            let Ok(_permit) = permits.acquire().await else { return };
            let answered = match tokio::time::timeout(TIMEOUT, dial(connector, &command)).await {
                Ok(Ok(())) => true,
                Ok(Err(error)) => {
                    tracing::info!(node = %command.node, "the kubelet cannot be dialled: {error}");
                    false
                }
                Err(_) => {
                    tracing::info!(node = %command.node, "the kubelet does not answer within {} s", TIMEOUT.as_secs());
                    false
                }
            };
            let result = DialResult { id: command.id, node: command.node, answered };
            // Nobody listens any more: the process ends.
            let _ = tx.send(wrap(result)).await;
        });
    }
}

/// Connects, shakes hands and hangs up.
async fn dial(mut connector: HttpsConnector<HttpConnector>, command: &DialCommand) -> Result<(), String> {
    let ip: IpAddr = command.address.parse().map_err(|_| format!("{:?} is not an IP address", &*command.address))?;
    let uri: Uri = format!("https://{}/", SocketAddr::new(ip, command.port)).parse().map_err(|e| format!("{e}"))?;
    poll_fn(|cx| connector.poll_ready(cx)).await.map_err(|e| e.to_string())?;
    connector.call(uri).await.map(drop).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair};
    use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    async fn answered(address: &str, port: u16) -> bool {
        let (tx, mut rx) = mpsc::channel(1);
        let dialer = Dialer::new(tx, |result| result).unwrap();
        dialer.execute(DialCommand { id: 7, node: "n".into(), address: address.into(), port });
        let result = rx.recv().await.unwrap();
        assert_eq!((result.id, &*result.node), (7, "n"));
        result.answered
    }

    #[tokio::test]
    async fn only_a_handshake_is_an_answer() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(!answered("127.0.0.1", port).await, "the kernel accepts, nobody answers");
        drop(listener);
        assert!(!answered("127.0.0.1", port).await, "refused");
        assert!(!answered("no address", 1).await);
        assert!(!answered("::ffff:127.0.0.1", port).await);
    }

    #[tokio::test]
    async fn whose_certificate_it_is_does_not_matter() {
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(vec!["somebody.example".to_owned()]).unwrap().self_signed(&key).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            drop(TlsAcceptor::from(Arc::new(config)).accept(stream).await);
        });
        assert!(answered("127.0.0.1", port).await);
    }
}
