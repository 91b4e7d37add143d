//! Storage: volumes, claims, classes, CSI drivers and what is attached, trimmed to what scheduling reads.
//!
//! Sizes are bytes, rounded up; upstream compares quantities exactly, which differs only for fractions of a byte.

use crate::{
    selector::{LabelSelector, Labels, NodeSelector, Requirement},
    str::Str,
};

use super::meta::Meta;

/// Annotation of claims: their binding is complete (any value).
pub const BIND_COMPLETED: &str = "pv.kubernetes.io/bind-completed";
/// Annotation of volumes and claims: a controller, not the user, made the binding (any value).
pub const BOUND_BY_CONTROLLER: &str = "pv.kubernetes.io/bound-by-controller";
/// Annotation of claims: the node for which the volume is to be provisioned.
pub const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";
/// Annotation of CSINodes: in-tree plugins, separated by commas, whose volumes their CSI driver serves on the node.
pub const MIGRATED_PLUGINS: &str = "storage.alpha.kubernetes.io/migrated-plugins";
/// Annotations of classes, today's and an old one: `true` makes the class that of claims which name none.
pub const DEFAULT_CLASS: [&str; 2] =
    ["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];
/// Provisioner of classes whose volumes are made by hand.
pub const NO_PROVISIONER: &str = "kubernetes.io/no-provisioner";

/// Access modes of a volume or a claim, as a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct AccessModes(u8);

impl AccessModes {
    /// `ReadWriteOnce`.
    pub const READ_WRITE_ONCE: Self = Self(1);
    /// `ReadOnlyMany`.
    pub const READ_ONLY_MANY: Self = Self(2);
    /// `ReadWriteMany`.
    pub const READ_WRITE_MANY: Self = Self(4);
    /// `ReadWriteOncePod`.
    pub const READ_WRITE_ONCE_POD: Self = Self(8);
    /// A word that this version does not know.
    pub const UNKNOWN: Self = Self(16);

    /// From the API's word.
    #[must_use]
    pub fn parse(word: &str) -> Self {
        match word {
            "ReadWriteOnce" => Self::READ_WRITE_ONCE,
            "ReadOnlyMany" => Self::READ_ONLY_MANY,
            "ReadWriteMany" => Self::READ_WRITE_MANY,
            "ReadWriteOncePod" => Self::READ_WRITE_ONCE_POD,
            _ => Self::UNKNOWN,
        }
    }

    /// Both sets.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `other` are in.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// Volume plugins of old that were part of Kubernetes and whose volumes CSI drivers serve today
/// (`k8s.io/csi-translation-lib`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum InTreePlugin {
    /// `awsElasticBlockStore`.
    AwsEbs,
    /// `gcePersistentDisk`.
    GcePd,
    /// `azureDisk`.
    AzureDisk,
    /// `cinder`.
    Cinder,
    /// `portworxVolume`.
    Portworx,
    /// `azureFile`; the scheduler does not translate its volumes.
    AzureFile,
    /// `vsphereVolume`; the scheduler does not translate its volumes.
    Vsphere,
}

impl InTreePlugin {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::AwsEbs, Self::GcePd, Self::AzureDisk, Self::Cinder, Self::Portworx, Self::AzureFile, Self::Vsphere];

    /// The plugin's name, which is also that of its provisioner.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::AwsEbs => "kubernetes.io/aws-ebs",
            Self::GcePd => "kubernetes.io/gce-pd",
            Self::AzureDisk => "kubernetes.io/azure-disk",
            Self::Cinder => "kubernetes.io/cinder",
            Self::Portworx => "kubernetes.io/portworx-volume",
            Self::AzureFile => "kubernetes.io/azure-file",
            Self::Vsphere => "kubernetes.io/vsphere-volume",
        }
    }

    /// The CSI driver that has taken over.
    #[must_use]
    pub const fn csi_driver(self) -> &'static str {
        match self {
            Self::AwsEbs => "ebs.csi.aws.com",
            Self::GcePd => "pd.csi.storage.gke.io",
            Self::AzureDisk => "disk.csi.azure.com",
            Self::Cinder => "cinder.csi.openstack.org",
            Self::Portworx => "pxd.portworx.com",
            Self::AzureFile => "file.csi.azure.com",
            Self::Vsphere => "csi.vsphere.vmware.com",
        }
    }

    /// Whether the scheduler counts and translates such volumes (`isCSIMigrationOn`).
    #[must_use]
    pub const fn is_translated(self) -> bool {
        !matches!(self, Self::AzureFile | Self::Vsphere)
    }

    /// The plugin whose name this is.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|p| p.name() == name)
    }
}

