//! A rest between the writes of a large service whose pods change many at a time, as during a rollout or after a node's
//! death. Each write of Endpoints carries all addresses, and a slice a hundred: without the rest every handful of changes
//! would be one. A change that comes alone is written at once, whatever the size. Not upstream's: there the time that a
//! write takes is the only pause.

use std::time::Duration;

use hashbrown::HashMap;
use headroom_core::{Mono, object::ObjectKey};

/// Smaller services do not rest.
const CROWD: usize = 200;
/// So many changes of pods since the look before are a rush.
const MANY: u32 = 8;
/// The rest, for each endpoint.
const PER_ENDPOINT: Duration = Duration::from_micros(60);
/// However many there are.
const LONGEST: Duration = Duration::from_millis(100);

/// Per service, how many changes wait for a look, and until when it rests.
#[derive(Debug, Default)]
pub struct Rush {
    changes: HashMap<ObjectKey, u32>,
    rests: HashMap<ObjectKey, Mono>,
}

impl Rush {
    /// One of the service's pods has changed.
    pub fn changed(&mut self, service: &ObjectKey) {
        match self.changes.get_mut(service) {
            Some(changes) => *changes = changes.saturating_add(1),
            None => drop(self.changes.insert(service.clone(), 1)),
        }
    }

    /// Until when the service is not to be looked at.
    pub fn rests(&mut self, service: &ObjectKey, now: Mono) -> Option<Mono> {
        let until = self.rests.get(service).copied()?;
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
            let rest = u32::try_from(endpoints).map_or(LONGEST, |n| PER_ENDPOINT.saturating_mul(n)).min(LONGEST);
            self.rests.insert(service.clone(), now + rest);
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

    #[test]
    fn only_many_changes_of_a_crowd_that_were_written_lead_to_a_rest() {
        let web = ObjectKey::new("default", "web");
        for (changes, endpoints, wrote, rest_millis) in [
            (8, 1000, true, Some(60)),
            (8, 200, true, Some(12)),
            (5000, 100_000, true, Some(100)),
            (7, 1000, true, None),
            (8, 199, true, None),
            (8, 1000, false, None),
            (0, 1000, true, None),
        ] {
            let mut rush = Rush::default();
            (0..changes).for_each(|_| rush.changed(&web));
            let now = Mono(1_000_000);
            assert_eq!(rush.rests(&web, now), None);
            rush.looked(&web, endpoints, wrote, now);
            let until = rest_millis.map(|millis| now + Duration::from_millis(millis));
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

    #[test]
    fn nothing_is_kept_of_a_service_that_is_gone() {
        let web = ObjectKey::new("default", "web");
        let mut rush = Rush::default();
        (0..8).for_each(|_| rush.changed(&web));
        rush.looked(&web, 1000, true, Mono(0));
        rush.changed(&web);
        rush.forget(&web);
        assert!(rush.changes.is_empty() && rush.rests.is_empty());
    }
}
