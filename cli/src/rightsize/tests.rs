//! Whole reports: of objects as the API has them to what is printed.

mod live;

use headroom_core::Timestamp;
use headroom_runtime::wire::time::parse_rfc3339;
use serde_json::json;

use super::*;
use crate::testkit::{FakeServer, block_on, golden, refusal};

const AT: &str = "2026-11-22T10:00:00Z";

fn at() -> Timestamp {
    parse_rfc3339(AT).unwrap()
}

fn pod(name: &str, owner: (&str, &str), containers: &Value) -> Value {
    json!({"kind": "Pod", "metadata": {"name": name, "namespace": "default",
            "ownerReferences": [{"kind": owner.0, "name": owner.1, "controller": true}]},
           "spec": {"nodeName": "n1", "containers": containers}, "status": {"phase": "Running"}})
}

fn profile(kind: &str, name: &str, containers: &Value) -> Value {
    json!({"kind": "MemoryProfile", "apiVersion": "headroom.dev/v1alpha1",
           "metadata": {"name": format!("{}-{name}", kind.to_lowercase()), "namespace": "default"},
           "status": {"workload": {"apiVersion": "apps/v1", "kind": kind, "name": name}, "containers": containers}})
}

/// A container that was seen with 112Mi, since a time.
fn seen(name: &str, since: &str) -> Value {
    json!({"name": name, "image": "i", "peakBytes": 112 << 20, "samples": 99, "firstObservedAt": since,
           "observedAt": "2026-11-22T09:59:00Z"})
}

/// A Deployment that asks for too much, a ReplicationController that asks for too little, and a kind of others.
fn cluster() -> Vec<Value> {
    let web = json!([{"name": "web", "image": "i",
                      "resources": {"requests": {"memory": "256Mi", "cpu": "10m"}, "limits": {"memory": "512Mi"}}}]);
    let proxy = json!([{"name": "setup", "image": "i"},
        {"name": "proxy", "image": "i", "restartPolicy": "Always", "resources": {"requests": {"memory": "16Mi"}}}]);
    let cache = json!([{"name": "c", "image": "i", "resources": {"requests": {"memory": "64Mi"}, "limits": {"memory": "64Mi"}}}]);
    let odd = json!([{"name": "c", "image": "i"}]);
    let few = json!({"name": "proxy", "image": "i", "peakBytes": 5 << 20, "samples": 2,
                     "firstObservedAt": "2026-11-22T09:58:30Z", "observedAt": "2026-11-22T09:59:00Z"});
    vec![
        json!({"kind": "Deployment", "metadata": {"name": "web", "namespace": "default", "resourceVersion": "7"},
               "spec": {"replicas": 2, "template": {"spec": {"initContainers": proxy, "containers": web}}}}),
        json!({"kind": "ReplicaSet", "metadata": {"name": "web-1", "namespace": "default",
               "ownerReferences": [{"kind": "Deployment", "name": "web", "controller": true}]}}),
        pod("web-1-a", ("ReplicaSet", "web-1"), &web),
        pod("web-1-b", ("ReplicaSet", "web-1"), &web),
        profile("Deployment", "web", &json!([few, seen("web", "2026-11-13T09:59:00Z")])),
        json!({"kind": "ReplicationController", "metadata": {"name": "cache", "namespace": "default"},
               "spec": {"template": {"spec": {"containers": cache}}}}),
        pod("cache-a", ("ReplicationController", "cache"), &cache),
        profile("ReplicationController", "cache", &json!([seen("c", "2026-11-22T09:00:00Z")])),
        pod("odd-a", ("Rollout", "odd"), &odd),
        profile("Rollout", "odd", &json!([seen("c", "2026-11-13T09:59:00Z")])),
        profile("Deployment", "gone", &json!([seen("c", "2026-11-13T09:59:00Z")])),
    ]
}

fn reported(objects: &[Value]) -> Report {
    let params = Params::default();
    let rules = Rules { params: &params, lower_from: Confidence::Medium, at: at() };
    build(objects, |_, _, _| true, &rules)
}

