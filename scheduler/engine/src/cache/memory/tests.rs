use std::{collections::BTreeSet, sync::Arc};

use headroom_core::{
    Str, Timestamp,
    memory::{MIB, Params, PodUsage, Sample, SwapBehavior, SwapMedia},
    object::{Meta, NodeHeadroom, ObjectKey},
    testing::{PodBuilder, node, pod},
};
use proptest::prelude::*;

use crate::{cache::Cache, framework::PodInfo};

const AT: Timestamp = Timestamp(1_800_000_000_000_000);

/// A sample of `n` in which pods of these UIDs hold so many MiB of RAM, and a tenth of it in swap.
fn sample(pods: &[(&str, i64)], second: i64) -> Arc<NodeHeadroom> {
    let pods = pods.iter().map(|(uid, mib)| {
        let usage = PodUsage { working_set: mib * MIB, swap: Some(mib * MIB / 10), swap_available: None };
        (Str::from(*uid), usage)
    });
    Arc::new(NodeHeadroom {
        meta: Meta { key: ObjectKey::new("", "n"), ..Meta::default() },
        sample: Some(Sample {
            at: Timestamp(AT.0 + second * 1_000_000),
            working_set: Some(900 * MIB),
            swap_used: Some(200 * MIB),
            ..Sample::default()
        }),
        eviction_hard: Some(0),
        pods: pods.collect(),
        ..NodeHeadroom::default()
    })
}

fn cache() -> Cache {
    let mut c = Cache::default();
    c.enable_memory(Params::default());
    c.set_time(AT);
    c.set_node(node("n").capacity("4", "1Gi", 110).swap("2Gi").arc());
    c
}

fn put(c: &mut Cache, p: PodBuilder) {
    c.set_pod(PodInfo::new(p.on("n").ready(1, "10.0.0.1").arc()), &"n".into());
}

/// MiB of RAM and of swap that pods freed which are gone; and nothing differs from counting anew.
fn freed(c: &Cache) -> (i64, i64) {
    assert_eq!(c.memory_difference(), None);
    let sums = &c.node("n").unwrap().memory.as_ref().unwrap().sums;
    (sums.freed_working_set() / MIB, sums.freed_swap() / MIB)
}

fn headroom(c: &Cache) -> i64 {
    c.node("n").unwrap().memory.as_ref().unwrap().state.headroom
}

#[test]
fn a_pod_that_comes_back_is_not_free_any_more() {
    let mut c = cache();
    put(&mut c, pod("p"));
    c.set_headroom(sample(&[("uid-p", 300)], 0));
    let before = headroom(&c);
    for _ in 0..3 {
        c.remove_pod("uid-p");
        assert_eq!((freed(&c), headroom(&c)), ((300, 30), before + 300 * MIB));
        put(&mut c, pod("p"));
        assert_eq!((freed(&c), headroom(&c)), ((0, 0), before));
    }
}

#[test]
fn a_changed_spec_frees_nothing() {
    let mut c = cache();
    put(&mut c, pod("p").requests("", "64Mi"));
    c.set_headroom(sample(&[("uid-p", 300)], 0));
    let before = headroom(&c);
    // Resized in place; then a new image.
    put(&mut c, pod("p").requests("", "128Mi"));
    assert_eq!((freed(&c), headroom(&c)), ((0, 0), before));
    put(&mut c, pod("p").requests("", "128Mi").label("a", "b"));
    assert_eq!((freed(&c), headroom(&c)), ((0, 0), before));
}

#[test]
fn a_pod_that_was_sampled_before_it_was_seen_as_bound_frees_nothing() {
    let mut c = cache();
    let slot = c.slot("n").unwrap();
    c.set_headroom(sample(&[], 0));
    c.assume(PodInfo::new(pod("p").arc()), slot);
    c.set_headroom(sample(&[("uid-p", 300)], 1));
    assert_eq!(freed(&c), (0, 0));
    put(&mut c, pod("p"));
    assert_eq!(freed(&c), (0, 0));
}

#[test]
fn confirmation_makes_no_room_that_others_are_woken_for() {
    let mut c = cache();
    let slot = c.slot("n").unwrap();
    c.set_headroom(sample(&[], 0));
    let assumed = c.info(pod("p").requests("", "64Mi").arc(), None);
    c.assume(assumed.clone(), slot);
    c.take_memory_news();
    let before = (headroom(&c), c.generations()[slot as usize]);
    let bound = c.info(pod("p").requests("", "64Mi").on("n").arc(), Some(&assumed));
    assert!(c.set_pod(bound, &"n".into()).was_assumed);
    assert_eq!((freed(&c), (headroom(&c), c.generations()[slot as usize])), ((0, 0), before));
    assert_eq!(c.take_memory_news(), (Vec::new(), false));
}

#[test]
fn a_static_pod_is_known_by_its_hash() {
    let mut c = cache();
    let mirror = |uid: &str| pod("p").uid(uid).annotation("kubernetes.io/config.hash", "hash");
    put(&mut c, mirror("first"));
    c.set_headroom(sample(&[("hash", 300)], 0));
    put(&mut c, mirror("second"));
    c.remove_pod("first");
    assert_eq!(freed(&c), (0, 0), "the second stands for the same containers");
    c.remove_pod("second");
    assert_eq!(freed(&c), (300, 30));
    put(&mut c, mirror("third"));
    assert_eq!(freed(&c), (0, 0));
}

