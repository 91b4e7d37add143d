//! Every version of what managers write, from a watch: none is the one before it, or the one before that.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::common::LONG;
use futures::{StreamExt, TryStreamExt};
use headroom_e2e::control_plane::audit::AuditEvent;
use headroom_e2e::{ControlPlane, Identity, eventually};
use k8s_openapi::api::core::v1::{Endpoints, Pod, ReplicationController};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, ListParams, WatchEvent, WatchParams};
use serde_json::{Value, json};
use tokio::task::JoinSet;

const PODS: &str = "pods";
const CONTROLLERS: &str = "replicationcontrollers";
/// When the change happened that a manager has written: it says nothing about what was written.
const TRIGGER: &str = "endpoints.kubernetes.io/last-change-trigger-time";

fn kinds() -> [ApiResource; 4] {
    [
        ApiResource::erase::<Pod>(&()),
        ApiResource::erase::<ReplicationController>(&()),
        ApiResource::erase::<Endpoints>(&()),
        ApiResource::erase::<EndpointSlice>(&()),
    ]
}

/// The versions of each object, by plural and name, in their order.
type Versions = BTreeMap<(String, String), Vec<Value>>;

fn note(versions: &Mutex<Versions>, kind: &ApiResource, object: &DynamicObject) {
    let name = object.metadata.name.clone().unwrap();
    let object = serde_json::to_value(object).unwrap();
    versions.lock().unwrap().entry((kind.plural.clone(), name)).or_default().push(object);
}

/// All versions from a moment on.
pub(super) struct Log {
    namespace: &'static str,
    versions: Arc<Mutex<Versions>>,
    /// Where the audit log stood at its beginning.
    audited: usize,
    watches: JoinSet<()>,
}

impl Log {
    /// Begins when nothing is being written in the namespace.
    pub(super) async fn begin(cluster: &ControlPlane, namespace: &'static str) -> Self {
        let versions: Arc<Mutex<Versions>> = Arc::default();
        let mut watches: JoinSet<()> = JoinSet::new();
        for kind in kinds() {
            let api: Api<DynamicObject> = Api::namespaced_with(cluster.admin_client(), namespace, &kind);
            let list = api.list(&ListParams::default()).await.unwrap();
            list.items.iter().for_each(|object| note(&versions, &kind, object));
            let mut from = list.metadata.resource_version.unwrap();
            let mut events = api.watch(&WatchParams::default(), &from).await.unwrap().boxed();
            let versions = Arc::clone(&versions);
            watches.spawn(async move {
                loop {
                    while let Some(event) = events.try_next().await.unwrap() {
                        from = match event {
                            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                                note(&versions, &kind, &object);
                                object.metadata.resource_version.unwrap()
                            }
                            WatchEvent::Deleted(object) => object.metadata.resource_version.unwrap(),
                            WatchEvent::Bookmark(mark) => mark.metadata.resource_version,
                            WatchEvent::Error(error) => panic!("{}: {error:?}", kind.plural),
                        };
                    }
                    // It has lasted for as long as one may, some minutes.
                    events = api.watch(&WatchParams::default(), &from).await.unwrap().boxed();
                }
            });
        }
        let audited = cluster.audit_events().unwrap().len();
        Self { namespace, versions, audited, watches }
    }

    /// Fails when something was written without a change, or a write undid the one before; call it when nothing is being
    /// written any more. Answers how many versions there were that the managers wrote.
    pub(super) async fn judge(mut self, cluster: &ControlPlane, who: &str) -> usize {
        // First the requests, then whatever came of them.
        let requests = cluster.audit_events().unwrap().split_off(self.audited);
        for kind in kinds() {
            let api: Api<DynamicObject> = Api::namespaced_with(cluster.admin_client(), self.namespace, &kind);
            eventually(LONG, &format!("the last version of all {}", kind.plural), || async {
                let all = api.list(&ListParams::default()).await.map_err(|error| error.to_string())?.items;
                let versions = self.versions.lock().unwrap();
                let is_late = |object: &&DynamicObject| {
                    let name = object.metadata.name.clone().unwrap();
                    let last = versions.get(&(kind.plural.clone(), name)).and_then(|versions| versions.last());
                    last.and_then(|last| last["metadata"]["resourceVersion"].as_str())
                        != object.metadata.resource_version.as_deref()
                };
                all.iter().find(is_late).map_or(Ok(()), |object| Err(format!("{:?}", object.metadata.name)))
            })
            .await
            .unwrap();
        }
        assert!(self.watches.try_join_next().is_none(), "a watch has ended");
        let versions = self.versions.lock().unwrap();
        let mut wrong: Vec<String> = versions
            .iter()
            .flat_map(|((plural, name), versions)| {
                faults(plural, versions).into_iter().map(move |fault| format!("{plural} {name}: {fault}"))
            })
            .collect();
        wrong.extend(idle(&requests, self.namespace, &versions));
        assert!(wrong.is_empty(), "{who}: {wrong:#?}");
        versions.iter().filter(|((plural, _), _)| plural != PODS).map(|(_, versions)| versions.len() - 1).sum()
    }
}

