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

use crate::WireError;

/// Longest answer that is read: a list of the largest workload, bytes.
const MAX_BODY: usize = 1024 * 1024 * 1024;

/// Flow-control windows, bytes: big enough that a watch never waits for us.
const WINDOW: u32 = 16 * 1024 * 1024;

/// How much of a refusal's text stands in an error, bytes.
const EXCERPT: usize = 300;

/// Type of JSON bodies.
pub const JSON: &str = "application/json";
/// Type of merge patches.
pub const MERGE_PATCH: &str = "application/merge-patch+json";
/// What headroom-scheduler asks for when it writes: an answer in protobuf costs the API server a fraction of JSON.
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf,application/json";

/// Types of the two bodies.
#[derive(Debug, Clone, Copy)]
struct Types {
    sent: &'static str,
    wanted: &'static str,
}

/// A connection; clones share it.
#[derive(Debug, Clone)]
pub struct Wire {
    sender: SendRequest<Full<Bytes>>,
    authority: String,
}

impl Wire {
    /// Connects with the server and the certificate of a kubeconfig.
    ///
    /// # Errors
    /// [`WireError::Connection`]: the file cannot be used, or the server not be reached.
    pub async fn connect(kubeconfig: &Path) -> Result<Self, WireError> {
        let what = || format!("cannot connect with {}", kubeconfig.display());
        // Another part of the process may have installed one, which is as good.
        let _ = tokio_rustls::rustls::crypto::ring::default_provider().install_default();
        let file = Kubeconfig::read_from(kubeconfig).map_err(|error| WireError::connection(what(), &error))?;
        let config = kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
            .await
            .map_err(|error| WireError::connection(what(), &error))?;
        let mut tls = config.rustls_client_config().map_err(|error| WireError::connection(what(), &error))?;
        tls.alpn_protocols = vec![b"h2".to_vec()];
        let url = &config.cluster_url;
        let host = url.host().unwrap_or("127.0.0.1").to_owned();
        let authority = format!("{host}:{}", url.port_u16().unwrap_or(443));

        let tcp = TcpStream::connect(&authority).await.map_err(|error| WireError::connection(what(), &error))?;
        tcp.set_nodelay(true).map_err(|error| WireError::connection(what(), &error))?;
        let name = ServerName::try_from(host).map_err(|error| WireError::connection(what(), &error))?;
        let stream = TlsConnector::from(Arc::new(tls))
            .connect(name, tcp)
            .await
            .map_err(|error| WireError::connection(what(), &error))?;
        let (sender, connection) = Builder::new(TokioExecutor::new())
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| WireError::connection(what(), &error))?;
        // Ends when the last clone is gone; requests tell when it broke.
        tokio::spawn(connection);
        Ok(Self { sender, authority })
    }

    /// Host and port of the server.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Sends a request as it is.
    ///
    /// # Errors
    /// [`WireError::Connection`]: it was not answered.
    pub async fn pass(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, WireError> {
        // These share what they hold: words are made only for an error.
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let failed = |error: hyper::Error| WireError::connection(format!("{method} {}", uri.path()), &error);
        let mut sender = self.sender.clone();
        sender.ready().await.map_err(failed)?;
        sender.send_request(request).await.map_err(failed)
    }

    /// Sends a request and returns the body of a successful answer.
    ///
    /// # Errors
    /// [`WireError`]: it was not answered, or refused.
    pub async fn send(&self, method: Method, path: &str, kind: &'static str, body: Bytes) -> Result<Bytes, WireError> {
        self.exchange(&method, path, Types { sent: kind, wanted: JSON }, body).await
    }

    /// POSTs a JSON body.
    ///
    /// # Errors
    /// [`WireError`]: it was not answered, or refused.
    pub async fn post(&self, path: &str, body: impl Into<Bytes>) -> Result<(), WireError> {
        self.send(Method::POST, path, JSON, body.into()).await.map(|_| ())
    }

    /// POSTs a JSON body as headroom-scheduler does, which has the answer in protobuf.
    ///
    /// # Errors
    /// [`WireError`]: it was not answered, or refused.
    pub async fn post_as_ours(&self, path: &str, body: impl Into<Bytes>) -> Result<(), WireError> {
        self.exchange(&Method::POST, path, Types { sent: JSON, wanted: PROTOBUF }, body.into()).await.map(|_| ())
    }

    /// GETs and parses JSON.
    ///
    /// # Errors
    /// [`WireError`]: it was not answered, refused, or is not what it should be.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, WireError> {
        let bytes = self.send(Method::GET, path, JSON, Bytes::new()).await?;
        serde_json::from_slice(&bytes).map_err(|source| WireError::Answer { what: path.to_owned(), source })
    }

    /// GETs a text.
    ///
    /// # Errors
    /// [`WireError`]: it was not answered, or refused.
    pub async fn text(&self, path: &str) -> Result<String, WireError> {
        let bytes = self.send(Method::GET, path, JSON, Bytes::new()).await?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Sends a request and returns the status and the body that is still to be read.
    ///
    /// # Errors
    /// [`WireError::Connection`]: it was not answered.
    pub async fn open(
        &self,
        method: &Method,
        path: &str,
        kind: &'static str,
        body: Bytes,
    ) -> Result<(StatusCode, Incoming), WireError> {
        self.ask(method, path, Types { sent: kind, wanted: JSON }, body).await
    }

    async fn ask(
        &self,
        method: &Method,
        path: &str,
        types: Types,
        body: Bytes,
    ) -> Result<(StatusCode, Incoming), WireError> {
        let request = request(&self.authority, method, path, types, body)
            .map_err(|error| WireError::connection(format!("{method} {path}"), &error))?;
        let answer = self.pass(request).await?;
        Ok((answer.status(), answer.into_body()))
    }

    async fn exchange(&self, method: &Method, path: &str, types: Types, body: Bytes) -> Result<Bytes, WireError> {
        let (status, answer) = self.ask(method, path, types, body).await?;
        let bytes = Limited::new(answer, MAX_BODY)
            .collect()
            .await
            .map_err(|error| WireError::Connection { what: format!("{method} {path}"), reason: error.to_string() })?
            .to_bytes();
        if status.is_success() {
            return Ok(bytes);
        }
        Err(WireError::Refused {
            method: method.to_string(),
            path: path.to_owned(),
            status: status.as_u16(),
            body: String::from_utf8_lossy(&bytes[..bytes.len().min(EXCERPT)]).into_owned(),
        })
    }
}

