//! Hollow nodes on a real API server: registration, the life of pods, the kubelets' servers, chaos.

use std::net::Ipv4Addr;
use std::time::Duration;

use headroom_e2e::{ControlPlane, Identity, eventually, wait_for};
use headroom_hollow::{Curve, Hollow, HollowConfig, token_hash};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, Pod, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
use kube::Api;
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;

const LONG: Duration = Duration::from_secs(180);
const NAMESPACE: &str = "hollow";

fn object<K: DeserializeOwned>(value: Value) -> K {
    serde_json::from_value(value).unwrap()
}

async fn start(cluster: &ControlPlane, nodes: &str, change: impl FnOnce(&mut HollowConfig)) -> Hollow {
    cluster.create_namespace(NAMESPACE).await.unwrap();
    let mut config = HollowConfig::from_spec(nodes).unwrap();
    config.address_base = Ipv4Addr::new(127, cluster.loopback_octet(), 0, 0);
    config.remove_not_ready_taint = true;
    config.start_delay = Duration::from_millis(100);
    config.stop_duration = Duration::from_millis(100);
    change(&mut config);
    let file = Kubeconfig::read_from(cluster.kubeconfig(&Identity::Admin).unwrap()).unwrap();
    let kube = kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.unwrap();
    Hollow::connect(config, &kube).await.unwrap()
}

fn pod(name: &str, node: &str, memory: &str, extra: &Value) -> Pod {
    let mut pod = json!({
        "metadata": {"name": name},
        "spec": {
            "nodeName": node, "terminationGracePeriodSeconds": 5,
            "containers": [{"name": "c", "image": "i", "resources": {"requests": {"memory": memory, "cpu": "10m"}}}],
        },
    });
    merge(&mut pod, extra);
    object(pod)
}

