//! How often pods are tried: the same scenario for ours and for the stock scheduler, each on a cluster of its own. A pod
//! that became schedulable is tried at once, by whichever event; one that did not is left alone.

use std::collections::BTreeMap;

use crate::common::{
    LONG, STOCK_LEASE, asking, assert_nothing_forbidden, both, bound, caller, change_node, control_plane, create,
    delete, get, host_port, node_writes, on_node, placed, pod, pods, reader_token, scheduled_condition,
    start_scheduler, waiting,
};
use headroom_e2e::{ControlPlane, Identity, Process, RbacSet, SchedulerOptions, eventually};
use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

/// Counts attempts.
type Count = fn(&str) -> BTreeMap<String, usize>;

fn add(counts: &mut BTreeMap<String, usize>, pod: &str) {
    *counts.entry(pod.trim_start_matches("default/").to_owned()).or_default() += 1;
}

/// The stock scheduler says of every attempt that it begins, at `-v=3`.
fn stocks(log: &str) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for line in log.lines().filter(|line| line.contains("\"Attempting to schedule pod\"")) {
        add(&mut counts, line.split("pod=\"").nth(1).unwrap().split('"').next().unwrap());
    }
    counts
}

/// Ours says how every attempt ended, at `-v=2`.
fn ours(log: &str) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for line in log.lines() {
        let Ok(event) = serde_json::from_str::<Value>(line) else { continue };
        if matches!(event["message"].as_str(), Some("placed" | "no place" | "failed")) {
            add(&mut counts, event["pod"].as_str().unwrap());
        }
    }
    counts
}

/// The scheduler's metrics: they say what it has heard of and what it has still to do.
struct Metrics {
    client: Client,
}

impl Metrics {
    async fn lines(&self) -> Result<Vec<String>, String> {
        let text = get(&self.client, "/metrics").await.map_err(|error| error.to_string())?;
        Ok(text.lines().map(ToOwned::to_owned).collect())
    }

    /// How many changes of such objects (`Node`, `AssignedPodDelete`) the scheduler has dealt with.
    async fn heard(&self, of: &str) -> Result<f64, String> {
        let starts = format!("scheduler_event_handling_duration_seconds_count{{event=\"{of}");
        let lines = self.lines().await?;
        let counts = lines.iter().filter(|line| line.starts_with(&starts));
        Ok(counts.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum())
    }

    /// Waits until the scheduler has nothing to try: no pod is ready to be tried, and none backs off.
    async fn at_rest(&self) {
        eventually(LONG, "a queue at rest", || async {
            let lines = self.lines().await?;
            let busy = |line: &&String| {
                let waits = line.contains("{queue=\"active\"}") || line.contains("{queue=\"backoff\"}");
                line.starts_with("scheduler_pending_pods") && waits && !line.ends_with(" 0")
            };
            let busy: Vec<&String> = lines.iter().filter(busy).collect();
            if busy.is_empty() { Ok(()) } else { Err(format!("{busy:?}")) }
        })
        .await
        .unwrap();
    }

    /// Changes an object of this kind, and waits until the scheduler has heard of it and is at rest. Who is slower would
    /// otherwise see two changes as one.
    async fn after<T>(&self, of: &str, change: impl Future<Output = T>) {
        let before = self.heard(of).await.unwrap();
        change.await;
        eventually(LONG, "the scheduler to hear of the change", || async {
            let now = self.heard(of).await?;
            if now > before { Ok(()) } else { Err(format!("{now} changes of {of}")) }
        })
        .await
        .unwrap();
        self.at_rest().await;
    }
}

