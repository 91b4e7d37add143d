//! Upstream's tables of the hints, `TestIsSchedulableAfter…` (`volume_binding_test.go`), whole.

use headroom_core::object::CsiStorageCapacity;

use super::*;

fn hint(p: PodBuilder, old: Option<StorageObject>, new: StorageObject) -> Hint {
    let cache = Cache::default();
    plugin().hint(&Change::Storage { old, new: Some(new) }, &info(p), &View::new(&cache, NOW))
}

/// `TestIsSchedulableAfterCSINodeChange`: the plugins that have moved to drivers, before and after.
#[test]
fn after_csi_nodes() {
    let of = |migrated: &str| StorageObject::CsiNode(Arc::new(csi_node("n", &[], migrated)));
    for (old, new, expected) in [
        (None, "", Hint::Queue),
        (Some("test1"), "test1, test2", Hint::Queue),
        (Some("test1"), "test2", Hint::Queue),
        (Some("test1"), "test1", Hint::Skip),
    ] {
        assert_eq!(hint(pod("p"), old.map(of), of(new)), expected, "{old:?} {new}");
    }
}

/// `TestIsSchedulableAfterPersistentVolumeClaimChange`: the pod, the claim that came or changed.
#[test]
fn after_claims() {
    let of = |name: &str| StorageObject::Claim(claim(name).arc());
    let two = |a: &str, b: &str| pod("p").claim(a).claim(b);
    let ephemeral = |a: &str, b: &str| pod("p").ephemeral(a).ephemeral(b);
    for (i, (p, old, new, expected)) in [
        (pod("p").volume("memory", VolumeKind::MemoryEmptyDir(None)), Some("b"), "b", Hint::Skip),
        (two("a", "b").namespace("ns-a"), None, "b", Hint::Skip),
        (two("a", "c"), Some("b"), "b", Hint::Skip),
        (ephemeral("a", "c"), Some("p-b"), "p-b", Hint::Skip),
        (two("a", "b"), Some("b"), "b", Hint::Queue),
        (ephemeral("a", "b"), Some("p-b"), "p-b", Hint::Queue),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(hint(p, old.map(of), of(new)), expected, "case {i}");
    }
}

/// `TestIsSchedulableAfterStorageClassChange`.
#[test]
fn after_classes() {
    let plain = || waiting_class("sc", "");
    let of = |class| StorageObject::Class(Arc::new(class));
    for (i, (old, new, expected)) in [
        (None, plain(), Hint::Queue),
        (Some(plain()), allowed_in(plain(), HOST, &["n1"]), Hint::Queue),
        (Some(plain()), plain(), Hint::Skip),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(hint(pod("p"), old.map(of), of(new)), expected, "case {i}");
    }
}

/// `TestIsSchedulableAfterCSIStorageCapacityChange`: room and largest volume, before and after.
#[test]
fn after_capacities() {
    type Room = (Option<i64>, Option<i64>);
    let of = |(capacity, maximum_volume_size): Room| {
        let row = CsiStorageCapacity { capacity, maximum_volume_size, ..CsiStorageCapacity::default() };
        StorageObject::Capacity(Arc::new(row))
    };
    let rows: [(Option<Room>, Room, Hint); 11] = [
        (None, (None, None), Hint::Queue),
        (Some((None, None)), (Some(100), None), Hint::Queue),
        (Some((None, None)), (None, Some(100)), Hint::Queue),
        (Some((Some(50), None)), (Some(100), None), Hint::Queue),
        (Some((Some(100), Some(50))), (Some(100), None), Hint::Queue),
        (Some((Some(100), Some(50))), (Some(100), Some(60)), Hint::Queue),
        (Some((Some(100), Some(50))), (Some(100), Some(50)), Hint::Skip),
        (Some((Some(100), None)), (Some(100), None), Hint::Skip),
        (Some((Some(100), Some(50))), (Some(50), None), Hint::Skip),
        (Some((Some(100), None)), (Some(90), None), Hint::Skip),
        (Some((None, Some(100))), (None, Some(90)), Hint::Skip),
    ];
    for (old, new, expected) in rows {
        assert_eq!(hint(pod("p"), old.map(of), of(new)), expected, "{old:?} {new:?}");
    }
}

/// `TestIsSchedulableAfterCSIDriverChange`: the driver of the pod's inline volume, the driver that changed, whether
/// pods had to wait for room, and whether they have to now. What is not set means no.
#[test]
fn after_csi_drivers() {
    let of = |name: &str, waits| StorageObject::CsiDriver(Arc::new(csi_driver(name, waits)));
    for (mine, name, old, new, expected) in [
        (None, "test1", false, true, Hint::Skip),
        (Some("test1"), "test2", true, false, Hint::Skip),
        (Some("test1"), "test1", false, false, Hint::Skip),
        (Some("test1"), "test1", true, true, Hint::Skip),
        (Some("test1"), "test1", true, false, Hint::Queue),
    ] {
        let p = mine.map_or(pod("p"), |driver: &str| pod("p").volume("v", VolumeKind::Csi(driver.into())));
        assert_eq!(hint(p, Some(of(name, old)), of(name, new)), expected, "{mine:?} {name} {old} {new}");
    }
}
