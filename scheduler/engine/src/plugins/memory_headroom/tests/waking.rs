//! Who is tried again when, and the way out when every node is hot.

use super::*;
use crate::{Mode, simulator::Simulator};

fn worker(name: &str) -> NodeBuilder {
    node(name).capacity("4", "1Gi", 110).swap("2Gi")
}

fn hinted(name: &str, hint: &str) -> PodBuilder {
    pod(name).annotation("headroom.dev/memory-hint", hint)
}

/// A sample with so many MiB in use.
fn used(name: &str, mib: i64) -> NodeHeadroom {
    let mut this = s1(name);
    this.sample = this.sample.map(|s| Sample { working_set: Some(mib * MIB), ..s });
    this
}

/// A sample of a node that has been hot for long, with this stall.
fn hot(name: &str, some60: f64) -> NodeHeadroom {
    let since = Timestamp::from_secs(now().wall.secs() - 400);
    let psi = Psi { some10: some60, some60, ..Psi::default() };
    let mut this = s1(name);
    this.sample =
        this.sample.map(|s| Sample { state: PressureState::Hot, state_since: Some(since), psi: Some(psi), ..s });
    this
}

/// Time passes, and all nodes are measured every 15 seconds with the same result.
fn pass(s: &mut Simulator, seconds: u32, samples: &[NodeHeadroom]) {
    for _ in 0..seconds / 15 {
        s.advance(15);
        for one in samples {
            let mut one = one.clone();
            one.sample = one.sample.map(|x| Sample { at: s.now.wall, ..x });
            s.sample(one);
        }
        s.run();
    }
}

#[test]
fn news_of_a_node_is_for_those_who_fit_there() {
    let c = cache(vec![worker("n1"), worker("n2")], vec![s1("n1"), used("n2", 100)]);
    let plugin = MemoryHeadroom::from_args(None).unwrap();
    let hint = |name: &str, p: PodBuilder| {
        plugin.hint(&Change::NodeHeadroom { node: name.into() }, &PodInfo::new(p.arc()), &View::new(&c, now()))
    };
    assert_eq!(hint("n1", hinted("p", "300Mi")), Hint::Queue);
    assert_eq!(hint("n1", hinted("p", "400Mi")), Hint::Skip, "however much n2 has");
    assert_eq!(hint("n2", hinted("p", "400Mi")), Hint::Queue);
    assert_eq!(hint("n2", hinted("p", "900Mi")), Hint::Skip);
}

#[test]
fn more_headroom_wakes_whom_it_lets_in_and_nobody_else() {
    let mut s = Simulator::new(Mode::Primary);
    s.node(worker("n1").build());
    s.sample(s1("n1"));
    s.pod(hinted("hungry", "400Mi").build());
    s.pod(hinted("huge", "900Mi").build());
    s.pod(pod("wide").requests("8", "").build());
    s.run();
    let tries = |s: &Simulator, name: &str| {
        let uid = format!("uid-{name}");
        s.decisions.iter().filter(|d| d.uid == *uid.as_str()).count()
    };
    let all = |s: &Simulator| ["hungry", "huge", "wide"].map(|name| tries(s, name));
    assert_eq!(all(&s), [1, 1, 1]);
    assert!(
        s.message("uid-hungry").contains("1 node(s) had too little memory headroom"),
        "{}",
        s.message("uid-hungry")
    );
    pass(&mut s, 30, &[s1("n1")]);
    pass(&mut s, 30, &[used("n1", 700)]);
    assert_eq!(all(&s), [1, 1, 1], "no more room than before");
    pass(&mut s, 30, &[used("n1", 500)]);
    assert_eq!((s.node_of("uid-hungry"), all(&s)), (Some("n1"), [2, 1, 1]));
    assert_eq!(s.inconsistency(), None);
}

