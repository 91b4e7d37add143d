use std::time::Duration;

use super::super::herd::HerdNode;
use super::super::{Series, Totals};
use super::*;

fn report() -> Report {
    let plan = Plan { herd: true, thrash: Some(Duration::from_secs(100)), command: "make bench-memory".to_owned() };
    let herd = |side, pods: [usize; 3], waiting| Herd {
        side,
        demand_mib: 128,
        nodes: pods
            .iter()
            .enumerate()
            .map(|(i, &pods)| HerdNode {
                name: format!("worker-{i}"),
                headroom_before_mib: 442,
                pods,
                headroom_after_mib: 442 - 128 * i64::try_from(pods).unwrap(),
            })
            .collect(),
        waiting,
        message: (waiting > 0).then(|| "0/3 nodes are available".to_owned()),
    };
    let series = Series {
        at: vec![1.0, 2.0, 100.0],
        thrashing_nodes: vec![0, 3, 1],
        worst_pressure: vec![0.0, 80.0, 20.0],
        work_seconds: vec![0.0, 5.0, 12_345.0],
        lost: vec![0, 2, 2],
        running: vec![1, 2, 3],
        waiting: vec![0, 0, 0],
    };
    let thrash = |side, oom_kills| Thrash {
        side,
        seconds: 100.0,
        totals: Totals {
            oom_kills,
            oom_kills_of_declared: oom_kills,
            work_seconds: 123_456.0,
            major_faults: 123_456_789,
            ..Totals::default()
        },
        series: series.clone(),
    };
    Report {
        herd: vec![herd(Side::Stock, [4, 4, 3], 0), herd(Side::Headroom, [3, 3, 3], 2)],
        thrash: vec![thrash(Side::Stock, 7), thrash(Side::Headroom, 0)],
        ..Report::new(&plan)
    }
}

#[test]
fn the_table_fits_into_80_columns() {
    let text = table(&report());
    for line in text.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    for part in ["4 pods, -70 MiB", "3 pods, +58 MiB", "OOM kills", "123456789"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    assert!(!text.contains("NOT KEPT"), "{text}");
}

#[test]
fn what_ours_does_not_keep_is_told_everywhere() {
    let mut report = report();
    report.thrash[1].totals.oom_kills_of_declared = 2;
    report.herd[1].nodes[0].headroom_after_mib = -70;
    assert_eq!(report.broken_promises().len(), 2);
    let told = "2 OOM kills of pods that declared their needs";
    assert!(table(&report).contains(told) && page::page(&report).contains(told));
}

#[test]
fn json_page_and_chart_are_written() {
    let dir = tempfile::tempdir().unwrap();
    write(&report(), dir.path()).unwrap();
    let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
    let json: serde_json::Value = serde_json::from_str(&read("memory.json")).unwrap();
    assert_eq!((&json["thrash"][0]["side"], &json["thrash"][0]["totals"]["oom_kills"]), (&"stock".into(), &7.into()));
    let page = read("memory.md");
    assert!(
        page.contains("thrash.svg") && page.contains("## How it is measured") && page.contains("442 MiB"),
        "{page}"
    );
    let chart = read("thrash.svg");
    for part in ["prefers-color-scheme:dark", "Nodes that thrash", "headroom-scheduler", "Seconds since the start"] {
        assert!(chart.contains(part), "{part} in {chart}");
    }
    // One cross per side and one in the legend; every element is closed.
    assert_eq!(chart.matches("stroke-width=\"2\"").count(), 3);
    assert_eq!(chart.matches("<text").count(), chart.matches("</text>").count());
}
