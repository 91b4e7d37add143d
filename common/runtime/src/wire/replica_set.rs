//! ReplicaSets: metadata only, to find the Deployment behind a pod.

use headroom_core::object::{Kind, Meta};
use serde::Deserialize;

use super::{Body, de::Obj, interners::Interners, meta::WireMeta};

/// A ReplicaSet, as far as it is a link between a pod and its Deployment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReplicaSetRow {
    /// Metadata, with the owners.
    pub meta: Meta,
}

/// The kind on the wire, trimmed.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ReplicaSetBody {
    metadata: Obj<WireMeta>,
}

impl Body for ReplicaSetBody {
    type Row = ReplicaSetRow;
    const KIND: Kind = Kind::REPLICA_SET;

    fn take_meta(&mut self) -> WireMeta {
        std::mem::take(&mut self.metadata.0)
    }

    fn into_row(self, meta: Meta, _: &mut Interners) -> Result<ReplicaSetRow, String> {
        Ok(ReplicaSetRow { meta })
    }
}
