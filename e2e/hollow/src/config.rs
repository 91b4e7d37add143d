//! What to simulate: node classes, timing and servers; from code, from a YAML file or from the command line.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use crate::error::HollowError;
use crate::memory_model::{Curve, SwapBehavior};
use crate::quantity;

/// Nodes beyond this have no pod addresses left.
pub const MAX_NODES: usize = 8192;
/// Pods per node beyond this have no addresses left.
pub const MAX_PODS_PER_NODE: i64 = 1000;

/// Pressure stall information as a node's kernel and kubelet give it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PsiSupport {
    /// Real values.
    On,
    /// The kernel has none: the fields are present and all zero, as measured on real kubelets.
    Zero,
    /// The kubelet is older than the feature: no fields.
    Absent,
}

/// A taint of a node class.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub struct NodeTaint {
    /// Taint key.
    pub key: String,
    /// Taint value, may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub value: String,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    pub effect: String,
}

/// A kind of node, and how many of it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct NodeClass {
    /// Prefix of the nodes' names: `NAME-1` and so on.
    pub name: String,
    /// Number of nodes.
    pub count: usize,
    /// CPU in millicores (a quantity in files: `2`, `500m`).
    #[serde(deserialize_with = "cpu")]
    pub cpu_millis: i64,
    /// RAM in bytes.
    #[serde(deserialize_with = "bytes", rename = "memory")]
    pub memory_bytes: u64,
    /// Swap in bytes; 0 is none.
    #[serde(deserialize_with = "bytes", rename = "swap")]
    pub swap_bytes: u64,
    /// The kubelet's swap behaviour. `None`: LimitedSwap with swap, NoSwap without.
    pub swap_behavior: Option<SwapBehavior>,
    /// Most pods that the kubelet takes.
    pub pods: i64,
    /// `evictionHard` `memory.available` in bytes; allocatable memory is less by it. 0 as on k3s.
    #[serde(deserialize_with = "bytes", rename = "evictionHard")]
    pub eviction_hard_bytes: u64,
    /// Reported kubelet version. Older than 1.34: no pod or container swap in the short summary, no PSI by default.
    pub kubelet_version: String,
    /// PSI in the summary. `None`: by the kubelet's version.
    pub psi: Option<PsiSupport>,
    /// Memory of everything outside pods.
    #[serde(deserialize_with = "curve")]
    pub system: Curve,
    /// Share of it that is touched all the time.
    pub system_hot_fraction: f64,
    /// Bandwidth of the swap device in bytes per second.
    #[serde(deserialize_with = "bytes", rename = "swapBandwidth")]
    pub swap_bandwidth_bytes: u64,
    /// Extra labels.
    pub labels: BTreeMap<String, String>,
    /// Taints set at registration.
    pub taints: Vec<NodeTaint>,
    /// Extended resources, such as `example.com/gpu: 2`.
    pub resources: BTreeMap<String, i64>,
}

impl Default for NodeClass {
    fn default() -> Self {
        Self {
            name: "node".to_owned(),
            count: 1,
            cpu_millis: 2000,
            memory_bytes: 1 << 30,
            swap_bytes: 0,
            swap_behavior: None,
            pods: 110,
            eviction_hard_bytes: 0,
            kubelet_version: "v1.36.4".to_owned(),
            psi: None,
            system: Curve::constant(120 << 20),
            system_hot_fraction: 0.5,
            swap_bandwidth_bytes: 10 << 20,
            labels: BTreeMap::new(),
            taints: Vec::new(),
            resources: BTreeMap::new(),
        }
    }
}

impl NodeClass {
    /// The swap behaviour in force.
    #[must_use]
    pub fn behavior(&self) -> SwapBehavior {
        let usual = if self.swap_bytes > 0 { SwapBehavior::LimitedSwap } else { SwapBehavior::NoSwap };
        self.swap_behavior.unwrap_or(usual)
    }

    /// Minor version of the kubelet; a version that cannot be read counts as new.
    fn minor(&self) -> u32 {
        self.kubelet_version.split('.').nth(1).and_then(|minor| minor.parse().ok()).unwrap_or(u32::MAX)
    }

    /// PSI in force.
    #[must_use]
    pub fn psi(&self) -> PsiSupport {
        self.psi.unwrap_or(if self.minor() < 34 { PsiSupport::Absent } else { PsiSupport::On })
    }

    /// Whether the short summary carries swap of pods and containers (kubernetes#131915).
    #[must_use]
    pub fn pod_swap_in_short_summary(&self) -> bool {
        self.minor() >= 34
    }
}

