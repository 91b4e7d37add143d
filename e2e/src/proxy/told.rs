//! What a process was told by its watches and lists.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use serde::Deserialize;

use super::protobuf;

/// The version up to which a process knows each resource that it watches.
#[derive(Debug, Default)]
pub(super) struct Told(Mutex<Knowledge>);

#[derive(Debug, Default)]
struct Knowledge {
    /// Counts processes: what a dead one is still sent says nothing about its successor.
    process: u64,
    versions: HashMap<String, u64>,
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(rename = "type", borrow)]
    kind: std::borrow::Cow<'a, str>,
    #[serde(default)]
    object: Object,
}

#[derive(Deserialize, Default)]
struct Object {
    #[serde(default)]
    metadata: Meta,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Meta {
    resource_version: Option<String>,
    #[serde(rename = "continue")]
    more: Option<String>,
}

impl Meta {
    fn version(&self) -> u64 {
        self.resource_version.as_deref().and_then(|version| version.parse().ok()).unwrap_or(0)
    }
}

/// A line of a watch, or what protobuf has instead: whether it is a bookmark, and its version.
pub(super) fn event(line: &[u8]) -> Option<(bool, u64)> {
    if !line.starts_with(b"{") {
        return protobuf::event(line);
    }
    let event: Event<'_> = serde_json::from_slice(line).ok()?;
    (event.kind != "ERROR").then(|| (event.kind == "BOOKMARK", event.object.metadata.version()))
}

/// The version of a list, if this is its last page.
pub(super) fn list(body: &[u8]) -> Option<u64> {
    if protobuf::is_object(body) {
        return protobuf::list(body);
    }
    let list: Object = serde_json::from_slice(body).ok()?;
    list.metadata.more.as_deref().is_none_or(str::is_empty).then(|| list.metadata.version())
}

impl Told {
    fn with<T>(&self, look: impl FnOnce(&mut Knowledge) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The process watches this resource. Answers which process that is.
    pub(super) fn watched(&self, resource: &str) -> u64 {
        self.with(|all| {
            all.versions.entry(resource.to_owned()).or_default();
            all.process
        })
    }

    /// This process was sent everything up to a version.
    pub(super) fn note(&self, process: u64, resource: &str, version: u64) {
        self.with(|all| {
            if all.process == process {
                let known = all.versions.entry(resource.to_owned()).or_default();
                *known = version.max(*known);
            }
        });
    }

    pub(super) fn has(&self, resource: &str, version: u64) -> bool {
        self.with(|all| all.versions.get(resource).is_none_or(|known| *known >= version))
    }

    /// A new process knows nothing.
    pub(super) fn forget(&self) {
        self.with(|all| {
            all.process = all.process.saturating_add(1);
            all.versions.values_mut().for_each(|known| *known = 0);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_kept() {
        let line = br#"{"type":"MODIFIED","object":{"kind":"Pod","metadata":{"name":"a","resourceVersion":"7"}}}"#;
        assert_eq!(event(line), Some((false, 7)));
        let bookmark = br#"{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"9"}}}"#;
        assert_eq!(event(bookmark), Some((true, 9)));
        assert_eq!(event(br#"{"type":"ERROR","object":{"code":410}}"#), None);
        assert_eq!(event(b"half a li"), None);
        assert_eq!(list(br#"{"metadata":{"resourceVersion":"8","continue":""},"items":[]}"#), Some(8));
        assert_eq!(list(br#"{"metadata":{"resourceVersion":"8","continue":"x"},"items":[]}"#), None);
        let told = Told::default();
        assert!(told.has("pods", 5), "what is not watched needs not be told");
        let first = told.watched("pods");
        assert!(!told.has("pods", 5));
        told.note(first, "pods", 7);
        told.note(first, "pods", 3);
        assert!(told.has("pods", 7) && !told.has("pods", 8));
        told.forget();
        told.note(first, "pods", 7);
        assert!(!told.has("pods", 1), "the dead process was told");
        told.note(told.watched("pods"), "pods", 7);
        assert!(told.has("pods", 7));
    }
}
