//! The handle: starts a simulation, steers it, and ends it when dropped.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::config::HollowConfig;
use crate::engine::{self, Shared};
use crate::error::HollowError;
use crate::kubelet::Kubelet;
use crate::memory_model::Curve;
use crate::time::{Clock, millis};
use crate::tls::ServingCa;
use crate::world::{Loss, NodeView, Received, World};
use crate::{chaos_api, client};

/// Chaos verbs and views, shared by the handle and the HTTP API.
pub(crate) struct Steering {
    shared: Arc<Shared>,
    /// Whether each node is alive, in the nodes' order.
    gates: Vec<watch::Sender<bool>>,
    ca: String,
}

impl Steering {
    fn index(&self, node: &str) -> Result<usize, HollowError> {
        self.shared.read(|world, _| world.index(node))
    }

    pub(crate) fn kill(&self, node: &str) -> Result<(), HollowError> {
        let index = self.index(node)?;
        self.shared.change(|world, _| world.kill(index));
        if let Some(gate) = self.gates.get(index) {
            gate.send_replace(false);
        }
        Ok(())
    }

    pub(crate) fn revive(&self, node: &str) -> Result<(), HollowError> {
        let index = self.index(node)?;
        if let Some(gate) = self.gates.get(index) {
            gate.send_replace(true);
        }
        self.shared.change(|world, now| world.revive(index, now));
        Ok(())
    }

    pub(crate) fn mute(&self, node: &str, mute: bool) -> Result<(), HollowError> {
        let index = self.index(node)?;
        self.shared.change(|world, now| world.mute(index, mute, now));
        Ok(())
    }

    pub(crate) fn slow(&self, node: &str, by: Duration) -> Result<(), HollowError> {
        let index = self.index(node)?;
        self.shared.change(|world, _| world.slow(index, millis(by)));
        Ok(())
    }

    pub(crate) fn pause_all(&self) {
        self.shared.change(|world, _| world.pause());
        self.shared.paused.send_replace(true);
    }

    pub(crate) fn resume_all(&self) {
        self.shared.change(World::resume);
        self.shared.paused.send_replace(false);
    }

    pub(crate) fn set_pod_memory(&self, pod: &str, curve: &Curve, hot: Option<f64>) -> Result<(), HollowError> {
        self.shared.change(|world, now| world.set_pod_curve(pod, curve, hot, now))
    }

    pub(crate) fn set_system_memory(&self, node: &str, curve: Curve) -> Result<(), HollowError> {
        let index = self.index(node)?;
        self.shared.change(|world, now| world.set_system_curve(index, curve, now));
        Ok(())
    }

    pub(crate) fn force_pressure(&self, node: &str, pressure: Option<(f64, f64)>) -> Result<(), HollowError> {
        let index = self.index(node)?;
        self.shared.change(|world, _| world.force_pressure(index, pressure));
        Ok(())
    }

    pub(crate) fn nodes(&self) -> Vec<NodeView> {
        self.shared.read(|world, _| world.views())
    }

    pub(crate) fn losses(&self) -> Vec<Loss> {
        self.shared.read(|world, _| world.losses())
    }

    pub(crate) fn received(&self) -> Vec<(String, Received)> {
        self.shared.read(|world, _| world.received())
    }

    pub(crate) fn ca_pem(&self) -> &str {
        &self.ca
    }
}

/// A running simulation. Dropping it ends all its tasks at once; the Node objects stay, as after a power cut.
pub struct Hollow {
    steering: Arc<Steering>,
    chaos: Option<SocketAddr>,
    tasks: JoinSet<()>,
}

impl std::fmt::Debug for Hollow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hollow").field("nodes", &self.steering.gates.len()).field("chaos", &self.chaos).finish()
    }
}

impl Hollow {
    /// Opens the kubelets' servers, registers every node, and starts to run pods on them.
    ///
    /// Returns once all nodes exist, with their ports and Ready. Use [`Hollow::connect`] for the right client; any
    /// other works as well, with more connections.
    ///
    /// # Errors
    /// An invalid configuration, a port that is taken, or a node that the API server refuses (transient errors are
    /// retried for a minute).
    pub async fn start(config: HollowConfig, client: kube::Client) -> Result<Self, HollowError> {
        config.validate()?;
        let clock = Clock::new();
        let mut world = World::new(&config, clock.now());
        let ca = ServingCa::new()?;
        let mut listeners = Vec::new();
        if config.serve {
            for node in &mut world.nodes {
                let wanted = SocketAddr::from((node.address, config.kubelet_port));
                let (listener, address) = listen(wanted).await?;
                node.port = address.port();
                listeners.push((listener, address, ca.server(&node.name, node.address)?));
            }
        }
        let identities: Vec<_> = world.nodes.iter().map(|node| (node.name.clone(), node.class.clone())).collect();
        let gates: Vec<_> = identities.iter().map(|_| watch::Sender::new(true)).collect();
        let shared = Arc::new(Shared::new(world, clock, client));
        engine::register(&shared, config.remove_not_ready_taint, config.in_flight).await?;

        let mut tasks = JoinSet::new();
        for (index, ((listener, address, tls), (name, class))) in listeners.into_iter().zip(identities).enumerate() {
            let Some(gate) = gates.get(index) else { break };
            let kubelet = Arc::new(Kubelet::new(index, name, class, shared.clone()));
            tasks.spawn(kubelet.serve(listener, address, tls, gate.subscribe()));
        }
        tasks.spawn(engine::run(shared.clone(), config.in_flight));
        let steering = Arc::new(Steering { shared, gates, ca: ca.pem() });
        let mut chaos = None;
        if let Some(wanted) = config.chaos {
            let (listener, address) = listen(wanted).await?;
            chaos = Some(address);
            tasks.spawn(chaos_api::serve(listener, steering.clone()));
        }
        Ok(Self { steering, chaos, tasks })
    }

