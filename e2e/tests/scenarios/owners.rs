//! `kubectl headroom status`, `takeover` and `handback` beside real stock components. The test is the administrator: it
//! does what is printed, when it is printed.

mod kubeadm;

use std::collections::BTreeMap;

use crate::common::verbs::{Running, becomes, ended, owner, owners};
use crate::common::{
    LONG, OUR_LEASE, PATIENT, asking, bound, control_plane_with_crds, create, hollow, object, patient_stock, pod, pods,
    start_controllers, start_scheduler, writes_of,
};
use headroom_e2e::{ControlPlane, Identity, Process, SchedulerOptions, eventually};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Endpoints, Pod, ReplicationController, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::json;

const FLAGS: [&str; 3] = ["--yes", "--namespace=default", "--timeout=300s"];
/// A scheduler that is awake answers at once, unless the machine stands still: as long as the command takes for a pause of all,
/// and as long again.
const SOON: &str = "--quiet-for=10s";

/// A verb where nothing shows the distribution.
fn start(cluster: &ControlPlane, verb: &str, arguments: &[&str]) -> Running {
    Running::start(cluster, verb, &[arguments, &FLAGS, &["--distribution=any"]].concat())
}

/// Nothing is left of a takeover's canaries, and its record is there or not.
async fn left_behind(cluster: &ControlPlane, record: bool) {
    let selected = ListParams::default().labels("headroom.dev/canary");
    let pods: Api<Pod> = Api::all(cluster.admin_client());
    let services: Api<Service> = Api::all(cluster.admin_client());
    let endpoints: Api<Endpoints> = Api::all(cluster.admin_client());
    let controllers: Api<ReplicationController> = Api::all(cluster.admin_client());
    let slices: Api<EndpointSlice> = Api::all(cluster.admin_client());
    eventually(LONG, "the canaries to be gone", || async {
        let mut names: Vec<String> = Vec::new();
        names.extend(pods.list(&selected).await.map_err(|e| e.to_string())?.iter().map(ResourceExt::name_any));
        names.extend(services.list(&selected).await.map_err(|e| e.to_string())?.iter().map(ResourceExt::name_any));
        names.extend(endpoints.list(&selected).await.map_err(|e| e.to_string())?.iter().map(ResourceExt::name_any));
        names.extend(controllers.list(&selected).await.map_err(|e| e.to_string())?.iter().map(ResourceExt::name_any));
        names.extend(slices.list(&selected).await.map_err(|e| e.to_string())?.iter().map(ResourceExt::name_any));
        if names.is_empty() { Ok(()) } else { Err(format!("{names:?}")) }
    })
    .await
    .unwrap();
    let maps: Api<ConfigMap> = Api::namespaced(cluster.admin_client(), "kube-system");
    assert_eq!(maps.get_opt("headroom-takeover").await.unwrap().is_some(), record);
}

async fn start_stock(cluster: &ControlPlane, leader_elect: bool) -> Process {
    let options = SchedulerOptions { leader_elect, ..patient_stock() };
    let stock = cluster.start_stock_scheduler(&options).unwrap();
    cluster.wait_healthy(&stock, "/healthz", LONG).await.unwrap();
    stock
}

/// Ours, without waiting for the lead.
async fn start_ours(cluster: &ControlPlane, mode: &str) -> Process {
    let mode = format!("--mode={mode}");
    let flags: Vec<&str> = PATIENT.iter().copied().chain([mode.as_str()]).collect();
    let ours = cluster.start_headroom_scheduler(&flags).unwrap();
    cluster.wait_healthy(&ours, "/readyz", LONG).await.unwrap();
    ours
}

/// The canaries that a user has bound.
fn canaries_bound_by(cluster: &ControlPlane, user: &str) -> usize {
    let writes = writes_of(cluster, user);
    let objects = writes.iter().filter(|event| event.code() == 201).filter_map(|event| event.object_ref.as_ref());
    objects.filter(|of| of.subresource == "binding" && of.name.starts_with("headroom-canary-")).count()
}

