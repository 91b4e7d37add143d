//! Machines that go: what `plan --remove` and `plan --resize` say of a running cluster is what a drain leaves.
//!
//! Who finds the last room depends on which pod is evicted first. Two ways to drain are compared, in both of which that is
//! decided:
//!
//! - One pod after another in the plan's order, each when the scheduler has decided about what took the place of the one
//!   before. Then even the names are the plan's, where they are kept: in StatefulSets.
//! - All at once while no scheduler is there, as when it ran on that node. It finds them in its queue, by priority. Each
//!   workload has a priority of its own, so as many of each wait as planned.
//!
//! Sizes are those of [`super::several`]: each is a half of the one before, and of a lower priority, so how many pods fit
//! depends on how many larger ones there are and not on where they went. So it does when the node comes back as another
//! machine: those that found a place elsewhere meanwhile, where the plan leaves them on it, take the place of others of their
//! size. Where one node is left for all pods, nothing is a choice, and priorities go against sizes.
//!
//! Nodes are measured when they are empty, and pods leave none but the one that is drained: so no sample is wrong, whenever it
//! was taken. Nobody preempts, as planned pods do not.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use headroom_api::NodeHeadroom;
use headroom_e2e::{ControlPlane, Process, eventually};
use headroom_hollow::Hollow;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};

use super::{
    REPLICATING, Random, TERM, create_workload,
    machines::{
        Fates, QUICK, STOCK, asked, by_workload, fates, measure, pending, placements, simulated, waits, workload_of,
    },
    replication_controller,
    several::{Unit, workload},
};
use crate::common::{
    LONG, STOCK_LEASE, asking, both, change_node, code, create, delete, evict, on_node, pod, pods, scheduled_condition,
    start_controllers, start_scheduler,
};

/// A round each, and another machine for the node that is drained at last: one that holds less than is left elsewhere
/// together with it, one that holds more.
const SEEDS: [(u64, &str); 2] = [(1, "less"), (2, "more")];
const SET: &str = "StatefulSet";
const CONTROLLER: &str = "ReplicationController";
/// Workloads with who makes their pods, the units that a pod takes, and how many there are: so many on all nodes together.
/// Of the smallest there are as many as leave [`SPARE`] units.
const WORKLOADS: [(&str, &str, u64, u64); 6] = [
    ("a-four", SET, 4, 2),
    ("b-four", CONTROLLER, 4, 1),
    ("c-two", SET, 2, 2),
    ("d-two", CONTROLLER, 2, 2),
    ("e-one", SET, 1, 0),
    ("f-one", CONTROLLER, 1, 0),
];
/// Units that are left on all nodes together: fewer than any node has.
const SPARE: u64 = 6;

/// What a node may be replaced by.
const CATALOGUE: &str = "
apiVersion: headroom.dev/v1alpha1
kind: MachineCatalog
name: two
provider: the harness
date: '2026-11-29'
source: what is simulated
currency: USD
swap: false
usableMemory: 1.0
machines:
- {name: less, cpu: '1', memory: 512Mi, price: 3}
- {name: more, cpu: '3', memory: 2Gi, price: 9}
";

/// The memory and the CPU of these, for a node of [`Hollow`].
fn size(machine: &str) -> &'static str {
    if machine == "less" { "512Mi:cpu=1" } else { "2Gi:cpu=3" }
}

/// A cluster whose nodes are simulations of their own, each of which may go.
struct Scene {
    hollows: BTreeMap<String, Hollow>,
    cluster: ControlPlane,
    stock: Process,
    scheduler: Process,
    replicating: Process,
    /// The most that the system takes on any node.
    system: &'static str,
    /// Pods in all.
    count: usize,
}

