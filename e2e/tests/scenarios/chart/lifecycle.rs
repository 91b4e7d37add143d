//! Installed in shadow, on to secondary and primary, handed back, uninstalled: and the cluster is as it was.

use std::cell::RefCell;
use std::time::Duration;

use super::{CONTROLLERS, RELEASE, Release, SCHEDULER, SCHEDULER_USER, admits_pods, kubelet_ca, rights};
use crate::common::{
    LONG, STOCK_LEASE, asking, both, create, create_many, delete, holder, measured, object, on_node, pod, pods,
    reader_token, wait_placed, writes_of,
};
use headroom_e2e::dump::Dump;
use headroom_e2e::helm::helm_binary;
use headroom_e2e::{ControlPlane, Process, SchedulerOptions, eventually};
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{ListParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

/// Dumps in a row that have to be equal before a cluster counts as settled: some seconds.
const STILL: usize = 20;
const SHADOW_VALUES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/headroom/ci/shadow-values.yaml");

/// Everything that there is, once nothing moves any more.
async fn settled(cluster: &ControlPlane) -> Dump {
    let last: RefCell<(usize, Option<Dump>)> = RefCell::new((0, None));
    eventually(LONG, "a cluster in which nothing moves", || async {
        let now = cluster.dump(&[STOCK_LEASE]).await.map_err(|error| error.to_string())?;
        let (times, before) = last.take();
        let moved = before.map(|before| before.differences(&now)).unwrap_or_default();
        let times = if moved.is_empty() { times + 1 } else { 0 };
        last.replace((times, Some(now.clone())));
        if times > STILL { Ok(now) } else { Err(moved.join("\n")) }
    })
    .await
    .unwrap()
}

async fn start_stock(cluster: &ControlPlane) -> Process {
    let options = SchedulerOptions { leader_elect: true, ..SchedulerOptions::default() };
    let stock = cluster.start_stock_scheduler(&options).unwrap();
    cluster.wait_healthy(&stock, "/healthz", LONG).await.unwrap();
    stock
}

/// Waits until the lease of the default scheduler is held by a pod of ours, or by somebody else.
async fn scheduler_is(cluster: &ControlPlane, release: &Release<'_>, ours: bool) {
    let held = eventually(LONG, "the lease kube-scheduler to change hands", || async {
        let now = holder(cluster, STOCK_LEASE).await;
        if !now.is_empty() && now.starts_with(SCHEDULER) == ours { Ok(()) } else { Err(now) }
    });
    release.pods.during(held).await.unwrap().unwrap();
}

fn small() -> Value {
    both(asking(json!({"cpu": "10m", "memory": "16Mi"})), json!({"terminationGracePeriodSeconds": 1}))
}

/// How many pods of the namespace `default` our scheduler has bound so far whose names begin like this.
fn bound_by_us(cluster: &ControlPlane, prefix: &str) -> usize {
    let bound =
        |event: &headroom_e2e::control_plane::audit::AuditEvent| {
            event.object_ref.as_ref().is_some_and(|of| {
                of.subresource == "binding" && of.namespace == "default" && of.name.starts_with(prefix)
            }) && event.code() == 201
        };
    writes_of(cluster, SCHEDULER_USER).iter().filter(|event| bound(event)).count()
}

/// What the scheduler in shadow mode has compared: how often it agreed, and the rest.
async fn compared(cluster: &ControlPlane, port: u16, token: &str) -> Result<(u64, u64), String> {
    let client = cluster.unchecked_client_with(port, Some(token.to_owned())).await.map_err(|e| e.to_string())?;
    let text = crate::common::get(&client, "/debug/shadow").await.map_err(|e| e.to_string())?;
    let report: Value = serde_json::from_str(&text).map_err(|e| e.to_string())?;
    let of = |key: &str| report[key].as_u64().unwrap_or_default();
    Ok((of("agrees"), of("differs") + of("wouldWait")))
}

#[tokio::test]
async fn from_shadow_to_primary_and_back_leaves_nothing_behind() {
    let program = helm_binary().unwrap();
    let cluster = ControlPlane::builder().audit(true).start().await.unwrap();
    let _kcm = cluster.start_stock_kcm("*", &[]).unwrap();
    admits_pods(&cluster).await;
    let stock = start_stock(&cluster).await;
    let mut config = cluster.hollow_config("worker=3:1Gi:swap=2Gi").unwrap();
    // A real kubelet waits for a process; ours end within this.
    config.stop_duration = Duration::from_secs(5);
    let hollow = cluster.start_hollow(config).await.unwrap();
    kubelet_ca(&cluster, &hollow).await;
    let token = reader_token(&cluster, "reader", &["/metrics", "/debug/shadow"]).await;
    let web: Deployment = object(json!({
        "metadata": {"name": "web"},
        "spec": {"replicas": 3, "selector": {"matchLabels": {"app": "web"}}, "template": {
            "metadata": {"labels": {"app": "web"}}, "spec": small()}},
    }));
    let deployments: Api<Deployment> = Api::default_namespaced(cluster.admin_client());
    deployments.create(&PostParams::default(), &web).await.unwrap();
    let pods = pods(&cluster, "default");
    wait_placed(&pods, 3).await;
    let before = settled(&cluster).await;

    // Shadow, the chart's default: it measures, and agrees where there is one node to choose.
    let release = Release::new(&program, &cluster);
    let installed = rights::mark(&cluster);
    let kubelets = ["--set=controllers.kubelet.caConfigMap=kubelet-ca", "--set=controllers.kubelet.interval=1s"];
    release.install(&[&["--values", SHADOW_VALUES][..], &kubelets[..]].concat()).await;
    release.ready().await;
    let (_, port) = release.pods.ready(SCHEDULER, LONG).await.unwrap();
    measured(&cluster, 3).await;
    for node in 1..=3 {
        create_many(pods.clone(), &format!("shadow-{node}"), 4, both(small(), on_node(&format!("worker-{node}"))))
            .await;
    }
    wait_placed(&pods, 3 + 12).await;
    let agreed = eventually(LONG, "twelve comparisons", || async {
        match compared(&cluster, port, &token).await? {
            (agrees, 0) if agrees >= 12 => Ok(()),
            (agrees, other) => Err(format!("{agrees} agree, {other} do not")),
        }
    });
    agreed.await.unwrap();
    release.test().await;
    assert_eq!(bound_by_us(&cluster, ""), 0, "in shadow");
    rights::fit(&cluster, [installed, installed], installed).await;

    // Secondary: the pods that ask for it, and the canary.
    let from = rights::mark(&cluster);
    release.upgrade(&["--set=mode=secondary"]).await;
    let quiet = rights::mark(&cluster);
    create(&pods, &pod("secondary", both(small(), json!({"schedulerName": "headroom-scheduler"})))).await;
    wait_placed(&pods, 3 + 12 + 1).await;
    assert_eq!(bound_by_us(&cluster, "secondary"), 1);
    release.test().await;
    rights::fit(&cluster, [from, installed], quiet).await;

    // Primary: it stands by until the stock scheduler stops, then schedules everything.
    let from = rights::mark(&cluster);
    release.upgrade(&["--set=mode=primary", "--set=scheduler.nodeName=worker-1"]).await;
    let quiet = rights::mark(&cluster);
    assert!(!holder(&cluster, STOCK_LEASE).await.starts_with(SCHEDULER), "the stock scheduler holds it");
    stock.terminate(LONG).await.unwrap();
    scheduler_is(&cluster, &release, true).await;
    create_many(pods.clone(), "primary", 6, small()).await;
    wait_placed(&pods, 3 + 12 + 1 + 6).await;
    assert_eq!(bound_by_us(&cluster, "primary"), 6);
    release.test().await;
    rights::fit(&cluster, [from, installed], quiet).await;

    // It may not go while nobody else does its work.
    let refused = release.helm(&["uninstall", RELEASE], &[]).await;
    assert!(!refused.success, "{}", refused.said());
    let guard = release.pods.ended().pop().unwrap();
    assert!(guard.pod.starts_with("headroom-scheduler-hand-back-") && guard.code == Some(2), "{guard:?}");
    assert!(guard.log.contains("hold") && guard.log.contains("upgrade to mode=shadow"), "{}", guard.log);
    assert_eq!(deployments_of(&cluster).await, 2, "nothing was removed");
    // Helm has marked the release as uninstalling, and upgrades none of those.
    release.must(&["rollback", RELEASE, "3"], &["--wait"]).await;
    release.ready().await;

    // Handed back: the stock scheduler stands by, and takes over when ours goes.
    let _stock = start_stock(&cluster).await;
    release.upgrade(&["--set=mode=shadow"]).await;
    scheduler_is(&cluster, &release, false).await;
    create_many(pods.clone(), "back", 3, small()).await;
    wait_placed(&pods, 3 + 12 + 1 + 6 + 3).await;
    assert_eq!(bound_by_us(&cluster, "back"), 0);

    release.must(&["uninstall", RELEASE], &[]).await;
    release.pods.settled(LONG).await.unwrap();
    let extra = pods.list(&ListParams::default()).await.unwrap().items;
    for pod in extra.iter().filter(|pod| !pod.name_any().starts_with("web-")) {
        delete(&pods, &pod.name_any()).await;
    }
    let gone = eventually(LONG, "the cluster to be as before", || async {
        let now = cluster.dump(&[STOCK_LEASE]).await.map_err(|error| error.to_string())?;
        let differences = before.differences(&now);
        if differences.is_empty() { Ok(()) } else { Err(differences.join("\n")) }
    });
    release.pods.during(gone).await.unwrap().unwrap();
    assert!(release.pods.log(CONTROLLERS).is_empty(), "a process of ours still runs");
    hollow.stop().await;
}

/// How many Deployments of ours there are.
async fn deployments_of(cluster: &ControlPlane) -> usize {
    let deployments: Api<Deployment> = Api::namespaced(cluster.admin_client(), "kube-system");
    deployments.list(&ListParams::default()).await.unwrap().items.len()
}
