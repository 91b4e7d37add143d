//! Objects and a time in, suggestions out. The JSON of `-o json` is [`Report`]. Nothing is read here.

use std::collections::BTreeMap;

use headroom_core::{
    Timestamp,
    memory::{Params, peak::History},
    object::MemoryProfile,
    quantity,
};
use headroom_runtime::wire::{self, AnyRow, Interners};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{
    suggest::{Confidence, Sizes, Suggestion, Verdict, seen, suggest},
    workload,
};
use crate::{
    doctor::text::{arg, cut},
    snapshot::fill_identity,
    trace::json::{controller, kind, list, name, namespace, number, text},
};

/// What is said of one container.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Container {
    pub(super) name: String,
    pub(super) image: String,
    pub(super) now: Sizes,
    pub(super) suggested: Sizes,
    /// Of the request, per pod.
    pub(super) difference_bytes: i64,
    pub(super) verdict: Verdict,
    /// The most that was seen, RAM and swap together.
    pub(super) seen_bytes: i64,
    pub(super) samples: u32,
    /// From the first sample to the last.
    pub(super) seen_for_seconds: u64,
    /// Since the last sample.
    pub(super) age_seconds: u64,
    pub(super) confidence: Confidence,
    /// Why nothing is suggested although something else would be right.
    pub(super) reason: String,
    /// Whether it is an init container that goes on running.
    pub(super) sidecar: bool,
}

/// What is said of one workload.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Workload {
    pub(super) kind: String,
    pub(super) namespace: String,
    pub(super) name: String,
    /// Names of its pods that have not ended.
    pub(super) pods: Vec<String>,
    pub(super) containers: Vec<Container>,
    /// A strategic merge patch of the workload; absent where nothing is to be changed, or nobody knows how.
    pub(super) patch: Option<Value>,
    /// The patch that takes it back.
    pub(super) undo: Option<Value>,
    /// What the patch does to the pods that run.
    pub(super) effect: String,
    /// Whether it makes the pods that run new ones.
    pub(super) restarts: bool,
    /// What the workload was as of, for a patch that must not overwrite others.
    #[serde(skip)]
    pub(super) resource_version: String,
}

/// Sums over all pods, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Totals {
    pub(super) pods: usize,
    pub(super) now_bytes: i64,
    pub(super) suggested_bytes: i64,
    pub(super) difference_bytes: i64,
}

/// All of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    pub(super) api_version: &'static str,
    pub(super) kind: &'static str,
    pub(super) at: String,
    /// By namespace, kind and name.
    pub(super) workloads: Vec<Workload>,
    pub(super) totals: Totals,
    /// What was left out, in sentences for people.
    #[serde(skip)]
    pub(super) notes: Vec<String>,
}

impl Workload {
    /// `deployment/web`.
    pub(super) fn short(&self) -> String {
        format!("{}/{}", crate::trace::target::short(&self.kind), self.name)
    }

    /// A patch as a command for a shell.
    pub(super) fn command(&self, patch: &Value) -> String {
        // Quotes cannot stand in names of containers; should they all the same, they must not end the argument.
        let patch = patch.to_string().replace('\'', "'\\''");
        let (namespace, name) = (arg(&self.namespace), arg(&self.name));
        let kind = self.kind.to_ascii_lowercase();
        format!("kubectl -n {namespace} patch {kind} {name} --type=strategic -p \\\n  '{patch}'")
    }

    /// The containers that are to be changed.
    pub(super) fn changed(&self) -> impl Iterator<Item = &Container> {
        self.containers.iter().filter(|container| container.verdict != Verdict::Keep)
    }
}

/// What the suggestions are made with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules<'a> {
    pub(super) params: &'a Params,
    /// A request is lowered only from this confidence on.
    pub(super) lower_from: Confidence,
    pub(super) at: Timestamp,
}

