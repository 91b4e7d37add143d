//! A work queue of keys with the semantics of client-go's `util/workqueue`, pure.
//!
//! A key that is added while it waits is there once; one that is added while it is worked on is worked on again
//! afterwards, never twice at a time. Delays and backoff are deadlines on the caller's clock.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
    hash::Hash,
    time::Duration,
};

use hashbrown::{HashMap, HashSet};

use crate::time::Mono;

/// First delay of a failing key (`DefaultTypedControllerRateLimiter`).
pub const BASE_DELAY: Duration = Duration::from_millis(5);
/// Longest delay of a failing key.
pub const MAX_DELAY: Duration = Duration::from_secs(1000);

/// Keys waiting to be worked on.
#[derive(Debug)]
pub struct WorkQueue<K> {
    ready: VecDeque<K>,
    /// Waiting in `ready`, or to be put there when the work on them is done; and since when.
    dirty: HashMap<K, Mono>,
    processing: HashSet<K>,
    /// Earliest deadline per delayed key; entries of `heap` that disagree are stale.
    delayed: HashMap<K, Mono>,
    heap: BinaryHeap<Reverse<(Mono, u64, Ordered<K>)>>,
    sequence: u64,
    failures: HashMap<K, u32>,
    base_delay: Duration,
    max_delay: Duration,
    adds: u64,
    retries: u64,
    /// The time as it was last told.
    now: Mono,
    /// How long the key had waited that was taken last, until somebody asks.
    waited: Option<Duration>,
}

/// What metrics say of a queue, whatever its keys are.
pub trait QueueFigures {
    /// Keys that could be worked on now, adds so far, rate-limited adds so far.
    fn totals(&self) -> (usize, u64, u64);

    /// What time it is when keys are added from now on: the wait for their turn counts from then.
    fn clock(&mut self, now: Mono);

    /// How long the key had waited that was taken last; once for each key.
    fn take_waited(&mut self) -> Option<Duration>;
}

/// A key in the heap: ordered by deadline and sequence alone.
#[derive(Debug, Clone)]
struct Ordered<K>(K);

impl<K> PartialEq for Ordered<K> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}
impl<K> Eq for Ordered<K> {}
impl<K> PartialOrd for Ordered<K> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<K> Ord for Ordered<K> {
    fn cmp(&self, _: &Self) -> std::cmp::Ordering {
        std::cmp::Ordering::Equal
    }
}

impl<K> Default for WorkQueue<K> {
    fn default() -> Self {
        Self {
            ready: VecDeque::new(),
            dirty: HashMap::new(),
            processing: HashSet::new(),
            delayed: HashMap::new(),
            heap: BinaryHeap::new(),
            sequence: 0,
            failures: HashMap::new(),
            base_delay: BASE_DELAY,
            max_delay: MAX_DELAY,
            adds: 0,
            retries: 0,
            now: Mono::default(),
            waited: None,
        }
    }
}

impl<K: Clone + Eq + Hash> WorkQueue<K> {
    /// A queue whose failing keys wait for `base` first, instead of [`BASE_DELAY`].
    #[must_use]
    pub fn with_base_delay(base: Duration) -> Self {
        Self::with_delays(base, MAX_DELAY)
    }

    /// A queue whose failing keys wait for `base` first, and for `max` at most.
    #[must_use]
    pub fn with_delays(base: Duration, max: Duration) -> Self {
        Self { base_delay: base, max_delay: max, ..Self::default() }
    }

    /// Asks for work on `key`, now.
    pub fn add(&mut self, key: K) {
        self.add_since(key, self.now);
    }

    fn add_since(&mut self, key: K, since: Mono) {
        if self.dirty.try_insert(key.clone(), since).is_ok() {
            self.adds += 1;
            if !self.processing.contains(&key) {
                self.ready.push_back(key);
            }
        }
    }

