//! Against an in-process TLS server.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    sync::atomic::{AtomicUsize, Ordering},
};

use futures::future::BoxFuture;
use http::Response;
use http_body_util::{StreamBody, combinators::UnsyncBoxBody};
use hyper::body::Frame;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::node_headroom::{
    TokenError,
    token::{FetchToken, FetchedToken},
};

const SAMPLE: &str = include_str!("../../../tests/fixtures/stats-summary.json");
/// In which real answers come on any machine; nobody waits for it but where time is virtual.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Gives numbered tokens, or none.
struct Tokens(Arc<AtomicUsize>, bool);

impl FetchToken for Tokens {
    fn account(&self) -> String {
        "system:serviceaccount:kube-system:reader".into()
    }
    fn fetch(&self) -> BoxFuture<'_, Result<FetchedToken, TokenError>> {
        Box::pin(async {
            if !self.1 {
                return Err(TokenError::Forbidden { account: "kube-system/reader".into() });
            }
            let n = self.0.fetch_add(1, Ordering::SeqCst) + 1;
            FetchedToken::new(&format!("token-{n}"), Duration::from_secs(600))
                .map_err(|message| TokenError::Failed { account: String::new(), message })
        })
    }
}

/// A CA, and a server with a certificate for one name.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn trust(&self) -> KubeletTrust {
        KubeletTrust::from_pem(self.0.pem().as_bytes()).unwrap()
    }

    fn acceptor(&self, name: &str) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &self.0).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        TlsAcceptor::from(Arc::new(config))
    }
}

/// What a kubelet of these tests answers.
#[derive(Clone)]
enum Reply {
    Text(String),
    /// Headers of a body of this size, then zeros.
    Zeros(usize),
    Hang,
}

