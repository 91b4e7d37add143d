//! A cluster that looks as if kubeadm had set it up, for blocks marked `sh kubeadm`: the stock scheduler and the stock
//! controller manager are at work, what kubeadm leaves in the API is there, and the real Helm has installed Headroom in
//! `shadow`, as the how-to says. The stock components are processes beside the API server; their static pods are pods that
//! a simulated kubelet reports.

use std::time::Duration;

use super::{Mark, programs, run_all};
use crate::chart::{Release, SCHEDULER, admits_pods, kubectl, kubelet_ca};
use crate::common::{LONG, asking, get, measured, object, pods, wait_placed};
use headroom_e2e::control_plane::assets::Component;
use headroom_e2e::helm::helm_binary;
use headroom_e2e::{ControlPlane, Identity, SchedulerOptions};
use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use kube::api::PostParams;
use serde_json::{Value, json};

/// What kubeadm keeps for its next upgrade.
const CONFIGURATION: &str =
    "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\nkubernetesVersion: v1.36.4\n";

/// What a kubelet shows of a static pod.
fn static_pod(program: &str, flags: &[&str]) -> Value {
    let command: Vec<&str> = std::iter::once(program).chain(flags.iter().copied()).collect();
    let container = json!({"name": program, "image": format!("registry.k8s.io/{program}:v1.36.4"), "command": command});
    json!({"apiVersion": "v1", "kind": "Pod",
           "metadata": {"name": format!("{program}-server-1"), "namespace": "kube-system",
                        "labels": {"component": program, "tier": "control-plane"},
                        "annotations": {"kubernetes.io/config.mirror": "0", "kubernetes.io/config.source": "file"}},
           "spec": {"nodeName": "server-1", "hostNetwork": true, "priorityClassName": "system-node-critical",
                    "tolerations": [{"operator": "Exists", "effect": "NoExecute"}], "containers": [container]}})
}

/// What kubeadm leaves in the API.
async fn set_up(cluster: &ControlPlane) {
    let config = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"ClusterConfiguration": CONFIGURATION},
                        "metadata": {"name": "kubeadm-config", "namespace": "kube-system"}});
    cluster.apply_yaml("kubeadm-config", &config.to_string()).await.unwrap();
    let kubeconfig = |name: &str| format!("--kubeconfig=/etc/kubernetes/{name}.conf");
    for pod in [
        static_pod("kube-scheduler", &[&kubeconfig("scheduler"), "--leader-elect=true"]),
        static_pod(
            "kube-controller-manager",
            &[
                &kubeconfig("controller-manager"),
                "--leader-elect=true",
                "--controllers=*,bootstrapsigner,tokencleaner",
                "--use-service-account-credentials=true",
            ],
        ),
    ] {
        cluster.apply_yaml("static pod", &pod.to_string()).await.unwrap();
    }
}

/// The account that the chart's README makes may read the shadow report. These kubelets forward no port, so that the
/// process is asked and not its pod.
async fn reader_reads(cluster: &ControlPlane, release: &Release<'_>) {
    let token = kubectl(cluster, &["--namespace", "kube-system", "create", "token", "headroom-reader"]).await;
    assert!(token.success, "{}", token.said());
    let (_, port) = release.pods.ready(SCHEDULER, LONG).await.unwrap();
    let reader = cluster.unchecked_client_with(port, Some(token.stdout.trim().to_owned())).await.unwrap();
    let report: Value = serde_json::from_str(&get(&reader, "/debug/shadow").await.unwrap()).unwrap();
    assert!(report["agrees"].is_u64(), "{report}");
    let nobody = cluster.unchecked_client_with(port, None).await.unwrap();
    assert!(get(&nobody, "/debug/shadow").await.is_err(), "anybody may read the report");
}

/// Some work.
async fn shop(cluster: &ControlPlane) {
    cluster.create_namespace("shop").await.unwrap();
    let template = json!({"metadata": {"labels": {"app": "web"}},
                          "spec": asking(json!({"cpu": "20m", "memory": "96Mi"}))});
    let web: Deployment = object(json!({"metadata": {"name": "web"}, "spec": {
        "replicas": 2, "selector": {"matchLabels": {"app": "web"}}, "template": template}}));
    let deployments: Api<Deployment> = Api::namespaced(cluster.admin_client(), "shop");
    deployments.create(&PostParams::default(), &web).await.unwrap();
    wait_placed(&pods(cluster, "shop"), 2).await;
}

#[tokio::test]
async fn commands_beside_the_stock_components_do_what_the_documents_say() {
    let helm = helm_binary().unwrap();
    let cluster = ControlPlane::builder().start().await.unwrap();
    let _manager = cluster.start_stock_kcm("*", &[]).unwrap();
    admits_pods(&cluster).await;
    let options = SchedulerOptions { leader_elect: true, ..SchedulerOptions::default() };
    let scheduler = cluster.start_stock_scheduler(&options).unwrap();
    cluster.wait_healthy(&scheduler, "/healthz", LONG).await.unwrap();
    let nodes = "server=1:2Gi:label=node-role.kubernetes.io/control-plane=,worker=2:1Gi:swap=2Gi";
    let mut config = cluster.hollow_config(nodes).unwrap();
    // A real kubelet waits for a process; ours end within this.
    config.stop_duration = Duration::from_secs(5);
    let hollow = cluster.start_hollow(config).await.unwrap();
    kubelet_ca(&cluster, &hollow).await;
    set_up(&cluster).await;
    shop(&cluster).await;

    // As docs/how-to/kubeadm.md says, but for certificates, which are checked: simulated kubelets have a CA of their own.
    let release = Release::new(&helm, &cluster);
    let kubelets = ["--set=controllers.kubelet.caConfigMap=kubelet-ca", "--set=controllers.kubelet.interval=1s"];
    release.install(&[&["--set=scheduler.nodeName=server-1"][..], &kubelets].concat()).await;
    release.ready().await;
    measured(&cluster, 3).await;

    let programs = programs(&cluster.assets().require(Component::Kubectl).unwrap(), &helm);
    let kubeconfig = cluster.kubeconfig(&Identity::Admin).unwrap();
    let run = run_all(Mark::Kubeadm, programs.path(), &kubeconfig);
    let count = release.pods.during(run).await.unwrap();
    assert!(count > 0, "no document has a block marked `sh kubeadm`");
    reader_reads(&cluster, &release).await;
    scheduler.expect_running("the blocks").unwrap();
    hollow.stop().await;
}
