//! MemoryProfiles, as the memory model's histories.

use headroom_core::{
    memory::History,
    object::{Kind, Meta, ProfileEntry},
};
use serde::Deserialize;

use super::{
    Body,
    de::{Int, List, Moment, Obj, Text},
    interners::Interners,
    meta::WireMeta,
};

pub use headroom_core::object::MemoryProfile as MemoryProfileRow;

/// The kind on the wire, trimmed.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct MemoryProfileBody {
    metadata: Obj<WireMeta>,
    status: Obj<WireStatus>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct WireStatus {
    workload: Obj<WireWorkload>,
    containers: List<Obj<WireContainer>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct WireWorkload {
    api_version: Text,
    kind: Text,
    name: Text,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct WireContainer {
    name: Text,
    image: Text,
    peak_bytes: Int,
    samples: Int,
    first_observed_at: Moment,
    observed_at: Moment,
}

impl Body for MemoryProfileBody {
    type Row = MemoryProfileRow;
    const KIND: Kind = Kind::MEMORY_PROFILE;

    fn take_meta(&mut self) -> WireMeta {
        std::mem::take(&mut self.metadata.0)
    }

    fn into_row(self, meta: Meta, interners: &mut Interners) -> Result<MemoryProfileRow, String> {
        let workload = self.status.0.workload.0;
        let containers = self
            .status
            .0
            .containers
            .0
            .into_iter()
            .map(|Obj(c)| ProfileEntry {
                name: interners.str(&c.name),
                image: interners.str(&c.image),
                history: History {
                    peak: c.peak_bytes.0.unwrap_or(0).max(0),
                    samples: u32::try_from(c.samples.0.unwrap_or(0).max(0)).unwrap_or(u32::MAX),
                    first_observed: c.first_observed_at.0.unwrap_or_default(),
                    observed: c.observed_at.0.unwrap_or_default(),
                },
            })
            .collect();
        Ok(MemoryProfileRow {
            meta,
            workload_api_version: interners.str(&workload.api_version),
            workload_kind: interners.str(&workload.kind),
            workload_name: interners.str(&workload.name),
            containers,
        })
    }
}
