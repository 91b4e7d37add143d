//! `MemoryHeadroomArgs` (interfaces.md 2): what [`headroom_core::memory::args`] reads, as a plugin's arguments.

use headroom_core::memory::{Params, args};
use serde_json::Value;

use crate::framework::ArgsError;

/// The parameters that the arguments give.
///
/// # Errors
/// Unknown fields, values out of range.
pub fn params(given: Option<&Value>) -> Result<Params, ArgsError> {
    match given {
        None | Some(Value::Null) => Ok(Params::default()),
        Some(Value::Object(fields)) => args::decode(fields).map_err(|e| ArgsError::at(e.field, e.message)),
        Some(_) => Err(ArgsError::at("", "must be an object")),
    }
}

/// The arguments with all defaults, as a configuration shows them. What cannot be used shows the defaults.
pub(crate) fn args_value(given: Option<&Value>) -> Value {
    args::encode(&params(given).unwrap_or_default()).into()
}
