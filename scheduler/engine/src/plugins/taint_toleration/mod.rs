//! `TaintToleration`: no pod on nodes whose taints it does not tolerate; rather none where it does not tolerate
//! `PreferNoSchedule` ones (upstream `plugins/tainttoleration`; reference 3.4).

use headroom_core::{
    object::Node,
    taint::{Effect, Toleration, first_untolerated},
};

use crate::{
    cache::NodeInfo,
    framework::{
        Actions, Change, EventResource, Hint, Interest, Plugin, PodInfo, Point, Points, PreScore, Status, View,
        default_normalize,
    },
};

/// The reason.
pub const REASON: &str = "node(s) had untolerated taint(s)";

const HARD: [Effect; 2] = [Effect::NoSchedule, Effect::NoExecute];

/// The plugin.
#[derive(Debug)]
pub struct TaintToleration;

fn untolerated(pod: &PodInfo, node: &Node) -> bool {
    first_untolerated(&node.taints, &pod.pod.spec.tolerations, &HARD).is_some()
}

impl Plugin for TaintToleration {
    type Filter = ();
    /// Tolerations that can concern `PreferNoSchedule` taints.
    type Score = Vec<Toleration>;
    /// How many such taints are not tolerated.
    type Raw = i64;
    type Bounds = i64;

    fn name(&self) -> &'static str {
        "TaintToleration"
    }

    fn points(&self) -> Points {
        Points::of(&[Point::Filter, Point::PreScore, Point::Score])
    }

    fn events(&self) -> Vec<Interest> {
        vec![
            Interest::hinted(EventResource::Node, Actions::ADD.or(Actions::UPDATE_NODE_TAINT)),
            Interest::hinted(EventResource::Pod, Actions::UPDATE_POD_TOLERATION),
        ]
    }

    fn hint(&self, change: &Change, pod: &PodInfo, _: &View<'_>) -> Hint {
        let queue = match change {
            Change::Node { old, new: Some(new) } => {
                old.as_ref().is_none_or(|old| untolerated(pod, old)) && !untolerated(pod, new)
            }
            Change::Pod { new: Some(new), .. } => new.uid() == pod.uid(),
            _ => false,
        };
        if queue { Hint::Queue } else { Hint::Skip }
    }

    fn filter(&self, (): &(), pod: &PodInfo, node: &NodeInfo) -> Status {
        if untolerated(pod, &node.node) { Status::unresolvable(REASON) } else { Status::SUCCESS }
    }

    fn pre_score(&self, pod: &PodInfo, _: &[&NodeInfo], _: &View<'_>) -> PreScore<Vec<Toleration>> {
        let soft = |t: &&Toleration| t.effect.is_none_or(|e| e == Effect::PreferNoSchedule);
        PreScore::Continue(pod.pod.spec.tolerations.iter().filter(soft).cloned().collect())
    }

    fn score(&self, state: &Vec<Toleration>, _: &PodInfo, node: &NodeInfo) -> Result<i64, Status> {
        let soft = node.node.taints.iter().filter(|t| t.effect == Effect::PreferNoSchedule);
        Ok(soft.filter(|t| !state.iter().any(|tol| tol.tolerates(t))).count() as i64)
    }

    fn inside(&self, max: &i64, raw: &i64) -> bool {
        // The largest is 0 without any.
        *raw <= 0 || raw < max
    }

    fn bound(&self, bounds: &mut i64, raw: &i64) {
        *bounds = (*bounds).max(*raw);
    }

    fn join(&self, bounds: &mut i64, others: &i64) -> bool {
        *bounds = (*bounds).max(*others);
        true
    }

    fn normalize(&self, raw: &i64, max: &i64) -> i64 {
        default_normalize(*raw, *max, true)
    }
}

#[cfg(test)]
mod upstream;

#[cfg(test)]
mod tests {
    use headroom_core::{
        Now,
        taint::TolerationOperator,
        testing::{node, pod},
    };

    use super::*;
    use crate::cache::Cache;

    #[test]
    fn filters_hard_taints() {
        for (effect, ok) in [(Effect::NoSchedule, false), (Effect::NoExecute, false), (Effect::PreferNoSchedule, true)]
        {
            let n = NodeInfo::new(node("n").taint("k", "v", effect).arc());
            let p = PodInfo::new(pod("p").arc());
            assert_eq!(TaintToleration.filter(&(), &p, &n).is_success(), ok, "{effect:?}");
            let t = PodInfo::new(pod("p").tolerates("k", None, None).arc());
            assert!(TaintToleration.filter(&(), &t, &n).is_success());
        }
    }

