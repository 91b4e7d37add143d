//! What the scenarios share: objects by hand, waiting for what becomes of them, and reading what was written.

pub(crate) mod verbs;

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use headroom_api::NodeHeadroom;
use headroom_e2e::control_plane::audit::AuditEvent;
use headroom_e2e::{
    ControlPlane, ControlPlaneBuilder, Identity, Process, RbacSet, SchedulerOptions, eventually, our_binary, slots,
};
use headroom_hollow::Hollow;
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Node, Pod, ServiceAccount};
use k8s_openapi::api::events::v1::Event;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// The deadline of every wait: a few times what a slow machine needs. Well below upstream's five minutes after which
/// unschedulable pods are tried anyway, so that what happens within it happened because of an event.
pub(crate) const LONG: Duration = Duration::from_secs(180);

/// A lease that survives a machine that compiles at the same time.
pub(crate) const PATIENT: [&str; 3] =
    ["--leader-elect-lease-duration=300s", "--leader-elect-renew-deadline=200s", "--leader-elect-retry-period=500ms"];

/// A lease that is meant to run out: much later than a machine stands still, or those end that are to lead.
pub(crate) const SHORT: [&str; 3] =
    ["--leader-elect-lease-duration=30s", "--leader-elect-renew-deadline=20s", "--leader-elect-retry-period=500ms"];
/// How long it lasts, and how long its holder may act on it, as [`SHORT`] says.
pub(crate) const SHORT_LEASE: Duration = Duration::from_secs(30);
pub(crate) const SHORT_DEADLINE: Duration = Duration::from_secs(20);

/// Names of the leases.
pub(crate) const STOCK_LEASE: &str = "kube-scheduler";
pub(crate) const OUR_LEASE: &str = "headroom-scheduler";

pub(crate) fn object<K: DeserializeOwned>(value: Value) -> K {
    serde_json::from_value(value).unwrap()
}

/// Puts the fields of `over` into `base`, objects recursively.
pub(crate) fn merge(base: &mut Value, over: Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                merge(base.entry(key).or_insert(Value::Null), value);
            }
        }
        (base, over) => *base = over,
    }
}

/// A control plane with an audit log and the rights that the chart ships.
pub(crate) async fn control_plane(set: RbacSet) -> ControlPlane {
    started(ControlPlane::builder(), set).await
}

/// The same, and no other test of this process has one meanwhile: for what is about seconds.
pub(crate) async fn control_plane_alone(set: RbacSet) -> ControlPlane {
    let all = slots(usize::MAX).await;
    started(ControlPlane::builder().within(&all), set).await
}

async fn started(builder: ControlPlaneBuilder, set: RbacSet) -> ControlPlane {
    let cluster = builder.audit(true).start().await.unwrap();
    cluster.apply_rbac(set).await.unwrap();
    cluster
}

/// One with our resources and a namespace `default` as well.
pub(crate) async fn control_plane_with_crds() -> ControlPlane {
    with_crds(control_plane(RbacSet::Primary).await).await
}

/// Gives a control plane our resources and a namespace `default`.
pub(crate) async fn with_crds(cluster: ControlPlane) -> ControlPlane {
    cluster.apply_yaml("CRDs", include_str!("../../../../charts/headroom/files/crds.yaml")).await.unwrap();
    cluster.create_namespace("default").await.unwrap();
    cluster
}

/// Simulated nodes; their kubelets can be dialled on loopback addresses of this cluster alone.
pub(crate) async fn hollow(cluster: &ControlPlane, nodes: &str) -> Hollow {
    let mut config = cluster.hollow_config(nodes).unwrap();
    config.remove_not_ready_taint = true;
    cluster.start_hollow(config).await.unwrap()
}

