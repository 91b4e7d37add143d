//! What is committed is what the code says, and what is gathered by hand is complete.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

use std::collections::BTreeSet;

use headroom_docs::{
    COMMAND, DIRECTORY, events, pages, root,
    sources::{Source, looks_like_a_reason, sources},
};

#[test]
fn the_committed_pages_are_the_generated_ones() {
    let directory = root().join(DIRECTORY);
    let mut stale = Vec::new();
    let pages = pages().unwrap();
    for page in &pages {
        let committed = std::fs::read_to_string(directory.join(page.name)).unwrap_or_default();
        if committed != page.text {
            let line = committed.lines().zip(page.text.lines()).position(|(old, new)| old != new);
            let line = line.map_or_else(|| "its end".to_owned(), |line| format!("line {}", line + 1));
            stale.push(format!("{} differs from the code at {line}", page.name));
        }
    }
    let known: Vec<&str> = pages.iter().map(|page| page.name).collect();
    for entry in std::fs::read_dir(&directory).into_iter().flatten() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if !known.contains(&name.as_str()) {
            stale.push(format!("{name} is not generated"));
        }
    }
    assert!(stale.is_empty(), "{DIRECTORY}: {}\nrun `{COMMAND}` and commit what it writes", stale.join("; "));
}

/// Files that make events or conditions.
fn that_tell() -> Vec<Source> {
    let mut all = Vec::new();
    for directory in ["controllers/src", "scheduler/src", "scheduler/engine/src/engine", "common/runtime/src/lease"] {
        all.extend(sources(&root(), directory).unwrap());
    }
    all
}

/// Words that look like reasons and are none.
const NO_REASONS: [&str; 4] = ["DaemonSet", "DisruptionTarget", "NodeHeadroom", "ReplicationController"];

#[test]
fn every_reason_in_the_sources_is_on_the_page() {
    let known: BTreeSet<&str> = events::all().into_iter().collect();
    let mut unknown = Vec::new();
    for source in that_tell() {
        let tells = ["EventRecord", "EventType", "News {", "Occurrence", "Verdict {", "const fn reason"];
        if !tells.iter().any(|word| source.text.contains(word)) {
            continue;
        }
        for literal in source.literals().into_iter().filter(|literal| looks_like_a_reason(literal)) {
            if !known.contains(literal) && !NO_REASONS.contains(&literal) {
                unknown.push(format!("{}: {literal}", source.path.display()));
            }
        }
    }
    assert!(
        unknown.is_empty(),
        "reasons that docs/generate/src/events.rs does not have (or, when they are none, NO_REASONS of this test):\n{}",
        unknown.join("\n")
    );
}

#[test]
fn every_reason_on_the_page_is_in_the_sources() {
    let sources = that_tell();
    let literals: BTreeSet<&str> = sources.iter().flat_map(Source::literals).collect();
    let gone: Vec<&str> = events::all().into_iter().filter(|reason| !literals.contains(reason)).collect();
    assert!(gone.is_empty(), "docs/generate/src/events.rs has reasons that nothing gives: {gone:?}");
}

/// Families of the loops are gathered in lists; one that is in no list would be missing from the page.
#[test]
fn every_family_that_a_loop_counts_is_listed() {
    let listed: BTreeSet<String> =
        headroom_controllers::app::metric_families().unwrap().into_iter().map(|family| family.name).collect();
    let mut seen = 0;
    for source in sources(&root(), "controllers/src").unwrap() {
        for start in ["Metric::counter(", "Metric::gauge(", "Metric::histogram("] {
            for after in source.text.split(start).skip(1) {
                let Some(name) = after.split('"').nth(1).filter(|_| after.trim_start().starts_with('"')) else {
                    continue;
                };
                seen += 1;
                assert!(listed.contains(name), "{}: {name} is in no FAMILIES", source.path.display());
            }
        }
    }
    assert!(seen > 20, "{seen}");
}
