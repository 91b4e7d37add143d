//! Against an in-process TLS server.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures::future::BoxFuture;
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
    results: mpsc::Receiver<Answer>,
    tokens: Arc<AtomicUsize>,
}

impl Rig {
    fn new(trust: &KubeletTrust, tokens_work: bool) -> Self {
        let (send, results) = mpsc::channel(4);
        let tokens = Arc::<AtomicUsize>::default();
        let source = TokenSource::new(Tokens(tokens.clone(), tokens_work));
        let executor = Executor::new(trust, source, None, send, || Now::at_secs(7)).unwrap();
        Self { executor, results, tokens }
    }

    async fn scrape(&mut self, port: u16, path: Path) -> ScrapeResult {
        self.executor.execute(CollectorCommand::Scrape {
            id: 5,
            node: "node-a".into(),
            address: "127.0.0.1".into(),
            port,
            path,
        });
        let Answer::Kubelet(result) = self.results.recv().await.unwrap() else { panic!() };
        assert_eq!((result.id, &*result.node, result.path, result.received_at), (5, "node-a", path, Now::at_secs(7)));
        result
    }

    async fn error(&mut self, port: u16) -> ScrapeError {
        self.scrape(port, Path::Summary).await.result.unwrap_err()
    }
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
    assert_eq!(error, ScrapeError::Timeout { address: format!("127.0.0.1:{}", kubelet.port), seconds: 3 });
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
