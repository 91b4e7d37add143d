//! The engine on a recorded case, and the comparison.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context;
use headroom_core::Timestamp;
use headroom_engine::{Configuration, Registry, engine::PodExplanation};
use kubectl_headroom::snapshot::Snapshot;
use serde_json::{Value, json};

use crate::case::{Case, Decision, Header};
use crate::trim::restore;

/// Stock's default plugins. Of DynamicResources there is what it says about pods without claims; pods with claims are
/// turned away.
pub const STOCK_PLUGINS: [&str; 20] = [
    "SchedulingGates",
    "PrioritySort",
    "NodeUnschedulable",
    "NodeName",
    "TaintToleration",
    "NodeAffinity",
    "NodePorts",
    "NodeResourcesFit",
    "VolumeRestrictions",
    "NodeVolumeLimits",
    "VolumeBinding",
    "VolumeZone",
    "PodTopologySpread",
    "InterPodAffinity",
    "DynamicResources",
    "DefaultPreemption",
    "NodeResourcesBalancedAllocation",
    "ImageLocality",
    "DefaultBinder",
    "NodeDeclaredFeatures",
];

/// The time of all decisions: nothing in a case depends on it.
const AT: Timestamp = Timestamp::from_secs(1_800_000_000);

/// Plugins whose scores differ from stock's on purpose for this pod. NodeResourcesFit counts the pod-level requests of
/// the pod that is to be placed, as its Filter does; stock's scorer overlooks them (reference 3.7).
#[must_use]
pub fn on_purpose(pod: &Value) -> &'static [&'static str] {
    if pod.pointer("/spec/resources/requests").is_some() { &["NodeResourcesFit"] } else { &[] }
}

/// What a comparison came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The engine decides the same.
    Same,
    /// The case needs a plugin that does not exist yet.
    Skipped(BTreeSet<String>),
    /// It does not: what is different.
    Different(String),
}

/// Replays cases of one corpus.
#[derive(Debug)]
pub struct Replayer {
    config: Configuration,
    world: Vec<Value>,
    registry: fn() -> Registry,
    missing: BTreeSet<String>,
    /// Profiles with arguments of plugins that do not exist yet.
    unbuilt: BTreeMap<String, BTreeSet<String>>,
}

impl Replayer {
    /// With the corpus' configuration, `MemoryHeadroom` disabled.
    ///
    /// # Errors
    /// The configuration cannot be used.
    pub fn new(header: &Header, registry: fn() -> Registry) -> anyhow::Result<Self> {
        let known = registry();
        let missing: BTreeSet<String> =
            STOCK_PLUGINS.iter().filter(|name| !known.has(name)).map(|name| (*name).to_owned()).collect();
        let mut config = header.config.clone();
        let mut unbuilt: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for profile in config.get_mut("profiles").and_then(Value::as_array_mut).into_iter().flatten() {
            let name = profile["schedulerName"].as_str().unwrap_or_default().to_owned();
            profile["plugins"]["multiPoint"]["disabled"] = json!([{"name": "MemoryHeadroom"}]);
            for entry in profile.get_mut("pluginConfig").and_then(Value::as_array_mut).into_iter() {
                entry.retain(|entry| {
                    let plugin = entry["name"].as_str().unwrap_or_default();
                    let absent = missing.contains(plugin);
                    if absent {
                        unbuilt.entry(name.clone()).or_default().insert(plugin.to_owned());
                    }
                    !absent
                });
            }
        }
        let config = Configuration::from_value(config).context("the corpus' configuration")?;
        Ok(Self { config, world: header.world.clone(), registry, missing, unbuilt })
    }

    /// Stock's plugins that do not exist here yet.
    #[must_use]
    pub const fn missing(&self) -> &BTreeSet<String> {
        &self.missing
    }

