//! The loop against a fake API server.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use headroom_core::{
    Now, Timestamp,
    intent::{Intent, Op, Outcome, WriteError, Written},
    object::{EndpointSlice, Kind, Meta, ObjectKey, Phase, Protocol, Service, ServicePort, TargetPort},
    testing::{PodBuilder, container, node, pod},
};
use proptest::{prelude::*, test_runner::RngSeed};
use serde_json::{Value, json};

use super::{Config, EndpointSliceController};
use crate::{
    endpoint_common::store::{Store, slice_row},
    framework::{Controller, Outbox, World},
};

fn port(name: &str, target: TargetPort) -> ServicePort {
    ServicePort { name: name.into(), protocol: Protocol::Tcp, port: 80, target, app_protocol: None }
}

/// Service `default/web` selecting `app=web`, port 80 to 8080.
fn service() -> Service {
    Service {
        meta: Meta {
            key: ObjectKey::new("default", "web"),
            uid: "svc".into(),
            resource_version: 1,
            labels: [("team", "x"), ("endpointslice.kubernetes.io/managed-by", "me")].into_iter().collect(),
            created: Timestamp::from_secs(500),
            ..Meta::default()
        },
        selector: Some([("app", "web")].into_iter().collect()),
        ports: Box::new([port("", TargetPort::Number(8080))]),
        cluster_ip: "10.96.0.1".into(),
        kind: "ClusterIP".into(),
        ip_families: Box::new(["IPv4".into()]),
        ..Service::default()
    }
}

fn backend(i: usize) -> PodBuilder {
    pod(&format!("p{i}")).label("app", "web").on("n1").ready(1000, &format!("10.0.{}.{}", i / 200, i % 200 + 1))
}

struct Rig {
    world: World,
    c: EndpointSliceController,
    now: Now,
    next: u64,
    store: Store,
    open: Vec<Intent>,
    events: Vec<String>,
    watching: bool,
}

impl Rig {
    fn new(pods: impl IntoIterator<Item = PodBuilder>) -> Self {
        Self::with(Config::default(), pods, |_| {})
    }

    fn with(config: Config, pods: impl IntoIterator<Item = PodBuilder>, change: impl FnOnce(&mut Service)) -> Self {
        let mut rig = Self {
            world: World::default(),
            c: EndpointSliceController::new(config, 1),
            now: Now::at_secs(10_000),
            next: 0,
            store: Store::default(),
            open: vec![],
            events: vec![],
            watching: true,
        };
        rig.world.apply_node(node("n1").label("topology.kubernetes.io/zone", "z1").arc(), |_, _| {});
        rig.world.apply_node(node("n2").arc(), |_, _| {});
        for p in pods {
            rig.apply(p);
        }
        rig.service(change);
        let Rig { world, c, now, next, open, .. } = &mut rig;
        c.started(world, *now, &mut Outbox::new(1, next, open));
        rig
    }

    fn apply(&mut self, p: PodBuilder) {
        let (c, now) = (&mut self.c, self.now);
        self.world.apply_pod(p.arc(), |e, w| c.observe(e, w, now));
    }

    fn remove(&mut self, name: &str) {
        let (c, now) = (&mut self.c, self.now);
        self.world.remove_pod(&ObjectKey::new("default", name), |e, w| c.observe(e, w, now));
    }

    fn service(&mut self, change: impl FnOnce(&mut Service)) {
        let mut s = service();
        change(&mut s);
        let (c, now) = (&mut self.c, self.now);
        self.world.apply_service(Arc::new(s), |e, w| c.observe(e, w, now));
    }

    fn sync_view(&mut self) {
        let (c, now) = (&mut self.c, self.now);
        let gone: Vec<_> =
            self.world.slices().keys().filter(|k| !self.store.objects.contains_key(*k)).cloned().collect();
        for key in gone {
            self.world.remove_slice(&key, |e, w| c.observe(e, w, now));
        }
        for object in self.store.objects.values() {
            let row = slice_row(object);
            if self.world.slices().get(&row.meta.key).is_none_or(|o| o.meta != row.meta) {
                self.world.apply_slice(row, |e, w| c.observe(e, w, now));
            }
        }
    }

    fn poll(&mut self) {
        let Rig { world, c, now, next, open, .. } = self;
        while c.poll(world, *now, &mut Outbox::new(1, next, open)) {}
        self.open.retain(|i| match &i.op {
            Op::Event(e) => {
                self.events.push(format!("{} {}", e.reason, e.note));
                false
            }
            _ => true,
        });
    }

