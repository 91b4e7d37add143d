//! What has to be changed where, so that stock leaves work to Headroom or takes it back: per distribution, as values.

use serde_json::{Value, json};

use super::{
    Distribution,
    change::{Api, Change},
    facts::Facts,
    host::{Edit, HostWork},
    record::Record,
    requests::MERGE,
};
use crate::doctor::{Program, control_loops::LOOPS, flag};

/// k3s reads all files of this folder.
const K3S_FILE: &str = "/etc/rancher/k3s/config.yaml.d/headroom.yaml";
const SCHEDULER_MANIFEST: &str = "/etc/kubernetes/manifests/kube-scheduler.yaml";
/// Not beside the others: the kubelet would run it.
pub(crate) const SCHEDULER_KEPT: &str = "/etc/kubernetes/headroom/kube-scheduler.yaml";
const MANAGER_MANIFEST: &str = "/etc/kubernetes/manifests/kube-controller-manager.yaml";
/// Where it is changed by hand: what lies beside it for a moment the kubelet would run as well.
const MANAGER_COPY: &str = "/etc/kubernetes/kube-controller-manager.yaml";
const KUBEADM_CONFIG: &str = "/api/v1/namespaces/kube-system/configmaps/kubeadm-config";
const K0S_CONFIG: &str = "/apis/k0s.k0sproject.io/v1beta1/namespaces/kube-system/clusterconfigs/k0s";
/// What k0s and kubeadm give their controller manager.
const DEFAULT_LIST: &str = "*,bootstrapsigner,tokencleaner";

/// Where a list has to be changed by hand.
const HEAD_OF_ANY: &str = "# kube-controller-manager, wherever it runs: in --controllers";

fn head_of_kubeadm() -> String {
    format!("# on every control-plane host: {MANAGER_MANIFEST}, --controllers")
}

/// What stock has been told to leave out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LeftOut {
    pub(crate) scheduler: bool,
    pub(crate) loops: Vec<String>,
}

impl LeftOut {
    /// What earlier takeovers told it.
    pub(crate) fn of(facts: &Facts) -> Self {
        Self::by(&facts.record)
    }

    /// What takeovers that are written down told it.
    pub(crate) fn by(record: &Record) -> Self {
        let scheduler = record.scheduler.as_ref().is_some_and(|scheduler| !scheduler.keep_standby);
        Self { scheduler, loops: record.loops().to_vec() }
    }

    /// The file in which k3s reads it.
    fn k3s_file(&self) -> Option<String> {
        let mut text = String::from("# For Headroom, which does what is left out here: docs/how-to/k3s.md\n");
        let head = text.len();
        if self.scheduler {
            text.push_str("disable-scheduler: true\n");
        }
        if !self.loops.is_empty() {
            let minus: Vec<String> = self.loops.iter().map(|name| format!("-{name}")).collect();
            text.push_str(&format!("kube-controller-manager-arg+:\n- \"controllers+={}\"\n", minus.join(",")));
        }
        (text.len() > head).then_some(text)
    }
}

fn k3s(facts: &Facts, before: &LeftOut, after: &LeftOut) -> Change {
    Change::Hosts(HostWork {
        on: facts.servers.clone(),
        edits: vec![Edit::Whole { path: K3S_FILE, before: before.k3s_file(), after: after.k3s_file() }],
        command: vec!["systemctl", "restart", "k3s"],
    })
}

/// What to type when nothing of ours answers, so that stock does again all that it was told to leave out. `first` is its list
/// of loops before that, where it is known.
pub(crate) fn all_back(facts: &Facts, taken: &LeftOut, first: Option<&str>) -> Vec<String> {
    if *taken == LeftOut::default() {
        return Vec::new();
    }
    if facts.distribution == Distribution::K3s {
        // All of it stands in one file of ours.
        let on = if facts.servers.is_empty() { "every server".to_owned() } else { facts.servers.join(", ") };
        return vec![format!("# on {on}, as root:"), format!("rm {K3S_FILE} &&"), "  systemctl restart k3s".to_owned()];
    }
    let mut lines = if taken.loops.is_empty() { Vec::new() } else { loops_back(facts, taken, first) };
    if taken.scheduler {
        lines.extend(scheduler(facts, taken, &LeftOut { scheduler: false, ..taken.clone() }).lines());
    }
    lines
}

