//! Stories about hints by annotation: a Service whose endpoints are hinted to zones by the CPU of their nodes, which come,
//! go, fall silent and move, as pods do.
//!
//! Stock draws lots where two zones lack as much or have as many too many, and where two slices are given new hints at once.
//! Never does a story ask a question whose answer is such a lot ([`Plot::is_certain`]). Which endpoints of a zone are hinted
//! elsewhere is not compared. Nodes with pods on them stay, and stay where they are: of pods without a node stock speaks as
//! often as it tries again, and of the other zone of a node it learns late.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::generate::Rng;
use crate::stories::{Machine, Pick, Step};

const SERVICE: &str = "svc1";
const ZONES: [&str; 3] = ["z1", "z2", "z3"];
/// Label with a node's zone.
const ZONE: &str = "topology.kubernetes.io/zone";
/// The annotation, its older name first.
const MODES: [&str; 2] = ["service.kubernetes.io/topology-aware-hints", "service.kubernetes.io/topology-mode"];
/// So many nodes get pods, in turn.
const HOSTS: usize = 3;
/// Thousandths of a core. No two sums of a few are in a simple proportion.
const CPU: [u32; 6] = [1500, 2300, 3100, 4000, 5200, 7700];

/// What a story remembers.
#[derive(Debug, Clone)]
struct Plot {
    /// The first ones are those with pods.
    machines: Vec<Machine>,
    /// By the number of their address: which machine they are on, and whether they are ready.
    pods: BTreeMap<u32, (usize, bool)>,
    addresses: u32,
    /// Whether pods of two kinds stand in a slice each.
    parted: bool,
    steps: Vec<Step>,
}

/// The steps of a story.
pub(super) fn steps(rng: &mut Rng) -> Vec<Step> {
    let parted = rng.percent(30);
    loop {
        let mut plot = Plot::begin(rng, parted);
        if !plot.is_certain() {
            continue;
        }
        let length = plot.steps.len() + rng.between(4, 6);
        // Some changes would be a matter of chance.
        for _ in 0..30 {
            let mut next = plot.clone();
            next.go_on(rng);
            if next.is_certain() && plot.steps.len() < length {
                plot = next;
            }
        }
        return plot.steps;
    }
}

