//! The controllers' process on a real API server: flags, rights, kubelets that do not answer, and a kill in the middle of
//! a burst.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code: a panic is a failed test")]

mod common;

use std::time::Duration;

use common::{
    LONG, PATIENT, code, control_plane_with_crds as control_plane, hollow, object, trust_kubelets, wait_for_log,
};
use headroom_api::NodeHeadroom;
use headroom_e2e::control_plane::audit::AuditEvent;
use headroom_e2e::{ControlPlane, Identity, Process, eventually, our_binary};
use k8s_openapi::api::core::v1::{Pod, ReplicationController, ServiceAccount};
use kube::{
    Api, ResourceExt,
    api::{ListParams, PostParams},
};
use serde_json::json;
use tokio_rustls::rustls::pki_types::{CertificateDer, pem::PemObject};

async fn start(cluster: &ControlPlane, lease: &[&str], flags: &[&str]) -> Process {
    let flags: Vec<&str> = lease.iter().chain(flags).copied().collect();
    let process = cluster.start_headroom_controllers(&flags).unwrap();
    cluster.wait_healthy(&process, "/readyz", LONG).await.unwrap();
    process
}

fn answered(event: &AuditEvent, code: u16) -> bool {
    event.response_status.as_ref().is_some_and(|s| s.code == code)
}

/// 403s that the API server gave to our identity.
fn forbidden(cluster: &ControlPlane) -> Vec<String> {
    let us = Identity::HeadroomControllers.user();
    let events = cluster.audit_events().unwrap();
    let ours = events.iter().filter(|e| e.user.username == us && answered(e, 403));
    ours.map(|e| format!("{} {}", e.verb, e.request_uri)).collect()
}

fn replication_controller(name: &str, replicas: i32) -> ReplicationController {
    object(json!({
        "metadata": {"name": name},
        "spec": {"replicas": replicas, "selector": {"app": name}, "template": {
            "metadata": {"labels": {"app": name}},
            "spec": {"containers": [{"name": "c", "image": "registry.example/app"}]},
        }},
    }))
}

#[tokio::test]
async fn wrong_flags_end_with_status_1_and_one_line() {
    for (flags, wanted) in [
        (vec!["--controllers=*,deployment-controller"], "deployment-controller"),
        (vec!["--node-monitor-period=5"], "is not a duration"),
        (vec!["--no-such-flag"], "--no-such-flag"),
        (vec!["--kubeconfig=/does/not/exist"], "/does/not/exist"),
        (vec!["--leader-elect-lease-duration=5s"], "leaseDuration"),
    ] {
        let mut command = tokio::process::Command::new(our_binary("headroom-controllers").unwrap());
        command.args(&flags).env_clear().kill_on_drop(true);
        let output = tokio::time::timeout(LONG, command.output()).await.expect("it does not end").unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{flags:?}: {text}");
        assert!(text.contains(wanted) && text.trim_end().lines().count() == 1, "{flags:?}: {text}");
    }
}

#[tokio::test]
async fn nodes_are_measured_with_a_token_that_can_do_nothing_else_and_a_dead_kubelet_degrades_its_node_alone() {
    let cluster = control_plane().await;
    let hollow = hollow(&cluster, "worker=2:1Gi:swap=2Gi").await;
    let ca = trust_kubelets(&cluster, &hollow);
    let controllers = start(&cluster, &PATIENT, &["--node-headroom-interval=1s", &ca]).await;
    let api: Api<NodeHeadroom> = Api::all(cluster.admin_client());
    let fresh = async |name: &str| {
        let object = api.get(name).await.map_err(|e| e.to_string())?;
        let status = object.status.ok_or("no status")?;
        let condition = status.conditions.iter().find(|c| c.kind == "Fresh").ok_or("no condition Fresh")?;
        Ok::<_, String>((condition.status.clone(), condition.reason.clone()))
    };
    for name in ["worker-1", "worker-2"] {
        let is_fresh = async || match fresh(name).await? {
            (status, _) if status == "True" => Ok(()),
            other => Err(format!("{other:?}")),
        };
        eventually(LONG, "a fresh sample", is_fresh).await.unwrap();
        let object = api.get(name).await.unwrap();
        assert_eq!(object.owner_references()[0].kind, "Node");
        let status = object.status.unwrap();
        assert_eq!(status.memory.capacity_bytes, Some(1 << 30));
        assert_eq!(status.swap.capacity_bytes, Some(2 << 30));
    }
    for (node, received) in hollow.received() {
        let user = serde_json::to_value(&received).unwrap()["user"].clone();
        assert_eq!(user, "system:serviceaccount:kube-system:headroom-kubelet-reader", "{node}");
    }
    a_reader_can_do_nothing_else(&cluster).await;
    hollow.kill("worker-1").unwrap();
    let degraded = async || match fresh("worker-1").await? {
        (status, reason) if status == "False" && reason == "Unreachable" => Ok(()),
        other => Err(format!("{other:?}")),
    };
    eventually(LONG, "the dead kubelet's node to degrade", degraded).await.unwrap();
    assert_eq!(fresh("worker-2").await.unwrap().0, "True", "the other node is not concerned");
    assert_eq!(forbidden(&cluster), Vec::<String>::new(), "the shipped rules suffice");
    controllers.expect_running("the test").unwrap();
}

