//! `VolumeBindingArgs` (`apis/config/validation/validation_pluginargs.go`; reference 4.4).
//!
//! Upstream scores by storage capacity behind the gate StorageCapacityScoring, off in 1.36, and refuses `shape` without
//! it. Here `shape` is the switch: without it nothing is scored, as in 1.36; with it, as with the gate.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::{
    config::decode_args,
    framework::{ArgsError, MAX_NODE_SCORE},
};

/// How long binding may take when the arguments do not say, in seconds.
const DEFAULT_TIMEOUT: i64 = 600;
/// The highest score of a point of the shape.
const MAX_POINT: i64 = 10;
/// Most points of a shape: one per percent.
const MAX_POINTS: usize = 101;

#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Raw {
    bind_timeout_seconds: Option<i64>,
    shape: Option<Vec<Point>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Point {
    utilization: i64,
    #[serde(default)]
    score: i64,
}

/// The arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Args {
    /// How long binding may take.
    pub(super) timeout: Duration,
    /// (utilization, score with scores up to 100); empty = no scoring.
    pub(super) shape: Vec<(i64, i64)>,
}

pub(super) fn decode(args: Option<&Value>) -> Result<Args, ArgsError> {
    let raw: Raw = decode_args(args, "VolumeBindingArgs")?;
    let seconds = raw.bind_timeout_seconds.unwrap_or(DEFAULT_TIMEOUT);
    let Ok(seconds) = u64::try_from(seconds) else {
        return Err(ArgsError::at("bindTimeoutSeconds", format!("{seconds} is not allowed: must not be negative")));
    };
    let shape = raw.shape.unwrap_or_default();
    if shape.len() > MAX_POINTS {
        return Err(ArgsError::at("shape", format!("must have at most {MAX_POINTS} points")));
    }
    for (i, p) in shape.iter().enumerate() {
        let bad = |field: &str, message: String| Err(ArgsError::at(format!("shape[{i}].{field}"), message));
        if i > 0 && shape[i - 1].utilization >= p.utilization {
            return bad("utilization", format!("{}: points must be sorted by utilization, each once", p.utilization));
        }
        if !(0..=100).contains(&p.utilization) {
            return bad("utilization", format!("{} is not allowed: must be between 0 and 100", p.utilization));
        }
        if !(0..=MAX_POINT).contains(&p.score) {
            return bad("score", format!("{} is not allowed: must be between 0 and {MAX_POINT}", p.score));
        }
    }
    Ok(Args {
        timeout: Duration::from_secs(seconds),
        shape: shape.iter().map(|p| (p.utilization, p.score * (MAX_NODE_SCORE / MAX_POINT))).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(json: &str) -> Result<Args, String> {
        decode(Some(&serde_json::from_str(json).unwrap())).map_err(|e| e.to_string())
    }

    #[test]
    fn defaults_and_values() {
        let default = Args { timeout: Duration::from_secs(600), shape: Vec::new() };
        assert_eq!(decode(None), Ok(default.clone()));
        assert_eq!(parse("{}"), Ok(default.clone()));
        assert_eq!(
            parse(
                r#"{"apiVersion": "kubescheduler.config.k8s.io/v1", "kind": "VolumeBindingArgs", "bindTimeoutSeconds": 0,
                "shape": [{"utilization": 0, "score": 10}, {"utilization": 100}]}"#
            ),
            Ok(Args { timeout: Duration::ZERO, shape: vec![(0, 100), (100, 0)] })
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (json, expected) in [
            (r#"{"bindTimeoutSeconds": -1}"#, "bindTimeoutSeconds: -1 is not allowed: must not be negative"),
            (
                r#"{"shape": [{"utilization": 101, "score": 1}]}"#,
                "shape[0].utilization: 101 is not allowed: must be between 0 and 100",
            ),
            (
                r#"{"shape": [{"utilization": 1, "score": 11}]}"#,
                "shape[0].score: 11 is not allowed: must be between 0 and 10",
            ),
            (
                r#"{"shape": [{"utilization": 1, "score": 1}, {"utilization": 1, "score": 1}]}"#,
                "shape[1].utilization: 1: points must be sorted by utilization, each once",
            ),
            (r#"{"timeout": 1}"#, "unknown field `timeout`, expected `bindTimeoutSeconds` or `shape`"),
        ] {
            let error = parse(json).unwrap_err();
            assert!(error.ends_with(expected), "{error}");
        }
    }
}
