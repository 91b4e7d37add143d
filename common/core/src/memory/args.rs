//! `MemoryHeadroomArgs` (interfaces.md 2): [`Params`] as a configuration has them, for the scheduler's plugin and for the
//! controllers' `--memory-config` alike. Strict: an unknown field, a wrong type or a value out of range is an error that
//! names the field.

use serde_json::{Map, Value};
use thiserror::Error;

use super::{Enforcement, Params};
use crate::quantity;

/// `apiVersion` of the document.
pub const API_VERSION: &str = "kubescheduler.config.k8s.io/v1";
/// Its `kind`.
pub const KIND: &str = "MemoryHeadroomArgs";
/// How much of a wrong value is repeated, characters.
const SHOWN: usize = 40;

/// What is wrong with the arguments.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{field}: {message}")]
pub struct ArgError {
    /// The argument.
    pub field: String,
    /// What it must be.
    pub message: String,
}

/// The parameters that the arguments give: what is absent or `null` has its default. `apiVersion` and `kind` may be given,
/// and must then be right.
///
/// # Errors
/// [`ArgError`] names the field.
pub fn decode(fields: &Map<String, Value>) -> Result<Params, ArgError> {
    let at = |field: &str, message: String| ArgError { field: field.to_owned(), message };
    let mut params = Params::default();
    for (name, value) in fields {
        let expected = match name.as_str() {
            "apiVersion" => API_VERSION,
            "kind" => KIND,
            _ => {
                set(&mut params, name, value).map_err(|message| at(name, message))?;
                continue;
            }
        };
        if value != expected {
            return Err(at(name, format!("{} is not allowed: must be {expected:?}", shown(value))));
        }
    }
    params.validate().map_err(|e| at(e.field, format!("{} is not allowed: must be {}", e.value, e.must)))?;
    Ok(params)
}

fn shown(value: &Value) -> String {
    value.to_string().chars().take(SHOWN).collect()
}

/// A value of its type; `None` stands for the default, as when it is not given.
fn read<T>(value: &Value, expected: &str, read: impl FnOnce(&Value) -> Option<T>) -> Result<Option<T>, String> {
    if value.is_null() {
        return Ok(None);
    }
    read(value).map(Some).ok_or_else(|| format!("expected {expected}, not {}", shown(value)))
}

fn whole(value: &Value) -> Result<Option<i64>, String> {
    read(value, "a whole number", Value::as_i64)
}

fn count(value: &Value) -> Result<Option<u32>, String> {
    read(value, "a whole number", |v| u32::try_from(v.as_i64()?).ok())
}

fn number(value: &Value) -> Result<Option<f64>, String> {
    read(value, "a number", Value::as_f64)
}

fn flag(value: &Value) -> Result<Option<bool>, String> {
    read(value, "true or false", Value::as_bool)
}

/// A size in bytes: a quantity, or a number.
fn size(value: &Value) -> Result<Option<i64>, String> {
    read(value, "a size, like 256Mi", |v| v.as_i64().or_else(|| quantity::value(v.as_str()?).ok()))
}

fn priority(value: &Value) -> Result<Option<Option<i32>>, String> {
    read(value, "a priority", |v| i32::try_from(v.as_i64()?).ok().map(Some))
}

fn enforcement(value: &Value) -> Result<Option<Enforcement>, String> {
    read(value, "Filter or Score", |v| match v.as_str()? {
        "Filter" => Some(Enforcement::Filter),
        "Score" => Some(Enforcement::Score),
        _ => None,
    })
}

/// How a parameter stands in a configuration.
trait Shown {
    fn value(&self) -> Value;
}

macro_rules! shown {
    ($($kind:ty),*) => { $(impl Shown for $kind {
        fn value(&self) -> Value {
            (*self).into()
        }
    })* };
}

shown!(i64, u32, f64, bool, Option<i32>);

impl Shown for Enforcement {
    fn value(&self) -> Value {
        match self {
            Self::Filter => "Filter",
            Self::Score => "Score",
        }
        .into()
    }
}

macro_rules! fields {
    ($($name:literal => $field:ident: $read:ident;)*) => {
        fn set(params: &mut Params, name: &str, value: &Value) -> Result<(), String> {
            match name {
                $($name => if let Some(value) = $read(value)? { params.$field = value; },)*
                _ => return Err("unknown field".to_owned()),
            }
            Ok(())
        }

        /// All arguments that have a value, as a configuration shows them.
        #[must_use]
        pub fn encode(params: &Params) -> Map<String, Value> {
            // Every parameter has its line below, or this does not compile.
            let Params { $($field),* } = params;
            let all = [$(($name, $field.value())),*];
            all.into_iter().filter(|(_, value)| !value.is_null()).map(|(name, value)| (name.to_owned(), value)).collect()
        }
    };
}

