//! The whole course of a preemption in a simulated cluster.

use headroom_core::{
    Str,
    intent::WriteError,
    testing::{node, pod},
};

use super::{HIGH, MID, on, wanting, with_nodes};
use crate::simulator::Simulator;

#[test]
fn from_the_condition_to_the_binding() {
    let mut s = with_nodes(&[("n", 4)]);
    for name in ["a", "b", "c"] {
        s.pod(on(name, "n", 1, 0, 0).build());
    }
    s.pod(on("gone", "n", 1, 0, 0).deleted(1_800_000_010).build());
    s.pod(wanting(4).build());
    assert!(s.step());
    assert!(s.message("uid-preemptor").ends_with("0/1 nodes are available: 1 Insufficient cpu."), "no suffix");
    // All but the last victim at once; the pod says where it will go.
    assert_eq!(s.engine.preemptions_in_progress(), 1);
    s.deliver();
    let condition = s.pods["uid-a"].condition("DisruptionTarget").unwrap();
    assert_eq!(
        (condition.reason.as_str(), condition.message.as_str(), condition.observed_generation),
        ("PreemptionByScheduler", "default-scheduler: preempting to accommodate a higher priority pod", 1)
    );
    assert_eq!(s.pods["uid-preemptor"].status.nominated_node_name.as_deref(), Some("n"));
    assert_eq!(s.deletions.len(), 3, "who is leaving already needs no push: {:?}", s.deletions);
    assert_eq!(s.deletions.last().map(Str::as_str), Some("uid-c"), "the least important one last");
    let told: Vec<_> = s.events.iter().filter(|e| e.reason == "Preempted").collect();
    assert_eq!(told.len(), 3);
    assert_eq!(
        (told[0].note.as_str(), told[0].action, told[0].related.as_ref().unwrap().uid.as_str()),
        ("Preempted by pod uid-preemptor on node n", "Preempting", "uid-preemptor")
    );
    assert_eq!((s.engine.preemptions_in_progress(), s.engine.stats().preemption_attempts), (0, 1));
    // While they end, nobody of its priority or less takes the room.
    s.pod(pod("greedy").requests("1", "1Gi").priority(HIGH).build());
    s.finish_deletions();
    s.advance(2);
    s.run();
    assert_eq!((s.node_of("uid-preemptor"), s.node_of("uid-greedy")), (Some("n"), None));
    assert_eq!(s.inconsistency(), None);
}

#[test]
fn the_preemptor_is_held_back_while_victims_are_written_to() {
    let mut s = with_nodes(&[("n", 4)]);
    for name in ["a", "b"] {
        s.pod(on(name, "n", 2, 0, 0).build());
    }
    s.pod(wanting(4).build());
    assert!(s.step());
    let held = |s: &Simulator| s.engine.explain(&s.pods["uid-preemptor"], s.now).result.message;
    let waits = "waiting for the preemption for this pod to be finished";
    assert_eq!(held(&s), waits);
    // A pod of the node ends by itself: the event finds the preemptor gated.
    s.delete_pod("uid-a");
    assert_eq!(s.engine.stats().pending.gated, 1);
    assert!(!s.step(), "it is not tried");
    // The last victim is seen going before the answer to its deletion: the next departure lets the preemptor go.
    s.deliver();
    assert_ne!(held(&s), waits);
    s.finish_deletions();
    s.advance(2);
    s.run();
    assert_eq!(s.node_of("uid-preemptor"), Some("n"));
    assert_eq!(s.inconsistency(), None);
}

