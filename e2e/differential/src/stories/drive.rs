//! Telling stories on a real API server, with stock's controllers or with ours.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use headroom_e2e::{ControlPlane, Process, RbacSet, eventually};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::store::Store;
use super::{LOOPS, State, Step, Story, Told, pods};
use crate::api::{collection, patch, post, send};

/// The definitions of our own resources, as the chart ships them.
const CRDS: &str = include_str!("../../../../charts/headroom/files/crds.yaml");
/// How long a process may take to become healthy.
const START: Duration = Duration::from_secs(60);
/// Stock is done with a step when nothing has changed for so long.
const QUIET: Duration = Duration::from_millis(2500);
/// How long ours may take to come to where stock was.
const PATIENCE: Duration = Duration::from_secs(30);
/// Nodes and their zones. Nobody looks after them.
const NODES: [(&str, &str); 3] = [("n1", "z1"), ("n2", "z1"), ("n3", "z2")];

/// A control plane with controllers, and what is seen of it.
pub struct Stage {
    client: kube::Client,
    store: Arc<Store>,
    controllers: Process,
    version: String,
    // Dropped after the client's users; the control plane last.
    _tasks: JoinSet<()>,
    cluster: ControlPlane,
}

impl std::fmt::Debug for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stage").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}

impl Stage {
    async fn cluster() -> anyhow::Result<ControlPlane> {
        let builder = ControlPlane::builder().name("stories").no_request_limits();
        // Pods are to stay as they were written.
        let cluster = builder.service_account_admission(false).start().await?;
        let client = cluster.admin_client();
        for (name, zone) in NODES {
            let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name,
                "labels": {"topology.kubernetes.io/zone": zone, "kubernetes.io/hostname": name}}});
            post(&client, &node).await??;
            let status = json!({"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110"},
                "conditions": [{"type": "Ready", "status": "True"}]});
            patch(&client, &format!("/api/v1/nodes/{name}/status"), &json!({"status": status})).await?;
        }
        Ok(cluster)
    }

    async fn with(cluster: ControlPlane, controllers: Process) -> anyhow::Result<Self> {
        cluster.wait_healthy(&controllers, "/healthz", START).await?;
        let version: Value = serde_json::from_str(&cluster.get("/version").await?)?;
        let client = cluster.admin_client();
        let mut tasks = JoinSet::new();
        let store = Store::start(&client, &mut tasks);
        let version = version["gitVersion"].as_str().unwrap_or_default().to_owned();
        Ok(Self { client, store, controllers, version, _tasks: tasks, cluster })
    }

    /// With the stock kube-controller-manager, only these loops.
    ///
    /// # Errors
    /// Whatever did not start.
    pub async fn stock() -> anyhow::Result<Self> {
        let cluster = Self::cluster().await?;
        let flags = ["--kube-api-qps=5000", "--kube-api-burst=5000", "--concurrent-rc-syncs=20"];
        let controllers = cluster.start_stock_kcm(&LOOPS.join(","), &flags)?;
        Self::with(cluster, controllers).await
    }

    /// With headroom-controllers, the same loops.
    ///
    /// # Errors
    /// Whatever did not start.
    pub async fn ours() -> anyhow::Result<Self> {
        let cluster = Self::cluster().await?;
        cluster.apply_yaml("crds.yaml", CRDS).await?;
        cluster.apply_rbac(RbacSet::Primary).await?;
        let loops = format!("--controllers={}", LOOPS.join(","));
        let controllers = cluster.start_headroom_controllers(&[&loops, "--leader-elect=false"])?;
        Self::with(cluster, controllers).await
    }

    /// The version of Kubernetes.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Keeps the directory of the control plane, with all logs.
    pub fn keep(&self) {
        self.cluster.keep_directory();
    }

    /// Fails when the controllers have ended.
    ///
    /// # Errors
    /// With the end of their log.
    pub fn check(&self) -> anyhow::Result<()> {
        Ok(self.controllers.expect_running("telling stories")?)
    }

    async fn namespace(&self, name: &str) -> anyhow::Result<()> {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        post(&self.client, &namespace).await??;
        Ok(())
    }
}

/// A story that is being told.
struct Teller<'a> {
    stage: &'a Stage,
    namespace: String,
    /// Addresses given so far.
    addresses: u32,
}

