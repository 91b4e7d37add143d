//! A pod's specification, reduced to what the simulation needs.

use std::collections::BTreeMap;

use crate::memory_model::{Curve, Qos, SwapSubject, parse_duration};
use crate::quantity::{parse_millis, parse_units};
use crate::time::Millis;
use crate::wire::{CONFIG_SOURCE, ContainerWire, MIRROR, PREFIX, PodWire, ResourcesWire};

/// Priority from which a pod is critical for the kubelet.
const CRITICAL_PRIORITY: i64 = 2_000_000_000;
/// Memory of a container without a request.
const DEFAULT_MEMORY: u64 = 32 << 20;
/// Share of its request that a container uses unless told otherwise.
const DEFAULT_SHARE: f64 = 0.6;
/// Share of a container's memory that is hot unless told otherwise.
const DEFAULT_HOT: f64 = 0.5;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RestartPolicy {
    Always,
    OnFailure,
    Never,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Runs to its end before the next one starts.
    Init,
    /// An init container with restartPolicy Always.
    Sidecar,
    App,
}

#[derive(Debug, Clone)]
pub(crate) struct ContainerDigest {
    pub(crate) name: String,
    pub(crate) image: String,
    pub(crate) kind: Kind,
    /// Memory request in bytes, 0 for none.
    pub(crate) request: u64,
    pub(crate) limit: Option<u64>,
}

/// Amounts by resource name: CPU in millicores, everything else in whole units.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Amounts(pub(crate) BTreeMap<String, i64>);

impl Amounts {
    fn of(list: Option<&BTreeMap<String, String>>) -> Self {
        let parse = |name: &str, text: &str| if name == "cpu" { parse_millis(text) } else { parse_units(text) };
        let entry = |(name, text): (&String, &String)| parse(name, text).map(|v| (name.clone(), v.max(0)));
        Self(list.into_iter().flatten().filter_map(entry).collect())
    }

    /// Requests of a container; what is only limited is requested as well.
    fn requested(resources: Option<&ResourcesWire>) -> Self {
        let mut all = Self::of(resources.and_then(|r| r.limits.as_ref()));
        all.0.extend(Self::of(resources.and_then(|r| r.requests.as_ref())).0);
        all
    }

    /// One amount from its quantity; what cannot be read counts as nothing.
    pub(crate) fn set(&mut self, name: &str, quantity: &str) {
        self.0.insert(name.to_owned(), parse_units(quantity).unwrap_or(0).max(0));
    }

    pub(crate) fn get(&self, name: &str) -> i64 {
        self.0.get(name).copied().unwrap_or(0)
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (name, amount) in &other.0 {
            let entry = self.0.entry(name.clone()).or_default();
            *entry = entry.saturating_add(*amount);
        }
    }

    pub(crate) fn subtract(&mut self, other: &Self) {
        for (name, amount) in &other.0 {
            let entry = self.0.entry(name.clone()).or_default();
            *entry = entry.saturating_sub(*amount).max(0);
        }
    }

    fn max(&mut self, other: &Self) {
        for (name, amount) in &other.0 {
            let entry = self.0.entry(name.clone()).or_default();
            *entry = (*entry).max(*amount);
        }
    }
}

/// The annotations `hollow.headroom.dev/...`; `None` is the simulation's default.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Knobs {
    /// `memory`: curve of the whole pod.
    pub(crate) memory: Option<Curve>,
    /// `memory.CONTAINER`: curve of one container.
    pub(crate) container_memory: BTreeMap<String, Curve>,
    /// `hot-fraction`.
    pub(crate) hot: Option<f64>,
    /// `cpu`: CPU use in millicores.
    pub(crate) cpu_millis: Option<i64>,
    /// `run-seconds`: how long app containers run before they exit.
    pub(crate) run: Option<Millis>,
    /// `work-seconds`: how long app containers run before they exit, longer where they wait for memory.
    pub(crate) work: Option<Millis>,
    /// `exit-code` of app containers that end by themselves.
    pub(crate) exit_code: i32,
    /// `init-seconds`, `start-seconds`, `ready-seconds`, `stop-seconds`.
    pub(crate) init: Option<Millis>,
    pub(crate) start: Option<Millis>,
    pub(crate) ready: Option<Millis>,
    pub(crate) stop: Option<Millis>,
    /// Annotations that could not be read, and are ignored.
    pub(crate) bad: Vec<String>,
}