fn merge(into: &mut Value, extra: &Value) {
    match (into, extra) {
        (Value::Object(into), Value::Object(extra)) => {
            for (key, value) in extra {
                merge(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (into, extra) => *into = extra.clone(),
    }
}

fn condition(pod: &Pod, name: &str) -> Option<String> {
    let all = pod.status.as_ref()?.conditions.as_ref()?;
    all.iter().find(|c| c.type_ == name).map(|c| c.status.clone())
}

fn phase(pod: Option<&Pod>) -> &str {
    pod.and_then(|pod| pod.status.as_ref()?.phase.as_deref()).unwrap_or("none")
}

fn is_ready(pod: Option<&Pod>) -> bool {
    pod.is_some_and(|pod| condition(pod, "Ready").as_deref() == Some("True"))
}

#[tokio::test]
async fn nodes_register_and_pods_live_on_them() {
    let cluster = ControlPlane::builder().start().await.unwrap();
    let hollow = start(&cluster, "worker=3:1Gi:swap=2Gi,big=1:2Gi:label=zone=a", |_| {}).await;
    let client = cluster.admin_client();

    let nodes = Api::<Node>::all(client.clone()).list(&ListParams::default()).await.unwrap().items;
    assert_eq!(nodes.len(), 4);
    for node in &nodes {
        let status = node.status.as_ref().unwrap();
        let ready = status.conditions.as_ref().unwrap().iter().find(|c| c.type_ == "Ready").unwrap();
        assert_eq!(ready.status, "True");
        assert!(status.addresses.as_ref().unwrap().iter().any(|a| a.address.starts_with("127.")));
        assert!(status.daemon_endpoints.as_ref().unwrap().kubelet_endpoint.as_ref().unwrap().port > 0);
        assert!(node.spec.as_ref().unwrap().taints.as_ref().is_none_or(Vec::is_empty), "untainted");
    }
    let swap = |name: &str| {
        let node = nodes.iter().find(|n| n.metadata.name.as_deref() == Some(name)).unwrap();
        node.status.as_ref().unwrap().node_info.as_ref().unwrap().swap.as_ref().and_then(|swap| swap.capacity)
    };
    assert_eq!((swap("worker-1"), swap("big-1")), (Some(2 << 30), None));
    let leases: Api<Lease> = Api::namespaced(client.clone(), "kube-node-lease");
    let held = |lease: Option<&Lease>| {
        lease.and_then(|l| l.spec.as_ref()?.holder_identity.as_deref()).is_some_and(|holder| holder == "worker-2")
    };
    wait_for(leases, "worker-2", LONG, "a lease", held).await.unwrap();

    let pods: Api<Pod> = Api::namespaced(client, NAMESPACE);
    let create = async |pod: Pod| pods.create(&PostParams::default(), &pod).await.unwrap();
    create(pod("web", "worker-1", "64Mi", &json!({"spec": {"initContainers": [{"name": "i", "image": "i"}]}}))).await;
    create(pod("huge", "worker-1", "4Gi", &json!({}))).await;
    let annotations = json!({"hollow.headroom.dev/run-seconds": "1", "hollow.headroom.dev/exit-code": "0"});
    let once = json!({"metadata": {"annotations": annotations}, "spec": {"restartPolicy": "Never"}});
    create(pod("once", "worker-2", "64Mi", &once)).await;

    let web = wait_for(pods.clone(), "web", LONG, "web is ready", is_ready).await.unwrap().unwrap();
    let status = web.status.as_ref().unwrap();
    assert!(status.pod_ip.as_deref().unwrap().starts_with("10."), "a routable-looking address");
    assert_eq!(status.pod_ips.as_ref().unwrap()[0].ip, *status.pod_ip.as_ref().unwrap());
    assert!(status.host_ip.as_deref().unwrap().starts_with("127."));
    assert!(status.start_time.is_some() && phase(Some(&web)) == "Running");
    for name in ["PodReadyToStartContainers", "Initialized", "ContainersReady", "PodScheduled"] {
        assert_eq!(condition(&web, name).as_deref(), Some("True"), "{name}");
    }
    let init = &status.init_container_statuses.as_ref().unwrap()[0];
    assert_eq!(init.state.as_ref().unwrap().terminated.as_ref().unwrap().exit_code, 0);

    let failed = |pod: Option<&Pod>| phase(pod) == "Failed";
    let huge = wait_for(pods.clone(), "huge", LONG, "huge is rejected", failed).await.unwrap().unwrap();
    assert_eq!(huge.status.unwrap().reason.as_deref(), Some("OutOfmemory"));
    wait_for(pods.clone(), "once", LONG, "once completes", |pod: Option<&Pod>| phase(pod) == "Succeeded")
        .await
        .unwrap();

    pods.delete("web", &DeleteParams::default()).await.unwrap();
    let ending = pods.get_opt("web").await.unwrap();
    assert!(ending.is_none_or(|pod| pod.metadata.deletion_timestamp.is_some()), "deletion is graceful");
    wait_for(pods.clone(), "web", LONG, "web is gone", |pod: Option<&Pod>| pod.is_none()).await.unwrap();
    pods.delete("once", &DeleteParams::default()).await.unwrap();
    wait_for(pods.clone(), "once", LONG, "once is gone", |pod: Option<&Pod>| pod.is_none()).await.unwrap();
    hollow.stop().await;
}

/// A client of one kubelet that verifies its certificate against the node's name, as a careful one does.
fn kubelet(hollow: &Hollow, node: &str, token: Option<&str>) -> kube::Client {
    let address = hollow.nodes().into_iter().find(|n| n.name == node).unwrap().kubelet;
    let mut config = kube::Config::new(format!("https://{address}").parse().unwrap());
    config.root_cert = Some(vec![CertificateDer::from_pem_slice(hollow.ca_pem().as_bytes()).unwrap().to_vec()]);
    config.tls_server_name = Some(node.to_owned());
    config.default_retry = false;
    config.auth_info.token = token.map(|token| token.to_owned().into());
    kube::Client::try_from(config).unwrap()
}

async fn get(client: &kube::Client, path: &str) -> Result<String, u16> {
    let request = http::Request::get(path).body(Vec::new()).unwrap();
    client.request_text(request).await.map_err(|error| match error {
        kube::Error::Api(status) => status.code,
        _ => 0,
    })
}

async fn token(cluster: &ControlPlane, name: &str, subresource: Option<&str>) -> String {
    let client = cluster.admin_client();
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), NAMESPACE);
    let account = object(json!({"metadata": {"name": name}}));
    accounts.create(&PostParams::default(), &account).await.unwrap();
    if let Some(subresource) = subresource {
        let role: ClusterRole = object(json!({"metadata": {"name": name},
            "rules": [{"apiGroups": [""], "resources": [format!("nodes/{subresource}")], "verbs": ["get"]}]}));
        Api::all(client.clone()).create(&PostParams::default(), &role).await.unwrap();
        let binding: ClusterRoleBinding = object(json!({"metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": NAMESPACE}]}));
        Api::all(client).create(&PostParams::default(), &binding).await.unwrap();
    }
    let request = TokenRequest { spec: Some(TokenRequestSpec::default()), ..TokenRequest::default() };
    let made = accounts.create_token_request(name, &PostParams::default(), &request).await.unwrap();
    made.status.unwrap().token.unwrap()
}

