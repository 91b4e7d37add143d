use headroom_core::object::{NodeInclusion, Pod, RestartPolicy, VolumeKind, WorkloadKind};
use serde_json::{Value, json};

use super::*;

fn convert<W: WireObject>(value: &Value) -> Result<W::Row, ConvertError> {
    serde_json::from_str::<W>(&value.to_string()).unwrap().convert(&mut Interners::default())
}

fn pod_json() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": "web-1", "namespace": "shop", "uid": "u-1", "resourceVersion": "42", "generation": 3,
            "creationTimestamp": "2026-11-22T10:00:00Z", "deletionTimestamp": null,
            "labels": {"app": "web"}, "finalizers": ["x"],
            "annotations": {
                "headroom.dev/swap": "never", "kubernetes.io/config.mirror": "m", "noise": "n",
                "controller.kubernetes.io/pod-deletion-cost": "5",
            },
            "ownerReferences": [{
                "apiVersion": "v1", "kind": "ReplicationController", "name": "web", "uid": "rc", "controller": true,
                "blockOwnerDeletion": true,
            }],
            "managedFields": [{"fieldsV1": {"f:metadata": {}}}],
        },
        "spec": {
            "schedulerName": "default-scheduler", "priority": 7, "nodeName": "n1", "restartPolicy": "Always",
            "nodeSelector": {"zone": "a"}, "terminationGracePeriodSeconds": 5, "hostNetwork": true,
            "containers": [{
                "name": "c", "image": "nginx", "env": [{"name": "A", "value": "secret"}],
                "resources": {"requests": {"cpu": "100m", "memory": "64Mi", "example.com/gpu": 2}, "limits": null},
                "ports": [{"containerPort": 80, "hostPort": 8080, "protocol": "UDP"}],
            }],
            "initContainers": [{"name": "side", "restartPolicy": "Always"}, {"name": "init"}],
            "tolerations": [{"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}],
            "volumes": [
                {"name": "tmp", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}, {"name": "cfg", "configMap": {}},
            ],
        },
        "status": {
            "phase": "Running", "podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}],
            "conditions": [
                {"type": "Ready", "status": "True", "message": "m", "lastTransitionTime": "2026-11-22T10:00:05Z"},
                {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"},
            ],
            "containerStatuses": [{
                "name": "c", "ready": true, "restartCount": 2, "state": {"running": {"startedAt": "2026-11-22T10:00:04Z"}},
                "lastState": {"terminated": {"reason": "OOMKilled", "finishedAt": "2026-11-22T10:00:03Z"}},
            }],
            "initContainerStatuses": [{"name": "side", "ready": true}, {"name": "init"}],
        },
    })
}

#[test]
fn a_pod_becomes_a_row() {
    let pod = convert::<PodWire>(&pod_json()).unwrap();
    assert_eq!(pod.meta.key.to_string(), "shop/web-1");
    assert_eq!((pod.uid().as_str(), pod.resource_version(), pod.meta.generation), ("u-1", 42, 3));
    assert!(pod.meta.controller().unwrap().controller && pod.meta.has_finalizers() && !pod.meta.is_terminating());
    assert_eq!(pod.meta.annotations.len(), 3);
    assert_eq!(pod.node_name.as_deref(), Some("n1"));
    let spec = &pod.spec;
    assert_eq!((spec.priority, spec.termination_grace_seconds, spec.host_network), (7, 5, true));
    assert_eq!(spec.restart_policy, RestartPolicy::Always);
    let c = &spec.containers[0];
    assert_eq!((c.requests.milli_cpu, c.requests.memory), (Some(100), Some(64 << 20)));
    assert_eq!(c.requests.get("example.com/gpu"), Some(2));
    assert!(c.limits.is_empty());
    assert_eq!((c.ports[0].host_port, c.ports[0].protocol.as_str()), (8080, "UDP"));
    assert!(spec.init_containers[0].restartable && !spec.init_containers[1].restartable);
    assert_eq!(spec.volumes.len(), 1);
    assert_eq!(spec.volumes[0].kind, VolumeKind::MemoryEmptyDir(Some(1 << 20)));
    assert_eq!(&*spec.unsupported, "");
    let status = &pod.status;
    assert_eq!(status.ips.iter().map(Str::as_str).collect::<Vec<_>>(), ["10.0.0.1", "fd00::1"]);
    assert!(pod.is_ready());
    assert_eq!(&*pod.condition("Ready").unwrap().message, "", "nobody reads it");
    assert_eq!(&*pod.condition("PodScheduled").unwrap().message, "0/1 nodes");
    assert_eq!(status.containers().iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["c"]);
    assert_eq!(status.containers()[0].restart_count, 2);
    assert!(status.containers()[0].oom_killed_at.is_some() && status.containers()[0].started_at.is_some());
}

