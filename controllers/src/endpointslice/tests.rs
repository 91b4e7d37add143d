//! The loop against a fake API server.

mod content;
mod placement;
mod rush;
mod topology;
mod writers;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use headroom_core::{
    Now, Timestamp,
    intent::{Intent, Op, Outcome, WriteError, Written},
    object::{EndpointSlice, Kind, Meta, ObjectKey, Phase, Protocol, Service, ServicePort, TargetPort},
    testing::{NodeBuilder, PodBuilder, container, node, pod},
};
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

    fn node(&mut self, n: NodeBuilder) {
        let (c, now) = (&mut self.c, self.now);
        self.world.apply_node(n.arc(), |e, w| c.observe(e, w, now));
    }

    fn lose(&mut self, node: &str) {
        let (c, now) = (&mut self.c, self.now);
        self.world.remove_node(node, |e, w| c.observe(e, w, now));
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
        self.advance(1);
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
