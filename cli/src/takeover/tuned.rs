//! Flags that were tuned on the stock manager: those of the loops that ours take over have the same names there and are
//! copied (DESIGN.md 12). Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    distribution::facts::Facts,
    doctor::{Program, cut, flag, is_server_of_k3s},
};

/// Flags that ours follow, each with the loop that it is for.
const FOLLOWED: [(&str, &str); 13] = [
    ("endpoints-controller", "endpoint-updates-batch-period"),
    ("endpointslice-controller", "endpointslice-updates-batch-period"),
    ("endpointslice-controller", "max-endpoints-per-slice"),
    ("endpointslice-mirroring-controller", "mirroring-max-endpoints-per-subset"),
    ("endpointslice-mirroring-controller", "mirroring-endpointslice-updates-batch-period"),
    ("node-lifecycle-controller", MONITOR_PERIOD),
    ("node-lifecycle-controller", MONITOR_GRACE_PERIOD),
    ("node-lifecycle-controller", "node-startup-grace-period"),
    ("node-lifecycle-controller", "node-eviction-rate"),
    ("node-lifecycle-controller", "secondary-node-eviction-rate"),
    ("node-lifecycle-controller", "large-cluster-size-threshold"),
    ("node-lifecycle-controller", "unhealthy-zone-threshold"),
    ("pod-garbage-collector-controller", "terminated-pod-gc-threshold"),
];
const MONITOR_PERIOD: &str = "node-monitor-period";
const MONITOR_GRACE_PERIOD: &str = "node-monitor-grace-period";

/// Flags that ours accept and do not follow: their loops have no workers.
const NOT_FOLLOWED: [(&str, &str); 4] = [
    ("replicationcontroller-controller", "concurrent-rc-syncs"),
    ("endpoints-controller", "concurrent-endpoint-syncs"),
    ("endpointslice-controller", "concurrent-service-endpoint-syncs"),
    ("endpointslice-mirroring-controller", "mirroring-concurrent-service-endpoint-syncs"),
];

/// The flags of stock that a takeover of a loop knows: the loop, the flag without its dashes, and whether ours follow it.
pub(crate) fn known() -> impl Iterator<Item = (&'static str, &'static str, bool)> {
    let followed = FOLLOWED.into_iter().map(|(of, flag)| (of, flag, true));
    followed.chain(NOT_FOLLOWED.into_iter().map(|(of, flag)| (of, flag, false)))
}

/// Settles some of them together.
const PROFILE: &str = "node-lifecycle-profile";

/// What becomes of tuned flags.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Tuned {
    /// What ours are given: names and values.
    pub(super) copied: BTreeMap<String, String>,
    /// What has to be known, in sentences for people.
    pub(super) notes: Vec<String>,
}

impl Tuned {
    /// Those of these loops. What ours have been given by whoever runs them stays.
    pub(super) fn of(facts: &Facts, loops: &[String]) -> Self {
        let mut tuned = Self::default();
        if loops.is_empty() {
            return tuned;
        }
        let stock = managers(facts);
        if stock.is_empty() {
            tuned.notes.push(
                "Nothing shows here how the stock manager was started. Flags that were tuned on it have the same names on \
                 headroom-controllers: copy them."
                    .to_owned(),
            );
            return tuned;
        }
        let own = |name: &str| facts.controllers.as_ref().and_then(|ours| ours.flag(name));
        let profile = own(PROFILE).filter(|profile| *profile != "stock");
        let mut differing = Vec::new();
        for name in of_loops(&FOLLOWED, loops) {
            let values = values(&stock, name);
            if values.len() > 1 {
                differing.push(format!("--{name}"));
                continue;
            }
            let Some(value) = values.into_iter().next().flatten() else { continue };
            let theirs = || cut(&format!("the stock manager has --{name}={value}"));
            match own(name) {
                Some(own) if own == value => {}
                Some(own) => {
                    let own = cut(&format!("--{name}={own}"));
                    tuned.notes.push(format!("headroom-controllers keeps its {own}; {}.", theirs()));
                }
                None => match profile.filter(|_| [MONITOR_PERIOD, MONITOR_GRACE_PERIOD].contains(&name)) {
                    Some(profile) => {
                        let own = cut(&format!("--{PROFILE}={profile}"));
                        tuned.notes.push(format!("headroom-controllers keeps what {own} settles; {}.", theirs()));
                    }
                    None => {
                        tuned.copied.insert(name.to_owned(), value.to_owned());
                    }
                },
            }
        }
        if !differing.is_empty() {
            tuned.notes.push(format!(
                "Not copied, since the stock managers that are seen differ in it: {}. Give headroom-controllers what is meant.",
                differing.join(", ")
            ));
        }
        let not_followed: Vec<String> = of_loops(&NOT_FOLLOWED, loops)
            .flat_map(|name| {
                values(&stock, name).into_iter().flatten().map(move |value| cut(&format!("--{name}={value}")))
            })
            .collect();
        if !not_followed.is_empty() {
            tuned.notes.push(format!(
                "Not copied, since headroom-controllers has no workers whose number could be set: {}.",
                not_followed.join(", ")
            ));
        }
        if !tuned.copied.is_empty() {
            let copied: Vec<String> =
                tuned.copied.iter().map(|(name, value)| cut(&format!("--{name}={value}"))).collect();
            tuned.notes.insert(0, format!("Tuned on the stock manager, and copied: {}.", copied.join(", ")));
        }
        tuned
    }
}