/// What a node that keeps the token it was shown could do with it.
async fn a_reader_can_do_nothing_else(cluster: &ControlPlane) {
    let accounts: Api<ServiceAccount> = Api::namespaced(cluster.admin_client(), "kube-system");
    let request = object(json!({"spec": {"audiences": [], "expirationSeconds": 600}}));
    let name = "headroom-kubelet-reader";
    let issued = accounts.create_token_request(name, &PostParams::default(), &request).await.unwrap();
    let mut config = kube::Config::new(cluster.url().parse().unwrap());
    let ca = std::fs::read(cluster.pki().ca_cert()).unwrap();
    config.root_cert = Some(vec![CertificateDer::from_pem_slice(&ca).unwrap().to_vec()]);
    config.auth_info.token = Some(issued.status.unwrap().token.unwrap().into());
    let client = kube::Client::try_from(config).unwrap();
    for path in [
        "/api/v1/nodes",
        "/api/v1/nodes/worker-2",
        "/api/v1/nodes/worker-2/proxy/pods",
        "/api/v1/pods",
        "/api/v1/namespaces/kube-system/secrets",
        "/apis/headroom.dev/v1alpha1/nodeheadrooms",
    ] {
        let request = http::Request::get(path).body(Vec::new()).unwrap();
        assert_eq!(code(&client.request_text(request).await), 403, "{path}");
    }
    let another = accounts_of(&client).create_token_request(name, &PostParams::default(), &request).await;
    assert_eq!(code(&another), 403, "a token for another token");
}

fn accounts_of(client: &kube::Client) -> Api<ServiceAccount> {
    Api::namespaced(client.clone(), "kube-system")
}

#[tokio::test]
async fn a_kill_in_the_middle_of_a_burst_neither_loses_nor_doubles_a_pod() {
    const REPLICAS: usize = 150;
    let short =
        ["--leader-elect-lease-duration=3s", "--leader-elect-renew-deadline=2s", "--leader-elect-retry-period=300ms"];
    let cluster = control_plane().await;
    let accounts: Api<ServiceAccount> = Api::default_namespaced(cluster.admin_client());
    eventually(LONG, "the default ServiceAccount", || accounts.get("default")).await.unwrap();
    let loops = ["--controllers=replicationcontroller-controller"];
    let first = start(&cluster, &short, &loops).await;
    let rcs: Api<ReplicationController> = Api::default_namespaced(cluster.admin_client());
    let pods: Api<Pod> = Api::default_namespaced(cluster.admin_client());
    let count = async || pods.list(&ListParams::default()).await.map(|l| l.items.len()).map_err(|e| e.to_string());
    rcs.create(&PostParams::default(), &replication_controller("burst", REPLICAS as i32)).await.unwrap();
    let some = async || match count().await? {
        0 => Err("no pod yet".to_owned()),
        n => Ok(n),
    };
    eventually(LONG, "the first pods", some).await.unwrap();
    first.kill9();
    let second = start(&cluster, &short, &loops).await;
    wait_for_log(&second, "became leader").await;
    let all =
        async || match rcs.get("burst").await.map_err(|e| e.to_string())?.status.and_then(|s| s.observed_generation) {
            Some(_) => match count().await? {
                n if n >= REPLICAS => Ok(()),
                n => Err(format!("{n} pods")),
            },
            None => Err("no status yet".to_owned()),
        };
    eventually(LONG, "all pods", all).await.unwrap();
    // What was ever created counts, not only what is left: a pod too many would have been deleted again. A create whose
    // client was killed is stored, and answered with 504 to nobody.
    let events = cluster.audit_events().unwrap();
    let pods_uri = "/api/v1/namespaces/default/pods";
    let answers = |verb: &str, codes: &[u16]| {
        let of = |e: &&AuditEvent| e.verb == verb && e.request_uri.starts_with(pods_uri);
        events.iter().filter(of).filter(|e| codes.iter().any(|code| answered(e, *code))).count()
    };
    assert_eq!((answers("delete", &[200, 202]), count().await.unwrap()), (0, REPLICAS));
    let (created, unknown) = (answers("create", &[201]), answers("create", &[504]));
    assert!(created <= REPLICAS && created + unknown >= REPLICAS, "{created} created, {unknown} unknown");
    assert_eq!(forbidden(&cluster), Vec::<String>::new(), "the shipped rules suffice");
    let status = second.terminate(Duration::from_secs(20)).await.unwrap();
    assert_eq!(status.code(), Some(0), "SIGTERM ends it in order:\n{}", second.log_tail());
}
