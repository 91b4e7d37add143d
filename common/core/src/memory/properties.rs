//! Properties that hold for every input: no panic, more use never makes room, no sample never rejects, sums kept equal
//! sums made anew.

use proptest::{option, prelude::*, test_runner::RngSeed};

use super::{
    cases::NOW,
    headroom::NodeFacts,
    pressure::Reading,
    score::{raw, x_max},
    *,
};
use crate::time::Timestamp;

/// Any size, with the extremes often.
fn size() -> impl Strategy<Value = i64> {
    prop_oneof![
        4 => 0..4096 * MIB,
        1 => any::<i64>(),
        1 => prop::sample::select(vec![i64::MIN, -1, 0, 1, MIB, i64::MAX]),
    ]
}

fn real() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => 0.0..100.0_f64,
        1 => any::<f64>(),
        1 => prop::sample::select(vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, f64::MAX]),
    ]
}

fn time() -> impl Strategy<Value = Timestamp> {
    prop_oneof![
        4 => (-20_000_i64..60).prop_map(|seconds| Timestamp(NOW.0 + seconds * 1_000_000)),
        1 => any::<i64>().prop_map(Timestamp),
    ]
}

fn state() -> impl Strategy<Value = PressureState> {
    use PressureState::{Calm, Elevated, Hot, Thrash};
    prop::sample::select(vec![Calm, Elevated, Hot, Thrash])
}

fn psi() -> impl Strategy<Value = Psi> {
    (real(), real(), real(), real()).prop_map(|(some10, some60, full10, full60)| Psi { some10, some60, full10, full60 })
}

prop_compose! {
    fn node()(
        (capacity, allocatable, swap, eviction) in (size(), size(), size(), size()),
        behavior in prop::sample::select(vec![
            SwapBehavior::LimitedSwap, SwapBehavior::NoSwap, SwapBehavior::Unlimited, SwapBehavior::Unknown,
        ]),
        media in prop::sample::select(vec![SwapMedia::Ssd, SwapMedia::Hdd, SwapMedia::Zram]),
        (protected, control_plane) in any::<(bool, bool)>(),
        overhead in option::of(size()),
    ) -> NodeMemory {
        NodeMemory { capacity, allocatable, swap, behavior, eviction, media, protected, control_plane, overhead }
    }
}

prop_compose! {
    fn sample()(
        at in time(),
        (working_set, swap_used) in (option::of(size()), option::of(size())),
        psi in option::of(psi()),
        major_faults in option::of(real()),
        state in state(),
        state_since in option::of(time()),
        interval_seconds in option::of(any::<i64>()),
    ) -> Sample {
        Sample { at, working_set, swap_used, psi, major_faults, state, state_since, interval_seconds }
    }
}

prop_compose! {
    fn reading()(
        at in time(),
        psi in option::of(psi()),
        (major_faults, swap_in, swap_out) in (option::of(real()), option::of(real()), option::of(real())),
    ) -> Reading {
        Reading { at, psi, major_faults, swap_in, swap_out }
    }
}

prop_compose! {
    fn tracked()(
        (reserved, demand, swap_limit) in (size(), size(), size()),
        usage in option::of((size(), option::of(size()), option::of(size()))),
        phase in prop::sample::select(vec![Phase::InFlight, Phase::Warming, Phase::Settled]),
        terminating in any::<bool>(),
    ) -> TrackedPod {
        let usage = usage.map(|(working_set, swap, swap_available)| PodUsage { working_set, swap, swap_available });
        TrackedPod { reserved, demand, swap_limit, usage, phase, terminating }
    }
}

prop_compose! {
    fn history()(
        peak in size(), samples in any::<u32>(), first_observed in time(), observed in time(),
    ) -> History {
        History { peak, samples, first_observed, observed }
    }
}

