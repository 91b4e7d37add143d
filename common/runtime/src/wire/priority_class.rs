//! Priority classes.

use headroom_core::object::{Kind, Meta, PriorityClass};
use serde::Deserialize;

use super::{
    Body,
    de::{Int, Obj, Text},
    interners::Interners,
    meta::WireMeta,
    narrow,
    pod_spec::preemption_policy,
};

/// The kind on the wire, trimmed.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct PriorityClassBody {
    metadata: Obj<WireMeta>,
    value: Int,
    preemption_policy: Text,
}

impl Body for PriorityClassBody {
    type Row = PriorityClass;
    const KIND: Kind = Kind::PRIORITY_CLASS;

    fn take_meta(&mut self) -> WireMeta {
        std::mem::take(&mut self.metadata.0)
    }

    fn into_row(self, meta: Meta, _: &mut Interners) -> Result<PriorityClass, String> {
        Ok(PriorityClass {
            meta,
            value: narrow(self.value.0),
            preemption_policy: preemption_policy(&self.preemption_policy),
        })
    }
}