#[tokio::test]
async fn kubelets_serve_statistics_to_those_who_may_ask() {
    let cluster = ControlPlane::builder().start().await.unwrap();
    let hollow = start(&cluster, "worker=1:1Gi:swap=2Gi", |_| {}).await;
    let pods: Api<Pod> = Api::namespaced(cluster.admin_client(), NAMESPACE);
    let annotated = json!({"metadata": {"annotations": {"hollow.headroom.dev/memory": "100Mi"}}});
    pods.create(&PostParams::default(), &pod("web", "worker-1", "64Mi", &annotated)).await.unwrap();
    wait_for(pods, "web", LONG, "web is ready", is_ready).await.unwrap();

    let (stats, none) = (token(&cluster, "stats", Some("stats")).await, token(&cluster, "none", None).await);
    let proxy = token(&cluster, "proxy", Some("proxy")).await;
    let path = "/stats/summary?only_cpu_and_memory=true";
    assert_eq!(get(&kubelet(&hollow, "worker-1", None), path).await, Err(401));
    assert_eq!(get(&kubelet(&hollow, "worker-1", Some("made-up")), path).await, Err(401));
    assert_eq!(get(&kubelet(&hollow, "worker-1", Some(&none)), path).await, Err(403));
    let client = kubelet(&hollow, "worker-1", Some(&stats));
    assert_eq!(get(&client, "/configz").await, Err(403));
    let figures = eventually(LONG, "the pod's working set in the summary", || async {
        let summary: Value = serde_json::from_str(&get(&client, path).await.unwrap()).unwrap();
        let bytes = summary["pods"][0]["containers"][0]["memory"]["workingSetBytes"].as_u64();
        if bytes == Some(100 << 20) { Ok(summary) } else { Err(summary.to_string()) }
    });
    let summary = figures.await.unwrap();
    assert_eq!(summary["node"]["nodeName"], "worker-1");
    assert_eq!(summary["node"]["swap"]["swapAvailableBytes"], 2_u64 << 30);
    assert_eq!(summary["pods"][0]["podRef"]["namespace"], NAMESPACE);

    let received = hollow.received().remove(0).1;
    assert_eq!(received.token_hash, Some(token_hash(&stats)));
    assert_eq!(received.user.as_deref(), Some("system:serviceaccount:hollow:stats"));
    assert_eq!((received.path.as_str(), received.status), ("/stats/summary", 200));

    let client = kubelet(&hollow, "worker-1", Some(&proxy));
    let configz: Value = serde_json::from_str(&get(&client, "/configz").await.unwrap()).unwrap();
    assert_eq!(configz["kubeletconfig"]["memorySwap"]["swapBehavior"], "LimitedSwap");
    assert_eq!(get(&client, "/healthz").await.as_deref(), Ok("ok"));
    assert_eq!(get(&client, path).await, Err(403), "proxy is no way to the statistics");
}

