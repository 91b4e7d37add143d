//! What a takeover changed, kept in the cluster: the handback, perhaps on another machine and next year, undoes just that.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{change::Api, text};

/// Where it is kept.
pub(crate) const PATH: &str = "/api/v1/namespaces/kube-system/configmaps/headroom-takeover";
/// And the collection.
pub(crate) const COLLECTION: &str = "/api/v1/namespaces/kube-system/configmaps";
const KEY: &str = "record.json";

/// What was taken over.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Record {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) scheduler: Option<SchedulerRecord>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) loops: Option<LoopsRecord>,
}

/// The scheduler.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct SchedulerRecord {
    /// `--mode` of ours before.
    pub(crate) mode: String,
    /// Whether stock asks for the lease: then it can be started before ours ends.
    pub(crate) elects: bool,
    /// Whether stock was started again, to stand by.
    pub(crate) keep_standby: bool,
}

/// Loops of the controller manager.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct LoopsRecord {
    pub(crate) names: Vec<String>,
    /// `--controllers` of ours before; absent: the flag was not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) controllers: Option<String>,
    /// `--controllers` of stock before, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) stock: Option<String>,
    /// kubeadm's ClusterConfiguration before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cluster_configuration: Option<String>,
    /// Flags of stock that were copied to ours, which did not have them: names and values.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) flags: BTreeMap<String, String>,
}

impl Record {
    /// From its ConfigMap; nothing where that cannot be understood.
    pub(crate) fn from_object(object: &Value) -> Self {
        serde_json::from_str(text(object, &format!("/data/{KEY}"))).unwrap_or_default()
    }

    /// As a ConfigMap.
    pub(crate) fn object(&self) -> Value {
        let data = serde_json::to_string(self).unwrap_or_default();
        json!({"apiVersion": "v1", "kind": "ConfigMap",
               "metadata": {"name": "headroom-takeover", "namespace": "kube-system",
                            "labels": {"app.kubernetes.io/part-of": "headroom"}},
               "data": {KEY: data}})
    }

    /// The loops that were taken over.
    pub(crate) fn loops(&self) -> &[String] {
        self.loops.as_ref().map_or(&[], |loops| &loops.names)
    }

    /// Whether nothing was taken over.
    pub(crate) fn is_empty(&self) -> bool {
        self.scheduler.is_none() && self.loops().is_empty()
    }
}

/// What to say of a record that tells nothing: a handback would give back what it sees, and not what there was before.
pub(crate) fn not_understood(object: Option<&Value>) -> Option<&'static str> {
    object.filter(|object| Record::from_object(object).is_empty()).map(
        |_| "ConfigMap kube-system/headroom-takeover is not understood: what was there before a takeover is not known",
    )
}

/// What to say when this was to be made and there was one: without a record of its own nothing may be taken over, or
/// nobody would know what to give back.
pub(crate) fn in_the_way(change: &Api) -> Option<&'static str> {
    matches!(change, Api::Create { collection, .. } if collection == COLLECTION).then_some(
        "ConfigMap kube-system/headroom-takeover is there, and could not be read or was not understood: is somebody else \
         taking over? If not, look at it, delete it, and begin again",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_is_not_ours_stops_everything() {
        let create = |collection: &str| Api::Create { collection: collection.to_owned(), object: json!({}) };
        let line = in_the_way(&create(COLLECTION)).unwrap();
        assert!(line.contains("headroom-takeover") && !line.contains('\n'), "{line}");
        let roles = create("/apis/rbac.authorization.k8s.io/v1/clusterroles");
        assert_eq!(in_the_way(&roles), None, "rights that are there are there");
        assert_eq!(in_the_way(&create(COLLECTION).reversed()), None);
    }

    #[test]
    fn it_comes_back_as_it_was() {
        let record = Record {
            scheduler: Some(SchedulerRecord { mode: "secondary".into(), elects: true, keep_standby: false }),
            loops: Some(LoopsRecord {
                names: vec!["endpoints-controller".into()],
                flags: BTreeMap::from([("endpoint-updates-batch-period".to_owned(), "1s".to_owned())]),
                ..LoopsRecord::default()
            }),
        };
        assert_eq!(Record::from_object(&record.object()), record);
        let older = json!({"data": {"record.json": r#"{"loops": {"names": ["endpoints-controller"]}}"#}});
        assert_eq!(
            Record::from_object(&older).loops,
            Some(LoopsRecord { flags: BTreeMap::new(), ..record.loops.clone().unwrap() })
        );
        assert_eq!(Record::from_object(&json!({"data": {"record.json": "{"}})), Record::default());
        assert!(Record::from_object(&json!({})).is_empty() && !record.is_empty());
        assert!(not_understood(Some(&json!({"data": {"record.json": "{"}}))).is_some());
        assert!(not_understood(Some(&record.object())).is_none() && not_understood(None).is_none());
    }
}