/// What managers of this kind write about, without what the API server adds. Kubelets and schedulers write to pods as well.
fn content(plural: &str, object: &Value) -> Value {
    let meta = &object["metadata"];
    if plural == PODS {
        return json!([meta["labels"], meta["ownerReferences"]]);
    }
    let mut object = object.clone();
    if let Some(meta) = object["metadata"].as_object_mut() {
        for key in ["resourceVersion", "generation", "managedFields"] {
            meta.remove(key);
        }
        if let Some(annotations) = meta.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.remove(TRIGGER);
            if annotations.is_empty() {
                meta.remove("annotations");
            }
        }
    }
    object
}

/// What is wrong with the versions of an object.
fn faults(plural: &str, versions: &[Value]) -> Vec<String> {
    let mut contents: Vec<Value> = versions.iter().map(|version| content(plural, version)).collect();
    let mut wrong = Vec::new();
    if plural == PODS {
        contents.dedup();
    }
    for pair in contents.windows(2).filter(|pair| pair[0] == pair[1]) {
        wrong.push(format!("written without a change: {}", pair[0]));
    }
    // The numbers of a controller whose pod was replaced are what they were.
    for three in contents.windows(3).filter(|three| plural != CONTROLLERS && three[0] == three[2]) {
        wrong.push(format!("written back: {} to {}", three[1], three[2]));
    }
    wrong
}

/// Writes that the API server took and that made no version, since nothing was different: more than there are versions. One
/// is granted for each conflict that stock ran into: it then writes what it wanted to write on top of the newest version,
/// which may say so already.
fn idle(requests: &[AuditEvent], namespace: &str, versions: &Versions) -> Vec<String> {
    let mut writes: BTreeMap<(String, String), (Vec<&str>, usize)> = BTreeMap::new();
    for request in requests.iter().filter(|request| matches!(request.verb.as_str(), "update" | "patch")) {
        let Some(of) = &request.object_ref else { continue };
        if of.namespace != namespace || of.resource == PODS {
            continue;
        }
        let (writers, granted) = writes.entry((of.resource.clone(), of.name.clone())).or_default();
        match request.code() {
            200 => writers.push(&request.user.username),
            409 if request.user.username != Identity::HeadroomControllers.user() => *granted += 1,
            _ => {}
        }
    }
    let changes = |key: &(String, String)| versions.get(key).map(|versions| versions.len() - 1);
    let is_idle = |key: &(String, String), (writers, granted): &(Vec<&str>, usize)| {
        changes(key).is_some_and(|changes| writers.len() > changes + granted)
    };
    let idle = writes.iter().filter(|(key, of)| is_idle(key, of));
    idle.map(|((plural, name), (writers, _))| format!("{plural} {name}: written by {writers:?}, not all for a change"))
        .collect()
}

#[test]
fn writes_without_a_change_and_writes_back_are_found() {
    let version = |number: u64, address: &str| {
        json!({"metadata": {"resourceVersion": number.to_string(), "annotations": {TRIGGER: number.to_string()}},
            "subsets": [address]})
    };
    let of = |addresses: &[&str]| {
        let versions: Vec<Value> = (1..).zip(addresses).map(|(number, address)| version(number, address)).collect();
        faults("endpoints", &versions)
    };
    assert_eq!(of(&["a", "b", "c", "a"]), Vec::<String>::new());
    assert_eq!(of(&["a", "a"]).len(), 1, "only time has passed");
    assert_eq!(of(&["a", "b", "a", "b"]).len(), 2);
    // A pod's labels and owner: the kubelet's writes in between change neither.
    let pod = |number: u64, owner: Value| json!({"metadata": {"resourceVersion": number, "ownerReferences": owner}});
    let (owned, free) = (json!([{"name": "rc"}]), json!([]));
    assert!(faults(PODS, &[pod(1, owned.clone()), pod(2, owned.clone()), pod(3, free.clone())]).is_empty());
    assert_eq!(faults(PODS, &[pod(1, owned.clone()), pod(2, free), pod(3, owned)]).len(), 1);
}
