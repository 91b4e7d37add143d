//! `deploy/`, for those who do not use Helm: it is what the chart renders, and the real API server takes all of it, and lets
//! all of it go again. In between it is taken over and handed back, beside the stock components.

use std::path::Path;
use std::time::Duration;

use super::by_command::{FLAGS, granted, is_recorded};
use super::lifecycle::{settled, small, start_stock};
use super::loops::api_has;
use super::{
    CONTROLLERS, CONTROLLERS_USER, SCHEDULER, SCHEDULER_USER, admits_pods, documents, has_namespaces, kubectl,
};
use crate::common::verbs::{Running, ended, owners};
use crate::common::{
    LONG, STOCK_LEASE, assert_nothing_forbidden, create, delete, holder, object, pod, pods, wait_placed,
};
use headroom_docs::shell;
use headroom_e2e::control_plane::SYSTEM_NAMESPACE;
use headroom_e2e::dump::Dump;
use headroom_e2e::helm::{finish, helm_binary};
use headroom_e2e::{ControlPlane, OwnPods, eventually};
use k8s_openapi::api::core::v1::{Endpoints, Service};
use kube::api::{DeleteParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::json;

const DEPLOY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy");

#[tokio::test]
async fn manifests_without_helm_are_what_the_chart_renders() {
    let program = helm_binary().unwrap();
    let render = concat!(env!("CARGO_MANIFEST_DIR"), "/../packaging/manifests/render");
    let mut command = tokio::process::Command::new(render);
    command.args(["--check", DEPLOY]).env("HELM", &program).kill_on_drop(true);
    let checked = finish("render --check", Path::new(render), command).await.unwrap();
    assert!(checked.success, "{}", checked.said());
}

/// A file of `deploy/` passes the API server's dry run, every object of it; returns its path.
async fn passes(cluster: &ControlPlane, name: &str) -> String {
    let path = format!("{DEPLOY}/{name}");
    let objects = documents(&std::fs::read_to_string(&path).unwrap()).len();
    let ran = kubectl(cluster, &["apply", "--dry-run=server", "--validate=strict", "--filename", &path]).await;
    assert!(ran.success, "{name}: {}", ran.said());
    let taken = ran.stdout.lines().filter(|line| line.ends_with("(server dry run)")).count();
    assert!(objects > 0 && taken == objects, "{name}: {taken} of {objects}: {}", ran.said());
    path
}

/// Takes away what a file has made, with the lines of kubectl that its head has for that.
async fn undo(cluster: &ControlPlane, folder: &str) {
    let text = std::fs::read_to_string(format!("{DEPLOY}/{folder}/headroom.yaml")).unwrap();
    let head = text.lines().map_while(|line| line.strip_prefix('#')).map(str::trim_start);
    let lines = head.skip_while(|line| !line.starts_with("Undo")).filter(|line| line.starts_with("kubectl "));
    let mut count = 0;
    for line in lines {
        // They are typed in the root of the repository.
        let here = |word: String| match word.strip_prefix("deploy/") {
            Some(rest) => format!("{DEPLOY}/{rest}"),
            None => word,
        };
        let words: Vec<String> = shell::commands(line).into_iter().flatten().skip(1).map(here).collect();
        let typed: Vec<&str> = words.iter().map(String::as_str).collect();
        let ran = kubectl(cluster, &typed).await;
        assert!(ran.success, "{folder}: {line}: {}", ran.said());
        count += 1;
    }
    assert_eq!(count, 2, "{folder}: what the file has made, and the leases");
}

/// Waits until every object is as it was.
async fn is_as_before(cluster: &ControlPlane, before: &Dump) {
    eventually(LONG, "the cluster to be as before", || async {
        let now = cluster.dump(&[STOCK_LEASE]).await.map_err(|error| error.to_string())?;
        let differences = before.differences(&now);
        if differences.is_empty() { Ok(()) } else { Err(differences.join("\n")) }
    })
    .await
    .unwrap();
}

/// What the command would do with the Deployments of a manifest, if it would.
async fn taken_over(cluster: &ControlPlane, arguments: &[&str]) -> Result<String, String> {
    let output = ended(cluster, "takeover", &[&["--dry-run"][..], arguments].concat()).await;
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        Ok(said(&output.stdout))
    } else {
        Err(format!("{}: {}{}", output.status, said(&output.stdout), said(&output.stderr)))
    }
}

