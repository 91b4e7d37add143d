//! Why a pod goes where it goes: the plain cycle, told in full (interfaces.md 4). Same code, same answers.

use std::sync::Arc;

use headroom_core::{Now, Str, memory::Cluster, object::Pod};
use serde::Serialize;

use super::Engine;
use crate::{
    cache::{MemoryIndex, NodeInfo, Slot},
    cycle::{self, Evaluation},
    fit_error::NO_NODES,
    framework::{Column, NoProbe, PodInfo, Profile, Rejection, View},
    plugins::memory_headroom::{MemoryHeadroom, PodState},
};

/// The whole explanation: `explain pod -o json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PodExplanation {
    /// `headroom.dev/v1alpha1`.
    pub api_version: &'static str,
    /// `PodExplanation`.
    pub kind: &'static str,
    /// The time of the decision, RFC 3339.
    pub at: String,
    /// The pod.
    pub pod: PodReference,
    /// No node has a usable sample: the memory rules reject nothing.
    pub degraded: bool,
    /// Every schedulable node is protected: protection only doubles the floor.
    pub soft: bool,
    /// What the pod will take; absent when `MemoryHeadroom` is disabled.
    pub demand: Option<DemandExplanation>,
    /// What would happen.
    pub result: ResultExplanation,
    /// Every node, by name.
    pub nodes: Vec<NodeExplanation>,
    /// What would make the pod fit; filled by the CLI.
    pub fixes: Vec<serde_json::Value>,
}

/// The pod.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PodReference {
    /// Namespace.
    pub namespace: Str,
    /// Name.
    pub name: Str,
    /// `schedulerName`.
    pub scheduler_name: Str,
    /// Where it is already.
    pub node_name: Option<Str>,
}

/// Its demand, in bytes.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DemandExplanation {
    /// All of it.
    pub memory_bytes: i64,
    /// The part that cannot swap.
    pub fixed_bytes: i64,
    /// The part that can.
    pub swappable_bytes: i64,
    /// What NodeResourcesFit counts.
    pub request_bytes: i64,
    /// Where the estimate comes from.
    pub source: &'static str,
}

/// The result.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ResultExplanation {
    /// Whether a node was found.
    pub scheduled: bool,
    /// Which.
    pub node: Option<Str>,
    /// Text of the FailedScheduling event when none was.
    pub message: String,
    /// The node on which preemption would make room.
    pub nominated_node: Option<Str>,
    /// Whom it would remove.
    pub victims: Vec<VictimReference>,
}

/// A pod that would be preempted.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VictimReference {
    /// Namespace.
    pub namespace: Str,
    /// Name.
    pub name: Str,
}

impl VictimReference {
    fn of(pod: &PodInfo) -> Self {
        let key = &pod.pod.meta.key;
        Self { namespace: key.namespace.clone(), name: key.name.clone() }
    }
}

/// One node.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NodeExplanation {
    /// Name.
    pub name: Str,
    /// Whether the pod could go there.
    pub feasible: bool,
    /// Why not.
    pub rejections: Vec<RejectionExplanation>,
    /// Normalised scores.
    pub scores: Vec<ScoreExplanation>,
    /// Their weighted sum.
    pub total: Option<i64>,
    /// Its memory, unless the plugin is disabled or inert.
    pub memory: Option<MemoryExplanation>,
}

/// A plugin's rejection.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RejectionExplanation {
    /// The plugin.
    pub plugin: &'static str,
    /// Status code.
    pub code: &'static str,
    /// Reasons.
    pub reasons: Vec<String>,
    /// The rule of the memory model, if it was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<&'static str>,
}

/// A plugin's score.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ScoreExplanation {
    /// The plugin.
    pub plugin: &'static str,
    /// 0 to 100.
    pub score: i64,
    /// Its weight.
    pub weight: i64,
}

/// Memory of a node, for this pod.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MemoryExplanation {
    /// `H`; may be negative.
    pub headroom_bytes: i64,
    /// `Acc`.
    pub accessible_swap_bytes: i64,
    /// `L`.
    pub pod_swap_limit_bytes: i64,
    /// Growth of pods in flight.
    pub growth_bytes: i64,
    /// Floor.
    pub floor_bytes: i64,
    /// `Fresh`, `Aging`, `Stale`, `None`.
    pub sample: &'static str,
    /// Age of the sample.
    pub sample_age_seconds: Option<i64>,
    /// Pressure state.
    pub state: &'static str,
    /// Control-plane protection applies.
    pub protected: bool,
    /// The rule that decided.
    pub rule: &'static str,
    /// `ram`, `swap` or null.
    pub fits: Option<&'static str>,
}

