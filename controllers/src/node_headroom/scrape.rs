//! Reads kubelets: the I/O part.
//!
//! The connection goes to the node's internal address, the certificate has to be for the node's *name*, no redirect is
//! followed, and the answer is limited in time and size (reference memory-and-swap.md 2.3). Never through the API
//! server's proxy: `nodes/proxy` is the right to run anything anywhere.

use std::{
    error::Error as StdError,
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use hashbrown::HashMap;
use headroom_core::{Now, Timestamp, quantity::human_bytes};
use http::{HeaderMap, HeaderValue, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Collected, Empty, LengthLimitError, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use k8s_openapi::jiff;
use serde_json::Value;
use tokio::{
    net::TcpStream,
    sync::{Semaphore, mpsc},
};
use tower::Service;

pub use super::tls::{KubeletTrust, TlsError};
use super::{
    IDLE, MAX_SCRAPES,
    command::{Answer, CollectorCommand, MetricsResult, Path, ScrapeError, ScrapeResult, Scraped},
    configz::KubeletConfig,
    metrics_api::{self, Metrics},
    summary::{MAX_BODY, Summary},
    token::TokenSource,
};

/// Longest refusal of the API server that is read for its reason, in bytes.
const MAX_REFUSAL: usize = 64 << 10;
/// Nodes whose address is remembered.
const MAX_ADDRESSES: usize = 20_000;

type Addresses = Arc<Mutex<HashMap<String, IpAddr>>>;

/// Executes [`CollectorCommand`]s and sends an [`Answer`] to each. Cheap to clone.
#[derive(Clone)]
pub struct Executor {
    inner: Arc<Inner>,
}

struct Inner {
    client: Client<HttpsConnector<Dial>, Empty<Bytes>>,
    addresses: Addresses,
    tokens: TokenSource,
    permits: Semaphore,
    /// For `metrics.k8s.io`, with this process's own rights.
    api: Option<kube::Client>,
    results: mpsc::Sender<Answer>,
    /// From dialling to the last byte.
    timeout: Duration,
    clock: fn() -> Now,
}

impl std::fmt::Debug for Executor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Executor").field("tokens", &self.inner.tokens).finish_non_exhaustive()
    }
}

impl Executor {
    /// Ready to read; connects to nobody yet. `api` is for `metrics.k8s.io`; `timeout` is for one answer, from dialling
    /// to the last byte; `clock` is the process's.
    ///
    /// # Errors
    /// [`TlsError`] when TLS cannot be set up.
    pub fn new(
        trust: &KubeletTrust,
        tokens: TokenSource,
        api: Option<kube::Client>,
        results: mpsc::Sender<Answer>,
        timeout: Duration,
        clock: fn() -> Now,
    ) -> Result<Self, TlsError> {
        let addresses = Addresses::default();
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(trust.client_config()?)
            .https_only()
            .enable_http1()
            .wrap_connector(Dial { addresses: addresses.clone() });
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(1)
            .build(connector);
        let permits = Semaphore::new(MAX_SCRAPES);
        Ok(Self { inner: Arc::new(Inner { client, addresses, tokens, permits, api, results, timeout, clock }) })
    }

    /// Starts a command. Its result comes over the channel, also when it fails; the task ends by itself when the
    /// receiver is gone.
    pub fn execute(&self, command: CollectorCommand) {
        let inner = self.inner.clone();
        tokio::spawn(async move { inner.run(command).await });
    }
}

impl Inner {
    async fn run(&self, command: CollectorCommand) {
        let (id, node, address, port, path, keep) = match command {
            CollectorCommand::Scrape { id, node, address, port, path, keep } => (id, node, address, port, path, keep),
            CollectorCommand::ReadMetrics => return self.read_metrics().await,
        };
        let Ok(_permit) = self.permits.acquire().await else { return };
        let mut kubelet_time = None;
        let at = || format!("{address}:{port}");
        let result = match self.tokens.header().await {
            Err(error) => Err(ScrapeError::NoToken(error)),
            Ok(token) => {
                let read = self.read((node.as_str(), address.as_str(), port), path, keep, token, &mut kubelet_time);
                match tokio::time::timeout(self.timeout, read).await {
                    Ok(result) => result,
                    Err(_) => Err(ScrapeError::Timeout { address: at(), seconds: self.timeout.as_secs() }),
                }
            }
        };
        let result = ScrapeResult { id, node, path, result, kubelet_time, received_at: (self.clock)() };
        // Nobody listens any more: the process ends.
        let _ = self.results.send(Answer::Kubelet(result)).await;
    }

    async fn read_metrics(&self) {
        let result = MetricsResult { result: self.metrics().await, received_at: (self.clock)() };
        let _ = self.results.send(Answer::Metrics(result)).await;
    }

    /// Both lists of `metrics.k8s.io`, each within the time of a scrape; one after the other, so that only one answer
    /// is in memory.
    async fn metrics(&self) -> Result<Metrics, String> {
        let mut metrics = Metrics::default();
        metrics.read_nodes(&self.api_answer(metrics_api::NODES).await?).map_err(|e| e.to_string())?;
        metrics.read_pods(&self.api_answer(metrics_api::PODS).await?).map_err(|e| e.to_string())?;
        Ok(metrics)
    }

    /// What the API server answers on a path.
    async fn api_answer(&self, path: &str) -> Result<Bytes, String> {
        let Some(api) = &self.api else { return Err("no API server".into()) };
        match tokio::time::timeout(self.timeout, ask(api, path)).await {
            Ok(answer) => answer,
            Err(_) => Err(format!("no answer within {} s", self.timeout.as_secs())),
        }
    }

