//! Which endpoints come into which slice.

use proptest::{prelude::*, test_runner::RngSeed};

use super::*;

/// Translated from `TestReconcileManyPods` and `TestReconcileMaxEndpointsPerSlice`.
#[test]
fn fills_slices() {
    for (max, expected) in [
        (50, vec![50; 5]),
        (80, vec![80, 80, 80, 10]),
        (100, vec![100, 100, 50]),
        (150, vec![150, 100]),
        (1000, vec![250]),
    ] {
        let config = Config { max_endpoints_per_slice: max, ..Config::default() };
        let mut rig = Rig::with(config, (0..250).map(backend), |_| {});
        assert_eq!(rig.run(), (expected.len(), 0, 0));
        assert_eq!(rig.sizes(), expected);
        assert!(rig.rests());
    }
}

/// Translated from `TestReconcileEndpointSlicesSomePreexisting`, `…SomePreexistingWorseAllocation`, `…UpdatePacking`.
#[test]
fn prefers_few_writes_to_full_slices() {
    let mut rig = Rig::new((0..250).map(backend));
    rig.put("s1", 0..62, |_| {});
    rig.put("s2", 62..123, |_| {});
    assert_eq!(rig.run(), (1, 1, 0), "some preexisting");
    assert_eq!(rig.sizes(), [100, 89, 61]);

    let mut rig = Rig::new((0..300).map(backend));
    rig.put("s1", 0..74, |_| {});
    rig.put("s2", 74..148, |_| {});
    assert_eq!(rig.run(), (2, 0, 0), "worse allocation");
    assert_eq!(rig.sizes(), [100, 74, 74, 52]);

    let mut rig = Rig::new((0..115).map(backend));
    rig.put("s1", 0..80, |b| b["endpoints"][0]["nodeName"] = json!("n2"));
    rig.put("s2", 80..100, |b| b["endpoints"][0]["nodeName"] = json!("n2"));
    assert_eq!(rig.run(), (0, 2, 0), "the fullest of those written anyway");
    assert_eq!(rig.sizes(), [95, 20]);
}

/// Translated from `TestReconcileEndpointSlicesUpdating` and `…Recycling`.
#[test]
fn updates_in_place_and_recycles() {
    let mut rig = Rig::new((0..250).map(backend));
    rig.run();
    rig.service(|s| s.ports = Box::new([port("", TargetPort::Number(81))]));
    assert_eq!(rig.run(), (0, 3, 0));
    assert_eq!(rig.sizes(), [100, 100, 50]);

    let mut rig = Rig::new((0..300).map(backend));
    for i in 0..10 {
        rig.put(&format!("s{i}"), i * 30..(i + 1) * 30, |_| {});
    }
    rig.service(|s| s.ports = Box::new([port("", TargetPort::Number(81))]));
    assert_eq!(rig.run(), (0, 3, 7));
    assert_eq!(rig.sizes(), [100, 100, 100]);
    let last_update = rig.store.writes.iter().rposition(|w| w.starts_with("patch")).unwrap();
    let first_deletion = rig.store.writes.iter().position(|w| w.starts_with("delete")).unwrap();
    assert!(last_update < first_deletion);
}

/// Translated from `TestReconcileEndpointSlicesNamedPorts`.
#[test]
fn ports_by_name_group_pods() {
    let pods =
        (0..300).map(|i| backend(i).container(container("c").port("http", 8080 + u16::try_from(i % 5).unwrap(), 0)));
    let mut rig = Rig::with(Config::default(), pods, |s| {
        s.ports = Box::new([port("web", TargetPort::Name("http".into()))]);
    });
    assert_eq!(rig.run(), (5, 0, 0));
    assert_eq!(rig.sizes(), [60; 5]);
    let numbers: std::collections::BTreeSet<_> = rig.slices().iter().map(|s| s.ports[0].port.unwrap()).collect();
    assert_eq!(numbers, (8080..8085).collect());
}

proptest! {
    #![proptest_config(ProptestConfig { rng_seed: RngSeed::Fixed(21), failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the pods and the slices that are there: the writes lead to a state in which another look does nothing,
    /// every pod with an address is in exactly one slice of its ports, and nothing else is anywhere.
    #[test]
    fn one_look_is_enough(
        steps in proptest::collection::vec(
            proptest::collection::vec((0usize..40, 0u8..5, 0u8..3), 0..30), 1..4),
        max in 1usize..8, named in any::<bool>(),
    ) {
        let config = Config { max_endpoints_per_slice: max, ..Config::default() };
        let mut rig = Rig::with(config, [], |s| {
            if named { s.ports = Box::new([port("a", TargetPort::Name("http".into()))]); }
        });
        let mut pods: BTreeMap<String, (bool, bool, u16)> = BTreeMap::new();
        for step in steps {
            for (i, state, number) in step {
                // Another port is another pod under the same name.
                let p = backend(i).uid(&format!("u{i}-{number}")).container(container("c").port("http", 1 + u16::from(number), 0));
                let name = format!("p{i}");
                let number = if named { 1 + u16::from(number) } else { 8080 };
                match state {
                    0 => { rig.remove(&name); pods.remove(&name); }
                    1 => { rig.apply(p.deleted(9)); pods.insert(name, (true, false, number)); }
                    2 => { rig.apply(p.label("app", "db")); pods.insert(name, (false, false, number)); }
                    _ => { rig.apply(p); pods.insert(name, (true, true, number)); }
                }
            }
            rig.run();
            prop_assert!(rig.rests());
            let mut seen: BTreeMap<String, (bool, u16)> = BTreeMap::new();
            for slice in rig.slices() {
                prop_assert!(slice.endpoints.len() <= max);
                for e in &slice.endpoints {
                    let name = e.target.as_ref().unwrap().object.name.to_string();
                    let twice = seen.insert(name, (e.ready.unwrap(), slice.ports[0].port.unwrap()));
                    prop_assert!(twice.is_none());
                }
            }
            let wanted: BTreeMap<_, _> = pods.iter().filter(|(_, p)| p.0).map(|(n, p)| (n.clone(), (p.1, p.2))).collect();
            prop_assert_eq!(seen, wanted);
            prop_assert!(!rig.slices().is_empty());
        }
    }
}
