//! Whether a run did what it should: what the API server holds in the end against what the watch saw, what the nodes
//! can hold, and what the scenario demands.

use std::collections::HashMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::Deserialize;

use super::BenchError;
use super::observe::Seen;
use super::scenario::{CHURN, PLACED, Rule, Scenario};
use super::wire::Wire;
use super::workload::{NAMESPACE, NODE_MEMORY_MIB, NODE_MILLICPU, NODE_PODS, Workload};

/// How many irregularities are told in words.
const MAX_PROBLEMS: usize = 10;

#[derive(Deserialize)]
struct PodList {
    items: Vec<Item>,
}

#[derive(Deserialize)]
pub(super) struct Item {
    metadata: ItemMetadata,
    spec: ItemSpec,
    #[serde(default)]
    status: ItemStatus,
}

impl Item {
    /// The Unix second in which the API server bound it.
    fn scheduled(&self) -> Option<u64> {
        let condition = self.status.conditions.iter().find(|c| c.kind == "PodScheduled" && c.status == "True")?;
        u64::try_from(condition.since.as_ref()?.0.as_second()).ok()
    }

    /// CPU in millicores and memory in MiB that it asks for.
    fn requests(&self) -> Option<(u64, u64)> {
        let mut sum = (0, 0);
        for container in &self.spec.containers {
            let of = |name: &str| container.resources.requests.get(name).map(String::as_str);
            sum.0 += of("cpu").map_or(Some(0), millicores)?;
            sum.1 += of("memory").map_or(Some(0), mebibytes)?;
        }
        Some(sum)
    }
}

/// The quantities that the bench itself writes, as the API server prints them.
fn millicores(text: &str) -> Option<u64> {
    match text.strip_suffix('m') {
        Some(milli) => milli.parse().ok(),
        None => text.parse::<u64>().ok()?.checked_mul(1000),
    }
}

fn mebibytes(text: &str) -> Option<u64> {
    text.strip_suffix("Mi")?.parse().ok()
}

#[derive(Deserialize)]
struct ItemMetadata {
    name: String,
    #[serde(default)]
    labels: HashMap<String, String>,
}

#[derive(Deserialize)]
struct ItemSpec {
    #[serde(rename = "nodeName", default)]
    node: String,
    #[serde(default)]
    containers: Vec<Container>,
}

#[derive(Deserialize)]
struct Container {
    #[serde(default)]
    resources: Resources,
}

#[derive(Deserialize, Default)]
struct Resources {
    #[serde(default)]
    requests: HashMap<String, String>,
}

#[derive(Deserialize, Default)]
struct ItemStatus {
    #[serde(default)]
    conditions: Vec<ItemCondition>,
}

#[derive(Deserialize)]
struct ItemCondition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
    #[serde(rename = "lastTransitionTime")]
    since: Option<Time>,
}

/// What verifying found.
#[derive(Debug, Default)]
pub(super) struct Verified {
    pub(super) problems: Vec<String>,
    /// The second (Unix time) in which each measured pod was bound by the API server's clock.
    pub(super) scheduled: HashMap<String, u64>,
    /// Other pods that were bound meanwhile.
    pub(super) others_bound: u64,
}

/// Reads what the API server holds in the end and compares.
pub(super) async fn verify(wire: &Wire, scenario: &Scenario, seen: &Seen) -> Result<Verified, BenchError> {
    let list = async |namespace: &str| -> Result<Vec<Item>, BenchError> {
        Ok(wire.get::<PodList>(&format!("/api/v1/namespaces/{namespace}/pods")).await?.items)
    };
    let measured = list(NAMESPACE).await?;
    let placed = if scenario.placed.is_empty() { Vec::new() } else { list(PLACED).await? };
    let churned = if scenario.churn.is_some() { list(CHURN).await? } else { Vec::new() };
    let scheduled = measured.iter().filter_map(|item| Some((item.metadata.name.clone(), item.scheduled()?))).collect();
    let others_bound = churned.iter().filter(|item| !item.spec.node.is_empty()).count() as u64;
    let problems = check(scenario, seen, &measured, &placed, &churned);
    Ok(Verified { problems, scheduled, others_bound })
}

pub(super) fn check(
    scenario: &Scenario,
    seen: &Seen,
    measured: &[Item],
    placed: &[Item],
    churned: &[Item],
) -> Vec<String> {
    let mut problems = seen.problems.clone();
    let bound: HashMap<&str, &str> =
        measured.iter().map(|item| (item.metadata.name.as_str(), item.spec.node.as_str())).collect();
    for index in 0..scenario.size.pods {
        let name = Workload::pod_name(index);
        match bound.get(name.as_str()) {
            None => problems.push(format!("{name} is gone")),
            Some(&"") => problems.push(format!("{name} is not bound")),
            Some(node) => {
                if scenario.watched.includes(index)
                    && seen.bound.get(&name).map(|(node, _)| node.as_str()) != Some(node)
                {
                    problems.push(format!("{name} is on {node}, which the watch did not show"));
                }
            }
        }
    }
    let all = || measured.iter().chain(placed).chain(churned).filter(|item| !item.spec.node.is_empty());
    let mut used: HashMap<&str, (u64, u64, u64)> = HashMap::new();
    for item in all() {
        let Some((cpu, memory)) = item.requests() else {
            problems.push(format!("the requests of {} cannot be read", item.metadata.name));
            continue;
        };
        let sum = used.entry(&item.spec.node).or_default();
        *sum = (sum.0 + cpu, sum.1 + memory, sum.2 + 1);
    }
    for (node, (cpu, memory, pods)) in used {
        if cpu > NODE_MILLICPU || memory > NODE_MEMORY_MIB || pods > NODE_PODS {
            problems.push(format!("{node} holds too much: {pods} pods, {cpu}m CPU, {memory} MiB"));
        }
    }
    if !scenario.preempts && placed.len() != scenario.placed_count() as usize {
        problems.push(format!("{} of {} pods are left that were there before", placed.len(), scenario.placed_count()));
    }
    problems.extend(broken(scenario, measured, all()));
    let more = problems.len().saturating_sub(MAX_PROBLEMS);
    problems.truncate(MAX_PROBLEMS);
    if more > 0 {
        problems.push(format!("and {more} more"));
    }
    problems
}

