//! The example cases of memory-and-swap.md part 6 (and the tables of 5.11), each under its identifier. Numbers are MiB.

use super::{
    pressure::{self, EscapeNode, PsiLine, Reading},
    swap::SwapNode,
    *,
};
use crate::time::Timestamp;

pub(super) const NOW: Timestamp = Timestamp(1_800_000_000_000_000);

fn mib(x: f64) -> i64 {
    rounded(x * MIB as f64)
}

/// A node of the examples: Node, sample and sums, to be changed per case.
#[derive(Clone)]
struct Case {
    name: &'static str,
    node: NodeMemory,
    sample: Option<Sample>,
    others: i64,
    growth: i64,
    demand: i64,
    age: i64,
    context: Context,
}

/// `W` and `U` in MiB; `U` below 0 = unknown.
fn node(name: &'static str, capacity: i64, used: i64, swap: i64, swapped: i64, others: i64) -> Case {
    let behavior = if swap > 0 { SwapBehavior::LimitedSwap } else { SwapBehavior::NoSwap };
    Case {
        name,
        node: NodeMemory {
            capacity: capacity * MIB,
            allocatable: capacity * MIB,
            swap: swap * MIB,
            behavior,
            ..NodeMemory::default()
        },
        sample: Some(Sample {
            working_set: Some(used * MIB),
            swap_used: (swapped >= 0).then_some(swapped * MIB),
            psi: Some(Psi::default()),
            ..Sample::default()
        }),
        others: others * MIB,
        growth: 0,
        demand: 0,
        age: 0,
        context: Context::default(),
    }
}

fn n1() -> Case {
    node("n1", 1024, 620, 2048, 300, 200).stall(0.2, 0.2)
}

/// Runs one reading through the state machine, as the collector would.
impl Case {
    fn change(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn sampled(mut self, change: impl FnOnce(&mut Sample)) -> Self {
        change(self.sample.as_mut().unwrap());
        self
    }

    fn stall(self, some60: f64, some10: f64) -> Self {
        let psi = Psi { some10, some60, ..Psi::default() };
        let state =
            Pressure::default().step(&Reading { at: NOW, psi: Some(psi), ..Reading::default() }, &Params::default());
        self.sampled(|sample| {
            sample.psi = Some(psi);
            sample.state = state.state;
        })
    }

    fn used(self, working_set: i64) -> Self {
        self.sampled(|sample| sample.working_set = Some(working_set * MIB))
    }

    fn swapped(self, swap_used: i64) -> Self {
        self.sampled(|sample| sample.swap_used = Some(swap_used * MIB))
    }

    fn state(&self) -> NodeState {
        let mut sums = NodeSums::default();
        sums.add(&Contribution {
            growth: self.growth * MIB,
            accessible: self.others,
            demand: self.demand * MIB,
            in_flight: false,
        });
        let sample = self.sample.map(|sample| Sample { at: Timestamp(NOW.0 - self.age * 1_000_000), ..sample });
        NodeState::new(&self.node, sample.as_ref(), &sums, NOW, &Params::default())
    }

    fn judge(&self, pod: &Candidate) -> NodeVerdict {
        judge(pod, &self.state(), &self.context, &Params::default())
    }

    /// `Ok(score)` as the only candidate, or the rule that rejected.
    fn outcome(&self, pod: &Candidate) -> Result<i64, &'static str> {
        let verdict = self.judge(pod);
        if verdict.rejected {
            return Err(verdict.rule.as_str());
        }
        let raw = score::raw(pod, &self.state(), &verdict, &Params::default());
        Ok(raw.finish(score::x_max([raw.x])))
    }
}

fn container(request: i64, limit: i64) -> ContainerMemory {
    let given = |mib: i64| (mib > 0).then_some(mib * MIB);
    ContainerMemory { kind: ContainerKind::App, request: given(request), limit: given(limit) }
}

fn qos(containers: &[ContainerMemory]) -> Qos {
    if containers.iter().all(|c| c.request.is_none() && c.limit.is_none()) {
        Qos::BestEffort
    } else if containers.iter().all(|c| c.limit.is_some() && c.request == c.limit) {
        Qos::Guaranteed
    } else {
        Qos::Burstable
    }
}