/// The objects, and who belongs to whom.
struct Objects<'a> {
    by_name: BTreeMap<(&'a str, &'a str, &'a str), &'a Value>,
    /// Pods that have not ended, by namespace, kind and name of their workload.
    pods: BTreeMap<(&'a str, String, String), Vec<&'a Value>>,
    /// What pods take, by namespace and name: RAM and swap.
    in_use: BTreeMap<(String, String), i64>,
}

impl<'a> Objects<'a> {
    fn new(objects: &'a [Value]) -> Self {
        let by_name: BTreeMap<_, _> =
            objects.iter().map(|object| ((namespace(object), kind(object), name(object)), object)).collect();
        let mut this = Self { by_name, pods: BTreeMap::new(), in_use: BTreeMap::new() };
        for object in objects {
            match kind(object) {
                "Pod" => this.add_pod(object),
                "NodeHeadroom" => this.add_samples(object),
                _ => {}
            }
        }
        this
    }

    fn add_pod(&mut self, pod: &'a Value) {
        if matches!(text(pod, "/status/phase"), "Succeeded" | "Failed") {
            return;
        }
        let Some(owner) = controller(pod) else { return };
        let (mut of, mut called) = (text(owner, "/kind"), text(owner, "/name"));
        // One level up, where there is one: a ReplicaSet of a Deployment, a Job of a CronJob.
        match self.by_name.get(&(namespace(pod), of, called)) {
            Some(owner) => {
                if let Some(above) = controller(owner) {
                    (of, called) = (text(above, "/kind"), text(above, "/name"));
                }
            }
            // Where that is not there, names tell, as they tell the scheduler.
            None => {
                if let Some(deployment) = deployment(pod, of, called) {
                    (of, called) = ("Deployment", deployment);
                }
            }
        }
        let key = (namespace(pod), of.to_owned(), called.to_owned());
        self.pods.entry(key).or_default().push(pod);
    }

    fn add_samples(&mut self, node: &Value) {
        for pod in list(node, "/status/pods") {
            let part = |field: &str| number(pod, field).unwrap_or(0).max(0);
            let bytes = part("/workingSetBytes").saturating_add(part("/swapUsedBytes"));
            self.in_use.insert((text(pod, "/namespace").to_owned(), text(pod, "/name").to_owned()), bytes);
        }
    }

    fn pods(&self, within: &'a str, kind: &str, name: &str) -> &[&'a Value] {
        self.pods.get(&(within, kind.to_owned(), name.to_owned())).map_or(&[][..], Vec::as_slice)
    }

    /// The object whose template the workload's pods are made from: the workload itself, or, where a saved cluster
    /// lacks it, its newest ReplicaSet or pod. An undone rollout makes an old ReplicaSet that of the newest revision.
    fn template(&self, within: &'a str, of: &str, called: &str) -> Option<&'a Value> {
        let itself = self.by_name.get(&(within, of, called)).copied();
        let set = || {
            let sets = self.by_name.values().copied().filter(|object| {
                kind(object) == "ReplicaSet"
                    && namespace(object) == within
                    && controller(object).is_some_and(|c| text(c, "/kind") == of && text(c, "/name") == called)
            });
            let revision = |set: &Value| {
                let number = text(set, "/metadata/annotations/deployment.kubernetes.io~1revision");
                number.parse::<u64>().unwrap_or(0)
            };
            sets.max_by_key(|set| (revision(set), text(set, "/metadata/creationTimestamp")))
        };
        let pod = || {
            let pods = self.pods(within, of, called).iter().copied();
            pods.max_by_key(|pod| text(pod, "/metadata/creationTimestamp"))
        };
        itself.or_else(set).or_else(pod)
    }

    /// The most that a pod of the workload takes now, if it has one container alone that could take it.
    fn in_use(&self, within: &str, pods: &[&Value], containers: usize) -> Option<i64> {
        let uses = pods.iter().filter_map(|pod| self.in_use.get(&(within.to_owned(), name(pod).to_owned())).copied());
        uses.max().filter(|_| containers == 1)
    }
}

/// The Deployment of a ReplicaSet that is named after it and the hash of its template, a label of its pods.
fn deployment<'a>(pod: &Value, of: &str, called: &'a str) -> Option<&'a str> {
    let hash = text(pod, "/metadata/labels/pod-template-hash");
    let name = called.strip_suffix(hash)?.strip_suffix('-')?;
    (of == "ReplicaSet" && !hash.is_empty() && !name.is_empty()).then_some(name)
}