    /// Everything that is to be done, is done. Returns how many creations, patches and deletions that took.
    fn run(&mut self) -> (usize, usize, usize) {
        self.store.writes.clear();
        for _ in 0..60 {
            self.poll();
            for i in std::mem::take(&mut self.open) {
                let result = self.store.perform(&i.op);
                self.answer(&i, result);
            }
            if self.watching {
                self.sync_view();
            }
        }
        let count = |verb: &str| self.store.writes.iter().filter(|w| w.starts_with(verb)).count();
        (count("create"), count("patch"), count("delete"))
    }

    fn answer(&mut self, i: &Intent, result: Result<Written, WriteError>) {
        let Rig { world, c, now, next, open, .. } = self;
        c.outcome(&Outcome { id: i.id, result }, world, *now, &mut Outbox::new(1, next, open));
    }

    fn advance(&mut self, seconds: u64) {
        let d = Duration::from_secs(seconds);
        self.now = Now { wall: self.now.wall + d, mono: self.now.mono + d };
    }

    /// Another look, which must do nothing.
    fn rests(&mut self) -> bool {
        self.c.queue.add(ObjectKey::new("default", "web"));
        self.run() == (0, 0, 0)
    }

    fn slices(&self) -> Vec<Arc<EndpointSlice>> {
        self.store.objects.values().map(slice_row).collect()
    }

    /// Endpoints per slice, most first.
    fn sizes(&self) -> Vec<usize> {
        let mut sizes: Vec<_> = self.slices().iter().map(|s| s.endpoints.len()).collect();
        sizes.sort_by(|a, b| b.cmp(a));
        sizes
    }

    /// Puts a slice of the service there with these pods.
    fn put(&mut self, name: &str, pods: std::ops::Range<usize>, change: impl FnOnce(&mut Value)) {
        let endpoints: Vec<_> = pods
            .map(|i| {
                let ip = format!("10.0.{}.{}", i / 200, i % 200 + 1);
                json!({"addresses": [ip], "nodeName": "n1", "zone": "z1",
                       "conditions": {"ready": true, "serving": true, "terminating": false},
                       "targetRef": {"kind": "Pod", "namespace": "default", "name": format!("p{i}"), "uid": format!("uid-p{i}")}})
            })
            .collect();
        let mut body = json!({
            "metadata": {
                "name": name, "namespace": "default",
                "labels": {"team": "x", "kubernetes.io/service-name": "web",
                           "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"},
                "ownerReferences": [{"apiVersion": "v1", "kind": "Service", "name": "web", "uid": "svc"}],
            },
            "addressType": "IPv4",
            "endpoints": endpoints,
            "ports": [{"name": "", "port": 8080, "protocol": "TCP"}],
        });
        change(&mut body);
        let key = ObjectKey::new("default", name);
        self.store.perform(&Op::Create { kind: Kind::ENDPOINT_SLICE, key, body: Arc::new(body) }).unwrap();
        self.sync_view();
    }
}

#[test]
fn writes_what_upstream_writes() {
    let pods = vec![
        backend(1).with(|p| {
            p.hostname = "h".into();
            p.subdomain = "web".into();
        }),
        backend(2).on("n2").deleted(9999),
        backend(3).phase(Phase::Failed),
        pod("no-ip").label("app", "web").on("n1"),
    ];
    let mut rig = Rig::new(pods);
    assert_eq!(rig.run(), (1, 0, 0));
    let (key, object) = rig.store.objects.iter().next().unwrap();
    assert!(key.name.starts_with("web-") && key.name.len() == 9, "{key}");
    let mut object = object.clone();
    object["metadata"]
        .as_object_mut()
        .unwrap()
        .retain(|k, _| !matches!(k.as_str(), "uid" | "resourceVersion" | "generation" | "name"));
    let target = |n: &str| json!({"kind": "Pod", "namespace": "default", "name": n, "uid": format!("uid-{n}")});
    assert_eq!(
        object,
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {
                "generateName": "web-", "namespace": "default",
                "labels": {"team": "x", "kubernetes.io/service-name": "web",
                           "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"},
                "annotations": {"endpoints.kubernetes.io/last-change-trigger-time": "1970-01-01T00:08:20Z"},
                "ownerReferences": [{"apiVersion": "v1", "kind": "Service", "name": "web", "uid": "svc",
                                     "controller": true, "blockOwnerDeletion": true}],
            },
            "addressType": "IPv4",
            "endpoints": [
                {"addresses": ["10.0.0.2"], "conditions": {"ready": true, "serving": true, "terminating": false},
                 "hostname": "h", "nodeName": "n1", "zone": "z1", "targetRef": target("p1")},
                {"addresses": ["10.0.0.3"], "conditions": {"ready": false, "serving": true, "terminating": true},
                 "nodeName": "n2", "targetRef": target("p2")},
            ],
            "ports": [{"name": "", "port": 8080, "protocol": "TCP"}],
        })
    );
    assert!(rig.rests());
    rig.advance(100);
    assert_eq!(rig.run(), (0, 0, 0), "its own writes are no news");
    // A change of readiness.
    rig.apply(backend(2).on("n2"));
    assert_eq!(rig.run(), (0, 1, 0));
    assert!(rig.slices()[0].endpoints.iter().all(|e| e.ready == Some(true)));
}

