//! What goes wrong around the scheduler: flags, files, a missing API server, missing rights, malformed objects, kills,
//! a leader that was stopped and goes on.

use crate::common::{
    Bindings, LONG, PATIENT, SHORT, SHORT_DEADLINE, STOCK_LEASE, asking, assert_bound_once, bindings, both, bound,
    caller, change_node, code, control_plane, create, create_many, get, holder, node, on_node, placed, pod, pods,
    reader_token, second_scheduler, start_scheduler, wait_for_log, wait_for_log_times, wait_placed, waiting, writes_of,
};
use headroom_e2e::{ControlPlane, Identity, Process, RbacSet, Signal, eventually, our_binary};
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use serde_json::json;

/// Runs the scheduler, which must end with status 1; returns what it wrote, which must be one line.
async fn refused(arguments: &[&str]) -> String {
    let mut command = tokio::process::Command::new(our_binary("headroom-scheduler").unwrap());
    command.args(arguments).env_clear().kill_on_drop(true);
    let output = tokio::time::timeout(LONG, command.output()).await.expect("it does not end").unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(output.stdout.is_empty());
    let line = text.strip_suffix('\n').unwrap_or_else(|| panic!("no line: {text:?}")).to_owned();
    assert!(line.starts_with("headroom-scheduler: ") && !line.contains('\n'), "not one line:\n{text}");
    line
}

#[tokio::test]
async fn wrong_flags_and_files_end_with_status_1_and_one_line() {
    let line = refused(&["--leader-elekt=true"]).await;
    assert!(line.contains("--leader-elekt"), "{line}");
    let line = refused(&["--mode=tertiary"]).await;
    assert!(line.contains("tertiary") && line.contains("secondary"), "{line}");
    let line = refused(&["--leader-elect-lease-duration=5s", "--leader-elect-renew-deadline=6s"]).await;
    assert!(line.contains("leaseDuration (5s) must be longer than renewDeadline (6s)"), "{line}");

    let line = refused(&["--config=/does/not/exist.yaml"]).await;
    assert!(line.contains("/does/not/exist.yaml") && line.contains("No such file"), "{line}");
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let head = "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n";
    for (text, named) in [
        ("profiles:\n- schedulerNam: x\n".to_owned(), "schedulerNam"),
        ("profiles:\n- plugins: {filter: {enabled: [{name: NoSuchPlugin}]}}\n".to_owned(), "NoSuchPlugin"),
        ("podInitialBackoffSeconds: many\n".to_owned(), "podInitialBackoffSeconds"),
        ("leaderElection: {leaseDuration: 15}\n".to_owned(), "leaderElection.leaseDuration"),
        ("profiles: [{schedulerName: a}, {schedulerName: a}]\n".to_owned(), "schedulerName"),
        ("profiles: [\n".to_owned(), "line"),
    ] {
        let path = write("config.yaml", &format!("{head}{text}"));
        let line = refused(&[&format!("--config={path}")]).await;
        assert!(line.contains(&path) && line.contains(named), "{named} for {text}: {line}");
    }
    let path = write("other.yaml", "apiVersion: v1\nkind: Pod\n");
    let line = refused(&[&format!("--config={path}")]).await;
    assert!(line.contains("apiVersion") && line.contains("kubescheduler.config.k8s.io/v1"), "{line}");

    let line = refused(&[]).await;
    assert!(line.contains("no kubeconfig") && line.contains("--kubeconfig"), "{line}");
    let line = refused(&["--kubeconfig=/does/not/exist.yaml"]).await;
    assert!(line.contains("/does/not/exist.yaml"), "{line}");
    let line = refused(&["--master=not a URL"]).await;
    assert!(line.contains("--master"), "{line}");

    // A port that is taken.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let port = format!("--secure-port={}", address.port());
    let line = refused(&["--master=https://127.0.0.1:1", "--bind-address=127.0.0.1", &port]).await;
    assert!(line.contains(&address.port().to_string()) && line.contains("in use"), "{line}");
}

