//! A saved cluster: a `v1 List` of ordinary objects, fed to the engine through the conversions of the live path.

use std::collections::BTreeMap;

use headroom_core::{
    Mono, Now, Timestamp,
    object::{Node, ObjectKey, Pod, WorkloadSelector},
};
use headroom_engine::{
    ConfigError, Configuration, Engine, Input, Mode, Registry, cache::StorageObject, engine::PodExplanation,
};
use headroom_runtime::wire::{self, AnyRow, Interners, time::parse_rfc3339};
use serde_json::Value;

use crate::{cluster, fixes};

use std::sync::Arc;

/// Largest file that is read, bytes.
pub const MAX_BYTES: u64 = 1 << 30;
/// How deep objects are searched for times.
pub(crate) const MAX_DEPTH: usize = 16;

/// Why a file is no snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotASnapshot(pub String);

impl std::fmt::Display for NotASnapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotASnapshot {}

/// The objects of a cluster at one time.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    rows: Vec<AnyRow>,
    /// Of Services and of what owns pods.
    selectors: Vec<Arc<WorkloadSelector>>,
    newest_sample: Option<Timestamp>,
    newest: Option<Timestamp>,
    /// What was skipped, in sentences for people.
    pub notes: Vec<String>,
}

impl Snapshot {
    /// Reads a `v1 List` in JSON or YAML, as `kubectl get nodes,pods,… -A -o yaml` prints it.
    ///
    /// # Errors
    /// One line: not JSON or YAML, or not a list.
    pub fn parse(text: &str) -> Result<Self, NotASnapshot> {
        objects(text).map(Self::from_objects)
    }

    /// The objects themselves, each with its `kind`.
    #[must_use]
    pub fn from_objects(objects: impl IntoIterator<Item = Value>) -> Self {
        let mut this = Self::default();
        let mut interners = Interners::default();
        let mut unread: BTreeMap<String, usize> = BTreeMap::new();
        for object in objects {
            this.add(object, &mut interners, &mut unread);
        }
        for (kind, count) in unread {
            this.notes.push(format!("{count} of kind {kind} skipped: nothing here reads them"));
        }
        this
    }

    fn add(&mut self, mut object: Value, interners: &mut Interners, unread: &mut BTreeMap<String, usize>) {
        let kind = object.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
        if kind == "NodeHeadroom" {
            let at = object.pointer("/status/observedAt").and_then(Value::as_str).and_then(parse_rfc3339);
            self.newest_sample = self.newest_sample.max(at);
        }
        self.newest = self.newest.max(newest(&object, MAX_DEPTH));
        fill_identity(&kind, &mut object);
        // Default topology spreading reads the selectors of some kinds, and nothing else of them.
        let selector = wire::selector_from_json(&kind, object.clone(), interners).unwrap_or_default();
        let selects = selector.is_some();
        self.selectors.extend(selector.map(Arc::new));
        match wire::from_json(&kind, object, interners) {
            Ok(Some(row)) => self.rows.push(row),
            Ok(None) if selects || cluster::is_only_saved(&kind) => {}
            Ok(None) => *unread.entry(kind).or_default() += 1,
            Err(error) => self.notes.push(format!("skipped: {error}")),
        }
    }

    /// The time of the snapshot: that of its newest sample, else the newest time that stands in it, if any.
    #[must_use]
    pub fn time(&self) -> Option<Timestamp> {
        self.newest_sample.or(self.newest)
    }

    /// A pod by name.
    #[must_use]
    pub fn pod(&self, namespace: &str, name: &str) -> Option<&Arc<Pod>> {
        self.rows.iter().find_map(|row| match row {
            AnyRow::Pod(pod) if pod.meta.key == ObjectKey::new(namespace, name) => Some(pod),
            _ => None,
        })
    }

