//! Objects as large or as strange as somebody can write them: read in bounded time, and at worst a fault of their own.

use std::time::{Duration, Instant};

use headroom_core::object::Pod;
use serde_json::{Value, json};

use super::{ConvertError, Interners, PodWire, RawObject};

/// What a list of a few hostile objects may take: far above what it does, on a machine that has other things to do too.
const MOST: Duration = Duration::from_secs(20);

fn pod(name: &str, change: impl FnOnce(&mut Value)) -> String {
    let mut pod = json!({"kind": "Pod", "metadata": {"name": name, "namespace": "default", "resourceVersion": "1"},
        "spec": {"containers": [{"name": "c"}]}});
    change(&mut pod);
    pod.to_string()
}

/// Reads a list with an ordinary pod before and after.
fn within(text: &str) -> Result<Pod, ConvertError> {
    let list = format!("[{},{text},{}]", pod("before", |_| {}), pod("after", |_| {}));
    let start = Instant::now();
    let objects: Vec<RawObject> = serde_json::from_str(&list).unwrap();
    let mut interners = Interners::default();
    let mut rows: Vec<_> = objects.iter().map(|o| o.row::<PodWire>(&mut interners)).collect();
    assert!(start.elapsed() < MOST, "{:?}", start.elapsed());
    assert_eq!(rows.len(), 3);
    assert_eq!(&*rows[0].as_ref().unwrap().meta.key.name, "before");
    assert_eq!(&*rows[2].as_ref().unwrap().meta.key.name, "after");
    rows.swap_remove(1)
}

#[test]
fn large_objects_are_read() {
    let many = |n: usize| (0..n).map(|i| (format!("k{i}"), Value::from("v"))).collect::<serde_json::Map<_, _>>();
    let row = within(&pod("labels", |p| p["metadata"]["labels"] = many(50_000).into())).unwrap();
    assert_eq!(row.meta.labels.len(), 50_000);
    let row = within(&pod("annotation", |p| p["metadata"]["annotations"] = json!({"x": "y".repeat(1 << 20)}))).unwrap();
    assert!(row.meta.annotations.is_empty(), "nobody reads it");
    let row = within(&pod("containers", |p| {
        let container = |i| json!({"name": format!("c{i}"), "resources": {"requests": many(20).iter().map(|(k, _)| (k.clone(), json!("1"))).collect::<serde_json::Map<_, _>>()}});
        p["spec"]["containers"] = (0..2000).map(container).collect();
    }))
    .unwrap();
    assert_eq!(row.spec.containers.len(), 2000);
    let row = within(&pod("tolerations", |p| {
        p["spec"]["tolerations"] = (0..20_000).map(|i| json!({"key": format!("k{i}"), "operator": "Odd"})).collect();
    }))
    .unwrap();
    assert_eq!(row.spec.tolerations.len(), 20_000);
    let row = within(&pod("values", |p| {
        let values: Vec<String> = (0..50_000).map(|i| format!("v{i}")).collect();
        p["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"] =
            json!({"nodeSelectorTerms": [{"matchExpressions": [{"key": "k", "operator": "In", "values": values}]}]});
    }))
    .unwrap();
    assert!(row.spec.affinity.is_some());
}

#[test]
fn strange_objects_are_faults_of_their_own() {
    let deep = |open: &str, close: &str| {
        format!(r#"{{"metadata":{{"name":"deep"}},"spec":{}1{}}}"#, open.repeat(20_000), close.repeat(20_000))
    };
    // No depth breaks anything, neither of what nobody reads nor in the place of an object.
    assert!(within(&deep(r#"{"a":"#, "}")).unwrap().spec.containers.is_empty());
    for list in [deep("[", "]"), deep("[[", "]]")] {
        assert_eq!(within(&list).unwrap_err().reason, "expected an object, found a list");
    }
    let mut refused = Vec::new();
    for (field, amount) in [
        ("cpu", r#""1e999""#),
        ("memory", r#""9223372036854775807Ei""#),
        ("memory", r#""-1n""#),
        ("cpu", "1e308"),
        ("example.com/x", "-9223372036854775808"),
        ("pods", "18446744073709551615"),
    ] {
        let text = format!(
            r#"{{"metadata":{{"name":"a"}},"spec":{{"containers":[{{"resources":{{"requests":{{"{field}":{amount}}}}}}}]}}}}"#
        );
        if let Err(error) = within(&text) {
            assert!(error.reason.len() < 250, "{}", error.reason);
            refused.push(amount);
        }
    }
    let mut read = Vec::new();
    for wrong in [
        r#"{"metadata":{"name":"a","generation":1e400}}"#,
        r#"{"metadata":{"name":"a","generation":1.5}}"#,
        r#"{"metadata":{"name":"a"},"spec":{"containers":[{"resources":{"requests":{"cpu":"much"}}}]}}"#,
        r#"{"metadata":{"name":"a","name":"b"}}"#,
        r#"{"metadata":{"name":"a","labels":[]}}"#,
        r#"{"metadata":{}}"#,
        "[]",
        "7",
        "null",
    ] {
        match within(wrong) {
            Ok(_) => read.push(wrong),
            Err(error) => {
                assert!(!error.reason.is_empty() && error.reason.len() < 200, "{wrong}: {}", error.reason);
            }
        }
    }
    // A number that Go would not write as a quantity either is a fault of its pod.
    assert_eq!((refused, read), (vec!["1e308"], Vec::<&str>::new()));
    let numbers = r#"{"metadata":{"name":"a","generation":99999999999999999999},"spec":{"priority":-99999999999999999999,
        "terminationGracePeriodSeconds":9223372036854775807,
        "containers":[{"ports":[{"hostPort":70000,"containerPort":-1}]}]}}"#;
    let row = within(numbers).unwrap();
    assert_eq!((row.meta.generation, row.spec.priority), (i64::MAX, i32::MIN));
    assert_eq!(row.spec.containers[0].ports[0].host_port, 0);
}
