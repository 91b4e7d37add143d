//! A rest between the writes of a large service whose pods change many at a time, as during a rollout or after a node's
//! death. Each write of Endpoints carries all addresses, and a slice a hundred: without the rest every handful of changes
//! would be one. A change that comes alone is written at once, whatever the size, and a rest in which nothing changes any
//! more ends early: the last change of many is written sooner, for all that those in their midst wait. Not upstream's: there
//! the time that a write takes is the only pause, of slices one after the other.

use std::time::Duration;

use hashbrown::HashMap;
use headroom_core::{Mono, object::ObjectKey};

/// Smaller services do not rest.
const CROWD: usize = 200;
/// So many changes of pods since the look before are a rush.
const MANY: u32 = 8;
/// The rest, for each endpoint: of a thousand, about as long as upstream takes for its writes.
const PER_ENDPOINT: Duration = Duration::from_micros(100);
/// However many there are.
const LONGEST: Duration = Duration::from_millis(100);
/// When nothing changes for this part of the rest, the rush is over. Changes arrive in bunches, as the API server's storage
/// commits them: a much shorter silence would come in the midst of a rush.
const QUIET_PART: u32 = 3;

/// The pause after a write.
#[derive(Debug, Clone, Copy)]
struct Rest {
    /// When it ends, whatever happens.
    until: Mono,
    /// The silence that ends it.
    quiet: Duration,
    /// When it ends if nothing more changes.
    settles: Mono,
}

impl Rest {
    fn new(length: Duration, now: Mono) -> Self {
        let quiet = length / QUIET_PART;
        Self { until: now + length, quiet, settles: now + quiet }
    }

    fn end(&self) -> Mono {
        self.until.min(self.settles)
    }
}

/// Per service, how many changes wait for a look, and until when it rests.
#[derive(Debug, Default)]
pub struct Rush {
    changes: HashMap<ObjectKey, u32>,
    rests: HashMap<ObjectKey, Rest>,
}

impl Rush {
    /// One of the service's pods has changed.
    pub fn changed(&mut self, service: &ObjectKey, now: Mono) {
        match self.changes.get_mut(service) {
            Some(changes) => *changes = changes.saturating_add(1),
            None => drop(self.changes.insert(service.clone(), 1)),
        }
        // A rest that has ended does not begin again, although nobody has asked for it yet.
        if let Some(rest) = self.rests.get_mut(service).filter(|rest| rest.end() > now) {
            rest.settles = now + rest.quiet;
        }
    }

    /// Until when the service is not to be looked at; later when it changes until then.
    pub fn rests(&mut self, service: &ObjectKey, now: Mono) -> Option<Mono> {
        let until = self.rests.get(service)?.end();
        if until > now {
            return Some(until);
        }
        self.rests.remove(service);
        None
    }

    /// The service, of so many endpoints, was looked at, and written when something was to be written.
    pub fn looked(&mut self, service: &ObjectKey, endpoints: usize, wrote: bool, now: Mono) {
        let changes = self.changes.remove(service).unwrap_or_default();
        if wrote && changes >= MANY && endpoints >= CROWD {
            let length = u32::try_from(endpoints).map_or(LONGEST, |n| PER_ENDPOINT.saturating_mul(n)).min(LONGEST);
            self.rests.insert(service.clone(), Rest::new(length, now));
        }
    }

    /// The service is gone.
    pub fn forget(&mut self, service: &ObjectKey) {
        self.changes.remove(service);
        self.rests.remove(service);
    }

    /// The work begins anew.
    pub fn clear(&mut self) {
        self.changes.clear();
        self.rests.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn web() -> ObjectKey {
        ObjectKey::new("default", "web")
    }

    #[test]
    fn only_many_changes_of_a_crowd_that_were_written_lead_to_a_rest() {
        let web = web();
        // Microseconds: the third of the rest that passes when nothing changes.
        for (changes, endpoints, wrote, rest) in [
            (8, 900, true, Some(30_000)),
            (8, 300, true, Some(10_000)),
            (5000, 100_000, true, Some(33_333)),
            (7, 1000, true, None),
            (8, 199, true, None),
            (8, 1000, false, None),
            (0, 1000, true, None),
        ] {
            let mut rush = Rush::default();
            let now = Mono(1_000_000);
            (0..changes).for_each(|_| rush.changed(&web, now));
            assert_eq!(rush.rests(&web, now), None);
            rush.looked(&web, endpoints, wrote, now);
            let until = rest.map(|micros| now + Duration::from_micros(micros));
            assert_eq!(rush.rests(&web, now), until, "{changes} changes, {endpoints} endpoints");
            assert_eq!(rush.rests(&ObjectKey::new("default", "other"), now), None);
            if let Some(until) = until {
                assert_eq!(rush.rests(&web, until), None);
                assert!(rush.rests.is_empty());
            }
            // The changes were looked at.
            rush.looked(&web, endpoints, true, now);
            assert_eq!(rush.rests(&web, now), None);
        }
    }

    /// A service of 600: a rest of 60 ms, which 20 ms of silence end.
    #[test]
    fn a_rest_ends_with_the_changes_or_with_its_time() {
        let (web, millis) = (web(), |millis: u64| Mono(millis * 1000));
        let cases: [(&[u64], u64); 8] = [
            (&[], 20),
            (&[0], 20),
            (&[15], 35),
            (&[15, 30], 50),
            (&[15, 30, 45], 60),
            (&[15, 30, 45, 59], 60),
            // Over before that: what comes then is looked at as soon as it comes.
            (&[25], 20),
            (&[15, 35, 40], 35),
        ];
        for (changes, ends) in cases {
            let mut rush = Rush::default();
            (0..MANY).for_each(|_| rush.changed(&web, millis(0)));
            rush.looked(&web, 600, true, millis(0));
            for at in changes {
                rush.changed(&web, millis(*at));
            }
            assert_eq!(rush.rests(&web, millis(ends - 1)), Some(millis(ends)), "{changes:?}");
            assert_eq!(rush.rests(&web, millis(ends)), None, "{changes:?}");
        }
    }

    #[test]
    fn nothing_is_kept_of_a_service_that_is_gone() {
        let web = web();
        let mut rush = Rush::default();
        (0..8).for_each(|_| rush.changed(&web, Mono(0)));
        rush.looked(&web, 1000, true, Mono(0));
        rush.changed(&web, Mono(0));
        rush.forget(&web);
        assert!(rush.changes.is_empty() && rush.rests.is_empty());
    }
}
