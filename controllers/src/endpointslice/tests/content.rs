//! What stands in slices.

use super::*;

#[test]
fn writes_what_upstream_writes() {
    let pods = vec![
        backend(1).dns("h", "web"),
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
    rig.node(node("late").label("topology.kubernetes.io/zone", "z9"));
    assert_eq!(rig.run(), (0, 1, 0));
    assert_eq!(rig.sizes(), [2]);
    rig.node(node("late").label("topology.kubernetes.io/zone", "z8"));
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
