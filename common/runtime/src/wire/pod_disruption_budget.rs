//! Pod disruption budgets.

use headroom_core::{
    Str,
    object::{Kind, Meta, PodDisruptionBudget},
};
use serde::Deserialize;

use super::{
    Body,
    de::{Int, Obj, Opt, Pairs},
    interners::Interners,
    meta::WireMeta,
    narrow,
    scheduling::WireLabelSelector,
};

/// The kind on the wire, trimmed.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct PodDisruptionBudgetBody {
    metadata: Obj<WireMeta>,
    spec: Obj<WireSpec>,
    status: Obj<WireStatus>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct WireSpec {
    selector: Opt<WireLabelSelector>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct WireStatus {
    disruptions_allowed: Int,
    /// Names, and when each was disrupted.
    disrupted_pods: Pairs,
}

impl Body for PodDisruptionBudgetBody {
    type Row = PodDisruptionBudget;
    const KIND: Kind = Kind::POD_DISRUPTION_BUDGET;

    fn take_meta(&mut self) -> WireMeta {
        std::mem::take(&mut self.metadata.0)
    }

    fn into_row(self, meta: Meta, interners: &mut Interners) -> Result<PodDisruptionBudget, String> {
        let status = self.status.0;
        let mut disrupted: Vec<Str> =
            status.disrupted_pods.0.unwrap_or_default().into_iter().map(|(name, _)| name).collect();
        disrupted.sort_unstable();
        Ok(PodDisruptionBudget {
            meta,
            selector: self.spec.0.selector.0.map(|s| s.into_row(interners)),
            disruptions_allowed: narrow(status.disruptions_allowed.0),
            disrupted_pods: disrupted.into(),
        })
    }
}
