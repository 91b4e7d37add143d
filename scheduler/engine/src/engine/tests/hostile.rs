//! Pods as large or as strange as users can make them: decided in bounded time, told what is wrong, and nobody else
//! suffers.

use std::time::Duration;

use headroom_core::{
    object::Status,
    testing::hostile::{SHAPES, Shape},
};

use super::*;

/// What one hostile pod may cost on [`NODES`] nodes, without optimizations, on a machine that has other things to do. Far above
/// what any takes: it finds what never ends. `benches/hostile.rs` and `make bench-hostile` are strict.
const MOST: Duration = Duration::from_secs(10);
const NODES: usize = 100;

fn cluster(classes: bool) -> Simulator {
    let mut s = Simulator::new(Mode::Primary);
    s.engine.set_classes_enabled(classes);
    for i in 0..NODES {
        let n = node(&format!("n{i}")).taint("k1", "0", Effect::PreferNoSchedule).label("zone", "a");
        s.node(n.build());
    }
    s
}

#[expect(clippy::disallowed_methods, reason = "what is tested is how long it takes")]
fn timed(what: &str, f: impl FnOnce()) {
    let start = std::time::Instant::now();
    f();
    let took = start.elapsed();
    assert!(took < MOST, "{what} took {took:?}");
}

fn one(s: &mut Simulator, shape: &Shape, name: &str) {
    let p = (shape.build)(name).build();
    timed(shape.name, || {
        s.pod(p);
        s.run();
    });
}

#[test]
fn every_shape_is_decided_and_told() {
    for shape in SHAPES {
        let mut s = cluster(true);
        one(&mut s, shape, "p");
        let condition = s.pods["uid-p"].condition("PodScheduled").cloned();
        if shape.fits {
            assert!(s.node_of("uid-p").is_some(), "{}: {:?}", shape.name, condition.map(|c| c.message));
        } else if s.pods["uid-p"].spec.scheduling_gates.is_empty() {
            let condition = condition.unwrap();
            assert_eq!(condition.status, Status::False, "{}", shape.name);
            // What no API server lets through is an error, and says what is wrong.
            let wrong = condition.reason == *"SchedulerError" && shape.name == "selectors that are not valid";
            let told =
                condition.reason == *"Unschedulable" && condition.message.starts_with("0/100 nodes are available: ");
            assert!(wrong || told, "{}: {condition:?}", shape.name);
        }
        // Another one beside it, and then an ordinary pod.
        one(&mut s, shape, "q");
        s.pod(pod("after").requests("1m", "1Mi").build());
        s.run();
        assert!(s.node_of("uid-after").is_some(), "{}: {}", shape.name, s.message("uid-after"));
        assert_eq!(s.inconsistency(), None, "{}", shape.name);
        timed(shape.name, || {
            for uid in ["uid-p", "uid-q", "uid-after"] {
                s.delete_pod(uid);
            }
            s.advance(1);
        });
        assert_eq!(s.inconsistency(), None, "{}", shape.name);
        assert_eq!(s.engine.stats().intents, 0);
    }
}

#[test]
fn both_paths_decide_the_same() {
    for shape in SHAPES {
        let (mut with, mut without) = (cluster(true), cluster(false));
        for s in [&mut with, &mut without] {
            for name in ["p", "q"] {
                one(s, shape, name);
            }
        }
        assert_eq!(with.binds, without.binds, "{}", shape.name);
        for uid in ["uid-p", "uid-q"] {
            assert_eq!(with.message(uid), without.message(uid), "{}", shape.name);
        }
    }
}