impl Knobs {
    pub(crate) fn read(annotations: Option<&BTreeMap<String, String>>) -> Self {
        let mut knobs = Self::default();
        for (key, value) in annotations.into_iter().flatten() {
            let Some(name) = key.strip_prefix(PREFIX) else { continue };
            if knobs.set(name, value).is_none() {
                knobs.bad.push(format!("{key}: {value:?}"));
            }
        }
        knobs
    }

    fn set(&mut self, name: &str, value: &str) -> Option<()> {
        match name {
            "memory" => self.memory = Some(Curve::parse(value).ok()?),
            "hot-fraction" => self.hot = Some(value.parse().ok().filter(|hot| (0.0..=1.0).contains(hot))?),
            "cpu" => self.cpu_millis = Some(parse_millis(value).filter(|cpu| *cpu >= 0)?),
            "run-seconds" => self.run = Some(parse_duration(value)?),
            "work-seconds" => self.work = Some(parse_duration(value)?),
            "exit-code" => self.exit_code = value.parse().ok()?,
            "init-seconds" => self.init = Some(parse_duration(value)?),
            "start-seconds" => self.start = Some(parse_duration(value)?),
            "ready-seconds" => self.ready = Some(parse_duration(value)?),
            "stop-seconds" => self.stop = Some(parse_duration(value)?),
            _ => {
                let container = name.strip_prefix("memory.")?;
                self.container_memory.insert(container.to_owned(), Curve::parse(value).ok()?);
            }
        }
        Some(())
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Digest {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) uid: String,
    pub(crate) generation: Option<i64>,
    pub(crate) restart: RestartPolicy,
    pub(crate) host_network: bool,
    pub(crate) priority: i64,
    pub(crate) critical: bool,
    pub(crate) qos: Qos,
    /// Init containers in their order, then the others.
    pub(crate) containers: Vec<ContainerDigest>,
    /// What admission counts.
    pub(crate) requests: Amounts,
    /// The longest `sleep` of the preStop hooks of what runs when the pod is deleted.
    pub(crate) pre_stop: Millis,
    pub(crate) knobs: Knobs,
}

impl Digest {
    pub(crate) fn new(pod: &PodWire) -> Self {
        let spec = &pod.spec;
        let annotations = pod.metadata.annotations.as_ref();
        let annotated = |key: &str| annotations.and_then(|a| a.get(key));
        let inits = spec.init_containers.as_deref().unwrap_or_default();
        let apps = spec.containers.as_deref().unwrap_or_default();
        let kind = |c: &ContainerWire| match c.restart_policy.as_deref() {
            Some("Always") => Kind::Sidecar,
            _ => Kind::Init,
        };
        let containers =
            inits.iter().map(|c| container(c, kind(c))).chain(apps.iter().map(|c| container(c, Kind::App))).collect();
        let priority = spec.priority.unwrap_or(0);
        Self {
            namespace: pod.metadata.namespace.clone().unwrap_or_default(),
            name: pod.metadata.name.clone().unwrap_or_default(),
            uid: pod.metadata.uid.clone().unwrap_or_default(),
            generation: pod.metadata.generation,
            restart: match spec.restart_policy.as_deref() {
                Some("Never") => RestartPolicy::Never,
                Some("OnFailure") => RestartPolicy::OnFailure,
                _ => RestartPolicy::Always,
            },
            host_network: spec.host_network.unwrap_or(false),
            priority,
            critical: priority >= CRITICAL_PRIORITY
                || annotated(MIRROR).is_some()
                || annotated(CONFIG_SOURCE).is_some_and(|source| source != "api"),
            qos: qos(pod, inits.iter().chain(apps)),
            containers,
            requests: requests(pod, inits, apps),
            pre_stop: inits
                .iter()
                .filter(|c| kind(c) == Kind::Sidecar)
                .chain(apps)
                .map(|c| c.pre_stop_sleep().saturating_mul(1000))
                .max()
                .unwrap_or(0),
            knobs: Knobs::read(annotations),
        }
    }

    /// What the LimitedSwap rule looks at for one container.
    pub(crate) fn swap_subject(&self, container: &ContainerDigest) -> SwapSubject {
        SwapSubject { qos: self.qos, critical: self.critical, request: container.request, limit: container.limit }
    }

