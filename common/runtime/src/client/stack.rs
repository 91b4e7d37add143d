//! The HTTP/2 stack: connector, pool, authentication, fence, metrics (the recipe of `rust-and-kube.md` A5).

use std::{
    future::Future,
    pin::Pin,
    sync::Once,
    task::{Context, Poll},
    time::Duration,
};

use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client as HyperClient, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use kube::{
    Config,
    client::{Body, ConfigExt},
};
use thiserror::Error;
use tokio::time::timeout;
use tower::{BoxError, Service, ServiceBuilder};

use super::{
    ClientError, Fence,
    fresh::fresh,
    gather::GatheringConnector,
    io::{Guard, GuardedConnector},
    negotiate::{Negotiating, is_watch},
    spread::Spread,
    steady::Steady,
};
use crate::{metrics::ClientMetrics, protobuf::Trust};

/// How long a TCP connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// First TCP keepalive probe, and the interval of the HTTP/2 pings.
const KEEPALIVE: Duration = Duration::from_secs(30);
/// A peer that does not answer a ping for so long is dead.
const PING_TIMEOUT: Duration = Duration::from_secs(15);
/// How long the head of a watch's answer may take. A server sends it before any object, so only the server's queue of requests
/// (a quarter of a minute at most) may come before it.
pub(super) const WATCH_PATIENCE: Duration = Duration::from_secs(30);
/// The same of lists and other reads. The server itself gives up after a minute, and says so.
const READ_PATIENCE: Duration = Duration::from_secs(65);
/// How long nothing of a body may come once its head has. Servers send lists in one go.
pub(super) const BODY_PATIENCE: Duration = Duration::from_secs(30);

/// What the server may send on one watch, and on all of a connection's together, before it is read (hyper's own are 2 and
/// 5 MiB). A first list fills them, and what was once allocated for that is never given back; within a cluster a round
/// trip is far too short for them to slow anything down.
const WATCH_WINDOW: u32 = 256 << 10;
const WATCHES_WINDOW: u32 = 1 << 20;

/// Connections for writes at most; what [`MAX_WRITES`](crate::dispatcher::MAX_WRITES) needs.
const WRITE_CONNECTIONS: usize = 3;

/// What a client is for; decides what its connection is fenced by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Watches, lists, reviews: never fenced.
    Watch,
    /// Writes: only while we lead.
    Write,
    /// The lease: until it is lost.
    Lease,
    /// Other servers than the API server (extenders): never fenced, HTTP/1.1.
    Foreign,
}

/// Installs the TLS provider (ring) once per process.
pub(crate) fn install_crypto() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Fails only when somebody installed one before us, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}

/// Builds a client with a connection pool of its own.
///
/// # Errors
/// [`ClientError::Credentials`] when a certificate, a key or a token is not usable.
pub fn build(
    config: &Config,
    purpose: Purpose,
    fence: &Fence,
    metrics: &ClientMetrics,
) -> Result<kube::Client, ClientError> {
    install_crypto();
    let failed = |source| ClientError::Credentials { server: config.cluster_url.to_string(), source: Box::new(source) };
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_nodelay(true);
    http.set_keepalive(Some(KEEPALIVE));
    http.set_connect_timeout(Some(CONNECT_TIMEOUT));
    let guard = Guard { fence: fence.clone(), purpose };

    let mut tls = config.rustls_client_config().map_err(failed)?;
    // The connector sets the protocol itself.
    tls.alpn_protocols.clear();
    let mut builder = hyper_rustls::HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
    if let Some(name) = &config.tls_server_name {
        let name = rustls::pki_types::ServerName::try_from(name.clone())
            .map_err(|_| ClientError::ServerName { name: name.clone() })?;
        builder = builder.with_server_name_resolver(hyper_rustls::FixedServerNameResolver::new(name));
    }
    let connector = GuardedConnector { inner: http, guard: guard.clone() };
    let http2 = config.cluster_url.scheme_str() == Some("https") && purpose != Purpose::Foreign;
    let mut pool = HyperClient::builder(TokioExecutor::new());
    pool.timer(TokioTimer::new()).pool_timer(TokioTimer::new());
    let clients: Vec<HyperClient<_, Body>> = if http2 {
        // HTTP/2 only: with both on offer, the first burst would open one connection per request.
        pool.http2_only(true)
            .http2_keep_alive_interval(KEEPALIVE)
            .http2_keep_alive_timeout(PING_TIMEOUT)
            .http2_keep_alive_while_idle(true);
        if purpose == Purpose::Watch {
            pool.http2_initial_stream_window_size(WATCH_WINDOW).http2_initial_connection_window_size(WATCHES_WINDOW);
        }
        // Around TLS, for it is TLS that would rather not gather.
        let connector = GatheringConnector {
            inner: builder.enable_http2().wrap_connector(connector),
            gathers: purpose == Purpose::Write,
        };
        let connections = if purpose == Purpose::Write { WRITE_CONNECTIONS } else { 1 };
        (0..connections).map(|_| pool.build(connector.clone())).collect()
    } else {
        // `kubectl proxy` and tests speak HTTP/1.1 without TLS.
        let inner = builder.enable_http1().wrap_connector(connector);
        vec![pool.build(GatheringConnector { inner, gathers: false })]
    };

    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer().map_err(failed)?)
        .layer(config.extra_headers_layer().map_err(failed)?)
        .map_err(BoxError::from)
        .service(Negotiating {
            inner: Guarded { inner: Spread::over(clients), guard, metrics: metrics.clone() },
            // What is written is asked for by the dispatcher itself.
            trust: if purpose == Purpose::Watch { Trust::default() } else { Trust::never() },
        });
    Ok(kube::Client::new(service, config.default_namespace.clone()))
}

