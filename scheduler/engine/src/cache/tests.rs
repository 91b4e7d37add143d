use headroom_core::testing::{node, pod};

use super::*;

fn info(name: &str) -> PodInfo {
    PodInfo::new(pod(name).requests("1", "1Gi").arc())
}

#[test]
fn assume_confirm_forget() {
    let mut c = Cache::default();
    c.set_node(node("a").arc());
    let slot = c.slot("a").unwrap();
    assert!(c.assume(info("p"), slot) && !c.assume(info("p"), slot));
    assert_eq!((c.assumed_count(), c.node("a").unwrap().requested.milli_cpu), (1, 1000));
    let change = c.set_pod(info("p"), &"a".into());
    assert!(change.was_assumed && change.moved_from.is_none());
    assert_eq!(c.assumed_count(), 0);
    assert!(c.forget("uid-p").is_none(), "confirmed pods are not forgotten");
    assert!(c.remove_pod("uid-p").is_some());
    assert_eq!(c.node("a").unwrap().requested.milli_cpu, 0);
}

/// What may have become of an assumed pod when it is seen as bound: nodes are looked at again only when it counts.
#[test]
fn confirmation_alone_is_no_change_of_the_node() {
    type Meanwhile = fn(&mut Pod);
    let cases: [(&str, &str, Meanwhile, bool); 5] = [
        ("as assumed", "a", |p| p.meta.resource_version = 9, false),
        ("relabelled", "a", |p| p.meta.labels = [("a", "b")].into_iter().collect(), true),
        ("being deleted", "a", |p| p.meta.set_deleted(Timestamp::default()), true),
        ("another spec", "a", |p| Arc::make_mut(&mut p.spec).priority = 7, true),
        ("elsewhere", "b", |p| p.meta.resource_version = 9, true),
    ];
    for (what, place, meanwhile, changes) in cases {
        let mut c = Cache::default();
        c.set_node(node("a").arc());
        c.set_node(node("b").arc());
        let assumed = c.info(pod("p").requests("1", "1Gi").arc(), None);
        let slot = c.slot("a").unwrap();
        assert!(c.assume(assumed.clone(), slot));
        let before = c.generations()[slot as usize];
        let mut bound = (*assumed.pod).clone();
        meanwhile(&mut bound);
        let bound = c.info(Arc::new(bound), Some(&assumed));
        let change = c.set_pod(bound.clone(), &place.into());
        assert!(change.was_assumed && change.moved_from.is_some() == (place == "b"), "{what}: {change:?}");
        assert_eq!(c.generations()[slot as usize] != before, changes, "{what}");
        assert_eq!((c.difference(&c.recomputed()), c.assumed_count()), (None, 0), "{what}");
        assert!(c.pod("uid-p").is_some_and(|known| Arc::ptr_eq(&known.info.pod, &bound.pod)), "{what}");
        assert!(c.forget("uid-p").is_none(), "{what}: confirmed pods are not forgotten");
        assert!(!c.set_pod(bound, &place.into()).was_assumed, "{what}: once");
    }
}

#[test]
fn confirmed_elsewhere_moves() {
    let mut c = Cache::default();
    c.set_node(node("a").arc());
    c.set_node(node("b").arc());
    c.assume(info("p"), c.slot("a").unwrap());
    let change = c.set_pod(info("p"), &"b".into());
    assert_eq!(change.moved_from.as_deref(), Some("a"));
    assert_eq!((c.node("a").unwrap().pods.len(), c.node("b").unwrap().pods.len()), (0, 1));
}

#[test]
fn pods_of_unknown_nodes_are_kept_and_counted_when_it_comes() {
    let mut c = Cache::default();
    c.set_pod(info("p"), &"late".into());
    assert_eq!((c.node_count(), c.slots()), (0, 1));
    assert!(c.node("late").is_none());
    c.set_node(node("late").arc());
    assert_eq!(c.node("late").unwrap().requested.milli_cpu, 1000);
    c.remove_node("late");
    assert!(c.node("late").is_none());
    c.set_node(node("late").arc());
    assert_eq!(c.node("late").unwrap().pods.len(), 1, "pods stay while their node is away");
    c.remove_node("late");
    c.remove_pod("uid-p");
    c.set_node(node("other").arc());
    assert_eq!(c.slots(), 1, "the slot is used again");
}

#[test]
fn generations_change_with_what_matters() {
    let mut c = Cache::default();
    c.set_node(node("a").arc());
    let at = |c: &Cache| c.generations()[0];
    let first = at(&c);
    c.set_pod(info("p"), &"a".into());
    let second = at(&c);
    assert!(second > first);
    // A status update with the same spec changes no sum.
    let mut specs = SpecCache::default();
    let p = pod("q").arc();
    let one = specs.info(p.clone(), None);
    c.set_pod(one.clone(), &"a".into());
    let third = at(&c);
    c.set_pod(specs.info(p, Some(&one)), &"a".into());
    assert_eq!(at(&c), third);
    c.remove_node("a");
    assert_eq!(at(&c), 0);
}

#[test]
fn labels_and_deletion_are_changes() {
    let mut c = Cache::default();
    c.set_node(node("a").arc());
    let p = info("p");
    c.set_pod(p.clone(), &"a".into());
    let again = |change: &dyn Fn(&mut Pod)| {
        let mut pod = (*p.pod).clone();
        change(&mut pod);
        PodInfo { pod: Arc::new(pod), spec: p.spec.clone() }
    };
    let mut last = c.generations()[0];
    let mut changed = |c: &Cache| std::mem::replace(&mut last, c.generations()[0]) != c.generations()[0];
    c.set_pod(again(&|p| p.meta.resource_version = 9), &"a".into());
    assert!(!changed(&c));
    c.set_pod(again(&|p| p.meta.labels = [("a", "b")].into_iter().collect()), &"a".into());
    assert!(changed(&c));
    c.set_pod(again(&|p| p.meta.set_deleted(Timestamp::default())), &"a".into());
    assert!(changed(&c), "the label went and the pod is being deleted");
}