#[tokio::test]
async fn an_api_server_that_is_away_is_waited_for_and_nothing_is_lost() {
    const BURST: usize = 200;
    let cluster = control_plane(RbacSet::Primary).await;
    for name in ["n1", "n2", "n3"] {
        node(&cluster, name, json!({})).await;
    }
    let pods = pods(&cluster, "default");
    let nobody = pods.list(&kube::api::ListParams::default()).await.unwrap();
    assert!(nobody.items.is_empty());

    // Away at the start.
    cluster.kill_api_server();
    let flags: Vec<&str> = PATIENT.to_vec();
    let scheduler = cluster.start_headroom_scheduler(&flags).unwrap();
    wait_for_log(&scheduler, "cannot watch pods: the API server does not answer").await;
    let anyone = caller(&cluster, &scheduler, None).await;
    eventually(LONG, "it to listen", || get(&anyone, "/livez")).await.unwrap();
    let ready = get(&anyone, "/readyz").await;
    assert_eq!(code(&ready), 500);
    assert!(ready.unwrap_err().to_string().contains("not synced: "), "does not say what is missing");
    cluster.start_api_server().await.unwrap();
    cluster.wait_healthy(&scheduler, "/readyz", LONG).await.unwrap();
    create(&pods, &pod("after-the-start", json!({}))).await;
    bound(&pods, "after-the-start").await;

    // Lost in the middle of a burst.
    create(&pods, &pod("hopes", json!({"nodeSelector": {"disk": "ssd"}}))).await;
    waiting(&pods, "hopes", "didn't match").await;
    let burst = tokio::spawn(create_many(pods.clone(), "burst", BURST, asking(json!({"cpu": "10m"}))));
    wait_placed(&pods, BURST / 10).await;
    cluster.kill_api_server();
    wait_for_log_times(&scheduler, "cannot watch pods: the API server does not answer", 2).await;
    assert_eq!(get(&anyone, "/livez").await.unwrap(), "ok");
    cluster.start_api_server().await.unwrap();
    burst.await.unwrap();
    wait_placed(&pods, BURST + 1).await;
    // What waited before still waits for its event.
    change_node(&cluster, "n3", json!({"metadata": {"labels": {"disk": "ssd"}}})).await;
    assert_eq!(bound(&pods, "hopes").await, "n3");
    scheduler.expect_running("the loss of the API server").unwrap();
    assert!(scheduler.terminate(LONG).await.unwrap().success());
    // Where the API server was killed, its log may lack the answer to a request that it had carried out.
    assert!(bindings(&cluster, "default").values().all(|answers| answers.done <= 1));
}

#[tokio::test]
async fn missing_rights_are_named_and_used_once_granted() {
    let cluster = ControlPlane::builder().start().await.unwrap();
    node(&cluster, "n1", json!({})).await;
    let scheduler = cluster.start_headroom_scheduler(&PATIENT).unwrap();
    for resource in ["pods", "nodes", "namespaces"] {
        let rule = format!(
            "cannot watch {resource}: an RBAC rule is missing: apiGroups: [\"\"], resources: [\"{resource}\"], verbs: [list, watch]"
        );
        wait_for_log(&scheduler, &rule).await;
    }
    wait_for_log(&scheduler, "an RBAC rule is missing: apiGroups: [\"headroom.dev\"], resources: [\"nodeheadrooms\"]")
        .await;
    wait_for_log(
        &scheduler,
        "the role needs get, create and update on leases.coordination.k8s.io \"kube-scheduler\" in kube-system",
    )
    .await;
    let anyone = caller(&cluster, &scheduler, None).await;
    assert_eq!(code(&get(&anyone, "/readyz").await), 500);

    // All but the right to bind: the pod waits, and the log says why.
    cluster.apply_rbac(RbacSet::Primary).await.unwrap();
    let role = |rules: serde_json::Value| {
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
               "metadata": {"name": "headroom-scheduler-primary"}, "rules": rules})
        .to_string()
    };
    let status = json!([{"apiGroups": [""], "resources": ["pods/status"], "verbs": ["patch"]}]);
    cluster.apply_yaml("role", &role(status)).await.unwrap();
    cluster.wait_healthy(&scheduler, "/readyz", LONG).await.unwrap();
    let pods = pods(&cluster, "default");
    create(&pods, &pod("p", json!({}))).await;
    wait_for_log(&scheduler, "cannot create resource \"pods/binding\"").await;
    cluster.apply_rbac(RbacSet::Primary).await.unwrap();
    assert_eq!(bound(&pods, "p").await, "n1");
    for once in ["cannot watch pods", "cannot watch nodes", "cannot get or renew the lease"] {
        assert_eq!(scheduler.log().matches(once).count(), 1, "said more than once: {once}\n{}", scheduler.log_tail());
    }
}

