//! The harness itself, on a real control plane.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use headroom_e2e::{ControlPlane, Identity, Process, RbacSet, SchedulerOptions, Signal, eventually, slots, wait_for};
use k8s_openapi::api::core::v1::{ConfigMap, Node, Pod, ReplicationController, ServiceAccount};
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde::de::DeserializeOwned;
use serde_json::json;

const LONG: Duration = Duration::from_secs(180);

fn object<K: DeserializeOwned>(value: serde_json::Value) -> K {
    serde_json::from_value(value).unwrap()
}

fn config_map(name: &str) -> ConfigMap {
    object(json!({"metadata": {"name": name}, "data": {"key": "value"}}))
}

fn code<T: std::fmt::Debug>(result: Result<T, kube::Error>) -> u16 {
    match result {
        Ok(_) => 200,
        Err(kube::Error::Api(status)) => status.code,
        Err(other) => panic!("{other}"),
    }
}

/// A process that is gone or waits to be reaped.
fn is_gone(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .map_or(true, |stat| stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('Z')))
}

#[tokio::test]
async fn control_plane_starts_keeps_its_data_over_a_restart_and_vanishes() {
    let cluster = ControlPlane::builder().start().await.unwrap();
    let version = cluster.get("/version").await.unwrap();
    assert!(version.contains("gitVersion"), "{version}");
    let server = cluster.with_api_server(Process::pid).unwrap();
    let etcd = cluster.etcd().pid();
    let dir = cluster.dir().to_path_buf();
    assert!(cluster.with_api_server(|process| process.rss().unwrap()).unwrap() > 50 * 1024 * 1024);
    assert!(cluster.with_api_server(|process| process.cpu().unwrap()).unwrap() > Duration::from_millis(100));

    let maps: Api<ConfigMap> = Api::namespaced(cluster.admin_client(), "default");
    maps.create(&PostParams::default(), &config_map("kept")).await.unwrap();
    cluster.kill_api_server();
    assert!(is_gone(server));
    assert!(maps.get("kept").await.is_err(), "the API server answers although it is gone");
    let start = Instant::now();
    cluster.start_api_server().await.unwrap();
    println!("API server restarted in {:.1} s", start.elapsed().as_secs_f64());
    let kept = maps.get("kept").await.unwrap();
    assert_eq!(kept.data.unwrap()["key"], "value");

    // Frozen: the connection stands, and nothing is answered.
    cluster.freeze_api_server().unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(500), maps.get("kept")).await.is_err());
    cluster.thaw_api_server().unwrap();
    maps.get("kept").await.unwrap();

    let start = Instant::now();
    cluster.restart_api_server().await.unwrap();
    println!("API server stopped in order and started in {:.1} s", start.elapsed().as_secs_f64());
    let second = cluster.with_api_server(Process::pid).unwrap();
    maps.get("kept").await.unwrap();

    drop(cluster);
    assert!(is_gone(second) && is_gone(etcd));
    assert!(!dir.exists());
}

#[tokio::test]
async fn two_control_planes_at_once_do_not_collide() {
    let slots = slots(2).await;
    let (one, two) =
        tokio::join!(ControlPlane::builder().within(&slots).start(), ControlPlane::builder().within(&slots).start());
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_ne!(one.url(), two.url());
    assert_ne!(one.loopback_octet(), two.loopback_octet());
    let maps = |cluster: &ControlPlane| Api::<ConfigMap>::namespaced(cluster.admin_client(), "default");
    maps(&one).create(&PostParams::default(), &config_map("only-in-one")).await.unwrap();
    assert!(maps(&two).get_opt("only-in-one").await.unwrap().is_none());
    // One ends, the other goes on.
    drop(one);
    maps(&two).create(&PostParams::default(), &config_map("still-alive")).await.unwrap();
}

