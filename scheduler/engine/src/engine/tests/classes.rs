//! Classes of pods beside the plain path where the random courses do not go: large numbers, large clusters.

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
