//! Whole traces: of objects as the API has them to what is printed.

use std::process::ExitCode;

use headroom_core::Timestamp;
use headroom_runtime::wire::time::parse_rfc3339;
use serde_json::json;

use super::*;
use crate::{
    testkit::golden,
    trace::model::{Event, Precision},
};

fn at(text: &str) -> Timestamp {
    parse_rfc3339(&format!("2026-11-22T{text}Z")).unwrap()
}

fn stamp(text: &str) -> String {
    format!("2026-11-22T{text}Z")
}

/// A ReplicationController of two: one pod serves, the other fits nowhere.
fn cluster() -> Vec<Value> {
    let labels = json!({"app": "web"});
    let meta = |name: &str, uid: &str| {
        json!({"name": name, "namespace": "default", "uid": uid, "labels": labels, "creationTimestamp": stamp("10:00:00"),
               "ownerReferences": [{"kind": "ReplicationController", "name": "web", "uid": "ur", "controller": true}]})
    };
    vec![
        json!({"apiVersion": "v1", "kind": "ReplicationController",
            "metadata": {"name": "web", "namespace": "default", "uid": "ur", "generation": 1,
                         "creationTimestamp": stamp("10:00:00")},
            "spec": {"replicas": 2, "selector": labels}, "status": {"observedGeneration": 1, "replicas": 2}}),
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": meta("web-a", "ua"),
            "spec": {"nodeName": "n1", "containers": [{"name": "c"}]},
            "status": {"phase": "Running",
                "conditions": [
                    {"type": "PodScheduled", "status": "True", "lastTransitionTime": stamp("10:00:00")},
                    {"type": "Ready", "status": "True", "lastTransitionTime": stamp("10:00:03")}],
                "containerStatuses": [{"name": "c", "restartCount": 0,
                                       "state": {"running": {"startedAt": stamp("10:00:02")}}}]}}),
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": meta("web-b", "ub"),
            "spec": {"containers": [{"name": "c"}]},
            "status": {"phase": "Pending", "conditions": [
                {"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
                 "message": "0/1 nodes are available: 1 Insufficient memory."}]}}),
        json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": "e1", "namespace": "default"},
            "involvedObject": {"kind": "Pod", "name": "web-a", "uid": "ua"}, "reason": "Scheduled", "type": "Normal",
            "message": "Successfully assigned default/web-a to n1", "reportingComponent": "default-scheduler",
            "eventTime": stamp("10:00:00.250000")}),
        json!({"apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "web", "namespace": "default", "uid": "us", "creationTimestamp": stamp("09:00:00")},
            "spec": {"selector": labels}}),
        json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {"name": "web-x", "namespace": "default", "labels": {"kubernetes.io/service-name": "web"},
                "creationTimestamp": stamp("09:00:01"),
                "annotations": {"endpoints.kubernetes.io/last-change-trigger-time": stamp("10:00:02")},
                "managedFields": [{"time": stamp("10:00:03"), "fieldsV1": {"f:endpoints": {}}}]},
            "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": true},
                           "targetRef": {"kind": "Pod", "name": "web-a", "uid": "ua"}}]}),
    ]
}

fn traced(objects: &[Value], target: &str, now: &str) -> Option<Trace> {
    let whys = Whys::from([("ua".to_owned(), "the only one of 1 node that takes it".to_owned())]);
    build(&World::new(objects, "default"), &target::parse(target).unwrap(), &whys, at(now))
}

/// Changes the one object of this kind and name.
fn change(objects: &mut [Value], kind: &str, name: &str, change: impl FnOnce(&mut Value)) {
    let found = objects.iter_mut().find(|o| o["kind"] == kind && o["metadata"]["name"] == name);
    change(found.unwrap());
}

