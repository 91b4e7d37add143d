//! Bodies and names of events.

use std::borrow::Cow;

use headroom_core::{Str, Timestamp, intent::EventRecord, object::ObjectReference};
use serde::Serialize;

use super::{Key, MAX_NOTE};

/// What is the same for two records of one series; the note is not part of it.
pub(super) fn series_key(record: &EventRecord, reporter: &Str) -> Key {
    let mut parts = vec![record.kind.as_str().into(), record.action.into(), record.reason.into(), reporter.clone()];
    push_reference(&mut parts, &record.regarding);
    if let Some(related) = &record.related {
        push_reference(&mut parts, related);
    }
    Key(parts.into())
}

pub(super) fn push_reference(parts: &mut Vec<Str>, r: &ObjectReference) {
    parts.extend([r.kind.clone(), r.namespace.clone(), r.name.clone(), r.uid.clone()]);
}

/// `<object>.<hex nanoseconds>`, as client-go names events. `sequence` keeps apart what falls into one microsecond.
pub(super) fn name(record: &EventRecord, sequence: u64) -> String {
    let nanos = u64::try_from(record.at.0).unwrap_or(0).wrapping_mul(1000).wrapping_add(sequence % 1000);
    // A name may have 253 characters; an object's name may use them all.
    let object: String = record.regarding.name.chars().take(230).collect();
    format!("{}.{nanos:x}", object.trim_end_matches(['.', '-']))
}

/// Events of cluster-scoped objects live in `default`.
pub(super) fn namespace(record: &EventRecord) -> Str {
    if record.regarding.namespace.is_empty() { "default".into() } else { record.regarding.namespace.clone() }
}

/// The note, cut at a character boundary to what the API takes, with upstream's mark.
pub(super) fn cut(note: &str) -> Cow<'_, str> {
    const MARK: &str = " ...";
    if note.len() <= MAX_NOTE {
        return note.into();
    }
    let mut end = MAX_NOTE - MARK.len();
    while !note.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{MARK}", &note[..end]).into()
}

/// The object an event is about.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Reference<'a> {
    api_version: &'a str,
    kind: &'a str,
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    namespace: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    uid: &'a str,
}

pub(super) fn reference<'a>(api_version: &'a str, r: &'a ObjectReference) -> Reference<'a> {
    Reference { api_version, kind: &r.kind, name: &r.name, namespace: &r.namespace, uid: &r.uid }
}

/// The metadata of a new event.
#[derive(Debug, Serialize)]
pub(super) struct Metadata<'a> {
    pub(super) name: &'a str,
    pub(super) namespace: &'a str,
}

/// `MicroTime` has six digits, always.
pub(super) fn micro_time(t: Timestamp) -> String {
    let text = t.to_string();
    if text.contains('.') { text } else { text.replace('Z', ".000000Z") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::tests::record;

    #[test]
    fn notes_are_cut_between_characters() {
        assert_eq!(cut("short"), "short");
        let long = "é".repeat(600);
        let text = cut(&long);
        assert!(text.len() <= MAX_NOTE && text.ends_with("é ..."), "{}", text.len());
    }

    #[test]
    fn names_differ_within_a_microsecond_and_fit() {
        let r = record(&"x".repeat(253), "");
        assert_ne!(name(&r, 1), name(&r, 2));
        assert!(name(&r, 1).len() <= 253);
        assert!(name(&record("web-1", ""), 0).starts_with("web-1.18"));
    }

    #[test]
    fn times_have_six_digits() {
        assert_eq!(micro_time(Timestamp::from_secs(0)), "1970-01-01T00:00:00.000000Z");
        assert_eq!(micro_time(Timestamp(5)), "1970-01-01T00:00:00.000005Z");
    }
}
