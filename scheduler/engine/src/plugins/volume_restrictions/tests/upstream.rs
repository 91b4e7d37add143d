//! Upstream's tables (`volume_restrictions_test.go`), whole.

use super::*;

/// Two disks of each kind that one pod alone may use on a node.
fn disks() -> [(VolumeKind, VolumeKind); 4] {
    let in_tree = |plugin, id: &str| VolumeKind::InTree { plugin, id: id.into(), read_only: false };
    let target = |year: u32| iscsi(&format!("iqn.{year}-12.server:storage.target01"), false);
    [
        (in_tree(InTreePlugin::GcePd, "foo"), in_tree(InTreePlugin::GcePd, "bar")),
        (in_tree(InTreePlugin::AwsEbs, "foo"), in_tree(InTreePlugin::AwsEbs, "bar")),
        (rbd(&["a", "b"], "foo", "bar", false), rbd(&["c", "d"], "foo", "bar", false)),
        (target(2016), target(2017)),
    ]
}

fn with(kind: &VolumeKind) -> PodBuilder {
    pod("p").volume("v", kind.clone())
}

/// What Filter says of the node, `SKIP` when PreFilter skips it, or why PreFilter rejects the pod.
fn verdict(cache: &Cache, p: PodBuilder, n: &NodeInfo) -> Status {
    let p = info(p);
    match VolumeRestrictions.pre_filter(&p, &View::new(cache, Now::default())) {
        PreFilter::Skip => Status::SKIP,
        PreFilter::Continue(state) => VolumeRestrictions.filter(&state, &p, n),
        PreFilter::Reject(status) => status,
        PreFilter::Narrow(..) => panic!("it never narrows"),
    }
}

/// `TestGCEDiskConflicts`, `TestAWSDiskConflicts`, `TestRBDDiskConflicts` and `TestISCSIDiskConflicts`.
#[test]
fn disk_conflicts() {
    let cache = Cache::default();
    for (one, another) in disks() {
        let empty = NodeInfo::new(node("n").arc());
        let mut taken = empty.clone();
        taken.add(info(with(&one).uid("there")));
        for (p, n, expected) in [
            (pod("p"), &empty, Status::SKIP),
            (pod("p"), &taken, Status::SKIP),
            (with(&one), &empty, Status::SUCCESS),
            (with(&one), &taken, Status::unschedulable(REASON_DISK)),
            (with(&another), &taken, Status::SUCCESS),
            // A volume of another kind.
            (with(&VolumeKind::MemoryEmptyDir(None)), &empty, Status::SKIP),
        ] {
            assert_eq!(verdict(&cache, p, n), expected, "{one:?}");
        }
    }
}

/// `TestAccessModeConflicts`: the claims of the pod, the claims that there are, those of each pod on the node. The names
/// tell which are for one pod alone.
#[test]
fn access_mode_conflicts() {
    let uses =
        |name: &str, claims: &str| claims.split_whitespace().fold(pod(name), headroom_core::testing::PodBuilder::claim);
    let all = "once-1 once-2 many";
    let taken = || Status::unschedulable(REASON_CLAIM);
    for (i, (wanted, known, there, expected)) in [
        ("", "", vec![], Status::SKIP),
        ("once-1", "", vec![], Status::unresolvable("persistentvolumeclaim \"once-1\" not found")),
        ("once-1", all, vec!["many"], Status::SKIP),
        ("once-1", all, vec!["once-1", "many"], taken()),
        ("once-1 once-2", all, vec!["once-1 once-2", "many"], taken()),
    ]
    .into_iter()
    .enumerate()
    {
        let mut cache = Cache::default();
        cache.set_node(node("n").arc());
        for name in known.split_whitespace() {
            let once = name.starts_with("once");
            let modes = if once { AccessModes::READ_WRITE_ONCE_POD } else { AccessModes::READ_WRITE_MANY };
            cache.storage_mut().set(StorageObject::Claim(claim(name).modes(modes).arc()));
        }
        for (i, claims) in there.into_iter().enumerate() {
            cache.set_pod(info(uses(&format!("there-{i}"), claims).on("n")), &"n".into());
        }
        let n = cache.node("n").unwrap();
        assert_eq!(verdict(&cache, uses("p", wanted), n), expected, "case {i}");
    }
}

fn hint(p: PodBuilder, change: Change) -> Hint {
    let cache = Cache::default();
    VolumeRestrictions.hint(&change, &info(p), &View::new(&cache, Now::default()))
}

/// `Test_isSchedulableAfterPodDeleted`.
#[test]
fn after_pods() {
    let gone = |p: PodBuilder| Change::Pod { old: Some(info(p.uid("gone"))), new: None };
    for (one, another) in disks() {
        assert_eq!(hint(with(&one), gone(with(&one))), Hint::Queue, "{one:?}");
        assert_eq!(hint(with(&one), gone(with(&another))), Hint::Skip, "{one:?}");
    }
    assert_eq!(hint(pod("p").claim("c"), gone(pod("x").claim("c"))), Hint::Queue);
    assert_eq!(hint(pod("p").claim("c"), gone(pod("x").claim("d"))), Hint::Skip);
}

/// `Test_isSchedulableAfterPersistentVolumeClaimChange`.
#[test]
fn after_claims() {
    let added = |name: &str| Change::Storage { old: None, new: Some(StorageObject::Claim(claim(name).arc())) };
    for (p, name, expected) in [
        (pod("p").claim("one").claim("two"), "one", Hint::Queue),
        (pod("p").claim("one"), "two", Hint::Skip),
        (pod("p").claim("one").namespace("kube-system"), "one", Hint::Skip),
    ] {
        assert_eq!(hint(p, added(name)), expected, "{name}");
    }
}
