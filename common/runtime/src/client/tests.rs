//! The stack against a real TLS and HTTP/2 server in this process: what reaches it, and what does not.

use std::{
    convert::Infallible,
    error::Error,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures::{StreamExt, stream};
use headroom_core::Mono;
use http::{Request, Response, Version};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use kube::client::Body;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::Notify,
};
use tokio_rustls::TlsAcceptor;

use super::{
    stack::{BODY_PATIENCE, WATCH_PATIENCE, install_crypto},
    *,
};
use crate::{clock, informer::chain};

/// The server reads this path's body only when it is told to.
const HELD: &str = "/held";
/// Of this path's answer the server sends the beginning.
const STOPPED: &str = "/stopped";
/// Bytes: more than a server takes before anybody reads, so that the rest waits on our side.
const BEYOND_THE_WINDOW: usize = 16 << 20;

/// What the server saw.
#[derive(Default)]
struct Seen {
    requests: Mutex<Vec<(Version, String, Option<String>)>>,
    received: Mutex<usize>,
    connections: Mutex<usize>,
    /// TLS records that came, over all connections.
    records: Mutex<usize>,
    /// Told whenever a request's head has come.
    progress: Notify,
    /// Lets the server read the body of [`HELD`].
    release: Notify,
    broken: Notify,
}

/// A socket that counts the TLS records that come.
struct Records {
    socket: TcpStream,
    seen: Arc<Seen>,
    /// What has come of the next record's header.
    header: Vec<u8>,
    /// What has not come yet of the last record.
    left: usize,
}

impl Records {
    fn count(&mut self, byte: u8) {
        if self.left > 0 {
            self.left -= 1;
            return;
        }
        self.header.push(byte);
        if let [_, _, _, high, low] = self.header[..] {
            self.left = usize::from(u16::from_be_bytes([high, low]));
            self.header.clear();
            *self.seen.records.lock().unwrap() += 1;
        }
    }
}

impl AsyncRead for Records {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.socket).poll_read(cx, buf))?;
        for byte in &buf.filled()[before..] {
            self.count(*byte);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Records {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

async fn answer(request: Request<Incoming>, seen: Arc<Seen>) -> Result<Answer, Infallible> {
    let agent = request.headers().get("user-agent").and_then(|v| v.to_str().ok()).map(str::to_owned);
    seen.requests.lock().unwrap().push((request.version(), request.uri().path().to_owned(), agent));
    seen.progress.notify_one();
    let (held, stopped) = (request.uri().path() == HELD, request.uri().path() == STOPPED);
    let mut body = request.into_body();
    if held {
        seen.release.notified().await;
    }
    loop {
        match body.frame().await {
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    *seen.received.lock().unwrap() += data.len();
                }
            }
            Some(Err(_)) => {
                seen.broken.notify_one();
                break;
            }
            None => break,
        }
    }
    if stopped {
        let beginning = stream::iter([Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"{")))]);
        return Ok(Response::new(StreamBody::new(beginning.chain(stream::pending())).boxed_unsync()));
    }
    Ok(Response::new(Full::new(Bytes::from_static(b"{}")).boxed_unsync()))
}

/// A server and the configuration that trusts it.
async fn server() -> (kube::Config, Arc<Seen>) {
    install_crypto();
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let certificate = made.cert.der().clone();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let mut tls =
        rustls::ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate.clone()], key).unwrap();
    tls.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let seen = Arc::new(Seen::default());
    let shared = seen.clone();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            *shared.connections.lock().unwrap() += 1;
            let (acceptor, seen) = (acceptor.clone(), shared.clone());
            tokio::spawn(async move {
                let records = Records { socket, seen: seen.clone(), header: Vec::new(), left: 0 };
                let Ok(tls) = acceptor.accept(records).await else { return };
                let service = hyper::service::service_fn(move |request| answer(request, seen.clone()));
                let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(tls), service)
                    .await;
            });
        }
    });
    let mut config = kube::Config::new(url.parse().unwrap());
    config.root_cert = Some(vec![certificate.to_vec()]);
    config.headers.push((http::header::USER_AGENT, "headroom-test".parse().unwrap()));
    (config, seen)
}

