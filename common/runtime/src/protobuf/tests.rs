use std::{collections::HashSet, convert::Infallible};

use bytes::Bytes;
use futures::stream;
use headroom_core::object::Pod;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use kube::core::ObjectList;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{
    encode::{everything, frame, object, table},
    schema::Shape,
    *,
};
use crate::{
    clock,
    wire::{Interners, PodWire, RawObject},
};

fn read(encoded: &[u8]) -> Value {
    serde_json::from_slice(&to_json(encoded).unwrap()).unwrap()
}

fn row(text: &str) -> Pod {
    serde_json::from_str::<RawObject>(text).unwrap().row::<PodWire>(&mut Interners::default()).unwrap()
}

#[test]
fn every_field_of_every_table_comes_through() {
    for kind in tables::KINDS {
        let value = everything(kind.table);
        let mut expected = value.clone();
        (expected["kind"], expected["apiVersion"]) = (kind.kind.into(), kind.api_version.into());
        assert_eq!(read(&object(kind.api_version, kind.kind, kind.table, &value)), expected, "{}", kind.kind);
        let list = json!({"metadata": {"resourceVersion": "7", "continue": "t"}, "items": [value, {}]});
        let read = read(&object(kind.api_version, &format!("{}List", kind.kind), kind.list, &list));
        assert_eq!((&read["items"], &read["metadata"]), (&list["items"], &list["metadata"]), "{}", kind.kind);
    }
}

#[test]
fn a_list_of_nothing_is_a_list() {
    for kind in tables::KINDS {
        let list = json!({"metadata": {"resourceVersion": "7", "continue": ""}});
        let encoded = object(kind.api_version, &format!("{}List", kind.kind), kind.list, &list);
        let read: ObjectList<RawObject> = serde_json::from_slice(&to_json(&encoded).unwrap()).unwrap();
        assert_eq!((read.items.len(), read.metadata.resource_version.as_deref()), (0, Some("7")), "{}", kind.kind);
    }
}

#[test]
fn tables_are_well_formed() {
    fn check(table: &'static Message) {
        // The writer remembers what it has seen in 64 bits.
        assert!(table.0.len() <= 64);
        let (numbers, names): (HashSet<_>, HashSet<_>) = table.0.iter().map(|f| (f.number, f.name)).unzip();
        assert_eq!((numbers.len(), names.len()), (table.0.len(), table.0.len()), "{table:?}");
        for field in table.0 {
            if let Shape::Object(inner) | Shape::Objects(inner) | Shape::Inline(inner) = field.shape {
                check(inner);
            }
        }
    }
    for kind in tables::KINDS {
        check(kind.list);
    }
    check(&tables::STATUS);
}

#[test]
fn a_pod_is_the_same_row_in_both_encodings() {
    let pod = json!({
        "metadata": {"name": "web-1", "namespace": "shop", "uid": "u-1", "resourceVersion": "42", "generation": 3,
            "creationTimestamp": "2026-11-22T10:00:00Z", "labels": {"app": "web"}, "finalizers": ["x"],
            "annotations": {"headroom.dev/swap": "never", "noise": "n"},
            "ownerReferences": [{"apiVersion": "v1", "kind": "ReplicationController", "name": "web", "uid": "rc",
                "controller": true}]},
        "spec": {"schedulerName": "default-scheduler", "priority": -7, "nodeName": "n1", "restartPolicy": "Always",
            "nodeSelector": {"zone": "a"}, "terminationGracePeriodSeconds": 0, "hostNetwork": true,
            "containers": [{"name": "c", "image": "nginx",
                "resources": {"requests": {"cpu": "100m", "memory": "64Mi", "example.com/gpu": "2"}},
                "ports": [{"containerPort": 80, "hostPort": 8080, "protocol": "UDP"}]}],
            "initContainers": [{"name": "side", "restartPolicy": "Always"}, {"name": "init"}],
            "tolerations": [{"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}],
            "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
                {"matchExpressions": [{"key": "k", "operator": "In", "values": ["a", "b"]}]}]}},
                "podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 5,
                    "podAffinityTerm": {"topologyKey": "t", "labelSelector": {}}}]}},
            "volumes": [{"name": "tmp", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}, {"name": "cfg"},
                {"name": "data", "persistentVolumeClaim": {"claimName": "d"}}]},
        "status": {"phase": "Running", "podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}],
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-11-22T10:00:05Z"}],
            "containerStatuses": [{"name": "c", "ready": true, "restartCount": 2,
                "state": {"running": {"startedAt": "2026-11-22T10:00:04Z"}},
                "lastState": {"terminated": {"reason": "OOMKilled", "finishedAt": "2026-11-22T10:00:03Z"}}}]},
    });
    let encoded = object("v1", "Pod", table("Pod"), &pod);
    let text = String::from_utf8(to_json(&encoded).unwrap()).unwrap();
    assert_eq!(format!("{:?}", row(&text)), format!("{:?}", row(&pod.to_string())));
}

