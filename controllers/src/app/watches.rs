//! The informers of the kinds that the selected loops need, from the moment on at which this process leads.

use std::time::Duration;

use headroom_core::object::Kind;
use headroom_runtime::{
    informer::{self, InformerConfig, InformerHealth},
    process::Tasks,
    wire,
};
use tokio::sync::mpsc;

use super::inputs::Input;

/// The informers, before they are started and after.
pub(super) struct Watches {
    client: kube::Client,
    health: InformerHealth,
    tx: mpsc::Sender<Input>,
    tasks: Tasks,
}

impl Watches {
    /// None yet: a standby watches nothing, and is ready.
    pub(super) fn new(client: kube::Client, health: InformerHealth, tx: mpsc::Sender<Input>) -> Self {
        Self { client, health, tx, tasks: Tasks::default() }
    }

    /// Starts an informer for each of these kinds. They count for readiness from now on.
    pub(super) fn start(&mut self, kinds: &[Kind]) {
        let (client, health, tx, tasks) = (&self.client, &self.health, &self.tx, &mut self.tasks);
        let interners = wire::shared_interners();
        macro_rules! informers {
            ($($kind:ident: $wire:ident => $input:ident $(with $config:expr)?;)*) => {
                $(if kinds.contains(&Kind::$kind) {
                    #[allow(unused_mut, unused_assignments, reason = "only some kinds have a configuration")]
                    let mut config = InformerConfig::default();
                    $(config = $config;)?
                    tasks.spawn(informer::run::<wire::$wire, Input>(
                        client.clone(), config, health, tx.clone(), Input::$input, interners.clone(),
                    ));
                })*
            };
        }
        informers! {
            POD: PodWire => Pod;
            NODE: NodeWire => Node;
            REPLICATION_CONTROLLER: ReplicationControllerWire => Rc;
            SERVICE: ServiceWire => Service;
            ENDPOINTS: EndpointsWire => Endpoints;
            ENDPOINT_SLICE: EndpointSliceWire => Slice;
            LEASE: LeaseWire => Lease with InformerConfig { namespace: Some("kube-node-lease".to_owned()), ..InformerConfig::default() };
            NAMESPACE: NamespaceWire => Namespace;
            NODE_HEADROOM: NodeHeadroomWire => Headroom with InformerConfig { optional: true, ..InformerConfig::default() };
            MEMORY_PROFILE: MemoryProfileWire => Profile with InformerConfig { optional: true, ..InformerConfig::default() };
            REPLICA_SET: ReplicaSetWire => ReplicaSet;
            JOB: JobWire => Job;
        }
    }

    /// Waits until all have ended, which they do once nobody takes anything in any more; returns how many had to be broken
    /// off.
    pub(super) async fn join(self, patience: Duration) -> usize {
        self.tasks.join(patience).await
    }
}
