use headroom_core::testing::{node, pod};
use headroom_engine::{Configuration, DecisionResult, Mode, simulator::Simulator};
use serde_json::json;

use super::*;

/// The engine with the plugin, and two nodes of which one is dear.
fn cluster(config: &str) -> Simulator {
    let mut registry = Registry::in_tree();
    register(&mut registry);
    let config = if config.is_empty() { Configuration::default() } else { Configuration::from_yaml(config).unwrap() };
    let mut cluster = Simulator::with(config, registry, Mode::Primary);
    cluster.node(node("cheap").capacity("2", "2Gi", 2).label(LABEL, "500").build());
    cluster.node(node("dear").capacity("2", "2Gi", 2).label(LABEL, "4000").build());
    cluster
}

fn placed(cluster: &Simulator) -> Vec<&str> {
    cluster.binds.iter().map(|(_, node)| node.as_str()).collect()
}

#[test]
fn cheap_nodes_are_filled_first() {
    let mut cluster = cluster("");
    for name in ["a", "b", "c"] {
        cluster.pod(pod(name).requests("100m", "64Mi").build());
        cluster.run();
    }
    assert_eq!(placed(&cluster), ["cheap", "cheap", "dear"]);
}

const AT_MOST_1000: &str = "
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
profiles:
- pluginConfig:
  - name: Price
    args: {maxPrice: 1000}
";

#[test]
fn dear_nodes_take_nothing_and_the_message_says_why() {
    let mut cluster = cluster(AT_MOST_1000);
    for name in ["a", "b", "c"] {
        cluster.pod(pod(name).requests("100m", "64Mi").build());
        cluster.run();
    }
    assert_eq!(placed(&cluster), ["cheap", "cheap"]);
    let Some(DecisionResult::Unschedulable { message, plugins }) = cluster.decisions.last().map(|d| &d.result) else {
        panic!("{:?}", cluster.decisions)
    };
    assert!(
        message.starts_with("0/2 nodes are available: 1 Too many pods, 1 node(s) were too expensive."),
        "{message}"
    );
    assert!(plugins.contains(&NAME), "{plugins:?}");

    // A price that sinks brings the pod back at once, without waiting for a flush.
    cluster.node(node("dear").capacity("2", "2Gi", 2).label(LABEL, "900").build());
    cluster.advance(2);
    cluster.run();
    assert_eq!(placed(&cluster), ["cheap", "cheap", "dear"]);
}

#[test]
fn arguments_are_checked() {
    for (args, want) in [
        (json!({"maxPrice": -1}), "maxPrice: -1 is not allowed: must not be negative"),
        (json!({"maxprice": 1}), "unknown field `maxprice`"),
    ] {
        let error = Price::from_args(Some(&args)).unwrap_err().to_string();
        assert!(error.contains(want), "{error}");
    }
    assert_eq!(Price::from_args(None).unwrap().most, i64::MAX);
}

#[test]
fn labels_of_any_kind_are_survived() {
    let plugin = Price::from_args(None).unwrap();
    for label in ["", "-5", "1e9", "99999999999999999999", "9223372036854775807"] {
        let info = NodeInfo::new(node("n").label(LABEL, label).arc());
        let raw = price(&info);
        assert!((0..=MAX_NODE_SCORE).contains(&plugin.normalize(&raw, &raw.max(1))), "{label}");
    }
}