/// A pod and, per container, what was learned.
type Spec = (Vec<(ContainerMemory, Option<History>)>, PodMemory<'static>);

prop_compose! {
    fn spec()(
        containers in prop::collection::vec((
            prop::sample::select(vec![ContainerKind::App, ContainerKind::Sidecar, ContainerKind::Init]),
            option::of(size()), option::of(size()), option::of(history()),
        ), 0..5),
        qos in prop::sample::select(vec![Qos::Guaranteed, Qos::Burstable, Qos::BestEffort]),
        (overhead, memory_volumes) in (size(), size()),
        (hint, pod_request, pod_limit) in (option::of(size()), option::of(size()), option::of(size())),
        (priority, static_pod, daemon_set, swap_never, allow_protected) in any::<(i32, bool, bool, bool, bool)>(),
    ) -> Spec {
        let containers = containers
            .into_iter()
            .map(|(kind, request, limit, history)| (ContainerMemory { kind, request, limit }, history))
            .collect();
        let pod = PodMemory {
            containers: &[], qos, priority, static_pod, daemon_set, overhead, memory_volumes, hint, swap_never,
            allow_protected, pod_request, pod_limit,
        };
        (containers, pod)
    }
}

fn candidate(spec: &Spec, default_demand: i64, params: &Params) -> Candidate {
    let containers: Vec<_> = spec.0.iter().map(|(container, _)| *container).collect();
    let pod = PodMemory { containers: &containers, ..spec.1 };
    Candidate::new(&pod, |i| spec.0[i].1, default_demand, NOW, params)
}

fn context() -> impl Strategy<Value = Context> {
    any::<[bool; 5]>().prop_map(|[inert, degraded, soft, escape, advise]| Context {
        cluster: Cluster { inert, degraded, soft },
        escape,
        enforcement: if advise { Enforcement::Score } else { Enforcement::Filter },
    })
}

/// Parameters that nobody validated.
fn wild_params() -> impl Strategy<Value = Params> {
    (any::<bool>(), size(), size(), real(), real(), real()).prop_map(|(wild, a, b, x, y, z)| {
        if !wild {
            return Params::default();
        }
        Params {
            fresh_seconds: a,
            stale_seconds: b,
            floor_min_bytes: a,
            floor_max_bytes: b,
            floor_over_eviction_bytes: a,
            default_demand_min_bytes: b,
            default_demand_max_bytes: a,
            half_life_seconds: b,
            warmup_seconds: a,
            leave_seconds: b,
            escape_seconds: a,
            phi: x,
            h: y,
            delta_f: z,
            delta_s: x,
            floor_fraction: y,
            drift_per_minute: z,
            drift_max: x,
            margin_fraction: y,
            pressure_penalty_cap: z,
            hot_percent: x,
            ..Params::default()
        }
    })
}

proptest! {
    // A fixed seed: the same inputs in every run.
    #![proptest_config(ProptestConfig {
        cases: 2000, failure_persistence: None, rng_seed: RngSeed::Fixed(36), ..ProptestConfig::default()
    })]

    #[test]
    fn nothing_panics_and_scores_are_in_range(
        node in node(), sample in option::of(sample()), spec in spec(), context in context(),
        pods in prop::collection::vec(tracked(), 0..6), params in wild_params(), default_demand in size(), now in time(),
    ) {
        let _ = params.validate();
        let pod = candidate(&spec, default_demand, &params);
        prop_assert_eq!(pod.demand.total.checked_sub(pod.demand.fixed), Some(pod.demand.swappable));
        prop_assert!(pod.demand.fixed >= 0 && pod.demand.swappable >= 0 && pod.demand.request >= 0);
        let sums = NodeSums::of(&pods, node.swap);
        let state = NodeState::new(&node, sample.as_ref(), &sums, now, &params);
        let verdict = judge(&pod, &state, &context, &params);
        prop_assert_eq!(verdict.reason().is_some(), verdict.rejected);
        let raw = raw(&pod, &state, &verdict, &params);
        let score = raw.finish(x_max([raw.x]));
        prop_assert!((0..=100).contains(&score));
        prop_assert!(verdict.fits.is_some() || score == 0);
        prop_assert!(verdict.accessible_swap >= 0 && verdict.pod_swap_limit >= 0);
        if let Some(until) = state.valid_until {
            prop_assert!(until >= now, "{until} is before {now}");
        }
    }

    #[test]
    fn learning_never_panics(
        before in option::of(history()), footprint in size(), at in time(), started in option::of(time()),
        (last, limit) in (option::of(size()), option::of(size())), params in wild_params(),
    ) {
        let next = History::observe(before, &peak::Observation { footprint, at, started }, &params);
        prop_assert!(next.new_image().peak >= 0);
        let bumped = History::oom_killed(Some(next), last, limit, at, &params);
        prop_assert!(bumped.is_some());
        let _ = (next.decayed(at, &params), next.next_step(at));
        let mut footprints = Footprints::new(&Params::default());
        for _ in 0..12 {
            footprints.add(footprint, 1);
        }
        let learned = footprints.default_demand(None);
        prop_assert!((64 * MIB..=256 * MIB).contains(&learned));
    }

    #[test]
    fn the_state_machine_never_panics_and_late_or_repeated_readings_change_nothing(
        readings in prop::collection::vec((reading(), reading(), any::<bool>(), 0..100_000_000_i64), 1..20),
        params in wild_params(),
    ) {
        let (mut plain, mut disturbed) = (Pressure::default(), Pressure::default());
        let mut newest = Timestamp(i64::MIN);
        for (reading, late, repeated, micros) in readings {
            plain = plain.step(&reading, &params);
            disturbed = disturbed.step(&reading, &params);
            newest = newest.max(reading.at);
            let at = if repeated { newest } else { Timestamp(newest.0.saturating_sub(micros)) };
            disturbed = disturbed.step(&Reading { at, ..late }, &params);
            prop_assert_eq!(disturbed, plain);
        }
    }

    #[test]
    fn more_in_use_never_makes_room(
        node in node(), mut sample in sample(), spec in spec(), context in context(),
        pods in prop::collection::vec(tracked(), 0..4), more in 0..2048 * MIB,
    ) {
        let params = Params::default();
        let pod = candidate(&spec, 128 * MIB, &params);
        let sums = NodeSums::of(&pods, node.swap);
        // A working set that cannot be true is another matter: it counts as no sample.
        let low = sample.working_set.unwrap_or(0).clamp(0, node.capacity.max(0));
        let high = low.saturating_add(more).min(node.capacity.max(0));
        let mut at = |working_set: i64| {
            sample.working_set = Some(working_set);
            judge(&pod, &NodeState::new(&node, Some(&sample), &sums, NOW, &params), &context, &params)
        };
        let (before, after) = (at(low), at(high));
        prop_assert!(after.headroom <= before.headroom);
        prop_assert!(!before.rejected || after.rejected);
        prop_assert!(before.fits.is_some() || after.fits.is_none());
    }

    #[test]
    fn without_samples_nothing_is_rejected(
        nodes in prop::collection::vec((node(), option::of(sample())), 1..4), spec in spec(),
        pods in prop::collection::vec(tracked(), 0..4), escape in any::<bool>(),
    ) {
        let params = Params::default();
        let pod = candidate(&spec, 128 * MIB, &params);
        let mut counts = ClusterCounts::default();
        let states: Vec<_> = nodes
            .iter()
            .map(|(node, sample)| {
                // An hour and more old: unsampled or stale, with an object or without.
                let sample = sample.map(|sample| Sample {
                    at: Timestamp(NOW.0 - 50_000 * 1_000_000), ..sample
                });
                let sums = NodeSums::of(&pods, node.swap);
                let state = NodeState::new(node, sample.as_ref(), &sums, NOW, &params);
                counts.add(&NodeFacts {
                    object: sample.is_some(),
                    usable: state.sample.usable(),
                    schedulable: true,
                    protected: node.protected,
                });
                state
            })
            .collect();
        let cluster = counts.cluster();
        prop_assert!(cluster.inert || cluster.degraded);
        for state in &states {
            let context = Context { cluster, escape, ..Context::default() };
            prop_assert!(!judge(&pod, state, &context, &params).rejected);
        }
    }

    #[test]
    fn placing_never_takes_more_than_the_rules_allow(
        capacity in 256_i64..8192, used in 0.0..1.0_f64, (swap, swapped) in (0_i64..8192, 0.0..1.0_f64),
        pods in prop::collection::vec((0_i64..600, 0_i64..600, option::of(1_i64..600)), 1..30),
    ) {
        let params = Params::default();
        let node = NodeMemory {
            capacity: capacity * MIB,
            allocatable: capacity * MIB,
            swap: swap * MIB,
            behavior: SwapBehavior::LimitedSwap,
            ..NodeMemory::default()
        };
        let sample = Sample {
            at: NOW,
            working_set: Some((capacity as f64 * used) as i64 * MIB),
            swap_used: Some((swap as f64 * swapped) as i64 * MIB),
            ..Sample::default()
        };
        let mut sums = NodeSums::default();
        let first = NodeState::new(&node, Some(&sample), &sums, NOW, &params);
        let mut lowest = first.headroom.min(0);
        for (request, limit, peak) in pods {
            let containers = [ContainerMemory {
                kind: ContainerKind::App,
                request: (request > 0).then_some(request * MIB),
                limit: (limit >= request && limit > 0).then_some(limit * MIB),
            }];
            let qos = if request == 0 { Qos::BestEffort } else { Qos::Burstable };
            let pod = PodMemory { containers: &containers, qos, ..PodMemory::default() };
            let seen = |_: usize| {
                let peak = peak? * MIB;
                Some(History { peak, samples: 9, first_observed: NOW, observed: NOW })
            };
            let pod = Candidate::new(&pod, seen, params.default_demand_bytes, NOW, &params);
            let state = NodeState::new(&node, Some(&sample), &sums, NOW, &params);
            let verdict = judge(&pod, &state, &Context::default(), &params);
            if verdict.rejected {
                continue;
            }
            // What may lean on swap is what the kubelet would let these pods swap, and no more.
            let lean = (params.delta_f * verdict.accessible_swap as f64).ceil() as i64;
            lowest = lowest.min(-lean);
            let tracked = TrackedPod {
                reserved: pod.demand.reserved,
                demand: pod.demand.total,
                swap_limit: verdict.pod_swap_limit,
                ..TrackedPod::default()
            };
            sums.add(&tracked.contribution(node.swap));
            let after = NodeState::new(&node, Some(&sample), &sums, NOW, &params);
            prop_assert_eq!(after.headroom, state.headroom - pod.demand.total.max(pod.demand.reserved));
            prop_assert!(after.headroom >= lowest, "{} left, {lowest} allowed", after.headroom);
            prop_assert!(verdict.accessible_swap > 0 || after.headroom >= 0);
            prop_assert!(lean <= (params.delta_f * params.phi * node.swap as f64).ceil() as i64);
        }
    }

    #[test]
    fn kept_sums_equal_sums_made_anew(
        steps in prop::collection::vec((0_usize..6, option::of(tracked())), 0..40), swap in size(),
    ) {
        let mut there: [Option<TrackedPod>; 6] = [None; 6];
        let mut kept = NodeSums::default();
        for (slot, pod) in steps {
            if let Some(old) = there[slot].take() {
                kept.remove(&old.contribution(swap));
            }
            if let Some(pod) = pod {
                kept.add(&pod.contribution(swap));
                there[slot] = Some(pod);
            }
            prop_assert_eq!(kept, NodeSums::of(there.iter().flatten(), swap));
        }
        for pod in there.iter().flatten() {
            kept.take_out(pod, swap);
        }
        prop_assert_eq!((kept.growth(), kept.demand(), kept.accessible(), kept.pods()), (0, 0, 0, 0));
        for pod in there.iter().flatten() {
            kept.put_back(pod, swap);
        }
        prop_assert_eq!(kept, NodeSums::of(there.iter().flatten(), swap));
    }

    #[test]
    fn states_hold_as_long_as_they_say(
        node in node(), sample in sample(), pods in prop::collection::vec(tracked(), 0..3),
        first in -400_i64..8000, later in 0_i64..600,
    ) {
        let params = Params::default();
        let sums = NodeSums::of(&pods, node.swap);
        let sample = Sample { at: NOW, ..sample };
        let at = |millis: i64| Timestamp(NOW.0.saturating_add(millis * 1000));
        let (now, then) = (at(first * 500), at(first * 500 + later * 37));
        let state = NodeState::new(&node, Some(&sample), &sums, now, &params);
        let anew = NodeState::new(&node, Some(&sample), &sums, then, &params);
        if state.holds_at(then) {
            // Compared as text, since a stall that is NaN equals nothing.
            let same = NodeState { age_seconds: anew.age_seconds, ..state };
            prop_assert_eq!(format!("{:?}", same), format!("{:?}", anew));
        }
    }
}
