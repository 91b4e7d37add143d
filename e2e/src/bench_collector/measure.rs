//! The measurement: a cluster at rest, and the controllers that measure it.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use headroom_hollow::Hollow;
use http::Method;
use k8s_openapi::jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Figures, Heap, Plan, progress};
use crate::bench::requests::sum;
use crate::bench::wire::{JSON, Wire, each};
use crate::bench_memory::MemoryBenchError;
use crate::control_plane::{ControlPlane, Identity, RbacSet};
use crate::process::Process;
use crate::wait::eventually;

/// The definitions of our own resources, as the chart ships them.
const CRDS: &str = include_str!("../../../charts/headroom/files/crds.yaml");
/// Creating requests at once.
const IN_FLIGHT: usize = 50;
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(600);
/// Pods of one ReplicaSet.
const PODS_PER_OWNER: u32 = 10;
/// Intervals between the first complete set of samples and the window: first samples are followed by learning.
const INTERVALS: f64 = 3.0;
/// The resources of ours.
const HEADROOMS: &str = "/apis/headroom.dev/v1alpha1/nodeheadrooms";
const PROFILES: &str = "/apis/headroom.dev/v1alpha1/memoryprofiles";

/// Runs it.
pub(super) async fn run(plan: &Plan) -> Result<Figures, MemoryBenchError> {
    // Heap profiles are how a garbage collection is asked for.
    let plane = ControlPlane::builder()
        .name("collector")
        .audit(true)
        .no_request_limits()
        .api_server_arg("--profiling=true")
        .start()
        .await?;
    let outcome = measure(plan, &plane).await;
    if outcome.is_err() {
        plane.keep_directory();
    }
    outcome
}

async fn measure(plan: &Plan, plane: &ControlPlane) -> Result<Figures, MemoryBenchError> {
    plane.create_namespace("kube-node-lease").await?;
    plane.create_namespace("default").await?;
    let wire = Wire::connect(&plane.kubeconfig(&Identity::Admin)?).await?;
    let heap_empty = heap(plane, &wire).await?;
    plane.apply_yaml("crds.yaml", CRDS).await?;
    let connection = &wire;
    eventually(PATIENCE, "both resources to be served", || async move {
        for path in [HEADROOMS, PROFILES] {
            connection.text(path).await.map_err(|error| error.to_string())?;
        }
        Ok::<_, String>(())
    })
    .await?;
    let heap_with_definitions = heap(plane, &wire).await?;
    plane.apply_rbac(RbacSet::Primary).await?;

    progress(&format!("{} nodes, {} pods on each", plan.nodes, plan.pods_per_node));
    let hollow = nodes(plan, plane).await?;
    pods(plan, &hollow, &wire).await?;
    let heap_with_cluster = heap(plane, &wire).await?;

    let trust = plane.trust_kubelets(&hollow)?;
    let started = Instant::now();
    let controllers = plane.start_headroom_controllers(&["--leader-elect=false", &trust])?;
    plane.wait_healthy(&controllers, "/healthz", PATIENCE).await?;
    let all = u64::from(plan.nodes);
    eventually(PATIENCE, "a sample of every node", || async move {
        let sampled = objects(connection, HEADROOMS).await.map_err(|error| error.to_string())?.sampled;
        if sampled == all { Ok(()) } else { Err(format!("{sampled} of {all}")) }
    })
    .await?;
    let all_sampled_after = started.elapsed();
    let rest = all_sampled_after.max(Duration::from_secs(15)).mul_f64(INTERVALS);
    progress(&format!(
        "every node was measured after {:.0} s; resting for {:.0} s",
        all_sampled_after.as_secs_f64(),
        rest.as_secs_f64()
    ));
    tokio::time::sleep(rest).await;

    progress(&format!("measuring for {} s", plan.seconds));
    // The API server closes connections that are idle for 90 s.
    let wire = Wire::connect(&plane.kubeconfig(&Identity::Admin)?).await?;
    let before = Moment::look(plane, &wire, &controllers).await?;
    tokio::time::sleep(Duration::from_secs(plan.seconds)).await;
    let wire = Wire::connect(&plane.kubeconfig(&Identity::Admin)?).await?;
    let after = Moment::look(plane, &wire, &controllers).await?;
    controllers.expect_running("being measured")?;
    let memory = controllers.memory()?;
    let headrooms = objects(&wire, HEADROOMS).await?;
    let profiles = objects(&wire, PROFILES).await?;
    let heap_at_the_end = heap(plane, &wire).await?;

    let seconds = after.at.saturating_duration_since(before.at).as_secs_f64().max(f64::EPSILON);
    let requests = requests(plane, before.wall, after.wall)?;
    let millicores =
        |later: Duration, earlier: Duration| later.saturating_sub(earlier).as_secs_f64() * 1000.0 / seconds;
    let figures = Figures {
        all_sampled_after_seconds: all_sampled_after.as_secs_f64(),
        window_seconds: seconds,
        cpu_millicores: millicores(after.cpu, before.cpu),
        rss_bytes: memory.rss,
        peak_rss_bytes: memory.peak_rss,
        server_millicores: millicores(after.server_cpu, before.server_cpu),
        reads_per_second: (after.reads - before.reads) / seconds,
        failed_reads: (after.failed - before.failed) as u64,
        requests_per_second: requests.all as f64 / seconds,
        headroom_writes_per_second: requests.headrooms as f64 / seconds,
        profile_writes_per_second: requests.profiles as f64 / seconds,
        other_writes_per_second: requests.other_writes as f64 / seconds,
        written_bytes_per_minute: (after.written - before.written) * 60.0 / seconds,
        headrooms: headrooms.count,
        profiles: profiles.count,
        headroom_bytes: headrooms.bytes_each,
        profile_bytes: profiles.bytes_each,
        heap_empty,
        heap_with_definitions,
        heap_with_cluster,
        heap_at_the_end,
    };
    let _ = controllers.terminate(Duration::from_secs(10)).await;
    hollow.stop().await;
    Ok(figures)
}

