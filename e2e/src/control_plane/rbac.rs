//! The RBAC manifests that the chart ships, applied as they are: what a test is allowed, a user's cluster allows.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use k8s_openapi::api::authorization::v1::{
    NonResourceAttributes, ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use kube::Api;
use kube::api::PostParams;

use crate::error::Result;
use crate::wait::eventually;

use super::{ControlPlane, SYSTEM_NAMESPACE};

/// How long rules may take to be in force.
const IN_FORCE: Duration = Duration::from_secs(180);

/// Which of our rights are granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RbacSet {
    /// Only looking on: own leases and events, our own resources.
    Shadow,
    /// Scheduling pods, and all of our controllers.
    Primary,
}

const SCHEDULER: &str = include_str!("../../../charts/headroom/files/rbac/scheduler.yaml");
const SCHEDULER_PRIMARY: &str = include_str!("../../../charts/headroom/files/rbac/scheduler-primary.yaml");
const CONTROLLERS: &str = include_str!("../../../charts/headroom/files/rbac/controllers.yaml");
const LOOPS: &str = include_str!("../../../charts/headroom/files/rbac/loops.yaml");

/// Roles of [`LOOPS`] that the default loops have.
const DEFAULT_LOOPS: [&str; 3] =
    ["headroom-controllers-base", "headroom-controllers-node-headroom", "headroom-controllers-memory-profile"];

/// What the chart's template grants besides where nodes are watched over: the kubelets' leases say which nodes live.
const NODE_LEASES: &str = "
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: headroom-controllers-node-leases
  namespace: kube-node-lease
rules:
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [get, list, watch]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: headroom-controllers-node-leases
  namespace: kube-node-lease
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: headroom-controllers-node-leases
subjects:
- kind: ServiceAccount
  name: headroom-controllers
  namespace: kube-system
";

/// Rules of every kind for somebody who does not exist, about what does not exist.
fn probe(user: &str) -> String {
    let mut text = String::new();
    for (scope, namespace, resource) in
        [("Cluster", String::new(), "clusterprobes"), ("", format!("  namespace: {SYSTEM_NAMESPACE}\n"), "probes")]
    {
        let _ = write!(
            text,
            "---\napiVersion: rbac.authorization.k8s.io/v1\nkind: {scope}Role\nmetadata:\n  name: {user}\n{namespace}\
             rules:\n- apiGroups: [e2e.headroom.dev]\n  resources: [{resource}]\n  verbs: [get]\n\
             ---\napiVersion: rbac.authorization.k8s.io/v1\nkind: {scope}RoleBinding\nmetadata:\n  name: {user}\n{namespace}\
             roleRef:\n  apiGroup: rbac.authorization.k8s.io\n  kind: {scope}Role\n  name: {user}\n\
             subjects:\n- apiGroup: rbac.authorization.k8s.io\n  kind: User\n  name: {user}\n"
        );
    }
    text
}

impl RbacSet {
    /// The loops' roles, and the bindings that the chart's template makes for those that run.
    fn loops(self) -> String {
        let mut text = LOOPS.to_owned();
        let names = LOOPS.lines().filter_map(|line| line.strip_prefix("  name: "));
        for name in names.filter(|name| self == Self::Primary || DEFAULT_LOOPS.contains(name)) {
            let _ = write!(
                text,
                "\n---\napiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata:\n  name: {name}\n\
                 roleRef:\n  apiGroup: rbac.authorization.k8s.io\n  kind: ClusterRole\n  name: {name}\n\
                 subjects:\n- kind: ServiceAccount\n  name: headroom-controllers\n  namespace: kube-system\n"
            );
        }
        if self == Self::Primary {
            text.push_str(NODE_LEASES);
        }
        text
    }

