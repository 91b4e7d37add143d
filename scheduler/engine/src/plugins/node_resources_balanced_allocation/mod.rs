//! `NodeResourcesBalancedAllocation`: rather where the pod makes the shares of CPU and memory in use more alike
//! (upstream `plugins/noderesources/balanced_allocation.go`, formula of 1.36; reference 3.9).

use headroom_core::{
    Str,
    resource::{Resources, names},
};
use serde::Deserialize;
use serde_json::Value;

use super::node_resources_fit::ResourceSpec;
use crate::{
    cache::NodeInfo,
    config::{
        decode_args,
        field::{duplicate, invalid},
    },
    framework::{ArgsError, MAX_NODE_SCORE, Plugin, PodInfo, Point, Points, PreScore, Status, View},
};

/// `NodeResourcesBalancedAllocationArgs`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Args {
    #[serde(default)]
    resources: Vec<ResourceSpec>,
}

/// The plugin.
#[derive(Debug)]
pub struct NodeResourcesBalancedAllocation {
    resources: Vec<Str>,
    kinds: Vec<Kind>,
}

/// What a resource is: its name is looked at once, and not for every node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Cpu,
    Memory,
    EphemeralStorage,
    Other,
}

impl Kind {
    fn of(name: &str) -> Self {
        match name {
            names::CPU => Self::Cpu,
            names::MEMORY => Self::Memory,
            names::EPHEMERAL_STORAGE => Self::EphemeralStorage,
            _ => Self::Other,
        }
    }

    fn amount(self, name: &str, all: &Resources) -> i64 {
        match self {
            Self::Cpu => all.milli_cpu,
            Self::Memory => all.memory,
            Self::EphemeralStorage => all.ephemeral_storage,
            Self::Other => all.get(name),
        }
    }
}

impl NodeResourcesBalancedAllocation {
    /// From `NodeResourcesBalancedAllocationArgs`.
    ///
    /// # Errors
    /// Unknown fields, a resource twice, a weight other than 1.
    pub fn from_args(args: Option<&Value>) -> Result<Self, ArgsError> {
        let args: Args = decode_args(args, "NodeResourcesBalancedAllocationArgs")?;
        let mut resources: Vec<Str> = Vec::new();
        for (i, r) in args.resources.iter().enumerate() {
            if resources.iter().any(|known| *known == *r.name) {
                return Err(ArgsError::at(format!("resources[{i}].name"), duplicate(&r.name)));
            }
            if r.weight > 1 || r.weight < 0 {
                return Err(ArgsError::at(format!("resources[{i}].weight"), invalid(r.weight, "must be 1")));
            }
            resources.push(r.name.as_str().into());
        }
        if resources.is_empty() {
            resources = vec!["cpu".into(), "memory".into()];
        }
        let kinds = resources.iter().map(|name| Kind::of(name)).collect();
        Ok(Self { resources, kinds })
    }
}

/// Standard deviation of the shares in use: 0 to 0.5.
fn deviation(shares: &[f64]) -> f64 {
    match shares {
        [a, b] => ((a - b) / 2.0).abs(),
        [] | [_] => 0.0,
        many => {
            // In upstream's order of operations, so that both round alike.
            let mean = many.iter().fold(0.0, |sum, x| sum + x) / many.len() as f64;
            libm::sqrt(many.iter().fold(0.0, |sum, x| sum + (x - mean) * (x - mean)) / many.len() as f64)
        }
    }
}

fn base(shares: &[f64]) -> i64 {
    ((1.0 - deviation(shares)) * MAX_NODE_SCORE as f64) as i64
}

fn share(used: i64, capacity: i64) -> f64 {
    (used as f64 / capacity as f64).min(1.0)
}

/// Most resources compared without an allocation.
const INLINE: usize = 4;

impl Plugin for NodeResourcesBalancedAllocation {
    type Filter = ();
    /// The pod's request of each resource.
    type Score = Vec<i64>;
    type Raw = i64;
    type Bounds = ();

    fn name(&self) -> &'static str {
        "NodeResourcesBalancedAllocation"
    }

    fn points(&self) -> Points {
        Points::of(&[Point::PreScore, Point::Score])
    }

    fn pre_score(&self, pod: &PodInfo, _: &[&NodeInfo], _: &View<'_>) -> PreScore<Vec<i64>> {
        let wanted: Vec<i64> = self.resources.iter().map(|r| pod.spec.requests.get(r)).collect();
        // A pod that asks for nothing balances nothing (kubernetes#129138).
        if wanted.iter().all(|r| *r == 0) { PreScore::Skip } else { PreScore::Continue(wanted) }
    }

    fn score(&self, wanted: &Vec<i64>, _: &PodInfo, node: &NodeInfo) -> Result<i64, Status> {
        let mut inline = [[0.0; INLINE]; 2];
        let mut heap = [Vec::new(), Vec::new()];
        let mut n = 0;
        for ((name, kind), wanted) in self.resources.iter().zip(&self.kinds).zip(wanted) {
            let capacity = kind.amount(name, &node.node.allocatable);
            if capacity == 0 || (*kind == Kind::Other && *wanted == 0) {
                continue;
            }
            let used = kind.amount(name, &node.requested);
            let pair = [share(used.saturating_add(*wanted), capacity), share(used, capacity)];
            for side in 0..2 {
                if self.resources.len() <= INLINE { inline[side][n] = pair[side] } else { heap[side].push(pair[side]) }
            }
            n += 1;
        }
        let shares = |side: usize| if self.resources.len() <= INLINE { &inline[side][..n] } else { &heap[side][..] };
        let half = MAX_NODE_SCORE / 2;
        Ok(half + (half + base(shares(0)) - base(shares(1))) / 2)
    }

    fn normalize(&self, raw: &i64, (): &()) -> i64 {
        *raw
    }
}

