//! What the checks read of a cluster, out of whatever objects there are. Objects that make no sense are skipped with a
//! note; kinds that are missing count as empty.

use std::{collections::BTreeMap, sync::Arc};

use headroom_api::NodeHeadroom;
use headroom_core::{
    Timestamp,
    object::{
        Namespace, Node, ObjectKey, PersistentVolume, PersistentVolumeClaim, Phase, Pod, VolumeAttachment, VolumeKind,
    },
};
use headroom_runtime::wire::{self, AnyRow, Interners, time::parse_rfc3339};
use serde_json::Value;

use super::text::cut;
use crate::{
    distribution::ours::Ours,
    snapshot::{MAX_DEPTH, fill_identity, newest},
};

/// Most words of a command line that are looked at, and containers of a pod.
const MAX_WORDS: usize = 256;
const MAX_CONTAINERS: usize = 16;
/// Longest annotation that is decoded, bytes.
const MAX_ANNOTATION: usize = 1 << 16;
/// Most notes about objects that make no sense.
const MAX_NOTES: usize = 20;
/// Reasons of the events that something here reads.
pub(super) const EVENTS: [&str; 3] = ["CgroupV1", "ForeignBinding", "YieldedToAnotherManager"];
/// Who signs the certificates that kubelets show.
pub(super) const KUBELET_SERVING: &str = "kubernetes.io/kubelet-serving";
/// Where the Leases of kubelets are.
pub(super) const NODE_LEASES: &str = "kube-node-lease";

/// A node.
#[derive(Debug)]
pub(crate) struct NodeFacts {
    pub(crate) row: Arc<Node>,
    /// What k3s was started with there; empty elsewhere.
    pub(crate) args: Vec<String>,
    /// Names of the environment variables that k3s was started with.
    pub(super) variables: Vec<String>,
}

impl NodeFacts {
    pub(crate) fn name(&self) -> &str {
        self.row.name()
    }
}

/// A process whose command line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Program {
    StockScheduler,
    StockManager,
    Scheduler,
    Controllers,
}

impl Program {
    /// From the name of its file or image.
    pub(crate) fn named(path: &str) -> Option<Self> {
        let name = path.rsplit('/').next().unwrap_or_default();
        Some(match name.split([':', '@']).next().unwrap_or_default() {
            "kube-scheduler" => Self::StockScheduler,
            "kube-controller-manager" => Self::StockManager,
            "headroom-scheduler" => Self::Scheduler,
            "headroom-controllers" => Self::Controllers,
            _ => return None,
        })
    }
}

/// A pod.
#[derive(Debug)]
pub(crate) struct PodFacts {
    pub(crate) row: Arc<Pod>,
    pub(crate) program: Option<Program>,
    /// Its arguments. Empty where they are not known: snapshots leave them out.
    pub(crate) args: Vec<String>,
    /// Why a container does not run, in the kubelet's word; empty when all do.
    pub(super) waits: String,
}

impl PodFacts {
    /// Whether its containers run, as far as is known.
    pub(crate) fn runs(&self) -> bool {
        self.row.is_active() && self.row.status.phase == Phase::Running
    }

    /// `namespace/name`.
    pub(crate) fn full_name(&self) -> String {
        cut(&self.row.meta.key.to_string())
    }

    /// The claims that it uses.
    pub(super) fn claims(&self) -> impl Iterator<Item = ObjectKey> + '_ {
        let ObjectKey { namespace, name } = &self.row.meta.key;
        self.row.spec.volumes.iter().filter_map(move |volume| match &volume.kind {
            VolumeKind::PersistentVolumeClaim(claim) => Some(ObjectKey::new(namespace.clone(), claim.clone())),
            VolumeKind::Ephemeral => Some(ObjectKey::new(namespace.clone(), format!("{name}-{}", volume.name))),
            _ => None,
        })
    }
}

/// A PodDisruptionBudget's figures.
#[derive(Debug)]
pub(super) struct Budget {
    /// Pods that it is about.
    pub(super) expected: i64,
    /// So many must stay healthy.
    pub(super) desired: i64,
    /// So many may go now.
    pub(super) allowed: i64,
}

/// An event of one of the [`EVENTS`].
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) reason: String,
    pub(super) kind: String,
    pub(super) key: ObjectKey,
    pub(crate) message: String,
    pub(crate) at: Option<Timestamp>,
}

/// A request for a certificate that nobody has decided about.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) name: String,
    /// Who asks: `system:node:NAME`.
    pub(super) user: String,
    pub(super) created: Option<Timestamp>,
}

