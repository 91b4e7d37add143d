//! Helm beside a takeover: a release does not know of it, and its next upgrade would take it back.

use std::collections::BTreeMap;

use crate::{
    distribution::{facts::Facts, ours::Ours},
    doctor::{
        control_loops::{LOOPS, runs},
        name_and_value,
        text::arg,
    },
};

/// Headroom's own loops, by the chart's names.
pub(crate) const OWN: [&str; 2] = ["node-headroom-controller", "memory-profile-controller"];

/// The loops of stock that `controllers.nodeLifecycleProfile` settles together.
pub(crate) const HELD_BACK: [&str; 2] = ["node-lifecycle-controller", "taint-eviction-controller"];

/// Flags of the controllers that the chart sets by values of their own and refuses among further ones, and how the names of
/// others begin.
const BY_VALUES: [&str; 12] = [
    "controllers",
    "memory-config",
    "node-lifecycle-profile",
    "node-headroom-interval",
    "secure-port",
    "v",
    "log-format",
    "logging-format",
    "tls-cert-file",
    "tls-private-key-file",
    "kubeconfig",
    "master",
];
const BY_VALUES_BEGIN: [&str; 2] = ["kubelet-", "leader-elect"];

/// The beginning of the command that changes some values of the release and leaves the others as they are.
fn upgrade(ours: &Ours) -> String {
    let release = ours.release.as_deref().map_or("headroom", arg);
    format!("helm upgrade {release} charts/headroom -n {} --reset-then-reuse-values", arg(&ours.namespace))
}

/// The whole of it, in one line.
pub(super) fn command(ours: &Ours, values: &[&str]) -> String {
    values.iter().fold(upgrade(ours), |line, value| format!("{line} --set {value}"))
}

/// What makes a takeover last: upgrades that give their releases the values of what ours do when it is done. `list` is what
/// `--controllers` says then, where that is changed; `copied` are the flags that ours have from stock.
pub(super) fn lasting(
    facts: &Facts,
    scheduler: bool,
    list: Option<&str>,
    copied: &BTreeMap<String, String>,
) -> Vec<String> {
    let mut wanted: Vec<(&Ours, String)> = Vec::new();
    if let Some(ours) = facts.scheduler.as_ref().filter(|ours| scheduler || ours.mode() == "primary") {
        wanted.push((ours, "--set mode=primary".to_owned()));
    }
    if let Some(ours) = &facts.controllers {
        let loops = loops(list.or_else(|| ours.flag("controllers")).unwrap_or_default());
        if loops.iter().any(|name| !OWN.contains(name)) {
            wanted.extend(of_loops(&loops).into_iter().map(|value| (ours, value)));
            if !copied.is_empty() {
                let further = serde_json::to_string(&further(&ours.words, copied)).unwrap_or_default();
                wanted.push((ours, format!("--set-json 'controllers.extraArgs={further}'")));
            }
        }
    }
    let mut lines: Vec<String> = Vec::new();
    let mut told: Vec<(&str, &str)> = Vec::new();
    let whose = |ours: &Ours, of: &(&str, &str)| ours.release.as_deref() == Some(of.0) && ours.namespace == of.1;
    for (ours, _) in &wanted {
        let Some(release) = ours.release.as_deref().map(|release| (release, ours.namespace.as_str())) else { continue };
        if told.contains(&release) {
            continue;
        }
        told.push(release);
        lines.push(format!("{} \\", upgrade(ours)));
        let values: Vec<&String> =
            wanted.iter().filter(|(other, _)| whose(other, &release)).map(|(_, value)| value).collect();
        for (i, value) in values.iter().enumerate() {
            let more = if i + 1 < values.len() { " \\" } else { "" };
            lines.push(format!("  {value}{more}"));
        }
    }
    lines
}

/// The values of the chart after which the controllers run these loops, by the chart's names: words of a command. Loops of
/// stock it runs in `primary` alone.
pub(crate) fn of_loops(loops: &[&str]) -> Vec<String> {
    let list = format!("--set 'controllers.loops={{{}}}'", loops.join(","));
    if loops.iter().all(|name| OWN.contains(name)) {
        return vec![list];
    }
    vec!["--set controllers.mode=primary".to_owned(), list]
}

/// The loops that a list of `--controllers` turns on, as the chart names them.
pub(crate) fn loops(list: &str) -> Vec<&'static str> {
    let words: Vec<&str> = list.split(',').map(str::trim).collect();
    let own = OWN.into_iter().filter(|name| runs(&words, name, name));
    own.chain(LOOPS.into_iter().filter(|(name, alias)| runs(&words, name, alias)).map(|(name, _)| name)).collect()
}

