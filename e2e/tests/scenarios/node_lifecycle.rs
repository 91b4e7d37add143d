//! Node lifecycle on a real API server. Profile `fast`: a node of a small cluster dies, and what its neighbours can take moves;
//! the rest waits for the node, which comes back. Profile `patient`: slow is not dead. And whoever cannot hear says nothing of
//! the silence of others: a process that was paused, or an API server that does not answer.
//! And a stock manager at work on the same nodes is yielded to.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::common::{
    LONG, PATIENT, STOCK_LEASE, control_plane_alone, start_controllers, wait_for_log, with_crds, writes_of,
};
use headroom_api::NodeHeadroom;
use headroom_e2e::{ControlPlane, Identity, RbacSet, Signal, eventually};
use headroom_hollow::Hollow;
use k8s_openapi::api::{
    apps::v1::Deployment,
    coordination::v1::Lease,
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
const MOVED: Duration = Duration::from_secs(240);

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
    crate::common::leading(&cluster, &controllers).await;
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

/// Short for the sake of the test, and longer than a machine stands still on which nodes are to live; leases are renewed every
/// second.
const SHORT: [&str; 2] = ["--node-monitor-period=1s", "--node-monitor-grace-period=10s"];
/// Longer than that grace, and shorter than a simulated kubelet waits for an answer.
const SILENCE: Duration = Duration::from_secs(13);
/// Answers of a kubelet that is asked once a second: for longer than the grace.
const ANSWERS: u64 = 16;

/// Two nodes that renew their leases every second.
async fn lively(cluster: &ControlPlane) -> Hollow {
    let mut config = cluster.hollow_config("worker=2:1Gi:swap=2Gi:version=v1.36.4+k3s1").unwrap();
    config.remove_not_ready_taint = true;
    config.lease_interval = Duration::from_secs(1);
    cluster.start_hollow(config).await.unwrap()
}

/// How a node's condition Ready stands.
async fn ready(cluster: &ControlPlane, name: &str) -> Result<String, String> {
    let node = Api::<Node>::all(cluster.admin_client()).get(name).await.map_err(|e| e.to_string())?;
    let conditions = node.status.and_then(|status| status.conditions).unwrap_or_default();
    let ready = conditions.into_iter().find(|condition| condition.type_ == "Ready");
    ready.map(|condition| condition.status).ok_or_else(|| "no condition Ready".to_owned())
}

async fn becomes(cluster: &ControlPlane, name: &str, wanted: &str) {
    let look = async || match ready(cluster, name).await? {
        status if status == wanted => Ok(()),
        status => Err(status),
    };
    eventually(LONG, &format!("{name} to be Ready: {wanted}"), look).await.unwrap();
}

#[tokio::test]
async fn a_node_that_thrashes_and_whose_kubelet_answers_is_dead_with_stock_and_slow_with_patient() {
    const SLOW: &str = "worker-1";
    let cluster = with_crds(control_plane_alone(RbacSet::Primary).await).await;
    let hollow = lively(&cluster).await;
    let trust = cluster.trust_kubelets(&hollow).unwrap();
    let start = async |profile: &str| {
        let loops = "--controllers=node-lifecycle-controller,taint-eviction-controller,node-headroom-controller";
        let profile = format!("--node-lifecycle-profile={profile}");
        let interval = "--node-headroom-interval=1s";
        let flags = [loops, profile.as_str(), SHORT[0], SHORT[1], interval, trust.as_str()];
        let process = start_controllers(&cluster, &flags).await;
        wait_for_log(&process, "became leader").await;
        process
    };
    hollow.force_pressure(SLOW, Some((60.0, 45.0))).unwrap();
    let stock = start("stock").await;
    let headrooms: Api<NodeHeadroom> = Api::all(cluster.admin_client());
    let thrashes = async || {
        let state = headrooms.get(SLOW).await.map_err(|e| e.to_string())?.status.map(|status| status.state);
        let state = format!("{state:?}");
        if state == "Some(Thrash)" { Ok(()) } else { Err(state) }
    };
    eventually(LONG, "the node to thrash", thrashes).await.unwrap();
    hollow.mute(SLOW, true).unwrap();
    becomes(&cluster, SLOW, "Unknown").await;
    hollow.mute(SLOW, false).unwrap();
    becomes(&cluster, SLOW, "True").await;
    assert!(stock.terminate(LONG).await.unwrap().success());

    let patient = start("patient").await;
    hollow.mute(SLOW, true).unwrap();
    wait_for_log(&patient, "silent, but it thrashes and its kubelet answers: slow, not dead").await;
    let answers = || {
        let all = hollow.received();
        all.into_iter().find(|(node, _)| node == SLOW).map_or(0, |(_, received)| received.requests)
    };
    let before = answers();
    eventually(LONG, "its kubelet to answer for a while", || async {
        assert_eq!(ready(&cluster, SLOW).await?, "True", "{}", patient.log_tail());
        match answers() - before {
            enough if enough >= ANSWERS => Ok(()),
            few => Err(format!("{few} answers")),
        }
    })
    .await
    .unwrap();
    // Nobody answers any more: then it is dead.
    hollow.kill(SLOW).unwrap();
    becomes(&cluster, SLOW, "Unknown").await;
    assert_eq!(ready(&cluster, "worker-2").await.unwrap(), "True");
    crate::common::assert_nothing_forbidden(&cluster, &Identity::HeadroomControllers.user());
    patient.expect_running("the test").unwrap();
    hollow.stop().await;
}

/// Waits until a node's lease has been renewed for longer than the grace.
async fn renewed(cluster: &ControlPlane, node: &str) {
    let leases: Api<Lease> = Api::namespaced(cluster.admin_client(), "kube-node-lease");
    let last = async || {
        let lease = leases.get(node).await.map_err(|e| e.to_string())?;
        let renewed = lease.spec.and_then(|spec| spec.renew_time).ok_or("never renewed")?;
        Ok::<i64, String>(renewed.0.as_second())
    };
    let from = eventually(LONG, "a lease", last).await.unwrap();
    let enough = async || match last().await? - from {
        seconds if seconds >= SILENCE.as_secs() as i64 => Ok(()),
        seconds => Err(format!("{seconds} s")),
    };
    eventually(LONG, "renewals", enough).await.unwrap();
}

#[tokio::test]
async fn neither_a_pause_of_ours_nor_an_outage_of_the_api_server_is_held_against_the_nodes() {
    let cluster = with_crds(control_plane_alone(RbacSet::Primary).await).await;
    let hollow = lively(&cluster).await;
    // Under `stock` the clocks go on, as stock's do.
    let loops = "--controllers=node-lifecycle-controller,taint-eviction-controller";
    let flags = [loops, "--node-lifecycle-profile=patient", SHORT[0], SHORT[1]];
    let controllers = start_controllers(&cluster, &flags).await;
    wait_for_log(&controllers, "became leader").await;

    controllers.signal(Signal::STOP).unwrap();
    renewed(&cluster, "worker-1").await;
    controllers.signal(Signal::CONT).unwrap();
    wait_for_log(&controllers, "the clocks of all nodes start afresh: this process was paused").await;
    renewed(&cluster, "worker-1").await;

    cluster.freeze_api_server().unwrap();
    // The outage itself: nothing can be waited for.
    tokio::time::sleep(SILENCE).await;
    cluster.thaw_api_server().unwrap();
    wait_for_log(&controllers, "the clocks of all nodes start afresh: nodes are heard of again").await;
    renewed(&cluster, "worker-1").await;

    let said = writes_of(&cluster, &Identity::HeadroomControllers.user()).into_iter().filter_map(|event| {
        let about = event.object_ref.filter(|of| of.resource == "nodes" && of.subresource == "status")?;
        Some(format!("{} {}", event.verb, about.name))
    });
    assert_eq!(said.collect::<Vec<String>>(), [""; 0], "conditions of nodes that were never silent");
    controllers.expect_running("the test").unwrap();
    hollow.stop().await;
}

/// What a manager that was stopped may have begun is no reason to yield for half a minute, and so long nothing happens here.
/// Ours looks at its nodes once a minute, so that it is stock that taints the dead one `NoExecute`. Stock's clocks go on while
/// the machine stands still, so its grace is longer than that lasts: it is not to taint a node that lives. Ours has patience for
/// more than one look.
#[tokio::test]
async fn it_yields_to_a_stock_manager_that_taints_the_same_nodes() {
    let cluster = crate::common::control_plane_with_crds().await;
    let mut config = cluster.hollow_config("worker=3:1Gi").unwrap();
    config.remove_not_ready_taint = true;
    config.lease_interval = Duration::from_secs(1);
    let hollow = cluster.start_hollow(config).await.unwrap();
    let quick = ["--node-monitor-period=1s", "--node-monitor-grace-period=16s"];
    let stock = cluster.start_stock_kcm("node-lifecycle-controller", &quick).unwrap();
    cluster.wait_healthy(&stock, "/healthz", LONG).await.unwrap();
    let flags =
        ["--controllers=node-lifecycle-controller", "--node-monitor-period=60s", "--node-monitor-grace-period=600s"];
    let controllers = crate::common::start_controllers(&cluster, &flags).await;
    tokio::time::sleep(Duration::from_secs(35)).await;
    let yielded = async |expected: &str| {
        let metrics = cluster.metrics_by_token(&controllers).await.map_err(|error| error.to_string())?;
        let told = metrics.lines().find(|line| line.starts_with("headroom_node_lifecycle_yielded "));
        if told.is_some_and(|line| line.ends_with(expected)) { Ok(()) } else { Err(format!("{told:?}")) }
    };
    yielded(" 0").await.unwrap();

    hollow.kill("worker-1").unwrap();
    eventually(LONG, "ours to yield", || yielded(" 1")).await.unwrap();
    let events: Api<Event> = Api::all(cluster.admin_client());
    let told = async || {
        let all = events.list(&ListParams::default()).await.map_err(|e| e.to_string())?.items;
        let of = |e: &&Event| e.reason.as_deref() == Some("YieldedToAnotherManager");
        let told: Vec<_> = all.iter().filter(of).map(|e| (e.involved_object.name.clone(), e.message.clone())).collect();
        if told.is_empty() { Err("no such event".to_owned()) } else { Ok(told) }
    };
    let told = eventually(LONG, "the event that says so", told).await.unwrap();
    let (node, message) = &told[0];
    assert_eq!((told.len(), node.as_deref()), (1, Some("worker-1")), "{told:?}");
    let message = message.as_deref().unwrap_or_default();
    assert!(
        message.starts_with("Node worker-1 was written by another manager, kube-controller-manager, at "),
        "{message}"
    );
    crate::common::assert_nothing_forbidden(&cluster, &Identity::HeadroomControllers.user());
    controllers.expect_running("the test").unwrap();
    stock.expect_running("the test").unwrap();
    hollow.stop().await;
}
