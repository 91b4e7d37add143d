use std::sync::Arc;

use headroom_core::{
    Mono, Now,
    intent::{IntentId, Op, Outcome, WriteError, Written},
    object::{
        AccessModes, BIND_COMPLETED, BOUND_BY_CONTROLLER, CsiDriver, InTreePlugin, NO_PROVISIONER, Node, ObjectKey,
        PersistentVolume, SELECTED_NODE, VolumeKind,
    },
    selector::LabelSelector,
    testing::{
        ClaimBuilder, PodBuilder, VolumeBuilder, allowed_in, claim, csi_capacity, csi_driver, csi_node,
        immediate_class, node, pod, volume, waiting_class,
    },
};

use super::*;
use crate::cache::{Cache, StorageObject};

mod filter;
mod hints;
mod pre_bind;
mod upstream;

const HOST: &str = "kubernetes.io/hostname";
const NOW: Now = Now { wall: headroom_core::Timestamp(0), mono: Mono(1_000_000_000) };

fn plugin() -> VolumeBinding {
    VolumeBinding::from_args(None).unwrap()
}

fn info(p: PodBuilder) -> PodInfo {
    PodInfo::new(p.arc())
}

fn uses(claims: &[&str]) -> PodInfo {
    info(claims.iter().fold(pod("p"), |p, c| p.claim(c)))
}

/// Two nodes and the classes of upstream's tests: `wait` waits and is provisioned, `static` waits and is not, `now` is
/// immediate, `zoned` waits and is allowed on `n1` only.
fn world(volumes: Vec<VolumeBuilder>, claims: Vec<ClaimBuilder>) -> Cache {
    let mut cache = Cache::default();
    cache.set_node(node("n1").arc());
    cache.set_node(node("n2").arc());
    let storage = cache.storage_mut();
    for class in [
        waiting_class("wait", "example.com/p"),
        waiting_class("static", NO_PROVISIONER),
        immediate_class("now", "example.com/p"),
        allowed_in(waiting_class("zoned", "example.com/p"), HOST, &["n1"]),
        allowed_in(waiting_class("elsewhere", "example.com/p"), HOST, &["n9"]),
    ] {
        storage.set(StorageObject::Class(Arc::new(class)));
    }
    for v in volumes {
        storage.set(StorageObject::Volume(v.arc()));
    }
    for c in claims {
        storage.set(StorageObject::Claim(c.arc()));
    }
    cache
}

fn row<'a>(cache: &'a Cache, name: &str) -> &'a Node {
    &cache.node(name).unwrap().node
}

/// What the pod would use on a node, as text: `claim->volume` and `claim+` for provisioning; or the reasons.
fn on(cache: &Cache, p: &PodInfo, name: &str) -> Result<Vec<String>, Vec<&'static str>> {
    let claims = pod_claims(cache.storage(), p).unwrap();
    claims.on(cache.storage(), row(cache, name)).unwrap().map(|v| {
        let matched = v.matches.iter().map(|(v, c)| format!("{}->{}", c.name(), v.name()));
        matched.chain(v.provisions.iter().map(|(c, _)| format!("{}+", c.name()))).collect()
    })
}

fn pre_filter(cache: &Cache, p: &PodInfo) -> PreFilter<State> {
    plugin().pre_filter(p, &View::new(cache, NOW))
}

fn rejection(cache: &Cache, p: &PodInfo) -> Status {
    match pre_filter(cache, p) {
        PreFilter::Reject(status) => status,
        PreFilter::Skip => Status::SKIP,
        _ => Status::SUCCESS,
    }
}

impl PartialEq for State {
    fn eq(&self, other: &Self) -> bool {
        self.0.is_some() == other.0.is_some()
    }
}
