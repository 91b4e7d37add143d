//! Pods with claims through the whole engine: reserved, written, waited for, bound; or taken back.

use std::sync::Arc;

use headroom_core::{
    object::NO_PROVISIONER,
    testing::{claim, volume, waiting_class},
};

use super::*;
use crate::cache::StorageObject;

const HOST: &str = "kubernetes.io/hostname";

/// Two nodes; a class of local volumes, one on `n2`; a class that provisions.
fn cluster() -> Simulator {
    let mut s = Simulator::new(Mode::Primary);
    s.node(node("n1").build());
    s.node(node("n2").build());
    s.class(waiting_class("local", NO_PROVISIONER));
    s.class(waiting_class("made", "example.com/p"));
    s.volume(volume("on-n2").class("local").affinity(HOST, &["n2"]).build());
    s
}

fn consistent(s: &Simulator) {
    assert_eq!(s.inconsistency(), None);
    let storage = s.engine.cache().storage();
    assert_eq!((storage.volumes.assumed_count(), storage.claims.assumed_count()), (0, 0));
}

#[test]
fn a_pod_goes_where_its_volume_is_and_is_bound_after_it() {
    let mut s = cluster();
    s.claim(claim("c").class("local").build());
    s.pod(pod("p").claim("c").build());
    s.run();
    assert!(s.binds.is_empty(), "the PV controller has not bound the claim");
    let told: Vec<_> = s.patches.iter().filter_map(|(_, p)| p.nominated_node_name.clone()).collect();
    assert_eq!(told, [Some("n2".into())], "an autoscaler may know where it goes");
    // What is reserved is nobody else's.
    s.claim(claim("d").class("local").build());
    s.pod(pod("q").claim("d").build());
    s.run();
    assert_eq!(
        s.message("uid-q"),
        "0/2 nodes are available: 2 node(s) didn't find available persistent volumes to bind. no new claims to \
         deallocate, preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling."
    );
    s.bind_claims(false);
    s.run();
    assert_eq!(s.binds, [("uid-p".into(), "n2".into())]);
    consistent(&s);
}

#[test]
fn a_volume_is_made_for_the_chosen_node() {
    let mut s = cluster();
    s.claim(claim("c").class("made").build());
    s.pod(pod("p").claim("c").build());
    s.run();
    assert!(s.binds.is_empty());
    let chosen = s.stored.values().find_map(|o| match o {
        StorageObject::Claim(c) => c.selected_node().cloned(),
        _ => None,
    });
    s.bind_claims(true);
    s.run();
    assert_eq!(s.binds, [("uid-p".into(), chosen.unwrap())]);
    consistent(&s);
}

#[test]
fn waiting_for_ever_ends_and_the_pod_is_tried_again() {
    let mut s = cluster();
    s.claim(claim("c").class("made").build());
    s.pod(pod("p").claim("c").build());
    s.run();
    s.advance(601);
    let expected = "running PreBind plugin \"VolumeBinding\": binding volumes: context deadline exceeded";
    s.deliver();
    assert!(notes(&s).iter().any(|n| n.ends_with(expected)), "{:?}", notes(&s));
    s.advance(5);
    s.run();
    s.bind_claims(true);
    s.run();
    assert_eq!(s.binds.len(), 1);
    consistent(&s);
}

#[test]
fn a_provisioner_that_gives_up_sends_the_pod_back() {
    let mut s = cluster();
    s.claim(claim("c").class("made").build());
    s.pod(pod("p").claim("c").build());
    s.run();
    s.claim(claim("c").class("made").annotation("volume.kubernetes.io/storage-provisioner", "p").build());
    s.deliver();
    assert!(
        notes(&s).iter().any(|n| n.ends_with("binding volumes: provisioning failed for PVC \"c\"")),
        "{:?}",
        notes(&s)
    );
    s.advance(5);
    s.run();
    s.bind_claims(true);
    s.run();
    assert_eq!(s.binds.len(), 1);
    consistent(&s);
}

#[test]
fn a_pod_that_goes_gives_its_volume_back() {
    let mut s = cluster();
    s.claim(claim("c").class("local").build());
    s.claim(claim("d").class("local").build());
    s.pod(pod("p").claim("c").build());
    assert!(s.step());
    s.delete_pod("uid-p");
    s.pending.clear();
    s.pod(pod("q").claim("d").build());
    s.run();
    s.bind_claims(false);
    s.run();
    assert_eq!(s.binds, [("uid-q".into(), "n2".into())]);
    consistent(&s);
}

#[test]
fn events_of_storage_try_pods_again() {
    let mut s = cluster();
    s.pod(pod("p").claim("c").build());
    s.run();
    assert_eq!(s.message("uid-p"), "0/2 nodes are available: persistentvolumeclaim \"c\" not found. not found");
    s.claim(claim("c").class("local").request("5Gi").build());
    s.advance(2);
    s.run();
    assert!(s.message("uid-p").contains("didn't find available persistent volumes"), "{}", s.message("uid-p"));
    s.volume(volume("big").class("local").capacity("9Gi").affinity(HOST, &["n1"]).build());
    s.advance(4);
    s.run();
    s.bind_claims(false);
    s.run();
    assert_eq!(s.binds, [("uid-p".into(), "n1".into())]);
    consistent(&s);
}

#[test]
fn pods_without_claims_stay_in_their_classes() {
    let mut s = cluster();
    s.pod(pod("p").build());
    s.pod(pod("q").build());
    s.run();
    assert!(s.decisions.iter().all(|d| matches!(d.result, DecisionResult::Assumed { class: true, .. })));
    s.storage(StorageObject::Class(Arc::new(waiting_class("another", "p"))));
    s.claim(claim("c").class("local").build());
    s.pod(pod("r").claim("c").build());
    s.run();
    assert!(matches!(s.decisions.last().unwrap().result, DecisionResult::Assumed { .. }));
}
