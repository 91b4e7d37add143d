//! `--memory-config`: the memory model's arguments for the loops here, from the file that gives them to the scheduler.
//!
//! Strict as the scheduler is: an unknown field, a wrong type or a value out of range is an error that names the field.

use std::{fs::File, io::Read, path::Path};

use headroom_core::{
    memory::{Enforcement, Params},
    quantity,
};
use serde_json::{Map, Value};
use thiserror::Error;

/// `apiVersion` of both kinds of documents.
const API_VERSION: &str = "kubescheduler.config.k8s.io/v1";
/// The scheduler's whole configuration.
const CONFIGURATION: &str = "KubeSchedulerConfiguration";
/// The arguments alone.
const ARGS: &str = "MemoryHeadroomArgs";
/// The plugin that they are for.
const PLUGIN: &str = "MemoryHeadroom";
/// Largest file that is read, in bytes.
const MAX_BYTES: u64 = 1 << 20;
/// How much of a wrong value is repeated, characters.
const SHOWN: usize = 40;

/// Why the file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("--memory-config {file}: {wrong}")]
pub(super) struct MemoryConfigError {
    file: String,
    wrong: Wrong,
}

/// What is wrong in a document.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{}{message}", if field.is_empty() { String::new() } else { format!("{field}: ") })]
struct Wrong {
    field: String,
    message: String,
}

impl Wrong {
    fn at(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into() }
    }

    /// The same below `path`.
    fn below(self, path: &str) -> Self {
        let field = if self.field.is_empty() { path.to_owned() } else { format!("{path}.{}", self.field) };
        Self { field, ..self }
    }
}

/// What the file says; the defaults without one.
///
/// # Errors
/// [`MemoryConfigError`] names the file and the field.
pub(super) fn load(file: Option<&Path>) -> Result<Params, MemoryConfigError> {
    let Some(path) = file else { return Ok(Params::default()) };
    let error = |wrong| MemoryConfigError { file: path.display().to_string(), wrong };
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(MAX_BYTES + 1).read_to_string(&mut text));
    read.map_err(|e| error(Wrong::at("", e.to_string())))?;
    parse(&text).map_err(error)
}

fn parse(text: &str) -> Result<Params, Wrong> {
    if text.len() as u64 > MAX_BYTES {
        return Err(Wrong::at("", format!("it is larger than {MAX_BYTES} bytes")));
    }
    let document: Value = serde_saphyr::from_str(text).map_err(|e| {
        let line = e.to_string().lines().next().unwrap_or_default().to_owned();
        Wrong::at("", format!("it is not valid YAML: {line}"))
    })?;
    let Value::Object(fields) = &document else {
        return Err(Wrong::at("", format!("must be an object of kind {ARGS} or {CONFIGURATION}")));
    };
    if fields.get("kind").and_then(Value::as_str) == Some(CONFIGURATION) { of_scheduler(fields) } else { args(fields) }
}

/// The arguments of the first profile that has some.
fn of_scheduler(fields: &Map<String, Value>) -> Result<Params, Wrong> {
    match fields.get("apiVersion") {
        Some(Value::String(given)) if given == API_VERSION => {}
        _ => return Err(Wrong::at("apiVersion", format!("must be {API_VERSION:?}"))),
    }
    for (i, profile) in list(fields, "profiles")?.iter().enumerate() {
        let path = format!("profiles[{i}]");
        let profile = profile.as_object().ok_or_else(|| Wrong::at(&path, "must be an object"))?;
        for (k, entry) in list(profile, "pluginConfig").map_err(|e| e.below(&path))?.iter().enumerate() {
            if entry["name"] != PLUGIN {
                continue;
            }
            let path = format!("{path}.pluginConfig[{k}].args");
            match &entry["args"] {
                Value::Null => {}
                Value::Object(fields) => return args(fields).map_err(|e| e.below(&path)),
                _ => return Err(Wrong::at(path, "must be an object")),
            }
        }
    }
    Ok(Params::default())
}

fn list<'a>(fields: &'a Map<String, Value>, name: &str) -> Result<&'a [Value], Wrong> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(&[]),
        Some(Value::Array(all)) => Ok(all),
        Some(_) => Err(Wrong::at(name, "must be a list")),
    }
}

/// The arguments: `apiVersion` and `kind` may be given, and must then be right.
fn args(fields: &Map<String, Value>) -> Result<Params, Wrong> {
    let mut params = Params::default();
    for (name, value) in fields {
        let expected = match name.as_str() {
            "apiVersion" => API_VERSION,
            "kind" => ARGS,
            _ => {
                set(&mut params, name, value).map_err(|message| Wrong::at(name, message))?;
                continue;
            }
        };
        if value != expected {
            return Err(Wrong::at(name, format!("{} is not allowed: must be {expected:?}", shown(value))));
        }
    }
    let not_allowed = |value, must| format!("{value} is not allowed: must be {must}");
    params.validate().map_err(|e| Wrong::at(e.field, not_allowed(e.value, e.must)))?;
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

macro_rules! fields {
    ($($name:literal => $field:ident: $read:ident;)*) => {
        fn set(params: &mut Params, name: &str, value: &Value) -> Result<(), String> {
            match name {
                $($name => if let Some(value) = $read(value)? { params.$field = value; },)*
                _ => return Err("unknown field".to_owned()),
            }
            Ok(())
        }

        // Every parameter has its line below.
        const _: fn(Params) = |Params { $($field: _),* }| {};
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
mod tests;
