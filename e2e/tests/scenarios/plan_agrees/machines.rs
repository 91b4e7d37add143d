//! A machine that comes: what `plan --add` says of a running cluster is what happens when a node joins. Those that go are in
//! [`super::drains`].
//!
//! Sizes are those of [`super::several`], and say everything as they do there: each is a half of the one before, so how many
//! pods fit depends on how many larger ones there are and not on where they went. Names are in the same order, so that a
//! plan, which thinks of the largest first and then goes by name, goes by name.
//!
//! - A StatefulSet has one pod on each node, smaller ones fit, and of the smallest pods there are too many: some for every
//!   node, some for one alone. A machine joins: as many of the first find a place as were planned, and none of the others.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
    time::Duration,
};

use headroom_api::NodeHeadroom;
use headroom_e2e::{ControlPlane, Identity, eventually};
use headroom_hollow::Hollow;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt, api::ListParams};
use serde_json::{Value, json};

use super::{
    MEASURING, Random, TERM, create_workload, headroom,
    several::{HOST, Unit, own, workload},
};
use crate::common::{
    LONG, STOCK_LEASE, create, delete, measured, pod, pods, start_controllers, start_scheduler, waiting,
};

/// A round each.
const SEEDS: [u64; 2] = [1, 2];
/// Who makes pods of StatefulSets.
pub(super) const STOCK: &str = "statefulset-controller,garbage-collector-controller,serviceaccount-controller";
/// How many requests it may send a second is no matter here.
pub(super) const QUICK: [&str; 2] = ["--kube-api-qps=200", "--kube-api-burst=300"];
/// A process that has just begun reads all kubelets at once. One that did not answer in time, since the machine stood still, is
/// read again after the long interval: another process is faster, and so often it is tried.
const AT_ONCE: Duration = Duration::from_secs(60);
const MEASURED: usize = 3;
/// Nodes that are there at first.
const OLD: u64 = 3;
/// The node that joins, and what the plan calls it.
const JOINED: &str = "m-1";
const PLANNED: &str = "new-1";
/// Workloads with the units that a pod takes, and how many there are: together 30 units that find a place on any three
/// such nodes, and more of the smallest than fit, also on one node more.
const WORKLOADS: [(&str, u64, usize); 6] =
    [("a-each", 4, 3), ("b-four", 4, 2), ("c-two", 2, 3), ("d-one", 1, 4), (PICKY, 1, 24), (FILL, 1, 60)];
/// The smallest that go to one node alone, and those that go to any.
const PICKY: &str = "e-picky";
const FILL: &str = "f-fill";

/// Pods by name, with their node; those without one wait.
pub(super) type Fates = BTreeMap<String, Option<String>>;

/// Nodes for [`Hollow`], and the most that the system takes on any of them.
fn nodes(random: &mut Random) -> (String, &'static str) {
    let (mut classes, mut most) = (Vec::new(), "100Mi");
    for number in 0..OLD {
        let memory = random.one_of(&["1Gi", "1280Mi"]);
        let system = random.one_of(&["100Mi", "200Mi"]);
        if system == "200Mi" {
            most = system;
        }
        let label = if number == 0 { ":label=tier=a" } else { "" };
        classes.push(format!("n{number}=1:{memory}:swap=none:cpu=1500m:system={system}{label}"));
    }
    (classes.join(","), most)
}

/// Simulated nodes, beside those of other numbers.
pub(super) async fn simulated(cluster: &ControlPlane, nodes: &str, number: u8) -> Hollow {
    let mut config = cluster.hollow_config(nodes).unwrap();
    config.remove_not_ready_taint = true;
    config.address_base = Ipv4Addr::new(127, cluster.loopback_octet(), number, 0);
    config.first_pod_range = usize::from(number) * 64;
    cluster.start_hollow(config).await.unwrap()
}

/// When each node was sampled last.
async fn sampled(cluster: &ControlPlane) -> Result<BTreeMap<String, Option<String>>, String> {
    let headrooms: Api<NodeHeadroom> = Api::all(cluster.admin_client());
    let all = headrooms.list(&ListParams::default()).await.map_err(|error| error.to_string())?.items;
    Ok(all.into_iter().map(|node| (node.name_any(), node.status.and_then(|status| status.observed_at))).collect())
}