/// The suggestions for every workload of which something was learned. `wanted` chooses by namespace, kind and name.
pub(super) fn build(objects: &[Value], wanted: impl Fn(&str, &str, &str) -> bool, rules: &Rules<'_>) -> Report {
    let known = Objects::new(objects);
    let mut interners = Interners::default();
    let mut notes = Vec::new();
    let mut workloads = Vec::new();
    for object in objects.iter().filter(|object| kind(object) == "MemoryProfile") {
        let mut filled = object.clone();
        fill_identity("MemoryProfile", &mut filled);
        match wire::from_json("MemoryProfile", filled, &mut interners) {
            Ok(Some(AnyRow::MemoryProfile(row))) => {
                if wanted(namespace(object), &row.workload_kind, &row.workload_name) {
                    workloads.extend(workload(&known, namespace(object), &row, rules, &mut notes));
                }
            }
            Ok(_) => {}
            Err(error) => notes.push(format!("skipped: {error}")),
        }
    }
    let key = |w: &Workload| (w.namespace.clone(), w.kind.clone(), w.name.clone());
    workloads.sort_by_key(key);
    Report {
        api_version: "headroom.dev/v1alpha1",
        kind: "RightsizeReport",
        at: rules.at.to_string(),
        totals: totals(&workloads),
        workloads,
        notes,
    }
}

fn totals(workloads: &[Workload]) -> Totals {
    let mut totals = Totals::default();
    for workload in workloads {
        let pods = i64::try_from(workload.pods.len()).unwrap_or(i64::MAX);
        totals.pods += workload.pods.len();
        for container in &workload.containers {
            let of = |sizes: &Sizes| sizes.request().saturating_mul(pods);
            totals.now_bytes = totals.now_bytes.saturating_add(of(&container.now));
            totals.suggested_bytes = totals.suggested_bytes.saturating_add(of(&container.suggested));
        }
    }
    totals.difference_bytes = totals.suggested_bytes.saturating_sub(totals.now_bytes);
    totals
}

/// One workload; `None` when it is gone.
fn workload<'a>(
    known: &Objects<'a>,
    within: &'a str,
    profile: &MemoryProfile,
    rules: &Rules<'_>,
    notes: &mut Vec<String>,
) -> Option<Workload> {
    let (of, called) = (&*profile.workload_kind, &*profile.workload_name);
    let source = known.template(within, of, called)?;
    // Whoever writes profiles and owner references in a namespace chooses these, and they become a path of the API server
    // and a command that people paste.
    if arg(of) != of || arg(called) != called {
        notes.push(cut(&format!(
            "skipped: a MemoryProfile in {within} is of no workload that can exist: {of} {called}"
        )));
        return None;
    }
    let Some(template) = workload::template(source) else {
        notes.push(format!("{of} {within}/{called}: where its containers are declared is not known here"));
        return None;
    };
    let pods = known.pods(within, of, called);
    let specs = containers(template);
    let in_use = known.in_use(within, pods, specs.len());
    let whole =
        ["requests", "limits"].iter().any(|side| template.pointer(&format!("/spec/resources/{side}/memory")).is_some());
    let mut all = Vec::new();
    for (spec, sidecar) in specs {
        let image = text(spec, "/image");
        let Some(history) = profile.history(name_of(spec), image) else { continue };
        all.push(container(spec, sidecar, history, in_use, whole, rules));
    }
    let mut workload = Workload {
        kind: of.to_owned(),
        namespace: within.to_owned(),
        name: called.to_owned(),
        pods: pods.iter().map(|pod| name(pod).to_owned()).collect(),
        containers: all,
        patch: None,
        undo: None,
        effect: String::new(),
        restarts: false,
        resource_version: String::new(),
    };
    if workload.changed().next().is_none() {
        return Some(workload);
    }
    if workload::known(of).is_none() {
        workload.effect = format!("{of} is not of Kubernetes' own kinds: set it where its containers are declared");
        return Some(workload);
    }
    // What a saved cluster lacks is of its kind all the same.
    let mut itself = if kind(source) == of { source.clone() } else { json!({}) };
    itself["kind"] = of.into();
    workload.effect = workload::effect(&itself, pods.len());
    workload.restarts = workload::restarts(&itself);
    workload.patch = Some(workload::patch(of, &pod_spec(workload.changed(), |c| (c.suggested, c.now))));
    workload.undo = Some(workload::patch(of, &pod_spec(workload.changed(), |c| (c.now, c.suggested))));
    if kind(source) == of {
        text(source, "/metadata/resourceVersion").clone_into(&mut workload.resource_version);
    }
    Some(workload)
}

