use headroom_core::{
    Now,
    object::{RbdVolume, VolumeKind},
    testing::{PodBuilder, claim, node, pod},
};

use super::*;
use crate::cache::Cache;

mod upstream;

fn info(p: PodBuilder) -> PodInfo {
    PodInfo::new(p.arc())
}

fn rbd(monitors: &[&str], pool: &str, image: &str, read_only: bool) -> VolumeKind {
    VolumeKind::Rbd(Box::new(RbdVolume {
        monitors: monitors.iter().map(|m| Str::from(*m)).collect(),
        pool: pool.into(),
        image: image.into(),
        read_only,
    }))
}

fn iscsi(iqn: &str, read_only: bool) -> VolumeKind {
    VolumeKind::Iscsi { iqn: iqn.into(), read_only }
}

/// Upstream's `TestGCEDiskConflicts`, `TestAWSDiskConflicts`, `TestRBDDiskConflicts`, `TestISCSIDiskConflicts`.
#[test]
fn disks_are_used_by_one_pod_unless_all_read_only() {
    use InTreePlugin::{AwsEbs, GcePd};
    let disk = |plugin, id: &str, read_only| VolumeKind::InTree { plugin, id: id.into(), read_only };
    for (mine, theirs, ok) in [
        (disk(GcePd, "foo", false), disk(GcePd, "foo", false), false),
        (disk(GcePd, "foo", false), disk(GcePd, "bar", false), true),
        (disk(GcePd, "foo", true), disk(GcePd, "foo", true), true),
        (disk(GcePd, "foo", true), disk(GcePd, "foo", false), false),
        (disk(AwsEbs, "foo", true), disk(AwsEbs, "foo", true), false),
        (disk(AwsEbs, "foo", false), disk(AwsEbs, "bar", false), true),
        (disk(AwsEbs, "foo", false), disk(GcePd, "foo", false), true),
        (iscsi("iqn.1", false), iscsi("iqn.1", false), false),
        (iscsi("iqn.1", true), iscsi("iqn.1", true), true),
        (iscsi("iqn.1", false), iscsi("iqn.2", false), true),
        (rbd(&["a", "b"], "p", "i", false), rbd(&["b", "c"], "p", "i", false), false),
        (rbd(&["a"], "p", "i", false), rbd(&["c"], "p", "i", false), true),
        (rbd(&["a"], "p", "i", false), rbd(&["a"], "q", "i", false), true),
        (rbd(&["a"], "p", "i", false), rbd(&["a"], "p", "j", false), true),
        (rbd(&["a"], "p", "i", true), rbd(&["a"], "p", "i", true), true),
    ] {
        let text = format!("{mine:?} {theirs:?}");
        let p = info(pod("p").volume("v", mine));
        let mut n = NodeInfo::new(node("n").arc());
        n.add(info(pod("other").volume("w", theirs).namespace("elsewhere")));
        let cache = Cache::default();
        let PreFilter::Continue(state) = VolumeRestrictions.pre_filter(&p, &View::new(&cache, Now::default())) else {
            panic!("{text}")
        };
        let status = VolumeRestrictions.filter(&state, &p, &n);
        assert_eq!(status, if ok { Status::SUCCESS } else { Status::unschedulable(REASON_DISK) }, "{text}");
    }
}

fn world() -> Cache {
    let mut cache = Cache::default();
    cache.set_node(node("n").arc());
    let storage = cache.storage_mut();
    storage.set(StorageObject::Claim(claim("once").modes(AccessModes::READ_WRITE_ONCE_POD).arc()));
    storage.set(StorageObject::Claim(claim("twice").modes(AccessModes::READ_WRITE_ONCE_POD).arc()));
    storage.set(StorageObject::Claim(claim("many").modes(AccessModes::READ_WRITE_MANY).arc()));
    cache
}

