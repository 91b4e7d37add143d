//! The death of a node: when it is noticed, and when the last of its pods is replaced.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Api;
use kube::api::{ListParams, PostParams};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::progress;
use crate::bench_memory::MemoryBenchError;
use crate::control_plane::{ControlPlane, LOOPS, RbacSet, Release};
use crate::process::Process;
use crate::wait::eventually;

/// The definitions of our own resources, as the chart ships them.
const CRDS: &str = include_str!("../../../charts/headroom/files/crds.yaml");
/// Small machines, and pods that fit on three of them.
const NODES: &str = "worker=4:1Gi:swap=2Gi:cpu=4:system=220Mi";
const PODS: usize = 24;
const VICTIM: &str = "worker-1";
/// How long anything may take: the longest profile waits seven minutes.
const PATIENCE: Duration = Duration::from_secs(900);

/// Who looks after the nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Keeper {
    /// kube-controller-manager as it comes.
    Stock,
    /// Ours with stock's numbers.
    ProfileStock,
    /// Ours, quick.
    ProfileFast,
    /// Ours, slow and careful.
    ProfilePatient,
}

impl Keeper {
    /// All of them; two run at a time, and each pair has one that takes long.
    pub(super) const ALL: [Self; 4] = [Self::Stock, Self::ProfileStock, Self::ProfileFast, Self::ProfilePatient];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Stock => "kube-controller-manager",
            Self::ProfileStock => "headroom, profile stock",
            Self::ProfileFast => "headroom, profile fast",
            Self::ProfilePatient => "headroom, profile patient",
        }
    }

    fn start(self, plane: &ControlPlane, trust: &str) -> Result<Process, MemoryBenchError> {
        let profile = match self {
            Self::Stock => return Ok(plane.start_stock_kcm(&LOOPS.join(","), &[])?),
            Self::ProfileStock => "stock",
            Self::ProfileFast => "fast",
            Self::ProfilePatient => "patient",
        };
        let profile = format!("--node-lifecycle-profile={profile}");
        Ok(plane.start_headroom_controllers(&["--controllers=*", "--leader-elect=false", &profile, trust])?)
    }
}

/// A death.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Death {
    /// Who looked after the node.
    pub keeper: Keeper,
    /// Pods of the workload, and those of them that were on the node.
    pub pods: usize,
    /// See `pods`.
    pub lost: usize,
    /// From the death until the node was not ready, seconds.
    pub noticed_seconds: f64,
    /// From the death until as many pods as before were ready on other nodes, seconds.
    pub replaced_seconds: f64,
}

/// The deaths in the file of an earlier run, and the day, the commit and the machine of theirs: a run in which no node dies
/// takes nothing away from the page.
pub(super) fn earlier(file: &str) -> Option<(Vec<Death>, String)> {
    let file: Value = serde_json::from_str(file).ok()?;
    let deaths: Vec<Death> = serde_json::from_value(file.get("deaths")?.clone()).ok()?;
    if deaths.is_empty() {
        return None;
    }
    // They may have been earlier ones in that run already.
    if let Some(measured) = file.get("deathsMeasuredAt").and_then(Value::as_str) {
        return Some((deaths, measured.to_owned()));
    }
    let text = |at: &str| file.pointer(at).and_then(Value::as_str).unwrap_or("unknown");
    let day = text("/date").split('T').next().unwrap_or_default();
    let cores = file.pointer("/machine/cores").and_then(Value::as_u64).unwrap_or(0);
    Some((deaths, format!("{day}, {}, {}, {cores} cores", text("/headroom_commit"), text("/machine/cpu"))))
}

/// Lets nodes die, two at a time: there is little to do meanwhile.
pub(super) async fn run(release: Release) -> Result<Vec<Death>, MemoryBenchError> {
    let [a, b, c, d] = Keeper::ALL;
    let (a, b) = futures::try_join!(one(a, release), one(b, release))?;
    let (c, d) = futures::try_join!(one(c, release), one(d, release))?;
    Ok(vec![a, b, c, d])
}

async fn one(keeper: Keeper, release: Release) -> Result<Death, MemoryBenchError> {
    let builder = ControlPlane::builder().name("deaths").kubernetes(release).service_account_admission(false);
    let plane = builder.start().await?;
    let outcome = die(keeper, &plane).await;
    if outcome.is_err() {
        plane.keep_directory();
    }
    outcome
}

