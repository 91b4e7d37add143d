//! Upstream's `TestVolumeBinding` (`volume_binding_test.go`), and of `TestCapacity` and
//! `TestFindPodVolumesWithCSIMigration` (`binder_test.go`) what the tests beside this one do not have.

use headroom_core::{object::CsiStorageCapacity, testing::NodeBuilder};
use serde_json::json;

use super::*;

const ZONE: &str = "topology.kubernetes.io/zone";
const REGION: &str = "topology.kubernetes.io/region";

/// Points of a shape: utilization and score.
type Shape<'a> = &'a [(i64, i64)];
/// The shape that upstream takes when the arguments give none.
const DEFAULT: Shape<'static> = &[(0, 0), (100, 10)];

struct Case<'a> {
    nodes: Vec<NodeBuilder>,
    volumes: Vec<VolumeBuilder>,
    claims: Vec<ClaimBuilder>,
    rooms: Vec<CsiStorageCapacity>,
    shape: Shape<'a>,
    /// Of each node: its score, or why it is rejected.
    expected: Vec<Result<i64, &'static str>>,
}

/// The classes: `static` and `hdd` wait and are not provisioned, `dynamic` is, by a driver that tells its room.
fn check(cases: Vec<Case<'_>>) {
    for (i, case) in cases.into_iter().enumerate() {
        let mut cache = Cache::default();
        for n in case.nodes {
            cache.set_node(n.arc());
        }
        let storage = cache.storage_mut();
        for (name, provisioner) in [("static", NO_PROVISIONER), ("hdd", NO_PROVISIONER), ("dynamic", "driver")] {
            storage.set(StorageObject::Class(Arc::new(waiting_class(name, provisioner))));
        }
        storage.set(StorageObject::CsiDriver(Arc::new(csi_driver("driver", true))));
        for v in case.volumes {
            storage.set(StorageObject::Volume(v.arc()));
        }
        for room in case.rooms {
            storage.set(StorageObject::Capacity(Arc::new(room)));
        }
        let claims: Vec<_> = case.claims.into_iter().map(ClaimBuilder::arc).collect();
        let p = info(claims.iter().fold(pod("p"), |p, c| p.claim(c.name())));
        for c in claims {
            storage.set(StorageObject::Claim(c));
        }

        let points: Vec<_> = case.shape.iter().map(|(u, s)| json!({"utilization": u, "score": s})).collect();
        let plugin = VolumeBinding::from_args(Some(&json!({"shape": points}))).unwrap();
        let view = View::new(&cache, NOW);
        let PreFilter::Continue(filtering) = plugin.pre_filter(&p, &view) else { panic!("case {i}") };
        let PreScore::Continue(scoring) = plugin.pre_score(&p, &[], &view) else { panic!("case {i}") };
        let got: Vec<Result<i64, String>> = cache
            .nodes()
            .map(|(_, n)| {
                let (status, score) = (plugin.filter(&filtering, &p, n), plugin.score(&scoring, &p, n).unwrap());
                if status.is_success() {
                    return Ok(score);
                }
                assert_eq!((status.code(), score), (Code::UnschedulableAndUnresolvable, 0), "case {i}");
                Err(status.message())
            })
            .collect();
        let expected: Vec<Result<i64, String>> =
            case.expected.into_iter().map(|one| one.map_err(str::to_owned)).collect();
        assert_eq!(got, expected, "case {i}");
    }
}

/// Two volumes of a class on each of these nodes.
fn local(class: &str, sizes: &[(&str, &str)]) -> Vec<VolumeBuilder> {
    let volumes = sizes.iter().flat_map(|(node, size)| {
        (0..2).map(move |i| volume(&format!("{class}-{node}-{i}")).class(class).capacity(size).affinity(HOST, &[*node]))
    });
    volumes.collect()
}

fn hosts(names: &[&str]) -> Vec<NodeBuilder> {
    names.iter().map(|name| node(name)).collect()
}

fn wants(name: &str, class: &str, size: &str) -> ClaimBuilder {
    claim(name).class(class).request(size)
}

/// Room of the driver on each of these nodes.
fn rooms(sizes: &[(&str, &str)]) -> Vec<CsiStorageCapacity> {
    sizes.iter().map(|(node, size)| csi_capacity(node, "dynamic", Some((HOST, *node)), size)).collect()
}

