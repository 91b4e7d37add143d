//! What the collector believes of a sample.

use super::*;

fn judge(body: &[u8], node: &Node, world: &World, before: &Before, kubelet: Option<i64>, now: i64) -> Assessment {
    let summary = Summary::parse(body).unwrap();
    let now = Now { wall: Timestamp::from_secs(now), mono: Mono(0) };
    assess(&summary, node, world, None, before, kubelet.map(Timestamp::from_secs), now)
}

fn new(assessment: Assessment) -> Measured {
    let Assessment::New(measured) = assessment else { panic!("{assessment:?}") };
    *measured
}

/// 2026-11-22T21:32:56Z, the time of the fixture's node.
const FIXTURE: i64 = 1_795_383_176;

#[test]
fn a_real_kubelets_sample() {
    let mut world = World::default();
    let n = node("n1").capacity("1", "1047502848", 110).swap("2147479552").build();
    world.apply_pod(
        pod("web")
            .uid("be93d397-9de8-45ab-95cd-b73946d8ef82")
            .on("n1")
            .container(container("c").requests("", "64Mi"))
            .arc(),
        |_, _| {},
    );
    let m = new(judge(SAMPLE, &n, &world, &Before::default(), Some(FIXTURE + 4), FIXTURE + 4));
    assert_eq!(m.at, Timestamp::from_secs(FIXTURE));
    assert_eq!((m.working_set, m.swap_used), (Some(384_561_152), Some(51_118_080)));
    assert_eq!((m.swap_capacity, m.behavior), (Some(2_147_479_552), SwapBehavior::LimitedSwap));
    assert_eq!(m.overhead, Some(384_561_152 - 42_438_656 - 268_320_768 - 409_600));
    assert_eq!(m.psi.unwrap().some60, 2.28);
    assert_eq!((m.major_faults, m.skew_seconds), (None, Some(0)));
    let available: Vec<_> = m.pods.iter().map(|p| p.swap_available).collect();
    assert_eq!(available, [Some(137_576_448), Some(86_695_936), Some(0)]);
    // The rate comes from the counter.
    let before = Before {
        counters: Some(Counters { at: Timestamp::from_secs(FIXTURE - 10), major_faults: Some(6098) }),
        ..Before::default()
    };
    assert_eq!(new(judge(SAMPLE, &n, &world, &before, None, FIXTURE)).major_faults, Some(10.0));
    // The same again is no new sample; a clock that was set back is.
    let again = |seconds| Before {
        counters: Some(Counters { at: Timestamp::from_secs(FIXTURE + seconds), major_faults: Some(1) }),
        ..Before::default()
    };
    assert_eq!(judge(SAMPLE, &n, &world, &again(0), None, FIXTURE), Assessment::Repeated);
    assert_eq!(judge(SAMPLE, &n, &world, &again(59), None, FIXTURE), Assessment::Repeated);
    assert_eq!(new(judge(SAMPLE, &n, &world, &again(3600), None, FIXTURE)).major_faults, None);
    assert_eq!(judge(b"{}", &n, &world, &Before::default(), None, FIXTURE), Assessment::NoSample);
}

#[test]
fn clocks_that_differ() {
    let (n, world) = (node("n1").build(), World::default());
    for (kubelet, now, at, skew) in [
        (Some(FIXTURE + 3), FIXTURE + 5, FIXTURE, Some(-1)),
        // An hour behind: the sample is 3 s old on its own clock.
        (Some(FIXTURE + 3), FIXTURE + 3603, FIXTURE + 3600, Some(-3599)),
        (Some(FIXTURE + 3), FIXTURE - 97, FIXTURE - 100, Some(100)),
        (None, FIXTURE + 40, FIXTURE, None),
        (None, FIXTURE - 4, FIXTURE - 4, None),
        (None, FIXTURE - 100, FIXTURE - 100, Some(100)),
    ] {
        let m = new(judge(SAMPLE, &n, &world, &Before::default(), kubelet, now));
        assert!((m.at.secs() - at).abs() <= 1 && m.at.secs() <= now, "{kubelet:?} {now}: {}", m.at.secs() - at);
        assert!(
            m.skew_seconds.zip(skew).map_or(m.skew_seconds == skew, |(a, b)| (a - b).abs() <= 1),
            "{:?}",
            m.skew_seconds
        );
        assert_eq!(super::assess::skewed(m.skew_seconds), skew.is_some_and(|s| s.abs() > 5));
    }
}