/// The cluster.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) nodes: BTreeMap<String, NodeFacts>,
    pub(crate) pods: BTreeMap<ObjectKey, PodFacts>,
    pub(super) namespaces: BTreeMap<ObjectKey, Arc<Namespace>>,
    pub(super) volumes: BTreeMap<String, Arc<PersistentVolume>>,
    pub(super) claims: BTreeMap<ObjectKey, Arc<PersistentVolumeClaim>>,
    pub(super) attachments: BTreeMap<ObjectKey, Arc<VolumeAttachment>>,
    pub(super) budgets: BTreeMap<ObjectKey, Budget>,
    /// By the node's name.
    pub(super) samples: BTreeMap<String, NodeHeadroom>,
    /// When each kubelet last renewed its Lease, by the node's name.
    pub(super) leases: BTreeMap<String, Timestamp>,
    pub(crate) told: Vec<Told>,
    pub(super) pending: BTreeMap<String, Pending>,
    /// The Deployments that run a program of ours.
    pub(super) ours: Vec<(Program, Ours)>,
    newest_sample: Option<Timestamp>,
    newest: Option<Timestamp>,
    /// What was skipped, in sentences for people.
    pub(super) notes: Vec<String>,
}

impl State {
    /// From objects of any kind, each with its `kind`.
    pub(crate) fn from_objects(objects: impl IntoIterator<Item = Value>) -> Self {
        let mut this = Self::default();
        let mut interners = Interners::default();
        for object in objects {
            this.add(object, &mut interners);
        }
        this.told.sort_by(|a, b| (&a.reason, &a.key, &a.kind, b.at).cmp(&(&b.reason, &b.key, &b.kind, a.at)));
        // The newest of each is enough.
        this.told.dedup_by(|b, a| (&a.reason, &a.key, &a.kind) == (&b.reason, &b.key, &b.kind));
        this
    }

    /// The time of a saved cluster: that of its newest sample, else the newest time that stands in it.
    pub(super) fn time(&self) -> Option<Timestamp> {
        self.newest_sample.or(self.newest)
    }

    fn note(&mut self, note: String) {
        if self.notes.len() < MAX_NOTES {
            self.notes.push(note);
        }
    }

    fn add(&mut self, mut object: Value, interners: &mut Interners) {
        let kind = text(&object, "/kind").to_owned();
        self.newest = self.newest.max(newest(&object, MAX_DEPTH));
        match kind.as_str() {
            "NodeHeadroom" => self.add_sample(object),
            "Event" => self.told.extend(told(&object)),
            "Deployment" => {
                for program in [Program::Scheduler, Program::Controllers] {
                    self.ours.extend(Ours::from_object(&object, program).map(|ours| (program, ours)));
                }
            }
            "Lease" => {
                if let (NODE_LEASES, Some(renewed)) =
                    (text(&object, "/metadata/namespace"), moment(&object, "/spec/renewTime"))
                {
                    self.leases.insert(text(&object, "/metadata/name").to_owned(), renewed);
                }
            }
            "CertificateSigningRequest" => {
                let pending = pending(&object);
                self.pending.extend(pending.map(|pending| (pending.name.clone(), pending)));
            }
            "Node"
            | "Pod"
            | "Namespace"
            | "PersistentVolume"
            | "PersistentVolumeClaim"
            | "VolumeAttachment"
            | "PodDisruptionBudget" => {
                fill_identity(&kind, &mut object);
                self.add_row(&kind, object, interners);
            }
            _ => {}
        }
    }

    fn add_sample(&mut self, object: Value) {
        let name = text(&object, "/metadata/name").to_owned();
        match serde_json::from_value::<NodeHeadroom>(object) {
            Ok(sample) => {
                let at = sample.status.as_ref().and_then(|s| parse_rfc3339(s.observed_at.as_deref()?));
                self.newest_sample = self.newest_sample.max(at);
                self.samples.insert(name, sample);
            }
            Err(error) => self.note(cut(&format!("skipped: NodeHeadroom {name}: {error}"))),
        }
    }

    fn add_row(&mut self, kind: &str, object: Value, interners: &mut Interners) {
        // What the rows do not keep.
        let (program, args) = if kind == "Pod" { command_line(&object) } else { (None, Vec::new()) };
        let waits = if kind == "Pod" { waits(&object) } else { String::new() };
        let (started, variables) = if kind == "Node" { k3s(&object) } else { (Vec::new(), Vec::new()) };
        let figure = |name: &str| object.pointer(name).and_then(Value::as_i64).unwrap_or(0);
        let budget = Budget {
            expected: figure("/status/expectedPods"),
            desired: figure("/status/desiredHealthy"),
            allowed: figure("/status/disruptionsAllowed"),
        };
        match wire::from_json(kind, object, interners) {
            Ok(Some(AnyRow::Pod(row))) => {
                self.pods.insert(row.meta.key.clone(), PodFacts { row, program, args, waits });
            }
            Ok(Some(AnyRow::Node(row))) => {
                self.nodes.insert(row.name().to_string(), NodeFacts { row, args: started, variables });
            }
            Ok(Some(AnyRow::Namespace(row))) => {
                self.namespaces.insert(row.meta.key.clone(), row);
            }
            Ok(Some(AnyRow::PersistentVolume(row))) => {
                self.volumes.insert(row.name().to_string(), row);
            }
            Ok(Some(AnyRow::PersistentVolumeClaim(row))) => {
                self.claims.insert(row.meta.key.clone(), row);
            }
            Ok(Some(AnyRow::VolumeAttachment(row))) => {
                self.attachments.insert(row.meta.key.clone(), row);
            }
            Ok(Some(AnyRow::PodDisruptionBudget(row))) => {
                self.budgets.insert(row.meta.key.clone(), budget);
            }
            Ok(_) => {}
            Err(error) => self.note(cut(&format!("skipped: {error}"))),
        }
    }
}