impl Scene {
    /// A cluster with empty nodes that have been measured, and with priorities for the workloads, the highest first.
    async fn new(random: &mut Random, nodes: u8, sizes: &[&'static str], order: &[&str]) -> Self {
        let cluster = crate::common::control_plane_with_crds().await;
        let stock = cluster.start_stock_kcm(STOCK, &QUICK).unwrap();
        cluster.wait_healthy(&stock, "/healthz", LONG).await.unwrap();
        for (above, name) in order.iter().rev().enumerate() {
            let class = json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name},
                               "value": 10 * (above + 1), "preemptionPolicy": "Never"});
            cluster.apply_yaml(name, &class.to_string()).await.unwrap();
        }
        let (mut hollows, mut system) = (BTreeMap::new(), "100Mi");
        for number in 0..nodes {
            let (size, takes) = (random.one_of(sizes), random.one_of(&["100Mi", "200Mi"]));
            if takes == "200Mi" {
                system = takes;
            }
            let class = format!("n{number}=1:{size}:swap=none:system={takes}");
            hollows.insert(format!("n{number}-1"), simulated(&cluster, &class, number).await);
        }
        let all: Vec<&Hollow> = hollows.values().collect();
        measure(&cluster, &all, all.len()).await;
        let scheduler = start_scheduler(&cluster, STOCK_LEASE, &["--mode=primary"]).await;
        let replicating = start_controllers(&cluster, &REPLICATING).await;
        Self { hollows, cluster, stock, scheduler, replicating, system, count: 0 }
    }

    /// Creates the workloads, one after another: all have a place.
    async fn fill(&mut self, unit: Unit) {
        let empty = asked(&self.cluster, &[]).await;
        let sized: u64 = WORKLOADS.iter().map(|(.., size, replicas)| size * replicas).sum();
        let ones = units(&empty, unit) - sized - SPARE;
        for (name, kind, size, replicas) in WORKLOADS {
            let replicas = match name {
                "e-one" => ones / 2,
                "f-one" => ones - ones / 2,
                _ => replicas,
            };
            let (resources, class) = (unit.times(size), json!({"priorityClassName": name}));
            let object = match kind {
                SET => workload(kind, name, replicas, resources, class),
                _ => replication_controller(name, replicas, json!({}), resources, class),
            };
            create_workload(&self.cluster, &object).await;
            self.count += replicas as usize;
            let all = fates(&self.cluster, self.count).await;
            assert!(waits(&all).is_empty(), "{name}: {all:?}: {empty}");
        }
    }

    /// A node without which some of its pods would find a place and others would wait, and the plan that says so.
    async fn telling(&self, random: &mut Random) -> (String, Value) {
        let mut nodes: Vec<&String> = self.hollows.keys().collect();
        let first = random.between(0, nodes.len() as u64 - 1);
        nodes.rotate_left(first as usize);
        let mut plans = Vec::new();
        for node in nodes {
            let plan = asked(&self.cluster, &["--remove", node.as_str()]).await;
            if !pending(&plan).is_empty() && !placements(&plan).is_empty() {
                return (node.clone(), plan);
            }
            plans.push(plan);
        }
        panic!("everything or nothing fits without any node: {plans:?}")
    }

    /// The pods of a node in the order in which the plan thinks of them; those and no others are in it.
    async fn homeless(&self, node: &str, plan: &Value) -> Vec<Pod> {
        let here = ListParams::default().fields(&format!("spec.nodeName={node}"));
        let mut here = pods(&self.cluster, "default").list(&here).await.unwrap().items;
        here.sort_by_key(|pod| (Reverse(pod.spec.as_ref().and_then(|spec| spec.priority)), pod.name_any()));
        let names: BTreeSet<String> = here.iter().map(ResourceExt::name_any).collect();
        let mut planned = pending(plan);
        planned.extend(placements(plan).into_keys());
        assert_eq!(names, planned, "{node}: {plan}");
        here
    }

    /// Evicts pods as `kubectl drain` does, and waits until others are in their place.
    async fn evict(&self, gone: &[Pod]) {
        let pods = pods(&self.cluster, "default");
        for pod in gone {
            evict(&self.cluster.admin_client(), pod).await.unwrap();
        }
        eventually(LONG, "others in the place of the evicted pods", || async {
            let all = pods.list(&ListParams::default()).await.map_err(|error| error.to_string())?.items;
            let left = all.iter().filter(|pod| gone.iter().any(|old| old.uid() == pod.uid())).count();
            let seen = (all.len(), left);
            if seen == (self.count, 0) { Ok(()) } else { Err(format!("{} pods, {left} of the evicted", seen.0)) }
        })
        .await
        .unwrap();
    }

    /// Drains a node, one pod after another.
    async fn one_by_one(&self, node: &str, plan: &Value) {
        let gone = self.homeless(node, plan).await;
        cordoned(&self.cluster, node).await;
        for pod in &gone {
            self.evict(std::slice::from_ref(pod)).await;
            fates(&self.cluster, self.count).await;
        }
        let after = fates(&self.cluster, self.count).await;
        agree(&after, plan, Some(node));
        let kept = |names: BTreeSet<String>| names.into_iter().filter(|name| keeps_names(name)).collect::<Vec<_>>();
        assert_eq!(kept(waits(&after)), kept(pending(plan)), "{after:?}; planned {plan}");
    }

    /// Lets pods go to the node again, and waits until none waits: they come from there.
    async fn uncordon(&self, node: &str) {
        change_node(&self.cluster, node, json!({"spec": {"unschedulable": null}})).await;
        eventually(LONG, "every pod to have a place again", || async {
            let waiting = waits(&fates(&self.cluster, self.count).await);
            if waiting.is_empty() { Ok(()) } else { Err(format!("{waiting:?}")) }
        })
        .await
        .unwrap();
    }

    /// Ends the scheduler.
    async fn without_scheduler(&self) {
        let ended = self.scheduler.terminate(TERM).await.unwrap();
        assert!(ended.success(), "{}", self.scheduler.log_tail());
    }

    /// Drains a node while no scheduler is there, and starts one.
    async fn at_once(&mut self, node: &str, plan: &Value) {
        self.without_scheduler().await;
        change_node(&self.cluster, node, json!({"spec": {"unschedulable": true}})).await;
        self.evict(&self.homeless(node, plan).await).await;
        self.scheduler = start_scheduler(&self.cluster, STOCK_LEASE, &["--mode=primary"]).await;
        agree(&fates(&self.cluster, self.count).await, plan, Some(node));
    }

    /// Has the node, which is empty, come back as another machine, while no scheduler is there, and starts one.
    async fn comes_back(&mut self, node: &str, machine: &str, plan: &Value) {
        self.without_scheduler().await;
        // The measuring controllers need their lease, and no pod is created any more.
        let ended = self.replicating.terminate(TERM).await.unwrap();
        assert!(ended.success(), "{}", self.replicating.log_tail());
        self.hollows.remove(node).unwrap().stop().await;
        let nodes: Api<Node> = Api::all(self.cluster.admin_client());
        nodes.delete(node, &DeleteParams::default()).await.unwrap();
        // The garbage collector may have been faster.
        let headrooms: Api<NodeHeadroom> = Api::all(self.cluster.admin_client());
        let gone = headrooms.delete(node, &DeleteParams::default()).await;
        assert!(matches!(code(&gone), 200 | 404), "{gone:?}");

        let name = node.strip_suffix("-1").unwrap();
        let class = format!("{name}=1:{}:swap=none:system={}", size(machine), self.system);
        // On addresses that none of the others has.
        let number = self.hollows.len() as u8 + 1;
        self.hollows.insert(node.to_owned(), simulated(&self.cluster, &class, number).await);
        let all: Vec<&Hollow> = self.hollows.values().collect();
        measure(&self.cluster, &all, all.len()).await;
        self.forget().await;
        self.scheduler = start_scheduler(&self.cluster, STOCK_LEASE, &["--mode=primary"]).await;
        agree(&fates(&self.cluster, self.count).await, plan, None);
    }

    /// Takes away what was said of the pods that wait, so that what is said afterwards is new.
    async fn forget(&self) {
        let pods = pods(&self.cluster, "default");
        let nothing = Patch::Merge(json!({"status": {"conditions": []}}));
        for name in waits(&fates(&self.cluster, self.count).await) {
            pods.patch_status(&name, &PatchParams::default(), &nothing).await.unwrap();
        }
    }

    async fn end(self) {
        self.stock.expect_running("the round").unwrap();
        self.scheduler.expect_running("the round").unwrap();
        for hollow in self.hollows.into_values() {
            hollow.stop().await;
        }
    }
}

