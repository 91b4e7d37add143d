//! kubeadm's files in a directory and its ConfigMap on a real API server: `takeover --host-files` changes both itself, and
//! `handback` leaves them to the byte as they were. The test is the kubelet of the one control-plane host: it ends and
//! starts what the manifests say; and it restarts our processes, which are no pods.

use std::fs;
use std::path::PathBuf;

use super::{FLAGS, SOON, arguments, create_deployment, left_behind, object, owner, roll_out, start_ours, start_stock};
use crate::common::verbs::{Running, becomes};
use crate::common::{
    LONG, OUR_LEASE, change_node, control_plane_with_crds, create, delete, hollow, pods, start_scheduler,
};
use headroom_e2e::{ControlPlane, Process, eventually};
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::Api;
use serde_json::{Value, json};

const MANAGER: &str = include_str!("../../../../cli/src/distribution/kubeadm/kube-controller-manager.yaml");
const SCHEDULER: &str = include_str!("../../../../cli/src/distribution/kubeadm/kube-scheduler.yaml");
const CONFIG: &str = include_str!("../../../../cli/src/distribution/kubeadm/cluster-configuration.yaml");
/// The control-plane node.
const NODE: &str = "worker-1";
const LOOP: &str = "endpoints-controller";

/// The files of the host.
struct Host(tempfile::TempDir);

impl Host {
    /// As kubeadm has set it up.
    fn new() -> Self {
        let host = Self(tempfile::tempdir().unwrap());
        fs::create_dir_all(host.manifest("")).unwrap();
        fs::write(host.manifest("kube-controller-manager"), MANAGER).unwrap();
        fs::write(host.manifest("kube-scheduler"), SCHEDULER).unwrap();
        host
    }

    fn manifest(&self, name: &str) -> PathBuf {
        let directory = self.0.path().join("etc/kubernetes/manifests");
        if name.is_empty() { directory } else { directory.join(format!("{name}.yaml")) }
    }

    /// What the kubelet finds; nothing where there is no such manifest.
    fn says(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.manifest(name)).ok()
    }

    /// `--controllers` of the manager.
    fn list(&self) -> String {
        let manifest = self.says("kube-controller-manager").unwrap();
        let mut lists = manifest.lines().filter_map(|line| line.trim().strip_prefix("- --controllers="));
        lists.next().unwrap().to_owned()
    }
}

/// The mirror pod of a static one, as its manifest is now.
async fn mirror(cluster: &ControlPlane, host: &Host, name: &str) {
    let pods = pods(cluster, "kube-system");
    let mirror = format!("{name}-{NODE}");
    if pods.get_opt(&mirror).await.unwrap().is_some() {
        delete(&pods, &mirror).await;
    }
    let Some(manifest) = host.says(name) else { return };
    let mut pod: Value = serde_saphyr::from_str(&manifest).unwrap();
    pod["metadata"]["name"] = mirror.as_str().into();
    pod["spec"]["nodeName"] = NODE.into();
    create(&pods, &object(pod)).await;
    eventually(LONG, &format!("{mirror} to run"), || async {
        let pod: Pod = pods.get(&mirror).await.map_err(|error| error.to_string())?;
        let phase = pod.status.and_then(|status| status.phase).unwrap_or_default();
        if phase == "Running" { Ok(()) } else { Err(phase) }
    })
    .await
    .unwrap();
}

/// The manager that the manifest asks for, without the loop of Deployments, which the test plays.
async fn start_manager(cluster: &ControlPlane, host: &Host) -> Process {
    let list = format!("{},-deployment-controller", host.list());
    let manager = cluster.start_stock_kcm(&list, &["--leader-elect=true"]).unwrap();
    cluster.wait_healthy(&manager, "/healthz", LONG).await.unwrap();
    mirror(cluster, host, "kube-controller-manager").await;
    manager
}

/// The stock scheduler, and its mirror pod.
async fn start_scheduler_of(cluster: &ControlPlane, host: &Host) -> Process {
    let stock = start_stock(cluster, true).await;
    mirror(cluster, host, "kube-scheduler").await;
    stock
}

/// kubeadm's ClusterConfiguration.
async fn configuration(cluster: &ControlPlane) -> String {
    let maps: Api<ConfigMap> = Api::namespaced(cluster.admin_client(), "kube-system");
    maps.get("kubeadm-config").await.unwrap().data.unwrap().remove("ClusterConfiguration").unwrap()
}

