//! Helm beside a takeover: a release does not know of it, and its next upgrade would take it back.

use std::collections::BTreeMap;

use super::tuned;
use crate::{
    distribution::{facts::Facts, ours::Ours},
    doctor::{
        control_loops::{LOOPS, runs},
        flag, name_and_value,
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

/// The whole of it, in one line, after which the release's processes go on with what they do.
pub(super) fn command(facts: &Facts, ours: &Ours, values: &[&str]) -> String {
    let line = values.iter().fold(upgrade(ours), |line, value| format!("{line} --set {value}"));
    let of_it = |other: &&Ours| other.release == ours.release && other.namespace == ours.namespace;
    let words = |other: Option<&Ours>| other.filter(of_it).map(|other| other.words.clone()).unwrap_or_default();
    let kept = kept(&line, &words(facts.scheduler.as_ref()), &words(facts.controllers.as_ref()));
    kept.iter().fold(line, |line, value| format!("{line} {value}"))
}

/// Values of the chart, words of a command, besides those that are given in one: what a takeover gave to ours. Unless it was
/// made lasting the release does not know of it, and each of its upgrades would take it back, while stock is off. `scheduler`
/// and `controllers` are the command lines of a release; what is not said there is not known.
pub(crate) fn kept(given: &str, scheduler: &[String], controllers: &[String]) -> Vec<String> {
    let says = |key: &str| given.split_whitespace().any(|word| word.trim_start_matches('\'').starts_with(key));
    let mut values = Vec::new();
    if flag(scheduler, "mode").last() == Some(&"primary") && !says("mode=") {
        values.push("--set mode=primary".to_owned());
    }
    let mut of_loops = of_controllers(&flag(controllers, "controllers").join(","), controllers, &BTreeMap::new());
    if says("controllers.loops=") {
        of_loops.retain(|value| value.starts_with("--set-json "));
    }
    values.append(&mut of_loops);
    values
}

/// The values of controllers that run this list, where loops of stock are among them. `words` are their command line, and
/// `copied` the flags that they are to have from stock.
fn of_controllers(list: &str, words: &[String], copied: &BTreeMap<String, String>) -> Vec<String> {
    let loops = loops(list);
    if loops.iter().all(|name| OWN.contains(name)) {
        return Vec::new();
    }
    let mut values = of_loops(&loops);
    // An earlier takeover may have copied some.
    if !copied.is_empty() || has_tuned(words, &loops) {
        values.push(extra(words, copied));
    }
    values
}

/// Whether a command line has flags of stock for one of these loops.
fn has_tuned(words: &[String], loops: &[&str]) -> bool {
    let names: Vec<String> = loops.iter().map(|name| (*name).to_owned()).collect();
    words.iter().any(|word| tuned::is_of(&name_of(word), &names))
}

/// The name of a flag.
fn name_of(word: &str) -> String {
    name_and_value(word.trim_start_matches('-')).0
}

/// The value that has the further flags.
fn extra(words: &[String], copied: &BTreeMap<String, String>) -> String {
    let further = serde_json::to_string(&further(words, copied)).unwrap_or_default();
    format!("--set-json 'controllers.extraArgs={further}'")
}

/// The values of controllers from which loops of stock were taken: this list is what is left, and `gone` are the flags that
/// ours had from stock for the others. `words` are their command line.
fn of_fewer(list: &str, words: &[String], gone: &[String]) -> Vec<String> {
    let loops = loops(list);
    let mut values = of_loops(&loops);
    if loops.iter().all(|name| OWN.contains(name)) {
        // As `mode` says, whatever that is: Headroom's own loops run in each.
        values.insert(0, "--set controllers.mode=".to_owned());
    }
    let settled = flag(words, "node-lifecycle-profile").last().is_some_and(|profile| *profile != "stock");
    if settled && !HELD_BACK.iter().all(|name| loops.contains(name)) {
        values.push("--set controllers.nodeLifecycleProfile=stock".to_owned());
    }
    let words: Vec<String> = in_one_word(words).into_iter().filter(|word| !gone.contains(&name_of(word))).collect();
    if !gone.is_empty() || has_tuned(&words, &loops) {
        values.push(extra(&words, &BTreeMap::new()));
    }
    values
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
        let list = list.or_else(|| ours.flag("controllers")).unwrap_or_default();
        wanted.extend(of_controllers(list, &ours.words, copied).into_iter().map(|value| (ours, value)));
    }
    upgrades(&wanted, false)
}

/// What makes a handback last: `mode` is that of the scheduler then, if it is given back; `loops` is what `--controllers`
/// says then, with the flags of stock that ours have no more, if loops are. What ours go on with stays, and stays so where an
/// earlier takeover was not made lasting. `whole`: ours do nothing for stock any more.
pub(crate) fn given_back(
    facts: &Facts,
    mode: Option<&str>,
    loops: Option<(&str, &[String])>,
    whole: bool,
) -> Vec<String> {
    let mut wanted: Vec<(&Ours, String)> = Vec::new();
    if let Some(ours) = &facts.scheduler {
        let goes_on = (ours.mode() == "primary").then_some("primary");
        wanted.extend(mode.or(goes_on).map(|mode| (ours, format!("--set mode={}", arg(mode)))));
    }
    if let Some(ours) = &facts.controllers {
        let values = match loops {
            Some((list, gone)) => of_fewer(list, &ours.words, gone),
            None => of_controllers(ours.flag("controllers").unwrap_or_default(), &ours.words, &BTreeMap::new()),
        };
        wanted.extend(values.into_iter().map(|value| (ours, value)));
    }
    upgrades(&wanted, whole)
}

/// An upgrade for each release, with the values that are wanted of it. `may_go`: the release may be uninstalled, whatever
/// its hooks say.
fn upgrades(wanted: &[(&Ours, String)], may_go: bool) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut told: Vec<(&str, &str)> = Vec::new();
    let whose = |ours: &Ours, of: &(&str, &str)| ours.release.as_deref() == Some(of.0) && ours.namespace == of.1;
    for (ours, _) in wanted {
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
        if may_go {
            let (name, namespace) = (arg(release.0), arg(release.1));
            lines.push("# If Helm has refused to uninstall it before, it does not upgrade it. Then:".to_owned());
            lines.push(format!("#   helm uninstall {name} -n {namespace} --no-hooks"));
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
    let by_values =
        |name: &str| BY_VALUES.contains(&name) || BY_VALUES_BEGIN.iter().any(|begin| name.starts_with(begin));
    let kept = in_one_word(words).into_iter().filter(|word| {
        let name = name_of(word);
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
    fn an_upgrade_takes_nothing_back() {
        type Words = &'static [&'static str];
        const LIST: &str = "--controllers=node-headroom-controller,endpoint";
        const TUNED: &str = "--endpoint-updates-batch-period=1s";
        let mode = "--set mode=primary";
        let loops = "--set 'controllers.loops={node-headroom-controller,endpoints-controller}'";
        let primary = "--set controllers.mode=primary";
        let further =
            r#"--set-json 'controllers.extraArgs=["--kube-api-qps=50","--endpoint-updates-batch-period=1s"]'"#;
        let cases: [(&str, Words, Words, &[&str]); 12] = [
            ("", &[], &[], &[]),
            // What nobody has said is not known: a saved cluster may have left it out.
            ("", &["--v=2"], &["--v=2"], &[]),
            ("", &["--mode=shadow"], &["--controllers=node-headroom-controller"], &[]),
            ("", &["--mode=secondary"], &[], &[]),
            ("--set scheduler.nodeName=n", &["--mode=primary"], &[], &[mode]),
            ("", &["--mode", "primary"], &[LIST], &[mode, primary, loops]),
            ("", &["--mode=shadow", "--mode=primary"], &["--kube-api-qps=50", LIST], &[mode, primary, loops]),
            ("", &[], &["--kube-api-qps=50", LIST, TUNED], &[primary, loops, further]),
            // What is given stands.
            ("--set mode=shadow", &["--mode=primary"], &[LIST], &[primary, loops]),
            ("--set \\\n'controllers.loops={x}'", &["--mode=primary"], &[LIST], &[mode]),
            ("--set controllers.loops={x}", &[], &["--kube-api-qps=50", LIST, TUNED], &[further]),
            ("--set controllers.mode=primary", &["--mode=primary"], &[], &[mode]),
        ];
        for (given, scheduler, controllers, expected) in cases {
            let words = |all: &[&str]| -> Vec<String> { all.iter().map(|word| (*word).to_owned()).collect() };
            let told = kept(given, &words(scheduler), &words(controllers));
            assert_eq!(told, expected, "{given:?} {scheduler:?} {controllers:?}");
        }
    }

    #[test]
    fn of_fewer_loops_no_more_is_said_than_is_left() {
        type Words = &'static [&'static str];
        const NODES: &str = "node-lifecycle-controller,taint-eviction-controller";
        const PROFILE: &str = "--node-lifecycle-profile=fast";
        let own = "--set 'controllers.loops={node-headroom-controller,memory-profile-controller}'";
        let (mode, stock) = ("--set controllers.mode=", "--set controllers.nodeLifecycleProfile=stock");
        let (primary, none) = ("--set controllers.mode=primary", "--set-json 'controllers.extraArgs=[]'");
        let nodes = "--set 'controllers.loops={node-lifecycle-controller,taint-eviction-controller}'";
        let taints = "--set 'controllers.loops={taint-eviction-controller}'";
        let rate = r#"--set-json 'controllers.extraArgs=["--kube-api-qps=50","--node-eviction-rate=1"]'"#;
        let own_loops = OWN.join(",");
        let cases: [(&str, Words, Words, &[&str]); 7] = [
            (&own_loops, &["--v=2"], &[], &[mode, own]),
            (&own_loops, &["--max-endpoints-per-slice=50"], &["max-endpoints-per-slice"], &[mode, own, none]),
            (&own_loops, &["--max_endpoints_per_slice", "50"], &["max-endpoints-per-slice"], &[mode, own, none]),
            (&own_loops, &["--node-lifecycle-profile=stock"], &[], &[mode, own]),
            (&own_loops, &[PROFILE], &[], &[mode, own, stock]),
            (NODES, &[PROFILE, "--kube-api-qps=50", "--node-eviction-rate", "1"], &[], &[primary, nodes, rate]),
            ("taint-eviction-controller", &[PROFILE], &[], &[primary, taints, stock]),
        ];
        for (list, words, gone, expected) in cases {
            let all = |all: &[&str]| -> Vec<String> { all.iter().map(|word| (*word).to_owned()).collect() };
            assert_eq!(of_fewer(list, &all(words), &all(gone)), expected, "{list} {words:?} {gone:?}");
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