/// Everything about a simulation. [`HollowConfig::default`] has no nodes.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct HollowConfig {
    /// The nodes.
    pub nodes: Vec<NodeClass>,
    /// Node number n gets this address plus n + 1. Must be in 127.0.0.0/8.
    pub address_base: Ipv4Addr,
    /// Number of the first node's pod range (10.128.0.0/9 in steps of /22), for several simulations on one API server.
    pub first_pod_range: usize,
    /// Port of every kubelet; 0 takes a free one per node.
    pub kubelet_port: u16,
    /// Whether kubelets serve HTTPS at all.
    pub serve: bool,
    /// Where the chaos API listens (loopback only); `None` for library use without it.
    pub chaos: Option<SocketAddr>,
    /// Time between lease renewals.
    #[serde(deserialize_with = "seconds", rename = "leaseIntervalSeconds")]
    pub lease_interval: Duration,
    /// `leaseDurationSeconds` of the leases.
    pub lease_duration_seconds: i32,
    /// Time between node status reports without a change.
    #[serde(deserialize_with = "seconds", rename = "statusIntervalSeconds")]
    pub status_interval: Duration,
    /// From binding to the start of the first container.
    #[serde(deserialize_with = "seconds", rename = "startSeconds")]
    pub start_delay: Duration,
    /// How long an init container runs.
    #[serde(deserialize_with = "seconds", rename = "initSeconds")]
    pub init_duration: Duration,
    /// How long containers take to stop when asked to.
    #[serde(deserialize_with = "seconds", rename = "stopSeconds")]
    pub stop_duration: Duration,
    /// Writes on pods in flight at once, on all nodes together; as many again for nodes and leases.
    pub in_flight: usize,
    /// Remove the not-ready taint that admission puts on a new node; for API servers without a node-lifecycle loop.
    pub remove_not_ready_taint: bool,
    /// Age of the sample that the summary serves; real kubelets 10 to 15 s.
    #[serde(deserialize_with = "seconds", rename = "sampleSeconds")]
    pub sample_interval: Duration,
}

impl Default for HollowConfig {
    fn default() -> Self {
        Self {
            nodes: Vec::new(),
            address_base: Ipv4Addr::new(127, 10, 0, 0),
            first_pod_range: 0,
            kubelet_port: 0,
            serve: true,
            chaos: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))),
            lease_interval: Duration::from_secs(10),
            lease_duration_seconds: 40,
            status_interval: Duration::from_secs(300),
            start_delay: Duration::from_millis(500),
            init_duration: Duration::from_millis(500),
            stop_duration: Duration::from_millis(500),
            in_flight: 32,
            remove_not_ready_taint: false,
            sample_interval: Duration::from_secs(1),
        }
    }
}

impl HollowConfig {
    /// A simulation of the nodes in `spec` (see [`parse_nodes`]), with defaults for the rest.
    ///
    /// # Errors
    /// As [`parse_nodes`].
    pub fn from_spec(spec: &str) -> Result<Self, HollowError> {
        Ok(Self { nodes: parse_nodes(spec, &NodeClass::default())?, ..Self::default() })
    }

    /// Reads a YAML (or JSON) file with the fields of this type in camelCase.
    ///
    /// # Errors
    /// [`HollowError::File`] when it cannot be read, [`HollowError::Config`] with the place when it is invalid.
    pub fn from_file(path: &Path) -> Result<Self, HollowError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| HollowError::File { path: path.to_owned(), source })?;
        serde_saphyr::from_str(&text).map_err(|e| HollowError::config(path.display().to_string(), e.to_string()))
    }

    /// Checks what types cannot say.
    ///
    /// # Errors
    /// [`HollowError::Config`] naming the first wrong field.
    pub fn validate(&self) -> Result<(), HollowError> {
        let fail = |field: &str, problem: String| Err(HollowError::config(field, problem));
        let total = self.nodes.iter().fold(0usize, |sum, class| sum.saturating_add(class.count));
        if total == 0 {
            return fail("nodes", "no nodes; give for example worker=3:1Gi:swap=2Gi".to_owned());
        }
        if total.saturating_add(self.first_pod_range) > MAX_NODES {
            return fail("nodes", format!("{total} nodes; at most {MAX_NODES} have pod addresses"));
        }
        if !self.address_base.is_loopback() {
            return fail("addressBase", format!("{} is not in 127.0.0.0/8", self.address_base));
        }
        if self.chaos.is_some_and(|address| !address.ip().is_loopback()) {
            return fail("chaos", "the chaos API has no authentication and listens on loopback only".to_owned());
        }
        if self.in_flight == 0 || self.lease_interval.is_zero() || self.status_interval.is_zero() {
            return fail("inFlight, leaseIntervalSeconds, statusIntervalSeconds", "must not be 0".to_owned());
        }
        let mut names = std::collections::BTreeSet::new();
        for class in &self.nodes {
            let field = format!("nodes[{}]", class.name);
            let valid = !class.name.is_empty()
                && class.name.len() <= 50
                && class.name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'.')
                && class.name.starts_with(|c: char| c.is_ascii_alphanumeric());
            if !valid {
                return fail(&field, "a name consists of lower-case letters, digits, - and .".to_owned());
            }
            if !names.insert(&class.name) {
                return fail(&field, "the name is used twice".to_owned());
            }
            if class.pods < 1 || class.pods > MAX_PODS_PER_NODE {
                return fail(&field, format!("pods: {} is not in 1..={MAX_PODS_PER_NODE}", class.pods));
            }
            if class.memory_bytes == 0 || class.cpu_millis <= 0 {
                return fail(&field, "memory and cpu must be positive".to_owned());
            }
            if class.memory_bytes > i64::MAX as u64 || class.swap_bytes > i64::MAX as u64 {
                return fail(&field, "memory or swap is too large".to_owned());
            }
            if class.eviction_hard_bytes >= class.memory_bytes {
                return fail(&field, "evictionHard leaves no memory".to_owned());
            }
            if !(0.0..=1.0).contains(&class.system_hot_fraction) {
                return fail(&field, "systemHotFraction is not in 0..=1".to_owned());
            }
        }
        Ok(())
    }
}

