//! The page `docs/benchmarks/README.md`.

use std::fmt::Write;

use super::stats::ratio;
use super::table::mib;
use super::{Contestant, Report, bars, page_file, picture};
use crate::budget::markdown;
use crate::control_plane::Release;

/// What the page tells about the method; it describes `setup.rs`, `measure.rs` and `drain.rs`.
const METHOD: &str = "\
## How it is measured

- The contestants run one after the other on the same machine as the API server. Each run has a fresh etcd and
  kube-apiserver, with fsync off, RBAC and default admission on, and the API server's request limits off.
- The machine is faster at some times than at others. So everybody runs in every round, who was first in one is last in the
  next, and a ratio is the median of the ratios within each round, not the ratio of the medians that stand above it.
- Stock is measured at its best: kube-scheduler of the API server's version with its client's limits lifted and without a
  lease, everything else as it comes. `make bench KUBERNETES=1.37.2` measures beside Kubernetes 1.37.2, etcd 3.7 included,
  and writes `1.37.md` beside this page.
- Nodes (4 CPU, 32Gi, 110 pods, Ready, three zones) and pods are created before the contestant starts; then the API
  server is left to settle. Ten templates of pods alternate: 50m to 68m CPU and 500Mi memory, no owner, no Service, so
  that nobody has to spread anything. (The default pod of scheduler_perf asks for 100m; 5,000 of them do not fit on
  100 such nodes.)
- pods/s: pods divided by the time from the first to the last binding, seen by a watch of the bench: of every
  eleventh pod, for a watch of all of them takes part of the machine (8 % of the bare loop). A saturated API
  server sends watch events late, so a binding that the watch shows after the second that the API server noted for it
  (condition `PodScheduled`) counts at the end of that second. 1st bind: from the start of the process. No contestant
  takes a lease before it starts.
- with events, pods/s: pods divided by the time from the first binding until the last event is written, which is looked
  for every half second, so that events that are held back until all pods are bound count here.
- CPU per pod: user and system time of the process from its start until its last event is written and it is quiet for
  3 s, divided by the pods. RSS is read then; peak RSS is `VmHWM`.
- right: the API server counted exactly one successful binding POST per pod, its final list has all of them bound and agrees
  with what the watch saw, and no node holds more than its CPU, memory and pods.
- The idle measurement: 5 nodes, 100 pods, all bound and all events written; 10 s later RSS, then CPU time and requests
  (audit log, watches not counted) for one minute. At most three times.
- The bare loop binds pods to nodes round robin without looking: the limit of this API server. It has the connections and
  the requests in flight that headroom-scheduler may have (`--bare-connections`, `--in-flight` change them), sends and
  asks for the same, and is a program of its own, with all optimisations.
";

