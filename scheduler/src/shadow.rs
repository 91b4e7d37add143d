//! Shadow mode's report: how our choices differ from those of whoever binds.

use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

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

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Book {
    agrees: u64,
    differs: u64,
    would_wait: u64,
    not_compared: u64,
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
            ShadowOutcome::Agrees => book.agrees += 1,
            ShadowOutcome::Differs => book.differs += 1,
            ShadowOutcome::WouldWait => book.would_wait += 1,
            ShadowOutcome::NotCompared => book.not_compared += 1,
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
        assert_eq!(v["latestDifferences"].as_array().map(Vec::len), Some(KEPT));
        assert_eq!(v["latestDifferences"][0]["name"], "late");
    }
}
