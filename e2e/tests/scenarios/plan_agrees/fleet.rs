//! The cheapest machines: what `plan --cheapest` says of a saved cluster holds its workloads on a real API server, and one
//! machine less does not.
//!
//! A cluster is filled, saved and planned. Another one gets the machines of the answer but for a dearest one. What is left of
//! them costs less than the lower bound, so pods wait. The last machine joins, and every pod has a place.
//!
//! Sizes are those of [`super::several`], the largest pods come first, and those that refuse each other's node before all
//! others: how many find a place is no choice of the scheduler's. What waits for the last machine has nowhere else to go, so
//! its order decides nothing either. The system takes the same on all nodes, and was measured there.

use std::path::Path;

use headroom_e2e::{ControlPlane, Identity, Process, eventually};
use serde_json::{Value, json};

use super::{
    Random, create_workload, headroom,
    machines::{Fates, QUICK, STOCK, fates, measure, simulated, waits},
    replicas_of,
    several::{HOST, Unit, own, workload},
};
use crate::common::{LONG, STOCK_LEASE, start_scheduler};

/// What the system takes on any node.
const SYSTEM: &str = "150Mi";
/// Nodes that are there at first. None of the catalogue's machines has so many CPUs: all are ordered.
const OLD: &str = "n=5:1Gi:swap=none:cpu=1500m:system=150Mi";
const OLD_COUNT: usize = 5;
/// What can be had: name, size, and price in a month.
const MACHINES: [(&str, &str, &str, u64); 3] =
    [("small", "768Mi", "1", 5), ("medium", "1536Mi", "2", 10), ("large", "3Gi", "3", 18)];

/// These as a catalogue.
fn catalogue() -> String {
    let mut text = "apiVersion: headroom.dev/v1alpha1\nkind: MachineCatalog\nname: three\nprovider: the harness\n\
                    date: '2026-11-29'\nsource: what is simulated\ncurrency: USD\nswap: false\nusableMemory: 1.0\n\
                    machines:\n"
        .to_owned();
    for (name, memory, cpu, price) in MACHINES {
        text.push_str(&format!("- {{name: {name}, cpu: '{cpu}', memory: {memory}, price: {price}}}\n"));
    }
    text
}

/// What it costs in a month.
fn price(machine: &str) -> u64 {
    MACHINES.into_iter().find(|(known, ..)| *known == machine).unwrap().3
}

/// So many nodes of a machine, for [`simulated`], called so.
fn class(name: &str, machine: &str, count: usize) -> String {
    let (_, memory, cpu, _) = MACHINES.into_iter().find(|(known, ..)| *known == machine).unwrap();
    format!("{name}={count}:{memory}:swap=none:cpu={cpu}:system={SYSTEM}")
}

/// StatefulSets: two pods that refuse each other's node, then the largest first.
fn workloads(random: &mut Random) -> Vec<Value> {
    let unit =
        Unit { mib: [48, 64][random.between(0, 1) as usize], milli_cpu: [75, 100][random.between(0, 1) as usize] };
    let apart = json!({"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
        {"topologyKey": HOST, "labelSelector": own("a-each")}]}}});
    let all = [
        ("a-each", 4, 2, apart),
        ("b-four", 4, random.between(1, 2), json!({})),
        ("c-two", 2, random.between(3, 5), json!({})),
        ("d-one", 1, random.between(14, 18), json!({})),
    ];
    let one = |(name, size, replicas, rule)| workload("StatefulSet", name, replicas, unit.times(size), rule);
    all.into_iter().map(one).collect()
}

/// A control plane with who makes the pods, and a scheduler.
async fn cluster() -> (ControlPlane, Process, Process) {
    let cluster = crate::common::control_plane_with_crds().await;
    let stock = cluster.start_stock_kcm(STOCK, &QUICK).unwrap();
    cluster.wait_healthy(&stock, "/healthz", LONG).await.unwrap();
    let scheduler = start_scheduler(&cluster, STOCK_LEASE, &["--mode=primary"]).await;
    (cluster, stock, scheduler)
}

/// Creates the workloads, one after another: how many pods there are, and what became of them.
async fn filled(cluster: &ControlPlane, workloads: &[Value]) -> (usize, Fates) {
    let (mut count, mut all) = (0, Fates::new());
    for workload in workloads {
        create_workload(cluster, workload).await;
        count += replicas_of(workload);
        all = fates(cluster, count).await;
    }
    (count, all)
}

