//! One node: what it is made of, and its object.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use hashbrown::HashSet;
use serde_json::{Value, json};

use super::Summary;
use super::chaos::Received;
use super::extended::Extended;
use crate::config::NodeClass;
use crate::memory_model::{NodeMemory, NodeParams};
use crate::pod::Amounts;
use crate::time::{Millis, rfc3339};

/// First address of all pod ranges: 10.128.0.0/9.
const POD_BASE: u32 = 0x0A80_0000;
/// Addresses of one node's range (/22).
const RANGE: u32 = 1024;

/// State of one simulated kubelet.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) class: Arc<NodeClass>,
    pub(crate) address: Ipv4Addr,
    /// Port of the kubelet's server; 0 when it does not serve.
    pub(crate) port: u16,
    pub(crate) uid: Option<String>,
    pub(crate) started: Millis,
    pub(super) dead: bool,
    /// Its own reports do not reach the API server.
    pub(super) mute: bool,
    /// Extra latency of everything that this kubelet does.
    pub(super) slow: Millis,
    pub(super) memory: NodeMemory,
    pub(super) allocatable: Amounts,
    /// What others announced in the node's status.
    pub(super) extended: Extended,
    pub(super) used: Amounts,
    pub(super) pods: HashSet<u64>,
    range: u32,
    addresses: [u64; 16],
    pub(super) lease_version: Option<String>,
    /// Believed not to exist, so that it is created.
    pub(super) lease_missing: bool,
    /// Written at least once.
    pub(super) lease_known: bool,
    /// A late renewal of a slow node, due then.
    pub(super) lease_deferred: bool,
    pub(super) lease_at: Millis,
    pub(super) lease_ok: Millis,
    pub(super) status_at: Millis,
    pub(super) ready_since: Millis,
    pub(super) pressure: bool,
    pub(super) pressure_since: Millis,
    /// Since when available memory has been below the eviction threshold, and when it last was.
    pub(super) low_since: Option<Millis>,
    pub(super) low_last: Millis,
    pub(super) sample: Option<(Millis, Arc<Summary>)>,
    pub(super) received: Received,
}

impl Node {
    pub(super) fn new(name: String, class: Arc<NodeClass>, address: Ipv4Addr, range: usize, now: Millis) -> Self {
        let memory = NodeMemory::new(
            NodeParams {
                ram: class.memory_bytes,
                swap: class.swap_bytes,
                bandwidth: class.swap_bandwidth_bytes,
                system: class.system.clone(),
                system_hot: class.system_hot_fraction,
            },
            now,
        );
        let offset = u32::try_from(range).unwrap_or(0).saturating_mul(RANGE);
        let mut node = Self {
            name,
            address,
            port: 0,
            uid: None,
            started: now,
            dead: false,
            mute: false,
            slow: 0,
            memory,
            allocatable: Amounts(amounts(&class, class.memory_bytes.saturating_sub(class.eviction_hard_bytes))),
            extended: Extended::default(),
            used: Amounts::default(),
            pods: HashSet::new(),
            range: POD_BASE.saturating_add(offset),
            addresses: [0; 16],
            lease_version: None,
            lease_missing: true,
            lease_known: false,
            lease_deferred: false,
            lease_at: now,
            lease_ok: now,
            status_at: now,
            ready_since: now,
            pressure: false,
            pressure_since: now,
            low_since: None,
            low_last: 0,
            sample: None,
            received: Received::default(),
            class,
        };
        // Network, gateway and broadcast addresses are nobody's.
        node.addresses[0] |= 0b11;
        node.addresses[15] |= 1 << 63;
        node
    }

    /// Takes a free pod address; `None` when the range is used up.
    pub(super) fn take_address(&mut self) -> Option<u16> {
        let word = self.addresses.iter().position(|word| *word != u64::MAX)?;
        let bit = self.addresses.get(word)?.trailing_ones();
        self.addresses[word] |= 1 << bit;
        u16::try_from(word as u32 * 64 + bit).ok()
    }

    /// Takes this very address (of a pod that is already running); `None` when it is not in the range or taken.
    pub(super) fn claim_address(&mut self, text: &str) -> Option<u16> {
        let address: Ipv4Addr = text.parse().ok()?;
        let index = u32::from(address).checked_sub(self.range).filter(|index| *index < RANGE)?;
        let word = self.addresses.get_mut(index as usize / 64)?;
        let free = *word & (1 << (index % 64)) == 0;
        *word |= 1 << (index % 64);
        free.then_some(u16::try_from(index).ok()?)
    }

    pub(super) fn free_address(&mut self, index: u16) {
        if let Some(word) = self.addresses.get_mut(usize::from(index) / 64) {
            *word &= !(1 << (index % 64));
        }
    }

