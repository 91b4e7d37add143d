//! `-f`: what the workloads of files would make, and the objects that their pods need.

mod given;
mod made;
mod runs;
mod selectors;

use anyhow::Context;
use headroom_core::object::Pod;
use headroom_engine::Input;
use headroom_planner::{Cluster, cluster::WorkloadName};
use serde_json::Value;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
};

use self::made::{Names, made};
use super::{
    claims, defaults,
    known::{Classes, Known},
};
use crate::{
    doctor::text::counted,
    file,
    redact::redact,
    rollout,
    snapshot::{Snapshot, objects},
};

/// The flag.
const FLAG: &str = "-f";
/// The annotation of objects that Helm makes at a moment of a release and not as parts of it.
const HOOK: &str = "/metadata/annotations/helm.sh~1hook";
/// The one hook whose objects stay.
const STAYS: &str = "crd-install";

/// Most pods of all workloads of a file together: each is made whole and placed by the engine.
const MAX_PODS: u64 = 50_000;
/// Most bytes of JSON that they may be together: each begins as a copy of its template.
const MAX_BYTES: u64 = 128 << 20;

/// What files ask for.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// Pods, in the order of the files.
    pub(super) pods: Vec<Arc<Pod>>,
    /// Pods of DaemonSets, one each.
    pub(super) daemons: Vec<Arc<Pod>>,
    /// The workloads, those without pods as well: what they have in the cluster is replaced.
    pub(super) workloads: BTreeSet<WorkloadName>,
    /// Deployments whose old pods go only for new ones that run, and how many pods each has.
    pub(super) rolling: BTreeMap<WorkloadName, usize>,
    /// What else the scheduler reads.
    pub(super) others: Vec<Input>,
    /// What was skipped, in sentences for people.
    pub(super) notes: Vec<String>,
}

/// The documents of a file: one or several, each an object or a List.
fn documents(text: &str) -> anyhow::Result<Vec<Value>> {
    let mut all = Vec::new();
    let mut document = String::new();
    let separated = |line: &str| line == "---" || line.starts_with("--- ") || line == "...";
    for line in text.lines().chain(["---"]) {
        if !separated(line.trim_end()) {
            document.push_str(line);
            document.push('\n');
            continue;
        }
        let one = std::mem::take(&mut document);
        if one.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
            continue;
        }
        let value: Value = serde_saphyr::from_str(&one).map_err(|error| {
            anyhow::anyhow!("not valid YAML or JSON: {}", error.to_string().lines().next().unwrap_or_default())
        })?;
        if let Some(line) = wrong(&value) {
            anyhow::bail!(line);
        }
        let is_list = value.get("items").is_some_and(Value::is_array);
        if is_list {
            let items = objects(&one)?;
            if let Some(line) = items.iter().find_map(wrong) {
                anyhow::bail!(line);
            }
            all.extend(items);
        } else if value.get("kind").and_then(Value::as_str).is_some() {
            all.push(value);
        } else {
            anyhow::bail!("a document without kind: expected Kubernetes objects");
        }
    }
    Ok(all)
}

/// What to say of an object that cannot be planned for.
fn wrong(value: &Value) -> Option<String> {
    not_an_object(value).or_else(|| not_a_number(value))
}

/// What to say of an object with a field that is filled in further down, and so must be a mapping where it is there.
fn not_an_object(value: &Value) -> Option<String> {
    const KINDS: [&str; 7] =
        ["Deployment", "ReplicaSet", "StatefulSet", "ReplicationController", "DaemonSet", "Job", "CronJob"];
    const FIELDS: [(&str, &str); 5] = [
        ("/metadata", "metadata"),
        ("/spec/template/metadata/labels", "spec.template.metadata.labels"),
        ("/spec/template/spec", "spec.template.spec"),
        ("/spec/jobTemplate/spec/template/metadata/labels", "spec.jobTemplate.spec.template.metadata.labels"),
        ("/spec/jobTemplate/spec/template/spec", "spec.jobTemplate.spec.template.spec"),
    ];
    let wrong = |path: &str| value.pointer(path).is_some_and(|field| !field.is_object() && !field.is_null());
    // What other kinds have under these names is theirs.
    let filled = |path: &str| path == "/metadata" || KINDS.contains(&text(value, "/kind"));
    let (_, field) = FIELDS.into_iter().find(|(path, _)| filled(path) && wrong(path))?;
    Some(format!("{} {:?}: {field} is no mapping", text(value, "/kind"), text(value, "/metadata/name")))
}