#[tokio::test]
async fn the_rights_of_the_stock_scheduler_are_enough_to_schedule_as_it_does() {
    let cluster = ControlPlane::builder().start().await.unwrap();
    node(&cluster, "n1", json!({})).await;
    let scheduler = cluster.start_ours("headroom-scheduler", &Identity::Scheduler, &PATIENT).unwrap();
    wait_for_log(&scheduler, "going on without nodeheadrooms.headroom.dev until they may be watched").await;
    cluster.wait_healthy(&scheduler, "/readyz", LONG).await.unwrap();
    let pods = pods(&cluster, "default");
    create(&pods, &pod("p", json!({}))).await;
    assert_eq!(bound(&pods, "p").await, "n1");
    // It had been refused several times before it went on without.
    for once in ["cannot watch nodeheadrooms: ", "going on without nodeheadrooms.headroom.dev"] {
        assert_eq!(scheduler.log().matches(once).count(), 1, "said more than once: {once}\n{}", scheduler.log());
    }
}

/// A NodeHeadroom as the shipped definition would never let it in.
const PERMISSIVE: &str = "
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: nodeheadrooms.headroom.dev}
spec:
  group: headroom.dev
  scope: Cluster
  names: {kind: NodeHeadroom, plural: nodeheadrooms, singular: nodeheadroom}
  versions:
  - name: v1alpha1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
";

#[tokio::test]
async fn a_malformed_object_is_skipped_with_one_warning() {
    let cluster = control_plane(RbacSet::Primary).await;
    cluster.apply_yaml("crd", PERMISSIVE).await.unwrap();
    let headroom = |name: &str, status: serde_json::Value| {
        json!({"apiVersion": "headroom.dev/v1alpha1", "kind": "NodeHeadroom",
               "metadata": {"name": name}, "status": status})
        .to_string()
    };
    for name in ["n1", "n2"] {
        node(&cluster, name, json!({})).await;
    }
    cluster.apply_yaml("good", &headroom("n2", json!({"state": "Calm"}))).await.unwrap();
    for (name, status) in [("n1", json!({"memory": {"workingSetBytes": "lots"}, "pods": "none"})), ("n0", json!(17))] {
        cluster.apply_yaml("malformed", &headroom(name, status)).await.unwrap();
    }
    let scheduler = start_scheduler(&cluster, STOCK_LEASE, &["--mode=primary"]).await;
    let pods = pods(&cluster, "default");
    for name in ["n1", "n2"] {
        create(&pods, &pod(name, on_node(name))).await;
        assert_eq!(bound(&pods, name).await, name);
    }
    let warnings = |name: &str| {
        let log = scheduler.log();
        log.lines().filter(|line| line.contains("skipped a malformed object") && line.contains(name)).count()
    };
    assert_eq!((warnings("n0"), warnings("n1"), warnings("n2")), (1, 1, 0), "{}", scheduler.log());

    // A further version that is as bad is counted, not told; a good one is taken.
    let gvk = kube::core::GroupVersionKind::gvk("headroom.dev", "v1alpha1", "NodeHeadroom");
    let headrooms: Api<DynamicObject> = Api::all_with(cluster.admin_client(), &ApiResource::from_gvk(&gvk));
    let touch = Patch::Merge(json!({"metadata": {"labels": {"touched": "yes"}}}));
    headrooms.patch("n1", &PatchParams::default(), &touch).await.unwrap();
    let reader = caller(&cluster, &scheduler, Some(&reader_token(&cluster, "reader", &["/metrics"]).await)).await;
    let counted = "headroom_informer_skipped_objects_total{kind=\"NodeHeadroom\"} 3";
    eventually(LONG, counted, || async {
        let metrics = get(&reader, "/metrics").await.map_err(|error| error.to_string())?;
        if metrics.contains(counted) { Ok(()) } else { Err("not yet") }.map_err(str::to_owned)
    })
    .await
    .unwrap();
    assert_eq!(warnings("n1"), 1, "{}", scheduler.log());
}

