//! Why a pod is where it is, in one line: what the engine that places pods says of the node now. What it said then is
//! not kept by anybody.

use headroom_core::{Timestamp, quantity::human_bytes};
use headroom_engine::{
    Configuration, Registry,
    engine::{NodeExplanation, PodExplanation},
};
use serde_json::Value;

use super::{
    build::{Whys, whys_key},
    json::{name, namespace, text},
};
use crate::snapshot::{Snapshot, now};

/// Most pods that are explained: a large workload gets fewer answers, not a longer wait.
pub(super) const MAX_PODS: usize = 50;

/// One line for each of these pods that has a node. `cluster` is all that a scheduler reads.
///
/// # Errors
/// The configuration cannot be used.
pub(super) fn explain(
    cluster: &Snapshot,
    pods: &[&Value],
    config: Configuration,
    registry: Registry,
    at: Timestamp,
) -> anyhow::Result<Whys> {
    let engine = cluster.engine(config, registry, at)?;
    let placed = pods.iter().copied().filter(|pod| !text(pod, "/spec/nodeName").is_empty());
    let line = |pod: &Value| {
        let row = cluster.pod(namespace(pod), name(pod))?;
        let line = line(&engine.explain(row, now(at)), text(pod, "/spec/nodeName"))?;
        Some((whys_key(pod).to_owned(), line))
    };
    Ok(placed.take(MAX_PODS).filter_map(line).collect())
}

/// What is said of the node where the pod is.
fn line(explained: &PodExplanation, at: &str) -> Option<String> {
    let node = explained.nodes.iter().find(|node| node.name == *at)?;
    if !node.feasible {
        let reasons = node.rejections.iter().flat_map(|r| r.reasons.iter().map(String::as_str));
        return Some(format!("now it would not go there: {}", reasons.collect::<Vec<_>>().join(", ")));
    }
    let left = node.memory.as_ref().map(|memory| format!(", {} of RAM left", human_bytes(memory.headroom_bytes)));
    let left = left.unwrap_or_default();
    let others: Vec<&NodeExplanation> = explained.nodes.iter().filter(|n| n.feasible && n.name != node.name).collect();
    let next = others.iter().filter_map(|n| Some((n.total?, n))).max_by_key(|(total, _)| *total);
    Some(match (node.total, next) {
        _ if others.is_empty() => format!("the only one of {} that takes it{left}", nodes(explained.nodes.len())),
        (Some(own), Some((total, other))) if total > own => {
            format!("score {own}{left}; now {} would be better: {total}", other.name)
        }
        (Some(own), Some((total, other))) => {
            let count = others.len() + 1;
            format!("best of {} that take it: score {own}, {} {total}{left}", nodes(count), other.name)
        }
        _ => format!("one of {} that take it{left}", nodes(others.len() + 1)),
    })
}

fn nodes(count: usize) -> String {
    crate::doctor::text::counted(count, "node")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(unschedulable: &[&str], on: &str) -> String {
        let node = |name: &str, memory: &str| {
            json!({"kind": "Node", "metadata": {"name": name}, "spec": {"unschedulable": unschedulable.contains(&name)},
                   "status": {"allocatable": {"cpu": "4", "memory": memory, "pods": "10"}}})
        };
        let pod = json!({"kind": "Pod", "metadata": {"name": "p"}, "spec": {"nodeName": on,
            "containers": [{"name": "c", "resources": {"requests": {"memory": "512Mi", "cpu": "100m"}}}]}});
        let objects = [node("big", "8Gi"), node("small", "1Gi"), pod.clone()];
        let cluster = Snapshot::from_objects(objects);
        let at = Timestamp::from_secs(1_800_000_000);
        let whys = explain(&cluster, &[&pod], Configuration::default(), Registry::in_tree(), at).unwrap();
        whys.get("p").cloned().unwrap_or_default()
    }

    #[test]
    fn the_node_is_compared_with_the_others() {
        let best = said(&[], "big");
        assert!(best.starts_with("best of 2 nodes that take it: score ") && best.contains(", small "), "{best}");
        let worse = said(&[], "small");
        assert!(worse.starts_with("score ") && worse.contains("; now big would be better: "), "{worse}");
        assert_eq!(said(&["small"], "big"), "the only one of 2 nodes that takes it");
        assert_eq!(said(&["small"], "small"), "now it would not go there: node(s) were unschedulable");
        assert_eq!(said(&[], ""), "", "it has none");
        assert_eq!(said(&[], "gone"), "", "the node is not known");
    }
}
