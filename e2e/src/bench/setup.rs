//! What every contestant finds: a fresh control plane, our resources and rights, Ready nodes and pending pods.

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use kube::Api;
use kube::api::PostParams;
use serde::Deserialize;

use crate::control_plane::{ControlPlane, Identity, RbacSet};
use crate::wait::eventually;

use super::contestant::Program;
use super::scenario::{CHURN, PLACED, Scenario};
use super::wire::{MERGE_PATCH, Wire, each};
use super::workload::{NAMESPACE, Workload};
use super::{BenchError, Contestant};

/// The definitions of our own resources, as the chart ships them.
const CRDS: &str = include_str!("../../../charts/headroom/files/crds.yaml");

/// Creating requests at once.
const IN_FLIGHT: usize = 50;

/// How long a new role may take to be in force.
const RBAC_TIMEOUT: Duration = Duration::from_secs(30);

/// A control plane with the workload on it, and the bench's connection.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) cluster: ControlPlane,
    pub(crate) wire: Wire,
    /// The resource version after the last pod was created: where a watch has to begin.
    pub(crate) since: String,
    /// Size of a pod as the API server returns it, bytes of JSON.
    pub(crate) pod_bytes: usize,
}

/// Starts a control plane and creates nodes, then pods.
pub(crate) async fn prepare(program: &Program, scenario: &Scenario, audit: bool) -> Result<Prepared, BenchError> {
    let workload = scenario.size;
    let builder = ControlPlane::builder().name(format!("bench-{}", program.contestant)).kubernetes(program.release);
    let cluster = builder.audit(audit).no_request_limits().start().await?;
    cluster.apply_yaml("crds.yaml", CRDS).await?;
    cluster.apply_rbac(RbacSet::Primary).await?;
    for namespace in [NAMESPACE, PLACED, CHURN] {
        cluster.create_namespace(namespace).await?;
    }
    let wire = Wire::connect(&cluster.kubeconfig(&Identity::Admin)?).await?;

    let connection = &wire;
    for (path, object) in &scenario.objects {
        connection.post(path, object.to_string()).await?;
    }
    each(workload.nodes, IN_FLIGHT, |index| async move {
        connection.post("/api/v1/nodes", scenario.node(index).to_string()).await?;
        // Admission gives every new node the taint `not-ready`, which a controller takes away in a cluster.
        let path = format!("/api/v1/nodes/{}", Workload::node_name(index));
        let patch = Bytes::from_static(br#"{"spec":{"taints":null}}"#);
        connection.send(Method::PATCH, &path, MERGE_PATCH, patch).await.map(|_| ())
    })
    .await?;
    let placed = format!("/api/v1/namespaces/{PLACED}/pods");
    let path = placed.as_str();
    each(scenario.placed_count(), IN_FLIGHT, |index| async move {
        match scenario.placed_pod(index) {
            Some(pod) => connection.post(path, pod.to_string()).await,
            None => Ok(()),
        }
    })
    .await?;
    let pods = format!("/api/v1/namespaces/{NAMESPACE}/pods");
    let path = pods.as_str();
    each(
        workload.pods,
        IN_FLIGHT,
        |index| async move { connection.post(path, scenario.measured(index).to_string()).await },
    )
    .await?;

    let last = format!("{pods}/{}", Workload::pod_name(workload.pods.saturating_sub(1)));
    let pod_bytes = wire.text(&last).await?.len();
    let list: ListMeta = wire.get(&format!("{pods}?limit=1")).await?;
    may_bind(&cluster, program.contestant).await?;
    Ok(Prepared { cluster, wire, since: list.metadata.resource_version, pod_bytes })
}

/// Waits until the contestant's rights are in force: the authorizer follows new roles with a delay.
pub(crate) async fn may_bind(cluster: &ControlPlane, contestant: Contestant) -> Result<(), BenchError> {
    let client = cluster.client(&contestant.identity()).await?;
    let api: Api<SelfSubjectAccessReview> = Api::all(client);
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(ResourceAttributes {
                namespace: Some(NAMESPACE.to_owned()),
                verb: Some("create".to_owned()),
                resource: Some("pods".to_owned()),
                subresource: Some("binding".to_owned()),
                ..ResourceAttributes::default()
            }),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    };
    eventually(RBAC_TIMEOUT, "the right to bind pods", || async {
        match api.create(&PostParams::default(), &review).await {
            Ok(answer) if answer.status.as_ref().is_some_and(|status| status.allowed) => Ok(()),
            Ok(_) => Err("it is refused".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    })
    .await?;
    Ok(())
}

/// The head of a list.
#[derive(Debug, Deserialize)]
pub(crate) struct ListMeta {
    pub(crate) metadata: ListMetadata,
}

/// Its metadata.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ListMetadata {
    #[serde(default)]
    pub(crate) resource_version: String,
    #[serde(default)]
    pub(crate) remaining_item_count: u64,
}
