//! The main path of somebody who installs the chart: in shadow, then `kubectl headroom takeover`, which knows the
//! Deployment, grants it what it lacks and rolls it out; then `handback`, and Helm takes everything away. In between Helm
//! refuses to. The second time a loop goes along, and the upgrades that make both ways last are typed as they are printed.
//! The test is whoever stops and starts the stock components.

use std::time::Duration;

use super::lifecycle::{deployments_of, scheduler_is, settled, small, start_stock};
use super::{CONTROLLERS_USER, RELEASE, Release, SCHEDULER, SCHEDULER_USER, admits_pods, kubelet_ca, notes};
use crate::common::verbs::{Running, owners};
use crate::common::{
    LONG, STOCK_LEASE, assert_nothing_forbidden, create, create_many, delete, holder, measured, pod, pods, wait_placed,
    writes_of,
};
use headroom_e2e::control_plane::SYSTEM_NAMESPACE;
use headroom_e2e::helm::helm_binary;
use headroom_e2e::{ControlPlane, Process, eventually};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role, RoleBinding};
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

pub(super) const FLAGS: [&str; 4] = ["--yes", "--namespace=default", "--quiet-for=3s", "--timeout=300s"];
const RECORD: &str = "headroom-takeover";

/// The names of the rights that a takeover has given, of all four kinds.
pub(super) async fn granted(cluster: &ControlPlane) -> Vec<String> {
    let client = cluster.admin_client();
    let made = ListParams::default().labels("headroom.dev/takeover");
    let roles: Api<ClusterRole> = Api::all(client.clone());
    let bindings: Api<ClusterRoleBinding> = Api::all(client.clone());
    let within: Api<Role> = Api::all(client.clone());
    let bound: Api<RoleBinding> = Api::all(client);
    let mut names: Vec<String> = Vec::new();
    names.extend(roles.list(&made).await.unwrap().iter().map(ResourceExt::name_any));
    names.extend(bindings.list(&made).await.unwrap().iter().map(ResourceExt::name_any));
    names.extend(within.list(&made).await.unwrap().iter().map(ResourceExt::name_any));
    names.extend(bound.list(&made).await.unwrap().iter().map(ResourceExt::name_any));
    names
}

/// Whether a takeover is written down.
pub(super) async fn is_recorded(cluster: &ControlPlane) -> bool {
    let maps: Api<ConfigMap> = Api::namespaced(cluster.admin_client(), "kube-system");
    maps.get_opt(RECORD).await.unwrap().is_some()
}

/// The Deployment of our scheduler: its arguments, and whether any of its fields are the command's.
async fn scheduler(cluster: &ControlPlane) -> (Vec<String>, bool) {
    deployed(cluster, "headroom-scheduler").await
}

/// The same of any Deployment.
async fn deployed(cluster: &ControlPlane, name: &str) -> (Vec<String>, bool) {
    let deployments: Api<Deployment> = Api::namespaced(cluster.admin_client(), "kube-system");
    let deployment = deployments.get(name).await.unwrap();
    let ours = |manager: &str| manager == "kubectl-headroom";
    let owned = deployment.managed_fields().iter().any(|entry| entry.manager.as_deref().is_some_and(ours));
    let spec = deployment.spec.unwrap().template.spec.unwrap();
    (spec.containers.into_iter().next().unwrap().args.unwrap_or_default(), owned)
}

/// The bindings that our scheduler has made of pods whose names begin so.
fn bound_by_us(cluster: &ControlPlane, prefix: &str) -> usize {
    let writes = writes_of(cluster, SCHEDULER_USER);
    let objects = writes.iter().filter(|event| event.code() == 201).filter_map(|event| event.object_ref.as_ref());
    objects.filter(|of| of.subresource == "binding" && of.name.starts_with(prefix)).count()
}

/// The upgrade of Helm at the end of what a command has said, typed as it stands there.
async fn upgraded_as_printed(release: &Release<'_>, said: &str) {
    let upgraded = release.printed(&notes::commands(said), "upgrade", &["--wait"]).await;
    assert!(upgraded.success, "{}\n{said}\n{:?}", upgraded.said(), release.pods.ended());
    release.ready().await;
}

