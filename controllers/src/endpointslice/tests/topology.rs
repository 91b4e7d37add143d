//! Hints by annotation: what is written, what is told, and what nodes have to do with it.

use headroom_core::object::Status;
use proptest::{prelude::*, test_runner::RngSeed};

use super::*;

const MODE: &str = "service.kubernetes.io/topology-mode";
const ENABLED: &str = "TopologyAwareHintsEnabled Topology Aware Hints has been enabled, addressType: IPv4";
const DISABLED: &str = "TopologyAwareHintsDisabled Topology Aware Hints has been disabled, addressType: IPv4";

fn auto(s: &mut Service) {
    s.meta.annotations = [(MODE, "Auto")].into_iter().collect();
}

fn machine(name: &str, zone: &str, cpu: &str) -> NodeBuilder {
    node(name).label("topology.kubernetes.io/zone", zone).capacity(cpu, "8Gi", 110)
}

fn down(machine: NodeBuilder) -> NodeBuilder {
    machine.condition("Ready", Status::False, 1)
}

/// Pods on these nodes, of which n1 is in z1 and n2 in z2.
fn rig(places: &[usize], change: impl FnOnce(&mut Service)) -> Rig {
    let pods = places.iter().enumerate().map(|(i, place)| backend(i).on(&format!("n{place}")));
    let mut rig = Rig::with(Config::default(), pods, change);
    rig.node(machine("n1", "z1", "4"));
    rig.node(machine("n2", "z2", "4"));
    rig
}

/// Each endpoint's zone and the one that it is hinted to.
fn hints(rig: &Rig) -> Vec<String> {
    let slices = rig.slices();
    let hint = |e: &headroom_core::object::Endpoint| {
        let zones: Vec<_> = e.hint_zones.iter().map(ToString::to_string).collect();
        format!("{}>{}", e.zone, zones.join("+"))
    };
    let mut all: Vec<_> = slices.iter().flat_map(|s| &s.endpoints).map(hint).collect();
    all.sort();
    all
}

fn refused(why: &str) -> String {
    format!("TopologyAwareHintsDisabled {why}, addressType: IPv4")
}

#[test]
fn the_annotation_gives_hints_and_says_so_once() {
    let mut rig = rig(&[1, 1, 1, 2], auto);
    assert_eq!(rig.run(), (1, 0, 0));
    let shared = ["z1>z1", "z1>z1", "z1>z2", "z2>z2"];
    assert_eq!(hints(&rig), shared);
    assert!(rig.rests());
    assert_eq!(rig.events, [ENABLED]);
    rig.service(|_| {});
    assert_eq!(rig.run(), (0, 1, 0));
    assert_eq!(hints(&rig), ["z1>", "z1>", "z1>", "z2>"]);
    assert!(rig.rests());
    assert_eq!(rig.events, [ENABLED, DISABLED]);
    rig.service(|s| {
        s.meta.annotations = [("service.kubernetes.io/topology-aware-hints", "auto")].into_iter().collect();
    });
    assert_eq!(rig.run(), (0, 1, 0));
    assert_eq!(hints(&rig), shared);
    // The field takes over; each endpoint's own zone is its hint now.
    rig.service(|s| s.traffic_distribution = "PreferSameZone".into());
    assert_eq!(rig.run(), (0, 1, 0));
    assert_eq!(hints(&rig), ["z1>z1", "z1>z1", "z1>z1", "z2>z2"]);
    assert_eq!(rig.events, [ENABLED, DISABLED, ENABLED, DISABLED]);
}

#[test]
fn refusals_leave_no_hints_and_say_why() {
    let overload = "Unable to allocate minimum required endpoints to each zone without exceeding overload threshold";
    type Change = fn(&mut Rig);
    let cases: [(&[usize], Change, String); 4] = [
        (&[1], |_| {}, refused("Insufficient number of endpoints (1 endpoints, 2 zones)")),
        (&[1, 2, 2], |_| {}, refused(&format!("{overload} (3 endpoints, 2 zones)"))),
        (
            &[1, 1, 2, 2],
            |rig| rig.node(node("n2")),
            refused("Insufficient Node information: allocatable CPU or zone not specified on one or more nodes"),
        ),
        (
            &[1, 1, 2, 3],
            |rig| rig.node(down(node("n3"))),
            refused("One or more endpoints do not have a zone specified"),
        ),
    ];
    for (places, change, event) in cases {
        // What the field would give is not given instead.
        let mut rig = rig(places, |s| {
            auto(s);
            s.traffic_distribution = "PreferSameZone".into();
        });
        change(&mut rig);
        assert_eq!(rig.run(), (1, 0, 0), "{event}");
        assert!(hints(&rig).iter().all(|hint| hint.ends_with('>')), "{event}");
        assert_eq!(rig.events, [event]);
    }
    // Before any node was seen.
    let mut rig = Rig::with(Config::default(), [], auto);
    rig.run();
    assert_eq!(rig.events, [refused("Nodes only ready in one zone")]);
}

#[test]
fn hints_that_another_manager_chose_are_kept() {
    let mut rig = rig(&[1, 1, 1, 1], auto);
    rig.put("web-stock", 0..4, |body| {
        for (i, zone) in ["z1", "z2", "z1", "z2"].into_iter().enumerate() {
            body["endpoints"][i]["hints"] = json!({"forZones": [{"name": zone}]});
        }
    });
    assert_eq!(rig.run(), (0, 0, 0));
    assert_eq!(hints(&rig), ["z1>z1", "z1>z1", "z1>z2", "z1>z2"]);
    assert_eq!(rig.slices()[0].endpoints[1].hint_zones[0], "z2");
    // Too few are left.
    rig.apply(backend(0).deleted(9));
    assert_eq!(rig.run(), (0, 1, 0));
    assert_eq!(hints(&rig), ["z1>"; 4]);
}

