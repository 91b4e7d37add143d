//! The scheduler on a real control plane with an HTTP extender: what it sends, and what becomes of the answers.

#![expect(clippy::unwrap_used, clippy::panic, reason = "test code, helpers included: a panic is a failed test")]

mod common;

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
};

use common::{
    STOCK_LEASE, assert_nothing_forbidden, bound, control_plane, create, node, pod, pods, start_scheduler, waiting,
};
use headroom_e2e::{Identity, RbacSet};
use serde_json::{Value, json};

/// What it was asked: the verb, and the body.
type Asked = Arc<Mutex<Vec<(String, Value)>>>;

/// An extender that lets `n2` and `n3` through, says no to pods named `never`, and likes `n3`. It ends with the process.
fn extender() -> (u16, Asked) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let asked = Asked::default();
    let book = asked.clone();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, book) = (stream.unwrap(), book.clone());
            std::thread::spawn(move || while serve(&stream, &book).is_some() {});
        }
    });
    (port, asked)
}

/// One request of a connection.
fn serve(stream: &TcpStream, asked: &Asked) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        if header.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = header.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let body: Value = serde_json::from_slice(&body).ok()?;
    let never = body.pointer("/Pod/metadata/name") == Some(&json!("never"));
    let answer = match path.rsplit('/').next()? {
        "filter" if never => {
            json!({"NodeNames": [], "FailedNodes": {"n1": "it is never the time", "n2": "it is never the time",
            "n3": "it is never the time"}})
        }
        "filter" => json!({"NodeNames": ["n2", "n3"], "FailedNodes": {"n1": "not this one"}}),
        "prioritize" => json!([{"Host": "n2", "Score": 1}, {"Host": "n3", "Score": 10}]),
        _ => return None,
    };
    asked.lock().unwrap().push((path, body));
    let text = answer.to_string();
    let mut stream = stream;
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{text}", text.len())
        .ok()
}

#[tokio::test]
async fn an_extender_filters_and_scores() {
    let (port, asked) = extender();
    let cluster = control_plane(RbacSet::Primary).await;
    tokio::join!(node(&cluster, "n1", json!({})), node(&cluster, "n2", json!({})), node(&cluster, "n3", json!({})));
    let kubeconfig = cluster.kubeconfig(&Identity::HeadroomScheduler).unwrap();
    let config = cluster.dir().join("extender.yaml");
    let text = format!(
        "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n\
         clientConnection: {{kubeconfig: {}}}\n\
         extenders:\n- urlPrefix: http://127.0.0.1:{port}/v1\n  filterVerb: filter\n  prioritizeVerb: prioritize\n  \
         weight: 100\n  nodeCacheCapable: true\n",
        kubeconfig.display()
    );
    std::fs::write(&config, text).unwrap();
    let flag = format!("--config={}", config.display());
    let _scheduler = start_scheduler(&cluster, STOCK_LEASE, &["--mode=primary", &flag]).await;

    let pods = pods(&cluster, "default");
    create(&pods, &pod("liked", json!({}))).await;
    assert_eq!(bound(&pods, "liked").await, "n3");
    create(&pods, &pod("never", json!({}))).await;
    let message = waiting(&pods, "never", "never the time").await;
    assert!(message.starts_with("0/3 nodes are available: 3 it is never the time."), "{message}");

    let asked = asked.lock().unwrap();
    let (path, body) = &asked[0];
    assert_eq!(path, "/v1/filter");
    assert_eq!(body["NodeNames"].as_array().unwrap().len(), 3);
    assert_eq!(body["Pod"]["spec"]["containers"][0]["name"], "c", "the whole pod, as the API server has it");
    assert!(asked.iter().any(|(path, _)| path == "/v1/prioritize"));
    assert_nothing_forbidden(&cluster, &Identity::HeadroomScheduler.user());
}
