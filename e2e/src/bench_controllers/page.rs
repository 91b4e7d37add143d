//! The table, and the page `docs/benchmarks/controllers.md`.

use std::fmt::Write;

use super::{Contestant, Report, Round};
use crate::bench::measure::mebibytes;

/// The names of page and figures without their ends, for the usual version of Kubernetes.
pub(super) const STEM: &str = "controllers";

/// What the page tells about the method; it describes `measure.rs` and `services.rs`.
const METHOD: &str = "\
## How it is measured

- Each contestant has a fresh etcd and kube-apiserver for itself, and is alone there: no scheduler, no kubelets, no garbage
  collector. Both run the same seven loops: replicationcontroller, endpoints, endpointslice, endpointslice-mirroring,
  node-lifecycle, taint-eviction and pod-garbage-collector. Stock's client limits are lifted (10,000 a second; by default it
  sends 20 a second), everything else is as it comes. API server and etcd are of stock's version;
  `make bench-controllers KUBERNETES=1.37.2` measures beside Kubernetes 1.37.2, and has files of its own.
- A ReplicationController is created, and the bench looks every 20 ms whether all pods are there and whether its status
  says so; then it is scaled to 0. Pods are not bound, so that they are gone when they are deleted.
- The Service's pods are made by the bench, which writes their status as kubelets would, 50 at a time. The time for all
  runs from the answer to the last of them until every address is ready in a slice; a single change is timed with a watch
  on the slices, 20 times, half of them to not ready.
- A node dies (`--deaths`, once per profile): four simulated nodes of 1 GiB, 24 pods of a ReplicationController with the
  tolerations that admission gives them (300 s), headroom-scheduler in all runs. From the death until the node is not
  ready, and until 24 pods are ready on other nodes.
- CPU time is that of the process, user and system. The bench runs on the same machine.
";

