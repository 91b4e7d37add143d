//! What nodes take before they do any work, where they do not exist yet: system, control plane, Headroom itself.

use headroom_planner::report::NodeRoom;
use serde_json::json;

use super::*;

const MIB: i64 = 1 << 20;
const AT: &str = "2026-11-29T10:00:00Z";

const CATALOGUE: &str = "
apiVersion: headroom.dev/v1alpha1
kind: MachineCatalog
name: mine
provider: a shop
date: '2026-11-29'
source: a test's own
currency: USD
swap: false
usableMemory: 1.0
machines:
- {name: small, cpu: '1', memory: 2Gi, price: 5}
- {name: medium, cpu: '2', memory: 3Gi, price: 8}
";

fn node(name: &str, labels: &Value, taints: &Value) -> Value {
    let resources = json!({"cpu": "2", "memory": "4Gi", "pods": "110", "ephemeral-storage": "20Gi"});
    let mut node = json!({"apiVersion": "v1", "kind": "Node",
        "metadata": {"name": name, "uid": name, "creationTimestamp": AT, "labels": labels},
        "spec": {"taints": taints},
        "status": {"capacity": resources, "allocatable": resources,
                   "conditions": [{"type": "Ready", "status": "True"}],
                   "nodeInfo": {"kubeletVersion": "v1.36.4"}}});
    node["metadata"]["labels"]["kubernetes.io/hostname"] = json!(name);
    node["metadata"]["labels"]["node.kubernetes.io/instance-type"] = json!("old");
    node
}

/// A pod with its owner's kind and name.
fn pod(name: &str, on: &str, owner: (&str, &str), requests: &Value) -> Value {
    let api_version = if owner.0 == "Node" { "v1" } else { "apps/v1" };
    json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "kube-system", "uid": format!("uid-{name}"), "labels": {},
                     "ownerReferences": [{"apiVersion": api_version, "kind": owner.0, "name": owner.1, "uid": owner.1,
                                          "controller": true}]},
        "spec": {"nodeName": on, "tolerations": [{"operator": "Exists"}],
                 "containers": [{"name": "c", "image": "i", "resources": {"requests": requests}}]},
        "status": {"phase": "Running"}})
}

/// A static pod as the API server shows it.
fn mirror(name: &str, requests: &Value) -> Value {
    let mut pod = pod(&format!("{name}-s"), "s", ("Node", "s"), requests);
    let hash = format!("hash-{name}");
    pod["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": hash, "kubernetes.io/config.hash": hash});
    pod
}

/// One of a DaemonSet of Headroom.
fn agent(on: &str) -> Value {
    let mut pod = pod(&format!("agent-{on}"), on, ("DaemonSet", "agent"), &json!({"cpu": "10m", "memory": "8Mi"}));
    pod["metadata"]["labels"]["app.kubernetes.io/part-of"] = json!("headroom");
    pod
}

/// What was measured: of the system, and of pods by UID.
fn measured(node: &str, system: i64, pods: &[(&str, i64)]) -> Value {
    let sum: i64 = pods.iter().map(|(_, mib)| mib).sum();
    let pods: Vec<Value> = pods
        .iter()
        .map(|(uid, mib)| json!({"namespace": "kube-system", "name": uid, "uid": uid, "workingSetBytes": mib * MIB}))
        .collect();
    json!({"apiVersion": "headroom.dev/v1alpha1", "kind": "NodeHeadroom", "metadata": {"name": node},
        "status": {"observedAt": AT, "source": "Kubelet", "state": "Calm", "intervalSeconds": 15,
                   "memory": {"capacityBytes": 4096 * MIB, "workingSetBytes": (system + sum) * MIB,
                              "systemOverheadBytes": system * MIB, "evictionHardBytes": 100 * MIB},
                   "swap": {"behavior": "NoSwap", "capacityBytes": 0, "usedBytes": 0}, "pods": pods}})
}

