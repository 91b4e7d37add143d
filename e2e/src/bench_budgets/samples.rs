//! What both processes cost when nothing happens but samples: simulated kubelets, whose pods use what they use.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use headroom_hollow::Hollow;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::cluster::{Cluster, PATIENCE, pods};
use super::figure::{Figure, MIB};
use super::progress;
use crate::bench::measure::mebibytes;
use crate::bench::wire::{Wire, each};
use crate::bench_memory::MemoryBenchError;
use crate::control_plane::{ControlPlane, Identity};
use crate::process::Process;
use crate::wait::eventually;

/// Pods on each node.
const PODS_PER_NODE: u32 = 10;
/// Creating requests at once.
const IN_FLIGHT: usize = 50;
/// For how long CPU time and requests are counted.
const WINDOW: Duration = Duration::from_secs(120);
/// Samples from which on a history counts, and its owner is told of changes alone: `historySamples` by default.
const USABLE: i64 = 3;
/// In which every workload is learned: some writes for each, five in a second.
const LEARNING: Duration = Duration::from_secs(1800);
/// Intervals between the first complete set of samples and the window: what is new is learned first.
const INTERVALS: f64 = 3.0;
/// Requests per minute and process, beyond watches, leases and heartbeats.
const REQUESTS: f64 = 10.0;

/// CPU of each process, thousandths of a core.
fn limit(nodes: u32) -> f64 {
    if nodes <= 10 { 2.0 } else { 50.0 }
}

/// Measures it.
pub(super) async fn run(nodes: u32) -> Result<Vec<Figure>, MemoryBenchError> {
    let cluster = Cluster::start("budget-samples", true).await?;
    let plane = &cluster.plane;
    plane.create_namespace("kube-node-lease").await?;
    progress(&format!("{nodes} simulated nodes with {PODS_PER_NODE} pods each"));
    let mut config = plane.hollow_config(&format!("node={nodes}:4Gi:cpu=4:swap=2Gi"))?;
    config.remove_not_ready_taint = true;
    let hollow = plane.start_hollow(config).await?;
    create_pods(&cluster, &hollow).await?;

    let trust = plane.trust_kubelets(&hollow)?;
    let started = Instant::now();
    let controllers = plane.start_headroom_controllers(&["--leader-elect=false", &trust])?;
    let scheduler = plane.start_headroom_scheduler(&["--mode=primary", "--leader-elect=false"])?;
    plane.wait_healthy(&controllers, "/readyz", PATIENCE).await?;
    plane.wait_healthy(&scheduler, "/readyz", PATIENCE).await?;
    all_sampled(&cluster.wire, nodes).await?;
    let rest = started.elapsed().max(Duration::from_secs(20)).mul_f64(INTERVALS);
    progress("every node was measured; waiting until every workload is learned");
    all_learned(&cluster.wire, nodes).await?;
    progress(&format!("every workload is learned; resting for {:.0} s", rest.as_secs_f64()));
    tokio::time::sleep(rest).await;

    let before = (now(), scheduler.cpu()?, controllers.cpu()?, Instant::now());
    tokio::time::sleep(WINDOW).await;
    let (to, minutes) = (now(), before.3.elapsed().as_secs_f64() / 60.0);
    let millicores = |process: &Process, earlier: Duration| -> Result<f64, MemoryBenchError> {
        process.expect_running("being idle")?;
        Ok(process.cpu()?.saturating_sub(earlier).as_secs_f64() * 1000.0 / (minutes * 60.0))
    };
    let mut figures = Vec::new();
    for (name, process, identity, cpu) in [
        ("scheduler", &scheduler, Identity::HeadroomScheduler, before.1),
        ("controllers", &controllers, Identity::HeadroomControllers, before.2),
    ] {
        let requests = requests(plane, &identity, (before.0.as_str(), to.as_str()))? as f64 / minutes;
        figures.push(Figure::at_most(format!("{name}: CPU"), millicores(process, cpu)?, limit(nodes), (1, "mcore")));
        figures.push(Figure::at_most(format!("{name}: requests per minute"), requests, REQUESTS, (1, "")));
        figures.push(Figure::told(format!("{name}: RSS"), mebibytes(process.rss()?), MIB));
    }
    for process in [&scheduler, &controllers] {
        let _ = process.terminate(Duration::from_secs(10)).await;
    }
    hollow.stop().await;
    Ok(figures)
}

