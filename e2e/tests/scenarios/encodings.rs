//! The oracle of our protobuf: the same objects of a real API server, read by one informer in protobuf and by another in
//! JSON, are the same rows, listed as a stream, in pages, and watched.

use std::collections::BTreeMap;
use std::fmt::Debug;

use headroom_e2e::{ControlPlane, Identity, RbacSet};
use headroom_runtime::client::{ClientOptions, Clients};
use headroom_runtime::informer::{self, Change, InformerConfig, InformerHealth, StreamLists};
use headroom_runtime::metrics::{ClientMetrics, Registry};
use headroom_runtime::wire::{
    EndpointSliceWire, EndpointsWire, LeaseWire, NodeWire, PodWire, Row, WireObject, shared_interners,
};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Endpoints, Node, Pod};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::common::{LONG, control_plane, object};

/// Everything that a pod can say to a scheduler or a controller, as far as one pod may say it.
fn rich(name: &str) -> Value {
    let volumes = json!([
        {"name": "mem", "emptyDir": {"medium": "Memory", "sizeLimit": "1500Mi"}},
        {"name": "disk", "emptyDir": {}},
        {"name": "claim", "persistentVolumeClaim": {"claimName": "data", "readOnly": true}},
        {"name": "ephemeral", "ephemeral": {"volumeClaimTemplate": {"spec": {"accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}}}}}},
        {"name": "iscsi", "iscsi": {"targetPortal": "10.0.0.9:3260", "iqn": "iqn.2001-04.com.example:a", "lun": 0,
            "readOnly": true}},
        {"name": "rbd", "rbd": {"monitors": ["10.0.0.1:6789", "10.0.0.2:6789"], "image": "i", "pool": "p"}},
        {"name": "csi", "csi": {"driver": "csi.example.com"}},
        {"name": "gce", "gcePersistentDisk": {"pdName": "pd", "readOnly": true}},
        {"name": "aws", "awsElasticBlockStore": {"volumeID": "vol-1"}},
        {"name": "azure", "azureDisk": {"diskName": "d", "diskURI": "/subscriptions/s/resourcegroups/g/providers/microsoft.compute/disks/d", "kind": "Managed"}},
        {"name": "file", "azureFile": {"secretName": "s", "shareName": "share", "readOnly": true}},
        {"name": "cinder", "cinder": {"volumeID": "c-1", "readOnly": true}},
        {"name": "portworx", "portworxVolume": {"volumeID": "p-1"}},
        {"name": "vsphere", "vsphereVolume": {"volumePath": "[a] b"}},
        {"name": "config", "configMap": {"name": "c"}},
        {"name": "host", "hostPath": {"path": "/tmp"}},
        {"name": "projected", "projected": {"sources": []}},
    ]);
    let selector = json!({"matchLabels": {"app": "web", "tier": "a"},
        "matchExpressions": [{"key": "k", "operator": "In", "values": ["a", "b"]}, {"key": "no", "operator": "DoesNotExist"}]});
    let term = json!({"labelSelector": selector, "topologyKey": "kubernetes.io/hostname", "namespaces": ["default", "x"],
        "namespaceSelector": {}});
    let weighted = json!([{"weight": 7, "podAffinityTerm": term}]);
    let node_term = json!({"matchExpressions": [{"key": "n", "operator": "Gt", "values": ["5"]}],
        "matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]});
    json!({
        "metadata": {"name": name, "namespace": "default", "labels": {"app": "web", "quoted": "a.b"},
            "annotations": {"headroom.dev/swap": "never", "text": "line\n\"quoted\" \\ \u{1} ä"},
            "finalizers": ["example.com/held"],
            "ownerReferences": [{"apiVersion": "v1", "kind": "ReplicationController", "name": "web", "uid": "11111111-2222",
                "controller": true, "blockOwnerDeletion": false}]},
        "spec": {
            "schedulerName": "somebody-else", "priority": 0, "restartPolicy": "Never", "hostNetwork": true, "hostUsers": true,
            "hostname": "h", "subdomain": "s", "terminationGracePeriodSeconds": 0, "nodeSelector": {"disk": "ssd", "z": ""},
            "automountServiceAccountToken": false, "volumes": volumes,
            "schedulingGates": [{"name": "example.com/a"}, {"name": "example.com/b"}],
            "initContainers": [
                {"name": "side", "image": "i", "restartPolicy": "Always", "resources": {"requests": {"memory": "10Mi"}}},
                {"name": "init", "image": "i", "resources": {"limits": {"cpu": "1500m"}}},
            ],
            "containers": [
                {"name": "a", "image": "registry.example.com/a:1", "env": [{"name": "A", "value": "secret"}],
                    "ports": [{"name": "http", "containerPort": 80, "hostPort": 80}, {"containerPort": 53, "hostPort": 53,
                        "protocol": "UDP", "hostIP": "127.0.0.1"}],
                    "livenessProbe": {"httpGet": {"path": "/", "port": "http"}},
                    "resources": {"requests": {"cpu": "0.1", "memory": "64Mi", "example.com/gpu": 2, "ephemeral-storage": "1e3"},
                        "limits": {"memory": "128Mi", "example.com/gpu": 2}}},
                {"name": "b", "image": "i"},
            ],
            "tolerations": [{"operator": "Exists"}, {"key": "a", "operator": "Equal", "value": "b", "effect": "NoExecute",
                "tolerationSeconds": 0}],
            "affinity": {
                "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [node_term]},
                    "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 3, "preference": node_term}]},
                "podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]},
                "podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term, {"topologyKey": "zone"}],
                    "preferredDuringSchedulingIgnoredDuringExecution": weighted},
            },
            "topologySpreadConstraints": [
                {"maxSkew": 2, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": selector,
                    "minDomains": 3, "nodeAffinityPolicy": "Ignore", "nodeTaintsPolicy": "Honor", "matchLabelKeys": ["h"]},
                {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway"},
            ],
        },
    })
}

fn rich_status() -> Value {
    let at = "2026-11-22T10:00:04Z";
    json!({"status": {
        "phase": "Running", "reason": "Because", "message": "m", "hostIP": "10.1.0.1", "podIP": "10.0.0.1", "startTime": at,
        "podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}], "nominatedNodeName": "n1",
        "conditions": [
            {"type": "Ready", "status": "True", "lastTransitionTime": at, "lastProbeTime": null},
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 \"nodes\"",
                "lastTransitionTime": at, "observedGeneration": 1},
        ],
        "containerStatuses": [
            {"name": "a", "ready": true, "restartCount": 3, "image": "i", "imageID": "",
                "state": {"running": {"startedAt": at}},
                "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled", "finishedAt": at}},
                "allocatedResources": {"cpu": "100m", "memory": "32Mi"},
                "resources": {"requests": {"cpu": "100m", "memory": "32Mi"}, "limits": {"memory": "128Mi"}}},
            {"name": "b", "ready": false, "restartCount": 0, "image": "i", "imageID": "",
                "state": {"waiting": {"reason": "CrashLoopBackOff"}}},
        ],
        "initContainerStatuses": [{"name": "side", "ready": true, "restartCount": 1, "image": "i", "imageID": "", "started": true}],
    }})
}

async fn fill(cluster: &ControlPlane) {
    let client = cluster.admin_client();
    let pods: Api<Pod> = Api::namespaced(client.clone(), "default");
    pods.create(&PostParams::default(), &object(rich("rich"))).await.unwrap();
    let plain = json!({"metadata": {"name": "plain"}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    pods.create(&PostParams::default(), &object(plain)).await.unwrap();
    let status = PatchParams::default();
    pods.patch_status("rich", &status, &Patch::Strategic(rich_status())).await.unwrap();

    let nodes: Api<Node> = Api::all(client.clone());
    let node = json!({"metadata": {"name": "n1", "labels": {"zone": "a"}, "annotations": {"a": "b"}},
        "spec": {"unschedulable": true, "podCIDR": "10.0.0.0/24", "taints": [
            {"key": "a", "value": "b", "effect": "NoSchedule"},
            {"key": "c", "effect": "NoExecute", "timeAdded": "2026-11-22T10:00:04Z"}]}});
    nodes.create(&PostParams::default(), &object(node)).await.unwrap();
    let of_node = json!({"status": {
        "capacity": {"cpu": "2", "memory": "1Gi", "pods": "110", "example.com/gpu": "4"},
        "allocatable": {"cpu": "1900m", "memory": "900Mi", "pods": "110"},
        "conditions": [{"type": "Ready", "status": "Unknown", "reason": "r", "message": "m",
            "lastHeartbeatTime": "2026-11-22T10:00:04Z", "lastTransitionTime": "2026-11-22T10:00:05Z"}],
        "addresses": [{"type": "InternalIP", "address": "10.1.0.1"}, {"type": "Hostname", "address": "n1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": 10251}},
        "nodeInfo": {"kubeletVersion": "v1.36.4", "machineID": "", "systemUUID": "", "bootID": "", "kernelVersion": "",
            "osImage": "", "containerRuntimeVersion": "", "kubeProxyVersion": "", "operatingSystem": "linux",
            "architecture": "amd64", "swap": {"capacity": 2_147_483_648_u64}},
        "images": [{"names": ["a:1", "a@sha256:0"], "sizeBytes": 123_456_789}, {"names": []}],
    }});
    nodes.patch_status("n1", &status, &Patch::Strategic(of_node)).await.unwrap();

    let leases: Api<Lease> = Api::namespaced(client.clone(), "default");
    for (name, renewed) in [("micros", json!("2026-11-22T10:00:04.123456Z")), ("never", Value::Null)] {
        let lease = json!({"metadata": {"name": name}, "spec": {"holderIdentity": "me", "leaseDurationSeconds": 40,
            "renewTime": renewed, "leaseTransitions": 3}});
        leases.create(&PostParams::default(), &object(lease)).await.unwrap();
    }
    let reference = json!({"kind": "Pod", "namespace": "default", "name": "rich", "uid": "u", "apiVersion": "v1"});
    let endpoints: Api<Endpoints> = Api::namespaced(client.clone(), "default");
    let value = json!({"metadata": {"name": "web", "annotations": {"endpoints.kubernetes.io/over-capacity": "truncated"}},
        "subsets": [{"addresses": [{"ip": "10.0.0.1", "hostname": "h", "nodeName": "n1", "targetRef": reference}],
            "notReadyAddresses": [{"ip": "10.0.0.2"}],
            "ports": [{"name": "http", "port": 80, "appProtocol": "http"}, {"name": "dns", "port": 53, "protocol": "UDP"}]}]});
    endpoints.create(&PostParams::default(), &object(value)).await.unwrap();
    let slices: Api<EndpointSlice> = Api::namespaced(client, "default");
    let value = json!({"metadata": {"name": "web-1", "labels": {"kubernetes.io/service-name": "web"}}, "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": true, "serving": false}, "hostname": "h",
                "nodeName": "n1", "zone": "a", "hints": {"forZones": [{"name": "a"}]}, "targetRef": reference},
            {"addresses": ["10.0.0.2"]}],
        "ports": [{"name": "http", "port": 80}, {"name": "", "port": 53, "protocol": "UDP"}]});
    slices.create(&PostParams::default(), &object(value)).await.unwrap();
}

/// What an informer knows when it has synced, and what it tells from then on.
async fn rows<W: WireObject>(
    client: kube::Client,
    lists: StreamLists,
) -> (mpsc::Receiver<Change<W::Row>>, Vec<String>) {
    let (tx, mut rx) = mpsc::channel(64);
    let config = InformerConfig { stream_lists: lists, ..InformerConfig::default() };
    let health = InformerHealth::default();
    tokio::spawn(informer::run::<W, _>(client, config, &health, tx, |change| change, shared_interners()));
    let mut known = BTreeMap::new();
    loop {
        match tokio::time::timeout(LONG, rx.recv()).await.unwrap().unwrap() {
            Change::Synced => break,
            Change::Applied(row) => drop(known.insert(row.key().to_string(), format!("{row:?}"))),
            Change::Deleted { key, .. } => drop(known.remove(&key.to_string())),
        }
    }
    assert_eq!(health.skipped(), 0);
    (rx, known.into_values().collect())
}

/// Both encodings, both ways of listing.
async fn same<W: WireObject>(protobuf: &kube::Client, json: &kube::Client, at_least: usize)
where
    W::Row: Debug,
{
    for lists in [StreamLists::Auto, StreamLists::Never] {
        let (_, of_protobuf) = rows::<W>(protobuf.clone(), lists).await;
        let (_, of_json) = rows::<W>(json.clone(), lists).await;
        assert!(of_json.len() >= at_least, "{} of {}", of_json.len(), W::KIND.plural);
        assert_eq!(of_protobuf, of_json, "{} {lists:?}", W::KIND.plural);
    }
}

#[tokio::test]
async fn protobuf_and_json_are_the_same_rows() {
    let cluster = control_plane(RbacSet::Primary).await;
    cluster.create_namespace("default").await.unwrap();
    fill(&cluster).await;
    let options = ClientOptions {
        kubeconfig: Some(cluster.kubeconfig(&Identity::Admin).unwrap()),
        user_agent: "encodings".to_owned(),
        ..ClientOptions::default()
    };
    let metrics = ClientMetrics::new(&Registry::new()).unwrap();
    let protobuf = Clients::new(&options, &metrics).await.unwrap().watch;
    let json = cluster.admin_client();
    // What is handed on shows how it came: the tables pass managedFields over.
    for (client, whole) in [(&protobuf, false), (&json, true)] {
        let list = http::Request::get("/api/v1/pods").body(Vec::new()).unwrap();
        assert_eq!(client.request_text(list).await.unwrap().contains("managedFields"), whole);
    }
    // Of nothing as well, which in protobuf is no list at all.
    let nowhere: Api<Lease> = Api::namespaced(protobuf.clone(), "nowhere");
    assert!(nowhere.list(&ListParams::default()).await.unwrap().items.is_empty());
    same::<PodWire>(&protobuf, &json, 2).await;
    same::<NodeWire>(&protobuf, &json, 1).await;
    same::<LeaseWire>(&protobuf, &json, 2).await;
    same::<EndpointsWire>(&protobuf, &json, 1).await;
    same::<EndpointSliceWire>(&protobuf, &json, 1).await;

    // Watched: a change and a deletion arrive as the same rows as well.
    let (mut ours, _) = rows::<PodWire>(protobuf, StreamLists::Auto).await;
    let (mut other, _) = rows::<PodWire>(json, StreamLists::Auto).await;
    let pods: Api<Pod> = Api::namespaced(cluster.admin_client(), "default");
    let label = Patch::Merge(json!({"metadata": {"labels": {"changed": "yes"}}}));
    pods.patch("plain", &PatchParams::default(), &label).await.unwrap();
    pods.delete("plain", &kube::api::DeleteParams::default()).await.unwrap();
    let mut told = (Vec::new(), Vec::new());
    for (rx, told) in [(&mut ours, &mut told.0), (&mut other, &mut told.1)] {
        loop {
            let change = tokio::time::timeout(LONG, rx.recv()).await.unwrap().unwrap();
            told.push(format!("{change:?}"));
            if matches!(change, Change::Deleted { .. }) {
                break;
            }
        }
    }
    assert_eq!(told.0, told.1);
}