/// Pins the scheduler to a node with the line in the head of the file; returns its patch.
async fn pin(cluster: &ControlPlane, node: &str) -> String {
    let head = std::fs::read_to_string(format!("{DEPLOY}/plain/headroom.yaml")).unwrap();
    let printed = head.lines().find_map(|line| line.split_once(" --patch '")).unwrap();
    assert!(printed.0.ends_with("kubectl --namespace kube-system patch deployment headroom-scheduler"), "{printed:?}");
    let patch = printed.1.trim_end_matches('\'');
    let pinned = patch.replace("NODE", node);
    let deployment = ["--namespace", SYSTEM_NAMESPACE, "patch", "deployment", "headroom-scheduler", "--patch", &pinned];
    let ran = kubectl(cluster, &deployment).await;
    assert!(ran.success, "{}", ran.said());
    patch.to_owned()
}

/// The way on from shadow, as the head of the file says: pinned, the scheduler can be taken over, and loops can be anyhow.
async fn can_be_taken_over(cluster: &ControlPlane) {
    let refused = taken_over(cluster, &[]).await.unwrap_err();
    assert!(refused.contains("nobody would schedule its pod"), "{refused}");
    let patch = pin(cluster, "server-1").await;
    let said = format!("patch deployment headroom-scheduler --patch '{patch}'");
    assert!(refused.contains(&said), "the refusal says something else than the head of the file: {refused}");

    let plan = taken_over(cluster, &[]).await.unwrap();
    assert!(plan.contains("Deployment kube-system/headroom-scheduler: --mode=primary"), "{plan}");
    assert!(plan.contains("create ClusterRoleBinding headroom-takeover-scheduler-primary"), "{plan}");
    let loops = taken_over(cluster, &["--loops", "replicationcontroller-controller"]).await.unwrap();
    let list = "node-headroom-controller,memory-profile-controller,replicationcontroller-controller";
    assert!(loops.contains(&format!("Deployment kube-system/headroom-controllers: --controllers={list}")), "{loops}");
    // Nothing is Helm's here.
    assert!(!plan.contains("helm ") && !loops.contains("helm "), "{plan}{loops}");
}

#[tokio::test]
async fn manifests_without_helm_are_applied_and_leave_nothing_behind() {
    let cluster = ControlPlane::builder().start().await.unwrap();
    has_namespaces(&cluster).await;
    // Made by a controller manager elsewhere: the static pod names no account, and gets this one where it is applied.
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount",
                         "metadata": {"name": "default", "namespace": SYSTEM_NAMESPACE}});
    cluster.apply_yaml("ServiceAccount", &account.to_string()).await.unwrap();
    let before = settled(&cluster).await;
    let mut seen = 0;
    for folder in std::fs::read_dir(DEPLOY).unwrap() {
        let folder = folder.unwrap().file_name().into_string().unwrap();
        let manifest = passes(&cluster, &format!("{folder}/headroom.yaml")).await;
        // As the head of the file says, twice: whoever changes it does the second.
        for _ in 0..2 {
            let ran = kubectl(&cluster, &["apply", "--filename", &manifest]).await;
            assert!(ran.success, "{folder}: {}", ran.said());
        }
        eventually(LONG, "the resources to be served", || async {
            let ran = kubectl(&cluster, &["get", "nodeheadrooms"]).await;
            if ran.success { Ok(()) } else { Err(ran.said()) }
        })
        .await
        .unwrap();
        if folder == "plain" {
            can_be_taken_over(&cluster).await;
        }
        undo(&cluster, &folder).await;
        seen += 1;
    }
    assert!(seen > 2, "{seen} folders");
    // A kubelet reads this one from its disk; the API server only says whether it is a pod.
    passes(&cluster, "kubeadm/kube-scheduler.yaml").await;
    is_as_before(&cluster, &before).await;
}

/// Waits until both processes are ready and those before them have ended.
async fn ready(own: &OwnPods<'_>) {
    own.settled(LONG).await.unwrap();
    for prefix in [SCHEDULER, CONTROLLERS] {
        own.ready(prefix, LONG).await.unwrap();
    }
}

