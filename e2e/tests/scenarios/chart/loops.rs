//! Every loop on, in primary, with the rights of the rendered chart: all of them do their work, nothing is refused, and no
//! right is left over. Then the way back, as it is printed.

use std::time::Duration;

use super::lifecycle::{scheduler_is, start_stock};
use super::{CONTROLLERS, CONTROLLERS_USER, Release, SCHEDULER, admits_pods, kubelet_ca, rights};
use crate::common::{LONG, STOCK_LEASE, get, holder, measured, node, object, pod, pods, reader_token};
use headroom_e2e::control_plane::LOOPS;
use headroom_e2e::helm::helm_binary;
use headroom_e2e::{ControlPlane, Process, eventually};
use k8s_openapi::api::core::v1::{Endpoints, Node, Pod, ReplicationController, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::json;

/// A node is declared dead after 24 s and its pods leave a minute later; a pod on a node that does not exist is collected
/// within as long.
const DEAD: Duration = Duration::from_secs(240);

/// What must have been used: of each loop what it writes, and what it reads before it takes something for granted.
const WORK: &[&str] = &[
    "create pods",
    "delete pods",
    "patch pods",
    "patch pods/status",
    "get replicationcontrollers",
    "patch replicationcontrollers/status",
    "create endpoints",
    "patch endpoints",
    "create endpointslices.discovery.k8s.io",
    "patch endpointslices.discovery.k8s.io",
    "delete endpointslices.discovery.k8s.io",
    "patch nodes",
    "patch nodes/status",
    "get leases.coordination.k8s.io",
    "create nodeheadrooms.headroom.dev",
    "delete nodeheadrooms.headroom.dev",
    "update nodeheadrooms.headroom.dev/status",
    "create events",
    "create tokenreviews.authentication.k8s.io",
    "create subjectaccessreviews.authorization.k8s.io",
    "create serviceaccounts/token",
];

/// Waits until an object is as wanted.
pub(super) async fn api_has<K>(api: &Api<K>, what: &str, wanted: impl Fn(&K) -> bool)
where
    K: Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    let seen = eventually(LONG, what, || async {
        let all = api.list(&ListParams::default()).await.map_err(|error| error.to_string())?.items;
        if all.iter().any(&wanted) { Ok(()) } else { Err(format!("{} others", all.len())) }
    });
    seen.await.unwrap();
}