fn loops_back(facts: &Facts, taken: &LeftOut, first: Option<&str>) -> Vec<String> {
    let none = LeftOut { loops: Vec::new(), ..taken.clone() };
    // What could leave its quotes is not repeated in something that people paste.
    let plain = |list: &&str| list.chars().all(|c| c.is_ascii_alphanumeric() || "-,*".contains(c));
    match (facts.distribution, first.filter(plain)) {
        (Distribution::Kubeadm, Some(list)) => kubeadm_back(facts, list),
        (Distribution::Kubeadm, None) => by_hand(&head_of_kubeadm(), taken, &none).lines(),
        (Distribution::K0s, Some(list)) => {
            let value = if list == DEFAULT_LIST { Value::Null } else { Value::from(list) };
            let patch = json!({"spec": {"controllerManager": {"extraArgs": {"controllers": value}}}});
            vec![
                "kubectl -n kube-system patch clusterconfigs.k0s.k0sproject.io k0s --type merge \\".to_owned(),
                format!("  --patch '{patch}'"),
            ]
        }
        (Distribution::K0s, None) => k0s_by_hand(taken, &none).lines(),
        (Distribution::Any | Distribution::K3s, _) => by_hand(HEAD_OF_ANY, taken, &none).lines(),
    }
}

/// The list in the manifest, whatever has been written there since, and in the ConfigMap: a text, which nobody changes by a
/// line that could be pasted next year.
fn kubeadm_back(facts: &Facts, list: &str) -> Vec<String> {
    let mut lines = HostWork { on: facts.servers.clone(), edits: Vec::new(), command: Vec::new() }.lines();
    let edit = if list.is_empty() {
        "/--controllers=/d".to_owned()
    } else {
        // Up to what ends the argument: a quote of either kind, a comment, the line.
        format!(r"s/--controllers=\( *[-A-Za-z0-9,*]\)*/--controllers={list}/")
    };
    lines.push(format!("cp -p {MANAGER_MANIFEST} {MANAGER_COPY} &&"));
    lines.push(format!("  sed -i '{edit}' {MANAGER_COPY} &&"));
    lines.push(format!("  mv {MANAGER_COPY} {MANAGER_MANIFEST}"));
    if facts.cluster_configuration.is_some() {
        let entry = if list.is_empty() { "no controllers".to_owned() } else { format!("controllers: \"{list}\"") };
        lines.push(format!("# for the next upgrade, in controllerManager.extraArgs: {entry}"));
        lines.push("kubectl -n kube-system edit configmap kubeadm-config".to_owned());
    }
    lines
}

fn operator(stop: &[&str], start: &[&str], stops: bool) -> Change {
    let lines = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect();
    let (does, undoes) = if stops { (stop, start) } else { (start, stop) };
    Change::Operator { does: lines(does), undoes: lines(undoes) }
}

/// How the stock scheduler is stopped (`after` leaves it out) or started again.
pub(crate) fn scheduler(facts: &Facts, before: &LeftOut, after: &LeftOut) -> Change {
    let stops = after.scheduler;
    match facts.distribution {
        Distribution::K3s => k3s(facts, before, after),
        Distribution::Kubeadm => {
            let stop = Edit::Move { from: SCHEDULER_MANIFEST, to: SCHEDULER_KEPT };
            let edit = if stops { stop } else { stop.reversed() };
            Change::Hosts(HostWork { on: facts.servers.clone(), edits: vec![edit], command: Vec::new() })
        }
        Distribution::K0s => operator(
            &[
                "# on every k0s controller, as root: with the flags that it was installed with",
                "# (systemctl cat k0scontroller) and",
                "k0s install controller --force ... --disable-components=kube-scheduler",
                "systemctl daemon-reload && systemctl restart k0scontroller",
            ],
            &[
                "# on every k0s controller, as root: with the flags that it has (systemctl cat",
                "# k0scontroller), but without --disable-components=kube-scheduler",
                "k0s install controller --force ...",
                "systemctl daemon-reload && systemctl restart k0scontroller",
            ],
            stops,
        ),
        Distribution::Any => operator(
            &["# stop kube-scheduler, wherever it runs, and keep it from being started again"],
            &["# start kube-scheduler again, with the flags that it had"],
            stops,
        ),
    }
}

