//! Classes of pods beside the plain path where the random courses do not go: large numbers, large clusters.

use headroom_core::{
    memory::Sample,
    object::{Meta, Node, NodeHeadroom, ObjectKey, Pod},
    testing::{node, pod, spread, term},
};

use super::*;
use crate::{Registry, simulator::acts::essence};

/// Two clusters with the same configuration: one has classes, one has the plain path alone.
fn twins(config: &str) -> [Simulator; 2] {
    let text = format!("apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n{config}");
    [true, false].map(|classes| {
        let config = Configuration::from_yaml(&text).unwrap();
        let mut s = Simulator::with(config, Registry::in_tree(), Mode::Primary);
        s.engine.set_classes_enabled(classes);
        s
    })
}

/// Runs both, which must decide alike. Answers what the one with classes decided.
fn agreed(twins: &mut [Simulator; 2]) -> Vec<Decision> {
    let [ours, plain] = twins.each_mut().map(|s| {
        s.run();
        std::mem::take(&mut s.decisions)
    });
    let essences = |all: &[Decision]| all.iter().map(essence).collect::<Vec<_>>();
    assert_eq!(essences(&ours), essences(&plain));
    ours
}

#[test]
fn weights_that_32_bits_are_too_few_for_are_left_to_the_plain_path() {
    for (weight, classes) in [(8_000_000, true), (9_000_000, false), (i32::MAX, false)] {
        let config = format!(
            "profiles:\n- plugins:\n    score:\n      enabled: [{{name: NodeResourcesFit, weight: {weight}}}]\n"
        );
        let mut twins = twins(&config);
        for s in &mut twins {
            for i in 0..4 {
                s.node(node(&format!("n{i}")).capacity(&format!("{}", 4 + i), "8Gi", 110).build());
            }
            for i in 0..8 {
                s.pod(pod(&format!("p{i}")).requests("500m", "256Mi").build());
            }
        }
        let all = agreed(&mut twins);
        assert_eq!(all.len(), 8);
        for decision in all {
            let DecisionResult::Assumed { total: Some(total), class, .. } = decision.result else {
                panic!("{weight}: {decision:?}");
            };
            assert_eq!(class, classes, "{weight}");
            assert!(total > 50 * i64::from(weight), "{weight}: {total}");
        }
    }
}

const NODES: usize = 150;

fn machine(i: usize, closed: bool) -> Node {
    let n = node(&format!("n{i}")).capacity("64", "256Gi", 500).label("zone", ["a", "b", "c"][i % 3]);
    if closed { n.unschedulable().build() } else { n.build() }
}

fn sampled(s: &mut Simulator, i: usize, mebibytes: i64) {
    let sample = Sample { at: s.now.wall, working_set: Some(mebibytes << 20), ..Sample::default() };
    let meta = Meta { key: ObjectKey::new("", format!("n{i}")), ..Meta::default() };
    s.sample(NodeHeadroom { meta, sample: Some(sample), ..NodeHeadroom::default() });
}

/// Pods of ten templates in turn.
fn one_of_ten(name: &str, t: usize) -> Pod {
    let p =
        pod(name).requests(&format!("{}m", 50 + 10 * t), &format!("{}Mi", 64 + 16 * t)).label("app", &t.to_string());
    match t {
        3 => p.node_selector("zone", "a").build(),
        7 => p.spread(spread(1, "zone", true, "app=7")).build(),
        8 => p.prefers(10, term("app=8", "zone")).build(),
        _ => p.build(),
    }
}

/// Where most rows stay as they are: the best node changes a little with every pod, and some others with their samples.
#[test]
fn a_large_cluster_is_decided_alike() {
    let mut twins = twins("");
    for s in &mut twins {
        for i in 0..NODES {
            s.node(machine(i, false));
            sampled(s, i, 1024 * (i as i64 % 32) + i as i64 % 7);
        }
    }
    let mut by_class = 0;
    for round in 0..20_usize {
        for s in &mut twins {
            for i in 0..30 {
                s.pod(one_of_ten(&format!("p{round}-{i}"), i % 10));
            }
        }
        let all = agreed(&mut twins);
        assert_eq!(all.len(), 30, "round {round}");
        let class = |d: &&Decision| matches!(d.result, DecisionResult::Assumed { class: true, .. });
        by_class += all.iter().filter(class).count();
        for s in &mut twins {
            for i in 0..3 {
                // Every fourth round far off.
                let near = if round.is_multiple_of(4) { 1000 } else { 10 };
                sampled(s, (round * 37 + i * 32) % NODES, near * (round * 7 + i * 5) as i64);
            }
            s.delete_pod(&format!("uid-p{round}-{round}"));
            s.node(machine(round * 11 % NODES, round % 5 == 3));
            s.advance(1);
        }
    }
    assert!(by_class > 500, "{by_class}");
    for s in &twins {
        assert_eq!(s.inconsistency(), None);
    }
}
