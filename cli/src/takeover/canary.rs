//! Objects that show whether somebody is at work: nobody answers them as long as a loop is at rest, and whoever works
//! answers within seconds. They run nothing that matters, and are deleted whatever happens.

use headroom_runtime::clock;
use serde_json::{Value, json};

use crate::{distribution::text, doctor::cut};

/// The image of canary pods: every node that runs pods has it, or its like.
const IMAGE: &str = "registry.k8s.io/pause:3.10";
/// Keeps a pod from being scheduled: where only its existence matters.
const GATE: &str = "headroom.dev/canary";
/// For documentation only (RFC 5737): nobody is there.
const ADDRESS: &str = "192.0.2.1";

/// What is asked, and so who has to answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A pod of default-scheduler: the scheduler binds it.
    Pod,
    /// A ReplicationController: gets its pod.
    ReplicationController,
    /// A Service with a selector: gets Endpoints.
    Endpoints,
    /// The same: gets a slice.
    EndpointSlice,
    /// Endpoints that somebody wrote: are mirrored.
    Mirroring,
    /// A pod without a node that is to be deleted and cannot be: is marked as failed.
    Garbage,
    /// A ReplicaSet: gets its pod from the stock manager, whose other loops are proven to be awake by it.
    Control,
}

impl Kind {
    /// What a loop answers; none of those that only a node would move.
    pub(crate) fn of_loop(name: &str) -> Option<Self> {
        Some(match name {
            "replicationcontroller-controller" => Self::ReplicationController,
            "endpoints-controller" => Self::Endpoints,
            "endpointslice-controller" => Self::EndpointSlice,
            "endpointslice-mirroring-controller" => Self::Mirroring,
            "pod-garbage-collector-controller" => Self::Garbage,
            _ => return None,
        })
    }

    /// How long the silence must last to be one, seconds.
    pub(crate) const fn quiet(self) -> u64 {
        match self {
            // It looks every 20 seconds.
            Self::Garbage => 45,
            // Whoever is alive answers within a second or two; a busy queue takes longer.
            Self::Pod => 15,
            _ => 20,
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Pod => "pod",
            Self::ReplicationController => "rc",
            Self::Endpoints => "endpoints",
            Self::EndpointSlice => "slice",
            Self::Mirroring => "mirror",
            Self::Garbage => "garbage",
            Self::Control => "control",
        }
    }

    /// For people: what it is and what would answer it.
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Pod => "a pod of default-scheduler that nobody binds",
            Self::ReplicationController => "a ReplicationController that gets no pod",
            Self::Endpoints => "a Service that gets no Endpoints",
            Self::EndpointSlice => "a Service that gets no slice",
            Self::Mirroring => "Endpoints that nobody mirrors",
            Self::Garbage => "a pod to be collected that nobody collects",
            Self::Control => "a ReplicaSet that gets its pod",
        }
    }
}

/// A part of the names of a run's canaries.
pub(crate) fn run_name() -> String {
    format!("{:06x}", clock::wall().0 & 0x00ff_ffff)
}

/// One object, or a few, with a name of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Canary {
    pub(crate) kind: Kind,
    namespace: String,
    name: String,
}

/// What is left to be done with it at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Removal {
    /// All of a list.
    Each(String),
    /// One object. Whatever holds it is taken off before.
    One(String),
}

impl Canary {
    /// With a name that no earlier one had: `run` differs from run to run, `attempt` within one.
    pub(crate) fn new(kind: Kind, namespace: &str, run: &str, attempt: u32) -> Self {
        let name = format!("headroom-canary-{run}-{attempt}-{}", kind.word());
        Self { kind, namespace: namespace.to_owned(), name }
    }

