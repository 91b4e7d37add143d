//! Stock's controllers, then ours, then stock's again on a running cluster: what is settled is not rewritten, and where labels
//! change and pods come and go meanwhile, no write is for nothing or takes another one back.

mod log;
mod turmoil;

use std::collections::BTreeMap;

use self::log::Log;
use crate::common::{LONG, assert_nothing_forbidden, control_plane_with_crds, hollow, object};
use headroom_e2e::bench::metric_sum;
use headroom_e2e::control_plane::LOOPS;
use headroom_e2e::{ControlPlane, Identity, Process, SchedulerOptions, eventually};
use k8s_openapi::api::core::v1::{Endpoints, Pod, ReplicationController, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Resource, ResourceExt};
use serde_json::json;

const CONTROLLERS: usize = 50;
/// Two for each controller.
const SERVICES: usize = 2 * CONTROLLERS;
const REPLICAS: usize = 3;
/// Versions that a turn in turmoil makes at least: 18 of numbers of replicas, and a status, Endpoints and a slice for each of
/// six controllers.
const LEAST_WRITTEN: usize = 36;

/// Name and resource version of every object.
type Versions = BTreeMap<String, String>;

async fn list<K>(cluster: &ControlPlane) -> Result<Vec<K>, String>
where
    K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned,
{
    let api: Api<K> = Api::default_namespaced(cluster.admin_client());
    Ok(api.list(&ListParams::default()).await.map_err(|error| error.to_string())?.items)
}

fn controller(index: usize) -> ReplicationController {
    let labels = json!({"app": format!("app-{index}")});
    object(json!({"metadata": {"name": format!("rc-{index}")}, "spec": {
        "replicas": REPLICAS, "selector": labels,
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": "app:1",
            "ports": [{"name": "http", "containerPort": 8080}],
            "resources": {"requests": {"cpu": "5m", "memory": "8Mi"}}}]}},
    }}))
}

fn service(index: usize) -> Service {
    let mut spec = json!({"selector": {"app": format!("app-{}", index / 2)},
        "ports": [{"name": "http", "port": 80, "targetPort": if index.is_multiple_of(2) { json!("http") } else { json!(8080) }}]});
    if index.is_multiple_of(7) {
        spec["clusterIP"] = "None".into();
    }
    object(json!({"metadata": {"name": format!("svc-{index}"), "labels": {"team": "blue"}}, "spec": spec}))
}

/// Everything of these kinds, once all controllers have so many ready pods and all Services have them.
async fn complete(cluster: &ControlPlane, replicas: impl Fn(usize) -> usize) -> Versions {
    eventually(LONG, "all endpoints of all pods", || async {
        let pods: Vec<Pod> = list(cluster).await?;
        let controllers: Vec<ReplicationController> = list(cluster).await?;
        let endpoints: Vec<Endpoints> = list(cluster).await?;
        let mut slices: Vec<EndpointSlice> = list(cluster).await?;
        // The API server's own service has one as well.
        slices.retain(|slice| slice.name_any().starts_with("svc-"));
        let wanted: usize = (0..CONTROLLERS).map(&replicas).sum();
        let ready = controllers.iter().filter_map(|rc| rc.status.as_ref()?.available_replicas).sum::<i32>();
        let addresses = endpoints.iter().filter(|e| e.name_any().starts_with("svc-"));
        let addresses: usize = addresses
            .flat_map(|e| e.subsets.iter().flatten())
            .map(|subset| subset.addresses.as_ref().map_or(0, Vec::len))
            .sum();
        let is_ready =
            |e: &&k8s_openapi::api::discovery::v1::Endpoint| e.conditions.as_ref().and_then(|c| c.ready) == Some(true);
        let in_slices: usize =
            slices.iter().map(|slice| slice.endpoints.iter().flatten().filter(is_ready).count()).sum();
        if (ready as usize, pods.len(), addresses, in_slices) != (wanted, wanted, 2 * wanted, 2 * wanted) {
            return Err(format!("{ready} of {wanted} available, {addresses} addresses, {in_slices} in slices"));
        }
        let mut versions = Versions::new();
        let mut note = |kind: &str, meta: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta| {
            let name = meta.name.clone().unwrap_or_default();
            versions.insert(format!("{kind} {name}"), meta.resource_version.clone().unwrap_or_default());
        };
        pods.iter().for_each(|o| note("pod", &o.metadata));
        controllers.iter().for_each(|o| note("controller", &o.metadata));
        endpoints.iter().for_each(|o| note("endpoints", &o.metadata));
        slices.iter().for_each(|o| note("slice", &o.metadata));
        Ok(versions)
    })
    .await
    .unwrap()
}

/// Waits until controllers that have just begun have looked at everything, and have nothing left to look at.
async fn has_looked(cluster: &ControlPlane, process: &Process) {
    let (controllers, services) = (CONTROLLERS + turmoil::COUNT, SERVICES + turmoil::COUNT);
    eventually(LONG, "every object to be looked at", || async {
        let text = cluster.metrics_by_token(process).await.map_err(|error| error.to_string())?;
        for (queue, objects) in
            [("replicationmanager", controllers), ("endpoint", services), ("endpoint_slice", services)]
        {
            let adds = metric_sum(&text, "workqueue_adds_total", &[("name", queue)]);
            let depth = metric_sum(&text, "workqueue_depth", &[("name", queue)]);
            let working = metric_sum(&text, "workqueue_unfinished_work_seconds", &[("name", queue)]);
            if adds < objects as f64 || depth > 0.0 || working > 0.0 {
                return Err(format!("{queue}: {adds} of {objects} added, {depth} wait, {working} s unfinished"));
            }
        }
        Ok(())
    })
    .await
    .unwrap();
}

