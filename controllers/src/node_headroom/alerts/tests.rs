//! When conditions begin, end, and stay as they are.

use super::*;

fn figures(second: i64, working_set: i64) -> Figures {
    Figures {
        at: Timestamp::from_secs(1_000_000 + second),
        capacity: 1024 * MIB,
        working_set: Some(working_set * MIB),
        swap: 0,
        swap_used: None,
        pods_swap: false,
        headroom: Some((1024 - 82 - working_set) * MIB),
        state: Some(PressureState::Calm),
    }
}

fn reasons(alerts: &mut Alerts, figures: &Figures, second: u64) -> Vec<&'static str> {
    alerts.look(figures, Mono(second * 1_000_000)).1.iter().map(|news| news.reason).collect()
}

#[test]
fn thrashing_is_told_when_it_begins_and_ends() {
    let mut alerts = Alerts::default();
    let at = |second: i64, state| Figures { state: Some(state), ..figures(second, 500) };
    assert_eq!(reasons(&mut alerts, &at(0, PressureState::Hot), 0), Vec::<&str>::new());
    assert_eq!(reasons(&mut alerts, &at(15, PressureState::Thrash), 15), ["SwapThrashing"]);
    assert_eq!(reasons(&mut alerts, &at(30, PressureState::Thrash), 30), Vec::<&str>::new());
    assert_eq!(reasons(&mut alerts, &at(45, PressureState::Calm), 45), ["SwapThrashingEnded"]);
    // It wavers: nothing more is said within ten minutes, neither of its beginning nor of its end.
    for second in [60_u64, 75, 90] {
        let state = if second == 75 { PressureState::Calm } else { PressureState::Thrash };
        assert_eq!(reasons(&mut alerts, &at(second as i64, state), second), Vec::<&str>::new());
    }
    reasons(&mut alerts, &at(105, PressureState::Calm), 105);
    assert_eq!(reasons(&mut alerts, &at(700, PressureState::Thrash), 700), ["SwapThrashing"]);
    let (verdicts, _) = alerts.look(&at(715, PressureState::Thrash), Mono(715_000_000));
    assert_eq!((verdicts[0].kind, verdicts[0].status), ("SwapThrashing", Status::True));
    assert!(verdicts[0].message.contains("no pod is placed"));
}

#[test]
fn low_headroom_needs_two_samples_and_some_room_to_end() {
    let mut alerts = Alerts::default();
    let mut at = |second: u64, used: i64| {
        let all = reasons(&mut alerts, &figures(second as i64, used), second);
        all.into_iter().filter(|reason| reason.starts_with("Memory")).collect::<Vec<_>>()
    };
    assert_eq!(at(0, 950), Vec::<&str>::new());
    assert_eq!(at(15, 900), Vec::<&str>::new());
    assert_eq!(at(30, 950), Vec::<&str>::new());
    assert_eq!(at(45, 950), ["MemoryHeadroomLow"]);
    assert_eq!(at(60, 930), Vec::<&str>::new(), "12 MiB are less than 2 %");
    assert_eq!(at(75, 900), ["MemoryHeadroomLowEnded"]);
}

#[test]
fn swap_nearly_full() {
    let mut alerts = Alerts::default();
    let mut at = |second: u64, used: i64| {
        let figures = Figures { swap: 1000 * MIB, swap_used: Some(used * MIB), ..figures(second as i64, 500) };
        reasons(&mut alerts, &figures, second)
    };
    assert_eq!(at(0, 899), Vec::<&str>::new());
    assert_eq!(at(15, 900), ["SwapNearlyFull"]);
    assert_eq!(at(30, 800), Vec::<&str>::new());
    assert_eq!(at(45, 799), ["SwapNearlyFullEnded"]);
}

#[test]
fn a_risk_says_when() {
    let mut alerts = Alerts::default();
    let mut told = Vec::new();
    for step in 0..12_i64 {
        // 40 MiB per minute from 700 MiB on.
        let (_, news) = alerts.look(&figures(step * 15, 700 + step * 10), Mono(step as u64 * 15_000_000));
        told.extend(news.into_iter().filter(|n| n.reason.starts_with("OOM")).map(|n| (step, n)));
    }
    let (step, news) = &told[0];
    assert_eq!((told.len(), *step, news.kind), (1, 8, EventType::Warning), "two samples below a quarter");
    assert!(news.note.contains("grows by 40Mi per minute and 244Mi are left"), "{}", news.note);
    assert!(news.note.ends_with("about 7 min"), "{}", news.note);
    // It stops growing.
    let mut ended = Vec::new();
    for step in 12..24_i64 {
        let (_, news) = alerts.look(&figures(step * 15, 800), Mono(step as u64 * 15_000_000));
        ended.extend(news.into_iter().map(|n| n.reason));
    }
    assert_eq!(ended, ["OOMRiskEnded"]);
}

