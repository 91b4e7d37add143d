//! The stock scheduler on a real API server, one case after the other.
//!
//! Cases are kept apart by time: everything of a case is deleted, and the scheduler's log has to say that it knows,
//! before the next begins. The same log says when it has seen a case's objects, what it decided, and how it scored
//! (`-v=10` of the file that decides).

mod log;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use futures::future::try_join_all;
use headroom_e2e::{ControlPlane, Process, SchedulerOptions};
use serde_json::Value;

use self::log::{Log, Verdict};
use crate::api::{patch_status, post};
use crate::case::{Case, Decision, Header, LAYOUT};
use crate::generate::Cluster;
use crate::trim::trim;
use crate::world;

/// How long the scheduler may take for anything.
const PATIENCE: Duration = Duration::from_secs(60);
/// Pause between two looks at the log.
const PAUSE: Duration = Duration::from_millis(2);

/// How long the scheduler is given for what its log does not tell.
const OTHERS: Duration = Duration::from_millis(60);
/// What is deleted besides pods and nodes.
const OTHER_PATHS: [&str; 5] = [
    "/api/v1/namespaces/default/persistentvolumeclaims",
    "/api/v1/persistentvolumes",
    "/apis/storage.k8s.io/v1/storageclasses",
    "/apis/storage.k8s.io/v1/csinodes",
    "/apis/policy/v1/namespaces/default/poddisruptionbudgets",
];

/// What became of a case.
#[derive(Debug)]
pub enum Outcome {
    /// Stock decided.
    Decided(Case),
    /// The API server refused an object: the case is not one.
    Refused(String),
}

/// A running stock scheduler.
pub struct Stock {
    client: kube::Client,
    log: Log,
    process: Process,
    version: String,
    // Last: it ends when everything above is gone.
    cluster: ControlPlane,
}

impl std::fmt::Debug for Stock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stock").field("cluster", &self.cluster).field("version", &self.version).finish_non_exhaustive()
    }
}

impl Stock {
    /// Starts a control plane with the shared objects, and the stock scheduler on it.
    ///
    /// # Errors
    /// Whatever did not start.
    pub async fn start() -> anyhow::Result<Self> {
        let cluster = ControlPlane::builder()
            .name("differential")
            .no_request_limits()
            // Pods and nodes are to stay as they were written.
            .service_account_admission(false)
            .api_server_arg("--disable-admission-plugins=ServiceAccount,TaintNodesByCondition,DefaultTolerationSeconds,StorageObjectInUseProtection")
            .start()
            .await?;
        let client = cluster.admin_client();
        for object in world::objects() {
            post(&client, &object).await.with_context(|| format!("{object}"))??;
        }
        let version: Value = serde_json::from_str(&cluster.get("/version").await?)?;
        let mut config = world::config();
        config["clientConnection"] = serde_json::json!({"kubeconfig": "{kubeconfig}", "qps": 10_000, "burst": 10_000});
        config["leaderElection"] = serde_json::json!({"leaderElect": false});
        let options = SchedulerOptions {
            config: Some(config.to_string()),
            args: vec!["--v=4".to_owned(), "--vmodule=schedule_one=10".to_owned()],
            ..SchedulerOptions::default()
        };
        let process = cluster.start_stock_scheduler(&options)?;
        cluster.wait_healthy(&process, "/healthz", PATIENCE).await?;
        let log = Log::new(process.log_path());
        let version = version["gitVersion"].as_str().unwrap_or_default().to_owned();
        Ok(Self { client, log, process, version, cluster })
    }

    /// The first line of a corpus.
    #[must_use]
    pub fn header(&self) -> Header {
        Header {
            layout: LAYOUT,
            stock: self.version.clone(),
            config: world::config(),
            world: world::objects(),
            aliases: Vec::new(),
        }
    }

    /// Keeps the directory of the control plane, with all logs.
    pub fn keep(&self) {
        self.cluster.keep_directory();
    }

    /// Lets stock decide on a cluster, and removes it again.
    ///
    /// # Errors
    /// The API server or the scheduler failed.
    pub async fn decide(&mut self, given: &Cluster) -> anyhow::Result<Outcome> {
        let outcome = self.try_decide(given).await;
        self.clean(!given.others.is_empty()).await?;
        outcome
    }

