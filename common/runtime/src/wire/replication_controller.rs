//! Replication controllers.

use headroom_core::{
    object::{Kind, Meta, RcCondition, ReplicationController, ReplicationControllerStatus, Status},
    selector::Labels,
};
use serde::Deserialize;
use serde_json::Value;

use super::{
    Body,
    de::{Int, List, Moment, Obj, Pairs, Text},
    interners::Interners,
    meta::WireMeta,
    narrow,
};

/// The kind on the wire, trimmed.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ReplicationControllerBody {
    metadata: Obj<WireMeta>,
    spec: Obj<WireSpec>,
    status: Obj<WireStatus>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct WireSpec {
    replicas: Int,
    min_ready_seconds: Int,
    selector: Pairs,
    // Kept whole: what is written into pods must lose no field.
    template: Value,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct WireStatus {
    replicas: Int,
    fully_labeled_replicas: Int,
    ready_replicas: Int,
    available_replicas: Int,
    observed_generation: Int,
    conditions: List<Obj<WireCondition>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct WireCondition {
    #[serde(rename = "type")]
    kind: Text,
    status: Text,
    reason: Text,
    message: Text,
    last_transition_time: Moment,
}

fn template_labels(template: &Value, interners: &mut Interners) -> Labels {
    let Some(labels) = template["metadata"]["labels"].as_object() else { return Labels::default() };
    Labels::new(
        labels.iter().filter_map(|(key, value)| Some((interners.str(key), interners.str(value.as_str()?)))).collect(),
    )
}

impl Body for ReplicationControllerBody {
    type Row = ReplicationController;
    const KIND: Kind = Kind::REPLICATION_CONTROLLER;

    fn take_meta(&mut self) -> WireMeta {
        std::mem::take(&mut self.metadata.0)
    }

    fn into_row(self, meta: Meta, interners: &mut Interners) -> Result<ReplicationController, String> {
        let (spec, status) = (self.spec.0, self.status.0);
        if !spec.template.is_object() && !spec.template.is_null() {
            return Err("spec.template is not an object".to_owned());
        }
        Ok(ReplicationController {
            meta,
            replicas: spec.replicas.0.map_or(1, |n| narrow(Some(n))),
            min_ready_seconds: narrow(spec.min_ready_seconds.0),
            selector: interners.labels(spec.selector, |_| true),
            template_labels: template_labels(&spec.template, interners),
            template: spec.template.to_string().into(),
            status: ReplicationControllerStatus {
                replicas: narrow(status.replicas.0),
                fully_labeled_replicas: narrow(status.fully_labeled_replicas.0),
                ready_replicas: narrow(status.ready_replicas.0),
                available_replicas: narrow(status.available_replicas.0),
                observed_generation: status.observed_generation.0.unwrap_or(0),
                conditions: status
                    .conditions
                    .0
                    .into_iter()
                    .map(|Obj(c)| RcCondition {
                        kind: interners.str(&c.kind),
                        status: Status::parse(&c.status),
                        reason: interners.str(&c.reason),
                        message: c.message.0,
                        last_transition: c.last_transition_time.0,
                    })
                    .collect(),
            },
        })
    }
}