fn name_of(container: &Value) -> &str {
    text(container, "/name")
}

/// The containers that run as long as their pod, and whether they are sidecars.
fn containers(template: &Value) -> Vec<(&Value, bool)> {
    let sidecars = list(template, "/spec/initContainers").iter();
    let sidecars = sidecars.filter(|container| text(container, "/restartPolicy") == "Always");
    let own = list(template, "/spec/containers").iter().map(|container| (container, false));
    sidecars.map(|container| (container, true)).chain(own).collect()
}

/// What a container declares.
pub(super) fn declared(container: &Value) -> Sizes {
    let bytes = |side: &str| {
        let field = container.pointer(&format!("/resources/{side}/memory"))?;
        match field.as_str() {
            Some(text) => quantity::value(text).ok(),
            None => field.as_i64(),
        }
    };
    Sizes { request_bytes: bytes("requests"), limit_bytes: bytes("limits") }
}

fn container(
    spec: &Value,
    sidecar: bool,
    history: &History,
    in_use: Option<i64>,
    whole: bool,
    rules: &Rules<'_>,
) -> Container {
    let now = declared(spec);
    let mut made = suggest(now, history, in_use, rules.at, rules.params, rules.lower_from);
    if whole && made.verdict != Verdict::Keep {
        let reason = "its pod declares memory as a whole (spec.resources): set that by hand".to_owned();
        made = Suggestion { sizes: now, verdict: Verdict::Keep, reason, ..made };
    }
    Container {
        name: name_of(spec).to_owned(),
        image: text(spec, "/image").to_owned(),
        now,
        suggested: made.sizes,
        difference_bytes: made.sizes.request().saturating_sub(now.request()),
        verdict: made.verdict,
        seen_bytes: seen(history, in_use),
        samples: history.samples,
        seen_for_seconds: history.observed.since(history.first_observed).as_secs(),
        age_seconds: rules.at.since(history.observed).as_secs(),
        confidence: made.confidence,
        reason: made.reason,
        sidecar,
    }
}

/// The part of a pod's spec that leads from the second sizes to the first; what is to vanish is null.
pub(super) fn pod_spec<'a>(
    containers: impl Iterator<Item = &'a Container>,
    sizes: impl Fn(&Container) -> (Sizes, Sizes),
) -> Value {
    let mut spec = Map::new();
    for container in containers {
        let (to, from) = sizes(container);
        let mut resources = Map::new();
        for (side, to, from) in
            [("requests", to.request_bytes, from.request_bytes), ("limits", to.limit_bytes, from.limit_bytes)]
        {
            if to != from {
                resources.insert(side.to_owned(), json!({"memory": to.map(mebibytes)}));
            }
        }
        let list = if container.sidecar { "initContainers" } else { "containers" };
        let all = spec.entry(list).or_insert_with(|| json!([]));
        if let Some(all) = all.as_array_mut() {
            all.push(json!({"name": container.name, "resources": resources}));
        }
    }
    Value::Object(spec)
}

/// Bytes as a quantity: in Mi where they are whole ones.
pub(super) fn mebibytes(bytes: i64) -> String {
    if bytes % (1 << 20) == 0 && bytes != 0 { format!("{}Mi", bytes >> 20) } else { bytes.to_string() }
}
