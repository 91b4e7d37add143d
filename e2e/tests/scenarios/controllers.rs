//! The controllers' process on a real API server: flags, rights, kubelets that do not answer, a kill in the middle of a
//! burst, mirrored Endpoints, and pods that nobody else deletes.

use std::collections::BTreeMap;

use crate::common::{
    LONG, PATIENT, SHORT, code, control_plane_with_crds as control_plane, create, hollow, leading, merge, node, object,
    pod, pods,
};
use headroom_api::NodeHeadroom;
use headroom_e2e::control_plane::audit::AuditEvent;
use headroom_e2e::{ControlPlane, Identity, Process, eventually, our_binary};
use k8s_openapi::api::core::v1::{Endpoints, Pod, ReplicationController, Service, ServiceAccount};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use tokio_rustls::rustls::pki_types::{CertificateDer, pem::PemObject};

async fn start(cluster: &ControlPlane, lease: &[&str], flags: &[&str]) -> Process {
    let flags: Vec<&str> = lease.iter().chain(flags).copied().collect();
    let process = cluster.start_headroom_controllers(&flags).unwrap();
    leading(cluster, &process).await;
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
        (vec!["--mirroring-max-endpoints-per-subset=1001"], "--mirroring-max-endpoints-per-subset"),
        (vec!["--terminated-pod-gc-threshold=many"], "--terminated-pod-gc-threshold"),
        (vec!["--no-such-flag"], "--no-such-flag"),
        (
            vec!["--concurrent-deployment-syncs=10"],
            "a flag of deployment-controller, which is not a controller of this",
        ),
        (vec!["--concurrent-service-endpoint-syncs=51"], "--concurrent-service-endpoint-syncs"),
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
    let ca = cluster.trust_kubelets(&hollow).unwrap();
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
    // The lease of the first has to run out; that of the second has to last.
    let cluster = control_plane().await;
    let accounts: Api<ServiceAccount> = Api::default_namespaced(cluster.admin_client());
    eventually(LONG, "the default ServiceAccount", || accounts.get("default")).await.unwrap();
    let loops = ["--controllers=replicationcontroller-controller"];
    let first = start(&cluster, &SHORT, &loops).await;
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
    let second = start(&cluster, &SHORT, &loops).await;
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
    let status = second.terminate(LONG).await.unwrap();
    assert_eq!(status.code(), Some(0), "SIGTERM ends it in order:\n{}", second.log_tail());
}

const MIRRORING: &str = "endpointslice-mirroring-controller";

/// A service without a selector, with Endpoints of its own.
async fn custom_endpoints(cluster: &ControlPlane, name: &str, subsets: Value) {
    let services: Api<Service> = Api::default_namespaced(cluster.admin_client());
    let service = json!({"metadata": {"name": name}, "spec": {"ports": [{"port": 80}]}});
    services.create(&PostParams::default(), &object(service)).await.unwrap();
    let endpoints: Api<Endpoints> = Api::default_namespaced(cluster.admin_client());
    let body = json!({"metadata": {"name": name, "labels": {"team": "x"}, "annotations": {"note": "y"}},
                      "subsets": subsets});
    endpoints.create(&PostParams::default(), &object(body)).await.unwrap();
}

/// The slices of a service, once the addresses in them are these.
async fn slices(cluster: &ControlPlane, service: &str, addresses: &[&str]) -> BTreeMap<String, EndpointSlice> {
    let api: Api<EndpointSlice> = Api::default_namespaced(cluster.admin_client());
    let of_service = ListParams::default().labels(&format!("kubernetes.io/service-name={service}"));
    eventually(LONG, &format!("slices of {service} with {addresses:?}"), || async {
        let list = api.list(&of_service).await.map_err(|error| error.to_string())?;
        let endpoints = list.items.iter().flat_map(|slice| slice.endpoints.iter().flatten());
        let mut seen: Vec<_> = endpoints.flat_map(|e| e.addresses.clone()).collect();
        seen.sort();
        if seen != addresses || (addresses.is_empty() && !list.items.is_empty()) {
            return Err(format!("{seen:?}"));
        }
        Ok(list.items.into_iter().map(|slice| (slice.name_any(), slice)).collect())
    })
    .await
    .unwrap()
}

