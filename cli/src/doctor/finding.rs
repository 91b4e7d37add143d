//! What is found, and the form in which scripts get it.

use clap::ValueEnum;
use headroom_core::{Timestamp, object::ObjectKey};
use serde::Serialize;

use super::{
    checks::Rule,
    text::{clean, cut},
};

/// Most findings of one id that are told; the others are counted.
pub(super) const MAX_FINDINGS: usize = 100;

/// How bad it is. The worst comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    /// Something does not work
    Error,
    /// Something will not work when it matters
    Warning,
    /// Something could be better
    Info,
}

impl Severity {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }
}

/// What a finding is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) struct Subject {
    /// Its kind; `Cluster` for all of it, `Loop` and `Scheduler` for those.
    pub(super) kind: String,
    /// Its namespace, if it has one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) namespace: String,
    /// Its name. A cluster has none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) name: String,
}

impl Subject {
    pub(super) fn new(kind: &str, namespace: &str, name: &str) -> Self {
        Self { kind: cut(kind), namespace: cut(namespace), name: cut(name) }
    }

    pub(super) fn cluster() -> Self {
        Self::new("Cluster", "", "")
    }

    pub(super) fn node(name: &str) -> Self {
        Self::new("Node", "", name)
    }

    pub(super) fn namespaced(kind: &str, key: &ObjectKey) -> Self {
        Self::new(kind, &key.namespace, &key.name)
    }
}

impl std::fmt::Display for Subject {
    /// `Pod shop/web`, `Node worker-1`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.kind)?;
        match (self.namespace.as_str(), self.name.as_str()) {
            ("", "") => Ok(()),
            ("", name) => write!(f, " {name}"),
            (namespace, name) => write!(f, " {namespace}/{name}"),
        }
    }
}

/// What to do: lines for a shell. What is no command is a comment, so that all of it can be pasted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub(super) struct Fix(pub(super) Vec<String>);

impl Fix {
    /// Adds a remark.
    pub(super) fn say(mut self, text: impl AsRef<str>) -> Self {
        self.0.push(format!("# {}", clean(text.as_ref())));
        self
    }

    /// Adds a command.
    pub(super) fn run(mut self, command: impl AsRef<str>) -> Self {
        self.0.push(clean(command.as_ref()));
        self
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    /// Which check found it.
    pub(super) id: &'static str,
    /// How bad it is.
    pub(super) severity: Severity,
    /// What it is about.
    pub(super) subject: Subject,
    /// What is wrong with it, in one line.
    pub(super) summary: String,
    /// Why that matters.
    pub(super) why: &'static str,
    /// What to do.
    pub(super) fix: Fix,
}

/// Findings of an id that are counted only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Omitted {
    pub(super) id: &'static str,
    pub(super) count: usize,
}

/// A check that did not have all that it reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct NotChecked {
    pub(super) id: &'static str,
    /// The kinds that could not be read.
    pub(super) lacking: Vec<&'static str>,
    /// The rest was looked at.
    pub(super) in_part: bool,
}

/// All that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Diagnosis {
    api_version: &'static str,
    kind: &'static str,
    /// The time as of which it holds.
    at: String,
    /// By severity, id and subject.
    pub(super) findings: Vec<Finding>,
    pub(super) omitted: Vec<Omitted>,
    pub(super) not_checked: Vec<NotChecked>,
}

impl Diagnosis {
    pub(super) fn new(at: Timestamp) -> Self {
        Self {
            api_version: "headroom.dev/v1alpha1",
            kind: "Diagnosis",
            at: at.to_string(),
            findings: Vec::new(),
            omitted: Vec::new(),
            not_checked: Vec::new(),
        }
    }

    /// How many findings of an id are counted only.
    pub(super) fn omitted(&self, id: &str) -> usize {
        self.omitted.iter().find(|omitted| omitted.id == id).map_or(0, |omitted| omitted.count)
    }
}

/// Where a check puts what it finds.
#[derive(Debug)]
pub(super) struct Out<'a> {
    rule: &'static Rule,
    findings: &'a mut Vec<Finding>,
    count: usize,
}

impl<'a> Out<'a> {
    pub(super) fn new(rule: &'static Rule, findings: &'a mut Vec<Finding>) -> Self {
        Self { rule, findings, count: 0 }
    }

    /// Another finding.
    pub(super) fn push(&mut self, subject: Subject, summary: impl AsRef<str>, fix: Fix) {
        self.count += 1;
        if self.count > MAX_FINDINGS {
            return;
        }
        let Rule { id, severity, why, .. } = *self.rule;
        self.findings.push(Finding { id, severity, subject, summary: clean(summary.as_ref()), why, fix });
    }

    /// How many were not kept.
    pub(super) fn omitted(&self) -> usize {
        self.count.saturating_sub(MAX_FINDINGS)
    }
}
