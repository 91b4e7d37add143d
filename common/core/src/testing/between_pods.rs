//! Builders of what stands between pods: selectors, affinity terms, spread constraints.

use super::{PodBuilder, with};
use crate::{
    object::{
        Affinity, NodeInclusion, ObjectKey, PodAffinityTerm, TopologySpreadConstraint, WeightedPodAffinityTerm,
        WorkloadKind, WorkloadSelector,
    },
    selector::{LabelSelector, Operator, Requirement},
    str::Str,
};

/// A label selector from `"app=web,tier!=db,env in (a|b),env notin (a|b),x,!y"`; empty matches everything.
#[must_use]
pub fn selector(text: &str) -> LabelSelector {
    let values = |list: &str| list.trim_matches(['(', ')']).split('|').map(Str::from).collect::<Box<[_]>>();
    let requirement = |part: &str| {
        let part = part.trim();
        let (key, operator, values) = if let Some((k, v)) = part.split_once("!=") {
            (k, Operator::NotIn, values(v))
        } else if let Some((k, v)) = part.split_once('=') {
            (k, Operator::In, values(v))
        } else if let Some((k, v)) = part.split_once(" notin ") {
            (k, Operator::NotIn, values(v))
        } else if let Some((k, v)) = part.split_once(" in ") {
            (k, Operator::In, values(v))
        } else if let Some(k) = part.strip_prefix('!') {
            (k, Operator::DoesNotExist, Box::default())
        } else {
            (part, Operator::Exists, Box::default())
        };
        Requirement { key: key.into(), operator, values }
    };
    LabelSelector { requirements: text.split(',').filter(|p| !p.is_empty()).map(requirement).collect() }
}

/// An affinity term for the pod's own namespace; `selector` as in [`selector`].
#[must_use]
pub fn term(labels: &str, topology_key: &str) -> PodAffinityTerm {
    PodAffinityTerm {
        selector: Some(selector(labels)),
        namespaces: Box::default(),
        namespace_selector: None,
        topology_key: topology_key.into(),
    }
}

/// A spread constraint with the API's defaults; `selector` as in [`selector`].
#[must_use]
pub fn spread(max_skew: i32, topology_key: &str, hard: bool, labels: &str) -> TopologySpreadConstraint {
    TopologySpreadConstraint {
        max_skew,
        topology_key: topology_key.into(),
        hard,
        selector: Some(selector(labels)),
        min_domains: 1,
        node_affinity: NodeInclusion::Honor,
        node_taints: NodeInclusion::Ignore,
        match_label_keys: Box::default(),
    }
}

/// A Service, ReplicationController, ReplicaSet or StatefulSet in namespace `default`; `selector` as in [`selector`].
#[must_use]
pub fn workload(kind: WorkloadKind, name: &str, labels: &str) -> WorkloadSelector {
    WorkloadSelector {
        kind,
        key: ObjectKey::new("default", name),
        uid: format!("uid-{name}").into(),
        resource_version: 1,
        selector: Some(selector(labels)),
        owner: None,
    }
}

impl PodBuilder {
    /// Adds a topology spread constraint.
    #[must_use]
    pub fn spread(mut self, constraint: TopologySpreadConstraint) -> Self {
        let mut all = self.spec.topology_spread.into_vec();
        all.push(constraint);
        self.spec.topology_spread = all.into();
        self
    }

    fn affinity(mut self, change: impl FnOnce(&mut Affinity)) -> Self {
        change(self.spec.affinity.get_or_insert_default());
        self
    }

    /// Adds a term of required affinity.
    #[must_use]
    pub fn affine(self, term: PodAffinityTerm) -> Self {
        self.affinity(|a| a.pod_required = with(&a.pod_required, term))
    }

    /// Adds a term of required anti-affinity.
    #[must_use]
    pub fn anti_affine(self, term: PodAffinityTerm) -> Self {
        self.affinity(|a| a.pod_anti_required = with(&a.pod_anti_required, term))
    }

    /// Adds a term of preferred affinity.
    #[must_use]
    pub fn prefers(self, weight: i32, term: PodAffinityTerm) -> Self {
        self.affinity(|a| a.pod_preferred = with(&a.pod_preferred, WeightedPodAffinityTerm { weight, term }))
    }

    /// Adds a term of preferred anti-affinity.
    #[must_use]
    pub fn avoids(self, weight: i32, term: PodAffinityTerm) -> Self {
        self.affinity(|a| a.pod_anti_preferred = with(&a.pod_anti_preferred, WeightedPodAffinityTerm { weight, term }))
    }
}