    /// The kernel's `oom_score_adj` for one container, as the kubelet sets it.
    pub(crate) fn oom_score_adj(&self, container: &ContainerDigest, ram: u64) -> i64 {
        if self.critical {
            return -997;
        }
        match self.qos {
            Qos::Guaranteed => -997,
            Qos::BestEffort => 1000,
            Qos::Burstable => {
                let share = u128::from(container.request) * 1000 / u128::from(ram.max(1));
                (1000 - i64::try_from(share).unwrap_or(i64::MAX).min(1000)).clamp(3, 999)
            }
        }
    }

    /// Memory curve of a container: its own annotation, else its part of `pod_curve` (by request, else in equal
    /// parts), else a share of its request.
    pub(crate) fn curve(&self, index: usize, pod_curve: Option<&Curve>) -> Curve {
        let Some(container) = self.containers.get(index) else { return Curve::constant(0) };
        if let Some(own) = self.knobs.container_memory.get(&container.name) {
            return own.clone();
        }
        if container.kind == Kind::App
            && let Some(whole) = pod_curve
        {
            let apps = || self.containers.iter().filter(|c| c.kind == Kind::App);
            let total: u64 = apps().map(|c| c.request).fold(0, u64::saturating_add);
            let share =
                if total > 0 { container.request as f64 / total as f64 } else { 1.0 / apps().count().max(1) as f64 };
            return whole.scaled(share);
        }
        Curve::constant(match container.request {
            0 => DEFAULT_MEMORY,
            request => (request as f64 * DEFAULT_SHARE) as u64,
        })
    }

    pub(crate) fn hot(&self) -> f64 {
        self.knobs.hot.unwrap_or(DEFAULT_HOT)
    }

    /// Sum of the memory requests of what runs together, in bytes (for eviction's ranking).
    pub(crate) fn memory_request(&self) -> u64 {
        u64::try_from(self.requests.get("memory")).unwrap_or(0)
    }
}

fn container(c: &ContainerWire, kind: Kind) -> ContainerDigest {
    let requests = Amounts::requested(c.resources.as_ref());
    let limits = Amounts::of(c.resources.as_ref().and_then(|r| r.limits.as_ref()));
    ContainerDigest {
        name: c.name.clone(),
        image: c.image.clone().unwrap_or_default(),
        kind,
        request: u64::try_from(requests.get("memory")).unwrap_or(0),
        limit: limits.0.get("memory").and_then(|&l| u64::try_from(l).ok()).filter(|&l| l > 0),
    }
}

/// The API server's class, or the same rule where the status does not carry it.
fn qos<'a>(pod: &PodWire, containers: impl Iterator<Item = &'a ContainerWire>) -> Qos {
    match pod.status.qos_class.as_deref() {
        Some("Guaranteed") => return Qos::Guaranteed,
        Some("Burstable") => return Qos::Burstable,
        Some("BestEffort") => return Qos::BestEffort,
        _ => {}
    }
    let (mut any, mut all) = (false, true);
    for c in containers {
        let requests = Amounts::requested(c.resources.as_ref());
        let limits = Amounts::of(c.resources.as_ref().and_then(|r| r.limits.as_ref()));
        for name in ["cpu", "memory"] {
            any |= requests.get(name) > 0 || limits.get(name) > 0;
            all &= limits.get(name) > 0 && limits.get(name) == requests.get(name);
        }
    }
    match (any, all) {
        (false, _) => Qos::BestEffort,
        (true, true) => Qos::Guaranteed,
        (true, false) => Qos::Burstable,
    }
}

/// Upstream's pod request: sum of apps and sidecars, at least what each init container needs beside the sidecars
/// started before it; pod-level requests replace CPU and memory; overhead on top.
fn requests(pod: &PodWire, inits: &[ContainerWire], apps: &[ContainerWire]) -> Amounts {
    let mut total = Amounts::default();
    for c in apps {
        total.add(&Amounts::requested(c.resources.as_ref()));
    }
    let (mut sidecars, mut peak) = (Amounts::default(), Amounts::default());
    for c in inits {
        let own = Amounts::requested(c.resources.as_ref());
        let mut now = sidecars.clone();
        now.add(&own);
        if c.restart_policy.as_deref() == Some("Always") {
            total.add(&own);
            sidecars = now.clone();
        }
        peak.max(&now);
    }
    total.max(&peak);
    if pod.spec.resources.is_some() {
        let level = Amounts::requested(pod.spec.resources.as_ref());
        total.0.extend(level.0.into_iter().filter(|(name, _)| name == "cpu" || name == "memory"));
    }
    total.add(&Amounts::of(pod.spec.overhead.as_ref()));
    total
}
