//! Health, metrics and configuration over HTTPS, as upstream's components serve them (kube-scheduler reference 6.2).
//!
//! `/livez`, `/readyz` and `/healthz` are open to everybody; everything else is for callers whom the API server
//! authenticates (TokenReview) and authorises (SubjectAccessReview of the path). Client certificates are not accepted.

mod auth;
mod health;
mod routes;
mod tls;

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use hyper_util::rt::{TokioIo, TokioTimer};
use thiserror::Error;
use tokio::{net::TcpListener, sync::Semaphore, task::JoinHandle, time::timeout};
use tokio_rustls::TlsAcceptor;

pub use self::{
    auth::Authorizer,
    health::{Check, Health, Probe},
    routes::{Page, Routes, page},
};

/// Connections at a time; more wait to be accepted.
const MAX_CONNECTIONS: usize = 32;
/// How long a handshake, or the headers of a request, may take.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection may live. Scrapers reconnect.
const CONNECTION_LIFETIME: Duration = Duration::from_secs(600);

/// Where to serve, and with which certificate.
#[derive(Debug, Clone)]
pub struct ServingOptions {
    /// Address.
    pub bind_address: IpAddr,
    /// Port.
    pub port: u16,
    /// Certificate and key, PEM. Without them a self-signed one is made in memory.
    pub certificate: Option<(PathBuf, PathBuf)>,
}

/// Why serving could not start.
#[derive(Debug, Error)]
pub enum ServingError {
    /// The port is taken, or not ours to take.
    #[error("cannot listen on {address}: {source}; choose another --secure-port, or 0 to serve nothing")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The certificate or its key is not usable.
    #[error("serving certificate: {0}")]
    Certificate(String),
}

/// A running server. Dropping it ends it.
#[derive(Debug)]
pub struct Server {
    /// Where it listens: tells the port when 0 was asked for.
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Starts to serve.
///
/// # Errors
/// [`ServingError`] when the port or the certificate is not usable.
pub async fn serve(options: &ServingOptions, routes: Routes) -> Result<Server, ServingError> {
    let config = tls::server_config(options.certificate.as_ref())?;
    let asked = SocketAddr::new(options.bind_address, options.port);
    let failed = |source| ServingError::Listen { address: asked, source };
    let listener = TcpListener::bind(asked).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let task = tokio::spawn(accept(listener, TlsAcceptor::from(config), Arc::new(routes)));
    Ok(Server { address, task })
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, routes: Arc<Routes>) {
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(permit) = permits.clone().acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Out of file descriptors, most likely: accepting again at once would spin.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_secs(1)).await;
                continue;
            }
        };
        let (acceptor, routes) = (acceptor.clone(), routes.clone());
        tokio::spawn(async move {
            let _permit = permit;
            let Ok(Ok(tls)) = timeout(HEADER_TIMEOUT, acceptor.accept(stream)).await else { return };
            let service = hyper::service::service_fn(move |request| {
                let routes = routes.clone();
                async move { Ok::<_, std::convert::Infallible>(routes.answer(request).await) }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIMEOUT)
                .max_buf_size(16 * 1024)
                .serve_connection(TokioIo::new(tls), service);
            // A caller that breaks off is no news.
            let _ = timeout(CONNECTION_LIFETIME, connection).await;
        });
    }
}

#[cfg(test)]
mod tests;
