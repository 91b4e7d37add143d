//! Pods with volumes on the real control plane, beside the stock PV controller: what is bound and written, and that what
//! waits is told what the stock scheduler tells.

use crate::common::{
    LONG, OUR_LEASE, STOCK_LEASE, assert_bound_once, assert_nothing_forbidden, both, bound, control_plane, create,
    node, object, on_node, pod, pods, scheduled_condition, start_scheduler, waiting, writes_of,
};
use headroom_e2e::{ControlPlane, Identity, Process, RbacSet, SchedulerOptions, eventually};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::{CSINode, StorageClass};
use kube::api::PostParams;
use kube::{Api, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

const HOST: &str = "kubernetes.io/hostname";

/// Creates a cluster-wide object.
async fn create_global<K>(cluster: &ControlPlane, value: Value)
where
    K: Resource<DynamicType = ()> + DeserializeOwned + Serialize + Clone + std::fmt::Debug,
{
    let api: Api<K> = Api::all(cluster.admin_client());
    api.create(&PostParams::default(), &object(value)).await.unwrap();
}

async fn class(cluster: &ControlPlane, name: &str, provisioner: &str, over: Value) {
    let whole = json!({"metadata": {"name": name}, "provisioner": provisioner});
    create_global::<StorageClass>(cluster, both(whole, over)).await;
}

/// A class of volumes that are made by hand and wait for their first consumer.
async fn local_class(cluster: &ControlPlane) {
    let waits = json!({"volumeBindingMode": "WaitForFirstConsumer"});
    class(cluster, "local", "kubernetes.io/no-provisioner", waits).await;
}

/// A local volume on a node.
async fn local_volume(cluster: &ControlPlane, name: &str, on: &str, size: &str) {
    let terms = json!([{"matchExpressions": [{"key": HOST, "operator": "In", "values": [on]}]}]);
    create_global::<PersistentVolume>(
        cluster,
        json!({"metadata": {"name": name}, "spec": {
            "capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"], "storageClassName": "local",
            "local": {"path": "/mnt/disk"}, "nodeAffinity": {"required": {"nodeSelectorTerms": terms}}}}),
    )
    .await;
}

fn claims(cluster: &ControlPlane, namespace: &str) -> Api<PersistentVolumeClaim> {
    Api::namespaced(cluster.admin_client(), namespace)
}

async fn claim(cluster: &ControlPlane, namespace: &str, name: &str, over: Value) {
    let whole = json!({"metadata": {"name": name}, "spec": {
        "accessModes": ["ReadWriteOnce"], "storageClassName": "local", "resources": {"requests": {"storage": "3Gi"}}}});
    let claim = object(both(whole, json!({"spec": over})));
    claims(cluster, namespace).create(&PostParams::default(), &claim).await.unwrap();
}

async fn wait_claim_bound(cluster: &ControlPlane, namespace: &str, name: &str) -> PersistentVolumeClaim {
    let api = claims(cluster, namespace);
    eventually(LONG, &format!("claim {namespace}/{name} to be bound"), || async {
        let claim = api.get(name).await.map_err(|error| error.to_string())?;
        let phase = claim.status.as_ref().and_then(|s| s.phase.clone());
        if phase.as_deref() == Some("Bound") { Ok(claim) } else { Err(format!("{phase:?}")) }
    })
    .await
    .unwrap()
}

/// The spec of a pod that uses claims.
fn using(claims: &[&str]) -> Value {
    let volumes: Vec<Value> =
        claims.iter().map(|c| json!({"name": c, "persistentVolumeClaim": {"claimName": c}})).collect();
    json!({"volumes": volumes})
}

fn pv_controller(cluster: &ControlPlane) -> Process {
    // It looks every second at what it could not bind at once; the default is 15 s.
    let quick = ["--pvclaimbinder-sync-period=1s"];
    cluster.start_stock_kcm("persistentvolume-binder-controller", &quick).unwrap()
}