#[tokio::test]
async fn identities_may_do_what_the_chart_grants_and_nothing_else() {
    let cluster = ControlPlane::builder().audit(true).start().await.unwrap();
    let nodes = |client| Api::<Node>::all(client);
    let node: Node = object(json!({"metadata": {"name": "n1"}}));
    nodes(cluster.admin_client()).create(&PostParams::default(), &node).await.unwrap();
    let pod: Pod = object(json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "c"}]}}));
    Api::<Pod>::namespaced(cluster.admin_client(), "default").create(&PostParams::default(), &pod).await.unwrap();

    // Before the manifests are applied our scheduler is nobody.
    let scheduler = cluster.client(&Identity::HeadroomScheduler).await.unwrap();
    assert_eq!(code(nodes(scheduler.clone()).list(&ListParams::default()).await), 403);
    cluster.apply_rbac(RbacSet::Shadow).await.unwrap();
    eventually(LONG, "the role to take effect", || async {
        nodes(scheduler.clone()).list(&ListParams::default()).await.map(|_| ())
    })
    .await
    .unwrap();

    let bind = |client: kube::Client| async move {
        let body = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "p"},
                          "target": {"apiVersion": "v1", "kind": "Node", "name": "n1"}});
        let request = http::Request::post("/api/v1/namespaces/default/pods/p/binding")
            .header("content-type", "application/json")
            .body(serde_json::to_vec(&body).unwrap())
            .unwrap();
        client.request::<serde_json::Value>(request).await
    };
    assert_eq!(code(bind(scheduler.clone()).await), 403, "shadow mode may bind");
    cluster.apply_rbac(RbacSet::Primary).await.unwrap();
    eventually(LONG, "the binding to be allowed", || {
        let scheduler = scheduler.clone();
        async { bind(scheduler).await.map(|_| ()) }
    })
    .await
    .unwrap();
    assert_eq!(code(nodes(scheduler.clone()).delete("n1", &DeleteParams::default()).await), 403);
    let lease = |name: &str| {
        object::<k8s_openapi::api::coordination::v1::Lease>(
            json!({"metadata": {"name": name, "namespace": "kube-system"}}),
        )
    };
    let leases: Api<k8s_openapi::api::coordination::v1::Lease> = Api::namespaced(scheduler, "kube-system");
    leases.create(&PostParams::default(), &lease("kube-scheduler")).await.unwrap();
    let touch = Patch::Merge(json!({"spec": {"holderIdentity": "me"}}));
    leases.patch("kube-scheduler", &PatchParams::default(), &touch).await.unwrap();
    assert_eq!(code(leases.patch("headroom-controllers", &PatchParams::default(), &touch).await), 403);

    // The collector's token: of its own account and of no other.
    let controllers = cluster.client(&Identity::HeadroomControllers).await.unwrap();
    let accounts: Api<ServiceAccount> = Api::namespaced(controllers.clone(), "kube-system");
    let request = object(json!({"spec": {"expirationSeconds": 600, "audiences": []}, "metadata": {}}));
    let token =
        accounts.create_token_request("headroom-kubelet-reader", &PostParams::default(), &request).await.unwrap();
    assert!(!token.status.unwrap().token.unwrap_or_default().is_empty());
    assert_eq!(
        code(accounts.create_token_request("headroom-controllers", &PostParams::default(), &request).await),
        403
    );
    assert_eq!(code(nodes(controllers).delete("n1", &DeleteParams::default()).await), 403);

    // Anonymous callers see health and nothing else.
    let events = cluster.audit_events().unwrap();
    let denied =
        events.iter().find(|event| event.verb == "delete" && event.code() == 403).expect("not in the audit log");
    assert_eq!(denied.user.username, Identity::HeadroomScheduler.user());
    assert_eq!(denied.object_ref.as_ref().unwrap().resource, "nodes");
    assert!(events.iter().any(|event| event.is_write() && event.request_uri.ends_with("/pods/p/binding?")
        || event.request_uri.ends_with("/pods/p/binding")));
}