/// Measures all nodes once, so that no sample ages before the round is over.
pub(super) async fn measure(cluster: &ControlPlane, hollows: &[&Hollow], count: usize) {
    let authorities = cluster.dir().join("kubelets-ca.crt");
    let all: Vec<&str> = hollows.iter().map(|hollow| hollow.ca_pem()).collect();
    std::fs::write(&authorities, all.join("\n")).unwrap();
    let trust = format!("--kubelet-certificate-authority={}", authorities.display());
    measure_once(cluster, &trust, count).await;
}

/// The same with a flag that says whom to trust.
pub(super) async fn measure_once(cluster: &ControlPlane, trust: &str, count: usize) {
    let before = sampled(cluster).await.unwrap();
    let all_are_new = async || {
        let now = sampled(cluster).await?;
        let is_new = now.iter().all(|(node, at)| at.is_some() && before.get(node) != Some(at));
        if now.len() == count && is_new { Ok(()) } else { Err(format!("{now:?}")) }
    };
    for attempt in 1..=MEASURED {
        let measuring = start_controllers(cluster, &[&MEASURING[..], &[trust]].concat()).await;
        let done = eventually(AT_ONCE, "new samples of all nodes", all_are_new).await;
        assert!(measuring.terminate(TERM).await.unwrap().success(), "{}", measuring.log_tail());
        match done {
            Ok(()) => break,
            Err(error) => assert!(attempt < MEASURED, "{error}"),
        }
    }
    measured(cluster, count).await;
}

/// What `plan` says with these flags of the cluster as it is.
pub(super) async fn asked(cluster: &ControlPlane, flags: &[&str]) -> Value {
    let kubeconfig = cluster.kubeconfig(&Identity::Admin).unwrap();
    let live = ["plan", "-o", "json", "--kubeconfig", kubeconfig.to_str().unwrap()];
    let (code, text) = headroom(&[&live[..], flags].concat()).await;
    let plan: Value = serde_json::from_str(&text).unwrap();
    let fits = pending(&plan).is_empty();
    assert_eq!((code == 0, plan["fits"].as_bool()), (fits, Some(fits)), "{flags:?}: {plan}");
    plan
}

/// The pods that would wait, by name.
pub(super) fn pending(plan: &Value) -> BTreeSet<String> {
    let pods = plan["pending"].as_array().unwrap().iter();
    pods.map(|pod| pod["name"].as_str().unwrap().to_owned()).collect()
}

/// Where pods would go, by name.
pub(super) fn placements(plan: &Value) -> BTreeMap<String, String> {
    let pods = plan["placements"].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    pods.iter().map(|pod| (text(&pod["name"]), text(&pod["to"]))).collect()
}

/// What became of a pod, once there is a decision about it.
fn fate(pod: &Pod) -> Option<Option<String>> {
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone());
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    let waits = conditions.is_some_and(|all| all.iter().any(|c| c.type_ == "PodScheduled" && c.status == "False"));
    (node.is_some() || waits).then_some(node)
}

/// What became of all pods, once there are so many and a decision about each.
pub(super) async fn fates(cluster: &ControlPlane, count: usize) -> Fates {
    let pods = pods(cluster, "default");
    eventually(LONG, &format!("{count} pods and a decision about each"), || async {
        let all = pods.list(&ListParams::default()).await.map_err(|error| error.to_string())?.items;
        let decided: Fates = all.iter().filter_map(|pod| Some((pod.name_any(), fate(pod)?))).collect();
        if (all.len(), decided.len()) == (count, count) {
            Ok(decided)
        } else {
            Err(format!("{} of {} are decided", decided.len(), all.len()))
        }
    })
    .await
    .unwrap()
}

/// The pods that wait, by name.
pub(super) fn waits(fates: &Fates) -> BTreeSet<String> {
    fates.iter().filter(|(_, node)| node.is_none()).map(|(name, _)| name.clone()).collect()
}

pub(super) fn workload_of(pod: &str) -> &str {
    pod.rsplit_once('-').unwrap().0
}

/// How many pods there are of each workload.
pub(super) fn by_workload(names: &BTreeSet<String>) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for name in names {
        *counts.entry(workload_of(name)).or_default() += 1;
    }
    counts
}