/// Whether a flag is for one of these loops.
pub(crate) fn is_of(name: &str, loops: &[String]) -> bool {
    of_loops(&FOLLOWED, loops).any(|known| known == name)
}

/// The flags that were copied for these loops: those that ours have as they were copied, and those that somebody has changed
/// since, which stay.
pub(crate) fn to_take_back(facts: &Facts, loops: &[String]) -> (Vec<String>, Vec<String>) {
    let record = facts.record.loops.as_ref();
    let copied = record.into_iter().flat_map(|record| &record.flags).filter(|(name, _)| is_of(name, loops));
    let ours = facts.controllers.as_ref();
    let there = copied.filter(|(name, _)| ours.is_none_or(|ours| ours.flag(name).is_some()));
    let as_copied = |(_, value): &(&String, &String), own: Option<&str>| own.is_none_or(|own| own == value.as_str());
    let (same, changed): (Vec<_>, Vec<_>) =
        there.partition(|copied| as_copied(copied, ours.and_then(|ours| ours.flag(copied.0))));
    let names = |of: Vec<(&String, &String)>| -> Vec<String> { of.into_iter().map(|(name, _)| name.clone()).collect() };
    (names(same), names(changed))
}

/// The flags of these loops.
fn of_loops<'a>(
    all: &'a [(&'static str, &'static str)],
    loops: &'a [String],
) -> impl Iterator<Item = &'static str> + 'a {
    all.iter().filter(move |(of, _)| loops.iter().any(|name| name == of)).map(|(_, flag)| *flag)
}

/// The values of a flag, one for each way in which it is set or left out. As with stock the last mention counts.
fn values<'a>(stock: &'a [Vec<String>], name: &str) -> BTreeSet<Option<&'a str>> {
    stock.iter().map(|words| flag(words, name).last().copied()).collect()
}

