//! The scoring strategies (`least_allocated.go`, `most_allocated.go`, `requested_to_capacity_ratio.go`).

use headroom_core::Str;

use super::args::{Strategy, StrategyType};
use crate::{
    cache::NodeInfo,
    framework::{MAX_NODE_SCORE, SpecInfo},
};

/// What one resource is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    Cpu,
    Memory,
    EphemeralStorage,
    Scalar(Str),
}

/// Scores nodes by what is requested on them.
#[derive(Debug)]
pub(super) struct Scorer {
    kind: StrategyType,
    resources: Vec<(Kind, i64)>,
    /// (utilization, score) with scores up to 100.
    shape: Vec<(i64, i64)>,
}

impl Scorer {
    pub(super) fn new(strategy: &Strategy) -> Self {
        let kind = |name: &str| match name {
            "cpu" => Kind::Cpu,
            "memory" => Kind::Memory,
            "ephemeral-storage" => Kind::EphemeralStorage,
            other => Kind::Scalar(other.into()),
        };
        let shape = strategy.requested_to_capacity_ratio.iter().flat_map(|r| &r.shape);
        Self {
            kind: strategy.kind,
            resources: strategy.resources.iter().map(|r| (kind(&r.name), r.weight)).collect(),
            shape: shape.map(|p| (p.utilization, p.score * (MAX_NODE_SCORE / 10))).collect(),
        }
    }

    /// What the pod asks for of each resource. Pod-level resources count, as they do in Filter; upstream's scorer
    /// overlooks those of the incoming pod (reference 3.7, "Observation"): different on purpose.
    pub(super) fn requests(&self, spec: &SpecInfo) -> Vec<i64> {
        let of = |kind: &Kind| match kind {
            Kind::Cpu => spec.non_zero_milli_cpu,
            Kind::Memory => spec.non_zero_memory,
            Kind::EphemeralStorage => spec.requests.ephemeral_storage,
            Kind::Scalar(name) => spec.requests.get(name),
        };
        self.resources.iter().map(|(kind, _)| of(kind)).collect()
    }

    fn ratio(&self, requested: i64, capacity: i64) -> i64 {
        let utilization = if capacity == 0 || requested > capacity { 100 } else { scaled(requested, capacity) };
        let Some(next) = self.shape.iter().position(|(u, _)| utilization <= *u) else {
            return self.shape.last().map_or(0, |(_, score)| *score);
        };
        let (u1, s1) = self.shape[next];
        if next == 0 {
            return s1;
        }
        let (u0, s0) = self.shape[next - 1];
        s0 + (s1 - s0) * (utilization - u0) / (u1 - u0)
    }

    pub(super) fn score(&self, wanted: &[i64], node: &NodeInfo) -> i64 {
        let has = &node.node.allocatable;
        let (mut sum, mut weights) = (0_i64, 0_i64);
        for ((kind, weight), wanted) in self.resources.iter().zip(wanted) {
            let (capacity, used) = match kind {
                Kind::Cpu => (has.milli_cpu, node.non_zero_milli_cpu),
                Kind::Memory => (has.memory, node.non_zero_memory),
                Kind::EphemeralStorage => (has.ephemeral_storage, node.requested.ephemeral_storage),
                // An extended resource that the pod does not ask for does not count.
                Kind::Scalar(_) if *wanted == 0 => continue,
                Kind::Scalar(name) => (has.get(name), node.requested.get(name)),
            };
            if capacity == 0 {
                continue;
            }
            let requested = used.saturating_add(*wanted);
            let score = match self.kind {
                StrategyType::LeastAllocated if requested > capacity => 0,
                StrategyType::LeastAllocated => scaled(capacity - requested, capacity),
                StrategyType::MostAllocated => scaled(requested.min(capacity), capacity),
                StrategyType::RequestedToCapacityRatio => match self.ratio(requested, capacity) {
                    score if score > 0 => score,
                    _ => continue,
                },
            };
            sum = sum.saturating_add(score.saturating_mul(*weight));
            weights += weight;
        }
        if weights == 0 {
            return 0;
        }
        if self.kind == StrategyType::RequestedToCapacityRatio {
            return (sum as f64 / weights as f64).round() as i64;
        }
        sum / weights
    }
}

/// `part * 100 / whole` without overflow.
fn scaled(part: i64, whole: i64) -> i64 {
    match part.checked_mul(MAX_NODE_SCORE) {
        Some(product) => product / whole,
        None => i64::try_from(i128::from(part) * i128::from(MAX_NODE_SCORE) / i128::from(whole)).unwrap_or(0),
    }
}
