//! The page `docs/conformance/README.md`.

use std::fmt::Write;

use super::{Line, Report, Side};

/// What the page tells about the method; it describes `side.rs`, `runner.rs` and `select.rs`.
const METHOD: &str = "\
## How it is done

- The specs are Kubernetes' own: `e2e.test` is built from the module k8s.io/kubernetes of the version above
  (`control-plane build-e2e-test`), and each spec runs in a process of its own with `--ginkgo.focus` on it alone.
- Two clusters at the same time, each with its own etcd and kube-apiserver (default admission and feature gates) and
  simulated nodes (`e2e/hollow`), on which the system pods run that the specs look for: one with the stock components,
  one with ours. The specs run one after the other on each.
- Selected: SchedulerPredicates, SchedulerPreemption, SchedulerPriorities and LimitRange for the scheduler;
  ReplicationController, Endpoints, EndpointsController, EndpointSlice, EndpointSliceMirroring, NoExecuteTaintManager and
  the garbage collector's specs with ReplicationControllers for the loops. Specs behind features that are off by
  default are left out.
- On simulated nodes no container runs. Pod lifecycle, statuses, addresses, preStop sleeps, grace periods and extended
  resources are simulated; specs that execute something in a container or talk to one fail with the stock components
  too, and are not run unless `--all` is given.
";

/// The whole page.
pub(super) fn page(report: &Report) -> String {
    let mut out = String::from(
        "# Kubernetes' own end-to-end specs\n\nWritten by `make e2e-upstream`; times and full texts are in `latest.json`.\n\n",
    );
    let commit = report.headroom_commit.as_deref().unwrap_or("unknown");
    let _ = writeln!(out, "- Command: `{}`", report.command);
    let _ = writeln!(out, "- Date: {}", report.date);
    let _ = writeln!(out, "- Kubernetes {}; Headroom at {commit}; nodes `{}`", report.kubernetes, report.nodes);
    for about in &report.sides {
        let _ = writeln!(out, "- {}: {}", about.side, about.description);
    }
    let _ = writeln!(out, "- Result: {}", report.summary());
    let differences: Vec<&Line> = report.differences().collect();
    if !differences.is_empty() {
        out.push_str("\n**Pass with the stock components and not with ours:**\n\n");
        for line in differences {
            let _ = writeln!(out, "- {}: {}", line.spec.group, line.spec.title);
        }
    }
    for (group, lines) in report.groups() {
        let _ = writeln!(out, "\n## {group}\n\n| spec | stock | ours |\n|---|---|---|");
        for line in lines {
            let mark = if line.spec.conformance { " (conformance)" } else { "" };
            let _ = writeln!(
                out,
                "| {}{mark} | {} | {} |",
                cell(&line.spec.title),
                outcome(line, Side::Stock),
                outcome(line, Side::Headroom)
            );
        }
    }
    let mut not_run = report.not_run().peekable();
    if not_run.peek().is_some() {
        out.push_str("\n## Not run\n\n| spec | why |\n|---|---|\n");
    }
    for (line, reason) in not_run {
        let _ = writeln!(out, "| {}: {} | {} |", cell(&line.spec.group), cell(&line.spec.title), cell(reason));
    }
    out.push('\n');
    out.push_str(METHOD);
    out
}

fn outcome(line: &Line, side: Side) -> String {
    let Some(run) = line.run(side) else { return String::new() };
    match run.outcome.reason() {
        None => run.outcome.word().to_owned(),
        Some(reason) => format!("{}: {}", run.outcome.word(), cell(reason)),
    }
}

/// A text that stays in its cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;").replace('\n', " ")
}
