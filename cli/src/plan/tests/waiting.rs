//! Pods that wait already, when other machines are planned.

use serde_json::json;

use super::{
    small::{node, pod, saved},
    *,
};

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
- {name: small, cpu: '1', memory: 4Gi, price: 5}
- {name: medium, cpu: '2', memory: 4Gi, price: 8}
- {name: large, cpu: '4', memory: 4Gi, price: 10}
";

/// 800 thousandths of a core are left on one node, 1500 on the other. Of those that wait one has a place today, the
/// others have none.
fn crowded() -> Vec<Value> {
    let mut gated = pod("gated", "100m", None);
    gated["spec"]["schedulingGates"] = json!([{"name": "example.com/quota"}]);
    vec![
        node("a"),
        node("b"),
        pod("one", "1200m", Some("a")),
        pod("two", "500m", Some("b")),
        pod("late", "600m", None),
        pod("big", "1600m", None),
        pod("huge", "8", None),
        gated,
    ]
}

fn planned(objects: &[Value], args: &[&str]) -> Plan {
    let catalogue = file(CATALOGUE);
    let catalogue = format!("--catalog={}", catalogue.path().display());
    plan_of(&saved(objects), &[args, &[catalogue.as_str()]].concat())
}

/// Who would wait, and who waits as today.
fn wait(plan: &Plan) -> (Vec<&str>, Vec<&str>) {
    let names = |now: bool| {
        let pods = plan.pending.iter().filter(|pod| pod.waits_now == now);
        pods.map(|pod| pod.name.as_str()).collect::<Vec<_>>()
    };
    (names(false), names(true))
}

fn place<'a>(plan: &'a Plan, name: &str) -> Option<(Option<&'a str>, &'a str)> {
    let placed = plan.placements.iter().find(|placed| placed.name == name)?;
    Some((placed.from.as_deref(), placed.to.as_str()))
}

#[test]
fn who_waits_is_tried_on_machines_that_are_added() {
    let plan = planned(&crowded(), &["--add", "medium=1"]);
    assert_eq!((wait(&plan), plan.fits), ((vec![], vec!["huge"]), false));
    assert_eq!(place(&plan, "big"), Some((None, "new-1")));
    assert!(place(&plan, "late").is_some() && place(&plan, "gated").is_none() && plan.placements.len() == 2);
    let said =
        "1 more medium: everything keeps its place; 1 of 2 pods that wait now gets a place; $24 a month, $16 now";
    assert_eq!(plan.summary, said);
    let table = printed(&plan, Output::Table).unwrap();
    let (_, rest) = table.split_once("\nWithout a place, as they are now:\n").unwrap();
    assert!(rest.starts_with("  default/huge: 0/3 nodes are available: 3 Insufficient cpu."), "{table}");
    let json: Value = serde_json::from_str(&printed(&plan, Output::Json).unwrap()).unwrap();
    assert_eq!((&json["pending"][0]["name"], &json["pending"][0]["waitsNow"]), (&json!("huge"), &json!(true)));
    // Without the one that no machine holds.
    let mut objects = crowded();
    objects.remove(6);
    let plan = planned(&objects, &["--add", "medium=1"]);
    let said = "1 more medium: everything has a place; 1 pod that waits now gets a place; $24 a month, $16 now";
    assert_eq!((plan.summary.as_str(), plan.fits), (said, true));
    // A machine that helps nobody who waits.
    let plan = planned(&objects, &["--add", "small=1"]);
    assert_eq!((wait(&plan), plan.fits), ((vec![], vec!["big"]), false));
    let said = "1 more small: everything keeps its place; 1 pod waits as it does now; $21 a month, $16 now";
    assert_eq!(plan.summary, said);
}

#[test]
fn who_waits_already_is_not_held_against_a_node_that_goes() {
    let mut objects = crowded();
    // The one that has a place today would take it from the one that has to move.
    objects.remove(4);
    let plan = planned(&objects, &["--remove", "b"]);
    assert_eq!((wait(&plan), plan.fits), ((vec![], vec!["big", "huge"]), true));
    assert_eq!(place(&plan, "two"), Some((Some("b"), "a")));
    assert_eq!(plan.summary, "without b: everything keeps its place; 2 pods wait as they do now; $8 a month, $16 now");
}

