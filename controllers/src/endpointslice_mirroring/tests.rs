//! The loop against a fake API server.

mod choice;
mod content;
mod writers;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use headroom_core::{
    Timestamp,
    intent::{Op, WriteError},
    object::{AddressType, EndpointSlice, Endpoints, Kind, Meta, ObjectKey, Service},
};
use serde_json::{Value, json};

use super::{EndpointSliceMirroringController as Mirroring, MirroringOptions};
use crate::{
    endpoint_common::store::{Store, endpoints_row, slice_row},
    framework::{Controller, Measurements},
    testkit::Rig,
};

fn key() -> ObjectKey {
    ObjectKey::new("default", "web")
}

/// `(ip, host name)` on node `n1`.
fn addresses(list: &[(&str, &str)]) -> Value {
    list.iter().map(|(ip, host)| json!({"ip": ip, "hostname": host, "nodeName": "n1"})).collect()
}

fn ports(list: &[(&str, u16)]) -> Value {
    list.iter().map(|(name, port)| json!({"name": name, "port": port, "protocol": "TCP"})).collect()
}

fn subset(ready: &[(&str, &str)], not_ready: &[(&str, &str)], of: &[(&str, u16)]) -> Value {
    json!({"addresses": addresses(ready), "notReadyAddresses": addresses(not_ready), "ports": ports(of)})
}

/// Endpoints `default/web`.
fn endpoints(subsets: Value) -> Value {
    json!({
        "metadata": {"name": "web", "namespace": "default", "uid": "ep", "resourceVersion": "1", "labels": {"team": "x"},
                     "annotations": {"note": "y", "endpoints.kubernetes.io/last-change-trigger-time": "t",
                                     "kubectl.kubernetes.io/last-applied-configuration": "{}"}},
        "subsets": subsets,
    })
}

/// A slice of these endpoints.
fn slice(name: &str, endpoints: Value, of: &[(&str, u16)]) -> Value {
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {
            "name": name, "namespace": "default", "annotations": {"note": "y"},
            "labels": {"team": "x", "kubernetes.io/service-name": "web",
                       "endpointslice.kubernetes.io/managed-by": "endpointslicemirroring-controller.k8s.io"},
            "ownerReferences": [{"apiVersion": "v1", "kind": "Endpoints", "name": "web", "uid": "ep",
                                 "controller": true, "blockOwnerDeletion": true}],
        },
        "addressType": "IPv4", "endpoints": endpoints, "ports": ports(of),
    })
}

fn endpoint(ip: &str, host: &str) -> Value {
    json!({"addresses": [ip], "conditions": {"ready": true}, "hostname": host, "nodeName": "n1"})
}

fn service(selector: Option<&[(&'static str, &'static str)]>) -> Arc<Service> {
    Arc::new(Service {
        meta: Meta { key: key(), uid: "svc".into(), ..Meta::default() },
        selector: selector.map(|s| s.iter().copied().collect()),
        ..Service::default()
    })
}

struct Bench {
    rig: Rig<Mirroring>,
    store: Store,
    watching: bool,
}

impl Bench {
    fn new(max: u16, slices: Vec<Value>) -> Self {
        let options = MirroringOptions { max_endpoints_per_subset: max, ..MirroringOptions::default() };
        let mut bench =
            Self { rig: Rig::new(Mirroring::new(&options, 1), 10_000), store: Store::default(), watching: true };
        for body in slices {
            let key = ObjectKey::new("default", body["metadata"]["name"].as_str().unwrap());
            bench.store.perform(&Op::Create { kind: Kind::ENDPOINT_SLICE, key, body: Arc::new(body) }).unwrap();
        }
        bench.see();
        bench
    }

    /// With a service without selector and these Endpoints, after [`Self::run`].
    fn mirrored(endpoints: &Value, slices: Vec<Value>) -> (Self, (usize, usize, usize)) {
        let mut bench = Self::new(1000, slices);
        bench.rig.service(service(None));
        bench.rig.endpoints(endpoints_row(endpoints));
        bench.rig.start();
        let writes = bench.run();
        (bench, writes)
    }

    /// The view catches up.
    fn see(&mut self) {
        let gone: Vec<_> =
            self.rig.world.slices().keys().filter(|k| !self.store.objects.contains_key(*k)).cloned().collect();
        for key in gone {
            self.rig.remove_slice(&key);
        }
        for object in self.store.objects.values() {
            let row = slice_row(object);
            if self.rig.world.slices().get(&row.meta.key).is_none_or(|o| o.meta != row.meta) {
                self.rig.slice(row);
            }
        }
    }

    /// Everything that is to be done, is done. Returns how many creations, patches and deletions that took.
    fn run(&mut self) -> (usize, usize, usize) {
        self.store.writes.clear();
        for _ in 0..20 {
            self.rig.settle();
            for (id, op) in self.rig.take() {
                let result = self.store.perform(&op);
                self.rig.answer(id, result);
            }
            if self.watching {
                self.see();
            }
        }
        let count = |verb: &str| self.store.writes.iter().filter(|w| w.starts_with(verb)).count();
        (count("create"), count("patch"), count("delete"))
    }

    fn change(&mut self, endpoints: &Value) -> (usize, usize, usize) {
        self.rig.endpoints(endpoints_row(endpoints));
        self.run()
    }

    fn slices(&self) -> Vec<Arc<EndpointSlice>> {
        self.store.objects.values().map(slice_row).collect()
    }
}
