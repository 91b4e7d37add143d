//! What stands in mirrored slices, and what it takes to get there.

use proptest::{prelude::*, test_runner::RngSeed};

use super::*;

#[test]
fn writes_what_upstream_writes() {
    let mut object = endpoints(json!([subset(&[("010.0.0.1", "h")], &[("10.0.0.2", "")], &[("http", 80)])]));
    let target = json!({"kind": "Node", "namespace": "", "name": "n", "uid": "u", "apiVersion": "v1"});
    object["subsets"][0]["addresses"][0]["targetRef"] = target;
    object["subsets"][0]["ports"][0]["appProtocol"] = json!("h2c");
    let (mut bench, writes) = Bench::mirrored(&object, vec![]);
    assert_eq!(writes, (1, 0, 0));
    let (key, written) = bench.store.objects.iter().next().unwrap();
    assert!(key.name.starts_with("web-") && key.name.len() == 9, "{key}");
    let mut expected = slice(
        &key.name,
        json!([
            {"addresses": ["10.0.0.1"], "conditions": {"ready": true}, "hostname": "h", "nodeName": "n1",
             "targetRef": {"kind": "Node", "name": "n", "uid": "u", "apiVersion": "v1"}},
            {"addresses": ["10.0.0.2"], "conditions": {"ready": false}, "nodeName": "n1"},
        ]),
        &[("http", 80)],
    );
    expected["ports"][0]["appProtocol"] = json!("h2c");
    expected["metadata"]["generateName"] = json!("web-");
    for field in ["uid", "resourceVersion", "generation"] {
        expected["metadata"][field] = written["metadata"][field].clone();
    }
    assert_eq!(*written, expected);
    // What does not reach slices leads to no write.
    object["metadata"]["annotations"]["endpoints.kubernetes.io/last-change-trigger-time"] = json!("later");
    assert_eq!(bench.change(&object), (0, 0, 0));
    object["metadata"]["labels"]["team"] = json!("z");
    object["metadata"]["annotations"] = json!({"other": "1"});
    assert_eq!(bench.change(&object), (0, 1, 0));
    let after = &bench.slices()[0].meta;
    assert_eq!(after.annotations, [("other", "1")].into_iter().collect());
    assert_eq!(after.labels.get("team").map(headroom_core::Str::as_str), Some("z"));
    assert!(bench.rig.take_events().is_empty());
}