/// What is compared: name, unit, decimals, and where it stands. Less is better.
type Row = (String, &'static str, usize, Box<dyn Fn(&Round) -> f64>);

fn rows(report: &Report) -> Vec<Row> {
    let mut rows: Vec<Row> = vec![("idle: RSS".to_owned(), "MiB", 1, Box::new(|r| mebibytes(r.idle_rss_bytes)))];
    for (i, replicas) in report.plan.replicas.iter().enumerate() {
        let mut add = |name: &str, unit, decimals, of: fn(&super::Replication) -> f64| {
            let value = move |round: &Round| round.replication.get(i).map_or(0.0, of);
            rows.push((format!("RC of {replicas}: {name}"), unit, decimals, Box::new(value)));
        };
        add("all created", "s", 2, |r| r.created_seconds);
        add("full status", "s", 2, |r| r.status_seconds);
        add("all deleted", "s", 2, |r| r.deleted_seconds);
        add("CPU", "ms", 0, |r| r.cpu_milliseconds);
        add("RSS", "MiB", 1, |r| mebibytes(r.rss_bytes));
    }
    let endpoints = report.plan.endpoints;
    let mut add = |name: &str, unit, decimals, of: fn(&super::Serving) -> f64| {
        let value = move |round: &Round| of(&round.serving);
        rows.push((format!("Service of {endpoints}: {name}"), unit, decimals, Box::new(value)));
    };
    add("all ready", "s", 2, |s| s.all_ready_seconds);
    add("writes", "", 0, |s| s.writes as f64);
    add("CPU", "ms", 0, |s| s.cpu_milliseconds);
    add("one change", "ms", 1, |s| s.flip_milliseconds);
    add("one change, worst", "ms", 1, |s| s.worst_flip_milliseconds);
    rows.push(("highest RSS".to_owned(), "MiB", 1, Box::new(|r| mebibytes(r.peak_rss_bytes))));
    rows
}

fn median(report: &Report, contestant: Contestant, of: &dyn Fn(&Round) -> f64) -> f64 {
    let mut all: Vec<f64> = report.rounds.iter().filter(|r| r.contestant == contestant).map(of).collect();
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or(0.0)
}

/// Name, both medians and what stock's is in ours.
fn cells(report: &Report) -> Vec<(String, String, String, f64)> {
    let cell = |(name, unit, decimals, of): Row| {
        let [stock, ours] = [Contestant::Stock, Contestant::Headroom].map(|who| median(report, who, &*of));
        let text = |value: f64| format!("{value:.decimals$} {unit}").trim_end().to_owned();
        (name, text(stock), text(ours), stock / ours.max(f64::EPSILON))
    };
    rows(report).into_iter().map(cell).collect()
}

/// When a death is noticed depends on where in the interval of its lease and in the manager's period the node dies.
const NOTICED_BY_CHANCE: f64 = 15.0;
/// From there on everything goes by timers: this is the noise of starting pods.
const REPLACED_BY_CHANCE: f64 = 2.0;

/// Whether profile `stock` replaces a dead node's pods when stock does. Deaths of an earlier run were judged then.
fn replaces_in_time(report: &Report) -> bool {
    let of = |keeper: super::Keeper| report.deaths.iter().find(|death| death.keeper == keeper);
    let (Some(stock), Some(ours)) = (of(super::Keeper::Stock), of(super::Keeper::ProfileStock)) else { return true };
    let replacing = |death: &super::Death| death.replaced_seconds - death.noticed_seconds;
    report.deaths_measured_at.is_some()
        || (ours.noticed_seconds <= stock.noticed_seconds + NOTICED_BY_CHANCE
            && replacing(ours) <= replacing(stock) + REPLACED_BY_CHANCE)
}

/// Whether ours is nowhere slower (a tenth and 20 ms are the noise of looking) and needs at most a quarter of the memory. The
/// worst single change is shown and not judged: it is the machine's.
pub(super) fn keeps_up(report: &Report) -> bool {
    let kept = |(name, unit, _, of): Row| {
        let [stock, ours] = [Contestant::Stock, Contestant::Headroom].map(|who| median(report, who, &*of));
        match unit {
            "s" => ours <= stock * 1.1 + 0.02,
            "ms" if name.ends_with("one change") => ours <= stock * 1.1 + 20.0,
            "MiB" => ours <= stock / 4.0,
            _ => true,
        }
    };
    rows(report).into_iter().all(kept) && replaces_in_time(report)
}

/// The table for people, 80 columns wide at most.
pub(super) fn table(report: &Report) -> String {
    let mut out = format!("{:<36}{:>14}{:>14}{:>14}\n", "", "stock", "headroom", "stock/headroom");
    for (name, stock, ours, ratio) in cells(report) {
        let _ = writeln!(out, "{name:<36}{stock:>14}{ours:>14}{:>14}", format!("{ratio:.2}x"));
    }
    // What an earlier run measured is not shown as if it were of this one.
    let deaths = if report.deaths_measured_at.is_none() { deaths(report) } else { Vec::new() };
    for (keeper, lost, noticed, replaced) in deaths {
        let _ = writeln!(out, "{keeper:<36}{lost:>14}{noticed:>14}{replaced:>14}");
    }
    out
}

/// The deaths under a line of titles; nothing when no node died.
fn deaths(report: &Report) -> Vec<(String, String, String, String)> {
    if report.deaths.is_empty() {
        return Vec::new();
    }
    let titles = ["a node dies", "pods lost", "noticed", "replaced"].map(str::to_owned);
    let [a, b, c, d] = titles;
    let row = |death: &super::Death| {
        let lost = format!("{} of {}", death.lost, death.pods);
        let seconds = |seconds: f64| format!("{seconds:.0} s");
        (death.keeper.name().to_owned(), lost, seconds(death.noticed_seconds), seconds(death.replaced_seconds))
    };
    std::iter::once((a, b, c, d)).chain(report.deaths.iter().map(row)).collect()
}

/// The whole page.
pub(super) fn page(report: &Report) -> String {
    let release = report.plan.kubernetes;
    let mut out = format!(
        "# {}\n\nWritten by `{}`; all figures are in `{}.json`.\n\n",
        release.title("Controllers beside stock"),
        release.make("bench-controllers"),
        release.stem(STEM)
    );
    let text = |version: &Option<String>| version.clone().unwrap_or_else(|| "unknown".to_owned());
    let _ = writeln!(out, "- Command: `{}`", report.plan.command);
    let _ = writeln!(out, "- Date: {}", report.date);
    out.push_str(&report.machine.line());
    let _ = writeln!(
        out,
        "- Stock: {}; Headroom: {} at {}",
        text(&report.kube_controller_manager),
        text(&report.headroom_controllers),
        text(&report.headroom_commit)
    );
    let _ = writeln!(out, "- Medians of {} rounds, each figure by itself\n", report.plan.repeat);
    out.push_str("| | stock | headroom | stock/headroom |\n|---|--:|--:|--:|\n");
    for (name, stock, ours, ratio) in cells(report) {
        let _ = writeln!(out, "| {name} | {stock} | {ours} | {ratio:.2}x |");
    }
    out.push('\n');
    if let Some(measured) = &report.deaths_measured_at {
        let make = release.make("bench-controllers");
        let _ = writeln!(
            out,
            "Deaths of nodes were measured before: {measured} (`{make} BENCH_CONTROLLERS_FLAGS=\"--deaths\"`).\n"
        );
    }
    for (i, (keeper, lost, noticed, replaced)) in deaths(report).into_iter().enumerate() {
        let _ = writeln!(out, "| {keeper} | {lost} | {noticed} | {replaced} |");
        if i == 0 {
            out.push_str("|---|--:|--:|--:|\n");
        }
    }
    if !report.deaths.is_empty() {
        out.push('\n');
    }
    out.push_str(METHOD);
    out
}

#[cfg(test)]
mod tests {
    use super::super::{Death, Keeper, Plan, Replication, SCHEMA, Serving};
    use super::*;
    use crate::bench::machine::Machine;
    use crate::control_plane::Release;

    fn round(contestant: Contestant, times: f64, mebibytes: u64) -> Round {
        Round {
            contestant,
            idle_rss_bytes: mebibytes << 20,
            replication: vec![Replication {
                replicas: 1000,
                created_seconds: times,
                status_seconds: times,
                deleted_seconds: times,
                cpu_milliseconds: 1.0,
                rss_bytes: mebibytes << 20,
            }],
            serving: Serving {
                endpoints: 1000,
                all_ready_seconds: times,
                flip_milliseconds: 10.0,
                worst_flip_milliseconds: 1000.0 * times,
                writes: 20,
                cpu_milliseconds: 300.0,
            },
            peak_rss_bytes: mebibytes << 20,
        }
    }

    fn report(ours: Round) -> Report {
        Report {
            schema: SCHEMA,
            date: String::new(),
            machine: Machine::read(),
            headroom_commit: None,
            headroom_controllers: None,
            kube_controller_manager: None,
            plan: Plan {
                kubernetes: Release::default(),
                replicas: vec![1000],
                endpoints: 1000,
                repeat: 1,
                deaths: true,
                command: "make".to_owned(),
            },
            rounds: vec![round(Contestant::Stock, 2.0, 88), ours],
            deaths: vec![Death {
                keeper: Keeper::ProfilePatient,
                pods: 24,
                lost: 6,
                noticed_seconds: 120.4,
                replaced_seconds: 423.0,
            }],
            deaths_measured_at: None,
        }
    }

    #[test]
    fn every_figure_is_shown_within_80_columns() {
        let report = report(round(Contestant::Headroom, 1.0, 11));
        let table = table(&report);
        assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
        assert!(table.contains("RC of 1000: all created") && table.contains("8.00x"), "{table}");
        assert!(table.contains("profile patient") && table.contains("423 s"), "{table}");
        assert!(page(&report).contains("| headroom, profile patient | 6 of 24 | 120 s | 423 s |"));
        assert!(page(&report).contains("| Service of 1000: all ready | 2.00 s | 1.00 s | 2.00x |"));
    }

    #[test]
    fn the_page_beside_another_version_says_so() {
        let mut report = report(round(Contestant::Headroom, 1.0, 11));
        assert!(page(&report).starts_with("# Controllers beside stock\n\nWritten by `make bench-controllers`; "));
        report.plan.kubernetes = Release::V1_37;
        let page = page(&report);
        assert!(page.starts_with("# Controllers beside stock, Kubernetes 1.37.2\n"), "{page}");
        assert!(page.contains("KUBERNETES=1.37.2`; all figures are in `controllers-1.37.json`"), "{page}");
    }

    #[test]
    fn slower_or_bigger_is_behind() {
        assert!(keeps_up(&report(round(Contestant::Headroom, 2.0, 22))));
        assert!(!keeps_up(&report(round(Contestant::Headroom, 2.5, 22))));
        assert!(!keeps_up(&report(round(Contestant::Headroom, 2.0, 23))));
        let death = |keeper, noticed_seconds, replaced_seconds| Death {
            keeper,
            pods: 24,
            lost: 6,
            noticed_seconds,
            replaced_seconds,
        };
        for (noticed, replaced, kept) in [
            (49.0, 350.0, true),
            (49.0, 352.0, true),
            (49.0, 354.5, false),
            // Noticed later by chance, and replaced as much later.
            (60.0, 361.0, true),
            (65.0, 366.0, false),
        ] {
            let mut report = report(round(Contestant::Headroom, 2.0, 22));
            report.deaths = vec![death(Keeper::Stock, 49.0, 350.0), death(Keeper::ProfileStock, noticed, replaced)];
            assert_eq!(keeps_up(&report), kept, "{noticed} {replaced}");
            report.deaths_measured_at = Some("2026-11-29, 01310e58e29e, Intel Xeon, 2 cores".to_owned());
            assert!(keeps_up(&report), "judged then");
        }
    }

    #[test]
    fn deaths_of_an_earlier_run_stay_on_the_page_and_only_there() {
        let mut report = report(round(Contestant::Headroom, 1.0, 11));
        report.deaths_measured_at = Some("2026-11-29, 01310e58e29e, Intel Xeon, 2 cores".to_owned());
        let page = page(&report);
        let said = "\n\nDeaths of nodes were measured before: 2026-11-29, 01310e58e29e, Intel Xeon, 2 cores \
                    (`make bench-controllers BENCH_CONTROLLERS_FLAGS=\"--deaths\"`).\n\n| a node dies |";
        assert!(page.contains(said), "{page}");
        assert!(page.contains("| headroom, profile patient | 6 of 24 | 120 s | 423 s |"));
        assert!(!table(&report).contains("profile patient"));
    }
}