#[tokio::test]
async fn files_of_the_host_and_the_config_map_are_changed_and_come_back() {
    let cluster = control_plane_with_crds().await;
    cluster.create_namespace("kube-system").await.unwrap();
    let config = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"ClusterConfiguration": CONFIG},
                        "metadata": {"name": "kubeadm-config", "namespace": "kube-system"}});
    cluster.apply_yaml("kubeadm-config", &config.to_string()).await.unwrap();
    let hollow = hollow(&cluster, "worker=2:2Gi").await;
    let role = json!({"metadata": {"labels": {"node-role.kubernetes.io/control-plane": ""}}});
    change_node(&cluster, NODE, role).await;
    create_deployment(&cluster).await;
    let host = Host::new();
    let stock = start_scheduler_of(&cluster, &host).await;
    let manager = start_manager(&cluster, &host).await;
    let ours = start_scheduler(&cluster, OUR_LEASE, &["--mode=secondary"]).await;
    let controllers = roll_out(&cluster).await;
    becomes(&cluster, "scheduler", "stock").await;
    becomes(&cluster, LOOP, "stock").await;
    let root = format!("--host-root={}", host.0.path().display());
    let on_this_host = [&["--host-files", root.as_str(), SOON][..], &FLAGS].concat();

    let wanted = [&["--scheduler", "--loops", LOOP][..], &on_this_host].concat();
    let mut takeover = Running::start(&cluster, "takeover", &wanted);
    takeover.says("Take over the scheduler and endpoints-controller (kubeadm: ").await;
    takeover.begins().await;
    takeover.says("# run headroom-scheduler with --mode=primary").await;
    assert!(ours.terminate(LONG).await.unwrap().success());
    let ours = start_ours(&cluster, "primary").await;
    takeover.says("done on worker-1:").await;
    assert_eq!(host.says("kube-scheduler"), None);
    mirror(&cluster, &host, "kube-scheduler").await;
    stock.terminate(LONG).await.unwrap();
    takeover.says("done: ConfigMap kube-system/kubeadm-config").await;
    takeover.says("done on worker-1:").await;
    assert_eq!(host.list(), format!("*,bootstrapsigner,tokencleaner,-{LOOP}"));
    let changed: Value = serde_saphyr::from_str(&configuration(&cluster).await).unwrap();
    let argument = json!([{"name": "controllers", "value": host.list()}]);
    assert_eq!(changed["controllerManager"]["extraArgs"], argument, "an upgrade writes the same manifest");
    manager.terminate(LONG).await.unwrap();
    let manager = start_manager(&cluster, &host).await;
    takeover.says("done: Deployment kube-system/headroom-controllers: --controllers=").await;
    controllers.terminate(LONG).await.unwrap();
    let controllers = roll_out(&cluster).await;
    takeover.ends_well().await;
    assert_eq!(owner(&cluster, "scheduler").await, "headroom");
    assert!(arguments(&cluster).await[0].ends_with(&format!(",{LOOP}")));
    left_behind(&cluster, true).await;

    let mut handback = Running::start(&cluster, "handback", &on_this_host);
    handback.begins().await;
    handback.says("done on worker-1:").await;
    let stock = start_scheduler_of(&cluster, &host).await;
    handback.says("# run headroom-scheduler with --mode=secondary").await;
    assert!(ours.terminate(LONG).await.unwrap().success());
    let ours = start_ours(&cluster, "secondary").await;
    handback.says("done: Deployment kube-system/headroom-controllers: --controllers=").await;
    controllers.terminate(LONG).await.unwrap();
    let controllers = roll_out(&cluster).await;
    handback.says("done: ConfigMap kube-system/kubeadm-config").await;
    handback.says("done on worker-1:").await;
    manager.terminate(LONG).await.unwrap();
    let manager = start_manager(&cluster, &host).await;
    handback.ends_well().await;
    assert_eq!(owner(&cluster, "scheduler").await, "stock");
    assert_eq!(configuration(&cluster).await, CONFIG);
    assert_eq!(host.says("kube-controller-manager").as_deref(), Some(MANAGER));
    assert_eq!(host.says("kube-scheduler").as_deref(), Some(SCHEDULER));
    left_behind(&cluster, false).await;
    for process in [stock, manager, ours, controllers] {
        process.expect_running("the test").unwrap();
    }
    hollow.stop().await;
}