fn near(label: &str) -> Value {
    let term = json!({"labelSelector": {"matchLabels": {"app": label}}, "topologyKey": "kubernetes.io/hostname"});
    json!({"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}})
}

fn labelled(name: &str, label: &str, spec: Value) -> Pod {
    let mut pod = pod(name, spec);
    pod.metadata.labels = Some([("app".to_owned(), label.to_owned())].into());
    pod
}

/// What came of the scenario.
#[derive(Debug)]
struct Seen {
    /// Attempts by pod.
    attempts: BTreeMap<String, usize>,
    /// Nodes by pod.
    places: BTreeMap<String, String>,
}

async fn scenario(cluster: &ControlPlane, scheduler: &Process, count: Count) -> Seen {
    let token = reader_token(cluster, "attempts", &["/metrics"]).await;
    let metrics = Metrics { client: caller(cluster, scheduler, Some(&token)).await };
    let pods = pods(cluster, "default");
    let maintenance = json!([{"key": "example.com/maintenance", "effect": "NoSchedule"}]);
    metrics.at_rest().await;
    // Nodes and pods are watched apart: who sees a pod before its node tries it once more.
    for (name, over) in [
        ("tainted", json!({"spec": {"taints": maintenance}})),
        ("full", json!({"status": {"allocatable": {"cpu": "2"}}})),
    ] {
        for write in node_writes(cluster, name, over) {
            metrics.after("Node", write).await;
        }
    }
    create(&pods, &pod("filler", both(asking(json!({"cpu": "1500m"})), on_node("full")))).await;
    create(&pods, &pod("port-holder", both(host_port(8080), on_node("full")))).await;
    bound(&pods, "filler").await;
    bound(&pods, "port-holder").await;

    let waits = [
        ("new-node", on_node("late")),
        ("new-label", json!({"nodeSelector": {"disk": "ssd"}})),
        ("taint", on_node("tainted")),
        ("room", both(asking(json!({"cpu": "1"})), on_node("full"))),
        ("port", both(host_port(8080), on_node("full"))),
        ("friend", near("db")),
        // Nothing that happens helps these.
        ("huge", asking(json!({"cpu": "100"}))),
        ("nowhere", json!({"nodeSelector": {"disk": "none"}})),
        ("lonely", near("nobody")),
    ];
    for (name, spec) in waits {
        create(&pods, &pod(name, spec)).await;
        waiting(&pods, name, "nodes are available").await;
        metrics.at_rest().await;
    }
    create(&pods, &pod("gated", json!({"schedulingGates": [{"name": "example.com/wait"}]}))).await;
    metrics.at_rest().await;

    // What matters to nobody.
    for colour in ["red", "blue"] {
        metrics.after("Node", change_node(cluster, "full", json!({"metadata": {"labels": {"colour": colour}}}))).await;
    }
    create(&pods, &labelled("stranger", "web", on_node("full"))).await;
    bound(&pods, "stranger").await;
    metrics.at_rest().await;
    metrics.after("AssignedPodDelete", delete(&pods, "stranger")).await;

    // What somebody waits for.
    let helped = async |name: &str| {
        bound(&pods, name).await;
        metrics.at_rest().await;
    };
    for write in node_writes(cluster, "late", json!({})) {
        metrics.after("Node", write).await;
    }
    helped("new-node").await;
    metrics.after("Node", change_node(cluster, "full", json!({"metadata": {"labels": {"disk": "ssd"}}}))).await;
    helped("new-label").await;
    metrics.after("Node", change_node(cluster, "tainted", json!({"spec": {"taints": null}}))).await;
    helped("taint").await;
    metrics.after("AssignedPodDelete", delete(&pods, "filler")).await;
    helped("room").await;
    metrics.after("AssignedPodDelete", delete(&pods, "port-holder")).await;
    helped("port").await;
    create(&pods, &labelled("database", "db", on_node("late"))).await;
    helped("friend").await;
    let open =
        Patch::Merge(json!({"spec": {"schedulingGates": null, "nodeSelector": {"kubernetes.io/hostname": "late"}}}));
    pods.patch("gated", &PatchParams::default(), &open).await.unwrap();
    helped("gated").await;

    for name in ["huge", "nowhere", "lonely"] {
        assert_eq!(scheduled_condition(&pods, name).await.unwrap()["status"], "False", "{name}");
    }
    scheduler.expect_running("the scenario").unwrap();
    Seen { attempts: count(&scheduler.log()), places: placed(&pods).await.unwrap() }
}

async fn with_ours() -> Seen {
    let cluster = control_plane(RbacSet::Primary).await;
    let flags = ["--mode=primary", "-v=2", "--log-format=json"];
    let scheduler = start_scheduler(&cluster, STOCK_LEASE, &flags).await;
    let seen = scenario(&cluster, &scheduler, ours).await;
    assert_nothing_forbidden(&cluster, &Identity::HeadroomScheduler.user());
    seen
}

async fn with_stock() -> Seen {
    let cluster = control_plane(RbacSet::Primary).await;
    let options = SchedulerOptions { args: vec!["-v=3".to_owned()], ..SchedulerOptions::default() };
    let scheduler = cluster.start_stock_scheduler(&options).unwrap();
    cluster.wait_healthy(&scheduler, "/readyz", LONG).await.unwrap();
    scenario(&cluster, &scheduler, stocks).await
}

#[tokio::test]
async fn no_pod_is_tried_more_often_than_by_the_stock_scheduler() {
    let (ours, stock) = (with_ours().await, with_stock().await);
    assert_eq!(ours.places, stock.places);
    let table: Vec<String> = stock
        .attempts
        .iter()
        .map(|(pod, theirs)| format!("{pod}: {} by ours, {theirs} by stock", ours.attempts.get(pod).unwrap_or(&0)))
        .collect();
    println!("{}", table.join("\n"));
    for (pod, mine) in &ours.attempts {
        let theirs = stock.attempts.get(pod).copied().unwrap_or(0);
        assert!(*mine <= theirs, "{pod} was tried {mine} times:\n{}", table.join("\n"));
    }
    assert_eq!(ours.attempts.keys().collect::<Vec<_>>(), stock.attempts.keys().collect::<Vec<_>>());
}
