//! Ginkgo's JSON report: which specs there are, and what became of one.

use serde::{Deserialize, Serialize};

/// Longest reason, characters.
const REASON: usize = 240;

/// What the text of a spec is preceded by when `--ginkgo.focus` is compared with it.
const SUITE: &str = "Kubernetes e2e suite";

/// A spec of upstream's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Spec {
    /// Its text, which names it in the whole suite.
    pub text: String,
    /// What it belongs to: `SchedulerPredicates`.
    pub group: String,
    /// The rest of the text.
    pub title: String,
    /// Whether it is part of Kubernetes' conformance tests.
    pub conformance: bool,
}

impl Spec {
    fn new(containers: &[String], leaf: &str) -> Self {
        let texts: Vec<&str> = containers.iter().map(String::as_str).chain([leaf]).filter(|t| !t.is_empty()).collect();
        let text = texts.join(" ");
        Self {
            group: without_tags(texts.first().copied().unwrap_or_default()),
            title: without_tags(&texts.get(1..).unwrap_or_default().join(" ")),
            conformance: text.contains("[Conformance]"),
            text,
        }
    }

    /// The argument of `--ginkgo.focus` that selects this spec alone.
    pub(crate) fn focus(&self) -> String {
        let mut pattern = format!("^{SUITE} ");
        for c in self.text.chars() {
            if c.is_ascii_punctuation() {
                pattern.push('\\');
            }
            pattern.push(c);
        }
        pattern.push('$');
        pattern
    }
}

/// A text without its tags, such as `[sig-apps]` and `[Serial]`.
fn without_tags(text: &str) -> String {
    let words = text.split_whitespace().filter(|word| !(word.starts_with('[') && word.ends_with(']')));
    words.collect::<Vec<_>>().join(" ")
}

/// How a spec ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "outcome", content = "reason")]
pub enum Outcome {
    /// It passed.
    Pass,
    /// It failed, with the reason in one line.
    Fail(String),
    /// It skipped itself.
    Skip(String),
    /// It was not run.
    NotRun(String),
}

