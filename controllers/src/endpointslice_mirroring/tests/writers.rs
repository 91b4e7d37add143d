//! Old views, lost answers, failures, and other writers of the same slices.

use super::*;
use crate::{
    endpoint_common::{slices::Figures, store::sign},
    endpointslice_mirroring::measure,
};

#[test]
fn an_old_view_waits_and_foreign_changes_are_undone() {
    let object = |ip: &str| endpoints(json!([subset(&[(ip, "")], &[], &[("", 80)])]));
    let mut bench = Bench::new(1000, vec![]);
    bench.watching = false;
    bench.rig.service(service(None));
    bench.rig.endpoints(endpoints_row(&object("10.0.0.1")));
    bench.rig.start();
    assert_eq!(bench.run(), (1, 0, 0));
    assert_eq!(bench.change(&object("10.0.0.2")), (0, 0, 0), "its own slice is not seen yet");
    bench.watching = true;
    assert_eq!(bench.run(), (0, 1, 0));
    let name = bench.slices()[0].meta.key.clone();
    // Labels and annotations alone wait for the next look.
    let patch = |bench: &mut Bench, change: Value| {
        let meta = bench.slices()[0].meta.clone();
        let mut body = json!({"metadata": {"uid": meta.uid, "resourceVersion": meta.resource_version.to_string()}});
        for (k, v) in change.as_object().unwrap() {
            if k == "annotations" { body["metadata"][k] = v.clone() } else { body[k] = v.clone() }
        }
        let op = Op::Patch {
            kind: Kind::ENDPOINT_SLICE,
            key: meta.key,
            subresource: "",
            patch: headroom_core::intent::PatchKind::Merge,
            body: Arc::new(body),
        };
        bench.store.perform(&op).unwrap();
        bench.see();
        bench.run()
    };
    assert_eq!(patch(&mut bench, json!({"annotations": {"foo": "bar"}})), (0, 0, 0));
    assert_eq!(patch(&mut bench, json!({"endpoints": []})), (0, 1, 0), "somebody emptied it");
    assert_eq!((bench.slices()[0].endpoints.len(), bench.slices()[0].meta.annotations.len()), (1, 1));
    bench.store.objects.clear();
    bench.see();
    assert_eq!(bench.run(), (1, 0, 0), "somebody deleted it");
    assert_ne!(bench.slices()[0].meta.key, name);
    // Nothing is remembered of what is not mirrored any more.
    bench.rig.remove_endpoints(&key());
    assert_eq!(bench.run(), (0, 0, 1));
    bench.rig.controller.queue.add(key());
    assert_eq!(bench.run(), (0, 0, 0));
    assert_eq!(bench.rig.controller.gauges(), Figures::default());
    let mut measured = Measurements::default();
    bench.rig.controller.measure(&bench.rig.world, &mut measured);
    assert_eq!(measured.texts(&measure::SLICES.changes), ["create=2", "update=2", "delete=1"]);
    assert_eq!(measured.texts(&measure::SLICES.slices), ["=0"]);
}

#[test]
fn failures_back_off_from_one_second_to_a_hundred_and_a_lost_answer_makes_no_second_slice() {
    let mut bench = Bench::new(1000, vec![]);
    bench.rig.service(service(None));
    bench.rig.endpoints(endpoints_row(&endpoints(json!([subset(&[("10.0.0.1", "")], &[], &[("", 80)])]))));
    bench.rig.start();
    let mut waits = vec![];
    for _ in 0..16 {
        bench.rig.settle();
        let [(id, Op::Create { key, .. })] = &bench.rig.take()[..] else { panic!("one creation") };
        waits.push(key.name.clone());
        bench.rig.answer(*id, Err(WriteError::Forbidden("no".into())));
        bench.rig.advance(Duration::from_millis(900));
        let rest = bench.rig.controller.queue.next_deadline().map(|d| d.since(bench.rig.now.mono));
        bench.rig.jump(rest.unwrap_or_default());
    }
    assert!(waits.iter().all(|name| *name == waits[0]), "the name is used again");
    bench.rig.advance(Duration::from_secs(1000));
    assert!(bench.rig.take().is_empty(), "given up after 15 retries");
    assert!(bench.rig.controller.forbidden_said && bench.rig.take_events().is_empty());
    // Something happens: tried again, and this time the answer gets lost.
    bench.rig.controller.queue.add(key());
    bench.rig.settle();
    let (id, op) = bench.rig.take().remove(0);
    bench.store.perform(&op).unwrap();
    bench.rig.answer(id, Err(WriteError::Unknown("timeout".into())));
    bench.watching = false;
    bench.rig.jump(Duration::from_secs(1));
    assert_eq!(bench.run(), (1, 0, 0), "the same name, which is refused");
    bench.watching = true;
    assert_eq!(bench.run(), (0, 0, 0));
    bench.rig.jump(Duration::from_secs(5));
    assert_eq!((bench.run(), bench.store.objects.len()), ((0, 0, 0), 1));
}