fn options(args: &[&str]) -> Result<Options, clap::Error> {
    #[derive(Debug, clap::Parser)]
    struct Top {
        #[command(flatten)]
        options: Options,
    }
    let parsed = <Top as clap::Parser>::try_parse_from(std::iter::once("x").chain(args.iter().copied()));
    parsed.map(|top| top.options)
}

#[test]
fn the_json_of_a_saved_cluster() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/sixty-dollars.yaml");
    let objects = snapshot::objects(&std::fs::read_to_string(path).unwrap()).unwrap();
    let at = objects.iter().filter_map(|object| newest(object, MAX_DEPTH)).max().unwrap();
    let params = Params::default();
    let rules = Rules { params: &params, lower_from: Confidence::Medium, at };
    let report = build(&objects, |namespace, _, _| namespace == "shop", &rules);
    golden("rightsize/golden/shop.json", &printed(&report, &options(&["-o", "json"]).unwrap()).unwrap());
}

#[test]
fn what_cannot_be_a_name_is_in_no_command_and_no_path() {
    let small = json!([{"name": "c", "image": "i"}]);
    let days = json!([seen("c", "2026-11-13T09:59:00Z")]);
    for name in ["x\nreboot", "../../../shop/deployments/web", "a?dryRun=All", "\u{1b}[2J"] {
        let objects = [pod("a", ("StatefulSet", name), &small), profile("StatefulSet", name, &days)];
        let report = reported(&objects);
        assert!(report.workloads.is_empty(), "{report:?}");
        let [note] = report.notes.as_slice() else { panic!("{:?}", report.notes) };
        assert!(note.starts_with("skipped: ") && !note.contains(char::is_control), "{note:?}");
    }
    assert_eq!(
        reported(&[pod("a", ("StatefulSet", "x"), &small), profile("StatefulSet", "x", &days)]).workloads.len(),
        1
    );
}

#[test]
fn table_and_commands() {
    let report = reported(&cluster());
    assert_eq!(report.notes, Vec::<String>::new());
    let expected = "\
WORKLOAD        CONTAINER  REQUEST      LIMIT       SEEN   DIFF    CONFIDENCE
deployment/web  proxy      16Mi         -           5Mi    0       none
    seen too little: 2 samples in 30s
deployment/web  web        256Mi>132Mi  512Mi       112Mi  -124Mi  high
rc/cache        c          64Mi>132Mi   64Mi>132Mi  112Mi  +68Mi   low
rollout/odd     c          none>132Mi   -           112Mi  +132Mi  high
requests of 4 pods: 608Mi now, 560Mi suggested (-48Mi)
";
    let table = table::table(&report, false, false);
    assert_eq!(table, expected);
    assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
    let commands = "
# deployment/web in default: replaces its 2 pods, a few at a time
kubectl -n default patch deployment web --type=strategic -p \\
  '{\"spec\":{\"template\":{\"spec\":{\"containers\":[{\"name\":\"web\",\"resources\":{\"requests\":{\"memory\":\"132Mi\"}}}]}}}}'

# rc/cache in default: restarts nothing: new pods have it; unchanged: 1 pod
kubectl -n default patch replicationcontroller cache --type=strategic -p \\
  '{\"spec\":{\"template\":{\"spec\":{\"containers\":[{\"name\":\"c\",\"resources\":{\"limits\":{\"memory\":\"132Mi\"},\"requests\":{\"memory\":\"132Mi\"}}}]}}}}'

# rollout/odd in default: Rollout is not of Kubernetes' own kinds: set it where its containers are declared
";
    assert_eq!(table::commands(&report), commands);
    let wide = table::table(&report, true, true);
    assert!(wide.starts_with("NAMESPACE  WORKLOAD ") && wide.contains("  PODS  SAMPLES  SEEN FOR  AGE\n"), "{wide}");
}

