use proptest::prelude::*;
use serde_json::{Value, json};

use super::machine::State;
use super::*;
use crate::memory_model::{Curve, Qos};

const T0: u64 = 1_795_383_000_000;

fn digest(spec: &Value, annotations: &Value) -> Digest {
    let annotations: serde_json::Map<String, Value> = annotations
        .as_object()
        .unwrap()
        .iter()
        .map(|(key, value)| (format!("hollow.headroom.dev/{key}"), value.clone()))
        .collect();
    let pod = json!({
        "metadata": {"name": "p", "namespace": "d", "uid": "u-1", "generation": 3, "annotations": annotations},
        "spec": spec,
    });
    Digest::new(&serde_json::from_value(pod).unwrap())
}

fn plain() -> Digest {
    digest(&json!({"containers": [{"name": "c", "image": "i"}]}), &json!({}))
}

fn timing() -> Timing {
    Timing { start: 500, init: 1000, ready: 0, stop: 500, run: None, exit_code: 0 }
}

fn run(machine: &mut Machine, now: u64) -> Vec<Action> {
    let mut actions = Vec::new();
    machine.step(now, &mut actions);
    actions
}

fn status(digest: &Digest, machine: &Machine) -> Value {
    patch(digest, machine, Some("10.128.0.2"), "127.10.0.1")["status"].clone()
}

fn condition<'a>(status: &'a Value, name: &str) -> &'a Value {
    status["conditions"].as_array().unwrap().iter().find(|c| c["type"] == name).unwrap()
}

#[test]
fn a_plain_pod_starts_and_is_ready() {
    let digest = plain();
    let mut m = Machine::new(&digest, timing(), T0);
    assert_eq!(run(&mut m, T0 + 499), []);
    assert_eq!(run(&mut m, T0 + 500), [Action::Start(0), Action::Status]);
    assert_eq!(m.next_due(), None);
    let status = status(&digest, &m);
    assert_eq!((&status["phase"], &status["podIP"]), (&json!("Running"), &json!("10.128.0.2")));
    assert_eq!(status["podIPs"], json!([{"ip": "10.128.0.2"}]));
    assert_eq!(status["hostIPs"], json!([{"ip": "127.10.0.1"}]));
    assert_eq!(status["observedGeneration"], 3);
    assert_eq!(status["startTime"], "2026-11-22T21:30:00Z");
    for name in ["PodReadyToStartContainers", "Initialized", "ContainersReady", "Ready", "PodScheduled"] {
        assert_eq!(condition(&status, name)["status"], "True", "{name}");
    }
    let c = &status["containerStatuses"][0];
    assert_eq!((&c["ready"], &c["started"], &c["restartCount"]), (&json!(true), &json!(true), &json!(0)));
    assert!(c["state"]["running"]["startedAt"].is_string());
}

#[test]
fn init_containers_run_in_order_and_sidecars_stay() {
    let spec = json!({"restartPolicy": "Never",
        "initContainers": [{"name": "a"}, {"name": "s", "restartPolicy": "Always"}, {"name": "b"}],
        "containers": [{"name": "c"}]});
    let digest = digest(&spec, &json!({}));
    let mut m = Machine::new(&digest, Timing { run: Some(5000), ready: 2000, ..timing() }, T0);
    assert_eq!(run(&mut m, T0 + 500), [Action::Start(0), Action::Status]);
    let early = status(&digest, &m);
    assert_eq!(
        (&early["phase"], condition(&early, "Initialized")["status"].as_str()),
        (&json!("Pending"), Some("False"))
    );
    assert_eq!(run(&mut m, T0 + 1500), [Action::Stop(0), Action::Start(1), Action::Start(2), Action::Status]);
    assert_eq!(run(&mut m, T0 + 2500), [Action::Stop(2), Action::Start(3), Action::Status]);
    let running = status(&digest, &m);
    assert_eq!(running["phase"], "Running");
    assert_eq!(condition(&running, "Ready")["reason"], "ContainersNotReady");
    assert_eq!(condition(&running, "Ready")["message"], "containers with unready status: [c]");
    assert_eq!(running["initContainerStatuses"].as_array().unwrap().len(), 3);
    assert_eq!(run(&mut m, T0 + 4500), [Action::Status]);
    assert_eq!(condition(&status(&digest, &m), "Ready")["status"], "True");
    assert_eq!(run(&mut m, T0 + 7500), [Action::Stop(3), Action::Stop(1), Action::Status, Action::Release]);
    let over = status(&digest, &m);
    assert_eq!(
        (&over["phase"], condition(&over, "Ready")["reason"].as_str()),
        (&json!("Succeeded"), Some("PodCompleted"))
    );
    assert!(m.over());
}