async fn die(keeper: Keeper, plane: &ControlPlane) -> Result<Death, MemoryBenchError> {
    plane.apply_yaml("crds.yaml", CRDS).await?;
    plane.apply_rbac(RbacSet::Primary).await?;
    plane.create_namespace("default").await?;
    plane.create_namespace("kube-node-lease").await?;
    let hollow = plane.start_hollow(plane.hollow_config(NODES)?).await?;
    let process = keeper.start(plane, &plane.trust_kubelets(&hollow)?)?;
    // The same in all runs.
    let scheduler = plane.start_headroom_scheduler(&["--mode=primary"])?;

    let client = plane.admin_client();
    let rcs: Api<k8s_openapi::api::core::v1::ReplicationController> = Api::default_namespaced(client.clone());
    let rc = serde_json::from_value(json!({
        "metadata": {"name": "web"},
        "spec": {"replicas": PODS, "selector": {"app": "web"}, "template": {"metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "main", "image": "registry.example/app:1",
                "resources": {"requests": {"cpu": "20m", "memory": "32Mi"}}}]}}},
    }))?;
    rcs.create(&PostParams::default(), &rc).await.map_err(MemoryBenchError::api("create the workload"))?;
    let pods: Api<Pod> = Api::default_namespaced(client.clone());
    let nodes: Api<Node> = Api::all(client);
    let pods = &pods;
    let look = async || {
        let all = pods.list(&ListParams::default()).await.map_err(|error| error.to_string())?.items;
        Ok::<Vec<Pod>, String>(all.into_iter().filter(is_ready).collect())
    };
    let full = async || match look().await? {
        ready if ready.len() == PODS => Ok(ready),
        ready => Err(format!("{} of {PODS}", ready.len())),
    };
    let before = eventually(PATIENCE, "the workload to be ready", full).await?;
    let lost = before.iter().filter(|pod| node_of(pod) == Some(VICTIM)).count();

    hollow.kill(VICTIM)?;
    let died = Instant::now();
    let noticed = async || {
        let node = nodes.get(VICTIM).await.map_err(|error| error.to_string())?;
        let conditions = node.status.and_then(|status| status.conditions).unwrap_or_default();
        let ready = conditions.into_iter().find(|condition| condition.type_ == "Ready");
        match ready.map(|condition| condition.status).as_deref() {
            Some("True") => Err("it is ready".to_owned()),
            _ => Ok(()),
        }
    };
    eventually(PATIENCE, "the death to be noticed", noticed).await?;
    let noticed_seconds = died.elapsed().as_secs_f64();
    let replaced = async || match look().await? {
        ready if ready.iter().filter(|pod| node_of(pod) != Some(VICTIM)).count() == PODS => Ok(()),
        ready => Err(format!("{} of {PODS} are ready", ready.len())),
    };
    eventually(PATIENCE, "the pods to be replaced", replaced).await?;
    let replaced_seconds = died.elapsed().as_secs_f64();
    progress(&format!(
        "{}: noticed after {noticed_seconds:.0} s, replaced after {replaced_seconds:.0} s",
        keeper.name()
    ));
    for process in [&process, &scheduler] {
        process.expect_running("a node died")?;
        let _ = process.terminate(Duration::from_secs(10)).await;
    }
    hollow.stop().await;
    Ok(Death { keeper, pods: PODS, lost, noticed_seconds, replaced_seconds })
}

fn node_of(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref()
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    pod.metadata.deletion_timestamp.is_none()
        && conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_earlier_run_measured_is_kept_with_its_day() {
        let mut file = json!({
            "date": "2026-11-29T10:00:00Z", "headroom_commit": "01310e58e29e", "machine": {"cpu": "Intel Xeon", "cores": 2},
            "deaths": [{"keeper": "profile-stock", "pods": 24, "lost": 6, "noticed_seconds": 49.0, "replaced_seconds": 350.0}],
        });
        let (deaths, measured) = earlier(&file.to_string()).unwrap();
        assert_eq!((deaths.len(), deaths[0].keeper), (1, Keeper::ProfileStock));
        assert_eq!(measured, "2026-11-29, 01310e58e29e, Intel Xeon, 2 cores");
        file["deathsMeasuredAt"] = json!("2026-11-28, 5f9d5e0");
        assert_eq!(earlier(&file.to_string()).unwrap().1, "2026-11-28, 5f9d5e0");
        file["deaths"] = json!([]);
        assert!(earlier(&file.to_string()).is_none() && earlier("{}").is_none() && earlier("").is_none());
    }
}