#[tokio::test]
async fn pods_go_where_their_volumes_are_and_claims_are_bound_with_them() {
    let cluster = control_plane(RbacSet::Primary).await;
    let controller = pv_controller(&cluster);
    tokio::join!(node(&cluster, "a", json!({})), node(&cluster, "b", json!({})));
    local_class(&cluster).await;
    local_volume(&cluster, "small-on-a", "a", "1Gi").await;
    local_volume(&cluster, "fits-on-b", "b", "5Gi").await;
    let scheduler = start_scheduler(&cluster, STOCK_LEASE, &["--mode=primary"]).await;

    let all = pods(&cluster, "default");
    claim(&cluster, "default", "data", json!({})).await;
    create(&all, &pod("database", using(&["data"]))).await;
    assert_eq!(bound(&all, "database").await, "b");
    let data = wait_claim_bound(&cluster, "default", "data").await;
    assert_eq!(data.spec.unwrap().volume_name.as_deref(), Some("fits-on-b"));
    let volumes: Api<PersistentVolume> = Api::all(cluster.admin_client());
    let volume = volumes.get("fits-on-b").await.unwrap();
    let reference = volume.spec.unwrap().claim_ref.unwrap();
    assert_eq!(
        (reference.kind.as_deref(), reference.api_version.as_deref()),
        (Some("PersistentVolumeClaim"), Some("v1"))
    );
    assert_eq!((reference.name.as_deref(), reference.uid), (Some("data"), data.metadata.uid));
    let mark = volume.metadata.annotations.unwrap().get("pv.kubernetes.io/bound-by-controller").cloned();
    assert_eq!(mark.as_deref(), Some("yes"));

    // Nothing that is left is large enough; then something comes, and a second pod shares what is bound already.
    claim(&cluster, "default", "archive", json!({"resources": {"requests": {"storage": "10Gi"}}})).await;
    create(&all, &pod("keeper", using(&["archive"]))).await;
    let message = waiting(&all, "keeper", "available persistent volumes").await;
    assert_eq!(
        message,
        "0/2 nodes are available: 2 node(s) didn't find available persistent volumes to bind. no new claims to \
         deallocate, preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling."
    );
    create(&all, &pod("reader", using(&["data"]))).await;
    assert_eq!(bound(&all, "reader").await, "b");
    local_volume(&cluster, "large-on-a", "a", "20Gi").await;
    assert_eq!(bound(&all, "keeper").await, "a");
    wait_claim_bound(&cluster, "default", "archive").await;

    // Two claims of one pod on one node, the smaller one first.
    local_volume(&cluster, "second-on-b", "b", "9Gi").await;
    for (name, size) in [("large", "8Gi"), ("small", "1Gi")] {
        claim(&cluster, "default", name, json!({"resources": {"requests": {"storage": size}}})).await;
    }
    local_volume(&cluster, "third-on-b", "b", "2Gi").await;
    create(&all, &pod("pair", using(&["large", "small"]))).await;
    assert_eq!(bound(&all, "pair").await, "b");
    for (name, expected) in [("large", "second-on-b"), ("small", "third-on-b")] {
        let claim = wait_claim_bound(&cluster, "default", name).await;
        assert_eq!(claim.spec.unwrap().volume_name.as_deref(), Some(expected));
    }

    let user = Identity::HeadroomScheduler.user();
    let writes = writes_of(&cluster, &user);
    let of_volumes: Vec<String> = writes
        .iter()
        .filter_map(|event| {
            let of = event.object_ref.as_ref()?;
            of.resource.starts_with("persistentvolume").then(|| format!("{} {}", event.verb, of.name))
        })
        .collect();
    let mut sorted = of_volumes.clone();
    sorted.sort();
    assert_eq!(sorted, ["patch fits-on-b", "patch large-on-a", "patch second-on-b", "patch third-on-b"]);
    assert_nothing_forbidden(&cluster, &user);
    assert_bound_once(&cluster, "default", 4);
    scheduler.expect_running("the test").unwrap();
    controller.expect_running("the test").unwrap();
}

