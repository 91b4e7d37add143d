//! Each loop alone, as an account that has nothing but the roles which the chart renders for this loop: it does its work, and
//! is refused nothing. Beside all the others a loop could live on their rights.

use std::collections::BTreeSet;

use super::loops::api_has;
use super::{CHART, RELEASE, documents, has_namespaces};
use crate::common::{
    LONG, PATIENT, assert_nothing_forbidden, create, leading, merge, node, object, on_node, pod, pods, writes_of,
};
use headroom_e2e::control_plane::{LOOPS, SYSTEM_NAMESPACE};
use headroom_e2e::helm::{Helm, helm_binary};
use headroom_e2e::{ControlPlane, Identity, eventually};
use k8s_openapi::api::authorization::v1::SubjectAccessReview;
use k8s_openapi::api::core::v1::{Endpoints, Node, Pod, ReplicationController, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

/// Kinds that grant something.
const GRANTING: [&str; 5] = ["ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"];
/// Of all controllers of ours.
const LEASE: &str = "headroom-controllers";
/// A node under pressure, and one that nobody may stay on.
const PRESSED: &str = "pressed";
const CLOSED: &str = "closed";

/// Applies what the chart grants for one loop; answers who has it.
async fn grant(cluster: &ControlPlane, helm: &Helm, name: &str) -> Identity {
    let role = name.strip_suffix("-controller").unwrap();
    let release = format!("only-{role}");
    let (named, loops) = (format!("--set=fullnameOverride={release}"), format!("--set=controllers.loops={{{name}}}"));
    let what = ["template", RELEASE, CHART, "--namespace", SYSTEM_NAMESPACE, &named, &loops];
    // Two of the loops are refused without a node.
    let how = ["--set=mode=primary", "--set=scheduler.enabled=false", "--set=controllers.nodeName=any"];
    let rendered = helm.run(&[&what[..], &how].concat()).await.unwrap();
    assert!(rendered.success, "{name}: {}", rendered.said());

    let account = format!("{release}-controllers");
    let mut documents = documents(&rendered.stdout);
    documents.retain(|document| document["kind"].as_str().is_some_and(|kind| GRANTING.contains(&kind)));
    let is_of_account = |binding: &&Value| {
        let of_account = |subject: &Value| subject["kind"] == "ServiceAccount" && subject["name"] == account.as_str();
        binding["subjects"].as_array().is_some_and(|subjects| subjects.iter().any(of_account))
    };
    let bindings = documents.iter().filter(|document| document["kind"] == "ClusterRoleBinding").filter(is_of_account);
    let bound: BTreeSet<&str> = bindings.map(|binding| binding["roleRef"]["name"].as_str().unwrap()).collect();
    let [base, own] = [format!("{account}-base"), format!("{account}-{role}")];
    assert_eq!(bound, BTreeSet::from([base.as_str(), own.as_str()]), "{name}");
    for document in &documents {
        cluster.apply_yaml(name, &document.to_string()).await.unwrap();
    }
    let user = format!("system:serviceaccount:{SYSTEM_NAMESPACE}:{account}");
    let groups = vec!["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{SYSTEM_NAMESPACE}")];
    let of_loop = |document: &&Value| document["kind"] == "ClusterRole" && document["metadata"]["name"] == own.as_str();
    let rule = &documents.iter().find(of_loop).unwrap()["rules"][0];
    let everywhere = json!({"group": rule["apiGroups"][0], "resource": rule["resources"][0], "verb": rule["verbs"][0]});
    let lease = json!({"group": "coordination.k8s.io", "resource": "leases", "name": LEASE, "verb": "get",
        "namespace": SYSTEM_NAMESPACE});
    for right in [everywhere, lease] {
        has(cluster, &user, &groups, right).await;
    }
    Identity::Custom { user, groups }
}

/// Waits until somebody has a right: the API server hears of its own rules by watches, and whoever was faster would be refused.
async fn has(cluster: &ControlPlane, user: &str, groups: &[String], right: Value) {
    let spec = json!({"user": user, "groups": groups, "resourceAttributes": right});
    let review: SubjectAccessReview = object(json!({"metadata": {}, "spec": spec}));
    let reviews: Api<SubjectAccessReview> = Api::all(cluster.admin_client());
    eventually(LONG, &format!("{user} to have the right {right}"), || async {
        let answer = reviews.create(&PostParams::default(), &review).await.map_err(|error| error.to_string())?;
        let status = answer.status.unwrap_or_default();
        if status.allowed { Ok(()) } else { Err(format!("{:?}", status.reason)) }
    })
    .await
    .unwrap();
}

