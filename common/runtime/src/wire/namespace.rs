//! Namespaces.

use headroom_core::object::{Kind, Meta, Namespace};
use serde::Deserialize;

use super::{
    Body,
    de::{Obj, Text},
    interners::Interners,
    meta::WireMeta,
};

/// The kind on the wire, trimmed.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct NamespaceBody {
    metadata: Obj<WireMeta>,
    status: Obj<WireStatus>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct WireStatus {
    phase: Text,
}

impl Body for NamespaceBody {
    type Row = Namespace;
    const KIND: Kind = Kind::NAMESPACE;

    fn take_meta(&mut self) -> WireMeta {
        std::mem::take(&mut self.metadata.0)
    }

    fn into_row(self, meta: Meta, _: &mut Interners) -> Result<Namespace, String> {
        let terminating = self.status.phase == *"Terminating" || meta.is_terminating();
        Ok(Namespace { meta, terminating })
    }
}