/// The connection lives, its pings are answered, and nobody answers the request.
#[derive(Debug, Error)]
#[error("no answer within {0:?}")]
struct Unanswered(Duration);

/// How long a request may wait for the head of its answer. kube's watcher waits for it without a limit; who writes or keeps
/// the lease has a deadline of his own for the whole exchange, and so have the callers of other servers.
fn patience(purpose: Purpose, uri: &Uri) -> Option<Duration> {
    let limit = if is_watch(uri) { WATCH_PATIENCE } else { READ_PATIENCE };
    (purpose == Purpose::Watch).then_some(limit)
}

/// How long nothing may come of the body of an answer. Watches are silent while nothing changes, and kube's watcher has a
/// limit for that; who else has a deadline of his own has it for the body too.
fn body_patience(purpose: Purpose, uri: &Uri) -> Option<Duration> {
    (purpose == Purpose::Watch && !is_watch(uri)).then_some(BODY_PATIENCE)
}

/// The HTTP client behind the fence, counted.
#[derive(Clone)]
struct Guarded<S> {
    inner: S,
    guard: Guard,
    metrics: ClientMetrics,
}

impl<S> Service<Request<Body>> for Guarded<S>
where
    S: Service<Request<Body>, Response = Response<Incoming>>,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
{
    type Response = Response<Steady<Incoming>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        if let Err(closed) = self.guard.check() {
            return Box::pin(std::future::ready(Err(closed.into())));
        }
        if let Some(uri) = fresh(request.uri()) {
            *request.uri_mut() = uri;
        }
        let started = self.metrics.start(request.method(), request.uri());
        let patience = patience(self.guard.purpose, request.uri());
        let body_patience = body_patience(self.guard.purpose, request.uri());
        let answer = self.inner.call(request);
        Box::pin(async move {
            let result: Result<_, BoxError> = match patience {
                Some(limit) => match timeout(limit, answer).await {
                    Ok(result) => result.map_err(Into::into),
                    Err(_) => Err(Unanswered(limit).into()),
                },
                None => answer.await.map_err(Into::into),
            };
            started.finish(result.as_ref().ok().map(Response::status));
            Ok(result?.map(|body| Steady::new(body, body_patience)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bodies_of_lists_and_other_reads_may_not_stop() {
        let of = |purpose: Purpose, uri: &str| body_patience(purpose, &uri.parse().unwrap());
        for uri in ["https://s/api/v1/pods", "https://s/api/v1/pods?limit=250&continue=x", "https://s/readyz"] {
            assert_eq!(of(Purpose::Watch, uri), Some(BODY_PATIENCE), "{uri}");
        }
        for uri in ["https://s/api/v1/pods?watch=true", "https://s/api/v1/pods?watch=1&sendInitialEvents=true"] {
            assert_eq!(of(Purpose::Watch, uri), None, "{uri}");
        }
        for purpose in [Purpose::Write, Purpose::Lease, Purpose::Foreign] {
            assert_eq!(of(purpose, "https://s/api/v1/pods"), None, "{purpose:?}");
        }
    }
}