#[test]
fn pods_of_one_template_share_it() {
    let mut interners = Interners::default();
    let mut make = |name: &str| {
        let mut value = pod_json();
        value["metadata"]["name"] = name.into();
        serde_json::from_value::<PodWire>(value).unwrap().convert(&mut interners).unwrap()
    };
    let (a, b): (Pod, Pod) = (make("a"), make("b"));
    assert!(Arc::ptr_eq(&a.spec, &b.spec) && Arc::ptr_eq(&a.meta.owners, &b.meta.owners));
    assert!(Str::ptr_eq(&a.meta.key.namespace, &b.meta.key.namespace));
}

#[test]
fn what_is_not_supported_is_named() {
    let cases = [
        (json!({"resourceClaims": [{"name": "gpu"}]}), "resourceClaims"),
        (json!({"schedulingGroup": {"podGroupName": "g"}}), "schedulingGroup"),
    ];
    for (spec, named) in cases {
        let pod = convert::<PodWire>(&json!({"metadata": {"name": "p"}, "spec": spec})).unwrap();
        assert!(pod.spec.unsupported.contains(named), "{named}: {}", pod.spec.unsupported);
    }
}

#[test]
fn spreading_and_affinity_between_pods() {
    let pod = convert::<PodWire>(&json!({"metadata": {"name": "p"}, "spec": {
        "hostUsers": false,
        "containers": [{"name": "c", "restartPolicyRules": [{"action": "RestartAllContainers"}]}, {"name": "d"}],
        "volumes": [{"name": "i", "image": {"reference": "models:1"}}],
        "affinity": {
            "podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{
                "topologyKey": "zone", "namespaces": ["x"], "namespaceSelector": {},
                "labelSelector": {"matchLabels": {"app": "web"}}, "matchLabelKeys": ["app"],
            }]},
            "podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
                {"weight": 7, "podAffinityTerm": {"topologyKey": "host"}}]},
        },
        "topologySpreadConstraints": [
            {"maxSkew": 2, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway", "minDomains": 3,
             "nodeTaintsPolicy": "Honor", "nodeAffinityPolicy": "Ignore", "matchLabelKeys": ["v"],
             "labelSelector": {"matchExpressions": [{"key": "a", "operator": "Exists"}]}},
            {"maxSkew": 1, "topologyKey": "host"},
        ],
    }}))
    .unwrap();
    let spec = &pod.spec;
    assert!(spec.unsupported.is_empty() && spec.volumes.is_empty());
    assert_eq!((spec.host_users, &*spec.image_volumes), (Some(false), &["models:1".into()][..]));
    assert!(spec.containers[0].restarts_all && !spec.containers[1].restarts_all);
    let affinity = spec.affinity.as_ref().unwrap();
    assert!(affinity.pod_required[0].namespace_selector.as_ref().unwrap().is_empty());
    assert_eq!((affinity.pod_anti_preferred[0].weight, &affinity.pod_anti_preferred[0].term.selector), (7, &None));
    let [soft, hard] = &*spec.topology_spread else { panic!() };
    assert_eq!((soft.max_skew, soft.hard, soft.min_domains, soft.match_label_keys.len()), (2, false, 3, 1));
    assert_eq!((soft.node_affinity, soft.node_taints), (NodeInclusion::Ignore, NodeInclusion::Honor));
    assert_eq!((hard.hard, hard.min_domains, &hard.selector), (true, 1, &None));
    assert_eq!((hard.node_affinity, hard.node_taints), (NodeInclusion::Honor, NodeInclusion::Ignore));
}