#[test]
fn exit_codes_decide_the_phase() {
    for (policy, code, phase) in [("Never", 0, "Succeeded"), ("Never", 3, "Failed"), ("OnFailure", 0, "Succeeded")] {
        let digest = digest(&json!({"restartPolicy": policy, "containers": [{"name": "c"}]}), &json!({}));
        let mut m = Machine::new(&digest, Timing { run: Some(1000), exit_code: code, ..timing() }, T0);
        run(&mut m, T0 + 60_000);
        assert_eq!(status(&digest, &m)["phase"], phase, "{policy} {code}");
        assert_eq!(status(&digest, &m)["containerStatuses"][0]["state"]["terminated"]["exitCode"], code);
    }
}

#[test]
fn failing_containers_are_restarted_with_growing_waits() {
    let digest = plain();
    let mut m = Machine::new(&digest, Timing { run: Some(1000), exit_code: 1, ..timing() }, T0);
    run(&mut m, T0 + 1500);
    assert!(matches!(m.containers[0].state, State::Terminated(_)), "the first restart is immediate");
    run(&mut m, T0 + 2000);
    assert_eq!((m.containers[0].restarts, m.is_running(0)), (1, true));
    run(&mut m, T0 + 3000);
    assert_eq!(status(&digest, &m)["containerStatuses"][0]["state"]["waiting"]["reason"], "CrashLoopBackOff");
    run(&mut m, T0 + 12_999);
    assert_eq!(m.containers[0].restarts, 1);
    run(&mut m, T0 + 13_000);
    assert_eq!(m.containers[0].restarts, 2);
    run(&mut m, T0 + 3_600_000);
    assert!((10..20).contains(&m.containers[0].restarts), "{}", m.containers[0].restarts);
}

#[test]
fn out_of_memory_is_told_and_restarted() {
    let digest = plain();
    let mut m = Machine::new(&digest, timing(), T0);
    run(&mut m, T0 + 500);
    let mut actions = Vec::new();
    m.oom_killed(0, T0 + 9000, &mut actions);
    assert_eq!(actions, [Action::Stop(0), Action::Status]);
    assert_eq!(condition(&status(&digest, &m), "Ready")["status"], "False");
    assert_eq!(run(&mut m, T0 + 9500), [Action::Start(0), Action::Status]);
    let c = status(&digest, &m)["containerStatuses"][0].clone();
    assert_eq!(c["restartCount"], 1);
    assert_eq!(c["lastState"]["terminated"]["reason"], "OOMKilled");
    assert_eq!(c["lastState"]["terminated"]["exitCode"], 137);
}

#[test]
fn deletion_is_graceful_and_ends_with_status_then_delete() {
    let digest = plain();
    let mut m = Machine::new(&digest, timing(), T0);
    run(&mut m, T0 + 500);
    let mut actions = Vec::new();
    m.delete(30, T0 + 1000, &mut actions);
    assert_eq!((&actions[..], m.next_due()), (&[][..], Some(T0 + 1500)));
    assert_eq!(run(&mut m, T0 + 1500), [Action::Stop(0), Action::Status, Action::Release, Action::Delete]);
    let over = status(&digest, &m);
    assert_eq!((&over["phase"], &over["containerStatuses"][0]["ready"]), (&json!("Succeeded"), &json!(false)));
}

