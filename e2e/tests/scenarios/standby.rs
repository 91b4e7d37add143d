//! Two processes of the controllers: one leads, and the other holds nothing of the cluster until the first one is gone.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::common::{
    LONG, SHORT, SHORT_LEASE, assert_nothing_forbidden, caller, control_plane_with_crds, get, holder, leading, object,
    pods, wait_for_log, writes_of,
};
use headroom_e2e::{ControlPlane, Identity, Process, eventually};
use k8s_openapi::api::core::v1::{Pod, ReplicationController};
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use serde_json::json;

const LOOPS: &str = "--controllers=replicationcontroller-controller,endpoints-controller";
const LEASE: &str = "headroom-controllers";
/// The lease has to run out; the rest is for a machine that has other things to do.
const TAKEN_OVER: Duration = SHORT_LEASE.saturating_add(LONG);

fn start(cluster: &ControlPlane) -> Process {
    let flags: Vec<&str> = SHORT.into_iter().chain([LOOPS]).collect();
    cluster.start_headroom_controllers(&flags).unwrap()
}

/// What a process holds of the cluster, by kind; empty as long as it watches nothing.
async fn held(cluster: &ControlPlane, process: &Process) -> Result<BTreeMap<String, u64>, String> {
    let text = cluster.metrics_by_token(process).await.map_err(|error| error.to_string())?;
    let of = |line: &str| {
        let (kind, count) = line.strip_prefix("headroom_informer_objects{kind=\"")?.split_once("\"} ")?;
        Some((kind.to_owned(), count.parse::<u64>().ok()?))
    };
    Ok(text.lines().filter_map(of).collect())
}

/// Waits until a process watches all that its loops need, and so many pods are among it.
async fn watches(cluster: &ControlPlane, process: &Process, count: u64) {
    eventually(LONG, "everything to be watched", || async {
        let held = held(cluster, process).await?;
        let kinds: Vec<&str> = held.keys().map(String::as_str).collect();
        let all = kinds == ["Endpoints", "Pod", "ReplicationController", "Service"];
        if all && held["Pod"] == count { Ok(()) } else { Err(format!("{held:?}")) }
    })
    .await
    .unwrap();
}

/// Waits until a ReplicationController has so many pods.
async fn replicas(pods: &Api<Pod>, count: usize, within: Duration) {
    eventually(within, &format!("{count} pods"), || async {
        let all = pods.list(&ListParams::default()).await.map_err(|error| error.to_string())?.items.len();
        if all == count { Ok(()) } else { Err(format!("{all} pods")) }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_standby_holds_nothing_of_the_cluster_and_takes_over_when_the_leader_is_killed() {
    let cluster = control_plane_with_crds().await;
    let leader = start(&cluster);
    leading(&cluster, &leader).await;
    let first = holder(&cluster, LEASE).await;
    let controllers: Api<ReplicationController> = Api::default_namespaced(cluster.admin_client());
    let web: ReplicationController = object(json!({"metadata": {"name": "web"}, "spec": {
        "replicas": 3, "selector": {"app": "web"}, "template": {"metadata": {"labels": {"app": "web"}},
            "spec": {"containers": [{"name": "c", "image": "registry.example/app"}]}}}}));
    controllers.create(&PostParams::default(), &web).await.unwrap();
    let pods = pods(&cluster, "default");
    replicas(&pods, 3, LONG).await;

    let standby = start(&cluster);
    wait_for_log(&standby, "another process leads; waiting").await;
    // It is ready, healthy, and tells what it does: nothing. It watches nothing.
    cluster.wait_healthy(&standby, "/readyz", LONG).await.unwrap();
    let anyone = caller(&cluster, &standby, None).await;
    for path in ["/healthz", "/livez"] {
        assert_eq!(get(&anyone, path).await.unwrap(), "ok", "{path}");
    }
    watches(&cluster, &leader, 3).await;
    // Counted when it was last looked at, and still so a while later.
    for _ in 0..3 {
        assert_eq!(held(&cluster, &standby).await.unwrap(), BTreeMap::new());
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let told = cluster.metrics_by_token(&standby).await.unwrap();
    assert!(told.contains("leader_election_master_status{name=\"headroom-controllers\"} 0"), "{told}");
    assert!(!told.contains("running_managed_controllers{"), "{told}");

    // The leader is gone and has released nothing; what is asked for meanwhile is done by the other one, once.
    leader.kill9();
    let more = Patch::Merge(json!({"spec": {"replicas": 5}}));
    controllers.patch("web", &PatchParams::default(), &more).await.unwrap();
    replicas(&pods, 5, TAKEN_OVER).await;
    let second = holder(&cluster, LEASE).await;
    assert!(!second.is_empty() && second != first, "{second} after {first}");
    watches(&cluster, &standby, 5).await;
    cluster.wait_healthy(&standby, "/readyz", LONG).await.unwrap();
    let told = cluster.metrics_by_token(&standby).await.unwrap();
    assert!(told.contains("leader_election_master_status{name=\"headroom-controllers\"} 1"), "{told}");
    assert!(told.contains("running_managed_controllers{"), "{told}");

    let user = Identity::HeadroomControllers.user();
    let writes = writes_of(&cluster, &user);
    let of_pods = |event: &&headroom_e2e::control_plane::audit::AuditEvent| {
        event.object_ref.as_ref().is_some_and(|of| of.resource == "pods" && of.subresource.is_empty())
    };
    let verbs: Vec<&str> = writes.iter().filter(of_pods).map(|event| event.verb.as_str()).collect();
    assert_eq!(verbs, ["create"; 5], "no pod too many was ever made");
    assert_nothing_forbidden(&cluster, &user);
    assert!(standby.terminate(LONG).await.unwrap().success(), "{}", standby.log_tail());
}