#[tokio::test]
async fn the_scheduler_goes_over_and_back_behind_the_lease_and_stock_stands_by() {
    let cluster = control_plane_with_crds().await;
    let hollow = hollow(&cluster, "worker=2:2Gi").await;
    let pods = pods(&cluster, "default");
    let small = || asking(json!({"cpu": "10m", "memory": "16Mi"}));
    let stock = start_stock(&cluster, true).await;
    create(&pods, &pod("before", small())).await;
    bound(&pods, "before").await;
    let ours = start_scheduler(&cluster, OUR_LEASE, &["--mode=secondary"]).await;
    becomes(&cluster, "scheduler", "stock").await;

    let dry = ended(&cluster, "takeover", &["--dry-run"]).await;
    let plan = String::from_utf8(dry.stdout).unwrap();
    assert!(dry.status.success() && plan.contains("all 1 pods would find a place"), "{plan}");
    left_behind(&cluster, false).await;

    let mut takeover = start(&cluster, "takeover", &["--scheduler", "--keep-standby", SOON]);
    takeover.begins().await;
    takeover.says("# run headroom-scheduler with --mode=primary").await;
    assert!(ours.terminate(LONG).await.unwrap().success());
    let ours = start_ours(&cluster, "primary").await;
    assert_eq!(owner(&cluster, "scheduler").await, "stock", "ours stands by");
    takeover.says("# stop kube-scheduler").await;
    stock.terminate(LONG).await.unwrap();
    takeover.says("# start kube-scheduler again").await;
    assert_eq!(owner(&cluster, "scheduler").await, "headroom");
    let stock = start_stock(&cluster, true).await;
    takeover.ends_well().await;
    assert_eq!(canaries_bound_by(&cluster, &Identity::HeadroomScheduler.user()), 1);
    left_behind(&cluster, true).await;
    create(&pods, &pod("between", small())).await;
    bound(&pods, "between").await;
    assert_eq!(owner(&cluster, "scheduler").await, "headroom");
    let again = ended(&cluster, "takeover", &["--yes"]).await;
    let said = String::from_utf8(again.stderr).unwrap();
    assert!(again.status.code() == Some(2) && said.contains("Headroom does that already"), "{said}");

    let mut handback = start(&cluster, "handback", &[SOON]);
    handback.begins().await;
    handback.says("# run headroom-scheduler with --mode=secondary").await;
    assert!(ours.terminate(LONG).await.unwrap().success());
    let ours = start_ours(&cluster, "secondary").await;
    handback.ends_well().await;
    assert_eq!(owner(&cluster, "scheduler").await, "stock");
    assert_eq!(canaries_bound_by(&cluster, &Identity::Scheduler.user()), 1);
    left_behind(&cluster, false).await;
    for process in [stock, ours] {
        process.expect_running("the test").unwrap();
    }
    hollow.stop().await;
}

#[tokio::test]
async fn a_scheduler_without_election_is_proven_silent_before_ours_begins() {
    let cluster = control_plane_with_crds().await;
    let hollow = hollow(&cluster, "worker=1:2Gi").await;
    let pods = pods(&cluster, "default");
    let stock = start_stock(&cluster, false).await;
    create(&pods, &pod("before", json!({}))).await;
    bound(&pods, "before").await;
    let ours = start_scheduler(&cluster, OUR_LEASE, &["--mode=secondary"]).await;
    becomes(&cluster, "scheduler", "stock").await;

    let refused = ended(&cluster, "takeover", &["--keep-standby", "--yes"]).await;
    assert_eq!(refused.status.code(), Some(2), "{}", String::from_utf8_lossy(&refused.stderr));

    let stocks = || canaries_bound_by(&cluster, &Identity::Scheduler.user());
    let mut takeover = start(&cluster, "takeover", &[SOON]);
    takeover.begins().await;
    takeover.says("# stop kube-scheduler").await;
    // The administrator takes his time: whoever is at work is noticed.
    eventually(LONG, "stock to bind a canary", || async { if stocks() > 0 { Ok(()) } else { Err("none") } })
        .await
        .unwrap();
    stock.terminate(LONG).await.unwrap();
    takeover.says("# run headroom-scheduler with --mode=primary").await;
    assert!(takeover.seen.iter().any(|line| line.contains("seen: silence")), "{:?}", takeover.seen);
    assert!(ours.terminate(LONG).await.unwrap().success());
    let ours = start_ours(&cluster, "primary").await;
    takeover.ends_well().await;
    assert_eq!(canaries_bound_by(&cluster, &Identity::HeadroomScheduler.user()), 1);
    assert_eq!(owner(&cluster, "scheduler").await, "headroom");

    // And back: ours ends first.
    let before = stocks();
    let mut handback = start(&cluster, "handback", &["--scheduler", SOON]);
    handback.begins().await;
    handback.says("# run headroom-scheduler with --mode=secondary").await;
    assert!(ours.terminate(LONG).await.unwrap().success());
    let ours = start_ours(&cluster, "secondary").await;
    handback.says("# start kube-scheduler again").await;
    let stock = start_stock(&cluster, false).await;
    handback.ends_well().await;
    assert_eq!(stocks(), before + 1);
    left_behind(&cluster, false).await;
    for process in [stock, ours] {
        process.expect_running("the test").unwrap();
    }
    hollow.stop().await;
}

