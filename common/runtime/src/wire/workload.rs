//! Services, ReplicationControllers, ReplicaSets and StatefulSets, trimmed to their selectors: all that default
//! topology spreading reads of them. Of a ReplicaSet its owner as well, which leads to the workload of a pod.

use headroom_core::{
    object::{Kind, Meta, WorkloadKind, WorkloadSelector},
    selector::LabelSelector,
};
use serde::Deserialize;

use super::{
    Body,
    de::{Obj, Opt, Pairs},
    interners::Interners,
    meta::WireMeta,
    scheduling::WireLabelSelector,
};

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct EqualitySpec {
    selector: Pairs,
}

impl EqualitySpec {
    fn selector(self, interners: &mut Interners) -> Option<LabelSelector> {
        // An empty selector and none are the same thing on the wire, and select nothing.
        Some(LabelSelector::of_labels(&interners.labels(self.selector, |_| true))).filter(|s| !s.is_empty())
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct SetSpec {
    selector: Opt<WireLabelSelector>,
}

impl SetSpec {
    fn selector(self, interners: &mut Interners) -> Option<LabelSelector> {
        self.selector.0.map(|s| s.into_row(interners))
    }
}

macro_rules! bodies {
    ($($name:ident $spec:ident $kind:ident;)*) => {$(
        /// The kind on the wire, trimmed to its selector.
        #[derive(Debug, Clone, Default, Deserialize)]
        #[serde(default)]
        pub struct $name {
            metadata: Obj<WireMeta>,
            spec: Obj<$spec>,
        }

        impl Body for $name {
            type Row = WorkloadSelector;
            const KIND: Kind = WorkloadKind::$kind.kind();

            fn take_meta(&mut self) -> WireMeta {
                std::mem::take(&mut self.metadata.0)
            }

            fn into_row(self, meta: Meta, interners: &mut Interners) -> Result<WorkloadSelector, String> {
                Ok(WorkloadSelector {
                    kind: WorkloadKind::$kind,
                    selector: self.spec.0.selector(interners),
                    owner: meta.controller().filter(|_| WorkloadKind::$kind == WorkloadKind::ReplicaSet).cloned(),
                    key: meta.key,
                    uid: meta.uid,
                    resource_version: meta.resource_version,
                })
            }
        }
    )*};
}

bodies! {
    ServiceSelectorBody EqualitySpec Service;
    ReplicationControllerSelectorBody EqualitySpec ReplicationController;
    ReplicaSetSelectorBody SetSpec ReplicaSet;
    StatefulSetSelectorBody SetSpec StatefulSet;
}
