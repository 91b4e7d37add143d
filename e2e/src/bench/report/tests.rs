use super::stats::{median, paired, ratio};
use super::*;
use crate::bench::Bare;

fn burst(pods_per_second: f64) -> Burst {
    Burst {
        pods_per_second,
        pods_per_second_with_events: pods_per_second / 2.0,
        per_second: vec![1, 2],
        first_bind_seconds: 12.5,
        last_bind_seconds: 99.0,
        cpu_micros_per_pod: 21_234.0,
        server_cpu_micros_per_pod: 900.0,
        rss_bytes: 2222 << 20,
        peak_rss_bytes: 3333 << 20,
        drained_after_seconds: 1.0,
        last_event_seconds: 100.0,
        events: 150_000,
        attempts: None,
        bindings_refused: 0,
        watch_restarts: 0,
        watch_lag_seconds: 0.0,
        pod_bytes: 1000,
        bound_exactly_once: true,
        problems: Vec::new(),
    }
}

fn report() -> Report {
    report_of(Release::default())
}

fn plan(kubernetes: Release) -> Plan {
    Plan {
        kubernetes,
        contestants: Contestant::ALL.to_vec(),
        workloads: vec![Workload::SMALL, Workload::BIG],
        cases: Vec::new(),
        repeat: 3,
        idle: true,
        quick: true,
        bare: Bare::AS_OURS,
        command: "make bench".to_owned(),
    }
}

fn report_of(kubernetes: Release) -> Report {
    let plan = plan(kubernetes);
    let mut report = Report::new(&plan, &[]);
    for workload in plan.workloads {
        for contestant in Contestant::ALL {
            for rate in [500.0, 123_456.0, 400.0] {
                report.add_burst(workload, contestant, burst(rate));
            }
        }
    }
    for contestant in [Contestant::Stock, Contestant::Headroom] {
        report.add_idle(
            contestant,
            Idle {
                rss_bytes: 9999 << 20,
                peak_rss_bytes: 9999 << 20,
                cpu_millis_per_minute: 60_000.0,
                requests_per_minute: 12_345.0,
            },
        );
    }
    report
}

#[test]
fn the_table_fits_into_80_columns() {
    let text = table(&report());
    for line in text.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    for part in ["100 nodes, 5000 pods", "1000 nodes, 10000 pods", "headroom/stock", "headroom/bare", "idle", "Medians"]
    {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn runs_of_the_same_kind_become_one_median() {
    let report = report();
    assert_eq!(report.bursts.len(), 6);
    assert_eq!(report.workloads(), [Workload::SMALL, Workload::BIG]);
    let got = report.result(Workload::BIG, Contestant::Stock).unwrap().median;
    assert!((got.pods_per_second - 500.0).abs() < f64::EPSILON);
}

#[test]
fn the_rate_until_the_last_event_stands_beside_that_of_the_bindings() {
    let report = report();
    let page = page::page(&report, &[]);
    assert!(page.contains("| | pods/s | with events, pods/s | CPU/pod |"), "{page}");
    assert!(page.contains("| stock | 500 | 250 | 21234 µs |"), "{page}");
    assert!(page.contains("last event is written"), "{page}");
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["bursts"][0]["median"]["pods_per_second_with_events"], 250.0);
    assert_eq!(json["bursts"][0]["runs"][0]["pods_per_second_with_events"], 250.0);
    let row = table(&report).lines().find(|line| line.starts_with("stock ")).map(str::to_owned).unwrap();
    assert_eq!(row.split_whitespace().take(3).collect::<Vec<_>>(), ["stock", "500", "250"]);
}

#[test]
fn a_wrong_run_is_shown_everywhere() {
    let mut report = report();
    assert!(report.is_right());
    let problems = vec!["app-1 is not bound".to_owned()];
    report.add_burst(Workload::BIG, Contestant::Headroom, Burst { bound_exactly_once: false, problems, ..burst(1.0) });
    assert!(!report.is_right());
    assert!(table(&report).contains("NO"));
    let page = page::page(&report, &[]);
    assert!(page.contains("**no**") && page.contains("headroom: app-1 is not bound"), "{page}");
}

#[test]
fn json_and_page_are_written() {
    let dir = tempfile::tempdir().unwrap();
    let into = dir.path().join("docs/benchmarks");
    write(&report(), &into).unwrap();
    let json: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(into.join("latest.json")).unwrap()).unwrap();
    assert_eq!(json["schema"], 1);
    assert_eq!(json["bursts"][0]["runs"].as_array().map(Vec::len), Some(3));
    assert_eq!(json["bursts"][0]["contestant"], "bare");
    let page = std::fs::read_to_string(into.join("README.md")).unwrap();
    assert!(page.contains("## How it is measured") && page.contains("](bursts.svg)"), "{page}");
    let picture = std::fs::read_to_string(into.join("bursts.svg")).unwrap();
    assert_eq!(picture.matches("class=\"fill-bare\"").count(), 3 * 2 + 1, "a bar per figure and workload, a legend");
}

