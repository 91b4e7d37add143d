//! Large services whose pods change many at a time.

use headroom_core::object::Status;

use super::*;

/// Of a thousand.
const READY: usize = 930;
/// Milliseconds until a write is answered.
const ANSWERED: usize = 15;
/// Milliseconds from then on until the view has it.
const SEEN: usize = 3;

/// Pods that are there already are not ready any more.
fn change(rig: &mut Rig, pods: std::ops::Range<usize>) {
    for i in pods {
        rig.apply(backend(i).condition("Ready", Status::False, 1000));
    }
}

#[test]
fn in_a_rush_one_look_gathers_what_changes_meanwhile() {
    let mut rig = Rig::new((0..300).map(backend));
    assert_eq!(rig.run(), (3, 0, 0));
    change(&mut rig, 0..10);
    let (_, patches, _) = rig.run();
    assert!(patches > 0);
    change(&mut rig, 10..20);
    assert_eq!(rig.run(), (0, 0, 0));
    change(&mut rig, 20..30);
    assert_eq!(rig.run(), (0, 0, 0));
    rig.advance(1);
    let (_, patches, _) = rig.run();
    assert!(patches > 0);
    assert!(rig.rests());
}

#[test]
fn changes_that_come_alone_are_written_at_once() {
    let mut rig = Rig::new((0..300).map(backend));
    rig.run();
    for i in 0..20 {
        change(&mut rig, i..i + 1);
        assert_eq!(rig.run(), (0, 1, 0));
    }
}

/// Of a thousand pods 930 become ready, one each millisecond. Returns how many writes that takes, and how many milliseconds
/// pass from the last change until it is written.
fn become_ready(rig: &mut Rig) -> (usize, usize) {
    let tick = Duration::from_millis(1);
    let (mut under_way, mut view_at, mut written_at) = (Vec::new(), None, 0);
    rig.store.writes.clear();
    for at in 0..1300 {
        rig.now = Now { wall: rig.now.wall + tick, mono: rig.now.mono + tick };
        if at < READY {
            rig.apply(backend(at));
        }
        rig.poll();
        under_way.extend(rig.open.drain(..).map(|intent| (at + ANSWERED, intent)));
        let (due, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut under_way).into_iter().partition(|(due, _)| *due <= at);
        under_way = later;
        for (_, intent) in due {
            let result = rig.store.perform(&intent.op);
            rig.answer(&intent, result);
            (view_at, written_at) = (Some(at + SEEN), at);
        }
        if view_at.is_some_and(|due| due <= at) {
            rig.sync_view();
            view_at = None;
        }
    }
    (rig.store.writes.len(), written_at + 1 - READY)
}

/// As each look writes the slices that have changed, in ten of them few looks are few writes: of rests of 60 ms there would
/// be 34, the last after 65 ms; of rests of 100 ms that nothing ends early as many as here, the last after 105 ms.
#[test]
fn a_thousand_that_become_ready_are_a_dozen_looks_and_the_last_does_not_wait() {
    let mut rig = Rig::new((0..1000).map(|i| backend(i).condition("Ready", Status::False, 1000)));
    assert_eq!(rig.run(), (10, 0, 0));
    let (writes, wait) = become_ready(&mut rig);
    let slices = rig.slices();
    let ready = slices.iter().flat_map(|s| &s.endpoints).filter(|e| e.ready == Some(true)).count();
    assert_eq!(ready, READY);
    assert!(writes <= 30, "{writes} writes");
    assert!(wait <= 50, "the last one after {wait} ms");
    rig.advance(1);
    assert!(rig.rests());
}