/// The stock manager, with an election, and without the loop of Deployments: the test plays that and the kubelet.
async fn start_manager(cluster: &ControlPlane, without: &[&str]) -> Process {
    let list = without.iter().fold("*,-deployment-controller".to_owned(), |list, name| format!("{list},-{name}"));
    let manager = cluster.start_stock_kcm(&list, &["--leader-elect=true"]).unwrap();
    cluster.wait_healthy(&manager, "/healthz", LONG).await.unwrap();
    manager
}

fn deployments(cluster: &ControlPlane) -> Api<Deployment> {
    Api::namespaced(cluster.admin_client(), "kube-system")
}

async fn create_deployment(cluster: &ControlPlane) {
    let labels = json!({"app.kubernetes.io/component": "controllers"});
    let container = json!({"name": "controllers", "image": "headroom-controllers:0.1.0",
                           "args": ["--controllers=node-headroom-controller,memory-profile-controller"]});
    let whole: Deployment = object(json!({
        "metadata": {"name": "headroom-controllers"},
        "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": {
            "metadata": {"labels": labels},
            "spec": {"serviceAccountName": "headroom-controllers", "containers": [container]}}},
    }));
    deployments(cluster).create(&PostParams::default(), &whole).await.unwrap();
}

/// The arguments in the template of our Deployment.
async fn arguments(cluster: &ControlPlane) -> Vec<String> {
    let deployment = deployments(cluster).get("headroom-controllers").await.unwrap();
    let spec = deployment.spec.unwrap().template.spec.unwrap();
    spec.containers.into_iter().next().unwrap().args.unwrap_or_default()
}

/// Ours as the Deployment says, which is then rolled out.
async fn roll_out(cluster: &ControlPlane) -> Process {
    let flags = arguments(cluster).await;
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let ours = start_controllers(cluster, &flags).await;
    let api = deployments(cluster);
    let generation = api.get("headroom-controllers").await.unwrap().metadata.generation;
    let status = json!({"status": {"observedGeneration": generation, "replicas": 1, "updatedReplicas": 1,
                                   "readyReplicas": 1, "availableReplicas": 1}});
    api.patch_status("headroom-controllers", &PatchParams::default(), &Patch::Merge(status)).await.unwrap();
    ours
}

