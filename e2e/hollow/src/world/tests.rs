use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::*;
use crate::config::{NodeClass, parse_nodes};
use crate::wire::PodWire;

const T0: Millis = 1_795_383_000_000;
const MI: u64 = 1 << 20;

fn config(spec: &str) -> HollowConfig {
    HollowConfig { nodes: parse_nodes(spec, &NodeClass::default()).unwrap(), ..HollowConfig::default() }
}

fn world(spec: &str) -> World {
    let mut world = World::new(&config(spec), T0);
    world.start(T0);
    world
}

fn pod(name: &str, node: &str, memory: &str) -> Value {
    json!({
        "metadata": {"name": name, "namespace": "d", "uid": format!("uid-{name}")},
        "spec": {"nodeName": node, "containers": [
            {"name": "c", "resources": {"requests": {"memory": memory, "cpu": "100m"}}}]},
        "status": {"phase": "Pending", "qosClass": "Burstable"},
    })
}

fn wire(pod: &Value) -> PodWire {
    serde_json::from_value(pod.clone()).unwrap()
}

/// Steps in seconds up to `to`, answering every write with success; returns the writes on pods.
fn run(world: &mut World, from: Millis, to: Millis) -> Vec<Write> {
    let mut writes = Vec::new();
    let mut now = from;
    while now <= to {
        world.step(now);
        while let Some(write) = world.take_pod_write() {
            world.written(&write, Outcome::Done(None), now);
            writes.push(write);
        }
        while let Some(write) = world.take_node_write(now) {
            world.written(&write, Outcome::Done(Some("7".to_owned())), now);
        }
        now += 500;
    }
    writes
}

fn phases(writes: &[Write]) -> Vec<String> {
    let phase = |write: &Write| match write {
        Write::PodStatus { name, body, .. } => format!("{name} {}", body["status"]["phase"].as_str().unwrap()),
        Write::PodDelete { name, .. } => format!("{name} delete"),
        _ => panic!("pods only"),
    };
    writes.iter().map(phase).collect()
}

#[test]
fn a_pod_is_run_and_deleted() {
    let mut world = world("w=2:1Gi");
    let mut object = pod("a", "w-2", "100Mi");
    world.apply(&wire(&object), T0);
    world.apply(&wire(&pod("other", "real-node", "1Mi")), T0);
    let writes = run(&mut world, T0, T0 + 2000);
    assert_eq!(phases(&writes), ["a Running"]);
    let Write::PodStatus { body, .. } = &writes[0] else { panic!() };
    assert_eq!(body["metadata"]["uid"], "uid-a");
    assert_eq!((&body["status"]["podIP"], &body["status"]["hostIP"]), (&json!("10.128.4.2"), &json!("127.10.0.2")));
    object["metadata"]["deletionTimestamp"] = json!("2026-11-22T21:30:05Z");
    object["metadata"]["deletionGracePeriodSeconds"] = json!(30);
    world.apply(&wire(&object), T0 + 3000);
    world.apply(&wire(&object), T0 + 3000);
    assert_eq!(phases(&run(&mut world, T0 + 3000, T0 + 5000)), ["a Succeeded", "a delete"]);
    world.deleted(&wire(&object));
    assert!(world.pods.is_empty() && world.uids.is_empty() && world.nodes[1].used.get("memory") == 0);
    assert_eq!(world.nodes[1].take_address(), Some(2), "the address is free again");
}

#[test]
fn what_does_not_fit_is_rejected_by_name() {
    let mut world = world("w=1:1Gi:pods=3:cpu=1");
    for (name, memory) in [("a", "600Mi"), ("b", "600Mi")] {
        world.apply(&wire(&pod(name, "w-1", memory)), T0);
    }
    let mut cpu = pod("c", "w-1", "1Mi");
    cpu["spec"]["containers"][0]["resources"]["requests"]["cpu"] = json!("901m");
    world.apply(&wire(&cpu), T0);
    let node = json!({"metadata": {"name": "w-1"}, "status": {"capacity": {"example.com/gpu": "1"}}});
    world.observe_node(&serde_json::from_value(node).unwrap(), T0);
    for (name, resource) in [("g", "example.com/gpu"), ("licence", "example.com/licence")] {
        let mut pod = pod(name, "w-1", "1Mi");
        pod["spec"]["containers"][0]["resources"]["requests"][resource] = json!("2");
        world.apply(&wire(&pod), T0);
    }
    for name in ["x", "z"] {
        world.apply(&wire(&pod(name, "w-1", "1Mi")), T0);
    }
    let reasons: BTreeSet<String> = run(&mut world, T0, T0 + 1000)
        .iter()
        .filter_map(|write| match write {
            Write::PodStatus { name, body, .. } => {
                body["status"]["reason"].as_str().map(|reason| format!("{name} {reason}"))
            }
            _ => None,
        })
        .collect();
    let expected = ["b OutOfmemory", "c OutOfcpu", "g OutOfexample.com/gpu", "z OutOfpods"];
    assert_eq!(reasons.iter().map(String::as_str).collect::<Vec<_>>(), expected);
}