#[test]
fn json_and_yaml_say_the_same() {
    let report = reported(&cluster());
    let json: Value = serde_json::from_str(&printed(&report, &options(&["-o", "json"]).unwrap()).unwrap()).unwrap();
    let yaml: Value = serde_saphyr::from_str(&printed(&report, &options(&["-o", "yaml"]).unwrap()).unwrap()).unwrap();
    assert_eq!(yaml, json);
    let kind = (&json["apiVersion"], &json["kind"], &json["at"]);
    assert_eq!(kind, (&json!("headroom.dev/v1alpha1"), &json!("RightsizeReport"), &json!(AT)));
    let cache = &json["workloads"][1];
    let mib = 1 << 20;
    let expected = json!({"kind": "ReplicationController", "namespace": "default", "name": "cache", "pods": ["cache-a"],
        "containers": [{
            "name": "c", "image": "i", "sidecar": false, "verdict": "raise", "confidence": "low", "reason": "",
            "now": {"requestBytes": 64 * mib, "limitBytes": 64 * mib},
            "suggested": {"requestBytes": 132 * mib, "limitBytes": 132 * mib},
            "differenceBytes": 68 * mib, "seenBytes": 112 * mib, "samples": 99, "seenForSeconds": 3540, "ageSeconds": 60}],
        "patch": {"spec": {"template": {"spec": {"containers": [{"name": "c",
            "resources": {"requests": {"memory": "132Mi"}, "limits": {"memory": "132Mi"}}}]}}}},
        "undo": {"spec": {"template": {"spec": {"containers": [{"name": "c",
            "resources": {"requests": {"memory": "64Mi"}, "limits": {"memory": "64Mi"}}}]}}}},
        "effect": "restarts nothing: new pods have it; unchanged: 1 pod", "restarts": false});
    assert_eq!(*cache, expected);
}

#[test]
fn what_could_not_be_patched_is_no_part_of_the_report() {
    let server = FakeServer::new(|asked| {
        if asked.path.contains("/deployments/web?") {
            refusal(409, "the object has been modified")
        } else {
            (200, json!({}))
        }
    });
    let done = block_on(async { apply::workloads(&server.client(), &reported(&cluster())).await });
    let failed: Vec<&Line> = done.lines.iter().filter(|line| matches!(line, Line::Failed(_))).collect();
    let why = "it was changed by somebody else meanwhile: run this again";
    assert_eq!(failed, [&Line::Failed(format!("deployment/web in default: not patched: {why}"))]);
    assert!(done.failed());
    let done: Vec<&Line> = done.lines.iter().filter(|line| matches!(line, Line::Done(_))).collect();
    assert!(done[0].to_string().starts_with("rc/cache in default: patched, which "), "{done:?}");
    for (output, beside) in [(Output::Table, true), (Output::Wide, true), (Output::Json, false), (Output::Yaml, false)]
    {
        assert_eq!(belongs_to_report(done[0], output), beside, "{output:?}");
        assert!(!belongs_to_report(failed[0], output), "{output:?}");
    }
}

#[test]
fn what_is_in_use_now_counts_where_it_can_be_told_whose_it_is() {
    let mut objects = cluster();
    let sample = |name: &str| json!({"namespace": "default", "name": name, "workingSetBytes": 200 << 20, "swapUsedBytes": 100 << 20});
    objects.push(json!({"kind": "NodeHeadroom", "metadata": {"name": "n1"},
                        "status": {"pods": [sample("cache-a"), sample("web-1-a")]}}));
    let report = reported(&objects);
    let seen = |name: &str, container: usize| {
        report.workloads.iter().find(|w| w.name == name).unwrap().containers[container].seen_bytes >> 20
    };
    assert_eq!(seen("cache", 0), 300);
    assert_eq!(seen("web", 1), 112, "there are two containers in it");
}