#[test]
fn selectors_of_workloads() {
    let service = json!({"metadata": {"name": "s", "namespace": "d"}, "spec": {"selector": {"a": "b"}}});
    let row = convert::<ServiceSelectorWire>(&service).unwrap();
    assert_eq!((row.kind, row.selector.unwrap().requirements.len()), (WorkloadKind::Service, 1));
    assert!(
        convert::<ServiceSelectorWire>(&json!({"metadata": {"name": "s"}, "spec": {}})).unwrap().selector.is_none()
    );
    let set = json!({"metadata": {"name": "s"}, "spec": {"selector": {
        "matchLabels": {"a": "b"}, "matchExpressions": [{"key": "c", "operator": "NotIn", "values": ["d"]}]}}});
    let row = convert::<StatefulSetSelectorWire>(&set).unwrap();
    assert_eq!((row.kind.kind(), row.selector.unwrap().requirements.len()), (Kind::STATEFUL_SET, 2));
    assert_eq!(convert::<ReplicaSetSelectorWire>(&set).unwrap().kind, WorkloadKind::ReplicaSet);
    let rc = convert::<ReplicationControllerSelectorWire>(&service).unwrap();
    assert_eq!(rc.kind, WorkloadKind::ReplicationController);
    let mut interners = Interners::default();
    for (kind, known) in [("ReplicaSet", true), ("StatefulSet", true), ("Service", true), ("Deployment", false)] {
        let row = selector_from_json(kind, set.clone(), &mut interners);
        // A Service's selector is a set of labels and nothing else.
        assert_eq!(row.map_or(kind == "Service", |r| r.is_some()), known, "{kind}");
    }
}

#[test]
fn nodes_share_their_images() {
    let mut interners = Interners::default();
    let mut make = |name: &str| {
        let value = json!({"metadata": {"name": name}, "status": {
            "images": [{"names": ["a:1", "a@sha256:0"], "sizeBytes": 5}], "declaredFeatures": ["F"]}});
        serde_json::from_value::<NodeWire>(value).unwrap().convert(&mut interners).unwrap()
    };
    let (a, b) = (make("a"), make("b"));
    assert!(Arc::ptr_eq(&a.images[0], &b.images[0]));
    assert_eq!((a.images[0].size, a.images[0].names.len(), &*a.declared_features), (5, 2, &["F".into()][..]));
}

#[test]
fn volumes_that_matter_are_kept() {
    let pod = convert::<PodWire>(&json!({"metadata": {"name": "p"}, "spec": {"volumes": [
        {"name": "claim", "persistentVolumeClaim": {"claimName": "c"}},
        {"name": "own", "ephemeral": {"volumeClaimTemplate": {}}},
        {"name": "disk", "gcePersistentDisk": {"pdName": "d", "readOnly": true}},
        {"name": "target", "iscsi": {"iqn": "i", "targetPortal": "t"}},
        {"name": "image", "rbd": {"monitors": ["a", "b"], "pool": "p", "image": "i"}},
        {"name": "inline", "csi": {"driver": "d"}},
        {"name": "scratch", "emptyDir": {}}, {"name": "host", "hostPath": {"path": "/"}},
    ]}}))
    .unwrap();
    let kinds: Vec<_> = pod.spec.volumes.iter().map(|v| format!("{} {:?}", v.name, v.kind)).collect();
    assert_eq!(
        kinds,
        [
            "claim PersistentVolumeClaim(\"c\")",
            "own Ephemeral",
            "disk InTree { plugin: GcePd, id: \"d\", read_only: true }",
            "target Iscsi { iqn: \"i\", read_only: false }",
            "image Rbd(RbdVolume { monitors: [\"a\", \"b\"], pool: \"p\", image: \"i\", read_only: false })",
            "inline Csi(\"d\")",
        ]
    );
    assert!(pod.spec.has_claims() && pod.spec.unsupported.is_empty());
}

