//! What docs/security.md says of the chart's pods, asked of the API server's own admission: in a namespace that enforces
//! Pod Security's level `restricted` they are admitted, except for the node's network where they use it.

use super::{CHART, RELEASE, documents, files, has_namespaces};
use crate::common::{object, pod, pods};
use headroom_e2e::ControlPlane;
use headroom_e2e::control_plane::SYSTEM_NAMESPACE;
use headroom_e2e::helm::{Helm, helm_binary};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::PostParams;
use serde_json::{Value, json};

/// A namespace in which nothing less is admitted.
const FENCED: &str = "fenced";
/// What the node's network is refused for: the network itself, and the ports that come with it.
const OF_THE_NETWORK: [&str; 2] = ["host namespaces (hostNetwork=true)", "hostPort "];

async fn fence(cluster: &ControlPlane) {
    let labels = json!({"pod-security.kubernetes.io/enforce": "restricted"});
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": FENCED, "labels": labels}});
    cluster.apply_yaml("namespace", &namespace.to_string()).await.unwrap();
    account(cluster, "default").await;
}

/// Pods are admitted only where their ServiceAccount is.
async fn account(cluster: &ControlPlane, name: &str) {
    let account =
        json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": FENCED}});
    cluster.apply_yaml("ServiceAccount", &account.to_string()).await.unwrap();
}

/// The pods of a manifest: by themselves, of Deployments and of Jobs.
fn pods_of(manifest: &str) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    for document in documents(manifest) {
        let kind = document["kind"].as_str().unwrap();
        let name = document["metadata"]["name"].as_str().unwrap();
        let template = match kind {
            "Deployment" | "Job" => &document["spec"]["template"],
            "Pod" => &document,
            _ => continue,
        };
        // A Job's restartPolicy and the like are there already.
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "spec": template["spec"],
                         "metadata": {"name": name, "labels": template["metadata"]["labels"]}});
        found.push((format!("{kind} {name}"), pod));
    }
    found
}

/// Why a pod is not admitted, as the API server's dry run has it.
async fn refused(pods: &Api<Pod>, pod: &Pod) -> Option<String> {
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    match pods.create(&dry, pod).await {
        Ok(_) => None,
        Err(kube::Error::Api(status)) => Some(status.message.clone()),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn pods_of_the_chart_are_restricted_but_for_the_nodes_network() {
    let program = helm_binary().unwrap();
    let cluster = ControlPlane::builder().start().await.unwrap();
    has_namespaces(&cluster).await;
    fence(&cluster).await;
    let api = pods(&cluster, FENCED);
    let unfenced = refused(&api, &pod("unfenced", json!({}))).await.unwrap_or_default();
    assert!(unfenced.contains("violates PodSecurity \"restricted:"), "nothing is enforced: {unfenced:?}");

    let helm = Helm::offline(&program, cluster.dir());
    let (mut admitted, mut on_the_network) = (Vec::new(), 0);
    for path in files("ci") {
        let file = path.to_string_lossy();
        let template = ["template", RELEASE, CHART, "--namespace", SYSTEM_NAMESPACE, "--values", &file];
        let rendered = helm.run(&template).await.unwrap();
        assert!(rendered.success, "{file}: {}", rendered.said());
        for (what, pod) in pods_of(&rendered.stdout) {
            account(&cluster, pod["spec"]["serviceAccountName"].as_str().unwrap_or("default")).await;
            let network = pod["spec"]["hostNetwork"] == true;
            match refused(&api, &object(pod)).await {
                None => {
                    assert!(!network, "{file}: {what} is on the node's network, and admitted");
                    admitted.push((path.file_stem().unwrap().to_string_lossy().into_owned(), what));
                }
                Some(said) => {
                    assert!(network, "{file}: {what} is not restricted: {said}");
                    let (_, reasons) = said.split_once("\": ").unwrap_or_else(|| panic!("{file}: {what}: {said}"));
                    let other =
                        reasons.split(", ").find(|reason| !OF_THE_NETWORK.iter().any(|of| reason.starts_with(of)));
                    assert_eq!(other, None, "{file}: {what}: {said}");
                    on_the_network += 1;
                }
            }
        }
    }
    for values in ["shadow-values", "secondary-values"] {
        for what in ["Deployment headroom-scheduler", "Deployment headroom-controllers", "Pod headroom-test-scheduler"]
        {
            let seen = admitted.iter().any(|(file, pod)| file == values && pod == what);
            assert!(seen, "{what} of {values} was not looked at: {admitted:?}");
        }
    }
    let guard = admitted.iter().any(|(_, what)| what.starts_with("Job "));
    assert!(guard && on_the_network > 3, "{on_the_network} on the node's network; {admitted:?}");
}