#[test]
fn swap_that_pods_may_use_puts_the_end_off() {
    let mut alerts = Alerts::default();
    for step in 0..12_i64 {
        let growing =
            Figures { swap: 2048 * MIB, swap_used: Some(0), pods_swap: true, ..figures(step * 15, 700 + step * 10) };
        let (verdicts, _) = alerts.look(&growing, Mono(step as u64 * 15_000_000));
        assert_eq!(verdicts[3].status, Status::False);
    }
}

#[test]
fn what_another_process_told_is_not_told_again_and_ends_here() {
    let stands =
        |kind: &str| PublishedCondition { kind: kind.into(), status: Status::True, since: Timestamp::from_secs(5) };
    let published = ["SwapThrashing", "OOMRisk", "Fresh", "SomethingElse"].map(stands);
    let mut alerts = Alerts::resume(&published, figures(-15, 800).at);
    let thrashes = |second| Figures { state: Some(PressureState::Thrash), ..figures(second, 800) };
    for second in [0, 15, 30] {
        let (verdicts, news) = alerts.look(&thrashes(second), Mono(0));
        assert_eq!(news, []);
        assert_eq!(verdicts[3].status, Status::True, "too early to say");
    }
    let calm = figures(45, 800);
    assert_eq!(reasons(&mut alerts, &calm, 45), ["SwapThrashingEnded", "OOMRiskEnded"]);
    // Samples too far apart for any trend: it ends all the same.
    let mut slow = Alerts::resume(&published, figures(-15, 800).at);
    let ended = (0..4).flat_map(|i| reasons(&mut slow, &thrashes(i * 1000), i as u64)).collect::<Vec<_>>();
    assert_eq!(ended, ["OOMRiskEnded"]);
}

#[test]
fn odd_times_and_sizes_do_no_harm() {
    let mut alerts = Alerts::default();
    for (second, used) in [(0, 0), (0, i64::MAX), (i64::MIN / 4_000_000, -5), (i64::MAX / 4_000_000, 7), (3, 1)] {
        let odd = Figures {
            at: Timestamp(second),
            working_set: Some(used),
            headroom: Some(i64::MIN),
            swap: i64::MAX,
            swap_used: Some(used),
            pods_swap: true,
            ..figures(0, 0)
        };
        alerts.look(&odd, Mono(0));
        alerts.look(&Figures::default(), Mono(0));
    }
}

fn statuses(verdicts: &[Verdict]) -> Vec<(&'static str, Status, &'static str)> {
    verdicts.iter().map(|v| (v.kind, v.status, v.reason)).collect()
}

#[test]
fn what_a_sample_does_not_say_ends_nothing() {
    let mut alerts = Alerts::default();
    let full = |second: i64| Figures {
        swap: 1000 * MIB,
        swap_used: Some(950 * MIB),
        state: Some(PressureState::Thrash),
        ..figures(second, 1000)
    };
    let mut told = reasons(&mut alerts, &full(0), 0);
    told.extend(reasons(&mut alerts, &full(15), 15));
    assert_eq!(told, ["SwapThrashing", "SwapNearlyFull", "MemoryHeadroomLow"]);
    // RAM alone, and then not even that.
    let blind = |second: i64, working_set: Option<i64>| Figures {
        working_set,
        swap_used: None,
        headroom: None,
        state: None,
        ..full(second)
    };
    for (second, working_set) in [(30_i64, Some(500 * MIB)), (45, None), (615, None)] {
        let (verdicts, news) = alerts.look(&blind(second, working_set), Mono(second.unsigned_abs() * 1_000_000));
        assert_eq!(news, [], "{second}");
        for (verdict, kind) in verdicts.iter().zip(["SwapThrashing", "MemoryHeadroomLow", "SwapNearlyFull"]) {
            assert_eq!((verdict.kind, verdict.status, verdict.reason), (kind, Status::True, kind), "{second}");
        }
        assert!(verdicts[2].message.starts_with("950Mi of 1000Mi swap are in use"), "{}", verdicts[2].message);
    }
    // After ten minutes nobody knows.
    let (verdicts, news) = alerts.look(&blind(616, None), Mono(616_000_000));
    assert_eq!(news, []);
    let mut expected = ALERTS.map(|kind| (kind, Status::Unknown, NO_SAMPLE));
    expected[3] = ("OOMRisk", Status::False, AS_EXPECTED);
    assert_eq!(statuses(&verdicts), expected, "of a risk the sample at 30 said something");
    assert!(verdicts[0].message.ends_with("when it was so"), "{}", verdicts[0].message);
    assert_eq!(statuses(&alerts.stand(figures(700, 0).at))[3], ("OOMRisk", Status::Unknown, NO_SAMPLE));
    // What is measured again ends with what was measured.
    let (_, news) = alerts.look(&Figures { swap: 1000 * MIB, swap_used: Some(10 * MIB), ..figures(700, 500) }, Mono(0));
    let notes: Vec<&str> = news.iter().map(|n| n.note.as_str()).collect();
    assert_eq!(notes, ["the node is Calm again", "442Mi of memory are left", "10Mi of 1000Mi swap are in use"]);
}