#[test]
fn a_malformed_field_is_a_fault_of_that_object_only() {
    let list = json!([
        {"metadata": {"name": "good"}},
        {"metadata": {"name": "quantity", "namespace": "ns"}, "spec": {"containers": [
            {"name": "c", "resources": {"requests": {"memory": "12x"}}}]}},
        {"metadata": {"name": "type"}, "spec": {"priority": "high"}},
        {"metadata": {"name": "shape"}, "spec": 5},
        {"metadata": {"name": "time", "creationTimestamp": "yesterday"}},
        "not an object",
        null,
        {"metadata": {"name": "good-too"}, "spec": {"containers": null}, "status": null},
    ]);
    let wires: Vec<PodWire> = serde_json::from_str(&list.to_string()).unwrap();
    let mut interners = Interners::default();
    let got: Vec<_> = wires
        .into_iter()
        .map(|w| w.convert(&mut interners).map(|p| p.meta.key.name.to_string()).map_err(|e| e.to_string()))
        .collect();
    assert_eq!(got[0].as_deref(), Ok("good"));
    assert_eq!(
        got[1].as_ref().unwrap_err(),
        "Pod ns/quantity: resource \"memory\": \"12x\" is not a quantity: expected a number with an optional suffix, \
         like 100m, 64Mi or 2"
    );
    assert_eq!(got[2].as_ref().unwrap_err(), "Pod type: expected a whole number, found \"high\"");
    assert_eq!(got[3].as_ref().unwrap_err(), "Pod shape: expected an object, found 5");
    assert!(got[4].as_ref().unwrap_err().contains("RFC 3339"));
    assert!(got[5].is_err() && got[6].is_err());
    assert_eq!(got[7].as_deref(), Ok("good-too"));
}

#[test]
fn a_node_with_an_unknown_effect_is_not_used() {
    let node = json!({
        "metadata": {"name": "n"},
        "spec": {"unschedulable": true, "taints": [{"key": "k", "effect": "NoSchedule"}]},
        "status": {
            "capacity": {"cpu": "2", "memory": "1Gi", "pods": "110"},
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10350}},
            "nodeInfo": {"kubeletVersion": "v1.36.4", "swap": {"capacity": 2_147_483_648_i64}},
        },
    });
    let row = convert::<NodeWire>(&node).unwrap();
    assert_eq!((row.capacity.milli_cpu, row.capacity.pods, row.kubelet_port), (2000, 110, 10350));
    assert_eq!(row.swap_capacity, Some(2 << 30));
    let mut node = node;
    node["spec"]["taints"][0]["effect"] = "NoBreathing".into();
    assert!(convert::<NodeWire>(&node).unwrap_err().reason.contains("NoBreathing"));
}

#[test]
fn other_kinds() {
    let service = convert::<ServiceWire>(&json!({
        "metadata": {"name": "s", "namespace": "d"},
        "spec": {"selector": {"app": "web"}, "clusterIP": "None", "ports": [
            {"port": 80}, {"name": "h", "port": 81, "targetPort": "http"}, {"port": 82, "targetPort": 8082}]},
    }))
    .unwrap();
    assert!(service.is_headless());
    let targets: Vec<_> = service.ports.iter().map(|p| format!("{:?}", p.target)).collect();
    assert_eq!(targets, ["Number(80)", "Name(\"http\")", "Number(8082)"]);
    assert!(convert::<ServiceWire>(&json!({"metadata": {"name": "s"}, "spec": {}})).unwrap().selector.is_none());

    let rc = convert::<ReplicationControllerWire>(&json!({
        "metadata": {"name": "rc"},
        "spec": {"selector": {"a": "b"}, "template": {
            "metadata": {"labels": {"a": "b"}}, "spec": {"futureField": [1, 2.5, {"x": null}]}}},
    }))
    .unwrap();
    assert_eq!(rc.replicas, 1);
    assert_eq!(rc.template_labels.get("a").map(Str::as_str), Some("b"));
    let template: Value = serde_json::from_str(&rc.template).unwrap();
    assert_eq!(template["spec"]["futureField"], json!([1, 2.5, {"x": null}]));

    let slice = convert::<EndpointSliceWire>(&json!({
        "metadata": {"name": "s", "annotations": {"any": "thing"}}, "addressType": "IPv6",
        "endpoints": [{"addresses": ["fd00::1"], "conditions": {"ready": true},
            "targetRef": {"kind": "Pod", "name": "p", "uid": "u"}},
            {"addresses": ["fd00::2"], "targetRef": {"kind": "Node", "name": "n", "apiVersion": "v1"}}],
        "ports": [{"name": "", "port": 80}],
    }))
    .unwrap();
    assert_eq!((slice.meta.annotations.len(), slice.endpoints[0].ready), (1, Some(true)));
    let rest = |at: usize| slice.endpoints[at].target.as_ref().unwrap().rest.as_ref();
    assert!(rest(0).is_none() && rest(1).is_some_and(|r| r.api_version == *"v1" && r.field_path.is_empty()));
    assert!(convert::<EndpointSliceWire>(&json!({"metadata": {"name": "s"}, "addressType": "X"})).is_err());

    let lease = convert::<LeaseWire>(&json!({
        "metadata": {"name": "n1"},
        "spec": {"holderIdentity": "n1", "leaseDurationSeconds": 40, "renewTime": "2026-11-22T10:00:00.000001Z"},
    }))
    .unwrap();
    assert_eq!((lease.duration_seconds, lease.renewed.unwrap().0 % 10), (40, 1));

    let headroom = convert::<NodeHeadroomWire>(&json!({
        "metadata": {"name": "n1"},
        "status": {"observedAt": "2026-11-22T10:00:00Z", "state": "Hot", "intervalSeconds": 15,
            "memory": {"workingSetBytes": 5, "pressure": {"some": {"avg10": 1, "avg60": 0.2}}},
            "swap": {"behavior": "LimitedSwap", "capacityBytes": 9},
            "pods": [{"namespace": "d", "name": "b", "uid": "u2", "workingSetBytes": 2, "swapUsedBytes": 1},
                     {"namespace": "d", "name": "a", "uid": "u1", "workingSetBytes": 1}]},
    }))
    .unwrap();
    let sample = headroom.sample.unwrap();
    assert_eq!((sample.working_set, sample.swap_used, sample.interval_seconds), (Some(5), None, Some(15)));
    assert_eq!(sample.psi.unwrap().some60, 0.2);
    assert_eq!(headroom.usage("u2").unwrap().swap, Some(1));
    assert_eq!(headroom.usage("u1").unwrap().swap, None);
    assert!(headroom.usage("u3").is_none());
}