/// `TestVolumeBinding`, volumes that exist.
#[test]
fn volumes_of_close_size_are_preferred() {
    let none = || Err(REASON_BIND);
    let zonal = |shape: Shape<'static>, expected: Vec<Result<i64, &'static str>>| {
        let places = ["a", "b", "c"];
        let nodes = places.iter().flat_map(|place| {
            ["a", "b"].map(|name| {
                node(&format!("zone-{place}-node-{name}"))
                    .label(REGION, &format!("region-{place}"))
                    .label(ZONE, &format!("zone-{place}"))
            })
        });
        let volumes = [("a", "200Gi"), ("b", "100Gi")].into_iter().flat_map(|(place, size)| {
            (0..2).map(move |i| {
                volume(&format!("pv-{place}-{i}"))
                    .class("static")
                    .capacity(size)
                    .affinity(REGION, &[&format!("region-{place}")])
                    .affinity(ZONE, &[&format!("zone-{place}")])
            })
        });
        Case {
            nodes: nodes.collect(),
            volumes: volumes.collect(),
            claims: vec![wants("c", "static", "50Gi")],
            rooms: vec![],
            shape,
            expected,
        }
    };
    let mut two = local("static", &[("a", "200Gi"), ("b", "100Gi")]);
    two.extend(local("hdd", &[("a", "200Gi"), ("b", "100Gi")]));
    check(vec![
        Case {
            nodes: hosts(&["a", "b", "c"]),
            volumes: local("static", &[("a", "200Gi"), ("b", "100Gi")]),
            claims: vec![wants("c", "static", "50Gi")],
            rooms: vec![],
            shape: DEFAULT,
            expected: vec![Ok(25), Ok(50), none()],
        },
        // The mean of two classes.
        Case {
            nodes: hosts(&["a", "b", "c"]),
            volumes: two,
            claims: vec![wants("c", "static", "50Gi"), wants("d", "hdd", "100Gi")],
            rooms: vec![],
            shape: DEFAULT,
            expected: vec![Ok(38), Ok(75), none()],
        },
        zonal(DEFAULT, vec![Ok(25), Ok(25), Ok(50), Ok(50), none(), none()]),
        zonal(&[(0, 0), (50, 3), (100, 5)], vec![Ok(15), Ok(15), Ok(30), Ok(30), none(), none()]),
    ]);
}

/// `TestVolumeBinding`, volumes to be made.
#[test]
fn room_is_scored() {
    let three: &[(&str, &str)] = &[("a", "100Gi"), ("b", "50Gi"), ("c", "10Gi")];
    let less: &[(&str, &str)] = &[("a", "100Gi"), ("b", "20Gi"), ("c", "10Gi")];
    let dynamic = |all: &[(&str, &str)], shape: Shape<'static>, scores: [i64; 3]| Case {
        nodes: hosts(&["a", "b", "c"]),
        volumes: vec![],
        claims: vec![wants("c", "dynamic", "10Gi")],
        rooms: rooms(all),
        shape,
        expected: scores.map(Ok).to_vec(),
    };
    check(vec![
        dynamic(three, DEFAULT, [10, 20, 100]),
        // Volumes that exist count alone.
        Case {
            nodes: hosts(&["a", "b", "c"]),
            volumes: local("static", &[("a", "100Gi"), ("b", "100Gi"), ("c", "100Gi")]),
            claims: vec![wants("c", "dynamic", "10Gi"), wants("d", "static", "50Gi")],
            rooms: rooms(three),
            shape: DEFAULT,
            expected: vec![Ok(50), Ok(50), Ok(50)],
        },
        Case {
            nodes: hosts(&["a"]),
            volumes: vec![],
            claims: vec![wants("c", "dynamic", "50Gi"), wants("d", "dynamic", "50Gi")],
            rooms: rooms(&[("a", "100Gi")]),
            shape: DEFAULT,
            expected: vec![Ok(100)],
        },
        dynamic(less, DEFAULT, [10, 50, 100]),
        dynamic(less, &[(0, 10), (100, 0)], [90, 50, 0]),
    ]);
}

