//! What the stock scheduler was configured with: it is not copied, and ends with it. Pure.

use std::collections::BTreeMap;

use crate::{
    distribution::{configuration::DEFAULT_SCHEDULER, facts::Facts},
    doctor::{Program, cut, flag, is_server_of_k3s},
};

/// Most names that are told.
const SHOWN: usize = 5;

/// What has to be known before the stock scheduler ends, in sentences for people. Who asks for `our_name` is told elsewhere.
pub(super) fn notes(facts: &Facts, our_name: &str) -> Vec<String> {
    let files = files(facts);
    let configured = (!files.is_empty()).then(|| {
        format!(
            "The stock scheduler has a configuration of its own: {}. It is not copied, and --dry-run does not know it: its \
             profiles with their plugins, and its extenders, belong into scheduler.config (without Helm: into the file of \
             headroom-scheduler's own --config), or they end with it.",
            files.join(", ")
        )
    });
    configured.into_iter().chain(others(facts, our_name)).collect()
}

/// The files that stock schedulers are seen to be started with, each once.
fn files(facts: &Facts) -> Vec<String> {
    let look = facts.look();
    // Anybody can run a program of this name; static pods are in one namespace.
    let pods = look.running(Program::StockScheduler).filter(|pod| &*pod.row.meta.key.namespace == "kube-system");
    let mut all: Vec<Vec<String>> = pods.map(|pod| pod.args.clone()).collect();
    for node in look.nodes().filter(|node| is_server_of_k3s(node)) {
        let words = flag(&node.args, "kube-scheduler-arg");
        // k3s takes it with dashes and without.
        all.push(words.iter().map(|word| format!("--{}", word.trim_start_matches('-'))).collect());
    }
    all.extend(facts.k0s_scheduler.clone());
    let given = all.iter().filter_map(|words| flag(words, "config").last().copied());
    let mut files: Vec<String> = given.map(|path| cut(&format!("--config={path}"))).collect();
    files.sort_unstable();
    files.dedup();
    files
}

/// Pods that ask for a name which ours would not serve: a profile of the stock scheduler may.
fn others(facts: &Facts, our_name: &str) -> Option<String> {
    let served = facts.configuration.as_ref().and_then(|file| file.serves().ok()).unwrap_or_default();
    let look = facts.look();
    let mut asked: BTreeMap<&str, usize> = BTreeMap::new();
    for pod in look.pods().filter(|pod| pod.row.is_active()) {
        let name: &str = &pod.row.spec.scheduler_name;
        if !["", DEFAULT_SCHEDULER, our_name].contains(&name) && !served.iter().any(|own| own == name) {
            *asked.entry(name).or_default() += 1;
        }
    }
    if asked.is_empty() {
        return None;
    }
    let mut names: Vec<String> =
        asked.iter().take(SHOWN).map(|(name, count)| cut(&format!("{name} ({count})"))).collect();
    if asked.len() > SHOWN {
        names.push(format!("and {} more", asked.len() - SHOWN));
    }
    Some(format!(
        "Pods ask for other schedulers by name (spec.schedulerName): {}. A profile of the stock scheduler ends with it, and \
         those that come after them wait, unless headroom-scheduler has a profile of that name; a scheduler of its own goes \
         on.",
        names.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::distribution::{
        facts::{
            Raw,
            tests::{at, component, server},
        },
        ours::tests::{configured, deployment},
    };

    const OUR_NAME: &str = "headroom-scheduler";
    const PATH: &str = "/etc/kubernetes/scheduler.yaml";

    fn told(raw: Raw) -> Vec<String> {
        notes(&Facts::new(raw, at()), OUR_NAME)
    }

    fn cluster(cluster: Vec<Value>) -> Raw {
        Raw { cluster, ..Raw::default() }
    }

    #[test]
    fn its_file_is_told_wherever_it_shows() {
        let given = format!("--config={PATH}");
        let of_k3s = format!("--kube-scheduler-arg={given}");
        let pod = || component("kube-scheduler", &["--leader-elect=true", &given]);
        let k0s = json!({"spec": {"scheduler": {"extraArgs": {"config": PATH}}}});
        for raw in [
            cluster(vec![pod(), pod()]),
            cluster(vec![server("v1.36.4+k3s1", &["server", &of_k3s])]),
            cluster(vec![server("v1.36.4+k3s1", &["server", "--kube-scheduler-arg", &given[2..]])]),
            Raw { k0s: Some(k0s), ..Raw::default() },
        ] {
            let notes = told(raw);
            let begins = format!("The stock scheduler has a configuration of its own: {given}. It is not copied");
            assert!(notes.len() == 1 && notes[0].starts_with(&begins), "{notes:?}");
        }
        let mut of_a_tenant = pod();
        of_a_tenant["metadata"]["namespace"] = "tenant".into();
        let without = component("kube-scheduler", &["--leader-elect=true", "--kubeconfig=/k"]);
        let manager = component("kube-controller-manager", &[&given]);
        assert_eq!(told(cluster(vec![of_a_tenant, without, manager])), [""; 0]);
    }

    #[test]
    fn pods_of_other_names_are_counted() {
        let pod = |name: &str, scheduler: &str, phase: &str| {
            json!({"kind": "Pod", "metadata": {"name": name, "namespace": "shop"},
                   "spec": {"schedulerName": scheduler, "containers": [{"name": "c", "image": "i"}]},
                   "status": {"phase": phase}})
        };
        let pods = || {
            vec![
                pod("a", "batch", "Running"),
                pod("b", "batch", "Pending"),
                pod("c", "batch", "Succeeded"),
                pod("d", "default-scheduler", "Running"),
                pod("e", OUR_NAME, "Running"),
                pod("f", "volcano", "Running"),
            ]
        };
        let notes = told(cluster(pods()));
        assert!(notes.len() == 1 && notes[0].contains(": batch (2), volcano (1). "), "{notes:?}");
        // One that ours have a profile for goes on.
        let file = "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\nprofiles: \
                    [{schedulerName: default-scheduler}, {schedulerName: batch}]\n";
        let raw = Raw {
            deployments: vec![configured(deployment("scheduler", &["--mode=shadow"]))],
            configuration: Some(json!({"data": {"scheduler.yaml": file}})),
            ..cluster(pods())
        };
        let notes = told(raw);
        assert!(notes.len() == 1 && notes[0].contains(": volcano (1). "), "{notes:?}");
        let many = ["a", "b", "c", "d", "e", "f", "g"].map(|name| pod(name, name, "Running"));
        let notes = told(cluster(many.into()));
        assert!(notes[0].contains("d (1), e (1), and 2 more. "), "{notes:?}");
    }
}
