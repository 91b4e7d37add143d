//! What is learned of one workload, and whether that is worth a write. Pure arithmetic over
//! [`headroom_core::memory::History`].

use headroom_core::{
    Str, Timestamp,
    memory::{History, MIB, Params, peak::Observation},
    object::ProfileEntry,
};

/// Most containers times images of one profile.
pub const MAX_ENTRIES: usize = 32;
/// Most images of one container: the one that runs, the one before, and one that is being tried.
pub const MAX_IMAGES: usize = 3;
/// Longest name of an image that is kept; longer ones cannot be told apart and are not learned.
pub const MAX_IMAGE: usize = 512;
/// Least change of a peak that is written …
const STEP: i64 = 4 * MIB;
/// … and the same as a fraction of what was written.
const FRACTION: f64 = 0.05;
/// A change by this fraction is written soon.
const LARGE: f64 = 0.2;

/// One container of one image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Name, image and history.
    pub known: ProfileEntry,
    /// The newest OOM kill that was taken into account.
    pub killed: Timestamp,
}

/// All containers of a workload.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Learned {
    entries: Vec<Entry>,
}

/// How much the published profile differs from what is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum News {
    /// Not worth a write.
    None,
    /// Deciders would decide a little otherwise.
    Some,
    /// They do not know it at all, or are far off.
    Much,
}

impl Learned {
    /// What a profile says; kills before its last sample are in its peaks.
    #[must_use]
    pub fn of(profile: &[ProfileEntry]) -> Self {
        let entry = |known: &ProfileEntry| Entry { known: known.clone(), killed: known.history.observed };
        Self { entries: profile.iter().take(MAX_ENTRIES).map(entry).collect() }
    }

