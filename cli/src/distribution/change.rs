//! A change of a cluster as a value: it can be shown, made and undone.

use serde_json::Value;

use super::{host::HostWork, text};
use crate::doctor::text::clean;

/// A change of an object.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Api {
    /// It is made; undone it is deleted.
    Create { collection: String, object: Value },
    /// It is deleted; undone it is made.
    Delete { collection: String, object: Value },
    /// It is changed; `undo` is the patch for the way back. Where somebody else may change it as well, `read_as` is the
    /// resourceVersion of what was read: it is not changed if it is another one by then, and changed back only while it
    /// has what `patch` gave it.
    Patch {
        path: String,
        kind: &'static str,
        patch: Value,
        undo: Value,
        read_as: Option<String>,
        says: Vec<String>,
        back: Vec<String>,
    },
}

impl Api {
    /// What undoes it.
    pub(crate) fn reversed(&self) -> Self {
        match self.clone() {
            Self::Create { collection, object } => Self::Delete { collection, object },
            Self::Delete { collection, object } => Self::Create { collection, object },
            Self::Patch { path, kind, patch, undo, read_as, says, back } => {
                Self::Patch { path, kind, patch: undo, undo: patch, read_as, says: back, back: says }
            }
        }
    }

    /// For people.
    pub(crate) fn lines(&self) -> Vec<String> {
        let name = |object: &Value| format!("{} {}", text(object, "/kind"), text(object, "/metadata/name"));
        match self {
            Self::Create { object, .. } => {
                let mut lines = vec![format!("create {}", name(object))];
                // Who gets rights is worth a look before a yes.
                let subjects = object.get("subjects").and_then(Value::as_array).into_iter().flatten();
                lines.extend(subjects.map(|subject| {
                    let (kind, namespace) = (text(subject, "/kind"), text(subject, "/namespace"));
                    format!("  for {kind} {namespace}/{}", text(subject, "/name"))
                }));
                lines
            }
            Self::Delete { object, .. } => vec![format!("delete {}", name(object))],
            // Flags of Deployments stand in these, as they were found.
            Self::Patch { says, .. } => says.iter().map(|line| clean(line)).collect(),
        }
    }
}

/// Whether an object has what a merge patch gives it.
pub(crate) fn has(object: &Value, patch: &Value) -> bool {
    match patch {
        Value::Object(fields) => fields.iter().all(|(name, value)| match object.get(name) {
            Some(found) if !found.is_null() => has(found, value),
            _ => takes_away(value),
        }),
        patch => object == patch,
    }
}

/// Whether a merge patch gives nothing.
fn takes_away(patch: &Value) -> bool {
    match patch {
        Value::Null => true,
        Value::Object(fields) => fields.values().all(takes_away),
        _ => false,
    }
}

/// A change, by who makes it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Change {
    /// This program does.
    Api(Api),
    /// Whoever is root on some machines, or this program where it runs as root on one.
    Hosts(HostWork),
    /// Somebody who knows how: lines for doing it, and for undoing it.
    Operator { does: Vec<String>, undoes: Vec<String> },
}

impl Change {
    /// What undoes it.
    pub(crate) fn reversed(&self) -> Self {
        match self {
            Self::Api(change) => Self::Api(change.reversed()),
            Self::Hosts(work) => Self::Hosts(work.reversed()),
            Self::Operator { does, undoes } => Self::Operator { does: undoes.clone(), undoes: does.clone() },
        }
    }

    /// For people.
    pub(crate) fn lines(&self) -> Vec<String> {
        match self {
            Self::Api(change) => change.lines(),
            Self::Hosts(work) => work.lines().iter().map(|line| clean(line)).collect(),
            Self::Operator { does, .. } => does.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn objects_have_what_a_patch_gave_them() {
        let object = json!({"metadata": {"name": "a"}, "data": {"a": "1", "b": "2"}, "status": null});
        for (patch, expected) in [
            (json!({"data": {"a": "1"}}), true),
            (json!({"data": {"a": "2"}}), false),
            (json!({"data": {"c": "1"}}), false),
            (json!({"data": {"c": null}, "spec": {"x": {"y": null}}}), true),
            (json!({"data": {"a": null}}), false),
            (json!({"status": {"x": null}}), true),
            (json!({"status": {"x": 1}}), false),
        ] {
            assert_eq!(has(&object, &patch), expected, "{patch}");
        }
    }

    #[test]
    fn flags_of_others_do_not_move_the_cursor() {
        let patch = Api::Patch {
            path: "/p".to_owned(),
            kind: "k",
            patch: Value::Null,
            undo: Value::Null,
            read_as: None,
            says: vec!["Deployment a/b: --mode=x\u{1b}[1A\r".to_owned()],
            back: Vec::new(),
        };
        assert_eq!(Change::Api(patch).lines(), ["Deployment a/b: --mode=x [1A "]);
    }
}