    /// An engine that has seen everything in the snapshot, at this time.
    ///
    /// # Errors
    /// [`ConfigError`] when the configuration cannot be used.
    pub fn engine(&self, config: Configuration, registry: Registry, at: Timestamp) -> Result<Engine, ConfigError> {
        let mut engine = Engine::new(config, registry, 0, Mode::Primary)?;
        let now = now(at);
        let mut ignored = Vec::new();
        // What pods refer to comes before them, as after the first lists of a live scheduler.
        for pods in [false, true] {
            for row in self.rows.iter().filter(|row| matches!(row, AnyRow::Pod(_)) == pods) {
                if let Some(input) = input(row) {
                    engine.handle(input, now, &mut ignored);
                    // Nobody executes anything here.
                    ignored.clear();
                }
            }
            if !pods {
                for selector in &self.selectors {
                    engine.handle(Input::SelectorApplied(selector.clone()), now, &mut ignored);
                    ignored.clear();
                }
            }
        }
        engine.handle(Input::Tick, now, &mut ignored);
        Ok(engine)
    }

    /// What the engine would do with a pod of this snapshot, and why. `None` when there is no such pod.
    ///
    /// # Errors
    /// [`ConfigError`] when the configuration cannot be used.
    pub fn explain(
        &self,
        config: Configuration,
        registry: Registry,
        at: Timestamp,
        namespace: &str,
        name: &str,
    ) -> Result<Option<PodExplanation>, ConfigError> {
        let engine = self.engine(config, registry, at)?;
        Ok(self.pod(namespace, name).map(|pod| engine.explain(pod, now(at))))
    }

    /// Everything as the scheduler's informers would have sent it, in the order of the file; selectors last.
    pub(crate) fn inputs(&self) -> Vec<Input> {
        let selectors = self.selectors.iter().map(|selector| Input::SelectorApplied(selector.clone()));
        self.rows.iter().filter_map(input).chain(selectors).collect()
    }

    /// All pods, and all nodes.
    pub(crate) fn pods_and_nodes(&self) -> (Vec<Arc<Pod>>, Vec<Arc<Node>>) {
        let (mut pods, mut nodes) = (Vec::new(), Vec::new());
        for row in &self.rows {
            match row {
                AnyRow::Pod(pod) => pods.push(pod.clone()),
                AnyRow::Node(node) => nodes.push(node.clone()),
                _ => {}
            }
        }
        (pods, nodes)
    }

    /// The same, with what would make the pod fit: every fix was tried with the same engine.
    ///
    /// # Errors
    /// [`ConfigError`] when the configuration cannot be used.
    pub fn explain_and_fix(
        &self,
        config: Configuration,
        registry: Registry,
        at: Timestamp,
        namespace: &str,
        name: &str,
    ) -> Result<Option<PodExplanation>, ConfigError> {
        let mut engine = self.engine(config, registry, at)?;
        let Some(pod) = self.pod(namespace, name) else { return Ok(None) };
        let mut explained = engine.explain(pod, now(at));
        let (pods, nodes) = self.pods_and_nodes();
        let fixes = fixes::find(&mut engine, &explained, pod, &pods, &nodes, now(at));
        explained.fixes = fixes.iter().filter_map(|fix| serde_json::to_value(fix).ok()).collect();
        Ok(Some(explained))
    }
}

/// The objects of a `v1 List` in JSON or YAML, each with its `kind`.
///
/// # Errors
/// One line: not JSON or YAML, or not a list.
pub(crate) fn objects(text: &str) -> Result<Vec<Value>, NotASnapshot> {
    let first_line = |e: String| e.lines().next().unwrap_or_default().to_owned();
    let document: Value = if text.trim_start().starts_with('{') {
        serde_json::from_str(text).map_err(|e| NotASnapshot(format!("not valid JSON: {e}")))?
    } else {
        // The reader's own limits are made for configuration files.
        let options = serde_saphyr::options! {
            budget: serde_saphyr::budget! {
                max_events: 400_000_000,
                max_nodes: 100_000_000,
                max_total_scalar_bytes: 1 << 30,
            },
        };
        serde_saphyr::from_str_with_options(text, options)
            .map_err(|e| NotASnapshot(format!("not valid YAML: {}", first_line(e.to_string()))))?
    };
    let kind = document.get("kind").and_then(Value::as_str).unwrap_or_default().to_owned();
    let Value::Object(mut fields) = document else {
        return Err(NotASnapshot("not a List of objects".to_owned()));
    };
    match (kind.strip_suffix("List"), fields.remove("items")) {
        (Some(of), Some(Value::Array(items))) => {
            let version = fields.get("apiVersion").cloned().unwrap_or_default();
            Ok(items
                .into_iter()
                .map(|mut item| {
                    // Items of a PodList and the like do not say what they are.
                    if let (false, Some(item)) = (of.is_empty(), item.as_object_mut()) {
                        item.entry("kind").or_insert_with(|| of.into());
                        item.entry("apiVersion").or_insert_with(|| version.clone());
                    }
                    item
                })
                .collect())
        }
        _ => Err(NotASnapshot(format!(
            "kind {kind:?} without items is no snapshot: expected a v1 List as printed by kubectl get -o yaml"
        ))),
    }
}

