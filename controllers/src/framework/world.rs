//! Everything the controllers know of the cluster.

use std::{collections::BTreeMap, sync::Arc};

use hashbrown::{HashMap, HashSet};
use headroom_core::{
    Str,
    memory::{Link, Workload, workload_of},
    object::{
        EndpointSlice, Endpoints, Kind, Lease, MemoryProfile, Meta, Namespace, Node, ObjectKey, Pod,
        ReplicationController, Service,
    },
};
use headroom_runtime::wire::LinkRow;

use super::{headroom_row::HeadroomRow, pod_index::PodIndex};

/// Label that ties a slice to its service.
pub const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// Before and after. One of them is there; both when an object changed.
#[derive(Debug)]
pub struct Changed<'a, T> {
    /// As it was, absent for a new object.
    pub old: Option<&'a Arc<T>>,
    /// As it is, absent for one that is gone.
    pub new: Option<&'a Arc<T>>,
}

impl<'a, T> Changed<'a, T> {
    /// The newer state there is.
    #[must_use]
    pub fn latest(&self) -> Option<&'a Arc<T>> {
        self.new.or(self.old)
    }
}

/// A change, told to every controller after the world has taken it in.
#[derive(Debug)]
pub enum WorldEvent<'a> {
    /// A pod.
    Pod(Changed<'a, Pod>),
    /// A node.
    Node(Changed<'a, Node>),
    /// A replication controller.
    Rc(Changed<'a, ReplicationController>),
    /// A service.
    Service(Changed<'a, Service>),
    /// Endpoints.
    Endpoints(Changed<'a, Endpoints>),
    /// A slice.
    Slice(Changed<'a, EndpointSlice>),
    /// A node's lease in `kube-node-lease`.
    Lease(Changed<'a, Lease>),
    /// A namespace.
    Namespace(Changed<'a, Namespace>),
    /// A NodeHeadroom.
    Headroom(Changed<'a, HeadroomRow>),
    /// A MemoryProfile.
    Profile(Changed<'a, MemoryProfile>),
    /// A ReplicaSet.
    ReplicaSet(Changed<'a, LinkRow>),
    /// A Job.
    Job(Changed<'a, LinkRow>),
    /// All objects of this kind are known now.
    Synced(Kind),
}

macro_rules! simple_index {
    ($($(#[$doc:meta])* $apply:ident $remove:ident $field:ident: $row:ty => $event:ident;)*) => {
        $(
            $(#[$doc])*
            pub fn $apply(&mut self, row: Arc<$row>, mut tell: impl FnMut(&WorldEvent<'_>, &Self)) {
                let old = self.$field.insert(row.meta.key.clone(), row.clone());
                tell(&WorldEvent::$event(Changed { old: old.as_ref(), new: Some(&row) }), self);
            }

            /// Takes an object out and tells what was there.
            pub fn $remove(&mut self, key: &ObjectKey, mut tell: impl FnMut(&WorldEvent<'_>, &Self)) {
                if let Some(old) = self.$field.remove(key) {
                    tell(&WorldEvent::$event(Changed { old: Some(&old), new: None }), self);
                }
            }
        )*
    };
}

/// All indexes. Only kinds that an enabled controller needs are filled.
#[derive(Debug, Default)]
pub struct World {
    /// Pods.
    pub pods: PodIndex,
    /// Nodes by name, in a stable order.
    pub nodes: BTreeMap<Str, Arc<Node>>,
    /// Replication controllers.
    pub rcs: BTreeMap<ObjectKey, Arc<ReplicationController>>,
    /// Services.
    pub services: BTreeMap<ObjectKey, Arc<Service>>,
    /// Endpoints.
    pub endpoints: BTreeMap<ObjectKey, Arc<Endpoints>>,
    slices: BTreeMap<ObjectKey, Arc<EndpointSlice>>,
    slices_by_service: HashMap<ObjectKey, HashSet<ObjectKey>>,
    /// Node leases.
    pub leases: BTreeMap<ObjectKey, Arc<Lease>>,
    /// Namespaces.
    pub namespaces: BTreeMap<ObjectKey, Arc<Namespace>>,
    /// NodeHeadrooms by name, which is their node's.
    pub headrooms: BTreeMap<Str, Arc<HeadroomRow>>,
    /// MemoryProfiles.
    pub profiles: BTreeMap<ObjectKey, Arc<MemoryProfile>>,
    /// ReplicaSets: who manages them.
    pub replica_sets: BTreeMap<ObjectKey, Arc<LinkRow>>,
    /// Jobs: who manages them.
    pub jobs: BTreeMap<ObjectKey, Arc<LinkRow>>,
    synced: HashSet<Kind>,
}

impl World {
    /// Whether all objects of this kind are known.
    #[must_use]
    pub fn is_synced(&self, kind: Kind) -> bool {
        self.synced.contains(&kind)
    }

    /// All objects of this kind are known from now on.
    pub fn set_synced(&mut self, kind: Kind, mut tell: impl FnMut(&WorldEvent<'_>, &Self)) {
        if self.synced.insert(kind) {
            tell(&WorldEvent::Synced(kind), self);
        }
    }

    /// Takes a pod in and tells of the change.
    pub fn apply_pod(&mut self, row: Arc<Pod>, mut tell: impl FnMut(&WorldEvent<'_>, &Self)) {
        let old = self.pods.apply(row.clone());
        tell(&WorldEvent::Pod(Changed { old: old.as_ref(), new: Some(&row) }), self);
    }

    /// Takes a pod out and tells what was there.
    pub fn remove_pod(&mut self, key: &ObjectKey, mut tell: impl FnMut(&WorldEvent<'_>, &Self)) {
        if let Some(old) = self.pods.remove(key) {
            tell(&WorldEvent::Pod(Changed { old: Some(&old), new: None }), self);
        }
    }

    /// Takes a node in and tells of the change.
    pub fn apply_node(&mut self, row: Arc<Node>, mut tell: impl FnMut(&WorldEvent<'_>, &Self)) {
        let old = self.nodes.insert(row.name().clone(), row.clone());
        tell(&WorldEvent::Node(Changed { old: old.as_ref(), new: Some(&row) }), self);
    }

    /// Takes a node out and tells what was there.
    pub fn remove_node(&mut self, name: &str, mut tell: impl FnMut(&WorldEvent<'_>, &Self)) {
        if let Some(old) = self.nodes.remove(name) {
            tell(&WorldEvent::Node(Changed { old: Some(&old), new: None }), self);
        }
    }

    /// Takes a NodeHeadroom in and tells of the change.
    pub fn apply_headroom(&mut self, row: Arc<HeadroomRow>, mut tell: impl FnMut(&WorldEvent<'_>, &Self)) {
        let old = self.headrooms.insert(row.meta.key.name.clone(), row.clone());
        tell(&WorldEvent::Headroom(Changed { old: old.as_ref(), new: Some(&row) }), self);
    }

    /// Takes a NodeHeadroom out and tells what was there.
    pub fn remove_headroom(&mut self, name: &str, mut tell: impl FnMut(&WorldEvent<'_>, &Self)) {
        if let Some(old) = self.headrooms.remove(name) {
            tell(&WorldEvent::Headroom(Changed { old: Some(&old), new: None }), self);
        }
    }

    simple_index! {
        /// Takes a replication controller in and tells of the change.
        apply_rc remove_rc rcs: ReplicationController => Rc;
        /// Takes a service in and tells of the change.
        apply_service remove_service services: Service => Service;
        /// Takes endpoints in and tells of the change.
        apply_endpoints remove_endpoints endpoints: Endpoints => Endpoints;
        /// Takes a lease in and tells of the change.
        apply_lease remove_lease leases: Lease => Lease;
        /// Takes a namespace in and tells of the change.
        apply_namespace remove_namespace namespaces: Namespace => Namespace;
        /// Takes a MemoryProfile in and tells of the change.
        apply_profile remove_profile profiles: MemoryProfile => Profile;
        /// Takes a ReplicaSet in and tells of the change.
        apply_replica_set remove_replica_set replica_sets: LinkRow => ReplicaSet;
        /// Takes a Job in and tells of the change.
        apply_job remove_job jobs: LinkRow => Job;
    }

    /// The workload of a pod: what a MemoryProfile speaks of.
    #[must_use]
    pub fn workload<'a>(&'a self, pod: &'a Pod) -> Option<Workload<'a>> {
        workload_of(pod, |owner| {
            let key = ObjectKey { namespace: pod.meta.key.namespace.clone(), name: owner.name.clone() };
            let known = if owner.kind == "ReplicaSet" { self.replica_sets.get(&key) } else { self.jobs.get(&key) };
            match known.filter(|row| row.meta.uid == owner.uid) {
                None => Link::Unknown,
                Some(row) => row.meta.controller().map_or(Link::Nobody, Link::Owner),
            }
        })
    }

    /// What was learned of a pod's workload.
    #[must_use]
    pub fn profile(&self, pod: &Pod) -> Option<&Arc<MemoryProfile>> {
        if self.profiles.is_empty() {
            return None;
        }
        let name = self.workload(pod)?.profile_name().into();
        self.profiles.get(&ObjectKey { namespace: pod.meta.key.namespace.clone(), name })
    }

    /// Takes a slice in and tells of the change.
    pub fn apply_slice(&mut self, row: Arc<EndpointSlice>, mut tell: impl FnMut(&WorldEvent<'_>, &Self)) {
        let key = row.meta.key.clone();
        let old = self.slices.insert(key.clone(), row.clone());
        if let Some(old) = &old {
            self.unlink_slice(old);
        }
        if let Some(service) = service_of(&row.meta) {
            self.slices_by_service.entry(service).or_default().insert(key);
        }
        tell(&WorldEvent::Slice(Changed { old: old.as_ref(), new: Some(&row) }), self);
    }

    /// Takes a slice out and tells what was there.
    pub fn remove_slice(&mut self, key: &ObjectKey, mut tell: impl FnMut(&WorldEvent<'_>, &Self)) {
        if let Some(old) = self.slices.remove(key) {
            self.unlink_slice(&old);
            tell(&WorldEvent::Slice(Changed { old: Some(&old), new: None }), self);
        }
    }

    fn unlink_slice(&mut self, old: &EndpointSlice) {
        if let Some(service) = service_of(&old.meta)
            && let Some(keys) = self.slices_by_service.get_mut(&service)
        {
            keys.remove(&old.meta.key);
            if keys.is_empty() {
                self.slices_by_service.remove(&service);
            }
        }
    }

    /// The slices labelled with this service, in no particular order.
    pub fn slices_of<'a>(&'a self, service: &ObjectKey) -> impl Iterator<Item = &'a Arc<EndpointSlice>> {
        self.slices_by_service.get(service).into_iter().flatten().filter_map(|key| self.slices.get(key))
    }

    /// All slices, by key.
    pub const fn slices(&self) -> &BTreeMap<ObjectKey, Arc<EndpointSlice>> {
        &self.slices
    }
}

/// The service that a slice says it belongs to.
#[must_use]
pub fn service_of(meta: &Meta) -> Option<ObjectKey> {
    let name = meta.labels.get(SERVICE_NAME).filter(|name| !name.is_empty())?;
    Some(ObjectKey { namespace: meta.key.namespace.clone(), name: name.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use headroom_core::testing::{node, pod};

    #[test]
    fn tells_what_was_and_what_is() {
        let mut world = World::default();
        let mut seen = Vec::new();
        let mut tell = |e: &WorldEvent<'_>, _: &World| {
            seen.push(match e {
                WorldEvent::Pod(c) => format!("pod {} {}", c.old.is_some(), c.new.is_some()),
                WorldEvent::Node(c) => format!("node {} {}", c.old.is_some(), c.new.is_some()),
                WorldEvent::Synced(k) => format!("synced {}", k.plural),
                _ => "other".to_owned(),
            });
        };
        world.apply_pod(pod("a").arc(), &mut tell);
        world.apply_pod(pod("a").on("n").arc(), &mut tell);
        world.apply_node(node("n").arc(), &mut tell);
        world.set_synced(Kind::POD, &mut tell);
        world.set_synced(Kind::POD, &mut tell);
        world.remove_pod(&ObjectKey::new("default", "a"), &mut tell);
        world.remove_pod(&ObjectKey::new("default", "a"), &mut tell);
        assert_eq!(seen, ["pod false true", "pod true true", "node false true", "synced pods", "pod true false"]);
    }

    #[test]
    fn slices_follow_their_label() {
        let mut world = World::default();
        let slice = |name: &str, service: &str| {
            Arc::new(EndpointSlice {
                meta: Meta {
                    key: ObjectKey::new("default", name),
                    labels: [(SERVICE_NAME, service)].into_iter().collect(),
                    ..Meta::default()
                },
                ..EndpointSlice::default()
            })
        };
        world.apply_slice(slice("s1", "web"), |_, _| {});
        world.apply_slice(slice("s2", "web"), |_, _| {});
        let web = ObjectKey::new("default", "web");
        assert_eq!(world.slices_of(&web).count(), 2);
        world.apply_slice(slice("s2", "db"), |_, _| {});
        assert_eq!(world.slices_of(&web).count(), 1);
        world.remove_slice(&ObjectKey::new("default", "s1"), |_, _| {});
        assert_eq!((world.slices_of(&web).count(), world.slices().len()), (0, 1));
    }
}
