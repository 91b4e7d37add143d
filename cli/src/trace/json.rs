//! What is read of objects as they are: fields by their pointers, absent ones as nothing.

use headroom_core::Timestamp;
use headroom_runtime::wire::time::parse_rfc3339;
use serde_json::Value;

/// The text of a field; empty where there is none.
pub(crate) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The time in a field.
pub(crate) fn time(object: &Value, pointer: &str) -> Option<Timestamp> {
    parse_rfc3339(object.pointer(pointer)?.as_str()?)
}

/// The items of a field; none where it is no list.
pub(crate) fn list<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    object.pointer(pointer).and_then(Value::as_array).map_or(&[][..], Vec::as_slice)
}

/// The number in a field.
pub(crate) fn number(object: &Value, pointer: &str) -> Option<i64> {
    object.pointer(pointer)?.as_i64()
}

/// Whether a field is `true`.
pub(crate) fn is_true(object: &Value, pointer: &str) -> bool {
    object.pointer(pointer).and_then(Value::as_bool) == Some(true)
}

/// Name of an object.
pub(crate) fn name(object: &Value) -> &str {
    text(object, "/metadata/name")
}

/// Its kind.
pub(crate) fn kind(object: &Value) -> &str {
    text(object, "/kind")
}

/// Its UID.
pub(crate) fn uid(object: &Value) -> &str {
    text(object, "/metadata/uid")
}

/// Its namespace; `default` where none is written.
pub(crate) fn namespace(object: &Value) -> &str {
    match text(object, "/metadata/namespace") {
        "" => "default",
        namespace => namespace,
    }
}

/// The condition of this type.
pub(crate) fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    list(object, "/status/conditions").iter().find(|condition| text(condition, "/type") == kind)
}

/// The owner that manages the object.
pub(crate) fn controller(object: &Value) -> Option<&Value> {
    list(object, "/metadata/ownerReferences").iter().find(|owner| is_true(owner, "/controller"))
}

/// Whether an object is managed by another one. Objects that were written by hand have no UIDs: names decide then.
pub(crate) fn is_owned(object: &Value, owner: &Value) -> bool {
    controller(object).is_some_and(|reference| {
        let named = text(reference, "/kind") == kind(owner) && text(reference, "/name") == name(owner);
        let (known, here) = (text(reference, "/uid"), uid(owner));
        named && (known.is_empty() || here.is_empty() || known == here)
    })
}

/// Whether labels have all that a map of a selector asks for. A selector that asks for nothing selects nothing.
pub(crate) fn selects(selector: Option<&Value>, object: &Value) -> bool {
    let Some(wanted) = selector.and_then(Value::as_object).filter(|wanted| !wanted.is_empty()) else { return false };
    let labels = object.pointer("/metadata/labels");
    wanted.iter().all(|(key, value)| labels.and_then(|labels| labels.get(key)) == Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_absent_is_nothing() {
        let pod = json!({"metadata": {"name": "p"}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}});
        assert_eq!((name(&pod), namespace(&pod), uid(&pod)), ("p", "default", ""));
        assert_eq!((time(&pod, "/metadata/creationTimestamp"), number(&pod, "/spec/replicas")), (None, None));
        assert!(list(&pod, "/spec/containers").is_empty() && !is_true(&pod, "/spec/hostNetwork"));
        assert!(condition(&pod, "Ready").is_some() && condition(&pod, "PodScheduled").is_none());
        assert!(controller(&pod).is_none());
    }

    #[test]
    fn owners_are_told_by_uid_where_there_is_one() {
        let owner = |uid: &str| json!({"kind": "ReplicaSet", "metadata": {"name": "web", "uid": uid}});
        let pod = |uid: &str| {
            let reference = json!({"kind": "ReplicaSet", "name": "web", "uid": uid, "controller": true});
            json!({"metadata": {"ownerReferences": [reference]}})
        };
        for (of, here, owned) in [("a", "a", true), ("a", "b", false), ("", "b", true), ("a", "", true)] {
            assert_eq!(is_owned(&pod(of), &owner(here)), owned, "{of:?} {here:?}");
        }
        let other = json!({"kind": "StatefulSet", "metadata": {"name": "web", "uid": "a"}});
        assert!(!is_owned(&pod("a"), &other));
    }

    #[test]
    fn selectors_ask_for_all_of_their_labels() {
        let pod = json!({"metadata": {"labels": {"app": "web", "tier": "front"}}});
        assert!(selects(Some(&json!({"app": "web"})), &pod));
        assert!(!selects(Some(&json!({"app": "web", "tier": "back"})), &pod));
        assert!(!selects(Some(&json!({})), &pod) && !selects(None, &pod));
    }
}
