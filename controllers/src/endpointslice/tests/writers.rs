//! Old views, lost answers, failures, and other writers of the same slices.

use super::*;
use crate::{endpoint_common::store::sign, endpointslice::measure, framework::Measurements};

#[test]
fn a_lost_answer_does_not_make_a_second_slice() {
    let mut rig = Rig::new([backend(0)]);
    rig.watching = false;
    rig.poll();
    let create = rig.open.remove(0);
    rig.store.perform(&create.op).unwrap();
    rig.answer(&create, Err(WriteError::Unknown("timeout".into())));
    rig.advance(1);
    assert_eq!(rig.run(), (1, 0, 0), "the same name, which is refused");
    assert_eq!(rig.store.objects.len(), 1);
    rig.advance(5);
    assert_eq!(rig.run(), (0, 0, 0), "waits until it is seen");
    rig.watching = true;
    assert_eq!(rig.run(), (0, 0, 0));
    rig.advance(5);
    assert_eq!(rig.run(), (0, 0, 0));
    assert!(rig.events.is_empty());
}

#[test]
fn an_old_view_waits_and_foreign_changes_are_undone() {
    let mut rig = Rig::new([backend(0)]);
    rig.watching = false;
    assert_eq!(rig.run(), (1, 0, 0));
    rig.apply(backend(1));
    assert_eq!(rig.run(), (0, 0, 0));
    rig.watching = true;
    assert_eq!(rig.run(), (0, 1, 0));
    // Somebody empties it.
    let object = rig.store.objects.values_mut().next().unwrap();
    object["endpoints"] = json!([]);
    object["metadata"]["resourceVersion"] = json!("900");
    rig.store.rv = 900;
    rig.run();
    rig.advance(1);
    assert_eq!(rig.run(), (0, 1, 0));
    assert_eq!(rig.sizes(), [2]);
    // Somebody deletes it.
    rig.store.objects.clear();
    rig.run();
    rig.advance(1);
    assert_eq!(rig.run(), (1, 0, 0));
}

#[test]
fn failures_are_told_and_back_off_from_one_second() {
    let mut rig = Rig::new([backend(0)]);
    rig.poll();
    let i = rig.open.remove(0);
    rig.answer(&i, Err(WriteError::Forbidden("no".into())));
    rig.poll();
    let note = "Error updating Endpoint Slices for Service default/web: failed to create EndpointSlice for Service \
                default/web: no";
    assert_eq!(rig.events, [format!("FailedToUpdateEndpointSlices {note}")]);
    rig.poll();
    assert!(rig.open.is_empty());
    rig.advance(1);
    rig.poll();
    let Op::Create { key, .. } = &rig.open[0].op else { panic!() };
    let Op::Create { key: first, .. } = &i.op else { panic!() };
    assert_eq!(key, first);
    let i = rig.open.remove(0);
    rig.answer(&i, Err(WriteError::NamespaceTerminating("x".into())));
    rig.advance(3000);
    rig.poll();
    assert!(rig.open.is_empty(), "left alone");
}

#[test]
fn a_service_being_deleted_gets_no_new_slices() {
    let mut rig = Rig::with(Config::default(), [backend(0)], |s| s.meta.set_deleted(Timestamp::from_secs(1)));
    assert_eq!(rig.run(), (0, 0, 0));
    rig.put("s", 0..1, |_| {});
    let (c, now) = (&mut rig.c, rig.now);
    rig.world.remove_service(&ObjectKey::new("default", "web"), |e, w| c.observe(e, w, now));
    rig.advance(5);
    assert_eq!(rig.run(), (0, 0, 0), "the garbage collector's work");
}

/// A service with one pod whose slice we wrote, a minute after the beginning of our lead.
fn working() -> (Rig, ObjectKey) {
    let mut rig = Rig::new([backend(0)]);
    assert_eq!(rig.run(), (1, 0, 0));
    rig.advance(60);
    let slice = rig.slices()[0].meta.key.clone();
    (rig, slice)
}

fn empty(slice: &mut Value) {
    slice["endpoints"] = json!([]);
}

