//! The flags that a takeover copies from the stock manager are those of headroom-controllers. The command has a list of its
//! own, since it does not see their command line: that would go without a new flag, or copy one that ends the start.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

use std::collections::BTreeSet;

use clap::{Arg, CommandFactory as _};
use headroom_controllers::{
    app::Options,
    selection::{KNOWN, MEMORY_PROFILE, NODE_HEADROOM},
};
use kubectl_headroom::tuned_flags;

/// Under the heading of a loop of upstream's, and not upstream's.
const OWN: [&str; 1] = ["node-lifecycle-profile"];

/// The loops of upstream's that the heading of a flag names.
fn loops(arg: &Arg) -> Vec<&'static str> {
    let heading = arg.get_help_heading().unwrap_or_default();
    let words: Vec<&str> = heading.split(['(', ')', ',', ' ']).collect();
    let upstream =
        KNOWN.into_iter().map(|known| known.name).filter(|name| ![NODE_HEADROOM, MEMORY_PROFILE].contains(name));
    upstream.filter(|name| words.contains(name)).collect()
}

#[test]
fn all_flags_of_upstreams_loops_are_copied_and_no_others() {
    let command = Options::command();
    let tuned = |arg: &&Arg| !arg.is_hide_set() && !loops(arg).is_empty();
    let flags = command.get_arguments().filter(tuned).filter_map(|arg| Some((arg.get_long()?, loops(arg))));
    let flags: Vec<(&str, Vec<&str>)> = flags.filter(|(name, _)| !OWN.contains(name)).collect();
    let copied: Vec<(&str, &str)> =
        tuned_flags().filter(|(_, _, followed)| *followed).map(|(of, name, _)| (name, of)).collect();
    for (name, of) in &flags {
        let found: Vec<&str> = copied.iter().filter(|(known, _)| known == name).map(|(_, of)| *of).collect();
        assert!(found.len() == 1 && of.contains(&found[0]), "--{name} is for {of:?}, and copied with {found:?}");
    }
    let names: BTreeSet<&str> = flags.iter().map(|(name, _)| *name).collect();
    assert_eq!(copied.iter().map(|(name, _)| *name).collect::<BTreeSet<_>>(), names);
    assert!(names.len() > 10, "{names:?}: what happened to the headings?");
}

#[test]
fn numbers_of_workers_are_known_and_not_copied() {
    let command = Options::command();
    let hidden = command.get_arguments().filter(|arg| arg.is_hide_set()).filter_map(Arg::get_long);
    let workers: BTreeSet<&str> = hidden.filter(|name| name.contains("concurrent-")).collect();
    let told = tuned_flags().filter(|(_, _, followed)| !*followed);
    let (of, names): (BTreeSet<&str>, BTreeSet<&str>) = told.map(|(of, name, _)| (of, name)).unzip();
    assert_eq!(names, workers);
    assert!(of.iter().all(|of| KNOWN.iter().any(|known| known.name == *of)), "{of:?}");
}
