//! Expectations of own writes: what a core must see before it trusts its view again (DESIGN.md 4.3 and 13).
//!
//! A watch lags behind the writes of its own process. For every write that was answered, an [`Expectation`] says what
//! the view will show once it has caught up; until then the view is known to be old in that place. Upstream's
//! counterpart (`controller.UIDTrackingControllerExpectations`) counts events and expires after five minutes; here each
//! entry names one object, so duplicates and reordering between objects cannot satisfy it by accident, and an entry that
//! stays open for long is settled by a consistent read ([`Expectations::listed`]), never by giving up.

use std::time::Duration;

use hashbrown::HashMap;

use crate::{object::ObjectKey, str::Str, time::Mono};

/// What the view will show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum What {
    /// The object is there (or was, and is gone again).
    Exists,
    /// The object is at this resource version or a later one, or gone.
    Version(u64),
    /// The object is terminating or gone.
    Gone,
}

/// One open expectation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expectation {
    /// What.
    pub what: What,
    /// UID of the object; empty when the write's answer did not say, then any object of that name counts.
    pub uid: Str,
    /// When the write was answered, or a consistent read last confirmed it.
    pub since: Mono,
    /// Whether a consistent read found the object while the view did not.
    pub confirmed: bool,
    /// Whether the view had the object when the expectation was recorded: then its absence means that it is gone.
    pub in_view: bool,
}

/// What is seen of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight<'a> {
    /// The view has it.
    Present {
        /// Its UID.
        uid: &'a str,
        /// Its resource version.
        resource_version: u64,
        /// Whether its deletion was asked for, or it has ended for good.
        terminating: bool,
    },
    /// The view had it, and it is gone now.
    Removed {
        /// Its UID.
        uid: &'a str,
    },
    /// The view does not have it.
    Absent,
}

impl Expectation {
    /// Whether this sight is what was expected.
    #[must_use]
    pub fn is_met_by(&self, sight: Sight<'_>) -> bool {
        let same = |uid: &str| self.uid.is_empty() || self.uid == *uid;
        match (self.what, sight) {
            (What::Exists, Sight::Present { uid, .. }) | (_, Sight::Removed { uid }) => same(uid),
            (What::Exists, Sight::Absent) => false,
            // Another object under the name: ours is gone if that one is the younger.
            (What::Version(n), Sight::Present { resource_version, .. }) => resource_version >= n,
            (What::Gone, Sight::Present { uid, terminating, .. }) => !same(uid) || terminating,
            (What::Version(_) | What::Gone, Sight::Absent) => self.in_view,
        }
    }
}

/// The open expectations of one key of a controller: at most one per object, the latest write's.
#[derive(Debug, Clone, Default)]
pub struct Expectations {
    open: HashMap<ObjectKey, Expectation>,
}

impl Expectations {
    /// Records what a write leads to, in place of what was expected of the object before.
    pub fn expect(&mut self, key: ObjectKey, uid: Str, what: What, in_view: bool, now: Mono) {
        self.open.insert(key, Expectation { what, uid, since: now, confirmed: false, in_view });
    }

    /// What is expected of an object.
    #[must_use]
    pub fn get(&self, key: &ObjectKey) -> Option<&Expectation> {
        self.open.get(key)
    }

    /// Expects nothing of an object any more.
    pub fn forget(&mut self, key: &ObjectKey) -> Option<Expectation> {
        self.open.remove(key)
    }

    /// Takes note of a change of the view. Returns whether it settled something.
    pub fn sight(&mut self, key: &ObjectKey, sight: Sight<'_>) -> bool {
        let met = self.open.get(key).is_some_and(|e| e.is_met_by(sight));
        if met {
            self.open.remove(key);
        }
        met
    }

