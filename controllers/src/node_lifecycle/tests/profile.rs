//! Profiles `fast` and `patient`: when a silent node is declared so.

use headroom_core::memory::{PressureState, Sample};

use super::*;
use crate::framework::HeadroomRow;

fn cluster(profile: LifecycleProfile) -> Cluster {
    let mut c = Cluster::with(3, NodeLifecycleOptions { profile, ..NodeLifecycleOptions::default() }, |n| n);
    c.run(100);
    assert_eq!(c.taken(), []);
    c.kill("n1");
    c
}

/// Lets seconds pass and answers every dial like this; `None` loses it. Returns how many there were.
fn run(c: &mut Cluster, seconds: u64, answered: Option<bool>) -> usize {
    let mut dials = 0;
    for _ in 0..seconds {
        c.run(1);
        for dial in c.rig.controller.take_dials() {
            assert_eq!((&*dial.node, &*dial.address, dial.port), ("n1", "192.0.2.1", 10250));
            dials += 1;
            if let Some(answered) = answered {
                let result = DialResult { id: dial.id, node: dial.node, answered };
                c.rig.controller.dialled(&result, &c.rig.world, c.rig.now);
            }
        }
        c.serve();
    }
    dials
}

/// After how many seconds of silence the node was declared silent.
fn declared(c: &mut Cluster) -> Option<u64> {
    c.taken().iter().find(|(_, what)| what == "n1 conditions").map(|(at, _)| at - 100)
}

fn publish(c: &mut Cluster, state: PressureState) {
    let sample = Sample { at: c.rig.now.wall, state, ..Sample::default() };
    let meta = Meta { key: ObjectKey::new("", "n1"), ..Meta::default() };
    c.rig.headroom(Arc::new(HeadroomRow { meta, sample, ..HeadroomRow::default() }));
}

#[test]
fn the_grace_of_each_profile() {
    for (profile, answered, least, most, dialled) in [
        (LifecycleProfile::Stock, Some(true), 50, 55, false),
        (LifecycleProfile::Patient, Some(true), 120, 125, false),
        (LifecycleProfile::Fast, Some(false), 24, 28, true),
        // Nobody says what became of the dials.
        (LifecycleProfile::Fast, None, 144, 150, true),
        // A kubelet that can be dialled has as long as upstream would give it, and no longer.
        (LifecycleProfile::Fast, Some(true), 50, 54, true),
    ] {
        let mut c = cluster(profile);
        let dials = run(&mut c, 200, answered);
        let at = declared(&mut c);
        assert!(at.is_some_and(|at| (least..=most).contains(&at)), "{profile:?} {answered:?}: {at:?}");
        assert_eq!(dials > 0, dialled, "{profile:?}");
    }
}

#[test]
fn a_node_without_an_address_is_not_dialled() {
    let mut c = cluster(LifecycleProfile::Fast);
    let row = Node { addresses: Box::new([]), ..c.node_row("n1") };
    c.rig.node(Arc::new(row));
    assert_eq!(run(&mut c, 40, Some(true)), 0);
    assert!(declared(&mut c).is_some_and(|at| at <= 28));
}

#[test]
fn a_sign_of_life_during_the_dial_counts() {
    let mut c = cluster(LifecycleProfile::Fast);
    let mut dials = Vec::new();
    while dials.is_empty() {
        c.run(1);
        dials = c.rig.controller.take_dials();
    }
    c.alive.push("n1".into());
    c.renew();
    let result = DialResult { id: dials[0].id, node: "n1".into(), answered: false };
    c.rig.controller.dialled(&result, &c.rig.world, c.rig.now);
    c.run(60);
    assert_eq!(c.taken(), []);
}

#[test]
fn slow_is_not_dead_for_five_minutes() {
    use LifecycleProfile::{Fast, Patient, Stock};
    use PressureState::{Hot, Thrash};
    for (profile, state, answers, least, most) in [
        (Stock, Thrash, true, 50, 55),
        (Patient, Thrash, true, 420, 426),
        (Patient, Thrash, false, 120, 125),
        (Patient, Hot, true, 120, 125),
        (Fast, Thrash, true, 324, 330),
        (Fast, Thrash, false, 24, 28),
        (Fast, Hot, true, 24, 28),
    ] {
        let mut c = cluster(profile);
        for second in 0..600 {
            if second % 15 == 0 {
                publish(&mut c, state);
                if answers {
                    c.rig.controller.kubelet_answered("n1", c.rig.now.mono);
                }
            }
            run(&mut c, 1, Some(false));
        }
        let at = declared(&mut c);
        assert!(at.is_some_and(|at| (least..=most).contains(&at)), "{profile:?} {state:?} {answers}: {at:?}");
    }
}

#[test]
fn a_state_that_nobody_has_published_for_long_spares_nobody() {
    let mut c = cluster(LifecycleProfile::Patient);
    publish(&mut c, PressureState::Thrash);
    for _ in 0..300 {
        c.rig.controller.kubelet_answered("n1", c.rig.now.mono);
        c.run(1);
    }
    assert!(declared(&mut c).is_some_and(|at| (180..=190).contains(&at)));
}

#[test]
fn a_slow_node_that_renews_starts_afresh() {
    let mut c = cluster(LifecycleProfile::Patient);
    for second in 0..1200 {
        if second % 10 == 0 {
            publish(&mut c, PressureState::Thrash);
            c.rig.controller.kubelet_answered("n1", c.rig.now.mono);
        }
        // Every 400 s at last.
        if second % 400 == 399 {
            c.alive.push("n1".into());
            c.renew();
            c.kill("n1");
        }
        c.run(1);
    }
    assert_eq!(c.taken(), []);
}