fn pod(containers: &[ContainerMemory]) -> PodMemory<'_> {
    PodMemory { containers, qos: qos(containers), ..PodMemory::default() }
}

fn seen(peak: i64) -> History {
    History { peak: peak * MIB, samples: 3, first_observed: NOW, observed: NOW }
}

fn candidate(pod: &PodMemory<'_>, peak: Option<i64>) -> Candidate {
    Candidate::new(pod, |_| peak.map(seen), 128 * MIB, NOW, &Params::default())
}

fn simple(request: i64, limit: i64) -> Candidate {
    candidate(&pod(&[container(request, limit)]), None)
}

fn web() -> Candidate {
    simple(64, 256)
}
fn big() -> Candidate {
    simple(256, 768)
}
fn huge() -> Candidate {
    simple(256, 1024)
}
fn be() -> Candidate {
    simple(0, 0)
}
fn beh(peak: i64) -> Candidate {
    candidate(&pod(&[container(0, 0)]), Some(peak))
}
fn g300() -> Candidate {
    simple(300, 300)
}

fn limit(pod: &PodMemory<'_>, capacity: i64, swap: i64, behavior: SwapBehavior) -> i64 {
    let node = SwapNode { behavior, memory: capacity, swap, usable_swap: swap / 10 * 8 };
    swap::pod_limit(swap::eligible_requests(pod), &node)
}

#[test]
fn swap_limits_l1_to_l10() {
    let on = |request, bound| {
        limit(&pod(&[container(request, bound)]), 1024 * MIB, 2048 * MIB, SwapBehavior::LimitedSwap) / MIB
    };
    assert_eq!(on(64, 256), 128, "L1");
    assert_eq!(on(256, 768), 512, "L2");
    assert_eq!(on(64, 0), 128, "L3");
    assert_eq!(on(0, 0), 0, "L5 BestEffort");
    assert_eq!(on(300, 300), 0, "L5 Guaranteed");
    let bare = [container(0, 0)];
    let cpu_only = PodMemory { qos: Qos::Burstable, ..pod(&bare) };
    assert_eq!(limit(&cpu_only, 1024 * MIB, 2048 * MIB, SwapBehavior::LimitedSwap), 0, "L5 CPU only");
    assert_eq!(on(2000, 3000), 0, "L6");
    let small = [container(64, 256)];
    let critical = PodMemory { priority: 2_000_000_000, ..pod(&small) };
    let mirror = PodMemory { static_pod: true, ..pod(&small) };
    let high = PodMemory { priority: 1_000_000, ..pod(&small) };
    for (pod, want) in [(critical, 0), (mirror, 0), (high, 128 * MIB)] {
        assert_eq!(limit(&pod, 1024 * MIB, 2048 * MIB, SwapBehavior::LimitedSwap), want, "L7");
    }
    assert_eq!(swap::container_limit(104_857_600, 1_035_468_800, 2_147_479_453), 217_466_273, "L9");
    for behavior in [SwapBehavior::NoSwap, SwapBehavior::Unknown] {
        assert_eq!(limit(&pod(&small), 1024 * MIB, 2048 * MIB, behavior), 0, "L10");
    }
    // The measured node of 1.4, before the kernel rounds down to pages.
    let measured = swap::container_limit(64 * MIB, 1_047_502_848, 2_147_479_552);
    assert_eq!(measured / 4096 * 4096, 137_576_448);
}

#[test]
fn swap_limits_l11_l13_l14() {
    assert_eq!(swap::detect(None, Some(None), 2048 * MIB, []), SwapBehavior::NoSwap, "L11");
    // L13: U is unknown, the rest of the sample is used.
    assert_eq!(swap::used(18_446_743_709_127_774_000, 2048 * MIB), None, "L13");
    let odd = n1().sampled(|sample| sample.swap_used = Some(i64::MAX)).stall(6.0, 6.0);
    let state = odd.state();
    assert_eq!((state.sample, state.swap_used, state.swap_fraction()), (Staleness::Fresh, None, None), "L13");
    assert_eq!(odd.judge(&web()).accessible_swap, 0, "L13");
    // X = 162.08: 66.33 less 20 for the stall; 45 if swap counted.
    assert_eq!(odd.outcome(&web()), Ok(46), "L13");
    assert_eq!(node::swap_capacity(None, Some(1024 * MIB + 1024 * MIB)), 2048 * MIB, "L14");
}

