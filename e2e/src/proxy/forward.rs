//! Connections and requests.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use futures::stream;
use http::{HeaderValue, Request, Response, StatusCode, Uri, header};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::bench::wire::Wire;

use super::Shared;
use super::crash::Pass;
use super::faults::{Expiry, Fate, Loss, Refusal};
use super::target::{Target, Verb};
use super::watch::Parts;
use super::{old, protobuf, told, watch};

/// How long a request waits before it is told that it took too long.
const TOO_LONG: Duration = Duration::from_secs(1);

/// The proxy ends a stream in its middle.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the proxy ends this stream")]
pub(super) struct Broken;

type Body = UnsyncBoxBody<Bytes, Broken>;

impl Shared {
    pub(super) fn spoil(&self) {
        self.spoiled.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether one more request may be left without an answer; counts it.
    fn may_ignore(&self) -> bool {
        let most = self.faults.borrow().unanswered_at_most;
        let more = |ignored: u32| (ignored < most).then_some(ignored.saturating_add(1));
        self.ignored.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }
}

/// Takes connections until it is aborted, which ends them too.
pub(super) async fn accept(listener: TcpListener, acceptor: TlsAcceptor, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted {
                    connections.spawn(connection(stream, acceptor.clone(), Arc::clone(&shared)));
                }
            }
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
}