/// The whole page. Of the `others` there are pages beside it.
pub(super) fn page(report: &Report, others: &[Release]) -> String {
    let release = report.kubernetes;
    let mut out = format!(
        "# {}\n\nWritten by `{}`; the figures of every run are in `{}.json`.",
        release.title("Benchmarks"),
        release.make("bench"),
        release.stem("latest")
    );
    for other in others {
        let _ = write!(out, " The same beside Kubernetes {other}: [{0}]({0}).", page_file(*other));
    }
    out.push_str("\n\n");
    let _ = writeln!(out, "- Command: `{}`", report.command);
    let _ = writeln!(out, "- Date: {}", report.date);
    let machine = &report.machine;
    let _ = writeln!(
        out,
        "- Machine: {}, {} cores, {} MiB memory, Linux {}; everything runs on it",
        machine.cpu, machine.cores, machine.memory_mib, machine.kernel
    );
    let text = |version: &Option<String>| version.clone().unwrap_or_else(|| "unknown".to_owned());
    let versions = &report.versions;
    let _ = writeln!(
        out,
        "- API server: {}; {}; Headroom at {}",
        text(&versions.kube_apiserver),
        text(&versions.etcd),
        text(&versions.headroom_commit)
    );
    for about in &report.contestants {
        let version = about.version.as_ref().map(|version| format!(" ({version})")).unwrap_or_default();
        let _ = writeln!(out, "- {}{version}: {}", about.contestant, about.configuration);
    }
    if report.repeat > 1 {
        let _ =
            writeln!(out, "- Medians of {} rounds; a ratio is the median of those within each round", report.repeat);
    }
    let bars = bars::bars(report);
    if !bars.is_empty() {
        let _ = write!(out, "\n## Bars\n\n{}", markdown(&bars));
        out.push_str("\nThe others are on the page [budgets.md](budgets.md).\n");
    }
    if !report.bursts.is_empty() {
        let picture = picture::file(release);
        let _ = writeln!(out, "\n![Pods per second, CPU per pod and memory of each contestant]({picture})");
    }
    for workload in report.workloads() {
        let _ = writeln!(out, "\n## {} nodes, {} pods pending at start\n", workload.nodes, workload.pods);
        let _ = writeln!(
            out,
            "| | pods/s | with events, pods/s | CPU/pod | API server and etcd CPU/pod | RSS, MiB | peak RSS, MiB | 1st bind | events | right |"
        );
        let _ = writeln!(out, "|---|--:|--:|--:|--:|--:|--:|--:|--:|---|");
        for result in report.of(workload) {
            let m = &result.median;
            let right = result.runs.iter().all(|run| run.bound_exactly_once);
            let _ = writeln!(
                out,
                "| {} | {:.0} | {:.0} | {:.0} µs | {:.0} µs | {} | {} | {:.2} s | {:.0} | {} |",
                result.contestant,
                m.pods_per_second,
                m.pods_per_second_with_events,
                m.cpu_micros_per_pod,
                m.server_cpu_micros_per_pod,
                mib(m.rss_bytes),
                mib(m.peak_rss_bytes),
                m.first_bind_seconds,
                m.events,
                if right { "yes" } else { "**no**" },
            );
        }
        for against in [Contestant::Stock, Contestant::Bare] {
            let Some(ratios) = report.ratios(workload, against) else { continue };
            let _ = writeln!(
                out,
                "| headroom/{against} | {} | {} | {} | {} | {} | {} | {} | | |",
                ratio(ratios.pods_per_second),
                ratio(ratios.pods_per_second_with_events),
                ratio(ratios.cpu_micros_per_pod),
                ratio(ratios.server_cpu_micros_per_pod),
                ratio(ratios.rss_bytes),
                ratio(ratios.peak_rss_bytes),
                ratio(ratios.first_bind_seconds),
            );
        }
        for result in report.of(workload) {
            for problem in result.runs.iter().flat_map(|run| &run.problems) {
                let _ = writeln!(out, "\n{}: {problem}", result.contestant);
            }
        }
    }
    if !report.idle.is_empty() {
        out.push_str("\n## Idle, 5 nodes, 100 bound pods\n\n");
        out.push_str("| | RSS, MiB | peak RSS, MiB | CPU/min | requests/min |\n|---|--:|--:|--:|--:|\n");
        for result in &report.idle {
            let m = &result.median;
            let _ = writeln!(
                out,
                "| {} | {} | {} | {:.0} ms | {:.0} |",
                result.contestant,
                mib(m.rss_bytes),
                mib(m.peak_rss_bytes),
                m.cpu_millis_per_minute,
                m.requests_per_minute
            );
        }
        if let Some(ratios) = report.idle_ratios() {
            let _ = writeln!(
                out,
                "| headroom/stock | {} | {} | {} | {} |",
                ratio(ratios.rss_bytes),
                ratio(ratios.peak_rss_bytes),
                ratio(ratios.cpu_millis_per_minute),
                ratio(ratios.requests_per_minute)
            );
        }
    }
    out.push('\n');
    // Told once: the page of another release is read beside the usual one.
    if release.is_usual() {
        out.push_str(METHOD);
    } else {
        let usual = Release::default();
        let _ = writeln!(out, "How it is measured: see [that of {usual}]({}#how-it-is-measured).", page_file(usual));
    }
    out
}