fields! {
    "freshSeconds" => fresh_seconds: whole;
    "staleSeconds" => stale_seconds: whole;
    "driftPerMinute" => drift_per_minute: number;
    "driftMax" => drift_max: number;
    "floorFraction" => floor_fraction: number;
    "floorMinBytes" => floor_min_bytes: size;
    "floorMaxBytes" => floor_max_bytes: size;
    "floorOverEvictionBytes" => floor_over_eviction_bytes: size;
    "defaultDemandBytes" => default_demand_bytes: size;
    "defaultDemandMinBytes" => default_demand_min_bytes: size;
    "defaultDemandMaxBytes" => default_demand_max_bytes: size;
    "marginFraction" => margin_fraction: number;
    "marginMinBytes" => margin_min_bytes: size;
    "historySamples" => history_samples: count;
    "historySeconds" => history_seconds: whole;
    "halfLifeSeconds" => half_life_seconds: whole;
    "warmupSeconds" => warmup_seconds: whole;
    "warmupUnreadySeconds" => warmup_unready_seconds: whole;
    "phi" => phi: number;
    "deltaF" => delta_f: number;
    "deltaS" => delta_s: number;
    "h" => h: number;
    "deltaFHdd" => delta_f_hdd: number;
    "hHdd" => h_hdd: number;
    "pressurePenaltySlope" => pressure_penalty_slope: number;
    "pressurePenaltyCap" => pressure_penalty_cap: number;
    "swapDebtPenalty" => swap_debt_penalty: number;
    "hotPercent" => hot_percent: number;
    "leavePercent" => leave_percent: number;
    "leaveSeconds" => leave_seconds: whole;
    "thrashPercent" => thrash_percent: number;
    "thrashPagesPerSecond" => thrash_pages_per_second: number;
    "coolDownSeconds" => cool_down_seconds: whole;
    "escapeSeconds" => escape_seconds: whole;
    "controlPlanePodFraction" => control_plane_pod_fraction: number;
    "controlPlaneSwapFraction" => control_plane_swap_fraction: number;
    "controlPlanePsiPercent" => control_plane_psi_percent: number;
    "controlPlaneReserveBytes" => control_plane_reserve_bytes: size;
    "controlPlaneReserveFraction" => control_plane_reserve_fraction: number;
    "exemptCriticalPods" => exempt_critical_pods: flag;
    "latencyCriticalPriority" => latency_critical_priority: priority;
    "enforcement" => enforcement: enforcement;
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Name, a value that can be used, one that cannot.
    fn table() -> Vec<(&'static str, Value, Value)> {
        vec![
            ("freshSeconds", json!(30), json!(0)),
            ("staleSeconds", json!(200), json!(10)),
            ("driftPerMinute", json!(0.1), json!(2)),
            ("driftMax", json!(0.2), json!(-1)),
            ("floorFraction", json!(0), json!("a lot")),
            ("floorMinBytes", json!("65Mi"), json!(-1)),
            ("floorMaxBytes", json!("513Mi"), json!("1Mi")),
            ("floorOverEvictionBytes", json!("33Mi"), json!("x")),
            ("defaultDemandBytes", json!("100Mi"), json!(-1)),
            ("defaultDemandMinBytes", json!("65Mi"), json!("2Pi")),
            ("defaultDemandMaxBytes", json!("300Mi"), json!(0)),
            ("marginFraction", json!(1.2), json!(0.5)),
            ("marginMinBytes", json!(1_048_576), json!(1.5)),
            ("historySamples", json!(5), json!(0)),
            ("historySeconds", json!(100), json!(-1)),
            ("halfLifeSeconds", json!(3600), json!(59)),
            ("warmupSeconds", json!(60), json!("120")),
            ("warmupUnreadySeconds", json!(400), json!(119)),
            ("phi", json!(0.5), json!(1.1)),
            ("deltaF", json!(0.4), json!(-0.1)),
            ("deltaS", json!(0.2), json!(2)),
            ("h", json!(0.7), json!([0.7])),
            ("deltaFHdd", json!(0.1), json!(1.5)),
            ("hHdd", json!(0.9), json!(1.5)),
            ("pressurePenaltySlope", json!(5), json!(101)),
            ("pressurePenaltyCap", json!(50), json!(101)),
            ("swapDebtPenalty", json!(5), json!(101)),
            ("hotPercent", json!(20), json!(101)),
            ("leavePercent", json!(4), json!(-1)),
            ("leaveSeconds", json!(30), json!(-1)),
            ("thrashPercent", json!(20), json!(101)),
            ("thrashPagesPerSecond", json!(500), json!(2e9)),
            ("coolDownSeconds", json!(60), json!(1_000_000_000)),
            ("escapeSeconds", json!(60), json!(1.5)),
            ("controlPlanePodFraction", json!(0.2), json!(2)),
            ("controlPlaneSwapFraction", json!(0.1), json!(2)),
            ("controlPlanePsiPercent", json!(2), json!(101)),
            ("controlPlaneReserveBytes", json!("128Mi"), json!("-1")),
            ("controlPlaneReserveFraction", json!(0.5), json!(2)),
            ("exemptCriticalPods", json!(false), json!("yes")),
            ("latencyCriticalPriority", json!(1000), json!(3_000_000_000_i64)),
            ("enforcement", json!("Score"), json!("Advise")),
        ]
    }

    fn one(name: &str, value: &Value) -> Result<Params, ArgError> {
        decode(&Map::from_iter([(name.to_owned(), value.clone())]))
    }

    #[test]
    fn every_field_is_read_and_checked() {
        let (mut all, mut seen) = (Map::new(), Vec::new());
        for (name, good, bad) in table() {
            let params = one(name, &good).unwrap();
            assert_ne!(params, Params::default(), "{name}");
            assert!(!seen.contains(&params), "{name} sets what another one sets");
            seen.push(params);
            let wrong = one(name, &bad).unwrap_err();
            assert_eq!(wrong.field, name, "{wrong}");
            assert_eq!(one(name, &Value::Null), Ok(Params::default()), "as if it were not given");
            all.insert(name.to_owned(), good);
        }
        let all = decode(&all).unwrap();
        assert!(!seen.contains(&all));
        assert_eq!(decode(&encode(&all)), Ok(all), "what is shown can be read back");
        assert_eq!(decode(&encode(&Params::default())), Ok(Params::default()));
        assert_eq!(one("phi", &json!(0.5)), Ok(Params { phi: 0.5, ..Params::default() }));
        assert_eq!(one("latencyCriticalPriority", &json!(7)).unwrap().latency_critical_priority, Some(7));
    }
}