/// The scheduler and a loop go over and back, each time with the upgrade that makes it last. Answers with the stock
/// components, which are at work before and after.
async fn over_and_back_to_last(
    cluster: &ControlPlane,
    release: &Release<'_>,
    stock: Process,
    manager: Process,
) -> [Process; 2] {
    let (installed, of_controllers) = (scheduler(cluster).await, deployed(cluster, "headroom-controllers").await);
    let both = ["--scheduler", "--loops=endpoints-controller"];
    let takeover = async {
        let mut takeover = Running::start(cluster, "takeover", &[&FLAGS[..], &both].concat());
        takeover.begins().await;
        takeover.says("# stop kube-scheduler").await;
        stock.terminate(LONG).await.unwrap();
        takeover.says("# add      ,-endpoints-controller").await;
        manager.terminate(LONG).await.unwrap();
        let manager = cluster.start_stock_kcm("*,-endpoints-controller", &[]).unwrap();
        (takeover.last_words().await, manager)
    };
    let (said, manager) = release.pods.during(takeover).await.unwrap();
    upgraded_as_printed(release, &said).await;
    scheduler_is(cluster, release, true).await;
    assert!(scheduler(cluster).await.0.contains(&"--mode=primary".to_owned()), "Helm has not taken it back: {said}");
    let list = deployed(cluster, "headroom-controllers").await.0.remove(0);
    assert!(list.starts_with("--controllers=") && list.ends_with(",endpoints-controller"), "{list}: {said}");

    let handback = async {
        let mut handback = Running::start(cluster, "handback", &FLAGS);
        handback.begins().await;
        handback.says("# start kube-scheduler again").await;
        let stock = start_stock(cluster).await;
        handback.says("done: Deployment kube-system/headroom-controllers: --controllers=").await;
        handback.says("# take out ,-endpoints-controller").await;
        manager.terminate(LONG).await.unwrap();
        let manager = cluster.start_stock_kcm("*", &[]).unwrap();
        (handback.last_words().await, [stock, manager])
    };
    let (said, stock) = release.pods.during(handback).await.unwrap();
    upgraded_as_printed(release, &said).await;
    scheduler_is(cluster, release, false).await;
    assert_eq!(scheduler(cluster).await, installed, "{said}");
    assert_eq!(deployed(cluster, "headroom-controllers").await, of_controllers, "{said}");
    let asked = ["get", "values", RELEASE, "--namespace", SYSTEM_NAMESPACE, "--output", "json"];
    let values: Value = serde_json::from_str(&release.helm.run(&asked).await.unwrap().stdout).unwrap();
    let modes = [&values["mode"], &values["controllers"]["mode"]];
    assert_eq!(modes, [&json!("shadow"), &json!("")], "{values}");
    assert!(granted(cluster).await.is_empty() && !is_recorded(cluster).await);
    stock
}