    /// Asks for work on `key` at `at`; the earliest of several deadlines counts.
    pub fn add_at(&mut self, key: K, at: Mono) {
        if self.delayed.get(&key).is_some_and(|known| *known <= at) {
            return;
        }
        self.delayed.insert(key.clone(), at);
        self.sequence += 1;
        self.heap.push(Reverse((at, self.sequence, Ordered(key))));
    }

    /// Asks for work on `key` after a delay that doubles with each failure in a row, from the queue's base delay to its longest
    /// ([`BASE_DELAY`] and [`MAX_DELAY`] unless set otherwise). Returns the delay.
    pub fn add_rate_limited(&mut self, key: K, now: Mono) -> Duration {
        let failures = self.failures.entry(key.clone()).or_insert(0);
        let delay = self.base_delay.saturating_mul(1u32.checked_shl(*failures).unwrap_or(u32::MAX)).min(self.max_delay);
        *failures = failures.saturating_add(1).min(31);
        self.retries += 1;
        self.add_at(key, now + delay);
        delay
    }

    /// Forgets the failures of `key`: it succeeded, or is gone.
    pub fn forget(&mut self, key: &K) {
        self.failures.remove(key);
    }

    /// How often `key` has failed in a row.
    pub fn failures(&self, key: &K) -> u32 {
        self.failures.get(key).copied().unwrap_or(0)
    }

    /// The next key to work on. [`Self::done`] must follow.
    pub fn pop(&mut self, now: Mono) -> Option<K> {
        self.now = now;
        self.wake(now);
        let key = self.ready.pop_front()?;
        self.waited = self.dirty.remove(&key).map(|since| now.since(since));
        self.processing.insert(key.clone());
        Some(key)
    }

    /// The work on `key` has ended. If it was added meanwhile, it is ready again.
    pub fn done(&mut self, key: &K) {
        if self.processing.remove(key) && self.dirty.contains_key(key) {
            self.ready.push_back(key.clone());
        }
    }

    fn wake(&mut self, now: Mono) {
        while let Some(Reverse((at, _, _))) = self.heap.peek() {
            if *at > now {
                break;
            }
            if let Some(Reverse((at, _, Ordered(key)))) = self.heap.pop()
                && self.delayed.get(&key) == Some(&at)
            {
                self.delayed.remove(&key);
                self.add_since(key, at);
            }
        }
    }

    /// When [`Self::pop`] will next have something that it has not now; absent when nothing is delayed. Never later
    /// than the first live deadline (a superseded one may make it earlier, which costs one idle look).
    pub fn next_deadline(&self) -> Option<Mono> {
        self.heap.peek().map(|Reverse((at, _, _))| *at)
    }

    /// Keys that could be worked on now.
    pub fn len(&self) -> usize {
        self.ready.len()
    }

    /// Whether nothing could be worked on now.
    pub fn is_empty(&self) -> bool {
        self.ready.is_empty()
    }

    /// Adds so far (metric `workqueue_adds_total`).
    pub const fn adds(&self) -> u64 {
        self.adds
    }

    /// Rate-limited adds so far (metric `workqueue_retries_total`).
    pub const fn retries(&self) -> u64 {
        self.retries
    }
}

impl<K: Clone + Eq + Hash> QueueFigures for WorkQueue<K> {
    fn totals(&self) -> (usize, u64, u64) {
        (self.len(), self.adds, self.retries)
    }

    fn clock(&mut self, now: Mono) {
        self.now = now;
    }

