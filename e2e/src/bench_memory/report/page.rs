//! The page `docs/benchmarks/memory.md`.

use std::fmt::Write;

use super::super::Herd;
use super::super::thrash::WAVES;
use super::figures::{self, Figure};
use super::table::herd_cells;
use super::{Report, Runs};

/// What the page tells about the method; it describes `cluster.rs`, `herd.rs`, `thrash.rs` and `observe.rs`.
const METHOD: &str = "\
## How it is measured

- Each side has a fresh etcd and kube-apiserver and the whole stock kube-controller-manager. Stock: kube-scheduler with
  its defaults. Headroom: headroom-scheduler in primary mode and headroom-controllers with node-headroom and
  memory-profile, all with their defaults (kubelets are read every 15 s). Both sides run at the same time.
- Nodes are simulated (`e2e/hollow`): real leases, statuses and pod lifecycles, and a deterministic memory model that was
  fitted to what real kubelets 1.36.4 on 1 GiB machines reported. Pods follow memory curves; a share of each is touched
  all the time. What is needed and not in RAM is waited for; swap moves 10 MiB/s. Containers may swap as much as the
  kubelet's LimitedSwap allows them. It is a model: read the figures beside each other, not as those of your machines.
- Nodes are k3s agents of 1 GiB with 2 GiB of swap (280 MiB for system and agent, no eviction by memory, as k3s has it),
  and one k3s server of 2 GiB without swap that runs the datastore (1450 MiB for both, `memory.available<100Mi`, the
  label `node-role.kubernetes.io/control-plane` and, as k3s has it, no taint).
- A node thrashes while all its tasks wait for memory for at least 10 % of the time, over the last 10 s and over the last
  60 s (PSI `full`). A pod was placed on a thrashing node if that was so at the last look, a second earlier at most.
- Work: a container that never waits for memory does a second of it per second. One whose hot pages are missing does what
  is left beside the stall, and never more than the disk allows: going once through its hot memory counts as a second and
  takes as long as the disk needs for the hot pages that are missing on the node. (On a real node of 1 GiB, over-committed
  as far as the test of the model is, one touch of 300 MiB took 111 s instead of 0.05 s; in the model it takes less.) A
  pod of a wave is finished when it has done 40 s of work; one that is killed starts anew. No pod uses more than its limit.
- This definition of work decides much. By PSI alone many thrashing pods look as busy as a few that are not, since a task
  that waits 78 % of the time counts 22 % whether its next round takes five seconds or five minutes; that figure stands
  below the work. If pods finished by it, stock would finish as many as Headroom or more: thrashing would cost little.
- The waves are large, and their requests say little of what they use, because that is when the schedulers differ: in
  trials with smaller waves and larger requests stock had no OOM kills either.
- OOM kills, evictions, pressure, swap and work are the memory model's own figures, read once a second; pods are those of
  the API server. Nothing of it comes from NodeHeadroom objects.
";

/// How many runs the figures are of.
fn runs(repeat: u32) -> String {
    let said = match repeat {
        0 | 1 => "One run; earlier ones of this setup had 25, 0 and 36 node-seconds of thrashing with Headroom, and 46, 35 and \
                  46 pods finished."
            .to_owned(),
        all => format!(
            "Medians of {all} rounds, each figure by itself; where runs differ, the lowest and the highest stand in brackets."
        ),
    };
    format!(
        "- {said}\n  Runs differ by which pods come between which samples: Headroom may lean on swap for some seconds.\n"
    )
}

/// The whole page.
pub(super) fn page(report: &Report) -> String {
    let mut out = String::from(
        "# Memory: Headroom beside stock\n\nWritten by `make bench-memory`; all figures are in `memory.json`.\n\n",
    );
    let machine = &report.machine;
    let text = |version: &Option<String>| version.clone().unwrap_or_else(|| "unknown".to_owned());
    let _ = writeln!(out, "- Command: `{}`", report.command);
    let _ = writeln!(out, "- Date: {}", report.date);
    let _ = writeln!(
        out,
        "- Machine: {}, {} cores, {} MiB memory, Linux {}; everything runs on it",
        machine.cpu, machine.cores, machine.memory_mib, machine.kernel
    );
    let versions = &report.versions;
    let _ = writeln!(
        out,
        "- Stock: {}, API server: {}, Headroom: {} at {}",
        text(&versions.kube_scheduler),
        text(&versions.kube_apiserver),
        text(&versions.headroom_scheduler),
        text(&versions.headroom_commit)
    );
    if !report.thrash.is_empty() {
        thrash(&mut out, report);
    }
    if !report.herd.is_empty() {
        herd(&mut out, report);
    }
    let broken = report.broken_promises();
    if !broken.is_empty() {
        out.push_str("\n## What Headroom did not keep\n\n");
        for promise in broken {
            let _ = writeln!(out, "- {promise}");
        }
    }
    out.push('\n');
    out.push_str(METHOD);
    out.push_str(&runs(report.repeat));
    out
}

