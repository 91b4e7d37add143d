//! Who does what in a cluster, as far as it shows. Pure: a function of objects and a time.

use std::collections::BTreeMap;

use headroom_core::Timestamp;
use headroom_runtime::wire::time::parse_rfc3339;
use serde_json::Value;

use super::configuration::ConfigFile;
use super::{Distribution, managed, of_kind, ours::Ours, read::ReadAs, record::Record, text};
use crate::doctor::{Look, NodeFacts, Program, State, cut, flag, is_server_of_k3s, schedulers};

/// A lease that was renewed so many seconds ago, or less, is held.
const FRESH: u64 = 60;
/// The stock scheduler's lease, and ours in primary.
pub(crate) const SCHEDULER_LEASE: &str = "kube-scheduler";
/// That of ours in shadow and secondary.
pub(crate) const OUR_LEASE: &str = "headroom-scheduler";
/// That of our controllers.
pub(crate) const CONTROLLERS_LEASE: &str = "headroom-controllers";
/// That of the stock controller manager.
pub(crate) const MANAGER_LEASE: &str = "kube-controller-manager";
/// What the scheduler is called in sightings.
pub(crate) const SCHEDULER: &str = "scheduler";
/// Labels of nodes with a control plane.
const ROLES: [&str; 2] = ["node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master"];

/// Who does something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Who {
    Ours,
    Stock,
}

/// Whose program it is, by its name in `managedFields`: the first part of its user agent.
pub(crate) fn whose(manager: &str) -> Option<Who> {
    match manager {
        "headroom-scheduler" | "headroom-controllers" => Some(Who::Ours),
        "kube-scheduler" | "kube-controller-manager" | "k3s" | "kubelite" | "rke2" => Some(Who::Stock),
        _ => None,
    }
}

/// A lease.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LeaseFacts {
    pub(crate) holder: String,
    pub(crate) renewed: Option<Timestamp>,
    /// The program that renewed it last.
    pub(crate) renewer: String,
}

impl LeaseFacts {
    /// From a Lease.
    pub(crate) fn from_object(lease: &Value) -> Self {
        let fields = lease.pointer("/metadata/managedFields").and_then(Value::as_array).into_iter().flatten();
        let renews = |entry: &&Value| entry.pointer("/fieldsV1/f:spec/f:renewTime").is_some();
        Self {
            holder: cut(text(lease, "/spec/holderIdentity")),
            renewed: parse_rfc3339(text(lease, "/spec/renewTime")),
            renewer: cut(fields.filter(renews).map(|entry| text(entry, "/manager")).next().unwrap_or_default()),
        }
    }

    /// Who holds it now, if anybody of ours or stock's does.
    pub(crate) fn held_by(&self, at: Timestamp) -> Option<Who> {
        let renewed = self.renewed.filter(|_| !self.holder.is_empty())?;
        // A clock that is behind the API server's is as good as one that is ahead.
        let apart = at.since(renewed).max(renewed.since(at)).as_secs();
        whose(&self.renewer).filter(|_| apart <= FRESH)
    }
}

/// Somebody was seen at work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sighting {
    /// The loop, or [`SCHEDULER`].
    pub(crate) what: String,
    pub(crate) who: Who,
    pub(crate) manager: String,
    /// What was written: `Endpoints shop/web`.
    pub(crate) object: String,
    pub(crate) at: Timestamp,
}

/// What is read of a cluster, as it comes from the API server.
#[derive(Debug, Default)]
pub(crate) struct Raw {
    /// Nodes, pods and some events, each with its kind.
    pub(crate) cluster: Vec<Value>,
    /// The leases in kube-system.
    pub(crate) leases: Vec<Value>,
    pub(crate) deployments: Vec<Value>,
    /// The ConfigMap that has the configuration of our scheduler.
    pub(crate) configuration: Option<Value>,
    pub(crate) kubeadm: Option<Value>,
    pub(crate) k0s: Option<Value>,
    pub(crate) record: Option<Value>,
    /// Metadata of what loops write, and of events of bindings, each with its kind.
    pub(crate) written: Vec<Value>,
}