/// Upstream's `TestAccessModeConflicts`.
#[test]
fn a_claim_for_one_pod_is_used_by_one_pod() {
    let mut cache = world();
    let at = |cache: &Cache, p: &PodInfo| VolumeRestrictions.pre_filter(p, &View::new(cache, Now::default()));
    let p = info(pod("p").claim("once").claim("many"));
    assert_eq!(at(&cache, &p), PreFilter::Skip, "nobody uses it");
    assert_eq!(
        at(&cache, &info(pod("p").claim("none"))),
        PreFilter::Reject(Status::unresolvable("persistentvolumeclaim \"none\" not found"))
    );
    assert_eq!(at(&cache, &info(pod("p").ephemeral("v"))), PreFilter::Skip, "its claim is nobody else's");
    assert_eq!(at(&cache, &info(pod("p"))), PreFilter::Skip);

    let user = info(pod("user").claim("once").on("n"));
    cache.set_pod(user.clone(), &"n".into());
    cache.set_pod(info(pod("stranger").namespace("other").claim("twice").on("n")), &"n".into());
    let PreFilter::Continue(mut state) = at(&cache, &p) else { panic!() };
    let n = cache.node("n").unwrap();
    assert_eq!(VolumeRestrictions.filter(&state, &p, n), Status::unschedulable(REASON_CLAIM));
    assert_eq!(at(&cache, &info(pod("q").claim("twice"))), PreFilter::Skip, "another namespace's is another one");
    assert_eq!(at(&cache, &info(pod("q").claim("many"))), PreFilter::Skip);
    assert_eq!(at(&cache, &user), PreFilter::Skip, "its own use does not count");

    // Preemption tries without the user, and a nominated pod would take it again.
    let view = View::new(&cache, Now::default());
    VolumeRestrictions.remove_pod(&mut state, &p, &user, n, &view);
    assert!(VolumeRestrictions.filter(&state, &p, n).is_success());
    VolumeRestrictions.add_pod(&mut state, &p, &info(pod("x").claim("once")), n, &view);
    assert!(!VolumeRestrictions.filter(&state, &p, n).is_success());
    VolumeRestrictions.remove_pod(&mut state, &p, &info(pod("y").namespace("other").claim("once")), n, &view);
    assert!(!VolumeRestrictions.filter(&state, &p, n).is_success(), "of another namespace");

    cache.remove_pod("uid-user");
    assert_eq!(at(&cache, &p), PreFilter::Skip, "it is free again");
}

/// Upstream's `Test_isSchedulableAfterPodDeleted` and `Test_isSchedulableAfterPersistentVolumeClaimChange`.
#[test]
fn hints() {
    let cache = Cache::default();
    let view = View::new(&cache, Now::default());
    let p = info(pod("p").claim("c").inline(InTreePlugin::GcePd, "disk", false));
    let gone = |p: PodBuilder| Change::Pod { old: Some(info(p)), new: None };
    let added = |c| Change::Storage { old: None, new: Some(StorageObject::Claim(c)) };
    for (change, expected) in [
        (gone(pod("x")), Hint::Skip),
        (gone(pod("x").claim("c")), Hint::Queue),
        (gone(pod("x").claim("c").namespace("other")), Hint::Skip),
        (gone(pod("x").claim("d")), Hint::Skip),
        (gone(pod("x").inline(InTreePlugin::GcePd, "disk", true)), Hint::Queue),
        (gone(pod("x").inline(InTreePlugin::GcePd, "other", true)), Hint::Skip),
        (added(claim("c").arc()), Hint::Queue),
        (added(claim("d").arc()), Hint::Skip),
        (added(claim("c").with(|c| c.meta.key.namespace = "other".into()).arc()), Hint::Skip),
    ] {
        assert_eq!(VolumeRestrictions.hint(&change, &p, &view), expected, "{change:?}");
    }
}

#[test]
fn pods_without_claims_read_the_node_alone() {
    assert_eq!(VolumeRestrictions.reads(&info(pod("p").inline(InTreePlugin::GcePd, "d", false))), Reads::Node);
    assert_eq!(VolumeRestrictions.reads(&info(pod("p").claim("c"))), Reads::Cluster);
}