/// Starts our scheduler with a patient lease, and waits until it is ready and leads.
pub(crate) async fn start_scheduler(cluster: &ControlPlane, lease: &str, flags: &[&str]) -> Process {
    let flags: Vec<&str> = PATIENT.iter().chain(flags).copied().collect();
    let scheduler = cluster.start_headroom_scheduler(&flags).unwrap();
    cluster.wait_healthy(&scheduler, "/readyz", LONG).await.unwrap();
    wait_for_log(&scheduler, "became leader").await;
    assert!(!holder(cluster, lease).await.is_empty(), "{lease} is not held");
    scheduler
}

/// Starts our controllers with a patient lease, and waits until they lead and know the cluster.
pub(crate) async fn start_controllers(cluster: &ControlPlane, flags: &[&str]) -> Process {
    let flags: Vec<&str> = PATIENT.iter().chain(flags).copied().collect();
    let controllers = cluster.start_headroom_controllers(&flags).unwrap();
    // Without an election nobody becomes anything.
    if !flags.contains(&"--leader-elect=false") {
        wait_for_log(&controllers, "became leader").await;
    }
    cluster.wait_healthy(&controllers, "/readyz", LONG).await.unwrap();
    controllers
}

/// Waits until controllers lead and know the cluster: before they lead they are ready, and watch nothing.
pub(crate) async fn leading(cluster: &ControlPlane, controllers: &Process) {
    wait_for_log(controllers, "became leader").await;
    cluster.wait_healthy(controllers, "/readyz", LONG).await.unwrap();
}

/// The headroom of the nodes that have been measured, in MiB by name, once so many have been.
pub(crate) async fn measured(cluster: &ControlPlane, count: usize) -> BTreeMap<String, i64> {
    let headrooms: Api<NodeHeadroom> = Api::all(cluster.admin_client());
    eventually(LONG, &format!("{count} measured nodes"), || async {
        let all = headrooms.list(&ListParams::default()).await.map_err(|error| error.to_string())?.items;
        let headroom = |node: NodeHeadroom| Some((node.metadata.name?, node.status?.headroom_bytes? >> 20));
        let measured: BTreeMap<String, i64> = all.into_iter().filter_map(headroom).collect();
        if measured.len() == count { Ok(measured) } else { Err(format!("{measured:?}")) }
    })
    .await
    .unwrap()
}