/// A connection of the process, and one to the API server that lives as long.
async fn connection(stream: TcpStream, acceptor: TlsAcceptor, shared: Arc<Shared>) {
    let _ = stream.set_nodelay(true);
    let pass = shared.crash.connect();
    let Ok(stream) = acceptor.accept(stream).await else { return };
    // A server that cannot be reached is seen by the process as a connection that ends.
    let Ok(wire) = Wire::connect(&shared.kubeconfig).await else { return };
    let service = service_fn(move |request| answer(request, wire.clone(), pass, Arc::clone(&shared)));
    let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    let _ = server.serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(
    mut request: Request<Incoming>,
    wire: Wire,
    pass: Pass,
    shared: Arc<Shared>,
) -> Result<Response<Body>, Broken> {
    let target = Target::of(request.method(), request.uri());
    plain(request.headers_mut(), shared.faults.borrow().json);
    let encoded = protobuf::is_named(request.headers(), header::ACCEPT);
    shared.crash.pass(pass).await;
    // An informer's list is of all namespaces; a loop's own look at one says nothing about what the informer knows.
    let lists =
        (target.verb == Verb::List && target.namespace.is_empty()).then(|| shared.told.watched(&target.resource));
    let mut fate = shared.faults.borrow().fate(&target, &shared.dice);
    if fate.is_silence() && !shared.may_ignore() {
        fate = Fate::Pass;
    }
    if fate != Fate::Pass {
        shared.spoil();
    }
    let loss = match fate {
        Fate::Pass => None,
        Fate::Lose(loss) => Some(loss),
        // Dropped with the stream, when the client resets it, or with the connection.
        Fate::Ignore => std::future::pending().await,
        Fate::Refuse(refusal) => {
            if refusal == Refusal::TooLate {
                tokio::time::sleep(TOO_LONG).await;
            }
            return Ok(refuse(refusal, encoded));
        }
        Fate::Expire(expiry) => return Ok(expire(expiry, encoded)),
    };
    let faults = *shared.faults.borrow();
    if target.initial
        && (target.old || faults.inconsistent)
        && !faults.old.is_zero()
        && let Some(version) = shared.history.before(faults.age(&shared.dice))
    {
        let (parts, body) = request.into_parts();
        if let Some((begin, response)) = old::watch(&parts, version, &wire).await? {
            shared.rewound.fetch_add(1, Ordering::Relaxed);
            return Ok(watching(begin, response, target, shared));
        }
        return Ok(watching(Vec::new(), forward(Request::from_parts(parts, body), &wire).await?, target, shared));
    }
    let (parts, body) = if target.verb == Verb::Write {
        write(request, wire, &target, Arc::clone(&shared)).await?
    } else {
        let response = forward(request, &wire).await?;
        if target.verb == Verb::Watch && response.status().is_success() {
            return Ok(watching(Vec::new(), response, target, shared));
        }
        whole(response).await?
    };
    shared.crash.pass(pass).await;
    if let Some(process) = lists
        // One that ends in its middle tells nothing.
        && loss.is_none()
        && let Some(version) = told::list(&body)
    {
        shared.told.note(process, &target.resource, version);
    }
    match loss {
        None => Ok(Response::from_parts(parts, full(body))),
        Some(Loss::Internal) => Ok(refuse(Refusal::Internal, encoded)),
        Some(Loss::TooLate) => Ok(refuse(Refusal::TooLate, encoded)),
        Some(Loss::Reset) => Err(Broken),
        Some(Loss::Silence) => std::future::pending().await,
        Some(Loss::Half) => {
            let half = body.slice(..body.len() / 2);
            let frames = stream::iter([Ok(Frame::data(half)), Err(Broken)]);
            Ok(Response::from_parts(parts, StreamBody::new(frames).boxed_unsync()))
        }
    }
}

/// Carries a write out, whether or not the process lives to see the answer: once it is sent it can't be taken back.
async fn write(
    request: Request<Incoming>,
    wire: Wire,
    target: &Target,
    shared: Arc<Shared>,
) -> Result<(http::response::Parts, Bytes), Broken> {
    let stops = target.story().is_some_and(|story| shared.crash.count(story));
    let under_way = shared.crash.send();
    let sent = async move {
        let _under_way = under_way;
        let answer = async { whole(forward(request, &wire).await?).await }.await;
        if stops {
            shared.crash.stop();
        }
        answer
    };
    tokio::spawn(sent).await.map_err(|_| Broken)?
}

/// An answer with all of its body.
async fn whole(response: Response<Incoming>) -> Result<(http::response::Parts, Bytes), Broken> {
    let (parts, body) = response.into_parts();
    Ok((parts, body.collect().await.map_err(|_| Broken)?.to_bytes()))
}

fn watching(begin: Vec<Bytes>, response: Response<Incoming>, target: Target, shared: Arc<Shared>) -> Response<Body> {
    let (head, body) = response.into_parts();
    let parts = if protobuf::is_named(&head.headers, header::CONTENT_TYPE) {
        shared.encoded.fetch_add(1, Ordering::Relaxed);
        Parts::Frames
    } else {
        Parts::Lines
    };
    let lines = watch::pass_on(begin, (parts, body), target, shared);
    Response::from_parts(head, StreamBody::new(lines).boxed_unsync())
}

/// Leaves out what is about the connection, and what compresses: events of a watch have to be seen. Protobuf too, where JSON
/// is wanted.
fn plain(headers: &mut http::HeaderMap, json: bool) {
    headers.remove(header::HOST);
    headers.remove(header::ACCEPT_ENCODING);
    if json && protobuf::is_named(headers, header::ACCEPT) {
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    }
}

async fn forward(request: Request<Incoming>, wire: &Wire) -> Result<Response<Incoming>, Broken> {
    let (mut parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    parts.uri = format!("https://{}{path}", wire.authority()).parse::<Uri>().map_err(|_| Broken)?;
    let body = body.collect().await.map_err(|_| Broken)?.to_bytes();
    wire.pass(Request::from_parts(parts, Full::new(body))).await.map_err(|_| Broken)
}

fn full(body: Bytes) -> Body {
    Full::new(body).map_err(|never| match never {}).boxed_unsync()
}

/// A refusal, in protobuf where the process asked for that.
fn refuse(refusal: Refusal, encoded: bool) -> Response<Body> {
    let (code, reason, message) = match refusal {
        Refusal::Conflict => (StatusCode::CONFLICT, "Conflict", "the object has been modified"),
        Refusal::TooMany => (StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", "please try again later"),
        Refusal::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "InternalError", "etcdserver: leader changed"),
        Refusal::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", "apiserver is shutting down"),
        Refusal::TooLate => {
            (StatusCode::GATEWAY_TIMEOUT, "Timeout", "request did not complete within the allotted timeout")
        }
    };
    let mut response = status(code, reason, message, encoded);
    if matches!(refusal, Refusal::TooMany | Refusal::Unavailable) {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

fn expire(expiry: Expiry, encoded: bool) -> Response<Body> {
    let (code, reason, message) = (StatusCode::GONE, "Expired", "too old resource version: 1 (2)");
    match expiry {
        Expiry::Answer => status(code, reason, message, encoded),
        Expiry::Event if encoded => {
            let failure = protobuf::failure(code.as_u16(), reason, message);
            typed(protobuf::STREAM, protobuf::framed("ERROR", &failure))
        }
        Expiry::Event => {
            let object = status_object(code, reason, message);
            typed("application/json", format!("{{\"type\":\"ERROR\",\"object\":{object}}}\n").into())
        }
    }
}

fn status_object(code: StatusCode, reason: &str, message: &str) -> serde_json::Value {
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message,
        "reason": reason, "code": code.as_u16()})
}

fn status(code: StatusCode, reason: &str, message: &str, encoded: bool) -> Response<Body> {
    let mut response = if encoded {
        typed(protobuf::MEDIA_TYPE, protobuf::failure(code.as_u16(), reason, message).into())
    } else {
        typed("application/json", status_object(code, reason, message).to_string().into())
    };
    *response.status_mut() = code;
    response
}

fn typed(media_type: &'static str, body: Bytes) -> Response<Body> {
    let mut response = Response::new(full(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    response
}