/// How many units find a place on these nodes, on which there is nothing yet.
fn units(plan: &Value, unit: Unit) -> u64 {
    let of = |node: &Value| {
        let amount = |field: &str| node[field].as_u64().unwrap();
        (amount("headroomBytes") / (unit.mib << 20)).min(amount("allocatableMilliCpu") / unit.milli_cpu)
    };
    plan["nodes"].as_array().unwrap().iter().map(of).sum()
}

/// Whether what takes the place of this pod has its name.
fn keeps_names(pod: &str) -> bool {
    WORKLOADS.iter().any(|(name, kind, ..)| *name == workload_of(pod) && *kind == SET)
}

/// Fails unless as many pods of each workload wait as planned, and none is on the node that is gone.
fn agree(after: &Fates, plan: &Value, gone: Option<&str>) {
    let (waiting, expected) = (waits(after), pending(plan));
    assert_eq!(by_workload(&waiting), by_workload(&expected), "{after:?}; planned {plan}");
    let there = after.values().flatten().any(|node| Some(node.as_str()) == gone);
    assert!(!there, "pods are on {gone:?}: {after:?}");
}

/// Cordons a node, and waits until the scheduler knows: nodes have a watch of their own.
async fn cordoned(cluster: &ControlPlane, node: &str) {
    change_node(cluster, node, json!({"spec": {"unschedulable": true}})).await;
    let pods = pods(cluster, "default");
    let probe = pod("probe", both(asking(json!({"memory": "1Mi", "cpu": "1m"})), on_node(node)));
    eventually(LONG, "the scheduler to know that the node is cordoned", || async {
        create(&pods, &probe).await;
        let told = || async { scheduled_condition(&pods, "probe").await.ok_or("it has said nothing") };
        let said = eventually(LONG, "a decision about the probe", told).await.unwrap();
        delete(&pods, "probe").await;
        let knows = said["message"].as_str().is_some_and(|message| message.contains("were unschedulable"));
        if knows { Ok(()) } else { Err(said.to_string()) }
    })
    .await
    .unwrap();
}