#[test]
fn what_a_saved_cluster_lacks_is_taken_from_what_it_has() {
    let mut objects = cluster();
    objects.retain(|o| o["kind"] != "Deployment");
    // Its ReplicaSet has no template here, and says so.
    assert!(reported(&objects).notes[0].contains("Deployment default/web"));
    objects.retain(|o| o["kind"] != "ReplicaSet" && o["metadata"]["name"] != "web-1-b");
    let report = reported(&objects);
    assert!(report.workloads.iter().all(|w| w.name != "web"), "nothing tells whose pods these are");
    objects.push(json!({"kind": "ReplicaSet", "metadata": {"name": "web-1", "namespace": "default",
        "ownerReferences": [{"kind": "Deployment", "name": "web", "controller": true}]},
        "spec": {"template": {"spec": {"containers": [{"name": "web", "image": "i", "resources": {"requests": {"memory": "1Gi"}}}]}}}}));
    let report = reported(&objects);
    let web = report.workloads.iter().find(|w| w.name == "web").unwrap();
    assert_eq!(web.containers[0].now.request_bytes, Some(1 << 30));
    assert!(web.effect.starts_with("replaces its 1 pod") && web.patch.is_some(), "{web:?}");
}

#[test]
fn of_replica_sets_the_newest_revision_has_the_template() {
    let mut objects = cluster();
    objects.retain(|o| o["kind"] != "Deployment" && o["kind"] != "ReplicaSet");
    let set = |name: &str, created: &str, revision: Option<&str>, request: &str| {
        let web = json!({"name": "web", "image": "i", "resources": {"requests": {"memory": request}}});
        let mut set = json!({"kind": "ReplicaSet", "metadata": {"name": name, "namespace": "default",
            "creationTimestamp": format!("2026-11-{created}T10:00:00Z"),
            "ownerReferences": [{"kind": "Deployment", "name": "web", "controller": true}]},
            "spec": {"template": {"spec": {"containers": [web]}}}});
        if let Some(revision) = revision {
            set["metadata"]["annotations"] = json!({"deployment.kubernetes.io/revision": revision});
        }
        set
    };
    let request = |sets: [Value; 2]| {
        let report = reported(&[&objects[..], &sets].concat());
        let web = report.workloads.iter().find(|w| w.name == "web").unwrap();
        web.containers[0].now.request_bytes.unwrap() >> 20
    };
    // The rollout to the second one was undone: numbers are compared, and times where there are none.
    let undone = [set("web-1", "01", Some("10"), "512Mi"), set("web-2", "02", Some("9"), "64Mi")];
    assert_eq!(request(undone), 512);
    assert_eq!(request([set("web-1", "01", None, "512Mi"), set("web-2", "02", None, "64Mi")]), 64);
}

#[test]
fn pods_that_declare_memory_as_a_whole_are_left_alone() {
    let mut objects = cluster();
    objects[5]["spec"]["template"]["spec"]["resources"] = json!({"limits": {"memory": "64Mi"}});
    let report = reported(&objects);
    let cache = report.workloads.iter().find(|w| w.name == "cache").unwrap();
    assert!(cache.patch.is_none() && cache.containers[0].reason.contains("spec.resources"), "{cache:?}");
}

#[test]
fn exit_status_says_whether_it_exists() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), json!({"kind": "List", "items": cluster()}).to_string()).unwrap();
    let snapshot = format!("--snapshot={}", file.path().display());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for (args, code) in [
        (&["deployment/web"][..], 0),
        (&["-A"][..], 0),
        (&["rc/cache", "deployment/none"][..], 3),
        (&["deployment/web", "-n", "other"][..], 3),
    ] {
        for output in ["table", "wide", "json", "yaml"] {
            let options = options(&[args, &[snapshot.as_str(), "-o", output]].concat()).unwrap();
            let got = runtime.block_on(run(&options)).unwrap();
            assert_eq!(format!("{got:?}"), format!("{:?}", ExitCode::from(code)), "{args:?} {output}");
        }
    }
    for (args, expected) in [
        (&["pod/web"][..], "sizes are set on what creates pods"),
        (&["web"][..], "expected KIND/NAME"),
        (&["--apply", snapshot.as_str()][..], "cannot be used with"),
        (&["--confidence", "none"][..], "invalid value"),
        (&["-A", "-n", "x"][..], "cannot be used with"),
    ] {
        let refused = options(args).unwrap_err().to_string();
        assert!(refused.contains(expected), "{args:?}: {refused}");
    }
}
