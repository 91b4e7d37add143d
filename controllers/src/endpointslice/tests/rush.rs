//! Large services whose pods change many at a time.

use headroom_core::object::Status;

use super::*;

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
