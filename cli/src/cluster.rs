//! The live cluster: how to reach it, and one look at all that the engine reads.

mod connection;

use kube::Client;
use serde_json::Value;

pub(crate) use self::connection::Connection;
use crate::reach::why;

/// Objects per page of a list.
const PAGE: u32 = 500;
/// Most objects of one kind.
const MAX_OBJECTS: usize = 1_000_000;

/// A kind that is read, and whether nothing can be said without it.
#[derive(Debug, Clone, Copy)]
struct Source {
    api_version: &'static str,
    kind: &'static str,
    plural: &'static str,
    needed: bool,
    /// The one namespace that is read, or all.
    namespace: &'static str,
    /// The field selector, ready for a URL; empty for everything.
    fields: &'static str,
}

const fn source(api_version: &'static str, kind: &'static str, plural: &'static str, needed: bool) -> Source {
    Source { api_version, kind, plural, needed, namespace: "", fields: "" }
}

impl Source {
    const fn within(self, namespace: &'static str) -> Self {
        Self { namespace, ..self }
    }

    const fn only(self, fields: &'static str) -> Self {
        Self { fields, ..self }
    }

    /// Where it is listed.
    fn path(&self) -> String {
        let root = if self.api_version.contains('/') { "apis" } else { "api" };
        let within = if self.namespace.is_empty() { String::new() } else { format!("namespaces/{}/", self.namespace) };
        let only = if self.fields.is_empty() { String::new() } else { format!("&fieldSelector={}", self.fields) };
        format!("/{root}/{}/{within}{}?limit={PAGE}{only}", self.api_version, self.plural)
    }

    /// What to say to whoever may not list it: the resource as rules of roles name it, and where.
    fn forbidden(&self) -> String {
        let resource = resource(self.api_version, self.plural);
        match self.namespace {
            "" => format!("you may not list {resource} cluster-wide"),
            namespace => format!("you may not list {resource} in namespace {namespace:?}"),
        }
    }
}

/// A kind as `kubectl auth can-i` and rules of roles take it: `deployments.apps`.
pub(crate) fn resource(api_version: &str, plural: &str) -> String {
    match api_version.split_once('/') {
        Some((group, _)) => format!("{plural}.{group}"),
        None => plural.to_owned(),
    }
}

/// Everything that the engine reads (interfaces.md 4).
const SOURCES: [Source; 19] = [
    source("v1", "Node", "nodes", true),
    source("v1", "Pod", "pods", true),
    source("v1", "Namespace", "namespaces", false),
    source("v1", "Service", "services", false),
    source("v1", "ReplicationController", "replicationcontrollers", false),
    source("v1", "PersistentVolumeClaim", "persistentvolumeclaims", false),
    source("v1", "PersistentVolume", "persistentvolumes", false),
    source("apps/v1", "ReplicaSet", "replicasets", false),
    source("apps/v1", "StatefulSet", "statefulsets", false),
    source("batch/v1", "Job", "jobs", false),
    source("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets", false),
    source("scheduling.k8s.io/v1", "PriorityClass", "priorityclasses", false),
    source("storage.k8s.io/v1", "StorageClass", "storageclasses", false),
    source("storage.k8s.io/v1", "CSINode", "csinodes", false),
    source("storage.k8s.io/v1", "CSIDriver", "csidrivers", false),
    source("storage.k8s.io/v1", "CSIStorageCapacity", "csistoragecapacities", false),
    source("storage.k8s.io/v1", "VolumeAttachment", "volumeattachments", false),
    source("headroom.dev/v1alpha1", "NodeHeadroom", "nodeheadrooms", false),
    source("headroom.dev/v1alpha1", "MemoryProfile", "memoryprofiles", false),
];

/// What a snapshot holds besides, for `trace` and `rightsize`. The engine reads none of it.
const SAVED: [Source; 6] = [
    source("apps/v1", "Deployment", "deployments", false),
    source("apps/v1", "DaemonSet", "daemonsets", false),
    source("batch/v1", "CronJob", "cronjobs", false),
    source("v1", "Endpoints", "endpoints", false),
    source("discovery.k8s.io/v1", "EndpointSlice", "endpointslices", false),
    source("v1", "Event", "events", false),
];

/// Whether a kind stands in snapshots for others than the engine: for verbs that do not ask it, and Jobs for `plan -f`.
pub(crate) fn is_only_saved(kind: &str) -> bool {
    kind == "Job" || SAVED.iter().any(|source| source.kind == kind)
}

/// What `doctor` reads besides. Of events only those that it knows, where a snapshot holds all.
const SIGNS: [Source; 5] = [
    source("v1", "Event", "events", false).only("reason%3DCgroupV1"),
    source("v1", "Event", "events", false).only("reason%3DForeignBinding"),
    source("v1", "Event", "events", false).only("reason%3DYieldedToAnotherManager"),
    source("coordination.k8s.io/v1", "Lease", "leases", false).within("kube-node-lease"),
    source("certificates.k8s.io/v1", "CertificateSigningRequest", "certificatesigningrequests", false)
        .only("spec.signerName%3Dkubernetes.io%2Fkubelet-serving"),
];

/// A kind that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lacking {
    pub(crate) plural: &'static str,
    /// Why, in a sentence for people.
    pub(crate) why: String,
}