/// A mirrored object whose slice we wrote, a minute after the beginning of our lead.
fn working() -> (Bench, ObjectKey) {
    let object = endpoints(json!([subset(&[("10.0.0.1", "")], &[], &[("", 80)])]));
    let (mut bench, writes) = Bench::mirrored(&object, vec![]);
    assert_eq!(writes, (1, 0, 0));
    bench.rig.advance(Duration::from_secs(60));
    let slice = bench.slices()[0].meta.key.clone();
    (bench, slice)
}

fn empty(slice: &mut Value) {
    slice["endpoints"] = json!([]);
}

#[test]
fn it_yields_to_a_manager_that_writes_its_slices() {
    let (mut bench, slice) = working();
    bench.store.overwrite(&slice, "kube-controller-manager", bench.rig.now.wall, empty);
    bench.see();
    assert_eq!(bench.run(), (0, 1, 0), "the repair was under way together with the look");
    let why = format!("EndpointSlice {} was written by another manager, kube-controller-manager, at", slice.name);
    assert!(bench.rig.controller.yielded().is_some_and(|text| text.contains(&why)));
    let events = bench.rig.take_events();
    assert!(events.len() == 1 && events[0].starts_with(&format!("YieldedToAnotherManager {why}")), "{events:?}");
    bench.rig.advance(Duration::from_secs(1000));
    assert_eq!(bench.change(&endpoints(json!([subset(&[("10.0.0.2", "")], &[], &[("", 80)])]))), (0, 0, 0));
    assert!(bench.rig.take_events().is_empty(), "it is said once");
    let mut measured = Measurements::default();
    bench.rig.controller.measure(&bench.rig.world, &mut measured);
    assert_eq!(measured.texts(&measure::YIELDED), ["=1"]);
}

#[test]
fn it_goes_on_after_writes_of_people_of_its_own_and_of_a_manager_that_was_stopped() {
    // Of people, as often as they like; of another replica of ours; of another system.
    let (mut bench, slice) = working();
    for manager in ["kubectl-edit", "kubectl-edit", "kubectl-edit", "headroom-controllers", "another-system"] {
        bench.store.overwrite(&slice, manager, bench.rig.now.wall, empty);
        bench.see();
        assert_eq!(bench.run(), (0, 1, 0), "{manager}");
        bench.rig.advance(Duration::from_secs(20));
    }
    // An answer that was lost.
    bench.rig.endpoints(endpoints_row(&endpoints(json!([subset(&[("10.0.0.3", "")], &[], &[("", 80)])]))));
    bench.rig.settle();
    let (id, op) = bench.rig.take().remove(0);
    bench.store.perform(&op).unwrap();
    sign(bench.store.objects.get_mut(&slice).unwrap(), "headroom-controllers", bench.rig.now.wall);
    bench.rig.answer(id, Err(WriteError::Unknown("timeout".into())));
    bench.see();
    assert_eq!(bench.run(), (0, 0, 0));
    assert_eq!(bench.rig.controller.yielded(), None);
    // The last write of a stock manager, seen early, and seen late.
    let object = endpoints(json!([subset(&[("10.0.0.1", "")], &[], &[("", 80)])]));
    for late in [0, 600] {
        let (mut bench, _) = Bench::mirrored(&object, vec![]);
        let slice = bench.slices()[0].meta.key.clone();
        bench.rig.advance(Duration::from_secs(10));
        bench.store.overwrite(&slice, "kube-controller-manager", bench.rig.now.wall, empty);
        bench.rig.advance(Duration::from_secs(late));
        bench.see();
        assert_eq!(bench.run(), (0, 1, 0), "{late}");
        assert_eq!(bench.rig.controller.yielded(), None, "{late}");
    }
}
