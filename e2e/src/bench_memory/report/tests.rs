use std::time::Duration;

use super::super::herd::HerdNode;
use super::super::{Series, Totals};
use super::*;

fn plan(repeat: u32) -> Plan {
    let command = "make bench-memory".to_owned();
    Plan { herd: true, thrash: Some(Duration::from_secs(100)), repeat, command }
}

fn herd(side: Side, pods: [usize; 3], waiting: usize) -> Herd {
    Herd {
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
    }
}

fn thrash(side: Side, oom_kills: usize, thrashing: f64) -> Thrash {
    let series = Series {
        at: vec![1.0, 2.0, 100.0],
        thrashing_nodes: vec![0, 3, 1],
        worst_pressure: vec![0.0, 80.0, 20.0],
        work_seconds: vec![0.0, 5.0, 12_345.0],
        lost: vec![0, 2, 2],
        running: vec![1, 2, 3],
        waiting: vec![0, 0, 0],
    };
    Thrash {
        side,
        seconds: 100.0,
        totals: Totals {
            oom_kills,
            oom_kills_of_declared: oom_kills,
            thrashing_node_seconds: thrashing,
            work_seconds: 123_456.0,
            major_faults: 123_456_789,
            ..Totals::default()
        },
        series,
    }
}

fn report() -> Report {
    let mut report = Report::new(&plan(1));
    report.add_herd(herd(Side::Stock, [4, 4, 3], 0));
    report.add_herd(herd(Side::Headroom, [3, 3, 3], 2));
    report.add_thrash(thrash(Side::Stock, 7, 546.98));
    report.add_thrash(thrash(Side::Headroom, 0, 36.0));
    report
}

/// Three rounds.
fn several() -> Report {
    let mut report = Report::new(&plan(3));
    for (stock, headroom) in [(546.98, 25.4), (530.0, 0.0), (561.0, 36.0)] {
        report.add_herd(herd(Side::Stock, [4, 4, 3], 0));
        report.add_herd(herd(Side::Headroom, [3, 3, 3], 2));
        report.add_thrash(thrash(Side::Stock, 7, stock));
        report.add_thrash(thrash(Side::Headroom, 0, headroom));
    }
    report
}

#[test]
fn the_table_fits_into_80_columns() {
    for report in [report(), several()] {
        let text = table(&report);
        for line in text.lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
        for part in ["4 pods, -70 MiB", "3 pods, +58 MiB", "OOM kills", "123456789"] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(!text.contains("NOT KEPT"), "{text}");
    }
}

#[test]
fn one_run_has_no_ranges() {
    let report = report();
    let (table, page) = (table(&report), page::page(&report));
    assert!(!table.contains("..") && !table.contains("rounds"), "{table}");
    assert!(page.contains("| node-seconds spent thrashing | 547 | 36 |"), "{page}");
    assert!(page.contains("| pods of the waves that finished | 0 of 48 | 0 of 48 |"), "{page}");
    assert!(page.contains("- One run;") && !page.contains("in round"), "{page}");
}

#[test]
fn several_runs_are_condensed_to_medians() {
    let report = several();
    let (table, page) = (table(&report), page::page(&report));
    let names = ["node-seconds spent thrashing", "  lowest..highest"];
    let expected = [["547", "25.4"], ["530..561", "0..36"]];
    for (name, [stock, headroom]) in names.into_iter().zip(expected) {
        let line = format!("{name:<50} {stock:>13} {headroom:>13}\n");
        assert!(table.contains(&line), "{line} in {table}");
    }
    assert_eq!(table.matches("lowest..highest").count(), 1, "the other figures are the same in every round: {table}");
    assert!(table.contains("The thrash scenario: 100 s, 3 rounds\n"), "{table}");
    assert!(page.contains("| node-seconds spent thrashing | 547 (530..561) | 25.4 (0..36) |"), "{page}");
    assert!(page.contains("| left on the node that has least, MiB | -70 | 58 |"), "{page}");
    assert!(page.contains("Medians of 3 rounds") && page.contains("stock in round 1, headroom in round 1"), "{page}");
}

#[test]
fn the_chart_shows_the_runs_in_the_middle() {
    let mut report = Report::new(&plan(4));
    for (round, thrashing) in [9.0, 1.0, 5.0, 3.0].into_iter().enumerate() {
        let mut run = thrash(Side::Headroom, 0, thrashing);
        run.totals.evicted = round;
        report.add_thrash(run);
    }
    // Of 3 and 5 the lower one.
    let shown: Vec<&Thrash> = report.thrash.iter().filter_map(Runs::shown).collect();
    assert_eq!((shown.len(), shown[0].totals.thrashing_node_seconds), (1, 3.0));
    let chart = chart::chart(&shown, 4);
    assert!(chart.contains("3 node-seconds of thrashing, 0 OOM kills, 3 evictions"), "{chart}");
    assert!(chart.contains("in the middle of 4"), "{chart}");
    assert_eq!((middle(&[]), middle(&[7.0]), middle(&[2.0, 2.0, 2.0])), (0, 0, 1));
}

#[test]
fn what_ours_does_not_keep_is_told_everywhere() {
    let mut report = report();
    report.thrash[1].runs[0].totals.oom_kills_of_declared = 2;
    report.herd[1].runs[0].nodes[0].headroom_after_mib = -70;
    assert_eq!(report.broken_promises().len(), 2);
    let told = "2 OOM kills of pods that declared their needs";
    assert!(table(&report).contains(told) && page::page(&report).contains(told));

    // One round of several is enough, and is named.
    let mut report = several();
    report.thrash[1].runs[2].totals.placed_on_thrashing = 1;
    assert_eq!(report.broken_promises(), ["round 3: 1 pods placed on a thrashing node"]);
}

#[test]
fn json_page_and_chart_are_written() {
    let dir = tempfile::tempdir().unwrap();
    write(&report(), dir.path()).unwrap();
    let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
    let json: serde_json::Value = serde_json::from_str(&read("memory.json")).unwrap();
    let stock = &json["thrash"][0];
    assert_eq!((&stock["side"], &stock["runs"][0]["totals"]["oom_kills"]), (&"stock".into(), &7.into()));
    assert_eq!((&json["schema"], &json["repeat"], &stock["shown"]), (&2.into(), &1.into(), &0.into()));
    let figure = &stock["figures"]["oom_kills"];
    assert_eq!(figure, &serde_json::json!({"median": 7.0, "lowest": 7.0, "highest": 7.0}));
    let page = read("memory.md");
    assert!(
        page.contains("thrash.svg") && page.contains("## How it is measured") && page.contains("442 MiB"),
        "{page}"
    );
    let chart = read("thrash.svg");
    let parts =
        ["prefers-color-scheme:dark", "Nodes that thrash", "headroom-scheduler", "Seconds since the start", "a wave"];
    for part in parts {
        assert!(chart.contains(part), "{part} in {chart}");
    }
    // One cross per side and one in the legend; every element is closed.
    assert_eq!(chart.matches("stroke-width=\"2\"").count(), 3);
    assert_eq!(chart.matches("<text").count(), chart.matches("</text>").count());
    // Both panels show the waves that came while it was watched: all four, and the legend says what they are.
    assert_eq!(chart.matches("class=\"wave\"").count(), 9);
}