#[test]
fn the_zero_time_is_null() {
    let pod = json!({"metadata": {"creationTimestamp": null, "deletionTimestamp": "1970-01-01T00:00:00Z"}});
    let read = read(&object("v1", "Pod", table("Pod"), &pod));
    assert_eq!(read["metadata"], pod["metadata"]);
}

#[test]
fn a_text_that_is_not_utf8_is_read_as_go_would_write_it() {
    let condition = |message: &[u8]| {
        let (mut condition, mut status, mut pod, mut envelope) = (Vec::new(), Vec::new(), Vec::new(), MAGIC.to_vec());
        encode::bytes(&mut condition, 6, message);
        encode::bytes(&mut status, 2, &condition);
        encode::bytes(&mut pod, 3, &status);
        encode::bytes(&mut envelope, 1, b"\x0a\x02v1\x12\x03Pod");
        encode::bytes(&mut envelope, 2, &pod);
        read(&envelope)["status"]["conditions"][0]["message"].as_str().unwrap().to_owned()
    };
    assert_eq!(condition(b"exit \xff"), "exit \u{fffd}");
    assert_eq!(condition(b"\xc3\n\"\xe4\""), "\u{fffd}\n\"\u{fffd}\"");
}

#[test]
fn answers_to_writes_are_read_as_far_as_they_are_asked_for() {
    let pod = json!({"metadata": {"name": "p", "namespace": "d", "uid": "u", "resourceVersion": "9", "generation": 4}});
    let read: Value = serde_json::from_slice(&answer(&object("v1", "Pod", table("Pod"), &pod)).unwrap()).unwrap();
    assert_eq!(read, json!({"metadata": {"name": "p", "namespace": "d", "uid": "u", "resourceVersion": "9"}}));
    let status = json!({"status": "Failure", "message": "m", "reason": "Conflict", "code": 409,
        "details": {"retryAfterSeconds": 3, "causes": [{"reason": "NamespaceTerminating"}]}});
    let encoded = object("v1", "Status", &tables::STATUS, &status);
    assert_eq!(serde_json::from_slice::<Value>(&answer(&encoded).unwrap()).unwrap(), status);
    assert_eq!(&*answer(b"{}").unwrap(), b"{}");
    assert!(answer(&encoded[..encoded.len() - 3]).is_err());
}

#[test]
fn what_is_not_understood_is_an_error() {
    let pod = object("v1", "Pod", table("Pod"), &json!({}));
    let mut twice = Vec::new();
    for _ in 0..2 {
        encode::bytes(&mut twice, 1, b"");
        encode::bytes(&mut twice, 2, b"");
    }
    let mut envelope = MAGIC.to_vec();
    encode::bytes(&mut envelope, 1, b"\x0a\x02v1\x12\x03Pod");
    encode::bytes(&mut envelope, 2, &twice);
    for (encoded, reason) in [
        (&b"{}"[..], "its beginning"),
        (&pod[..pod.len() - 1], "an end within a number"),
        (&pod[..9], "a length"),
        (&object("v1", "Secret", table("Pod"), &json!({})), "a kind that was not asked for"),
        (&envelope, "a field in two places"),
    ] {
        assert_eq!(to_json(encoded), Err(Malformed(reason)));
    }
}