/// Reads these kinds, by their plurals, once. Whatever may not be read is left out and said.
///
/// # Errors
/// The API server does not answer, or does not know who asks.
pub(crate) async fn read_what_may_be(
    client: &Client,
    plurals: &[&str],
    lacking: &mut Vec<Lacking>,
) -> anyhow::Result<Vec<Value>> {
    let mut all = Vec::new();
    let deployments = SAVED.iter().filter(|source| source.kind == "Deployment");
    for source in SOURCES.iter().chain(&SIGNS).chain(deployments) {
        let plural = source.plural;
        if !plurals.contains(&plural) {
            continue;
        }
        let before = all.len();
        let why = match list(client, source, &mut all).await {
            Ok(()) => continue,
            // A kind that the cluster does not have.
            Err(kube::Error::Api(status)) if status.code == 404 => continue,
            Err(kube::Error::Api(status)) if status.code == 403 => source.forbidden(),
            Err(error) if matches!(&error, kube::Error::Api(status) if status.code != 401) => {
                format!("cannot list {plural}: {}", why(&error))
            }
            Err(error) => return Err(anyhow::Error::new(error).context(format!("cannot list {plural}"))),
        };
        // Half a list would be taken for all of it.
        all.truncate(before);
        lacking.push(Lacking { plural, why });
    }
    Ok(all)
}

/// Reads once all kinds that the engine reads. What may be missing (a kind that the cluster does not have or we may not
/// read) is a note.
///
/// # Errors
/// The first thing that makes the result useless.
pub(crate) async fn read(client: &Client, notes: &mut Vec<String>) -> anyhow::Result<Vec<Value>> {
    read_kinds(client, SOURCES.iter(), notes).await
}

/// The same, and the workloads whose templates `rightsize` reads besides.
///
/// # Errors
/// As above.
pub(crate) async fn read_with_templates(client: &Client, notes: &mut Vec<String>) -> anyhow::Result<Vec<Value>> {
    let templates = SAVED.iter().filter(|source| matches!(source.kind, "Deployment" | "DaemonSet" | "CronJob"));
    read_kinds(client, SOURCES.iter().chain(templates), notes).await
}

/// The same of everything that a snapshot holds.
///
/// # Errors
/// As above.
pub(crate) async fn read_to_save(client: &Client, notes: &mut Vec<String>) -> anyhow::Result<Vec<Value>> {
    read_kinds(client, SOURCES.iter().chain(&SAVED), notes).await
}

async fn read_kinds(
    client: &Client,
    sources: impl Iterator<Item = &Source>,
    notes: &mut Vec<String>,
) -> anyhow::Result<Vec<Value>> {
    let mut all = Vec::new();
    for source in sources {
        match list(client, source, &mut all).await {
            Ok(()) => {}
            Err(kube::Error::Api(status)) if status.code == 404 && !source.needed => {}
            Err(kube::Error::Api(status)) if status.code == 403 && !source.needed => {
                notes.push(format!("{}: done without them", source.forbidden()));
            }
            Err(error) => {
                return Err(anyhow::Error::new(error).context(format!("cannot list {}", source.plural)));
            }
        }
    }
    Ok(all)
}

async fn list(client: &Client, source: &Source, all: &mut Vec<Value>) -> Result<(), kube::Error> {
    let path = source.path();
    let mut token = String::new();
    let mut count = 0;
    loop {
        let mut uri = path.clone();
        if !token.is_empty() {
            uri.push_str("&continue=");
            // Tokens are base64 without padding; encode what a URL could mistake all the same.
            uri.extend(token.chars().map(|c| match c {
                '+' => "%2B".to_owned(),
                '/' => "%2F".to_owned(),
                '=' => "%3D".to_owned(),
                c => c.to_string(),
            }));
        }
        let request = http::Request::get(uri).body(Vec::new()).map_err(kube::Error::HttpError)?;
        let mut page: Value = client.request(request).await?;
        let Some(items) = page.get_mut("items").and_then(Value::as_array_mut).map(std::mem::take) else {
            return Ok(());
        };
        count += items.len();
        // Items of a list do not say what they are.
        all.extend(items.into_iter().map(|mut item| {
            if let Some(fields) = item.as_object_mut() {
                fields.insert("apiVersion".to_owned(), source.api_version.into());
                fields.insert("kind".to_owned(), source.kind.into());
            }
            item
        }));
        token = page.pointer("/metadata/continue").and_then(Value::as_str).unwrap_or_default().to_owned();
        if token.is_empty() || count >= MAX_OBJECTS {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_only_saved_is_read_for_nothing_else() {
        assert!(SAVED.iter().all(|saved| !saved.needed && SOURCES.iter().all(|source| source.kind != saved.kind)));
        assert!(is_only_saved("Event") && is_only_saved("Deployment") && !is_only_saved("Pod"));
        assert_eq!(SAVED[4].path(), "/apis/discovery.k8s.io/v1/endpointslices?limit=500");
    }

    #[test]
    fn rights_that_are_missing_are_named_as_roles_name_them() {
        assert_eq!(SOURCES[0].forbidden(), "you may not list nodes cluster-wide");
        assert_eq!(SOURCES[7].forbidden(), "you may not list replicasets.apps cluster-wide");
        let leases = "you may not list leases.coordination.k8s.io in namespace \"kube-node-lease\"";
        assert_eq!(SIGNS[3].forbidden(), leases);
    }

    #[test]
    fn where_kinds_are_listed() {
        assert_eq!(SOURCES[0].path(), "/api/v1/nodes?limit=500");
        assert_eq!(SOURCES[7].path(), "/apis/apps/v1/replicasets?limit=500");
        assert_eq!(SIGNS[0].path(), "/api/v1/events?limit=500&fieldSelector=reason%3DCgroupV1");
        let leases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases?limit=500";
        assert_eq!(SIGNS[3].path(), leases);
        let requests = "/apis/certificates.k8s.io/v1/certificatesigningrequests?limit=500\
                        &fieldSelector=spec.signerName%3Dkubernetes.io%2Fkubelet-serving";
        assert_eq!(SIGNS[4].path(), requests);
    }
}
