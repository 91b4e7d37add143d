//! The kinds of API objects that are read or written.

/// A kind with what its URL needs. `namespaced` kinds live under `/namespaces/<ns>/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Kind {
    /// API group; empty for the core group.
    pub group: &'static str,
    /// Version.
    pub version: &'static str,
    /// CamelCase singular.
    pub kind: &'static str,
    /// Lower-case plural, as in URLs and RBAC rules.
    pub plural: &'static str,
    /// Whether objects live in a namespace.
    pub namespaced: bool,
}

macro_rules! kinds {
    ($($name:ident = $group:literal $version:literal $kind:literal $plural:literal $namespaced:literal;)*) => {
        impl Kind {
            $(
                #[doc = concat!("`", $kind, "` of `", $group, "/", $version, "`.")]
                pub const $name: Self = Self { group: $group, version: $version, kind: $kind, plural: $plural, namespaced: $namespaced };
            )*
        }
    };
}

kinds! {
    POD = "" "v1" "Pod" "pods" true;
    NODE = "" "v1" "Node" "nodes" false;
    NAMESPACE = "" "v1" "Namespace" "namespaces" false;
    SERVICE = "" "v1" "Service" "services" true;
    ENDPOINTS = "" "v1" "Endpoints" "endpoints" true;
    REPLICATION_CONTROLLER = "" "v1" "ReplicationController" "replicationcontrollers" true;
    ENDPOINT_SLICE = "discovery.k8s.io" "v1" "EndpointSlice" "endpointslices" true;
    LEASE = "coordination.k8s.io" "v1" "Lease" "leases" true;
    EVENT = "events.k8s.io" "v1" "Event" "events" true;
    CORE_EVENT = "" "v1" "Event" "events" true;
    PRIORITY_CLASS = "scheduling.k8s.io" "v1" "PriorityClass" "priorityclasses" false;
    POD_DISRUPTION_BUDGET = "policy" "v1" "PodDisruptionBudget" "poddisruptionbudgets" true;
    REPLICA_SET = "apps" "v1" "ReplicaSet" "replicasets" true;
    STATEFUL_SET = "apps" "v1" "StatefulSet" "statefulsets" true;
    JOB = "batch" "v1" "Job" "jobs" true;
    PERSISTENT_VOLUME = "" "v1" "PersistentVolume" "persistentvolumes" false;
    PERSISTENT_VOLUME_CLAIM = "" "v1" "PersistentVolumeClaim" "persistentvolumeclaims" true;
    STORAGE_CLASS = "storage.k8s.io" "v1" "StorageClass" "storageclasses" false;
    CSI_NODE = "storage.k8s.io" "v1" "CSINode" "csinodes" false;
    CSI_DRIVER = "storage.k8s.io" "v1" "CSIDriver" "csidrivers" false;
    CSI_STORAGE_CAPACITY = "storage.k8s.io" "v1" "CSIStorageCapacity" "csistoragecapacities" true;
    VOLUME_ATTACHMENT = "storage.k8s.io" "v1" "VolumeAttachment" "volumeattachments" false;
    NODE_HEADROOM = "headroom.dev" "v1alpha1" "NodeHeadroom" "nodeheadrooms" false;
    MEMORY_PROFILE = "headroom.dev" "v1alpha1" "MemoryProfile" "memoryprofiles" true;
}

impl Kind {
    /// `group/version`, or the version alone in the core group.
    #[must_use]
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.to_owned() } else { format!("{}/{}", self.group, self.version) }
    }
}