    /// Whether nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn find(&self, name: &str, image: &str) -> Option<usize> {
        self.entries.iter().position(|e| e.known.name == *name && e.known.image == *image)
    }

    /// What was known of the container when its image was another one.
    fn seed(&self, name: &str) -> Option<History> {
        let named = self.entries.iter().filter(|e| e.known.name == *name);
        named.max_by_key(|e| e.known.history.observed).map(|e| e.known.history.new_image())
    }

    fn put(&mut self, name: &Str, image: &Str, history: History, killed: Timestamp) {
        if let Some(at) = self.find(name, image) {
            self.entries[at].known.history = history;
            self.entries[at].killed = killed;
            return;
        }
        let known = ProfileEntry { name: name.clone(), image: image.clone(), history };
        self.entries.push(Entry { known, killed });
        let images = self.entries.iter().filter(|e| e.known.name == *name).count();
        if images > MAX_IMAGES {
            self.drop_oldest(|e| e.known.name == *name);
        } else if self.entries.len() > MAX_ENTRIES {
            self.drop_oldest(|_| true);
        }
    }

    /// Drops the entry that was seen longest ago, but not the one that came last.
    fn drop_oldest(&mut self, of: impl Fn(&Entry) -> bool) {
        let last = self.entries.len().saturating_sub(1);
        let candidates = self.entries.iter().enumerate().filter(|(at, e)| *at != last && of(e));
        if let Some((at, _)) = candidates.min_by_key(|(_, e)| e.known.history.observed) {
            self.entries.remove(at);
        }
    }

    /// A sample of a container of any pod of the workload.
    pub fn observe(&mut self, name: &Str, image: &Str, sample: &Observation, params: &Params) {
        if image.len() > MAX_IMAGE {
            return;
        }
        let at = self.find(name, image);
        let before = at.map_or_else(|| self.seed(name), |at| Some(self.entries[at].known.history));
        let killed = at.map_or(Timestamp(0), |at| self.entries[at].killed);
        self.put(name, image, History::observe(before, sample, params), killed);
    }

    /// A container of the workload was OOM-killed at `at`; `last` is its last sample. Answers whether that was news.
    pub fn oom_killed(
        &mut self,
        (name, image): (&Str, &Str),
        at: Timestamp,
        last: Option<i64>,
        limit: Option<i64>,
        params: &Params,
    ) -> bool {
        let known = self.find(name, image);
        if image.len() > MAX_IMAGE || known.is_some_and(|known| self.entries[known].killed >= at) {
            return false;
        }
        let before = known.map_or_else(|| self.seed(name), |known| Some(self.entries[known].known.history));
        let Some(history) = History::oom_killed(before, last, limit, at, params) else { return false };
        self.put(name, image, history, at);
        true
    }

    /// As a profile says it: whole seconds, in the order of names.
    #[must_use]
    pub fn to_entries(&self) -> Vec<ProfileEntry> {
        let mut all: Vec<ProfileEntry> = self
            .entries
            .iter()
            .map(|e| {
                let mut known = e.known.clone();
                known.history.first_observed = known.history.first_observed.truncated();
                known.history.observed = known.history.observed.truncated();
                known
            })
            .collect();
        all.sort_by(|a, b| (&a.name, &a.image).cmp(&(&b.name, &b.image)));
        all
    }

    /// What a decider that reads `published` at `now` does not know.
    #[must_use]
    pub fn news(&self, published: &[ProfileEntry], now: Timestamp, params: &Params) -> News {
        let mut news = News::None;
        if published.iter().any(|p| self.find(&p.name, &p.image).is_none()) {
            news = News::Some;
        }
        for Entry { known, .. } in &self.entries {
            let Some(said) = published.iter().find(|p| p.name == known.name && p.image == known.image) else {
                return News::Much;
            };
            let (is, was) = (&known.history, &said.history);
            // Until a history counts, each of its samples does.
            if is.usable(params) != was.usable(params) || (!is.usable(params) && is.samples != was.samples) {
                return News::Much;
            }
            let (is, was) = (is.decayed(now, params), was.decayed(now, params));
            let apart = is.saturating_sub(was).saturating_abs();
            let part = |fraction: f64| STEP.max((was as f64 * fraction) as i64);
            if apart >= part(LARGE) {
                return News::Much;
            }
            if apart >= part(FRACTION) {
                news = News::Some;
            }
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3600;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_secs(1_700_000_000 + seconds)
    }

    fn see(learned: &mut Learned, image: &str, mib: i64, seconds: i64) {
        let sample = Observation { footprint: mib * MIB, at: at(seconds), started: None };
        learned.observe(&"c".into(), &image.into(), &sample, &Params::default());
    }

    fn peaks(learned: &Learned) -> Vec<(String, i64, u32)> {
        let entries = learned.to_entries();
        entries.iter().map(|e| (e.image.to_string(), e.history.peak / MIB, e.history.samples)).collect()
    }

    #[test]
    fn a_new_image_starts_with_most_of_the_old_peak() {
        let mut learned = Learned::default();
        for seconds in [0, 15, 30] {
            see(&mut learned, "v1", 200, seconds);
        }
        see(&mut learned, "v2", 40, 30);
        assert_eq!(peaks(&learned), [("v1".to_owned(), 200, 3), ("v2".to_owned(), 160, 4)]);
        see(&mut learned, "v2", 170, 45);
        assert_eq!(peaks(&learned)[1], ("v2".to_owned(), 170, 5));
    }

    #[test]
    fn images_and_containers_are_bounded() {
        let mut learned = Learned::default();
        for n in 0..10 {
            see(&mut learned, &format!("v{n}"), 100, n);
        }
        assert_eq!(peaks(&learned).iter().map(|p| p.0.as_str()).collect::<Vec<_>>(), ["v7", "v8", "v9"]);
        see(&mut learned, &"x".repeat(MAX_IMAGE + 1), 100, 11);
        assert_eq!(peaks(&learned).len(), 3);
        for n in 0..100 {
            let sample = Observation { footprint: 1, at: at(n), started: None };
            learned.observe(&format!("c{n}").into(), &"i".into(), &sample, &Params::default());
        }
        assert_eq!(learned.to_entries().len(), MAX_ENTRIES);
    }

    #[test]
    fn each_kill_counts_once_and_not_again_after_a_restart() {
        let params = Params::default();
        let mut learned = Learned::default();
        see(&mut learned, "v", 200, 0);
        let kill = |learned: &mut Learned, seconds| {
            learned.oom_killed((&"c".into(), &"v".into()), at(seconds), Some(200 * MIB), None, &params)
        };
        assert!(kill(&mut learned, 10));
        assert!(!kill(&mut learned, 10));
        assert_eq!(peaks(&learned)[0].1, 300);
        see(&mut learned, "v", 100, 15);
        let mut restarted = Learned::of(&learned.to_entries());
        assert!(!kill(&mut restarted, 10), "before the last sample");
        assert!(kill(&mut restarted, 20), "while nobody looked");
    }

    #[test]
    fn what_is_worth_a_write() {
        let params = Params::default();
        let mut learned = Learned::default();
        let news = |learned: &Learned, said: &[ProfileEntry], seconds| learned.news(said, at(seconds), &params);
        see(&mut learned, "v", 100, 0);
        assert_eq!(news(&learned, &[], 0), News::Much);
        let first = learned.to_entries();
        assert_eq!(news(&learned, &first, 0), News::None);
        see(&mut learned, "v", 100, 15);
        assert_eq!(news(&learned, &first, 15), News::Much, "one more of the few samples that make it count");
        see(&mut learned, "v", 100, 30);
        let said = learned.to_entries();
        see(&mut learned, "v", 100, 45);
        assert_eq!(news(&learned, &said, 45), News::None);
        see(&mut learned, "v", 106, 60);
        assert_eq!(news(&learned, &said, 60), News::Some);
        see(&mut learned, "v", 130, 75);
        assert_eq!(news(&learned, &said, 75), News::Much);
        // A workload that stays as it is: readers' peak decays by 5 % in less than two hours.
        let said = learned.to_entries();
        let quiet = |hours: i64| {
            let mut later = learned.clone();
            see(&mut later, "v", 130, 75 + hours * HOUR);
            later.news(&said, at(75 + hours * HOUR), &params)
        };
        assert_eq!((quiet(1), quiet(2)), (News::None, News::Some));
        // One that is no longer there decays alike on both sides.
        assert_eq!(news(&learned, &said, 100 * HOUR), News::None);
    }
}
