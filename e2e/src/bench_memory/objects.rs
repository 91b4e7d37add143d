//! The objects of the scenarios.

use serde_json::{Value, json};

/// What a pod of a scenario is like.
#[derive(Debug, Clone, Copy)]
pub(super) struct Template {
    /// Name of the workload, and label of its pods.
    pub(super) name: &'static str,
    /// Memory request and limit; `None` declares nothing.
    pub(super) declared: Option<(&'static str, &'static str)>,
    /// Memory over time, as the simulated nodes read it.
    pub(super) memory: &'static str,
    /// Share of the memory that is touched all the time.
    pub(super) hot: &'static str,
    /// Seconds of work after which it is finished.
    pub(super) work_seconds: Option<u32>,
}

impl Template {
    fn pod(&self, restart: &str) -> Value {
        let mut annotations = json!({
            "hollow.headroom.dev/memory": self.memory,
            "hollow.headroom.dev/hot-fraction": self.hot,
        });
        if let Some(seconds) = self.work_seconds {
            annotations["hollow.headroom.dev/work-seconds"] = seconds.to_string().into();
        }
        let resources = match self.declared {
            Some((request, limit)) => json!({"requests": {"memory": request}, "limits": {"memory": limit}}),
            None => json!({}),
        };
        json!({
            "metadata": {"labels": {"app": self.name}, "annotations": annotations},
            "spec": {
                "restartPolicy": restart,
                "terminationGracePeriodSeconds": 5,
                "containers": [{"name": "main", "image": "registry.example/app:1", "resources": resources}],
            },
        })
    }

    /// A Deployment of such pods.
    pub(super) fn deployment(&self, replicas: usize) -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": self.name},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": {"app": self.name}},
                "template": self.pod("Always"),
            },
        })
    }

    /// A CronJob that never starts anything by itself: the scenario starts its Jobs.
    pub(super) fn cron_job(&self) -> Value {
        json!({
            "apiVersion": "batch/v1", "kind": "CronJob",
            "metadata": {"name": self.name},
            "spec": {
                "schedule": "0 0 1 1 *", "suspend": true,
                // Finished pods are counted at the end: none of their Jobs is cleaned up.
                "successfulJobsHistoryLimit": 100,
                "jobTemplate": {"spec": {"template": self.pod("OnFailure")}},
            },
        })
    }

    /// The Job number `wave` of the CronJob with this UID: so many pods at once. What is killed is started again.
    pub(super) fn job(&self, cron_job_uid: &str, wave: usize, pods: usize) -> Value {
        json!({
            "apiVersion": "batch/v1", "kind": "Job",
            // The CronJob controller names Jobs by the minute.
            "metadata": {"name": format!("{}-{}", self.name, 29_000_000 + wave), "ownerReferences": [{
                "apiVersion": "batch/v1", "kind": "CronJob", "name": self.name, "uid": cron_job_uid,
                "controller": true, "blockOwnerDeletion": true,
            }]},
            "spec": {
                "parallelism": pods, "completions": pods, "backoffLimit": 1000,
                "template": self.pod("OnFailure"),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::{apps::v1::Deployment, batch::v1::Job};

    use super::*;

    #[test]
    fn the_objects_are_what_they_are_called() {
        let template = Template {
            name: "crawl",
            declared: Some(("64Mi", "192Mi")),
            memory: "30Mi@0s,160Mi@20s",
            hot: "0.8",
            work_seconds: Some(40),
        };
        let job: Job = serde_json::from_value(template.job("u", 1, 8)).unwrap();
        assert_eq!(job.metadata.name.as_deref(), Some("crawl-29000001"));
        let annotations = job.spec.unwrap().template.metadata.unwrap().annotations.unwrap();
        assert_eq!(annotations["hollow.headroom.dev/work-seconds"], "40");
        let undeclared = Template { declared: None, ..template };
        let deployment: Deployment = serde_json::from_value(undeclared.deployment(3)).unwrap();
        let pod = deployment.spec.unwrap().template.spec.unwrap();
        assert!(pod.containers[0].resources.as_ref().unwrap().requests.is_none());
    }
}
