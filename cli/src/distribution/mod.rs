//! Which distribution a cluster is of, who does what in it, and what has to be changed where: facts as values, read once,
//! and the changes of files as values. What follows from them is planned elsewhere (`takeover`, `handback`, `status`).

pub(crate) mod change;
pub(crate) mod configuration;
pub(crate) mod facts;
pub(crate) mod host;
pub(crate) mod ours;
pub(crate) mod read;
pub(crate) mod record;
pub(crate) mod requests;
pub(crate) mod stock;

use clap::ValueEnum;
use serde_json::Value;

/// How a cluster runs its stock scheduler and controller manager, which is what differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Distribution {
    /// In the process of k3s
    K3s,
    /// As static pods, from /etc/kubernetes/manifests
    Kubeadm,
    /// As children of k0s
    K0s,
    /// In some way that is not known
    Any,
}

impl Distribution {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::K3s => "k3s",
            Self::Kubeadm => "kubeadm",
            Self::K0s => "k0s",
            Self::Any => "any",
        }
    }

    /// The distribution, and what shows it.
    pub(crate) fn detect(cluster: &[Value], kubeadm_config: bool) -> (Self, String) {
        let version = |o: &Value| text(o, "/status/nodeInfo/kubeletVersion").to_owned();
        for (mark, distribution) in [("+k3s", Self::K3s), ("+k0s", Self::K0s)] {
            if let Some(node) = of_kind(cluster, "Node").find(|node| version(node).contains(mark)) {
                return (distribution, format!("kubelet {} on {}", version(node), text(node, "/metadata/name")));
            }
        }
        if kubeadm_config {
            return (Self::Kubeadm, "ConfigMap kube-system/kubeadm-config".to_owned());
        }
        let socket = |o: &&Value| annotation(o, "kubeadm.alpha.kubernetes.io/cri-socket").is_some();
        if let Some(node) = of_kind(cluster, "Node").find(socket) {
            return (Self::Kubeadm, format!("annotation of kubeadm on {}", text(node, "/metadata/name")));
        }
        (Self::Any, "nothing shows another".to_owned())
    }
}

/// Labels that managed clusters put on their nodes, and the offers.
const MANAGED: [(&str, &str); 5] = [
    ("doks.digitalocean.com/node-id", "DigitalOcean Kubernetes"),
    ("lke.linode.com/pool-id", "Linode Kubernetes Engine"),
    ("cloud.google.com/gke-nodepool", "Google Kubernetes Engine"),
    ("eks.amazonaws.com/nodegroup", "Amazon EKS"),
    ("kubernetes.azure.com/cluster", "Azure Kubernetes Service"),
];

/// The offer, where somebody else runs the control plane: nothing can be turned off there.
pub(crate) fn managed(cluster: &[Value]) -> Option<&'static str> {
    let has = |label: &str| {
        let of = |node: &Value| node.pointer("/metadata/labels").and_then(|labels| labels.get(label)).is_some();
        of_kind(cluster, "Node").any(of)
    };
    MANAGED.into_iter().find(|(label, _)| has(label)).map(|(_, offer)| offer)
}

/// The text at a path, empty when there is none.
pub(crate) fn text<'a>(object: &'a Value, path: &str) -> &'a str {
    object.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

fn annotation<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object.pointer("/metadata/annotations")?.get(name)?.as_str()
}

/// The objects of a kind.
pub(crate) fn of_kind<'a>(objects: &'a [Value], kind: &'static str) -> impl Iterator<Item = &'a Value> {
    objects.iter().filter(move |object| text(object, "/kind") == kind)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn node(version: &str, over: Value) -> Value {
        let mut node = json!({"kind": "Node", "metadata": {"name": "a", "labels": {}, "annotations": {}},
                              "status": {"nodeInfo": {"kubeletVersion": version}}});
        node["metadata"]["labels"] = over["labels"].clone();
        node["metadata"]["annotations"] = over["annotations"].clone();
        node
    }

    #[test]
    fn distributions_by_what_shows_them() {
        let socket = json!({"annotations": {"kubeadm.alpha.kubernetes.io/cri-socket": "unix:///run/c.sock"}});
        for (nodes, config, expected, shown) in [
            (vec![node("v1.36.4", json!({})), node("v1.36.4+k3s1", json!({}))], false, Distribution::K3s, "k3s1 on a"),
            (vec![node("v1.36.4+k0s", json!({}))], false, Distribution::K0s, "kubelet v1.36.4+k0s on a"),
            (vec![node("v1.36.4", json!({}))], true, Distribution::Kubeadm, "ConfigMap"),
            (vec![node("v1.36.4", socket)], false, Distribution::Kubeadm, "annotation of kubeadm on a"),
            (vec![node("v1.36.4", json!({}))], false, Distribution::Any, "nothing"),
            (Vec::new(), false, Distribution::Any, "nothing"),
        ] {
            let (found, because) = Distribution::detect(&nodes, config);
            assert_eq!(found, expected, "{because}");
            assert!(because.contains(shown), "{because}");
        }
    }

    #[test]
    fn managed_clusters_by_their_labels() {
        assert_eq!(managed(&[node("v1", json!({}))]), None);
        let label = json!({"labels": {"doks.digitalocean.com/node-id": "1"}});
        assert_eq!(managed(&[node("v1", json!({})), node("v1", label)]), Some("DigitalOcean Kubernetes"));
    }
}