    /// The cluster of a decision as a `v1 List`: what `kubectl headroom explain pod --snapshot` reads.
    #[must_use]
    pub fn snapshot(&self, case: &Case, decision: usize) -> Vec<Value> {
        let mut all = self.world.clone();
        all.extend(case.others.iter().cloned());
        all.extend(case.nodes.iter().map(|node| restore(node, "Node")));
        let before = &case.decisions[..decision.min(case.decisions.len())];
        let victims: BTreeSet<&str> = before.iter().flat_map(|d| &d.victims).map(String::as_str).collect();
        let placed = |pod: &Value| {
            let mut pod = restore(pod, "Pod");
            let text = |field: &str| pod["metadata"][field].as_str().unwrap_or_default();
            if victims.contains(format!("{}/{}", text("namespace"), text("name")).as_str()) {
                pod["metadata"]["deletionTimestamp"] = AT.to_string().into();
                pod["metadata"]["deletionGracePeriodSeconds"] = 30.into();
                pod["status"]["conditions"] = json!([{"type": "DisruptionTarget", "status": "True",
                    "reason": "PreemptionByScheduler"}]);
            }
            pod
        };
        all.extend(case.pods.iter().map(placed));
        for (i, before) in case.decisions.iter().enumerate().take(decision + 1) {
            let mut pod = placed(&before.pod);
            if let Some(node) = before.node.as_ref().filter(|_| i < decision) {
                pod["spec"]["nodeName"] = node.as_str().into();
            }
            if let Some(node) = before.nominated.as_ref().filter(|_| i < decision) {
                pod["status"]["nominatedNodeName"] = node.as_str().into();
            }
            all.push(pod);
        }
        all
    }

    /// Compares one decision.
    ///
    /// # Errors
    /// The case cannot be read.
    pub fn check(&self, case: &Case, decision: usize) -> anyhow::Result<Verdict> {
        let stock = case.decisions.get(decision).context("no such decision")?;
        let needed: BTreeSet<String> =
            self.needs(case, decision).into_iter().filter(|plugin| self.missing.contains(plugin)).collect();
        if !needed.is_empty() {
            return Ok(Verdict::Skipped(needed));
        }
        let snapshot = Snapshot::from_objects(self.snapshot(case, decision));
        if let Some(note) = snapshot.notes.iter().find(|note| note.starts_with("skipped: ")) {
            return Ok(Verdict::Different(format!("an object was not understood: {note}")));
        }
        let pod = restore(&stock.pod, "Pod");
        let text = |pointer| pod.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let ours = snapshot
            .explain(self.config.clone(), (self.registry)(), AT, text("/metadata/namespace"), text("/metadata/name"))?
            .context("the pod is not in its snapshot")?;
        Ok(match self.difference(stock, &ours) {
            None => Verdict::Same,
            Some(difference) => Verdict::Different(difference),
        })
    }

    /// Plugins that may turn a node down in this case, or make the profile another one. Missing score plugins are no
    /// obstacle: the others' scores are compared.
    fn needs(&self, case: &Case, decision: usize) -> BTreeSet<String> {
        let pod = &case.decisions[decision].pod;
        let mut needed = BTreeSet::new();
        let required = |pod: &Value, kind: &str| {
            let path = format!("/spec/affinity/{kind}/requiredDuringSchedulingIgnoredDuringExecution/0");
            pod.pointer(&path).is_some()
        };
        let before = case.decisions[..decision].iter().filter(|d| d.node.is_some()).map(|d| &d.pod);
        let others_repel = case.pods.iter().chain(before).any(|other| required(other, "podAntiAffinity"));
        if others_repel || required(pod, "podAffinity") || required(pod, "podAntiAffinity") {
            needed.insert("InterPodAffinity".to_owned());
        }
        let constraints = pod.pointer("/spec/topologySpreadConstraints").and_then(Value::as_array);
        if constraints.into_iter().flatten().any(|c| c["whenUnsatisfiable"] == "DoNotSchedule") {
            needed.insert("PodTopologySpread".to_owned());
        }
        if pod.pointer("/spec/volumes/0").is_some() {
            for plugin in ["VolumeRestrictions", "NodeVolumeLimits", "VolumeBinding", "VolumeZone"] {
                needed.insert(plugin.to_owned());
            }
        }
        let profile = pod.pointer("/spec/schedulerName").and_then(Value::as_str).unwrap_or("default-scheduler");
        needed.extend(self.unbuilt.get(profile).into_iter().flatten().cloned());
        needed
    }

