//! The in-tree plugins, one folder each, and their order.

mod claims;
pub mod default_binder;
pub mod default_preemption;
mod domain_counts;
pub mod dynamic_resources;
pub mod image_locality;
pub mod inter_pod_affinity;
mod label_syntax;
pub mod memory_headroom;
pub mod node_affinity;
pub mod node_declared_features;
pub mod node_name;
pub mod node_ports;
pub mod node_resources_balanced_allocation;
pub mod node_resources_fit;
pub mod node_unschedulable;
pub mod node_volume_limits;
pub mod pod_topology_spread;
pub mod priority_sort;
mod rows;
pub mod scheduling_gates;
pub mod taint_toleration;
pub mod unsupported;
pub mod volume_binding;
pub mod volume_restrictions;
pub mod volume_zone;

#[cfg(test)]
mod between_pods;
#[cfg(test)]
mod upstream;

use crate::framework::Registry;

/// Registers them in upstream's default order and with its weights (reference 3.0). To add a plugin: a folder, and one
/// line here.
pub(crate) fn register(r: &mut Registry) {
    r.plain("SchedulingGates", 0, || scheduling_gates::SchedulingGates);
    r.plain("PrioritySort", 0, || priority_sort::PrioritySort);
    r.plain("NodeUnschedulable", 0, || node_unschedulable::NodeUnschedulable);
    r.plain("NodeName", 0, || node_name::NodeName);
    r.plain("TaintToleration", 3, || taint_toleration::TaintToleration);
    r.with_args("NodeAffinity", 2, node_affinity::NodeAffinity::from_args);
    r.plain("NodePorts", 0, || node_ports::NodePorts);
    r.with_args("NodeResourcesFit", 1, node_resources_fit::NodeResourcesFit::from_args);
    r.plain("VolumeRestrictions", 0, || volume_restrictions::VolumeRestrictions);
    r.plain("NodeVolumeLimits", 0, || node_volume_limits::NodeVolumeLimits);
    r.with_args(volume_binding::NAME, 0, volume_binding::VolumeBinding::from_args);
    r.plain("VolumeZone", 0, || volume_zone::VolumeZone);
    r.with_args("PodTopologySpread", 2, pod_topology_spread::PodTopologySpread::from_args);
    r.with_args("InterPodAffinity", 2, inter_pod_affinity::InterPodAffinity::from_args);
    r.with_args("DynamicResources", 2, dynamic_resources::DynamicResources::from_args);
    r.with_args("DefaultPreemption", 0, default_preemption::DefaultPreemption::from_args);
    r.with_args(
        "NodeResourcesBalancedAllocation",
        1,
        node_resources_balanced_allocation::NodeResourcesBalancedAllocation::from_args,
    );
    r.plain("ImageLocality", 1, || image_locality::ImageLocality);
    r.plain("DefaultBinder", 0, || default_binder::DefaultBinder);
    r.plain("NodeDeclaredFeatures", 0, || node_declared_features::NodeDeclaredFeatures);
    // Ours, last among those that filter and score.
    r.with_args("MemoryHeadroom", 3, memory_headroom::MemoryHeadroom::from_args);
}