#[test]
fn resources_that_others_announce_become_allocatable_at_once() {
    let mut world = world("w=1:1Gi");
    let node = |allocatable: Value| {
        let status = json!({"capacity": {"example.com/a": "3"}, "allocatable": allocatable});
        serde_json::from_value(json!({"metadata": {"name": "w-1"}, "status": status})).unwrap()
    };
    let mut reported = |node| {
        world.observe_node(&node, T0);
        world.step(T0);
        let mut found = Vec::new();
        while let Some(write) = world.take_node_write(T0) {
            if let Write::NodeStatus { body, .. } = &write {
                found.push(body["status"]["allocatable"].clone());
            }
            world.written(&write, Outcome::Done(None), T0);
        }
        found
    };
    assert_eq!(reported(node(json!({}))), [json!({"example.com/a": "3"})]);
    assert!(reported(node(json!({"example.com/a": "3"}))).is_empty());
}

#[test]
fn leases_are_staggered_and_renewed_with_their_version() {
    let mut world = world("w=10:1Gi");
    let mut times = Vec::new();
    for now in (T0..T0 + 30_000).step_by(100) {
        world.step(now);
        while let Some(write) = world.take_node_write(now) {
            if let Write::Lease { node, method, body, .. } = &write {
                let version = &body["metadata"]["resourceVersion"];
                match method {
                    LeaseMethod::Create => assert_eq!((now, version), (T0, &Value::Null), "created at once"),
                    LeaseMethod::Update => {
                        assert_eq!(version, "7");
                        times.push((*node, now - T0));
                    }
                    LeaseMethod::Get => {}
                }
                // Half of them exist already.
                let exists = *method == LeaseMethod::Create && node % 2 == 0;
                let outcome = if exists { Outcome::Conflict } else { Outcome::Done(Some("7".to_owned())) };
                world.written(&write, outcome, now);
            }
        }
    }
    let starts: BTreeSet<Millis> = times.iter().filter(|(_, at)| *at >= 10_000).map(|(_, at)| at % 10_000).collect();
    assert_eq!(starts.len(), 10, "spread over the interval: {times:?}");
    for node in 0..10 {
        let own: Vec<Millis> = times.iter().filter(|(n, _)| *n == node).map(|(_, at)| *at).collect();
        assert!(own.len() >= 3 && own.windows(2).skip(1).all(|pair| pair[1] - pair[0] == 10_000), "{own:?}");
    }
}

#[test]
fn dead_nodes_are_silent_and_come_back_whole() {
    let mut world = world("w=1:1Gi");
    let mut object = pod("a", "w-1", "100Mi");
    world.apply(&wire(&object), T0);
    run(&mut world, T0, T0 + 2000);
    world.kill(0);
    object["metadata"]["deletionTimestamp"] = json!("2026-11-22T21:30:05Z");
    object["metadata"]["deletionGracePeriodSeconds"] = json!(30);
    world.apply(&wire(&object), T0 + 3000);
    world.apply(&wire(&pod("b", "w-1", "100Mi")), T0 + 3000);
    for now in (T0 + 3000..T0 + 60_000).step_by(1000) {
        world.step(now);
        assert!(world.take_pod_write().is_none() && world.take_node_write(now).is_none());
    }
    world.revive(0, T0 + 60_000);
    assert!(world.take_relist());
    world.list_begins();
    world.apply(&wire(&object), T0 + 60_000);
    world.apply(&wire(&pod("b", "w-1", "100Mi")), T0 + 60_000);
    world.list_ends();
    world.step(T0 + 60_000);
    let mut kinds = Vec::new();
    while let Some(write) = world.take_node_write(T0 + 60_000) {
        kinds.push(matches!(write, Write::NodeStatus { .. }));
        world.written(&write, Outcome::Done(Some("8".to_owned())), T0 + 60_000);
    }
    assert!(kinds.contains(&true) && kinds.contains(&false), "a lease and a status at once");
    let writes = run(&mut world, T0 + 60_000, T0 + 62_000);
    assert_eq!(phases(&writes), ["a Running", "a Succeeded", "b Running", "a delete"]);
    assert_eq!(world.armed(|timer| matches!(timer, Timer::Lease(_))), 1);
}

