use headroom_core::{
    Now,
    testing::{PodBuilder, claim, csi_node, immediate_class, node, pod, volume, volume_attachment, waiting_class},
};

use super::*;
use crate::cache::Cache;

mod upstream;

const EBS: &str = "ebs.csi.aws.com";

fn info(p: PodBuilder) -> PodInfo {
    PodInfo::new(p.arc())
}

/// Volumes `csi-0` … of driver `d`, each with its bound claim; unbound claims of classes; in-tree volumes.
fn world() -> Cache {
    let mut cache = Cache::default();
    let storage = cache.storage_mut();
    for i in 0..6 {
        let name = format!("csi-{i}");
        storage.set(StorageObject::Volume(volume(&name).csi("d", &name).arc()));
        storage.set(StorageObject::Claim(claim(&name).bound(&name).arc()));
        let name = format!("ebs-{i}");
        storage.set(StorageObject::Volume(volume(&name).in_tree(InTreePlugin::AwsEbs, &name).arc()));
        storage.set(StorageObject::Claim(claim(&name).bound(&name).arc()));
        let name = format!("nfs-{i}");
        storage.set(StorageObject::Volume(volume(&name).arc()));
        storage.set(StorageObject::Claim(claim(&name).bound(&name).arc()));
        storage.set(StorageObject::Claim(claim(&format!("unbound-{i}")).class("csi").arc()));
        storage.set(StorageObject::Claim(claim(&format!("gone-{i}")).class("csi").bound("no-such-volume").arc()));
        storage.set(StorageObject::Claim(claim(&format!("new-ebs-{i}")).class("in-tree").arc()));
    }
    storage.set(StorageObject::Claim(claim("classless").arc()));
    storage.set(StorageObject::Claim(claim("owner-own").class("csi").of_pod("owner").arc()));
    storage.set(StorageObject::Claim(claim("thief-own").class("csi").of_pod("owner").arc()));
    for class in [
        waiting_class("csi", "d"),
        immediate_class("in-tree", "kubernetes.io/aws-ebs"),
        immediate_class("files", "kubernetes.io/azure-file"),
    ] {
        storage.set(StorageObject::Class(Arc::new(class)));
    }
    cache
}

fn filter(cache: &Cache, p: PodBuilder, others: Vec<PodBuilder>) -> Status {
    let p = info(p);
    let mut n = NodeInfo::new(node("n").arc());
    for other in others {
        n.add(info(other.on("n")));
    }
    match NodeVolumeLimits.pre_filter(&p, &View::new(cache, Now::default())) {
        PreFilter::Continue(state) => NodeVolumeLimits.filter(&state, &p, &n),
        PreFilter::Skip => Status::SKIP,
        other => panic!("{other:?}"),
    }
}

fn claims_of(name: &str, all: &[&str]) -> PodBuilder {
    all.iter().fold(pod(name), |p, c| p.claim(c))
}

/// Upstream's `TestCSILimits`, without what hangs on gates.
#[test]
fn what_is_attached_and_what_comes_must_fit() {
    let full = || Status::unschedulable(REASON);
    let with = |limits: &[(&str, Option<i32>)]| {
        let mut cache = world();
        cache.storage_mut().set(StorageObject::CsiNode(Arc::new(csi_node("n", limits, ""))));
        cache
    };
    let limited = |n: i32| with(&[("d", Some(n)), (EBS, Some(n))]);
    for (limit, new, old, ok) in [
        (4, vec!["csi-0"], vec!["csi-1", "csi-2"], true),
        (2, vec!["csi-0"], vec!["csi-1", "csi-2"], false),
        (2, vec!["csi-0"], vec!["csi-0", "csi-1"], true),
        (2, vec!["nfs-0", "nfs-1", "nfs-2"], vec!["csi-1", "csi-2"], true),
        (2, vec!["csi-0"], vec!["nfs-1", "csi-2"], true),
        (2, vec!["unbound-0"], vec!["csi-1", "csi-2"], false),
        (3, vec!["unbound-0"], vec!["csi-1", "csi-2"], true),
        (2, vec!["csi-0"], vec!["unbound-0", "unbound-1"], false),
        (2, vec!["unbound-0"], vec!["unbound-0", "unbound-1"], true),
        (2, vec!["csi-0"], vec!["gone-0", "gone-1"], false),
        (2, vec!["csi-0"], vec!["missing", "classless"], true),
        (2, vec!["ebs-0"], vec!["ebs-1", "ebs-2"], false),
        (2, vec!["ebs-0"], vec!["csi-1", "csi-2"], true),
        (2, vec!["new-ebs-0"], vec!["ebs-1", "ebs-2"], false),
        (0, vec!["csi-0"], vec![], false),
        (0, vec!["classless"], vec![], true),
    ] {
        let status = filter(&limited(limit), claims_of("p", &new), vec![claims_of("x", &old)]);
        assert_eq!(status, if ok { Status::SUCCESS } else { full() }, "{limit}: {new:?} to {old:?}");
    }
    // Two pods with one claim count once, and a driver without a limit is not limited.
    let twice = vec![claims_of("x", &["csi-1"]), claims_of("y", &["csi-1"])];
    assert_eq!(filter(&limited(2), claims_of("p", &["csi-0"]), twice), Status::SUCCESS);
    let unlimited = with(&[("d", None), (EBS, Some(0))]);
    assert_eq!(filter(&unlimited, claims_of("p", &["csi-0"]), vec![]), Status::SUCCESS);
    // Without a CSINode nothing is known of limits, and in-tree volumes are not CSI volumes.
    assert_eq!(filter(&world(), claims_of("p", &["csi-0", "ebs-0"]), vec![]), Status::SUCCESS);
    // Inline in-tree volumes count like the CSI volumes that they are.
    let inline = |name: &str, id: &str| pod(name).inline(InTreePlugin::AwsEbs, id, false);
    assert_eq!(filter(&limited(1), inline("p", "vol-1"), vec![inline("x", "vol-2")]), full());
    assert_eq!(filter(&limited(1), inline("p", "vol-1"), vec![inline("x", "aws://a/vol-1")]), Status::SUCCESS);
    assert!(filter(&limited(1), inline("p", "aws://a/b/c"), vec![]).message().starts_with("converting volume("));
    // Ephemeral volumes have claims of their own.
    assert_eq!(filter(&limited(0), pod("owner").ephemeral("own"), vec![]), full());
    let thief = filter(&limited(9), pod("thief").ephemeral("own"), vec![]);
    assert_eq!(thief, Status::error("PVC default/thief-own was not created for pod default/thief (pod is not owner)"));
}