#[test]
fn demand_e1_to_e12() {
    let d = |containers: &[ContainerMemory], peak: Option<i64>| candidate(&pod(containers), peak).demand.total / MIB;
    assert_eq!(d(&[container(0, 0)], None), 128, "E1");
    let bare = [container(0, 0)];
    let hinted = PodMemory { hint: Some(700 * MIB), ..pod(&bare) };
    assert_eq!(candidate(&hinted, None).demand.total, 700 * MIB, "E1 hint");
    assert_eq!(d(&[container(64, 256)], None), 160, "E3");
    assert_eq!(d(&[container(300, 300)], Some(50)), 300, "E4");
    assert_eq!(d(&[container(0, 0)], Some(300)), 345, "E5");
    assert_eq!(d(&[container(0, 0)], Some(60)), 76, "E5");
    let floor = candidate(&pod(&[container(512, 1024)]), Some(100)).demand;
    assert_eq!((floor.total / MIB, floor.source), (512, DemandSource::Request), "E7");
    assert_eq!(d(&[container(64, 256), container(0, 0)], None), 288, "E8");
    let init = ContainerMemory { kind: ContainerKind::Init, ..container(500, 0) };
    assert_eq!(d(&[init, container(64, 256)], None), 600, "E12");
}

#[test]
fn demand_e9_and_e11_learn() {
    let params = Params::default();
    let sample = |footprint: i64, at| peak::Observation { footprint: footprint * MIB, at, started: None };
    let bare = [container(0, 0)];
    let demand = |learned: History| {
        demand(&pod(&bare), |_| Some(History { samples: 3, ..learned }), 128 * MIB, NOW, &params).total / MIB
    };
    let swapped = History::observe(None, &sample(30 + 250, NOW), &params);
    assert_eq!((swapped.peak / MIB, demand(swapped)), (280, 322), "E9");
    let yesterday = Timestamp(NOW.0 - 86_400 * 1_000_000);
    let old = History::observe(None, &sample(400, yesterday), &params);
    let new = History::observe(Some(old), &sample(150, NOW), &params);
    assert_eq!((new.peak / MIB, demand(new)), (200, 230), "E11");
}

#[test]
fn filter_f1_to_f13() {
    let verdict = n1().judge(&web());
    assert_eq!(verdict.headroom, 1024 * MIB - 620 * MIB - rounded_up(81.92 * MIB as f64), "F1");
    assert_eq!((verdict.pod_swap_limit / MIB, verdict.accessible_swap / MIB), (128, 328), "F1");
    assert_eq!((verdict.fits, verdict.rule), (Some(Fits::Ram), Rule::RamAndSwap), "F1");
    assert_eq!(n1().outcome(&web()), Ok(68), "F1");
    assert_eq!(n1().outcome(&huge()), Err("hot-set"), "F3");
    let verdict = n1().judge(&be());
    assert_eq!((verdict.accessible_swap, verdict.rule), (0, Rule::Ram), "F4");
    assert_eq!(n1().outcome(&be()), Ok(68), "F4");
    assert_eq!(n1().outcome(&beh(300)), Err("ram"), "F5");
    let unserved = n1().change(|case| case.node.behavior = SwapBehavior::NoSwap);
    assert_eq!(unserved.outcome(&big()), Err("ram"), "F7");
    assert_eq!(n1().swapped(1600).judge(&big()).accessible_swap, mib(38.4), "F8");
    assert_eq!(n1().swapped(1600).outcome(&big()), Err("ram+swap"), "F8");
    assert_eq!(n1().swapped(1700).outcome(&big()), Err("ram"), "F9");
    let mixed = candidate(&pod(&[container(128, 128), container(64, 256)]), None);
    assert_eq!((mixed.demand.total / MIB, mixed.demand.fixed / MIB), (288, 128), "F11");
    assert_eq!(n1().outcome(&mixed), Ok(64), "F11");
    let bare = [container(0, 0)];
    let cpu_only = PodMemory { qos: Qos::Burstable, ..pod(&bare) };
    assert_eq!(n1().outcome(&candidate(&cpu_only, Some(300))), Err("ram"), "F12");
    assert_eq!(n1().change(|case| case.growth = 256).outcome(&web()), Err("hot-set"), "F13");
}