/// Stock's mirroring loop and nothing else.
async fn start_stock_mirroring(cluster: &ControlPlane) -> Process {
    let stock = cluster.start_stock_kcm(MIRRORING, &[]).unwrap();
    cluster.wait_healthy(&stock, "/healthz", LONG).await.unwrap();
    stock
}

#[tokio::test]
async fn custom_endpoints_are_mirrored_and_neither_take_over_nor_hand_back_rewrites_a_slice() {
    let cluster = control_plane().await;
    let web = json!([
        {"addresses": [{"ip": "10.1.0.1", "hostname": "h"},
                       {"ip": "10.1.0.2", "targetRef": {"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "u"}}],
         "notReadyAddresses": [{"ip": "10.1.0.3", "nodeName": "n"}, {"ip": "fd00::1"}],
         "ports": [{"name": "http", "port": 8080, "appProtocol": "http"}, {"name": "dns", "port": 53, "protocol": "UDP"}]},
        {"addresses": [{"ip": "10.1.0.4"}], "ports": [{"name": "other", "port": 9090}]},
    ]);
    let all = ["10.1.0.1", "10.1.0.2", "10.1.0.3", "10.1.0.4", "fd00::1"];
    let marker = |ip: &str| json!([{"addresses": [{"ip": ip}], "ports": [{"port": 1}]}]);

    let stock = start_stock_mirroring(&cluster).await;
    custom_endpoints(&cluster, "web", web).await;
    let of_stock = slices(&cluster, "web", &all).await;
    assert_eq!(of_stock.len(), 3, "two sets of ports, one of them in both families");
    stock.terminate(LONG).await.unwrap();

    let ours = start(&cluster, &PATIENT, &["--controllers=endpointslice-mirroring-controller"]).await;
    // What is queued last is worked on last.
    custom_endpoints(&cluster, "ours", marker("10.2.0.1")).await;
    let made = slices(&cluster, "ours", &["10.2.0.1"]).await;
    assert_eq!(slices(&cluster, "web", &all).await, of_stock, "ours has rewritten what stock wrote");
    let (_, made) = made.into_iter().next().unwrap();
    let (_, model) = of_stock.iter().find(|(_, s)| s.ports.iter().flatten().any(|p| p.port == Some(9090))).unwrap();
    let owner = |slice: &EndpointSlice| {
        let owner = slice.owner_references()[0].clone();
        (owner.api_version, owner.kind, owner.controller, owner.block_owner_deletion)
    };
    assert_eq!(owner(&made), owner(model));
    assert_eq!(made.annotations(), model.annotations());
    assert_eq!(made.labels().keys().collect::<Vec<_>>(), model.labels().keys().collect::<Vec<_>>());

    let endpoints: Api<Endpoints> = Api::default_namespaced(cluster.admin_client());
    let change = async |name: &str, subsets: Value| {
        endpoints.patch(name, &PatchParams::default(), &Patch::Merge(json!({"subsets": subsets}))).await.unwrap();
    };
    change("ours", marker("10.2.0.2")).await;
    let changed = slices(&cluster, "ours", &["10.2.0.2"]).await;
    assert_eq!(changed.keys().collect::<Vec<_>>(), [&made.name_any()], "changed in place");
    endpoints.delete("ours", &DeleteParams::default()).await.unwrap();
    slices(&cluster, "ours", &[]).await;
    change("web", json!([{"addresses": [{"ip": "10.1.0.9"}], "ports": [{"name": "http", "port": 8080}]}])).await;
    let of_ours = slices(&cluster, "web", &["10.1.0.9"]).await;
    assert_eq!(of_ours.len(), 1);
    assert!(of_ours.keys().all(|name| of_stock.contains_key(name)), "a slice of other ports is used again");
    assert_eq!(forbidden(&cluster), Vec::<String>::new(), "the shipped rules suffice");
    assert!(ours.terminate(LONG).await.unwrap().success());

    let stock = start_stock_mirroring(&cluster).await;
    custom_endpoints(&cluster, "stock", marker("10.3.0.1")).await;
    slices(&cluster, "stock", &["10.3.0.1"]).await;
    assert_eq!(slices(&cluster, "web", &["10.1.0.9"]).await, of_ours, "stock has rewritten what ours wrote");
    stock.expect_running("the test").unwrap();
}

/// A pod of a node, or of none, with a finalizer when it is `held`.
fn garbage(name: &str, on: Option<&str>, held: bool) -> Pod {
    let mut body = serde_json::to_value(pod(name, json!({}))).unwrap();
    if let Some(on) = on {
        merge(&mut body, json!({"spec": {"nodeName": on}}));
    }
    if held {
        merge(&mut body, json!({"metadata": {"finalizers": ["example.com/held"]}}));
    }
    object(body)
}

#[tokio::test]
async fn pods_that_nobody_else_deletes_are_collected() {
    let cluster = control_plane().await;
    let pods = pods(&cluster, "default");
    node(&cluster, "alive", json!({})).await;
    let ended = |phase: &str, reason: &str| Patch::Merge(json!({"status": {"phase": phase, "reason": reason}}));
    for (name, status) in [
        ("ended-1", ended("Succeeded", "")),
        ("ended-2", ended("Failed", "")),
        ("ended-3", ended("Succeeded", "")),
        ("evicted", ended("Failed", "Evicted")),
    ] {
        create(&pods, &garbage(name, Some("alive"), false)).await;
        pods.patch_status(name, &PatchParams::default(), &status).await.unwrap();
    }
    create(&pods, &garbage("runs", Some("alive"), false)).await;
    create(&pods, &garbage("orphan", Some("gone"), false)).await;
    create(&pods, &garbage("orphan-held", Some("gone"), true)).await;
    create(&pods, &garbage("never-bound", None, true)).await;
    pods.delete("never-bound", &DeleteParams::default()).await.unwrap();

    let flags = ["--controllers=pod-garbage-collector-controller", "--terminated-pod-gc-threshold=2"];
    let ours = start(&cluster, &PATIENT, &flags).await;
    // Held pods count as ended once they are marked, as with stock, and so all others that have ended go in the end.
    eventually(LONG, "only held and running pods to be left", || async {
        let list = pods.list(&ListParams::default()).await.map_err(|error| error.to_string())?;
        let names: Vec<_> = list.items.iter().map(ResourceExt::name_any).collect();
        if names == ["never-bound", "orphan-held", "runs"] { Ok(()) } else { Err(format!("{names:?}")) }
    })
    .await
    .unwrap();
    let status = async |name: &str| serde_json::to_value(pods.get(name).await.unwrap()).unwrap();
    let target = |pod: &Value| {
        let conditions = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
        conditions.into_iter().find(|c| c["type"] == "DisruptionTarget")
    };
    let held = eventually(LONG, "the held orphan to be deleted", || async {
        let pod = status("orphan-held").await;
        if pod["metadata"]["deletionTimestamp"].is_string() { Ok(pod) } else { Err(pod.to_string()) }
    })
    .await
    .unwrap();
    assert_eq!((&held["status"]["phase"], &held["status"]["observedGeneration"]), (&json!("Failed"), &json!(1)));
    assert_eq!(held["metadata"]["deletionGracePeriodSeconds"], 0);
    let condition = target(&held).expect("no condition DisruptionTarget");
    assert_eq!(condition["reason"], "DeletionByPodGC");
    assert_eq!(condition["message"], "PodGC: node no longer exists");
    assert_eq!((&condition["status"], &condition["observedGeneration"]), (&json!("True"), &json!(1)));
    let unbound = status("never-bound").await;
    assert_eq!((&unbound["status"]["phase"], target(&unbound)), (&json!("Failed"), None));
    assert_eq!(status("runs").await["status"]["phase"], "Pending");

    let us = Identity::HeadroomControllers.user();
    let events = cluster.audit_events().unwrap();
    let at = |verb: &str, path: &str| {
        let of = |e: &&AuditEvent| e.user.username == us && e.verb == verb && e.request_uri.starts_with(path);
        events.iter().filter(of).map(|e| e.request_received_timestamp.clone()).min()
    };
    let deleted = |name: &str| at("delete", &format!("/api/v1/namespaces/default/pods/{name}")).expect("no deletion");
    let asked = at("get", "/api/v1/nodes/gone").expect("the API server was not asked about the node");
    assert!(asked < deleted("orphan"), "asked {asked}, deleted {}", deleted("orphan"));
    // The evicted one and the oldest in the first pass, then by age.
    let order = ["evicted", "ended-1", "ended-2", "ended-3"].map(deleted);
    assert!(order[0] < order[2] && order[1] < order[2] && order[2] < order[3], "{order:?}");
    assert_eq!(forbidden(&cluster), Vec::<String>::new(), "the shipped rules suffice");
    ours.expect_running("the test").unwrap();
}