/// What to say of a workload that gives a number of pods which the API server refuses.
fn not_a_number(value: &Value) -> Option<String> {
    template(value)?;
    let kind = text(value, "/kind");
    let fields: &[&str] = match kind {
        "DaemonSet" => &[],
        "Job" => &["spec.parallelism", "spec.completions"],
        "CronJob" => &["spec.jobTemplate.spec.parallelism", "spec.jobTemplate.spec.completions"],
        _ => &["spec.replicas"],
    };
    let (field, given) = fields.iter().find_map(|field| {
        let given = value.pointer(&format!("/{}", field.replace('.', "/")))?;
        (!given.is_null() && whole(given).is_none()).then_some((field, given))
    })?;
    let name = match text(value, "/metadata/name") {
        "" => text(value, "/metadata/generateName"),
        name => name,
    };
    Some(format!("{kind} {name:?}: {field} is {given}: expected a whole number, 0 or more"))
}

/// A number of pods. 3.0 in YAML is the 3 that kubectl makes of it.
fn whole(value: &Value) -> Option<u64> {
    let float =
        || value.as_f64().filter(|number| number.fract() == 0.0 && (0.0..=f64::from(i32::MAX)).contains(number));
    value.as_u64().or_else(|| float().map(|number| number as u64))
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// The namespace of an object that is in one.
fn namespace_of<'a>(object: &'a Value, default: &'a str) -> &'a str {
    match text(object, "/metadata/namespace") {
        "" => default,
        own => own,
    }
}

/// The name of an object with a template of pods.
fn named_workload(object: &Value, namespace: &str) -> WorkloadName {
    let [namespace, kind, name] =
        [namespace_of(object, namespace), text(object, "/kind"), text(object, "/metadata/name")].map(str::to_owned);
    WorkloadName { namespace, kind, name }
}

/// The pod template of a workload, and how many pods it asks for.
fn template(object: &Value) -> Option<(&Value, u64)> {
    let number = |pointer: &str, default: u64| object.pointer(pointer).and_then(whole).unwrap_or(default);
    let at = |pointer: &str| object.pointer(pointer);
    match text(object, "/kind") {
        "Deployment" | "ReplicaSet" | "StatefulSet" | "ReplicationController" => {
            Some((at("/spec/template")?, number("/spec/replicas", 1)))
        }
        "DaemonSet" => Some((at("/spec/template")?, 1)),
        "Job" => Some((at("/spec/template")?, runs::at_a_time(object))),
        // One run.
        "CronJob" => Some((at("/spec/jobTemplate/spec/template")?, runs::at_a_time(at("/spec/jobTemplate")?))),
        // Any other kind with a template of pods in the usual place.
        _ => {
            let template = at("/spec/template").filter(|t| t.pointer("/spec/containers").is_some())?;
            Some((template, number("/spec/replicas", 1)))
        }
    }
}

/// How many pods an object asks for. `replicas` replaces the number that it has itself; of a DaemonSet's pods one stands for
/// all.
fn number_of_pods(object: &Value, replicas: Option<u64>) -> u64 {
    match (template(object), text(object, "/kind")) {
        (Some(_), "DaemonSet") => 1,
        (Some((_, number)), _) => replicas.unwrap_or(number),
        (None, "Pod") => replicas.unwrap_or(1),
        (None, _) => 0,
    }
}

/// Says at which object there are more pods than can be planned for, by their number or by their size. DaemonSets have a
/// pod on each of so many nodes, unless they name one.
fn too_many(objects: &[Value], replicas: Option<u64>, nodes: usize) -> Option<String> {
    let (mut sum, mut bytes): (u64, u64) = (0, 0);
    let over = objects.iter().find(|object| {
        let copies = number_of_pods(object, replicas);
        let everywhere =
            text(object, "/kind") == "DaemonSet" && text(object, "/spec/template/spec/nodeName").is_empty();
        let placed = if everywhere { copies.saturating_mul(nodes as u64) } else { copies };
        sum = sum.saturating_add(placed);
        if copies > 0 {
            bytes = bytes.saturating_add(copies.saturating_mul(object.to_string().len() as u64));
        }
        sum > MAX_PODS || bytes > MAX_BYTES
    })?;
    let (kind, name) = (text(over, "/kind"), text(over, "/metadata/name"));
    let (are, most) = if sum > MAX_PODS {
        (format!("{sum} pods"), MAX_PODS.to_string())
    } else {
        (format!("pods of {} MiB together", bytes.div_ceil(1 << 20)), format!("{} MiB", MAX_BYTES >> 20))
    };
    Some(format!(
        "with {kind} {name:?} there are {are}, and at most {most} can be planned for: give --replicas N or a part of the \
         file"
    ))
}

/// Whether Helm makes the object before, after or beside a release: it is not there while the rest runs.
fn is_hook(object: &Value) -> bool {
    let Some(hook) = object.pointer(HOOK).filter(|hook| !hook.is_null()) else { return false };
    hook.as_str().is_none_or(|moments| moments.split(',').all(|moment| moment.trim() != STAYS))
}

/// What to say of pods whose class of priority is nowhere.
fn without_class(objects: &[Value], classes: &Classes) -> Option<String> {
    let pods = objects.iter().filter(|object| text(object, "/kind") == "Pod");
    let missing: BTreeSet<&str> = pods.filter_map(|pod| classes.missing(pod)).collect();
    let named = given::named(missing.iter().map(|name| ("PriorityClass", *name)));
    (!missing.is_empty()).then(|| format!("{named}: neither in the cluster nor in the file, priority 0 is planned"))
}

/// What files ask of a cluster. `replicas` replaces the number that each workload has.
///
/// # Errors
/// One line: they cannot be read, there is nothing in them that makes pods, or what makes too many.
pub(super) fn asked(
    paths: &[PathBuf],
    namespace: &str,
    replicas: Option<u64>,
    cluster: &Cluster,
    known: &Known,
) -> anyhow::Result<Asked> {
    let mut all = Vec::new();
    for (path, text) in file::read_all(FLAG, paths)? {
        all.extend(documents(&text).with_context(|| file::named(FLAG, &path))?);
    }
    let together = || paths.iter().map(|path| file::named(FLAG, path)).collect::<Vec<_>>().join(" ");
    of_objects(all, namespace, replicas, cluster, known).with_context(together)
}

/// What objects ask for.
fn of_objects(
    objects: Vec<Value>,
    namespace: &str,
    replicas: Option<u64>,
    cluster: &Cluster,
    known: &Known,
) -> anyhow::Result<Asked> {
    let (hooks, mut documents): (Vec<Value>, Vec<Value>) = objects.into_iter().partition(is_hook);
    // What no scheduler reads is not copied for each pod: environments can be large.
    documents.iter_mut().for_each(redact);
    given::name_generated(&mut documents, namespace, cluster);
    let (documents, twice) = given::last_of_each(documents, namespace);
    let (mut documents, idle) = runs::without_idle(documents, namespace, replicas, known);
    let numbers = match replicas {
        None => given::keep_numbers(&mut documents, namespace, cluster, known),
        Some(_) => Vec::new(),
    };
    if let Some(line) = too_many(&documents, replicas, cluster.nodes.len()) {
        anyhow::bail!(line);
    }
    let with_pods = documents.iter().filter(|object| template(object).is_some());
    let with_pods = with_pods.map(|object| named_workload(object, namespace));
    let workloads: BTreeSet<WorkloadName> = with_pods.chain(idle.paused).collect();
    let for_some = documents.iter().any(|object| number_of_pods(object, replicas) > 0);
    let mut rolling = BTreeMap::new();
    let mut names = Names::given(&documents, namespace, replicas, cluster, &workloads);
    let mut all = Vec::new();
    for mut object in documents {
        let number = number_of_pods(&object, replicas);
        if rollout::keeps_all(&object, number) {
            rolling.insert(named_workload(&object, namespace), usize::try_from(number).unwrap_or(usize::MAX));
        }
        let namespace = namespace_of(&object, namespace).to_owned();
        let Some((template, _)) = template(&object) else {
            let kind = text(&object, "/kind").to_owned();
            if kind == "Pod" {
                let name = text(&object, "/metadata/name").to_owned();
                for number in 0..number {
                    let mut pod = object.clone();
                    pod["metadata"]["namespace"] = namespace.as_str().into();
                    if replicas.is_some_and(|replicas| replicas > 1) {
                        pod["metadata"]["name"] = names.next(&kind, &name, &namespace, number).into();
                    }
                    all.push(pod);
                }
            } else {
                if kind == "PersistentVolumeClaim" || kind == "Service" || kind == "PodDisruptionBudget" {
                    object["metadata"]["namespace"] = namespace.into();
                }
                all.push(object);
            }
            continue;
        };
        all.extend(selectors::of_owner(&object, &namespace));
        all.extend(made(&object, template, number, &namespace, &mut names));
    }
    let classes = known.classes.and(&all);
    for pod in all.iter_mut().filter(|object| text(object, "/kind") == "Pod") {
        made::created(pod);
        defaults::set(pod, &classes);
    }
    let missing = without_class(&all, &classes);
    let pods = all.iter().filter(|object| text(object, "/kind") == "Pod");
    let claims: Vec<Value> = pods.flat_map(made::ephemeral_claims).collect();
    all.extend(claims);
    claims::set_class(&mut all, cluster);
    let snapshot = Snapshot::from_objects(all);
    let mut asked = Asked { notes: snapshot.notes.clone(), ..Asked::default() };
    // Services, ConfigMaps and the like need no remark; what could not be read does.
    asked.notes.retain(|note| note.starts_with("skipped: "));
    if !hooks.is_empty() {
        let left = counted(hooks.len(), "object");
        let why = "Helm makes hooks (helm.sh/hook) before or after a change or as tests, and not to stay";
        asked.notes.push(format!("{left} left out: {why}"));
    }
    let mut machines = 0;
    for input in snapshot.inputs() {
        match input {
            Input::NodeApplied(_) | Input::SampleApplied(_) => machines += 1,
            Input::PodApplied(pod) => {
                let daemon = pod.meta.controller().is_some_and(|owner| owner.kind == "DaemonSet");
                if daemon { asked.daemons.push(pod) } else { asked.pods.push(pod) }
            }
            other => asked.others.push(other),
        }
    }
    if machines > 0 {
        let left = counted(machines, "object");
        asked.notes.push(format!("{left} left out: nodes are not planned from files (--add and --resize do that)"));
    }
    // Workloads that are to have no pods are an answer; those whose pods cannot be read are none.
    if asked.pods.is_empty() && asked.daemons.is_empty() && (for_some || (workloads.is_empty() && idle.count == 0)) {
        let why = asked.notes.first().cloned().unwrap_or_else(|| "nothing in it makes pods".to_owned());
        return Err(anyhow::anyhow!(why)).context("nothing to place");
    }
    (asked.workloads, asked.rolling) = (workloads, rolling);
    asked.notes.extend(twice.into_iter().chain(numbers).chain(idle.notes).chain(missing));
    asked.notes.extend(given::nowhere(&asked.daemons, cluster));
    claims::without_those_there(&mut asked.others, cluster);
    asked.notes.extend(claims::bind_at_once(&mut asked.others, cluster));
    Ok(asked)
}

#[cfg(test)]
mod tests;