impl Teller<'_> {
    fn path(&self, kind: &str, name: &str) -> String {
        format!("{}/{name}", collection("v1", kind, &self.namespace))
    }

    /// Does what the step says. Returns whether there was anything to do it to.
    async fn perform(&mut self, step: &Step) -> anyhow::Result<bool> {
        let client = &self.stage.client;
        let found = self.stage.store.pods(&self.namespace);
        // Which of two pods is older decides which of them is deleted, and creation times have whole seconds.
        let newest = found.iter().map(pods::created).max().unwrap_or_default();
        while *newest >= *pods::time(now()) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let pod = match step {
            Step::Label(pick, _)
            | Step::Remove(pick, _)
            | Step::Run(pick, ..)
            | Step::Ready(pick, _)
            | Step::End(pick, _) => match pods::find(pick, &found) {
                Some(name) => name,
                None => return Ok(false),
            },
            _ => String::new(),
        };
        let path = self.path("Pod", &pod);
        match step {
            Step::Create(object) => {
                let mut object = object.clone();
                object["metadata"]["namespace"] = self.namespace.as_str().into();
                post(client, &object).await?.with_context(|| format!("{object}"))?;
            }
            Step::Patch(kind, name, change) => drop(patch(client, &self.path(kind, name), change).await?),
            Step::Delete(kind, name) => {
                let path = self.path(kind, name);
                let options = json!({"propagationPolicy": "Background"});
                send(client, http::Request::delete(path).header("content-type", "application/json"), &options)
                    .await??;
            }
            Step::Label(_, labels) => drop(patch(client, &path, &json!({"metadata": {"labels": labels}})).await?),
            Step::Remove(_, seconds) => {
                let options = json!({"gracePeriodSeconds": seconds});
                send(client, http::Request::delete(path).header("content-type", "application/json"), &options)
                    .await??;
            }
            Step::Run(_, node, ready) => {
                let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": pod},
                    "target": {"apiVersion": "v1", "kind": "Node", "name": node}});
                let request = http::Request::post(format!("{path}/binding")).header("content-type", "application/json");
                send(client, request, &binding).await??;
                self.addresses += 1;
                let status = pods::running(self.addresses, *ready, now());
                patch(client, &format!("{path}/status"), &status).await?;
            }
            Step::Ready(_, ready) => {
                let is = found.iter().find(|p| p["metadata"]["name"] == pod.as_str()).cloned().unwrap_or_default();
                patch(client, &format!("{path}/status"), &pods::readiness(&is, *ready)).await?;
            }
            Step::End(_, phase) => {
                let is = found.iter().find(|p| p["metadata"]["name"] == pod.as_str()).cloned().unwrap_or_default();
                let mut status = pods::readiness(&is, false);
                status["status"]["phase"] = phase.as_str().into();
                patch(client, &format!("{path}/status"), &status).await?;
            }
        }
        Ok(true)
    }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    i64::try_from(since).unwrap_or(i64::MAX)
}

/// Lets stock tell a story. Steps about pods that are not there are left out.
///
/// # Errors
/// The API server failed, or refused what a step does.
pub async fn record(stage: &Stage, story: &Story, run: usize) -> anyhow::Result<Told> {
    let namespace = format!("s{}-{run}", story.seed);
    stage.namespace(&namespace).await?;
    let mut teller = Teller { stage, namespace: namespace.clone(), addresses: 0 };
    let mut before = State::default();
    let mut steps = Vec::new();
    for step in &story.steps {
        if !teller.perform(step).await.with_context(|| format!("{namespace}: {step:?}"))? {
            continue;
        }
        let began = std::time::Instant::now();
        while stage.store.quiet_for(&namespace) < QUIET || began.elapsed() < QUIET {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let after = stage.store.state(&namespace);
        steps.push((step.clone(), after.since(&before)));
        before = after;
    }
    Ok(Told { seed: story.seed, steps })
}

/// Tells a story with ours. Answers what is different from stock's, if anything.
///
/// # Errors
/// The API server failed.
pub async fn replay(stage: &Stage, told: &Told) -> anyhow::Result<Option<String>> {
    let namespace = format!("s{}", told.seed);
    stage.namespace(&namespace).await?;
    let mut teller = Teller { stage, namespace: namespace.clone(), addresses: 0 };
    let mut expected = State::default();
    for (number, (step, change)) in told.steps.iter().enumerate() {
        let what = || format!("story {}, step {} ({step:?})", told.seed, number + 1);
        if !teller.perform(step).await.with_context(what)? {
            return Ok(Some(format!("{}: the pod is not there", what())));
        }
        expected.apply(change);
        let expected = &expected;
        let same = eventually(PATIENCE, "the state after a step", || async {
            stage.store.state(&namespace).difference(expected).map_or(Ok(()), Err)
        });
        if let Err(timeout) = same.await {
            return Ok(Some(format!("{}: {}", what(), timeout.last)));
        }
    }
    Ok(None)
}