#[test]
fn what_is_missing_in_a_list_is_gone() {
    let mut world = world("w=1:1Gi");
    for name in ["a", "b"] {
        world.apply(&wire(&pod(name, "w-1", "100Mi")), T0);
    }
    world.list_begins();
    world.apply(&wire(&pod("b", "w-1", "100Mi")), T0);
    world.list_ends();
    assert_eq!((world.pods.len(), world.nodes[0].used.get("memory")), (1, 100 << 20));
}

#[test]
fn failed_writes_are_tried_again_until_the_pod_is_gone() {
    let mut world = world("w=1:1Gi");
    world.apply(&wire(&pod("a", "w-1", "100Mi")), T0);
    world.step(T0 + 500);
    let write = world.take_pod_write().unwrap();
    assert!(world.take_pod_write().is_none());
    world.written(&write, Outcome::Failed, T0 + 500);
    assert!(world.take_pod_write().is_none(), "not at once");
    world.step(T0 + 1000);
    let write = world.take_pod_write().unwrap();
    world.written(&write, Outcome::Conflict, T0 + 1000);
    world.step(T0 + 2000);
    let write = world.take_pod_write().unwrap();
    world.written(&write, Outcome::NotFound, T0 + 2000);
    assert!(world.pods.is_empty());
}

#[test]
fn pausing_freezes_everything() {
    let mut world = world("w=1:1Gi");
    world.apply(&wire(&pod("a", "w-1", "100Mi")), T0);
    world.pause();
    world.step(T0 + 60_000);
    assert!(world.take_pod_write().is_none() && world.take_node_write(T0).is_none() && world.next_due().is_none());
    world.resume(T0 + 60_000);
    assert_eq!(phases(&run(&mut world, T0 + 60_000, T0 + 61_000)), ["a Running"]);
}

#[test]
fn slow_nodes_are_late() {
    let mut world = world("w=1:1Gi");
    world.slow(0, 5000);
    world.apply(&wire(&pod("a", "w-1", "100Mi")), T0);
    assert_eq!(phases(&run(&mut world, T0, T0 + 4500)), [] as [&str; 0]);
    assert_eq!(phases(&run(&mut world, T0 + 4500, T0 + 6000)), ["a Running"]);
}

#[test]
fn oom_kills_reach_the_pod() {
    let mut world = world("w=1:1Gi:swap=2Gi");
    let mut object = pod("a", "w-1", "16Mi");
    object["spec"]["containers"][0]["resources"]["limits"] = json!({"memory": "100Mi"});
    object["metadata"]["annotations"] =
        json!({"hollow.headroom.dev/memory": "300Mi", "hollow.headroom.dev/hot-fraction": "1"});
    world.apply(&wire(&object), T0);
    let writes = run(&mut world, T0, T0 + 40_000);
    let killed = writes.iter().any(|write| match write {
        Write::PodStatus { body, .. } => {
            body["status"]["containerStatuses"][0]["lastState"]["terminated"]["reason"] == "OOMKilled"
                && body["status"]["containerStatuses"][0]["restartCount"] == 1
        }
        _ => false,
    });
    assert!(killed);
    let losses = world.losses();
    assert_eq!(
        (losses[0].reason, losses[0].pod.as_str(), losses[0].request_bytes),
        (LossReason::OomKilled, "a", 16 * MI)
    );
}

#[test]
fn a_container_exits_when_its_work_is_done() {
    let mut world = world("w=1:1Gi");
    let mut object = pod("a", "w-1", "16Mi");
    object["spec"]["restartPolicy"] = json!("Never");
    object["metadata"]["annotations"] = json!({"hollow.headroom.dev/work-seconds": "5"});
    world.apply(&wire(&object), T0);
    assert_eq!(phases(&run(&mut world, T0, T0 + 4000)), ["a Running"]);
    assert_eq!(phases(&run(&mut world, T0 + 4000, T0 + 9000)), ["a Succeeded"]);
    let view = &world.views()[0];
    assert_eq!((view.pods, view.work_seconds, view.system_stalled_seconds), (0, 5.0, 0.0));
}