/// A server as kubeadm sets it up, whose static pods take far more than they request, and a worker.
fn kubeadm() -> Vec<Value> {
    let role = "node-role.kubernetes.io/control-plane";
    let mut web = pod("web-a", "w", ("StatefulSet", "web"), &json!({"cpu": "100m", "memory": "200Mi"}));
    web["spec"]["tolerations"] = json!([]);
    vec![
        node("s", &json!({role: ""}), &json!([{"key": role, "effect": "NoSchedule"}])),
        node("w", &json!({}), &json!([])),
        mirror("etcd", &json!({"cpu": "100m", "memory": "100Mi"})),
        mirror("kube-apiserver", &json!({"cpu": "250m"})),
        agent("s"),
        agent("w"),
        web,
        measured("s", 200, &[("hash-etcd", 300), ("hash-kube-apiserver", 900), ("uid-agent-s", 20)]),
        measured("w", 150, &[("uid-agent-w", 24), ("uid-web-a", 180)]),
    ]
}

fn planned(objects: &[Value], args: &[&str]) -> Plan {
    let catalogue = file(CATALOGUE);
    let catalogue = format!("--catalog={}", catalogue.path().display());
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string();
    plan_of(&list, &[args, &[catalogue.as_str()]].concat())
}

/// System, control plane and Headroom on a node of a plan, MiB.
fn shares(plan: &Plan, name: &str) -> (i64, i64, i64) {
    let node = room(plan, name);
    (node.overhead_bytes / MIB, node.control_plane_bytes / MIB, node.headroom_agent_bytes / MIB)
}

fn room<'a>(plan: &'a Plan, name: &str) -> &'a NodeRoom {
    plan.nodes.iter().find(|node| node.name == name).unwrap_or_else(|| panic!("no {name} in {:?}", plan.nodes))
}

#[test]
fn today_static_pods_take_what_is_measured_of_them() {
    let plan = planned(&kubeadm(), &[]);
    assert_eq!((shares(&plan, "s"), shares(&plan, "w")), ((200, 1200, 20), (150, 0, 24)));
    let line = "2 nodes; the system takes 350Mi, pods of the control plane 1200Mi, Headroom 44Mi";
    assert_eq!(plan.summary, line);
}

#[test]
fn machines_that_are_ordered_take_what_those_of_their_role_do() {
    let plan = planned(&kubeadm(), &["--cheapest"]);
    let cheapest = plan.cheapest.as_ref().unwrap();
    // By requests alone the control plane would do with 2 GiB.
    assert_eq!((cheapest.price_per_month.0, cheapest.machines.len()), (1300, 2), "{cheapest:?}");
    let server = room(&plan, "new-server-1");
    assert_eq!((server.machine.as_deref(), server.exists, server.overhead_measured), (Some("medium"), false, true));
    assert_eq!((shares(&plan, "new-server-1"), shares(&plan, "new-1")), ((200, 1200, 24), (150, 0, 24)));
    // 8 dollars for 3072 MiB, of which 1200 are the control plane's.
    assert_eq!(server.control_plane_per_month.unwrap().0, 312);
    assert_eq!(server.pods, 3);
}

#[test]
fn the_control_plane_is_separate_or_shared_as_is_asked() {
    let price = |place: &[&str]| {
        let plan = planned(&kubeadm(), &[&["--cheapest"][..], place].concat());
        plan.cheapest.unwrap().price_per_month.0
    };
    // Today nothing else goes to the server. It has room for the one pod.
    let all = [price(&[]), price(&["--control-plane", "separate"]), price(&["--control-plane", "shared"])];
    assert_eq!(all, [1300, 1300, 800]);
}

#[test]
fn so_do_machines_that_are_added_and_resized() {
    let plan = planned(&kubeadm(), &["--add", "small=1", "--resize", "s=medium"]);
    assert_eq!((shares(&plan, "new-1"), shares(&plan, "s")), ((150, 0, 24), (200, 1200, 20)));
    let (new, server) = (room(&plan, "new-1"), room(&plan, "s"));
    assert_eq!((new.exists, new.overhead_measured, server.exists), (false, true, true));
    // 3072 MiB less 200, 1200, what the agent is expected to take, and the floor of 8 %.
    let left = server.headroom_bytes.unwrap() / MIB;
    assert!((1400..1430).contains(&left), "{left}");
    // Pods that move take their share along.
    let mut objects = kubeadm();
    objects[6]["metadata"]["labels"]["app.kubernetes.io/part-of"] = json!("headroom");
    let plan = planned(&objects, &["--add", "small=1", "--remove", "w"]);
    assert_eq!(shares(&plan, "new-1"), (150, 0, 24 + 180));
}