/// Counters and times at one moment.
struct Moment {
    at: Instant,
    /// As the audit log writes times.
    wall: String,
    cpu: Duration,
    server_cpu: Duration,
    reads: f64,
    failed: f64,
    written: f64,
}

impl Moment {
    async fn look(plane: &ControlPlane, wire: &Wire, controllers: &Process) -> Result<Self, MemoryBenchError> {
        let ours = plane.metrics_by_token(controllers).await?;
        let reads = sum(&ours, "headroom_kubelet_reads_total", &[]);
        let ok = sum(&ours, "headroom_kubelet_reads_total", &[("result", "ok")]);
        let server = wire.text("/metrics").await?;
        let written = ["nodeheadrooms", "memoryprofiles"]
            .map(|resource| sum(&server, "apiserver_request_body_size_bytes_sum", &[("resource", resource)]));
        let server_cpu = plane.with_api_server(|server| server.cpu().unwrap_or_default()).unwrap_or_default();
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let wall = Timestamp::from_microsecond(i64::try_from(wall.as_micros()).unwrap_or(i64::MAX)).unwrap_or_default();
        Ok(Self {
            at: Instant::now(),
            wall: wall.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string(),
            cpu: controllers.cpu()?,
            server_cpu: server_cpu.saturating_add(plane.etcd().cpu().unwrap_or_default()),
            reads,
            failed: reads - ok,
            written: written.iter().sum(),
        })
    }
}

/// Starts the kubelets.
async fn nodes(plan: &Plan, plane: &ControlPlane) -> Result<Hollow, MemoryBenchError> {
    let spec = format!("node={}:4Gi:cpu=4:swap=2Gi", plan.nodes);
    let mut config = plane.hollow_config(&spec)?;
    config.remove_not_ready_taint = true;
    Ok(plane.start_hollow(config).await?)
}