/// How the scenario's own rule is broken.
fn broken<'a>(scenario: &Scenario, measured: &[Item], all: impl Iterator<Item = &'a Item>) -> Vec<String> {
    match scenario.rule {
        Rule::Fits => Vec::new(),
        Rule::Apart(color) => {
            let mut on: HashMap<&str, u32> = HashMap::new();
            for item in all.filter(|item| item.metadata.labels.get("color").is_some_and(|c| c == color)) {
                *on.entry(&item.spec.node).or_default() += 1;
            }
            let crowded = on.into_iter().filter(|(_, count)| *count > 1);
            crowded
                .map(|(node, count)| format!("{node} has {count} {color} pods that keep away from each other"))
                .collect()
        }
        Rule::Skew(most) => {
            let mut on: HashMap<&str, u64> = scenario.zones.iter().map(|zone| (*zone, 0)).collect();
            for zone in measured.iter().filter_map(|item| scenario.zone(&item.spec.node)) {
                *on.entry(zone).or_default() += 1;
            }
            let (min, max) = (on.values().min().copied().unwrap_or(0), on.values().max().copied().unwrap_or(0));
            if max - min > most { vec![format!("{min} to {max} pods per zone: too uneven")] } else { Vec::new() }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::time::UNIX_EPOCH;

    fn item(name: &str, node: &str, labels: &serde_json::Value) -> Item {
        serde_json::from_value(json!({
            "metadata": {"name": name, "labels": labels},
            "spec": {"nodeName": node, "containers": [{"resources": {"requests": {"cpu": "50m", "memory": "500Mi"}}}]},
        }))
        .unwrap()
    }

    fn items(bound: &[(String, String)]) -> Vec<Item> {
        bound.iter().map(|(pod, node)| item(pod, node, &json!({}))).collect()
    }

    fn seen(bound: &[(String, String)]) -> Seen {
        let bound = bound.iter().map(|(pod, node)| (pod.clone(), (node.clone(), UNIX_EPOCH))).collect();
        Seen { bound, ..Seen::default() }
    }

    #[test]
    fn an_end_state_is_checked_pod_by_pod_and_node_by_node() {
        let scenario = Scenario::burst(Workload { nodes: 2, pods: 100 });
        let check = |seen: &Seen, items: &[Item]| check(&scenario, seen, items, &[], &[]);
        let good: Vec<_> = (0..100).map(|i| (Workload::pod_name(i), Workload::node_name(i % 2))).collect();
        let watched = seen(&good);
        assert!(check(&watched, &items(&good)).is_empty());

        let mut bad = good.clone();
        bad[0].1 = String::new();
        bad[1].1 = Workload::node_name(0);
        bad.remove(2);
        let got = check(&watched, &items(&bad));
        assert_eq!(got.len(), 3, "{got:?}");

        let crowded: Vec<_> = (0..100).map(|i| (Workload::pod_name(i), Workload::node_name(0))).collect();
        assert!(check(&seen(&crowded), &items(&crowded))[0].contains("holds too much: 100 pods"));
        let nothing = check(&Seen::default(), &[]);
        assert_eq!(nothing.last().map(String::as_str), Some("and 90 more"));
    }

    #[test]
    fn rules_of_scenarios_are_checked() {
        let size = Workload { nodes: 3, pods: 2 };
        let apart = Scenario { rule: Rule::Apart("green"), ..Scenario::burst(size) };
        let green = |name: &str, node: &str| item(name, node, &json!({"color": "green"}));
        let good = [green("a", "node-0000"), green("b", "node-0001")];
        assert!(broken(&apart, &good, good.iter()).is_empty());
        let bad = [green("a", "node-0000"), green("b", "node-0000")];
        assert_eq!(broken(&apart, &bad, bad.iter()).len(), 1);

        let even = Scenario { rule: Rule::Skew(1), ..Scenario::burst(size) };
        assert!(broken(&even, &good, good.iter()).is_empty());
        assert_eq!(broken(&even, &bad, bad.iter()).len(), 1);
    }

    #[test]
    fn quantities_are_read_as_the_api_server_prints_them() {
        assert_eq!((millicores("100m"), millicores("9"), millicores("x")), (Some(100), Some(9000), None));
        assert_eq!((mebibytes("500Mi"), mebibytes("1Gi")), (Some(500), None));
    }
}