/// Something to do for every loop.
async fn work(cluster: &ControlPlane) {
    let client = cluster.admin_client();
    let (params, patching) = (PostParams::default(), PatchParams::default());
    let controllers: Api<ReplicationController> = Api::default_namespaced(client.clone());
    let services: Api<Service> = Api::default_namespaced(client.clone());
    let endpoints: Api<Endpoints> = Api::default_namespaced(client);
    let pods = pods(cluster, "default");
    let conditions = json!([{"type": "Ready", "status": "True"}, {"type": "MemoryPressure", "status": "True"}]);
    node(cluster, PRESSED, json!({"status": {"conditions": conditions}})).await;
    let taints = json!([{"key": "example.com/closed", "effect": "NoExecute"}]);
    node(cluster, CLOSED, json!({"spec": {"taints": taints}})).await;

    let template = json!({"metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [{"name": "c", "image": "registry.example/app"}]}});
    let rc = json!({"metadata": {"name": "web"},
        "spec": {"replicas": 2, "selector": {"app": "web"}, "template": template}});
    controllers.create(&params, &object(rc)).await.unwrap();

    let service = |name: &str, over: Value| -> Service {
        let mut spec = json!({"ports": [{"port": 80}]});
        merge(&mut spec, over);
        object(json!({"metadata": {"name": name}, "spec": spec}))
    };
    services.create(&params, &service("backend", json!({"selector": {"app": "backend"}}))).await.unwrap();
    services.create(&params, &service("manual", json!({}))).await.unwrap();
    let written = json!({"metadata": {"name": "manual"},
        "subsets": [{"addresses": [{"ip": "192.0.2.7"}], "ports": [{"port": 80}]}]});
    endpoints.create(&params, &object(written)).await.unwrap();

    let mut backend = pod("backend", json!({"nodeName": PRESSED}));
    backend.labels_mut().insert("app".to_owned(), "backend".to_owned());
    create(&pods, &backend).await;
    create(&pods, &pod("evicted", json!({"nodeName": CLOSED}))).await;
    let serving = json!({"phase": "Running", "podIP": "192.0.2.8", "podIPs": [{"ip": "192.0.2.8"}],
        "conditions": [{"type": "Ready", "status": "True"}]});
    pods.patch_status("backend", &patching, &Patch::Merge(json!({"status": serving}))).await.unwrap();
    for name in ["done-1", "done-2"] {
        create(&pods, &pod(name, on_node("nowhere"))).await;
        let ended = Patch::Merge(json!({"status": {"phase": "Succeeded"}}));
        pods.patch_status(name, &patching, &ended).await.unwrap();
    }
}

/// Waits until so many pods with such a name are left that nobody deletes.
async fn left(cluster: &ControlPlane, prefix: &str, count: usize) {
    let pods = pods(cluster, "default");
    eventually(LONG, &format!("{count} of {prefix}"), || async {
        let all = pods.list(&ListParams::default()).await.map_err(|error| error.to_string())?.items;
        let stays = |pod: &&Pod| pod.name_any().starts_with(prefix) && pod.metadata.deletion_timestamp.is_none();
        let left = all.iter().filter(stays).count();
        if left == count { Ok(()) } else { Err(format!("{left} are left")) }
    })
    .await
    .unwrap();
}

/// Waits until a loop has done what [`work`] has for it.
async fn has_worked(cluster: &ControlPlane, name: &str) {
    let client = cluster.admin_client();
    let slice_of = |service: &'static str| {
        move |slice: &EndpointSlice| {
            slice.labels().get("kubernetes.io/service-name").is_some_and(|of| of == service)
                && slice.endpoints.as_ref().is_some_and(|endpoints| endpoints.len() == 1)
        }
    };
    let slices: Api<EndpointSlice> = Api::default_namespaced(client.clone());
    match name {
        "replicationcontroller-controller" => {
            let two = |rc: &ReplicationController| rc.status.as_ref().is_some_and(|status| status.replicas == 2);
            let controllers: Api<ReplicationController> = Api::default_namespaced(client);
            api_has(&controllers, "two replicas", two).await;
        }
        "endpoints-controller" => {
            let one = |endpoints: &Endpoints| {
                let addresses = endpoints.subsets.iter().flatten().flat_map(|subset| subset.addresses.iter().flatten());
                endpoints.name_any() == "backend" && addresses.count() == 1
            };
            let endpoints: Api<Endpoints> = Api::default_namespaced(client);
            api_has(&endpoints, "an address", one).await;
        }
        "endpointslice-controller" => api_has(&slices, "a slice", slice_of("backend")).await,
        "endpointslice-mirroring-controller" => api_has(&slices, "a mirrored slice", slice_of("manual")).await,
        "node-lifecycle-controller" => {
            let nodes: Api<Node> = Api::all(client);
            let pressed = |node: &Node| {
                let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_ref());
                taints.into_iter().flatten().any(|taint| taint.key == "node.kubernetes.io/memory-pressure")
            };
            api_has(&nodes, "a taint of memory pressure", pressed).await;
        }
        "taint-eviction-controller" => left(cluster, "evicted", 0).await,
        "pod-garbage-collector-controller" => left(cluster, "done-", 1).await,
        other => panic!("what does {other} do?"),
    }
}

/// One after the other, for they share the name of their lease, and each finds its own work undone.
#[tokio::test]
async fn each_loop_works_alone_with_the_roles_that_the_chart_renders_for_it() {
    let program = helm_binary().unwrap();
    let cluster = ControlPlane::builder().audit(true).start().await.unwrap();
    let helm = Helm::new(&program, &cluster).unwrap();
    has_namespaces(&cluster).await;
    cluster.create_namespace("default").await.unwrap();
    work(&cluster).await;
    for name in LOOPS {
        let identity = grant(&cluster, &helm, name).await;
        let of_loop = format!("--controllers={name}");
        // So that of two pods that have ended one is too many.
        let flags = [&PATIENT[..], &[of_loop.as_str(), "--terminated-pod-gc-threshold=1"]].concat();
        let process = cluster.start_ours("headroom-controllers", &identity, &flags).unwrap();
        leading(&cluster, &process).await;
        has_worked(&cluster, name).await;
        assert!(process.terminate(LONG).await.unwrap().success(), "{name}: {}", process.log_tail());

        let user = identity.user();
        assert_nothing_forbidden(&cluster, &user);
        let mut writes = writes_of(&cluster, &user);
        writes.retain(|write| {
            let aside = ["events", "leases", "tokenreviews", "subjectaccessreviews"];
            let of = write.object_ref.as_ref().map_or("", |of| of.resource.as_str());
            matches!(write.code(), 200 | 201) && !aside.contains(&of)
        });
        assert!(!writes.is_empty(), "{name} has done nothing itself");
    }
}