#[tokio::test]
async fn nodes_die_and_come_back_and_memory_runs_out() {
    let cluster = ControlPlane::builder().start().await.unwrap();
    let quick = |config: &mut HollowConfig| config.lease_interval = Duration::from_secs(1);
    let hollow = start(&cluster, "worker=2:1Gi", quick).await;
    let client = cluster.admin_client();
    let pods: Api<Pod> = Api::namespaced(client.clone(), NAMESPACE);
    let leases: Api<Lease> = Api::namespaced(client.clone(), "kube-node-lease");
    let version = async |name: &str| leases.get(name).await.unwrap().metadata.resource_version.unwrap();
    let stats = token(&cluster, "stats", Some("stats")).await;
    let dead = kubelet(&hollow, "worker-1", Some(&stats));
    let renewed = async |name: &str| {
        let before = version(name).await;
        eventually(LONG, "a renewal", || async { if version(name).await == before { Err("same") } else { Ok(()) } })
            .await
            .unwrap();
    };
    wait_for(leases.clone(), "worker-1", LONG, "a lease", |l: Option<&Lease>| l.is_some()).await.unwrap();
    wait_for(leases.clone(), "worker-2", LONG, "a lease", |l: Option<&Lease>| l.is_some()).await.unwrap();
    for name in ["a", "b"] {
        pods.create(&PostParams::default(), &pod(name, "worker-1", "64Mi", &json!({}))).await.unwrap();
        wait_for(pods.clone(), name, LONG, "ready", is_ready).await.unwrap();
    }

    hollow.kill("worker-1").unwrap();
    assert_eq!(get(&dead, "/stats/summary").await, Err(0), "no answer from a dead node");
    // The first may have been in flight beside one of the dead node's; what was in flight has been answered before the second.
    renewed("worker-2").await;
    renewed("worker-2").await;
    let last = version("worker-1").await;
    renewed("worker-2").await;
    renewed("worker-2").await;
    assert_eq!(version("worker-1").await, last, "a dead node renews nothing");
    pods.delete("a", &DeleteParams::default()).await.unwrap();
    pods.create(&PostParams::default(), &pod("late", "worker-1", "64Mi", &json!({}))).await.unwrap();
    renewed("worker-2").await;
    assert!(pods.get("a").await.unwrap().metadata.deletion_timestamp.is_some());
    assert_eq!(phase(Some(&pods.get("late").await.unwrap())), "Pending");

    hollow.revive("worker-1").unwrap();
    renewed("worker-1").await;
    wait_for(pods.clone(), "a", LONG, "a is gone", |pod: Option<&Pod>| pod.is_none()).await.unwrap();
    wait_for(pods.clone(), "late", LONG, "late is ready", is_ready).await.unwrap();
    eventually(LONG, "statistics again", || get(&dead, "/stats/summary")).await.unwrap();

    // Over its limit, without swap: killed and started again.
    let limited = json!({"spec": {"containers": [
        {"name": "c", "image": "i", "resources": {"requests": {"memory": "64Mi"}, "limits": {"memory": "100Mi"}}}]}});
    pods.create(&PostParams::default(), &pod("hog", "worker-2", "64Mi", &limited)).await.unwrap();
    wait_for(pods.clone(), "hog", LONG, "hog is ready", is_ready).await.unwrap();
    hollow.set_pod_memory("hollow/hog", &Curve::parse("300Mi").unwrap(), None).unwrap();
    let killed = |pod: Option<&Pod>| {
        let reason = || {
            let status = pod?.status.as_ref()?.container_statuses.as_ref()?.first()?.clone();
            status.last_state?.terminated?.reason.filter(|_| status.restart_count > 0)
        };
        reason().as_deref() == Some("OOMKilled")
    };
    wait_for(pods.clone(), "hog", LONG, "hog is killed for memory", killed).await.unwrap();
    hollow.stop().await;
}