#[tokio::test]
async fn stock_scheduler_and_controller_manager_work_beside_us() {
    let cluster = ControlPlane::builder().start().await.unwrap();
    let scheduler = cluster.start_stock_scheduler(&SchedulerOptions::default()).unwrap();
    let manager = cluster
        .start_stock_kcm("replicationcontroller-controller,serviceaccount-controller,namespace-controller", &[])
        .unwrap();
    cluster.wait_healthy(&scheduler, "/healthz", LONG).await.unwrap();
    cluster.wait_healthy(&manager, "/healthz", LONG).await.unwrap();
    let metrics = eventually(LONG, "metrics", || cluster.get_from(&scheduler, "/metrics")).await.unwrap();
    assert!(metrics.contains("scheduler_pending_pods"), "{}", &metrics[..metrics.len().min(300)]);

    // A node by hand: admission taints every new node, and no loop runs here that would remove the taint.
    let nodes: Api<Node> = Api::all(cluster.admin_client());
    let node: Node = object(json!({"metadata": {"name": "n1"}}));
    nodes.create(&PostParams::default(), &node).await.unwrap();
    nodes.patch("n1", &PatchParams::default(), &Patch::Merge(json!({"spec": {"taints": null}}))).await.unwrap();
    let status = json!({"status": {
        "capacity": {"cpu": "4", "memory": "8Gi", "pods": "110"},
        "allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110"},
        "conditions": [{"type": "Ready", "status": "True"}]}});
    nodes.patch_status("n1", &PatchParams::default(), &Patch::Strategic(status)).await.unwrap();

    let controllers: Api<ReplicationController> = Api::namespaced(cluster.admin_client(), "default");
    let web: ReplicationController = object(json!({"metadata": {"name": "web"}, "spec": {
        "replicas": 3, "selector": {"app": "web"},
        "template": {"metadata": {"labels": {"app": "web"}},
                     "spec": {"containers": [{"name": "c", "image": "c"}]}}}}));
    controllers.create(&PostParams::default(), &web).await.unwrap();
    let pods: Api<Pod> = Api::namespaced(cluster.admin_client(), "default");
    eventually(LONG, "3 pods on n1", || async {
        let list = pods.list(&ListParams::default().labels("app=web")).await.map_err(|error| error.to_string())?;
        let bound = list.items.iter().filter(|pod| pod.spec.as_ref().unwrap().node_name.as_deref() == Some("n1"));
        match bound.count() {
            3 => Ok(()),
            count => Err(format!("{count} of {} pods are bound", list.items.len())),
        }
    })
    .await
    .unwrap();

    // A namespace made by hand gets its service account from the controller manager.
    let accounts: Api<ServiceAccount> = Api::namespaced(cluster.admin_client(), "other");
    cluster.apply_yaml("namespace", "apiVersion: v1\nkind: Namespace\nmetadata: {name: other}\n").await.unwrap();
    let exists = |account: Option<&ServiceAccount>| account.is_some();
    wait_for(accounts, "default", LONG, "the default service account", exists).await.unwrap();

    let (one, two) = (scheduler.pid(), manager.pid());
    scheduler.signal(Signal::TERM).unwrap();
    scheduler.wait_exit(LONG).await.unwrap();
    assert!(scheduler.signal(Signal::TERM).is_err(), "a signal to a process that has ended");
    drop(manager);
    assert!(is_gone(one) && is_gone(two));
}

#[tokio::test]
async fn anonymous_callers_see_health_only_and_kubectl_works() {
    let cluster = ControlPlane::builder().start().await.unwrap();
    let output = cluster.kubectl().unwrap().args(["get", "namespaces", "-o", "name"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && text.contains("namespace/kube-system"), "{output:?}");

    let anonymous = cluster.anonymous_client().await.unwrap();
    let get = |path: &str| anonymous.request_text(http::Request::get(path).body(Vec::new()).unwrap());
    assert_eq!(get("/readyz").await.unwrap(), "ok");
    assert_eq!(code(get("/api/v1/namespaces").await), 401);
}

/// What the test below starts in a process of its own and then kills.
#[tokio::test]
#[ignore = "only started by a_killed_test_leaves_no_process"]
async fn victim() {
    let cluster = ControlPlane::builder().start().await.unwrap();
    let manager = cluster.start_stock_kcm("namespace-controller", &[]).unwrap();
    let server = cluster.with_api_server(Process::pid).unwrap();
    let line = format!("{} {} {} {}\n", server, cluster.etcd().pid(), manager.pid(), cluster.dir().display());
    let path = std::env::var_os("HEADROOM_E2E_VICTIM").unwrap();
    let temporary = Path::new(&path).with_extension("tmp");
    std::fs::write(&temporary, line).unwrap();
    std::fs::rename(&temporary, &path).unwrap();
    std::future::pending::<()>().await;
}

async fn kill_victim(signal: &str) {
    let _slot = slots(1).await;
    let dir = tempfile::tempdir().unwrap();
    let report = dir.path().join("report");
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["harness::victim", "--exact", "--ignored", "--nocapture"])
        .env("HEADROOM_E2E_VICTIM", &report)
        .env_remove("HEADROOM_E2E_RECORD")
        .spawn()
        .unwrap();
    let text = eventually(LONG + LONG, "the victim's report", || async { std::fs::read_to_string(&report) }).await;
    let text = text.unwrap();
    let fields: Vec<&str> = text.trim().splitn(4, ' ').collect();
    let pids: Vec<u32> = fields[..3].iter().map(|field| field.parse().unwrap()).collect();
    assert!(pids.iter().all(|pid| !is_gone(*pid)));
    assert!(Command::new("kill").args(["-s", signal, &victim.id().to_string()]).status().unwrap().success());
    victim.wait().unwrap();
    eventually(LONG, "every process to end", || async {
        let left: Vec<u32> = pids.iter().copied().filter(|pid| !is_gone(*pid)).collect();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?} still run after SIG{signal}")) }
    })
    .await
    .unwrap();
    std::fs::remove_dir_all(fields[3]).unwrap();
}

#[tokio::test]
async fn a_killed_test_leaves_no_process() {
    kill_victim("KILL").await;
}

#[tokio::test]
async fn a_terminated_test_leaves_no_process() {
    kill_victim("TERM").await;
}