#[test]
fn filter_f15_to_f19_pressure() {
    assert_eq!(n1().stall(12.0, 4.0).state().state, PressureState::Elevated, "F15");
    assert_eq!(n1().stall(12.0, 4.0).outcome(&web()), Ok(22), "F15");
    let through = |readings: &[Reading]| {
        let params = Params::default();
        let end = readings.iter().fold(Pressure::default(), |pressure, reading| pressure.step(reading, &params));
        n1().sampled(|sample| sample.state = end.state)
    };
    let full = Psi { some10: 12.0, some60: 12.0, full10: 12.0, full60: 12.0 };
    let thrashing = through(&[Reading { at: NOW, psi: Some(full), ..Reading::default() }]);
    assert_eq!(thrashing.outcome(&be()), Err("pressure"), "F16");
    assert_eq!(thrashing.judge(&be()).reason(), Some("node(s) were thrashing"), "F16");
    assert_eq!(n1().stall(12.0, 12.0).judge(&be()).reason(), Some("node(s) were under memory pressure"), "hot");
    let paging = |seconds: i64, swap_in: f64| Reading {
        at: Timestamp(NOW.0 + seconds * 1_000_000),
        psi: Some(Psi { some10: 0.2, some60: 0.2, ..Psi::default() }),
        swap_in: Some(swap_in),
        swap_out: Some(1500.0),
        ..Reading::default()
    };
    let both = through(&[paging(0, 1500.0), paging(15, 1500.0), paging(30, 1500.0)]);
    assert_eq!(both.outcome(&be()), Err("pressure"), "F17");
    let out = through(&[paging(0, 10.0), paging(15, 10.0), paging(30, 10.0)]);
    assert_eq!(out.outcome(&be()), Ok(68), "F17");
    // F19: what a kernel without PSI reports is left out, and the faults count.
    let zero = PsiLine::default();
    let psi = pressure::known_psi(Some(&zero), Some(&zero), 3600, Some(300 * MIB), Some(30.0));
    let unknown = n1().sampled(|sample| {
        sample.psi = psi;
        sample.major_faults = Some(30.0);
    });
    let absent = n1().sampled(|sample| {
        sample.psi = None;
        sample.major_faults = Some(30.0);
    });
    assert_eq!(unknown.state(), absent.state(), "F19");
    assert_eq!(unknown.state().some60, Some(1.2), "F19");
}

#[test]
fn filter_f20_to_f24() {
    let evict = |case: Case, eviction: i64| case.change(|case| case.node.eviction = eviction * MIB);
    let verdict = evict(n1(), 100).judge(&web());
    assert_eq!((verdict.floor / MIB, verdict.headroom / MIB), (132, 272), "F20");
    assert_eq!(evict(n1(), 100).outcome(&web()), Ok(66), "F20");
    let tight = evict(n1().used(740), 100);
    assert_eq!((tight.judge(&web()).headroom / MIB, tight.judge(&web()).fits), (152, Some(Fits::Swap)), "F21");
    assert_eq!(tight.outcome(&web()), Ok(19), "F21");
    let loose = n1().used(740);
    assert_eq!((loose.judge(&web()).fits, loose.outcome(&web())), (Some(Fits::Ram), Ok(63)), "F21");
    let sized = [container(256, 768)];
    let never = candidate(&PodMemory { swap_never: true, ..pod(&sized) }, None);
    assert_eq!(n1().outcome(&never), Err("ram"), "F23");
    assert_eq!(n1().judge(&never).pod_swap_limit, 512 * MIB, "F23: the kubelet gives it all the same");
    // F24
    let hot = n1().stall(12.0, 12.0);
    assert_eq!(hot.outcome(&web()), Err("pressure"), "F24");
    let old = Some(Timestamp(NOW.0 - 300 * 1_000_000));
    let seen = |name, state, some60| EscapeNode { name, state, since: old, some60, fits_ram: true };
    let opened = pressure::escape(
        [
            seen("thrash", PressureState::Thrash, Some(11.0)),
            seen("n1", PressureState::Hot, Some(12.0)),
            seen("n2", PressureState::Hot, Some(13.0)),
        ],
        old,
        NOW,
        &Params::default(),
    );
    assert_eq!(opened, Some("n1"), "F24");
    let open = hot.change(|case| case.context.escape = true);
    assert_eq!(open.judge(&web()).rule, Rule::Ram, "F24: RAM fit only");
    assert!(open.outcome(&web()).is_ok(), "F24");
    assert_eq!(open.outcome(&big()), Err("ram"), "F24");
}