#[test]
fn snapshot_files_skip_what_nobody_reads() {
    let mut interners = Interners::default();
    let row = from_json("Pod", pod_json(), &mut interners).unwrap();
    assert!(matches!(row, Some(AnyRow::Pod(_))));
    assert!(from_json("ConfigMap", json!({}), &mut interners).unwrap().is_none());
    assert!(from_json("Node", json!({"metadata": {}}), &mut interners).is_err());
}

fn any_json() -> impl proptest::strategy::Strategy<Value = Value> {
    use proptest::prelude::*;
    let keys = proptest::sample::select(vec![
        "metadata",
        "name",
        "namespace",
        "uid",
        "labels",
        "annotations",
        "ownerReferences",
        "spec",
        "status",
        "containers",
        "resources",
        "requests",
        "limits",
        "cpu",
        "memory",
        "ports",
        "containerPort",
        "affinity",
        "nodeAffinity",
        "requiredDuringSchedulingIgnoredDuringExecution",
        "nodeSelectorTerms",
        "matchExpressions",
        "operator",
        "values",
        "tolerations",
        "taints",
        "conditions",
        "type",
        "addresses",
        "subsets",
        "endpoints",
        "addressType",
        "template",
        "selector",
        "replicas",
        "pods",
        "observedAt",
        "creationTimestamp",
        "volumes",
        "emptyDir",
        "sizeLimit",
        "swap",
        "pressure",
        "some",
        "avg60",
        "capacity",
        "priority",
        "overhead",
        "targetPort",
        "hints",
        "forZones",
        "persistentVolumeClaim",
        "rbd",
        "claimRef",
        "csi",
        "allowedTopologies",
        "matchLabelExpressions",
        "drivers",
        "nodeTopology",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        Just(Value::from("IPv4")),
        Just(Value::from("64Mi")),
        Just(Value::from("2026-11-22T10:00:00Z")),
    ];
    leaf.prop_recursive(6, 96, 8, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::vec((keys.clone(), inner), 0..8)
                .prop_map(|pairs| Value::Object(pairs.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())),
        ]
    })
}

