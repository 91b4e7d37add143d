//! The loop against a fake API server.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use headroom_core::{
    Timestamp,
    intent::{Op, WriteError},
    object::{AddressType, EndpointSlice, Endpoints, Kind, Meta, ObjectKey, Service},
};
use proptest::{prelude::*, test_runner::RngSeed};
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

/// Translated from `TestSyncEndpoints`, and the event handlers.
#[test]
fn mirrors_only_what_people_write_and_takes_back_the_rest() {
    let object = endpoints(json!([subset(&[("10.0.0.1", "")], &[], &[("", 80)])]));
    let edit = |object: &Value, path: &str, field: &str, value: &str| {
        let mut object = object.clone();
        object["metadata"][path][field] = json!(value);
        endpoints_row(&object)
    };
    let skip = "endpointslice.kubernetes.io/skip-mirror";
    type Case<'a> = (&'a str, Box<dyn Fn(&mut Bench) + 'a>, usize);
    let cases: [Case<'_>; 7] = [
        ("Endpoints gone", Box::new(|b| b.rig.remove_endpoints(&key())), 1),
        ("service gone", Box::new(|b| b.rig.remove_service(&key())), 1),
        ("selector", Box::new(|b| b.rig.service(service(Some(&[("a", "b")])))), 1),
        ("empty selector", Box::new(|b| b.rig.service(service(Some(&[])))), 0),
        ("skipped", Box::new(|b| b.rig.endpoints(edit(&object, "labels", skip, "true"))), 1),
        (
            "lock",
            Box::new(|b| {
                b.rig.endpoints(edit(&object, "annotations", "control-plane.alpha.kubernetes.io/leader", ""));
            }),
            1,
        ),
        ("nothing", Box::new(|_| {}), 0),
    ];
    for (what, change, deleted) in cases {
        let (mut bench, writes) = Bench::mirrored(&object, vec![]);
        assert_eq!(writes, (1, 0, 0), "{what}");
        change(&mut bench);
        assert_eq!(bench.run(), (0, 0, deleted), "{what}");
        assert_eq!(bench.store.objects.len(), 1 - deleted, "{what}");
        assert_eq!(bench.rig.controller.figures.len(), 1 - deleted, "{what}");
        // And back again.
        bench.rig.service(service(None));
        bench.rig.endpoints(endpoints_row(&object));
        assert_eq!(bench.run(), (deleted, 0, 0), "{what}: back");
    }
    // Left over while nobody looked; slices of others stay.
    let mut foreign = slice("foreign", json!([]), &[]);
    foreign["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"] = json!("me");
    let mut bench = Bench::new(1000, vec![slice("left", json!([]), &[]), foreign]);
    bench.rig.start();
    assert_eq!(bench.run(), (0, 0, 1));
    assert_eq!(bench.store.objects.keys().map(|k| k.name.to_string()).collect::<Vec<_>>(), ["foreign"]);
}

#[test]
fn says_what_is_left_out() {
    let list: Vec<(String, &str)> = (0..1001).map(|i| (format!("10.0.{}.{}", i / 250, i % 250), "")).collect();
    let list: Vec<(&str, &str)> = list.iter().map(|(ip, h)| (ip.as_str(), *h)).collect();
    let port = [("", 80)];
    let too_many = |n: usize| {
        format!(
            "TooManyAddressesToMirror A max of 1000 addresses can be mirrored to EndpointSlices per Endpoints subset. \
             {n} addresses were skipped"
        )
    };
    let invalid =
        |n: usize| format!("InvalidIPAddress Skipped {n} invalid IP addresses when mirroring to EndpointSlices");
    for (what, ready, not_ready, size, events) in [
        ("fits", &list[..1000], &list[..0], 1000, vec![]),
        ("one too many", &list[..], &list[..0], 1000, vec![too_many(1)]),
        ("ready ones first", &list[500..1000], &list[..500], 1000, vec![]),
        ("no address", &[("x", ""), ("10.0.0.1", "")][..], &[("10.0.0.256", "")][..], 1, vec![invalid(2)]),
    ] {
        let (mut bench, writes) = Bench::mirrored(&endpoints(json!([subset(ready, not_ready, &port)])), vec![]);
        assert_eq!(writes, (1, 0, 0), "{what}");
        assert_eq!(bench.slices()[0].endpoints.len(), size, "{what}");
        assert_eq!(bench.rig.take_events(), events, "{what}");
    }
    let (mut bench, _) = Bench::mirrored(&endpoints(json!([subset(&list[400..], &list[..400], &port)])), vec![]);
    let ready = |s: &EndpointSlice| s.endpoints.iter().filter(|e| e.ready == Some(true)).count();
    assert_eq!((ready(&bench.slices()[0]), bench.rig.take_events()), (601, vec![too_many(1)]));
}

#[test]
fn a_product_without_end_is_not_mirrored_and_said() {
    let list: Vec<String> = (0..1000).map(|i| format!("10.0.{}.{}", i / 250, i % 250)).collect();
    let list: Vec<(&str, &str)> = list.iter().map(|ip| (ip.as_str(), "")).collect();
    let mut subsets: Vec<_> = (1..=1000).map(|p| subset(&[(list[p - 1].0, "own")], &[], &[("", p as u16)])).collect();
    let all: Vec<_> = (1..=1000).map(|p| ("", p)).collect();
    subsets.push(subset(&list, &[], &all));
    let (mut bench, writes) = Bench::mirrored(&endpoints(json!(subsets)), vec![]);
    assert_eq!(writes, (0, 0, 0));
    assert!(bench.rig.take_events()[0].starts_with("TooManyAddressesToMirror More than 100000 addresses"));
}

