//! Profile `fast` of node lifecycle on a real API server: a node of a small cluster dies, and what its neighbours can take
//! moves; the rest waits for the node, which comes back.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::common::{LONG, PATIENT, STOCK_LEASE};
use headroom_api::NodeHeadroom;
use headroom_e2e::{Identity, eventually};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Event, Node, Pod, ServiceAccount},
};
use kube::{
    Api,
    api::{ListParams, PostParams},
};
use serde_json::json;

/// Ten pods that are promised 200Mi on nodes that have room for four such each: the fullest node has four of them, and the
/// two others together have two places left.
const REPLICAS: usize = 10;
/// Grace and period of `fast`, its minute of toleration, and time for a busy machine. Upstream would take six minutes.
const MOVED: Duration = Duration::from_secs(180);

/// By node, the pods that are not being deleted; those without a node are under the empty name.
async fn by_node(pods: &Api<Pod>) -> Result<BTreeMap<String, usize>, String> {
    let all = pods.list(&ListParams::default()).await.map_err(|e| e.to_string())?.items;
    let mut count = BTreeMap::new();
    for pod in all.into_iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()) {
        let node = pod.spec.and_then(|spec| spec.node_name).unwrap_or_default();
        *count.entry(node).or_default() += 1;
    }
    Ok(count)
}

#[tokio::test]
async fn a_node_dies_and_only_what_fits_moves() {
    let cluster = crate::common::control_plane_with_crds().await;
    let stock = "deployment-controller,replicaset-controller,garbage-collector-controller,serviceaccount-controller";
    let _stock = cluster.start_stock_kcm(stock, &[]).unwrap();
    let accounts: Api<ServiceAccount> = Api::default_namespaced(cluster.admin_client());
    eventually(LONG, "the default ServiceAccount", || accounts.get("default")).await.unwrap();
    let hollow = crate::common::hollow(&cluster, "worker=3:1Gi:version=v1.36.4+k3s1").await;
    let trust = cluster.trust_kubelets(&hollow).unwrap();
    let loops = "--controllers=node-lifecycle-controller,taint-eviction-controller,node-headroom-controller,memory-profile-controller";
    let flags = [loops, "--node-lifecycle-profile=fast", "--node-headroom-interval=1s", trust.as_str()];
    let flags: Vec<&str> = PATIENT.iter().chain(&flags).copied().collect();
    let controllers = cluster.start_headroom_controllers(&flags).unwrap();
    cluster.wait_healthy(&controllers, "/readyz", LONG).await.unwrap();
    let scheduler = crate::common::start_scheduler(&cluster, STOCK_LEASE, &["--mode=primary"]).await;
    let headrooms: Api<NodeHeadroom> = Api::all(cluster.admin_client());
    let measured = async || {
        let all = headrooms.list(&ListParams::default()).await.map_err(|e| e.to_string())?.items;
        let known = all.iter().filter(|n| n.status.as_ref().is_some_and(|s| s.headroom_bytes.is_some())).count();
        if known == 3 { Ok(()) } else { Err(format!("{known} are measured")) }
    };
    eventually(LONG, "three measured nodes", measured).await.unwrap();

    let web: Deployment = crate::common::object(json!({
        "metadata": {"name": "web"},
        "spec": {"replicas": REPLICAS, "selector": {"matchLabels": {"app": "web"}}, "template": {
            "metadata": {"labels": {"app": "web"}, "annotations": {"hollow.headroom.dev/memory": "60Mi"}},
            "spec": {"terminationGracePeriodSeconds": 0, "containers": [{
                "name": "main", "image": "registry.example/app:1",
                "resources": {"requests": {"memory": "200Mi"}, "limits": {"memory": "200Mi"}},
            }]},
        }},
    }));
    let deployments: Api<Deployment> = Api::default_namespaced(cluster.admin_client());
    deployments.create(&PostParams::default(), &web).await.unwrap();
    let pods = crate::common::pods(&cluster, "default");
    crate::common::wait_placed(&pods, REPLICAS).await;
    let before = by_node(&pods).await.unwrap();
    let (dead, full) = before.iter().max_by_key(|(_, count)| **count).unwrap();
    assert_eq!(*full, 4, "{before:?}");

    hollow.kill(dead).unwrap();
    let events: Api<Event> = Api::all(cluster.admin_client());
    let told = async || {
        let all = events.list(&ListParams::default()).await.map_err(|e| e.to_string())?.items;
        let held = |e: &&Event| e.reason.as_deref() == Some("EvictionsHeldBack");
        let texts: Vec<String> = all.iter().filter(held).filter_map(|e| e.message.clone()).collect();
        let of = all.iter().filter(held).filter_map(|e| e.involved_object.name.clone()).next();
        if texts.is_empty() { Err("no such event".to_owned()) } else { Ok((of, texts)) }
    };
    let (of, texts) = eventually(MOVED, "the event that names those that wait", told).await.unwrap();
    assert_eq!(of.as_ref(), Some(dead));
    assert!(texts[0].starts_with("2 of 4 pods placed, 2 wait: need 400Mi (default/web-"), "{texts:?}");
    assert!(controllers.log().contains("the kubelet cannot be dialled"), "{}", controllers.log_tail());

    // Two have moved and the neighbours are full; nothing else happens, and nobody waits for a node.
    let moved = async || {
        let now = by_node(&pods).await?;
        let mut counts: Vec<usize> = now.values().copied().collect();
        counts.sort_unstable();
        if counts == [2, 4, 4] && now[dead] == 2 { Ok(()) } else { Err(format!("{now:?}")) }
    };
    eventually(LONG, "two pods on their new nodes", moved).await.unwrap();
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        moved().await.unwrap();
    }

    // The node comes back: what waited is still there, and stays.
    hollow.revive(dead).unwrap();
    let nodes: Api<Node> = Api::all(cluster.admin_client());
    let untainted = async || {
        let node = nodes.get(dead).await.map_err(|e| e.to_string())?;
        let taints = node.spec.and_then(|spec| spec.taints).unwrap_or_default();
        if taints.is_empty() { Ok(()) } else { Err(format!("{taints:?}")) }
    };
    eventually(LONG, "the node to lose its taints", untainted).await.unwrap();
    let called_off = async || {
        let all = events.list(&ListParams::default()).await.map_err(|e| e.to_string())?.items;
        let cancelled = |e: &&Event| e.message.as_deref().is_some_and(|m| m.starts_with("Cancelling deletion of Pod"));
        match all.iter().filter(cancelled).count() {
            2 => Ok(()),
            n => Err(format!("{n} are called off")),
        }
    };
    eventually(LONG, "two evictions to be called off", called_off).await.unwrap();
    moved().await.unwrap();
    crate::common::assert_nothing_forbidden(&cluster, &Identity::HeadroomControllers.user());
    controllers.expect_running("the test").unwrap();
    scheduler.expect_running("the test").unwrap();
    hollow.stop().await;
}