impl Engine {
    /// What would happen to this pod at `now`, and why. A pod that is on a node is looked at as if it were pending on
    /// the rest of the cluster.
    ///
    /// Ages of samples are as of the last input; callers that set the clock themselves send a `Tick` first.
    #[must_use]
    pub fn explain(&self, pod: &Pod, now: Now) -> PodExplanation {
        let placed = pod.node_name.clone().filter(|n| !n.is_empty());
        let uid = pod.meta.uid.clone();
        let pending = Pod { node_name: None, ..pod.clone() };
        let info = PodInfo::new(Arc::new(pending));
        let without = self.row_without(&uid, now);
        let view = View {
            overlay: without.as_ref().map(|(slot, row)| (*slot, row)),
            unschedulable_since: self.queue.get(&uid).and_then(|e| e.unschedulable_since),
            ..View::new(&self.cache, now)
        };
        let memory = MemoryHeadroom::pod_state(&info, &view);
        let index = self.cache.memory();
        let cluster = index.map_or_else(Cluster::default, MemoryIndex::cluster);
        let known = memory.is_some();
        let mut explanation = PodExplanation {
            api_version: "headroom.dev/v1alpha1",
            kind: "PodExplanation",
            at: now.wall.to_string(),
            pod: PodReference {
                namespace: pod.meta.key.namespace.clone(),
                name: pod.meta.key.name.clone(),
                scheduler_name: pod.spec.scheduler_name.clone(),
                node_name: placed,
            },
            degraded: known && cluster.degraded,
            soft: known && cluster.soft,
            demand: index.map(|i| {
                let d = i.candidate(&info, now.wall).demand;
                DemandExplanation {
                    memory_bytes: d.total,
                    fixed_bytes: d.fixed,
                    swappable_bytes: d.swappable,
                    request_bytes: d.request,
                    source: d.source.as_str(),
                }
            }),
            result: ResultExplanation {
                scheduled: false,
                node: None,
                message: String::new(),
                nominated_node: None,
                victims: Vec::new(),
            },
            nodes: Vec::new(),
            fixes: Vec::new(),
        };
        // A pod of a scheduler that we do not serve is looked at as ours would.
        let served = self.profiles.find(&pod.spec.scheduler_name).unwrap_or(0);
        let Some(profile) = self.profiles.all.get(served) else { return explanation };
        let evaluation = match cycle::evaluate(profile, &info, &view, &self.nominated, &mut NoProbe) {
            Ok(evaluation) => evaluation,
            Err(message) => {
                explanation.result.message = message;
                Evaluation::default()
            }
        };
        self.explain_result(profile, &info, &view, &evaluation, &mut explanation.result);
        explanation.nodes = self.explain_nodes(profile, &view, &evaluation, memory.as_ref());
        explanation
    }

    /// The node of a placed pod as it would be without it.
    fn row_without(&self, uid: &str, now: Now) -> Option<(Slot, NodeInfo)> {
        let cached = self.cache.pod(uid)?;
        let mut row = self.cache.row(cached.slot)?.clone();
        row.remove(uid);
        if let (Some(memory), Some(index)) = (&mut row.memory, self.cache.memory()) {
            memory.sums = memory.sums_without(uid);
            memory.state = memory.state_with(&memory.sums, now.wall, index.params());
        }
        Some((cached.slot, row))
    }

