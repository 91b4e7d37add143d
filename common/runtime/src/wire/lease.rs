//! Leases.

use headroom_core::object::{Kind, Lease, Meta};
use serde::Deserialize;

use super::{
    Body,
    de::{Int, Moment, Obj, Text},
    interners::Interners,
    meta::WireMeta,
    narrow,
};

/// The kind on the wire, trimmed.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct LeaseBody {
    metadata: Obj<WireMeta>,
    spec: Obj<WireSpec>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct WireSpec {
    holder_identity: Text,
    lease_duration_seconds: Int,
    renew_time: Moment,
}

impl Body for LeaseBody {
    type Row = Lease;
    const KIND: Kind = Kind::LEASE;

    fn take_meta(&mut self) -> WireMeta {
        std::mem::take(&mut self.metadata.0)
    }

    fn into_row(self, meta: Meta, interners: &mut Interners) -> Result<Lease, String> {
        Ok(Lease {
            meta,
            holder: interners.str(&self.spec.holder_identity),
            duration_seconds: narrow(self.spec.lease_duration_seconds.0),
            renewed: self.spec.renew_time.0,
        })
    }
}