/// The flags of a command line, each in one word: the chart takes no other, and `--name value` says the same as
/// `--name=value`. Words that follow no flag are left out.
fn in_one_word(words: &[String]) -> Vec<String> {
    let mut flags = Vec::new();
    let mut rest = words.iter().peekable();
    while let Some(word) = rest.next() {
        if !word.starts_with('-') {
            continue;
        }
        let value = rest.next_if(|next| !word.contains('=') && !next.starts_with("--"));
        flags.push(value.map_or_else(|| word.clone(), |value| format!("{word}={value}")));
    }
    flags
}

/// `controllers.extraArgs` with all that ours have of it and what is copied: a list in the values is replaced as a whole.
fn further(words: &[String], copied: &BTreeMap<String, String>) -> Vec<String> {
    let name = |word: &str| name_and_value(word.trim_start_matches('-')).0;
    let by_values =
        |name: &str| BY_VALUES.contains(&name) || BY_VALUES_BEGIN.iter().any(|begin| name.starts_with(begin));
    let kept = in_one_word(words).into_iter().filter(|word| {
        let name = name(word);
        !by_values(&name) && !copied.contains_key(&name)
    });
    let added = copied.iter().map(|(name, value)| format!("--{name}={value}"));
    // What could leave its quotes is not repeated in something that people paste.
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=.,:/+@%".contains(c);
    let shown = |word: String| if word.chars().all(plain) { word } else { "--FLAG=VALUE".to_owned() };
    kept.chain(added).map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn further_flags_are_those_that_no_other_value_sets() {
        let words: Vec<String> = [
            "--controllers=endpoints-controller",
            "--kubelet-timeout=3s",
            "--node-headroom-interval=15s",
            "--secure-port=10257",
            "--leader-elect=true",
            "--leader-elect-lease-duration=15s",
            "--v=0",
            "--kube-api-qps=50",
            "--node_monitor_period=1s",
            "--vmodule=a=1",
            "--authorization-always-allow-paths=/a';reboot'",
        ]
        .map(str::to_owned)
        .into();
        let copied = BTreeMap::from([("node-monitor-period".to_owned(), "2s".to_owned())]);
        assert_eq!(
            further(&words, &copied),
            ["--kube-api-qps=50", "--vmodule=a=1", "--FLAG=VALUE", "--node-monitor-period=2s"]
        );
    }

    #[test]
    fn values_in_words_of_their_own_stay_with_their_flags() {
        let copied = BTreeMap::from([("node-monitor-period".to_owned(), "2s".to_owned())]);
        let added = "--node-monitor-period=2s";
        for (words, kept) in [
            (&["--kube-api-qps", "50"][..], &["--kube-api-qps=50"][..]),
            (&["--vmodule", "a=1", "--kube-api-burst", "60"], &["--vmodule=a=1", "--kube-api-burst=60"]),
            (&["--contention-profiling", "--kube-api-qps", "50"], &["--contention-profiling", "--kube-api-qps=50"]),
            (&["--profiling"], &["--profiling"]),
            // Its value goes with what the chart or the takeover sets.
            (&["--secure-port", "10257", "--kube-api-qps=50"], &["--kube-api-qps=50"]),
            (&["-v", "2", "--leader_elect", "true", "--node-monitor-period", "1s"], &[]),
            (&["--kubelet-timeout", "3s", "--profiling", "false"], &["--profiling=false"]),
            // A word after a whole flag belongs to nothing.
            (&["--kube-api-qps=50", "60"], &["--kube-api-qps=50"]),
            (&["serve", "--offset", "-1"], &["--offset=-1"]),
            (&["--name", "a';reboot'"], &["--FLAG=VALUE"]),
        ] {
            let all: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            let expected: Vec<&str> = kept.iter().copied().chain([added]).collect();
            assert_eq!(further(&all, &copied), expected, "{words:?}");
        }
    }

    #[test]
    fn lists_in_the_charts_words() {
        assert_eq!(loops(""), [""; 0]);
        assert_eq!(loops("node-headroom-controller, podgc"), [OWN[0], "pod-garbage-collector-controller"]);
        assert_eq!(loops("*,-endpoint").len(), OWN.len() + LOOPS.len() - 1);
        assert_eq!(of_loops(&loops(OWN[0])), ["--set 'controllers.loops={node-headroom-controller}'"]);
        let expected = ["--set controllers.mode=primary", "--set 'controllers.loops={endpoints-controller}'"];
        assert_eq!(of_loops(&loops("endpoint")), expected);
    }
}