#[test]
fn who_loses_the_place_that_there_was_is() {
    // Who waits comes first, so that the one that is evicted finds the room taken.
    let plan = planned(&crowded(), &["--remove", "b"]);
    assert_eq!((wait(&plan), plan.fits), ((vec!["two"], vec!["big", "huge"]), false));
    assert_eq!(place(&plan, "late"), Some((None, "a")));
    assert_eq!(plan.summary, "without b: 1 pod would wait; 2 pods wait as they do now; $8 a month, $16 now");
    // One of higher priority comes before all of them.
    let mut objects = crowded();
    objects[3]["spec"]["priority"] = json!(7);
    let plan = planned(&objects, &["--remove", "b"]);
    assert_eq!((wait(&plan), plan.fits), ((vec!["late"], vec!["big", "huge"]), false));
}

#[test]
fn a_larger_machine_helps_as_well() {
    let plan = planned(&crowded(), &["--resize", "b=large"]);
    assert_eq!((wait(&plan), plan.fits), ((vec![], vec!["huge"]), true));
    assert_eq!((place(&plan, "big"), place(&plan, "two")), (Some((None, "b")), None));
    let said = "b on large: everything keeps its place; 1 of 2 pods that wait now gets a place; $18 a month, $16 now";
    assert_eq!(plan.summary, said);
}

#[test]
fn pods_of_daemon_sets_that_wait_for_a_node_are_part_of_what_has_to_fit() {
    let cheapest = |cpu: &str, args: &[&str]| {
        let mut agent = pod("agent-a", cpu, None);
        agent["metadata"]["ownerReferences"][0]["kind"] = json!("DaemonSet");
        let fields = json!([{"key": "metadata.name", "operator": "In", "values": ["a"]}]);
        let required = json!({"nodeSelectorTerms": [{"matchFields": fields}]});
        agent["spec"]["affinity"] =
            json!({"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}});
        let objects = [node("a"), pod("one", "1200m", Some("a")), agent];
        planned(&objects, &[&["--cheapest"][..], args].concat())
    };
    let price = |plan: &Plan| plan.cheapest.as_ref().map(|cheapest| cheapest.price_per_month.0);
    // Both are on the node of today.
    let plan = cheapest("500m", &[]);
    assert_eq!((price(&plan), plan.fits, plan.nodes[0].pods), (Some(800), true, 2));
    assert_eq!((place(&plan, "agent-a"), place(&plan, "one")), (Some((None, "a")), None));
    // They are not, and a new machine has one of the DaemonSet as well.
    let plan = cheapest("1", &["--keep", "a"]);
    assert_eq!((price(&plan), plan.fits, wait(&plan)), (Some(1800), true, (vec![], vec![])));
    assert_eq!((place(&plan, "agent-a"), place(&plan, "one")), (Some((None, "a")), Some((Some("a"), "new-1"))));
    // One that the node does not hold even alone.
    let plan = cheapest("2500m", &["--keep", "a"]);
    assert_eq!((price(&plan), plan.fits, wait(&plan)), (Some(800), false, (vec![], vec!["agent-a"])));
    assert!(plan.pending[0].reason.starts_with("a: Insufficient cpu"), "{}", plan.pending[0].reason);
    assert!(plan.summary.ends_with("; 1 pod waits as it does now"), "{}", plan.summary);
}

#[test]
fn who_waits_whatever_the_machines_is_not_in_the_way_of_the_cheapest() {
    let cheapest = |objects: &[Value]| {
        let here = [node("a"), node("b"), pod("one", "1200m", Some("a")), pod("two", "500m", Some("b"))];
        let all = [&here[..], objects].concat();
        planned(&all, &["--cheapest", "--max-nodes", "2"])
    };
    let mut picky = pod("picky", "100m", None);
    picky["spec"]["nodeSelector"] = json!({"disk": "none"});
    let plan = cheapest(&[picky]);
    assert_eq!((wait(&plan), plan.fits), ((vec![], vec!["picky"]), false));
    assert_eq!(plan.cheapest.as_ref().map(|cheapest| cheapest.price_per_month.0), Some(800));
    assert!(plan.summary.ends_with("; 1 pod waits as it does now"), "{}", plan.summary);
    // One that a larger machine holds is part of what is asked.
    let plan = cheapest(&[pod("big", "3500m", None)]);
    assert_eq!((wait(&plan), plan.fits), ((vec![], vec![]), true));
    assert_eq!(plan.cheapest.as_ref().map(|cheapest| cheapest.price_per_month.0), Some(1800));
}
