//! Stock, then ours, then stock again on a running cluster: what is settled stays as it is, to the byte.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use crate::common::{
    LONG, STOCK_LEASE, asking, assert_nothing_forbidden, bindings, both, caller, control_plane, create, create_many,
    get, holder, host_port, patient_stock, pod, pods, reader_token, start_scheduler, wait_placed, waiting, writes_of,
};
use headroom_e2e::control_plane::audit::AuditEvent;
use headroom_e2e::{ControlPlane, Identity, Process, RbacSet, eventually};
use headroom_hollow::{Hollow, HollowConfig};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::ListParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};

/// Pods that are placed by each of the three.
const BATCH: usize = 24;

async fn hollow(cluster: &ControlPlane) -> Hollow {
    let mut config = HollowConfig::from_spec("worker=4:2Gi").unwrap();
    config.address_base = Ipv4Addr::new(127, cluster.loopback_octet(), 0, 0);
    config.remove_not_ready_taint = true;
    config.start_delay = Duration::from_millis(100);
    let file = Kubeconfig::read_from(cluster.kubeconfig(&Identity::Admin).unwrap()).unwrap();
    let kube = kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.unwrap();
    Hollow::connect(config, &kube).await.unwrap()
}

/// Pods that fit nowhere, each for another reason; which nodes have room does not matter to them.
fn hopeless() -> Vec<(&'static str, Value)> {
    let zone = json!({"topologyKey": "zone", "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule",
                      "labelSelector": {"matchLabels": {"app": "none"}}});
    let friend = json!({"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "none"}}});
    vec![
        ("huge", asking(json!({"cpu": "1000"}))),
        ("nowhere", json!({"nodeSelector": {"disk": "none"}})),
        ("port", both(host_port(8080), json!({"nodeSelector": {"kubernetes.io/hostname": "worker-1"}}))),
        ("spread", json!({"topologySpreadConstraints": [zone]})),
        ("lonely", json!({"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [friend]}}})),
        ("claim", json!({"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "absent"}}]})),
    ]
}

/// The versions of all pods, once so many run.
async fn versions(pods: &Api<Pod>, running: usize) -> BTreeMap<String, String> {
    eventually(LONG, &format!("{running} running pods"), || async {
        let list = pods.list(&ListParams::default()).await.map_err(|error| error.to_string())?;
        let runs = |pod: &&Pod| pod.status.as_ref().and_then(|s| s.phase.as_deref()) == Some("Running");
        let found = list.items.iter().filter(runs).count();
        if found != running {
            return Err(format!("{found} run"));
        }
        let version = |pod: Pod| (pod.metadata.name.unwrap(), pod.metadata.resource_version.unwrap());
        Ok(list.items.into_iter().map(version).collect())
    })
    .await
    .unwrap()
}

/// Waits until a scheduler that has just begun has looked at every pod: none is ready to be tried, and as many as wait
/// were found unschedulable.
async fn has_looked(cluster: &ControlPlane, scheduler: &Process, token: &str) {
    let metrics = caller(cluster, scheduler, Some(token)).await;
    let waiting = hopeless().len();
    eventually(LONG, "every waiting pod to be tried", || async {
        let text = get(&metrics, "/metrics").await.map_err(|error| error.to_string())?;
        let is = |queue: &str, n: usize| text.contains(&format!("scheduler_pending_pods{{queue=\"{queue}\"}} {n}\n"));
        if is("active", 0) && is("backoff", 0) && is("unschedulable", waiting) && is("gated", 1) {
            Ok(())
        } else {
            Err(text.lines().filter(|l| l.contains("pending_pods")).collect::<Vec<_>>().join("\n"))
        }
    })
    .await
    .unwrap();
}

async fn start_stock(cluster: &ControlPlane) -> Process {
    let stock = cluster.start_stock_scheduler(&patient_stock()).unwrap();
    cluster.wait_healthy(&stock, "/healthz", LONG).await.unwrap();
    stock
}

/// Waits until somebody else holds the lease than before.
async fn handed_over(cluster: &ControlPlane, before: &str) -> String {
    eventually(LONG, "the lease to be handed over", || async {
        let now = holder(cluster, STOCK_LEASE).await;
        if now.is_empty() || now == before { Err(now) } else { Ok(now) }
    })
    .await
    .unwrap()
}

/// What a write is about.
fn about(event: &AuditEvent) -> String {
    let of = event.object_ref.clone().unwrap_or_default();
    format!("{} {}/{} {}", event.verb, of.resource, of.subresource, of.name)
}

/// Fails when a scheduler wrote anything but leases, events, reviews of callers, and the bindings of these pods.
fn assert_nothing_else_written(writes: &[AuditEvent], prefix: &str) {
    let superfluous: Vec<String> = writes
        .iter()
        .filter(|event| {
            let of = event.object_ref.clone().unwrap_or_default();
            match of.resource.as_str() {
                "leases" | "events" | "tokenreviews" | "subjectaccessreviews" => false,
                "pods" => !(of.subresource == "binding" && of.name.starts_with(prefix)),
                _ => true,
            }
        })
        .map(about)
        .collect();
    assert!(superfluous.is_empty(), "{superfluous:#?}");
}

#[tokio::test]
async fn a_take_over_and_a_hand_back_rewrite_nothing() {
    let cluster = control_plane(RbacSet::Primary).await;
    let hollow = hollow(&cluster).await;
    let pods = pods(&cluster, "default");
    let token = reader_token(&cluster, "watcher", &["/metrics"]).await;
    let small = || both(asking(json!({"cpu": "10m", "memory": "16Mi"})), json!({"terminationGracePeriodSeconds": 1}));

    let stock = start_stock(&cluster).await;
    let first = handed_over(&cluster, "").await;
    create(&pods, &pod("holds-port", both(host_port(8080), json!({"nodeName": "worker-1"})))).await;
    create_many(pods.clone(), "first", BATCH, small()).await;
    wait_placed(&pods, BATCH + 1).await;
    for (name, spec) in hopeless() {
        create(&pods, &pod(name, spec)).await;
        waiting(&pods, name, "").await;
    }
    create(&pods, &pod("gated", json!({"schedulingGates": [{"name": "example.com/wait"}]}))).await;
    has_looked(&cluster, &stock, &token).await;
    let settled = versions(&pods, BATCH + 1).await;
    stock.terminate(LONG).await.unwrap();

    let ours = start_scheduler(&cluster, STOCK_LEASE, &["--mode=primary"]).await;
    let second = handed_over(&cluster, &first).await;
    has_looked(&cluster, &ours, &token).await;
    create_many(pods.clone(), "second", BATCH, small()).await;
    wait_placed(&pods, 2 * BATCH + 1).await;
    has_looked(&cluster, &ours, &token).await;
    let after_ours = versions(&pods, 2 * BATCH + 1).await;
    ours.expect_running("its turn").unwrap();
    assert!(ours.terminate(LONG).await.unwrap().success());
    let user = Identity::HeadroomScheduler.user();
    assert_nothing_else_written(&writes_of(&cluster, &user), "second-");
    assert_nothing_forbidden(&cluster, &user);
    for (pod, version) in &settled {
        assert_eq!(after_ours[pod], *version, "{pod} was rewritten by ours");
    }

    let before_stock = cluster.audit_events().unwrap().len();
    let stock = start_stock(&cluster).await;
    handed_over(&cluster, &second).await;
    has_looked(&cluster, &stock, &token).await;
    create_many(pods.clone(), "third", BATCH, small()).await;
    wait_placed(&pods, 3 * BATCH + 1).await;
    has_looked(&cluster, &stock, &token).await;
    let after_stock = versions(&pods, 3 * BATCH + 1).await;
    let mut written = cluster.audit_events().unwrap().split_off(before_stock);
    written.retain(|event| event.user.username == Identity::Scheduler.user() && event.is_write());
    assert_nothing_else_written(&written, "third-");
    for (pod, version) in &after_ours {
        assert_eq!(after_stock[pod], *version, "{pod} was rewritten by stock, after ours");
    }
    let bound = bindings(&cluster, "default");
    assert!(bound.values().all(|b| b.done == 1) && bound.len() == 3 * BATCH, "{bound:?}");
    hollow.stop().await;
}
