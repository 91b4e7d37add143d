//! Large services whose pods change many at a time.

use super::{Rig, backend, service};

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
