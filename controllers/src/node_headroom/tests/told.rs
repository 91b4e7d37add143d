//! What people are told, and what is read when the short summary does not do.

use super::*;

#[test]
fn people_are_told_of_thrashing_and_of_pods_without_swap() {
    let mut rig = rig();
    let mut rv = 1;
    rig.node(small("n1").arc());
    rig.pod(pod("web").uid("uid-web").on("n1").container(container("main")).arc());
    rig.pod(pod("other").uid("uid-other").on("n1").container(container("main")).arc());
    rig.headroom(Arc::new(row("n1", "uid-n1", 5)));
    rig.start();
    rig.good(600);
    rig.serve(&mut rv);
    let events = rig.take_events();
    assert_eq!(events.len(), 1, "{events:?}");
    assert!(events[0].starts_with("NoSwapBestEffort it gets no swap on n1"), "{events:?}");
    assert!(events[0].contains("kubectl apply -n default -f -") && events[0].len() < 1000, "{}", events[0].len());
    rig.good(600);
    rig.serve(&mut rv);
    assert_eq!(rig.take_events(), Vec::<String>::new(), "once");
    // Two samples without headroom.
    for _ in 0..2 {
        rig.good(1000);
        rig.serve(&mut rv);
    }
    let events = rig.take_events();
    assert!(events.iter().any(|e| e.starts_with("MemoryHeadroomLow ")), "{events:?}");
    rig.good(500);
    let body = rig.serve(&mut rv).pop().unwrap();
    assert_eq!(condition(&body, "MemoryHeadroomLow")["status"], "False");
    assert!(rig.take_events().iter().any(|e| e.starts_with("MemoryHeadroomLowEnded ")));
}

#[test]
fn a_restart_goes_on_with_the_conditions() {
    let mut rig = rig();
    let mut rv = 1;
    rig.node(small("n1").arc());
    let since = Timestamp::from_secs(77);
    let stood = |kind: &str, status| PublishedCondition { kind: kind.into(), status, since };
    let conditions =
        [stood("MemoryHeadroomLow", Status::True), stood("Fresh", Status::True), stood("OOMRisk", Status::True)];
    rig.headroom(Arc::new(HeadroomRow { conditions: conditions.into(), ..row("n1", "uid-n1", 5) }));
    rig.start();
    rig.good(1000);
    let body = rig.serve(&mut rv).pop().unwrap();
    for kind in ["MemoryHeadroomLow", "Fresh"] {
        let stands = condition(&body, kind);
        assert_eq!((&stands["status"], &stands["lastTransitionTime"]), (&"True".into(), &since.to_string().into()));
    }
    assert_ne!(condition(&body, "SwapThrashing")["lastTransitionTime"], since.to_string());
    assert_eq!(rig.take_events(), Vec::<String>::new(), "it was told before");
    rig.good(500);
    rig.serve(&mut rv);
    assert!(rig.take_events().iter().any(|e| e.starts_with("MemoryHeadroomLowEnded ")));
    // A first poll that fails loses nothing of what stood.
    let mut failing = super::rig();
    failing.node(small("n1").arc());
    let stands = [stood("SwapThrashing", Status::True)];
    failing.headroom(Arc::new(HeadroomRow { conditions: stands.into(), ..row("n1", "uid-n1", 5) }));
    failing.start();
    failing.bad();
    let body = failing.serve(&mut rv).pop().unwrap();
    assert_eq!(condition(&body, "SwapThrashing")["status"], "True");
    assert_eq!(condition(&body, "Fresh")["status"], "False");
    // Of a node made anew under the same name nothing is inherited.
    let mut other = super::rig();
    other.node(small("n1").arc());
    let foreign = [stood("MemoryHeadroomLow", Status::True)];
    other.headroom(Arc::new(HeadroomRow { conditions: foreign.into(), ..row("n1", "uid-before", 5) }));
    other.start();
    for _ in 0..2 {
        other.good(1000);
        other.serve(&mut rv);
    }
    assert!(other.take_events().iter().any(|e| e.starts_with("MemoryHeadroomLow ")));
}