#[test]
fn slow_stopping_is_cut_at_the_grace_period() {
    let digest = plain();
    let mut m = Machine::new(&digest, Timing { stop: 60_000, ..timing() }, T0);
    run(&mut m, T0 + 500);
    let mut actions = Vec::new();
    m.delete(30, T0 + 1000, &mut actions);
    assert_eq!(m.next_due(), Some(T0 + 31_000));
    m.delete(2, T0 + 5000, &mut actions);
    assert_eq!(m.next_due(), Some(T0 + 7000), "a shorter grace period counts");
    m.delete(20, T0 + 5000, &mut actions);
    assert_eq!(m.next_due(), Some(T0 + 7000), "a longer one does not");
    run(&mut m, T0 + 7000);
    let over = status(&digest, &m);
    assert_eq!(over["containerStatuses"][0]["state"]["terminated"]["exitCode"], 137);
    assert_eq!(over["phase"], "Failed");
}

#[test]
fn deleting_what_never_ran_or_is_over_is_immediate() {
    let digest = plain();
    let mut m = Machine::new(&digest, timing(), T0);
    let mut actions = Vec::new();
    m.delete(30, T0 + 1, &mut actions);
    assert_eq!(actions, [Action::Status, Action::Release, Action::Delete]);
    let mut m = Machine::adopt_ended(&digest, timing(), Phase::Succeeded, T0);
    let mut actions = Vec::new();
    m.delete(30, T0 + 1, &mut actions);
    assert_eq!(actions, [Action::Delete]);
}

#[test]
fn evicted_pods_have_failed_and_say_why() {
    let digest = plain();
    let mut m = Machine::new(&digest, timing(), T0);
    run(&mut m, T0 + 500);
    let mut actions = Vec::new();
    m.evict("Evicted", "low".to_owned(), T0 + 900, &mut actions);
    assert_eq!(actions, [Action::Stop(0), Action::Status, Action::Release]);
    let status = status(&digest, &m);
    assert_eq!((&status["phase"], &status["reason"]), (&json!("Failed"), &json!("Evicted")));
    assert_eq!(condition(&status, "DisruptionTarget")["reason"], "TerminationByKubelet");
}

#[test]
fn rejected_pods_have_no_containers() {
    let digest = plain();
    let m = Machine::rejected(&digest, timing(), "OutOfcpu".to_owned(), "no".to_owned(), T0);
    let status = status(&digest, &m);
    assert_eq!((&status["phase"], &status["reason"]), (&json!("Failed"), &json!("OutOfcpu")));
    assert!(status.get("containerStatuses").is_none() && status.get("podIP").is_none());
}

#[test]
fn adopted_pods_go_on() {
    let digest = plain();
    let mut m = Machine::adopt_running(&digest, Timing { run: Some(10_000), ..timing() }, T0, &|_| 4);
    assert!(m.is_running(0));
    assert_eq!((m.containers[0].restarts, m.next_due()), (4, Some(T0 + 10_000)));
    let mut actions = Vec::new();
    m.delete(1, T0 + 1, &mut actions);
    run(&mut m, T0 + 2000);
    assert!(m.over());
}

#[test]
fn specifications_are_digested() {
    let d = digest(
        &json!({"priority": 2_000_000_000u64, "overhead": {"memory": "10Mi"},
            "initContainers": [
                {"name": "i", "resources": {"requests": {"memory": "300Mi"}}},
                {"name": "s", "restartPolicy": "Always", "resources": {"requests": {"memory": "50Mi", "cpu": "100m"}}}],
            "containers": [
                {"name": "a", "resources": {"requests": {"memory": "100Mi"}, "limits": {"memory": "200Mi"}}},
                {"name": "b", "resources": {"requests": {"memory": "50Mi", "cpu": "1"}}}]}),
        &json!({"memory": "300Mi@0s,600Mi@10s", "memory.b": "7Mi", "hot-fraction": "0.25", "nonsense": "1", "exit-code": "x"}),
    );
    assert_eq!((d.requests.get("memory"), d.requests.get("cpu")), (310 << 20, 1100));
    assert_eq!((d.qos, d.critical), (Qos::Burstable, true));
    assert_eq!(d.knobs.bad.len(), 2);
    assert_eq!(d.hot(), 0.25);
    let curve = d.knobs.memory.clone();
    assert_eq!(d.curve(2, curve.as_ref()), Curve::parse("200Mi@0s,400Mi@10s").unwrap());
    assert_eq!(d.curve(3, curve.as_ref()), Curve::parse("7Mi").unwrap());
    assert_eq!(d.curve(0, curve.as_ref()), Curve::constant(180 << 20), "init containers have their own");
    assert_eq!(d.containers[2].limit, Some(200 << 20));
}

