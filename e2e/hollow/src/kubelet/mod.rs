//! Each node's HTTPS server: what the real kubelet answers on `/stats/summary`, `/healthz` and `/configz`.

mod auth;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

pub use auth::token_hash;
use auth::{Authorizer, Decision, subresources};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::config::NodeClass;
use crate::engine::Shared;
use crate::memory_model::SwapBehavior;
use crate::quantity::format_bytes;
use crate::world::Received;

/// Connections of one kubelet at once; more wait in the backlog.
const MAX_CONNECTIONS: usize = 64;
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// Wait before a port that is taken is tried again.
const REBIND: Duration = Duration::from_millis(100);

/// One node's server.
pub(crate) struct Kubelet {
    pub(crate) index: usize,
    pub(crate) name: String,
    pub(crate) class: Arc<NodeClass>,
    pub(crate) shared: Arc<Shared>,
    authorizer: Authorizer,
}

impl Kubelet {
    pub(crate) fn new(index: usize, name: String, class: Arc<NodeClass>, shared: Arc<Shared>) -> Self {
        Self { index, name, class, shared, authorizer: Authorizer::default() }
    }

    /// Serves until dropped. While the node is dead the port is closed and connections are cut.
    pub(crate) async fn serve(
        self: Arc<Self>,
        listener: TcpListener,
        address: SocketAddr,
        tls: Arc<rustls::ServerConfig>,
        mut alive: watch::Receiver<bool>,
    ) {
        let acceptor = TlsAcceptor::from(tls);
        let mut listener = Some(listener);
        loop {
            if !*alive.borrow_and_update() {
                listener = None;
                if alive.changed().await.is_err() {
                    return;
                }
                continue;
            }
            let Some(open) = &listener else {
                match TcpListener::bind(address).await {
                    Ok(bound) => listener = Some(bound),
                    Err(_) => tokio::time::sleep(REBIND).await,
                }
                continue;
            };
            let mut connections = JoinSet::new();
            while *alive.borrow() {
                tokio::select! {
                    changed = alive.changed() => if changed.is_err() { return },
                    accepted = open.accept(), if connections.len() < MAX_CONNECTIONS => {
                        if let Ok((stream, _)) = accepted {
                            connections.spawn(self.clone().connection(stream, acceptor.clone()));
                        }
                    }
                    Some(_) = connections.join_next() => {}
                }
            }
            // Dropping the set cuts every connection.
        }
    }

    async fn connection(self: Arc<Self>, stream: TcpStream, acceptor: TlsAcceptor) {
        let _ = stream.set_nodelay(true);
        let Ok(Ok(tls)) = tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await else { return };
        let http2 = tls.get_ref().1.alpn_protocol() == Some(b"h2");
        let service = service_fn(move |request| {
            let kubelet = self.clone();
            async move { Ok::<_, std::convert::Infallible>(kubelet.answer(&request).await) }
        });
        // Errors of a connection concern its client only.
        let _ = if http2 {
            hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(tls), service)
                .await
        } else {
            hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIMEOUT)
                .serve_connection(TokioIo::new(tls), service)
                .await
        };
    }

    async fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        // A stopped process accepts connections and answers when it goes on.
        let mut paused = self.shared.paused.subscribe();
        let _ = paused.wait_for(|paused| !paused).await;
        let latency = self.shared.read(|world, _| world.latency(self.index));
        if latency > 0 {
            tokio::time::sleep(Duration::from_millis(latency)).await;
        }
        let path = request.uri().path();
        let token = request
            .headers()
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, token)| scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty())
            .map(|(_, token)| token.trim());
        let verb = verb(request.method());
        let decision = self.authorizer.decide(&self.shared, &self.name, token, verb, path).await;
        let user = match &decision {
            Decision::Allowed(user) | Decision::Forbidden(user) => Some(user.clone()),
            Decision::Unauthorized | Decision::Unknown => None,
        };
        let response = match decision {
            Decision::Unauthorized => text(StatusCode::UNAUTHORIZED, "Unauthorized"),
            Decision::Unknown => text(StatusCode::INTERNAL_SERVER_ERROR, "Internal Error"),
            Decision::Forbidden(user) => text(
                StatusCode::FORBIDDEN,
                format!(
                    "Forbidden (user={user}, verb={verb}, resource=nodes, subresource(s)={:?})\n",
                    subresources(path)
                ),
            ),
            Decision::Allowed(_) => self.route(request),
        };
        let note = Received {
            requests: 0,
            token_hash: token.map(token_hash),
            user,
            path: path.to_owned(),
            status: response.status().as_u16(),
        };
        self.shared.read(|world, _| world.note_request(self.index, note));
        response
    }

    fn route(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if request.method() != Method::GET && request.method() != Method::HEAD {
            return text(StatusCode::METHOD_NOT_ALLOWED, "405: Method Not Allowed");
        }
        match request.uri().path() {
            "/healthz" | "/healthz/ping" | "/healthz/syncloop" => text(StatusCode::OK, "ok"),
            "/configz" => json_body(&self.configz()),
            "/stats/summary" | "/stats/summary/" => {
                let query = request.uri().query().unwrap_or_default();
                let short = query.split('&').any(|pair| {
                    matches!(pair, "only_cpu_and_memory=true" | "only_cpu_and_memory=1" | "only_cpu_and_memory=t")
                });
                match self.shared.read(|world, now| world.summary(self.index, short, now)) {
                    Some(summary) => json_body(&*summary),
                    None => text(StatusCode::NOT_FOUND, "404 page not found"),
                }
            }
            _ => text(StatusCode::NOT_FOUND, "404 page not found"),
        }
    }

    fn configz(&self) -> serde_json::Value {
        let behavior = match (self.class.swap_behavior, self.class.behavior()) {
            (None, SwapBehavior::NoSwap) => json!({}),
            (_, SwapBehavior::Unlimited) => json!({"swapBehavior": "UnlimitedSwap"}),
            (_, SwapBehavior::NoSwap) => json!({"swapBehavior": "NoSwap"}),
            (_, SwapBehavior::LimitedSwap) => json!({"swapBehavior": "LimitedSwap"}),
        };
        let mut eviction = json!({"imagefs.available": "5%", "nodefs.available": "5%"});
        if self.class.eviction_hard_bytes > 0 {
            eviction["memory.available"] = format_bytes(self.class.eviction_hard_bytes).into();
        }
        json!({"kubeletconfig": {
            "failSwapOn": false,
            "memorySwap": behavior,
            "evictionHard": eviction,
            "maxPods": self.class.pods,
            "nodeLeaseDurationSeconds": 40,
        }})
    }
}

/// The API verb of an HTTP method, as the kubelet maps it.
fn verb(method: &Method) -> &'static str {
    match method.as_str() {
        "POST" => "create",
        "PUT" => "update",
        "PATCH" => "patch",
        "DELETE" => "delete",
        _ => "get",
    }
}

fn text(status: StatusCode, body: impl Into<String>) -> Response<Full<Bytes>> {
    respond(status, "text/plain; charset=utf-8", body.into().into())
}

fn json_body<T: serde::Serialize>(value: &T) -> Response<Full<Bytes>> {
    match serde_json::to_vec(value) {
        Ok(body) => respond(StatusCode::OK, "application/json", body.into()),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

fn respond(status: StatusCode, content: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content));
    response
}
