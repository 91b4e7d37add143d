//! Upstream's tables of Filter and of the hints (`taint_toleration_test.go`). Left out: the operators `Gt` and `Lt`
//! with their gate off. Here they always compare; API servers whose gate is off refuse them.

use headroom_core::{
    Now,
    taint::TolerationOperator,
    testing::{NodeBuilder, PodBuilder, node, pod},
};

use super::*;
use crate::cache::Cache;

const SLA: &str = "node.kubernetes.io/sla";
const LEVEL: &str = "node.example.com/priority-level";

/// Key, operator, value and effect.
type Tolerated<'a> = (&'a str, TolerationOperator, &'a str, Option<Effect>);
/// Key, value and effect.
type Tainted<'a> = (&'a str, &'a str, Effect);

fn tolerating(tolerations: &[Tolerated<'_>]) -> PodBuilder {
    let all = tolerations.iter().map(|(key, operator, value, effect)| Toleration {
        key: (*key).into(),
        operator: *operator,
        value: (*value).into(),
        effect: *effect,
        seconds: None,
    });
    let all = all.collect();
    pod("p").spec(|s| s.tolerations = all)
}

fn tainted(taints: &[Tainted<'_>]) -> NodeBuilder {
    taints.iter().fold(node("n"), |n, (key, value, effect)| n.taint(key, value, *effect))
}

/// `TestTaintTolerationFilter`, and of `TestTaintTolerationFilterWithFeatureGate` what else there is: tolerations,
/// taints, whether the pod may go there.
#[test]
fn hard_taints() {
    use Effect::{NoSchedule, PreferNoSchedule};
    use TolerationOperator::{Equal, Exists, Gt, Lt};
    const NO: Option<Effect> = Some(NoSchedule);
    let user = |value: &'static str| ("dedicated", Equal, value, NO);
    let rows: Vec<(Vec<Tolerated<'_>>, Vec<Tainted<'_>>, bool)> = vec![
        (vec![], vec![("dedicated", "user1", NoSchedule)], false),
        (vec![user("user1")], vec![("dedicated", "user1", NoSchedule)], true),
        (vec![user("user2")], vec![("dedicated", "user1", NoSchedule)], false),
        (vec![("foo", Exists, "", NO)], vec![("foo", "bar", NoSchedule)], true),
        (
            vec![user("user2"), ("foo", Exists, "", NO)],
            vec![("dedicated", "user2", NoSchedule), ("foo", "bar", NoSchedule)],
            true,
        ),
        (vec![("foo", Equal, "bar", Some(PreferNoSchedule))], vec![("foo", "bar", NoSchedule)], false),
        (vec![("foo", Equal, "bar", None)], vec![("foo", "bar", NoSchedule)], true),
        (vec![user("user2")], vec![("dedicated", "user1", PreferNoSchedule)], true),
        (vec![], vec![("dedicated", "user1", PreferNoSchedule)], true),
        (vec![(LEVEL, Gt, "950", NO)], vec![(LEVEL, "800", NoSchedule)], false),
        (vec![(SLA, Gt, "750", NO)], vec![(SLA, "950", NoSchedule)], true),
        (vec![(LEVEL, Lt, "800", NO)], vec![(LEVEL, "950", NoSchedule)], false),
        (vec![(SLA, Lt, "950", NO)], vec![(SLA, "800", NoSchedule)], true),
        (vec![(SLA, Gt, "950", NO)], vec![(SLA, "high", NoSchedule)], false),
        (vec![user("user1"), (SLA, Gt, "750", NO)], vec![("dedicated", "user1", NoSchedule)], true),
        // Ours: the value in the toleration is no number, or they are equal.
        (vec![(SLA, Lt, "low", NO)], vec![(SLA, "950", NoSchedule)], false),
        (vec![(SLA, Gt, "950", NO)], vec![(SLA, "950", NoSchedule)], false),
    ];
    for (tolerations, taints, open) in rows {
        let p = PodInfo::new(tolerating(&tolerations).arc());
        let status = TaintToleration.filter(&(), &p, &NodeInfo::new(tainted(&taints).arc()));
        let expected = if open { Status::SUCCESS } else { Status::unresolvable(REASON) };
        assert_eq!(status, expected, "{tolerations:?} {taints:?}");
    }
}

fn hint(p: PodBuilder, change: Change) -> Hint {
    let cache = Cache::default();
    TaintToleration.hint(&change, &PodInfo::new(p.arc()), &View::new(&cache, Now::default()))
}

/// `TestIsSchedulableAfterNodeChange`, for a pod that tolerates `user2`: the taints before, when there was a node, and
/// after.
#[test]
fn after_nodes() {
    let of = |users: &[&str]| {
        let taints: Vec<Tainted<'_>> = users.iter().map(|user| ("dedicated", *user, Effect::NoSchedule)).collect();
        tainted(&taints).arc()
    };
    for (i, (old, new, expected)) in [
        (None, of(&["user1"]), Hint::Skip),
        (None, of(&["user2"]), Hint::Queue),
        (Some(of(&["user1"])), of(&["user1", "user3"]), Hint::Skip),
        (Some(of(&["user1"])), of(&["user2"]), Hint::Queue),
    ]
    .into_iter()
    .enumerate()
    {
        let p = tolerating(&[("dedicated", TolerationOperator::Equal, "user2", Some(Effect::NoSchedule))]);
        assert_eq!(hint(p, Change::Node { old, new: Some(new) }), expected, "case {i}");
    }
}

/// `Test_isSchedulableAfterPodTolerationChange`: the pod whose tolerations grew.
#[test]
fn after_pods() {
    let foo = || tolerating(&[("foo", TolerationOperator::Equal, "", Some(Effect::NoSchedule))]);
    for (old, new, expected) in
        [(pod("p").uid("other"), foo().uid("other"), Hint::Skip), (pod("p"), foo(), Hint::Queue)]
    {
        let change = Change::Pod { old: Some(PodInfo::new(old.arc())), new: Some(PodInfo::new(new.arc())) };
        assert_eq!(hint(pod("p"), change), expected);
    }
}