fn request(
    authority: &str,
    method: &Method,
    path: &str,
    types: Types,
    body: Bytes,
) -> Result<Request<Full<Bytes>>, http::Error> {
    // The page /metrics is text only and ignores what is asked for.
    Request::builder()
        .method(method)
        .uri(format!("https://{authority}{path}"))
        .header(header::ACCEPT, types.wanted)
        .header(header::CONTENT_TYPE, types.sent)
        .header(header::USER_AGENT, "headroom-bench")
        .body(Full::new(body))
}

/// Runs `work` for 0 to `count` - 1, at most `in_flight` at once; the first error ends it.
///
/// # Errors
/// That of `work`.
pub async fn each<F, Fut, E>(count: u32, in_flight: usize, work: F) -> Result<(), E>
where
    F: FnMut(u32) -> Fut,
    Fut: Future<Output = Result<(), E>>,
{
    futures::stream::iter(0..count).map(work).buffer_unordered(in_flight).try_collect::<()>().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_says_what_it_sends_and_what_it_wants() {
        let types = Types { sent: JSON, wanted: PROTOBUF };
        let got = request("h:1", &Method::POST, "/api?fieldValidation=Ignore", types, Bytes::new()).unwrap();
        assert_eq!(got.uri(), "https://h:1/api?fieldValidation=Ignore");
        let value = |name: header::HeaderName| got.headers().get(name).map(|text| text.to_str().unwrap());
        assert_eq!(value(header::CONTENT_TYPE), Some("application/json"));
        assert_eq!(value(header::ACCEPT), Some("application/vnd.kubernetes.protobuf,application/json"));
        assert!(request("h:1", &Method::GET, "/a b", types, Bytes::new()).is_err());
    }

    #[tokio::test]
    async fn the_first_error_ends_the_work() {
        let mut begun = 0;
        let outcome = each(100, 1, |index| {
            begun += 1;
            async move { if index == 3 { Err(index) } else { Ok(()) } }
        })
        .await;
        assert_eq!((outcome, begun), (Err(3), 4));
    }
}