    /// `Pod kube-system/headroom-canary-…`.
    pub(crate) fn full_name(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    fn core(&self, plural: &str) -> String {
        format!("/api/v1/namespaces/{}/{plural}", self.namespace)
    }

    fn meta(&self) -> Value {
        json!({"name": self.name, "namespace": self.namespace,
               "labels": {"headroom.dev/canary": self.name, "app.kubernetes.io/part-of": "headroom"}})
    }

    /// A pod's spec that every namespace lets in, with room everywhere.
    fn pod_spec(&self, gated: bool) -> Value {
        let mut spec = json!({
            "schedulerName": "default-scheduler",
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            "terminationGracePeriodSeconds": 0,
            "tolerations": [{"operator": "Exists"}],
            "securityContext": {"runAsNonRoot": true, "runAsUser": 65535, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{"name": "canary", "image": IMAGE,
                "resources": {"requests": {"cpu": "1m", "memory": "1Mi"}},
                "securityContext": {"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true,
                                    "capabilities": {"drop": ["ALL"]}}}],
        });
        if gated {
            spec["schedulingGates"] = json!([{"name": GATE}]);
        }
        spec
    }

    fn replicas(&self) -> Value {
        let label = json!({"headroom.dev/canary": self.name});
        let template = json!({"metadata": {"labels": label}, "spec": self.pod_spec(true)});
        let selector = if self.kind == Kind::Control { json!({"matchLabels": label}) } else { label };
        json!({"replicas": 1, "selector": selector, "template": template})
    }

    /// What is made, and where.
    pub(crate) fn objects(&self) -> Vec<(String, Value)> {
        let ports = json!([{"port": 80}]);
        let service = |selector: Value| {
            json!({"apiVersion": "v1", "kind": "Service", "metadata": self.meta(),
                   "spec": {"clusterIP": "None", "selector": selector, "ports": ports}})
        };
        match self.kind {
            Kind::Pod => {
                let spec = self.pod_spec(false);
                vec![(
                    self.core("pods"),
                    json!({"apiVersion": "v1", "kind": "Pod", "metadata": self.meta(), "spec": spec}),
                )]
            }
            Kind::ReplicationController => {
                let object = json!({"apiVersion": "v1", "kind": "ReplicationController", "metadata": self.meta(),
                                    "spec": self.replicas()});
                vec![(self.core("replicationcontrollers"), object)]
            }
            Kind::Control => {
                let object = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": self.meta(),
                                    "spec": self.replicas()});
                vec![(format!("/apis/apps/v1/namespaces/{}/replicasets", self.namespace), object)]
            }
            Kind::Endpoints | Kind::EndpointSlice => {
                vec![(self.core("services"), service(json!({"headroom.dev/canary": "nobody"})))]
            }
            Kind::Mirroring => {
                let endpoints = json!({"apiVersion": "v1", "kind": "Endpoints", "metadata": self.meta(),
                                       "subsets": [{"addresses": [{"ip": ADDRESS}], "ports": ports}]});
                vec![(self.core("services"), service(Value::Null)), (self.core("endpoints"), endpoints)]
            }
            Kind::Garbage => {
                let mut meta = self.meta();
                meta["finalizers"] = json!([GATE]);
                let spec = self.pod_spec(true);
                vec![(self.core("pods"), json!({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}))]
            }
        }
    }

    /// What is deleted right after: only what is to go can be collected.
    pub(crate) fn deleted_at_once(&self) -> Option<String> {
        (self.kind == Kind::Garbage).then(|| format!("{}/{}", self.core("pods"), self.name))
    }

    /// Where the answer shows.
    pub(crate) fn question(&self) -> String {
        let name = &self.name;
        match self.kind {
            Kind::Pod | Kind::Garbage => format!("{}/{name}", self.core("pods")),
            Kind::Endpoints => format!("{}/{name}", self.core("endpoints")),
            Kind::ReplicationController | Kind::Control => {
                format!("{}?labelSelector=headroom.dev%2Fcanary%3D{name}", self.core("pods"))
            }
            Kind::EndpointSlice | Kind::Mirroring => format!(
                "/apis/discovery.k8s.io/v1/namespaces/{}/endpointslices?labelSelector=kubernetes.io%2Fservice-name%3D{name}",
                self.namespace
            ),
        }
    }

    /// Where the events of its binding are: they say by whom it was.
    pub(crate) fn bindings(&self) -> String {
        format!(
            "/api/v1/namespaces/{}/events?fieldSelector=involvedObject.name%3D{}%2Creason%3DScheduled",
            self.namespace, self.name
        )
    }

    /// Whether somebody has answered; a pod that was looked at counts, when any sign of life does.
    pub(crate) fn answered(&self, found: Option<&Value>, any_sign: bool) -> bool {
        let Some(found) = found else { return false };
        match self.kind {
            Kind::Pod => {
                let looked_at = any_sign && condition(found).is_some();
                !text(found, "/spec/nodeName").is_empty() || looked_at
            }
            Kind::Garbage => text(found, "/status/phase") == "Failed",
            Kind::Endpoints => true,
            _ => found.get("items").and_then(Value::as_array).is_some_and(|items| !items.is_empty()),
        }
    }

    /// What is known while there is no answer.
    pub(crate) fn says(&self, found: Option<&Value>) -> String {
        let why = found.and_then(condition).map(|condition| cut(text(condition, "/message")));
        match (self.kind, why) {
            (Kind::Pod, Some(why)) if !why.is_empty() => format!("{} waits: {why}", self.full_name()),
            (Kind::Pod, _) => format!("{} is not bound, and nobody says why", self.full_name()),
            _ => format!("{} has no answer yet", self.full_name()),
        }
    }

    /// How it is removed, and what it left.
    pub(crate) fn removals(&self) -> Vec<Removal> {
        let one = |collection: String| Removal::One(format!("{collection}/{}", self.name));
        match self.kind {
            Kind::Pod | Kind::Garbage => vec![one(self.core("pods"))],
            Kind::ReplicationController => {
                vec![one(self.core("replicationcontrollers")), Removal::Each(self.question())]
            }
            Kind::Control => vec![
                one(format!("/apis/apps/v1/namespaces/{}/replicasets", self.namespace)),
                Removal::Each(self.question()),
            ],
            // Slices go with what they belong to; Endpoints belong to nobody.
            Kind::Endpoints | Kind::EndpointSlice | Kind::Mirroring => {
                vec![one(self.core("services")), one(self.core("endpoints"))]
            }
        }
    }
}

