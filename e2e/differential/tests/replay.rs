//! The engine decides every recorded case as the stock scheduler did.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "test code")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use headroom_differential::{
    Corpus,
    replay::{Replayer, Verdict},
};
use headroom_engine::Registry;

/// Plugins of stock that do not exist yet, and for want of which recorded cases may be skipped. This list has to become
/// shorter with every plugin that comes: a test fails when it is not exact.
const NOT_YET: [&str; 0] = [];

/// Least number of clusters in the corpus.
const CASES: usize = 2000;
/// Differences that are printed.
const SHOWN: usize = 20;

fn corpus() -> Corpus {
    Corpus::read(&Path::new(&std::env::var("CARGO_MANIFEST_DIR").unwrap()).join("corpus/cases.jsonl")).unwrap()
}

#[test]
fn the_engine_decides_as_stock_did() {
    let corpus = corpus();
    let replayer = Replayer::new(&corpus.header, Registry::in_tree).unwrap();
    let (mut same, mut skipped, mut different) = (0, BTreeMap::<String, usize>::new(), Vec::new());
    for case in &corpus.cases {
        for decision in 0..case.decisions.len() {
            match replayer.check(case, decision).unwrap() {
                Verdict::Same => same += 1,
                Verdict::Skipped(plugins) => {
                    plugins.into_iter().for_each(|plugin| *skipped.entry(plugin).or_default() += 1);
                }
                Verdict::Different(what) => {
                    different.push(format!("seed {} decision {decision}: {what}", case.seed));
                }
            }
        }
    }
    eprintln!("differential: {same} decisions as {} made them, skipped: {skipped:?}", corpus.header.stock);
    assert!(
        different.is_empty(),
        "{} decisions differ (`differential-record shrink SEED` prints the smallest cluster that shows it):\n{}",
        different.len(),
        different.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join("\n")
    );
    assert!(corpus.cases.len() >= CASES, "only {} cases", corpus.cases.len());
    assert!(same >= CASES, "only {same} decisions were compared");
}

#[test]
fn nothing_is_skipped_for_a_plugin_that_exists() {
    let replayer = Replayer::new(&corpus().header, Registry::in_tree).unwrap();
    let expected: BTreeSet<String> = NOT_YET.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(*replayer.missing(), expected, "NOT_YET has to name exactly the plugins that are not built");
}

#[test]
fn the_comparison_can_fail() {
    let corpus = corpus();
    let replayer = Replayer::new(&corpus.header, Registry::in_tree).unwrap();
    let mut found = [0; 3];
    for case in &corpus.cases {
        for i in 0..case.decisions.len() {
            if replayer.check(case, i).unwrap() != Verdict::Same {
                continue;
            }
            let mut wrong = case.clone();
            let decision = &mut wrong.decisions[i];
            let kind = match (&decision.node, decision.scores.len()) {
                (None, _) => {
                    decision.message = decision.message.replace("0/", "1/");
                    0
                }
                (Some(_), 0) => {
                    decision.node = Some("nowhere".to_owned());
                    1
                }
                (Some(_), _) => {
                    decision.scores.values_mut().next().unwrap()[0] += 1;
                    2
                }
            };
            if found[kind] < 5 {
                found[kind] += 1;
                assert!(matches!(replayer.check(&wrong, i).unwrap(), Verdict::Different(_)), "seed {}", case.seed);
            }
        }
        if found.iter().all(|n| *n == 5) {
            return;
        }
    }
    panic!("the corpus has too few of a kind: {found:?}");
}