#[test]
fn the_chain_of_a_replication_controller() {
    let trace = traced(&cluster(), "rc/web", "10:01:00").unwrap();
    let expected = "\
rc/web in default: 2 of 2 pods, 1 ready; +0s is 2026-11-22T10:00:00Z

AT      TOOK   EVENT      FROM                    OBJECT
+0s     -      Created    creationTimestamp       rc/web
+0s     0s     Created    creationTimestamp       pod/web-a
+0s     0s     Created    creationTimestamp       pod/web-b
+250ms  0s     Scheduled  event Scheduled         pod/web-a
    to n1 by default-scheduler; the only one of 1 node that takes it
+2s     2s     Started    containerStatuses       pod/web-a
+3s     1s     Ready      condition Ready         pod/web-a
+3s     <=0s   InSlice    managedFields           pod/web-a
    web-x of service web

Waiting:
  pod/web-b waits for a node since 60s: 0/1 nodes are available: 1 Insufficient
  memory. (condition PodScheduled)
";
    let table = printed(&trace, Output::Table).unwrap();
    assert_eq!(table, expected);
    assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
}

#[test]
fn json_and_yaml_say_the_same() {
    let mut trace = traced(&cluster(), "pod/web-a", "10:01:00").unwrap();
    let step = |event: &str, when: &str, precision: &str, took: f64, source: &str, note: &str| {
        json!({"object": {"kind": "Pod", "name": "web-a"}, "event": event, "tookSeconds": took, "source": source,
               "when": {"at": stamp(when), "precision": precision}, "note": note})
    };
    let expected = json!({
        "apiVersion": "headroom.dev/v1alpha1", "kind": "Trace", "at": stamp("10:01:00"), "namespace": "default",
        "target": {"kind": "Pod", "name": "web-a"}, "pods": {"wanted": null, "active": 1, "ready": 1},
        "steps": [
            step("Created", "10:00:00", "second", 0.0, "creationTimestamp", ""),
            step("Scheduled", "10:00:00.250000", "exact", 0.0, "event Scheduled",
                 "to n1 by default-scheduler; the only one of 1 node that takes it"),
            step("Started", "10:00:02", "second", 2.0, "containerStatuses", ""),
            step("Ready", "10:00:03", "second", 1.0, "condition Ready", ""),
            step("InEndpointSlice", "10:00:03", "notLater", 0.0, "managedFields", "web-x of service web"),
        ],
        "waiting": [],
    });
    let json: Value = serde_json::from_str(&printed(&trace, Output::Json).unwrap()).unwrap();
    assert_eq!(json, expected);
    let yaml: Value = serde_saphyr::from_str(&printed(&trace, Output::Yaml).unwrap()).unwrap();
    assert_eq!(yaml, json);
    trace.slowest_first();
    let order: Vec<&str> = trace.steps.iter().map(|step| step.event.as_str()).collect();
    assert_eq!(order, ["Started", "Ready", "Created", "Scheduled", "InSlice"]);
}

#[test]
fn the_json_of_a_saved_cluster() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/small-cluster.yaml");
    let objects = snapshot::objects(&std::fs::read_to_string(path).unwrap()).unwrap();
    let of = target::parse("rs/web-5d9c").unwrap();
    let trace = build(&World::new(&objects, "shop"), &of, &Whys::new(), at("10:00:00")).unwrap();
    golden("trace/golden/replica-set.json", &printed(&trace, Output::Json).unwrap());
}

