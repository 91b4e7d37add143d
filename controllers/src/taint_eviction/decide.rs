//! When a pod has to leave a node with these taints (`processPodOnNode`, `GetMatchingTolerations`,
//! `getMinTolerationTime`; reference 4.8).

use std::time::Duration;

use headroom_core::taint::{Effect, Taint, Toleration};

/// How long a pod may stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stay {
    /// For ever: everything is tolerated.
    Forever,
    /// For this long, counted from now; zero means it goes at once.
    For(Duration),
    /// Some taint is not tolerated at all: it goes at once, whatever was planned.
    Not,
}

/// The decision for one pod.
#[must_use]
pub fn stay(taints: &[Taint], tolerations: &[Toleration]) -> Stay {
    let mut least: Option<i64> = None;
    for taint in taints.iter().filter(|t| t.effect == Effect::NoExecute) {
        // The first toleration that matches counts, even if a later one is more generous.
        let Some(toleration) = tolerations.iter().find(|t| t.tolerates(taint)) else { return Stay::Not };
        if let Some(seconds) = toleration.seconds {
            least = Some(least.map_or(seconds, |l| l.min(seconds)));
        }
    }
    match least {
        None => Stay::Forever,
        Some(seconds) => Stay::For(Duration::from_secs(u64::try_from(seconds).unwrap_or(0))),
    }
}

/// Whether the node has any `NoExecute` taint.
#[must_use]
pub(super) fn evicts(taints: &[Taint]) -> bool {
    taints.iter().any(|t| t.effect == Effect::NoExecute)
}

#[cfg(test)]
mod tests {
    use super::*;
    use headroom_core::taint::TolerationOperator::{Equal, Exists};
    use proptest::prelude::*;

    fn taint(key: &str, effect: Effect) -> Taint {
        Taint { key: key.into(), value: "v".into(), effect, time_added: None }
    }

    fn tolerates(key: &str, seconds: Option<i64>) -> Toleration {
        Toleration { key: key.into(), operator: Exists, value: "".into(), effect: Some(Effect::NoExecute), seconds }
    }

    #[test]
    fn table() {
        let (a, b) = (taint("a", Effect::NoExecute), taint("b", Effect::NoExecute));
        let for_secs = |s| Stay::For(Duration::from_secs(s));
        let wrong_value =
            Toleration { key: "a".into(), operator: Equal, value: "other".into(), effect: None, seconds: None };
        for (taints, tolerations, expected) in [
            (vec![], vec![], Stay::Forever),
            (vec![taint("a", Effect::NoSchedule)], vec![], Stay::Forever),
            (vec![a.clone()], vec![], Stay::Not),
            (vec![a.clone()], vec![wrong_value], Stay::Not),
            (vec![a.clone()], vec![tolerates("a", None)], Stay::Forever),
            (vec![a.clone()], vec![tolerates("", None)], Stay::Forever),
            (vec![a.clone()], vec![tolerates("a", Some(300))], for_secs(300)),
            (vec![a.clone()], vec![tolerates("a", Some(0))], for_secs(0)),
            (vec![a.clone()], vec![tolerates("a", Some(-5))], for_secs(0)),
            (vec![a.clone()], vec![tolerates("a", Some(9)), tolerates("a", None)], for_secs(9)),
            (vec![a.clone()], vec![tolerates("a", None), tolerates("a", Some(9))], Stay::Forever),
            (vec![a.clone(), b.clone()], vec![tolerates("a", Some(9)), tolerates("b", Some(4))], for_secs(4)),
            (vec![a.clone(), b.clone()], vec![tolerates("a", None), tolerates("b", Some(4))], for_secs(4)),
            (vec![a.clone(), b], vec![tolerates("a", Some(9))], Stay::Not),
            (vec![a], vec![tolerates("a", Some(i64::MAX))], for_secs(i64::MAX as u64)),
        ] {
            assert_eq!(stay(&taints, &tolerations), expected, "{taints:?} {tolerations:?}");
        }
    }

    proptest! {
        /// More taints never make a pod stay longer.
        #[test]
        fn monotone(
            keys in prop::collection::vec(0_u8..4, 0..5),
            tolerations in prop::collection::vec((0_u8..4, prop::option::of(-5_i64..20)), 0..6),
        ) {
            let taints: Vec<Taint> = keys.iter().map(|k| taint(&k.to_string(), Effect::NoExecute)).collect();
            let tolerations: Vec<Toleration> = tolerations.iter().map(|(k, s)| tolerates(&k.to_string(), *s)).collect();
            let rank = |s: Stay| match s { Stay::Forever => u64::MAX, Stay::For(d) => 1 + d.as_secs(), Stay::Not => 0 };
            for n in 1..=taints.len() {
                prop_assert!(rank(stay(&taints[..n], &tolerations)) <= rank(stay(&taints[..n - 1], &tolerations)));
            }
        }
    }
}
