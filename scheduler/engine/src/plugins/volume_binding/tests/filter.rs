use super::*;

#[test]
fn what_is_wrong_with_the_claims_is_told() {
    let cache = world(
        vec![volume("pv").class("wait")],
        vec![
            claim("lost").volume("pv").with(|c| c.lost = true),
            claim("going").with(|c| c.meta.set_deleted(headroom_core::Timestamp(1))),
            claim("unbound-now").class("now"),
            claim("prebound").class("wait").volume("pv"),
            claim("classless"),
            claim("unknown-class").class("none"),
            claim("p-others").class("wait").of_pod("q"),
            claim("p-own").class("wait").of_pod("p"),
            claim("fine").class("wait"),
        ],
    );
    let reject = |message: &str| Status::unresolvable(message.to_owned());
    for (p, expected) in [
        (uses(&[]), Status::SKIP),
        (uses(&["fine"]), Status::SUCCESS),
        (uses(&["none"]), reject("persistentvolumeclaim \"none\" not found")),
        (uses(&["lost"]), reject("persistentvolumeclaim \"lost\" bound to non-existent persistentvolume \"pv\"")),
        (uses(&["going"]), reject("persistentvolumeclaim \"going\" is being deleted")),
        (uses(&["unbound-now"]), reject(REASON_IMMEDIATE)),
        (uses(&["prebound"]), reject(REASON_IMMEDIATE)),
        (uses(&["classless"]), reject(REASON_IMMEDIATE)),
        (uses(&["unknown-class", "fine"]), reject(REASON_IMMEDIATE)),
        (info(pod("p").ephemeral("own")), Status::SUCCESS),
        (
            info(pod("p").ephemeral("others")),
            reject("PVC default/p-others was not created for pod default/p (pod is not owner)"),
        ),
        (
            info(pod("p").ephemeral("late")),
            reject("waiting for ephemeral volume controller to create the persistentvolumeclaim \"p-late\""),
        ),
    ] {
        assert_eq!(rejection(&cache, &p), expected, "{:?}", p.pod.spec.volumes);
    }
}

/// Upstream's `TestFindPodVolumesWithoutProvisioning`: `c` asks for 5 GiB, `d` for 10 GiB.
#[test]
fn volumes_that_exist() {
    let here = |name: &str, size: &str| volume(name).class("static").capacity(size).affinity(HOST, &["n1"]);
    let (a, b) = (|| here("a", "5Gi"), || here("b", "10Gi"));
    let there = || volume("there").class("static").capacity("1Gi").affinity(HOST, &["n2"]);
    let claims = || {
        vec![
            claim("c").class("static").request("5Gi"),
            claim("d").class("static").request("10Gi"),
            claim("bound").class("now").bound("bound-volume"),
        ]
    };
    let bound = || volume("bound-volume").class("now").for_claim("bound", "uid-bound");
    type Found = Result<Vec<&'static str>, Vec<&'static str>>;
    let cases: Vec<(Vec<VolumeBuilder>, &[&str], Found)> = vec![
        (vec![bound()], &["bound"], Ok(vec![])),
        (vec![], &["bound"], Err(vec![REASON_PV])),
        (vec![bound().affinity(HOST, &["n2"])], &["bound"], Err(vec![REASON_NODE])),
        (vec![there(), b(), a()], &["c"], Ok(vec!["c->a"])),
        (vec![there()], &["c"], Err(vec![REASON_BIND])),
        (vec![a(), b()], &["c", "d"], Ok(vec!["c->a", "d->b"])),
        (vec![a(), b()], &["d", "c"], Ok(vec!["c->a", "d->b"])),
        (vec![a()], &["c", "d"], Err(vec![REASON_BIND])),
        (vec![a(), bound()], &["c", "bound"], Ok(vec!["c->a"])),
        (vec![there(), bound()], &["c", "bound"], Err(vec![REASON_BIND])),
        (vec![there(), bound().affinity(HOST, &["n2"])], &["c", "bound"], Err(vec![REASON_NODE, REASON_BIND])),
    ];
    for (volumes, names, expected) in cases {
        let cache = world(volumes, claims());
        let expected = expected.map(|all| all.into_iter().map(str::to_owned).collect());
        assert_eq!(on(&cache, &uses(names), "n1"), expected, "{names:?}");
    }
}

