//! What happens to nodes: what users, cloud providers and kubelets do to them.

use std::time::Duration;

use anyhow::Context;
use headroom_e2e::eventually;
use serde_json::{Value, json};

use super::{Teller, now};
use crate::api::{get, patch, post, send};
use crate::stories::{Machine, Scene, Step, pods};

/// Label with a node's zone.
const ZONE: &str = "topology.kubernetes.io/zone";
/// What a kubelet reports when nothing is wrong.
const CONDITIONS: [(&str, &str); 4] =
    [("Ready", "True"), ("MemoryPressure", "False"), ("DiskPressure", "False"), ("PIDPressure", "False")];
/// How long a change of taints may take to get through between the controllers' own.
const TAINTED: Duration = Duration::from_secs(60);

/// What a kubelet reports, apart from what is not as it should be.
fn conditions(unusual: &Value) -> Value {
    let at = pods::time(now());
    let condition = |(kind, usual): &(&str, &str)| match unusual.get(kind) {
        Some(Value::Null) => None,
        status => Some(json!({"type": kind, "status": status.and_then(Value::as_str).unwrap_or(usual),
            "reason": "Kubelet", "lastHeartbeatTime": at, "lastTransitionTime": at})),
    };
    CONDITIONS.iter().filter_map(condition).collect()
}

impl Teller<'_> {
    /// What a node is called here: nodes of stories about nodes and zones are each story's own.
    pub(super) fn node(&self, name: &str) -> String {
        match self.stage.scene() {
            Scene::Nodes | Scene::Zones => format!("{name}.{}", self.namespace),
            Scene::Services | Scene::Crowds => name.to_owned(),
        }
    }

    pub(super) async fn to_node(&self, step: &Step) -> anyhow::Result<Value> {
        let (client, kubelets) = (&self.stage.client, &self.stage.kubelets);
        Ok(match step {
            Step::Enter(name, unusual) => {
                let node = self.node(name);
                let labels = json!({"kubernetes.io/hostname": node, "kubernetes.io/os": "linux",
                    "kubernetes.io/arch": "amd64", ZONE: self.node("z")});
                let object = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": node, "labels": labels}});
                kubelets.enter(client, &node).await?;
                post(client, &object).await??;
                self.report(&node, unusual).await?
            }
            Step::Report(name, unusual) => {
                let node = self.node(name);
                kubelets.wake(&node);
                self.report(&node, unusual).await?
            }
            Step::Silence(name) => {
                kubelets.silence(&self.node(name));
                Value::Null
            }
            Step::Taint(name, taint) => self.retaint(name, |taints| taints.push(taint.clone())).await?,
            Step::Untaint(name, key) => {
                self.retaint(name, |taints| taints.retain(|taint| taint["key"] != key.as_str())).await?
            }
            Step::Cordon(name, cordoned) => {
                patch(client, &path(&self.node(name)), &json!({"spec": {"unschedulable": cordoned}})).await?
            }
            Step::Leave(name) => {
                let node = self.node(name);
                kubelets.silence(&node);
                let request = http::Request::delete(path(&node)).header("content-type", "application/json");
                send(client, request, &json!({})).await??
            }
            other => anyhow::bail!("{other:?} is not about a node"),
        })
    }

    /// Nodes appear that nobody looks after.
    pub(super) async fn install(&self, machines: &[Machine]) -> anyhow::Result<Value> {
        let client = &self.stage.client;
        for machine in machines {
            let name = self.node(&machine.name);
            let mut labels = json!({"kubernetes.io/hostname": name});
            if !machine.zone.is_empty() {
                labels[ZONE] = machine.zone.as_str().into();
            }
            if machine.control_plane {
                labels["node-role.kubernetes.io/control-plane"] = "".into();
            }
            post(client, &json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}))
                .await??;
            let ready = if machine.ready { "True" } else { "False" };
            let status = json!({"status": {"conditions": [{"type": "Ready", "status": ready}],
                "allocatable": {"cpu": format!("{}m", machine.cpu), "memory": "8Gi", "pods": "110"}}});
            patch(client, &format!("{}/status", path(&name)), &status).await?;
        }
        Ok(Value::Null)
    }

    async fn report(&self, node: &str, unusual: &Value) -> anyhow::Result<Value> {
        let status = json!({"status": {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110"},
            "conditions": conditions(unusual)}});
        patch(&self.stage.client, &format!("{}/status", path(node)), &status).await
    }

    /// Changes the taints of a node. The list is replaced as a whole, and controllers change it as well.
    async fn retaint(&self, name: &str, change: impl Fn(&mut Vec<Value>)) -> anyhow::Result<Value> {
        let (client, path) = (&self.stage.client, path(&self.node(name)));
        let tainted = eventually(TAINTED, "a change of taints", || async {
            let node = get(client, &path).await.map_err(|error| format!("{error:#}"))?;
            let mut taints = node["spec"]["taints"].as_array().cloned().unwrap_or_default();
            change(&mut taints);
            let changed = json!({"metadata": {"resourceVersion": node["metadata"]["resourceVersion"]},
                "spec": {"taints": taints}});
            patch(client, &path, &changed).await.map_err(|error| format!("{error:#}"))
        });
        tainted.await.with_context(|| format!("the taints of {path}"))
    }
}

pub(super) fn path(node: &str) -> String {
    format!("/api/v1/nodes/{node}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kubelet_reports_what_is_unusual_and_the_rest_as_usual() {
        let reported = conditions(&json!({"MemoryPressure": "True", "PIDPressure": null}));
        let reported: Vec<_> = reported.as_array().unwrap().iter().map(|c| json!([c["type"], c["status"]])).collect();
        let expected = [json!(["Ready", "True"]), json!(["MemoryPressure", "True"]), json!(["DiskPressure", "False"])];
        assert_eq!(reported, expected);
    }
}
