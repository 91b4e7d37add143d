//! A namespace in which labels change and pods come and go while managers take turns.

use std::time::Duration;

use crate::common::{LONG, object};
use headroom_e2e::{ControlPlane, eventually};
use k8s_openapi::api::core::v1::{EndpointAddress, Endpoints, Pod, ReplicationController, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::json;

pub(super) const NAMESPACE: &str = "turmoil";
/// ReplicationControllers, each with a Service.
pub(super) const COUNT: usize = 6;
const REPLICAS: usize = 4;
/// Pods of each that go in one turn.
const GOING: usize = 3;
/// Between two changes: how fast they come, nothing waits for it.
const PACE: Duration = Duration::from_millis(250);

#[derive(Debug, Clone)]
enum Change {
    /// The pod is not its controller's any more.
    Release(String),
    Delete(String),
    /// So many replicas for a controller.
    Grow(usize, i32),
}

fn name(index: usize) -> String {
    format!("turmoil-{index}")
}

pub(super) async fn create(cluster: &ControlPlane) {
    cluster.create_namespace(NAMESPACE).await.unwrap();
    let controllers: Api<ReplicationController> = Api::namespaced(cluster.admin_client(), NAMESPACE);
    let services: Api<Service> = Api::namespaced(cluster.admin_client(), NAMESPACE);
    for index in 0..COUNT {
        let labels = json!({"app": name(index)});
        let container = json!({"name": "main", "image": "app:1",
            "resources": {"requests": {"cpu": "5m", "memory": "8Mi"}}});
        let template = json!({"metadata": {"labels": labels}, "spec": {"containers": [container]}});
        let rc = json!({"metadata": {"name": name(index)},
            "spec": {"replicas": REPLICAS, "selector": labels, "template": template}});
        controllers.create(&PostParams::default(), &object(rc)).await.unwrap();
        let service = json!({"metadata": {"name": name(index)}, "spec": {"selector": labels, "ports": [{"port": 80}]}});
        services.create(&PostParams::default(), &object(service)).await.unwrap();
    }
}

/// Waits until all controllers have what they ask for, and all Services have that.
pub(super) async fn settled(cluster: &ControlPlane) {
    let client = cluster.admin_client();
    let controllers: Api<ReplicationController> = Api::namespaced(client.clone(), NAMESPACE);
    let endpoints: Api<Endpoints> = Api::namespaced(client.clone(), NAMESPACE);
    let slices: Api<EndpointSlice> = Api::namespaced(client.clone(), NAMESPACE);
    let pods: Api<Pod> = Api::namespaced(client, NAMESPACE);
    let (all, failed) = (ListParams::default(), |error: kube::Error| error.to_string());
    eventually(LONG, "the turmoil to be over", || async {
        let rcs = controllers.list(&all).await.map_err(failed)?.items;
        let is_done = |rc: &&ReplicationController| {
            let wanted = rc.spec.as_ref().and_then(|spec| spec.replicas);
            rc.status.as_ref().is_some_and(|status| {
                status.observed_generation == rc.metadata.generation
                    && Some(status.replicas) == wanted
                    && status.available_replicas == wanted
            })
        };
        let (done, wanted) =
            (rcs.iter().filter(is_done).count(), rcs.iter().filter_map(|rc| rc.spec.as_ref()?.replicas));
        let wanted = usize::try_from(wanted.sum::<i32>()).unwrap_or(0);
        let ours = |pod: &&Pod| pod.labels().contains_key("app");
        let live = pods.list(&all).await.map_err(failed)?.items.iter().filter(ours).count();
        let addresses = endpoints.list(&all).await.map_err(failed)?.items.into_iter();
        let subsets = addresses.flat_map(|endpoints| endpoints.subsets.unwrap_or_default());
        let (ready, others): (Vec<usize>, Vec<usize>) = subsets
            .map(|subset| {
                let count = |all: Option<Vec<EndpointAddress>>| all.as_ref().map_or(0, Vec::len);
                (count(subset.addresses), count(subset.not_ready_addresses))
            })
            .unzip();
        let slices = slices.list(&all).await.map_err(failed)?.items.into_iter();
        let in_slices: Vec<Option<bool>> = slices
            .flat_map(|slice| slice.endpoints.unwrap_or_default())
            .map(|endpoint| endpoint.conditions.and_then(|conditions| conditions.ready))
            .collect();
        let serving = in_slices.iter().filter(|ready| **ready == Some(true)).count();
        let seen = (done, live, ready.iter().sum::<usize>(), others.iter().sum::<usize>(), serving, in_slices.len());
        if seen == (COUNT, wanted, wanted, 0, wanted, wanted) { Ok(()) } else { Err(format!("{wanted}: {seen:?}")) }
    })
    .await
    .unwrap();
}

/// Changes of which none takes back what another one has made: each pod that goes is one that is there now, and replicas
/// only become more. What undoes a write is therefore a manager.
async fn changes(cluster: &ControlPlane) -> Vec<Change> {
    let pods: Api<Pod> = Api::namespaced(cluster.admin_client(), NAMESPACE);
    let controllers: Api<ReplicationController> = Api::namespaced(cluster.admin_client(), NAMESPACE);
    let mut changes = Vec::new();
    for index in 0..COUNT {
        let of = ListParams::default().labels(&format!("app={}", name(index)));
        let there: Vec<String> = pods.list(&of).await.unwrap().items.iter().map(ResourceExt::name_any).collect();
        let replicas = controllers.get(&name(index)).await.unwrap().spec.unwrap().replicas.unwrap();
        for (round, pod) in (1..).zip(there.into_iter().take(GOING)) {
            let goes = if round % 2 == 0 { Change::Delete(pod) } else { Change::Release(pod) };
            changes.push((round, [goes, Change::Grow(index, replicas + round)]));
        }
    }
    // One after the other, not controller by controller.
    changes.sort_by_key(|(round, _)| *round);
    changes.into_iter().flat_map(|(_, changes)| changes).collect()
}

async fn make(cluster: &ControlPlane, changes: &[Change]) {
    let pods: Api<Pod> = Api::namespaced(cluster.admin_client(), NAMESPACE);
    let controllers: Api<ReplicationController> = Api::namespaced(cluster.admin_client(), NAMESPACE);
    let params = PatchParams::default();
    for change in changes {
        match change {
            Change::Release(pod) => {
                let patch = Patch::Merge(json!({"metadata": {"labels": {"app": null}}}));
                drop(pods.patch(pod, &params, &patch).await.unwrap());
            }
            Change::Delete(pod) => drop(pods.delete(pod, &DeleteParams::default()).await.unwrap()),
            Change::Grow(index, replicas) => {
                let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
                drop(controllers.patch(&name(*index), &params, &patch).await.unwrap());
            }
        }
        tokio::time::sleep(PACE).await;
    }
}

/// Makes changes before, during and after a turn.
pub(super) async fn during<T>(cluster: &ControlPlane, turn: impl Future<Output = T>) -> T {
    let changes = changes(cluster).await;
    let (before, rest) = changes.split_at(changes.len() / 6);
    let (meanwhile, after) = rest.split_at(changes.len() * 2 / 3);
    make(cluster, before).await;
    let ((), done) = tokio::join!(make(cluster, meanwhile), turn);
    make(cluster, after).await;
    done
}