/// The command lines of the stock managers that are seen, as far as people can tune them.
fn managers(facts: &Facts) -> Vec<Vec<String>> {
    let look = facts.look();
    // Anybody can run a program of this name; static pods are in one namespace.
    let pods = look
        .running(Program::StockManager)
        .filter(|pod| !pod.args.is_empty() && &*pod.row.meta.key.namespace == "kube-system");
    let mut all: Vec<Vec<String>> = pods.map(|pod| pod.args.clone()).collect();
    for node in look.nodes().filter(|node| is_server_of_k3s(node)) {
        let off = flag(&node.args, "disable-controller-manager").last().is_some_and(|value| *value != "false");
        if !off {
            let words = flag(&node.args, "kube-controller-manager-arg");
            all.push(words.iter().map(|word| format!("--{}", word.trim_start_matches('-'))).collect());
        }
    }
    all.extend(facts.k0s_arguments.clone());
    all
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::distribution::{
        facts::{
            Raw,
            tests::{at, component, server},
        },
        ours::tests::deployment,
        record::{LoopsRecord, Record},
    };

    const NODES: &str = "node-lifecycle-controller";
    const GRACE: &str = "--node-monitor-grace-period=40s";

    fn names(loops: &[&str]) -> Vec<String> {
        loops.iter().map(|name| (*name).to_owned()).collect()
    }

    fn of(cluster: Vec<Value>, ours: &[&str], loops: &[&str]) -> Tuned {
        let deployments = vec![deployment("controllers", ours)];
        Tuned::of(&Facts::new(Raw { cluster, deployments, ..Raw::default() }, at()), &names(loops))
    }

    fn copied(tuned: &Tuned) -> Vec<String> {
        tuned.copied.iter().map(|(name, value)| format!("--{name}={value}")).collect()
    }

    #[test]
    fn wherever_they_show() {
        let manager = |args: &[&str]| vec![component("kube-controller-manager", args)];
        let k3s = |args: &[&str]| vec![server("v1.36.4+k3s1", args)];
        for cluster in [
            manager(&["--leader-elect=true", GRACE]),
            manager(&["--node_monitor_grace_period", "40s"]),
            manager(&["--node-monitor-grace-period=50s", GRACE]),
            k3s(&["server", "--kube-controller-manager-arg", "node-monitor-grace-period=40s"]),
            k3s(&["server", "--kube-controller-manager-arg=--node-monitor-grace-period=40s"]),
        ] {
            let tuned = of(cluster, &[], &[NODES]);
            assert_eq!(copied(&tuned), [GRACE]);
            assert_eq!(tuned.notes, [format!("Tuned on the stock manager, and copied: {GRACE}.")]);
        }
        let k0s = json!({"spec": {"controllerManager": {"extraArgs": {"node-monitor-grace-period": "40s", "v": "1"}}}});
        let facts = Facts::new(Raw { k0s: Some(k0s), ..Raw::default() }, at());
        assert_eq!(copied(&Tuned::of(&facts, &names(&[NODES]))), [GRACE]);
    }

    #[test]
    fn those_of_the_loops_that_are_taken_over_alone() {
        let manager = || {
            let args = [GRACE, "--terminated-pod-gc-threshold=100", "--concurrent-gc-syncs=30", "--kube-api-qps=50"];
            vec![component("kube-controller-manager", &args)]
        };
        let tuned = of(manager(), &[], &["pod-garbage-collector-controller", "endpoints-controller"]);
        assert_eq!(copied(&tuned), ["--terminated-pod-gc-threshold=100"]);
        assert_eq!(of(manager(), &[], &["taint-eviction-controller"]), Tuned::default());
        assert_eq!(of(manager(), &[], &[]), Tuned::default());
    }

    #[test]
    fn what_ours_were_given_stays() {
        let manager = || vec![component("kube-controller-manager", &[GRACE, "--node-eviction-rate=1"])];
        let rate = "Tuned on the stock manager, and copied: --node-eviction-rate=1.";
        let theirs = "the stock manager has --node-monitor-grace-period=40s.";
        for (ours, line) in [
            ("--node-monitor-grace-period=20s", "keeps its --node-monitor-grace-period=20s"),
            ("--node_monitor_grace_period=20s", "keeps its --node-monitor-grace-period=20s"),
            ("--node-lifecycle-profile=fast", "keeps what --node-lifecycle-profile=fast settles"),
        ] {
            let tuned = of(manager(), &[ours], &[NODES]);
            assert_eq!(copied(&tuned), ["--node-eviction-rate=1"], "{ours}");
            assert_eq!(tuned.notes, [rate.to_owned(), format!("headroom-controllers {line}; {theirs}")]);
        }
        let tuned = of(manager(), &[GRACE, "--node-lifecycle-profile=stock"], &[NODES]);
        assert_eq!((copied(&tuned), tuned.notes), (names(&["--node-eviction-rate=1"]), names(&[rate])));
    }

    #[test]
    fn what_cannot_be_copied_is_said() {
        let mut second = component("kube-controller-manager", &["--node-eviction-rate=1"]);
        second["metadata"]["name"] = "kube-controller-manager-cp2".into();
        let both = vec![component("kube-controller-manager", &[GRACE, "--node-eviction-rate=1"]), second];
        let tuned = of(both, &[], &[NODES]);
        assert_eq!(copied(&tuned), ["--node-eviction-rate=1"]);
        assert!(tuned.notes[1].contains("differ in it: --node-monitor-grace-period."), "{:?}", tuned.notes);

        let workers = vec![component("kube-controller-manager", &["--concurrent-rc-syncs=20"])];
        let tuned = of(workers, &[], &["replicationcontroller-controller"]);
        assert!(tuned.notes.len() == 1 && tuned.notes[0].ends_with("could be set: --concurrent-rc-syncs=20."));

        let mut anybodys = component("kube-controller-manager", &[GRACE]);
        anybodys["metadata"]["namespace"] = "a-tenant".into();
        let tuned = of(vec![anybodys], &[], &[NODES]);
        assert!(tuned.copied.is_empty() && tuned.notes[0].starts_with("Nothing shows here"), "{tuned:?}");
    }

    #[test]
    fn what_somebody_changed_since_is_not_taken_back() {
        let flags = [("node-eviction-rate", "1"), ("node-monitor-period", "2s"), ("max-endpoints-per-slice", "50")];
        let record = || Record {
            loops: Some(LoopsRecord {
                names: names(&[NODES, "endpointslice-controller"]),
                flags: flags.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
                ..LoopsRecord::default()
            }),
            ..Record::default()
        };
        let back = |ours: Option<&[&str]>| {
            let deployments = ours.map(|ours| deployment("controllers", ours)).into_iter().collect();
            let raw = Raw { deployments, record: Some(record().object()), ..Raw::default() };
            to_take_back(&Facts::new(raw, at()), &names(&[NODES]))
        };
        let (rate, period) = (names(&["node-eviction-rate"]), names(&["node-monitor-period"]));
        assert_eq!(back(Some(&["--node-eviction-rate=1", "--node-monitor-period=5s"])), (rate.clone(), period));
        assert_eq!(back(Some(&["--node-eviction-rate=1"])), (rate, Vec::new()));
        // Where ours are no Deployment, whoever runs them has been told to give them all.
        assert_eq!(back(None).0.len(), 2);
    }
}
