//! Pods as they come over the wire, cut down to what a kubelet's simulation reads: everything else is skipped by the
//! parser without being stored.

use std::borrow::Cow;
use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use serde::{Deserialize, Deserializer};

/// Prefix of the annotations that steer the simulation.
pub(crate) const PREFIX: &str = "hollow.headroom.dev/";
/// Annotations that mark static and mirror pods.
pub(crate) const MIRROR: &str = "kubernetes.io/config.mirror";
pub(crate) const CONFIG_SOURCE: &str = "kubernetes.io/config.source";

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct PodWire {
    #[serde(default, deserialize_with = "metadata")]
    pub(crate) metadata: ObjectMeta,
    #[serde(default)]
    pub(crate) spec: SpecWire,
    #[serde(default)]
    pub(crate) status: StatusWire,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct SpecWire {
    pub(crate) node_name: Option<String>,
    pub(crate) restart_policy: Option<String>,
    pub(crate) host_network: Option<bool>,
    pub(crate) priority: Option<i64>,
    pub(crate) overhead: Option<BTreeMap<String, String>>,
    pub(crate) resources: Option<ResourcesWire>,
    pub(crate) init_containers: Option<Vec<ContainerWire>>,
    pub(crate) containers: Option<Vec<ContainerWire>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ContainerWire {
    pub(crate) name: String,
    pub(crate) image: Option<String>,
    pub(crate) restart_policy: Option<String>,
    pub(crate) resources: Option<ResourcesWire>,
    pub(crate) lifecycle: Option<LifecycleWire>,
}

impl ContainerWire {
    /// Seconds that the `sleep` action of the preStop hook takes.
    pub(crate) fn pre_stop_sleep(&self) -> u64 {
        let sleep = self.lifecycle.as_ref().and_then(|l| l.pre_stop.as_ref()).and_then(|hook| hook.sleep.as_ref());
        sleep.and_then(|sleep| u64::try_from(sleep.seconds).ok()).unwrap_or(0)
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct LifecycleWire {
    pub(crate) pre_stop: Option<HookWire>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct HookWire {
    pub(crate) sleep: Option<SleepWire>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct SleepWire {
    pub(crate) seconds: i64,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ResourcesWire {
    pub(crate) requests: Option<BTreeMap<String, String>>,
    pub(crate) limits: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct StatusWire {
    pub(crate) phase: Option<String>,
    pub(crate) qos_class: Option<String>,
    #[serde(rename = "podIP")]
    pub(crate) pod_ip: Option<String>,
    pub(crate) start_time: Option<String>,
    pub(crate) container_statuses: Option<Vec<ContainerStatusWire>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ContainerStatusWire {
    pub(crate) name: String,
    pub(crate) restart_count: i32,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct MetaWire {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    generation: Option<i64>,
    deletion_timestamp: Option<Time>,
    deletion_grace_period_seconds: Option<i64>,
    annotations: Option<BTreeMap<Cow<'static, str>, String>>,
}

fn metadata<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
    let wire = MetaWire::deserialize(deserializer)?;
    let ours = |key: &str| key.starts_with(PREFIX) || key == MIRROR || key == CONFIG_SOURCE;
    let annotations: BTreeMap<String, String> = wire
        .annotations
        .unwrap_or_default()
        .into_iter()
        .filter(|(key, _)| ours(key))
        .map(|(key, value)| (key.into_owned(), value))
        .collect();
    Ok(ObjectMeta {
        name: wire.name,
        namespace: wire.namespace,
        uid: wire.uid,
        resource_version: wire.resource_version,
        generation: wire.generation,
        deletion_timestamp: wire.deletion_timestamp,
        deletion_grace_period_seconds: wire.deletion_grace_period_seconds,
        annotations: (!annotations.is_empty()).then_some(annotations),
        ..ObjectMeta::default()
    })
}

impl kube::Resource for PodWire {
    type DynamicType = ();
    type Scope = k8s_openapi::NamespaceResourceScope;

    fn kind(_: &()) -> Cow<'_, str> {
        "Pod".into()
    }

    fn group(_: &()) -> Cow<'_, str> {
        "".into()
    }

    fn version(_: &()) -> Cow<'_, str> {
        "v1".into()
    }

    fn plural(_: &()) -> Cow<'_, str> {
        "pods".into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

/// A Node, cut down to the resources that its status announces.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct NodeWire {
    #[serde(default, deserialize_with = "metadata")]
    pub(crate) metadata: ObjectMeta,
    #[serde(default)]
    pub(crate) status: NodeStatusWire,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct NodeStatusWire {
    pub(crate) capacity: Option<BTreeMap<String, String>>,
    pub(crate) allocatable: Option<BTreeMap<String, String>>,
}

impl kube::Resource for NodeWire {
    type DynamicType = ();
    type Scope = k8s_openapi::ClusterResourceScope;

    fn kind(_: &()) -> Cow<'_, str> {
        "Node".into()
    }

    fn group(_: &()) -> Cow<'_, str> {
        "".into()
    }

    fn version(_: &()) -> Cow<'_, str> {
        "v1".into()
    }

    fn plural(_: &()) -> Cow<'_, str> {
        "nodes".into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skips_the_rest_and_takes_nulls() {
        let text = r#"{"kind":"Pod","metadata":{"name":"p","namespace":"d","uid":"u","creationTimestamp":null,
            "managedFields":[{"manager":"m"}],"annotations":{"a":"b","hollow.headroom.dev/memory":"1Mi"}},
            "spec":{"nodeName":"n","containers":[{"name":"c","resources":{"requests":null}}],"volumes":null},
            "status":{"phase":"Pending","containerStatuses":null}}"#;
        let pod: PodWire = serde_json::from_str(text).unwrap();
        assert_eq!(pod.spec.node_name.as_deref(), Some("n"));
        assert_eq!(pod.metadata.annotations.unwrap().len(), 1);
        assert!(pod.metadata.managed_fields.is_none());
        let bare: PodWire = serde_json::from_str("{}").unwrap();
        assert!(bare.spec.containers.is_none());
    }
}