    /// As [`Hollow::start`] with the HTTP/2 client for this kubeconfig.
    ///
    /// # Errors
    /// As [`Hollow::start`]; also a kubeconfig that cannot be used.
    pub async fn connect(config: HollowConfig, kubeconfig: &kube::Config) -> Result<Self, HollowError> {
        Self::start(config, client::http2_client(kubeconfig)?).await
    }

    /// Where the chaos API listens.
    #[must_use]
    pub fn chaos_address(&self) -> Option<SocketAddr> {
        self.chaos
    }

    /// The CA of the kubelets' serving certificates, PEM. They are valid for the node's name and its address.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        self.steering.ca_pem()
    }

    /// Every node with its address and state.
    #[must_use]
    pub fn nodes(&self) -> Vec<NodeView> {
        self.steering.nodes()
    }

    /// OOM kills and evictions so far, in order.
    #[must_use]
    pub fn losses(&self) -> Vec<Loss> {
        self.steering.losses()
    }

    /// What each kubelet received last, by node name.
    #[must_use]
    pub fn received(&self) -> Vec<(String, Received)> {
        self.steering.received()
    }

    /// Kills a node: no more leases, statuses or pod changes; its server's port is closed and connections are cut.
    ///
    /// # Errors
    /// [`HollowError::NoSuchNode`], as all verbs that name a node.
    pub fn kill(&self, node: &str) -> Result<(), HollowError> {
        self.steering.kill(node)
    }

    /// Brings a killed node back; its containers went on meanwhile.
    ///
    /// # Errors
    /// [`HollowError::NoSuchNode`].
    pub fn revive(&self, node: &str) -> Result<(), HollowError> {
        self.steering.revive(node)
    }

    /// Keeps a node's lease and status from the API server, or lets them through again. Its kubelet answers as before.
    ///
    /// # Errors
    /// [`HollowError::NoSuchNode`].
    pub fn mute(&self, node: &str, mute: bool) -> Result<(), HollowError> {
        self.steering.mute(node, mute)
    }

    /// Adds latency to everything that a kubelet does; zero ends it.
    ///
    /// # Errors
    /// [`HollowError::NoSuchNode`].
    pub fn slow(&self, node: &str, by: Duration) -> Result<(), HollowError> {
        self.steering.slow(node, by)
    }

    /// Stops everything, like SIGSTOP: nothing is written, servers accept and do not answer.
    pub fn pause_all(&self) {
        self.steering.pause_all();
    }

    /// Ends [`Hollow::pause_all`].
    pub fn resume_all(&self) {
        self.steering.resume_all();
    }

    /// Replaces the memory curve of a running pod (`NAMESPACE/NAME`), from now on, and its hot share if given.
    ///
    /// # Errors
    /// [`HollowError::NoSuchPod`].
    pub fn set_pod_memory(&self, pod: &str, curve: &Curve, hot: Option<f64>) -> Result<(), HollowError> {
        self.steering.set_pod_memory(pod, curve, hot)
    }

    /// Replaces the memory curve of everything outside pods, from now on.
    ///
    /// # Errors
    /// [`HollowError::NoSuchNode`].
    pub fn set_system_memory(&self, node: &str, curve: Curve) -> Result<(), HollowError> {
        self.steering.set_system_memory(node, curve)
    }

    /// Pins a node's PSI averages to (`some`, `full`) percent, or lets them follow the model again.
    ///
    /// # Errors
    /// [`HollowError::NoSuchNode`].
    pub fn force_pressure(&self, node: &str, pressure: Option<(f64, f64)>) -> Result<(), HollowError> {
        self.steering.force_pressure(node, pressure)
    }

    /// Ends everything and waits until it has ended.
    pub async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

async fn listen(wanted: SocketAddr) -> Result<(TcpListener, SocketAddr), HollowError> {
    let fail = |source| HollowError::Listen { address: wanted, source };
    let listener = TcpListener::bind(wanted).await.map_err(fail)?;
    let address = listener.local_addr().map_err(fail)?;
    Ok((listener, address))
}
