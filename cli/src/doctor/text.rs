//! Texts of others, made fit for a terminal and for a command line.

use headroom_core::Timestamp;
pub(crate) use headroom_runtime::process::{clean, cut};

use crate::top::table::age;

/// Longest name that an object can have.
const LONGEST_NAME: usize = 253;

/// A name or address as an argument of a command. Nothing that an object can have as its name needs quotes; what else
/// stands there is not repeated in something that people paste.
pub(crate) fn arg(name: &str) -> &str {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
    let fits = name.len() <= LONGEST_NAME && name.starts_with(|c: char| c.is_ascii_alphanumeric());
    if fits && name.chars().all(plain) { name } else { "NAME" }
}

/// Whole seconds since a time; none when it is not known or lies ahead.
pub(super) fn seconds_since(since: Option<Timestamp>, at: Timestamp) -> Option<u64> {
    since.filter(|since| since.0 > 0).map(|since| at.since(since).as_secs())
}

/// ` for 12m`, or nothing where it is not known since when.
pub(super) fn lasting(since: Option<Timestamp>, at: Timestamp) -> String {
    seconds_since(since, at).map(|seconds| format!(" for {}", age(seconds))).unwrap_or_default()
}

/// `a, b, c and 4 more`.
pub(super) fn some_of(names: &[String]) -> String {
    const SHOWN: usize = 3;
    let shown: Vec<String> = names.iter().take(SHOWN).map(|name| cut(name)).collect();
    match names.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// `1 pod`, `3 pods`.
pub(crate) fn counted(count: usize, one: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {one}{s}")
}

/// Bytes as a quantity in whole MiB, at least one.
pub(super) fn mebibytes(bytes: i64) -> String {
    format!("{}Mi", (bytes >> 20).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_leaves_its_word() {
        for good in ["worker-1", "10.0.0.1", "csr-x7", "2001:db8::1", "a_b"] {
            assert_eq!(arg(good), good);
        }
        for bad in ["", "-rf", "a b", "a;reboot", "$(reboot)", "`x`", "a'b", "a\nb", "é", &"x".repeat(254)] {
            assert_eq!(arg(bad), "NAME", "{bad:?}");
        }
    }

    #[test]
    fn times_lists_and_sizes() {
        let at = Timestamp::from_secs(1000);
        assert_eq!(lasting(Some(Timestamp::from_secs(940)), at), " for 60s");
        assert_eq!(lasting(Some(Timestamp::default()), at), "", "absent");
        assert_eq!(lasting(None, at), "");
        assert_eq!(seconds_since(Some(Timestamp::from_secs(2000)), at), Some(0), "ahead");
        let names: Vec<String> = ["a", "b", "c", "d", "e"].map(String::from).to_vec();
        assert_eq!((some_of(&names[..2]), some_of(&names)), ("a, b".into(), "a, b, c and 2 more".into()));
        assert_eq!((counted(1, "pod"), counted(2, "pod")), ("1 pod".into(), "2 pods".into()));
        assert_eq!((mebibytes(64 << 20), mebibytes(5)), ("64Mi".into(), "1Mi".into()));
    }
}