fn clients(config: &kube::Config) -> Clients {
    Clients::from_config(config, &ClientMetrics::unregistered().unwrap()).unwrap()
}

fn post(path: &str) -> Request<Body> {
    Request::post(path).body(Body::from(b"{}".to_vec())).unwrap()
}

fn closed_by_the_fence(error: &kube::Error) -> bool {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    std::iter::from_fn(|| {
        let this = cause?;
        cause = this.source();
        Some(this)
    })
    .any(<dyn Error>::is::<FenceClosed>)
}

#[tokio::test]
async fn speaks_http2_on_one_connection_and_says_who_it_is() {
    let (config, seen) = server().await;
    let clients = clients(&config);
    clients.fence.open_forever();
    let burst = (0..40).map(|i| clients.write.send(post(&format!("/p{i}"))));
    for response in futures::future::join_all(burst).await {
        assert!(response.unwrap().status().is_success());
    }
    let requests = seen.requests.lock().unwrap();
    assert_eq!(requests.len(), 40);
    assert!(
        requests
            .iter()
            .all(|(version, _, agent)| { *version == Version::HTTP_2 && agent.as_deref() == Some("headroom-test") })
    );
    assert_eq!(*seen.connections.lock().unwrap(), 1, "a cold burst must not open a connection per request");
}

/// Events and bindings have some 300 bytes each.
#[tokio::test]
async fn bodies_of_writes_share_records_and_with_them_system_calls() {
    let (config, seen) = server().await;
    let clients = clients(&config);
    clients.fence.open_forever();
    let mut records = Vec::new();
    for client in [&clients.lease, &clients.write] {
        client.send(post("/first")).await.unwrap();
        let before = *seen.records.lock().unwrap();
        let request = |i| Request::post(format!("/p{i}")).body(Body::from(vec![b'x'; 300])).unwrap();
        for response in futures::future::join_all((0..40).map(|i| client.send(request(i)))).await {
            assert!(response.unwrap().status().is_success());
        }
        records.push(*seen.records.lock().unwrap() - before);
    }
    assert!(records[0] >= 40, "TLS as it is makes a record of each: {records:?}");
    assert!(records[1] <= 10, "{records:?}");
}

#[tokio::test]
async fn each_purpose_has_its_connection_and_its_rule() {
    let (config, seen) = server().await;
    let clients = clients(&config);
    // Nobody leads: reading and standing for election work, writing does not.
    clients.watch.send(post("/watch")).await.unwrap();
    clients.lease.send(post("/lease")).await.unwrap();
    assert!(closed_by_the_fence(&clients.write.send(post("/write")).await.unwrap_err()));
    clients.fence.open_until(clock::mono() + Duration::from_secs(60));
    clients.write.send(post("/write")).await.unwrap();
    // An orderly stop: no more writes, but the lease can be released.
    clients.fence.close_writes();
    assert!(closed_by_the_fence(&clients.write.send(post("/late")).await.unwrap_err()));
    clients.lease.send(post("/release")).await.unwrap();
    // Lost: neither.
    clients.fence.close();
    assert!(closed_by_the_fence(&clients.lease.send(post("/late")).await.unwrap_err()));
    clients.watch.send(post("/watch")).await.unwrap();
    let paths: Vec<_> = seen.requests.lock().unwrap().iter().map(|(_, path, _)| path.clone()).collect();
    assert_eq!(paths, ["/watch", "/lease", "/write", "/release", "/watch"]);
    assert_eq!(*seen.connections.lock().unwrap(), 3);
}

