//! `spec` of a pod, and what of it this version cannot honour.

use headroom_core::{
    Str,
    object::{
        Affinity, Container, ContainerPort, NodeAffinity, NodeInclusion, PodAffinityTerm, PodSpec, PreemptionPolicy,
        Protocol, RbdVolume, RestartPolicy, TopologySpreadConstraint, Volume, VolumeKind, WeightedPodAffinityTerm,
    },
    selector::PreferredSchedulingTerm,
    taint::{Effect, Toleration, TolerationOperator},
};
use serde::{Deserialize, de::IgnoredAny};

use super::{
    de::{Flag, Int, List, Obj, Opt, Pairs, Quantities, Quantity, Text},
    interners::Interners,
    narrow, port,
    scheduling::{WireLabelSelector, WireNodeSelector, WireNodeSelectorTerm},
    volumes::{WireAzureDisk, WireAzureFile, WireGcePd, WireInTree, WireVolumeId, WireVsphere},
};

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct WirePodSpec {
    pub(super) node_name: Text,
    pub(super) hostname: Text,
    pub(super) subdomain: Text,
    scheduler_name: Text,
    priority: Int,
    priority_class_name: Text,
    preemption_policy: Text,
    restart_policy: Text,
    node_selector: Pairs,
    affinity: Opt<WireAffinity>,
    tolerations: List<Obj<WireToleration>>,
    containers: List<Obj<WireContainer>>,
    init_containers: List<Obj<WireContainer>>,
    resources: Opt<WireResources>,
    overhead: Quantities,
    host_network: Flag,
    host_users: Flag,
    scheduling_gates: List<Obj<WireGate>>,
    volumes: List<Obj<WireVolume>>,
    termination_grace_period_seconds: Int,
    topology_spread_constraints: List<Obj<WireSpread>>,
    resource_claims: List<IgnoredAny>,
    // Gang scheduling: the field was renamed between alphas.
    workload_ref: Opt<Nothing>,
    scheduling_group: Opt<Nothing>,
}

