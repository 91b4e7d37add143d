//! The RBAC manifests that the chart ships, applied as they are: what a test is allowed, a user's cluster allows.

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
const CONTROLLERS_PRIMARY: &str = include_str!("../../../charts/headroom/files/rbac/controllers-primary.yaml");

impl RbacSet {
    /// File names and texts of the manifests.
    fn manifests(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Shadow => &[("scheduler.yaml", SCHEDULER), ("controllers.yaml", CONTROLLERS)],
            Self::Primary => &[
                ("scheduler.yaml", SCHEDULER),
                ("scheduler-primary.yaml", SCHEDULER_PRIMARY),
                ("controllers.yaml", CONTROLLERS),
                ("controllers-primary.yaml", CONTROLLERS_PRIMARY),
            ],
        }
    }
}

impl ControlPlane {
    /// Applies the manifests of `charts/headroom/files/rbac`: service accounts, roles and bindings.
    ///
    /// # Errors
    /// [`crate::HarnessError::Manifest`].
    pub async fn apply_rbac(&self, set: RbacSet) -> Result<()> {
        for (name, text) in set.manifests() {
            self.apply_yaml(name, text).await?;
        }
        Ok(())
    }
}