/// The text at a path, empty when there is none.
fn text<'a>(object: &'a Value, path: &str) -> &'a str {
    object.pointer(path).and_then(Value::as_str).unwrap_or_default()
}

fn moment(object: &Value, path: &str) -> Option<Timestamp> {
    parse_rfc3339(text(object, path))
}

/// The texts in a list, at most so many.
fn texts(list: Option<&Value>) -> Vec<String> {
    let items = list.and_then(Value::as_array).into_iter().flatten();
    items.filter_map(Value::as_str).take(MAX_WORDS).map(str::to_owned).collect()
}

/// Which program the pod runs, and its arguments as far as they are known.
fn command_line(pod: &Value) -> (Option<Program>, Vec<String>) {
    let containers = pod.pointer("/spec/containers").and_then(Value::as_array).into_iter().flatten();
    for container in containers.take(MAX_CONTAINERS) {
        let mut command = texts(container.get("command"));
        let args = texts(container.get("args"));
        let by_image = Program::named(text(container, "/image"));
        match command.first().map(|word| Program::named(word)) {
            Some(Some(program)) => {
                command.remove(0);
                command.extend(args);
                return (Some(program), command);
            }
            // A shell or a wrapper: what it makes of them is not known.
            Some(None) if by_image.is_some() => return (by_image, Vec::new()),
            None if by_image.is_some() => return (by_image, args),
            _ => {}
        }
    }
    (None, Vec::new())
}

/// The reason why the first container that does not run waits, or that it has ended.
fn waits(pod: &Value) -> String {
    for list in ["/status/initContainerStatuses", "/status/containerStatuses"] {
        for status in pod.pointer(list).and_then(Value::as_array).into_iter().flatten().take(MAX_CONTAINERS) {
            let reason = text(status, "/state/waiting/reason");
            if !reason.is_empty() && reason != "PodInitializing" {
                return cut(reason);
            }
        }
    }
    String::new()
}

/// Arguments and environment that k3s has written on its node.
fn k3s(node: &Value) -> (Vec<String>, Vec<String>) {
    let decoded = |name: &str| {
        let annotation = node.pointer("/metadata/annotations").and_then(|all| all.get(name));
        let text = annotation.and_then(Value::as_str).filter(|text| text.len() <= MAX_ANNOTATION)?;
        serde_json::from_str::<Value>(text).ok()
    };
    let args = texts(decoded("k3s.io/node-args").as_ref());
    let env = decoded("k3s.io/node-env");
    let variables = env.as_ref().and_then(Value::as_object).into_iter().flatten();
    (args, variables.map(|(name, _)| name.clone()).take(MAX_WORDS).collect())
}

/// An event, by either of its APIs, if something here reads it.
fn told(event: &Value) -> Option<Told> {
    let reason = text(event, "/reason");
    if !EVENTS.contains(&reason) {
        return None;
    }
    let about = event.get("involvedObject").or_else(|| event.get("regarding"))?;
    let note = [text(event, "/message"), text(event, "/note")].into_iter().find(|note| !note.is_empty());
    let times = [
        "/series/lastObservedTime",
        "/lastTimestamp",
        "/deprecatedLastTimestamp",
        "/eventTime",
        "/metadata/creationTimestamp",
    ];
    Some(Told {
        reason: reason.to_owned(),
        kind: text(about, "/kind").to_owned(),
        key: ObjectKey::new(text(about, "/namespace"), text(about, "/name")),
        message: cut(note.unwrap_or_default()),
        at: times.iter().filter_map(|path| moment(event, path)).max(),
    })
}

/// A kubelet's request for a certificate to show, if it waits for a decision.
fn pending(request: &Value) -> Option<Pending> {
    let decided = |path: &str| match request.pointer(path) {
        Some(Value::Array(items)) => !items.is_empty(),
        Some(Value::String(text)) => !text.is_empty(),
        _ => false,
    };
    if text(request, "/spec/signerName") != KUBELET_SERVING
        || decided("/status/conditions")
        || decided("/status/certificate")
    {
        return None;
    }
    Some(Pending {
        name: text(request, "/metadata/name").to_owned(),
        user: cut(text(request, "/spec/username")),
        created: moment(request, "/metadata/creationTimestamp"),
    })
}