/// An object of which only the presence matters.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Nothing {}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct WireGate {
    name: Text,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct WireSpread {
    max_skew: Int,
    topology_key: Text,
    when_unsatisfiable: Text,
    label_selector: Opt<WireLabelSelector>,
    min_domains: Int,
    node_affinity_policy: Text,
    node_taints_policy: Text,
    match_label_keys: List<Text>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct WireResources {
    requests: Quantities,
    limits: Quantities,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct WireContainer {
    name: Text,
    image: Text,
    resources: Obj<WireResources>,
    ports: List<Obj<WirePort>>,
    restart_policy: Text,
    restart_policy_rules: List<Obj<WireRestartRule>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct WireRestartRule {
    action: Text,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct WirePort {
    name: Text,
    container_port: Int,
    host_port: Int,
    #[serde(rename = "hostIP")]
    host_ip: Text,
    protocol: Text,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct WireVolume {
    name: Text,
    empty_dir: Opt<WireEmptyDir>,
    persistent_volume_claim: Opt<WireClaim>,
    ephemeral: Opt<Nothing>,
    image: Opt<WireImage>,
    iscsi: Opt<WireIscsi>,
    rbd: Opt<WireRbd>,
    csi: Opt<WireInlineCsi>,
    aws_elastic_block_store: Opt<WireVolumeId>,
    gce_persistent_disk: Opt<WireGcePd>,
    azure_disk: Opt<WireAzureDisk>,
    cinder: Opt<WireVolumeId>,
    portworx_volume: Opt<WireVolumeId>,
    azure_file: Opt<WireAzureFile>,
    vsphere_volume: Opt<WireVsphere>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct WireIscsi {
    iqn: Text,
    read_only: Flag,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct WireRbd {
    monitors: List<Text>,
    pool: Text,
    image: Text,
    read_only: Flag,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct WireImage {
    reference: Text,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct WireInlineCsi {
    driver: Text,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct WireEmptyDir {
    medium: Text,
    size_limit: Quantity,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct WireClaim {
    claim_name: Text,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct WireToleration {
    key: Text,
    operator: Text,
    value: Text,
    effect: Text,
    toleration_seconds: Int,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct WireAffinity {
    node_affinity: Opt<WireNodeAffinity>,
    pod_affinity: Obj<WirePodAffinity>,
    pod_anti_affinity: Obj<WirePodAffinity>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct WireNodeAffinity {
    #[serde(rename = "requiredDuringSchedulingIgnoredDuringExecution")]
    required: Opt<WireNodeSelector>,
    #[serde(rename = "preferredDuringSchedulingIgnoredDuringExecution")]
    preferred: List<Obj<WirePreferredTerm>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct WirePreferredTerm {
    weight: Int,
    preference: Obj<WireNodeSelectorTerm>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct WirePodAffinity {
    #[serde(rename = "requiredDuringSchedulingIgnoredDuringExecution")]
    required: List<Obj<WirePodTerm>>,
    #[serde(rename = "preferredDuringSchedulingIgnoredDuringExecution")]
    preferred: List<Obj<WireWeightedPodTerm>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct WirePodTerm {
    label_selector: Opt<WireLabelSelector>,
    namespaces: List<Text>,
    namespace_selector: Opt<WireLabelSelector>,
    topology_key: Text,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct WireWeightedPodTerm {
    weight: Int,
    pod_affinity_term: Obj<WirePodTerm>,
}

impl WirePodSpec {
    pub(super) fn into_spec(self, interners: &mut Interners) -> PodSpec {
        let unsupported = interners.str(&self.unsupported());
        let containers = |list: List<Obj<WireContainer>>, interners: &mut Interners| {
            list.0.into_iter().map(|Obj(c)| c.into_row(interners)).collect()
        };
        let resources = self.resources.0.unwrap_or_default();
        PodSpec {
            scheduler_name: interners.str(&self.scheduler_name),
            priority: narrow(self.priority.0),
            priority_class_name: interners.str(&self.priority_class_name),
            preemption_policy: preemption_policy(&self.preemption_policy),
            restart_policy: match self.restart_policy.as_str() {
                "OnFailure" => RestartPolicy::OnFailure,
                "Never" => RestartPolicy::Never,
                _ => RestartPolicy::Always,
            },
            node_selector: interners.labels(self.node_selector, |_| true),
            affinity: self.affinity.0.map(|a| Box::new(a.into_row(interners))),
            tolerations: self.tolerations.0.into_iter().map(|Obj(t)| t.into_row(interners)).collect(),
            containers: containers(self.containers, interners),
            init_containers: containers(self.init_containers, interners),
            pod_requests: resources.requests.0.map(Box::new),
            pod_limits: resources.limits.0.map(Box::new),
            overhead: self.overhead.0.unwrap_or_default(),
            host_network: self.host_network.set(),
            host_users: self.host_users.0,
            topology_spread: self
                .topology_spread_constraints
                .0
                .into_iter()
                .map(|Obj(c)| c.into_row(interners))
                .collect(),
            image_volumes: self
                .volumes
                .0
                .iter()
                .filter_map(|v| v.image.0.as_ref())
                .map(|image| interners.str(&image.reference))
                .collect(),
            scheduling_gates: self.scheduling_gates.0.iter().map(|g| interners.str(&g.name)).collect(),
            volumes: self.volumes.0.into_iter().filter_map(|Obj(v)| v.into_row(interners)).collect(),
            termination_grace_seconds: self.termination_grace_period_seconds.0.unwrap_or(30),
            unsupported,
        }
    }

    /// What this pod needs and nobody here gives it, so that binding it would be wrong; or nothing. The scheduler puts a
    /// sentence around it. Soft wishes that are not honoured make no pod wrong.
    fn unsupported(&self) -> String {
        let wants = [
            (!self.resource_claims.0.is_empty(), "dynamic resource allocation (spec.resourceClaims)"),
            (
                self.workload_ref.0.is_some() || self.scheduling_group.0.is_some(),
                "gang scheduling (spec.schedulingGroup)",
            ),
        ];
        let needed: Vec<&str> = wants.iter().filter(|(wanted, _)| *wanted).map(|(_, what)| *what).collect();
        needed.join(", ")
    }
}

pub(super) fn preemption_policy(text: &str) -> PreemptionPolicy {
    if text == "Never" { PreemptionPolicy::Never } else { PreemptionPolicy::LowerPriority }
}

impl WireContainer {
    fn into_row(self, interners: &mut Interners) -> Container {
        Container {
            name: interners.str(&self.name),
            image: interners.str(&self.image),
            requests: self.resources.0.requests.0.unwrap_or_default(),
            limits: self.resources.0.limits.0.unwrap_or_default(),
            ports: self
                .ports
                .0
                .into_iter()
                .map(|Obj(p)| ContainerPort {
                    name: interners.str(&p.name),
                    container_port: port(p.container_port.0),
                    host_port: port(p.host_port.0),
                    host_ip: interners.str(&p.host_ip),
                    protocol: Protocol::parse(&p.protocol),
                })
                .collect(),
            restartable: self.restart_policy == *"Always",
            restarts_all: self.restart_policy_rules.0.iter().any(|r| r.action == *"RestartAllContainers"),
        }
    }
}

impl WireSpread {
    fn into_row(self, interners: &mut Interners) -> TopologySpreadConstraint {
        // The API server sets what is unset, and refuses what is neither of the two words.
        let inclusion = |word: &Text, unset| match word.as_str() {
            "Honor" => NodeInclusion::Honor,
            "Ignore" => NodeInclusion::Ignore,
            _ => unset,
        };
        TopologySpreadConstraint {
            max_skew: narrow(self.max_skew.0),
            topology_key: interners.str(&self.topology_key),
            hard: self.when_unsatisfiable != *"ScheduleAnyway",
            node_affinity: inclusion(&self.node_affinity_policy, NodeInclusion::Honor),
            node_taints: inclusion(&self.node_taints_policy, NodeInclusion::Ignore),
            selector: self.label_selector.0.map(|s| s.into_row(interners)),
            min_domains: narrow(self.min_domains.0.or(Some(1))),
            match_label_keys: self.match_label_keys.0.iter().map(|k| interners.str(k)).collect(),
        }
    }
}

impl WireVolume {
    fn into_row(self, interners: &mut Interners) -> Option<Volume> {
        let in_tree = WireInTree {
            aws_elastic_block_store: self.aws_elastic_block_store,
            gce_persistent_disk: self.gce_persistent_disk,
            azure_disk: self.azure_disk,
            cinder: self.cinder,
            portworx_volume: self.portworx_volume,
            azure_file: self.azure_file,
            vsphere_volume: self.vsphere_volume,
        };
        let kind = if let Some(claim) = &self.persistent_volume_claim.0 {
            VolumeKind::PersistentVolumeClaim(claim.claim_name.0.clone())
        } else if self.ephemeral.0.is_some() {
            VolumeKind::Ephemeral
        } else if let Some(v) = self.iscsi.0 {
            VolumeKind::Iscsi { iqn: v.iqn.0, read_only: v.read_only.set() }
        } else if let Some(v) = self.rbd.0 {
            VolumeKind::Rbd(Box::new(RbdVolume {
                monitors: v.monitors.0.into_iter().map(|m| m.0).collect(),
                pool: v.pool.0,
                image: v.image.0,
                read_only: v.read_only.set(),
            }))
        } else if let Some(v) = self.csi.0 {
            VolumeKind::Csi(interners.str(&v.driver))
        } else if let Some((plugin, id, read_only)) = in_tree.into_source() {
            VolumeKind::InTree { plugin, id, read_only }
        } else {
            let dir = self.empty_dir.0.filter(|d| d.medium == *"Memory")?;
            VolumeKind::MemoryEmptyDir(dir.size_limit.0)
        };
        Some(Volume { name: interners.str(&self.name), kind })
    }
}

impl WireToleration {
    fn into_row(self, interners: &mut Interners) -> Toleration {
        let effect = match self.effect.as_str() {
            "" => None,
            word => Effect::parse(word),
        };
        let operator = match self.operator.as_str() {
            // A word for the effect that this version does not know must not widen to "all effects".
            _ if effect.is_none() && !self.effect.is_empty() => TolerationOperator::Unknown,
            "" | "Equal" => TolerationOperator::Equal,
            "Exists" => TolerationOperator::Exists,
            "Lt" => TolerationOperator::Lt,
            "Gt" => TolerationOperator::Gt,
            _ => TolerationOperator::Unknown,
        };
        Toleration {
            key: interners.str(&self.key),
            operator,
            value: interners.str(&self.value),
            effect,
            seconds: self.toleration_seconds.0,
        }
    }
}

impl WireAffinity {
    fn into_row(self, interners: &mut Interners) -> Affinity {
        Affinity {
            node: self.node_affinity.0.map(|n| NodeAffinity {
                required: n.required.0.map(|s| s.into_row(interners)),
                preferred: n
                    .preferred
                    .0
                    .into_iter()
                    .map(|Obj(p)| PreferredSchedulingTerm {
                        weight: narrow(p.weight.0),
                        preference: p.preference.0.into_row(interners),
                    })
                    .collect(),
            }),
            pod_required: terms(self.pod_affinity.0.required, interners),
            pod_preferred: weighted(self.pod_affinity.0.preferred, interners),
            pod_anti_required: terms(self.pod_anti_affinity.0.required, interners),
            pod_anti_preferred: weighted(self.pod_anti_affinity.0.preferred, interners),
        }
    }
}

fn terms(list: List<Obj<WirePodTerm>>, interners: &mut Interners) -> Box<[PodAffinityTerm]> {
    list.0.into_iter().map(|Obj(t)| t.into_row(interners)).collect()
}

fn weighted(list: List<Obj<WireWeightedPodTerm>>, interners: &mut Interners) -> Box<[WeightedPodAffinityTerm]> {
    list.0
        .into_iter()
        .map(|Obj(t)| WeightedPodAffinityTerm {
            weight: narrow(t.weight.0),
            term: t.pod_affinity_term.0.into_row(interners),
        })
        .collect()
}

impl WirePodTerm {
    fn into_row(self, interners: &mut Interners) -> PodAffinityTerm {
        let namespaces: Box<[Str]> = self.namespaces.0.iter().map(|n| interners.str(n)).collect();
        PodAffinityTerm {
            selector: self.label_selector.0.map(|s| s.into_row(interners)),
            namespaces,
            namespace_selector: self.namespace_selector.0.map(|s| s.into_row(interners)),
            topology_key: interners.str(&self.topology_key),
        }
    }
}
