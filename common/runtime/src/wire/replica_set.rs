//! ReplicaSets and Jobs: metadata only, to find the Deployment or CronJob behind a pod.

use headroom_core::{
    object::{Kind, Meta},
    selector::Labels,
};
use serde::Deserialize;

use super::{Body, de::Obj, interners::Interners, meta::WireMeta};

/// A ReplicaSet or a Job, as far as it is a link between a pod and its workload.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LinkRow {
    /// Metadata with the owners, without labels and annotations.
    pub meta: Meta,
}

macro_rules! links {
    ($($name:ident $kind:ident;)*) => {$(
        /// The kind on the wire, trimmed.
        #[derive(Debug, Clone, Default, Deserialize)]
        #[serde(default)]
        pub struct $name {
            metadata: Obj<WireMeta>,
        }

        impl Body for $name {
            type Row = LinkRow;
            const KIND: Kind = Kind::$kind;

            fn take_meta(&mut self) -> WireMeta {
                std::mem::take(&mut self.metadata.0)
            }

            fn into_row(self, meta: Meta, _: &mut Interners) -> Result<LinkRow, String> {
                Ok(LinkRow { meta: Meta { labels: Labels::default(), annotations: Labels::default(), ..meta } })
            }
        }
    )*};
}

links! {
    ReplicaSetBody REPLICA_SET;
    JobBody JOB;
}
