//! What `kubectl headroom plan -f` says of a saved cluster is what the scheduler then does, on a real API server: random
//! nodes with random pods on them, and random ReplicationControllers, one after another. Each is planned with the cluster
//! saved right before, then created; as many of its pods must wait as the plan said.
//!
//! One at a time, since nodes that are equally good are told apart by the UIDs of pods, which no plan can know: where the
//! pods of one workload went decides what the next one finds. Within one workload it decides nothing. Its pods are all
//! alike, and no rule that it may have here asks where the others went, but for spreading, which ends in the same state
//! whatever the order: each node has as many as it takes, or the skew more than the node that takes the fewest. So where
//! any pod waits, every node must have exactly as many as planned.
//!
//! Several workloads in one file are [`several`], machines that join [`machines`], those that are drained and made anew of
//! another size [`drains`], and the cheapest set of machines [`fleet`].
//!
//! The nodes are measured once, so that plan and scheduler go by the same samples.

#![allow(clippy::print_stderr, reason = "how many pods there were belongs into the log")]

mod drains;
mod fleet;
mod machines;
mod several;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::common::{LONG, STOCK_LEASE, bound, create, decided, object, pod, pods, start_controllers, start_scheduler};
use headroom_e2e::{ControlPlane, Identity, eventually, our_binary};
use k8s_openapi::api::{
    apps::v1::{Deployment, StatefulSet},
    core::v1::{Pod, ReplicationController},
};
use kube::{
    Api,
    api::{ListParams, PostParams},
};
use serde_json::{Value, json};
use tokio::{process::Command, time::timeout};

/// A round each.
const SEEDS: [u64; 4] = [1, 2, 3, 4];
/// Random workloads of a round; one that cannot fit comes on top.
const WORKLOADS: u64 = 7;
/// Pods that are there already.
const BASE: usize = 4;
/// So a sample is fresh, and then no rule asks how old it is, for half an hour; a round takes a minute or two.
const MEASURING: [&str; 2] = ["--controllers=node-headroom-controller", "--node-headroom-interval=10m"];
const REPLICATING: [&str; 1] = ["--controllers=replicationcontroller-controller"];
/// In which a process has to end.
const TERM: Duration = Duration::from_secs(120);

/// Numbers from a seed (SplitMix64).
struct Random(u64);

impl Random {
    fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// From `least` to `most`.
    fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.number() % (most - least + 1)
    }

    fn one_of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.between(0, choices.len() as u64 - 1) as usize]
    }

    fn percent(&mut self, of_hundred: u64) -> bool {
        self.between(1, 100) <= of_hundred
    }
}

/// Nodes for [`crate::common::hollow`], and how many.
fn nodes(random: &mut Random) -> (String, usize) {
    let count = random.between(3, 5);
    let mut classes = Vec::new();
    for number in 0..count {
        let memory = random.one_of(&["768Mi", "1Gi", "1536Mi", "2Gi", "3Gi"]);
        let swap = random.one_of(&["none", "none", "1Gi", "2Gi"]);
        let cpu = random.one_of(&["500m", "1", "2"]);
        let system = random.one_of(&["100Mi", "200Mi", "350Mi"]);
        let most = random.between(10, 30);
        let tier = random.one_of(&["a", "b"]);
        let mut class =
            format!("n{number}=1:{memory}:swap={swap}:cpu={cpu}:system={system}:pods={most}:label=tier={tier}");
        if random.percent(25) {
            class.push_str(":evict=100Mi");
        }
        // The first takes pods of all kinds, or there may be nothing for those that are there before.
        if number > 0 && random.percent(25) {
            class.push_str(":taint=dedicated=db@NoSchedule");
        }
        if number > 0 && random.percent(25) {
            class.push_str(":label=node-role.kubernetes.io/control-plane=");
        }
        classes.push(class);
    }
    (classes.join(","), classes.len())
}

/// What a container asks for, of every class of pods.
fn resources(random: &mut Random) -> Value {
    let memory = format!("{}Mi", random.between(1, 24) * 16);
    let cpu = format!("{}m", random.between(1, 12) * 25);
    match random.between(0, 5) {
        0 => json!({}),
        1 => json!({"requests": {"memory": memory, "cpu": cpu}, "limits": {"memory": memory, "cpu": cpu}}),
        // The API server makes requests of these.
        2 => json!({"limits": {"memory": memory}}),
        3 => json!({"requests": {"cpu": cpu}}),
        _ => json!({"requests": {"memory": memory, "cpu": cpu}}),
    }
}

/// Where the pods of a workload may go. Nothing here depends on which nodes its other pods are on, but for spreading.
fn rules(name: &str, random: &mut Random) -> Value {
    let own = json!({"matchLabels": {"app": name}});
    let host = "kubernetes.io/hostname";
    match random.between(0, 6) {
        0 => json!({"topologySpreadConstraints": [{"maxSkew": random.between(1, 2), "topologyKey": host,
            "whenUnsatisfiable": "DoNotSchedule", "labelSelector": own}]}),
        1 => json!({"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
            {"topologyKey": host, "labelSelector": own}]}}}),
        2 => json!({"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
            {"topologyKey": host, "labelSelector": {"matchLabels": {"app": "base-0"}}}]}}}),
        3 => json!({"nodeSelector": {"tier": "a"}}),
        4 => json!({"tolerations": [{"key": "dedicated", "operator": "Equal", "value": "db"}]}),
        _ => json!({}),
    }
}