#[test]
fn attachments_without_pods_count() {
    let mut cache = world();
    let storage = cache.storage_mut();
    storage.set(StorageObject::CsiNode(Arc::new(csi_node("n", &[("d", Some(2))], ""))));
    for (name, on, pv) in [("a", "n", "csi-1"), ("b", "n", "csi-2"), ("c", "other", "csi-3"), ("e", "n", "none")] {
        storage.set(StorageObject::Attachment(Arc::new(volume_attachment(name, "d", on, pv))));
    }
    assert_eq!(filter(&cache, claims_of("p", &["csi-0"]), vec![]), Status::unschedulable(REASON));
    let status = filter(&cache, claims_of("p", &["csi-0"]), vec![claims_of("x", &["csi-1"])]);
    assert_eq!(status, Status::unschedulable(REASON), "one of both is in use; they are still two");
    cache.storage_mut().remove(headroom_core::object::Kind::VOLUME_ATTACHMENT, &ObjectKey::new("", "a"));
    assert_eq!(filter(&cache, claims_of("p", &["csi-0"]), vec![]), Status::SUCCESS);
}

#[test]
fn missing_claims_and_pods_without_volumes() {
    let cache = world();
    let missing = filter(&cache, claims_of("p", &["none"]), vec![]);
    assert_eq!(missing, Status::unresolvable("looking up PVC default/none: persistentvolumeclaim \"none\" not found"));
    assert_eq!(filter(&cache, claims_of("p", &[""]), vec![]), Status::error("PersistentVolumeClaim had no name"));
    assert_eq!(filter(&cache, pod("p"), vec![]), Status::SKIP);
    assert_eq!(filter(&cache, pod("p").volume("c", VolumeKind::Csi("d".into())), vec![]), Status::SKIP);
    assert_eq!(NodeVolumeLimits.reads(&info(pod("p"))), Reads::Node);
}

/// Upstream's `TestCSILimitsQHint`, `…DeletePod`, `…AddedPVC`, `TestCSILimitsDeletedVolumeAttachment…`.
#[test]
fn hints() {
    let cache = Cache::default();
    let view = View::new(&cache, Now::default());
    let gone = |p: PodBuilder| Change::Pod { old: Some(info(p)), new: None };
    let detached = |driver: &str| Change::Storage {
        old: Some(StorageObject::Attachment(Arc::new(volume_attachment("v", driver, "n", "pv")))),
        new: None,
    };
    let added = |name: &str| Change::Storage { old: None, new: Some(StorageObject::Claim(claim(name).arc())) };
    let limits = |old: Option<i32>, new: Option<i32>| {
        let row = |limit| StorageObject::CsiNode(Arc::new(csi_node("n", &[("d", limit)], "")));
        Change::Storage { old: Some(row(old)), new: Some(row(new)) }
    };
    let p = || pod("p").claim("c");
    for (p, change, expected) in [
        (p(), gone(pod("x").on("n")), Hint::Skip),
        (p(), gone(pod("x").claim("c").on("n")), Hint::Queue),
        (p(), gone(pod("x").ephemeral("v").on("n")), Hint::Queue),
        (p(), gone(pod("x").inline(InTreePlugin::Cinder, "c", false).on("n")), Hint::Queue),
        (p(), added("c"), Hint::Queue),
        (p(), added("d"), Hint::Skip),
        (pod("p").ephemeral("v"), added("p-v"), Hint::Queue),
        (p(), detached("d"), Hint::Queue),
        (pod("p").inline(InTreePlugin::AwsEbs, "v", false), detached(EBS), Hint::Queue),
        (pod("p").inline(InTreePlugin::AwsEbs, "v", false), detached("d"), Hint::Skip),
        (p(), limits(Some(1), Some(2)), Hint::Queue),
        (p(), limits(Some(2), Some(2)), Hint::Skip),
        (p(), limits(Some(2), Some(1)), Hint::Skip),
        (p(), limits(None, Some(1)), Hint::Queue),
        (p(), limits(Some(1), None), Hint::Skip),
    ] {
        assert_eq!(NodeVolumeLimits.hint(&change, &info(p), &view), expected, "{change:?}");
    }
}