/// How stock is told to leave out more loops, or fewer: the changes, and its list before, where that is known.
pub(crate) fn loops(facts: &Facts, before: &LeftOut, after: &LeftOut) -> (Vec<Change>, Option<String>) {
    let list = |current: &str| {
        let given_back: Vec<&String> = before.loops.iter().filter(|name| !after.loops.contains(name)).collect();
        let kept = facts.record.loops.as_ref().and_then(|loops| loops.stock.clone());
        let first = kept.filter(|_| after.loops.is_empty());
        first.unwrap_or_else(|| subtract(&restore(current, &given_back), &after.loops))
    };
    match facts.distribution {
        Distribution::K3s => (vec![k3s(facts, before, after)], None),
        Distribution::Kubeadm => kubeadm(facts, before, after, list),
        Distribution::K0s => match &facts.k0s_controllers {
            Some(current) => {
                let known: &str = if current.is_empty() { DEFAULT_LIST } else { current };
                let value = list(known);
                let patch =
                    |value: &Value| json!({"spec": {"controllerManager": {"extraArgs": {"controllers": value}}}});
                let old = if current.is_empty() { Value::Null } else { Value::from(current.as_str()) };
                // Not our entry where it says what k0s says by itself.
                let new = if value == DEFAULT_LIST { Value::Null } else { Value::from(value.as_str()) };
                let says = |value: &str| {
                    vec![
                        "ClusterConfig kube-system/k0s, controllerManager.extraArgs:".to_owned(),
                        format!("  controllers: \"{value}\""),
                    ]
                };
                let change = Api::Patch {
                    path: K0S_CONFIG.to_owned(),
                    kind: MERGE,
                    patch: patch(&new),
                    undo: patch(&old),
                    read_as: facts.read_as.k0s.clone(),
                    says: says(&value),
                    back: says(known),
                };
                (vec![Change::Api(change)], Some(known.to_owned()))
            }
            None => (vec![k0s_by_hand(before, after)], None),
        },
        Distribution::Any => (vec![by_hand(HEAD_OF_ANY, before, after)], None),
    }
}

fn by_hand(head: &str, before: &LeftOut, after: &LeftOut) -> Change {
    let minus = |names: &[&String]| names.iter().map(|name| format!("-{name}")).collect::<Vec<_>>().join(",");
    let more: Vec<&String> = after.loops.iter().filter(|name| !before.loops.contains(name)).collect();
    let fewer: Vec<&String> = before.loops.iter().filter(|name| !after.loops.contains(name)).collect();
    let lines = |more: &[&String], fewer: &[&String]| {
        let mut lines: Vec<String> = head.lines().map(str::to_owned).collect();
        if !more.is_empty() {
            lines.push(format!("# add      ,{}", minus(more)));
        }
        if !fewer.is_empty() {
            lines.push(format!("# take out ,{}", minus(fewer)));
        }
        lines.push("# and start it again. What else stands in the list stays.".to_owned());
        lines
    };
    Change::Operator { does: lines(&more, &fewer), undoes: lines(&fewer, &more) }
}

fn k0s_by_hand(before: &LeftOut, after: &LeftOut) -> Change {
    by_hand(
        "# on every k0s controller: /etc/k0s/k0s.yaml, spec.controllerManager.extraArgs.controllers\n\
         # (k0s' own list, if there is none: \"*,bootstrapsigner,tokencleaner\")",
        before,
        after,
    )
}

