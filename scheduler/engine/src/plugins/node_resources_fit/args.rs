//! `NodeResourcesFitArgs` (`apis/config/validation/validation_pluginargs.go`; reference 4.4).

use serde::Deserialize;
use serde_json::Value;

use crate::{
    config::{
        decode_args,
        field::{forbidden, invalid, required},
    },
    framework::ArgsError,
};

/// A resource that is scored, and how much it counts.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResourceSpec {
    /// Name, for example `cpu`.
    pub name: String,
    /// 1 to 100; 0 or absent means 1.
    #[serde(default)]
    pub weight: i64,
}

/// Kind of strategy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Default)]
pub(super) enum StrategyType {
    #[default]
    LeastAllocated,
    MostAllocated,
    RequestedToCapacityRatio,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ShapePoint {
    pub(super) utilization: i64,
    pub(super) score: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RatioParam {
    #[serde(default)]
    pub(super) shape: Vec<ShapePoint>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Strategy {
    #[serde(rename = "type", default)]
    pub(super) kind: StrategyType,
    #[serde(default)]
    pub(super) resources: Vec<ResourceSpec>,
    pub(super) requested_to_capacity_ratio: Option<RatioParam>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Args {
    #[serde(default)]
    pub(super) ignored_resources: Vec<String>,
    #[serde(default)]
    pub(super) ignored_resource_groups: Vec<String>,
    #[serde(default)]
    pub(super) scoring_strategy: Strategy,
}

impl Args {
    pub(super) fn decode(args: Option<&Value>) -> Result<Self, ArgsError> {
        let mut args: Self = decode_args(args, "NodeResourcesFitArgs")?;
        for (i, group) in args.ignored_resource_groups.iter().enumerate() {
            if group.contains('/') {
                return Err(ArgsError::at(
                    format!("ignoredResourceGroups[{i}]"),
                    invalid(format!("{group:?}"), "resource group name can't contain '/'"),
                ));
            }
        }
        let strategy = &mut args.scoring_strategy;
        if strategy.resources.is_empty() {
            strategy.resources =
                ["cpu", "memory"].map(|name| ResourceSpec { name: name.to_owned(), weight: 1 }).to_vec();
        }
        for (i, r) in strategy.resources.iter_mut().enumerate() {
            if r.weight == 0 {
                r.weight = 1;
            }
            if !(1..=100).contains(&r.weight) {
                return Err(ArgsError::at(
                    format!("scoringStrategy.resources[{i}].weight"),
                    invalid(r.weight, format_args!("resource weight of {} not in valid range (0, 100]", r.name)),
                ));
            }
        }
        let path = "scoringStrategy.requestedToCapacityRatio";
        match (strategy.kind, &strategy.requested_to_capacity_ratio) {
            (StrategyType::RequestedToCapacityRatio, None) => {
                Err(ArgsError::at(path, required("must be specified when type is RequestedToCapacityRatio")))
            }
            (StrategyType::RequestedToCapacityRatio, Some(ratio)) => validate_shape(path, &ratio.shape),
            (_, Some(_)) => {
                Err(ArgsError::at(path, forbidden("must be nil when type is not RequestedToCapacityRatio")))
            }
            _ => Ok(()),
        }?;
        Ok(args)
    }
}

fn validate_shape(path: &str, shape: &[ShapePoint]) -> Result<(), ArgsError> {
    if shape.is_empty() {
        return Err(ArgsError::at(format!("{path}.shape"), required("at least one point must be specified")));
    }
    for (i, p) in shape.iter().enumerate() {
        let point = |field: &str, message: String| Err(ArgsError::at(format!("{path}.shape[{i}].{field}"), message));
        if i > 0 && shape[i - 1].utilization >= p.utilization {
            return point("utilization", invalid(p.utilization, "values must be sorted in increasing order"));
        }
        if !(0..=100).contains(&p.utilization) {
            return point("utilization", invalid(p.utilization, "not in valid range [0, 100]"));
        }
        if !(0..=10).contains(&p.score) {
            return point("score", invalid(p.score, "not in valid range [0, 10]"));
        }
    }
    Ok(())
}
