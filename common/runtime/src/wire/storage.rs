//! The kinds of `storage.k8s.io`.

use headroom_core::{
    object::{BindingMode, CsiDriver, CsiNode, CsiStorageCapacity, Kind, Meta, StorageClass, VolumeAttachment},
    selector::{Operator, Requirement},
};
use serde::Deserialize;

use super::{
    Body,
    de::{Flag, Int, List, Obj, Opt, Quantity, Text},
    interners::Interners,
    meta::WireMeta,
    narrow, optional,
    scheduling::WireLabelSelector,
};

macro_rules! body {
    ($body:ident, $row:ident, $kind:ident) => {
        impl Body for $body {
            type Row = $row;
            const KIND: Kind = Kind::$kind;

            fn take_meta(&mut self) -> WireMeta {
                std::mem::take(&mut self.metadata.0)
            }

            fn into_row(self, meta: Meta, interners: &mut Interners) -> Result<$row, String> {
                Ok(self.row(meta, interners))
            }
        }
    };
}

/// The kind on the wire, trimmed.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct StorageClassBody {
    metadata: Obj<WireMeta>,
    provisioner: Text,
    volume_binding_mode: Text,
    allowed_topologies: List<Obj<WireTopologyTerm>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct WireTopologyTerm {
    match_label_expressions: List<Obj<WireTopologyRequirement>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct WireTopologyRequirement {
    key: Text,
    values: List<Text>,
}

impl StorageClassBody {
    fn row(self, meta: Meta, interners: &mut Interners) -> StorageClass {
        StorageClass {
            meta,
            provisioner: interners.str(&self.provisioner),
            binding_mode: match self.volume_binding_mode.as_str() {
                "" => None,
                "WaitForFirstConsumer" => Some(BindingMode::WaitForFirstConsumer),
                _ => Some(BindingMode::Immediate),
            },
            allowed_topologies: self
                .allowed_topologies
                .0
                .into_iter()
                .map(|Obj(term)| {
                    term.match_label_expressions
                        .0
                        .into_iter()
                        .map(|Obj(r)| Requirement {
                            key: interners.str(&r.key),
                            operator: Operator::In,
                            values: r.values.0.iter().map(|v| interners.str(v)).collect(),
                        })
                        .collect()
                })
                .collect(),
        }
    }
}
body!(StorageClassBody, StorageClass, STORAGE_CLASS);

/// The kind on the wire, trimmed.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct CsiNodeBody {
    metadata: Obj<WireMeta>,
    spec: Obj<WireCsiNodeSpec>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct WireCsiNodeSpec {
    drivers: List<Obj<WireCsiNodeDriver>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct WireCsiNodeDriver {
    name: Text,
    allocatable: Obj<WireAllocatable>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct WireAllocatable {
    count: Int,
}

impl CsiNodeBody {
    fn row(self, meta: Meta, interners: &mut Interners) -> CsiNode {
        let drivers = self.spec.0.drivers.0.into_iter();
        CsiNode {
            meta,
            drivers: drivers
                .map(|Obj(d)| {
                    let count = d.allocatable.count;
                    (interners.str(&d.name), count.0.map(|_| narrow(count.0)))
                })
                .collect(),
        }
    }
}
body!(CsiNodeBody, CsiNode, CSI_NODE);

/// The kind on the wire, trimmed.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct CsiDriverBody {
    metadata: Obj<WireMeta>,
    spec: Obj<WireCsiDriverSpec>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct WireCsiDriverSpec {
    storage_capacity: Flag,
}

impl CsiDriverBody {
    fn row(self, meta: Meta, _: &mut Interners) -> CsiDriver {
        CsiDriver { meta, storage_capacity: self.spec.0.storage_capacity.set() }
    }
}
body!(CsiDriverBody, CsiDriver, CSI_DRIVER);

/// The kind on the wire, trimmed.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct CsiStorageCapacityBody {
    metadata: Obj<WireMeta>,
    storage_class_name: Text,
    node_topology: Opt<WireLabelSelector>,
    capacity: Quantity,
    maximum_volume_size: Quantity,
}

impl CsiStorageCapacityBody {
    fn row(self, meta: Meta, interners: &mut Interners) -> CsiStorageCapacity {
        CsiStorageCapacity {
            meta,
            class: interners.str(&self.storage_class_name),
            node_topology: self.node_topology.0.map(|s| s.into_row(interners)),
            capacity: self.capacity.0,
            maximum_volume_size: self.maximum_volume_size.0,
        }
    }
}
body!(CsiStorageCapacityBody, CsiStorageCapacity, CSI_STORAGE_CAPACITY);

/// The kind on the wire, trimmed.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct VolumeAttachmentBody {
    metadata: Obj<WireMeta>,
    spec: Obj<WireAttachmentSpec>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct WireAttachmentSpec {
    attacher: Text,
    node_name: Text,
    source: Obj<WireAttachmentSource>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct WireAttachmentSource {
    persistent_volume_name: Text,
}

impl VolumeAttachmentBody {
    fn row(self, meta: Meta, interners: &mut Interners) -> VolumeAttachment {
        let spec = self.spec.0;
        VolumeAttachment {
            meta,
            attacher: interners.str(&spec.attacher),
            node_name: interners.str(&spec.node_name),
            volume_name: optional(&spec.source.persistent_volume_name, interners),
        }
    }
}
body!(VolumeAttachmentBody, VolumeAttachment, VOLUME_ATTACHMENT);

#[cfg(test)]
mod tests {
    use headroom_core::object::InTreePlugin;
    use serde_json::{Value, json};

    use super::*;
    use crate::wire::{
        CsiDriverWire, CsiNodeWire, CsiStorageCapacityWire, StorageClassWire, VolumeAttachmentWire, WireObject,
    };

    fn convert<W: WireObject>(value: &Value) -> W::Row {
        serde_json::from_str::<W>(&value.to_string()).unwrap().convert(&mut Interners::default()).unwrap()
    }

    #[test]
    fn classes() {
        let class = convert::<StorageClassWire>(&json!({
            "metadata": {"name": "c"}, "provisioner": "p", "volumeBindingMode": "WaitForFirstConsumer",
            "allowedTopologies": [{"matchLabelExpressions": [{"key": "zone", "values": ["a", "b"]}]}, {}],
        }));
        assert_eq!((class.binding_mode, class.provisioner.as_str()), (Some(BindingMode::WaitForFirstConsumer), "p"));
        assert!(class.allows(&[("zone", "b")].into_iter().collect()));
        assert!(!class.allows(&[("zone", "c")].into_iter().collect()));
        assert_eq!(convert::<StorageClassWire>(&json!({"metadata": {"name": "c"}})).binding_mode, None);
        for (key, value, default) in [
            ("storageclass.kubernetes.io/is-default-class", "true", true),
            ("storageclass.beta.kubernetes.io/is-default-class", "true", true),
            ("storageclass.kubernetes.io/is-default-class", "false", false),
            ("example.com/is-default-class", "true", false),
        ] {
            let class = json!({"metadata": {"name": "c", "annotations": {key: value}}});
            assert_eq!(convert::<StorageClassWire>(&class).is_default(), default, "{key}: {value}");
        }
    }

    #[test]
    fn drivers_and_what_they_hold() {
        let node = convert::<CsiNodeWire>(&json!({
            "metadata": {"name": "n", "annotations": {
                "storage.alpha.kubernetes.io/migrated-plugins": "kubernetes.io/cinder,kubernetes.io/gce-pd"}},
            "spec": {"drivers": [{"name": "a", "nodeID": "x", "allocatable": {"count": 3}}, {"name": "b"}]},
        }));
        assert_eq!(&*node.drivers, [("a".into(), Some(3)), ("b".into(), None)]);
        assert!(node.has_migrated(InTreePlugin::GcePd) && !node.has_migrated(InTreePlugin::AwsEbs));
        let driver = json!({"metadata": {"name": "a"}, "spec": {"storageCapacity": true}});
        assert!(convert::<CsiDriverWire>(&driver).storage_capacity);
        let room = convert::<CsiStorageCapacityWire>(&json!({
            "metadata": {"name": "r", "namespace": "kube-system"}, "storageClassName": "c",
            "nodeTopology": {"matchLabels": {"zone": "a"}}, "capacity": "10Gi", "maximumVolumeSize": "2Gi",
        }));
        assert_eq!((room.limit(), room.node_topology.is_some()), (Some(2 << 30), true));
        let attachment = convert::<VolumeAttachmentWire>(&json!({
            "metadata": {"name": "v"},
            "spec": {"attacher": "a", "nodeName": "n", "source": {"persistentVolumeName": "pv"}},
        }));
        assert_eq!((attachment.node_name.as_str(), attachment.volume_name.as_deref()), ("n", Some("pv")));
    }
}