#[test]
fn swap_that_is_gone_is_not_full() {
    let mut alerts = Alerts::default();
    let swap = |second, swap: i64| Figures { swap, swap_used: Some(swap), ..figures(second, 500) };
    assert_eq!(reasons(&mut alerts, &swap(0, 1000 * MIB), 0), ["SwapNearlyFull"]);
    let (verdicts, news) = alerts.look(&swap(15, 0), Mono(15_000_000));
    assert_eq!((verdicts[2].status, news[0].note.as_str()), (Status::False, "there is no swap any more"));
}

#[test]
fn a_node_of_which_nothing_was_ever_known_is_not_as_expected() {
    let blind = Figures { headroom: None, working_set: None, state: None, ..figures(0, 0) };
    let (verdicts, _) = Alerts::default().look(&blind, Mono(0));
    assert_eq!(statuses(&verdicts), ALERTS.map(|kind| (kind, Status::Unknown, NO_SAMPLE)));
    // Nor is one that another process did not know either.
    let unknown =
        PublishedCondition { kind: "OOMRisk".into(), status: Status::Unknown, since: Timestamp::from_secs(5) };
    let alerts = Alerts::resume(&[unknown], blind.at);
    assert_eq!(alerts.stand(blind.at)[3].status, Status::Unknown);
    assert!(outdated(blind.at, figures(601, 0).at) && !outdated(blind.at, figures(600, 0).at));
}

#[test]
fn swap_that_is_not_measured_any_more_is_no_trend() {
    let mut alerts = Alerts::default();
    let mut told = Vec::new();
    let mut see = |alerts: &mut Alerts, step: i64, used: i64, swap_used: Option<i64>| {
        let at = Figures { swap: 2048 * MIB, swap_used, pods_swap: true, ..figures(step * 15, used) };
        let (verdicts, news) = alerts.look(&at, Mono(step.unsigned_abs() * 15_000_000));
        told.extend(news.into_iter().filter(|n| n.reason.starts_with("OOM")));
        verdicts[3].status
    };
    // 2 GiB of swap that are not seen any more are no growth of what is in use.
    for step in 0..8 {
        assert_eq!(see(&mut alerts, step, 800, Some(0)), Status::False);
    }
    for step in 8..16 {
        assert_eq!(see(&mut alerts, step, 800, None), Status::False, "{step}");
    }
    // Growth is.
    let mut last = Status::False;
    for step in 16..24 {
        last = see(&mut alerts, step, 800 + (step - 15) * 10, None);
    }
    assert_eq!(last, Status::True);
    // A risk holds until there are samples enough of RAM and swap together.
    for step in 24..27 {
        assert_eq!(see(&mut alerts, step, 880, Some(0)), Status::True, "{step}");
    }
    assert_eq!(see(&mut alerts, 27, 880, Some(0)), Status::False);
    assert_eq!(told.iter().map(|n| n.reason).collect::<Vec<_>>(), ["OOMRisk", "OOMRiskEnded"]);
    assert!(told[0].note.ends_with("unless there is room in swap, which is not measured"), "{}", told[0].note);
}