#[test]
fn the_preemptor_waits_until_its_victims_are_seen_going() {
    let mut s = with_nodes(&[("n1", 4), ("n2", 8)]);
    s.pod(on("a", "n1", 4, 0, 0).build());
    s.pod(on("b", "n2", 6, 0, 0).build());
    s.pod(on("c", "n2", 1, MID, 0).build());
    s.pod(wanting(4).build());
    s.unseen = Some(Vec::new());
    assert!(s.step());
    s.deliver();
    assert_eq!(s.deletions, ["uid-a"], "all is written");
    // The watch is late; what happens elsewhere could help, but the room on n1 is on its way.
    s.delete_pod("uid-c");
    s.advance(11);
    assert!(!s.step(), "it is not tried, and makes room nowhere else");
    s.let_watch_go_on();
    assert_eq!(s.engine.preemptions_in_progress(), 0);
    s.finish_deletions();
    s.run();
    assert_eq!((s.node_of("uid-preemptor"), s.deletions.len()), (Some("n1"), 1));
    assert_eq!(s.inconsistency(), None);
}

#[test]
fn when_a_write_fails_the_preemptor_is_tried_again_at_once() {
    for (error, again) in [
        (WriteError::Forbidden("no".into()), true),
        (WriteError::Unknown("connection reset".into()), true),
        (WriteError::NotFound("b".into()), false),
        (WriteError::Conflict("uid".into()), false),
    ] {
        let mut s = with_nodes(&[("n", 4)]);
        for name in ["a", "b"] {
            s.pod(on(name, "n", 2, 0, 0).build());
        }
        s.pod(wanting(4).build());
        assert!(s.step());
        s.deletion_faults.push_back(Some(error.clone()));
        s.deliver();
        assert_eq!(s.engine.preemptions_in_progress(), 0);
        let active = s.engine.stats().pending.active;
        assert_eq!(active == 1, again, "{error}");
        // After the first failure the last victim is left alone until the next attempt.
        assert_eq!(s.deletions.len(), usize::from(!again), "{error}");
        s.run();
        s.finish_deletions();
        s.delete_pod("uid-a");
        s.advance(11);
        s.run();
        assert_eq!(s.node_of("uid-preemptor"), Some("n"), "{error}");
        assert_eq!(s.inconsistency(), None);
    }
}

#[test]
fn nominations_of_less_important_pods_are_cleared() {
    let mut s = with_nodes(&[("n", 4)]);
    s.pod(on("a", "n", 4, 0, 0).build());
    s.pod(pod("mid").requests("4", "1Gi").priority(MID).build());
    s.run();
    assert_eq!(s.pods["uid-mid"].status.nominated_node_name.as_deref(), Some("n"));
    // The victim leaves slowly; somebody more important comes, for whom a second victim is not needed.
    s.pod(on("b", "n", 0, 0, 5).build());
    s.pod(wanting(4).build());
    s.run();
    assert_eq!(s.pods["uid-preemptor"].status.nominated_node_name.as_deref(), Some("n"));
    s.finish_deletions();
    s.advance(2);
    s.run();
    assert_eq!((s.node_of("uid-preemptor"), s.node_of("uid-mid")), (Some("n"), None));
    s.delete_pod("uid-preemptor");
    s.advance(11);
    s.run();
    assert_eq!(s.node_of("uid-mid"), Some("n"));
    assert_eq!(s.inconsistency(), None);
}

#[test]
fn a_nomination_survives_a_restart_and_ends_when_it_is_of_no_use() {
    let mut s = with_nodes(&[("n1", 4), ("n2", 1)]);
    // As a new process finds it: the pod was nominated, its victim is gone.
    s.pod(wanting(4).with(|p| p.status.nominated_node_name = Some("n1".into())).gate("later").build());
    s.pod(pod("small").requests("4", "1Gi").build());
    s.run();
    assert_eq!(s.node_of("uid-small"), None, "the place is promised");
    s.delete_node("n1");
    s.pod(wanting(4).with(|p| p.status.nominated_node_name = Some("n1".into())).build());
    s.run();
    assert_eq!(s.pods["uid-preemptor"].status.nominated_node_name, None, "nothing is promised any more");
    s.node(node("n1").capacity("4", "32Gi", 110).build());
    s.advance(11);
    s.run();
    assert_eq!(s.node_of("uid-preemptor"), Some("n1"), "it is the more important one");
}