impl Plot {
    fn begin(rng: &mut Rng, parted: bool) -> Self {
        let three = !parted && rng.percent(50);
        let second = if three { "z2" } else { rng.pick(&["z1", "z2"]) };
        let third = if three { "z3" } else { "z2" };
        let hosts = ["z1", second, third];
        let mut plot = Self { machines: Vec::new(), pods: BTreeMap::new(), addresses: 0, parted, steps: Vec::new() };
        plot.machines.extend(hosts.iter().enumerate().map(|(i, zone)| machine(rng, i, zone)));
        // Others say something about the zones, and have no pods.
        if rng.percent(60) {
            let zone = rng.pick(&ZONES[..if three { 3 } else { 2 }]);
            plot.machines.push(machine(rng, HOSTS, zone));
        }
        if rng.percent(30) {
            plot.machines.push(Machine { control_plane: true, ..machine(rng, HOSTS + 1, "z4") });
        }
        plot.steps.push(Step::Machines(plot.machines.clone()));
        plot.pods("p", if parted { rng.between(6, 10) } else { rng.between(3, 14) }, 8080);
        let mut metadata = json!({"name": SERVICE});
        if parted || rng.percent(80) {
            metadata["annotations"][MODES[1]] = rng.pick(&["Auto", "auto"]).into();
        }
        plot.steps.push(Step::Create(json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata,
            "spec": {"selector": {"app": "crowd"}, "ports": [{"name": "web", "port": 80, "targetPort": "http"}]}})));
        plot
    }

    /// Pods come, in one step.
    fn pods(&mut self, stem: &str, count: usize, port: u16) {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let (stem, labels) = (stem.to_owned(), json!({"app": "crowd"}));
        self.steps.push(Step::Crowd { stem, count, labels, port });
        for address in self.addresses + 1..=self.addresses + count {
            // As the one who tells the story places them.
            self.pods.insert(address, (address as usize % HOSTS, true));
        }
        self.addresses += count;
    }

    fn go_on(&mut self, rng: &mut Rng) {
        let pods: Vec<u32> = self.pods.keys().copied().collect();
        let pod = rng.pick(&pods);
        match rng.below(if self.parted { 6 } else { 13 }) {
            0 | 1 => {
                let ready = self.pods.get(&pod).is_some_and(|(_, ready)| !ready);
                self.pods.entry(pod).and_modify(|(_, is)| *is = ready);
                self.steps.push(Step::Ready(Pick::Address(pod), ready));
            }
            2 if self.parted || pods.len() > 2 => {
                self.pods.remove(&pod);
                self.steps.push(Step::Remove(Pick::Address(pod), 0));
            }
            3..=5 => {
                let port = if self.parted { rng.pick(&[8080, 9090, 9090]) } else { 8080 };
                self.pods(&format!("x{}-", self.addresses), 1, port);
            }
            6 | 7 => {
                let at = rng.below(self.machines.len());
                let machine = &mut self.machines[at];
                machine.ready = !machine.ready;
                let status = if machine.ready { "True" } else { "False" };
                let conditions = json!({"conditions": [{"type": "Ready", "status": status}]});
                self.steps.push(Step::Status("Node".to_owned(), machine.name.clone(), conditions));
            }
            8 if self.machines.len() > HOSTS => {
                let machine = &mut self.machines[HOSTS];
                machine.zone = rng.pick(&["z1", "z2", ""]).to_owned();
                let zone = if machine.zone.is_empty() { Value::Null } else { json!(machine.zone) };
                let change = json!({"metadata": {"labels": {ZONE: zone}}});
                self.steps.push(Step::Patch("Node".to_owned(), machine.name.clone(), change));
            }
            9 if self.machines.len() > HOSTS => {
                let machine = self.machines.remove(HOSTS);
                self.steps.push(Step::Delete("Node".to_owned(), machine.name));
            }
            9 => {
                // Under a new name: the old one may have been taken and given back.
                let zone = rng.pick(&ZONES);
                let machine = machine(rng, HOSTS + 2 + self.steps.len(), zone);
                self.machines.push(machine.clone());
                self.steps.push(Step::Machines(vec![machine]));
            }
            10 => {
                let (key, mode) = (rng.pick(&MODES), rng.pick(&[Some("Auto"), Some("auto"), Some("Disabled"), None]));
                let change = json!({"metadata": {"annotations": {key: mode}}});
                self.steps.push(Step::Patch("Service".to_owned(), SERVICE.to_owned(), change));
            }
            11 => {
                let distribution = if rng.percent(70) { json!("PreferSameZone") } else { Value::Null };
                let change = json!({"spec": {"trafficDistribution": distribution}});
                self.steps.push(Step::Patch("Service".to_owned(), SERVICE.to_owned(), change));
            }
            _ => {
                let change = json!({"metadata": {"labels": {"team": rng.pick(&["red", "green"])}}});
                self.steps.push(Step::Patch("Service".to_owned(), SERVICE.to_owned(), change));
            }
        }
    }

    /// Whether no lot is drawn if all hints are given anew now. Those that are parted have hints all the time: if two slices
    /// were without, it were chance which of them begins.
    fn is_certain(&self) -> bool {
        let Some((mut over, mut under)) = self.apart() else { return !self.parted };
        while let (Some(give), Some(receive)) = (largest(&over), largest(&under)) {
            let (most, least) = (over[give].max(under[receive]), over[give].min(under[receive]));
            if most < 1.0 || least < 0.5 {
                break;
            }
            if is_tied(&over, give) || is_tied(&under, receive) {
                return false;
            }
            over[give] -= 1.0;
            under[receive] -= 1.0;
        }
        true
    }

    /// How many endpoints zones have too many, and how many others lack, when each endpoint stays in its own; none when there
    /// will be no hints.
    fn apart(&self) -> Option<(Vec<f64>, Vec<f64>)> {
        let mut cpu: BTreeMap<&str, u32> = BTreeMap::new();
        for machine in self.machines.iter().filter(|machine| machine.ready && !machine.control_plane) {
            *cpu.entry(&machine.zone).or_default() += machine.cpu;
        }
        let total: u32 = cpu.values().sum();
        let zones = self.pods.values().filter(|(_, ready)| *ready).map(|(host, _)| &*self.machines[*host].zone);
        let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
        zones.for_each(|zone| *counts.entry(zone).or_default() += 1);
        let ready: u32 = counts.values().sum();
        if cpu.contains_key("") || cpu.len() < 2 || cpu.len() > ready as usize {
            return None;
        }
        let (mut over, mut under, mut fewest) = (Vec::new(), Vec::new(), 0.0);
        for (zone, cpu) in cpu {
            let part = f64::from(cpu) / f64::from(total) * f64::from(ready);
            let minimum = (part * (1.0 / 1.2)).ceil();
            fewest += minimum;
            let apart = f64::from(counts.get(zone).copied().unwrap_or_default()) - part.max(minimum);
            if apart > 0.0 { over.push(apart) } else { under.push(-apart) }
        }
        (fewest <= f64::from(ready)).then_some((over, under))
    }
}

