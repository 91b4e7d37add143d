//! NodeHeadrooms, as the memory model's samples.

use headroom_core::{
    Timestamp,
    memory::{PodUsage, PressureState, Psi, Sample, SwapBehavior},
    object::{Kind, Meta, PublishedCondition, Status},
};
use serde::Deserialize;

use super::{
    Body,
    de::{Flag, Int, List, Moment, Num, Obj, Opt, Text},
    interners::Interners,
    meta::WireMeta,
};

pub use headroom_core::object::NodeHeadroom as NodeHeadroomRow;

/// The kind on the wire, trimmed.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct NodeHeadroomBody {
    metadata: Obj<WireMeta>,
    status: Obj<WireStatus>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct WireStatus {
    observed_at: Moment,
    state: Text,
    state_since: Moment,
    protected: Flag,
    memory: Obj<WireMemory>,
    swap: Obj<WireSwap>,
    pods: List<Obj<WirePod>>,
    interval_seconds: Int,
    conditions: List<Obj<WireCondition>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct WireCondition {
    #[serde(rename = "type")]
    kind: Text,
    status: Text,
    last_transition_time: Moment,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct WireMemory {
    capacity_bytes: Int,
    working_set_bytes: Int,
    eviction_hard_bytes: Int,
    system_overhead_bytes: Int,
    major_faults_per_second: Num,
    pressure: Opt<WirePressure>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct WirePressure {
    some: Opt<WireAverages>,
    full: Opt<WireAverages>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default)]
struct WireAverages {
    avg10: Num,
    avg60: Num,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct WireSwap {
    behavior: Text,
    capacity_bytes: Int,
    used_bytes: Int,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct WirePod {
    uid: Text,
    working_set_bytes: Int,
    swap_used_bytes: Int,
    swap_available_bytes: Int,
}

impl WirePressure {
    fn into_psi(self) -> Option<Psi> {
        let some = self.some.0?;
        let full = self.full.0.unwrap_or_default();
        Some(Psi {
            some10: some.avg10.0.unwrap_or(0.0),
            some60: some.avg60.0?,
            full10: full.avg10.0.unwrap_or(0.0),
            full60: full.avg60.0.unwrap_or(0.0),
        })
    }
}

impl WireStatus {
    fn sample(&self, at: Timestamp) -> Sample {
        Sample {
            at,
            working_set: self.memory.working_set_bytes.0,
            swap_used: self.swap.used_bytes.0,
            psi: self.memory.pressure.0.clone().and_then(WirePressure::into_psi),
            major_faults: self.memory.major_faults_per_second.0,
            state: PressureState::parse(&self.state).unwrap_or_default(),
            state_since: self.state_since.0,
            interval_seconds: self.interval_seconds.0,
        }
    }
}

impl Body for NodeHeadroomBody {
    type Row = NodeHeadroomRow;
    const KIND: Kind = Kind::NODE_HEADROOM;

    fn take_meta(&mut self) -> WireMeta {
        std::mem::take(&mut self.metadata.0)
    }

    fn into_row(self, meta: Meta, interners: &mut Interners) -> Result<NodeHeadroomRow, String> {
        let status = self.status.0;
        let sample = status.observed_at.0.map(|at| status.sample(at));
        let mut pods: Vec<_> = status
            .pods
            .0
            .into_iter()
            .map(|Obj(p)| {
                let usage = PodUsage {
                    working_set: p.working_set_bytes.0.unwrap_or(0),
                    swap: p.swap_used_bytes.0,
                    swap_available: p.swap_available_bytes.0,
                };
                // Interned: each sample repeats them.
                (interners.str(&p.uid), usage)
            })
            .collect();
        pods.sort_by(|a, b| a.0.cmp(&b.0));
        let conditions = status.conditions.0.into_iter().map(|Obj(c)| PublishedCondition {
            kind: interners.str(&c.kind),
            status: Status::parse(&c.status),
            since: c.last_transition_time.0.unwrap_or_default(),
        });
        let conditions = conditions.collect();
        Ok(NodeHeadroomRow {
            meta,
            sample,
            capacity: status.memory.capacity_bytes.0,
            eviction_hard: status.memory.eviction_hard_bytes.0,
            system_overhead: status.memory.system_overhead_bytes.0,
            swap_behavior: SwapBehavior::parse(&status.swap.behavior),
            swap_capacity: status.swap.capacity_bytes.0,
            protected: status.protected.set(),
            pods: pods.into(),
            conditions,
        })
    }
}