#[test]
fn what_was_measured_beside_another_release_stays() {
    let dir = tempfile::tempdir().unwrap();
    let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
    write(&report_of(Release::V1_37), dir.path()).unwrap();
    assert!(!dir.path().join("README.md").exists() && !dir.path().join("latest.json").exists());
    let (page, figures) = (read("1.37.md"), read("latest-1.37.json"));
    assert!(page.starts_with("# Benchmarks, Kubernetes 1.37.2\n"), "{page}");
    assert!(page.contains("`make bench KUBERNETES=1.37.2`") && page.contains("`latest-1.37.json`"), "{page}");
    assert!(page.contains("](bursts-1.37.svg)") && page.contains("](README.md#how-it-is-measured)"), "{page}");
    assert!(read("bursts-1.37.svg").contains("Kubernetes 1.37.2"));

    write(&report(), dir.path()).unwrap();
    assert_eq!((read("1.37.md"), read("latest-1.37.json")), (page, figures));
    assert!(
        read("README.md").contains("beside Kubernetes 1.37.2: [1.37.md](1.37.md).") && !read("latest.json").is_empty()
    );
    write(&report_of(Release::V1_37), dir.path()).unwrap();
    assert!(read("1.37.md").contains("beside Kubernetes 1.36.4: [README.md](README.md)."));
}

#[test]
fn bars_are_shown_with_what_was_measured() {
    let report = report();
    let page = page::page(&report, &[]);
    assert!(page.contains("| 100x5000: pods/s, in those of the bare loop | ≥ 0.950x | 1.000x | yes |"), "{page}");
    assert!(page.contains("| 1000x10000: CPU per pod, in that of stock | ≤ 0.100x | 1.000x | **no** |"), "{page}");
    assert!(table(&report).contains("NOT MET"));
}

#[test]
fn medians_and_ratios() {
    let of = |values: &[f64]| median(values.iter().copied());
    assert!((of(&[3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
    assert!((of(&[4.0, 1.0]) - 2.5).abs() < f64::EPSILON);
    assert!(of(&[]).abs() < f64::EPSILON);
    assert_eq!(ratio(Some(1.5)), "1.50x");
    assert_eq!(ratio(Some(1.0 / 30.0)), "0.033x");
    assert_eq!(ratio(None), "-");
}

#[test]
fn a_ratio_is_the_median_of_those_within_rounds() {
    let of = |ours: &[f64], theirs: &[f64]| paired(ours, theirs, |value| *value);
    // Of the medians it would be 100 / 90.
    assert_eq!(of(&[100.0, 400.0, 90.0], &[50.0, 100.0, 90.0]), Some(2.0));
    assert_eq!(of(&[3.0, 8.0], &[2.0, 2.0]), Some(2.75));
    assert_eq!(of(&[1.0, 1.0], &[1.0, 0.0]), None);
    assert_eq!(of(&[], &[]), None);
}

#[test]
fn table_page_and_bars_compare_round_by_round() {
    let mut report = Report::new(&plan(Release::default()), &[]);
    let rates = [[50.0, 100.0, 90.0], [100.0, 100.0, 100.0], [100.0, 400.0, 90.0]];
    for (contestant, rates) in Contestant::ALL.into_iter().zip(rates) {
        for rate in rates {
            let cpu_micros_per_pod = 100_000.0 / rate;
            report.add_burst(Workload::SMALL, contestant, Burst { cpu_micros_per_pod, ..burst(rate) });
        }
    }
    let page = page::page(&report, &[]);
    assert!(page.contains("| headroom/bare | 2.00x | 2.00x | 0.500x | 1.00x |"), "{page}");
    assert!(page.contains("| 100x5000: pods/s, in those of the bare loop | ≥ 0.950x | 2.000x | yes |"), "{page}");
    assert!(page.contains("Medians of 3 rounds; a ratio is the median of those within each round"), "{page}");
    let table = table(&report);
    let row = table.lines().find(|line| line.starts_with("headroom/bare")).unwrap();
    assert!(row.contains("2.00x") && row.contains("0.500x"), "{row}");
}

#[test]
fn results_of_scheduler_perf_stay_until_they_are_measured_again() {
    let dir = tempfile::tempdir().unwrap();
    let cases = Case::find("SchedulingBasic").unwrap();
    let with = |case: Case, rates: [f64; 2]| {
        let mut report = Report::new(
            &Plan {
                kubernetes: Release::default(),
                contestants: Contestant::ALL.to_vec(),
                workloads: Vec::new(),
                cases: vec![case],
                repeat: 1,
                idle: false,
                quick: false,
                bare: Bare::AS_OURS,
                command: String::new(),
            },
            &[],
        );
        report.add_case(case, Contestant::Stock, burst(rates[0]));
        report.add_case(case, Contestant::Headroom, burst(rates[1]));
        report
    };
    for report in [with(cases[1], [100.0, 300.0]), with(cases[0], [11.0, 12.0]), with(cases[1], [100.0, 400.0])] {
        write(&report, dir.path()).unwrap();
        for line in table(&report).lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }
    assert!(!dir.path().join("README.md").exists());
    let page = std::fs::read_to_string(dir.path().join("scheduler-perf.md")).unwrap();
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| Scheduling")).collect();
    assert_eq!(rows.len(), 4, "{page}");
    assert!(rows[0].contains("500Nodes") && page.contains("4.00x") && !page.contains("3.00x"), "{page}");
}