#[test]
fn what_pods_wait_for() {
    let ready = "/status/conditions/1";
    type Change = fn(&mut Value);
    let cases: [(&str, Change, Event, &str); 8] = [
        (
            "a node, and nobody looks",
            |pod| {
                pod["spec"]["nodeName"] = json!("");
                pod["spec"]["schedulerName"] = json!("other");
                pod["status"]["conditions"] = json!([]);
            },
            Event::Scheduled,
            "other has said nothing of it",
        ),
        (
            "a gate",
            |pod| {
                pod["spec"]["nodeName"] = json!("");
                pod["spec"]["schedulingGates"] = json!([{"name": "example.com/wait"}]);
                pod["status"]["conditions"] =
                    json!([{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}]);
            },
            Event::Scheduled,
            "held back by scheduling gates: example.com/wait",
        ),
        (
            "a kubelet",
            |pod| pod["status"]["containerStatuses"] = json!([]),
            Event::Started,
            "the kubelet of n1 has not reported it",
        ),
        (
            "an image",
            |pod| {
                pod["status"]["containerStatuses"][0]["state"] =
                    json!({"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image \"x\""}});
            },
            Event::Started,
            "container c: ImagePullBackOff: Back-off pulling image",
        ),
        (
            "after a kill",
            |pod| {
                pod["status"]["containerStatuses"][0] = json!({"name": "c", "restartCount": 3,
                "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}},
                "lastState": {"terminated": {"reason": "OOMKilled"}}});
            },
            Event::Started,
            "CrashLoopBackOff: back-off (it ended before: OOMKilled)",
        ),
        (
            "an init container",
            |pod| {
                pod["status"]["initContainerStatuses"] =
                    json!([{"name": "i", "started": false, "state": {"running": {}}}]);
                pod["status"]["containerStatuses"][0]["state"] = json!({"waiting": {"reason": "PodInitializing"}});
            },
            Event::Started,
            "init container i runs",
        ),
        (
            "its own readiness",
            |pod| {
                pod["status"]["conditions"][1] = json!({"type": "Ready", "status": "False",
                "message": "containers with unready status: [c]"});
            },
            Event::Ready,
            "containers with unready status: [c]",
        ),
        (
            "a readiness gate",
            |pod| {
                pod["spec"]["readinessGates"] = json!([{"conditionType": "example.com/lb"}]);
                pod["status"]["conditions"][1]["status"] = json!("False");
            },
            Event::Ready,
            "readiness gates: example.com/lb",
        ),
    ];
    for (what, changed, next, why) in cases {
        let mut objects = cluster();
        change(&mut objects, "Pod", "web-a", changed);
        let trace = traced(&objects, "pod/web-a", "10:01:00").unwrap();
        let [wait] = trace.waiting.as_slice() else { panic!("{what}: {:?}", trace.waiting) };
        assert!(wait.next == next && wait.why.contains(why), "{what}: {wait:?}");
    }
    // Pods that are done wait for nothing.
    let mut objects = cluster();
    change(&mut objects, "Pod", "web-a", |pod| {
        assert!(pod.pointer(ready).is_some());
        pod["status"] = json!({"phase": "Failed", "reason": "Evicted", "message": "low on memory", "containerStatuses": [
            {"name": "c", "state": {"terminated": {"startedAt": stamp("10:00:02"), "finishedAt": stamp("10:00:09")}}}]});
    });
    let trace = traced(&objects, "pod/web-a", "10:01:00").unwrap();
    let last = trace.steps.last().unwrap();
    assert_eq!(
        (trace.waiting.len(), last.event, last.note.as_str()),
        (0, Event::Ended, "Failed (Evicted): low on memory")
    );
}