fn tracked(reserved: i64, demand: i64, usage: Option<(i64, i64)>, phase: Phase) -> TrackedPod {
    TrackedPod {
        reserved: reserved * MIB,
        demand: demand * MIB,
        usage: usage.map(|(w, u)| PodUsage { working_set: w * MIB, swap: Some(u * MIB), swap_available: None }),
        phase,
        ..TrackedPod::default()
    }
}

fn growth(pods: &[TrackedPod]) -> i64 {
    NodeSums::of(pods, 0).growth() / MIB
}

#[test]
fn herd_g1_to_g9() {
    assert_eq!(growth(&[tracked(0, 128, None, Phase::InFlight); 5]), 640, "G1");
    assert_eq!(growth(&[tracked(0, 128, Some((30, 60)), Phase::Warming)]), 38, "G3");
    assert_eq!(growth(&[tracked(64, 160, Some((40, 0)), Phase::Settled)]), 24, "G4");
    assert_eq!(growth(&[tracked(64, 160, Some((200, 0)), Phase::Settled)]), 0, "G4");
    assert_eq!(growth(&[tracked(0, 128, Some((40, 0)), Phase::Settled)]), 0, "G5");
    let started = Timestamp(NOW.0 - 3600 * 1_000_000);
    assert_eq!(node::phase(Some(started), true, NOW, &Params::default()), Phase::Settled, "G7");
    // G9: what it holds stays in W, which nobody credits.
    let mut leaving = tracked(0, 128, Some((200, 0)), Phase::Settled);
    leaving.terminating = true;
    let sums = NodeSums::of([&leaving], 0);
    assert_eq!((sums.growth(), sums.freed_working_set()), (0, 0), "G9");
}

#[test]
fn herd_g8_eleven_on_three() {
    let params = Params::default();
    let mut cases = ["a", "b", "c"].map(|name| (node(name, 1024, 500, 0, -1, 0), NodeSums::default()));
    let pod = be();
    let mut places = String::new();
    let mut scores = Vec::new();
    for _ in 0..11 {
        let states = cases.each_ref().map(|(case, sums)| {
            let sample = case.sample.map(|sample| Sample { at: NOW, ..sample });
            let state = NodeState::new(&case.node, sample.as_ref(), sums, NOW, &params);
            (judge(&pod, &state, &Context::default(), &params), state)
        });
        let raws = states.map(|(verdict, state)| (verdict, state, score::raw(&pod, &state, &verdict, &params)));
        let x_max = score::x_max(raws.iter().filter(|raw| !raw.0.rejected).map(|raw| raw.2.x));
        let best = (0..3)
            .filter(|&i| !raws[i].0.rejected)
            .max_by_key(|&i| (raws[i].2.finish(x_max), TieKey::new(&raws[i].1, &raws[i].0), std::cmp::Reverse(i)));
        let Some(best) = best else {
            places.push('-');
            assert!(raws.iter().all(|raw| raw.0.rule == Rule::Ram));
            continue;
        };
        scores.push(raws[best].2.finish(x_max));
        places.push_str(cases[best].0.name);
        cases[best].1.add(&tracked(0, 128, None, Phase::InFlight).contribution(0));
    }
    assert_eq!(places, "abcabcabc--", "G8");
    assert_eq!(scores, [72, 72, 72, 67, 67, 67, 62, 62, 62], "G8");
}

