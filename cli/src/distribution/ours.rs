//! The Deployments of Headroom's two processes.

use serde_json::{Value, json};

use super::{configuration::Place, text};
use crate::{
    doctor::{Program, flag, name_and_value},
    rollout,
};

/// The namespace of the control plane.
const SYSTEM: &str = "kube-system";

/// The patch after which a rollout ends an old pod before it makes the new one, as the chart has it on a node's network.
pub(crate) const OLD_FIRST: &str = "spec: {strategy: {rollingUpdate: {maxSurge: 0, maxUnavailable: 1}}}";

/// What becomes of a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rollout {
    Ends,
    /// It ends only where a node is free that fits.
    MayWait,
    /// It waits for ever: the new process needs the port of the old one, which goes only when the new one is ready.
    WaitsForPort,
    /// It waits for ever: the new pod needs a node without one, and each has one until the new one is ready.
    WaitsForNode,
}

/// A Deployment of one of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ours {
    pub(crate) namespace: String,
    pub(crate) name: String,
    container: String,
    /// The field in which its flags stand: `args` or `command`.
    field: &'static str,
    /// The words in that field.
    pub(crate) words: Vec<String>,
    /// Its ServiceAccount.
    pub(crate) account: String,
    pub(crate) replicas: i64,
    node_name: String,
    /// No two of its pods share a node.
    apart: bool,
    pub(crate) host_network: bool,
    pub(crate) tolerates_all: bool,
    pub(crate) recreate: bool,
    /// A rollout lets no old pod go before a new one runs.
    keeps_all: bool,
    /// Where the file of `--config` comes from, if from a ConfigMap.
    pub(crate) configuration: Option<Place>,
    /// Its Helm release.
    pub(crate) release: Option<String>,
    /// Others that look the same. None count where this one is in kube-system, which is nobody's but the operators'.
    pub(crate) others: Vec<String>,
}

impl Ours {
    /// The Deployment that runs the program: one in kube-system before others, since anybody can make one that looks the
    /// same in a namespace of theirs, and this one will be given rights.
    pub(crate) fn find(deployments: &[Value], program: Program) -> Option<Self> {
        let mut all: Vec<Self> = deployments.iter().filter_map(|d| Self::from_object(d, program)).collect();
        let own = all.iter().position(|ours| ours.namespace == SYSTEM);
        if all.is_empty() {
            return None;
        }
        let mut ours = all.swap_remove(own.unwrap_or(0));
        if own.is_none() {
            ours.others = all.iter().map(Self::full_name).collect();
        }
        Some(ours)
    }