/// Ours and stock beside each other, each with its copy of every claim and pod (without PostFilter on stock's side, as in
/// the scenarios for other plugins).
#[tokio::test]
async fn what_waits_for_volumes_is_told_what_stock_tells() {
    let cluster = control_plane(RbacSet::Primary).await;
    let _controller = pv_controller(&cluster);
    let sides = [("ours", "headroom-scheduler"), ("stock", "default-scheduler")];
    let zone = |zone: &str| json!({"metadata": {"labels": {"topology.kubernetes.io/zone": zone}}});
    tokio::join!(node(&cluster, "a", zone("x")), node(&cluster, "b", zone("y")));
    local_class(&cluster).await;
    class(&cluster, "at-once", "example.com/nobody", json!({"volumeBindingMode": "Immediate"})).await;
    let expression = json!([{"matchLabelExpressions": [{"key": HOST, "values": ["c"]}]}]);
    let elsewhere = json!({"volumeBindingMode": "WaitForFirstConsumer", "allowedTopologies": expression});
    class(&cluster, "elsewhere", "example.com/nobody", elsewhere).await;
    for name in ["a", "b"] {
        let driver = json!({"name": "csi.example.com", "nodeID": name, "allocatable": {"count": 0}});
        create_global::<CSINode>(&cluster, json!({"metadata": {"name": name}, "spec": {"drivers": [driver]}})).await;
    }
    for (namespace, _) in sides {
        cluster.create_namespace(namespace).await.unwrap();
        let make = async |name: &str, over: Value| claim(&cluster, namespace, name, over).await;
        make("nowhere", json!({"resources": {"requests": {"storage": "100Gi"}}})).await;
        make("at-once", json!({"storageClassName": "at-once"})).await;
        make("elsewhere", json!({"storageClassName": "elsewhere"})).await;
        make("once", json!({"accessModes": ["ReadWriteOncePod"], "storageClassName": "elsewhere"})).await;
        // Bound before any pod comes, to volumes that say where they are, or how they are attached.
        for (name, labels, source) in [
            (
                "far",
                json!({}),
                json!({"nodeAffinity": {"required": {"nodeSelectorTerms": [
                {"matchExpressions": [{"key": HOST, "operator": "In", "values": ["c"]}]}]}}}),
            ),
            ("zoned", json!({"topology.kubernetes.io/zone": "z"}), json!({})),
            (
                "limited",
                json!({}),
                json!({"hostPath": null,
                "csi": {"driver": "csi.example.com", "volumeHandle": format!("h-{namespace}")}}),
            ),
        ] {
            let volume = format!("{name}-{namespace}");
            let spec = json!({"capacity": {"storage": "5Gi"}, "accessModes": ["ReadWriteOnce"],
                "hostPath": {"path": "/mnt"}});
            create_global::<PersistentVolume>(
                &cluster,
                json!({"metadata": {"name": volume, "labels": labels}, "spec": both(spec, source)}),
            )
            .await;
            make(name, json!({"storageClassName": "", "volumeName": volume})).await;
            wait_claim_bound(&cluster, namespace, name).await;
        }
        let holds = both(using(&["once"]), json!({"nodeName": "a"}));
        create(&pods(&cluster, namespace), &pod("holder", holds)).await;
        let disk = json!({"volumes": [{"name": "d", "gcePersistentDisk": {"pdName": format!("disk-{namespace}")}}]});
        create(&pods(&cluster, namespace), &pod("writer", both(disk, json!({"nodeName": "a"})))).await;
    }
    let stock = cluster.start_stock_scheduler(&SchedulerOptions::default()).unwrap();
    let ours = start_scheduler(&cluster, OUR_LEASE, &["--mode=secondary"]).await;
    cluster.wait_healthy(&stock, "/readyz", LONG).await.unwrap();

    let ephemeral = json!({"volumes": [{"name": "v", "ephemeral": {"volumeClaimTemplate": {"spec": {
        "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}}}]});
    let disk = |namespace: &str| json!({"volumes": [{"name": "d", "gcePersistentDisk": {"pdName": format!("disk-{namespace}")}}]});
    let cases: Vec<(&str, Value, &str)> = vec![
        ("missing", using(&["none"]), "persistentvolumeclaim \"none\" not found"),
        ("at-once", using(&["at-once"]), "pod has unbound immediate PersistentVolumeClaims"),
        ("nowhere", using(&["nowhere"]), "didn't find available persistent volumes to bind"),
        ("elsewhere", using(&["elsewhere"]), "didn't find available persistent volumes to bind"),
        ("far", using(&["far"]), "didn't match PersistentVolume's node affinity"),
        ("far-and-nowhere", using(&["far", "nowhere"]), "didn't find available persistent volumes to bind"),
        ("zoned", using(&["zoned"]), "had no available volume zone"),
        ("limited", using(&["limited"]), "exceed max volume count"),
        ("once", using(&["once"]), "ReadWriteOncePod access mode already in-use"),
        ("ephemeral", ephemeral, "waiting for ephemeral volume controller to create the persistentvolumeclaim"),
        ("disk", on_node("a"), "had no available disk"),
    ];
    for (name, spec, _) in &cases {
        for (namespace, scheduler) in sides {
            let mut spec = both(spec.clone(), json!({"schedulerName": scheduler}));
            if *name == "disk" {
                spec = both(spec, disk(namespace));
            }
            create(&pods(&cluster, namespace), &pod(name, spec)).await;
        }
    }
    for (name, _, text) in &cases {
        let mut found = Vec::new();
        for (namespace, _) in sides {
            let api = pods(&cluster, namespace);
            waiting(&api, name, text).await;
            let mut condition = scheduled_condition(&api, name).await.unwrap();
            condition.as_object_mut().unwrap().remove("lastTransitionTime");
            found.push(condition);
        }
        assert_eq!(found[0], found[1], "{name}: ours, then the stock scheduler's");
    }
    assert_nothing_forbidden(&cluster, &Identity::HeadroomScheduler.user());
    ours.expect_running("the comparison").unwrap();
}