#[cfg(test)]
mod tests {
    use headroom_core::{
        Now,
        testing::{node, pod},
    };
    use serde_json::json;

    use super::*;
    use crate::cache::Cache;

    #[test]
    fn golden() {
        let plugin = NodeResourcesBalancedAllocation::from_args(None).unwrap();
        let mut n = NodeInfo::new(node("n").capacity("4", "4Gi", 110).arc());
        let score = |n: &NodeInfo, cpu, mem| {
            let p = PodInfo::new(pod("p").requests(cpu, mem).arc());
            let wanted = vec![p.spec.requests.milli_cpu, p.spec.requests.memory];
            plugin.score(&wanted, &p, n).unwrap()
        };
        // Balanced before and after: 50 + (50 + 100 - 100) / 2.
        assert_eq!(score(&n, "1", "1Gi"), 75);
        // CPU 100 %, memory 0 %: deviation 0.5 after, 0 before.
        assert_eq!(score(&n, "4", "0"), 50);
        n.add(PodInfo::new(pod("a").requests("4", "0").arc()));
        // Makes it balanced: 50 + (50 + 100 - 50) / 2.
        assert_eq!(score(&n, "0", "4Gi"), 100);
    }

    /// Upstream's `TestNodeResourcesBalancedAllocation`: whether GPUs count, requests of the pod, capacity, requests on
    /// the node, score. Upstream's two last nodes have their devices from resource claims; an extended resource counts
    /// the same.
    #[test]
    fn upstreams_table() {
        let (two, three) = (
            json!([{"name": "cpu"}, {"name": "memory"}]),
            json!([{"name": "cpu"}, {"name": "memory"}, {"name": "nvidia.com/gpu"}]),
        );
        let (cpu, both) = ("cpu=3", "cpu=3,memory=5000");
        let (wide, flat) = ("cpu=3500m,memory=40000", "cpu=3500m,memory=40000,nvidia.com/gpu=8");
        let gpu = "cpu=0,memory=0,nvidia.com/gpu=1";
        let cache = Cache::default();
        let view = View::new(&cache, Now::default());
        for (i, (resources, asks, capacity, there, expected)) in [
            (&two, "", "cpu=4,memory=10000", "", None),
            (&two, both, "cpu=4,memory=10000", "", Some(68)),
            (&two, both, "cpu=6,memory=10000", "", Some(75)),
            (&two, both, "cpu=10,memory=20000", cpu, Some(73)),
            (&two, both, "cpu=10,memory=20000", both, Some(74)),
            (&two, both, "cpu=10,memory=50000", both, Some(70)),
            (&two, "memory=5000", "cpu=3,memory=5000", cpu, Some(100)),
            (&two, "memory=5000", "cpu=3,memory=5000", "", Some(50)),
            (&two, cpu, "cpu=6,memory=10000", cpu, Some(62)),
            (&two, cpu, "cpu=6,memory=10000", both, Some(62)),
            (&three, gpu, flat, "cpu=3,memory=5000,nvidia.com/gpu=3", Some(75)),
            (&three, gpu, flat, both, Some(76)),
            (&three, both, flat, "", Some(56)),
            (&three, both, wide, "", Some(56)),
            (&three, "nvidia.com/gpu=1", flat, cpu, Some(76)),
            (&three, "nvidia.com/gpu=1", wide, both, Some(75)),
        ]
        .into_iter()
        .enumerate()
        {
            let plugin = NodeResourcesBalancedAllocation::from_args(Some(&json!({"resources": resources}))).unwrap();
            let p = PodInfo::new(pod("p").asks(&[asks]).arc());
            let mut n = NodeInfo::new(node("n").has(capacity).arc());
            n.add(PodInfo::new(pod("there").asks(&[there]).arc()));
            let score = match plugin.pre_score(&p, &[], &view) {
                PreScore::Continue(wanted) => Some(plugin.score(&wanted, &p, &n).unwrap()),
                _ => None,
            };
            assert_eq!(score, expected, "case {i}");
        }
    }

    #[test]
    fn args() {
        let make = |json: &str| {
            NodeResourcesBalancedAllocation::from_args(Some(&serde_json::from_str(json).unwrap())).map(|p| p.resources)
        };
        assert_eq!(make(r#"{"resources":[{"name":"cpu","weight":1}]}"#).unwrap(), [Str::from("cpu")]);
        let twice = make(r#"{"resources":[{"name":"cpu"},{"name":"cpu"}]}"#).unwrap_err();
        assert_eq!(twice.to_string(), "resources[1].name: Duplicate value: \"cpu\"");
        assert!(make(r#"{"resources":[{"name":"cpu","weight":2}]}"#).is_err());
        assert!(make(r#"{"resource":[]}"#).unwrap_err().to_string().contains("unknown field `resource`"));
    }

    #[test]
    fn three_resources_use_the_population_deviation() {
        assert_eq!(deviation(&[0.0, 0.5, 1.0]), libm::sqrt(0.5 / 3.0));
        assert_eq!(deviation(&[0.7]), 0.0);
    }
}