/// A body that comes in pieces, read to its end; and whether JSON is asked for from then on.
fn through(encoding: Encoding, pieces: Vec<Vec<u8>>) -> (Result<Bytes, String>, bool) {
    let trust = Trust::default();
    let frames = pieces.into_iter().map(|p| Ok::<_, Infallible>(Frame::data(Bytes::from(p))));
    let answer = Answer::new(StreamBody::new(stream::iter(frames)), encoding, trust.clone());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let body = runtime.block_on(answer.collect()).map(http_body_util::Collected::to_bytes).map_err(|e| e.to_string());
    (body, !trust.asks(clock::mono()))
}

#[test]
fn a_watch_becomes_lines() {
    let pod = |rv: &str| object("v1", "Pod", table("Pod"), &json!({"metadata": {"name": "p", "resourceVersion": rv}}));
    let gone = json!({"status": "Failure", "code": 410, "reason": "Expired"});
    let mut all = frame("ADDED", &pod("1"));
    all.extend(frame("DELETED", &pod("2")));
    all.extend(frame("ERROR", &object("v1", "Status", &tables::STATUS, &gone)));
    let expected = concat!(
        r#"{"type":"ADDED","object":{"kind":"Pod","apiVersion":"v1","metadata":{"name":"p","resourceVersion":"1"}}}"#,
        "\n",
        r#"{"type":"DELETED","object":{"kind":"Pod","apiVersion":"v1","metadata":{"name":"p","resourceVersion":"2"}}}"#,
        "\n",
        r#"{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Expired","code":410}}"#,
        "\n",
    );
    for size in [1, 3, 7, 100, all.len()] {
        let pieces = all.chunks(size).map(<[u8]>::to_vec).collect();
        assert_eq!(through(Encoding::Watch, pieces), (Ok(expected.into()), false), "{size}");
    }
    // Cut within a frame: what was whole is there.
    let cut = all[..all.len() - 5].to_vec();
    let (lines, given_up) = through(Encoding::Watch, vec![cut]);
    assert_eq!((lines.unwrap().iter().filter(|b| **b == b'\n').count(), given_up), (2, false));
}

#[test]
fn what_cannot_be_read_is_asked_for_in_json_from_then_on() {
    let (body, given_up) = through(Encoding::Watch, vec![vec![0, 0, 0, 2, 1, 1]]);
    assert!(body.is_err() && given_up);
    let (body, given_up) = through(Encoding::Watch, vec![vec![0xff; 9]]);
    assert!(body.is_err() && given_up);
    let (body, given_up) = through(Encoding::Object, vec![b"<html>".to_vec()]);
    assert!(body.is_err() && given_up);
    let (body, given_up) = through(Encoding::Plain, vec![b"<ht".to_vec(), b"ml>".to_vec()]);
    assert_eq!((body.unwrap(), given_up), (Bytes::from_static(b"<html>"), false));
}

proptest! {
    #[test]
    fn no_bytes_break_anything(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut encoded = MAGIC.to_vec();
        encoded.extend(&bytes);
        for text in fuzz(&bytes).into_iter().chain(fuzz(&encoded)) {
            prop_assert!(serde_json::from_slice::<Value>(&text).is_ok(), "{}", String::from_utf8_lossy(&text));
        }
    }

    #[test]
    fn whatever_is_read_of_a_spoiled_object_is_json(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let kind = &tables::KINDS[0];
        let mut encoded = object(kind.api_version, kind.kind, kind.table, &everything(kind.table));
        let at = at.index(encoded.len());
        encoded[at] = byte;
        if let Ok(json) = to_json(&encoded) {
            prop_assert!(serde_json::from_slice::<Value>(&json).is_ok(), "{}", String::from_utf8_lossy(&json));
        }
    }
}
