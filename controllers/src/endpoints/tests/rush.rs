//! Large services whose pods change many at a time.

use std::time::Duration;

use headroom_core::{Now, object::Status};

use super::{Rig, backend, service};

/// Of a thousand.
const READY: usize = 930;
/// Milliseconds until a write is answered.
const ANSWERED: usize = 15;
/// Milliseconds from then on until the view has it.
const SEEN: usize = 3;

fn ip(i: usize) -> String {
    format!("10.0.{}.{}", i / 200, i % 200 + 1)
}

fn crowd() -> Rig {
    let mut rig = Rig::new(vec![service()], (0..300).map(|i| backend(&format!("p{i}"), &ip(i))).collect());
    assert_eq!(rig.run(), ["create web"]);
    rig
}

/// Pods that are there already get other addresses.
fn change(rig: &mut Rig, pods: std::ops::Range<usize>) {
    for i in pods {
        rig.apply(backend(&format!("p{i}"), &ip(i + 1000 + rig.store.rv as usize * 50)));
    }
}

#[test]
fn in_a_rush_one_write_gathers_what_changes_meanwhile() {
    let mut rig = crowd();
    change(&mut rig, 0..10);
    assert_eq!(rig.run(), ["patch web"]);
    change(&mut rig, 10..20);
    assert!(rig.run().is_empty());
    change(&mut rig, 20..30);
    assert!(rig.run().is_empty());
    rig.advance(1);
    assert_eq!(rig.run(), ["patch web"]);
    rig.advance(1);
    assert!(rig.run().is_empty());
}

#[test]
fn changes_that_come_alone_are_written_at_once() {
    let mut rig = crowd();
    for i in 0..20 {
        change(&mut rig, i..i + 1);
        assert_eq!(rig.run(), ["patch web"]);
    }
}

/// Of a thousand pods 930 become ready, one each millisecond. Returns how many writes that takes, and how many milliseconds
/// pass from the last change until it is written.
fn become_ready(rig: &mut Rig) -> (usize, usize) {
    let tick = Duration::from_millis(1);
    let (mut under_way, mut view_at, mut written_at) = (Vec::new(), None, 0);
    for at in 0..1300 {
        rig.now = Now { wall: rig.now.wall + tick, mono: rig.now.mono + tick };
        if at < READY {
            rig.apply(backend(&format!("p{at}"), &ip(at)));
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

/// Looking again as soon as a write has been seen would lead to some 50 writes, and a rest of 100 ms that nothing ends early
/// to as few as here, with the last change written after 105 ms.
#[test]
fn a_thousand_that_become_ready_are_a_dozen_writes_and_the_last_does_not_wait() {
    let pods = (0..1000).map(|i| backend(&format!("p{i}"), &ip(i)).condition("Ready", Status::False, 1000));
    let mut rig = Rig::new(vec![service()], pods.collect());
    assert_eq!(rig.run(), ["create web"]);
    let (writes, wait) = become_ready(&mut rig);
    let count = |list: &str| rig.object()["subsets"][0][list].as_array().map_or(0, Vec::len);
    assert_eq!((count("addresses"), count("notReadyAddresses")), (READY, 1000 - READY));
    assert!(writes <= 12, "{writes} writes");
    assert!(wait <= 50, "the last one after {wait} ms");
}