/// Both clocks at a saved time.
pub(crate) fn now(at: Timestamp) -> Now {
    Now { wall: at, mono: Mono(u64::try_from(at.0).unwrap_or(0)) }
}

/// What the scheduler's informers would have sent. Kinds that it does not watch tell it nothing.
fn input(row: &AnyRow) -> Option<Input> {
    match row {
        AnyRow::Pod(row) => Some(Input::PodApplied(row.clone())),
        AnyRow::Node(row) => Some(Input::NodeApplied(row.clone())),
        AnyRow::Namespace(row) => Some(Input::NamespaceApplied(row.clone())),
        AnyRow::NodeHeadroom(row) => Some(Input::SampleApplied(row.clone())),
        AnyRow::MemoryProfile(row) => Some(Input::ProfileApplied(row.clone())),
        AnyRow::PodDisruptionBudget(row) => Some(Input::BudgetApplied(row.clone())),
        AnyRow::PersistentVolume(row) => storage(StorageObject::Volume(row.clone())),
        AnyRow::PersistentVolumeClaim(row) => storage(StorageObject::Claim(row.clone())),
        AnyRow::StorageClass(row) => storage(StorageObject::Class(row.clone())),
        AnyRow::CsiNode(row) => storage(StorageObject::CsiNode(row.clone())),
        AnyRow::CsiDriver(row) => storage(StorageObject::CsiDriver(row.clone())),
        AnyRow::CsiStorageCapacity(row) => storage(StorageObject::Capacity(row.clone())),
        AnyRow::VolumeAttachment(row) => storage(StorageObject::Attachment(row.clone())),
        _ => None,
    }
}

#[expect(clippy::unnecessary_wraps, reason = "as all inputs of the table above")]
const fn storage(object: StorageObject) -> Option<Input> {
    Some(Input::StorageApplied(object))
}

/// Kinds with a namespace that people write without one.
const NAMESPACED: [&str; 9] = [
    "Pod",
    "PersistentVolumeClaim",
    "PodDisruptionBudget",
    "Service",
    "ReplicationController",
    "ReplicaSet",
    "StatefulSet",
    "CSIStorageCapacity",
    "MemoryProfile",
];

