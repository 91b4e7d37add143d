//! Memory on a real API server. Learned memory: profiles appear for a Deployment, survive a restart, decide where pods
//! go, and are deleted with their workload. The herd: pods that come at once do not all go by the same free memory, and
//! those that wait go where there is more of it later.

use crate::common::{LONG, STOCK_LEASE, explained, start_controllers};
use headroom_api::MemoryProfile;
use headroom_e2e::{ControlPlane, Identity, Process, eventually};
use headroom_hollow::Curve;
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Event, Pod, ServiceAccount},
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

const MIB: i64 = 1 << 20;
/// What the pods of these tests use.
const FOOTPRINT: i64 = 300 * MIB;

fn deployment(name: &str, replicas: i32, resources: Value) -> Deployment {
    crate::common::object(json!({
        "metadata": {"name": name},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"app": name}}, "template": {
            "metadata": {"labels": {"app": name}, "annotations": {"hollow.headroom.dev/memory": "300Mi"}},
            "spec": {"terminationGracePeriodSeconds": 0,
                     "containers": [{"name": "main", "image": "registry.example/app:1", "resources": resources}]},
        }},
    }))
}

/// Samples and peak of the only container of a profile.
async fn learned(profiles: &Api<MemoryProfile>, name: &str) -> Result<(i64, i64), String> {
    let profile = profiles.get(name).await.map_err(|e| e.to_string())?;
    let status = profile.status.ok_or("no status")?;
    let entry = status.containers.first().ok_or("no container")?;
    Ok((entry.samples, entry.peak_bytes))
}

#[tokio::test]
async fn learned_peaks_decide_survive_a_restart_and_go_with_their_workload() {
    let cluster = crate::common::control_plane_with_crds().await;
    let stock = "deployment-controller,replicaset-controller,garbage-collector-controller,serviceaccount-controller";
    let _stock = cluster.start_stock_kcm(stock, &[]).unwrap();
    let accounts: Api<ServiceAccount> = Api::default_namespaced(cluster.admin_client());
    eventually(LONG, "the default ServiceAccount", || accounts.get("default")).await.unwrap();
    let hollow = crate::common::hollow(&cluster, "worker=2:1Gi:swap=2Gi").await;
    let trust = cluster.trust_kubelets(&hollow).unwrap();
    let _scheduler = crate::common::start_scheduler(&cluster, STOCK_LEASE, &["--mode=primary"]).await;
    let controllers = start_controllers(&cluster, &["--node-headroom-interval=1s", &trust]).await;

    // Request 32Mi, uses 300Mi: one each for the learner to look at.
    let deployments: Api<Deployment> = Api::default_namespaced(cluster.admin_client());
    let web = deployment("web", 2, json!({"requests": {"memory": "32Mi"}}));
    deployments.create(&PostParams::default(), &web).await.unwrap();
    let profiles: Api<MemoryProfile> = Api::default_namespaced(cluster.admin_client());
    let usable = async || match learned(&profiles, "deployment-web").await? {
        (samples, peak) if samples >= 3 && peak >= FOOTPRINT => Ok((samples, peak)),
        other => Err(format!("{other:?}")),
    };
    let (samples, peak) = eventually(LONG, "a usable profile of the Deployment", usable).await.unwrap();
    let owner = profiles.get("deployment-web").await.unwrap().owner_references()[0].clone();
    let uid = deployments.get("web").await.unwrap().uid().unwrap();
    assert_eq!((owner.kind.as_str(), owner.name.as_str(), owner.uid), ("Deployment", "web", uid));

    // A restart: what was learned is there, and goes on.
    let status = controllers.terminate(LONG).await.unwrap();
    assert_eq!(status.code(), Some(0), "{}", controllers.log_tail());
    let controllers = start_controllers(&cluster, &["--node-headroom-interval=1s", &trust]).await;
    crate::common::wait_for_log(&controllers, "became leader").await;
    let after = learned(&profiles, "deployment-web").await.unwrap();
    assert!(after.0 >= samples && after.1 >= peak - MIB, "{after:?} after {:?}", (samples, peak));

    // The next replicas are placed by the peak, not by the request: two more fit, the others wait.
    let six = Patch::Merge(json!({"spec": {"replicas": 6}}));
    deployments.patch("web", &PatchParams::default(), &six).await.unwrap();
    let pods: Api<Pod> = Api::default_namespaced(cluster.admin_client());
    let waiting = async || {
        let all = pods.list(&ListParams::default()).await.map_err(|e| e.to_string())?.items;
        let reason = |pod: &Pod| {
            let conditions = pod.status.as_ref()?.conditions.as_ref()?;
            let unscheduled = conditions.iter().find(|c| c.type_ == "PodScheduled" && c.status == "False")?;
            unscheduled.message.clone()
        };
        let waits: Vec<_> = all.iter().filter_map(|pod| Some((pod.name_any(), reason(pod)?))).collect();
        if all.len() == 6 && !waits.is_empty() { Ok(waits) } else { Err(format!("{} pods, {waits:?}", all.len())) }
    };
    let waits = eventually(LONG, "replicas that do not fit", waiting).await.unwrap();
    assert!(waits.len() < 4, "some fit: {waits:?}");
    assert!(waits[0].1.contains("node(s) had too little memory"), "{waits:?}");
    let explanation = explained(&cluster, &waits[0].0, &[]).await;
    assert_eq!(explanation["demand"]["source"], "profile", "{explanation:#}");
    let demand = explanation["demand"]["memoryBytes"].as_i64().unwrap();
    assert!((340 * MIB..=360 * MIB).contains(&demand), "15 % on top of {FOOTPRINT}: {demand}");

    // A container that is killed teaches its limit, and people are told.
    let hog = deployment("hog", 1, json!({"requests": {"memory": "16Mi"}, "limits": {"memory": "64Mi"}}));
    deployments.create(&PostParams::default(), &hog).await.unwrap();
    let killed = async || match learned(&profiles, "deployment-hog").await? {
        (_, peak) if peak >= 64 * MIB => Ok(()),
        other => Err(format!("{other:?}")),
    };
    let events: Api<Event> = Api::default_namespaced(cluster.admin_client());
    let told = async || {
        let all = events.list(&ListParams::default()).await.map_err(|e| e.to_string())?.items;
        all.into_iter().find(|e| e.reason.as_deref() == Some("OOMKilled")).ok_or_else(|| "no such event".to_owned())
    };
    eventually(LONG, "the event OOMKilled", told).await.unwrap();
    eventually(LONG, "the limit in the profile", killed).await.unwrap();

    // With the workload its profile goes.
    deployments.delete("web", &DeleteParams::background()).await.unwrap();
    let gone = async || match profiles.get_opt("deployment-web").await.map_err(|e| e.to_string())? {
        None => Ok(()),
        Some(_) => Err("still there".to_owned()),
    };
    eventually(LONG, "the profile to go with its owner", gone).await.unwrap();
    crate::common::assert_nothing_forbidden(&cluster, &Identity::HeadroomControllers.user());
    crate::common::assert_nothing_forbidden(&cluster, &Identity::HeadroomScheduler.user());
    controllers.expect_running("the test").unwrap();
    hollow.stop().await;
}

