//! The chaos API: plain HTTP on loopback, verbs with query parameters, made for curl.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::error::HollowError;
use crate::hollow::Steering;
use crate::memory_model::{Curve, parse_duration};

/// Connections at once.
const MAX_CONNECTIONS: usize = 32;

const HELP: &str = "\
GET  /nodes                                      every node
GET  /debug/received                             what each kubelet received
GET  /ca                                         CA of the kubelets' certificates, PEM
POST /kill?node=N            POST /revive?node=N
POST /mute?node=N            POST /unmute?node=N  lease and status do not get through; the kubelet answers
POST /slow?node=N&by=2s                          extra latency; by=0s ends it
POST /pause                  POST /resume        all nodes, like SIGSTOP and SIGCONT
POST /curve?pod=NS/NAME&memory=50Mi@0s,200Mi@60s[&hot=0.8]
POST /curve?node=N&system=300Mi                  memory of everything outside pods
POST /pressure?node=N&some=40[&full=20]          pin PSI, percent; without some it runs again
";

/// Serves until dropped.
pub(crate) async fn serve(listener: TcpListener, steering: Arc<Steering>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => {
                let Ok((stream, _)) = accepted else { continue };
                let steering = steering.clone();
                let service = service_fn(move |request: Request<Incoming>| {
                    let answer = answer(&steering, &request);
                    async move { Ok::<_, std::convert::Infallible>(answer) }
                });
                connections.spawn(async move {
                    // Errors of a connection concern its client only.
                    let _ = hyper::server::conn::http1::Builder::new()
                        .timer(TokioTimer::new())
                        .header_read_timeout(Duration::from_secs(30))
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

fn answer(steering: &Steering, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let query = parse_query(request.uri().query().unwrap_or_default());
    let (status, body) = match handle(steering, request.method(), request.uri().path(), &query) {
        Ok(Some(Value::String(text))) => (StatusCode::OK, text),
        Ok(Some(value)) => (StatusCode::OK, format!("{value}\n")),
        Ok(None) => (StatusCode::NOT_FOUND, HELP.to_owned()),
        Err(error @ (HollowError::NoSuchNode(_) | HollowError::NoSuchPod(_))) => {
            (StatusCode::NOT_FOUND, format!("{error}\n"))
        }
        Err(error) => (StatusCode::BAD_REQUEST, format!("{error}\n")),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let content = if status == StatusCode::OK { "application/json" } else { "text/plain; charset=utf-8" };
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content));
    response
}

/// `Ok(None)`: no such path or method.
fn handle(
    steering: &Steering,
    method: &Method,
    path: &str,
    query: &HashMap<String, String>,
) -> Result<Option<Value>, HollowError> {
    let get = |name: &str| {
        query.get(name).map(String::as_str).ok_or_else(|| HollowError::config(name, "the parameter is missing"))
    };
    let number = |name: &str| match query.get(name).map(|text| (text, text.parse::<f64>())) {
        None => Ok(None),
        Some((_, Ok(value))) if value.is_finite() => Ok(Some(value)),
        Some((text, _)) => Err(HollowError::config(name, format!("{text:?} is no number"))),
    };
    let done = Ok(Some(json!({"ok": true})));
    match (method.as_str(), path) {
        ("GET", "/nodes") => Ok(serde_json::to_value(steering.nodes()).ok()),
        ("GET", "/debug/received") => {
            let all: HashMap<_, _> = steering.received().into_iter().collect();
            Ok(serde_json::to_value(all).ok())
        }
        ("GET", "/ca") => Ok(Some(Value::String(steering.ca_pem().to_owned()))),
        ("POST", "/kill") => steering.kill(get("node")?).and(done),
        ("POST", "/revive") => steering.revive(get("node")?).and(done),
        ("POST", "/mute") => steering.mute(get("node")?, true).and(done),
        ("POST", "/unmute") => steering.mute(get("node")?, false).and(done),
        ("POST", "/slow") => {
            let by = parse_duration(get("by")?)
                .ok_or_else(|| HollowError::config("by", "must look like 2s, 500ms or 1m"))?;
            steering.slow(get("node")?, Duration::from_millis(by)).and(done)
        }
        ("POST", "/pause") => {
            steering.pause_all();
            done
        }
        ("POST", "/resume") => {
            steering.resume_all();
            done
        }
        ("POST", "/curve") if query.contains_key("pod") => {
            let curve = Curve::parse(get("memory")?)?;
            steering.set_pod_memory(get("pod")?, &curve, number("hot")?).and(done)
        }
        ("POST", "/curve") => steering.set_system_memory(get("node")?, Curve::parse(get("system")?)?).and(done),
        ("POST", "/pressure") => {
            let (some, full) = (number("some")?, number("full")?);
            let pressure = some.map(|some| (some, full.unwrap_or(some / 2.0)));
            steering.force_pressure(get("node")?, pressure).and(done)
        }
        _ => Ok(None),
    }
}

fn parse_query(query: &str) -> HashMap<String, String> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(key, value)| (decode(key), decode(value)))
        .collect()
}

/// Percent-decoding; what is no escape stays as it is.
fn decode(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let hex = |b: Option<u8>| b.and_then(|b| char::from(b).to_digit(16));
        let mut ahead = bytes.clone();
        match (byte, hex(ahead.next()), hex(ahead.next())) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                bytes = ahead;
            }
            (b'+', ..) => out.push(b' '),
            _ => out.push(byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_queries() {
        let query = parse_query("pod=ns%2Fa&memory=50Mi%400s%2C60Mi@9s&flag&x=%zz%4");
        assert_eq!(query["pod"], "ns/a");
        assert_eq!(query["memory"], "50Mi@0s,60Mi@9s");
        assert_eq!(query["flag"], "");
        assert_eq!(query["x"], "%zz%4");
    }
}