#[test]
fn endpoints_being_deleted_get_no_new_slices() {
    let mut row: Endpoints =
        (*endpoints_row(&endpoints(json!([subset(&[("10.0.0.1", "")], &[], &[("", 80)])])))).clone();
    row.meta.deleted = Some(Timestamp::from_secs(1));
    let mut bench = Bench::new(1000, vec![]);
    bench.rig.service(service(None));
    bench.rig.endpoints(Arc::new(row));
    bench.rig.start();
    assert_eq!(bench.run(), (0, 0, 0));
}

#[test]
fn an_old_view_waits_and_foreign_changes_are_undone() {
    let object = |ip: &str| endpoints(json!([subset(&[(ip, "")], &[], &[("", 80)])]));
    let mut bench = Bench::new(1000, vec![]);
    bench.watching = false;
    bench.rig.service(service(None));
    bench.rig.endpoints(endpoints_row(&object("10.0.0.1")));
    bench.rig.start();
    assert_eq!(bench.run(), (1, 0, 0));
    assert_eq!(bench.change(&object("10.0.0.2")), (0, 0, 0), "its own slice is not seen yet");
    bench.watching = true;
    assert_eq!(bench.run(), (0, 1, 0));
    let name = bench.slices()[0].meta.key.clone();
    // Labels and annotations alone wait for the next look.
    let patch = |bench: &mut Bench, change: Value| {
        let meta = bench.slices()[0].meta.clone();
        let mut body = json!({"metadata": {"uid": meta.uid, "resourceVersion": meta.resource_version.to_string()}});
        for (k, v) in change.as_object().unwrap() {
            if k == "annotations" { body["metadata"][k] = v.clone() } else { body[k] = v.clone() }
        }
        let op = Op::Patch {
            kind: Kind::ENDPOINT_SLICE,
            key: meta.key,
            subresource: "",
            patch: headroom_core::intent::PatchKind::Merge,
            body: Arc::new(body),
        };
        bench.store.perform(&op).unwrap();
        bench.see();
        bench.run()
    };
    assert_eq!(patch(&mut bench, json!({"annotations": {"foo": "bar"}})), (0, 0, 0));
    assert_eq!(patch(&mut bench, json!({"endpoints": []})), (0, 1, 0), "somebody emptied it");
    assert_eq!((bench.slices()[0].endpoints.len(), bench.slices()[0].meta.annotations.len()), (1, 1));
    bench.store.objects.clear();
    bench.see();
    assert_eq!(bench.run(), (1, 0, 0), "somebody deleted it");
    assert_ne!(bench.slices()[0].meta.key, name);
    // Nothing is remembered of what is not mirrored any more.
    bench.rig.remove_endpoints(&key());
    assert_eq!(bench.run(), (0, 0, 1));
    bench.rig.controller.queue.add(key());
    assert_eq!(bench.run(), (0, 0, 0));
    assert_eq!(bench.rig.controller.gauges(), super::Figures::default());
    let mut measured = Measurements::default();
    bench.rig.controller.measure(&bench.rig.world, &mut measured);
    assert_eq!(measured.texts(&super::measure::SLICES.changes), ["create=2", "update=2", "delete=1"]);
    assert_eq!(measured.texts(&super::measure::SLICES.slices), ["=0"]);
}

#[test]
fn failures_back_off_from_one_second_to_a_hundred_and_a_lost_answer_makes_no_second_slice() {
    let mut bench = Bench::new(1000, vec![]);
    bench.rig.service(service(None));
    bench.rig.endpoints(endpoints_row(&endpoints(json!([subset(&[("10.0.0.1", "")], &[], &[("", 80)])]))));
    bench.rig.start();
    let mut waits = vec![];
    for _ in 0..16 {
        bench.rig.settle();
        let [(id, Op::Create { key, .. })] = &bench.rig.take()[..] else { panic!("one creation") };
        waits.push(key.name.clone());
        bench.rig.answer(*id, Err(WriteError::Forbidden("no".into())));
        bench.rig.advance(Duration::from_millis(900));
        let rest = bench.rig.controller.queue.next_deadline().map(|d| d.since(bench.rig.now.mono));
        bench.rig.jump(rest.unwrap_or_default());
    }
    assert!(waits.iter().all(|name| *name == waits[0]), "the name is used again");
    bench.rig.advance(Duration::from_secs(1000));
    assert!(bench.rig.take().is_empty(), "given up after 15 retries");
    assert!(bench.rig.controller.forbidden_said && bench.rig.take_events().is_empty());
    // Something happens: tried again, and this time the answer gets lost.
    bench.rig.controller.queue.add(key());
    bench.rig.settle();
    let (id, op) = bench.rig.take().remove(0);
    bench.store.perform(&op).unwrap();
    bench.rig.answer(id, Err(WriteError::Unknown("timeout".into())));
    bench.watching = false;
    bench.rig.jump(Duration::from_secs(1));
    assert_eq!(bench.run(), (1, 0, 0), "the same name, which is refused");
    bench.watching = true;
    assert_eq!(bench.run(), (0, 0, 0));
    bench.rig.jump(Duration::from_secs(5));
    assert_eq!((bench.run(), bench.store.objects.len()), ((0, 0, 0), 1));
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