    /// From a Deployment that runs the program.
    pub(crate) fn from_object(deployment: &Value, program: Program) -> Option<Self> {
        let spec = deployment.pointer("/spec/template/spec")?;
        let words = |container: &Value, field: &str| -> Vec<String> {
            let list = container.get(field).and_then(Value::as_array).into_iter().flatten();
            list.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let runs = |container: &&Value| {
            let first = words(container, "command").into_iter().next();
            Program::named(first.as_deref().unwrap_or_else(|| text(container, "/image"))) == Some(program)
        };
        let container = spec.get("containers")?.as_array()?.iter().find(runs)?;
        let field = if words(container, "args").is_empty() && !words(container, "command").is_empty() {
            "command"
        } else {
            "args"
        };
        let helm = text(deployment, "/metadata/labels/app.kubernetes.io~1managed-by") == "Helm";
        let release = text(deployment, "/metadata/annotations/meta.helm.sh~1release-name");
        let tolerations = spec.get("tolerations").and_then(Value::as_array).into_iter().flatten();
        let all =
            |t: &Value| text(t, "/operator") == "Exists" && text(t, "/key").is_empty() && text(t, "/effect").is_empty();
        let required = spec.pointer("/affinity/podAntiAffinity/requiredDuringSchedulingIgnoredDuringExecution");
        let terms = required.and_then(Value::as_array).into_iter().flatten();
        let account = text(spec, "/serviceAccountName");
        let given = words(container, field);
        let replicas = deployment.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(1);
        Some(Self {
            namespace: text(deployment, "/metadata/namespace").to_owned(),
            name: text(deployment, "/metadata/name").to_owned(),
            container: text(container, "/name").to_owned(),
            field,
            configuration: flag(&given, "config").last().and_then(|path| Place::of(spec, container, path)),
            words: given,
            account: if account.is_empty() { "default" } else { account }.to_owned(),
            replicas,
            node_name: text(spec, "/nodeName").to_owned(),
            apart: terms.clone().any(|term| text(term, "/topologyKey") == "kubernetes.io/hostname"),
            host_network: spec.get("hostNetwork").and_then(Value::as_bool).unwrap_or(false),
            tolerates_all: tolerations.clone().any(all),
            recreate: text(deployment, "/spec/strategy/type") == "Recreate",
            keeps_all: rollout::keeps_all(deployment, u64::try_from(replicas).unwrap_or(0)),
            release: (helm && !release.is_empty()).then(|| release.to_owned()),
            others: Vec::new(),
        })
    }

    pub(crate) fn path(&self) -> String {
        format!("/apis/apps/v1/namespaces/{}/deployments/{}", self.namespace, self.name)
    }

    /// Where the ConfigMap is that has the file of `--config`.
    pub(crate) fn configuration_path(&self) -> Option<String> {
        let place = self.configuration.as_ref()?;
        Some(format!("/api/v1/namespaces/{}/configmaps/{}", self.namespace, place.config_map))
    }

    /// `namespace/name`.
    pub(crate) fn full_name(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// What the scheduler does, by its `--mode`.
    pub(crate) fn mode(&self) -> &str {
        flag(&self.words, "mode").last().copied().unwrap_or("primary")
    }

    /// The value of a flag.
    pub(crate) fn flag(&self, name: &str) -> Option<&str> {
        flag(&self.words, name).last().copied()
    }

    /// Whether its pods come back without any scheduler.
    pub(crate) const fn is_pinned(&self) -> bool {
        !self.node_name.is_empty()
    }

    /// Why it must not be what a cluster depends on: it would not come back by itself.
    pub(crate) fn unsafe_because(&self) -> Option<&'static str> {
        if self.replicas < 1 {
            return Some("it has no replicas");
        }
        if self.recreate {
            return Some("its strategy is Recreate: an update would end the old one first");
        }
        let stays = self.is_pinned() || (self.replicas >= 2 && self.apart);
        if stays { None } else { Some("nobody would schedule its pod if that were lost") }
    }

    /// Whether it makes the new pod first, on its node's network: pinned to that node the two never run side by side.
    pub(crate) const fn collides(&self) -> bool {
        self.host_network && self.keeps_all
    }

    /// What becomes of a rollout in a cluster of so many nodes, none of them where that is not known. Pods that no node pins
    /// need one without an old pod: for the port, or since no two may share a node.
    pub(crate) fn rollout(&self, nodes: usize) -> Rollout {
        let alone = self.apart && !self.is_pinned();
        if !(self.collides() || self.keeps_all && alone) {
            return Rollout::Ends;
        }
        let waits = if self.host_network { Rollout::WaitsForPort } else { Rollout::WaitsForNode };
        let full = nodes > 0 && i64::try_from(nodes).is_ok_and(|nodes| nodes <= self.replicas);
        match (self.is_pinned() || full, alone) {
            (true, _) => waits,
            // Whoever keeps them apart has thought of the nodes.
            (false, true) => Rollout::Ends,
            (false, false) => Rollout::MayWait,
        }
    }

    /// The patch after which these flags have these values, or are gone, and the one that undoes it.
    pub(crate) fn with_flags(&self, flags: &[(&str, Option<&str>)]) -> (Value, Value) {
        let patch = |words: &[String]| json!({"spec": {"template": {"spec": {"containers": [{"name": self.container, self.field: words}]}}}});
        let changed = flags.iter().fold(self.words.clone(), |words, (name, value)| with_flag(&words, name, *value));
        (patch(&changed), patch(&self.words))
    }
}

/// The words with one mention of a flag, where the first one stood.
fn with_flag(words: &[String], name: &str, value: Option<&str>) -> Vec<String> {
    let mut changed = Vec::with_capacity(words.len() + 1);
    let mut wanted = value.map(|value| format!("--{name}={value}"));
    let mut skip = false;
    for (i, word) in words.iter().enumerate() {
        if std::mem::take(&mut skip) {
            continue;
        }
        match word.strip_prefix("--").map(name_and_value) {
            Some((given, behind)) if given == name => {
                changed.extend(wanted.take());
                skip = behind.is_none() && words.get(i + 1).is_some_and(|next| !next.starts_with("--"));
            }
            _ => changed.push(word.clone()),
        }
    }
    changed.extend(wanted);
    changed
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A Deployment as the chart makes it, pinned to a node and on its network.
    pub(crate) fn deployment(component: &str, args: &[&str]) -> Value {
        let name = format!("headroom-{component}");
        json!({"kind": "Deployment", "metadata": {"name": name, "namespace": "kube-system",
                   "labels": {"app.kubernetes.io/managed-by": "Helm"},
                   "annotations": {"meta.helm.sh/release-name": "headroom"}},
               "spec": {"replicas": 1, "strategy": old_first(), "template": {"spec": {
                   "serviceAccountName": name, "nodeName": "cp", "hostNetwork": true,
                   "tolerations": [{"operator": "Exists"}],
                   "containers": [{"name": component, "image": format!("{name}:0.1.0"), "args": args}]}}}})
    }

    fn old_first() -> Value {
        json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}})
    }

    /// The same after somebody gave it the strategy of one on the pod network.
    pub(crate) fn surging(mut deployment: Value) -> Value {
        deployment["spec"]["strategy"]["rollingUpdate"] = json!({"maxSurge": 1, "maxUnavailable": 0});
        deployment
    }

    /// The same with a configuration, as the chart gives it.
    pub(crate) fn configured(mut deployment: Value) -> Value {
        let name = deployment["metadata"]["name"].clone();
        let spec = &mut deployment["spec"]["template"]["spec"];
        spec["volumes"] = json!([{"name": "config", "configMap": {"name": name}}]);
        let container = &mut spec["containers"][0];
        container["volumeMounts"] = json!([{"name": "config", "mountPath": "/etc/headroom/config", "readOnly": true}]);
        let mut args = container["args"].as_array().cloned().unwrap_or_default();
        args.push("--config=/etc/headroom/config/scheduler.yaml".into());
        container["args"] = args.into();
        deployment
    }

    /// The same with two pods that no node pins, on two nodes.
    pub(crate) fn two_apart(mut deployment: Value) -> Value {
        let term = json!([{"topologyKey": "kubernetes.io/hostname"}]);
        let spec = &mut deployment["spec"]["template"]["spec"];
        spec["nodeName"] = Value::Null;
        spec["affinity"] = json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": term}});
        deployment["spec"]["replicas"] = 2.into();
        deployment
    }

    #[test]
    fn what_the_chart_installs() {
        let found = Ours::find(&[deployment("scheduler", &["--mode=shadow"])], Program::Scheduler).unwrap();
        assert_eq!((found.mode(), found.unsafe_because()), ("shadow", None));
        assert_eq!(found.full_name(), "kube-system/headroom-scheduler");
        assert_eq!((found.account.as_str(), found.release.as_deref()), ("headroom-scheduler", Some("headroom")));
        let (patch, undo) = found.with_flags(&[("mode", Some("primary"))]);
        let containers = |args: &[&str]| json!({"spec": {"template": {"spec": {"containers": [{"name": "scheduler", "args": args}]}}}});
        assert_eq!(patch, containers(&["--mode=primary"]));
        assert_eq!(undo, containers(&["--mode=shadow"]));
        let (patch, undo) = found.with_flags(&[("mode", None), ("v", Some("2")), ("config", None)]);
        assert_eq!((patch, undo), (containers(&["--v=2"]), containers(&["--mode=shadow"])));
        assert_eq!(Ours::find(&[deployment("scheduler", &[])], Program::Controllers), None);
        assert_eq!(found.configuration_path(), None);
        let found = Ours::find(&[configured(deployment("scheduler", &[]))], Program::Scheduler).unwrap();
        let path = "/api/v1/namespaces/kube-system/configmaps/headroom-scheduler";
        assert_eq!(found.configuration_path().as_deref(), Some(path));
    }

    #[test]
    fn one_that_only_looks_like_ours_is_not_taken() {
        let of = |namespace: &str| {
            let mut object = deployment("scheduler", &[]);
            object["metadata"]["namespace"] = namespace.into();
            object
        };
        let found = Ours::find(&[of("a-tenant"), of("kube-system"), of("z")], Program::Scheduler).unwrap();
        assert_eq!((found.full_name().as_str(), found.others.len()), ("kube-system/headroom-scheduler", 0));
        let found = Ours::find(&[of("a-tenant"), of("headroom")], Program::Scheduler).unwrap();
        assert_eq!(found.others, ["headroom/headroom-scheduler"]);
        assert_eq!(Ours::find(&[of("headroom")], Program::Scheduler).unwrap().others.len(), 0);
    }

    #[test]
    fn what_would_not_come_back() {
        let of = |change: fn(&mut Value)| {
            let mut object = deployment("scheduler", &[]);
            object["spec"]["template"]["spec"]["nodeName"] = Value::Null;
            change(&mut object);
            Ours::find(&[object], Program::Scheduler).unwrap().unsafe_because()
        };
        assert!(of(|_| ()).unwrap().contains("nobody would schedule"));
        assert!(of(|o| o["spec"]["replicas"] = 2.into()).unwrap().contains("nobody would schedule"));
        assert!(of(|o| o["spec"]["replicas"] = 0.into()).unwrap().contains("no replicas"));
        assert!(of(|o| o["spec"]["strategy"]["type"] = "Recreate".into()).unwrap().contains("Recreate"));
        assert_eq!(of(|o| *o = two_apart(o.take())), None);
    }

    #[test]
    fn where_a_new_pod_waits_for_the_old_one() {
        use Rollout::{Ends, MayWait, WaitsForNode, WaitsForPort};
        fn free(o: &mut Value) {
            o["spec"]["template"]["spec"]["nodeName"] = Value::Null;
        }
        fn on_the_pod_network(o: &mut Value) {
            o["spec"]["template"]["spec"]["hostNetwork"] = false.into();
        }
        type Edit = fn(&mut Value);
        // Without nodes that are known, with one, two and three.
        let cases: [(Edit, [Rollout; 4]); 11] = [
            (|_| (), [WaitsForPort; 4]),
            // What the API server fills in for one replica.
            (|o| o["spec"]["strategy"] = Value::Null, [WaitsForPort; 4]),
            (free, [MayWait, WaitsForPort, MayWait, MayWait]),
            (
                |o| {
                    free(o);
                    o["spec"]["replicas"] = 2.into();
                },
                [MayWait, WaitsForPort, WaitsForPort, MayWait],
            ),
            (|o| *o = two_apart(o.take()), [Ends, WaitsForPort, WaitsForPort, Ends]),
            (
                |o| {
                    *o = two_apart(o.take());
                    on_the_pod_network(o);
                },
                [Ends, WaitsForNode, WaitsForNode, Ends],
            ),
            (on_the_pod_network, [Ends; 4]),
            (|o| o["spec"]["strategy"] = old_first(), [Ends; 4]),
            (|o| o["spec"]["strategy"] = json!({"type": "Recreate"}), [Ends; 4]),
            (|o| o["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] = 1.into(), [Ends; 4]),
            (|o| o["spec"]["replicas"] = 0.into(), [Ends; 4]),
        ];
        for (change, expected) in cases {
            let mut object = surging(deployment("scheduler", &[]));
            change(&mut object);
            let found = Ours::find(std::slice::from_ref(&object), Program::Scheduler).unwrap();
            assert_eq!([0, 1, 2, 3].map(|nodes| found.rollout(nodes)), expected, "{object}");
        }
    }

    #[test]
    fn one_mention_of_a_flag() {
        let words = |text: &str| -> Vec<String> { text.split_whitespace().map(str::to_owned).collect() };
        for (before, value, after) in [
            ("--a=1 --mode=shadow --b", Some("primary"), "--a=1 --mode=primary --b"),
            ("--mode shadow --b", Some("primary"), "--mode=primary --b"),
            ("--b --mode=x --mode y --modest=1", Some("z"), "--b --mode=z --modest=1"),
            ("--b", Some("z"), "--b --mode=z"),
            ("--b --mode=x", None, "--b"),
            ("--mode --b", None, "--b"),
        ] {
            assert_eq!(with_flag(&words(before), "mode", value), words(after), "{before}");
        }
        let before = words("--node_monitor_period=1s --b --node-monitor-period 3s");
        assert_eq!(with_flag(&before, "node-monitor-period", Some("2s")), words("--node-monitor-period=2s --b"));
        let ours =
            Ours::find(&[deployment("controllers", &["--node_monitor_period=1s"])], Program::Controllers).unwrap();
        assert_eq!(ours.flag("node-monitor-period"), Some("1s"));
    }
}
