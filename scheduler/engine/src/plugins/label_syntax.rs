//! What keys and values of labels look like (`apimachinery/pkg/util/validation`).

/// Longest value and longest name part of a key, in bytes.
const MAX_NAME: usize = 63;
/// Longest prefix of a key, in bytes.
const MAX_PREFIX: usize = 253;

/// Whether everything is a letter, a digit or, in between, one of `inner`.
fn within(s: &str, inner: fn(u8) -> bool) -> bool {
    let edge = |c: Option<u8>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    edge(s.bytes().next()) && edge(s.bytes().last()) && s.bytes().all(|c| c.is_ascii_alphanumeric() || inner(c))
}

fn is_name(s: &str) -> bool {
    s.len() <= MAX_NAME && within(s, |c| matches!(c, b'-' | b'_' | b'.'))
}

/// Whether a label may have this key (`validation.IsQualifiedName`).
pub(super) fn is_label_key(key: &str) -> bool {
    let is_subdomain = |s: &str| {
        s.len() <= MAX_PREFIX
            && s.split('.').all(|part| within(part, |c| c == b'-'))
            && !s.bytes().any(|c| c.is_ascii_uppercase())
    };
    match key.split_once('/') {
        None => is_name(key),
        Some((prefix, name)) => is_subdomain(prefix) && is_name(name),
    }
}

/// Whether a label may have this value (`validation.IsValidLabelValue`).
pub(super) fn is_label_value(value: &str) -> bool {
    value.is_empty() || is_name(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_values() {
        let long = "a".repeat(64);
        for (text, key, value) in [
            ("", false, true),
            ("a", true, true),
            ("A-b_c.9", true, true),
            ("-a", false, false),
            ("a.", false, false),
            ("a b", false, false),
            ("example.com/a", true, false),
            ("Example.com/a", false, false),
            ("example..com/a", false, false),
            ("/a", false, false),
            ("a/", false, false),
            ("a/b/c", false, false),
            (&long[1..], true, true),
            (&long, false, false),
        ] {
            assert_eq!((is_label_key(text), is_label_value(text)), (key, value), "{text:?}");
        }
    }
}
