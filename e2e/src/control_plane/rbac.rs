//! The RBAC manifests that the chart ships, applied as they are: what a test is allowed, a user's cluster allows.

use std::fmt::Write as _;

use crate::error::Result;

use super::ControlPlane;

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
    /// Applies the manifests of `charts/headroom/files/rbac`: service accounts, roles and bindings.
    ///
    /// # Errors
    /// [`crate::HarnessError::Manifest`].
    pub async fn apply_rbac(&self, set: RbacSet) -> Result<()> {
        for (name, text) in set.manifests() {
            self.apply_yaml(name, &text).await?;
        }
        Ok(())
    }
}