    async fn read(
        &self,
        (node, address, port): (&str, &str, u16),
        path: Path,
        keep: bool,
        token: HeaderValue,
        kubelet_time: &mut Option<Timestamp>,
    ) -> Result<Scraped, ScrapeError> {
        let at = format!("{address}:{port}");
        let unreachable = |message: String| ScrapeError::Unreachable { address: at.clone(), message };
        let ip: IpAddr = address.parse().map_err(|_| unreachable("not an IP address".into()))?;
        {
            let mut known = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
            if known.len() >= MAX_ADDRESSES {
                known.clear();
            }
            known.insert(node.to_owned(), ip);
        }
        let mut request = Request::get(format!("https://{node}:{port}{}", path.as_str()))
            .header(header::AUTHORIZATION, token.clone())
            .header(header::ACCEPT, "application/json")
            .header(header::USER_AGENT, concat!("headroom-controllers/", env!("CARGO_PKG_VERSION")))
            .body(Empty::new())
            .map_err(|e| unreachable(e.to_string()))?;
        if !keep {
            request.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        let response = self.client.request(request).await.map_err(|e| classify(&e, node, &at))?;
        *kubelet_time = date(response.headers());
        match response.status() {
            StatusCode::OK => {}
            StatusCode::UNAUTHORIZED => {
                self.tokens.rejected(&token).await;
                return Err(ScrapeError::Unauthorized { account: self.tokens.account() });
            }
            StatusCode::FORBIDDEN => {
                return Err(ScrapeError::Forbidden { account: self.tokens.account(), resource: path.resource() });
            }
            other => {
                let retry = response.headers().get(header::RETRY_AFTER).and_then(|v| v.to_str().ok()?.parse().ok());
                return Err(ScrapeError::Status { code: other.as_u16(), retry_after_seconds: retry });
            }
        }
        let body = Limited::new(response.into_body(), MAX_BODY).collect().await.map_err(|e| {
            if e.is::<LengthLimitError>() { ScrapeError::TooLarge { limit: MAX_BODY } } else { unreachable(chain(&*e)) }
        })?;
        let body = body.to_bytes();
        Ok(match path {
            Path::Summary | Path::FullSummary => Scraped::Summary(Box::new(Summary::parse(&body)?)),
            Path::Configz => Scraped::Configz(KubeletConfig::parse(&body)?),
        })
    }
}

/// Reads a path of the API server, and no more of it than may be held in memory.
async fn ask(api: &kube::Client, path: &str) -> Result<Bytes, String> {
    let request = Request::get(path).body(kube::client::Body::empty()).map_err(|e| e.to_string())?;
    let response = api.send(request).await.map_err(|e| e.to_string())?;
    let status = response.status();
    let limit = if status.is_success() { metrics_api::MAX_ANSWER } else { MAX_REFUSAL };
    let body = Limited::new(response.into_body(), limit).collect().await.map(Collected::to_bytes);
    if !status.is_success() {
        let told: Value = body.ok().and_then(|body| serde_json::from_slice(&body).ok()).unwrap_or_default();
        return Err(format!("HTTP {}: {}", status.as_u16(), told["message"].as_str().unwrap_or("no reason given")));
    }
    body.map_err(|error| {
        if !error.is::<LengthLimitError>() {
            return chain(&*error);
        }
        format!("the answer on {path} is larger than {}, and nothing of it is used", human_bytes(limit as i64))
    })
}

/// The answer's `Date`.
fn date(headers: &HeaderMap) -> Option<Timestamp> {
    let text = headers.get(header::DATE)?.to_str().ok()?;
    let time = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    Some(Timestamp(time.as_microsecond()))
}

/// What kept a request from being answered.
fn classify(error: &(dyn StdError + 'static), node: &str, at: &str) -> ScrapeError {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(this) = cause {
        // An I/O error hides what it wraps from `source`.
        let inner =
            this.downcast_ref::<io::Error>().and_then(io::Error::get_ref).map(|e| e as &(dyn StdError + 'static));
        if let Some(rustls::Error::InvalidCertificate(why)) = this.downcast_ref() {
            return ScrapeError::CertificateUntrusted { node: node.to_owned(), message: why.to_string() };
        }
        cause = inner.or_else(|| this.source());
    }
    ScrapeError::Unreachable { address: at.to_owned(), message: chain(error) }
}

/// The innermost causes say most; the outer ones are kept for what they add.
fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(this) = cause {
        let next = this.to_string();
        if !text.contains(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = this.source();
    }
    text
}

/// Dials the address that belongs to a node's name: the name stays in the URI, where TLS takes it from.
#[derive(Clone)]
struct Dial {
    addresses: Addresses,
}

impl Service<Uri> for Dial {
    type Response = TokioIo<TcpStream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, io::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let node = uri.host().unwrap_or_default();
        let known = self.addresses.lock().unwrap_or_else(PoisonError::into_inner).get(node).copied();
        let port = uri.port_u16().unwrap_or(10250);
        Box::pin(async move {
            let ip = known.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no address for this node"))?;
            let stream = TcpStream::connect(SocketAddr::new(ip, port)).await?;
            stream.set_nodelay(true)?;
            Ok(TokioIo::new(stream))
        })
    }
}

#[cfg(test)]
mod tests;