fn unit(random: &mut Random) -> Unit {
    Unit { mib: [48, 64][random.between(0, 1) as usize], milli_cpu: [75, 100][random.between(0, 1) as usize] }
}

/// One round: a node is drained pod by pod, another one at once, and comes back as another machine.
async fn round(seed: u64, machine: &str) {
    let mut random = Random(seed);
    let unit = unit(&mut random);
    let nodes = random.between(3, 4) as u8;
    let sizes = ["1Gi:cpu=1500m", "1Gi:cpu=2", "1280Mi:cpu=1500m", "1280Mi:cpu=2"];
    let mut scene = Scene::new(&mut random, nodes, &sizes, &WORKLOADS.map(|(name, ..)| name)).await;
    scene.fill(unit).await;

    let (first, plan) = scene.telling(&mut random).await;
    scene.one_by_one(&first, &plan).await;
    let drained = pending(&plan).len();
    scene.uncordon(&first).await;

    let (second, without) = scene.telling(&mut random).await;
    let catalogue = scene.cluster.dir().join("two.yaml");
    std::fs::write(&catalogue, CATALOGUE).unwrap();
    let other = format!("{second}={machine}");
    let with = asked(&scene.cluster, &["--resize", other.as_str(), "--catalog", catalogue.to_str().unwrap()]).await;
    // By the units: the one cannot hold what the node holds beyond those that are left, the other can hold everything.
    let (least, most) = if machine == "less" { (1, pending(&without).len()) } else { (0, 0) };
    assert!((least..=most).contains(&pending(&with).len()), "{with}; without {without}");
    scene.at_once(&second, &without).await;
    scene.comes_back(&second, machine, &with).await;
    eprintln!(
        "seed {seed}, {nodes} nodes, {} pods of {unit:?}: {drained} wait without {first}, {} without {second}, {} with \
         {machine} for it, as planned",
        scene.count,
        pending(&without).len(),
        pending(&with).len()
    );
    scene.end().await;
}

#[tokio::test]
async fn drained_nodes_and_other_machines_leave_the_pods_waiting_that_were_planned() {
    for (seed, machine) in SEEDS {
        round(seed, machine).await;
    }
}

#[tokio::test]
async fn who_finds_the_last_room_of_the_last_node_has_the_highest_priority() {
    let mut random = Random(3);
    let unit = unit(&mut random);
    let mut order = WORKLOADS.map(|(name, ..)| name);
    for last in (1..order.len()).rev() {
        order.swap(last, random.between(0, last as u64) as usize);
    }
    assert!(!order.is_sorted(), "priorities that go by size show nothing new");
    let mut scene = Scene::new(&mut random, 2, &["2Gi:cpu=3"], &order).await;
    scene.fill(unit).await;
    let (node, plan) = scene.telling(&mut random).await;
    scene.at_once(&node, &plan).await;
    eprintln!("{order:?}: of {} pods {} wait without {node}, as planned", scene.count, pending(&plan).len());
    scene.end().await;
}
