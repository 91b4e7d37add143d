//! The stock scheduler's log (klog's text format), as far as it tells what the scheduler knows and decided.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// What the first attempt on a pod came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Bound to this node.
    Bound(String),
    /// Not: the message of condition and event.
    Failed(String),
}

/// Reads a growing file, and what follows from it.
#[derive(Debug)]
pub(super) struct Log {
    path: PathBuf,
    file: Option<std::fs::File>,
    rest: Vec<u8>,
    /// Nodes that the scheduler knows.
    pub(super) nodes: BTreeSet<String>,
    /// Pods on nodes that it knows.
    pub(super) scheduled: BTreeSet<String>,
    /// Waiting pods that it knows.
    pub(super) unscheduled: BTreeSet<String>,
    /// Pods on nodes of which it knows a change.
    pub(super) updated: BTreeSet<String>,
    /// The node for which a pod preempts others.
    pub(super) nominated: BTreeMap<String, String>,
    /// These others.
    pub(super) victims: BTreeMap<String, BTreeSet<String>>,
    /// Pods whose preemption is done.
    pub(super) preempted: BTreeSet<String>,
    /// First attempts.
    pub(super) verdicts: BTreeMap<String, Verdict>,
    /// Plugin, node and weighted score, by pod, of first attempts.
    pub(super) scores: BTreeMap<String, Vec<(String, String, i64)>>,
}

impl Log {
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            file: None,
            rest: Vec::new(),
            nodes: BTreeSet::new(),
            scheduled: BTreeSet::new(),
            unscheduled: BTreeSet::new(),
            updated: BTreeSet::new(),
            nominated: BTreeMap::new(),
            victims: BTreeMap::new(),
            preempted: BTreeSet::new(),
            verdicts: BTreeMap::new(),
            scores: BTreeMap::new(),
        }
    }

    /// Takes in what was written since the last call.
    pub(super) fn read(&mut self) -> anyhow::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(std::fs::File::open(&self.path).with_context(|| self.path.display().to_string())?),
        };
        file.read_to_end(&mut self.rest)?;
        let Some(end) = self.rest.iter().rposition(|b| *b == b'\n') else { return Ok(()) };
        let lines: Vec<u8> = self.rest.drain(..=end).collect();
        for line in String::from_utf8_lossy(&lines).lines() {
            if let Some(line) = Line::parse(line) {
                self.take(&line);
            }
        }
        Ok(())
    }

    fn take(&mut self, line: &Line) {
        let pod = || line.field("pod");
        match line.message.as_str() {
            "Add event for node" => drop(self.nodes.insert(line.field("node"))),
            "Delete event for node" => drop(self.nodes.remove(&line.field("node"))),
            "Add event for scheduled pod" => drop(self.scheduled.insert(pod())),
            "Delete event for scheduled pod" => drop(self.scheduled.remove(&pod())),
            "Update event for scheduled pod" => drop(self.updated.insert(pod())),
            "the target node for the preemption is determined" => {
                self.nominated.insert(pod(), line.field("node"));
            }
            "Preemptor Pod preempted victim Pod" => {
                self.victims.entry(line.field("preemptor")).or_default().insert(line.field("victim"));
            }
            "Async Preemption finished completely" => drop(self.preempted.insert(line.field("preemptor"))),
            // Claims that are not bound stay so, since no controller binds them: the choice itself is what counts.
            "AssumePodVolumes" => {
                self.verdicts.entry(pod()).or_insert_with(|| Verdict::Bound(line.field("node")));
            }
            "Add event for unscheduled pod" => drop(self.unscheduled.insert(pod())),
            "Delete event for unscheduled pod" => drop(self.unscheduled.remove(&pod())),
            "Plugin scored node for pod" if !self.verdicts.contains_key(&pod()) => {
                let score = line.field("score").parse().unwrap_or(i64::MIN);
                self.scores.entry(pod()).or_default().push((line.field("plugin"), line.field("node"), score));
            }
            "Successfully bound pod to node" => {
                self.verdicts.entry(pod()).or_insert_with(|| Verdict::Bound(line.field("node")));
            }
            "Unable to schedule pod; no fit; waiting" | "Error scheduling pod; retrying" => {
                self.verdicts.entry(pod()).or_insert_with(|| Verdict::Failed(line.field("err")));
            }
            _ => {}
        }
    }
}

/// A line: `I1124 02:05:11.123456   12345 file.go:123] "Message" key="value" key=value`.
#[derive(Debug, PartialEq, Eq)]
struct Line {
    message: String,
    fields: Vec<(String, String)>,
}

impl Line {
    fn parse(line: &str) -> Option<Self> {
        let (_, rest) = line.split_once("] ")?;
        let (message, mut rest) = quoted(rest)?;
        let mut fields = Vec::new();
        while let Some((key, value)) = rest.trim_start().split_once('=') {
            let (value, after) = match quoted(value) {
                Some((text, after)) => (text, after),
                None => {
                    let end = value.find(' ').unwrap_or(value.len());
                    (value[..end].to_owned(), &value[end..])
                }
            };
            fields.push((key.to_owned(), value));
            rest = after;
        }
        Some(Self { message, fields })
    }

    fn field(&self, name: &str) -> String {
        self.fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone()).unwrap_or_default()
    }
}

/// A string in Go's quotes at the start, and what follows it.
fn quoted(text: &str) -> Option<(String, &str)> {
    let mut chars = text.strip_prefix('"')?.char_indices();
    let mut value = String::new();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Some((value, &text[at + 2..])),
            '\\' => match chars.next()?.1 {
                'n' => value.push('\n'),
                't' => value.push('\t'),
                other => value.push(other),
            },
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let line = r#"I1124 02:05:11.123456   12345 schedule_one.go:1239] "Unable to schedule pod; no fit; waiting" pod="default/p" err="0/1 nodes are available: 1 \"x\" y." n=3 m=4"#;
        let line = Line::parse(line).unwrap();
        assert_eq!(line.message, "Unable to schedule pod; no fit; waiting");
        assert_eq!(line.field("pod"), "default/p");
        assert_eq!(line.field("err"), "0/1 nodes are available: 1 \"x\" y.");
        assert_eq!((line.field("n"), line.field("m")), ("3".to_owned(), "4".to_owned()));
        assert_eq!(Line::parse("no klog line"), None);
    }

    #[test]
    fn only_the_first_attempt_counts() {
        let mut log = Log::new(Path::new("/none"));
        for line in [
            r#"I] "Add event for unscheduled pod" pod="d/p""#,
            r#"I] "Plugin scored node for pod" pod="d/p" plugin="A" node="n" score=3"#,
            r#"I] "Successfully bound pod to node" pod="d/p" node="n" evaluatedNodes=1"#,
            r#"I] "Plugin scored node for pod" pod="d/p" plugin="A" node="n" score=4"#,
            r#"I] "Unable to schedule pod; no fit; waiting" pod="d/p" err="x""#,
        ] {
            log.take(&Line::parse(line).unwrap());
        }
        assert_eq!(log.verdicts["d/p"], Verdict::Bound("n".to_owned()));
        assert_eq!(log.scores["d/p"], [("A".to_owned(), "n".to_owned(), 3)]);
        assert!(log.unscheduled.contains("d/p"));
    }
}
