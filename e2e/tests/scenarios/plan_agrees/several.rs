//! Several workloads in one file: Deployments and StatefulSets of different sizes, some with rules of where their pods go.
//! The file is planned once, then its workloads are created in its order.
//!
//! Where a pod goes among nodes that are equally good is told by its UID, which no plan can know, and decides what those
//! find that come after it. So a file is made of two parts of which something is known whatever was chosen:
//!
//! - First workloads that are bounded by a rule of their own, with more replicas than it lets in: one on each node, spread
//!   evenly, beside another pod. Where pods wait, nothing was a choice: each node has as many as it takes, or as the rule
//!   lets it have. Of these the nodes are compared, and what they leave is the same for the plan and for the scheduler.
//! - Then workloads without such rules, the largest pods first, each size a half of the one before, in memory and in CPU.
//!   A place for a pod is two places for pods of half its size, on whichever node it is: how many smaller pods fit
//!   depends on how many larger ones there are, not on where they went. Of these the numbers are compared. What they
//!   prefer (spreading, affinity) changes where they go and not whether. All may go to the same nodes, or to one of two
//!   pools that share none.
//!
//! Sizes say everything, since pods are Guaranteed and nodes have no swap: what a pod takes is what it declares, on every
//! node and at any time, and so it is with those that run before.

use headroom_e2e::ControlPlane;
use serde_json::{Value, json};

use super::{Random, all_run, done, machines, name_of, planned};
use crate::common::{LONG, STOCK_LEASE, bound, create, decided, merge, pod, pods, start_scheduler};

/// A round each; with these both second rules come up, both orders, and pools as well as none.
const SEEDS: [u64; 3] = [1, 2, 3];
/// Who makes pods of Deployments and StatefulSets.
const STOCK: &str = "deployment-controller,replicaset-controller,statefulset-controller,garbage-collector-controller,\
                     serviceaccount-controller";
/// Pods that are there already.
const BASE: usize = 2;
/// More than fit on all nodes together, however small a unit is: 24 of the largest on four nodes, 13 of the next on one.
const TOO_MANY: u64 = 30;
pub(super) const HOST: &str = "kubernetes.io/hostname";

/// What the smallest pods take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unit {
    pub(super) mib: u64,
    pub(super) milli_cpu: u64,
}

impl Unit {
    /// The resources of a pod that takes so many.
    pub(super) fn times(self, size: u64) -> Value {
        let both = json!({"memory": format!("{}Mi", self.mib * size), "cpu": format!("{}m", self.milli_cpu * size)});
        json!({"requests": both, "limits": both})
    }
}

/// Nodes for [`crate::common::hollow`], and how many.
fn nodes(random: &mut Random) -> (String, usize) {
    let count = random.between(3, 4);
    let mut classes = Vec::new();
    for number in 0..count {
        let memory = random.one_of(&["768Mi", "1Gi", "1536Mi"]);
        let cpu = random.one_of(&["1", "2"]);
        let system = random.one_of(&["100Mi", "200Mi"]);
        // Each pool has a node at least.
        let tier = if number % 2 == 0 { "a" } else { "b" };
        classes.push(format!("n{number}=1:{memory}:swap=none:cpu={cpu}:system={system}:label=tier={tier}"));
    }
    (classes.join(","), classes.len())
}

/// Pods that run before anything is planned, within what they declare.
async fn base(cluster: &ControlPlane, unit: Unit) {
    let pods = pods(cluster, "default");
    for number in 0..BASE {
        let name = format!("base-{number}");
        let container = json!({"name": "c", "image": "registry.example/app", "resources": unit.times(1)});
        let mut pod = pod(&name, json!({"containers": [container]}));
        pod.metadata.annotations = Some([("hollow.headroom.dev/memory".to_owned(), "20Mi".to_owned())].into());
        pod.metadata.labels = Some([("app".to_owned(), name.clone())].into());
        create(&pods, &pod).await;
        bound(&pods, &name).await;
    }
    all_run(cluster, BASE).await;
}

/// A Deployment or a StatefulSet; `over` is put on top of the spec of its pods.
pub(super) fn workload(kind: &str, name: &str, replicas: u64, resources: Value, over: Value) -> Value {
    let mut spec = json!({
        "terminationGracePeriodSeconds": 0,
        "containers": [{"name": "c", "image": "registry.example/app", "resources": resources}],
    });
    merge(&mut spec, over);
    let mut whole = json!({
        "apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name, "namespace": "default"},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}},
                 "template": {"metadata": {"labels": {"app": name}}, "spec": spec}},
    });
    if kind == "StatefulSet" {
        // All at once: a pod that waits would hold back those behind it.
        merge(&mut whole["spec"], json!({"serviceName": name, "podManagementPolicy": "Parallel"}));
    }
    whole
}

pub(super) fn own(name: &str) -> Value {
    json!({"matchLabels": {"app": name}})
}