#[test]
fn quirks_of_kubelets() {
    let world = World::default();
    let n = small("n1").build();
    let assess = |change: &dyn Fn(&mut Value)| {
        let mut value: Value = serde_json::from_slice(SAMPLE).unwrap();
        change(&mut value);
        new(judge(value.to_string().as_bytes(), &n, &world, &Before::default(), None, FIXTURE))
    };
    // Underflow of cAdvisor, and a working set above the machine's.
    let m = assess(&|v| {
        v["node"]["swap"]["swapUsageBytes"] = json!(18_446_743_709_127_774_000_u64);
        v["node"]["memory"]["workingSetBytes"] = json!(1_u64 << 40);
    });
    assert_eq!((m.swap_used, m.swap_capacity, m.working_set, m.overhead), (None, None, None, None));
    // A young container's 0/0 is unknown, an old one's is a fact.
    for (start, expected) in [("2026-11-22T21:32:40Z", None), ("2026-11-22T21:30:00Z", Some(0))] {
        let m = assess(&|v| {
            let container = &mut v["pods"][2]["containers"][0];
            container["startTime"] = json!(start);
        });
        assert_eq!(m.pods[2].swap_available, expected);
        assert_eq!(m.pods[2].swap, expected);
    }
    // Kubelets before 1.34: no swap of pods and containers at all.
    let m = assess(&|v| {
        for pod in v["pods"].as_array_mut().unwrap() {
            pod.as_object_mut().unwrap().remove("swap");
            pod["containers"][0].as_object_mut().unwrap().remove("swap");
        }
    });
    assert_eq!((m.behavior, m.pods[0].swap, m.pods[0].swap_available), (SwapBehavior::Unknown, None, None));
    // A kernel without PSI reports zeros.
    let zeros = json!({"avg10": 0, "avg60": 0, "avg300": 0, "total": 0});
    let m = assess(&|v| {
        v["node"]["memory"]["psi"] = json!({"some": zeros, "full": zeros});
        v["node"]["startTime"] = json!("2026-11-22T20:00:00Z");
    });
    assert_eq!(m.psi, None);
    let m = assess(&|v| v["node"]["memory"]["psi"] = Value::Null);
    assert_eq!(m.psi, None);
}

#[test]
fn the_behaviour_from_annotation_and_configuration() {
    let mut rig = rig();
    rig.node(small("n1").arc());
    rig.headroom(Arc::new(row("n1", "uid-n1", 5)));
    rig.start();
    let (id, name) = rig.next_scrape(2);
    rig.result(id, &name, Path::Summary, Ok(Scraped::Summary(Box::new(summary(rig.seconds(), 600)))));
    let (id, name, path) = rig.commands().pop().unwrap();
    assert_eq!(path, Path::Configz, "after the first sample");
    let config = super::configz::KubeletConfig::parse(
        br#"{"kubeletconfig":{"memorySwap":{},"evictionHard":{"memory.available":"10%"}}}"#,
    );
    rig.result(id, &name, path, Ok(Scraped::Configz(config.unwrap())));
    let mut rv = 5;
    let body = rig.serve(&mut rv).pop().unwrap();
    assert_eq!(body["status"]["swap"]["behavior"], "NoSwap", "although a container has swap");
    assert_eq!(body["status"]["memory"]["evictionHardBytes"], 107_374_182);
    rig.node(small("n1").annotation("headroom.dev/swap-behavior", "LimitedSwap").arc());
    rig.good(600);
    let body = rig.serve(&mut rv).pop().unwrap();
    assert_eq!(body["status"]["swap"]["behavior"], "LimitedSwap");
    assert!(rig.commands().is_empty(), "the configuration is read once an hour");
}