    /// Looks for everything that is expected.
    pub fn settle<'a>(&mut self, look: impl Fn(&ObjectKey) -> Sight<'a>) {
        self.open.retain(|key, e| !e.is_met_by(look(key)));
    }

    /// Settles entries by a consistent read that began after every one of them was recorded. What it did not find is
    /// gone (unless the view had it: then the view will show the end); what it found and the view does not is confirmed, and waited for again.
    pub fn listed<'a>(&mut self, now: Mono, found: impl Fn(&ObjectKey) -> Option<&'a str>) {
        self.open.retain(|key, e| match found(key) {
            Some(uid) if e.uid.is_empty() || e.uid == *uid => {
                e.uid = uid.into();
                e.since = now;
                e.confirmed = true;
                true
            }
            _ => e.in_view,
        });
    }

    /// When the oldest entry that a consistent read could settle will have been open for `limit`. Objects that the view
    /// has settle with the view, however late, and do not count.
    #[must_use]
    pub fn overdue_at(&self, limit: Duration) -> Option<Mono> {
        self.open.values().filter(|e| !e.in_view).map(|e| e.since + limit).min()
    }

    /// All open entries, in no particular order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&ObjectKey, &Expectation)> {
        self.open.iter()
    }

    /// How many are open.
    #[must_use]
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether the view has caught up.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Expects nothing any more.
    pub fn clear(&mut self) {
        self.open.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> ObjectKey {
        ObjectKey::new("ns", name)
    }

    fn present(uid: &str, resource_version: u64, terminating: bool) -> Sight<'_> {
        Sight::Present { uid, resource_version, terminating }
    }

    #[test]
    fn each_kind_is_met_by_its_own_sight_only() {
        for (what, in_view, sight, expected) in [
            (What::Exists, false, Sight::Absent, false),
            (What::Exists, false, present("u", 1, false), true),
            (What::Exists, false, present("other", 99, false), false),
            (What::Exists, false, Sight::Removed { uid: "u" }, true),
            (What::Exists, false, Sight::Removed { uid: "other" }, false),
            (What::Version(5), true, present("u", 4, false), false),
            (What::Version(5), true, present("u", 5, false), true),
            (What::Version(5), true, present("other", 4, false), false),
            (What::Version(5), true, present("other", 6, false), true),
            (What::Version(5), true, Sight::Absent, true),
            (What::Version(5), false, Sight::Absent, false),
            (What::Gone, true, present("u", 9, false), false),
            (What::Gone, true, present("u", 9, true), true),
            (What::Gone, true, present("other", 9, false), true),
            (What::Gone, true, Sight::Absent, true),
            (What::Gone, false, Sight::Absent, false),
        ] {
            let mut e = Expectations::default();
            e.expect(key("a"), "u".into(), what, in_view, Mono(0));
            assert_eq!(e.sight(&key("a"), sight), expected, "{what:?} {in_view} {sight:?}");
            assert_eq!(e.is_empty(), expected);
        }
    }

    #[test]
    fn a_consistent_read_settles_what_the_watch_never_showed() {
        let mut e = Expectations::default();
        e.expect(key("gone"), "g".into(), What::Exists, false, Mono(1));
        e.expect(key("late"), "l".into(), What::Exists, false, Mono(1));
        e.expect(key("in-doubt"), Str::default(), What::Exists, false, Mono(1));
        e.expect(key("dying"), "d".into(), What::Gone, true, Mono(1));
        assert_eq!(e.overdue_at(Duration::from_micros(9)), Some(Mono(10)));
        e.listed(Mono(20), |k| match &*k.name {
            "late" => Some("l"),
            "in-doubt" => Some("new"),
            _ => None,
        });
        let mut left: Vec<_> = e.iter().map(|(k, e)| (k.name.to_string(), e.uid.to_string(), e.confirmed)).collect();
        left.sort();
        assert_eq!(
            left,
            [
                ("dying".to_owned(), "d".to_owned(), false),
                ("in-doubt".to_owned(), "new".to_owned(), true),
                ("late".to_owned(), "l".to_owned(), true)
            ],
            "the view still shows the dying one"
        );
        assert_eq!(e.overdue_at(Duration::from_micros(9)), Some(Mono(29)));
        e.settle(|k| if &*k.name == "late" { present("l", 3, false) } else { Sight::Absent });
        assert_eq!(e.len(), 1, "the dying one is gone, the late one is there, the third one is waited for");
    }

    #[test]
    fn the_latest_write_counts() {
        let mut e = Expectations::default();
        e.expect(key("a"), "u".into(), What::Version(5), true, Mono(0));
        e.expect(key("a"), "u".into(), What::Gone, true, Mono(1));
        assert!(!e.sight(&key("a"), present("u", 9, false)));
        assert!(e.sight(&key("a"), present("u", 9, true)));
    }
}