/// Nodes on which so many pods of 100m fit exactly: whoever forgets a pod or counts it twice overfills one.
async fn exact_nodes(cluster: &ControlPlane, nodes: usize, pods: usize) {
    let cpu = format!("{}m", pods / nodes * 100);
    for number in 0..nodes {
        let size = json!({"status": {"allocatable": {"cpu": cpu, "memory": "256Gi", "pods": "500"}}});
        node(cluster, &format!("n{number}"), size).await;
    }
}

/// Fails unless every node is exactly full.
async fn assert_full(cluster: &ControlPlane, nodes: usize, count: usize) {
    let mut full = std::collections::BTreeMap::<String, usize>::new();
    for on in placed(&pods(cluster, "default")).await.unwrap().into_values() {
        *full.entry(on).or_default() += 1;
    }
    assert!(full.len() == nodes && full.values().all(|pods| *pods == count / nodes), "{full:?}");
}

#[tokio::test]
async fn killed_in_the_middle_of_a_burst_every_pod_is_bound_exactly_once() {
    const NODES: usize = 5;
    const BURST: usize = 500;
    let cluster = control_plane(RbacSet::Primary).await;
    exact_nodes(&cluster, NODES, BURST).await;
    let pods = pods(&cluster, "default");
    let first = cluster.start_headroom_scheduler(&SHORT).unwrap();
    wait_for_log(&first, "became leader").await;
    let burst = tokio::spawn(create_many(pods.clone(), "burst", BURST, asking(json!({"cpu": "100m"}))));
    wait_placed(&pods, BURST / 10).await;
    first.kill9();
    let left = holder(&cluster, STOCK_LEASE).await;
    assert!(!left.is_empty(), "a killed process releases nothing");

    let second = cluster.start_headroom_scheduler(&SHORT).unwrap();
    wait_for_log(&second, "another process leads; waiting").await;
    burst.await.unwrap();
    wait_placed(&pods, BURST).await;
    assert_ne!(holder(&cluster, STOCK_LEASE).await, left);
    assert_full(&cluster, NODES, BURST).await;
    // The binding of each pod succeeded once, where the first process lived to see the answer.
    let bindings = bindings(&cluster, "default");
    let fine = |answers: &Bindings| answers.done == 1 || (answers.done == 0 && answers.unanswered > 0);
    let wrong: Vec<_> = bindings.iter().filter(|(_, answers)| !fine(answers)).collect();
    assert!(bindings.len() == BURST && wrong.is_empty(), "{} pods; {wrong:?}", bindings.len());
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[tokio::test]
async fn a_leader_that_was_stopped_writes_nothing_after_its_deadline() {
    const NODES: usize = 4;
    const BURST: usize = 400;
    let cluster = control_plane(RbacSet::Primary).await;
    let other = second_scheduler(&cluster, "second-scheduler").await;
    exact_nodes(&cluster, NODES, BURST).await;
    let pods = pods(&cluster, "default");
    let first = cluster.start_headroom_scheduler(&SHORT).unwrap();
    wait_for_log(&first, "became leader").await;
    let before = holder(&cluster, STOCK_LEASE).await;
    let second = cluster.start_ours("headroom-scheduler", &other, &SHORT).unwrap();
    wait_for_log(&second, "another process leads; waiting").await;

    // Stopped with bindings in flight and more to come, continued as soon as the other one leads.
    let burst = tokio::spawn(create_many(pods.clone(), "burst", BURST, asking(json!({"cpu": "100m"}))));
    wait_placed(&pods, BURST / 10).await;
    first.signal(Signal::STOP).unwrap();
    wait_for_log(&second, "became leader").await;
    first.signal(Signal::CONT).unwrap();
    assert_eq!(first.wait_exit(LONG).await.unwrap().code(), Some(1));
    // The decider may have the last word: it hears of bindings that were not sent.
    assert!(first.log().contains("headroom-scheduler: leader election lost\n"), "{}", first.log_tail());
    burst.await.unwrap();
    wait_placed(&pods, BURST).await;
    assert_ne!(holder(&cluster, STOCK_LEASE).await, before);
    assert_full(&cluster, NODES, BURST).await;
    assert_bound_once(&cluster, "default", BURST);

    let writes = writes_of(&cluster, &Identity::HeadroomScheduler.user());
    let renewal = writes.iter().rfind(|event| {
        let lease = event.object_ref.as_ref().is_some_and(|of| of.resource == "leases");
        lease && matches!(event.code(), 200 | 201)
    });
    // The deadline counts from when the request was sent, which was before it arrived.
    let deadline = time(&renewal.unwrap().request_received_timestamp) + SHORT_DEADLINE;
    let taken = writes_of(&cluster, &other.user());
    let taken = taken.iter().find(|event| event.code() == 200).unwrap();
    assert!(time(&taken.request_received_timestamp) > deadline, "the other took over before the deadline");
    for event in &writes {
        let late = time(&event.stage_timestamp) > deadline;
        assert!(!late, "after {deadline}: {} {} at {}", event.verb, event.request_uri, event.stage_timestamp);
    }
    let bound_by = |user: &str| {
        let of = |event: &&_| event_is_binding(event);
        writes_of(&cluster, user).iter().filter(of).count()
    };
    assert!(bound_by(&Identity::HeadroomScheduler.user()) > 0 && bound_by(&other.user()) > 0);

    // The one that leads now loses the lease because the API server hangs.
    cluster.freeze_api_server().unwrap();
    assert_eq!(second.wait_exit(LONG).await.unwrap().code(), Some(1));
    assert!(second.log().ends_with("headroom-scheduler: leader election lost\n"), "{}", second.log_tail());
    cluster.thaw_api_server().unwrap();
}

fn event_is_binding(event: &headroom_e2e::control_plane::audit::AuditEvent) -> bool {
    event.code() == 201 && event.object_ref.as_ref().is_some_and(|of| of.subresource == "binding")
}

/// Which of two processes leads, by their logs: `(leader, other)`.
async fn leader_of<'a>(one: &'a Process, two: &'a Process) -> (&'a Process, &'a Process) {
    let leads = |process: &Process| process.log().contains("became leader");
    eventually(LONG, "one of two to lead", || async {
        match (leads(one), leads(two)) {
            (true, true) => Err("both do"),
            (true, false) => Ok((one, two)),
            (false, true) => Ok((two, one)),
            (false, false) => Err("none does"),
        }
    })
    .await
    .unwrap()
}