/// Objects that were written by hand have neither UIDs nor, some of them, a namespace.
pub(crate) fn fill_identity(kind: &str, object: &mut Value) {
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else { return };
    let text = |metadata: &serde_json::Map<String, Value>, field: &str| {
        metadata.get(field).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    if NAMESPACED.contains(&kind) && text(metadata, "namespace").is_empty() {
        metadata.insert("namespace".to_owned(), "default".into());
    }
    if text(metadata, "uid").is_empty() {
        let uid = format!("{kind}/{}/{}", text(metadata, "namespace"), text(metadata, "name"));
        metadata.insert("uid".to_owned(), uid.into());
    }
}

/// The newest time that stands anywhere in a field named like one.
pub(crate) fn newest(value: &Value, depth: usize) -> Option<Timestamp> {
    let depth = depth.checked_sub(1)?;
    match value {
        Value::Object(fields) => fields
            .iter()
            .filter_map(|(key, value)| match value {
                Value::String(text) if key.ends_with("Time") || key.ends_with("Timestamp") || key.ends_with("At") => {
                    parse_rfc3339(text)
                }
                value => newest(value, depth),
            })
            .max(),
        Value::Array(items) => items.iter().filter_map(|item| newest(item, depth)).max(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLUSTER: &str = "
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Node, metadata: {name: a, creationTimestamp: '2026-11-22T10:00:00Z'}, status: {allocatable: {cpu: '1', memory: 1Gi, pods: '10'}}}
- {apiVersion: v1, kind: Node, metadata: {name: b}, spec: {unschedulable: true}, status: {allocatable: {cpu: '1', memory: 4Gi, pods: '10'}}}
- {apiVersion: v1, kind: Pod, metadata: {name: placed}, spec: {nodeName: a, containers: [{name: c, resources: {requests: {memory: 1000Mi}}}]}}
- {apiVersion: v1, kind: Pod, metadata: {name: waiting}, spec: {containers: [{name: c, resources: {requests: {memory: 100Mi}}}]}}
- {apiVersion: serving.knative.dev/v1, kind: Service, metadata: {name: s}}
- {apiVersion: v1, kind: Secret, metadata: {name: s}}
- {apiVersion: v1, kind: Node, metadata: {name: broken}, status: {allocatable: {cpu: '1', memory: lots}}}
";

    fn explain(s: &Snapshot, name: &str) -> Option<PodExplanation> {
        let at = s.time().unwrap();
        s.explain(Configuration::default(), Registry::in_tree(), at, "default", name).unwrap()
    }

    #[test]
    fn a_list_as_kubectl_prints_it() {
        let s = Snapshot::parse(CLUSTER).unwrap();
        assert_eq!(s.time().unwrap().to_string(), "2026-11-22T10:00:00Z");
        assert!(s.notes.iter().any(|n| n == "1 of kind Secret skipped: nothing here reads them"), "{:?}", s.notes);
        assert!(s.notes.iter().any(|n| n == "1 of kind Service skipped: nothing here reads them"), "{:?}", s.notes);
        assert!(s.notes.iter().any(|n| n.starts_with("skipped: Node broken: ")), "{:?}", s.notes);
        let waiting = explain(&s, "waiting").unwrap();
        assert_eq!(waiting.result.node, None);
        let expected = "0/2 nodes are available: 1 Insufficient memory, 1 node(s) were unschedulable.";
        assert!(waiting.result.message.starts_with(expected), "{}", waiting.result.message);
        // As if it were pending on the rest of the cluster.
        let placed = explain(&s, "placed").unwrap();
        assert_eq!((placed.result.node.as_deref(), placed.pod.node_name.as_deref()), (Some("a"), Some("a")));
        assert!(explain(&s, "absent").is_none());
    }

    #[test]
    fn lists_of_one_kind_and_json() {
        let text = r#"{"kind": "NodeList", "apiVersion": "v1", "items": [{"metadata": {"name": "a"}}]}"#;
        let s = Snapshot::parse(text).unwrap();
        assert_eq!((s.rows.len(), s.time(), s.notes.len()), (1, None, 0));
    }

    #[test]
    fn the_newest_sample_is_the_time() {
        let text = r#"{"kind": "List", "items": [
            {"kind": "Node", "metadata": {"name": "a", "creationTimestamp": "2026-11-22T12:00:00Z"}},
            {"kind": "NodeHeadroom", "apiVersion": "headroom.dev/v1alpha1", "metadata": {"name": "a"},
             "status": {"observedAt": "2026-11-22T11:00:00Z"}}]}"#;
        assert_eq!(Snapshot::parse(text).unwrap().time().unwrap().to_string(), "2026-11-22T11:00:00Z");
    }

    #[test]
    fn what_is_no_snapshot_gets_one_line() {
        for (text, expected) in [
            ("{", "not valid JSON: "),
            ("a: [", "not valid YAML: "),
            ("- a", "not a List of objects"),
            ("kind: Pod", "kind \"Pod\" without items is no snapshot"),
            ("", "not a List of objects"),
        ] {
            let line = Snapshot::parse(text).unwrap_err().to_string();
            assert!(line.starts_with(expected) && !line.contains('\n'), "{text:?}: {line}");
        }
    }
}
