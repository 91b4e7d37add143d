//! `MemoryHeadroomArgs` (interfaces.md 2): names and defaults of `headroom_core::memory::Params`, sizes as quantities.

use headroom_core::{
    memory::{Enforcement, Params},
    quantity,
};
use serde::{Deserialize, Deserializer, de};
use serde_json::Value;

use crate::{config::decode_args, framework::ArgsError};

/// A size in bytes: a quantity, or a number.
#[derive(Debug, Clone, Copy)]
struct Bytes(i64);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Number(i64),
            Text(String),
        }
        match Either::deserialize(deserializer).map_err(|_| de::Error::custom("expected a size, like 256Mi"))? {
            Either::Number(bytes) => Ok(Self(bytes)),
            Either::Text(text) => quantity::value(&text).map(Self).map_err(de::Error::custom),
        }
    }
}

#[derive(Debug, Clone, Copy, Deserialize)]
enum EnforcementName {
    Filter,
    Score,
}

macro_rules! args {
    ($($field:ident: $kind:ty => |$p:ident, $v:ident| $set:expr;)*) => {
        #[derive(Debug, Default, Deserialize)]
        #[serde(deny_unknown_fields, rename_all = "camelCase")]
        struct Args {
            $($field: Option<$kind>,)*
        }

        impl Args {
            fn apply(self, params: &mut Params) {
                $(if let Some($v) = self.$field {
                    let $p = &mut *params;
                    $set;
                })*
            }
        }

        /// Every field with its value, by its name in the configuration.
        fn values(params: &Params) -> Vec<(String, Value)> {
            vec![$((camel(stringify!($field)), params.$field.shown())),*]
        }
    };
}

/// `fresh_seconds` as `freshSeconds`.
fn camel(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |all, word| {
        let mut letters = word.chars();
        let head = letters.next().map(|c| c.to_ascii_uppercase()).into_iter();
        all + &head.chain(letters).collect::<String>()
    })
}

/// How a parameter stands in a configuration.
trait Shown {
    fn shown(&self) -> Value;
}

macro_rules! shown {
    ($($kind:ty),*) => { $(impl Shown for $kind {
        fn shown(&self) -> Value {
            (*self).into()
        }
    })* };
}

shown!(i64, u32, f64, bool);

impl Shown for Option<i32> {
    fn shown(&self) -> Value {
        (*self).into()
    }
}

impl Shown for Enforcement {
    fn shown(&self) -> Value {
        match self {
            Self::Filter => "Filter",
            Self::Score => "Score",
        }
        .into()
    }
}

args! {
    fresh_seconds: i64 => |p, v| p.fresh_seconds = v;
    stale_seconds: i64 => |p, v| p.stale_seconds = v;
    drift_per_minute: f64 => |p, v| p.drift_per_minute = v;
    drift_max: f64 => |p, v| p.drift_max = v;
    floor_fraction: f64 => |p, v| p.floor_fraction = v;
    floor_min_bytes: Bytes => |p, v| p.floor_min_bytes = v.0;
    floor_max_bytes: Bytes => |p, v| p.floor_max_bytes = v.0;
    floor_over_eviction_bytes: Bytes => |p, v| p.floor_over_eviction_bytes = v.0;
    default_demand_bytes: Bytes => |p, v| p.default_demand_bytes = v.0;
    default_demand_min_bytes: Bytes => |p, v| p.default_demand_min_bytes = v.0;
    default_demand_max_bytes: Bytes => |p, v| p.default_demand_max_bytes = v.0;
    margin_fraction: f64 => |p, v| p.margin_fraction = v;
    margin_min_bytes: Bytes => |p, v| p.margin_min_bytes = v.0;
    history_samples: u32 => |p, v| p.history_samples = v;
    history_seconds: i64 => |p, v| p.history_seconds = v;
    half_life_seconds: i64 => |p, v| p.half_life_seconds = v;
    warmup_seconds: i64 => |p, v| p.warmup_seconds = v;
    warmup_unready_seconds: i64 => |p, v| p.warmup_unready_seconds = v;
    phi: f64 => |p, v| p.phi = v;
    delta_f: f64 => |p, v| p.delta_f = v;
    delta_s: f64 => |p, v| p.delta_s = v;
    h: f64 => |p, v| p.h = v;
    delta_f_hdd: f64 => |p, v| p.delta_f_hdd = v;
    h_hdd: f64 => |p, v| p.h_hdd = v;
    pressure_penalty_slope: f64 => |p, v| p.pressure_penalty_slope = v;
    pressure_penalty_cap: f64 => |p, v| p.pressure_penalty_cap = v;
    swap_debt_penalty: f64 => |p, v| p.swap_debt_penalty = v;
    hot_percent: f64 => |p, v| p.hot_percent = v;
    leave_percent: f64 => |p, v| p.leave_percent = v;
    leave_seconds: i64 => |p, v| p.leave_seconds = v;
    thrash_percent: f64 => |p, v| p.thrash_percent = v;
    thrash_pages_per_second: f64 => |p, v| p.thrash_pages_per_second = v;
    cool_down_seconds: i64 => |p, v| p.cool_down_seconds = v;
    escape_seconds: i64 => |p, v| p.escape_seconds = v;
    control_plane_pod_fraction: f64 => |p, v| p.control_plane_pod_fraction = v;
    control_plane_swap_fraction: f64 => |p, v| p.control_plane_swap_fraction = v;
    control_plane_psi_percent: f64 => |p, v| p.control_plane_psi_percent = v;
    control_plane_reserve_bytes: Bytes => |p, v| p.control_plane_reserve_bytes = v.0;
    control_plane_reserve_fraction: f64 => |p, v| p.control_plane_reserve_fraction = v;
    exempt_critical_pods: bool => |p, v| p.exempt_critical_pods = v;
    latency_critical_priority: i32 => |p, v| p.latency_critical_priority = Some(v);
    enforcement: EnforcementName => |p, v| p.enforcement = match v {
        EnforcementName::Filter => Enforcement::Filter,
        EnforcementName::Score => Enforcement::Score,
    };
}

/// The parameters that the arguments give.
///
/// # Errors
/// Unknown fields, values out of range.
pub fn params(args: Option<&Value>) -> Result<Params, ArgsError> {
    let args: Args = decode_args(args, "MemoryHeadroomArgs")?;
    let mut params = Params::default();
    args.apply(&mut params);
    params.validate().map_err(|e| ArgsError::at(e.field, format!("{} is not allowed: must be {}", e.value, e.must)))?;
    Ok(params)
}

/// The arguments with all defaults, as a configuration shows them. What cannot be used shows the defaults.
pub(crate) fn args_value(given: Option<&Value>) -> Value {
    let params = params(given).unwrap_or_default();
    Value::Object(values(&params).into_iter().filter(|(_, value)| !value.is_null()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_can_be_read_back() {
        let given = serde_json::json!({"phi": 0.5, "floorMinBytes": "64Mi", "enforcement": "Score"});
        let shown = args_value(Some(&given));
        assert_eq!((&shown["phi"], &shown["floorMinBytes"]), (&0.5.into(), &(64 << 20).into()));
        assert_eq!(params(Some(&shown)), params(Some(&given)));
        assert_eq!(params(Some(&args_value(None))), Ok(Params::default()));
    }
}
