use clap::Parser;
use serde_json::json;

use super::*;

#[derive(Debug, Parser)]
struct Top {
    #[command(flatten)]
    options: Options,
}

fn objects() -> Vec<Value> {
    let node = |name: &str, status: Value| json!({"apiVersion": "headroom.dev/v1alpha1", "kind": "NodeHeadroom", "metadata": {"name": name}, "status": status});
    let mi = |n: i64| n << 20;
    vec![
        node(
            "worker-1",
            json!({"observedAt": "2026-11-22T10:00:00Z", "source": "Kubelet", "state": "Hot", "intervalSeconds": 15,
                "memory": {"capacityBytes": mi(1024), "workingSetBytes": mi(900), "systemOverheadBytes": mi(256),
                           "majorFaultsPerSecond": 120.4, "pressure": {"some": {"avg60": 12.34}}},
                "swap": {"behavior": "LimitedSwap", "capacityBytes": mi(2048), "usedBytes": mi(300), "inPagesPerSecond": 0},
                "headroomBytes": mi(-12), "accessibleSwapBytes": mi(328),
                "pods": [{"namespace": "shop", "name": "web", "uid": "u1", "workingSetBytes": mi(90), "swapUsedBytes": mi(20)},
                         {"namespace": "shop", "name": "db", "uid": "u2", "workingSetBytes": mi(300), "swapUsedBytes": 0, "swapAvailableBytes": mi(5)},
                         {"namespace": "default", "name": "tool", "uid": "u3"}]}),
        ),
        node(
            "a",
            json!({"observedAt": "2026-11-22T09:50:00Z", "source": "Kubelet", "state": "Calm", "intervalSeconds": 15,
                "memory": {"capacityBytes": mi(2048), "workingSetBytes": mi(500)}, "headroomBytes": mi(1200),
                "pods": [{"namespace": "shop", "name": "web-2", "uid": "u4", "workingSetBytes": mi(100)}]}),
        ),
        node("silent", json!({"source": "None"})),
        json!({"kind": "Pod", "metadata": {"name": "not-read-here"}}),
    ]
}

/// What is printed for these arguments, and the names of what is shown.
fn shown(args: &[&str]) -> (String, Vec<String>) {
    let top = Top::try_parse_from([&["top"], args].concat()).unwrap();
    fn of(shown: &impl Shown) -> (String, Vec<String>) {
        let mut samples = read::from_objects(objects());
        assert!(samples.notes.is_empty());
        samples.at = headroom_runtime::wire::time::parse_rfc3339("2026-11-22T10:00:07Z").unwrap();
        let items = shown.items(&samples, &samples.nodes);
        let mut table = Table::new(&shown.columns(shown.common().output == Output::Wide));
        table.fit(items.iter().map(|item| &item.cells));
        let text = items.iter().fold(table.head(), |text, item| text + &table.line(&item.cells));
        (text, items.into_iter().map(|item| item.name).collect())
    }
    match &top.options.what {
        None => of(&top.options.nodes),
        Some(What::Nodes(options)) => of(options),
        Some(What::Pods(options)) => of(options),
    }
}

#[test]
fn nodes_as_a_table_of_80_columns() {
    let (text, _) = shown(&[]);
    let expected = "\
NODE      RAM         HEADROOM  SWAP        SYSTEM  PRESSURE  STATE  AGE
a         500/2048Mi  1200Mi    -           -       -         Calm   10m (stale)
silent    -           -         -           -       -         -      -
worker-1  900/1024Mi  -12Mi     300/2048Mi  256Mi   12.3%     Hot    7s
";
    assert_eq!(text, expected);
    assert!(text.lines().all(|line| line.chars().count() <= 80));
    let (wide, _) = shown(&["nodes", "worker-1", "-o", "wide"]);
    assert!(
        wide.lines().nth(1).unwrap().ends_with("328Mi      LimitedSwap  120       0.0        no         Kubelet"),
        "{wide}"
    );
}

#[test]
fn pods_as_a_table() {
    let (text, _) = shown(&["pods", "-n", "shop"]);
    let expected = "\
POD    NODE      RAM    SWAP  SWAP LEFT
db     worker-1  300Mi  0     5Mi
web    worker-1  90Mi   20Mi  -
web-2  a         100Mi  -     -
";
    assert_eq!(text, expected);
    assert!(shown(&["pods", "-A"]).0.starts_with("NAMESPACE  POD"));
}

#[test]
fn nodes_and_pods_are_chosen_and_sorted() {
    for (args, expected) in [
        (&["nodes"][..], &["a", "silent", "worker-1"][..]),
        (&["worker-1"], &["worker-1"]),
        (&["nodes", "worker-1", "absent"], &["worker-1"]),
        (&["nodes", "--state", "hot"], &["worker-1"]),
        (&["nodes", "--state", "Calm"], &["a", "worker-1"]),
        (&["nodes", "--sort-by", "headroom"], &["worker-1", "a", "silent"]),
        (&["nodes", "--sort-by", "ram"], &["worker-1", "a", "silent"]),
        (&["nodes", "--sort-by", "pressure"], &["worker-1", "a", "silent"]),
        (&["nodes", "--sort-by", "swap"], &["worker-1", "a", "silent"]),
        (&["pods"], &["tool"]),
        (&["pods", "-A", "--sort-by", "ram"], &["db", "web-2", "web", "tool"]),
        (&["pods", "-A", "--sort-by", "swap"], &["web", "db", "tool", "web-2"]),
        (&["pods", "-A", "--sort-by", "total"], &["db", "web", "web-2", "tool"]),
        (&["pods", "-A", "--node", "a"], &["web-2"]),
        (&["pods", "web", "-n", "shop"], &["web"]),
    ] {
        assert_eq!(shown(args).1, expected, "{args:?}");
    }
}

#[test]
fn what_makes_no_sense_together_is_refused() {
    for args in [
        &["pods", "-A", "-n", "shop"][..],
        &["nodes", "--watch", "--snapshot", "f"],
        &["nodes", "--watch", "--at", "2026-11-22T10:00:00Z"],
        &["nodes", "-l", "a=b", "--snapshot", "f"],
        &["nodes", "--sort-by", "colour"],
    ] {
        assert!(Top::try_parse_from([&["top"], args].concat()).is_err(), "{args:?}");
    }
}

#[test]
fn a_sample_that_cannot_be_read_is_noted() {
    let broken = json!({"kind": "NodeHeadroom", "metadata": {"name": "b"}, "status": {"headroomBytes": "lots"}});
    let samples = read::from_objects(vec![broken]);
    assert!(samples.nodes.is_empty());
    assert!(samples.notes[0].starts_with("skipped: NodeHeadroom b: "), "{:?}", samples.notes);
}

#[test]
fn ages_and_numbers() {
    for (seconds, text) in [(0, "0s"), (119, "119s"), (130, "2m10s"), (600, "10m"), (7200, "2h"), (180_000, "2d")] {
        assert_eq!(table::age(seconds), text);
    }
    assert_eq!(table::number(Some(99.96), "%"), "100.0%");
    assert_eq!(table::number(Some(1234.5), ""), "1234");
    for (used, all, text) in [
        (None, None, "-"),
        (None, Some(1 << 30), "-/1024Mi"),
        (Some(0), Some(1 << 30), "0/1024Mi"),
        (Some(5 << 10), Some(1 << 30), "5Ki/1024Mi"),
        (Some(5 << 20), Some(1 << 30), "5/1024Mi"),
        (Some(5 << 20), None, "5Mi/-"),
        (Some(0), Some(0), "0/0"),
    ] {
        assert_eq!(table::of(used, all), text);
    }
}