#[test]
fn slices_tell_what_they_can() {
    let of_slice = |objects: &[Value]| {
        let trace = traced(objects, "pod/web-a", "10:01:00").unwrap();
        let step = trace.steps.iter().find(|step| step.event == Event::InEndpointSlice).cloned();
        (step, trace.waiting)
    };
    // As a snapshot has it, without managedFields.
    let mut objects = cluster();
    change(&mut objects, "EndpointSlice", "web-x", |slice| {
        slice["metadata"].as_object_mut().unwrap().remove("managedFields");
    });
    let step = of_slice(&objects).0.unwrap();
    let when = step.when.unwrap();
    assert_eq!((when.at, when.precision, step.source.as_str()), (at("10:00:02"), Precision::NotEarlier, "annotation"));
    // In it, but not ready; then in none; then no slice at all.
    change(&mut objects, "EndpointSlice", "web-x", |slice| {
        slice["endpoints"][0]["conditions"]["ready"] = json!(false);
    });
    let (step, waiting) = of_slice(&objects);
    assert!(step.is_none() && waiting[0].why == "no EndpointSlice of service web has it as ready", "{waiting:?}");
    objects.retain(|o| o["kind"] != "EndpointSlice");
    assert!(of_slice(&objects).1[0].why.starts_with("service web has no EndpointSlice"));
    // Nobody selects it: nothing to wait for.
    objects.retain(|o| o["kind"] != "Service");
    assert_eq!(of_slice(&objects), (None, Vec::new()));
    // Written again for a pod that came later: how long this one took is not known any more.
    let mut objects = cluster();
    let mut late = objects[1].clone();
    late["metadata"]["name"] = json!("web-c");
    late["metadata"]["uid"] = json!("uc");
    late["status"]["conditions"][1]["lastTransitionTime"] = json!(stamp("10:00:30"));
    objects.push(late);
    change(&mut objects, "EndpointSlice", "web-x", |slice| {
        slice["metadata"]["managedFields"][0]["time"] = json!(stamp("10:00:31"));
        let endpoint = json!({"targetRef": {"kind": "Pod", "name": "web-c", "uid": "uc"}});
        slice["endpoints"].as_array_mut().unwrap().push(endpoint);
    });
    let step = of_slice(&objects).0.unwrap();
    assert_eq!((step.when.unwrap().at, step.took_seconds), (at("10:00:31"), None));
    assert!(step.note.ends_with("written again since, for another pod"), "{}", step.note);
}

#[test]
fn pods_that_are_missing_and_pods_that_replace_others() {
    let mut objects = cluster();
    change(&mut objects, "ReplicationController", "web", |rc| rc["spec"]["replicas"] = json!(4));
    let waits = |objects: &[Value]| traced(objects, "rc/web", "10:01:00").unwrap().waiting;
    let wait = |objects: &[Value]| waits(objects).into_iter().find(|w| w.next == Event::Created).unwrap().why;
    assert_eq!(wait(&objects), "2 pods missing: its controller has not created them yet");
    change(&mut objects, "ReplicationController", "web", |rc| rc["metadata"]["generation"] = json!(2));
    assert!(wait(&objects).contains("replicationcontroller-controller has not seen its newest version"));
    change(&mut objects, "ReplicationController", "web", |rc| {
        rc["status"]["conditions"] =
            json!([{"type": "ReplicaFailure", "status": "True", "message": "exceeded quota: small"}]);
    });
    assert_eq!(wait(&objects), "2 pods missing: exceeded quota: small");

    let mut objects = cluster();
    change(&mut objects, "Pod", "web-b", |pod| pod["metadata"]["creationTimestamp"] = json!(stamp("12:00:00")));
    let created = |objects: &[Value]| {
        let trace = traced(objects, "pod/web-b", "12:01:00").unwrap();
        (trace.steps[0].took_seconds, trace.steps[0].note.clone())
    };
    assert_eq!(created(&objects), (None, "long after its owner last changed: it replaces another pod".to_owned()));
    // Somebody scaled it up a moment before.
    change(&mut objects, "ReplicationController", "web", |rc| {
        rc["metadata"]["managedFields"] = json!([{"time": stamp("11:59:58"), "subresource": "scale"},
                                                 {"time": stamp("11:59:59"), "subresource": "status"}]);
    });
    assert_eq!(created(&objects), (Some(2.0), String::new()));
}

