use headroom_core::{
    Now,
    object::StorageClass,
    testing::{NodeBuilder, PodBuilder, VolumeBuilder, claim, immediate_class, node, pod, volume, waiting_class},
};

use super::*;
use crate::cache::Cache;

mod upstream;

const ZONE: &str = "topology.kubernetes.io/zone";
const REGION: &str = "topology.kubernetes.io/region";
const BETA_ZONE: &str = "failure-domain.beta.kubernetes.io/zone";
const BETA_REGION: &str = "failure-domain.beta.kubernetes.io/region";

fn world(volumes: Vec<VolumeBuilder>) -> Cache {
    let mut cache = Cache::default();
    let storage = cache.storage_mut();
    for v in volumes {
        let v = v.arc();
        storage.set(StorageObject::Claim(claim(&format!("claim-{}", v.name())).bound(v.name()).arc()));
        storage.set(StorageObject::Volume(v));
    }
    for class in [
        waiting_class("waits", "p"),
        immediate_class("at-once", "p"),
        StorageClass { binding_mode: None, ..waiting_class("without-mode", "p") },
    ] {
        storage.set(StorageObject::Class(Arc::new(class)));
    }
    for (name, class) in
        [("waiting", "waits"), ("immediate", "at-once"), ("modeless", "without-mode"), ("lost", "gone")]
    {
        storage.set(StorageObject::Claim(claim(name).class(class).arc()));
    }
    storage.set(StorageObject::Claim(claim("classless").arc()));
    storage.set(StorageObject::Claim(claim("dangling").volume("nothing").arc()));
    cache
}

fn pre_filter(cache: &Cache, p: PodBuilder) -> PreFilter<Arc<[Place]>> {
    VolumeZone.pre_filter(&PodInfo::new(p.arc()), &View::new(cache, Now::default()))
}

/// Upstream's `TestSingleZone`, `TestMultiZone` and `TestWithBinding`.
#[test]
fn a_node_must_be_where_the_volume_is() {
    let volumes = || {
        vec![
            volume("plain"),
            volume("one").label(BETA_ZONE, "us-west1-a"),
            volume("both").label(ZONE, "us-west1-a").label(REGION, "us-west1"),
            volume("several").label(BETA_ZONE, "us-west1-a__us-west1-c"),
            volume("region").label(BETA_REGION, "us-west1"),
            volume("odd").label(ZONE, "us-west1-a____us-west1-c"),
        ]
    };
    let in_zone = |label: &str, zone: &str| node("n").label(label, zone);
    let cases: Vec<(&str, NodeBuilder, bool)> = vec![
        ("one", node("n"), true),
        ("one", in_zone(BETA_ZONE, "us-west1-a"), true),
        ("one", in_zone(BETA_ZONE, "us-west1-b"), false),
        ("one", in_zone(ZONE, "us-west1-a"), true),
        ("one", in_zone(ZONE, "us-west1-b"), false),
        ("one", in_zone(REGION, "us-west1"), false),
        ("one", in_zone(BETA_ZONE, "us-west1-b").label(ZONE, "us-west1-a"), false),
        ("both", in_zone(ZONE, "us-west1-a"), false),
        ("both", in_zone(ZONE, "us-west1-a").label(REGION, "us-west1"), true),
        ("both", in_zone(BETA_ZONE, "us-west1-a").label(BETA_REGION, "us-west1"), false),
        ("several", in_zone(ZONE, "us-west1-c"), true),
        ("several", in_zone(ZONE, "us-west1-b"), false),
        ("region", in_zone(REGION, "us-west1"), true),
        ("region", in_zone(REGION, "no"), false),
    ];
    let cache = world(volumes());
    for (name, n, ok) in cases {
        let p = PodInfo::new(pod("p").claim(&format!("claim-{name}")).arc());
        let PreFilter::Continue(places) = VolumeZone.pre_filter(&p, &View::new(&cache, Now::default())) else {
            panic!("{name}")
        };
        let n = NodeInfo::new(n.arc());
        let expected = if ok { Status::SUCCESS } else { Status::unresolvable(REASON) };
        assert_eq!(VolumeZone.filter(&places, &p, &n), expected, "{name} {:?}", n.node.meta.labels);
    }
    for name in ["claim-plain", "claim-odd", "waiting"] {
        assert_eq!(pre_filter(&cache, pod("p").claim(name)), PreFilter::Skip, "{name}");
    }
    assert_eq!(pre_filter(&cache, pod("p")), PreFilter::Skip);
    assert_eq!(pre_filter(&cache, pod("p").ephemeral("v")), PreFilter::Skip, "upstream looks at named claims alone");
}

#[test]
fn what_is_wrong_with_a_claim_is_told() {
    let cache = world(vec![]);
    for (name, message) in [
        ("", "PersistentVolumeClaim had no name"),
        ("none", "persistentvolumeclaim \"none\" not found"),
        ("classless", "PersistentVolumeClaim had no pv name and storageClass name"),
        ("lost", "storageclass.storage.k8s.io \"gone\" not found"),
        ("modeless", "VolumeBindingMode not set for StorageClass \"without-mode\""),
        ("immediate", "PersistentVolume had no name"),
        ("dangling", "persistentvolume \"nothing\" not found"),
    ] {
        let got = pre_filter(&cache, pod("p").claim(name));
        assert_eq!(got, PreFilter::Reject(Status::unresolvable(message)), "{name}");
    }
}

/// Upstream's `TestIsSchedulableAfter…` of this plugin.
#[test]
fn hints() {
    let cache = Cache::default();
    let view = View::new(&cache, Now::default());
    let p = PodInfo::new(pod("p").claim("c").ephemeral("v").arc());
    let change = |old, new| Change::Storage { old, new: Some(new) };
    let pv = |v: VolumeBuilder| StorageObject::Volume(v.arc());
    for (change, expected) in [
        (change(None, StorageObject::Claim(claim("c").arc())), Hint::Queue),
        (change(None, StorageObject::Claim(claim("d").arc())), Hint::Skip),
        (change(None, StorageObject::Claim(claim("p-v").arc())), Hint::Skip),
        (change(None, StorageObject::Class(Arc::new(waiting_class("s", "p")))), Hint::Queue),
        (change(None, StorageObject::Class(Arc::new(immediate_class("s", "p")))), Hint::Skip),
        (change(None, pv(volume("v"))), Hint::Queue),
        (change(Some(pv(volume("v"))), pv(volume("v").label(ZONE, "a"))), Hint::Queue),
        (change(Some(pv(volume("v").label(ZONE, "a__b"))), pv(volume("v").label(ZONE, "b__a"))), Hint::Skip),
        (change(Some(pv(volume("v"))), pv(volume("v").label("other", "a"))), Hint::Skip),
    ] {
        assert_eq!(VolumeZone.hint(&change, &p, &view), expected, "{change:?}");
    }
}
