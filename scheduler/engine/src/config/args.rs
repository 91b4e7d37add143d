//! Decoding a plugin's arguments.

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::API_VERSION;
use crate::framework::ArgsError;

/// The arguments in their type: defaults when there are none, an error with the field's path when they do not fit.
/// `apiVersion` and `kind` may be given, and must then be right.
///
/// # Errors
/// [`ArgsError`] names the field.
pub fn decode_args<T: DeserializeOwned + Default>(args: Option<&Value>, kind: &str) -> Result<T, ArgsError> {
    let mut fields = match args {
        None | Some(Value::Null) => return Ok(T::default()),
        Some(Value::Object(fields)) => fields.clone(),
        Some(_) => return Err(ArgsError::at("", "must be an object")),
    };
    for (field, expected) in [("apiVersion", API_VERSION), ("kind", kind)] {
        match fields.remove(field) {
            Some(Value::String(given)) if given == expected => {}
            None => {}
            Some(given) => return Err(ArgsError::at(field, format!("{given} is not allowed: must be {expected:?}"))),
        }
    }
    serde_path_to_error::deserialize(Value::Object(fields)).map_err(|e| {
        let path = e.path().to_string();
        ArgsError::at(if path == "." { String::new() } else { path }, e.into_inner().to_string())
    })
}