#[test]
fn a_service_without_pods_has_a_placeholder_which_is_used_later() {
    let mut rig = Rig::new([]);
    assert_eq!(rig.run(), (1, 0, 0));
    let name = rig.slices()[0].meta.key.clone();
    assert!(rig.rests());
    rig.apply(backend(1));
    assert_eq!(rig.run(), (0, 1, 0));
    assert_eq!((&rig.slices()[0].meta.key, rig.slices()[0].ports.len()), (&name, 1));
    rig.remove("p1");
    assert_eq!(rig.run(), (0, 1, 0));
    assert_eq!((&rig.slices()[0].meta.key, rig.slices()[0].ports.len()), (&name, 0));
    assert!(rig.rests());
}

#[test]
fn families_and_kinds_of_services() {
    let dual = || backend(1).with(|p| p.status.ips = Box::new(["10.0.0.2".into(), "FD00::02".into()]));
    let mut rig = Rig::with(Config::default(), [dual()], |s| {
        s.ip_families = Box::new(["IPv6".into(), "IPv4".into()]);
        s.cluster_ip = "None".into();
        s.publish_not_ready_addresses = true;
    });
    assert_eq!(rig.run(), (2, 0, 0));
    let mut seen: Vec<_> = rig.slices().iter().map(|s| s.endpoints[0].addresses[0].to_string()).collect();
    seen.sort();
    assert_eq!(seen, ["10.0.0.2", "fd00::2"]);
    assert!(rig.slices().iter().all(|s| s.meta.labels.has("service.kubernetes.io/headless")));
    // One family less: its slice goes. (Reserved labels alone do not lead to a write.)
    rig.service(|s| {
        s.cluster_ip = "None".into();
        s.publish_not_ready_addresses = true;
    });
    assert_eq!(rig.run(), (0, 0, 1));
    for change in [
        (|s| s.selector = None) as fn(&mut Service),
        |s| s.selector = Some([].into_iter().collect()),
        |s| s.kind = "ExternalName".into(),
    ] {
        let mut rig = Rig::with(Config::default(), [backend(1)], change);
        assert_eq!(rig.run(), (0, 0, 0));
    }
}

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

#[test]
fn foreign_slices_and_labels() {
    let mut rig = Rig::new([backend(0)]);
    rig.put("mirrored", 0..1, |b| b["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"] = json!("other"));
    rig.put("old-owner", 0..1, |b| b["metadata"]["ownerReferences"][0]["uid"] = json!("older"));
    rig.put("labels", 0..1, |b| b["metadata"]["labels"]["team"] = json!("y"));
    assert_eq!(rig.run(), (0, 1, 1));
    let names: Vec<_> = rig.store.objects.keys().map(|k| k.name.to_string()).collect();
    assert_eq!(names, ["labels", "mirrored"]);
    assert_eq!(rig.slices()[0].meta.labels.get("team").map(headroom_core::Str::as_str), Some("x"));
}

#[test]
fn a_missing_node_leaves_one_pod_out_until_it_comes() {
    let mut rig = Rig::new([backend(0), backend(1).on("late")]);
    assert_eq!(rig.run(), (1, 0, 0));
    assert_eq!(rig.sizes(), [1]);
    assert_eq!(
        rig.events,
        ["FailedToUpdateEndpointSlices Error updating Endpoint Slices for Service default/web: skipping Pod p1 for \
          Service default/web: Node late Not Found"]
    );
    let (c, now) = (&mut rig.c, rig.now);
    rig.world.apply_node(node("late").label("topology.kubernetes.io/zone", "z9").arc(), |e, w| c.observe(e, w, now));
    assert_eq!(rig.run(), (0, 1, 0));
    assert_eq!(rig.sizes(), [2]);
    let (c, now) = (&mut rig.c, rig.now);
    rig.world.apply_node(node("late").label("topology.kubernetes.io/zone", "z8").arc(), |e, w| c.observe(e, w, now));
    assert_eq!(rig.run(), (0, 1, 0), "the zone has changed");
}