/// What `kubectl headroom explain pod NAME` prints of a pod in the namespace `default`.
pub(crate) async fn explain(cluster: &ControlPlane, pod: &str, arguments: &[&str]) -> String {
    let mut command = tokio::process::Command::new(our_binary("kubectl-headroom").unwrap());
    command.args(["explain", "pod", pod, "-n", "default", "--kubeconfig"]);
    command.arg(cluster.kubeconfig(&Identity::Admin).unwrap()).args(arguments).kill_on_drop(true);
    let output = tokio::time::timeout(LONG, command.output()).await.expect("it does not end").unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    // 2: the pod fits nowhere.
    assert!(matches!(output.status.code(), Some(0 | 2)), "explain pod {pod} {arguments:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

/// The same as JSON.
pub(crate) async fn explained(cluster: &ControlPlane, pod: &str, arguments: &[&str]) -> Value {
    let arguments = [&["-o", "json"][..], arguments].concat();
    serde_json::from_str(&explain(cluster, pod, &arguments).await).unwrap()
}

/// Waits until a text stands in the log of a process.
pub(crate) async fn wait_for_log(process: &Process, text: &str) {
    wait_for_log_times(process, text, 1).await;
}

/// Waits until a text stands in the log of a process so many times.
pub(crate) async fn wait_for_log_times(process: &Process, text: &str, times: usize) {
    let what = format!("{text:?} in the log of {}, {times} times", process.name());
    let said = || process.log().matches(text).count() >= times;
    eventually(LONG, &what, || async {
        // One that has ended says nothing more.
        let ended = !process.is_running();
        if said() || ended { Ok(()) } else { Err(process.log_tail()) }
    })
    .await
    .unwrap();
    assert!(said(), "ended before {what}: {}", process.log_tail());
}

/// A stock scheduler that holds its lease, or waits for it, as patiently as ours: it releases what it holds when it is told to
/// end.
pub(crate) fn patient_stock() -> SchedulerOptions {
    let args = PATIENT.map(str::to_owned).to_vec();
    SchedulerOptions { leader_elect: true, args, ..SchedulerOptions::default() }
}

/// Who holds a lease of `kube-system`; empty when nobody does.
pub(crate) async fn holder(cluster: &ControlPlane, lease: &str) -> String {
    let leases: Api<Lease> = Api::namespaced(cluster.admin_client(), "kube-system");
    let lease = leases.get_opt(lease).await.unwrap();
    lease.and_then(|lease| lease.spec).and_then(|spec| spec.holder_identity).unwrap_or_default()
}

/// Applies a node: `over` is put on top of a node with 4 CPUs, 8 GiB and 110 pods. It takes pods only when all of it is
/// in place, since admission gives every new node a taint, which is removed last.
pub(crate) async fn node(cluster: &ControlPlane, name: &str, over: Value) {
    for write in node_writes(cluster, name, over) {
        write.await;
    }
}

/// The writes that [`node`] takes.
pub(crate) fn node_writes(cluster: &ControlPlane, name: &str, over: Value) -> [BoxFuture<'static, ()>; 3] {
    let resources = json!({"cpu": "4", "memory": "8Gi", "pods": "110", "ephemeral-storage": "10Gi"});
    let mut whole = json!({
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        "spec": {},
        "status": {"allocatable": resources, "conditions": [{"type": "Ready", "status": "True"}]},
    });
    merge(&mut whole, over);
    whole["status"]["capacity"] = whole["status"]["allocatable"].clone();
    let nodes: Api<Node> = Api::all(cluster.admin_client());
    let (of_status, of_spec, name) = (nodes.clone(), nodes.clone(), name.to_owned());
    let status = Patch::Merge(json!({"status": whole["status"].take()}));
    let taints = Patch::Merge(json!({"spec": {"taints": whole["spec"]["taints"].take()}}));
    let named = name.clone();
    [
        async move { drop(nodes.create(&PostParams::default(), &object(whole)).await.unwrap()) }.boxed(),
        async move { drop(of_status.patch_status(&named, &PatchParams::default(), &status).await.unwrap()) }.boxed(),
        async move { drop(of_spec.patch(&name, &PatchParams::default(), &taints).await.unwrap()) }.boxed(),
    ]
}

/// Changes a node by a merge patch.
pub(crate) async fn change_node(cluster: &ControlPlane, name: &str, patch: Value) {
    let nodes: Api<Node> = Api::all(cluster.admin_client());
    nodes.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.unwrap();
}

/// A pod of one container that asks for nothing, with `spec` put on top.
pub(crate) fn pod(name: &str, spec: Value) -> Pod {
    let mut whole = json!({
        "metadata": {"name": name},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": [{"name": "c", "image": "registry.example/app"}]},
    });
    merge(&mut whole["spec"], spec);
    object(whole)
}

/// The spec of a pod whose container asks for resources.
pub(crate) fn asking(requests: Value) -> Value {
    json!({"containers": [{"name": "c", "image": "registry.example/app",
                           "resources": {"requests": requests.clone(), "limits": requests}}]})
}

/// The spec of a pod with a host port.
pub(crate) fn host_port(port: u16) -> Value {
    json!({"containers": [{"name": "c", "image": "registry.example/app",
                           "ports": [{"containerPort": port, "hostPort": port}]}]})
}

/// The spec of a pod for one node.
pub(crate) fn on_node(name: &str) -> Value {
    json!({"nodeSelector": {"kubernetes.io/hostname": name}})
}

/// Required node affinity: `terms` are the nodeSelectorTerms.
pub(crate) fn affinity(terms: Value) -> Value {
    json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}})
}

/// Two specs, the second on top of the first.
pub(crate) fn both(mut one: Value, two: Value) -> Value {
    merge(&mut one, two);
    one
}

pub(crate) fn pods(cluster: &ControlPlane, namespace: &str) -> Api<Pod> {
    Api::namespaced(cluster.admin_client(), namespace)
}

