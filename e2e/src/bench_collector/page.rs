//! The table, and the page `docs/benchmarks/collector.md`.

use std::fmt::Write;

use super::{Figures, Heap, Report};
use crate::bench::measure::mebibytes;

/// What the page tells about the method; it describes `measure.rs`.
const METHOD: &str = "\
## How it is measured

- A fresh etcd and kube-apiserver with audit log, no kube-controller-manager, no scheduler. Nodes are simulated
  (`e2e/hollow`): each renews its lease every 10 s and serves `/stats/summary` and `/configz` over HTTPS on an address of
  its own. Pods are created with their node; ten belong to one ReplicaSet, so that there is a workload to learn about.
- `headroom-controllers` runs with its default loops (node-headroom, memory-profile) and flags. Kubelets are read every
  15 s in small clusters; the interval grows with the number of nodes, and when the API server takes long to write.
- The window begins when every node has had a sample and several intervals have passed. CPU time is that of the process
  (user and system); requests are those of its user in the audit log; reads are its counter
  `headroom_kubelet_reads_total`; bytes are the API server's histogram `apiserver_request_body_size_bytes`.
- The API server's heap is read right after a garbage collection that is asked for; its resident memory follows the heap
  late and never wholly, so that the heap tells what objects cost.
- The simulated nodes and the bench run in one further process on the same machine.
";

fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", mebibytes(bytes))
}

/// Name and value of each figure.
fn rows(f: &Figures) -> Vec<(&'static str, String)> {
    let delta = |a: Heap, b: Heap| mebibytes(a.heap_bytes) - mebibytes(b.heap_bytes);
    vec![
        ("every node had a sample after", format!("{:.1} s", f.all_sampled_after_seconds)),
        ("controllers: CPU", format!("{:.1} mcore", f.cpu_millicores)),
        ("controllers: RSS, peak", format!("{}, {}", mib(f.rss_bytes), mib(f.peak_rss_bytes))),
        ("kubelets read", format!("{:.1}/s, {} failed", f.reads_per_second, f.failed_reads)),
        ("requests to the API server, watches not counted", format!("{:.2}/s", f.requests_per_second)),
        ("writes of NodeHeadroom", format!("{:.2}/s", f.headroom_writes_per_second)),
        ("writes of MemoryProfile", format!("{:.2}/s", f.profile_writes_per_second)),
        ("other writes", format!("{:.2}/s", f.other_writes_per_second)),
        ("bytes written", format!("{:.0} KiB/min", f.written_bytes_per_minute / 1024.0)),
        ("NodeHeadroom objects", format!("{} of {} bytes", f.headrooms, f.headroom_bytes)),
        ("MemoryProfile objects", format!("{} of {} bytes", f.profiles, f.profile_bytes)),
        ("API server and etcd: CPU, all clients", format!("{:.0} mcore", f.server_millicores)),
        ("API server: heap, empty", mib(f.heap_empty.heap_bytes)),
        ("API server: the two definitions add", format!("{:.1} MiB", delta(f.heap_with_definitions, f.heap_empty))),
        ("API server: heap with nodes and pods", mib(f.heap_with_cluster.heap_bytes)),
        (
            "API server: our objects and watches add",
            format!("{:.1} MiB", delta(f.heap_at_the_end, f.heap_with_cluster)),
        ),
    ]
}

/// The table for people, 80 columns wide at most.
pub(super) fn table(report: &Report) -> String {
    let mut out = format!("{} nodes, {} pods on each\n", report.plan.nodes, report.plan.pods_per_node);
    for (name, value) in rows(&report.figures) {
        let _ = writeln!(out, "  {name:<50}{value}");
    }
    out
}

/// The whole page.
pub(super) fn page(report: &Report) -> String {
    let mut out = String::from(
        "# What measuring costs\n\nWritten by `make bench-collector`; all figures are in `collector.json`.\n\n",
    );
    let text = |version: &Option<String>| version.clone().unwrap_or_else(|| "unknown".to_owned());
    let _ = writeln!(out, "- Command: `{}`", report.plan.command);
    let _ = writeln!(out, "- Date: {}", report.date);
    out.push_str(&report.machine.line());
    let _ = writeln!(
        out,
        "- API server: {}; Headroom: {} at {}",
        text(&report.kube_apiserver),
        text(&report.headroom_controllers),
        text(&report.headroom_commit)
    );
    let _ = writeln!(
        out,
        "- {} nodes with {} pods each; a window of {:.0} s in which nothing is created or deleted; one run\n",
        report.plan.nodes, report.plan.pods_per_node, report.figures.window_seconds
    );
    out.push_str("| | |\n|---|--:|\n");
    for (name, value) in rows(&report.figures) {
        let _ = writeln!(out, "| {name} | {value} |");
    }
    out.push('\n');
    out.push_str(METHOD);
    out
}

#[cfg(test)]
mod tests {
    use super::super::{Heap, Plan};
    use super::*;

    #[test]
    fn every_figure_is_shown_within_80_columns() {
        let heap = |mib: u64| Heap { heap_bytes: mib << 20, rss_bytes: mib << 21 };
        let figures = Figures {
            all_sampled_after_seconds: 48.2,
            window_seconds: 180.0,
            cpu_millicores: 31.4,
            rss_bytes: 30 << 20,
            peak_rss_bytes: 34 << 20,
            server_millicores: 210.0,
            reads_per_second: 20.0,
            failed_reads: 0,
            requests_per_second: 18.5,
            headroom_writes_per_second: 17.2,
            profile_writes_per_second: 1.1,
            other_writes_per_second: 0.0,
            written_bytes_per_minute: 2_400_000.0,
            headrooms: 1000,
            profiles: 1000,
            headroom_bytes: 2_345,
            profile_bytes: 900,
            heap_empty: heap(60),
            heap_with_definitions: heap(64),
            heap_with_cluster: heap(160),
            heap_at_the_end: heap(175),
        };
        let plan = Plan { nodes: 1000, pods_per_node: 10, seconds: 180, command: "make bench-collector".to_owned() };
        let report = Report::new(plan, figures);
        let table = table(&report);
        assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
        assert!(table.contains("20.0/s, 0 failed") && table.contains("the two definitions add"), "{table}");
        let page = page(&report);
        assert!(page.contains("| API server: our objects and watches add | 15.0 MiB |"), "{page}");
    }
}
