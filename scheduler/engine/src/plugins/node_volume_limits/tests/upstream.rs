//! Upstream's tables (`csi_test.go`), whole. Left out: the gate VolumeLimitScaling, which is off in 1.36, and pods that
//! were on no node when they went, of which the engine does not tell.

use headroom_core::testing::ClaimBuilder;

use super::*;

/// Drivers in short, as volumes and limits name them. `aws` and `hostpath` are plugins of old.
const DRIVERS: [(&str, &str); 4] = [
    ("ebs", EBS),
    ("gce", "pd.csi.storage.gke.io"),
    ("aws", "kubernetes.io/aws-ebs"),
    ("hostpath", "kubernetes.io/hostpath"),
];

fn driver(short: &str) -> &'static str {
    DRIVERS.iter().find(|(name, _)| *name == short).unwrap().1
}

/// Four volumes of each driver, each with its bound claim of the same name, and claims that have none: `pending`,
/// `gone` and `classless`. `limits` is written as `"ebs=2 gce"`: the node's drivers and how many volumes they can
/// attach. The class is that of the first one. Without drivers the node has no CSINode.
fn limited(limits: &str, claims: Vec<ClaimBuilder>) -> Cache {
    let mut cache = Cache::default();
    let storage = cache.storage_mut();
    for (short, driver) in DRIVERS {
        for i in 0..4 {
            let name = format!("{short}-{i}");
            let v = match short {
                "aws" => volume(&name).in_tree(InTreePlugin::AwsEbs, &name),
                "hostpath" => volume(&name),
                _ => volume(&name).csi(driver, &name),
            };
            storage.set(StorageObject::Volume(v.arc()));
            storage.set(StorageObject::Claim(claim(&name).bound(&name).arc()));
        }
    }
    storage.set(StorageObject::Claim(claim("pending").class("sc").arc()));
    storage.set(StorageObject::Claim(claim("gone").class("sc").volume("missing-in-action").arc()));
    storage.set(StorageObject::Claim(claim("classless").arc()));
    for c in claims {
        storage.set(StorageObject::Claim(c.arc()));
    }
    let drivers: Vec<(&str, Option<i32>)> = limits
        .split_whitespace()
        .map(|part| match part.split_once('=') {
            Some((short, limit)) => (driver(short), Some(limit.parse().unwrap())),
            None => (driver(part), None),
        })
        .collect();
    if let Some((first, _)) = drivers.first() {
        storage.set(StorageObject::Class(Arc::new(waiting_class("sc", first))));
        storage.set(StorageObject::CsiNode(Arc::new(csi_node("n", &drivers, "kubernetes.io/aws-ebs"))));
    }
    cache
}

fn full() -> Status {
    Status::unschedulable(REASON)
}

fn uses(claims: &[&str]) -> PodBuilder {
    claims_of("x", claims)
}

/// An inline volume of the plugin of old.
fn inline(id: &str) -> PodBuilder {
    pod("x").inline(InTreePlugin::AwsEbs, id, false)
}

/// The limits, the pod, the pods on the node, what is said of it.
type Row<'a> = (&'a str, PodBuilder, Vec<PodBuilder>, Status);

fn check(claims: &[ClaimBuilder], rows: Vec<Row<'_>>) {
    for (i, (limits, new, there, expected)) in rows.into_iter().enumerate() {
        assert_eq!(filter(&limited(limits, claims.to_vec()), new, there), expected, "case {i}");
    }
}

/// `TestCSILimits`, claims.
#[test]
fn claims_and_their_volumes() {
    let new = || uses(&["ebs-0"]);
    let (running, two) = (|| uses(&["ebs-3"]), || uses(&["ebs-1", "ebs-2"]));
    let pending = || uses(&["pending"]);
    let gce = || uses(&["gce-1", "gce-2"]);
    let both = "ebs=2 gce=2";
    check(
        &[],
        vec![
            ("ebs=4", new(), vec![running(), two()], Status::SUCCESS),
            ("ebs=2", new(), vec![running(), two()], full()),
            ("ebs", new(), vec![running(), two()], Status::SUCCESS),
            ("ebs=2", new(), vec![pending(), two()], full()),
            // A claim without a volume counts once, whoever uses it.
            ("ebs=4", new(), vec![pending(), pending(), two()], Status::SUCCESS),
            ("ebs=2", new(), vec![uses(&["gone"]), two()], full()),
            ("ebs=2", new(), vec![running(), uses(&["classless"])], Status::SUCCESS),
            // Each driver for itself.
            (both, new(), vec![gce(), two()], full()),
            (both, gce(), vec![two(), running()], Status::SUCCESS),
            // Volumes of other kinds do not count.
            ("ebs=2", pod("x"), vec![], Status::SKIP),
            ("ebs=2", new().volume("memory", VolumeKind::MemoryEmptyDir(None)), vec![], Status::SUCCESS),
        ],
    );
}

/// `TestCSILimits`, plugins of old whose volumes the CSI driver serves.
#[test]
fn volumes_of_old() {
    let new = || uses(&["aws-0"]);
    let (old, csi) = (|| uses(&["aws-1", "aws-2"]), || uses(&["ebs-1", "ebs-2"]));
    let other = || inline("aws-inline1");
    let (two, three) = ("aws=2 ebs=2", "aws=3 ebs=3");
    check(
        &[],
        vec![
            (two, new(), vec![old()], full()),
            ("", other(), vec![old()], Status::SUCCESS),
            (two, uses(&["pending"]), vec![old()], full()),
            ("aws ebs", new(), vec![old()], Status::SUCCESS),
            ("hostpath=2 ebs=2", uses(&["hostpath-0"]), vec![csi()], Status::SUCCESS),
            (two, other(), vec![old()], full()),
            (two, new(), vec![csi()], full()),
            (three, other(), vec![csi(), new()], full()),
            // The same volume, inline.
            (three, inline("ebs-1"), vec![csi(), new()], Status::SUCCESS),
            (two, uses(&["ebs-0"]), vec![old()], full()),
        ],
    );
}