/// How often pods were taken up again because of news about the memory of nodes.
async fn woken_by_memory(cluster: &ControlPlane, scheduler: &Process) -> f64 {
    let text = cluster.metrics_by_token(scheduler).await.unwrap();
    let moves = text.lines().filter(|line| {
        line.starts_with("scheduler_queue_incoming_pods_total{") && line.contains("event=\"NodeHeadroomUpdate\"")
    });
    moves.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

/// The herd of memory-and-swap.md 5.11: three nodes of 1 GiB with 500 MiB in use have H = 442 each, an unknown pod is
/// taken to need 128 MiB. The kubelets are read every 15 s, so that all is decided by samples without any of the pods, or
/// with pods that are still expected to grow.
#[tokio::test]
async fn a_herd_within_one_poll_period_takes_what_the_nodes_have_and_the_rest_waits_until_there_is_more() {
    let cluster = crate::common::control_plane_with_crds().await;
    let hollow = crate::common::hollow(&cluster, "worker=3:1Gi:system=500Mi:version=v1.36.4+k3s1").await;
    let trust = cluster.trust_kubelets(&hollow).unwrap();
    let controllers = start_controllers(&cluster, &[&trust]).await;
    let scheduler = crate::common::start_scheduler(&cluster, STOCK_LEASE, &["--mode=primary"]).await;
    let measured = crate::common::measured(&cluster, 3).await;
    assert_eq!(measured.values().copied().collect::<Vec<_>>(), [442; 3]);

    let pods = crate::common::pods(&cluster, "default");
    crate::common::create_many(pods.clone(), "herd", 11, json!({})).await;
    let (on, waits) = crate::common::decided(&pods, 11).await;
    assert_eq!(on.values().copied().collect::<Vec<_>>(), [3; 3], "{on:?}, {waits:?}");
    assert_eq!(waits.len(), 2);
    for message in waits.values() {
        assert!(message.contains("0/3 nodes are available: 3 node(s) had too little memory"), "{message}");
    }

    // No pod ends and no Node changes. What is outside pods on one of them lets 300 MiB go: the next sample shows it, and
    // that alone wakes those that wait.
    let before = woken_by_memory(&cluster, &scheduler).await;
    hollow.set_system_memory("worker-2", Curve::parse("200Mi").unwrap()).unwrap();
    let placed = crate::common::wait_placed(&pods, 11).await;
    for name in waits.keys() {
        assert_eq!(placed[name], "worker-2", "{placed:?}");
    }
    let woken = async || match woken_by_memory(&cluster, &scheduler).await - before {
        // Counted once a second.
        moves if moves >= 2.0 => Ok(()),
        moves => Err(format!("{moves} moves")),
    };
    eventually(LONG, "both to be counted as woken by the sample", woken).await.unwrap();
    controllers.expect_running("the herd").unwrap();
    scheduler.expect_running("the herd").unwrap();
    hollow.stop().await;
}
