//! `Unsupported`: a pod that needs what this scheduler does not do is told so, instead of being bound wrongly.
//!
//! Ours; it is in every profile and cannot be disabled. The runtime's conversion of pods fills `spec.unsupported`.

use crate::framework::{Actions, EventResource, Interest, Plugin, PodInfo, Point, Points, PreFilter, Status, View};

/// Its name in messages and metrics.
pub const NAME: &str = "Unsupported";

/// The plugin.
#[derive(Debug)]
pub struct Unsupported;

impl Plugin for Unsupported {
    type Filter = ();
    type Score = ();
    type Raw = i64;
    type Bounds = ();

    fn name(&self) -> &'static str {
        NAME
    }

    fn points(&self) -> Points {
        Points::of(&[Point::PreFilter, Point::Filter])
    }

    fn events(&self) -> Vec<Interest> {
        vec![Interest::always(EventResource::UnscheduledPod, Actions::UPDATE)]
    }

    fn pre_filter(&self, pod: &PodInfo, _: &View<'_>) -> PreFilter<()> {
        let what = &pod.pod.spec.unsupported;
        if what.is_empty() {
            return PreFilter::Skip;
        }
        PreFilter::Reject(Status::unresolvable(format!("pod needs what this scheduler does not support: {what}")))
    }
}

#[cfg(test)]
mod tests {
    use headroom_core::{Now, testing::pod};

    use super::*;
    use crate::cache::Cache;

    #[test]
    fn says_what() {
        let cache = Cache::default();
        let view = View::new(&cache, Now::default());
        let p = PodInfo::new(pod("p").spec(|s| s.unsupported = "resource claims".into()).arc());
        let PreFilter::Reject(status) = Unsupported.pre_filter(&p, &view) else { panic!() };
        assert_eq!(status.message(), "pod needs what this scheduler does not support: resource claims");
        assert_eq!(Unsupported.pre_filter(&PodInfo::new(pod("q").arc()), &view), PreFilter::Skip);
    }
}
