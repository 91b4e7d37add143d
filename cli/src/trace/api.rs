//! Lists of one kind, in one namespace or in all, as they come from the API server.

use kube::Client;
use serde_json::Value;

use crate::cluster::resource;

/// Objects per page of a list.
const PAGE: u32 = 500;
/// Most objects of one kind.
const MAX_OBJECTS: usize = 1_000_000;

/// A kind, with what its URL needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) api_version: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) plural: &'static str,
}

const fn listed(api_version: &'static str, kind: &'static str, plural: &'static str) -> Listed {
    Listed { api_version, kind, plural }
}

pub(crate) const PODS: Listed = listed("v1", "Pod", "pods");
pub(crate) const SERVICES: Listed = listed("v1", "Service", "services");
pub(crate) const EVENTS: Listed = listed("v1", "Event", "events");
pub(crate) const REPLICATION_CONTROLLERS: Listed = listed("v1", "ReplicationController", "replicationcontrollers");
pub(crate) const DEPLOYMENTS: Listed = listed("apps/v1", "Deployment", "deployments");
pub(crate) const REPLICA_SETS: Listed = listed("apps/v1", "ReplicaSet", "replicasets");
pub(crate) const STATEFUL_SETS: Listed = listed("apps/v1", "StatefulSet", "statefulsets");
pub(crate) const DAEMON_SETS: Listed = listed("apps/v1", "DaemonSet", "daemonsets");
pub(crate) const JOBS: Listed = listed("batch/v1", "Job", "jobs");
pub(crate) const CRON_JOBS: Listed = listed("batch/v1", "CronJob", "cronjobs");
pub(crate) const ENDPOINT_SLICES: Listed = listed("discovery.k8s.io/v1", "EndpointSlice", "endpointslices");
pub(crate) const MEMORY_PROFILES: Listed = listed("headroom.dev/v1alpha1", "MemoryProfile", "memoryprofiles");
pub(crate) const NODE_HEADROOMS: Listed = listed("headroom.dev/v1alpha1", "NodeHeadroom", "nodeheadrooms");

impl Listed {
    /// Where the objects of a namespace are, or of all of them.
    pub(crate) fn path(self, namespace: Option<&str>) -> String {
        let root = if self.api_version.contains('/') { "apis" } else { "api" };
        let within = namespace.map(|namespace| format!("namespaces/{namespace}/")).unwrap_or_default();
        format!("/{root}/{}/{within}{}", self.api_version, self.plural)
    }

    /// What to say to whoever may not do this with the objects of a namespace, or of all of them.
    pub(crate) fn forbidden(self, verb: &str, namespace: Option<&str>) -> String {
        let within = namespace.map(|namespace| format!("in namespace {namespace:?}"));
        format!(
            "you may not {verb} {} {}",
            resource(self.api_version, self.plural),
            within.as_deref().unwrap_or("cluster-wide")
        )
    }
}

/// A list.
#[derive(Debug, Default)]
pub(crate) struct List {
    /// The objects, each with its `apiVersion` and `kind`.
    pub(crate) items: Vec<Value>,
    /// What it was as of, for a watch.
    pub(crate) resource_version: String,
}

/// Reads all objects of a kind, page by page.
///
/// # Errors
/// What the API server or the way to it says.
pub(crate) async fn list(client: &Client, of: Listed, namespace: Option<&str>) -> Result<List, kube::Error> {
    let path = format!("{}?limit={PAGE}", of.path(namespace));
    let mut all = List::default();
    let mut token = String::new();
    loop {
        let mut uri = path.clone();
        if !token.is_empty() {
            uri.push_str("&continue=");
            uri.push_str(&encoded(&token));
        }
        let request = http::Request::get(uri).body(Vec::new()).map_err(kube::Error::HttpError)?;
        let mut page: Value = client.request(request).await?;
        let items = page.get_mut("items").and_then(Value::as_array_mut).map(std::mem::take).unwrap_or_default();
        // Items of a list do not say what they are.
        all.items.extend(items.into_iter().map(|mut item| {
            if let Some(fields) = item.as_object_mut() {
                fields.insert("apiVersion".to_owned(), of.api_version.into());
                fields.insert("kind".to_owned(), of.kind.into());
            }
            item
        }));
        let meta = |field: &str| page["metadata"][field].as_str().unwrap_or_default().to_owned();
        token = meta("continue");
        all.resource_version = meta("resourceVersion");
        if token.is_empty() || all.items.len() >= MAX_OBJECTS {
            return Ok(all);
        }
    }
}

/// Why a list is not there, in a sentence; `None` where the cluster has no such kind.
///
/// # Errors
/// The API server does not answer, or does not know who asks.
pub(crate) fn why_not(error: kube::Error, of: Listed, namespace: Option<&str>) -> anyhow::Result<Option<String>> {
    match error {
        kube::Error::Api(status) if status.code == 404 => Ok(None),
        kube::Error::Api(status) if status.code == 403 => Ok(Some(of.forbidden("list", namespace))),
        error => Err(anyhow::Error::new(error).context(format!("cannot list {}", of.plural))),
    }
}

/// Tokens are base64 without padding; what a URL could mistake is encoded all the same.
fn encoded(token: &str) -> String {
    let mut text = String::with_capacity(token.len());
    for c in token.chars() {
        match c {
            '+' => text.push_str("%2B"),
            '/' => text.push_str("%2F"),
            '=' => text.push_str("%3D"),
            c => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_that_are_missing_are_named_as_roles_name_them() {
        let expected = "you may not list deployments.apps in namespace \"shop\"";
        assert_eq!(DEPLOYMENTS.forbidden("list", Some("shop")), expected);
        assert_eq!(PODS.forbidden("watch", None), "you may not watch pods cluster-wide");
    }

    #[test]
    fn where_kinds_are() {
        assert_eq!(PODS.path(Some("shop")), "/api/v1/namespaces/shop/pods");
        assert_eq!(DEPLOYMENTS.path(None), "/apis/apps/v1/deployments");
        assert_eq!(encoded("a+b/c="), "a%2Bb%2Fc%3D");
    }
}