fn replication_controller(name: &str, replicas: u64, annotations: Value, resources: Value, rules: Value) -> Value {
    let mut spec = json!({
        "terminationGracePeriodSeconds": 0,
        "containers": [{"name": "c", "image": "registry.example/app", "resources": resources}],
    });
    crate::common::merge(&mut spec, rules);
    json!({
        "apiVersion": "v1", "kind": "ReplicationController", "metadata": {"name": name, "namespace": "default"},
        "spec": {"replicas": replicas, "selector": {"app": name},
                 "template": {"metadata": {"labels": {"app": name}, "annotations": annotations}, "spec": spec}},
    })
}

fn workload(name: &str, random: &mut Random) -> Value {
    let replicas = random.between(1, 10);
    let annotations = match random.between(0, 4) {
        0 => json!({"headroom.dev/swap": "never"}),
        1 => json!({"headroom.dev/memory-hint": "200Mi"}),
        _ => json!({}),
    };
    let resources = resources(random);
    let rules = rules(name, random);
    replication_controller(name, replicas, annotations, resources, rules)
}

/// Pods that run before anything is planned, some of them beyond what they ask for.
async fn base(cluster: &ControlPlane, random: &mut Random) {
    let pods = pods(cluster, "default");
    for number in 0..BASE {
        let (name, asks) = (format!("base-{number}"), format!("{}Mi", random.between(1, 6) * 16));
        let container =
            json!({"name": "c", "image": "registry.example/app", "resources": {"requests": {"memory": asks}}});
        let mut pod = pod(&name, json!({"containers": [container]}));
        let uses = format!("{}Mi", random.between(20, 100));
        pod.metadata.annotations = Some([("hollow.headroom.dev/memory".to_owned(), uses)].into());
        pod.metadata.labels = Some([("app".to_owned(), format!("base-{}", number % 2))].into());
        create(&pods, &pod).await;
        bound(&pods, &name).await;
    }
    all_run(cluster, BASE).await;
}

/// Waits until so many pods, all that there are, run.
async fn all_run(cluster: &ControlPlane, count: usize) {
    let pods = pods(cluster, "default");
    let running = |pod: &Pod| pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Running");
    eventually(LONG, "the pods that are there before to run", || async {
        let all = pods.list(&ListParams::default()).await.map_err(|error| error.to_string())?.items;
        let run = all.iter().filter(|pod| running(pod)).count();
        if run == count { Ok(()) } else { Err(format!("{run} run")) }
    })
    .await
    .unwrap();
}

/// Runs `kubectl headroom`; exit status and output.
async fn headroom(arguments: &[&str]) -> (i32, String) {
    let mut command = Command::new(our_binary("kubectl-headroom").unwrap());
    let output = timeout(LONG, command.args(arguments).kill_on_drop(true).output()).await;
    let output = output.expect("it does not end").unwrap();
    let code = output.status.code().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(matches!(code, 0 | 2), "{arguments:?}: {said}");
    (code, String::from_utf8(output.stdout).unwrap())
}

/// Where pods are, and how many wait.
#[derive(Debug, Default, PartialEq, Eq)]
struct Fate {
    on: BTreeMap<String, usize>,
    waiting: usize,
}

impl Fate {
    fn placed(&self) -> usize {
        self.on.values().sum()
    }
}

fn name_of(workload: &Value) -> &str {
    workload["metadata"]["name"].as_str().unwrap()
}

fn replicas_of(workload: &Value) -> usize {
    workload["spec"]["replicas"].as_u64().unwrap() as usize
}

/// What the plan for a file says of each workload in it, by name, on the cluster as it is. `name` is for the files.
async fn planned(cluster: &ControlPlane, dir: &Path, name: &str, workloads: &[Value]) -> BTreeMap<String, Fate> {
    let file = |what: &str| -> PathBuf { dir.join(format!("{name}-{what}")) };
    let (saved, asked) = (file("cluster.json"), file("asked.yaml"));
    let text: Vec<String> = workloads.iter().map(Value::to_string).collect();
    std::fs::write(&asked, text.join("\n---\n")).unwrap();
    let kubeconfig = cluster.kubeconfig(&Identity::Admin).unwrap();
    let (saved, asked) = (saved.to_str().unwrap(), asked.to_str().unwrap());
    headroom(&["snapshot", "-f", saved, "--kubeconfig", kubeconfig.to_str().unwrap()]).await;
    let (code, text) = headroom(&["plan", "--snapshot", saved, "-f", asked, "-o", "json"]).await;
    let plan: Value = serde_json::from_str(&text).unwrap();
    let list = |field: &str| plan[field].as_array().cloned().unwrap_or_default();
    let fits = list("pending").is_empty();
    assert_eq!((code == 0, plan["fits"].as_bool()), (fits, Some(fits)), "{plan}");
    // Pods are called after their workload, and numbered.
    let of = |pod: &Value| pod["name"].as_str().unwrap().rsplit_once('-').unwrap().0.to_owned();
    let mut fates: BTreeMap<String, Fate> = BTreeMap::new();
    for pod in list("pending") {
        fates.entry(of(&pod)).or_default().waiting += 1;
    }
    for pod in list("placements") {
        let to = pod["to"].as_str().unwrap().to_owned();
        *fates.entry(of(&pod)).or_default().on.entry(to).or_default() += 1;
    }
    for workload in workloads {
        let fate = &fates[name_of(workload)];
        assert_eq!(fate.placed() + fate.waiting, replicas_of(workload), "{plan}");
    }
    fates
}