#[test]
fn deployments_services_and_what_is_not_there() {
    let owner = |kind: &str, name: &str| json!([{"kind": kind, "name": name, "controller": true}]);
    let mut objects = cluster();
    objects.push(json!({"kind": "Deployment", "metadata": {"name": "shop", "creationTimestamp": stamp("10:00:00")},
                        "spec": {"replicas": 1}}));
    objects.push(
        json!({"kind": "ReplicaSet", "metadata": {"name": "shop-1", "ownerReferences": owner("Deployment", "shop"),
                        "creationTimestamp": stamp("10:00:01")}, "spec": {"replicas": 1}}),
    );
    objects.push(
        json!({"kind": "ReplicaSet", "metadata": {"name": "shop-0", "ownerReferences": owner("Deployment", "shop"),
                        "creationTimestamp": stamp("08:00:00")}, "spec": {"replicas": 0}}),
    );
    objects
        .push(json!({"kind": "Pod", "metadata": {"name": "shop-1-x", "ownerReferences": owner("ReplicaSet", "shop-1"),
                        "creationTimestamp": stamp("10:00:02")}, "spec": {"containers": [{"name": "c"}]}}));
    let said = |objects: &[Value], target: &str| {
        let trace = traced(objects, target, "10:01:00")?;
        Some(trace.steps.iter().map(|s| format!("{} {}", s.object, s.event.as_str())).collect::<Vec<_>>())
    };
    let chain = ["deployment/shop Created", "rs/shop-1 Created", "pod/shop-1-x Created"].map(str::to_owned).to_vec();
    assert_eq!(said(&objects, "deployment/shop"), Some(chain.clone()));
    // A saved cluster has no Deployments; their ReplicaSets tell of them. The old one is one more of them then.
    objects.retain(|o| o["kind"] != "Deployment");
    assert!(said(&objects, "deployment/shop").unwrap().ends_with(&chain[1..]));
    let of_service = said(&objects, "svc/web").unwrap();
    assert_eq!(of_service[..2], ["svc/web Created", "endpointslice/web-x Created"]);
    assert!(of_service.contains(&"pod/web-a InSlice".to_owned()), "{of_service:?}");
    for absent in ["deployment/none", "svc/none", "pod/none", "rc/none"] {
        assert_eq!(said(&objects, absent), None, "{absent}");
    }
}

#[test]
fn the_timeline_shows_each_object_and_what_waits() {
    let mut objects = cluster();
    change(&mut objects, "Pod", "web-b", |pod| {
        pod["status"]["conditions"][0]["message"] = json!("<script> & \"more\"");
    });
    let svg = printed(&traced(&objects, "rc/web", "10:01:00").unwrap(), Output::Svg).unwrap();
    assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"), "{svg}");
    for (what, count) in [
        (">rc/web</text>", 1),
        (">pod/web-a</text>", 1),
        (">pod/web-b</text>", 1),
        ("<rect class=\"wait\"", 2),
        ("pod/web-b waits: &lt;script&gt; &amp; &quot;more&quot;", 1),
        ("<script>", 0),
    ] {
        assert_eq!(svg.matches(what).count(), count, "{what}: {svg}");
    }
    // 60 s are 680 wide: the pod started after two of them, scheduled a quarter of a second after the beginning.
    let started = "<rect class=\"started\" x=\"252.8\" y=\"124.0\" width=\"19.8\" height=\"14\">\
                   <title>pod/web-a: Started +2s (containerStatuses)</title></rect>";
    assert!(svg.contains(started), "{svg}");
}

#[test]
fn exit_status_says_whether_it_exists() {
    #[derive(Debug, clap::Parser)]
    struct Top {
        #[command(flatten)]
        options: Options,
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), json!({"kind": "List", "items": cluster()}).to_string()).unwrap();
    let snapshot = format!("--snapshot={}", file.path().display());
    let parsed =
        |args: &[&str]| <Top as clap::Parser>::try_parse_from(std::iter::once("x").chain(args.iter().copied()));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for (target, code) in [("rc/web", 0), ("svc/web", 0), ("rc/none", 3)] {
        for output in ["table", "json", "yaml", "svg"] {
            let options = parsed(&[target, &snapshot, "-o", output]).unwrap().options;
            let got = runtime.block_on(run(&options, Registry::in_tree)).unwrap();
            assert_eq!(format!("{got:?}"), format!("{:?}", ExitCode::from(code)), "{target} {output}");
        }
    }
    assert!(parsed(&["web"]).unwrap_err().to_string().contains("expected KIND/NAME"));
    assert!(parsed(&["rc/web", &snapshot, "--watch"]).is_err());
}