#[test]
fn a_machine_holds_what_comes_with_it() {
    // 200 MiB, static pods that take 1200, and a quarter of the machine to be kept free.
    let plan = planned(&kubeadm(), &["--resize", "s=small"]);
    let said = "s on small: small is too small for s: the system takes 200Mi of 2048Mi, which leaves ";
    assert!(!plan.fits && plan.pending.is_empty() && plan.summary.starts_with(said), "{}", plan.summary);
    // A DaemonSet that asks for more than the one core of the new machine.
    let mut objects = kubeadm();
    objects[5]["spec"]["containers"][0]["resources"]["requests"]["cpu"] = json!("1500m");
    let plan = planned(&objects, &["--resize", "w=small"]);
    let said = "w on small: small is too small for w: requested CPU of its static pods and pods of DaemonSets";
    assert!(!plan.fits && plan.summary.starts_with(said), "{}", plan.summary);
    assert!(planned(&objects, &["--resize", "w=medium"]).problems.is_empty());
}

#[test]
fn everything_but_the_size_is_as_before() {
    let mut objects = kubeadm();
    for resources in ["capacity", "allocatable"] {
        objects[1]["status"][resources]["example.com/gpu"] = json!("1");
    }
    let asked = json!({"example.com/gpu": "1"});
    objects[6]["spec"]["containers"][0]["resources"] = json!({"requests": asked, "limits": asked});
    let plan = planned(&objects, &["--resize", "w=medium"]);
    assert!(plan.fits && plan.placements.is_empty() && !room(&plan, "w").unschedulable, "{plan:?}");
    assert_eq!(room(&plan, "w").machine.as_deref(), Some("medium"));
    // A node that is cordoned stays so: its pods need another place.
    objects[1]["spec"]["unschedulable"] = json!(true);
    let plan = planned(&objects, &["--resize", "w=medium"]);
    assert!(room(&plan, "w").unschedulable && plan.pending.len() == 1, "{plan:?}");
}

#[test]
fn what_a_file_adds_of_ours_is_ours() {
    let ours = file(
        "
apiVersion: apps/v1
kind: Deployment
metadata: {name: headroom-scheduler, namespace: kube-system}
spec:
  replicas: 1
  template:
    metadata: {labels: {app: s, app.kubernetes.io/part-of: headroom}}
    spec: {containers: [{name: c, resources: {requests: {cpu: 10m, memory: 16Mi}}}]}
",
    );
    let plan = planned(&kubeadm(), &["-f", ours.path().to_str().unwrap()]);
    assert!(plan.fits && plan.placements[0].to == "w", "{plan:?}");
    assert_eq!((shares(&plan, "s"), shares(&plan, "w")), ((200, 1200, 20), (150, 0, 24 + 16)));
}

#[test]
fn what_nobody_measured_is_estimated_and_said() {
    let said = |plan: &Plan| plan.assumptions.iter().filter(|line| line.contains("no NodeHeadroom tells")).count();
    // The server was not measured: a new one takes what one of its size is taken to.
    let mut objects = kubeadm();
    objects.remove(7);
    let plan = planned(&objects, &["--cheapest"]);
    let (server, worker) = (room(&plan, "new-server-1"), room(&plan, "new-1"));
    assert_eq!((server.overhead_bytes, server.overhead_measured), (1450 * MIB, false));
    assert_eq!((worker.overhead_measured, said(&plan)), (true, 1));
    let table = printed(&plan, Output::Table).unwrap();
    assert!(table.contains("  ~1450Mi  "), "{table}");
    // Nor was anything.
    objects.truncate(7);
    let plan = planned(&objects, &["--add", "medium=1"]);
    assert_eq!((room(&plan, "new-1").overhead_bytes, said(&plan)), (768 * MIB, 1));
    assert!(!room(&plan, "new-1").overhead_measured && !room(&plan, "new-1").exists);
    // What is requested is what is known of pods then.
    assert_eq!(shares(&plan, "s").1, 100);
}