/// Creates the pods on their nodes, and waits until all run.
async fn create_pods(cluster: &Cluster, hollow: &Hollow) -> Result<(), MemoryBenchError> {
    let names: Vec<String> = hollow.nodes().into_iter().map(|node| node.name).collect();
    let count = u32::try_from(names.len()).unwrap_or(u32::MAX).saturating_mul(PODS_PER_NODE);
    let (wire, names, path) = (&cluster.wire, &names, pods());
    let path = path.as_str();
    each(count, IN_FLIGHT, |index| async move {
        let node = names.get(index as usize % names.len().max(1)).map_or("", String::as_str);
        wire.post(path, pod(index, node).to_string()).await
    })
    .await?;
    eventually(PATIENCE, "every pod to run", || async move {
        let path = "/api/v1/pods?fieldSelector=status.phase!=Running&limit=1";
        let list: Value = wire.get(path).await.map_err(|error| error.to_string())?;
        let waiting = list["items"].as_array().is_some_and(|items| !items.is_empty());
        if waiting { Err("some do not".to_owned()) } else { Ok(()) }
    })
    .await?;
    Ok(())
}

/// A pod that takes the same memory all the time, owned by nobody who is there.
fn pod(index: u32, node: &str) -> Value {
    let owner = index / PODS_PER_NODE;
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": format!("app-{owner}-{index}"),
            "labels": {"app": format!("app-{owner}")},
            "annotations": {"hollow.headroom.dev/memory": "50Mi@0s"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": format!("app-{owner}"),
                "uid": format!("00000000-0000-4000-8000-{owner:012}"), "controller": true, "blockOwnerDeletion": true}],
        },
        "spec": {"nodeName": node, "containers": [{"name": "main", "image": "app:1",
            "resources": {"requests": {"cpu": "10m", "memory": "48Mi"}, "limits": {"memory": "128Mi"}}}]},
    })
}

/// Waits until every node has a sample.
async fn all_sampled(wire: &Wire, nodes: u32) -> Result<(), MemoryBenchError> {
    eventually(PATIENCE, "a sample of every node", || async move {
        let path = "/apis/headroom.dev/v1alpha1/nodeheadrooms";
        let list: Value = wire.get(path).await.map_err(|error| error.to_string())?;
        let has_sample = |item: &&Value| item.pointer("/status/observedAt").is_some();
        let sampled = list["items"].as_array().map_or(0, |items| items.iter().filter(has_sample).count());
        if sampled == nodes as usize { Ok(()) } else { Err(format!("{sampled} of {nodes}")) }
    })
    .await?;
    Ok(())
}

/// Waits until every workload's memory is written down: there are as many as nodes.
async fn all_learned(wire: &Wire, workloads: u32) -> Result<(), MemoryBenchError> {
    eventually(LEARNING, "a profile of every workload", || async move {
        let path = "/apis/headroom.dev/v1alpha1/memoryprofiles";
        let list: Value = wire.get(path).await.map_err(|error| error.to_string())?;
        let samples = |item: &Value| item.pointer("/status/containers/0/samples").and_then(Value::as_i64);
        let is_learned = |item: &&Value| samples(item).is_some_and(|samples| samples >= USABLE);
        let learned = list["items"].as_array().map_or(0, |items| items.iter().filter(is_learned).count());
        if learned == workloads as usize { Ok(()) } else { Err(format!("{learned} of {workloads}")) }
    })
    .await?;
    Ok(())
}

/// The time as the audit log writes it.
fn now() -> String {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let wall = Timestamp::from_microsecond(i64::try_from(wall.as_micros()).unwrap_or(i64::MAX)).unwrap_or_default();
    wall.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

/// Requests of a process between two times, without watches, leases and writes of NodeHeadroom.
fn requests(plane: &ControlPlane, who: &Identity, (from, to): (&str, &str)) -> Result<u64, MemoryBenchError> {
    let user = who.user();
    let mut count = 0;
    for event in plane.audit_events()? {
        let at = event.request_received_timestamp.as_str();
        let resource = event.object_ref.as_ref().map_or("", |object| object.resource.as_str());
        let budgeted = event.verb != "watch" && !matches!(resource, "leases" | "nodeheadrooms");
        if event.user.username == user && budgeted && at >= from && at < to {
            count += 1;
        }
    }
    Ok(count)
}
