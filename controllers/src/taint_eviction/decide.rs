//! When a pod has to leave a node with these taints (`processPodOnNode`, `GetMatchingTolerations`,
//! `getMinTolerationTime`; reference 4.8).

use std::time::Duration;

use headroom_core::taint::{Effect, Taint, Toleration, TolerationOperator};

/// What admission (`DefaultTolerationSeconds`) gives every pod, in seconds.
const ADMISSION_DEFAULT: i64 = 300;
/// What it counts for where it is capped.
const CAPPED: i64 = 60;
/// The taints that admission adds tolerations of; the ones that the node lifecycle controller puts on silent nodes.
pub(super) const LIFECYCLE: [&str; 2] = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];

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

/// Whether it is exactly what admission adds, so that nobody has to have meant it.
fn is_admission_default(toleration: &Toleration) -> bool {
    toleration.seconds == Some(ADMISSION_DEFAULT)
        && toleration.effect == Some(Effect::NoExecute)
        && toleration.operator == TolerationOperator::Exists
        && toleration.value.is_empty()
        && LIFECYCLE.iter().any(|key| toleration.key == **key)
}

/// The decision for one pod; `cap` cuts the tolerations that admission adds.
#[must_use]
pub fn stay(taints: &[Taint], tolerations: &[Toleration], cap: bool) -> Stay {
    let mut least: Option<i64> = None;
    for taint in taints.iter().filter(|t| t.effect == Effect::NoExecute) {
        // The first toleration that matches counts, even if a later one is more generous.
        let Some(toleration) = tolerations.iter().find(|t| t.tolerates(taint)) else { return Stay::Not };
        if let Some(seconds) = toleration.seconds {
            let seconds = if cap && is_admission_default(toleration) { CAPPED } else { seconds };
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
            for cap in [false, true] {
                assert_eq!(stay(&taints, &tolerations, cap), expected, "{taints:?} {tolerations:?}");
            }
        }
    }

    #[test]
    fn only_the_admission_default_is_capped() {
        let [not_ready, unreachable] = LIFECYCLE.map(|key| taint(key, Effect::NoExecute));
        let default = |key: &str| tolerates(key, Some(300));
        let with = |change: fn(&mut Toleration)| {
            let mut one = default(LIFECYCLE[1]);
            change(&mut one);
            one
        };
        for (tolerations, seconds) in [
            (vec![default(LIFECYCLE[0]), default(LIFECYCLE[1])], 60),
            (vec![with(|t| t.seconds = Some(299))], 299),
            (vec![with(|t| t.seconds = Some(301))], 301),
            (vec![with(|t| t.seconds = Some(30))], 30),
            (vec![with(|t| t.effect = None)], 300),
            (vec![with(|t| t.key = "".into())], 300),
            (vec![with(|t| (t.operator, t.value) = (Equal, "v".into()))], 300),
            // The first that matches counts, as ever.
            (vec![with(|t| t.seconds = Some(600)), default(LIFECYCLE[1])], 600),
        ] {
            let taints = std::slice::from_ref(&unreachable);
            assert_eq!(stay(taints, &tolerations, true), Stay::For(Duration::from_secs(seconds)), "{tolerations:?}");
        }
        let both = [not_ready, unreachable];
        let tolerations = [default(LIFECYCLE[0]), tolerates(LIFECYCLE[1], Some(90))];
        assert_eq!(stay(&both, &tolerations, true), Stay::For(Duration::from_secs(60)));
        assert_eq!(stay(&both, &tolerations, false), Stay::For(Duration::from_secs(90)));
        let other = [taint("example.com/maintenance", Effect::NoExecute)];
        let tolerations = [tolerates("example.com/maintenance", Some(300))];
        assert_eq!(stay(&other, &tolerations, true), Stay::For(Duration::from_secs(300)));
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
                let all = rank(stay(&taints[..n], &tolerations, false));
                prop_assert!(all <= rank(stay(&taints[..n - 1], &tolerations, false)));
            }
        }
    }
}
