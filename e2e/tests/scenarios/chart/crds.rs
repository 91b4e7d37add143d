//! Headroom's resources are upgraded with the chart, and stay behind where that is asked for, to be found again.

use std::path::Path;

use super::{CHART, RELEASE, documents, has_namespaces};
use crate::common::LONG;
use headroom_api::NodeHeadroom;
use headroom_e2e::control_plane::SYSTEM_NAMESPACE;
use headroom_e2e::helm::{Helm, helm_binary};
use headroom_e2e::{ControlPlane, eventually};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

/// A field that the older chart does not know yet.
const FIELD: &str = "accessibleSwapBytes";
const FIELDS: &str = "/spec/versions/0/schema/openAPIV3Schema/properties/status/properties";
const CRDS: [&str; 2] = ["nodeheadrooms.headroom.dev", "memoryprofiles.headroom.dev"];

/// A chart of the time before [`FIELD`], in this directory.
fn older(directory: &Path) -> String {
    let chart = directory.join("older");
    let copied = std::process::Command::new("cp").arg("-R").arg(CHART).arg(&chart).status().unwrap();
    assert!(copied.success(), "the chart was not copied");
    let file = chart.join("files/crds.yaml");
    let mut crds = documents(&std::fs::read_to_string(&file).unwrap());
    let crd = crds.iter_mut().find(|crd| crd["metadata"]["name"] == CRDS[0]).unwrap();
    let fields = crd.pointer_mut(FIELDS).and_then(Value::as_object_mut).unwrap();
    assert!(fields.remove(FIELD).is_some(), "{FIELD} is not in the schema");
    let crds: Vec<String> = crds.iter().map(Value::to_string).collect();
    std::fs::write(&file, crds.join("\n---\n")).unwrap();
    let file = chart.join("Chart.yaml");
    let about = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, about.replace("\nversion: ", "\nversion: 0.0.1 # ")).unwrap();
    chart.to_string_lossy().into_owned()
}

/// Helm has to succeed.
async fn run(helm: &Helm, arguments: &[&str]) {
    let ran = helm.run(&[arguments, &["--namespace", SYSTEM_NAMESPACE]].concat()).await.unwrap();
    assert!(ran.success, "helm {arguments:?}: {}", ran.said());
}

/// Which of the resources there are.
async fn there(cluster: &ControlPlane) -> Vec<CustomResourceDefinition> {
    let api: Api<CustomResourceDefinition> = Api::all(cluster.admin_client());
    let all = api.list(&ListParams::default()).await.unwrap().items;
    all.into_iter().filter(|crd| CRDS.contains(&crd.name_any().as_str())).collect()
}

/// Whether the schema has the field.
async fn has_field(cluster: &ControlPlane) -> bool {
    let crds = there(cluster).await;
    let crd = crds.iter().find(|crd| crd.name_any() == CRDS[0]).unwrap();
    let crd = serde_json::to_value(crd).unwrap();
    crd.pointer(FIELDS).unwrap().get(FIELD).is_some()
}

/// Writes a sample with the field, and returns what of the field was kept.
async fn written(samples: &Api<NodeHeadroom>) -> Result<Option<i64>, kube::Error> {
    let status = json!({"status": {"headroomBytes": 1, FIELD: 2}});
    let sample = samples.patch_status("worker-1", &PatchParams::default(), &Patch::Merge(status)).await?;
    let status = sample.status.unwrap_or_default();
    assert_eq!(status.headroom_bytes, Some(1));
    Ok(status.accessible_swap_bytes)
}

#[tokio::test]
async fn resources_are_upgraded_with_the_chart_and_are_found_again_where_they_were_kept() {
    let program = helm_binary().unwrap();
    let cluster = ControlPlane::builder().start().await.unwrap();
    has_namespaces(&cluster).await;
    let helm = Helm::new(&program, &cluster).unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let samples: Api<NodeHeadroom> = Api::all(cluster.admin_client());

    run(&helm, &["install", RELEASE, &older(scratch.path())]).await;
    assert!(!has_field(&cluster).await);
    let sample =
        json!({"apiVersion": "headroom.dev/v1alpha1", "kind": "NodeHeadroom", "metadata": {"name": "worker-1"}});
    cluster.apply_yaml("sample", &sample.to_string()).await.unwrap();
    let uid = samples.get("worker-1").await.unwrap().uid();
    assert_eq!(written(&samples).await.unwrap(), None, "a field that is not in the schema is dropped");

    run(&helm, &["upgrade", RELEASE, CHART]).await;
    assert!(has_field(&cluster).await, "the upgrade left the older schema");
    // The API server serves a new schema some moments later.
    eventually(LONG, "the new field to be kept", || async {
        match written(&samples).await.map_err(|error| error.to_string())? {
            Some(2) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await
    .unwrap();
    assert_eq!(samples.get("worker-1").await.unwrap().uid(), uid, "what was measured is still there");

    // Kept at uninstall, with what was learned.
    run(&helm, &["upgrade", RELEASE, CHART, "--set=crds.keep=true"]).await;
    // Nothing runs the guard's pod here; what it does is tested elsewhere.
    run(&helm, &["uninstall", RELEASE, "--no-hooks"]).await;
    let deployments: Api<Deployment> = Api::namespaced(cluster.admin_client(), SYSTEM_NAMESPACE);
    let gone = async || match deployments.list(&ListParams::default()).await.map(|list| list.items.len()) {
        Ok(0) => Ok(()),
        other => Err(format!("{other:?}")),
    };
    eventually(LONG, "the Deployments to be gone", gone).await.unwrap();
    assert_eq!(there(&cluster).await.len(), CRDS.len());
    assert_eq!(samples.get("worker-1").await.unwrap().uid(), uid);

    // And found again by the next installation, which keeps nothing any more.
    run(&helm, &["install", RELEASE, CHART]).await;
    assert_eq!(there(&cluster).await.len(), CRDS.len());
    assert_eq!(samples.get("worker-1").await.unwrap().uid(), uid);
    assert_eq!(written(&samples).await.unwrap(), Some(2));
    run(&helm, &["uninstall", RELEASE, "--no-hooks"]).await;
    let gone = async || match there(&cluster).await.len() {
        0 => Ok(()),
        left => Err(format!("{left} are there")),
    };
    eventually(LONG, "the resources to be gone", gone).await.unwrap();
}
