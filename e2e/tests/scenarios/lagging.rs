//! The watch of pods lags for half a minute and more: the controllers are behind a proxy that holds it, and know nothing of the
//! pods of their ReplicationController but what they wrote themselves and what a list says.

use crate::common::{LONG, control_plane_with_crds, delete, object, pods, start_controllers};
use headroom_e2e::control_plane::audit::AuditEvent;
use headroom_e2e::proxy::Proxy;
use headroom_e2e::{ControlPlane, Identity, eventually};
use k8s_openapi::api::core::v1::{Pod, ReplicationController};
use kube::{
    Api, ResourceExt,
    api::{ListParams, Patch, PatchParams, PostParams},
};
use serde_json::json;

const NAME: &str = "held";
const ASKED: usize = 5;
const MORE: usize = 8;
const FEWER: usize = 2;

async fn live(pods: &Api<Pod>) -> Result<Vec<String>, String> {
    let all = pods.list(&ListParams::default()).await.map_err(|error| error.to_string())?.items;
    let live = all.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none());
    Ok(live.map(ResourceExt::name_any).collect())
}

/// Waits for so many live pods. One more, whenever it is seen, is one too many.
async fn grown_to(pods: &Api<Pod>, count: usize) -> Vec<String> {
    eventually(LONG, &format!("{count} pods"), || async {
        let live = live(pods).await?;
        assert!(live.len() <= count, "{} of {count}: {live:?}", live.len());
        if live.len() == count { Ok(live) } else { Err(format!("{live:?}")) }
    })
    .await
    .unwrap()
}

/// How often our controllers did this with pods of the namespace.
fn done(cluster: &ControlPlane, verb: &str) -> usize {
    let us = Identity::HeadroomControllers.user();
    let is = |event: &&AuditEvent| {
        let about = event.object_ref.as_ref();
        let pods = about.is_some_and(|of| of.resource == "pods" && of.namespace == "default");
        pods && event.user.username == us && event.verb == verb && matches!(event.code(), 200 | 201)
    };
    cluster.audit_events().unwrap().iter().filter(is).count()
}

#[tokio::test]
async fn with_a_watch_that_tells_nothing_there_is_never_a_pod_too_many_and_a_lost_one_is_found_by_a_list() {
    let cluster = control_plane_with_crds().await;
    let proxy = Proxy::start(&cluster, &Identity::HeadroomControllers).await.unwrap();
    let through = format!("--kubeconfig={}", proxy.kubeconfig().display());
    let flags = ["--controllers=replicationcontroller-controller", "--leader-elect=false", through.as_str()];
    let controllers = start_controllers(&cluster, &flags).await;
    let pods = pods(&cluster, "default");
    let rcs: Api<ReplicationController> = Api::default_namespaced(cluster.admin_client());

    proxy.hold("pods");
    let template = json!({"metadata": {"labels": {"app": NAME}},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": [{"name": "c", "image": "registry.example/app"}]}});
    let rc = object(json!({"metadata": {"name": NAME},
        "spec": {"replicas": ASKED, "selector": {"app": NAME}, "template": template}}));
    rcs.create(&PostParams::default(), &rc).await.unwrap();
    let first = grown_to(&pods, ASKED).await;
    assert_eq!((done(&cluster, "create"), done(&cluster, "list")), (ASKED, 1), "a list precedes the first creation");

    // Nobody tells that one is gone. What is not seen for half a minute is looked up, and that shows it.
    delete(&pods, &first[0]).await;
    let second = grown_to(&pods, ASKED).await;
    let stayed = first[1..].iter().all(|name| second.contains(name));
    assert!(stayed && !second.contains(&first[0]), "{first:?}, {second:?}");
    assert_eq!(done(&cluster, "create"), ASKED + 1);
    assert!(done(&cluster, "list") > 1, "only a list can have told it");
    // It counts what it has made, and shows what it sees.
    assert_eq!(rcs.get(NAME).await.unwrap().status.map(|status| status.replicas), Some(0));
    let scale = async |replicas: usize| {
        let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
        rcs.patch(NAME, &PatchParams::default(), &patch).await.unwrap();
    };
    scale(MORE).await;
    grown_to(&pods, MORE).await;

    proxy.release("pods");
    let settled = async |replicas: usize| {
        let seen = async || {
            let status = rcs.get(NAME).await.map_err(|error| error.to_string())?.status.unwrap_or_default();
            let seen = (live(&pods).await?.len(), usize::try_from(status.replicas).ok());
            if seen == (replicas, Some(replicas)) { Ok(()) } else { Err(format!("{seen:?}")) }
        };
        eventually(LONG, &format!("{replicas} pods that are seen"), seen).await.unwrap();
    };
    settled(MORE).await;
    scale(FEWER).await;
    settled(FEWER).await;
    assert_eq!((done(&cluster, "create"), done(&cluster, "delete")), (MORE + 1, MORE - FEWER));
    controllers.expect_running("the scenario").unwrap();
}