/// Workloads that a rule bounds, with more replicas than it lets in.
fn bounded(random: &mut Random, unit: Unit, nodes: usize) -> Vec<Value> {
    let apart = json!({"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"topologyKey": HOST, "labelSelector": own("each")}]}}});
    let each = workload("StatefulSet", "each", nodes as u64 + 2, unit.times(random.between(1, 2)), apart);
    let other = if random.percent(50) {
        let even = json!({"topologySpreadConstraints": [{"maxSkew": random.between(1, 2), "topologyKey": HOST,
            "whenUnsatisfiable": "DoNotSchedule", "labelSelector": own("even")}]});
        workload("Deployment", "even", TOO_MANY, unit.times(4), even)
    } else {
        let beside = json!({"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
            {"topologyKey": HOST, "labelSelector": own("base-0")}]}}});
        workload("Deployment", "beside", TOO_MANY, unit.times(2), beside)
    };
    if random.percent(50) { vec![each, other] } else { vec![other, each] }
}

/// What pods of a workload would rather have.
fn preference(name: &str, random: &mut Random) -> Value {
    match random.between(0, 3) {
        0 => json!({"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": HOST,
            "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": own(name)}]}),
        1 => json!({"affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
            {"weight": 50, "podAffinityTerm": {"topologyKey": HOST, "labelSelector": own(name)}}]}}}),
        2 => json!({"affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
            {"weight": 100, "preference": {"matchExpressions": [
                {"key": "tier", "operator": "In", "values": ["b"]}]}}]}}}),
        _ => json!({}),
    }
}

/// Workloads of pods that get smaller by halves; of the last there are more than can have a place.
fn by_size(random: &mut Random, unit: Unit) -> Vec<Value> {
    let pools = random.percent(50);
    let sizes = [4, 4, 2, 2, 1, 1];
    let mut all = Vec::new();
    for (number, size) in sizes.into_iter().enumerate() {
        let name = format!("s{number}");
        let kind = random.one_of(&["Deployment", "StatefulSet"]);
        // A unit is at least 48 MiB: no four of these nodes hold 120 of them.
        let replicas = if number + 1 == sizes.len() { 120 } else { random.between(1, 8 / size + 1) };
        let mut over = preference(&name, random);
        if pools {
            merge(&mut over, json!({"nodeSelector": {"tier": random.one_of(&["a", "b"])}}));
        }
        all.push(workload(kind, &name, replicas, unit.times(size), over));
    }
    all
}

/// One round; how many pods were placed, and how many wait.
async fn round(seed: u64) -> (usize, usize) {
    let mut random = Random(seed);
    let unit = Unit { mib: random.between(3, 5) * 16, milli_cpu: random.between(3, 5) * 25 };
    let cluster = crate::common::control_plane_with_crds().await;
    let stock = cluster.start_stock_kcm(STOCK, &[]).unwrap();
    cluster.wait_healthy(&stock, "/healthz", LONG).await.unwrap();
    let (spec, count) = nodes(&mut random);
    let hollow = crate::common::hollow(&cluster, &spec).await;
    let trust = cluster.trust_kubelets(&hollow).unwrap();
    let scheduler = start_scheduler(&cluster, STOCK_LEASE, &["--mode=primary"]).await;
    base(&cluster, unit).await;
    machines::measure_once(&cluster, &trust, count).await;

    let bounded = bounded(&mut random, unit, count);
    let workloads = [bounded.clone(), by_size(&mut random, unit)].concat();
    let dir = tempfile::tempdir().unwrap();
    let plan = planned(&cluster, dir.path(), "several", &workloads).await;
    let mut so_far = (decided(&pods(&cluster, "default"), BASE).await.0, BASE);
    let (mut placed, mut waiting) = (0, 0);
    for (number, workload) in workloads.iter().enumerate() {
        let expected = &plan[name_of(workload)];
        let fate = done(&cluster, workload, &mut so_far).await;
        let what = format!("seed {seed}, nodes {spec}, {unit:?}, all planned {plan:?}: {workload}");
        if number < bounded.len() {
            assert!(expected.waiting > 0, "none waits: where they go is a choice: {what}");
            assert_eq!(&fate, expected, "{what}");
        } else {
            let numbers = (fate.placed(), fate.waiting);
            assert_eq!(numbers, (expected.placed(), expected.waiting), "{fate:?}: {what}");
        }
        placed += fate.placed();
        waiting += fate.waiting;
    }
    eprintln!("seed {seed}: {placed} pods of {} workloads placed, {waiting} wait, as planned", workloads.len());
    stock.expect_running("the round").unwrap();
    scheduler.expect_running("the round").unwrap();
    hollow.stop().await;
    (placed, waiting)
}

#[tokio::test]
async fn as_many_pods_of_each_workload_of_a_file_are_placed_as_its_plan_says() {
    for seed in SEEDS {
        let (placed, waiting) = round(seed).await;
        assert!(placed > 0 && waiting > 0, "seed {seed}: {placed} placed, {waiting} wait");
    }
}
