//! One HTTP/2 connection to the API server, without anything on top: what the bench adds to the load stays small and
//! the same for all contestants, and the bare loop is limited by the API server alone.

use std::future::Future;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use kube::client::ConfigExt;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use super::BenchError;

/// Longest answer that is read: a list of the largest workload, bytes.
const MAX_BODY: usize = 1024 * 1024 * 1024;

/// Flow-control windows, bytes: big enough that a watch never waits for us.
const WINDOW: u32 = 16 * 1024 * 1024;

/// How much of a refusal's text stands in an error, bytes.
const EXCERPT: usize = 300;

/// Type of JSON bodies.
pub(crate) const JSON: &str = "application/json";
/// Type of merge patches.
pub(crate) const MERGE_PATCH: &str = "application/merge-patch+json";

/// A connection; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Wire {
    sender: SendRequest<Full<Bytes>>,
    authority: String,
}

impl Wire {
    /// Connects with the server and the certificate of a kubeconfig.
    pub(crate) async fn connect(kubeconfig: &Path) -> Result<Self, BenchError> {
        let what = || format!("cannot connect with {}", kubeconfig.display());
        // Another part of the process may have installed one, which is as good.
        let _ = tokio_rustls::rustls::crypto::ring::default_provider().install_default();
        let file = Kubeconfig::read_from(kubeconfig).map_err(BenchError::connection(what()))?;
        let config = kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
            .await
            .map_err(BenchError::connection(what()))?;
        let mut tls = config.rustls_client_config().map_err(BenchError::connection(what()))?;
        tls.alpn_protocols = vec![b"h2".to_vec()];
        let url = &config.cluster_url;
        let host = url.host().unwrap_or("127.0.0.1").to_owned();
        let authority = format!("{host}:{}", url.port_u16().unwrap_or(443));

        let tcp = TcpStream::connect(&authority).await.map_err(BenchError::connection(what()))?;
        tcp.set_nodelay(true).map_err(BenchError::connection(what()))?;
        let name = ServerName::try_from(host).map_err(BenchError::connection(what()))?;
        let stream =
            TlsConnector::from(Arc::new(tls)).connect(name, tcp).await.map_err(BenchError::connection(what()))?;
        let (sender, connection) = Builder::new(TokioExecutor::new())
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(BenchError::connection(what()))?;
        // Ends when the last clone is gone; requests tell when it broke.
        tokio::spawn(connection);
        Ok(Self { sender, authority })
    }

    /// Host and port of the server.
    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    /// Sends a request as it is.
    pub(crate) async fn pass(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, BenchError> {
        let what = format!("{} {}", request.method(), request.uri().path());
        let mut sender = self.sender.clone();
        sender.ready().await.map_err(BenchError::connection(what.clone()))?;
        sender.send_request(request).await.map_err(BenchError::connection(what))
    }

    /// Sends a request and returns the body of a successful answer.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        kind: &'static str,
        body: Bytes,
    ) -> Result<Bytes, BenchError> {
        let (status, answer) = self.open(&method, path, kind, body).await?;
        let what = format!("{method} {path}");
        let bytes = Limited::new(answer, MAX_BODY)
            .collect()
            .await
            .map_err(|error| BenchError::Connection { what, reason: error.to_string() })?
            .to_bytes();
        if status.is_success() {
            return Ok(bytes);
        }
        Err(BenchError::Refused {
            method: method.to_string(),
            path: path.to_owned(),
            status: status.as_u16(),
            body: String::from_utf8_lossy(&bytes[..bytes.len().min(EXCERPT)]).into_owned(),
        })
    }

    /// POSTs a JSON body.
    pub(crate) async fn post(&self, path: &str, body: impl Into<Bytes>) -> Result<(), BenchError> {
        self.send(Method::POST, path, JSON, body.into()).await.map(|_| ())
    }

    /// GETs and parses JSON.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, BenchError> {
        let bytes = self.send(Method::GET, path, JSON, Bytes::new()).await?;
        serde_json::from_slice(&bytes).map_err(|source| BenchError::Answer { what: path.to_owned(), source })
    }

    /// GETs a text.
    pub(crate) async fn text(&self, path: &str) -> Result<String, BenchError> {
        let bytes = self.send(Method::GET, path, JSON, Bytes::new()).await?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Sends a request and returns the status and the body that is still to be read.
    pub(crate) async fn open(
        &self,
        method: &Method,
        path: &str,
        kind: &'static str,
        body: Bytes,
    ) -> Result<(StatusCode, Incoming), BenchError> {
        let what = || format!("{method} {path}");
        // The page /metrics is text only and ignores what is asked for.
        let request = Request::builder()
            .method(method)
            .uri(format!("https://{}{path}", self.authority))
            .header(header::ACCEPT, JSON)
            .header(header::CONTENT_TYPE, kind)
            .header(header::USER_AGENT, "headroom-bench")
            .body(Full::new(body))
            .map_err(BenchError::connection(what()))?;
        let answer = self.pass(request).await?;
        Ok((answer.status(), answer.into_body()))
    }
}

/// Runs `work` for 0 to `count` - 1, at most `in_flight` at once; the first error ends it.
pub(crate) async fn each<F, Fut>(count: u32, in_flight: usize, work: F) -> Result<(), BenchError>
where
    F: FnMut(u32) -> Fut,
    Fut: Future<Output = Result<(), BenchError>>,
{
    futures::stream::iter(0..count).map(work).buffer_unordered(in_flight).try_collect::<()>().await
}