    fn difference(&self, stock: &Decision, ours: &PodExplanation) -> Option<String> {
        let message = self.message(&stock.message);
        if stock.node.is_some() != ours.result.scheduled {
            let told = |node: Option<&str>, message: &str| match node {
                Some(node) => format!("binds it to {node}"),
                None => format!("says {message:?}"),
            };
            return Some(format!(
                "stock {}, the engine {}",
                told(stock.node.as_deref(), message),
                told(ours.result.node.as_deref(), &ours.result.message)
            ));
        }
        let Some(node) = &stock.node else {
            return (message != ours.result.message)
                .then(|| format!("stock says {message:?}, the engine {:?}", ours.result.message))
                .or_else(|| preemption(stock, ours));
        };
        let feasible: BTreeSet<&str> = ours.nodes.iter().filter(|n| n.feasible).map(|n| n.name.as_ref()).collect();
        if stock.scores.is_empty() {
            // Stock scores nothing when one node is feasible.
            return (feasible.len() != 1 || !feasible.contains(node.as_str()))
                .then(|| format!("only {node} is feasible for stock, {feasible:?} for the engine"));
        }
        let of_stock: BTreeSet<&str> = stock.scores.keys().map(String::as_str).collect();
        if of_stock != feasible {
            return Some(format!("feasible for stock: {of_stock:?}, for the engine: {feasible:?}"));
        }
        self.scores(stock, ours, node)
    }

    /// Scores of each plugin on each node; then whether stock's node is among the best, and the engine's.
    fn scores(&self, stock: &Decision, ours: &PodExplanation, chosen: &str) -> Option<String> {
        let exempt = on_purpose(&stock.pod);
        let compared = |plugin: &str| !self.missing.contains(plugin) && !exempt.contains(&plugin);
        let mut totals: BTreeMap<&str, i64> = BTreeMap::new();
        for node in ours.nodes.iter().filter(|n| n.feasible) {
            let name: &str = node.name.as_ref();
            let row = stock.scores.get(name).into_iter().flatten().copied();
            let theirs: BTreeMap<&str, i64> = stock.plugins.iter().map(String::as_str).zip(row).collect();
            let expected: BTreeMap<&str, i64> =
                theirs.iter().filter(|(plugin, _)| compared(plugin)).map(|(plugin, score)| (*plugin, *score)).collect();
            let mine = node.scores.iter().map(|s| (s.plugin, s.score * s.weight));
            let mine: BTreeMap<&str, i64> = mine.filter(|(plugin, _)| compared(plugin)).collect();
            if mine != expected {
                return Some(format!("scores times weights of {name}: stock {expected:?}, the engine {mine:?}"));
            }
            totals.insert(name, theirs.values().sum());
            let complete = stock.plugins.iter().all(|plugin| compared(plugin));
            if complete && node.total != totals.get(name).copied() {
                return Some(format!("total of {name}: the engine {:?}, stock {:?}", node.total, totals.get(name)));
            }
        }
        let best = totals.values().max().copied()?;
        let of_chosen = totals.get(chosen).copied();
        if of_chosen != Some(best) {
            return Some(format!("stock's node {chosen} has {of_chosen:?}, the best has {best}: {totals:?}"));
        }
        let ours_best = ours.nodes.iter().filter_map(|n| n.total).max();
        let ours_chosen = ours.nodes.iter().find(|n| Some(&n.name) == ours.result.node.as_ref()).and_then(|n| n.total);
        (ours_chosen != ours_best).then(|| format!("the engine chose {ours_chosen:?} where {ours_best:?} was best"))
    }

    /// Stock's message, less what a missing DefaultPreemption would have said. DynamicResources' PostFilter, which
    /// stands before it, says its part only then.
    fn message<'a>(&self, message: &'a str) -> &'a str {
        if !self.missing.contains("DefaultPreemption") {
            return message;
        }
        let end =
            message.find(" no new claims to deallocate").or_else(|| message.strip_suffix(" not found").map(str::len));
        &message[..end.unwrap_or(message.len())]
    }
}

/// The node for which pods are preempted, and which.
fn preemption(stock: &Decision, ours: &PodExplanation) -> Option<String> {
    let mut victims: Vec<String> = ours.result.victims.iter().map(|v| format!("{}/{}", v.namespace, v.name)).collect();
    victims.sort();
    let nominated = ours.result.nominated_node.as_deref();
    (nominated != stock.nominated.as_deref() || victims != stock.victims).then(|| {
        format!("stock preempts {:?} on {:?}, the engine {victims:?} on {nominated:?}", stock.victims, stock.nominated)
    })
}