/// A cluster.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) state: State,
    pub(crate) at: Timestamp,
    pub(crate) distribution: Distribution,
    /// What shows the distribution.
    pub(crate) because: String,
    /// Somebody else runs the control plane.
    pub(crate) managed: Option<&'static str>,
    /// Nodes with a control plane.
    pub(crate) servers: Vec<String>,
    pub(crate) leases: BTreeMap<String, LeaseFacts>,
    pub(crate) scheduler: Option<Ours>,
    pub(crate) configuration: Option<ConfigFile>,
    pub(crate) controllers: Option<Ours>,
    /// kubeadm's ClusterConfiguration.
    pub(crate) cluster_configuration: Option<String>,
    /// `--controllers` in k0s' ClusterConfig, if that is an object of the cluster: empty when it says nothing.
    pub(crate) k0s_controllers: Option<String>,
    /// All that stands there, as words of a command line.
    pub(crate) k0s_arguments: Option<Vec<String>>,
    /// What stands there for the scheduler.
    pub(crate) k0s_scheduler: Option<Vec<String>>,
    pub(crate) record: Record,
    pub(crate) read_as: ReadAs,
    /// The last of each loop and of each party.
    pub(crate) sightings: Vec<Sighting>,
}

impl Facts {
    /// From what was read at a time.
    pub(crate) fn new(raw: Raw, at: Timestamp) -> Self {
        let (distribution, because) = Distribution::detect(&raw.cluster, raw.kubeadm.is_some());
        let managed = managed(&raw.cluster);
        let role = |node: &&Value| {
            let labels = node.pointer("/metadata/labels");
            ROLES.iter().any(|role| labels.and_then(|labels| labels.get(role)).is_some())
        };
        let servers = of_kind(&raw.cluster, "Node").filter(role).map(|node| text(node, "/metadata/name").to_owned());
        let servers = servers.collect();
        let lease = |lease: &Value| (text(lease, "/metadata/name").to_owned(), LeaseFacts::from_object(lease));
        let k0s = raw.k0s.as_ref();
        let read_as = ReadAs::of(&raw);
        let scheduler = Ours::find(&raw.deployments, Program::Scheduler);
        let configuration = ConfigFile::of(scheduler.as_ref(), raw.configuration.as_ref());
        Self {
            read_as,
            at,
            distribution,
            because: cut(&because),
            managed,
            servers,
            leases: raw.leases.iter().map(lease).collect(),
            scheduler,
            configuration,
            controllers: Ours::find(&raw.deployments, Program::Controllers),
            cluster_configuration: raw
                .kubeadm
                .map(|config| text(&config, "/data/ClusterConfiguration").to_owned())
                .filter(|text| !text.is_empty()),
            k0s_controllers: k0s.map(|o| text(o, "/spec/controllerManager/extraArgs/controllers").to_owned()),
            k0s_arguments: k0s.map(|config| k0s_arguments(config, "controllerManager")),
            k0s_scheduler: k0s.map(|config| k0s_arguments(config, "scheduler")),
            record: raw.record.as_ref().map(Record::from_object).unwrap_or_default(),
            sightings: sightings(&raw.written),
            state: State::from_objects(raw.cluster),
        }
    }