    pub(super) fn pod_address(&self, index: u16) -> String {
        Ipv4Addr::from(self.range.saturating_add(u32::from(index))).to_string()
    }

    /// The Node object as a kubelet registers it: status included.
    pub(crate) fn object(&self, now: Millis) -> Value {
        let class = &self.class;
        let mut labels = BTreeMap::from([
            ("kubernetes.io/hostname", self.name.as_str()),
            ("kubernetes.io/os", "linux"),
            ("kubernetes.io/arch", "amd64"),
            ("beta.kubernetes.io/os", "linux"),
            ("beta.kubernetes.io/arch", "amd64"),
            ("hollow.headroom.dev/class", class.name.as_str()),
        ]);
        labels.extend(class.labels.iter().map(|(key, value)| (key.as_str(), value.as_str())));
        let capacity = amounts(class, class.memory_bytes);
        let mut status = json!({
            "capacity": quantities(&capacity),
            "allocatable": quantities(&self.allocatable.0),
            "addresses": [
                {"type": "InternalIP", "address": self.address.to_string()},
                {"type": "Hostname", "address": self.name},
            ],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": self.port}},
            "conditions": self.conditions(now),
            "nodeInfo": {
                "machineID": format!("hollow-{}", self.name),
                "systemUUID": format!("hollow-{}", self.name),
                "bootID": format!("hollow-{}-{}", self.name, self.started),
                "kernelVersion": "6.1.0-hollow",
                "osImage": "Hollow",
                "containerRuntimeVersion": "containerd://2.3.4",
                "kubeletVersion": class.kubelet_version,
                "kubeProxyVersion": "",
                "operatingSystem": "linux",
                "architecture": "amd64",
            },
        });
        if class.swap_bytes > 0 {
            status["nodeInfo"]["swap"] = json!({"capacity": class.swap_bytes});
        }
        let range = Ipv4Addr::from(self.range);
        let mut spec = json!({"podCIDR": format!("{range}/22"), "podCIDRs": [format!("{range}/22")]});
        if !class.taints.is_empty() {
            spec["taints"] = json!(class.taints);
        }
        json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {"name": self.name, "labels": labels},
            "spec": spec,
            "status": status,
        })
    }

    /// What admission may give to pods.
    pub(super) fn admissible(&self) -> Amounts {
        let mut all = self.allocatable.clone();
        self.extended.add_to(&mut all);
        all
    }

    /// The periodic status report: conditions, and extended resources that others announced.
    pub(super) fn status_patch(&self, now: Millis) -> Value {
        let mut status = json!({"conditions": self.conditions(now)});
        if let Some(allocatable) = self.extended.correction() {
            status["allocatable"] = allocatable;
        }
        json!({ "status": status })
    }

    fn conditions(&self, now: Millis) -> Value {
        let condition = |kind: &str, status: bool, reason: &str, message: &str, since: Millis| {
            json!({
                "type": kind, "status": if status { "True" } else { "False" }, "reason": reason, "message": message,
                "lastHeartbeatTime": rfc3339(now), "lastTransitionTime": rfc3339(since),
            })
        };
        let memory = if self.pressure {
            ("KubeletHasInsufficientMemory", "kubelet has insufficient memory available")
        } else {
            ("KubeletHasSufficientMemory", "kubelet has sufficient memory available")
        };
        json!([
            condition("MemoryPressure", self.pressure, memory.0, memory.1, self.pressure_since),
            condition("DiskPressure", false, "KubeletHasNoDiskPressure", "kubelet has no disk pressure", self.started),
            condition(
                "PIDPressure",
                false,
                "KubeletHasSufficientPID",
                "kubelet has sufficient PID available",
                self.started
            ),
            condition("Ready", true, "KubeletReady", "kubelet is posting ready status", self.ready_since),
        ])
    }
}

fn amounts(class: &NodeClass, memory: u64) -> BTreeMap<String, i64> {
    let mut all = class.resources.clone();
    all.insert("cpu".to_owned(), class.cpu_millis);
    all.insert("memory".to_owned(), i64::try_from(memory).unwrap_or(i64::MAX));
    all.insert("ephemeral-storage".to_owned(), 20 << 30);
    all.insert("pods".to_owned(), class.pods);
    all
}

fn quantities(amounts: &BTreeMap<String, i64>) -> BTreeMap<&str, String> {
    let print = |name: &str, amount: i64| match name {
        "cpu" => format!("{amount}m"),
        _ => amount.to_string(),
    };
    amounts.iter().map(|(name, &amount)| (name.as_str(), print(name, amount))).collect()
}