pub(crate) async fn create(pods: &Api<Pod>, pod: &Pod) {
    pods.create(&PostParams::default(), pod).await.unwrap();
}

pub(crate) async fn delete(pods: &Api<Pod>, name: &str) {
    pods.delete(name, &DeleteParams::default().grace_period(0)).await.unwrap();
}

/// Evicts a pod as `kubectl drain` does: its disruption budget may say no (429).
pub(crate) async fn evict(client: &Client, pod: &Pod) -> Result<(), kube::Error> {
    let (name, namespace) = (pod.name_any(), pod.namespace().unwrap());
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction",
        "metadata": {"name": name, "namespace": namespace}});
    let path = format!("/api/v1/namespaces/{namespace}/pods/{name}/eviction");
    let request = http::Request::post(path).header("content-type", "application/json");
    client.request::<Value>(request.body(eviction.to_string().into_bytes()).unwrap()).await.map(drop)
}

/// Creates equal pods `<prefix>-<number>`, 16 at a time. What the API server does not take is tried again: it may be
/// down for a while.
pub(crate) async fn create_many(pods: Api<Pod>, prefix: &str, count: usize, spec: Value) {
    let all: Vec<Pod> = (0..count).map(|number| pod(&format!("{prefix}-{number:03}"), spec.clone())).collect();
    let one = |pod: Pod| {
        let pods = pods.clone();
        async move {
            eventually(LONG, "a pod to be created", || async {
                match pods.create(&PostParams::default(), &pod).await {
                    Ok(_) => Ok(()),
                    Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
                    Err(error) => Err(error),
                }
            })
            .await
        }
    };
    stream::iter(all).map(one).buffer_unordered(16).try_collect::<()>().await.unwrap();
}

/// Where the pods of a namespace are, by name; those without a node are left out.
pub(crate) async fn placed(pods: &Api<Pod>) -> Result<BTreeMap<String, String>, kube::Error> {
    let list = pods.list(&ListParams::default()).await?;
    let place = |pod: Pod| Some((pod.metadata.name?, pod.spec?.node_name?));
    Ok(list.items.into_iter().filter_map(place).collect())
}

/// Waits until so many pods of a namespace are bound; the API server may be away meanwhile.
pub(crate) async fn wait_placed(pods: &Api<Pod>, count: usize) -> BTreeMap<String, String> {
    eventually(LONG, &format!("{count} bound pods"), || async {
        let placed = placed(pods).await.map_err(|error| error.to_string())?;
        if placed.len() >= count { Ok(placed) } else { Err(format!("{} are bound", placed.len())) }
    })
    .await
    .unwrap()
}

/// Waits until a pod is bound; returns its node.
pub(crate) async fn bound(pods: &Api<Pod>, name: &str) -> String {
    eventually(LONG, &format!("pod {name} to be bound"), || async {
        let pod = pods.get(name).await.map_err(|error| error.to_string())?;
        pod.spec.and_then(|spec| spec.node_name).ok_or_else(|| format!("status: {:?}", pod.status))
    })
    .await
    .unwrap()
}

/// What became of the pods of a namespace, once there is a decision about each of so many: how many are on each node,
/// and why the others wait, by name.
pub(crate) async fn decided(pods: &Api<Pod>, count: usize) -> (BTreeMap<String, usize>, BTreeMap<String, String>) {
    eventually(LONG, &format!("a decision about each of {count} pods"), || async {
        let all = pods.list(&ListParams::default()).await.map_err(|error| error.to_string())?.items;
        let mut on: BTreeMap<String, usize> = BTreeMap::new();
        let mut waits: BTreeMap<String, String> = BTreeMap::new();
        for pod in all {
            let node = pod.spec.and_then(|spec| spec.node_name);
            let conditions = pod.status.and_then(|status| status.conditions).unwrap_or_default();
            let waiting = conditions.into_iter().find(|c| c.type_ == "PodScheduled" && c.status == "False");
            match (node, waiting) {
                (Some(node), _) => *on.entry(node).or_default() += 1,
                (None, Some(condition)) => {
                    waits.insert(pod.metadata.name.unwrap_or_default(), condition.message.unwrap_or_default());
                }
                (None, None) => {}
            }
        }
        let told = on.values().sum::<usize>() + waits.len();
        if told == count { Ok((on, waits)) } else { Err(format!("{on:?}, {waits:?}")) }
    })
    .await
    .unwrap()
}