#[test]
fn nodes_bring_back_only_services_that_are_overloaded() {
    let mut rig = rig(&[1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2], auto);
    rig.run();
    let looks = |rig: &Rig| rig.c.counters().successes;
    let before = looks(&rig);
    // More CPU on a node that is there is not noticed; a small node is, and is no reason for a look.
    rig.node(machine("n1", "z1", "400"));
    assert_eq!((rig.run(), looks(&rig)), ((0, 0, 0), before));
    rig.node(machine("n1", "z1", "4"));
    rig.node(machine("n3", "z1", "500m"));
    assert_eq!((rig.run(), looks(&rig)), ((0, 0, 0), before));
    rig.node(down(machine("n3", "z1", "500m")));
    assert_eq!((rig.run(), looks(&rig)), ((0, 0, 0), before));
    // z1 should have two thirds.
    rig.node(machine("n3", "z1", "4"));
    assert_eq!((rig.run(), looks(&rig)), ((0, 1, 0), before + 1));
    assert_eq!(hints(&rig).iter().filter(|hint| *hint == "z2>z1").count(), 2);
    assert_eq!(rig.events, [ENABLED]);
    // The other zone has no node any more.
    rig.node(down(machine("n2", "z2", "4")));
    assert_eq!((rig.run(), looks(&rig)), ((0, 1, 0), before + 2));
    assert!(hints(&rig).iter().all(|hint| hint.ends_with('>')));
    let unknown = "Insufficient Node information: allocatable CPU or zone not specified on one or more nodes";
    assert_eq!(rig.events, [ENABLED.to_owned(), refused(unknown)]);
    // Without hints it is not looked at, until a pod changes.
    rig.node(machine("n2", "z2", "4"));
    assert_eq!((rig.run(), looks(&rig)), ((0, 0, 0), before + 2));
    rig.apply(backend(12).on("n2"));
    assert_eq!(rig.run(), (0, 1, 0));
    assert_eq!(rig.events[2], ENABLED);
    rig.lose("n3");
    assert_eq!((rig.run(), looks(&rig)), ((0, 1, 0), before + 4));
}

#[test]
fn one_family_is_told_of() {
    let both = |s: &mut Service| s.ip_families = Box::new(["IPv6".into(), "IPv4".into()]);
    let mut rig = rig(&[], |s| {
        both(s);
        auto(s);
    });
    for i in 0..4 {
        let ips: [headroom_core::Str; 2] = [format!("10.0.0.{}", i + 1).into(), format!("fd00::{}", i + 1).into()];
        rig.apply(backend(i).on(&format!("n{}", i / 2 + 1)).with(|p| p.status.ips = Box::new(ips)));
    }
    assert_eq!(rig.run(), (2, 0, 0));
    assert_eq!(hints(&rig), ["z1>z1", "z1>z1", "z1>z1", "z1>z1", "z2>z2", "z2>z2", "z2>z2", "z2>z2"]);
    assert!(rig.rests());
    rig.service(both);
    assert_eq!(rig.run(), (0, 2, 0));
    assert_eq!(rig.events, [ENABLED, DISABLED]);
}

#[test]
fn a_service_that_is_gone_is_forgotten() {
    let mut rig = rig(&[1, 2], auto);
    rig.run();
    let (c, now) = (&mut rig.c, rig.now);
    rig.world.remove_service(&ObjectKey::new("default", "web"), |e, w| c.observe(e, w, now));
    rig.run();
    rig.service(|_| {});
    assert_eq!(rig.run(), (0, 1, 0));
    assert_eq!(rig.events, [ENABLED]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, rng_seed: RngSeed::Fixed(23), failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever happens to pods and nodes: all ready endpoints have one zone or none has, and those that are not ready have
    /// none. Of one slice a second look changes nothing.
    #[test]
    fn all_or_nothing(
        steps in proptest::collection::vec((
            proptest::collection::vec((0usize..12, 0u8..6, 1usize..4), 0..8),
            proptest::collection::vec((1usize..5, 0usize..3, 0u8..5), 0..2),
        ), 1..5),
        small in any::<bool>(),
    ) {
        let config = Config { max_endpoints_per_slice: if small { 3 } else { 100 }, ..Config::default() };
        let mut rig = Rig::with(config, [], auto);
        for i in 1..4 {
            rig.node(machine(&format!("n{i}"), &format!("z{i}"), "4"));
        }
        for (pods, nodes) in steps {
            for (i, state, place) in pods {
                let p = backend(i).on(&format!("n{place}"));
                match state {
                    0 => rig.remove(&format!("p{i}")),
                    1 => rig.apply(p.deleted(9)),
                    _ => rig.apply(p),
                }
            }
            for (i, zone, cpu) in nodes {
                let n = machine(&format!("n{i}"), &format!("z{}", zone + 1), &cpu.max(1).to_string());
                rig.node(if cpu == 0 { down(n) } else { n });
            }
            rig.run();
            let slices = rig.slices();
            let all: Vec<_> = slices.iter().flat_map(|s| &s.endpoints).collect();
            let hinted = all.iter().filter(|e| e.hint_zones.len() == 1).count();
            let ready = all.iter().filter(|e| e.ready == Some(true)).count();
            prop_assert!(hinted == 0 || hinted == ready, "{hinted} of {ready}");
            prop_assert!(all.iter().all(|e| e.hint_zones.len() <= usize::from(e.ready == Some(true))));
            rig.rests();
            prop_assert!(slices.len() > 1 || rig.rests());
        }
    }
}