/// Upstream's `TestFindMatchVolumeWithNode` and its neighbours: which volume a claim gets.
#[test]
fn the_smallest_that_fits() {
    let v = |name: &str| volume(name).class("static").capacity("10Gi");
    let c = || claim("c").class("static").request("5Gi");
    let selector = || LabelSelector {
        requirements: Box::new([headroom_core::selector::Requirement {
            key: "k".into(),
            operator: headroom_core::selector::Operator::In,
            values: Box::new(["v".into()]),
        }]),
    };
    let cases: Vec<(Vec<VolumeBuilder>, ClaimBuilder, Option<&str>)> = vec![
        (vec![v("big").capacity("20Gi"), v("fits"), v("small").capacity("1Gi")], c(), Some("fits")),
        (vec![v("b"), v("a")], c(), Some("a")),
        (vec![v("a").for_claim("other", "")], c(), None),
        (vec![v("a"), v("z").capacity("50Gi").for_claim("c", "")], c(), Some("z")),
        // A reservation is not passed over, even though the node reaches another volume.
        (vec![v("a"), v("z").for_claim("c", "").affinity(HOST, &["n2"])], c(), None),
        (vec![v("a").affinity(HOST, &["n2"]), v("y").for_claim("c", "").affinity(HOST, &["n2"])], c(), None),
        (vec![v("a").for_claim("c", "uid-other")], c(), None),
        (vec![v("a").for_claim("c", "uid-c").with(|v| v.available = false)], c(), Some("a")),
        (vec![v("a").with(|v| v.available = false)], c(), None),
        (vec![v("a").with(|v| v.block = true)], c(), None),
        (vec![v("a").with(|v| v.block = true)], c().with(|c| c.block = true), Some("a")),
        (vec![v("a").with(|v| v.attributes_class = "gold".into())], c(), None),
        (vec![v("a").with(|v| v.meta.set_deleted(headroom_core::Timestamp(1)))], c(), None),
        (vec![v("a"), v("b").label("k", "v")], c().with(|c| c.selector = Some(selector())), Some("b")),
        (vec![v("a")], c().modes(AccessModes::READ_WRITE_MANY), None),
        (
            vec![v("a").with(|v| v.access_modes = v.access_modes.or(AccessModes::READ_WRITE_MANY))],
            c().modes(AccessModes::READ_WRITE_MANY),
            Some("a"),
        ),
        (vec![volume("a").class("wait").capacity("10Gi")], c(), None),
    ];
    for (i, (volumes, claim, expected)) in cases.into_iter().enumerate() {
        let cache = world(volumes, vec![claim]);
        let got = on(&cache, &uses(&["c"]), "n1");
        let expected = expected.map_or(Err(vec![REASON_BIND]), |v| Ok(vec![format!("c->{v}")]));
        assert_eq!(got, expected, "case {i}");
    }
}