#[test]
fn a_static_pod_protects_its_node_as_soon_as_its_label_says_so() {
    let mut c = cache();
    c.set_headroom(sample(&[], 0));
    for (component, protected) in [("proxy", false), ("etcd", true), ("proxy", false)] {
        let mirror = pod("p").annotation("kubernetes.io/config.mirror", "hash").label("component", component);
        let info = c.info(mirror.on("n").arc(), None);
        c.set_pod(info, &"n".into());
        assert_eq!(c.node("n").unwrap().memory.as_ref().unwrap().node.protected, protected, "{component}");
        assert_eq!(c.memory_difference(), None);
    }
}

#[test]
fn credits_last_as_long_as_the_sample() {
    let mut c = cache();
    put(&mut c, pod("p"));
    c.set_headroom(sample(&[("uid-p", 300)], 0));
    c.remove_pod("uid-p");
    c.set_node(node("n").capacity("4", "1Gi", 110).swap("2Gi").label("a", "b").arc());
    assert_eq!(freed(&c), (300, 30));
    // The newer one still has it: its kubelet has not done yet. Nothing is taken back that was not given.
    c.set_headroom(sample(&[("uid-p", 300)], 1));
    assert_eq!(freed(&c), (0, 0));
    put(&mut c, pod("p"));
    assert_eq!(freed(&c), (0, 0));
}

#[test]
fn what_annotations_and_labels_say_of_a_node() {
    let mut c = cache();
    c.set_headroom(sample(&[], 0));
    let memory = |c: &Cache| {
        let node = c.node("n").unwrap().memory.as_ref().unwrap().node;
        (node.behavior, node.media, node.protected)
    };
    assert_eq!(memory(&c), (SwapBehavior::Unknown, SwapMedia::Ssd, false));
    let said = node("n").label("headroom.dev/swap-behavior", "LimitedSwap").label("headroom.dev/swap-media", "zram");
    c.set_node(said.annotation("headroom.dev/swap-media", "hdd").annotation("headroom.dev/protected", "true").arc());
    assert_eq!(memory(&c), (SwapBehavior::LimitedSwap, SwapMedia::Hdd, true));
}

#[derive(Debug, Clone)]
enum Act {
    Put(u8, u8),
    Assume(u8, u8),
    Remove(u8),
    Sample,
    SameSample,
    Node(bool),
}

fn act() -> impl Strategy<Value = Act> {
    let name = 0..3_u8;
    prop_oneof![
        3 => (name.clone(), 0..3_u8).prop_map(|(n, spec)| Act::Put(n, spec)),
        2 => (name.clone(), 0..3_u8).prop_map(|(n, spec)| Act::Assume(n, spec)),
        3 => name.prop_map(Act::Remove),
        1 => Just(Act::Sample),
        1 => Just(Act::SameSample),
        1 => any::<bool>().prop_map(Act::Node),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]
    /// Against the plainest model: who was there and has left since the sample.
    #[test]
    fn freed_is_what_those_held_that_left(acts in proptest::collection::vec(act(), 0..40)) {
        let uids = [("uid-p0", 100), ("uid-p1", 150), ("uid-p2", 200)];
        let mut c = cache();
        let mut second = 0;
        c.set_headroom(sample(&uids, second));
        let (mut here, mut gone) = (BTreeSet::new(), BTreeSet::new());
        let slot = c.slot("n").unwrap();
        let named = |n: u8, spec: u8| pod(&format!("p{n}")).requests("", &format!("{spec}Mi"));
        for a in acts {
            match a {
                Act::Put(n, spec) => {
                    let info = c.info(named(n, spec).on("n").ready(1, "10.0.0.1").arc(), None);
                    c.set_pod(info, &"n".into());
                    here.insert(n);
                    gone.remove(&n);
                }
                Act::Assume(n, spec) => {
                    let info = c.info(named(n, spec).arc(), None);
                    c.assume(info, slot);
                    here.insert(n);
                    gone.remove(&n);
                }
                Act::Remove(n) => {
                    c.remove_pod(uids[usize::from(n)].0);
                    if here.remove(&n) {
                        gone.insert(n);
                    }
                }
                // One that comes from later than now is not believed.
                Act::Sample if second == 4 => {}
                Act::Sample => {
                    second += 1;
                    c.set_headroom(sample(&uids, second));
                    gone.clear();
                }
                Act::SameSample => c.set_headroom(sample(&uids, second)),
                Act::Node(label) => {
                    let n = node("n").capacity("4", "1Gi", 110).swap("2Gi").label("a", &label.to_string());
                    c.set_node(n.arc());
                }
            }
            let expected: i64 = gone.iter().map(|n| uids[usize::from(*n)].1).sum();
            prop_assert_eq!(freed(&c), (expected, expected / 10));
            prop_assert_eq!(headroom(&c), headroom(&c.recomputed()) + expected * MIB);
        }
    }
}