/// Reads node classes as given on the command line: `NAME=COUNT:MEMORY[:OPTION=VALUE...]`, separated by commas.
///
/// Options: `swap`, `behavior`, `cpu`, `pods`, `evict`, `version`, `psi`, `system`, `bandwidth`, `label=KEY=VALUE`,
/// `taint=KEY=VALUE@EFFECT`. `base` gives what is not named.
///
/// # Errors
/// [`HollowError::Config`] with the part that cannot be read.
pub fn parse_nodes(spec: &str, base: &NodeClass) -> Result<Vec<NodeClass>, HollowError> {
    spec.split(',').map(str::trim).filter(|part| !part.is_empty()).map(|part| parse_class(part, base)).collect()
}

fn parse_class(text: &str, base: &NodeClass) -> Result<NodeClass, HollowError> {
    let fail = |problem: String| HollowError::config(format!("--nodes {text:?}"), problem);
    let (name, rest) =
        text.split_once('=').ok_or_else(|| fail("expected NAME=COUNT:MEMORY, such as worker=3:1Gi".to_owned()))?;
    let mut parts = rest.split(':');
    let count = parts.next().and_then(|c| c.parse().ok()).ok_or_else(|| fail("COUNT is no number".to_owned()))?;
    let mut class = NodeClass { name: name.to_owned(), count, ..base.clone() };
    for part in parts {
        let Some((option, value)) = part.split_once('=') else {
            class.memory_bytes =
                quantity::parse_bytes(part).ok_or_else(|| fail(format!("{part:?} is neither a size nor an option")))?;
            continue;
        };
        let size = || quantity::parse_bytes(value).ok_or_else(|| fail(format!("{option}: {value:?} is no size")));
        match option {
            "swap" if value == "none" => class.swap_bytes = 0,
            "swap" => class.swap_bytes = size()?,
            "evict" => class.eviction_hard_bytes = size()?,
            "bandwidth" => class.swap_bandwidth_bytes = size()?,
            "system" => class.system = Curve::constant(size()?),
            "cpu" => {
                class.cpu_millis = quantity::parse_millis(value)
                    .ok_or_else(|| fail(format!("cpu: {value:?} is no quantity such as 2 or 500m")))?;
            }
            "pods" => class.pods = value.parse().map_err(|_| fail(format!("pods: {value:?} is no number")))?,
            "version" => value.clone_into(&mut class.kubelet_version),
            "behavior" => {
                class.swap_behavior = Some(match value {
                    "NoSwap" => SwapBehavior::NoSwap,
                    "LimitedSwap" => SwapBehavior::LimitedSwap,
                    "Unlimited" => SwapBehavior::Unlimited,
                    _ => return Err(fail("behavior is NoSwap, LimitedSwap or Unlimited".to_owned())),
                });
            }
            "psi" => {
                class.psi = Some(match value {
                    "on" => PsiSupport::On,
                    "zero" => PsiSupport::Zero,
                    "absent" => PsiSupport::Absent,
                    _ => return Err(fail("psi is on, zero or absent".to_owned())),
                });
            }
            "label" => {
                let (key, value) = value.split_once('=').unwrap_or((value, ""));
                class.labels.insert(key.to_owned(), value.to_owned());
            }
            "taint" => {
                let (pair, effect) = value.rsplit_once('@').unwrap_or((value, "NoSchedule"));
                let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                let taint = NodeTaint { key: key.to_owned(), value: value.to_owned(), effect: effect.to_owned() };
                class.taints.push(taint);
            }
            _ => return Err(fail(format!("unknown option {option:?}"))),
        }
    }
    Ok(class)
}

