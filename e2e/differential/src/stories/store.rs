//! Everything that is looked at, by namespace, kept up to date by watches.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::StreamExt;
use kube::Api;
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::Value;
use tokio::task::JoinSet;

use super::State;
use super::excess::{Excess, Ledger, version};
use super::settled::{Objects, is_settled};
use super::state::KINDS;

/// The objects of a namespace by kind and name, and when one of them changed last.
#[derive(Debug)]
struct Room {
    objects: Objects,
    changed: Instant,
}

/// All namespaces.
#[derive(Debug, Default)]
pub(super) struct Store {
    rooms: Mutex<HashMap<String, Room>>,
    /// The newest version that was seen, by kind.
    versions: Mutex<BTreeMap<&'static str, u64>>,
    ledger: Mutex<Ledger>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Store {
    /// Starts to watch, with or without nodes.
    pub(super) fn start(client: &kube::Client, nodes: bool, tasks: &mut JoinSet<()>) -> Arc<Self> {
        let store = Arc::new(Self::default());
        // Services are not looked at: their versions say what the controllers have to know.
        for kind in KINDS.into_iter().chain(["services"]).chain(nodes.then_some("nodes")) {
            let (group, version_kind) = match kind {
                "pods" => ("", "Pod"),
                "replicationcontrollers" => ("", "ReplicationController"),
                "endpoints" => ("", "Endpoints"),
                "services" => ("", "Service"),
                "endpointslices" => ("discovery.k8s.io", "EndpointSlice"),
                "nodes" => ("", "Node"),
                _ => ("", "Event"),
            };
            let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, "v1", version_kind), kind);
            let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
            tasks.spawn(follow(store.clone(), kind, api));
        }
        store
    }

    fn with<T>(&self, namespace: &str, look: impl FnOnce(&mut Room) -> T) -> T {
        let mut all = lock(&self.rooms);
        let empty = || Room { objects: BTreeMap::new(), changed: Instant::now() };
        look(all.entry(namespace.to_owned()).or_insert_with(empty))
    }

    fn note(&self, kind: &'static str, value: &Value, there: bool) {
        let version = version(value);
        lock(&self.versions).entry(kind).and_modify(|known| *known = version.max(*known)).or_insert(version);
        lock(&self.ledger).note(kind, value, there);
    }

    fn set(&self, kind: &'static str, object: DynamicObject) {
        let (namespace, name) = key(kind, &object);
        let Ok(value) = serde_json::to_value(object) else { return };
        self.note(kind, &value, true);
        self.with(&namespace, |room| {
            let old = room.objects.entry(kind.to_owned()).or_default().insert(name, value.clone());
            if old.as_ref() != Some(&value) {
                room.changed = Instant::now();
            }
        });
    }

    fn remove(&self, kind: &'static str, object: DynamicObject) {
        let (namespace, name) = key(kind, &object);
        if let Ok(value) = serde_json::to_value(object) {
            self.note(kind, &value, false);
        }
        self.with(&namespace, |room| {
            if room.objects.get_mut(kind).is_some_and(|all| all.remove(&name).is_some()) {
                room.changed = Instant::now();
            }
        });
    }

    /// Removes what a new list does not have.
    fn keep(&self, kind: &str, seen: &HashSet<(String, String)>) {
        let mut all = lock(&self.rooms);
        for (namespace, room) in all.iter_mut() {
            if let Some(objects) = room.objects.get_mut(kind) {
                objects.retain(|name, _| seen.contains(&(namespace.clone(), name.clone())));
            }
        }
    }

    /// The newest version that was seen, by kind.
    pub(super) fn versions(&self) -> BTreeMap<&'static str, u64> {
        lock(&self.versions).clone()
    }

    /// The newest version of a kind that was seen.
    pub(super) fn version(&self, kind: &str) -> u64 {
        lock(&self.versions).get(kind).copied().unwrap_or(0)
    }

    /// See [`Ledger::made`].
    pub(super) fn made(&self) -> usize {
        lock(&self.ledger).made()
    }

    /// See [`Ledger::excess`].
    pub(super) fn excess(&self) -> Vec<Excess> {
        lock(&self.ledger).excess()
    }

    /// Since when nothing has changed in a namespace.
    pub(super) fn quiet_for(&self, namespace: &str) -> Duration {
        self.with(namespace, |room| room.changed.elapsed())
    }

    /// See [`is_settled`].
    pub(super) fn is_settled(&self, namespace: &str) -> bool {
        self.with(namespace, |room| is_settled(&room.objects))
    }

    /// What stands in a namespace.
    pub(super) fn state(&self, namespace: &str) -> State {
        self.with(namespace, |room| {
            let lists =
                room.objects.iter().map(|(kind, all)| (kind.clone(), all.values().cloned().collect())).collect();
            State::of(&lists, namespace)
        })
    }

    /// The objects of a kind in a namespace.
    pub(super) fn list(&self, namespace: &str, kind: &str) -> Vec<Value> {
        self.with(namespace, |room| room.objects.get(kind).map(|all| all.values().cloned().collect()))
            .unwrap_or_default()
    }

    /// The pods of a namespace.
    pub(super) fn pods(&self, namespace: &str) -> Vec<Value> {
        self.list(namespace, "pods")
    }
}

/// Namespace and name. Nodes have no namespace: those of a story have that of the story at the end of their name, and what is
/// said about them belongs there too.
fn key(kind: &str, object: &DynamicObject) -> (String, String) {
    let name = object.metadata.name.clone().unwrap_or_default();
    let own = || object.metadata.namespace.clone();
    let of_node = |node: &str| node.split_once('.').map(|(_, namespace)| namespace.to_owned());
    let about = &object.data["involvedObject"];
    let namespace = match kind {
        "nodes" => of_node(&name),
        "events" if about["kind"] == "Node" => about["name"].as_str().and_then(of_node).or_else(own),
        _ => own(),
    };
    (namespace.unwrap_or_default(), name)
}

async fn follow(store: Arc<Store>, kind: &'static str, api: Api<DynamicObject>) {
    let mut events = watcher(api, watcher::Config::default()).default_backoff().boxed();
    let mut listed = HashSet::new();
    while let Some(event) = events.next().await {
        match event {
            Ok(watcher::Event::Init) => listed.clear(),
            Ok(watcher::Event::InitApply(object)) => {
                listed.insert(key(kind, &object));
                store.set(kind, object);
            }
            Ok(watcher::Event::InitDone) => store.keep(kind, &listed),
            Ok(watcher::Event::Apply(object)) => store.set(kind, object),
            Ok(watcher::Event::Delete(object)) => store.remove(kind, object),
            // It is tried again; whoever waits says in the end what is missing.
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn nodes_of_a_story_and_what_is_said_about_them_belong_to_it() {
        let of = |kind: &str, object: Value| key(kind, &serde_json::from_value(object).unwrap()).0;
        let event = |kind: &str, name: &str| {
            let about = json!({"kind": kind, "name": name});
            json!({"metadata": {"name": "e", "namespace": "default"}, "involvedObject": about})
        };
        assert_eq!(of("nodes", json!({"metadata": {"name": "a.s1"}})), "s1");
        assert_eq!(of("nodes", json!({"metadata": {"name": "keeper"}})), "");
        assert_eq!(of("events", event("Node", "a.s1")), "s1");
        assert_eq!(of("events", event("Node", "keeper")), "default");
        assert_eq!(of("events", event("Pod", "a.s1")), "default");
        assert_eq!(of("pods", json!({"metadata": {"name": "p", "namespace": "s2"}})), "s2");
    }
}
