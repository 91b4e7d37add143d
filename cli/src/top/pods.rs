//! `top pods`.

use std::cmp::Reverse;

use clap::{Args, ValueEnum};
use headroom_api::{NodeHeadroom, PodSample};
use kube::ResourceExt;
use serde_json::{Value, json};

use super::{Common, Item, Shown, read::Samples, table::bytes};

/// Flags of `top pods`.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// Names of pods; all of the namespace if not given
    names: Vec<String>,
    /// Their namespace; that of the context, or default
    #[arg(short, long)]
    namespace: Option<String>,
    /// Of all namespaces
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    all_namespaces: bool,
    /// Only pods on this node
    #[arg(long)]
    node: Option<String>,
    /// What comes first
    #[arg(long, value_enum, default_value = "name")]
    sort_by: SortBy,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SortBy {
    Name,
    /// Most RAM first
    Ram,
    /// Most swap first
    Swap,
    /// Most of both together first
    Total,
}

impl Options {
    fn has(&self, samples: &Samples, pod: &PodSample) -> bool {
        let namespace = self.namespace.as_ref().unwrap_or(&samples.namespace);
        (self.all_namespaces || pod.namespace == *namespace)
            && (self.names.is_empty() || self.names.contains(&pod.name))
            && samples.selected.as_ref().is_none_or(|uids| uids.contains(&pod.uid))
    }

    fn sort(&self, pods: &mut [(&NodeHeadroom, &PodSample)]) {
        pods.sort_by_key(|(_, pod)| (pod.namespace.clone(), pod.name.clone(), pod.uid.clone()));
        match self.sort_by {
            SortBy::Name => {}
            SortBy::Ram => pods.sort_by_key(|(_, pod)| Reverse(pod.working_set_bytes)),
            SortBy::Swap => pods.sort_by_key(|(_, pod)| Reverse(pod.swap_used_bytes)),
            SortBy::Total => pods.sort_by_key(|(_, pod)| {
                Reverse(pod.working_set_bytes.unwrap_or(0).saturating_add(pod.swap_used_bytes.unwrap_or(0)))
            }),
        }
    }

    fn item(&self, node: &NodeHeadroom, pod: &PodSample) -> Item {
        let mut cells = Vec::new();
        if self.all_namespaces {
            cells.push(pod.namespace.clone());
        }
        cells.extend([
            pod.name.clone(),
            node.name_any(),
            bytes(pod.working_set_bytes),
            bytes(pod.swap_used_bytes),
            bytes(pod.swap_available_bytes),
        ]);
        let mut value = json!({"apiVersion": "headroom.dev/v1alpha1", "kind": "PodSample", "node": node.name_any(),
            "observedAt": node.status.as_ref().and_then(|s| s.observed_at.clone())});
        if let (Some(fields), Ok(Value::Object(sample))) = (value.as_object_mut(), serde_json::to_value(pod)) {
            fields.extend(sample);
        }
        Item { name: pod.name.clone(), cells, value }
    }
}

impl Shown for Options {
    fn common(&self) -> &Common {
        &self.common
    }

    fn names(&self) -> &[String] {
        &self.names
    }

    fn selected_in<'a>(&'a self, context: &'a str) -> Option<&'a str> {
        // Who may list pods in one namespace only can select there.
        (!self.all_namespaces).then(|| self.namespace.as_deref().unwrap_or(context))
    }

    fn plural(&self) -> &'static str {
        "pods"
    }

    fn kind(&self) -> &'static str {
        "pod"
    }

    fn columns(&self, _: bool) -> Vec<&'static str> {
        let first: &[&str] = if self.all_namespaces { &["NAMESPACE"] } else { &[] };
        [first, &["POD", "NODE", "RAM", "SWAP", "SWAP LEFT"]].concat()
    }

    fn items(&self, samples: &Samples, nodes: &[NodeHeadroom]) -> Vec<Item> {
        let mut chosen: Vec<(&NodeHeadroom, &PodSample)> = nodes
            .iter()
            .filter(|node| self.node.as_ref().is_none_or(|name| *name == node.name_any()))
            .flat_map(|node| node.status.iter().flat_map(|s| &s.pods).map(move |pod| (node, pod)))
            .filter(|(_, pod)| self.has(samples, pod))
            .collect();
        self.sort(&mut chosen);
        chosen.into_iter().map(|(node, pod)| self.item(node, pod)).collect()
    }
}