/// What a PersistentVolume is made of, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum PvSource {
    /// Anything else.
    #[default]
    Other,
    /// A volume of a CSI driver.
    Csi {
        /// Driver.
        driver: Str,
        /// The driver's name for the volume.
        handle: Str,
    },
    /// A volume of an in-tree plugin that is translated.
    InTree {
        /// Plugin.
        plugin: InTreePlugin,
        /// The plugin's name for the volume.
        id: Str,
    },
}

/// `spec.claimRef` of a volume.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct ClaimRef {
    /// Namespace of the claim.
    pub namespace: Str,
    /// Name of the claim.
    pub name: Str,
    /// UID of the claim; empty when a user has reserved the volume for a claim of this name.
    pub uid: Str,
}

/// A PersistentVolume.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PersistentVolume {
    /// Metadata.
    pub meta: Meta,
    /// Storage class, empty when none; the beta annotation counts before the field.
    pub class: Str,
    /// `capacity.storage` in bytes.
    pub capacity: i64,
    /// `accessModes`.
    pub access_modes: AccessModes,
    /// `volumeMode: Block`; the default is `Filesystem`.
    pub block: bool,
    /// `volumeAttributesClassName`, empty when unset.
    pub attributes_class: Str,
    /// `nodeAffinity.required`.
    pub node_affinity: Option<NodeSelector>,
    /// `claimRef`.
    pub claim_ref: Option<ClaimRef>,
    /// Whether `status.phase` is `Available`.
    pub available: bool,
    /// Its source.
    pub source: PvSource,
}

impl PersistentVolume {
    /// Name.
    #[must_use]
    pub const fn name(&self) -> &Str {
        &self.meta.key.name
    }

    /// Whether the volume is bound to, or reserved for, this claim (`IsVolumeBoundToClaim`).
    #[must_use]
    pub fn is_bound_to(&self, claim: &PersistentVolumeClaim) -> bool {
        self.claim_ref.as_ref().is_some_and(|r| {
            r.name == claim.meta.key.name
                && r.namespace == claim.meta.key.namespace
                && (r.uid.is_empty() || r.uid == claim.meta.uid)
        })
    }

    /// Whether a node with these labels reaches the volume (`CheckNodeAffinity`).
    #[must_use]
    pub fn reaches(&self, node_labels: &Labels) -> bool {
        self.node_affinity.as_ref().is_none_or(|affinity| affinity.matches("", node_labels))
    }
}

/// A PersistentVolumeClaim.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PersistentVolumeClaim {
    /// Metadata, with the annotations of binding and provisioning.
    pub meta: Meta,
    /// Storage class, empty when none; the beta annotation counts before the field.
    pub class: Str,
    /// `volumeName`, empty when unset.
    pub volume_name: Str,
    /// `accessModes`.
    pub access_modes: AccessModes,
    /// `resources.requests.storage` in bytes.
    pub request: Option<i64>,
    /// `volumeMode: Block`; the default is `Filesystem`.
    pub block: bool,
    /// `volumeAttributesClassName`, empty when unset.
    pub attributes_class: Str,
    /// `selector`.
    pub selector: Option<LabelSelector>,
    /// Whether `status.phase` is `Lost`.
    pub lost: bool,
}

impl PersistentVolumeClaim {
    /// Name.
    #[must_use]
    pub const fn name(&self) -> &Str {
        &self.meta.key.name
    }

    /// Whether claim and volume are bound to each other for good.
    #[must_use]
    pub fn is_fully_bound(&self) -> bool {
        !self.volume_name.is_empty() && self.meta.annotations.has(BIND_COMPLETED)
    }

    /// The node for which the volume is being provisioned.
    #[must_use]
    pub fn selected_node(&self) -> Option<&Str> {
        self.meta.annotations.get(SELECTED_NODE)
    }
}

/// `volumeBindingMode` of a class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BindingMode {
    /// Claims are bound as soon as they exist.
    Immediate,
    /// Claims are bound when a pod that uses them is scheduled.
    WaitForFirstConsumer,
}

/// A StorageClass.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StorageClass {
    /// Metadata.
    pub meta: Meta,
    /// Provisioner.
    pub provisioner: Str,
    /// `volumeBindingMode`; the API server sets one.
    pub binding_mode: Option<BindingMode>,
    /// `allowedTopologies`: alternatives, each of requirements that must all hold.
    pub allowed_topologies: Box<[Box<[Requirement]>]>,
}

impl StorageClass {
    /// Whether claims that name no class may get this one (`IsDefaultAnnotation`).
    #[must_use]
    pub fn is_default(&self) -> bool {
        DEFAULT_CLASS.iter().any(|key| self.meta.annotations.get(key).is_some_and(|value| *value == *"true"))
    }