#[test]
fn a_hint_that_is_no_size_is_told_once() {
    let mut rig = rig();
    let mut rv = 1;
    rig.node(small("n1").arc());
    let hinted = |hint: &str| {
        pod("web").uid("uid-web").on("n1").requests("", "64Mi").annotation("headroom.dev/memory-hint", hint)
    };
    rig.pod(hinted(&"lots".repeat(100)).arc());
    rig.pod(
        pod("other").uid("uid-other").on("n1").requests("", "64Mi").annotation("headroom.dev/memory-hint", "1Gi").arc(),
    );
    rig.headroom(Arc::new(row("n1", "uid-n1", 5)));
    rig.start();
    for expected in [1, 0] {
        rig.good(600);
        rig.serve(&mut rv);
        let events = rig.take_events();
        let told: Vec<&String> = events.iter().filter(|e| e.starts_with("InvalidMemoryHint ")).collect();
        assert_eq!(told.len(), expected, "{events:?}");
        assert!(told.iter().all(|e| e.contains("is no size like 300Mi") && e.len() < 200), "{told:?}");
    }
}

#[test]
fn a_control_plane_with_swap_is_told_once() {
    let mut rig = rig();
    let mut rv = 1;
    rig.node(small("n1").label("node-role.kubernetes.io/control-plane", "").arc());
    rig.headroom(Arc::new(row("n1", "uid-n1", 5)));
    rig.start();
    for expected in [1, 0] {
        rig.good(600);
        rig.serve(&mut rv);
        let events = rig.take_events();
        assert_eq!(events.iter().filter(|e| e.starts_with("ControlPlaneSwap ")).count(), expected, "{events:?}");
    }
}

#[test]
fn a_kubelet_that_leaves_swap_out_is_asked_for_the_full_summary_now_and_then() {
    let mut rig = rig();
    let mut rv = 1;
    rig.node(small("n1").arc());
    rig.pod(pod("web").uid("uid-web").on("n1").requests("", "64Mi").arc());
    rig.headroom(Arc::new(row("n1", "uid-n1", 5)));
    rig.start();
    let (mut paths, mut swaps) = (String::new(), Vec::new());
    for step in 0..10 {
        let (id, name, path) = loop {
            rig.settle();
            if let Some(scrape) = rig.commands().into_iter().next() {
                break scrape;
            }
            rig.advance(Duration::from_millis(100));
        };
        // Large steps, so that every sample is written.
        let mut sample = summary(rig.seconds(), 300 + step * 50);
        sample.node.swap.swap_usage_bytes = Some(40 << 20);
        if path == Path::Summary {
            sample.pods[0].swap = SwapStats::default();
            sample.pods[0].containers[0].swap = SwapStats::default();
        }
        paths.push(if path == Path::Summary { 's' } else { 'F' });
        rig.result(id, &name, path, Ok(Scraped::Summary(Box::new(sample))));
        rig.deny_configz();
        for body in rig.serve(&mut rv) {
            let status = &body["status"];
            swaps.push((status["pods"][0]["swapUsedBytes"].as_i64(), status["swap"]["behavior"].clone()));
        }
    }
    assert_eq!(paths, "sFsssFsssF");
    assert_eq!(swaps[0], (None, json!("Unknown")));
    assert!(swaps[1..].iter().all(|s| *s == (Some(MIB), json!("LimitedSwap"))), "{swaps:?}");
}

/// What metrics.k8s.io says of `n1` and its pod `web`, measured now.
fn ram_alone(rig: &Collector, mib: i64) -> MetricsResult {
    let pods = [(ObjectKey::new("default", "web"), 90 * MIB)].into_iter().collect();
    let nodes = [("n1".to_owned(), (mib * MIB, rig.now.wall))].into_iter().collect();
    MetricsResult { result: Ok(metrics_api::Metrics { nodes, pods }), received_at: rig.now }
}