#[test]
fn pre_stop_hooks_that_sleep_count() {
    let hook = |seconds: u64| json!({"preStop": {"sleep": {"seconds": seconds}}, "postStart": {"exec": {}}});
    let spec = json!({"initContainers": [{"name": "i", "lifecycle": hook(60)}],
        "containers": [{"name": "a", "lifecycle": hook(3)}, {"name": "b", "lifecycle": hook(7)}, {"name": "c"}]});
    assert_eq!(digest(&spec, &json!({})).pre_stop, 7000);
    assert_eq!(plain().pre_stop, 0);
}

#[test]
fn oom_scores_follow_the_class() {
    let of = |resources: Value| {
        let d = digest(&json!({"containers": [{"name": "c", "resources": resources}]}), &json!({}));
        (d.qos, d.oom_score_adj(&d.containers[0], 1 << 30))
    };
    assert_eq!(of(json!({})), (Qos::BestEffort, 1000));
    assert_eq!(of(json!({"requests": {"memory": "256Mi"}})), (Qos::Burstable, 750));
    assert_eq!(of(json!({"requests": {"cpu": "1"}})), (Qos::Burstable, 999));
    assert_eq!(of(json!({"limits": {"cpu": "1", "memory": "1Gi"}})), (Qos::Guaranteed, -997));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever happens when: it ends, starts and stops alternate, and a deleted pod is deleted once, last.
    #[test]
    fn any_life_is_orderly(
        policy in prop::sample::select(vec!["Always", "OnFailure", "Never"]),
        inits in 0usize..3, apps in 1usize..3,
        run_ms in prop::option::of(0u64..20_000), code in 0i32..2, stop in 0u64..5000,
        delete_at in 0u64..30_000, grace in 0i64..10,
        ooms in prop::collection::vec((0u64..30_000, 0u16..5), 0..4),
        steps in prop::collection::vec(1u64..7000, 1..20),
    ) {
        let names = |prefix: &str, n: usize| (0..n).map(|i| json!({"name": format!("{prefix}{i}")})).collect::<Vec<_>>();
        let spec = json!({"restartPolicy": policy, "initContainers": names("i", inits), "containers": names("c", apps)});
        let digest = digest(&spec, &json!({}));
        let mut m = Machine::new(&digest, Timing { run: run_ms, exit_code: code, stop, ..timing() }, T0);
        let mut actions = Vec::new();
        let (mut now, mut deleted) = (0, false);
        let mut ooms = ooms;
        ooms.sort_unstable();
        for step in steps.into_iter().chain([60_000, 60_000]) {
            now += step;
            for (_, index) in ooms.extract_if(.., |(at, _)| *at <= now) {
                m.oom_killed(index, T0 + now, &mut actions);
            }
            if !deleted && now >= delete_at {
                deleted = true;
                m.step(T0 + now, &mut actions);
                m.delete(grace, T0 + now, &mut actions);
            }
            m.step(T0 + now, &mut actions);
        }
        prop_assert!(m.over(), "deleted pods end");
        prop_assert_eq!(m.next_due(), None);
        prop_assert_eq!(actions.iter().filter(|a| **a == Action::Delete).count(), 1);
        prop_assert_eq!(actions.last(), Some(&Action::Delete));
        prop_assert_eq!(actions.iter().filter(|a| **a == Action::Release).count(), 1);
        let mut running = std::collections::BTreeSet::new();
        for action in &actions {
            match action {
                Action::Start(c) => prop_assert!(running.insert(*c), "started twice"),
                Action::Stop(c) => prop_assert!(running.remove(c), "stopped while not running"),
                _ => {}
            }
        }
        prop_assert!(running.is_empty());
        prop_assert!(matches!(m.phase, Phase::Succeeded | Phase::Failed));
    }
}
