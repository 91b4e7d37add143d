//! Cheap shared strings and their interner.
//!
//! A cluster repeats itself: namespaces, label keys and values, node names and images occur in thousands of rows. A
//! [`Str`] is a reference-counted string; an [`Interner`] hands out one allocation per distinct text.

use std::{
    borrow::Borrow,
    fmt,
    hash::{Hash, Hasher},
    ops::Deref,
    sync::Arc,
};

use hashbrown::HashSet;
use serde::{Serialize, Serializer};

/// A reference-counted, immutable string. Cloning costs one atomic increment.
#[derive(Clone, Default, Eq, PartialOrd, Ord)]
pub struct Str(Arc<str>);

impl Str {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether both share one allocation (then they are equal without a comparison).
    #[must_use]
    pub fn ptr_eq(a: &Self, b: &Self) -> bool {
        Arc::ptr_eq(&a.0, &b.0)
    }
}

impl PartialEq for Str {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0 == other.0
    }
}

impl Hash for Str {
    /// As the text hashes, so that maps can be asked with a `&str`.
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl Deref for Str {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Str {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Str {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Str {
    fn from(s: &str) -> Self {
        if s.is_empty() { Self::default() } else { Self(Arc::from(s)) }
    }
}

impl From<String> for Str {
    fn from(s: String) -> Self {
        Self::from(s.as_str())
    }
}

impl From<&String> for Str {
    fn from(s: &String) -> Self {
        Self::from(s.as_str())
    }
}

impl PartialEq<str> for Str {
    fn eq(&self, other: &str) -> bool {
        &*self.0 == other
    }
}

impl PartialEq<&str> for Str {
    fn eq(&self, other: &&str) -> bool {
        &*self.0 == *other
    }
}

impl fmt::Debug for Str {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for Str {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Serialize for Str {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// One allocation per distinct text.
///
/// Values that nobody else holds any more are dropped by a sweep, which runs by itself whenever the set has doubled
/// since the last one: the interner never holds more than twice what is alive.
#[derive(Debug)]
pub struct Interner {
    strings: HashSet<Str>,
    sweep_at: usize,
}

/// Below this many entries a sweep is not worth its walk.
const SMALLEST_SWEEP: usize = 4096;

impl Default for Interner {
    fn default() -> Self {
        Self { strings: HashSet::new(), sweep_at: SMALLEST_SWEEP }
    }
}

impl Interner {
    /// The shared string with this text.
    pub fn intern(&mut self, text: &str) -> Str {
        if text.is_empty() {
            return Str::default();
        }
        if let Some(known) = self.strings.get(text) {
            return known.clone();
        }
        if self.strings.len() >= self.sweep_at {
            self.strings.retain(|s| Arc::strong_count(&s.0) > 1);
            self.sweep_at = (self.strings.len() * 2).max(SMALLEST_SWEEP);
        }
        let fresh = Str::from(text);
        self.strings.insert(fresh.clone());
        fresh
    }

    /// How many distinct texts are held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.strings.len()
    }

    /// Whether nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.strings.is_empty()
    }
}

/// A handle of which every clone shares one allocation.
pub trait Shared: Clone + Eq + Hash {
    /// How many handles of this allocation there are.
    fn holders(&self) -> usize;
}

impl<T: ?Sized + Eq + Hash> Shared for Arc<T> {
    fn holders(&self) -> usize {
        Self::strong_count(self)
    }
}

/// The same for values behind a handle: pods of one template share one `PodSpec`.
#[derive(Debug)]
pub struct ValueInterner<S> {
    values: HashSet<S>,
    sweep_at: usize,
}

impl<S> Default for ValueInterner<S> {
    fn default() -> Self {
        Self { values: HashSet::new(), sweep_at: SMALLEST_SWEEP }
    }
}

impl<S: Shared> ValueInterner<S> {
    /// The shared handle of what equals `value`.
    pub fn intern<Q: Eq + Hash>(&mut self, value: Q) -> S
    where
        S: Borrow<Q> + From<Q>,
    {
        if let Some(known) = self.values.get(&value) {
            return known.clone();
        }
        if self.values.len() >= self.sweep_at {
            self.values.retain(|v| v.holders() > 1);
            self.sweep_at = (self.values.len() * 2).max(SMALLEST_SWEEP);
        }
        let fresh = S::from(value);
        self.values.insert(fresh.clone());
        fresh
    }

    /// How many distinct values are held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether nothing is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_allocation_per_text() {
        let mut interner = Interner::default();
        let a = interner.intern("app");
        let b = interner.intern("app");
        assert!(Str::ptr_eq(&a, &b));
        assert_eq!(interner.len(), 1);
        assert!(interner.intern("").is_empty());
        assert_eq!(interner.len(), 1, "the empty string needs no entry");
    }

    #[test]
    fn what_nobody_holds_is_swept() {
        let mut interner = Interner::default();
        let kept = interner.intern("kept");
        for i in 0..SMALLEST_SWEEP * 3 {
            interner.intern(&format!("gone-{i}"));
        }
        assert!(interner.len() <= SMALLEST_SWEEP, "{} entries", interner.len());
        assert!(Str::ptr_eq(&kept, &interner.intern("kept")));
    }

    #[test]
    fn values_are_shared() {
        let mut interner: ValueInterner<Arc<Vec<i32>>> = ValueInterner::default();
        let a = interner.intern(vec![1, 2]);
        let b = interner.intern(vec![1, 2]);
        assert!(Arc::ptr_eq(&a, &b));
    }

    #[test]
    fn values_that_somebody_holds_outlive_every_sweep() {
        let mut interner: ValueInterner<Arc<[usize]>> = ValueInterner::default();
        let of = |i: usize| Arc::<[usize]>::from(vec![i]);
        let held: Vec<_> = (0..SMALLEST_SWEEP + 900).map(|i| interner.intern(of(i))).collect();
        for i in 0..SMALLEST_SWEEP * 3 {
            interner.intern(of(1_000_000 + i));
        }
        assert!(interner.len() <= held.len() * 2, "{} entries", interner.len());
        assert!(held.iter().enumerate().all(|(i, v)| Arc::ptr_eq(v, &interner.intern(of(i)))));
    }
}
