//! Since when a change has been waiting to be written (reference 2.7).

use hashbrown::HashMap;
use headroom_core::{
    Str, Timestamp,
    object::{ObjectKey, Pod, Service},
};

#[derive(Debug, Default)]
struct State {
    service: Timestamp,
    pods: HashMap<Str, Timestamp>,
}

/// What was last seen of every service and its pods (`TriggerTimeTracker`).
#[derive(Debug, Default)]
pub struct TriggerTimes(HashMap<ObjectKey, State>);

impl TriggerTimes {
    /// Notes the present state and returns when the oldest change since the last call happened; for a service that was
    /// not known, when it was created. Absent when nothing has changed.
    pub fn compute<'a>(&mut self, service: &Service, pods: impl Iterator<Item = &'a Pod>) -> Option<Timestamp> {
        let created = service.meta.created;
        let known = self.0.get(&service.meta.key);
        let mut oldest: Option<Timestamp> = None;
        let mut note = |t: Timestamp, before: Timestamp| {
            if t > before {
                oldest = Some(oldest.map_or(t, |o| o.min(t)));
            }
        };
        let mut seen = HashMap::new();
        for pod in pods {
            let Some(t) = pod.condition("Ready").and_then(|c| c.last_transition).filter(|t| t.0 != 0) else { continue };
            let before = known.and_then(|k| k.pods.get(&pod.meta.key.name)).copied().unwrap_or_default();
            note(t, before);
            seen.insert(pod.meta.key.name.clone(), t);
        }
        note(created, known.map(|k| k.service).unwrap_or_default());
        let was_known = known.is_some();
        self.0.insert(service.meta.key.clone(), State { service: created, pods: seen });
        if was_known { oldest } else { Some(created).filter(|t| t.0 != 0) }
    }

    /// The service is gone.
    pub fn forget(&mut self, key: &ObjectKey) {
        self.0.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use headroom_core::{object::Meta, testing::pod};

    fn service(created: i64) -> Service {
        Service {
            meta: Meta {
                key: ObjectKey::new("default", "web"),
                created: Timestamp::from_secs(created),
                ..Meta::default()
            },
            ..Service::default()
        }
    }

    /// Translated from the tracker's tests.
    #[test]
    fn the_oldest_change_since_the_last_look() {
        let ready = |name: &str, at: i64| pod(name).ready(at, "10.0.0.1").build();
        let mut times = TriggerTimes::default();
        let at = |t: i64| Some(Timestamp::from_secs(t));
        let mut compute = |s: &Service, pods: &[Pod]| times.compute(s, pods.iter());
        assert_eq!(compute(&service(100), &[ready("a", 90)]), at(100), "new: its creation");
        assert_eq!(compute(&service(100), &[ready("a", 90)]), None);
        assert_eq!(compute(&service(100), &[ready("a", 90), ready("b", 120), ready("c", 110)]), at(110));
        assert_eq!(compute(&service(100), &[ready("a", 130), ready("b", 120)]), at(130));
        assert_eq!(compute(&service(100), &[ready("b", 120)]), None, "a pod went");
        assert_eq!(compute(&service(140), &[ready("b", 150)]), at(140), "made anew");
        times.forget(&ObjectKey::new("default", "web"));
        assert_eq!(times.compute(&service(140), std::iter::empty()), at(140));
    }
}
