//! SIGTERM in the middle of a burst: what was sent is answered, the lease is released, and nothing is written after that.

use crate::common::{
    LONG, PATIENT, STOCK_LEASE, asking, bindings, control_plane, control_plane_with_crds, create_many, holder, node,
    object, pods, wait_for_log, wait_placed, writes_of,
};
use headroom_e2e::control_plane::audit::AuditEvent;
use headroom_e2e::{ControlPlane, Identity, Process, RbacSet, eventually};
use k8s_openapi::api::core::v1::ReplicationController;
use k8s_openapi::jiff::Timestamp;
use kube::{
    Api,
    api::{ListParams, PostParams},
};
use serde_json::json;

/// Pods of a burst.
const BURST: usize = 400;
/// The lease of the controllers.
const CONTROLLERS_LEASE: &str = "headroom-controllers";

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn is_of(event: &AuditEvent, resource: &str) -> bool {
    event.object_ref.as_ref().is_some_and(|of| of.resource == resource)
}

/// Tells a process to stop, which it does in order: nothing of its user arrives after the release of its lease was
/// answered.
async fn stop(cluster: &ControlPlane, process: &Process, user: &str, lease: &str) {
    assert!(process.terminate(LONG).await.unwrap().success(), "{}", process.log_tail());
    assert!(process.log().contains("released the lease"), "{}", process.log_tail());
    assert!(!process.log().contains("broke off"), "{}", process.log_tail());
    assert_eq!(holder(cluster, lease).await, "");
    let writes = writes_of(cluster, user);
    let release = writes.iter().rfind(|event| event.code() == 200 && is_of(event, "leases"));
    let released = time(&release.unwrap().stage_timestamp);
    for event in &writes {
        let late = time(&event.request_received_timestamp) > released;
        assert!(!late, "after {released}: {} {}", event.verb, event.request_uri);
    }
}

#[tokio::test]
async fn a_scheduler_finishes_its_bindings_and_writes_nothing_after_its_lease() {
    let cluster = control_plane(RbacSet::Primary).await;
    node(&cluster, "n", json!({"status": {"allocatable": {"cpu": "64", "memory": "256Gi", "pods": "500"}}})).await;
    let pods = pods(&cluster, "default");
    let scheduler = cluster.start_headroom_scheduler(&PATIENT).unwrap();
    wait_for_log(&scheduler, "became leader").await;
    let burst = tokio::spawn(create_many(pods.clone(), "burst", BURST, asking(json!({"cpu": "100m"}))));
    wait_placed(&pods, BURST / 10).await;
    stop(&cluster, &scheduler, &Identity::HeadroomScheduler.user(), STOCK_LEASE).await;
    burst.await.unwrap();
    let bindings = bindings(&cluster, "default");
    assert!(bindings.values().all(|answers| answers.unanswered == 0), "{bindings:?}");
    let bound = bindings.values().filter(|answers| answers.done == 1).count();
    assert_eq!(wait_placed(&pods, bound).await.len(), bound, "nobody else binds");
}

#[tokio::test]
async fn controllers_finish_their_writes_and_write_nothing_after_their_lease() {
    let cluster = control_plane_with_crds().await;
    let flags: Vec<&str> = PATIENT.into_iter().chain(["--controllers=replicationcontroller-controller"]).collect();
    let process = cluster.start_headroom_controllers(&flags).unwrap();
    wait_for_log(&process, "became leader").await;
    let controllers: Api<ReplicationController> = Api::default_namespaced(cluster.admin_client());
    let burst = object(json!({
        "metadata": {"name": "burst"},
        "spec": {"replicas": BURST, "selector": {"app": "burst"}, "template": {
            "metadata": {"labels": {"app": "burst"}},
            "spec": {"containers": [{"name": "c", "image": "registry.example/app"}]},
        }},
    }));
    controllers.create(&PostParams::default(), &burst).await.unwrap();
    let pods = pods(&cluster, "default");
    eventually(LONG, "some pods of a burst", || async {
        let some = pods.list(&ListParams::default()).await.map_err(|error| error.to_string())?.items.len();
        if some >= BURST / 10 { Ok(()) } else { Err(format!("{some} pods")) }
    })
    .await
    .unwrap();
    stop(&cluster, &process, &Identity::HeadroomControllers.user(), CONTROLLERS_LEASE).await;
    let writes = writes_of(&cluster, &Identity::HeadroomControllers.user());
    let broken = writes.iter().filter(|event| event.code() == 504 && is_of(event, "pods")).count();
    assert_eq!(broken, 0, "what was sent is waited for");
}