async fn scale(cluster: &ControlPlane, index: usize, replicas: usize) {
    let api: Api<ReplicationController> = Api::default_namespaced(cluster.admin_client());
    let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
    api.patch(&format!("rc-{index}"), &PatchParams::default(), &patch).await.unwrap();
}

/// Fails when an object was rewritten that is not of these controllers.
fn assert_left_alone(before: &Versions, after: &Versions, scaled: &[usize], who: &str) {
    let touched = |name: &str| {
        scaled.iter().any(|index| {
            let (first, second) = (2 * index, 2 * index + 1);
            let of = |stem: String| name == stem || name.starts_with(&format!("{stem}-"));
            of(format!("controller rc-{index}"))
                || [first, second].iter().any(|s| of(format!("endpoints svc-{s}")) || of(format!("slice svc-{s}")))
        })
    };
    let rewritten: Vec<&String> = before
        .iter()
        .filter(|(name, version)| !touched(name) && after.get(*name) != Some(version))
        .map(|(name, _)| name)
        .collect();
    assert!(rewritten.is_empty(), "{who} rewrote {rewritten:?}");
}

#[tokio::test]
async fn controllers_take_over_and_give_back_and_rewrite_nothing() {
    let cluster = control_plane_with_crds().await;
    let hollow = hollow(&cluster, "worker=8:4Gi").await;
    let scheduler = cluster.start_stock_scheduler(&SchedulerOptions::unlimited()).unwrap();
    let limits = ["--kube-api-qps=1000", "--kube-api-burst=1000"];
    let stock = cluster.start_stock_kcm("*", &limits).unwrap();
    cluster.wait_healthy(&stock, "/healthz", LONG).await.unwrap();
    let controllers: Api<ReplicationController> = Api::default_namespaced(cluster.admin_client());
    let services: Api<Service> = Api::default_namespaced(cluster.admin_client());
    for index in 0..CONTROLLERS {
        controllers.create(&PostParams::default(), &controller(index)).await.unwrap();
    }
    for index in 0..SERVICES {
        services.create(&PostParams::default(), &service(index)).await.unwrap();
    }
    turmoil::create(&cluster).await;
    complete(&cluster, |_| REPLICAS).await;
    turmoil::settled(&cluster).await;
    has_looked(&cluster, &stock).await;
    let settled = complete(&cluster, |_| REPLICAS).await;

    // The rest of stock's loops, and ours beside it.
    let without = LOOPS.iter().fold("*".to_owned(), |list, name| format!("{list},-{name}"));
    let log = Log::begin(&cluster, turmoil::NAMESPACE).await;
    let take_over = async {
        stock.terminate(LONG).await.unwrap();
        let rest = cluster.start_stock_kcm(&without, &limits).unwrap();
        let ours = cluster
            .start_headroom_controllers(&[&format!("--controllers={}", LOOPS.join(",")), "--leader-elect=false"])
            .unwrap();
        cluster.wait_healthy(&ours, "/readyz", LONG).await.unwrap();
        (rest, ours)
    };
    let (rest, ours) = turmoil::during(&cluster, take_over).await;
    turmoil::settled(&cluster).await;
    has_looked(&cluster, &ours).await;
    let written = log.judge(&cluster, "stock, then headroom-controllers").await;
    assert!(written >= LEAST_WRITTEN, "{written} writes are no turmoil");
    assert_left_alone(&settled, &complete(&cluster, |_| REPLICAS).await, &[], "headroom-controllers");
    scale(&cluster, 0, REPLICAS + 1).await;
    let with_one_more = |index| if index == 0 { REPLICAS + 1 } else { REPLICAS };
    complete(&cluster, with_one_more).await;
    has_looked(&cluster, &ours).await;
    let after_ours = complete(&cluster, with_one_more).await;
    assert_left_alone(&settled, &after_ours, &[0], "headroom-controllers");
    assert_nothing_forbidden(&cluster, &Identity::HeadroomControllers.user());
    turmoil::settled(&cluster).await;
    let log = Log::begin(&cluster, turmoil::NAMESPACE).await;
    let give_back = async {
        assert!(ours.terminate(LONG).await.unwrap().success());
        rest.terminate(LONG).await.unwrap();
        let stock = cluster.start_stock_kcm("*", &limits).unwrap();
        cluster.wait_healthy(&stock, "/healthz", LONG).await.unwrap();
        stock
    };
    let stock = turmoil::during(&cluster, give_back).await;
    turmoil::settled(&cluster).await;
    has_looked(&cluster, &stock).await;
    let written = log.judge(&cluster, "headroom-controllers, then stock").await;
    assert!(written >= LEAST_WRITTEN, "{written} writes are no turmoil");
    assert_left_alone(&after_ours, &complete(&cluster, with_one_more).await, &[], "stock, after ours,");
    scale(&cluster, 1, REPLICAS - 1).await;
    let with_one_less = |index| if index == 1 { REPLICAS - 1 } else { with_one_more(index) };
    complete(&cluster, with_one_less).await;
    has_looked(&cluster, &stock).await;
    let mut at_the_end = complete(&cluster, with_one_less).await;
    // The pod that had to go is the only one that may be missing: `complete` has counted them.
    for (name, version) in after_ours.iter().filter(|(name, _)| name.starts_with("pod rc-1-")) {
        at_the_end.entry(name.clone()).or_insert_with(|| version.clone());
    }
    assert_left_alone(&after_ours, &at_the_end, &[1], "stock, after ours,");
    for process in [stock, scheduler] {
        process.expect_running("its turn").unwrap();
        process.terminate(LONG).await.unwrap();
    }
    hollow.stop().await;
}