#[test]
fn it_yields_to_a_manager_that_writes_its_slices_and_says_so_once() {
    let (mut rig, slice) = working();
    rig.store.overwrite(&slice, "kube-controller-manager", rig.now.wall, empty);
    assert_eq!(rig.run(), (0, 0, 0));
    let why = format!("EndpointSlice {} was written by another manager, kube-controller-manager, at", slice.name);
    assert!(rig.c.yielded().is_some_and(|text| text.contains(&why)));
    rig.apply(backend(1));
    rig.advance(1000);
    rig.store.overwrite(&slice, "kube-controller-manager", rig.now.wall, empty);
    assert_eq!(rig.run(), (0, 0, 0));
    assert_eq!((rig.events.len(), rig.c.next_deadline()), (1, None));
    assert!(rig.events[0].starts_with(&format!("YieldedToAnotherManager {why}")), "{:?}", rig.events);
    let mut measured = Measurements::default();
    rig.c.measure(&rig.world, &mut measured);
    assert_eq!(measured.texts(&measure::YIELDED), ["=1"]);
}

#[test]
fn slices_that_it_did_not_make_are_noticed_and_nothing_more_is_written() {
    // Pods 0 and 1 in two slices, and another port: one slice is changed, and then the other one is deleted.
    let mut rig = Rig::new((0..2).map(backend));
    rig.put("s1", 0..1, |_| {});
    rig.put("s2", 1..2, |_| {});
    assert_eq!(rig.run(), (0, 0, 0));
    rig.advance(60);
    rig.service(|s| s.ports = Box::new([port("", TargetPort::Number(81))]));
    rig.poll();
    let at = rig.now.wall;
    rig.put("web-stock", 0..2, |body| sign(body, "kube-controller-manager", at));
    rig.poll();
    let open = std::mem::take(&mut rig.open);
    let [patch, look] = &open[..] else { panic!("{open:?}") };
    assert!(matches!((&patch.op, &look.op), (Op::Patch { .. }, Op::Get { .. })), "{open:?}");
    let found = rig.store.perform(&look.op);
    rig.answer(look, found);
    assert!(rig.c.yielded().is_some_and(|text| text.contains("EndpointSlice web-stock was written by")));
    let written = rig.store.perform(&patch.op);
    rig.answer(patch, written);
    rig.advance(100);
    assert_eq!(rig.run(), (0, 0, 0), "the deletion is left to the other manager");
}

#[test]
fn a_refused_write_is_a_reason_to_look() {
    let (mut rig, slice) = working();
    rig.watching = false;
    rig.store.overwrite(&slice, "k3s", rig.now.wall, empty);
    rig.apply(backend(1));
    assert_eq!(rig.run(), (0, 1, 0));
    assert!(rig.c.yielded().is_some());
}

#[test]
fn people_other_systems_and_other_replicas_of_ours_are_no_managers() {
    let (mut rig, slice) = working();
    for manager in ["kubectl-edit", "kubectl-edit", "kubectl-edit", "another-system", "headroom-controllers"] {
        rig.store.overwrite(&slice, manager, rig.now.wall, empty);
        rig.run();
        rig.advance(1);
        assert_eq!(rig.run(), (0, 1, 0), "{manager}");
        rig.advance(20);
    }
    // Slices of others, whoever writes them.
    let at = rig.now.wall;
    rig.put("mirrored", 0..1, |body| {
        body["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"] = json!("other");
        sign(body, "kube-controller-manager", at);
    });
    rig.run();
    assert_eq!(rig.c.yielded(), None);
    assert!(rig.events.is_empty());
}

#[test]
fn a_lost_answer_is_no_reason_to_yield() {
    let (mut rig, slice) = working();
    rig.apply(backend(1));
    rig.poll();
    let patch = rig.open.remove(0);
    rig.store.perform(&patch.op).unwrap();
    sign(rig.store.objects.get_mut(&slice).unwrap(), "headroom-controllers", rig.now.wall);
    rig.answer(&patch, Err(WriteError::Unknown("timeout".into())));
    assert_eq!(rig.run(), (0, 0, 0));
    rig.advance(5);
    assert_eq!(rig.run(), (0, 0, 0));
    assert_eq!(rig.c.yielded(), None);
    rig.apply(backend(2));
    assert_eq!(rig.run(), (0, 1, 0));
}

#[test]
fn the_last_writes_of_a_manager_that_was_stopped_are_no_reason_to_yield() {
    for late in [0, 600] {
        let mut rig = Rig::new([backend(0)]);
        rig.run();
        let slice = rig.slices()[0].meta.key.clone();
        rig.watching = false;
        rig.advance(10);
        rig.store.overwrite(&slice, "kube-controller-manager", rig.now.wall, empty);
        rig.advance(late);
        rig.watching = true;
        rig.run();
        rig.advance(1);
        assert_eq!(rig.run(), (0, 1, 0), "{late}");
        assert_eq!(rig.c.yielded(), None, "{late}");
    }
}
