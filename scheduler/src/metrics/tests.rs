use headroom_core::{Now, Str, object::ObjectKey};
use headroom_engine::engine::DecisionResult;

use super::*;

#[test]
fn a_rejection_by_permit_is_no_error() {
    let metrics = SchedulerMetrics::new(&Registry::new()).unwrap();
    for rejected in [true, true, false] {
        metrics.report(&Report::BindingFailed {
            pod: ObjectKey::new("default", "p"),
            node: Str::default(),
            profile: "x".into(),
            message: String::new(),
            rejected,
            started: Now::default(),
        });
    }
    for (result, n) in [("unschedulable", 2), ("error", 1)] {
        assert_eq!(metrics.attempts.with_label_values(&[result, "x"]).get(), n);
        assert_eq!(metrics.attempt_duration.with_label_values(&[result, "x"]).get_sample_count(), n);
    }
}

#[test]
fn the_budget_is_a_bucket() {
    assert!(SEEN_TO_SENT.is_sorted() && SEEN_TO_SENT.contains(&0.002));
    let metrics = SchedulerMetrics::new(&Registry::new()).unwrap();
    metrics.seen_to_sent().observe(0.0019);
    assert_eq!(metrics.seen_to_sent.get_sample_count(), 1);
}

#[test]
fn points_of_a_cycle_are_those_of_the_profile_that_is_known_at_its_end() {
    let metrics = SchedulerMetrics::new(&Registry::new()).unwrap();
    let mut probe = CycleProbe::new(metrics.clone());
    for (profile, code) in
        [("x", Code::Success), ("y", Code::Success), ("x", Code::Unschedulable), ("x", Code::Success)]
    {
        probe.begin();
        probe.enter(Point::Filter);
        probe.exit(Point::Filter, code);
        probe.decided(&Decision {
            pod: ObjectKey::new("default", "p"),
            uid: Str::default(),
            profile: profile.into(),
            attempts: 1,
            result: DecisionResult::Skipped,
        });
    }
    for (profile, status, n) in [("x", "Success", 2), ("x", "Unschedulable", 1), ("y", "Success", 1)] {
        let of = metrics.points.with_label_values(&["Filter", status, profile]);
        assert_eq!(of.get_sample_count(), n, "{profile} {status}");
    }
    assert_eq!(metrics.algorithm_duration.get_sample_count(), 4);
}

#[test]
fn points_outside_of_the_cycle_and_preemptions() {
    let metrics = SchedulerMetrics::new(&Registry::new()).unwrap();
    let mut points = metrics.point_times();
    for _ in 0..2 {
        points.enter();
        points.exit("PreEnqueue", Code::Success, "x");
    }
    points.took("PreBind", Code::Error, "y", Duration::from_secs(1));
    assert_eq!(metrics.points.with_label_values(&["PreEnqueue", "Success", "x"]).get_sample_count(), 2);
    assert_eq!(metrics.points.with_label_values(&["PreBind", "Error", "y"]).get_sample_count(), 1);
    for failed in [false, true] {
        metrics.report(&Report::Preempted { took: Duration::from_millis(20), failed });
    }
    for result in ["success", "error"] {
        assert_eq!(metrics.preemptions.with_label_values(&[result]).get(), 1);
        assert_eq!(metrics.preemption_duration.with_label_values(&[result]).get_sample_count(), 1);
    }
}
