//! A plan: steps as values, each with what is changed, how it is known to have worked, and what undoes it.

use std::fmt::Write as _;

use super::canary::Kind;
use crate::{
    distribution::{
        change::{Api, Change},
        facts::Who,
    },
    explain::table::paragraph,
};

/// How long a leader must go on leading beside a standby, seconds.
pub(crate) const STAYS: u64 = 20;

/// How it is known that a step has worked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Check {
    /// A Deployment's pods are those of its template, and available.
    RolledOut { path: String, name: String },
    /// Nobody renews the lease any more.
    Released(&'static str),
    /// Their program renews the lease kube-scheduler.
    Leads(Who),
    /// And goes on.
    Stays(Who),
    /// Nobody answers these, while the control, if there is one, is answered; and no stock manager that is seen names one
    /// of these loops.
    Quiet { canaries: Vec<Kind>, loops: Vec<String> },
    /// These are answered; a pod by a scheduler of theirs.
    Answered { canaries: Vec<Kind>, by: Option<Who> },
}

impl Check {
    /// For people.
    fn text(&self) -> String {
        let scheduler = |who: &Who| if *who == Who::Ours { "headroom-scheduler" } else { "the stock scheduler" };
        match self {
            Self::RolledOut { name, .. } => format!("wait until {name} is rolled out"),
            Self::Released(lease) => format!("wait until nobody renews the lease {lease}"),
            Self::Leads(who) => format!("wait until {} holds the lease kube-scheduler", scheduler(who)),
            Self::Stays(who) => format!("see {} keep the lease for {STAYS} s", scheduler(who)),
            Self::Quiet { canaries, loops } => {
                let mut parts: Vec<String> = Vec::new();
                let (control, others): (Vec<&Kind>, Vec<&Kind>) =
                    canaries.iter().partition(|kind| **kind == Kind::Control);
                if let Some(longest) = others.iter().map(|kind| kind.quiet()).max() {
                    let what: Vec<&str> = others.iter().map(|kind| kind.text()).collect();
                    parts.push(format!("{} for {longest} s", what.join(", ")));
                }
                if !control.is_empty() {
                    parts.push("while a ReplicaSet gets its pod".to_owned());
                }
                if !loops.is_empty() {
                    parts.push(format!("no stock manager that is seen runs {}", loops.join(", ")));
                }
                format!("prove the silence: {}", parts.join("; "))
            }
            Self::Answered { canaries, by } => {
                let what: Vec<&str> = canaries
                    .iter()
                    .map(|kind| match kind {
                        Kind::Pod => "bound",
                        Kind::Garbage => "collected",
                        Kind::Mirroring => "mirrored",
                        Kind::ReplicationController => "given its pod",
                        Kind::Endpoints => "given Endpoints",
                        Kind::EndpointSlice | Kind::Control => "given its slice",
                    })
                    .collect();
                let by = by.as_ref().map(|who| format!(" by {}", scheduler(who))).unwrap_or_default();
                format!("see the canary {}{by}", what.join(", "))
            }
        }
    }
}

/// A step.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Step {
    pub(crate) title: String,
    pub(crate) changes: Vec<Change>,
    pub(crate) checks: Vec<Check>,
}

impl Step {
    pub(crate) fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), changes: Vec::new(), checks: Vec::new() }
    }

    pub(crate) fn api(mut self, change: Api) -> Self {
        self.changes.push(Change::Api(change));
        self
    }

    pub(crate) fn change(mut self, change: Change) -> Self {
        self.changes.push(change);
        self
    }

    pub(crate) fn check(mut self, check: Check) -> Self {
        self.checks.push(check);
        self
    }

    /// The step for people, without its number.
    fn write(&self, text: &mut String) {
        for change in &self.changes {
            let by = match change {
                Change::Api(_) => "this program",
                Change::Hosts(_) | Change::Operator { .. } => "you",
            };
            let _ = writeln!(text, "   {by}:");
            for line in change.lines() {
                let _ = writeln!(text, "     {line}");
            }
        }
        for check in &self.checks {
            paragraph(text, "   then ", &check.text());
        }
    }
}

/// What is to be done, in order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Plan {
    /// What it is for.
    pub(crate) title: String,
    pub(crate) steps: Vec<Step>,
    /// What has to be known besides.
    pub(crate) notes: Vec<String>,
    /// Whether work goes from ours to stock, so that undoing it starts ours again.
    pub(crate) gives_back: bool,
    /// What makes it last where Helm would take it back.
    pub(crate) lasting: Vec<String>,
    /// What to type when all of Headroom is down.
    pub(crate) dead_man: Vec<String>,
}

impl Plan {
    /// Whether a host has to start something again after a change of its files.
    pub(crate) fn restarts(&self) -> bool {
        let runs = |change: &Change| matches!(change, Change::Hosts(work) if !work.command.is_empty());
        self.steps.iter().flat_map(|step| &step.changes).any(runs)
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        paragraph(&mut text, "", &self.title);
        for (i, step) in self.steps.iter().enumerate() {
            text.push('\n');
            paragraph(&mut text, &format!("{}. ", i + 1), &step.title);
            step.write(&mut text);
        }
        if !self.notes.is_empty() {
            text.push('\n');
        }
        for note in &self.notes {
            paragraph(&mut text, "NOTE ", note);
        }
        text.push_str(&self.lasting_text());
        text.push_str(&self.dead_man_text());
        text
    }

    /// What Helm has to be told.
    pub(crate) fn lasting_text(&self) -> String {
        if self.lasting.is_empty() {
            return String::new();
        }
        let words = if self.gives_back {
            "Helm does not know of this: where a takeover was made to last, the next upgrade or rollback would bring it back \
             beside stock, and helm uninstall is refused. This makes the handback last. Before helm uninstall or any upgrade:"
        } else {
            "Helm does not know of this: its next upgrade would take it back. This one makes it last, with the network and \
             the priority that the chart gives to what a cluster depends on:"
        };
        let mut text = String::from("\n");
        paragraph(&mut text, "", words);
        for line in &self.lasting {
            let _ = writeln!(text, "  {line}");
        }
        text
    }

    /// The way back when nothing of ours answers.
    pub(crate) fn dead_man_text(&self) -> String {
        if self.dead_man.is_empty() {
            return String::new();
        }
        let mut text = String::from("\nIf Headroom is down for good, this gives the work back to stock:\n");
        for line in &self.dead_man {
            let _ = writeln!(text, "  {line}");
        }
        text
    }
}
