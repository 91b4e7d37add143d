//! `takeover --dry-run`: every pod that runs is decided about again by the engine, as if it were pending on the rest of
//! the cluster. Those that would wait now would wait after their next restart, too.

use std::fmt::Write as _;

use headroom_core::Timestamp;
use headroom_engine::Engine;

use crate::{
    doctor::cut,
    explain::table::paragraph,
    snapshot::{Snapshot, now},
};

/// Most pods that are shown; the others are counted.
const SHOWN: usize = 50;

/// A pod that runs and would wait.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Waits {
    pod: String,
    node: String,
    /// Why, in the words of the event.
    message: String,
    /// So many others would have to go.
    victims: usize,
}

/// What the engine says of all that runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Replay {
    looked_at: usize,
    waits: Vec<Waits>,
}

impl Replay {
    /// Looks at every pod of default-scheduler that is on a node. `engine` is the snapshot's.
    pub(crate) fn new(snapshot: &Snapshot, engine: &Engine, at: Timestamp) -> Self {
        let mut replay = Self::default();
        let (pods, _) = snapshot.pods_and_nodes();
        for pod in pods {
            let ours = matches!(&*pod.spec.scheduler_name, "" | "default-scheduler");
            let Some(node) = pod.node_name.as_ref().filter(|_| ours && pod.is_active() && !pod.is_mirror()) else {
                continue;
            };
            replay.looked_at += 1;
            let result = engine.explain(&pod, now(at)).result;
            if !result.scheduled {
                replay.waits.push(Waits {
                    pod: cut(&pod.meta.key.to_string()),
                    node: cut(node),
                    message: cut(&result.message),
                    victims: result.victims.len(),
                });
            }
        }
        replay
    }

    /// Whether all that runs would run.
    pub(crate) fn is_well(&self) -> bool {
        self.waits.is_empty()
    }

    /// For people.
    pub(crate) fn text(&self) -> String {
        let mut text = String::from("\nWhat runs, decided about again by headroom-scheduler:\n");
        let (all, waits) = (self.looked_at, self.waits.len());
        if waits == 0 {
            let _ = writeln!(text, "  all {all} pods would find a place");
            return text;
        }
        let _ = writeln!(text, "  {waits} of {all} pods would wait, if they were made now:");
        for wait in self.waits.iter().take(SHOWN) {
            let room = match wait.victims {
                0 => String::new(),
                victims => format!(" (after removing {victims} pod(s) it would not)"),
            };
            paragraph(&mut text, "  - ", &format!("{} on {}{room}: {}", wait.pod, wait.node, wait.message));
        }
        if waits > SHOWN {
            let _ = writeln!(text, "  - and {} more", waits - SHOWN);
        }
        paragraph(
            &mut text,
            "  ",
            "They run on. kubectl headroom explain pod NAME says more; memoryHeadroomArgs.enforcement=Score only advises.",
        );
        text
    }
}

#[cfg(test)]
mod tests {
    use headroom_engine::{Configuration, Registry};
    use serde_json::{Value, json};

    use super::*;

    fn pod(name: &str, memory: &str, over: Value) -> Value {
        let mut pod = json!({"kind": "Pod", "metadata": {"name": name, "namespace": "shop"},
            "spec": {"nodeName": "a", "containers": [{"name": "c", "resources": {"requests": {"memory": memory}}}]},
            "status": {"phase": "Running"}});
        for (field, value) in over.as_object().into_iter().flatten() {
            pod["spec"][field] = value.clone();
        }
        pod
    }

    #[test]
    fn what_would_wait_is_named() {
        let amounts = json!({"cpu": "2", "memory": "1Gi", "pods": "110"});
        let node = json!({"kind": "Node", "metadata": {"name": "a", "labels": {"disk": "ssd"}},
                          "status": {"allocatable": amounts}});
        let mut ended = pod("ended", "2Gi", json!({}));
        ended["status"]["phase"] = "Succeeded".into();
        let objects = vec![
            node,
            pod("fits", "100Mi", json!({})),
            // It does not count where the others are.
            pod("large", "2Gi", json!({"nodeName": "b"})),
            pod("moved", "1Mi", json!({"nodeSelector": {"disk": "hdd"}})),
            pod("not-ours", "2Gi", json!({"schedulerName": "other", "nodeName": "b"})),
            ended,
        ];
        let snapshot = Snapshot::from_objects(objects);
        let at = Timestamp::from_secs(1_800_000_000);
        let engine = snapshot.engine(Configuration::default(), Registry::in_tree(), at).unwrap();
        let replay = Replay::new(&snapshot, &engine, at);
        let waits: Vec<&str> = replay.waits.iter().map(|wait| wait.pod.as_str()).collect();
        assert_eq!((replay.looked_at, waits), (3, vec!["shop/large", "shop/moved"]));
        let text = replay.text();
        assert!(text.contains("  2 of 3 pods would wait") && text.contains("Insufficient memory"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert!(!replay.is_well() && Replay::default().is_well());
    }
}
