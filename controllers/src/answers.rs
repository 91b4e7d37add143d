//! What the API server's answers say, for people.

use headroom_core::intent::WriteError;

/// The server's own words where it has answered (upstream's `err.Error()`), ours otherwise.
#[must_use]
pub fn server_message(error: &WriteError) -> String {
    match error {
        WriteError::Conflict(m)
        | WriteError::AlreadyExists(m)
        | WriteError::NotFound(m)
        | WriteError::Forbidden(m)
        | WriteError::Invalid(m)
        | WriteError::NamespaceTerminating(m)
        | WriteError::Throttled { message: m, .. }
        | WriteError::Other { message: m, .. }
            if !m.is_empty() =>
        {
            m.clone()
        }
        other => other.to_string(),
    }
}

/// Whether the server has looked at the request and refused it: the same request will be refused again until something
/// else changes.
#[must_use]
pub const fn is_refusal(error: &WriteError) -> bool {
    matches!(
        error,
        WriteError::Conflict(_)
            | WriteError::AlreadyExists(_)
            | WriteError::NotFound(_)
            | WriteError::Forbidden(_)
            | WriteError::Invalid(_)
            | WriteError::NamespaceTerminating(_)
            | WriteError::Other { code: 400..=499, .. }
    )
}

/// Whether the object that a request named with its UID is no more: nothing has its name, or another object has. Other
/// conflicts say nothing of the kind: an admission webhook may answer so as well.
#[must_use]
pub fn is_gone(error: &WriteError) -> bool {
    match error {
        WriteError::NotFound(_) => true,
        WriteError::Conflict(message) => message.contains("UID in precondition"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_another_uid_tells_that_an_object_is_gone() {
        let other = "Operation cannot be fulfilled on Pod \"a\": Precondition failed: UID in precondition: 1, UID in \
                     object meta: 2";
        assert!(is_gone(&WriteError::Conflict(other.into())) && is_gone(&WriteError::NotFound(String::new())));
        assert!(!is_gone(&WriteError::Conflict("the object has been modified".into())));
    }

    #[test]
    fn the_servers_words_come_first() {
        let e = WriteError::Forbidden("pods \"a\" is forbidden: exceeded quota".into());
        assert_eq!(server_message(&e), "pods \"a\" is forbidden: exceeded quota");
        assert!(is_refusal(&e));
        let e = WriteError::Unreachable("connection refused".into());
        assert!(server_message(&e).contains("connection refused") && !is_refusal(&e));
    }
}