    /// The same for the checks of `doctor`.
    pub(crate) fn look(&self) -> Look<'_> {
        Look::new(&self.state, self.at)
    }

    /// Who holds a lease of kube-system.
    pub(crate) fn holds(&self, lease: &str) -> Option<Who> {
        self.leases.get(lease)?.held_by(self.at)
    }

    /// How our scheduler runs: `primary`, `secondary` or `shadow`; none where it does not, as far as is seen.
    pub(crate) fn our_mode(&self) -> Option<&str> {
        if let Some(ours) = self.scheduler.as_ref().filter(|ours| ours.replicas > 0) {
            return Some(ours.mode());
        }
        let holds = |lease: &str| self.holds(lease) == Some(Who::Ours);
        match (holds(SCHEDULER_LEASE), holds(OUR_LEASE)) {
            (true, _) => Some("primary"),
            (false, true) => Some("secondary"),
            (false, false) => None,
        }
    }

    /// Whether the stock scheduler asks for the lease before it schedules; none where nothing shows it.
    pub(crate) fn stock_elects(&self) -> Option<bool> {
        let look = self.look();
        let alone =
            look.running(Program::StockScheduler).any(|pod| !pod.args.is_empty() && !schedulers::elects(&pod.args));
        if alone || look.nodes().any(schedulers::k3s_schedules_alone) {
            return Some(false);
        }
        (self.holds(SCHEDULER_LEASE) == Some(Who::Stock)).then_some(true)
    }

    /// Where the stock scheduler is seen: a pod, or a k3s that was not told to leave it out. None where it would not
    /// show; empty where it would and does not.
    pub(crate) fn stock_schedulers(&self) -> Option<Vec<String>> {
        let look = self.look();
        let pods = look.running(Program::StockScheduler).map(|pod| format!("pod {}", pod.full_name()));
        let servers: Vec<&NodeFacts> = look.nodes().filter(|node| is_server_of_k3s(node)).collect();
        let within = servers.iter().filter(|node| !leaves_scheduler_out(node));
        let seen: Vec<String> = pods.chain(within.map(|node| format!("k3s on {}", cut(node.name())))).collect();
        let shows = match self.distribution {
            Distribution::K3s => !servers.is_empty(),
            // A control plane without nodes of its own would not show.
            Distribution::Kubeadm => !self.servers.is_empty(),
            Distribution::K0s | Distribution::Any => !seen.is_empty(),
        };
        shows.then_some(seen)
    }

    /// The servers on which no stock scheduler is seen. None where it would not show.
    pub(crate) fn servers_without_stock(&self) -> Option<Vec<String>> {
        let look = self.look();
        let with: Vec<&str> = match self.distribution {
            Distribution::K3s => {
                let within = look.nodes().filter(|node| is_server_of_k3s(node) && !leaves_scheduler_out(node));
                within.map(NodeFacts::name).collect()
            }
            Distribution::Kubeadm => {
                // Anybody can run a program of this name; static pods are in one namespace.
                let pods =
                    look.running(Program::StockScheduler).filter(|pod| &*pod.row.meta.key.namespace == "kube-system");
                pods.filter_map(|pod| pod.row.node_name.as_deref()).collect()
            }
            Distribution::K0s | Distribution::Any => return None,
        };
        let without = self.servers.iter().filter(|name| !with.contains(&name.as_str())).cloned().collect();
        (!self.servers.is_empty()).then_some(without)
    }

    /// The hosts on which our scheduler is a static pod, in the place of the stock one (`deploy/kubeadm`).
    pub(crate) fn static_schedulers(&self) -> Vec<String> {
        let look = self.look();
        let pods = look
            .running(Program::Scheduler)
            .filter(|pod| pod.row.is_mirror() && &*pod.row.meta.key.namespace == "kube-system");
        pods.filter_map(|pod| pod.row.node_name.as_deref()).map(str::to_owned).collect()
    }

    /// Who was seen at it last.
    pub(crate) fn last_seen(&self, what: &str) -> Option<&Sighting> {
        self.sightings.iter().filter(|seen| seen.what == what).max_by_key(|seen| seen.at)
    }
}

/// What k0s' ClusterConfig gives a component, as words of a command line.
fn k0s_arguments(config: &Value, component: &str) -> Vec<String> {
    let arguments = config.pointer(&format!("/spec/{component}/extraArgs")).and_then(Value::as_object);
    let word = |(name, value): (&String, &Value)| Some(format!("--{name}={}", value.as_str()?));
    arguments.into_iter().flatten().filter_map(word).collect()
}

fn leaves_scheduler_out(node: &NodeFacts) -> bool {
    flag(&node.args, "disable-scheduler").last().is_some_and(|value| *value != "false")
}

/// The last writes of each loop's objects, by party.
fn sightings(written: &[Value]) -> Vec<Sighting> {
    let mut last: BTreeMap<(String, Who), Sighting> = BTreeMap::new();
    for object in written {
        let Some((what, part)) = work(object) else { continue };
        let fields = object.pointer("/metadata/managedFields").and_then(Value::as_array).into_iter().flatten();
        for entry in fields.filter(|entry| part.is_none_or(|part| text(entry, "/subresource") == part)) {
            let manager = text(entry, "/manager");
            let (Some(who), Some(at)) = (whose(manager), parse_rfc3339(text(entry, "/time"))) else { continue };
            let (namespace, name) = (text(object, "/metadata/namespace"), text(object, "/metadata/name"));
            let object = match text(object, "/kind") {
                // Events are named after what they are about.
                "Event" => format!("Pod {namespace}/{}", name.rsplit_once('.').map_or(name, |(pod, _)| pod)),
                kind => format!("{kind} {namespace}/{name}"),
            };
            let seen = Sighting { what: what.to_owned(), who, manager: manager.to_owned(), object: cut(&object), at };
            let known = last.entry((what.to_owned(), who)).or_insert_with(|| seen.clone());
            if known.at < seen.at {
                *known = seen;
            }
        }
    }
    last.into_values().collect()
}