fn row(out: &mut String, cells: impl IntoIterator<Item = String>) {
    let cells: Vec<String> = cells.into_iter().collect();
    let _ = writeln!(out, "| {} |", cells.join(" | "));
}

fn thrash(out: &mut String, report: &Report) {
    let waves: Vec<String> = WAVES.iter().map(u64::to_string).collect();
    let seconds = report.thrash.first().and_then(Runs::shown).map_or(0.0, |run| run.seconds);
    let _ = write!(
        out,
        "\n## The thrash scenario\n\n![Nodes that thrash, and work done](thrash.svg)\n\n\
         Three workers of 1 GiB with swap and a k3s server of 2 GiB without. A shop of 3 pods (128Mi requested, 256Mi \
         limit, 150 MiB used) and 3 helpers that declare nothing (80 MiB used) come first. Then, at {} s, come 8 crawlers \
         each time (32Mi requested, 192Mi limit; 30 MiB, rising to 160 MiB within 20 s) and 4 parsers that declare nothing \
         (30 MiB, rising to 120 MiB); 80 % of their memory is touched all the time. Watched for {seconds:.0} s.\n\n",
        waves.join(", ")
    );
    medians(out, &report.thrash, &figures::THRASH);
    if report.repeat > 1 {
        let which: Vec<String> = report.thrash.iter().map(number_of).collect();
        let _ = writeln!(
            out,
            "\nThe chart shows of each side the run with the median of the node-seconds spent thrashing: {}.",
            which.join(", ")
        );
    }
}

/// Which round the run is from that stands for all.
fn number_of<R>(runs: &Runs<R>) -> String {
    format!("{} in round {}", runs.side, runs.shown.saturating_add(1))
}

/// A row per figure, a column per side.
fn medians<R>(out: &mut String, all: &[Runs<R>], figures: &[Figure<R>]) {
    row(out, [String::new()].into_iter().chain(all.iter().map(|runs| runs.side.to_string())));
    row(out, ["---".to_owned()].into_iter().chain(all.iter().map(|_| "--:".to_owned())));
    for figure in figures {
        let cells = all.iter().map(|runs| figure.cell(&runs.spread(figure)));
        row(out, [figure.name.trim().to_owned()].into_iter().chain(cells));
    }
}

fn herd(out: &mut String, report: &Report) {
    let herds: Vec<&Herd> = report.herd.iter().filter_map(Runs::shown).collect();
    let Some(first) = herds.first() else { return };
    let pods: usize = first.nodes.iter().map(|node| node.pods).sum::<usize>() + first.waiting;
    let _ = write!(
        out,
        "\n## The herd\n\nA Deployment of {pods} pods that declare nothing, created at once on three nodes of 1 GiB with 500 \
         MiB in use. Each pod is taken to need {} MiB until it was measured. Pods and what is left of each node's \
         headroom:\n\n",
        first.demand_mib
    );
    let names = first.nodes.iter().map(|node| node.name.clone());
    row(out, [String::new()].into_iter().chain(names).chain(["waiting".to_owned()]));
    row(
        out,
        ["---".to_owned()].into_iter().chain(first.nodes.iter().map(|_| "--:".to_owned())).chain(["--:".to_owned()]),
    );
    let before = first.nodes.iter().map(|node| format!("{} MiB", node.headroom_before_mib));
    row(out, ["before".to_owned()].into_iter().chain(before).chain([String::new()]));
    for herd in &herds {
        row(out, [herd.side.to_string()].into_iter().chain(herd_cells(herd)));
    }
    if report.repeat > 1 {
        let which: Vec<String> = report.herd.iter().map(number_of).collect();
        let _ =
            writeln!(out, "\nThese are the runs in the middle: {}. All {} rounds:\n", which.join(", "), report.repeat);
        medians(out, &report.herd, &figures::HERD);
    }
    for herd in &herds {
        if let Some(message) = &herd.message {
            let _ = writeln!(out, "\nWhy a pod waits ({}): `{message}`", herd.side);
        }
    }
}