/// The condition PodScheduled, if there is one.
pub(crate) async fn scheduled_condition(pods: &Api<Pod>, name: &str) -> Option<Value> {
    let status = pods.get(name).await.unwrap().status?;
    let condition = status.conditions?.into_iter().find(|condition| condition.type_ == "PodScheduled")?;
    Some(serde_json::to_value(condition).unwrap())
}

/// Waits until the scheduler has said why a pod waits, in words that contain `text`; returns the message.
pub(crate) async fn waiting(pods: &Api<Pod>, name: &str, text: &str) -> String {
    eventually(LONG, &format!("pod {name} to wait: {text:?}"), || async {
        let condition = scheduled_condition(pods, name).await.unwrap_or_default();
        let message = condition["message"].as_str().unwrap_or_default().to_owned();
        let told = condition["status"] == "False" && condition["reason"] == "Unschedulable";
        if told && message.contains(text) { Ok(message) } else { Err(condition.to_string()) }
    })
    .await
    .unwrap()
}

/// Waits for an event about a pod.
pub(crate) async fn event(cluster: &ControlPlane, namespace: &str, pod: &str, reason: &str) -> Value {
    let events: Api<Event> = Api::namespaced(cluster.admin_client(), namespace);
    eventually(LONG, &format!("event {reason} of {namespace}/{pod}"), || async {
        let list = events.list(&ListParams::default()).await.map_err(|error| error.to_string())?;
        let about = |event: &Event| {
            event.reason.as_deref() == Some(reason)
                && event.regarding.as_ref().and_then(|object| object.name.as_deref()) == Some(pod)
        };
        let seen = list.items.len();
        let found = list.items.into_iter().find(about);
        found.map(|event| serde_json::to_value(event).unwrap()).ok_or_else(|| format!("{seen} other events"))
    })
    .await
    .unwrap()
}

/// What a user wrote, in the order of the audit log.
pub(crate) fn writes_of(cluster: &ControlPlane, user: &str) -> Vec<AuditEvent> {
    let mut events = cluster.audit_events().unwrap();
    events.retain(|event| event.user.username == user && event.is_write());
    events
}

/// Fails when a user was refused anything.
pub(crate) fn assert_nothing_forbidden(cluster: &ControlPlane, user: &str) {
    let mut refused = cluster.audit_events().unwrap();
    refused.retain(|event| event.user.username == user && event.code() == 403);
    let refused: Vec<String> = refused.iter().map(|event| format!("{} {}", event.verb, event.request_uri)).collect();
    assert!(refused.is_empty(), "the shipped roles do not suffice: {refused:?}");
}

/// How the bindings of a pod were answered.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bindings {
    /// So many succeeded.
    pub(crate) done: usize,
    /// Of so many the client was gone before the answer (504 in the audit log): carried out or not.
    pub(crate) unanswered: usize,
}

/// How the bindings of the pods of a namespace were answered, by pod.
pub(crate) fn bindings(cluster: &ControlPlane, namespace: &str) -> BTreeMap<String, Bindings> {
    let mut bindings: BTreeMap<String, Bindings> = BTreeMap::new();
    for event in cluster.audit_events().unwrap() {
        let Some(of) = event.object_ref.as_ref() else { continue };
        if of.subresource == "binding" && of.namespace == namespace && event.verb == "create" {
            let pod = bindings.entry(of.name.clone()).or_default();
            pod.done += usize::from(event.code() == 201);
            pod.unanswered += usize::from(event.code() == 504);
        }
    }
    bindings
}

