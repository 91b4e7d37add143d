//! Two ReplicationControllers whose selectors overlap: a pod that both select is one's own, never both's.

use std::collections::BTreeMap;

use headroom_core::selector::Labels;

use super::*;

/// Selects `tier=front`, and makes pods that `rc("web", _)` selects as well.
fn front(replicas: i32) -> ReplicationController {
    let labels: Labels = [("tier", "front")].into_iter().collect();
    let template = r#"{"metadata":{"labels":{"app":"web","tier":"front"}},"spec":{"containers":[]}}"#;
    let (selector, template) = (labels.clone(), template.into());
    ReplicationController { selector, template_labels: labels, template, ..rc("front", replicas) }
}

/// A pod that both select, and nobody manages.
fn both(name: &str) -> PodBuilder {
    pod(name).label("app", "web").label("tier", "front").rv(2)
}

/// The same, managed by one of them.
fn owned(name: &str, owner: &str) -> PodBuilder {
    both(name).owner("ReplicationController", owner, &format!("uid-{owner}"))
}

fn rig(web: i32, other: i32, pods: Vec<PodBuilder>) -> Rig {
    let mut rig = Rig::new(rc("web", web), pods);
    rig.apply_rc(front(other));
    rig.run();
    rig
}

fn sorted(all: impl Iterator<Item = String>) -> Vec<String> {
    let mut all: Vec<String> = all.collect();
    all.sort();
    all
}

/// Those who ask whether they still live, before they adopt a pod.
fn asking(rig: &Rig) -> Vec<String> {
    sorted(rig.open.iter().filter_map(|i| match &i.op {
        Op::Get { key, .. } => Some(key.name.to_string()),
        _ => None,
    }))
}

/// Tells them that they do.
fn they_live(rig: &mut Rig) -> usize {
    rig.reply(|op| {
        let Op::Get { key, .. } = op else { return None };
        let live = Found { body: Arc::new(json!({"metadata": {}})), ..found(&key.name) };
        Some(Ok(Written { uid: None, resource_version: 9, found: vec![live] }))
    })
}

/// The owner that a patch of a pod puts there.
fn new_owner(op: &Op) -> Option<String> {
    match op {
        Op::Patch { subresource: "", body, .. } => {
            Some(body["metadata"]["ownerReferences"][0]["uid"].as_str()?.to_owned())
        }
        _ => None,
    }
}

/// Answers lists by this selector.
fn stock(rig: &mut Rig, selector: &str, names: &[&str]) -> usize {
    let all: Vec<Found> = names.iter().map(|name| found(name)).collect();
    let resource_version = rig.rv;
    rig.reply(|op| {
        let Op::List { labels, .. } = op else { return None };
        assert_eq!(labels, selector);
        Some(Ok(Written { uid: None, resource_version, found: all.clone() }))
    })
}

#[test]
fn a_pod_that_both_select_counts_for_its_owner_alone() {
    let pods = vec![owned("web-a", "web"), owned("front-a", "front"), owned("front-b", "front")];
    let mut rig = rig(1, 2, pods);
    let replicas = rig.open.iter().filter_map(|i| match &i.op {
        Op::Patch { subresource: "status", key, body, .. } => {
            Some((key.name.to_string(), body["status"]["replicas"].as_u64()?))
        }
        _ => None,
    });
    let replicas: BTreeMap<String, u64> = replicas.collect();
    assert_eq!(replicas, BTreeMap::from([("front".to_owned(), 2), ("web".to_owned(), 1)]));
    rig.status_ok();
    assert!(rig.open.is_empty(), "nothing is missing, nothing too many: {:?}", rig.open);

    // One is lost: its owner replaces it. The other's pod is on the list, for it is selected.
    rig.remove("front-a");
    rig.run();
    rig.status_ok();
    assert_eq!(stock(&mut rig, "tier=front", &["front-b", "web-a"]), 1);
    let made = rig.creates();
    assert!(made.len() == 1 && made[0].starts_with("front-"), "{made:?}");
    assert!(rig.deletes().is_empty());
}

#[test]
fn an_orphan_that_both_select_is_adopted_by_one_and_the_other_makes_its_own() {
    let mut rig = rig(1, 1, vec![both("free")]);
    assert_eq!(asking(&rig), ["front", "web"]);
    assert_eq!(they_live(&mut rig), 2);
    assert_eq!(sorted(rig.open.iter().filter_map(|i| new_owner(&i.op))), ["uid-front", "uid-web"]);
    // The API server takes one controller: who comes second is refused.
    let answered = rig.reply(|op| {
        Some(match new_owner(op)?.as_str() {
            "uid-web" => Ok(Written { uid: None, resource_version: 101, found: vec![] }),
            _ => Err(WriteError::Invalid("Only one reference can have Controller set to true".into())),
        })
    });
    assert_eq!(answered, 2);
    rig.apply(owned("free", "web").rv(101));
    rig.run();
    rig.advance(Duration::from_secs(1));
    rig.status_ok();
    assert!(asking(&rig).is_empty(), "it has an owner");
    assert_eq!(stock(&mut rig, "tier=front", &["free"]), 1);
    let own = rig.creates();
    assert!(own.len() == 1 && own[0].starts_with("front-"), "{own:?}");

    // And that one, though both select it, is not too many for the other.
    assert_eq!(rig.create_all(), [1]);
    rig.apply(owned(&own[0], "front").rv(501));
    rig.run();
    rig.status_ok();
    assert!(rig.open.is_empty() && rig.c.yielded().is_none(), "{:?}", rig.open);
}

#[test]
fn a_pod_of_nobody_wakes_all_that_select_it() {
    let at_rest = || {
        let mut rig = rig(1, 1, vec![owned("web-a", "web"), owned("front-a", "front")]);
        rig.status_ok();
        assert!(rig.open.is_empty(), "{:?}", rig.open);
        rig
    };
    let woken_by = |rig: &mut Rig, p: PodBuilder| {
        rig.apply(p);
        rig.run();
        asking(rig)
    };
    for (stray, woken) in [
        (both("free"), &["front", "web"][..]),
        (pod("free").label("app", "web"), &["web"]),
        (pod("free").label("tier", "front"), &["front"]),
        (pod("free").label("app", "other"), &[]),
    ] {
        assert_eq!(woken_by(&mut at_rest(), stray), woken);
    }
    // One whose labels begin to match, and one that its owner has let go of.
    let mut rig = at_rest();
    assert!(woken_by(&mut rig, pod("free").label("app", "other")).is_empty());
    assert_eq!(woken_by(&mut rig, both("free").rv(3)), ["front", "web"]);
    assert_eq!(woken_by(&mut at_rest(), both("web-a").rv(3)), ["front", "web"]);
}