proptest::proptest! {
    /// Any JSON decodes, and converts or is refused, without a panic and without failing its neighbours.
    #[test]
    fn any_json_never_panics(mut value in any_json()) {
        if let Some(object) = value.as_object_mut() {
            object.entry("metadata").or_insert_with(|| json!({"name": "x"}));
        }
        let text = json!([value, {"metadata": {"name": "neighbour"}}]).to_string();
        macro_rules! check {
            ($($wire:ty),*) => {$(
                let wires: Vec<$wire> = serde_json::from_str(&text).unwrap();
                for (i, wire) in wires.into_iter().enumerate() {
                    let result = wire.convert(&mut Interners::default());
                    proptest::prop_assert!(i == 0 || result.is_ok() || <$wire>::KIND == Kind::ENDPOINT_SLICE);
                }
            )*};
        }
        check!(PodWire, NodeWire, NamespaceWire, ServiceWire, EndpointsWire, EndpointSliceWire, LeaseWire);
        check!(PersistentVolumeWire, PersistentVolumeClaimWire, StorageClassWire, CsiNodeWire, CsiDriverWire);
        check!(CsiStorageCapacityWire, VolumeAttachmentWire);
        check!(ReplicationControllerWire, PriorityClassWire, ReplicaSetWire, NodeHeadroomWire, MemoryProfileWire);
        check!(ServiceSelectorWire, ReplicationControllerSelectorWire, ReplicaSetSelectorWire, StatefulSetSelectorWire);
    }

    #[test]
    fn any_bytes_never_panic(text in "\\PC{0,200}") {
        let _ = serde_json::from_str::<PodWire>(&text);
    }
}

#[test]
fn resizes_are_kept_where_the_status_differs_from_the_spec() {
    let with = |resources: Value, allocated: Value| {
        let mut pod = pod_json();
        pod["status"]["containerStatuses"][0]["resources"] = resources;
        pod["status"]["containerStatuses"][0]["allocatedResources"] = allocated;
        convert::<PodWire>(&pod).unwrap().status.resize
    };
    let spec = json!({"cpu": "100m", "memory": "64Mi", "example.com/gpu": 2});
    assert_eq!(with(json!({"requests": spec}), spec.clone()), None, "what the spec says anyway");
    assert_eq!(with(Value::Null, json!({"cpu": "9"})), None, "without resources the status does not count");
    let resize = with(json!({"requests": {"cpu": "200m"}}), json!({"memory": "1Gi"})).unwrap();
    assert_eq!(resize.containers.len(), 1);
    let c = &resize.containers[0];
    assert_eq!((c.name.as_str(), c.actuated.milli_cpu, c.allocated.memory), ("c", Some(200), Some(1 << 30)));
    let mut pod = pod_json();
    pod["spec"]["resources"] = json!({"requests": {"cpu": "1"}});
    pod["status"]["resources"] = json!({"requests": {"cpu": "2"}});
    pod["status"]["allocatedResources"] = json!({"cpu": "1500m"});
    let resize = convert::<PodWire>(&pod).unwrap().status.resize.unwrap();
    let (actuated, allocated) = resize.pod.unwrap();
    assert_eq!((actuated.milli_cpu, allocated.milli_cpu), (Some(2000), Some(1500)));
}

#[test]
fn a_budget_becomes_a_row() {
    let json = json!({
        "metadata": {"name": "web", "namespace": "shop", "uid": "u", "resourceVersion": "7"},
        "spec": {"minAvailable": "50%", "selector": {"matchLabels": {"app": "web"}}},
        "status": {"disruptionsAllowed": 2, "disruptedPods": {"web-2": "2026-11-22T10:00:00Z", "web-1": null}},
    });
    let budget = convert::<PodDisruptionBudgetWire>(&json).unwrap();
    assert_eq!((budget.meta.key.to_string().as_str(), budget.disruptions_allowed), ("shop/web", 2));
    assert!(budget.has_disrupted("web-1") && budget.has_disrupted("web-2") && !budget.has_disrupted("web"));
    let labels = |value| [("app", value)].into_iter().collect();
    assert!(budget.covers(&labels("web")) && !budget.covers(&labels("db")) && !budget.covers(&Default::default()));
    let everything = json!({"metadata": {"name": "all", "namespace": "shop"}, "spec": {"selector": {}}});
    assert!(!convert::<PodDisruptionBudgetWire>(&everything).unwrap().covers(&labels("web")), "as stock before 1.38");
    let broken = json!({"metadata": {"name": "x"}, "spec": [], "status": {"disruptedPods": 3}});
    assert!(convert::<PodDisruptionBudgetWire>(&broken).is_err());
}
