//! A round: a control plane, a contestant, and ReplicationControllers of growing size.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Contestant, Plan, Replication, Round, progress, services};
use crate::bench::BenchError;
use crate::bench::wire::{JSON, MERGE_PATCH, Wire};
use crate::control_plane::{ControlPlane, Identity, LOOPS, RbacSet};
use crate::process::Process;
use crate::wait::eventually;

/// The definitions of our own resources, as the chart ships them.
const CRDS: &str = include_str!("../../../charts/headroom/files/crds.yaml");
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(600);
/// Pause between two looks at something that is timed.
const LOOK: Duration = Duration::from_millis(20);

pub(super) const PODS: &str = "/api/v1/namespaces/default/pods";
const RCS: &str = "/api/v1/namespaces/default/replicationcontrollers";

/// Runs it.
pub(super) async fn run(contestant: Contestant, plan: &Plan) -> Result<Round, BenchError> {
    let builder = ControlPlane::builder().name("controllers").kubernetes(plan.kubernetes).no_request_limits();
    // The loop that makes service accounts does not run.
    let plane = builder.service_account_admission(false).start().await?;
    let outcome = measure(contestant, plan, &plane).await;
    if outcome.is_err() {
        plane.keep_directory();
    }
    outcome
}

async fn measure(contestant: Contestant, plan: &Plan, plane: &ControlPlane) -> Result<Round, BenchError> {
    let wire = Wire::connect(&plane.kubeconfig(&Identity::Admin)?).await?;
    let process = start(contestant, plane).await?;
    // Every loop has listed what there is.
    probe(&wire).await?;
    let idle_rss_bytes = process.rss()?;
    let mut replication = Vec::new();
    for replicas in &plan.replicas {
        let seen = replicate(*replicas, &wire, &process).await?;
        progress(&format!("{replicas} pods after {:.2} s", seen.created_seconds));
        replication.push(seen);
    }
    let serving = services::serve(plan.endpoints, plane, &wire, &process).await?;
    process.expect_running("being measured")?;
    let peak_rss_bytes = process.peak_rss()?;
    let _ = process.terminate(Duration::from_secs(10)).await;
    Ok(Round { contestant, idle_rss_bytes, replication, serving, peak_rss_bytes })
}

async fn start(contestant: Contestant, plane: &ControlPlane) -> Result<Process, BenchError> {
    let process = match contestant {
        Contestant::Stock => {
            plane.start_stock_kcm(&LOOPS.join(","), &["--kube-api-qps=10000", "--kube-api-burst=10000"])?
        }
        Contestant::Headroom => {
            plane.apply_yaml("crds.yaml", CRDS).await?;
            plane.apply_rbac(RbacSet::Primary).await?;
            let loops = format!("--controllers={}", LOOPS.join(","));
            plane.start_headroom_controllers(&[&loops, "--leader-elect=false"])?
        }
    };
    plane.wait_healthy(&process, "/healthz", PATIENCE).await?;
    Ok(process)
}

fn replication_controller(name: &str, replicas: u32) -> Bytes {
    json!({
        "apiVersion": "v1", "kind": "ReplicationController", "metadata": {"name": name},
        "spec": {"replicas": replicas, "selector": {"app": name}, "template": {
            "metadata": {"labels": {"app": name}},
            "spec": {"containers": [{"name": "main", "image": "registry.example/app:1",
                "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}}}]},
        }},
    })
    .to_string()
    .into()
}

/// One pod, made and taken away: then the loops are at work.
async fn probe(wire: &Wire) -> Result<(), BenchError> {
    wire.post(RCS, replication_controller("probe", 1)).await?;
    status(wire, "probe", 1).await?;
    empty(wire, "probe").await
}

async fn replicate(replicas: u32, wire: &Wire, process: &Process) -> Result<Replication, BenchError> {
    let name = format!("rc-{replicas}");
    let cpu = process.cpu()?;
    let began = Instant::now();
    wire.post(RCS, replication_controller(&name, replicas)).await?;
    let created_seconds = async {
        count(wire, u64::from(replicas)).await?;
        Ok::<_, BenchError>(began.elapsed().as_secs_f64())
    };
    let status_seconds = async {
        status(wire, &name, replicas).await?;
        Ok::<_, BenchError>(began.elapsed().as_secs_f64())
    };
    let (created_seconds, status_seconds) = futures::try_join!(created_seconds, status_seconds)?;
    let rss_bytes = process.rss()?;
    let began = Instant::now();
    empty(wire, &name).await?;
    let deleted_seconds = began.elapsed().as_secs_f64();
    let cpu_milliseconds = process.cpu()?.saturating_sub(cpu).as_secs_f64() * 1000.0;
    Ok(Replication { replicas, created_seconds, status_seconds, deleted_seconds, cpu_milliseconds, rss_bytes })
}

/// Scales to nothing, waits, and deletes.
async fn empty(wire: &Wire, name: &str) -> Result<(), BenchError> {
    let path = format!("{RCS}/{name}");
    wire.send(Method::PATCH, &path, MERGE_PATCH, json!({"spec": {"replicas": 0}}).to_string().into()).await?;
    count(wire, 0).await?;
    status(wire, name, 0).await?;
    wire.send(Method::DELETE, &path, JSON, Bytes::new()).await?;
    Ok(())
}

/// Waits until there are so many pods.
pub(super) async fn count(wire: &Wire, pods: u64) -> Result<(), BenchError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Meta {
        remaining_item_count: Option<u64>,
    }
    #[derive(Deserialize)]
    struct List {
        metadata: Meta,
        items: Vec<Value>,
    }
    let path = format!("{PODS}?limit=1");
    until(&format!("{pods} pods"), async || {
        let list: List = wire.get(&path).await?;
        let there = (list.items.len() as u64).saturating_add(list.metadata.remaining_item_count.unwrap_or(0));
        Ok((there == pods, there.to_string()))
    })
    .await
}

async fn status(wire: &Wire, name: &str, replicas: u32) -> Result<(), BenchError> {
    let path = format!("{RCS}/{name}");
    until(&format!("the status of {name}"), async || {
        let object: Value = wire.get(&path).await?;
        let observed = object["status"]["observedGeneration"] == object["metadata"]["generation"];
        let told = object["status"]["replicas"].as_u64().unwrap_or(0);
        Ok((observed && told == u64::from(replicas), told.to_string()))
    })
    .await
}

/// Looks often, until it is so.
pub(super) async fn until(
    what: &str,
    mut look: impl AsyncFnMut() -> Result<(bool, String), BenchError>,
) -> Result<(), BenchError> {
    let began = Instant::now();
    loop {
        let (so, found) = look().await?;
        if so {
            return Ok(());
        }
        if began.elapsed() > PATIENCE {
            // The harness' words for it.
            let never = || async { Err::<(), _>(found.clone()) };
            return Ok(eventually(Duration::ZERO, what, never).await?);
        }
        tokio::time::sleep(LOOK).await;
    }
}