/// Creates the pods with their nodes, and waits until all run.
async fn pods(plan: &Plan, hollow: &Hollow, wire: &Wire) -> Result<(), MemoryBenchError> {
    let names: Vec<String> = hollow.nodes().into_iter().map(|node| node.name).collect();
    let count = plan.nodes.saturating_mul(plan.pods_per_node);
    let mut owners = Vec::new();
    for index in 0..count.div_ceil(PODS_PER_OWNER) {
        let answer =
            wire.send(Method::POST, "/apis/apps/v1/namespaces/default/replicasets", JSON, replica_set(index)).await?;
        let created: Value = serde_json::from_slice(&answer)?;
        owners.push(created["metadata"]["uid"].clone());
    }
    let (names, owners) = (&names, &owners);
    each(count, IN_FLIGHT, |index| async move {
        let owner = index / PODS_PER_OWNER;
        let node = names.get(index as usize % names.len().max(1)).map_or("", String::as_str);
        let uid = owners.get(owner as usize).cloned().unwrap_or_default();
        wire.post("/api/v1/namespaces/default/pods", pod(index, owner, &uid, node)).await
    })
    .await?;
    eventually(PATIENCE, "every pod to run", || async move {
        let path = "/api/v1/pods?fieldSelector=status.phase!=Running&limit=1";
        let list: List = wire.get(path).await.map_err(|error| error.to_string())?;
        if list.items.is_empty() { Ok(()) } else { Err("some do not".to_owned()) }
    })
    .await?;
    Ok(())
}

fn replica_set(index: u32) -> Bytes {
    let labels = json!({"app": format!("app-{index}")});
    json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {"name": format!("app-{index}"), "labels": labels},
        "spec": {"replicas": PODS_PER_OWNER, "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": "app:1"}]}}},
    })
    .to_string()
    .into()
}

fn pod(index: u32, owner: u32, uid: &Value, node: &str) -> Bytes {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": format!("app-{owner}-{index}"),
            "labels": {"app": format!("app-{owner}")},
            // A wave, so that samples change as those of a living service do.
            "annotations": {"hollow.headroom.dev/memory": "40Mi@0s,60Mi@90s,40Mi@180s,70Mi@300s,45Mi@420s"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": format!("app-{owner}"),
                "uid": uid, "controller": true, "blockOwnerDeletion": true}],
        },
        "spec": {"nodeName": node, "containers": [{"name": "main", "image": "app:1",
            "resources": {"requests": {"cpu": "10m", "memory": "48Mi"}, "limits": {"memory": "128Mi"}}}]},
    })
    .to_string()
    .into()
}

#[derive(Deserialize)]
struct List {
    items: Vec<Value>,
}

/// What there is of a kind of ours.
struct Objects {
    count: u64,
    sampled: u64,
    bytes_each: u64,
}

async fn objects(wire: &Wire, path: &str) -> Result<Objects, MemoryBenchError> {
    let text = wire.text(path).await?;
    let list: List = serde_json::from_str(&text)?;
    let count = list.items.len() as u64;
    let sampled = list.items.iter().filter(|item| item.pointer("/status/observedAt").is_some()).count() as u64;
    Ok(Objects { count, sampled, bytes_each: (text.len() as u64).checked_div(count).unwrap_or(0) })
}

/// The API server's heap after a garbage collection, which asking for a heap profile can bring about.
async fn heap(plane: &ControlPlane, wire: &Wire) -> Result<Heap, MemoryBenchError> {
    wire.text("/debug/pprof/heap?gc=1").await?;
    let metrics = wire.text("/metrics").await?;
    let rss = plane.with_api_server(|server| server.rss().unwrap_or_default()).unwrap_or_default();
    Ok(Heap { heap_bytes: sum(&metrics, "go_memstats_heap_alloc_bytes", &[]) as u64, rss_bytes: rss })
}

/// The controllers' requests in the window, from the audit log.
#[derive(Debug, Default, PartialEq)]
struct Requests {
    all: u64,
    headrooms: u64,
    profiles: u64,
    other_writes: u64,
}

fn requests(plane: &ControlPlane, from: String, to: String) -> Result<Requests, MemoryBenchError> {
    let user = Identity::HeadroomControllers.user();
    let mut found = Requests::default();
    for event in plane.audit_events()? {
        let at = &event.request_received_timestamp;
        if event.user.username != user || event.verb == "watch" || *at < from || *at >= to {
            continue;
        }
        found.all += 1;
        if event.is_write() {
            match event.object_ref.as_ref().map(|object| object.resource.as_str()) {
                Some("nodeheadrooms") => found.headrooms += 1,
                Some("memoryprofiles") => found.profiles += 1,
                _ => found.other_writes += 1,
            }
        }
    }
    Ok(found)
}