#[test]
fn s10_a_kubelet_that_refuses_is_replaced_by_metrics_k8s_io() {
    let mut rig = rig();
    let mut rv = 1;
    rig.node(small("n1").arc());
    rig.pod(pod("web").uid("uid-web").on("n1").requests("", "64Mi").arc());
    rig.headroom(Arc::new(row("n1", "uid-n1", 5)));
    rig.start();
    rig.bad();
    assert!(!rig.serve(&mut rv)[0]["status"]["conditions"].to_string().contains("MetricsAPI"));
    let asked = |rig: &mut Collector| {
        let commands = rig.controller.take_commands();
        commands.contains(&CollectorCommand::ReadMetrics)
    };
    assert!(!asked(&mut rig), "one failure may be an accident");
    rig.bad();
    assert!(asked(&mut rig));
    rig.serve(&mut rv);
    let events = rig.take_events();
    assert_eq!(events.len(), 1, "{events:?}");
    assert!(events[0].starts_with("KubeletNotReadable a may not read the kubelet: grant it \"get\" on nodes/stats"));
    let answer = ram_alone(&rig, 600);
    rig.controller.metrics_read(answer, &rig.world, rig.now);
    let body = rig.serve(&mut rv).pop().unwrap();
    let status = &body["status"];
    assert_eq!((&status["source"], &status["memory"]["workingSetBytes"]), (&json!("MetricsAPI"), &json!(600 * MIB)));
    assert!(status["swap"].get("usedBytes").is_none() && status["memory"].get("pressure").is_none());
    assert_eq!(status["pods"][0]["uid"], "uid-web");
    let fresh = condition(&body, "Fresh");
    assert_eq!((&fresh["status"], &fresh["reason"]), (&json!("True"), &json!("MetricsAPI")));
    assert!(fresh["message"].as_str().unwrap().contains("\"get\" on nodes/stats"), "{fresh}");
    // It goes on every interval although the kubelet is tried less and less often.
    rig.advance(Duration::from_secs(15));
    assert!(asked(&mut rig));
    // Not served: not asked for ten minutes.
    let nothing = MetricsResult { result: Err("404".into()), received_at: rig.now };
    rig.controller.metrics_read(nothing, &rig.world, rig.now);
    rig.advance(Duration::from_secs(30));
    assert!(!asked(&mut rig));
    rig.good(650);
    let body = rig.serve(&mut rv).pop().unwrap();
    assert_eq!(body["status"]["source"], "Kubelet");
    assert_eq!(condition(&body, "Fresh")["reason"], "Sampled");
}

#[test]
fn ram_alone_is_looked_at_and_what_it_does_not_say_ends_nothing() {
    let mut rig = rig();
    let mut rv = 5;
    rig.node(small("n1").arc());
    let hinted = pod("web").uid("uid-web").on("n1").requests("", "64Mi");
    rig.pod(hinted.annotation("headroom.dev/memory-hint", "lots").arc());
    // It thrashed when its kubelet was last heard of.
    let at = Timestamp::from_secs(i64::from(START) - 10);
    let stands = [PublishedCondition { kind: "SwapThrashing".into(), status: Status::True, since: at }];
    let mut object = HeadroomRow { conditions: stands.into(), ..row("n1", "uid-n1", 5) };
    object.sample = Sample { at, state: PressureState::Thrash, state_since: Some(at), ..Sample::default() };
    rig.headroom(Arc::new(object));
    rig.start();
    rig.bad();
    rig.bad();
    rig.serve(&mut rv);
    rig.take_events();
    let (mut bodies, mut events) = (Vec::new(), Vec::new());
    for _ in 0..45 {
        rig.advance(Duration::from_secs(15));
        for (id, name, path) in rig.commands() {
            let error = ScrapeError::Forbidden { account: "a".into(), resource: "nodes/stats" };
            rig.result(id, &name, path, Err(error));
        }
        let answer = ram_alone(&rig, 1000);
        rig.controller.metrics_read(answer, &rig.world, rig.now);
        bodies.extend(rig.serve(&mut rv));
        events.extend(rig.take_events());
    }
    for reason in ["InvalidMemoryHint ", "MemoryHeadroomLow "] {
        assert_eq!(events.iter().filter(|e| e.starts_with(reason)).count(), 1, "{events:?}");
    }
    assert!(!events.iter().any(|e| e.contains("Ended")), "{events:?}");
    let (first, last) = (&bodies[0], &bodies[bodies.len() - 1]);
    assert_eq!(first["status"]["state"], "Thrash");
    assert_eq!(condition(first, "SwapThrashing")["status"], "True");
    assert_eq!(last["status"]["source"], "MetricsAPI");
    assert_eq!(condition(last, "MemoryHeadroomLow")["status"], "True");
    // The state is believed for ten minutes; after that nobody knows.
    assert_eq!(last["status"]["state"], "Calm");
    let thrashing = condition(last, "SwapThrashing");
    assert_eq!((&thrashing["status"], &thrashing["reason"]), (&json!("Unknown"), &json!("NoSample")));
    // The kubelet is back: now it is known to be over.
    rig.good(500);
    rig.serve(&mut rv);
    let events = rig.take_events();
    assert!(events.iter().any(|e| e == "SwapThrashingEnded the node is Calm again"), "{events:?}");
}