/// Where the largest number stands.
fn largest(numbers: &[f64]) -> Option<usize> {
    (0..numbers.len()).max_by(|a, b| numbers[*a].total_cmp(&numbers[*b]))
}

/// Whether another number is as large as this one.
fn is_tied(numbers: &[f64], at: usize) -> bool {
    numbers.iter().filter(|number| (**number - numbers[at]).abs() < 1e-9).count() > 1
}

fn machine(rng: &mut Rng, number: usize, zone: &str) -> Machine {
    let name = format!("n{}", number + 1);
    Machine { name, zone: zone.to_owned(), cpu: rng.pick(&CPU), ready: true, control_plane: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plot(zones: [&str; 3], cpu: [u32; 3], pods: u32, parted: bool) -> Plot {
        let machines = zones.iter().zip(cpu).enumerate();
        let machines = machines.map(|(i, (zone, cpu))| Machine { cpu, ..machine(&mut Rng::new(0), i, zone) }).collect();
        let pods = (1..=pods).map(|address| (address, (address as usize % HOSTS, true))).collect();
        Plot { machines, pods, addresses: 0, parted, steps: Vec::new() }
    }

    #[test]
    fn lots_are_seen() {
        assert!(plot(["z1", "z1", "z2"], [1000, 1000, 4000], 9, false).is_certain(), "two zones");
        assert!(plot(["z1", "z2", "z3"], [1000, 1000, 1000], 9, false).is_certain(), "nothing moves");
        assert!(!plot(["z1", "z2", "z3"], [1000, 1000, 4000], 18, false).is_certain(), "two have as many too many");
        let refused = |parted| plot(["z1", "z1", "z2"], [1000, 1000, 2000], 3, parted).is_certain();
        assert!(refused(false) && !refused(true));
    }

    #[test]
    fn stories_are_certain_to_their_end() {
        let mut parted = 0;
        for seed in 0..200 {
            let steps = steps(&mut Rng::new(seed));
            let [Step::Machines(machines), Step::Crowd { .. }, Step::Create(_), rest @ ..] = &steps[..] else {
                panic!("{steps:?}");
            };
            assert!(machines.len() >= HOSTS && (3..=6).contains(&rest.len()), "seed {seed}: {steps:?}");
            parted += usize::from(rest.iter().any(|step| matches!(step, Step::Crowd { port: 9090, .. })));
        }
        assert!(parted > 20, "{parted}");
    }
}
