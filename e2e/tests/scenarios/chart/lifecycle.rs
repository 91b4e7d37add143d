//! Installed in shadow, on to secondary and primary, handed back, uninstalled: and the cluster is as it was.

use std::cell::RefCell;
use std::time::Duration;

use super::{CONTROLLERS, Release, SCHEDULER, SCHEDULER_USER, admits_pods, kubelet_ca, rights};
use crate::common::{
    LONG, STOCK_LEASE, asking, both, bound, create, create_many, delete, holder, measured, object, on_node,
    patient_stock, pod, pods, reader_token, wait_placed, writes_of,
};
use headroom_e2e::dump::Dump;
use headroom_e2e::helm::helm_binary;
use headroom_e2e::{ControlPlane, Process, eventually};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{ListParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

/// Dumps in a row that have to be equal before a cluster counts as settled: some seconds.
const STILL: usize = 20;
const SHADOW_VALUES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/headroom/ci/shadow-values.yaml");

/// Everything that there is, once nothing moves any more.
pub(super) async fn settled(cluster: &ControlPlane) -> Dump {
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

pub(super) async fn start_stock(cluster: &ControlPlane) -> Process {
    let stock = cluster.start_stock_scheduler(&patient_stock()).unwrap();
    cluster.wait_healthy(&stock, "/healthz", LONG).await.unwrap();
    stock
}

/// Waits until the lease of the default scheduler is held by a pod of ours, or by somebody else.
pub(super) async fn scheduler_is(cluster: &ControlPlane, release: &Release<'_>, ours: bool) {
    let held = eventually(LONG, "the lease kube-scheduler to change hands", || async {
        let now = holder(cluster, STOCK_LEASE).await;
        if !now.is_empty() && now.starts_with(SCHEDULER) == ours { Ok(()) } else { Err(now) }
    });
    release.pods.during(held).await.unwrap().unwrap();
}

pub(super) fn small() -> Value {
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

/// What the scheduler in shadow mode has compared so far.
async fn report(cluster: &ControlPlane, port: u16, token: &str) -> Result<Value, String> {
    let client = cluster.unchecked_client_with(port, Some(token.to_owned())).await.map_err(|e| e.to_string())?;
    let text = crate::common::get(&client, "/debug/shadow").await.map_err(|e| e.to_string())?;
    serde_json::from_str(&text).map_err(|e| e.to_string())
}

/// So many of the comparisons in a report that came out like this.
fn count(report: &Value, outcomes: &[&str]) -> u64 {
    outcomes.iter().filter_map(|outcome| report[*outcome].as_u64()).sum()
}

const OUTCOMES: [&str; 4] = ["agrees", "differs", "wouldWait", "notCompared"];

/// Pods that could go to each of the three nodes, and have a reason to go to one of them: affinity, the neighbours that they
/// would rather not have, the room that is left. (Among equal nodes the stock scheduler draws lots, and agreement says
/// nothing.) One after another, so that both schedulers decide about the same cluster. Returns how many have a choice, and
/// how many others were needed.
async fn choices(pods: &Api<Pod>) -> (usize, usize) {
    let node = |number: usize| format!("worker-{number}");
    let goes_to = async |name: &str, spec: Value, best: usize| {
        create(pods, &pod(name, both(small(), spec))).await;
        assert_eq!(bound(pods, name).await, node(best), "{name}, by the stock scheduler");
    };
    let preferred = |kind: &str, preference: Value| {
        let preferred = json!({"preferredDuringSchedulingIgnoredDuringExecution": [preference]});
        json!({"affinity": {kind: preferred}})
    };

    for number in 0..6 {
        let best = number % 3 + 1;
        let here = json!([{"key": "kubernetes.io/hostname", "operator": "In", "values": [node(best)]}]);
        let leaning = preferred("nodeAffinity", json!({"weight": 100, "preference": {"matchExpressions": here}}));
        goes_to(&format!("leaning-{number}"), leaning, best).await;
    }
    for (group, taken, best) in [("east", [1, 2], 3), ("west", [2, 3], 1)] {
        for number in taken {
            let mut anchor = pod(&format!("{group}-{number}"), both(small(), on_node(&node(number))));
            anchor.metadata.labels = Some([("group".to_owned(), group.to_owned())].into());
            create(pods, &anchor).await;
            bound(pods, &format!("{group}-{number}")).await;
        }
        let others =
            json!({"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"group": group}}});
        for number in 0..3 {
            let apart = preferred("podAntiAffinity", json!({"weight": 100, "podAffinityTerm": others}));
            goes_to(&format!("apart-from-{group}-{number}"), apart, best).await;
        }
    }
    for number in [1, 2] {
        let large = asking(json!({"cpu": "500m", "memory": "200Mi"}));
        create(pods, &pod(&format!("large-{number}"), both(both(small(), large), on_node(&node(number))))).await;
        bound(pods, &format!("large-{number}")).await;
    }
    for number in 0..6 {
        goes_to(&format!("roomy-{number}"), json!({}), 3).await;
    }
    (6 + 6 + 6, 4 + 2)
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

    // Shadow, the chart's default: it measures, and agrees: where there is one node to choose, and where there are three.
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
    let mut there = 3 + 12;
    wait_placed(&pods, there).await;
    let forced = eventually(LONG, "twelve comparisons", || async {
        let report = report(&cluster, port, &token).await?;
        let agree = count(&report, &["agrees"]) >= 6;
        let fits = agree && count(&report, &OUTCOMES) >= 12 && count(&report, &["differs", "wouldWait"]) == 0;
        if fits { Ok(report) } else { Err(report.to_string()) }
    });
    let forced = forced.await.unwrap();
    let (free, others) = choices(&pods).await;
    there += free + others;
    let told = eventually(LONG, "a comparison of every pod", || async {
        let report = report(&cluster, port, &token).await?;
        let new = count(&report, &OUTCOMES) - count(&forced, &OUTCOMES);
        if new >= (free + others) as u64 { Ok(report) } else { Err(report.to_string()) }
    });
    let told = told.await.unwrap();
    let since = |outcomes: &[&str]| count(&told, outcomes) - count(&forced, outcomes);
    let (agreed, compared) = (since(&["agrees"]), since(&["agrees", "differs", "wouldWait"]));
    // Some may be bound before ours has looked at them: there is nothing to compare then. Who chose by chance would agree about
    // every third.
    let enough = agreed + 2 >= compared && 2 * compared >= (free + others) as u64;
    assert!(enough, "{agreed} of {compared} of {free} and {others} agree: {told}");
    release.test().await;
    assert_eq!(bound_by_us(&cluster, ""), 0, "in shadow");
    rights::fit(&cluster, [installed, installed], installed).await;

    // Secondary: the pods that ask for it, and the canary.
    let from = rights::mark(&cluster);
    release.upgrade(&["--set=mode=secondary"]).await;
    let quiet = rights::mark(&cluster);
    create(&pods, &pod("secondary", both(small(), json!({"schedulerName": "headroom-scheduler"})))).await;
    there += 1;
    wait_placed(&pods, there).await;
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
    there += 6;
    wait_placed(&pods, there).await;
    assert_eq!(bound_by_us(&cluster, "primary"), 6);
    release.test().await;
    rights::fit(&cluster, [from, installed], quiet).await;

    // The way back, as it is printed. It may not go while nobody else does its work.
    let back = release.way_back().await;
    let refused = release.printed(&back, "uninstall", &[]).await;
    assert!(!refused.success, "{}", refused.said());
    let guard = release.pods.ended().pop().unwrap();
    assert!(guard.pod.starts_with("headroom-scheduler-hand-back-") && guard.code == Some(2), "{guard:?}");
    assert!(guard.log.contains("hold") && guard.log.contains("upgrade to mode=shadow"), "{}", guard.log);
    assert_eq!(deployments_of(&cluster).await, 2, "nothing was removed");
    // Helm has marked the release as uninstalling, and upgrades none of those.
    let again = release.printed(&back, "rollback", &["--wait"]).await;
    assert!(again.success, "{}", again.said());
    release.ready().await;
    assert!(holder(&cluster, STOCK_LEASE).await.starts_with(SCHEDULER), "it changes no pod");

    // Handed back: the stock scheduler stands by, and takes over when ours goes.
    let _stock = start_stock(&cluster).await;
    let handed = release.printed(&back, "upgrade", &["--wait"]).await;
    assert!(handed.success, "{}", handed.said());
    release.ready().await;
    scheduler_is(&cluster, &release, false).await;
    create_many(pods.clone(), "back", 3, small()).await;
    there += 3;
    wait_placed(&pods, there).await;
    assert_eq!(bound_by_us(&cluster, "back"), 0);

    let gone = release.printed(&back, "uninstall", &[]).await;
    assert!(gone.success, "{}\n{:?}", gone.said(), release.pods.ended());
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
pub(super) async fn deployments_of(cluster: &ControlPlane) -> usize {
    let deployments: Api<Deployment> = Api::namespaced(cluster.admin_client(), "kube-system");
    deployments.list(&ListParams::default()).await.unwrap().items.len()
}
