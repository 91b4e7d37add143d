//! Every target over its corpus, and over mutations of it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use headroom_fuzz::{
    TARGETS, Target,
    mutate::{Random, mutate},
};

/// Mutations per target; the heavy targets do with fewer.
const MUTATIONS: usize = 2000;
const HEAVY: [(&str, usize); 4] = [("cycle", 60), ("snapshot", 300), ("flags", 500), ("config", 500)];

fn folder(target: &str) -> PathBuf {
    Path::new(&std::env::var("CARGO_MANIFEST_DIR").unwrap()).join("corpus").join(target)
}

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder(target)).unwrap().map(|f| f.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

fn run(target: &Target, what: &str, data: &[u8]) {
    if catch_unwind(AssertUnwindSafe(|| (target.run)(data))).is_err() {
        panic!("{}, {what}: {}", target.name, data.escape_ascii());
    }
}

fn replay(name: &str) {
    let target = headroom_fuzz::target(name).unwrap();
    let all = corpus(name);
    assert!(!all.is_empty(), "{name} has no corpus");
    for (i, data) in all.iter().enumerate() {
        run(&target, &format!("input {i}"), data);
    }
    let mut random = Random::new(name);
    let count = HEAVY.iter().find(|(heavy, _)| *heavy == name).map_or(MUTATIONS, |(_, count)| *count);
    for i in 0..count {
        run(&target, &format!("mutation {i}"), &mutate(&mut random, &all));
    }
}

macro_rules! replays {
    ($($test:ident = $name:literal;)*) => {
        $(#[test]
        fn $test() {
            replay($name);
        })*

        #[test]
        fn every_target_is_replayed() {
            assert_eq!(TARGETS.iter().map(|t| t.name).collect::<Vec<_>>(), [$($name),*]);
        }
    };
}

replays! {
    quantities = "quantities";
    times = "times";
    labels = "labels";
    selectors = "selectors";
    taints = "taints";
    wire = "wire";
    protobuf = "protobuf";
    snapshot = "snapshot";
    extender = "extender";
    config = "config";
    plugin_args = "plugin-args";
    summary = "summary";
    configz = "configz";
    flags = "flags";
    cycle = "cycle";
}