#[tokio::test]
async fn manifests_without_helm_are_taken_over_and_handed_back() {
    let cluster = ControlPlane::builder().audit(true).start().await.unwrap();
    let manager = cluster.start_stock_kcm("*", &[]).unwrap();
    has_namespaces(&cluster).await;
    admits_pods(&cluster).await;
    let stock = start_stock(&cluster).await;
    let mut config = cluster.hollow_config("worker=2:2Gi").unwrap();
    // A real kubelet waits for a process; ours end within this.
    config.stop_duration = Duration::from_secs(5);
    let hollow = cluster.start_hollow(config).await.unwrap();
    let before = settled(&cluster).await;
    let manifest = format!("{DEPLOY}/plain/headroom.yaml");
    let applied = kubectl(&cluster, &["apply", "--filename", &manifest]).await;
    assert!(applied.success, "{}", applied.said());
    let own = OwnPods::new(&cluster, SYSTEM_NAMESPACE);
    ready(&own).await;
    pin(&cluster, "worker-1").await;

    // The test is whoever stops and starts the stock components.
    let takeover = async {
        let both = ["--scheduler", "--loops=endpoints-controller"];
        let mut takeover = Running::start(&cluster, "takeover", &[&FLAGS[..], &both].concat());
        takeover.begins().await;
        takeover.says("done: Deployment kube-system/headroom-scheduler: --mode=primary").await;
        takeover.says("# stop kube-scheduler").await;
        stock.terminate(LONG).await.unwrap();
        takeover.says("# add      ,-endpoints-controller").await;
        manager.terminate(LONG).await.unwrap();
        let manager = cluster.start_stock_kcm("*,-endpoints-controller", &[]).unwrap();
        takeover.says("done: Deployment kube-system/headroom-controllers: --controllers=").await;
        assert!(takeover.seen.iter().all(|line| !line.contains("helm ")), "{:?}", takeover.seen);
        takeover.ends_well().await;
        manager
    };
    let manager = own.during(takeover).await.unwrap();
    ready(&own).await;
    assert!(holder(&cluster, STOCK_LEASE).await.starts_with(SCHEDULER));
    let pods = pods(&cluster, "default");
    create(&pods, &pod("ours", small())).await;
    own.during(wait_placed(&pods, 1)).await.unwrap();
    let seen = own.during(owners(&cluster, &[])).await.unwrap();
    assert_eq!(seen["scheduler"], "headroom");
    let services: Api<Service> = Api::default_namespaced(cluster.admin_client());
    let service = json!({"metadata": {"name": "web"}, "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]}});
    services.create(&PostParams::default(), &object(service)).await.unwrap();
    let endpoints: Api<Endpoints> = Api::default_namespaced(cluster.admin_client());
    let by_us = |endpoints: &Endpoints| {
        let writes = endpoints.managed_fields().iter().filter_map(|entry| entry.manager.as_deref());
        endpoints.name_any() == "web" && writes.eq(["headroom-controllers"])
    };
    own.during(api_has(&endpoints, "Endpoints that ours write", by_us)).await.unwrap();
    assert!(is_recorded(&cluster).await && granted(&cluster).await.len() > 4, "rights of the scheduler and of a loop");

    let handback = async {
        let mut handback = Running::start(&cluster, "handback", &FLAGS);
        handback.begins().await;
        handback.says("# start kube-scheduler again").await;
        let stock = start_stock(&cluster).await;
        handback.says("done: Deployment kube-system/headroom-scheduler: --mode=shadow").await;
        handback.says("done: Deployment kube-system/headroom-controllers: --controllers=").await;
        handback.says("# take out ,-endpoints-controller").await;
        manager.terminate(LONG).await.unwrap();
        let manager = cluster.start_stock_kcm("*", &[]).unwrap();
        handback.ends_well().await;
        (stock, manager)
    };
    let (stock, manager) = own.during(handback).await.unwrap();
    ready(&own).await;
    assert!(!is_recorded(&cluster).await && granted(&cluster).await.is_empty());
    let seen = own.during(owners(&cluster, &[])).await.unwrap();
    assert_eq!(seen["scheduler"], "stock");
    for user in [SCHEDULER_USER, CONTROLLERS_USER] {
        assert_nothing_forbidden(&cluster, user);
    }
    own.during(undo(&cluster, "plain")).await.unwrap();
    own.settled(LONG).await.unwrap();
    services.delete("web", &DeleteParams::default()).await.unwrap();
    delete(&pods, "ours").await;
    own.during(is_as_before(&cluster, &before)).await.unwrap();
    for process in [&stock, &manager] {
        process.expect_running("the test").unwrap();
    }
    hollow.stop().await;
}
