//! The explanation as a table for people.

use std::fmt::Write as _;

use headroom_core::quantity::human_bytes;
use headroom_engine::engine::{NodeExplanation, PodExplanation};

use crate::{
    doctor::text::clean,
    top::table::{Table, UNKNOWN, age, bytes},
};

/// Width of the table, columns.
const WIDTH: usize = 80;

/// The explanation for people; `wide` adds what headroom and swap are worked out from, and the rule that decided.
pub(super) fn table(e: &PodExplanation, wide: bool) -> String {
    let mut text = String::new();
    let pod = format!("pod {}/{}", e.pod.namespace, e.pod.name);
    let placed = e.pod.node_name.as_ref().map(|n| format!(" (now on {n}; as if it were pending)")).unwrap_or_default();
    let verdict = match (&e.result.node, &e.result.nominated_node) {
        (Some(node), _) => format!("would go to {node}"),
        (None, Some(node)) => format!("would go to {node} after removing {} pod(s)", e.result.victims.len()),
        (None, None) => "fits nowhere".to_owned(),
    };
    let _ = writeln!(text, "{pod}{placed}: {verdict}");
    if !e.result.message.is_empty() {
        paragraph(&mut text, "  ", &e.result.message);
    }
    for victim in &e.result.victims {
        let _ = writeln!(text, "  removes {}/{}", victim.namespace, victim.name);
    }
    // The best first, then those that do not fit.
    let mut nodes: Vec<&NodeExplanation> = e.nodes.iter().collect();
    nodes.sort_by_key(|n| (!n.feasible, std::cmp::Reverse(n.total), n.name.clone()));
    if nodes.iter().any(|n| n.memory.is_some()) {
        needs(&mut text, e);
        with_memory(&mut text, &nodes, wide);
    } else {
        without_memory(&mut text, &nodes);
    }
    if !e.fixes.is_empty() {
        text.push_str("\nEach of these was tried, and would do:\n");
    }
    for fix in &e.fixes {
        paragraph(&mut text, "  - ", fix["text"].as_str().unwrap_or_default());
    }
    text
}

/// What the pod will take and how that is known, and what holds for all nodes.
fn needs(text: &mut String, e: &PodExplanation) {
    if let Some(demand) = &e.demand {
        let by = match demand.source {
            "limit" => "its limit",
            "profile" => "learned from its workload",
            "request" => "its request",
            "hint" => "its memory-hint",
            _ => "a guess: nothing is declared",
        };
        let swappable = match demand.swappable_bytes {
            0 => "none".to_owned(),
            all if all == demand.memory_bytes => "all".to_owned(),
            some => human_bytes(some),
        };
        let all = human_bytes(demand.memory_bytes);
        paragraph(text, "  ", &format!("needs {all} ({by}); {swappable} of it may be swapped out"));
    }
    if e.degraded {
        paragraph(text, "  ", "no node has a recent sample: no node is refused for its memory");
    }
    if e.soft {
        paragraph(text, "  ", "every node is protected control plane: pods are let in, and twice the floor stays free");
    }
}

/// The nodes with what the pod finds there: RAM that is left for it, swap that would help it.
fn with_memory(text: &mut String, nodes: &[&NodeExplanation], wide: bool) {
    let cells = |node: &&NodeExplanation| {
        let memory = node.memory.as_ref();
        let sampled = memory.and_then(|m| Some((m, u64::try_from(m.sample_age_seconds?).unwrap_or(0))));
        let mut cells = vec![
            node.name.to_string(),
            fits(node).to_owned(),
            score(node),
            bytes(memory.map(|m| m.headroom_bytes)),
            bytes(memory.map(|m| m.accessible_swap_bytes)),
            sampled.map_or(UNKNOWN, |(m, _)| m.state).to_owned(),
            match sampled {
                Some((m, seconds)) if m.sample == "Stale" => format!("{} (stale)", age(seconds)),
                Some((_, seconds)) => age(seconds),
                None => UNKNOWN.to_owned(),
            },
        ];
        if wide {
            let word = |word: Option<&str>| word.unwrap_or(UNKNOWN).to_owned();
            cells.extend([
                bytes(memory.map(|m| m.growth_bytes)),
                bytes(memory.map(|m| m.floor_bytes)),
                bytes(memory.map(|m| m.pod_swap_limit_bytes)),
                word(memory.map(|m| if m.protected { "yes" } else { "no" })),
                word(memory.map(|m| m.rule)),
            ]);
        }
        cells
    };
    let lines: Vec<Vec<String>> = nodes.iter().map(cells).collect();
    let mut columns = vec!["NODE", "FITS", "SCORE", "RAM LEFT", "SWAP LEFT", "PRESSURE", "SAMPLE"];
    if wide {
        columns.extend(["GROWTH", "FLOOR", "SWAP LIMIT", "PROTECTED", "RULE"]);
    }
    let mut table = Table::new(&columns);
    table.fit(lines.iter());
    text.push('\n');
    text.push_str(&table.head());
    for (node, line) in nodes.iter().zip(&lines) {
        text.push_str(&table.line(line));
        let why = why(node);
        if !why.is_empty() {
            paragraph(text, "    ", &why);
        }
    }
}