#[test]
fn low_memory_evicts_what_uses_more_than_it_asked_for() {
    let mut world = world("w=1:1Gi:evict=100Mi");
    for (name, memory) in [("small", "20Mi"), ("large", "600Mi")] {
        let mut object = pod(name, "w-1", memory);
        let use_ = if name == "small" { "400Mi" } else { "500Mi" };
        object["metadata"]["annotations"] = json!({"hollow.headroom.dev/memory": use_});
        world.apply(&wire(&object), T0);
    }
    let writes = run(&mut world, T0, T0 + 10_000);
    let evicted: Vec<_> = writes
        .iter()
        .filter_map(|write| match write {
            Write::PodStatus { name, body, .. } if body["status"]["reason"] == "Evicted" => Some(name.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(evicted, ["small"]);
    let lost: Vec<_> = world.losses().iter().map(|loss| (loss.reason, loss.pod.clone())).collect();
    assert_eq!(lost, [(LossReason::Evicted, "small".to_owned())]);
    assert!(world.nodes[0].pressure);
}

/// Every path of keys in a value; elements of lists count as one.
fn paths(value: &Value, prefix: &str, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let path = format!("{prefix}.{key}");
                paths(value, &path, into);
                into.insert(path);
            }
        }
        Value::Array(list) => list.iter().for_each(|value| paths(value, &format!("{prefix}[]"), into)),
        _ => {}
    }
}

#[test]
fn the_short_summary_has_exactly_the_real_ones_fields() {
    let mut world = world("w=1:1Gi:swap=2Gi");
    let mut limited = pod("web", "w-1", "64Mi");
    limited["spec"]["containers"][0]["resources"]["limits"] = json!({"memory": "256Mi"});
    world.apply(&wire(&limited), T0);
    world.apply(&wire(&pod("shell", "w-1", "32Mi")), T0);
    run(&mut world, T0, T0 + 30_000);
    let ours = serde_json::to_value(&*world.summary(0, true, T0 + 30_000).unwrap()).unwrap();
    let sample: Value = serde_json::from_str(include_str!("../../tests/fixtures/stats-summary-sample.json")).unwrap();
    let (mut a, mut b) = (BTreeSet::new(), BTreeSet::new());
    paths(&ours, "", &mut a);
    paths(&sample, "", &mut b);
    assert_eq!(a, b);
    // Per object, too: who has availableBytes and who has not.
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    let (web, sample_web) = (&ours["pods"][0], &sample["pods"][0]);
    let (shell, sample_shell) = (&ours["pods"][1], &sample["pods"][2]);
    for (a, b) in [(web, sample_web), (shell, sample_shell)] {
        assert_eq!(keys(&a["memory"]), keys(&b["memory"]));
        assert_eq!(keys(&a["swap"]), keys(&b["swap"]));
        assert_eq!(keys(&a["containers"][0]["memory"]), keys(&b["containers"][0]["memory"]));
        assert_eq!(keys(&a["containers"][0]["swap"]), keys(&b["containers"][0]["swap"]));
    }
    for i in 0..2 {
        let (a, b) = (&ours["node"]["systemContainers"][i], &sample["node"]["systemContainers"][i]);
        assert_eq!(
            (&a["name"], keys(&a["memory"]), keys(&a["swap"])),
            (&b["name"], keys(&b["memory"]), keys(&b["swap"]))
        );
    }
}

#[test]
fn figures_add_up() {
    let mut world = world("w=1:1Gi:swap=2Gi");
    let mut object = pod("web", "w-1", "64Mi");
    object["metadata"]["annotations"] = json!({"hollow.headroom.dev/memory": "100Mi"});
    object["spec"]["containers"][0]["resources"]["limits"] = json!({"memory": "80Mi"});
    object["metadata"]["annotations"]["hollow.headroom.dev/hot-fraction"] = json!("0.1");
    world.apply(&wire(&object), T0);
    run(&mut world, T0, T0 + 8000);
    let young = serde_json::to_value(&*world.summary(0, true, T0 + 8000).unwrap()).unwrap();
    let swap = &young["pods"][0]["containers"][0]["swap"];
    assert_eq!((&swap["swapAvailableBytes"], &swap["swapUsageBytes"]), (&json!(0), &json!(0)), "a young container");
    assert!(young["pods"][0]["swap"]["swapUsageBytes"].as_u64().unwrap() > MI);
    let total =
        |summary: &Value| summary["pods"][0]["containers"][0]["memory"]["psi"]["some"]["total"].as_u64().unwrap();
    run(&mut world, T0 + 8000, T0 + 60_000);
    let old = serde_json::to_value(&*world.summary(0, true, T0 + 60_000).unwrap()).unwrap();
    assert!(total(&young) > total(&old), "nanoseconds, later microseconds");
    let container = &old["pods"][0]["containers"][0];
    let number = |value: &Value| value.as_u64().unwrap();
    assert_eq!(number(&container["swap"]["swapUsageBytes"]), 20 * MI);
    assert_eq!(number(&container["swap"]["swapAvailableBytes"]), 108 * MI, "limit 128 MiB less 20 in use");
    assert_eq!(number(&container["memory"]["workingSetBytes"]), 80 * MI);
    let node = &old["node"];
    assert_eq!(number(&node["memory"]["workingSetBytes"]), 200 * MI);
    assert_eq!(number(&node["memory"]["availableBytes"]), 824 * MI);
    assert_eq!(number(&node["swap"]["swapUsageBytes"]) + number(&node["swap"]["swapAvailableBytes"]), 2048 * MI);
}