/// Upstream's `TestFindPodVolumesWithProvisioning`.
#[test]
fn volumes_to_be_made() {
    let claims = || {
        vec![
            claim("new").class("wait"),
            claim("new-2").class("wait"),
            claim("chosen").class("wait").annotation(SELECTED_NODE, "n1"),
            claim("zoned").class("zoned"),
            claim("elsewhere").class("elsewhere"),
            claim("static").class("static"),
            claim("bound").bound("bound-volume"),
        ]
    };
    let bound = || volume("bound-volume").for_claim("bound", "uid-bound");
    let local = || volume("local").class("static").affinity(HOST, &["n1"]);
    let cache = world(vec![bound(), local()], claims());
    for (names, node, expected) in [
        (vec!["new"], "n1", Ok(vec!["new+"])),
        (vec!["new", "new-2"], "n2", Ok(vec!["new+", "new-2+"])),
        (vec!["new", "bound"], "n1", Ok(vec!["new+"])),
        (vec!["static", "new"], "n1", Ok(vec!["static->local", "new+"])),
        (vec!["static", "new"], "n2", Err(vec![REASON_BIND])),
        (vec!["chosen"], "n1", Ok(vec!["chosen+"])),
        (vec!["chosen", "new"], "n1", Ok(vec!["chosen+", "new+"])),
        (vec!["chosen"], "n2", Err(vec![REASON_BIND])),
        (vec!["zoned"], "n1", Ok(vec!["zoned+"])),
        (vec!["zoned"], "n2", Err(vec![REASON_BIND])),
        (vec!["elsewhere"], "n1", Err(vec![REASON_BIND])),
    ] {
        let expected = expected.map(|all: Vec<&str>| all.into_iter().map(str::to_owned).collect());
        assert_eq!(on(&cache, &uses(&names), node), expected, "{names:?} on {node}");
    }
}

/// Upstream's `TestCapacity`.
#[test]
fn room_is_asked_for_where_the_driver_tells_it() {
    let with = |told: bool, room: Vec<headroom_core::object::CsiStorageCapacity>| {
        let mut cache = world(vec![], vec![claim("c").class("wait").request("5Gi")]);
        let storage = cache.storage_mut();
        storage.set(StorageObject::CsiDriver(Arc::new(csi_driver("example.com/p", told))));
        for r in room {
            storage.set(StorageObject::Capacity(Arc::new(r)));
        }
        cache
    };
    fn room(topology: Option<(&str, &str)>, size: &str) -> headroom_core::object::CsiStorageCapacity {
        csi_capacity("r", "wait", topology, size)
    }
    let limited = |size: &str, largest| headroom_core::object::CsiStorageCapacity {
        maximum_volume_size: Some(largest),
        ..room(Some((HOST, "n1")), size)
    };
    let n1 = Some((HOST, "n1"));
    for (told, all, ok) in [
        (false, vec![], true),
        (true, vec![], false),
        (true, vec![room(n1, "5Gi")], true),
        (true, vec![room(n1, "4Gi")], false),
        (true, vec![room(Some((HOST, "n2")), "50Gi")], false),
        (true, vec![room(None, "50Gi")], false),
        (true, vec![limited("50Gi", 1 << 30)], false),
        (true, vec![limited("1Gi", 50 << 30)], true),
        (true, vec![csi_capacity("r", "static", n1, "50Gi")], false),
        (true, vec![csi_capacity("a", "wait", n1, "1Gi"), csi_capacity("b", "wait", n1, "9Gi")], true),
    ] {
        let got = on(&with(told, all.clone()), &uses(&["c"]), "n1");
        assert_eq!(got, if ok { Ok(vec!["c+".to_owned()]) } else { Err(vec![REASON_SPACE]) }, "{all:?}");
    }
}

/// Upstream's `TestFindPodVolumesWithCSIMigration`.
#[test]
fn in_tree_volumes_are_where_their_csi_driver_says() {
    let zone = "topology.kubernetes.io/zone";
    let v = volume("v").in_tree(InTreePlugin::GcePd, "disk").affinity(zone, &["a"]).for_claim("c", "uid-c");
    let mut cache = world(vec![v], vec![claim("c").bound("v")]);
    cache.set_node(node("old").label(zone, "a").arc());
    cache.set_node(node("new").label("topology.gke.io/zone", "a").arc());
    let p = uses(&["c"]);
    assert_eq!((on(&cache, &p, "old").is_ok(), on(&cache, &p, "new").is_ok()), (true, false));
    for name in ["old", "new"] {
        let migrated = csi_node(name, &[], "kubernetes.io/aws-ebs,kubernetes.io/gce-pd");
        cache.storage_mut().set(StorageObject::CsiNode(Arc::new(migrated)));
    }
    assert_eq!((on(&cache, &p, "old").is_ok(), on(&cache, &p, "new").is_ok()), (false, true));
}