/// `TestCSILimits`, ephemeral volumes.
#[test]
fn ephemeral_volumes() {
    let abc = || pod("abc").ephemeral("xyz");
    let (new, running, two) = (|| uses(&["ebs-0"]), || uses(&["ebs-3"]), || uses(&["ebs-1", "ebs-2"]));
    let own = |name: &str| claim(name).class("sc").of_pod("abc");
    let missing = "looking up PVC default/abc-xyz: persistentvolumeclaim \"abc-xyz\" not found";
    check(&[], vec![("ebs", abc(), vec![], Status::unresolvable(missing))]);
    let foreign = "PVC default/abc-xyz was not created for pod default/abc (pod is not owner)";
    check(&[claim("abc-xyz").class("sc")], vec![("ebs", abc(), vec![], Status::error(foreign))]);
    check(
        &[own("abc-xyz"), own("abc-x"), own("abc-y")],
        vec![
            ("ebs", abc(), vec![], Status::SUCCESS),
            ("ebs=2", abc(), vec![running(), two()], full()),
            ("ebs=2", new(), vec![running(), pod("abc").ephemeral("x").ephemeral("y")], full()),
            ("ebs=3", new(), vec![running(), abc(), two()], full()),
            ("ebs=5", new(), vec![running(), abc(), two()], Status::SUCCESS),
        ],
    );
}

/// `TestCSILimits`: what is attached counts without any pod, the volume of the pod itself included.
#[test]
fn attached_volumes() {
    for (attached, expected) in [(2, full()), (1, Status::SUCCESS)] {
        let mut cache = limited("ebs=2", vec![]);
        for i in 0..attached {
            let one = volume_attachment(&format!("va-{i}"), EBS, "n", &format!("ebs-{i}"));
            cache.storage_mut().set(StorageObject::Attachment(Arc::new(one)));
        }
        assert_eq!(filter(&cache, uses(&["ebs-0"]), vec![]), expected, "{attached}");
    }
}

fn hint(p: PodBuilder, change: Change) -> Hint {
    let cache = Cache::default();
    NodeVolumeLimits.hint(&change, &info(p), &View::new(&cache, Now::default()))
}

/// `TestCSILimitsQHint` and `TestCSILimitsAddedPVCQHint`.
#[test]
fn after_pods_and_claims() {
    for (gone, expected) in [(uses(&["placeholder"]), Hint::Queue), (inline(""), Hint::Queue), (pod("x"), Hint::Skip)] {
        let change = Change::Pod { old: Some(info(gone.on("n"))), new: None };
        assert_eq!(hint(uses(&["ebs-2"]), change), expected);
    }
    for (i, (p, name, namespace, expected)) in [
        (pod("p"), "c", "ns2", Hint::Skip),
        (pod("p").claim("c"), "c", "default", Hint::Queue),
        (pod("p").ephemeral("v"), "p-v", "default", Hint::Queue),
        (pod("p").claim("c"), "d", "default", Hint::Skip),
        (pod("p"), "d", "default", Hint::Skip),
    ]
    .into_iter()
    .enumerate()
    {
        let added = claim(name).with(|c| c.meta.key.namespace = namespace.into());
        let change = Change::Storage { old: None, new: Some(StorageObject::Claim(added.arc())) };
        assert_eq!(hint(p, change), expected, "case {i}");
    }
}

/// `TestCSILimitsDeletedVolumeAttachmentQHint`: the pod, whose attachment went.
#[test]
fn after_attachments() {
    let of = |plugin| pod("p").inline(plugin, "test", false);
    let other = "test.storage.gke.io";
    for (i, (p, attacher, expected)) in [
        (pod("p").claim("c"), other, Hint::Queue),
        (of(InTreePlugin::AwsEbs), EBS, Hint::Queue),
        (of(InTreePlugin::GcePd), EBS, Hint::Skip),
        (of(InTreePlugin::AwsEbs).claim("c"), EBS, Hint::Queue),
        (of(InTreePlugin::AwsEbs).claim("c"), other, Hint::Queue),
        (pod("p"), other, Hint::Skip),
    ]
    .into_iter()
    .enumerate()
    {
        let gone = StorageObject::Attachment(Arc::new(volume_attachment("va", attacher, "n", "pv1")));
        assert_eq!(hint(p, Change::Storage { old: Some(gone), new: None }), expected, "case {i}");
    }
}

/// `TestCSILimitsAfterCSINodeUpdatedQHint`: the limit before and after.
#[test]
fn after_csi_nodes() {
    let of = |limit: i32| StorageObject::CsiNode(Arc::new(csi_node("n", &[(EBS, Some(limit))], "")));
    for (old, new, expected) in [(1, 2, Hint::Queue), (2, 1, Hint::Skip), (1, 1, Hint::Skip)] {
        let change = Change::Storage { old: Some(of(old)), new: Some(of(new)) };
        assert_eq!(hint(uses(&["ebs-0"]), change), expected, "{old} {new}");
    }
}