impl Outcome {
    /// One word.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail(_) => "FAIL",
            Self::Skip(_) => "skip",
            Self::NotRun(_) => "-",
        }
    }

    /// Why it is not a pass.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Pass => None,
            Self::Fail(reason) | Self::Skip(reason) | Self::NotRun(reason) => Some(reason),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SuiteReport {
    #[serde(default)]
    spec_reports: Option<Vec<SpecReport>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct SpecReport {
    #[serde(default)]
    container_hierarchy_texts: Option<Vec<String>>,
    #[serde(default)]
    leaf_node_type: String,
    #[serde(default)]
    leaf_node_text: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    failure: Option<Failure>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Failure {
    #[serde(default)]
    message: String,
    #[serde(default)]
    forwarded_panic: String,
}

impl SpecReport {
    fn spec(&self) -> Spec {
        Spec::new(self.container_hierarchy_texts.as_deref().unwrap_or_default(), &self.leaf_node_text)
    }

    fn is_spec(&self) -> bool {
        self.leaf_node_type == "It"
    }

    fn message(&self) -> String {
        let Some(failure) = &self.failure else { return String::new() };
        one_line(&format!("{} {}", failure.message, failure.forwarded_panic))
    }

    fn failed(&self) -> bool {
        matches!(self.state.as_str(), "failed" | "panicked" | "timedout" | "interrupted" | "aborted")
    }
}

fn reports(json: &[u8]) -> Result<Vec<SpecReport>, serde_json::Error> {
    let suites: Vec<SuiteReport> = serde_json::from_slice(json)?;
    Ok(suites.into_iter().flat_map(|suite| suite.spec_reports.unwrap_or_default()).collect())
}

/// The specs that a dry run selected, sorted by their texts (Ginkgo's order is random).
pub(super) fn selected(json: &[u8]) -> Result<Vec<Spec>, serde_json::Error> {
    let reports = reports(json)?;
    let selected = reports.iter().filter(|report| report.is_spec() && report.state == "passed");
    let mut specs: Vec<Spec> = selected.map(SpecReport::spec).collect();
    specs.sort_by(|a, b| a.text.cmp(&b.text));
    Ok(specs)
}

/// What became of a spec in a run that selected it alone.
pub(super) fn outcome(json: &[u8], spec: &Spec) -> Result<Outcome, serde_json::Error> {
    let reports = reports(json)?;
    let own = reports.iter().find(|report| report.is_spec() && report.spec().text == spec.text);
    let around = reports.iter().find(|report| !report.is_spec() && report.failed());
    Ok(match (own, around) {
        (Some(own), _) if own.failed() => {
            let kind = if own.state == "failed" { String::new() } else { format!("{}: ", own.state) };
            Outcome::Fail(format!("{kind}{}", own.message()))
        }
        // What surrounds the specs checks invariants of the cluster, and has to pass as well.
        (_, Some(around)) => Outcome::Fail(format!("{}: {}", around.leaf_node_type, around.message())),
        (Some(own), None) if own.state == "passed" => Outcome::Pass,
        (Some(own), None) if own.state == "skipped" && own.failure.is_some() => Outcome::Skip(own.message()),
        (Some(own), None) => Outcome::NotRun(format!("Ginkgo did not run it: {}", own.state)),
        (None, None) => Outcome::NotRun("it is not in Ginkgo's report".to_owned()),
    })
}

/// A text in one line of bounded length.
pub(crate) fn one_line(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(REASON) {
        Some((end, _)) => format!("{}…", line.get(..end).unwrap_or_default()),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn report(state: &str, failure: Value) -> Value {
        json!({
            "ContainerHierarchyTexts": ["[sig-apps] ReplicationController", "in a context"],
            "LeafNodeType": "It", "LeafNodeText": "should (re)create pods [Serial] [Conformance]",
            "State": state, "RunTime": 12, "Failure": failure, "CapturedGinkgoWriterOutput": "much",
        })
    }

    fn other(kind: &str, state: &str) -> Value {
        json!({
            "ContainerHierarchyTexts": null, "LeafNodeType": kind, "LeafNodeText": "", "State": state,
            "Failure": {"Message": "nodes are\n  not ready"},
        })
    }

    fn suite(specs: &[Value]) -> Vec<u8> {
        serde_json::to_vec(&json!([{"SuitePath": "/x", "SpecReports": specs}])).unwrap()
    }

    fn of(specs: &[Value]) -> Outcome {
        let spec = selected(&suite(&[report("passed", Value::Null)])).unwrap().remove(0);
        outcome(&suite(specs), &spec).unwrap()
    }

    #[test]
    fn a_dry_run_lists_what_was_selected() {
        let json = suite(&[
            other("SynchronizedBeforeSuite", "passed"),
            report("passed", Value::Null),
            report("skipped", Value::Null),
        ]);
        let specs = selected(&json).unwrap();
        assert_eq!(specs.len(), 1);
        let spec = &specs[0];
        assert_eq!(spec.group, "ReplicationController");
        assert_eq!(spec.title, "in a context should (re)create pods");
        assert!(spec.conformance);
        assert!(selected(&suite(&[])).unwrap().is_empty());
        assert!(selected(b"[{\"SpecReports\":null}]").unwrap().is_empty());
    }

    #[test]
    fn the_focus_selects_one_spec() {
        let spec = Spec::new(&["[sig-apps] A".to_owned()], "b (c) d's [Slow]");
        assert_eq!(spec.focus(), r"^Kubernetes e2e suite \[sig\-apps\] A b \(c\) d\'s \[Slow\]$");
    }

    #[test]
    fn outcomes_carry_a_reason_in_one_line() {
        let message = |text: &str| json!({"Message": text});
        assert_eq!(of(&[report("passed", Value::Null)]), Outcome::Pass);
        assert_eq!(of(&[report("failed", message("timed out\n\twaiting"))]), Outcome::Fail("timed out waiting".into()));
        let panic = json!({"Message": "Test Panicked", "ForwardedPanic": "index out of range"});
        assert_eq!(
            of(&[report("panicked", panic)]),
            Outcome::Fail("panicked: Test Panicked index out of range".into())
        );
        assert_eq!(of(&[report("skipped", message("needs 2 nodes"))]), Outcome::Skip("needs 2 nodes".into()));
        assert!(matches!(of(&[report("skipped", Value::Null)]), Outcome::NotRun(_)));
        assert!(matches!(of(&[]), Outcome::NotRun(_)));
        let long = of(&[report("failed", message(&"ä ".repeat(1000)))]);
        assert_eq!(long.reason().map(|reason| reason.chars().count()), Some(REASON + 1));
    }

    #[test]
    fn what_fails_around_the_spec_counts() {
        let around = of(&[other("SynchronizedBeforeSuite", "failed"), report("skipped", Value::Null)]);
        assert_eq!(around, Outcome::Fail("SynchronizedBeforeSuite: nodes are not ready".into()));
        let after = of(&[report("passed", Value::Null), other("ReportAfterSuite", "failed")]);
        assert!(matches!(after, Outcome::Fail(_)));
    }

    #[test]
    fn what_is_no_report_is_an_error() {
        assert!(selected(b"").is_err());
        assert!(selected(b"{}").is_err());
    }
}
