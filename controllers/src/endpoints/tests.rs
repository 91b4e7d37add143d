//! The loop against a fake API server.

mod leftovers;
mod rival;
mod rush;

use std::{sync::Arc, time::Duration};

use headroom_core::{
    Now, Timestamp,
    intent::{Intent, Op, Outcome, WriteError, Written},
    object::{Kind, Meta, ObjectKey, Phase, Protocol, Service, ServicePort, TargetPort},
    testing::{PodBuilder, container, pod},
};
use proptest::{prelude::*, test_runner::RngSeed};
use serde_json::{Value, json};

use super::EndpointsController;
use crate::{
    endpoint_common::store::{Store, endpoints_row},
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
            labels: [("team", "x")].into_iter().collect(),
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

fn backend(name: &str, ip: &str) -> PodBuilder {
    pod(name).label("app", "web").on("n1").ready(1000, ip)
}

struct Rig {
    world: World,
    c: EndpointsController,
    now: Now,
    next: u64,
    store: Store,
    open: Vec<Intent>,
    events: Vec<String>,
    /// Whether the view sees what the store has.
    watching: bool,
    /// Services that the server has and the view has not.
    unseen: Vec<ObjectKey>,
}

impl Rig {
    fn new(services: Vec<Service>, pods: Vec<PodBuilder>) -> Self {
        Self::over(services, pods, Store::default())
    }

    fn over(services: Vec<Service>, pods: Vec<PodBuilder>, store: Store) -> Self {
        let mut rig = Self {
            world: World::default(),
            c: EndpointsController::new(Duration::ZERO),
            now: Now::at_secs(10_000),
            next: 0,
            store,
            open: vec![],
            events: vec![],
            watching: true,
            unseen: vec![],
        };
        for s in services {
            rig.world.apply_service(Arc::new(s), |_, _| {});
        }
        for p in pods {
            rig.apply(p);
        }
        rig.sync_view();
        let Rig { world, c, now, next, open, .. } = &mut rig;
        c.started(world, *now, &mut Outbox::new(1, next, open));
        rig
    }

    fn apply(&mut self, p: PodBuilder) {
        let (c, now) = (&mut self.c, self.now);
        self.world.apply_pod(p.arc(), |e, w| c.observe(e, w, now));
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
            self.world.endpoints.keys().filter(|k| !self.store.objects.contains_key(k)).cloned().collect();
        for key in gone {
            self.world.remove_endpoints(&key, |e, w| c.observe(e, w, now));
        }
        for object in self.store.objects.values() {
            let row = endpoints_row(object);
            if self.world.endpoints.get(&row.meta.key).is_none_or(|o| o.meta != row.meta) {
                self.world.apply_endpoints(row, |e, w| c.observe(e, w, now));
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

    /// Everything that is to be done, is done. Returns the writes.
    fn run(&mut self) -> Vec<String> {
        self.store.writes.clear();
        for _ in 0..100 {
            self.poll();
            for i in std::mem::take(&mut self.open) {
                let result = match &i.op {
                    Op::Get { kind: Kind::SERVICE, key } if self.unseen.contains(key) => Ok(Written::default()),
                    Op::Get { kind: Kind::SERVICE, key } => Err(WriteError::NotFound(key.to_string())),
                    op => self.store.perform(op),
                };
                self.answer(&i, result);
            }
            if self.watching {
                self.sync_view();
            }
        }
        std::mem::take(&mut self.store.writes)
    }

    fn answer(&mut self, i: &Intent, result: Result<Written, WriteError>) {
        let Rig { world, c, now, next, open, .. } = self;
        c.outcome(&Outcome { id: i.id, result }, world, *now, &mut Outbox::new(1, next, open));
    }

    fn advance(&mut self, seconds: u64) {
        let d = Duration::from_secs(seconds);
        self.now = Now { wall: self.now.wall + d, mono: self.now.mono + d };
    }

    fn object(&self) -> &Value {
        &self.store.objects[&ObjectKey::new("default", "web")]
    }
}

fn target(name: &str) -> Value {
    json!({"kind": "Pod", "namespace": "default", "name": name, "uid": format!("uid-{name}")})
}

#[test]
fn writes_what_upstream_writes_and_only_once() {
    let pods = vec![
        backend("a", "10.0.0.2"),
        backend("b", "10.0.0.1").dns("host", "web"),
        pod("c").label("app", "web").on("n2").with(|p| p.status.ips = Box::new(["10.0.0.3".into()])),
        backend("done", "10.0.0.4").phase(Phase::Succeeded),
        backend("dying", "10.0.0.5").deleted(9999),
        pod("no-ip").label("app", "web"),
        backend("other", "10.0.0.6").label("app", "db"),
    ];
    let mut rig = Rig::new(vec![service()], pods);
    assert_eq!(rig.run(), ["create web"]);
    let mut object = rig.object().clone();
    object["metadata"].as_object_mut().unwrap().retain(|k, _| k != "uid" && k != "resourceVersion");
    assert_eq!(
        object,
        json!({
            "apiVersion": "v1", "kind": "Endpoints",
            "metadata": {
                "name": "web", "namespace": "default",
                "labels": {"team": "x", "endpoints.kubernetes.io/managed-by": "endpoint-controller"},
                "annotations": {"endpoints.kubernetes.io/last-change-trigger-time": "1970-01-01T00:08:20Z"},
            },
            "subsets": [{
                "addresses": [
                    {"ip": "10.0.0.1", "hostname": "host", "nodeName": "n1", "targetRef": target("b")},
                    {"ip": "10.0.0.2", "nodeName": "n1", "targetRef": target("a")},
                ],
                "notReadyAddresses": [{"ip": "10.0.0.3", "nodeName": "n2", "targetRef": target("c")}],
                "ports": [{"port": 8080, "protocol": "TCP"}],
            }],
        })
    );
    rig.apply(backend("a", "10.0.0.2").annotation("x", "y").rv(7));
    assert!(rig.run().is_empty(), "nothing that endpoints show has changed");
    rig.apply(backend("c", "10.0.0.3").on("n2"));
    assert_eq!(rig.run(), ["patch web"]);
    let time = &rig.object()["metadata"]["annotations"]["endpoints.kubernetes.io/last-change-trigger-time"];
    assert_eq!(time, "1970-01-01T00:16:40Z", "when it became ready");
}

#[test]
fn ports_by_name_headless_and_not_ready() {
    let web = |n| container("c").port("http", n, 0);
    let pods = vec![
        backend("a", "10.0.0.1").container(web(1)),
        backend("b", "10.0.0.2").container(web(2)),
        backend("c", "10.0.0.3"),
    ];
    let mut rig = Rig::new(vec![], pods);
    rig.service(|s| {
        s.ports = Box::new([port("p", TargetPort::Name("http".into())), port("q", TargetPort::Number(9))]);
    });
    assert_eq!(rig.run(), ["create web"]);
    let ports: Vec<_> = rig.object()["subsets"].as_array().unwrap().iter().map(|s| s["ports"].clone()).collect();
    let p = |n: u16| json!({"name": "p", "port": n, "protocol": "TCP"});
    let q = json!({"name": "q", "port": 9, "protocol": "TCP"});
    assert_eq!(ports, [json!([p(1)]), json!([p(2)]), json!([q])]);
    // Headless, without ports, with pods that are not ready or going away.
    rig.apply(backend("d", "10.0.0.4").deleted(9));
    rig.service(|s| {
        s.cluster_ip = "None".into();
        s.ports = Box::default();
        s.publish_not_ready_addresses = true;
    });
    assert_eq!(rig.run(), ["patch web"]);
    let subsets = rig.object()["subsets"].as_array().unwrap();
    assert_eq!((subsets.len(), subsets[0]["addresses"].as_array().unwrap().len()), (1, 4));
    assert_eq!(subsets[0].get("ports"), None);
    assert_eq!(rig.object()["metadata"]["labels"]["service.kubernetes.io/headless"], "");
    // All gone: the object stays, empty.
    rig.service(|s| s.selector = Some([("app", "nobody")].into_iter().collect()));
    assert_eq!(rig.run(), ["patch web"]);
    assert_eq!(rig.object().get("subsets"), None);
    assert_eq!(rig.object()["metadata"]["labels"].get("service.kubernetes.io/headless"), None);
}

#[test]
fn what_is_not_ours_is_left_alone() {
    for change in [
        (|s| s.selector = None) as fn(&mut Service),
        |s| s.selector = Some([].into_iter().collect()),
        |s| s.kind = "ExternalName".into(),
    ] {
        let mut rig = Rig::new(vec![], vec![backend("a", "10.0.0.1")]);
        rig.service(change);
        assert!(rig.run().is_empty());
    }
}

#[test]
fn over_capacity_is_cut_marked_and_not_rewritten() {
    let pods = (0..1200).map(|i| backend(&format!("p{i}"), &format!("10.0.{}.{}", i / 200, i % 200))).collect();
    let mut rig = Rig::new(vec![service()], pods);
    assert_eq!(rig.run(), ["create web"]);
    assert_eq!(rig.object()["subsets"][0]["addresses"].as_array().unwrap().len(), 1000);
    assert_eq!(rig.object()["metadata"]["annotations"]["endpoints.kubernetes.io/over-capacity"], "truncated");
    rig.service(|s| s.meta.resource_version = 9);
    assert!(rig.run().is_empty());
}

#[test]
fn another_order_of_subsets_is_no_difference_and_foreign_annotations_stay() {
    let mut rig = Rig::new(vec![], vec![backend("a", "10.0.0.1").container(container("c").port("x", 7, 0))]);
    rig.service(|s| {
        s.ports = Box::new([port("p", TargetPort::Number(1)), port("q", TargetPort::Number(2))]);
    });
    rig.run();
    let key = ObjectKey::new("default", "web");
    let object = rig.store.objects.get_mut(&key).unwrap();
    let ports = object["subsets"][0]["ports"].as_array_mut().unwrap();
    ports.reverse();
    object["metadata"]["annotations"]["mine"] = json!("1");
    object["metadata"]["resourceVersion"] = json!("77");
    rig.sync_view();
    rig.c.queue.add(key);
    assert!(rig.run().is_empty());
    rig.apply(backend("a", "10.0.0.9"));
    assert_eq!(rig.run(), ["patch web"]);
    assert_eq!(rig.object()["metadata"]["annotations"]["mine"], "1");
}

#[test]
fn an_old_view_waits_instead_of_fighting() {
    let mut rig = Rig::new(vec![service()], vec![backend("a", "10.0.0.1")]);
    rig.watching = false;
    assert_eq!(rig.run(), ["create web"]);
    rig.apply(backend("b", "10.0.0.2"));
    assert!(rig.run().is_empty(), "its own object is not in view yet");
    rig.watching = true;
    assert_eq!(rig.run(), ["patch web"], "seen: goes on");
    // For ever blind: after a while it tries, and conflicts.
    rig.watching = false;
    rig.apply(backend("b", "10.0.0.3"));
    assert_eq!(rig.run(), ["patch web"]);
    rig.apply(backend("b", "10.0.0.4"));
    assert!(rig.run().is_empty());
    rig.advance(31);
    assert_eq!(rig.run(), ["patch web"]);
    assert!(rig.events.is_empty(), "conflicts are no news");
    rig.sync_view();
    rig.advance(1);
    assert_eq!(rig.run(), ["patch web"]);
    assert_eq!(rig.object()["subsets"][0]["addresses"][1]["ip"], "10.0.0.4");
}

#[test]
fn failures_are_told_and_limited() {
    let mut rig = Rig::new(vec![service()], vec![]);
    let mut tries = 0;
    for _ in 0..40 {
        rig.poll();
        for i in std::mem::take(&mut rig.open) {
            tries += 1;
            rig.answer(&i, Err(WriteError::Forbidden("no".into())));
        }
        rig.poll();
        rig.advance(100);
    }
    assert_eq!(tries, 16);
    assert_eq!(rig.events.len(), 16);
    assert_eq!(rig.events[0], "FailedToCreateEndpoint Failed to create endpoint for service default/web: no");
    rig.service(|s| s.meta.resource_version = 2);
    rig.poll();
    let i = rig.open.remove(0);
    rig.answer(&i, Err(WriteError::NamespaceTerminating("x".into())));
    rig.advance(2000);
    rig.poll();
    assert!(rig.open.is_empty());
    assert_eq!(rig.events.len(), 16);
}

proptest! {
    #![proptest_config(ProptestConfig { rng_seed: RngSeed::Fixed(21), failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the pods and the service: one look brings the object to what it should be, a second one does nothing,
    /// and every ready pod is there once per port, no other one is among the ready addresses.
    #[test]
    fn one_look_is_enough(
        pods in proptest::collection::vec((0u8..4, 0u8..4, 0u8..3, any::<bool>(), 0u8..40), 0..30),
        named in any::<bool>(), headless in any::<bool>(), publish in any::<bool>(), before in 0usize..20,
    ) {
        let build = |(i, (state, port, sub, labeled, ip)): (usize, &(u8, u8, u8, bool, u8))| {
            let p = pod(&format!("p{i}")).on("n").label("app", if *labeled { "web" } else { "db" })
                .container(container("c").port("http", u16::from(*port) + 1, 0))
                .dns(&format!("h{sub}"), if *sub == 0 { "web" } else { "" });
            let ip = format!("10.0.0.{ip}");
            match state {
                0 => p.ready(5, &ip),
                1 => p.with(|p| p.status.ips = Box::new([ip.as_str().into()])),
                2 => p.ready(5, &ip).deleted(9),
                _ => p.ready(5, &ip).phase(Phase::Failed),
            }
        };
        let mut rig = Rig::new(vec![], pods.iter().take(before).enumerate().map(build).collect());
        let change = |s: &mut Service| {
            if named { s.ports = Box::new([port("a", TargetPort::Name("http".into())), port("b", TargetPort::Number(9))]); }
            if headless { s.cluster_ip = "None".into(); }
            s.publish_not_ready_addresses = publish;
        };
        rig.service(change);
        rig.run();
        for p in pods.iter().enumerate().map(build) { rig.apply(p); }
        prop_assert!(rig.run().len() <= 1);
        rig.c.queue.add(ObjectKey::new("default", "web"));
        prop_assert!(rig.run().is_empty());
        for (i, (state, _, _, labeled, _)) in pods.iter().enumerate() {
            let uid = json!(format!("uid-p{i}"));
            let empty = vec![];
            let subsets = rig.object()["subsets"].as_array().unwrap_or(&empty);
            let count = |list: &str| subsets.iter().map(|s| {
                let here = s[list].as_array().into_iter().flatten().filter(|a| a["targetRef"]["uid"] == uid).count();
                here * s["ports"].as_array().map_or(0, Vec::len)
            }).sum::<usize>();
            let ports = if named { 2 } else { 1 };
            let (ready, not_ready) = match (state, labeled, publish) {
                (_, false, _) | (3, ..) | (2, _, false) => (0, 0),
                (0, ..) | (_, _, true) => (ports, 0),
                _ => (0, ports),
            };
            prop_assert_eq!((count("addresses"), count("notReadyAddresses")), (ready, not_ready));
        }
    }
}
