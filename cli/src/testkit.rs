//! What tests of several verbs need: an API server of canned answers.
#![allow(clippy::unwrap_used, reason = "for tests")]

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    time::Duration,
};

use kube::{Client, Config};
use serde_json::{Value, json};

/// What somebody asked.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Asked {
    pub(crate) method: String,
    /// With the query.
    pub(crate) path: String,
    pub(crate) body: Value,
}

/// Answers over HTTP/1.1, one question after another, until the process ends.
pub(crate) struct FakeServer {
    pub(crate) url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl FakeServer {
    /// With status and body for each question.
    pub(crate) fn new(mut answer: impl FnMut(&Asked) -> (u16, Value) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let all = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let Some(question) = question(&mut stream) else { continue };
                let (code, body) = answer(&question);
                all.lock().unwrap().push(question);
                let body = body.to_string();
                let head = format!(
                    "HTTP/1.1 {code} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                    body.len()
                );
                // Whoever asked may have gone.
                let _ = stream.write_all((head + &body).as_bytes());
            }
        });
        Self { url, asked }
    }

    /// A client of it. To be called within a runtime.
    pub(crate) fn client(&self) -> Client {
        let mut config = Config::new(self.url.parse().unwrap());
        // No certificates of this machine are needed.
        config.root_cert = Some(Vec::new());
        Client::try_from(config).unwrap()
    }

    /// Everything that was asked, in order.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

/// Reads a request; none where the client thought better of it.
fn question(stream: &mut TcpStream) -> Option<Asked> {
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        match stream.read(&mut buffer) {
            Ok(count @ 1..) => bytes.extend_from_slice(&buffer[..count]),
            _ => return None,
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let mut lines = head.lines();
    let mut words = lines.next().unwrap_or_default().split(' ').map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let length: Option<usize> =
        lines.find_map(|line| line.to_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
    let mut body = bytes.split_off(end + 4);
    while body.len() < length.unwrap_or(0) {
        match stream.read(&mut buffer) {
            Ok(count @ 1..) => body.extend_from_slice(&buffer[..count]),
            _ => return None,
        }
    }
    Some(Asked { method, path, body: serde_json::from_slice(&body).unwrap_or_default() })
}

/// Compares a document with a file of the sources, or writes it there when `HEADROOM_BLESS` is set.
pub(crate) fn golden(file: &str, json: &str) {
    let path = format!("{}/src/{file}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("HEADROOM_BLESS").is_some() {
        std::fs::write(&path, json).unwrap();
    }
    let [got, expected] =
        [json, &std::fs::read_to_string(&path).unwrap()].map(|text| serde_json::from_str::<Value>(text).unwrap());
    assert_eq!(got, expected, "{path}: if the change is meant, HEADROOM_BLESS=1 writes it down");
}

/// A kubeconfig for a server, in the namespace `shop`.
pub(crate) fn kubeconfig(url: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    let kubeconfig = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u", "namespace": "shop"}}],
        "clusters": [{"name": "k", "cluster": {"server": url, "insecure-skip-tls-verify": true}}],
        "users": [{"name": "u", "user": {}}]
    });
    std::fs::write(file.path(), kubeconfig.to_string()).unwrap();
    file
}

/// A refusal as the API server words it.
pub(crate) fn refusal(code: u16, message: &str) -> (u16, Value) {
    (code, json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": code}))
}

/// Waits for it, on a runtime of its own.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}
