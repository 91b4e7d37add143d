//! `InterPodAffinityArgs`.

use serde::Deserialize;
use serde_json::Value;

use crate::{config::decode_args, framework::ArgsError};

#[derive(Debug, Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Wire {
    hard_pod_affinity_weight: Option<i32>,
    ignore_preferred_terms_of_existing_pods: Option<bool>,
}

/// The arguments with their defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Args {
    /// Score of required affinity of pods on nodes, 0 to 100.
    pub(super) hard_weight: i64,
    /// Preferred terms of pods on nodes count only for pods that have such terms themselves.
    pub(super) ignore_preferred_of_existing: bool,
}

pub(super) fn decode(args: Option<&Value>) -> Result<Args, ArgsError> {
    let wire: Wire = decode_args(args, "InterPodAffinityArgs")?;
    let weight = wire.hard_pod_affinity_weight.unwrap_or(1);
    if !(0..=100).contains(&weight) {
        return Err(ArgsError::at(
            "hardPodAffinityWeight",
            format!("{weight} is not allowed: must be between 0 and 100"),
        ));
    }
    Ok(Args {
        hard_weight: i64::from(weight),
        ignore_preferred_of_existing: wire.ignore_preferred_terms_of_existing_pods.unwrap_or(false),
    })
}
