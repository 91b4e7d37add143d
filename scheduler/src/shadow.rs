//! Shadow mode's report: how our choices differ from those of whoever binds.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use headroom_core::Mono;
use headroom_engine::engine::{ShadowDecision, ShadowOutcome};
use serde::Serialize;

/// Differences kept.
const KEPT: usize = 200;

/// One pod about which we and the other scheduler differ.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Difference {
    namespace: String,
    name: String,
    /// Where we would have put it; absent when nowhere.
    ours: Option<String>,
    /// Where it was put.
    theirs: String,
    /// Why we would have let it wait.
    #[serde(skip_serializing_if = "String::is_empty")]
    message: String,
}

/// How the comparisons came out so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Totals {
    /// The node that was chosen is among our best.
    pub(crate) agrees: u64,
    /// We would have preferred another one.
    pub(crate) differs: u64,
    /// We would not have placed the pod.
    pub(crate) would_wait: u64,
    /// There was nothing to compare with.
    pub(crate) not_compared: u64,
}

/// Tells totals every now and then, when they have changed since they were told last.
#[derive(Debug)]
pub(crate) struct Summary {
    every: Duration,
    looked: Mono,
    told: Totals,
}

impl Summary {
    /// Nothing is told yet.
    pub(crate) const fn new(every: Duration, now: Mono) -> Self {
        Self { every, looked: now, told: Totals { agrees: 0, differs: 0, would_wait: 0, not_compared: 0 } }
    }

    /// The totals, when it is time to tell them: at the end it always is.
    pub(crate) fn due(&mut self, now: Mono, last: bool, totals: impl FnOnce() -> Totals) -> Option<Totals> {
        if !last && now.since(self.looked) < self.every {
            return None;
        }
        self.looked = now;
        let totals = totals();
        let changed = totals != self.told;
        self.told = totals;
        (changed || last).then_some(totals)
    }
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Book {
    #[serde(flatten)]
    totals: Totals,
    latest_differences: VecDeque<Difference>,
}

/// The comparisons so far: totals, and the latest differences.
#[derive(Debug, Default)]
pub(crate) struct ShadowBook(Mutex<Book>);

impl ShadowBook {
    /// Takes a comparison in.
    pub(crate) fn add(&self, decision: &ShadowDecision) {
        let mut book = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match decision.outcome {
            ShadowOutcome::Agrees => book.totals.agrees += 1,
            ShadowOutcome::Differs => book.totals.differs += 1,
            ShadowOutcome::WouldWait => book.totals.would_wait += 1,
            ShadowOutcome::NotCompared => book.totals.not_compared += 1,
        }
        if matches!(decision.outcome, ShadowOutcome::Differs | ShadowOutcome::WouldWait) {
            if book.latest_differences.len() >= KEPT {
                book.latest_differences.pop_front();
            }
            book.latest_differences.push_back(Difference {
                namespace: decision.pod.namespace.to_string(),
                name: decision.pod.name.to_string(),
                ours: decision.ours.as_ref().map(ToString::to_string),
                theirs: decision.theirs.to_string(),
                message: decision.message.clone(),
            });
        }
    }

    /// The totals so far.
    pub(crate) fn totals(&self) -> Totals {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).totals
    }

    /// The report as JSON, served under `/debug/shadow`.
    #[must_use]
    pub(crate) fn json(&self) -> String {
        let book = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        serde_json::to_string_pretty(&*book).unwrap_or_else(|e| format!("{{\"error\": {:?}}}", e.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use headroom_core::object::ObjectKey;

    #[test]
    fn counts_all_and_keeps_the_latest_differences() {
        let book = ShadowBook::default();
        for i in 0..KEPT + 5 {
            book.add(&ShadowDecision {
                pod: ObjectKey::new("default", format!("p{i}")),
                ours: Some("a".into()),
                theirs: "b".into(),
                outcome: if i % 2 == 0 { ShadowOutcome::Agrees } else { ShadowOutcome::Differs },
                message: String::new(),
            });
        }
        for _ in 0..KEPT {
            book.add(&ShadowDecision {
                pod: ObjectKey::new("default", "late"),
                ours: None,
                theirs: "b".into(),
                outcome: ShadowOutcome::WouldWait,
                message: "0/1 nodes are available: 1 node(s) were under memory pressure.".to_owned(),
            });
        }
        let v: serde_json::Value = serde_json::from_str(&book.json()).unwrap();
        assert_eq!((v["agrees"].as_u64(), v["wouldWait"].as_u64()), (Some(103), Some(200)));
        assert_eq!(book.totals(), Totals { agrees: 103, differs: 102, would_wait: 200, not_compared: 0 });
        assert_eq!(v["latestDifferences"].as_array().map(Vec::len), Some(KEPT));
        assert_eq!(v["latestDifferences"][0]["name"], "late");
    }
    #[test]
    fn totals_are_told_when_they_have_changed() {
        let at = |seconds: u64| Mono(seconds * 1_000_000);
        let totals = |agrees| move || Totals { agrees, ..Totals::default() };
        let mut summary = Summary::new(Duration::from_secs(300), at(0));
        assert_eq!(summary.due(at(299), false, totals(1)), None);
        assert_eq!(summary.due(at(300), false, totals(1)), Some(totals(1)()));
        assert_eq!(summary.due(at(310), false, totals(2)), None);
        assert_eq!(summary.due(at(600), false, totals(1)), None, "nothing new");
        assert_eq!(summary.due(at(601), true, totals(1)), Some(totals(1)()), "at the end");
    }
}
