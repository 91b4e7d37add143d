//! `DefaultPreemptionArgs` (`apis/config/validation/validation_pluginargs.go`; reference 4.4).

use serde::Deserialize;
use serde_json::Value;

use crate::{config::decode_args, framework::ArgsError};

/// How many candidate nodes are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub(super) struct Args {
    pub(super) min_candidate_nodes_percentage: i32,
    pub(super) min_candidate_nodes_absolute: i32,
}

impl Default for Args {
    fn default() -> Self {
        Self { min_candidate_nodes_percentage: 10, min_candidate_nodes_absolute: 100 }
    }
}

impl Args {
    pub(super) fn decode(args: Option<&Value>) -> Result<Self, ArgsError> {
        let args: Self = decode_args(args, "DefaultPreemptionArgs")?;
        let Self { min_candidate_nodes_percentage: percentage, min_candidate_nodes_absolute: absolute } = args;
        if !(0..=100).contains(&percentage) {
            return Err(ArgsError::at(
                "minCandidateNodesPercentage",
                format!("{percentage} is not allowed: not in valid range [0, 100]"),
            ));
        }
        if absolute < 0 {
            return Err(ArgsError::at(
                "minCandidateNodesAbsolute",
                format!("{absolute} is not allowed: not in valid range [0, inf)"),
            ));
        }
        if percentage == 0 && absolute == 0 {
            return Err(ArgsError::at(
                "minCandidateNodesPercentage",
                "cannot be zero at the same time as minCandidateNodesAbsolute",
            ));
        }
        Ok(args)
    }

    /// How many candidates end the search, of this many nodes that come into question (`calculateNumCandidates`).
    pub(super) fn candidates(&self, nodes: usize) -> usize {
        let share = nodes.saturating_mul(usize::try_from(self.min_candidate_nodes_percentage).unwrap_or(0)) / 100;
        share.max(usize::try_from(self.min_candidate_nodes_absolute).unwrap_or(0)).min(nodes)
    }
}