    /// Whether volumes may be provisioned for a node with these labels (`MatchTopologySelectorTerms`). A term without
    /// requirements allows nothing.
    #[must_use]
    pub fn allows(&self, node_labels: &Labels) -> bool {
        self.allowed_topologies.is_empty()
            || self.allowed_topologies.iter().any(|term| {
                !term.is_empty() && term.iter().all(|r| r.matches_value(node_labels.get(&r.key).map(Str::as_str)))
            })
    }
}

/// A CSINode: the CSI drivers of a node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CsiNode {
    /// Metadata; the name is the node's.
    pub meta: Meta,
    /// Drivers with the number of volumes that they can attach (`allocatable.count`), absent when unlimited.
    pub drivers: Box<[(Str, Option<i32>)]>,
}

impl CsiNode {
    /// Whether a CSI driver serves the volumes of an in-tree plugin on this node.
    #[must_use]
    pub fn has_migrated(&self, plugin: InTreePlugin) -> bool {
        self.meta.annotations.get(MIGRATED_PLUGINS).is_some_and(|all| all.split(',').any(|p| p == plugin.name()))
    }
}

/// A CSIDriver.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CsiDriver {
    /// Metadata; the name is the driver's.
    pub meta: Meta,
    /// `storageCapacity`: pods wait until CSIStorageCapacity objects say that there is room.
    pub storage_capacity: bool,
}

/// A CSIStorageCapacity: how much room a driver has for a class in some part of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CsiStorageCapacity {
    /// Metadata.
    pub meta: Meta,
    /// Storage class.
    pub class: Str,
    /// Nodes that reach it; absent means none.
    pub node_topology: Option<LabelSelector>,
    /// Room in bytes.
    pub capacity: Option<i64>,
    /// Largest volume in bytes.
    pub maximum_volume_size: Option<i64>,
}

impl CsiStorageCapacity {
    /// The size of the largest volume that may be asked for (`volumeLimit`).
    #[must_use]
    pub fn limit(&self) -> Option<i64> {
        self.maximum_volume_size.or(self.capacity)
    }
}

/// A VolumeAttachment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VolumeAttachment {
    /// Metadata.
    pub meta: Meta,
    /// Driver that attaches.
    pub attacher: Str,
    /// To which node.
    pub node_name: Str,
    /// Which volume; absent for inline ones.
    pub volume_name: Option<Str>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::selector::Operator;

    #[test]
    fn access_modes_are_a_set() {
        let both = AccessModes::parse("ReadWriteOnce").or(AccessModes::parse("ReadOnlyMany"));
        assert!(both.contains(AccessModes::READ_WRITE_ONCE) && both.contains(AccessModes::default()));
        assert!(!both.contains(AccessModes::READ_WRITE_ONCE_POD));
    }

    #[test]
    fn a_reservation_without_a_uid_is_for_any_claim_of_the_name() {
        let claim = PersistentVolumeClaim {
            meta: Meta { key: super::super::ObjectKey::new("ns", "c"), uid: "1".into(), ..Meta::default() },
            ..PersistentVolumeClaim::default()
        };
        let volume = |namespace: &str, name: &str, uid: &str| PersistentVolume {
            claim_ref: Some(ClaimRef { namespace: namespace.into(), name: name.into(), uid: uid.into() }),
            ..PersistentVolume::default()
        };
        for (pv, expected) in [
            (volume("ns", "c", ""), true),
            (volume("ns", "c", "1"), true),
            (volume("ns", "c", "2"), false),
            (volume("other", "c", ""), false),
            (volume("ns", "d", "1"), false),
            (PersistentVolume::default(), false),
        ] {
            assert_eq!(pv.is_bound_to(&claim), expected, "{:?}", pv.claim_ref);
        }
    }

    #[test]
    fn topologies_are_alternatives_and_an_empty_one_allows_nothing() {
        let zone = |zones: &[&str]| -> Box<[Requirement]> {
            Box::new([Requirement {
                key: "zone".into(),
                operator: Operator::In,
                values: zones.iter().map(|z| Str::from(*z)).collect(),
            }])
        };
        let labels: Labels = [("zone", "a")].into_iter().collect();
        let class = |terms: Vec<Box<[Requirement]>>| StorageClass {
            allowed_topologies: terms.into(),
            ..StorageClass::default()
        };
        for (terms, expected) in [
            (vec![], true),
            (vec![Box::default()], false),
            (vec![zone(&["b"]), zone(&["c", "a"])], true),
            (vec![zone(&["b"])], false),
            (vec![zone(&[])], false),
        ] {
            assert_eq!(class(terms.clone()).allows(&labels), expected, "{terms:?}");
        }
    }
}