/// The nodes where nothing is known of memory, or nobody asks.
fn without_memory(text: &mut String, nodes: &[&NodeExplanation]) {
    let width = nodes.iter().map(|n| n.name.chars().count()).chain([4]).max().unwrap_or(4);
    let _ = writeln!(text, "\n{:width$}  FITS  SCORE  WHY", "NODE");
    for node in nodes {
        let head = format!("{:width$}  {:4}  {:>5}  ", node.name, fits(node), score(node));
        paragraph(text, &head, &why(node));
    }
}

const fn fits(node: &NodeExplanation) -> &'static str {
    if node.feasible { "yes" } else { "no" }
}

fn score(node: &NodeExplanation) -> String {
    node.total.map_or_else(|| UNKNOWN.to_owned(), |total| total.to_string())
}

/// Reasons of a node that does not fit; scores (times weights) of one that does, and whether it takes swap.
fn why(node: &NodeExplanation) -> String {
    if !node.feasible {
        let reasons = node.rejections.iter().map(|r| format!("{} ({})", r.reasons.join(", "), r.plugin));
        return reasons.collect::<Vec<_>>().join("; ");
    }
    let leans = node.memory.as_ref().filter(|m| m.fits == Some("swap")).map(|_| "fits with swap only".to_owned());
    let scores = node.scores.iter().map(|s| format!("{} {}*{}", s.plugin, s.score, s.weight));
    leans.into_iter().chain(scores).collect::<Vec<_>>().join(", ")
}

/// Words after a head, broken at the width of the table; further lines are indented like the first. What a terminal would
/// obey is blanked, whoever wrote it.
pub(crate) fn paragraph(text: &mut String, head: &str, words: &str) {
    let indent = head.chars().count();
    let mut line = clean(head);
    let words = clean(words);
    let mut used = indent;
    for word in words.split_whitespace() {
        let length = word.chars().count();
        if used > indent && used + 1 + length > WIDTH {
            let _ = writeln!(text, "{}", line.trim_end());
            line = " ".repeat(indent);
            used = indent;
        }
        if used > indent {
            line.push(' ');
            used += 1;
        }
        line.push_str(word);
        used += length;
    }
    let _ = writeln!(text, "{}", line.trim_end());
}

#[cfg(test)]
mod tests {
    use headroom_core::Timestamp;
    use headroom_engine::{Configuration, Registry};

    use super::*;
    use crate::{explain::tests::CLUSTER, snapshot::Snapshot};