    #[test]
    fn scores_soft_taints() {
        let cache = Cache::default();
        let view = View::new(&cache, Now::default());
        let p = PodInfo::new(pod("p").tolerates("a", Some(Effect::NoSchedule), None).tolerates("b", None, None).arc());
        let PreScore::Continue(state) = TaintToleration.pre_score(&p, &[], &view) else { panic!() };
        let n = NodeInfo::new(
            node("n").taint("a", "", Effect::PreferNoSchedule).taint("b", "", Effect::PreferNoSchedule).arc(),
        );
        // The toleration of `a` is for another effect.
        assert_eq!(TaintToleration.score(&state, &p, &n), Ok(1));
        assert_eq!([0, 1, 2].map(|raw| TaintToleration.normalize(&raw, &2)), [100, 50, 0]);
        assert_eq!(TaintToleration.normalize(&0, &0), 100);
    }

    /// Upstream's `TestTaintTolerationScore`: tolerations as key, operator, value, effect; taints of each node as key,
    /// value, effect; scores.
    #[test]
    fn upstreams_table_of_scores() {
        use Effect::{NoSchedule, PreferNoSchedule};
        use TolerationOperator::{Equal, Gt, Lt};
        type Tolerations<'a> = &'a [(&'a str, TolerationOperator, &'a str, Effect)];
        type Taints<'a> = &'a [(&'a str, &'a str, Effect)];
        let (arm, ssd) = (("cpu-type", "arm64", PreferNoSchedule), ("disk-type", "ssd", PreferNoSchedule));
        let sla = "node.kubernetes.io/sla";
        let rows: [(Tolerations<'_>, &[Taints<'_>], &[i64]); 7] = [
            (
                &[("foo", Equal, "bar", PreferNoSchedule)],
                &[&[("foo", "bar", PreferNoSchedule)], &[("foo", "blah", PreferNoSchedule)]],
                &[100, 0],
            ),
            (
                &[("cpu-type", Equal, "arm64", PreferNoSchedule), ("disk-type", Equal, "ssd", PreferNoSchedule)],
                &[&[], &[arm], &[arm, ssd]],
                &[100, 100, 100],
            ),
            (&[("foo", Equal, "bar", PreferNoSchedule)], &[&[], &[arm], &[arm, ssd]], &[100, 50, 0]),
            (
                &[("cpu-type", Equal, "arm64", NoSchedule), ("disk-type", Equal, "ssd", NoSchedule)],
                &[&[], &[("cpu-type", "arm64", NoSchedule)], &[arm, ssd]],
                &[100, 100, 0],
            ),
            (&[], &[&[], &[arm]], &[100, 0]),
            (
                &[(sla, Gt, "950", PreferNoSchedule)],
                &[&[(sla, "800", PreferNoSchedule)], &[(sla, "999", PreferNoSchedule)]],
                &[0, 100],
            ),
            (
                &[(sla, Lt, "800", PreferNoSchedule)],
                &[&[(sla, "950", PreferNoSchedule)], &[(sla, "700", PreferNoSchedule)]],
                &[0, 100],
            ),
        ];
        let cache = Cache::default();
        let view = View::new(&cache, Now::default());
        for (tolerations, nodes, expected) in rows {
            let all = tolerations.iter().map(|(key, operator, value, effect)| Toleration {
                key: (*key).into(),
                operator: *operator,
                value: (*value).into(),
                effect: Some(*effect),
                seconds: None,
            });
            let p = PodInfo::new(pod("p").spec(|s| s.tolerations = all.collect()).arc());
            let PreScore::Continue(state) = TaintToleration.pre_score(&p, &[], &view) else { panic!() };
            let raw = nodes.iter().map(|taints| {
                let n = taints.iter().fold(node("n"), |n, (key, value, effect)| n.taint(key, value, *effect));
                TaintToleration.score(&state, &p, &NodeInfo::new(n.arc())).unwrap()
            });
            let raw: Vec<i64> = raw.collect();
            let max = raw.iter().copied().max().unwrap();
            let scores: Vec<i64> = raw.iter().map(|r| TaintToleration.normalize(r, &max)).collect();
            assert_eq!(scores, expected, "{tolerations:?} {nodes:?}");
        }
    }

    #[test]
    fn hints_only_when_the_taint_goes() {
        let cache = Cache::default();
        let view = View::new(&cache, Now::default());
        let p = PodInfo::new(pod("p").arc());
        let (tainted, clean) = (node("n").taint("k", "", Effect::NoSchedule).arc(), node("n").arc());
        let hint = |old: Option<_>, new| TaintToleration.hint(&Change::Node { old, new: Some(new) }, &p, &view);
        assert_eq!(hint(Some(tainted.clone()), clean.clone()), Hint::Queue);
        assert_eq!(hint(Some(clean.clone()), clean.clone()), Hint::Skip);
        assert_eq!(hint(None, clean), Hint::Queue);
        assert_eq!(hint(None, tainted), Hint::Skip);
    }
}