#[tokio::test]
async fn of_two_one_waits_and_takes_over_what_is_released() {
    let cluster = control_plane(RbacSet::Primary).await;
    node(&cluster, "n1", json!({})).await;
    let pods = pods(&cluster, "default");
    // Leases of five minutes: who takes over within the test's deadline does so because the lease was released.
    let one = cluster.start_headroom_scheduler(&PATIENT).unwrap();
    let two = cluster.start_headroom_scheduler(&PATIENT).unwrap();
    let (first, second) = leader_of(&one, &two).await;
    wait_for_log(second, "another process leads; waiting").await;
    // Readiness does not depend on leadership.
    cluster.wait_healthy(first, "/readyz", LONG).await.unwrap();
    cluster.wait_healthy(second, "/readyz", LONG).await.unwrap();
    let before = holder(&cluster, STOCK_LEASE).await;
    create(&pods, &pod("a", both(asking(json!({"cpu": "100m"})), json!({})))).await;
    bound(&pods, "a").await;

    assert!(first.terminate(LONG).await.unwrap().success());
    assert!(first.log().contains("released the lease"), "{}", first.log_tail());
    wait_for_log(second, "became leader").await;
    let after = holder(&cluster, STOCK_LEASE).await;
    assert!(!after.is_empty() && after != before);
    create(&pods, &pod("b", json!({}))).await;
    bound(&pods, "b").await;
    assert_bound_once(&cluster, "default", 2);

    // One that waits ends as orderly, and leaves the lease alone.
    let third = cluster.start_headroom_scheduler(&PATIENT).unwrap();
    wait_for_log(&third, "another process leads; waiting").await;
    assert!(third.terminate(LONG).await.unwrap().success());
    assert_eq!(holder(&cluster, STOCK_LEASE).await, after);
    second.expect_running("the end of a third").unwrap();
}
