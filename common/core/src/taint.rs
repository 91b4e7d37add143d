//! Taints and tolerations (`k8s.io/component-helpers/scheduling/corev1`).

use crate::{str::Str, time::Timestamp};

/// What a taint does to pods that do not tolerate it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Effect {
    /// Not scheduled.
    NoSchedule,
    /// Scheduled elsewhere if possible.
    PreferNoSchedule,
    /// Not scheduled, and evicted when running.
    NoExecute,
}

impl Effect {
    /// The API's word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoSchedule => "NoSchedule",
            Self::PreferNoSchedule => "PreferNoSchedule",
            Self::NoExecute => "NoExecute",
        }
    }

    /// From the API's word; absent for unknown ones.
    #[must_use]
    pub fn parse(s: &str) -> Option<Self> {
        Some(match s {
            "NoSchedule" => Self::NoSchedule,
            "PreferNoSchedule" => Self::PreferNoSchedule,
            "NoExecute" => Self::NoExecute,
            _ => return None,
        })
    }
}

/// A node's taint.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Taint {
    /// Key.
    pub key: Str,
    /// Value, empty when unset.
    pub value: Str,
    /// Effect.
    pub effect: Effect,
    /// When a `NoExecute` taint was added.
    pub time_added: Option<Timestamp>,
}

impl Taint {
    /// Same key and effect: the identity of a taint on a node (`Taint.MatchTaint`).
    #[must_use]
    pub fn matches(&self, other: &Self) -> bool {
        self.effect == other.effect && self.key == other.key
    }
}

/// How a toleration compares values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum TolerationOperator {
    /// The values are equal (the API's default).
    #[default]
    Equal,
    /// Any value.
    Exists,
    /// The taint's value is an integer below the toleration's (`TaintTolerationComparisonOperators`).
    Lt,
    /// The taint's value is an integer above the toleration's.
    Gt,
    /// A word this version does not know: tolerates nothing.
    Unknown,
}

/// A pod's toleration.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Toleration {
    /// Key; empty with `Exists` tolerates every key.
    pub key: Str,
    /// Operator.
    pub operator: TolerationOperator,
    /// Value.
    pub value: Str,
    /// Effect; absent means all of them.
    pub effect: Option<Effect>,
    /// How long a `NoExecute` taint is tolerated, in seconds; absent means for ever.
    pub seconds: Option<i64>,
}

impl Toleration {
    /// Whether this toleration covers `taint` (`Toleration.ToleratesTaint`).
    #[must_use]
    pub fn tolerates(&self, taint: &Taint) -> bool {
        if self.effect.is_some_and(|e| e != taint.effect) || (!self.key.is_empty() && self.key != taint.key) {
            return false;
        }
        match self.operator {
            // An empty key is valid with Exists only; validation refuses the rest, and so do we.
            TolerationOperator::Exists => true,
            TolerationOperator::Equal => !self.key.is_empty() && self.value == taint.value,
            TolerationOperator::Lt | TolerationOperator::Gt => {
                let (Ok(theirs), Ok(ours)) = (taint.value.parse::<i64>(), self.value.parse::<i64>()) else {
                    return false;
                };
                if self.operator == TolerationOperator::Lt { theirs < ours } else { theirs > ours }
            }
            TolerationOperator::Unknown => false,
        }
    }
}

/// The first taint with an effect in `effects` that no toleration covers.
#[must_use]
pub fn first_untolerated<'t>(taints: &'t [Taint], tolerations: &[Toleration], effects: &[Effect]) -> Option<&'t Taint> {
    taints.iter().filter(|t| effects.contains(&t.effect)).find(|t| !tolerations.iter().any(|tol| tol.tolerates(t)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taint(key: &str, value: &str, effect: Effect) -> Taint {
        Taint { key: key.into(), value: value.into(), effect, time_added: None }
    }

    fn tol(key: &str, operator: TolerationOperator, value: &str, effect: Option<Effect>) -> Toleration {
        Toleration { key: key.into(), operator, value: value.into(), effect, seconds: None }
    }

    #[test]
    fn table() {
        use TolerationOperator::{Equal, Exists, Gt, Lt, Unknown};
        let t = taint("k", "5", Effect::NoSchedule);
        for (toleration, expected) in [
            (tol("k", Equal, "5", None), true),
            (tol("k", Equal, "6", None), false),
            (tol("k", Equal, "5", Some(Effect::NoSchedule)), true),
            (tol("k", Equal, "5", Some(Effect::NoExecute)), false),
            (tol("k", Exists, "", None), true),
            (tol("", Exists, "", None), true),
            (tol("", Equal, "5", None), false),
            (tol("x", Exists, "", None), false),
            (tol("k", Lt, "6", None), true),
            (tol("k", Lt, "5", None), false),
            (tol("k", Gt, "4", None), true),
            (tol("k", Gt, "x", None), false),
            (tol("k", Unknown, "5", None), false),
        ] {
            assert_eq!(toleration.tolerates(&t), expected, "{toleration:?}");
        }
    }

    #[test]
    fn first_untolerated_looks_only_at_the_effects_asked_for() {
        let taints = [taint("a", "", Effect::PreferNoSchedule), taint("b", "", Effect::NoExecute)];
        assert_eq!(first_untolerated(&taints, &[], &[Effect::NoSchedule, Effect::NoExecute]), Some(&taints[1]));
        let tolerate_b = [tol("b", TolerationOperator::Exists, "", None)];
        assert_eq!(first_untolerated(&taints, &tolerate_b, &[Effect::NoSchedule, Effect::NoExecute]), None);
    }
}