/// What the process had begun to send when it was stopped stays where it is when it goes on after the deadline: the
/// rest of a body, which is past every check of requests and waits in the HTTP/2 stack for the server to take more, is
/// refused by the socket.
#[tokio::test]
async fn frames_that_were_under_way_do_not_pass_the_deadline() {
    let (config, seen) = server().await;
    let clients = clients(&config);
    clients.fence.open_until(clock::mono() + Duration::from_secs(60));
    let request = Request::post(HELD).body(Body::from(vec![b'x'; BEYOND_THE_WINDOW])).unwrap();
    let write = clients.write.clone();
    let sending = tokio::spawn(async move { write.send(request).await.map(|r| r.status()) });
    while seen.requests.lock().unwrap().is_empty() {
        seen.progress.notified().await;
    }
    // The deadline passes with nobody noticing, as after SIGCONT; then the server is ready for more.
    clients.fence.open_until(Mono(clock::mono().0 - 1));
    seen.release.notify_one();
    assert!(sending.await.unwrap().is_err());
    // The client hung up, so the server has seen all that it will ever see.
    seen.broken.notified().await;
    assert!(*seen.received.lock().unwrap() < BEYOND_THE_WINDOW);
}

/// The same without a deadline: the body does arrive whole, so the test above shows what it says.
#[tokio::test]
async fn the_same_body_arrives_when_the_fence_stays_open() {
    let (config, seen) = server().await;
    let clients = clients(&config);
    clients.fence.open_until(clock::mono() + Duration::from_secs(60));
    seen.release.notify_one();
    let request = Request::post(HELD).body(Body::from(vec![b'x'; BEYOND_THE_WINDOW])).unwrap();
    assert!(clients.write.send(request).await.unwrap().status().is_success());
    assert_eq!(*seen.received.lock().unwrap(), BEYOND_THE_WINDOW);
}

/// A renewal makes the same clients usable again: the broken connection is replaced.
#[tokio::test]
async fn a_new_connection_follows_a_broken_one() {
    let (config, seen) = server().await;
    let clients = clients(&config);
    clients.fence.open_forever();
    clients.write.send(post("/1")).await.unwrap();
    clients.fence.close_writes();
    assert!(clients.write.send(post("/2")).await.is_err());
    clients.fence.open_forever();
    clients.write.send(post("/3")).await.unwrap();
    assert_eq!(seen.requests.lock().unwrap().len(), 2);
}

/// kube's watcher waits for the head of an answer for as long as the connection lives.
#[tokio::test]
async fn a_watch_that_nobody_answers_is_given_up() {
    let (config, seen) = server().await;
    let clients = clients(&config);
    // The connection is made while time still passes by itself.
    clients.watch.send(post("/first")).await.unwrap();
    tokio::time::pause();
    let begun = tokio::time::Instant::now();
    let request = Request::get(format!("{HELD}?watch=true")).body(Body::empty()).unwrap();
    let error = clients.watch.send(request).await.unwrap_err();
    assert!(chain(&error).contains("no answer within 30s"), "{}", chain(&error));
    assert_eq!(begun.elapsed().as_secs(), WATCH_PATIENCE.as_secs());
    tokio::time::resume();
    clients.watch.send(post("/after")).await.unwrap();
    assert_eq!(*seen.connections.lock().unwrap(), 1, "the others on the connection do not suffer");
}

/// The pings of the connection are answered, and the rest of a list never comes.
#[tokio::test]
async fn a_list_that_stops_is_given_up() {
    let (config, seen) = server().await;
    let clients = clients(&config);
    let request = Request::get(STOPPED).body(Body::empty()).unwrap();
    let response = clients.watch.send(request).await.unwrap();
    assert!(response.status().is_success());
    tokio::time::pause();
    let begun = tokio::time::Instant::now();
    let error = response.into_body().collect().await.unwrap_err();
    assert!(chain(&error).contains("nothing came for 30s"), "{}", chain(&error));
    assert_eq!(begun.elapsed().as_secs(), BODY_PATIENCE.as_secs());
    tokio::time::resume();
    clients.watch.send(post("/after")).await.unwrap();
    assert_eq!(*seen.connections.lock().unwrap(), 1, "the others on the connection do not suffer");
}