/// The programs that wrote objects, by their `managedFields`.
pub(crate) fn managers(objects: &[Value]) -> Vec<&str> {
    let fields = objects.iter().filter_map(|object| object.pointer("/metadata/managedFields")?.as_array()).flatten();
    fields.map(|entry| text(entry, "/manager")).collect()
}

/// The condition PodScheduled that says no.
fn condition(pod: &Value) -> Option<&Value> {
    let conditions = pod.pointer("/status/conditions")?.as_array()?;
    conditions.iter().find(|c| text(c, "/type") == "PodScheduled" && text(c, "/status") == "False")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Kind; 7] = [
        Kind::Pod,
        Kind::ReplicationController,
        Kind::Endpoints,
        Kind::EndpointSlice,
        Kind::Mirroring,
        Kind::Garbage,
        Kind::Control,
    ];

    fn canary(kind: Kind) -> Canary {
        Canary::new(kind, "kube-system", "x1y2", 1)
    }

    #[test]
    fn every_one_has_a_name_of_its_own_and_is_removed() {
        let mut names: Vec<String> = ALL.iter().map(|kind| canary(*kind).name).collect();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
        for kind in ALL {
            let canary = canary(kind);
            let removed = canary.removals();
            for (collection, object) in canary.objects() {
                assert_eq!(object["metadata"]["name"], canary.name);
                let one = Removal::One(format!("{collection}/{}", canary.name));
                assert!(removed.contains(&one), "{kind:?}: {removed:?}");
            }
        }
    }

    #[test]
    fn answers() {
        let list = json!({"items": [{}]});
        let bound = json!({"spec": {"nodeName": "a"}});
        let refused = json!({"status": {"conditions": [
            {"type": "PodScheduled", "status": "False", "message": "0/1 nodes are available"}]}});
        for (kind, found, any_sign, expected) in [
            (Kind::Pod, Some(&bound), false, true),
            (Kind::Pod, Some(&refused), false, false),
            (Kind::Pod, Some(&refused), true, true),
            (Kind::Pod, Some(&json!({"spec": {}})), true, false),
            (Kind::Garbage, Some(&json!({"status": {"phase": "Failed"}})), true, true),
            (Kind::Garbage, Some(&json!({"status": {"phase": "Pending"}})), true, false),
            (Kind::Endpoints, Some(&json!({})), true, true),
            (Kind::Endpoints, None, true, false),
            (Kind::EndpointSlice, Some(&list), true, true),
            (Kind::ReplicationController, Some(&json!({"items": []})), true, false),
        ] {
            assert_eq!(canary(kind).answered(found, any_sign), expected, "{kind:?} {found:?}");
        }
        assert!(canary(Kind::Pod).says(Some(&refused)).ends_with(" waits: 0/1 nodes are available"));
        let escape = json!({"status": {"conditions": [
            {"type": "PodScheduled", "status": "False", "message": "a\u{1b}[2J\nb"}]}});
        assert!(canary(Kind::Pod).says(Some(&escape)).ends_with(" waits: a [2J b"), "of whoever writes conditions");
    }

    #[test]
    fn only_a_bare_pod_can_be_scheduled() {
        for kind in ALL {
            for (_, object) in canary(kind).objects() {
                let spec = object.pointer("/spec/template/spec").or_else(|| object.get("spec"));
                let Some(spec) = spec.filter(|spec| spec.get("containers").is_some()) else { continue };
                assert_eq!(spec.get("schedulingGates").is_none(), kind == Kind::Pod, "{kind:?}");
                assert_eq!(spec["schedulerName"], "default-scheduler");
            }
        }
    }
}
