//! `PrioritySort`: higher priority first, then who has waited longer (upstream `plugins/queuesort`; reference 2.1).

use crate::framework::{Plugin, Point, Points, QueueItem};

/// The plugin.
#[derive(Debug)]
pub struct PrioritySort;

impl Plugin for PrioritySort {
    type Filter = ();
    type Score = ();
    type Raw = i64;
    type Bounds = ();

    fn name(&self) -> &'static str {
        "PrioritySort"
    }

    fn points(&self) -> Points {
        Points::of(&[Point::QueueSort])
    }

    fn less(&self, a: &QueueItem<'_>, b: &QueueItem<'_>) -> bool {
        let key = |item: &QueueItem<'_>| (std::cmp::Reverse(item.pod.priority()), item.timestamp);
        key(a) < key(b)
    }
}

#[cfg(test)]
mod tests {
    use headroom_core::{Mono, testing::pod};

    use super::*;
    use crate::framework::PodInfo;

    #[test]
    fn priority_then_time() {
        let (low, high) = (PodInfo::new(pod("l").arc()), PodInfo::new(pod("h").priority(5).arc()));
        let item = |pod, at| QueueItem { pod, timestamp: Mono(at) };
        assert!(PrioritySort.less(&item(&high, 9), &item(&low, 1)));
        assert!(PrioritySort.less(&item(&low, 1), &item(&low, 2)));
        assert!(!PrioritySort.less(&item(&low, 1), &item(&low, 1)));
    }
}
