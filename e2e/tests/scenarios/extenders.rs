//! The scheduler on a real control plane with an HTTP extender: what it sends, and what becomes of the answers.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
};

use crate::common::{
    STOCK_LEASE, asking, assert_nothing_forbidden, both, bound, control_plane, create, node, pod, pods,
    start_scheduler, waiting,
};
use headroom_e2e::{ControlPlane, Identity, RbacSet};
use k8s_openapi::api::scheduling::v1::PriorityClass;
use kube::{Api, api::PostParams};
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
        // Whom it is asked about on n2, and nobody else.
        "preempt" => {
            let on = &body["NodeNameToVictims"]["n2"];
            let uids = on["Pods"].as_array().unwrap().iter().map(|pod| json!({"UID": pod["metadata"]["uid"]}));
            json!({"NodeNameToMetaVictims": {"n2": {"Pods": uids.collect::<Vec<_>>(), "NumPDBViolations": 0}}})
        }
        _ => return None,
    };
    asked.lock().unwrap().push((path, body));
    let text = answer.to_string();
    let mut stream = stream;
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{text}", text.len())
        .ok()
}

/// A configuration with the extender; the flag that names its file.
fn configuration(cluster: &ControlPlane, port: u16, verbs: &str) -> String {
    let kubeconfig = cluster.kubeconfig(&Identity::HeadroomScheduler).unwrap();
    let config = cluster.dir().join("extender.yaml");
    let text = format!(
        "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n\
         clientConnection: {{kubeconfig: {}}}\nextenders:\n- urlPrefix: http://127.0.0.1:{port}/v1\n  {verbs}\n",
        kubeconfig.display()
    );
    std::fs::write(&config, text).unwrap();
    format!("--config={}", config.display())
}

#[tokio::test]
async fn an_extender_filters_and_scores() {
    let (port, asked) = extender();
    let cluster = control_plane(RbacSet::Primary).await;
    tokio::join!(node(&cluster, "n1", json!({})), node(&cluster, "n2", json!({})), node(&cluster, "n3", json!({})));
    let verbs = "filterVerb: filter\n  prioritizeVerb: prioritize\n  weight: 100\n  nodeCacheCapable: true";
    let flag = configuration(&cluster, port, verbs);
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

/// Without its word the pod of least priority would go.
#[tokio::test]
async fn an_extender_says_who_is_preempted() {
    let (port, asked) = extender();
    let cluster = control_plane(RbacSet::Primary).await;
    let classes: Api<PriorityClass> = Api::all(cluster.admin_client());
    for (name, value) in [("low", 10), ("middle", 50), ("high", 1000)] {
        let class = json!({"metadata": {"name": name}, "value": value});
        classes.create(&PostParams::default(), &crate::common::object(class)).await.unwrap();
    }
    let pods = pods(&cluster, "default");
    let large = |class: &str, over| both(both(asking(json!({"cpu": "3"})), json!({"priorityClassName": class})), over);
    for (victim, on, class) in [("cheap", "n1", "low"), ("dear", "n2", "middle")] {
        node(&cluster, on, json!({})).await;
        create(&pods, &pod(victim, large(class, json!({"nodeName": on})))).await;
    }
    let flag = configuration(&cluster, port, "preemptVerb: preempt");
    let _scheduler = start_scheduler(&cluster, STOCK_LEASE, &["--mode=primary", &flag]).await;
    create(&pods, &pod("urgent", large("high", json!({})))).await;
    assert_eq!(bound(&pods, "urgent").await, "n2");
    assert!(pods.get("cheap").await.unwrap().metadata.deletion_timestamp.is_none());
    assert!(pods.get_opt("dear").await.unwrap().is_none(), "it had no time to end in");

    let asked = asked.lock().unwrap();
    let (path, body) = &asked[0];
    assert_eq!((path.as_str(), asked.len()), ("/v1/preempt", 1));
    assert_eq!(body["Pod"]["metadata"]["name"], "urgent");
    assert_eq!(body["NodeNameToVictims"]["n1"]["Pods"][0]["metadata"]["name"], "cheap");
    assert_eq!(body["NodeNameToVictims"]["n2"]["Pods"][0]["spec"]["priority"], 50, "whole pods, without a cache");
    assert_nothing_forbidden(&cluster, &Identity::HeadroomScheduler.user());
}