#[test]
fn staleness_s2_to_s8() {
    let aged = |case: Case, age: i64, demand: i64| {
        case.change(|case| {
            case.age = age;
            case.demand = demand;
        })
    };
    let s2 = aged(n1(), 181, 450);
    let verdict = s2.judge(&web());
    assert!((verdict.headroom - mib(168.48)).abs() <= 3, "S2");
    assert_eq!((verdict.accessible_swap, verdict.sample), (0, Staleness::Stale), "S2");
    assert!((s2.state().estimated_headroom - mib(236.08)).abs() <= 3, "S2");
    assert_eq!(s2.outcome(&web()), Ok(30), "S2");
    let s3 = aged(n1(), 0, 200).change(|case| case.sample = None);
    assert!((s3.judge(&web()).headroom - mib(486.08)).abs() <= 3, "S3");
    assert_eq!((s3.outcome(&web()), s3.judge(&web()).sample), (Ok(36), Staleness::None), "S3");
    let s4 = aged(n1().used(900), 600, 200);
    assert!(s4.judge(&web()).headroom < 0, "S4");
    assert_eq!(s4.outcome(&web()), Err("ram"), "S4");
    let s6 = aged(n1().used(300), 600, 100);
    assert!((s6.judge(&big()).headroom - mib(488.48)).abs() <= 3, "S6");
    assert!((s6.state().estimated_headroom - mib(586.08)).abs() <= 3, "S6");
    assert_eq!(s6.outcome(&big()), Err("ram"), "S6");
    // S7: with every node stale nothing is refused, not even by a hot one.
    let s7 = aged(n1().stall(20.0, 20.0), 400, 2000).change(|case| case.context.cluster.degraded = true);
    assert_eq!((s7.outcome(&web()), s7.judge(&web()).rule), (Ok(0), Rule::Degraded), "S7");
    let s8 = n1().sampled(|sample| {
        sample.swap_used = None;
        sample.psi = None;
    });
    let raw = score::raw(&web(), &s8.state(), &s8.judge(&web()), &Params::default());
    assert_eq!((s8.judge(&web()).accessible_swap, raw.finish(raw.x)), (0, 66), "S8");
}

#[test]
fn aging_table_of_5_11() {
    let headroom = |age: i64, demand: i64| {
        let case = node("n", 1024, 500, 0, -1, 0).change(|case| {
            case.age = age;
            case.demand = demand;
        });
        case.state().headroom
    };
    for (age, want) in [(0, 442.08), (45, 442.08), (60, 429.28), (105, 390.88), (180, 326.88)] {
        assert!((headroom(age, 0) - mib(want)).abs() <= 3, "{age}");
    }
    assert!((headroom(181, 450) - mib(236.08)).abs() <= 3);
    // Beyond an hour the last sample no longer counts.
    assert!((headroom(3601, 100) - mib(586.08)).abs() <= 3);
    assert!((headroom(-6, 100) - mib(586.08)).abs() <= 3, "six seconds in the future");
    assert!((headroom(-5, 100) - mib(442.08)).abs() <= 3, "five are tolerated");
}

#[test]
fn control_plane_p1_to_p9() {
    let server =
        |capacity: i64, used: i64| node("server", capacity, used, 0, -1, 0).change(|case| case.node.protected = true);
    assert_eq!(server(2048, 1450).outcome(&be()), Err("cp-reserve"), "P1");
    assert_eq!(server(4096, 1700).outcome(&be()), Ok(79), "P2");
    assert_eq!(server(4096, 1700).stall(1.5, 1.5).outcome(&be()), Err("cp-psi"), "P4");
    assert_eq!(server(4096, 3000).outcome(&be()), Err("cp-reserve"), "P5");
    assert_eq!(server(4096, 1700).outcome(&simple(512, 512)), Err("cp-podcap"), "P6");
    assert_eq!(
        server(4096, 1700).judge(&simple(512, 512)).reason(),
        Some("node(s) were protected control plane"),
        "P6"
    );
    let swapping = n1().change(|case| {
        case.node.protected = true;
        case.node.capacity = 4096 * MIB;
    });
    assert_eq!(swapping.outcome(&be()), Err("cp-swap"));
    assert_eq!(swapping.clone().swapped(100).judge(&web()).accessible_swap, 0);
    // P8: the only node. H = 2048-1200-163.84, less the floor once more.
    let only = |used: i64| server(2048, used).change(|case| case.context.cluster.soft = true);
    let verdict = only(1200).judge(&g300());
    assert!((verdict.headroom - mib(2048.0 - 1200.0 - 2.0 * 163.84)).abs() <= 3, "P8");
    assert_eq!((verdict.rejected, verdict.rule), (false, Rule::Ram), "P8");
    assert_eq!(only(1600).outcome(&be()), Err("ram"), "P8");
    assert_eq!(only(1200).stall(20.0, 20.0).outcome(&be()), Err("pressure"), "P8");
    let bare = [container(0, 0)];
    let opted_out = candidate(&PodMemory { allow_protected: true, ..pod(&bare) }, None);
    assert!(only(1600).outcome(&opted_out).is_ok(), "P8: one floor for who opted out");
    assert!(server(2048, 1450).outcome(&opted_out).is_ok());
    let critical = PodMemory { priority: 2_000_000_000, ..pod(&bare) };
    let coredns = candidate(&critical, None);
    assert_eq!(server(2048, 1450).judge(&coredns).rule, Rule::Exempt, "P9");
    assert!(server(2048, 1450).outcome(&coredns).is_ok(), "P9");
    assert_eq!(server(2048, 2000).outcome(&coredns), Ok(0), "P9: an exempt pod that does not fit scores 0");
    let params = Params { exempt_critical_pods: false, ..Params::default() };
    assert!(!critical.exempt(&params) && PodMemory { daemon_set: true, ..critical }.exempt(&params));
}