/// The manifest on every host, and the ConfigMap from which an upgrade would write it anew.
fn kubeadm(
    facts: &Facts,
    before: &LeftOut,
    after: &LeftOut,
    list: impl Fn(&str) -> String,
) -> (Vec<Change>, Option<String>) {
    let look = facts.look();
    // Anybody can run a program of this name; static pods are in one namespace.
    let pods = look
        .running(Program::StockManager)
        .filter(|pod| !pod.args.is_empty() && &*pod.row.meta.key.namespace == "kube-system");
    let mut current: Vec<String> = pods.map(|pod| flag(&pod.args, "controllers").join(",")).collect();
    current.sort_unstable();
    current.dedup();
    let [current] = current.as_slice() else {
        // None is seen, or they differ from host to host.
        return (vec![by_hand(&head_of_kubeadm(), before, after)], None);
    };
    let new = list(if current.is_empty() { "*" } else { current });
    let argument = |value: &str| (!value.is_empty()).then(|| format!("--controllers={value}"));
    let edit = Edit::Argument {
        path: MANAGER_MANIFEST,
        anchor: "kube-controller-manager",
        before: argument(current),
        after: argument(&new),
    };
    let mut changes = Vec::new();
    if let Some(config) = &facts.cluster_configuration {
        let kept = facts.record.loops.as_ref().and_then(|loops| loops.cluster_configuration.clone());
        // An upgrade may have changed the rest of it since: its version above all must not go back.
        let same = |first: &String| {
            let changed = with_controllers(first, &new);
            changed.is_some() && changed == with_controllers(config, &new)
        };
        let first = kept.filter(|_| after.loops.is_empty()).filter(same);
        if let Some(changed) = first.or_else(|| with_controllers(config, &new)) {
            let patch = |config: &str| json!({"data": {"ClusterConfiguration": config}});
            let says = |value: &str| {
                vec![
                    "ConfigMap kube-system/kubeadm-config, controllerManager.extraArgs:".to_owned(),
                    format!("  controllers: \"{value}\""),
                ]
            };
            changes.push(Change::Api(Api::Patch {
                path: KUBEADM_CONFIG.to_owned(),
                kind: MERGE,
                patch: patch(&changed),
                undo: patch(config),
                read_as: facts.read_as.kubeadm.clone(),
                says: says(&new),
                back: says(current),
            }));
        }
    }
    changes.push(Change::Hosts(HostWork { on: facts.servers.clone(), edits: vec![edit], command: Vec::new() }));
    (changes, Some(current.clone()))
}

/// kubeadm's ClusterConfiguration with this list for the controller manager, without any where that is empty; none where
/// it is not understood.
fn with_controllers(config: &str, value: &str) -> Option<String> {
    let mut config: Value = serde_saphyr::from_str(config).ok()?;
    let old_form = matches!(config.get("apiVersion")?.as_str()?, "kubeadm.k8s.io/v1beta3" | "kubeadm.k8s.io/v1beta2");
    let manager = config.as_object_mut()?.entry("controllerManager").or_insert_with(|| json!({}));
    if manager.is_null() {
        *manager = json!({});
    }
    let none = if old_form { json!({}) } else { json!([]) };
    let arguments = manager.as_object_mut()?.entry("extraArgs").or_insert(none);
    match arguments {
        Value::Object(map) => {
            map.remove("controllers");
            if !value.is_empty() {
                map.insert("controllers".to_owned(), value.into());
            }
        }
        Value::Array(list) => {
            list.retain(|item| item.get("name").and_then(Value::as_str) != Some("controllers"));
            if !value.is_empty() {
                list.push(json!({"name": "controllers", "value": value}));
            }
        }
        _ => return None,
    }
    serde_saphyr::to_string(&config).ok()
}

/// The names by which the controller manager knows a loop.
fn names(name: &str) -> [&str; 2] {
    LOOPS.into_iter().find(|(known, _)| *known == name).map_or([name, name], |(known, alias)| [known, alias])
}

/// The words of a list of `--controllers` that are about none of these loops.
fn others<'a>(list: &'a str, loops: &'a [String]) -> impl Iterator<Item = &'a str> {
    let is = move |word: &str| loops.iter().any(|name| names(name).contains(&word.trim_start_matches('-')));
    list.split(',').map(str::trim).filter(move |word| !word.is_empty() && !is(word))
}

/// A list of `--controllers` without these loops.
pub(crate) fn subtract(list: &str, without: &[String]) -> String {
    let kept = others(list, without).map(str::to_owned);
    kept.chain(without.iter().map(|name| format!("-{name}"))).collect::<Vec<_>>().join(",")
}

/// The same of a list of ours, in which nothing runs that is not named: without a star nothing has to be subtracted.
pub(crate) fn strike(list: &str, without: &[String]) -> String {
    if list.split(',').any(|word| word.trim() == "*") {
        return subtract(list, without);
    }
    others(list, without).collect::<Vec<_>>().join(",")
}

/// A list of `--controllers` in which these loops are not subtracted any more.
fn restore(list: &str, back: &[&String]) -> String {
    let is = |word: &str| {
        let of = |name: &&String| word.strip_prefix('-').is_some_and(|word| names(name).contains(&word));
        back.iter().any(of)
    };
    let mut words: Vec<&str> = list.split(',').map(str::trim).filter(|word| !word.is_empty() && !is(word)).collect();
    if !words.contains(&"*") {
        words.extend(back.iter().map(|name| name.as_str()).filter(|name| !list.split(',').any(|word| word == *name)));
    }
    words.join(",")
}

#[cfg(test)]
mod tests;