    /// Two nodes of 1 GiB with 2 GiB of swap: one calm, one hot.
    fn measured() -> Snapshot {
        let node = |name: &str| {
            format!(
                r#"{{"kind": "Node", "metadata": {{"name": "{name}"}}, "status": {{
                    "nodeInfo": {{"swap": {{"capacity": 2147483648}}}},
                    "capacity": {{"cpu": "4", "memory": "1Gi", "pods": "10"}},
                    "allocatable": {{"cpu": "4", "memory": "1Gi", "pods": "10"}}}}}}"#
            )
        };
        let sample = |name: &str, state: &str, mib: i64| {
            format!(
                r#"{{"kind": "NodeHeadroom", "apiVersion": "headroom.dev/v1alpha1", "metadata": {{"name": "{name}"}},
                    "status": {{"observedAt": "2026-11-22T10:00:00Z", "source": "Kubelet", "state": "{state}",
                        "intervalSeconds": 15, "memory": {{"workingSetBytes": {}, "evictionHardBytes": 0}},
                        "swap": {{"behavior": "LimitedSwap", "usedBytes": 0}}}}}}"#,
                mib << 20
            )
        };
        let pod = |name: &str, resources: &str| {
            format!(
                r#"{{"kind": "Pod", "metadata": {{"name": "{name}"}},
                    "spec": {{"containers": [{{"name": "c", "resources": {resources}}}]}}}}"#
            )
        };
        let objects = [
            node("calm"),
            node("hot"),
            sample("calm", "Calm", 500),
            sample("hot", "Hot", 500),
            pod("web", r#"{"requests": {"memory": "64Mi"}, "limits": {"memory": "256Mi"}}"#),
            pod("bare", "{}"),
            pod("big", r#"{"requests": {"memory": "256Mi"}, "limits": {"memory": "768Mi"}}"#),
        ];
        Snapshot::parse(&format!(r#"{{"kind": "List", "items": [{}]}}"#, objects.join(","))).unwrap()
    }

    fn shown(s: &Snapshot, name: &str, at: Timestamp) -> String {
        let e = s.explain(Configuration::default(), Registry::in_tree(), at, "default", name).unwrap().unwrap();
        table(&e, false)
    }

    #[test]
    fn memory_of_pod_and_nodes_is_shown() {
        let s = measured();
        let text = shown(&s, "web", s.time().unwrap());
        let expected = "\
pod default/web: would go to calm
  needs 160Mi (its request); all of it may be swapped out

NODE  FITS  SCORE  RAM LEFT  SWAP LEFT  PRESSURE  SAMPLE
calm  yes   -      442Mi     128Mi      Calm      0s
hot   no    -      442Mi     128Mi      Hot       0s
    node(s) were under memory pressure (MemoryHeadroom)
";
        assert_eq!(text, expected);
        let text = shown(&s, "bare", s.time().unwrap());
        let needs = "\n  needs 128Mi (a guess: nothing is declared); none of it may be swapped out\n";
        assert!(text.contains(needs), "{text}");
        let text = shown(&s, "big", s.time().unwrap());
        assert!(text.contains("\n    fits with swap only\n"), "{text}");
    }

    #[test]
    fn wide_adds_what_the_headroom_is_worked_out_from() {
        let s = measured();
        let at = s.time().unwrap();
        let e = s.explain(Configuration::default(), Registry::in_tree(), at, "default", "web").unwrap().unwrap();
        let expected = "\
pod default/web: would go to calm
  needs 160Mi (its request); all of it may be swapped out

NODE  FITS  SCORE  RAM LEFT  SWAP LEFT  PRESSURE  SAMPLE  GROWTH  FLOOR   SWAP LIMIT  PROTECTED  RULE
calm  yes   -      442Mi     128Mi      Calm      0s      0       81.9Mi  128Mi       no         ram+swap
hot   no    -      442Mi     128Mi      Hot       0s      0       81.9Mi  128Mi       no         pressure
    node(s) were under memory pressure (MemoryHeadroom)
";
        assert_eq!(table(&e, true), expected);
        // Where nothing is known of memory there is nothing to add.
        let s = Snapshot::parse(CLUSTER).unwrap();
        let e = s.explain(Configuration::default(), Registry::in_tree(), at, "default", "p").unwrap().unwrap();
        assert_eq!(table(&e, true), table(&e, false));
    }

    #[test]
    fn what_holds_for_all_nodes_is_said() {
        let s = measured();
        let later = Timestamp::from_secs(s.time().unwrap().secs() + 700);
        let text = shown(&s, "web", later);
        assert!(text.contains("\n  no node has a recent sample: no node is refused for its memory\n"), "{text}");
        assert!(text.contains("  11m (stale)\n"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
    }

    #[test]
    fn nothing_that_a_terminal_obeys_is_printed() {
        let mut text = String::new();
        paragraph(&mut text, "a\u{1b}[2Jb  ", "c\u{9b}2Jd \u{202e}e");
        assert_eq!(text, "a [2Jb  c 2Jd e\n");
        let table = Table::new(&["NAME", "ROLE"]);
        assert_eq!(table.line(&["x\ny".to_owned(), "\u{1b}[31mz".to_owned()]), "x y    [31mz\n");
    }

    #[test]
    fn the_table_fits_80_columns() {
        let s = Snapshot::parse(CLUSTER).unwrap();
        let at = Timestamp::from_secs(1_800_000_000);
        let (p, huge) = (shown(&s, "p", at), shown(&s, "huge", at));
        assert!(p.starts_with("pod default/p: would go to big\n\nNODE     FITS  SCORE  WHY\nbig      yes "), "{p}");
        assert!(p.contains("\ntainted  no        -  node(s) had untolerated taint(s) (TaintToleration)\n"), "{p}");
        assert!(huge.starts_with("pod default/huge: fits nowhere\n  0/3 nodes are available: 1 node(s) had"), "{huge}");
        for line in p.lines().chain(huge.lines()) {
            assert!(line.chars().count() <= WIDTH, "{line}");
        }
    }
}