/// Whose work an object is, and the part of it that only its loop writes.
fn work(object: &Value) -> Option<(&'static str, Option<&'static str>)> {
    let label =
        |name: &str| object.pointer("/metadata/labels").and_then(|labels| labels.get(name)).and_then(Value::as_str);
    match text(object, "/kind") {
        "Event" => Some((SCHEDULER, None)),
        "ReplicationController" => Some(("replicationcontroller-controller", Some("status"))),
        // The API server's own, which k3s writes under the name of its controller manager, is nobody's work.
        "Endpoints" | "EndpointSlice"
            if (text(object, "/metadata/namespace"), text(object, "/metadata/name")) == ("default", "kubernetes") =>
        {
            None
        }
        "Endpoints" => Some(("endpoints-controller", None)),
        "EndpointSlice" => match label("endpointslice.kubernetes.io/managed-by")? {
            "endpointslice-controller.k8s.io" => Some(("endpointslice-controller", None)),
            "endpointslicemirroring-controller.k8s.io" => Some(("endpointslice-mirroring-controller", None)),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;

    use super::*;
    use crate::distribution::ours::tests::deployment;

    pub(crate) fn at() -> Timestamp {
        parse_rfc3339("2026-11-22T10:00:00Z").unwrap()
    }

    /// A control-plane node.
    pub(crate) fn server(version: &str, args: &[&str]) -> Value {
        let args = serde_json::to_string(args).unwrap();
        json!({"kind": "Node", "metadata": {"name": "cp", "labels": {"node-role.kubernetes.io/control-plane": "true"},
                                            "annotations": {"k3s.io/node-args": args}},
               "status": {"nodeInfo": {"kubeletVersion": version},
                          "allocatable": {"cpu": "2", "memory": "2Gi", "pods": "110"}}})
    }

    /// A static pod.
    pub(crate) fn component(program: &str, args: &[&str]) -> Value {
        let command: Vec<&str> = std::iter::once(program).chain(args.iter().copied()).collect();
        json!({"kind": "Pod", "metadata": {"name": format!("{program}-cp"), "namespace": "kube-system"},
               "spec": {"nodeName": "cp", "containers": [{"name": "c", "image": "i", "command": command}]},
               "status": {"phase": "Running"}})
    }

    /// A lease that was renewed five seconds ago.
    pub(crate) fn lease(name: &str, renewer: &str) -> Value {
        json!({"kind": "Lease", "metadata": {"name": name, "namespace": "kube-system", "managedFields": [
                   {"manager": "old", "fieldsV1": {"f:metadata": {}}},
                   {"manager": renewer, "fieldsV1": {"f:spec": {"f:renewTime": {}}}}]},
               "spec": {"holderIdentity": "cp_1", "renewTime": "2026-11-22T09:59:55.000000Z"}})
    }

    fn written(kind: &str, name: &str, managers: &[(&str, &str)], labels: Value) -> Value {
        let entry = |(manager, time): &(&str, &str)| json!({"manager": manager, "time": time, "subresource": if kind == "ReplicationController" { "status" } else { "" }});
        let fields: Vec<Value> = managers.iter().map(entry).collect();
        json!({"kind": kind, "metadata": {"namespace": "shop", "name": name, "labels": labels, "managedFields": fields}})
    }

    #[test]
    fn leases_say_whose_they_are() {
        let raw = || Raw { leases: vec![lease(SCHEDULER_LEASE, "kube-scheduler")], ..Raw::default() };
        let facts = Facts::new(raw(), at());
        assert_eq!((facts.holds(SCHEDULER_LEASE), facts.stock_elects()), (Some(Who::Stock), Some(true)));
        let later = Facts::new(raw(), at() + std::time::Duration::from_secs(120));
        assert_eq!((later.holds(SCHEDULER_LEASE), later.stock_elects()), (None, None));
        let ours = Facts::new(Raw { leases: vec![lease(OUR_LEASE, "headroom-scheduler")], ..Raw::default() }, at());
        assert_eq!((ours.our_mode(), ours.holds(OUR_LEASE)), (Some("secondary"), Some(Who::Ours)));
    }

    #[test]
    fn where_stock_is_seen() {
        let seen = |cluster: Vec<Value>, kubeadm: bool| {
            let kubeadm = kubeadm.then(|| json!({"data": {"ClusterConfiguration": "kind: ClusterConfiguration"}}));
            let facts = Facts::new(Raw { cluster, kubeadm, ..Raw::default() }, at());
            (facts.stock_schedulers(), facts.stock_elects())
        };
        let (k3s, plain) = ("v1.36.4+k3s1", "v1.36.4");
        let is = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(seen(vec![server(k3s, &["server"])], false), (is(&["k3s on cp"]), Some(false)));
        assert_eq!(seen(vec![server(k3s, &["server", "--cluster-init"])], false), (is(&["k3s on cp"]), None));
        assert_eq!(seen(vec![server(k3s, &["server", "--disable-scheduler", "true"])], false), (is(&[]), None));
        let pod = component("kube-scheduler", &["--leader-elect=true"]);
        let expected = (is(&["pod kube-system/kube-scheduler-cp"]), None);
        assert_eq!(seen(vec![server(plain, &[]), pod], true), expected);
        assert_eq!(seen(vec![server(plain, &[])], true), (is(&[]), None));
        let alone = component("kube-scheduler", &["--leader-elect=false"]);
        assert_eq!(seen(vec![alone], false).1, Some(false));
        assert_eq!(seen(vec![server("v1.36.4+k0s", &[])], false), (None, None));
    }

    #[test]
    fn where_stock_is_not_seen() {
        let without = |cluster: Vec<Value>, kubeadm: bool| {
            let kubeadm = kubeadm.then(|| json!({"data": {"ClusterConfiguration": "kind: ClusterConfiguration"}}));
            Facts::new(Raw { cluster, kubeadm, ..Raw::default() }, at()).servers_without_stock()
        };
        let is = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        let second = |mut server: Value| {
            server["metadata"]["name"] = "cp2".into();
            server
        };
        let pod = || component("kube-scheduler", &[]);
        let plain = || vec![server("v1.36.4", &[]), second(server("v1.36.4", &[]))];
        assert_eq!(without(plain(), true), is(&["cp", "cp2"]));
        assert_eq!(without([plain(), vec![pod()]].concat(), true), is(&["cp2"]));
        let mut of_a_tenant = pod();
        of_a_tenant["metadata"]["namespace"] = "tenant".into();
        assert_eq!(without([plain(), vec![of_a_tenant]].concat(), true), is(&["cp", "cp2"]));
        let k3s = |args: &[&str]| server("v1.36.4+k3s1", args);
        let both = vec![k3s(&["server"]), second(k3s(&["server", "--disable-scheduler", "true"]))];
        assert_eq!(without(both, false), is(&["cp2"]));
        assert_eq!(without(vec![server("v1.36.4+k0s", &[]), pod()], false), None);
        assert_eq!(without(vec![pod()], true), None, "a control plane without nodes of its own");
    }

    #[test]
    fn our_mode_is_that_of_the_deployment() {
        let deployments = vec![deployment("scheduler", &["--mode=shadow"])];
        let facts = Facts::new(Raw { deployments, ..Raw::default() }, at());
        assert_eq!(facts.our_mode(), Some("shadow"));
        assert_eq!(Facts::new(Raw::default(), at()).our_mode(), None);
    }

    #[test]
    fn the_last_of_each_party_is_seen() {
        let of = |name: &str| json!({"endpointslice.kubernetes.io/managed-by": name});
        let raw = Raw {
            written: vec![
                written(
                    "Endpoints",
                    "web",
                    &[("kube-controller-manager", "2026-11-22T09:00:00Z"), ("kubectl", "2026-11-22T09:59:00Z")],
                    json!({}),
                ),
                written("Endpoints", "db", &[("kube-controller-manager", "2026-11-22T09:30:00Z")], json!({})),
                written("Endpoints", "new", &[("headroom-controllers", "2026-11-22T09:40:00Z")], json!({})),
                written(
                    "EndpointSlice",
                    "a",
                    &[("k3s", "2026-11-22T09:00:00Z")],
                    of("endpointslice-controller.k8s.io"),
                ),
                written("EndpointSlice", "b", &[("k3s", "2026-11-22T09:00:00Z")], of("somebody-else")),
                written("Event", "web-1.17a", &[("kube-scheduler", "2026-11-22T09:50:00Z")], json!({})),
            ],
            ..Raw::default()
        };
        let facts = Facts::new(raw, at());
        let seen = |what: &str| facts.last_seen(what).map(|seen| (seen.who, seen.object.as_str()));
        assert_eq!(facts.sightings.len(), 4, "{:?}", facts.sightings);
        assert_eq!(seen("endpoints-controller"), Some((Who::Ours, "Endpoints shop/new")));
        assert_eq!(seen("endpointslice-controller"), Some((Who::Stock, "EndpointSlice shop/a")));
        assert_eq!(seen(SCHEDULER), Some((Who::Stock, "Pod shop/web-1")));
        assert_eq!(seen("node-lifecycle-controller"), None);
    }
}