/// Translated from `TestReconcile`: what it takes, and how many endpoints the slices have then.
#[test]
fn reconciles_as_upstream() {
    let (one, two) = (("10.0.0.1", "pod-1"), ("10.0.0.2", "pod-2"));
    let (http, https) = (("http", 80), ("https", 443));
    let other = [("10.0.1.1", "pod-11"), ("10.0.1.2", "pod-12"), ("10.0.1.3", "pod-13")];
    let other_ports = [("http", 3000), ("https", 3001)];
    let two_subsets = || json!([subset(&[one, two], &[], &[http, https]), subset(&other, &[], &other_ports)]);
    let both = [http, https];
    let v6 = ("2001:db8::7777", "pod-3");
    let old_owner = || {
        let mut s = slice("s1", json!([endpoint("10.0.0.1", "pod-1")]), &[http]);
        s["metadata"]["ownerReferences"][0]["uid"] = json!("older");
        s
    };
    let with = |field: &str, value: Value| {
        let mut s = slice("s1", json!([endpoint("10.0.0.1", "pod-1")]), &[http]);
        s["metadata"][field] = value;
        s
    };
    let labels = json!({"team": "y", "kubernetes.io/service-name": "web",
                        "endpointslice.kubernetes.io/managed-by": "endpointslicemirroring-controller.k8s.io"});
    let same = || vec![endpoint("10.0.0.1", "pod-1"), endpoint("10.0.0.2", "pod-2")];
    type Case<'a> = (&'a str, Value, Vec<Value>, (usize, usize, usize), &'a [usize]);
    let cases: Vec<Case<'_>> = vec![
        ("no subsets", json!([]), vec![], (0, 0, 0), &[]),
        ("no addresses", json!([subset(&[], &[], &[http])]), vec![], (0, 0, 0), &[]),
        ("one of each", json!([subset(&[one], &[], &[http])]), vec![], (1, 0, 0), &[1]),
        (
            "different ports and addresses",
            json!([subset(&[one], &[], &[http]), subset(&[two], &[], &[https])]),
            vec![],
            (2, 0, 0),
            &[1, 1],
        ),
        (
            "different ports, same address",
            json!([subset(&[one], &[], &[http]), subset(&[one], &[], &[https])]),
            vec![],
            (1, 0, 0),
            &[1],
        ),
        (
            "same port, different addresses",
            json!([subset(&[one], &[], &[http]), subset(&[two], &[], &[http])]),
            vec![],
            (1, 0, 0),
            &[2],
        ),
        ("ready and not", json!([subset(&other, &[one, two], &both)]), vec![], (1, 0, 0), &[5]),
        ("two subsets", two_subsets(), vec![], (2, 0, 0), &[2, 3]),
        ("an empty slice", two_subsets(), vec![slice("s1", json!([]), &both)], (1, 1, 0), &[2, 3]),
        (
            "some addresses",
            two_subsets(),
            vec![slice(
                "s1",
                json!([{"addresses": ["10.0.0.2"], "hostname": "pod-2"},
                       {"addresses": ["10.0.0.1", "10.0.0.3"], "hostname": "pod-1"}]),
                &both,
            )],
            (1, 1, 0),
            &[2, 3],
        ),
        ("one subset is there", two_subsets(), vec![slice("s1", json!(same()), &both)], (1, 0, 0), &[2, 3]),
        (
            "both families",
            json!([subset(&[one, v6], &[], &both), subset(&[other[0], v6], &[], &other_ports)]),
            vec![],
            (4, 0, 0),
            &[1, 1, 1, 1],
        ),
        (
            "slices of other ports are used again",
            two_subsets(),
            vec![
                slice("s1", json!(same()), &[("a", 1)]),
                slice("s2", json!([]), &[("b", 1)]),
                slice("s3", json!([]), &[("c", 1)]),
            ],
            (0, 2, 1),
            &[2, 3],
        ),
        (
            "the same twice",
            json!([subset(&[one], &[], &[http])]),
            vec![with("annotations", json!({"note": "y"})), {
                let mut s = with("annotations", json!({"note": "y"}));
                s["metadata"]["name"] = json!("s0");
                s
            }],
            (0, 0, 1),
            &[1],
        ),
        ("same fields", json!([subset(&[one], &[], &[http])]), vec![with("x", json!(1))], (0, 0, 0), &[1]),
        ("an older owner", json!([subset(&[one], &[], &[http])]), vec![old_owner()], (0, 1, 0), &[1]),
        (
            "another annotation",
            json!([subset(&[one], &[], &[http])]),
            vec![with("annotations", json!({"note": "y", "foo": "bar"}))],
            (0, 1, 0),
            &[1],
        ),
        ("another label", json!([subset(&[one], &[], &[http])]), vec![with("labels", labels)], (0, 1, 0), &[1]),
    ];
    for (what, subsets, existing, expected, sizes) in cases {
        let (mut bench, writes) = Bench::mirrored(&endpoints(subsets), existing);
        assert_eq!(writes, expected, "{what}");
        let mut seen: Vec<_> = bench.slices().iter().map(|s| s.endpoints.len()).collect();
        seen.sort();
        assert_eq!(seen, sizes, "{what}");
        assert!(bench.slices().iter().all(|s| s.meta.owners[0].uid == *"ep"), "{what}");
        let figures = bench.rig.controller.gauges();
        assert_eq!((figures.slices, figures.desired_slices), (sizes.len(), sizes.len()), "{what}");
        bench.rig.controller.queue.add(key());
        assert_eq!(bench.run(), (0, 0, 0), "{what}: another look does nothing");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { rng_seed: RngSeed::Fixed(22), failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever people write, one after another: with room for all, each port leads to its valid addresses and to nothing
    /// else, not ready if it is so anywhere; without, to some of them; and another look does nothing.
    #[test]
    fn one_look_is_enough(
        steps in proptest::collection::vec(
            proptest::collection::vec((
                proptest::collection::vec((1u8..9, any::<bool>(), 0u8..9), 0..6),
                proptest::collection::vec(1u16..5, 0..4),
            ), 0..4), 1..4),
        max in prop::sample::select(vec![1u16, 3, 1000]),
    ) {
        let mut bench = Bench::new(max, vec![]);
        bench.rig.service(service(None));
        bench.rig.start();
        for step in steps {
            let mut wanted: BTreeMap<Option<u16>, BTreeMap<String, bool>> = BTreeMap::new();
            let mut subsets = vec![];
            for (list, of) in &step {
                let none = of.is_empty().then_some(None);
                for port in of.iter().map(|p| Some(*p)).chain(none) {
                    for (n, ready, kind) in list.iter().filter(|a| a.2 > 0) {
                        *wanted.entry(port).or_default().entry(address(*n, *kind)).or_insert(true) &= ready;
                    }
                }
                let side = |want: bool| -> Value {
                    let of_side = list.iter().filter(|a| a.1 == want);
                    of_side.map(|(n, _, kind)| json!({"ip": address(*n, *kind)})).collect()
                };
                let of: Vec<_> = of.iter().map(|p| ("", *p)).collect();
                subsets.push(json!({"addresses": side(true), "notReadyAddresses": side(false), "ports": ports(&of)}));
            }
            bench.change(&endpoints(json!(subsets)));
            bench.rig.controller.queue.add(key());
            prop_assert_eq!(bench.run(), (0, 0, 0));
            let mut seen: BTreeMap<Option<u16>, BTreeMap<String, bool>> = BTreeMap::new();
            for slice in bench.slices() {
                prop_assert!((1..=usize::from(max)).contains(&slice.endpoints.len()));
                let none = slice.ports.is_empty().then_some(None);
                for port in slice.ports.iter().map(|p| p.port).chain(none) {
                    for e in &slice.endpoints {
                        let twice = seen.entry(port).or_default().insert(e.addresses[0].to_string(), e.ready.unwrap());
                        prop_assert!(twice.is_none());
                        prop_assert_eq!(e.addresses[0].contains(':'), slice.address_type == AddressType::IPv6);
                    }
                }
            }
            if max == 1000 {
                prop_assert_eq!(&seen, &wanted);
            }
            for (port, addresses) in seen {
                prop_assert!(addresses.iter().all(|(ip, ready)| wanted[&port].get(ip) == Some(ready)));
            }
            prop_assert!(wanted.is_empty() || !bench.slices().is_empty());
        }
    }
}

fn address(n: u8, kind: u8) -> String {
    match kind {
        0 => format!("bad{n}"),
        1 | 2 => format!("fd00::{n}"),
        _ => format!("10.0.0.{n}"),
    }
}