/// Fails unless so many pods of a namespace were bound, each by exactly one successful request.
pub(crate) fn assert_bound_once(cluster: &ControlPlane, namespace: &str, count: usize) {
    let bindings = bindings(cluster, namespace);
    let done: Vec<_> = bindings.iter().filter(|(_, answers)| answers.done > 0).collect();
    assert!(done.iter().all(|(_, answers)| answers.done == 1), "bound more than once: {done:?}");
    assert_eq!(done.len(), count, "pods of {namespace} that were bound");
}

/// The HTTP status of an answer.
pub(crate) fn code<T: std::fmt::Debug>(result: &Result<T, kube::Error>) -> u16 {
    match result {
        Ok(_) => 200,
        Err(kube::Error::Api(status)) => status.code,
        Err(other) => panic!("{other}"),
    }
}

/// A client for what a process serves, with a bearer token or with nothing.
pub(crate) async fn caller(cluster: &ControlPlane, process: &Process, token: Option<&str>) -> Client {
    let user = token.map_or_else(|| json!({}), |token| json!({"token": token}));
    let kubeconfig: Kubeconfig = object(json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {
            "server": format!("https://127.0.0.1:{}", process.port().unwrap()),
            "certificate-authority": cluster.pki().ca_cert()}}],
        "users": [{"name": "u", "user": user}],
    }));
    let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
    config.proxy_url = None;
    Client::try_from(config).unwrap()
}

/// What a server answers on a path.
pub(crate) async fn get(client: &Client, path: &str) -> Result<String, kube::Error> {
    client.request_text(http::Request::get(path).body(Vec::new()).unwrap()).await
}

/// The token of a new service account that may read the given paths of our processes.
pub(crate) async fn reader_token(cluster: &ControlPlane, account: &str, paths: &[&str]) -> String {
    let manifest = json!({"apiVersion": "v1", "kind": "ServiceAccount",
                          "metadata": {"name": account, "namespace": "default"}});
    cluster.apply_yaml("account", &manifest.to_string()).await.unwrap();
    if !paths.is_empty() {
        let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": {"name": account}, "rules": [{"nonResourceURLs": paths, "verbs": ["get"]}]});
        let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
            "metadata": {"name": account},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": account},
            "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": "default"}]});
        cluster.apply_yaml("role", &role.to_string()).await.unwrap();
        cluster.apply_yaml("binding", &binding.to_string()).await.unwrap();
        for path in paths {
            cluster.may_read("default", account, path).await.unwrap();
        }
    }
    let accounts: Api<ServiceAccount> = Api::namespaced(cluster.admin_client(), "default");
    let request: TokenRequest = object(json!({"metadata": {}, "spec": {"audiences": [], "expirationSeconds": 3600}}));
    let answer = accounts.create_token_request(account, &PostParams::default(), &request).await.unwrap();
    answer.status.unwrap().token.unwrap()
}

/// Gives a user the rights of our scheduler's service account, for a second scheduler that the audit log can tell from
/// the first.
pub(crate) async fn second_scheduler(cluster: &ControlPlane, user: &str) -> Identity {
    let bind = |kind: &str, role: &str| {
        let scope = kind.replace("Binding", "");
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind,
            "metadata": {"name": format!("{user}-{role}"), "namespace": "kube-system"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": scope, "name": role},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}]})
    };
    let cluster_wide = ["headroom-scheduler", "headroom-scheduler-primary"];
    let of_the_namespace = ["headroom-scheduler-lease", "headroom-scheduler-primary-lease"];
    for role in cluster_wide {
        let mut binding = bind("ClusterRoleBinding", role);
        binding["metadata"].as_object_mut().unwrap().remove("namespace");
        cluster.apply_yaml(role, &binding.to_string()).await.unwrap();
    }
    for role in of_the_namespace {
        cluster.apply_yaml(role, &bind("RoleBinding", role).to_string()).await.unwrap();
    }
    Identity::Custom { user: user.to_owned(), groups: Vec::new() }
}