#[tokio::test]
async fn loops_go_over_and_back_and_their_silence_is_proven() {
    /// All that a canary shows.
    const LOOPS: [&str; 5] = [
        "replicationcontroller-controller",
        "endpoints-controller",
        "endpointslice-controller",
        "endpointslice-mirroring-controller",
        "pod-garbage-collector-controller",
    ];
    // The garbage collector of pods looks every 20 seconds.
    const QUIET: &str = "--quiet-for=25s";
    let cluster = control_plane_with_crds().await;
    create_deployment(&cluster).await;
    let manager = start_manager(&cluster, &[]).await;
    let ours = roll_out(&cluster).await;
    let controllers: Api<ReplicationController> = Api::default_namespaced(cluster.admin_client());
    let app = json!({"app": "web"});
    let web: ReplicationController = object(json!({"metadata": {"name": "web"}, "spec": {
        "replicas": 1, "selector": app,
        "template": {"metadata": {"labels": app}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}}));
    controllers.create(&PostParams::default(), &web).await.unwrap();
    becomes(&cluster, LOOPS[0], "stock").await;
    let unknown = |owners: &BTreeMap<String, String>, name: &str| owners[name] == "unknown";
    let unasked = owners(&cluster, &[]).await;
    assert!(
        unknown(&unasked, LOOPS[4]) && unknown(&unasked, "node-lifecycle-controller"),
        "nothing shows: {unasked:?}"
    );
    // Canaries show the rest, but for what only a dead node would move.
    let probe = async |wanted: &str| {
        let owners = owners(&cluster, &["--probe", "--namespace=default"]).await;
        assert!(LOOPS.iter().all(|name| owners[*name] == wanted), "{wanted}: {owners:?}");
        assert!(unknown(&owners, "taint-eviction-controller") && owners["scheduler"] == "nobody", "{owners:?}");
    };
    probe("stock").await;
    left_behind(&cluster, false).await;

    let named = format!("--loops={}", LOOPS.join(","));
    let subtracted: String = LOOPS.iter().map(|name| format!(",-{name}")).collect();
    let mut takeover = start(&cluster, "takeover", &[&named, QUIET]);
    takeover.begins().await;
    takeover.says(&format!("# add      {subtracted}")).await;
    manager.terminate(LONG).await.unwrap();
    let manager = start_manager(&cluster, &LOOPS).await;
    takeover.says("done: Deployment kube-system/headroom-controllers: --controllers=").await;
    assert!(takeover.seen.iter().any(|line| line.contains("seen: silence")), "{:?}", takeover.seen);
    ours.terminate(LONG).await.unwrap();
    let ours = roll_out(&cluster).await;
    takeover.ends_well().await;
    left_behind(&cluster, true).await;
    let more = Patch::Merge(json!({"spec": {"replicas": 2}}));
    controllers.patch("web", &PatchParams::default(), &more).await.unwrap();
    becomes(&cluster, LOOPS[0], "headroom").await;
    probe("headroom").await;

    let mut handback = start(&cluster, "handback", &[QUIET]);
    handback.begins().await;
    handback.says("done: Deployment kube-system/headroom-controllers: --controllers=").await;
    let before = ["--controllers=node-headroom-controller,memory-profile-controller"];
    assert_eq!(arguments(&cluster).await, before);
    ours.terminate(LONG).await.unwrap();
    let ours = roll_out(&cluster).await;
    handback.says(&format!("# take out {subtracted}")).await;
    manager.terminate(LONG).await.unwrap();
    let manager = start_manager(&cluster, &[]).await;
    handback.ends_well().await;
    left_behind(&cluster, false).await;
    for process in [manager, ours] {
        process.expect_running("the test").unwrap();
    }
}

#[tokio::test]
async fn a_step_that_fails_is_undone() {
    let cluster = control_plane_with_crds().await;
    create_deployment(&cluster).await;
    let ours = roll_out(&cluster).await;
    let before = arguments(&cluster).await;
    let flags = ["--loops=endpoints-controller", "--yes", "--namespace=default", SOON];

    // Nobody does what is printed: stock goes on, and is noticed.
    let manager = start_manager(&cluster, &[]).await;
    let output = ended(&cluster, "takeover", &[&flags[..], &["--timeout=15s"]].concat()).await;
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(1), "{out}{err}");
    assert!(err.contains("failed: there was no silence within 15s"), "{err}");
    assert!(out.contains("undone: delete ConfigMap headroom-takeover"), "{out}");
    assert!(out.contains("# take out ,-endpoints-controller"), "the rest is printed: {out}");
    assert_eq!(arguments(&cluster).await, before);
    left_behind(&cluster, false).await;

    // Stock has left the loop out, but ours is never rolled out: the Deployment goes back.
    manager.terminate(LONG).await.unwrap();
    let manager = start_manager(&cluster, &["endpoints-controller"]).await;
    let output = ended(&cluster, "takeover", &[&flags[..], &["--timeout=45s"]].concat()).await;
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(1), "{out}{err}");
    assert!(err.contains("kube-system/headroom-controllers to be rolled out"), "{err}");
    assert!(out.contains("undone: Deployment kube-system/headroom-controllers: --controllers=node-headroom"), "{out}");
    assert_eq!(arguments(&cluster).await, before);
    left_behind(&cluster, false).await;
    for process in [manager, ours] {
        process.expect_running("the test").unwrap();
    }
}
