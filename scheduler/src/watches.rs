//! What is watched. All of it counts as known before anything is decided (`AWAITED`).

use headroom_core::object::WorkloadKind;
use headroom_engine::cache::StorageObject;
use headroom_runtime::{
    client::Clients,
    clock,
    informer::{self, InformerConfig, InformerHealth},
    process::Tasks,
    wire::{self, WireObject},
};
use tokio::sync::mpsc;

use crate::inputs::{self, Message};

/// Starts an informer for each kind that is read.
pub(crate) fn start(clients: &Clients, health: &InformerHealth, tx: &mpsc::Sender<Message>, tasks: &mut Tasks) {
    let interners = wire::scheduling_interners();
    let client = || clients.watch.clone();
    let config = InformerConfig::default;
    // Upstream's selector: pods that have ended take no room on a node.
    let pods =
        InformerConfig { field_selector: Some("status.phase!=Succeeded,status.phase!=Failed".to_owned()), ..config() };
    let optional = || InformerConfig { optional: true, ..config() };
    tasks.spawn(informer::run::<wire::PodWire, _>(
        client(),
        pods,
        health,
        tx.clone(),
        |change| Message::Pod(change, clock::mono()),
        interners.clone(),
    ));
    tasks.spawn(informer::run::<wire::NodeWire, _>(
        client(),
        config(),
        health,
        tx.clone(),
        Message::Node,
        interners.clone(),
    ));
    tasks.spawn(informer::run::<wire::NamespaceWire, _>(
        client(),
        config(),
        health,
        tx.clone(),
        Message::Namespace,
        interners.clone(),
    ));
    tasks.spawn(informer::run::<wire::PodDisruptionBudgetWire, _>(
        client(),
        config(),
        health,
        tx.clone(),
        Message::Budget,
        interners.clone(),
    ));
    // Default topology spreading takes its selectors from these.
    macro_rules! selectors {
        ($($wire:ident $kind:ident;)*) => {$(
            tasks.spawn(informer::run::<wire::$wire, _>(
                client(),
                optional(),
                health,
                tx.clone(),
                |change| Message::Selector(WorkloadKind::$kind, change),
                interners.clone(),
            ));
        )*};
    }
    selectors! {
        ServiceSelectorWire Service;
        ReplicationControllerSelectorWire ReplicationController;
        ReplicaSetSelectorWire ReplicaSet;
        StatefulSetSelectorWire StatefulSet;
    }
    tasks.spawn(informer::run::<wire::NodeHeadroomWire, _>(
        client(),
        optional(),
        health,
        tx.clone(),
        Message::Headroom,
        interners.clone(),
    ));
    tasks.spawn(informer::run::<wire::MemoryProfileWire, _>(
        client(),
        optional(),
        health,
        tx.clone(),
        Message::Profile,
        interners,
    ));
    storage(clients, health, tx, tasks);
}

/// Everything that the plugins for volumes read. Most clusters have little of it, and interners would rarely share.
fn storage(clients: &Clients, health: &InformerHealth, tx: &mpsc::Sender<Message>, tasks: &mut Tasks) {
    let interners = wire::shared_interners();
    macro_rules! watch {
        ($($wire:ident => $object:ident,)*) => {$(
            tasks.spawn(informer::run::<wire::$wire, _>(
                clients.watch.clone(),
                InformerConfig::default(),
                health,
                tx.clone(),
                |change| inputs::storage(wire::$wire::KIND, StorageObject::$object, change),
                interners.clone(),
            ));
        )*};
    }
    watch! {
        PersistentVolumeWire => Volume,
        PersistentVolumeClaimWire => Claim,
        StorageClassWire => Class,
        CsiNodeWire => CsiNode,
        CsiDriverWire => CsiDriver,
        CsiStorageCapacityWire => Capacity,
        VolumeAttachmentWire => Attachment,
    }
}