    async fn try_decide(&mut self, given: &Cluster) -> anyhow::Result<Outcome> {
        let mut case =
            Case { seed: given.seed, nodes: Vec::new(), pods: Vec::new(), others: Vec::new(), decisions: Vec::new() };
        let mut claims: BTreeMap<String, Value> = BTreeMap::new();
        for object in &given.others {
            let mut object = object.clone();
            // A volume is bound to the claim of this UID.
            if let Some(claim) = object.pointer_mut("/spec/claimRef") {
                let uid = claims.get(claim["name"].as_str().unwrap_or_default()).cloned().unwrap_or_default();
                claim["uid"] = uid;
            }
            let mut created = match post(&self.client, &object).await? {
                Ok(created) => created,
                Err(refusal) => return Ok(Outcome::Refused(refusal.to_string())),
            };
            if created["kind"] == "PersistentVolumeClaim" {
                let name = created["metadata"]["name"].as_str().unwrap_or_default().to_owned();
                claims.insert(name, created["metadata"]["uid"].clone());
            }
            if object.get("status").is_some() {
                created = patch_status(&self.client, &object).await?;
            }
            trim(&mut created);
            case.others.push(created);
        }
        if !given.others.is_empty() {
            // The log does not tell of these objects; pods and nodes, of which it does, come after them.
            tokio::time::sleep(OTHERS).await;
        }
        for (objects, into) in [(&given.nodes, &mut case.nodes), (&given.pods, &mut case.pods)] {
            let created = try_join_all(objects.iter().map(|object| post(&self.client, object))).await?;
            for answer in created {
                match answer {
                    Ok(mut object) => {
                        trim(&mut object);
                        into.push(object);
                    }
                    Err(refusal) => return Ok(Outcome::Refused(refusal.to_string())),
                }
            }
        }
        let (nodes, pods) = (case.nodes.len(), case.pods.len());
        self.wait("the scheduler to see the case", |log| log.nodes.len() == nodes && log.scheduled.len() == pods)
            .await?;
        let started: Vec<&Value> = given.pods.iter().filter(|pod| pod.pointer("/status/startTime").is_some()).collect();
        for pod in &started {
            let mut changed = patch_status(&self.client, pod).await?;
            trim(&mut changed);
            if let Some(known) = case.pods.iter_mut().find(|p| p["metadata"]["name"] == changed["metadata"]["name"]) {
                *known = changed;
            }
        }
        self.wait("the scheduler to see that pods have started", |log| log.updated.len() >= started.len()).await?;
        for pod in &given.pending {
            let mut created = match post(&self.client, pod).await? {
                Ok(created) => created,
                Err(refusal) => return Ok(Outcome::Refused(refusal.to_string())),
            };
            let text = |pointer| created.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
            let key = format!("{}/{}", text("/metadata/namespace"), text("/metadata/name"));
            self.wait("a decision", |log| log.verdicts.contains_key(&key)).await?;
            let verdict = self.log.verdicts.remove(&key);
            let scores = self.log.scores.remove(&key).unwrap_or_default();
            let (mut nominated, mut victims) = (None, Vec::new());
            if let Some(node) = self.log.nominated.remove(&key) {
                self.wait("the end of a preemption", |log| log.preempted.contains(&key)).await?;
                victims.extend(self.log.victims.remove(&key).unwrap_or_default());
                self.wait("the scheduler to see its victims end", |log| {
                    victims.iter().all(|v| log.updated.contains(v))
                })
                .await?;
                // Two changes of each: the condition, and the time of its end.
                tokio::time::sleep(OTHERS).await;
                nominated = Some(node);
            }
            trim(&mut created);
            case.decisions.push(Decision { nominated, victims, ..decision(created, verdict, scores)? });
        }
        Ok(Outcome::Decided(case))
    }

    /// Deletes all nodes and pods and waits until the scheduler knows.
    async fn clean(&mut self, others: bool) -> anyhow::Result<()> {
        let pods = world::NAMESPACES.iter().map(|n| format!("/api/v1/namespaces/{n}/pods?gracePeriodSeconds=0"));
        let others = OTHER_PATHS.iter().filter(|_| others).map(|path| (*path).to_owned());
        let all = pods.chain(["/api/v1/nodes".to_owned()]).chain(others).map(|path| {
            let client = self.client.clone();
            async move {
                client.request_text(http::Request::delete(path).body(Vec::new())?).await.map_err(anyhow::Error::new)
            }
        });
        try_join_all(all).await?;
        self.wait("the scheduler to see the end of the case", |log| {
            log.nodes.is_empty() && log.scheduled.is_empty() && log.unscheduled.is_empty()
        })
        .await?;
        self.log.verdicts.clear();
        self.log.updated.clear();
        self.log.nominated.clear();
        self.log.victims.clear();
        self.log.preempted.clear();
        self.log.scores.clear();
        Ok(())
    }

    async fn wait(&mut self, what: &str, done: impl Fn(&Log) -> bool) -> anyhow::Result<()> {
        let start = Instant::now();
        loop {
            self.log.read()?;
            if done(&self.log) {
                return Ok(());
            }
            if start.elapsed() > PATIENCE {
                self.process.expect_running(what)?;
                self.keep();
                bail!("waited {} s in vain for {what}: {:?}", PATIENCE.as_secs(), self.log);
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// With stock it scores 0 on every node unless the pod has claims. Ours turns such pods away and scores nothing, so that
/// its zeros are not recorded; any other score of it is kept, and makes the recording or the replay fail.
const DYNAMIC_RESOURCES: &str = "DynamicResources";

fn decision(pod: Value, verdict: Option<Verdict>, mut scores: Vec<(String, String, i64)>) -> anyhow::Result<Decision> {
    scores.retain(|(plugin, _, score)| plugin != DYNAMIC_RESOURCES || *score != 0);
    let mut plugins: Vec<String> = Vec::new();
    for (plugin, _, _) in &scores {
        if !plugins.contains(plugin) {
            plugins.push(plugin.clone());
        }
    }
    let mut rows: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for (_, node, score) in &scores {
        rows.entry(node.clone()).or_default().push(*score);
    }
    if let Some((node, _)) = rows.iter().find(|(_, row)| row.len() != plugins.len()) {
        bail!("the log has not one score of each plugin for node {node}: {scores:?}");
    }
    let (node, message) = match verdict {
        Some(Verdict::Bound(node)) => (Some(node), String::new()),
        Some(Verdict::Failed(message)) => (None, message),
        None => bail!("no verdict"),
    };
    Ok(Decision { pod, node, message, nominated: None, victims: Vec::new(), plugins, scores: rows })
}