    fn explain_result(
        &self,
        profile: &Profile,
        info: &PodInfo,
        view: &View<'_>,
        evaluation: &Evaluation,
        result: &mut ResultExplanation,
    ) {
        if let Some(gate) = profile.pre_enqueue(info, None) {
            result.message = gate.status.message();
            return;
        }
        if !result.message.is_empty() {
            return;
        }
        let nodes = self.cache.node_count();
        if nodes == 0 {
            NO_NODES.clone_into(&mut result.message);
            return;
        }
        let nominated = cycle::try_nominated_node(profile, info, view, &self.nominated, &mut NoProbe);
        let choice = nominated.or_else(|| evaluation.choose(profile, info, view, self.tie_breaker(info.uid())));
        match choice.and_then(|c| view.row(c.slot)) {
            Some(node) => {
                result.scheduled = true;
                result.node = Some(node.name.clone());
            }
            None => {
                let mut fit = evaluation.fit_error(nodes);
                if profile.has_post_filter(info) {
                    let after = evaluation.after_filter(view);
                    let hash = self.tie_breaker(info.uid()).rank(0);
                    let done =
                        cycle::post_filter(profile, info, view, &self.nominated, &after, hash, None, &mut NoProbe);
                    fit.post_filter_message = done.message;
                    if let Some(preemption) = done.preemption {
                        result.nominated_node = Some(preemption.node);
                        result.victims = preemption.victims.iter().map(VictimReference::of).collect();
                    }
                }
                result.message = fit.to_string();
            }
        }
    }

    fn explain_nodes(
        &self,
        profile: &Profile,
        view: &View<'_>,
        evaluation: &Evaluation,
        memory: Option<&PodState>,
    ) -> Vec<NodeExplanation> {
        let mut all: Vec<NodeExplanation> = view
            .nodes()
            .map(|(slot, node)| {
                let explained = memory.and_then(|state| self.explain_memory(state, node, view.now));
                let mut this = NodeExplanation {
                    name: node.name.clone(),
                    feasible: false,
                    rejections: Vec::new(),
                    scores: Vec::new(),
                    total: None,
                    memory: explained,
                };
                if let Some((status, plugins)) = &evaluation.everywhere {
                    this.rejections = plugins
                        .iter()
                        .map(|plugin| self.explain_rejection(&Rejection { plugin, status: status.clone() }, None))
                        .collect();
                }
                this.feasible = evaluation.feasible.contains(&slot);
                this
            })
            .collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        let place = |slot: Slot, all: &[NodeExplanation]| {
            let name = &view.row(slot)?.name;
            all.binary_search_by(|n| n.name.cmp(name)).ok()
        };
        for (slot, rejection) in &evaluation.rejected {
            if let Some(at) = place(*slot, &all) {
                let rule = all[at].memory.as_ref().map(|m| m.rule);
                all[at].rejections.push(self.explain_rejection(rejection, rule));
            }
        }
        for (row, slot) in evaluation.feasible.iter().enumerate() {
            let Some(at) = place(*slot, &all) else { continue };
            all[at].total = evaluation.totals.get(row).copied();
            let score = |column: &Column| i64::from(column.normalized().get(row).copied().unwrap_or(0));
            all[at].scores = evaluation
                .scores
                .iter()
                .map(|s| ScoreExplanation {
                    plugin: profile.plugins[s.plugin].name(),
                    score: score(&s.column),
                    weight: profile.weights[s.plugin],
                })
                .collect();
        }
        all
    }

    fn explain_rejection(&self, rejection: &Rejection, rule: Option<&'static str>) -> RejectionExplanation {
        let plugin = self.profiles.names.name(rejection.plugin);
        RejectionExplanation {
            plugin,
            code: rejection.status.code().as_str(),
            reasons: rejection.status.reasons().iter().map(ToString::to_string).collect(),
            rule: rule.filter(|_| plugin == "MemoryHeadroom"),
        }
    }

    fn explain_memory(&self, state: &PodState, node: &NodeInfo, now: Now) -> Option<MemoryExplanation> {
        let index = self.cache.memory()?;
        let verdict = MemoryHeadroom::verdict(state, node, index.params())?;
        let sampled = node.memory.as_ref().and_then(|m| m.headroom.as_ref()).and_then(|h| h.sample.as_ref());
        Some(MemoryExplanation {
            headroom_bytes: verdict.headroom,
            accessible_swap_bytes: verdict.accessible_swap,
            pod_swap_limit_bytes: verdict.pod_swap_limit,
            growth_bytes: verdict.growth,
            floor_bytes: verdict.floor,
            sample: verdict.sample.as_str(),
            sample_age_seconds: verdict
                .sample_age_seconds
                .and_then(|_| sampled.map(|s| i64::try_from(now.wall.since(s.at).as_secs()).unwrap_or(i64::MAX))),
            state: verdict.state.as_str(),
            protected: verdict.protected,
            rule: verdict.rule.as_str(),
            fits: verdict.fits.map(headroom_core::memory::Fits::as_str),
        })
    }
}