#[test]
fn kinds_of_kubelets_differ() {
    let mut world =
        world("old=1:1Gi:swap=2Gi:version=v1.33.1,nopsi=1:1Gi:psi=zero,free=1:1Gi:swap=1Gi:behavior=Unlimited");
    for (index, node) in ["old-1", "nopsi-1", "free-1"].into_iter().enumerate() {
        world.apply(&wire(&pod(&format!("p{index}"), node, "64Mi")), T0);
    }
    run(&mut world, T0, T0 + 30_000);
    let mut summary = |index, short| serde_json::to_value(&*world.summary(index, short, T0 + 30_000).unwrap()).unwrap();
    let old = summary(0, true);
    assert!(old["pods"][0].get("swap").is_none() && old["pods"][0]["containers"][0].get("swap").is_none());
    assert!(old["node"].get("swap").is_some() && old["node"]["memory"].get("psi").is_none());
    assert!(summary(0, false)["pods"][0].get("swap").is_some(), "the full summary was right");
    assert!(summary(0, false)["node"].get("fs").is_some());
    let zero = json!({"total": 0, "avg10": 0.0, "avg60": 0.0, "avg300": 0.0});
    assert_eq!(summary(1, true)["node"]["cpu"]["psi"]["some"], zero);
    assert!(summary(2, true)["pods"][0]["containers"][0]["swap"].get("swapAvailableBytes").is_none());
}

#[test]
fn curves_can_be_changed_by_annotation_and_by_hand() {
    let mut world = world("w=1:1Gi");
    let mut object = pod("a", "w-1", "100Mi");
    world.apply(&wire(&object), T0);
    run(&mut world, T0, T0 + 3000);
    let set = |world: &World| world.working_set(*world.uids.get("uid-a").unwrap());
    assert_eq!(set(&world), 60 * MI);
    object["metadata"]["annotations"] = json!({"hollow.headroom.dev/memory": "90Mi"});
    world.apply(&wire(&object), T0 + 3000);
    run(&mut world, T0 + 3500, T0 + 5000);
    assert_eq!(set(&world), 90 * MI);
    world.set_pod_curve("d/a", &Curve::constant(30 * MI), Some(0.9), T0 + 5000).unwrap();
    world.apply(&wire(&object), T0 + 5000);
    run(&mut world, T0 + 5500, T0 + 7000);
    assert_eq!(set(&world), 30 * MI, "an unchanged annotation does not win it back");
    assert!(world.set_pod_curve("d/none", &Curve::constant(1), None, T0).is_err());
}

#[test]
fn running_pods_are_adopted() {
    let mut world = world("w=1:1Gi");
    let mut object = pod("a", "w-1", "100Mi");
    object["status"] = json!({"phase": "Running", "podIP": "10.128.0.9", "startTime": "2026-11-22T21:00:00Z",
        "containerStatuses": [{"name": "c", "restartCount": 2}]});
    world.apply(&wire(&object), T0);
    assert_eq!(phases(&run(&mut world, T0, T0 + 3000)), [] as [&str; 0]);
    assert_eq!(world.working_set(1), 60 * MI);
    object["metadata"]["deletionTimestamp"] = json!("2026-11-22T21:30:05Z");
    world.apply(&wire(&object), T0 + 3000);
    let writes = run(&mut world, T0 + 3000, T0 + 5000);
    let Write::PodStatus { body, .. } = &writes[0] else { panic!() };
    assert_eq!(body["status"]["podIP"], "10.128.0.9");
    assert_eq!(body["status"]["containerStatuses"][0]["restartCount"], 2);
}
