//! Pod disruption budgets.

use super::meta::Meta;
use crate::{
    selector::{LabelSelector, Labels},
    str::Str,
};

/// A pod disruption budget, as far as preemption reads it (`policy/v1`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PodDisruptionBudget {
    /// Metadata.
    pub meta: Meta,
    /// Which pods of its namespace; absent matches none.
    pub selector: Option<LabelSelector>,
    /// `status.disruptionsAllowed`.
    pub disruptions_allowed: i32,
    /// Names in `status.disruptedPods`, sorted: pods whose eviction was granted already.
    pub disrupted_pods: Box<[Str]>,
}

impl PodDisruptionBudget {
    /// Whether the budget is about pods with these labels.
    ///
    /// `policy/v1` gives a selector without requirements the meaning "all pods of the namespace"; kube-scheduler before
    /// 1.38 takes it to match none (kubernetes#141785) and pods without labels to match no budget. Both are followed.
    #[must_use]
    pub fn covers(&self, labels: &Labels) -> bool {
        !labels.is_empty() && self.selector.as_ref().is_some_and(|s| !s.requirements.is_empty() && s.matches(labels))
    }

    /// Whether the eviction of the pod of this name was granted already.
    #[must_use]
    pub fn has_disrupted(&self, pod: &str) -> bool {
        self.disrupted_pods.binary_search_by(|name| name.as_str().cmp(pod)).is_ok()
    }
}