#[test]
fn the_calmest_hot_node_that_the_pod_may_go_to_is_opened() {
    let c = cache(
        vec![
            worker("a"),
            worker("tainted").taint("k", "v", Effect::NoSchedule),
            worker("cordoned").unschedulable(),
            worker("calm").taint("calm", "v", Effect::NoSchedule),
        ],
        vec![hot("a", 12.0), hot("tainted", 11.0), hot("cordoned", 10.0), s1("calm")],
    );
    let opened = |p: PodBuilder, waited: i64| {
        let since = Timestamp::from_secs(now().wall.secs() - waited);
        let view = View { unschedulable_since: Some(since), ..View::new(&c, now()) };
        let state = MemoryHeadroom::pod_state(&PodInfo::new(p.arc()), &view).unwrap();
        state.escape.as_deref().map(str::to_owned)
    };
    assert_eq!(opened(pod("p"), 299), None, "not yet");
    assert_eq!(opened(pod("p"), 300).as_deref(), Some("a"));
    assert_eq!(opened(pod("p").tolerates("k", None, None), 300).as_deref(), Some("tainted"));
    assert_eq!(opened(pod("p").tolerates("calm", None, None), 300), None, "it has a node that is not hot");
    assert_eq!(opened(hinted("p", "400Mi"), 300), None, "it fits nowhere");
    // News of any node reminds of the way out.
    let plugin = MemoryHeadroom::from_args(None).unwrap();
    let hint = |created: i64| {
        let p = pod("p").created(created).arc();
        plugin.hint(&Change::NodeHeadroom { node: "tainted".into() }, &PodInfo::new(p), &View::new(&c, now()))
    };
    assert_eq!((hint(now().wall.secs() - 300), hint(now().wall.secs() - 299)), (Hint::Queue, Hint::Skip));
}

#[test]
fn when_every_node_stays_hot_who_has_waited_long_gets_in() {
    let mut s = Simulator::new(Mode::Primary);
    let start = s.now.wall.secs();
    s.node(worker("a").build());
    s.node(worker("b").build());
    s.node(worker("tainted").taint("k", "v", Effect::NoSchedule).build());
    s.node(worker("cordoned").unschedulable().build());
    let samples = [hot("a", 12.0), hot("b", 11.0), hot("tainted", 10.5), s1("cordoned")];
    for one in &samples {
        s.sample(one.clone());
    }
    s.pod(pod("first").created(start).build());
    s.run();
    assert!(s.message("uid-first").contains("2 node(s) were under memory pressure"), "{}", s.message("uid-first"));
    pass(&mut s, 195, &samples);
    s.pod(pod("second").created(start + 195).build());
    s.run();
    while s.node_of("uid-first").is_none() {
        assert!(s.now.wall.secs() < start + 480, "{}", s.message("uid-first"));
        pass(&mut s, 15, &samples);
    }
    assert!(s.now.wall.secs() >= start + 300, "too early");
    assert_eq!((s.node_of("uid-first"), s.node_of("uid-second")), (Some("b"), None));
    pass(&mut s, 495, &samples);
    assert_eq!(s.node_of("uid-second"), Some("b"));
    assert_eq!(s.inconsistency(), None);
}

#[test]
fn of_its_own_news_a_pod_minds_what_decides_about_it() {
    let c = cache(vec![worker("n1")], vec![s1("n1")]);
    let plugin = MemoryHeadroom::from_args(None).unwrap();
    let info = |p: PodBuilder| PodInfo::new(p.arc());
    let hint = |old: PodBuilder, new: PodBuilder| {
        let (old, new) = (info(old), info(new));
        let change = Change::Pod { old: Some(old), new: Some(new.clone()) };
        plugin.hint(&change, &new, &View::new(&c, now()))
    };
    let waits = || pod("p").requests("", "900Mi");
    assert_eq!(hint(waits(), waits().label("a", "b")), Hint::Skip);
    assert_eq!(hint(waits(), waits().annotation("headroom.dev/memory-hint", "1Mi")), Hint::Queue);
    assert_eq!(hint(waits(), pod("p").requests("", "100Mi")), Hint::Queue);
}