async fn create_workload(cluster: &ControlPlane, workload: &Value) {
    let (client, parameters) = (cluster.admin_client(), PostParams::default());
    let created = match workload["kind"].as_str().unwrap() {
        "Deployment" => {
            let api: Api<Deployment> = Api::namespaced(client, "default");
            api.create(&parameters, &object(workload.clone())).await.map(drop)
        }
        "StatefulSet" => {
            let api: Api<StatefulSet> = Api::namespaced(client, "default");
            api.create(&parameters, &object(workload.clone())).await.map(drop)
        }
        _ => {
            let api: Api<ReplicationController> = Api::namespaced(client, "default");
            api.create(&parameters, &object(workload.clone())).await.map(drop)
        }
    };
    created.unwrap();
}

/// What the scheduler does with it: creates it, and waits for a decision about each pod. `so_far` is how many pods each
/// node has before, and how many there are in all.
async fn done(cluster: &ControlPlane, workload: &Value, so_far: &mut (BTreeMap<String, usize>, usize)) -> Fate {
    create_workload(cluster, workload).await;
    so_far.1 += replicas_of(workload);
    let (on, waits) = decided(&pods(cluster, "default"), so_far.1).await;
    let prefix = format!("{}-", name_of(workload));
    let mut fate = Fate { waiting: waits.keys().filter(|name| name.starts_with(&prefix)).count(), ..Fate::default() };
    for (node, count) in &on {
        let more = count - so_far.0.get(node).copied().unwrap_or(0);
        if more > 0 {
            fate.on.insert(node.clone(), more);
        }
    }
    so_far.0 = on;
    fate
}

/// One round; how many pods were placed, and how many wait.
async fn round(seed: u64) -> (usize, usize) {
    let mut random = Random(seed);
    let cluster = crate::common::control_plane_with_crds().await;
    let (spec, count) = nodes(&mut random);
    let hollow = crate::common::hollow(&cluster, &spec).await;
    let trust = cluster.trust_kubelets(&hollow).unwrap();
    let scheduler = start_scheduler(&cluster, STOCK_LEASE, &["--mode=primary"]).await;
    base(&cluster, &mut random).await;
    machines::measure_once(&cluster, &trust, count).await;
    let controllers = start_controllers(&cluster, &REPLICATING).await;

    let mut workloads: Vec<Value> = (0..WORKLOADS).map(|number| workload(&format!("w{number}"), &mut random)).collect();
    // More than the largest nodes have together.
    let large = json!({"requests": {"memory": "700Mi"}});
    workloads.push(replication_controller("large", 24, json!({}), large, json!({})));
    let dir = tempfile::tempdir().unwrap();
    let mut so_far = (decided(&pods(&cluster, "default"), BASE).await.0, BASE);
    let (mut placed, mut waiting) = (0, 0);
    for workload in &workloads {
        let file = std::slice::from_ref(workload);
        let plan = planned(&cluster, dir.path(), name_of(workload), file).await.remove(name_of(workload)).unwrap();
        let fate = done(&cluster, workload, &mut so_far).await;
        let what = format!("seed {seed}, nodes {spec}: {workload}");
        assert_eq!(fate.waiting, plan.waiting, "{fate:?}, planned {plan:?}: {what}");
        if fate.waiting > 0 {
            assert_eq!(fate, plan, "{what}");
        }
        placed += fate.placed();
        waiting += fate.waiting;
    }
    eprintln!("seed {seed}: {placed} pods placed, {waiting} wait, as planned; nodes {spec}");
    controllers.expect_running("the round").unwrap();
    scheduler.expect_running("the round").unwrap();
    hollow.stop().await;
    (placed, waiting)
}

#[tokio::test]
async fn as_many_pods_wait_as_the_plan_of_a_saved_cluster_says() {
    for seed in SEEDS {
        let (placed, waiting) = round(seed).await;
        // A round in which everything or nothing fits would show little.
        assert!(placed > 0 && waiting > 0, "seed {seed}: {placed} placed, {waiting} wait");
    }
}
