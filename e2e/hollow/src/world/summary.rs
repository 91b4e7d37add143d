//! `/stats/summary` of one node: the kubelet's `stats/v1alpha1` types, in its field names and order of magnitude.

use std::sync::Arc;

use serde::Serialize;

use super::{Node, Pod, World};
use crate::config::{NodeClass, PsiSupport};
use crate::memory_model::{Line, Owner, Psi, SwapAllowance, Usage, swap_allowance};
use crate::time::{Millis, rfc3339};

/// So long a container's figures come from the runtime: swap 0 of 0, PSI totals in nanoseconds (10 to 20 s measured).
const RUNTIME_STATS: Millis = 15_000;
/// CPU that a container uses unless told otherwise, and that everything outside pods uses.
const DEFAULT_CPU_MILLIS: i64 = 1;
const SYSTEM_CPU_MILLIS: i64 = 50;
/// Memory of the kubelet, at most.
const KUBELET_MEMORY: u64 = 80 << 20;
const DISK: u64 = 20 << 30;

#[derive(Debug, Clone, Serialize)]
pub(crate) struct Summary {
    pub(crate) node: NodeStats,
    pub(crate) pods: Vec<PodStats>,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct NodeStats {
    node_name: String,
    system_containers: Vec<ContainerStats>,
    start_time: String,
    cpu: Cpu,
    memory: Memory,
    #[serde(skip_serializing_if = "Option::is_none")]
    io: Option<Io>,
    pub(crate) swap: Swap,
    #[serde(skip_serializing_if = "Option::is_none")]
    fs: Option<Fs>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rlimit: Option<Rlimit>,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PodStats {
    pub(crate) pod_ref: PodRef,
    start_time: String,
    pub(crate) containers: Vec<ContainerStats>,
    cpu: Cpu,
    memory: Memory,
    #[serde(skip_serializing_if = "Option::is_none")]
    io: Option<Io>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) swap: Option<Swap>,
    #[serde(rename = "ephemeral-storage", skip_serializing_if = "Option::is_none")]
    ephemeral_storage: Option<Fs>,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct PodRef {
    pub(crate) name: String,
    pub(crate) namespace: String,
    pub(crate) uid: String,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ContainerStats {
    name: String,
    start_time: String,
    cpu: Cpu,
    pub(crate) memory: Memory,
    #[serde(skip_serializing_if = "Option::is_none")]
    io: Option<Io>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) swap: Option<Swap>,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Cpu {
    time: String,
    usage_nano_cores: u64,
    usage_core_nano_seconds: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    psi: Option<PsiStats>,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Memory {
    time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    available_bytes: Option<u64>,
    usage_bytes: u64,
    pub(crate) working_set_bytes: u64,
    rss_bytes: u64,
    page_faults: u64,
    major_page_faults: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    psi: Option<PsiStats>,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Swap {
    time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) swap_available_bytes: Option<u64>,
    pub(crate) swap_usage_bytes: u64,
}

#[derive(Debug, Clone, Serialize)]
struct Io {
    time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    psi: Option<PsiStats>,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Fs {
    time: String,
    available_bytes: u64,
    capacity_bytes: u64,
    used_bytes: u64,
    inodes_free: u64,
    inodes: u64,
    inodes_used: u64,
}

#[derive(Debug, Clone, Serialize)]
struct Rlimit {
    time: String,
    maxpid: i64,
    curproc: i64,
}

#[derive(Debug, Clone, Copy, Serialize)]
struct PsiStats {
    full: PsiLine,
    some: PsiLine,
}

#[derive(Debug, Clone, Copy, Serialize)]
struct PsiLine {
    total: u64,
    avg10: f64,
    avg60: f64,
    avg300: f64,
}

impl World {
    /// The summary of a node, at most as old as the sample interval; `None` when there is no such node.
    pub(crate) fn summary(&mut self, index: usize, short: bool, now: Millis) -> Option<Arc<Summary>> {
        let fresh = |at: Millis| now.saturating_sub(at) < self.sample_interval;
        // Only the short form is asked for often; the full one is made anew each time.
        if short
            && let Some((at, sample)) = &self.nodes.get(index)?.sample
            && fresh(*at)
        {
            return Some(sample.clone());
        }
        let summary = Arc::new(self.build_summary(index, short, now)?);
        if short {
            self.nodes.get_mut(index)?.sample = Some((now, summary.clone()));
        }
        Some(summary)
    }

    fn build_summary(&self, index: usize, short: bool, now: Millis) -> Option<Summary> {
        let node = self.nodes.get(index)?;
        let builder = Builder { class: &node.class, now, short };
        let mut keys: Vec<u64> = node.pods.iter().copied().collect();
        keys.sort_unstable();
        let pods: Vec<(PodStats, Total)> =
            keys.iter().filter_map(|key| builder.pod(*key, self.pods.get(key)?, node)).collect();
        let total = pods.iter().fold(Total::default(), |sum, (_, total)| sum.plus(total));
        let pods = pods.into_iter().map(|(stats, _)| stats).collect();
        Some(Summary { node: builder.node(node, &total), pods })
    }
}

/// Sum over the containers of a pod, or over all pods.
#[derive(Debug, Default)]
struct Total {
    usage: Usage,
    cpu_millis: i64,
    cpu_nanos: u64,
    limit: Option<u64>,
}

impl Total {
    fn plus(mut self, other: &Self) -> Self {
        self.add(&other.usage, other.cpu_millis, other.cpu_nanos);
        self
    }

    fn add(&mut self, usage: &Usage, cpu_millis: i64, cpu_nanos: u64) {
        self.usage.resident = self.usage.resident.saturating_add(usage.resident);
        self.usage.swapped = self.usage.swapped.saturating_add(usage.swapped);
        self.usage.page_faults = self.usage.page_faults.saturating_add(usage.page_faults);
        self.usage.major_faults = self.usage.major_faults.saturating_add(usage.major_faults);
        // A group is stalled about as much as its worst member.
        if usage.psi.some.total_us > self.usage.psi.some.total_us {
            self.usage.psi = usage.psi;
        }
        self.cpu_millis = self.cpu_millis.saturating_add(cpu_millis);
        self.cpu_nanos = self.cpu_nanos.saturating_add(cpu_nanos);
    }
}

struct Builder<'a> {
    class: &'a NodeClass,
    now: Millis,
    short: bool,
}

impl Builder<'_> {
    fn time(&self) -> String {
        rfc3339(self.now)
    }

    fn node(&self, node: &Node, pods: &Total) -> NodeStats {
        let usage = node.memory.node();
        let up = self.now.saturating_sub(node.started);
        let system = node.memory.system();
        let cpu_millis = pods.cpu_millis.saturating_add(SYSTEM_CPU_MILLIS);
        let cpu_nanos = pods.cpu_nanos.saturating_add(cpu_nanos(SYSTEM_CPU_MILLIS, up));
        let mut memory = self.memory(&usage, Some(self.class.memory_bytes), false);
        // The root cgroup's usage includes page cache that the working set does not.
        memory.usage_bytes =
            memory.usage_bytes.saturating_add(self.class.memory_bytes / 10).min(self.class.memory_bytes);
        let kubelet =
            Usage { resident: system.resident.min(KUBELET_MEMORY), swapped: 0, psi: Psi::default(), ..system };
        let part = |name: &str, usage: &Usage, ram: Option<u64>, cpu: i64, nanos: u64| ContainerStats {
            name: name.to_owned(),
            start_time: rfc3339(node.started),
            cpu: self.cpu(cpu, nanos, up, false),
            memory: self.memory(usage, ram, false),
            io: self.io(&usage.psi),
            swap: Some(Swap { time: self.time(), swap_available_bytes: None, swap_usage_bytes: usage.swapped }),
        };
        NodeStats {
            node_name: node.name.clone(),
            system_containers: vec![
                part("pods", &pods.usage, Some(self.class.memory_bytes), pods.cpu_millis, pods.cpu_nanos),
                part("kubelet", &kubelet, None, SYSTEM_CPU_MILLIS / 2, cpu_nanos / 2),
            ],
            start_time: rfc3339(node.started),
            cpu: self.cpu(cpu_millis, cpu_nanos, up, false),
            memory,
            io: self.io(&usage.psi),
            swap: Swap {
                time: self.time(),
                swap_available_bytes: Some(self.class.swap_bytes.saturating_sub(usage.swapped)),
                swap_usage_bytes: usage.swapped,
            },
            fs: self.fs(DISK / 4),
            rlimit: (!self.short).then(|| Rlimit { time: self.time(), maxpid: 32768, curproc: 120 }),
        }
    }

    fn pod(&self, key: u64, pod: &Pod, node: &Node) -> Option<(PodStats, Total)> {
        let mut total = Total { limit: Some(0), ..Total::default() };
        let mut containers = Vec::with_capacity(pod.digest.containers.len());
        let cpu_millis = pod.digest.knobs.cpu_millis.unwrap_or(DEFAULT_CPU_MILLIS);
        for (index, spec) in pod.digest.containers.iter().enumerate() {
            let owner = Owner { pod: key, container: u16::try_from(index).ok()? };
            let Some(usage) = node.memory.container(owner) else { continue };
            let age = self.now.saturating_sub(usage.started);
            let young = age < RUNTIME_STATS;
            let nanos = cpu_nanos(cpu_millis, age);
            total.add(&usage, cpu_millis, nanos);
            total.limit = total.limit.zip(spec.limit).map(|(sum, limit)| sum.saturating_add(limit));
            let (ram, swap) = (self.class.memory_bytes, self.class.swap_bytes);
            let allowance = swap_allowance(self.class.behavior(), ram, swap, pod.digest.swap_subject(spec));
            containers.push(ContainerStats {
                name: spec.name.clone(),
                start_time: rfc3339(usage.started),
                cpu: self.cpu(cpu_millis, nanos, age, young),
                memory: self.memory(&usage, spec.limit, young),
                io: self.io(&usage.psi),
                swap: self.pod_swap().then(|| self.container_swap(&usage, allowance, young)),
            });
        }
        if containers.is_empty() {
            return None;
        }
        let age = self.now.saturating_sub(pod.machine.start_time);
        let stats = PodStats {
            pod_ref: PodRef {
                name: pod.digest.name.clone(),
                namespace: pod.digest.namespace.clone(),
                uid: pod.digest.uid.clone(),
            },
            start_time: rfc3339(pod.machine.start_time),
            containers,
            cpu: self.cpu(total.cpu_millis, total.cpu_nanos, age, false),
            memory: self.memory(&total.usage, total.limit, false),
            io: self.io(&total.usage.psi),
            swap: self.pod_swap().then(|| Swap {
                time: self.time(),
                swap_available_bytes: None,
                swap_usage_bytes: total.usage.swapped,
            }),
            ephemeral_storage: self.fs(64 << 10),
        };
        Some((stats, total))
    }

    /// Old kubelets forget swap of pods and containers in the short form.
    fn pod_swap(&self) -> bool {
        !self.short || self.class.pod_swap_in_short_summary()
    }

    fn container_swap(&self, usage: &Usage, allowance: SwapAllowance, young: bool) -> Swap {
        let time = self.time();
        match allowance {
            _ if young => Swap { time, swap_available_bytes: Some(0), swap_usage_bytes: 0 },
            SwapAllowance::Limited(limit) => Swap {
                time,
                swap_available_bytes: Some(limit.saturating_sub(usage.swapped)),
                swap_usage_bytes: usage.swapped,
            },
            SwapAllowance::Unlimited => Swap { time, swap_available_bytes: None, swap_usage_bytes: usage.swapped },
        }
    }

    fn memory(&self, usage: &Usage, limit: Option<u64>, young: bool) -> Memory {
        Memory {
            time: self.time(),
            available_bytes: limit.map(|limit| limit.saturating_sub(usage.resident)),
            usage_bytes: usage.resident,
            working_set_bytes: usage.resident,
            rss_bytes: usage.resident / 100 * 98,
            page_faults: usage.page_faults,
            major_page_faults: usage.major_faults,
            psi: self.psi(&usage.psi, young),
        }
    }

    fn cpu(&self, millis: i64, nanos: u64, age: Millis, young: bool) -> Cpu {
        // A working kernel always has a little CPU pressure; none at all is the sign of one without PSI.
        let line = |percent: f64| Line { avg: [percent; 3], total_us: age as f64 * 10.0 * percent };
        let psi = Psi { some: line(0.4), full: line(0.3) };
        Cpu {
            time: self.time(),
            usage_nano_cores: u64::try_from(millis).unwrap_or(0).saturating_mul(1_000_000),
            usage_core_nano_seconds: nanos,
            psi: self.psi(&psi, young),
        }
    }

    fn io(&self, psi: &Psi) -> Option<Io> {
        (!self.short).then(|| Io { time: self.time(), psi: self.psi(psi, false) })
    }

    fn fs(&self, used: u64) -> Option<Fs> {
        (!self.short).then(|| Fs {
            time: self.time(),
            available_bytes: DISK.saturating_sub(used),
            capacity_bytes: DISK,
            used_bytes: used,
            inodes_free: 1_200_000,
            inodes: 1_310_720,
            inodes_used: 110_720,
        })
    }

    fn psi(&self, psi: &Psi, young: bool) -> Option<PsiStats> {
        let unit = if young { 1000.0 } else { 1.0 };
        let line = |line: &Line| PsiLine {
            total: (line.total_us * unit) as u64,
            avg10: hundredths(line.avg[0]),
            avg60: hundredths(line.avg[1]),
            avg300: hundredths(line.avg[2]),
        };
        match self.class.psi() {
            PsiSupport::Absent => None,
            PsiSupport::On => Some(PsiStats { full: line(&psi.full), some: line(&psi.some) }),
            PsiSupport::Zero => {
                let zero = line(&Line::default());
                Some(PsiStats { full: zero, some: zero })
            }
        }
    }
}

/// The kernel prints two digits.
fn hundredths(percent: f64) -> f64 {
    (percent * 100.0).round() / 100.0
}

fn cpu_nanos(millis: i64, age: Millis) -> u64 {
    u64::try_from(millis).unwrap_or(0).saturating_mul(age).saturating_mul(1_000)
}
