//! Other writers of the same Endpoints: who is yielded to, and who is not.

use super::*;
use crate::{endpoint_common::store::sign, endpoints::YIELDED, framework::Measurements};

fn web() -> ObjectKey {
    ObjectKey::new("default", "web")
}

/// A service with one pod whose Endpoints we wrote, a minute after the beginning of our lead.
fn working() -> Rig {
    let mut rig = Rig::new(vec![service()], vec![backend("a", "10.0.0.1")]);
    assert_eq!(rig.run(), ["create web"]);
    rig.advance(60);
    rig
}

fn empty(object: &mut Value) {
    object["subsets"] = json!([]);
}

/// Somebody else's write, now.
fn overwrite(rig: &mut Rig, manager: &str) {
    rig.store.overwrite(&web(), manager, rig.now.wall, empty);
}

#[test]
fn it_yields_to_a_manager_that_writes_its_objects_and_says_so_once() {
    let mut rig = working();
    overwrite(&mut rig, "kube-controller-manager");
    assert!(rig.run().is_empty());
    let why = "Endpoints web was written by another manager, kube-controller-manager, at 1970-01-01T02:47:40Z: \
               headroom-controllers stops its endpoints-controller. Stop the other manager's endpoints-controller, then \
               restart headroom-controllers";
    assert_eq!(rig.c.yielded(), Some(&*format!("default/web: {why}")));
    assert_eq!(rig.events, [format!("YieldedToAnotherManager {why}")]);
    rig.apply(backend("a", "10.0.0.2"));
    rig.advance(1000);
    overwrite(&mut rig, "kube-controller-manager");
    assert!(rig.run().is_empty());
    assert_eq!((rig.events.len(), rig.c.next_deadline()), (1, None));
    let mut measured = Measurements::default();
    rig.c.measure(&rig.world, &mut measured);
    assert_eq!(measured.texts(&YIELDED), ["=1"]);
}

#[test]
fn writes_that_cross_its_own_are_noticed() {
    // Before it: ours is refused.
    let mut rig = working();
    rig.watching = false;
    overwrite(&mut rig, "k3s");
    rig.apply(backend("a", "10.0.0.2"));
    assert_eq!(rig.run(), ["patch web"]);
    assert!(rig.c.yielded().is_some());
    // After it, and seen before ours is answered.
    let mut rig = working();
    rig.apply(backend("a", "10.0.0.2"));
    rig.poll();
    let patch = rig.open.remove(0);
    let result = rig.store.perform(&patch.op);
    overwrite(&mut rig, "k3s");
    rig.sync_view();
    rig.answer(&patch, result);
    rig.run();
    assert!(rig.c.yielded().is_some());
}

#[test]
fn people_and_other_systems_are_no_managers() {
    let mut rig = working();
    for (i, manager) in ["kubectl-edit", "kubectl-edit", "kubectl-edit", "another-system"].into_iter().enumerate() {
        overwrite(&mut rig, manager);
        assert!(rig.run().is_empty(), "as upstream it waits for the next look");
        rig.apply(backend("a", &format!("10.0.1.{i}")));
        assert_eq!(rig.run(), ["patch web"]);
        rig.advance(20);
    }
    assert_eq!(rig.c.yielded(), None);
    assert!(rig.events.is_empty());
    // Whoever writes the Endpoints of a service without a selector.
    rig.service(|s| s.selector = None);
    rig.run();
    overwrite(&mut rig, "kube-controller-manager");
    rig.run();
    assert_eq!(rig.c.yielded(), None);
}

#[test]
fn a_lost_answer_and_other_replicas_of_ours_are_no_managers() {
    let mut rig = working();
    rig.apply(backend("a", "10.0.0.2"));
    rig.poll();
    let patch = rig.open.remove(0);
    rig.store.perform(&patch.op).unwrap();
    sign(rig.store.objects.get_mut(&web()).unwrap(), "headroom-controllers", rig.now.wall);
    rig.answer(&patch, Err(WriteError::Unknown("timeout".into())));
    assert!(rig.run().is_empty());
    rig.advance(20);
    overwrite(&mut rig, "headroom-controllers");
    rig.run();
    assert_eq!(rig.c.yielded(), None);
    rig.apply(backend("a", "10.0.0.3"));
    assert_eq!(rig.run(), ["patch web"]);
}

#[test]
fn the_last_writes_of_a_manager_that_was_stopped_are_no_reason_to_yield() {
    for late in [0, 600] {
        let mut rig = Rig::new(vec![service()], vec![backend("a", "10.0.0.1")]);
        rig.run();
        rig.watching = false;
        rig.advance(10);
        overwrite(&mut rig, "kube-controller-manager");
        rig.advance(late);
        rig.watching = true;
        rig.run();
        assert_eq!(rig.c.yielded(), None, "{late}");
        rig.apply(backend("a", "10.0.0.2"));
        assert_eq!(rig.run(), ["patch web"], "{late}");
    }
}