fn http(status: &str, headers: &str, body: &str) -> Reply {
    Reply::Text(format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{headers}\r\n{body}", body.len()))
}

struct Kubelet {
    port: u16,
    requests: Arc<Mutex<Vec<String>>>,
    connections: Arc<AtomicUsize>,
}

impl Kubelet {
    async fn start(acceptor: TlsAcceptor, answer: Reply) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (requests, connections) = (Arc::<Mutex<Vec<String>>>::default(), Arc::<AtomicUsize>::default());
        let this = Self { port, requests: requests.clone(), connections: connections.clone() };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::SeqCst);
                let (acceptor, answer, requests) = (acceptor.clone(), answer.clone(), requests.clone());
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    let mut buffer = Vec::new();
                    loop {
                        let Ok(byte) = stream.read_u8().await else { return };
                        buffer.push(byte);
                        if !buffer.ends_with(b"\r\n\r\n") {
                            continue;
                        }
                        requests.lock().unwrap().push(String::from_utf8(std::mem::take(&mut buffer)).unwrap());
                        let sent = match &answer {
                            Reply::Text(text) => stream.write_all(text.as_bytes()).await,
                            Reply::Hang => return std::future::pending().await,
                            Reply::Zeros(size) => {
                                let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n");
                                match stream.write_all(head.as_bytes()).await {
                                    Ok(()) => stream.write_all(&vec![b' '; *size]).await,
                                    error => error,
                                }
                            }
                        };
                        if sent.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        this
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

struct Rig {
    executor: Executor,
    keep: bool,
    results: mpsc::Receiver<Answer>,
    tokens: Arc<AtomicUsize>,
}

impl Rig {
    fn new(trust: &KubeletTrust, tokens_work: bool) -> Self {
        let (send, results) = mpsc::channel(4);
        let tokens = Arc::<AtomicUsize>::default();
        let source = TokenSource::new(Tokens(tokens.clone(), tokens_work));
        let executor = Executor::new(trust, source, None, send, TIMEOUT, || Now::at_secs(7)).unwrap();
        Self { executor, keep: true, results, tokens }
    }

    /// What comes of reading metrics.k8s.io from this API server.
    async fn metrics(api: Api) -> Result<Metrics, String> {
        let (send, mut results) = mpsc::channel(4);
        let source = TokenSource::new(Tokens(Arc::default(), true));
        let api = Some(kube::Client::new(api, "default"));
        let executor = Executor::new(&KubeletTrust::Anybody, source, api, send, TIMEOUT, || Now::at_secs(7)).unwrap();
        executor.execute(CollectorCommand::ReadMetrics);
        let Answer::Metrics(result) = results.recv().await.unwrap() else { panic!() };
        assert_eq!(result.received_at, Now::at_secs(7));
        result.result
    }

    async fn scrape(&mut self, port: u16, path: Path) -> ScrapeResult {
        self.executor.execute(CollectorCommand::Scrape {
            id: 5,
            node: "node-a".into(),
            address: "127.0.0.1".into(),
            port,
            path,
            keep: self.keep,
        });
        let Answer::Kubelet(result) = self.results.recv().await.unwrap() else { panic!() };
        assert_eq!((result.id, &*result.node, result.path, result.received_at), (5, "node-a", path, Now::at_secs(7)));
        result
    }

    async fn error(&mut self, port: u16) -> ScrapeError {
        self.scrape(port, Path::Summary).await.result.unwrap_err()
    }
}

/// An API server: its status, and its answer on a path, sent so many times over.
struct Api {
    status: u16,
    answer: fn(&str) -> Bytes,
    times: usize,
    sent: Arc<AtomicUsize>,
}

impl Service<Request<kube::client::Body>> for Api {
    type Response = Response<UnsyncBoxBody<Bytes, Infallible>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<kube::client::Body>) -> Self::Future {
        let (piece, sent) = ((self.answer)(request.uri().path()), self.sent.clone());
        let pieces = (0..self.times).map(move |_| {
            sent.fetch_add(1, Ordering::SeqCst);
            Ok(Frame::data(piece.clone()))
        });
        let body = StreamBody::new(futures::stream::iter(pieces)).boxed_unsync();
        ready(Ok(Response::builder().status(self.status).body(body).unwrap()))
    }
}

#[tokio::test]
async fn metrics_k8s_io_is_read_and_no_more_of_it_than_fits() {
    let sent = Arc::<AtomicUsize>::default();
    let api = |status: u16, answer: fn(&str) -> Bytes, times: usize| Api { status, answer, times, sent: sent.clone() };
    let lists = |path: &str| {
        let list = if path == metrics_api::NODES {
            r#"{"items": [{"metadata": {"name": "n"}, "timestamp": "2026-11-22T10:00:00Z", "usage": {"memory": "1Ki"}}]}"#
        } else {
            r#"{"items": [{"metadata": {"name": "a", "namespace": "b"}, "containers": [{"usage": {"memory": "2"}}]}]}"#
        };
        Bytes::from_static(list.as_bytes())
    };
    let metrics = Rig::metrics(api(200, lists, 1)).await.unwrap();
    assert_eq!((metrics.nodes["n"].0, metrics.pods.len()), (1024, 1));
    // An answer without end.
    sent.store(0, Ordering::SeqCst);
    let error = Rig::metrics(api(200, |_| Bytes::from(vec![b' '; 1 << 20]), 1000)).await.unwrap_err();
    assert!(error.contains("/v1beta1/nodes is larger than 16Mi"), "{error}");
    assert!(sent.load(Ordering::SeqCst) <= 18, "{sent:?} MiB");
    let refused = |_: &str| Bytes::from_static(br#"{"kind": "Status", "message": "nodes is forbidden"}"#);
    assert_eq!(Rig::metrics(api(403, refused, 1)).await.unwrap_err(), "HTTP 403: nodes is forbidden");
    let html = |_: &str| Bytes::from_static(b"<html>");
    assert_eq!(Rig::metrics(api(503, html, 1)).await.unwrap_err(), "HTTP 503: no reason given");
}

#[tokio::test]
async fn reads_by_name_with_its_own_token_over_one_connection() {
    let ca = Authority::new();
    let answer = http("200 OK", "Date: Sun, 22 Nov 2026 21:33:00 GMT\r\nContent-Type: application/json\r\n", SAMPLE);
    let kubelet = Kubelet::start(ca.acceptor("node-a"), answer).await;
    let mut rig = Rig::new(&ca.trust(), true);
    let result = rig.scrape(kubelet.port, Path::Summary).await;
    assert_eq!(result.kubelet_time.unwrap().to_string(), "2026-11-22T21:33:00Z");
    let Ok(Scraped::Summary(summary)) = result.result else { panic!("{result:?}") };
    assert_eq!(summary.pods.len(), 3);
    let configz = rig.scrape(kubelet.port, Path::Configz).await;
    assert!(matches!(configz.result, Err(ScrapeError::Malformed(_))), "a summary is no configuration");
    let requests = kubelet.requests();
    assert!(requests[0].starts_with("GET /stats/summary?only_cpu_and_memory=true HTTP/1.1\r\n"), "{requests:?}");
    assert!(requests[0].contains("authorization: Bearer token-1\r\n"), "{requests:?}");
    assert!(requests[1].starts_with("GET /configz HTTP/1.1\r\n"));
    assert_eq!(kubelet.connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn dials_anew_when_the_next_read_is_far_off() {
    let ca = Authority::new();
    let kubelet = Kubelet::start(ca.acceptor("node-a"), http("200 OK", "", SAMPLE)).await;
    let mut rig = Rig::new(&ca.trust(), true);
    rig.keep = false;
    for connections in 1..=3 {
        assert!(rig.scrape(kubelet.port, Path::Summary).await.result.is_ok());
        assert_eq!(kubelet.connections.load(Ordering::SeqCst), connections);
    }
    let requests = kubelet.requests();
    assert!(requests.iter().all(|request| request.contains("connection: close\r\n")), "{requests:?}");
}

#[tokio::test]
async fn a_certificate_for_another_name_or_of_another_ca_is_refused_before_the_token_is_sent() {
    let (ca, other) = (Authority::new(), Authority::new());
    for (signer, name) in [(&ca, "node-b"), (&other, "node-a"), (&ca, "127.0.0.1")] {
        let kubelet = Kubelet::start(signer.acceptor(name), http("200 OK", "", SAMPLE)).await;
        let error = Rig::new(&ca.trust(), true).error(kubelet.port).await;
        assert!(matches!(error, ScrapeError::CertificateUntrusted { .. }), "{name}: {error:?}");
        assert_eq!(error.reason(), "CertificateUntrusted");
        assert!(error.to_string().contains("--kubelet-certificate-authority"), "{error}");
        assert!(kubelet.requests().is_empty());
        let careless = Rig::new(&KubeletTrust::Anybody, true).scrape(kubelet.port, Path::Summary).await;
        assert!(careless.result.is_ok(), "{careless:?}");
    }
    let nobody = KubeletTrust::Authorities(Vec::new());
    let kubelet = Kubelet::start(ca.acceptor("node-a"), http("200 OK", "", SAMPLE)).await;
    assert_eq!(Rig::new(&nobody, true).error(kubelet.port).await.reason(), "CertificateUntrusted");
}

#[tokio::test]
async fn refusals_say_what_is_missing() {
    let ca = Authority::new();
    for (answer, reason, text) in [
        (http("403 Forbidden", "", "no"), "Forbidden", "grant it \"get\" on nodes/stats"),
        (http("401 Unauthorized", "", ""), "Forbidden", "webhook authentication"),
        (http("302 Found", "Location: https://127.0.0.1:1/\r\n", ""), "Malformed", "HTTP 302"),
        (http("503 Service Unavailable", "Retry-After: 40\r\n", ""), "Unreachable", "HTTP 503"),
        (http("200 OK", "", "<html>"), "Malformed", "not what a kubelet gives"),
    ] {
        let kubelet = Kubelet::start(ca.acceptor("node-a"), answer).await;
        let mut rig = Rig::new(&ca.trust(), true);
        let error = rig.error(kubelet.port).await;
        assert_eq!(error.reason(), reason, "{error}");
        assert!(error.to_string().contains(text), "{error}");
        assert_eq!(error.retry_after_seconds(), error.to_string().contains("503").then_some(40));
        assert_eq!(kubelet.requests().len(), 1);
        // A token that a kubelet does not know is replaced for the next poll; any other answer keeps it.
        rig.error(kubelet.port).await;
        let replaced = matches!(error, ScrapeError::Unauthorized { .. });
        assert_eq!(rig.tokens.load(Ordering::SeqCst), if replaced { 2 } else { 1 });
    }
}

#[tokio::test]
async fn too_much_is_not_read() {
    let ca = Authority::new();
    let kubelet = Kubelet::start(ca.acceptor("node-a"), Reply::Zeros(MAX_BODY + 1)).await;
    let error = Rig::new(&ca.trust(), true).error(kubelet.port).await;
    assert_eq!(error, ScrapeError::TooLarge { limit: MAX_BODY });
}

#[tokio::test(start_paused = true)]
async fn a_kubelet_that_hangs_is_given_up() {
    let ca = Authority::new();
    let kubelet = Kubelet::start(ca.acceptor("node-a"), Reply::Hang).await;
    let error = Rig::new(&ca.trust(), true).error(kubelet.port).await;
    assert_eq!(
        error,
        ScrapeError::Timeout { address: format!("127.0.0.1:{}", kubelet.port), seconds: TIMEOUT.as_secs() }
    );
}

#[tokio::test]
async fn nobody_there_and_no_token() {
    let ca = Authority::new();
    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let error = Rig::new(&ca.trust(), true).error(port).await;
    assert!(matches!(&error, ScrapeError::Unreachable { message, .. } if message.contains("refused")), "{error:?}");
    let kubelet = Kubelet::start(ca.acceptor("node-a"), http("200 OK", "", SAMPLE)).await;
    let error = Rig::new(&ca.trust(), false).error(kubelet.port).await;
    assert_eq!(error.reason(), "Forbidden");
    assert!(error.to_string().contains("\"create\" on serviceaccounts/token for kube-system/reader"), "{error}");
    assert_eq!(kubelet.connections.load(Ordering::SeqCst), 0);
}