#[test]
fn filter_and_score() {
    let volumes = || {
        ["n1", "n2"].map(|n| {
            volume(&format!("on-{n}"))
                .class("static")
                .capacity(if n == "n1" { "10Gi" } else { "20Gi" })
                .affinity(HOST, &[n])
        })
    };
    let cache = world(volumes().into(), vec![claim("c").class("static").request("10Gi")]);
    let p = uses(&["c"]);
    let view = View::new(&cache, NOW);
    assert_eq!(plugin().pre_score(&p, &[], &view), PreScore::Skip, "off unless a shape is given");
    let args = serde_json::json!({"shape": [{"utilization": 0, "score": 0}, {"utilization": 100, "score": 10}]});
    let scoring = VolumeBinding::from_args(Some(&args)).unwrap();
    assert!(scoring.points().has(Point::Score) && !plugin().points().has(Point::Score));
    assert_eq!(scoring.pre_score(&uses(&[]), &[], &view), PreScore::Skip);
    let PreScore::Continue(state) = scoring.pre_score(&p, &[], &view) else { panic!() };
    let score = |n: &str| scoring.score(&state, &p, cache.node(n).unwrap()).unwrap();
    assert_eq!((score("n1"), score("n2")), (100, 50));
    assert!(scoring.filter(&state, &p, cache.node("n1").unwrap()).is_success());
    assert_eq!(plugin().reads(&uses(&[])), Reads::Node);
    assert_eq!(plugin().reads(&p), Reads::Cluster);
}

/// Upstream's `TestIsSchedulableAfter…` of this plugin.
#[test]
fn hints() {
    let cache = Cache::default();
    let view = View::new(&cache, NOW);
    let change = |old: Option<StorageObject>, new: StorageObject| Change::Storage { old, new: Some(new) };
    let class = |values: &[&str]| {
        let class = waiting_class("c", "p");
        StorageObject::Class(Arc::new(if values.is_empty() { class } else { allowed_in(class, "zone", values) }))
    };
    let node = |migrated: &str| StorageObject::CsiNode(Arc::new(csi_node("n", &[], migrated)));
    let driver = |told| -> StorageObject { StorageObject::CsiDriver(Arc::<CsiDriver>::new(csi_driver("d", told))) };
    let room = |size: &str| StorageObject::Capacity(Arc::new(csi_capacity("r", "c", None, size)));
    let c = |name: &str| StorageObject::Claim(claim(name).arc());
    let p = info(pod("p").claim("c").ephemeral("v").volume("i", VolumeKind::Csi("d".into())));
    for (change, expected) in [
        (change(None, class(&[])), Hint::Queue),
        (change(Some(class(&[])), class(&["a"])), Hint::Queue),
        (change(Some(class(&["a"])), class(&["a"])), Hint::Skip),
        (change(None, c("c")), Hint::Queue),
        (change(Some(c("c")), c("c")), Hint::Queue),
        (change(None, c("p-v")), Hint::Queue),
        (change(None, c("other")), Hint::Skip),
        (change(None, node("")), Hint::Queue),
        (change(Some(node("")), node("x")), Hint::Queue),
        (change(Some(node("x")), node("x")), Hint::Skip),
        (change(Some(driver(true)), driver(false)), Hint::Queue),
        (change(Some(driver(false)), driver(true)), Hint::Skip),
        (change(None, room("1Gi")), Hint::Queue),
        (change(Some(room("1Gi")), room("2Gi")), Hint::Queue),
        (change(Some(room("2Gi")), room("1Gi")), Hint::Skip),
    ] {
        assert_eq!(plugin().hint(&change, &p, &view), expected, "{change:?}");
    }
    let elsewhere = claim("c").with(|c| c.meta.key.namespace = "other".into()).arc();
    assert_eq!(plugin().hint(&change(None, StorageObject::Claim(elsewhere)), &p, &view), Hint::Skip);
    assert_eq!(plugin().hint(&change(Some(driver(true)), driver(false)), &uses(&["c"]), &view), Hint::Skip);
}
