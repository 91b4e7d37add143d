//! The kinds of workloads: where their pods' template is, and what a change of it does.

use serde_json::{Value, json};

use crate::{
    doctor::text::counted,
    trace::{
        api::{self, Listed},
        json::text,
    },
};

/// Kinds whose templates can be patched.
pub(super) const KINDS: [Listed; 6] = [
    api::DEPLOYMENTS,
    api::STATEFUL_SETS,
    api::DAEMON_SETS,
    api::REPLICATION_CONTROLLERS,
    api::REPLICA_SETS,
    api::CRON_JOBS,
];

/// The kind of a workload, if its template can be patched.
pub(super) fn known(kind: &str) -> Option<Listed> {
    KINDS.into_iter().find(|listed| listed.kind == kind)
}

/// The template of its pods.
pub(super) fn template(workload: &Value) -> Option<&Value> {
    let template = match text(workload, "/kind") {
        "CronJob" => workload.pointer("/spec/jobTemplate/spec/template"),
        "Pod" => Some(workload),
        _ => workload.pointer("/spec/template"),
    };
    template.filter(|template| template.pointer("/spec/containers").is_some())
}

/// The spec of a pod, put where a patch of this kind has it.
pub(super) fn patch(kind: &str, pod_spec: &Value) -> Value {
    match kind {
        "CronJob" => json!({"spec": {"jobTemplate": {"spec": {"template": {"spec": pod_spec}}}}}),
        "Pod" => json!({"spec": pod_spec}),
        _ => json!({"spec": {"template": {"spec": pod_spec}}}),
    }
}

/// Whether a change of the template makes the pods that run new ones.
pub(super) fn restarts(workload: &Value) -> bool {
    match text(workload, "/kind") {
        "Deployment" => true,
        "StatefulSet" | "DaemonSet" => text(workload, "/spec/updateStrategy/type") != "OnDelete",
        _ => false,
    }
}

/// What a change of the template does to the pods that run.
pub(super) fn effect(workload: &Value, pods: usize) -> String {
    let pods = counted(pods, "pod");
    match text(workload, "/kind") {
        "Deployment" if text(workload, "/spec/strategy/type") == "Recreate" => {
            format!("stops its {pods}, then starts new ones")
        }
        "Deployment" => format!("replaces its {pods}, a few at a time"),
        "StatefulSet" | "DaemonSet" if restarts(workload) => format!("restarts its {pods}, one after another"),
        "StatefulSet" | "DaemonSet" => {
            format!("restarts nothing (OnDelete): new pods have it; unchanged: {pods}")
        }
        "CronJob" => "restarts nothing: its next run has it".to_owned(),
        _ => format!("restarts nothing: new pods have it; unchanged: {pods}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_patch_does() {
        for (workload, expected, restarting) in [
            (json!({"kind": "Deployment"}), "replaces its 2 pods, a few at a time", true),
            (
                json!({"kind": "Deployment", "spec": {"strategy": {"type": "Recreate"}}}),
                "stops its 2 pods, then starts new ones",
                true,
            ),
            (json!({"kind": "StatefulSet"}), "restarts its 2 pods, one after another", true),
            (
                json!({"kind": "DaemonSet", "spec": {"updateStrategy": {"type": "OnDelete"}}}),
                "restarts nothing (OnDelete): new pods",
                false,
            ),
            (json!({"kind": "ReplicationController"}), "restarts nothing: new pods have it; unchanged: 2 pods", false),
            (json!({"kind": "CronJob"}), "restarts nothing: its next run", false),
        ] {
            assert!(effect(&workload, 2).starts_with(expected), "{workload}: {}", effect(&workload, 2));
            assert_eq!(restarts(&workload), restarting, "{workload}");
        }
    }

    #[test]
    fn where_templates_are() {
        let spec = json!({"containers": []});
        for kind in ["Deployment", "ReplicationController", "CronJob", "Pod"] {
            let mut workload = patch(kind, &spec);
            workload["kind"] = json!(kind);
            assert_eq!(template(&workload).unwrap()["spec"], spec, "{kind}");
        }
        assert!(template(&json!({"kind": "Rollout", "spec": {"workloadRef": {}}})).is_none());
    }
}