/// The cheapest machines for these workloads as they run on other nodes.
async fn planned(dir: &Path, workloads: &[Value]) -> Value {
    let (cluster, _stock, _scheduler) = cluster().await;
    let old = simulated(&cluster, OLD, 0).await;
    measure(&cluster, &[&old], OLD_COUNT).await;
    let (_, all) = filled(&cluster, workloads).await;
    assert!(waits(&all).is_empty(), "{all:?}");
    let (saved, prices) = (dir.join("cluster.json"), dir.join("three.yaml"));
    std::fs::write(&prices, catalogue()).unwrap();
    let kubeconfig = cluster.kubeconfig(&Identity::Admin).unwrap();
    let (saved, prices) = (saved.to_str().unwrap(), prices.to_str().unwrap());
    headroom(&["snapshot", "-f", saved, "--kubeconfig", kubeconfig.to_str().unwrap()]).await;
    let asked = ["plan", "--snapshot", saved, "--cheapest", "--catalog", prices, "--swap", "none", "-o", "json"];
    let (code, text) = headroom(&asked).await;
    let plan: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, &plan["fits"]), (0, &json!(true)), "{plan}");
    old.stop().await;
    plan
}

/// The machines of a plan, by type, with how many there are, the dearest last.
fn machines(plan: &Value) -> Vec<(&'static str, usize)> {
    let all = plan["cheapest"]["machines"].as_array().unwrap();
    let mut counts: Vec<(&'static str, usize)> = Vec::new();
    for (name, ..) in MACHINES {
        let count = |machine: &Value| {
            assert_eq!((&machine["role"], &machine["exist"]), (&json!("worker"), &json!(0)), "{plan}");
            machine["count"].as_u64().unwrap() as usize
        };
        let of: usize = all.iter().filter(|machine| machine["machine"] == name).map(count).sum();
        if of > 0 {
            counts.push((name, of));
        }
    }
    let bought: usize = counts.iter().map(|(_, count)| count).sum();
    assert_eq!(plan["nodes"].as_array().unwrap().len(), bought, "{plan}");
    counts
}

#[tokio::test]
async fn the_cheapest_machines_hold_everything_and_one_less_does_not() {
    let mut random = Random(3);
    let workloads = workloads(&mut random);
    let dir = tempfile::tempdir().unwrap();
    let plan = planned(dir.path(), &workloads).await;

    let mut counts = machines(&plan);
    let (dearest, of_it) = counts.pop().unwrap();
    if of_it > 1 {
        counts.push((dearest, of_it - 1));
    }
    let first: u64 = counts.iter().map(|(name, count)| price(name) * *count as u64).sum();
    let cheapest = &plan["cheapest"];
    assert_eq!(cheapest["pricePerMonth"].as_f64(), Some((first + price(dearest)) as f64), "{plan}");
    let bound = cheapest["lowerBoundPerMonth"].as_f64().unwrap();
    assert!(!counts.is_empty() && (first as f64) < bound, "one machine less is not below the bound: {plan}");

    let (cluster, stock, scheduler) = cluster().await;
    let classes: Vec<String> = counts.iter().map(|(name, count)| class(name, name, *count)).collect();
    let rest: usize = counts.iter().map(|(_, count)| count).sum();
    let there = simulated(&cluster, &classes.join(","), 0).await;
    measure(&cluster, &[&there], rest).await;
    let (count, without) = filled(&cluster, &workloads).await;
    let waiting = waits(&without).len();
    assert!(waiting > 0, "{first} a month is enough: {plan}");

    let last = simulated(&cluster, &class("last", dearest, 1), 1).await;
    measure(&cluster, &[&there, &last], rest + 1).await;
    eventually(LONG, "a place for every pod", || async {
        let still = waits(&fates(&cluster, count).await);
        if still.is_empty() { Ok(()) } else { Err(format!("{still:?} wait; planned {plan}")) }
    })
    .await
    .unwrap();
    eprintln!("{count} pods on {counts:?} and a {dearest} machine, as planned; {waiting} wait without that");
    stock.expect_running("the round").unwrap();
    scheduler.expect_running("the round").unwrap();
    there.stop().await;
    last.stop().await;
}
