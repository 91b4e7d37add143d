//! `--memory-config`: the memory model's arguments for the loops here, from the file that gives them to the scheduler.
//!
//! Strict as the scheduler is: an unknown field, a wrong type or a value out of range is an error that names the field.

use std::{fs::File, io::Read, path::Path};

use headroom_core::memory::{
    Params,
    args::{self, API_VERSION, KIND as ARGS},
};
use serde_json::{Map, Value};
use thiserror::Error;

/// The scheduler's whole configuration.
const CONFIGURATION: &str = "KubeSchedulerConfiguration";
/// The plugin that they are for.
const PLUGIN: &str = "MemoryHeadroom";
/// Largest file that is read, in bytes.
const MAX_BYTES: u64 = 1 << 20;

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

/// The arguments themselves.
fn args(fields: &Map<String, Value>) -> Result<Params, Wrong> {
    args::decode(fields).map_err(|e| Wrong::at(e.field, e.message))
}

#[cfg(test)]
mod tests;