#[tokio::test]
async fn installed_in_shadow_taken_over_by_command_handed_back_and_gone() {
    let program = helm_binary().unwrap();
    let cluster = ControlPlane::builder().audit(true).start().await.unwrap();
    let manager = cluster.start_stock_kcm("*", &[]).unwrap();
    admits_pods(&cluster).await;
    let stock = start_stock(&cluster).await;
    let mut config = cluster.hollow_config("worker=3:1Gi:swap=2Gi").unwrap();
    // A real kubelet waits for a process; ours end within this.
    config.stop_duration = Duration::from_secs(5);
    let hollow = cluster.start_hollow(config).await.unwrap();
    kubelet_ca(&cluster, &hollow).await;
    let pods = pods(&cluster, "default");
    create(&pods, &pod("before", small())).await;
    wait_placed(&pods, 1).await;
    let before = settled(&cluster).await;

    let release = Release::new(&program, &cluster);
    let kubelets = ["--set=controllers.kubelet.caConfigMap=kubelet-ca", "--set=controllers.kubelet.interval=1s"];
    release.install(&[&["--set=scheduler.nodeName=worker-1"][..], &kubelets].concat()).await;
    release.ready().await;
    release.pods.during(measured(&cluster, 3)).await.unwrap();
    let (installed, _) = scheduler(&cluster).await;
    assert!(installed.contains(&"--mode=shadow".to_owned()), "{installed:?}");

    // Ours stands by, stock ends, ours goes on.
    let takeover = async {
        let mut takeover = Running::start(&cluster, "takeover", &FLAGS);
        takeover.says("create ClusterRoleBinding headroom-takeover-scheduler-primary").await;
        takeover.says("for ServiceAccount kube-system/headroom-scheduler").await;
        takeover.begins().await;
        takeover.says("done: Deployment kube-system/headroom-scheduler: --mode=primary").await;
        takeover.says("# stop kube-scheduler").await;
        assert!(!holder(&cluster, STOCK_LEASE).await.starts_with(SCHEDULER), "it stands by");
        stock.terminate(LONG).await.unwrap();
        takeover.ends_well().await;
    };
    release.pods.during(takeover).await.unwrap();
    release.ready().await;
    assert!(is_recorded(&cluster).await);
    assert_eq!(granted(&cluster).await.len(), 4, "a role and its binding, in the cluster and in kube-system");
    assert_eq!(bound_by_us(&cluster, "headroom-canary-"), 1);
    create_many(pods.clone(), "ours", 6, small()).await;
    release.pods.during(wait_placed(&pods, 1 + 6)).await.unwrap();
    assert_eq!(bound_by_us(&cluster, "ours-"), 6);
    let seen = release.pods.during(owners(&cluster, &[])).await.unwrap();
    assert_eq!(seen["scheduler"], "headroom");
    let (taken, owned) = scheduler(&cluster).await;
    assert!(taken.contains(&"--mode=primary".to_owned()) && !owned, "{taken:?}");

    // The values still say shadow, and Helm may not leave the cluster without a scheduler all the same.
    let refused = release.helm(&["uninstall", RELEASE], &[]).await;
    assert!(!refused.success, "{}", refused.said());
    let guard = release.pods.ended().pop().unwrap();
    assert!(guard.pod.starts_with("headroom-scheduler-hand-back-") && guard.code == Some(2), "{guard:?}");
    assert_eq!(guard.log.matches("kubectl headroom handback first").count(), 2, "lease and record: {}", guard.log);
    assert_eq!(deployments_of(&cluster).await, 2, "nothing was removed");
    create(&pods, &pod("ours-still", small())).await;
    release.pods.during(wait_placed(&pods, 1 + 6 + 1)).await.unwrap();
    assert_eq!(bound_by_us(&cluster, "ours-still"), 1);

    // Stock stands by, ours gives the lease up.
    let handback = async {
        let mut handback = Running::start(&cluster, "handback", &FLAGS);
        handback.begins().await;
        handback.says("# start kube-scheduler again").await;
        let stock = start_stock(&cluster).await;
        handback.says("done: Deployment kube-system/headroom-scheduler: --mode=shadow").await;
        handback.ends_well().await;
        stock
    };
    let stock = release.pods.during(handback).await.unwrap();
    release.ready().await;
    scheduler_is(&cluster, &release, false).await;
    create_many(pods.clone(), "stock", 3, small()).await;
    wait_placed(&pods, 1 + 6 + 1 + 3).await;
    assert_eq!((bound_by_us(&cluster, "stock-"), bound_by_us(&cluster, "headroom-canary-")), (0, 1));
    assert!(granted(&cluster).await.is_empty() && !is_recorded(&cluster).await);
    assert_eq!(scheduler(&cluster).await, (installed, false), "as it was installed");
    for user in [SCHEDULER_USER, CONTROLLERS_USER] {
        assert_nothing_forbidden(&cluster, user);
    }

    // Both changes left the Deployment to Helm: it makes others of the same field. Marked as uninstalling it is not any more.
    release.must(&["rollback", RELEASE, "1"], &["--wait"]).await;
    release.upgrade(&["--set=log.level=1"]).await;
    assert!(scheduler(&cluster).await.0.contains(&"--v=1".to_owned()));

    // Once more, so that Helm knows of it; and it lets all of it go afterwards.
    let stock = over_and_back_to_last(&cluster, &release, stock, manager).await;
    release.must(&["uninstall", RELEASE], &[]).await;
    release.pods.settled(LONG).await.unwrap();
    let extra = pods.list(&ListParams::default()).await.unwrap().items;
    for pod in extra.iter().map(ResourceExt::name_any).filter(|name| name != "before") {
        delete(&pods, &pod).await;
    }
    let gone = eventually(LONG, "the cluster to be as before", || async {
        let now = cluster.dump(&[STOCK_LEASE]).await.map_err(|error| error.to_string())?;
        let differences = before.differences(&now);
        if differences.is_empty() { Ok(()) } else { Err(differences.join("\n")) }
    });
    release.pods.during(gone).await.unwrap().unwrap();
    for process in &stock {
        process.expect_running("the test").unwrap();
    }
    hollow.stop().await;
}