/// A number or a quantity string in a file.
#[derive(Deserialize)]
#[serde(untagged)]
enum Scalar {
    Integer(i64),
    Number(f64),
    Text(String),
}

impl Scalar {
    fn text(self) -> String {
        match self {
            Self::Integer(value) => value.to_string(),
            Self::Number(value) => value.to_string(),
            Self::Text(text) => text,
        }
    }
}

fn bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let text = Scalar::deserialize(deserializer)?.text();
    quantity::parse_bytes(&text).ok_or_else(|| serde::de::Error::custom(format!("{text:?} is no size such as 1Gi")))
}

fn cpu<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let text = Scalar::deserialize(deserializer)?.text();
    quantity::parse_millis(&text).ok_or_else(|| serde::de::Error::custom(format!("{text:?} is no CPU quantity")))
}

fn curve<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Curve, D::Error> {
    Curve::parse(&Scalar::deserialize(deserializer)?.text()).map_err(serde::de::Error::custom)
}

fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let value = f64::deserialize(deserializer)?;
    Duration::try_from_secs_f64(value).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_command_line() {
        let text = "worker=3:1Gi:swap=2Gi:label=zone=a:taint=dedicated=db@NoExecute,big=1:2Gi:swap=none:cpu=500m:evict=100Mi:psi=zero";
        let config = HollowConfig::from_spec(text).unwrap();
        config.validate().unwrap();
        let [worker, big] = &config.nodes[..] else { panic!("two classes") };
        assert_eq!((worker.count, worker.memory_bytes, worker.swap_bytes), (3, 1 << 30, 2 << 30));
        assert_eq!(worker.behavior(), SwapBehavior::LimitedSwap);
        assert_eq!(worker.labels["zone"], "a");
        assert_eq!((&*worker.taints[0].key, &*worker.taints[0].effect), ("dedicated", "NoExecute"));
        assert_eq!((big.swap_bytes, big.cpu_millis, big.eviction_hard_bytes), (0, 500, 100 << 20));
        assert_eq!((big.behavior(), big.psi()), (SwapBehavior::NoSwap, PsiSupport::Zero));
    }

    #[test]
    fn names_what_is_wrong() {
        for (spec, part) in [
            ("worker", "NAME=COUNT"),
            ("worker=x:1Gi", "COUNT"),
            ("worker=1:1Gi:colour=red", "colour"),
            ("worker=1:much", "much"),
            ("worker=1:swap=2Gx", "swap"),
            ("worker=1:behavior=Some", "behavior"),
        ] {
            let error = HollowConfig::from_spec(spec).unwrap_err().to_string();
            assert!(error.contains(part), "{spec}: {error}");
        }
        for (spec, part) in [
            ("", "no nodes"),
            ("a=1,a=1", "twice"),
            ("A=1", "lower-case"),
            ("a=9000", "at most"),
            ("a=1:pods=5000", "pods"),
            ("a=1:64Mi:evict=100Mi", "evictionHard"),
        ] {
            let error = HollowConfig::from_spec(spec).unwrap().validate().unwrap_err().to_string();
            assert!(error.contains(part), "{spec}: {error}");
        }
    }

    #[test]
    fn reads_yaml_and_refuses_unknown_fields() {
        let yaml = "nodes:\n- {name: w, count: 2, memory: 1Gi, swap: 2Gi, cpuMillis: 1.5, system: '80Mi@0s,200Mi@60s', taints: [{key: a, effect: NoSchedule}]}\nleaseIntervalSeconds: 2.5\nserve: false\n";
        let config: HollowConfig = serde_saphyr::from_str(yaml).unwrap();
        assert_eq!((config.nodes[0].count, config.nodes[0].cpu_millis), (2, 1500));
        assert_eq!(config.lease_interval, Duration::from_millis(2500));
        assert!(serde_saphyr::from_str::<HollowConfig>("nodez: []").is_err());
    }

    #[test]
    fn old_kubelets_know_less() {
        let old = NodeClass { kubelet_version: "v1.33.2".to_owned(), ..NodeClass::default() };
        assert_eq!((old.psi(), old.pod_swap_in_short_summary()), (PsiSupport::Absent, false));
        assert!(NodeClass::default().pod_swap_in_short_summary());
    }
}