/// ReplicationControllers, Services and Endpoints that come, change and go.
async fn objects_come_and_go(cluster: &ControlPlane) {
    let client = cluster.admin_client();
    let (params, merge) = (PostParams::default(), PatchParams::default());
    let controllers: Api<ReplicationController> = Api::default_namespaced(client.clone());
    let services: Api<Service> = Api::default_namespaced(client.clone());
    let endpoints: Api<Endpoints> = Api::default_namespaced(client.clone());
    let slices: Api<EndpointSlice> = Api::default_namespaced(client);
    let pods = pods(cluster, "default");

    // One pod is there before its controller, and is adopted.
    let mut orphan: Pod = pod("orphan", json!({}));
    orphan.metadata.labels = Some([("app".to_owned(), "web".to_owned())].into());
    pods.create(&params, &orphan).await.unwrap();
    let rc: ReplicationController = object(json!({"metadata": {"name": "web"}, "spec": {
        "replicas": 4, "selector": {"app": "web"}, "template": {"metadata": {"labels": {"app": "web"}}, "spec": {
            "terminationGracePeriodSeconds": 0, "containers": [{"name": "c", "image": "registry.example/app"}]}}}}));
    controllers.create(&params, &rc).await.unwrap();
    let service: Service = object(json!({"metadata": {"name": "web"},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]}}));
    services.create(&params, &service).await.unwrap();
    let replicas = |count: i32| {
        move |rc: &ReplicationController| rc.status.as_ref().is_some_and(|s| s.ready_replicas.unwrap_or(0) == count)
    };
    api_has(&controllers, "four ready replicas", replicas(4)).await;
    let adopted = |pod: &Pod| pod.name_any() == "orphan" && !pod.owner_references().is_empty();
    api_has(&pods, "the orphan to be adopted", adopted).await;
    let addresses = |count: usize| {
        move |endpoints: &Endpoints| {
            let all = endpoints.subsets.iter().flatten().flat_map(|subset| subset.addresses.iter().flatten());
            endpoints.name_any() == "web" && all.count() == count
        }
    };
    api_has(&endpoints, "four addresses", addresses(4)).await;

    // Fewer of them.
    controllers.patch("web", &merge, &Patch::Merge(json!({"spec": {"replicas": 2}}))).await.unwrap();
    api_has(&controllers, "two ready replicas", replicas(2)).await;
    api_has(&endpoints, "two addresses", addresses(2)).await;

    // Endpoints that people write.
    let service: Service = object(json!({"metadata": {"name": "manual"}, "spec": {"ports": [{"port": 80}]}}));
    services.create(&params, &service).await.unwrap();
    let written = |ip: &str| json!({"metadata": {"name": "manual"}, "subsets": [{"addresses": [{"ip": ip}], "ports": [{"port": 80}]}]});
    endpoints.create(&params, &object(written("192.0.2.7"))).await.unwrap();
    let mirrored = |ip: &'static str| {
        move |slice: &EndpointSlice| {
            slice.labels().get("kubernetes.io/service-name").is_some_and(|name| name == "manual")
                && slice.endpoints.iter().flatten().any(|endpoint| endpoint.addresses.iter().any(|a| a == ip))
        }
    };
    api_has(&slices, "a mirrored slice", mirrored("192.0.2.7")).await;
    endpoints.patch("manual", &merge, &Patch::Merge(written("192.0.2.8"))).await.unwrap();
    api_has(&slices, "a changed slice", mirrored("192.0.2.8")).await;
    // Not any more: nobody but the loop takes the slice away.
    let label = json!({"metadata": {"labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}}});
    endpoints.patch("manual", &merge, &Patch::Merge(label)).await.unwrap();
    let gone = eventually(LONG, "the mirrored slice to go", || async {
        let all = slices.list(&ListParams::default()).await.map_err(|error| error.to_string())?.items;
        if all.iter().any(mirrored("192.0.2.8")) { Err("it is there".to_owned()) } else { Ok(()) }
    });
    gone.await.unwrap();

    // Endpoints without their Service.
    services.delete("web", &DeleteParams::default()).await.unwrap();
    let gone = eventually(LONG, "the Endpoints to go", || async {
        match endpoints.get_opt("web").await {
            Ok(None) => Ok(()),
            Ok(Some(_)) => Err("they are there".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    });
    gone.await.unwrap();
}

/// A node that dies and comes back, with a pod that leaves it, and a pod on a node that does not exist.
async fn machines_die(cluster: &ControlPlane, hollow: &headroom_hollow::Hollow) {
    let nodes: Api<Node> = Api::all(cluster.admin_client());
    let pods = pods(cluster, "default");
    // Not the node that ours are pinned to.
    pods.create(&PostParams::default(), &pod("leaves", json!({"nodeName": "worker-3"}))).await.unwrap();
    pods.create(&PostParams::default(), &pod("lost", json!({"nodeName": "ghost"}))).await.unwrap();
    hollow.kill("worker-3").unwrap();
    let is_gone = async |name: &str| {
        let what = format!("pod {name} to go");
        let found = eventually(DEAD, &what, || async {
            match pods.get_opt(name).await {
                Ok(None) => Ok(()),
                // A dead kubelet confirms nothing: the deletion stands.
                Ok(Some(pod)) if pod.metadata.deletion_timestamp.is_some() => Ok(()),
                Ok(Some(_)) => Err("it is there".to_owned()),
                Err(error) => Err(error.to_string()),
            }
        });
        found.await.unwrap();
    };
    is_gone("leaves").await;
    is_gone("lost").await;
    hollow.revive("worker-3").unwrap();
    let back = eventually(LONG, "the node to lose its taints", || async {
        let node = nodes.get("worker-3").await.map_err(|error| error.to_string())?;
        let taints = node.spec.and_then(|spec| spec.taints).unwrap_or_default();
        if taints.is_empty() { Ok(()) } else { Err(format!("{taints:?}")) }
    });
    back.await.unwrap();
}

/// The way back, as it is printed: the stock scheduler stands by, ours let everything go, the stock manager has its loops
/// again, and nothing of ours is left. `manager` is the stock one that has left them out.
async fn way_back(cluster: &ControlPlane, release: &Release<'_>, manager: Process) {
    let back = release.way_back().await;
    // Ours do the work of stock components, and Helm says so.
    let refused = release.printed(&back, "uninstall", &[]).await;
    assert!(!refused.success, "{}", refused.said());
    let again = release.printed(&back, "rollback", &["--wait"]).await;
    assert!(again.success, "{}", again.said());
    release.ready().await;

    let scheduler = start_stock(cluster).await;
    let handed = release.printed(&back, "upgrade", &["--wait"]).await;
    assert!(handed.success, "{}\n{:?}", handed.said(), release.pods.ended());
    release.ready().await;
    scheduler_is(cluster, release, false).await;
    manager.terminate(LONG).await.unwrap();
    let manager = cluster.start_stock_kcm("*", &[]).unwrap();

    let gone = release.printed(&back, "uninstall", &[]).await;
    assert!(gone.success, "{}\n{:?}", gone.said(), release.pods.ended());
    release.pods.settled(LONG).await.unwrap();
    let services: Api<Service> = Api::default_namespaced(cluster.admin_client());
    let endpoints: Api<Endpoints> = Api::default_namespaced(cluster.admin_client());
    let service: Service = object(json!({"metadata": {"name": "given-back"},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]}}));
    services.create(&PostParams::default(), &service).await.unwrap();
    let written = |endpoints: &Endpoints| endpoints.name_any() == "given-back";
    api_has(&endpoints, "Endpoints that the stock manager writes", written).await;
    for process in [&scheduler, &manager] {
        process.expect_running("the way back").unwrap();
    }
}

#[tokio::test]
async fn every_loop_works_with_the_rights_of_the_chart_and_needs_all_of_them() {
    let program = helm_binary().unwrap();
    let cluster = ControlPlane::builder().audit(true).start().await.unwrap();
    let less: String = LOOPS.iter().map(|name| format!(",-{name}")).collect();
    let manager = cluster.start_stock_kcm(&format!("*{less}"), &[]).unwrap();
    admits_pods(&cluster).await;
    // Nobody but ours takes the taint off new nodes.
    let hollow = cluster.start_hollow(cluster.hollow_config("worker=3:1Gi:swap=2Gi").unwrap()).await.unwrap();
    kubelet_ca(&cluster, &hollow).await;
    let token = reader_token(&cluster, "reader", &["/metrics"]).await;

    let release = Release::new(&program, &cluster);
    let from = rights::mark(&cluster);
    let mut loops: Vec<&str> = vec!["node-headroom-controller", "memory-profile-controller"];
    loops.extend(LOOPS);
    let loops = format!("--set=controllers.loops={{{}}}", loops.join(","));
    let flags = [
        "--set=mode=primary",
        "--set=scheduler.nodeName=worker-1",
        "--set=controllers.nodeName=worker-1",
        "--set=controllers.nodeLifecycleProfile=fast",
        "--set=controllers.kubelet.caConfigMap=kubelet-ca",
        "--set=controllers.kubelet.interval=1s",
        &loops,
    ];
    release.install(&flags).await;
    release.ready().await;
    release.pods.during(measured(&cluster, 3)).await.unwrap();
    assert!(holder(&cluster, STOCK_LEASE).await.starts_with(SCHEDULER));
    release.test().await;
    for prefix in [SCHEDULER, CONTROLLERS] {
        let (_, port) = release.pods.ready(prefix, LONG).await.unwrap();
        let reader = cluster.unchecked_client_with(port, Some(token.clone())).await.unwrap();
        assert!(get(&reader, "/metrics").await.unwrap().contains("leader_election_master_status"));
    }

    // Somebody else's NodeHeadroom is replaced, and a node that cannot be read is told.
    let foreign =
        json!({"apiVersion": "headroom.dev/v1alpha1", "kind": "NodeHeadroom", "metadata": {"name": "silent"}});
    cluster.apply_yaml("NodeHeadroom", &foreign.to_string()).await.unwrap();
    node(&cluster, "silent", json!({})).await;
    release.pods.during(measured(&cluster, 3)).await.unwrap();
    release.pods.during(objects_come_and_go(&cluster)).await.unwrap();
    release.pods.during(machines_die(&cluster, &hollow)).await.unwrap();

    let used = rights::used(&cluster, "headroom-controllers", CONTROLLERS_USER).await;
    let idle: Vec<&&str> = WORK.iter().filter(|work| !used.contains(**work)).collect();
    assert!(idle.is_empty(), "not exercised: {idle:?}; used: {used:#?}");
    rights::fit(&cluster, [from, from], from).await;
    rights::list_is_current(&cluster).await;

    way_back(&cluster, &release, manager).await;
    hollow.stop().await;
}