/// `TestVolumeBinding`, what PreFilter and Filter say: the pod's claims, what they are, what is said.
#[test]
fn what_is_said_of_claims() {
    let bound = || claim("a").class("static").bound("v");
    let v = || volume("v").class("static");
    let reject = |reasons: &[&'static str]| {
        let reasons = reasons.iter().copied().map(Reason::Borrowed).collect();
        Status::with_reasons(Code::UnschedulableAndUnresolvable, reasons)
    };
    let not_found = |name: &str| Status::unresolvable(format!("persistentvolumeclaim {name:?} not found"));
    let lost = "persistentvolumeclaim \"a\" bound to non-existent persistentvolume \"v\"";
    type Row<'a> = (&'a [&'a str], Vec<ClaimBuilder>, Vec<VolumeBuilder>, Status);
    let rows: Vec<Row<'_>> = vec![
        (&[], vec![], vec![], Status::SKIP),
        (&["a"], vec![bound()], vec![v()], Status::SUCCESS),
        (&["a"], vec![], vec![], not_found("a")),
        (&["a", "b"], vec![bound()], vec![], not_found("b")),
        (&["a"], vec![claim("a").class("now")], vec![], Status::unresolvable(REASON_IMMEDIATE)),
        (&["a"], vec![claim("a").class("static")], vec![], reject(&[REASON_BIND])),
        (
            &["a", "b"],
            vec![bound(), claim("b").class("static")],
            vec![v().affinity("foo", &["bar"])],
            reject(&[REASON_NODE, REASON_BIND]),
        ),
        (&["a"], vec![bound()], vec![], reject(&[REASON_PV])),
        (&["a"], vec![bound().with(|c| c.lost = true)], vec![], Status::unresolvable(lost)),
    ];
    for (i, (names, claims, volumes, expected)) in rows.into_iter().enumerate() {
        let cache = world(volumes, claims);
        let p = uses(names);
        let status = match pre_filter(&cache, &p) {
            PreFilter::Continue(state) => plugin().filter(&state, &p, cache.node("n1").unwrap()),
            _ => rejection(&cache, &p),
        };
        assert_eq!(status, expected, "case {i}");
    }
}

/// `TestCapacity`, for a claim of 1 GiB: the room that is told of the cluster or of a node, and its largest volume;
/// whether it suffices.
#[test]
fn room_that_suffices() {
    let room = |place: &str, class: &str, capacity: Option<i64>, largest: Option<i64>| {
        let everywhere = place.is_empty().then(LabelSelector::default);
        let one = csi_capacity(&format!("room-{place}"), class, Some((HOST, place)), "0");
        CsiStorageCapacity {
            node_topology: everywhere.or(one.node_topology.clone()),
            capacity,
            maximum_volume_size: largest,
            ..one
        }
    };
    let (gib, mib) = (Some(1 << 30), Some(1 << 20));
    for (i, (all, enough)) in [
        (vec![room("", "wait", gib, None)], true),
        (vec![room("n1", "wait", gib, None)], true),
        (vec![room("", "wait", gib, None), room("n2", "wait", gib, None), room("n1", "wait", gib, None)], true),
        (vec![], false),
        (vec![room("n2", "wait", gib, None)], false),
        (vec![room("n1", "static", gib, None)], false),
        (vec![room("n1", "wait", mib, None)], false),
        (vec![room("n1", "wait", gib, mib)], false),
        (vec![room("n1", "wait", Some(0), None)], false),
        (vec![room("n1", "wait", None, Some(0))], false),
        (vec![room("n1", "wait", None, None)], false),
    ]
    .into_iter()
    .enumerate()
    {
        for told in [true, false] {
            let mut cache = world(vec![], vec![claim("c").class("wait").request("1Gi")]);
            let storage = cache.storage_mut();
            storage.set(StorageObject::CsiDriver(Arc::new(csi_driver("example.com/p", told))));
            for one in &all {
                storage.set(StorageObject::Capacity(Arc::new(one.clone())));
            }
            let expected = if enough || !told { Ok(vec!["c+".to_owned()]) } else { Err(vec![REASON_SPACE]) };
            assert_eq!(on(&cache, &uses(&["c"]), "n1"), expected, "case {i}, told: {told}");
        }
    }
}

/// `TestFindPodVolumesWithCSIMigration`: the plugins that the node's CSINode names, when it has one, the zone of the
/// node, whether the pod may go there. The volume tells its zone by label alone.
#[test]
fn zones_of_volumes_of_old() {
    let v = volume("v")
        .in_tree(InTreePlugin::GcePd, "test-disk")
        .label("failure-domain.beta.kubernetes.io/zone", "us-east-1")
        .label("failure-domain.beta.kubernetes.io/region", "us-east-1a");
    for (migrated, zone, expected) in [
        (Some("kubernetes.io/gce-pd"), "us-east-1", Ok(vec![])),
        (Some(""), "us-east-1", Ok(vec![])),
        (None, "us-east-1", Ok(vec![])),
        (Some("kubernetes.io/gce-pd"), "us-east-2", Err(vec![REASON_NODE])),
    ] {
        let mut cache = world(vec![v.clone()], vec![claim("c").class("static").bound("v")]);
        cache.set_node(node("n1").label("topology.gke.io/zone", zone).arc());
        if let Some(migrated) = migrated {
            cache.storage_mut().set(StorageObject::CsiNode(Arc::new(csi_node("n1", &[], migrated))));
        }
        assert_eq!(on(&cache, &uses(&["c"]), "n1"), expected, "{migrated:?} {zone}");
    }
}
