//! One look at what the facts are made of.

use anyhow::Context;
use headroom_runtime::clock;
use kube::Client;
use serde_json::Value;

use super::{
    facts::{Facts, Raw},
    ours::Ours,
    record,
    requests::{Requests, is},
    text,
};
use crate::{cluster, doctor::Program};

/// Most objects of a kind whose writers are looked at.
const MAX_WRITTEN: usize = 500;
/// What loops write: lists, and the kind of what stands in them. Of events only those of bindings.
const WRITTEN: [(&str, &str); 4] = [
    ("/api/v1/replicationcontrollers", "ReplicationController"),
    ("/api/v1/endpoints", "Endpoints"),
    ("/apis/discovery.k8s.io/v1/endpointslices", "EndpointSlice"),
    ("/api/v1/events?fieldSelector=reason%3DScheduled", "Event"),
];

/// What objects were read as that somebody else may change as well: their resourceVersions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ReadAs {
    pub(crate) kubeadm: Option<String>,
    pub(crate) k0s: Option<String>,
    pub(crate) record: Option<String>,
}

impl ReadAs {
    pub(super) fn of(raw: &Raw) -> Self {
        let version = |object: Option<&Value>| {
            let version = object.map(|object| text(object, "/metadata/resourceVersion").to_owned());
            version.filter(|version| !version.is_empty())
        };
        Self {
            kubeadm: version(raw.kubeadm.as_ref()),
            k0s: version(raw.k0s.as_ref()),
            record: version(raw.record.as_ref()),
        }
    }
}

/// The facts now, and what could not be read, in sentences for people.
///
/// # Errors
/// The API server does not answer, or does not know who asks.
pub(crate) async fn facts(client: &Client) -> anyhow::Result<(Facts, Vec<String>)> {
    let requests = Requests::new(client.clone());
    let mut lacking = Vec::new();
    let cluster = cluster::read_what_may_be(client, &["nodes", "pods", "events"], &mut lacking).await?;
    let mut notes: Vec<String> = lacking.into_iter().map(|lacking| lacking.why).collect();
    // Events are read by their reasons, one after another.
    notes.dedup();
    let mut raw = Raw { cluster, ..Raw::default() };
    let leases = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases";
    raw.leases = allowed(requests.list(leases).await, "leases of kube-system", &mut notes)?;
    raw.deployments = allowed(requests.list("/apis/apps/v1/deployments").await, "deployments", &mut notes)?;
    let scheduler = Ours::find(&raw.deployments, Program::Scheduler);
    if let Some(path) = scheduler.as_ref().and_then(Ours::configuration_path) {
        let what = "the ConfigMap with headroom-scheduler's configuration";
        raw.configuration = allowed(requests.get(&path).await, what, &mut notes)?;
    }
    let kubeadm = "/api/v1/namespaces/kube-system/configmaps/kubeadm-config";
    raw.kubeadm = allowed(requests.get(kubeadm).await, "ConfigMap kube-system/kubeadm-config", &mut notes)?;
    let k0s = "/apis/k0s.k0sproject.io/v1beta1/namespaces/kube-system/clusterconfigs/k0s";
    raw.k0s = allowed(requests.get(k0s).await, "k0s' ClusterConfig", &mut notes)?;
    raw.record = allowed(requests.get(record::PATH).await, "ConfigMap kube-system/headroom-takeover", &mut notes)?;
    notes.extend(record::not_understood(raw.record.as_ref()).map(str::to_owned));
    for (path, kind) in WRITTEN {
        let list = allowed(requests.metadata(path, MAX_WRITTEN).await, kind, &mut notes)?;
        raw.written.extend(list.into_iter().map(|mut object| {
            // Items of a list of metadata say that they are metadata.
            if let Some(fields) = object.as_object_mut() {
                fields.insert("kind".to_owned(), Value::from(kind));
            }
            object
        }));
    }
    Ok((Facts::new(raw, clock::wall()), notes))
}

/// What was read, or nothing and a note where that is not allowed.
fn allowed<T: Default>(read: Result<T, kube::Error>, what: &str, notes: &mut Vec<String>) -> anyhow::Result<T> {
    match read {
        Ok(read) => Ok(read),
        Err(error) if is(&error, 403) => {
            notes.push(format!("you may not read {what}: done without"));
            Ok(T::default())
        }
        Err(error) => Err(error).with_context(|| format!("cannot read {what}")),
    }
}