    /// File names and texts of the manifests.
    fn manifests(self) -> Vec<(&'static str, String)> {
        let mut manifests = vec![("scheduler.yaml", SCHEDULER.to_owned())];
        if self == Self::Primary {
            manifests.push(("scheduler-primary.yaml", SCHEDULER_PRIMARY.to_owned()));
        }
        manifests.push(("controllers.yaml", CONTROLLERS.to_owned()));
        manifests.push(("loops.yaml", self.loops()));
        manifests
    }
}

impl ControlPlane {
    /// Applies the manifests of `charts/headroom/files/rbac`: service accounts, roles and bindings; they are in force then.
    ///
    /// # Errors
    /// [`crate::HarnessError::Manifest`], or a timeout.
    pub async fn apply_rbac(&self, set: RbacSet) -> Result<()> {
        for (name, text) in set.manifests() {
            self.apply_yaml(name, &text).await?;
        }
        self.rules_in_force().await
    }

    /// Waits until the API server goes by all rules that there are. It hears of its own rules by watches, one for each kind,
    /// and whoever was faster would be refused; when it knows of the last ones of each kind, it knows of all.
    async fn rules_in_force(&self) -> Result<()> {
        static PROBES: AtomicU32 = AtomicU32::new(0);
        let user = format!("e2e-probe-{}", PROBES.fetch_add(1, Ordering::Relaxed));
        self.apply_yaml("rules for nobody", &probe(&user)).await?;
        for (resource, namespace) in [("clusterprobes", None), ("probes", Some(SYSTEM_NAMESPACE.to_owned()))] {
            let attributes = ResourceAttributes {
                group: Some("e2e.headroom.dev".to_owned()),
                resource: Some(resource.to_owned()),
                verb: Some("get".to_owned()),
                namespace,
                ..ResourceAttributes::default()
            };
            let may =
                SubjectAccessReviewSpec { resource_attributes: Some(attributes), ..SubjectAccessReviewSpec::default() };
            self.may(&user, may).await?;
        }
        Ok(())
    }

    /// Waits until a service account may read a path of our processes, `/metrics` for example: see
    /// [`apply_rbac`](Self::apply_rbac). Theirs is the API server's word, and they remember it for some seconds.
    ///
    /// # Errors
    /// A timeout.
    pub async fn may_read(&self, namespace: &str, account: &str, path: &str) -> Result<()> {
        let attributes = NonResourceAttributes { path: Some(path.to_owned()), verb: Some("get".to_owned()) };
        let may =
            SubjectAccessReviewSpec { non_resource_attributes: Some(attributes), ..SubjectAccessReviewSpec::default() };
        self.may(&format!("system:serviceaccount:{namespace}:{account}"), may).await
    }

    async fn may(&self, user: &str, may: SubjectAccessReviewSpec) -> Result<()> {
        let spec = SubjectAccessReviewSpec { user: Some(user.to_owned()), ..may };
        let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
        let reviews: Api<SubjectAccessReview> = Api::all(self.admin_client());
        eventually(IN_FORCE, &format!("the rights of {user}"), || async {
            let answer = reviews.create(&PostParams::default(), &review).await.map_err(|error| error.to_string())?;
            let status = answer.status.unwrap_or_default();
            if status.allowed { Ok(()) } else { Err(format!("refused: {:?}", status.reason)) }
        })
        .await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_has_an_object_of_every_kind() {
        let mut documents: Vec<serde_json::Value> = serde_saphyr::from_multiple(&probe("nobody")).unwrap();
        documents.retain(|document| !document.is_null());
        let kinds: Vec<_> = documents.iter().filter_map(|document| document["kind"].as_str()).collect();
        assert_eq!(kinds, ["ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"]);
        for document in documents {
            let is_namespaced = document["metadata"]["namespace"] == SYSTEM_NAMESPACE;
            assert_eq!(is_namespaced, !document["kind"].as_str().unwrap().starts_with("Cluster"), "{document}");
            assert_eq!(document["metadata"]["name"], "nobody");
        }
    }
}