    fn take_waited(&mut self) -> Option<Duration> {
        self.waited.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(ms: u64) -> Mono {
        Mono(ms * 1000)
    }

    #[test]
    fn a_key_waits_once_and_is_never_worked_on_twice_at_a_time() {
        let mut q = WorkQueue::default();
        q.add("a");
        q.add("a");
        assert_eq!((q.len(), q.adds()), (1, 1));
        assert_eq!(q.pop(at(0)), Some("a"));
        q.add("a");
        assert_eq!(q.pop(at(0)), None, "it is being worked on");
        q.done(&"a");
        assert_eq!(q.pop(at(0)), Some("a"));
        q.done(&"a");
        assert_eq!(q.pop(at(0)), None);
    }

    #[test]
    fn the_earliest_deadline_counts() {
        let mut q = WorkQueue::default();
        q.add_at("a", at(50));
        q.add_at("a", at(20));
        q.add_at("a", at(90));
        assert_eq!(q.next_deadline(), Some(at(20)));
        assert_eq!(q.pop(at(19)), None);
        assert_eq!(q.pop(at(20)), Some("a"));
        q.done(&"a");
        assert_eq!(q.pop(at(1000)), None, "the superseded deadline is stale");
    }

    #[test]
    fn the_wait_counts_from_the_first_add_or_from_the_deadline() {
        let mut q = WorkQueue::default();
        q.clock(at(10));
        q.add("a");
        q.clock(at(20));
        q.add("a");
        q.add_at("b", at(25));
        assert_eq!(q.pop(at(30)), Some("a"));
        assert_eq!((q.take_waited(), q.take_waited()), (Some(Duration::from_millis(20)), None));
        assert_eq!(q.pop(at(32)), Some("b"));
        assert_eq!(q.take_waited(), Some(Duration::from_millis(7)));
        // Added while it is worked on: it waits for the end of that as well.
        q.add("a");
        assert_eq!(q.pop(at(40)), None);
        assert_eq!(q.take_waited(), None);
        q.done(&"a");
        assert_eq!(q.pop(at(50)), Some("a"));
        assert_eq!(q.take_waited(), Some(Duration::from_millis(18)));
        assert_eq!(q.totals(), (0, 3, 0));
    }

    #[test]
    fn failures_back_off_and_are_forgotten() {
        let mut q = WorkQueue::default();
        let delays: Vec<_> = (0..20).map(|_| q.add_rate_limited("a", at(0)).as_millis()).collect();
        assert_eq!(delays[..4], [5, 10, 20, 40]);
        assert_eq!(delays[19], 1_000_000);
        q.forget(&"a");
        assert_eq!(q.failures(&"a"), 0);
        assert_eq!(q.add_rate_limited("b", at(0)), BASE_DELAY);
        let mut q = WorkQueue::with_delays(Duration::from_secs(1), Duration::from_secs(100));
        let delays: Vec<_> = (0..9).map(|_| q.add_rate_limited("a", at(0)).as_secs()).collect();
        assert_eq!(delays, [1, 2, 4, 8, 16, 32, 64, 100, 100]);
    }

    proptest::proptest! {
        /// Whatever the order of calls: every key added is worked on after its last add, and the queue ends empty.
        #[test]
        fn nothing_is_lost(ops in proptest::collection::vec((0u8..4, 0u8..5, 0u64..50), 0..200)) {
            let mut q = WorkQueue::default();
            let mut owed = HashSet::new();
            let mut working = HashSet::new();
            let mut now = 0;
            for (op, key, delay) in ops {
                match op {
                    0 => { q.add(key); owed.insert(key); }
                    1 => { q.add_at(key, at(now + delay)); owed.insert(key); }
                    2 => if let Some(k) = q.pop(at(now)) {
                        proptest::prop_assert!(working.insert(k), "twice at a time");
                        if !q.dirty.contains_key(&k) && !q.delayed.contains_key(&k) { owed.remove(&k); }
                    },
                    _ => { now += delay; if working.remove(&key) { q.done(&key); } }
                }
            }
            for k in working.drain() { q.done(&k); }
            while let Some(k) = q.pop(at(now + 1000)) { owed.remove(&k); q.done(&k); }
            proptest::prop_assert!(owed.is_empty());
            proptest::prop_assert!(q.is_empty() && q.delayed.is_empty());
        }
    }
}
