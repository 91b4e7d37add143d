//! `SchedulingGates`: a pod with gates is not tried (upstream `plugins/schedulinggates`; reference 3.1).

use crate::framework::{Actions, Change, EventResource, Hint, Interest, Plugin, PodInfo, Point, Points, Status, View};

/// The plugin.
#[derive(Debug)]
pub struct SchedulingGates;

impl Plugin for SchedulingGates {
    type Filter = ();
    type Score = ();
    type Raw = i64;
    type Bounds = ();

    fn name(&self) -> &'static str {
        "SchedulingGates"
    }

    fn points(&self) -> Points {
        Points::of(&[Point::PreEnqueue])
    }

    fn events(&self) -> Vec<Interest> {
        vec![Interest::hinted(EventResource::Pod, Actions::UPDATE_POD_SCHEDULING_GATES_ELIMINATED)]
    }

    fn hint(&self, change: &Change, pod: &PodInfo, _: &View<'_>) -> Hint {
        match change {
            Change::Pod { new: Some(new), .. } if new.uid() != pod.uid() => Hint::Skip,
            _ => Hint::Queue,
        }
    }

    fn pre_enqueue(&self, pod: &PodInfo) -> Status {
        let gates = &pod.pod.spec.scheduling_gates;
        if gates.is_empty() {
            return Status::SUCCESS;
        }
        Status::unresolvable(format!("waiting for scheduling gates: [{}]", gates.join(" ")))
    }
}

#[cfg(test)]
mod tests {
    use headroom_core::testing::pod;

    use super::*;

    #[test]
    fn names_the_gates() {
        let p = PodInfo::new(pod("p").gate("a").gate("b").arc());
        assert_eq!(SchedulingGates.pre_enqueue(&p), Status::unresolvable("waiting for scheduling gates: [a b]"));
        assert!(SchedulingGates.pre_enqueue(&PodInfo::new(pod("q").arc())).is_success());
    }
}