/// Creates the workloads, one after another; how many pods there are, and what became of them.
async fn filled(cluster: &ControlPlane, unit: Unit) -> (usize, Fates) {
    let (mut count, mut all) = (0, Fates::new());
    for (name, size, replicas) in WORKLOADS {
        let rule = match name {
            "a-each" => json!({"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
                {"topologyKey": HOST, "labelSelector": own(name)}]}}}),
            PICKY => json!({"nodeSelector": {"tier": "a"}}),
            _ => json!({}),
        };
        create_workload(cluster, &workload("StatefulSet", name, replicas as u64, unit.times(size), rule)).await;
        count += replicas;
        all = fates(cluster, count).await;
    }
    let waiting = waits(&all);
    let kinds: Vec<&str> = by_workload(&waiting).into_keys().collect();
    assert_eq!(kinds, [PICKY, FILL], "only the smallest wait: {all:?}");
    (count, all)
}

/// A catalogue of the one machine that can be had.
const CATALOGUE: &str = "
apiVersion: headroom.dev/v1alpha1
kind: MachineCatalog
name: one
provider: the harness
date: '2026-11-29'
source: what is simulated
currency: USD
swap: false
usableMemory: 1.0
machines:
- {name: m, cpu: '1', memory: 768Mi, price: 5}
";

/// Asks what one machine more would change, lets it join, and looks. `system` is what its system takes.
async fn joins(cluster: &ControlPlane, old: &Hollow, unit: Unit, system: &str, before: (usize, Fates)) -> Hollow {
    let (count, before) = before;
    let catalogue = cluster.dir().join("one.yaml");
    std::fs::write(&catalogue, CATALOGUE).unwrap();
    let plan = asked(cluster, &["--add", "m=1", "--catalog", catalogue.to_str().unwrap()]).await;
    let (expected, placed) = (pending(&plan), placements(&plan));
    let new = plan["nodes"].as_array().unwrap().iter().find(|node| node["name"] == PLANNED).unwrap();
    assert_eq!((&new["exists"], &new["overheadMeasured"]), (&json!(false), &json!(true)), "{new}");
    // Nothing that was a choice: who waits is for that node alone, or one of too many.
    assert!(!placed.is_empty() && placed.iter().all(|(pod, to)| workload_of(pod) == FILL && to == PLANNED), "{plan}");
    assert_eq!(placed.len() + expected.len(), waits(&before).len(), "{plan}");
    let expected = by_workload(&expected);
    assert!(expected[FILL] > 0 && expected[PICKY] > 0, "{plan}");

    let joined = simulated(cluster, &format!("m=1:768Mi:swap=none:cpu=1:system={system}"), 1).await;
    measure(cluster, &[old, &joined], OLD as usize + 1).await;
    let after = eventually(LONG, "as many pods to wait as were planned", || async {
        let after = fates(cluster, count).await;
        let waiting = waits(&after);
        let now = by_workload(&waiting);
        if now == expected { Ok(after.clone()) } else { Err(format!("{now:?}, not {expected:?}")) }
    })
    .await
    .unwrap();
    // Nor is there room for one more.
    let container = json!({"name": "c", "image": "registry.example/app", "resources": unit.times(1)});
    create(&pods(cluster, "default"), &pod("probe", json!({"containers": [container]}))).await;
    waiting(&pods(cluster, "default"), "probe", "nodes are available").await;
    delete(&pods(cluster, "default"), "probe").await;
    let here = after.values().filter(|node| node.as_deref() == Some(JOINED)).count();
    assert_eq!(here, placed.len(), "{after:?}: {plan}");
    joined
}

/// One round.
async fn round(seed: u64) {
    let mut random = Random(seed);
    let unit =
        Unit { mib: [48, 64][random.between(0, 1) as usize], milli_cpu: [75, 100][random.between(0, 1) as usize] };
    let cluster = crate::common::control_plane_with_crds().await;
    let stock = cluster.start_stock_kcm(STOCK, &QUICK).unwrap();
    cluster.wait_healthy(&stock, "/healthz", LONG).await.unwrap();
    let (spec, system) = nodes(&mut random);
    let old = simulated(&cluster, &spec, 0).await;
    let scheduler = start_scheduler(&cluster, STOCK_LEASE, &["--mode=primary"]).await;
    measure(&cluster, &[&old], OLD as usize).await;
    let full = filled(&cluster, unit).await;
    let joined = joins(&cluster, &old, unit, system, full).await;

    eprintln!("seed {seed}: as planned with {JOINED}; nodes {spec}, {unit:?}");
    stock.expect_running("the round").unwrap();
    scheduler.expect_running("the round").unwrap();
    old.stop().await;
    joined.stop().await;
}

#[tokio::test]
async fn a_machine_that_joins_leaves_the_pods_waiting_that_were_planned() {
    for seed in SEEDS {
        round(seed).await;
    }
}