/// The nodes of 5.11.
fn four() -> [Case; 4] {
    [
        Case { name: "A", ..n1() },
        node("B", 2048, 1500, 2048, 900, 300),
        node("C", 2048, 1300, 2048, 900, 300).stall(8.0, 6.0),
        node("D", 2048, 1200, 0, -1, 0),
    ]
}

fn ranking(cases: &[Case], pod: &Candidate) -> String {
    let params = Params::default();
    let raws: Vec<_> = cases
        .iter()
        .filter_map(|case| {
            let (state, verdict) = (case.state(), case.judge(pod));
            (!verdict.rejected).then(|| (case.name, score::raw(pod, &state, &verdict, &params)))
        })
        .collect();
    let x_max = score::x_max(raws.iter().map(|raw| raw.1.x));
    raws.iter().map(|(name, raw)| format!("{name}{}", raw.finish(x_max))).collect::<Vec<_>>().join(" ")
}

#[test]
fn ranking_k1_k3_and_the_table() {
    assert_eq!(ranking(&four(), &web()), "A43 B45 C32 D70", "K1");
    assert_eq!(ranking(&four(), &beh(300)), "B25 C20 D67", "K3");
    assert_eq!(ranking(&four(), &big()), "A9 B11 C32 D58");
    assert_eq!(ranking(&four(), &be()), "A41 B43 C29 D71");
    assert_eq!(ranking(&four(), &g300()), "A23 B30 C23 D68");
    assert_eq!(ranking(&four()[..3], &web()), "A45 B48 C37");
}

#[test]
fn ranking_k4_k5_cold_swap_costs_nothing() {
    let one = |swapped: i64| node("n", 2048, 1300, 2048, swapped, 300);
    assert_eq!(one(1200).outcome(&web()), Ok(69), "K4");
    assert_eq!(one(0).outcome(&web()), Ok(69), "K4");
    assert_eq!(one(300).stall(6.0, 6.0).outcome(&web()), Ok(48), "K5");
}

#[test]
fn limit_range_effect() {
    let case = node("n", 1024, 640, 2048, 300, 100);
    assert_eq!(case.outcome(&beh(320)), Err("ram"));
    let verdict = case.judge(&candidate(&pod(&[container(32, 0)]), Some(320)));
    assert_eq!((verdict.accessible_swap / MIB, verdict.fits), (164, Some(Fits::Swap)));
}

#[test]
fn advice_only_scores_zero() {
    let advised = n1().change(|case| case.context.enforcement = Enforcement::Score);
    assert_eq!((advised.outcome(&huge()), advised.judge(&huge()).rule), (Ok(0), Rule::HotSet));
    assert_eq!(advised.outcome(&web()), Ok(68));
}

#[test]
fn zram_and_hard_disks() {
    let zram = n1().change(|case| case.node.media = SwapMedia::Zram).state();
    assert_eq!((zram.swap.usable_swap, zram.pod_swap_limit(&[64 * MIB])), (mib(819.2), 128 * MIB));
    assert!((zram.swap_fraction().unwrap() - 300.0 / 1024.0).abs() < 1e-9);
    let hdd = n1().change(|case| case.node.media = SwapMedia::Hdd);
    // 0.85 * 512 > 322.08
    assert_eq!(hdd.outcome(&big()), Err("hot-set"));
}
