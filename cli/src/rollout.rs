//! Whether a Deployment lets its old pods go only for new ones that run.

use serde_json::Value;

use crate::distribution::text;

/// What both fields of a rolling update are where nothing says.
const QUARTER: u64 = 25;

/// Whether none of so many old pods goes before a new one runs beside them: `maxUnavailable` comes to none
/// (`ResolveFenceposts`, pkg/controller/deployment/util). Items of a list do not say that they are Deployments.
pub(crate) fn keeps_all(deployment: &Value, replicas: u64) -> bool {
    let is_one = matches!(text(deployment, "/kind"), "Deployment" | "");
    let rolls = is_one && text(deployment, "/spec/strategy/type") != "Recreate";
    let of = |field: &str| deployment.pointer(&format!("/spec/strategy/rollingUpdate/{field}"));
    let surge = part(of("maxSurge"), replicas, u64::div_ceil);
    let unavailable = part(of("maxUnavailable"), replicas, |all, by| all / by);
    let paused = deployment.pointer("/spec/paused").and_then(Value::as_bool) == Some(true);
    // Where both come to none, one may be missing.
    rolls && !paused && replicas > 0 && unavailable == 0 && surge > 0
}

/// A number, or a percentage of all, which is rounded as `divide` does.
fn part(value: Option<&Value>, all: u64, divide: fn(u64, u64) -> u64) -> u64 {
    let percent = |percent: u64| divide(all.saturating_mul(percent), 100);
    match value {
        Some(Value::Number(number)) => number.as_u64().unwrap_or(0),
        Some(Value::String(text)) => text.strip_suffix('%').and_then(|text| text.parse().ok()).map_or(0, percent),
        _ => percent(QUARTER),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn where_old_pods_wait_for_new_ones() {
        let keeps = |strategy: Value, replicas: u64| {
            keeps_all(&json!({"kind": "Deployment", "spec": {"strategy": strategy}}), replicas)
        };
        let rolling = |surge: Value, unavailable: Value| {
            let both = json!({"maxSurge": surge, "maxUnavailable": unavailable});
            json!({"type": "RollingUpdate", "rollingUpdate": both})
        };
        for (strategy, replicas, expected) in [
            (json!({}), 1, true),
            (json!({"type": "RollingUpdate"}), 3, true),
            (json!({}), 4, false),
            (json!({}), 0, false),
            (json!({"type": "Recreate"}), 1, false),
            (rolling(json!(1), json!(0)), 100, true),
            (rolling(json!(0), json!(0)), 2, false),
            (rolling(json!("1%"), json!("49%")), 2, true),
            (rolling(json!("1%"), json!("50%")), 2, false),
            (rolling(json!("0%"), json!("10%")), 2, false),
            (rolling(Value::Null, json!(1)), 2, false),
        ] {
            assert_eq!(keeps(strategy.clone(), replicas), expected, "{strategy} {replicas}");
        }
        assert!(!keeps_all(&json!({"kind": "Deployment", "spec": {"paused": true}}), 1));
        assert!(!keeps_all(&json!({"kind": "StatefulSet", "spec": {}}), 1));
        assert!(keeps_all(&json!({"spec": {}}), 1));
    }
}