#[test]
fn hints_come_and_go() {
    let mut rig = Rig::new([backend(0), backend(1).on("n2")]);
    rig.run();
    let hints = |rig: &Rig| {
        let mut all: Vec<_> = rig.slices()[0]
            .endpoints
            .iter()
            .map(|e| (e.hint_zones.iter().map(ToString::to_string).collect::<Vec<_>>().join(""), e.hint_nodes.len()))
            .collect();
        all.sort();
        all
    };
    let h = |zone: &str, nodes| (zone.to_owned(), nodes);
    for (field, expected) in [
        ("PreferClose", vec![h("", 0), h("z1", 0)]),
        ("PreferSameNode", vec![h("", 1), h("z1", 1)]),
        ("", vec![h("", 0), h("", 0)]),
    ] {
        rig.service(|s| s.traffic_distribution = field.into());
        assert_eq!(rig.run(), (0, 1, 0), "{field}");
        assert_eq!(hints(&rig), expected);
        assert!(rig.rests());
    }
}

#[test]
fn a_lost_answer_does_not_make_a_second_slice() {
    let mut rig = Rig::new([backend(0)]);
    rig.watching = false;
    rig.poll();
    let create = rig.open.remove(0);
    rig.store.perform(&create.op).unwrap();
    rig.answer(&create, Err(WriteError::Unknown("timeout".into())));
    rig.advance(1);
    assert_eq!(rig.run(), (1, 0, 0), "the same name, which is refused");
    assert_eq!(rig.store.objects.len(), 1);
    rig.advance(5);
    assert_eq!(rig.run(), (0, 0, 0), "waits until it is seen");
    rig.watching = true;
    assert_eq!(rig.run(), (0, 0, 0));
    rig.advance(5);
    assert_eq!(rig.run(), (0, 0, 0));
    assert!(rig.events.is_empty());
}

#[test]
fn an_old_view_waits_and_foreign_changes_are_undone() {
    let mut rig = Rig::new([backend(0)]);
    rig.watching = false;
    assert_eq!(rig.run(), (1, 0, 0));
    rig.apply(backend(1));
    assert_eq!(rig.run(), (0, 0, 0));
    rig.watching = true;
    assert_eq!(rig.run(), (0, 1, 0));
    // Somebody empties it.
    let object = rig.store.objects.values_mut().next().unwrap();
    object["endpoints"] = json!([]);
    object["metadata"]["resourceVersion"] = json!("900");
    rig.store.rv = 900;
    rig.run();
    rig.advance(1);
    assert_eq!(rig.run(), (0, 1, 0));
    assert_eq!(rig.sizes(), [2]);
    // Somebody deletes it.
    rig.store.objects.clear();
    rig.run();
    rig.advance(1);
    assert_eq!(rig.run(), (1, 0, 0));
}

#[test]
fn failures_are_told_and_back_off_from_one_second() {
    let mut rig = Rig::new([backend(0)]);
    rig.poll();
    let i = rig.open.remove(0);
    rig.answer(&i, Err(WriteError::Forbidden("no".into())));
    rig.poll();
    let note = "Error updating Endpoint Slices for Service default/web: failed to create EndpointSlice for Service \
                default/web: no";
    assert_eq!(rig.events, [format!("FailedToUpdateEndpointSlices {note}")]);
    rig.poll();
    assert!(rig.open.is_empty());
    rig.advance(1);
    rig.poll();
    let Op::Create { key, .. } = &rig.open[0].op else { panic!() };
    let Op::Create { key: first, .. } = &i.op else { panic!() };
    assert_eq!(key, first);
    let i = rig.open.remove(0);
    rig.answer(&i, Err(WriteError::NamespaceTerminating("x".into())));
    rig.advance(3000);
    rig.poll();
    assert!(rig.open.is_empty(), "left alone");
}

#[test]
fn a_service_being_deleted_gets_no_new_slices() {
    let mut rig = Rig::with(Config::default(), [backend(0)], |s| s.meta.deleted = Some(Timestamp::from_secs(1)));
    assert_eq!(rig.run(), (0, 0, 0));
    rig.put("s", 0..1, |_| {});
    let (c, now) = (&mut rig.c, rig.now);
    rig.world.remove_service(&ObjectKey::new("default", "web"), |e, w| c.observe(e, w, now));
    rig.advance(5);
    assert_eq!(rig.run(), (0, 0, 0), "the garbage collector's work");
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
