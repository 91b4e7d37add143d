//! The part of JSONPath that kube's client needs, in place of the crate of that name.
//!
//! kube's client looks up two strings, token and expiry, in what the command of a `gcp` auth provider prints; the paths are
//! the kubeconfig's. For that the crate brings a parser generator and regular expressions, which every process then has in
//! its text, though hardly any ever reads such a kubeconfig (client-go has dropped that provider with 1.26; `exec` plugins
//! took its place). What is understood here is what stands in such files: members and places in lists, one after another.

use serde_json::Value;
use thiserror::Error;

/// A path that is not understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("only members and places in lists are understood, as in $.credential.access_token or $.tokens[0]['value']")]
pub struct Unsupported;

/// What can be searched with a path.
pub trait JsonPath {
    /// The value at `path`; nothing when there is none.
    ///
    /// # Errors
    /// [`Unsupported`] when the path has anything but members and places.
    fn query(&self, path: &str) -> Result<Vec<&Value>, Unsupported>;
}

impl JsonPath for Value {
    fn query(&self, path: &str) -> Result<Vec<&Value>, Unsupported> {
        let steps = steps(path).ok_or(Unsupported)?;
        Ok(steps.into_iter().try_fold(self, child).into_iter().collect())
    }
}

fn child<'a>(value: &'a Value, step: &str) -> Option<&'a Value> {
    match value {
        Value::Array(items) => items.get(step.parse::<usize>().ok()?),
        other => other.get(step),
    }
}

/// The members and places on the way, in order.
fn steps(path: &str) -> Option<Vec<&str>> {
    let mut rest = path.strip_prefix('$')?;
    let mut steps = Vec::new();
    while !rest.is_empty() {
        let (step, behind) = if let Some(quoted) = rest.strip_prefix("['") {
            quoted.split_once("']")?
        } else if let Some(place) = rest.strip_prefix('[') {
            place.split_once(']')?
        } else {
            let name = rest.strip_prefix('.')?;
            name.split_at(name.find(['.', '[']).unwrap_or(name.len()))
        };
        // Wildcards, filters, slices, unions, functions.
        if step.is_empty() || step.contains(['*', '?', '@', '(', ')', ':', ',', '[', ']', '\'', '"', ' ']) {
            return None;
        }
        steps.push(step);
        rest = behind;
    }
    Some(steps)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn members_and_places() {
        let value = json!({"credential": {"access_token": "t", "a.b": {"c": "d"}}, "list": [{"x": 1}, {"x": 2}]});
        for (path, found) in [
            ("$.credential.access_token", Some(json!("t"))),
            ("$['credential']['a.b'].c", Some(json!("d"))),
            ("$.list[1].x", Some(json!(2))),
            ("$", Some(value.clone())),
            ("$.credential.missing", None),
            ("$.list[2]", None),
            ("$.list.x", None),
            ("$.credential.access_token.deeper", None),
        ] {
            assert_eq!(value.query(path), Ok(found.iter().collect()), "{path}");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for path in
            ["", "a", "$a", "$.", "$..a", "$.a.", "$.*", "$.list[*]", "$.list[?(@.x)]", "$.list[0:1]", "$['a", "$[]"]
        {
            assert_eq!(json!({}).query(path), Err(Unsupported), "{path}");
        }
    }
}
